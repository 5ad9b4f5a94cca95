//! Known traps of librdkafka, sprung on its mock cluster. The table of all of them is in `docs/reference/kafka.md`.
//!
//! The mock checks the sequence numbers of transactional producers only. Of two requests under way it stores the second
//! after it refused the first, which no broker does, and which the client takes for proof that the first was stored. So
//! where a request is refused here, none is under way behind it; requests behind a refused one are tested on real
//! brokers (`kafka_forced.rs`, and the leaders that are killed in `tests/e2e/brokers.rs`).
#![allow(clippy::unwrap_used)]
use bytes::Bytes;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use std::sync::Arc;
use std::time::Duration;
use stream::kafka::{KafkaLog, KafkaOptions, Protocol};
use stream::log::{AppendError, Appender, Log, LogError, NewRecord, Offset, Partition, Topic};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const P0: Partition = Partition(0);
const LIMIT: Duration = Duration::from_secs(30);

type Cluster = MockCluster<'static, DefaultProducerContext>;

#[test]
fn the_client_is_the_one_whose_traps_are_known() {
    let (_, version) = rdkafka::util::get_rdkafka_version();
    assert_eq!(
        version, "2.12.1",
        "go through the traps in docs/reference/kafka.md, and see whether crates/tributary/native is still needed"
    );
}

/// A mock cluster with the topic `facts`, and a log on it.
async fn mocked(brokers: i32, append_deadline: Duration) -> (Cluster, Arc<KafkaLog>) {
    mocked_with(brokers, append_deadline, &[]).await
}

async fn mocked_with(
    brokers: i32,
    append_deadline: Duration,
    settings: &[(&str, &str)],
) -> (Cluster, Arc<KafkaLog>) {
    let cluster = MockCluster::new(brokers).unwrap();
    let mut options = KafkaOptions::new(cluster.bootstrap_servers());
    options.client.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    options.partitions = 1;
    options.append_deadline = append_deadline;
    options.reader_patience = Duration::from_secs(2);
    options.request_timeout = Duration::from_secs(4);
    cluster.create_topic(&options.topic_name(Topic::Facts), 1, brokers).unwrap();
    let log = KafkaLog::connect(options).await.unwrap();
    (cluster, log)
}

fn numbered(number: u32) -> Vec<NewRecord> {
    vec![NewRecord { key: Bytes::from_static(b"prog"), value: number.to_string().into() }]
}

/// Appends one record and waits for what becomes of it.
async fn append(appender: &dyn Appender, number: u32) -> Result<Vec<Option<Offset>>, AppendError> {
    tokio::time::timeout(LIMIT, appender.append(Topic::Facts, P0, numbered(number))).await.expect("an answer")
}

/// Reads the first records, with another reader where one says that it stands still.
async fn stored(log: &KafkaLog, count: usize) -> Vec<String> {
    let mut values = Vec::new();
    let mut readers = 0;
    while values.len() < count {
        readers += 1;
        assert!(readers < 10, "{} of {count} read by nine readers", values.len());
        let mut reader = log.reader(Topic::Facts, P0, Offset(values.len() as u64)).await.unwrap();
        while values.len() < count {
            match tokio::time::timeout(LIMIT, reader.next(count, usize::MAX)).await.expect("an answer") {
                Ok(records) => values.extend(
                    records.into_iter().map(|record| String::from_utf8(record.value.to_vec()).unwrap()),
                ),
                Err(LogError::Unavailable(_)) => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    values
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_that_pass_are_retried_within_one_session_and_leave_each_record_once_and_in_order() {
    use RDKafkaRespErr as Error;
    let (cluster, log) = mocked(1, LIMIT).await;
    let appender = log.appender().await.unwrap();
    append(&*appender, 0).await.unwrap();
    let errors = [
        Error::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        Error::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        Error::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        Error::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    ];
    // Each by itself, then all in a row, then none.
    let schedules = errors.iter().map(std::slice::from_ref).chain([&errors[..]]);
    for (number, schedule) in (1..).zip(schedules) {
        cluster.request_errors(RDKafkaApiKey::Produce, schedule);
        assert_eq!(
            append(&*appender, number).await.unwrap(),
            [Some(Offset(u64::from(number)))],
            "{schedule:?}"
        );
    }
    let appends: Vec<_> =
        (6..100).map(|number| appender.append(Topic::Facts, P0, numbered(number))).collect();
    for (number, append) in (6..).zip(appends) {
        let offsets = tokio::time::timeout(LIMIT, append).await.expect("an answer").unwrap();
        assert_eq!(offsets, [Some(Offset(number))]);
    }
    assert_eq!(stored(&log, 100).await, (0..100).map(|number| number.to_string()).collect::<Vec<_>>());
    assert_eq!(log.bounds(Topic::Facts, P0).await.unwrap().end, Offset(100));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_lost_its_sequence_is_discarded_and_the_next_one_goes_on() {
    for fatal in [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
    ] {
        let (cluster, log) = mocked(1, LIMIT).await;
        let appender = log.appender().await.unwrap();
        append(&*appender, 0).await.unwrap();
        cluster.request_errors(RDKafkaApiKey::Produce, &[fatal]);
        let failed = append(&*appender, 1).await;
        assert!(matches!(failed, Err(AppendError::Indefinite(_))), "{fatal:?}: {failed:?}");
        // It never works again, whatever the brokers say by now.
        let later = append(&*appender, 2).await;
        assert!(matches!(later, Err(AppendError::Indefinite(_))), "{fatal:?}: {later:?}");
        append(&*log.appender().await.unwrap(), 3).await.unwrap();
        let values = stored(&log, 2).await;
        assert_eq!((&*values[0], &*values[values.len() - 1]), ("0", "3"), "{fatal:?}");
    }
}

/// Appends the numbers, ten at a time, moving the leader before each ten. What is in doubt is left to the caller.
async fn append_while_the_leader_moves(
    cluster: &Cluster,
    log: &KafkaLog,
    numbers: std::ops::Range<u32>,
) -> Vec<Result<Vec<Option<Offset>>, AppendError>> {
    let name = log.options().topic_name(Topic::Facts);
    let appender = log.appender().await.unwrap();
    let mut appends = Vec::new();
    for number in numbers {
        if number % 10 == 0 {
            cluster.partition_leader(&name, 0, Some(1 + (number / 10 % 3) as i32)).unwrap();
        }
        appends.push(appender.append(Topic::Facts, P0, numbered(number)));
        if number % 30 == 9 {
            // In the middle of what is in flight now and then, not only between batches. Asked again below if it failed.
            let waited = tokio::time::timeout(LIMIT, appends.pop().unwrap()).await.expect("an answer");
            appends.push(Box::pin(std::future::ready(waited)));
        }
    }
    let mut answers = Vec::new();
    for append in appends {
        answers.push(tokio::time::timeout(LIMIT, append).await.expect("an answer"));
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_moves_all_the_time_costs_no_acknowledged_record_and_no_order() {
    const COUNT: u32 = 300;
    let one_at_a_time = ("max.in.flight.requests.per.connection", "1");
    let (cluster, log) = mocked_with(3, Duration::from_secs(3), &[one_at_a_time]).await;
    let mut acknowledged = std::collections::BTreeMap::new();
    let mut next = 0;
    // The client itself can stay with a broker that leads no more. Then its producer is discarded, and the records that
    // are in doubt are appended again with the next one, as an owner does after it has taken its partition again.
    for _attempt in 0..20 {
        for (number, answer) in (next..).zip(append_while_the_leader_moves(&cluster, &log, next..COUNT).await)
        {
            match answer {
                Ok(offsets) if number == next => {
                    acknowledged.insert(number, offsets[0]);
                    next += 1;
                }
                Ok(_) => panic!("{number} was acknowledged behind {next}, which was not"),
                Err(AppendError::Indefinite(_)) => {}
                Err(error) => panic!("{number}: {error:?}"),
            }
        }
        if next == COUNT {
            break;
        }
    }
    assert_eq!(next, COUNT, "twenty producers did not append them all");
    let end = log.bounds(Topic::Facts, P0).await.unwrap().end.0;
    let values: Vec<u32> =
        stored(&log, end as usize).await.iter().map(|value| value.parse().unwrap()).collect();
    for (number, offset) in acknowledged {
        let Some(Offset(offset)) = offset else {
            panic!("{number}: one request at a time always tells where");
        };
        assert_eq!(values[offset as usize], number, "at offset {offset}");
    }
    // Repetitions aside, everything is there in order.
    let mut first_seen = values.clone();
    let mut highest = None;
    first_seen.retain(|value| {
        let new = Some(*value) > highest;
        highest = highest.max(Some(*value));
        new
    });
    assert_eq!(first_seen, (0..COUNT).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_that_comes_too_late_is_doubt_and_what_was_queued_behind_it_never_lands() {
    let (cluster, log) = mocked(1, Duration::from_secs(4)).await;
    let slow = log.appender().await.unwrap();
    append(&*slow, 0).await.unwrap();
    cluster.broker_round_trip_time(1, Duration::from_secs(8)).unwrap();
    let failed = append(&*slow, 1).await;
    assert!(
        matches!(&failed, Err(AppendError::Indefinite(reason)) if reason.contains("no acknowledgement")),
        "{failed:?}"
    );
    let behind = append(&*slow, 2).await;
    assert!(matches!(behind, Err(AppendError::Indefinite(_))), "{behind:?}");
    cluster.broker_round_trip_time(1, Duration::ZERO).unwrap();
    // The first may have landed (that is the doubt); the second was refused by a producer that is no more.
    append(&*log.appender().await.unwrap(), 3).await.unwrap();
    let end = log.bounds(Topic::Facts, P0).await.unwrap().end.0 as usize;
    let values = stored(&log, end).await;
    assert!(values == ["0", "3"] || values == ["0", "1", "3"], "{values:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_a_broker_denies_is_an_error_of_the_reader_and_never_a_jump() {
    let (cluster, log) = mocked(1, LIMIT).await;
    let appender = log.appender().await.unwrap();
    for number in 0..3 {
        append(&*appender, number).await.unwrap();
    }
    let mut reader = log.reader(Topic::Facts, P0, Offset(0)).await.unwrap();
    let mut seen = 0;
    while seen < 3 {
        seen +=
            tokio::time::timeout(LIMIT, reader.next(3, usize::MAX)).await.expect("records").unwrap().len();
    }
    // A broker that denies a position denies it each time. The client overlooks the first: for it, an answer to the fetch
    // that reaches the end says first of all that the end was reached.
    cluster
        .request_errors(RDKafkaApiKey::Fetch, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE; 1000]);
    // Nothing new comes: without the error it would wait.
    let said = tokio::time::timeout(LIMIT, reader.next(1, 1)).await.expect("an answer");
    assert!(matches!(said, Err(LogError::Unavailable(_) | LogError::OutOfRange { .. })), "{said:?}");
    drop(reader);
    cluster.clear_request_errors(RDKafkaApiKey::Fetch);
    append(&*appender, 3).await.unwrap();
    let mut again = log.reader(Topic::Facts, P0, Offset(3)).await.unwrap();
    let records = tokio::time::timeout(LIMIT, again.next(1, 1)).await.expect("a record").unwrap();
    assert_eq!(records[0].offset, Offset(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stands_still_says_so_also_to_who_waits_for_less_long_than_the_brokers_take_to_answer()
{
    let (cluster, log) = mocked(1, LIMIT).await;
    let appender = log.appender().await.unwrap();
    append(&*appender, 0).await.unwrap();
    let mut reader = log.reader(Topic::Facts, P0, Offset(0)).await.unwrap();
    tokio::time::timeout(LIMIT, reader.next(1, 1)).await.expect("a record").unwrap();
    cluster.request_errors(
        RDKafkaApiKey::Fetch,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION; 10_000],
    );
    append(&*appender, 1).await.unwrap();
    cluster.broker_round_trip_time(1, Duration::from_millis(500)).unwrap();
    // An owner looks at its clock between two waits.
    let until = tokio::time::Instant::now() + LIMIT;
    let said = loop {
        assert!(tokio::time::Instant::now() < until, "it waits for ever");
        if let Ok(said) = tokio::time::timeout(Duration::from_millis(100), reader.next(1, 1)).await {
            break said;
        }
    };
    assert!(
        matches!(&said, Err(LogError::Unavailable(reason)) if reason.contains("from offset 1 on")),
        "{said:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_its_client_forgot_at_the_wrong_broker_says_so_and_the_next_one_reads_on() {
    let (cluster, log) = mocked(1, LIMIT).await;
    let appender = log.appender().await.unwrap();
    append(&*appender, 0).await.unwrap();
    let mut reader = log.reader(Topic::Facts, P0, Offset(0)).await.unwrap();
    let first = tokio::time::timeout(LIMIT, reader.next(1, 1)).await.expect("a record").unwrap();
    assert_eq!(first[0].offset, Offset(0));
    // The client asks for ever, and keeps the answer to itself.
    cluster.request_errors(
        RDKafkaApiKey::Fetch,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION; 10_000],
    );
    append(&*appender, 1).await.unwrap();
    let said = tokio::time::timeout(LIMIT, reader.next(1, 1)).await.expect("an answer");
    assert!(
        matches!(&said, Err(LogError::Unavailable(reason)) if reason.contains("from offset 1 on")),
        "{said:?}"
    );
    cluster.clear_request_errors(RDKafkaApiKey::Fetch);
    let mut again = log.reader(Topic::Facts, P0, Offset(1)).await.unwrap();
    let records = tokio::time::timeout(LIMIT, again.next(1, 1)).await.expect("a record").unwrap();
    assert_eq!(records[0].offset, Offset(1));
    // Nobody is owed anything: silence alone is no error.
    let quiet = tokio::time::timeout(Duration::from_secs(8), again.next(1, 1)).await;
    assert!(quiet.is_err(), "{quiet:?}");
}

/// Answers each connection's first bytes with what no TLS client understands.
async fn listener_without_tls() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut greeting = [0; 16];
            if stream.read(&mut greeting).await.is_ok() {
                // One that hung up meanwhile needs no answer.
                stream.write_all(b"no handshake here\r\n").await.ok();
            }
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_heard_behind_any_number_of_log_lines() {
    let mut options = KafkaOptions::new(listener_without_tls().await);
    options.security.protocol = Protocol::Ssl;
    options.client.insert("debug".to_owned(), "all".to_owned());
    let refused = KafkaLog::connect(options).await;
    let Err(LogError::Misconfigured(text)) = refused else { panic!("{:?}", refused.err()) };
    assert!(text.contains("kafka.security_protocol"), "{text}");
}

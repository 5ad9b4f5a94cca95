//! What the Kafka log promises beyond the conformance suite, on a real broker and on librdkafka's mock cluster.
#![allow(clippy::unwrap_used)]
use bytes::Bytes;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{ClientConfig, Offset as KafkaOffset, TopicPartitionList};
use std::sync::Arc;
use std::time::Duration;
use stream::kafka::{KafkaLog, KafkaOptions, MAX_RECORD_BYTES};
use stream::log::{AppendError, Log, LogError, NewRecord, Offset, Partition, Record, Topic};
use testkit::kafka::KafkaBroker;

const P0: Partition = Partition(0);

fn new(value: impl Into<Bytes>) -> NewRecord {
    NewRecord { key: Bytes::from_static(b"prog"), value: value.into() }
}

fn numbered(numbers: std::ops::Range<u32>) -> Vec<NewRecord> {
    numbers.map(|number| new(number.to_string())).collect()
}

async fn read(reader: &mut dyn stream::log::Reader, count: usize) -> Vec<Record> {
    let mut records = Vec::new();
    while records.len() < count {
        let more =
            tokio::time::timeout(Duration::from_secs(20), reader.next(count - records.len(), usize::MAX));
        records.extend(more.await.expect("records within 20 s").unwrap());
    }
    records
}

fn values(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8(record.value.to_vec()).unwrap()).collect()
}

fn admin(log: &KafkaLog) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", &log.options().brokers).create().unwrap()
}

/// Moves the start of partition 0 of `facts`, as retention does.
async fn expire_before(log: &KafkaLog, offset: i64) {
    let mut list = TopicPartitionList::new();
    let name = log.options().topic_name(Topic::Facts);
    list.add_partition_offset(&name, 0, KafkaOffset::Offset(offset)).unwrap();
    admin(log).delete_records(&list, &AdminOptions::new()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_appended_is_read_in_order_by_several_readers_and_by_one_that_returns() {
    let log = KafkaBroker::shared().await.unwrap().log(2).await.unwrap();
    let appender = log.appender().await.unwrap();
    let first = appender.append(Topic::Facts, P0, numbered(0..500));
    let second = appender.append(Topic::Facts, P0, numbered(500..1000));
    let offsets = [first.await.unwrap(), second.await.unwrap()].concat();
    assert_eq!(offsets, (0..1000).map(|offset| Some(Offset(offset))).collect::<Vec<_>>());

    let mut early = log.reader(Topic::Facts, P0, Offset(0)).await.unwrap();
    let mut late = log.reader(Topic::Facts, P0, Offset(990)).await.unwrap();
    let expected: Vec<_> = (0..1000).map(|number| number.to_string()).collect();
    assert_eq!(values(&read(&mut *early, 1000).await), expected);
    assert_eq!(values(&read(&mut *late, 10).await), expected[990..]);
    // A place that is given back and taken again at once serves the new reader only.
    for from in [0_u64, 700, 300, 999] {
        drop(early);
        early = log.reader(Topic::Facts, P0, Offset(from)).await.unwrap();
        let records = read(&mut *early, 1000 - from as usize).await;
        assert_eq!(records[0].offset, Offset(from));
        assert_eq!(values(&records), expected[from as usize..]);
    }
    // Both wait at the end, and both hear of what comes.
    appender.append(Topic::Facts, P0, numbered(1000..1001)).await.unwrap();
    assert_eq!(values(&read(&mut *early, 1).await), ["1000"]);
    assert_eq!(values(&read(&mut *late, 1).await), ["1000"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_the_log_does_not_have_is_refused_and_never_moved() {
    let log = KafkaBroker::shared().await.unwrap().log(1).await.unwrap();
    let appender = log.appender().await.unwrap();
    appender.append(Topic::Facts, P0, numbered(0..10)).await.unwrap();
    let mut waiting = log.reader(Topic::Facts, P0, Offset(2)).await.unwrap();
    assert_eq!(waiting.next(1, usize::MAX).await.unwrap()[0].offset, Offset(2));
    expire_before(&log, 5).await;

    let bounds = log.bounds(Topic::Facts, P0).await.unwrap();
    assert_eq!((bounds.start, bounds.end), (Offset(5), Offset(10)));
    for wanted in [Offset(4), Offset(11)] {
        let error = log.reader(Topic::Facts, P0, wanted).await.err();
        assert!(matches!(error, Some(LogError::OutOfRange { .. })), "{wanted:?}: {error:?}");
    }
    log.reader(Topic::Facts, P0, Offset(10)).await.unwrap();
    assert_eq!(log.record_at(Topic::Facts, P0, Offset(4)).await.unwrap(), None);
    assert_eq!(log.record_at(Topic::Facts, P0, Offset(7)).await.unwrap().unwrap().value, "7");
    let beyond = log.record_at(Topic::Facts, P0, Offset(10)).await;
    assert!(matches!(beyond, Err(LogError::OutOfRange { .. })), "{beyond:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_names_every_setting_that_breaks_a_promise_and_what_mends_it() {
    let broker = KafkaBroker::shared().await.unwrap();
    let log = broker.log(2).await.unwrap();
    log.check().await.unwrap();

    let name = log.options().topic_name(Topic::Commissions);
    let expiring = AlterConfig::new(ResourceSpecifier::Topic(&name)).set("retention.ms", "1000");
    admin(&log).alter_configs(&[expiring], &AdminOptions::new()).await.unwrap();
    let problem = log.check().await.unwrap_err().to_string();
    assert!(problem.contains("retention.ms=1000 instead of -1"), "{problem}");
    assert!(problem.contains(&format!("--entity-name {name} --add-config retention.ms=-1")), "{problem}");

    let mut more = log.options().clone();
    more.partitions = 3;
    let problem = KafkaLog::connect(more).await.unwrap().check().await.unwrap_err().to_string();
    assert!(problem.contains("2 partitions instead of 3"), "{problem}");
    let absent = KafkaLog::connect(broker.options(1)).await.unwrap().check().await.unwrap_err().to_string();
    assert_eq!(absent.matches("does not exist").count(), Topic::ALL.len(), "{absent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_can_never_be_stored_is_refused_and_harms_nothing_else() {
    let log = KafkaBroker::shared().await.unwrap().log(1).await.unwrap();
    let appender = log.appender().await.unwrap();
    let too_large = vec![new("small"), new(vec![0; MAX_RECORD_BYTES])];
    let refused = appender.append(Topic::Facts, P0, too_large).await;
    assert!(matches!(refused, Err(AppendError::Refused(_))), "{refused:?}");
    let largest = new(vec![7; MAX_RECORD_BYTES - 4]);
    assert_eq!(appender.append(Topic::Facts, P0, vec![largest]).await.unwrap(), [Some(Offset(0))]);
    let stored = log.record_at(Topic::Facts, P0, Offset(0)).await.unwrap().unwrap();
    assert_eq!(stored.value.len(), MAX_RECORD_BYTES - 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn appender_and_readers_outlive_a_crash_of_the_broker() {
    let broker = tokio::task::spawn_blocking(KafkaBroker::start).await.unwrap().unwrap();
    let log = broker.log(1).await.unwrap();
    let appender = log.appender().await.unwrap();
    let mut reader = log.reader(Topic::Facts, P0, Offset(0)).await.unwrap();
    appender.append(Topic::Facts, P0, numbered(0..1)).await.unwrap();
    assert_eq!(values(&read(&mut *reader, 1).await), ["0"]);
    broker.kill().unwrap();
    let meanwhile = tokio::spawn(appender.append(Topic::Facts, P0, numbered(1..3)));
    broker.restart().unwrap();
    assert_eq!(meanwhile.await.unwrap().unwrap().len(), 2);
    assert_eq!(values(&read(&mut *reader, 2).await), ["1", "2"]);
}

/// A mock cluster with the topic `facts`, and a log on it that waits so long for acknowledgements.
async fn mocked(append_deadline: Duration) -> (MockCluster<'static, DefaultProducerContext>, Arc<KafkaLog>) {
    let cluster = MockCluster::new(1).unwrap();
    let mut options = KafkaOptions::new(cluster.bootstrap_servers());
    options.partitions = 2;
    options.append_deadline = append_deadline;
    cluster.create_topic(&options.topic_name(Topic::Facts), 2, 1).unwrap();
    let log = KafkaLog::connect(options).await.unwrap();
    (cluster, log)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_makes_every_append_of_that_producer_indefinite_and_the_next_appender_works() {
    let (cluster, log) = mocked(Duration::from_secs(30)).await;
    let one = log.appender().await.unwrap();
    let other = log.appender().await.unwrap();
    one.append(Topic::Facts, P0, numbered(0..1)).await.unwrap();
    other.append(Topic::Facts, Partition(1), numbered(0..1)).await.unwrap();
    cluster.request_errors(
        RDKafkaApiKey::Produce,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED],
    );
    let failed = one.append(Topic::Facts, P0, numbered(1..2)).await;
    assert!(matches!(failed, Err(AppendError::Indefinite(_))), "{failed:?}");
    for (appender, partition) in [(&one, P0), (&other, Partition(1))] {
        let later = appender.append(Topic::Facts, partition, numbered(2..3)).await;
        assert!(matches!(later, Err(AppendError::Indefinite(_))), "{later:?}");
    }
    let fresh = log.appender().await.unwrap();
    assert_eq!(fresh.append(Topic::Facts, P0, numbered(3..4)).await.unwrap(), [Some(Offset(1))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_that_nobody_acknowledges_ends_as_indefinite_within_the_deadline() {
    let (cluster, log) = mocked(Duration::from_secs(4)).await;
    let appender = log.appender().await.unwrap();
    appender.append(Topic::Facts, P0, numbered(0..1)).await.unwrap();
    cluster.broker_down(1).unwrap();
    let append = appender.append(Topic::Facts, P0, numbered(1..2));
    let failed = tokio::time::timeout(Duration::from_secs(20), append).await.expect("an answer");
    assert!(
        matches!(&failed, Err(AppendError::Indefinite(reason)) if reason.contains("no acknowledgement")),
        "{failed:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_do_not_answer_are_an_error_and_not_a_wait_for_ever() {
    // Bound and never accepted: a port that nobody else takes meanwhile.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = KafkaOptions::new(silent.local_addr().unwrap().to_string());
    options.request_timeout = Duration::from_millis(300);
    let error = KafkaLog::connect(options.clone()).await.err();
    assert!(matches!(error, Some(LogError::Unavailable(_))), "{error:?}");
    options.client.insert("no.such.setting".to_owned(), "1".to_owned());
    let error = KafkaLog::connect(options).await.err();
    assert!(matches!(error, Some(LogError::Misconfigured(_))), "{error:?}");
}

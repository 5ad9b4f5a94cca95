//! The log that simulations use does what its faults say; the loop survives each of them on every append.
use bytes::Bytes;
use domain::tables::{Tables, View, put_row, row};
use std::sync::Arc;
use std::time::Duration;
use stream::cursor::Cursor;
use stream::follow::Follower;
use stream::log::{AppendError, Log, LogError, NewRecord, Offset, Partition, Topic};
use stream::owner::{OwnerOptions, run_service};
use stream::service::{Decided, FrameMeta, Input, Payload, Service, UnknownEvent};
use stream::simulated::{Fault, Faults, MemoryKeys, SimulatedLog};
use stream::store::StateDb;
use tokio_util::sync::CancellationToken;

const P: Partition = Partition(0);
const LATER: Duration = Duration::from_secs(3);

fn records(texts: &[&str]) -> Vec<NewRecord> {
    let new = |text: &&str| NewRecord { key: Bytes::new(), value: Bytes::copy_from_slice(text.as_bytes()) };
    texts.iter().map(new).collect()
}

fn held(log: &SimulatedLog, topic: Topic) -> Vec<String> {
    let records = log.records(topic, P, Offset(0));
    records.iter().map(|record| String::from_utf8_lossy(&record.value).into_owned()).collect()
}

/// Fault, what is there when it is answered, and later; whether it was acknowledged, with offsets or without.
type Case = (Fault, &'static [&'static str], &'static [&'static str], Option<bool>);

#[tokio::test(start_paused = true)]
async fn each_fault_does_what_its_name_says() {
    let two = &["a", "b"][..];
    let cases: [Case; 9] = [
        (Fault::Lost, &[], &[], None),
        (Fault::LandedButFailed, two, two, None),
        (Fault::UnknownOffset, two, two, Some(false)),
        (Fault::Duplicated, &["a", "b", "a", "b"], &["a", "b", "a", "b"], Some(true)),
        (Fault::Torn, &["a"], &["a"], None),
        (Fault::Late(LATER), &[], two, None),
        (Fault::LateHole(LATER), &[], &["b"], None),
        (Fault::Unanswered(LATER), two, two, Some(true)),
        (Fault::Late(Duration::ZERO), two, two, None),
    ];
    for (fault, at_once, later, acknowledged) in cases {
        let log = SimulatedLog::new(1, 7, Faults::NONE);
        let appender = log.client().appender().await.unwrap();
        log.force(Topic::Facts, P, fault);
        let answer = appender.append(Topic::Facts, P, records(two)).await;
        assert_eq!(held(&log, Topic::Facts), at_once, "{fault:?}");
        match acknowledged {
            None => assert!(matches!(answer, Err(AppendError::Indefinite(_))), "{fault:?}"),
            Some(known) => {
                assert!(answer.unwrap().iter().all(|offset| offset.is_some() == known), "{fault:?}")
            }
        }
        drop(appender);
        // Not at the same instant: timers that are due together have no order.
        tokio::time::sleep(LATER + Duration::from_millis(1)).await;
        assert_eq!(held(&log, Topic::Facts), later, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_tail_makes_readers_and_writers_begin_again_and_retention_moves_the_start() {
    let log = SimulatedLog::new(1, 7, Faults::NONE);
    let client: Arc<dyn Log> = log.client();
    let appender = client.appender().await.unwrap();
    appender.append(Topic::Facts, P, records(&["a", "b", "c"])).await.unwrap();
    let mut reader = client.reader(Topic::Facts, P, Offset(0)).await.unwrap();
    log.truncate(Topic::Facts, P, 2);
    assert!(matches!(reader.next(9, 9).await, Err(LogError::Unavailable(_))));
    let beyond = client.reader(Topic::Facts, P, Offset(3)).await;
    assert!(matches!(beyond, Err(LogError::OutOfRange { .. })));
    let late = appender.append(Topic::Facts, P, records(&["z"])).await;
    assert!(matches!(late, Err(AppendError::Indefinite(_))), "its leader is gone: {late:?}");
    let appender = client.appender().await.unwrap();
    appender.append(Topic::Facts, P, records(&["d"])).await.unwrap();
    assert_eq!(held(&log, Topic::Facts), ["a", "d"]);

    log.expire(Topic::Facts, P, Offset(1));
    assert_eq!(client.record_at(Topic::Facts, P, Offset(0)).await.unwrap(), None);
    let gone = client.reader(Topic::Facts, P, Offset(0)).await;
    assert!(matches!(gone, Err(LogError::OutOfRange { .. })));
    assert_eq!(client.bounds(Topic::Facts, P).await.unwrap().start, Offset(1));
}

/// Numbers its inputs.
#[derive(Debug)]
struct Counting;

impl Service for Counting {
    type Event = Bytes;
    const NAME: &'static str = "counting";
    const INPUT: Topic = Topic::Ingest;
    const OUTPUT: Topic = Topic::Facts;
    const LOGIC_VERSION: u32 = 1;
    const STATE_VERSION: u32 = 1;

    fn decide(&self, view: &dyn View, input: &Input, _: u32) -> Decided<Bytes> {
        let Payload::Ingest(body) = &input.payload else { unreachable!("its input is ingest") };
        let count: u64 = row(view, b"c").unwrap_or(0);
        let event = format!("{}:{}", count + 1, String::from_utf8_lossy(body));
        Decided::Frame { events: vec![Bytes::from(event)], more: false }
    }

    fn evolve(&self, tables: &mut dyn Tables, _: &FrameMeta, _: &[Bytes]) {
        let count: u64 = row(tables, b"c").unwrap_or(0);
        put_row(tables, b"c", &(count + 1));
    }

    fn encode(&self, event: &Bytes) -> Bytes {
        event.clone()
    }

    fn decode(&self, bytes: &Bytes) -> Result<Bytes, UnknownEvent> {
        Ok(bytes.clone())
    }
}

/// Ten inputs; the owner's append number `nth`, counted from 0 and fences included, meets `fault`. What the log then says.
async fn served(nth: usize, fault: Fault) -> Vec<String> {
    let log = SimulatedLog::new(1, 7, Faults::NONE);
    let client: Arc<dyn Log> = log.client();
    for _ in 0..nth {
        // Answered later than usual, otherwise as always.
        log.force(Topic::Facts, P, Fault::Unanswered(Duration::ZERO));
    }
    log.force(Topic::Facts, P, fault);
    let options = OwnerOptions {
        batch_records: 3,
        append_deadline: Duration::from_secs(1),
        host: log.host(0),
        ..OwnerOptions::default()
    };
    let shutdown = CancellationToken::new();
    let keys = Arc::new(MemoryKeys::default());
    let owner = run_service(
        Arc::new(Counting),
        options,
        Arc::clone(&client),
        StateDb::in_memory(),
        keys,
        shutdown.clone(),
    );
    let owner = tokio::spawn(owner);
    let appender = client.appender().await.unwrap();
    for input in 0..10 {
        appender.append(Topic::Ingest, P, records(&[&format!("input-{input}")])).await.unwrap();
    }
    let mut follower = Follower::open(&client, Topic::Facts, P, Cursor::START).await.unwrap();
    let mut events = Vec::new();
    while events.len() < 10 {
        for frame in follower.next(100, usize::MAX).await.unwrap() {
            events.extend(frame.events.iter().map(|event| String::from_utf8_lossy(event).into_owned()));
        }
    }
    tokio::time::sleep(2 * LATER).await;
    shutdown.cancel();
    owner.await.unwrap().unwrap();
    let end = client.bounds(Topic::Facts, P).await.unwrap().end;
    let late = Follower::open(&client, Topic::Facts, P, follower.cursor()).await;
    if follower.cursor().offset < end.0 {
        let frames = late.unwrap().next(100, usize::MAX).await.unwrap();
        assert!(frames.is_empty(), "what landed late counts as well: {frames:?}");
    }
    events
}

#[tokio::test(start_paused = true)]
async fn whichever_append_of_an_owner_meets_whichever_fault_each_input_is_decided_once() {
    let wanted: Vec<_> = (0..10).map(|number| format!("{}:input-{number}", number + 1)).collect();
    let faults = [
        Fault::Lost,
        Fault::LandedButFailed,
        Fault::UnknownOffset,
        Fault::Duplicated,
        Fault::Hole,
        Fault::Torn,
        Fault::Late(LATER),
        Fault::LateHole(LATER),
        Fault::Unanswered(LATER),
    ];
    for fault in faults {
        for nth in 0..4 {
            assert_eq!(served(nth, fault).await, wanted, "append {nth} meets {fault:?}");
        }
    }
}

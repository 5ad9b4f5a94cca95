//! The loop under faults: whatever happens to its appends, each input is decided once, in order, on the state before it.
//!
//! Faults are injected between the loop and a real embedded log: landed but reported failed, lost, acknowledged without an
//! offset, and late (landing after the next owner's fence).
use async_trait::async_trait;
use bytes::Bytes;
use domain::tables::{Tables, View, put_row, row};
use futures::future::BoxFuture;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stream::cursor::Cursor;
use stream::embedded::{EmbeddedLog, EmbeddedOptions};
use stream::follow::Follower;
use stream::keys_file::FileKeyStore;
use stream::log::{
    AppendError, Appender, Bounds, Log, LogError, NewRecord, Offset, Partition, Reader, Record, Topic,
};
use stream::owner::{OwnerOptions, run_service};
use stream::service::{Decided, FrameMeta, Input, Payload, Service, UnknownEvent};
use stream::store::StateDb;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Numbers its inputs: the number is state, so a lost, doubled or foreign decision shows in the output.
#[derive(Debug)]
struct Counting;

const COUNT: &[u8] = b"c";

impl Service for Counting {
    type Event = Bytes;
    const NAME: &'static str = "counting";
    const INPUT: Topic = Topic::Ingest;
    const OUTPUT: Topic = Topic::Facts;
    const LOGIC_VERSION: u32 = 1;
    const STATE_VERSION: u32 = 1;

    fn decide(&self, view: &dyn View, input: &Input, step: u32) -> Decided<Bytes> {
        let Payload::Ingest(body) = &input.payload else { unreachable!("its input is ingest") };
        assert!(body.as_ref() != b"poison", "poison");
        if body.as_ref() == b"huge" {
            // More than a record may have.
            return Decided::Frame { events: vec![Bytes::from(vec![b'x'; 900 << 10])], more: false };
        }
        let count: u64 = row(view, COUNT).unwrap_or(0);
        let event = format!("{}:{}", count + 1, String::from_utf8_lossy(body));
        // Every fifth input takes two steps.
        Decided::Frame { events: vec![Bytes::from(event)], more: input.source % 5 == 4 && step == 0 }
    }

    fn evolve(&self, tables: &mut dyn Tables, _: &FrameMeta, events: &[Bytes]) {
        let count: u64 = row(tables, COUNT).unwrap_or(0);
        put_row(tables, COUNT, &(count + events.len() as u64));
    }

    fn encode(&self, event: &Bytes) -> Bytes {
        event.clone()
    }

    fn decode(&self, bytes: &Bytes) -> Result<Bytes, UnknownEvent> {
        Ok(bytes.clone())
    }
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    None,
    LandedButFailed,
    Lost,
    UnknownOffset,
    Late,
}

#[derive(Debug)]
struct Faulty {
    inner: Arc<dyn Log>,
    state: Arc<FaultState>,
}

#[derive(Debug)]
struct FaultState {
    chance: Mutex<StdRng>,
    on: Mutex<bool>,
    late: Mutex<Vec<Vec<NewRecord>>>,
}

#[derive(Debug)]
struct FaultyAppender {
    inner: Arc<dyn Appender>,
    state: Arc<FaultState>,
}

#[async_trait]
impl Log for Faulty {
    fn partition_count(&self) -> u32 {
        self.inner.partition_count()
    }
    async fn appender(&self) -> Result<Arc<dyn Appender>, LogError> {
        let inner = self.inner.appender().await?;
        Ok(Arc::new(FaultyAppender { inner, state: Arc::clone(&self.state) }))
    }
    async fn reader(&self, topic: Topic, at: Partition, from: Offset) -> Result<Box<dyn Reader>, LogError> {
        self.inner.reader(topic, at, from).await
    }
    async fn bounds(&self, topic: Topic, at: Partition) -> Result<Bounds, LogError> {
        self.inner.bounds(topic, at).await
    }
    async fn record_at(
        &self,
        topic: Topic,
        at: Partition,
        offset: Offset,
    ) -> Result<Option<Record>, LogError> {
        self.inner.record_at(topic, at, offset).await
    }
    async fn check(&self) -> Result<(), LogError> {
        self.inner.check().await
    }
    fn active(&self) -> watch::Receiver<Vec<Partition>> {
        self.inner.active()
    }
}

impl Appender for FaultyAppender {
    fn append(
        &self,
        topic: Topic,
        partition: Partition,
        records: Vec<NewRecord>,
    ) -> BoxFuture<'static, Result<Vec<Option<Offset>>, AppendError>> {
        let (inner, state) = (Arc::clone(&self.inner), Arc::clone(&self.state));
        Box::pin(async move {
            let fault = {
                let mut chance = state.chance.lock().unwrap();
                match chance.random_range(0..12) {
                    _ if !*state.on.lock().unwrap() => Fault::None,
                    0 => Fault::LandedButFailed,
                    1 => Fault::Lost,
                    2 => Fault::UnknownOffset,
                    3 => Fault::Late,
                    _ => Fault::None,
                }
            };
            let failed = || AppendError::Indefinite("injected".to_owned());
            let late = std::mem::take(&mut *state.late.lock().unwrap());
            let result = match fault {
                Fault::Lost => Err(failed()),
                Fault::Late => {
                    state.late.lock().unwrap().push(records);
                    Err(failed())
                }
                Fault::LandedButFailed => inner.append(topic, partition, records).await.and(Err(failed())),
                Fault::UnknownOffset => {
                    inner.append(topic, partition, records).await.map(|offsets| vec![None; offsets.len()])
                }
                Fault::None => inner.append(topic, partition, records).await,
            };
            // What was late lands after this append: after a fence, if this was one.
            for records in late {
                inner.append(topic, partition, records).await?;
            }
            result
        })
    }
}

const PARTITION: Partition = Partition(0);

async fn ingest(log: &Arc<dyn Log>, bodies: impl IntoIterator<Item = String>) {
    let records =
        bodies.into_iter().map(|body| NewRecord { key: Bytes::new(), value: Bytes::from(body) }).collect();
    log.appender().await.unwrap().append(Topic::Ingest, PARTITION, records).await.unwrap();
}

/// Reads accepted events until there are `wanted`.
async fn accepted(log: &Arc<dyn Log>, wanted: usize) -> Vec<String> {
    let mut follower = Follower::open(log, Topic::Facts, PARTITION, Cursor::START).await.unwrap();
    let mut events = Vec::new();
    while events.len() < wanted {
        let frames = follower.next(1_000, 1 << 20).await.unwrap();
        events.extend(
            frames
                .iter()
                .flat_map(|frame| &frame.events)
                .map(|event| String::from_utf8_lossy(event).into_owned()),
        );
    }
    events
}

fn expected(bodies: &[String]) -> Vec<String> {
    let mut events = Vec::new();
    for (source, body) in bodies.iter().enumerate() {
        for _ in 0..if source % 5 == 4 { 2 } else { 1 } {
            events.push(format!("{}:{body}", events.len() + 1));
        }
    }
    events
}

struct Place {
    directory: tempfile::TempDir,
    inner: Arc<dyn Log>,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let inner: Arc<dyn Log> =
            EmbeddedLog::open(EmbeddedOptions::new(directory.path().join("log"))).unwrap();
        Self { directory, inner }
    }

    /// Starts an owner with a store of its own.
    fn owner(
        &self,
        log: &Arc<dyn Log>,
        store: &str,
    ) -> (CancellationToken, tokio::task::JoinHandle<Result<(), stream::owner::OwnerError>>) {
        let state = StateDb::open(&self.directory.path().join(store)).unwrap();
        let keys =
            Arc::new(FileKeyStore::open(&self.directory.path().join(format!("{store}-keys"))).unwrap());
        let options = OwnerOptions {
            append_deadline: Duration::from_secs(5),
            store_commit_every: Duration::from_millis(5),
            batch_records: 7,
            ..OwnerOptions::default()
        };
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(run_service(
            Arc::new(Counting),
            options,
            Arc::clone(log),
            state,
            keys,
            shutdown.clone(),
        ));
        (shutdown, task)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_input_is_decided_once_in_order_whatever_happens_to_appends() {
    for seed in 0..12 {
        let place = Place::new();
        let state = Arc::new(FaultState {
            chance: Mutex::new(StdRng::seed_from_u64(seed)),
            on: Mutex::new(true),
            late: Mutex::new(Vec::new()),
        });
        let faulty: Arc<dyn Log> =
            Arc::new(Faulty { inner: Arc::clone(&place.inner), state: Arc::clone(&state) });
        let bodies: Vec<String> = (0..60).map(|number| format!("input-{number}")).collect();
        ingest(&place.inner, bodies[..30].to_vec()).await;
        let (stop, task) = place.owner(&faulty, "a");
        for body in &bodies[30..] {
            ingest(&place.inner, [body.clone()]).await;
        }
        let wanted = expected(&bodies);
        let seen = tokio::time::timeout(Duration::from_secs(60), accepted(&place.inner, wanted.len())).await;
        assert_eq!(seen.unwrap(), wanted, "seed {seed}");
        stop.cancel();
        task.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_owner_takes_over_and_the_first_one_writes_nothing_that_counts() {
    let place = Place::new();
    let bodies: Vec<String> = (0..200).map(|number| format!("input-{number}")).collect();
    let (stop_a, a) = place.owner(&place.inner, "a");
    ingest(&place.inner, bodies[..100].to_vec()).await;
    accepted(&place.inner, 1).await;
    // Both believe for a while: the fence decides, record by record.
    let (stop_b, b) = place.owner(&place.inner, "b");
    for body in &bodies[100..] {
        ingest(&place.inner, [body.clone()]).await;
    }
    let wanted = expected(&bodies);
    assert_eq!(accepted(&place.inner, wanted.len()).await, wanted);
    stop_a.cancel();
    stop_b.cancel();
    a.await.unwrap().unwrap();
    b.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_store_is_rebuilt_from_the_own_output_and_poison_is_parked() {
    let place = Place::new();
    let (stop, task) = place.owner(&place.inner, "a");
    ingest(&place.inner, ["one", "poison", "two"].map(String::from)).await;
    let first = accepted(&place.inner, 2).await;
    assert_eq!(first, ["1:one", "2:two"]);
    stop.cancel();
    task.await.unwrap().unwrap();
    let (stop, task) = place.owner(&place.inner, "another-disk");
    ingest(&place.inner, ["three"].map(String::from)).await;
    assert_eq!(accepted(&place.inner, 3).await, ["1:one", "2:two", "3:three"]);
    stop.cancel();
    task.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_no_record_can_hold_is_parked_and_the_partition_goes_on() {
    let place = Place::new();
    let (stop, task) = place.owner(&place.inner, "a");
    ingest(&place.inner, ["one", "huge", "two"].map(String::from)).await;
    let seen = tokio::time::timeout(Duration::from_secs(60), accepted(&place.inner, 2)).await;
    assert_eq!(seen.unwrap(), ["1:one", "2:two"]);
    let mut follower = Follower::open(&place.inner, Topic::Facts, PARTITION, Cursor::START).await.unwrap();
    let frames = follower.next(100, 4 << 20).await.unwrap();
    let parked: Vec<_> = frames.iter().filter(|frame| !frame.defect.is_empty()).collect();
    assert_eq!((parked.len(), parked[0].source, parked[0].defect_input.as_ref()), (1, 1, b"huge".as_ref()));
    assert!(parked[0].marks[0].detail.contains("bytes"), "{:?}", parked[0].marks);
    stop.cancel();
    task.await.unwrap().unwrap();
}

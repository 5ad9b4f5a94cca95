//! What follows accepted frames: gateways' records first, answers only once those are acknowledged, and nothing lost.
use async_trait::async_trait;
use bytes::Bytes;
use domain::tables::{Tables, View, put_row, row};
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use stream::embedded::{EmbeddedLog, EmbeddedOptions};
use stream::keys_file::FileKeyStore;
use stream::log::{
    AppendError, Appender, Bounds, Log, LogError, NewRecord, Offset, Partition, Reader, Record, Topic,
};
use stream::owner::{OwnerOptions, run_service};
use stream::service::{Decided, FrameMeta, Input, Payload, Service, SideOutput, UnknownEvent};
use stream::store::StateDb;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const P: Partition = Partition(0);
const NEWEST: &[u8] = b"n";

/// Announces each input to gateways and answers it.
#[derive(Debug)]
struct Announcing;

fn output(topic: Topic, value: &str) -> SideOutput {
    let key = Bytes::from_static(b"object");
    SideOutput { topic, partition: Some(P), key, value: Bytes::copy_from_slice(value.as_bytes()) }
}

impl Service for Announcing {
    type Event = Bytes;
    const NAME: &'static str = "announcing";
    const INPUT: Topic = Topic::Ingest;
    const OUTPUT: Topic = Topic::Facts;
    const LOGIC_VERSION: u32 = 1;
    const STATE_VERSION: u32 = 1;

    fn decide(&self, _: &dyn View, input: &Input, _: u32) -> Decided<Bytes> {
        let Payload::Ingest(body) = &input.payload else { unreachable!("its input is ingest") };
        Decided::Frame { events: vec![body.clone()], more: false }
    }

    fn evolve(&self, tables: &mut dyn Tables, _: &FrameMeta, events: &[Bytes]) {
        put_row(tables, NEWEST, &String::from_utf8_lossy(&events[0]));
    }

    fn encode(&self, event: &Bytes) -> Bytes {
        event.clone()
    }

    fn decode(&self, bytes: &Bytes) -> Result<Bytes, UnknownEvent> {
        Ok(bytes.clone())
    }

    fn standing_outputs(&self, view: &dyn View, _: Partition) -> Vec<SideOutput> {
        let newest = row::<String>(view, NEWEST);
        newest.iter().map(|newest| output(Topic::GatewayConfig, newest)).collect()
    }

    fn side_outputs(&self, _: &FrameMeta, events: &[Bytes]) -> Vec<SideOutput> {
        let text = String::from_utf8_lossy(&events[0]);
        vec![output(Topic::Outcomes, &text), output(Topic::GatewayConfig, &text)]
    }
}

/// What becomes of appends to `gateway-config`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Held,
    Failing,
    Landing,
}

#[derive(Debug)]
struct Gated {
    inner: Arc<dyn Log>,
    fate: watch::Sender<Fate>,
    /// How many `gateway-config` appends have begun.
    begun: Arc<watch::Sender<u32>>,
}

#[derive(Debug)]
struct GatedAppender {
    inner: Arc<dyn Appender>,
    fate: watch::Receiver<Fate>,
    begun: Arc<watch::Sender<u32>>,
}

#[async_trait]
impl Log for Gated {
    fn partition_count(&self) -> u32 {
        self.inner.partition_count()
    }
    async fn appender(&self) -> Result<Arc<dyn Appender>, LogError> {
        let inner = self.inner.appender().await?;
        let (fate, begun) = (self.fate.subscribe(), Arc::clone(&self.begun));
        Ok(Arc::new(GatedAppender { inner, fate, begun }))
    }
    async fn reader(&self, topic: Topic, at: Partition, from: Offset) -> Result<Box<dyn Reader>, LogError> {
        self.inner.reader(topic, at, from).await
    }
    async fn bounds(&self, topic: Topic, at: Partition) -> Result<Bounds, LogError> {
        self.inner.bounds(topic, at).await
    }
    async fn record_at(&self, topic: Topic, at: Partition, from: Offset) -> Result<Option<Record>, LogError> {
        self.inner.record_at(topic, at, from).await
    }
    async fn check(&self) -> Result<(), LogError> {
        self.inner.check().await
    }
    fn active(&self) -> watch::Receiver<Vec<Partition>> {
        self.inner.active()
    }
}

impl Appender for GatedAppender {
    fn append(
        &self,
        topic: Topic,
        partition: Partition,
        records: Vec<NewRecord>,
    ) -> BoxFuture<'static, Result<Vec<Option<Offset>>, AppendError>> {
        let (inner, mut fate) = (Arc::clone(&self.inner), self.fate.clone());
        if topic == Topic::GatewayConfig {
            self.begun.send_modify(|begun| *begun += 1);
        }
        Box::pin(async move {
            if topic == Topic::GatewayConfig {
                let fate = *fate.wait_for(|fate| *fate != Fate::Held).await.unwrap();
                if fate == Fate::Failing {
                    return Err(AppendError::Indefinite("injected".into()));
                }
            }
            inner.append(topic, partition, records).await
        })
    }
}

struct World {
    _dir: tempfile::TempDir,
    log: Arc<Gated>,
    stop: CancellationToken,
    service: tokio::task::JoinHandle<()>,
}

impl World {
    async fn start(fate: Fate) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = EmbeddedOptions { partitions: 1, ..EmbeddedOptions::new(dir.path().join("log")) };
        let inner: Arc<dyn Log> = EmbeddedLog::open(options).unwrap();
        let log = Arc::new(Gated { inner, fate: watch::Sender::new(fate), begun: Arc::default() });
        let state = StateDb::open(&dir.path().join("state")).unwrap();
        let keys = Arc::new(FileKeyStore::open(&dir.path().join("keys")).unwrap());
        let stop = CancellationToken::new();
        let (running, token) = (Arc::clone(&log) as Arc<dyn Log>, stop.clone());
        let service = tokio::spawn(async move {
            let options = OwnerOptions::default();
            run_service(Arc::new(Announcing), options, running, state, keys, token).await.unwrap();
        });
        Self { _dir: dir, log, stop, service }
    }

    async fn send(&self, text: &'static str) {
        let record = NewRecord { key: Bytes::new(), value: Bytes::from_static(text.as_bytes()) };
        let appender = self.log.inner.appender().await.unwrap();
        appender.append(Topic::Ingest, P, vec![record]).await.unwrap();
    }

    /// The first `count` records of a topic, once they are there.
    async fn read(&self, topic: Topic, count: usize) -> Vec<String> {
        let read = async {
            let mut reader = self.log.reader(topic, P, Offset(0)).await.unwrap();
            let mut values = Vec::new();
            while values.len() < count {
                let records = reader.next(100, 1 << 20).await.unwrap();
                values
                    .extend(records.iter().map(|record| String::from_utf8_lossy(&record.value).into_owned()));
            }
            values
        };
        tokio::time::timeout(Duration::from_secs(30), read).await.unwrap()
    }

    async fn count(&self, topic: Topic) -> u64 {
        self.log.bounds(topic, P).await.unwrap().end.0
    }

    async fn begun(&self, count: u32) {
        self.log.begun.subscribe().wait_for(|begun| *begun >= count).await.unwrap();
    }

    async fn stop(self) {
        self.stop.cancel();
        self.service.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_overtakes_what_gateways_must_know_and_those_keep_their_order() {
    let world = World::start(Fate::Held).await;
    world.send("a").await;
    world.begun(1).await;
    world.send("b").await;
    world.begun(2).await;
    assert_eq!(world.count(Topic::Outcomes).await, 0, "nobody is told before gateways can know");
    world.log.fate.send_replace(Fate::Landing);
    let answered = world.read(Topic::Outcomes, 2).await;
    assert_eq!(world.count(Topic::GatewayConfig).await, 2, "acknowledged before the last answer");
    assert_eq!(answered.len(), 2);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_gateways_missed_is_appended_at_the_next_take_and_its_answer_is_not_sent() {
    let world = World::start(Fate::Failing).await;
    world.send("a").await;
    world.begun(2).await;
    assert_eq!(world.count(Topic::Outcomes).await, 0);
    world.log.fate.send_replace(Fate::Landing);
    // Taken again, by itself: nobody else wrote meanwhile.
    assert_eq!(world.read(Topic::GatewayConfig, 1).await, ["a"]);
    world.send("b").await;
    assert_eq!(world.read(Topic::Outcomes, 1).await, ["b"], "the first is told nothing, and asks again");
    world.stop().await;
}

//! Recovery of a service's state: local store, snapshots, offset 0, each only where it fits the log.
//!
//! The service chains its events by their hash, so that any row that is missing, doubled or of another moment shows in every
//! later byte. The same service, never stopped, writes the same inputs to another topic: frames are compared with its.
use bytes::Bytes;
use domain::ids::Hash;
use domain::tables::{Tables, View, put_row, row};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use stream::cursor::Cursor;
use stream::log::{Log, NewRecord, Offset, Partition, Topic};
use stream::owner::{HaltHook, OwnerError, OwnerOptions, run_service};
use stream::service::{Decided, FrameMeta, Input, Payload, Service, UnknownEvent};
use stream::simulated::{Faults, MemoryKeys, SimulatedLog};
use stream::snapshot::{SnapshotDir, SnapshotOptions, Snapshots, read_about};
use stream::store::StateDb;
use tokio_util::sync::CancellationToken;

const P: Partition = Partition(0);
const CRASHING: u8 = 0;
const STEADY: u8 = 1;

/// `WHERE`: which of two topics it writes.
#[derive(Debug)]
struct Ledger<const WHERE: u8>;

impl<const WHERE: u8> Service for Ledger<WHERE> {
    type Event = Bytes;
    const NAME: &'static str = if WHERE == CRASHING { "ledger" } else { "steady" };
    const INPUT: Topic = Topic::Ingest;
    const OUTPUT: Topic = if WHERE == CRASHING { Topic::Facts } else { Topic::Commissions };
    const LOGIC_VERSION: u32 = 1;
    const STATE_VERSION: u32 = 1;

    fn decide(&self, view: &dyn View, input: &Input, _: u32) -> Decided<Bytes> {
        let Payload::Ingest(body) = &input.payload else { unreachable!("its input is ingest") };
        let last: Hash = row(view, b"last").unwrap_or(Hash::ZERO);
        let mine: u64 = row(view, body).unwrap_or(0);
        let all = view.range(b"customer", b"customes", usize::MAX).len();
        let event = [&last.0[..], &mine.to_be_bytes(), &all.to_be_bytes(), body].concat();
        Decided::Frame { events: vec![Bytes::from(event)], more: false }
    }

    fn evolve(&self, tables: &mut dyn Tables, _: &FrameMeta, events: &[Bytes]) {
        for event in events {
            let customer = &event[48..];
            let mine: u64 = row(tables, customer).unwrap_or(0);
            put_row(tables, customer, &(mine + 1));
            put_row(tables, b"last", &Hash::of(event));
        }
    }

    fn encode(&self, event: &Bytes) -> Bytes {
        event.clone()
    }

    fn decode(&self, bytes: &Bytes) -> Result<Bytes, UnknownEvent> {
        Ok(bytes.clone())
    }
}

struct World {
    log: SimulatedLog,
    dir: tempfile::TempDir,
    inputs: usize,
    steady: Option<Running>,
}

struct Running {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), OwnerError>>,
    halted: tokio::sync::watch::Receiver<Option<String>>,
}

impl Running {
    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// Waits for what another thread or task brings about.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(waited.await.is_ok(), "waited for {what}");
}

impl World {
    async fn new() -> Self {
        let mut world = Self {
            log: SimulatedLog::new(1, 1, Faults::NONE),
            dir: tempfile::tempdir().unwrap(),
            inputs: 0,
            steady: None,
        };
        world.steady = Some(world.start::<STEADY>("steady", Some(world.options())));
        world
    }

    fn start<const WHERE: u8>(&self, store: &str, snapshots: Option<SnapshotOptions>) -> Running {
        let (told, halted) = tokio::sync::watch::channel(None);
        let options = OwnerOptions {
            store_commit_every: Duration::from_millis(3),
            batch_records: 50,
            host: self.log.host(0),
            snapshots: snapshots.map(|options| Snapshots::start(options).unwrap()),
            on_halt: Some(HaltHook(Arc::new(move |_, error| {
                told.send_replace(error.map(ToString::to_string));
            }))),
            ..OwnerOptions::default()
        };
        let stop = CancellationToken::new();
        let state = StateDb::open(&self.dir.path().join(store)).unwrap();
        let log: Arc<dyn Log> = self.log.client();
        let keys = Arc::new(MemoryKeys::default());
        let run = run_service(Arc::new(Ledger::<WHERE>), options, log, state, keys, stop.clone());
        Running { stop, task: tokio::spawn(run), halted }
    }

    /// Snapshots as often as the thread can.
    fn options(&self) -> SnapshotOptions {
        SnapshotOptions { every_frames: 1, keep: 100, rest: 0, ..SnapshotOptions::new(self.snapshots()) }
    }

    fn snapshots(&self) -> PathBuf {
        self.dir.path().join("snapshots")
    }

    fn crashing(&self) -> Running {
        self.start::<CRASHING>("state", Some(self.options()))
    }

    fn wipe(&self) {
        std::fs::remove_dir_all(self.dir.path().join("state")).unwrap();
    }

    async fn inputs(&mut self, count: usize) {
        let records = (self.inputs..self.inputs + count)
            .map(|n| NewRecord { key: Bytes::new(), value: Bytes::from(format!("customer {}", n * 7 % 41)) })
            .collect();
        let appender = self.log.client().appender().await.unwrap();
        appender.append(Topic::Ingest, P, records).await.unwrap();
        self.inputs += count;
    }

    /// The accepted contents' bytes, by number.
    fn contents(&self, topic: Topic) -> Vec<(u64, Bytes)> {
        let mut judge = stream::judge::Judge::new(Cursor::START);
        let records = self.log.records(topic, P, Offset(0));
        records
            .iter()
            .filter_map(|record| match judge.judge(record).unwrap() {
                stream::judge::Judged::Frame(frame) => {
                    Some((frame.seq, wire::envelope::decode(&record.value).unwrap().1))
                }
                _ => None,
            })
            .collect()
    }

    /// Both services have decided all inputs, with the same bytes.
    async fn is_as_if_never_crashed(&self) {
        let all = self.inputs;
        until("the steady service", || self.contents(Topic::Commissions).len() == all).await;
        until("the other one", || self.contents(Topic::Facts).len() == all).await;
        let (steady, crashed) = (self.contents(Topic::Commissions), self.contents(Topic::Facts));
        assert!(steady.iter().zip(1..).all(|((seq, _), wanted)| *seq == wanted));
        assert!(steady == crashed, "other bytes than if it had never crashed");
    }

    fn listed(&self) -> Vec<(u64, PathBuf)> {
        let found = SnapshotDir::of(&self.snapshots(), "ledger").list(Some(P)).unwrap();
        found.into_iter().map(|found| (found.seq, found.path)).collect()
    }

    /// Waits for a snapshot of everything, and deletes all others that end after `keep_to`.
    async fn only_newest_after(&self, keep_to: u64) -> (u64, PathBuf) {
        let all = self.inputs as u64;
        until("a snapshot", || self.listed().first().is_some_and(|(seq, _)| *seq == all)).await;
        let listed = self.listed();
        for (seq, path) in &listed[1..] {
            if *seq > keep_to {
                std::fs::remove_file(path).unwrap();
            }
        }
        listed[0].clone()
    }

    /// Retention takes the output up to the record before the snapshot's cursor: only that snapshot can help now.
    fn expire_output_before(&self, snapshot: &Path) {
        self.log.expire(Topic::Facts, P, Offset(read_about(snapshot).unwrap().cursor.offset - 1));
    }

    async fn end(mut self) {
        self.steady.take().unwrap().stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_disk_a_snapshot_and_the_tail_give_the_bytes_of_a_service_that_never_crashed() {
    let mut world = World::new().await;
    world.inputs(700).await;
    let running = world.crashing();
    world.only_newest_after(0).await;
    world.inputs(300).await;
    world.is_as_if_never_crashed().await;
    running.stop().await;
    // A tail that no snapshot has, and inputs that nobody has decided; the raw requests of all that was decided are gone.
    let listed = world.listed();
    for (_, path) in listed.iter().filter(|(seq, _)| *seq > 700) {
        std::fs::remove_file(path).unwrap();
    }
    world.wipe();
    world.inputs(200).await;
    until("the steady service", || world.contents(Topic::Commissions).len() == 1_200).await;
    world.log.expire(Topic::Ingest, P, Offset(1_000));
    let running = world.crashing();
    world.is_as_if_never_crashed().await;
    running.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_fits_the_log_is_used_the_newest_first() {
    let mut world = World::new().await;
    world.inputs(400).await;
    let running = world.crashing();
    let (older, older_file) = world.only_newest_after(0).await;
    world.inputs(400).await;
    let (_, newer_file) = world.only_newest_after(older).await;
    world.is_as_if_never_crashed().await;
    running.stop().await;

    // Rubbish, of another service, of another log, damaged: each is passed over, and the older one taken.
    let folder = world.snapshots().join("ledger");
    let name = |seq: u32| folder.join(format!("00000.{seq:020}.{:020}.0000000000000001.snapshot", seq + 1));
    std::fs::write(name(9_999), b"rubbish").unwrap();
    std::fs::write(folder.join("README"), b"no snapshot at all").unwrap();
    let of_another_service = SnapshotDir::of(&world.snapshots(), "steady").list(Some(P)).unwrap();
    std::fs::copy(&of_another_service[0].path, name(9_998)).unwrap();
    let mut another = World::new().await;
    another.inputs(900).await;
    let running = another.crashing();
    let (_, of_another_log) = another.only_newest_after(0).await;
    running.stop().await;
    std::fs::copy(of_another_log, name(900)).unwrap();
    another.end().await;
    let mut damaged = std::fs::read(&newer_file).unwrap();
    let middle = damaged.len() / 3;
    damaged[middle] ^= 1;
    std::fs::write(&newer_file, damaged).unwrap();

    world.wipe();
    world.expire_output_before(&older_file);
    let running = world.crashing();
    world.inputs(100).await;
    world.is_as_if_never_crashed().await;
    assert_eq!(*running.halted.borrow(), None);
    running.stop().await;

    // None fits any more, and the output does not begin at its beginning: nothing is guessed.
    std::fs::remove_dir_all(&folder).unwrap();
    world.wipe();
    let mut running = world.crashing();
    running.halted.wait_for(Option::is_some).await.unwrap();
    running.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_was_truncated_below_a_snapshot_falls_back_to_an_older_one() {
    let mut world = World::new().await;
    world.inputs(400).await;
    let running = world.crashing();
    let (older, older_file) = world.only_newest_after(0).await;
    world.inputs(400).await;
    world.only_newest_after(older).await;
    world.is_as_if_never_crashed().await;
    running.stop().await;
    // The log loses frames that the newest snapshot and the local store have; other frames take their offsets.
    let kept = read_about(&older_file).unwrap().cursor.offset as usize + 50;
    let records = world.log.records(Topic::Facts, P, Offset(0)).len();
    world.log.truncate(Topic::Facts, P, records - kept);
    world.inputs(50).await;
    let running = world.crashing();
    // What was decided again from the same inputs on the same state has the same bytes.
    world.is_as_if_never_crashed().await;
    running.stop().await;
    // And without a snapshot that fits, from the start.
    for (_, path) in world.listed() {
        std::fs::remove_file(path).unwrap();
    }
    world.wipe();
    world.inputs(50).await;
    let running = world.crashing();
    world.is_as_if_never_crashed().await;
    running.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_store_that_is_far_behind_gives_way_to_a_snapshot_and_one_that_is_not_does_not() {
    let mut world = World::new().await;
    world.inputs(100).await;
    let running = world.crashing();
    world.only_newest_after(0).await;
    running.stop().await;
    // Another machine goes on for long.
    let elsewhere = world.start::<CRASHING>("other-machine", Some(world.options()));
    world.inputs(2_000).await;
    let (_, far) = world.only_newest_after(0).await;
    elsewhere.stop().await;
    // Back on the first one. Its store ends at frame 100, and what follows is gone from the log.
    world.expire_output_before(&far);
    let running = world.crashing();
    world.inputs(10).await;
    world.is_as_if_never_crashed().await;
    running.stop().await;

    // A store that is as new as can be needs no snapshot, and no directory that answers.
    let without = SnapshotOptions { dir: world.dir.path().join("gone"), ..world.options() };
    let running = world.start::<CRASHING>("state", Some(without.clone()));
    std::fs::remove_dir_all(&without.dir).unwrap();
    std::fs::write(&without.dir, b"no directory").unwrap();
    world.inputs(10).await;
    world.is_as_if_never_crashed().await;
    running.stop().await;
    world.end().await;
}

//! What only the embedded log promises: the fsynced mark, the poisoned end, the lock, retention, offline maintenance.
use bytes::Bytes;
use domain::time::Micros;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use stream::embedded::{EmbeddedLog, EmbeddedOptions, Environment, RemoteLog, open_read_only};
use stream::log::{AppendError, Log, LogError, NewRecord, Offset, Partition, Topic};

const P: Partition = Partition(1);
const HOUR: i64 = 3_600_000_000;

/// A world whose fsync can be held up or fail, and whose clock is set by hand.
#[derive(Debug)]
struct World {
    clock: AtomicI64,
    syncs: AtomicU32,
    failing: AtomicBool,
    free: AtomicU64,
    held: Mutex<bool>,
    changed: Condvar,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            clock: AtomicI64::new(1_000 * HOUR),
            syncs: AtomicU32::new(0),
            failing: AtomicBool::new(false),
            free: AtomicU64::new(u64::MAX),
            held: Mutex::new(false),
            changed: Condvar::new(),
        })
    }

    fn hold(&self, held: bool) {
        *self.held.lock().unwrap() = held;
        self.changed.notify_all();
    }
}

impl Environment for World {
    fn now(&self) -> Micros {
        Micros(self.clock.load(Ordering::SeqCst))
    }

    fn before_sync(&self) -> std::io::Result<()> {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_all();
        drop(self.changed.wait_while(self.held.lock().unwrap(), |held| *held).unwrap());
        if self.failing.load(Ordering::SeqCst) {
            return Err(std::io::Error::other("injected"));
        }
        Ok(())
    }

    fn free_bytes(&self, _dir: &Path) -> std::io::Result<u64> {
        Ok(self.free.load(Ordering::SeqCst))
    }
}

fn open(dir: &Path, world: &Arc<World>) -> Arc<EmbeddedLog> {
    let mut options = EmbeddedOptions::new(dir);
    options.partitions = 2;
    options.ingest_retention = Duration::from_secs(2 * 3_600);
    options.reserve_bytes = 1_000;
    options.environment = Arc::clone(world) as Arc<dyn Environment>;
    EmbeddedLog::open(options).unwrap()
}

fn record(value: &str) -> NewRecord {
    NewRecord { key: Bytes::new(), value: Bytes::copy_from_slice(value.as_bytes()) }
}

async fn append(log: &EmbeddedLog, topic: Topic, value: &str) -> Result<Offset, AppendError> {
    let appender = log.appender().await.unwrap();
    Ok(appender.append(topic, P, vec![record(value)]).await?[0].unwrap())
}

async fn end(log: &dyn Log) -> u64 {
    log.bounds(Topic::Facts, P).await.unwrap().end.0
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_read_before_its_fsync_and_what_waits_meanwhile_shares_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new();
    let log = open(dir.path(), &world);
    let appender = log.appender().await.unwrap();
    world.hold(true);
    let first = appender.append(Topic::Facts, P, vec![record("first")]);
    // The writer now stands before its fsync, with the record in the store.
    let waiting = Arc::clone(&world);
    tokio::task::spawn_blocking(move || {
        let held = waiting.held.lock().unwrap();
        drop(waiting.changed.wait_while(held, |_| waiting.syncs.load(Ordering::SeqCst) == 0).unwrap());
    })
    .await
    .unwrap();
    let others: Vec<_> = (0..100).map(|_| appender.append(Topic::Facts, P, vec![record("other")])).collect();
    assert_eq!(end(log.as_ref()).await, 0);
    assert!(log.record_at(Topic::Facts, P, Offset(0)).await.is_err());
    let mut reader = log.reader(Topic::Facts, P, Offset(0)).await.unwrap();
    assert!(futures::poll!(reader.next(10, 10)).is_pending());
    world.hold(false);
    first.await.unwrap();
    futures::future::try_join_all(others).await.unwrap();
    assert_eq!(reader.next(1, usize::MAX).await.unwrap()[0].value, "first");
    assert_eq!((end(log.as_ref()).await, world.syncs.load(Ordering::SeqCst)), (101, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_fsync_ends_the_log_and_the_next_start_believes_only_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new();
    let log = open(dir.path(), &world);
    append(&log, Topic::Facts, "kept").await.unwrap();
    let mut reader = log.reader(Topic::Facts, P, Offset(1)).await.unwrap();
    let appender = log.appender().await.unwrap();
    let mut poisoned = log.poisoned();
    assert_eq!(poisoned.reason(), None);
    world.failing.store(true, Ordering::SeqCst);
    assert!(matches!(append(&log, Topic::Facts, "lost?").await, Err(AppendError::Indefinite(_))));
    assert!(poisoned.wait().await.contains("injected"));
    let again = appender.append(Topic::Facts, P, vec![record("never")]).await;
    assert!(matches!(again, Err(AppendError::Refused(_))), "{again:?}");
    assert!(matches!(reader.next(1, 1).await, Err(LogError::Corrupt(_))));
    assert!(log.appender().await.is_err() && log.check().await.is_err());
    drop((log, reader, appender));
    assert!(!dir.path().join("clean").exists());

    let log = open(dir.path(), &World::new());
    // Indefinite: it may be there.
    let found = end(log.as_ref()).await;
    assert!((1..=2).contains(&found));
    assert_eq!(append(&log, Topic::Facts, "next").await.unwrap(), Offset(found));
    log.close();
    assert!(dir.path().join("clean").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_refuses_what_is_new_first_then_everything_and_recovers_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new();
    let log = open(dir.path(), &world);
    let tries = async |free: u64| {
        world.free.store(free, Ordering::SeqCst);
        let mut taken = Vec::new();
        for topic in [Topic::Ingest, Topic::Facts, Topic::Outcomes] {
            match append(&log, topic, "x").await {
                Ok(_) => taken.push(topic),
                // Definite: nothing of it is on the disk, and the appender may be used again.
                Err(AppendError::Refused(_)) => {}
                Err(AppendError::Indefinite(error)) => panic!("{error}"),
            }
        }
        taken
    };
    assert_eq!(tries(1_000).await, [Topic::Ingest, Topic::Facts, Topic::Outcomes]);
    assert_eq!(tries(999).await, [Topic::Facts, Topic::Outcomes], "what was accepted is still worked off");
    assert_eq!(tries(499).await, []);
    assert_eq!(log.poisoned().reason(), None);
    assert_eq!(tries(1_000).await, [Topic::Ingest, Topic::Facts, Topic::Outcomes]);
    assert_eq!(log.bounds(Topic::Ingest, P).await.unwrap().end.0, 2, "what was refused is not there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_has_one_holder_who_is_named_and_partitions_stay() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new();
    let log = open(dir.path(), &world);
    let mut options = EmbeddedOptions::new(dir.path());
    let refused = EmbeddedLog::open(options.clone()).unwrap_err().to_string();
    assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
    drop(log);
    options.partitions = 3;
    assert!(matches!(EmbeddedLog::open(options), Err(LogError::Misconfigured(_))));
    drop(open(dir.path(), &world));
    assert!(open_read_only(&dir.path().join("nothing")).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_moves_the_start_for_ever_and_offsets_never_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new();
    let log = open(dir.path(), &world);
    for n in 0..6 {
        append(&log, Topic::Ingest, &format!("i{n}")).await.unwrap();
        append(&log, Topic::Facts, "f").await.unwrap();
        world.clock.fetch_add(HOUR, Ordering::SeqCst);
    }
    let mut slow = log.reader(Topic::Ingest, P, Offset(0)).await.unwrap();
    log.trim().await;
    let bounds = log.bounds(Topic::Ingest, P).await.unwrap();
    assert_eq!((bounds.start, bounds.end), (Offset(4), Offset(6)));
    assert_eq!(log.record_at(Topic::Ingest, P, Offset(3)).await.unwrap(), None);
    assert!(matches!(slow.next(1, 1).await, Err(LogError::OutOfRange { .. })));
    assert_eq!(log.bounds(Topic::Facts, P).await.unwrap().start, Offset(0), "the chain is kept for ever");

    world.clock.fetch_add(10 * HOUR, Ordering::SeqCst);
    log.trim().await;
    drop((log, slow));
    let log = open(dir.path(), &world);
    let bounds = log.bounds(Topic::Ingest, P).await.unwrap();
    assert_eq!((bounds.start, bounds.end), (Offset(6), Offset(6)));
    assert_eq!(append(&log, Topic::Ingest, "i6").await.unwrap(), Offset(6));
    assert_eq!(*log.active().borrow(), [P], "what expired was there once");
}

#[tokio::test(flavor = "multi_thread")]
async fn append_times_never_go_back_even_across_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new();
    let log = open(dir.path(), &world);
    append(&log, Topic::Facts, "a").await.unwrap();
    world.clock.fetch_sub(HOUR, Ordering::SeqCst);
    append(&log, Topic::Facts, "b").await.unwrap();
    drop(log);
    let log = open(dir.path(), &world);
    append(&log, Topic::Facts, "c").await.unwrap();
    for offset in 0..3 {
        let record = log.record_at(Topic::Facts, P, Offset(offset)).await.unwrap().unwrap();
        assert_eq!(record.appended_at, Micros(1_000 * HOUR));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chain_can_be_dropped_offline_and_ingest_stays() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new();
    let log = open(dir.path(), &world);
    for topic in Topic::ALL {
        append(&log, topic, "x").await.unwrap();
    }
    assert!(EmbeddedLog::drop_chain_topics(dir.path()).is_err(), "not while it is open");
    drop(log);
    EmbeddedLog::drop_chain_topics(dir.path()).unwrap();
    for _ in 0..2 {
        let log = open(dir.path(), &world);
        for topic in Topic::ALL {
            let bounds = log.bounds(topic, P).await.unwrap();
            let kept = u64::from(topic == Topic::Ingest);
            assert_eq!((bounds.start.0, bounds.end.0), (0, kept), "{}", topic.name());
        }
    }
    let log = open(dir.path(), &world);
    assert_eq!(append(&log, Topic::Facts, "again").await.unwrap(), Offset(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_reads_and_asks_through_the_socket_and_a_stopped_log_is_read_directly() {
    // Longer than a socket's path may be.
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("d".repeat(120));
    let world = World::new();
    let log = open(&dir, &world);
    append(&log, Topic::Facts, "x").await.unwrap();
    assert!(RemoteLog::connect(&dir).await.is_err(), "nobody serves yet");
    log.serve().unwrap();
    let remote = open_read_only(&dir).await.unwrap();
    assert_eq!((end(remote.as_ref()).await, remote.partition_count()), (1, 2));
    let appender = remote.appender().await.unwrap();
    let record = || vec![NewRecord { key: Bytes::new(), value: Bytes::from_static(b"asked for") }];
    assert!(matches!(appender.append(Topic::Facts, P, record()).await, Err(AppendError::Refused(_))));
    assert_eq!(appender.append(Topic::Ingest, P, record()).await.unwrap(), [Some(Offset(0))]);
    let written = log.record_at(Topic::Ingest, P, Offset(0)).await.unwrap().unwrap();
    assert_eq!(written.value, "asked for");
    let mut reader = remote.reader(Topic::Facts, P, Offset(1)).await.unwrap();
    log.close();
    assert!(appender.append(Topic::Ingest, P, record()).await.is_err());
    assert!(reader.next(1, 1).await.is_err());

    let direct = open_read_only(&dir).await.unwrap();
    assert_eq!(end(direct.as_ref()).await, 1);
    assert!(direct.appender().await.is_err());
}

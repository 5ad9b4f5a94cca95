//! How fast and how dear the embedded log, the state store and the key store are on this machine:
//! `cargo run --release -p tributary-stream --features measure --example log_speed [directory]`.
//!
//! CPU is that of the whole process, background work of the store included. One append is in flight at a time unless
//! the line says otherwise, so a line's rate is the rate of its fsyncs.
#![allow(clippy::unwrap_used, clippy::cast_precision_loss, clippy::print_stdout)]
use bytes::Bytes;
use domain::ids::SubjectId;
use domain::tables::{Tables, View};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stream::cursor::Cursor;
use stream::embedded::{EmbeddedLog, EmbeddedOptions};
use stream::keys::KeyStore;
use stream::keys_file::FileKeyStore;
use stream::log::{Log, NewRecord, Offset, Partition, Topic};
use stream::store::{Overlay, StateDb, StateStore};

const ROUND: Duration = Duration::from_secs(2);

fn cpu_micros() -> i64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    usage.user_time().num_microseconds() + usage.system_time().num_microseconds()
}

struct Stopwatch(Instant, i64);

impl Stopwatch {
    fn start() -> Self {
        Self(Instant::now(), cpu_micros())
    }

    fn print(&self, what: &str, count: u64) {
        let (wall, cpu) = (self.0.elapsed().as_secs_f64(), cpu_micros() - self.1);
        println!(
            "{what:<52} {:>11.0}/s  {:>8.3} us CPU each  {:>9.2} us wall each",
            count as f64 / wall,
            cpu as f64 / count as f64,
            wall * 1e6 / count as f64
        );
    }
}

fn open(dir: &Path, tail_bytes: usize) -> Arc<EmbeddedLog> {
    let mut options = EmbeddedOptions::new(dir);
    options.tail_bytes = tail_bytes;
    EmbeddedLog::open(options).unwrap()
}

async fn appends(log: &EmbeddedLog, bytes: usize, batch: usize) {
    let appender = log.appender().await.unwrap();
    let record = NewRecord { key: Bytes::from_static(b"prog_demo"), value: vec![7; bytes].into() };
    let watch = Stopwatch::start();
    let (mut count, mut partition) = (0_u64, 0);
    while watch.0.elapsed() < ROUND {
        appender.append(Topic::Facts, Partition(partition), vec![record.clone(); batch]).await.unwrap();
        partition = (partition + 1) % log.partition_count();
        count += batch as u64;
    }
    watch.print(&format!("append {bytes} B in batches of {batch}"), count);
}

async fn concurrent_appends(log: &Arc<EmbeddedLog>, bytes: usize, callers: u32) {
    let watch = Stopwatch::start();
    let mut tasks = tokio::task::JoinSet::new();
    for caller in 0..callers {
        let log = Arc::clone(log);
        tasks.spawn(async move {
            let appender = log.appender().await.unwrap();
            let record = NewRecord { key: Bytes::new(), value: vec![7; bytes].into() };
            let (began, mut count) = (Instant::now(), 0_u64);
            while began.elapsed() < ROUND {
                let partition = Partition(caller % log.partition_count());
                appender.append(Topic::Ingest, partition, vec![record.clone()]).await.unwrap();
                count += 1;
            }
            count
        });
    }
    let count = tasks.join_all().await.iter().sum();
    watch.print(&format!("append {bytes} B one by one, {callers} callers"), count);
}

async fn reads(log: &EmbeddedLog, from: &str) {
    let watch = Stopwatch::start();
    let mut count = 0_u64;
    for partition in (0..log.partition_count()).map(Partition) {
        let bounds = log.bounds(Topic::Facts, partition).await.unwrap();
        let mut reader = log.reader(Topic::Facts, partition, bounds.start).await.unwrap();
        let mut next = bounds.start.0;
        while next < bounds.end.0 {
            let records = reader.next(1_000, 2 << 20).await.unwrap();
            next = records.last().unwrap().offset.0 + 1;
            count += records.len() as u64;
        }
    }
    watch.print(&format!("read from {from}, batches of 1,000"), count);
}

async fn one_reads(log: &EmbeddedLog) {
    let end = log.bounds(Topic::Facts, Partition(0)).await.unwrap().end.0;
    let watch = Stopwatch::start();
    for n in 0..10_000_u64 {
        let offset = Offset(n.wrapping_mul(7_919) % end);
        log.record_at(Topic::Facts, Partition(0), offset).await.unwrap().unwrap();
    }
    watch.print("find one record by its offset, on disk", 10_000);
}

fn state(dir: &Path) {
    let db = StateDb::open(dir).unwrap();
    let (store, _) = StateStore::open(&db, "commission", Partition(0), 1).unwrap();
    let mut overlay = Overlay::new(Arc::new(store));
    let key = |n: u64| {
        let mut key = [1_u8; 40];
        key[1..9].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        key
    };
    let row = Bytes::from(vec![7; 120]);
    const ROWS: u64 = 1_000_000;
    let watch = Stopwatch::start();
    for n in 0..ROWS {
        overlay.put(&key(n), row.clone());
        if overlay.len() >= 20_000 {
            overlay.commit(&Cursor::START).unwrap();
        }
    }
    overlay.commit(&Cursor::START).unwrap();
    watch.print("state: put 160 B, commits of 20,000 rows", ROWS);
    let gets = |what: &str, overlay: &Overlay, number: &dyn Fn(u64) -> u64, found: bool| {
        let watch = Stopwatch::start();
        for n in 0..300_000 {
            assert_eq!(overlay.get(&key(number(n))).is_some(), found);
        }
        watch.print(what, 300_000);
    };
    gets("state: get, random of 1 M rows", &overlay, &|n| n * 7_919 % ROWS, true);
    gets("state: get, absent", &overlay, &|n| ROWS + n, false);
    gets("state: get, one of 100 hot rows", &overlay, &|n| n % 100, true);
    for n in 0..20_000 {
        overlay.put(&key(n), row.clone());
    }
    gets("state: get, one of 20,000 pending rows", &overlay, &|n| n * 7_919 % 20_000, true);
    let watch = Stopwatch::start();
    for n in 0..20_000 {
        assert!(!overlay.range(&key(n), &[2], 10).is_empty());
    }
    watch.print("state: range of 10 rows", 20_000);
}

fn keyspaces(dir: &Path, count: u32) {
    let options = fjall::KeyspaceCreateOptions::default;
    for round in ["create", "open"] {
        let watch = Stopwatch::start();
        let db = fjall::Database::builder(dir).open().unwrap();
        let keyspaces: Vec<_> = (0..count).map(|n| db.keyspace(&format!("k{n}"), options).unwrap()).collect();
        for keyspace in &keyspaces {
            keyspace.insert("a", "b").unwrap();
        }
        watch.print(&format!("store with {count} keyspaces: {round}"), 1);
    }
}

async fn keys(dir: &Path) {
    let store = FileKeyStore::open(dir).unwrap();
    let subject = |n: u64| {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&n.to_be_bytes());
        SubjectId(id)
    };
    let watch = Stopwatch::start();
    for batch in 0..500 {
        let wanted: Vec<_> = (batch * 100..batch * 100 + 100).map(subject).collect();
        store.ensure(&wanted).await.unwrap();
    }
    watch.print("keys: make, batches of 100", 50_000);
    let watch = Stopwatch::start();
    for n in 0..200_000_u64 {
        store.get(subject(n * 7_919 % 50_000)).unwrap();
    }
    watch.print("keys: get, random of 50,000", 200_000);
    let watch = Stopwatch::start();
    for n in 0..200_000_u64 {
        store.get(subject(n % 1_000)).unwrap();
    }
    watch.print("keys: get, one of 1,000 recent", 200_000);
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let parent = std::env::args().nth(1).map_or_else(std::env::temp_dir, Into::into);
    let scratch = tempfile::tempdir_in(parent).unwrap();
    for bytes in [600, 1_400] {
        for batch in [1, 10, 100, 1_000] {
            let dir = scratch.path().join(format!("log-{bytes}-{batch}"));
            let log = open(&dir, 64 << 20);
            appends(&log, bytes, batch).await;
            drop(log);
            if batch == 100 {
                let watch = Stopwatch::start();
                let log = open(&dir, 64 << 20);
                watch.print("open it again", 1);
                reads(&log, "the disk").await;
                one_reads(&log).await;
            }
            std::fs::remove_dir_all(&dir).unwrap();
        }
    }
    let log = open(&scratch.path().join("log-tail"), 1 << 30);
    appends(&log, 600, 100).await;
    reads(&log, "memory").await;
    for callers in [4, 16, 64, 256] {
        concurrent_appends(&log, 1_400, callers).await;
    }
    drop(log);
    state(&scratch.path().join("state"));
    keyspaces(&scratch.path().join("k3"), 3);
    keyspaces(&scratch.path().join("k192"), 192);
    keys(&scratch.path().join("keys")).await;
}

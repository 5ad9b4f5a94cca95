//! The state of each service after its disk is gone: from a snapshot, and from offset 0 of its output. The log is filled as
//! in `pipeline`, with a new customer in each sale; then each service alone takes all partitions with an empty store, until
//! the last one is taken. Files are in the page cache both times: what is compared is work, not a disk.
use crate::pipeline::{PARTITIONS, fill};
use crate::{place, usage};
use anyhow::{Context as _, Result};
use services::attribution::Attribution;
use services::commission::Commission;
use services::normalizer::Normalizer;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use stream::keys::KeyStore;
use stream::keys_file::FileKeyStore;
use stream::log::{Log, Offset, Partition, Topic};
use stream::owner::{HaltHook, OwnerOptions, run_service};
use stream::service::Service;
use stream::snapshot::{SnapshotDir, SnapshotOptions, Snapshots, read_about};
use stream::store::StateDb;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) fn run(
    brokers: Option<&str>,
    customers: usize,
    programs: usize,
    dir: Option<&Path>,
) -> Result<()> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(measure(brokers, customers, programs, dir))
}

/// A log that was filled and worked off.
pub(crate) struct Place {
    pub(crate) log: Arc<dyn Log>,
    keys: Arc<dyn KeyStore>,
    dir: std::path::PathBuf,
}

/// A running service, and how many partitions it has taken.
struct Running {
    stop: CancellationToken,
    task: JoinHandle<Result<(), stream::owner::OwnerError>>,
    taken: Arc<AtomicU32>,
}

impl Place {
    fn start<S: Service>(
        &self,
        service: S,
        state: &str,
        snapshots: Option<Arc<Snapshots>>,
    ) -> Result<Running> {
        let taken = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&taken);
        let hook = move |partition: Partition, error: Option<&stream::owner::OwnerError>| match error {
            Some(error) => eprintln!("partition {}: {error}", partition.0),
            None => {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        };
        let options =
            OwnerOptions { on_halt: Some(HaltHook(Arc::new(hook))), snapshots, ..OwnerOptions::default() };
        let stop = CancellationToken::new();
        let state = StateDb::open(&self.dir.join(format!("{state}-{}", S::NAME)))?;
        let (log, keys) = (Arc::clone(&self.log), Arc::clone(&self.keys));
        let task = tokio::spawn(run_service(Arc::new(service), options, log, state, keys, stop.clone()));
        Ok(Running { stop, task, taken })
    }

    fn snapshots(&self) -> Result<Arc<Snapshots>> {
        let dir = self.dir.join("snapshots");
        Ok(Snapshots::start(SnapshotOptions { every_frames: 1, rest: 0, ..SnapshotOptions::new(dir) })?)
    }

    /// Seconds and CPU seconds until every partition is taken with an empty store.
    async fn restore<S: Service>(&self, service: S, state: &str, from_snapshots: bool) -> Result<(f64, f64)> {
        let snapshots = if from_snapshots { Some(self.snapshots()?) } else { None };
        let (cpu, started) = (usage::cpu_time()?, Instant::now());
        let running = self.start(service, state, snapshots)?;
        while running.taken.load(Ordering::Relaxed) < PARTITIONS {
            anyhow::ensure!(!running.task.is_finished(), "the service ended");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let (wall, cpu) = (started.elapsed(), usage::cpu_time()? - cpu);
        running.stop().await?;
        Ok((wall.as_secs_f64(), cpu.as_secs_f64()))
    }

    /// A snapshot of each partition's last frame; how long that took, the longest pause of the loop, and the files' bytes.
    async fn take_snapshots<S: Service>(&self, service: S) -> Result<Taken> {
        let snapshots = self.snapshots()?;
        let started = Instant::now();
        let running = self.start(service, "state", Some(Arc::clone(&snapshots)))?;
        let dir = SnapshotDir::of(&self.dir.join("snapshots"), S::NAME);
        while dir.list(None)?.len() < PARTITIONS as usize {
            anyhow::ensure!(!running.task.is_finished(), "the service ended");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let took = started.elapsed().as_secs_f64();
        running.stop().await?;
        let mut taken = Taken { took, pause: snapshots.longest_pause(), rows: 0, bytes: 0 };
        for found in dir.list(None)? {
            let about = read_about(&found.path)?;
            taken.rows += about.rows;
            taken.bytes += std::fs::metadata(&found.path)?.len();
        }
        Ok(taken)
    }

    async fn compare<S: Service>(&self, service: impl Fn() -> S) -> Result<()> {
        let taken = self.take_snapshots(service()).await?;
        let (snapshot, snapshot_cpu) = self.restore(service(), "from-snapshot", true).await?;
        let (start, start_cpu) = self.restore(service(), "from-start", false).await?;
        let (frames, log_bytes) = held(&self.log, S::OUTPUT).await?;
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        println!(
            "| {} | {frames} | {} | {:.0} | {:.0} | {:.1} | {:.1} ms | {snapshot:.1} | {snapshot_cpu:.1} | {start:.1} | \
             {start_cpu:.1} | {:.1} |",
            S::NAME,
            taken.rows,
            mib(taken.bytes),
            mib(log_bytes),
            taken.took,
            taken.pause.as_secs_f64() * 1e3,
            start / snapshot
        );
        Ok(())
    }
}

struct Taken {
    took: f64,
    pause: Duration,
    rows: u64,
    bytes: u64,
}

impl Running {
    async fn stop(self) -> Result<()> {
        self.stop.cancel();
        Ok(self.task.await??)
    }
}

async fn measure(brokers: Option<&str>, customers: usize, programs: usize, dir: Option<&Path>) -> Result<()> {
    let directory = match dir {
        Some(dir) => tempfile::tempdir_in(dir),
        None => tempfile::tempdir(),
    }
    .context("a directory to work in")?;
    let place = filled(brokers, customers, programs, directory.path()).await?;
    let normalizer = || Normalizer::new(place.keys.index_key(), PARTITIONS);
    let commission = || Commission::new(PARTITIONS);
    println!(
        "| service | frames | rows | snapshots MiB | output MiB | taken in s | longest pause | from snapshots s | CPU s | \
         from offset 0 s | CPU s | ratio |\n|---|---|---|---|---|---|---|---|---|---|---|---|"
    );
    place.compare(normalizer).await?;
    place.compare(|| Attribution).await?;
    place.compare(commission).await?;
    Ok(())
}

/// Fills a log with sales and runs the services until all is decided.
pub(crate) async fn filled(
    brokers: Option<&str>,
    customers: usize,
    programs: usize,
    directory: &Path,
) -> Result<Place> {
    let log = place::open(brokers, directory, PARTITIONS).await?;
    let keys: Arc<dyn KeyStore> = Arc::new(FileKeyStore::open(&directory.join("keys"))?);
    let records = fill(&log, 0..customers, programs, customers).await?;
    eprintln!("{records} records in ingest");
    let place = Place { log, keys, dir: directory.to_owned() };
    let normalizer = || Normalizer::new(place.keys.index_key(), PARTITIONS);
    let commission = || Commission::new(PARTITIONS);
    let running = [
        place.start(normalizer(), "state", None)?,
        place.start(Attribution, "state", None)?,
        place.start(commission(), "state", None)?,
    ];
    while !worked_off(&place.log).await? {
        anyhow::ensure!(!running.iter().any(|running| running.task.is_finished()), "a service ended");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for running in running {
        running.stop().await?;
    }
    eprintln!("worked off");
    Ok(place)
}

/// Whether each record of `ingest` has its frame in `commissions`. There is a fence before the first; partitions without
/// records may have none.
async fn worked_off(log: &Arc<dyn Log>) -> Result<bool> {
    for partition in (0..PARTITIONS).map(Partition) {
        let records = log.bounds(Topic::Ingest, partition).await?.end.0;
        if records > 0 && log.bounds(Topic::Commissions, partition).await?.end.0 <= records {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Records of a topic and their bytes.
async fn held(log: &Arc<dyn Log>, topic: Topic) -> Result<(u64, u64)> {
    let (mut records, mut bytes) = (0, 0);
    for partition in (0..PARTITIONS).map(Partition) {
        let end = log.bounds(topic, partition).await?.end;
        let mut reader = log.reader(topic, partition, Offset(0)).await?;
        let mut next = Offset(0);
        while next < end {
            for record in reader.next(4_000, 4 << 20).await? {
                next = record.offset.next();
                records += 1;
                bytes += record.value.len() as u64;
            }
        }
    }
    Ok((records, bytes))
}

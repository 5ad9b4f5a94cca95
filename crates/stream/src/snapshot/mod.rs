//! Snapshots: copies of local state in a directory that outlives the machine, each with its whole cursor (rules 3, 5 and 10).
//!
//! Local state is a cache of the fold of a service's own output. Where the disk is gone the fold can begin at offset 0, or at
//! a snapshot whose anchor is still in the log. A snapshot is as trustworthy as the store: it is of accepted frames only, it
//! is checked against the log before it is used, and it may be deleted at any time.
//!
//! The loop only opens a view of its store, which takes microseconds; a thread of the process writes it. Reading is in
//! `restore.rs`. What a file looks like is in `file.rs`, what it is called in `directory.rs`.
mod directory;
mod file;
pub(crate) mod restore;
#[cfg(test)]
mod tests;

pub use directory::{Found, SnapshotDir, describe};
pub use file::{About, SnapshotError, read_about};

use crate::host::{Host, SystemHost};
use crate::log::Partition;
use crate::meters;
use crate::store::{StateStore, StateView};
use file::Writer;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

/// It never rests longer.
const LONGEST_REST: Duration = Duration::from_secs(120);

/// Where snapshots go, how often, how many.
#[derive(Debug, Clone)]
pub struct SnapshotOptions {
    /// A directory that outlives the machine; shared by all processes of an installation, and by no other installation.
    pub dir: PathBuf,
    /// A snapshot of a partition is due after this many accepted frames,
    pub every_frames: u64,
    /// or after this long when there was a frame.
    pub every: Duration,
    /// Snapshots kept of each service's partition; at least 1.
    pub keep: usize,
    /// A snapshot that would be larger is given up.
    pub most_bytes: u64,
    /// After a snapshot that took t the thread rests for so many times t.
    pub rest: u32,
}

impl SnapshotOptions {
    /// The usual pace into `dir`.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            every_frames: 100_000,
            every: Duration::from_secs(900),
            keep: 2,
            most_bytes: 8 << 30,
            // A tenth of a disk and a core at most.
            rest: 9,
        }
    }
}

/// What a loop knows of its partition's last snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    seq: u64,
    /// `None`: longer ago than this machine can say.
    at: Option<Instant>,
}

impl Pace {
    /// A partition without any: one is due with the first frame.
    pub(crate) const NONE: Self = Self { seq: 0, at: None };

    /// A partition whose newest snapshot ends with frame `seq`, and was taken `age` ago.
    pub(crate) fn since(seq: u64, age: Duration) -> Self {
        Self { seq, at: Instant::now().checked_sub(age) }
    }

    fn is_due(&self, seq: u64, options: &SnapshotOptions) -> bool {
        let frames = seq.saturating_sub(self.seq);
        frames >= options.every_frames
            || (frames > 0 && self.at.is_none_or(|at| at.elapsed() >= options.every))
    }
}

/// What a service's loop says about itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Of {
    pub(crate) service: &'static str,
    pub(crate) state_version: u32,
    pub(crate) logic_version: u32,
}

struct Job {
    of: Of,
    partition: Partition,
    view: StateView,
}

/// Writes snapshots for the loops of a process, one at a time.
pub struct Snapshots {
    options: SnapshotOptions,
    /// Bounded: a job holds a view, and a view holds disk space.
    jobs: SyncSender<Job>,
    /// Whether the thread waits for a job.
    idle: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    longest_pause_micros: AtomicU64,
}

impl std::fmt::Debug for Snapshots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshots").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Drop for Snapshots {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Snapshots {
    /// Starts the thread. It ends with the process or when this is dropped; what it is at then is no snapshot.
    ///
    /// # Errors
    /// When the directory can neither be found nor made, or the thread not be started.
    pub fn start(options: SnapshotOptions) -> std::io::Result<Arc<Self>> {
        crate::embedded::files::create_private_dir(&options.dir)?;
        let (jobs, waiting) = sync_channel(1);
        let (idle, stop) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
        let thread = Thread { options: options.clone(), idle: Arc::clone(&idle), stop: Arc::clone(&stop) };
        // Not on the runtime: a volume that hangs must not keep the process from ending.
        std::thread::Builder::new().name("snapshots".to_owned()).spawn(move || thread.run(&waiting))?;
        Ok(Arc::new(Self { options, jobs, idle, stop, longest_pause_micros: AtomicU64::new(0) }))
    }

    /// The snapshots of `service`.
    #[must_use]
    pub fn dir(&self, service: &str) -> SnapshotDir {
        SnapshotDir::of(&self.options.dir, service)
    }

    /// For how long a snapshot has stopped a loop at most.
    #[must_use]
    pub fn longest_pause(&self) -> Duration {
        Duration::from_micros(self.longest_pause_micros.load(Ordering::Relaxed))
    }

    /// Takes a snapshot of `store` when one is due and the thread is free. `seq`: the last accepted frame.
    pub(crate) fn take_if_due(
        &self,
        of: Of,
        partition: Partition,
        store: &StateStore,
        seq: u64,
        pace: &mut Pace,
    ) {
        if !pace.is_due(seq, &self.options) || !self.idle.swap(false, Ordering::AcqRel) {
            return;
        }
        let began = Instant::now();
        match store.view() {
            Ok(Some(view)) => {
                *pace = Pace::since(view.cursor.seq, Duration::ZERO);
                match self.jobs.try_send(Job { of, partition, view }) {
                    Ok(()) => {}
                    Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                        tracing::error!("the snapshot thread is gone, no snapshots are written");
                    }
                }
            }
            // Nothing is committed yet.
            Ok(None) => self.idle.store(true, Ordering::Release),
            Err(error) => {
                self.idle.store(true, Ordering::Release);
                tracing::warn!(service = of.service, partition = partition.0, %error, "no snapshot of a store that fails");
            }
        }
        let pause = began.elapsed();
        self.longest_pause_micros
            .fetch_max(u64::try_from(pause.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        metrics::histogram!(meters::SNAPSHOT_PAUSE_SECONDS, "service" => of.service).record(pause);
    }
}

struct Thread {
    options: SnapshotOptions,
    idle: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
}

impl Thread {
    fn run(&self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            let began = Instant::now();
            let (of, partition) = (job.of, job.partition);
            match write(&self.options, job, &|_| self.go_on()) {
                Ok((path, about)) => {
                    metrics::counter!(meters::SNAPSHOTS, "service" => of.service).increment(1);
                    metrics::histogram!(meters::SNAPSHOT_SECONDS, "service" => of.service)
                        .record(began.elapsed());
                    tracing::debug!(
                        service = of.service,
                        partition = partition.0,
                        seq = about.cursor.seq,
                        rows = about.rows,
                        bytes = about.bytes,
                        took = ?began.elapsed(),
                        file = %path.display(),
                        "snapshot written"
                    );
                }
                Err(SnapshotError::Stopped) => return,
                Err(error) => {
                    metrics::counter!(meters::SNAPSHOTS_FAILED, "service" => of.service).increment(1);
                    tracing::warn!(
                        service = of.service,
                        partition = partition.0,
                        dir = %self.options.dir.display(),
                        %error,
                        "snapshot not written; the log has everything, but a recovery takes longer: see to the directory"
                    );
                }
            }
            self.rest(began.elapsed());
            self.idle.store(true, Ordering::Release);
        }
    }

    fn go_on(&self) -> Result<(), SnapshotError> {
        if self.stop.load(Ordering::Relaxed) { Err(SnapshotError::Stopped) } else { Ok(()) }
    }

    fn rest(&self, took: Duration) {
        let until = Instant::now() + (took * self.options.rest).min(LONGEST_REST);
        while self.go_on().is_ok() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(Duration::from_millis(100)));
        }
    }
}

/// How far a snapshot is: the process may end after each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Its file is there, under a name of its own.
    Begun,
    /// Some of its blocks are written.
    Block,
    /// All of it is written.
    Written,
    /// And on the disk.
    Synced,
    /// It has its name.
    Named,
    /// And has it on the disk.
    Durable,
}

/// Writes a snapshot, whole or not at all, and deletes those that it makes superfluous. `after` may end it at any step.
fn write(
    options: &SnapshotOptions,
    job: Job,
    after: &dyn Fn(Step) -> Result<(), SnapshotError>,
) -> Result<(PathBuf, About), SnapshotError> {
    let (dir, partition) = (SnapshotDir::of(&options.dir, job.of.service), job.partition);
    let written = write_steps(options, &dir, job, after);
    if written.is_err() {
        // What it left must not take space until the next one is written. It is void either way.
        if let Err(error) = dir.delete_unfinished(partition) {
            tracing::debug!(%error, "the rest of an unfinished snapshot is left");
        }
    }
    written
}

fn write_steps(
    options: &SnapshotOptions,
    dir: &SnapshotDir,
    job: Job,
    after: &dyn Fn(Step) -> Result<(), SnapshotError>,
) -> Result<(PathBuf, About), SnapshotError> {
    let host = SystemHost;
    let Job { of, partition, view } = job;
    dir.delete_unfinished(partition)?;
    let (path, file) = dir.begin(partition, host.random())?;
    after(Step::Begun)?;
    let versions = (of.state_version, of.logic_version);
    let about = About::new((of.service, partition), versions, view.cursor, host.now());
    let mut writer = Writer::new(file, about, options.most_bytes)?;
    for row in view.rows() {
        let (key, value) = row.map_err(|error| SnapshotError::Store(error.to_string()))?;
        if writer.row(&key, &value)? {
            after(Step::Block)?;
        }
    }
    drop(view);
    let (file, about) = writer.finish()?;
    after(Step::Written)?;
    file.sync_all()?;
    after(Step::Synced)?;
    let path = dir.publish(&path, &about)?;
    after(Step::Named)?;
    dir.sync()?;
    after(Step::Durable)?;
    // The new one is durable: the old ones may go. A failure here leaves one too many until the next time.
    dir.prune(partition, &path, options.keep)?;
    Ok((path, about))
}

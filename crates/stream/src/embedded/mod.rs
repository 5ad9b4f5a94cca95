//! The embedded log: all topics of an installation in one directory of one process.
//!
//! One thread writes. It takes the appends that came meanwhile as one group, writes them as one batch of an LSM store,
//! fsyncs once and only then moves the marks below which readers see; so nothing is ever read, in this process either,
//! that a power cut could take back. A failed fsync poisons the log and the process must end: the operating system may
//! show what the disk does not have. The next start copies the active journal before it believes it.
//!
//! Read next: `writer` (groups, marks, retention), `disk` (what is where), `socket` and `remote` (how another
//! process reads a running one's log). Contract: `docs/reference/embedded-log.md`.
mod chunk;
mod disk;
pub(crate) mod files;
mod frames;
mod journal;
mod reader;
mod remote;
mod restore;
mod shared;
mod socket;
mod space;
mod writer;

pub(crate) use remote::KEEP_ALL;
pub(crate) use restore::Restore;
pub(crate) use space::free_bytes;

pub use remote::{RemoteLog, open_read_only};

use crate::log::{
    AppendError, Appender, Bounds, Log, LogError, NewRecord, Offset, Partition, Reader, Record, Topic,
};
use async_trait::async_trait;
use disk::Disk;
use domain::time::Micros;
use futures::future::BoxFuture;
use reader::EmbeddedReader;
use shared::{Shared, Standing, lock};
use std::fmt::Debug;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{oneshot, watch};
use writer::{Intake, Request, Writer};

/// Bytes of one record's key and value together at most, as on Kafka by default.
pub const MAX_RECORD_BYTES: usize = 1 << 20;

/// What the log needs of the world. Tests put their own in its place.
pub trait Environment: Send + Sync + Debug + 'static {
    /// The time: append times come from it.
    fn now(&self) -> Micros {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    /// Called when a group is written and before it is fsynced. An error stands for an fsync that failed.
    ///
    /// # Errors
    /// Never in a real environment.
    fn before_sync(&self) -> std::io::Result<()> {
        Ok(())
    }

    /// Free bytes on the file system of `dir`.
    ///
    /// # Errors
    /// When the operating system does not tell.
    fn free_bytes(&self, dir: &Path) -> std::io::Result<u64> {
        space::free_bytes(dir)
    }
}

/// The world as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealEnvironment;

impl Environment for RealEnvironment {
    fn before_sync(&self) -> std::io::Result<()> {
        if crate::failpoint::fails("fsync") {
            return Err(std::io::Error::other("failpoint"));
        }
        Ok(())
    }
}

/// How an embedded log is kept.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// Its directory, which belongs to it alone.
    pub dir: PathBuf,
    /// Partitions of every topic; cannot be changed later.
    pub partitions: u32,
    /// How long `ingest` is kept.
    pub ingest_retention: Duration,
    /// How long `outcomes` is kept: longer than any caller waits.
    pub outcome_retention: Duration,
    /// Bytes of recent records that are kept in memory for readers that follow closely.
    pub tail_bytes: usize,
    /// Bytes of records that may wait for the disk; more are refused.
    pub queue_bytes: usize,
    /// Free bytes on the disk below which `ingest` is refused, and below half of which everything is; 0: never.
    pub reserve_bytes: u64,
    /// Time and fsync.
    pub environment: Arc<dyn Environment>,
}

impl EmbeddedOptions {
    /// 64 partitions, `ingest` for 30 days, `outcomes` for 5 minutes, 64 MiB of recent records, 512 MiB of queue.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            partitions: 64,
            ingest_retention: Duration::from_secs(30 * 86_400),
            outcome_retention: Duration::from_secs(300),
            tail_bytes: 64 << 20,
            queue_bytes: 512 << 20,
            reserve_bytes: 0,
            environment: Arc::new(RealEnvironment),
        }
    }
}

/// The log of this process.
#[derive(Debug)]
pub struct EmbeddedLog {
    shared: Arc<Shared>,
    intake: Arc<Intake>,
    writer: Mutex<Option<JoinHandle<()>>>,
    dir: PathBuf,
    server: Mutex<Option<socket::Server>>,
}

impl EmbeddedLog {
    /// Opens the log, creating it if there is none.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] when another process has the directory (it is named) or the operating system refuses;
    /// [`LogError::Misconfigured`] for another number of partitions; [`LogError::Corrupt`] when the store is damaged.
    pub fn open(options: EmbeddedOptions) -> Result<Arc<Self>, LogError> {
        let (disk, partitions) = Disk::open(&options.dir, Some(options.partitions))?;
        Self::start(disk, partitions, &options)
    }

    /// Opens a log that must exist, whatever its number of partitions.
    pub(crate) fn open_existing(options: &EmbeddedOptions) -> Result<Arc<Self>, LogError> {
        let (disk, partitions) = Disk::open(&options.dir, None)?;
        Self::start(disk, partitions, options)
    }

    fn start(disk: Disk, partitions: u32, options: &EmbeddedOptions) -> Result<Arc<Self>, LogError> {
        let (shared, extents) = Shared::open(disk, partitions, Arc::clone(&options.environment))?;
        let shared = Arc::new(shared);
        let intake = Arc::new(Intake::new(options.queue_bytes));
        let writer = Writer::new(Arc::clone(&shared), Arc::clone(&intake), &extents, options);
        let (after_shared, after_intake) = (Arc::clone(&shared), Arc::clone(&intake));
        let thread = std::thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || {
                if std::panic::catch_unwind(AssertUnwindSafe(|| writer.run())).is_err() {
                    writer::abandon(&after_shared, &after_intake, "the writer panicked");
                }
            })
            .map_err(|error| LogError::Unavailable(error.to_string()))?;
        tracing::info!(dir = %options.dir.display(), partitions, "embedded log open");
        Ok(Arc::new(Self {
            shared,
            intake,
            writer: Mutex::new(Some(thread)),
            dir: options.dir.clone(),
            server: Mutex::default(),
        }))
    }

    /// Answers other processes on `DIR/tributary.sock`, which only the owner of the files may use. Needs a tokio runtime;
    /// ends with the log.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] when the socket cannot be made.
    pub fn serve(&self) -> Result<(), LogError> {
        let server = socket::serve(&self.shared, Arc::new(self.new_appender()), &self.dir)
            .map_err(|error| LogError::Unavailable(format!("{}: {error}", self.dir.display())))?;
        *lock(&self.server) = Some(server);
        Ok(())
    }

    fn new_appender(&self) -> EmbeddedAppender {
        EmbeddedAppender {
            partitions: self.shared.partitions,
            intake: Arc::clone(&self.intake),
            standing: self.shared.standing.subscribe(),
        }
    }

    /// Why the log was poisoned, once it is: the process must end then, and start again.
    #[must_use]
    pub fn poisoned(&self) -> Poisoned {
        Poisoned(self.shared.standing.subscribe())
    }

    /// Applies retention now, not at the next occasion.
    pub async fn trim(&self) {
        let (done, trimmed) = oneshot::channel();
        self.intake.ask_to_trim(done);
        // An error: the log was closed meanwhile, and nothing is to be trimmed.
        drop(trimmed.await);
    }

    /// Writes what waits, fsyncs, marks the clean stop and gives the directory back as soon as reads under way have ended.
    /// Blocks for as long as that takes. Dropping the log does the same.
    pub fn close(&self) {
        drop(lock(&self.server).take());
        self.intake.close();
        if let Some(thread) = lock(&self.writer).take()
            && thread.join().is_err()
        {
            tracing::error!("the log's writer panicked");
        }
        // After a poisoning the writer kept the store for readers.
        drop(self.shared.release_disk());
    }

    /// Offline: deletes every topic but `ingest`, so that the chain is decided again from what `ingest` still holds.
    /// Readers' stores and cursors do not fit it afterwards.
    ///
    /// # Errors
    /// As [`EmbeddedLog::open`]; the directory must hold a log that nobody has open.
    pub fn drop_chain_topics(dir: &Path) -> Result<(), LogError> {
        let (disk, partitions) = Disk::open(dir, None)?;
        // Downstream first: a crash in between must not leave a topic ahead of its input.
        for topic in
            [Topic::Outcomes, Topic::GatewayConfig, Topic::Commissions, Topic::Attributed, Topic::Facts]
        {
            disk.clear(topic, partitions)?;
        }
        files::leave_clean_mark(dir)
            .map_err(|error| LogError::Unavailable(format!("{}: {error}", dir.display())))
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        self.close();
    }
}

/// Tells when a log was poisoned.
#[derive(Debug, Clone)]
pub struct Poisoned(watch::Receiver<Standing>);

impl Poisoned {
    /// Why, if it is.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        match &*self.0.borrow() {
            Standing::Poisoned(reason) => Some(reason.to_string()),
            Standing::Open | Standing::Closed => None,
        }
    }

    /// Waits until the log is poisoned and says why; for ever when it never is.
    pub async fn wait(&mut self) -> String {
        loop {
            if let Some(reason) = self.reason() {
                return reason;
            }
            if self.0.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

#[async_trait]
impl Log for EmbeddedLog {
    fn partition_count(&self) -> u32 {
        self.shared.partitions
    }

    async fn appender(&self) -> Result<Arc<dyn Appender>, LogError> {
        self.shared.check_standing()?;
        Ok(Arc::new(self.new_appender()))
    }

    async fn reader(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
    ) -> Result<Box<dyn Reader>, LogError> {
        Ok(Box::new(EmbeddedReader::open(&self.shared, topic, partition, from)?))
    }

    async fn bounds(&self, topic: Topic, partition: Partition) -> Result<Bounds, LogError> {
        self.shared.check_standing()?;
        self.shared.bounds(topic, partition)
    }

    async fn record_at(
        &self,
        topic: Topic,
        partition: Partition,
        offset: Offset,
    ) -> Result<Option<Record>, LogError> {
        self.shared.check_standing()?;
        record_at(&self.shared, topic, partition, offset).await
    }

    async fn check(&self) -> Result<(), LogError> {
        // Partition count, retention, compaction and timestamps are this code's own; what is left is whether it works.
        self.shared.check_standing()
    }

    fn active(&self) -> watch::Receiver<Vec<Partition>> {
        self.shared.active.subscribe()
    }
}

/// As [`Log::record_at`].
async fn record_at(
    shared: &Arc<Shared>,
    topic: Topic,
    partition: Partition,
    offset: Offset,
) -> Result<Option<Record>, LogError> {
    let bounds = shared.bounds(topic, partition)?;
    if offset >= bounds.end {
        return Err(shared.out_of_range(topic, partition, offset));
    }
    if offset < bounds.start {
        return Ok(None);
    }
    match reader::chunks(shared, topic, partition, offset.0, bounds.end.0, 1).await {
        Ok(chunks) => Ok(chunks.into_iter().next().and_then(|mut chunk| chunk.next())),
        // Expired since the bounds were read.
        Err(LogError::OutOfRange { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Hands appends to the writer. It holds nothing itself: what it was given may land after it is dropped.
#[derive(Debug)]
struct EmbeddedAppender {
    partitions: u32,
    intake: Arc<Intake>,
    standing: watch::Receiver<Standing>,
}

impl EmbeddedAppender {
    fn request(
        &self,
        topic: Topic,
        partition: Partition,
        records: Vec<NewRecord>,
    ) -> Result<oneshot::Receiver<writer::Acknowledged>, AppendError> {
        if let Standing::Poisoned(reason) = &*self.standing.borrow() {
            return Err(AppendError::Refused(format!("the log is poisoned: {reason}")));
        }
        if partition.0 >= self.partitions {
            return Err(AppendError::Refused(format!("there is no partition {}", partition.0)));
        }
        let largest = records.iter().map(|record| record.key.len() + record.value.len()).max();
        if largest.is_some_and(|bytes| bytes > MAX_RECORD_BYTES) {
            return Err(AppendError::Refused(format!("a record is larger than {MAX_RECORD_BYTES} bytes")));
        }
        let bytes = records.iter().map(chunk::record_bytes).sum();
        let (answer, answered) = oneshot::channel();
        self.intake.push(Request { topic, partition, records, bytes, answer })?;
        Ok(answered)
    }
}

impl Appender for EmbeddedAppender {
    fn append(
        &self,
        topic: Topic,
        partition: Partition,
        records: Vec<NewRecord>,
    ) -> BoxFuture<'static, Result<Vec<Option<Offset>>, AppendError>> {
        if records.is_empty() {
            return Box::pin(std::future::ready(Ok(Vec::new())));
        }
        let requested = self.request(topic, partition, records);
        Box::pin(async move {
            requested?
                .await
                .unwrap_or_else(|_| Err(AppendError::Indefinite("the log's writer is gone".to_owned())))
        })
    }
}

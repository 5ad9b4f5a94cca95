//! The `Log` trait: partitioned, append-only, acknowledged. Three implementations (one of them for simulations), one conformance suite.
use crate::assignment::Assignment;
use async_trait::async_trait;
use bytes::Bytes;
use domain::time::Micros;
use futures::future::BoxFuture;
use std::fmt::Debug;
use std::sync::Arc;
use tokio::sync::watch;

/// Position of a record in one partition of one topic. Legal holes exist (retention at the start only).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Offset(pub u64);

impl Offset {
    /// The next offset.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A partition number; the same number on every chain topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(pub u32);

/// The topics (`{prefix}ingest.v1`, …).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Raw requests, configuration, ticks. Many writers.
    Ingest,
    /// Normalized facts and verdicts.
    Facts,
    /// Facts with attribution decisions.
    Attributed,
    /// Commission events.
    Commissions,
    /// Answers to callers who wait.
    Outcomes,
    /// What gateways must know; compacted on Kafka, keyed by the object.
    GatewayConfig,
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Ingest, Self::Facts, Self::Attributed, Self::Commissions, Self::Outcomes, Self::GatewayConfig];

    /// The name without the prefix.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest.v1",
            Self::Facts => "facts.v1",
            Self::Attributed => "attributed.v1",
            Self::Commissions => "commissions.v1",
            Self::Outcomes => "outcomes.v1",
            Self::GatewayConfig => "gateway-config.v1",
        }
    }
}

/// A record as it is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where.
    pub offset: Offset,
    /// When the log appended it (`LogAppendTime`); never goes back within a partition of the embedded log.
    pub appended_at: Micros,
    /// Its key.
    pub key: Bytes,
    /// Its value.
    pub value: Bytes,
    /// When another log had appended it, as the import that brought it here says. Nobody may believe it without asking the
    /// partition's base record ([`crate::base`]).
    pub imported_at: Option<Micros>,
}

/// A record to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// Its key.
    pub key: Bytes,
    /// Its value.
    pub value: Bytes,
}

/// What a partition holds for a reader: records with `start <= offset < end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// First readable offset (retention moves it).
    pub start: Offset,
    /// One past the last readable record: fsynced (embedded), at the high watermark (Kafka).
    pub end: Offset,
}

/// Why the log could not do something.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// The wanted offset is gone or was never written: retention, truncation or another log.
    #[error("{topic} partition {partition}: offset {wanted} is outside {start}..{end}: the log was truncated, expired or replaced; {remedy}", topic = .topic.name(), partition = .partition.0, wanted = .wanted.0, start = .bounds.start.0, end = .bounds.end.0)]
    OutOfRange {
        /// The topic.
        topic: Topic,
        /// The partition.
        partition: Partition,
        /// What was asked for.
        wanted: Offset,
        /// What is there.
        bounds: Bounds,
        /// What to do.
        remedy: &'static str,
    },
    /// The log does not answer now; trying again may help.
    #[error("log unavailable: {0}")]
    Unavailable(String),
    /// The log is set up in a way that promises cannot be kept with.
    #[error("log misconfigured: {0}")]
    Misconfigured(String),
    /// Stored bytes are not what was written, or two histories met.
    #[error("log corrupt: {0}")]
    Corrupt(String),
    /// The log was closed.
    #[error("log closed")]
    Closed,
}

/// Why an append was not acknowledged.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// Any of the records may be in the log, now or later. The appender must be dropped.
    #[error("append indefinite: {0}")]
    Indefinite(String),
    /// None of the records is or will be in the log (queue full, too large).
    #[error("append refused: {0}")]
    Refused(String),
}

/// One partitioned log with all topics of an installation.
#[async_trait]
pub trait Log: Send + Sync + Debug + 'static {
    /// Partitions of every topic.
    fn partition_count(&self) -> u32;

    /// A new appender with nothing in its queue. Kafka: an idempotent producer of its own.
    async fn appender(&self) -> Result<Arc<dyn Appender>, LogError>;

    /// Reads from `from` on, which must be within [`Log::bounds`] (`end` included).
    async fn reader(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
    ) -> Result<Box<dyn Reader>, LogError>;

    /// What the partition holds now.
    async fn bounds(&self, topic: Topic, partition: Partition) -> Result<Bounds, LogError>;

    /// The record at `offset`; `None` when it is before the start (expired). Outside the end: [`LogError::OutOfRange`].
    async fn record_at(
        &self,
        topic: Topic,
        partition: Partition,
        offset: Offset,
    ) -> Result<Option<Record>, LogError>;

    /// Checks what the promises rest on (partition counts, retention, compaction, timestamps): rule 10.
    async fn check(&self) -> Result<(), LogError>;

    /// Partitions worth a task now, growing: embedded, those whose `ingest` holds a record; Kafka, all.
    fn active(&self) -> watch::Receiver<Vec<Partition>>;

    /// Joins those who serve `service`, whose input is `input`. Only Kafka has others to share with.
    ///
    /// # Errors
    /// When no client can be started.
    fn join(&self, service: &'static str, input: Topic) -> Result<Assignment, LogError> {
        tracing::trace!(service, input = input.name(), "every partition is ours");
        Ok(Assignment::everything(self.active()))
    }
}

/// Appends records. Dropping it discards what it still holds; such records may or may not land.
pub trait Appender: Send + Sync + Debug {
    /// Appends `records` in order and resolves when all are acknowledged (all in-sync replicas; fsynced), with their offsets.
    ///
    /// An offset is `None` when the log acknowledged without telling it: read the log to find out. The records of one call
    /// are in order in the log, not necessarily adjacent. The future need not be polled for the append to proceed.
    fn append(
        &self,
        topic: Topic,
        partition: Partition,
        records: Vec<NewRecord>,
    ) -> BoxFuture<'static, Result<Vec<Option<Offset>>, AppendError>>;
}

/// Reads one partition in offset order.
#[async_trait]
pub trait Reader: Send + Debug {
    /// The next records: waits for at least one, returns what is there up to the limits (one record may exceed `max_bytes`).
    /// Cancel-safe: a dropped call loses nothing.
    async fn next(&mut self, max_records: usize, max_bytes: usize) -> Result<Vec<Record>, LogError>;
}

/// The partition of a program: the same for every topic, service and log for ever (FNV-1a 64 of the id, modulo the count).
#[must_use]
pub fn partition_of(program_id: &str, partition_count: u32) -> Partition {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in program_id.as_bytes() {
        hash ^= u64::from(*byte);
        hash = hash.wrapping_mul(0x0000_0100_0000_01b3);
    }
    Partition((hash % u64::from(partition_count)) as u32)
}

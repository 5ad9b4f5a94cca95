//! The only consumer loop: takes partitions (rule 1), serves them (rules 4, 5, 7, 8), gives them up.
//!
//! One partition of one service is one task: `take` fences and folds, `serve` decides, appends and accepts, `input`
//! finds the place where the last owner stopped. Any error drops the appender and the overlay and takes the partition again,
//! after a growing random pause; a halt (two histories, lost records, unknown events) stops the partition and is reported.
mod decide;
mod holding;
mod input;
mod observe;
mod partition;
mod serve;
mod side;
mod take;

pub use observe::{FrameSpan, FrameSpans};
#[cfg(feature = "weaknesses")]
mod weak;

use crate::follow::FollowError;
use crate::host::{Host, SystemHost};
use crate::judge::Halt;
use crate::keys::{KeyStore, KeyStoreError};
use crate::log::{AppendError, Log, LogError, Partition, Topic};
use crate::seal::SealError;
use crate::service::{Service, UnknownEvent};
use crate::snapshot::Snapshots;
use crate::store::{StateDb, StoreError};
use holding::Holding;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Bounds and pace of the loop.
#[derive(Debug, Clone)]
pub struct OwnerOptions {
    /// Append a clock tick to `ingest` this often (the normalizer: one second). `None`: no ticks.
    pub tick_every: Option<Duration>,
    /// Inputs in one batch at most.
    pub batch_records: usize,
    /// Input bytes in one batch, about.
    pub batch_bytes: usize,
    /// How long an append may go unacknowledged before its producer is discarded (rule 7).
    pub append_deadline: Duration,
    /// The store commits at the latest after this long.
    pub store_commit_every: Duration,
    /// The store commits at the latest with this many changed rows waiting.
    pub store_commit_rows: usize,
    /// How far a record's append time may be ahead of this machine's clock before the loop waits (rule 11).
    pub clock_ahead_limit: Duration,
    /// The wall clock and chance.
    pub host: Arc<dyn Host>,
    /// How long a partition may take to be given up, once another process is named for it.
    pub hand_over: Duration,
    /// Told when a partition halts, runs again, or is no longer ours: readiness.
    pub on_halt: Option<HaltHook>,
    /// Told which partitions this process should serve, as often as that is settled.
    pub on_assigned: Option<AssignedHook>,
    /// Takes the spans of accepted frames. `None`: none, and traces are passed on as they come.
    pub spans: Option<Arc<dyn FrameSpans>>,
    /// How often to publish how far the service is behind. `None`: never.
    pub lag_every: Option<Duration>,
    /// Where copies of the local state go and come from. `None`: nowhere.
    pub snapshots: Option<Arc<Snapshots>>,
}

/// What [`HaltHook`] calls: the partition and, when it halted, why.
pub type OnHalt = dyn Fn(Partition, Option<&OwnerError>) + Send + Sync;

/// What [`AssignedHook`] calls.
pub type OnAssigned = dyn Fn(&BTreeSet<Partition>) + Send + Sync;

/// Called with the partitions that this process should serve.
#[derive(Clone)]
pub struct AssignedHook(pub Arc<OnAssigned>);

impl std::fmt::Debug for AssignedHook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AssignedHook")
    }
}

/// Called when a partition halts.
#[derive(Clone)]
pub struct HaltHook(pub Arc<OnHalt>);

impl std::fmt::Debug for HaltHook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HaltHook")
    }
}

impl Default for OwnerOptions {
    fn default() -> Self {
        Self {
            tick_every: None,
            batch_records: 1_000,
            batch_bytes: 2 << 20,
            append_deadline: Duration::from_secs(10),
            store_commit_every: Duration::from_secs(1),
            store_commit_rows: 20_000,
            clock_ahead_limit: Duration::from_secs(600),
            host: Arc::new(SystemHost),
            hand_over: Duration::from_secs(2),
            on_halt: None,
            on_assigned: None,
            spans: None,
            lag_every: None,
            snapshots: None,
        }
    }
}

/// Why a partition is not served.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// Another owner has it; normal.
    #[error("another owner took the partition")]
    Lost,
    /// The log does not answer.
    #[error(transparent)]
    Log(LogError),
    /// An append is indefinite or was refused.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// A decision does not fit into a record: the partition is taken again, and the input parked.
    #[error("a decision takes {bytes} bytes, more than a record may have")]
    TooLarge {
        /// Of the frame's content.
        bytes: usize,
    },
    /// No acknowledgement within the deadline.
    #[error("an append was not acknowledged within {0:?}")]
    AppendDeadline(Duration),
    /// The local store failed; it is discarded and rebuilt.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key store does not answer.
    #[error(transparent)]
    Keys(#[from] KeyStoreError),
    /// A personal field cannot be sealed or opened.
    #[error(transparent)]
    Seal(SealError),
    /// Two histories or lost records.
    #[error("{service} partition {partition}: {reason}", partition = .partition.0)]
    Halted {
        /// The service.
        service: &'static str,
        /// The partition.
        partition: Partition,
        /// The diagnosis with its remedy.
        reason: String,
    },
    /// An event or logic version that this binary does not know (rule 6).
    #[error(transparent)]
    Unknown(#[from] UnknownEvent),
}

impl OwnerError {
    /// Trying again cannot help: a person must look.
    #[must_use]
    pub const fn is_halt(&self) -> bool {
        matches!(
            self,
            Self::Halted { .. }
                | Self::Unknown(_)
                | Self::Seal(SealError::MissingKey | SealError::WrongKey | SealError::Damaged)
        )
    }
}

impl From<LogError> for OwnerError {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

impl From<SealError> for OwnerError {
    fn from(error: SealError) -> Self {
        Self::Seal(error)
    }
}

/// What all partitions of one service share.
#[derive(Debug)]
pub(crate) struct Shared<S> {
    service: Arc<S>,
    options: OwnerOptions,
    log: Arc<dyn Log>,
    state: Arc<StateDb>,
    keys: Arc<dyn KeyStore>,
    shutdown: CancellationToken,
    /// No rebalance is under way: the assignment names what it says.
    settled: watch::Sender<bool>,
    /// The (epoch, writer) of each partition's last take.
    #[cfg(feature = "weaknesses")]
    held: Mutex<BTreeMap<Partition, (u64, crate::cursor::WriterId)>>,
    /// Inputs whose decision would not fit into a record, and its size: the next attempt parks them.
    too_large: Mutex<BTreeMap<(Partition, u64), usize>>,
    /// How far each partition's input is worked off.
    reached: observe::Reached,
}

impl<S: Service> Shared<S> {
    fn too_large(&self, partition: Partition, source: u64, bytes: usize) -> OwnerError {
        let mut known = self.too_large.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert((partition, source), bytes);
        OwnerError::TooLarge { bytes }
    }

    /// Why `source` cannot be decided: its decision was tried, and is larger than a record may be.
    fn known_too_large(&self, partition: Partition, source: u64) -> Option<String> {
        let known = self.too_large.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = known.get(&(partition, source))?;
        Some(format!("the decision takes {bytes} bytes, more than a record of the log may have"))
    }

    fn halted(&self, partition: Partition, reason: String) -> OwnerError {
        OwnerError::Halted { service: S::NAME, partition, reason }
    }

    fn halt(&self, partition: Partition, halt: &Halt) -> OwnerError {
        self.halted(partition, halt.to_string())
    }

    fn follow_error(&self, partition: Partition, error: FollowError) -> OwnerError {
        match error {
            FollowError::Log(LogError::OutOfRange { .. }) | FollowError::AnchorMismatch { .. } => {
                self.halted(partition, error.to_string())
            }
            FollowError::Log(error) => OwnerError::Log(error),
            FollowError::Halt { halt, .. } => self.halt(partition, &halt),
        }
    }
}

/// For the group to be told that this process leaves it.
const LEAVE: Duration = Duration::from_secs(1);

/// Serves the partitions that the assignment names until `shutdown`: leaves the group, drains, commits its store, returns.
///
/// # Errors
/// Only what prevents the start: the log's settings (rule 10).
pub async fn run_service<S: Service>(
    service: Arc<S>,
    options: OwnerOptions,
    log: Arc<dyn Log>,
    state: Arc<StateDb>,
    keys: Arc<dyn KeyStore>,
    shutdown: CancellationToken,
) -> Result<(), OwnerError> {
    log.check().await?;
    let mut assignment = log.join(S::NAME, S::INPUT)?;
    let shared = Arc::new(Shared {
        service,
        options,
        log,
        state,
        keys,
        shutdown: shutdown.clone(),
        settled: watch::Sender::new(false),
        too_large: Mutex::default(),
        reached: observe::Reached::default(),
        #[cfg(feature = "weaknesses")]
        held: Mutex::default(),
    });
    crate::meters::register_service(S::NAME);
    // Dropped at the end, which ends what is in it.
    let mut watching = JoinSet::new();
    if let Some(every) = shared.options.lag_every {
        watching.spawn(observe::watch_lag(Arc::clone(&shared), every));
    }
    tracing::info!(service = S::NAME, input = S::INPUT.name(), output = S::OUTPUT.name(), "service started");
    let mut holding = Holding::new(shared);
    holding.follow(assignment.named());
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            changed = assignment.changed() => if changed {
                holding.follow(assignment.named());
            } else {
                // Nothing else will ever be named; what is held goes on.
                shutdown.cancelled().await;
            },
            () = holding.ended() => {}
        }
    }
    // Others take over while this process still finishes what it has begun.
    let leaving = tokio::time::timeout(LEAVE, assignment.leave());
    let (left, ()) = tokio::join!(leaving, holding.drained());
    if left.is_err() {
        tracing::warn!(
            service = S::NAME,
            "the group was not told in time, it waits for the session to lapse"
        );
    }
    tracing::info!(service = S::NAME, "service drained");
    Ok(())
}

/// Topic label for errors about an input or output.
const fn topic_label(topic: Topic) -> &'static str {
    topic.name()
}

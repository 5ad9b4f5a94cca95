//! The projector: frames of `facts` and `commissions` become rows in Postgres.
//!
//! One task reads each partition of each topic; one writer, with one connection, commits whatever has come from all of them
//! in one transaction: at once when idle, in large batches under load. It decides nothing and can be pointed at an empty
//! database at any time. After any doubt it drops its connection and its readers, and asks the cursor rows where it stands.
//! Read next: `session.rs`, `read.rs`, then `readmodel::apply`.
mod meters;
mod read;
mod session;
mod standing;
mod trace;

use kit::spans::Spans;
use readmodel::apply::ApplyError;
use readmodel::batch::{NotContiguous, Place};
use readmodel::cursors::Standing;
use sqlx::PgPool;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use stream::assignment::Assignment;
use stream::cursor::Cursor;
use stream::follow::FollowError;
use stream::log::{Log, LogError, Partition, Topic};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How much it takes at a time.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which generation of tables it writes.
    pub generation: i32,
    /// A transaction takes no more once it has so many frames.
    pub batch_frames: usize,
    /// A reader fetches at most so many records at a time.
    pub read_records: usize,
    /// A reader fetches at most so many bytes at a time (one record may be larger).
    pub read_bytes: usize,
    /// Takes the spans of committed frames.
    pub spans: Spans,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            generation: readmodel::GENERATION,
            batch_frames: 5_000,
            read_records: 1_000,
            read_bytes: 1 << 20,
            spans: Spans::off(),
        }
    }
}

/// What the projector is doing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum State {
    /// It has not asked the database yet.
    #[default]
    Starting,
    /// It follows the log.
    Following,
    /// The database or the log does not answer; it tries again.
    Waiting(String),
}

/// What the projector is doing and how far it has come: each whole cursor is committed together with its rows.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// What it is doing.
    pub state: State,
    /// How far it has come.
    pub cursors: BTreeMap<Place, Cursor>,
}

/// Why the projector stopped for good.
#[derive(Debug, thiserror::Error)]
pub enum ProjectorError {
    /// The log cannot be followed.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// The database refuses, and asking again does not help.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// A cursor row is not where this process left it.
    #[error("{topic} partition {partition}: the cursor row is at seq {found}, this process committed seq {committed}: {why}", topic = .place.0.name(), partition = .place.1.0)]
    RowMoved {
        /// The topic and partition.
        place: Place,
        /// `seq` of what was committed.
        committed: u64,
        /// `seq` of the row.
        found: u64,
        /// What that means and what to do.
        why: &'static str,
    },
    /// An event that this version does not know.
    #[error("{topic} partition {partition}, frame {seq}: {error}; run the version that wrote it, or a newer one", topic = .place.0.name(), partition = .place.1.0)]
    UnknownEvent {
        /// The topic and partition.
        place: Place,
        /// The frame.
        seq: u64,
        /// What was met.
        error: wire::Unknown,
    },
    /// A defect of the reader: frames that do not join.
    #[error(transparent)]
    NotContiguous(#[from] NotContiguous),
    /// The database does not answer.
    #[error("database unavailable: {0}")]
    Database(#[source] sqlx::Error),
    /// A reader ended without an error, or panicked.
    #[error("a reader task failed: {0}")]
    Reader(String),
}

impl ProjectorError {
    /// Whether trying again may help.
    fn is_transient(&self) -> bool {
        match self {
            Self::Database(_)
            | Self::Apply(ApplyError::Unavailable(_) | ApplyError::CommitUnknown(_))
            // Another projector has the partition now, or still had a transaction under way: the rows tell.
            | Self::Apply(ApplyError::Refused { standing: Standing::Ahead | Standing::Same, .. })
            | Self::Follow(FollowError::Log(LogError::Unavailable(_))) => true,
            Self::Follow(_)
            | Self::Apply(_)
            | Self::RowMoved { .. }
            | Self::UnknownEvent { .. }
            | Self::NotContiguous(_)
            | Self::Reader(_) => false,
        }
    }
}

/// Its name in groups and metrics.
const NAME: &str = "projector";
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// For the group to be told that this process leaves it.
const LEAVE: Duration = Duration::from_secs(1);

/// Projects the partitions that this process is named for until `shutdown`. The schema must be migrated.
///
/// Several projectors share the partitions. Nothing rests on that: each transaction moves its cursors from exactly where it
/// began, so of two that have the same partition one is refused, reads the rows again and goes on from there.
///
/// Retries for ever while the database or the log is unavailable, with a growing pause; `progress` says so.
///
/// # Errors
/// [`ProjectorError`], when going on would make wrong rows or trying again cannot help.
pub async fn run(
    options: Options,
    log: Arc<dyn Log>,
    pool: PgPool,
    shutdown: CancellationToken,
    progress: watch::Sender<Progress>,
) -> Result<(), ProjectorError> {
    meters::register();
    // Dropped at the end, which ends what is in it. Lag grows while the database is away: it must be seen then, too.
    let mut watching = JoinSet::new();
    watching.spawn(meters::watch_lag(Arc::clone(&log), progress.subscribe()));
    let mut assignment = log.join(NAME, Topic::Commissions).map_err(FollowError::Log)?;
    let mut writer = session::Writer::new(options, log, pool, progress);
    let ended = project(&mut writer, &mut assignment, &shutdown).await;
    if tokio::time::timeout(LEAVE, assignment.leave()).await.is_err() {
        tracing::warn!("the group was not told in time, it waits for the session to lapse");
    }
    ended
}

async fn project(
    writer: &mut session::Writer,
    assignment: &mut Assignment,
    shutdown: &CancellationToken,
) -> Result<(), ProjectorError> {
    let mut pause = FIRST_PAUSE;
    loop {
        let committed_before = writer.batches();
        let error = match writer.session(assignment, shutdown).await {
            Ok(()) => return Ok(()),
            Err(_) if shutdown.is_cancelled() => return Ok(()),
            Err(error) => error,
        };
        if !error.is_transient() {
            tracing::error!(%error, "projector halts");
            return Err(error);
        }
        if writer.batches() > committed_before {
            pause = FIRST_PAUSE;
        }
        metrics::counter!(meters::RETRIES).increment(1);
        tracing::warn!(%error, pause_ms = pause.as_millis(), "projector tries again");
        meters::following(false);
        writer.waiting(error.to_string());
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Both places of each partition.
fn places_of(partitions: &BTreeSet<Partition>) -> Vec<Place> {
    partitions
        .iter()
        .flat_map(|partition| readmodel::batch::Followed::ALL.map(|followed| (followed, *partition)))
        .collect()
}

//! `verify`: proves the promises from the log, as any reader could.
//!
//! Three proofs, partition by partition, in memory that does not grow with the log: the chain (each record has its
//! frame in each hop, in order, with equal heads; each accepted event has exactly one verdict), the ledger (postings balance,
//! buckets are what the commissions sum to), and the read model (Postgres holds what the fold says, at the cursors of one
//! snapshot). Beside them the hash chains of `domain::chain`, which heads that were kept elsewhere may be held against. It
//! folds with the domain only and shares no statement with the projector.
//!
//! What history says is compared as both sides stream by. What objects are (commissions, sales, customers, parked inputs) is
//! known after their last event only: their events are sorted by object in temporary files, and merged with the rows in the
//! same order. In memory are sheets of balances and configuration.
//! Read next: `chain.rs`, `fold.rs`, `expected.rs` (what each row must say), `history.rs`, `objects.rs` (how to add a table),
//! `runs.rs`, `rows.rs`, `chains.rs`.
mod chain;
mod chains;
mod expected;
mod expected_payouts;
mod fold;
mod frames;
mod history;
mod objects;
mod payouts;
mod rows;
mod runs;

pub use chains::KeptHead;

use domain::ids::Hash;
use domain::normalization::{Verdict, VerdictKind};
use readmodel::audit::{Cell, Cells, Column, Snapshot, Table};
use readmodel::batch::{Followed, Place};
use serde::Serialize;
use sqlx::PgPool;
use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use stream::cursor::Cursor;
use stream::log::{Log, LogError, Offset, Partition};
use tokio_util::task::AbortOnDropHandle;

/// More problems than anybody reads are only counted.
const LISTED: usize = 1_000;

/// What `verify --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    /// No problem was found.
    pub ok: bool,
    /// Accepted external events: no configuration, no ticks, no retries.
    pub accepted: u64,
    /// Their verdicts.
    pub verdicts: VerdictCounts,
    /// What is wrong; at most 1,000 are listed, the last then says how many there are.
    pub problems: Vec<Problem>,
}

/// accepted = applied + duplicate + ignored + quarantined - resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct VerdictCounts {
    /// Became facts, retries included.
    pub applied: u64,
    /// Were here before.
    pub duplicate: u64,
    /// Nothing follows from them.
    pub ignored: u64,
    /// Could not be used when they came; cumulative.
    pub quarantined: u64,
    /// Quarantined ones that a retry settled.
    pub resolved: u64,
}

impl VerdictCounts {
    /// Counts a verdict. A retry counts only when it settles its original, and then as resolved too.
    fn count(&mut self, verdict: &Verdict) {
        let retry = verdict.retry_of.is_some();
        match verdict.kind {
            VerdictKind::Applied => self.applied += 1,
            VerdictKind::Ignored => self.ignored += 1,
            VerdictKind::Duplicate if !retry => self.duplicate += 1,
            VerdictKind::Quarantined if !retry => self.quarantined += 1,
            VerdictKind::Duplicate | VerdictKind::Quarantined => {}
        }
        if retry && matches!(verdict.kind, VerdictKind::Applied | VerdictKind::Ignored) {
            self.resolved += 1;
        }
    }

    fn add(&mut self, more: Self) {
        self.applied += more.applied;
        self.duplicate += more.duplicate;
        self.ignored += more.ignored;
        self.quarantined += more.quarantined;
        self.resolved += more.resolved;
    }

    fn sum(&self) -> u64 {
        (self.applied + self.duplicate + self.ignored + self.quarantined).saturating_sub(self.resolved)
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What is wrong, one of a closed list (`docs/reference/verify.md`).
    pub kind: &'static str,
    /// Where: topic, partition and frame, or table and row.
    #[serde(rename = "where")]
    pub place: String,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The log does not answer.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The database does not answer.
    #[error("database: {0}; is it migrated, and the same that the projector writes?")]
    Database(#[from] sqlx::Error),
    /// No temporary files.
    #[error("temporary files: {0}; is there room where TMPDIR points to?")]
    Files(#[from] std::io::Error),
    /// The read model was not projected by this version.
    #[error(
        "the read model holds rows of an older version; let the projector of this version run, which projects them again"
    )]
    OlderReadModel,
    /// Kept heads of other programs than this log has.
    #[error(
        "checkpoint.programs.program_id: the log has no event of any of its programs: the checkpoint is of another installation, \
         or the log lost them all"
    )]
    OtherPrograms,
    /// An event that this version does not know.
    #[error("{place}: {error}; run the version that wrote it, or a newer one")]
    UnknownEvent {
        /// The frame.
        place: String,
        /// What was met.
        error: wire::Unknown,
    },
}

/// What has been found so far.
#[derive(Debug, Default)]
struct Findings {
    accepted: u64,
    verdicts: VerdictCounts,
    problems: Vec<Problem>,
    unlisted: usize,
    /// Kept heads whose program the log knows.
    kept_known: usize,
}

impl Findings {
    fn problem(
        &mut self,
        kind: &'static str,
        place: impl ToString,
        expected: impl ToString,
        found: impl ToString,
    ) {
        if self.problems.len() == LISTED {
            self.unlisted += 1;
            return;
        }
        self.problems.push(Problem {
            kind,
            place: place.to_string(),
            expected: expected.to_string(),
            found: found.to_string(),
        });
    }

    /// Names the columns in which a row that differs does so.
    fn compare(&mut self, table: &Table, place: String, expected: &Cells<'_>, found: &Cells<'_>) {
        let says = |cells: &Cells<'_>, column: usize| {
            cells.get(column).map(|cell| cell.shown().map(Cow::into_owned))
        };
        let differs = |column: usize| says(expected, column) != says(found, column);
        if (0..expected.len().max(found.len())).any(differs) {
            let found = shown(table, found, differs);
            self.problem(table.kind, place, shown(table, expected, differs), found);
        } else {
            // The same words for people, as with a field too many in JSON.
            let found = format!("{}, in another form", shown(table, found, |_| true));
            self.problem(table.kind, place, shown(table, expected, |_| true), found);
        }
    }

    /// Adds what was found in the next partition.
    fn append(&mut self, next: Self) {
        self.accepted += next.accepted;
        self.verdicts.add(next.verdicts);
        self.kept_known += next.kept_known;
        let room = LISTED.saturating_sub(self.problems.len());
        self.unlisted += next.unlisted + next.problems.len().saturating_sub(room);
        self.problems.extend(next.problems.into_iter().take(room));
    }

    fn report(mut self) -> Report {
        if self.accepted != self.verdicts.sum() {
            let (accepted, sum) = (self.accepted, self.verdicts.sum());
            self.problem(
                "accounting",
                "applied + duplicate + ignored + quarantined - resolved",
                accepted,
                sum,
            );
        }
        if self.unlisted > 0 {
            self.problems.push(Problem {
                kind: "more",
                place: "this report".to_owned(),
                expected: LISTED.to_string(),
                found: (LISTED + self.unlisted).to_string(),
            });
        }
        Report {
            ok: self.problems.is_empty(),
            accepted: self.accepted,
            verdicts: self.verdicts,
            problems: self.problems,
        }
    }
}

/// Columns of a row with their values, for people.
fn shown(table: &Table, cells: &Cells<'_>, which: impl Fn(usize) -> bool) -> String {
    let show = |(place, (column, cell)): (usize, (&Column, &Cell<'_>))| {
        let value = cell.shown().unwrap_or(Cow::Borrowed("null"));
        which(place).then(|| format!("{} {value}", column.name))
    };
    table.columns.iter().zip(cells).enumerate().filter_map(show).collect::<Vec<_>>().join(", ")
}

/// The record before each cursor must be the one that it was taken after.
async fn anchors(log: &Arc<dyn Log>, fold: &fold::Fold, findings: &mut Findings) -> Result<(), VerifyError> {
    for followed in Followed::ALL {
        let cursor: &Cursor = fold.cursor(followed);
        if cursor.offset == 0 {
            continue;
        }
        let found = match log.record_at(followed.topic(), fold.partition, Offset(cursor.offset - 1)).await {
            Ok(Some(record)) => format!("{:?}", Hash::of(&record.value)),
            Ok(None) | Err(LogError::OutOfRange { .. }) => "no record".to_owned(),
            Err(LogError::Corrupt(what)) => what,
            Err(error) => return Err(error.into()),
        };
        let anchor = format!("{:?}", cursor.anchor);
        if found != anchor {
            let (topic, partition) = (followed.topic().name(), fold.partition.0);
            let place = format!("{topic}/{partition} offset {}", cursor.offset - 1);
            findings.problem("anchor", place, format!("{anchor}, as the cursor row has it"), found);
        }
    }
    Ok(())
}

/// What it is held against, and how much it may take.
#[derive(Debug, Clone)]
pub struct Options {
    /// Heads of programs' chains that the log must still lead to.
    pub kept: Vec<KeptHead>,
    /// Bytes of events of one kind of object that are gathered in memory before they are written to a temporary file.
    pub gathered_bytes: usize,
    /// Partitions that are walked at the same time. Each takes its memory and its connections.
    pub partitions_at_once: usize,
}

impl Default for Options {
    fn default() -> Self {
        // Two: while one waits for rows to be sorted, the other walks.
        Self { kept: Vec::new(), gathered_bytes: 1 << 20, partitions_at_once: 2 }
    }
}

/// Verifies the whole log, and the read model in `pool` at the cursors of one snapshot.
///
/// # Errors
/// [`VerifyError`], when it could not be done; what is wrong with the data is in the report.
pub async fn run(log: Arc<dyn Log>, pool: &PgPool) -> Result<Report, VerifyError> {
    run_against(log, pool, Vec::new()).await
}

/// As [`run`], and the log must still lead to these heads.
///
/// # Errors
/// As [`run`].
pub async fn run_against(
    log: Arc<dyn Log>,
    pool: &PgPool,
    kept: Vec<KeptHead>,
) -> Result<Report, VerifyError> {
    run_with(Options { kept, ..Options::default() }, log, pool).await
}

/// As [`run`], with other limits.
///
/// # Errors
/// As [`run`].
pub async fn run_with(options: Options, log: Arc<dyn Log>, pool: &PgPool) -> Result<Report, VerifyError> {
    let mut findings = Findings::default();
    // First the snapshot, then the log: the log holds everything that the snapshot has seen.
    let mut snapshot = Snapshot::open(pool).await?;
    if snapshot.has_older(readmodel::GENERATION).await? {
        return Err(VerifyError::OlderReadModel);
    }
    let cursors = snapshot.cursors(readmodel::GENERATION).await?;
    let proof = Arc::new(Proof { options, log, snapshot, cursors });
    let mut waiting = (0..proof.log.partition_count()).map(Partition);
    let mut running = VecDeque::new();
    loop {
        while running.len() < proof.options.partitions_at_once.max(1)
            && let Some(partition) = waiting.next()
        {
            let proof = Arc::clone(&proof);
            let task = tokio::spawn(async move { proof.partition(partition).await });
            running.push_back(AbortOnDropHandle::new(task));
        }
        let Some(task) = running.pop_front() else { break };
        match task.await {
            Ok(found) => findings.append(found?),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    let with_kept = !proof.options.kept.is_empty();
    if let Some(proof) = Arc::into_inner(proof) {
        proof.snapshot.close().await?;
    }
    if with_kept && findings.kept_known == 0 {
        return Err(VerifyError::OtherPrograms);
    }
    Ok(findings.report())
}

/// What the tasks of partitions share.
struct Proof {
    options: Options,
    log: Arc<dyn Log>,
    snapshot: Snapshot,
    cursors: BTreeMap<Place, Cursor>,
}

impl Proof {
    async fn partition(&self, partition: Partition) -> Result<Findings, VerifyError> {
        let (mut findings, snapshot) = (Findings::default(), &self.snapshot);
        let mut fold = fold::Fold::new(partition, &self.cursors, snapshot, &self.options);
        chain::walk(&self.log, partition, &mut fold, &mut findings).await?;
        fold.finish(&mut findings).await?;
        anchors(&self.log, &fold, &mut findings).await?;
        fold.chains.finish(self.log.partition_count(), &mut findings);
        rows::compare(snapshot, fold, &mut findings).await?;
        Ok(findings)
    }
}

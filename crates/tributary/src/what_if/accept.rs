//! Asks the ledger for a forecast: a command for each commission, with the N that the forecast found. One that moved meanwhile
//! is declined, and named.
use crate::admin::Admin;
use anyhow::Context as _;
use bytes::Bytes;
use domain::commission::forecast::Change;
use domain::normalization::{ReplyAddress, VerdictKind};
use domain::time::Micros;
use serde::Serialize;
use sources::native::{self, Resource, repricing};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use wire::ingest::{IngestRecord, RawRequest};
use wire::outcomes::OutcomeRecord;

/// Commands that are under way at once.
const BATCH: usize = 500;
const PROGRESS_EVERY: Duration = Duration::from_secs(2);
/// What vouches for the commands: whoever may open the data directory or the topics.
const AUTHENTICATED_BY: &str = "cli";

/// What became of the commands.
#[derive(Debug, Default, Serialize)]
pub(super) struct Accepted {
    /// Commissions that have the forecast's N.
    pub(super) taken: u64,
    /// Commissions that stayed as they were.
    pub(super) skipped: Vec<Skipped>,
}

/// A commission that stayed as it was.
#[derive(Debug, Serialize)]
pub(super) struct Skipped {
    pub(super) program_id: String,
    pub(super) commission_id: String,
    /// `moved`, or another word of the ledger.
    pub(super) why: String,
}

/// Sends the commands batch by batch and waits for the answers of each.
///
/// # Errors
/// When the log refuses a batch, or answers do not come; to run it again does no harm.
pub(super) async fn accept(
    admin: &Admin,
    changes: &[Change],
    reason: &str,
    actor: &str,
) -> anyhow::Result<Accepted> {
    let mut accepted = Accepted::default();
    let (mut done, mut told) = (0, Instant::now());
    // A program is in one partition: what is sent together must belong together.
    for of_program in changes.chunk_by(|one, next| one.program == next.program) {
        for batch in of_program.chunks(BATCH) {
            let Some(program) = batch.first().map(|change| &change.program) else { continue };
            let mut records = Vec::with_capacity(batch.len());
            for change in batch {
                let reply_to = admin.reply_address();
                records.push((record(change, reason, actor, &reply_to)?, reply_to));
            }
            let outcomes = admin
                .submit_all(program, &records)
                .await
                .with_context(|| format!("after {done} of {}", changes.len()))?;
            for (change, outcome) in batch.iter().zip(&outcomes) {
                match declined(outcome) {
                    None => accepted.taken += 1,
                    Some(why) => accepted.skipped.push(Skipped {
                        program_id: change.program.0.clone(),
                        commission_id: change.commission.0.clone(),
                        why,
                    }),
                }
            }
            done += batch.len();
            if told.elapsed() >= PROGRESS_EVERY {
                told = Instant::now();
                eprintln!("tributary: {done} of {} commissions asked for", changes.len());
            }
        }
    }
    Ok(accepted)
}

fn record(
    change: &Change,
    reason: &str,
    actor: &str,
    reply_to: &ReplyAddress,
) -> anyhow::Result<IngestRecord> {
    let body = repricing::body(&change.command(reason, ""), actor)
        .with_context(|| format!("{} has a hold until a year of five digits", change.commission))?;
    Ok(IngestRecord::Request(RawRequest {
        program: change.program.clone(),
        source: native::NAME.into(),
        body: Bytes::from(body),
        headers: vec![(native::IDEMPOTENCY_HEADER.to_owned(), change.name())],
        query: String::new(),
        authenticated_by: AUTHENTICATED_BY.to_owned(),
        received_at: now(),
        reply_to: Some(reply_to.clone()),
        trace: None,
        resource: Resource::Repricings.name().to_owned(),
        publishable: false,
    }))
}

/// Informative: it never decides.
fn now() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// Why a command changed nothing; `None`: it did.
fn declined(outcome: &OutcomeRecord) -> Option<String> {
    match (outcome.verdict, &outcome.answer) {
        (VerdictKind::Applied | VerdictKind::Duplicate, Some(answer)) if answer.declined.is_empty() => None,
        (VerdictKind::Applied | VerdictKind::Duplicate, Some(answer)) => Some(answer.declined.clone()),
        (verdict, _) => {
            Some(format!("{} {} {}", verdict.name(), outcome.reason, outcome.detail).trim().to_owned())
        }
    }
}

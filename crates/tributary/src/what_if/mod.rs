//! `replay`: what other rules would have paid, and asking the ledger for it. `balances --as-of`: balances of another time.
mod accept;
mod report;
mod rules_file;

use crate::admin::Admin;
use crate::cli::{Balances, Replay};
use crate::parts::{configure_quietly, open_log_read_only};
use crate::quarantine::user;
use crate::report::print_rows;
use crate::up::print_line;
use anyhow::{anyhow, bail};
use domain::ids::ProgramId;
use domain::time::Micros;
use readmodel::queries::BalanceRow;
use report::Report;
use services::shadow::{self, Answer, WhatIf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use stream::log::{Log, Partition, Topic};

const PROGRESS_EVERY: Duration = Duration::from_secs(2);
const REASON: &str = "accepted what-if";

/// `replay`. 0 done, 1 something was skipped; errors become 2 in `main`.
pub(crate) async fn replay(args: &Replay) -> anyhow::Result<ExitCode> {
    let config = configure_quietly(&args.place.layers(&[]))?;
    let program = args.program.as_deref().map(ProgramId::from);
    let Some(file) = &args.what_if else {
        let log = open_log_read_only(&config).await?;
        let rules = shadow::rules(&log, program.as_ref(), &progress()).await?;
        print_line(rules_file::export(&rules)?.trim_end())?;
        return Ok(ExitCode::SUCCESS);
    };
    let since = args.since.as_deref().map(|text| moment("--since", text)).transpose()?;
    let rules = rules_file::read(file, program.as_ref())?;
    let asked = WhatIf { rules, since };
    if !args.accept {
        let log = open_log_read_only(&config).await?;
        let answer = shadow::what_if(&log, &asked, &progress()).await?;
        print(&Report::of(&answer, &asked, None), args.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    let admin = Admin::open(&config, false).await?;
    let accepted = accepted(&admin, &asked, args).await;
    let closed = admin.close().await;
    let (answer, accepted) = accepted?;
    closed?;
    let code = if accepted.skipped.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    print(&Report::of(&answer, &asked, Some(accepted)), args.json)?;
    Ok(code)
}

async fn accepted(
    admin: &Admin,
    asked: &WhatIf,
    args: &Replay,
) -> anyhow::Result<(Answer, accept::Accepted)> {
    let answer = shadow::what_if(admin.log(), asked, &progress()).await?;
    let reason = args.reason.as_deref().map(str::trim).unwrap_or(REASON);
    if reason.is_empty() {
        bail!("--reason: say why, it stands in the record for good");
    }
    let actor = args.actor.clone().unwrap_or_else(user);
    let accepted = accept::accept(admin, &answer.forecast.changes, reason, &actor).await?;
    Ok((answer, accepted))
}

fn print(report: &Report, json: bool) -> anyhow::Result<()> {
    if json { print_line(&serde_json::to_string_pretty(report)?) } else { print_line(&report.to_text()) }
}

/// `balances --as-of`.
pub(crate) async fn balances(args: &Balances, at: &str) -> anyhow::Result<()> {
    let config = configure_quietly(&args.place.layers(&[]))?;
    let at = moment("--as-of", at)?;
    let known_at = args.known_at.as_deref().map(|text| moment("--known-at", text)).transpose()?;
    if known_at.is_some_and(|known_at| known_at < at) {
        bail!(
            "--known-at is before --as-of: nobody knew then what was to come; give a moment from --as-of on"
        );
    }
    let log: Arc<dyn Log> = open_log_read_only(&config).await?;
    let balances = match known_at {
        None => shadow::balances_as_of(&log, at, &progress()).await?,
        Some(known_at) => shadow::balances_known(&log, at, known_at, &progress()).await?,
    };
    let rows = balances.lines().map(|line| BalanceRow {
        program_id: line.program_id.0,
        partner_id: line.partner_id.0,
        currency: line.currency.code().to_owned(),
        pending: line.sheet.pending.0,
        review: line.sheet.review.0,
        available: line.sheet.available.0,
        in_flight: line.sheet.in_flight.0,
        paid_out: line.sheet.paid_out.0,
        debt: line.sheet.debt.0,
    });
    print_rows(&rows.collect::<Vec<_>>(), args.json)
}

fn moment(flag: &str, text: &str) -> anyhow::Result<Micros> {
    sources::moment::read(text)
        .ok_or_else(|| anyhow!("{flag}: `{text}` is no moment in RFC 3339, such as 2026-06-30T23:59:59Z"))
}

/// Says now and then how far it is.
fn progress() -> impl Fn(Topic, Partition, u64) + Sync {
    let told = Mutex::new(Instant::now());
    move |topic, partition, frames| {
        let Ok(mut told) = told.lock() else { return };
        if told.elapsed() >= PROGRESS_EVERY {
            *told = Instant::now();
            eprintln!("tributary: {} partition {}: {frames} frames read", topic.name(), partition.0);
        }
    }
}

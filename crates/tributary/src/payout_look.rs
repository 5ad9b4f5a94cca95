//! `payouts list` and `payouts show`.
use crate::cli::{PayoutsList, PayoutsLook, PayoutsShow};
use crate::database::Database;
use crate::parts::configure_quietly;
use crate::payment_files;
use crate::report::{NOT_MIGRATED, table};
use crate::up::print_line;
use anyhow::{Context as _, bail};
use readmodel::statements::{self, Chosen, Line, Payout, PayoutChange};
use serde::Serialize;
use sqlx::PgPool;

/// The commands of `payouts` that change nothing.
pub(crate) async fn payouts(command: &PayoutsLook) -> anyhow::Result<()> {
    match command {
        PayoutsLook::List(args) => list(args).await,
        PayoutsLook::Show(args) => show(args).await,
        PayoutsLook::Export(args) => payment_files::export(args).await,
    }
}

async fn list(args: &PayoutsList) -> anyhow::Result<()> {
    let config = configure_quietly(&args.place.layers(&[]))?;
    let database = Database::attach(&config).await?;
    let chosen = Chosen {
        program: args.program.as_deref(),
        partner: args.partner.as_deref(),
        status: args.status.as_deref(),
        ids: &[],
    };
    let found = statements::payouts(database.pool(), chosen).await.context(NOT_MIGRATED);
    let closed = database.close().await;
    let found = found?;
    closed?;
    if args.json {
        return print_line(&serde_json::to_string_pretty(&found)?);
    }
    if found.is_empty() {
        return print_line("no payouts");
    }
    let mut lines = vec![
        [
            "payout",
            "program",
            "partner",
            "status",
            "drafted at",
            "currency",
            "lines",
            "total",
            "paid in",
            "paid",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    lines.extend(found.into_iter().map(|payout| {
        vec![
            payout.payout_id,
            payout.program_id,
            payout.partner_id,
            payout.status,
            payout.drafted_at,
            payout.currency,
            payout.line_count.to_string(),
            payout.total_minor.to_string(),
            payout.paid_currency,
            payout.paid_minor.to_string(),
        ]
    }));
    print_line(&table(&lines, 6))?;
    print_line("(amounts in minor units of their currency)")
}

/// A payout with everything that is known of it.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    payout: Payout,
    lines: Vec<Line>,
    events: Vec<PayoutChange>,
}

async fn show(args: &PayoutsShow) -> anyhow::Result<()> {
    let config = configure_quietly(&args.place.layers(&[]))?;
    let database = Database::attach(&config).await?;
    let shown = look(database.pool(), &args.payout).await;
    let closed = database.close().await;
    let Some(shown) = shown.context(NOT_MIGRATED)? else {
        bail!("there is no payout {}; `tributary payouts list` prints all", args.payout);
    };
    closed?;
    if args.json { print_line(&serde_json::to_string_pretty(&shown)?) } else { print(&shown) }
}

async fn look(pool: &PgPool, id: &str) -> Result<Option<Shown>, sqlx::Error> {
    let ids = [id.to_owned()];
    let found = statements::payouts(pool, Chosen { ids: &ids, ..Chosen::default() }).await?;
    let Some(payout) = found.into_iter().next() else { return Ok(None) };
    let (lines, events) = (statements::lines(pool, &ids).await?, statements::changes(pool, id).await?);
    Ok(Some(Shown { payout, lines, events }))
}

fn print(shown: &Shown) -> anyhow::Result<()> {
    let payout = &shown.payout;
    print_line(&format!(
        "{} of {} in {}: {}, {} {} from {} {}",
        payout.payout_id,
        payout.partner_id,
        payout.program_id,
        payout.status,
        payout.paid_minor,
        payout.paid_currency,
        payout.total_minor,
        payout.currency
    ))?;
    if let (Some(rate), Some(mantissa), Some(exponent)) =
        (&payout.rate_id, payout.rate_mantissa, payout.rate_exponent)
    {
        let spread = payout.rate_spread_ppm.unwrap_or_default();
        print_line(&format!(
            "rate {rate}: 1 {} = {mantissa}e{exponent} {}, less {spread} ppm",
            payout.currency, payout.paid_currency
        ))?;
    }
    for event in &shown.events {
        let more = [&event.reference, &event.reason].map(|text| text.as_str()).join(" ");
        print_line(
            format!("{} {} by {} {}", event.recorded_at, event.kind, event.actor, more.trim()).trim_end(),
        )?;
    }
    let mut lines = vec![["line", "commission", "further", "amount", "paid"].map(str::to_owned).to_vec()];
    lines.extend(shown.lines.iter().map(|line| {
        vec![
            line.line.to_string(),
            line.commission_id.clone(),
            if line.further { "yes" } else { "" }.to_owned(),
            line.amount_minor.to_string(),
            line.paid_minor.to_string(),
        ]
    }));
    print_line(&table(&lines, 3))?;
    print_line("(amounts in minor units of their currency)")
}

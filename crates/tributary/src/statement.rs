//! `statement`: what a partner earned, owes and was paid, with everything that it takes to compute it again.
use crate::cli::{Statement as Args, StatementFormat};
use crate::csv::{Cell, Csv, decimal};
use crate::database::Database;
use crate::parts::configure_quietly;
use crate::report::NOT_MIGRATED;
use crate::up::print_line;
use anyhow::{Context as _, anyhow, bail};
use domain::money::Currency;
use readmodel::statements::{self, Chosen, Entry, Line, Opening, Payout, Period, Source};
use serde::Serialize;
use sqlx::PgPool;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use time::{Date, OffsetDateTime, Time};

/// A statement; its JSON is a contract (`docs/reference/statements.md`).
#[derive(Debug, Serialize)]
struct Statement {
    program_id: String,
    partner_id: String,
    /// The first day; null: from the first event.
    from: Option<String>,
    /// The first day that is not in it any more; null: to the last event.
    to: Option<String>,
    currencies: Vec<InCurrency>,
    commissions: Vec<Computed>,
    payouts: Vec<WithLines>,
}

/// What happened in one currency.
#[derive(Debug, Serialize)]
struct InCurrency {
    currency: String,
    opening_minor: i64,
    entries: Vec<WithBalance>,
    closing_minor: i64,
}

#[derive(Debug, Serialize)]
struct WithBalance {
    #[serde(flatten)]
    entry: Entry,
    /// What is payable after it; below 0: owed.
    balance_minor: i64,
}

#[derive(Debug, Serialize)]
struct Computed {
    #[serde(flatten)]
    source: Source,
    /// How `gross_minor` comes about, for people.
    computed_from: String,
}

impl Computed {
    /// How the entry's own `gross_minor` comes about. Only a repricing changes it, and the terms with it: what an entry before
    /// that was computed from is not in the read model any more (`explain` says it, from the log).
    fn of(&self, entry: &Entry) -> &str {
        if entry.gross_minor == Some(self.source.gross_minor) { &self.computed_from } else { REPRICED }
    }
}

const REPRICED: &str = "terms that a later repricing replaced";

#[derive(Debug, Serialize)]
struct WithLines {
    #[serde(flatten)]
    payout: Payout,
    lines: Vec<Line>,
}

/// `statement`.
pub(crate) async fn statement(args: &Args) -> anyhow::Result<()> {
    let (from, to) = (args.from.as_deref(), args.to.as_deref());
    let period = Period {
        program: &args.program,
        partner: &args.partner,
        from: from.map(|text| day("--from", text)).transpose()?,
        to: to.map(|text| day("--to", text)).transpose()?,
    };
    if let (Some(first), Some(end)) = (period.from, period.to)
        && first >= end
    {
        bail!("--to must be after --from: the day that it names is not in the statement any more");
    }
    let config = configure_quietly(&args.place.layers(&[]))?;
    let database = Database::attach(&config).await?;
    let made = gather(database.pool(), &period, (from, to)).await;
    let closed = database.close().await;
    let made = made.context(NOT_MIGRATED)?;
    closed?;
    let Some(statement) = made else {
        bail!("program {} has no partner {}", args.program, args.partner);
    };
    match args.format {
        StatementFormat::Json => print_line(&serde_json::to_string_pretty(&statement)?),
        // It has its own ends of lines.
        StatementFormat::Csv => {
            std::io::stdout().write_all(csv(&statement).as_bytes()).context("standard output")
        }
    }
}

/// The first moment of a day, in microseconds since 1970.
fn day(flag: &str, text: &str) -> anyhow::Result<i64> {
    let parts: Vec<&str> = text.split('-').collect();
    let date = match parts.as_slice() {
        [year, month, day] if year.len() == 4 && month.len() == 2 && day.len() == 2 => {
            let month = month.parse::<u8>().ok().and_then(|month| month.try_into().ok());
            let numbers = (year.parse().ok(), month, day.parse().ok());
            let (Some(year), Some(month), Some(day)) = numbers else { return Err(no_day(flag, text)) };
            Date::from_calendar_date(year, month, day).map_err(|_| no_day(flag, text))?
        }
        _ => return Err(no_day(flag, text)),
    };
    let first = OffsetDateTime::new_utc(date, Time::MIDNIGHT);
    i64::try_from(first.unix_timestamp_nanos() / 1_000).map_err(|_| no_day(flag, text))
}

fn no_day(flag: &str, text: &str) -> anyhow::Error {
    anyhow!("{flag}: `{text}` is no day such as 2026-06-30")
}

/// `None`: there is no such partner.
async fn gather(
    pool: &PgPool,
    period: &Period<'_>,
    (from, to): (Option<&str>, Option<&str>),
) -> Result<Option<Statement>, sqlx::Error> {
    if !statements::is_partner(pool, period.program, period.partner).await? {
        return Ok(None);
    }
    let openings = statements::openings(pool, period).await?;
    let entries = statements::entries(pool, period).await?;
    let ids = |of: fn(&Entry) -> Option<&String>| -> Vec<String> {
        entries.iter().filter_map(of).cloned().collect::<BTreeSet<_>>().into_iter().collect()
    };
    let commissions = ids(|entry| entry.commission_id.as_ref());
    let payouts = payouts(pool, period, &ids(|entry| entry.payout_id.as_ref()), (from, to)).await?;
    let sources = statements::sources(pool, &commissions).await?;
    Ok(Some(Statement {
        program_id: period.program.to_owned(),
        partner_id: period.partner.to_owned(),
        from: from.map(str::to_owned),
        to: to.map(str::to_owned),
        currencies: by_currency(openings, entries),
        commissions: sources.into_iter().map(computed).collect(),
        payouts,
    }))
}

/// Payouts that an entry names, or that were settled in the period.
async fn payouts(
    pool: &PgPool,
    period: &Period<'_>,
    named: &[String],
    (from, to): (Option<&str>, Option<&str>),
) -> Result<Vec<WithLines>, sqlx::Error> {
    let chosen = Chosen { program: Some(period.program), partner: Some(period.partner), ..Chosen::default() };
    let mut payouts = statements::payouts(pool, chosen).await?;
    // Moments are written so that their texts are in order, and days begin them.
    let settled = |payout: &Payout| {
        payout
            .settled_at
            .as_deref()
            .is_some_and(|at| from.is_none_or(|from| at >= from) && to.is_none_or(|to| at < to))
    };
    payouts.retain(|payout| named.contains(&payout.payout_id) || settled(payout));
    let ids: Vec<String> = payouts.iter().map(|payout| payout.payout_id.clone()).collect();
    let mut lines: BTreeMap<String, Vec<Line>> = BTreeMap::new();
    for line in statements::lines(pool, &ids).await? {
        lines.entry(line.payout_id.clone()).or_default().push(line);
    }
    let with = |payout: Payout| {
        let lines = lines.remove(&payout.payout_id).unwrap_or_default();
        WithLines { payout, lines }
    };
    Ok(payouts.into_iter().map(with).collect())
}

fn by_currency(openings: Vec<Opening>, entries: Vec<Entry>) -> Vec<InCurrency> {
    let mut all: BTreeMap<String, InCurrency> = openings
        .into_iter()
        .map(|opening| {
            let (currency, amount) = (opening.currency, opening.amount_minor);
            let of = InCurrency {
                currency: currency.clone(),
                opening_minor: amount,
                entries: Vec::new(),
                closing_minor: amount,
            };
            (currency, of)
        })
        .collect();
    for entry in entries {
        // Each entry's currency has an opening: both are made from the same events.
        let Some(of) = all.get_mut(&entry.currency) else { continue };
        // Buckets fit into 64 bits, and so does what lies between them.
        of.closing_minor = of.closing_minor.saturating_add(entry.amount_minor);
        of.entries.push(WithBalance { entry, balance_minor: of.closing_minor });
    }
    all.into_values().collect()
}

fn computed(source: Source) -> Computed {
    let computed_from = how(&source);
    Computed { source, computed_from }
}

/// How the first amount comes about.
fn how(source: &Source) -> String {
    if source.origin != "conversion" {
        return format!("{} by a person", source.origin);
    }
    let Some(rounding) = &source.rounding else { return String::new() };
    let mut how = match source.flat_minor {
        Some(flat) => format!("flat {flat}"),
        None => {
            let products: Vec<String> = source
                .bases_minor
                .iter()
                .zip(&source.rates_ppm)
                .map(|(base, rate)| format!("{base} x {rate} ppm"))
                .collect();
            format!("{rounding}({})", products.join(" + "))
        }
    };
    if let (Some(share), Some(of)) = (source.share, source.share_of) {
        how.push_str(&format!(", of that {share}/{of}"));
    }
    if source.uncapped_minor != source.gross_minor {
        how.push_str(&format!(", {} capped to {}", source.uncapped_minor, source.gross_minor));
    }
    how
}

const COLUMNS: [&str; 25] = [
    "recorded_at",
    "program_id",
    "partner_id",
    "currency",
    "kind",
    "amount_minor",
    "amount",
    "balance_minor",
    "commission_id",
    "external_id",
    "gross_minor",
    "reversed_minor",
    "net_minor",
    "computed_from",
    "reversal_id",
    "reversal_minor",
    "debt_commission_id",
    "offset_minor",
    "payout_id",
    "payout_status",
    "rate_id",
    "paid_currency",
    "paid_minor",
    "cause_event_id",
    "reason",
];

/// One row per entry, between an opening row, whose amount is the balance, and a closing row, which has no amount: so of each
/// currency the amounts sum to the closing balance.
fn csv(statement: &Statement) -> String {
    let mut csv = Csv::default();
    csv.row(COLUMNS.map(Cell::Exact));
    let look = Look::of(statement);
    for of in &statement.currencies {
        let edge = |kind, amount: Option<i64>, balance| {
            let mut cells = [Cell::Empty; COLUMNS.len()];
            cells[1] = Cell::Text(&statement.program_id);
            cells[2] = Cell::Text(&statement.partner_id);
            cells[3] = Cell::Exact(&of.currency);
            cells[4] = Cell::Exact(kind);
            cells[5] = Cell::number(amount);
            cells[7] = Cell::Number(balance);
            cells
        };
        let decimals = |minor| Currency::parse(&of.currency).map(|currency| decimal(minor, currency));
        let shown = decimals(of.opening_minor);
        let mut opening = edge("opening", Some(of.opening_minor), of.opening_minor);
        opening[6] = shown.as_deref().map_or(Cell::Empty, Cell::Exact);
        csv.row(opening);
        for entry in &of.entries {
            let shown = decimals(entry.entry.amount_minor);
            csv.row(look.row(statement, entry, shown.as_deref()));
        }
        csv.row(edge("closing", None, of.closing_minor));
    }
    csv.into_text()
}

/// What entries name, by its id.
struct Look<'a> {
    commissions: BTreeMap<&'a str, &'a Computed>,
    payouts: BTreeMap<&'a str, &'a Payout>,
    lines: BTreeMap<(&'a str, &'a str), &'a Line>,
}

impl<'a> Look<'a> {
    fn of(statement: &'a Statement) -> Self {
        let payouts = &statement.payouts;
        let lines = payouts.iter().flat_map(|with| &with.lines);
        Self {
            commissions: statement
                .commissions
                .iter()
                .map(|computed| (computed.source.commission_id.as_str(), computed))
                .collect(),
            payouts: payouts.iter().map(|with| (with.payout.payout_id.as_str(), &with.payout)).collect(),
            lines: lines.map(|line| ((line.payout_id.as_str(), line.commission_id.as_str()), line)).collect(),
        }
    }

    fn row(
        &self,
        statement: &'a Statement,
        with: &'a WithBalance,
        decimals: Option<&'a str>,
    ) -> [Cell<'a>; COLUMNS.len()] {
        let entry = &with.entry;
        let commission = entry.commission_id.as_deref();
        let computed = commission.and_then(|id| self.commissions.get(id).copied());
        let payout = entry.payout_id.as_deref().and_then(|id| self.payouts.get(id).copied());
        let line = entry.payout_id.as_deref().zip(commission).and_then(|key| self.lines.get(&key).copied());
        let net = entry.gross_minor.zip(entry.reversed_minor).map(|(gross, back)| gross.saturating_sub(back));
        [
            Cell::Exact(&entry.recorded_at),
            Cell::Text(&statement.program_id),
            Cell::Text(&statement.partner_id),
            Cell::Exact(&entry.currency),
            Cell::Exact(&entry.kind),
            Cell::Number(entry.amount_minor),
            decimals.map_or(Cell::Empty, Cell::Exact),
            Cell::Number(with.balance_minor),
            Cell::text(commission),
            Cell::text(computed.map(|computed| computed.source.external_id.as_str())),
            Cell::number(entry.gross_minor),
            Cell::number(entry.reversed_minor),
            Cell::number(net),
            Cell::text(computed.map(|computed| computed.of(entry))),
            Cell::text(entry.reversal_id.as_deref()),
            Cell::number(entry.reversal_minor),
            Cell::text(entry.debt_commission_id.as_deref()),
            Cell::number(entry.offset_minor),
            Cell::text(entry.payout_id.as_deref()),
            Cell::text(payout.map(|payout| payout.status.as_str())),
            Cell::text(payout.and_then(|payout| payout.rate_id.as_deref())),
            Cell::text(payout.map(|payout| payout.paid_currency.as_str())),
            Cell::number(line.map(|line| line.paid_minor)),
            Cell::text(entry.cause_event_id.as_deref()),
            Cell::Text(&entry.reason),
        ]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_in_utc_and_no_other_text_is_one() {
        assert_eq!(day("--from", "1970-01-02").unwrap(), 86_400_000_000);
        assert_eq!(day("--from", "2024-02-29").unwrap(), 1_709_164_800_000_000);
        for text in ["2023-02-29", "2024-2-9", "2024-13-01", "20240229", "", "2024-02-29T00:00:00Z"] {
            assert!(day("--from", text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_an_amount_is_computed_from_is_said_in_full() {
        let source = Source {
            commission_id: "com_1".to_owned(),
            external_id: "txn_1".to_owned(),
            source: "paddle".to_owned(),
            origin: "conversion".to_owned(),
            currency: "USD".to_owned(),
            gross_minor: 1470,
            reversed_minor: 0,
            uncapped_minor: 1470,
            rule_id: "rule_1".to_owned(),
            rule_version: 1,
            rounding: Some("half_even".to_owned()),
            flat_minor: None,
            share: None,
            share_of: None,
            bases_minor: vec![4900],
            rates_ppm: vec![300_000],
        };
        assert_eq!(how(&source), "half_even(4900 x 300000 ppm)");
        let capped = Source { gross_minor: 1000, share: Some(1), share_of: Some(3), ..source.clone() };
        assert_eq!(how(&capped), "half_even(4900 x 300000 ppm), of that 1/3, 1470 capped to 1000");
        let flat = Source { flat_minor: Some(500), ..source.clone() };
        assert!(how(&flat).starts_with("flat 500"));
        assert_eq!(how(&Source { origin: "bonus".to_owned(), ..source }), "bonus by a person");
    }
}

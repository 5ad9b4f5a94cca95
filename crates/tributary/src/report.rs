//! What people and scripts ask: balances, proof, what happened to an event. Machines read `--json`; its form is a contract.
use crate::cli::{Balances, CheckConfig, Find, Read, Verify};
use crate::database::Database;
use crate::parts::{configure_quietly, open_log_read_only};
use crate::proof::kept_heads;
use crate::up::print_line;
use anyhow::Context as _;
use kit::config::Config;
use readmodel::analyst::{ANALYST, Role, STATEMENTS};
use readmodel::queries::{self, BalanceRow, FoundEvent};
use sqlx::PgPool;
use std::process::ExitCode;

/// `verify` found a problem.
const PROBLEM_FOUND: u8 = 1;

/// `balances`.
pub(crate) async fn balances(args: &Balances) -> anyhow::Result<()> {
    if let Some(at) = &args.as_of {
        return crate::what_if::balances(args, at).await;
    }
    let config = configure_quietly(&args.place.layers(&[]))?;
    let database = Database::attach(&config).await?;
    let printed = print_balances(database.pool(), args.json).await;
    printed.and(database.close().await)
}

/// Prints all balances.
pub(crate) async fn print_balances(pool: &PgPool, json: bool) -> anyhow::Result<()> {
    print_rows(&queries::balances(pool).await.context(NOT_MIGRATED)?, json)
}

/// Prints balances, of whatever time.
pub(crate) fn print_rows(rows: &[BalanceRow], json: bool) -> anyhow::Result<()> {
    if json {
        return print_line(&serde_json::to_string_pretty(&rows)?);
    }
    if rows.is_empty() {
        return print_line("no balances yet");
    }
    let amounts = |row: &BalanceRow| {
        [row.pending, row.review, row.available, row.in_flight, row.paid_out, row.debt]
            .map(|amount| amount.to_string())
    };
    let mut lines = vec![
        ["program", "partner", "currency", "pending", "review", "available", "in flight", "paid out", "debt"]
            .map(str::to_owned)
            .to_vec(),
    ];
    lines.extend(rows.iter().map(|row| {
        let names = [row.program_id.clone(), row.partner_id.clone(), row.currency.clone()];
        names.into_iter().chain(amounts(row)).collect()
    }));
    print_line(&table(&lines, 3))?;
    print_line("(amounts in minor units of their currency)")
}

pub(crate) const NOT_MIGRATED: &str =
    "cannot read the read models; has `tributary up` or `tributary migrate` run on this database?";

/// `verify`: 0 when everything is proven, 1 when not; errors become 2 in `main`.
pub(crate) async fn verify(args: &Verify) -> anyhow::Result<ExitCode> {
    let config = configure_quietly(&args.place.layers(&[]))?;
    let kept = kept_heads(&config, &args.against)?;
    let heads = kept.as_ref().map(Vec::len);
    let log = open_log_read_only(&config).await?;
    let database = Database::attach(&config).await?;
    let report = services::verify::run_against(log, database.pool(), kept.unwrap_or_default()).await;
    let closed = database.close().await;
    let report = report?;
    closed?;
    if args.json {
        print_line(&serde_json::to_string_pretty(&report)?)?;
    } else {
        let verdicts = &report.verdicts;
        print_line(&format!(
            "accepted {}: applied {}, duplicate {}, ignored {}, quarantined {}, resolved {}",
            report.accepted,
            verdicts.applied,
            verdicts.duplicate,
            verdicts.ignored,
            verdicts.quarantined,
            verdicts.resolved
        ))?;
        for problem in &report.problems {
            print_line(&format!(
                "problem: {} at {}: expected {}, found {}",
                problem.kind, problem.place, problem.expected, problem.found
            ))?;
        }
        if let Some(heads) = heads.filter(|_| report.ok) {
            print_line(&format!("the log leads to the {heads} heads of the checkpoint"))?;
        }
        print_line(if report.ok { "ok: every verdict and balance follows from the log" } else { "NOT ok" })?;
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::from(PROBLEM_FOUND) })
}

/// `events find`.
pub(crate) async fn find(args: &Find) -> anyhow::Result<()> {
    let config = configure_quietly(&args.place.layers(&[]))?;
    let database = Database::attach(&config).await?;
    let found = queries::find_events(database.pool(), &args.external_id).await.context(NOT_MIGRATED);
    let closed = database.close().await;
    let found = found?;
    closed?;
    if args.json {
        return print_line(&serde_json::to_string_pretty(&found)?);
    }
    if found.is_empty() {
        return print_line(
            "nothing is known under that id. Events that were refused (400, 401, 403, 404 for a program, 413) are not kept; \
             accepted ones appear within moments",
        );
    }
    let mut lines = vec![
        ["event", "source", "received at", "verdict", "reason", "sale", "commissions"]
            .map(str::to_owned)
            .to_vec(),
    ];
    lines.extend(found.into_iter().map(line_of));
    print_line(&table(&lines, 7))
}

fn line_of(event: FoundEvent) -> Vec<String> {
    let commissions = event.commission_ids.join(" ");
    let sale = event.sale_id.unwrap_or_default();
    vec![event.event_id, event.source, event.received_at, event.verdict, event.reason, sale, commissions]
}

/// `migrate`.
pub(crate) async fn migrate(args: &Read) -> anyhow::Result<()> {
    let config = configure_quietly(&args.place.layers(&[]))?;
    let database = Database::attach(&config).await?;
    let migrated = readmodel::migrate(database.pool()).await;
    let closed = database.close().await;
    let role = migrated.context("Postgres migration")?;
    closed?;
    print_line("the read models are up to date")?;
    match role {
        Role::Ready => print_line(&format!("role {ANALYST} reads the views")),
        Role::Missing(why) => print_line(&format!(
            "role {ANALYST} is not ready ({why}); let an administrator run: {STATEMENTS} Then migrate again"
        )),
    }
}

/// `check-config`: what is in force, secrets masked.
pub(crate) fn check_config(args: &CheckConfig) -> anyhow::Result<()> {
    if args.defaults {
        return print_line(kit::config::default_toml().trim_end());
    }
    if args.dump {
        return print_line(Config::dump(&args.place.layers(&[]))?.trim_end());
    }
    let config = Config::load(&args.place.layers(&[]))?;
    let log = match &config.kafka.brokers {
        Some(brokers) => format!("Kafka at {brokers}, topics {}*", config.kafka.topic_prefix),
        None => format!("embedded, in {}", config.data_dir.join("log").display()),
    };
    let postgres = match &config.database_url {
        Some(url) => format!("given: {}", without_password(url.expose())),
        None => format!("private, in {}", config.data_dir.display()),
    };
    print_line(&format!("log: {log}\npostgres: {postgres}\n{config:#?}"))
}

/// The URL as far as it is no secret: scheme, host, database; neither user part nor parameters.
fn without_password(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
    let rest = rest.rsplit_once('@').map_or(rest, |(_, after)| after);
    let rest = rest.split_once('?').map_or(rest, |(before, _)| before);
    format!("{scheme}://{rest}")
}

/// Columns aligned: the first `left` to the left, the others to the right.
pub(crate) fn table(lines: &[Vec<String>], left: usize) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default())
        .collect();
    let rendered = lines.iter().map(|line| {
        let cells = line.iter().zip(&widths).enumerate().map(|(column, (text, width))| {
            if column < left { format!("{text:<width$}") } else { format!("{text:>width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    rendered.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_database_url_has_neither_password_nor_parameters() {
        let shown =
            without_password("postgres://user:p@ss@db.example:5432/tributary?password=x&sslmode=require");
        assert_eq!(shown, "postgres://db.example:5432/tributary");
    }

    #[test]
    fn a_table_aligns_names_to_the_left_and_numbers_to_the_right() {
        let line = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        assert_eq!(table(&[line(["name", "amount"]), line(["mary", "5"])], 1), "name  amount\nmary       5");
    }
}

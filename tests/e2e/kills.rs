//! Killed with SIGKILL under load, again and again: at named points and at random moments.
//!
//! The client keeps its own fsynced record of every 2xx. A kill counts only if at that moment an acknowledged event lacked
//! its verdict or its balance. At the end every acknowledged event has a verdict, no sale has two commissions, the balances
//! equal a naive model of the client's record, and `verify` is clean.
use crate::installation::{FEW, Installation, LIMIT, Target, missing_verdicts};
use anyhow::{Context, Result, bail};
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::time::Duration;
use testkit::load::Load;
use testkit::model::{Sent, net_by_partner};
use testkit::process::{Failpoint, REACHED_BEFORE_READY, Running};
use tokio::time::Instant;

const WORKERS: u64 = 6;

/// Counted kills of the short form; `TRIBUTARY_TEST_KILLS` sets the long one.
fn wanted_kills() -> usize {
    std::env::var("TRIBUTARY_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
}

/// Counted kills at each named point: one in the short form, three in the long one.
fn wanted_at_each_point() -> usize {
    if wanted_kills() >= 100 { 3 } else { 1 }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_commission_is_lost_or_doubled_when_the_process_is_killed_on_the_embedded_log() -> Result<()> {
    kills(Target::Embedded).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_commission_is_lost_or_doubled_when_the_process_is_killed_on_kafka() -> Result<()> {
    kills(Target::Kafka).await
}

/// Where kills hit, and how many events lacked their verdict or balance then.
#[derive(Debug, Default)]
struct Table(BTreeMap<String, Vec<usize>>);

impl Table {
    fn counted(&self) -> usize {
        self.0.values().flatten().filter(|open| **open > 0).count()
    }

    fn counted_at(&self, point: &str) -> usize {
        self.0.get(point).map_or(0, |open| open.iter().filter(|open| **open > 0).count())
    }

    fn counted_at_points(&self) -> usize {
        self.0
            .iter()
            .filter(|(point, _)| *point != "random")
            .flat_map(|(_, open)| open)
            .filter(|open| **open > 0)
            .count()
    }

    fn print(&self, target: Target) {
        println!(
            "| {target:?}: killed at | kills | counted | acknowledged events open at the kill (median, most) |"
        );
        println!("|---|---|---|---|");
        for (point, open) in &self.0 {
            let mut sorted = open.clone();
            sorted.sort_unstable();
            let counted = open.iter().filter(|open| **open > 0).count();
            println!(
                "| {point} | {} | {counted} | {}, {} |",
                open.len(),
                sorted[sorted.len() / 2],
                sorted.last().copied().unwrap_or(0)
            );
        }
    }
}

async fn kills(target: Target) -> Result<()> {
    let seed = rand::rng().random();
    println!("seed {seed}");
    let mut chance = rand::rngs::StdRng::seed_from_u64(seed);
    let mut installation = Installation::new(target, "kills").await?;
    if target == Target::Kafka && wanted_at_each_point() == 1 {
        // Each kill takes all partitions over again: the long form has as many as an installation has by default.
        installation.setup.partitions = Some(FEW);
    }
    // A first start without load: the demo's sample traffic is not part of the client's record.
    let first = installation.setup.start(None).await?;
    let sample = sample_balances();
    installation.wait_for_balances("prog_demo", &sample).await?;
    assert!(first.terminate().await?.success());

    let load = Load::start(&installation.directory.path().join("record"), WORKERS, Duration::from_millis(2))?;
    let mut table = Table::default();
    let mut round = 0;
    let points = stream::failpoint::POINTS;
    while table.counted() < wanted_kills()
        || table.counted_at_points() * 2 < table.counted()
        || points.iter().any(|point| table.counted_at(point) < wanted_at_each_point())
    {
        round += 1;
        anyhow::ensure!(round < wanted_kills() * 4 + 20, "too many rounds without counted kills: {table:?}");
        // Two named points for each random moment.
        let name = if round % 3 == 0 { "random" } else { points[(round - round / 3 - 1) % points.len()] };
        let open = kill_once(&installation, &load, name, &mut chance, round).await?;
        if let Some(open) = open {
            table.0.entry(name.to_owned()).or_default().push(open);
        }
    }
    let running = installation.setup.start(None).await?;
    load.point_at(Some(running.url.clone()));
    let record = load.finish().await?;
    let acknowledged = record.acknowledged();
    table.print(target);
    println!("acknowledged: {}", acknowledged.len());

    all_is_there_once(&installation, &acknowledged, sample).await?;
    for point in stream::failpoint::POINTS {
        assert!(table.counted_at(point) >= wanted_at_each_point(), "too few counted kills at {point}");
    }
    assert!(running.terminate().await?.success());
    Ok(())
}

/// The oracles of a fault test: every acknowledged event has its verdict, no sale has two commissions, the balances are those of
/// a naive model (`before`: what was there without the load), and `verify` is clean.
pub(crate) async fn all_is_there_once(
    installation: &Installation,
    acknowledged: &[(String, Sent)],
    before: BTreeMap<String, i64>,
) -> Result<()> {
    let keys: Vec<String> = acknowledged.iter().map(|(key, _)| key.clone()).collect();
    installation.wait_for_verdicts(&keys).await?;
    let sent: Vec<_> = acknowledged.iter().map(|(_, sent)| sent.clone()).collect();
    let mut expected = before;
    for (partner, amount) in net_by_partner(&sent, 200_000) {
        *expected.entry(partner).or_insert(0) += amount;
    }
    installation.wait_for_balances("prog_demo", &expected).await?;
    let database = installation.database().await?;
    let doubled: Vec<String> = sqlx::query_scalar(
        "select external_id from tributary.commissions group by program_id, source, external_id having count(*) > 1",
    )
    .fetch_all(&database)
    .await?;
    assert!(doubled.is_empty(), "sales with two commissions: {doubled:?}");
    let report = installation.verify_is_clean().await?;
    println!("verify: {report}");
    Ok(())
}

/// The balances that the demo's sample traffic makes.
pub(crate) fn sample_balances() -> BTreeMap<String, i64> {
    BTreeMap::from([("partner_john".to_owned(), 3_700), ("partner_mary".to_owned(), 2_500)])
}

/// Starts, lets the load run, kills at the named point or at a random moment. The number of acknowledged events that were
/// open then; `None` when the point was not usable in this round.
async fn kill_once(
    installation: &Installation,
    load: &Load,
    name: &str,
    chance: &mut rand::rngs::StdRng,
    round: usize,
) -> Result<Option<usize>> {
    let failpoint = (name != "random").then(|| Failpoint {
        name: name.to_owned(),
        nth: chance.random_range(5..60),
        file: installation.directory.path().join(format!("reached-{round}")),
    });
    let running = match installation.setup.start(failpoint.as_ref()).await {
        Ok(running) => running,
        Err(error) if error.to_string() == REACHED_BEFORE_READY => return Ok(None),
        Err(error) => return Err(error.context(format!("round {round} at {name}"))),
    };
    let acknowledged_before = load.record.acknowledged().len();
    load.point_at(Some(running.url.clone()));
    match &failpoint {
        Some(failpoint) => {
            wait_until("the failpoint", || failpoint.file.exists()).await?;
            // The stopped part no longer moves: something acknowledged from now on must still be open.
            let seen = load.record.acknowledged().len();
            wait_until("an acknowledgement beyond the failpoint", || load.record.acknowledged().len() > seen)
                .await?;
        }
        None => {
            let wanted = acknowledged_before + chance.random_range(20..200);
            wait_until("acknowledgements", || load.record.acknowledged().len() >= wanted).await?;
        }
    }
    kill_and_count(installation, load, running).await.map(Some)
}

async fn kill_and_count(installation: &Installation, load: &Load, running: Running) -> Result<usize> {
    running.kill().await?;
    load.point_at(None);
    // The database outlives the process: it shows what was projected at the moment of the kill.
    let database = installation.database().await.context("the database right after the kill")?;
    open_events(&database, &load.record.acknowledged()).await
}

/// How many of these acknowledged events lack their verdict or their balance in the database.
pub(crate) async fn open_events(database: &sqlx::PgPool, acknowledged: &[(String, Sent)]) -> Result<usize> {
    let (without_verdict, without_balance) = which_are_open(database, acknowledged).await?;
    Ok(without_verdict.len() + without_balance.len())
}

/// The keys of those that lack their verdict, and of those that lack their balance.
pub(crate) async fn which_are_open(
    database: &sqlx::PgPool,
    acknowledged: &[(String, Sent)],
) -> Result<(Vec<String>, Vec<String>)> {
    let keys: Vec<String> = acknowledged.iter().map(|(key, _)| key.clone()).collect();
    let without_verdict = missing_verdicts(database, &keys).await?;
    // Every sale of the load earns something, so a sale without its `created` event has not reached its balance. (An early
    // refund has no event of its own to look for: it takes effect with its sale.)
    let sales: Vec<String> = acknowledged
        .iter()
        .filter(|(_, sent)| matches!(sent, Sent::Sale { .. }))
        .map(|(key, _)| key.clone())
        .collect();
    let without_balance: Vec<String> = sqlx::query_scalar(
        "select wanted.key from unnest($1::text[]) as wanted(key)
         join tributary.verdicts v on v.delivery_key = wanted.key and v.verdict = 'applied'
         where not exists (select 1 from tributary.commission_events e where e.cause_event_id = v.event_id and e.kind = 'created')",
    )
    .bind(&sales)
    .fetch_all(database)
    .await?;
    Ok((without_verdict, without_balance))
}

pub(crate) async fn wait_until(what: &str, mut condition: impl FnMut() -> bool) -> Result<()> {
    let limit = Instant::now() + LIMIT;
    while !condition() {
        if Instant::now() > limit {
            bail!("waited too long for {what}");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

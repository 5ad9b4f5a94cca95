//! The kill test with every service in a process of its own, on Kafka: each service in turn, two at once, the broker, Postgres.
//!
//! A kill counts only if at that moment an acknowledged event lacked its verdict or its balance. So that this can be seen, the
//! projector stands still from right before the kill until the database has been asked (when the projector is killed itself, it
//! needs no help). At the end: every acknowledged event has its verdict, no sale has two commissions, the balances are those
//! of a naive model, `verify` is clean, and a database projected anew from the log is identical.
use crate::fleet::{Fleet, acknowledged_beyond};
use crate::installation::{Installation, LIMIT};
use crate::kills::{all_is_there_once, open_events, sample_balances, wait_until, which_are_open};
use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng, seq::IndexedRandom};
use std::time::Duration;
use testkit::kafka::KafkaBroker;
use testkit::load::Load;
use testkit::process::Failpoint;
use testkit::stage::SERVICES;
use tokio::time::Instant;

const WORKERS: u64 = 4;
/// Named points of a chain service; the projector's are below.
const CHAIN_POINTS: [&str; 4] =
    ["key-stored-no-frame", "appended-no-ack", "acked-not-accepted", "accepted-not-stored"];
const PROJECTOR_POINTS: [&str; 2] = ["before-commit", "after-commit"];

/// Counted kills of each kind; `TRIBUTARY_TEST_KILLS_APART` sets the long form.
fn wanted_kills() -> usize {
    std::env::var("TRIBUTARY_TEST_KILLS_APART").ok().and_then(|text| text.parse().ok()).unwrap_or(5)
}

/// Who is killed: all, or with `TRIBUTARY_TEST_VICTIM` only one, such as `broker`.
fn victims() -> Result<Vec<Victim>> {
    let Ok(wanted) = std::env::var("TRIBUTARY_TEST_VICTIM") else { return Ok(Victim::ALL.to_vec()) };
    let found: Vec<_> = Victim::ALL.into_iter().filter(|victim| victim.name() == wanted).collect();
    anyhow::ensure!(
        !found.is_empty(),
        "TRIBUTARY_TEST_VICTIM={wanted} is none of {:?}",
        Victim::ALL.map(Victim::name)
    );
    Ok(found)
}

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Service(&'static str),
    TwoServices,
    Broker,
    Postgres,
}

impl Victim {
    const ALL: [Self; 8] = [
        Self::Service("gateway"),
        Self::Service("normalizer"),
        Self::Service("attribution"),
        Self::Service("commission"),
        Self::Service("projector"),
        Self::TwoServices,
        Self::Broker,
        Self::Postgres,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Service(name) => name,
            Self::TwoServices => "two services at once",
            Self::Broker => "broker",
            Self::Postgres => "Postgres",
        }
    }

    /// Where round `round` kills it: two rounds of three at a named point, where it has some.
    fn point(self, round: usize) -> Option<&'static str> {
        let points: &[&str] = match self {
            Self::Service("projector") => &PROJECTOR_POINTS,
            Self::Service("normalizer") => &CHAIN_POINTS,
            // They store no keys.
            Self::Service("attribution" | "commission") => &CHAIN_POINTS[1..],
            _ => return None,
        };
        (!round.is_multiple_of(3)).then(|| points[(round - round / 3 - 1) % points.len()])
    }
}

/// One kill.
#[derive(Debug)]
struct Kill {
    point: &'static str,
    open: usize,
    recovery: Duration,
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_when_services_broker_or_database_crash() -> Result<()> {
    let seed = rand::rng().random();
    println!("seed {seed}");
    let mut chance = StdRng::seed_from_u64(seed);
    let (broker, installation) =
        Installation::on_own(KafkaBroker::start, |broker| broker.bootstrap().to_owned(), "kills-apart")
            .await?;
    let mut fleet = Fleet::start(installation).await?;
    let load = fleet.load(WORKERS).await?;
    let mut table = Vec::new();
    let mut settled = 0;
    for victim in victims()? {
        let kills = kill_often(&mut fleet, &load, &broker, victim, &mut chance, &mut settled)
            .await
            .with_context(|| format!("killing {}", victim.name()))?;
        print(victim, &kills);
        table.push((victim, kills));
    }
    let acknowledged = load.finish().await?.acknowledged();
    println!("acknowledged: {}", acknowledged.len());
    println!("| killed | kills | counted | open events (median, most) | recovery, s (median, most) |");
    println!("|---|---|---|---|---|");
    for (victim, kills) in &table {
        println!("{}", row(*victim, kills));
    }
    all_is_there_once(&fleet.installation, &acknowledged, sample_balances()).await?;
    fleet.stop_services().await?;
    // Only what is linked away says it, after nearly every crash of a broker: `crates/tributary/native`.
    assert_eq!(fleet.logs_with("METADATAUPDATE")?, Vec::<std::path::PathBuf>::new());
    let Fleet { installation, postgres, .. } = fleet;
    postgres.stop().await?;
    let projected = crate::rebuild::project(&installation, false).await?;
    let again = crate::rebuild::project(&installation, true).await?;
    assert_eq!(projected, again, "rows differ after projecting the log again");
    println!("{} rows identical after a rebuild", again.iter().map(|table| table.rows).sum::<u64>());
    Ok(())
}

async fn kill_often(
    fleet: &mut Fleet,
    load: &Load,
    broker: &KafkaBroker,
    victim: Victim,
    chance: &mut StdRng,
    settled: &mut usize,
) -> Result<Vec<Kill>> {
    let mut kills: Vec<Kill> = Vec::new();
    let wanted = wanted_kills();
    for round in 0.. {
        if kills.iter().filter(|kill| kill.open > 0).count() >= wanted {
            break;
        }
        anyhow::ensure!(round < wanted * 3 + 5, "too many rounds without counted kills: {kills:?}");
        let point = victim.point(round);
        if let (Victim::Service(name), Some(point)) = (victim, point) {
            stop_at(fleet, load, name, point, chance, round).await?;
        } else {
            acknowledged_beyond(load, chance.random_range(20..120)).await?;
        }
        let point = point.unwrap_or("random");
        let kill = kill(fleet, load, broker, victim, chance, settled).await;
        let (open, recovery) = kill.with_context(|| format!("round {round} at {point}"))?;
        kills.push(Kill { point, open, recovery });
    }
    Ok(kills)
}

/// Starts `name` anew so that it stops at `point`, and waits until it has, and something was acknowledged since.
async fn stop_at(
    fleet: &mut Fleet,
    load: &Load,
    name: &'static str,
    point: &str,
    chance: &mut StdRng,
    round: usize,
) -> Result<()> {
    let failpoint = Failpoint {
        name: point.to_owned(),
        nth: chance.random_range(5..60),
        file: fleet.installation.directory.path().join(format!("reached-{name}-{round}")),
    };
    fleet.take(name)?.terminate().await?;
    fleet.launch(name, Some(&failpoint))?;
    wait_until(point, || failpoint.file.exists()).await?;
    // The part that stopped no longer moves: something acknowledged from now on must still be open.
    acknowledged_beyond(load, 1).await
}

/// Kills, counts what was open, starts again, waits until all that was acknowledged at the kill has reached its balance. The
/// first `settled` acknowledged events have done so before.
async fn kill(
    fleet: &mut Fleet,
    load: &Load,
    broker: &KafkaBroker,
    victim: Victim,
    chance: &mut StdRng,
    settled: &mut usize,
) -> Result<(usize, Duration)> {
    let names: Vec<&'static str> = match victim {
        Victim::Service(name) => vec![name],
        Victim::TwoServices => SERVICES.choose_multiple(chance, 2).copied().collect(),
        Victim::Broker | Victim::Postgres => Vec::new(),
    };
    let database = fleet.installation.database().await?;
    let stands_still = victim != Victim::Postgres && !names.contains(&"projector");
    if stands_still {
        fleet.stage("projector")?.signal(Signal::SIGSTOP)?;
    }
    let since = Instant::now();
    for name in &names {
        fleet.stage(name)?.signal(Signal::SIGKILL)?;
    }
    match victim {
        Victim::Broker => broker.kill()?,
        Victim::Postgres => fleet.crash_postgres().await?,
        Victim::Service(_) | Victim::TwoServices => {}
    }
    let acknowledged = load.record.beyond(*settled);
    if names.contains(&"gateway") {
        load.point_at(None);
    }
    // Postgres itself can only be asked when it is back; what the projector has committed by then is not counted.
    let database = if victim == Victim::Postgres { fleet.installation.database().await? } else { database };
    let open = open_events(&database, &acknowledged).await?;
    if stands_still {
        fleet.stage("projector")?.signal(Signal::SIGCONT)?;
    }
    for name in &names {
        fleet.take(name)?.gone().await?;
        fleet.launch(name, None)?;
    }
    if victim == Victim::Broker {
        broker.restart()?;
    }
    if names.contains(&"gateway") {
        load.point_at(Some(fleet.url().await?));
    }
    let limit = Instant::now() + LIMIT;
    while open_events(&database, &acknowledged).await? > 0 {
        // Nobody else may have ended.
        fleet.all_run()?;
        if Instant::now() > limit {
            let kept = fleet.installation.keep();
            let open = which_are_open(&database, &acknowledged).await?;
            let (numbers, tails) = (fleet.numbers().await, fleet.tails());
            bail!(
                "what was open stays open: {open:?}; all logs are in {}\n{numbers}\n{tails}",
                kept.display()
            );
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let recovery = since.elapsed();
    *settled += acknowledged.len();
    // All are ready again.
    fleet.ready().await?;
    Ok((open, recovery))
}

fn print(victim: Victim, kills: &[Kill]) {
    for Kill { point, open, recovery } in kills {
        println!("{} at {point}: {open} open, recovered after {recovery:?}", victim.name());
    }
}

fn row(victim: Victim, kills: &[Kill]) -> String {
    let mut open: Vec<_> = kills.iter().map(|kill| kill.open).collect();
    let mut recovery: Vec<_> = kills.iter().map(|kill| kill.recovery.as_secs_f64()).collect();
    open.sort_unstable();
    recovery.sort_by(f64::total_cmp);
    let (middle, last) = (kills.len() / 2, kills.len() - 1);
    format!(
        "| {} | {} | {} | {}, {} | {:.1}, {:.1} |",
        victim.name(),
        kills.len(),
        open.iter().filter(|open| **open > 0).count(),
        open[middle],
        open[last],
        recovery[middle],
        recovery[last],
    )
}

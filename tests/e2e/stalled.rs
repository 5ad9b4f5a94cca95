//! An owner that stands still until another has taken its partitions, and then goes on as if nothing had happened: what it
//! still writes is void, what it had in its hands is discarded, and nobody's money changes.
use crate::fleet::{Fleet, acknowledged_beyond};
use crate::installation::{Installation, Target};
use crate::kills::{all_is_there_once, open_events, sample_balances};
use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::time::Duration;
use stream::cursor::Cursor;
use stream::judge::{Judge, Judged};
use stream::log::{Offset, Topic, partition_of};
use testkit::load::{Load, client};
use testkit::stage::Stage;
use tokio::time::Instant;

const LIMIT: Duration = Duration::from_secs(60);
const OWNERS: [(&str, Topic); 3] =
    [("normalizer", Topic::Facts), ("attribution", Topic::Attributed), ("commission", Topic::Commissions)];

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_slept_through_a_takeover_changes_nothing_when_it_wakes() -> Result<()> {
    let mut fleet = Fleet::start(Installation::new(Target::Kafka, "stalled").await?).await?;
    let load = fleet.load(4).await?;
    println!("| stalled | taken over after, s | void records it left | what it said |");
    println!("|---|---|---|---|");
    for (name, output) in OWNERS {
        let row = stall(&mut fleet, &load, name, output).await.with_context(|| format!("stalling {name}"))?;
        println!("{row}");
    }
    let acknowledged = load.finish().await?.acknowledged();
    println!("acknowledged: {}", acknowledged.len());
    all_is_there_once(&fleet.installation, &acknowledged, sample_balances()).await?;
    fleet.stop_services().await?;
    fleet.postgres.stop().await?;
    Ok(())
}

async fn stall(fleet: &mut Fleet, load: &Load, name: &'static str, output: Topic) -> Result<String> {
    acknowledged_beyond(load, 50).await?;
    let before = voids(fleet, output).await?;
    let mut old = fleet.take(name)?;
    old.signal(Signal::SIGSTOP)?;
    let since = Instant::now();
    // What is acknowledged from here on can only be worked off by another owner.
    let mark = load.record.count();
    acknowledged_beyond(load, 20).await?;
    fleet.launch_elsewhere(name)?;
    until_none_is_open(fleet, &load.record.beyond(mark)).await?;
    let taken = since.elapsed();

    old.signal(Signal::SIGCONT)?;
    // Its word that it lost: it had frames under way or inputs at hand, and the log refused them.
    let limit = Instant::now() + LIMIT;
    let said = loop {
        let log = old.log();
        let lost = log.lines().find(|line| line.contains(LOST));
        if let Some(line) = lost {
            let error = line.rsplit_once("error=").map_or(line, |(_, error)| error);
            break error.split(" pause=").next().unwrap_or(error).to_owned();
        }
        anyhow::ensure!(Instant::now() < limit, "it has not noticed:\n{log}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    acknowledged_beyond(load, 50).await?;
    let http = client();
    old.ready(&http).await?;
    old.terminate().await?;
    until_none_is_open(fleet, &load.record.acknowledged()).await?;
    let mut left = voids(fleet, output).await?;
    for (reason, count) in before {
        *left.entry(reason).or_insert(0) -= count;
    }
    left.retain(|_, count| *count > 0);
    anyhow::ensure!(!left.is_empty(), "it left nothing that could have done harm: nothing was shown");
    anyhow::ensure!(left.keys().all(|reason| *reason == "not_owner" || *reason == "repeated"), "{left:?}");
    Ok(format!("| {name} | {:.1} | {left:?} | {said} |", taken.as_secs_f64()))
}

/// What an owner says when another has its partition.
const LOST: &str = "another owner took the partition";

async fn until_none_is_open(fleet: &Fleet, acknowledged: &[(String, testkit::model::Sent)]) -> Result<()> {
    let database = fleet.installation.database().await?;
    let limit = Instant::now() + LIMIT;
    loop {
        let open = open_events(&database, acknowledged).await?;
        if open == 0 {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < limit, "{open} events stay open");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Void records of the demo program's partition, by reason.
async fn voids(fleet: &Fleet, topic: Topic) -> Result<BTreeMap<&'static str, i64>> {
    let log = fleet.installation.open_log().await?;
    let partition = partition_of("prog_demo", log.partition_count());
    let end = log.bounds(topic, partition).await?.end;
    let mut reader = log.reader(topic, partition, Offset(0)).await?;
    let mut judge = Judge::new(Cursor::START);
    let mut found = BTreeMap::new();
    while judge.next_offset() < end.0 {
        for record in reader.next(10_000, 8 << 20).await? {
            if let Judged::Void(void) = judge.judge(&record).map_err(|halt| anyhow::anyhow!("{halt}"))? {
                *found.entry(void.name()).or_insert(0) += 1;
            }
        }
    }
    Ok(found)
}

impl Fleet {
    /// Starts a service beside one that was taken out, with a data directory of its own.
    fn launch_elsewhere(&mut self, name: &'static str) -> Result<()> {
        let directory = self.installation.directory.path().to_owned();
        let mut setup = self.installation.setup.clone();
        setup.data_dir = directory.join(format!("second-{name}"));
        std::fs::create_dir_all(&setup.data_dir)?;
        let label = format!("{name}-second");
        self.insert(Stage::start(&setup, &directory, &label, name, &self.variables, None)?)
    }
}

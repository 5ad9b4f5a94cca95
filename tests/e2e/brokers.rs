//! Three brokers with a copy of everything on each, two of which must have a record before it counts: one dies under load, then
//! a second, and both come back.
use crate::fleet::{Fleet, acknowledged_beyond};
use crate::installation::{Installation, LIMIT};
use crate::kills::{all_is_there_once, open_events, sample_balances};
use crate::outages_kafka::all_refused;
use anyhow::{Context, Result};
use std::time::Duration;
use stream::log::{Topic, partition_of};
use testkit::cluster::{BROKERS, Cluster};
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread")]
async fn with_one_of_three_brokers_gone_work_goes_on_and_with_two_gone_nothing_acknowledged_is_lost()
-> Result<()> {
    let (mut cluster, installation) =
        Installation::on_own(Cluster::start, Cluster::bootstrap, "brokers").await?;
    let mut fleet = Fleet::start(installation).await?;
    let load = fleet.load(4).await?;
    acknowledged_beyond(&load, 100).await?;
    let database = fleet.installation.database().await?;
    println!(
        "| gone | acknowledged before | open then | first 2xx after, s | all of it projected after, s |"
    );
    println!("|---|---|---|---|---|");

    // The one that leads the partition on which the load works.
    let first = leader(&cluster, &fleet)?;
    for gone in [vec![first], vec![(first + 1) % BROKERS, (first + 2) % BROKERS]] {
        let since = Instant::now();
        for broker in &gone {
            cluster.kill(*broker)?;
        }
        let before = load.record.acknowledged();
        let open = open_events(&database, &before).await?;
        if gone.len() == 1 {
            // The rest goes on by itself.
            acknowledged_beyond(&load, 1).await?;
        } else {
            let url = fleet.url().await?;
            let (asked, slowest) = all_refused(&url, "two-gone", since + Duration::from_secs(8)).await?;
            println!("two brokers gone: {asked} requests refused, the slowest after {slowest:?}");
            for broker in &gone {
                cluster.restart(*broker)?;
            }
            acknowledged_beyond(&load, 1).await?;
        }
        let resumed = since.elapsed();
        let limit = Instant::now() + LIMIT;
        while open_events(&database, &before).await? > 0 {
            anyhow::ensure!(Instant::now() < limit, "acknowledged events stay open");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        println!(
            "| {} of {BROKERS} | {} | {open} | {:.1} | {:.1} |",
            gone.len(),
            before.len(),
            resumed.as_secs_f64(),
            since.elapsed().as_secs_f64()
        );
        acknowledged_beyond(&load, 100).await?;
        if gone.len() == 1 {
            cluster.restart(first)?;
            cluster.until_it_serves(first)?;
            until_in_sync(&cluster, &fleet).await?;
        }
    }
    let acknowledged = load.finish().await?.acknowledged();
    println!("acknowledged: {}", acknowledged.len());
    all_is_there_once(&fleet.installation, &acknowledged, sample_balances()).await?;
    fleet.stop_services().await?;
    fleet.postgres.stop().await?;
    Ok(())
}

fn leaders(cluster: &Cluster, fleet: &Fleet) -> Result<Vec<(i32, usize)>> {
    let (_, prefix) = fleet.installation.setup.kafka.as_ref().context("on Kafka")?;
    testkit::topics::leaders(&cluster.bootstrap(), &format!("{prefix}{}", Topic::Ingest.name()))
}

/// Index of the broker that leads the demo program's `ingest` partition.
fn leader(cluster: &Cluster, fleet: &Fleet) -> Result<usize> {
    let partitions = leaders(cluster, fleet)?;
    let partition = partition_of("prog_demo", u32::try_from(partitions.len())?);
    Ok(usize::try_from(partitions[partition.0 as usize].0)? - 1)
}

/// Waits until every broker has every record of `ingest` again.
async fn until_in_sync(cluster: &Cluster, fleet: &Fleet) -> Result<()> {
    let limit = Instant::now() + LIMIT;
    while leaders(cluster, fleet)?.iter().any(|(_, copies)| *copies < BROKERS) {
        anyhow::ensure!(Instant::now() < limit, "the broker that came back does not catch up");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

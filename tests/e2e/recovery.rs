//! The disk is gone: local state from snapshots, keys from a database of their own, nothing counted twice.
use crate::installation::{Installation, Target};
use anyhow::{Context, Result};
use readmodel::private_postgres::PrivatePostgres;
use std::path::{Path, PathBuf};
use std::time::Duration;
use testkit::load::{Load, client, send};
use testkit::requests::referral;
use tokio::time::Instant;

const LIMIT: Duration = Duration::from_secs(60);
const SERVICES: [&str; 3] = ["normalizer", "attribution", "commission"];

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_machine_goes_on_from_snapshots_and_keys_in_postgres_on_the_embedded_log() -> Result<()> {
    recover(Target::Embedded).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_machine_goes_on_from_snapshots_and_keys_in_postgres_on_kafka() -> Result<()> {
    recover(Target::Kafka).await
}

async fn recover(target: Target) -> Result<()> {
    let installation = Installation::new(target, "recovery").await?;
    let elsewhere = installation.directory.path().join("elsewhere");
    let keys = PrivatePostgres::start(&elsewhere).await?;
    let snapshots = installation.directory.path().join("snapshots");
    let dir = snapshots.to_string_lossy().into_owned();
    let variables = [
        ("TRIBUTARY_SNAPSHOTS_DIR", dir.as_str()),
        ("TRIBUTARY_SNAPSHOTS_EVERY_FRAMES", "10"),
        ("TRIBUTARY_KEYS_DATABASE_URL", keys.url()),
    ];
    let running = installation.setup.start_with(None, &variables[..2]).await?;
    let sale = referral("prog_demo", "john123", "recovery-1", 10_000);
    assert_eq!(send(&client(), &running.url, &sale).await?.0, 200);
    let load = Load::start(&installation.directory.path().join("record"), 4, Duration::from_millis(1))?;
    load.point_at(Some(running.url.clone()));
    until("load", || load.record.acknowledged().len() >= 150).await?;
    until("a snapshot of every service", || SERVICES.iter().all(|name| newest(&snapshots, name).is_some()))
        .await?;
    running.kill().await?;
    load.point_at(None);

    // The machine's own copy of everything that can be derived is gone. A snapshot of somebody else's lies in between.
    std::fs::remove_dir_all(installation.setup.data_dir.join("state"))?;
    let (_, of_the_normalizer) = newest(&snapshots, "normalizer").context("a snapshot")?;
    let name = of_the_normalizer.file_name().context("a file")?.to_string_lossy().into_owned();
    let mut parts: Vec<&str> = name.split('.').collect();
    parts[1] = "00000000000000999999";
    let foreign = snapshots.join("commission").join(parts.join("."));
    std::fs::copy(&of_the_normalizer, &foreign)?;
    // And the keys move to a database, from which every normalizer could read them.
    let mut copy = installation.setup.command(&["keys", "copy", "--from", "file", "--to", "postgres"]);
    let copied = copy.envs(variables).output().await?;
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    std::fs::remove_dir_all(installation.setup.data_dir.join("keys"))?;

    let running = installation.setup.start_with(None, &variables).await?;
    let said = std::fs::read_to_string(running.log_file())?;
    let restored = said.lines().filter(|line| line.contains("state restored from a snapshot"));
    let restored: Vec<&str> = restored.collect();
    for name in SERVICES {
        assert!(restored.iter().any(|line| line.contains(name)), "{name} in {restored:?}");
    }
    let skipped = said.lines().find(|line| line.contains("snapshot skipped")).context("a warning")?;
    assert!(
        skipped.contains(&*foreign.to_string_lossy()) && skipped.contains("delete the file"),
        "{skipped}"
    );

    // It knows what it knew: the same sale is no second one. And it goes on.
    assert_eq!(send(&client(), &running.url, &sale).await?.0, 200);
    load.point_at(Some(running.url.clone()));
    let wanted = load.record.acknowledged().len() + 50;
    until("more load", || load.record.acknowledged().len() >= wanted).await?;
    let record = load.finish().await?;
    let delivered: Vec<String> = record.acknowledged().into_iter().map(|(key, _)| key).collect();
    installation.wait_for_verdicts(&delivered).await?;
    assert_eq!(installation.commissions("recovery-1").await?.len(), 1);
    installation.verify_is_clean().await?;
    assert!(running.terminate().await?.success());

    let listed = installation.setup.command(&["snapshots", "list"]).envs(variables).output().await?;
    let listed = String::from_utf8(listed.stdout)?;
    assert!(SERVICES.iter().all(|name| listed.lines().any(|line| line.starts_with(name))), "{listed}");
    keys.stop().await?;
    Ok(())
}

/// The newest snapshot of any partition.
fn newest(snapshots: &Path, service: &str) -> Option<(u64, PathBuf)> {
    let dir = stream::snapshot::SnapshotDir::of(snapshots, service);
    dir.list(None).ok()?.into_iter().map(|found| (found.seq, found.path)).max()
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) -> Result<()> {
    let limit = Instant::now() + LIMIT;
    while !is_so() {
        anyhow::ensure!(Instant::now() < limit, "waited for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

//! Rebuild: the database from the log, the chain from `ingest`.
use crate::installation::{Installation, Target};
use anyhow::{Context, Result};
use domain::ids::Hash;
use std::sync::Arc;
use std::time::Duration;
use stream::cursor::Cursor;
use stream::follow::Follower;
use stream::log::{Log, Partition, Topic};
use testkit::load::Load;

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_frames_are_identical_after_a_rebuild_on_the_embedded_log() -> Result<()> {
    rebuild(Target::Embedded).await
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_frames_are_identical_after_a_rebuild_on_kafka() -> Result<()> {
    rebuild(Target::Kafka).await
}

const CHAIN: [Topic; 3] = [Topic::Facts, Topic::Attributed, Topic::Commissions];

async fn rebuild(target: Target) -> Result<()> {
    let installation = Installation::new(target, "rebuild").await?;
    // Three starts with load and a kill between: the chain holds takeovers and void records perhaps.
    let load = Load::start(&installation.directory.path().join("record"), 4, Duration::from_millis(2))?;
    for round in 0..3 {
        let running = installation.setup.start(None).await?;
        load.point_at(Some(running.url.clone()));
        let wanted = load.record.acknowledged().len() + 60;
        while load.record.acknowledged().len() < wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if round < 2 {
            running.kill().await?;
            load.point_at(None);
        } else {
            let record = load.finish().await?;
            let keys: Vec<String> = record.acknowledged().into_iter().map(|(key, _)| key).collect();
            installation.wait_for_verdicts(&keys).await?;
            assert!(running.terminate().await?.success());
            break;
        }
    }

    // What the log holds now, and a dump of what was projected from exactly that.
    let heads = frame_heads(&installation).await?;
    assert!(heads.iter().all(|frames| frames.len() > 100), "{:?}", heads.iter().map(Vec::len).collect::<Vec<_>>());
    let dump = dump_of(&installation, &heads).await?;

    // The database again, from offset 0.
    let database = installation.start_database().await?;
    sqlx::query("drop schema tributary cascade").execute(database.pool()).await?;
    database.stop().await?;
    let again = dump_of(&installation, &heads).await?;
    assert_eq!(dump, again, "rows differ after projecting again");

    // The chain again, from the same ingest with the same keys.
    installation.empty_chain().await?;
    let running = installation.setup.start(None).await?;
    let count = |heads: &[Vec<Hash>]| heads.iter().map(Vec::len).sum::<usize>();
    let total = count(&heads);
    let limit = tokio::time::Instant::now() + crate::installation::LIMIT;
    installation.settled("prog_demo").await?;
    assert!(running.terminate().await?.success());
    let replayed = frame_heads(&installation).await?;
    anyhow::ensure!(tokio::time::Instant::now() < limit, "too slow");
    assert!(count(&replayed) >= total, "{} of {total} frames", count(&replayed));
    for (before, after) in heads.iter().zip(&replayed) {
        assert_eq!(before[..], after[..before.len()], "frame contents differ after replaying ingest");
    }
    Ok(())
}

/// Heads of all accepted frames: (topic, partition) in order.
async fn frame_heads(installation: &Installation) -> Result<Vec<Vec<Hash>>> {
    let log = installation.open_log().await?;
    let mut all = Vec::new();
    for topic in CHAIN {
        for partition in (0..log.partition_count()).map(Partition) {
            let frames = heads_of(&log, topic, partition).await?;
            if !frames.is_empty() {
                all.push(frames);
            }
        }
    }
    Ok(all)
}

async fn heads_of(log: &Arc<dyn Log>, topic: Topic, partition: Partition) -> Result<Vec<Hash>> {
    let end = log.bounds(topic, partition).await?.end;
    let mut heads = Vec::new();
    if end.0 > 0 {
        let mut follower = Follower::open(log, topic, partition, Cursor::START).await?;
        while follower.cursor().offset < end.0 {
            heads.extend(follower.next(10_000, 8 << 20).await?.into_iter().map(|frame| frame.head));
        }
    }
    Ok(heads)
}

/// Starts once, lets the projector reach the log's end, and hashes the rows that come from `heads`' frames.
async fn dump_of(installation: &Installation, heads: &[Vec<Hash>]) -> Result<String> {
    let once = installation.setup.run(&["up", "--once"]).await?;
    anyhow::ensure!(once.status.success(), "{}", String::from_utf8_lossy(&once.stderr));
    let database = installation.start_database().await?;
    // Ticks go on while it runs: rows of commissions and balances do not depend on them once all is approved.
    let dump = readmodel::dump::canonical_hash(database.pool()).await.context("dump")?;
    database.stop().await?;
    anyhow::ensure!(!heads.is_empty());
    Ok(dump)
}

//! Rebuild: the database from the log, the chain from `ingest`.
use crate::installation::{Installation, Target};
use anyhow::{Context, Result};
use domain::ids::Hash;
use readmodel::batch::Followed;
use readmodel::dump::TableDump;
use readmodel::private_postgres::PrivatePostgres;
use services::projector::Progress;
use sqlx::PgPool;
use std::sync::Arc;
use std::time::Duration;
use stream::cursor::Cursor;
use stream::follow::Follower;
use stream::log::{Log, Partition, Topic};
use testkit::load::Load;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

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
    let installation = Installation::small(target, "rebuild").await?;
    // Three starts with load and a kill between: the chain holds takeovers and void records perhaps.
    let load = Load::start(&installation.directory.path().join("record"), 4, Duration::from_millis(2))?;
    let mut last = None;
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
            last = Some(running);
        }
    }
    let record = load.finish().await?;
    let keys: Vec<String> = record.acknowledged().into_iter().map(|(key, _)| key).collect();
    installation.wait_for_verdicts(&keys).await?;
    assert!(last.context("the last start")?.terminate().await?.success());

    // What the log holds now, and the rows that a projector has made of exactly that.
    let heads = frame_heads(&installation).await?;
    let frames = |heads: &[Vec<Hash>]| heads.iter().map(Vec::len).sum::<usize>();
    assert!(frames(&heads) > 300, "{}", frames(&heads));
    let dump = project(&installation, false).await?;
    let again = project(&installation, true).await?;
    assert_eq!(dump, again, "rows differ after dropping the database and projecting again");

    // The chain again, from the same ingest with the same keys; the rows of the old chain do not fit it.
    installation.empty_chain().await?;
    let database = PrivatePostgres::start(&installation.setup.data_dir).await?;
    drop_schema(&database).await?;
    database.stop().await?;
    let running = installation.setup.start(None).await?;
    let record: Vec<String> = keys;
    installation.wait_for_verdicts(&record).await?;
    installation.settled("prog_demo").await?;
    assert!(running.terminate().await?.success());
    let replayed = frame_heads(&installation).await?;
    assert_eq!(heads.len(), replayed.len());
    for (before, after) in heads.iter().zip(&replayed) {
        assert!(after.len() >= before.len(), "{} of {} frames", after.len(), before.len());
        assert_eq!(before[..], after[..before.len()], "frame contents differ after replaying ingest");
    }
    println!(
        "{target:?}: {} frames identical after replay, {} rows identical",
        frames(&heads),
        dump.iter().map(|table| table.rows).sum::<u64>()
    );
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

/// Projects the stopped installation's log to its end, and dumps every table.
pub(crate) async fn project(installation: &Installation, from_nothing: bool) -> Result<Vec<TableDump>> {
    let database = PrivatePostgres::start(&installation.setup.data_dir).await?;
    if from_nothing {
        drop_schema(&database).await?;
    }
    let pool = PgPool::connect(database.url()).await?;
    readmodel::migrate(&pool).await?;
    let log = installation.open_log().await?;
    let mut wanted = Vec::new();
    for followed in [Followed::Facts, Followed::Commissions] {
        for partition in (0..log.partition_count()).map(Partition) {
            let end = log.bounds(followed.topic(), partition).await?.end;
            if end.0 > 0 {
                wanted.push(((followed, partition), end.0));
            }
        }
    }
    let stop = CancellationToken::new();
    let (sender, mut progress) = watch::channel(Progress::default());
    let projector = tokio::spawn(services::projector::run(
        services::projector::Options::default(),
        log,
        pool.clone(),
        stop.clone(),
        sender,
    ));
    let reached = progress.wait_for(|progress| {
        wanted
            .iter()
            .all(|(place, end)| progress.cursors.get(place).is_some_and(|cursor| cursor.offset >= *end))
    });
    tokio::time::timeout(crate::installation::LIMIT, reached).await??;
    stop.cancel();
    projector.await??;
    let dump = readmodel::dump::canonical(&pool).await?;
    pool.close().await;
    database.stop().await?;
    Ok(dump)
}

async fn drop_schema(database: &PrivatePostgres) -> Result<()> {
    let pool = PgPool::connect(database.url()).await?;
    sqlx::raw_sql("drop schema tributary cascade; drop table if exists public._sqlx_migrations")
        .execute(&pool)
        .await?;
    pool.close().await;
    Ok(())
}

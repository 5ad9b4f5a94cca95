//! A log moves: from the embedded log to real Kafka and into another directory, with the same frames, balances and clock.
use crate::installation::{Installation, LIMIT, Target};
use anyhow::{Context, Result};
use domain::ids::Hash;
use domain::time::Micros;
use readmodel::private_postgres::PrivatePostgres;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use stream::base::Base;
use stream::cursor::Cursor;
use stream::follow::Follower;
use stream::log::{Log, Partition, Topic};
use testkit::load::{client, send};
use testkit::process::Setup;
use testkit::requests::{Request, paddle, paddle_refund, paddle_sale, referral};
use testkit::stripe::{stripe, stripe_refund, stripe_sale};
use tokio::time::Instant;

const PROGRAM: &str = "prog_demo_eighth";

/// Heads of accepted frames, by topic and partition.
type Frames = BTreeMap<(Topic, Partition), Vec<Hash>>;
/// Positions of `ingest` with time and content, by partition.
type Inputs = BTreeMap<Partition, Vec<(u64, Micros, Hash)>>;

#[tokio::test(flavor = "multi_thread")]
async fn an_embedded_log_moves_to_kafka_and_goes_on_as_if_nothing_had_happened() -> Result<()> {
    let mut installation = Installation::new(Target::Embedded, "moving").await?;
    let archive = installation.directory.path().join("acme.tributary");
    let before = work(&installation, &archive).await?;

    let broker = testkit::kafka::KafkaBroker::shared().await?.bootstrap().to_owned();
    let prefix = installation.directory.path().file_name().context("a name")?.to_string_lossy().into_owned();
    let moved = Setup {
        data_dir: installation.directory.path().join("moved"),
        kafka: Some((broker, format!("{prefix}."))),
        ..installation.setup.clone()
    };
    refusals(&moved, &archive).await?;
    let imported = moved.json(&["import", text(&archive), "--json"]).await?;
    assert_eq!(imported["records"], before.exported["records"], "{imported}");
    assert_eq!(imported["bases"], json!(before.inputs.len()), "{imported}");
    let again = moved.run(&["import", text(&archive)]).await?;
    refused(&again, &["already holds", "kafka-topics.sh", "--topic-prefix"]);

    // Everybody who knew the old log finds the same in the new one.
    let old = installation.setup.clone();
    installation.setup = moved.clone();
    let log = installation.open_log().await?;
    assert_eq!(frames(&log).await?, before.frames);
    assert_eq!(inputs(&log).await?, before.inputs, "positions, times and bytes");
    drop(log);

    let keyless = moved.run(&["up", "--once"]).await?;
    refused(&keyless, &["master.key is missing", "copy keys/ and master.key"]);
    assert!(!moved.data_dir.join("master.key").exists());
    copy_keys(&old.data_dir, &moved.data_dir)?;
    let running = moved.start(None).await?;
    installation.wait_for_balances(PROGRAM, &before.balances).await?;
    installation.verify_is_clean().await?;

    let http = client();
    deliver(&http, &running.url, &sale("evt_1", "txn_moved", "john8")).await?;
    deliver(&http, &running.url, &sale("evt_new", "txn_after", "mary8")).await?;
    installation.wait_for_verdicts(&["evt_new".to_owned()]).await?;
    let mut after = before.balances.clone();
    *after.entry("partner_mary".to_owned()).or_default() += 2_500;
    installation.wait_for_balances(PROGRAM, &after).await?;
    assert_eq!(
        verdicts(&moved, "evt_1").await?,
        ["applied", "duplicate"],
        "one sale, before the move and after"
    );
    let explained = moved.json(&["explain", "txn_moved", "--json"]).await?;
    let raw = explained.to_string();
    assert!(raw.contains("authenticated_by"), "its raw request is found at its position: {explained}");
    installation.verify_is_clean().await?;
    assert!(running.terminate().await?.success());

    decided_again(&installation, &before.frames).await?;
    restored(&mut installation, &old, &archive, &before).await
}

/// What the embedded log holds in the end.
struct Before {
    exported: Value,
    frames: Frames,
    inputs: Inputs,
    balances: BTreeMap<String, i64>,
}

/// Sales and refunds of two providers and a dialect, released by ticks, through two starts; then an archive of all that.
async fn work(installation: &Installation, archive: &Path) -> Result<Before> {
    let setup = &installation.setup;
    let running = setup.start(None).await?;
    let http = client();
    let requests = [
        sale("evt_1", "txn_moved", "john8"),
        paddle(PROGRAM, &paddle_refund("evt_r1", "adj_1", "txn_moved", 5_000, 500)),
        stripe(PROGRAM, &stripe_sale("evt_s1", "ch_moved", 20_004, Some("mary8"), None)),
        stripe(PROGRAM, &stripe_refund("evt_s2", "re_moved", "ch_moved", 5_000, "succeeded")),
        referral(PROGRAM, "john8", "order_moved", 8_000),
    ];
    for request in requests {
        deliver(&http, &running.url, &request).await?;
    }
    installation
        .wait_for_verdicts(&["evt_1", "evt_r1", "evt_s1", "evt_s2", "order_moved"].map(str::to_owned))
        .await?;
    let expected = BTreeMap::from([("partner_john".to_owned(), 2_876), ("partner_mary".to_owned(), 1_876)]);
    installation.wait_for_balances(PROGRAM, &expected).await?;
    // Beside the running process: it has nothing to do, but for its clock.
    let beside = installation.directory.path().join("beside");
    let exported = setup.json(&["export", text(&beside), "--wait", "30", "--json"]).await?;
    assert_eq!(exported["drained"], true, "{exported}");
    assert!(running.terminate().await?.success());

    // An event that came last, and that only ended with the process: it must be worked off before the log moves.
    let running = setup.start(None).await?;
    deliver(&http, &running.url, &referral(PROGRAM, "mary8", "order_late", 8_000)).await?;
    running.kill().await?;
    let once = setup.run(&["up", "--once"]).await?;
    assert!(once.status.success(), "{}", String::from_utf8_lossy(&once.stderr));
    let exported = setup.json(&["export", text(archive), "--json"]).await?;
    refused(&setup.run(&["export", text(archive)]).await?, &["exists"]);

    let balances = installation.settled(PROGRAM).await?;
    assert_eq!((balances["partner_john"], balances["partner_mary"]), (2_876, 2_876));
    installation.verify_is_clean().await?;
    let log = installation.open_log().await?;
    Ok(Before { exported, frames: frames(&log).await?, inputs: inputs(&log).await?, balances })
}

/// What is not imported, each refused with what is wrong, and before there is a single topic.
async fn refusals(moved: &Setup, archive: &Path) -> Result<()> {
    let bytes = std::fs::read(archive)?;
    let damaged = archive.with_extension("damaged");
    let mut changed = bytes.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    for (content, said) in [(&changed[..], "checksum"), (&bytes[..middle], "it ends in the middle")] {
        std::fs::write(&damaged, content)?;
        let output = moved.run(&["import", text(&damaged)]).await?;
        refused(&output, &["the archive is damaged at byte", said, "nothing was imported"]);
    }
    let mut command = moved.command(&["import", text(archive)]);
    let output = command.env("TRIBUTARY_LOG_PARTITIONS", "8").output().await?;
    refused(&output, &["the archive has 64 partitions and the target 8", "log.partitions = 64"]);
    let topics = moved.run(&["topics", "--check"]).await?;
    assert!(!topics.status.success(), "no topic was made: {}", String::from_utf8_lossy(&topics.stdout));
    Ok(())
}

/// The chain is decided again on Kafka, from the imported `ingest`: with another clock, frames would differ.
async fn decided_again(installation: &Installation, before: &Frames) -> Result<()> {
    installation.empty_chain().await?;
    let database = PrivatePostgres::start(&installation.setup.data_dir).await?;
    let pool = sqlx::PgPool::connect(database.url()).await?;
    sqlx::raw_sql("drop schema tributary cascade; drop table if exists public._sqlx_migrations")
        .execute(&pool)
        .await?;
    pool.close().await;
    database.stop().await?;
    let running = installation.setup.start(None).await?;
    installation.wait_for_verdicts(&["evt_new".to_owned()]).await?;
    installation.settled(PROGRAM).await?;
    assert!(running.terminate().await?.success());
    let log = installation.open_log().await?;
    let again = frames(&log).await?;
    for (place, heads) in before {
        let found = again.get(place).map_or(0, Vec::len).min(heads.len());
        assert_eq!(again.get(place).map(|again| &again[..found]), Some(&heads[..]), "{place:?}");
    }
    Ok(())
}

/// The same archive as a backup, in a directory of its own.
async fn restored(
    installation: &mut Installation,
    old: &Setup,
    archive: &Path,
    before: &Before,
) -> Result<()> {
    let setup =
        Setup { data_dir: installation.directory.path().join("restored"), kafka: None, ..old.clone() };
    installation.setup = setup.clone();
    let imported = setup.json(&["import", text(archive), "--json"]).await?;
    assert_eq!(imported["records"], before.exported["records"], "{imported}");
    refused(&setup.run(&["import", text(archive)]).await?, &["already holds", "--data-dir"]);
    let log = installation.open_log().await?;
    assert_eq!((frames(&log).await?, inputs(&log).await?), (before.frames.clone(), before.inputs.clone()));
    drop(log);
    copy_keys(&old.data_dir, &setup.data_dir)?;
    let running = setup.start(None).await?;
    installation.wait_for_balances(PROGRAM, &before.balances).await?;
    deliver(&client(), &running.url, &sale("evt_1", "txn_moved", "john8")).await?;
    let limit = Instant::now() + LIMIT;
    while verdicts(&setup, "evt_1").await? != ["applied", "duplicate"] {
        anyhow::ensure!(Instant::now() < limit, "the second delivery has no verdict");
    }
    installation.verify_is_clean().await?;
    assert!(running.terminate().await?.success());
    Ok(())
}

fn sale(event: &str, transaction: &str, code: &str) -> Request {
    paddle(PROGRAM, &paddle_sale(event, transaction, 20_004, 2_000, Some(code), "ctm_moved"))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

async fn deliver(http: &reqwest::Client, url: &str, request: &Request) -> Result<()> {
    let (status, body) = send(http, url, request).await?;
    anyhow::ensure!(status == 200, "{}: {status} {body}", request.path);
    Ok(())
}

/// The verdicts of a delivery key, sorted.
async fn verdicts(setup: &Setup, key: &str) -> Result<Vec<String>> {
    let found = setup.json(&["events", "find", key, "--json"]).await?;
    let found = found.as_array().context("an array")?;
    let mut verdicts: Vec<String> =
        found.iter().filter_map(|event| Some(event["verdict"].as_str()?.to_owned())).collect();
    verdicts.sort();
    verdicts.dedup();
    Ok(verdicts)
}

fn refused(output: &std::process::Output, said: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for part in said {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

/// Keys go another way than the log.
fn copy_keys(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to.join("keys"))?;
    std::fs::copy(from.join("master.key"), to.join("master.key"))?;
    for file in std::fs::read_dir(from.join("keys"))? {
        let file = file?;
        std::fs::copy(file.path(), to.join("keys").join(file.file_name()))?;
    }
    Ok(())
}

async fn frames(log: &Arc<dyn Log>) -> Result<Frames> {
    let mut all = Frames::new();
    for topic in [Topic::Facts, Topic::Attributed, Topic::Commissions] {
        for partition in (0..log.partition_count()).map(Partition) {
            let end = log.bounds(topic, partition).await?.end.0;
            let mut follower = Follower::open(log, topic, partition, Cursor::START).await?;
            while follower.cursor().offset < end {
                let frames = follower.next(10_000, 8 << 20).await?;
                all.entry((topic, partition)).or_default().extend(frames.iter().map(|frame| frame.head));
            }
        }
    }
    all.retain(|_, heads| !heads.is_empty());
    Ok(all)
}

async fn inputs(log: &Arc<dyn Log>) -> Result<Inputs> {
    let mut all = Inputs::new();
    for partition in (0..log.partition_count()).map(Partition) {
        let base = Base::of(log.as_ref(), partition).await?;
        let (mut next, end) = (base.first(), log.bounds(Topic::Ingest, partition).await?.end);
        while next < end {
            let mut reader = log.reader(Topic::Ingest, partition, next).await?;
            for record in reader.next(10_000, 8 << 20).await? {
                let position = base.position(record.offset).context("a position")?;
                let content = Hash::of(&record.value);
                all.entry(partition).or_default().push((position, base.time_of(&record), content));
                next = record.offset.next();
            }
        }
    }
    Ok(all)
}

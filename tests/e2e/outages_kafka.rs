//! The broker away for a while, and a log that is no longer what it was: lost tail, recreated topic, other partition count,
//! expired records.
use crate::fleet::{Fleet, acknowledged_beyond};
use crate::installation::{FEW, Installation, LIMIT};
use crate::kills::{all_is_there_once, open_events, sample_balances};
use anyhow::{Context, Result};
use readmodel::private_postgres::PrivatePostgres;
use std::path::Path;
use std::time::Duration;
use stream::log::{Topic, partition_of};
use testkit::kafka::KafkaBroker;
use testkit::load::{client, send};
use testkit::requests::{Request, paddle, paddle_sale, referral};
use testkit::stage::Stage;
use tokio::time::Instant;

/// How long the broker is away; `TRIBUTARY_TEST_BROKER_OUTAGE_SECONDS` sets the long form.
fn outage() -> Duration {
    let seconds =
        std::env::var("TRIBUTARY_TEST_BROKER_OUTAGE_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(15))
}

/// What a caller gets: status, whether it is told when to come back, and how long it took.
pub(crate) async fn probe(
    http: &reqwest::Client,
    url: &str,
    request: &Request,
) -> Result<(u16, bool, Duration)> {
    let since = Instant::now();
    let mut builder = http.post(format!("{url}{}", request.path)).body(request.body.clone());
    for (name, value) in request.headers() {
        builder = builder.header(name, value);
    }
    let answer = builder.header("content-type", "application/json").send().await?;
    Ok((answer.status().as_u16(), answer.headers().contains_key("retry-after"), since.elapsed()))
}

/// Asks until `over`: every answer is 503 with `Retry-After` within 2 s. How many, and the slowest.
pub(crate) async fn all_refused(url: &str, name: &str, over: Instant) -> Result<(usize, Duration)> {
    let http = client();
    let (mut asked, mut slowest) = (0, Duration::ZERO);
    while Instant::now() < over {
        let event = format!("evt_{name}_{asked}");
        let sale = paddle_sale(&event, &format!("txn_{name}_{asked}"), 1_000, 0, Some("john123"), "ctm_away");
        let (status, told, took) = probe(&http, url, &paddle("prog_demo_eighth", &sale)).await?;
        anyhow::ensure!((status, told) == (503, true), "answered {status}, Retry-After {told}");
        anyhow::ensure!(took < Duration::from_secs(2), "it took {took:?}");
        asked += 1;
        slowest = slowest.max(took);
    }
    Ok((asked, slowest))
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_broker_is_away_callers_are_told_to_come_back_and_afterwards_nothing_is_missing()
-> Result<()> {
    let (broker, installation) =
        Installation::on_own(KafkaBroker::start, |broker| broker.bootstrap().to_owned(), "broker-away")
            .await?;
    let mut fleet = Fleet::start(installation).await?;
    let load = fleet.load(4).await?;
    acknowledged_beyond(&load, 100).await?;
    let url = fleet.url().await?;
    let database = fleet.installation.database().await?;

    broker.kill()?;
    let before = load.record.acknowledged();
    let open = open_events(&database, &before).await?;
    // An answer may be under way for as long as a request may take.
    let (asked, slowest) = all_refused(&url, "away", Instant::now() + outage()).await?;
    let acknowledged = load.record.count();
    assert!(acknowledged <= before.len() + 4, "acknowledged without a broker: {acknowledged}");
    let broker = tokio::task::spawn_blocking(move || broker.restart().map(|()| broker)).await??;
    let since = Instant::now();
    acknowledged_beyond(&load, 1).await?;
    let first = since.elapsed();
    let known = load.record.acknowledged();
    let limit = Instant::now() + LIMIT;
    while open_events(&database, &known).await? > 0 {
        anyhow::ensure!(Instant::now() < limit, "it does not catch up");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!(
        "| away, s | refused | slowest refusal, s | open at the crash | first 2xx after, s | caught up after, s |"
    );
    println!("|---|---|---|---|---|---|");
    println!(
        "| {} | {asked} | {:.2} | {open} | {:.2} | {:.2} |",
        outage().as_secs(),
        slowest.as_secs_f64(),
        first.as_secs_f64(),
        since.elapsed().as_secs_f64()
    );
    acknowledged_beyond(&load, 100).await?;
    let acknowledged = load.finish().await?.acknowledged();
    all_is_there_once(&fleet.installation, &acknowledged, sample_balances()).await?;
    fleet.stop_services().await?;
    fleet.postgres.stop().await?;
    drop(broker);
    Ok(())
}

/// A log that was tampered with, and what each reader says of it.
struct Damaged {
    broker: KafkaBroker,
    installation: Installation,
    variables: Vec<(String, String)>,
    partition: u32,
    orders: usize,
    starts: usize,
}

impl Damaged {
    fn topic(&self, topic: Topic) -> Result<String> {
        let (_, prefix) = self.installation.setup.kafka.as_ref().context("on Kafka")?;
        Ok(format!("{prefix}{}", topic.name()))
    }

    /// Runs everything for `count` more sales, until each has its answer, and ends it.
    async fn run(&mut self, count: usize) -> Result<()> {
        let given: Vec<_> =
            self.variables.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let running = self.installation.setup.start_with(None, &given).await?;
        let http = client();
        let mut keys = Vec::new();
        for _ in 0..count {
            self.orders += 1;
            let order = format!("order_damaged_{}", self.orders);
            let request = referral("prog_demo", "john123", &order, 1_000);
            let (status, body) = send(&http, &running.url, &request).await?;
            anyhow::ensure!(status == 200, "{body}");
            keys.push(order);
        }
        self.installation.wait_for_verdicts(&keys).await?;
        assert!(running.terminate().await?.success());
        Ok(())
    }

    fn start(&mut self, name: &'static str) -> Result<Stage> {
        self.starts += 1;
        let label = format!("{name}-{}", self.starts);
        let directory = self.installation.directory.path();
        Stage::start(&self.installation.setup, directory, &label, name, &self.variables, None)
    }

    /// Starts a service that must refuse: it stays unready with a reason, or ends with one. What it says.
    async fn refusal(&mut self, name: &'static str) -> Result<String> {
        let mut stage = self.start(name)?;
        if name == "projector" {
            // It is ready before its readers have looked at what is there, and ends when one of them cannot go on.
            let (status, said) = stage.ended().await?;
            anyhow::ensure!(!status.success(), "it ended as if all were well:\n{said}");
            return Ok(said);
        }
        let http = client();
        let limit = Instant::now() + LIMIT;
        let url = stage.metrics().await;
        let said = loop {
            let Ok(url) = &url else { break stage.ended().await?.1 };
            match stage.readiness(&http, url).await {
                // It has ended: its log says why.
                Err(_) => break stage.ended().await?.1,
                Ok(None) => anyhow::bail!("{name} is ready on a log that is not its own:\n{}", stage.log()),
                Ok(Some(why)) if why.contains("partition ") && !why.contains("taking") => {
                    stage.terminate().await?;
                    break why;
                }
                Ok(Some(why)) => anyhow::ensure!(Instant::now() < limit, "{name} only says {why}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        Ok(said)
    }

    /// Every one of `words` is in what `name` says.
    async fn refuses(&mut self, case: &str, name: &'static str, words: &[&str]) -> Result<()> {
        let partition = format!("partition {}", self.partition);
        let said = self.refusal(name).await.with_context(|| format!("{case}: {name}"))?;
        let line = said.lines().rfind(|line| words.iter().all(|word| line.contains(word)));
        let line = line.with_context(|| format!("{case}: {name} does not say {words:?}:\n{said}"))?;
        let named = match case {
            "changed partition count" => true,
            // All partitions are concerned; the first is named.
            "recreated topic" => line.contains("partition "),
            _ => line.contains(&partition),
        };
        anyhow::ensure!(named, "{case}: {name} does not name the {partition}: {line}");
        println!("| {case} | {name} | {} |", line.trim());
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_not_what_it_was_is_refused_with_a_diagnosis() -> Result<()> {
    let (broker, installation) =
        Installation::on_own(KafkaBroker::start, |broker| broker.bootstrap().to_owned(), "damaged").await?;
    let partition = partition_of("prog_demo", FEW).0;
    let postgres = PrivatePostgres::start(&installation.setup.data_dir).await?;
    let variables = vec![("DATABASE_URL".to_owned(), postgres.url().to_owned())];
    let mut damaged = Damaged { broker, installation, variables, partition, orders: 0, starts: 0 };
    damaged.run(5).await?;
    println!("| what was done | who was asked | what it says |");
    println!("|---|---|---|");
    lost_tail(&mut damaged).await?;
    recreated(&mut damaged).await?;
    expired(&mut damaged).await?;
    other_count(&mut damaged).await?;
    postgres.stop().await?;
    Ok(())
}

/// An older copy of a partition's directory is put back while the broker is down.
async fn lost_tail(damaged: &mut Damaged) -> Result<()> {
    let directory = damaged.broker.partition_dir(&damaged.topic(Topic::Facts)?, damaged.partition)?;
    let copy = damaged.installation.directory.path().join("older-copy");
    damaged.broker.stop()?;
    copy_files(&directory, &copy)?;
    damaged.broker.restart()?;
    damaged.run(5).await?;
    damaged.broker.stop()?;
    std::fs::remove_dir_all(&directory)?;
    copy_files(&copy, &directory)?;
    damaged.broker.restart()?;
    let case = "lost tail";
    damaged.refuses(case, "attribution", &["facts.v1", "ends before frame", "restore"]).await?;
    damaged.refuses(case, "projector", &["facts.v1", "before offset", "rebuild"]).await?;
    // The lost offsets are written again: the normalizer still has its input, and makes the same frames of it.
    let mut normalizer = damaged.start("normalizer")?;
    normalizer.ready(&client()).await?;
    normalizer.terminate().await?;
    damaged.refuses("lost tail, written again", "projector", &["facts.v1", "before offset", "rebuild"]).await
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// A topic is deleted and made again, empty.
async fn recreated(damaged: &mut Damaged) -> Result<()> {
    let topic = damaged.topic(Topic::Attributed)?;
    testkit::topics::delete(damaged.broker.bootstrap(), &[topic]).await?;
    let made = damaged.installation.setup.run(&["topics"]).await?;
    anyhow::ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let words = ["attributed.v1", "ends before frame", "replaced", "restore"];
    damaged.refuses("recreated topic", "commission", &words).await
}

/// Requests that were not normalized yet are gone.
async fn expired(damaged: &mut Damaged) -> Result<()> {
    let mut gateway = damaged.start("gateway")?;
    let url = gateway.url().await?;
    let http = client();
    for number in 0..5 {
        let event = format!("evt_expired_{number}");
        let sale = paddle_sale(&event, &format!("txn_{event}"), 1_000, 0, Some("john123"), "ctm_expired");
        assert_eq!(send(&http, &url, &paddle("prog_demo", &sale)).await?.0, 200);
    }
    gateway.terminate().await?;
    let topic = damaged.topic(Topic::Ingest)?;
    testkit::topics::expire(damaged.broker.bootstrap(), &topic, damaged.partition).await?;
    damaged.refuses("expired cursor", "normalizer", &["ingest position", "expired", "restore"]).await
}

/// A topic gets one more partition.
async fn other_count(damaged: &mut Damaged) -> Result<()> {
    let topic = damaged.topic(Topic::Commissions)?;
    testkit::topics::grow(damaged.broker.bootstrap(), &topic, FEW as usize + 1).await?;
    let words = ["commissions.v1", "9 partitions instead of 8"];
    for name in ["commission", "projector", "gateway"] {
        damaged.refuses("changed partition count", name, &words).await?;
    }
    Ok(())
}

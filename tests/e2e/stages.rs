//! Every service in a process of its own, on Kafka: readiness of each, one trace through all of them, a projector that stands
//! still for a while, and an end in order.
use crate::installation::{Installation, Target};
use crate::metrics::{Scrape, wait_for};
use crate::otlp::Receiver;
use crate::telemetry::{HOPS, check, traced};
use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use readmodel::private_postgres::PrivatePostgres;
use std::path::PathBuf;
use std::time::Duration;
use testkit::load::{client, send};
use testkit::requests::referral;
use tokio::process::Child;
use tokio::time::Instant;

const LIMIT: Duration = Duration::from_secs(60);
const STAGES: [&str; 5] = ["normalizer", "attribution", "commission", "projector", "gateway"];

/// One service's process.
struct Stage {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Stage {
    fn start(installation: &Installation, name: &'static str, variables: &[(&str, &str)]) -> Result<Self> {
        let log = installation.directory.path().join(format!("{name}.stderr"));
        let mut command = installation.setup.command(&[name]);
        if name == "gateway" {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let child = command
            .envs(variables.iter().copied())
            .stdout(std::fs::File::create(installation.directory.path().join(format!("{name}.stdout")))?)
            .stderr(std::fs::File::create(&log)?)
            .spawn()?;
        Ok(Self { name, child, log })
    }

    /// The address of its metrics and health, as soon as it has said so.
    async fn metrics(&self) -> Result<String> {
        let limit = Instant::now() + LIMIT;
        loop {
            let text = std::fs::read_to_string(&self.log)?;
            let said = text
                .lines()
                .find_map(|line| line.strip_prefix("tributary: metrics at ")?.strip_suffix("/metrics"));
            if let Some(url) = said {
                return Ok(url.to_owned());
            }
            anyhow::ensure!(Instant::now() < limit, "{}: {text}", self.name);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn ready(&self, http: &reqwest::Client) -> Result<String> {
        let url = self.metrics().await?;
        let limit = Instant::now() + LIMIT;
        loop {
            let answer = http.get(format!("{url}/readyz")).send().await?;
            if answer.status() == 200 {
                assert_eq!(http.get(format!("{url}/livez")).send().await?.status(), 200);
                return Ok(url);
            }
            let waiting = answer.text().await?;
            anyhow::ensure!(Instant::now() < limit, "{} is not ready: {waiting}", self.name);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.child.id().context("it has ended")?;
        Ok(kill(Pid::from_raw(i32::try_from(pid)?), signal)?)
    }

    async fn terminate(mut self) -> Result<Duration> {
        let since = Instant::now();
        self.signal(Signal::SIGTERM)?;
        let status = tokio::time::timeout(LIMIT, self.child.wait()).await.context(self.name)??;
        let text = std::fs::read_to_string(&self.log)?;
        anyhow::ensure!(status.success(), "{} ended with {status}:\n{text}", self.name);
        Ok(since.elapsed())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn services_in_processes_of_their_own_make_one_trace_and_each_says_how_it_is() -> Result<()> {
    let receiver = Receiver::start().await?;
    let installation = Installation::new(Target::Kafka, "stages").await?;
    let database = PrivatePostgres::start(&installation.directory.path().join("elsewhere")).await?;
    let variables =
        [("TRIBUTARY_TELEMETRY_OTLP_ENDPOINT", receiver.url.as_str()), ("DATABASE_URL", database.url())];
    // The demo's programs come from one run in one process.
    let provisioned = installation.setup.start_with(None, &variables[1..]).await?;
    assert!(provisioned.terminate().await?.success());

    let http = client();
    let mut stages = Vec::new();
    for name in STAGES {
        stages.push(Stage::start(&installation, name, &variables)?);
    }
    for stage in &stages {
        stage.ready(&http).await?;
    }
    let said = std::fs::read_to_string(installation.directory.path().join("gateway.stdout"))?;
    let url = said.trim().strip_prefix("tributary ready: ").context("the gateway's address")?.to_owned();

    let trace = [0x4c, 1, 2, 3, 4, 5, 6, 7, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    let (status, body) = send(&http, &url, &traced("evt_stage_1", trace)).await?;
    assert_eq!(status, 200, "{body}");
    check(&receiver.trace(&trace, &HOPS).await?)?;

    // A process that stands still says nothing; the others go on, and afterwards it shows and works off what it missed.
    let projector = stages.iter().find(|stage| stage.name == "projector").context("started")?;
    let metrics = projector.metrics().await?;
    projector.signal(Signal::SIGSTOP)?;
    let impatient = reqwest::Client::builder().timeout(Duration::from_millis(500)).no_proxy().build()?;
    let mut orders = Vec::new();
    for number in 0..20 {
        let order = format!("order_stage_{number}");
        let (status, answer) = send(&http, &url, &referral("prog_demo", "john123", &order, 1_000)).await?;
        assert_eq!((status, &answer["commission_amount"]), (200, &200.into()), "{answer}");
        orders.push(order);
    }
    assert!(impatient.get(format!("{metrics}/metrics")).send().await.is_err(), "it stands still");
    let before = stages.iter().find(|stage| stage.name == "commission").context("started")?.metrics().await?;
    wait_for(&before, "the stage before it is not held up", |scrape: &Scrape| {
        scrape.value("tributary_lag_records", &["service=\"commission\""]) == 0.0
            && scrape.value("tributary_events_total", &["kind=\"answer\""]) >= 20.0
    })
    .await?;
    projector.signal(Signal::SIGCONT)?;
    let pool = sqlx::PgPool::connect(database.url()).await?;
    let limit = Instant::now() + LIMIT;
    while !crate::installation::missing_verdicts(&pool, &orders).await?.is_empty() {
        anyhow::ensure!(Instant::now() < limit, "the projector does not catch up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    wait_for(&metrics, "its lag is over", |scrape| {
        scrape.value("tributary_projector_lag_records", &[]) == 0.0
    })
    .await?;
    pool.close().await;
    // Gateway first, as an operator would.
    for stage in stages.into_iter().rev() {
        let name = stage.name;
        println!("{name} ended {:?} after SIGTERM", stage.terminate().await?);
    }
    database.stop().await?;
    Ok(())
}

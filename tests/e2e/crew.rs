//! Any number of processes of each service on one installation.
use crate::clients::Door;
use crate::installation::{Installation, LIMIT, Target};
use crate::metrics::Scrape;
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use readmodel::private_postgres::PrivatePostgres;
use serde_json::Value;
use sqlx::{Connection as _, Executor as _, PgConnection};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use testkit::load::client;
use testkit::process::Setup;
use tokio::process::Child;
use tokio::time::Instant;

/// The services whose processes share partitions.
pub(crate) const SHARING: [&str; 4] = ["normalizer", "attribution", "commission", "projector"];
const PARTITIONS: f64 = 64.0;
const PAUSE: Duration = Duration::from_millis(20);

/// One process.
pub(crate) struct Member {
    service: &'static str,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// All processes of an installation, by label (`commission-2`), with its database.
pub(crate) struct Crew {
    pub(crate) installation: Installation,
    postgres: PrivatePostgres,
    variables: Vec<(String, String)>,
    pub(crate) members: BTreeMap<String, Member>,
    http: reqwest::Client,
    started: usize,
}

impl Crew {
    /// An installation with the demo's account, and no process.
    pub(crate) async fn new(name: &str) -> Result<Self> {
        let installation = Installation::new(Target::Kafka, name).await?;
        let postgres = PrivatePostgres::start(&installation.setup.data_dir).await?;
        // Keys are shared by all normalizers, and never in the database of the read models.
        let mut connection = PgConnection::connect(postgres.url()).await?;
        connection.execute("create database keys").await?;
        connection.close().await?;
        let (server, parameters) = postgres.url().split_once('?').map_or((postgres.url(), ""), |parts| parts);
        let (server, _) = server.rsplit_once('/').context("a database in the URL")?;
        let keys = format!("{server}/keys?{parameters}");
        let variables = [
            ("DATABASE_URL", postgres.url().to_owned()),
            ("TRIBUTARY_KEYS_DATABASE_URL", keys),
            ("TRIBUTARY_MASTER_KEY", "5a".repeat(64)),
        ];
        let given: Vec<(&str, &str)> = variables.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let first = installation.setup.start_with(None, &given).await?;
        assert!(first.terminate().await?.success());
        let variables = variables.map(|(key, value)| (key.to_owned(), value)).to_vec();
        let members = BTreeMap::new();
        Ok(Self { installation, postgres, variables, members, http: client(), started: 0 })
    }

    /// Starts one process of `service` and does not wait; its label.
    pub(crate) fn start(&mut self, service: &'static str) -> Result<String> {
        self.started += 1;
        let label = format!("{service}-{}", self.started);
        let place = self.installation.directory.path().join(&label);
        let setup = Setup { data_dir: place.clone(), ..self.installation.setup.clone() };
        let mut command = setup.command(&[service]);
        if service == "gateway" {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let (stdout, stderr) = (place.with_extension("stdout"), place.with_extension("stderr"));
        let child = command
            .envs(self.variables.iter().map(|(key, value)| (key, value)))
            .stdout(std::fs::File::create(&stdout)?)
            .stderr(std::fs::File::create(&stderr)?)
            .spawn()?;
        self.members.insert(label.clone(), Member { service, child, stdout, stderr });
        Ok(label)
    }

    /// Starts `count` processes of each of `services`, and waits until all are ready.
    pub(crate) async fn start_each(&mut self, services: &[&'static str], count: usize) -> Result<()> {
        for service in services {
            for _ in 0..count {
                self.start(service)?;
            }
        }
        self.ready().await
    }

    /// Waits until every process is ready.
    pub(crate) async fn ready(&mut self) -> Result<()> {
        let http = self.http.clone();
        for (label, member) in &mut self.members {
            member.ready(&http).await.with_context(|| label.clone())?;
        }
        Ok(())
    }

    pub(crate) fn member(&mut self, label: &str) -> Result<&mut Member> {
        self.members.get_mut(label).with_context(|| format!("{label} does not run"))
    }

    /// The labels of `service`, oldest first.
    pub(crate) fn labels(&self, service: &str) -> Vec<String> {
        let mut labels: Vec<_> = self
            .members
            .iter()
            .filter(|(_, member)| member.service == service)
            .map(|(label, _)| label.clone())
            .collect();
        labels.sort_by_key(|label| label.rsplit('-').next().and_then(|number| number.parse::<usize>().ok()));
        labels
    }

    /// SIGTERM, and a clean end.
    pub(crate) async fn terminate(&mut self, label: &str) -> Result<Duration> {
        let mut member = self.members.remove(label).context("it runs")?;
        let since = Instant::now();
        member.signal(Signal::SIGTERM)?;
        let status =
            tokio::time::timeout(LIMIT, member.child.wait()).await.with_context(|| member.log())??;
        anyhow::ensure!(status.success(), "{label} ended with {status}:\n{}", member.log());
        Ok(since.elapsed())
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self, label: &str) -> Result<()> {
        let mut member = self.members.remove(label).context("it runs")?;
        member.signal(Signal::SIGKILL)?;
        member.child.wait().await?;
        Ok(())
    }

    /// Waits until the processes of `service` have all partitions among them, and each has some; how many each has.
    pub(crate) async fn shared(&mut self, service: &str) -> Result<Vec<f64>> {
        let limit = Instant::now() + LIMIT;
        loop {
            let mut owned = Vec::new();
            for label in self.labels(service) {
                let metrics = self.member(&label)?.metrics().await?;
                let scrape = Scrape::of(&metrics).await?;
                owned.push(scrape.value("tributary_partitions_owned", &[&format!("service=\"{service}\"")]));
            }
            if owned.iter().sum::<f64>() == PARTITIONS && owned.iter().all(|count| *count > 0.0) {
                return Ok(owned);
            }
            anyhow::ensure!(Instant::now() < limit, "{service} does not share: {owned:?}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until every sharing service does.
    pub(crate) async fn all_shared(&mut self) -> Result<()> {
        for service in SHARING {
            println!("{service} has {:?} partitions", self.shared(service).await?);
        }
        Ok(())
    }

    /// The addresses of the gateways, and of their readiness.
    pub(crate) async fn doors(&mut self) -> Result<Vec<Door>> {
        let mut doors = Vec::new();
        for label in self.labels("gateway") {
            let member = self.member(&label)?;
            doors.push(Door { url: member.url().await?, health: member.metrics().await? });
        }
        Ok(doors)
    }

    /// Nothing lost, nothing twice: `verify` is clean, and each acknowledged sale has exactly one commission.
    pub(crate) async fn is_whole(&self, sold: &[(String, String)]) -> Result<()> {
        let (programs, orders): (Vec<_>, Vec<_>) = sold.iter().cloned().unzip();
        let mut database = PgConnection::connect(self.postgres.url()).await?;
        let limit = Instant::now() + LIMIT;
        loop {
            let wrong: Vec<(String, i64)> = sqlx::query_as(
                "select wanted.sale, count(c.commission_id) from unnest($1::text[], $2::text[]) as wanted(program, sale)
                 left join tributary.commissions c on c.program_id = wanted.program and c.external_id = wanted.sale
                 group by wanted.program, wanted.sale having count(c.commission_id) <> 1",
            )
            .bind(&programs)
            .bind(&orders)
            .fetch_all(&mut database)
            .await?;
            if wrong.is_empty() {
                break;
            }
            let doubled = wrong.iter().find(|(_, count)| *count > 1);
            anyhow::ensure!(doubled.is_none(), "twice: {doubled:?}");
            anyhow::ensure!(Instant::now() < limit, "{} not projected: {:?}", wrong.len(), wrong.first());
            tokio::time::sleep(PAUSE).await;
        }
        loop {
            let variables = self.variables.iter().map(|(key, value)| (key, value));
            let output =
                self.installation.setup.command(&["verify", "--json"]).envs(variables).output().await?;
            let report: Value = serde_json::from_slice(&output.stdout)
                .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
            if output.status.success() && report["ok"] == true {
                println!("verify: {report}");
                return Ok(());
            }
            let problems = report["problems"].as_array();
            let only_lag = problems.is_some_and(|all| all.iter().all(|problem| problem["kind"] == "lag"));
            anyhow::ensure!(only_lag && Instant::now() < limit, "verify: {report:#}");
            tokio::time::sleep(PAUSE * 5).await;
        }
    }

    /// Ends everything in order, the gateways first.
    pub(crate) async fn end(mut self) -> Result<()> {
        for service in ["gateway", "normalizer", "attribution", "commission", "projector"] {
            for label in self.labels(service) {
                self.terminate(&label).await?;
            }
        }
        Ok(self.postgres.stop().await?)
    }
}

impl Member {
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.child.id().context("it has ended")?;
        Ok(kill(Pid::from_raw(i32::try_from(pid)?), signal)?)
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    async fn said(&mut self, place: PathBuf, prefix: &str) -> Result<String> {
        let limit = Instant::now() + LIMIT;
        loop {
            let text = std::fs::read_to_string(&place)?;
            let found =
                text.split_inclusive('\n').find_map(|line| line.strip_prefix(prefix)?.strip_suffix('\n'));
            if let Some(found) = found {
                return Ok(found.to_owned());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("ended with {status}:\n{}", self.log());
            }
            anyhow::ensure!(Instant::now() < limit, "says nothing:\n{}", self.log());
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Where its metrics and readiness are.
    pub(crate) async fn metrics(&mut self) -> Result<String> {
        let said = self.said(self.stderr.clone(), "tributary: metrics at ").await?;
        Ok(said.strip_suffix("/metrics").context("a path")?.to_owned())
    }

    /// A gateway's address.
    pub(crate) async fn url(&mut self) -> Result<String> {
        self.said(self.stdout.clone(), "tributary ready: ").await
    }

    pub(crate) async fn ready(&mut self, http: &reqwest::Client) -> Result<()> {
        let url = self.metrics().await?;
        let limit = Instant::now() + LIMIT;
        loop {
            let answer = http.get(format!("{url}/readyz")).send().await?;
            if answer.status() == 200 {
                return Ok(());
            }
            let waiting = answer.text().await?;
            anyhow::ensure!(Instant::now() < limit, "not ready: {waiting}\n{}", self.log());
            tokio::time::sleep(PAUSE).await;
        }
    }
}

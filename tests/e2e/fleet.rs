//! Five services in processes of their own on one installation, with its Postgres: for tests that take some of them away.
use crate::installation::Installation;
use crate::kills::sample_balances;
use crate::outages::Server;
use anyhow::{Context, Result};
use readmodel::private_postgres::PrivatePostgres;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use testkit::load::{Load, client};
use testkit::process::Failpoint;
use testkit::stage::{SERVICES, Stage};

const LIMIT: Duration = Duration::from_secs(60);

/// The five processes and their database.
pub(crate) struct Fleet {
    pub(crate) installation: Installation,
    pub(crate) postgres: PrivatePostgres,
    pub(crate) variables: Vec<(String, String)>,
    http: reqwest::Client,
    stages: BTreeMap<&'static str, Stage>,
    starts: usize,
}

impl Fleet {
    /// Plays the demo's sample traffic in one process, then starts the five, and waits until each is ready.
    pub(crate) async fn start(installation: Installation) -> Result<Self> {
        let postgres = PrivatePostgres::start(&installation.setup.data_dir).await?;
        let variables = vec![
            ("DATABASE_URL".to_owned(), postgres.url().to_owned()),
            ("TRIBUTARY_KEYS_DATABASE_URL".to_owned(), database_for_keys(&postgres).await?),
            // Who took which partition, and lost it.
            (
                "TRIBUTARY_LOGGING_FILTER".to_owned(),
                "warn,tributary=info,stream::owner=debug,stream::kafka::reader=debug".to_owned(),
            ),
        ];
        let given: Vec<_> = variables.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        // Without load: the sample traffic is not part of the client's record.
        let first = installation.setup.start_with(None, &given).await?;
        installation.wait_for_balances("prog_demo", &sample_balances()).await?;
        assert!(first.terminate().await?.success());
        let (http, stages) = (client(), BTreeMap::new());
        let mut fleet = Self { installation, postgres, variables, http, stages, starts: 0 };
        for name in SERVICES {
            fleet.launch(name, None)?;
        }
        fleet.ready().await?;
        Ok(fleet)
    }

    /// Starts a service and does not wait.
    pub(crate) fn launch(&mut self, name: &'static str, failpoint: Option<&Failpoint>) -> Result<()> {
        self.starts += 1;
        let label = format!("{name}-{}", self.starts);
        let directory = self.installation.directory.path();
        let setup = &self.installation.setup;
        self.insert(Stage::start(setup, directory, &label, name, &self.variables, failpoint)?)
    }

    /// Takes a process into the fleet.
    pub(crate) fn insert(&mut self, stage: Stage) -> Result<()> {
        let name = stage.name;
        anyhow::ensure!(self.stages.insert(name, stage).is_none(), "{name} runs already");
        Ok(())
    }

    /// Waits until all that run are ready.
    pub(crate) async fn ready(&mut self) -> Result<()> {
        for stage in self.stages.values_mut() {
            stage.ready(&self.http).await?;
        }
        Ok(())
    }

    /// A running service.
    pub(crate) fn stage(&mut self, name: &str) -> Result<&mut Stage> {
        self.stages.get_mut(name).with_context(|| format!("{name} does not run"))
    }

    /// Takes a service out of the fleet, to be killed or stopped.
    pub(crate) fn take(&mut self, name: &str) -> Result<Stage> {
        self.stages.remove(name).with_context(|| format!("{name} does not run"))
    }

    /// That none has ended by itself.
    pub(crate) fn all_run(&mut self) -> Result<()> {
        self.stages.values_mut().try_for_each(Stage::runs)
    }

    /// The ends of all logs, for an error that wants explaining.
    pub(crate) fn tails(&self) -> String {
        let tail = |(name, stage): (&&str, &Stage)| {
            let log = stage.log();
            let lines: Vec<_> = log.lines().collect();
            format!("{name}:\n{}\n", lines[lines.len().saturating_sub(15)..].join("\n"))
        };
        self.stages.iter().map(tail).collect()
    }

    /// Which logs, of all processes that ever ran, have a line with `text`.
    pub(crate) fn logs_with(&self, text: &str) -> Result<Vec<std::path::PathBuf>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(self.installation.directory.path())? {
            let path = entry?.path();
            let is_log = path.extension().is_some_and(|extension| extension == "stderr");
            if is_log && std::fs::read_to_string(&path)?.contains(text) {
                found.push(path);
            }
        }
        Ok(found)
    }

    /// What each service says of its lag and its partitions, for the same error.
    pub(crate) async fn numbers(&mut self) -> String {
        const WANTED: [&str; 5] = [
            "tributary_lag_records",
            "tributary_partitions",
            "tributary_retakes",
            "tributary_takes",
            "tributary_kafka",
        ];
        let mut said = String::new();
        for stage in self.stages.values_mut() {
            let metrics = match stage.metrics().await {
                Ok(url) => match self.http.get(format!("{url}/metrics")).send().await {
                    Ok(answer) => answer.text().await.unwrap_or_default(),
                    Err(error) => error.to_string(),
                },
                Err(error) => error.to_string(),
            };
            let wanted = metrics.lines().filter(|line| WANTED.iter().any(|name| line.starts_with(name)));
            let lines: Vec<_> = wanted.filter(|line| !line.ends_with(" 0")).collect();
            said.push_str(&format!("{}:\n{}\n", stage.name, lines.join("\n")));
        }
        said
    }

    /// The gateway's address.
    pub(crate) async fn url(&mut self) -> Result<String> {
        self.stage("gateway")?.url().await
    }

    /// A load on the gateway.
    pub(crate) async fn load(&mut self, workers: u64) -> Result<Load> {
        let record = self.installation.directory.path().join("record");
        let load = Load::start(&record, workers, Duration::from_millis(4))?;
        load.point_at(Some(self.url().await?));
        Ok(load)
    }

    /// Ends every service in order, the gateway first; none may have ended before.
    pub(crate) async fn stop_services(&mut self) -> Result<()> {
        for name in SERVICES.into_iter().rev() {
            if let Some(stage) = self.stages.remove(name) {
                stage.terminate().await?;
            }
        }
        Ok(())
    }

    /// Kills Postgres and starts it again on the same data and port.
    pub(crate) async fn crash_postgres(&mut self) -> Result<()> {
        let server = Server::of(&self.installation.setup.data_dir)?;
        server.kill().await?;
        server.start_again()?;
        let limit = Instant::now() + LIMIT;
        while self.installation.database().await.is_err() {
            anyhow::ensure!(Instant::now() < limit, "Postgres does not come back");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // The one that runs now is this test's to stop.
        self.postgres = PrivatePostgres::start(&self.installation.setup.data_dir).await?;
        Ok(())
    }
}

/// Keys are shared by all normalizers, and never in the database of the read models.
async fn database_for_keys(postgres: &PrivatePostgres) -> Result<String> {
    let database = sqlx::PgPool::connect(postgres.url()).await?;
    sqlx::raw_sql("create database keys").execute(&database).await?;
    database.close().await;
    let (server, parameters) = postgres.url().split_once('?').unwrap_or((postgres.url(), ""));
    let (server, _) = server.rsplit_once('/').context("a database in the URL")?;
    Ok(format!("{server}/keys?{parameters}"))
}

/// Waits until so many more events are acknowledged.
pub(crate) async fn acknowledged_beyond(load: &Load, more: usize) -> Result<()> {
    let wanted = load.record.count() + more;
    crate::kills::wait_until("acknowledgements", || load.record.count() >= wanted).await
}

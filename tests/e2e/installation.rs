//! An installation of its own for each test: data directory, private Postgres, and on Kafka its own topics.
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use stream::embedded::{EmbeddedLog, open_read_only};
use stream::kafka::{KafkaLog, KafkaOptions};
use stream::log::{Log, Topic};
use testkit::process::Setup;
use tokio::time::Instant;

/// Nothing here may take longer.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Partitions where the number does not matter: a broker makes 64 of each topic in several seconds.
pub(crate) const FEW: u32 = 8;

/// Which log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Embedded,
    Kafka,
}

/// One installation at a time: each is a database server, a process of many threads and on Kafka 384 partitions; two at once
/// on two cores would measure the machine's patience.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A fresh installation; its directory goes with it.
#[derive(Debug)]
pub(crate) struct Installation {
    _turn: tokio::sync::MutexGuard<'static, ()>,
    pub(crate) setup: Setup,
    pub(crate) directory: tempfile::TempDir,
}

impl Installation {
    pub(crate) async fn new(target: Target, name: &str) -> Result<Self> {
        let turn = TURN.lock().await;
        let brokers = match target {
            Target::Embedded => None,
            Target::Kafka => Some(testkit::kafka::KafkaBroker::shared().await?.bootstrap().to_owned()),
        };
        Self::in_turn(turn, brokers, name)
    }

    /// With few partitions: for what is the same with any number. Each is made by the broker, opened by five services, and
    /// read to its end by every `verify`.
    pub(crate) async fn small(target: Target, name: &str) -> Result<Self> {
        let mut installation = Self::new(target, name).await?;
        installation.setup.partitions = Some(FEW);
        Ok(installation)
    }

    /// On brokers of its own, which `start` starts (it may block) and `bootstrap` names.
    pub(crate) async fn on_own<B: Send + 'static>(
        start: fn() -> Result<B>,
        bootstrap: fn(&B) -> String,
        name: &str,
    ) -> Result<(B, Self)> {
        let turn = TURN.lock().await;
        let brokers = tokio::task::spawn_blocking(start).await??;
        let mut installation = Self::in_turn(turn, Some(bootstrap(&brokers)), name)?;
        // A broker of its own also makes the topics, while the test waits.
        installation.setup.partitions = Some(FEW);
        Ok((brokers, installation))
    }

    fn in_turn(
        turn: tokio::sync::MutexGuard<'static, ()>,
        brokers: Option<String>,
        name: &str,
    ) -> Result<Self> {
        // Not under a private home: the database server runs as another user and must reach it.
        let directory = tempfile::Builder::new().prefix(&format!("tributary-{name}-")).tempdir()?;
        std::fs::set_permissions(
            directory.path(),
            <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755),
        )?;
        let unique = directory.path().file_name().context("a name")?.to_string_lossy().to_string();
        let kafka = brokers.map(|brokers| (brokers, format!("{unique}.")));
        let setup = Setup {
            binary: PathBuf::from(env!("CARGO_BIN_EXE_tributary")),
            data_dir: directory.path().join("data"),
            kafka,
            partitions: None,
        };
        Ok(Self { _turn: turn, setup, directory })
    }

    /// Keeps the directory for whoever looks into a failure, and where it is.
    pub(crate) fn keep(&mut self) -> PathBuf {
        self.directory.disable_cleanup(true);
        self.directory.path().to_owned()
    }

    pub(crate) async fn database(&self) -> Result<sqlx::PgPool> {
        Ok(sqlx::PgPool::connect(&self.setup.database_url()?).await?)
    }

    /// Waits until every one of `event_keys` (delivery keys) has a verdict.
    pub(crate) async fn wait_for_verdicts(&self, event_keys: &[String]) -> Result<()> {
        let database = self.database().await?;
        let limit = Instant::now() + LIMIT;
        loop {
            let missing = missing_verdicts(&database, event_keys).await?;
            if missing.is_empty() {
                return Ok(());
            }
            if Instant::now() > limit {
                bail!("{} events without a verdict, the first: {:?}", missing.len(), missing.first());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The balances of `program` by partner, available, in minor units; `None` while something is pending.
    async fn balances(&self, program: &str) -> Result<(Value, Option<BTreeMap<String, i64>>)> {
        let balances = self.setup.json(&["balances", "--json"]).await?;
        let rows: Vec<&Value> = balances
            .as_array()
            .context("balances is an array")?
            .iter()
            .filter(|row| row["program_id"] == program)
            .collect();
        let settled = rows.iter().all(|row| row["pending"] == 0 && row["review"] == 0);
        let available = rows
            .iter()
            .map(|row| {
                let partner = row["partner_id"].as_str().unwrap_or_default().to_owned();
                (partner, row["available"].as_i64().unwrap_or_default())
            })
            .filter(|(_, amount)| *amount != 0)
            .collect();
        Ok((balances.clone(), settled.then_some(available)))
    }

    /// Waits until `program` has nothing pending, then its balances.
    pub(crate) async fn settled(&self, program: &str) -> Result<BTreeMap<String, i64>> {
        let limit = Instant::now() + LIMIT;
        loop {
            let (found, settled) = self.balances(program).await?;
            match settled {
                Some(balances) => return Ok(balances),
                None if Instant::now() > limit => bail!("still pending: {found}"),
                None => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// Waits until the balances of `program` are exactly `expected` and nothing is pending: verdicts are projected from
    /// another topic than money, so one may be seen before the other.
    pub(crate) async fn wait_for_balances(
        &self,
        program: &str,
        expected: &BTreeMap<String, i64>,
    ) -> Result<()> {
        let limit = Instant::now() + LIMIT;
        loop {
            let (found, settled) = self.balances(program).await?;
            if settled.as_ref() == Some(expected) {
                return Ok(());
            }
            if Instant::now() > limit {
                bail!("balances of {program} are {found}, expected {expected:?}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// `verify` must find nothing.
    pub(crate) async fn verify_is_clean(&self) -> Result<Value> {
        let limit = Instant::now() + LIMIT;
        loop {
            let output = self.setup.run(&["verify", "--json"]).await?;
            let report: Value = serde_json::from_slice(&output.stdout).with_context(|| {
                format!("verify: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr))
            })?;
            if output.status.code() == Some(0) && report["ok"] == true {
                return Ok(report);
            }
            // Problems are problems at once; only "not everything has a verdict yet" may pass.
            let only_lag = report["problems"]
                .as_array()
                .is_some_and(|problems| problems.iter().all(|problem| problem["kind"] == "lag"));
            if !only_lag || Instant::now() > limit {
                bail!("verify: {report:#}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The commissions of a sale, by its id at its source, as soon as there is one: (id, status, gross, net).
    pub(crate) async fn commissions(&self, external_id: &str) -> Result<Vec<(String, String, i64, i64)>> {
        let database = self.database().await?;
        let limit = Instant::now() + LIMIT;
        loop {
            let rows: Vec<_> = sqlx::query_as(
                "select commission_id, status, gross_minor, net_minor from tributary.commissions where external_id = $1",
            )
            .bind(external_id)
            .fetch_all(&database)
            .await?;
            if !rows.is_empty() {
                return Ok(rows);
            }
            if Instant::now() > limit {
                bail!("{external_id} has no commission");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Delivery keys that have no verdict in the read model.
pub(crate) async fn missing_verdicts(database: &sqlx::PgPool, keys: &[String]) -> Result<Vec<String>> {
    Ok(sqlx::query_scalar(
        "select key from unnest($1::text[]) as wanted(key)
         where not exists (select 1 from tributary.verdicts v where v.delivery_key = wanted.key)",
    )
    .bind(keys)
    .fetch_all(database)
    .await?)
}

impl Installation {
    /// The log, while no process of this installation runs.
    pub(crate) async fn open_log(&self) -> Result<Arc<dyn Log>> {
        Ok(match &self.setup.kafka {
            None => open_read_only(&self.setup.data_dir.join("log")).await?,
            Some((brokers, prefix)) => {
                let mut options = KafkaOptions::new(brokers);
                options.topic_prefix.clone_from(prefix);
                options.partitions = self.setup.partitions.unwrap_or(options.partitions);
                KafkaLog::connect(options).await?
            }
        })
    }

    /// Empties every topic but `ingest`, and the local state that was folded from them; the key store stays.
    pub(crate) async fn empty_chain(&self) -> Result<()> {
        match &self.setup.kafka {
            None => EmbeddedLog::drop_chain_topics(&self.setup.data_dir.join("log"))?,
            Some((brokers, prefix)) => {
                let topics: Vec<String> = Topic::ALL
                    .into_iter()
                    .filter(|topic| *topic != Topic::Ingest)
                    .map(|topic| format!("{prefix}{}", topic.name()))
                    .collect();
                testkit::topics::delete(brokers, &topics).await?;
            }
        }
        std::fs::remove_dir_all(self.setup.data_dir.join("state"))?;
        Ok(())
    }
}

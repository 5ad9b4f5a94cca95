//! The whole system on a broker that wants TLS, passwords and an ACL for everything, with exactly the ACLs of the documentation.
use crate::installation::LIMIT;
use crate::kills::sample_balances;
use anyhow::{Context, Result, ensure};
use readmodel::private_postgres::PrivatePostgres;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};
use stream::kafka::KafkaLog;
use stream::log::{Log as _, LogError, Offset, Partition, Topic};
use testkit::load::client;
use testkit::process::Setup;
use testkit::secure::{DocumentedAcl, SecureBroker};
use testkit::stage::{SERVICES, Stage};

const PREFIX: &str = "secured.";
/// A refused service says so long before it would give up on brokers that are away.
const AT_ONCE: Duration = Duration::from_secs(9);

/// A broker with a user for each service and one for each kind of command, and a place for their data.
struct Secured {
    broker: SecureBroker,
    setup: Setup,
    database: PrivatePostgres,
    directory: tempfile::TempDir,
}

impl Secured {
    async fn start() -> Result<Self> {
        let users = [&SERVICES[..], &["topics", "operator"]].concat();
        let broker = tokio::task::spawn_blocking(move || SecureBroker::start(&users)).await??;
        let directory = tempfile::Builder::new().prefix("tributary-secured-").tempdir()?;
        std::fs::set_permissions(
            directory.path(),
            <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755),
        )?;
        let database = PrivatePostgres::start(&directory.path().join("elsewhere")).await?;
        let setup = Setup {
            binary: PathBuf::from(env!("CARGO_BIN_EXE_tributary")),
            data_dir: directory.path().join("data"),
            kafka: Some((broker.bootstrap().to_owned(), PREFIX.to_owned())),
            partitions: None,
        };
        Ok(Self { broker, setup, database, directory })
    }

    /// The documented table, and nothing else.
    fn allow_what_is_documented(&self) -> Result<()> {
        for row in DocumentedAcl::table()? {
            for user in &row.users {
                ensure!(self.broker.file(&format!("{user}.password")).exists(), "{user} is no user: {row:?}");
            }
            self.broker.acls(&row.allowing(PREFIX))?;
        }
        Ok(())
    }

    /// All that a process of `user` is given.
    fn variables(&self, user: &str) -> Vec<(String, String)> {
        let mut variables: Vec<_> =
            self.broker.variables(user).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        variables.push(("TRIBUTARY_LOG_PARTITIONS".to_owned(), "4".to_owned()));
        variables.push(("DATABASE_URL".to_owned(), self.database.url().to_owned()));
        variables
    }

    async fn run(&self, user: &str, arguments: &[&str], more: &[(&str, &Path)]) -> Result<Output> {
        let mut command = self.setup.command(arguments);
        command.envs(self.variables(user)).envs(more.iter().copied());
        Ok(tokio::time::timeout(LIMIT, command.output()).await??)
    }

    /// The output of a command that succeeds.
    async fn json(&self, user: &str, arguments: &[&str]) -> Result<Value> {
        let output = self.run(user, arguments, &[]).await?;
        let said = || String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{arguments:?} as {user}: {}: {}", output.status, said());
        serde_json::from_slice(&output.stdout).with_context(said)
    }

    /// What a service that cannot start says, and that it does not wait.
    async fn refused(&self, user: &str, more: &[(&str, &Path)]) -> Result<String> {
        let since = Instant::now();
        let output = self.run(user, &[user], more).await?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(!output.status.success() && since.elapsed() < AT_ONCE, "{:?}: {said}", since.elapsed());
        Ok(said)
    }

    async fn available(&self) -> Result<std::collections::BTreeMap<String, i64>> {
        let balances = self.json("operator", &["balances", "--json"]).await?;
        let rows =
            balances.as_array().context("an array")?.iter().filter(|row| row["program_id"] == "prog_demo");
        Ok(rows
            .filter_map(|row| Some((row["partner_id"].as_str()?.to_owned(), row["available"].as_i64()?)))
            .filter(|(_, amount)| *amount != 0)
            .collect())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_service_works_with_exactly_the_documented_acls_and_says_what_else_it_lacks() -> Result<()> {
    let secured = Secured::start().await?;
    let (wrong_ca, wrong_password) =
        (secured.broker.file("other-ca.pem"), secured.broker.file("topics.password"));
    let said = secured.refused("gateway", &[("TRIBUTARY_KAFKA_SSL_CA", wrong_ca.as_path())]).await?;
    assert!(said.contains("set kafka.ssl_ca"), "{said}");
    let said = secured
        .refused("gateway", &[("TRIBUTARY_KAFKA_SASL_PASSWORD_FILE", wrong_password.as_path())])
        .await?;
    assert!(said.contains("check kafka.sasl_username (gateway)"), "{said}");
    // Creating topics is not a service's business.
    let said = secured.refused("normalizer", &[]).await?;
    assert!(
        said.contains("User:normalizer may not Create") && said.contains("run `tributary topics`"),
        "{said}"
    );

    secured.allow_what_is_documented()?;
    let made = secured.json("topics", &["topics", "--json"]).await?;
    assert_eq!((&made["ok"], made["created"].as_array().map(Vec::len)), (&true.into(), Some(6)), "{made}");
    let checked = secured.json("gateway", &["topics", "--check", "--json"]).await?;
    assert_eq!(checked["problems"], serde_json::json!([]));

    let http = client();
    let mut stages = Vec::new();
    for name in SERVICES {
        let directory = secured.directory.path();
        stages.push(Stage::start(&secured.setup, directory, name, name, &secured.variables(name), None)?);
    }
    for stage in &mut stages {
        stage.ready(&http).await?;
    }
    let gateway = stages.iter_mut().find(|stage| stage.name == "gateway").context("started")?.url().await?;
    let played = secured.run("operator", &["demo", "--gateway", &gateway], &[]).await?;
    assert!(played.status.success(), "{}", String::from_utf8_lossy(&played.stderr));
    let limit = Instant::now() + LIMIT;
    while secured.available().await? != sample_balances() {
        ensure!(Instant::now() < limit, "{:?}", secured.available().await?);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let verified = secured.json("operator", &["verify", "--json"]).await?;
    assert_eq!(verified["ok"], true, "{verified}");

    // What lies in the way of a gateway whose password was stolen.
    let mut options = secured.broker.options("gateway", PREFIX)?;
    options.partitions = 4;
    let stolen = KafkaLog::connect(options).await?;
    for topic in [Topic::Ingest, Topic::Facts, Topic::Commissions] {
        for partition in (0..4).map(Partition) {
            if stolen.bounds(topic, partition).await?.end > Offset(0) {
                let read = stolen.record_at(topic, partition, Offset(0)).await;
                assert!(matches!(read, Err(LogError::Misconfigured(_))), "{topic:?}: {read:?}");
            }
        }
    }
    for stage in stages.into_iter().rev() {
        let log = stage.log();
        assert!(!log.contains("uthorization failed"), "{}: {log}", stage.name);
        let password = std::fs::read_to_string(secured.broker.file(&format!("{}.password", stage.name)))?;
        assert!(!log.contains(password.trim()), "{}", stage.name);
        stage.terminate().await?;
    }
    Ok(())
}

//! A real Kafka for tests: the one that `TRIBUTARY_TEST_KAFKA` names, or one that `scripts/kafka` starts.
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use stream::kafka::{KafkaLog, KafkaOptions};

/// `host:port` of a broker for all test binaries of a run.
const VARIABLE: &str = "TRIBUTARY_TEST_KAFKA";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/kafka");

/// A running broker. One of its own is stopped when it is dropped, and also when this process ends without dropping it.
#[derive(Debug)]
pub struct KafkaBroker {
    bootstrap: String,
    /// Of a broker of its own.
    home: Option<tempfile::TempDir>,
}

impl KafkaBroker {
    /// The broker of all tests of this process, started at the first call. Tests keep apart by topic prefixes.
    ///
    /// # Errors
    /// When no broker could be obtained or started; the first failure stays.
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<Result<KafkaBroker, String>> = OnceLock::new();
        let shared = tokio::task::spawn_blocking(|| {
            SHARED.get_or_init(|| match std::env::var(VARIABLE) {
                Ok(bootstrap) => Ok(Self { bootstrap, home: None }),
                Err(_) => Self::start().map_err(|error| format!("{error:#}")),
            })
        });
        shared.await?.as_ref().map_err(|error| anyhow::anyhow!("no kafka for tests: {error}"))
    }

    /// A broker of its own, for tests that kill it. Blocks for some seconds.
    ///
    /// # Errors
    /// When `scripts/kafka` fails; the message holds what it said.
    pub fn start() -> Result<Self> {
        Self::start_with("")
    }

    /// As [`KafkaBroker::start`], with more lines for `server.properties`; they stand after the script's and win.
    ///
    /// # Errors
    /// As [`KafkaBroker::start`].
    pub fn start_with(properties: &str) -> Result<Self> {
        let home = tempfile::Builder::new().prefix("tributary-kafka-").tempdir()?;
        let bootstrap = run_with("start", home.path(), properties)?;
        Ok(Self { bootstrap, home: Some(home) })
    }

    /// `host:port`.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Ends it with SIGKILL. Blocks until it is gone.
    ///
    /// # Errors
    /// When it is not a broker of its own.
    pub fn kill(&self) -> Result<()> {
        run("kill", self.home()?).map(drop)
    }

    /// Ends it with SIGTERM: its files are whole then. Blocks until it is gone.
    ///
    /// # Errors
    /// When it is not a broker of its own.
    pub fn stop(&self) -> Result<()> {
        run("stop", self.home()?).map(drop)
    }

    /// The directory of one partition of a topic (its full name).
    ///
    /// # Errors
    /// When it is not a broker of its own.
    pub fn partition_dir(&self, topic: &str, partition: u32) -> Result<std::path::PathBuf> {
        Ok(self.home()?.join("data").join(format!("{topic}-{partition}")))
    }

    /// Starts it again on the same ports with the same data. Blocks until it serves.
    ///
    /// # Errors
    /// When it is not a broker of its own, or does not come back.
    pub fn restart(&self) -> Result<()> {
        run("restart", self.home()?).map(drop)
    }

    /// Options for topics that no other test has.
    #[must_use]
    pub fn options(&self, partitions: u32) -> KafkaOptions {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut options = KafkaOptions::new(&self.bootstrap);
        // Process ids come again on a broker that outlives a test run.
        options.topic_prefix = format!("test-{}-{:x}-{count}.", std::process::id(), rand::random::<u32>());
        options.partitions = partitions;
        options
    }

    /// A log on topics of its own.
    ///
    /// # Errors
    /// As [`KafkaLog::connect`] and [`KafkaLog::ensure_topics`].
    pub async fn log(&self, partitions: u32) -> Result<std::sync::Arc<KafkaLog>> {
        let log = KafkaLog::connect(self.options(partitions)).await?;
        log.ensure_topics().await?;
        Ok(log)
    }

    fn home(&self) -> Result<&Path> {
        self.home.as_ref().map(tempfile::TempDir::path).context("this broker belongs to the test run")
    }
}

impl Drop for KafkaBroker {
    fn drop(&mut self) {
        if let Some(home) = &self.home
            && let Err(error) = run("kill", home.path())
        {
            eprintln!("kafka was not stopped: {error:#}");
        }
    }
}

fn run(command: &str, home: &Path) -> Result<String> {
    run_with(command, home, "")
}

fn run_with(command: &str, home: &Path, properties: &str) -> Result<String> {
    let mut script = Command::new(SCRIPT);
    script.arg(command).arg(home).env("KAFKA_PARENT_PID", std::process::id().to_string());
    if !properties.is_empty() {
        script.env("KAFKA_EXTRA_PROPERTIES", properties);
    }
    let output = script.output().with_context(|| format!("{SCRIPT} {command}"))?;
    if !output.status.success() {
        bail!("{SCRIPT} {command} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A Java class path with Kafka on it, fetched if need be.
///
/// # Errors
/// When it cannot be had.
pub fn obtain() -> Result<String> {
    let output = Command::new(SCRIPT).arg("obtain").output().with_context(|| format!("{SCRIPT} obtain"))?;
    if !output.status.success() {
        bail!("{SCRIPT} obtain failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(format!("{}/*", String::from_utf8_lossy(&output.stdout).trim()))
}

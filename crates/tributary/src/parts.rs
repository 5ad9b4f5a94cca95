//! The parts that commands put together: configuration, data directory, log, keys.
use crate::brokers::kafka_options;
use anyhow::{Context as _, bail};
use async_trait::async_trait;
use domain::ids::SubjectId;
use kit::config::{Config, Layers};
use kit::health::Health;
use kit::lifecycle::{CancellationToken, Supervisor, shut_down_on_signals};
use kit::master_key::{FILE_NAME as MASTER_KEY_FILE, MasterKey};
use kit::spans::Spans;
use kit::telemetry::{init_logging, init_metrics};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use stream::embedded::{EmbeddedLog, EmbeddedOptions, open_read_only};
use stream::kafka::KafkaLog;
use stream::keys::{KeyStore, KeyStoreError, Keys};
use stream::keys_file::FileKeyStore;
use stream::log::{Log, LogError, Partition, Topic};
use stream::snapshot::{SnapshotOptions, Snapshots};

/// The embedded log's place in the data directory.
pub(crate) const LOG_DIR: &str = "log";
/// The key store's place. Backed up apart from the log.
pub(crate) const KEYS_DIR: &str = "keys";
/// For the receiver of spans, at the end.
const LAST_SPANS: Duration = Duration::from_millis(500);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Reads the configuration and sets logging up.
pub(crate) fn configure(layers: &Layers) -> anyhow::Result<Config> {
    let config = Config::load(layers)?;
    init_logging(&config.logging)?;
    Ok(config)
}

/// As [`configure`], for a command that answers one question: unless told otherwise, only warnings beside the answer.
pub(crate) fn configure_quietly(layers: &Layers) -> anyhow::Result<Config> {
    let mut config = Config::load(layers)?;
    if config.logging == Config::load(&Layers::default())?.logging {
        "warn".clone_into(&mut config.logging.filter);
    }
    init_logging(&config.logging)?;
    Ok(config)
}

/// What every process has: a way to be stopped, readiness, a way for spans.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    /// Cancelled by SIGTERM or SIGINT.
    pub(crate) stop: CancellationToken,
    pub(crate) health: Health,
    pub(crate) spans: Spans,
}

impl Process {
    /// Sends the last spans.
    pub(crate) async fn close(&self) {
        self.spans.flush(LAST_SPANS).await;
    }
}

/// Serves metrics and readiness and watches for signals. `name` is what the process is to a receiver of spans.
pub(crate) async fn open_process(config: &Config, name: &'static str) -> anyhow::Result<Process> {
    let stop = CancellationToken::new();
    shut_down_on_signals(stop.clone())?;
    let metrics = init_metrics()?;
    stream::meters::register();
    let health = Health::new();
    let spans = Spans::start(&config.telemetry, name)?;
    // Metrics outlive the token: the last scrape sees the drain. They end with the process.
    let (address, _serving) =
        metrics.serve(config.metrics_listen, health.clone(), CancellationToken::new()).await.with_context(
            || format!("cannot listen on {}; choose another with --metrics-listen", config.metrics_listen),
        )?;
    eprintln!("tributary: metrics at http://{address}/metrics");
    let (ending, over) = (health.clone(), stop.clone());
    tokio::spawn(async move {
        over.cancelled().await;
        ending.shut_down();
    });
    Ok(Process { stop, health, spans })
}

/// Creates the data directory for its owner alone.
pub(crate) fn create_data_dir(dir: &Path) -> anyhow::Result<PathBuf> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).with_context(|| {
        format!("cannot create the data directory {}; choose another with --data-dir", dir.display())
    })?;
    dir.canonicalize().with_context(|| format!("data directory {}", dir.display()))
}

/// The log that a process writes.
#[derive(Debug, Clone)]
pub(crate) struct OwnLog {
    pub(crate) log: Arc<dyn Log>,
    embedded: Option<Arc<EmbeddedLog>>,
}

impl OwnLog {
    /// Opens it: Kafka when brokers are given, else the embedded one, which then belongs to this process and answers others
    /// through its socket.
    pub(crate) async fn open(config: &Config) -> anyhow::Result<Self> {
        if config.kafka.brokers.is_some() {
            let log = open_kafka(config).await?;
            log.ensure_topics().await?;
            log.check().await?;
            return Ok(Self { log, embedded: None });
        }
        let mut options = EmbeddedOptions::new(config.data_dir.join(LOG_DIR));
        options.partitions = config.log.partitions;
        options.ingest_retention = DAY * config.log.ingest_retention_days;
        options.reserve_bytes = config.log.reserve_bytes;
        let log = EmbeddedLog::open(options)?;
        log.serve()?;
        Ok(Self { log: Arc::clone(&log) as Arc<dyn Log>, embedded: Some(log) })
    }

    /// Ends the process when the log is poisoned: what the disk has is only known after a new start.
    pub(crate) fn watch(&self, supervisor: &mut Supervisor) {
        let Some(log) = &self.embedded else { return };
        let mut poisoned = log.poisoned();
        let stop = supervisor.token().clone();
        supervisor.spawn("log", async move {
            match stop.run_until_cancelled(poisoned.wait()).await {
                Some(reason) => bail!("the log can no longer be trusted ({reason}); start again to recover"),
                None => Ok(()),
            }
        });
    }

    /// Fsyncs what waits and gives the directory back.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        if let Some(log) = self.embedded {
            tokio::task::spawn_blocking(move || log.close()).await?;
        }
        Ok(())
    }
}

/// Opens the log for reading, beside a running `up` or without one.
pub(crate) async fn open_log_read_only(config: &Config) -> anyhow::Result<Arc<dyn Log>> {
    if config.kafka.brokers.is_some() {
        return Ok(open_kafka(config).await?);
    }
    let dir = config.data_dir.join(LOG_DIR);
    if !dir.exists() {
        bail!(
            "there is no log in {}; name the data directory of `tributary up` with --data-dir",
            config.data_dir.display()
        );
    }
    Ok(open_read_only(&dir).await?)
}

/// Kafka, for commands that need it.
pub(crate) async fn open_kafka(config: &Config) -> anyhow::Result<Arc<KafkaLog>> {
    let Some(brokers) = &config.kafka.brokers else {
        bail!(
            "a service in a process of its own needs Kafka: give --kafka-brokers host:port (or run `tributary up`, which runs \
             all services in one process on an embedded log)"
        );
    };
    let log = KafkaLog::connect(kafka_options(config, brokers)?).await;
    log.with_context(|| format!("Kafka at {brokers}; is it running, and is --kafka-brokers right?"))
}

/// The installation's key store: a database when one is named, else a file, which one process has at a time.
pub(crate) async fn open_keys(config: &Config) -> anyhow::Result<Arc<dyn KeyStore>> {
    if let Some(url) = &config.keys_database_url {
        return Ok(Arc::new(keystore::open(url.expose()).await?));
    }
    let dir = config.data_dir.join(KEYS_DIR);
    if !FileKeyStore::exists(&dir) {
        refuse_history(config, &dir, "or name the key store's database with keys_database_url").await?;
    }
    Ok(Arc::new(FileKeyStore::open(&dir)?))
}

/// The installation's master key. A new one is made for a new installation only.
pub(crate) async fn open_master_key(config: &Config) -> anyhow::Result<MasterKey> {
    if !MasterKey::is_given(&config.data_dir) {
        let file = config.data_dir.join(MASTER_KEY_FILE);
        refuse_history(config, &file, "or name it with TRIBUTARY_MASTER_KEY_FILE").await?;
    }
    Ok(MasterKey::load_or_create(&config.data_dir)?)
}

/// A log with a history, moved or restored without its keys, must not be gone on with under new ones: what is sealed could
/// not be opened, and the same person would be known under two names.
async fn refuse_history(config: &Config, missing: &Path, or: &str) -> anyhow::Result<()> {
    if config.kafka.brokers.is_none() && !config.data_dir.join(LOG_DIR).exists() {
        return Ok(());
    }
    let log = open_log_read_only(config).await?;
    for partition in (0..log.partition_count()).map(Partition) {
        match log.bounds(Topic::Facts, partition).await {
            Ok(bounds) if bounds.end.0 == 0 => {}
            Ok(_) => bail!(
                "the log has a history, and {} is missing: copy keys/ and master.key from where the log comes from, or from \
                 their backup, {or}",
                missing.display()
            ),
            // Topics that do not exist yet.
            Err(LogError::Misconfigured(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Where copies of local state go, when the settings say so.
pub(crate) fn open_snapshots(config: &Config) -> anyhow::Result<Option<Arc<Snapshots>>> {
    let settings = &config.snapshots;
    let Some(dir) = &settings.dir else { return Ok(None) };
    let options = SnapshotOptions {
        every_frames: settings.every_frames,
        every: settings.every,
        keep: settings.keep,
        most_bytes: settings.most_bytes,
        ..SnapshotOptions::new(dir)
    };
    let started = Snapshots::start(options);
    let started = started.with_context(|| {
        format!(
            "snapshots.dir {} cannot be used; give it to the user that runs this, or name another",
            dir.display()
        )
    });
    started.map(Some)
}

/// For services that neither seal nor open: asking it is a defect, and stops the partition.
#[derive(Debug)]
pub(crate) struct NoKeys;

#[async_trait]
impl KeyStore for NoKeys {
    async fn load(&self, subjects: &[SubjectId]) -> Result<Keys, KeyStoreError> {
        if subjects.is_empty() { Ok(Keys::default()) } else { Err(no_keys()) }
    }

    async fn ensure(&self, subjects: &[SubjectId]) -> Result<Keys, KeyStoreError> {
        self.load(subjects).await
    }

    async fn destroy(&self, _subject: SubjectId) -> Result<(), KeyStoreError> {
        Err(no_keys())
    }

    fn index_key(&self) -> [u8; 32] {
        [0; 32]
    }
}

fn no_keys() -> KeyStoreError {
    KeyStoreError("this service works without personal data and has no keys".to_owned())
}

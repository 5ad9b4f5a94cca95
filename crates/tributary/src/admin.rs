//! How commands write: a record on `ingest`, decided by the services like everything else, and the answer read back.
//!
//! Three ways to the same log. Beside a running `up`, through the socket in its data directory. On Kafka, with a producer.
//! With nobody running, this process opens the directory, runs the services until the answer is there, and stops.
use crate::parts::{LOG_DIR, OwnLog, create_data_dir, open_kafka, open_keys};
use crate::services_task::Chain;
use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use domain::config::ConfigFact;
use domain::ids::ProgramId;
use domain::normalization::{ConfigRefusal, ReplyAddress};
use kit::config::Config;
use kit::health::Health;
use kit::lifecycle::{CancellationToken, Supervisor};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use stream::embedded::RemoteLog;
use stream::log::{Log, LogError, NewRecord, Offset, Partition, Reader, Topic, partition_of};
use stream::store::StateDb;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use wire::ingest::IngestRecord;
use wire::outcomes::{ConfigAnswer, OutcomeRecord};

/// For an answer: taking a partition for the first time, deciding, and in the worst case another owner's giving up.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// A process that starts or stops holds the directory for a moment without answering.
const OPEN_LIMIT: Duration = Duration::from_secs(10);
const OPEN_PAUSE: Duration = Duration::from_millis(100);
const DRAIN: Duration = Duration::from_secs(20);
const READ_RECORDS: usize = 500;
const READ_BYTES: usize = 1 << 20;

/// A way to the log's services, for one command.
#[derive(Debug)]
pub(crate) struct Admin {
    log: Arc<dyn Log>,
    instance: String,
    next: AtomicU64,
    own: Option<OwnServices>,
}

/// The services, when this process had to run them.
#[derive(Debug)]
struct OwnServices {
    log: OwnLog,
    stop: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
}

impl Admin {
    /// Opens the way. `create`: a data directory without a log becomes an installation.
    ///
    /// # Errors
    /// When there is no log, or its holder does not answer.
    pub(crate) async fn open(config: &Config, create: bool) -> anyhow::Result<Self> {
        let (log, own) = if config.kafka.brokers.is_some() {
            (open_kafka(config).await? as Arc<dyn Log>, None)
        } else {
            embedded(config, create).await?
        };
        let instance = format!("cli_{:016x}", rand::random::<u64>());
        Ok(Self { log, instance, next: AtomicU64::new(1), own })
    }

    /// The log, for reading and for [`Admin::append`].
    pub(crate) const fn log(&self) -> &Arc<dyn Log> {
        &self.log
    }

    /// A fresh address for one answer.
    pub(crate) fn reply_address(&self) -> ReplyAddress {
        let correlation_id = self.next.fetch_add(1, Ordering::Relaxed);
        ReplyAddress { gateway_instance: self.instance.clone(), correlation_id }
    }

    /// Appends a record to the `ingest` partition of `program` (or of an account's id) and returns once it is durable.
    ///
    /// # Errors
    /// When the log refuses it or does not acknowledge it.
    pub(crate) async fn append(
        &self,
        program: &ProgramId,
        record: &IngestRecord,
    ) -> anyhow::Result<(Partition, Option<Offset>)> {
        let partition = partition_of(program.as_str(), self.log.partition_count());
        Ok((partition, self.append_to(partition, program, record).await?))
    }

    /// As [`Admin::append`], for a record that belongs to a partition whatever its program is.
    ///
    /// # Errors
    /// As [`Admin::append`].
    pub(crate) async fn append_to(
        &self,
        partition: Partition,
        program: &ProgramId,
        record: &IngestRecord,
    ) -> anyhow::Result<Option<Offset>> {
        let record = NewRecord {
            key: Bytes::copy_from_slice(program.as_str().as_bytes()),
            value: wire::ingest::encode(record),
        };
        let appender = self.log.appender().await?;
        let append = appender.append(Topic::Ingest, partition, vec![record]);
        let offsets = tokio::time::timeout(ANSWER_LIMIT, append)
            .await
            .map_err(|_| anyhow!("the log did not acknowledge within {ANSWER_LIMIT:?}"))??;
        Ok(offsets.into_iter().next().flatten())
    }

    /// Appends `record` and waits for the answer that goes to `reply_to`, which the record must carry.
    ///
    /// # Errors
    /// When the log refuses it, or no answer comes in time; then the record may still be decided, later.
    pub(crate) async fn submit(
        &self,
        program: &ProgramId,
        record: &IngestRecord,
        reply_to: &ReplyAddress,
    ) -> anyhow::Result<OutcomeRecord> {
        let partition = partition_of(&self.instance, self.log.partition_count());
        // From before the append, so that no answer can be missed.
        let end = self.log.bounds(Topic::Outcomes, partition).await?.end;
        let mut answers = self.log.reader(Topic::Outcomes, partition, end).await?;
        self.append(program, record).await?;
        let deadline = Instant::now() + ANSWER_LIMIT;
        match tokio::time::timeout_at(deadline, answer(answers.as_mut(), reply_to)).await {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(self.no_answer().await),
        }
    }

    /// As [`Admin::submit`], for several records of one program; the answers in their order.
    ///
    /// # Errors
    /// As [`Admin::submit`].
    pub(crate) async fn submit_all(
        &self,
        program: &ProgramId,
        records: &[(IngestRecord, ReplyAddress)],
    ) -> anyhow::Result<Vec<OutcomeRecord>> {
        let partition = partition_of(&self.instance, self.log.partition_count());
        // From before the append, so that no answer can be missed.
        let end = self.log.bounds(Topic::Outcomes, partition).await?.end;
        let mut reader = self.log.reader(Topic::Outcomes, partition, end).await?;
        let key = Bytes::copy_from_slice(program.as_str().as_bytes());
        let encoded = records
            .iter()
            .map(|(record, _)| NewRecord { key: key.clone(), value: wire::ingest::encode(record) });
        let own = partition_of(program.as_str(), self.log.partition_count());
        let appender = self.log.appender().await?;
        tokio::time::timeout(ANSWER_LIMIT, appender.append(Topic::Ingest, own, encoded.collect()))
            .await
            .map_err(|_| anyhow!("the log did not acknowledge within {ANSWER_LIMIT:?}"))??;
        let deadline = Instant::now() + ANSWER_LIMIT;
        let wanted: Vec<&ReplyAddress> = records.iter().map(|(_, reply_to)| reply_to).collect();
        match tokio::time::timeout_at(deadline, answers(reader.as_mut(), &wanted)).await {
            Ok(outcomes) => Ok(outcomes?),
            Err(_) => Err(self.no_answer().await),
        }
    }

    /// Writes a configuration object and waits until gateways can know it.
    ///
    /// # Errors
    /// As [`Admin::submit`]. A refusal is no error but part of the answer.
    pub(crate) async fn configure(
        &self,
        fact: ConfigFact,
        create_only: bool,
    ) -> anyhow::Result<Result<ConfigAnswer, ConfigRefusal>> {
        let reply_to = self.reply_address();
        let program = fact.program.clone();
        let record =
            IngestRecord::ConfigWrite { fact, reply_to: Some(reply_to.clone()), create_only, trace: None };
        let outcome = self.submit(&program, &record, &reply_to).await?;
        let answer = outcome.config.context("the answer to a configuration write is about something else")?;
        Ok(match answer.refused {
            Some(refusal) => Err(refusal),
            None => Ok(answer),
        })
    }

    /// What gateways know under `home` (a program, or an account): the newest state of each object that is not removed.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub(crate) async fn objects(&self, home: &ProgramId) -> anyhow::Result<Vec<ConfigFact>> {
        let partition = partition_of(home.as_str(), self.log.partition_count());
        let bounds = self.log.bounds(Topic::GatewayConfig, partition).await?;
        let mut newest: BTreeMap<String, (u64, ConfigFact)> = BTreeMap::new();
        let mut reader = self.log.reader(Topic::GatewayConfig, partition, bounds.start).await?;
        let mut next = bounds.start;
        while next < bounds.end {
            for record in reader.next(READ_RECORDS, READ_BYTES).await? {
                next = record.offset.next();
                let Ok(found) = wire::config::decode_gateway(&record.value) else { continue };
                // The highest version counts, not the latest record (protocol, rule 9).
                if newest.get(&found.key).is_none_or(|(version, _)| *version < found.version) {
                    newest.insert(found.key, (found.version, found.fact));
                }
            }
        }
        let facts = newest.into_values().map(|(_, fact)| fact);
        Ok(facts.filter(|fact| fact.program == *home && !fact.removed).collect())
    }

    async fn no_answer(&self) -> anyhow::Error {
        let who = match (&self.own, self.log.check().await) {
            (_, Err(error)) => format!("the log: {error}"),
            (Some(_), Ok(())) => "this process ran the services itself; see its log above".to_owned(),
            (None, Ok(())) => {
                "is the normalizer running and ready? its /metrics and log say why not".to_owned()
            }
        };
        anyhow!(
            "no answer within {ANSWER_LIMIT:?} ({who}); the request is in the log and may still be decided: running the same \
             command again does no harm"
        )
    }

    /// Stops what this process had to run.
    ///
    /// # Errors
    /// When a service failed meanwhile.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        let Some(own) = self.own else { return Ok(()) };
        own.stop.cancel();
        let ended = own.running.await?;
        drop(self.log);
        ended.and(own.log.close().await)
    }
}

/// A refusal as an error for a person.
pub(crate) fn refused(refusal: &ConfigRefusal) -> anyhow::Error {
    let ConfigRefusal { code, field, detail } = refusal;
    if field.is_empty() { anyhow!("{detail} ({code})") } else { anyhow!("{detail} ({code}: {field})") }
}

async fn answer(answers: &mut dyn Reader, reply_to: &ReplyAddress) -> Result<OutcomeRecord, LogError> {
    loop {
        for record in answers.next(READ_RECORDS, READ_BYTES).await? {
            // What cannot be read is meant for others: this version sends what it can read.
            let Ok(outcome) = wire::outcomes::decode(&record.value) else { continue };
            if outcome.reply_to == *reply_to {
                return Ok(outcome);
            }
        }
    }
}

/// The answers to several, in their order.
async fn answers(reader: &mut dyn Reader, wanted: &[&ReplyAddress]) -> Result<Vec<OutcomeRecord>, LogError> {
    let mut found: BTreeMap<u64, OutcomeRecord> = BTreeMap::new();
    while !wanted.iter().all(|wanted| found.contains_key(&wanted.correlation_id)) {
        for record in reader.next(READ_RECORDS, READ_BYTES).await? {
            let Ok(outcome) = wire::outcomes::decode(&record.value) else { continue };
            if wanted.contains(&&outcome.reply_to) {
                found.insert(outcome.reply_to.correlation_id, outcome);
            }
        }
    }
    Ok(wanted.iter().filter_map(|wanted| found.remove(&wanted.correlation_id)).collect())
}

/// The directory's log: through the process that has it, else as a process of one's own.
async fn embedded(config: &Config, create: bool) -> anyhow::Result<(Arc<dyn Log>, Option<OwnServices>)> {
    let dir = config.data_dir.join(LOG_DIR);
    if !create && !dir.exists() {
        bail!(
            "there is no installation in {}; create one with `tributary init`, or name its directory with --data-dir",
            config.data_dir.display()
        );
    }
    let deadline = Instant::now() + OPEN_LIMIT;
    loop {
        if let Ok(remote) = RemoteLog::connect(&dir).await {
            return Ok((Arc::new(remote), None));
        }
        match run_services(config).await {
            Ok(own) => return Ok((Arc::clone(&own.log.log), Some(own))),
            Err(error) if Instant::now() > deadline => return Err(error),
            // Somebody else may have the directory, and not answer yet or any more.
            Err(error) => tracing::debug!(%error, "the log cannot be opened, trying again"),
        }
        tokio::time::sleep(OPEN_PAUSE).await;
    }
}

async fn run_services(config: &Config) -> anyhow::Result<OwnServices> {
    let mut config = config.clone();
    config.data_dir = create_data_dir(&config.data_dir)?;
    // As `up` does: keys before the log, the log before the state.
    let keys = open_keys(&config).await?;
    let log = OwnLog::open(&config).await?;
    let stop = CancellationToken::new();
    let mut supervisor = Supervisor::new(stop.clone());
    let state = StateDb::open(&config.data_dir.join("state"))?;
    log.watch(&mut supervisor);
    let chain = Chain {
        log: Arc::clone(&log.log),
        state,
        keys,
        snapshots: None,
        health: Health::new(),
        spans: kit::spans::Spans::off(),
    };
    chain.normalizer(&mut supervisor);
    chain.attribution(&mut supervisor);
    chain.commission(&mut supervisor);
    let running = tokio::spawn(supervisor.run(DRAIN));
    Ok(OwnServices { log, stop, running })
}

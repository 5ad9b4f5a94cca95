//! The log on Apache Kafka.
//!
//! Appends go through one idempotent producer per topic (`producer.rs`: why an error makes every partition take again),
//! reads through a few shared consumers without consumer groups (`lane.rs`: why a few). Partitions are read by hand from
//! exact offsets; nothing here commits offsets, and nothing starts where it was not told to. Which partitions a process should
//! serve is said by a group that does nothing else (`group.rs`).
//! Settings and their reasons: `options.rs` and `docs/reference/kafka.md`.
mod batch;
mod context;
mod coverage;
mod group;
mod import;
mod lane;
mod options;
mod producer;
mod reader;
mod security;
mod told;
mod topics;

pub use import::Importer;
pub use options::{Compression, KafkaOptions, MAX_RECORD_BYTES};
pub use security::{Password, Protocol, Sasl, Security};
pub use topics::TopicProblem;

use crate::assignment::Assignment;
use crate::log::{Appender, Bounds, Log, LogError, Offset, Partition, Reader, Record, Topic};
use async_trait::async_trait;
use context::Context;
use lane::{Lane, Lanes, Purpose};
use producer::{KafkaAppender, Producers};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use reader::KafkaReader;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};

/// How long one question at the start may take, so that a refusal ends it early; doubled each time.
const FIRST_QUESTION: Duration = Duration::from_millis(500);
/// Between questions to a leader that is being elected.
const ELECTION_PAUSE: Duration = Duration::from_millis(20);
/// Readers in a long silence that ask at a time.
const SILENT_READERS: usize = 4;

/// One installation's topics on a Kafka cluster.
#[derive(Debug)]
pub struct KafkaLog {
    me: Weak<Self>,
    options: KafkaOptions,
    /// For questions; another one takes its place when it did not answer in time.
    control: Mutex<Arc<Lane>>,
    /// Of readers in a long silence: at most so many ask at a time, also when nobody answers.
    silent_readers: Semaphore,
    lanes: Lanes,
    producers: Arc<Producers>,
    active: watch::Sender<Vec<Partition>>,
    /// That topics have few copies is said once.
    said_thin: AtomicBool,
}

impl KafkaLog {
    /// Connects, and waits for a first answer. Neither creates topics ([`KafkaLog::ensure_topics`]) nor checks them
    /// ([`Log::check`]).
    ///
    /// # Errors
    /// [`LogError::Misconfigured`] for settings that the client does not know and when a broker refuses who we are,
    /// [`LogError::Unavailable`] when no broker answers within the request timeout.
    pub async fn connect(options: KafkaOptions) -> Result<Arc<Self>, LogError> {
        options.security.validate()?;
        for config in [options.control(), options.tail(), options.producer(Topic::Facts)] {
            let checked = config.create_native_config();
            checked.map_err(|error| LogError::Misconfigured(format!("kafka client setting: {error}")))?;
        }
        if options.partitions == 0 {
            return Err(LogError::Misconfigured("a log needs at least one partition".to_owned()));
        }
        let control = Lane::start("control", &options.control())?;
        let log = Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            lanes: Lanes::new(options.clone()),
            producers: Arc::new(Producers::new(options.clone())),
            active: watch::Sender::new((0..options.partitions).map(Partition).collect()),
            control: Mutex::new(control),
            silent_readers: Semaphore::new(SILENT_READERS),
            options,
            said_thin: AtomicBool::new(false),
        });
        let brokers = log.reach().await?;
        tracing::info!(brokers = log.options.brokers, count = brokers, "connected to kafka");
        Ok(log)
    }

    /// The number of brokers, as soon as one answers, and an error as soon as one says who may not: the client itself would
    /// go on asking.
    async fn reach(&self) -> Result<usize, LogError> {
        let options = self.options.clone();
        let answer = self.blocking("brokers not reached", move |consumer, timeout| {
            let deadline = Instant::now() + timeout;
            let mut patience = FIRST_QUESTION;
            loop {
                let left = || deadline.saturating_duration_since(Instant::now());
                let answer = consumer.fetch_metadata(None, patience.min(left()));
                let refused = || consumer.context().trouble().refusal(&options);
                match answer.map(|metadata| metadata.brokers().len()) {
                    // A broker that has just started answers without a delay that it knows of no broker.
                    Err(_) if left() > ELECTION_PAUSE && refused().is_none() => {
                        std::thread::sleep(ELECTION_PAUSE);
                        patience *= 2;
                    }
                    answer => return Ok(answer.map_err(|error| (error, refused()))),
                }
            }
        });
        match answer.await? {
            Ok(count) => Ok(count),
            Err((_, Some(refusal))) => Err(LogError::Misconfigured(format!("kafka refuses us: {refusal}"))),
            Err((error, None)) => {
                let mut because = self.control().consumer().context().trouble().because(&self.options);
                if let Some(code) = error.rdkafka_error_code().filter(|_| because.is_empty())
                    && let Some(remedy) = security::remedy(&self.options, code, "")
                {
                    because = format!(" ({remedy})");
                }
                Err(LogError::Unavailable(format!("{}: {error}{because}", self.options.brokers)))
            }
        }
    }

    /// What it was connected with.
    #[must_use]
    pub fn options(&self) -> &KafkaOptions {
        &self.options
    }

    /// Asks the cluster something that blocks, off the runtime's threads and with a timeout.
    async fn blocking<T: Send + 'static>(
        &self,
        what: &'static str,
        ask: impl FnOnce(&BaseConsumer<Context>, Duration) -> KafkaResult<T> + Send + 'static,
    ) -> Result<T, LogError> {
        let control = self.control();
        let consumer = Arc::clone(control.consumer());
        let timeout = self.options.request_timeout;
        let answer = tokio::task::spawn_blocking(move || ask(&consumer, timeout)).await;
        if let Ok(Err(error)) = &answer
            && error.rdkafka_error_code() == Some(RDKafkaErrorCode::OperationTimedOut)
        {
            self.replace_control(&control);
        }
        answer.map_err(|_| LogError::Closed)?.map_err(|error| match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition,
            ) => {
                LogError::Misconfigured(format!("{what}: {error}; create the topics with `tributary topics`"))
            }
            Some(code) if security::is_forbidden(code) => LogError::Misconfigured(format!("{what}: {error}")),
            _ => {
                let because = control.consumer().context().trouble().because(&self.options);
                LogError::Unavailable(format!("{what}: {error}{because}"))
            }
        })
    }

    fn control(&self) -> Arc<Lane> {
        Arc::clone(&self.control.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whatever keeps this client from an answer, the next question has another.
    fn replace_control(&self, silent: &Arc<Lane>) {
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&control, silent) {
            return;
        }
        match Lane::start("control", &self.options.control()) {
            Ok(lane) => *control = lane,
            Err(error) => tracing::warn!(%error, "no other client for questions to the brokers"),
        }
    }

    /// The bounds, for a reader that has brought nothing for long.
    async fn bounds_for_silent(&self, topic: Topic, partition: Partition) -> Result<Bounds, LogError> {
        let _turn = self.silent_readers.acquire().await.map_err(|_| LogError::Closed)?;
        self.bounds(topic, partition).await
    }

    /// The partition's bounds, if a reader can begin at `wanted`.
    async fn require_within(
        &self,
        topic: Topic,
        partition: Partition,
        wanted: Offset,
    ) -> Result<Bounds, LogError> {
        let bounds = self.bounds(topic, partition).await?;
        let remedy = if wanted < bounds.start {
            "these records have expired: rebuild from an older copy, and keep records longer than the longest stop"
        } else if wanted > bounds.end {
            "acknowledged records are missing: find out what the brokers lost before anything is written"
        } else {
            return Ok(bounds);
        };
        Err(LogError::OutOfRange { topic, partition, wanted, bounds, remedy })
    }

    fn require_partition(&self, partition: Partition) -> Result<(), LogError> {
        if partition.0 < self.options.partitions {
            return Ok(());
        }
        Err(LogError::Misconfigured(format!("partition {} of {}", partition.0, self.options.partitions)))
    }

    async fn open(
        &self,
        purpose: Purpose,
        at: (Topic, Partition),
        from: Offset,
    ) -> Result<KafkaReader, LogError> {
        let log = self.me.upgrade().ok_or(LogError::Closed)?;
        let slot = self.lanes.slot(purpose, at.0, at.1)?;
        KafkaReader::open(log, slot, at, from).await
    }
}

/// Start and end of a partition. A leader that is being elected, or does not know yet that it is one, is asked again until
/// the timeout: the client itself does not.
fn watermarks(
    consumer: &BaseConsumer<Context>,
    name: &str,
    partition: i32,
    timeout: Duration,
) -> KafkaResult<(i64, i64)> {
    let deadline = Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match consumer.fetch_watermarks(name, partition, left) {
            // Brokers that have just come back tell of topics before they know of all partitions and leaders, and the client
            // believes them for minutes: it does not ask again by itself.
            Err(KafkaError::MetadataFetch(
                RDKafkaErrorCode::UnknownPartition | RDKafkaErrorCode::LeaderNotAvailable,
            )) if left > ELECTION_PAUSE && is_listed(consumer, name, partition, left)? => {
                std::thread::sleep(ELECTION_PAUSE);
            }
            Err(error) if left > ELECTION_PAUSE && is_election(&error) => std::thread::sleep(ELECTION_PAUSE),
            answer => return answer,
        }
    }
}

/// Whether the brokers, asked now, list the partition. What they say replaces what the client remembers.
fn is_listed(
    consumer: &BaseConsumer<Context>,
    name: &str,
    partition: i32,
    timeout: Duration,
) -> KafkaResult<bool> {
    let metadata = consumer.fetch_metadata(Some(name), timeout)?;
    Ok(metadata.topics().iter().any(|topic| topic.partitions().iter().any(|known| known.id() == partition)))
}

fn is_election(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code();
    code.is_some_and(|code| {
        matches!(
            code,
            Code::NotLeaderForPartition
                | Code::LeaderNotAvailable
                | Code::OffsetNotAvailable
                | Code::ReplicaNotAvailable
                | Code::FencedLeaderEpoch
                | Code::UnknownLeaderEpoch
                | Code::KafkaStorageError
        )
    })
}

#[async_trait]
impl Log for KafkaLog {
    fn partition_count(&self) -> u32 {
        self.options.partitions
    }

    /// A handle on the shared producers. Producers that failed are not among them.
    async fn appender(&self) -> Result<Arc<dyn Appender>, LogError> {
        Ok(Arc::new(KafkaAppender::new(Arc::clone(&self.producers))))
    }

    async fn reader(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
    ) -> Result<Box<dyn Reader>, LogError> {
        self.require_within(topic, partition, from).await?;
        Ok(Box::new(self.open(Purpose::Tail(topic), (topic, partition), from).await?))
    }

    async fn bounds(&self, topic: Topic, partition: Partition) -> Result<Bounds, LogError> {
        self.require_partition(partition)?;
        let name = self.options.topic_name(topic);
        let number = i32::try_from(partition.0).unwrap_or(i32::MAX);
        let (low, high) = self
            .blocking("bounds not read", move |consumer, timeout| {
                watermarks(consumer, &name, number, timeout)
            })
            .await?;
        let offset = |mark: i64| {
            u64::try_from(mark)
                .map(Offset)
                .map_err(|_| LogError::Unavailable(format!("a watermark is {mark}")))
        };
        Ok(Bounds { start: offset(low)?, end: offset(high)? })
    }

    async fn record_at(
        &self,
        topic: Topic,
        partition: Partition,
        offset: Offset,
    ) -> Result<Option<Record>, LogError> {
        let bounds = self.bounds(topic, partition).await?;
        if offset < bounds.start {
            return Ok(None);
        }
        if offset >= bounds.end {
            let remedy = "no such record was ever readable, or the brokers lost it";
            return Err(LogError::OutOfRange { topic, partition, wanted: offset, bounds, remedy });
        }
        let mut reader = self.open(Purpose::Point, (topic, partition), offset).await?;
        let read = tokio::time::timeout(self.options.request_timeout, reader.next(1, 0)).await;
        match read {
            Ok(Ok(records)) => Ok(records.into_iter().find(|record| record.offset == offset)),
            // It expired between the two questions.
            Ok(Err(LogError::OutOfRange { bounds, .. })) if offset < bounds.start => Ok(None),
            Ok(Err(error)) => Err(error),
            Err(_) => {
                // Whatever keeps this client from it, the next question has another.
                reader.retire_lane();
                let name = self.options.topic_name(topic);
                Err(LogError::Unavailable(format!(
                    "{name} partition {}: offset {} not read in time",
                    partition.0, offset.0
                )))
            }
        }
    }

    async fn check(&self) -> Result<(), LogError> {
        self.check_topics().await
    }

    fn active(&self) -> watch::Receiver<Vec<Partition>> {
        self.active.subscribe()
    }

    fn join(&self, service: &'static str, input: Topic) -> Result<Assignment, LogError> {
        group::join(&self.options, service, input)
    }
}

//! Appenders: shared producers in generations.
//!
//! 64 partitions of three services must not mean 192 producers with their threads and connections. So all appenders
//! share one idempotent producer per topic: its *generation*. An error, or a batch that is not acknowledged within the
//! deadline, poisons the generation: everything it holds and everything that its appenders append afterwards fails as
//! indefinite, so that every partition which it served takes again (rule 7). A new appender then meets a new generation.
use super::batch::{Batch, Ledger, Slot};
use super::context::{Trouble, log_error, log_line};
use super::import::header_of;
use super::options::{KafkaOptions, MAX_RECORD_BYTES};
use super::security::{is_forbidden, not_allowed};
use super::told::Told;
use crate::log::{AppendError, Appender, NewRecord, Offset, Partition, Topic};
use domain::time::Micros;
use futures::future::BoxFuture;
use rdkafka::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext, PurgeConfig};
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often a producer's thread looks at deadlines and whether it is still wanted.
const HOUSEKEEPING: Duration = Duration::from_millis(100);

/// The current generation of each topic.
#[derive(Debug)]
pub(super) struct Producers {
    options: KafkaOptions,
    current: Mutex<[Option<Arc<Generation>>; Topic::ALL.len()]>,
}

impl Producers {
    pub(super) fn new(options: KafkaOptions) -> Self {
        Self { options, current: Mutex::default() }
    }

    /// The topic's generation that still works, or a new one.
    fn generation(&self, topic: Topic) -> Result<Arc<Generation>, KafkaError> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = &mut current[topic as usize];
        if let Some(generation) = slot
            && !generation.ledger.is_poisoned()
        {
            return Ok(Arc::clone(generation));
        }
        let generation = Arc::new(Generation::start(&self.options, topic)?);
        *slot = Some(Arc::clone(&generation));
        Ok(generation)
    }
}

/// One producer with its thread. Ends, without anyone waiting for it, when its last appender is dropped.
struct Generation {
    topic: String,
    ledger: Arc<Ledger>,
    unwanted: Arc<AtomicBool>,
    /// `None` only while it is dropped.
    producer: Option<Arc<BaseProducer<Deliveries>>>,
}

impl Generation {
    fn start(options: &KafkaOptions, topic: Topic) -> Result<Self, KafkaError> {
        let ledger = Arc::new(Ledger::default());
        let context = Deliveries {
            told: Told::default(),
            ledger: Arc::clone(&ledger),
            options: options.clone(),
            topic,
            trouble: Trouble::default(),
        };
        let producer = Arc::new(BaseProducer::from_config_and_context(&options.producer(topic), context)?);
        let unwanted = Arc::new(AtomicBool::new(false));
        let thread = Housekeeper {
            topic,
            producer: Arc::clone(&producer),
            ledger: Arc::clone(&ledger),
            unwanted: Arc::clone(&unwanted),
            deadline: options.append_deadline,
        };
        std::thread::Builder::new()
            .name(format!("append {}", topic.name()))
            .spawn(move || thread.run())
            .map_err(|error| KafkaError::ClientCreation(format!("thread not started: {error}")))?;
        Ok(Self { topic: options.topic_name(topic), ledger, unwanted, producer: Some(producer) })
    }

    fn append<R: Sendable>(&self, partition: Partition, records: &[R]) -> Result<Arc<Batch>, AppendError> {
        let Some(producer) = &self.producer else {
            return Err(AppendError::Indefinite("the producer was discarded".to_owned()));
        };
        let bytes = records.iter().map(|record| size(record.record())).sum();
        let batch = self.ledger.open(records.len(), bytes)?;
        for (index, sendable) in records.iter().enumerate() {
            let record = sendable.record();
            let message = BaseRecord::with_opaque_to(&self.topic, Box::new(Slot::new(&batch, index)))
                .partition(i32::try_from(partition.0).unwrap_or(i32::MAX))
                .key(record.key.as_ref())
                .payload(record.value.as_ref());
            let message = match sendable.time() {
                Some(time) => message.headers(header_of(time)),
                None => message,
            };
            let Err((error, message)) = producer.send(message) else { continue };
            drop(message);
            if index == 0 && is_definite(&error) {
                self.ledger.close(&batch);
                return Err(AppendError::Refused(error.to_string()));
            }
            let reason = format!("record {index} of {} was not queued: {error}", records.len());
            self.ledger.poison(&reason);
            return Err(AppendError::Indefinite(reason));
        }
        Ok(batch)
    }
}

/// What can be sent: a record, or one with the time of its first append.
trait Sendable {
    fn record(&self) -> &NewRecord;
    fn time(&self) -> Option<Micros>;
}

impl Sendable for NewRecord {
    fn record(&self) -> &NewRecord {
        self
    }

    fn time(&self) -> Option<Micros> {
        None
    }
}

impl Sendable for (NewRecord, Option<Micros>) {
    fn record(&self) -> &NewRecord {
        &self.0
    }

    fn time(&self) -> Option<Micros> {
        self.1
    }
}

impl Debug for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generation").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        // The thread's handle must be the last one: destroying a client waits for its threads, and nobody may wait here.
        self.producer = None;
        self.unwanted.store(true, Ordering::Release);
    }
}

/// Nothing of the record is or will be in the log.
fn is_definite(error: &KafkaError) -> bool {
    matches!(
        error,
        KafkaError::MessageProduction(
            RDKafkaErrorCode::QueueFull
                | RDKafkaErrorCode::MessageSizeTooLarge
                | RDKafkaErrorCode::UnknownPartition
        )
    )
}

fn size(record: &NewRecord) -> usize {
    record.key.len() + record.value.len()
}

/// The thread of a generation: runs delivery callbacks, watches the deadline, and destroys the producer at the end.
struct Housekeeper {
    topic: Topic,
    producer: Arc<BaseProducer<Deliveries>>,
    ledger: Arc<Ledger>,
    unwanted: Arc<AtomicBool>,
    deadline: Duration,
}

impl Housekeeper {
    fn run(self) {
        let mut purged = false;
        while !self.unwanted.load(Ordering::Acquire) {
            self.producer.poll(HOUSEKEEPING);
            if self.ledger.oldest_age().is_some_and(|age| age > self.deadline) {
                let because = self.producer.context().because();
                self.ledger
                    .poison(&format!("no acknowledgement within {} s{because}", self.deadline.as_secs()));
            }
            if !purged && let Some(reason) = self.ledger.poisoned() {
                purged = true;
                tracing::warn!(topic = self.topic.name(), reason, "kafka producer discarded");
                metrics::counter!(crate::meters::PRODUCERS_DISCARDED, "topic" => self.topic.name())
                    .increment(1);
                self.producer.purge(PurgeConfig::default().queue().inflight().non_blocking());
            }
        }
        self.ledger.poison("the appender was dropped");
    }
}

/// Takes delivery reports.
struct Deliveries {
    told: Told,
    ledger: Arc<Ledger>,
    options: KafkaOptions,
    topic: Topic,
    trouble: Trouble,
}

impl Deliveries {
    fn because(&self) -> String {
        self.trouble.because(&self.options)
    }

    /// With what allows it.
    fn forbidden(&self, error: impl std::fmt::Display) -> String {
        let resource = format!("--topic {}", self.options.topic_name(self.topic));
        format!("{error}; {}", not_allowed(&self.options, "Write", &resource))
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // Once an idempotent producer has lost its sequence it can never append again.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            let reason = format!("fatal producer error: {reason}");
            // Who may write to no topic at all is refused before the first record.
            let forbidden = reason.contains("authorization failed");
            self.ledger.poison(&if forbidden { self.forbidden(&reason) } else { reason });
        }
        self.trouble.note(&error, reason);
        log_error(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Slot>;

    fn delivery(&self, result: &DeliveryResult<'_>, slot: Box<Slot>) {
        match result {
            Ok(message) => {
                let offset = self.told.offset(message.partition(), message.offset());
                if slot.acknowledge(offset) {
                    self.ledger.close(slot.batch());
                }
            }
            Err((error, _)) => self.ledger.poison(&match error.rdkafka_error_code() {
                Some(code) if is_forbidden(code) => self.forbidden(error),
                _ => error.to_string(),
            }),
        }
    }
}

/// A handle on the generations that its topics had at its first append to each.
#[derive(Debug)]
pub(super) struct KafkaAppender {
    producers: Arc<Producers>,
    bound: Mutex<[Option<Arc<Generation>>; Topic::ALL.len()]>,
}

impl KafkaAppender {
    pub(super) fn new(producers: Arc<Producers>) -> Self {
        Self { producers, bound: Mutex::default() }
    }

    fn generation(&self, topic: Topic) -> Result<Arc<Generation>, KafkaError> {
        let mut bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = &mut bound[topic as usize];
        if let Some(generation) = slot {
            return Ok(Arc::clone(generation));
        }
        Ok(Arc::clone(slot.insert(self.producers.generation(topic)?)))
    }

    /// As [`Appender::append`], with the times of records that another log appended first.
    pub(super) fn append_with_times(
        &self,
        topic: Topic,
        partition: Partition,
        records: &[(NewRecord, Option<Micros>)],
    ) -> BoxFuture<'static, Result<Vec<Option<Offset>>, AppendError>> {
        self.begin(topic, partition, records)
    }

    fn begin<R: Sendable>(
        &self,
        topic: Topic,
        partition: Partition,
        records: &[R],
    ) -> BoxFuture<'static, Result<Vec<Option<Offset>>, AppendError>> {
        if records.is_empty() {
            return Box::pin(std::future::ready(Ok(Vec::new())));
        }
        match self.start(topic, partition, records) {
            Ok(batch) => Box::pin(Batch::done(batch)),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    fn start<R: Sendable>(
        &self,
        topic: Topic,
        partition: Partition,
        records: &[R],
    ) -> Result<Arc<Batch>, AppendError> {
        if let Some(size) =
            records.iter().map(|record| size(record.record())).find(|size| *size > MAX_RECORD_BYTES)
        {
            return Err(AppendError::Refused(format!(
                "a record of {size} bytes; the limit is {MAX_RECORD_BYTES}"
            )));
        }
        self.generation(topic)
            .map_err(|error| AppendError::Indefinite(format!("no producer: {error}")))?
            .append(partition, records)
    }
}

impl Appender for KafkaAppender {
    fn append(
        &self,
        topic: Topic,
        partition: Partition,
        records: Vec<NewRecord>,
    ) -> BoxFuture<'static, Result<Vec<Option<Offset>>, AppendError>> {
        self.begin(topic, partition, &records)
    }
}

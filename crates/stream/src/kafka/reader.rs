//! Reading one partition through its queue in a shared consumer.
use super::KafkaLog;
use super::context::Context;
use super::lane::{Assigned, Slot};
use super::security::{is_forbidden, not_allowed};
use crate::log::{Bounds, LogError, Offset, Partition, Reader, Record, Topic};
use async_trait::async_trait;
use bytes::Bytes;
use domain::time::Micros;
use rdkafka::Message;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Reads one partition. The queue wakes the waiting task itself: no thread and no channel between client and reader.
/// librdkafka stops fetching a partition whose queue is full, so a slow reader costs a bounded amount of memory.
pub(super) struct KafkaReader {
    // First: the queue must be gone before the slot gives the partition back.
    queue: PartitionQueue<Context>,
    wake: Arc<Notify>,
    slot: Slot,
    log: Arc<KafkaLog>,
    topic: Topic,
    partition: Partition,
    next: Offset,
    /// A record that did not fit in the last answer.
    kept: Option<Record>,
    /// An error that came behind records.
    failed: Option<KafkaError>,
    /// What it means, being found out.
    explaining: Option<JoinHandle<LogError>>,
    silence: Silence,
}

/// Nothing came, since when something is to be done about it, and what was found out. It outlives the futures that wait: an
/// owner waits for a second at a time, and the answer to a question may take longer.
struct Silence {
    until: Instant,
    /// The end of the log, as asked when the silence had lasted; records before it must come soon.
    owed: Option<Offset>,
    /// The question for it, under way.
    asked: Option<JoinHandle<Result<Bounds, LogError>>>,
}

impl Silence {
    fn lasting(patience: Duration) -> Self {
        Self { until: Instant::now() + patience, owed: None, asked: None }
    }
}

impl KafkaReader {
    pub(super) async fn open(
        log: Arc<KafkaLog>,
        slot: Slot,
        (topic, partition): (Topic, Partition),
        from: Offset,
    ) -> Result<Self, LogError> {
        let Assigned { queue, wake } = slot.assign(from).await?;
        let silence = Silence::lasting(log.options().reader_patience);
        Ok(Self {
            queue,
            wake,
            slot,
            log,
            topic,
            partition,
            next: from,
            kept: None,
            failed: None,
            explaining: None,
            silence,
        })
    }

    /// Leaves its client to those who use it: whoever reads next gets a new one.
    pub(super) fn retire_lane(&self) {
        self.slot.retire_lane();
    }

    /// The next message of the queue as a record, without waiting.
    fn take(&mut self) -> Option<Result<Record, KafkaError>> {
        if let Some(record) = self.kept.take() {
            return Some(Ok(record));
        }
        loop {
            let record = match self.queue.poll(Duration::ZERO)? {
                Ok(message) => record(&message),
                Err(error) => return Some(Err(error)),
            };
            // A fetch delivers from the beginning of the batch that holds the wanted offset. The client skips what is
            // before it; this is for a client that does not.
            if record.offset >= self.next {
                self.next = record.offset.next();
                return Some(Ok(record));
            }
        }
    }

    /// Waits for the next message. A client can stay with a broker that no longer leads the partition: it is refused
    /// there for ever, tells nobody, and does not move any more. So a long silence is held against the log's end.
    async fn wait(&mut self) -> Result<(), LogError> {
        // The queue was seen empty: its next message sets the permit, also when it came since.
        let Some(asked) = &mut self.silence.asked else {
            if tokio::time::timeout_at(self.silence.until, self.wake.notified()).await.is_ok() {
                return Ok(());
            }
            if let Some(owed) = self.silence.owed {
                return Err(self.stuck(owed));
            }
            let (log, topic, partition) = (Arc::clone(&self.log), self.topic, self.partition);
            self.silence.asked =
                Some(tokio::spawn(async move { log.bounds_for_silent(topic, partition).await }));
            return Ok(());
        };
        let answer = tokio::select! {
            biased;
            () = self.wake.notified() => return Ok(()),
            answer = asked => answer.unwrap_or(Err(LogError::Closed)),
        };
        self.silence.asked = None;
        let (patience, grace) = (self.log.options().reader_patience, self.log.options().request_timeout);
        match answer {
            Ok(bounds) => {
                let owed = Some(bounds.end).filter(|end| *end > self.next);
                self.silence = Silence { owed, ..Silence::lasting(owed.map_or(patience, |_| grace)) };
            }
            // Nobody can be asked now, which explains the silence so far.
            Err(LogError::Unavailable(reason)) => {
                tracing::debug!(
                    topic = self.topic.name(),
                    partition = self.partition.0,
                    reason,
                    "end not known"
                );
                self.silence = Silence::lasting(grace);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The client is owed records before `owed` and does not bring them.
    fn stuck(&self, owed: Offset) -> LogError {
        self.retire_lane();
        metrics::counter!(crate::meters::READERS_STUCK, "topic" => self.topic.name()).increment(1);
        LogError::Unavailable(format!(
            "{} partition {}: the client brings no record from offset {} on, though there are some before {}; reading goes on \
             with a new client",
            self.topic.name(),
            self.partition.0,
            self.next.0,
            owed.0
        ))
    }

    /// What the error means. The question that this may take outlives whoever waits for the answer.
    async fn explained(&mut self, error: KafkaError) -> LogError {
        let (log, at, next) = (Arc::clone(&self.log), (self.topic, self.partition), self.next);
        let asked = self
            .explaining
            .get_or_insert_with(|| tokio::spawn(async move { explain(&log, at, next, &error).await }));
        let explained = asked.await.unwrap_or(LogError::Closed);
        self.explaining = None;
        explained
    }
}

async fn explain(
    log: &KafkaLog,
    (topic, partition): (Topic, Partition),
    next: Offset,
    error: &KafkaError,
) -> LogError {
    let (name, number) = (topic.name(), partition.0);
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
            match log.require_within(topic, partition, next).await {
                Err(error) => error,
                Ok(_) => LogError::Unavailable(format!("{name} partition {number}: {error}")),
            }
        }
        Some(RDKafkaErrorCode::BadMessage | RDKafkaErrorCode::InvalidMessage) => {
            LogError::Corrupt(format!("{name} partition {number} near offset {}: {error}", next.0))
        }
        Some(
            RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition,
        ) => LogError::Misconfigured(format!("{name} partition {number} cannot be read: {error}")),
        Some(code) if is_forbidden(code) => {
            let options = log.options();
            let resource = format!("--topic {}", options.topic_name(topic));
            let remedy = not_allowed(options, "Read", &resource);
            LogError::Misconfigured(format!("{name} cannot be read: {error}; {remedy}"))
        }
        _ => LogError::Unavailable(format!("{name} partition {number}: {error}")),
    }
}

#[async_trait]
impl Reader for KafkaReader {
    async fn next(&mut self, max_records: usize, max_bytes: usize) -> Result<Vec<Record>, LogError> {
        loop {
            if let Some(error) = &self.failed {
                return Err(self.explained(error.clone()).await);
            }
            let mut records = Vec::new();
            let mut bytes = 0;
            while records.len() < max_records.max(1) {
                match self.take() {
                    None => break,
                    Some(Err(error)) => {
                        self.failed = Some(error);
                        break;
                    }
                    Some(Ok(record)) => {
                        bytes += record.key.len() + record.value.len();
                        if bytes > max_bytes && !records.is_empty() {
                            self.kept = Some(record);
                            break;
                        }
                        records.push(record);
                    }
                }
            }
            if !records.is_empty() {
                self.silence = Silence::lasting(self.log.options().reader_patience);
                return Ok(records);
            }
            if self.failed.is_none() {
                self.wait().await?;
            }
        }
    }
}

impl std::fmt::Debug for KafkaReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaReader")
            .field("topic", &self.topic)
            .field("partition", &self.partition)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

/// Copies a message out of the client's memory: one allocation for key and value.
fn record(message: &BorrowedMessage<'_>) -> Record {
    let key = message.key().unwrap_or_default();
    let value = message.payload().unwrap_or_default();
    let mut bytes = Vec::with_capacity(key.len() + value.len());
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(value);
    let mut key_bytes = Bytes::from(bytes);
    let value = key_bytes.split_off(key.len());
    Record {
        // Never negative for a message that was read.
        offset: Offset(u64::try_from(message.offset()).unwrap_or_default()),
        appended_at: Micros(message.timestamp().to_millis().unwrap_or_default().saturating_mul(1000)),
        key: key_bytes,
        value,
        imported_at: message.headers().and_then(super::import::time_in),
    }
}

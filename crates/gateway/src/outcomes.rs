//! Answers to callers who wait: tails this gateway's partition of `outcomes.v1` and wakes them by correlation id.
//!
//! Best effort: an answer that is missed costs the caller a pending form, never the event.
use crate::metrics::LATE_OUTCOMES;
use crate::refusal::Refusal;
use kit::health::Flag;
use metrics::counter;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use stream::log::{Log, LogError, Record, Topic, partition_of};
use tokio::sync::oneshot;
use tokio::time::Instant;
use wire::outcomes::OutcomeRecord;
use wire::v1;

const BATCH_RECORDS: usize = 512;
const BATCH_BYTES: usize = 1 << 20;
const BACKOFF: Duration = Duration::from_millis(500);

type Waiters = HashMap<u64, oneshot::Sender<OutcomeRecord>>;

/// Who waits for which answer.
pub(crate) struct Outcomes {
    instance: String,
    next: AtomicU64,
    most: usize,
    waiters: Mutex<Waiters>,
}

impl Outcomes {
    pub(crate) fn new(instance: String, most: usize) -> Self {
        // From a random start: answers to a former process of this name find nobody.
        Self { instance, next: AtomicU64::new(rand::random()), most, waiters: Mutex::default() }
    }

    /// Announces a caller who will wait.
    ///
    /// # Errors
    /// [`Refusal::Busy`] when as many wait as may.
    pub(crate) fn expect(&self) -> Result<Expected<'_>, Refusal> {
        let correlation_id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        let mut waiters = self.waiters();
        if waiters.len() >= self.most {
            return Err(Refusal::Busy);
        }
        waiters.insert(correlation_id, sender);
        Ok(Expected { outcomes: self, correlation_id, receiver })
    }

    fn waiters(&self) -> MutexGuard<'_, Waiters> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows the topic from its end on, for ever.
    pub(crate) async fn follow(&self, log: &Arc<dyn Log>, flag: &Flag) {
        loop {
            let Err(error) = self.follow_until_error(log, flag).await;
            tracing::warn!(%error, "outcomes not readable, trying again");
            flag.not_ready(&error.to_string());
            tokio::time::sleep(BACKOFF).await;
        }
    }

    async fn follow_until_error(&self, log: &Arc<dyn Log>, flag: &Flag) -> Result<Infallible, LogError> {
        let partition = partition_of(&self.instance, log.partition_count());
        let end = log.bounds(Topic::Outcomes, partition).await?.end;
        let mut reader = log.reader(Topic::Outcomes, partition, end).await?;
        flag.ready();
        loop {
            for record in reader.next(BATCH_RECORDS, BATCH_BYTES).await? {
                self.deliver(record);
            }
        }
    }

    fn deliver(&self, record: Record) {
        let outcome = match wire::outcomes::decode(&record.value) {
            Ok(outcome) => outcome,
            Err(error) => {
                tracing::error!(offset = record.offset.0, %error, "outcome not decodable");
                return;
            }
        };
        let reply_to = &outcome.reply_to;
        // Several gateways may share the partition.
        if reply_to.gateway_instance != self.instance {
            return;
        }
        let waiter = self.waiters().remove(&reply_to.correlation_id);
        if waiter.is_none_or(|waiter| waiter.send(outcome).is_err()) {
            counter!(LATE_OUTCOMES).increment(1);
        }
    }
}

/// An answer that is awaited; forgotten when dropped.
pub(crate) struct Expected<'outcomes> {
    outcomes: &'outcomes Outcomes,
    correlation_id: u64,
    receiver: oneshot::Receiver<OutcomeRecord>,
}

impl Expected<'_> {
    /// Where the chain sends the answer.
    pub(crate) fn reply_to(&self) -> v1::ReplyAddress {
        v1::ReplyAddress {
            gateway_instance: self.outcomes.instance.clone(),
            correlation_id: self.correlation_id,
        }
    }

    /// The answer, unless the deadline comes first.
    pub(crate) async fn until(mut self, deadline: Instant) -> Option<OutcomeRecord> {
        tokio::time::timeout_at(deadline, &mut self.receiver).await.ok()?.ok()
    }
}

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        self.outcomes.waiters().remove(&self.correlation_id);
    }
}

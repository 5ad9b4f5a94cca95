//! The log as one process sees it, and that process's pauses.
use super::broker::{Broker, LARGEST_RECORD_BYTES, linger};
use crate::log::{
    AppendError, Appender, Bounds, Log, LogError, NewRecord, Offset, Partition, Reader, Record, Topic,
};
use async_trait::async_trait;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

const REMEDY: &str = "this is a simulation: see what the history did before";

/// One process's view of a [`super::SimulatedLog`].
#[derive(Debug)]
pub struct Client {
    pace: Arc<Pace>,
}

/// A process stands still at its next touch of the log, as after SIGSTOP.
#[derive(Debug)]
struct Pace {
    broker: Arc<Broker>,
    stalled_until: Mutex<Option<Instant>>,
}

impl Pace {
    async fn stall(&self) {
        let until = *self.stalled_until.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = until {
            tokio::time::sleep_until(until).await;
        }
    }

    /// A question to the log: takes its time, and may not be answered.
    async fn ask(&self) -> Result<(), LogError> {
        self.stall().await;
        let (delay, fails) = {
            let mut guard = self.broker.state();
            let state = &mut *guard;
            (state.faults.delay(&mut state.chance), state.faults.read_fails(&mut state.chance))
        };
        linger(delay).await;
        if fails {
            return Err(LogError::Unavailable("the simulated log does not answer".to_owned()));
        }
        Ok(())
    }
}

impl Client {
    pub(super) fn new(broker: Arc<Broker>) -> Self {
        Self { pace: Arc::new(Pace { broker, stalled_until: Mutex::new(None) }) }
    }

    /// The process stands still for this long.
    pub fn stall(&self, time: Duration) {
        *self.pace.stalled_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + time);
    }
}

#[async_trait]
impl Log for Client {
    fn partition_count(&self) -> u32 {
        self.pace.broker.partitions
    }

    async fn appender(&self) -> Result<Arc<dyn Appender>, LogError> {
        self.pace.ask().await?;
        let id = self.pace.broker.new_appender();
        Ok(Arc::new(SimulatedAppender { id, pace: Arc::clone(&self.pace) }))
    }

    async fn reader(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
    ) -> Result<Box<dyn Reader>, LogError> {
        self.pace.ask().await?;
        let mut state = self.pace.broker.state();
        let part = state.part(topic, partition);
        let bounds = part.bounds();
        if from < bounds.start || from > bounds.end {
            return Err(out_of_range(topic, partition, from, bounds));
        }
        Ok(Box::new(SimulatedReader {
            topic,
            partition,
            next: from.0,
            generation: part.generation,
            changed: Arc::clone(&part.changed),
            pace: Arc::clone(&self.pace),
        }))
    }

    async fn bounds(&self, topic: Topic, partition: Partition) -> Result<Bounds, LogError> {
        self.pace.ask().await?;
        Ok(self.pace.broker.state().part(topic, partition).bounds())
    }

    async fn record_at(
        &self,
        topic: Topic,
        partition: Partition,
        offset: Offset,
    ) -> Result<Option<Record>, LogError> {
        self.pace.ask().await?;
        let mut state = self.pace.broker.state();
        let part = state.part(topic, partition);
        if offset.0 >= part.end() {
            return Err(out_of_range(topic, partition, offset, part.bounds()));
        }
        let place = offset.0.checked_sub(part.start);
        Ok(place.and_then(|place| part.records.get(usize::try_from(place).ok()?).cloned()))
    }

    async fn check(&self) -> Result<(), LogError> {
        Ok(())
    }

    fn active(&self) -> watch::Receiver<Vec<Partition>> {
        self.pace.broker.active.subscribe()
    }
}

fn out_of_range(topic: Topic, partition: Partition, wanted: Offset, bounds: Bounds) -> LogError {
    LogError::OutOfRange { topic, partition, wanted, bounds, remedy: REMEDY }
}

#[derive(Debug)]
struct SimulatedAppender {
    id: u64,
    pace: Arc<Pace>,
}

impl Appender for SimulatedAppender {
    fn append(
        &self,
        topic: Topic,
        partition: Partition,
        records: Vec<NewRecord>,
    ) -> BoxFuture<'static, Result<Vec<Option<Offset>>, AppendError>> {
        if let Some(long) =
            records.iter().map(|record| record.value.len()).find(|len| *len > LARGEST_RECORD_BYTES)
        {
            let refused = AppendError::Refused(format!("a record of {long} bytes"));
            return std::future::ready(Err(refused)).boxed();
        }
        let answer = self.pace.broker.append(self.id, (topic, partition), records);
        let pace = Arc::clone(&self.pace);
        async move {
            let answer = answer.await;
            pace.stall().await;
            answer.unwrap_or_else(|_| Err(AppendError::Indefinite("the simulated log is gone".to_owned())))
        }
        .boxed()
    }
}

impl Drop for SimulatedAppender {
    fn drop(&mut self) {
        self.pace.broker.drop_appender(self.id);
    }
}

#[derive(Debug)]
struct SimulatedReader {
    topic: Topic,
    partition: Partition,
    next: u64,
    generation: u64,
    changed: Arc<Notify>,
    pace: Arc<Pace>,
}

impl SimulatedReader {
    fn take(&mut self, max_records: usize, max_bytes: usize) -> Result<Vec<Record>, LogError> {
        let mut state = self.pace.broker.state();
        let part = state.part(self.topic, self.partition);
        if part.generation != self.generation {
            return Err(LogError::Unavailable("the partition has another leader: open it again".to_owned()));
        }
        let bounds = part.bounds();
        if self.next < bounds.start.0 || self.next > bounds.end.0 {
            return Err(out_of_range(self.topic, self.partition, Offset(self.next), bounds));
        }
        let skip = usize::try_from(self.next - part.start).unwrap_or(usize::MAX);
        let mut bytes = 0_usize;
        let mut records = Vec::new();
        for record in part.records.iter().skip(skip) {
            bytes = bytes.saturating_add(record.value.len());
            if !records.is_empty() && (records.len() >= max_records || bytes > max_bytes) {
                break;
            }
            records.push(record.clone());
        }
        self.next += records.len() as u64;
        Ok(records)
    }
}

#[async_trait]
impl Reader for SimulatedReader {
    async fn next(&mut self, max_records: usize, max_bytes: usize) -> Result<Vec<Record>, LogError> {
        loop {
            self.pace.ask().await?;
            let changed = Arc::clone(&self.changed);
            // Made before the look, so that what lands after it wakes us.
            let changed = changed.notified();
            let records = self.take(max_records, max_bytes)?;
            if !records.is_empty() {
                return Ok(records);
            }
            changed.await;
        }
    }
}

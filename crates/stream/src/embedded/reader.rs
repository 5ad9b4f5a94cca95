//! Reading: from the tail in memory while it reaches back far enough, else from the store.
use super::chunk::Chunk;
use super::shared::{Shared, Standing, poisoned};
use crate::log::{LogError, Offset, Partition, Reader, Record, Topic};
use async_trait::async_trait;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::watch;

/// A reader of one partition.
#[derive(Debug)]
pub(super) struct EmbeddedReader {
    shared: Arc<Shared>,
    topic: Topic,
    partition: Partition,
    next: u64,
    end: watch::Receiver<u64>,
    standing: watch::Receiver<Standing>,
    /// Read but not handed out yet; begins with `next`.
    chunks: VecDeque<Chunk>,
}

impl EmbeddedReader {
    pub(super) fn open(
        shared: &Arc<Shared>,
        topic: Topic,
        partition: Partition,
        from: Offset,
    ) -> Result<Self, LogError> {
        shared.check_standing()?;
        let lane = shared.lane(topic, partition)?;
        if from.0 < lane.start() || from.0 > lane.end() {
            return Err(shared.out_of_range(topic, partition, from));
        }
        Ok(Self {
            shared: Arc::clone(shared),
            topic,
            partition,
            next: from.0,
            end: lane.watch_end(),
            standing: shared.standing.subscribe(),
            chunks: VecDeque::new(),
        })
    }

    /// Waits until there is something at `next`. Changes nothing, so it may be dropped at any time.
    async fn wait(&mut self) -> Result<u64, LogError> {
        loop {
            match &*self.standing.borrow_and_update() {
                Standing::Open => {}
                Standing::Closed => return Err(LogError::Closed),
                Standing::Poisoned(reason) => return Err(poisoned(reason)),
            }
            let end = *self.end.borrow_and_update();
            if self.next < end {
                return Ok(end);
            }
            tokio::select! {
                changed = self.end.changed() => changed.map_err(|_| LogError::Closed)?,
                changed = self.standing.changed() => changed.map_err(|_| LogError::Closed)?,
            }
        }
    }

    async fn fill(&mut self, end: u64, max_bytes: usize) -> Result<(), LogError> {
        let chunks = chunks(&self.shared, self.topic, self.partition, self.next, end, max_bytes).await?;
        self.chunks = chunks.into();
        Ok(())
    }

    fn hand_out(&mut self, max_records: usize, max_bytes: usize) -> Vec<Record> {
        let mut records = Vec::new();
        let mut bytes = 0;
        while let Some(chunk) = self.chunks.front_mut() {
            let Some(size) = chunk.peek_bytes() else {
                self.chunks.pop_front();
                continue;
            };
            if !records.is_empty() && (records.len() >= max_records || bytes + size > max_bytes) {
                break;
            }
            bytes += size;
            records.extend(chunk.next());
        }
        self.next += records.len() as u64;
        records
    }
}

/// Chunks from the one that holds `offset` on, positioned at it.
pub(super) async fn chunks(
    shared: &Arc<Shared>,
    topic: Topic,
    partition: Partition,
    offset: u64,
    end: u64,
    max_bytes: usize,
) -> Result<Vec<Chunk>, LogError> {
    let lane = shared.lane(topic, partition)?;
    if let Some(chunks) = lane.tail_from(offset, max_bytes) {
        return Ok(chunks);
    }
    let disk = shared.disk()?;
    let read = tokio::task::spawn_blocking(move || disk.chunks(topic, partition, offset, end, max_bytes))
        .await
        .map_err(|error| LogError::Unavailable(error.to_string()))?;
    // Retention may have come in between.
    if offset < lane.start() {
        return Err(shared.out_of_range(topic, partition, Offset(offset)));
    }
    read
}

#[async_trait]
impl Reader for EmbeddedReader {
    async fn next(&mut self, max_records: usize, max_bytes: usize) -> Result<Vec<Record>, LogError> {
        let end = self.wait().await?;
        if self.chunks.front().is_none_or(|chunk| chunk.end() <= self.next) {
            if self.next < self.shared.lane(self.topic, self.partition)?.start() {
                return Err(self.shared.out_of_range(self.topic, self.partition, Offset(self.next)));
            }
            self.fill(end, max_bytes).await?;
        }
        Ok(self.hand_out(max_records, max_bytes))
    }
}

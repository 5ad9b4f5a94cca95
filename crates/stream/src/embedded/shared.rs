//! What writer, readers and socket share: the lanes (one per partition of a topic) and how the log stands.
use super::Environment;
use super::chunk::Chunk;
use super::disk::{Disk, Extent};
use crate::log::{Bounds, LogError, Offset, Partition, Topic};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tokio::sync::watch;

/// Locks, also when a thread that held the lock panicked: what is guarded here is valid after every statement.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How the log stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    Open,
    Closed,
    /// An fsync failed; the process must end.
    Poisoned(Arc<str>),
}

/// One partition of one topic.
#[derive(Debug)]
pub(super) struct Lane {
    start: AtomicU64,
    /// The fsynced mark: readers see what is below it, and nothing else.
    end: watch::Sender<u64>,
    /// The newest chunks, all below the mark.
    tail: Mutex<VecDeque<Chunk>>,
}

impl Lane {
    fn new(extent: &Extent) -> Self {
        Self {
            start: AtomicU64::new(extent.start),
            end: watch::Sender::new(extent.end),
            tail: Mutex::default(),
        }
    }

    pub(super) fn start(&self) -> u64 {
        self.start.load(Ordering::Acquire)
    }

    pub(super) fn end(&self) -> u64 {
        *self.end.borrow()
    }

    pub(super) fn watch_end(&self) -> watch::Receiver<u64> {
        self.end.subscribe()
    }

    pub(super) fn move_start(&self, start: u64) {
        self.start.store(start, Ordering::Release);
    }

    /// Publishes fsynced chunks.
    pub(super) fn publish(&self, chunks: impl IntoIterator<Item = Chunk>, end: u64) {
        lock(&self.tail).extend(chunks);
        self.end.send_replace(end);
    }

    /// Forgets the oldest chunk of the tail.
    pub(super) fn forget_oldest(&self) {
        lock(&self.tail).pop_front();
    }

    /// Chunks from the one that holds `offset` on, if the tail still has it: as many as fit `max_bytes`, at least one.
    pub(super) fn tail_from(&self, offset: u64, max_bytes: usize) -> Option<Vec<Chunk>> {
        let tail = lock(&self.tail);
        if tail.front().is_none_or(|oldest| oldest.base() > offset) {
            return None;
        }
        let first = tail.partition_point(|chunk| chunk.end() <= offset);
        let mut bytes = 0;
        let mut chunks = Vec::new();
        for chunk in tail.iter().skip(first) {
            if bytes >= max_bytes && !chunks.is_empty() {
                break;
            }
            bytes += chunk.len();
            chunks.push(chunk.clone());
        }
        if let Some(first) = chunks.first_mut() {
            first.skip_to(offset);
        }
        (!chunks.is_empty()).then_some(chunks)
    }
}

/// The log as writer, readers and socket know it.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) partitions: u32,
    lanes: Vec<Lane>,
    disk: RwLock<Option<Arc<Disk>>>,
    pub(super) standing: watch::Sender<Standing>,
    pub(super) active: watch::Sender<Vec<Partition>>,
    pub(super) environment: Arc<dyn Environment>,
}

impl Shared {
    /// The log on `disk`, and what each lane's writer must know.
    pub(super) fn open(
        disk: Disk,
        partitions: u32,
        environment: Arc<dyn Environment>,
    ) -> Result<(Self, Vec<Extent>), LogError> {
        let mut extents = Vec::with_capacity(Topic::ALL.len() * partitions as usize);
        for topic in Topic::ALL {
            for partition in 0..partitions {
                extents.push(disk.extent(topic, Partition(partition))?);
            }
        }
        let active = (0..partitions)
            .map(Partition)
            .filter(|partition| extents[lane_index(partitions, Topic::Ingest, *partition)].end > 0)
            .collect();
        let shared = Self {
            partitions,
            lanes: extents.iter().map(Lane::new).collect(),
            disk: RwLock::new(Some(Arc::new(disk))),
            standing: watch::Sender::new(Standing::Open),
            active: watch::Sender::new(active),
            environment,
        };
        Ok((shared, extents))
    }

    pub(super) fn lane_index(&self, topic: Topic, partition: Partition) -> usize {
        lane_index(self.partitions, topic, partition)
    }

    /// The lane at an index that [`Shared::lane_index`] gave.
    pub(super) fn lane_at(&self, index: usize) -> &Lane {
        &self.lanes[index]
    }

    pub(super) fn lane(&self, topic: Topic, partition: Partition) -> Result<&Lane, LogError> {
        if partition.0 >= self.partitions {
            return Err(LogError::Misconfigured(format!(
                "{} has {} partitions, partition {} was asked for",
                topic.name(),
                self.partitions,
                partition.0
            )));
        }
        Ok(&self.lanes[self.lane_index(topic, partition)])
    }

    pub(super) fn bounds(&self, topic: Topic, partition: Partition) -> Result<Bounds, LogError> {
        let lane = self.lane(topic, partition)?;
        Ok(Bounds { start: Offset(lane.start()), end: Offset(lane.end()) })
    }

    /// The store, while the log is open or poisoned.
    pub(super) fn disk(&self) -> Result<Arc<Disk>, LogError> {
        self.disk.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or(LogError::Closed)
    }

    /// Lets go of the store; reads under way keep it until they end.
    pub(super) fn release_disk(&self) -> Option<Arc<Disk>> {
        self.disk.write().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn out_of_range(&self, topic: Topic, partition: Partition, wanted: Offset) -> LogError {
        match self.bounds(topic, partition) {
            Ok(bounds) => LogError::OutOfRange {
                topic,
                partition,
                wanted,
                bounds,
                remedy: "rebuild the reader from the start, or restore the directory that it was reading",
            },
            Err(error) => error,
        }
    }

    /// Why nothing more will come, if so.
    pub(super) fn check_standing(&self) -> Result<(), LogError> {
        match &*self.standing.borrow() {
            Standing::Open => Ok(()),
            Standing::Closed => Err(LogError::Closed),
            Standing::Poisoned(reason) => Err(poisoned(reason)),
        }
    }
}

pub(super) fn poisoned(reason: &str) -> LogError {
    LogError::Corrupt(format!(
        "an fsync failed ({reason}); nobody knows what is on the disk: end the process and start it again"
    ))
}

fn lane_index(partitions: u32, topic: Topic, partition: Partition) -> usize {
    topic as usize * partitions as usize + partition.0 as usize
}

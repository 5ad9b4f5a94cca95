//! Tails `gateway-config.v1`: the gateway needs the log and nothing else.
//!
//! A partition without a record has no reader. It gets one when a lookup fails: whatever could make the lookup succeed is
//! before the partitions' ends as they were when the request arrived (see [`Tail::passes_now`]).
use crate::directory::{Applied, Directory};
use crate::metrics::CONFIG_RECORDS;
use bytes::Bytes;
use futures::future::try_join_all;
use kit::health::Flag;
use metrics::counter;
use prost::Message as _;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stream::log::{Bounds, Log, LogError, Offset, Partition, Topic};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::v1;

const BATCH_RECORDS: usize = 512;
const BATCH_BYTES: usize = 1 << 20;
/// Before a failed read is tried again.
const BACKOFF: Duration = Duration::from_millis(500);
/// Between two rounds of asking the log for its ends: unknown keys are free to send, rounds are not.
const ROUND_PAUSE: Duration = Duration::from_millis(100);
/// A round that takes longer helps nobody who waits.
const ROUND_LIMIT: Duration = Duration::from_secs(2);

/// The tail of all partitions.
pub(crate) struct Tail {
    log: Arc<dyn Log>,
    directory: Arc<Directory>,
    token: CancellationToken,
    tasks: TaskTracker,
    /// By partition with a reader: the next offset to read.
    positions: Mutex<HashMap<Partition, watch::Receiver<Offset>>>,
    rounds: Mutex<u64>,
    finished_rounds: watch::Sender<u64>,
    wanted: Notify,
    flag: Flag,
    broken: AtomicUsize,
}

impl Tail {
    pub(crate) fn new(
        log: Arc<dyn Log>,
        directory: Arc<Directory>,
        flag: Flag,
        token: CancellationToken,
        tasks: TaskTracker,
    ) -> Arc<Self> {
        Arc::new(Self {
            log,
            directory,
            token,
            tasks,
            positions: Mutex::default(),
            rounds: Mutex::default(),
            finished_rounds: watch::Sender::new(0),
            wanted: Notify::new(),
            flag,
            broken: AtomicUsize::new(0),
        })
    }

    /// Reads to the ends as they are now, raises the flag, then serves [`Tail::passes_now`].
    pub(crate) fn start(self: &Arc<Self>) {
        let tail = Arc::clone(self);
        self.tasks.spawn(async move {
            let token = tail.token.clone();
            token.run_until_cancelled_owned(tail.run()).await;
        });
    }

    async fn run(self: Arc<Self>) {
        while let Err(error) = self.read_to_ends().await {
            tracing::warn!(%error, "gateway configuration not readable");
            self.flag.not_ready(&error.to_string());
            tokio::time::sleep(BACKOFF).await;
        }
        self.flag.ready();
        tracing::info!("gateway configuration read");
        loop {
            self.wanted.notified().await;
            let round = {
                let mut rounds = self.rounds.lock().unwrap_or_else(PoisonError::into_inner);
                *rounds += 1;
                *rounds
            };
            match tokio::time::timeout(ROUND_LIMIT, self.read_to_ends()).await {
                Ok(Ok(())) => {
                    self.finished_rounds.send_replace(round);
                }
                Ok(Err(error)) => tracing::warn!(%error, "gateway configuration not readable"),
                Err(_) => tracing::warn!("gateway configuration not read to its end in time"),
            }
            tokio::time::sleep(ROUND_PAUSE).await;
        }
    }

    /// Waits until everything that was in the log at the time of this call has been read, at most for `limit`.
    /// False: it has not.
    pub(crate) async fn passes_now(&self, limit: Duration) -> bool {
        // A round under way may have asked for the ends before this call; the next one cannot have.
        let needed = *self.rounds.lock().unwrap_or_else(PoisonError::into_inner) + 1;
        self.wanted.notify_one();
        let mut finished = self.finished_rounds.subscribe();
        tokio::time::timeout(limit, finished.wait_for(|round| *round >= needed)).await.is_ok()
    }

    async fn read_to_ends(self: &Arc<Self>) -> Result<(), LogError> {
        let partitions = (0..self.log.partition_count()).map(Partition);
        let ends = try_join_all(partitions.map(|partition| async move {
            self.log.bounds(Topic::GatewayConfig, partition).await.map(|bounds| (partition, bounds))
        }))
        .await?;
        for (partition, bounds) in ends {
            if bounds.end > bounds.start {
                let mut position = self.position(partition, bounds);
                // The sender lives in a task that ends with the token only.
                if position.wait_for(|next| *next >= bounds.end).await.is_err() {
                    return Err(LogError::Closed);
                }
            }
        }
        Ok(())
    }

    /// How far the partition has been read; starts its reader if it has none.
    fn position(self: &Arc<Self>, partition: Partition, bounds: Bounds) -> watch::Receiver<Offset> {
        let mut positions = self.positions.lock().unwrap_or_else(PoisonError::into_inner);
        let position = positions.entry(partition).or_insert_with(|| {
            let (next, position) = watch::channel(bounds.start);
            let tail = Arc::clone(self);
            self.tasks.spawn(async move {
                let token = tail.token.clone();
                token.run_until_cancelled_owned(tail.follow(partition, next)).await;
            });
            position
        });
        position.clone()
    }

    async fn follow(self: Arc<Self>, partition: Partition, next: watch::Sender<Offset>) {
        loop {
            let Err(error) = self.follow_until_error(partition, &next).await;
            tracing::warn!(partition = partition.0, %error, "gateway configuration not readable, trying again");
            self.broken.fetch_add(1, Ordering::SeqCst);
            self.flag.not_ready(&error.to_string());
            loop {
                tokio::time::sleep(BACKOFF).await;
                match self.log.bounds(Topic::GatewayConfig, partition).await {
                    Ok(bounds) if (bounds.start..=bounds.end).contains(&*next.borrow()) => break,
                    // Expired, truncated or recreated: all of it is read again; versions keep old records out.
                    Ok(bounds) => {
                        next.send_replace(bounds.start);
                        break;
                    }
                    Err(error) => tracing::debug!(partition = partition.0, %error, "log still unavailable"),
                }
            }
            if self.broken.fetch_sub(1, Ordering::SeqCst) == 1 {
                self.flag.ready();
            }
        }
    }

    async fn follow_until_error(
        &self,
        partition: Partition,
        next: &watch::Sender<Offset>,
    ) -> Result<std::convert::Infallible, LogError> {
        let from = *next.borrow();
        let mut reader = self.log.reader(Topic::GatewayConfig, partition, from).await?;
        loop {
            let records = reader.next(BATCH_RECORDS, BATCH_BYTES).await?;
            let last = records.last().map(|record| record.offset);
            for record in records {
                self.apply(record.value);
            }
            if let Some(last) = last {
                next.send_replace(last.next());
            }
        }
    }

    fn apply(&self, value: Bytes) {
        let result = match v1::GatewayConfigRecord::decode(value) {
            Ok(record) => match self.directory.apply(record) {
                Applied::Changed => "applied",
                Applied::Outdated => "outdated",
                Applied::Empty => "unknown",
            },
            Err(error) => {
                tracing::error!(%error, "gateway configuration record not decodable");
                "undecodable"
            }
        };
        counter!(CONFIG_RECORDS, "result" => result).increment(1);
    }
}

//! Shared consumers: one client reads many partitions of a topic, each through a queue of its own.
//!
//! A client can read a partition only once at a time, and several readers of one partition live in one process (an
//! owner's input, the follower of its own output, the projector). So a topic has *lanes*: the first reader of a partition
//! sits in the first lane, a second one at the same time in the second, and so on. As many clients as readers of the
//! most-read partition, whatever the number of partitions. Partitions are assigned by hand; no group is joined.
use super::context::{Context, unavailable};
use super::options::KafkaOptions;
use crate::log::{LogError, Offset, Partition, Topic};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{ClientConfig, TopicPartitionList};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot};

/// Readers of one partition at a time in one process; more are a leak.
const MAX_LANES: usize = 16;
/// How often a lane's thread takes errors and log lines from its client.
const HOUSEKEEPING: Duration = Duration::from_millis(250);
/// For how long. A poll that may not wait ends after one log line, and the client puts its errors behind all log lines:
/// with one line taken each time, the reason of a refusal came late or never.
const TAKING: Duration = Duration::from_millis(10);

/// A partition's queue, and what wakes when it gets its first message.
pub(super) struct Assigned {
    pub(super) queue: PartitionQueue<Context>,
    pub(super) wake: Arc<Notify>,
}

enum Command {
    Assign { topic: String, partition: i32, from: i64, reply: oneshot::Sender<KafkaResult<Assigned>> },
    Unassign { topic: String, partition: i32 },
}

/// One consumer client with its thread. The thread ends when the lane and its slots are dropped.
pub(super) struct Lane {
    consumer: Arc<BaseConsumer<Context>>,
    commands: Sender<Command>,
    taken: Mutex<HashSet<(Topic, Partition)>>,
    /// Its client no longer brings all records: nobody else is to sit in it.
    retired: AtomicBool,
}

impl Lane {
    pub(super) fn start(name: &str, config: &ClientConfig) -> Result<Arc<Self>, LogError> {
        let failed = |error| unavailable("no kafka client", &error);
        let consumer =
            Arc::new(BaseConsumer::from_config_and_context(config, Context::default()).map_err(failed)?);
        let (commands, receiver) = channel();
        let served = Arc::clone(&consumer);
        std::thread::Builder::new()
            .name(format!("read {name}"))
            .spawn(move || serve(&served, &receiver))
            .map_err(|error| LogError::Unavailable(format!("thread not started: {error}")))?;
        Ok(Arc::new(Self { consumer, commands, taken: Mutex::default(), retired: AtomicBool::new(false) }))
    }

    /// The client, for questions that block.
    pub(super) fn consumer(&self) -> &Arc<BaseConsumer<Context>> {
        &self.consumer
    }

    fn try_take(&self, topic: Topic, partition: Partition) -> bool {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).insert((topic, partition))
    }

    fn send(&self, command: Command) -> Result<(), LogError> {
        self.commands.send(command).map_err(|_| LogError::Closed)
    }
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane").finish_non_exhaustive()
    }
}

/// A reader's place in a lane. Dropping it unassigns the partition.
#[derive(Debug)]
pub(super) struct Slot {
    lane: Arc<Lane>,
    topic: Topic,
    name: String,
    partition: Partition,
}

impl Slot {
    /// Starts fetching at `from`.
    pub(super) async fn assign(&self, from: Offset) -> Result<Assigned, LogError> {
        let (reply, assigned) = oneshot::channel();
        let from = i64::try_from(from.0).map_err(|_| LogError::Corrupt(format!("no offset: {}", from.0)))?;
        self.lane.send(Command::Assign {
            topic: self.name.clone(),
            partition: self.number(),
            from,
            reply,
        })?;
        let assigned = assigned.await.map_err(|_| LogError::Closed)?;
        assigned.map_err(|error| unavailable("partition not assigned", &error))
    }

    /// Leaves the lane to those who sit in it: whoever comes next gets a new client.
    pub(super) fn retire_lane(&self) {
        self.lane.retired.store(true, Ordering::Release);
    }

    fn number(&self) -> i32 {
        i32::try_from(self.partition.0).unwrap_or(i32::MAX)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // The order matters: commands are served in order, so whoever takes the place next is assigned after this.
        if self.lane.send(Command::Unassign { topic: self.name.clone(), partition: self.number() }).is_err() {
            tracing::debug!(topic = self.name, "lane ended before its reader");
        }
        self.lane.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&(self.topic, self.partition));
    }
}

/// What a lane is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    /// Following partitions of a topic.
    Tail(Topic),
    /// Single records of any topic.
    Point,
}

/// The lanes of a log.
#[derive(Debug)]
pub(super) struct Lanes {
    options: KafkaOptions,
    lanes: Mutex<HashMap<Purpose, Vec<Arc<Lane>>>>,
}

impl Lanes {
    pub(super) fn new(options: KafkaOptions) -> Self {
        Self { options, lanes: Mutex::default() }
    }

    /// A place in the first lane that does not read the partition yet.
    pub(super) fn slot(
        &self,
        purpose: Purpose,
        topic: Topic,
        partition: Partition,
    ) -> Result<Slot, LogError> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let lanes = lanes.entry(purpose).or_default();
        lanes.retain(|lane| !lane.retired.load(Ordering::Acquire));
        let name = self.options.topic_name(topic);
        let free = lanes.iter().find(|lane| lane.try_take(topic, partition)).map(Arc::clone);
        if let Some(lane) = free {
            return Ok(Slot { lane, topic, name, partition });
        }
        if lanes.len() >= MAX_LANES {
            return Err(LogError::Unavailable(format!(
                "{MAX_LANES} readers of {name} partition {} already",
                partition.0
            )));
        }
        let lane = match purpose {
            Purpose::Tail(topic) => Lane::start(topic.name(), &self.options.tail())?,
            Purpose::Point => Lane::start("points", &self.options.point())?,
        };
        lane.try_take(topic, partition);
        lanes.push(Arc::clone(&lane));
        Ok(Slot { lane, topic, name, partition })
    }
}

/// The thread of a lane.
fn serve(consumer: &Arc<BaseConsumer<Context>>, commands: &Receiver<Command>) {
    let mut due = Instant::now() + HOUSEKEEPING;
    loop {
        match commands.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Ok(Command::Assign { topic, partition, from, reply }) => {
                // A caller that has gone drops its slot, whose command to unassign is on its way.
                if reply.send(assign(consumer, &topic, partition, from)).is_err() {
                    tracing::trace!(topic, partition, "reader given up before it began");
                }
            }
            Ok(Command::Unassign { topic, partition }) => {
                if let Err(error) = unassign(consumer, &topic, partition) {
                    tracing::debug!(topic, partition, %error, "partition not unassigned");
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if Instant::now() >= due {
            take_complaints(consumer);
            due = Instant::now() + HOUSEKEEPING;
        }
    }
}

/// Log lines and errors of the client as a whole. Those of a partition come through its own queue, to its reader.
fn take_complaints(consumer: &BaseConsumer<Context>) {
    let end = Instant::now() + TAKING;
    loop {
        match consumer.poll(end.saturating_duration_since(Instant::now())) {
            Some(Ok(_)) => tracing::warn!("message outside the queue of its partition"),
            Some(Err(error)) => tracing::debug!(%error, "consumer event"),
            None => return,
        }
    }
}

fn assign(
    consumer: &Arc<BaseConsumer<Context>>,
    topic: &str,
    partition: i32,
    from: i64,
) -> KafkaResult<Assigned> {
    // The queue is split off first, so that no message goes to the client's common queue.
    let mut queue = consumer
        .split_partition_queue(topic, partition)
        .ok_or_else(|| KafkaError::Subscription(format!("no queue for {topic} partition {partition}")))?;
    let wake = Arc::new(Notify::new());
    let waker = Arc::clone(&wake);
    queue.set_nonempty_callback(move || waker.notify_one());
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition_offset(topic, partition, rdkafka::Offset::Offset(from))?;
    consumer.incremental_assign(&list)?;
    Ok(Assigned { queue, wake })
}

fn unassign(consumer: &BaseConsumer<Context>, topic: &str, partition: i32) -> KafkaResult<()> {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition(topic, partition);
    consumer.incremental_unassign(&list)
}

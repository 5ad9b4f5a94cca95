//! Sharing partitions with other processes of a service, through a consumer group that carries nothing else.
//!
//! The group's client joins and says who has which partition; it reads no record and commits no offset, since it is given
//! none of what it is named for. So it can always be polled, whatever a restore takes, and nothing evicts a process that
//! lives. What it says is a hint (rule 12): `owner` takes by fences.
//!
//! The assignor is eager, and `range`: with members in the order of their start (the broker sorts by an id that begins with
//! the client's) whoever comes takes from the end, and most partitions stay where they are. Between "revoked" and
//! "assigned" everybody keeps what he has: no other is named for it yet. A group can be settled with partitions that nobody
//! has (`coverage.rs`): each member looks, and joins anew if that is so.
use super::context::{log_error, log_line};
use super::coverage;
use super::options::KafkaOptions;
use super::security;
use crate::assignment::{Assignment, Member, Named};
use crate::log::{LogError, Partition, Topic};
use futures::future::BoxFuture;
use rdkafka::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{oneshot, watch};

/// How soon a membership ends that is no longer wanted.
const POLL: Duration = Duration::from_millis(50);
/// What brokers accept unless told otherwise (`group.min.session.timeout.ms`).
const COMMON_SESSION: Duration = Duration::from_secs(6);
/// A complaint that does not change is logged this often.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// From an assignment to the question who has what: by then all members have heard of theirs.
const FIRST_LOOK: Duration = Duration::from_millis(300);
/// Between two such questions, while a rebalance is under way or nobody answers; and between two times of joining anew, there
/// doubled each time.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_LOOK_PAUSE: Duration = Duration::from_secs(30);
/// The client is not polled meanwhile, and a process that ends waits for it.
const LOOK_LIMIT: Duration = Duration::from_secs(1);

/// Joins the group of `service`, which shares the partitions of `input`.
pub(super) fn join(
    options: &KafkaOptions,
    service: &'static str,
    input: Topic,
) -> Result<Assignment, LogError> {
    let (named, assignment) = watch::channel(Named::default());
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let membership = Membership {
        service,
        topic: options.topic_name(input),
        // Sorted by members' ids, which begin with this.
        client_id: format!("tributary-{service}-{:016x}", started.as_micros()),
        options: options.clone(),
        named: Arc::new(named),
        leaving: Arc::default(),
        assignments: Arc::default(),
    };
    let leaving = Arc::clone(&membership.leaving);
    metrics::counter!(crate::meters::GROUPS_JOINED_ANEW, "service" => service).increment(0);
    let consumer = membership.client(membership.options.session_timeout)?;
    let (end, ended) = oneshot::channel();
    std::thread::Builder::new()
        .name(format!("group {service}"))
        .spawn(move || {
            membership.run(consumer);
            if end.send(()).is_err() {
                tracing::trace!(service, "nobody waited for the end of the membership");
            }
        })
        .map_err(|error| LogError::Unavailable(format!("thread not started: {error}")))?;
    Ok(Assignment::group(assignment, Box::new(KafkaMember { leaving, ended: Some(ended) })))
}

/// Ends the membership when it is dropped.
#[derive(Debug)]
struct KafkaMember {
    leaving: Arc<AtomicBool>,
    ended: Option<oneshot::Receiver<()>>,
}

impl Member for KafkaMember {
    fn leave(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        self.leaving.store(true, Ordering::Release);
        let ended = self.ended.take();
        Box::pin(async move {
            if let Some(ended) = ended
                && ended.await.is_err()
            {
                tracing::debug!("group client ended early");
            }
        })
    }
}

impl Drop for KafkaMember {
    fn drop(&mut self) {
        self.leaving.store(true, Ordering::Release);
    }
}

/// The thread of a membership.
struct Membership {
    service: &'static str,
    topic: String,
    client_id: String,
    options: KafkaOptions,
    named: Arc<watch::Sender<Named>>,
    leaving: Arc<AtomicBool>,
    /// How many there have been.
    assignments: Arc<AtomicU64>,
}

/// When to look who has what.
struct Look {
    /// Assignments that there had been when the last one was planned.
    assignments: u64,
    due: Option<Instant>,
    /// Between two times of joining anew.
    pause: Duration,
}

impl Look {
    fn is_due(&mut self, assignments: u64) -> bool {
        if assignments != self.assignments {
            self.assignments = assignments;
            self.due = Some(Instant::now() + FIRST_LOOK.max(self.pause.saturating_sub(LOOK_PAUSE)));
        }
        self.due.is_some_and(|due| Instant::now() >= due)
    }

    fn again(&mut self) {
        self.due = Some(Instant::now() + LOOK_PAUSE);
    }
}

impl Membership {
    fn client(&self, session: Duration) -> Result<BaseConsumer<Listener>, LogError> {
        let failed = |error: KafkaError| LogError::Unavailable(format!("no kafka client: {error}"));
        let config = self.options.member(self.service, &self.client_id, session);
        let listener = Listener {
            service: self.service,
            topic: self.topic.clone(),
            partitions: self.options.partitions,
            named: Arc::clone(&self.named),
            assignments: Arc::clone(&self.assignments),
        };
        let consumer = BaseConsumer::from_config_and_context(&config, listener).map_err(failed)?;
        consumer.subscribe(&[&self.topic]).map_err(failed)?;
        Ok(consumer)
    }

    fn run(&self, first: BaseConsumer<Listener>) {
        let mut consumer = first;
        let mut session = self.options.session_timeout;
        let mut complained: Option<(Instant, RDKafkaErrorCode)> = None;
        let mut look = Look { assignments: 0, due: None, pause: LOOK_PAUSE };
        while !self.leaving.load(Ordering::Acquire) {
            let polled = consumer.poll(POLL);
            if look.is_due(self.assignments.load(Ordering::Acquire))
                && self.leaves_some_to_nobody(&consumer, &mut look)
            {
                match self.client(session) {
                    Ok(next) => consumer = next,
                    Err(error) => tracing::warn!(service = self.service, %error, "group not joined"),
                }
                continue;
            }
            let Some(Err(error)) = polled else { continue };
            let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
            if code == RDKafkaErrorCode::InvalidSessionTimeout {
                let refused = session;
                session = COMMON_SESSION.max(session * 2);
                tracing::warn!(
                    service = self.service,
                    refused_ms = refused.as_millis(),
                    used_ms = session.as_millis(),
                    "the broker refuses the session timeout, a longer one is used: a process that dies is replaced later; set \
                     group.min.session.timeout.ms on the brokers, or kafka.session_timeout_ms here"
                );
                match self.client(session) {
                    Ok(next) => consumer = next,
                    Err(error) => tracing::warn!(service = self.service, %error, "group not joined"),
                }
                continue;
            }
            let again =
                complained.is_some_and(|(at, before)| before == code && at.elapsed() < COMPLAIN_EVERY);
            if !again {
                complained = Some((Instant::now(), code));
                let remedy = security::remedy(&self.options, code, &error.to_string()).unwrap_or_default();
                tracing::warn!(service = self.service, %error, remedy, "group does not answer as it should");
            }
        }
        // Leaves the group. It cannot take long unless the brokers are away, and then nobody waits for it.
        drop(consumer);
    }

    /// Whether the group is settled, and yet nobody has some partitions.
    fn leaves_some_to_nobody(&self, consumer: &BaseConsumer<Listener>, look: &mut Look) -> bool {
        let group = self.options.group_name(self.service);
        let wanted = (self.topic.as_str(), self.options.partitions);
        match coverage::missing(consumer, &group, wanted, LOOK_LIMIT) {
            Ok(Some(missing)) if missing.is_empty() => {
                (look.due, look.pause) = (None, LOOK_PAUSE);
                false
            }
            Ok(Some(missing)) => {
                look.due = Some(Instant::now() + look.pause);
                look.pause = (look.pause * 2).min(LONGEST_LOOK_PAUSE);
                metrics::counter!(crate::meters::GROUPS_JOINED_ANEW, "service" => self.service).increment(1);
                tracing::warn!(
                    service = self.service,
                    partitions = missing.len(),
                    first = missing.first().map(|partition| partition.0),
                    "the group has named nobody for some partitions, it is joined anew"
                );
                true
            }
            Ok(None) => {
                look.again();
                false
            }
            Err(error) => {
                look.again();
                tracing::debug!(service = self.service, %error, "who has which partition is not known");
                false
            }
        }
    }
}

/// Hears what the group says.
struct Listener {
    service: &'static str,
    topic: String,
    partitions: u32,
    named: Arc<watch::Sender<Named>>,
    assignments: Arc<AtomicU64>,
}

impl Listener {
    fn assigned(&self, list: &TopicPartitionList) {
        let named = list.elements_for_topic(&self.topic).into_iter();
        let partitions: BTreeSet<Partition> = named
            .filter_map(|element| u32::try_from(element.partition()).ok())
            .filter(|number| *number < self.partitions)
            .map(Partition)
            .collect();
        tracing::info!(
            service = self.service,
            partitions = partitions.len(),
            first = partitions.first().map(|partition| partition.0),
            last = partitions.last().map(|partition| partition.0),
            "partitions assigned"
        );
        self.named.send_replace(Named { partitions, settled: true });
        self.assignments.fetch_add(1, Ordering::AcqRel);
    }

    fn unsettled(&self) {
        self.named.send_modify(|named| named.settled = false);
    }
}

impl ClientContext for Listener {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

impl ConsumerContext for Listener {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let answered: KafkaResult<()> = match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.assigned(list);
                // Accepted, and nothing of it fetched: readers read by hand.
                consumer.assign(&TopicPartitionList::new())
            }
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => {
                tracing::debug!(
                    service = self.service,
                    lost = consumer.assignment_lost(),
                    "partitions are being assigned anew"
                );
                self.unsettled();
                consumer.unassign()
            }
            other => {
                tracing::warn!(service = self.service, error = %RDKafkaErrorCode::from(other), "rebalance failed");
                self.unsettled();
                consumer.unassign()
            }
        };
        if let Err(error) = answered {
            tracing::warn!(service = self.service, %error, "assignment not confirmed");
        }
    }
}

//! What the Kafka log is told, and the client settings that follow from it.
use super::security::Security;
use crate::log::Topic;
use rdkafka::ClientConfig;
use std::collections::BTreeMap;
use std::time::Duration;

/// The largest key and value together that an appender takes, in bytes. A frame is at most half of it.
pub const MAX_RECORD_BYTES: usize = 1_000_000;
/// librdkafka's own limit of a request: a full record and its overhead.
const MAX_MESSAGE_BYTES: usize = MAX_RECORD_BYTES + 16 * 1024;
/// What a topic must take in one batch: the broker's default, so that topics of others' making pass.
pub(super) const REQUIRED_BATCH_BYTES: u64 = 1_048_588;
/// What topics of our making take: room for larger records of later versions.
pub(super) const CREATED_BATCH_BYTES: u64 = 2 * 1024 * 1024;

/// Compression of what appenders send. Readers take any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// None: least CPU in the client. The default, since sealed fields hardly compress.
    #[default]
    None,
    /// LZ4: about half the bytes on disk and on the wire.
    Lz4,
}

/// How to reach the brokers, and what the topics are to be like.
#[derive(Clone)]
pub struct KafkaOptions {
    /// `host:port` of some brokers, separated by commas.
    pub brokers: String,
    /// What the topics' names begin with.
    pub topic_prefix: String,
    /// Partitions of every topic.
    pub partitions: u32,
    /// Copies of each partition; `None`: the broker's default.
    pub replication: Option<u32>,
    /// Copies that must have a record before it is acknowledged; `None`: the broker's default.
    pub min_insync: Option<u32>,
    /// How long `ingest` keeps the bodies. A person's erasure is complete when it has passed.
    pub ingest_retention: Duration,
    /// How long `outcomes` keeps answers to callers who wait.
    pub outcomes_retention: Duration,
    /// Compression of what is appended.
    pub compression: Compression,
    /// Longest time for one question to the brokers: bounds, topics, settings, one record.
    pub request_timeout: Duration,
    /// After how long without a record a reader asks whether there is one that the client does not bring. An idle process
    /// asks once in this time for each partition that it reads.
    pub reader_patience: Duration,
    /// Longest time from an append to its acknowledgement; then the producer is discarded (rule 7).
    pub append_deadline: Duration,
    /// After how long without a sign of life another process takes a process's partitions over. Brokers refuse less than
    /// their `group.min.session.timeout.ms`, 6 s unless told otherwise; then 6 s are used.
    pub session_timeout: Duration,
    /// How the connection is protected, and who we are.
    pub security: Security,
    /// librdkafka settings on top. They may hold secrets and are never printed.
    pub client: BTreeMap<String, String>,
}

impl KafkaOptions {
    /// The defaults for these brokers: prefix `tributary.`, 64 partitions, 30 days of `ingest`.
    #[must_use]
    pub fn new(brokers: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            topic_prefix: "tributary.".to_owned(),
            partitions: 64,
            replication: None,
            min_insync: None,
            ingest_retention: Duration::from_secs(30 * 24 * 3600),
            outcomes_retention: Duration::from_secs(10 * 60),
            compression: Compression::None,
            request_timeout: Duration::from_secs(10),
            reader_patience: Duration::from_secs(30),
            append_deadline: Duration::from_secs(30),
            session_timeout: Duration::from_secs(3),
            security: Security::default(),
            client: BTreeMap::new(),
        }
    }

    /// The topic's full name.
    #[must_use]
    pub fn topic_name(&self, topic: Topic) -> String {
        format!("{}{}", self.topic_prefix, topic.name())
    }

    fn base(&self, role: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", format!("tributary-{role}"))
            .set("socket.nagle.disable", "true")
            .set("socket.keepalive.enable", "true")
            // A broker that comes back is used at once; one that stays away is asked each second.
            .set("reconnect.backoff.ms", "20")
            .set("reconnect.backoff.max.ms", "1000")
            .set("log.connection.close", "false");
        self.security.apply(&mut config);
        config
    }

    /// The operator's settings come last, but for those that the protocol rests on.
    fn with_operator_settings(&self, mut config: ClientConfig, fixed: &[(&str, &str)]) -> ClientConfig {
        for (name, value) in &self.client {
            config.set(name, value);
        }
        for (name, value) in fixed {
            config.set(*name, *value);
        }
        config
    }

    /// For the appenders of one topic.
    pub(super) fn producer(&self, topic: Topic) -> ClientConfig {
        let mut config = self.base(topic.name());
        config
            // No waiting for more: while requests are in flight, what comes meanwhile becomes the next batch.
            .set("linger.ms", "0")
            .set("message.max.bytes", MAX_MESSAGE_BYTES.to_string())
            .set("retry.backoff.ms", "20")
            .set("retry.backoff.max.ms", "500")
            .set(
                "compression.type",
                match self.compression {
                    Compression::None => "none",
                    Compression::Lz4 => "lz4",
                },
            );
        self.with_operator_settings(
            config,
            &[
                ("acks", "all"),
                ("enable.idempotence", "true"),
                // The client never gives up on its own: a message that times out in flight may have landed, and its
                // successors go on, which is a hole. The deadline is ours, and it discards the whole producer.
                ("message.timeout.ms", "0"),
                // Above the appender's own bounds, which refuse a batch as a whole.
                ("queue.buffering.max.messages", "1000000"),
                ("queue.buffering.max.kbytes", "1048576"),
            ],
        )
    }

    /// For readers that follow partitions.
    pub(super) fn tail(&self) -> ClientConfig {
        let mut config = self.reading("reader");
        config
            // Brokers answer as soon as there is a byte; this is how long a partition that is newly read may wait for
            // the request that is already out.
            .set("fetch.wait.max.ms", "20")
            .set("fetch.max.bytes", (8 * 1024 * 1024).to_string())
            .set("max.partition.fetch.bytes", (1024 * 1024).to_string())
            // Of each partition: at most this (and one fetch) waits in memory for a slow reader.
            .set("queued.max.messages.kbytes", "1024")
            .set("queued.min.messages", "10000");
        self.with_operator_settings(config, READER_FIXED)
    }

    /// For single records: fetches no more than the batch that holds the record.
    pub(super) fn point(&self) -> ClientConfig {
        let mut config = self.reading("point-reader");
        config
            .set("fetch.wait.max.ms", "5")
            .set("max.partition.fetch.bytes", "1")
            .set("queued.min.messages", "1");
        self.with_operator_settings(config, READER_FIXED)
    }

    /// For questions about the cluster. A consumer, since asking as a producer could create the topic that is asked for.
    pub(super) fn control(&self) -> ClientConfig {
        self.with_operator_settings(self.reading("control"), READER_FIXED)
    }

    /// For creating topics and reading their settings.
    pub(super) fn admin(&self) -> ClientConfig {
        self.with_operator_settings(self.base("admin"), &[])
    }

    /// For membership in a service's group, which says who has which partition and carries nothing else.
    pub(super) fn member(&self, service: &str, client_id: &str, session: Duration) -> ClientConfig {
        let mut fixed = READER_FIXED.to_vec();
        let group = self.group_name(service);
        let (session, heartbeat) = (session.as_millis().to_string(), (session / 6).as_millis().to_string());
        fixed.extend([
            ("group.id", group.as_str()),
            ("client.id", client_id),
            ("session.timeout.ms", session.as_str()),
            // A rebalance reaches every member with its next sign of life.
            ("heartbeat.interval.ms", heartbeat.as_str()),
            // The client that joins does nothing else, so it is polled all the time.
            ("max.poll.interval.ms", "60000"),
            // Eager, and known to work: see the list of the client's traps.
            ("partition.assignment.strategy", "range"),
            ("group.protocol", "classic"),
        ]);
        self.with_operator_settings(self.base("member"), &fixed)
    }

    /// The consumer group of a service.
    #[must_use]
    pub fn group_name(&self, service: &str) -> String {
        format!("{}{service}", self.topic_prefix)
    }

    fn reading(&self, role: &str) -> ClientConfig {
        let mut config = self.base(role);
        config
            // Named because the client wants a name to assign partitions by hand; the group is never joined, only looked for.
            .set("group.id", format!("{}reader", self.topic_prefix))
            .set("message.max.bytes", CREATED_BATCH_BYTES.to_string())
            .set("fetch.min.bytes", "1")
            // How soon a partition whose queue was full is fetched again. With the default, a second, one in four reads of
            // single records took that second: the pause outlives the reader that caused it.
            .set("fetch.queue.backoff.ms", "2")
            .set("fetch.error.backoff.ms", "50");
        config
    }
}

/// What the protocol rests on, whatever the operator sets.
const READER_FIXED: &[(&str, &str)] = &[
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    // A position that the log does not have is a finding, never a reason to start elsewhere (rule 10).
    ("auto.offset.reset", "error"),
    ("enable.partition.eof", "false"),
    ("check.crcs", "true"),
    ("isolation.level", "read_uncommitted"),
    ("allow.auto.create.topics", "false"),
];

impl std::fmt::Debug for KafkaOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaOptions")
            .field("brokers", &self.brokers)
            .field("topic_prefix", &self.topic_prefix)
            .field("partitions", &self.partitions)
            .field("security", &self.security)
            .field("client", &self.client.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_the_protocol_rests_on_cannot_be_set_otherwise() {
        let mut options = KafkaOptions::new("127.0.0.1:1");
        for (name, value) in [
            ("acks", "1"),
            ("enable.idempotence", "false"),
            ("message.timeout.ms", "1000"),
            ("auto.offset.reset", "earliest"),
            ("enable.auto.commit", "true"),
            ("isolation.level", "read_committed"),
            ("allow.auto.create.topics", "true"),
            ("partition.assignment.strategy", "cooperative-sticky"),
            ("group.protocol", "consumer"),
        ] {
            options.client.insert(name.to_owned(), value.to_owned());
        }
        let producer = options.producer(Topic::Facts);
        for (name, value) in [("acks", "all"), ("enable.idempotence", "true"), ("message.timeout.ms", "0")] {
            assert_eq!(producer.get(name), Some(value), "{name}");
        }
        let member = options.member("normalizer", "me", Duration::from_secs(3));
        for reading in [options.tail(), options.point(), options.control(), member.clone()] {
            assert_eq!(reading.get("auto.offset.reset"), Some("error"));
            assert_eq!(reading.get("enable.auto.commit"), Some("false"));
            assert_eq!(reading.get("isolation.level"), Some("read_uncommitted"));
            assert_eq!(reading.get("allow.auto.create.topics"), Some("false"));
        }
        assert_eq!(member.get("partition.assignment.strategy"), Some("range"));
        assert_eq!(member.get("group.protocol"), Some("classic"));
        // Neither transactions nor static membership, nor an error of the client's own making where we have a better one.
        for config in [&producer, &member] {
            for name in ["transactional.id", "group.instance.id", "enable.gapless.guarantee"] {
                assert_eq!(config.get(name), None, "{name}");
            }
        }
    }
}

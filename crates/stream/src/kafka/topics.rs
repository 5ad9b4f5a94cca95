//! The topics: how they are made, and the checks of what promises rest on (rule 10).
use super::context::{Context, unavailable};
use super::options::{CREATED_BATCH_BYTES, KafkaOptions, REQUIRED_BATCH_BYTES};
use super::{KafkaLog, watermarks};
use crate::log::{LogError, Topic};
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// A new gateway must see both a key and its revocation, however long it took to start (rule 9).
const COMPACTION_LAG: Duration = Duration::from_secs(24 * 3600);
/// Pause between looks at whether new topics are known to the brokers.
const PROPAGATION_PAUSE: Duration = Duration::from_millis(50);

/// What a setting must be.
enum Rule {
    Is(String),
    AtLeast(u64),
}

/// The settings that promises rest on.
fn rules(options: &KafkaOptions, topic: Topic) -> Vec<(&'static str, Rule)> {
    let is = |value: &str| Rule::Is(value.to_owned());
    let millis = |duration: Duration| Rule::Is(duration.as_millis().to_string());
    let mut rules = vec![
        ("unclean.leader.election.enable", is("false")),
        ("max.message.bytes", Rule::AtLeast(REQUIRED_BATCH_BYTES)),
    ];
    match topic {
        Topic::Ingest => rules.extend([
            ("cleanup.policy", is("delete")),
            ("retention.ms", millis(options.ingest_retention)),
            ("retention.bytes", is("-1")),
            // The clock of a partition is the broker's, never a writer's claim (rule 11).
            ("message.timestamp.type", is("LogAppendTime")),
        ]),
        Topic::Facts | Topic::Attributed | Topic::Commissions => rules.extend([
            ("cleanup.policy", is("delete")),
            ("retention.ms", is("-1")),
            ("retention.bytes", is("-1")),
        ]),
        Topic::Outcomes => rules.push(("cleanup.policy", is("delete"))),
        Topic::GatewayConfig => rules.extend([
            ("cleanup.policy", is("compact")),
            ("min.compaction.lag.ms", Rule::AtLeast(COMPACTION_LAG.as_millis() as u64)),
        ]),
    }
    rules
}

/// The settings of a topic of our making.
fn settings(options: &KafkaOptions, topic: Topic) -> Vec<(&'static str, String)> {
    let mut settings: Vec<_> = rules(options, topic)
        .into_iter()
        .map(|(name, rule)| match rule {
            Rule::Is(value) => (name, value),
            Rule::AtLeast(_) if name == "max.message.bytes" => (name, CREATED_BATCH_BYTES.to_string()),
            Rule::AtLeast(least) => (name, least.to_string()),
        })
        .collect();
    if topic != Topic::Ingest {
        settings.push(("message.timestamp.type", "LogAppendTime".to_owned()));
    }
    if topic == Topic::Outcomes {
        let retention = options.outcomes_retention.as_millis().to_string();
        settings.push(("retention.ms", retention.clone()));
        // Only closed segments expire.
        settings.push(("segment.ms", retention));
    }
    if let Some(copies) = options.min_insync {
        settings.push(("min.insync.replicas", copies.to_string()));
    }
    settings
}

impl KafkaLog {
    /// Creates the topics that are missing and waits until the brokers serve them. Those that exist are left as they are:
    /// [`Log::check`](crate::log::Log::check) tells what is wrong with them.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] when the brokers do not answer, [`LogError::Misconfigured`] when they refuse.
    pub async fn ensure_topics(&self) -> Result<(), LogError> {
        let known = self.topics().await?;
        let missing: Vec<_> = Topic::ALL
            .into_iter()
            .filter(|topic| !known.contains_key(topic))
            .map(|topic| (topic, self.options().topic_name(topic), settings(self.options(), topic)))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let copies = self.options().replication.and_then(|copies| i32::try_from(copies).ok()).unwrap_or(-1);
        let count = i32::try_from(self.options().partitions).unwrap_or(i32::MAX);
        let topics: Vec<_> = missing
            .iter()
            .map(|(_, name, settings)| {
                let topic = NewTopic::new(name, count, TopicReplication::Fixed(copies));
                settings.iter().fold(topic, |topic, (name, value)| topic.set(name, value))
            })
            .collect();
        let admin = self.admin()?;
        let results = admin.create_topics(&topics, &self.admin_options()).await;
        dispose(admin);
        for result in results.map_err(|error| unavailable("topics not created", &error))? {
            match result {
                Ok(name) => tracing::info!(topic = name, partitions = count, "topic created"),
                // Another process was faster.
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => {
                    return Err(LogError::Misconfigured(format!("topic {name} not created: {code}")));
                }
            }
        }
        self.until_known().await?;
        self.until_served(missing.into_iter().map(|(_, name, _)| name).collect()).await
    }

    /// A partition is announced seconds before its leader knows of it: the first reads would meet that.
    async fn until_served(&self, names: Vec<String>) -> Result<(), LogError> {
        let count = i32::try_from(self.options().partitions).unwrap_or(i32::MAX);
        self.blocking("new topics not served", move |consumer, timeout| {
            for name in &names {
                for partition in 0..count {
                    watermarks(consumer, name, partition, timeout)?;
                }
            }
            Ok(())
        })
        .await
    }

    async fn until_known(&self) -> Result<(), LogError> {
        let deadline = Instant::now() + self.options().request_timeout;
        loop {
            let known = self.topics().await?;
            match Topic::ALL.into_iter().find(|topic| !known.get(topic).is_some_and(|found| found.led)) {
                None => return Ok(()),
                Some(topic) if Instant::now() > deadline => {
                    let name = self.options().topic_name(topic);
                    return Err(LogError::Unavailable(format!(
                        "topic {name} was created but has no leaders"
                    )));
                }
                Some(_) => tokio::time::sleep(PROPAGATION_PAUSE).await,
            }
        }
    }

    /// What the brokers say of our topics. All topics are asked for: to ask for one by name can create it.
    async fn topics(&self) -> Result<HashMap<Topic, Found>, LogError> {
        let names: HashMap<_, _> =
            Topic::ALL.into_iter().map(|topic| (self.options().topic_name(topic), topic)).collect();
        self.blocking("topics not listed", move |consumer, timeout| {
            let metadata = consumer.fetch_metadata(None, timeout)?;
            let ours = metadata.topics().iter().filter(|topic| topic.error().is_none());
            Ok(ours.filter_map(|topic| Some((*names.get(topic.name())?, Found::of(topic)))).collect())
        })
        .await
    }

    /// All that is wrong with the topics, each with what mends it.
    pub(super) async fn check_topics(&self) -> Result<(), LogError> {
        let known = self.topics().await?;
        let mut problems = Vec::new();
        for topic in Topic::ALL {
            let name = self.options().topic_name(topic);
            match known.get(&topic) {
                None => problems.push(format!("topic {name} does not exist: create it with `tributary topics`")),
                Some(found) if found.partitions != self.options().partitions => problems.push(format!(
                    "topic {name} has {} partitions instead of {}: a program's partition must never change, so make a \
                     new set of topics under another --topic-prefix",
                    found.partitions,
                    self.options().partitions
                )),
                Some(_) => {}
            }
        }
        for (topic, resource) in self.settings_of(&known).await? {
            self.check_settings(topic, &known[&topic], &resource, &mut problems);
        }
        if problems.is_empty() { Ok(()) } else { Err(LogError::Misconfigured(problems.join("\n"))) }
    }

    async fn settings_of(
        &self,
        known: &HashMap<Topic, Found>,
    ) -> Result<Vec<(Topic, ConfigResource)>, LogError> {
        if known.is_empty() {
            return Ok(Vec::new());
        }
        let asked: Vec<_> = known.keys().map(|topic| (*topic, self.options().topic_name(*topic))).collect();
        let specifiers: Vec<_> = asked.iter().map(|(_, name)| ResourceSpecifier::Topic(name)).collect();
        let admin = self.admin()?;
        let answers = admin.describe_configs(&specifiers, &self.admin_options()).await;
        dispose(admin);
        let failed = |error| unavailable("topic settings not read", &error);
        let mut found = Vec::with_capacity(asked.len());
        for answer in answers.map_err(failed)? {
            let resource = answer.map_err(|code| failed(KafkaError::AdminOp(code)))?;
            let asked = asked.iter().find(|(_, name)| {
                resource.specifier == rdkafka::admin::OwnedResourceSpecifier::Topic(name.clone())
            });
            found.extend(asked.map(|(topic, _)| (*topic, resource)));
        }
        Ok(found)
    }

    fn check_settings(
        &self,
        topic: Topic,
        found: &Found,
        resource: &ConfigResource,
        problems: &mut Vec<String>,
    ) {
        let name = self.options().topic_name(topic);
        let value =
            |setting: &str| resource.get(setting).and_then(|entry| entry.value.as_deref()).unwrap_or("");
        for (setting, rule) in rules(self.options(), topic) {
            let actual = value(setting);
            let (holds, wanted, relation) = match rule {
                Rule::Is(wanted) => (actual == wanted, wanted, "instead of"),
                Rule::AtLeast(least) => {
                    let holds = actual.parse().is_ok_and(|actual: u64| actual >= least);
                    (holds, least.to_string(), "which is less than")
                }
            };
            if !holds {
                problems.push(format!(
                    "topic {name} has {setting}={actual} {relation} {wanted}: kafka-configs.sh --bootstrap-server {} \
                     --alter --entity-type topics --entity-name {name} --add-config {setting}={wanted}",
                    self.options().brokers
                ));
            }
        }
        let in_sync = value("min.insync.replicas").parse().unwrap_or(1);
        if in_sync > found.replicas {
            problems.push(format!(
                "topic {name} has min.insync.replicas={in_sync} but {} replicas: no append can succeed",
                found.replicas
            ));
        }
        let replicas = found.replicas;
        if replicas < 3 || in_sync < 2 {
            tracing::warn!(
                topic = name,
                replicas,
                in_sync,
                "acknowledged records survive a broker's crash but not the loss of its machine"
            );
        } else {
            tracing::info!(topic = name, replicas, in_sync, "topic checked");
        }
    }

    fn admin(&self) -> Result<AdminClient<Context>, LogError> {
        AdminClient::from_config_and_context(&self.options().admin(), Context)
            .map_err(|error| unavailable("no kafka client", &error))
    }

    fn admin_options(&self) -> AdminOptions {
        let timeout = Some(self.options().request_timeout);
        AdminOptions::new().request_timeout(timeout).operation_timeout(timeout)
    }
}

/// Destroying a client waits for its threads, which no task may do.
fn dispose(admin: AdminClient<Context>) {
    drop(tokio::task::spawn_blocking(move || drop(admin)));
}

/// What the brokers say of a topic.
struct Found {
    partitions: u32,
    /// Of the partition with the fewest.
    replicas: usize,
    /// Every partition has a leader.
    led: bool,
}

impl Found {
    fn of(topic: &MetadataTopic) -> Self {
        Self {
            partitions: u32::try_from(topic.partitions().len()).unwrap_or(u32::MAX),
            replicas: topic
                .partitions()
                .iter()
                .map(|partition| partition.replicas().len())
                .min()
                .unwrap_or(0),
            led: topic.partitions().iter().all(|partition| partition.leader() >= 0),
        }
    }
}

//! The topics: how they are made, and the checks of what promises rest on (rule 10).
use super::context::{Context, unavailable};
use super::options::{CREATED_BATCH_BYTES, KafkaOptions, REQUIRED_BATCH_BYTES};
use super::security::{cluster, is_forbidden, not_allowed};
use super::{KafkaLog, watermarks};
use crate::log::{LogError, Topic};
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, OwnedResourceSpecifier, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::MetadataTopic;
use std::collections::HashMap;
use std::sync::atomic::Ordering;
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
    if let Some(copies) = options.min_insync {
        rules.push(("min.insync.replicas", Rule::AtLeast(copies.into())));
    }
    if !matches!(topic, Topic::Outcomes | Topic::GatewayConfig) {
        // The clock of a partition is the broker's, never a writer's claim (rule 11), and what is reported of the others
        // is on the same clock.
        rules.extend([("cleanup.policy", is("delete")), ("message.timestamp.type", is("LogAppendTime"))]);
    }
    match topic {
        Topic::Ingest => {
            rules.extend([("retention.ms", millis(options.ingest_retention)), ("retention.bytes", is("-1"))]);
        }
        Topic::Facts | Topic::Attributed | Topic::Commissions => {
            rules.extend([("retention.ms", is("-1")), ("retention.bytes", is("-1"))]);
        }
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
    if matches!(topic, Topic::Outcomes | Topic::GatewayConfig) {
        settings.push(("message.timestamp.type", "LogAppendTime".to_owned()));
    }
    if topic == Topic::Outcomes {
        let retention = options.outcomes_retention.as_millis().to_string();
        settings.push(("retention.ms", retention.clone()));
        // Only closed segments expire.
        settings.push(("segment.ms", retention));
    }
    settings
}

/// What is wrong with a topic, and what mends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicProblem {
    /// Its full name.
    pub topic: String,
    /// What is wrong: a setting of the topic, or `partitions`, `replicas`, `exists`, `access`.
    pub setting: String,
    /// As it is.
    pub found: String,
    /// As it must be.
    pub wanted: String,
    /// The same as a sentence without its subject.
    pub what: String,
    /// The command or setting that mends it.
    pub remedy: String,
}

impl std::fmt::Display for TopicProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "topic {} {}: {}", self.topic, self.what, self.remedy)
    }
}

/// What is wrong with a topic whose name is still to be written.
fn problem(
    setting: &str,
    found: impl ToString,
    wanted: impl ToString,
    what: String,
    remedy: String,
) -> TopicProblem {
    let (found, wanted) = (found.to_string(), wanted.to_string());
    TopicProblem { topic: String::new(), setting: setting.to_owned(), found, wanted, what, remedy }
}

impl KafkaLog {
    /// Creates the topics that are missing and waits until the brokers serve them. Those that exist are left as they are:
    /// [`Log::check`](crate::log::Log::check) tells what is wrong with them.
    ///
    /// Returns the names of those that it created.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] when the brokers do not answer, [`LogError::Misconfigured`] when they refuse.
    pub async fn ensure_topics(&self) -> Result<Vec<String>, LogError> {
        let known = self.topics().await?;
        let missing: Vec<_> = Topic::ALL
            .into_iter()
            .filter(|topic| !known.contains_key(topic))
            .map(|topic| (topic, self.options().topic_name(topic), settings(self.options(), topic)))
            .collect();
        if missing.is_empty() {
            return Ok(Vec::new());
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
        let mut created = Vec::new();
        for result in results.map_err(|error| unavailable("topics not created", &error))? {
            match result {
                Ok(name) => {
                    tracing::info!(topic = name, partitions = count, "topic created");
                    created.push(name);
                }
                // Another process was faster.
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => return Err(self.not_created(&name, code)),
            }
        }
        self.until_known().await?;
        self.until_served(missing.into_iter().map(|(_, name, _)| name).collect()).await?;
        Ok(created)
    }

    fn not_created(&self, name: &str, code: RDKafkaErrorCode) -> LogError {
        let remedy = match code {
            code if is_forbidden(code) => {
                let allowing = not_allowed(self.options(), "Create", &format!("--topic {name}"));
                format!("run `tributary topics` as somebody who may create topics; {allowing}")
            }
            RDKafkaErrorCode::InvalidReplicationFactor => format!(
                "there are fewer brokers than copies are wanted; set kafka.replication (now {})",
                self.options()
                    .replication
                    .map_or_else(|| "the brokers' default".to_owned(), |count| count.to_string())
            ),
            _ => "see the brokers' log".to_owned(),
        };
        LogError::Misconfigured(format!("topic {name} does not exist and was not created: {code}; {remedy}"))
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

    /// All that is wrong with the topics, each with what mends it. What the brokers' choice of copies cannot survive is
    /// logged, not refused.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] when the brokers do not answer.
    pub async fn topic_problems(&self) -> Result<Vec<TopicProblem>, LogError> {
        let known = self.topics().await?;
        let mut problems = Vec::new();
        let mut thin = Vec::new();
        let unseen = self.unseen(&known).await?;
        for (topic, resource) in Topic::ALL.into_iter().zip(self.settings().await?) {
            let name = self.options().topic_name(topic);
            let found = match (known.get(&topic), unseen.get(&topic)) {
                // The wrapper drops the error of a single topic: then there are no settings.
                (Some(_), _) if resource.entries.is_empty() => {
                    vec![self.hidden(&name, "has settings that we may not see", "DescribeConfigs")]
                }
                (Some(found), _) => self.wrong_in(topic, &name, found, &resource, &mut thin),
                (None, Some(code)) if is_forbidden(*code) => {
                    let operations = "Describe --operation DescribeConfigs";
                    vec![self.hidden(&name, "is not there, or we may not see it", operations)]
                }
                (None, _) => vec![problem(
                    "exists",
                    false,
                    true,
                    "does not exist".to_owned(),
                    "create it with `tributary topics`".to_owned(),
                )],
            };
            problems.extend(found.into_iter().map(|problem| TopicProblem { topic: name.clone(), ..problem }));
        }
        if !thin.is_empty() && !self.said_thin.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                topics = thin.join(", "),
                "acknowledged records survive a broker's crash but not the loss of its machine: use 3 replicas and \
                 min.insync.replicas 2"
            );
        }
        Ok(problems)
    }

    /// [`KafkaLog::topic_problems`] as an error.
    pub(super) async fn check_topics(&self) -> Result<(), LogError> {
        let problems = self.topic_problems().await?;
        if problems.is_empty() {
            return Ok(());
        }
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        Err(LogError::Misconfigured(lines.join("\n")))
    }

    fn hidden(&self, name: &str, what: &str, operations: &str) -> TopicProblem {
        let remedy = not_allowed(self.options(), operations, &format!("--topic {name}"));
        problem("access", "none", "Describe and DescribeConfigs", what.to_owned(), remedy)
    }

    /// Why topics are not among those that were listed: the brokers list only what we may see. By its name each is asked
    /// for as a consumer, whose settings forbid to create it by that.
    async fn unseen(
        &self,
        known: &HashMap<Topic, Found>,
    ) -> Result<HashMap<Topic, RDKafkaErrorCode>, LogError> {
        let missing: Vec<_> = Topic::ALL
            .into_iter()
            .filter(|topic| !known.contains_key(topic))
            .map(|topic| (topic, self.options().topic_name(topic)))
            .collect();
        self.blocking("topics not listed", move |consumer, timeout| {
            let mut codes = HashMap::new();
            for (topic, name) in &missing {
                let metadata = consumer.fetch_metadata(Some(name), timeout)?;
                let code = metadata.topics().iter().find_map(|found| found.error());
                codes.extend(code.map(|code| (*topic, RDKafkaErrorCode::from(code))));
            }
            Ok(codes)
        })
        .await
    }

    /// The settings of every topic, in the order of [`Topic::ALL`]; none of those that are not there or not ours to see.
    async fn settings(&self) -> Result<Vec<ConfigResource>, LogError> {
        let names: Vec<_> = Topic::ALL.iter().map(|topic| self.options().topic_name(*topic)).collect();
        let specifiers: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        let admin = self.admin()?;
        let answers = admin.describe_configs(&specifiers, &self.admin_options()).await;
        dispose(admin);
        let failed = |error| unavailable("topic settings not read", &error);
        let mut answers: Vec<_> = answers.map_err(failed)?.into_iter().flatten().collect();
        let in_order = names.iter().map(|name| {
            let wanted = OwnedResourceSpecifier::Topic(name.clone());
            let place = answers.iter().position(|answer| answer.specifier == wanted);
            place.map_or(ConfigResource { specifier: wanted, entries: Vec::new() }, |place| {
                answers.swap_remove(place)
            })
        });
        Ok(in_order.collect())
    }

    fn wrong_in(
        &self,
        topic: Topic,
        name: &str,
        found: &Found,
        resource: &ConfigResource,
        thin: &mut Vec<String>,
    ) -> Vec<TopicProblem> {
        let mut problems = Vec::new();
        let partitions = self.options().partitions;
        if found.partitions != partitions {
            problems.push(problem(
                "partitions",
                found.partitions,
                partitions,
                format!("has {} partitions instead of {partitions}", found.partitions),
                format!(
                    "a program's partition must never change: set log.partitions to {} if that is what it was made with, else \
                     make a new set of topics under another kafka.topic_prefix",
                    found.partitions
                ),
            ));
        }
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
                let what = format!("has {setting}={actual} {relation} {wanted}");
                problems.push(problem(setting, actual, &wanted, what, self.alter(name, setting, &wanted)));
            }
        }
        let in_sync = value("min.insync.replicas").parse().unwrap_or(1);
        problems.extend(self.too_few_copies(found, in_sync));
        if found.replicas < 3 || in_sync < 2 {
            thin.push(format!("{name} ({} replicas, {in_sync} in sync)", found.replicas));
        }
        problems
    }

    fn too_few_copies(&self, found: &Found, in_sync: usize) -> Option<TopicProblem> {
        let replicas = found.replicas;
        let wanted = self.options().replication.map_or(0, |count| count as usize).max(in_sync);
        if replicas < wanted {
            let what = if replicas < in_sync {
                format!("has min.insync.replicas={in_sync} but {replicas} replicas: no append can succeed")
            } else {
                format!("has {replicas} replicas instead of {wanted}")
            };
            let remedy = format!(
                "add copies with kafka-reassign-partitions.sh {}, or lower kafka.replication and min.insync.replicas",
                cluster(self.options())
            );
            return Some(problem("replicas", replicas, wanted, what, remedy));
        }
        None
    }

    /// The command that gives a topic a setting.
    fn alter(&self, name: &str, setting: &str, wanted: &str) -> String {
        format!(
            "kafka-configs.sh {} --alter --entity-type topics --entity-name {name} --add-config {setting}={wanted}",
            cluster(self.options())
        )
    }

    fn admin(&self) -> Result<AdminClient<Context>, LogError> {
        AdminClient::from_config_and_context(&self.options().admin(), Context::default())
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

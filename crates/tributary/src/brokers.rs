//! The Kafka that the settings mean, and `topics`: creates what is missing there and says what is wrong.
use crate::cli::Topics;
use crate::parts::{configure_quietly, open_kafka};
use crate::up::print_line;
use anyhow::Context as _;
use kit::config::{Config, KafkaSecurity};
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;
use stream::kafka::{KafkaOptions, Password, Protocol, Sasl, Security, TopicProblem};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// A problem was found.
const PROBLEMS: u8 = 1;

/// What the settings say of the brokers at `brokers`.
pub(crate) fn kafka_options(config: &Config, brokers: &str) -> anyhow::Result<KafkaOptions> {
    let mut options = KafkaOptions::new(brokers);
    options.topic_prefix.clone_from(&config.kafka.topic_prefix);
    options.session_timeout = config.kafka.session_timeout;
    options.partitions = config.log.partitions;
    options.ingest_retention = DAY * config.log.ingest_retention_days;
    options.replication = config.kafka.replication;
    options.min_insync = config.kafka.min_insync;
    options.security = security(&config.kafka.security)?;
    Ok(options)
}

fn security(settings: &KafkaSecurity) -> anyhow::Result<Security> {
    let sasl = settings.sasl.as_ref().map(|sasl| Sasl {
        mechanism: sasl.mechanism.clone(),
        username: sasl.username.clone(),
        password: Password::new(sasl.password.expose()),
    });
    Ok(Security {
        protocol: Protocol::named(&settings.protocol).context("kafka.security_protocol")?,
        ca: settings.ssl_ca.clone(),
        certificate: settings.ssl_certificate.clone(),
        key: settings.ssl_key.clone(),
        key_password: settings.ssl_key_password.as_ref().map(|password| Password::new(password.expose())),
        sasl,
    })
}

/// Creates the topics that are missing, unless only asked to check, and says what is wrong with those that are there.
/// Status 0: nothing; 1: something; 2 (an error here): it could not be found out.
pub(crate) async fn topics(args: &Topics) -> anyhow::Result<ExitCode> {
    let config = configure_quietly(&args.layers())?;
    let kafka = open_kafka(&config).await?;
    let created = if args.check { Vec::new() } else { kafka.ensure_topics().await? };
    let problems = kafka.topic_problems().await?;
    if args.json {
        let problems: Vec<_> = problems.iter().map(as_json).collect();
        print_line(
            &json!({"ok": problems.is_empty(), "created": created, "problems": problems}).to_string(),
        )?;
    } else {
        for name in &created {
            print_line(&format!("created {name}"))?;
        }
        for problem in &problems {
            print_line(&problem.to_string())?;
        }
        if problems.is_empty() {
            print_line(&format!(
                "topics with the prefix {} are there, with {} partitions and the settings that are needed",
                config.kafka.topic_prefix, config.log.partitions
            ))?;
        }
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(PROBLEMS) })
}

fn as_json(problem: &TopicProblem) -> serde_json::Value {
    let TopicProblem { topic, setting, found, wanted, what, remedy } = problem;
    json!({"topic": topic, "setting": setting, "found": found, "wanted": wanted, "what": what, "remedy": remedy})
}

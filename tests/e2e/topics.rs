//! `tributary topics`: what it makes, what it finds, and that the commands it prints mend what they say they mend.
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::process::{Command, Output};
use testkit::kafka::{KafkaBroker, obtain};

/// The command, on topics of its own.
struct Topics {
    brokers: String,
    prefix: String,
}

impl Topics {
    fn run(&self, more: &[&str]) -> Result<Output> {
        Ok(Command::new(env!("CARGO_BIN_EXE_tributary"))
            .args(["topics", "--json", "--kafka-brokers", &self.brokers, "--topic-prefix", &self.prefix])
            .args(more)
            .output()?)
    }

    /// Its status, and what it says.
    fn says(&self, more: &[&str]) -> Result<(Option<i32>, Value)> {
        let output = self.run(more)?;
        let said = serde_json::from_slice(&output.stdout);
        Ok((
            output.status.code(),
            said.with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?,
        ))
    }
}

/// Runs a command line that names a script of Kafka's.
fn kafka(line: &str) -> Result<()> {
    let mut words = line.split_whitespace();
    let class = match words.next() {
        Some("kafka-configs.sh") => "kafka.admin.ConfigCommand",
        other => anyhow::bail!("{other:?} is no script that is known here"),
    };
    let output = Command::new("java")
        .args(["-XX:TieredStopAtLevel=1", "-cp", &obtain()?, class])
        .args(words)
        .output()?;
    ensure!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_made_as_promises_need_them_and_what_is_wrong_is_mended_by_what_is_printed() -> Result<()>
{
    let options = KafkaBroker::shared().await?.options(2);
    let topics = Topics { brokers: options.brokers.clone(), prefix: options.topic_prefix.clone() };
    let (status, said) = topics.says(&["--check", "--partitions", "2"])?;
    assert_eq!(status, Some(1));
    let missing = said["problems"].as_array().context("problems")?;
    assert!(missing.len() == 6 && missing.iter().all(|problem| problem["setting"] == "exists"), "{said}");
    assert!(said["created"] == serde_json::json!([]), "checking creates nothing: {said}");

    let (status, said) = topics.says(&["--partitions", "2"])?;
    assert_eq!(
        (status, &said["ok"], said["created"].as_array().map(Vec::len)),
        (Some(0), &true.into(), Some(6))
    );
    let (status, said) = topics.says(&["--partitions", "2"])?;
    assert_eq!((status, &said["created"]), (Some(0), &serde_json::json!([])), "{said}");

    let (name, config) =
        (|topic: &str| format!("{}{topic}", topics.prefix), "kafka-configs.sh --bootstrap-server");
    kafka(&format!(
        "{config} {} --alter --entity-type topics --entity-name {} --add-config \
         cleanup.policy=compact,retention.ms=1000,message.timestamp.type=CreateTime,unclean.leader.election.enable=true",
        topics.brokers,
        name("facts.v1")
    ))?;
    kafka(&format!(
        "{config} {} --alter --entity-type topics --entity-name {} --delete-config min.compaction.lag.ms",
        topics.brokers,
        name("gateway-config.v1")
    ))?;
    let (status, said) = topics.says(&["--partitions", "2"])?;
    assert_eq!(status, Some(1));
    let problems = said["problems"].as_array().context("problems")?;
    let mut found: Vec<_> = problems
        .iter()
        .map(|problem| format!("{}: {}", problem["topic"], problem["setting"]).replace('"', ""))
        .collect();
    found.sort();
    let of_facts = |setting: &str| format!("{}: {setting}", name("facts.v1"));
    assert_eq!(
        found,
        [
            of_facts("cleanup.policy"),
            of_facts("message.timestamp.type"),
            of_facts("retention.ms"),
            of_facts("unclean.leader.election.enable"),
            format!("{}: min.compaction.lag.ms", name("gateway-config.v1")),
        ]
    );
    for problem in problems {
        kafka(problem["remedy"].as_str().context("a remedy")?)?;
    }
    assert_eq!(topics.says(&["--check", "--partitions", "2"])?.0, Some(0), "mended");

    // What cannot be mended in place, or not here.
    let (status, said) = topics.says(&["--check", "--partitions", "3", "--replication", "2"])?;
    assert_eq!(status, Some(1));
    let settings: Vec<_> =
        said["problems"].as_array().context("problems")?.iter().map(|one| &one["setting"]).collect();
    assert_eq!(settings.iter().filter(|setting| **setting == "partitions").count(), 6, "{said}");
    assert_eq!(settings.iter().filter(|setting| **setting == "replicas").count(), 6, "{said}");
    let nowhere = Topics { brokers: "127.0.0.1:1".to_owned(), prefix: topics.prefix.clone() };
    let output = nowhere.run(&["--check"])?;
    let text = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("is it running, and is --kafka-brokers right?"), "{text}");
    Ok(())
}

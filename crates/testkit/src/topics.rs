//! Topics of an installation on Kafka, for tests that look at them, empty them or change them behind its back.
use anyhow::{Result, bail};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);

/// Deletes `topics` and waits until the broker no longer knows them.
///
/// # Errors
/// When the broker refuses, or the topics stay.
pub async fn delete(bootstrap: &str, topics: &[String]) -> Result<()> {
    let admin = admin(bootstrap)?;
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    for result in admin.delete_topics(&names, &AdminOptions::new()).await? {
        if let Err((topic, code)) = result {
            bail!("{topic} is not deleted: {code}");
        }
    }
    let consumer: BaseConsumer = config(bootstrap).create()?;
    let topics = topics.to_vec();
    tokio::task::spawn_blocking(move || {
        let limit = Instant::now() + LIMIT;
        loop {
            let metadata = consumer.fetch_metadata(None, Duration::from_secs(5))?;
            if metadata.topics().iter().all(|known| !topics.iter().any(|gone| gone == known.name())) {
                return Ok(());
            }
            if Instant::now() > limit {
                bail!("topics stay after their deletion");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    })
    .await?
}

/// Removes every record that a partition has now, as retention does.
///
/// # Errors
/// When the broker refuses.
pub async fn expire(bootstrap: &str, topic: &str, partition: u32) -> Result<()> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, i32::try_from(partition)?, Offset::End)?;
    admin(bootstrap)?.delete_records(&list, &AdminOptions::new()).await?;
    Ok(())
}

/// Gives a topic more partitions.
///
/// # Errors
/// When the broker refuses.
pub async fn grow(bootstrap: &str, topic: &str, count: usize) -> Result<()> {
    let more = NewPartitions::new(topic, count);
    for result in admin(bootstrap)?.create_partitions(&[more], &AdminOptions::new()).await? {
        if let Err((topic, code)) = result {
            bail!("{topic} does not grow: {code}");
        }
    }
    Ok(())
}

/// Of each partition of a topic, in order: the node that leads it, and how many brokers have all of it.
///
/// # Errors
/// When no broker answers. Blocks meanwhile.
pub fn leaders(bootstrap: &str, topic: &str) -> Result<Vec<(i32, usize)>> {
    let consumer: BaseConsumer = config(bootstrap).create()?;
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(10))?;
    let Some(topic) = metadata.topics().first() else { bail!("{topic} is not known") };
    let mut partitions: Vec<_> = topic.partitions().iter().collect();
    partitions.sort_by_key(|partition| partition.id());
    Ok(partitions.into_iter().map(|partition| (partition.leader(), partition.isr().len())).collect())
}

fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    config
}

fn admin(bootstrap: &str) -> Result<AdminClient<DefaultClientContext>> {
    Ok(config(bootstrap).create()?)
}

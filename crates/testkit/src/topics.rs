//! Topics of an installation on Kafka, for tests that empty them.
use anyhow::{Result, bail};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);

/// Deletes `topics` and waits until the broker no longer knows them.
///
/// # Errors
/// When the broker refuses, or the topics stay.
pub async fn delete(bootstrap: &str, topics: &[String]) -> Result<()> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    let admin: AdminClient<DefaultClientContext> = config.create()?;
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    for result in admin.delete_topics(&names, &AdminOptions::new()).await? {
        if let Err((topic, code)) = result {
            bail!("{topic} is not deleted: {code}");
        }
    }
    let consumer: BaseConsumer = config.create()?;
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

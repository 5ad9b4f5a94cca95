//! Where a benchmark runs: a log in a fresh directory, or fresh topics on a real Kafka.
use anyhow::Result;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use stream::embedded::{EmbeddedLog, EmbeddedOptions};
use stream::kafka::{KafkaLog, KafkaOptions};
use stream::log::Log;

/// Opens an empty log with `partitions` partitions.
pub(crate) async fn open(brokers: Option<&str>, directory: &Path, partitions: u32) -> Result<Arc<dyn Log>> {
    match brokers {
        None => {
            let mut options = EmbeddedOptions::new(directory.join("log"));
            options.partitions = partitions;
            Ok(EmbeddedLog::open(options)?)
        }
        Some(brokers) => Ok(kafka(brokers, partitions).await?),
    }
}

/// Fresh topics on a real Kafka.
pub(crate) async fn kafka(brokers: &str, partitions: u32) -> Result<Arc<KafkaLog>> {
    static OPENED: AtomicU32 = AtomicU32::new(0);
    let mut options = KafkaOptions::new(brokers);
    options.topic_prefix = format!(
        "bench-{}-{}-{}.",
        std::process::id(),
        testkit::requests::now_seconds(),
        OPENED.fetch_add(1, Ordering::Relaxed)
    );
    options.partitions = partitions;
    let log = KafkaLog::connect(options).await?;
    log.ensure_topics().await?;
    Ok(log)
}

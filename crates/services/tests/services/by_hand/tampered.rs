//! A log that gives one record other than it was written.
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;
use stream::log::{Appender, Bounds, Log, LogError, Offset, Partition, Reader, Record, Topic};
use tokio::sync::watch;

/// One record of a log is not what was written.
#[derive(Debug)]
pub struct Tampered {
    pub log: Arc<dyn Log>,
    pub at: (Topic, Partition, Offset),
    pub value: Bytes,
}

#[derive(Debug)]
struct TamperedReader {
    reader: Box<dyn Reader>,
    at: Offset,
    value: Bytes,
}

#[async_trait]
impl Reader for TamperedReader {
    async fn next(&mut self, max_records: usize, max_bytes: usize) -> Result<Vec<Record>, LogError> {
        let mut records = self.reader.next(max_records, max_bytes).await?;
        for record in records.iter_mut().filter(|record| record.offset == self.at) {
            record.value = self.value.clone();
        }
        Ok(records)
    }
}

#[async_trait]
impl Log for Tampered {
    fn partition_count(&self) -> u32 {
        self.log.partition_count()
    }

    async fn appender(&self) -> Result<Arc<dyn Appender>, LogError> {
        self.log.appender().await
    }

    async fn reader(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
    ) -> Result<Box<dyn Reader>, LogError> {
        let reader = self.log.reader(topic, partition, from).await?;
        if (topic, partition) != (self.at.0, self.at.1) {
            return Ok(reader);
        }
        Ok(Box::new(TamperedReader { reader, at: self.at.2, value: self.value.clone() }))
    }

    async fn bounds(&self, topic: Topic, partition: Partition) -> Result<Bounds, LogError> {
        self.log.bounds(topic, partition).await
    }

    async fn record_at(
        &self,
        topic: Topic,
        partition: Partition,
        offset: Offset,
    ) -> Result<Option<Record>, LogError> {
        let mut record = self.log.record_at(topic, partition, offset).await?;
        if let Some(record) = &mut record
            && (topic, partition, offset) == self.at
        {
            record.value = self.value.clone();
        }
        Ok(record)
    }

    async fn check(&self) -> Result<(), LogError> {
        self.log.check().await
    }

    fn active(&self) -> watch::Receiver<Vec<Partition>> {
        self.log.active()
    }
}

//! Writing another log's records into a new directory: at the offsets and with the times that they had.
use super::chunk;
use super::disk::Disk;
use super::writer::{CHUNK_BYTES, CHUNK_RECORDS};
use super::{RealEnvironment, files};
use crate::log::{LogError, NewRecord, Offset, Partition, Topic};
use domain::time::Micros;
use std::path::{Path, PathBuf};

/// A log that is being restored. Nobody may read it before [`Restore::finish`].
#[derive(Debug)]
pub(crate) struct Restore {
    disk: Disk,
    dir: PathBuf,
}

impl Restore {
    /// Begins in `dir`, which must hold no log.
    pub(crate) fn create(dir: &Path, partitions: u32) -> Result<Self, LogError> {
        let (disk, _) = Disk::open(dir, Some(partitions))?;
        Ok(Self { disk, dir: dir.to_owned() })
    }

    /// Where a partition begins, if not at 0.
    pub(crate) fn begin_at(&self, topic: Topic, partition: Partition, start: Offset) -> Result<(), LogError> {
        self.disk.set_start(topic, partition, start.0)
    }

    /// Appends `records` from `first` on, durably.
    pub(crate) fn append(
        &self,
        topic: Topic,
        partition: Partition,
        first: Offset,
        records: Vec<(Micros, NewRecord)>,
    ) -> Result<(), LogError> {
        let mut batch = self.disk.batch(records.len() / CHUNK_RECORDS + 1);
        let mut next = first.0;
        let (mut together, mut bytes, mut time) = (Vec::new(), 0, Micros(0));
        let mut put = |together: &mut Vec<NewRecord>, time: Micros| {
            if !together.is_empty() {
                self.disk.put(&mut batch, topic, partition, next, &chunk::encode(time, together));
                next += together.len() as u64;
                together.clear();
            }
        };
        for (appended_at, record) in records {
            let size = chunk::record_bytes(&record);
            // A chunk has one time.
            if appended_at != time || bytes + size > CHUNK_BYTES || together.len() >= CHUNK_RECORDS {
                put(&mut together, time);
                (bytes, time) = (0, appended_at);
            }
            bytes += size;
            together.push(record);
        }
        put(&mut together, time);
        self.disk.commit(batch, &RealEnvironment).map_err(LogError::Corrupt)
    }

    /// Makes everything durable and marks the clean stop.
    pub(crate) fn finish(self) -> Result<(), LogError> {
        self.disk.sync_all().map_err(LogError::Corrupt)?;
        drop(self.disk);
        files::leave_clean_mark(&self.dir)
            .map_err(|error| LogError::Unavailable(format!("{}: {error}", self.dir.display())))
    }
}

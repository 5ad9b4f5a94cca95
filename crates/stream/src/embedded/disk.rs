//! The log on the disk: one keyspace per topic, chunks under (partition, offset of the first record), and a keyspace for
//! what outlives them (partition count, first readable offsets).
use super::chunk::Chunk;
use super::files::{self, DirLock};
use super::{Environment, journal};
use crate::log::{LogError, Partition, Topic};
use bytes::Bytes;
use domain::time::Micros;
use fjall::config::CompressionPolicy;
use fjall::{
    CompressionType, Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, OwnedWriteBatch,
    PersistMode,
};
use std::path::Path;

const LOCK: &str = "LOCK";
const STORE: &str = "store";
const PARTITIONS: &[u8] = b"partitions";
const BLOCK_CACHE_BYTES: u64 = 32 << 20;
const MEMTABLE_BYTES: u64 = 32 << 20;
/// Bytes that the next start may have to read again.
const JOURNAL_BYTES: u64 = 256 << 20;
/// Chunks removed in one batch.
const REMOVED_CHUNKS: usize = 1_000;

/// What the disk knows of one partition of one topic.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) last_time: Micros,
}

/// The open store. Dropping it gives the directory back.
pub(super) struct Disk {
    topics: [Keyspace; Topic::ALL.len()],
    meta: Keyspace,
    db: Database,
    _lock: DirLock,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Disk")
    }
}

pub(super) fn corrupt(error: impl std::fmt::Display) -> LogError {
    LogError::Corrupt(error.to_string())
}

impl Disk {
    /// Opens `dir`; `partitions` is for a new log and must fit an old one; `None`: the log must exist.
    pub(super) fn open(dir: &Path, partitions: Option<u32>) -> Result<(Self, u32), LogError> {
        let unavailable =
            |error: &dyn std::fmt::Display| LogError::Unavailable(format!("{}: {error}", dir.display()));
        let store = dir.join(STORE);
        if partitions.is_none() && !store.exists() {
            return Err(LogError::Unavailable(format!("{} holds no log", dir.display())));
        }
        files::create_private_dir(dir).map_err(|error| unavailable(&error))?;
        let lock = DirLock::acquire(dir, LOCK).map_err(|error| unavailable(&error))?;
        if !files::take_clean_mark(dir).map_err(|error| unavailable(&error))? {
            journal::recover(&store).map_err(|error| match error {
                journal::JournalError::Damaged { .. } => corrupt(error),
                journal::JournalError::Io(_) => unavailable(&error),
            })?;
        }
        let db = Database::builder(&store)
            .cache_size(BLOCK_CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES)
            .journal_compression(CompressionType::None)
            .worker_threads(1)
            .open()
            .map_err(|error| unavailable(&error))?;
        let mut topics = Vec::with_capacity(Topic::ALL.len());
        for topic in Topic::ALL {
            topics.push(db.keyspace(topic.name(), topic_options).map_err(|error| unavailable(&error))?);
        }
        let meta =
            db.keyspace("meta", KeyspaceCreateOptions::default).map_err(|error| unavailable(&error))?;
        let topics = topics.try_into().map_err(|_| corrupt("topics"))?;
        let disk = Self { topics, meta, db, _lock: lock };
        let partitions = disk.agree_on_partitions(partitions)?;
        Ok((disk, partitions))
    }

    fn agree_on_partitions(&self, wanted: Option<u32>) -> Result<u32, LogError> {
        let stored = self.meta.get(PARTITIONS).map_err(corrupt)?;
        match (stored, wanted) {
            (Some(stored), wanted) => {
                let stored = u32::from_be_bytes(stored.as_ref().try_into().map_err(corrupt)?);
                if wanted.is_some_and(|wanted| wanted != stored) {
                    return Err(LogError::Misconfigured(format!(
                        "the log has {stored} partitions for ever; {} were asked for",
                        wanted.unwrap_or_default()
                    )));
                }
                Ok(stored)
            }
            (None, Some(wanted)) if wanted > 0 => {
                self.meta.insert(PARTITIONS, wanted.to_be_bytes()).map_err(corrupt)?;
                self.db.persist(PersistMode::SyncAll).map_err(corrupt)?;
                Ok(wanted)
            }
            (None, _) => Err(LogError::Misconfigured("a log needs at least one partition".to_owned())),
        }
    }

    /// A new batch for `chunks` chunks.
    pub(super) fn batch(&self, chunks: usize) -> OwnedWriteBatch {
        OwnedWriteBatch::with_capacity(self.db.clone(), chunks)
    }

    pub(super) fn put(
        &self,
        batch: &mut OwnedWriteBatch,
        topic: Topic,
        partition: Partition,
        base: u64,
        chunk: &Bytes,
    ) {
        batch.insert(&self.topics[topic as usize], key(partition, base), &chunk[..]);
    }

    /// Writes `batch` and makes it durable. After an error nobody knows what is on the disk.
    pub(super) fn commit(&self, batch: OwnedWriteBatch, environment: &dyn Environment) -> Result<(), String> {
        batch.commit().map_err(|error| error.to_string())?;
        environment.before_sync().map_err(|error| error.to_string())?;
        self.db.persist(PersistMode::SyncData).map_err(|error| error.to_string())
    }

    /// Makes everything durable, metadata included.
    pub(super) fn sync_all(&self) -> Result<(), String> {
        self.db.persist(PersistMode::SyncAll).map_err(|error| error.to_string())
    }

    /// What is stored of `partition` of `topic`.
    pub(super) fn extent(&self, topic: Topic, partition: Partition) -> Result<Extent, LogError> {
        let start = match self.meta.get(start_key(topic, partition)).map_err(corrupt)? {
            Some(start) => u64::from_be_bytes(start.as_ref().try_into().map_err(corrupt)?),
            None => 0,
        };
        let mut rows = self.topics[topic as usize].range(key(partition, 0)..=key(partition, u64::MAX));
        Ok(match rows.next_back() {
            None => Extent { start, end: start, last_time: Micros(0) },
            Some(guard) => {
                let chunk = decode(guard)?;
                Extent { start, end: chunk.end(), last_time: chunk.appended_at() }
            }
        })
    }

    /// Chunks from the one that holds `offset` on, as many as fit `max_bytes` (at least one), all below `end`.
    pub(super) fn chunks(
        &self,
        topic: Topic,
        partition: Partition,
        offset: u64,
        end: u64,
        max_bytes: usize,
    ) -> Result<Vec<Chunk>, LogError> {
        let rows = &self.topics[topic as usize];
        let first = rows.range(key(partition, 0)..=key(partition, offset)).next_back();
        let first = first.map(decode).transpose()?.filter(|chunk| chunk.end() > offset);
        let Some(mut first) = first else {
            return Err(LogError::Corrupt(format!(
                "{} partition {}: offset {offset} is missing from the store",
                topic.name(),
                partition.0
            )));
        };
        first.skip_to(offset);
        let (mut bytes, mut next) = (first.len(), first.end());
        let mut chunks = vec![first];
        for guard in rows.range(key(partition, next)..key(partition, end)) {
            if bytes >= max_bytes {
                break;
            }
            let chunk = decode(guard)?;
            if chunk.base() != next {
                return Err(LogError::Corrupt(format!(
                    "{} partition {}: offset {next} is missing from the store",
                    topic.name(),
                    partition.0
                )));
            }
            bytes += chunk.len();
            next = chunk.end();
            chunks.push(chunk);
        }
        Ok(chunks)
    }

    /// Removes the chunks between `start` and `end` that were appended before `before`, oldest first, and remembers the new
    /// start, which it returns, and whether more may be left to remove. Not durable by itself: after a crash the records may be back, which harms nobody.
    pub(super) fn trim(
        &self,
        topic: Topic,
        partition: Partition,
        (start, end): (u64, u64),
        before: Micros,
    ) -> Result<(u64, bool), LogError> {
        let rows = &self.topics[topic as usize];
        let mut kept = start;
        let mut batch = self.db.batch();
        for guard in rows.range(key(partition, start)..key(partition, end)).take(REMOVED_CHUNKS) {
            let (row, value) = guard.into_inner().map_err(corrupt)?;
            let chunk = chunk_of(&row, value)?;
            if chunk.appended_at() >= before {
                break;
            }
            kept = chunk.end();
            batch.remove(rows, row);
        }
        let more = batch.len() == REMOVED_CHUNKS;
        if kept > start {
            batch.insert(&self.meta, start_key(topic, partition), kept.to_be_bytes());
            batch.commit().map_err(corrupt)?;
        }
        Ok((kept, more))
    }

    /// Where a partition begins that has lost its beginning elsewhere.
    pub(super) fn set_start(&self, topic: Topic, partition: Partition, start: u64) -> Result<(), LogError> {
        self.meta.insert(start_key(topic, partition), start.to_be_bytes()).map_err(corrupt)
    }

    /// Empties `topic`, durably.
    pub(super) fn clear(&self, topic: Topic, partitions: u32) -> Result<(), LogError> {
        self.topics[topic as usize].clear().map_err(corrupt)?;
        for partition in 0..partitions {
            self.meta.remove(start_key(topic, Partition(partition))).map_err(corrupt)?;
        }
        self.sync_all().map_err(corrupt)
    }
}

/// Values above 1 KiB go to files of their own, which compaction does not rewrite; nothing is compressed, since the
/// processor is dearer here than the disk.
fn topic_options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .max_memtable_size(MEMTABLE_BYTES)
        .data_block_compression_policy(CompressionPolicy::disabled())
        .with_kv_separation(Some(KvSeparationOptions::default().compression(CompressionType::None)))
}

fn key(partition: Partition, base: u64) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&partition.0.to_be_bytes());
    key[4..].copy_from_slice(&base.to_be_bytes());
    key
}

fn start_key(topic: Topic, partition: Partition) -> Vec<u8> {
    [topic.name().as_bytes(), b"/", &partition.0.to_be_bytes()].concat()
}

fn decode(guard: fjall::Guard) -> Result<Chunk, LogError> {
    let (row, value) = guard.into_inner().map_err(corrupt)?;
    chunk_of(&row, value)
}

fn chunk_of(row: &[u8], value: fjall::Slice) -> Result<Chunk, LogError> {
    let base = row.get(4..12).and_then(|base| base.try_into().ok()).ok_or_else(|| corrupt("a row's key"))?;
    Chunk::decode(u64::from_be_bytes(base), Bytes::from_owner(value)).map_err(corrupt)
}

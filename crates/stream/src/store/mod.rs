//! The local state store: a cache of the fold of a service's own accepted frames, with its cursor (rule 5).
//!
//! It may be late and it may be deleted: the log is the truth, so nothing here is fsynced and whatever cannot be read is
//! thrown away. What it must never do is to answer "no such row" when it could not read: that would be a decision from a
//! state that never was. Reads that fail therefore poison the store, and nothing can be committed to it afterwards.
//!
//! Read next: [`StateStore`] (one partition of one service), then [`Overlay`] (what `decide` and `evolve` see).
mod overlay;
mod recent;
mod rows;
mod state;
#[cfg(test)]
mod tests;

pub use overlay::Overlay;
pub(crate) use state::StateView;
pub use state::{Changes, StateStore};

use fjall::config::{CompressionPolicy, HashRatioPolicy};
use fjall::{CompressionType, Database, KeyspaceCreateOptions};
use rows::{Memory, Rows};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of decoded blocks that all services share.
const BLOCK_CACHE_BYTES: u64 = 128 << 20;
/// Bytes of one service's unflushed rows.
const MEMTABLE_BYTES: u64 = 32 << 20;
/// Bytes of all journals: the store is a cache, so a long journal would only make the next start slow.
const JOURNAL_BYTES: u64 = 128 << 20;

/// Nothing is committed with less free space than this.
const LEAST_FREE_BYTES: u64 = 16 << 20;

/// Why the local store cannot be used. The remedy is always the same: give the partition up and take it again.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Another process has the directory open.
    #[error("state store {}: another process has it open", dir.display())]
    Locked {
        /// The store's directory.
        dir: PathBuf,
    },
    /// The directory cannot be used even when it is empty.
    #[error("state store {}: {reason}", dir.display())]
    Open {
        /// The store's directory.
        dir: PathBuf,
        /// What the operating system or the engine said.
        reason: String,
    },
    /// A read or write failed. The store accepts nothing more until it is opened again.
    #[error("state store of {service} partition {partition}: {reason}")]
    Failed {
        /// The service.
        service: String,
        /// The partition.
        partition: u32,
        /// What the engine said.
        reason: String,
    },
}

/// The database that holds the state of every service of this process: one keyspace per service, partitions by prefix.
///
/// One keyspace per service and partition would be 192 of them, each with a memtable and files of its own: measured, they
/// take 50 times as long to create and 40 times as long to open, and a journal may only go when all have been flushed.
pub struct StateDb {
    engine: Engine,
    dir: PathBuf,
}

enum Engine {
    Disk(Database),
    Memory(Mutex<BTreeMap<String, Arc<Memory>>>),
}

impl std::fmt::Debug for StateDb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateDb").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl StateDb {
    /// Opens the store in `dir`, which belongs to it alone. A store that cannot be read is deleted and begun anew.
    ///
    /// # Errors
    /// [`StoreError::Locked`]; [`StoreError::Open`] when not even an empty store can be made.
    pub fn open(dir: &Path) -> Result<Arc<Self>, StoreError> {
        let failed = |reason: String| StoreError::Open { dir: dir.to_owned(), reason };
        let db = match open_database(dir) {
            Ok(db) => db,
            Err(fjall::Error::Locked) => return Err(StoreError::Locked { dir: dir.to_owned() }),
            Err(fjall::Error::Io(error)) if is_about_the_machine(&error) => {
                return Err(failed(error.to_string()));
            }
            Err(error) => {
                tracing::warn!(dir = %dir.display(), %error, "state store unreadable, deleted, to be rebuilt from the log");
                std::fs::remove_dir_all(dir).map_err(|error| failed(error.to_string()))?;
                open_database(dir).map_err(|error| failed(error.to_string()))?
            }
        };
        Ok(Arc::new(Self { engine: Engine::Disk(db), dir: dir.to_owned() }))
    }

    /// Whether a commit may be tried: there is space on the disk for it, as far as can be known.
    #[must_use]
    pub fn has_room(&self) -> bool {
        match &self.engine {
            Engine::Memory(_) => true,
            Engine::Disk(_) => {
                crate::embedded::free_bytes(&self.dir).map_or(true, |free| free >= LEAST_FREE_BYTES)
            }
        }
    }

    /// An empty store that ends with the process, for simulations.
    #[must_use]
    pub fn in_memory() -> Arc<Self> {
        Arc::new(Self { engine: Engine::Memory(Mutex::default()), dir: PathBuf::from("memory") })
    }

    /// What a store in memory holds now, in a store of its own; of a store on disk an empty one.
    #[must_use]
    pub fn copy_of_memory(&self) -> Arc<Self> {
        let mut copy = BTreeMap::new();
        if let Engine::Memory(services) = &self.engine {
            for (service, rows) in services.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                copy.insert(service.clone(), Arc::new(rows.copy()));
            }
        }
        Arc::new(Self { engine: Engine::Memory(Mutex::new(copy)), dir: PathBuf::from("memory") })
    }

    fn rows(&self, service: &str) -> Result<Rows, StoreError> {
        match &self.engine {
            Engine::Disk(db) => match db.keyspace(service, state_options) {
                Ok(keyspace) => Ok(Rows::Disk { db: db.clone(), keyspace }),
                Err(error) => Err(StoreError::Open { dir: self.dir.clone(), reason: error.to_string() }),
            },
            Engine::Memory(services) => {
                let mut services = services.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(Rows::Memory(Arc::clone(services.entry(service.to_owned()).or_default())))
            }
        }
    }
}

/// Point reads decide the pace: nothing is compressed, and rows are found within a block by hash.
fn state_options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .max_memtable_size(MEMTABLE_BYTES)
        .data_block_compression_policy(CompressionPolicy::disabled())
        .data_block_hash_ratio_policy(HashRatioPolicy::all(8.0))
}

fn open_database(dir: &Path) -> fjall::Result<Database> {
    std::fs::create_dir_all(dir)?;
    Database::builder(dir)
        .cache_size(BLOCK_CACHE_BYTES)
        .max_journaling_size(JOURNAL_BYTES)
        .journal_compression(CompressionType::None)
        .worker_threads(1)
        .open()
}

/// What the operating system refuses (permissions, space, descriptors) deleting a good store would not cure; a file that is
/// missing or too short it would.
fn is_about_the_machine(error: &std::io::Error) -> bool {
    error.raw_os_error().is_some() && error.kind() != ErrorKind::NotFound
}

//! Where rows are kept: on disk, or in memory for simulations.
use bytes::Bytes;
use fjall::{Database, Keyspace, Readable as _, Snapshot};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Key = Vec<u8>;
type Row = fjall::Result<(Bytes, Bytes)>;

/// Rows of one service.
#[derive(Clone)]
pub(super) enum Rows {
    Disk { db: Database, keyspace: Keyspace },
    Memory(Arc<Memory>),
}

/// Rows that end with the process.
#[derive(Debug, Default)]
pub(super) struct Memory {
    rows: Mutex<BTreeMap<Key, Bytes>>,
}

impl Memory {
    fn rows(&self) -> MutexGuard<'_, BTreeMap<Key, Bytes>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn range(&self, range: Range<Key>) -> Box<dyn Iterator<Item = Row>> {
        let rows = self.rows();
        let found = rows.range(range).map(|(key, value)| (Bytes::copy_from_slice(key), value.clone()));
        Box::new(found.collect::<Vec<_>>().into_iter().map(Ok))
    }

    /// Another memory with the same rows.
    pub(super) fn copy(&self) -> Self {
        Self { rows: Mutex::new(self.rows().clone()) }
    }
}

/// Rows of one service as they were at one moment, whatever is committed meanwhile.
pub(super) enum RowsView {
    Disk { at: Snapshot, keyspace: Keyspace },
    Memory(Memory),
}

impl RowsView {
    pub(super) fn get(&self, key: &[u8]) -> fjall::Result<Option<Bytes>> {
        match self {
            Self::Disk { at, keyspace } => {
                Ok(at.get(keyspace, key)?.map(|value| Bytes::copy_from_slice(&value)))
            }
            Self::Memory(memory) => Ok(memory.rows().get(key).cloned()),
        }
    }

    /// In key order, lazily from disk.
    pub(super) fn range(&self, range: Range<Key>) -> Box<dyn Iterator<Item = Row>> {
        match self {
            Self::Disk { at, keyspace } => Box::new(at.range(keyspace, range).map(|guard| {
                let (key, value) = guard.into_inner()?;
                Ok((Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&value)))
            })),
            Self::Memory(memory) => memory.range(range),
        }
    }
}

impl Rows {
    /// A view of this moment. On disk it costs microseconds; old rows are kept while it lives.
    pub(super) fn view(&self) -> RowsView {
        match self {
            Self::Disk { db, keyspace } => RowsView::Disk { at: db.snapshot(), keyspace: keyspace.clone() },
            Self::Memory(memory) => RowsView::Memory(memory.copy()),
        }
    }

    pub(super) fn get(&self, key: &[u8]) -> fjall::Result<Option<Bytes>> {
        match self {
            Self::Disk { keyspace, .. } => Ok(keyspace.get(key)?.map(|value| Bytes::copy_from_slice(&value))),
            Self::Memory(memory) => Ok(memory.rows().get(key).cloned()),
        }
    }

    /// In key order, lazily from disk.
    pub(super) fn range(&self, range: Range<Key>) -> Box<dyn Iterator<Item = Row>> {
        match self {
            Self::Disk { keyspace, .. } => Box::new(keyspace.range(range).map(|guard| {
                let (key, value) = guard.into_inner()?;
                Ok((Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&value)))
            })),
            Self::Memory(memory) => memory.range(range),
        }
    }

    /// Sets and removes rows, all or none.
    pub(super) fn write(&self, changes: impl Iterator<Item = (Key, Option<Bytes>)>) -> fjall::Result<()> {
        match self {
            Self::Disk { db, keyspace } => {
                let mut batch = fjall::OwnedWriteBatch::with_capacity(db.clone(), changes.size_hint().0);
                for (key, value) in changes {
                    match value {
                        Some(value) => batch.insert(keyspace, key, &value[..]),
                        None => batch.remove(keyspace, key),
                    }
                }
                batch.commit()
            }
            Self::Memory(memory) => {
                let mut rows = memory.rows();
                for (key, value) in changes {
                    match value {
                        Some(value) => rows.insert(key, value),
                        None => rows.remove(&key),
                    };
                }
                Ok(())
            }
        }
    }
}

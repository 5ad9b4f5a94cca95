//! The committed state of one partition of one service.
use super::rows::{Rows, RowsView};
use super::{StateDb, StoreError};
use crate::cursor::Cursor;
use crate::log::Partition;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// Rows to be set (`Some`) or removed (`None`).
pub type Changes = BTreeMap<Box<[u8]>, Option<Bytes>>;

/// Layout of rows and header; another one in the store means that the store is rebuilt.
const FORMAT: u32 = 1;
/// Prefix: partition (u32, big-endian), then what the row is.
const PREFIX_BYTES: usize = 5;
const HEADER: u8 = 0;
const ROW: u8 = 1;
const AFTER_ROWS: u8 = 2;
/// Rows removed in one batch by a discard.
const DISCARD_ROWS: usize = 10_000;

/// What the rows beside it are. Written in the same batch and the same keyspace as they, so a crash cannot part them.
#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    state_version: u32,
    service: String,
    partition: u32,
    cursor: Cursor,
}

/// The committed state of one partition of one service, with the cursor that it was folded up to.
pub struct StateStore {
    rows: Rows,
    service: String,
    partition: Partition,
    state_version: u32,
    failed: OnceLock<StoreError>,
}

impl std::fmt::Debug for StateStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateStore")
            .field("service", &self.service)
            .field("partition", &self.partition.0)
            .field("failed", &self.failed.get())
            .finish_non_exhaustive()
    }
}

/// The committed state of one partition of one service at one moment.
pub(crate) struct StateView {
    rows: RowsView,
    range: Range<Vec<u8>>,
    /// Up to where it is folded.
    pub(crate) cursor: Cursor,
}

impl StateView {
    /// The rows in key order, lazily.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Result<(Bytes, Bytes), fjall::Error>> + use<> {
        self.rows
            .range(self.range.clone())
            .map(|row| row.map(|(key, value)| (key.slice(PREFIX_BYTES..), value)))
    }
}

impl StateStore {
    /// Opens the state of `service`'s `partition` and the cursor that it was folded up to.
    ///
    /// `None`: it is empty, because nothing was committed yet, or because what was there had another `state_version`,
    /// another layout or an unreadable header, and was discarded.
    ///
    /// # Errors
    /// When the store can neither be read nor emptied.
    pub fn open(
        db: &Arc<StateDb>,
        service: &str,
        partition: Partition,
        state_version: u32,
    ) -> Result<(Self, Option<Cursor>), StoreError> {
        let store = Self {
            rows: db.rows(service)?,
            service: service.to_owned(),
            partition,
            state_version,
            failed: OnceLock::new(),
        };
        let header = store.rows.get(&store.key(HEADER, &[])).map_err(|error| store.fail(&error))?;
        let cursor = header.and_then(|bytes| store.fitting_cursor(&bytes));
        if cursor.is_none() {
            store.discard()?;
        }
        Ok((store, cursor))
    }

    fn fitting_cursor(&self, header: &[u8]) -> Option<Cursor> {
        let fitting = postcard::from_bytes::<Header>(header).ok().filter(|header| {
            header.format == FORMAT
                && header.state_version == self.state_version
                && header.service == self.service
                && header.partition == self.partition.0
        });
        if fitting.is_none() {
            tracing::info!(
                service = self.service,
                partition = self.partition.0,
                "local state is of another version, to be rebuilt from the log"
            );
        }
        fitting.map(|header| header.cursor)
    }

    /// The value under `key`.
    ///
    /// # Errors
    /// [`StoreError::Failed`], now and from then on.
    pub fn read(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.rows.get(&self.key(ROW, key)).map_err(|error| self.fail(&error))
    }

    /// The value under `key`. A failed read is `None` *and* poisons the store: see [`StateStore::check`].
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.read(key).unwrap_or_default()
    }

    /// Up to `limit` rows with `start <= key < end` in key order; an empty `end` is the end of the table space.
    /// A failed read ends the list *and* poisons the store: see [`StateStore::check`].
    #[must_use]
    pub fn range(&self, start: &[u8], end: &[u8], limit: usize) -> Vec<(Bytes, Bytes)> {
        self.scan(start, end).take(limit).collect()
    }

    /// The rows with `start <= key < end`, lazily; ends at a failed read, which poisons the store.
    pub(crate) fn scan<'store>(
        &'store self,
        start: &[u8],
        end: &[u8],
    ) -> impl Iterator<Item = (Bytes, Bytes)> + use<'store> {
        let first = self.key(ROW, start);
        let after = if end.is_empty() { self.key(AFTER_ROWS, &[]) } else { self.key(ROW, end) };
        let rows = (first < after).then(|| self.rows.range(first..after));
        rows.into_iter().flatten().map_while(|row| match row {
            Ok((key, value)) => Some((key.slice(PREFIX_BYTES..), value)),
            Err(error) => {
                self.fail(&error);
                None
            }
        })
    }

    /// Whether every read so far was answered. The loop asks before it appends what it decided, and before it folds on.
    ///
    /// # Errors
    /// The first failure.
    pub fn check(&self) -> Result<(), StoreError> {
        self.failed.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Applies `changes` and moves to `cursor`, atomically, without an fsync: after a crash the store is as it was after
    /// this or an earlier commit.
    ///
    /// # Errors
    /// [`StoreError::Failed`]; also when an earlier read failed.
    pub fn commit(&self, changes: &Changes, cursor: &Cursor) -> Result<(), StoreError> {
        self.check()?;
        let header = Header {
            format: FORMAT,
            state_version: self.state_version,
            service: self.service.clone(),
            partition: self.partition.0,
            cursor: *cursor,
        };
        let header = postcard::to_allocvec(&header).map_err(|error| self.fail(&error))?;
        let header = (self.key(HEADER, &[]), Some(Bytes::from(header)));
        let rows = changes.iter().map(|(key, value)| (self.key(ROW, key), value.clone()));
        self.rows.write(rows.chain([header])).map_err(|error| self.fail(&error))
    }

    /// The committed state of this moment with its cursor; `None` when nothing is committed. Costs the caller microseconds.
    ///
    /// # Errors
    /// [`StoreError::Failed`] for this call alone: a view decides nothing.
    pub(crate) fn view(&self) -> Result<Option<StateView>, StoreError> {
        let rows = self.rows.view();
        let header = rows.get(&self.key(HEADER, &[])).map_err(|error| self.failure(&error))?;
        let cursor = header.and_then(|bytes| self.fitting_cursor(&bytes));
        let range = self.key(ROW, &[])..self.key(AFTER_ROWS, &[]);
        Ok(cursor.map(|cursor| StateView { rows, range, cursor }))
    }

    /// Puts rows of a snapshot into the emptied partition. Without [`StateStore::finish_restore`] they are no state.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub(crate) fn restore_rows(&self, rows: &[(Bytes, Bytes)]) -> Result<(), StoreError> {
        self.check()?;
        let rows = rows.iter().map(|(key, value)| (self.key(ROW, key), Some(value.clone())));
        self.rows.write(rows).map_err(|error| self.fail(&error))
    }

    /// Makes the rows that were put the state at `cursor`.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub(crate) fn finish_restore(&self, cursor: &Cursor) -> Result<(), StoreError> {
        self.commit(&Changes::new(), cursor)
    }

    /// Empties the partition: header first, so that a crash in between leaves nothing that could be taken for a state.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn discard(&self) -> Result<(), StoreError> {
        let fail = |error: fjall::Error| self.fail(&error);
        self.rows.write([(self.key(HEADER, &[]), None)].into_iter()).map_err(fail)?;
        loop {
            let rows = self.rows.range(self.key(ROW, &[])..self.key(AFTER_ROWS, &[]));
            let keys: Vec<_> = rows
                .take(DISCARD_ROWS)
                .map(|row| row.map(|(key, _)| key.to_vec()))
                .collect::<Result<_, _>>()
                .map_err(fail)?;
            if keys.is_empty() {
                return Ok(());
            }
            self.rows.write(keys.into_iter().map(|key| (key, None))).map_err(fail)?;
        }
    }

    fn key(&self, what: u8, key: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(PREFIX_BYTES + key.len());
        bytes.extend_from_slice(&self.partition.0.to_be_bytes());
        bytes.push(what);
        bytes.extend_from_slice(key);
        bytes
    }

    /// Remembers the first failure.
    fn fail(&self, error: &dyn std::fmt::Display) -> StoreError {
        let failure = self.failure(error);
        tracing::error!(service = self.service, partition = self.partition.0, %error, "local state store failed");
        self.failed.get_or_init(|| failure).clone()
    }

    fn failure(&self, error: &dyn std::fmt::Display) -> StoreError {
        StoreError::Failed {
            service: self.service.clone(),
            partition: self.partition.0,
            reason: error.to_string(),
        }
    }

    /// Stands for a disk that does not answer.
    #[cfg(test)]
    pub(super) fn fail_for_test(&self) {
        self.fail(&"injected");
    }
}

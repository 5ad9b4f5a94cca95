//! State, without knowing where it is kept: ordered byte keys, byte values.
//!
//! `decide` gets a [`View`], `evolve` gets [`Tables`]. `stream` implements both over an overlay and a local store; tests
//! use [`MemoryTables`]. A row is a `postcard` encoding; the store is a cache of the log's fold, so its encoding may
//! change with any version (the store is then rebuilt).
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;

/// Read access to a partition's state.
pub trait View {
    /// The value under `key`.
    fn get(&self, key: &[u8]) -> Option<Bytes>;
    /// Up to `limit` rows with `start <= key < end`, in key order.
    fn range(&self, start: &[u8], end: &[u8], limit: usize) -> Vec<(Bytes, Bytes)>;
}

/// Write access to a partition's state.
pub trait Tables: View {
    /// Sets `key`.
    fn put(&mut self, key: &[u8], value: Bytes);
    /// Removes `key`.
    fn delete(&mut self, key: &[u8]);
}

/// Decodes the row under `key`.
///
/// # Panics
/// When the row cannot be decoded: the store was checked against the log and its version, so this is a defect, and the
/// loop parks the input that met it.
pub fn row<T: DeserializeOwned>(view: &(impl View + ?Sized), key: &[u8]) -> Option<T> {
    view.get(key).map(|bytes| decode(&bytes))
}

/// Decodes one row's value.
///
/// # Panics
/// As [`row`].
#[must_use]
#[allow(
    clippy::expect_used,
    reason = "a row that this version wrote and cannot read is a defect, and is parked"
)]
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> T {
    postcard::from_bytes(bytes).expect("a state row decodes with the version that wrote it")
}

/// Encodes and stores a row.
///
/// # Panics
/// Never in practice: rows are plain data.
#[allow(clippy::expect_used, reason = "plain data always encodes")]
pub fn put_row<T: Serialize>(tables: &mut (impl Tables + ?Sized), key: &[u8], value: &T) {
    let bytes = postcard::to_allocvec(value).expect("plain data encodes");
    tables.put(key, Bytes::from(bytes));
}

/// Builds keys: one table byte, then parts. Text is ended by a zero byte (texts with U+0000 are refused long before), numbers
/// are big-endian, so that key order is the parts' order.
#[derive(Debug, Clone)]
pub struct Key(Vec<u8>);

impl Key {
    /// A key of `table`.
    #[must_use]
    pub fn new(table: u8) -> Self {
        let mut bytes = Vec::with_capacity(64);
        bytes.push(table);
        Self(bytes)
    }

    /// The key of these bytes, which begin with those of another one.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// Appends a text part.
    #[must_use]
    pub fn text(mut self, part: &str) -> Self {
        self.0.extend_from_slice(part.as_bytes());
        self.0.push(0);
        self
    }

    /// Appends fixed-width bytes.
    #[must_use]
    pub fn raw(mut self, part: &[u8]) -> Self {
        self.0.extend_from_slice(part);
        self
    }

    /// Appends a number, such that key order is numeric order.
    #[must_use]
    pub fn number(mut self, part: i64) -> Self {
        self.0.extend_from_slice(&(part.cast_unsigned() ^ (1 << 63)).to_be_bytes());
        self
    }

    /// The key's bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The first key after all that begin with this one.
    #[must_use]
    pub fn end(&self) -> Vec<u8> {
        let mut end = self.0.clone();
        while let Some(last) = end.pop() {
            if last < 0xff {
                end.push(last + 1);
                break;
            }
        }
        end
    }
}

/// State in memory, for tests, `verify` and the reference model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryTables(pub BTreeMap<Vec<u8>, Bytes>);

impl View for MemoryTables {
    fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.0.get(key).cloned()
    }

    fn range(&self, start: &[u8], end: &[u8], limit: usize) -> Vec<(Bytes, Bytes)> {
        self.0
            .range(start.to_vec()..end.to_vec())
            .take(limit)
            .map(|(key, value)| (Bytes::copy_from_slice(key), value.clone()))
            .collect()
    }
}

impl Tables for MemoryTables {
    fn put(&mut self, key: &[u8], value: Bytes) {
        self.0.insert(key.to_vec(), value);
    }

    fn delete(&mut self, key: &[u8]) {
        self.0.remove(key);
    }
}

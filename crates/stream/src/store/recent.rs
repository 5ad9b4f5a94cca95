//! Rows used of late, found by hash: the hot rows of a program are read by every event.
use bytes::Bytes;
use foldhash::fast::RandomState;
use std::collections::HashMap;

/// Rows of one generation; two generations are kept.
const GENERATION_ROWS: usize = 1_024;
/// Bytes of one generation, about.
const GENERATION_BYTES: usize = 512 << 10;
/// A longer row is not worth a place.
const LONGEST_ROW_BYTES: usize = 16 << 10;

type Generation = HashMap<Box<[u8]>, Option<Bytes>, RandomState>;

/// A bounded memory of rows, absent ones included. When the young generation is full it becomes the old one, and the old
/// one is forgotten, except for the rows that were used meanwhile.
#[derive(Debug, Default)]
pub(super) struct Recent {
    young: Generation,
    old: Generation,
    young_bytes: usize,
}

impl Recent {
    /// The row, if it is remembered: `Some(None)` is a row that does not exist.
    pub(super) fn get(&mut self, key: &[u8]) -> Option<Option<Bytes>> {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.old.remove_entry(key)?;
        self.insert_owned(key, value.clone());
        Some(value)
    }

    /// Remembers a row.
    pub(super) fn insert(&mut self, key: &[u8], value: Option<Bytes>) {
        if let Some(known) = self.young.get_mut(key) {
            *known = value;
            return;
        }
        self.old.remove(key);
        self.insert_owned(key.into(), value);
    }

    fn insert_owned(&mut self, key: Box<[u8]>, value: Option<Bytes>) {
        let bytes = key.len() + value.as_ref().map_or(0, Bytes::len);
        if bytes > LONGEST_ROW_BYTES {
            return;
        }
        if self.young.len() >= GENERATION_ROWS || self.young_bytes + bytes > GENERATION_BYTES {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += bytes;
        self.young.insert(key, value);
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

//! A view with changes on top: lets `decide` fold what it has just decided, when a frame holds more than one fact.
use crate::tables::{Tables, View};
use bytes::Bytes;
use std::collections::BTreeMap;

/// See the module. `None` in the overlay: deleted.
pub(super) struct Scratch<'view> {
    below: &'view dyn View,
    above: BTreeMap<Vec<u8>, Option<Bytes>>,
}

impl<'view> Scratch<'view> {
    pub(super) fn new(below: &'view dyn View) -> Self {
        Self { below, above: BTreeMap::new() }
    }
}

impl View for Scratch<'_> {
    fn get(&self, key: &[u8]) -> Option<Bytes> {
        match self.above.get(key) {
            Some(changed) => changed.clone(),
            None => self.below.get(key),
        }
    }

    fn range(&self, start: &[u8], end: &[u8], limit: usize) -> Vec<(Bytes, Bytes)> {
        let changed: Vec<_> = self.above.range(start.to_vec()..end.to_vec()).collect();
        // Each change hides at most one row below.
        let below = self.below.range(start, end, limit.saturating_add(changed.len()));
        let mut rows: BTreeMap<Bytes, Option<Bytes>> =
            below.into_iter().map(|(key, value)| (key, Some(value))).collect();
        for (key, value) in changed {
            rows.insert(Bytes::copy_from_slice(key), value.clone());
        }
        rows.into_iter().filter_map(|(key, value)| Some((key, value?))).take(limit).collect()
    }
}

impl Tables for Scratch<'_> {
    fn put(&mut self, key: &[u8], value: Bytes) {
        self.above.insert(key.to_vec(), Some(value));
    }

    fn delete(&mut self, key: &[u8]) {
        self.above.insert(key.to_vec(), None);
    }
}

//! What `decide` and `evolve` see: changes that are not committed yet over the committed state.
use super::StoreError;
use super::recent::Recent;
use super::state::{Changes, StateStore};
use crate::cursor::Cursor;
use bytes::Bytes;
use domain::tables::{Tables, View};
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};

/// Pending changes over the committed state of one partition.
///
/// A read that the store cannot answer looks like an absent row here, since [`View`] cannot say more; so the loop calls
/// [`Overlay::check`] after deciding and before appending, and drops everything when it fails.
#[derive(Debug)]
pub struct Overlay {
    store: Arc<StateStore>,
    pending: Changes,
    pending_bytes: usize,
    /// Rows as they are now, pending ones included. Uncontended: an overlay has one owner.
    recent: Mutex<Recent>,
}

impl Overlay {
    /// Nothing pending over `store`.
    #[must_use]
    pub fn new(store: Arc<StateStore>) -> Self {
        Self { store, pending: Changes::new(), pending_bytes: 0, recent: Mutex::default() }
    }

    /// The committed state below.
    #[must_use]
    pub const fn store(&self) -> &Arc<StateStore> {
        &self.store
    }

    /// The pending changes.
    #[must_use]
    pub const fn changes(&self) -> &Changes {
        &self.pending
    }

    /// Rows that are pending.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether nothing is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Bytes of pending keys and values.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.pending_bytes
    }

    /// Forgets the pending changes.
    pub fn clear(&mut self) {
        self.pending.clear();
        self.pending_bytes = 0;
        self.recent.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Whether every read so far was answered.
    ///
    /// # Errors
    /// The store's first failure.
    pub fn check(&self) -> Result<(), StoreError> {
        self.store.check()
    }

    /// Commits the pending changes with the cursor that they were folded up to.
    ///
    /// # Errors
    /// [`StoreError`]; the changes stay pending.
    pub fn commit(&mut self, cursor: &Cursor) -> Result<(), StoreError> {
        self.store.commit(&self.pending, cursor)?;
        self.pending.clear();
        self.pending_bytes = 0;
        Ok(())
    }

    fn change(&mut self, key: &[u8], value: Option<Bytes>) {
        self.recent.get_mut().unwrap_or_else(PoisonError::into_inner).insert(key, value.clone());
        let bytes = value.as_ref().map_or(0, Bytes::len);
        if let Some(known) = self.pending.get_mut(key) {
            self.pending_bytes -= known.as_ref().map_or(0, Bytes::len);
            *known = value;
        } else {
            self.pending_bytes += key.len();
            self.pending.insert(key.into(), value);
        }
        self.pending_bytes += bytes;
    }
}

impl View for Overlay {
    fn get(&self, key: &[u8]) -> Option<Bytes> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = recent.get(key) {
            return known;
        }
        let value = match self.pending.get(key) {
            Some(pending) => pending.clone(),
            // A failed read must not be remembered as an absent row.
            None => self.store.read(key).ok()?,
        };
        recent.insert(key, value.clone());
        value
    }

    fn range(&self, start: &[u8], end: &[u8], limit: usize) -> Vec<(Bytes, Bytes)> {
        let upper = if end.is_empty() { Bound::Unbounded } else { Bound::Excluded(end) };
        if !end.is_empty() && start >= end {
            return Vec::new();
        }
        let mut pending = self.pending.range::<[u8], _>((Bound::Included(start), upper)).peekable();
        let mut stored = self.store.scan(start, end).peekable();
        let mut rows = Vec::new();
        while rows.len() < limit {
            let pending_is_next = match (pending.peek(), stored.peek()) {
                (None, None) => break,
                (None, Some(_)) => false,
                (Some(_), None) => true,
                (Some((pending_key, _)), Some((stored_key, _))) => pending_key.as_ref() <= &stored_key[..],
            };
            if !pending_is_next {
                rows.extend(stored.next());
                continue;
            }
            if let Some((key, value)) = pending.next() {
                stored.next_if(|(stored_key, _)| stored_key[..] == **key);
                rows.extend(value.clone().map(|value| (Bytes::copy_from_slice(key), value)));
            }
        }
        rows
    }
}

impl Tables for Overlay {
    fn put(&mut self, key: &[u8], value: Bytes) {
        self.change(key, Some(value));
    }

    fn delete(&mut self, key: &[u8]) {
        self.change(key, None);
    }
}

//! A key store in memory. Keys follow from the subject, so that a history gives the same bytes each time.
use crate::keys::{KeyState, KeyStore, KeyStoreError, Keys, SubjectKey};
use async_trait::async_trait;
use domain::ids::{Hash, SubjectId};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Keys of an installation that exists only in memory. Hides nothing from anybody.
#[derive(Debug, Default)]
pub struct MemoryKeys {
    keys: Mutex<BTreeMap<[u8; 16], KeyState>>,
}

impl MemoryKeys {
    fn keys(&self) -> MutexGuard<'_, BTreeMap<[u8; 16], KeyState>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of `subject`.
    #[must_use]
    pub fn get(&self, subject: SubjectId) -> KeyState {
        self.keys().get(&subject.0).cloned().unwrap_or(KeyState::Missing)
    }
}

fn key_of(subject: SubjectId) -> SubjectKey {
    let part = |salt: u8| Hash::of(&[&subject.0[..], &[salt]].concat()).0;
    let (mut key_id, mut key) = ([0; 16], [0; 64]);
    key_id.copy_from_slice(&part(0)[..16]);
    key[..32].copy_from_slice(&part(1));
    key[32..].copy_from_slice(&part(2));
    SubjectKey { key_id, key }
}

#[async_trait]
impl KeyStore for MemoryKeys {
    async fn load(&self, subjects: &[SubjectId]) -> Result<Keys, KeyStoreError> {
        Ok(subjects.iter().map(|subject| (*subject, self.get(*subject))).collect())
    }

    async fn ensure(&self, subjects: &[SubjectId]) -> Result<Keys, KeyStoreError> {
        let mut keys = self.keys();
        let state = |subject: &SubjectId| {
            let state = keys.entry(subject.0).or_insert_with(|| KeyState::Live(key_of(*subject)));
            (*subject, state.clone())
        };
        Ok(subjects.iter().map(state).collect())
    }

    async fn destroy(&self, subject: SubjectId) -> Result<(), KeyStoreError> {
        self.keys().insert(subject.0, KeyState::Destroyed);
        Ok(())
    }

    fn index_key(&self) -> [u8; 32] {
        [7; 32]
    }
}

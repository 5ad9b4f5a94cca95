//! The key store: one key per person, created before the frame that needs it, never overwritten, destroyed for ever.
use async_trait::async_trait;
use domain::ids::SubjectId;
use std::collections::BTreeMap;
use std::fmt::Debug;
use zeroize::Zeroize;

/// A person's key and its name.
#[derive(Clone, PartialEq, Eq)]
pub struct SubjectKey {
    /// Named in sealed fields.
    pub key_id: [u8; 16],
    /// AES-256-SIV key.
    pub key: [u8; 64],
}

impl Drop for SubjectKey {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl Debug for SubjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SubjectKey(…)")
    }
}

/// What the store knows of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyState {
    /// Never had one. A reader that needs it halts.
    Missing,
    /// Has one.
    Live(SubjectKey),
    /// Had one; a tombstone that no insert replaces. Reads as erased.
    Destroyed,
}

/// What a store knew of some subjects at one moment. Held for one batch and no longer: another process may destroy a key.
#[derive(Debug, Clone, Default)]
pub struct Keys(BTreeMap<SubjectId, KeyState>);

impl Keys {
    /// What is known of `subject`; [`KeyState::Missing`] also when it was not asked for.
    #[must_use]
    pub fn get(&self, subject: SubjectId) -> &KeyState {
        self.0.get(&subject).unwrap_or(&KeyState::Missing)
    }
}

impl FromIterator<(SubjectId, KeyState)> for Keys {
    fn from_iter<T: IntoIterator<Item = (SubjectId, KeyState)>>(states: T) -> Self {
        Self(states.into_iter().collect())
    }
}

/// Why the key store could not do something.
#[derive(Debug, Clone, thiserror::Error)]
#[error("key store: {0}")]
pub struct KeyStoreError(pub String);

/// Keys of subjects. Backed up apart from the log.
#[async_trait]
pub trait KeyStore: Send + Sync + Debug + 'static {
    /// What is known of `subjects` now.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn load(&self, subjects: &[SubjectId]) -> Result<Keys, KeyStoreError>;

    /// Creates a key for each subject that has none, durably, before it returns: one durable write for the batch. A key that
    /// exists, or a tombstone, stays. Returns what is known of `subjects` then.
    ///
    /// # Errors
    /// When the store cannot be written; what it holds then is as before, or with some of the keys.
    async fn ensure(&self, subjects: &[SubjectId]) -> Result<Keys, KeyStoreError>;

    /// Destroys the subject's key and leaves a tombstone, durably.
    async fn destroy(&self, subject: SubjectId) -> Result<(), KeyStoreError>;

    /// The installation's key for identifier indexes (HMAC): created once, durably.
    fn index_key(&self) -> [u8; 32];
}

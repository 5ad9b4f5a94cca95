//! The key store in one file.
//!
//! Not an LSM store, for destroyed keys must be gone: a slot is overwritten where it is, and no older copy of it lies in a
//! journal or a table. The file is a row of slots of 128 bytes, four to a disk sector, so that a slot is written whole or
//! not at all. The first is the header with the index key. A slot: state u8, 7 zero bytes, subject 16, key id 16, key 64,
//! 16 zero bytes, XXH3 of what precedes u64.
//!
//! In memory are, per subject, its id and the number of its slot, and the keys used of late.
#[cfg(test)]
mod tests;

use crate::embedded::files::{self, DirLock};
use crate::keys::{KeyState, KeyStore, KeyStoreError, Keys, SubjectKey};
use async_trait::async_trait;
use domain::ids::SubjectId;
use foldhash::fast::RandomState;
use rand::TryRngCore;
use rand::rngs::OsRng;
use std::collections::{BTreeSet, HashMap};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use xxhash_rust::xxh3::xxh3_64;
use zeroize::Zeroize;

/// No key is created with less free space than this.
const LEAST_FREE_BYTES: u64 = 4 << 20;
const FILE: &str = "subjects.keys";
const LOCK: &str = "LOCK";
const MAGIC: &[u8; 16] = b"TRIBUTARY-KEYS-1";
const SLOT_BYTES: usize = 128;
const CHECKED_BYTES: usize = SLOT_BYTES - 8;
const LIVE: u8 = 1;
const DESTROYED: u8 = 2;
/// Bytes read at once when the file is opened.
const LOAD_BYTES: usize = 1 << 20;
/// Keys of one generation in memory; two generations are kept.
const GENERATION_KEYS: usize = 4_096;
/// Subjects of one durable write.
const BATCH_SUBJECTS: usize = 8_192;

type Slot = [u8; SLOT_BYTES];

fn failed(error: impl std::fmt::Display) -> KeyStoreError {
    KeyStoreError(error.to_string())
}

/// Keys of subjects in a directory of their own (0700, the file 0600), to be backed up apart from the log.
#[derive(Debug)]
pub struct FileKeyStore {
    inner: Arc<Inner>,
    /// Held while a batch is written.
    writing: Arc<tokio::sync::Mutex<()>>,
    /// Asked for by callers that wait for `writing`; whoever gets it writes for all.
    wanted: Mutex<BTreeSet<SubjectId>>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    file: File,
    lock: Option<DirLock>,
    index_key: [u8; 32],
    slots: RwLock<Slots>,
    recent: Mutex<Recent>,
    /// A write or fsync failed: nobody knows what is on the disk.
    failed: OnceLock<KeyStoreError>,
}

/// Where each subject's slot is.
#[derive(Debug, Default)]
struct Slots {
    by_subject: HashMap<SubjectId, u32, RandomState>,
    destroyed: BTreeSet<SubjectId>,
    /// Slots in the file, the header included.
    count: u32,
}

/// Keys used of late.
#[derive(Default)]
struct Recent {
    young: HashMap<SubjectId, SubjectKey, RandomState>,
    old: HashMap<SubjectId, SubjectKey, RandomState>,
}

impl std::fmt::Debug for Recent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recent").field("keys", &(self.young.len() + self.old.len())).finish()
    }
}

impl Recent {
    fn get(&mut self, subject: SubjectId) -> Option<SubjectKey> {
        if let Some(key) = self.young.get(&subject) {
            return Some(key.clone());
        }
        let key = self.old.remove(&subject)?;
        self.insert(subject, key.clone());
        Some(key)
    }

    fn insert(&mut self, subject: SubjectId, key: SubjectKey) {
        if self.young.len() >= GENERATION_KEYS {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(subject, key);
    }

    fn forget(&mut self, subject: SubjectId) {
        self.young.remove(&subject);
        self.old.remove(&subject);
    }
}

impl FileKeyStore {
    /// Opens the store in `dir`, creating it if there is none. It belongs to this process until it is dropped.
    ///
    /// # Errors
    /// When another process has it, when a slot is damaged, or when the operating system refuses.
    pub fn open(dir: &Path) -> Result<Self, KeyStoreError> {
        files::create_private_dir(dir).map_err(failed)?;
        let lock = DirLock::acquire(dir, LOCK).map_err(failed)?;
        let path = dir.join(FILE);
        let clean = files::take_clean_mark(dir).map_err(failed)?;
        if !path.exists() {
            create(&path)?;
        } else if !clean {
            files::swap_for_synced_copy(&path, None).map_err(failed)?;
        }
        Self::load(dir, Some(lock))
    }

    /// Opens the store in `dir` for reading, also while another process has it.
    ///
    /// # Errors
    /// When there is none, when a slot is damaged, or when the operating system refuses.
    pub fn open_read_only(dir: &Path) -> Result<Self, KeyStoreError> {
        Self::load(dir, None)
    }

    /// Whether there is a store in `dir`.
    #[must_use]
    pub fn exists(dir: &Path) -> bool {
        dir.join(FILE).exists()
    }

    fn load(dir: &Path, lock: Option<DirLock>) -> Result<Self, KeyStoreError> {
        let path = dir.join(FILE);
        let file = OpenOptions::new()
            .read(true)
            .write(lock.is_some())
            .open(&path)
            .map_err(|error| KeyStoreError(format!("{}: {error}", path.display())))?;
        let mut header = [0; SLOT_BYTES];
        file.read_exact_at(&mut header, 0).map_err(failed)?;
        if !is_whole(&header) || &header[..16] != MAGIC {
            return Err(KeyStoreError(format!(
                "{} is no key store; restore it from a backup",
                path.display()
            )));
        }
        let inner = Inner {
            dir: dir.to_owned(),
            file,
            lock,
            index_key: field(&header, 16),
            slots: RwLock::new(Slots { count: 1, ..Slots::default() }),
            recent: Mutex::default(),
            failed: OnceLock::new(),
        };
        header.zeroize();
        inner.read_new_slots()?;
        Ok(Self { inner: Arc::new(inner), writing: Arc::default(), wanted: Mutex::default() })
    }

    /// Subjects with a key or a tombstone.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.slots.read().unwrap_or_else(PoisonError::into_inner).by_subject.len()
    }

    /// Whether no subject ever had a key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every subject with a key or a tombstone, to be copied into another store. No two calls need agree on the order.
    #[must_use]
    pub fn subjects(&self) -> Vec<SubjectId> {
        self.inner.slots.read().unwrap_or_else(PoisonError::into_inner).by_subject.keys().copied().collect()
    }

    fn states(&self, subjects: &[SubjectId]) -> Result<Keys, KeyStoreError> {
        subjects.iter().map(|subject| Ok((*subject, self.get(*subject)?))).collect()
    }

    /// What is known of `subject`.
    ///
    /// # Errors
    /// When the file cannot be read, or its slot is damaged.
    pub fn get(&self, subject: SubjectId) -> Result<KeyState, KeyStoreError> {
        let inner = &self.inner;
        inner.check()?;
        let mut found = inner.find(subject);
        if inner.lock.is_none() && matches!(found, Err(KeyState::Missing)) {
            // Another process may have appended.
            inner.read_new_slots()?;
            found = inner.find(subject);
        }
        let number = match found {
            Ok(number) => number,
            Err(state) => return Ok(state),
        };
        if inner.lock.is_none() {
            // Another process may have destroyed it: nothing is remembered.
            return inner.read(subject, number);
        }
        let mut recent = inner.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = recent.get(subject) {
            return Ok(KeyState::Live(key));
        }
        let state = inner.read(subject, number)?;
        if let KeyState::Live(key) = &state {
            recent.insert(subject, key.clone());
        }
        Ok(state)
    }
}

/// Creates the file with its header, whole or not at all.
fn create(path: &Path) -> Result<(), KeyStoreError> {
    let mut header = [0; SLOT_BYTES];
    header[..16].copy_from_slice(MAGIC);
    OsRng.try_fill_bytes(&mut header[16..48]).map_err(failed)?;
    seal_slot(&mut header);
    let fresh = path.with_extension("new");
    let written = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&fresh)
        .and_then(|mut file| file.write_all(&header).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&fresh, path))
        .and_then(|()| path.parent().map_or(Ok(()), files::sync_dir));
    header.zeroize();
    written.map_err(failed)
}

impl Inner {
    /// Takes note of the slots that were appended since the last look.
    ///
    /// Zeros, and a last piece shorter than a slot, are what a crash left of a batch that nobody was told of; anything
    /// else that is not whole is damage.
    fn read_new_slots(&self) -> Result<(), KeyStoreError> {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        let mut buffer = vec![0; LOAD_BYTES];
        loop {
            let at = u64::from(slots.count) * SLOT_BYTES as u64;
            let read = self.file.read_at(&mut buffer, at).map_err(failed)?;
            let whole = read - read % SLOT_BYTES;
            for slot in buffer[..whole].as_chunks::<SLOT_BYTES>().0 {
                let number = slots.count;
                slots.count += 1;
                if slot.iter().all(|byte| *byte == 0) {
                    continue;
                }
                let subject = SubjectId(field(slot, 8));
                if !is_whole(slot) || !matches!(slot[0], LIVE | DESTROYED) {
                    return Err(KeyStoreError(format!(
                        "{}: slot {number} is damaged; restore the key store from a backup",
                        self.dir.display()
                    )));
                }
                if slot[0] == DESTROYED {
                    slots.destroyed.insert(subject);
                }
                // The first slot of a subject counts: nothing replaces it.
                slots.by_subject.entry(subject).or_insert(number);
            }
            buffer[..whole].zeroize();
            if whole < LOAD_BYTES {
                return Ok(());
            }
        }
    }

    fn check(&self) -> Result<(), KeyStoreError> {
        self.failed.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    fn writable(&self) -> Result<(), KeyStoreError> {
        if self.lock.is_none() {
            return Err(KeyStoreError("the key store is open for reading only".to_owned()));
        }
        self.check()
    }

    fn is_known(&self, subject: SubjectId) -> bool {
        self.slots.read().unwrap_or_else(PoisonError::into_inner).by_subject.contains_key(&subject)
    }

    /// The number of the subject's slot; `Err` holds what can be said without reading it.
    fn find(&self, subject: SubjectId) -> Result<u32, KeyState> {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        if slots.destroyed.contains(&subject) {
            return Err(KeyState::Destroyed);
        }
        slots.by_subject.get(&subject).copied().ok_or(KeyState::Missing)
    }

    fn read(&self, subject: SubjectId, number: u32) -> Result<KeyState, KeyStoreError> {
        let mut slot = [0; SLOT_BYTES];
        self.file.read_exact_at(&mut slot, u64::from(number) * SLOT_BYTES as u64).map_err(failed)?;
        let whole = is_whole(&slot) && field::<16>(&slot, 8) == subject.0;
        let state = match slot[0] {
            LIVE if whole => {
                Ok(KeyState::Live(SubjectKey { key_id: field(&slot, 24), key: field(&slot, 40) }))
            }
            DESTROYED if whole => Ok(KeyState::Destroyed),
            _ => Err(KeyStoreError(format!(
                "{}: slot {number} is damaged; restore the key store from a backup",
                self.dir.display()
            ))),
        };
        slot.zeroize();
        state
    }

    /// Appends a slot for each of `subjects` that has none, with one fsync.
    fn append(&self, subjects: &BTreeSet<SubjectId>, state: u8) -> Result<(), KeyStoreError> {
        self.writable()?;
        // Asked before anything is written: after a write that failed nobody could go on.
        if crate::embedded::free_bytes(&self.dir).is_ok_and(|free| free < LEAST_FREE_BYTES) {
            return Err(KeyStoreError("the disk is nearly full, no keys are created".to_owned()));
        }
        let missing: Vec<_> = subjects.iter().copied().filter(|subject| !self.is_known(*subject)).collect();
        for batch in missing.chunks(BATCH_SUBJECTS) {
            let mut bytes = Vec::with_capacity(batch.len() * SLOT_BYTES);
            for subject in batch {
                bytes.extend_from_slice(&new_slot(*subject, state)?);
            }
            let first = self.slots.read().unwrap_or_else(PoisonError::into_inner).count;
            let written = self.write(&bytes, first);
            bytes.zeroize();
            written?;
            let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
            for (subject, number) in batch.iter().zip(first..) {
                slots.by_subject.insert(*subject, number);
                slots.count = number + 1;
                if state == DESTROYED {
                    slots.destroyed.insert(*subject);
                }
            }
        }
        Ok(())
    }

    fn destroy(&self, subject: SubjectId) -> Result<(), KeyStoreError> {
        self.writable()?;
        let number = match self.find(subject) {
            Err(KeyState::Destroyed) => return Ok(()),
            Err(_) => return self.append(&BTreeSet::from([subject]), DESTROYED),
            Ok(number) => number,
        };
        self.write(&new_slot(subject, DESTROYED)?, number)?;
        self.slots.write().unwrap_or_else(PoisonError::into_inner).destroyed.insert(subject);
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).forget(subject);
        Ok(())
    }

    /// Writes slots and makes them durable. After an error the store serves nobody: what is on the disk is not known.
    fn write(&self, bytes: &[u8], number: u32) -> Result<(), KeyStoreError> {
        let at = u64::from(number) * SLOT_BYTES as u64;
        let written = self.file.write_all_at(bytes, at).and_then(|()| self.file.sync_data());
        written.map_err(|error| {
            tracing::error!(%error, "the key store cannot be written, this process must end");
            self.failed.get_or_init(|| failed(&error)).clone()
        })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.lock.is_none() || self.failed.get().is_some() {
            return;
        }
        if let Err(error) = self.file.sync_all().and_then(|()| files::leave_clean_mark(&self.dir)) {
            tracing::warn!(%error, "the clean stop of the key store could not be marked");
        }
    }
}

fn new_slot(subject: SubjectId, state: u8) -> Result<Slot, KeyStoreError> {
    let mut slot = [0; SLOT_BYTES];
    slot[0] = state;
    slot[8..24].copy_from_slice(&subject.0);
    if state == LIVE {
        OsRng.try_fill_bytes(&mut slot[24..104]).map_err(failed)?;
    }
    seal_slot(&mut slot);
    Ok(slot)
}

fn seal_slot(slot: &mut Slot) {
    let checksum = xxh3_64(&slot[..CHECKED_BYTES]);
    slot[CHECKED_BYTES..].copy_from_slice(&checksum.to_le_bytes());
}

fn is_whole(slot: &Slot) -> bool {
    xxh3_64(&slot[..CHECKED_BYTES]).to_le_bytes() == slot[CHECKED_BYTES..]
}

fn field<const N: usize>(slot: &Slot, at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&slot[at..at + N]);
    out
}

#[async_trait]
impl KeyStore for FileKeyStore {
    async fn load(&self, subjects: &[SubjectId]) -> Result<Keys, KeyStoreError> {
        self.states(subjects)
    }

    async fn ensure(&self, subjects: &[SubjectId]) -> Result<Keys, KeyStoreError> {
        self.inner.check()?;
        let missing: Vec<_> =
            subjects.iter().copied().filter(|subject| !self.inner.is_known(*subject)).collect();
        if missing.is_empty() {
            return self.states(subjects);
        }
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).extend(&missing);
        let writing = Arc::clone(&self.writing).lock_owned().await;
        if missing.iter().all(|subject| self.inner.is_known(*subject)) {
            return self.states(subjects);
        }
        let mut batch = std::mem::take(&mut *self.wanted.lock().unwrap_or_else(PoisonError::into_inner));
        // Whoever took them before may have been dropped.
        batch.extend(missing);
        let inner = Arc::clone(&self.inner);
        // Goes on, and keeps others out, when this future is dropped.
        tokio::task::spawn_blocking(move || {
            let _writing = writing;
            inner.append(&batch, LIVE)
        })
        .await
        .map_err(failed)??;
        self.states(subjects)
    }

    async fn destroy(&self, subject: SubjectId) -> Result<(), KeyStoreError> {
        let writing = Arc::clone(&self.writing).lock_owned().await;
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || {
            let _writing = writing;
            inner.destroy(subject)
        })
        .await
        .map_err(failed)?
    }

    fn index_key(&self) -> [u8; 32] {
        self.inner.index_key
    }
}

//! The store's active journal after an unclean stop: cut behind the last whole batch, copied, synced, swapped.
//!
//! The last group before a power cut may be on the disk in part, with a hole between its first page and its last one. The
//! store takes that for damage and refuses to open. It is none: nobody was told that the group is in the log. Damage is a
//! bad batch with whole ones behind it, for a group is written only after the one before it was fsynced.
//!
//! The layout is that of fjall's format version 3: start (tag 1, item count u32, sequence number u64), items (tag 2, value
//! type, compression, keyspace u64, key length u16, value lengths u32 twice, key, value; tag 4 and a keyspace u64 for a
//! cleared keyspace), end (tag 3, XXH3 of the items u64, `FJL` 3).
use super::files::swap_for_synced_copy;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const TRAILER: &[u8; 4] = b"FJL\x03";
const START_BYTES: usize = 13;
const ITEM_HEADER_BYTES: usize = 21;
const END_BYTES: usize = 13;

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum JournalError {
    /// A bad batch before a good one.
    #[error("{}: a batch at byte {at} is damaged and whole batches follow it; restore the directory from a backup", path.display())]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// Where.
        at: usize,
    },
    /// The operating system refused.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// Makes the active journal in `dir`, if there is one, safe to open.
pub(super) fn recover(dir: &Path) -> Result<(), JournalError> {
    let Some(path) = active(dir)? else { return Ok(()) };
    let bytes = std::fs::read(&path)?;
    let whole = whole_batches(&bytes);
    if let Some(at) = batch_after(&bytes, whole) {
        tracing::error!(path = %path.display(), damaged = whole, whole = at, "journal damaged");
        return Err(JournalError::Damaged { path, at: whole });
    }
    swap_for_synced_copy(&path, Some(whole as u64))?;
    tracing::info!(path = %path.display(), bytes = whole, "journal copied after an unclean stop");
    Ok(())
}

/// The journal with the highest number.
fn active(dir: &Path) -> std::io::Result<Option<PathBuf>> {
    let mut newest: Option<(u64, PathBuf)> = None;
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        let number = path
            .extension()
            .filter(|extension| *extension == "jnl")
            .and_then(|_| path.file_stem()?.to_str()?.parse::<u64>().ok());
        if let Some(number) = number
            && newest.as_ref().is_none_or(|(known, _)| *known < number)
        {
            newest = Some((number, path));
        }
    }
    Ok(newest.map(|(_, path)| path))
}

/// Bytes of the whole batches that `bytes` begins with.
fn whole_batches(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(length) = batch_length(&bytes[at..]) {
        at += length;
    }
    at
}

/// Where a whole batch begins behind the one at `from`, which is not whole.
fn batch_after(bytes: &[u8], from: usize) -> Option<usize> {
    // The rest of a preallocated journal is zeros: nothing to look for behind the last other byte.
    let written = bytes.iter().rposition(|byte| *byte != 0)?;
    (from + 1..=written).find(|at| bytes[*at] == START && batch_length(&bytes[*at..]).is_some())
}

/// The length of the batch that `bytes` begins with, if it is whole.
fn batch_length(bytes: &[u8]) -> Option<usize> {
    if *bytes.first()? != START {
        return None;
    }
    let items = number(bytes, 1, 4)?;
    let mut at = START_BYTES;
    for _ in 0..items {
        at += match *bytes.get(at)? {
            ITEM => ITEM_HEADER_BYTES.checked_add(number(bytes, at + 11, 2)?)?.checked_add(number(
                bytes,
                at + 17,
                4,
            )?)?,
            CLEAR => 9,
            _ => return None,
        };
        if at > bytes.len() {
            return None;
        }
    }
    let end = bytes.get(at..at + END_BYTES)?;
    let checksum = u64::from_le_bytes(end[1..9].try_into().ok()?);
    (end[0] == END && &end[9..] == TRAILER && xxh3_64(&bytes[START_BYTES..at]) == checksum)
        .then_some(at + END_BYTES)
}

fn number(bytes: &[u8], at: usize, length: usize) -> Option<usize> {
    let part = bytes.get(at..at + length)?;
    Some(part.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use fjall::{Database, KeyspaceCreateOptions, PersistMode};

    /// A store with three batches as a crash leaves it: never closed.
    fn crashed(dir: &Path) -> (PathBuf, Vec<u8>) {
        let db = Database::builder(dir).journal_compression(fjall::CompressionType::None).open().unwrap();
        let rows = db.keyspace("rows", KeyspaceCreateOptions::default).unwrap();
        for n in 0..3_u8 {
            let mut batch = db.batch();
            batch.insert(&rows, [n, 1], vec![n; 20_000]);
            batch.insert(&rows, [n, 2], b"small");
            batch.remove(&rows, [n, 3]);
            batch.commit().unwrap();
            db.persist(PersistMode::SyncAll).unwrap();
        }
        let path = active(dir).unwrap().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        (path, bytes)
    }

    fn rows(dir: &Path) -> usize {
        let db = Database::builder(dir).open().unwrap();
        db.keyspace("rows", KeyspaceCreateOptions::default).unwrap().len().unwrap()
    }

    #[test]
    fn a_torn_last_batch_is_cut_and_a_damaged_earlier_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (path, bytes) = crashed(dir.path());
        let end = whole_batches(&bytes);
        let batch = end / 3;
        assert!(batch > 20_000 && bytes[end..].iter().all(|byte| *byte == 0));
        recover(dir.path()).unwrap();
        assert_eq!(rows(dir.path()), 6, "all is there when nothing is torn");

        let mut torn = bytes.clone();
        torn[2 * batch + 4_096..2 * batch + 8_192].fill(0);
        std::fs::write(&path, &torn).unwrap();
        recover(dir.path()).unwrap();
        assert_eq!(rows(dir.path()), 4, "the torn batch is gone, the others are there");

        let mut damaged = bytes;
        damaged[batch + 5_000] ^= 1;
        std::fs::write(&path, &damaged).unwrap();
        assert!(matches!(recover(dir.path()), Err(JournalError::Damaged { at, .. }) if at == batch));
    }
}

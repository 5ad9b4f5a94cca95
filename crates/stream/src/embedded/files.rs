//! What the log and the key store need of a directory: one holder, an honest end mark, files that survive a failed fsync.
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

const CLEAN: &str = "clean";

/// Why a directory cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DirError {
    /// Somebody has it.
    #[error("{dir} is in use by {holder}; stop it first, or let it answer")]
    Held {
        /// The directory.
        dir: String,
        /// The process, as far as it is known.
        holder: String,
    },
    /// The operating system refused.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// Creates `dir` for its owner alone, if it is missing.
pub(crate) fn create_private_dir(dir: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// The lock on a directory; given back when it is dropped, however the process ends.
#[derive(Debug)]
pub(crate) struct DirLock(File);

impl Drop for DirLock {
    /// Closing is not enough: a process that is just being started has the file too, until it runs a program of its own, and
    /// the lock would stay with it (flock(2)).
    fn drop(&mut self) {
        self.0.unlock().ok();
    }
}

impl DirLock {
    /// Locks `dir` through the file `name`, which says who has it.
    pub(crate) fn acquire(dir: &Path, name: &str) -> Result<Self, DirError> {
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(dir.join(name))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                file.read_to_string(&mut pid)?;
                let holder = match pid.trim() {
                    "" => "another process".to_owned(),
                    pid => format!("process {pid}"),
                };
                return Err(DirError::Held { dir: dir.display().to_string(), holder });
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        file.set_len(0)?;
        file.write_all(format!("{}\n", std::process::id()).as_bytes())?;
        Ok(Self(file))
    }
}

/// Makes what was created, renamed or removed in `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> std::io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Takes the mark of a clean stop away, durably, before anything is written. `false`: there was none.
pub(crate) fn take_clean_mark(dir: &Path) -> std::io::Result<bool> {
    match std::fs::remove_file(dir.join(CLEAN)) {
        Ok(()) => sync_dir(dir).map(|()| true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Marks a clean stop: everything written was fsynced, and every fsync succeeded.
pub(crate) fn leave_clean_mark(dir: &Path) -> std::io::Result<()> {
    File::create(dir.join(CLEAN))?.sync_all()?;
    sync_dir(dir)
}

/// Replaces `file` by a synced copy of its first `length` bytes (all: `None`).
///
/// After a failed fsync the page cache may hold, as if clean, what the disk does not: such pages are readable until the
/// next power cut. A copy is new pages, and its fsync is honest.
pub(crate) fn swap_for_synced_copy(file: &Path, length: Option<u64>) -> std::io::Result<()> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".copy");
    let copy = file.with_file_name(name);
    let mut source = File::open(file)?.take(length.unwrap_or(u64::MAX));
    let mut target = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&copy)?;
    std::io::copy(&mut source, &mut target)?;
    target.sync_all()?;
    std::fs::rename(&copy, file)?;
    file.parent().map_or(Ok(()), sync_dir)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_given_back_also_while_a_process_that_is_being_started_has_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let lock = DirLock::acquire(dir.path(), "lock").unwrap();
        let inherited = lock.0.try_clone().unwrap();
        assert!(matches!(DirLock::acquire(dir.path(), "lock"), Err(DirError::Held { .. })));
        drop(lock);
        DirLock::acquire(dir.path(), "lock").unwrap();
        drop(inherited);
    }
}

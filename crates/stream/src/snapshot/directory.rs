//! The directory of snapshots: `DIR/<service>/<partition>.<seq>.<offset>.<taken at>.snapshot`.
use super::file::{About, SnapshotError, read_about};
use crate::embedded::files::{create_private_dir, sync_dir};
use crate::log::Partition;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

const SUFFIX: &str = ".snapshot";
const TEMPORARY: &str = ".part";

/// A snapshot's file, as far as its name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it is.
    pub path: PathBuf,
    /// The partition.
    pub partition: Partition,
    /// `seq` of the last frame in it.
    pub seq: u64,
    offset: u64,
    taken_at: i64,
}

impl Found {
    fn of(path: PathBuf) -> Option<Self> {
        let name = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?;
        let mut parts = name.split('.');
        let mut part = || parts.next();
        let found = Self {
            partition: Partition(part()?.parse().ok()?),
            seq: part()?.parse().ok()?,
            offset: part()?.parse().ok()?,
            taken_at: part()?.parse().ok()?,
            path: path.clone(),
        };
        part().is_none().then_some(found)
    }
}

/// A service's snapshots in a directory that processes share.
#[derive(Debug, Clone)]
pub struct SnapshotDir {
    dir: PathBuf,
}

impl SnapshotDir {
    /// The snapshots of `service` below `dir`. Creates nothing.
    #[must_use]
    pub fn of(dir: &Path, service: &str) -> Self {
        Self { dir: dir.join(service) }
    }

    /// The snapshots of `partition` (all partitions: `None`), newest frame first. Files with other names are passed over.
    ///
    /// # Errors
    /// When the directory is there and cannot be read.
    pub fn list(&self, partition: Option<Partition>) -> std::io::Result<Vec<Found>> {
        let mut found: Vec<Found> = self
            .files()?
            .into_iter()
            .filter_map(Found::of)
            .filter(|found| partition.is_none_or(|wanted| wanted == found.partition))
            .collect();
        found.sort_by_key(|found| {
            (found.partition, std::cmp::Reverse((found.seq, found.offset, found.taken_at)))
        });
        Ok(found)
    }

    /// Deletes the snapshots of `partition` that end before frame `seq`, and what unfinished ones left. How many there were.
    ///
    /// For erasure: what was folded before a person was erased may still link an identifier's hash to the person.
    ///
    /// # Errors
    /// When a file cannot be deleted; others may be gone.
    pub fn delete_before(&self, partition: Partition, seq: u64) -> std::io::Result<usize> {
        let old: Vec<PathBuf> = self
            .list(Some(partition))?
            .into_iter()
            .filter(|found| found.seq < seq)
            .map(|found| found.path)
            .chain(self.unfinished(partition)?)
            .collect();
        self.delete(&old)
    }

    /// Deletes all but `newest` and, of the others, those that were taken last: `keep` stay. By the time, not by `seq`: after a topic was replaced those of the
    /// former one may have higher numbers, and must not push out what is needed now; and never the newest, whatever the clocks
    /// of other machines say.
    pub(super) fn prune(&self, partition: Partition, newest: &Path, keep: usize) -> std::io::Result<usize> {
        let mut found = self.list(Some(partition))?;
        found.retain(|found| found.path != newest);
        found.sort_by_key(|found| std::cmp::Reverse((found.taken_at, found.seq)));
        let old: Vec<PathBuf> =
            found.into_iter().skip(keep.saturating_sub(1)).map(|found| found.path).collect();
        self.delete(&old)
    }

    /// Deletes what writers left that did not finish. Only the owner of a partition writes its snapshots; a former owner that
    /// is still at it loses its file, and with it nothing.
    pub(super) fn delete_unfinished(&self, partition: Partition) -> std::io::Result<usize> {
        let left = self.unfinished(partition)?;
        self.delete(&left)
    }

    fn unfinished(&self, partition: Partition) -> std::io::Result<Vec<PathBuf>> {
        let start = format!("{:05}.", partition.0);
        Ok(self
            .files()?
            .into_iter()
            .filter(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with(&start) && name.ends_with(TEMPORARY)
            })
            .collect())
    }

    fn files(&self) -> std::io::Result<Vec<PathBuf>> {
        match std::fs::read_dir(&self.dir) {
            Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn delete(&self, files: &[PathBuf]) -> std::io::Result<usize> {
        for file in files {
            match std::fs::remove_file(file) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        if !files.is_empty() {
            sync_dir(&self.dir)?;
        }
        Ok(files.len())
    }

    /// A file to be written; nobody takes it for a snapshot before [`SnapshotDir::publish`]. `nonce` tells writers apart.
    pub(super) fn begin(&self, partition: Partition, nonce: u64) -> std::io::Result<(PathBuf, File)> {
        create_private_dir(&self.dir)?;
        let path = self.dir.join(format!("{:05}.{nonce:016x}{TEMPORARY}", partition.0));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok((path, file))
    }

    /// Gives the synced file its name.
    pub(super) fn publish(&self, written: &Path, about: &About) -> std::io::Result<PathBuf> {
        let path = self.dir.join(format!(
            "{:05}.{:020}.{:020}.{:016}{SUFFIX}",
            about.partition, about.cursor.seq, about.cursor.offset, about.taken_at.0
        ));
        std::fs::rename(written, &path)?;
        Ok(path)
    }

    /// Makes what was renamed or deleted durable.
    pub(super) fn sync(&self) -> std::io::Result<()> {
        sync_dir(&self.dir)
    }
}

/// What each snapshot is, or why it cannot be told; for people.
///
/// # Errors
/// When the directory is there and cannot be read.
pub fn describe(dir: &SnapshotDir) -> std::io::Result<Vec<(Found, Result<About, SnapshotError>)>> {
    let found = dir.list(None)?;
    Ok(found
        .into_iter()
        .map(|found| {
            let about = read_about(&found.path);
            (found, about)
        })
        .collect())
}

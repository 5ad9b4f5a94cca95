//! Into a directory of the embedded log.
use super::archive::{Archived, Manifest, Part, Section};
use super::import::{
    Imported, base_record, by_place, check, compare, open, require_empty, require_partitions,
};
use super::{MoveError, OnProgress, Progress};
use crate::embedded::{
    EmbeddedLog, EmbeddedOptions, KEEP_ALL, MAX_RECORD_BYTES, Restore, files, open_read_only,
};
use crate::log::{Log as _, NewRecord, Offset, Topic};
use domain::time::Micros;
use std::path::{Path, PathBuf};
use tokio::sync::mpsc::{Sender, channel};

/// What an import into a directory is called until it is whole.
const UNFINISHED: &str = "importing";
/// Reports of progress that may wait.
const REPORTS: usize = 16;

/// Imports into the directory of an embedded log that is missing or holds no record. Offsets and times are those of the
/// archive: a backup that is restored is the same log. The directory appears when all of it is there.
///
/// # Errors
/// As [`super::into_kafka`].
pub async fn into_embedded(
    dir: &Path,
    partitions: u32,
    archive: &Path,
    on_progress: OnProgress<'_>,
) -> Result<Imported, MoveError> {
    let (archived, manifest) = check(archive, MAX_RECORD_BYTES, on_progress)?;
    require_partitions(archived, partitions)?;
    let remedy =
        format!("choose another --data-dir, or move {} away, if nothing of value is in it", dir.display());
    if dir.exists() {
        // Not through a running process's socket: what is replaced must be nobody's.
        let mut options = EmbeddedOptions::new(dir);
        (options.ingest_retention, options.outcome_retention) = (KEEP_ALL, KEEP_ALL);
        let found = EmbeddedLog::open_existing(&options)?;
        require_partitions(archived, found.partition_count())?;
        require_empty(found.as_ref(), &remedy).await?;
    }
    let unfinished = dir.with_extension(UNFINISHED);
    // Left by an import that did not come to its end: nobody else makes it.
    remove(&unfinished)?;
    let (sender, mut reports) = channel(REPORTS);
    let (from, to, sums) = (archive.to_owned(), unfinished.clone(), manifest.clone());
    let writing = tokio::task::spawn_blocking(move || restore(&from, &to, partitions, &sums, &sender));
    while let Some(progress) = reports.recv().await {
        on_progress(progress);
    }
    let bases = writing.await.map_err(|error| MoveError::Read(std::io::Error::other(error)))??;
    let written = open_read_only(&unfinished).await?;
    compare(written.as_ref(), &manifest, &remedy, on_progress).await?;
    // Gives the directory back, so that it can become the real one.
    drop(written);
    remove(dir)?;
    std::fs::rename(&unfinished, dir).map_err(|error| directory(dir, error))?;
    let parent = dir.parent().map_or_else(|| PathBuf::from("."), Path::to_owned);
    files::sync_dir(&parent).map_err(|error| directory(&parent, error))?;
    Ok(Imported { manifest, bases })
}

fn directory(path: &Path, error: std::io::Error) -> MoveError {
    MoveError::Directory { path: path.display().to_string(), error }
}

fn remove(dir: &Path) -> Result<(), MoveError> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(directory(dir, error)),
        _ => Ok(()),
    }
}

/// Writes a new log; gives the number of base records.
fn restore(
    archive: &Path,
    dir: &Path,
    partitions: u32,
    manifest: &Manifest,
    reports: &Sender<Progress>,
) -> Result<u32, MoveError> {
    let target = Restore::create(dir, partitions)?;
    let sums = by_place(manifest);
    let mut parts = open(archive)?;
    let created_at = Micros(parts.header().created_at_micros);
    let mut open: Option<(Section, u64)> = None;
    let (mut bases, mut count) = (0, 0);
    // A base record that waits for the time of the record behind it.
    let mut base: Option<NewRecord> = None;
    while let Some(part) = parts.next_part()? {
        match part {
            Part::Section(section) => {
                let records = sums.get(&(section.topic, section.partition)).map_or(0, |sums| sums.records);
                // Position 0 has offset 0 here, and nothing need be said.
                if section.topic == Topic::Ingest && section.first > 0 {
                    target.begin_at(section.topic, section.partition, Offset(section.first - 1))?;
                    base = Some(base_record(section.first, records));
                    bases += 1;
                }
                open = Some((section, section.first));
            }
            Part::Records(records) => {
                let Some((section, next)) = &mut open else { continue };
                count += records.len() as u64;
                let first = *next;
                *next += records.len() as u64;
                put(&target, section, first, base.take(), records)?;
                let progress = Progress { doing: "writing", topic: section.topic, records: count };
                // Nobody listening: the import was given up.
                if reports.blocking_send(progress).is_err() {
                    tracing::debug!("nobody waits for the import");
                }
            }
            Part::SectionEnd(_) => {
                if let (Some((section, next)), Some(base)) = (open.take(), base.take()) {
                    let at = Offset(next - 1);
                    target.append(section.topic, section.partition, at, vec![(created_at, base)])?;
                }
            }
            Part::Manifest(_) => {}
        }
    }
    target.finish()?;
    Ok(bases)
}

/// Appends records from position `first` on, behind a base record if there is one: it expires with the first of them.
fn put(
    target: &Restore,
    section: &Section,
    first: u64,
    base: Option<NewRecord>,
    records: Vec<Archived>,
) -> Result<(), MoveError> {
    let at = Offset(first - u64::from(base.is_some()));
    let time = records.first().map_or(Micros(0), |record| record.time);
    let base = base.map(|base| (time, base));
    let records = records.into_iter().map(|Archived { time, key, value }| (time, NewRecord { key, value }));
    let all = base.into_iter().chain(records).collect();
    Ok(target.append(section.topic, section.partition, at, all)?)
}

//! Recovery: the newest checked local store, else the newest checked snapshot, else offset 0.
use super::file::{About, FileReader, Rows, SnapshotError};
use super::{Found, Of, Pace, SnapshotDir, Snapshots};
use crate::cursor::Cursor;
use crate::follow::{FollowError, check_anchor};
use crate::host::{Host as _, SystemHost};
use crate::log::{Log, LogError, Partition, Topic};
use crate::meters;
use crate::store::{StateStore, StoreError};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// A directory that does not answer for this long is passed over.
const LIST_TIMEOUT: Duration = Duration::from_secs(20);
/// For one block of rows to be read.
const BLOCK_TIMEOUT: Duration = Duration::from_secs(60);
/// Blocks read ahead.
const BLOCKS_AHEAD: usize = 2;

/// Why a recovery ends without a cursor.
#[derive(Debug)]
pub(crate) enum RestoreError {
    /// The log does not answer.
    Log(LogError),
    /// The local store does not.
    Store(StoreError),
    /// The partition is given up.
    Released,
}

impl From<StoreError> for RestoreError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// A recovery of one partition.
#[derive(Debug)]
pub(crate) struct Recovery<'a> {
    pub(crate) log: &'a Arc<dyn Log>,
    pub(crate) of: Of,
    pub(crate) output: Topic,
    pub(crate) partition: Partition,
    pub(crate) store: &'a StateStore,
}

impl Recovery<'_> {
    /// Where the fold goes on: at `local`, the cursor of the checked local store, or at that of a snapshot that has been put
    /// in its place; [`Cursor::START`]: there is neither, and the store is empty. Also when the next snapshot is due.
    ///
    /// A snapshot is preferred to a local store only when loading it is less work than reading on: when it is ahead by more
    /// frames than it has rows.
    pub(crate) async fn run(
        &self,
        snapshots: &Snapshots,
        mut local: Option<Cursor>,
        is_released: &(dyn Fn() -> bool + Sync),
    ) -> Result<(Cursor, Pace), RestoreError> {
        let mut pace = Pace::NONE;
        let dir = snapshots.dir(self.of.service);
        for (found, about) in self.candidates(dir).await {
            let about = match about {
                Ok(about) => about,
                Err(error) => {
                    self.skip(&found.path, &error.to_string());
                    continue;
                }
            };
            let have = local.map_or(0, |cursor| cursor.seq);
            if about.cursor.seq <= have || (local.is_some() && about.cursor.seq - have <= about.rows) {
                if local.is_some() && about.cursor.seq <= have && pace == Pace::NONE {
                    pace = Self::pace(&about);
                }
                continue;
            }
            if let Err(reason) = self.check(&about).await? {
                self.skip(&found.path, &reason);
                continue;
            }
            // The local state is given up for it: so it must be known to be whole.
            if local.is_some() && !self.is_whole(&found.path, is_released).await? {
                continue;
            }
            local = None;
            if let Some(cursor) = self.load(&found.path, is_released).await? {
                return Ok((cursor, Self::pace(&about)));
            }
        }
        Ok((local.unwrap_or(Cursor::START), pace))
    }

    fn pace(about: &About) -> Pace {
        let age = SystemHost.now().0.saturating_sub(about.taken_at.0);
        Pace::since(about.cursor.seq, Duration::from_micros(u64::try_from(age).unwrap_or(0)))
    }

    /// What there is, newest first, with what each file says of itself.
    async fn candidates(&self, dir: SnapshotDir) -> Vec<(Found, Result<About, SnapshotError>)> {
        let partition = self.partition;
        let (sender, listed) = oneshot::channel();
        on_thread(move || {
            let listed = dir.list(Some(partition)).map(|found| {
                let about = |found: Found| {
                    let about = super::read_about(&found.path);
                    (found, about)
                };
                found.into_iter().map(about).collect::<Vec<_>>()
            });
            // Nobody waits any more.
            drop(sender.send(listed));
        });
        let reason = match tokio::time::timeout(LIST_TIMEOUT, listed).await {
            Ok(Ok(Ok(found))) => return found,
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(_)) => "no thread for it".to_owned(),
            Err(_) => "it does not answer".to_owned(),
        };
        tracing::warn!(
            service = self.of.service,
            partition = self.partition.0,
            reason,
            "snapshots cannot be listed, going on without: see to the directory that snapshots.dir names"
        );
        Vec::new()
    }

    /// Whether a snapshot is of this service, this binary and this log (rule 10). `Err` inside: why not.
    async fn check(&self, about: &About) -> Result<Result<(), String>, RestoreError> {
        if (about.service.as_str(), about.partition) != (self.of.service, self.partition.0) {
            return Ok(Err(format!("it is of {} partition {}", about.service, about.partition)));
        }
        if about.state_version != self.of.state_version {
            return Ok(Err(format!(
                "its rows are of version {}, this binary has {}",
                about.state_version, self.of.state_version
            )));
        }
        if about.cursor.logic_version > self.of.logic_version {
            return Ok(Err(format!(
                "it was decided by logic version {}, this binary has {}",
                about.cursor.logic_version, self.of.logic_version
            )));
        }
        match check_anchor(self.log, self.output, self.partition, &about.cursor).await {
            Ok(()) => Ok(Ok(())),
            Err(FollowError::Log(error)) => Err(RestoreError::Log(error)),
            Err(error) => Ok(Err(error.to_string())),
        }
    }

    fn skip(&self, file: &Path, reason: &str) {
        metrics::counter!(meters::SNAPSHOTS_SKIPPED, "service" => self.of.service).increment(1);
        tracing::warn!(
            service = self.of.service,
            partition = self.partition.0,
            file = %file.display(),
            reason,
            "snapshot skipped, taking an older one or none; delete the file unless another installation or an older version needs it"
        );
    }

    async fn is_whole(
        &self,
        file: &Path,
        is_released: &(dyn Fn() -> bool + Sync),
    ) -> Result<bool, RestoreError> {
        let mut blocks = Blocks::read(file);
        loop {
            if is_released() {
                return Err(RestoreError::Released);
            }
            match blocks.next().await {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(true),
                Err(reason) => {
                    self.skip(file, &reason);
                    return Ok(false);
                }
            }
        }
    }

    /// Puts the snapshot into the store in place of what is there. `None`: it is damaged, and the store empty.
    async fn load(
        &self,
        file: &Path,
        is_released: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Cursor>, RestoreError> {
        let began = Instant::now();
        self.store.discard()?;
        let mut blocks = Blocks::read(file);
        loop {
            if is_released() {
                // Rows without a header are no state.
                return Err(RestoreError::Released);
            }
            match blocks.next().await {
                Ok(Some(rows)) => self.store.restore_rows(&rows)?,
                Ok(None) => break,
                Err(reason) => {
                    self.skip(file, &reason);
                    self.store.discard()?;
                    return Ok(None);
                }
            }
        }
        let Some(about) = blocks.about else { return Ok(None) };
        self.store.finish_restore(&about.cursor)?;
        metrics::counter!(meters::RESTORES, "service" => self.of.service).increment(1);
        tracing::info!(
            service = self.of.service,
            partition = self.partition.0,
            file = %file.display(),
            seq = about.cursor.seq,
            rows = about.rows,
            bytes = about.bytes,
            took = ?began.elapsed(),
            "state restored from a snapshot"
        );
        Ok(Some(about.cursor))
    }
}

/// Blocks of a file that another thread reads: a volume that hangs may keep that thread, and nothing else.
struct Blocks {
    about: Option<About>,
    coming: mpsc::Receiver<Result<Block, String>>,
}

enum Block {
    Rows(Rows),
    End(About),
}

impl Blocks {
    fn read(file: &Path) -> Self {
        let (sender, coming) = mpsc::channel(BLOCKS_AHEAD);
        let file = file.to_owned();
        on_thread(move || {
            let reader = match FileReader::open(&file) {
                Ok(reader) => reader,
                Err(error) => return drop(sender.blocking_send(Err(error.to_string()))),
            };
            let about = reader.about().clone();
            for rows in reader {
                let (last, block) = match rows {
                    Ok(rows) => (false, Ok(Block::Rows(rows))),
                    Err(error) => (true, Err(error.to_string())),
                };
                if sender.blocking_send(block).is_err() || last {
                    return;
                }
            }
            drop(sender.blocking_send(Ok(Block::End(about))));
        });
        Self { about: None, coming }
    }

    /// The next block; `None` after the last one of a whole file.
    async fn next(&mut self) -> Result<Option<Rows>, String> {
        match tokio::time::timeout(BLOCK_TIMEOUT, self.coming.recv()).await {
            Ok(Some(Ok(Block::Rows(rows)))) => Ok(Some(rows)),
            Ok(Some(Ok(Block::End(about)))) => {
                self.about = Some(about);
                Ok(None)
            }
            Ok(Some(Err(reason))) => Err(reason),
            Ok(None) => Err("no thread reads it".to_owned()),
            Err(_) => Err(format!("it could not be read within {BLOCK_TIMEOUT:?}")),
        }
    }
}

/// Not on the runtime: its end waits for blocking tasks, and a volume that hangs may keep one for ever.
fn on_thread(work: impl FnOnce() + Send + 'static) {
    let started = std::thread::Builder::new().name("snapshot reader".to_owned()).spawn(work);
    if let Err(error) = started {
        tracing::warn!(%error, "no thread to read a snapshot with");
    }
}

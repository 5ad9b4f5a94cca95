//! Room on the disk: appends are refused while there still is some, for after a write that failed for want of space nobody
//! knows what is on the disk.
//!
//! Two marks. Below the reserve nothing new comes in (`ingest`), so that what was accepted can still be worked off; below half
//! of it nothing is written at all. Both end by themselves when there is space again.
use super::Environment;
use crate::log::Topic;
use crate::meters;
use std::path::{Path, PathBuf};

/// What may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Room {
    Nothing,
    /// All but `ingest`.
    Chain,
    Everything,
}

/// Looks at the free space before each group.
#[derive(Debug)]
pub(super) struct Space {
    dir: PathBuf,
    reserve: u64,
    room: Room,
    free: u64,
}

impl Space {
    pub(super) fn new(dir: &Path, reserve: u64) -> Self {
        Self { dir: dir.to_owned(), reserve, room: Room::Everything, free: u64::MAX }
    }

    /// Looks again. What cannot be found out is no reason to refuse.
    pub(super) fn look(&mut self, environment: &dyn Environment) {
        if self.reserve == 0 {
            return;
        }
        self.free = match environment.free_bytes(&self.dir) {
            Ok(free) => free,
            Err(error) => {
                tracing::debug!(%error, "free space not known");
                return;
            }
        };
        metrics::gauge!(meters::FREE_BYTES).set(self.free as f64);
        let room = match self.free {
            free if free < self.reserve / 2 => Room::Nothing,
            free if free < self.reserve => Room::Chain,
            _ => Room::Everything,
        };
        if room != self.room {
            let (free_mb, reserve_mb) = (self.free >> 20, self.reserve >> 20);
            if room < self.room {
                tracing::error!(
                    free_mb,
                    reserve_mb,
                    "the disk is nearly full, new events are refused until there is space"
                );
            } else {
                tracing::info!(free_mb, reserve_mb, "there is space again");
            }
            self.room = room;
        }
    }

    /// Why an append to `topic` is refused, if it is.
    pub(super) fn refusal(&self, topic: Topic) -> Option<String> {
        let fits = match self.room {
            Room::Everything => true,
            Room::Chain => topic != Topic::Ingest,
            Room::Nothing => false,
        };
        (!fits).then(|| {
            format!(
                "the disk is nearly full: {} MiB are free, {} MiB are kept in reserve (log.reserve_mb)",
                self.free >> 20,
                self.reserve >> 20
            )
        })
    }
}

/// Free bytes for us on the file system of `dir`.
pub(crate) fn free_bytes(dir: &Path) -> std::io::Result<u64> {
    let stat = nix::sys::statvfs::statvfs(dir)?;
    #[allow(clippy::useless_conversion, reason = "narrower on some systems")]
    Ok(u64::from(stat.blocks_available()).saturating_mul(u64::from(stat.fragment_size())))
}

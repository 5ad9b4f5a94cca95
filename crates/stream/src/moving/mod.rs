//! Moving a log: to an archive, and from an archive to an empty log, with identical frames.
//!
//! A move keeps every record of the chain, void ones and fences included, so that offsets, anchors and cursors fit the new
//! log as they are. Only `ingest` is at other offsets there, since its beginning may have expired: [`crate::base`]. What
//! gateways must know travels as the newest version of each key; answers to callers do not travel.
//!
//! The order within an archive, and so of an import, is downstream first. Wherever an import stops, some service finds its
//! input shorter than what it has consumed of it, and halts (rule 10): half a log is never taken for a whole one.
//!
//! Read next: [`archive`] (the format), `cut` (what "worked off" means), `export`, `import` (checking and comparing), `to_kafka` and
//! `to_embedded` (writing).
pub mod archive;
mod cut;
mod export;
mod import;
#[cfg(test)]
mod tests;
mod to_embedded;
mod to_kafka;

pub use cut::Behind;
pub use export::{ExportOptions, Exported, export};
pub use import::{Imported, check};
pub use to_embedded::into_embedded;
pub use to_kafka::into_kafka;

use crate::follow::FollowError;
use crate::judge::Halt;
use crate::log::{AppendError, LogError, Topic};

/// The order of the sections.
pub(crate) const ORDER: [Topic; 5] =
    [Topic::Commissions, Topic::Attributed, Topic::Facts, Topic::Ingest, Topic::GatewayConfig];

/// Told how far an export or import is.
pub type OnProgress<'a> = &'a mut (dyn FnMut(Progress) + Send);

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being done: `reading`, `checking`, `writing`, `comparing`.
    pub doing: &'static str,
    /// In which topic.
    pub topic: Topic,
    /// Records so far.
    pub records: u64,
}

/// Why a log cannot be moved.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// The log does not answer, or not as it should.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A topic of the chain cannot be read to its end.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// Services have not worked off what the log holds.
    #[error("the log is not worked off: {}", sentences(.0))]
    NotDrained(Vec<Behind>),
    /// Events came while the archive was written.
    #[error(
        "{0} events came while the archive was written and are not in it: stop whatever accepts events, then export again; or, for a copy that nobody goes on with, give --backup"
    )]
    Arrived(u64),
    /// A topic that is kept for ever has lost its beginning.
    #[error("{place} begins at offset {start}: records of the chain were deleted, and cannot be moved")]
    Beheaded {
        /// Topic and partition.
        place: String,
        /// Where it begins.
        start: u64,
    },
    /// The archive cannot be written.
    #[error("the archive cannot be written: {0}")]
    Write(#[source] std::io::Error),
    /// The archive cannot be read.
    #[error("the archive cannot be read: {0}")]
    Read(#[source] std::io::Error),
    /// Not an archive, or not of a version that is known here.
    #[error("this is no archive that can be imported: {0}")]
    Foreign(String),
    /// The archive is not as it was written.
    #[error(
        "the archive is damaged at {place}: {what}; nothing was imported from it; take another copy, or export again"
    )]
    Damaged {
        /// Byte, topic and partition.
        place: String,
        /// What is wrong.
        what: String,
    },
    /// The frames in the archive are not one history.
    #[error("the archive is damaged in {place}: {halt}")]
    Histories {
        /// Topic and partition.
        place: String,
        /// What the judge says.
        halt: Halt,
    },
    /// A record that the target does not take.
    #[error("{place}, position {position}: a record of {bytes} bytes, and the target takes {most}")]
    TooLarge {
        /// Topic and partition.
        place: String,
        /// The record.
        position: u64,
        /// Of its key and value.
        bytes: usize,
        /// The target's limit.
        most: usize,
    },
    /// The target has another number of partitions.
    #[error(
        "the archive has {archive} partitions and the target {target}: a program's partition is part of its history; set log.partitions = {archive} (TRIBUTARY_LOG_PARTITIONS={archive}) and import into new topics"
    )]
    Partitions {
        /// Of the archive.
        archive: u32,
        /// Of the target.
        target: u32,
    },
    /// The target is not empty.
    #[error(
        "{place} of the target already holds {records} records: a log is imported into an empty one only: {remedy}"
    )]
    NotEmpty {
        /// Topic and partition.
        place: String,
        /// How many.
        records: u64,
        /// What to do.
        remedy: String,
    },
    /// A record was not acknowledged.
    #[error("{place}: {error}; the import is not whole: {remedy}")]
    Append {
        /// Topic and partition.
        place: String,
        /// Why.
        error: AppendError,
        /// What to do.
        remedy: String,
    },
    /// What is in the target afterwards is not what was imported.
    #[error("{place}: {what}; the import is not whole: {remedy}")]
    Differs {
        /// Topic and partition.
        place: String,
        /// What was found.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// The directory of an embedded log cannot be made.
    #[error("{path}: {error}")]
    Directory {
        /// The directory.
        path: String,
        /// Why.
        error: std::io::Error,
    },
}

fn sentences(behind: &[Behind]) -> String {
    let all: Vec<String> = behind.iter().take(8).map(ToString::to_string).collect();
    let more = behind.len().saturating_sub(all.len());
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    format!("{}{more}", all.join("; "))
}

//! Checkpoints are whole cursors (rule 3). Nobody starts from an offset alone.
use crate::log::Offset;
use domain::ids::Hash;
use domain::time::Micros;
use serde::{Deserialize, Serialize};

/// A writer: the random id of one take of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WriterId(pub [u8; 16]);

/// How far a reader of a chain topic's partition has come, and in which history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The next offset to read.
    pub offset: u64,
    /// Hash of the value of the record at `offset - 1`; zero at the start.
    pub anchor: Hash,
    /// The current epoch; 0: no fence seen.
    pub epoch: u64,
    /// The current writer.
    pub writer: WriterId,
    /// `seq` of the last accepted frame; 0: none.
    pub seq: u64,
    /// Hash of the content of the last accepted frame; zero: none.
    pub head: Hash,
    /// Logic version of the current fence.
    pub logic_version: u32,
    /// Clock of the last accepted frame.
    pub clock: Micros,
}

impl Cursor {
    /// Before the first record.
    pub const START: Self = Self {
        offset: 0,
        anchor: Hash::ZERO,
        epoch: 0,
        writer: WriterId([0; 16]),
        seq: 0,
        head: Hash::ZERO,
        logic_version: 0,
        clock: Micros(0),
    };

    /// The next offset to read.
    #[must_use]
    pub const fn next_offset(&self) -> Offset {
        Offset(self.offset)
    }
}

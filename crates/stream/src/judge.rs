//! Acceptance: every reader judges every record of a chain topic the same way (rule 2).
//!
//! A fence counts if its epoch is above the current one, and sets the current (epoch, writer). A frame is accepted if its
//! (epoch, writer) is current and its `seq` is the next. Everything else is void: skipped, never a halt. Only an accepted
//! `seq` whose `prev_head` is not the reader's head halts: two histories met.
use crate::cursor::{Cursor, WriterId};
use crate::log::{Offset, Record};
use crate::parked::Mark;
use crate::weakness::{self, Weakness};
use bytes::Bytes;
use domain::ids::Hash;
use domain::time::Micros;
use prost::Message;
use wire::envelope::{self, Envelope, Kind};
use wire::v1::{FenceContent, FrameContent};

/// An accepted frame.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Where its record is.
    pub offset: Offset,
    /// What travels beside the content.
    pub envelope: Envelope,
    /// Hash of the content.
    pub head: Hash,
    /// Its place in the service's history.
    pub seq: u64,
    /// Its input: `seq` of the input topic, or the `ingest` position.
    pub source: u64,
    /// Hash of the input.
    pub source_head: Hash,
    /// Hash of the content before it.
    pub prev_head: Hash,
    /// Step within the input.
    pub step: u32,
    /// The last step.
    pub last: bool,
    /// The partition's clock.
    pub clock: Micros,
    /// Its events, as stored.
    pub events: Vec<Bytes>,
    /// Why the input is parked; empty: it is not.
    pub defect: String,
    /// The parked input (protocol, rule 8); empty: none, or it is kept elsewhere.
    pub defect_input: Bytes,
    /// Inputs that were parked, here or upstream, and parked ones that are decided now.
    pub marks: Vec<Mark>,
}

/// What a record is to a reader.
#[derive(Debug, Clone)]
pub enum Judged {
    /// A new owner.
    Fence,
    /// The next frame.
    Frame(Box<Frame>),
    /// Nothing, for this reason.
    Void(Void),
}

/// Why a record is void.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Void {
    /// A fence whose epoch is not above the current one.
    StaleFence,
    /// Not of the current (epoch, writer).
    NotOwner,
    /// A `seq` that was accepted before.
    Repeated,
    /// A `seq` after the next one.
    Hole,
    /// No envelope or no content.
    Undecodable,
}

impl Void {
    /// What [`Void::name`] gives.
    pub(crate) const NAMES: [&'static str; 5] =
        ["stale_fence", "not_owner", "repeated", "hole", "undecodable"];

    /// The label in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::StaleFence => "stale_fence",
            Self::NotOwner => "not_owner",
            Self::Repeated => "repeated",
            Self::Hole => "hole",
            Self::Undecodable => "undecodable",
        }
    }
}

/// A reader must stop: what it has read and what it reads are two histories.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// The next frame does not follow from the last one.
    #[error(
        "two histories at offset {offset}: frame {seq} follows {found:?}, the reader stands at {expected:?}; do not continue: compare with a backup, then rebuild this reader from offset 0"
    )]
    HeadMismatch {
        /// Where.
        offset: u64,
        /// Which frame.
        seq: u64,
        /// The reader's head.
        expected: Hash,
        /// The frame's `prev_head`.
        found: Hash,
    },
    /// An offset is missing: records were deleted or lost.
    #[error(
        "offset {expected} is missing (the next record is {found}): the log was truncated or records were deleted below the reader; do not continue: restore the log, or rebuild this reader from offset 0"
    )]
    OffsetGap {
        /// What was due.
        expected: u64,
        /// What came.
        found: u64,
    },
}

/// A reader's place and judgement in one partition.
#[derive(Debug, Clone)]
pub struct Judge {
    cursor: Cursor,
    /// The record at `cursor.offset - 1`, if its hash is not in `cursor.anchor` yet: hashing waits until somebody asks.
    last_record: Option<Bytes>,
}

impl Judge {
    /// Continues from a checkpoint that was checked against the log.
    #[must_use]
    pub const fn new(cursor: Cursor) -> Self {
        Self { cursor, last_record: None }
    }

    /// The whole cursor.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        let mut cursor = self.cursor;
        if let Some(record) = &self.last_record {
            cursor.anchor = Hash::of(record);
        }
        cursor
    }

    /// The next offset.
    #[must_use]
    pub const fn next_offset(&self) -> u64 {
        self.cursor.offset
    }

    /// `seq` and head of the last accepted frame.
    #[must_use]
    pub const fn last(&self) -> (u64, Hash) {
        (self.cursor.seq, self.cursor.head)
    }

    /// The current owner.
    #[must_use]
    pub const fn owner(&self) -> (u64, WriterId) {
        (self.cursor.epoch, self.cursor.writer)
    }

    /// Logic version of the current fence.
    #[must_use]
    pub const fn logic_version(&self) -> u32 {
        self.cursor.logic_version
    }

    /// Judges the next record.
    ///
    /// # Errors
    /// [`Halt`].
    pub fn judge(&mut self, record: &Record) -> Result<Judged, Halt> {
        if record.offset.0 != self.cursor.offset {
            return Err(Halt::OffsetGap { expected: self.cursor.offset, found: record.offset.0 });
        }
        let judged = self.judge_value(record)?;
        self.advance(&record.value);
        Ok(judged)
    }

    /// Takes the owner's own frame, whose record was acknowledged at exactly the next offset, as read (rule 4).
    pub(crate) fn accept_own(&mut self, record: &Bytes, seq: u64, head: Hash, clock: Micros) {
        self.cursor.seq = seq;
        self.cursor.head = head;
        self.cursor.clock = clock;
        self.advance(record);
    }

    /// Believes that the partition is ours although what lies before the fence was not read.
    #[cfg(feature = "weaknesses")]
    pub(crate) fn assume(&mut self, next_offset: u64, epoch: u64, writer: WriterId) {
        self.cursor.offset = next_offset;
        self.cursor.epoch = epoch;
        self.cursor.writer = writer;
    }

    /// Whether `epoch` and `writer` own the partition.
    pub(crate) fn is_owner(&self, epoch: u64, writer: WriterId) -> bool {
        let same_writer = writer == self.cursor.writer || weakness::on(Weakness::NoWriterId);
        epoch == self.cursor.epoch && same_writer
    }

    fn advance(&mut self, record: &Bytes) {
        self.cursor.offset += 1;
        self.last_record = Some(record.clone());
    }

    fn judge_value(&mut self, record: &Record) -> Result<Judged, Halt> {
        let Ok((envelope, content)) = envelope::decode(&record.value) else {
            return Ok(Judged::Void(Void::Undecodable));
        };
        match envelope.kind {
            Kind::Fence => Ok(self.judge_fence(&envelope, content)),
            Kind::Frame => self.judge_frame(record.offset, envelope, content),
        }
    }

    fn judge_fence(&mut self, envelope: &Envelope, content: Bytes) -> Judged {
        let Ok(fence) = FenceContent::decode(content) else {
            return Judged::Void(Void::Undecodable);
        };
        if envelope.epoch <= self.cursor.epoch {
            return Judged::Void(Void::StaleFence);
        }
        self.cursor.epoch = envelope.epoch;
        self.cursor.writer = WriterId(envelope.writer);
        self.cursor.logic_version = fence.logic_version;
        Judged::Fence
    }

    fn judge_frame(&mut self, offset: Offset, envelope: Envelope, content: Bytes) -> Result<Judged, Halt> {
        if self.cursor.epoch == 0 && weakness::on(Weakness::OffsetOnly) {
            (self.cursor.epoch, self.cursor.writer) = (envelope.epoch, WriterId(envelope.writer));
        }
        if !self.is_owner(envelope.epoch, WriterId(envelope.writer)) && !weakness::on(Weakness::NoEpochNoHead)
        {
            return Ok(Judged::Void(Void::NotOwner));
        }
        let head = Hash::of(&content);
        let Ok(content) = FrameContent::decode(content) else {
            return Ok(Judged::Void(Void::Undecodable));
        };
        let (Some(source_head), Some(prev_head)) =
            (hash_of(&content.source_head), hash_of(&content.prev_head))
        else {
            return Ok(Judged::Void(Void::Undecodable));
        };
        if content.seq <= self.cursor.seq {
            return Ok(Judged::Void(Void::Repeated));
        }
        if content.seq != self.cursor.seq + 1 {
            if weakness::on(Weakness::HoleHalts) {
                return Err(Halt::OffsetGap { expected: self.cursor.seq + 1, found: content.seq });
            }
            return Ok(Judged::Void(Void::Hole));
        }
        if prev_head != self.cursor.head && !weakness::on(Weakness::NoEpochNoHead) {
            return Err(Halt::HeadMismatch {
                offset: offset.0,
                seq: content.seq,
                expected: self.cursor.head,
                found: prev_head,
            });
        }
        self.cursor.seq = content.seq;
        self.cursor.head = head;
        self.cursor.clock = Micros(content.clock_micros);
        Ok(Judged::Frame(Box::new(Frame {
            offset,
            envelope,
            head,
            seq: content.seq,
            source: content.source,
            source_head,
            prev_head,
            step: content.step,
            last: content.last,
            clock: Micros(content.clock_micros),
            events: content.events,
            defect: content.defect,
            defect_input: content.defect_input,
            marks: content.marks.into_iter().map(Mark::from).collect(),
        })))
    }
}

fn hash_of(bytes: &[u8]) -> Option<Hash> {
    bytes.try_into().ok().map(Hash)
}

//! The bytes of a snapshot: blocks of rows, then what they are.
//!
//! ```text
//! magic 16 | block … | 0 u32 | about (postcard) | its length u32 | its XXH3 u64 | magic 16
//! block = length u32 | XXH3 u64 | rows;   row = key length, key, value length, value (lengths as varints)
//! ```
//! Numbers are little-endian. What the rows are stands at the end, since it is known only then, and because a file that was
//! cut short must not look like one.
use crate::cursor::Cursor;
use crate::log::Partition;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use domain::time::Micros;
use prost::encoding::{decode_varint, encode_varint};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

const MAGIC: &[u8; 16] = b"TRIBUTARY-SNAP-1";
/// Layout of the file and of what is said about it.
const FORMAT: u32 = 1;
/// Rows are gathered up to about this many bytes.
const BLOCK_BYTES: usize = 1 << 20;
/// A longer block is damage: rows come from frames of at most 1 MiB.
const LONGEST_BLOCK_BYTES: usize = 64 << 20;
/// What stands behind the blocks is at most this long.
const LONGEST_ABOUT_BYTES: usize = 4 << 10;
const TAIL_BYTES: usize = 4 + 8 + MAGIC.len();
/// The disk gets what was written in portions, so that one flush of everything does not hold up the log beside it.
const SYNC_BYTES: u64 = 16 << 20;

/// Rows of a block, in key order.
pub(super) type Rows = Vec<(Bytes, Bytes)>;

/// What a snapshot is: written behind its rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    format: u32,
    /// The service whose state it is.
    pub service: String,
    /// The partition.
    pub partition: u32,
    /// Layout of the rows ([`crate::service::Service::STATE_VERSION`]).
    pub state_version: u32,
    /// Logic version of the binary that wrote it.
    pub logic_version: u32,
    /// Up to where the state is folded: the whole cursor (rule 3).
    pub cursor: Cursor,
    /// How many rows it has.
    pub rows: u64,
    /// Bytes of its blocks.
    pub bytes: u64,
    /// When it was begun, by the clock of the machine that wrote it.
    pub taken_at: Micros,
    checksum: u64,
}

impl About {
    /// What is known before the rows are written.
    pub(super) fn new(
        (service, partition): (&str, Partition),
        (state_version, logic_version): (u32, u32),
        cursor: Cursor,
        taken_at: Micros,
    ) -> Self {
        Self {
            format: FORMAT,
            service: service.to_owned(),
            partition: partition.0,
            state_version,
            logic_version,
            cursor,
            rows: 0,
            bytes: 0,
            taken_at,
            checksum: 0,
        }
    }
}

/// Why a snapshot cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The file is not whole.
    #[error("damaged: {0}")]
    Damaged(&'static str),
    /// It is larger than a snapshot may be.
    #[error("the state is larger than snapshots.max_mb allows ({0} MiB); raise it")]
    TooLarge(u64),
    /// The local state could not be read.
    #[error("the local state cannot be read: {0}")]
    Store(String),
    /// The process is about to end.
    #[error("stopped before it was whole")]
    Stopped,
}

/// Writes the blocks of a snapshot and what they are.
pub(super) struct Writer {
    file: File,
    about: About,
    block: BytesMut,
    sum: Xxh3,
    unsynced: u64,
    most_bytes: u64,
}

impl Writer {
    pub(super) fn new(mut file: File, about: About, most_bytes: u64) -> Result<Self, SnapshotError> {
        file.write_all(MAGIC)?;
        let block = BytesMut::with_capacity(BLOCK_BYTES + (64 << 10));
        Ok(Self { file, about, block, sum: Xxh3::new(), unsynced: 0, most_bytes })
    }

    /// Adds a row; keys ascend. `true`: a block was written.
    pub(super) fn row(&mut self, key: &[u8], value: &[u8]) -> Result<bool, SnapshotError> {
        for part in [key, value] {
            encode_varint(part.len() as u64, &mut self.block);
            self.block.put_slice(part);
        }
        self.about.rows += 1;
        if self.block.len() < BLOCK_BYTES {
            return Ok(false);
        }
        self.end_block()?;
        Ok(true)
    }

    fn end_block(&mut self) -> Result<(), SnapshotError> {
        let block = std::mem::take(&mut self.block);
        let length = u32::try_from(block.len()).map_err(|_| SnapshotError::Damaged("a row is too long"))?;
        let checksum = xxh3_64(&block);
        self.about.bytes += u64::from(length);
        self.unsynced += u64::from(length);
        if self.about.bytes > self.most_bytes {
            return Err(SnapshotError::TooLarge(self.most_bytes >> 20));
        }
        self.sum.update(&checksum.to_le_bytes());
        self.file.write_all(&length.to_le_bytes())?;
        self.file.write_all(&checksum.to_le_bytes())?;
        self.file.write_all(&block)?;
        if self.unsynced >= SYNC_BYTES {
            self.file.sync_data()?;
            self.unsynced = 0;
        }
        self.block = block;
        self.block.clear();
        Ok(())
    }

    /// Writes the last block and what all of them are. Nothing is durable yet.
    pub(super) fn finish(mut self) -> Result<(File, About), SnapshotError> {
        if !self.block.is_empty() {
            self.end_block()?;
        }
        self.about.checksum = self.sum.digest();
        let about = postcard::to_allocvec(&self.about)
            .map_err(|_| SnapshotError::Damaged("what it is cannot be encoded"))?;
        let length = u32::try_from(about.len()).unwrap_or(u32::MAX);
        let mut tail = BytesMut::with_capacity(about.len() + TAIL_BYTES + 4);
        tail.put_u32_le(0);
        tail.put_slice(&about);
        tail.put_u32_le(length);
        tail.put_u64_le(xxh3_64(&about));
        tail.put_slice(MAGIC);
        self.file.write_all(&tail)?;
        Ok((self.file, self.about))
    }
}

/// What the snapshot in `path` says it is; its rows are not read.
///
/// # Errors
/// [`SnapshotError::Damaged`] when its end is not that of a whole snapshot.
pub fn read_about(path: &Path) -> Result<About, SnapshotError> {
    about_of(&mut File::open(path)?)
}

fn about_of(file: &mut File) -> Result<About, SnapshotError> {
    let length = file.metadata()?.len();
    let mut magic = [0; MAGIC.len()];
    if length < (MAGIC.len() + 4 + TAIL_BYTES) as u64 {
        return Err(SnapshotError::Damaged("it is too short"));
    }
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(&mut magic)?;
    if &magic != MAGIC {
        return Err(SnapshotError::Damaged("it does not begin like a snapshot of this version"));
    }
    file.seek(SeekFrom::End(-(TAIL_BYTES as i64)))?;
    let mut tail = [0; TAIL_BYTES];
    file.read_exact(&mut tail)?;
    let mut rest = &tail[..];
    let (about_length, checksum) = (rest.get_u32_le() as usize, rest.get_u64_le());
    if rest != MAGIC {
        return Err(SnapshotError::Damaged("its end is missing"));
    }
    let room = usize::try_from(length).unwrap_or(usize::MAX) - TAIL_BYTES - MAGIC.len() - 4;
    if about_length > LONGEST_ABOUT_BYTES.min(room) {
        return Err(SnapshotError::Damaged("its end is unreadable"));
    }
    file.seek(SeekFrom::End(-((TAIL_BYTES + about_length) as i64)))?;
    let mut about = vec![0; about_length];
    file.read_exact(&mut about)?;
    if xxh3_64(&about) != checksum {
        return Err(SnapshotError::Damaged("its end has another checksum"));
    }
    let about: About =
        postcard::from_bytes(&about).map_err(|_| SnapshotError::Damaged("its end is unreadable"))?;
    if about.format != FORMAT {
        return Err(SnapshotError::Damaged("it is of another format"));
    }
    Ok(about)
}

/// Reads the blocks of a snapshot; the end of the list has been compared with what the snapshot says it is.
pub(super) struct FileReader {
    file: File,
    about: About,
    sum: Xxh3,
    rows: u64,
    bytes: u64,
    over: bool,
}

impl FileReader {
    pub(super) fn open(path: &Path) -> Result<Self, SnapshotError> {
        let mut file = File::open(path)?;
        let about = about_of(&mut file)?;
        file.seek(SeekFrom::Start(MAGIC.len() as u64))?;
        Ok(Self { file, about, sum: Xxh3::new(), rows: 0, bytes: 0, over: false })
    }

    pub(super) const fn about(&self) -> &About {
        &self.about
    }

    fn block(&mut self) -> Result<Option<Rows>, SnapshotError> {
        let mut length = [0; 4];
        self.file.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        if length == 0 {
            self.over = true;
            let whole = (self.rows, self.bytes, self.sum.digest())
                == (self.about.rows, self.about.bytes, self.about.checksum);
            return if whole { Ok(None) } else { Err(SnapshotError::Damaged("blocks are missing")) };
        }
        if length > LONGEST_BLOCK_BYTES {
            return Err(SnapshotError::Damaged("a block has an impossible length"));
        }
        let mut checksum = [0; 8];
        self.file.read_exact(&mut checksum)?;
        let mut block = vec![0; length];
        self.file.read_exact(&mut block)?;
        if xxh3_64(&block).to_le_bytes() != checksum {
            return Err(SnapshotError::Damaged("a block has another checksum"));
        }
        self.sum.update(&checksum);
        self.bytes += length as u64;
        let rows = rows_of(Bytes::from(block))?;
        self.rows += rows.len() as u64;
        Ok(Some(rows))
    }
}

impl Iterator for FileReader {
    type Item = Result<Rows, SnapshotError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let block = self.block();
        self.over |= block.is_err();
        block.transpose()
    }
}

fn rows_of(mut block: Bytes) -> Result<Rows, SnapshotError> {
    let mut rows = Vec::new();
    while block.has_remaining() {
        let mut part = || {
            let length = decode_varint(&mut block).ok().and_then(|length| usize::try_from(length).ok());
            match length {
                Some(length) if length <= block.len() => Ok(block.split_to(length)),
                _ => Err(SnapshotError::Damaged("a row is cut short")),
            }
        };
        rows.push((part()?, part()?));
    }
    Ok(rows)
}

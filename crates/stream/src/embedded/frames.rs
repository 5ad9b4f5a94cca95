//! What passes over the socket. Requests have a fixed size, answers a bounded one; numbers are little-endian.
//!
//! Request: operation u8, topic u8, partition u32, offset u64, most records u32, most bytes u32. Answer: length u32, then
//! status u8 and what the operation gives. An append is followed by its record (key length u32, value length u32, key,
//! value), which is "most bytes" long.
use super::MAX_RECORD_BYTES;
use crate::log::{Bounds, LogError, NewRecord, Offset, Partition, Record, Topic};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use domain::time::Micros;
use std::path::{Path, PathBuf};

pub(super) const REQUEST_BYTES: usize = 22;
/// An answer is never longer.
pub(super) const MOST_ANSWER_BYTES: usize = 16 << 20;
pub(super) const MOST_READ_BYTES: usize = 4 << 20;
pub(super) const MOST_READ_RECORDS: usize = 10_000;
const RECORD_HEADER_BYTES: usize = 24;
/// A socket's path may not be longer on Linux (108 with the final zero); a little is left.
const MOST_PATH_BYTES: usize = 100;
const NAME: &str = "tributary.sock";

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// Partition count and active partitions.
    Hello,
    Bounds,
    RecordAt,
    /// Waits a moment at the end, and may then answer nothing.
    Read,
    /// One record, to `ingest` only: what a command asks of the services of the holder.
    Append,
}

/// The longest record of an append, with its two lengths.
pub(super) const MOST_APPEND_BYTES: usize = MAX_RECORD_BYTES + 8;

/// A record as it follows an append.
pub(super) fn encode_record(record: &NewRecord) -> Bytes {
    let mut out = BytesMut::with_capacity(8 + record.key.len() + record.value.len());
    out.put_u32_le(u32::try_from(record.key.len()).unwrap_or(u32::MAX));
    out.put_u32_le(u32::try_from(record.value.len()).unwrap_or(u32::MAX));
    out.put_slice(&record.key);
    out.put_slice(&record.value);
    out.freeze()
}

pub(super) fn decode_record(mut bytes: Bytes) -> Result<NewRecord, Unintelligible> {
    if bytes.len() < 8 {
        return Err(Unintelligible);
    }
    let (key, value) = (bytes.get_u32_le() as usize, bytes.get_u32_le() as usize);
    if bytes.len() != key.saturating_add(value) {
        return Err(Unintelligible);
    }
    Ok(NewRecord { key: bytes.split_to(key), value: bytes })
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub(super) operation: Operation,
    pub(super) topic: Topic,
    pub(super) partition: Partition,
    pub(super) offset: Offset,
    pub(super) most_records: usize,
    pub(super) most_bytes: usize,
}

/// Bytes that are no request or no answer.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("unintelligible bytes on the log's socket: are both programs of the same version?")]
pub(super) struct Unintelligible;

impl From<Unintelligible> for LogError {
    fn from(error: Unintelligible) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl Request {
    pub(super) fn encode(&self) -> [u8; REQUEST_BYTES] {
        let mut out = [0; REQUEST_BYTES];
        let mut at = &mut out[..];
        at.put_u8(self.operation as u8);
        at.put_u8(self.topic as u8);
        at.put_u32_le(self.partition.0);
        at.put_u64_le(self.offset.0);
        at.put_u32_le(u32::try_from(self.most_records).unwrap_or(u32::MAX));
        at.put_u32_le(u32::try_from(self.most_bytes).unwrap_or(u32::MAX));
        out
    }

    pub(super) fn decode(bytes: &[u8; REQUEST_BYTES]) -> Result<Self, Unintelligible> {
        let mut at = &bytes[..];
        let operation = match at.get_u8() {
            0 => Operation::Hello,
            1 => Operation::Bounds,
            2 => Operation::RecordAt,
            3 => Operation::Read,
            4 => Operation::Append,
            _ => return Err(Unintelligible),
        };
        Ok(Self {
            operation,
            topic: *Topic::ALL.get(usize::from(at.get_u8())).ok_or(Unintelligible)?,
            partition: Partition(at.get_u32_le()),
            offset: Offset(at.get_u64_le()),
            most_records: (at.get_u32_le() as usize).min(MOST_READ_RECORDS),
            most_bytes: (at.get_u32_le() as usize).min(MOST_READ_BYTES),
        })
    }
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Hello {
        partitions: u32,
        active: Vec<Partition>,
    },
    Bounds(Bounds),
    Records(Vec<Record>),
    OutOfRange(Bounds),
    /// On the disk. Without an offset when the log did not tell it.
    Appended(Option<Offset>),
    /// Not in the log, and will not be.
    Refused(String),
    Failed {
        kind: u8,
        text: String,
    },
}

const UNAVAILABLE: u8 = 0;
const MISCONFIGURED: u8 = 1;
const CORRUPT: u8 = 2;
const CLOSED: u8 = 3;

impl Answer {
    pub(super) fn of_error(error: LogError) -> Self {
        let (kind, text) = match error {
            LogError::OutOfRange { bounds, .. } => return Self::OutOfRange(bounds),
            LogError::Unavailable(text) => (UNAVAILABLE, text),
            LogError::Misconfigured(text) => (MISCONFIGURED, text),
            LogError::Corrupt(text) => (CORRUPT, text),
            LogError::Closed => (CLOSED, String::new()),
        };
        Self::Failed { kind, text }
    }

    /// The error that it stands for, or the answer.
    pub(super) fn into_result(self, request: &Request) -> Result<Self, LogError> {
        Err(match self {
            Self::OutOfRange(bounds) => LogError::OutOfRange {
                topic: request.topic,
                partition: request.partition,
                wanted: request.offset,
                bounds,
                remedy: "read from the start",
            },
            Self::Failed { kind: MISCONFIGURED, text } => LogError::Misconfigured(text),
            Self::Failed { kind: CORRUPT, text } => LogError::Corrupt(text),
            Self::Failed { kind: CLOSED, .. } => LogError::Closed,
            Self::Failed { text, .. } => LogError::Unavailable(text),
            answer => return Ok(answer),
        })
    }

    /// With its length before it.
    pub(super) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(64);
        out.put_u32_le(0);
        match self {
            Self::Hello { partitions, active } => {
                out.put_u8(0);
                out.put_u32_le(*partitions);
                active.iter().for_each(|partition| out.put_u32_le(partition.0));
            }
            Self::Bounds(bounds) => put_bounds(&mut out, 1, bounds),
            Self::Records(records) => {
                out.put_u8(2);
                for record in records {
                    out.put_u64_le(record.offset.0);
                    out.put_i64_le(record.appended_at.0);
                    out.put_u32_le(u32::try_from(record.key.len()).unwrap_or(u32::MAX));
                    out.put_u32_le(u32::try_from(record.value.len()).unwrap_or(u32::MAX));
                    out.put_slice(&record.key);
                    out.put_slice(&record.value);
                }
            }
            Self::OutOfRange(bounds) => put_bounds(&mut out, 3, bounds),
            Self::Appended(offset) => {
                out.put_u8(5);
                out.put_u64_le(offset.map_or(u64::MAX, |offset| offset.0));
            }
            Self::Refused(text) => {
                out.put_u8(6);
                out.put_slice(text.as_bytes());
            }
            Self::Failed { kind, text } => {
                out.put_u8(4);
                out.put_u8(*kind);
                out.put_slice(text.as_bytes());
            }
        }
        let length = u32::try_from(out.len() - 4).unwrap_or(u32::MAX);
        out[..4].copy_from_slice(&length.to_le_bytes());
        out.freeze()
    }

    /// Without its length.
    pub(super) fn decode(mut bytes: Bytes) -> Result<Self, Unintelligible> {
        if bytes.is_empty() {
            return Err(Unintelligible);
        }
        match bytes.get_u8() {
            0 if bytes.len() >= 4 && bytes.len().is_multiple_of(4) => {
                let partitions = bytes.get_u32_le();
                let mut active = Vec::with_capacity(bytes.len() / 4);
                while bytes.has_remaining() {
                    active.push(Partition(bytes.get_u32_le()));
                }
                Ok(Self::Hello { partitions, active })
            }
            1 => get_bounds(bytes).map(Self::Bounds),
            2 => {
                let mut records = Vec::new();
                while bytes.has_remaining() {
                    records.push(get_record(&mut bytes)?);
                }
                Ok(Self::Records(records))
            }
            3 => get_bounds(bytes).map(Self::OutOfRange),
            4 if bytes.has_remaining() => {
                let kind = bytes.get_u8();
                Ok(Self::Failed { kind, text: String::from_utf8_lossy(&bytes).into_owned() })
            }
            5 if bytes.len() == 8 => {
                let offset = bytes.get_u64_le();
                Ok(Self::Appended((offset != u64::MAX).then_some(Offset(offset))))
            }
            6 => Ok(Self::Refused(String::from_utf8_lossy(&bytes).into_owned())),
            _ => Err(Unintelligible),
        }
    }
}

fn put_bounds(out: &mut BytesMut, status: u8, bounds: &Bounds) {
    out.put_u8(status);
    out.put_u64_le(bounds.start.0);
    out.put_u64_le(bounds.end.0);
}

fn get_bounds(mut bytes: Bytes) -> Result<Bounds, Unintelligible> {
    if bytes.len() != 16 {
        return Err(Unintelligible);
    }
    Ok(Bounds { start: Offset(bytes.get_u64_le()), end: Offset(bytes.get_u64_le()) })
}

fn get_record(bytes: &mut Bytes) -> Result<Record, Unintelligible> {
    if bytes.len() < RECORD_HEADER_BYTES {
        return Err(Unintelligible);
    }
    let offset = Offset(bytes.get_u64_le());
    let appended_at = Micros(bytes.get_i64_le());
    let (key, value) = (bytes.get_u32_le() as usize, bytes.get_u32_le() as usize);
    if bytes.len() < key.saturating_add(value) {
        return Err(Unintelligible);
    }
    let (key, value) = (bytes.split_to(key), bytes.split_to(value));
    Ok(Record { offset, appended_at, key, value, imported_at: None })
}

/// The socket of the log in `dir`, by a path that is short enough, and what keeps that path valid.
pub(super) fn socket_path(dir: &Path) -> std::io::Result<(PathBuf, Option<std::fs::File>)> {
    let path = dir.join(NAME);
    if path.as_os_str().len() <= MOST_PATH_BYTES {
        return Ok((path, None));
    }
    let held = std::fs::File::open(dir)?;
    let descriptor = std::os::fd::AsRawFd::as_raw_fd(&held);
    Ok((PathBuf::from(format!("/proc/self/fd/{descriptor}/{NAME}")), Some(held)))
}

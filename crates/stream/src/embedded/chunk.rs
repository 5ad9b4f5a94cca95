//! A chunk: records of one partition with consecutive offsets and one append time, in one buffer.
//!
//! One value of the store per record would cost more for the store's own bookkeeping than for the record. Layout, all
//! little-endian: version u8, count u32, append time i64, then per record the lengths of key and value (u32 each), then
//! per record key and value.
use crate::log::{NewRecord, Offset, Record};
use bytes::{BufMut, Bytes, BytesMut};
use domain::time::Micros;

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 13;
const LENGTHS_BYTES: usize = 8;

/// Not a chunk that this version wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a chunk of records cannot be decoded")]
pub(super) struct BadChunk;

/// Bytes that `record` adds to a chunk.
pub(super) fn record_bytes(record: &NewRecord) -> usize {
    LENGTHS_BYTES + record.key.len() + record.value.len()
}

/// Encodes `records`.
pub(super) fn encode(appended_at: Micros, records: &[NewRecord]) -> Bytes {
    let bytes = records.iter().map(record_bytes).sum::<usize>();
    let mut out = BytesMut::with_capacity(HEADER_BYTES + bytes);
    out.put_u8(VERSION);
    out.put_u32_le(u32::try_from(records.len()).unwrap_or(u32::MAX));
    out.put_i64_le(appended_at.0);
    for record in records {
        out.put_u32_le(u32::try_from(record.key.len()).unwrap_or(u32::MAX));
        out.put_u32_le(u32::try_from(record.value.len()).unwrap_or(u32::MAX));
    }
    for record in records {
        out.put_slice(&record.key);
        out.put_slice(&record.value);
    }
    out.freeze()
}

/// A decoded chunk: shares the buffer, copies nothing.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    base: u64,
    count: u32,
    appended_at: Micros,
    bytes: Bytes,
    /// The next record to be handed out, and where its key begins.
    next: u32,
    at: usize,
}

impl Chunk {
    /// The chunk in `bytes`, whose first record has offset `base`.
    pub(super) fn decode(base: u64, bytes: Bytes) -> Result<Self, BadChunk> {
        let header = bytes.get(..HEADER_BYTES).ok_or(BadChunk)?;
        let count = u32::from_le_bytes(fixed(header, 1)?);
        let appended_at = Micros(i64::from_le_bytes(fixed(header, 5)?));
        if header[0] != VERSION || count == 0 {
            return Err(BadChunk);
        }
        let data = (count as usize)
            .checked_mul(LENGTHS_BYTES)
            .and_then(|lengths| lengths.checked_add(HEADER_BYTES))
            .ok_or(BadChunk)?;
        let lengths = bytes.get(HEADER_BYTES..data).ok_or(BadChunk)?;
        let total = lengths
            .chunks_exact(4)
            .map(|length| u64::from(u32::from_le_bytes([length[0], length[1], length[2], length[3]])))
            .sum::<u64>();
        if total != (bytes.len() - data) as u64 {
            return Err(BadChunk);
        }
        Ok(Self { base, count, appended_at, bytes, next: 0, at: data })
    }

    pub(super) const fn base(&self) -> u64 {
        self.base
    }

    /// One past the offset of its last record.
    pub(super) const fn end(&self) -> u64 {
        self.base + self.count as u64
    }

    pub(super) const fn appended_at(&self) -> Micros {
        self.appended_at
    }

    /// The chunk as it is stored.
    pub(super) const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Bytes in memory.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The offset of the record that comes next; [`Chunk::end`] when none is left.
    pub(super) const fn next_offset(&self) -> u64 {
        self.base + self.next as u64
    }

    /// Moves on to `offset`, if it is not behind.
    pub(super) fn skip_to(&mut self, offset: u64) {
        while self.next_offset() < offset && self.next < self.count {
            let (key, value) = self.lengths();
            self.at += key + value;
            self.next += 1;
        }
    }

    /// Key and value lengths of the next record, which must exist.
    fn lengths(&self) -> (usize, usize) {
        let at = HEADER_BYTES + self.next as usize * LENGTHS_BYTES;
        let length = |at: usize| {
            self.bytes[at..at + 4].iter().rev().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte))
        };
        (length(at), length(at + 4))
    }

    /// Bytes of the next record's key and value.
    pub(super) fn peek_bytes(&self) -> Option<usize> {
        (self.next < self.count).then(|| {
            let (key, value) = self.lengths();
            key + value
        })
    }
}

impl Iterator for Chunk {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        if self.next >= self.count {
            return None;
        }
        let (key, value) = self.lengths();
        let offset = Offset(self.next_offset());
        let middle = self.at + key;
        let end = middle + value;
        let record = Record {
            offset,
            appended_at: self.appended_at,
            key: if key == 0 { Bytes::new() } else { self.bytes.slice(self.at..middle) },
            value: self.bytes.slice(middle..end),
            // A log that is restored here keeps its records' own times.
            imported_at: None,
        };
        self.at = end;
        self.next += 1;
        Some(record)
    }
}

fn fixed<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], BadChunk> {
    bytes.get(at..at + N).and_then(|part| part.try_into().ok()).ok_or(BadChunk)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn records_come_back_as_they_went_in_and_a_cut_chunk_is_refused() {
        let records: Vec<_> = (0..5_u8)
            .map(|n| NewRecord { key: vec![n; usize::from(n)].into(), value: vec![n; 300].into() })
            .collect();
        let bytes = encode(Micros(7), &records);
        let mut chunk = Chunk::decode(40, bytes.clone()).unwrap();
        chunk.skip_to(42);
        let read: Vec<_> = chunk.collect();
        assert_eq!(read.len(), 3);
        for (record, offset) in read.iter().zip(42..) {
            let written = &records[usize::try_from(offset - 40).unwrap()];
            assert_eq!((record.offset, record.appended_at), (Offset(offset), Micros(7)));
            assert_eq!((&record.key, &record.value), (&written.key, &written.value));
        }
        for length in 0..bytes.len() {
            assert!(Chunk::decode(40, bytes.slice(..length)).is_err());
        }
    }
}

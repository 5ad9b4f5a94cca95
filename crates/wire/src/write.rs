//! A protobuf writer over borrowed values.
//!
//! The generated messages own their strings: encoding through them clones each field of each event of the hot path once.
//! This writes the same bytes as they do (fields in tag order, defaults left out), with one allocation for an event;
//! `tests/golden.rs` holds the two against each other for every event kind.
use bytes::Bytes;

/// Enough for nearly every event, so that the buffer does not grow.
const USUAL_BYTES: usize = 384;

const VARINT: u32 = 0;
const LENGTH_DELIMITED: u32 = 2;

/// The bytes of one message, growing.
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    /// The message that `fill` writes.
    pub(crate) fn finish(fill: impl FnOnce(&mut Self)) -> Bytes {
        let mut writer = Self(Vec::with_capacity(USUAL_BYTES));
        fill(&mut writer);
        Bytes::from(writer.0)
    }

    /// The message that `fill` writes, unless it fails.
    pub(crate) fn try_finish<E>(fill: impl FnOnce(&mut Self) -> Result<(), E>) -> Result<Bytes, E> {
        let mut writer = Self(Vec::with_capacity(USUAL_BYTES));
        fill(&mut writer)?;
        Ok(Bytes::from(writer.0))
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn key(&mut self, tag: u32, wire_type: u32) {
        self.varint(u64::from(tag << 3 | wire_type));
    }

    /// A string; nothing when empty.
    pub(crate) fn text(&mut self, tag: u32, value: &str) {
        self.bytes(tag, value.as_bytes());
    }

    /// Bytes; nothing when empty.
    pub(crate) fn bytes(&mut self, tag: u32, value: &[u8]) {
        if !value.is_empty() {
            self.present(tag, value);
        }
    }

    /// Bytes or a string that have presence (a member of a oneof): written even when empty.
    pub(crate) fn present(&mut self, tag: u32, value: &[u8]) {
        self.key(tag, LENGTH_DELIMITED);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    /// An unsigned number; nothing when 0.
    pub(crate) fn uint(&mut self, tag: u32, value: u64) {
        if value != 0 {
            self.key(tag, VARINT);
            self.varint(value);
        }
    }

    /// A signed number, as `int64` has it; nothing when 0.
    pub(crate) fn int(&mut self, tag: u32, value: i64) {
        self.uint(tag, value.cast_unsigned());
    }

    /// A signed number, as `sint32` has it: small ones are short, also below 0; nothing when 0.
    pub(crate) fn sint32(&mut self, tag: u32, value: i32) {
        self.uint(tag, u64::from(((value << 1) ^ (value >> 31)).cast_unsigned()));
    }

    /// Signed numbers, as a repeated `int64` has them: packed; nothing when there are none.
    pub(crate) fn packed(&mut self, tag: u32, values: &[i64]) {
        if values.is_empty() {
            return;
        }
        let mut inner = Self(Vec::with_capacity(values.len()));
        values.iter().for_each(|value| inner.varint(value.cast_unsigned()));
        self.present(tag, &inner.0);
    }

    /// A signed number with presence: written when there is one, 0 too.
    pub(crate) fn maybe_int(&mut self, tag: u32, value: Option<i64>) {
        if let Some(value) = value {
            self.key(tag, VARINT);
            self.varint(value.cast_unsigned());
        }
    }

    /// A truth value; nothing when false.
    pub(crate) fn flag(&mut self, tag: u32, value: bool) {
        self.uint(tag, u64::from(value));
    }

    /// An enum's number; nothing when 0.
    pub(crate) fn number(&mut self, tag: u32, value: impl Into<i32>) {
        self.int(tag, i64::from(value.into()));
    }

    /// A message within this one; written even when it is empty.
    pub(crate) fn message(&mut self, tag: u32, fill: impl FnOnce(&mut Self)) {
        let start = self.open(tag);
        fill(self);
        self.close(start);
    }

    /// As [`Writer::message`], unless `fill` fails.
    pub(crate) fn try_message<E>(
        &mut self,
        tag: u32,
        fill: impl FnOnce(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.open(tag);
        fill(self)?;
        self.close(start);
        Ok(())
    }

    /// Most messages are shorter than 128 bytes: one byte is left for the length, and longer ones are moved.
    fn open(&mut self, tag: u32) -> usize {
        self.key(tag, LENGTH_DELIMITED);
        self.0.push(0);
        self.0.len()
    }

    fn close(&mut self, start: usize) {
        let length = self.0.len() - start;
        if length < 0x80 {
            self.0[start - 1] = length as u8;
            return;
        }
        let mut prefix = [0u8; 10];
        let mut used = 0;
        let mut rest = length as u64;
        while rest >= 0x80 {
            prefix[used] = (rest & 0x7f) as u8 | 0x80;
            rest >>= 7;
            used += 1;
        }
        prefix[used] = rest as u8;
        used += 1;
        self.0.resize(start + length + used - 1, 0);
        self.0.copy_within(start..start + length, start + used - 1);
        self.0[start - 1..start - 1 + used].copy_from_slice(&prefix[..used]);
    }
}

//! The envelope: a fixed binary layout for ever, not hashed, before the hashed content of each record of a chain topic.
//!
//! Little-endian: magic `TRIB`, version 1, kind, two zero bytes, epoch u64, writer 16 bytes, input offset u64, input epoch
//! u64, input writer 16 bytes, trace id 16 bytes (zero: none), span id 8 bytes; 88 bytes. The content follows to the end.
use bytes::{BufMut, Bytes, BytesMut};

/// Length of the envelope in bytes.
pub const ENVELOPE_BYTES: usize = 88;
const MAGIC: &[u8; 4] = b"TRIB";
const VERSION: u8 = 1;

/// What the record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A frame: content is `FrameContent`.
    Frame,
    /// A fence: content is `FenceContent`.
    Fence,
}

/// What travels beside the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope {
    /// Frame or fence.
    pub kind: Kind,
    /// The owner's epoch.
    pub epoch: u64,
    /// The owner's random id.
    pub writer: [u8; 16],
    /// Offset of the input record that the frame was decided from.
    pub input_offset: u64,
    /// Epoch of that record (0 for `ingest`).
    pub input_epoch: u64,
    /// Writer of that record (zero for `ingest`).
    pub input_writer: [u8; 16],
    /// Trace id and span id of the request that caused it.
    pub trace: Option<([u8; 16], [u8; 8])>,
}

/// Not an envelope of a version that we know: void, and alarmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a frame: {0}")]
pub struct Undecodable(pub &'static str);

/// The record's bytes.
#[must_use]
pub fn encode(envelope: &Envelope, content: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(ENVELOPE_BYTES + content.len());
    out.put_slice(MAGIC);
    out.put_u8(VERSION);
    out.put_u8(match envelope.kind {
        Kind::Frame => 1,
        Kind::Fence => 2,
    });
    out.put_u16_le(0);
    out.put_u64_le(envelope.epoch);
    out.put_slice(&envelope.writer);
    out.put_u64_le(envelope.input_offset);
    out.put_u64_le(envelope.input_epoch);
    out.put_slice(&envelope.input_writer);
    let (trace_id, span_id) = envelope.trace.unwrap_or_default();
    out.put_slice(&trace_id);
    out.put_slice(&span_id);
    out.put_slice(content);
    out.freeze()
}

/// Envelope and content of a record, without copying.
///
/// # Errors
/// [`Undecodable`] when it is none.
pub fn decode(record: &Bytes) -> Result<(Envelope, Bytes), Undecodable> {
    fn fixed<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
        let mut out = [0; N];
        out.copy_from_slice(&bytes[at..at + N]);
        out
    }
    if record.len() < ENVELOPE_BYTES {
        return Err(Undecodable("shorter than an envelope"));
    }
    if &record[..4] != MAGIC {
        return Err(Undecodable("wrong magic"));
    }
    if record[4] != VERSION {
        return Err(Undecodable("unknown envelope version"));
    }
    let kind = match record[5] {
        1 => Kind::Frame,
        2 => Kind::Fence,
        _ => return Err(Undecodable("unknown kind")),
    };
    let trace_id: [u8; 16] = fixed(record, 64);
    let envelope = Envelope {
        kind,
        epoch: u64::from_le_bytes(fixed(record, 8)),
        writer: fixed(record, 16),
        input_offset: u64::from_le_bytes(fixed(record, 32)),
        input_epoch: u64::from_le_bytes(fixed(record, 40)),
        input_writer: fixed(record, 48),
        trace: (trace_id != [0; 16]).then(|| (trace_id, fixed(record, 80))),
    };
    Ok((envelope, record.slice(ENVELOPE_BYTES..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_survives_the_trip_and_rubbish_does_not() {
        let envelope = Envelope {
            kind: Kind::Frame,
            epoch: 7,
            writer: [1; 16],
            input_offset: 9,
            input_epoch: 3,
            input_writer: [2; 16],
            trace: Some(([4; 16], [5; 8])),
        };
        let record = encode(&envelope, b"content");
        assert_eq!(decode(&record), Ok((envelope, Bytes::from_static(b"content"))));
        assert!(decode(&record.slice(..87)).is_err());
        assert!(decode(&Bytes::from(vec![0; 100])).is_err());
    }
}

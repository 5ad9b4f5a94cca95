//! One reader per topic and partition: judged frames, decoded, handed to the writer.
use super::trace::Traced;
use super::{Options, ProjectorError};
use bytes::Bytes;
use readmodel::batch::{Advance, Followed, Frame, Frames, Place};
use std::sync::Arc;
use stream::cursor::Cursor;
use stream::follow::Follower;
use stream::judge;
use stream::log::Log;
use tokio::sync::mpsc;

/// What a reader has ready: an advance, and the traces of its frames.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) place: Place,
    /// Which reader it comes from: one that has ended may have left some behind.
    pub(super) reader: u64,
    pub(super) advance: Advance,
    pub(super) traced: Vec<Traced>,
}

/// Follows `place` from `cursor` until the writer goes away.
pub(super) async fn read(
    options: Options,
    log: Arc<dyn Log>,
    (place, reader): (Place, u64),
    cursor: Cursor,
    writer: mpsc::Sender<Chunk>,
) -> Result<(), ProjectorError> {
    let mut follower = Follower::open(&log, place.0.topic(), place.1, cursor).await?;
    let mut before = cursor;
    loop {
        let frames = follower.next(options.read_records, options.read_bytes).await?;
        let after = follower.cursor();
        let traced = traced(&options, place, &frames);
        let frames = match place.0 {
            Followed::Facts => Frames::Facts(decode(place, frames, wire::facts::decode)?),
            Followed::Commissions => Frames::Commissions(decode(place, frames, wire::commissions::decode)?),
        };
        let advance = Advance { partition: place.1, before, after, frames };
        if writer.send(Chunk { place, reader, advance, traced }).await.is_err() {
            return Ok(());
        }
        before = after;
    }
}

/// Without spans: nothing is looked at.
fn traced(options: &Options, place: Place, frames: &[judge::Frame]) -> Vec<Traced> {
    if !options.spans.is_on() {
        return Vec::new();
    }
    let traced = frames.iter().filter_map(|frame| {
        let (trace, parent) = frame.envelope.trace?;
        Some(Traced { place, seq: frame.seq, trace, parent })
    });
    traced.collect()
}

fn decode<E>(
    place: Place,
    frames: Vec<judge::Frame>,
    decode: impl Fn(&Bytes) -> Result<E, wire::Unknown>,
) -> Result<Vec<Frame<E>>, ProjectorError> {
    let mut decoded = Vec::with_capacity(frames.len());
    for frame in frames {
        let events: Result<Vec<E>, _> = frame.events.iter().map(&decode).collect();
        let events = events.map_err(|error| ProjectorError::UnknownEvent { place, seq: frame.seq, error })?;
        decoded.push(Frame {
            seq: frame.seq,
            source: frame.source,
            clock: frame.clock,
            marks: frame.marks,
            events,
            bytes: frame.events,
        });
    }
    Ok(decoded)
}

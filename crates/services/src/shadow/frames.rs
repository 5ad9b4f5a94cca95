//! Accepted frames of one topic's partition, up to where it ended when the reading began.
use super::{Progress, ShadowError};
use bytes::Bytes;
use std::sync::Arc;
use stream::cursor::Cursor;
use stream::follow::Follower;
use stream::judge::Frame;
use stream::log::{Log, Offset, Partition, Topic};

const RECORDS: usize = 1_000;
const BYTES: usize = 4 << 20;

/// Gives each frame to `each`, until it says that it wants no more.
pub(super) async fn each_frame(
    log: &Arc<dyn Log>,
    topic: Topic,
    partition: Partition,
    progress: Progress<'_>,
    mut each: impl FnMut(Frame) -> Result<bool, ShadowError>,
) -> Result<(), ShadowError> {
    let end = log.bounds(topic, partition).await?.end;
    if end == Offset(0) {
        return Ok(());
    }
    let mut follower = Follower::open(log, topic, partition, Cursor::START).await?;
    let mut frames = 0_u64;
    while follower.cursor().next_offset() < end {
        for frame in follower.next(RECORDS, BYTES).await? {
            if frame.offset >= end || !each(frame)? {
                return Ok(());
            }
            frames = frames.saturating_add(1);
        }
        progress(topic, partition, frames);
    }
    Ok(())
}

/// A frame's events.
pub(super) fn events<E>(
    frame: &Frame,
    topic: Topic,
    decode: impl Fn(&Bytes) -> Result<E, wire::Unknown>,
) -> Result<Vec<E>, ShadowError> {
    let events: Result<Vec<E>, _> = frame.events.iter().map(decode).collect();
    events.map_err(|error| ShadowError::UnknownEvent { place: place(topic, frame), error })
}

/// Where a frame is, for people.
pub(super) fn place(topic: Topic, frame: &Frame) -> String {
    format!("{} frame {} at offset {}", topic.name(), frame.seq, frame.offset.0)
}

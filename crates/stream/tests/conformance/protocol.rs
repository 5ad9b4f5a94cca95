//! The interleavings that the protocol answers, forced on a real log and judged by rule 2.
use super::harness::{Harness, P, append, new, read};
use bytes::Bytes;
use domain::ids::Hash;
use prost::Message;
use std::sync::Arc;
use stream::cursor::Cursor;
use stream::follow::{FollowError, Follower};
use stream::judge::{Judge, Judged, Void};
use stream::log::{Appender, Log, LogError, NewRecord, Offset, Topic};
use wire::envelope::{self, Envelope, Kind};
use wire::v1::{FenceContent, FrameContent};

fn record(kind: Kind, epoch: u64, writer: u8, content: &[u8]) -> NewRecord {
    let envelope = Envelope {
        kind,
        epoch,
        writer: [writer; 16],
        input_offset: 0,
        input_epoch: 0,
        input_writer: [0; 16],
        trace: None,
    };
    new(envelope::encode(&envelope, content))
}

fn fence(epoch: u64, writer: u8) -> NewRecord {
    let content = FenceContent { logic_version: 1, service: "test".to_owned() };
    record(Kind::Fence, epoch, writer, &content.encode_to_vec())
}

/// A frame and its head.
fn frame(epoch: u64, writer: u8, seq: u64, prev: Hash) -> (NewRecord, Hash) {
    let content = FrameContent {
        seq,
        source: seq,
        last: true,
        source_head: Bytes::copy_from_slice(&Hash::ZERO.0),
        prev_head: Bytes::copy_from_slice(&prev.0),
        ..FrameContent::default()
    }
    .encode_to_vec();
    (record(Kind::Frame, epoch, writer, &content), Hash::of(&content))
}

async fn put(appender: &Arc<dyn Appender>, record: NewRecord) -> Offset {
    append(appender.as_ref(), Topic::Facts, P, vec![record]).await
}

/// What each record up to `end` is to a reader, in words.
async fn verdicts(log: &Arc<dyn Log>, end: Offset) -> (Vec<String>, Judge) {
    let mut judge = Judge::new(Cursor::START);
    let mut reader = log.reader(Topic::Facts, P, Offset(0)).await.unwrap();
    let mut words = Vec::new();
    for record in read(reader.as_mut(), usize::try_from(end.0).unwrap()).await {
        words.push(match judge.judge(&record).unwrap() {
            Judged::Fence => "fence".to_owned(),
            Judged::Frame(frame) => format!("frame {}", frame.seq),
            Judged::Void(void) => void.name().to_owned(),
        });
    }
    (words, judge)
}

pub(crate) async fn a_frame_that_lands_after_the_next_owners_fence_is_void(harness: &dyn Harness) {
    let log = harness.open().await;
    let (old, taker) = (log.appender().await.unwrap(), log.appender().await.unwrap());
    put(&old, fence(1, 1)).await;
    let (first, head) = frame(1, 1, 1, Hash::ZERO);
    put(&old, first).await;
    put(&taker, fence(2, 2)).await;
    put(&old, frame(1, 1, 2, head).0).await;
    let end = put(&taker, frame(2, 2, 2, head).0).await.next();
    let (words, judge) = verdicts(&log, end).await;
    assert_eq!(words, ["fence", "frame 1", "fence", Void::NotOwner.name(), "frame 2"]);
    assert_eq!(judge.last().0, 2);
}

pub(crate) async fn a_frame_that_landed_and_was_reported_failed_counts_once(harness: &dyn Harness) {
    let log = harness.open().await;
    let appender = log.appender().await.unwrap();
    put(&appender, fence(1, 1)).await;
    let (first, _) = frame(1, 1, 1, Hash::ZERO);
    // The acknowledgement never comes; the owner discards the appender, takes again and finds the frame.
    drop(appender.append(Topic::Facts, P, vec![first]));
    let mut reader = log.reader(Topic::Facts, P, Offset(0)).await.unwrap();
    read(reader.as_mut(), 2).await;
    drop(appender);
    let appender = log.appender().await.unwrap();
    let through = put(&appender, fence(2, 2)).await.next();
    let (words, judge) = verdicts(&log, through).await;
    assert_eq!(words, ["fence", "frame 1", "fence"]);
    let end = put(&appender, frame(2, 2, 2, judge.last().1).0).await.next();
    assert_eq!(verdicts(&log, end).await.0, ["fence", "frame 1", "fence", "frame 2"]);
}

pub(crate) async fn a_frame_behind_a_hole_is_void_and_the_missing_one_still_counts(harness: &dyn Harness) {
    let log = harness.open().await;
    let appender = log.appender().await.unwrap();
    put(&appender, fence(1, 1)).await;
    let (first, head) = frame(1, 1, 1, Hash::ZERO);
    let (second, second_head) = frame(1, 1, 2, head);
    put(&appender, first).await;
    put(&appender, frame(1, 1, 3, second_head).0).await;
    let end = put(&appender, second).await.next();
    assert_eq!(verdicts(&log, end).await.0, ["fence", "frame 1", Void::Hole.name(), "frame 2"]);
}

pub(crate) async fn a_duplicate_is_void(harness: &dyn Harness) {
    let log = harness.open().await;
    let appender = log.appender().await.unwrap();
    let (first, _) = frame(1, 1, 1, Hash::ZERO);
    for record in [fence(1, 1), fence(1, 1), first.clone()] {
        put(&appender, record).await;
    }
    let end = put(&appender, first).await.next();
    assert_eq!(
        verdicts(&log, end).await.0,
        ["fence", Void::StaleFence.name(), "frame 1", Void::Repeated.name()]
    );
}

pub(crate) async fn a_fence_without_a_known_offset_is_below_the_end_read_after_its_acknowledgement(
    harness: &dyn Harness,
) {
    let log = harness.open().await;
    let appender = log.appender().await.unwrap();
    for epoch in 1..=20 {
        appender.append(Topic::Facts, P, vec![fence(epoch, 1)]).await.unwrap();
        let end = log.bounds(Topic::Facts, P).await.unwrap().end;
        assert_eq!(verdicts(&log, end).await.1.owner().0, epoch);
    }
}

pub(crate) async fn a_taker_reads_through_its_fence_and_not_only_to_the_tail_before_it(
    harness: &dyn Harness,
) {
    let log = harness.open().await;
    let (old, taker) = (log.appender().await.unwrap(), log.appender().await.unwrap());
    put(&old, fence(1, 1)).await;
    let (first, head) = frame(1, 1, 1, Hash::ZERO);
    put(&old, first).await;
    let tail = log.bounds(Topic::Facts, P).await.unwrap().end;
    put(&old, frame(1, 1, 2, head).0).await;
    let through = put(&taker, fence(2, 2)).await.next();
    assert_eq!(verdicts(&log, tail).await.1.last().0, 1, "the tail before the fence misses a valid frame");
    let judge = verdicts(&log, through).await.1;
    assert_eq!((judge.last().0, judge.owner().0), (2, 2));
}

pub(crate) async fn a_cursor_of_a_log_that_lost_records_is_refused(harness: &dyn Harness) {
    let log = harness.open().await;
    let appender = log.appender().await.unwrap();
    let (first, _) = frame(1, 1, 1, Hash::ZERO);
    put(&appender, fence(1, 1)).await;
    let end = put(&appender, first).await.next();
    let cursor = verdicts(&log, end).await.1.cursor();
    Follower::open(&log, Topic::Facts, P, cursor).await.unwrap();
    drop((appender, log));

    // Shorter than the cursor.
    let log = harness.replaced().await;
    let appender = log.appender().await.unwrap();
    put(&appender, fence(1, 1)).await;
    let refused = Follower::open(&log, Topic::Facts, P, cursor).await.unwrap_err();
    assert!(
        matches!(refused, FollowError::AnchorMismatch { .. } | FollowError::Log(LogError::OutOfRange { .. })),
        "{refused}"
    );
    // Long enough again, with another record in the place of the one that the cursor was taken after.
    put(&appender, fence(2, 2)).await;
    put(&appender, fence(3, 3)).await;
    let refused = Follower::open(&log, Topic::Facts, P, cursor).await.unwrap_err();
    assert!(matches!(refused, FollowError::AnchorMismatch { .. }), "{refused}");
}

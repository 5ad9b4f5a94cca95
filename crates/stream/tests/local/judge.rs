//! Rule 2, case by case: which records count for a reader, and what makes it halt.
use bytes::Bytes;
use domain::ids::Hash;
use domain::time::Micros;
use prost::Message;
use stream::cursor::Cursor;
use stream::judge::{Halt, Judge, Judged, Void};
use stream::log::{Offset, Record};
use wire::envelope::{self, Envelope, Kind};
use wire::v1::{FenceContent, FrameContent};

/// Writes a log by hand and reads it with a judge.
struct Story {
    judge: Judge,
    offset: u64,
}

impl Story {
    fn new() -> Self {
        Self { judge: Judge::new(Cursor::START), offset: 0 }
    }

    fn read(&mut self, value: Bytes) -> Result<Judged, Halt> {
        let (offset, appended_at, key) = (Offset(self.offset), Micros(0), Bytes::new());
        let record = Record { offset, appended_at, key, value, imported_at: None };
        self.offset += 1;
        self.judge.judge(&record)
    }

    fn void(&mut self, value: Bytes) -> Void {
        match self.read(value).unwrap() {
            Judged::Void(void) => void,
            other => panic!("expected void, got {other:?}"),
        }
    }

    fn accepted(&mut self, value: Bytes) -> Hash {
        match self.read(value).unwrap() {
            Judged::Frame(frame) => frame.head,
            other => panic!("expected a frame, got {other:?}"),
        }
    }
}

fn envelope(kind: Kind, epoch: u64, writer: u8) -> Envelope {
    Envelope {
        kind,
        epoch,
        writer: [writer; 16],
        input_offset: 0,
        input_epoch: 0,
        input_writer: [0; 16],
        trace: None,
    }
}

fn fence(epoch: u64, writer: u8) -> Bytes {
    let content = FenceContent { logic_version: 1, service: "test".into() }.encode_to_vec();
    envelope::encode(&envelope(Kind::Fence, epoch, writer), &content)
}

fn frame(epoch: u64, writer: u8, seq: u64, prev: Hash) -> Bytes {
    let content = FrameContent {
        seq,
        source: seq,
        last: true,
        source_head: Bytes::copy_from_slice(&Hash::ZERO.0),
        prev_head: Bytes::copy_from_slice(&prev.0),
        ..FrameContent::default()
    };
    envelope::encode(&envelope(Kind::Frame, epoch, writer), &content.encode_to_vec())
}

#[test]
fn a_late_frame_of_a_fenced_owner_is_void_and_the_new_owners_frame_counts() {
    let mut story = Story::new();
    assert!(matches!(story.read(fence(1, 1)), Ok(Judged::Fence)));
    let head = story.accepted(frame(1, 1, 1, Hash::ZERO));
    assert!(matches!(story.read(fence(2, 2)), Ok(Judged::Fence)));
    assert_eq!(story.void(frame(1, 1, 2, head)), Void::NotOwner);
    story.accepted(frame(2, 2, 2, head));
}

#[test]
fn of_two_fences_with_one_epoch_the_first_wins() {
    let mut story = Story::new();
    assert!(matches!(story.read(fence(1, 1)), Ok(Judged::Fence)));
    assert_eq!(story.void(fence(1, 2)), Void::StaleFence);
    assert_eq!(story.void(frame(1, 2, 1, Hash::ZERO)), Void::NotOwner);
    story.accepted(frame(1, 1, 1, Hash::ZERO));
}

#[test]
fn a_duplicate_a_hole_and_rubbish_are_void_and_nothing_stops_behind_them() {
    let mut story = Story::new();
    assert!(matches!(story.read(fence(1, 1)), Ok(Judged::Fence)));
    let first = frame(1, 1, 1, Hash::ZERO);
    let head = story.accepted(first.clone());
    assert_eq!(story.void(first), Void::Repeated);
    assert_eq!(story.void(frame(1, 1, 3, head)), Void::Hole);
    assert_eq!(story.void(Bytes::from_static(b"console producer")), Void::Undecodable);
    let undecodable = envelope::encode(&envelope(Kind::Frame, 1, 1), b"\xff\xff");
    assert_eq!(story.void(undecodable), Void::Undecodable);
    story.accepted(frame(1, 1, 2, head));
}

#[test]
fn another_history_and_a_missing_offset_halt() {
    let mut story = Story::new();
    assert!(matches!(story.read(fence(1, 1)), Ok(Judged::Fence)));
    story.accepted(frame(1, 1, 1, Hash::ZERO));
    let forged = story.read(frame(1, 1, 2, Hash::of(b"another history")));
    assert!(matches!(forged, Err(Halt::HeadMismatch { seq: 2, .. })), "{forged:?}");

    let mut story = Story::new();
    story.offset = 3;
    assert_eq!(story.read(fence(1, 1)).unwrap_err(), Halt::OffsetGap { expected: 0, found: 3 });
}

#[test]
fn a_cursor_is_whole_and_continues_the_judgement() {
    let mut story = Story::new();
    story.read(fence(4, 9)).unwrap();
    let last = frame(4, 9, 1, Hash::ZERO);
    let head = story.accepted(last.clone());
    let cursor = story.judge.cursor();
    assert_eq!((cursor.offset, cursor.epoch, cursor.seq, cursor.head), (2, 4, 1, head));
    assert_eq!(cursor.anchor, Hash::of(&last));
    let mut resumed = Story { judge: Judge::new(cursor), offset: 2 };
    assert_eq!(resumed.void(frame(3, 9, 2, head)), Void::NotOwner);
    resumed.accepted(frame(4, 9, 2, head));
}

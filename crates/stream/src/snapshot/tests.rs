#![allow(clippy::unwrap_used)]
use super::directory::SnapshotDir;
use super::file::{FileReader, SnapshotError, read_about};
use super::{Job, Of, Pace, SnapshotOptions, Snapshots, Step, write, write_steps};
use crate::cursor::{Cursor, WriterId};
use crate::log::Partition;
use crate::store::{Changes, StateDb, StateStore};
use bytes::Bytes;
use domain::ids::Hash;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const PARTITION: Partition = Partition(3);
const OF: Of = Of { service: "commission", state_version: 4, logic_version: 2 };

fn at(seq: u64) -> Cursor {
    Cursor {
        offset: seq + 1,
        anchor: Hash([seq.to_le_bytes()[0]; 32]),
        epoch: 7,
        writer: WriterId([9; 16]),
        seq,
        head: Hash([5; 32]),
        logic_version: 2,
        clock: domain::time::Micros(11),
    }
}

/// A store with rows of many sizes, also one that is larger than a block.
fn store(dir: &Path, seq: u64) -> StateStore {
    let db = StateDb::open(dir).unwrap();
    let (store, _) = StateStore::open(&db, OF.service, PARTITION, OF.state_version).unwrap();
    let mut changes = Changes::new();
    for n in 0..30_000_u32 {
        let value = vec![n.to_le_bytes()[0]; (n % 200) as usize];
        changes.insert(n.to_be_bytes().into(), Some(Bytes::from(value)));
    }
    changes.insert(Box::from(&b"large"[..]), Some(Bytes::from(vec![1; 3 << 20])));
    store.commit(&changes, &at(seq)).unwrap();
    store
}

fn job(store: &StateStore) -> Job {
    Job { of: OF, partition: PARTITION, view: store.view().unwrap().unwrap() }
}

fn names(dir: &SnapshotDir) -> Vec<u64> {
    dir.list(Some(PARTITION)).unwrap().iter().map(|found| found.seq).collect()
}

#[test]
fn a_snapshot_has_every_row_and_the_whole_cursor_of_the_moment_it_was_begun() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir.path().join("state"), 100);
    let view = job(&store);
    // What is committed meanwhile is not in it.
    store.commit(&Changes::from([(Box::from(&b"later"[..]), Some(Bytes::new()))]), &at(101)).unwrap();
    let options = SnapshotOptions::new(dir.path().join("snapshots"));
    let (path, about) = write(&options, view, &|_| Ok(())).unwrap();
    assert_eq!(read_about(&path).unwrap(), about);
    assert_eq!((about.cursor, about.state_version, about.logic_version), (at(100), 4, 2));
    assert_eq!((about.service.as_str(), about.partition, about.rows), ("commission", 3, 30_001));
    let rows: Vec<_> = FileReader::open(&path).unwrap().collect::<Result<Vec<_>, _>>().unwrap().concat();
    let stored: Vec<_> = store.scan(b"", b"").filter(|(key, _)| key.as_ref() != b"later").collect();
    assert_eq!(rows, stored);
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_crash_after_any_step_leaves_the_older_snapshot_or_the_newer_one_and_nothing_else_for_long() {
    let dir = tempfile::tempdir().unwrap();
    let options = SnapshotOptions { keep: 1, ..SnapshotOptions::new(dir.path().join("snapshots")) };
    let snapshots = SnapshotDir::of(&options.dir, OF.service);
    let older = store(&dir.path().join("older"), 100);
    let newer = store(&dir.path().join("newer"), 200);
    let all = [Step::Begun, Step::Block, Step::Written, Step::Synced, Step::Named, Step::Durable];
    for crash in all {
        write(&options, job(&older), &|_| Ok(())).unwrap();
        snapshots.delete_before(PARTITION, 100).unwrap();
        let crashed = write_steps(&options, &snapshots, job(&newer), &|step| {
            if step == crash { Err(SnapshotError::Stopped) } else { Ok(()) }
        });
        assert!(crashed.is_err());
        let expected = if matches!(crash, Step::Named | Step::Durable) { vec![200, 100] } else { vec![100] };
        assert_eq!(names(&snapshots), expected, "{crash:?}");
        for found in snapshots.list(None).unwrap() {
            let rows: u64 =
                FileReader::open(&found.path).unwrap().map(|rows| rows.unwrap().len() as u64).sum();
            assert_eq!(rows, 30_001, "whole: {crash:?}");
        }
        // The next one cleans up after it.
        write(&options, job(&newer), &|_| Ok(())).unwrap();
        assert_eq!(
            (names(&snapshots), std::fs::read_dir(options.dir.join(OF.service)).unwrap().count()),
            (vec![200], 1)
        );
        snapshots.delete_before(PARTITION, u64::MAX).unwrap();
    }
    // One that fails without a crash cleans up itself.
    let small = SnapshotOptions { most_bytes: 1 << 20, ..options.clone() };
    let refused = write(&small, job(&newer), &|_| Ok(())).unwrap_err().to_string();
    assert!(refused.contains("snapshots.max_mb"), "{refused}");
    assert_eq!(std::fs::read_dir(options.dir.join(OF.service)).unwrap().count(), 0);
}

#[test]
fn damage_anywhere_in_the_file_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let options = SnapshotOptions::new(dir.path().join("snapshots"));
    let store = store(&dir.path().join("state"), 100);
    let (path, _) = write(&options, job(&store), &|_| Ok(())).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let is_refused = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        match FileReader::open(&path) {
            Ok(mut reader) => reader.any(|rows| rows.is_err()),
            Err(_) => true,
        }
    };
    assert!(!is_refused(&whole));
    for at in [0, 16, 18, 25, 5_000, whole.len() / 2, whole.len() - 200, whole.len() - 100, whole.len() - 3] {
        let mut damaged = whole.clone();
        damaged[at] ^= 4;
        assert!(is_refused(&damaged), "byte {at}");
    }
    for length in [0, 10, 40, 1_000, whole.len() / 2, whole.len() - 1] {
        assert!(is_refused(&whole[..length]), "length {length}");
    }
    // A block that is gone with its checksum.
    let first = 12 + u32::from_le_bytes(whole[16..20].try_into().unwrap()) as usize;
    assert!(is_refused(&[&whole[..16], &whole[16 + first..]].concat()));
}

#[test]
fn as_many_are_kept_as_asked_for_by_time_and_those_before_an_erasure_can_be_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let options = SnapshotOptions { keep: 2, ..SnapshotOptions::new(dir.path().join("snapshots")) };
    let snapshots = SnapshotDir::of(&options.dir, OF.service);
    let state = store(&dir.path().join("state"), 5_000);
    // Of a topic that was replaced: its numbers are higher than any that come now.
    write(&options, job(&state), &|_| Ok(())).unwrap();
    for seq in [10, 20, 30] {
        state.commit(&Changes::new(), &at(seq)).unwrap();
        write(&options, job(&state), &|_| Ok(())).unwrap();
    }
    assert_eq!(names(&snapshots), [30, 20]);
    assert_eq!(snapshots.delete_before(PARTITION, 30).unwrap(), 1);
    assert_eq!(names(&snapshots), [30]);
    assert_eq!(snapshots.delete_before(Partition(4), 99).unwrap(), 0);
}

#[test]
fn a_snapshot_is_due_by_frames_or_by_time_and_stops_the_loop_only_for_a_moment() {
    let dir = tempfile::tempdir().unwrap();
    let state = store(&dir.path().join("state"), 100);
    let options = SnapshotOptions {
        every_frames: 50,
        every: Duration::from_secs(3_600),
        ..SnapshotOptions::new(dir.path().join("snapshots"))
    };
    let hour = Duration::from_secs(3_600);
    assert!(Pace::NONE.is_due(1, &options) && !Pace::NONE.is_due(0, &options));
    assert!(!Pace::since(100, Duration::ZERO).is_due(149, &options));
    assert!(Pace::since(100, Duration::ZERO).is_due(150, &options));
    assert!(Pace::since(100, hour).is_due(101, &options) && !Pace::since(100, hour).is_due(100, &options));

    let snapshots = Snapshots::start(options).unwrap();
    let mut pace = Pace::since(0, Duration::ZERO);
    snapshots.take_if_due(OF, PARTITION, &state, 100, &mut pace);
    assert_eq!(pace.seq, 100);
    let listed = AtomicU64::new(0);
    while listed.load(Ordering::Relaxed) == 0 {
        std::thread::yield_now();
        listed.store(snapshots.dir(OF.service).list(None).unwrap().len() as u64, Ordering::Relaxed);
    }
    // The thread rests: nothing waits for it, and the next one is tried again later.
    let before = pace;
    snapshots.take_if_due(OF, PARTITION, &state, 200, &mut pace);
    assert!(pace == before || pace.seq == 100);
}

#![allow(clippy::unwrap_used)]
use super::{Overlay, StateDb, StateStore};
use crate::cursor::Cursor;
use crate::log::Partition;
use bytes::Bytes;
use domain::tables::{MemoryTables, Tables, View};
use std::sync::Arc;

fn at(offset: u64) -> Cursor {
    Cursor { offset, seq: offset, ..Cursor::START }
}

fn open(db: &Arc<StateDb>, partition: u32, version: u32) -> (Overlay, Option<Cursor>) {
    let (store, cursor) = StateStore::open(db, "commission", Partition(partition), version).unwrap();
    (Overlay::new(Arc::new(store)), cursor)
}

#[test]
fn state_and_cursor_come_back_together_and_only_for_the_same_version() {
    let dir = tempfile::tempdir().unwrap();
    let db = StateDb::open(dir.path()).unwrap();
    let (mut overlay, cursor) = open(&db, 3, 1);
    assert_eq!(cursor, None);
    overlay.put(b"a", Bytes::from_static(b"1"));
    overlay.commit(&at(7)).unwrap();
    overlay.put(b"a", Bytes::from_static(b"never committed"));
    drop((overlay, db));

    let db = StateDb::open(dir.path()).unwrap();
    let (overlay, cursor) = open(&db, 3, 1);
    assert_eq!(cursor, Some(at(7)));
    assert_eq!(overlay.get(b"a"), Some(Bytes::from_static(b"1")));
    assert_eq!(open(&db, 4, 1).1, None, "the neighbour has nothing");
    let (overlay, cursor) = open(&db, 3, 2);
    assert_eq!((cursor, overlay.get(b"a")), (None, None), "another version's rows are gone");
    assert_eq!(open(&db, 3, 1).1, None, "also for the old version");
}

#[test]
fn an_unreadable_store_is_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let db = StateDb::open(dir.path()).unwrap();
    let (mut overlay, _) = open(&db, 0, 1);
    overlay.put(b"a", Bytes::from_static(b"1"));
    overlay.commit(&at(1)).unwrap();
    drop((overlay, db));
    std::fs::write(dir.path().join("version"), b"rubbish").unwrap();
    let db = StateDb::open(dir.path()).unwrap();
    assert_eq!(open(&db, 0, 1).1, None);
}

#[test]
fn after_a_failed_read_nothing_can_be_committed() {
    let dir = tempfile::tempdir().unwrap();
    let db = StateDb::open(dir.path()).unwrap();
    let (mut overlay, _) = open(&db, 0, 1);
    overlay.put(b"a", Bytes::from_static(b"1"));
    overlay.check().unwrap();
    overlay.store().fail_for_test();
    assert!(overlay.check().is_err());
    assert!(overlay.commit(&at(1)).is_err());
    assert_eq!(open(&db, 0, 1).1, None);
}

#[test]
fn an_overlay_is_a_table_in_memory_whatever_is_committed_when() {
    let dir = tempfile::tempdir().unwrap();
    let db = StateDb::open(dir.path()).unwrap();
    let (mut overlay, _) = open(&db, 1, 1);
    let (mut neighbour, _) = open(&db, 2, 1);
    neighbour.put(b"\x01\x02", Bytes::from_static(b"not ours"));
    neighbour.commit(&at(1)).unwrap();
    let mut model = MemoryTables::default();
    let mut random = 0x9e37_79b9_u32;
    for step in 0..20_000_u32 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let key = [(random >> 28) as u8, (random >> 24) as u8 & 0x3f];
        match (random >> 8) % 10 {
            0..=4 => {
                let value = Bytes::from(step.to_be_bytes().to_vec());
                overlay.put(&key, value.clone());
                model.put(&key, value);
            }
            5..=6 => {
                overlay.delete(&key);
                model.delete(&key);
            }
            7 => assert_eq!(overlay.get(&key), model.get(&key)),
            8 => {
                let end = [key[0].saturating_add(2)];
                let limit = (random % 40) as usize;
                assert_eq!(overlay.range(&key, &end, limit), model.range(&key, &end, limit));
            }
            _ if random.is_multiple_of(64) => overlay.commit(&at(u64::from(step))).unwrap(),
            _ => {}
        }
    }
    assert_eq!(overlay.range(&[], &[0xff; 4], 10_000), model.range(&[], &[0xff; 4], 10_000));
    assert_eq!(
        overlay.bytes(),
        overlay.changes().iter().map(|(k, v)| k.len() + v.as_ref().map_or(0, Bytes::len)).sum::<usize>()
    );
}

#![allow(clippy::unwrap_used)]
use super::*;
use std::os::unix::fs::PermissionsExt;

fn subject(n: u32) -> SubjectId {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&n.to_be_bytes());
    SubjectId(id)
}

fn live(state: KeyState) -> SubjectKey {
    match state {
        KeyState::Live(key) => key,
        other => panic!("{other:?} is not a live key"),
    }
}

#[tokio::test]
async fn a_key_is_made_once_survives_restarts_and_is_gone_from_the_disk_when_destroyed() {
    let dir = tempfile::tempdir().unwrap();
    let store = FileKeyStore::open(dir.path()).unwrap();
    let index_key = store.index_key();
    assert_eq!(store.get(subject(1)).unwrap(), KeyState::Missing);
    store.ensure(&[subject(1), subject(2), subject(1)]).await.unwrap();
    let (one, two) = (live(store.get(subject(1)).unwrap()), live(store.get(subject(2)).unwrap()));
    assert_ne!(one, two);
    store.ensure(&[subject(1), subject(3)]).await.unwrap();
    assert_eq!(live(store.get(subject(1)).unwrap()), one, "an existing key stays");

    let reader = FileKeyStore::open_read_only(dir.path()).unwrap();
    store.ensure(&[subject(4)]).await.unwrap();
    live(reader.get(subject(4)).unwrap());
    store.destroy(subject(1)).await.unwrap();
    store.destroy(subject(9)).await.unwrap();
    assert_eq!(reader.get(subject(1)).unwrap(), KeyState::Destroyed);
    assert!(reader.ensure(&[subject(5)]).await.is_err());
    assert!(FileKeyStore::open(dir.path()).unwrap_err().0.contains(&std::process::id().to_string()));
    drop(store);

    let bytes = std::fs::read(dir.path().join(FILE)).unwrap();
    assert!(!bytes.windows(16).any(|part| part == one.key_id || part == &one.key[..16]));
    let store = FileKeyStore::open(dir.path()).unwrap();
    store.ensure(&[subject(1), subject(9)]).await.unwrap();
    for destroyed in [subject(1), subject(9)] {
        assert_eq!(store.get(destroyed).unwrap(), KeyState::Destroyed, "no insert replaces a tombstone");
    }
    assert_eq!(live(store.get(subject(2)).unwrap()), two);
    assert_eq!(store.index_key(), index_key);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir.path().join(FILE)), store.len()), (0o600, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_at_once_get_the_same_key() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(FileKeyStore::open(dir.path()).unwrap());
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..16 {
        let store = Arc::clone(&store);
        callers.spawn(async move {
            let wanted: Vec<_> = (caller..caller + 40).map(subject).collect();
            store.ensure(&wanted).await.unwrap();
            wanted.into_iter().map(|id| (id, live(store.get(id).unwrap()))).collect::<Vec<_>>()
        });
    }
    let seen = callers.join_all().await.concat();
    drop(store);
    let store = FileKeyStore::open(dir.path()).unwrap();
    assert_eq!(store.len(), 55);
    for (id, key) in seen {
        assert_eq!(live(store.get(id).unwrap()), key);
    }
}

#[tokio::test]
async fn what_a_crash_left_of_a_batch_is_skipped_and_damage_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let store = FileKeyStore::open(dir.path()).unwrap();
    store.ensure(&[subject(1)]).await.unwrap();
    let key = live(store.get(subject(1)).unwrap());
    drop(store);
    let whole = std::fs::read(&path).unwrap();

    let mut torn = whole.clone();
    torn.extend_from_slice(&[0; SLOT_BYTES * 3]);
    torn.extend_from_slice(&[7; 40]);
    std::fs::write(&path, &torn).unwrap();
    let store = FileKeyStore::open(dir.path()).unwrap();
    store.ensure(&[subject(2)]).await.unwrap();
    let second = live(store.get(subject(2)).unwrap());
    drop(store);
    let store = FileKeyStore::open(dir.path()).unwrap();
    assert_eq!(live(store.get(subject(1)).unwrap()), key);
    assert_eq!(live(store.get(subject(2)).unwrap()), second);
    drop(store);

    let mut damaged = whole;
    damaged[SLOT_BYTES + 50] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    assert!(FileKeyStore::open(dir.path()).unwrap_err().0.contains("damaged"));
}

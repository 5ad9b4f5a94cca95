//! One suite for every key store: the file and Postgres make the same promises.
#![allow(clippy::unwrap_used)]
mod support;

use domain::ids::SubjectId;
use keystore::PostgresKeyStore;
use std::path::Path;
use std::sync::Arc;
use stream::keys::{KeyState, KeyStore, SubjectKey};
use stream::keys_file::FileKeyStore;
use support::Server;

fn subject(n: u32) -> SubjectId {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&n.to_be_bytes());
    SubjectId(id)
}

fn live(state: &KeyState) -> SubjectKey {
    match state {
        KeyState::Live(key) => key.clone(),
        other => panic!("{other:?} is not a live key"),
    }
}

/// One kind of store: opens the same one again and again.
enum Kind<'a> {
    File(&'a Path),
    Postgres(&'a str),
}

impl Kind<'_> {
    async fn open(&self) -> Arc<dyn KeyStore> {
        match self {
            Self::File(dir) => Arc::new(FileKeyStore::open(dir).unwrap()),
            Self::Postgres(url) => Arc::new(keystore::open(url).await.unwrap()),
        }
    }
}

async fn keeps_its_promises(kind: &Kind<'_>) {
    let store = kind.open().await;
    let index_key = store.index_key();
    assert_ne!(index_key, [0; 32]);
    // Missing reads as missing, never as erased: whoever needs it halts.
    assert_eq!(store.load(&[subject(1)]).await.unwrap().get(subject(1)), &KeyState::Missing);
    assert!(store.ensure(&[]).await.is_ok());

    // Made once; what is there stays; the answer is what a later reader sees.
    let made = store.ensure(&[subject(2), subject(1), subject(2)]).await.unwrap();
    let (one, two) = (live(made.get(subject(1))), live(made.get(subject(2))));
    assert_ne!(one, two);
    let again = store.ensure(&[subject(1), subject(3)]).await.unwrap();
    assert_eq!(live(again.get(subject(1))), one);
    assert_eq!(again.get(subject(2)), &KeyState::Missing, "it was not asked for");
    let loaded = store.load(&[subject(1), subject(2), subject(9)]).await.unwrap();
    assert_eq!((live(loaded.get(subject(1))), live(loaded.get(subject(2)))), (one.clone(), two.clone()));
    assert_eq!(loaded.get(subject(9)), &KeyState::Missing);

    // A tombstone, also of one who never had a key; no insert replaces it; destroying again is nothing.
    store.destroy(subject(1)).await.unwrap();
    store.destroy(subject(1)).await.unwrap();
    store.destroy(subject(9)).await.unwrap();
    let after = store.ensure(&[subject(1), subject(9), subject(4)]).await.unwrap();
    assert_eq!(after.get(subject(1)), &KeyState::Destroyed);
    assert_eq!(after.get(subject(9)), &KeyState::Destroyed);
    live(after.get(subject(4)));

    // Callers at once get the same keys, whatever the order in which they ask.
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..8_u32 {
        let store = Arc::clone(&store);
        callers.spawn(async move {
            let mut wanted: Vec<_> = (100 + caller..160 + caller).map(subject).collect();
            if caller % 2 == 1 {
                wanted.reverse();
            }
            let keys = store.ensure(&wanted).await.unwrap();
            wanted.into_iter().map(|id| (id, live(keys.get(id)))).collect::<Vec<_>>()
        });
    }
    let seen = callers.join_all().await.concat();

    // A large batch, and all of it after a new start.
    let many: Vec<_> = (1_000..10_500).map(subject).collect();
    store.ensure(&many).await.unwrap();
    drop(store);
    let store = kind.open().await;
    assert_eq!(store.index_key(), index_key);
    let all = store.load(&many).await.unwrap();
    assert!(many.iter().all(|id| matches!(all.get(*id), KeyState::Live(_))));
    let ids: Vec<_> = seen.iter().map(|(id, _)| *id).collect();
    let all = store.load(&ids).await.unwrap();
    assert!(seen.iter().all(|(id, key)| &live(all.get(*id)) == key), "one key for all who asked");
    let all = store.load(&[subject(1), subject(2)]).await.unwrap();
    assert_eq!((all.get(subject(1)), live(all.get(subject(2)))), (&KeyState::Destroyed, two));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_keeps_the_promises_of_a_key_store() {
    let dir = tempfile::tempdir().unwrap();
    keeps_its_promises(&Kind::File(dir.path())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_the_promises_of_a_key_store() {
    let server = Server::start().await;
    let url = server.database("keys").await;
    keeps_its_promises(&Kind::Postgres(&url)).await;

    // Two processes: what one destroys the other one has lost at once, and nobody can put it back by hand.
    let (here, there) = (keystore::open(&url).await.unwrap(), keystore::open(&url).await.unwrap());
    live(here.ensure(&[subject(50)]).await.unwrap().get(subject(50)));
    there.destroy(subject(50)).await.unwrap();
    assert_eq!(here.load(&[subject(50)]).await.unwrap().get(subject(50)), &KeyState::Destroyed);
    let mut admin = server.connect(&url).await;
    for statement in [
        "DELETE FROM tributary_keys.subject_keys",
        "TRUNCATE tributary_keys.subject_keys",
        "UPDATE tributary_keys.subject_keys SET key = decode(repeat('00', 64), 'hex'), \
         key_id = decode(repeat('00', 16), 'hex'), destroyed_at = NULL WHERE key IS NULL",
        "UPDATE tributary_keys.subject_keys SET key = decode(repeat('00', 64), 'hex') WHERE key IS NOT NULL",
        "DELETE FROM tributary_keys.installation",
    ] {
        let refused = sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut admin).await.unwrap_err();
        assert!(refused.to_string().contains("only destroyed"), "{statement}: {refused}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_works_with_few_rights_and_a_database_of_read_models_is_refused() {
    let server = Server::start().await;
    let url = server.database("keys").await;
    let role = format!("tributary_service_{}", std::process::id());
    let service = server.role(&url, &role).await;
    // Nothing is there yet, and the service may not make it.
    let refused = keystore::open(&service).await.unwrap_err().to_string();
    assert!(refused.contains("keys migrate"), "{refused}");
    keystore::migrate(&url).await.unwrap();
    keystore::migrate(&url).await.unwrap();
    let mut admin = server.connect(&url).await;
    // As docs/reference/recovery.md says it.
    let page = include_str!("../../../docs/reference/recovery.md");
    let grants = page.split("```sql\n").nth(1).unwrap().split("```").next().unwrap();
    let grants = grants.lines().filter(|line| line.starts_with("GRANT")).collect::<Vec<_>>().join("\n");
    assert!(grants.contains("tributary_service"), "{grants}");
    let grants = grants.replace("tributary_service", &role);
    sqlx::raw_sql(sqlx::AssertSqlSafe(grants)).execute(&mut admin).await.unwrap();
    let store = keystore::open(&service).await.unwrap();
    live(store.ensure(&[subject(1)]).await.unwrap().get(subject(1)));
    store.destroy(subject(1)).await.unwrap();
    assert_eq!(store.ensure(&[subject(1)]).await.unwrap().get(subject(1)), &KeyState::Destroyed);
    let mut as_service = server.connect(&service).await;
    assert!(sqlx::query("DROP TABLE tributary_keys.subject_keys").execute(&mut as_service).await.is_err());
    assert!(sqlx::query("DELETE FROM tributary_keys.subject_keys").execute(&mut as_service).await.is_err());

    // Either order: the one that comes second sees the first.
    let models = server.database("models").await;
    let pool = readmodel::connect(&models, 2).await.unwrap();
    readmodel::migrate(&pool).await.unwrap();
    let refused = keystore::open(&models).await.unwrap_err().to_string();
    assert!(refused.contains("read models") && refused.contains("another database"), "{refused}");
    let pool = readmodel::connect(&url, 2).await.unwrap();
    let refused = readmodel::migrate(&pool).await.unwrap_err().to_string();
    assert!(refused.contains("key store"), "{refused}");

    // A server that forgets what it said it kept is refused as well.
    let forget = format!("ALTER ROLE {role} SET synchronous_commit = off");
    sqlx::query(sqlx::AssertSqlSafe(forget)).execute(&mut admin).await.unwrap();
    let refused = keystore::open(&service).await.unwrap_err().to_string();
    assert!(refused.contains("synchronous_commit"), "{refused}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_taken_over_by_postgres_tombstones_included() {
    let server = Server::start().await;
    let url = server.database("keys").await;
    let dir = tempfile::tempdir().unwrap();
    let file = FileKeyStore::open(dir.path()).unwrap();
    let subjects: Vec<_> = (0..9_000).map(subject).collect();
    file.ensure(&subjects).await.unwrap();
    for gone in &subjects[..3] {
        file.destroy(*gone).await.unwrap();
    }
    let target = PostgresKeyStore::open_for(&url, &file).await.unwrap();
    target.take_over(&file, &file.subjects()).await.unwrap();
    // Erased meanwhile: the second run brings it over, and undoes nothing that was erased there.
    file.destroy(subject(10)).await.unwrap();
    target.destroy(subject(11)).await.unwrap();
    target.take_over(&file, &file.subjects()).await.unwrap();
    assert_eq!((target.index_key(), target.count().await.unwrap()), (file.index_key(), 9_000));
    let ours = target.load(&subjects).await.unwrap();
    for id in &subjects {
        let erased = [10, 11].map(subject).contains(id);
        let expected = if erased { KeyState::Destroyed } else { file.get(*id).unwrap() };
        assert_eq!(ours.get(*id), &expected);
    }

    let stranger = tempfile::tempdir().unwrap();
    let stranger = FileKeyStore::open(stranger.path()).unwrap();
    let refused = PostgresKeyStore::open_for(&url, &stranger).await.unwrap_err().to_string();
    assert!(refused.contains("another installation"), "{refused}");
    server.stop().await;
}

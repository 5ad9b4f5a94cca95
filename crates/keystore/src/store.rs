//! Keys of subjects as rows.
use crate::open::failed;
use async_trait::async_trait;
use domain::ids::SubjectId;
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use sqlx::Row as _;
use sqlx::postgres::{PgPool, PgRow};
use std::collections::BTreeMap;
use stream::keys::{KeyState, KeyStore, KeyStoreError, Keys, SubjectKey};
use zeroize::Zeroize as _;

/// Subjects of one statement.
const BATCH_SUBJECTS: usize = 8_192;

type States = BTreeMap<SubjectId, KeyState>;

/// Keys of subjects in Postgres, shared by all processes of an installation.
pub struct PostgresKeyStore {
    pool: PgPool,
    index_key: [u8; 32],
}

impl std::fmt::Debug for PostgresKeyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PostgresKeyStore(…)")
    }
}

impl Drop for PostgresKeyStore {
    fn drop(&mut self) {
        self.index_key.zeroize();
    }
}

impl PostgresKeyStore {
    pub(crate) const fn new(pool: PgPool, index_key: [u8; 32]) -> Self {
        Self { pool, index_key }
    }

    /// Subjects with a key or a tombstone.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count(&self) -> Result<u64, KeyStoreError> {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM tributary_keys.subject_keys")
            .fetch_one(&self.pool)
            .await
            .map_err(failed)?;
        Ok(count.cast_unsigned())
    }

    /// Takes over what another store knows of `subjects`; may be repeated. A tombstone of either store stays one.
    ///
    /// # Errors
    /// When the other store is of another installation, or a subject has another key here already: nothing can be opened
    /// with both. When the database does not answer; what was copied until then stays.
    pub async fn take_over(&self, other: &dyn KeyStore, subjects: &[SubjectId]) -> Result<(), KeyStoreError> {
        if other.index_key() != self.index_key {
            return Err(KeyStoreError(
                "the two key stores have different index keys: they are of different installations"
                    .to_owned(),
            ));
        }
        for batch in subjects.chunks(BATCH_SUBJECTS) {
            let theirs = other.load(batch).await?;
            let states: States =
                batch.iter().map(|subject| (*subject, theirs.get(*subject).clone())).collect();
            self.insert(&states).await?;
            let ours = self.read(batch).await?;
            for (subject, state) in &states {
                match (state, ours.get(subject)) {
                    (KeyState::Destroyed, Some(KeyState::Live(_))) => self.destroy(*subject).await?,
                    (_, Some(KeyState::Destroyed)) | (KeyState::Missing, _) => {}
                    (state, known) if known == Some(state) => {}
                    _ => {
                        return Err(KeyStoreError(
                            "a subject has another key in the target store: copy into an empty database"
                                .to_owned(),
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    /// Opens the key store at `url` as one of `other`'s installation, to take it over: an empty database gets its index key.
    ///
    /// # Errors
    /// As [`crate::open()`]; when the database is another installation's already.
    pub async fn open_for(url: &str, other: &dyn KeyStore) -> Result<Self, KeyStoreError> {
        crate::open::prepare_for(url, &other.index_key()).await
    }

    /// What the database has of `subjects`; absent ones are left out.
    async fn read(&self, subjects: &[SubjectId]) -> Result<States, KeyStoreError> {
        let mut states = States::new();
        for batch in subjects.chunks(BATCH_SUBJECTS) {
            let wanted: Vec<&[u8]> = batch.iter().map(|subject| &subject.0[..]).collect();
            let rows = sqlx::query(
                "SELECT subject, key_id, key FROM tributary_keys.subject_keys WHERE subject = ANY($1)",
            )
            .bind(wanted)
            .fetch_all(&self.pool)
            .await
            .map_err(failed)?;
            for row in rows {
                let (subject, state) = state_of(&row)?;
                states.insert(subject, state);
            }
        }
        Ok(states)
    }

    /// Inserts what is not there, all or none of a batch, durably. What is there stays.
    ///
    /// In the order of subjects: two that insert the same ones wait for each other, and must not do so crosswise.
    async fn insert(&self, states: &States) -> Result<(), KeyStoreError> {
        let (mut subjects, mut key_ids, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        for (subject, state) in states {
            let key = match state {
                KeyState::Live(key) => Some(key),
                KeyState::Destroyed => None,
                KeyState::Missing => continue,
            };
            subjects.push(&subject.0[..]);
            key_ids.push(key.map(|key| &key.key_id[..]));
            keys.push(key.map(|key| &key.key[..]));
        }
        if subjects.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "INSERT INTO tributary_keys.subject_keys (subject, key_id, key, destroyed_at) \
             SELECT subject, key_id, key, CASE WHEN key IS NULL THEN now() END \
             FROM unnest($1::bytea[], $2::bytea[], $3::bytea[]) AS fresh (subject, key_id, key) ORDER BY subject \
             ON CONFLICT (subject) DO NOTHING",
        )
        .bind(subjects)
        .bind(key_ids)
        .bind(keys)
        .execute(&self.pool)
        .await
        .map_err(failed)?;
        Ok(())
    }
}

fn state_of(row: &PgRow) -> Result<(SubjectId, KeyState), KeyStoreError> {
    let damaged = || KeyStoreError("a row of subject_keys is damaged; restore the key store".to_owned());
    let bytes = |at: usize| row.try_get::<Option<Vec<u8>>, _>(at).map_err(failed);
    let subject = SubjectId(bytes(0)?.unwrap_or_default().try_into().map_err(|_| damaged())?);
    let state = match (bytes(1)?, bytes(2)?) {
        (Some(key_id), Some(mut key)) => {
            let state = SubjectKey {
                key_id: key_id.try_into().map_err(|_| damaged())?,
                key: key.as_slice().try_into().map_err(|_| damaged())?,
            };
            key.zeroize();
            KeyState::Live(state)
        }
        (None, None) => KeyState::Destroyed,
        _ => return Err(damaged()),
    };
    Ok((subject, state))
}

fn fresh_key() -> Result<KeyState, KeyStoreError> {
    let mut key = SubjectKey { key_id: [0; 16], key: [0; 64] };
    OsRng.try_fill_bytes(&mut key.key_id).map_err(failed)?;
    OsRng.try_fill_bytes(&mut key.key).map_err(failed)?;
    Ok(KeyState::Live(key))
}

#[async_trait]
impl KeyStore for PostgresKeyStore {
    async fn load(&self, subjects: &[SubjectId]) -> Result<Keys, KeyStoreError> {
        Ok(self.read(subjects).await?.into_iter().collect())
    }

    async fn ensure(&self, subjects: &[SubjectId]) -> Result<Keys, KeyStoreError> {
        let mut known = self.read(subjects).await?;
        let mut missing: Vec<SubjectId> =
            subjects.iter().copied().filter(|subject| !known.contains_key(subject)).collect();
        missing.sort_unstable();
        missing.dedup();
        for batch in missing.chunks(BATCH_SUBJECTS) {
            let fresh = batch.iter().map(|subject| Ok((*subject, fresh_key()?)));
            self.insert(&fresh.collect::<Result<_, KeyStoreError>>()?).await?;
            // Not what was sent: somebody else may have been first, and theirs is the key then.
            known.append(&mut self.read(batch).await?);
        }
        if let Some(lost) = missing.iter().find(|subject| !known.contains_key(subject)) {
            return Err(KeyStoreError(format!("a key was made and is not there (subject {:02x?})", lost.0)));
        }
        Ok(known.into_iter().collect())
    }

    async fn destroy(&self, subject: SubjectId) -> Result<(), KeyStoreError> {
        // Two statements that each commit: a tombstone is inserted where there is nothing, a key is destroyed where there is one.
        self.insert(&States::from([(subject, KeyState::Destroyed)])).await?;
        sqlx::query(
            "UPDATE tributary_keys.subject_keys SET key_id = NULL, key = NULL, destroyed_at = now() \
             WHERE subject = $1 AND key IS NOT NULL",
        )
        .bind(&subject.0[..])
        .execute(&self.pool)
        .await
        .map_err(failed)?;
        Ok(())
    }

    fn index_key(&self) -> [u8; 32] {
        self.index_key
    }
}

//! Opening the database: migrations, and the settings that the promises rest on.
use crate::SCHEMA;
use crate::store::PostgresKeyStore;
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection as _, PgConnection, Row as _};
use std::str::FromStr as _;
use std::time::Duration;
use stream::keys::KeyStoreError;
use zeroize::Zeroize as _;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Batches of different partitions run at once, each on a connection.
const CONNECTIONS: u32 = 8;

/// An error without the URL, which holds a password.
pub(crate) fn failed(error: impl std::fmt::Display) -> KeyStoreError {
    KeyStoreError(format!("Postgres: {error}"))
}

/// Opens the key store at `url`. Where the role may not create the schema, [`migrate`] must have been run by one that may.
///
/// # Errors
/// When nobody answers; when the database holds the read models, or does not keep what it has committed; when the schema is
/// missing, and may not be made, or is newer than this binary.
pub async fn open(url: &str) -> Result<PostgresKeyStore, KeyStoreError> {
    let pool = connect(url).await?;
    if !is_current(&pool).await? {
        migrate_pool(&pool).await?;
    }
    let index_key = index_key(&pool, None).await?;
    Ok(PostgresKeyStore::new(pool, index_key))
}

/// As [`open`], with `wanted` as the installation's index key.
pub(crate) async fn prepare_for(url: &str, wanted: &[u8; 32]) -> Result<PostgresKeyStore, KeyStoreError> {
    let pool = connect(url).await?;
    if !is_current(&pool).await? {
        migrate_pool(&pool).await?;
    }
    let index_key = index_key(&pool, Some(wanted)).await?;
    if index_key != *wanted {
        return Err(KeyStoreError(
            "the target is another installation's key store: copy into an empty database".to_owned(),
        ));
    }
    Ok(PostgresKeyStore::new(pool, index_key))
}

/// Creates or updates the schema, for a role that may.
///
/// # Errors
/// As [`open`].
pub async fn migrate(url: &str) -> Result<(), KeyStoreError> {
    let pool = connect(url).await?;
    migrate_pool(&pool).await?;
    pool.close().await;
    Ok(())
}

async fn connect(url: &str) -> Result<PgPool, KeyStoreError> {
    let options = PgConnectOptions::from_str(url)
        .map_err(|_| {
            KeyStoreError(
                "keys_database_url cannot be understood; write postgres://user:password@host/database"
                    .to_owned(),
            )
        })?
        .application_name("tributary keys");
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(Duration::from_secs(10))
        .connect_with(options)
        .await
        .map_err(|error| {
            KeyStoreError(format!("cannot reach the Postgres that keys_database_url names: {error}"))
        })?;
    let mut connection = pool.acquire().await.map_err(failed)?;
    refuse_unfit(&mut connection).await?;
    Ok(pool)
}

/// What a key store cannot live with.
async fn refuse_unfit(connection: &mut PgConnection) -> Result<(), KeyStoreError> {
    let row = sqlx::query(
        "SELECT to_regnamespace('tributary') IS NOT NULL, pg_is_in_recovery(), current_setting('fsync'), \
         current_setting('full_page_writes'), current_setting('synchronous_commit')",
    )
    .fetch_one(connection)
    .await
    .map_err(failed)?;
    let setting = |at: usize| row.try_get::<String, _>(at).map_err(failed);
    if row.try_get::<bool, _>(0).map_err(failed)? {
        return Err(KeyStoreError(
            "the database of keys_database_url holds the read models: those may be dropped and restored at any time, which \
             would lose keys, or bring destroyed ones back; create another database for the keys (on the same server, if you \
             like) and name it"
                .to_owned(),
        ));
    }
    if row.try_get::<bool, _>(1).map_err(failed)? {
        return Err(KeyStoreError(
            "keys_database_url names a replica, which takes no keys; name the primary".to_owned(),
        ));
    }
    for (at, name) in [(2, "fsync"), (3, "full_page_writes"), (4, "synchronous_commit")] {
        if setting(at)? == "off" {
            return Err(KeyStoreError(format!(
                "the Postgres of keys_database_url has {name} = off: a key could be lost after the frame that needs it was \
                 written, and that frame never be read again; set it to on (ALTER SYSTEM, or ALTER ROLE for \
                 synchronous_commit)"
            )));
        }
    }
    Ok(())
}

/// Whether every migration was run: then no right to create anything is needed.
async fn is_current(pool: &PgPool) -> Result<bool, KeyStoreError> {
    let known: bool = sqlx::query_scalar("SELECT to_regclass('tributary_keys._sqlx_migrations') IS NOT NULL")
        .fetch_one(pool)
        .await
        .map_err(failed)?;
    if !known {
        return Ok(false);
    }
    let newest: Option<i64> =
        sqlx::query_scalar("SELECT max(version) FROM tributary_keys._sqlx_migrations WHERE success")
            .fetch_one(pool)
            .await
            .map_err(failed)?;
    let own = MIGRATIONS.iter().map(|migration| migration.version).max();
    if newest > own {
        return Err(KeyStoreError(
            "the key store's schema is newer than this binary; run the version that made it, or a newer one"
                .to_owned(),
        ));
    }
    Ok(newest == own)
}

async fn migrate_pool(pool: &PgPool) -> Result<(), KeyStoreError> {
    // A connection that is not given back: its search path is changed.
    let mut connection = pool.acquire().await.map_err(failed)?.detach();
    let cannot = |error: &dyn std::fmt::Display| {
        KeyStoreError(format!(
            "the schema {SCHEMA} cannot be made ({error}); run `tributary keys migrate` with the URL of a role that owns the \
             database"
        ))
    };
    let mut transaction = connection.begin().await.map_err(failed)?;
    // IF NOT EXISTS alone fails when two processes start at once. The read models' migration takes the same lock, so that of
    // two that are given one database by mistake the second one sees the first.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('tributary schema'))")
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    refuse_unfit(&mut transaction).await?;
    sqlx::query("CREATE SCHEMA IF NOT EXISTS tributary_keys")
        .execute(&mut *transaction)
        .await
        .map_err(|error| cannot(&error))?;
    transaction.commit().await.map_err(failed)?;
    sqlx::query("SET search_path = tributary_keys").execute(&mut connection).await.map_err(failed)?;
    MIGRATIONS.run(&mut connection).await.map_err(|error| match error {
        MigrateError::VersionMissing(_) => KeyStoreError(
            "the key store's schema is newer than this binary; run the version that made it, or a newer one"
                .to_owned(),
        ),
        error => cannot(&error),
    })?;
    connection.close().await.map_err(failed)
}

/// The installation's index key, made by whoever comes first.
async fn index_key(pool: &PgPool, wanted: Option<&[u8; 32]>) -> Result<[u8; 32], KeyStoreError> {
    if let Some(key) = stored_index_key(pool).await? {
        return Ok(key);
    }
    let mut fresh = [0; 32];
    match wanted {
        Some(wanted) => fresh = *wanted,
        None => OsRng.try_fill_bytes(&mut fresh).map_err(failed)?,
    }
    let made =
        sqlx::query("INSERT INTO tributary_keys.installation (index_key) VALUES ($1) ON CONFLICT DO NOTHING")
            .bind(&fresh[..])
            .execute(pool)
            .await;
    fresh.zeroize();
    made.map_err(failed)?;
    stored_index_key(pool)
        .await?
        .ok_or_else(|| KeyStoreError("the index key is gone; restore the key store from a backup".to_owned()))
}

pub(crate) async fn stored_index_key(pool: &PgPool) -> Result<Option<[u8; 32]>, KeyStoreError> {
    let stored: Option<Vec<u8>> = sqlx::query_scalar("SELECT index_key FROM tributary_keys.installation")
        .fetch_optional(pool)
        .await
        .map_err(failed)?;
    stored
        .map(|key| {
            key.try_into()
                .map_err(|_| KeyStoreError("the index key is damaged; restore the key store".to_owned()))
        })
        .transpose()
}

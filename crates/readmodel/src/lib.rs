//! What analysts read: Postgres tables and views, projected from the log.
//!
//! The projector hands over decoded frames; [`apply::apply`] turns them into rows and commits them with the whole cursors in
//! one transaction, which refuses a gap, an overlap, a second writer and a stale replica. Postgres is disposable: nothing
//! here may decide anything, and nothing may be kept here that the log does not hold.
//!
//! Read next: `migrations/0001_read_model.sql` (the views are the contract), [`batch`] (what is handed over), `rows` (how it
//! folds), [`apply`], [`audit`] (what `verify` compares), [`private_postgres`] (a server without set-up).
pub mod analyst;
pub mod apply;
pub mod audit;
pub mod batch;
pub mod cursors;
pub mod dump;
mod payout_rows;
pub mod payout_terms;
pub mod private_postgres;
pub mod quarantine;
pub mod queries;
mod rows;
pub mod statements;
mod text;
mod write;

use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use std::str::FromStr;
use std::time::Duration;

/// The generation of rows that this version writes. A projector that finds rows of an older one deletes them, partition by
/// partition, and projects again from the log: what a migration cannot compute, such as the links of hash chains (2).
pub const GENERATION: i32 = 2;

/// Connects to the database at `url`, at most `connections` at a time. Waits at most 10 s for one.
///
/// # Errors
/// When the URL is none, or nobody answers.
pub async fn connect(url: &str, connections: u32) -> Result<PgPool, sqlx::Error> {
    let options = PgConnectOptions::from_str(url)?.application_name("tributary");
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(10))
        .connect_with(options)
        .await
}

/// Read models are dropped and rebuilt at will; keys in the same database would go with them, or come back with a backup.
async fn refuse_key_store(connection: &mut sqlx::PgConnection) -> Result<(), sqlx::Error> {
    let holds_keys: bool = sqlx::query_scalar("SELECT to_regnamespace('tributary_keys') IS NOT NULL")
        .fetch_one(connection)
        .await?;
    if holds_keys {
        let reason = "the database of database_url holds the key store, which read models must not share: they may be \
                      dropped and restored at any time; name another database";
        return Err(sqlx::Error::Configuration(reason.into()));
    }
    Ok(())
}

/// Brings the schema up to this version: one linear history, forward only, run by one process at a time.
///
/// The history is in the schema itself, so that dropping the schema is all that a rebuild needs.
///
/// Then lets analysts read the views, where this database's role may ([`analyst`]).
///
/// # Errors
/// When a migration fails, or the database is newer than this binary.
pub async fn migrate(pool: &PgPool) -> Result<analyst::Role, sqlx::migrate::MigrateError> {
    // A connection that is not given back: its search path is changed.
    let mut connection = pool.acquire().await?.detach();
    let mut transaction = connection.begin().await?;
    // IF NOT EXISTS alone fails when two processes start at once.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('tributary schema'))")
        .execute(&mut *transaction)
        .await?;
    refuse_key_store(&mut transaction).await?;
    sqlx::query("CREATE SCHEMA IF NOT EXISTS tributary").execute(&mut *transaction).await?;
    transaction.commit().await?;
    sqlx::query("SET search_path = tributary").execute(&mut connection).await?;
    sqlx::migrate!("./migrations").run(&mut connection).await?;
    let role = analyst::grant(&mut connection).await?;
    connection.close().await?;
    Ok(role)
}

//! The role of people who only look: `tributary_analyst` reads the views, and nothing else.
//!
//! Roles belong to the whole server and need a right to be created. Where the projector's own role has it not, the read model
//! works without; whoever administers the server runs [`STATEMENTS`] once, and the next `migrate` keeps the grants.
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// The role.
pub const ANALYST: &str = "tributary_analyst";

/// What an administrator runs where `migrate` may not.
pub const STATEMENTS: &str = "CREATE ROLE tributary_analyst NOLOGIN; \
     ALTER ROLE tributary_analyst SET default_transaction_read_only = on;";

/// Whether analysts can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// The role is there and reads every view.
    Ready,
    /// It is not, for this reason; [`STATEMENTS`] help.
    Missing(String),
}

/// Creates the role where it is missing, then lets it read each view and no table: also after an upgrade that adds views, and
/// after the schema was dropped.
pub(crate) async fn grant(connection: &mut PgConnection) -> Result<Role, sqlx::Error> {
    match granted(connection).await {
        Ok(()) => Ok(Role::Ready),
        // A refusal (no right to create roles, a read-only role catalogue) must not keep the read model from being used.
        Err(sqlx::Error::Database(refused)) => Ok(Role::Missing(refused.message().to_owned())),
        Err(error) => Err(error),
    }
}

async fn granted(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    // Roles are shared by all databases of the server: two that migrate at once would collide.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('tributary analyst'))")
        .execute(&mut *transaction)
        .await?;
    let known: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)")
        .bind(ANALYST)
        .fetch_one(&mut *transaction)
        .await?;
    if !known {
        sqlx::raw_sql(STATEMENTS).execute(&mut *transaction).await?;
    }
    let views: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = 'tributary' AND c.relkind = 'v' ORDER BY 1",
    )
    .fetch_all(&mut *transaction)
    .await?;
    let grants = format!(
        "REVOKE ALL ON ALL TABLES IN SCHEMA tributary FROM {ANALYST}; \
         ALTER DEFAULT PRIVILEGES IN SCHEMA tributary REVOKE ALL ON TABLES FROM {ANALYST}; \
         GRANT USAGE ON SCHEMA tributary TO {ANALYST}; \
         GRANT SELECT ON {} TO {ANALYST};",
        views.join(", ")
    );
    // Names from the catalogue, quoted by it.
    sqlx::raw_sql(AssertSqlSafe(grants)).execute(&mut *transaction).await?;
    transaction.commit().await
}

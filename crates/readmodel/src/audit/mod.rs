//! What `verify` reads: every row of every table, in one repeatable-read snapshot. No statement is shared with the
//! projector: these are made from a list of columns (`tables.rs`), which a test compares with the catalogue.
//!
//! Rows are read ahead by tasks with connections of their own (`rows.rs`) that look at the same moment, so that the database
//! and the reader work at the same time. Only readers: nothing here waits for a writer, and no writer waits for it.
mod cells;
mod payout_tables;
mod rows;
mod tables;

pub use cells::{Cell, Cells};
pub use payout_tables::*;
pub use rows::{Row, Rows};
pub use tables::*;

use crate::batch::Place;
use cells::Types;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, Postgres, Transaction};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use stream::cursor::Cursor;
use stream::log::Partition;

/// One moment of the database.
#[derive(Debug)]
pub struct Snapshot {
    transaction: Transaction<'static, Postgres>,
    moment: Moment,
}

/// What another connection needs to see the same moment.
#[derive(Debug, Clone)]
struct Moment {
    options: Arc<PgConnectOptions>,
    /// Postgres' name of the snapshot; good while the transaction that exported it is open.
    name: Arc<str>,
    types: Arc<Types>,
    /// Connections that look at it and have nothing to do.
    idle: Arc<Mutex<Vec<PgConnection>>>,
}

/// A text as the projection holds it.
#[must_use]
pub fn as_stored(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(crate::text::clean(text)) } else { Cow::Borrowed(text) }
}

/// A moment as the projection holds it, in microseconds.
#[must_use]
pub fn moment_as_stored(at: domain::time::Micros) -> i64 {
    crate::text::moment(at)
}

impl Snapshot {
    /// Opens it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn open(pool: &PgPool) -> Result<Self, sqlx::Error> {
        let mut transaction = pool.begin().await?;
        sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            .execute(&mut *transaction)
            .await?;
        let name: String =
            sqlx::query_scalar("SELECT pg_export_snapshot()").fetch_one(&mut *transaction).await?;
        let types = types(&mut transaction).await?;
        let moment = Moment {
            options: pool.connect_options(),
            name: name.into(),
            types: Arc::new(types),
            idle: Arc::new(Mutex::default()),
        };
        Ok(Self { transaction, moment })
    }

    /// Ends it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn close(self) -> Result<(), sqlx::Error> {
        let idle = std::mem::take(&mut *self.moment.idle.lock().unwrap_or_else(PoisonError::into_inner));
        for connection in idle {
            connection.close().await?;
        }
        self.transaction.rollback().await
    }

    /// How far the projector had come.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn cursors(&mut self, generation: i32) -> Result<BTreeMap<Place, Cursor>, sqlx::Error> {
        crate::cursors::load(&mut self.transaction, generation).await
    }

    /// Whether rows of an older generation are there: the projector of this version has not begun its own.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn has_older(&mut self, generation: i32) -> Result<bool, sqlx::Error> {
        Ok(!crate::cursors::superseded(&mut self.transaction, generation, None).await?.is_empty())
    }

    /// The partition's rows of a table: of history in log order, of objects in byte order of their keys.
    #[must_use]
    pub fn rows(&self, table: &'static Table, partition: Partition) -> Rows {
        Rows::read(self.moment.clone(), table, partition)
    }
}

/// What the columns of the schema are.
async fn types(connection: &mut PgConnection) -> Result<Types, sqlx::Error> {
    let rows: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT c.relname::text, a.attname::text, t.typname::text
         FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
         WHERE c.relnamespace = 'tributary'::regnamespace AND a.attnum > 0",
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|(table, column, name)| ((table, column), name)).collect())
}

impl Moment {
    /// A connection that looks at it.
    async fn connection(&self) -> Result<PgConnection, sqlx::Error> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(connection) = idle {
            return Ok(connection);
        }
        let mut connection = PgConnection::connect_with(&self.options).await?;
        // One process each: a proof must not take the machine from those who write. Compiling pays for few large queries,
        // and these are many. History has an index in its order: nothing that grows with it is to be sorted. The name is Postgres' own, in hexadecimal digits and dashes.
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '{}';
             SET LOCAL jit = off; SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL work_mem = '32MB';
             SET LOCAL enable_sort = off",
            self.name
        );
        sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut connection).await?;
        Ok(connection)
    }

    /// Takes a connection back whose query is over.
    fn give_back(&self, connection: PgConnection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}

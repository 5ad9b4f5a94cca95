//! What `verify` reads: every row of every table as texts, in one repeatable-read snapshot. No statement is shared with the
//! projector: these are made from a list of columns (`tables.rs`), which a test compares with the catalogue.
mod tables;

pub use tables::*;

use crate::batch::Place;
use futures::TryStreamExt;
use sqlx::{AssertSqlSafe, PgPool, Postgres, Transaction};
use std::collections::BTreeMap;
use stream::cursor::Cursor;
use stream::log::Partition;

/// One moment of the database.
#[derive(Debug)]
pub struct Snapshot {
    transaction: Transaction<'static, Postgres>,
}

/// A row, column by column as text; `None` is null. Moments are microseconds since 1970, lists are joined by `, `.
pub type Cells = Vec<Option<String>>;

/// A text as the projection holds it.
#[must_use]
pub fn as_stored(text: &str) -> String {
    crate::text::clean(text)
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
        Ok(Self { transaction })
    }

    /// Ends it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn close(self) -> Result<(), sqlx::Error> {
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

    /// Up to `limit` rows of a table of history, in log order, after the place `after` (`seq`, `ordinal`).
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn history(
        &mut self,
        table: &Table,
        partition: Partition,
        after: (i64, i32),
        limit: i64,
    ) -> Result<Vec<((i64, i32), Cells)>, sqlx::Error> {
        let sql = format!(
            "SELECT t.seq, t.ordinal, {} FROM tributary.{} t
             WHERE t.partition = $1 AND (t.seq, t.ordinal) > ($2, $3) ORDER BY t.seq, t.ordinal LIMIT $4",
            table.cells(),
            table.name
        );
        let rows: Vec<(i64, i32, Cells)> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(crate::text::int(partition.0))
            .bind(after.0)
            .bind(after.1)
            .bind(limit)
            .fetch_all(&mut *self.transaction)
            .await?;
        Ok(rows.into_iter().map(|(seq, ordinal, cells)| ((seq, ordinal), cells)).collect())
    }

    /// Hands each row of the partition's objects in `table` to `each`, in no particular order.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn objects(
        &mut self,
        table: &Table,
        partition: Partition,
        mut each: impl FnMut(Cells),
    ) -> Result<(), sqlx::Error> {
        let sql = format!("SELECT {} FROM tributary.{} t WHERE t.partition = $1", table.cells(), table.name);
        let mut rows = sqlx::query_scalar::<_, Cells>(AssertSqlSafe(sql))
            .bind(crate::text::int(partition.0))
            .fetch(&mut *self.transaction);
        while let Some(cells) = rows.try_next().await? {
            each(cells);
        }
        Ok(())
    }
}

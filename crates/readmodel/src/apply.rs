//! One batch, one transaction: rows and whole cursors together, or neither.
use crate::batch::{Batch, Followed, Place};
use crate::cursors::{self, Standing};
use crate::rows::{AmountsOverflow, Rows};
use crate::write;
use sqlx::{Connection, PgConnection};
use std::collections::BTreeMap;
use stream::cursor::Cursor;
use stream::failpoint;
use stream::log::Partition;

/// A batch that is committed.
#[derive(Debug, Clone)]
pub struct Applied {
    /// Where each of its partitions stands now.
    pub cursors: BTreeMap<Place, Cursor>,
    /// Its frames.
    pub frames: usize,
}

/// Why a batch was not, or may not have been, committed.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A cursor row is not where the batch begins; nothing was written.
    #[error("{topic} partition {partition}: the cursor row is at seq {found_seq} offset {found_offset}, the batch begins after seq {expected_seq} offset {expected_offset}: {why}", topic = .followed.name(), partition = .partition.0, found_seq = .found.seq, found_offset = .found.offset, expected_seq = .expected.seq, expected_offset = .expected.offset, why = refusal(*.standing))]
    Refused {
        /// The topic.
        followed: Followed,
        /// The partition.
        partition: Partition,
        /// How the row stands to the batch.
        standing: Standing,
        /// The row, or the start of the log when there is none.
        found: Box<Cursor>,
        /// Where the batch begins.
        expected: Box<Cursor>,
    },
    /// The connection was lost while COMMIT was under way: read the rows again to know.
    #[error("commit result unknown: {0}")]
    CommitUnknown(#[source] sqlx::Error),
    /// Nothing was written; trying again may help.
    #[error("database unavailable: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// Nothing was written; trying again does not help: the schema and this binary do not fit.
    #[error("database rejects the rows: {0}; run migrate with this version, or report a defect")]
    Rejected(#[source] sqlx::Error),
    /// Nothing was written: sums leave 64 bits.
    #[error(transparent)]
    Overflow(#[from] AmountsOverflow),
}

const fn refusal(standing: Standing) -> &'static str {
    match standing {
        Standing::Same => "the row came to where the batch begins after it was refused",
        Standing::Behind => {
            "the row is behind: a gap, or a replica that lost commits; restore the primary, or drop the schema and project again"
        }
        Standing::Ahead => {
            "the row is ahead: another projector has the partition, or the batch overlaps; the rows are read again"
        }
        Standing::Elsewhere => "the row is in another history of the log; drop the schema and project again",
    }
}

impl ApplyError {
    /// Sorts an error of a statement before COMMIT: whether trying again may help.
    #[must_use]
    pub fn of_statement(error: sqlx::Error) -> Self {
        let permanent = match &error {
            // Classes: data exception, constraint violation, syntax or access rule.
            sqlx::Error::Database(database) => database
                .code()
                .is_some_and(|code| ["22", "23", "42"].iter().any(|class| code.starts_with(class))),
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => false,
            _ => true,
        };
        if permanent { Self::Rejected(error) } else { Self::Unavailable(error) }
    }
}

/// Commits `batch`: its rows, and each cursor from exactly `before` to `after`.
///
/// # Errors
/// [`ApplyError`]. After any error the connection should be dropped.
pub async fn apply(
    connection: &mut PgConnection,
    generation: i32,
    batch: &Batch,
) -> Result<Applied, ApplyError> {
    let rows = Rows::of(batch)?;
    let moves: Vec<(Place, Cursor, Cursor)> =
        batch.advances.iter().map(|(place, advance)| (*place, advance.before, advance.after)).collect();
    let mut transaction = connection.begin().await.map_err(ApplyError::of_statement)?;
    // First: a refused batch costs one statement, and a second writer waits on these rows until it is decided.
    let moved =
        cursors::advance(&mut transaction, generation, &moves).await.map_err(ApplyError::of_statement)?;
    if moved != moves.len() as u64 {
        transaction.rollback().await.map_err(ApplyError::of_statement)?;
        return Err(refused(connection, generation, batch).await);
    }
    write::rows(&mut transaction, &rows).await.map_err(ApplyError::of_statement)?;
    failpoint::hit("before-commit");
    match transaction.commit().await {
        Ok(()) => {}
        // An answer of the server is a definite no; everything else may have been committed.
        Err(error @ sqlx::Error::Database(_)) => return Err(ApplyError::of_statement(error)),
        Err(error) => return Err(ApplyError::CommitUnknown(error)),
    }
    failpoint::hit("after-commit");
    Ok(Applied { cursors: batch.after(), frames: batch.frames() })
}

/// Finds out which row refused.
async fn refused(connection: &mut PgConnection, generation: i32, batch: &Batch) -> ApplyError {
    let found = match cursors::load(connection, generation).await {
        Ok(found) => found,
        Err(error) => return ApplyError::of_statement(error),
    };
    let mut last = None;
    for (place, advance) in &batch.advances {
        let row = found.get(place).copied().unwrap_or(Cursor::START);
        let standing = Standing::of(&row, &advance.before);
        last = Some(ApplyError::Refused {
            followed: place.0,
            partition: place.1,
            standing,
            found: Box::new(row),
            expected: Box::new(advance.before),
        });
        // A missing row is behind even where the batch begins at the start.
        if standing != Standing::Same || !found.contains_key(place) {
            break;
        }
    }
    last.unwrap_or_else(|| ApplyError::Unavailable(sqlx::Error::RowNotFound))
}

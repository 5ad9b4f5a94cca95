//! What `verify` reads: the rows as they are, in one repeatable-read snapshot. No statement is shared with the projector.
use crate::batch::Place;
use futures::TryStreamExt;
use sqlx::{PgPool, Postgres, Transaction};
use std::collections::BTreeMap;
use stream::cursor::Cursor;
use stream::log::Partition;

/// One moment of the database.
#[derive(Debug)]
pub struct Snapshot {
    transaction: Transaction<'static, Postgres>,
}

/// A balance row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BalanceFound {
    /// (program, partner, currency).
    pub key: (String, String, String),
    /// Pending, review, available, in flight, paid out, debt.
    pub buckets: [i64; 6],
}

/// A commission row: what it says beside its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommissionFound {
    /// The program.
    pub program: String,
    /// The partner.
    pub partner: String,
    /// The conversion record.
    pub sale: String,
    /// The sale's source.
    pub source: String,
    /// The sale's id there.
    pub external_id: String,
    /// The status' word.
    pub status: String,
    /// The currency.
    pub currency: String,
    /// G.
    pub gross: i64,
    /// R.
    pub reversed: i64,
}

/// A sale row: what it says beside its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaleFound {
    /// The program.
    pub program: String,
    /// Who earns.
    pub partner: Option<String>,
    /// The currency.
    pub currency: String,
    /// What was paid.
    pub gross: i64,
    /// What the commission is computed on.
    pub base: i64,
}

/// A verdict row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictFound {
    /// (seq, ordinal).
    pub place: (i64, i32),
    /// The event.
    pub event: String,
    /// The verdict's word.
    pub verdict: String,
    /// Why.
    pub reason: String,
    /// A retry.
    pub retry: bool,
}

/// A row of the commissions' history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryFound {
    /// (seq, ordinal).
    pub place: (i64, i32),
    /// The commission.
    pub commission: String,
    /// The kind's word.
    pub kind: String,
    /// The change of N.
    pub delta: i64,
    /// The sum of the posted amounts: 0.
    pub posted: i64,
}

/// A text as the projection holds it.
#[must_use]
pub fn as_stored(text: &str) -> String {
    crate::text::clean(text)
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

    /// Balances of the partition's programs.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn balances(&mut self, partition: Partition) -> Result<Vec<BalanceFound>, sqlx::Error> {
        let rows = sqlx::query!(
            "SELECT b.program_id, b.partner_id, b.currency, b.pending, b.review, b.available, b.in_flight, b.paid_out, b.debt
             FROM tributary.balance_rows b WHERE b.partition = $1",
            number(partition)
        )
        .fetch_all(&mut *self.transaction)
        .await?;
        let found = rows.into_iter().map(|row| BalanceFound {
            key: (row.program_id, row.partner_id, row.currency),
            buckets: [row.pending, row.review, row.available, row.in_flight, row.paid_out, row.debt],
        });
        Ok(found.collect())
    }

    /// Hands each commission of the partition to `each`, by id.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn commissions(
        &mut self,
        partition: Partition,
        mut each: impl FnMut(String, CommissionFound),
    ) -> Result<(), sqlx::Error> {
        let mut rows = sqlx::query!(
            "SELECT c.commission_id, c.program_id, c.partner_id, c.sale_id, c.source, c.external_id, c.status, c.currency,
                    c.gross_minor, c.reversed_minor
             FROM tributary.commission_rows c WHERE c.partition = $1",
            number(partition)
        )
        .fetch(&mut *self.transaction);
        while let Some(row) = rows.try_next().await? {
            let found = CommissionFound {
                program: row.program_id,
                partner: row.partner_id,
                sale: row.sale_id,
                source: row.source,
                external_id: row.external_id,
                status: row.status,
                currency: row.currency,
                gross: row.gross_minor,
                reversed: row.reversed_minor,
            };
            each(row.commission_id, found);
        }
        Ok(())
    }

    /// Hands each sale of the partition to `each`, by id.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn sales(
        &mut self,
        partition: Partition,
        mut each: impl FnMut(String, SaleFound),
    ) -> Result<(), sqlx::Error> {
        let mut rows = sqlx::query!(
            "SELECT s.sale_id, s.program_id, s.partner_id, s.currency, s.gross_minor, s.base_minor
             FROM tributary.sale_rows s WHERE s.partition = $1",
            number(partition)
        )
        .fetch(&mut *self.transaction);
        while let Some(row) = rows.try_next().await? {
            let found = SaleFound {
                program: row.program_id,
                partner: row.partner_id,
                currency: row.currency,
                gross: row.gross_minor,
                base: row.base_minor,
            };
            each(row.sale_id, found);
        }
        Ok(())
    }

    /// Hands each verdict of the partition to `each`, in log order.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn verdicts(
        &mut self,
        partition: Partition,
        mut each: impl FnMut(VerdictFound),
    ) -> Result<(), sqlx::Error> {
        let mut rows = sqlx::query!(
            r#"SELECT v.seq, v.ordinal, v.event_id, v.verdict, v.reason, v.retry_of IS NOT NULL AS "retry!"
               FROM tributary.verdict_rows v WHERE v.partition = $1 ORDER BY v.seq, v.ordinal"#,
            number(partition)
        )
        .fetch(&mut *self.transaction);
        while let Some(row) = rows.try_next().await? {
            each(VerdictFound {
                place: (row.seq, row.ordinal),
                event: row.event_id,
                verdict: row.verdict,
                reason: row.reason,
                retry: row.retry,
            });
        }
        Ok(())
    }

    /// Hands each row of the partition's commission history to `each`, in log order.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn history(
        &mut self,
        partition: Partition,
        mut each: impl FnMut(HistoryFound),
    ) -> Result<(), sqlx::Error> {
        let mut rows = sqlx::query!(
            r#"SELECT e.seq, e.ordinal, e.commission_id, e.kind, e.delta_minor,
                      coalesce((SELECT sum((leg ->> 'amount')::bigint) FROM jsonb_array_elements(e.postings) AS leg), 0)::bigint
                          AS "posted!"
               FROM tributary.commission_event_rows e WHERE e.partition = $1 ORDER BY e.seq, e.ordinal"#,
            number(partition)
        )
        .fetch(&mut *self.transaction);
        while let Some(row) = rows.try_next().await? {
            each(HistoryFound {
                place: (row.seq, row.ordinal),
                commission: row.commission_id,
                kind: row.kind,
                delta: row.delta_minor,
                posted: row.posted,
            });
        }
        Ok(())
    }
}

fn number(partition: Partition) -> i32 {
    crate::text::int(partition.0)
}

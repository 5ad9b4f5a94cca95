//! The statements: one per table that has rows in the batch, whole columns as arrays.
mod chains;
mod config;
mod facts;
mod money;
mod parked;
mod payouts;

use crate::rows::{At, Rows};
use sqlx::PgConnection;

/// Writes everything beside the cursors.
pub(crate) async fn rows(connection: &mut PgConnection, rows: &Rows<'_>) -> Result<(), sqlx::Error> {
    facts::verdicts(connection, &rows.verdicts).await?;
    facts::programs(connection, &rows.programs).await?;
    facts::partners(connection, &rows.partners).await?;
    config::rows(connection, rows).await?;
    facts::sale_codes(connection, &rows.sale_codes).await?;
    money::sales(connection, &rows.sales).await?;
    money::customers(connection, &rows.customers).await?;
    money::reversals(connection, &rows.reversals).await?;
    money::commissions(connection, &rows.commissions).await?;
    let links = chains::advance(connection, &rows.leaves).await?;
    money::events(connection, &rows.events, &links).await?;
    money::balances(connection, &rows.balances).await?;
    payouts::rows(connection, &rows.payouts).await?;
    parked::coupons(connection, &rows.coupons).await?;
    parked::parked(connection, &rows.parked).await
}

/// Columns that say where rows come from.
#[derive(Default)]
struct Places {
    partition: Vec<i32>,
    seq: Vec<i64>,
    ordinal: Vec<i32>,
    source: Vec<i64>,
    clock: Vec<i64>,
}

impl Places {
    fn of<'at>(rows: impl Iterator<Item = &'at At>) -> Self {
        let mut places = Self::default();
        for at in rows {
            places.partition.push(at.partition);
            places.seq.push(at.seq);
            places.ordinal.push(at.ordinal);
            places.source.push(at.source);
            places.clock.push(at.clock);
        }
        places
    }
}

/// One column: a value of each row.
fn column<R, T>(rows: impl IntoIterator<Item = R>, value: impl FnMut(R) -> T) -> Vec<T> {
    rows.into_iter().map(value).collect()
}

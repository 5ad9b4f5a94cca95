//! Rows of what waits: inputs parked by a defect, and the coupons that sales named.
use super::{Places, column};
use crate::rows::{CouponRow, ParkedChange, ParkedKey};
use crate::text::clean;
use sqlx::PgConnection;
use std::collections::BTreeMap;

pub(super) async fn parked(
    connection: &mut PgConnection,
    rows: &BTreeMap<ParkedKey, ParkedChange>,
) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let at = Places::of(rows.values().map(|row| &row.at));
    sqlx::query!(
        "INSERT INTO tributary.parked_rows AS t (partition, service, position, item, seq, program_id, event_id, detail,
            attempts, parked_at, updated_at, settled_at)
         SELECT partition, service, position, item, seq, program_id, event_id, detail,
            attempts, tributary.moment(first), tributary.moment(clock), CASE WHEN settled THEN tributary.moment(clock) END
         FROM UNNEST($1::int[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[],
            $9::bigint[], $10::bigint[], $11::bigint[], $12::boolean[])
            AS u (partition, service, position, item, seq, program_id, event_id, detail, attempts, first, clock, settled)
         ON CONFLICT (partition, service, position, item) DO UPDATE SET seq = excluded.seq,
            detail = CASE WHEN excluded.detail = '' THEN t.detail ELSE excluded.detail END,
            attempts = t.attempts + excluded.attempts, updated_at = excluded.updated_at, settled_at = excluded.settled_at",
        &column(rows.keys(), |key| key.0),
        &column(rows.keys(), |key| key.1.clone()),
        &column(rows.keys(), |key| key.2),
        &column(rows.keys(), |key| key.3.clone()),
        &at.seq,
        &column(rows.values(), |row| row.program.clone()),
        &column(rows.values(), |row| row.event.clone()),
        &column(rows.values(), |row| row.detail.clone()),
        &column(rows.values(), |row| row.attempts),
        &column(rows.values(), |row| row.first),
        &at.clock,
        &column(rows.values(), |row| row.settled),
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn coupons(
    connection: &mut PgConnection,
    rows: &[CouponRow<'_>],
) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let at = Places::of(rows.iter().map(|row| &row.at));
    sqlx::query!(
        "INSERT INTO tributary.coupon_rows (partition, seq, ordinal, program_id, source, sale_external_id, reference)
         SELECT * FROM UNNEST($1::int[], $2::bigint[], $3::int[], $4::text[], $5::text[], $6::text[], $7::text[])",
        &at.partition,
        &at.seq,
        &at.ordinal,
        &column(rows, |row| clean(row.fact.program.as_str())),
        &column(rows, |row| clean(row.fact.source.as_str())),
        &column(rows, |row| clean(&row.sale.external_id)),
        &column(rows, |row| clean(row.reference)),
    )
    .execute(connection)
    .await?;
    Ok(())
}

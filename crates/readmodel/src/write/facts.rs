//! Rows from `facts`.
use super::{Places, column};
use crate::rows::{Current, SaleCodeRow, VerdictRow, micros, mode_name};
use crate::text::{bigint, clean, int};
use domain::config::{Partner, Program};
use sqlx::PgConnection;
use std::collections::BTreeMap;

pub(super) async fn verdicts(
    connection: &mut PgConnection,
    rows: &[VerdictRow<'_>],
) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let at = Places::of(rows.iter().map(|row| &row.at));
    let verdicts = || rows.iter().map(|row| row.verdict);
    sqlx::query!(
        "INSERT INTO tributary.verdict_rows (partition, seq, ordinal, position, decided_at, program_id, event_id, source,
            delivery_key, verdict, reason, detail, retry_of, received_at)
         SELECT partition, seq, ordinal, position, tributary.moment(clock), program_id, event_id, source,
            delivery_key, verdict, reason, detail, retry_of, tributary.moment(received)
         FROM UNNEST($1::int[], $2::bigint[], $3::int[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::text[],
            $9::text[], $10::text[], $11::text[], $12::text[], $13::bigint[], $14::bigint[])
            AS u (partition, seq, ordinal, position, clock, program_id, event_id, source,
                  delivery_key, verdict, reason, detail, retry_of, received)",
        &at.partition,
        &at.seq,
        &at.ordinal,
        &at.source,
        &at.clock,
        &column(verdicts(), |verdict| clean(verdict.program.as_str())),
        &column(verdicts(), |verdict| clean(verdict.event.as_str())),
        &column(verdicts(), |verdict| clean(verdict.source.as_str())),
        &column(verdicts(), |verdict| clean(&verdict.delivery_key)),
        &column(verdicts(), |verdict| verdict.kind.name().to_owned()),
        &column(verdicts(), |verdict| clean(&verdict.reason)),
        &column(verdicts(), |verdict| clean(&verdict.detail)),
        &column(verdicts(), |verdict| verdict.retry_of.map(bigint)) as &[Option<i64>],
        &column(verdicts(), |verdict| micros(verdict.received_at)),
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn programs(
    connection: &mut PgConnection,
    rows: &BTreeMap<&str, Current<(&Program, bool)>>,
) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let at = Places::of(rows.values().map(|row| &row.at));
    let programs = || rows.values().map(|row| row.value.0);
    sqlx::query!(
        "INSERT INTO tributary.program_rows AS t (program_id, account_id, name, mode, profile, currency, hold_days,
            click_window_days, manual_approval, removed, partition, created_at, updated_at, release_mode, min_hold_days)
         SELECT program_id, account_id, name, mode, profile, currency, hold_days,
            click_window_days, manual_approval, removed, partition, tributary.moment(created), tributary.moment(clock),
            release_mode, min_hold_days
         FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int[], $8::int[],
            $9::boolean[], $10::boolean[], $11::int[], $12::bigint[], $13::bigint[], $14::text[], $15::int[])
            AS u (program_id, account_id, name, mode, profile, currency, hold_days,
                  click_window_days, manual_approval, removed, partition, created, clock, release_mode, min_hold_days)
         ON CONFLICT (program_id) DO UPDATE SET account_id = excluded.account_id, name = excluded.name,
            mode = excluded.mode, profile = excluded.profile, currency = excluded.currency,
            hold_days = excluded.hold_days, click_window_days = excluded.click_window_days,
            manual_approval = excluded.manual_approval, removed = excluded.removed, updated_at = excluded.updated_at,
            release_mode = excluded.release_mode, min_hold_days = excluded.min_hold_days",
        &column(rows.keys(), |program| clean(program)),
        &column(programs(), |program| clean(program.account.as_str())),
        &column(programs(), |program| clean(&program.name)),
        &column(programs(), |program| mode_name(program.mode).to_owned()),
        &column(programs(), |program| program.profile.name().to_owned()),
        &column(programs(), |program| program.currency.code().to_owned()),
        &column(programs(), |program| int(program.hold_days)),
        &column(programs(), |program| int(program.click_window_days)),
        &column(programs(), |program| program.manual_approval),
        &column(rows.values(), |row| row.value.1),
        &at.partition,
        &column(rows.values(), |row| row.created),
        &at.clock,
        &column(programs(), |program| program.release.mode.name().to_owned()),
        &column(programs(), |program| int(program.release.min_hold_days)),
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn partners(
    connection: &mut PgConnection,
    rows: &BTreeMap<(&str, &str), Current<(&Partner, bool)>>,
) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let at = Places::of(rows.values().map(|row| &row.at));
    sqlx::query!(
        "INSERT INTO tributary.partner_rows AS t (program_id, partner_id, name, active, removed, partition, created_at,
            updated_at, partner_group)
         SELECT program_id, partner_id, name, active, removed, partition, tributary.moment(created), tributary.moment(clock),
            partner_group
         FROM UNNEST($1::text[], $2::text[], $3::text[], $4::boolean[], $5::boolean[], $6::int[], $7::bigint[], $8::bigint[],
            $9::text[])
            AS u (program_id, partner_id, name, active, removed, partition, created, clock, partner_group)
         ON CONFLICT (program_id, partner_id) DO UPDATE SET name = excluded.name, active = excluded.active,
            removed = excluded.removed, updated_at = excluded.updated_at, partner_group = excluded.partner_group",
        &column(rows.keys(), |key| clean(key.0)),
        &column(rows.keys(), |key| clean(key.1)),
        &column(rows.values(), |row| clean(&row.value.0.name)),
        &column(rows.values(), |row| row.value.0.active),
        &column(rows.values(), |row| row.value.1),
        &at.partition,
        &column(rows.values(), |row| row.created),
        &at.clock,
        &column(rows.values(), |row| clean(&row.value.0.group)),
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn sale_codes(
    connection: &mut PgConnection,
    rows: &[SaleCodeRow<'_>],
) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let at = Places::of(rows.iter().map(|row| &row.at));
    sqlx::query!(
        "INSERT INTO tributary.sale_code_rows (partition, seq, ordinal, recorded_at, program_id, source, sale_external_id,
            event_id, code, found_at)
         SELECT partition, seq, ordinal, tributary.moment(clock), program_id, source, sale, event_id, code, found_at
         FROM UNNEST($1::int[], $2::bigint[], $3::int[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[],
            $9::text[], $10::text[])
            AS u (partition, seq, ordinal, clock, program_id, source, sale, event_id, code, found_at)",
        &at.partition,
        &at.seq,
        &at.ordinal,
        &at.clock,
        &column(rows, |row| clean(row.fact.program.as_str())),
        &column(rows, |row| clean(row.fact.source.as_str())),
        &column(rows, |row| clean(&row.sale.external_id)),
        &column(rows, |row| clean(row.fact.event.as_str())),
        &column(rows, |row| clean(&row.referral.code)),
        &column(rows, |row| clean(&row.referral.found_at)),
    )
    .execute(connection)
    .await?;
    Ok(())
}

//! Rows of payouts, from `commissions`; of terms and destinations, from `facts`.
use super::{Places, column};
use crate::payout_rows::{
    DestinationRow, LineRow, PayoutEventRow, PayoutRows, TermsRows, claims_json, minimums_json,
};
use crate::rows::{At, Current, postings_json};
use crate::text::{clean, int};
use domain::commission::{DebtWrittenOff, OffsetRecorded, PayoutEvent, RateRecorded};
use sqlx::PgConnection;
use std::collections::BTreeMap;

/// Most batches have no payouts and return at once.
pub(super) async fn rows(connection: &mut PgConnection, rows: &PayoutRows<'_>) -> Result<(), sqlx::Error> {
    payouts(connection, &rows.payouts).await?;
    events(connection, &rows.events).await?;
    lines(connection, &rows.lines).await?;
    offsets(connection, &rows.offsets).await?;
    write_offs(connection, &rows.write_offs).await?;
    rates(connection, &rows.rates).await?;
    terms(connection, &rows.terms).await?;
    destinations(connection, &rows.destinations).await
}

async fn payouts(
    connection: &mut PgConnection,
    rows: &BTreeMap<&str, Current<&PayoutEvent>>,
) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let at = Places::of(rows.values().map(|row| &row.at));
    let events = || rows.values().map(|row| row.value);
    sqlx::query!(
        "INSERT INTO tributary.payout_rows AS t (payout_id, program_id, partner_id, status, currency, total_minor,
            paid_currency, paid_minor, rate_id, partition, seq, created_at, updated_at)
         SELECT payout_id, program_id, partner_id, status, currency, total, paid_currency, paid, rate_id, partition, seq,
            tributary.moment(created), tributary.moment(clock)
         FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::bigint[],
            $9::text[], $10::int[], $11::bigint[], $12::bigint[], $13::bigint[])
            AS u (payout_id, program_id, partner_id, status, currency, total, paid_currency, paid, rate_id, partition, seq,
                  created, clock)
         ON CONFLICT (payout_id) DO UPDATE SET status = excluded.status, seq = excluded.seq,
            updated_at = excluded.updated_at",
        &column(rows.keys(), |id| clean(id)),
        &column(events(), |event| clean(event.program.as_str())),
        &column(events(), |event| clean(event.partner.as_str())),
        &column(events(), |event| event.kind.name().to_owned()),
        &column(events(), |event| event.currency.code().to_owned()),
        &column(events(), |event| event.total.0),
        &column(events(), |event| event.paid_currency.code().to_owned()),
        &column(events(), |event| event.paid.0),
        &column(events(), |event| event.rate.as_ref().map(|id| clean(id.as_str()))) as &[Option<String>],
        &at.partition,
        &at.seq,
        &column(rows.values(), |row| row.created),
        &at.clock,
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn events(connection: &mut PgConnection, rows: &[PayoutEventRow<'_>]) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let at = Places::of(rows.iter().map(|row| &row.at));
    let events = || rows.iter().map(|row| row.event);
    sqlx::query!(
        "INSERT INTO tributary.payout_event_rows (partition, seq, ordinal, recorded_at, payout_id, program_id, partner_id, kind,
            currency, total_minor, paid_currency, paid_minor, rate_id, postings, cause_event_id, reference, reason, actor)
         SELECT partition, seq, ordinal, tributary.moment(clock), payout_id, program_id, partner_id, kind, currency, total,
            paid_currency, paid, rate_id, postings::jsonb, cause, reference, reason, actor
         FROM UNNEST($1::int[], $2::bigint[], $3::int[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[],
            $9::text[], $10::bigint[], $11::text[], $12::bigint[], $13::text[], $14::text[], $15::text[], $16::text[],
            $17::text[], $18::text[])
            AS u (partition, seq, ordinal, clock, payout_id, program_id, partner_id, kind, currency, total, paid_currency,
                  paid, rate_id, postings, cause, reference, reason, actor)",
        &at.partition,
        &at.seq,
        &at.ordinal,
        &at.clock,
        &column(events(), |event| clean(event.id.as_str())),
        &column(events(), |event| clean(event.program.as_str())),
        &column(events(), |event| clean(event.partner.as_str())),
        &column(events(), |event| event.kind.name().to_owned()),
        &column(events(), |event| event.currency.code().to_owned()),
        &column(events(), |event| event.total.0),
        &column(events(), |event| event.paid_currency.code().to_owned()),
        &column(events(), |event| event.paid.0),
        &column(events(), |event| event.rate.as_ref().map(|id| clean(id.as_str()))) as &[Option<String>],
        &column(rows, |row| row.postings.clone()),
        &column(events(), |event| event.cause.as_ref().map(|id| clean(id.as_str()))) as &[Option<String>],
        &column(events(), |event| clean(&event.reference)),
        &column(events(), |event| clean(&event.reason)),
        &column(events(), |event| clean(&event.actor)),
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn lines(connection: &mut PgConnection, rows: &[LineRow<'_>]) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO tributary.payout_line_rows (payout_id, commission_id, line, amount_minor, paid_minor, further, partition)
         SELECT * FROM UNNEST($1::text[], $2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::boolean[], $7::int[])",
        &column(rows, |row| clean(row.payout)),
        &column(rows, |row| clean(row.line.commission.as_str())),
        &column(rows, |row| row.number),
        &column(rows, |row| row.line.amount.0),
        &column(rows, |row| row.line.paid.0),
        &column(rows, |row| row.line.further),
        &column(rows, |row| row.at.partition),
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn offsets(connection: &mut PgConnection, rows: &[(At, &OffsetRecorded)]) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let at = Places::of(rows.iter().map(|(at, _)| at));
    let offsets = || rows.iter().map(|(_, offset)| *offset);
    sqlx::query!(
        "INSERT INTO tributary.offset_rows (partition, seq, ordinal, recorded_at, program_id, partner_id, currency,
            commission_id, debt_commission_id, amount_minor, cause_event_id)
         SELECT partition, seq, ordinal, tributary.moment(clock), program_id, partner_id, currency, commission_id, debt_of,
            amount, cause
         FROM UNNEST($1::int[], $2::bigint[], $3::int[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[],
            $9::text[], $10::bigint[], $11::text[])
            AS u (partition, seq, ordinal, clock, program_id, partner_id, currency, commission_id, debt_of, amount, cause)",
        &at.partition,
        &at.seq,
        &at.ordinal,
        &at.clock,
        &column(offsets(), |offset| clean(offset.program.as_str())),
        &column(offsets(), |offset| clean(offset.partner.as_str())),
        &column(offsets(), |offset| offset.currency.code().to_owned()),
        &column(offsets(), |offset| clean(offset.commission.as_str())),
        &column(offsets(), |offset| clean(offset.debt_of.as_str())),
        &column(offsets(), |offset| offset.amount.0),
        &column(offsets(), |offset| offset.cause.as_ref().map(|id| clean(id.as_str()))) as &[Option<String>],
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_offs(
    connection: &mut PgConnection,
    rows: &[(At, &DebtWrittenOff)],
) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let at = Places::of(rows.iter().map(|(at, _)| at));
    let events = || rows.iter().map(|(_, event)| *event);
    sqlx::query!(
        "INSERT INTO tributary.write_off_rows (partition, seq, ordinal, recorded_at, program_id, partner_id, currency,
            amount_minor, claims, postings, cause_event_id, reason, actor)
         SELECT partition, seq, ordinal, tributary.moment(clock), program_id, partner_id, currency, amount, claims::jsonb,
            postings::jsonb, cause, reason, actor
         FROM UNNEST($1::int[], $2::bigint[], $3::int[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::bigint[],
            $9::text[], $10::text[], $11::text[], $12::text[], $13::text[])
            AS u (partition, seq, ordinal, clock, program_id, partner_id, currency, amount, claims, postings, cause, reason,
                  actor)",
        &at.partition,
        &at.seq,
        &at.ordinal,
        &at.clock,
        &column(events(), |event| clean(event.program.as_str())),
        &column(events(), |event| clean(event.partner.as_str())),
        &column(events(), |event| event.currency.code().to_owned()),
        &column(events(), |event| event.amount.0),
        &column(events(), claims_json),
        &column(events(), |event| postings_json(&event.postings)),
        &column(events(), |event| clean(event.cause.as_str())),
        &column(events(), |event| clean(&event.reason)),
        &column(events(), |event| clean(&event.actor)),
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn rates(connection: &mut PgConnection, rows: &[(At, &RateRecorded)]) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let at = Places::of(rows.iter().map(|(at, _)| at));
    let rates = || rows.iter().map(|(_, recorded)| &recorded.rate);
    sqlx::query!(
        "INSERT INTO tributary.fx_rate_rows (partition, seq, ordinal, recorded_at, program_id, rate_id, from_currency,
            to_currency, mantissa, exponent, spread_ppm, event_id, actor)
         SELECT partition, seq, ordinal, tributary.moment(clock), program_id, rate_id, source, target, mantissa, exponent,
            spread, event, actor
         FROM UNNEST($1::int[], $2::bigint[], $3::int[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[],
            $9::bigint[], $10::int[], $11::bigint[], $12::text[], $13::text[])
            AS u (partition, seq, ordinal, clock, program_id, rate_id, source, target, mantissa, exponent, spread, event,
                  actor)",
        &at.partition,
        &at.seq,
        &at.ordinal,
        &at.clock,
        &column(rows, |(_, recorded)| clean(recorded.program.as_str())),
        &column(rates(), |rate| clean(rate.id.as_str())),
        &column(rates(), |rate| rate.from.code().to_owned()),
        &column(rates(), |rate| rate.to.code().to_owned()),
        &column(rates(), |rate| rate.mantissa),
        &column(rates(), |rate| rate.exponent),
        &column(rates(), |rate| i64::from(rate.spread_ppm)),
        &column(rows, |(_, recorded)| clean(recorded.event.as_str())),
        &column(rates(), |rate| clean(&rate.actor)),
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn terms(connection: &mut PgConnection, rows: &TermsRows<'_>) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let at = Places::of(rows.values().map(|row| &row.at));
    let terms = || rows.values().map(|row| row.value.0);
    sqlx::query!(
        "INSERT INTO tributary.payout_terms_rows AS t (program_id, partner_id, schedule, day, minimums, pay_in, removed,
            partition, created_at, updated_at)
         SELECT program_id, partner_id, schedule, day, minimums::jsonb, pay_in, removed, partition,
            tributary.moment(created), tributary.moment(clock)
         FROM UNNEST($1::text[], $2::text[], $3::text[], $4::int[], $5::text[], $6::text[], $7::boolean[], $8::int[],
            $9::bigint[], $10::bigint[])
            AS u (program_id, partner_id, schedule, day, minimums, pay_in, removed, partition, created, clock)
         ON CONFLICT (program_id, partner_id) DO UPDATE SET schedule = excluded.schedule, day = excluded.day,
            minimums = excluded.minimums, pay_in = excluded.pay_in, removed = excluded.removed,
            updated_at = excluded.updated_at",
        &column(rows.keys(), |key| clean(key.0)),
        &column(rows.keys(), |key| clean(key.1)),
        &column(terms(), |terms| terms.schedule.name().to_owned()),
        &column(terms(), |terms| int(terms.schedule.day())),
        &column(terms(), minimums_json),
        &column(terms(), |terms| terms.pay_in.map(|currency| currency.code().to_owned())) as &[Option<String>],
        &column(rows.values(), |row| row.value.1),
        &at.partition,
        &column(rows.values(), |row| row.created),
        &at.clock,
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn destinations(
    connection: &mut PgConnection,
    rows: &BTreeMap<(&str, &str), Current<DestinationRow<'_>>>,
) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let at = Places::of(rows.values().map(|row| &row.at));
    let sealed = || rows.values().map(|row| row.value.sealed);
    sqlx::query!(
        "INSERT INTO tributary.payout_destination_rows AS t (program_id, partner_id, method, subject, key_id, ciphertext,
            removed, partition, created_at, updated_at)
         SELECT program_id, partner_id, method, subject, key_id, ciphertext, removed, partition,
            tributary.moment(created), tributary.moment(clock)
         FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::boolean[], $8::int[],
            $9::bigint[], $10::bigint[])
            AS u (program_id, partner_id, method, subject, key_id, ciphertext, removed, partition, created, clock)
         ON CONFLICT (program_id, partner_id) DO UPDATE SET method = excluded.method, subject = excluded.subject,
            key_id = excluded.key_id, ciphertext = excluded.ciphertext, removed = excluded.removed,
            updated_at = excluded.updated_at",
        &column(rows.keys(), |key| clean(key.0)),
        &column(rows.keys(), |key| clean(key.1)),
        &column(rows.values(), |row| clean(row.value.method)),
        &column(sealed(), |sealed| sealed.map_or_else(String::new, |(subject, _)| hex::encode(subject.0))),
        &column(sealed(), |sealed| sealed.map_or_else(String::new, |(_, value)| hex::encode(value.key_id))),
        &column(sealed(), |sealed| sealed.map_or_else(String::new, |(_, value)| hex::encode(&value.ciphertext))),
        &column(sealed(), |sealed| sealed.is_none()),
        &at.partition,
        &column(rows.values(), |row| row.created),
        &at.clock,
    )
    .execute(connection)
    .await?;
    Ok(())
}

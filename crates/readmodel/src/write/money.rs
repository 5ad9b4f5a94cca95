//! Rows from `commissions`.
use super::chains::Linked;
use super::{Places, column};
use crate::rows::{
    BalanceChange, Current, CustomerChange, EventRow, LastEvent, Part, ReversalRow, joined, micros,
    state_name,
};
use crate::text::clean;
use domain::commission::SaleRecorded;
use sqlx::PgConnection;
use std::collections::BTreeMap;

pub(super) async fn sales(
    connection: &mut PgConnection,
    rows: &BTreeMap<&str, Current<(&SaleRecorded, &str)>>,
) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let at = Places::of(rows.values().map(|row| &row.at));
    let sales = || rows.values().map(|row| row.value.0);
    sqlx::query!(
        "INSERT INTO tributary.sale_rows AS t (sale_id, program_id, source, external_id, event_id, partner_id, reason,
            customer_id, subscription_id, currency, gross_minor, base_minor, occurred_at, partition, seq, created_at,
            updated_at, kind, parts)
         SELECT sale_id, program_id, source, external_id, event_id, partner_id, reason,
            customer_id, subscription_id, currency, gross, base, tributary.moment(occurred), partition, seq,
            tributary.moment(created), tributary.moment(clock), kind, parts
         FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
            $9::text[], $10::text[], $11::bigint[], $12::bigint[], $13::bigint[], $14::int[], $15::bigint[], $16::bigint[],
            $17::bigint[], $18::text[], $19::int[])
            AS u (sale_id, program_id, source, external_id, event_id, partner_id, reason, customer_id, subscription_id,
                  currency, gross, base, occurred, partition, seq, created, clock, kind, parts)
         ON CONFLICT (sale_id) DO UPDATE SET partner_id = excluded.partner_id, parts = excluded.parts,
            reason = excluded.reason, customer_id = excluded.customer_id, subscription_id = excluded.subscription_id,
            currency = excluded.currency, gross_minor = excluded.gross_minor, base_minor = excluded.base_minor,
            occurred_at = excluded.occurred_at, seq = excluded.seq, updated_at = excluded.updated_at",
        &column(rows.keys(), |id| clean(id)),
        &column(sales(), |sale| clean(sale.program.as_str())),
        &column(sales(), |sale| clean(sale.sale.source.as_str())),
        &column(sales(), |sale| clean(&sale.sale.external_id)),
        &column(rows.values(), |row| clean(row.value.1)),
        &column(sales(), |sale| sale.partner.as_ref().map(|id| clean(id.as_str()))) as &[Option<String>],
        &column(sales(), |sale| clean(&sale.reason)),
        &column(sales(), |sale| sale.customer.map(|id| hex::encode(id.0))) as &[Option<String>],
        &column(sales(), |sale| clean(&sale.subscription_id)),
        &column(sales(), |sale| sale.currency.code().to_owned()),
        &column(sales(), |sale| sale.gross.0),
        &column(sales(), |sale| sale.base.0),
        &column(sales(), |sale| micros(sale.occurred_at)),
        &at.partition,
        &at.seq,
        &column(rows.values(), |row| row.created),
        &at.clock,
        &column(sales(), |sale| sale.facets.details.kind.name().to_owned()),
        &column(sales(), |sale| i32::try_from(sale.shares.len().max(1)).unwrap_or(i32::MAX)),
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn customers(
    connection: &mut PgConnection,
    rows: &BTreeMap<(&str, String), CustomerChange>,
) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let at = Places::of(rows.values().map(|row| &row.at));
    sqlx::query!(
        "INSERT INTO tributary.customer_rows AS t (program_id, customer_id, partner_id, sales, partition, first_sale_at,
            last_sale_at)
         SELECT program_id, customer_id, partner_id, sales, partition, tributary.moment(first), tributary.moment(last)
         FROM UNNEST($1::text[], $2::text[], $3::text[], $4::bigint[], $5::int[], $6::bigint[], $7::bigint[])
            AS u (program_id, customer_id, partner_id, sales, partition, first, last)
         ON CONFLICT (program_id, customer_id) DO UPDATE SET
            partner_id = coalesce(t.partner_id, excluded.partner_id), sales = t.sales + excluded.sales,
            first_sale_at = coalesce(t.first_sale_at, excluded.first_sale_at),
            last_sale_at = coalesce(excluded.last_sale_at, t.last_sale_at)",
        &column(rows.keys(), |key| clean(key.0)),
        &column(rows.keys(), |key| key.1.clone()),
        &column(rows.values(), |row| row.partner.clone()) as &[Option<String>],
        &column(rows.values(), |row| row.sales),
        &at.partition,
        &column(rows.values(), |row| row.sold.map(|(first, _)| first)) as &[Option<i64>],
        &column(rows.values(), |row| row.sold.map(|(_, last)| last)) as &[Option<i64>],
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn reversals(
    connection: &mut PgConnection,
    rows: &[ReversalRow<'_>],
) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let at = Places::of(rows.iter().map(|row| &row.at));
    let reversals = || rows.iter().map(|row| row.reversal);
    sqlx::query!(
        "INSERT INTO tributary.reversal_rows (partition, seq, ordinal, recorded_at, program_id, source, sale_external_id,
            object_id, event_id, family, state, currency, gross_minor, net_minor, result)
         SELECT partition, seq, ordinal, tributary.moment(clock), program_id, source, sale_external_id,
            object_id, event_id, family, state, currency, gross, net, result
         FROM UNNEST($1::int[], $2::bigint[], $3::int[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[],
            $9::text[], $10::text[], $11::text[], $12::text[], $13::bigint[], $14::bigint[], $15::text[])
            AS u (partition, seq, ordinal, clock, program_id, source, sale_external_id,
                  object_id, event_id, family, state, currency, gross, net, result)",
        &at.partition,
        &at.seq,
        &at.ordinal,
        &at.clock,
        &column(reversals(), |row| clean(row.program.as_str())),
        &column(reversals(), |row| clean(row.sale.source.as_str())),
        &column(reversals(), |row| clean(&row.sale.external_id)),
        &column(reversals(), |row| clean(&row.object_id)),
        &column(reversals(), |row| clean(row.event.as_str())),
        &column(reversals(), |row| row.family.name().to_owned()),
        &column(reversals(), |row| state_name(row.state).to_owned()),
        &column(reversals(), |row| row.currency.code().to_owned()),
        &column(reversals(), |row| row.gross.0),
        &column(reversals(), |row| row.net.map(|net| net.0)) as &[Option<i64>],
        &column(reversals(), |row| row.result.name().to_owned()),
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn commissions(
    connection: &mut PgConnection,
    rows: &BTreeMap<&str, Current<LastEvent<'_>>>,
) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let at = Places::of(rows.values().map(|row| &row.at));
    let events = || rows.values().map(|row| row.value.event);
    let terms = || rows.values().map(|row| &row.value.terms);
    let part = |number: fn(Part) -> i32| column(terms(), |terms| terms.part.map(number));
    let share = |weight: fn(Part) -> i64| column(terms(), |terms| terms.part.map(weight));
    sqlx::query!(
        "INSERT INTO tributary.commission_rows AS t (commission_id, program_id, partner_id, sale_id, source, external_id,
            status, currency, gross_minor, reversed_minor, rule_id, rule_version, hold_until, partition, seq, created_at,
            updated_at, holds, uncapped_minor, origin, part, parts, share, share_of, payout_id, rounding, slices, flat_minor)
         SELECT commission_id, program_id, partner_id, sale_id, source, external_id,
            status, currency, gross, reversed, rule_id, rule_version, tributary.moment(hold_until), partition, seq,
            tributary.moment(created), tributary.moment(clock), string_to_array(holds, E'\\x1f'), uncapped, origin, part, parts, share,
            share_of, payout_id, rounding, slices::jsonb, flat
         FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
            $9::bigint[], $10::bigint[], $11::text[], $12::int[], $13::bigint[], $14::int[], $15::bigint[], $16::bigint[],
            $17::bigint[], $18::text[], $19::bigint[], $20::text[], $21::int[], $22::int[], $23::bigint[], $24::bigint[],
            $25::text[], $26::text[], $27::text[], $28::bigint[])
            AS u (commission_id, program_id, partner_id, sale_id, source, external_id, status, currency, gross, reversed,
                  rule_id, rule_version, hold_until, partition, seq, created, clock, holds, uncapped, origin, part, parts, share,
                  share_of, payout_id, rounding, slices, flat)
         ON CONFLICT (commission_id) DO UPDATE SET status = excluded.status, gross_minor = excluded.gross_minor,
            reversed_minor = excluded.reversed_minor, seq = excluded.seq, updated_at = excluded.updated_at,
            holds = excluded.holds, payout_id = coalesce(excluded.payout_id, t.payout_id),
            rule_id = CASE WHEN excluded.rounding IS NULL THEN t.rule_id ELSE excluded.rule_id END,
            rule_version = CASE WHEN excluded.rounding IS NULL THEN t.rule_version ELSE excluded.rule_version END,
            hold_until = CASE WHEN excluded.rounding IS NULL THEN t.hold_until ELSE excluded.hold_until END,
            uncapped_minor = CASE WHEN excluded.rounding IS NULL THEN t.uncapped_minor ELSE excluded.uncapped_minor END,
            slices = CASE WHEN excluded.rounding IS NULL THEN t.slices ELSE excluded.slices END,
            flat_minor = CASE WHEN excluded.rounding IS NULL THEN t.flat_minor ELSE excluded.flat_minor END,
            rounding = coalesce(excluded.rounding, t.rounding)",
        &column(rows.keys(), |id| clean(id)),
        &column(events(), |event| clean(event.program.as_str())),
        &column(events(), |event| clean(event.partner.as_str())),
        &column(events(), |event| clean(event.sale_id.as_str())),
        &column(events(), |event| clean(event.sale.source.as_str())),
        &column(events(), |event| clean(&event.sale.external_id)),
        &column(events(), |event| event.status.name().to_owned()),
        &column(events(), |event| event.currency.code().to_owned()),
        &column(events(), |event| event.gross.0),
        &column(events(), |event| event.reversed.0),
        &column(terms(), |terms| terms.rule.clone()),
        &column(terms(), |terms| terms.rule_version),
        &column(terms(), |terms| terms.hold_until) as &[Option<i64>],
        &at.partition,
        &at.seq,
        &column(rows.values(), |row| row.created),
        &at.clock,
        &column(events(), |event| joined(&event.holds)),
        &column(terms(), |terms| terms.uncapped) as &[Option<i64>],
        &column(terms(), |terms| terms.origin.name().to_owned()),
        &part(|part| part.number) as &[Option<i32>],
        &part(|part| part.of) as &[Option<i32>],
        &share(|part| part.share) as &[Option<i64>],
        &share(|part| part.share_of) as &[Option<i64>],
        &column(rows.values(), |row| row.value.payout.map(|id| clean(id.as_str()))) as &[Option<String>],
        &column(terms(), |terms| terms.rounding.map(str::to_owned)) as &[Option<String>],
        &column(terms(), |terms| if terms.slices.is_empty() { "[]".to_owned() } else { terms.slices.clone() }),
        &column(terms(), |terms| terms.flat) as &[Option<i64>],
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn events(
    connection: &mut PgConnection,
    rows: &[EventRow<'_>],
    links: &[Linked],
) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let at = Places::of(rows.iter().map(|row| &row.at));
    let events = || rows.iter().map(|row| row.event);
    let linked = |row: &EventRow<'_>| links.get(row.leaf).copied().unwrap_or_default();
    sqlx::query!(
        "INSERT INTO tributary.commission_event_rows (partition, seq, ordinal, recorded_at, commission_id, program_id,
            partner_id, sale_id, kind, status, currency, gross_minor, reversed_minor, delta_minor, postings, cause_event_id,
            reason, actor, holds, chain_position, chain_link, payout_id)
         SELECT partition, seq, ordinal, tributary.moment(clock), commission_id, program_id,
            partner_id, sale_id, kind, status, currency, gross, reversed, delta, postings::jsonb, cause, reason, actor,
            string_to_array(holds, E'\\x1f'), chain_position, chain_link, payout_id
         FROM UNNEST($1::int[], $2::bigint[], $3::int[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[],
            $9::text[], $10::text[], $11::text[], $12::bigint[], $13::bigint[], $14::bigint[], $15::text[], $16::text[],
            $17::text[], $18::text[], $19::text[], $20::bigint[], $21::bytea[], $22::text[])
            AS u (partition, seq, ordinal, clock, commission_id, program_id, partner_id, sale_id, kind, status, currency,
                  gross, reversed, delta, postings, cause, reason, actor, holds, chain_position, chain_link, payout_id)",
        &at.partition,
        &at.seq,
        &at.ordinal,
        &at.clock,
        &column(events(), |event| clean(event.id.as_str())),
        &column(events(), |event| clean(event.program.as_str())),
        &column(events(), |event| clean(event.partner.as_str())),
        &column(events(), |event| clean(event.sale_id.as_str())),
        &column(events(), |event| event.kind.name().to_owned()),
        &column(events(), |event| event.status.name().to_owned()),
        &column(events(), |event| event.currency.code().to_owned()),
        &column(events(), |event| event.gross.0),
        &column(events(), |event| event.reversed.0),
        &column(events(), |event| event.delta.0),
        &column(rows, |row| row.postings.clone()),
        &column(events(), |event| event.cause.as_ref().map(|id| clean(id.as_str()))) as &[Option<String>],
        &column(events(), |event| clean(&event.reason)),
        &column(events(), |event| clean(&event.actor)),
        &column(rows, |row| row.holds.clone()),
        &column(rows, |row| linked(row).position),
        &column(rows, |row| linked(row).link.0.to_vec()),
        &column(events(), |event| event.payout.as_ref().map(|id| clean(id.as_str()))) as &[Option<String>],
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn balances(
    connection: &mut PgConnection,
    rows: &BTreeMap<(&str, &str, String), BalanceChange>,
) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let at = Places::of(rows.values().map(|row| &row.at));
    let bucket = |index: usize| column(rows.values(), |row| row.buckets[index]);
    sqlx::query!(
        "INSERT INTO tributary.balance_rows AS t (program_id, partner_id, currency, pending, review, available, in_flight,
            paid_out, debt, partition, updated_at)
         SELECT program_id, partner_id, currency, pending, review, available, in_flight,
            paid_out, debt, partition, tributary.moment(clock)
         FROM UNNEST($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
            $8::bigint[], $9::bigint[], $10::int[], $11::bigint[])
            AS u (program_id, partner_id, currency, pending, review, available, in_flight, paid_out, debt, partition, clock)
         ON CONFLICT (program_id, partner_id, currency) DO UPDATE SET
            pending = t.pending + excluded.pending, review = t.review + excluded.review,
            available = t.available + excluded.available, in_flight = t.in_flight + excluded.in_flight,
            paid_out = t.paid_out + excluded.paid_out, debt = t.debt + excluded.debt, updated_at = excluded.updated_at",
        &column(rows.keys(), |key| clean(key.0)),
        &column(rows.keys(), |key| clean(key.1)),
        &column(rows.keys(), |key| key.2.clone()),
        &bucket(0),
        &bucket(1),
        &bucket(2),
        &bucket(3),
        &bucket(4),
        &bucket(5),
        &at.partition,
        &at.clock,
    )
    .execute(connection)
    .await?;
    Ok(())
}

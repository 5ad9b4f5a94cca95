//! Rows of configuration: what analysts ask for, never a secret or the hash of a key.
use super::{Places, column};
use crate::rows::{Current, Rows, RuleRows, joined, micros, mode_name};
use crate::text::{clean, int};
use domain::config::{Account, ApiKey, Code, Coupon, Endpoint, Reward, Rule};
use sqlx::PgConnection;
use std::collections::BTreeMap;

/// Objects of a program, by (program, name).
type Named<'a, T> = BTreeMap<(&'a str, &'a str), Current<(&'a T, bool)>>;

/// Configuration changes seldom: most batches return at once.
pub(super) async fn rows(connection: &mut PgConnection, rows: &Rows<'_>) -> Result<(), sqlx::Error> {
    accounts(connection, &rows.accounts).await?;
    codes(connection, &rows.codes).await?;
    coupons(connection, &rows.partner_coupons).await?;
    rules(connection, &rows.rules).await?;
    endpoints(connection, &rows.endpoints).await?;
    keys(connection, &rows.keys).await
}

async fn accounts(
    connection: &mut PgConnection,
    rows: &BTreeMap<&str, Current<(&Account, bool)>>,
) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let at = Places::of(rows.values().map(|row| &row.at));
    sqlx::query!(
        "INSERT INTO tributary.account_rows AS t (account_id, name, removed, partition, created_at, updated_at)
         SELECT account_id, name, removed, partition, tributary.moment(created), tributary.moment(clock)
         FROM UNNEST($1::text[], $2::text[], $3::boolean[], $4::int[], $5::bigint[], $6::bigint[])
            AS u (account_id, name, removed, partition, created, clock)
         ON CONFLICT (account_id) DO UPDATE SET name = excluded.name, removed = excluded.removed,
            updated_at = excluded.updated_at",
        &column(rows.keys(), |id| clean(id)),
        &column(rows.values(), |row| clean(&row.value.0.name)),
        &column(rows.values(), |row| row.value.1),
        &at.partition,
        &column(rows.values(), |row| row.created),
        &at.clock,
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn codes(connection: &mut PgConnection, rows: &Named<'_, Code>) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let at = Places::of(rows.values().map(|row| &row.at));
    sqlx::query!(
        "INSERT INTO tributary.code_rows AS t (program_id, code, partner_id, active, removed, partition, created_at, updated_at)
         SELECT program_id, code, partner_id, active, removed, partition, tributary.moment(created), tributary.moment(clock)
         FROM UNNEST($1::text[], $2::text[], $3::text[], $4::boolean[], $5::boolean[], $6::int[], $7::bigint[], $8::bigint[])
            AS u (program_id, code, partner_id, active, removed, partition, created, clock)
         ON CONFLICT (program_id, code) DO UPDATE SET partner_id = excluded.partner_id, active = excluded.active,
            removed = excluded.removed, updated_at = excluded.updated_at",
        &column(rows.keys(), |key| clean(key.0)),
        &column(rows.keys(), |key| clean(key.1)),
        &column(rows.values(), |row| clean(row.value.0.partner.as_str())),
        &column(rows.values(), |row| row.value.0.active),
        &column(rows.values(), |row| row.value.1),
        &at.partition,
        &column(rows.values(), |row| row.created),
        &at.clock,
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn coupons(connection: &mut PgConnection, rows: &Named<'_, Coupon>) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let at = Places::of(rows.values().map(|row| &row.at));
    sqlx::query!(
        "INSERT INTO tributary.partner_coupon_rows AS t (program_id, coupon, partner_id, active, removed, partition, created_at,
            updated_at)
         SELECT program_id, coupon, partner_id, active, removed, partition, tributary.moment(created), tributary.moment(clock)
         FROM UNNEST($1::text[], $2::text[], $3::text[], $4::boolean[], $5::boolean[], $6::int[], $7::bigint[], $8::bigint[])
            AS u (program_id, coupon, partner_id, active, removed, partition, created, clock)
         ON CONFLICT (program_id, coupon) DO UPDATE SET partner_id = excluded.partner_id, active = excluded.active,
            removed = excluded.removed, updated_at = excluded.updated_at",
        &column(rows.keys(), |key| clean(key.0)),
        &column(rows.keys(), |key| clean(key.1)),
        &column(rows.values(), |row| clean(row.value.0.partner.as_str())),
        &column(rows.values(), |row| row.value.0.active),
        &column(rows.values(), |row| row.value.1),
        &at.partition,
        &column(rows.values(), |row| row.created),
        &at.clock,
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn rules(connection: &mut PgConnection, rows: &RuleRows<'_>) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let at = Places::of(rows.values().map(|row| &row.at));
    let rewards = || rows.values().map(|row| row.value.0.reward);
    let flat = |reward| match reward {
        Reward::Percent(_) => None,
        Reward::Flat { amount, currency, on_refund } => Some((amount, currency, on_refund)),
    };
    sqlx::query!(
        "INSERT INTO tributary.rule_rows AS t (program_id, rule_id, version, reward, rate_ppm, amount_minor, currency,
            on_refund, removed, partition, created_at, updated_at, priority)
         SELECT program_id, rule_id, version, reward, rate, amount, currency, on_refund, removed, partition,
            tributary.moment(created), tributary.moment(clock), priority
         FROM UNNEST($1::text[], $2::text[], $3::int[], $4::text[], $5::bigint[], $6::bigint[], $7::text[], $8::text[],
            $9::boolean[], $10::int[], $11::bigint[], $12::bigint[], $13::int[])
            AS u (program_id, rule_id, version, reward, rate, amount, currency, on_refund, removed, partition, created, clock,
                  priority)
         ON CONFLICT (program_id, rule_id, version) DO UPDATE SET reward = excluded.reward, rate_ppm = excluded.rate_ppm,
            amount_minor = excluded.amount_minor, currency = excluded.currency, on_refund = excluded.on_refund,
            removed = excluded.removed, updated_at = excluded.updated_at, priority = excluded.priority",
        &column(rows.keys(), |key| clean(key.0)),
        &column(rows.keys(), |key| clean(key.1)),
        &column(rows.keys(), |key| int(key.2)),
        &column(rows.values(), |row| reward_name(row.value.0).to_owned()),
        &column(rows.values(), |row| match (&row.value.0.tiers, row.value.0.reward) {
            (None, Reward::Percent(rate)) => Some(rate.0),
            _ => None,
        }) as &[Option<i64>],
        &column(rewards(), |reward| flat(reward).map(|flat| flat.0.0)) as &[Option<i64>],
        &column(rewards(), |reward| flat(reward).map(|flat| flat.1.code().to_owned())) as &[Option<String>],
        &column(rewards(), |reward| flat(reward).map(|flat| flat.2.name().to_owned())) as &[Option<String>],
        &column(rows.values(), |row| row.value.1),
        &at.partition,
        &column(rows.values(), |row| row.created),
        &at.clock,
        &column(rows.values(), |row| row.value.0.clauses.priority),
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn endpoints(connection: &mut PgConnection, rows: &Named<'_, Endpoint>) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let at = Places::of(rows.values().map(|row| &row.at));
    sqlx::query!(
        "INSERT INTO tributary.endpoint_rows AS t (program_id, endpoint_id, provider, secrets, tolerance_seconds, removed,
            partition, created_at, updated_at)
         SELECT program_id, endpoint_id, provider, secrets, tolerance, removed, partition, tributary.moment(created),
            tributary.moment(clock)
         FROM UNNEST($1::text[], $2::text[], $3::text[], $4::int[], $5::int[], $6::boolean[], $7::int[], $8::bigint[],
            $9::bigint[])
            AS u (program_id, endpoint_id, provider, secrets, tolerance, removed, partition, created, clock)
         ON CONFLICT (program_id, endpoint_id) DO UPDATE SET provider = excluded.provider, secrets = excluded.secrets,
            tolerance_seconds = excluded.tolerance_seconds, removed = excluded.removed, updated_at = excluded.updated_at",
        &column(rows.keys(), |key| clean(key.0)),
        &column(rows.keys(), |key| clean(key.1)),
        &column(rows.values(), |row| clean(&row.value.0.provider)),
        &column(rows.values(), |row| {
            i32::try_from(row.value.0.sealed_secrets.len()).unwrap_or(i32::MAX)
        }),
        &column(rows.values(), |row| int(row.value.0.tolerance_seconds)),
        &column(rows.values(), |row| row.value.1),
        &at.partition,
        &column(rows.values(), |row| row.created),
        &at.clock,
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn keys(connection: &mut PgConnection, rows: &Named<'_, ApiKey>) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let at = Places::of(rows.values().map(|row| &row.at));
    let keys = || rows.values().map(|row| row.value.0);
    sqlx::query!(
        "INSERT INTO tributary.key_rows AS t (program_id, key_id, account_id, name, mode, publishable, program_bound, scopes,
            expires_at, removed, partition, created_at, updated_at)
         SELECT program_id, key_id, account_id, name, mode, publishable, program_bound, string_to_array(scopes, E'\\x1f'),
            tributary.moment(expires), removed, partition, tributary.moment(created), tributary.moment(clock)
         FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::boolean[], $7::boolean[], $8::text[],
            $9::bigint[], $10::boolean[], $11::int[], $12::bigint[], $13::bigint[])
            AS u (program_id, key_id, account_id, name, mode, publishable, program_bound, scopes, expires, removed,
                  partition, created, clock)
         ON CONFLICT (program_id, key_id) DO UPDATE SET account_id = excluded.account_id, name = excluded.name,
            mode = excluded.mode, publishable = excluded.publishable, program_bound = excluded.program_bound,
            scopes = excluded.scopes, expires_at = excluded.expires_at, removed = excluded.removed,
            updated_at = excluded.updated_at",
        &column(rows.keys(), |key| clean(key.0)),
        &column(rows.keys(), |key| clean(key.1)),
        &column(keys(), |key| clean(key.account.as_str())),
        &column(keys(), |key| clean(&key.name)),
        &column(keys(), |key| mode_name(key.mode).to_owned()),
        &column(keys(), |key| key.publishable),
        &column(keys(), |key| key.program_bound),
        &column(keys(), |key| joined(&scopes(key))),
        &column(keys(), |key| key.expires_at.map(micros)) as &[Option<i64>],
        &column(rows.values(), |row| row.value.1),
        &at.partition,
        &column(rows.values(), |row| row.created),
        &at.clock,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The word of a reward's kind in views.
const fn reward_name(rule: &Rule) -> &'static str {
    match (&rule.tiers, rule.reward) {
        (Some(_), _) => "tiers",
        (None, Reward::Percent(_)) => "percent",
        (None, Reward::Flat { .. }) => "flat",
    }
}

fn scopes(key: &ApiKey) -> Vec<String> {
    key.scopes.iter().map(|scope| scope.name().to_owned()).collect()
}

//! A canonical dump: the same log gives the same hash, however often it was projected and in which batches.
use domain::ids::Hash;
use futures::TryStreamExt;
use sqlx::PgPool;

/// Each table with its rows in key order. Without the cursors: fences, void frames and idle ticks move them and no row.
const TABLES: [(&str, &str); 27] = [
    ("verdict_rows", "SELECT t::text FROM tributary.verdict_rows t ORDER BY partition, seq, ordinal"),
    ("program_rows", "SELECT t::text FROM tributary.program_rows t ORDER BY program_id COLLATE \"C\""),
    (
        "partner_rows",
        "SELECT t::text FROM tributary.partner_rows t ORDER BY program_id COLLATE \"C\", partner_id COLLATE \"C\"",
    ),
    ("sale_rows", "SELECT t::text FROM tributary.sale_rows t ORDER BY sale_id COLLATE \"C\""),
    ("reversal_rows", "SELECT t::text FROM tributary.reversal_rows t ORDER BY partition, seq, ordinal"),
    (
        "commission_rows",
        "SELECT t::text FROM tributary.commission_rows t ORDER BY commission_id COLLATE \"C\"",
    ),
    (
        "commission_event_rows",
        "SELECT t::text FROM tributary.commission_event_rows t ORDER BY partition, seq, ordinal",
    ),
    (
        "balance_rows",
        "SELECT t::text FROM tributary.balance_rows t
         ORDER BY program_id COLLATE \"C\", partner_id COLLATE \"C\", currency COLLATE \"C\"",
    ),
    (
        "customer_rows",
        "SELECT t::text FROM tributary.customer_rows t ORDER BY program_id COLLATE \"C\", customer_id COLLATE \"C\"",
    ),
    ("sale_code_rows", "SELECT t::text FROM tributary.sale_code_rows t ORDER BY partition, seq, ordinal"),
    ("account_rows", "SELECT t::text FROM tributary.account_rows t ORDER BY account_id COLLATE \"C\""),
    (
        "code_rows",
        "SELECT t::text FROM tributary.code_rows t ORDER BY program_id COLLATE \"C\", code COLLATE \"C\"",
    ),
    (
        "partner_coupon_rows",
        "SELECT t::text FROM tributary.partner_coupon_rows t ORDER BY program_id COLLATE \"C\", coupon COLLATE \"C\"",
    ),
    (
        "rule_rows",
        "SELECT t::text FROM tributary.rule_rows t
         ORDER BY program_id COLLATE \"C\", rule_id COLLATE \"C\", version",
    ),
    (
        "endpoint_rows",
        "SELECT t::text FROM tributary.endpoint_rows t ORDER BY program_id COLLATE \"C\", endpoint_id COLLATE \"C\"",
    ),
    (
        "key_rows",
        "SELECT t::text FROM tributary.key_rows t ORDER BY program_id COLLATE \"C\", key_id COLLATE \"C\"",
    ),
    (
        "parked_rows",
        "SELECT t::text FROM tributary.parked_rows t ORDER BY partition, service COLLATE \"C\", position, item COLLATE \"C\"",
    ),
    ("chain_rows", "SELECT t::text FROM tributary.chain_rows t ORDER BY program_id COLLATE \"C\""),
    ("payout_rows", "SELECT t::text FROM tributary.payout_rows t ORDER BY payout_id COLLATE \"C\""),
    (
        "payout_event_rows",
        "SELECT t::text FROM tributary.payout_event_rows t ORDER BY partition, seq, ordinal",
    ),
    (
        "payout_line_rows",
        "SELECT t::text FROM tributary.payout_line_rows t ORDER BY payout_id COLLATE \"C\", commission_id COLLATE \"C\"",
    ),
    ("offset_rows", "SELECT t::text FROM tributary.offset_rows t ORDER BY partition, seq, ordinal"),
    ("write_off_rows", "SELECT t::text FROM tributary.write_off_rows t ORDER BY partition, seq, ordinal"),
    ("fx_rate_rows", "SELECT t::text FROM tributary.fx_rate_rows t ORDER BY partition, seq, ordinal"),
    (
        "payout_terms_rows",
        "SELECT t::text FROM tributary.payout_terms_rows t ORDER BY program_id COLLATE \"C\", partner_id COLLATE \"C\"",
    ),
    (
        "payout_destination_rows",
        "SELECT t::text FROM tributary.payout_destination_rows t
         ORDER BY program_id COLLATE \"C\", partner_id COLLATE \"C\"",
    ),
    ("coupon_rows", "SELECT t::text FROM tributary.coupon_rows t ORDER BY partition, seq, ordinal"),
];

/// One table of a dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDump {
    /// Its name.
    pub table: &'static str,
    /// Its rows.
    pub rows: u64,
    /// Chained SHA-256 over its rows in key order, as hex.
    pub sha256: String,
}

/// The dump of every table, within one snapshot.
///
/// # Errors
/// When the database does not answer.
pub async fn canonical(pool: &PgPool) -> Result<Vec<TableDump>, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        .execute(&mut *transaction)
        .await?;
    sqlx::query("SET LOCAL TimeZone = 'UTC'").execute(&mut *transaction).await?;
    sqlx::query("SET LOCAL DateStyle = 'ISO'").execute(&mut *transaction).await?;
    let mut dumps = Vec::with_capacity(TABLES.len());
    for (table, sql) in TABLES {
        let mut rows = sqlx::query_scalar::<_, String>(sql).fetch(&mut *transaction);
        let (mut hash, mut count) = (Hash::ZERO, 0);
        while let Some(row) = rows.try_next().await? {
            hash = Hash::of_parts(&[&hash.0, row.as_bytes()]);
            count += 1;
        }
        dumps.push(TableDump { table, rows: count, sha256: hex::encode(hash.0) });
    }
    transaction.rollback().await?;
    Ok(dumps)
}

/// One hash over the dump of every table, as hex.
///
/// # Errors
/// When the database does not answer.
pub async fn canonical_hash(pool: &PgPool) -> Result<String, sqlx::Error> {
    let dumps = canonical(pool).await?;
    let mut hash = Hash::ZERO;
    for dump in &dumps {
        hash = Hash::of_parts(&[&hash.0, dump.table.as_bytes(), dump.sha256.as_bytes()]);
    }
    Ok(hex::encode(hash.0))
}

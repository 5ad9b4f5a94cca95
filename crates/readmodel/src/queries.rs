//! What the command line asks: the outputs that scripts rely on.
use serde::Serialize;
use sqlx::PgPool;

/// One line of `balances --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BalanceRow {
    /// The program.
    pub program_id: String,
    /// The partner.
    pub partner_id: String,
    /// Of all amounts.
    pub currency: String,
    /// Earned, waiting for its time; minor units, as all below.
    pub pending: i64,
    /// Earned, waiting for a person.
    pub review: i64,
    /// Payable.
    pub available: i64,
    /// In a payout.
    pub in_flight: i64,
    /// Paid, lifetime.
    pub paid_out: i64,
    /// Owed by the partner.
    pub debt: i64,
}

/// All balances, sorted by program, partner, currency (by bytes, whatever the database's collation).
///
/// # Errors
/// When the database does not answer.
pub async fn balances(pool: &PgPool) -> Result<Vec<BalanceRow>, sqlx::Error> {
    sqlx::query_as!(
        BalanceRow,
        "SELECT program_id, partner_id, currency, pending, review, available, in_flight, paid_out, debt
         FROM tributary.balance_rows
         ORDER BY program_id COLLATE \"C\", partner_id COLLATE \"C\", currency COLLATE \"C\""
    )
    .fetch_all(pool)
    .await
}

/// One line of `events find --json`: one verdict on one delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FoundEvent {
    /// The event.
    pub event_id: String,
    /// The provider or dialect.
    pub source: String,
    /// When the gateway received it (RFC 3339, UTC).
    pub received_at: String,
    /// What became of it.
    pub verdict: String,
    /// Why; empty when applied.
    pub reason: String,
    /// The sale it brought or reverses.
    pub sale_id: Option<String>,
    /// The commissions of that sale; of a commission that a person made that one.
    pub commission_ids: Vec<String>,
}

/// What happened to an event, by any name it has: delivery key, id of its sale, refund or dispute at the source, or event id.
/// One line per verdict, in the order they were given.
///
/// # Errors
/// When the database does not answer.
pub async fn find_events(pool: &PgPool, external_id: &str) -> Result<Vec<FoundEvent>, sqlx::Error> {
    let name = crate::text::clean(external_id);
    sqlx::query_as!(
        FoundEvent,
        r#"WITH wanted AS (
               SELECT event_id FROM tributary.verdict_rows WHERE delivery_key = $1
               UNION SELECT event_id FROM tributary.verdict_rows WHERE event_id = $1
               UNION SELECT event_id FROM tributary.sale_rows WHERE external_id = $1
               UNION SELECT event_id FROM tributary.sale_rows
                     WHERE external_id IN ('lead:' || $1, 'signup:' || $1, 'click:' || $1) AND kind <> 'sale'
               UNION SELECT event_id FROM tributary.reversal_rows WHERE object_id = $1
           ), placed AS (
               SELECT event_id, coalesce(
                   (SELECT s.sale_id FROM tributary.sale_rows s WHERE s.event_id = wanted.event_id
                    ORDER BY s.sale_id LIMIT 1),
                   (SELECT s.sale_id FROM tributary.reversal_rows r
                    JOIN tributary.sale_rows s ON s.external_id = r.sale_external_id
                        AND s.program_id = r.program_id AND s.source = r.source
                    WHERE r.event_id = wanted.event_id ORDER BY s.sale_id LIMIT 1)) AS sale_id
               FROM wanted
           )
           SELECT v.event_id, v.source,
                  to_char(v.received_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "received_at!",
                  v.verdict, v.reason, p.sale_id,
                  ARRAY(SELECT c.commission_id FROM tributary.commission_rows c WHERE c.sale_id = p.sale_id
                        UNION SELECT a.commission_id FROM tributary.commission_rows a
                              WHERE a.external_id = v.event_id AND a.origin <> 'conversion'
                        ORDER BY 1) AS "commission_ids!"
           FROM placed p JOIN tributary.verdict_rows v ON v.event_id = p.event_id
           ORDER BY v.partition, v.seq, v.ordinal"#,
        name
    )
    .fetch_all(pool)
    .await
}

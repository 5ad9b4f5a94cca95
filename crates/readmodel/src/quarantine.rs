//! What `quarantine` on the command line asks: entries of the view, and where their raw requests are.
use serde::Serialize;
use sqlx::PgPool;

/// An entry of the view `quarantine`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The event; `None` where a parked input does not tell.
    pub event_id: Option<String>,
    /// The program; `None` where a parked input does not tell.
    pub program_id: Option<String>,
    /// The provider or dialect; `None` for a parked input.
    pub source: Option<String>,
    /// The provider's event id or the caller's idempotency key; `None` for a parked input.
    pub delivery_key: Option<String>,
    /// Why.
    pub reason: String,
    /// What, where and how to mend it.
    pub detail: String,
    /// When the gateway received it (RFC 3339, UTC).
    pub received_at: Option<String>,
    /// Log clock of the last attempt (RFC 3339, UTC).
    pub quarantined_at: String,
    /// Seconds since the first attempt, by the database's clock.
    pub age_seconds: i64,
    /// How often it was tried.
    pub attempts: i64,
    /// The service that holds it.
    pub service: String,
    /// The partition.
    pub partition: i32,
    /// The original's position in the service's input.
    pub position: i64,
    /// What exactly is parked, under a clock tick; empty otherwise.
    pub item: String,
    /// The command that tries it again.
    pub retry: String,
}

/// Which entries.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this program only.
    pub program: Option<String>,
    /// With this reason only.
    pub reason: Option<String>,
    /// Of this event only.
    pub event: Option<String>,
    /// Held by this service only.
    pub service: Option<String>,
    /// In this partition only.
    pub partition: Option<i32>,
    /// At this position only.
    pub position: Option<i64>,
}

/// Up to `limit` entries, the oldest first.
///
/// # Errors
/// When the database does not answer.
pub async fn entries(pool: &PgPool, filter: &Filter, limit: i64) -> Result<Vec<Entry>, sqlx::Error> {
    sqlx::query_as!(
        Entry,
        r#"SELECT event_id, program_id, source, delivery_key, reason AS "reason!", detail AS "detail!",
                  to_char(received_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS received_at,
                  to_char(quarantined_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "quarantined_at!",
                  extract(epoch FROM age)::bigint AS "age_seconds!", attempts AS "attempts!", service AS "service!",
                  partition AS "partition!", position AS "position!", item AS "item!", retry AS "retry!"
           FROM tributary.quarantine
           WHERE ($1::text IS NULL OR program_id = $1) AND ($2::text IS NULL OR reason = $2)
             AND ($3::text IS NULL OR event_id = $3) AND ($4::text IS NULL OR service = $4)
             AND ($5::int IS NULL OR partition = $5) AND ($6::bigint IS NULL OR position = $6)
           ORDER BY age DESC, partition, service, position, item
           LIMIT $7"#,
        filter.program.as_deref().map(crate::text::clean),
        filter.reason.as_deref().map(crate::text::clean),
        filter.event.as_deref().map(crate::text::clean),
        filter.service,
        filter.partition,
        filter.position,
        limit,
    )
    .fetch_all(pool)
    .await
}

/// Where the raw request of an event is: partition and position in `ingest` of its first delivery.
///
/// # Errors
/// When the database does not answer.
pub async fn raw_request(pool: &PgPool, event: &str) -> Result<Option<(i32, i64)>, sqlx::Error> {
    let found = sqlx::query!(
        "SELECT partition, position FROM tributary.verdict_rows WHERE event_id = $1 AND retry_of IS NULL
         ORDER BY partition, seq LIMIT 1",
        crate::text::clean(event)
    )
    .fetch_optional(pool)
    .await?;
    Ok(found.map(|row| (row.partition, row.position)))
}

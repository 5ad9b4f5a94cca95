//! Payout terms, as the view shows them.
use sqlx::PgPool;

/// The terms of a program, each as the JSON of its row in `tributary.payout_terms`: the program's own first, then its partners'.
///
/// # Errors
/// When the database does not answer.
pub async fn payout_terms(pool: &PgPool, program: &str) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT to_jsonb(t)::text AS "terms!" FROM tributary.payout_terms t WHERE program_id = $1
           ORDER BY partner_id COLLATE "C" NULLS FIRST"#,
        program
    )
    .fetch_all(pool)
    .await
}

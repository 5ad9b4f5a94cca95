//! What statements of partners and files for payments are made of.
//!
//! A statement is about what is payable: `available - debt`. Each entry is an event that changed it, with the sum of its
//! postings to those two accounts; what a commission is computed from and what a payout consists of comes beside.
use serde::Serialize;
use sqlx::PgPool;

/// Whose statement, and for which time: from `from` on, before `to`.
#[derive(Debug, Clone)]
pub struct Period<'a> {
    /// The program.
    pub program: &'a str,
    /// The partner.
    pub partner: &'a str,
    /// The first moment, in microseconds since 1970; `None`: from the beginning.
    pub from: Option<i64>,
    /// The first moment that is not in it any more; `None`: to the end.
    pub to: Option<i64>,
}

/// What was payable in one currency when the period began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Opening {
    /// Of the amount.
    pub currency: String,
    /// Available less debt; minor units.
    pub amount_minor: i64,
}

/// One event that changed what is payable, or an offset, which says which debt a commission paid and changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// When (RFC 3339, UTC).
    pub recorded_at: String,
    /// Of all amounts.
    pub currency: String,
    /// What happened: the kind of the commission's event, `offset` or `written_off`.
    pub kind: String,
    /// What it changed; minor units, as all below.
    pub amount_minor: i64,
    /// The commission; of a debt that was given up none.
    pub commission_id: Option<String>,
    /// The commission's amount at creation, after the event.
    pub gross_minor: Option<i64>,
    /// What was taken back of it, after the event.
    pub reversed_minor: Option<i64>,
    /// The payout.
    pub payout_id: Option<String>,
    /// Of an offset: the commission whose debt it pays.
    pub debt_commission_id: Option<String>,
    /// Of an offset: how much.
    pub offset_minor: Option<i64>,
    /// Of a refund or chargeback: its id at its source.
    pub reversal_id: Option<String>,
    /// Of a refund or chargeback: what of the sale went back; without tax where the source says that.
    pub reversal_minor: Option<i64>,
    /// The external event that caused it.
    pub cause_event_id: Option<String>,
    /// Why, where there is more to say.
    pub reason: String,
}

/// What a commission of the statement is computed from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Source {
    /// The commission.
    pub commission_id: String,
    /// The id of its sale at its source.
    pub external_id: String,
    /// Provider or dialect.
    pub source: String,
    /// `conversion`, or what a person made it for.
    pub origin: String,
    /// Of its amounts.
    pub currency: String,
    /// At creation; minor units, as all below.
    pub gross_minor: i64,
    /// Taken back so far.
    pub reversed_minor: i64,
    /// What it would have been without caps.
    pub uncapped_minor: i64,
    /// The rule; empty: a person made it.
    pub rule_id: String,
    /// Its version.
    pub rule_version: i32,
    /// How it rounds, once, on the sum.
    pub rounding: Option<String>,
    /// Of a flat reward: its amount.
    pub flat_minor: Option<i64>,
    /// Of a divided sale: this part's weight.
    pub share: Option<i64>,
    /// Of a divided sale: the weights of all parts.
    pub share_of: Option<i64>,
    /// Of each slice: its base.
    pub bases_minor: Vec<i64>,
    /// Of each slice: its rate in parts per million.
    pub rates_ppm: Vec<i64>,
}

/// A payout as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Payout {
    /// Its id.
    pub payout_id: String,
    /// The program.
    pub program_id: String,
    /// Who is paid.
    pub partner_id: String,
    /// `drafted`, `settled`, `failed` or `returned`.
    pub status: String,
    /// Of `total_minor`.
    pub currency: String,
    /// The sum of the lines; minor units.
    pub total_minor: i64,
    /// Of `paid_minor`.
    pub paid_currency: String,
    /// What the partner gets.
    pub paid_minor: i64,
    /// The rate that it was converted by.
    pub rate_id: Option<String>,
    /// One unit of `currency` is `rate_mantissa x 10^rate_exponent` units of `paid_currency`: whole units, not minor ones.
    pub rate_mantissa: Option<i64>,
    /// As above.
    pub rate_exponent: Option<i32>,
    /// What the program keeps of the conversion, in parts per million.
    pub rate_spread_ppm: Option<i64>,
    /// When it was drafted (RFC 3339, UTC).
    pub drafted_at: String,
    /// When it was settled.
    pub settled_at: Option<String>,
    /// The payment's id at whoever paid it.
    pub reference: Option<String>,
    /// How many lines it has.
    pub line_count: i64,
}

/// What a payout pays for one commission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The payout.
    #[serde(skip)]
    pub payout_id: String,
    /// From 1.
    pub line: i32,
    /// The commission.
    pub commission_id: String,
    /// What was payable of it; minor units of the payout's currency.
    pub amount_minor: i64,
    /// The same as paid, rounded once.
    pub paid_minor: i64,
    /// It was in a payout before.
    pub further: bool,
}

/// Something that happened to a payout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PayoutChange {
    /// When (RFC 3339, UTC).
    pub recorded_at: String,
    /// `drafted`, `settled`, `failed` or `returned`.
    pub kind: String,
    /// The payment's id at whoever paid it.
    pub reference: String,
    /// Why.
    pub reason: String,
    /// `schedule`, or a person.
    pub actor: String,
}

/// Where a partner is paid, sealed: hex, as the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedDestination {
    /// The program.
    pub program_id: String,
    /// The partner.
    pub partner_id: String,
    /// How.
    pub method: String,
    /// Whose key seals it.
    pub subject: String,
    /// Names the key.
    pub key_id: String,
    /// The ciphertext.
    pub ciphertext: String,
}

/// Which payouts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Chosen<'a> {
    /// Of this program; `None`: of all.
    pub program: Option<&'a str>,
    /// Of this partner; `None`: of all.
    pub partner: Option<&'a str>,
    /// In this status; `None`: in any.
    pub status: Option<&'a str>,
    /// These; empty: all that the others choose.
    pub ids: &'a [String],
}

/// Whether the program has such a partner, also one that is removed.
///
/// # Errors
/// When the database does not answer.
pub async fn is_partner(pool: &PgPool, program: &str, partner: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM tributary.partner_rows WHERE program_id = $1 AND partner_id = $2) AS "there!""#,
        program,
        partner
    )
    .fetch_one(pool)
    .await
}

/// What was payable when the period began, for each currency that the partner ever had anything in.
///
/// # Errors
/// When the database does not answer.
pub async fn openings(pool: &PgPool, period: &Period<'_>) -> Result<Vec<Opening>, sqlx::Error> {
    sqlx::query_as!(
        Opening,
        r#"WITH moved AS (
               SELECT e.currency, e.recorded_at, (leg ->> 'amount')::bigint AS amount
               FROM tributary.commission_event_rows e CROSS JOIN LATERAL jsonb_array_elements(e.postings) AS legs (leg)
               WHERE e.program_id = $1 AND e.partner_id = $2 AND leg ->> 'account' IN ('available', 'debt')
               UNION ALL
               SELECT w.currency, w.recorded_at, w.amount_minor
               FROM tributary.write_off_rows w WHERE w.program_id = $1 AND w.partner_id = $2
               UNION ALL
               SELECT b.currency, timestamptz 'infinity', 0 FROM tributary.balance_rows b
               WHERE b.program_id = $1 AND b.partner_id = $2
           )
           SELECT currency AS "currency!",
                  coalesce(sum(amount) FILTER (WHERE recorded_at < tributary.moment($3::bigint)), 0)::bigint AS "amount_minor!"
           FROM moved GROUP BY currency ORDER BY currency COLLATE "C""#,
        period.program,
        period.partner,
        period.from
    )
    .fetch_all(pool)
    .await
}

/// Everything that changed what is payable, and the offsets, in the order of the log.
///
/// # Errors
/// When the database does not answer.
pub async fn entries(pool: &PgPool, period: &Period<'_>) -> Result<Vec<Entry>, sqlx::Error> {
    sqlx::query_as!(
        Entry,
        r#"WITH entries AS (
               SELECT e.recorded_at, e.seq, e.ordinal, e.currency, e.kind, m.amount, e.commission_id, e.gross_minor,
                      e.reversed_minor, e.payout_id, NULL::text AS debt_commission_id, NULL::bigint AS offset_minor,
                      r.object_id AS reversal_id, coalesce(r.net_minor, r.gross_minor) AS reversal_minor, e.cause_event_id,
                      e.reason
               FROM tributary.commission_event_rows e
               CROSS JOIN LATERAL (
                   SELECT coalesce(sum((leg ->> 'amount')::bigint), 0)::bigint AS amount
                   FROM jsonb_array_elements(e.postings) AS legs (leg) WHERE leg ->> 'account' IN ('available', 'debt')
               ) m
               LEFT JOIN LATERAL (
                   SELECT v.object_id, v.net_minor, v.gross_minor FROM tributary.reversal_rows v
                   WHERE e.kind IN ('refunded', 'chargeback', 'reinstated') AND v.event_id = e.cause_event_id
                     AND v.partition = e.partition AND v.result = 'matched'
                   ORDER BY v.seq DESC, v.ordinal DESC LIMIT 1
               ) r ON true
               WHERE e.program_id = $1 AND e.partner_id = $2 AND m.amount <> 0
               UNION ALL
               SELECT o.recorded_at, o.seq, o.ordinal, o.currency, 'offset', 0, o.commission_id, NULL, NULL, NULL,
                      o.debt_commission_id, o.amount_minor, NULL, NULL, o.cause_event_id, ''
               FROM tributary.offset_rows o WHERE o.program_id = $1 AND o.partner_id = $2
               UNION ALL
               SELECT w.recorded_at, w.seq, w.ordinal, w.currency, 'written_off', w.amount_minor, NULL, NULL, NULL, NULL,
                      NULL, NULL, NULL, NULL, w.cause_event_id, w.reason
               FROM tributary.write_off_rows w WHERE w.program_id = $1 AND w.partner_id = $2
           )
           SELECT to_char(recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "recorded_at!",
                  currency AS "currency!", kind AS "kind!", amount AS "amount_minor!", commission_id, gross_minor,
                  reversed_minor, payout_id, debt_commission_id, offset_minor, reversal_id, reversal_minor, cause_event_id,
                  reason AS "reason!"
           FROM entries
           WHERE ($3::bigint IS NULL OR recorded_at >= tributary.moment($3)) AND ($4::bigint IS NULL OR recorded_at < tributary.moment($4))
           ORDER BY seq, ordinal"#,
        period.program,
        period.partner,
        period.from,
        period.to
    )
    .fetch_all(pool)
    .await
}

/// What these commissions are computed from.
///
/// # Errors
/// When the database does not answer.
pub async fn sources(pool: &PgPool, commissions: &[String]) -> Result<Vec<Source>, sqlx::Error> {
    sqlx::query_as!(
        Source,
        r#"SELECT commission_id, external_id, source, origin, currency, gross_minor, reversed_minor,
                  coalesce(uncapped_minor, gross_minor) AS "uncapped_minor!", rule_id, rule_version, rounding, flat_minor,
                  share, share_of,
                  ARRAY(SELECT (s.slice ->> 'base_minor')::bigint
                        FROM jsonb_array_elements(c.slices) WITH ORDINALITY AS s (slice, n) ORDER BY n) AS "bases_minor!",
                  ARRAY(SELECT (s.slice ->> 'rate_ppm')::bigint
                        FROM jsonb_array_elements(c.slices) WITH ORDINALITY AS s (slice, n) ORDER BY n) AS "rates_ppm!"
           FROM tributary.commission_rows c WHERE commission_id = ANY($1) ORDER BY commission_id COLLATE "C""#,
        commissions
    )
    .fetch_all(pool)
    .await
}

/// Payouts, the oldest first.
///
/// # Errors
/// When the database does not answer.
pub async fn payouts(pool: &PgPool, chosen: Chosen<'_>) -> Result<Vec<Payout>, sqlx::Error> {
    sqlx::query_as!(
        Payout,
        r#"SELECT payout_id AS "payout_id!", p.program_id AS "program_id!", partner_id AS "partner_id!", status AS "status!",
                  currency AS "currency!", total_minor AS "total_minor!", paid_currency AS "paid_currency!",
                  paid_minor AS "paid_minor!", p.rate_id, r.mantissa AS "rate_mantissa?", r.exponent AS "rate_exponent?",
                  r.spread_ppm AS "rate_spread_ppm?",
                  to_char(drafted_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "drafted_at!",
                  to_char(settled_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS settled_at,
                  reference, lines AS "line_count!"
           FROM tributary.payouts p
           LEFT JOIN LATERAL (
               SELECT f.mantissa, f.exponent, f.spread_ppm FROM tributary.fx_rate_rows f
               WHERE f.program_id = p.program_id AND f.rate_id = p.rate_id AND f.from_currency = p.currency
                 AND f.to_currency = p.paid_currency AND f.recorded_at <= p.drafted_at
               ORDER BY f.seq DESC, f.ordinal DESC LIMIT 1
           ) r ON true
           WHERE ($1::text IS NULL OR p.program_id = $1) AND ($2::text IS NULL OR partner_id = $2)
             AND ($3::text IS NULL OR status = $3) AND (cardinality($4::text[]) = 0 OR payout_id = ANY($4))
           ORDER BY p.drafted_at, payout_id COLLATE "C""#,
        chosen.program,
        chosen.partner,
        chosen.status,
        chosen.ids
    )
    .fetch_all(pool)
    .await
}

/// The lines of these payouts, in their order.
///
/// # Errors
/// When the database does not answer.
pub async fn lines(pool: &PgPool, payouts: &[String]) -> Result<Vec<Line>, sqlx::Error> {
    sqlx::query_as!(
        Line,
        r#"SELECT payout_id, line, commission_id, amount_minor, paid_minor, further
           FROM tributary.payout_line_rows WHERE payout_id = ANY($1) ORDER BY payout_id COLLATE "C", line"#,
        payouts
    )
    .fetch_all(pool)
    .await
}

/// What happened to a payout, the first first.
///
/// # Errors
/// When the database does not answer.
pub async fn changes(pool: &PgPool, payout: &str) -> Result<Vec<PayoutChange>, sqlx::Error> {
    sqlx::query_as!(
        PayoutChange,
        r#"SELECT to_char(recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "recorded_at!", kind, reference,
                  reason, actor
           FROM tributary.payout_event_rows WHERE payout_id = $1 ORDER BY seq, ordinal"#,
        payout
    )
    .fetch_all(pool)
    .await
}

/// Where the partners of these payouts are paid, as far as it is known.
///
/// # Errors
/// When the database does not answer.
pub async fn destinations(pool: &PgPool, payouts: &[String]) -> Result<Vec<SealedDestination>, sqlx::Error> {
    sqlx::query_as!(
        SealedDestination,
        r#"SELECT d.program_id, d.partner_id, d.method, d.subject, d.key_id, d.ciphertext
           FROM tributary.payout_destination_rows d
           WHERE NOT d.removed AND (d.program_id, d.partner_id) IN
               (SELECT p.program_id, p.partner_id FROM tributary.payout_rows p WHERE p.payout_id = ANY($1))"#,
        payouts
    )
    .fetch_all(pool)
    .await
}

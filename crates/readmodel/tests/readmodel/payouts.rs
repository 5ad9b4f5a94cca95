//! Payouts and what belongs to them, as analysts and partners see them.
#![allow(clippy::unwrap_used)]
use crate::support::payouts::{commission, destination, payout, story, terms};
use crate::support::{Database, PARTITION, batch, facts_of, frames_of};
use domain::normalization::FactsEvent;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tributary_readmodel::apply::apply;
use tributary_readmodel::batch::Followed;
use tributary_readmodel::statements::{self, Chosen, Period};
use tributary_readmodel::{GENERATION, cursors, dump};

/// The story and the facts, in one batch or frame by frame.
async fn projected(whole: bool) -> Database {
    let database = Database::new().await;
    let mut connection = database.connection().await;
    cursors::ensure(&mut connection, GENERATION, &Followed::ALL.map(|followed| (followed, PARTITION)))
        .await
        .unwrap();
    let mut facts: Vec<FactsEvent> = terms().into_iter().map(FactsEvent::Config).collect();
    facts.extend([destination(Some(b"first")), destination(Some(b"sealed"))]);
    if whole {
        let both = [facts_of(1, facts), frames_of(1, story())];
        apply(&mut connection, GENERATION, &batch(both)).await.unwrap();
    } else {
        apply(&mut connection, GENERATION, &batch([facts_of(1, facts)])).await.unwrap();
        for (seq, events) in (1..).zip(story()) {
            apply(&mut connection, GENERATION, &batch([frames_of(seq, vec![events])])).await.unwrap();
        }
    }
    database
}

async fn rows(database: &Database, sql: &str) -> Value {
    let sql = format!("SELECT coalesce(json_agg(q), '[]')::text FROM ({sql}) q");
    let text: String = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&database.pool).await.unwrap();
    serde_json::from_str(&text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn views_say_what_was_paid_by_which_rate_what_paid_which_debt_and_what_was_given_up() {
    let database = projected(true).await;
    let (first, second, payout) = (commission(2), commission(12), payout().to_string());
    let cases = [
        (
            "SELECT payout_id, status, total_minor, paid_currency, paid_minor, rate_id, reference, lines, settled_at > drafted_at AS later FROM tributary.payouts",
            json!([{"payout_id": payout, "status": "settled", "total_minor": 200, "paid_currency": "EUR", "paid_minor": 180,
                    "rate_id": "june", "reference": "batch 7", "lines": 1, "later": true}]),
        ),
        (
            "SELECT line, commission_id, amount_minor, paid_minor, further, status FROM tributary.payout_lines",
            json!([{"line": 1, "commission_id": first, "amount_minor": 200, "paid_minor": 180, "further": false, "status": "settled"}]),
        ),
        (
            "SELECT kind, actor FROM tributary.payout_events ORDER BY seq",
            json!([{"kind": "drafted", "actor": "Jo"}, {"kind": "settled", "actor": "Jo"}]),
        ),
        (
            "SELECT commission_id, debt_commission_id, amount_minor FROM tributary.debt_offsets ORDER BY seq",
            json!([
                {"commission_id": second, "debt_commission_id": first, "amount_minor": 200},
                {"commission_id": second, "debt_commission_id": first, "amount_minor": -50},
            ]),
        ),
        (
            "SELECT amount_minor, claims, reason FROM tributary.write_offs",
            json!([{"amount_minor": 50, "claims": [{"commission_id": first, "amount_minor": 50}], "reason": "=gone"}]),
        ),
        (
            "SELECT rate_id, mantissa, exponent, spread_ppm, latest FROM tributary.fx_rates ORDER BY rate_id",
            json!([
                {"rate_id": "june", "mantissa": 90, "exponent": -2, "spread_ppm": 500, "latest": true},
                {"rate_id": "may", "mantissa": 85, "exponent": -2, "spread_ppm": 500, "latest": false},
            ]),
        ),
        (
            "SELECT partner_id, schedule, day, minimums, pay_in FROM tributary.payout_terms",
            json!([{"partner_id": null, "schedule": "monthly", "day": 31, "minimums": {"EUR": 90, "USD": 100}, "pay_in": "EUR"}]),
        ),
        (
            "SELECT commission_id, status, payout_id, clawback, offset_minor, rounding FROM tributary.commissions ORDER BY created_at",
            json!([
                {"commission_id": first, "status": "paid", "payout_id": payout, "clawback": true, "offset_minor": 0, "rounding": "half_even"},
                {"commission_id": second, "status": "approved", "payout_id": null, "clawback": false, "offset_minor": 150, "rounding": "half_even"},
            ]),
        ),
        (
            "SELECT commission_id, slice, base_minor, rate_ppm FROM tributary.commission_slices WHERE partner_id = 'partner_2' LIMIT 1",
            json!([{"commission_id": rows(&database, "SELECT min(commission_id) AS id FROM tributary.commissions").await[0]["id"], "slice": 1, "base_minor": 1000, "rate_ppm": 200_000}]),
        ),
        (
            "SELECT pending, available, in_flight, paid_out, debt FROM tributary.balances",
            json!([{"pending": 0, "available": 0, "in_flight": 0, "paid_out": 200, "debt": 0}]),
        ),
    ];
    for (sql, expected) in cases {
        let sql = sql.replace("LIMIT 1", "ORDER BY commission_id LIMIT 1");
        assert_eq!(rows(&database, &sql).await, expected, "{sql}");
    }
    database.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_frames_give_the_same_rows_in_one_batch_or_in_many() {
    let (one, many) = (projected(true).await, projected(false).await);
    assert_eq!(dump::canonical(&one.pool).await.unwrap(), dump::canonical(&many.pool).await.unwrap());
    one.stop().await;
    many.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_partner_is_paid_is_in_no_view_and_a_removed_destination_is_gone() {
    let database = projected(true).await;
    let since = "SELECT partner_id, method FROM tributary.payout_destinations";
    assert_eq!(rows(&database, since).await, json!([{"partner_id": "partner_2", "method": "paypal"}]));
    let ids = [payout().to_string()];
    let sealed = statements::destinations(&database.pool, &ids).await.unwrap();
    assert_eq!(sealed.len(), 1);
    let cells = (sealed[0].ciphertext.as_str(), sealed[0].key_id.as_str(), sealed[0].subject.as_str());
    assert_eq!(cells, ("7365616c6564", "08".repeat(16).as_str(), "07".repeat(16).as_str()));
    let views: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relkind = 'v' AND relnamespace = 'tributary'::regnamespace",
    )
    .fetch_all(&database.pool)
    .await
    .unwrap();
    for view in views {
        let shown = rows(&database, &format!("SELECT * FROM tributary.{view}")).await.to_string();
        assert!(!shown.contains("7365616c6564"), "{view}");
    }
    let mut connection = database.connection().await;
    apply(&mut connection, GENERATION, &batch([facts_of(2, vec![destination(None)])])).await.unwrap();
    assert_eq!(rows(&database, since).await, json!([]));
    assert_eq!(statements::destinations(&database.pool, &ids).await.unwrap(), []);
    assert_eq!(
        rows(&database, "SELECT ciphertext, subject FROM tributary.payout_destination_rows").await,
        json!([{"ciphertext": "", "subject": ""}])
    );
    drop(connection);
    database.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_has_every_change_of_what_is_payable_and_its_parts_join() {
    let database = projected(true).await;
    let all = Period { program: "prog_demo", partner: "partner_2", from: None, to: None };
    let entries = statements::entries(&database.pool, &all).await.unwrap();
    let short: Vec<(&str, i64, Option<i64>)> =
        entries.iter().map(|entry| (entry.kind.as_str(), entry.amount_minor, entry.offset_minor)).collect();
    assert_eq!(
        short,
        [
            ("approved", 200, None),
            ("locked", -200, None),
            ("refunded", -200, None),
            ("approved", 200, None),
            ("offset", 0, Some(200)),
            ("refunded", -50, None),
            ("offset", 0, Some(-50)),
            ("written_off", 50, None),
        ]
    );
    let refund = &entries[2];
    assert_eq!((refund.reversal_id.as_deref(), refund.reversal_minor), (Some("re_2"), Some(1000)));
    // Frame 8, the second approval: what came before it is the opening, what comes from it on is the rest.
    let cut = 1_800_000_000_000_000 + 8 * 1_000;
    let before = Period { to: Some(cut), ..all.clone() };
    let after = Period { from: Some(cut), ..all.clone() };
    let sum = |entries: &[statements::Entry]| entries.iter().map(|entry| entry.amount_minor).sum::<i64>();
    let opening = statements::openings(&database.pool, &after).await.unwrap();
    let first = statements::entries(&database.pool, &before).await.unwrap();
    let rest = statements::entries(&database.pool, &after).await.unwrap();
    assert_eq!((opening[0].currency.as_str(), opening[0].amount_minor), ("USD", -200));
    assert_eq!(sum(&first), -200);
    assert_eq!(opening[0].amount_minor + sum(&rest), 0);
    assert_eq!(first.len() + rest.len(), entries.len());
    assert_eq!(statements::openings(&database.pool, &all).await.unwrap()[0].amount_minor, 0);
    let sources = statements::sources(&database.pool, &[commission(2)]).await.unwrap();
    assert_eq!(
        (sources[0].bases_minor.as_slice(), sources[0].rates_ppm.as_slice()),
        ([1000].as_slice(), [200_000].as_slice())
    );
    assert_eq!(sources[0].gross_minor, 200);
    let payouts =
        statements::payouts(&database.pool, Chosen { status: Some("settled"), ..Chosen::default() })
            .await
            .unwrap();
    assert_eq!(payouts.len(), 1);
    assert_eq!((payouts[0].rate_mantissa, payouts[0].rate_exponent), (Some(90), Some(-2)));
    assert!(!statements::is_partner(&database.pool, "prog_demo", "nobody").await.unwrap());
    database.stop().await;
}

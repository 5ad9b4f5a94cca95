//! What analysts and scripts build on.
#![allow(clippy::unwrap_used)]
use crate::support::{Database, PARTITION, batch, commissions, event_id, facts};
use domain::normalization::{FactsEvent, VerdictKind};
use sqlx::PgPool;
use tributary_readmodel::apply::apply;
use tributary_readmodel::audit::{CHAIN_LINKS, TABLES};
use tributary_readmodel::batch::{Advance, Followed, Frames};
use tributary_readmodel::{GENERATION, cursors, queries};

/// The first columns of each view, for ever: views only grow.
const VIEWS: [(&str, &str); 31] = [
    ("balances", "program_id,partner_id,currency,pending,review,available,in_flight,paid_out,debt"),
    (
        "commissions",
        "commission_id,program_id,partner_id,sale_id,external_id,source,status,currency,gross_minor,reversed_minor,net_minor,created_at,updated_at",
    ),
    (
        "commission_events",
        "commission_id,program_id,partner_id,sale_id,kind,status,currency,gross_minor,reversed_minor,delta_minor,postings,cause_event_id,reason,actor,recorded_at",
    ),
    ("sales", "sale_id,program_id,source,external_id,event_id,partner_id,reason,customer_id"),
    ("reversals", "program_id,source,sale_external_id,object_id,event_id,family,state"),
    ("customers", "program_id,customer_id,partner_id,sales,first_sale_at,last_sale_at"),
    ("programs", "program_id,account_id,name,mode,profile,currency"),
    ("partners", "program_id,partner_id,name,active,created_at,updated_at"),
    ("verdicts", "program_id,event_id,source,delivery_key,verdict,reason,detail,retry,received_at"),
    ("quarantine", "program_id,event_id,source,delivery_key,reason,detail,received_at,quarantined_at"),
    ("freshness", "topic,partition,seq,as_of"),
    (
        "parked",
        "program_id,kind,source,external_id,event_id,waits_for,waits_for_id,currency,gross_minor,parked_at",
    ),
    ("sale_codes", "program_id,source,sale_external_id,code,found_at"),
    ("accounts", "account_id,name,created_at,updated_at"),
    ("codes", "program_id,code,partner_id,active,created_at,updated_at"),
    ("coupons", "program_id,coupon,partner_id,active,created_at,updated_at"),
    ("rules", "program_id,rule_id,version,reward,rate_ppm,amount_minor,currency,on_refund,latest"),
    (
        "conversions",
        "sale_id,program_id,kind,source,external_id,event_id,partner_id,reason,customer_id,subscription_id,currency,gross_minor,base_minor,parts",
    ),
    (
        "commission_holds",
        "program_id,partner_id,commission_id,hold,kind,name,status,currency,net_minor,ends_at",
    ),
    ("chains", "program_id,events,link,root,partition,updated_at"),
    ("endpoints", "program_id,endpoint_id,provider,secrets,tolerance_seconds"),
    ("keys", "program_id,key_id,account_id,name,mode,publishable,program_bound,scopes,expires_at"),
    (
        "payouts",
        "payout_id,program_id,partner_id,status,currency,total_minor,paid_currency,paid_minor,rate_id",
    ),
    (
        "payout_lines",
        "program_id,partner_id,payout_id,line,commission_id,currency,amount_minor,paid_currency",
    ),
    ("payout_events", "payout_id,program_id,partner_id,kind,currency,total_minor,paid_currency,paid_minor"),
    ("debt_offsets", "program_id,partner_id,currency,commission_id,debt_commission_id,amount_minor"),
    ("write_offs", "program_id,partner_id,currency,amount_minor,claims,postings,cause_event_id,reason,actor"),
    ("fx_rates", "program_id,rate_id,from_currency,to_currency,mantissa,exponent,spread_ppm,latest"),
    ("payout_terms", "program_id,partner_id,schedule,day,minimums,pay_in"),
    ("payout_destinations", "program_id,partner_id,method,since"),
    ("commission_slices", "program_id,partner_id,commission_id,slice,line_id,currency,base_minor,rate_ppm"),
];

#[tokio::test(flavor = "multi_thread")]
async fn views_keep_their_columns_and_each_says_what_it_means() {
    let database = Database::new().await;
    for (view, columns) in VIEWS {
        let found: Vec<String> = sqlx::query_scalar(
            "SELECT attname::text FROM pg_attribute WHERE attrelid = ('tributary.' || $1)::regclass AND attnum > 0 ORDER BY attnum",
        )
        .bind(view)
        .fetch_all(&database.pool)
        .await
        .unwrap();
        assert!(found.join(",").starts_with(columns), "{view}: {found:?}");
    }
    let silent: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname || coalesce('.' || a.attname, '') FROM pg_class c
         LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
         WHERE c.relkind = 'v' AND c.relnamespace = 'tributary'::regnamespace
           AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid, 'pg_class') IS NULL)",
    )
    .fetch_all(&database.pool)
    .await
    .unwrap();
    assert_eq!(silent, Vec::<String>::new(), "no COMMENT");
    let floats: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'tributary' AND data_type IN ('real', 'double precision', 'numeric')",
    )
    .fetch_one(&database.pool)
    .await
    .unwrap();
    assert_eq!(floats, 0);
    database.stop().await;
}

/// Where the part of the page begins that is made from the catalogue.
const MADE: &str = "<!-- made from the database: do not edit below -->\n";

/// Every view with its columns, types and comments, as the page shows them.
async fn page(pool: &PgPool) -> String {
    let columns: Vec<(String, String, String, String, String)> = sqlx::query_as(
        "SELECT c.relname::text, obj_description(c.oid, 'pg_class'), a.attname::text, format_type(a.atttypid, a.atttypmod),
                col_description(c.oid, a.attnum)
         FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
         WHERE c.relkind = 'v' AND c.relnamespace = 'tributary'::regnamespace
         ORDER BY c.relname::text COLLATE \"C\", a.attnum",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let mut page = String::new();
    let mut last = String::new();
    for (view, about, column, kind, means) in columns {
        if view != last {
            page.push_str(&format!(
                "\n### `{view}`\n\n{about}\n\n| column | type | meaning |\n|---|---|---|\n"
            ));
            last = view;
        }
        page.push_str(&format!("| `{column}` | {kind} | {} |\n", means.replace('|', "\\|")));
    }
    page
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_lists_every_column_as_the_catalogue_has_it() {
    let database = Database::new().await;
    let made = page(&database.pool).await;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/views.md");
    let written = std::fs::read_to_string(path).unwrap();
    let (by_hand, found) = written.split_once(MADE).unwrap();
    if std::env::var_os("TRIBUTARY_TEST_RENEW").is_some() {
        std::fs::write(path, format!("{by_hand}{MADE}{made}")).unwrap();
    } else {
        assert_eq!(
            found, made,
            "renew it: TRIBUTARY_TEST_RENEW=1 cargo test -p tributary-readmodel --test readmodel"
        );
    }
    database.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_compares_every_column_of_every_table() {
    let database = Database::new().await;
    let tables: Vec<(String, String)> = sqlx::query_as(
        "SELECT c.relname::text, a.attname::text FROM pg_class c
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
         WHERE c.relkind = 'r' AND c.relnamespace = 'tributary'::regnamespace AND c.relname LIKE '%\\_rows'
           AND c.relname <> 'cursor_rows'",
    )
    .fetch_all(&database.pool)
    .await
    .unwrap();
    let missing: Vec<String> = tables
        .into_iter()
        .filter(|(table, column)| {
            let place: &[&str] = if column == "partition" { &["partition"] } else { &["seq", "ordinal"] };
            !TABLES.iter().copied().chain([&CHAIN_LINKS]).any(|known| {
                known.name == table
                    && (known.columns.iter().any(|known| known.name == column)
                        || (place.contains(&column.as_str()) && (known.keys == 0 || column == "partition")))
            })
        })
        .map(|(table, column)| format!("{table}.{column}"))
        .collect();
    assert_eq!(missing, Vec::<String>::new());
    database.stop().await;
}

/// A verdict, then a retry of it or a second delivery: (kind, reason, retry of, event).
async fn give(pool: &PgPool, seq: u64, kind: VerdictKind, reason: &str, retry_of: Option<u64>, of: u64) {
    let mut advance: Advance = facts(seq..seq + 1, kind, reason);
    if let Frames::Facts(frames) = &mut advance.frames
        && let FactsEvent::Verdict(verdict) = &mut frames[0].events[0]
    {
        verdict.retry_of = retry_of;
        verdict.event = event_id(of);
    }
    let mut connection = pool.acquire().await.unwrap();
    cursors::ensure(&mut connection, GENERATION, &[(Followed::Facts, PARTITION)]).await.unwrap();
    apply(&mut connection, GENERATION, &batch([advance])).await.unwrap();
}

async fn quarantined(pool: &PgPool) -> Vec<i64> {
    sqlx::query_scalar("SELECT position FROM tributary.quarantine ORDER BY position")
        .fetch_all(pool)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_leaves_the_quarantine_when_it_is_settled_and_only_then() {
    use VerdictKind::{Applied, Quarantined};
    let database = Database::new().await;
    let pool = &database.pool;
    // Frames come from position seq + 100.
    give(pool, 1, Quarantined, "bad_amount", None, 1).await;
    give(pool, 2, Quarantined, "bad_amount", None, 2).await;
    give(pool, 3, Applied, "", None, 3).await;
    give(pool, 4, Quarantined, "conflict", None, 3).await;
    assert_eq!(quarantined(pool).await, [101, 102, 104]);
    // A retry that fails speaks for the original, under its position; one that succeeds settles it.
    give(pool, 5, Quarantined, "bad_amount", Some(101), 1).await;
    assert_eq!(quarantined(pool).await, [101, 102, 104]);
    give(pool, 6, Applied, "", Some(101), 1).await;
    assert_eq!(quarantined(pool).await, [102, 104]);
    // The same event sent again and applied settles it too; a conflict is not settled by the event that it contradicts.
    give(pool, 7, Applied, "", None, 2).await;
    give(pool, 8, Applied, "", None, 3).await;
    assert_eq!(quarantined(pool).await, [104]);
    database.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_found_by_every_name_it_has_and_texts_that_postgres_cannot_hold_do_not_stop_it() {
    let database = Database::new().await;
    let mut connection = database.connection().await;
    let places = Followed::ALL.map(|followed| (followed, PARTITION));
    cursors::ensure(&mut connection, GENERATION, &places).await.unwrap();
    let mut verdicts = facts(1..4, VerdictKind::Applied, "");
    if let Frames::Facts(frames) = &mut verdicts.frames
        && let FactsEvent::Verdict(verdict) = &mut frames[2].events[0]
    {
        // Longer than an index entry may be, with a character that Postgres has not, at a moment that it has not.
        verdict.delivery_key = format!("\0{}", "k".repeat(200_000));
        verdict.received_at.0 = i64::MAX;
    }
    apply(&mut connection, GENERATION, &batch([verdicts, commissions(1..4)])).await.unwrap();
    let by_sale = queries::find_events(&database.pool, "txn_2").await.unwrap();
    let by_delivery = queries::find_events(&database.pool, "evt_2").await.unwrap();
    let by_event = queries::find_events(&database.pool, event_id(2).as_str()).await.unwrap();
    assert_eq!(by_sale, by_delivery);
    assert_eq!(by_sale, by_event);
    let found = serde_json::to_value(&by_sale).unwrap();
    assert_eq!(found.as_array().unwrap().len(), 1);
    assert_eq!(found[0]["verdict"], "applied");
    assert_eq!(found[0]["received_at"], "2027-01-15T08:00:00.002000Z");
    assert_eq!(found[0]["commission_ids"].as_array().unwrap().len(), 1);
    assert!(found[0]["sale_id"].as_str().unwrap().starts_with("sal_"));
    assert_eq!(
        queries::find_events(&database.pool, &format!("\0{}", "k".repeat(200_000))).await.unwrap().len(),
        1
    );
    drop(connection);
    database.stop().await;
}

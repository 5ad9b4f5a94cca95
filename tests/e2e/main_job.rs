//! The main job: signed webhooks become commissions and balances, once, in any order.
use crate::installation::{Installation, Target};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use testkit::load::{client, send};
use testkit::requests::{Request, paddle, paddle_event, paddle_refund, paddle_sale};

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_webhook_becomes_a_balance_once_in_any_order_on_the_embedded_log() -> Result<()> {
    main_job(Target::Embedded).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_webhook_becomes_a_balance_once_in_any_order_on_kafka() -> Result<()> {
    main_job(Target::Kafka).await
}

async fn main_job(target: Target) -> Result<()> {
    let installation = Installation::new(target, "main").await?;
    let running = installation.setup.start(None).await?;
    let http = client();
    let before = installation.settled("prog_demo_eighth").await?;
    anyhow::ensure!(before.is_empty(), "no sample traffic in the second program: {before:?}");

    let sale =
        paddle("prog_demo_eighth", &paddle_sale("evt_1", "txn_main", 20_004, 2_000, Some("john8"), "ctm_a"));
    for _ in 0..3 {
        expect_200(&http, &running.url, &sale).await?;
    }
    let (left, right) =
        tokio::join!(expect_200(&http, &running.url, &sale), expect_200(&http, &running.url, &sale));
    left?;
    right?;
    installation.wait_for_verdicts(&["evt_1".to_owned()]).await?;
    anyhow::ensure!(running.terminate().await?.success(), "exit status 0 after SIGTERM");

    let running = installation.setup.start(None).await?;
    expect_200(&http, &running.url, &sale).await?;
    // 20,004 at 12.5% is 2,500.5: ties go to even.
    let refund = |event: &str, adjustment: &str, sale: &str| {
        paddle("prog_demo_eighth", &paddle_refund(event, adjustment, sale, 5_000, 500))
    };
    let other =
        paddle("prog_demo_eighth", &paddle_sale("evt_2", "txn_other", 20_004, 2_000, Some("mary8"), "ctm_b"));
    for request in [
        refund("evt_r1", "adj_1", "txn_main"),
        refund("evt_r2", "adj_2", "txn_other"),
        other,
        refund("evt_r2b", "adj_2", "txn_other"),
    ] {
        expect_200(&http, &running.url, &request).await?;
    }
    let keys: Vec<String> = ["evt_1", "evt_2", "evt_r1", "evt_r2", "evt_r2b"].map(String::from).to_vec();
    installation.wait_for_verdicts(&keys).await?;
    // Refund after the sale and refund before it: N = min(2,500, round(15,004 x 12.5%)) = round(1,875.5) = 1,876.
    let expected = BTreeMap::from([("partner_john".to_owned(), 1_876), ("partner_mary".to_owned(), 1_876)]);
    installation.wait_for_balances("prog_demo_eighth", &expected).await?;
    let commissions = installation.commissions("txn_main").await?;
    assert_eq!(commissions.len(), 1);
    assert_eq!((commissions[0].2, commissions[0].3), (2_500, 1_876));

    let found = installation.setup.json(&["events", "find", "evt_1", "--json"]).await?;
    let verdicts: Vec<_> =
        found.as_array().context("an array")?.iter().map(|e| e["verdict"].clone()).collect();
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == json!("applied")).count(), 1, "{found}");
    assert!(found.as_array().unwrap().iter().any(|e| e["commission_ids"][0] == json!(commissions[0].0)));

    published_bodies(&installation, &http, &running.url).await?;
    let report = installation.verify_is_clean().await?;
    assert!(report["verdicts"]["duplicate"].as_i64().unwrap() >= 5, "{report}");
    verify_names_a_planted_error(&installation).await?;
    anyhow::ensure!(running.terminate().await?.success());
    Ok(())
}

/// A row that somebody changed by hand is a problem with its place, and exit status 1.
async fn verify_names_a_planted_error(installation: &Installation) -> Result<()> {
    let database = installation.database().await?;
    let plant = |change: i64| {
        sqlx::query(
            "update tributary.balance_rows set available = available + $1
             where program_id = 'prog_demo_eighth' and partner_id = 'partner_mary'",
        )
        .bind(change)
    };
    anyhow::ensure!(plant(1).execute(&database).await?.rows_affected() == 1);
    let output = installation.setup.run(&["verify", "--json"]).await?;
    let report: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!((output.status.code(), &report["ok"]), (Some(1), &json!(false)), "{report}");
    let place = report["problems"][0]["where"].as_str().unwrap_or_default().to_owned();
    assert!(place.contains("partner_mary"), "{report}");
    plant(-1).execute(&database).await?;
    installation.verify_is_clean().await.map(drop)
}

/// Bodies that the provider published, where a checkout has them: completed by a referral code and an envelope.
async fn published_bodies(installation: &Installation, http: &reqwest::Client, url: &str) -> Result<()> {
    let Some(folder) = published_folder() else {
        eprintln!("no published bodies here: set TRIBUTARY_FIXTURES to a folder that has providers/paddle");
        return Ok(());
    };
    let read =
        |name: &str| -> Result<Value> { Ok(serde_json::from_slice(&std::fs::read(folder.join(name))?)?) };
    let mut transaction = read("data_only.transaction.completed.json")?;
    transaction["custom_data"] = json!({"ref_code": "john123"});
    let id = transaction["id"].as_str().context("id")?.to_owned();
    let sale = paddle_event("evt_published_sale", "transaction.completed", transaction);
    let mut adjustment = read("data_only.adjustment.created.json")?;
    adjustment["transaction_id"] = json!(id);
    adjustment["status"] = json!("approved");
    let refund = paddle_event("evt_published_refund", "adjustment.updated", adjustment);
    let customer = read("envelope.customer.created.json")?;
    let customer_key = customer["event_id"].as_str().context("event_id")?.to_owned();
    for body in [&refund, &sale, &customer] {
        expect_200(http, url, &paddle("prog_demo", body)).await?;
    }
    installation
        .wait_for_verdicts(&["evt_published_sale".into(), "evt_published_refund".into(), customer_key])
        .await?;
    let commissions = installation.commissions(&id).await?;
    assert_eq!(commissions.len(), 1, "{commissions:?}");
    // 59,900 at 20% = 11,980; a refund of 92 net leaves round(59,808 x 20%) = round(11,961.6) = 11,962.
    assert_eq!((commissions[0].2, commissions[0].3), (11_980, 11_962));
    Ok(())
}

fn published_folder() -> Option<PathBuf> {
    let root = std::env::var_os("TRIBUTARY_FIXTURES").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures"),
        PathBuf::from,
    );
    let folder = root.join("providers/paddle");
    folder.is_dir().then_some(folder)
}

async fn expect_200(http: &reqwest::Client, url: &str, request: &Request) -> Result<()> {
    let (status, body) = send(http, url, request).await?;
    anyhow::ensure!(status == 200, "{}: {status} {body}", request.path);
    Ok(())
}

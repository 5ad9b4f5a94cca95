//! The Revshare dialect in outcome mode: the commission is in the answer.
use crate::installation::{Installation, Target};
use anyhow::Result;
use serde_json::json;
use std::collections::BTreeSet;
use testkit::load::{client, send};
use testkit::requests::{Auth, referral};

#[tokio::test(flavor = "multi_thread")]
async fn a_referral_is_answered_with_its_commission_on_the_embedded_log() -> Result<()> {
    referrals(Target::Embedded).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_referral_is_answered_with_its_commission_on_kafka() -> Result<()> {
    referrals(Target::Kafka).await
}

async fn referrals(target: Target) -> Result<()> {
    let installation = Installation::small(target, "referral").await?;
    let running = installation.setup.start(None).await?;
    let http = client();
    let url = &running.url;

    let order = referral("prog_demo", "john123", "order_ref_1", 5_000);
    let (status, answer) = send(&http, url, &order).await?;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["commission_amount"], 1_000, "{answer}");
    assert_eq!(answer["status"], "pending", "{answer}");
    assert_eq!(answer["duplicate"], false, "{answer}");
    let id = answer["referral_id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("rs_"), "{id}");

    let (status, again) = send(&http, url, &order).await?;
    assert_eq!((status, &again["duplicate"], &again["referral_id"]), (200, &json!(true), &json!(id)));
    assert_eq!(again["commission_amount"], 1_000);

    let (status, body) = send(&http, url, &referral("prog_demo", "john123", "order_ref_1", 5_001)).await?;
    assert_eq!((status, body), (409, json!({"error": "Transaction already recorded with different data"})));
    let (status, body) = send(&http, url, &referral("prog_demo", "nobody", "order_ref_2", 5_000)).await?;
    assert_eq!((status, body), (404, json!({"error": "Affiliate not found"})));
    // A refused event does not reserve its transaction id.
    let (status, _) = send(&http, url, &referral("prog_demo", "mary456", "order_ref_2", 5_000)).await?;
    assert_eq!(status, 200);
    let mut wrong = order.clone();
    wrong.auth = Auth::ApiKey("sk_wrong".to_owned());
    let (status, body) = send(&http, url, &wrong).await?;
    assert_eq!((status, body), (401, json!({"error": "Invalid API key"})));

    let twin = referral("prog_demo", "john123", "order_twins", 7_777);
    let mut twins = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (http, url, twin) = (http.clone(), url.clone(), twin.clone());
        twins.spawn(async move { send(&http, &url, &twin).await });
    }
    let mut ids = BTreeSet::new();
    while let Some(result) = twins.join_next().await {
        let (status, body) = result??;
        assert_eq!(status, 200, "{body}");
        assert_eq!(body["commission_amount"], 1_555, "{body}");
        ids.insert(body["referral_id"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids.len(), 1, "{ids:?}");
    installation.wait_for_verdicts(&["order_twins".to_owned(), "order_ref_2".to_owned()]).await?;
    assert_eq!(installation.commissions("order_twins").await?.len(), 1);
    installation.verify_is_clean().await?;
    assert!(running.terminate().await?.success());
    Ok(())
}

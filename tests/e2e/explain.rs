//! The proof and the explanation, from outside: beside a running `up`, without one, and on Kafka.
use crate::installation::{Installation, LIMIT, Target};
use anyhow::Result;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// A sale of the demo's sample traffic that is refunded in part.
const SALE: &str = "txn_demo_0001";

#[tokio::test(flavor = "multi_thread")]
async fn a_commission_is_explained_and_a_wrong_balance_named_on_the_embedded_log() -> Result<()> {
    explained(Target::Embedded).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commission_is_explained_and_a_wrong_balance_named_on_kafka() -> Result<()> {
    explained(Target::Kafka).await
}

async fn explained(target: Target) -> Result<()> {
    let installation = Installation::small(target, "explain").await?;
    let running = installation.setup.start(None).await?;
    installation.settled("prog_demo").await?;
    let beside = installation.setup.json(&["explain", SALE, "--json"]).await?;
    // The rows come a little after the log, which `explain` reads.
    let deadline = Instant::now() + LIMIT;
    let (id, status, gross, net) = loop {
        let row = installation.commissions(SALE).await?.remove(0);
        if beside[0]["commission"]["status"] == row.1 || Instant::now() > deadline {
            break row;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(beside.as_array().map(Vec::len), Some(1), "{beside}");
    let commission = &beside[0]["commission"];
    assert_eq!(commission["commission_id"], json!(id), "{beside}");
    assert_eq!(
        (&commission["status"], &commission["gross_minor"], &commission["net_minor"]),
        (&json!(status), &json!(gross), &json!(net)),
        "what explain says is what analysts see"
    );
    assert_eq!(recomputed(&beside[0]), net, "{beside}");
    assert_eq!(beside[0]["steps"][0]["raw"]["body"], Value::Null, "bodies may hold personal data");
    let shown = installation.setup.json(&["explain", &id, "--json", "--body"]).await?;
    assert!(shown[0]["steps"][0]["raw"]["body"].as_str().is_some_and(|body| body.contains(SALE)), "{shown}");
    let nobody = installation.setup.run(&["explain", "txn_of_nobody"]).await?;
    assert_eq!(nobody.status.code(), Some(1));

    let database = installation.database().await?;
    let by = |amount: &str| {
        format!(
            "update tributary.balance_rows set available = available {amount} where partner_id = 'partner_john' and program_id = 'prog_demo'"
        )
    };
    sqlx::query(sqlx::AssertSqlSafe(by("+ 1"))).execute(&database).await?;
    let output = installation.setup.run(&["verify", "--json"]).await?;
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let problems: Vec<(&Value, &Value)> = report["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| (&problem["kind"], &problem["where"]))
        .collect();
    assert_eq!(problems, [(&json!("balance"), &json!("prog_demo/partner_john/USD"))], "{report}");
    sqlx::query(sqlx::AssertSqlSafe(by("- 1"))).execute(&database).await?;
    database.close().await;
    installation.verify_is_clean().await?;

    running.terminate().await?;
    let without = installation.setup.json(&["explain", &id, "--json"]).await?;
    assert_eq!(without, beside);
    Ok(())
}

/// N from the printed numbers: of the last change that shows its arithmetic.
fn recomputed(explanation: &Value) -> i64 {
    let mut events =
        explanation["steps"].as_array().unwrap().iter().flat_map(|step| step["events"].as_array().unwrap());
    let last = events.rfind(|event| event["arithmetic"].is_object()).unwrap();
    let arithmetic = &last["arithmetic"];
    let number = |value: &Value| i128::from(value.as_i64().unwrap());
    let slices = arithmetic["slices"].as_array().unwrap().iter();
    let sum: i128 = slices.map(|slice| number(&slice["left_minor"]) * number(&slice["rate_ppm"])).sum();
    assert_eq!(arithmetic["sum"], json!(sum.to_string()));
    // Half to even.
    let divisor = number(&arithmetic["divisor"]);
    let (floor, rest) = (sum.div_euclid(divisor), sum.rem_euclid(divisor));
    let up = rest * 2 > divisor || (rest * 2 == divisor && floor % 2 == 1);
    let rounded = floor + i128::from(up);
    assert_eq!(number(&arithmetic["rounded_minor"]), rounded);
    i64::try_from(rounded.min(number(&arithmetic["gross_minor"]))).unwrap()
}

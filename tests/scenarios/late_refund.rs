//! From a sale to a payout to a late refund to a debt to the sale that pays it, over HTTP and on real parts. The statement that
//! comes out is the one in `README.md` of this folder, which was computed by hand.
use crate::installation::Target;
use crate::payouts::{Books, PARTNER};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

const BY_HAND: &str = include_str!("README.md");

#[tokio::test(flavor = "multi_thread")]
async fn a_late_refund_becomes_a_debt_that_the_next_sale_pays_on_the_embedded_log() -> Result<()> {
    late_refund(Target::Embedded).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_refund_becomes_a_debt_that_the_next_sale_pays_on_kafka() -> Result<()> {
    late_refund(Target::Kafka).await
}

async fn late_refund(target: Target) -> Result<()> {
    let (books, running) = Books::open(target, "story").await?;
    books.sale("order_1", 4_900).await?;
    books.balance_is([1_470, 0, 0, 0]).await?;
    let (june, amount) = books.drafted("june").await?;
    ensure!(amount == 1_470, "{amount}");
    books.balance_is([0, 1_470, 0, 0]).await?;
    let paid = json!({"amount": 1_470, "currency": "USD", "reference": "BATCH-6"});
    let (status, answer) = books.settle(&june, paid, None).await?;
    ensure!(status == 200, "{answer}");
    books.balance_is([0, 0, 1_470, 0]).await?;

    // The customer gets everything back after the partner was paid for it.
    books.refund("order_1", 4_900).await?;
    books.balance_is([0, 0, 1_470, 1_470]).await?;
    let (status, answer) = books.draft("too early").await?;
    let message = answer["error"]["message"].as_str().unwrap_or_default();
    ensure!(status == 409 && message.contains("debt"), "{status} {answer}");

    books.sale("order_2", 6_667).await?;
    books.balance_is([530, 0, 1_470, 0]).await?;
    let (july, amount) = books.drafted("july").await?;
    ensure!(amount == 530, "{amount}");
    let (status, answer) = books.settle(&july, json!({"amount": 530, "currency": "USD"}), None).await?;
    ensure!(status == 200, "{answer}");
    books.balance_is([0, 0, 2_000, 0]).await?;
    books.installation.verify_is_clean().await?;

    let found = printed(&books, [&june, &july]).await?;
    let by_hand: Vec<&str> = BY_HAND.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    println!("{}", found.join("\n"));
    assert_eq!(found, by_hand);
    assert!(running.terminate().await?.success());
    Ok(())
}

/// The partner's statement, a line of a table for each of its lines.
async fn printed(books: &Books, payouts: [&str; 2]) -> Result<Vec<String>> {
    let setup = &books.installation.setup;
    let place = ["--program", books.program(), "--partner", PARTNER];
    let statement = setup.json(&[&["statement", "--format", "json"], place.as_slice()].concat()).await?;
    let [dollars] = statement["currencies"].as_array().context("currencies")?.as_slice() else {
        anyhow::bail!("one currency: {statement:#}");
    };
    ensure!(dollars["opening_minor"] == 0 && dollars["closing_minor"] == 0, "{statement:#}");
    let sources = statement["commissions"].as_array().context("commissions")?;
    let order = |id: &Value| {
        let found = sources.iter().find(|source| source["commission_id"] == *id && !id.is_null());
        found.and_then(|source| source["external_id"].as_str()).unwrap_or("-").to_owned()
    };
    let payout = |id: &Value| match id.as_str() {
        Some(id) if id == payouts[0] => "june",
        Some(id) if id == payouts[1] => "july",
        _ => "-",
    };
    let line = |entry: &Value| {
        format!(
            "| {} | {} | {} | {} | {} | {} | {} |",
            entry["kind"].as_str().unwrap_or_default(),
            order(&entry["commission_id"]),
            entry["amount_minor"],
            entry["balance_minor"],
            order(&entry["debt_commission_id"]),
            entry["offset_minor"].as_i64().map_or_else(|| "-".to_owned(), |offset| offset.to_string()),
            payout(&entry["payout_id"]),
        )
    };
    Ok(dollars["entries"].as_array().context("entries")?.iter().map(line).collect())
}

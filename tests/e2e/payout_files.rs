//! What partners are shown and paid, from a sale to its files, over HTTP and on the command line, on real parts: statements,
//! a file for `PayPal`, a file for Wise. A refund comes after the payment, and the next sale pays it back.
use crate::installation::{Installation, LIMIT, Target};
use crate::native_api::Api;
use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use testkit::load::client;
use testkit::requests::DEMO_KEY;
use tokio::time::Instant;

const PROGRAM: &str = "/prog_files_test";
const ID: &str = "prog_files_test";
/// Long over: the time hold of what happened then has ended when it is recorded.
const LONG_AGO: &str = "2026-01-15T12:00:00Z";

struct Case {
    api: Api,
    installation: Installation,
}

impl Case {
    async fn applied(&self, method: &str, resource: &str, body: &Value) -> Result<Value> {
        let limit = Instant::now() + LIMIT;
        loop {
            let (status, answer) = self.api.call(method, &format!("{PROGRAM}/{resource}"), body).await?;
            match status {
                200 => return Ok(answer),
                202 | 503 if Instant::now() < limit => {}
                _ => bail!("{method} {resource} {body}: {status} {answer}"),
            }
        }
    }

    /// A sale of the partner's code.
    async fn sold(&self, order: &str, code: &str, amount: i64) -> Result<()> {
        let sale = json!({
            "external_id": order, "amount": amount, "currency": "USD", "occurred_at": LONG_AGO, "code": code});
        self.applied("POST", "sales", &sale).await.map(drop)
    }

    /// What each partner can be paid, as soon as it is this: approval is the clock's, and comes a little after the sale.
    async fn payable(&self, expected: &[(&str, i64)]) -> Result<()> {
        let limit = Instant::now() + LIMIT;
        loop {
            let all = self.installation.setup.json(&["balances", "--json"]).await?;
            let rows = all.as_array().context("an array")?.iter().filter(|row| row["program_id"] == ID);
            let found: Vec<(&str, i64)> = rows
                .map(|row| {
                    let partner = row["partner_id"].as_str().unwrap_or_default();
                    (partner, row["available"].as_i64().unwrap_or_default())
                })
                .collect();
            if found == expected {
                return Ok(());
            }
            if Instant::now() > limit {
                bail!("payable are {found:?}, expected {expected:?}");
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }

    async fn drafted(&self, partner: &str, key: &str) -> Result<String> {
        let draft = json!({"partner_id": partner, "currency": "USD", "idempotency_key": key});
        let answer = self.applied("POST", "payouts", &draft).await?;
        Ok(answer["payout"]["payout_id"].as_str().with_context(|| answer.to_string())?.to_owned())
    }

    /// What a command prints, once the read model has `payouts` payouts in `status`: rows come a little after the answer.
    async fn once(&self, status: &str, payouts: usize) -> Result<Value> {
        let limit = Instant::now() + LIMIT;
        loop {
            let command = ["payouts", "list", "--program", ID, "--status", status, "--json"];
            let found = self.installation.setup.json(&command).await?;
            if found.as_array().is_some_and(|found| found.len() == payouts) {
                return Ok(found);
            }
            if Instant::now() > limit {
                bail!("{payouts} payouts {status} expected: {found}");
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }

    /// Exit status, standard output, standard error.
    async fn run(&self, command: &[&str]) -> Result<(Option<i32>, String, String)> {
        let output = self.installation.setup.run(command).await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((output.status.code(), text(&output.stdout), text(&output.stderr)))
    }

    async fn statement(&self, partner: &str, format: &str) -> Result<String> {
        let command = ["statement", "--program", ID, "--partner", partner, "--format", format];
        let (status, out, error) = self.run(&command).await?;
        if status != Some(0) {
            bail!("statement: {status:?} {error}");
        }
        Ok(out)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partners_are_paid_by_file_and_their_statements_add_up_on_the_embedded_log() -> Result<()> {
    partners_are_paid_by_file_and_their_statements_add_up(Target::Embedded).await
}

#[tokio::test(flavor = "multi_thread")]
async fn partners_are_paid_by_file_and_their_statements_add_up_on_kafka() -> Result<()> {
    partners_are_paid_by_file_and_their_statements_add_up(Target::Kafka).await
}

async fn partners_are_paid_by_file_and_their_statements_add_up(target: Target) -> Result<()> {
    let installation = Installation::small(target, "payout-files").await?;
    let running = installation.setup.start(None).await?;
    let operator = Api { http: client(), base: running.url.clone(), key: DEMO_KEY.to_owned() };
    let case = Case { api: set_up(&operator).await?, installation };

    case.sold("order_1", "mary10", 4_900).await?;
    case.sold("order_2", "wanda10", 2_000).await?;
    case.sold("order_3", "nina10", 1_000).await?;
    case.payable(&[("mary", 1_470), ("nina", 300), ("wanda", 600)]).await?;
    let mary = case.drafted("mary", "june-mary").await?;
    let wanda = case.drafted("wanda", "june-wanda").await?;
    let nina = case.drafted("nina", "june-nina").await?;
    case.once("drafted", 3).await?;
    files(&case, [&mary, &wanda, &nina]).await?;

    let settle = json!({"amount": 1_470, "currency": "USD", "reference": "BATCH-7", "actor": "Jo"});
    case.applied("POST", &format!("payouts/{mary}/settle"), &settle).await?;
    case.once("settled", 1).await?;
    let out = case.installation.directory.path().join("again.csv");
    let out = out.to_str().context("a path")?;
    let (status, _, error) =
        case.run(&["payouts", "export", "--format", "paypal", "--payout", &mary, "--out", out]).await?;
    assert_eq!(status, Some(1));
    assert!(error.contains(&mary) && error.contains("settled"), "{error}");

    let refund = json!({
        "external_id": "re_1", "sale_external_id": "order_1", "amount": 4_900, "currency": "USD", "occurred_at": LONG_AGO});
    case.applied("POST", "refunds", &refund).await?;
    case.sold("order_4", "mary10", 6_667).await?;
    paid_back(&case, &mary).await?;
    case.installation.verify_is_clean().await?;
    assert!(running.terminate().await?.success());
    Ok(())
}

/// 30% for three partners; one is paid by `PayPal`, one by Wise, one nowhere.
async fn set_up(operator: &Api) -> Result<Api> {
    let pair = json!({
        "live_program_id": "prog_files", "test_program_id": ID, "name": "Files", "currency": "USD",
    });
    let made = operator.done("POST", "", &pair).await?;
    let key = made["object"]["programs"][1]["key"]["secret"].as_str().context("a key")?.to_owned();
    let api = Api { key, ..operator.clone_for() };
    for partner in ["mary", "wanda", "nina"] {
        api.done("PUT", &format!("{PROGRAM}/partners/{partner}"), &json!({})).await?;
        api.done("PUT", &format!("{PROGRAM}/codes/{partner}10"), &json!({"partner_id": partner})).await?;
    }
    api.done("PUT", &format!("{PROGRAM}/rules/rule_sales"), &json!({"percent": "30"})).await?;
    let paypal = json!({"method": "paypal", "email": "mary.canary@example.com"});
    let wise = json!({"method": "wise", "name": "Wanda, Ltd", "email": "wanda@example.com"});
    for (partner, destination) in [("mary", paypal), ("wanda", wise)] {
        let path = format!("{PROGRAM}/partners/{partner}/payout-destination");
        api.done("PUT", &path, &destination).await?;
    }
    Ok(api)
}

/// Both files, and the partner who is paid nowhere.
async fn files(case: &Case, [mary, wanda, nina]: [&str; 3]) -> Result<()> {
    let directory = case.installation.directory.path();
    let path = |name: &str| directory.join(name).to_str().map(str::to_owned).context("a path");
    let (paypal, wise, none) = (path("paypal.csv")?, path("wise.csv")?, path("none.csv")?);
    let all = ["payouts", "export", "--format", "paypal", "--program", ID, "--out", &none];
    let (status, _, error) = case.run(&all).await?;
    assert_eq!(status, Some(1));
    assert!(error.contains("nina") && !error.contains("mary"), "{error}");
    assert!(!std::path::Path::new(&none).exists());
    let one = ["payouts", "export", "--format", "paypal", "--payout", mary, "--out", &paypal, "--json"];
    let exported = case.installation.setup.json(&one).await?;
    assert_eq!(exported["totals"], json!([{"currency": "USD", "payouts": 1, "amount_minor": 1_470}]));
    assert!(!exported.to_string().contains("canary"), "what is printed is nobody's address");
    assert_eq!(
        std::fs::read_to_string(&paypal)?,
        format!("mary.canary@example.com,14.70,USD,{mary},Payout {mary},PAYPAL\r\n")
    );
    assert_eq!(std::fs::metadata(&paypal)?.permissions().mode() & 0o777, 0o600);
    let (status, _, error) = case.run(&one).await?;
    assert_eq!(status, Some(1), "a file is never written over");
    assert!(error.contains("new"), "{error}");
    let other = [
        "payouts",
        "export",
        "--format",
        "wise",
        "--payout",
        wanda,
        "--source-currency",
        "EUR",
        "--out",
        &wise,
    ];
    let (status, _, error) = case.run(&other).await?;
    assert_eq!(status, Some(0), "{error}");
    assert_eq!(
        std::fs::read_to_string(&wise)?,
        format!(
            "name,recipientEmail,paymentReference,receiverType,amountCurrency,amount,sourceCurrency,targetCurrency,type\r\n\
             \"Wanda, Ltd\",wanda@example.com,{wanda},PERSON,target,6.00,EUR,USD,EMAIL\r\n"
        )
    );
    let shown = case.installation.setup.json(&["payouts", "show", nina, "--json"]).await?;
    assert_eq!((&shown["total_minor"], &shown["lines"][0]["amount_minor"]), (&json!(300), &json!(300)));
    Ok(())
}

/// Mary was paid 1470 and owes it; 2000 of the next sale pay it back, and 530 are left.
async fn paid_back(case: &Case, payout: &str) -> Result<()> {
    let limit = Instant::now() + LIMIT;
    let statement = loop {
        let statement: Value = serde_json::from_str(&case.statement("mary", "json").await?)?;
        if statement["currencies"][0]["closing_minor"] == 530 {
            break statement;
        }
        if Instant::now() > limit {
            bail!("{statement:#}");
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    let entries = statement["currencies"][0]["entries"].as_array().context("entries")?;
    let found: Vec<(&str, i64, i64)> = entries
        .iter()
        .map(|entry| {
            let number = |name: &str| entry[name].as_i64().unwrap_or_default();
            (entry["kind"].as_str().unwrap_or_default(), number("amount_minor"), number("offset_minor"))
        })
        .collect();
    let expected = [
        ("approved", 1_470, 0),
        ("locked", -1_470, 0),
        ("refunded", -1_470, 0),
        ("approved", 2_000, 0),
        ("offset", 0, 1_470),
    ];
    assert_eq!(found, expected, "{statement:#}");
    assert_eq!(entries[4]["debt_commission_id"], entries[0]["commission_id"]);
    assert_eq!(statement["commissions"].as_array().map(Vec::len), Some(2));
    let of_payout = &statement["payouts"][0];
    assert_eq!((&of_payout["payout_id"], &of_payout["reference"]), (&json!(payout), &json!("BATCH-7")));
    let csv = case.statement("mary", "csv").await?;
    let column = |row: &str, place: usize| row.split(',').nth(place).unwrap_or_default().to_owned();
    let rows: Vec<&str> = csv.split_terminator("\r\n").skip(1).collect();
    let amounts = rows.iter().filter_map(|row| column(row, 5).parse::<i64>().ok()).sum::<i64>();
    assert_eq!((amounts, column(rows.last().context("rows")?, 7)), (530, "530".to_owned()), "{csv}");
    assert!(csv.contains("half_even(4900 x 300000 ppm)"), "{csv}");
    let until = ["statement", "--program", ID, "--partner", "mary", "--to", "2020-01-01", "--format", "json"];
    let before = case.installation.setup.json(&until).await?;
    assert_eq!(
        before["currencies"],
        json!([{"currency": "USD", "opening_minor": 0, "entries": [], "closing_minor": 0}])
    );
    let (status, _, error) = case.run(&["statement", "--program", ID, "--partner", "nobody"]).await?;
    assert_eq!(status, Some(1));
    assert!(error.contains("nobody"), "{error}");
    Ok(())
}

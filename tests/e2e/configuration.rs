//! Configuration from the command line: what it creates works at once, secrets rotate without a refused delivery, and a
//! restart keeps all of it.
use crate::installation::{Installation, Target};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use testkit::load::{client, send};
use testkit::requests::{Auth, Request, paddle, paddle_sale};
use tokio::sync::watch;

const PROGRAM: &str = "prog_acme_test";
const OLD: &str = "pdl_ntfset_old_secret";
const NEW: &str = "pdl_ntfset_new_secret";
const LATE: &str = "pdl_ntfset_late_secret";

#[tokio::test(flavor = "multi_thread")]
async fn what_the_command_line_creates_works_at_once_on_the_embedded_log() -> Result<()> {
    let installation = Installation::new(Target::Embedded, "configuration").await?;
    let setup = &installation.setup;

    // Nobody runs: the command runs the services itself.
    let init = ["init", "--account", "Acme", "--rate", "12.5", "--json"];
    let made = setup.json(&init).await?;
    assert_eq!(
        (&made["account_id"], &made["programs"][1]["program_id"]),
        (&json!("acct_acme"), &json!(PROGRAM))
    );
    assert_eq!(made["programs"][1]["rate_ppm"], 125_000);
    let key = made["operator_keys"][1]["secret"].as_str().context("a key")?.to_owned();
    assert!(key.starts_with("sk_test_"), "printed once");
    let again = setup.json(&init).await?;
    assert_eq!((&again["created"], &again["operator_keys"][1]["secret"]), (&json!(false), &Value::Null));
    let other = setup.run(&["init", "--account", "Acme", "--rate", "30"]).await?;
    assert!(!other.status.success() && stderr(&other).contains("already_exists"), "{}", stderr(&other));
    let added = endpoint(&installation, &["add", "paddle"], Some(OLD)).await?;
    assert_eq!(added["url"], format!("http://127.0.0.1:8080/webhooks/paddle?program_id={PROGRAM}"));
    assert!(added["events"].as_array().context("events")?.contains(&json!("transaction.completed")));

    let running = setup.start(None).await?;
    let (http, url) = (client(), running.url.clone());
    for (path, body) in [
        ("partners/partner_pat", json!({"name": "Pat"})),
        ("codes/pat", json!({"partner_id": "partner_pat"})),
    ] {
        let put = Request {
            method: "PUT",
            path: format!("/v1/programs/{PROGRAM}/{path}"),
            body: body.to_string().into_bytes(),
            auth: Auth::Bearer(key.clone()),
        };
        let (status, answer) = send(&http, &url, &put).await?;
        assert_eq!(status, 200, "{answer}");
    }
    assert_eq!(send(&http, &url, &sale(1, OLD)).await?.0, 200, "made before the start");
    // Beside the running process: the next request is right already.
    endpoint(&installation, &["add", "paddle", "--endpoint", "ep_late"], Some(LATE)).await?;
    assert_eq!(send(&http, &url, &sale(2, LATE)).await?.0, 200, "made a moment ago");
    let sent = rotate_under_traffic(&installation, &url).await?;
    assert_eq!(send(&http, &url, &sale(3, OLD)).await?.0, 401, "the old secret is gone");
    assert!(running.terminate().await?.success());

    let running = setup.start(None).await?;
    let url = running.url.clone();
    assert_eq!(send(&http, &url, &sale(4, NEW)).await?.0, 200, "after a restart");
    assert_eq!(send(&http, &url, &sale(5, LATE)).await?.0, 200);
    assert_eq!(send(&http, &url, &sale(6, OLD)).await?.0, 401);
    let sales = i64::try_from(sent)? + 4;
    installation
        .wait_for_balances(PROGRAM, &BTreeMap::from([("partner_pat".to_owned(), sales * 500)]))
        .await?;
    installation.verify_is_clean().await?;
    assert!(running.terminate().await?.success());
    Ok(())
}

/// Rotates the first endpoint's secret while deliveries come without a pause, the provider changing over in between. How many
/// were taken: every one.
async fn rotate_under_traffic(installation: &Installation, url: &str) -> Result<u64> {
    let (secret, used) = watch::channel(OLD);
    let sent = Arc::new(AtomicU64::new(0));
    let mut senders = tokio::task::JoinSet::new();
    for sender in 1..=4_u64 {
        let (mut used, sent, url) = (used.clone(), Arc::clone(&sent), url.to_owned());
        senders.spawn(async move {
            let http = client();
            for number in 1.. {
                let secret = *used.borrow_and_update();
                if secret.is_empty() {
                    break;
                }
                let (status, answer) = send(&http, &url, &sale(sender * 1_000_000 + number, secret)).await?;
                ensure!(status == 200, "{status}: {answer}");
                sent.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, anyhow::Error>(())
        });
    }
    let more = async |count: u64| {
        let enough = sent.load(Ordering::Relaxed) + count;
        while sent.load(Ordering::Relaxed) < enough && !senders.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    let pick = ["paddle", "--endpoint", "ep_prog_acme_test_paddle"];
    more(20).await;
    let rotated = endpoint(installation, &[&["rotate"], &pick[..]].concat(), Some(NEW)).await?;
    assert_eq!(rotated["secrets"].as_array().map(Vec::len), Some(2));
    secret.send_replace(NEW);
    // Each sender's delivery under way may still be signed with the old one.
    more(20).await;
    let removed =
        endpoint(installation, &[&["remove-secret"], &pick[..], &["--oldest"]].concat(), None).await?;
    assert_eq!(removed["secrets"].as_array().map(Vec::len), Some(1));
    more(20).await;
    secret.send_replace("");
    while let Some(ended) = senders.join_next().await {
        ended??;
    }
    Ok(sent.load(Ordering::Relaxed))
}

/// `tributary endpoint …` for the program, its secret in a variable.
async fn endpoint(installation: &Installation, arguments: &[&str], secret: Option<&str>) -> Result<Value> {
    let (subcommand, flags) = arguments.split_first().context("a subcommand")?;
    let mut command = installation.setup.command(&["endpoint", subcommand]);
    command.args(flags).args(["--program", PROGRAM, "--json"]);
    if let Some(secret) = secret {
        command.args(["--secret-env", "WEBHOOK_SECRET"]).env("WEBHOOK_SECRET", secret);
    }
    let output = command.output().await?;
    ensure!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// 40.00 net for Pat, who earns 5.00.
fn sale(number: u64, secret: &str) -> Request {
    let body = paddle_sale(
        &format!("evt_configuration_{number}"),
        &format!("txn_configuration_{number}"),
        4_000,
        0,
        Some("pat"),
        &format!("ctm_configuration_{number}"),
    );
    Request { auth: Auth::Paddle { secret: secret.to_owned() }, ..paddle(PROGRAM, &body) }
}

fn stderr(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_command_line_creates_works_at_once_on_kafka() -> Result<()> {
    let installation = Installation::small(Target::Kafka, "configuration").await?;
    let setup = &installation.setup;
    let running = setup.start(None).await?;
    let made = setup.json(&["init", "--account", "Acme", "--json"]).await?;
    assert_eq!(made["created"], true);
    endpoint(&installation, &["add", "paddle"], Some(OLD)).await?;
    assert_eq!(send(&client(), &running.url, &sale(1, OLD)).await?.0, 200);
    assert_eq!(send(&client(), &running.url, &sale(1, NEW)).await?.0, 401);
    installation.verify_is_clean().await?;
    assert!(running.terminate().await?.success());
    Ok(())
}

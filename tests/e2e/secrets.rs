//! Words that must not be seen, credentials that must not lie about, and lines that must not be forged: sent through
//! everything, and looked for everywhere.
//!
//! What is allowed: a request's body and query are in `ingest` as they came, for as long as `ingest` is kept; that is where a
//! retry and a dispute find them. Everything derived from them holds identifiers sealed, and references that are nobody's name.
use crate::installation::{Installation, Target};
use crate::metrics::Scrape;
use crate::otlp::Receiver;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use sqlx::Row as _;
use std::path::{Path, PathBuf};
use stream::log::{Log, Topic};
use testkit::load::{client, send};
use testkit::requests::{Auth, DEMO_KEY, DEMO_WEBHOOK_SECRET, Request, paddle, paddle_sale, referral};
use testkit::stripe::{stripe, stripe_charge, stripe_event};

const EMAIL: &str = "canary.person@canary-mail.example";
const CUSTOMER: &str = "ctm_canary_customer_key";
const METADATA: &str = "canary-metadata-value";
const NAME: &str = "Canary Q. Person";
const WRONG_KEY: &str = "sk_canary_wrong_key";
const WRONG_SECRET: &str = "whsec_canary_wrong_secret";
/// Everything that must be nowhere but in `ingest`.
const CANARIES: [&str; 6] = [EMAIL, CUSTOMER, METADATA, NAME, WRONG_KEY, WRONG_SECRET];
/// A secret that `endpoint add` is given.
const ENDPOINT_SECRET: &str = "whsec_canary_of_an_endpoint";
/// Where a partner is paid: sealed before it is logged.
const DESTINATION: &str = "canary.paid@canary-pay.example";
/// Credentials, most of which work, and a destination: in `ingest` neither.
const SECRETS: [&str; 6] =
    [DEMO_KEY, DEMO_WEBHOOK_SECRET, WRONG_KEY, WRONG_SECRET, ENDPOINT_SECRET, DESTINATION];
/// What a line of ours would look like, were a line break of a sender's to get through, and a terminal's orders.
const FORGERY: &str = "canary\r\n2026-01-01T00:00:00Z ERROR forged line\u{1b}[2J\u{9b}31m";

fn requests() -> Vec<(u16, Request)> {
    let mut sale = paddle_sale("evt_canary_1", "txn_canary_1", 1_000, 0, Some("john123"), CUSTOMER);
    sale["data"]["customer"] = json!({"email": EMAIL, "name": NAME});
    sale["data"]["custom_data"]["note"] = METADATA.into();
    let mut conflict = paddle_sale("evt_canary_2", "txn_canary_1", 9_000, 0, Some("john123"), CUSTOMER);
    conflict["data"]["custom_data"]["note"] = METADATA.into();
    let mut malformed = paddle_sale("evt_canary_3", "txn_canary_3", 1_000, 0, Some("john123"), CUSTOMER);
    malformed["data"]["details"] = json!({"totals": {"total": EMAIL}});
    let mut told = referral("prog_demo", "john123", "order_canary", 5_000);
    let mut body: Value = serde_json::from_slice(&told.body).unwrap();
    body["customer_email"] = EMAIL.into();
    body["customer_name"] = NAME.into();
    body["metadata"] = json!({"note": METADATA, "email": EMAIL});
    told.body = body.to_string().into_bytes();
    let mut unknown_code = told.clone();
    body["ref_code"] = METADATA.into();
    body["transaction_id"] = "order_canary_2".into();
    unknown_code.body = body.to_string().into_bytes();
    let mut wrong_key = told.clone();
    wrong_key.auth = Auth::ApiKey(WRONG_KEY.to_owned());
    let mut forged = paddle("prog_demo", &sale);
    forged.auth = Auth::Paddle { secret: WRONG_SECRET.to_owned() };
    let broken = Request {
        method: "POST",
        path: format!("/webhooks/paddle?program_id=prog_demo&email={EMAIL}"),
        body: format!("{{\"email\": \"{EMAIL}\"").into_bytes(),
        auth: Auth::Paddle { secret: DEMO_WEBHOOK_SECRET.to_owned() },
    };
    let mut charge = stripe_charge("ch_canary_4", 1_000, 0, Some("john123"), Some(CUSTOMER));
    charge["billing_details"] = json!({"email": EMAIL, "name": NAME});
    charge["receipt_email"] = EMAIL.into();
    charge["metadata"]["note"] = METADATA.into();
    let charge = stripe_event("evt_canary_4", "charge.succeeded", charge);
    let native = |body: Value| Request {
        method: "POST",
        path: "/v1/programs/prog_demo/sales".to_owned(),
        body: body.to_string().into_bytes(),
        auth: Auth::Bearer(DEMO_KEY.to_owned()),
    };
    let order = json!({"external_id": "order_canary_5", "amount": 1_000, "currency": "USD", "code": "john123",
        "customer": {"key": CUSTOMER, "email": EMAIL}});
    let mut wrong_bearer = native(order.clone());
    wrong_bearer.auth = Auth::Bearer(WRONG_KEY.to_owned());
    let mut unknown_field = order.clone();
    unknown_field["name"] = NAME.into();
    let destination = |body: Value| Request {
        method: "PUT",
        path: "/v1/programs/prog_demo/partners/partner_john/payout-destination".to_owned(),
        body: body.to_string().into_bytes(),
        auth: Auth::Bearer(DEMO_KEY.to_owned()),
    };
    vec![
        (200, destination(json!({"method": "paypal", "email": DESTINATION}))),
        (200, destination(json!({"method": "wise", "name": "P. Aid", "email": DESTINATION}))),
        (400, destination(json!({"method": "paypal", "email": DESTINATION, "name": NAME}))),
        (200, stripe("prog_demo", &charge)),
        (200, native(order)),
        (401, wrong_bearer),
        (400, native(unknown_field)),
        (200, paddle("prog_demo", &sale)),
        (200, paddle("prog_demo", &sale)),
        (200, paddle("prog_demo", &conflict)),
        (200, paddle("prog_demo", &malformed)),
        (200, told),
        (404, unknown_code),
        (401, wrong_key),
        (401, forged),
        (400, broken),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_and_no_personal_data_leaves_the_place_that_is_meant_for_it() -> Result<()> {
    let receiver = Receiver::start().await?;
    let installation = Installation::new(Target::Embedded, "secrets").await?;
    let variables = [
        ("TRIBUTARY_TELEMETRY_OTLP_ENDPOINT", receiver.url.as_str()),
        // Everything that our own code would ever say.
        (
            "TRIBUTARY_LOGGING_FILTER",
            "info,kit=trace,gateway=trace,stream=trace,services=trace,readmodel=trace,tributary=trace,\
             tributary_kit=trace,tributary_gateway=trace,tributary_services=trace,tributary_readmodel=trace",
        ),
    ];
    let running = installation.setup.start_with(None, &variables).await?;
    let http = client();
    for (wanted, request) in requests() {
        let (status, body) = send(&http, &running.url, &request).await?;
        assert_eq!(status, wanted, "{body}");
        // Refusals do not repeat what they refuse.
        assert!(!body.to_string().contains(DESTINATION), "{body}");
        assert!(status == 200 || !CANARIES.iter().any(|canary| body.to_string().contains(canary)), "{body}");
    }
    let made = make_credentials(&installation, &http, &running.url).await?;
    send_forgeries(&http, &running.url).await?;
    installation
        .wait_for_verdicts(
            &["evt_canary_1", "evt_canary_2", "evt_canary_3", "evt_canary_4", "order_canary", "evt_forgery"]
                .map(str::to_owned),
        )
        .await?;
    installation.verify_is_clean().await?;

    let secrets: Vec<&str> = SECRETS.into_iter().chain(made.iter().map(String::as_str)).collect();
    let everywhere: Vec<&str> = CANARIES.into_iter().chain(secrets.iter().copied()).collect();
    let scrape = Scrape::of(&running.metrics_url()?).await?;
    absent(&everywhere, "metrics", scrape.text().as_bytes());
    dump_is_clean(&installation, &everywhere).await?;
    let log_file = running.log_file();
    assert!(running.terminate().await?.success());
    let text = std::fs::read(&log_file)?;
    assert!(text.len() > 1_000, "something was logged");
    absent(&everywhere, "the process's log", &text);
    lines_are_ours(&String::from_utf8(text)?);
    let spans = receiver.bytes();
    assert!(spans.len() > 1_000, "spans were sent");
    absent(&everywhere, "spans", &spans);

    let log = installation.open_log().await?;
    for topic in Topic::ALL {
        let bytes = records(&log, topic).await?;
        if topic == Topic::Ingest {
            assert!(holds(&bytes, EMAIL), "the body is kept as it came");
            absent(&secrets, "ingest", &bytes);
        } else {
            absent(&everywhere, topic.name(), &bytes);
        }
    }
    drop(log);
    // Files that are not the log: local state, keys, the database server's own log.
    let mut files = Vec::new();
    for place in ["state", "keys"] {
        list(&installation.setup.data_dir.join(place), &mut files)?;
    }
    files.extend(["postgres.log", "master.key"].map(|name| installation.setup.data_dir.join(name)));
    assert!(files.len() > 4, "{files:?}");
    for file in files.iter().filter(|file| file.exists()) {
        absent(&everywhere, &file.display().to_string(), &std::fs::read(file)?);
    }
    // Whoever copies the whole directory, log and database server included, can sign in nowhere and sign nothing.
    let mut files = Vec::new();
    list(&installation.setup.data_dir, &mut files)?;
    files.retain(|file| file.is_file());
    assert!(files.len() > 100, "{} files", files.len());
    for file in &files {
        absent(&secrets, &file.display().to_string(), &std::fs::read(file)?);
    }
    Ok(())
}

/// Credentials made in every way there is: the texts, and the random part of keys.
async fn make_credentials(
    installation: &Installation,
    http: &reqwest::Client,
    url: &str,
) -> Result<Vec<String>> {
    let made = installation.setup.json(&["init", "--account", "Canary", "--json"]).await?;
    let mut command = installation.setup.command(&["endpoint", "add", "stripe"]);
    command.args(["--program", "prog_canary_test", "--secret-env", "WEBHOOK_SECRET"]);
    let output = command.env("WEBHOOK_SECRET", ENDPOINT_SECRET).output().await?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut sale = stripe("prog_canary_test", &stripe_event("evt_canary_6", "noise", json!({})));
    sale.auth = Auth::Stripe { secret: ENDPOINT_SECRET.to_owned() };
    assert_eq!(send(http, url, &sale).await?.0, 200, "it works");
    let operator = made["operator_keys"][1]["secret"].as_str().context("a key")?.to_owned();
    let new_key = Request {
        method: "POST",
        path: "/v1/programs/prog_canary_test/keys".to_owned(),
        body: b"{}".to_vec(),
        auth: Auth::Bearer(operator.clone()),
    };
    let (status, answer) = send(http, url, &new_key).await?;
    assert_eq!(status, 200, "{answer}");
    let key = answer["object"]["secret"].as_str().context("a key")?.to_owned();
    let random = [&operator, &key].map(|key| key.rsplit('_').next().unwrap_or_default().to_owned());
    assert!(random.iter().all(|part| part.len() == 64), "256 bits");
    Ok([operator, key].into_iter().chain(random).collect())
}

/// Line breaks and orders to a terminal in everything that a sender may fill.
async fn send_forgeries(http: &reqwest::Client, url: &str) -> Result<()> {
    let encoded = "canary%0d%0a2026-01-01T00:00:00Z%20ERROR%20forged%20line%1b%5b2J";
    let auth = || Auth::Bearer(DEMO_KEY.to_owned());
    let sales = "/v1/programs/prog_demo/sales";
    let sale = |field: &str| {
        let mut sale = json!({"external_id": "order_forgery", "amount": 1, "currency": "USD"});
        sale[field] = FORGERY.into();
        sale.to_string().into_bytes()
    };
    let requests = [
        (404, "POST", format!("/{encoded}"), Vec::new(), auth()),
        (400, "POST", format!("/v1/programs/{encoded}/sales"), sale("code"), auth()),
        (400, "PUT", format!("/v1/programs/prog_demo/codes/{encoded}"), b"{}".to_vec(), auth()),
        (400, "POST", sales.to_owned(), sale("external_id"), auth()),
        (400, "POST", sales.to_owned(), sale("currency"), auth()),
        (400, "POST", sales.to_owned(), sale(FORGERY), auth()),
        (200, "POST", sales.to_owned(), sale("code"), auth()),
    ];
    for (wanted, method, path, body, auth) in requests {
        let request = Request { method, path, body, auth };
        let (status, answer) = send(http, url, &request).await?;
        assert_eq!(status, wanted, "{} {answer}", request.path);
    }
    for (event, event_type, object) in [
        ("evt_forgery", "charge.succeeded", json!({"id": "ch_forgery", "currency": FORGERY})),
        (FORGERY, "charge.succeeded", json!({})),
        ("evt_forgery_2", FORGERY, json!({"id": FORGERY})),
    ] {
        let mut request = stripe("prog_demo", &stripe_event(event, event_type, object));
        request.path.push_str(&format!("&note={encoded}"));
        let (status, answer) = send(http, url, &request).await?;
        assert_eq!(status, 200, "{answer}");
    }
    Ok(())
}

/// Nobody but us wrote a line of the log, and a terminal that shows it obeys nobody.
fn lines_are_ours(text: &str) {
    let foreign = |c: char| c.is_control() && c != '\n';
    assert!(!text.chars().any(foreign), "a control character is in the log");
    for line in text.lines() {
        assert!(!line.starts_with("2026-01-01"), "{line}");
    }
}

fn holds(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|window| window == word.as_bytes())
}

fn absent(words: &[&str], place: &str, bytes: &[u8]) {
    for word in words {
        if let Some(at) = bytes.windows(word.len()).position(|window| window == word.as_bytes()) {
            let around = &bytes[at.saturating_sub(200)..(at + word.len() + 50).min(bytes.len())];
            panic!("{word} is in {place}: …{}…", String::from_utf8_lossy(around));
        }
    }
}

/// Every row of every table and view of the schema, as text.
async fn dump_is_clean(installation: &Installation, words: &[&str]) -> Result<()> {
    let database = installation.database().await?;
    let names: Vec<String> = sqlx::query_scalar(
        "select table_name::text from information_schema.tables where table_schema = 'tributary' order by 1",
    )
    .fetch_all(&database)
    .await?;
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        // Names come from the catalogue.
        let query = sqlx::AssertSqlSafe(format!("select t::text from tributary.\"{name}\" t"));
        for row in sqlx::query(query).fetch_all(&database).await.with_context(|| name.clone())? {
            absent(words, &format!("table {name}"), row.get::<String, _>(0).as_bytes());
        }
    }
    Ok(())
}

/// All records of a topic, one after the other.
async fn records(log: &std::sync::Arc<dyn Log>, topic: Topic) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for partition in (0..log.partition_count()).map(stream::log::Partition) {
        let bounds = log.bounds(topic, partition).await?;
        if bounds.start == bounds.end {
            continue;
        }
        let mut next = bounds.start;
        let mut reader = log.reader(topic, partition, next).await?;
        while next < bounds.end {
            for record in reader.next(1_000, 4 << 20).await? {
                next = record.offset.next();
                bytes.extend_from_slice(&record.key);
                bytes.extend_from_slice(&record.value);
            }
        }
    }
    Ok(bytes)
}

fn list(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() { list(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

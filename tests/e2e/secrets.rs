//! Words that must not be seen, sent through everything, and looked for everywhere.
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

const EMAIL: &str = "canary.person@canary-mail.example";
const CUSTOMER: &str = "ctm_canary_customer_key";
const METADATA: &str = "canary-metadata-value";
const NAME: &str = "Canary Q. Person";
const WRONG_KEY: &str = "sk_canary_wrong_key";
const WRONG_SECRET: &str = "whsec_canary_wrong_secret";
/// Everything that must be nowhere but in `ingest`.
const CANARIES: [&str; 6] = [EMAIL, CUSTOMER, METADATA, NAME, WRONG_KEY, WRONG_SECRET];
/// Credentials that work: in `ingest` neither.
const SECRETS: [&str; 4] = [DEMO_KEY, DEMO_WEBHOOK_SECRET, WRONG_KEY, WRONG_SECRET];

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
    vec![
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
        assert!(status == 200 || !CANARIES.iter().any(|canary| body.to_string().contains(canary)), "{body}");
    }
    installation
        .wait_for_verdicts(
            &["evt_canary_1", "evt_canary_2", "evt_canary_3", "order_canary"].map(str::to_owned),
        )
        .await?;
    installation.verify_is_clean().await?;

    let everywhere: Vec<&str> = CANARIES.iter().chain(&SECRETS).copied().collect();
    let scrape = Scrape::of(&running.metrics_url()?).await?;
    absent(&everywhere, "metrics", scrape.text().as_bytes());
    dump_is_clean(&installation, &everywhere).await?;
    let log_file = running.log_file();
    assert!(running.terminate().await?.success());
    let text = std::fs::read(&log_file)?;
    assert!(text.len() > 1_000, "something was logged");
    absent(&everywhere, "the process's log", &text);
    let spans = receiver.bytes();
    assert!(spans.len() > 1_000, "spans were sent");
    absent(&everywhere, "spans", &spans);

    let log = installation.open_log().await?;
    for topic in Topic::ALL {
        let bytes = records(&log, topic).await?;
        if topic == Topic::Ingest {
            assert!(holds(&bytes, EMAIL), "the body is kept as it came");
            absent(&SECRETS, "ingest", &bytes);
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
    Ok(())
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

//! Quarantine from outside: seen, shown, mended, retried, counted.
use crate::installation::{Installation, LIMIT, Target};
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use domain::config::{Code, ConfigFact, ConfigObject, Mode, Partner, Profile, Program, Reward, Rule};
use domain::money::{Currency, RatePpm, Rounding};
use domain::time::Micros;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use stream::log::{NewRecord, Topic, partition_of};
use testkit::load::{client, send};
use testkit::requests::{paddle, paddle_sale};
use tokio::time::Instant;
use wire::ingest::{IngestRecord, RawRequest};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_mended_is_retried_once_and_counted_once_on_the_embedded_log() -> Result<()> {
    quarantine(Target::Embedded).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_mended_is_retried_once_and_counted_once_on_kafka() -> Result<()> {
    quarantine(Target::Kafka).await
}

/// A program that does not exist when its first events come.
const LATER: &str = "prog_later";

async fn quarantine(target: Target) -> Result<()> {
    let installation = Installation::small(target, "quarantine").await?;
    let running = installation.setup.start(None).await?;
    // A fraction where minor units are due: nothing will ever mend that.
    let mut malformed = paddle_sale("evt_malformed", "txn_malformed", 1_000, 0, Some("john123"), "ctm_1");
    malformed["data"]["details"]["totals"]["total"] = "10.5".into();
    assert_eq!(send(&client(), &running.url, &paddle("prog_demo", &malformed)).await?.0, 200);
    // Sales of a program that is not here yet, as another writer of the log may bring them.
    let sales: Vec<_> = (0..3).map(|number| sale(&format!("later_{number}"))).collect();
    let positions = append(&installation, sales.iter().cloned().map(IngestRecord::Request)).await?;

    let listed = wait_for(&installation, 4).await?;
    let unknown =
        installation.setup.json(&["quarantine", "list", "--reason", "unknown_program", "--json"]).await?;
    assert_eq!(unknown.as_array().context("an array")?.len(), 3, "{listed:#}");
    assert_eq!(unknown[0]["program_id"], LATER);
    let event = |number: usize| {
        let key = format!("later_{number}");
        let mut entries = unknown.as_array().into_iter().flatten();
        let found = entries.find(|entry| entry["delivery_key"] == key.as_str());
        found.and_then(|entry| entry["event_id"].as_str()).context(key).map(str::to_owned)
    };
    let bad = listed.as_array().into_iter().flatten().find(|entry| entry["program_id"] == "prog_demo");
    let bad = bad.and_then(|entry| entry["event_id"].as_str()).context("the malformed one")?.to_owned();

    // Its body, byte for byte, with a warning beside it.
    let shown = installation.setup.run(&["quarantine", "show", &bad, "--json"]).await?;
    assert!(String::from_utf8_lossy(&shown.stderr).contains("personal data"));
    let shown: Value = serde_json::from_slice(&shown.stdout)?;
    assert_eq!(shown["request"]["Ok"]["body"], malformed.to_string(), "{shown:#}");

    // A retry before anything is mended leaves all as it is, and says so.
    let (status, result) = retry(&installation, &[&bad]).await?;
    assert_eq!((status, &result[0]["result"]), (Some(1), &Value::from("quarantined")), "{result:#}");
    let (status, result) = retry(&installation, &[&event(0)?]).await?;
    assert_eq!((status, &result[0]["reason"]), (Some(1), &Value::from("unknown_program")), "{result:#}");

    append(&installation, configuration().into_iter().map(IngestRecord::Config)).await?;
    let (status, result) = retry(&installation, &[&event(0)?]).await?;
    assert_eq!((status, &result[0]["result"]), (Some(0), &Value::from("applied")), "{result:#}");
    // Two people retry the same event at once: the first in the log applies it.
    let both = ["one", "two"].map(|actor| IngestRecord::Retry {
        of_position: positions[1],
        request: sales[1].clone(),
        actor: actor.to_owned(),
    });
    append(&installation, both).await?;
    let verdicts = verdicts_of(&installation, &event(1)?, 3).await?;
    assert_eq!(verdicts, ["quarantined", "applied", "duplicate"]);
    let (status, result) = retry(&installation, &["--all", "--reason", "unknown_program"]).await?;
    assert_eq!((status, result.as_array().map(Vec::len)), (Some(0), Some(1)), "{result:#}");

    installation.wait_for_balances(LATER, &BTreeMap::from([("partner_late".to_owned(), 600)])).await?;
    let left = wait_for(&installation, 1).await?;
    assert_eq!((&left[0]["event_id"], &left[0]["attempts"]), (&Value::from(bad.as_str()), &Value::from(2)));
    let report = installation.verify_is_clean().await?;
    assert_eq!((&report["verdicts"]["quarantined"], &report["verdicts"]["resolved"]), (&4.into(), &3.into()));

    // Nobody runs: an embedded log is opened by the command, which runs the services until the answer is there.
    assert!(running.terminate().await?.success());
    let shown = installation.setup.json(&["quarantine", "show", &bad, "--json"]).await?;
    assert_eq!(shown["reason"], left[0]["reason"]);
    if target == Target::Embedded {
        let (status, result) = retry(&installation, &[&bad]).await?;
        assert_eq!((status, &result[0]["result"]), (Some(1), &Value::from("quarantined")), "{result:#}");
    }
    Ok(())
}

async fn retry(installation: &Installation, what: &[&str]) -> Result<(Option<i32>, Value)> {
    let command = [&["quarantine", "retry", "--json", "--actor", "test"], what].concat();
    let output = installation.setup.run(&command).await?;
    let result = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)))?;
    Ok((output.status.code(), result))
}

/// The list once it has `wanted` entries.
async fn wait_for(installation: &Installation, wanted: usize) -> Result<Value> {
    let limit = Instant::now() + LIMIT;
    loop {
        let listed = installation.setup.json(&["quarantine", "list", "--json"]).await?;
        if listed.as_array().is_some_and(|entries| entries.len() == wanted) {
            return Ok(listed);
        }
        if Instant::now() > limit {
            bail!("expected {wanted} entries: {listed:#}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The verdicts on an event, in order, once there are `wanted`.
async fn verdicts_of(installation: &Installation, event: &str, wanted: usize) -> Result<Vec<String>> {
    let database = installation.database().await?;
    let limit = Instant::now() + LIMIT;
    loop {
        let verdicts: Vec<String> =
            sqlx::query_scalar("select verdict from tributary.verdicts where event_id = $1 order by seq")
                .bind(event)
                .fetch_all(&database)
                .await?;
        if verdicts.len() >= wanted {
            return Ok(verdicts);
        }
        if Instant::now() > limit {
            bail!("{event} has {verdicts:?}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Appends to `ingest` beside the running process; the positions.
async fn append(
    installation: &Installation,
    records: impl IntoIterator<Item = IngestRecord>,
) -> Result<Vec<u64>> {
    let log = installation.open_log().await?;
    let partition = partition_of(LATER, log.partition_count());
    let records = records
        .into_iter()
        .map(|record| NewRecord {
            key: Bytes::from_static(LATER.as_bytes()),
            value: wire::ingest::encode(&record),
        })
        .collect();
    let offsets = log.appender().await?.append(Topic::Ingest, partition, records).await?;
    offsets.into_iter().map(|offset| Ok(offset.context("an offset")?.0)).collect()
}

/// 10.00 USD; 2.00 for the partner.
fn sale(transaction: &str) -> RawRequest {
    let body = format!(
        r#"{{"ref_code":"late1","program_id":"{LATER}","spent_amount":1000,"transaction_id":"{transaction}","currency":"USD"}}"#
    );
    RawRequest {
        program: LATER.into(),
        source: "revshare".into(),
        body: Bytes::from(body),
        headers: Vec::new(),
        query: String::new(),
        authenticated_by: "test".to_owned(),
        received_at: Micros(1_800_000_000_000_000),
        reply_to: None,
        trace: None,
        resource: String::new(),
        publishable: false,
    }
}

fn configuration() -> Vec<ConfigFact> {
    let objects = vec![
        ConfigObject::Program(Program {
            account: "acc_demo".into(),
            name: "Later".to_owned(),
            mode: Mode::Test,
            profile: Profile::Native,
            currency: Currency::parse("USD").unwrap(),
            rounding: Rounding::HalfEven,
            click_window_days: 30,
            hold_days: 0,
            release: domain::config::Release::default(),
            manual_approval: false,
            sale_from: None,
            referral_keys: Vec::new(),
            customer_keys: Vec::new(),
            rule_metadata_keys: Vec::new(),
        }),
        ConfigObject::Rule(Rule {
            rule: "rule_later".into(),
            version: 1,
            reward: Reward::Percent(RatePpm(200_000)),
            ..Rule::default()
        }),
        ConfigObject::Partner(Partner {
            partner: "partner_late".into(),
            name: "Late".to_owned(),
            active: true,
            ..Partner::default()
        }),
        ConfigObject::Code(Code { code: "late1".to_owned(), partner: "partner_late".into(), active: true }),
    ];
    let fact =
        |object| ConfigFact { program: LATER.into(), actor: "test".to_owned(), object, removed: false };
    objects.into_iter().map(fact).collect()
}

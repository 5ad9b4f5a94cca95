//! The gateway, every answer after the log's acknowledgement, beside a bare axum handler that reads the same body and
//! answers at once, and on Kafka beside axum with nothing but a signature check and a raw producer. Same process arrangement
//! for all: two cores for server, log and load together; samples interleaved.
use crate::http_load::{Run, post, saturate};
use crate::{place, raw, usage};
use anyhow::{Context, Result};
use axum::{Router, routing::post as route};
use bytes::Bytes;
use domain::config::{ConfigFact, ConfigObject, Endpoint, Mode, Profile, Program};
use domain::money::{Currency, Rounding};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use stream::log::{Log, NewRecord, Topic, partition_of};
use testkit::requests::{DEMO_WEBHOOK_SECRET, now_seconds, paddle_sale, paddle_signature};
use tokio_util::sync::CancellationToken;
use wire::config::GatewayRecord;

const PARTITIONS: u32 = 8;
const PROGRAM: &str = "prog_bench";
const REQUESTS: usize = 2_000;

pub(crate) fn run(brokers: Option<&str>, seconds: u64, pairs: usize, connections: usize) -> Result<()> {
    let server = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let load = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let directory = tempfile::tempdir()?;
    let stop = CancellationToken::new();
    let bare = server.block_on(bare())?;
    let gateway = server.block_on(gateway(brokers, directory.path(), stop.clone()))?;
    let time = Duration::from_secs(seconds);
    let path = format!("/webhooks/paddle?program_id={PROGRAM}");
    let raw = brokers.map(|brokers| server.block_on(raw_on(brokers))).transpose()?;
    println!(
        "| round | bare req/s | raw producer req/s | gateway req/s | gateway / bare | gateway / raw | gateway p50 ms | p99 ms |\n\
         |---|---|---|---|---|---|---|---|"
    );
    let (mut to_bare, mut to_raw) = (Vec::new(), Vec::new());
    for round in 0..pairs {
        // A signature lives for minutes only: new ones for each round.
        let requests = Arc::new(requests(&path, round));
        let sample = |address: SocketAddr| -> Result<Run> {
            load.block_on(saturate(address, Arc::clone(&requests), connections, time))
        };
        // Each is first in turn.
        let mut runs = [None, None, None];
        for turn in 0..3 {
            let which = (round + turn) % 3;
            if let Some(address) = [Some(bare), raw, Some(gateway)][which] {
                runs[which] = Some(sample(address)?);
            }
        }
        let [Some(plain), raw, Some(durable)] = runs else { anyhow::bail!("a sample is missing") };
        let ratio = durable.per_second / plain.per_second;
        to_bare.push(ratio);
        let beside = raw.as_ref().map(|raw| durable.per_second / raw.per_second);
        to_raw.extend(beside);
        let shown = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
        };
        println!(
            "| {round} | {:.0} | {} | {:.0} | {ratio:.2} | {} | {:.1} | {:.1} |",
            plain.per_second,
            shown(raw.map(|raw| raw.per_second), 0),
            durable.per_second,
            shown(beside, 2),
            durable.p50.as_secs_f64() * 1e3,
            durable.p99.as_secs_f64() * 1e3
        );
    }
    println!("median ratio to bare {:.2} at {connections} connections", usage::median(to_bare));
    if !to_raw.is_empty() {
        println!("median ratio to the raw producer {:.2}", usage::median(to_raw));
    }
    stop.cancel();
    Ok(())
}

/// Its topic is like the gateway's, but another one.
async fn raw_on(brokers: &str) -> Result<SocketAddr> {
    let log = place::kafka(brokers, PARTITIONS).await?;
    let topic = log.options().topic_name(Topic::Ingest);
    let partition = i32::try_from(partition_of(PROGRAM, PARTITIONS).0)?;
    raw::start(brokers, topic, partition).await
}

fn requests(path: &str, pair: usize) -> Vec<Vec<u8>> {
    (0..REQUESTS)
        .map(|number| {
            let mut body = paddle_sale(
                &format!("evt_{pair}_{number}"),
                &format!("txn_{pair}_{number}"),
                10_000,
                800,
                Some("a123"),
                "ctm_1",
            );
            body["data"]["note"] = "x".repeat(420).into();
            let body = body.to_string().into_bytes();
            let signature = paddle_signature(DEMO_WEBHOOK_SECRET, now_seconds(), &body);
            post(path, &[("Paddle-Signature".to_owned(), signature)], &body)
        })
        .collect()
}

async fn bare() -> Result<SocketAddr> {
    let app = Router::new()
        .route("/webhooks/{provider}", route(async |body: Bytes| format!("{{\"received\":{}}}", body.len())));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}

async fn gateway(
    brokers: Option<&str>,
    directory: &std::path::Path,
    stop: CancellationToken,
) -> Result<SocketAddr> {
    let log = place::open(brokers, directory, PARTITIONS).await?;
    let master_key = kit::master_key::MasterKey::load_or_create(directory)?;
    configure(&log, &master_key).await?;
    let health = kit::health::Health::new();
    // One endpoint and one address send everything: their limits are raised out of the way, and are still counted.
    let mut limits = kit::config::Config::load(&kit::config::Layers::default())?.limits;
    limits.requests_per_second = u32::MAX;
    limits.request_burst = u32::MAX;
    let options = gateway::Options {
        listen: "127.0.0.1:0".parse()?,
        instance: "gw_bench".to_owned(),
        limits,
        spans: kit::spans::Spans::off(),
    };
    let running = gateway::start(options, log, master_key, health.clone(), stop).await?;
    health.wait_ready().await;
    Ok(running.local_addr)
}

/// Writes what the normalizer would have written for one program and its endpoint.
async fn configure(log: &Arc<dyn Log>, master_key: &kit::master_key::MasterKey) -> Result<()> {
    let fact = |object| ConfigFact { program: PROGRAM.into(), actor: "bench".into(), object, removed: false };
    let program = fact(ConfigObject::Program(Program {
        account: "acct_bench".into(),
        name: "bench".into(),
        mode: Mode::Test,
        profile: Profile::Native,
        currency: Currency::parse("USD").context("USD")?,
        rounding: Rounding::HalfEven,
        click_window_days: 30,
        hold_days: 0,
        release: domain::config::Release::default(),
        manual_approval: false,
        sale_from: None,
        referral_keys: Vec::new(),
        customer_keys: Vec::new(),
        rule_metadata_keys: Vec::new(),
    }));
    let endpoint = fact(ConfigObject::Endpoint(Endpoint {
        endpoint_id: "paddle".into(),
        provider: "paddle".into(),
        sealed_secrets: vec![master_key.seal_endpoint_secret(
            PROGRAM,
            "paddle",
            DEMO_WEBHOOK_SECRET.as_bytes(),
        )?],
        tolerance_seconds: 0,
    }));
    let appender = log.appender().await?;
    for (version, fact) in (1..).zip([program, endpoint]) {
        let key = fact.key();
        let record = GatewayRecord { key: key.clone(), version, fact, account: "acct_bench".into() };
        let record = NewRecord { key: Bytes::from(key), value: wire::config::encode_gateway(&record) };
        appender.append(Topic::GatewayConfig, partition_of(PROGRAM, PARTITIONS), vec![record]).await?;
    }
    Ok(())
}

//! Source events per CPU-second through normalizer, attribution and commission: `ingest` is filled first, then the services
//! run in this process until `commissions` holds a frame for each record; all their CPU time counts, the log's writer and
//! the sealing of a new customer in each event included. A Kafka broker is another process: what it took is told beside it.
use crate::{place, usage};
use anyhow::Result;
use bytes::Bytes;
use domain::config::{Code, ConfigFact, ConfigObject, Mode, Partner, Profile, Program, Reward, Rule};
use domain::money::{Currency, RatePpm, Rounding};
use domain::time::Micros;
use services::attribution::Attribution;
use services::commission::Commission;
use services::normalizer::Normalizer;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stream::keys::KeyStore;
use stream::keys_file::FileKeyStore;
use stream::log::{Log, NewRecord, Partition, Topic, partition_of};
use stream::owner::{OwnerOptions, run_service};
use stream::service::Service as _;
use stream::store::{StateDb, StateStore};
use testkit::requests::paddle_sale;
use tokio_util::sync::CancellationToken;
use wire::ingest::{IngestRecord, RawRequest};

pub(crate) const PARTITIONS: u32 = 8;
const PREFILL_BATCH: usize = 2_000;

/// What is to be worked off, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work<'a> {
    pub(crate) brokers: Option<&'a str>,
    pub(crate) events: usize,
    pub(crate) programs: usize,
    pub(crate) customers: usize,
    /// The broker's process, whose CPU time is to be told beside ours.
    pub(crate) broker_pid: Option<u32>,
}

/// What it took.
#[derive(Debug, Clone, Copy)]
struct Took {
    wall: Duration,
    cpu: Duration,
    broker_cpu: Option<Duration>,
}

pub(crate) fn run(work: Work<'_>) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let took = runtime(&[])?.block_on(measure(work, directory.path()))?;
    let (events, seconds) = (work.events as f64, |time: Duration| time.as_secs_f64());
    println!(
        "| log | events | events/s | events/CPU-s | CPU us/event | broker CPU us/event | peak MiB |\n|---|---|---|---|---|---|---|"
    );
    println!(
        "| {} | {events} | {:.0} | {:.0} | {:.1} | {} | {} |",
        if work.brokers.is_some() { "kafka" } else { "embedded" },
        events / seconds(took.wall),
        events / seconds(took.cpu),
        seconds(took.cpu) * 1e6 / events,
        took.broker_cpu.map_or_else(|| "-".to_owned(), |cpu| format!("{:.1}", seconds(cpu) * 1e6 / events)),
        usage::peak_mib()?
    );
    let per_event = |bytes: u64| bytes as f64 / events;
    println!("\n| state | rows/event | bytes/event |\n|---|---|---|");
    let state = StateDb::open(&directory.path().join("state"))?;
    for (name, version) in [
        (Normalizer::NAME, Normalizer::STATE_VERSION),
        (Attribution::NAME, Attribution::STATE_VERSION),
        (Commission::NAME, Commission::STATE_VERSION),
    ] {
        let (rows, bytes) = held(&state, name, version)?;
        println!("| {name} | {:.2} | {:.0} |", per_event(rows), per_event(bytes));
    }
    println!("| key store, on disk | | {:.0} |", per_event(size_of(&directory.path().join("keys"))?));
    Ok(())
}

/// The same work with the checks that make it exactly once and without them, in turn. Without: a frame counts when it is
/// acknowledged, whoever wrote it, and nothing is compared with what was read before. Never a way to run it.
#[cfg(feature = "weaknesses")]
pub(crate) fn tax(work: Work<'_>, pairs: usize) -> Result<()> {
    use stream::weakness::Weakness;
    const CHECKS: &[Weakness] = &[
        Weakness::NoEpochNoHead,
        Weakness::NoWriterId,
        Weakness::OffsetOnly,
        Weakness::AckIsAcceptance,
        Weakness::NoAnchors,
        Weakness::PanicNotCaught,
    ];
    println!(
        "| pair | events/CPU-s with | without | ratio | events/s with | without |\n|---|---|---|---|---|---|"
    );
    let mut ratios = Vec::new();
    for pair in 0..pairs {
        let sample = |removed: &'static [Weakness]| -> Result<(f64, f64)> {
            let directory = tempfile::tempdir()?;
            let took = runtime(removed)?.block_on(measure(work, directory.path()))?;
            let per = |time: Duration| work.events as f64 / time.as_secs_f64();
            Ok((per(took.cpu), per(took.wall)))
        };
        let (with, without) = if pair % 2 == 0 {
            let with = sample(&[])?;
            (with, sample(CHECKS)?)
        } else {
            let without = sample(CHECKS)?;
            (sample(&[])?, without)
        };
        let ratio = with.0 / without.0;
        ratios.push(ratio);
        println!(
            "| {pair} | {:.0} | {:.0} | {ratio:.2} | {:.0} | {:.0} |",
            with.0, without.0, with.1, without.1
        );
    }
    println!("median ratio {:.2}", usage::median(ratios));
    Ok(())
}

/// Two workers, with these rules removed on each.
fn runtime(removed: &'static [stream::weakness::Weakness]) -> Result<tokio::runtime::Runtime> {
    let start = move || {
        #[cfg(feature = "weaknesses")]
        stream::weakness::remove(removed);
        #[cfg(not(feature = "weaknesses"))]
        debug_assert!(removed.is_empty(), "rules can be removed only with the feature `weaknesses`");
    };
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .on_thread_start(start)
        .enable_all()
        .build()?)
}

async fn measure(work: Work<'_>, directory: &Path) -> Result<Took> {
    let Work { brokers, events, programs, customers, broker_pid } = work;
    let log = place::open(brokers, directory, PARTITIONS).await?;
    let records = fill(&log, 0..events, programs, customers).await?;
    let state = StateDb::open(&directory.join("state"))?;
    let keys: Arc<dyn KeyStore> = Arc::new(FileKeyStore::open(&directory.join("keys"))?);
    let normalizer = Arc::new(Normalizer::new(keys.index_key(), PARTITIONS));
    let stop = CancellationToken::new();
    let broker = || broker_pid.map(usage::process).transpose();
    let (cpu, broker_before, started) = (usage::cpu_time()?, broker()?, Instant::now());
    let options = OwnerOptions::default();
    let tasks = [
        tokio::spawn(run_service(
            normalizer,
            options.clone(),
            Arc::clone(&log),
            Arc::clone(&state),
            Arc::clone(&keys),
            stop.clone(),
        )),
        tokio::spawn(run_service(
            Arc::new(Attribution),
            options.clone(),
            Arc::clone(&log),
            Arc::clone(&state),
            Arc::clone(&keys),
            stop.clone(),
        )),
        tokio::spawn(run_service(
            Arc::new(Commission::new(PARTITIONS)),
            options,
            Arc::clone(&log),
            Arc::clone(&state),
            keys,
            stop.clone(),
        )),
    ];
    let wanted = records + u64::from(PARTITIONS);
    while ends(&log, Topic::Commissions).await? < wanted {
        anyhow::ensure!(!tasks.iter().any(tokio::task::JoinHandle::is_finished), "a service ended");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (wall, cpu) = (started.elapsed(), usage::cpu_time()? - cpu);
    let broker_cpu = broker_before.zip(broker()?).map(|(before, after)| after.cpu.saturating_sub(before.cpu));
    stop.cancel();
    for task in tasks {
        task.await??;
    }
    Ok(Took { wall, cpu, broker_cpu })
}

/// Rows of a service's state, and the bytes of their keys and values.
fn held(state: &Arc<StateDb>, service: &str, version: u32) -> Result<(u64, u64)> {
    const PAGE: usize = 10_000;
    let (mut rows, mut bytes) = (0, 0);
    for partition in (0..PARTITIONS).map(Partition) {
        let (store, _) = StateStore::open(state, service, partition, version)?;
        let mut start = Vec::new();
        loop {
            let page = store.range(&start, &[0xff; 8], PAGE);
            for (key, value) in &page {
                rows += 1;
                bytes += (key.len() + value.len()) as u64;
            }
            match page.last() {
                Some((last, _)) if page.len() == PAGE => start = [last.as_ref(), &[0]].concat(),
                _ => break,
            }
        }
    }
    Ok((rows, bytes))
}

fn size_of(directory: &Path) -> Result<u64> {
    let mut total = 0;
    for entry in std::fs::read_dir(directory)? {
        let metadata = entry?.metadata()?;
        total += if metadata.is_file() { metadata.len() } else { 0 };
    }
    Ok(total)
}

pub(crate) async fn ends(log: &Arc<dyn Log>, topic: Topic) -> Result<u64> {
    let mut total = 0;
    for partition in 0..log.partition_count() {
        total += log.bounds(topic, Partition(partition)).await?.end.0;
    }
    Ok(total)
}

/// Programs, unless others were filled before, then signed-for sales of 1.4 KB; the number of records.
pub(crate) async fn fill(
    log: &Arc<dyn Log>,
    events: Range<usize>,
    programs: usize,
    customers: usize,
) -> Result<u64> {
    let appender = log.appender().await?;
    let mut batches: Vec<Vec<NewRecord>> = vec![Vec::new(); PARTITIONS as usize];
    let mut records = 0;
    let mut add = |program: &str, record: &IngestRecord, batches: &mut Vec<Vec<NewRecord>>| {
        let partition = partition_of(program, PARTITIONS);
        batches[partition.0 as usize]
            .push(NewRecord { key: Bytes::new(), value: wire::ingest::encode(record) });
        records += 1;
        (batches[partition.0 as usize].len() >= PREFILL_BATCH).then_some(partition)
    };
    for number in 0..if events.start == 0 { programs } else { 0 } {
        let id = format!("prog_{number}");
        for object in program_objects() {
            let fact =
                ConfigFact { program: id.as_str().into(), actor: "bench".into(), object, removed: false };
            add(&id, &IngestRecord::Config(fact), &mut batches);
        }
    }
    for number in events {
        let program = format!("prog_{}", number % programs);
        let record = IngestRecord::Request(request(&program, number, number % customers));
        if let Some(full) = add(&program, &record, &mut batches) {
            let batch = std::mem::take(&mut batches[full.0 as usize]);
            appender.append(Topic::Ingest, full, batch).await?;
        }
    }
    for (partition, batch) in (0..).map(Partition).zip(batches) {
        if !batch.is_empty() {
            appender.append(Topic::Ingest, partition, batch).await?;
        }
    }
    Ok(records)
}

fn program_objects() -> [ConfigObject; 4] {
    [
        ConfigObject::Program(Program {
            account: "acct_bench".into(),
            name: "bench".into(),
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
        ConfigObject::Partner(Partner {
            partner: "partner_a".into(),
            name: "A".into(),
            active: true,
            ..Partner::default()
        }),
        ConfigObject::Code(Code { code: "a123".into(), partner: "partner_a".into(), active: true }),
        ConfigObject::Rule(Rule {
            rule: "rule_1".into(),
            version: 1,
            reward: Reward::Percent(RatePpm(200_000)),
            ..Rule::default()
        }),
    ]
}

fn request(program: &str, number: usize, customer: usize) -> RawRequest {
    let mut body = paddle_sale(
        &format!("evt_{number}"),
        &format!("txn_{number}"),
        10_000,
        800,
        Some("a123"),
        &format!("ctm_{customer}"),
    );
    // Up to the size of the bodies that the peers were measured with.
    body["data"]["note"] = "x".repeat(420).into();
    RawRequest {
        program: program.into(),
        source: "paddle".into(),
        body: Bytes::from(body.to_string()),
        headers: Vec::new(),
        query: String::new(),
        authenticated_by: "endpoint".into(),
        received_at: Micros(1_700_000_000_000_000),
        reply_to: None,
        trace: None,
        resource: String::new(),
        publishable: false,
    }
}

//! Events/s of `verify`, and its memory. A log is filled as in `pipeline`, a new customer in each sale; the services work it
//! off, a tick approves every commission, and the projector brings all of it into a private Postgres. Then a process of its own
//! proves it: its peak memory is that of the proof alone. Once with a quarter of the events, then with all, in the same log.
use crate::pipeline::{PARTITIONS, ends, fill};
use crate::{place, usage};
use anyhow::{Context as _, Result};
use bytes::Bytes;
use prost::Message as _;
use readmodel::private_postgres::{PrivatePostgres, URL_FILE};
use services::attribution::Attribution;
use services::commission::Commission;
use services::normalizer::Normalizer;
use services::projector::{self, Progress};
use services::verify;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stream::keys::KeyStore;
use stream::keys_file::FileKeyStore;
use stream::log::{Log, NewRecord, Offset, Partition, Topic};
use stream::owner::{OwnerError, OwnerOptions, run_service};
use stream::service::Service;
use stream::store::StateDb;
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wire::envelope::Kind;
use wire::ingest::IngestRecord;
use wire::v1::FrameContent;

/// A sale leaves its record, its commission and the commission's approval.
const EVENTS_PER_SALE: usize = 3;

pub(crate) fn run(events: usize, programs: usize, rounds: usize, dir: Option<&Path>) -> Result<()> {
    runtime()?.block_on(measure(events, programs, rounds, dir))
}

/// One proof; prints its figures in one line.
pub(crate) fn once(log: &Path, database_url_file: &Path) -> Result<()> {
    runtime()?.block_on(async {
        let url = std::fs::read_to_string(database_url_file)?;
        let log = stream::embedded::open_read_only(log).await?;
        let pool = readmodel::connect(url.trim(), 2).await?;
        let (cpu, started) = (usage::cpu_time()?, Instant::now());
        let report = verify::run(log, &pool).await?;
        let (wall, cpu) = (started.elapsed(), usage::cpu_time()? - cpu);
        anyhow::ensure!(report.ok, "not proven: {:?}", report.problems.first());
        println!("{} {} {}", wall.as_secs_f64(), cpu.as_secs_f64(), usage::peak_mib()?);
        Ok(())
    })
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

async fn measure(events: usize, programs: usize, rounds: usize, dir: Option<&Path>) -> Result<()> {
    let directory = match dir {
        Some(dir) => tempfile::tempdir_in(dir),
        None => tempfile::tempdir(),
    }
    .context("a directory to work in")?;
    let work = directory.path();
    let postgres = PrivatePostgres::start(work).await?;
    println!(
        "| events | sales | seconds | events/s | CPU us/event | Postgres CPU us/event | peak MiB |\n|---|---|---|---|---|---|---|"
    );
    let sales = events / EVENTS_PER_SALE;
    let mut from = 0;
    for to in [sales / 4, sales] {
        let started = Instant::now();
        prepare(work, postgres.url(), from..to, programs).await?;
        let log = stream::embedded::open_read_only(&work.join("log")).await?;
        let events = count(&log).await? as f64;
        drop(log);
        eprintln!("{events} events prepared in {:.0} s", started.elapsed().as_secs_f64());
        for _ in 0..rounds {
            prove(work, &postgres, events, to).await?;
        }
        from = to;
    }
    postgres.stop().await?;
    Ok(())
}

/// One proof in a process of its own.
async fn prove(work: &Path, postgres: &PrivatePostgres, events: f64, sales: usize) -> Result<()> {
    let server = || postgres.pid().map(usage::process).transpose();
    let before = server()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("verify-once").arg("--log").arg(work.join("log"));
    command.arg("--database-url-file").arg(work.join(URL_FILE));
    let output = command.stderr(std::process::Stdio::inherit()).output().await?;
    anyhow::ensure!(output.status.success(), "the proof failed");
    let after = server()?;
    let line = String::from_utf8(output.stdout)?;
    let mut figures = line.split_whitespace().map(str::parse::<f64>);
    let mut figure = || figures.next().context("a figure of the proof")?.context("a number");
    let (seconds, cpu, peak) = (figure()?, figure()?, figure()?);
    let server = before.zip(after).map(|(before, after)| after.cpu.saturating_sub(before.cpu));
    println!(
        "| {events} | {sales} | {seconds:.1} | {:.0} | {:.1} | {} | {peak} |",
        events / seconds,
        cpu * 1e6 / events,
        server.map_or_else(|| "-".to_owned(), |cpu| format!("{:.1}", cpu.as_secs_f64() * 1e6 / events)),
    );
    Ok(())
}

/// Adds these sales to the log, and everything that follows from them to the log and to the read model.
async fn prepare(work: &Path, url: &str, sales: Range<usize>, programs: usize) -> Result<()> {
    let log = place::open(None, work, PARTITIONS).await?;
    let before = ends(&log, Topic::Commissions).await?;
    let customers = sales.end;
    let records = fill(&log, sales, programs, customers).await?;
    let pool = readmodel::connect(url, 4).await?;
    readmodel::migrate(&pool).await?;
    let keys: Arc<dyn KeyStore> = Arc::new(FileKeyStore::open(&work.join("keys"))?);
    let state = StateDb::open(&work.join("state"))?;
    let stop = CancellationToken::new();
    let start = Start { log: &log, keys: &keys, state: &state, stop: &stop };
    let tasks = [
        start.service(Normalizer::new(keys.index_key(), PARTITIONS)),
        start.service(Attribution),
        start.service(Commission::new(PARTITIONS)),
    ];
    let (sender, mut progress) = watch::channel(Progress::default());
    let projecting = tokio::spawn(projector::run(
        projector::Options::default(),
        Arc::clone(&log),
        pool.clone(),
        stop.clone(),
        sender,
    ));
    let running = || -> Result<()> {
        anyhow::ensure!(!tasks.iter().any(JoinHandle::is_finished), "a service ended");
        Ok(())
    };
    let worked_off = before + records + u64::from(PARTITIONS);
    while ends(&log, Topic::Commissions).await? < worked_off {
        running()?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let appender = log.appender().await?;
    for partition in (0..PARTITIONS).map(Partition) {
        let value = wire::ingest::encode(&IngestRecord::Tick);
        appender.append(Topic::Ingest, partition, vec![NewRecord { key: Bytes::new(), value }]).await?;
    }
    // A tick's steps are as many as it takes: they are over when the last frame says so.
    while !answered(&log).await? {
        running()?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for partition in (0..PARTITIONS).map(Partition) {
        for followed in readmodel::batch::Followed::ALL {
            let end = log.bounds(followed.topic(), partition).await?.end.0;
            progress
                .wait_for(|progress| {
                    progress.cursors.get(&(followed, partition)).is_some_and(|cursor| cursor.offset >= end)
                })
                .await?;
        }
    }
    stop.cancel();
    for task in tasks {
        task.await??;
    }
    projecting.await??;
    // As autovacuum would, some time later.
    sqlx::query("ANALYZE").execute(&pool).await?;
    pool.close().await;
    Ok(())
}

struct Start<'a> {
    log: &'a Arc<dyn Log>,
    keys: &'a Arc<dyn KeyStore>,
    state: &'a Arc<StateDb>,
    stop: &'a CancellationToken,
}

impl Start<'_> {
    fn service<S: Service>(&self, service: S) -> JoinHandle<Result<(), OwnerError>> {
        let (log, state, keys) = (Arc::clone(self.log), Arc::clone(self.state), Arc::clone(self.keys));
        let options = OwnerOptions::default();
        tokio::spawn(run_service(Arc::new(service), options, log, state, keys, self.stop.clone()))
    }
}

/// Whether each partition's last frame of `facts` has its last frame of `commissions`: both are of the tick.
async fn answered(log: &Arc<dyn Log>) -> Result<bool> {
    for partition in (0..PARTITIONS).map(Partition) {
        let ticked = log.bounds(Topic::Ingest, partition).await?.end.0.saturating_sub(1);
        let Some(facts) = last(log, Topic::Facts, partition).await? else { return Ok(false) };
        let Some(attributed) = last(log, Topic::Attributed, partition).await? else { return Ok(false) };
        let Some(commissions) = last(log, Topic::Commissions, partition).await? else { return Ok(false) };
        let follows = |next: &FrameContent, of: &FrameContent| next.source == of.seq && next.last;
        if facts.source != ticked
            || !facts.last
            || !follows(&attributed, &facts)
            || !follows(&commissions, &attributed)
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The last record of a topic, where it is a frame.
async fn last(log: &Arc<dyn Log>, topic: Topic, partition: Partition) -> Result<Option<FrameContent>> {
    let end = log.bounds(topic, partition).await?.end.0;
    let Some(offset) = end.checked_sub(1) else { return Ok(None) };
    let Some(record) = log.record_at(topic, partition, Offset(offset)).await? else { return Ok(None) };
    let (envelope, content) = wire::envelope::decode(&record.value).context("an envelope")?;
    Ok(if envelope.kind == Kind::Frame { Some(FrameContent::decode(content)?) } else { None })
}

/// Events of `commissions`.
async fn count(log: &Arc<dyn Log>) -> Result<usize> {
    let mut events = 0;
    for partition in (0..PARTITIONS).map(Partition) {
        let end = log.bounds(Topic::Commissions, partition).await?.end;
        let mut reader = log.reader(Topic::Commissions, partition, Offset(0)).await?;
        let mut next = Offset(0);
        while next < end {
            for record in reader.next(4_000, 4 << 20).await? {
                next = record.offset.next();
                let (envelope, content) = wire::envelope::decode(&record.value).context("an envelope")?;
                if envelope.kind == Kind::Frame {
                    events += FrameContent::decode(content)?.events.len();
                }
            }
        }
    }
    Ok(events)
}

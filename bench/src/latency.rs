//! Webhook to balance: open loop at a fixed rate; an event is done when its balance row's transaction can be read.
use crate::usage::{self, Process};
use anyhow::{Context, Result};
use domain::ids::SaleId;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use stream::log::partition_of;
use testkit::load::{client, send};
use testkit::requests::{paddle, paddle_sale};
use tokio::task::JoinSet;

pub(crate) fn run(
    url: &str,
    database_url: &str,
    rate: u64,
    seconds: u64,
    processes_of: Option<&Path>,
) -> Result<()> {
    let processes = processes_of.map(processes).transpose()?.unwrap_or_default();
    let sample =
        || -> Result<Vec<Process>> { processes.iter().map(|(_, pid)| usage::process(*pid)).collect() };
    let (before, started) = (sample()?, Instant::now());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure(url, database_url, rate, seconds))?;
    if processes.is_empty() {
        return Ok(());
    }
    let (after, wall) = (sample()?, started.elapsed());
    let events = (rate * seconds) as f64;
    println!("\n| process | CPU us/event | of one core | resident MiB |\n|---|---|---|---|");
    let mut total = Duration::ZERO;
    for (((name, _), before), after) in processes.iter().zip(before).zip(after) {
        let cpu = after.cpu.saturating_sub(before.cpu);
        total += cpu;
        println!(
            "| {name} | {:.0} | {:.0}% | {} |",
            cpu.as_secs_f64() * 1e6 / events,
            cpu.as_secs_f64() / wall.as_secs_f64() * 100.0,
            after.resident_mib
        );
    }
    println!(
        "| together | {:.0} | {:.0}% | |",
        total.as_secs_f64() * 1e6 / events,
        total.as_secs_f64() / wall.as_secs_f64() * 100.0
    );
    Ok(())
}

/// Names and ids of what `scripts/up-kafka` started in this directory.
fn processes(directory: &Path) -> Result<Vec<(String, u32)>> {
    let mut found = Vec::new();
    for line in std::fs::read_to_string(directory.join("pids"))?.lines() {
        let (pid, name) = line.split_once(' ').context("a line of `pids` without a name")?;
        found.push((name.to_owned(), pid.parse()?));
    }
    for (name, file) in [("Kafka", "kafka/pid"), ("Postgres", "postgres/postmaster.pid")] {
        if let Ok(text) = std::fs::read_to_string(directory.join(file)) {
            found.push((name.to_owned(), text.lines().next().context("no process id")?.trim().parse()?));
        }
    }
    Ok(found)
}

async fn measure(url: &str, database_url: &str, rate: u64, seconds: u64) -> Result<()> {
    let unique = testkit::requests::now_seconds();
    let database = sqlx::PgPool::connect(database_url).await?;
    let sent: Arc<Mutex<HashMap<String, Instant>>> = Arc::default();
    let total = usize::try_from(rate * seconds)?;
    let partition = i32::try_from(partition_of("prog_demo", 64).0)?;
    // Before anything is sent: what comes before this is not looked at.
    let seen: i64 = sqlx::query_scalar(
        "select coalesce(max(seq), 0) from tributary.commission_events where partition = $1",
    )
    .bind(partition)
    .fetch_one(&database)
    .await?;
    let poller = tokio::spawn(poll(database, partition, seen, Arc::clone(&sent), total));
    let http = client();
    let started = Instant::now();
    let mut requests = JoinSet::new();
    let mut answers = Vec::with_capacity(total);
    for number in 0..rate * seconds {
        let due = started + Duration::from_nanos(1_000_000_000 / rate * number);
        tokio::time::sleep_until(due.into()).await;
        let sale = format!("txn_{unique}_{number}");
        let event = format!("evt_{unique}_{number}");
        let body =
            paddle_sale(&event, &sale, 10_000, 800, Some("john123"), &format!("ctm_{}", number % 5_000));
        let (http, url, sent) = (http.clone(), url.to_owned(), Arc::clone(&sent));
        requests.spawn(async move {
            // Measured from when it was due: a late sender is no excuse.
            let id = SaleId::derive(&"prog_demo".into(), &"paddle".into(), &sale);
            sent.lock().unwrap().insert(id.0, due);
            let (status, answer) = send(&http, &url, &paddle("prog_demo", &body)).await?;
            anyhow::ensure!(status == 200, "{status} {answer}");
            Ok(due.elapsed())
        });
        while let Some(done) = requests.try_join_next() {
            answers.push(done??);
        }
    }
    while let Some(done) = requests.join_next().await {
        answers.push(done??);
    }
    let mut balances = poller.await??;
    answers.sort_unstable();
    balances.sort_unstable();
    let show = |name: &str, sorted: &[Duration]| {
        println!(
            "| {name} | {} | {:.1} | {:.1} | {:.1} |",
            sorted.len(),
            crate::usage::percentile(sorted, 0.5).as_secs_f64() * 1e3,
            crate::usage::percentile(sorted, 0.99).as_secs_f64() * 1e3,
            crate::usage::percentile(sorted, 1.0).as_secs_f64() * 1e3
        );
    };
    println!("| at {rate}/s | events | p50 ms | p99 ms | max ms |\n|---|---|---|---|---|");
    show("webhook to answer", &answers);
    show("webhook to balance (row seen by a poll each millisecond)", &balances);
    Ok(())
}

async fn poll(
    database: sqlx::PgPool,
    partition: i32,
    mut seen: i64,
    sent: Arc<Mutex<HashMap<String, Instant>>>,
    total: usize,
) -> Result<Vec<Duration>> {
    let mut latencies = Vec::with_capacity(total);
    let limit = Instant::now() + Duration::from_secs(600);
    while latencies.len() < total {
        anyhow::ensure!(Instant::now() < limit, "{} of {total} arrived", latencies.len());
        let rows: Vec<(i64, String)> = sqlx::query_as(
            "select seq, sale_id from tributary.commission_events
             where partition = $1 and seq > $2 and kind = 'created' order by seq",
        )
        .bind(partition)
        .bind(seen)
        .fetch_all(&database)
        .await?;
        let now = Instant::now();
        for (seq, sale_id) in rows {
            seen = seq;
            if let Some(due) = sent.lock().unwrap().get(&sale_id) {
                latencies.push(now.saturating_duration_since(*due));
            }
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(latencies)
}

//! What the Kafka log costs: CPU of this process for each record, and latencies, on `TRIBUTARY_TEST_KAFKA` or a broker that
//! it starts. Client settings can be tried: `kafka_speed linger.ms=1 fetch.wait.max.ms=5`.
#![allow(clippy::unwrap_used)]
use bytes::Bytes;
use futures::future::join_all;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stream::kafka::{Compression, KafkaLog, KafkaOptions};
use stream::log::{Appender, Log, NewRecord, Offset, Partition, Topic};
use testkit::kafka::KafkaBroker;

const PARTITIONS: u32 = 8;
const RECORDS: usize = 400_000;
const VALUE_BYTES: usize = 800;
/// Records of one append.
const BATCH: usize = 256;
/// Appends in flight for each partition.
const PIPELINE: usize = 4;
const SAMPLES: usize = 2_000;
const IDLE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() {
    let broker = KafkaBroker::shared().await.unwrap();
    let mut options = broker.options(PARTITIONS);
    for argument in std::env::args().skip(1) {
        match argument.split_once('=') {
            Some((name, value)) => drop(options.client.insert(name.to_owned(), value.to_owned())),
            None if argument == "lz4" => options.compression = Compression::Lz4,
            None => panic!("not a setting: {argument}"),
        }
    }
    let log = KafkaLog::connect(options.clone()).await.unwrap();
    log.ensure_topics().await.unwrap();
    let appender = log.appender().await.unwrap();
    appender.append(Topic::Facts, Partition(0), batch(1)).await.unwrap();

    produce(&log, &appender).await;
    consume(&log).await;
    latency(&log, &appender).await;
    points(&log).await;
    idle(broker, options).await;
}

fn batch(records: usize) -> Vec<NewRecord> {
    let value = Bytes::from((0..VALUE_BYTES).map(|byte| (byte % 97) as u8).collect::<Vec<_>>());
    let key = Bytes::from_static(b"prog_demo");
    (0..records).map(|_| NewRecord { key: key.clone(), value: value.clone() }).collect()
}

/// CPU microseconds of this process so far.
fn cpu() -> i64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    usage.user_time().num_microseconds() + usage.system_time().num_microseconds()
}

fn report(what: &str, records: usize, started: (Instant, i64)) {
    let seconds = started.0.elapsed().as_secs_f64();
    let (rate, cost) = (records as f64 / seconds, (cpu() - started.1) as f64 / records as f64);
    println!("{what}: {rate:.0} records/s, {cost:.2} CPU-us a record");
}

async fn produce(log: &Arc<KafkaLog>, appender: &Arc<dyn Appender>) {
    let started = (Instant::now(), cpu());
    let lanes = (0..log.partition_count()).map(Partition).flat_map(|partition| {
        (0..PIPELINE).map(move |_| {
            let appender = Arc::clone(appender);
            tokio::spawn(async move {
                for _ in 0..RECORDS / (PARTITIONS as usize * PIPELINE * BATCH) {
                    appender.append(Topic::Facts, partition, batch(BATCH)).await.unwrap();
                }
            })
        })
    });
    join_all(lanes).await.into_iter().for_each(Result::unwrap);
    report("produce", RECORDS, started);
}

async fn consume(log: &Arc<KafkaLog>) {
    let mut bounds = Vec::new();
    for partition in (0..log.partition_count()).map(Partition) {
        bounds.push((partition, log.bounds(Topic::Facts, partition).await.unwrap()));
    }
    let total: u64 = bounds.iter().map(|(_, bounds)| bounds.end.0).sum();
    let started = (Instant::now(), cpu());
    let readers = bounds.into_iter().map(|(partition, bounds)| {
        let log = Arc::clone(log);
        tokio::spawn(async move {
            let mut reader = log.reader(Topic::Facts, partition, Offset(0)).await.unwrap();
            let mut next = Offset(0);
            while next < bounds.end {
                let records = reader.next(1_000, 1 << 20).await.unwrap();
                next = records.last().unwrap().offset.next();
            }
        })
    });
    join_all(readers).await.into_iter().for_each(Result::unwrap);
    report("consume", total as usize, started);
}

async fn latency(log: &Arc<KafkaLog>, appender: &Arc<dyn Appender>) {
    let partition = Partition(0);
    let end = log.bounds(Topic::Attributed, partition).await.unwrap().end;
    let mut reader = log.reader(Topic::Attributed, partition, end).await.unwrap();
    let (mut appended, mut delivered) = (Vec::new(), Vec::new());
    let used = cpu();
    for _ in 0..SAMPLES {
        let start = Instant::now();
        let append = appender.append(Topic::Attributed, partition, batch(1));
        let (result, records) = tokio::join!(async { (append.await, start.elapsed()) }, async {
            (reader.next(1, usize::MAX).await, start.elapsed())
        },);
        result.0.unwrap();
        records.0.unwrap();
        appended.push(result.1);
        delivered.push(records.1);
    }
    let used = (cpu() - used) / SAMPLES as i64;
    percentiles("append to acknowledgement, one in flight", appended);
    percentiles("append to delivery", delivered);
    println!("one at a time: {used} CPU-us for an append and its delivery");
}

/// What a take asks: bounds and the record below a cursor.
async fn points(log: &Arc<KafkaLog>) {
    let (mut bounds, mut records) = (Vec::new(), Vec::new());
    for sample in 0..200 {
        let partition = Partition(sample % PARTITIONS);
        let start = Instant::now();
        let end = log.bounds(Topic::Facts, partition).await.unwrap().end.0;
        bounds.push(start.elapsed());
        let start = Instant::now();
        log.record_at(Topic::Facts, partition, Offset(end / 2)).await.unwrap().unwrap();
        records.push(start.elapsed());
    }
    percentiles("bounds", bounds);
    percentiles("one record by its offset", records);
}

fn percentiles(what: &str, mut samples: Vec<Duration>) {
    samples.sort_unstable();
    let at = |share: f64| samples[(samples.len() as f64 * share) as usize].as_micros();
    println!("{what}: p50 {} us, p99 {} us, p99.9 {} us", at(0.5), at(0.99), at(0.999));
}

/// What readers of three topics with 64 partitions cost when nothing comes.
async fn idle(broker: &KafkaBroker, mut options: KafkaOptions) {
    let started = Instant::now();
    options.partitions = 64;
    options.topic_prefix = broker.options(64).topic_prefix;
    let log = KafkaLog::connect(options).await.unwrap();
    log.ensure_topics().await.unwrap();
    println!("6 topics of 64 partitions created and served in {:.1} s", started.elapsed().as_secs_f64());
    let started = Instant::now();
    let all = [Topic::Ingest, Topic::Facts, Topic::Attributed]
        .into_iter()
        .flat_map(|topic| (0..64).map(move |partition| (topic, Partition(partition))))
        .map(|(topic, partition)| log.reader(topic, partition, Offset(0)));
    let readers: Vec<_> = join_all(all).await.into_iter().map(Result::unwrap).collect();
    println!("{} readers opened in {:.0} ms", readers.len(), started.elapsed().as_secs_f64() * 1e3);
    let used = cpu();
    tokio::time::sleep(IDLE).await;
    let share = (cpu() - used) as f64 / IDLE.as_micros() as f64 * 100.0;
    println!("idle: {share:.1} % of a core in this process");
    drop(readers);
}

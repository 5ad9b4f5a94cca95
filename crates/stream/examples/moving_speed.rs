//! How fast a log moves: `cargo run --release -p tributary-stream --features measure --example moving_speed [records per topic and partition]`.
//! With `TRIBUTARY_TEST_KAFKA=host:port` also into Kafka.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]
use bytes::Bytes;
use domain::ids::Hash;
use domain::time::Micros;
use prost::Message as _;
use std::path::Path;
use std::time::{Duration, Instant};
use stream::embedded::{EmbeddedLog, EmbeddedOptions};
use stream::kafka::{KafkaLog, KafkaOptions};
use stream::log::{Log as _, NewRecord, Partition, Topic};
use stream::moving::{ExportOptions, export, into_embedded, into_kafka};
use wire::envelope::{self, Envelope, Kind};
use wire::v1::{FenceContent, FrameContent};

const PARTITIONS: u32 = 8;
/// Of a record's value, about.
const BYTES: usize = 800;

#[tokio::main]
async fn main() {
    let each: u64 = std::env::args().nth(1).map_or(25_000, |text| text.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let mut options = EmbeddedOptions::new(dir.path().join("log"));
    options.partitions = PARTITIONS;
    let log = EmbeddedLog::open(options).unwrap();
    fill(&log, each).await;

    let archive = dir.path().join("archive");
    let began = Instant::now();
    let options = ExportOptions { backup: false, wait: Duration::ZERO, now: Micros(0) };
    let file = std::io::BufWriter::with_capacity(1 << 20, std::fs::File::create(&archive).unwrap());
    let exported = export(log.as_ref(), file, options, &mut |_| {}).await.unwrap();
    exported.out.into_inner().unwrap().sync_all().unwrap();
    let (records, bytes) = (exported.manifest.records(), exported.manifest.bytes());
    say("export", began, records, bytes);
    log.close();

    let began = Instant::now();
    into_embedded(&dir.path().join("restored"), PARTITIONS, &archive, &mut |_| {}).await.unwrap();
    say("import into a directory: check, write, compare", began, records, bytes);
    if let Ok(brokers) = std::env::var("TRIBUTARY_TEST_KAFKA") {
        to_kafka(&brokers, &archive, records, bytes).await;
    }
}

fn say(what: &str, began: Instant, records: u64, bytes: u64) {
    let took = began.elapsed().as_secs_f64();
    let (rate, mib) = (records as f64 / took, bytes as f64 / took / f64::from(1 << 20));
    println!("{what}: {records} records, {bytes} bytes in {took:.2} s: {rate:.0} records/s, {mib:.0} MiB/s");
}

async fn to_kafka(brokers: &str, archive: &Path, records: u64, bytes: u64) {
    let mut options = KafkaOptions::new(brokers);
    options.partitions = PARTITIONS;
    options.topic_prefix = format!("speed{}.", std::process::id());
    let log = KafkaLog::connect(options).await.unwrap();
    log.ensure_topics().await.unwrap();
    let (mut phase, mut phase_began, mut done) = ("", Instant::now(), 0);
    let began = Instant::now();
    into_kafka(&log, archive, &mut |progress| {
        if progress.doing != phase {
            if !phase.is_empty() {
                say(&format!("import into kafka, {phase}"), phase_began, done, 0);
            }
            (phase, phase_began) = (progress.doing, Instant::now());
        }
        done = progress.records;
    })
    .await
    .unwrap();
    say(&format!("import into kafka, {phase}"), phase_began, done, 0);
    say("import into kafka: check, write, compare", began, records, bytes);
}

/// A chain that is worked off: each record of a topic is an input of the next.
async fn fill(log: &EmbeddedLog, each: u64) {
    let appender = log.appender().await.unwrap();
    for partition in (0..PARTITIONS).map(Partition) {
        let event = Bytes::from(vec![0xff; BYTES]);
        let ingest =
            (0..each).map(|_| NewRecord { key: Bytes::from_static(b"prog_1"), value: event.clone() });
        appender.append(Topic::Ingest, partition, ingest.collect()).await.unwrap();
        for topic in [Topic::Facts, Topic::Attributed, Topic::Commissions] {
            appender.append(topic, partition, frames(topic, each)).await.unwrap();
        }
    }
}

fn frames(topic: Topic, each: u64) -> Vec<NewRecord> {
    let envelope = |kind, input_offset| Envelope {
        kind,
        epoch: 1,
        writer: [7; 16],
        input_offset,
        input_epoch: 0,
        input_writer: [0; 16],
        trace: None,
    };
    let record = |kind, offset, content: Vec<u8>| NewRecord {
        key: Bytes::new(),
        value: envelope::encode(&envelope(kind, offset), &content),
    };
    let fence = FenceContent { logic_version: 1, service: "speed".to_owned() };
    let mut records = vec![record(Kind::Fence, 0, fence.encode_to_vec())];
    let mut head = Hash::ZERO;
    for seq in 1..=each {
        let content = FrameContent {
            seq,
            source: if topic == Topic::Facts { seq - 1 } else { seq },
            last: true,
            source_head: Bytes::from(vec![0; 32]),
            prev_head: Bytes::copy_from_slice(&head.0),
            events: vec![Bytes::from(vec![7; BYTES - 200])],
            ..FrameContent::default()
        };
        let content = content.encode_to_vec();
        head = Hash::of(&content);
        records.push(record(Kind::Frame, seq, content));
    }
    records
}

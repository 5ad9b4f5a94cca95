//! The projector and `verify` over an embedded log and a real Postgres.
#![allow(clippy::unwrap_used)]
extern crate readmodel as tributary_readmodel;
#[path = "../../readmodel/tests/support/mod.rs"]
mod support;

use bytes::Bytes;
use domain::ids::Hash;
use domain::normalization::{FactsEvent, VerdictKind};
use domain::time::Micros;
use readmodel::batch::Followed;
use sqlx::PgPool;
use std::sync::Arc;
use std::time::Duration;
use stream::embedded::{EmbeddedLog, EmbeddedOptions};
use stream::log::{Appender, Log, NewRecord, Partition, Topic, partition_of};
use support::Database;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tributary_services::projector::{self, Options, Progress, ProjectorError};
use tributary_services::verify::{self, Report};
use wire::envelope::{self, Envelope, Kind};
use wire::ingest::{IngestRecord, RawRequest};
use wire::v1::{FenceContent, FrameContent};

/// Writes the whole chain by hand: one sale in each frame of each hop.
struct Chain {
    appender: Arc<dyn Appender>,
    partition: Partition,
    epoch: u64,
    /// The last `seq`, the same in each hop, and the heads of `facts`, `attributed`, `commissions`.
    seq: u64,
    heads: [Hash; 3],
}

const HOPS: [Topic; 3] = [Topic::Facts, Topic::Attributed, Topic::Commissions];

impl Chain {
    async fn new(log: &Arc<dyn Log>) -> Self {
        let partition = partition_of("prog_demo", log.partition_count());
        let appender = log.appender().await.unwrap();
        let mut chain = Self { appender, partition, epoch: 0, seq: 0, heads: [Hash::ZERO; 3] };
        chain.fence().await;
        chain
    }

    async fn append(&self, topic: Topic, value: Bytes) -> u64 {
        let record = NewRecord { key: Bytes::from_static(b"prog_demo"), value };
        let offsets = self.appender.append(topic, self.partition, vec![record]).await.unwrap();
        offsets[0].unwrap().0
    }

    fn record(&self, kind: Kind, epoch: u64, content: &[u8]) -> Bytes {
        let envelope = Envelope {
            kind,
            epoch,
            writer: [epoch as u8; 16],
            input_offset: 0,
            input_epoch: 0,
            input_writer: [0; 16],
            trace: None,
        };
        envelope::encode(&envelope, content)
    }

    async fn fence(&mut self) {
        self.epoch += 1;
        let content =
            wire::frame::encode_fence(&FenceContent { logic_version: 1, ..FenceContent::default() });
        for topic in HOPS {
            self.append(topic, self.record(Kind::Fence, self.epoch, &content)).await;
        }
    }

    fn frame(&self, hop: usize, source: u64, source_head: Hash, events: Vec<Bytes>) -> (Bytes, Hash) {
        wire::frame::encode(&FrameContent {
            seq: self.seq + 1,
            source,
            last: true,
            source_head: Bytes::copy_from_slice(&source_head.0),
            prev_head: Bytes::copy_from_slice(&self.heads[hop].0),
            clock_micros: support::cursor(self.seq + 1).clock.0,
            events,
            ..FrameContent::default()
        })
    }

    async fn ingest(&self, key: u64) -> (u64, Hash) {
        let request = RawRequest {
            program: "prog_demo".into(),
            source: "paddle".into(),
            body: Bytes::from(key.to_string()),
            headers: Vec::new(),
            query: String::new(),
            authenticated_by: String::new(),
            received_at: Micros(0),
            reply_to: None,
            trace: None,
            resource: String::new(),
        };
        let record = wire::ingest::encode(&IngestRecord::Request(request));
        let head = Hash::of(&record);
        (self.append(Topic::Ingest, record).await, head)
    }

    /// The next sale, through all hops.
    async fn sale(&mut self) {
        let seq = self.seq + 1;
        let (mut source, mut head) = self.ingest(seq).await;
        let verdict = FactsEvent::Verdict(support::verdict(seq, VerdictKind::Applied, ""));
        let events = [
            vec![wire::facts::encode(&verdict).unwrap()],
            Vec::new(),
            support::sale(seq).iter().map(wire::commissions::encode).collect(),
        ];
        for (hop, events) in events.into_iter().enumerate() {
            let (content, of) = self.frame(hop, source, head, events);
            self.append(HOPS[hop], self.record(Kind::Frame, self.epoch, &content)).await;
            (source, head) = (seq, of);
            self.heads[hop] = of;
        }
        self.seq = seq;
    }

    /// What a stalled former owner still writes: the next `seq`, with another sale in it.
    async fn zombie(&self) {
        let events = support::sale(9_999).iter().map(wire::commissions::encode).collect();
        let (content, _) = self.frame(2, self.seq + 1, Hash::ZERO, events);
        self.append(Topic::Commissions, self.record(Kind::Frame, self.epoch - 1, &content)).await;
    }
}

struct Running {
    task: JoinHandle<Result<(), ProjectorError>>,
    progress: watch::Receiver<Progress>,
    stop: CancellationToken,
}

fn project(log: &Arc<dyn Log>, pool: &PgPool) -> Running {
    let (sender, progress) = watch::channel(Progress::default());
    let stop = CancellationToken::new();
    // Small batches: many commits.
    let options = Options { batch_frames: 3, read_records: 2, ..Options::default() };
    let task = tokio::spawn(projector::run(options, Arc::clone(log), pool.clone(), stop.clone(), sender));
    Running { task, progress, stop }
}

impl Running {
    async fn reaches(&mut self, chain: &Chain) {
        let (partition, seq) = (chain.partition, chain.seq);
        let there = self.progress.wait_for(|progress| {
            Followed::ALL.iter().all(|followed| {
                progress.cursors.get(&(*followed, partition)).is_some_and(|cursor| cursor.seq >= seq)
            })
        });
        tokio::time::timeout(Duration::from_secs(60), there).await.unwrap().unwrap();
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

fn kinds(report: &Report) -> Vec<&'static str> {
    report.problems.iter().map(|problem| problem.kind).collect()
}

async fn change(pool: &PgPool, sql: &'static str) {
    assert!(sqlx::query(sql).execute(pool).await.unwrap().rows_affected() > 0, "{sql}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_follow_the_log_through_lost_connections_takeovers_and_restarts_and_verify_agrees() {
    let directory = tempfile::tempdir().unwrap();
    let log: Arc<dyn Log> = EmbeddedLog::open(EmbeddedOptions::new(directory.path().join("log"))).unwrap();
    let database = Database::new().await;
    let mut chain = Chain::new(&log).await;
    let mut running = project(&log, &database.pool);
    for _ in 0..20 {
        chain.sale().await;
    }
    running.reaches(&chain).await;
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tributary'
               AND datname = current_database() AND pid <> pg_backend_pid()";
    for _ in 0..3 {
        sqlx::query(cut).execute(&database.pool).await.unwrap();
        for _ in 0..10 {
            chain.sale().await;
        }
        chain.fence().await;
        chain.zombie().await;
    }
    running.reaches(&chain).await;
    running.stop().await;
    // Behind a fence, with the zombie's frame before it: the whole cursor knows.
    let mut running = project(&log, &database.pool);
    chain.zombie().await;
    chain.sale().await;
    running.reaches(&chain).await;
    running.stop().await;

    let report = verify::run(Arc::clone(&log), &database.pool).await.unwrap();
    assert!(report.ok, "{report:?}");
    assert_eq!((report.accepted, report.verdicts.applied), (51, 51));

    // Dropped and projected again: the same rows.
    let before = readmodel::dump::canonical(&database.pool).await.unwrap();
    sqlx::query("DROP SCHEMA tributary CASCADE").execute(&database.pool).await.unwrap();
    readmodel::migrate(&database.pool).await.unwrap();
    let mut running = project(&log, &database.pool);
    running.reaches(&chain).await;
    running.stop().await;
    assert_eq!(readmodel::dump::canonical(&database.pool).await.unwrap(), before);
    drop(chain);
    drop(log);
    database.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_finds_what_is_wrong_in_rows_and_log_and_a_stale_database_halts_the_projector() {
    let directory = tempfile::tempdir().unwrap();
    let log: Arc<dyn Log> = EmbeddedLog::open(EmbeddedOptions::new(directory.path().join("log"))).unwrap();
    let database = Database::new().await;
    let pool = &database.pool;
    let mut chain = Chain::new(&log).await;
    let mut running = project(&log, pool);
    for _ in 0..5 {
        chain.sale().await;
    }
    running.reaches(&chain).await;
    let verified = || verify::run(Arc::clone(&log), pool);
    assert!(verified().await.unwrap().ok);

    for (kind, harm, mend) in [
        (
            "balance",
            "UPDATE tributary.balance_rows SET pending = pending + 1 WHERE partner_id = 'partner_1'",
            "UPDATE tributary.balance_rows SET pending = pending - 1 WHERE partner_id = 'partner_1'",
        ),
        (
            "commission",
            "UPDATE tributary.commission_rows SET status = 'approved' WHERE seq = 2",
            "UPDATE tributary.commission_rows SET status = 'pending' WHERE seq = 2",
        ),
        (
            "sale",
            "UPDATE tributary.sale_rows SET sale_id = sale_id || 'x' WHERE seq = 2",
            "UPDATE tributary.sale_rows SET sale_id = left(sale_id, -1) WHERE seq = 2",
        ),
        (
            "verdicts",
            "UPDATE tributary.verdict_rows SET verdict = 'ignored' WHERE seq = 3",
            "UPDATE tributary.verdict_rows SET verdict = 'applied' WHERE seq = 3",
        ),
        (
            "commission_events",
            "UPDATE tributary.commission_event_rows SET postings = postings - 0 WHERE seq = 3",
            "UPDATE tributary.commission_event_rows SET postings = '[{\"amount\": -200}, {\"amount\": 200}]' WHERE seq = 3",
        ),
    ] {
        change(pool, harm).await;
        let report = verified().await.unwrap();
        assert!(!report.ok && kinds(&report).iter().all(|found| *found == kind), "{kind}: {report:?}");
        change(pool, mend).await;
        assert!(verified().await.unwrap().ok, "{kind}");
    }

    // An acknowledged event that the normalizer passed over.
    chain.ingest(77).await;
    assert!(verified().await.unwrap().ok, "not decided yet: lag");
    chain.sale().await;
    running.reaches(&chain).await;
    assert_eq!(kinds(&verified().await.unwrap()), ["verdict_missing", "accounting"]);

    // The database loses a commit behind the projector's back.
    change(pool, "UPDATE tributary.cursor_rows SET seq = seq - 1, next_offset = next_offset - 1 WHERE topic = 'commissions'").await;
    chain.sale().await;
    let halted = tokio::time::timeout(Duration::from_secs(60), running.task).await.unwrap().unwrap();
    assert!(halted.unwrap_err().to_string().contains("a gap, or a replica that lost commits"));
    drop(chain);
    drop(log);
    database.stop().await;
}

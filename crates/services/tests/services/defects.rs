//! A panic in any service parks one input, and nothing else stops (protocol, rule 8).
//!
//! The services are real and run over an embedded log; what panics is planted around them: a wrapper that refuses one sale,
//! and, for a clock tick, a state whose row of that sale cannot be read.
use crate::setting;
use crate::support::Database;
use bytes::Bytes;
use domain::config::{Code, ConfigFact, ConfigObject, Partner, Reward, Rule};
use domain::facts::Personal;
use domain::ids::SubjectId;
use domain::money::RatePpm;
use domain::normalization::{DefectRetry, FactsEvent};
use domain::tables::{Tables, View};
use domain::time::Micros;
use sqlx::PgPool;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use stream::cursor::Cursor;
use stream::embedded::{EmbeddedLog, EmbeddedOptions};
use stream::follow::Follower;
use stream::keys::KeyStore;
use stream::keys_file::FileKeyStore;
use stream::log::{Log, NewRecord, Partition, Topic, partition_of};
use stream::owner::{OwnerError, OwnerOptions, run_service};
use stream::service::{Decided, FrameMeta, Input, Payload, Service, SideOutput, UnknownEvent};
use stream::store::StateDb;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tributary_services::attribution::Attribution;
use tributary_services::commission::Commission;
use tributary_services::normalizer::Normalizer;
use tributary_services::projector::{self, Progress};
use tributary_services::verify;
use wire::ingest::{IngestRecord, RawRequest};

const POISON: &[u8] = b"order_poison";
const NOTHING: u8 = 0;
const NORMALIZER: u8 = 1;
const ATTRIBUTION: u8 = 2;
const COMMISSION: u8 = 3;
const TICK: u8 = 4;

/// A service that panics where the test says.
#[derive(Debug)]
struct Poisoned<S> {
    inner: S,
    place: u8,
    armed: Arc<AtomicU8>,
}

/// A state of which the poisoned sale's row cannot be read.
struct Unreadable<'view>(&'view dyn View);

impl View for Unreadable<'_> {
    fn get(&self, key: &[u8]) -> Option<Bytes> {
        assert!(!holds(key, POISON) || key[0] != 3, "planted: unreadable row");
        self.0.get(key)
    }

    fn range(&self, start: &[u8], end: &[u8], limit: usize) -> Vec<(Bytes, Bytes)> {
        self.0.range(start, end, limit)
    }
}

fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

fn is_poison(payload: &Payload) -> bool {
    match payload {
        Payload::Ingest(record) => holds(record, POISON),
        Payload::Events(events) => events.iter().any(|event| holds(event, POISON)),
    }
}

/// A tick, or the retry of what was parked under one.
fn moves_time(payload: &Payload) -> bool {
    let Payload::Events(events) = payload else { return false };
    let passed = events.iter().filter_map(wire::attributed::passed);
    passed
        .filter_map(|bytes| wire::facts::decode(&bytes).ok())
        .any(|event| matches!(event, FactsEvent::Tick | FactsEvent::DefectRetry(_)))
}

impl<S: Service> Service for Poisoned<S> {
    type Event = S::Event;
    const NAME: &'static str = S::NAME;
    const INPUT: Topic = S::INPUT;
    const OUTPUT: Topic = S::OUTPUT;
    const LOGIC_VERSION: u32 = S::LOGIC_VERSION;
    const STATE_VERSION: u32 = S::STATE_VERSION;

    fn decide(&self, view: &dyn View, input: &Input, step: u32) -> Decided<S::Event> {
        let armed = self.armed.load(Ordering::SeqCst);
        assert!(armed != self.place || !is_poison(&input.payload), "planted in {}", S::NAME);
        if armed == TICK && self.place == COMMISSION && moves_time(&input.payload) {
            return self.inner.decide(&Unreadable(view), input, step);
        }
        self.inner.decide(view, input, step)
    }

    fn evolve(&self, tables: &mut dyn Tables, frame: &FrameMeta, events: &[S::Event]) {
        self.inner.evolve(tables, frame, events);
    }

    fn encode(&self, event: &S::Event) -> Bytes {
        self.inner.encode(event)
    }

    fn decode(&self, bytes: &Bytes) -> Result<S::Event, UnknownEvent> {
        self.inner.decode(bytes)
    }

    fn personal<'event>(&self, event: &'event mut S::Event) -> Vec<(SubjectId, &'event mut Personal)> {
        self.inner.personal(event)
    }

    fn defect(&self, input: &Input, message: &str) -> Vec<S::Event> {
        self.inner.defect(input, message)
    }

    fn retries(&self, input: &Input) -> Option<u64> {
        self.inner.retries(input)
    }

    fn names(&self, input: &Input) -> (String, String) {
        self.inner.names(input)
    }

    fn standing_outputs(&self, view: &dyn View, partition: Partition) -> Vec<SideOutput> {
        self.inner.standing_outputs(view, partition)
    }

    fn side_outputs(&self, frame: &FrameMeta, events: &[S::Event]) -> Vec<SideOutput> {
        self.inner.side_outputs(frame, events)
    }
}

/// What stops the services, and their ends.
type Running = (CancellationToken, Vec<JoinHandle<Result<(), OwnerError>>>);

/// The log with its services, and everything that was appended to `ingest`.
struct Installation {
    directory: tempfile::TempDir,
    log: Arc<dyn Log>,
    keys: Arc<FileKeyStore>,
    partition: Partition,
    armed: Arc<AtomicU8>,
    appended: usize,
    running: Option<Running>,
}

impl Installation {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log: Arc<dyn Log> =
            EmbeddedLog::open(EmbeddedOptions::new(directory.path().join("log"))).unwrap();
        let keys = Arc::new(FileKeyStore::open(&directory.path().join("keys")).unwrap());
        let partition = partition_of("prog_demo", log.partition_count());
        let armed = Arc::new(AtomicU8::new(NOTHING));
        let mut this = Self { directory, log, keys, partition, armed, appended: 0, running: None };
        this.start("first-disk");
        for object in configuration() {
            let fact =
                ConfigFact { program: "prog_demo".into(), actor: "test".into(), object, removed: false };
            this.append(&IngestRecord::Config(fact)).await;
        }
        this
    }

    /// Starts the services on the local state in `disk`.
    fn start(&mut self, disk: &str) {
        let state = StateDb::open(&self.directory.path().join(disk)).unwrap();
        let stop = CancellationToken::new();
        let partitions = self.log.partition_count();
        let tasks = vec![
            self.run(NORMALIZER, Normalizer::new(self.keys.index_key(), partitions), &state, &stop),
            self.run(ATTRIBUTION, Attribution, &state, &stop),
            self.run(COMMISSION, Commission::new(partitions), &state, &stop),
        ];
        self.running = Some((stop, tasks));
    }

    fn run<S: Service>(
        &self,
        place: u8,
        inner: S,
        state: &Arc<StateDb>,
        stop: &CancellationToken,
    ) -> JoinHandle<Result<(), OwnerError>> {
        let service = Arc::new(Poisoned { inner, place, armed: Arc::clone(&self.armed) });
        let keys = Arc::clone(&self.keys) as Arc<dyn KeyStore>;
        let (log, state) = (Arc::clone(&self.log), Arc::clone(state));
        tokio::spawn(run_service(service, OwnerOptions::default(), log, state, keys, stop.clone()))
    }

    async fn stop(&mut self) {
        let (stop, tasks) = self.running.take().unwrap();
        stop.cancel();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
    }

    async fn append(&mut self, record: &IngestRecord) -> u64 {
        let record = NewRecord { key: Bytes::new(), value: wire::ingest::encode(record) };
        let appender = self.log.appender().await.unwrap();
        let offsets = appender.append(Topic::Ingest, self.partition, vec![record]).await.unwrap();
        self.appended += 1;
        offsets[0].unwrap().0
    }

    async fn sell(&mut self, order: &str) -> (u64, RawRequest) {
        let request = sale(order);
        (self.append(&IngestRecord::Request(request.clone())).await, request)
    }

    async fn retry_parked(&mut self, service: &str, source: i64) {
        let retry = DefectRetry {
            service: service.to_owned(),
            source: u64::try_from(source).unwrap(),
            actor: "test".into(),
        };
        self.append(&IngestRecord::DefectRetry { program: "prog_demo".into(), retry }).await;
    }

    /// Waits until each record has its last frame in the last topic.
    async fn decided(&self) {
        let follow = async {
            let mut follower =
                Follower::open(&self.log, Topic::Commissions, self.partition, Cursor::START).await.unwrap();
            let mut decided = 0;
            while decided < self.appended {
                let frames = follower.next(1_000, 1 << 20).await.unwrap();
                decided += frames.iter().filter(|frame| frame.last).count();
            }
        };
        tokio::time::timeout(Duration::from_secs(60), follow).await.unwrap();
    }

    /// Projects all that is decided.
    async fn project(&self, pool: &PgPool) {
        self.decided().await;
        let mut ends = Vec::new();
        for topic in [Topic::Facts, Topic::Commissions] {
            ends.push(self.log.bounds(topic, self.partition).await.unwrap().end.0);
        }
        let (sender, mut progress) = watch::channel(Progress::default());
        let stop = CancellationToken::new();
        let (options, log) = (projector::Options::default(), Arc::clone(&self.log));
        let task = tokio::spawn(projector::run(options, log, pool.clone(), stop.clone(), sender));
        let there = progress.wait_for(|progress| {
            readmodel::batch::Followed::ALL.iter().zip(&ends).all(|(followed, end)| {
                let cursor = progress.cursors.get(&(*followed, self.partition));
                cursor.is_some_and(|cursor| cursor.offset >= *end)
            })
        });
        tokio::time::timeout(Duration::from_secs(60), there).await.unwrap().unwrap();
        stop.cancel();
        task.await.unwrap().unwrap();
    }

    /// The rows, the proof, and the rows once more from nothing.
    async fn proven(&self, database: &Database) -> verify::Report {
        let report = verify::run(Arc::clone(&self.log), &database.pool).await.unwrap();
        let before = readmodel::dump::canonical(&database.pool).await.unwrap();
        sqlx::query("DROP SCHEMA tributary CASCADE").execute(&database.pool).await.unwrap();
        readmodel::migrate(&database.pool).await.unwrap();
        self.project(&database.pool).await;
        assert_eq!(readmodel::dump::canonical(&database.pool).await.unwrap(), before);
        report
    }
}

fn configuration() -> Vec<ConfigObject> {
    vec![
        setting::program("acc_demo", "Demo"),
        ConfigObject::Rule(Rule {
            rule: "rule_demo".into(),
            version: 1,
            reward: Reward::Percent(RatePpm(200_000)),
            ..Rule::default()
        }),
        ConfigObject::Partner(Partner {
            partner: "partner_john".into(),
            name: "John".into(),
            active: true,
            ..Partner::default()
        }),
        ConfigObject::Code(Code { code: "john123".into(), partner: "partner_john".into(), active: true }),
    ]
}

/// 10.00 USD; 2.00 for the partner.
fn sale(order: &str) -> RawRequest {
    let body = format!(
        r#"{{"ref_code":"john123","program_id":"prog_demo","spent_amount":1000,"transaction_id":"{order}","currency":"USD"}}"#
    );
    RawRequest {
        program: "prog_demo".into(),
        source: "revshare".into(),
        body: Bytes::from(body),
        headers: Vec::new(),
        query: String::new(),
        authenticated_by: "test".into(),
        received_at: Micros(1_800_000_000_000_000),
        reply_to: None,
        trace: None,
        resource: String::new(),
        publishable: false,
    }
}

#[derive(Debug, PartialEq, Eq, sqlx::FromRow)]
struct InQuarantine {
    service: String,
    reason: String,
    program_id: Option<String>,
    has_event: bool,
    position: i64,
    attempts: i64,
    item: String,
}

async fn quarantine(pool: &PgPool) -> Vec<InQuarantine> {
    sqlx::query_as(
        "SELECT service, reason, program_id, event_id IS NOT NULL AS has_event, position, attempts, item
         FROM tributary.quarantine ORDER BY service, position, item",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

async fn sold(pool: &PgPool) -> Vec<String> {
    let sales = "SELECT external_id FROM tributary.sales ORDER BY external_id";
    sqlx::query_scalar(sales).fetch_all(pool).await.unwrap()
}

/// (accepted, applied, quarantined, resolved).
fn counts(report: &verify::Report) -> (u64, u64, u64, u64) {
    assert!(report.ok, "{report:?}");
    let verdicts = &report.verdicts;
    (report.accepted, verdicts.applied, verdicts.quarantined, verdicts.resolved)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defect_in_any_service_parks_one_sale_and_a_retry_by_a_mended_version_brings_its_money() {
    for (place, service) in
        [(NORMALIZER, "normalizer"), (ATTRIBUTION, "attribution"), (COMMISSION, "commission")]
    {
        let database = Database::new().await;
        let mut installation = Installation::new().await;
        installation.armed.store(place, Ordering::SeqCst);
        installation.sell("order_1").await;
        let (position, request) = installation.sell("order_poison").await;
        installation.sell("order_2").await;
        installation.project(&database.pool).await;

        let parked = quarantine(&database.pool).await;
        assert_eq!(parked.len(), 1, "{service}: {parked:?}");
        assert_eq!((parked[0].service.as_str(), parked[0].reason.as_str()), (service, "defect"));
        assert_eq!((parked[0].program_id.as_deref(), parked[0].has_event), (Some("prog_demo"), true));
        assert_eq!(parked[0].attempts, 1);
        assert_eq!(sold(&database.pool).await, ["order_1", "order_2"]);
        let in_normalizer = place == NORMALIZER;
        let expected = if in_normalizer { (3, 2, 1, 0) } else { (3, 3, 0, 0) };
        assert_eq!(counts(&installation.proven(&database).await), expected);

        // Tried again by the version that has the defect: it stays, and nobody else notices.
        let place_of_it = parked[0].position;
        let retry = IngestRecord::Retry { of_position: position, request, actor: "test".into() };
        if in_normalizer {
            installation.append(&retry).await;
        } else {
            installation.retry_parked(service, place_of_it).await;
        }
        installation.sell("order_3").await;
        installation.project(&database.pool).await;
        let parked = quarantine(&database.pool).await;
        assert_eq!((parked.len(), parked[0].position, parked[0].attempts), (1, place_of_it, 2), "{service}");

        // On a new disk, by a mended version: what was kept is in the log.
        installation.stop().await;
        installation.armed.store(NOTHING, Ordering::SeqCst);
        installation.start("second-disk");
        for _ in 0..2 {
            // Named once more than needed: the second one finds nothing parked, and passes.
            if in_normalizer {
                installation.append(&retry).await;
            } else {
                installation.retry_parked(service, place_of_it).await;
            }
        }
        installation.project(&database.pool).await;
        assert_eq!(quarantine(&database.pool).await, [], "{service}");
        assert_eq!(sold(&database.pool).await, ["order_1", "order_2", "order_3", "order_poison"]);
        let expected = if in_normalizer { (4, 4, 1, 1) } else { (4, 4, 0, 0) };
        assert_eq!(counts(&installation.proven(&database).await), expected, "{service}");
        let pending: i64 = sqlx::query_scalar("SELECT pending + available FROM tributary.balances")
            .fetch_one(&database.pool)
            .await
            .unwrap();
        assert_eq!(pending, 800);
        installation.stop().await;
        database.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defect_under_a_tick_parks_one_due_commission_and_approves_the_others() {
    let approved = async |pool: &PgPool| -> Vec<String> {
        sqlx::query_scalar(
            "SELECT external_id FROM tributary.commissions WHERE status = 'approved' ORDER BY external_id",
        )
        .fetch_all(pool)
        .await
        .unwrap()
    };
    let database = Database::new().await;
    let mut installation = Installation::new().await;
    for order in ["order_1", "order_poison", "order_2"] {
        installation.sell(order).await;
    }
    installation.decided().await;
    installation.armed.store(TICK, Ordering::SeqCst);
    installation.append(&IngestRecord::Tick).await;
    installation.project(&database.pool).await;
    assert_eq!(approved(&database.pool).await, ["order_1", "order_2"]);
    let parked = quarantine(&database.pool).await;
    let first = &parked[0];
    assert_eq!((parked.len(), first.service.as_str(), first.attempts), (1, "commission", 1), "{parked:?}");
    assert_eq!(
        (first.item.as_str(), first.program_id.as_deref()),
        ("revshare order_poison", Some("prog_demo"))
    );

    // It waits: later ticks do not meet it again. A retry does, and a mended version approves it.
    installation.sell("order_3").await;
    installation.append(&IngestRecord::Tick).await;
    installation.retry_parked("commission", first.position).await;
    installation.project(&database.pool).await;
    assert_eq!(approved(&database.pool).await, ["order_1", "order_2", "order_3"]);
    assert_eq!(quarantine(&database.pool).await[0].attempts, 2);
    installation.stop().await;
    installation.armed.store(NOTHING, Ordering::SeqCst);
    installation.start("second-disk");
    installation.retry_parked("commission", first.position).await;
    installation.project(&database.pool).await;
    assert_eq!(approved(&database.pool).await, ["order_1", "order_2", "order_3", "order_poison"]);
    assert_eq!(quarantine(&database.pool).await, []);
    assert_eq!(counts(&installation.proven(&database).await), (4, 4, 0, 0));
    installation.stop().await;
    database.stop().await;
}

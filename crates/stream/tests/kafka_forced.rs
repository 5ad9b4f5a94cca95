//! The interleavings that the protocol answers, made by a network that fails on purpose: real owners, a real broker, and between
//! them a proxy that delays, loses or changes single requests and answers. `docs/reference/faults.md` lists which case is forced how.
#![allow(clippy::unwrap_used)]
use async_trait::async_trait;
use bytes::Bytes;
use domain::tables::{Tables, View, put_row, row};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use std::sync::Arc;
use std::time::Duration;
use stream::cursor::Cursor;
use stream::judge::{Judge, Judged, Void};
use stream::kafka::{KafkaLog, KafkaOptions};
use stream::keys_file::FileKeyStore;
use stream::log::{Appender, Bounds, Log, LogError, NewRecord, Offset, Partition, Reader, Record, Topic};
use stream::owner::{OwnerError, OwnerOptions, run_service};
use stream::service::{Decided, FrameMeta, Input, Payload, Service, UnknownEvent};
use stream::store::StateDb;
use testkit::kafka::KafkaBroker;
use testkit::proxy::{Fate, Proxy};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const P0: Partition = Partition(0);
const LIMIT: Duration = Duration::from_secs(60);
/// Kafka's code for a batch that the broker has already: the client counts it as delivered, at an unknown offset.
const DUPLICATE_SEQUENCE_NUMBER: i16 = 46;

/// Numbers its inputs: the number is state, so a lost, doubled or foreign decision shows in the output.
#[derive(Debug)]
struct Counting;

const COUNT: &[u8] = b"c";

impl Service for Counting {
    type Event = Bytes;
    const NAME: &'static str = "counting";
    const INPUT: Topic = Topic::Ingest;
    const OUTPUT: Topic = Topic::Facts;
    const LOGIC_VERSION: u32 = 1;
    const STATE_VERSION: u32 = 1;

    fn decide(&self, view: &dyn View, input: &Input, _: u32) -> Decided<Bytes> {
        let Payload::Ingest(body) = &input.payload else { unreachable!("its input is ingest") };
        let count: u64 = row(view, COUNT).unwrap_or(0);
        let event = format!("{}:{}", count + 1, String::from_utf8_lossy(body));
        Decided::Frame { events: vec![Bytes::from(event)], more: false }
    }

    fn evolve(&self, tables: &mut dyn Tables, _: &FrameMeta, events: &[Bytes]) {
        let count: u64 = row(tables, COUNT).unwrap_or(0);
        put_row(tables, COUNT, &(count + events.len() as u64));
    }

    fn encode(&self, event: &Bytes) -> Bytes {
        event.clone()
    }

    fn decode(&self, bytes: &Bytes) -> Result<Bytes, UnknownEvent> {
        Ok(bytes.clone())
    }
}

/// The log, on which everybody has every partition: two owners of one partition are what is tested here.
#[derive(Debug)]
struct Shared(Arc<KafkaLog>);

#[async_trait]
impl Log for Shared {
    fn partition_count(&self) -> u32 {
        self.0.partition_count()
    }
    async fn appender(&self) -> Result<Arc<dyn Appender>, LogError> {
        self.0.appender().await
    }
    async fn reader(&self, topic: Topic, at: Partition, from: Offset) -> Result<Box<dyn Reader>, LogError> {
        self.0.reader(topic, at, from).await
    }
    async fn bounds(&self, topic: Topic, at: Partition) -> Result<Bounds, LogError> {
        self.0.bounds(topic, at).await
    }
    async fn record_at(
        &self,
        topic: Topic,
        at: Partition,
        offset: Offset,
    ) -> Result<Option<Record>, LogError> {
        self.0.record_at(topic, at, offset).await
    }
    async fn check(&self) -> Result<(), LogError> {
        self.0.check().await
    }
    fn active(&self) -> watch::Receiver<Vec<Partition>> {
        self.0.active()
    }
}

/// A broker behind a proxy, with topics of its own.
struct Place {
    proxy: Proxy,
    _broker: KafkaBroker,
    options: KafkaOptions,
    /// For the test's own looks at the topics.
    log: Arc<KafkaLog>,
    directory: tempfile::TempDir,
}

/// An owner in this process, as a process of its own would be: its own clients, its own store.
struct Owner {
    stop: CancellationToken,
    task: JoinHandle<Result<(), OwnerError>>,
}

impl Owner {
    async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(LIMIT, self.task).await.unwrap().unwrap().unwrap();
    }
}

/// What a record is to a reader, and what it says.
type Word = (&'static str, Vec<String>);

impl Place {
    async fn new() -> Self {
        let proxy = Proxy::listen().await.unwrap();
        let announced = format!("advertised.listeners=PLAINTEXT://{}", proxy.address());
        let broker = tokio::task::spawn_blocking(move || KafkaBroker::start_with(&announced));
        let broker = broker.await.unwrap().unwrap();
        proxy.lead_to(broker.bootstrap());
        let options = broker.options(1);
        let log = KafkaLog::connect(options.clone()).await.unwrap();
        Self { proxy, _broker: broker, options, log, directory: tempfile::tempdir().unwrap() }
    }

    /// Topics that no case before has written to.
    async fn afresh(&mut self, case: &str) {
        self.options.topic_prefix = format!("{case}.");
        self.log = KafkaLog::connect(self.options.clone()).await.unwrap();
        self.log.ensure_topics().await.unwrap();
    }

    /// As another process would have it.
    async fn log(&self, client: &str) -> Arc<KafkaLog> {
        let mut options = self.options.clone();
        options.client.insert("client.id".to_owned(), client.to_owned());
        KafkaLog::connect(options).await.unwrap()
    }

    async fn owner(&self, name: &str) -> Owner {
        self.owner_that_waits(name, Duration::from_secs(30)).await
    }

    /// An owner that waits so long for an acknowledgement.
    async fn owner_that_waits(&self, name: &str, append_deadline: Duration) -> Owner {
        let mut settings = self.options.clone();
        settings.append_deadline = append_deadline;
        settings.client.insert("client.id".to_owned(), name.to_owned());
        let log = KafkaLog::connect(settings).await.unwrap();
        let place = self.directory.path().join(format!("{}{name}", self.options.topic_prefix));
        let state = StateDb::open(&place.join("state")).unwrap();
        let keys = Arc::new(FileKeyStore::open(&place.join("keys")).unwrap());
        let options = OwnerOptions { append_deadline, ..OwnerOptions::default() };
        let stop = CancellationToken::new();
        let log = Arc::new(Shared(log));
        let run = run_service(Arc::new(Counting), options, log, state, keys, stop.clone());
        Owner { stop, task: tokio::spawn(run) }
    }

    async fn ingest(&self, numbers: std::ops::Range<u32>) {
        let records = numbers
            .map(|number| NewRecord { key: Bytes::new(), value: Bytes::from(format!("input-{number}")) })
            .collect();
        self.log.appender().await.unwrap().append(Topic::Ingest, P0, records).await.unwrap();
    }

    async fn records(&self) -> Vec<Record> {
        let end = self.log.bounds(Topic::Facts, P0).await.unwrap().end;
        let mut reader = self.log.reader(Topic::Facts, P0, Offset(0)).await.unwrap();
        let mut records = Vec::new();
        while records.len() < usize::try_from(end.0).unwrap() {
            records.extend(reader.next(1_000, usize::MAX).await.unwrap());
        }
        records
    }

    /// What each record of the output is now.
    async fn words(&self) -> Vec<Word> {
        let mut judge = Judge::new(Cursor::START);
        let mut words = Vec::new();
        for record in self.records().await {
            words.push(match judge.judge(&record).unwrap() {
                Judged::Fence => ("fence", Vec::new()),
                Judged::Void(void) => (void.name(), Vec::new()),
                Judged::Frame(frame) => {
                    let texts = frame.events.iter().map(|event| String::from_utf8_lossy(event).into_owned());
                    ("frame", texts.collect())
                }
            });
        }
        words
    }

    /// Waits until the accepted frames are those of the inputs below `count`, each once and in order.
    async fn decided(&self, count: u32) -> Vec<Word> {
        let wanted: Vec<_> = (0..count).map(|number| format!("{}:input-{number}", number + 1)).collect();
        let decided = async {
            loop {
                let words = self.words().await;
                let texts: Vec<_> = words.iter().flat_map(|(_, texts)| texts.clone()).collect();
                assert!(wanted.starts_with(&texts), "{texts:?}");
                if texts.len() == wanted.len() {
                    return words;
                }
            }
        };
        tokio::time::timeout(LIMIT, decided).await.expect("all decided in time")
    }

    /// Waits until some record of the output is `word`.
    async fn until(&self, word: &str) -> Vec<Word> {
        let found = async {
            loop {
                let words = self.words().await;
                if count(&words, word) > 0 {
                    return words;
                }
            }
        };
        tokio::time::timeout(LIMIT, found).await.unwrap_or_else(|_| panic!("no {word}"))
    }

    /// A producer without the client's protection against disorder and repetition, as another program would use it.
    fn careless(&self, settings: &[(&str, &str)]) -> FutureProducer {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.options.brokers)
            .set("client.id", "careless")
            .set("linger.ms", "0")
            .set("retry.backoff.ms", "20");
        for (name, value) in settings {
            config.set(*name, *value);
        }
        config.create().unwrap()
    }

    async fn send(&self, producer: &FutureProducer, value: &[u8]) -> bool {
        let topic = self.options.topic_name(Topic::Facts);
        let record: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(&topic).partition(0).payload(value);
        producer.send(record, Timeout::After(LIMIT)).await.is_ok()
    }

    /// The values of the frames that are in the output, to be written somewhere else.
    async fn raw_values(&self) -> Vec<Bytes> {
        self.records().await.into_iter().map(|record| record.value).collect()
    }
}

fn count(words: &[Word], word: &str) -> usize {
    words.iter().filter(|(found, _)| *found == word).count()
}

/// One broker for all cases, one after the other: it takes longer to start than they take.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_network_can_do_to_appends_changes_no_decision() {
    let mut place = Place::new().await;
    place.afresh("late").await;
    a_frame_that_arrives_after_the_next_owners_fence_is_void(&place).await;
    place.afresh("unanswered").await;
    a_frame_that_landed_without_an_answer_counts_once(&place).await;
    place.afresh("offsetless").await;
    acknowledgements_without_offsets_are_enough(&place).await;
    place.afresh("tail").await;
    a_frame_between_the_takers_look_at_the_tail_and_its_fence_is_its_own(&place).await;
    place.afresh("again").await;
    a_request_whose_answer_is_lost_is_not_appended_again(&place).await;
    place.afresh("order").await;
    a_lost_request_leaves_no_hole(&place).await;
    // The last one's frames are what careless producers write in the next two.
    let values = place.raw_values().await;
    place.afresh("doubled").await;
    a_careless_producers_repetition_is_void(&place, &values).await;
    place.afresh("hole").await;
    a_careless_producers_hole_is_void_until_it_is_filled(&place, &values).await;
}

async fn a_frame_that_arrives_after_the_next_owners_fence_is_void(place: &Place) {
    let old = place.owner("late-old").await;
    place.ingest(0..3).await;
    place.decided(3).await;
    let held = place.proxy.on_produce("late-old", Fate::Late, usize::MAX);
    place.ingest(3..6).await;
    held.met(1).await;
    let next = place.owner("late-next").await;
    place.decided(6).await;
    assert_eq!(count(&place.words().await, Void::NotOwner.name()), 0, "it is still under way");
    next.end().await;
    held.lift();
    let words = place.until(Void::NotOwner.name()).await;
    println!("late: {:?}", words.iter().map(|(word, _)| *word).collect::<Vec<_>>());
    // The old owner has lost, takes again and goes on where the other one stopped.
    place.ingest(6..9).await;
    place.decided(9).await;
    old.end().await;
}

async fn a_frame_that_landed_without_an_answer_counts_once(place: &Place) {
    let owner = place.owner_that_waits("unanswered", Duration::from_secs(2)).await;
    place.ingest(0..3).await;
    place.decided(3).await;
    let mute = place.proxy.on_produce("unanswered", Fate::AnswerLost, usize::MAX);
    // One input: its owner decides no other before it knows of this one.
    place.ingest(3..4).await;
    // It is there although its owner was told nothing, and the owner gives up: the next fence is its own.
    let fences = count(&place.decided(4).await, "fence");
    let given_up = async { while count(&place.words().await, "fence") == fences {} };
    tokio::time::timeout(LIMIT, given_up).await.expect("it takes the partition again");
    mute.lift();
    place.ingest(4..9).await;
    place.decided(9).await;
    owner.end().await;
}

async fn acknowledgements_without_offsets_are_enough(place: &Place) {
    let forged = Fate::Answered(DUPLICATE_SEQUENCE_NUMBER);
    let offsetless = place.proxy.on_produce("offsetless", forged, usize::MAX);
    // The answer is what the log makes of it: acknowledged, at no known offset.
    let log = place.log("offsetless").await;
    let record = NewRecord { key: Bytes::new(), value: Bytes::from_static(b"rubbish") };
    let appended = log.appender().await.unwrap().append(Topic::Facts, P0, vec![record]).await.unwrap();
    assert_eq!(appended, [None]);
    let owner = place.owner("offsetless").await;
    place.ingest(0..3).await;
    place.decided(3).await;
    place.ingest(3..6).await;
    let words = place.decided(6).await;
    assert!(offsetless.count() >= 4, "the fence too: {}", offsetless.count());
    assert_eq!(count(&words, Void::NotOwner.name()), 0, "{words:?}");
    offsetless.lift();
    owner.end().await;
}

async fn a_frame_between_the_takers_look_at_the_tail_and_its_fence_is_its_own(place: &Place) {
    let old = place.owner("tail-old").await;
    place.ingest(0..3).await;
    place.decided(3).await;
    // The taker has read to the end, and its fence is under way.
    let fence = place.proxy.on_produce("tail-taker", Fate::Late, usize::MAX);
    let taker = place.owner("tail-taker").await;
    fence.met(1).await;
    place.ingest(3..6).await;
    let before = place.decided(6).await;
    assert_eq!(count(&before, "fence"), 1);
    old.end().await;
    fence.lift();
    place.ingest(6..9).await;
    let words = place.decided(9).await;
    assert_eq!((count(&words, "fence"), count(&words, Void::Repeated.name())), (2, 0), "{words:?}");
    taker.end().await;
}

async fn a_request_whose_answer_is_lost_is_not_appended_again(place: &Place) {
    let log = place.log("again").await;
    let appender = log.appender().await.unwrap();
    let new = |value: &'static str| vec![NewRecord { key: Bytes::new(), value: Bytes::from(value) }];
    assert_eq!(appender.append(Topic::Facts, P0, new("a")).await.unwrap(), [Some(Offset(0))]);
    let mute = place.proxy.on_produce("again", Fate::AnswerLost, 1);
    // The client asks again in the same session; the broker knows the batch and tells where it is.
    assert_eq!(appender.append(Topic::Facts, P0, new("b")).await.unwrap(), [Some(Offset(1))]);
    assert_eq!(mute.count(), 1);
    assert_eq!(appender.append(Topic::Facts, P0, new("c")).await.unwrap(), [Some(Offset(2))]);
    assert_eq!(place.raw_values().await, ["a", "b", "c"]);
}

async fn a_lost_request_leaves_no_hole(place: &Place) {
    let owner = place.owner("order").await;
    place.ingest(0..1).await;
    place.decided(1).await;
    let lossy = place.proxy.on_produce("order", Fate::Lost, 3);
    for number in 1..8 {
        place.ingest(number..number + 1).await;
    }
    let words = place.decided(8).await;
    assert_eq!(lossy.count(), 3);
    assert_eq!((count(&words, "fence"), count(&words, "frame")), (1, 8), "the client sent again: {words:?}");
    owner.end().await;
}

async fn a_careless_producers_repetition_is_void(place: &Place, values: &[Bytes]) {
    let producer = place.careless(&[("enable.idempotence", "false"), ("acks", "all"), ("retries", "5")]);
    assert!(place.send(&producer, &values[0]).await);
    let mute = place.proxy.on_produce("careless", Fate::AnswerLost, 1);
    assert!(place.send(&producer, &values[1]).await);
    assert_eq!(mute.count(), 1);
    assert!(place.send(&producer, &values[2]).await);
    let words: Vec<_> = place.words().await.into_iter().map(|(word, _)| word).collect();
    assert_eq!(words, ["fence", "frame", Void::Repeated.name(), "frame"]);
}

async fn a_careless_producers_hole_is_void_until_it_is_filled(place: &Place, values: &[Bytes]) {
    let producer = place.careless(&[("enable.idempotence", "false"), ("acks", "all"), ("retries", "0")]);
    for value in &values[..2] {
        assert!(place.send(&producer, value).await);
    }
    let lossy = place.proxy.on_produce("careless", Fate::Lost, 1);
    assert!(!place.send(&producer, &values[2]).await, "nobody sends it again");
    assert_eq!(lossy.count(), 1);
    for value in [&values[3], &values[2]] {
        assert!(place.send(&producer, value).await);
    }
    let words: Vec<_> = place.words().await.into_iter().map(|(word, _)| word).collect();
    assert_eq!(words, ["fence", "frame", Void::Hole.name(), "frame"]);
}

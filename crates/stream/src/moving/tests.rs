//! Export and import, on embedded logs. Kafka: `tests/e2e/moving.rs`.
#![allow(clippy::unwrap_used)]
use super::archive::{Manifest, Reader, Section, Writer};
use super::import::check_all;
use super::{ExportOptions, Imported, MoveError, check, export, into_embedded};
use crate::base::Base;
use crate::embedded::{EmbeddedLog, EmbeddedOptions, Environment, open_read_only};
use crate::log::{Log, NewRecord, Offset, Partition, Record, Topic};
use bytes::Bytes;
use domain::ids::Hash;
use domain::time::Micros;
use prost::Message as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use wire::envelope::{self, Envelope, Kind};
use wire::ingest::IngestRecord;
use wire::v1::{FenceContent, FrameContent, GatewayConfigRecord};

const PARTITIONS: u32 = 3;
const P: Partition = Partition(1);
const SECOND: i64 = 1_000_000;

/// A clock that only the test moves.
#[derive(Debug)]
struct Clock(AtomicI64);

impl Environment for Clock {
    fn now(&self) -> Micros {
        Micros(self.0.load(Ordering::Relaxed))
    }
}

/// A log with a made-up history: what matters here is how records hang together.
struct History {
    dir: tempfile::TempDir,
    log: Arc<EmbeddedLog>,
    clock: Arc<Clock>,
    /// Its `ingest` begins with a base record, so that position n is at offset n + 1.
    based: bool,
}

impl History {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(Clock(AtomicI64::new(1_000 * SECOND)));
        let mut options = EmbeddedOptions::new(dir.path().join("log"));
        options.partitions = PARTITIONS;
        options.ingest_retention = Duration::from_secs(100);
        options.environment = Arc::clone(&clock) as Arc<dyn Environment>;
        Self { log: EmbeddedLog::open(options).unwrap(), dir, clock, based: false }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn pass(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds * SECOND, Ordering::Relaxed);
    }

    async fn append(&self, topic: Topic, key: &'static str, value: Bytes) {
        let record = NewRecord { key: Bytes::from_static(key.as_bytes()), value };
        self.log.appender().await.unwrap().append(topic, P, vec![record]).await.unwrap();
    }

    /// An event, which nobody can read, or a tick.
    async fn ingest(&self, what: &'static str) {
        let value = match what {
            "tick" => wire::ingest::encode(&IngestRecord::Tick),
            what => Bytes::from_static(what.as_bytes()),
        };
        self.append(Topic::Ingest, "prog_1", value).await;
    }

    /// A fence and one frame for each of `sources`, behind `before`.
    async fn frames(&self, topic: Topic, epoch: u64, before: (u64, Hash), sources: &[u64]) -> (u64, Hash) {
        let envelope = |kind, input_offset| Envelope {
            kind,
            epoch,
            writer: [7; 16],
            input_offset,
            input_epoch: 0,
            input_writer: [0; 16],
            trace: None,
        };
        let fence = FenceContent { logic_version: 1, service: "made up".to_owned() };
        self.append(topic, "", envelope::encode(&envelope(Kind::Fence, 0), &fence.encode_to_vec())).await;
        let (mut seq, mut head) = before;
        for source in sources.iter().copied() {
            seq += 1;
            let content = FrameContent {
                seq,
                source,
                last: true,
                source_head: Bytes::from(vec![0; 32]),
                prev_head: Bytes::copy_from_slice(&head.0),
                ..FrameContent::default()
            };
            let content = content.encode_to_vec();
            head = Hash::of(&content);
            let offset = source + u64::from(self.based);
            self.append(topic, "", envelope::encode(&envelope(Kind::Frame, offset), &content)).await;
        }
        (seq, head)
    }

    async fn gateway(&self, key: &'static str, version: u64) {
        let record = GatewayConfigRecord { key: key.to_owned(), version, ..Default::default() };
        self.append(Topic::GatewayConfig, key, record.encode_to_vec().into()).await;
    }

    /// Five events and a tick, worked off to the end; a void fence; a key that was written late once more.
    async fn worked_off() -> Self {
        let history = Self::new();
        for event in ["one", "two", "tick", "three", "tick", "four", "five", "tick"] {
            history.ingest(event).await;
            history.pass(10);
        }
        let start = (0, Hash::ZERO);
        let facts = history.frames(Topic::Facts, 1, start, &[0, 1, 3]).await;
        history.frames(Topic::Facts, 1, start, &[]).await;
        history.frames(Topic::Facts, 2, facts, &[5, 6]).await;
        history.frames(Topic::Attributed, 1, start, &[1, 2, 3, 4, 5]).await;
        history.frames(Topic::Commissions, 1, start, &[1, 2, 3, 4, 5]).await;
        for (key, version) in [("a", 2), ("b", 3), ("a", 4), ("a", 2)] {
            history.gateway(key, version).await;
        }
        history
    }

    async fn export(&self) -> Result<(PathBuf, Manifest), MoveError> {
        self.export_with(false).await
    }

    async fn export_with(&self, backup: bool) -> Result<(PathBuf, Manifest), MoveError> {
        export_to(self.log.as_ref(), &self.path("archive"), backup).await
    }
}

async fn export_to(log: &dyn Log, path: &Path, backup: bool) -> Result<(PathBuf, Manifest), MoveError> {
    let options = ExportOptions { backup, wait: Duration::ZERO, now: Micros(5) };
    let exported = export(log, Vec::new(), options, &mut |_| {}).await?;
    std::fs::write(path, exported.out).unwrap();
    Ok((path.to_owned(), exported.manifest))
}

async fn records(log: &dyn Log, topic: Topic, partition: Partition) -> Vec<Record> {
    let bounds = log.bounds(topic, partition).await.unwrap();
    let mut records = Vec::new();
    if bounds.end > bounds.start {
        let mut reader = log.reader(topic, partition, bounds.start).await.unwrap();
        while records.last().is_none_or(|last: &Record| last.offset.next() < bounds.end) {
            records.extend(reader.next(1_000, 1 << 20).await.unwrap());
        }
    }
    records
}

async fn import(dir: &Path, partitions: u32, archive: &Path) -> Result<Imported, MoveError> {
    into_embedded(dir, partitions, archive, &mut |_| {}).await
}

#[tokio::test]
async fn a_restored_log_has_every_record_where_and_when_it_was() {
    let history = History::worked_off().await;
    let (archive, manifest) = history.export().await.unwrap();
    assert!(manifest.drained);
    let chain = manifest.sections.iter().find(|sums| sums.topic == "facts.v1").unwrap();
    assert_eq!((chain.records, chain.seq), (8, 5), "three fences, one of them void, and five frames");

    let restored = history.path("restored/log");
    std::fs::create_dir(restored.parent().unwrap()).unwrap();
    let imported = import(&restored, PARTITIONS, &archive).await.unwrap();
    assert_eq!((imported.manifest, imported.bases), (manifest.clone(), 0), "position 0 is offset 0");
    let log = open_read_only(&restored).await.unwrap();
    for topic in [Topic::Ingest, Topic::Facts, Topic::Attributed, Topic::Commissions] {
        for partition in (0..PARTITIONS).map(Partition) {
            let was = records(history.log.as_ref(), topic, partition).await;
            assert_eq!(records(log.as_ref(), topic, partition).await, was, "{topic:?} {partition:?}");
        }
    }
    let config = records(log.as_ref(), Topic::GatewayConfig, P).await;
    let versions: Vec<_> = config
        .iter()
        .map(|record| GatewayConfigRecord::decode(record.value.clone()).unwrap())
        .map(|record| (record.key, record.version))
        .collect();
    assert_eq!(versions, [("a".to_owned(), 4), ("b".to_owned(), 3)], "the highest version, not the latest");

    // What was restored is exported as the same archive, but for gateway-config, which was thinned out.
    let (_, again) = export_to(log.as_ref(), &history.path("again"), false).await.unwrap();
    assert_eq!(again.sections, manifest.sections);
    let refused = import(&restored, PARTITIONS, &archive).await;
    drop(log);
    assert!(matches!(refused, Err(MoveError::Log(_) | MoveError::NotEmpty { .. })), "{refused:?}");
    let refused = import(&restored, PARTITIONS, &archive).await;
    assert!(
        matches!(&refused, Err(MoveError::NotEmpty { place, .. }) if place.contains("partition 1")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn positions_go_on_where_the_beginning_of_ingest_has_expired() {
    let history = History::worked_off().await;
    // Records 0 to 3 are older than a hundred seconds now.
    history.pass(60);
    history.log.trim().await;
    let start = history.log.bounds(Topic::Ingest, P).await.unwrap().start;
    assert_eq!(start, Offset(4));
    let (archive, manifest) = history.export().await.unwrap();
    let ingest = manifest.sections.iter().find(|sums| sums.topic == "ingest.v1").unwrap();
    assert_eq!((ingest.first, ingest.records), (4, 4));

    let restored = history.path("restored");
    assert_eq!(import(&restored, PARTITIONS, &archive).await.unwrap().bases, 1);
    let log = open_read_only(&restored).await.unwrap();
    let base = Base::of(log.as_ref(), P).await.unwrap();
    assert_eq!((base.first(), base.position(Offset(8))), (Offset(4), Some(8)));
    let was = records(history.log.as_ref(), Topic::Ingest, P).await;
    assert_eq!(records(log.as_ref(), Topic::Ingest, P).await[1..], was[..]);
    let (_, again) = export_to(log.as_ref(), &history.path("again"), false).await.unwrap();
    assert_eq!(again.sections, manifest.sections);

    // All of it expired: only the position is left, and goes along.
    history.pass(1_000);
    history.log.trim().await;
    let (archive, _) = export_to(history.log.as_ref(), &history.path("late"), false).await.unwrap();
    let restored = history.path("restored late");
    import(&restored, PARTITIONS, &archive).await.unwrap();
    let log = open_read_only(&restored).await.unwrap();
    let base = Base::of(log.as_ref(), P).await.unwrap();
    assert_eq!((base.first(), base.position(base.first())), (Offset(8), Some(8)));
}

#[tokio::test]
async fn a_base_record_that_has_expired_is_not_missed() {
    let mut history = History::new();
    history.based = true;
    let base = IngestRecord::Base { first_position: 0, end_position: 2 };
    history.append(Topic::Ingest, "", wire::ingest::encode(&base)).await;
    for event in ["one", "two", "three"] {
        history.ingest(event).await;
        history.pass(60);
    }
    history.frames(Topic::Facts, 1, (0, Hash::ZERO), &[0, 1, 2]).await;
    let before = Base::of(history.log.as_ref(), P).await.unwrap();
    assert_eq!((before.first(), before.position(Offset(3))), (Offset(1), Some(2)));
    history.log.trim().await;
    let after = Base::of(history.log.as_ref(), P).await.unwrap();
    assert!(after.first() > Offset(0), "the base record has expired");
    assert_eq!((after.position(Offset(3)), after.offset(2)), (Some(2), Some(Offset(3))));
}

#[tokio::test]
async fn what_is_not_worked_off_is_named_and_a_backup_takes_it_as_it_is() {
    let history = History::worked_off().await;
    history.ingest("six").await;
    history.ingest("tick").await;
    history.ingest("seven").await;
    let refused = history.export().await;
    let Err(MoveError::NotDrained(behind)) = &refused else { unreachable!("{refused:?}") };
    assert_eq!((behind[0].service, behind[0].partition, behind[0].inputs), ("normalizer", 1, 2));
    assert!(
        refused.unwrap_err().to_string().contains("the normalizer has 2 inputs of partition 1 before it")
    );
    let facts = (5, last_head(&history, Topic::Facts).await);
    history.frames(Topic::Facts, 3, facts, &[8, 10]).await;
    let Err(MoveError::NotDrained(behind)) = history.export().await else { unreachable!() };
    assert_eq!((behind[0].service, behind[0].inputs, behind.len()), ("attribution", 2, 1));

    let (archive, manifest) = history.export_with(true).await.unwrap();
    assert!(!manifest.drained);
    assert_eq!(check(&archive, usize::MAX, &mut |_| {}).unwrap(), (PARTITIONS, manifest));
}

async fn last_head(history: &History, topic: Topic) -> Hash {
    let last = records(history.log.as_ref(), topic, P).await.pop().unwrap();
    Hash::of(&envelope::decode(&last.value).unwrap().1)
}

#[tokio::test]
async fn no_byte_of_an_archive_can_change_or_be_missing_and_nothing_is_imported_from_it() {
    let history = History::worked_off().await;
    let (archive, _) = history.export().await.unwrap();
    let bytes = std::fs::read(&archive).unwrap();
    let damaged = history.path("damaged");
    let refused = |bytes: &[u8]| {
        let checked = Reader::new(bytes).and_then(|archive| check_all(archive, usize::MAX, &mut |_| {}));
        checked.unwrap_err()
    };
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let error = refused(&changed);
        assert!(matches!(error, MoveError::Damaged { .. } | MoveError::Foreign(_)), "byte {at}: {error}");
    }
    for length in (0..bytes.len()).step_by(7) {
        let error = refused(&bytes[..length]);
        assert!(matches!(error, MoveError::Damaged { .. } | MoveError::Foreign(_)), "{length}: {error}");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(refused(&longer).to_string().contains("something follows"));

    let mut changed = bytes;
    let event = changed.windows(5).position(|window| window == b"three").unwrap();
    changed[event] ^= 1;
    std::fs::write(&damaged, &changed).unwrap();
    let target = history.path("never");
    let error = import(&target, PARTITIONS, &damaged).await.unwrap_err().to_string();
    assert!(
        error.contains("byte ") && error.contains("partition 1") && error.contains("checksum"),
        "{error}"
    );
    assert!(!target.exists());
}

#[tokio::test]
async fn a_history_that_was_changed_with_its_checksums_and_another_partition_count_are_refused() {
    let history = History::worked_off().await;
    let (archive, _) = history.export().await.unwrap();
    // A frame that does not follow from the one before it, by the current owner: whoever writes checksums can write that.
    let genuine = records(history.log.as_ref(), Topic::Commissions, P).await;
    let mut forged = Writer::new(Vec::new(), PARTITIONS, Micros(5)).unwrap();
    forged.begin(Section { topic: Topic::Commissions, partition: P, first: 0 }).unwrap();
    for record in genuine.iter().take(2).chain(genuine.iter().skip(3).take(1)) {
        let mut value = record.value.to_vec();
        if record.offset == Offset(3) {
            // Frame 3 as frame 2: its head before it is another.
            let (envelope, content) = envelope::decode(&record.value).unwrap();
            let content = FrameContent { seq: 2, ..FrameContent::decode(content).unwrap() };
            value = envelope::encode(&envelope, &content.encode_to_vec()).to_vec();
        }
        forged.record(record.appended_at, &record.key, &value).unwrap();
    }
    forged.end(Some((2, Hash([9; 32])))).unwrap();
    let (bytes, _) = forged.finish(true).unwrap();
    let path = history.path("forged");
    std::fs::write(&path, bytes).unwrap();
    let error = import(&history.path("never"), PARTITIONS, &path).await.unwrap_err().to_string();
    assert!(error.contains("commissions.v1 partition 1: two histories at offset 2"), "{error}");

    let error = import(&history.path("two"), 2, &archive).await.unwrap_err().to_string();
    assert!(
        error.contains("3 partitions and the target 2") && error.contains("log.partitions = 3"),
        "{error}"
    );
    let error = check(&archive, 10, &mut |_| {}).unwrap_err();
    assert!(matches!(error, MoveError::TooLarge { most: 10, .. }), "{error}");
}

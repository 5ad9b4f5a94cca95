//! How a test gets its log, and the same log again after a restart.
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use stream::embedded::{EmbeddedLog, EmbeddedOptions, RemoteLog};
use stream::kafka::{KafkaLog, KafkaOptions};
use stream::log::{
    AppendError, Appender, Bounds, Log, LogError, NewRecord, Offset, Partition, Reader, Record, Topic,
};
pub(crate) use stream::simulated::Faults;
use stream::simulated::SimulatedLog;
use testkit::kafka::KafkaBroker;
use tokio::sync::watch;

/// Partitions of every log under test.
pub(crate) const PARTITIONS: u32 = 3;
/// The partition of most cases.
pub(crate) const P: Partition = Partition(1);

/// A log under test.
#[async_trait]
pub(crate) trait Harness: Sync {
    /// The log; the one before must have been dropped.
    async fn open(&self) -> Arc<dyn Log>;
    /// Another log, empty: what is found when topics were recreated or a directory was replaced.
    async fn replaced(&self) -> Arc<dyn Log>;
}

/// The embedded log in a directory of its own.
pub(crate) struct Embedded {
    dir: tempfile::TempDir,
    other: tempfile::TempDir,
    tail_bytes: usize,
    through_the_socket: bool,
}

impl Embedded {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            other: tempfile::tempdir().unwrap(),
            tail_bytes: 64 << 20,
            through_the_socket: false,
        }
    }

    /// Every read comes from the disk.
    pub(crate) fn without_tail() -> Self {
        Self { tail_bytes: 0, ..Self::new() }
    }

    /// Every read comes through the socket, as another process would read.
    pub(crate) fn through_the_socket() -> Self {
        Self { through_the_socket: true, ..Self::new() }
    }

    async fn open_in(&self, dir: &tempfile::TempDir) -> Arc<dyn Log> {
        let mut options = EmbeddedOptions::new(dir.path());
        options.partitions = PARTITIONS;
        options.tail_bytes = self.tail_bytes;
        let log = EmbeddedLog::open(options).unwrap();
        if !self.through_the_socket {
            return log;
        }
        log.serve().unwrap();
        let remote = RemoteLog::connect(dir.path()).await.unwrap();
        let appender = remote.appender().await.unwrap();
        let refused = appender.append(Topic::Facts, Partition(0), vec![new("a")]).await;
        assert!(
            matches!(refused, Err(AppendError::Refused(_))),
            "of a chain there is one process: {refused:?}"
        );
        Arc::new(Split { log, remote })
    }
}

#[async_trait]
impl Harness for Embedded {
    async fn open(&self) -> Arc<dyn Log> {
        self.open_in(&self.dir).await
    }

    async fn replaced(&self) -> Arc<dyn Log> {
        self.open_in(&self.other).await
    }
}

/// Topics of its own on the broker of this run.
pub(crate) struct Kafka {
    broker: &'static KafkaBroker,
    options: KafkaOptions,
}

impl Kafka {
    pub(crate) async fn new() -> Self {
        let broker = KafkaBroker::shared().await.unwrap();
        let options = broker.log(PARTITIONS).await.unwrap().options().clone();
        Self { broker, options }
    }
}

#[async_trait]
impl Harness for Kafka {
    async fn open(&self) -> Arc<dyn Log> {
        KafkaLog::connect(self.options.clone()).await.unwrap()
    }

    async fn replaced(&self) -> Arc<dyn Log> {
        self.broker.log(PARTITIONS).await.unwrap()
    }
}

/// The log in memory, as simulations use it.
pub(crate) struct Simulated {
    log: SimulatedLog,
    other: SimulatedLog,
}

impl Simulated {
    pub(crate) fn new(faults: Faults) -> Self {
        let new = |seed| SimulatedLog::new(PARTITIONS, seed, faults.clone());
        Self { log: new(1), other: new(2) }
    }
}

#[async_trait]
impl Harness for Simulated {
    async fn open(&self) -> Arc<dyn Log> {
        self.log.client()
    }

    async fn replaced(&self) -> Arc<dyn Log> {
        self.other.client()
    }
}

/// Written here, read through the socket.
#[derive(Debug)]
struct Split {
    log: Arc<EmbeddedLog>,
    remote: RemoteLog,
}

#[async_trait]
impl Log for Split {
    fn partition_count(&self) -> u32 {
        self.remote.partition_count()
    }

    async fn appender(&self) -> Result<Arc<dyn Appender>, LogError> {
        self.log.appender().await
    }

    async fn reader(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
    ) -> Result<Box<dyn Reader>, LogError> {
        self.remote.reader(topic, partition, from).await
    }

    async fn bounds(&self, topic: Topic, partition: Partition) -> Result<Bounds, LogError> {
        self.remote.bounds(topic, partition).await
    }

    async fn record_at(
        &self,
        topic: Topic,
        partition: Partition,
        offset: Offset,
    ) -> Result<Option<Record>, LogError> {
        self.remote.record_at(topic, partition, offset).await
    }

    async fn check(&self) -> Result<(), LogError> {
        self.remote.check().await
    }

    fn active(&self) -> watch::Receiver<Vec<Partition>> {
        self.log.active()
    }
}

pub(crate) fn new(value: impl Into<Bytes>) -> NewRecord {
    NewRecord { key: Bytes::from_static(b"prog"), value: value.into() }
}

pub(crate) fn numbered(prefix: &str, numbers: std::ops::Range<u32>) -> Vec<NewRecord> {
    numbers.map(|number| new(format!("{prefix}{number}"))).collect()
}

/// Appends and waits; the offset of the last record.
pub(crate) async fn append(
    appender: &dyn Appender,
    topic: Topic,
    partition: Partition,
    records: Vec<NewRecord>,
) -> Offset {
    let count = records.len();
    let offsets = appender.append(topic, partition, records).await.unwrap();
    assert_eq!(offsets.len(), count);
    offsets.last().copied().flatten().expect("the log told the offset")
}

/// The next `count` records.
pub(crate) async fn read(reader: &mut dyn Reader, count: usize) -> Vec<Record> {
    let mut records = Vec::new();
    while records.len() < count {
        let more = reader.next(count - records.len(), usize::MAX);
        records.extend(tokio::time::timeout(Duration::from_secs(20), more).await.expect("records").unwrap());
    }
    records
}

/// All records below the end.
pub(crate) async fn read_all(log: &Arc<dyn Log>, topic: Topic, partition: Partition) -> Vec<Record> {
    let bounds = log.bounds(topic, partition).await.unwrap();
    let mut reader = log.reader(topic, partition, bounds.start).await.unwrap();
    read(reader.as_mut(), usize::try_from(bounds.end.0 - bounds.start.0).unwrap()).await
}

pub(crate) fn texts(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8_lossy(&record.value).into_owned()).collect()
}

//! A log in memory. It does what it is told: acknowledge, stall, refuse, or leave the caller in doubt.
use async_trait::async_trait;
use bytes::Bytes;
use domain::config::ConfigFact;
use domain::ids::AccountId;
use domain::normalization::ConfigRefusal;
use domain::time::Micros;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use prost::Message as _;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use stream::log::{
    AppendError, Appender, Bounds, Log, LogError, NewRecord, Offset, Partition, Reader, Record, Topic,
    partition_of,
};
use tokio::sync::watch;
use wire::config::GatewayRecord;
use wire::ingest::IngestRecord;
use wire::outcomes::{ConfigAnswer, OutcomeRecord};
use wire::v1;

const PARTITIONS: u32 = 4;

/// How appends go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Acknowledges,
    Stalls,
    Refuses,
    LeavesInDoubt,
}

/// What the chain would answer to a caller who waits.
pub(crate) type Chain = Box<dyn Fn(v1::RawRequest) -> Option<v1::OutcomeRecord> + Send + Sync>;

#[derive(Default)]
struct Records(Mutex<HashMap<(Topic, Partition), Vec<Record>>>);

pub(crate) struct FakeLog {
    records: Arc<Records>,
    changed: watch::Sender<u64>,
    mood: Mutex<Mood>,
    chain: Mutex<Option<Chain>>,
    /// Versions of configuration, and what the next writes are refused for.
    versions: AtomicU64,
    refusal: Mutex<Option<ConfigRefusal>>,
    appenders: AtomicUsize,
    /// Appends that were made, whatever came of them.
    pub(crate) appends: watch::Sender<usize>,
    myself: std::sync::Weak<FakeLog>,
    readable: watch::Sender<bool>,
}

impl std::fmt::Debug for FakeLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FakeLog")
    }
}

impl FakeLog {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new_cyclic(|myself| Self {
            records: Arc::default(),
            changed: watch::Sender::new(0),
            mood: Mutex::new(Mood::Acknowledges),
            chain: Mutex::default(),
            versions: AtomicU64::new(100),
            refusal: Mutex::default(),
            appenders: AtomicUsize::new(0),
            appends: watch::Sender::new(0),
            myself: myself.clone(),
            readable: watch::Sender::new(true),
        })
    }

    pub(crate) fn set_mood(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub(crate) fn set_readable(&self, readable: bool) {
        self.readable.send_replace(readable);
    }

    pub(crate) fn answer_with(
        &self,
        chain: impl Fn(v1::RawRequest) -> Option<v1::OutcomeRecord> + Send + Sync + 'static,
    ) {
        *self.chain.lock().unwrap() = Some(Box::new(chain));
    }

    /// From now on configuration writes are refused, or taken again.
    pub(crate) fn refuse_configuration(&self, code: Option<(&str, &str)>) {
        *self.refusal.lock().unwrap() = code.map(|(code, field)| ConfigRefusal {
            code: code.into(),
            field: field.into(),
            detail: "as the test says".into(),
        });
    }

    /// Every byte that is kept.
    pub(crate) fn dump(&self) -> Vec<u8> {
        let records = self.records.0.lock().unwrap();
        records.values().flatten().flat_map(|record| [&record.key[..], &record.value[..]].concat()).collect()
    }

    /// The configuration that was written, oldest first within a program.
    pub(crate) fn configured(&self) -> Vec<ConfigFact> {
        let records = self.records.0.lock().unwrap();
        let values =
            records.iter().filter(|((topic, _), _)| *topic == Topic::Ingest).flat_map(|(_, list)| list);
        let decoded = values.map(|record| wire::ingest::decode(&record.value).unwrap());
        decoded
            .filter_map(|record| match record {
                IngestRecord::ConfigWrite { fact, .. } => Some(fact),
                _ => None,
            })
            .collect()
    }

    /// As the normalizer: what gateways must know first, then the answer.
    fn take_configuration(&self, value: &Bytes) {
        let IngestRecord::ConfigWrite { fact, reply_to, .. } = wire::ingest::decode(value).unwrap() else {
            return;
        };
        let (key, refused) = (fact.key(), self.refusal.lock().unwrap().clone());
        let changed = refused.is_none();
        if changed && fact.concerns_gateway() {
            let version = self.versions.fetch_add(1, Ordering::SeqCst);
            let home = fact.program.as_str().to_owned();
            let record = GatewayRecord { key: key.clone(), version, fact, account: AccountId::default() };
            self.put(Topic::GatewayConfig, &home, wire::config::encode_gateway(&record));
        }
        if let Some(reply_to) = reply_to {
            let instance = reply_to.gateway_instance.clone();
            let outcome = OutcomeRecord::of_config(reply_to, ConfigAnswer { key, refused, changed });
            self.put(Topic::Outcomes, &instance, wire::outcomes::encode(&outcome));
        }
    }

    pub(crate) fn appenders(&self) -> usize {
        self.appenders.load(Ordering::SeqCst)
    }

    pub(crate) fn put(&self, topic: Topic, key: &str, value: Bytes) -> Offset {
        let partition = partition_of(key, PARTITIONS);
        let mut records = self.records.0.lock().unwrap();
        let list = records.entry((topic, partition)).or_default();
        let offset = Offset(list.len() as u64);
        list.push(Record {
            offset,
            appended_at: Micros(0),
            key: Bytes::copy_from_slice(key.as_bytes()),
            value,
            imported_at: None,
        });
        drop(records);
        self.changed.send_modify(|version| *version += 1);
        offset
    }

    pub(crate) fn configure(&self, version: u64, fact: v1::ConfigFact, key: &str) {
        let program_id = fact.program_id.clone();
        let record =
            v1::GatewayConfigRecord { key: key.into(), version, fact: Some(fact), ..Default::default() };
        self.put(Topic::GatewayConfig, &program_id, record.encode_to_vec().into());
    }

    /// Every request in `ingest`.
    pub(crate) fn ingested(&self) -> Vec<v1::RawRequest> {
        let records = self.records.0.lock().unwrap();
        let values =
            records.iter().filter(|((topic, _), _)| *topic == Topic::Ingest).flat_map(|(_, list)| list);
        values.filter_map(|record| raw(record.value.clone())).collect()
    }

    fn list(&self, topic: Topic, partition: Partition) -> Vec<Record> {
        self.records.0.lock().unwrap().get(&(topic, partition)).cloned().unwrap_or_default()
    }
}

fn raw(value: Bytes) -> Option<v1::RawRequest> {
    match v1::IngestRecord::decode(value).unwrap().kind {
        Some(v1::ingest_record::Kind::Request(request)) => Some(request),
        _ => None,
    }
}

#[async_trait]
impl Log for FakeLog {
    fn partition_count(&self) -> u32 {
        PARTITIONS
    }

    async fn appender(&self) -> Result<Arc<dyn Appender>, LogError> {
        self.appenders.fetch_add(1, Ordering::SeqCst);
        Ok(Arc::new(FakeAppender(self.myself.upgrade().unwrap())))
    }

    async fn reader(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
    ) -> Result<Box<dyn Reader>, LogError> {
        let log = self.myself.upgrade().unwrap();
        Ok(Box::new(FakeReader { changed: log.changed.subscribe(), log, topic, partition, next: from }))
    }

    async fn bounds(&self, topic: Topic, partition: Partition) -> Result<Bounds, LogError> {
        if !*self.readable.borrow() {
            return Err(LogError::Unavailable("told so".into()));
        }
        Ok(Bounds { start: Offset(0), end: Offset(self.list(topic, partition).len() as u64) })
    }

    async fn record_at(
        &self,
        topic: Topic,
        partition: Partition,
        offset: Offset,
    ) -> Result<Option<Record>, LogError> {
        Ok(self.list(topic, partition).get(offset.0 as usize).cloned())
    }

    async fn check(&self) -> Result<(), LogError> {
        Ok(())
    }

    fn active(&self) -> watch::Receiver<Vec<Partition>> {
        watch::channel(Vec::new()).1
    }
}

#[derive(Debug)]
struct FakeAppender(Arc<FakeLog>);

impl Appender for FakeAppender {
    fn append(
        &self,
        topic: Topic,
        _partition: Partition,
        records: Vec<NewRecord>,
    ) -> BoxFuture<'static, Result<Vec<Option<Offset>>, AppendError>> {
        let mood = *self.0.mood.lock().unwrap();
        self.0.appends.send_modify(|count| *count += 1);
        match mood {
            Mood::Stalls => futures::future::pending().boxed(),
            Mood::Refuses => futures::future::ready(Err(AppendError::Refused("queue full".into()))).boxed(),
            Mood::LeavesInDoubt => {
                futures::future::ready(Err(AppendError::Indefinite("reset".into()))).boxed()
            }
            Mood::Acknowledges => {
                let mut offsets = Vec::new();
                for record in records {
                    let key = String::from_utf8(record.key.to_vec()).unwrap();
                    offsets.push(Some(self.0.put(topic, &key, record.value.clone())));
                    self.0.take_configuration(&record.value);
                    let Some(request) = raw(record.value) else { continue };
                    let chain = self.0.chain.lock().unwrap();
                    if let (Some(chain), Some(reply_to)) = (&*chain, request.reply_to.clone())
                        && let Some(mut outcome) = chain(request)
                    {
                        let instance = reply_to.gateway_instance.clone();
                        outcome.reply_to = Some(reply_to);
                        self.0.put(Topic::Outcomes, &instance, outcome.encode_to_vec().into());
                    }
                }
                futures::future::ready(Ok(offsets)).boxed()
            }
        }
    }
}

#[derive(Debug)]
struct FakeReader {
    log: Arc<FakeLog>,
    topic: Topic,
    partition: Partition,
    next: Offset,
    changed: watch::Receiver<u64>,
}

#[async_trait]
impl Reader for FakeReader {
    async fn next(&mut self, max_records: usize, _max_bytes: usize) -> Result<Vec<Record>, LogError> {
        loop {
            self.changed.mark_unchanged();
            let from = self.next.0 as usize;
            let records: Vec<Record> =
                self.log.list(self.topic, self.partition).into_iter().skip(from).take(max_records).collect();
            if let Some(last) = records.last() {
                self.next = last.offset.next();
                return Ok(records);
            }
            self.changed.changed().await.map_err(|_| LogError::Closed)?;
        }
    }
}

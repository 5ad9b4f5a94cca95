//! A log written by hand, frame by frame, and the projector over it.
#![allow(clippy::unwrap_used, unreachable_pub, dead_code)]
pub mod tampered;

use super::support;
use bytes::Bytes;
use domain::attribution::{AttributedEvent, Decision, SaleKey, Touch, TouchClass};
use domain::commission::CommissionsEvent;
use domain::config::ConfigFact;
use domain::facts::{Fact, FactBody, Recurrence, Sale, SaleDetails};
use domain::ids::Hash;
use domain::normalization::{FactsEvent, VerdictKind};
use domain::time::Micros;
use readmodel::batch::Followed;
use sqlx::PgPool;
use std::sync::Arc;
use std::time::Duration;
use stream::log::{Appender, Log, NewRecord, Partition, Topic, partition_of};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tributary_services::projector::{self, Options, Progress, ProjectorError};
use wire::envelope::{self, Envelope, Kind};
use wire::ingest::{IngestRecord, RawRequest};
use wire::v1::{FenceContent, FrameContent};

/// Writes the whole chain by hand: one sale in each frame of each hop.
pub struct Chain {
    pub appender: Arc<dyn Appender>,
    pub partition: Partition,
    pub epoch: u64,
    /// The last `seq`, the same in each hop, and the heads of `facts`, `attributed`, `commissions`.
    pub seq: u64,
    pub heads: [Hash; 3],
}

pub const HOPS: [Topic; 3] = [Topic::Facts, Topic::Attributed, Topic::Commissions];

impl Chain {
    pub async fn new(log: &Arc<dyn Log>) -> Self {
        let partition = partition_of("prog_demo", log.partition_count());
        let appender = log.appender().await.unwrap();
        let mut chain = Self { appender, partition, epoch: 0, seq: 0, heads: [Hash::ZERO; 3] };
        chain.fence().await;
        chain
    }

    pub async fn append(&self, topic: Topic, value: Bytes) -> u64 {
        let record = NewRecord { key: Bytes::from_static(b"prog_demo"), value };
        let offsets = self.appender.append(topic, self.partition, vec![record]).await.unwrap();
        offsets[0].unwrap().0
    }

    pub fn record(&self, kind: Kind, epoch: u64, content: &[u8]) -> Bytes {
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

    pub async fn fence(&mut self) {
        self.epoch += 1;
        let content =
            wire::frame::encode_fence(&FenceContent { logic_version: 1, ..FenceContent::default() });
        for topic in HOPS {
            self.append(topic, self.record(Kind::Fence, self.epoch, &content)).await;
        }
    }

    pub fn frame(&self, hop: usize, source: u64, source_head: Hash, events: Vec<Bytes>) -> (Bytes, Hash) {
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

    pub async fn ingest(&self, key: u64) -> (u64, Hash) {
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
            publishable: false,
        };
        let record = wire::ingest::encode(&IngestRecord::Request(request));
        let head = Hash::of(&record);
        (self.append(Topic::Ingest, record).await, head)
    }

    /// Configuration, through all hops: the last passes nothing on.
    pub async fn configure(&mut self, facts: Vec<ConfigFact>) {
        self.tell(facts.into_iter().map(FactsEvent::Config).collect()).await;
    }

    /// As [`Self::configure`], with any events of `facts`.
    pub async fn tell(&mut self, facts: Vec<FactsEvent>) {
        let bytes: Vec<Bytes> = facts.iter().map(|event| wire::facts::encode(event).unwrap()).collect();
        let passed = bytes.iter().zip(facts).map(|(bytes, event)| {
            wire::attributed::encode(&AttributedEvent::Passed { bytes: bytes.clone(), event, decision: None })
        });
        let passed = passed.collect();
        let value = wire::ingest::encode(&IngestRecord::Tick);
        let head = Hash::of(&value);
        let source = self.append(Topic::Ingest, value).await;
        self.pass((source, head), [bytes, passed, Vec::new()]).await;
    }

    /// The next sale, through all hops.
    pub async fn sale(&mut self) {
        self.sold(support::sale(self.seq + 1)).await;
    }

    /// A frame that ends with these events.
    pub async fn sold(&mut self, commissions: Vec<CommissionsEvent>) {
        let seq = self.seq + 1;
        let input = self.ingest(seq).await;
        self.pass(input, events(seq, commissions)).await;
    }

    async fn pass(&mut self, (mut source, mut head): (u64, Hash), events: [Vec<Bytes>; 3]) {
        let seq = self.seq + 1;
        for (hop, events) in events.into_iter().enumerate() {
            let (content, of) = self.frame(hop, source, head, events);
            self.append(HOPS[hop], self.record(Kind::Frame, self.epoch, &content)).await;
            (source, head) = (seq, of);
            self.heads[hop] = of;
        }
        self.seq = seq;
    }

    /// What a stalled former owner still writes: the next `seq`, with another sale in it.
    pub async fn zombie(&self) {
        let events = support::sale(9_999).iter().map(wire::commissions::encode).collect();
        let (content, _) = self.frame(2, self.seq + 1, Hash::ZERO, events);
        self.append(Topic::Commissions, self.record(Kind::Frame, self.epoch - 1, &content)).await;
    }
}

pub struct Running {
    pub task: JoinHandle<Result<(), ProjectorError>>,
    progress: watch::Receiver<Progress>,
    stop: CancellationToken,
}

pub fn project(log: &Arc<dyn Log>, pool: &PgPool) -> Running {
    let (sender, progress) = watch::channel(Progress::default());
    let stop = CancellationToken::new();
    // Small batches: many commits.
    let options = Options { batch_frames: 3, read_records: 2, ..Options::default() };
    let task = tokio::spawn(projector::run(options, Arc::clone(log), pool.clone(), stop.clone(), sender));
    Running { task, progress, stop }
}

impl Running {
    pub async fn reaches(&mut self, chain: &Chain) {
        let (partition, seq) = (chain.partition, chain.seq);
        let there = self.progress.wait_for(|progress| {
            Followed::ALL.iter().all(|followed| {
                progress.cursors.get(&(*followed, partition)).is_some_and(|cursor| cursor.seq >= seq)
            })
        });
        tokio::time::timeout(Duration::from_secs(60), there).await.unwrap().unwrap();
    }

    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// The events of each hop: a verdict and a fact, the same with the decision, and what follows.
fn events(seq: u64, commissions: Vec<CommissionsEvent>) -> [Vec<Bytes>; 3] {
    let verdict = FactsEvent::Verdict(support::verdict(seq, VerdictKind::Applied, ""));
    let mut facts = vec![(verdict, None)];
    facts.extend(commissions.iter().find_map(sale_fact));
    let bytes: Vec<Bytes> = facts.iter().map(|(event, _)| wire::facts::encode(event).unwrap()).collect();
    let passed = bytes.iter().zip(facts).map(|(bytes, (event, decision))| {
        wire::attributed::encode(&AttributedEvent::Passed { bytes: bytes.clone(), event, decision })
    });
    [bytes.clone(), passed.collect(), commissions.iter().map(wire::commissions::encode).collect()]
}

fn sale_fact(event: &CommissionsEvent) -> Option<(FactsEvent, Option<Decision>)> {
    let CommissionsEvent::Sale(sale) = event else { return None };
    let partner = sale.partner.clone().unwrap();
    let decision = Decision {
        program: sale.program.clone(),
        sale: SaleKey { source: sale.sale.source.clone(), external_id: sale.sale.external_id.clone() },
        outcome: Ok((partner.clone(), TouchClass::Code)),
        customer: sale.customer,
        touches: vec![Touch {
            class: TouchClass::Code,
            reference: "code".to_owned(),
            partner: Some(partner),
            lost_because: String::new(),
        }],
        binds: false,
        shares: Vec::new(),
    };
    let fact = Fact {
        program: sale.program.clone(),
        event: sale.event.clone(),
        source: sale.sale.source.clone(),
        object_id: sale.sale.external_id.clone(),
        state: "paid".to_owned(),
        hash: Hash::ZERO,
        occurred_at: sale.occurred_at,
        identifiers: Vec::new(),
        body: FactBody::Sale(Sale {
            external_id: sale.sale.external_id.clone(),
            currency: sale.currency,
            gross: sale.gross,
            net: Some(sale.base),
            lines: Vec::new(),
            subscription_id: String::new(),
            recurrence: Recurrence::Unknown,
            referral: None,
            coupon: None,
            aliases: Vec::new(),
            details: SaleDetails::default(),
        }),
    };
    Some((FactsEvent::Fact(fact), Some(decision)))
}

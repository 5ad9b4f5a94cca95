//! The normalizer: a raw request becomes a verdict and facts; configuration becomes configuration facts; the clock ticks.
use crate::quarantine;
use bytes::Bytes;
use domain::config::{ConfigFact, ConfigObject, SourceSettings};
use domain::facts::{FactBody, Personal};
use domain::ids::{AccountId, Hash, SubjectId};
use domain::normalization::{
    self, ConfigOutcome, FactsEvent, InputKind, NormalizerInput, Reading, Request, Verdict, VerdictKind,
    gateway_config, source_settings,
};
use domain::tables::{Tables, View};
use domain::time::Micros;
use sources::SourceRequest;
use std::fmt;
use stream::log::{Partition, Topic, partition_of};
use stream::service::{Decided, FrameMeta, Input, Payload, Service, SideOutput, UnknownEvent};
use wire::config::GatewayRecord;
use wire::ingest::{IngestRecord, RawRequest};
use wire::outcomes::{ConfigAnswer, OutcomeRecord};

/// `ingest` -> `facts`.
pub struct Normalizer {
    index_key: [u8; 32],
    partition_count: u32,
    /// For the programs that set nothing of their own: nearly all.
    defaults: SourceSettings,
}

impl fmt::Debug for Normalizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key finds people by their identifiers.
        f.debug_struct("Normalizer").field("partition_count", &self.partition_count).finish_non_exhaustive()
    }
}

impl Normalizer {
    /// `index_key`: the installation's key for identifier indexes, from its key store. `partition_count`: of every topic.
    #[must_use]
    pub fn new(index_key: [u8; 32], partition_count: u32) -> Self {
        Self { index_key, partition_count, defaults: SourceSettings::default() }
    }
}

/// What an `ingest` record says, read by the adapter of its source. `None`: the base record of an imported log, no event.
fn read(record: &Bytes, clock: Micros, view: &dyn View, defaults: &SourceSettings) -> Option<InputKind> {
    let adapt = |raw: RawRequest| {
        let own = source_settings(view, &raw.program);
        adapt(raw, clock, own.as_ref().unwrap_or(defaults))
    };
    Some(match wire::ingest::decode(record) {
        Err(error) => InputKind::Undecodable(error.to_string()),
        Ok(IngestRecord::Base { .. }) => return None,
        Ok(IngestRecord::Tick) => InputKind::Tick,
        Ok(IngestRecord::Config(fact)) => InputKind::Config(fact),
        Ok(IngestRecord::ConfigWrite { fact, reply_to, create_only, .. }) => {
            InputKind::ConfigWrite { fact, reply_to, create_only }
        }
        Ok(IngestRecord::DefectRetry { retry, .. }) => InputKind::DefectRetry(retry),
        Ok(IngestRecord::Request(raw)) => InputKind::Request(adapt(raw)),
        Ok(IngestRecord::Retry { of_position, request, .. }) => {
            InputKind::Retry { of_position, request: adapt(request) }
        }
    })
}

fn adapt(raw: RawRequest, clock: Micros, settings: &SourceSettings) -> Request {
    let mut draft = sources::normalize(&SourceRequest {
        program: &raw.program,
        source: raw.source.as_str(),
        body: &raw.body,
        headers: &raw.headers,
        query: &raw.query,
        clock,
        settings,
        resource: &raw.resource,
        authenticated_by: &raw.authenticated_by,
    });
    if let Reading::Facts(facts) = &mut draft.reading {
        for fact in facts {
            if let FactBody::Sale(sale) = &mut fact.body {
                sale.details.publishable = raw.publishable;
            }
        }
    }
    Request {
        program: raw.program,
        source: raw.source,
        received_at: raw.received_at,
        reply_to: raw.reply_to,
        draft,
    }
}

impl Service for Normalizer {
    type Event = FactsEvent;

    const NAME: &'static str = "normalizer";
    const INPUT: Topic = Topic::Ingest;
    const OUTPUT: Topic = Topic::Facts;
    const LOGIC_VERSION: u32 = 2;
    const STATE_VERSION: u32 = 3;

    fn kind(&self, event: &Self::Event) -> &'static str {
        crate::kinds::facts(event)
    }

    fn decide(&self, view: &dyn View, input: &Input, _step: u32) -> Decided<FactsEvent> {
        let Payload::Ingest(record) = &input.payload else { return Decided::Nothing };
        let Some(kind) = read(record, input.clock, view, &self.defaults) else {
            return Decided::Nothing;
        };
        let input = NormalizerInput { source_head: input.head, clock: input.clock, kind };
        match normalization::decide(view, &self.index_key, input) {
            Some(events) => Decided::Frame { events, more: false },
            None => Decided::Nothing,
        }
    }

    fn evolve(&self, tables: &mut dyn Tables, frame: &FrameMeta, events: &[FactsEvent]) {
        normalization::evolve(tables, &self.index_key, frame.seq, frame.clock, events);
    }

    #[allow(clippy::expect_used, reason = "the loop seals every personal field before it encodes")]
    fn encode(&self, event: &FactsEvent) -> Bytes {
        wire::facts::encode(event).expect("personal fields are matched and sealed before they are encoded")
    }

    fn decode(&self, bytes: &Bytes) -> Result<FactsEvent, UnknownEvent> {
        wire::facts::decode(bytes)
            .map_err(|error| UnknownEvent { service: Self::NAME, detail: error.to_string() })
    }

    fn personal<'event>(&self, event: &'event mut FactsEvent) -> Vec<(SubjectId, &'event mut Personal)> {
        let FactsEvent::Fact(fact) = event else { return Vec::new() };
        fact.identifiers
            .iter_mut()
            .filter_map(|identifier| Some((identifier.subject?, &mut identifier.value)))
            .collect()
    }

    fn defect(&self, input: &Input, message: &str) -> Vec<FactsEvent> {
        let Payload::Ingest(record) = &input.payload else { return Vec::new() };
        // The adapter may be what failed: it is not asked again.
        let (raw, retry_of) = match wire::ingest::decode(record) {
            Ok(IngestRecord::Request(raw)) => (raw, None),
            Ok(IngestRecord::Retry { of_position, request, .. }) => (request, Some(of_position)),
            _ => return Vec::new(),
        };
        vec![FactsEvent::Verdict(defect_verdict(raw, retry_of, &input.head, message))]
    }

    fn retries(&self, input: &Input) -> Option<u64> {
        quarantine::retried_in_ingest(Self::NAME, &input.payload)
    }

    fn standing_outputs(&self, view: &dyn View, _partition: Partition) -> Vec<SideOutput> {
        gateway_config(view).into_iter().map(|row| gateway_record(row.version, row.fact)).collect()
    }

    fn side_outputs(&self, frame: &FrameMeta, events: &[FactsEvent]) -> Vec<SideOutput> {
        events
            .iter()
            .filter_map(|event| match event {
                FactsEvent::Config(fact) if fact.concerns_gateway() => {
                    Some(gateway_record(frame.seq, fact.clone()))
                }
                FactsEvent::Verdict(verdict) => refusal(verdict, self.partition_count),
                FactsEvent::ConfigOutcome(outcome) => config_answer(outcome, self.partition_count),
                _ => None,
            })
            .collect()
    }
}

fn defect_verdict(raw: RawRequest, retry_of: Option<u64>, head: &Hash, message: &str) -> Verdict {
    let detail =
        format!("this event met a defect ({message}); it is kept, retry it with a version that mends it");
    let verdict = Verdict::on_unread(raw.program, raw.source, head, "defect", detail);
    Verdict { received_at: raw.received_at, reply_to: raw.reply_to, retry_of, ..verdict }
}

/// The answer to a caller whose event was refused. Everything else is answered by commission.
fn refusal(verdict: &Verdict, partition_count: u32) -> Option<SideOutput> {
    if !matches!(verdict.kind, VerdictKind::Ignored | VerdictKind::Quarantined) {
        return None;
    }
    let outcome = OutcomeRecord {
        reply_to: verdict.reply_to.clone()?,
        verdict: verdict.kind,
        reason: verdict.reason.clone(),
        detail: verdict.detail.clone(),
        answer: None,
        duplicate: false,
        config: None,
    };
    Some(outcome_output(&outcome, partition_count))
}

/// The answer to a caller who wrote configuration. The loop sends it after the record that gateways read.
fn config_answer(outcome: &ConfigOutcome, partition_count: u32) -> Option<SideOutput> {
    let answer =
        ConfigAnswer { key: outcome.key.clone(), refused: outcome.refused.clone(), changed: outcome.changed };
    let outcome = OutcomeRecord::of_config(outcome.reply_to.clone()?, answer);
    Some(outcome_output(&outcome, partition_count))
}

/// An outcome goes to the partition that its gateway reads.
pub(crate) fn outcome_output(outcome: &OutcomeRecord, partition_count: u32) -> SideOutput {
    let gateway = &outcome.reply_to.gateway_instance;
    SideOutput {
        topic: Topic::Outcomes,
        partition: Some(partition_of(gateway, partition_count)),
        key: Bytes::copy_from_slice(gateway.as_bytes()),
        value: wire::outcomes::encode(outcome),
    }
}

/// The account is known where the object names it; an endpoint's is that of its program.
fn gateway_record(version: u64, fact: ConfigFact) -> SideOutput {
    let account = match &fact.object {
        ConfigObject::Program(program) => program.account.clone(),
        ConfigObject::ApiKey(key) => key.account.clone(),
        ConfigObject::Account(account) => account.account.clone(),
        _ => AccountId::default(),
    };
    let key = fact.key();
    let record = GatewayRecord { key: key.clone(), version, fact, account };
    SideOutput {
        topic: Topic::GatewayConfig,
        partition: None,
        key: Bytes::from(key),
        value: wire::config::encode_gateway(&record),
    }
}

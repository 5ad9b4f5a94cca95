//! The services in two versions of their logic, as before and after a deployment. The second mends a defect of the
//! normalizer and computes commissions on whole units: the same input decided twice gives other money.
use crate::decisions;
use bytes::Bytes;
use domain::attribution::AttributedEvent;
use domain::facts::{FactBody, Personal};
use domain::ids::SubjectId;
use domain::money::Minor;
use domain::normalization::{FactsEvent, VerdictKind};
use domain::tables::{Tables, View};
use services::{Attribution, Commission, Normalizer};
use std::fmt::Debug;
use stream::log::{Partition, Topic};
use stream::service::{Decided, FrameMeta, Input, Payload, Service, SideOutput, UnknownEvent};

/// Bodies with this text panic in version 1 of the normalizer, and no more in version 2.
pub(crate) const POISON: &str = "poison";
/// Bodies with this text panic in every version.
pub(crate) const VENOM: &str = "venom";
/// What the panics of [`POISON`] and [`VENOM`] say.
pub(crate) const INJECTED: &str = "injected defect";

/// What a version does to its inputs.
pub(crate) trait Deployed: Service {
    /// Called before `decide`; may panic.
    fn before(_input: &mut Input, _version: u32) {}

    /// Called before `evolve`.
    fn folded(_events: &mut [Self::Event], _weak: bool) {}
}

impl Deployed for Normalizer {
    fn before(input: &mut Input, version: u32) {
        let Payload::Ingest(record) = &input.payload else { return };
        let has = |word: &str| record.windows(word.len()).any(|window| window == word.as_bytes());
        assert!(!has(VENOM) && (version > 1 || !has(POISON)), "{INJECTED}");
    }

    fn folded(events: &mut [FactsEvent], weak: bool) {
        for event in events {
            if let FactsEvent::Verdict(verdict) = event
                && verdict.kind == VerdictKind::Quarantined
            {
                verdict.reserves_key |= weak;
            }
        }
    }
}

impl Deployed for Attribution {}

impl Deployed for Commission {
    fn before(input: &mut Input, version: u32) {
        if let Payload::Events(events) = &mut input.payload {
            events.iter_mut().for_each(|bytes| rewritten(bytes, version));
        }
    }
}

/// What version 2 takes a sale for: cents are left out.
pub(crate) const fn whole_units(minor: i64) -> i64 {
    minor - minor % 100
}

/// What commission reads in an event: words that no door has yet, and in version 2 whole units.
fn rewritten(bytes: &mut Bytes, version: u32) {
    let Ok(mut event) = wire::attributed::decode(bytes) else { return };
    let is_spoken = decisions::spoken(&mut event);
    if !(version > 1 && in_whole_units(&mut event) || is_spoken) {
        return;
    }
    let AttributedEvent::Passed { bytes: inner, event: passed, .. } = &mut event else { return };
    let Ok(encoded) = wire::facts::encode(passed) else { return };
    *inner = encoded;
    *bytes = wire::attributed::encode(&event);
}

fn in_whole_units(event: &mut AttributedEvent) -> bool {
    let AttributedEvent::Passed { event: FactsEvent::Fact(fact), .. } = event else { return false };
    let FactBody::Sale(sale) = &mut fact.body else { return false };
    let tax = sale.net.map_or(0, |net| sale.gross.0 - net.0);
    let base = whole_units(sale.gross.0 - tax);
    sale.net = sale.net.map(|_| Minor(base));
    sale.gross = Minor(base + tax);
    true
}

/// A service as version `V` of it was deployed.
#[derive(Debug)]
pub(crate) struct Version<S, const V: u32> {
    pub(crate) service: S,
    /// A quarantined verdict reserves its key (negative control of rule 8).
    pub(crate) quarantine_reserves: bool,
}

impl<S, const V: u32> Version<S, V> {
    pub(crate) const fn new(service: S, quarantine_reserves: bool) -> Self {
        Self { service, quarantine_reserves }
    }
}

impl<S: Deployed, const V: u32> Service for Version<S, V> {
    type Event = S::Event;

    const NAME: &'static str = S::NAME;
    const INPUT: Topic = S::INPUT;
    const OUTPUT: Topic = S::OUTPUT;
    const LOGIC_VERSION: u32 = V;
    const STATE_VERSION: u32 = S::STATE_VERSION;

    fn decide(&self, view: &dyn View, input: &Input, step: u32) -> Decided<S::Event> {
        let mut input = input.clone();
        S::before(&mut input, V);
        self.service.decide(view, &input, step)
    }

    fn evolve(&self, tables: &mut dyn Tables, frame: &FrameMeta, events: &[S::Event]) {
        if self.quarantine_reserves {
            let mut events = events.to_vec();
            S::folded(&mut events, true);
            return self.service.evolve(tables, frame, &events);
        }
        self.service.evolve(tables, frame, events);
    }

    fn encode(&self, event: &S::Event) -> Bytes {
        self.service.encode(event)
    }

    fn decode(&self, bytes: &Bytes) -> Result<S::Event, UnknownEvent> {
        self.service.decode(bytes)
    }

    fn kind(&self, event: &S::Event) -> &'static str {
        self.service.kind(event)
    }

    fn personal<'event>(&self, event: &'event mut S::Event) -> Vec<(SubjectId, &'event mut Personal)> {
        self.service.personal(event)
    }

    fn defect(&self, input: &Input, message: &str) -> Vec<S::Event> {
        self.service.defect(input, message)
    }

    fn retries(&self, input: &Input) -> Option<u64> {
        self.service.retries(input)
    }

    fn names(&self, input: &Input) -> (String, String) {
        self.service.names(input)
    }

    fn standing_outputs(&self, view: &dyn View, partition: Partition) -> Vec<SideOutput> {
        self.service.standing_outputs(view, partition)
    }

    fn side_outputs(&self, frame: &FrameMeta, events: &[S::Event]) -> Vec<SideOutput> {
        self.service.side_outputs(frame, events)
    }
}

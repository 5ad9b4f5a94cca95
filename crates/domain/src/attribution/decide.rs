//! Deciding one input: every facts event passes on, a sale with its decision; then what it explained of earlier sales.
use super::fold::{Directory, Queued, claims, evolve_one, first_queued, open_sale, subjects};
use super::scratch::Scratch;
use super::touches::decide_sale;
use super::{AttributedEvent, Decision, SaleKey, identity};
use crate::facts::{Fact, FactBody};
use crate::ids::EventId;
use crate::normalization::FactsEvent;
use crate::tables::View;
use bytes::Bytes;

/// Late decisions in one frame: bounded, so that a frame stays far below 512 KiB.
pub const LATE_PER_STEP: usize = 128;

/// Decides step `step` of an input, an accepted frame of `facts`: its events as they came and as their bytes.
/// True: another step follows.
///
/// Step 0 passes every event on. Late decisions (an earlier sale that a link or a coupon's definition explains) follow in
/// the same frame, and in further steps when there are more than [`LATE_PER_STEP`].
#[must_use]
pub fn decide(view: &dyn View, events: Vec<(Bytes, FactsEvent)>, step: u32) -> (Vec<AttributedEvent>, bool) {
    let cause = cause(&events);
    let mut scratch = Scratch::new(view);
    let mut decided = Vec::new();
    let mut explains = step > 0;
    if step == 0 {
        let count = events.len();
        decided.reserve(count);
        for (place, (bytes, event)) in events.into_iter().enumerate() {
            let decision = match &event {
                FactsEvent::Fact(fact) => decide_fact(&scratch, fact),
                _ => None,
            };
            let may_explain = matches!(&event, FactsEvent::Fact(fact) if may_explain(fact));
            explains |= may_explain;
            // Most frames end with their one fact, which explains nothing older: nobody looks at the state after it.
            let folds = matches!(event, FactsEvent::Fact(_) | FactsEvent::Config(_))
                && (may_explain || explains || place + 1 < count);
            let passed = AttributedEvent::Passed { bytes, event, decision };
            if folds {
                evolve_one(&mut scratch, (u64::MAX, u32::try_from(place).unwrap_or(u32::MAX)), &passed);
            }
            decided.push(passed);
        }
    }
    let mut more = false;
    if let (true, Some(cause)) = (explains, cause) {
        more = drain(&mut scratch, &cause, &mut decided);
    }
    (decided, more)
}

/// The external event behind an input.
fn cause(events: &[(Bytes, FactsEvent)]) -> Option<EventId> {
    events.iter().find_map(|(_, event)| match event {
        FactsEvent::Verdict(verdict) => Some(verdict.event.clone()),
        FactsEvent::Fact(fact) => Some(fact.event.clone()),
        FactsEvent::Config(_)
        | FactsEvent::Tick
        | FactsEvent::ConfigOutcome(_)
        | FactsEvent::DefectRetry(_) => None,
    })
}

/// Whether a fact may explain earlier sales: it links identifiers, or says what a coupon is.
fn may_explain(fact: &Fact) -> bool {
    fact.identifiers.len() > 1 || matches!(fact.body, FactBody::CouponDefinition { .. })
}

fn decide_fact(view: &Scratch<'_>, fact: &Fact) -> Option<Decision> {
    let FactBody::Sale(sale) = &fact.body else { return None };
    let program = &fact.program;
    let key = SaleKey::of(&fact.source, sale);
    let customer = identity::together(view, program, subjects(fact));
    Some(decide_sale(&Directory { view, program }, program, key, &claims(sale), customer.as_ref()))
}

/// Decides what is queued, up to the limit; true: there is more.
fn drain(scratch: &mut Scratch<'_>, cause: &EventId, decided: &mut Vec<AttributedEvent>) -> bool {
    let mut room = LATE_PER_STEP;
    while let Some(queued) = first_queued(scratch) {
        if room == 0 {
            return true;
        }
        let sales = queued.sales(scratch, room);
        let before = decided.len();
        room -= sales.len();
        for sale in sales {
            let Some(decision) = decide_late(scratch, &queued, sale) else { continue };
            let late = AttributedEvent::Late { decision, cause: cause.clone() };
            evolve_one(scratch, (u64::MAX, u32::try_from(decided.len()).unwrap_or(u32::MAX)), &late);
            decided.push(late);
        }
        // A list that yields nothing would stay first for ever.
        if decided.len() == before {
            return false;
        }
    }
    false
}

fn decide_late(view: &Scratch<'_>, queued: &Queued, sale: SaleKey) -> Option<Decision> {
    let program = &queued.program;
    let open = open_sale(view, program, &sale)?;
    let customer = identity::together(view, program, open.customer);
    Some(decide_sale(&Directory { view, program }, program, sale, &open.claims, customer.as_ref()))
}

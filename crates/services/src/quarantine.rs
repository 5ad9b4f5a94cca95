//! What the services of the chain share about inputs that a defect parked: who is asked to decide one again, and what people
//! are told of it. The loop keeps and decides them (`stream::parked`).
use domain::commission::CommissionsEvent;
use domain::normalization::FactsEvent;
use stream::service::{FrameMeta, Payload};

/// The only event of a frame: a retry always travels alone, and most other frames are settled by this look.
fn only(payload: &Payload) -> Option<&bytes::Bytes> {
    match payload {
        Payload::Events(events) => match events.as_slice() {
            [event] => Some(event),
            _ => None,
        },
        Payload::Ingest(_) => None,
    }
}

/// The input that a frame of `facts` asks `service` to decide again.
pub(crate) fn retried_in_facts(service: &str, payload: &Payload) -> Option<u64> {
    let retry = wire::facts::defect_retry(only(payload)?)?;
    (retry.service == service).then_some(retry.source)
}

/// The input that a frame of `attributed` asks `service` to decide again.
pub(crate) fn retried_in_attributed(service: &str, payload: &Payload) -> Option<u64> {
    let retry = wire::facts::defect_retry(&wire::attributed::passed(only(payload)?)?)?;
    (retry.service == service).then_some(retry.source)
}

/// The record of `ingest` that another one asks `service` to decide again.
pub(crate) fn retried_in_ingest(service: &str, payload: &Payload) -> Option<u64> {
    let Payload::Ingest(record) = payload else { return None };
    let retry = wire::ingest::defect_retry(record)?;
    (retry.service == service).then_some(retry.source)
}

/// Program and external event of a frame of `facts`, as far as it says.
pub(crate) fn names(events: impl Iterator<Item = FactsEvent>) -> (String, String) {
    let (mut program, mut event) = (String::new(), String::new());
    for each in events {
        let (its_program, its_event) = match &each {
            FactsEvent::Verdict(verdict) => (verdict.program.as_str(), verdict.event.as_str()),
            FactsEvent::Fact(fact) => (fact.program.as_str(), fact.event.as_str()),
            FactsEvent::Config(fact) => (fact.program.as_str(), ""),
            FactsEvent::ConfigOutcome(outcome) => (outcome.program.as_str(), ""),
            FactsEvent::Tick | FactsEvent::DefectRetry(_) => ("", ""),
        };
        if program.is_empty() {
            its_program.clone_into(&mut program);
        }
        if event.is_empty() {
            its_event.clone_into(&mut event);
        }
    }
    (program, event)
}

/// Tells of items that a defect parked under a tick; the loop tells of whole inputs. Counts like one.
pub(crate) fn report_items(service: &'static str, frame: &FrameMeta, events: &[CommissionsEvent]) {
    for event in events {
        let CommissionsEvent::Parked(item) = event else { continue };
        if item.settled {
            tracing::info!(
                service,
                program = item.program.as_str(),
                source = item.source,
                "parked item decided at last"
            );
            continue;
        }
        metrics::counter!(stream::meters::DEFECTS, "service" => service).increment(1);
        tracing::error!(
            service,
            program = item.program.as_str(),
            source = item.source,
            seq = frame.seq,
            message = %item.detail,
            "defect while deciding a due item, item parked"
        );
    }
}

//! Frames as they come to the ledger, and what of its answers tests look at.
use super::specs::{PROGRAM, SOURCE};
use bytes::Bytes;
use tributary_domain::attribution::{AttributedEvent, Decision, SaleKey, Share, TouchClass};
use tributary_domain::commission::{AnswerRecorded, CommissionsEvent};
use tributary_domain::config::{ConfigFact, ConfigObject};
use tributary_domain::facts::Fact;
use tributary_domain::ids::{EventId, PartnerId, ProgramId};
use tributary_domain::normalization::{FactsEvent, ReplyAddress, Verdict, VerdictKind};
use tributary_domain::time::Micros;

pub fn passed(event: FactsEvent, decision: Option<Decision>) -> AttributedEvent {
    AttributedEvent::Passed { bytes: Bytes::new(), event, decision }
}

/// The frame of a change of configuration.
pub fn config_events(object: ConfigObject, removed: bool) -> Vec<AttributedEvent> {
    let fact = ConfigFact { program: PROGRAM.into(), actor: "test".to_owned(), object, removed };
    vec![passed(FactsEvent::Config(fact), None)]
}

/// The frame of a fact that nobody waits for, its verdict first.
pub fn applied(fact: Fact) -> Vec<AttributedEvent> {
    let verdict = verdict(VerdictKind::Applied, &fact.event, None);
    vec![passed(FactsEvent::Verdict(verdict), None), passed(FactsEvent::Fact(fact), None)]
}

pub fn verdict(kind: VerdictKind, event: &EventId, reply_to: Option<ReplyAddress>) -> Verdict {
    Verdict {
        program: PROGRAM.into(),
        event: event.clone(),
        source: SOURCE.into(),
        delivery_key: String::new(),
        kind,
        reason: String::new(),
        detail: String::new(),
        received_at: Micros(0),
        reply_to,
        retry_of: None,
        reserves_key: true,
    }
}

pub fn decision(sale: &str, partner: Option<&str>) -> Decision {
    Decision {
        program: ProgramId::from(PROGRAM),
        sale: SaleKey { source: SOURCE.into(), external_id: sale.to_owned() },
        outcome: match partner {
            Some(partner) => Ok((PartnerId::from(partner), TouchClass::Code)),
            None => Err("no_touch".to_owned()),
        },
        customer: None,
        touches: vec![],
        binds: false,
        shares: vec![],
    }
}

pub fn shares(shares: &[(&str, u32)]) -> Vec<Share> {
    shares.iter().map(|(partner, weight)| Share { partner: (*partner).into(), weight: *weight }).collect()
}

/// What happened to commissions, in short: (what, change of N).
pub fn kinds(events: &[CommissionsEvent]) -> Vec<(&'static str, i64)> {
    let short = |event: &CommissionsEvent| match event {
        CommissionsEvent::Commission(event) => Some((event.kind.name(), event.delta.0)),
        _ => None,
    };
    events.iter().filter_map(short).collect()
}

pub fn answer(events: &[CommissionsEvent]) -> AnswerRecorded {
    let answers = |event: &CommissionsEvent| match event {
        CommissionsEvent::Answer(answer) => Some(answer.clone()),
        _ => None,
    };
    events.iter().find_map(answers).unwrap()
}

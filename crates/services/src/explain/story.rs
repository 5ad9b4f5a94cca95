//! From frames to an explanation: the domain's own fold runs over what concerns the payment, and is asked for its numbers
//! after each frame that changed them.
use super::gather::{Decided, Gathered};
use super::moment::rfc3339;
use super::said::fact_of;
use super::{
    Change, Decision, Event, Explanation, Leg, Place, Question, Raw, Share, Standing, Step, Touch, Verdict,
    rules,
};
use domain::attribution::{AttributedEvent, TouchClass};
use domain::commission::workings::workings;
use domain::commission::{Account, CommissionEvent, CommissionsEvent, Origin, division, evolve};
use domain::facts::ReversalState;
use domain::ids::Hash;
use domain::normalization::FactsEvent;
use domain::tables::MemoryTables;
use std::collections::{BTreeMap, BTreeSet};
use stream::judge::Frame;
use wire::ingest::IngestRecord;

/// Tells what was gathered.
pub(super) fn tell(gathered: &Gathered, question: &Question) -> Explanation {
    let mut teller =
        Teller { gathered, body: question.body, tables: MemoryTables::default(), holds: BTreeMap::new() };
    let mut steps: Vec<(u64, Step)> = Vec::new();
    let mut told: BTreeSet<u64> = BTreeSet::new();
    for decided in &gathered.decided {
        let facts = gathered.attributed.get(&decided.frame.source).map(|passed| passed.frame.source);
        told.extend(facts);
        steps.push((facts.unwrap_or(u64::MAX), teller.decided(decided)));
    }
    for (seq, facts) in &gathered.facts {
        if !told.contains(seq) {
            steps.push((*seq, teller.delivered(*seq, &facts.frame, &facts.events)));
        }
    }
    // In the order in which inputs came; stable, so that the frames of one input keep theirs.
    steps.sort_by_key(|(facts, _)| *facts);
    let subject = &gathered.subject;
    let commissions = standings(gathered);
    let name = subject.names.first();
    Explanation {
        program_id: subject.program.0.clone(),
        source: name.map(|name| name.source.0.clone()).unwrap_or_default(),
        external_ids: subject.names.iter().map(|name| name.external_id.clone()).collect(),
        sale_id: events(gathered).find_map(|event| match event {
            CommissionsEvent::Sale(sale) => Some(sale.id.0.clone()),
            _ => None,
        }),
        commission: meant(&commissions, gathered, &question.id).cloned(),
        commissions,
        steps: steps.into_iter().map(|(_, step)| step).collect(),
    }
}

fn events(gathered: &Gathered) -> impl Iterator<Item = &CommissionsEvent> {
    gathered.decided.iter().flat_map(|decided| decided.events.iter().map(|(_, event)| event))
}

/// The commission that is meant: the one of that id, else the last one that anything happened to; of a divided sale its first
/// part.
fn meant<'a>(commissions: &'a [Standing], gathered: &Gathered, id: &str) -> Option<&'a Standing> {
    let of = |id: &str| commissions.iter().find(|standing| standing.commission_id == id);
    let last = events(gathered).filter_map(|event| match event {
        CommissionsEvent::Commission(event) => Some(event),
        _ => None,
    });
    let last = of(last.last()?.id.as_str());
    let first_part = || commissions.iter().find(|standing| standing.part.is_some());
    of(id).or_else(|| last.filter(|last| last.part.is_none())).or_else(first_part)
}

/// What stands on each account, by currency.
type Sums = BTreeMap<(Account, String), i64>;

/// Where each commission stands: its last event, and the sum of all its postings.
fn standings(gathered: &Gathered) -> Vec<Standing> {
    let mut standings: Vec<(Standing, Sums)> = Vec::new();
    for event in events(gathered) {
        let CommissionsEvent::Commission(event) = event else { continue };
        let place = standings.iter().position(|(known, _)| known.commission_id == event.id.0);
        let place = place.unwrap_or_else(|| {
            standings.push((created(event), BTreeMap::new()));
            standings.len() - 1
        });
        let Some((standing, accounts)) = standings.get_mut(place) else { continue };
        event.status.name().clone_into(&mut standing.status);
        standing.gross_minor = event.gross.0;
        standing.reversed_minor = event.reversed.0;
        standing.net_minor = event.gross.0.saturating_sub(event.reversed.0);
        standing.holds.clone_from(&event.holds);
        for posting in &event.postings {
            let sum = accounts.entry((posting.account, posting.currency.code().to_owned())).or_default();
            *sum = sum.saturating_add(posting.amount.0);
        }
    }
    let with_accounts = |(mut standing, accounts): (Standing, Sums)| {
        let legs = accounts.into_iter().filter(|(_, amount)| *amount != 0);
        standing.accounts = legs
            .map(|((account, currency), amount_minor)| Leg {
                account: account.name(),
                currency,
                amount_minor,
            })
            .collect();
        standing
    };
    standings.into_iter().map(with_accounts).collect()
}

/// What the first event of a commission says for good.
fn created(event: &CommissionEvent) -> Standing {
    let terms = event.terms.as_ref();
    let split = terms.and_then(|terms| terms.split.as_ref());
    Standing {
        commission_id: event.id.0.clone(),
        partner_id: event.partner.0.clone(),
        origin: terms.map_or(Origin::default(), |terms| terms.origin).name(),
        part: split.map(|split| split.part.saturating_add(1)),
        status: String::new(),
        currency: event.currency.code().to_owned(),
        gross_minor: 0,
        reversed_minor: 0,
        net_minor: 0,
        holds: Vec::new(),
        accounts: Vec::new(),
    }
}

struct Teller<'a> {
    gathered: &'a Gathered,
    body: bool,
    /// The fold of everything that concerns the payment so far.
    tables: MemoryTables,
    /// Each commission's holds so far.
    holds: BTreeMap<String, Vec<String>>,
}

impl Teller<'_> {
    /// A frame of `commissions`, with everything upstream of it.
    fn decided(&mut self, decided: &Decided) -> Step {
        let passed = self.gathered.attributed.get(&decided.frame.source);
        let facts = passed.and_then(|passed| self.gathered.facts.get(&passed.frame.source));
        let mut step = match (passed, facts) {
            (Some(passed), Some(facts)) => {
                let mut step = self.delivered(passed.frame.source, &facts.frame, &facts.events);
                step.decisions = self.decisions(&passed.events);
                step
            }
            _ => empty(&decided.frame, self.gathered.subject.partition.0),
        };
        step.at = rfc3339(decided.frame.clock);
        step.place.attributed = Some(decided.frame.source);
        step.place.commissions = Some(decided.frame.seq);
        let events: Vec<CommissionsEvent> = decided.events.iter().map(|(_, event)| event.clone()).collect();
        for event in &events {
            // One by one: each change is shown with the numbers that it led to.
            evolve(&mut self.tables, decided.frame.clock, std::slice::from_ref(event));
            step.events.extend(self.event(event));
        }
        step
    }

    /// A frame of `facts`: what came in, and what the normalizer said.
    fn delivered(&self, seq: u64, frame: &Frame, events: &[FactsEvent]) -> Step {
        let mut step = empty(frame, self.gathered.subject.partition.0);
        step.at = rfc3339(frame.clock);
        step.place.facts = Some(seq);
        step.place.ingest = Some(frame.source);
        if let Some(raw) = self.gathered.raw.get(&frame.source) {
            step.cause = cause_of(&raw.record);
            step.place.ingest = Some(raw.position);
            step.raw = self.raw(&raw.record);
        }
        for event in events {
            match event {
                FactsEvent::Verdict(verdict) => {
                    step.cause = if verdict.retry_of.is_some() { "retry" } else { "event" };
                    step.verdict = Some(Verdict {
                        event_id: verdict.event.0.clone(),
                        delivery_key: verdict.delivery_key.clone(),
                        verdict: verdict.kind.name().to_owned(),
                        reason: verdict.reason.clone(),
                        detail: verdict.detail.clone(),
                    });
                }
                FactsEvent::Fact(fact) => step.facts.push(fact_of(fact)),
                FactsEvent::Config(_) | FactsEvent::ConfigOutcome(_) => step.cause = "configuration",
                FactsEvent::DefectRetry(_) => step.cause = "retry",
                FactsEvent::Tick => step.cause = "clock",
            }
        }
        step
    }

    fn raw(&self, record: &IngestRecord) -> Option<Raw> {
        let (IngestRecord::Request(request) | IngestRecord::Retry { request, .. }) = record else {
            return None;
        };
        Some(Raw {
            source: request.source.0.clone(),
            resource: request.resource.clone(),
            received_at: rfc3339(request.received_at),
            authenticated_by: request.authenticated_by.clone(),
            bytes: request.body.len(),
            sha256: hex(&Hash::of(&request.body).0),
            body: self.body.then(|| String::from_utf8_lossy(&request.body).into_owned()),
        })
    }

    /// The decisions about this payment.
    fn decisions(&self, events: &[AttributedEvent]) -> Vec<Decision> {
        let ours = events.iter().filter_map(|event| match event {
            AttributedEvent::Passed { decision: Some(decision), .. } => Some((decision, false)),
            AttributedEvent::Passed { decision: None, .. } => None,
            AttributedEvent::Late { decision, .. } => Some((decision, true)),
        });
        let ours = ours.filter(|(decision, _)| {
            decision.program == self.gathered.subject.program
                && self.gathered.subject.names.contains(&decision.sale)
        });
        ours.map(|(decision, late)| {
            let (partner, by, reason) = match &decision.outcome {
                Ok((partner, class)) => (Some(partner.0.clone()), Some(class_name(*class)), String::new()),
                Err(reason) => (None, None, reason.clone()),
            };
            let touches = decision.touches.iter().map(|touch| Touch {
                class: class_name(touch.class),
                reference: touch.reference.clone(),
                partner_id: touch.partner.as_ref().map(|partner| partner.0.clone()),
                won: touch.lost_because.is_empty(),
                lost_because: touch.lost_because.clone(),
            });
            Decision {
                partner_id: partner,
                by,
                reason,
                customer_id: decision.customer.map(|customer| hex(&customer.0)),
                binds: decision.binds,
                late,
                touches: touches.collect(),
                shares: decision
                    .shares
                    .iter()
                    .map(|share| Share { partner_id: share.partner.0.clone(), weight: share.weight })
                    .collect(),
            }
        })
        .collect()
    }

    fn event(&mut self, event: &CommissionsEvent) -> Option<Event> {
        match event {
            CommissionsEvent::Sale(sale) => Some(Event::Sale {
                kind: sale.facets.details.kind.name(),
                partner_id: sale.partner.as_ref().map(|partner| partner.0.clone()),
                reason: sale.reason.clone(),
                currency: sale.currency.code().to_owned(),
                gross_minor: sale.gross.0,
                base_minor: sale.base.0,
            }),
            CommissionsEvent::Reversal(reversal) => Some(Event::Reversal {
                family: reversal.family.name().to_owned(),
                object_id: reversal.object_id.clone(),
                state: state_name(reversal.state),
                currency: reversal.currency.code().to_owned(),
                gross_minor: reversal.gross.0,
                net_minor: reversal.net.map(|net| net.0),
                result: reversal.result.name().to_owned(),
            }),
            CommissionsEvent::Link(link) => Some(Event::Link { aliases: link.aliases.clone() }),
            CommissionsEvent::Cancelled(over) => Some(Event::Cancelled {
                subscription_id: over.subscription_id.clone(),
                ended_at: rfc3339(over.ended_at),
            }),
            CommissionsEvent::Commission(event) => Some(Event::Commission(Box::new(self.change(event)))),
            _ => None,
        }
    }

    fn change(&mut self, event: &CommissionEvent) -> Change {
        let before = self.holds.insert(event.id.0.clone(), event.holds.clone()).unwrap_or_default();
        let missing = |from: &[String], of: &[String]| -> Vec<String> {
            of.iter().filter(|hold| !from.contains(hold)).cloned().collect()
        };
        // Rejection and the like take N to where the set of reversals alone would not: then there is no sum to show.
        let net = event.gross.0.saturating_sub(event.reversed.0);
        let worked = workings(&self.tables, &event.program, &event.sale, &event.id).ok().flatten();
        let divided = division(&self.tables, &event.program, &event.sale, &event.id).ok().flatten();
        let moved = event.delta.0 != 0;
        Change {
            commission_id: event.id.0.clone(),
            partner_id: event.partner.0.clone(),
            kind: event.kind.name().to_owned(),
            status: event.status.name().to_owned(),
            currency: event.currency.code().to_owned(),
            delta_minor: event.delta.0,
            gross_minor: event.gross.0,
            reversed_minor: event.reversed.0,
            net_minor: net,
            cause_event_id: event.cause.as_ref().map(|cause| cause.0.clone()),
            reason: event.reason.clone(),
            actor: event.actor.clone(),
            terms: event.terms.as_ref().map(rules::terms),
            arithmetic: worked
                .filter(|worked| moved && (worked.net.0 == net || event.terms.is_some()))
                .map(|worked| rules::arithmetic(&worked, divided.as_ref(), event)),
            holds_added: missing(&before, &event.holds),
            holds_released: missing(&event.holds, &before),
            holds: event.holds.clone(),
            postings: event
                .postings
                .iter()
                .map(|leg| Leg {
                    account: leg.account.name(),
                    currency: leg.currency.code().to_owned(),
                    amount_minor: leg.amount.0,
                })
                .collect(),
        }
    }
}

fn empty(frame: &Frame, partition: u32) -> Step {
    Step {
        at: rfc3339(frame.clock),
        place: Place { partition, ingest: None, facts: None, attributed: None, commissions: None },
        raw: None,
        cause: "event",
        verdict: None,
        facts: Vec::new(),
        decisions: Vec::new(),
        events: Vec::new(),
    }
}

const fn cause_of(record: &IngestRecord) -> &'static str {
    match record {
        IngestRecord::Request(_) => "event",
        IngestRecord::Retry { .. } | IngestRecord::DefectRetry { .. } => "retry",
        IngestRecord::Config(_) | IngestRecord::ConfigWrite { .. } => "configuration",
        IngestRecord::Tick | IngestRecord::Base { .. } => "clock",
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const fn class_name(class: TouchClass) -> &'static str {
    match class {
        TouchClass::Code => "code",
        TouchClass::Coupon => "coupon",
        TouchClass::Click => "click",
        TouchClass::Binding => "binding",
    }
}

pub(super) const fn state_name(state: ReversalState) -> &'static str {
    match state {
        ReversalState::Pending => "pending",
        ReversalState::Live => "live",
        ReversalState::Dead => "dead",
    }
}

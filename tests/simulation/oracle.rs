//! What must be true when a history has come to its end, by the names of `docs/reference/simulation.md`.
use crate::earnings::Earnings;
use crate::history::{CHAIN, meanings};
use crate::reference::{Asked, Name, Reference};
use crate::replay;
use crate::truth::{Accepted, Ingested, Truth, ingested};
use crate::workload::{self, LEADS, Request};
use crate::world::World;
use bytes::Bytes;
use domain::commission::balances::Ledger;
use domain::commission::{CommissionEvent, CommissionEventKind, CommissionsEvent, Origin};
use domain::config::ConfigObject;
use domain::ids::{CommissionId, Hash};
use domain::normalization::{FactsEvent, VerdictKind};
use domain::time::Micros;
use std::collections::{BTreeMap, BTreeSet};
use stream::judge::Frame;
use stream::log::Partition;
use wire::ingest::IngestRecord;

/// A partition, read from its log.
pub(crate) struct Chain {
    pub(crate) ingest: Vec<Ingested>,
    pub(crate) facts: Vec<Accepted>,
    pub(crate) attributed: Vec<Accepted>,
    pub(crate) commissions: Vec<Accepted>,
}

impl Chain {
    fn read(world: &World, partition: Partition) -> Result<Self, String> {
        let [facts, attributed, commissions] = CHAIN.map(|topic| Truth::of(&world.log, topic, partition));
        Ok(Self {
            ingest: ingested(&world.log, partition),
            facts: facts?.frames,
            attributed: attributed?.frames,
            commissions: commissions?.frames,
        })
    }

    /// The log's time at the `ingest` record that a frame of `commissions` goes back to.
    fn log_time(&self, commissions: &Frame) -> Option<Micros> {
        let source = |frames: &[Accepted], seq: u64| {
            Some(frames.get(usize::try_from(seq).ok()?.checked_sub(1)?)?.frame.source)
        };
        let position = source(&self.facts, source(&self.attributed, commissions.source)?)?;
        Some(self.ingest.get(usize::try_from(position).ok()?)?.clock)
    }
}

/// How often something happened to commissions.
pub(crate) type Taken = BTreeMap<&'static str, u64>;

/// All oracles; what happened to commissions.
pub(crate) fn check(world: &World, sent: &[Request]) -> Result<Taken, String> {
    let mut taken = Taken::new();
    let mut reference = Reference::default();
    let mut versions = BTreeMap::new();
    let mut ledger = Ledger::default();
    let mut config = BTreeMap::new();
    nobody_diverged(world)?;
    for partition in (0..world.plan.partitions).map(Partition) {
        let chain = Chain::read(world, partition)?;
        let place = |problem: String| format!("partition {}: {problem}", partition.0);
        verdicts(&chain, &meanings(sent), &mut reference).map_err(place)?;
        money(&chain, &mut ledger, &mut versions, &mut taken).map_err(place)?;
        lineage(&chain).map_err(place)?;
        configuration(&chain, &mut config);
        if !world.plan.controls.skip_replay {
            replay::check(world, &chain).map_err(place)?;
        }
    }
    balances(&reference, &ledger, &versions)?;
    let directory = world.directory.lock().unwrap().clone();
    for (key, wanted) in &config {
        if directory.get(key) != Some(wanted) {
            return Err(format!("gateways have {:?} of {key}, the log says {wanted:?}", directory.get(key)));
        }
    }
    Ok(taken)
}

/// Every reader has read what the log says, however often it restarted. (O5: all readers agree.)
pub(crate) fn nobody_diverged(world: &World) -> Result<(), String> {
    for partition in (0..world.plan.partitions).map(Partition) {
        for topic in CHAIN {
            let truth = Truth::of(&world.log, topic, partition)?.heads();
            let rows = world.rows.lock().unwrap();
            let row = &rows[&(topic, partition)];
            let read = row.heads.len().min(truth.len());
            if row.halted {
                continue;
            }
            if row.heads[..read] != truth[..read] || (!world.plan.truncations && row.heads.len() > read) {
                return Err(format!("readers of {} disagree", topic.name()));
            }
        }
    }
    Ok(())
}

/// O5: each input has its frames, once, in order, with its own hash and clock. O1: each request has its verdict.
fn lineage(chain: &Chain) -> Result<(), String> {
    let mut next = 0_usize;
    for accepted in &chain.facts {
        let frame = &accepted.frame;
        let source = usize::try_from(frame.source).unwrap_or(usize::MAX);
        let input = chain.ingest.get(source).ok_or_else(|| format!("frame {} has no input", frame.seq))?;
        if source < next {
            return Err(format!("ingest {source} has two frames in facts"));
        }
        for skipped in next..source {
            is_tick(&chain.ingest[skipped].value)
                .then_some(())
                .ok_or_else(|| format!("ingest {skipped} has no frame in facts"))?;
        }
        if frame.source_head != Hash::of(&input.value) || frame.clock != input.clock {
            return Err(format!(
                "facts frame {} says {:?} of ingest {source}, which was appended at {:?}",
                frame.seq, frame.clock, input.clock
            ));
        }
        let is_request = matches!(
            wire::ingest::decode(&input.value),
            Ok(IngestRecord::Request(_) | IngestRecord::Retry { .. })
        );
        if is_request && verdict(&frame.events).is_none() {
            return Err(format!("ingest {source} has no verdict"));
        }
        next = source + 1;
    }
    follows("attributed", &chain.facts, &chain.attributed)?;
    follows("commissions", &chain.attributed, &chain.commissions)
}

fn is_tick(value: &Bytes) -> bool {
    matches!(wire::ingest::decode(value), Ok(IngestRecord::Tick))
}

fn follows(name: &str, inputs: &[Accepted], frames: &[Accepted]) -> Result<(), String> {
    let mut frames = frames.iter().map(|accepted| &accepted.frame).peekable();
    for input in inputs.iter().map(|accepted| &accepted.frame) {
        let mut step = 0;
        loop {
            let Some(frame) = frames.next_if(|frame| frame.source == input.seq && frame.step == step) else {
                // The last inputs may be ticks that came after everything was drained.
                return if frames.peek().is_none() && step == 0 {
                    Ok(())
                } else {
                    Err(format!("input {} has no frame for step {step} in {name}", input.seq))
                };
            };
            if frame.source_head != input.head || frame.clock != input.clock {
                return Err(format!("{name} frame {} is not of its input", frame.seq));
            }
            step += 1;
            if frame.last {
                break;
            }
        }
    }
    frames.next().map_or(Ok(()), |frame| Err(format!("{name} frame {} has no input", frame.seq)))
}

fn verdict(events: &[Bytes]) -> Option<domain::normalization::Verdict> {
    match wire::facts::decode(events.first()?) {
        Ok(FactsEvent::Verdict(verdict)) => Some(verdict),
        _ => None,
    }
}

/// O7: every verdict is the reference model's, and the counts add up.
fn verdicts(
    chain: &Chain,
    meanings: &BTreeMap<(String, Bytes), Request>,
    reference: &mut Reference,
) -> Result<(), String> {
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    let mut accepted = 0;
    for frame in &chain.facts {
        let source = usize::try_from(frame.frame.source).unwrap_or(usize::MAX);
        let record = wire::ingest::decode(&chain.ingest[source].value).map_err(|error| error.to_string())?;
        let asked = asked(&record, meanings)?;
        let Some(wanted) = reference.next(&asked, frame.version) else { continue };
        let found = verdict(&frame.frame.events).ok_or("no verdict")?;
        if found.kind.name() != wanted {
            return Err(format!(
                "ingest {source} is {} ({}), the reference says {wanted}: {asked:?}",
                found.kind.name(),
                found.reason
            ));
        }
        let retry = found.retry_of.is_some();
        accepted += i64::from(!retry);
        let settles = retry && matches!(found.kind, VerdictKind::Applied | VerdictKind::Ignored);
        if !retry || settles {
            *counts.entry(wanted).or_default() += 1;
        }
        if settles {
            *counts.entry("resolved").or_default() -= 1;
        }
    }
    if accepted != counts.values().sum::<i64>() {
        return Err(format!("{accepted} accepted, but {counts:?}"));
    }
    Ok(())
}

fn asked(record: &IngestRecord, meanings: &BTreeMap<(String, Bytes), Request>) -> Result<Asked, String> {
    let meant = |request: &wire::ingest::RawRequest| {
        let key = (request.program.as_str().to_owned(), request.body.clone());
        meanings.get(&key).cloned().ok_or_else(|| "a request that nobody sent".to_owned())
    };
    Ok(match record {
        IngestRecord::Request(request) => Asked::Request(meant(request)?),
        IngestRecord::Retry { request, .. } => Asked::Retry(meant(request)?),
        IngestRecord::ConfigWrite { fact, .. } => {
            let program = fact.program.as_str().to_owned();
            match &fact.object {
                ConfigObject::Code(code) => {
                    Asked::Code { program, code: code.code.clone(), active: code.active }
                }
                ConfigObject::Rule(rule) if rule.rule.as_str() == LEADS => Asked::Leads { program },
                ConfigObject::Rule(rule) => {
                    Asked::Rule { program, version: rule.version, pays: workload::pays(rule) }
                }
                ConfigObject::Program(_) => Asked::Program { program },
                ConfigObject::Partner(object) => {
                    Asked::Partner { program, partner: object.partner.as_str().to_owned() }
                }
                _ => Asked::Other,
            }
        }
        _ => Asked::Other,
    })
}

/// O2: one commission for a sale and partner at most. O3: postings sum to 0. Holds end by the log's time and not before.
fn money(
    chain: &Chain,
    ledger: &mut Ledger,
    versions: &mut BTreeMap<Name, u32>,
    taken: &mut Taken,
) -> Result<(), String> {
    let mut created: BTreeMap<CommissionId, Micros> = BTreeMap::new();
    let mut earning = BTreeSet::new();
    for accepted in &chain.commissions {
        for bytes in &accepted.frame.events {
            let event = wire::commissions::decode(bytes).map_err(|error| error.to_string())?;
            if let CommissionsEvent::Sale(sale) = &event {
                let name = name(sale.program.as_str(), &sale.sale);
                if !sale.late && versions.insert(name.clone(), accepted.version).is_some() {
                    return Err(format!("sale {name:?} was recorded twice"));
                }
            }
            let CommissionsEvent::Commission(event) = event else { continue };
            *taken.entry(what(&event)).or_default() += 1;
            let name = name(event.program.as_str(), &event.sale);
            let sum: i128 = event.postings.iter().map(|posting| i128::from(posting.amount.0)).sum();
            if sum != 0 {
                return Err(format!("the postings of {name:?} sum to {sum}"));
            }
            // Not the frame's own claim.
            let clock = chain.log_time(&accepted.frame).unwrap_or(accepted.frame.clock);
            match event.kind {
                CommissionEventKind::Created => {
                    let due = event.terms.as_ref().map_or(clock, |terms| terms.hold_until);
                    let is_twice = created.insert(event.id.clone(), due).is_some();
                    if is_twice || !earning.insert((name.clone(), event.partner.clone())) {
                        return Err(format!("{} has two commissions of sale {name:?}", event.partner));
                    }
                }
                CommissionEventKind::Approved
                    if clock < *created.get(&event.id).ok_or("approved and never created")? =>
                {
                    return Err(format!("{name:?} was released early"));
                }
                _ => {}
            }
            ledger.apply(clock, &event).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

/// What an event does, by the ledger's own word and what is special about it.
fn what(event: &CommissionEvent) -> &'static str {
    use CommissionEventKind::{Created, HoldReleased, Refunded, Reinstated, Review};
    let by_person = event.actor != "system";
    match (event.kind, &event.terms) {
        (Created, Some(terms)) if terms.split.is_some() => "a part created",
        (Created, Some(terms)) if terms.origin != Origin::Conversion => "created by a person",
        (Created, _) if event.sale.external_id.starts_with("lead:") => "a lead created",
        (Created, Some(terms)) if event.gross < terms.uncapped => "created under a cap",
        (Review, _) if by_person => "held by a person",
        (HoldReleased, _) if by_person => "released by a person",
        (Reinstated, _) if by_person => "reinstated by a person",
        (Refunded, _) => "refunded",
        (kind, _) => kind.name(),
    }
}

/// What must have happened in a whole run.
pub(crate) const MUST: [&str; 11] = [
    "created",
    "a part created",
    "created by a person",
    "a lead created",
    "created under a cap",
    "held by a person",
    "released by a person",
    "rejected",
    "reinstated by a person",
    "approved",
    "refunded",
];

fn name(program: &str, sale: &domain::attribution::SaleKey) -> Name {
    let source = if sale.source.as_str() == "paddle" { "paddle" } else { "revshare" };
    (program.to_owned(), source, sale.external_id.clone())
}

/// O3, O7: the ledger's own rules hold, and the balances are the reference model's.
fn balances(reference: &Reference, ledger: &Ledger, versions: &BTreeMap<Name, u32>) -> Result<(), String> {
    if let Some((rule, place)) = ledger.problems().first() {
        return Err(format!("{place}: {rule}"));
    }
    let mut earnings = Earnings::default();
    for said in &reference.money {
        earnings.next(said, |name| versions.get(name).copied())?;
    }
    let wanted = earnings.balances();
    let mut found = BTreeMap::new();
    for line in ledger.balances.lines() {
        if line.sheet.net() != 0 {
            let key = (line.program_id.as_str().to_owned(), line.partner_id.as_str().to_owned());
            found.insert(key, line.sheet.net());
        }
        if line.sheet.pending.0 != 0 {
            return Err(format!("{} is still pending after eight days", line.partner_id));
        }
    }
    if found != wanted {
        return Err(format!("balances {found:?}, the reference says {wanted:?}"));
    }
    Ok(())
}

/// The newest version of each object that gateways must know.
fn configuration(chain: &Chain, config: &mut BTreeMap<String, (u64, bool)>) {
    for accepted in &chain.facts {
        for bytes in &accepted.frame.events {
            if let Ok(FactsEvent::Config(fact)) = wire::facts::decode(bytes)
                && fact.concerns_gateway()
            {
                config.insert(fact.key(), (accepted.frame.seq, fact.removed));
            }
        }
    }
}

/// Prints a history for whoever looks into one.
pub(crate) fn tell(world: &World) {
    println!("{:#?}", world.plan);
    for partition in (0..world.plan.partitions).map(Partition) {
        let Ok(chain) = Chain::read(world, partition) else { continue };
        for (position, input) in chain.ingest.iter().enumerate() {
            let frame = chain.facts.iter().find(|accepted| accepted.frame.source == position as u64);
            let (Ok(record), Some(accepted)) = (wire::ingest::decode(&input.value), frame) else { continue };
            if !matches!(record, IngestRecord::Tick) {
                let events: Vec<_> = accepted.frame.events.iter().map(wire::facts::decode).collect();
                println!(
                    "{}/{position} by logic {}: {record:?}\n    -> {events:?}",
                    partition.0, accepted.version
                );
            }
        }
    }
}

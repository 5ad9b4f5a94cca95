//! Finds the sale that an id means, and collects every frame that has to do with it, from `commissions` back to `ingest`.
//!
//! Topics are read from their starts, once per step, and little of them is kept: what an answer names, never a partition.
use super::ExplainError;
use domain::attribution::{AttributedEvent, SaleKey};
use domain::commission::{CommissionsEvent, SaleLinked, SaleRecorded};
use domain::facts::{Fact, FactBody};
use domain::ids::ProgramId;
use domain::normalization::FactsEvent;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use stream::base::Base;
use stream::cursor::Cursor;
use stream::follow::Follower;
use stream::judge::Frame;
use stream::log::{Log, LogError, Offset, Partition, Topic};
use wire::ingest::IngestRecord;

const RECORDS: usize = 1_000;
const BYTES: usize = 4 << 20;

/// The payment that is explained: all ids by which its source names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) partition: Partition,
    pub(super) program: ProgramId,
    pub(super) names: BTreeSet<SaleKey>,
}

/// A frame of `commissions` with what it says of the subject.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) frame: Frame,
    /// (ordinal, event).
    pub(super) events: Vec<(usize, CommissionsEvent)>,
}

/// A frame and its decoded events.
#[derive(Debug)]
pub(super) struct Decoded<E> {
    pub(super) frame: Frame,
    pub(super) events: Vec<E>,
}

/// A raw request as it is in `ingest`, while it is there.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) position: u64,
    pub(super) record: IngestRecord,
}

/// Everything about one payment.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) subject: Subject,
    pub(super) decided: Vec<Decided>,
    /// By `seq`.
    pub(super) attributed: BTreeMap<u64, Decoded<AttributedEvent>>,
    /// By `seq`: the inputs of the above, and further deliveries of the same events.
    pub(super) facts: BTreeMap<u64, Decoded<FactsEvent>>,
    /// By position.
    pub(super) raw: BTreeMap<u64, Raw>,
}

/// Reads the accepted frames of a partition up to where it ends now.
async fn each_frame(
    log: &Arc<dyn Log>,
    topic: Topic,
    partition: Partition,
    mut each: impl FnMut(Frame) -> Result<(), ExplainError>,
) -> Result<(), ExplainError> {
    let end = log.bounds(topic, partition).await?.end;
    if end == Offset(0) {
        return Ok(());
    }
    let mut follower = Follower::open(log, topic, partition, Cursor::START).await?;
    while follower.cursor().next_offset() < end {
        for frame in follower.next(RECORDS, BYTES).await? {
            if frame.offset < end {
                each(frame)?;
            }
        }
    }
    Ok(())
}

/// Every payment that `id` may mean, by program and partition.
pub(super) async fn find(log: &Arc<dyn Log>, id: &str) -> Result<Vec<Subject>, ExplainError> {
    let mut found: Vec<Subject> = Vec::new();
    for partition in (0..log.partition_count()).map(Partition) {
        let mut links: Vec<SaleLinked> = Vec::new();
        let mut named: BTreeSet<(String, SaleKey)> = BTreeSet::new();
        // A delivery is known to `facts` by the key that its sender gave it; `commissions` knows the event's id.
        let events = deliveries(log, partition, id).await?;
        let is = |event: &str| event == id || events.contains(event);
        each_frame(log, Topic::Commissions, partition, |frame| {
            for event in commissions_events(&frame)? {
                let mut names = |program: &ProgramId, sale: &SaleKey, meant: bool| {
                    if meant {
                        named.insert((program.0.clone(), sale.clone()));
                    }
                };
                match event {
                    CommissionsEvent::Sale(sale) => {
                        let meant = sale.id.as_str() == id || is_named(&sale, id) || is(sale.event.as_str());
                        names(&sale.program, &sale.sale, meant);
                    }
                    CommissionsEvent::Commission(event) => {
                        let meant = event.id.as_str() == id
                            || event.cause.as_ref().is_some_and(|cause| is(cause.as_str()));
                        names(&event.program, &event.sale, meant);
                    }
                    CommissionsEvent::Reversal(reversal) => {
                        let meant = reversal.object_id == id || is(reversal.event.as_str());
                        names(&reversal.program, &reversal.sale, meant);
                    }
                    CommissionsEvent::Link(link) => {
                        let meant = link.aliases.iter().any(|alias| alias == id);
                        names(&link.program, &link.sale, meant);
                        links.push(link);
                    }
                    _ => {}
                }
            }
            Ok(())
        })
        .await?;
        for (program, sale) in named {
            let program = ProgramId(program);
            let names = linked(&program, sale, &links);
            let subject = Subject { partition, program, names };
            if !found.contains(&subject) {
                found.push(subject);
            }
        }
    }
    Ok(found)
}

/// Whether a conversion has this id at its source: what is no sale has its kind before it in its name.
fn is_named(sale: &SaleRecorded, id: &str) -> bool {
    let name = &sale.sale.external_id;
    let kind = sale.facets.details.kind;
    let own = name.strip_prefix(kind.name()).and_then(|rest| rest.strip_prefix(':'));
    name == id || (!kind.is_sale() && own == Some(id))
}

/// Events whose delivery key is `id`, and those that made a commission of its own under that id.
async fn deliveries(
    log: &Arc<dyn Log>,
    partition: Partition,
    id: &str,
) -> Result<BTreeSet<String>, ExplainError> {
    let mut events = BTreeSet::new();
    each_frame(log, Topic::Facts, partition, |frame| {
        for event in facts_events(&frame)? {
            match event {
                FactsEvent::Verdict(verdict) if verdict.delivery_key == id => {
                    events.insert(verdict.event.0);
                }
                FactsEvent::Fact(fact) if fact.object_id == id && makes_commission(&fact) => {
                    events.insert(fact.event.0);
                }
                _ => {}
            }
        }
        Ok(())
    })
    .await?;
    Ok(events)
}

fn makes_commission(fact: &Fact) -> bool {
    matches!(&fact.body, FactBody::Command(command) if command.adjustment.is_some())
}

/// All names of the payment that has this one.
fn linked(program: &ProgramId, sale: SaleKey, links: &[SaleLinked]) -> BTreeSet<SaleKey> {
    let mut names = BTreeSet::from([sale]);
    loop {
        let before = names.len();
        for link in links.iter().filter(|link| link.program == *program) {
            let all = || {
                let aliases = link.aliases.iter().map(|alias| link.sale.named(alias));
                aliases.chain([link.sale.clone()])
            };
            if all().any(|name| names.contains(&name)) {
                names.extend(all());
            }
        }
        if names.len() == before {
            return names;
        }
    }
}

/// Collects what there is about `subject`.
pub(super) async fn gather(log: &Arc<dyn Log>, subject: Subject) -> Result<Gathered, ExplainError> {
    let partition = subject.partition;
    let mut decided = Vec::new();
    let mut subscription: Option<String> = None;
    each_frame(log, Topic::Commissions, partition, |frame| {
        let events = commissions_events(&frame)?.into_iter().enumerate();
        let ours: Vec<(usize, CommissionsEvent)> =
            events.filter(|(_, event)| concerns(&subject, subscription.as_ref(), event)).collect();
        for (_, event) in &ours {
            if let CommissionsEvent::Sale(sale) = event
                && !sale.subscription_id.is_empty()
            {
                subscription = Some(sale.subscription_id.clone());
            }
        }
        if !ours.is_empty() {
            decided.push(Decided { frame, events: ours });
        }
        Ok(())
    })
    .await?;
    let inputs: BTreeSet<u64> = decided.iter().map(|decided| decided.frame.source).collect();
    let mut attributed = BTreeMap::new();
    each_frame(log, Topic::Attributed, partition, |frame| {
        if inputs.contains(&frame.seq) {
            let place = place(Topic::Attributed, &frame);
            let events = decode(&frame, &place, wire::attributed::decode)?;
            attributed.insert(frame.seq, Decoded { frame, events });
        }
        Ok(())
    })
    .await?;
    let inputs: BTreeSet<u64> = attributed.values().map(|passed| passed.frame.source).collect();
    let causes = causes(&decided);
    let mut facts = BTreeMap::new();
    each_frame(log, Topic::Facts, partition, |frame| {
        let events = facts_events(&frame)?;
        let delivers = |event: &FactsEvent| {
            matches!(event, FactsEvent::Verdict(verdict) if causes.contains(verdict.event.as_str()))
        };
        if inputs.contains(&frame.seq) || events.iter().any(delivers) {
            facts.insert(frame.seq, Decoded { frame, events });
        }
        Ok(())
    })
    .await?;
    let positions = facts.values().map(|facts| facts.frame.source);
    let raw = raw(log, partition, positions).await?;
    Ok(Gathered { subject, decided, attributed, facts, raw })
}

fn concerns(subject: &Subject, subscription: Option<&String>, event: &CommissionsEvent) -> bool {
    let is =
        |program: &ProgramId, sale: &SaleKey| *program == subject.program && subject.names.contains(sale);
    match event {
        CommissionsEvent::Sale(sale) => is(&sale.program, &sale.sale),
        CommissionsEvent::Commission(event) => is(&event.program, &event.sale),
        CommissionsEvent::Reversal(reversal) => is(&reversal.program, &reversal.sale),
        CommissionsEvent::Link(link) => is(&link.program, &link.sale),
        CommissionsEvent::Cancelled(over) => {
            over.program == subject.program && Some(&over.subscription_id) == subscription
        }
        _ => false,
    }
}

/// The external events behind what was decided.
fn causes(decided: &[Decided]) -> BTreeSet<String> {
    let events = decided.iter().flat_map(|decided| &decided.events);
    let cause = events.filter_map(|(_, event)| match event {
        CommissionsEvent::Sale(sale) => Some(&sale.event),
        CommissionsEvent::Commission(event) => event.cause.as_ref(),
        CommissionsEvent::Reversal(reversal) => Some(&reversal.event),
        CommissionsEvent::Link(link) => Some(&link.event),
        CommissionsEvent::Cancelled(over) => Some(&over.event),
        _ => None,
    });
    cause.map(|event| event.0.clone()).collect()
}

/// The records of `ingest` at these positions, as far as retention has left them.
async fn raw(
    log: &Arc<dyn Log>,
    partition: Partition,
    positions: impl Iterator<Item = u64>,
) -> Result<BTreeMap<u64, Raw>, ExplainError> {
    let bounds = log.bounds(Topic::Ingest, partition).await?;
    let base = Base::of(log.as_ref(), partition).await?;
    let mut records = BTreeMap::new();
    for position in positions {
        let Some(offset) = base.offset(position) else { continue };
        if offset < base.first() || offset >= bounds.end {
            continue;
        }
        match log.record_at(Topic::Ingest, partition, offset).await {
            Ok(Some(record)) => {
                if let Ok(record) = wire::ingest::decode(&record.value) {
                    records.insert(position, Raw { position, record });
                }
            }
            // Expired while we looked.
            Ok(None) | Err(LogError::OutOfRange { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(records)
}

fn place(topic: Topic, frame: &Frame) -> String {
    format!("{} frame {}", topic.name(), frame.seq)
}

fn decode<E>(
    frame: &Frame,
    place: &str,
    decode: impl Fn(&bytes::Bytes) -> Result<E, wire::Unknown>,
) -> Result<Vec<E>, ExplainError> {
    let events: Result<Vec<E>, _> = frame.events.iter().map(decode).collect();
    events.map_err(|error| ExplainError::UnknownEvent { place: place.to_owned(), error })
}

fn commissions_events(frame: &Frame) -> Result<Vec<CommissionsEvent>, ExplainError> {
    decode(frame, &place(Topic::Commissions, frame), wire::commissions::decode)
}

fn facts_events(frame: &Frame) -> Result<Vec<FactsEvent>, ExplainError> {
    decode(frame, &place(Topic::Facts, frame), wire::facts::decode)
}

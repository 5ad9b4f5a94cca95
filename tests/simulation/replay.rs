//! O4: every frame, decided again from its input and the fold before it by the logic of its epoch, has the same bytes.
use crate::oracle::Chain;
use crate::truth::Accepted;
use crate::versions::{Deployed, Version};
use crate::world::World;
use bytes::Bytes;
use domain::facts::Personal;
use domain::tables::MemoryTables;
use services::{Attribution, Commission, Normalizer};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use stream::keys::KeyStore;
use stream::seal;
use stream::service::{Decided, FrameMeta, Input, Payload, Service};

/// Replays the three services over one partition.
pub(crate) fn check(world: &World, chain: &Chain) -> Result<(), String> {
    let partitions = world.plan.partitions;
    let ingest = |source: u64| {
        let record = chain.ingest.get(usize::try_from(source).ok()?)?;
        Some(Payload::Ingest(record.value.clone()))
    };
    let index_key = world.keys.index_key();
    replay(world, || Normalizer::new(index_key, partitions), &chain.facts, ingest)?;
    let facts = payloads(&chain.facts);
    replay(world, || Attribution, &chain.attributed, |source| facts.get(&source).cloned())?;
    let attributed = payloads(&chain.attributed);
    replay(
        world,
        || Commission::new(partitions),
        &chain.commissions,
        |source| attributed.get(&source).cloned(),
    )
}

fn payloads(frames: &[Accepted]) -> BTreeMap<u64, Payload> {
    frames
        .iter()
        .map(|accepted| (accepted.frame.seq, Payload::Events(accepted.frame.events.clone())))
        .collect()
}

fn replay<S: Deployed>(
    world: &World,
    service: impl Fn() -> S,
    frames: &[Accepted],
    input: impl Fn(u64) -> Option<Payload>,
) -> Result<(), String> {
    let weak = world.plan.controls.quarantine_reserves;
    let first = Version::<S, 1>::new(service(), weak);
    let second = Version::<S, 2>::new(service(), weak);
    let mut tables = MemoryTables::default();
    for accepted in frames {
        let frame = &accepted.frame;
        let payload = input(frame.source).ok_or("a frame without its input")?;
        let input =
            Input { source: frame.source, head: frame.source_head, clock: frame.clock, payload, trace: None };
        let newest = accepted.version > 1 || world.plan.controls.newest_logic;
        let again = if newest {
            decide(world, &second, &tables, &input, frame.step)
        } else {
            decide(world, &first, &tables, &input, frame.step)
        }?;
        if again != frame.events {
            return Err(format!("{} frame {} is decided otherwise in a replay", S::NAME, frame.seq));
        }
        let meta = FrameMeta {
            seq: frame.seq,
            source: frame.source,
            source_head: frame.source_head,
            step: frame.step,
            last: frame.last,
            clock: frame.clock,
        };
        let mut events = Vec::new();
        for bytes in &frame.events {
            let mut event = first.decode(bytes).map_err(|error| error.to_string())?;
            for (subject, field) in first.personal(&mut event) {
                open(world, subject, field)?;
            }
            events.push(event);
        }
        first.evolve(&mut tables, &meta, &events);
    }
    Ok(())
}

fn open(world: &World, subject: domain::ids::SubjectId, field: &mut Personal) -> Result<(), String> {
    seal::open(&world.keys.get(subject), subject, field).map_err(|error| error.to_string())
}

/// The events' bytes, as the loop would have appended them.
fn decide<S: Service>(
    world: &World,
    service: &S,
    tables: &MemoryTables,
    input: &Input,
    step: u32,
) -> Result<Vec<Bytes>, String> {
    let decided = catch_unwind(AssertUnwindSafe(|| service.decide(tables, input, step)));
    let mut events = match decided {
        Ok(Decided::Nothing) => Vec::new(),
        Ok(Decided::Frame { events, .. }) => events,
        Err(panic) => service.defect(input, &domain::defect::panic_text(panic.as_ref())),
    };
    for event in &mut events {
        for (subject, field) in service.personal(event) {
            seal::seal(&world.keys.get(subject), subject, field).map_err(|error| error.to_string())?;
        }
    }
    Ok(events.iter().map(|event| service.encode(event)).collect())
}

//! What the loop does wrong when a rule is removed: negative controls of the simulation, in no other build.
use super::input::InputReader;
use super::take::{Folded, fold_to_fence_only, tables, view};
use super::{OwnerError, Shared};
use crate::base::Base;
use crate::cursor::WriterId;
use crate::log::{Offset, Partition, Record};
use crate::service::{Decided, FrameMeta, Service};
use crate::weakness::{self, Weakness};
use bytes::Bytes;
use domain::defect::panic_text;
use domain::time::Micros;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;

/// The pair with which an owner goes on although its appender failed.
pub(super) fn goes_on<S: Service>(
    shared: &Shared<S>,
    partition: Partition,
    folded: &Folded,
) -> Option<(u64, WriterId)> {
    let held = shared.held.lock().unwrap_or_else(PoisonError::into_inner);
    let (epoch, writer) = *held.get(&partition)?;
    (weakness::on(Weakness::NoRefence) && folded.judge.is_owner(epoch, writer)).then_some((epoch, writer))
}

/// What follows a fence.
pub(super) async fn after_fence<S: Service>(
    shared: &Shared<S>,
    partition: Partition,
    folded: &mut Folded,
    through: Offset,
    (epoch, writer): (u64, WriterId),
) -> Result<(), OwnerError> {
    if weakness::on(Weakness::TailBeforeFence) {
        fold_to_fence_only(folded, through, epoch, writer);
    }
    if weakness::on(Weakness::StateFromInputs) && folded.judge.is_owner(epoch, writer) {
        decide_again(shared, partition, folded).await?;
    }
    shared.held.lock().unwrap_or_else(PoisonError::into_inner).insert(partition, (epoch, writer));
    Ok(())
}

/// The state as today's logic would have it: every input decided again, nothing appended.
async fn decide_again<S: Service>(
    shared: &Shared<S>,
    partition: Partition,
    folded: &mut Folded,
) -> Result<(), OwnerError> {
    let Some(position) = folded.position else { return Ok(()) };
    folded.overlay.store().discard()?;
    folded.overlay.clear();
    let mut input = InputReader::open(shared, partition, None).await?;
    let mut seq = 0;
    loop {
        for located in input.next(shared, partition).await? {
            for step in 0.. {
                let overlay = view(&folded.overlay);
                let decide = AssertUnwindSafe(|| shared.service.decide(overlay, &located.input, step));
                let (events, more) = match catch_unwind(decide) {
                    Ok(Decided::Nothing) => break,
                    Ok(Decided::Frame { events, more }) => (events, more),
                    Err(panic) => (shared.service.defect(&located.input, &panic_text(panic.as_ref())), false),
                };
                seq += 1;
                let meta = FrameMeta {
                    seq,
                    source: located.input.source,
                    source_head: located.input.head,
                    step,
                    last: !more,
                    clock: located.input.clock,
                };
                shared.service.evolve(tables(&mut folded.overlay), &meta, &events);
                if !more {
                    break;
                }
            }
            if located.input.source >= position.source {
                return Ok(());
            }
        }
    }
}

/// A tick's key: the time of the host that sends it.
pub(super) fn tick_key(now: Micros) -> Bytes {
    if weakness::on(Weakness::TickTime) { Bytes::copy_from_slice(&now.0.to_be_bytes()) } else { Bytes::new() }
}

/// The time of a record: the later of the log's and the one that its key claims.
pub(super) fn claimed_time(base: &Base, record: &Record) -> Micros {
    let claimed = record.key.as_ref().try_into().map_or(0, i64::from_be_bytes);
    let time = base.time_of(record);
    if weakness::on(Weakness::TickTime) { time.max(Micros(claimed)) } else { time }
}

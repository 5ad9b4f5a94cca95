//! The events of programs' chains, in the order of the log, each with its place.
use super::ProofError;
use bytes::Bytes;
use domain::chain::program_of;
use domain::commission::CommissionsEvent;
use domain::ids::ProgramId;
use domain::time::Micros;
use std::collections::BTreeMap;
use std::sync::Arc;
use stream::cursor::Cursor;
use stream::follow::Follower;
use stream::log::{Log, Offset, Partition, Topic, partition_of};

const RECORDS: usize = 1_000;
const BYTES: usize = 4 << 20;

/// An event of a program's chain.
#[derive(Debug)]
pub struct Chained<'a> {
    /// Whose chain.
    pub program: &'a ProgramId,
    /// Its place in it, from 1.
    pub position: u64,
    /// The partition.
    pub partition: Partition,
    /// The frame within the partition.
    pub frame: u64,
    /// The place within the frame, from 0.
    pub ordinal: usize,
    /// The log's clock.
    pub clock: Micros,
    /// The event.
    pub event: &'a CommissionsEvent,
    /// The event as the log holds it.
    pub bytes: &'a Bytes,
}

/// Hands every chained event up to where the log ends now to `each`: of `only` one program, or of all.
///
/// # Errors
/// [`ProofError`], also that of `each`.
pub async fn each_chained(
    log: &Arc<dyn Log>,
    only: Option<&ProgramId>,
    mut each: impl FnMut(Chained<'_>) -> Result<(), ProofError>,
) -> Result<(), ProofError> {
    let count = log.partition_count();
    let home = only.map(|program| partition_of(program.as_str(), count));
    for partition in (0..count).map(Partition).filter(|partition| home.is_none_or(|home| home == *partition))
    {
        let end = log.bounds(Topic::Commissions, partition).await?.end;
        if end == Offset(0) {
            continue;
        }
        let mut positions: BTreeMap<String, u64> = BTreeMap::new();
        let mut follower = Follower::open(log, Topic::Commissions, partition, Cursor::START).await?;
        while follower.cursor().next_offset() < end {
            for frame in follower.next(RECORDS, BYTES).await? {
                if frame.offset >= end {
                    continue;
                }
                for (ordinal, bytes) in frame.events.iter().enumerate() {
                    let event = wire::commissions::decode(bytes).map_err(|error| {
                        let place = format!("commissions.v1/{} frame {}", partition.0, frame.seq);
                        ProofError::UnknownEvent { place, error }
                    })?;
                    let Some(program) = program_of(&event) else { continue };
                    if only.is_some_and(|only| only != program) {
                        continue;
                    }
                    let position = match positions.get_mut(program.as_str()) {
                        Some(position) => position,
                        None => positions.entry(program.0.clone()).or_default(),
                    };
                    *position += 1;
                    each(Chained {
                        program,
                        position: *position,
                        partition,
                        frame: frame.seq,
                        ordinal,
                        clock: frame.clock,
                        event: &event,
                        bytes,
                    })?;
                }
            }
        }
    }
    Ok(())
}

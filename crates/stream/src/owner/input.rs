//! The input of a partition: `ingest` records (contiguous, many writers) or the accepted frames of a chain topic, from the
//! place where the last accepted frame stopped, checked to be the same history (rule 10).
use super::take::InputPosition;
use super::{OwnerError, Shared};
use crate::base::Base;
use crate::cursor::{Cursor, WriterId};
use crate::follow::Follower;
use crate::log::{LogError, Offset, Partition, Reader, Topic};
use crate::parked::Mark;
use crate::service::{Input, Payload, Service};
use crate::weakness::{self, Weakness};
use domain::ids::Hash;
use domain::time::Micros;
use wire::v1::FrameContent;

/// An input with where it came from.
#[derive(Debug)]
pub(super) struct Located {
    pub(super) input: Input,
    pub(super) offset: u64,
    pub(super) epoch: u64,
    pub(super) writer: WriterId,
    /// Steps that are already accepted.
    pub(super) first_step: u32,
    /// What the input says of parked inputs; repeated downstream.
    pub(super) marks: Vec<Mark>,
}

/// Reads inputs.
#[derive(Debug)]
pub(super) enum InputReader {
    /// `expected`: the next offset.
    Ingest {
        reader: Box<dyn Reader>,
        base: Base,
        expected: u64,
        clock: Micros,
    },
    Chain {
        follower: Follower,
        skip_steps: Option<(u64, u32)>,
    },
}

impl InputReader {
    /// The offset of the next record, and the clock there.
    pub(super) fn reached(&self) -> (u64, Micros) {
        match self {
            Self::Ingest { expected, clock, .. } => (*expected, *clock),
            Self::Chain { follower, .. } => (follower.cursor().offset, follower.cursor().clock),
        }
    }

    /// Opens right after `position`, or in the middle of its input when steps are missing.
    pub(super) async fn open<S: Service>(
        shared: &Shared<S>,
        partition: Partition,
        position: Option<InputPosition>,
    ) -> Result<Self, OwnerError> {
        if S::INPUT == Topic::Ingest {
            open_ingest(shared, partition, position).await
        } else {
            open_chain(shared, partition, position).await
        }
    }

    /// The next inputs, at least one unless all records were void. Cancel-safe.
    pub(super) async fn next<S: Service>(
        &mut self,
        shared: &Shared<S>,
        partition: Partition,
    ) -> Result<Vec<Located>, OwnerError> {
        let (records, bytes) = (shared.options.batch_records, shared.options.batch_bytes);
        match self {
            Self::Ingest { reader, base, expected, clock } => {
                // Out of range: retention has passed an owner that slept and lost the partition long ago, or records are
                // lost. The next take knows where the input really stands, and halts if it must.
                let records = reader.next(records, bytes).await?;
                let mut inputs = Vec::with_capacity(records.len());
                for record in records {
                    let position = base.position(record.offset).filter(|_| record.offset.0 == *expected);
                    let Some(source) = position else {
                        return Err(shared.halted(partition, gap(*expected, record.offset.0)));
                    };
                    *expected += 1;
                    *clock = (*clock).max(time_of(base, &record));
                    inputs.push(Located {
                        offset: record.offset.0,
                        epoch: 0,
                        writer: WriterId::default(),
                        first_step: 0,
                        marks: Vec::new(),
                        input: Input {
                            source,
                            head: Hash::of(&record.value),
                            clock: *clock,
                            trace: wire::ingest::trace(&record.value),
                            payload: Payload::Ingest(record.value),
                        },
                    });
                }
                Ok(inputs)
            }
            Self::Chain { follower, skip_steps } => {
                let frames = follower
                    .next(records, bytes)
                    .await
                    .map_err(|error| shared.follow_error(partition, error))?;
                Ok(frames
                    .into_iter()
                    .map(|frame| Located {
                        offset: frame.offset.0,
                        epoch: frame.envelope.epoch,
                        writer: WriterId(frame.envelope.writer),
                        first_step: skip_steps
                            .take_if(|(seq, _)| *seq == frame.seq)
                            .map_or(0, |(_, accepted)| accepted + 1),
                        marks: frame.marks,
                        input: Input {
                            source: frame.seq,
                            head: frame.head,
                            clock: frame.clock,
                            payload: Payload::Events(frame.events),
                            trace: frame.envelope.trace,
                        },
                    })
                    .collect())
            }
        }
    }
}

/// The log's time, never a sender's (rule 11).
#[cfg(not(feature = "weaknesses"))]
fn time_of(base: &Base, record: &crate::log::Record) -> Micros {
    base.time_of(record)
}

#[cfg(feature = "weaknesses")]
use super::weak::claimed_time as time_of;

fn gap(expected: u64, found: u64) -> String {
    format!(
        "ingest offset {expected} is missing (the next is {found}): accepted events expired or were deleted before they were normalized; restore them, do not skip them"
    )
}

/// Facts name their input by its position: an imported log has it at another offset than the frame's envelope says.
async fn open_ingest<S: Service>(
    shared: &Shared<S>,
    partition: Partition,
    position: Option<InputPosition>,
) -> Result<InputReader, OwnerError> {
    let base = Base::of(shared.log.as_ref(), partition).await?;
    let bounds = shared.log.bounds(Topic::Ingest, partition).await?;
    let next = position.map_or(0, |position| position.source + 1);
    let clock = position.map_or(Micros(0), |position| position.clock);
    let first = bounds.start.max(base.first());
    let Some(expected) = base.offset(next).filter(|expected| *expected >= first) else {
        let found = base.position(first).unwrap_or_default();
        return Err(shared.halted(partition, expired(next, found)));
    };
    if bounds.end < expected && weakness::on(Weakness::NoAnchors) {
        return Err(LogError::Unavailable("waiting for the input to reach its old end".to_owned()).into());
    }
    if bounds.end < expected {
        let end = base.position(bounds.end).unwrap_or_default();
        return Err(shared.halted(
            partition,
            format!(
                "ingest ends at position {end} but {next} were normalized: its tail was lost or the topic was replaced; restore it"
            ),
        ));
    }
    if let Some(position) = position
        && let Some(last) = base.offset(position.source)
        && let Some(record) = shared.log.record_at(Topic::Ingest, partition, last).await?
        && Hash::of(&record.value) != position.head
        && !weakness::on(Weakness::NoAnchors)
    {
        return Err(shared.halted(
            partition,
            format!(
                "ingest position {} is not the record that was normalized: the topic was truncated and written again, or replaced; restore it",
                position.source
            ),
        ));
    }
    let reader = shared.log.reader(Topic::Ingest, partition, expected).await?;
    Ok(InputReader::Ingest { reader, base, expected: expected.0, clock })
}

fn expired(expected: u64, found: u64) -> String {
    format!(
        "ingest position {expected} is missing (the next is {found}): accepted events expired or were deleted before they were normalized; restore them, do not skip them"
    )
}

async fn open_chain<S: Service>(
    shared: &Shared<S>,
    partition: Partition,
    position: Option<InputPosition>,
) -> Result<InputReader, OwnerError> {
    let Some(position) = position else {
        let follower = Follower::open_checked(&shared.log, S::INPUT, partition, Cursor::START)
            .await
            .map_err(|error| shared.follow_error(partition, error))?;
        return Ok(InputReader::Chain { follower, skip_steps: None });
    };
    let skip_steps = (!position.last).then_some((position.source, position.step));
    let cursor = match cursor_at(shared, partition, &position).await? {
        Some(cursor) => cursor,
        None => search_from_start(shared, partition, &position).await?,
    };
    let follower = Follower::open_checked(&shared.log, S::INPUT, partition, cursor)
        .await
        .map_err(|error| shared.follow_error(partition, error))?;
    Ok(InputReader::Chain { follower, skip_steps })
}

/// The cursor after (or, when steps are missing, before) the input at its recorded offset, if it is still there.
async fn cursor_at<S: Service>(
    shared: &Shared<S>,
    partition: Partition,
    position: &InputPosition,
) -> Result<Option<Cursor>, OwnerError> {
    let record = match shared.log.record_at(S::INPUT, partition, Offset(position.offset)).await {
        Ok(Some(record)) => record,
        Err(LogError::OutOfRange { .. }) if weakness::on(Weakness::NoAnchors) => {
            let reason = "waiting for the input to reach its old end".to_owned();
            return Err(LogError::Unavailable(reason).into());
        }
        Ok(None) | Err(LogError::OutOfRange { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let Ok((envelope, content)) = wire::envelope::decode(&record.value) else { return Ok(None) };
    let same = Hash::of(&content) == position.head
        && (envelope.epoch, WriterId(envelope.writer)) == (position.epoch, position.writer);
    if !same && !weakness::on(Weakness::NoAnchors) {
        return Ok(None);
    }
    let after = Cursor {
        offset: position.offset + 1,
        anchor: Hash::of(&record.value),
        epoch: position.epoch,
        writer: position.writer,
        seq: position.source,
        head: position.head,
        logic_version: 0,
        clock: position.clock,
    };
    if position.last {
        return Ok(Some(after));
    }
    let decoded: Result<FrameContent, _> = prost::Message::decode(content);
    Ok(decoded.ok().and_then(|content| {
        let prev_head = Hash(content.prev_head.as_ref().try_into().ok()?);
        Some(Cursor {
            offset: position.offset,
            anchor: Hash::ZERO,
            seq: position.source - 1,
            head: prev_head,
            ..after
        })
    }))
}

/// Reads the input from its start up to the recorded `seq`: the same head means the same history at another offset.
async fn search_from_start<S: Service>(
    shared: &Shared<S>,
    partition: Partition,
    position: &InputPosition,
) -> Result<Cursor, OwnerError> {
    let end = shared.log.bounds(S::INPUT, partition).await?.end;
    let mut follower = Follower::open_checked(&shared.log, S::INPUT, partition, Cursor::START)
        .await
        .map_err(|error| shared.follow_error(partition, error))?;
    while follower.judge().next_offset() < end.0 {
        let before = follower.cursor();
        // One record at a time: the cursor must stand exactly before or after the frame.
        let frames =
            follower.next(1, usize::MAX).await.map_err(|error| shared.follow_error(partition, error))?;
        for frame in frames {
            if frame.seq == position.source {
                if frame.head == position.head {
                    return Ok(if position.last { follower.cursor() } else { before });
                }
                return Err(shared.halted(
                    partition,
                    format!(
                        "{} holds another frame {} than the one that was consumed: two histories; compare with a backup",
                        S::INPUT.name(),
                        position.source
                    ),
                ));
            }
        }
    }
    Err(shared.halted(
        partition,
        format!(
            "{} ends before frame {}, which was consumed: its tail was lost or the topic was replaced; restore it",
            S::INPUT.name(),
            position.source
        ),
    ))
}

//! Where a log is cut, and whether everything before the cut is worked off.
//!
//! Ends are looked up downstream first, what gateways must know before all: so whatever is kept of a topic was decided from
//! what is kept of its input, also while services are at work.
use super::MoveError;
use crate::base::Base;
use crate::log::{Log, LogError, Offset, Partition, Reader, Topic};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;
use wire::envelope::{self, Kind};
use wire::ingest::IngestRecord;

const RECORDS: usize = 4_000;
const BYTES: usize = 4 << 20;
/// Between looks at a log that services work on.
const PAUSE: Duration = Duration::from_millis(100);

/// What a service has not worked off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Behind {
    /// The service.
    pub service: &'static str,
    /// The partition.
    pub partition: u32,
    /// How many inputs wait: events of `ingest`, or frames.
    pub inputs: u64,
}

impl fmt::Display for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, partition, inputs } = self;
        let plural = if *inputs == 1 { "" } else { "s" };
        write!(f, "the {service} has {inputs} input{plural} of partition {partition} before it")
    }
}

/// Where one partition is cut.
#[derive(Debug, Clone, Default)]
pub(super) struct Ends(BTreeMap<Topic, Offset>);

impl Ends {
    async fn of(log: &dyn Log, partition: Partition) -> Result<Self, LogError> {
        let mut ends = BTreeMap::new();
        let downstream_first =
            [Topic::GatewayConfig, Topic::Commissions, Topic::Attributed, Topic::Facts, Topic::Ingest];
        for topic in downstream_first {
            ends.insert(topic, log.bounds(topic, partition).await?.end);
        }
        Ok(Self(ends))
    }

    pub(super) fn end(&self, topic: Topic) -> Offset {
        self.0.get(&topic).copied().unwrap_or_default()
    }
}

/// The last accepted frame of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LastFrame {
    pub(super) seq: u64,
    pub(super) source: u64,
    /// No further step of its input follows.
    pub(super) last: bool,
}

/// How far the services are in one partition.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Worked {
    pub(super) facts: Option<LastFrame>,
    pub(super) attributed: Option<LastFrame>,
    pub(super) commissions: Option<LastFrame>,
    /// Events of `ingest` behind the last frame of `facts`. Ticks that change nothing leave no frame.
    pub(super) events: u64,
}

impl Worked {
    pub(super) fn frame_mut(&mut self, topic: Topic) -> Option<&mut Option<LastFrame>> {
        match topic {
            Topic::Facts => Some(&mut self.facts),
            Topic::Attributed => Some(&mut self.attributed),
            Topic::Commissions => Some(&mut self.commissions),
            Topic::Ingest | Topic::Outcomes | Topic::GatewayConfig => None,
        }
    }

    /// What is left to be done.
    pub(super) fn behind(&self, partition: Partition) -> Vec<Behind> {
        let unfinished = |frame: Option<LastFrame>| u64::from(frame.is_some_and(|frame| !frame.last));
        let after = |input: Option<LastFrame>, output: Option<LastFrame>| {
            let (seq, source) = (input.map_or(0, |frame| frame.seq), output.map_or(0, |frame| frame.source));
            seq.saturating_sub(source) + unfinished(output)
        };
        let inputs = [
            ("normalizer", self.events + unfinished(self.facts)),
            ("attribution", after(self.facts, self.attributed)),
            ("commission", after(self.attributed, self.commissions)),
        ];
        let behind = inputs.into_iter().filter(|(_, inputs)| *inputs > 0);
        behind.map(|(service, inputs)| Behind { service, partition: partition.0, inputs }).collect()
    }

    /// A quick look at the ends of the topics. Only a former owner's void frame at the very end could mislead it, and the
    /// export itself judges every record.
    async fn look(log: &dyn Log, partition: Partition, ends: &Ends) -> Result<Self, LogError> {
        let mut worked = Self::default();
        for topic in [Topic::Facts, Topic::Attributed, Topic::Commissions] {
            if let Some(slot) = worked.frame_mut(topic) {
                *slot = last_frame(log, topic, partition, ends.end(topic)).await?;
            }
        }
        let base = Base::of(log, partition).await?;
        worked.events = events_after(log, partition, &base, worked.facts, ends.end(Topic::Ingest)).await?;
        Ok(worked)
    }
}

/// Cuts every partition. Unless it is for a `backup`, the services must have worked everything off, which is waited for.
pub(super) async fn cut(log: &dyn Log, backup: bool, wait: Duration) -> Result<Vec<Ends>, MoveError> {
    let deadline = Instant::now() + wait;
    loop {
        let (mut cut, mut behind) = (Vec::new(), Vec::new());
        for partition in (0..log.partition_count()).map(Partition) {
            let ends = Ends::of(log, partition).await?;
            if !backup {
                behind.extend(Worked::look(log, partition, &ends).await?.behind(partition));
            }
            cut.push(ends);
        }
        if behind.is_empty() {
            return Ok(cut);
        }
        if Instant::now() >= deadline {
            return Err(MoveError::NotDrained(behind));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn last_frame(
    log: &dyn Log,
    topic: Topic,
    partition: Partition,
    end: Offset,
) -> Result<Option<LastFrame>, LogError> {
    for offset in (0..end.0).rev().map(Offset) {
        let Some(record) = log.record_at(topic, partition, offset).await? else { break };
        let Ok((envelope, content)) = envelope::decode(&record.value) else { continue };
        if envelope.kind == Kind::Frame
            && let Ok(frame) = wire::frame::decode(&content)
        {
            return Ok(Some(LastFrame { seq: frame.seq, source: frame.source, last: frame.last }));
        }
    }
    Ok(None)
}

/// Events of `ingest` before `end` that no frame of `facts` was decided from.
pub(super) async fn events_after(
    log: &dyn Log,
    partition: Partition,
    base: &Base,
    facts: Option<LastFrame>,
    end: Offset,
) -> Result<u64, LogError> {
    let next = facts.map_or(0, |frame| frame.source + 1);
    let from = base.offset(next).unwrap_or_default().max(base.first());
    let mut events = 0;
    if let Some(mut span) = Span::open(log, Topic::Ingest, partition, from, end).await? {
        while let Some(records) = span.next().await? {
            events += records.iter().filter(|record| is_event(&record.value)).count() as u64;
        }
    }
    Ok(events)
}

/// Whether it is more than the clock: what nobody can read has a verdict, too.
pub(super) fn is_event(record: &bytes::Bytes) -> bool {
    !matches!(wire::ingest::decode(record), Ok(IngestRecord::Tick | IngestRecord::Base { .. }))
}

/// Records of a partition between two offsets.
#[derive(Debug)]
pub(super) struct Span {
    reader: Box<dyn Reader>,
    next: u64,
    end: u64,
}

impl Span {
    /// `None`: there are none.
    pub(super) async fn open(
        log: &dyn Log,
        topic: Topic,
        partition: Partition,
        from: Offset,
        end: Offset,
    ) -> Result<Option<Self>, LogError> {
        if from >= end {
            return Ok(None);
        }
        let reader = log.reader(topic, partition, from).await?;
        Ok(Some(Self { reader, next: from.0, end: end.0 }))
    }

    /// The next ones; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<crate::log::Record>>, LogError> {
        if self.next >= self.end {
            return Ok(None);
        }
        let mut records = self.reader.next(RECORDS, BYTES).await?;
        records.retain(|record| record.offset.0 < self.end);
        self.next = records.last().map_or(self.end, |record| record.offset.0 + 1);
        Ok(Some(records))
    }
}

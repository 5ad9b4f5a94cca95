//! When everything that the log holds has been worked off: for `up --once`.
//!
//! A partition has settled when the projector has passed a tick that came after the last event. A tick makes a frame in each
//! hop (unless nothing happened since the tick before it), so it is enough to look at the ends: the frame at the end of each
//! topic must come from the frame at the end of the topic before it, and the one at the end of `facts` from a tick that no
//! event follows.
use anyhow::bail;
use readmodel::batch::Followed;
use services::projector::Progress;
use std::sync::Arc;
use std::time::Duration;
use stream::base::Base;
use stream::log::{Bounds, Log, Offset, Partition, Topic};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use wire::envelope::Kind;
use wire::ingest::IngestRecord;

/// Pause between looks.
const PAUSE: Duration = Duration::from_millis(50);
/// When no partition makes progress for so long, something is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(120);
/// Records and bytes that are read at once, at most.
const SCAN_RECORDS: usize = 1_000;
const SCAN_BYTES: usize = 4 << 20;

/// Waits until every partition that holds events has settled.
///
/// # Errors
/// When the log cannot be read, nothing moves any more, or the process is told to stop.
pub(crate) async fn settled(
    log: &Arc<dyn Log>,
    projected: &watch::Receiver<Progress>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let mut waiting = Vec::new();
    for partition in (0..log.partition_count()).map(Partition) {
        let bounds = log.bounds(Topic::Ingest, partition).await?;
        if bounds.end > bounds.start {
            waiting.push(Watched::new(partition, Base::of(log.as_ref(), partition).await?));
        }
    }
    let mut moved_at = tokio::time::Instant::now();
    loop {
        let before = waiting.len();
        let looks = waiting.into_iter().map(|watched| watched.look(log, projected));
        let looked = futures::future::try_join_all(looks).await?;
        if looked.iter().any(|(_, seen)| seen.moved) {
            moved_at = tokio::time::Instant::now();
        }
        waiting = looked.into_iter().filter(|(_, seen)| !seen.settled).map(|(watched, _)| watched).collect();
        if waiting.is_empty() {
            return Ok(());
        }
        if waiting.len() == before && moved_at.elapsed() > STUCK_AFTER {
            let partitions: Vec<u32> = waiting.iter().map(|watched| watched.partition.0).collect();
            bail!("partitions {partitions:?} have not moved for {STUCK_AFTER:?}; see the log above for why");
        }
        tokio::select! {
            () = stop.cancelled() => bail!("told to stop before everything was worked off"),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// What a look has shown.
struct Seen {
    settled: bool,
    moved: bool,
}

/// A partition that has not settled yet, and how far it has been looked at.
#[derive(Debug)]
struct Watched {
    partition: Partition,
    /// Where positions of `ingest` are.
    base: Base,
    /// `facts`, `attributed`, `commissions`.
    chain: [ChainEnd; 3],
    ingest: Option<Scan>,
    projected_to: Offset,
}

impl Watched {
    fn new(partition: Partition, base: Base) -> Self {
        let chain = [Topic::Facts, Topic::Attributed, Topic::Commissions].map(ChainEnd::new);
        Self { partition, base, chain, ingest: None, projected_to: Offset(0) }
    }

    async fn look(
        mut self,
        log: &Arc<dyn Log>,
        projected: &watch::Receiver<Progress>,
    ) -> anyhow::Result<(Self, Seen)> {
        let mut moved = false;
        for end in &mut self.chain {
            moved |= end.refresh(log, self.partition).await?;
        }
        let cursor = projected.borrow().cursors.get(&(Followed::Commissions, self.partition)).copied();
        let projected_to = cursor.map_or(Offset(0), |cursor| cursor.next_offset());
        moved |= projected_to != self.projected_to;
        self.projected_to = projected_to;
        // By its position: a frame from before a move names the offset in the log of that time.
        let normalized =
            self.chain[0].frame.map_or(Offset(0), |facts| self.base.offset(facts.source).unwrap_or_default());
        let scan = self.ingest.get_or_insert_with(|| Scan::from(normalized));
        scan.go_on(log, self.partition).await?;
        let settled = match self.chain.each_ref().map(|end| end.frame) {
            [Some(facts), Some(attributed), Some(commissions)] => {
                scan.last_event.is_none_or(|event| normalized > event)
                    && facts.complete
                    && attributed.follows(facts)
                    && commissions.follows(attributed)
                    && projected_to > commissions.offset
            }
            // Ticks alone make no frame here: nothing ever came to this partition.
            [None, _, _] => scan.last_event.is_none(),
            _ => false,
        };
        Ok((self, Seen { settled, moved }))
    }
}

/// The frame at the end of a chain topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LastFrame {
    offset: Offset,
    /// Offset of the frame that it was decided from.
    input: Offset,
    /// Its input: `seq`, or position of `ingest`.
    source: u64,
    /// No further step of that input follows.
    complete: bool,
}

impl LastFrame {
    fn follows(self, before: Self) -> bool {
        self.complete && self.input >= before.offset
    }
}

#[derive(Debug)]
struct ChainEnd {
    topic: Topic,
    looked_to: Offset,
    frame: Option<LastFrame>,
}

impl ChainEnd {
    const fn new(topic: Topic) -> Self {
        Self { topic, looked_to: Offset(0), frame: None }
    }

    /// Looks at what was appended since the last look, from the end: past fences there is mostly one record to read.
    async fn refresh(&mut self, log: &Arc<dyn Log>, partition: Partition) -> anyhow::Result<bool> {
        let Bounds { start, end } = log.bounds(self.topic, partition).await?;
        if end == self.looked_to {
            return Ok(false);
        }
        for offset in (self.looked_to.max(start).0..end.0).rev().map(Offset) {
            let Some(record) = log.record_at(self.topic, partition, offset).await? else { break };
            let Ok((envelope, content)) = wire::envelope::decode(&record.value) else { continue };
            if envelope.kind == Kind::Frame
                && let Ok(frame) = wire::frame::decode(&content)
            {
                let (input, source) = (Offset(envelope.input_offset), frame.source);
                self.frame = Some(LastFrame { offset, input, source, complete: frame.last });
                break;
            }
        }
        self.looked_to = end;
        Ok(true)
    }
}

/// Finds the last event in `ingest`, from a place before which everything is in `facts`.
#[derive(Debug)]
struct Scan {
    next: Offset,
    last_event: Option<Offset>,
}

impl Scan {
    const fn from(next: Offset) -> Self {
        Self { next, last_event: None }
    }

    async fn go_on(&mut self, log: &Arc<dyn Log>, partition: Partition) -> anyhow::Result<()> {
        let Bounds { start, end } = log.bounds(Topic::Ingest, partition).await?;
        self.next = self.next.max(start);
        if self.next >= end {
            return Ok(());
        }
        let mut reader = log.reader(Topic::Ingest, partition, self.next).await?;
        while self.next < end {
            for record in reader.next(SCAN_RECORDS, SCAN_BYTES).await? {
                let decoded = wire::ingest::decode(&record.value);
                if !matches!(decoded, Ok(IngestRecord::Tick | IngestRecord::Base { .. })) {
                    self.last_event = Some(record.offset);
                }
                self.next = record.offset.next();
            }
        }
        Ok(())
    }
}

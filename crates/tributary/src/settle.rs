//! When everything that the log holds has been worked off: for `up --once`.
//!
//! A partition has settled when the projector has passed a tick that came after the last event. A tick makes a frame in each
//! hop (unless nothing happened since the tick before it), so it is enough to follow the last records: the frame at the end of
//! each topic must come from the frame at the end of the topic before it, and the one at the end of `facts` from a tick.
use anyhow::bail;
use readmodel::batch::Followed;
use services::projector::Progress;
use std::sync::Arc;
use std::time::Duration;
use stream::log::{Bounds, Log, Offset, Partition, Topic};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use wire::envelope::Kind;
use wire::ingest::IngestRecord;

/// Pause between looks.
const PAUSE: Duration = Duration::from_millis(50);
/// A partition that makes no progress for so long is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(120);

/// The frame at the end of a chain topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LastFrame {
    offset: Offset,
    /// Of the record that it was decided from.
    input: Offset,
    /// No further step of that input follows.
    complete: bool,
}

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
            waiting.push(partition);
        }
    }
    let mut progress = Vec::new();
    let mut moved_at = tokio::time::Instant::now();
    loop {
        let mut seen = Vec::new();
        let mut still = Vec::new();
        for partition in waiting {
            let (settled, place) = look(log, projected, partition).await?;
            seen.push(place);
            if !settled {
                still.push(partition);
            }
        }
        if still.is_empty() {
            return Ok(());
        }
        if seen != progress {
            progress = seen;
            moved_at = tokio::time::Instant::now();
        } else if moved_at.elapsed() > STUCK_AFTER {
            bail!("partitions {still:?} have not moved for {STUCK_AFTER:?}; see the log above for why");
        }
        waiting = still;
        tokio::select! {
            () = stop.cancelled() => bail!("told to stop before everything was worked off"),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

type Place = (Option<Offset>, Option<Offset>, Option<Offset>, Offset);

async fn look(
    log: &Arc<dyn Log>,
    projected: &watch::Receiver<Progress>,
    partition: Partition,
) -> anyhow::Result<(bool, Place)> {
    let facts = last_frame(log, Topic::Facts, partition).await?;
    let attributed = last_frame(log, Topic::Attributed, partition).await?;
    let commissions = last_frame(log, Topic::Commissions, partition).await?;
    let cursor = projected.borrow().cursors.get(&(Followed::Commissions, partition)).copied();
    let next = cursor.map_or(Offset(0), |cursor| cursor.next_offset());
    let offset = |frame: Option<LastFrame>| frame.map(|frame| frame.offset);
    let place = (offset(facts), offset(attributed), offset(commissions), next);
    let follows = |frame: Option<LastFrame>, before: LastFrame| {
        frame.is_some_and(|frame| frame.complete && frame.input >= before.offset)
    };
    let Some(facts) = facts else {
        // Without a frame there were no events, unless they are still on their way.
        let bounds = log.bounds(Topic::Ingest, partition).await?;
        return Ok((only_ticks(log, partition, bounds.start).await?, place));
    };
    let chained = follows(attributed, facts)
        && attributed.is_some_and(|attributed| follows(commissions, attributed))
        && commissions.is_some_and(|commissions| next > commissions.offset);
    let settled = chained && facts.complete && only_ticks(log, partition, facts.input).await?;
    Ok((settled, place))
}

/// The last frame of a chain topic, past fences.
async fn last_frame(
    log: &Arc<dyn Log>,
    topic: Topic,
    partition: Partition,
) -> anyhow::Result<Option<LastFrame>> {
    let Bounds { start, end } = log.bounds(topic, partition).await?;
    for offset in (start.0..end.0).rev().map(Offset) {
        let Some(record) = log.record_at(topic, partition, offset).await? else { return Ok(None) };
        let Ok((envelope, content)) = wire::envelope::decode(&record.value) else { continue };
        if envelope.kind == Kind::Frame
            && let Ok(frame) = wire::frame::decode(&content)
        {
            return Ok(Some(LastFrame {
                offset,
                input: Offset(envelope.input_offset),
                complete: frame.last,
            }));
        }
    }
    Ok(None)
}

/// Whether everything in `ingest` from `from` on is a tick. Looks at the end first: events are mostly there.
async fn only_ticks(log: &Arc<dyn Log>, partition: Partition, from: Offset) -> anyhow::Result<bool> {
    let Bounds { start, end } = log.bounds(Topic::Ingest, partition).await?;
    for offset in (from.max(start).0..end.0).rev().map(Offset) {
        let Some(record) = log.record_at(Topic::Ingest, partition, offset).await? else { break };
        if !matches!(wire::ingest::decode(&record.value), Ok(IngestRecord::Tick)) {
            return Ok(false);
        }
    }
    Ok(true)
}

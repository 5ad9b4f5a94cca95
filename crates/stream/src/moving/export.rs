//! A log becomes an archive.
use super::archive::{Manifest, Section, Writer};
use super::cut::{self, Ends, LastFrame, Span, Worked, is_event};
use super::{MoveError, ORDER, OnProgress, Progress};
use crate::base::Base;
use crate::cursor::Cursor;
use crate::follow::FollowError;
use crate::judge::{Judge, Judged};
use crate::log::{Log, Partition, Topic};
use domain::ids::Hash;
use domain::time::Micros;
use prost::Message as _;
use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

/// How to export.
#[derive(Debug, Clone, Copy)]
pub struct ExportOptions {
    /// A copy that nobody goes on with: nothing need be worked off, and events may come meanwhile.
    pub backup: bool,
    /// How long to wait for the services to work everything off.
    pub wait: Duration,
    /// The time, for the header.
    pub now: Micros,
}

/// An archive that was written.
#[derive(Debug)]
pub struct Exported<W> {
    /// Where it was written to.
    pub out: W,
    /// Its last block.
    pub manifest: Manifest,
}

/// Writes everything that `log` holds to `out`, cut at one moment.
///
/// # Errors
/// [`MoveError::NotDrained`], [`MoveError::Arrived`] (neither for a backup), [`MoveError::Beheaded`], [`MoveError::Follow`] when
/// the chain is not one history, and whatever log and `out` say. What was written of the archive is of no use then.
pub async fn export<W: Write + Send>(
    log: &dyn Log,
    out: W,
    options: ExportOptions,
    on_progress: OnProgress<'_>,
) -> Result<Exported<W>, MoveError> {
    let cut = cut::cut(log, options.backup, options.wait).await?;
    let writer = Writer::new(out, log.partition_count(), options.now)?;
    let worked = vec![Worked::default(); cut.len()];
    let mut exporter = Exporter { log, writer, worked, on_progress, records: 0 };
    for topic in ORDER {
        for (partition, ends) in cut.iter().enumerate() {
            let partition = Partition(u32::try_from(partition).unwrap_or(u32::MAX));
            match topic {
                Topic::Ingest => exporter.ingest(partition, ends).await?,
                Topic::GatewayConfig => exporter.gateway_config(partition, ends).await?,
                _ => exporter.chain(topic, partition, ends).await?,
            }
        }
    }
    let behind: Vec<_> = (0..).map(Partition).zip(&exporter.worked).flat_map(|(p, w)| w.behind(p)).collect();
    if !options.backup {
        if !behind.is_empty() {
            return Err(MoveError::NotDrained(behind));
        }
        exporter.nothing_came_since(&cut).await?;
    }
    let (out, manifest) = exporter.writer.finish(behind.is_empty())?;
    Ok(Exported { out, manifest })
}

struct Exporter<'a, W> {
    log: &'a dyn Log,
    writer: Writer<W>,
    /// By partition: what the judged records say.
    worked: Vec<Worked>,
    on_progress: OnProgress<'a>,
    records: u64,
}

impl<W: Write + Send> Exporter<'_, W> {
    fn progress(&mut self, topic: Topic, records: usize) {
        self.records += records as u64;
        (self.on_progress)(Progress { doing: "reading", topic, records: self.records });
    }

    /// Every record as it is, also what is void: offsets and anchors stay what they are.
    async fn chain(&mut self, topic: Topic, partition: Partition, ends: &Ends) -> Result<(), MoveError> {
        let section = Section { topic, partition, first: 0 };
        let bounds = self.log.bounds(topic, partition).await?;
        if bounds.start.0 > 0 {
            return Err(MoveError::Beheaded { place: section.place(), start: bounds.start.0 });
        }
        let Some(mut span) = Span::open(self.log, topic, partition, bounds.start, ends.end(topic)).await?
        else {
            return Ok(());
        };
        self.writer.begin(section)?;
        let mut judge = Judge::new(Cursor::START);
        let mut last: Option<(LastFrame, Hash)> = None;
        while let Some(records) = span.next().await? {
            for record in &records {
                let judged = judge.judge(record);
                match judged.map_err(|halt| FollowError::Halt { topic, partition, halt })? {
                    Judged::Frame(frame) => {
                        let (seq, source, complete) = (frame.seq, frame.source, frame.last);
                        last = Some((LastFrame { seq, source, last: complete }, frame.head));
                    }
                    Judged::Fence | Judged::Void(_) => {}
                }
                self.writer.record(record.appended_at, &record.key, &record.value)?;
            }
            self.progress(topic, records.len());
        }
        if let Some(slot) = self.worked[partition.0 as usize].frame_mut(topic) {
            *slot = last.map(|(frame, _)| frame);
        }
        self.writer.end(last.map(|(frame, head)| (frame.seq, head)))
    }

    /// What retention has left, with its positions and times.
    async fn ingest(&mut self, partition: Partition, ends: &Ends) -> Result<(), MoveError> {
        let base = Base::of(self.log, partition).await?;
        let (from, end) = (base.first(), ends.end(Topic::Ingest));
        let first = base.position(from).unwrap_or_default();
        if from >= end && first == 0 {
            return Ok(());
        }
        self.writer.begin(Section { topic: Topic::Ingest, partition, first })?;
        let next = self.worked[partition.0 as usize].facts.map_or(0, |frame| frame.source + 1);
        let mut events = 0;
        if let Some(mut span) = Span::open(self.log, Topic::Ingest, partition, from, end).await? {
            while let Some(records) = span.next().await? {
                for record in &records {
                    let waits = base.position(record.offset).is_some_and(|position| position >= next);
                    events += u64::from(waits && is_event(&record.value));
                    self.writer.record(base.time_of(record), &record.key, &record.value)?;
                }
                self.progress(Topic::Ingest, records.len());
            }
        }
        self.worked[partition.0 as usize].events = events;
        self.writer.end(None)
    }

    /// The newest version of each key (rule 9).
    async fn gateway_config(&mut self, partition: Partition, ends: &Ends) -> Result<(), MoveError> {
        let topic = Topic::GatewayConfig;
        let from = self.log.bounds(topic, partition).await?.start;
        let Some(mut span) = Span::open(self.log, topic, partition, from, ends.end(topic)).await? else {
            return Ok(());
        };
        let mut newest = BTreeMap::new();
        while let Some(records) = span.next().await? {
            self.progress(topic, records.len());
            for record in records {
                // Only the version is read: what the object is may be news to this binary.
                let Ok(said) = wire::v1::GatewayConfigRecord::decode(record.value.clone()) else {
                    tracing::warn!(
                        partition = partition.0,
                        offset = record.offset.0,
                        "gateway record left out"
                    );
                    continue;
                };
                let known = newest.entry(record.key.clone()).or_insert((said.version, record.clone()));
                if said.version >= known.0 {
                    *known = (said.version, record);
                }
            }
        }
        self.writer.begin(Section { topic, partition, first: 0 })?;
        for (_, record) in newest.values() {
            self.writer.record(record.appended_at, &record.key, &record.value)?;
        }
        self.writer.end(None)
    }

    /// Ticks may have come since the cut, events not: a move would leave them behind.
    async fn nothing_came_since(&self, cut: &[Ends]) -> Result<(), MoveError> {
        let mut arrived = 0;
        for (partition, ends) in (0..).map(Partition).zip(cut) {
            let end = self.log.bounds(Topic::Ingest, partition).await?.end;
            let from = ends.end(Topic::Ingest);
            if let Some(mut span) = Span::open(self.log, Topic::Ingest, partition, from, end).await? {
                while let Some(records) = span.next().await? {
                    arrived += records.iter().filter(|record| is_event(&record.value)).count() as u64;
                }
            }
        }
        if arrived > 0 { Err(MoveError::Arrived(arrived)) } else { Ok(()) }
    }
}

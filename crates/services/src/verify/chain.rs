//! The chain: `ingest` -> `facts` -> `attributed` -> `commissions`, walked side by side.
//!
//! Downstream ends are looked up first, so that a frame's input is always among what is read; what upstream has beyond is lag.
use super::fold::Fold;
use super::frames::{BYTES, Frames, RECORDS};
use super::{Findings, VerifyError};
use domain::attribution::Decision;
use domain::ids::Hash;
use domain::normalization::{FactsEvent, Verdict};
use std::collections::VecDeque;
use std::sync::Arc;
use stream::base::Base;
use stream::judge::Frame;
use stream::log::{Log, Offset, Partition, Reader, Record, Topic};
use wire::ingest::IngestRecord;

/// Walks one partition.
pub(super) async fn walk(
    log: &Arc<dyn Log>,
    partition: Partition,
    fold: &mut Fold,
    findings: &mut Findings,
) -> Result<(), VerifyError> {
    let mut commissions = Frames::open(log, Topic::Commissions, partition, findings).await?;
    let mut attributed = Frames::open(log, Topic::Attributed, partition, findings).await?;
    let mut facts = Frames::open(log, Topic::Facts, partition, findings).await?;
    let mut ingest = Ingest::open(log, partition).await?;
    while let Some(frame) = facts.next(findings).await? {
        let events = fold.facts(&frame, findings).await?;
        ingest.check(&frame, &events, findings).await?;
        // What a retried input leads to is decided from the parked input, which is not this one.
        let retries = events.iter().any(|event| matches!(event, FactsEvent::DefectRetry(_)));
        let mut passes = Answers::to(&frame);
        while let Some(passed) = passes.next(&mut attributed, findings).await? {
            let place = || at(&attributed, &passed);
            let decisions = decisions(&frame, &passed, retries, place, findings)?;
            let known = (!retries).then_some(decisions.as_slice());
            let mut decides = Answers::to(&passed);
            while let Some(decided) = decides.next(&mut commissions, findings).await? {
                fold.commissions(&decided, known, findings).await?;
            }
        }
    }
    // What is left has no input; it is folded all the same, since readers accept it.
    while let Some(frame) = attributed.next(findings).await? {
        findings.problem("no_input", at(&attributed, &frame), "an accepted frame of facts", frame.source);
    }
    while let Some(frame) = commissions.next(findings).await? {
        findings.problem(
            "no_input",
            at(&commissions, &frame),
            "an accepted frame of attributed",
            frame.source,
        );
        fold.commissions(&frame, None, findings).await?;
    }
    Ok(())
}

/// The decisions in a frame of `attributed`, which must pass the events of `input` on as they are.
fn decisions(
    input: &Frame,
    passed: &Frame,
    retries: bool,
    place: impl Fn() -> String,
    findings: &mut Findings,
) -> Result<Vec<Decision>, VerifyError> {
    let (mut decisions, mut events) = (Vec::new(), Vec::new());
    for bytes in &passed.events {
        // The facts event is decoded where it comes from.
        let (event, decision) = wire::attributed::decided(bytes)
            .map_err(|error| VerifyError::UnknownEvent { place: place(), error })?;
        events.extend(event);
        decisions.extend(decision);
    }
    let must_pass = passed.step == 0 && passed.defect.is_empty() && !retries;
    if must_pass && events != input.events {
        let expected = format!("the {} events of input {}", input.events.len(), input.seq);
        findings.problem("passed_events", place(), expected, format!("{} other events", events.len()));
    }
    Ok(decisions)
}

/// The frames downstream that were decided from `input`: all steps, in order, one at a time, since a tick may have any number
/// of them; none yet: lag.
struct Answers<'a> {
    input: &'a Frame,
    steps: u32,
    over: bool,
}

impl<'a> Answers<'a> {
    const fn to(input: &'a Frame) -> Self {
        Self { input, steps: 0, over: false }
    }

    async fn next(
        &mut self,
        downstream: &mut Frames,
        findings: &mut Findings,
    ) -> Result<Option<Box<Frame>>, VerifyError> {
        let input = self.input;
        if self.over {
            return Ok(None);
        }
        match downstream.peek(findings).await? {
            None => return Ok(None),
            Some(next) if next.source > input.seq => {
                let (source, seq) = (next.source, next.seq);
                let place = format!("{} frame {seq}", downstream.place());
                findings.problem(
                    "skipped_input",
                    place,
                    format!("input {}", input.seq),
                    format!("input {source}"),
                );
                self.over = true;
                return Ok(None);
            }
            Some(_) => {}
        }
        let Some(frame) = downstream.next(findings).await? else { return Ok(None) };
        if (frame.source, frame.source_head) != (input.seq, input.head) {
            findings.problem(
                "source_head",
                at(downstream, &frame),
                format!("input {} {:?}", input.seq, input.head),
                format!("input {} {:?}", frame.source, frame.source_head),
            );
        }
        if frame.step != self.steps {
            findings.problem("step", at(downstream, &frame), self.steps, frame.step);
        }
        self.steps += 1;
        self.over = frame.last;
        Ok(Some(frame))
    }
}

fn at(frames: &Frames, frame: &Frame) -> String {
    format!("{} frame {}", frames.place(), frame.seq)
}

/// `ingest`, read beside `facts`.
struct Ingest {
    partition: Partition,
    reader: Option<Box<dyn Reader>>,
    ready: VecDeque<Record>,
    end: Offset,
    /// Next offset to be read.
    next: u64,
    /// Where positions are; an imported log's first record says so.
    base: Base,
    current: Option<Current>,
}

/// The record that frames are being compared with.
struct Current {
    head: Hash,
    kind: Kind,
    verdicts: u32,
}

/// What a record asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One verdict that is no retry.
    External,
    /// One verdict that is a retry.
    Retry,
    /// A frame without a verdict.
    Config,
    /// A frame or none.
    Other,
}

impl Ingest {
    async fn open(log: &Arc<dyn Log>, partition: Partition) -> Result<Self, VerifyError> {
        let bounds = log.bounds(Topic::Ingest, partition).await?;
        let base = Base::of(log.as_ref(), partition).await?;
        let first = base.first();
        let reader =
            if bounds.end > first { Some(log.reader(Topic::Ingest, partition, first).await?) } else { None };
        let (ready, end, next) = (VecDeque::new(), bounds.end, first.0);
        Ok(Self { partition, reader, ready, end, next, base, current: None })
    }

    async fn fill(&mut self) -> Result<(), VerifyError> {
        if self.ready.is_empty()
            && self.next < self.end.0
            && let Some(reader) = &mut self.reader
        {
            self.ready.extend(reader.next(RECORDS, BYTES).await?);
        }
        Ok(())
    }

    /// Checks that the frame is that of its record, and that the records passed on the way needed none.
    async fn check(
        &mut self,
        frame: &Frame,
        events: &[FactsEvent],
        findings: &mut Findings,
    ) -> Result<(), VerifyError> {
        let verdicts: Vec<&Verdict> = events
            .iter()
            .filter_map(|event| match event {
                FactsEvent::Verdict(verdict) => Some(verdict),
                _ => None,
            })
            .collect();
        for verdict in &verdicts {
            findings.verdicts.count(verdict);
        }
        if frame.step == 0 {
            self.advance_to(frame.source, findings).await?;
        }
        // Text only where something is said of it.
        let place = || format!("ingest.v1/{} position {}", self.partition.0, frame.source);
        let Some(current) = &mut self.current else {
            // The record has expired: its verdicts speak for it.
            findings.accepted += verdicts.iter().filter(|verdict| verdict.retry_of.is_none()).count() as u64;
            return Ok(());
        };
        if current.head != frame.source_head {
            findings.problem(
                "source_head",
                place(),
                format!("{:?}", current.head),
                format!("{:?}", frame.source_head),
            );
        }
        current.verdicts += u32::try_from(verdicts.len()).unwrap_or(u32::MAX);
        if current.kind == Kind::Other && frame.step == 0 {
            // A record that nobody can read may have been given a verdict.
            findings.accepted += verdicts.len() as u64;
        }
        let wrong_kind = |verdict: &&&Verdict| verdict.retry_of.is_some() != (current.kind == Kind::Retry);
        if let Some(verdict) = verdicts.iter().find(wrong_kind) {
            findings.problem(
                "verdict_kind",
                place(),
                format!("{:?}", current.kind),
                format!("retry of {:?}", verdict.retry_of),
            );
        }
        if frame.last {
            let expected = match current.kind {
                Kind::External | Kind::Retry => 1,
                Kind::Config => 0,
                Kind::Other => current.verdicts.min(1),
            };
            if current.verdicts != expected {
                findings.problem("verdict_count", place(), expected, current.verdicts);
            }
        }
        Ok(())
    }

    /// Makes the record at `position` the current one; none when it has expired.
    async fn advance_to(&mut self, position: u64, findings: &mut Findings) -> Result<(), VerifyError> {
        self.current = None;
        if self.base.offset(position).is_none_or(|offset| offset.0 < self.next) {
            return Ok(());
        }
        loop {
            self.fill().await?;
            let Some(record) = self.ready.pop_front() else {
                let place = format!("facts.v1/{} source {position}", self.partition.0);
                findings.problem("no_input", place, "a record of ingest", "none");
                return Ok(());
            };
            self.next = record.offset.0 + 1;
            let at = self.base.position(record.offset).unwrap_or_default();
            let kind = match wire::ingest::decode(&record.value) {
                Ok(IngestRecord::Request(_)) => Kind::External,
                Ok(IngestRecord::Retry { .. }) => Kind::Retry,
                Ok(
                    IngestRecord::Config(_)
                    | IngestRecord::ConfigWrite { .. }
                    | IngestRecord::DefectRetry { .. },
                ) => Kind::Config,
                Ok(IngestRecord::Tick | IngestRecord::Base { .. }) | Err(_) => Kind::Other,
            };
            findings.accepted += u64::from(kind == Kind::External);
            if at == position {
                self.current = Some(Current { head: Hash::of(&record.value), kind, verdicts: 0 });
                return Ok(());
            }
            if kind != Kind::Other {
                let place = format!("ingest.v1/{} position {at}", self.partition.0);
                findings.problem("verdict_missing", place, "a frame of facts", "none");
            }
            if at > position {
                let place = format!("ingest.v1/{}", self.partition.0);
                findings.problem("no_input", place, format!("position {position}"), format!("position {at}"));
                return Ok(());
            }
        }
    }
}

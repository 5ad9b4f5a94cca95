//! Deciding one input: all its steps, each folded before the next; a panic parks the input instead of stopping anything (rule 8).
use super::OwnerError;
use super::input::Located;
use super::serve::Serving;
use super::take::{InputPosition, tables, view};
use crate::log::Topic;
use crate::meters;
use crate::parked::{self, Mark, Parked, keep};
use crate::service::{Decided, FrameMeta, Input, Service, UnknownEvent};
use crate::weakness::{self, Weakness};
use bytes::Bytes;
use domain::defect::panic_text;
use domain::ids::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Steps of one input at most: a `decide` that never ends is a defect.
const MAX_STEPS: u32 = 100_000;

/// A decided frame that is not accepted yet.
#[derive(Debug)]
pub(super) struct Pending<E> {
    pub(super) meta: FrameMeta,
    pub(super) events: Vec<E>,
    /// Why the input is parked; empty: it is not.
    pub(super) defect: String,
    pub(super) defect_input: Bytes,
    pub(super) marks: Vec<Mark>,
    pub(super) position: InputPosition,
    pub(super) trace: Option<([u8; 16], [u8; 8])>,
    pub(super) record: Bytes,
    pub(super) head: Hash,
}

/// What is to be decided: the input, or the parked one that it names.
struct Work<'located> {
    located: &'located Located,
    retried: Option<Retried>,
}

/// A parked input that is decided again.
struct Retried {
    source: u64,
    parked: Parked,
    input: Input,
}

/// One step, decided.
struct Step<E> {
    events: Vec<E>,
    more: bool,
    defect: String,
    defect_input: Bytes,
    marks: Vec<Mark>,
}

impl<S: Service> Serving<S> {
    /// Decides all steps of one input; each from the state after the step before.
    pub(super) fn decide(
        &mut self,
        located: &Located,
        pending: &mut Vec<Pending<S::Event>>,
    ) -> Result<(), OwnerError> {
        let work = self.work(located);
        for step in located.first_step..MAX_STEPS {
            let Some(decided) = self.step(&work, step)? else { return Ok(()) };
            let more = decided.more;
            let seq = pending.last().map_or(self.taken.folded.judge.last().0, |frame| frame.meta.seq) + 1;
            let meta = FrameMeta {
                seq,
                source: located.input.source,
                source_head: located.input.head,
                step,
                last: !more,
                clock: located.input.clock,
            };
            self.fold(&meta, &decided)?;
            pending.push(Pending {
                meta,
                events: decided.events,
                defect: decided.defect,
                defect_input: decided.defect_input,
                marks: decided.marks,
                position: InputPosition {
                    source: located.input.source,
                    head: located.input.head,
                    step,
                    last: !more,
                    offset: located.offset,
                    epoch: located.epoch,
                    writer: located.writer,
                    clock: located.input.clock,
                },
                trace: located.input.trace,
                record: Bytes::new(),
                head: Hash::ZERO,
            });
            if !more {
                return Ok(());
            }
        }
        Err(self.shared.halted(
            self.partition,
            format!("input {} has more than {MAX_STEPS} steps", located.input.source),
        ))
    }

    /// The parked input in place of the retry that names it. One that is not parked (any more) leaves the retry what it is.
    fn work<'located>(&self, located: &'located Located) -> Work<'located> {
        let service = &self.shared.service;
        let retried = service.retries(&located.input).and_then(|source| {
            let parked = parked::find(view(&self.taken.folded.overlay), source)?;
            let payload = parked.payload(S::INPUT == Topic::Ingest)?;
            let input = Input { payload, ..located.input.clone() };
            Some(Retried { source, parked, input })
        });
        Work { located, retried }
    }

    /// Decides one step. `None`: no frame.
    fn step(&self, work: &Work<'_>, step: u32) -> Result<Option<Step<S::Event>>, OwnerError> {
        let service = &self.shared.service;
        let overlay = view(&self.taken.folded.overlay);
        // Repeated once, with the first step.
        let mut marks = if step == 0 { work.located.marks.clone() } else { Vec::new() };
        let (input, asked) = match &work.retried {
            None => (&work.located.input, step),
            Some(retried) => (&retried.input, retried.parked.step.saturating_add(step)),
        };
        let decided = match self.shared.known_too_large(self.partition, input.source) {
            Some(message) => Err(message),
            None => match catch_unwind(AssertUnwindSafe(|| service.decide(overlay, input, asked))) {
                Ok(decided) => Ok(decided),
                // Not a defect: an input of a newer version (rule 6).
                Err(panic) => match panic.downcast::<UnknownEvent>() {
                    Ok(unknown) => return Err(OwnerError::Unknown(*unknown)),
                    Err(panic) if weakness::on(Weakness::PanicNotCaught) => resume_unwind(panic),
                    Err(panic) => Err(panic_text(panic.as_ref())),
                },
            },
        };
        let (events, more) = match decided {
            Ok(Decided::Nothing) if marks.is_empty() && work.retried.is_none() => return Ok(None),
            Ok(Decided::Nothing) => (Vec::new(), false),
            Ok(Decided::Frame { events, more }) => (events, more),
            Err(message) => return Ok(Some(self.park(work, message, marks))),
        };
        if let Some(retried) = &work.retried
            && !more
        {
            marks.push(retried.mark(S::NAME, String::new(), true));
            tracing::info!(
                service = S::NAME,
                partition = self.partition.0,
                source = retried.source,
                "parked input decided at last"
            );
        }
        Ok(Some(Step { events, more, defect: String::new(), defect_input: Bytes::new(), marks }))
    }

    /// The frame of an input whose decision panicked.
    fn park(&self, work: &Work<'_>, message: String, mut marks: Vec<Mark>) -> Step<S::Event> {
        let (service, input) = (&self.shared.service, &work.located.input);
        tracing::error!(
            service = S::NAME,
            partition = self.partition.0,
            source = work.retried.as_ref().map_or(input.source, |retried| retried.source),
            %message,
            "defect while deciding, input parked"
        );
        metrics::counter!(meters::DEFECTS, "service" => S::NAME).increment(1);
        let mut kept = Bytes::new();
        let mut events = Vec::new();
        if let Some(retried) = &work.retried {
            marks.push(retried.mark(S::NAME, message.clone(), false));
        } else {
            // Whatever reads the input to describe it may meet the same defect.
            events = catch_unwind(AssertUnwindSafe(|| service.defect(input, &message))).unwrap_or_default();
            if events.is_empty() {
                kept = keep(&input.payload);
                let (program, event) =
                    catch_unwind(AssertUnwindSafe(|| service.names(input))).unwrap_or_default();
                let (service, source) = (S::NAME.to_owned(), input.source);
                let detail = message.clone();
                marks.push(Mark { service, source, program, event, detail, settled: false });
            }
        }
        Step { events, more: false, defect: message, defect_input: kept, marks }
    }

    fn fold(&mut self, meta: &FrameMeta, decided: &Step<S::Event>) -> Result<(), OwnerError> {
        let service = &self.shared.service;
        let overlay = &mut self.taken.folded.overlay;
        let evolved = catch_unwind(AssertUnwindSafe(|| {
            service.evolve(tables(overlay), meta, &decided.events);
        }));
        if let Err(panic) = evolved {
            let message = panic_text(panic.as_ref());
            return Err(self.shared.halted(
                self.partition,
                format!("folding the decision on input {} failed: {message}", meta.source),
            ));
        }
        parked::fold(overlay, S::NAME, meta.step, &decided.defect_input, &decided.marks);
        overlay.check()?;
        if !decided.marks.is_empty() {
            self.report_parked();
        }
        Ok(())
    }

    /// How many inputs of the partition are parked.
    #[allow(clippy::cast_precision_loss, reason = "at most 10,000")]
    pub(super) fn report_parked(&self) {
        let parked = parked::count(&self.taken.folded.overlay) as f64;
        let partition = self.partition.0.to_string();
        metrics::gauge!(meters::PARKED, "service" => S::NAME, "partition" => partition).set(parked);
    }
}

impl Retried {
    fn mark(&self, service: &str, detail: String, settled: bool) -> Mark {
        Mark {
            service: service.to_owned(),
            source: self.source,
            program: self.parked.program.clone(),
            event: self.parked.event.clone(),
            detail,
            settled,
        }
    }
}

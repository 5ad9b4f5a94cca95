//! What the loop tells the outside while it serves: counters, how far it is behind, spans. Nothing here decides anything.
use super::decide::Pending;
use super::{OwnerError, Shared};
use crate::log::{Partition, Topic};
use crate::meters;
use crate::service::Service;
use domain::time::Micros;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Takes the spans of accepted frames. It must not wait.
pub trait FrameSpans: Send + Sync + Debug {
    /// The id of a new span of the trace; `None`: the trace is not sent, and what came with the input is passed on.
    fn begin(&self, trace_id: &[u8; 16]) -> Option<[u8; 8]>;

    /// The frame is accepted.
    fn accepted(&self, frame: &FrameSpan);
}

/// A frame's span: its id is in the frame's envelope, the parent's was in the input.
#[derive(Debug, Clone, Copy)]
pub struct FrameSpan {
    /// The service.
    pub service: &'static str,
    /// Where the frame went.
    pub topic: Topic,
    /// The partition.
    pub partition: Partition,
    /// The frame's place in the service's history.
    pub seq: u64,
    /// Its input.
    pub source: u64,
    /// Trace id and span id.
    pub context: ([u8; 16], [u8; 8]),
    /// The span that caused it.
    pub parent: [u8; 8],
    /// From the start of its batch to its acceptance.
    pub took: Duration,
}

/// The spans of a batch, while it is not accepted: by place in the batch, the parent.
#[derive(Debug)]
pub(super) struct Begun {
    parents: Vec<(usize, [u8; 8])>,
}

impl Begun {
    /// Gives each frame of a trace that is sent a span id of its own, which then goes into its envelope.
    pub(super) fn new<E>(spans: Option<&Arc<dyn FrameSpans>>, pending: &mut [Pending<E>]) -> Option<Self> {
        let spans = spans?;
        let mut parents = Vec::new();
        for (at, frame) in pending.iter_mut().enumerate() {
            if let Some((trace, span)) = &mut frame.trace
                && let Some(own) = spans.begin(trace)
            {
                parents.push((at, std::mem::replace(span, own)));
            }
        }
        Some(Self { parents })
    }

    /// Hands the spans over.
    pub(super) fn accepted<S: Service>(
        self,
        shared: &Shared<S>,
        partition: Partition,
        pending: &[Pending<S::Event>],
        took: Duration,
    ) {
        let Some(spans) = &shared.options.spans else { return };
        for (at, parent) in self.parents {
            let Some(frame) = pending.get(at) else { continue };
            let Some(context) = frame.trace else { continue };
            spans.accepted(&FrameSpan {
                service: S::NAME,
                topic: S::OUTPUT,
                partition,
                seq: frame.meta.seq,
                source: frame.meta.source,
                context,
                parent,
                took,
            });
        }
    }
}

/// One partition's counters, looked up once.
#[derive(Debug)]
pub(super) struct Meters {
    pub(super) inputs: metrics::Counter,
    pub(super) append_seconds: metrics::Histogram,
    frames: metrics::Counter,
    clock: metrics::Gauge,
    kinds: Vec<(&'static str, metrics::Counter)>,
}

impl Meters {
    pub(super) fn new(service: &'static str, partition: Partition) -> Self {
        let partition = partition.0.to_string();
        Self {
            inputs: metrics::counter!(meters::INPUTS, "service" => service),
            append_seconds: metrics::histogram!(meters::APPEND_SECONDS, "service" => service),
            frames: metrics::counter!(meters::FRAMES, "service" => service),
            clock: metrics::gauge!(meters::CLOCK, "service" => service, "partition" => partition),
            kinds: Vec::new(),
        }
    }

    /// Counts accepted frames.
    pub(super) fn accepted<S: Service>(&mut self, service: &S, pending: &[Pending<S::Event>]) {
        self.frames.increment(pending.len() as u64);
        for event in pending.iter().flat_map(|frame| &frame.events) {
            let kind = service.kind(event);
            match self.kinds.iter().find(|(known, _)| *known == kind) {
                Some((_, counter)) => counter.increment(1),
                None => {
                    let counter = metrics::counter!(meters::EVENTS, "service" => S::NAME, "kind" => kind);
                    counter.increment(1);
                    self.kinds.push((kind, counter));
                }
            }
        }
        if let Some(last) = pending.last() {
            self.clock.set(last.meta.clock.0 as f64 / 1e6);
        }
    }
}

/// How far each partition has come in its input: the next offset, and its clock there.
#[derive(Debug, Default)]
pub(super) struct Reached(Mutex<BTreeMap<Partition, (u64, Micros)>>);

impl Reached {
    pub(super) fn set(&self, partition: Partition, next: u64, clock: Micros) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(partition, (next, clock));
    }

    /// The partition is somebody else's now.
    pub(super) fn remove(&self, partition: Partition) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&partition);
    }

    fn all(&self) -> BTreeMap<Partition, (u64, Micros)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Publishes how far a service is behind its input, for ever.
pub(super) async fn watch_lag<S: Service>(shared: Arc<Shared<S>>, every: Duration) {
    let [records, seconds, age] = [meters::LAG_RECORDS, meters::LAG_SECONDS, meters::WATERMARK_AGE]
        .map(|name| metrics::gauge!(name, "service" => S::NAME));
    let mut lag = crate::lag::Lag::default();
    let mut pause = every;
    loop {
        tokio::time::sleep(pause).await;
        let since = Instant::now();
        let now = shared.options.host.now();
        let reached = shared.reached.all();
        let oldest_clock = reached.values().map(|(_, clock)| *clock).min();
        let places = reached.into_iter().map(|(partition, (next, clock))| (S::INPUT, partition, next, clock));
        let behind = lag.measure(shared.log.as_ref(), places, now).await;
        records.set(behind.values().map(|(records, _)| *records).sum::<u64>() as f64);
        seconds.set(behind.values().map(|(_, seconds)| *seconds).fold(0.0, f64::max));
        age.set(oldest_clock.map_or(0.0, |clock| now.0.saturating_sub(clock.0).max(0) as f64 / 1e6));
        // Brokers are asked for each partition: looking must stay a small part of what they do.
        pause = every.max(since.elapsed() * 20);
    }
}

/// The `reason` of a partition that is given up.
pub(super) const fn reason(error: &OwnerError) -> &'static str {
    match error {
        OwnerError::Lost => "lost",
        OwnerError::Log(_) => "log",
        OwnerError::Append(_) => "append",
        OwnerError::AppendDeadline(_) => "deadline",
        OwnerError::TooLarge { .. } => "too_large",
        OwnerError::Store(_) => "store",
        OwnerError::Keys(_) => "keys",
        OwnerError::Seal(_) | OwnerError::Halted { .. } | OwnerError::Unknown(_) => "other",
    }
}

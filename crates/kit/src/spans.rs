//! Spans for an OTLP/HTTP receiver: what happened to a request, hop by hop, also across processes and restarts.
//!
//! A hop's span gets its id when the hop begins, because that id travels in the log as the parent of what follows; so spans are
//! handed over whole, when they end, and not through a context of the running thread. Handing over never waits: a bounded
//! queue, and what does not fit is counted and dropped. Without a receiver everything here is one comparison.
use crate::config::Telemetry;
use metrics::{Unit, counter, describe_counter};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Spans that may wait for the receiver; more are dropped.
const QUEUE: usize = 8_192;
/// Spans in one request.
const BATCH: usize = 512;
/// The oldest span of a batch waits so long for others.
const LINGER: Duration = Duration::from_millis(250);
/// For one request to the receiver, repetitions included.
const EXPORT_LIMIT: Duration = Duration::from_secs(5);

/// Spans that the receiver has taken.
pub const EXPORTED: &str = "tributary_spans_exported_total";
/// Spans that were given up, by reason: `queue` (the receiver is too slow), `export` (it refused or did not answer).
pub const DROPPED: &str = "tributary_spans_dropped_total";

/// Trace id and span id, as they travel in the log.
pub type Context = ([u8; 16], [u8; 8]);

/// What happened, when it has.
#[derive(Debug, Clone)]
pub struct Span {
    /// What kind of work: a fixed text, no data of the request.
    pub name: &'static str,
    /// Its part in the way.
    pub kind: Kind,
    /// Its trace, and the id that [`Spans::begin`] gave.
    pub context: Context,
    /// The span that caused it.
    pub parent: Option<[u8; 8]>,
    /// When it began, by this machine's clock.
    pub began: SystemTime,
    /// When it ended.
    pub ended: SystemTime,
    /// Facts about it: neither secrets nor personal data.
    pub facts: Vec<(&'static str, Fact)>,
    /// It did not do its work.
    pub failed: bool,
}

/// A span's part in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Answers a caller.
    Server,
    /// Appends to the log.
    Producer,
    /// Works on what is in the log.
    Consumer,
}

/// A fact about a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// A number.
    Number(i64),
    /// A text.
    Text(Cow<'static, str>),
}

impl From<u64> for Fact {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Fact {
    fn from(number: u32) -> Self {
        Self::Number(i64::from(number))
    }
}

impl From<&'static str> for Fact {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

/// Takes spans. Clones share the way to the receiver.
#[derive(Debug, Clone, Default)]
pub struct Spans(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    /// A trace is sent when the lower 63 bits of its id are below this.
    below: u64,
    queue: mpsc::Sender<Message>,
}

#[derive(Debug)]
enum Message {
    Span(Box<Span>),
    Flush(oneshot::Sender<()>),
}

impl Spans {
    /// Takes none.
    #[must_use]
    pub const fn off() -> Self {
        Self(None)
    }

    /// Sends to the configured receiver, if there is one, in a task of its own. `process` names this process to it.
    ///
    /// # Errors
    /// When the receiver's URL cannot be used. A receiver that does not answer is no error.
    pub fn start(telemetry: &Telemetry, process: &'static str) -> anyhow::Result<Self> {
        describe_counter!(EXPORTED, Unit::Count, "spans that the receiver has taken");
        describe_counter!(DROPPED, Unit::Count, "spans given up, by reason");
        counter!(EXPORTED).absolute(0);
        for reason in ["queue", "export"] {
            counter!(DROPPED, "reason" => reason).absolute(0);
        }
        let Some(endpoint) = &telemetry.otlp_endpoint else { return Ok(Self::off()) };
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(endpoint.expose())
            .with_timeout(EXPORT_LIMIT)
            .build()
            // The library repeats the URL, which may hold a password.
            .map_err(|_| anyhow::anyhow!("telemetry.otlp_endpoint cannot be used; write http://host:4318"))?;
        exporter.set_resource(
            &Resource::builder_empty()
                .with_attributes([
                    KeyValue::new("service.namespace", "tributary"),
                    KeyValue::new("service.name", format!("tributary-{process}")),
                    KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                ])
                .build(),
        );
        let (queue, spans) = mpsc::channel(QUEUE);
        tokio::spawn(export(exporter, spans));
        // Exact where it matters: 0.0 and 1.0 are representable, and nobody counts on the last of 63 bits.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let below = (telemetry.sample_ratio * (1_u64 << 63) as f64) as u64;
        Ok(Self(Some(Arc::new(Inner { below, queue }))))
    }

    /// Whether any span may be sent.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The id of a new span of the trace, or `None` when the trace is not sent: then what came is passed on.
    #[must_use]
    pub fn begin(&self, trace_id: &[u8; 16]) -> Option<[u8; 8]> {
        let inner = self.0.as_ref()?;
        let mut low = [0; 8];
        low.copy_from_slice(&trace_id[8..]);
        // Every process decides alike, now and after a restart.
        (u64::from_be_bytes(low) >> 1 < inner.below).then(rand::random)
    }

    /// Hands a span over that has ended. Never waits.
    pub fn record(&self, span: Span) {
        if let Some(inner) = &self.0
            && inner.queue.try_send(Message::Span(Box::new(span))).is_err()
        {
            counter!(DROPPED, "reason" => "queue").increment(1);
        }
    }

    /// Waits until what was handed over has been sent, or until `limit` has passed.
    pub async fn flush(&self, limit: Duration) {
        let Some(inner) = &self.0 else { return };
        let (done, sent) = oneshot::channel();
        let flushed = tokio::time::timeout(limit, async {
            if inner.queue.send(Message::Flush(done)).await.is_ok() {
                sent.await.unwrap_or_default();
            }
        });
        if flushed.await.is_err() {
            tracing::warn!("the receiver of spans did not take the last ones in time");
        }
    }
}

async fn export(exporter: SpanExporter, mut spans: mpsc::Receiver<Message>) {
    let scope = InstrumentationScope::builder("tributary").build();
    let mut failing = false;
    let mut open = true;
    while open {
        let mut batch = Vec::new();
        let mut flushed = Vec::new();
        let mut until = None;
        while batch.len() < BATCH && flushed.is_empty() {
            let next = match until {
                None => spans.recv().await,
                Some(until) => match tokio::time::timeout_at(until, spans.recv()).await {
                    Ok(next) => next,
                    Err(_) => break,
                },
            };
            match next {
                Some(Message::Span(span)) => {
                    until = until.or_else(|| Some(Instant::now() + LINGER));
                    batch.push(data(*span, &scope));
                }
                Some(Message::Flush(done)) => flushed.push(done),
                None => {
                    open = false;
                    break;
                }
            }
        }
        if !batch.is_empty() {
            send(&exporter, batch, &mut failing).await;
        }
        for done in flushed {
            // Who asked may have run out of time.
            done.send(()).unwrap_or_default();
        }
    }
}

async fn send(exporter: &SpanExporter, batch: Vec<SpanData>, failing: &mut bool) {
    let spans = batch.len() as u64;
    let why = match tokio::time::timeout(EXPORT_LIMIT, exporter.export(batch)).await {
        Ok(Ok(())) => {
            counter!(EXPORTED).increment(spans);
            if std::mem::take(failing) {
                tracing::info!("spans are received again");
            }
            return;
        }
        Ok(Err(_)) => "refused or unreachable",
        Err(_) => "no answer in time",
    };
    counter!(DROPPED, "reason" => "export").increment(spans);
    // Said once: a receiver that is away must not fill the disk.
    if !std::mem::replace(failing, true) {
        tracing::warn!(why, "spans are not received and are dropped until they are");
    }
}

fn data(span: Span, scope: &InstrumentationScope) -> SpanData {
    let (trace_id, span_id) = span.context;
    let facts = span.facts.into_iter().map(|(name, fact)| match fact {
        Fact::Number(number) => KeyValue::new(name, number),
        Fact::Text(text) => KeyValue::new(name, text.into_owned()),
    });
    SpanData {
        span_context: SpanContext::new(
            TraceId::from_bytes(trace_id),
            SpanId::from_bytes(span_id),
            TraceFlags::SAMPLED,
            false,
            TraceState::default(),
        ),
        parent_span_id: span.parent.map_or(SpanId::INVALID, SpanId::from_bytes),
        parent_span_is_remote: span.kind != Kind::Producer,
        span_kind: match span.kind {
            Kind::Server => SpanKind::Server,
            Kind::Producer => SpanKind::Producer,
            Kind::Consumer => SpanKind::Consumer,
        },
        name: Cow::Borrowed(span.name),
        start_time: span.began,
        end_time: span.ended,
        attributes: facts.collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: if span.failed { Status::error("") } else { Status::Unset },
        instrumentation_scope: scope.clone(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::Secret;

    fn telemetry(ratio: f64) -> Telemetry {
        // Nobody listens there: what matters is what is taken, and that nobody waits.
        Telemetry { otlp_endpoint: Some(Secret::new("http://127.0.0.1:9/v1/traces")), sample_ratio: ratio }
    }

    #[tokio::test]
    async fn a_trace_is_taken_whole_or_not_at_all_and_about_as_often_as_asked() {
        let [none, some, all] =
            [0.0, 0.25, 1.0].map(|ratio| Spans::start(&telemetry(ratio), "test").unwrap());
        let again = Spans::start(&telemetry(0.25), "another").unwrap();
        let mut taken = 0;
        for _ in 0..4_000 {
            let trace: [u8; 16] = rand::random();
            assert!(none.begin(&trace).is_none() && all.begin(&trace).is_some());
            assert_eq!(some.begin(&trace).is_some(), again.begin(&trace).is_some());
            taken += usize::from(some.begin(&trace).is_some());
        }
        assert!((700..1_300).contains(&taken), "{taken}");
        assert!(Spans::off().begin(&[1; 16]).is_none());
    }

    #[tokio::test]
    async fn handing_over_never_waits_for_a_receiver_that_is_away() {
        let spans = Spans::start(&telemetry(1.0), "test").unwrap();
        let now = SystemTime::now();
        // More than fit; this test's only thread never gives the exporter a turn.
        for _ in 0..QUEUE + 100 {
            spans.record(Span {
                name: "test",
                kind: Kind::Consumer,
                context: ([1; 16], [1; 8]),
                parent: None,
                began: now,
                ended: now,
                facts: vec![("number", 1_u32.into())],
                failed: false,
            });
        }
        spans.flush(Duration::from_millis(1)).await;
    }
}

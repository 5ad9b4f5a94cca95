//! Appends to `ingest`: bounded, with an appender that is given up whenever the log's answer is indefinite.
//!
//! A 2xx follows the log's acknowledgement and nothing else. An accepted event is never kept in memory alone: after a
//! timeout the record may or may not land, the caller is told 503, and its repetition counts once by deduplication.
use crate::metrics::{APPENDERS_REPLACED, Meters};
use crate::refusal::Refusal;
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use kit::config::Limits;
use kit::spans::{Context, Kind, Span, Spans};
use metrics::counter;
use prost::Message as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};
use stream::log::{AppendError, Appender, Log, LogError, NewRecord, Partition, Topic, partition_of};
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use wire::v1;

/// The gateway's way into the log.
pub(crate) struct Producer {
    log: Arc<dyn Log>,
    current: ArcSwapOption<Slot>,
    creating: Mutex<()>,
    slots: Semaphore,
    room: Semaphore,
    timeout: Duration,
    failing: AtomicBool,
    spans: Spans,
}

/// A record that is ready to be appended.
pub(crate) struct Prepared {
    partition: Partition,
    record: NewRecord,
    /// Of the append, when its trace is sent: its context is in the record.
    span: Option<AppendSpan>,
}

struct AppendSpan {
    context: Context,
    parent: [u8; 8],
}

impl From<(Partition, NewRecord)> for Prepared {
    fn from((partition, record): (Partition, NewRecord)) -> Self {
        Self { partition, record, span: None }
    }
}

/// In-flight bytes are counted in blocks of this size.
const BLOCK: usize = 1 << 10;

/// A place among the requests that wait for the log, and its bytes' room.
#[derive(Debug)]
pub(crate) struct Admitted<'producer> {
    _slot: SemaphorePermit<'producer>,
    _room: SemaphorePermit<'producer>,
}

/// An appender with an identity of its own: who gives it up must not give its successor up.
struct Slot(Arc<dyn Appender>);

impl Producer {
    pub(crate) fn new(log: Arc<dyn Log>, limits: &Limits, spans: Spans) -> Self {
        let slots = Semaphore::new(limits.max_in_flight.min(Semaphore::MAX_PERMITS));
        let room = Semaphore::new((limits.max_in_flight_bytes / BLOCK).min(Semaphore::MAX_PERMITS));
        Self {
            log,
            current: ArcSwapOption::empty(),
            creating: Mutex::default(),
            slots,
            room,
            timeout: limits.append_timeout,
            failing: AtomicBool::new(false),
            spans,
        }
    }

    /// A place among the requests that wait for the log.
    ///
    /// # Errors
    /// [`Refusal::Busy`].
    pub(crate) fn admit(&self, bytes: usize) -> Result<Admitted<'_>, Refusal> {
        let slot = self.slots.try_acquire().map_err(|_| Refusal::Busy)?;
        let blocks = u32::try_from(bytes.div_ceil(BLOCK)).map_err(|_| Refusal::Busy)?;
        let room = self.room.try_acquire_many(blocks).map_err(|_| Refusal::Busy)?;
        Ok(Admitted { _slot: slot, _room: room })
    }

    /// Creates the appender ahead of the first request.
    pub(crate) async fn warm_up(&self) -> Result<(), LogError> {
        self.slot().await.map(drop)
    }

    /// The record of a request, and where it belongs.
    pub(crate) fn record(&self, mut request: v1::RawRequest) -> Prepared {
        let span = self.append_span(&request);
        if let Some(span) = &span {
            // What follows was caused by the append.
            request.span_id = Bytes::copy_from_slice(&span.context.1);
        }
        let partition = partition_of(&request.program_id, self.log.partition_count());
        let key = Bytes::copy_from_slice(request.program_id.as_bytes());
        let record = v1::IngestRecord { kind: Some(v1::ingest_record::Kind::Request(request)) };
        Prepared { partition, record: NewRecord { key, value: record.encode_to_vec().into() }, span }
    }

    /// A record that is encoded already, where its program belongs.
    pub(crate) fn placed(&self, program_id: &str, value: Bytes) -> Prepared {
        let partition = partition_of(program_id, self.log.partition_count());
        let key = Bytes::copy_from_slice(program_id.as_bytes());
        Prepared { partition, record: NewRecord { key, value }, span: None }
    }

    fn append_span(&self, request: &v1::RawRequest) -> Option<AppendSpan> {
        let trace = request.trace_id.as_ref().try_into().ok()?;
        let span = self.spans.begin(&trace)?;
        Some(AppendSpan { context: (trace, span), parent: request.span_id.as_ref().try_into().ok()? })
    }

    fn end(&self, span: Option<AppendSpan>, since: Instant, partition: Partition, failed: bool) {
        let Some(span) = span else { return };
        let ended = SystemTime::now();
        self.spans.record(Span {
            name: "ingest append",
            kind: Kind::Producer,
            context: span.context,
            parent: Some(span.parent),
            began: ended.checked_sub(since.elapsed()).unwrap_or(ended),
            ended,
            facts: vec![
                ("messaging.destination.name", Topic::Ingest.name().into()),
                ("messaging.destination.partition.id", partition.0.into()),
            ],
            failed,
        });
    }

    /// Returns when the log has acknowledged the record.
    ///
    /// # Errors
    /// [`Refusal::LogUnavailable`] when it has not, within the time.
    pub(crate) async fn produce(
        &self,
        prepared: impl Into<Prepared>,
        meters: &Meters,
    ) -> Result<(), Refusal> {
        let Prepared { partition, record, span } = prepared.into();
        let since = Instant::now();
        let mut used: Option<Arc<Slot>> = None;
        let appended = tokio::time::timeout(self.timeout, async {
            let slot = self.slot().await.map_err(|error| AppendError::Refused(error.to_string()))?;
            let append = slot.0.append(Topic::Ingest, partition, vec![record]);
            used = Some(slot);
            append.await
        })
        .await;
        let (why, in_doubt) = match appended {
            Ok(Ok(_)) => {
                meters.append_seconds.record(since.elapsed());
                self.acknowledged();
                self.end(span, since, partition, false);
                return Ok(());
            }
            Ok(Err(AppendError::Refused(error))) => (error, false),
            Ok(Err(AppendError::Indefinite(error))) => (error, true),
            Err(_) => ("not acknowledged in time".to_owned(), true),
        };
        self.failed(&why, partition);
        self.end(span, since, partition, true);
        if in_doubt {
            self.give_up(used);
        }
        Err(Refusal::LogUnavailable)
    }

    /// Failures are logged when they begin and when they end: an outage must not fill the disk that it may come from.
    fn failed(&self, why: &str, partition: Partition) {
        if self.failing.swap(true, Ordering::Relaxed) {
            tracing::debug!(why, partition = partition.0, "append failed");
        } else {
            tracing::warn!(why, partition = partition.0, "append failed, callers are told to come back");
        }
    }

    fn acknowledged(&self) {
        if self.failing.load(Ordering::Relaxed) && self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!("the log acknowledges again");
        }
    }

    async fn slot(&self) -> Result<Arc<Slot>, LogError> {
        if let Some(slot) = self.current.load_full() {
            return Ok(slot);
        }
        let _creating = self.creating.lock().await;
        if let Some(slot) = self.current.load_full() {
            return Ok(slot);
        }
        let slot = Arc::new(Slot(self.log.appender().await?));
        self.current.store(Some(Arc::clone(&slot)));
        Ok(slot)
    }

    /// Takes the appender out of use now, and drops it once the other requests that wait on it have had their time:
    /// a partition that hangs must not fail requests for those that do not.
    fn give_up(&self, used: Option<Arc<Slot>>) {
        let Some(used) = used else { return };
        let current = self.current.compare_and_swap(&used, None);
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, &used)) {
            counter!(APPENDERS_REPLACED).increment(1);
            let grace = self.timeout;
            tokio::spawn(async move {
                tokio::time::sleep(grace).await;
                drop(used);
            });
        }
    }
}

//! Appends to `ingest`: bounded, with an appender that is given up whenever the log's answer is indefinite.
//!
//! A 2xx follows the log's acknowledgement and nothing else. An accepted event is never kept in memory alone: after a
//! timeout the record may or may not land, the caller is told 503, and its repetition counts once by deduplication.
use crate::metrics::{APPENDERS_REPLACED, Meters};
use crate::refusal::Refusal;
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use metrics::counter;
use prost::Message as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use stream::log::{AppendError, Appender, Log, LogError, NewRecord, Partition, Topic, partition_of};
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use wire::v1;

/// The gateway's way into the log.
pub(crate) struct Producer {
    log: Arc<dyn Log>,
    current: ArcSwapOption<Slot>,
    creating: Mutex<()>,
    slots: Semaphore,
    timeout: Duration,
    failing: AtomicBool,
}

/// An appender with an identity of its own: who gives it up must not give its successor up.
struct Slot(Arc<dyn Appender>);

impl Producer {
    pub(crate) fn new(log: Arc<dyn Log>, max_in_flight: usize, timeout: Duration) -> Self {
        let slots = Semaphore::new(max_in_flight.min(Semaphore::MAX_PERMITS));
        Self {
            log,
            current: ArcSwapOption::empty(),
            creating: Mutex::default(),
            slots,
            timeout,
            failing: AtomicBool::new(false),
        }
    }

    /// A place among the requests that wait for the log.
    ///
    /// # Errors
    /// [`Refusal::Busy`].
    pub(crate) fn admit(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        self.slots.try_acquire().map_err(|_| Refusal::Busy)
    }

    /// Creates the appender ahead of the first request.
    pub(crate) async fn warm_up(&self) -> Result<(), LogError> {
        self.slot().await.map(drop)
    }

    /// The record of a request, and where it belongs.
    pub(crate) fn record(&self, request: v1::RawRequest) -> (Partition, NewRecord) {
        let partition = partition_of(&request.program_id, self.log.partition_count());
        let key = Bytes::copy_from_slice(request.program_id.as_bytes());
        let record = v1::IngestRecord { kind: Some(v1::ingest_record::Kind::Request(request)) };
        (partition, NewRecord { key, value: record.encode_to_vec().into() })
    }

    /// Returns when the log has acknowledged the record.
    ///
    /// # Errors
    /// [`Refusal::LogUnavailable`] when it has not, within the time.
    pub(crate) async fn produce(
        &self,
        (partition, record): (Partition, NewRecord),
        meters: &Meters,
    ) -> Result<(), Refusal> {
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
                return Ok(());
            }
            Ok(Err(AppendError::Refused(error))) => (error, false),
            Ok(Err(AppendError::Indefinite(error))) => (error, true),
            Err(_) => ("not acknowledged in time".to_owned(), true),
        };
        self.failed(&why, partition);
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

//! What a producer owes: one shared object per append call, filled by delivery reports, one wake when all are in.
use crate::log::{AppendError, Offset};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Records that one producer may owe at a time; further batches are refused as a whole.
const MAX_RECORDS: usize = 250_000;
/// Bytes that one producer may owe at a time.
const MAX_BYTES: usize = 256 * 1024 * 1024;
/// Stands for an offset that the broker did not tell.
const UNKNOWN: u64 = u64::MAX;

/// The records of one append call.
#[derive(Debug)]
pub(super) struct Batch {
    id: u64,
    bytes: usize,
    started: Instant,
    offsets: Box<[AtomicU64]>,
    missing: AtomicUsize,
    waiter: Mutex<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    tell: Option<oneshot::Sender<Result<(), AppendError>>>,
    hear: Option<oneshot::Receiver<Result<(), AppendError>>>,
}

impl Batch {
    fn new(id: u64, records: usize, bytes: usize) -> Self {
        let (tell, hear) = oneshot::channel();
        Self {
            id,
            bytes,
            started: Instant::now(),
            offsets: std::iter::repeat_with(|| AtomicU64::new(UNKNOWN)).take(records).collect(),
            missing: AtomicUsize::new(records),
            waiter: Mutex::new(Waiter { tell: Some(tell), hear: Some(hear) }),
        }
    }

    fn finish(&self, result: Result<(), AppendError>) {
        let tell = lock(&self.waiter).tell.take();
        // Nobody may be waiting any more: the caller is free to drop the future.
        if let Some(tell) = tell
            && tell.send(result).is_err()
        {
            tracing::trace!(batch = self.id, "append result not awaited");
        }
    }

    /// Resolves when every record is acknowledged or the producer was discarded.
    pub(super) async fn done(batch: Arc<Self>) -> Result<Vec<Option<Offset>>, AppendError> {
        let discarded = || AppendError::Indefinite("the producer was discarded".to_owned());
        let hear = lock(&batch.waiter).hear.take().ok_or_else(discarded)?;
        hear.await.map_err(|_| discarded())??;
        let told = |offset: &AtomicU64| match offset.load(Ordering::Acquire) {
            UNKNOWN => None,
            offset => Some(Offset(offset)),
        };
        Ok(batch.offsets.iter().map(told).collect())
    }
}

/// A record's place in its batch: what librdkafka gives back with the delivery report.
#[derive(Debug)]
pub(super) struct Slot {
    batch: Arc<Batch>,
    index: usize,
}

impl Slot {
    pub(super) fn new(batch: &Arc<Batch>, index: usize) -> Self {
        Self { batch: Arc::clone(batch), index }
    }

    pub(super) fn batch(&self) -> &Batch {
        &self.batch
    }

    /// Notes the offset; true for the last record of the batch.
    pub(super) fn acknowledge(&self, offset: Option<Offset>) -> bool {
        self.batch.offsets[self.index].store(offset.map_or(UNKNOWN, |offset| offset.0), Ordering::Release);
        self.batch.missing.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

/// The open batches of one producer, and whether it still works.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    poisoned: AtomicBool,
    next_id: AtomicU64,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    /// Why the producer no longer works.
    reason: Option<String>,
    batches: BTreeMap<u64, Arc<Batch>>,
    records: usize,
    bytes: usize,
}

impl Ledger {
    /// Takes note of a batch before its first record is queued.
    pub(super) fn open(&self, records: usize, bytes: usize) -> Result<Arc<Batch>, AppendError> {
        let mut open = lock(&self.open);
        if let Some(reason) = &open.reason {
            return Err(AppendError::Indefinite(reason.clone()));
        }
        if open.records + records > MAX_RECORDS || open.bytes + bytes > MAX_BYTES {
            let (records, bytes) = (open.records, open.bytes);
            return Err(AppendError::Refused(format!(
                "{records} records of {bytes} bytes wait for acknowledgement"
            )));
        }
        let batch = Arc::new(Batch::new(self.next_id.fetch_add(1, Ordering::Relaxed), records, bytes));
        open.records += records;
        open.bytes += bytes;
        open.batches.insert(batch.id, Arc::clone(&batch));
        Ok(batch)
    }

    /// Every record of the batch is acknowledged, or none was queued.
    pub(super) fn close(&self, batch: &Batch) {
        let mut open = lock(&self.open);
        if open.batches.remove(&batch.id).is_none() {
            return;
        }
        open.records -= batch.offsets.len();
        open.bytes -= batch.bytes;
        drop(open);
        batch.finish(Ok(()));
    }

    /// Fails all that is open and all that will be asked. The first reason stays.
    pub(super) fn poison(&self, reason: &str) {
        let batches = {
            let mut open = lock(&self.open);
            open.reason.get_or_insert_with(|| reason.to_owned());
            self.poisoned.store(true, Ordering::Release);
            std::mem::take(&mut open.batches)
        };
        for batch in batches.into_values() {
            batch.finish(Err(AppendError::Indefinite(reason.to_owned())));
        }
    }

    pub(super) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }

    /// Why the producer no longer works.
    pub(super) fn poisoned(&self) -> Option<String> {
        self.is_poisoned().then(|| lock(&self.open).reason.clone()).flatten()
    }

    /// How long the oldest batch has been open.
    pub(super) fn oldest_age(&self) -> Option<Duration> {
        lock(&self.open).batches.first_key_value().map(|(_, batch)| batch.started.elapsed())
    }
}

/// A panic elsewhere leaves these sums usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

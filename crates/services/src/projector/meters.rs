//! The projector's metrics. `docs/reference/metrics.md` says what each means.
use super::{Progress, State};
use domain::time::Micros;
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use readmodel::batch::{Followed, Place};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use stream::cursor::Cursor;
use stream::lag::Lag;
use stream::log::{Log, Partition, Topic};
use tokio::sync::watch;
use tokio::time::Instant;

const FRAMES: &str = "tributary_projector_frames_total";
const BATCHES: &str = "tributary_projector_batches_total";
const BATCH_SECONDS: &str = "tributary_projector_batch_seconds";
/// Transactions or connections that failed and are tried again.
pub(super) const RETRIES: &str = "tributary_projector_retries_total";
const FOLLOWING: &str = "tributary_projector_following";
const LAG_RECORDS: &str = "tributary_projector_lag_records";
const LAG_SECONDS: &str = "tributary_projector_lag_seconds";
/// How often lag is measured.
const LAG_EVERY: Duration = Duration::from_secs(2);

/// Shows everything from the start, as 0.
pub(super) fn register() {
    describe_counter!(FRAMES, "frames projected");
    describe_counter!(BATCHES, "transactions committed");
    describe_histogram!(BATCH_SECONDS, Unit::Seconds, "from the start of a transaction to its commit");
    describe_counter!(RETRIES, "sessions with the database or the log that failed and are tried again");
    describe_gauge!(FOLLOWING, "1 while it follows the log, 0 while the database or the log does not answer");
    describe_gauge!(LAG_RECORDS, "records that are not projected, by topic");
    describe_gauge!(LAG_SECONDS, Unit::Seconds, "age of the oldest record that is not projected, by topic");
    owned(0);
    for name in [FRAMES, BATCHES, RETRIES] {
        counter!(name).absolute(0);
    }
    let _ready = histogram!(BATCH_SECONDS);
    following(false);
    for followed in Followed::ALL {
        for name in [LAG_RECORDS, LAG_SECONDS] {
            gauge!(name, "topic" => followed.name()).set(0.0);
        }
    }
}

/// Whether the projector follows the log or waits.
pub(super) fn following(now: bool) {
    gauge!(FOLLOWING).set(if now { 1.0 } else { 0.0 });
}

/// How many partitions it follows.
#[allow(clippy::cast_precision_loss, reason = "some thousands at most")]
pub(super) fn owned(partitions: usize) {
    gauge!(stream::meters::OWNED, "service" => super::NAME).set(partitions as f64);
}

/// A transaction is committed.
pub(super) fn committed(frames: usize, took: Duration) {
    counter!(FRAMES).increment(frames as u64);
    counter!(BATCHES).increment(1);
    histogram!(BATCH_SECONDS).record(took.as_secs_f64());
}

/// Where the rows stand. Before the database has ever told, nothing counts as projected: a lag of 0 while it is away would
/// say that all is well.
fn places(known: &Progress, partitions: u32) -> Vec<(Topic, Partition, u64, Micros)> {
    if known.cursors.is_empty() && !matches!(known.state, State::Following) {
        let all = |followed: Followed| {
            (0..partitions).map(move |partition| (followed.topic(), Partition(partition), 0, Micros(0)))
        };
        return Followed::ALL.into_iter().flat_map(all).collect();
    }
    let place = |((followed, partition), cursor): (&Place, &Cursor)| {
        (followed.topic(), *partition, cursor.offset, cursor.clock)
    };
    known.cursors.iter().map(place).collect()
}

/// Publishes how far the projector is behind, by topic, for ever.
pub(super) async fn watch_lag(log: Arc<dyn Log>, progress: watch::Receiver<Progress>) {
    let mut lag = Lag::default();
    let mut pause = LAG_EVERY;
    loop {
        tokio::time::sleep(pause).await;
        let since = Instant::now();
        // Cloned into a name of its own: the guard must not live across a wait.
        let known = progress.borrow().clone();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Micros(i64::try_from(now.as_micros()).unwrap_or(i64::MAX));
        let behind = lag.measure(log.as_ref(), places(&known, log.partition_count()), now).await;
        for followed in Followed::ALL {
            let (records, seconds) = behind.get(&followed.topic()).copied().unwrap_or_default();
            // Gauges are floats; a lag that one cannot hold exactly is an alarm all the same.
            #[allow(clippy::cast_precision_loss)]
            gauge!(LAG_RECORDS, "topic" => followed.name()).set(records as f64);
            gauge!(LAG_SECONDS, "topic" => followed.name()).set(seconds);
        }
        // Brokers are asked for each partition: looking must stay a small part of what they do.
        pause = LAG_EVERY.max(since.elapsed() * 20);
    }
}

//! One partition of one service: take, serve, give up, pause, take again while the assignment still names it.
use super::observe;
use super::serve::Serving;
use super::{OwnerError, Shared};
use crate::log::Partition;
use crate::meters;
use crate::service::Service;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// After another took it: time for the group to say that it is the other's, which a process that was stopped hears late.
const LOST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long a partition is ours to serve.
#[derive(Debug, Clone)]
pub(super) struct Lease {
    /// Somebody else is named, or the process ends: nothing is taken any more.
    release: CancellationToken,
    /// What is begun is finished, nothing else is begun.
    stop: CancellationToken,
}

impl Lease {
    /// Ends with `shutdown`, or earlier.
    pub(super) fn new(shutdown: &CancellationToken) -> Self {
        Self { release: shutdown.child_token(), stop: shutdown.child_token() }
    }

    /// Somebody else is named.
    pub(super) fn release(&self) {
        self.release.cancel();
    }

    pub(super) fn is_released(&self) -> bool {
        self.release.is_cancelled()
    }

    #[cfg(feature = "failpoints")]
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    pub(super) async fn stopped(&self) {
        self.stop.cancelled().await;
    }
}

/// Runs until the lease ends, or until a halt (`false`).
pub(super) async fn run<S: Service>(shared: Arc<Shared<S>>, partition: Partition, lease: Lease) -> bool {
    tokio::select! {
        biased;
        released = serve_while_named(&shared, partition, &lease) => released,
        () = hand_over(&shared, &lease) => {
            tracing::warn!(service = S::NAME, partition = partition.0, "partition not drained in time, dropped as it is");
            true
        }
    }
}

/// Resolves when the time for handing a partition over is used up.
///
/// For most of it the partition is served on: its next owner may have a long history to read before it can fence, and
/// whatever is appended until then counts. The rest is for draining. Dropped in the middle it is as after a crash.
async fn hand_over<S: Service>(shared: &Shared<S>, lease: &Lease) {
    lease.release.cancelled().await;
    if shared.shutdown.is_cancelled() {
        // The process ends: how long it may drain is said elsewhere.
        return std::future::pending().await;
    }
    let drain = shared.options.hand_over / 4;
    tokio::time::sleep(shared.options.hand_over - drain).await;
    lease.stop.cancel();
    tokio::time::sleep(drain).await;
}

async fn serve_while_named<S: Service>(shared: &Arc<Shared<S>>, partition: Partition, lease: &Lease) -> bool {
    let mut pause = FIRST_PAUSE;
    let mut settled = shared.settled.subscribe();
    let mut since = Instant::now();
    while !lease.is_released() {
        let named = async { settled.wait_for(|settled| *settled).await.is_ok() };
        if lease.release.run_until_cancelled(named).await != Some(true) {
            return true;
        }
        let error = match take_and_serve(shared, partition, lease, &mut since, &mut pause).await {
            Ok(()) => return true,
            Err(error) => error,
        };
        if lease.is_released() && !error.is_halt() {
            // Fenced by whoever is named now, or told to stop while it was still reading what is there.
            tracing::debug!(service = S::NAME, partition = partition.0, %error, "partition handed over");
            return true;
        }
        if error.is_halt() {
            tracing::error!(service = S::NAME, partition = partition.0, %error, "partition halted");
            metrics::gauge!(meters::HALTED, "service" => S::NAME).increment(1.0);
            if let Some(hook) = &shared.options.on_halt {
                (hook.0)(partition, Some(&error));
            }
            return false;
        }
        if matches!(error, OwnerError::Lost) {
            pause = pause.max(LOST_PAUSE);
        }
        metrics::counter!(meters::RETAKES, "service" => S::NAME, "reason" => observe::reason(&error))
            .increment(1);
        if pause < LONGEST_PAUSE {
            tracing::warn!(service = S::NAME, partition = partition.0, %error, ?pause, "partition given up, taking it again");
        } else {
            // It has been said often enough: an outage must not fill the disk that it may come from.
            tracing::debug!(service = S::NAME, partition = partition.0, %error, "partition given up, taking it again");
        }
        let wait = around(pause, shared.options.host.random());
        tokio::select! {
            biased;
            () = tokio::time::sleep(wait) => {}
            () = lease.release.cancelled() => return true,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    true
}

/// Half to one and a half times `pause`.
fn around(pause: Duration, random: u64) -> Duration {
    let part = u32::try_from(random % 1_024).unwrap_or_default();
    pause / 2 + pause * part / 1_024
}

async fn take_and_serve<S: Service>(
    shared: &Arc<Shared<S>>,
    partition: Partition,
    lease: &Lease,
    since: &mut Instant,
    pause: &mut Duration,
) -> Result<(), OwnerError> {
    let mut serving = Serving::take(Arc::clone(shared), partition, lease).await?;
    *pause = FIRST_PAUSE;
    let _owned = Owned::new(S::NAME, *since);
    if let Some(hook) = &shared.options.on_halt {
        (hook.0)(partition, None);
    }
    let ended = serving.run().await;
    *since = Instant::now();
    ended
}

/// Counts a partition while it is served.
struct Owned(metrics::Gauge);

impl Owned {
    fn new(service: &'static str, since: Instant) -> Self {
        metrics::counter!(meters::TAKES, "service" => service).increment(1);
        metrics::histogram!(meters::TAKEOVER_SECONDS, "service" => service).record(since.elapsed());
        let owned = metrics::gauge!(meters::OWNED, "service" => service);
        owned.increment(1.0);
        Self(owned)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

//! One partition of one service: take, serve, give up, pause, take again.
use super::observe;
use super::serve::Serving;
use super::{OwnerError, Shared};
use crate::log::Partition;
use crate::meters;
use crate::service::Service;
use std::sync::Arc;
use std::time::Duration;

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Runs until shutdown or a halt.
pub(super) async fn run<S: Service>(shared: Arc<Shared<S>>, partition: Partition) {
    let mut pause = FIRST_PAUSE;
    while !shared.shutdown.is_cancelled() {
        let error = match take_and_serve(&shared, partition, &mut pause).await {
            Ok(()) => return,
            Err(error) => error,
        };
        if matches!(error, OwnerError::Lost) && shared.shutdown.is_cancelled() {
            // Told to stop while it was still reading what is there: nobody else took anything.
            return;
        }
        if error.is_halt() {
            tracing::error!(service = S::NAME, partition = partition.0, %error, "partition halted");
            metrics::gauge!(meters::HALTED, "service" => S::NAME).increment(1.0);
            if let Some(hook) = &shared.options.on_halt {
                (hook.0)(partition, Some(&error));
            }
            return;
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
            () = shared.shutdown.cancelled() => return,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Half to one and a half times `pause`.
fn around(pause: Duration, random: u64) -> Duration {
    let part = u32::try_from(random % 1_024).unwrap_or_default();
    pause / 2 + pause * part / 1_024
}

async fn take_and_serve<S: Service>(
    shared: &Arc<Shared<S>>,
    partition: Partition,
    pause: &mut Duration,
) -> Result<(), OwnerError> {
    let mut serving = Serving::take(Arc::clone(shared), partition).await?;
    *pause = FIRST_PAUSE;
    if let Some(hook) = &shared.options.on_halt {
        (hook.0)(partition, None);
    }
    serving.run().await
}

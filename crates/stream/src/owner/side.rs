//! What follows accepted frames: first what gateways must know, then, once that is acknowledged, the answers to callers.
//!
//! Whoever is told that a key or program was created may use it at once, at every gateway: each reads `gateway-config` up to
//! its end before it refuses what it does not know. So an answer must never overtake the record, and no answer is better
//! than one that does. What is lost on the way is appended again at the next take (rule 9).
use crate::log::{AppendError, Appender, Log, NewRecord, Partition, Topic};
use crate::meters;
use crate::service::SideOutput;
use futures::future::{BoxFuture, FutureExt as _, Shared, try_join_all};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Between a standing record that was not acknowledged and the next take.
const RETAKE_PAUSE: Duration = Duration::from_secs(1);

/// Resolves to whether all standing records so far are acknowledged.
type Gate = Shared<BoxFuture<'static, bool>>;

/// The side outputs of one partition while it is ours.
#[derive(Debug)]
pub(super) struct Side {
    service: &'static str,
    log: Arc<dyn Log>,
    partition: Partition,
    /// For a standing record to be acknowledged.
    deadline: Duration,
    appender: Option<Arc<dyn Appender>>,
    /// After a failure the appender is thrown away (rule 7).
    broken: Arc<AtomicBool>,
    gate: Option<Gate>,
    lost: watch::Sender<Option<AppendError>>,
}

impl Side {
    pub(super) fn new(
        service: &'static str,
        log: Arc<dyn Log>,
        partition: Partition,
        deadline: Duration,
    ) -> Self {
        let broken = Arc::default();
        let lost = watch::Sender::new(None);
        Self { service, log, partition, deadline, appender: None, broken, gate: None, lost }
    }

    /// Tells when a standing record was not acknowledged: the partition must be taken again, which appends what is missing.
    pub(super) fn lost(&self) -> Lost {
        Lost { lost: self.lost.subscribe(), due: None }
    }

    /// Appends `outputs`. Does not wait: `ingest` and `gateway-config` records are under way when it returns, answers follow
    /// when every standing record before them is acknowledged.
    pub(super) async fn send(&mut self, outputs: Vec<SideOutput>) {
        let appender = match self.appender().await {
            Ok(appender) => appender,
            Err(error) => {
                tracing::warn!(service = self.service, %error, "side outputs dropped");
                if outputs.iter().any(|output| output.topic == Topic::GatewayConfig) {
                    self.lost.send_replace(Some(AppendError::Refused(error.to_string())));
                }
                return;
            }
        };
        let (standing, rest): (Vec<_>, Vec<_>) =
            outputs.into_iter().partition(|output| output.topic == Topic::GatewayConfig);
        if !standing.is_empty() {
            self.append_standing(appender.as_ref(), standing);
        }
        let gate = self.pending_gate();
        for output in rest {
            match &gate {
                Some(gate) if output.topic == Topic::Outcomes => {
                    let (gate, appender) = (gate.clone(), Arc::clone(&appender));
                    let (partition, broken) = (self.partition, Arc::clone(&self.broken));
                    tokio::spawn(async move {
                        if gate.await {
                            acknowledged(append(appender.as_ref(), partition, output), &broken).await;
                        }
                    });
                }
                _ => {
                    let append = append(appender.as_ref(), self.partition, output);
                    let broken = Arc::clone(&self.broken);
                    tokio::spawn(async move { acknowledged(append, &broken).await });
                }
            }
        }
    }

    fn append_standing(&mut self, appender: &dyn Appender, standing: Vec<SideOutput>) {
        let before = self.pending_gate();
        let appends: Vec<_> =
            standing.into_iter().map(|output| append(appender, self.partition, output)).collect();
        let (deadline, service, partition) = (self.deadline, self.service, self.partition);
        let (lost, broken) = (self.lost.clone(), Arc::clone(&self.broken));
        let gate = async move {
            let acknowledged = tokio::time::timeout(deadline, try_join_all(appends)).await;
            let error = match acknowledged {
                Ok(Ok(_)) => {
                    return match before {
                        Some(before) => before.await,
                        None => true,
                    };
                }
                Ok(Err(error)) => error,
                Err(_) => AppendError::Indefinite(format!("not acknowledged within {deadline:?}")),
            };
            metrics::counter!(meters::SIDE_OUTPUTS_FAILED).increment(1);
            tracing::warn!(service, partition = partition.0, %error, "gateway configuration not acknowledged");
            broken.store(true, Ordering::Relaxed);
            lost.send_replace(Some(error));
            false
        };
        let gate = gate.boxed().shared();
        // Goes on by itself, also when nobody waits for it.
        tokio::spawn(gate.clone());
        self.gate = Some(gate);
    }

    /// The gate, unless it is known to be open.
    fn pending_gate(&mut self) -> Option<Gate> {
        if self.gate.as_ref().is_some_and(|gate| gate.peek() == Some(&true)) {
            self.gate = None;
        }
        self.gate.clone()
    }

    async fn appender(&mut self) -> Result<Arc<dyn Appender>, crate::log::LogError> {
        if self.broken.swap(false, Ordering::Relaxed) {
            self.appender = None;
        }
        if let Some(appender) = &self.appender {
            return Ok(Arc::clone(appender));
        }
        let appender = self.log.appender().await?;
        self.appender = Some(Arc::clone(&appender));
        Ok(appender)
    }
}

type Appending = BoxFuture<'static, Result<(), AppendError>>;

fn append(appender: &dyn Appender, partition: Partition, output: SideOutput) -> Appending {
    let SideOutput { topic, partition: wanted, key, value } = output;
    let append = appender.append(topic, wanted.unwrap_or(partition), vec![NewRecord { key, value }]);
    async move {
        append.await.map(|_| ()).inspect_err(|error| {
            tracing::warn!(topic = topic.name(), %error, "side output not acknowledged");
        })
    }
    .boxed()
}

/// Best effort: a caller who is not answered is told by the pending form, and a tick follows the next second.
async fn acknowledged(append: Appending, broken: &AtomicBool) {
    if append.await.is_err() {
        metrics::counter!(meters::SIDE_OUTPUTS_FAILED).increment(1);
        broken.store(true, Ordering::Relaxed);
    }
}

/// See [`Side::lost`].
#[derive(Debug)]
pub(super) struct Lost {
    lost: watch::Receiver<Option<AppendError>>,
    due: Option<(Instant, AppendError)>,
}

impl Lost {
    /// Waits for it, and then a moment: each take costs a fence, and what fails now may fail again. Cancel-safe.
    pub(super) async fn wait(&mut self) -> AppendError {
        if self.due.is_none() {
            let Ok(Some(error)) = self.lost.wait_for(Option::is_some).await.map(|error| error.clone()) else {
                // The sender lives as long as the partition is ours.
                return std::future::pending().await;
            };
            self.due = Some((Instant::now() + RETAKE_PAUSE, error));
        }
        let Some((at, error)) = &self.due else { return std::future::pending().await };
        tokio::time::sleep_until(*at).await;
        error.clone()
    }
}

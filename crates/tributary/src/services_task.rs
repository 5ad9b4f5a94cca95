//! The services as supervised tasks.
use crate::parts::Process;
use kit::health::{Flag, Health};
use kit::lifecycle::Supervisor;
use kit::spans::{Kind, Span, Spans};
use services::attribution::Attribution;
use services::commission::Commission;
use services::normalizer::Normalizer;
use services::projector::{self, Progress, State};
use sqlx::PgPool;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use stream::keys::KeyStore;
use stream::log::{Log, Partition};
use stream::owner::{AssignedHook, FrameSpan, FrameSpans, HaltHook, OwnerError, OwnerOptions, run_service};
use stream::service::Service;
use stream::snapshot::Snapshots;
use stream::store::StateDb;
use tokio::sync::watch;

/// The owner of a partition appends a tick this often.
const TICK_EVERY: Duration = Duration::from_secs(1);

/// What the services of one process share.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) state: Arc<StateDb>,
    pub(crate) keys: Arc<dyn KeyStore>,
    pub(crate) snapshots: Option<Arc<Snapshots>>,
    pub(crate) health: Health,
    pub(crate) spans: Spans,
}

/// How often a service says how far it is behind.
const LAG_EVERY: Duration = Duration::from_secs(2);

/// Hands the spans of accepted frames over.
#[derive(Debug)]
struct FrameHook(Spans);

impl FrameSpans for FrameHook {
    fn begin(&self, trace_id: &[u8; 16]) -> Option<[u8; 8]> {
        self.0.begin(trace_id)
    }

    fn accepted(&self, frame: &FrameSpan) {
        let ended = SystemTime::now();
        self.0.record(Span {
            name: match frame.service {
                "normalizer" => "normalizer frame",
                "attribution" => "attribution frame",
                "commission" => "commission frame",
                _ => "frame",
            },
            kind: Kind::Consumer,
            context: frame.context,
            parent: Some(frame.parent),
            began: ended.checked_sub(frame.took).unwrap_or(ended),
            ended,
            facts: vec![
                ("messaging.destination.name", frame.topic.name().into()),
                ("messaging.destination.partition.id", frame.partition.0.into()),
                ("tributary.service", frame.service.into()),
                ("tributary.seq", frame.seq.into()),
                ("tributary.source", frame.source.into()),
            ],
            failed: false,
        });
    }
}

impl Process {
    /// What the services of this process share.
    pub(crate) fn chain(&self, log: Arc<dyn Log>, state: Arc<StateDb>, keys: Arc<dyn KeyStore>) -> Chain {
        Chain { log, state, keys, snapshots: None, health: self.health.clone(), spans: self.spans.clone() }
    }
}

impl Chain {
    pub(crate) fn normalizer(&self, supervisor: &mut Supervisor) {
        let service = Normalizer::new(self.keys.index_key(), self.log.partition_count());
        self.spawn(supervisor, service, Some(TICK_EVERY));
    }

    pub(crate) fn attribution(&self, supervisor: &mut Supervisor) {
        self.spawn(supervisor, Attribution, None);
    }

    pub(crate) fn commission(&self, supervisor: &mut Supervisor) {
        self.spawn(supervisor, Commission::new(self.log.partition_count()), None);
    }

    /// The projector, and how far it has come.
    pub(crate) fn projector(&self, supervisor: &mut Supervisor, pool: PgPool) -> watch::Receiver<Progress> {
        let (sender, progress) = watch::channel(Progress::default());
        let flag = self.health.flag("projector");
        let mut state = progress.clone();
        let stop = supervisor.token().clone();
        supervisor.spawn("projector readiness", async move {
            let following = state.wait_for(|progress| progress.state == State::Following);
            if let Some(Ok(_)) = stop.run_until_cancelled(following).await {
                // Up once it has started. Later a Postgres that is away must not stop the intake, which does not need it.
                flag.ready();
            }
            stop.cancelled().await;
            Ok(())
        });
        let log = Arc::clone(&self.log);
        let options = projector::Options { spans: self.spans.clone(), ..projector::Options::default() };
        let stop = supervisor.token().clone();
        supervisor.spawn("projector", async move {
            projector::run(options, log, pool, stop, sender).await?;
            Ok(())
        });
        progress
    }

    fn spawn<S: Service>(&self, supervisor: &mut Supervisor, service: S, tick_every: Option<Duration>) {
        let readiness = Arc::new(Readiness { flag: self.health.flag(S::NAME), state: Mutex::default() });
        let assigned = Arc::clone(&readiness);
        let options = OwnerOptions {
            tick_every,
            on_assigned: Some(AssignedHook(Arc::new(move |named| assigned.assigned(named)))),
            on_halt: Some(HaltHook(Arc::new(move |partition, error| readiness.told(partition, error)))),
            spans: self.spans.is_on().then(|| Arc::new(FrameHook(self.spans.clone())) as Arc<dyn FrameSpans>),
            lag_every: Some(LAG_EVERY),
            snapshots: self.snapshots.clone(),
            ..OwnerOptions::default()
        };
        let chain = self.clone();
        let stop = supervisor.token().clone();
        supervisor.spawn(S::NAME, async move {
            run_service(Arc::new(service), options, chain.log, chain.state, chain.keys, stop).await?;
            Ok(())
        });
    }
}

/// A service is ready when it has taken the partitions that it was first assigned, and while none is halted: the reason names
/// one that is. Partitions that are assigned later, or are taken again, do not make it unready.
struct Readiness {
    flag: Flag,
    state: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// Of the first assignment, those that are not taken yet; `None`: nothing is assigned yet.
    awaited: Option<BTreeSet<Partition>>,
    halted: BTreeMap<Partition, String>,
}

impl Readiness {
    fn assigned(&self, named: &BTreeSet<Partition>) {
        let state = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut state.awaited {
            None => state.awaited = Some(named.clone()),
            // What went to another before it was taken is not waited for.
            Some(awaited) => awaited.retain(|partition| named.contains(partition)),
        }
        self.show(state);
    }

    fn told(&self, partition: Partition, error: Option<&OwnerError>) {
        let state = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match error {
            Some(error) => state.halted.insert(partition, error.to_string()),
            None => {
                state.awaited.as_mut().map(|awaited| awaited.remove(&partition));
                state.halted.remove(&partition)
            }
        };
        self.show(state);
    }

    fn show(&self, state: &Waiting) {
        match (state.halted.first_key_value(), state.awaited.as_ref().map(BTreeSet::len)) {
            (Some((_, why)), _) => self.flag.not_ready(why),
            (None, Some(0)) => self.flag.ready(),
            (None, Some(partitions)) => self.flag.not_ready(&format!("taking {partitions} partitions")),
            (None, None) => self.flag.not_ready("waiting for the group to assign partitions"),
        }
    }
}

//! The partitions that a service holds in this process: a task for each that the assignment names, ended when it no longer does.
use super::partition::{self, Lease};
use super::{OwnerError, Shared};
use crate::assignment::Named;
use crate::log::Partition;
use crate::meters;
use crate::service::Service;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use tokio::task::{Id, JoinError, JoinSet};

/// A partition that is or was served here.
#[derive(Debug)]
struct Held {
    lease: Lease,
    /// Its task has ended by itself: it stands still until it is somebody else's.
    halted: bool,
}

/// What is held, and what should be.
#[derive(Debug)]
pub(super) struct Holding<S: Service> {
    shared: Arc<Shared<S>>,
    tasks: JoinSet<bool>,
    ids: HashMap<Id, Partition>,
    held: BTreeMap<Partition, Held>,
    wanted: BTreeSet<Partition>,
}

impl<S: Service> Holding<S> {
    pub(super) fn new(shared: Arc<Shared<S>>) -> Self {
        Self {
            shared,
            tasks: JoinSet::new(),
            ids: HashMap::new(),
            held: BTreeMap::new(),
            wanted: BTreeSet::new(),
        }
    }

    /// Begins what is newly named and hands over what no longer is. While a rebalance is under way nothing changes.
    pub(super) fn follow(&mut self, named: Named) {
        if named.settled && self.wanted != named.partitions {
            self.wanted = named.partitions;
            let gone: Vec<_> =
                self.held.keys().filter(|partition| !self.wanted.contains(partition)).copied().collect();
            for partition in gone {
                self.release(partition);
            }
            for partition in self.wanted.clone() {
                self.begin(partition);
            }
        }
        if named.settled
            && let Some(hook) = &self.shared.options.on_assigned
        {
            (hook.0)(&self.wanted);
        }
        // Last: a partition that is no longer named must know before it may take again.
        self.shared.settled.send_replace(named.settled);
    }

    fn begin(&mut self, partition: Partition) {
        // One that is still being handed over begins when that has ended: both would use the same store.
        if self.held.contains_key(&partition) {
            return;
        }
        let lease = Lease::new(&self.shared.shutdown);
        let task = self.tasks.spawn(partition::run(Arc::clone(&self.shared), partition, lease.clone()));
        self.ids.insert(task.id(), partition);
        self.held.insert(partition, Held { lease, halted: false });
    }

    fn release(&mut self, partition: Partition) {
        let Some(held) = self.held.get(&partition) else { return };
        held.lease.release();
        if held.halted {
            metrics::gauge!(meters::HALTED, "service" => S::NAME).decrement(1.0);
            self.forget(partition);
        }
    }

    /// It is no longer served here, nor waited for.
    fn forget(&mut self, partition: Partition) {
        self.held.remove(&partition);
        self.shared.reached.remove(partition);
        let label = partition.0.to_string();
        metrics::gauge!(meters::PARKED, "service" => S::NAME, "partition" => label).set(0.0);
        if let Some(hook) = &self.shared.options.on_halt {
            (hook.0)(partition, None);
        }
    }

    /// Waits for the next task to end; for ever when there is none.
    pub(super) async fn ended(&mut self) {
        let Some(ended) = self.tasks.join_next_with_id().await else {
            return std::future::pending().await;
        };
        self.judge(ended);
    }

    /// Waits until every task has ended.
    pub(super) async fn drained(&mut self) {
        while let Some(ended) = self.tasks.join_next_with_id().await {
            self.judge(ended);
        }
    }

    fn judge(&mut self, ended: Result<(Id, bool), JoinError>) {
        let (id, released) = match &ended {
            Ok((id, released)) => (*id, *released),
            Err(error) => (error.id(), false),
        };
        let Some(partition) = self.ids.remove(&id) else { return };
        if let Err(error) = &ended
            && error.is_panic()
        {
            let error = self.shared.halted(partition, format!("a defect of the loop: {error}; report it"));
            self.report(partition, &error);
        }
        if released {
            self.forget(partition);
            if self.wanted.contains(&partition) && !self.shared.shutdown.is_cancelled() {
                self.begin(partition);
            }
        } else if let Some(held) = self.held.get_mut(&partition) {
            held.halted = true;
            if held.lease.is_released() {
                self.release(partition);
            }
        }
    }

    fn report(&self, partition: Partition, error: &OwnerError) {
        tracing::error!(service = S::NAME, partition = partition.0, %error, "partition halted");
        metrics::gauge!(meters::HALTED, "service" => S::NAME).increment(1.0);
        if let Some(hook) = &self.shared.options.on_halt {
            (hook.0)(partition, Some(error));
        }
    }
}

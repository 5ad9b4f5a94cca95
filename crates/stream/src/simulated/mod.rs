//! A log in memory for simulations: as deterministic as the runtime that it is used on, with faults that a seed or a script
//! chooses.
//!
//! [`SimulatedLog`] is the cluster and what a test does to it (faults, clock, truncation, retention); [`Client`] is the log
//! as one process sees it. Time is tokio's, so on a paused runtime a second costs nothing. Appends to a partition are
//! queued, land, and are answered, as three events; faults sit between them.
//! Read next: [`Fault`], then `broker` (landing), `client` (what a process does).
mod broker;
mod client;
mod fault;
mod host;
mod keys;

pub use client::Client;
pub use fault::{Fault, Faults};
pub use host::SimulatedHost;
pub use keys::MemoryKeys;

use crate::log::{Offset, Partition, Record, Topic};
use broker::Broker;
use domain::time::Micros;
use std::sync::Arc;

/// A cluster in memory. Clones are the same cluster.
#[derive(Debug, Clone)]
pub struct SimulatedLog {
    broker: Arc<Broker>,
}

impl SimulatedLog {
    /// An empty log whose chance comes from `seed`; must be made on a tokio runtime.
    #[must_use]
    pub fn new(partitions: u32, seed: u64, faults: Faults) -> Self {
        Self { broker: Arc::new(Broker::new(partitions, seed, faults)) }
    }

    /// The log as another process sees it.
    #[must_use]
    pub fn client(&self) -> Arc<Client> {
        Arc::new(Client::new(Arc::clone(&self.broker)))
    }

    /// A wall clock that is `skew_micros` off the log's, and chance from the log's seed.
    #[must_use]
    pub fn host(&self, skew_micros: i64) -> Arc<SimulatedHost> {
        Arc::new(SimulatedHost::new(Arc::clone(&self.broker), skew_micros))
    }

    /// What the log would stamp on a record now.
    #[must_use]
    pub fn now(&self) -> Micros {
        self.broker.now()
    }

    /// Moves the log's clock, back as well; timers of the runtime do not notice.
    pub fn move_clock(&self, micros: i64) {
        self.broker.move_clock(micros);
    }

    /// 64 random bits from the seed.
    #[must_use]
    pub fn random(&self) -> u64 {
        self.broker.random()
    }

    /// From now on these faults; what is under way keeps its fate.
    pub fn set_faults(&self, faults: Faults) {
        self.broker.state().faults = faults;
    }

    /// The next append to this partition meets `fault`, whatever chance says. Several are met in order.
    pub fn force(&self, topic: Topic, partition: Partition, fault: Fault) {
        self.broker.state().forced.entry((topic, partition)).or_default().push_back(fault);
    }

    /// Loses the last `records` of a partition, as an unclean leader change would: whoever reads it must open it again.
    pub fn truncate(&self, topic: Topic, partition: Partition, records: usize) {
        self.broker.truncate(topic, partition, records);
    }

    /// Deletes what is below `start`, as retention would.
    pub fn expire(&self, topic: Topic, partition: Partition, start: Offset) {
        self.broker.expire(topic, partition, start);
    }

    /// What the partition holds from `from` on, and what retention took of it, without waiting.
    #[must_use]
    pub fn records(&self, topic: Topic, partition: Partition, from: Offset) -> Vec<Record> {
        self.broker.records(topic, partition, from)
    }

    /// Whether nothing is on its way any more.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.broker.state().queue.is_empty()
    }

    /// How many appends met a fault.
    #[must_use]
    pub fn faults_met(&self) -> u64 {
        self.broker.state().faults_met
    }
}

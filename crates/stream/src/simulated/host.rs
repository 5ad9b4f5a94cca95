//! The machine of a simulated process.
use super::broker::Broker;
use crate::host::Host;
use domain::time::Micros;
use std::sync::Arc;

/// A wall clock beside the log's, and chance from the log's seed.
#[derive(Debug)]
pub struct SimulatedHost {
    broker: Arc<Broker>,
    skew_micros: i64,
}

impl SimulatedHost {
    pub(super) const fn new(broker: Arc<Broker>, skew_micros: i64) -> Self {
        Self { broker, skew_micros }
    }
}

impl Host for SimulatedHost {
    fn now(&self) -> Micros {
        Micros(self.broker.now().0.saturating_add(self.skew_micros))
    }

    fn random(&self) -> u64 {
        self.broker.random()
    }
}

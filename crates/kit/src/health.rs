//! Readiness is "send traffic here"; liveness is "the process answers".
//!
//! Each component owns a named [`Flag`] and raises it while it can serve. The process is ready when all are raised.
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// The entry that keeps a process that ends from being ready; no component's name.
const SHUTDOWN: &str = "process";

/// The readiness of a process: the conjunction of its flags. Clones share them.
#[derive(Debug, Clone)]
pub struct Health {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// By name: why not ready; `None`: ready.
    flags: Mutex<BTreeMap<String, Option<String>>>,
    changed: watch::Sender<Readiness>,
}

/// Whether traffic should come, and what it waits for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Readiness {
    /// Flags that are down: (name, why).
    pub waiting_for: Vec<(String, String)>,
    /// Some flag exists.
    registered: bool,
}

impl Readiness {
    /// All flags are up, and there is one.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        self.registered && self.waiting_for.is_empty()
    }

    /// What `/readyz` says.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let waiting: Vec<_> =
            self.waiting_for.iter().map(|(name, why)| json!({"name": name, "why": why})).collect();
        json!({"ready": self.is_ready(), "waiting_for": waiting})
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Health {
    /// Without flags: not ready.
    #[must_use]
    pub fn new() -> Self {
        let changed = watch::Sender::new(Readiness::default());
        Self { shared: Arc::new(Shared { flags: Mutex::default(), changed }) }
    }

    /// A flag, down ("starting") until raised. Names are for people and `/readyz`: short, unique.
    #[must_use]
    pub fn flag(&self, name: impl Into<String>) -> Flag {
        let flag = Flag { shared: Arc::clone(&self.shared), name: name.into() };
        flag.not_ready("starting");
        flag
    }

    /// The state now.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        self.shared.changed.borrow().clone()
    }

    /// Follows the state.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Readiness> {
        self.shared.changed.subscribe()
    }

    /// The process ends: not ready from now on, whatever the flags say.
    pub fn shut_down(&self) {
        self.shared.set(SHUTDOWN, Some(Some("shutting down")));
    }

    /// Returns when the process is ready.
    pub async fn wait_ready(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        self.watch().wait_for(Readiness::is_ready).await.map(drop).unwrap_or_default();
    }
}

impl Shared {
    fn set(&self, name: &str, state: Option<Option<&str>>) {
        let mut flags = self.flags.lock().unwrap_or_else(PoisonError::into_inner);
        match state {
            Some(why) => flags.insert(name.to_owned(), why.map(str::to_owned)),
            None => flags.remove(name),
        };
        let readiness = Readiness {
            registered: !flags.is_empty(),
            waiting_for: flags.iter().filter_map(|(name, why)| Some((name.clone(), why.clone()?))).collect(),
        };
        // Sent under the lock, so that states are seen in order.
        self.changed.send_if_modified(|old| {
            let differs = *old != readiness;
            *old = readiness;
            differs
        });
    }
}

/// One component's part in readiness. Dropped, it goes down for good ("stopped"): a dead component is not ready.
#[derive(Debug)]
pub struct Flag {
    shared: Arc<Shared>,
    name: String,
}

impl Flag {
    /// The component can serve.
    pub fn ready(&self) {
        self.shared.set(&self.name, Some(None));
    }

    /// It cannot, and why (shown at `/readyz`: no secrets).
    pub fn not_ready(&self, why: &str) {
        self.shared.set(&self.name, Some(Some(why)));
    }

    /// The component is no longer wanted: the flag goes away.
    pub fn retire(self) {
        let (shared, name) = (Arc::clone(&self.shared), self.name.clone());
        drop(self);
        shared.set(&name, None);
    }
}

impl Drop for Flag {
    fn drop(&mut self) {
        self.not_ready("stopped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ready_when_every_flag_is_up_and_never_without_one() {
        let health = Health::new();
        assert!(!health.readiness().is_ready());
        let (log, tail) = (health.flag("log"), health.flag("tail"));
        log.ready();
        assert_eq!(health.readiness().waiting_for, [("tail".to_owned(), "starting".to_owned())]);
        tail.ready();
        assert!(health.readiness().is_ready());
        drop(log);
        assert_eq!(health.readiness().waiting_for, [("log".to_owned(), "stopped".to_owned())]);
        health.flag("log").retire();
        assert!(health.readiness().is_ready());
    }
}

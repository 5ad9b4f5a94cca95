//! Processes: all services of one deployment over the simulated log, which can be killed, stalled and started again.
use crate::versions::Version;
use crate::world::World;
use services::{Attribution, Commission, Normalizer};
use std::sync::Arc;
use std::time::Duration;
use stream::keys::KeyStore;
use stream::log::Log;
use stream::owner::{HaltHook, OwnerError, OwnerOptions, run_service};
use stream::service::Service;
use stream::simulated::Client;
use stream::store::StateDb;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// One process with its disk.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) client: Arc<Client>,
    shutdown: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts version 1 or 2 over `disk`; its wall clock is `skew_micros` off the log's.
    pub(crate) fn start(world: &World, version: u32, disk: &Arc<StateDb>, skew_micros: i64) -> Self {
        let mut process =
            Self { client: world.log.client(), shutdown: CancellationToken::new(), tasks: Vec::new() };
        if version > 1 {
            process.services::<2>(world, disk, skew_micros);
        } else {
            process.services::<1>(world, disk, skew_micros);
        }
        process
    }

    fn services<const V: u32>(&mut self, world: &World, disk: &Arc<StateDb>, skew_micros: i64) {
        let partitions = world.plan.partitions;
        let weak = world.plan.controls.quarantine_reserves;
        let normalizer = Normalizer::new(world.keys.index_key(), partitions);
        let ticks = Some(Duration::from_secs(1));
        self.service(world, disk, skew_micros, ticks, Version::<_, V>::new(normalizer, weak));
        self.service(world, disk, skew_micros, None, Version::<_, V>::new(Attribution, weak));
        self.service(world, disk, skew_micros, None, Version::<_, V>::new(Commission::new(partitions), weak));
    }

    fn service<S: Service>(
        &mut self,
        world: &World,
        disk: &Arc<StateDb>,
        skew_micros: i64,
        tick_every: Option<Duration>,
        service: S,
    ) {
        let notes = Arc::clone(&world.notes);
        let options = OwnerOptions {
            tick_every,
            batch_records: 8,
            append_deadline: world.plan.append_deadline,
            store_commit_every: Duration::from_millis(300),
            host: world.log.host(skew_micros),
            on_halt: Some(HaltHook(Arc::new(move |partition, error| {
                // A version that meets a newer one gives way (rule 6): no fault.
                if let Some(error) = error
                    && !matches!(error, OwnerError::Unknown(_))
                {
                    notes.halted(format!("{} partition {}: {error}", S::NAME, partition.0));
                }
            }))),
            ..OwnerOptions::default()
        };
        let log: Arc<dyn Log> = Arc::clone(&self.client) as Arc<dyn Log>;
        let keys: Arc<dyn KeyStore> = Arc::clone(&world.keys) as Arc<dyn KeyStore>;
        let run = run_service(Arc::new(service), options, log, Arc::clone(disk), keys, self.shutdown.clone());
        let notes = Arc::clone(&world.notes);
        self.tasks.push(tokio::spawn(async move {
            if let Err(error) = run.await {
                notes.violated(format!("{} did not start: {error}", S::NAME));
            }
        }));
    }

    /// SIGKILL: whatever it was doing is not done; what it had handed to the network may still land.
    pub(crate) async fn kill(self) {
        for task in &self.tasks {
            task.abort();
        }
        for task in self.tasks {
            // Cancelled is what it was asked to be.
            drop(task.await);
        }
    }

    /// SIGTERM: drains and commits its store; killed when that takes longer than five seconds.
    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        let tasks = std::mem::take(&mut self.tasks);
        let drained = async {
            for task in tasks {
                drop(task.await);
            }
        };
        drop(tokio::time::timeout(Duration::from_secs(5), drained).await);
    }
}

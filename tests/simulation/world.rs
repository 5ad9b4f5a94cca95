//! What a history happens in: the log, what it was planned to meet, and what was noticed on the way.
use crate::readers::{Directory, Rows};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stream::simulated::{Faults, MemoryKeys, SimulatedLog};

/// Defences that are not in `stream` and can be removed here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Controls {
    /// Rule 8: a quarantined verdict reserves its key.
    pub(crate) quarantine_reserves: bool,
    /// Rule 9: a gateway keeps the latest record.
    pub(crate) latest_config: bool,
    /// Rule 6: replay decides everything by the newest logic.
    pub(crate) newest_logic: bool,
    /// Not a control: whether a replay is compared at all.
    pub(crate) skip_replay: bool,
}

/// What a seed makes of a history.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) partitions: u32,
    pub(crate) programs: Vec<String>,
    pub(crate) requests: usize,
    /// Processes that run at the same time at most.
    pub(crate) processes: usize,
    /// What is done to them.
    pub(crate) blows: usize,
    /// Version 2 is deployed on the way.
    pub(crate) upgrade: bool,
    /// Tails of chain topics are lost.
    pub(crate) truncations: bool,
    /// So many hosts have a wall clock that is a year ahead.
    pub(crate) wrong_clocks: usize,
    /// Eight days are longer than `ingest` is kept.
    pub(crate) retention: bool,
    /// The last program is created after its first requests have come.
    pub(crate) late_program: bool,
    /// Processes of both versions start together, when there is work already.
    pub(crate) together: bool,
    pub(crate) faults: Faults,
    pub(crate) append_deadline: Duration,
    pub(crate) controls: Controls,
    /// Prints every record of `ingest` with what became of it.
    pub(crate) tell: bool,
}

impl Plan {
    pub(crate) fn of(seed: u64) -> Self {
        let mut chance = StdRng::seed_from_u64(seed ^ 0x5eed);
        let programs = chance.random_range(1..=2);
        // One history in eight loses tails; the others must come through without anybody's help.
        let truncations = chance.random_range(0..8) == 0;
        Self {
            seed,
            partitions: chance.random_range(1..=2),
            programs: (0..programs).map(|number| format!("prog_{number}")).collect(),
            requests: chance.random_range(8..=24),
            processes: chance.random_range(2..=3),
            blows: chance.random_range(6..=16),
            upgrade: chance.random_range(0..4) > 0,
            truncations,
            wrong_clocks: [0, 0, 0, 1, 3][chance.random_range(0..5)],
            retention: !truncations && chance.random_range(0..3) == 0,
            late_program: chance.random_range(0..3) == 0,
            together: false,
            faults: Faults {
                appends_per_mille: chance.random_range(0..=160),
                reads_per_mille: chance.random_range(0..=10),
                latest: Duration::from_secs(chance.random_range(1..=5)),
                jitter: Duration::from_millis(chance.random_range(0..=8)),
            },
            append_deadline: Duration::from_millis(chance.random_range(200..=3_000)),
            controls: Controls::default(),
            tell: false,
        }
    }
}

/// What was noticed while the history ran.
#[derive(Debug, Default)]
pub(crate) struct Notes(Mutex<Noted>);

#[derive(Debug, Default, Clone)]
pub(crate) struct Noted {
    /// Partitions or readers that stopped for ever.
    pub(crate) halts: Vec<String>,
    /// Readers that refused a cursor and began again.
    pub(crate) diagnosed: Vec<String>,
    pub(crate) violations: Vec<String>,
    pub(crate) answers: u64,
}

impl Notes {
    pub(crate) fn halted(&self, why: String) {
        self.0.lock().unwrap().halts.push(why);
    }

    pub(crate) fn diagnosed(&self, why: String) {
        self.0.lock().unwrap().diagnosed.push(why);
    }

    pub(crate) fn violated(&self, what: String) {
        self.0.lock().unwrap().violations.push(what);
    }

    pub(crate) fn answered(&self) {
        self.0.lock().unwrap().answers += 1;
    }

    pub(crate) fn noted(&self) -> Noted {
        self.0.lock().unwrap().clone()
    }
}

/// One history's world.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) log: SimulatedLog,
    pub(crate) keys: Arc<MemoryKeys>,
    pub(crate) notes: Arc<Notes>,
    pub(crate) rows: Rows,
    pub(crate) directory: Directory,
    draining: AtomicBool,
}

impl World {
    pub(crate) fn new(plan: Plan) -> Arc<Self> {
        let log = SimulatedLog::new(plan.partitions, plan.seed, Faults::DELAYS);
        Arc::new(Self {
            plan,
            log,
            keys: Arc::default(),
            notes: Arc::default(),
            rows: Arc::default(),
            directory: Arc::default(),
            draining: AtomicBool::new(false),
        })
    }

    /// From now on nothing bad happens.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.log.set_faults(Faults::DELAYS);
    }

    pub(crate) fn draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }
}

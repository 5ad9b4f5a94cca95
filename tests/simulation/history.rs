//! One history: clients send, processes compete and die, readers restart; then the faults stop, and everything must come to
//! what the reference model says.
use crate::oracle;
use crate::process::Process;
use crate::readers;
use crate::truth::Truth;
use crate::workload::{self, Request};
use crate::world::{Plan, World};
use bytes::Bytes;
use domain::normalization::{FactsEvent, VerdictKind};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use stream::log::{Appender, Log, NewRecord, Offset, Partition, Topic, partition_of};
use stream::simulated::SimulatedLog;
use stream::store::StateDb;
use tokio::task::JoinSet;
use wire::ingest::{IngestRecord, RawRequest};

/// Topics that only owners write.
pub(crate) const CHAIN: [Topic; 3] = [Topic::Facts, Topic::Attributed, Topic::Commissions];
const EIGHT_DAYS_MICROS: i64 = 8 * 86_400 * 1_000_000;
/// How long everything may take to drain, in the simulation's seconds.
const DRAINED_WITHIN: Duration = Duration::from_secs(120);

/// What a history came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// What went wrong; `None`: nothing.
    pub(crate) problem: Option<String>,
    /// Stopped with a diagnosis, as it may when tails were lost.
    pub(crate) diagnosed: bool,
    pub(crate) facts: u64,
    pub(crate) faults: u64,
    pub(crate) answers: u64,
    /// What happened to commissions; nothing is known of a history that ended before its time.
    pub(crate) taken: oracle::Taken,
    /// Of every record of every topic: two runs of one seed have the same.
    pub(crate) digest: u64,
}

/// Runs a history to its end on a runtime of its own, whose time is simulated.
pub(crate) fn run(plan: Plan) -> Outcome {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let world = World::new(plan);
        let result = History::new(Arc::clone(&world)).live().await;
        let noted = world.notes.noted();
        if world.plan.tell {
            oracle::tell(&world);
        }
        let (result, taken) = match result {
            Ok(taken) => (Ok(()), taken),
            Err(problem) => (Err(problem), oracle::Taken::new()),
        };
        let lost_tails = world.plan.truncations && !noted.halts.is_empty();
        let problem = match noted.violations.first() {
            Some(violation) => Some(violation.clone()),
            None if lost_tails => oracle::nobody_diverged(&world).err(),
            None => noted.halts.first().map(|halt| format!("halted: {halt}")).or(result.err()),
        };
        let facts = (0..world.plan.partitions)
            .map(|partition| world.log.records(Topic::Facts, Partition(partition), Offset(0)).len() as u64);
        Outcome {
            problem,
            diagnosed: lost_tails || !noted.diagnosed.is_empty(),
            facts: facts.sum(),
            faults: world.log.faults_met(),
            answers: noted.answers,
            taken,
            digest: digest(&world.log, world.plan.partitions),
        }
    })
}

fn digest(log: &SimulatedLog, partitions: u32) -> u64 {
    let mut digest = 0xcbf2_9ce4_8422_2325_u64;
    for topic in Topic::ALL {
        for partition in (0..partitions).map(Partition) {
            for record in log.records(topic, partition, Offset(0)) {
                let time = record.appended_at.0.to_be_bytes();
                for byte in time.iter().chain(&record.value) {
                    digest = (digest ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
                }
            }
        }
    }
    digest
}

struct History {
    world: Arc<World>,
    chance: StdRng,
    slots: Vec<Slot>,
    others: JoinSet<()>,
    version: u32,
    reply: u64,
    sent: Vec<Request>,
}

/// A place where a process runs, with its disk and an old copy of that.
struct Slot {
    process: Option<Process>,
    disk: Arc<StateDb>,
    copy: Arc<StateDb>,
    skew_micros: i64,
}

impl History {
    fn new(world: Arc<World>) -> Self {
        let mut chance = StdRng::seed_from_u64(world.plan.seed ^ 0xb10b);
        let slots = (0..world.plan.processes)
            .map(|number| Slot {
                process: None,
                disk: StateDb::in_memory(),
                copy: StateDb::in_memory(),
                // A host a year ahead: what its clock says must decide nothing.
                skew_micros: if number < world.plan.wrong_clocks {
                    365 * 86_400 * 1_000_000
                } else {
                    chance.random_range(-1_000_000..=1_000_000)
                },
            })
            .collect();
        Self { world, chance, slots, others: JoinSet::new(), version: 1, reply: 0, sent: Vec::new() }
    }

    async fn live(mut self) -> Result<oracle::Taken, String> {
        self.start_readers();
        let together = self.world.plan.together;
        if !together {
            self.start_all();
        }
        self.set_up().await;
        self.world.log.set_faults(self.world.plan.faults.clone());
        let clients = self.start_clients();
        if together {
            tokio::time::sleep(Duration::from_secs(2)).await;
            self.start_all();
        }
        for blow in 0..self.world.plan.blows {
            tokio::time::sleep(Duration::from_millis(self.chance.random_range(0..900))).await;
            if self.world.plan.upgrade && blow == self.world.plan.blows / 2 {
                self.version = 2;
            }
            self.strike().await;
        }
        finish(clients).await;
        // Eight days later somebody sends things again, and people retry what was quarantined.
        self.world.log.move_clock(EIGHT_DAYS_MICROS);
        let retries = self.retries()?;
        let again = self.again();
        self.forget()?;
        let mut late = JoinSet::new();
        late.spawn(send(Arc::clone(&self.world), again, self.chance.random()));
        late.spawn(send(Arc::clone(&self.world), retries, self.chance.random()));
        self.strike().await;
        finish(late).await;
        self.drain().await
    }

    fn start_readers(&mut self) {
        for partition in (0..self.world.plan.partitions).map(Partition) {
            for topic in CHAIN {
                self.others.spawn(readers::follow(Arc::clone(&self.world), topic, partition));
            }
            self.others.spawn(readers::learn(Arc::clone(&self.world), partition));
        }
        if !self.world.plan.truncations {
            self.others.spawn(readers::take_answers(Arc::clone(&self.world)));
        }
    }

    fn start_all(&mut self) {
        for slot in 0..self.slots.len() {
            self.start(slot);
        }
    }

    fn start(&mut self, slot: usize) {
        let version = if self.world.plan.together && slot % 2 == 1 { 2 } else { self.version };
        let slot = &mut self.slots[slot];
        slot.process = Some(Process::start(&self.world, version, &slot.disk, slot.skew_micros));
    }

    fn at(&self, program: &str) -> Partition {
        partition_of(program, self.world.plan.partitions)
    }

    /// Programs exist before the first request.
    async fn set_up(&mut self) {
        let mut records = Vec::new();
        let late = usize::from(self.world.plan.late_program);
        let known = self.world.plan.programs.len() - late;
        for program in &self.world.plan.programs[..known] {
            let at = self.at(program);
            records.extend(workload::setup(program).into_iter().map(|record| (at, record)));
        }
        send(Arc::clone(&self.world), records, 0).await;
    }

    fn request(&mut self, request: Request) -> (Partition, IngestRecord) {
        self.reply += 1;
        let raw = request.raw(self.reply);
        let at = self.at(&request.program);
        self.sent.push(request);
        (at, IngestRecord::Request(raw))
    }

    /// One client for each program, and one that changes configuration meanwhile.
    fn start_clients(&mut self) -> JoinSet<()> {
        let mut clients = JoinSet::new();
        for program in self.world.plan.programs.clone() {
            let requests = workload::requests(&program, self.world.plan.requests, &mut self.chance);
            let mut requests: Vec<_> = requests.into_iter().map(|request| self.request(request)).collect();
            let at = self.at(&program);
            if self.world.plan.late_program && self.world.plan.programs.last() == Some(&program) {
                let setup = workload::setup(&program).into_iter().map(|record| (at, record));
                let place = requests.len() / 3;
                requests.splice(place..place, setup);
            }
            clients.spawn(send(Arc::clone(&self.world), requests, self.chance.random()));
            let changes = self.changes(&program).into_iter().map(|change| (at, change)).collect();
            clients.spawn(send(Arc::clone(&self.world), changes, self.chance.random()));
        }
        clients
    }

    fn changes(&mut self, program: &str) -> Vec<IngestRecord> {
        let mut changes = Vec::new();
        let mut rules = 1;
        for number in 1..self.chance.random_range(1..7) {
            match self.chance.random_range(0..4) {
                0 => {
                    rules += 1;
                    let rate_ppm = 100_000 * i64::from(rules);
                    let plain = workload::Pays { rate_ppm, ..workload::Pays::default() };
                    let pays = match self.chance.random_range(0..3) {
                        0 => workload::Pays { cap: Some(self.chance.random_range(1..4_000)), ..plain },
                        1 => workload::Pays { from: Some((self.chance.random_range(2..5), 50_000)), ..plain },
                        _ => plain,
                    };
                    changes.push(workload::rule(program, rules, pays));
                }
                1 => changes.push(workload::code(program, workload::PARTNERS[1], self.chance.random())),
                // Made and soon revoked: whoever learns it late must not think that it works.
                _ => changes.extend([false, true].map(|removed| workload::key(program, number, removed))),
            }
        }
        changes
    }

    /// Something bad happens to a process, a clock or the log.
    async fn strike(&mut self) {
        let at = self.chance.random_range(0..self.slots.len());
        if self.slots[at].process.is_none() {
            if self.chance.random_range(0..4) > 0 {
                self.choose_disk(at);
                self.start(at);
            }
            return;
        }
        match self.chance.random_range(0..10) {
            0..4 => {
                if let Some(process) = self.slots[at].process.take() {
                    process.kill().await;
                }
            }
            4 => {
                if let Some(process) = self.slots[at].process.take() {
                    process.stop().await;
                }
            }
            5 | 6 => {
                let time = Duration::from_millis(self.chance.random_range(50..6_000));
                self.slots[at].process.iter().for_each(|process| process.client.stall(time));
            }
            7 => self.slots[at].copy = self.slots[at].disk.copy_of_memory(),
            8 => self.world.log.move_clock(self.chance.random_range(-2_000_000..60_000_000)),
            _ => self.lose_a_tail(),
        }
    }

    /// A process starts over its own disk, a lost one, or one from a backup.
    fn choose_disk(&mut self, slot: usize) {
        let slot = &mut self.slots[slot];
        match self.chance.random_range(0..4) {
            0 => slot.disk = StateDb::in_memory(),
            1 => slot.disk = slot.copy.copy_of_memory(),
            _ => {}
        }
    }

    fn lose_a_tail(&mut self) {
        if self.world.plan.truncations {
            let topic = CHAIN[self.chance.random_range(0..CHAIN.len())];
            let partition = Partition(self.chance.random_range(0..self.world.plan.partitions));
            self.world.log.truncate(topic, partition, self.chance.random_range(1..=3));
        }
    }

    /// Retention takes what was normalized: nobody needs it to rebuild (rule 5).
    fn forget(&mut self) -> Result<(), String> {
        if self.world.plan.retention {
            for partition in (0..self.world.plan.partitions).map(Partition) {
                let facts = Truth::of(&self.world.log, Topic::Facts, partition)?;
                let normalized = facts.frames.last().map_or(0, |accepted| accepted.frame.source);
                self.world.log.expire(Topic::Ingest, partition, Offset(normalized));
            }
        }
        Ok(())
    }

    /// Some of what was sent, eight days later.
    fn again(&mut self) -> Vec<(Partition, IngestRecord)> {
        let count = self.sent.len();
        let chosen: Vec<_> = (0..8).map(|_| self.sent[self.chance.random_range(0..count)].clone()).collect();
        chosen.into_iter().map(|request| self.request(request)).collect()
    }

    /// Two people retry what was quarantined by a defect, or before its program was there.
    fn retries(&mut self) -> Result<Vec<(Partition, IngestRecord)>, String> {
        let mut retries = Vec::new();
        for partition in (0..self.world.plan.partitions).map(Partition) {
            let ingest = self.world.log.records(Topic::Ingest, partition, Offset(0));
            for accepted in Truth::of(&self.world.log, Topic::Facts, partition)?.frames {
                let of_position = accepted.frame.source;
                let place = usize::try_from(of_position).unwrap_or(usize::MAX);
                let quarantined = may_be_retried(accepted.frame.events.first());
                let Some(record) = ingest.get(place).filter(|_| quarantined) else { continue };
                let Ok(IngestRecord::Request(request)) = wire::ingest::decode(&record.value) else {
                    continue;
                };
                for _ in 0..self.chance.random_range(1..=2) {
                    self.reply += 1;
                    let request = RawRequest { reply_to: None, ..request.clone() };
                    let actor = format!("person {}", self.reply);
                    retries.push((partition, IngestRecord::Retry { of_position, request, actor }));
                }
            }
        }
        Ok(retries)
    }

    /// The faults stop. One process of the newest version must bring everything to its end, without anybody's help.
    async fn drain(mut self) -> Result<oracle::Taken, String> {
        self.world.drain();
        for slot in 0..self.slots.len() {
            if let Some(process) = self.slots[slot].process.take() {
                process.kill().await;
            }
        }
        while !self.world.log.is_quiet() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let last = self.slots.len() - 1;
        self.start(last);
        self.reach_the_end().await?;
        // What was created late is held for its days as well.
        self.world.log.move_clock(EIGHT_DAYS_MICROS);
        tokio::time::sleep(Duration::from_secs(3)).await;
        self.reach_the_end().await?;
        // The next owner restores configuration that gateways have missed (rule 9).
        if let Some(process) = self.slots[last].process.take() {
            process.stop().await;
        }
        self.start(last);
        tokio::time::sleep(Duration::from_secs(2)).await;
        self.reach_the_end().await?;
        if let Some(process) = self.slots[last].process.take() {
            process.stop().await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.others.shutdown().await;
        oracle::check(&self.world, &self.sent)
    }

    /// Appends a record that always leaves a frame, and waits until every topic and reader is past it.
    async fn reach_the_end(&mut self) -> Result<(), String> {
        let began = tokio::time::Instant::now();
        for partition in (0..self.world.plan.partitions).map(Partition) {
            let Some(program) = self.world.plan.programs.iter().find(|program| self.at(program) == partition)
            else {
                continue;
            };
            let marker = workload::code(program, workload::PARTNERS[0], true);
            let mark = append(&self.world, partition, &marker).await;
            loop {
                match passed(&self.world, partition, mark.0)? {
                    None => break,
                    Some(missing) if began.elapsed() > DRAINED_WITHIN => {
                        return Err(format!("stuck: {missing}"));
                    }
                    Some(_) => tokio::time::sleep(Duration::from_millis(200)).await,
                }
            }
        }
        Ok(())
    }
}

fn may_be_retried(event: Option<&Bytes>) -> bool {
    let Some(Ok(FactsEvent::Verdict(verdict))) = event.map(wire::facts::decode) else { return false };
    let mended = ["defect", "unknown_program"].contains(&verdict.reason.as_str());
    verdict.kind == VerdictKind::Quarantined && mended && verdict.retry_of.is_none()
}

/// What has not passed `position` of `ingest` yet.
fn passed(world: &World, partition: Partition, position: u64) -> Result<Option<String>, String> {
    let mut source = position;
    for topic in CHAIN {
        let truth = Truth::of(&world.log, topic, partition)?;
        let frame =
            truth.frames.iter().rev().find(|accepted| accepted.frame.source == source && accepted.frame.last);
        let Some(accepted) = frame else {
            return Ok(Some(format!("{} partition {} lacks input {source}", topic.name(), partition.0)));
        };
        source = accepted.frame.seq;
        let rows = world.rows.lock().unwrap();
        let row = &rows[&(topic, partition)];
        if row.halted {
            return Err(format!("a reader of {} halted for ever", topic.name()));
        }
        if row.cursor.seq < source {
            return Ok(Some(format!("a reader of {} is at {}, not {source}", topic.name(), row.cursor.seq)));
        }
    }
    Ok(None)
}

async fn finish(mut clients: JoinSet<()>) {
    while clients.join_next().await.is_some() {}
}

/// Sends one after the other, each until it is acknowledged: a record may be there twice, none is missing.
async fn send(world: Arc<World>, records: Vec<(Partition, IngestRecord)>, seed: u64) {
    let mut chance = StdRng::seed_from_u64(seed);
    for (partition, record) in records {
        if seed != 0 {
            tokio::time::sleep(Duration::from_millis(chance.random_range(0..300))).await;
        }
        append(&world, partition, &record).await;
    }
}

async fn append(world: &World, partition: Partition, record: &IngestRecord) -> Offset {
    let client = world.log.client();
    let mut appender: Option<Arc<dyn Appender>> = None;
    loop {
        let Some(sender) = &appender else {
            appender = client.appender().await.ok();
            tokio::task::yield_now().await;
            continue;
        };
        let record = NewRecord { key: Bytes::new(), value: wire::ingest::encode(record) };
        let sent = sender.append(Topic::Ingest, partition, vec![record]);
        match tokio::time::timeout(Duration::from_secs(2), sent).await {
            Ok(Ok(offsets)) => return offsets.into_iter().flatten().next().unwrap_or_default(),
            _ => appender = None,
        }
    }
}

/// What the clients have meant by each body.
pub(crate) fn meanings(sent: &[Request]) -> BTreeMap<(String, Bytes), Request> {
    sent.iter().map(|request| ((request.program.clone(), request.raw(0).body), request.clone())).collect()
}

//! Where appends land. Everything that is to happen is in one queue, ordered by (time, order of asking); whoever's timer
//! fires first does all that is due. So the order never depends on timers that are due at the same instant.
use super::fault::{Fault, Faults};
use crate::log::{AppendError, Bounds, NewRecord, Offset, Partition, Record, Topic};
use domain::time::Micros;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;

/// When a simulation begins: 2027-01-15.
const EPOCH_MICROS: i64 = 1_800_000_000_000_000;

/// What an append is told.
pub(super) type Answer = Result<Vec<Option<Offset>>, AppendError>;

#[derive(Debug)]
pub(super) struct Broker {
    began: Instant,
    pub(super) partitions: u32,
    pub(super) active: watch::Sender<Vec<Partition>>,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) chance: StdRng,
    pub(super) faults: Faults,
    pub(super) forced: BTreeMap<(Topic, Partition), VecDeque<Fault>>,
    pub(super) queue: BinaryHeap<Reverse<Due>>,
    pub(super) faults_met: u64,
    clock_offset: i64,
    parts: BTreeMap<(Topic, Partition), Part>,
    calls: BTreeMap<u64, Call>,
    /// When the last record of an appender's ordinary appends to a partition lands: its order is kept.
    lanes: BTreeMap<(u64, Topic, Partition), Instant>,
    /// Appenders whose leader for this partition is gone: nothing of theirs succeeds there any more.
    severed: BTreeSet<(u64, Topic, Partition)>,
    next: u64,
}

#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) start: u64,
    pub(super) records: VecDeque<Record>,
    /// What retention took: only a test still sees it.
    expired: Vec<Record>,
    /// Grows with each truncation: readers of another generation must open again.
    pub(super) generation: u64,
    pub(super) changed: Arc<Notify>,
}

impl Part {
    pub(super) fn end(&self) -> u64 {
        self.start + self.records.len() as u64
    }

    pub(super) fn bounds(&self) -> Bounds {
        Bounds { start: Offset(self.start), end: Offset(self.end()) }
    }
}

/// Something that will happen.
#[derive(Debug)]
pub(super) struct Due {
    at: Instant,
    order: u64,
    call: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    Land { index: usize, record: NewRecord },
    Answer,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// An append under way.
#[derive(Debug)]
struct Call {
    appender: u64,
    to: (Topic, Partition),
    landing: usize,
    offsets: Vec<Option<Offset>>,
    told: Told,
    reply: Option<oneshot::Sender<Answer>>,
    /// Its appender was dropped and took with it what had not landed.
    discarded: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Offsets,
    NoOffsets,
    Failure,
}

impl Broker {
    pub(super) fn new(partitions: u32, seed: u64, faults: Faults) -> Self {
        let state = State {
            chance: StdRng::seed_from_u64(seed),
            faults,
            forced: BTreeMap::new(),
            queue: BinaryHeap::new(),
            faults_met: 0,
            clock_offset: 0,
            parts: BTreeMap::new(),
            calls: BTreeMap::new(),
            lanes: BTreeMap::new(),
            severed: BTreeSet::new(),
            next: 0,
        };
        let active = watch::Sender::new((0..partitions).map(Partition).collect());
        Self { began: Instant::now(), partitions, active, state: Mutex::new(state) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Micros {
        self.now_with(self.state().clock_offset)
    }

    fn now_with(&self, offset: i64) -> Micros {
        let elapsed = i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX);
        Micros(EPOCH_MICROS.saturating_add(elapsed).saturating_add(offset))
    }

    pub(super) fn move_clock(&self, micros: i64) {
        self.state().clock_offset += micros;
    }

    pub(super) fn random(&self) -> u64 {
        self.state().chance.random()
    }

    pub(super) fn new_appender(&self) -> u64 {
        self.state().number()
    }

    pub(super) fn records(&self, topic: Topic, partition: Partition, from: Offset) -> Vec<Record> {
        let mut state = self.state();
        let part = state.part(topic, partition);
        let skip = usize::try_from(from.0).unwrap_or(usize::MAX);
        part.expired.iter().chain(&part.records).skip(skip).cloned().collect()
    }

    pub(super) fn truncate(&self, topic: Topic, partition: Partition, records: usize) {
        let mut state = self.state();
        let part = state.part(topic, partition);
        let left = part.records.len().saturating_sub(records);
        part.records.truncate(left);
        part.generation += 1;
        part.changed.notify_waiters();
        // No log loses a tail under a writer that goes on as if nothing had happened: the new leader does not know its
        // sequence numbers, and the embedded log loses one only when the process ends.
        let to = (topic, partition);
        for call in state.calls.values_mut().filter(|call| call.to == to) {
            call.told = Told::Failure;
        }
        let writers: Vec<_> = state.lanes.keys().filter(|lane| (lane.1, lane.2) == to).copied().collect();
        state.severed.extend(writers);
    }

    pub(super) fn expire(&self, topic: Topic, partition: Partition, start: Offset) {
        let mut state = self.state();
        let part = state.part(topic, partition);
        while part.start < start.0
            && let Some(record) = part.records.pop_front()
        {
            part.expired.push(record);
            part.start += 1;
        }
    }

    /// Takes an append: decides its fate, queues it, and does what is due at once.
    pub(super) fn append(
        self: &Arc<Self>,
        appender: u64,
        to: (Topic, Partition),
        records: Vec<NewRecord>,
    ) -> oneshot::Receiver<Answer> {
        let (reply, answer) = oneshot::channel();
        let now = Instant::now();
        let mut wake = self.state().enqueue(now, appender, to, records, reply);
        self.pump();
        wake.retain(|at| *at > now);
        for at in wake {
            let broker = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep_until(at).await;
                broker.pump();
            });
        }
        answer
    }

    /// Does everything that is due.
    fn pump(&self) {
        let now = Instant::now();
        let mut state = self.state();
        let stamp = self.now_with(state.clock_offset);
        while state.queue.peek().is_some_and(|Reverse(due)| due.at <= now) {
            let Some(Reverse(due)) = state.queue.pop() else { return };
            state.happen(due, stamp);
        }
    }

    /// An appender is dropped: what it still held lands or not, all or nothing for each append.
    pub(super) fn drop_appender(&self, appender: u64) {
        let mut guard = self.state();
        let state = &mut *guard;
        state.lanes.retain(|(lane, ..), _| *lane != appender);
        state.severed.retain(|(lane, ..)| *lane != appender);
        if state.faults.appends_per_mille == 0 {
            return;
        }
        for call in state.calls.values_mut().filter(|call| call.appender == appender) {
            // What was reported failed is on its way already.
            call.discarded |= call.told != Told::Failure && state.chance.random();
        }
    }
}

impl State {
    pub(super) fn part(&mut self, topic: Topic, partition: Partition) -> &mut Part {
        self.parts.entry((topic, partition)).or_default()
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Queues the events of an append; the instants at which somebody must look.
    fn enqueue(
        &mut self,
        now: Instant,
        appender: u64,
        to: (Topic, Partition),
        records: Vec<NewRecord>,
        reply: oneshot::Sender<Answer>,
    ) -> Vec<Instant> {
        let forced = self.forced.get_mut(&to).and_then(VecDeque::pop_front);
        let gone = self.severed.contains(&(appender, to.0, to.1)).then_some(Fault::Lost);
        let fault = gone.or(forced).or_else(|| self.faults.choose(&mut self.chance));
        self.faults_met += u64::from(fault.is_some());
        let lane = self.lanes.get(&(appender, to.0, to.1)).copied().unwrap_or(now);
        let lands = lane.max(now + self.faults.delay(&mut self.chance));
        let answered = lands + self.faults.delay(&mut self.chance);
        let fate = Fate::of(fault, records.len(), lands, answered, &mut self.chance);
        if fate.told == Told::Offsets {
            self.lanes.insert((appender, to.0, to.1), lands);
        }
        let id = self.number();
        let mut wake = vec![fate.answered];
        for (index, at) in &fate.lands {
            wake.push(*at);
            let record = records[*index].clone();
            self.push(*at, id, What::Land { index: *index, record });
        }
        self.push(fate.answered, id, What::Answer);
        let call = Call {
            appender,
            to,
            landing: fate.lands.len(),
            offsets: vec![None; records.len()],
            told: fate.told,
            reply: Some(reply),
            discarded: false,
        };
        self.calls.insert(id, call);
        wake.sort_unstable();
        wake.dedup();
        wake
    }

    fn push(&mut self, at: Instant, call: u64, what: What) {
        let order = self.number();
        self.queue.push(Reverse(Due { at, order, call, what }));
    }

    fn happen(&mut self, due: Due, stamp: Micros) {
        let Some(call) = self.calls.get_mut(&due.call) else { return };
        match due.what {
            What::Land { index, record } => {
                call.landing -= 1;
                if !call.discarded {
                    let part = self.parts.entry(call.to).or_default();
                    let offset = Offset(part.end());
                    call.offsets[index].get_or_insert(offset);
                    let NewRecord { key, value } = record;
                    let imported_at = None;
                    part.records.push_back(Record { offset, appended_at: stamp, key, value, imported_at });
                    part.changed.notify_waiters();
                }
            }
            What::Answer => {
                if let Some(reply) = call.reply.take() {
                    // Nobody listening is as good as an answer.
                    drop(reply.send(call.answer()));
                }
            }
        }
        if call.landing == 0 && call.reply.is_none() {
            self.calls.remove(&due.call);
        }
    }
}

impl Call {
    fn answer(&self) -> Answer {
        match self.told {
            Told::Failure => Err(AppendError::Indefinite("the simulated log lost the answer".to_owned())),
            Told::NoOffsets => Ok(vec![None; self.offsets.len()]),
            Told::Offsets if self.discarded => Err(AppendError::Indefinite("appender dropped".to_owned())),
            Told::Offsets => Ok(self.offsets.clone()),
        }
    }
}

/// What becomes of an append.
struct Fate {
    lands: Vec<(usize, Instant)>,
    told: Told,
    answered: Instant,
}

impl Fate {
    fn of(
        fault: Option<Fault>,
        count: usize,
        lands: Instant,
        answered: Instant,
        chance: &mut StdRng,
    ) -> Self {
        let all = |at: Instant| (0..count).map(move |index| (index, at));
        let (landing, told, answered): (Vec<_>, _, _) = match fault {
            None => (all(lands).collect(), Told::Offsets, answered),
            Some(Fault::Lost) => (Vec::new(), Told::Failure, answered),
            Some(Fault::LandedButFailed) => (all(lands).collect(), Told::Failure, answered),
            Some(Fault::UnknownOffset) => (all(lands).collect(), Told::NoOffsets, answered),
            Some(Fault::Duplicated) => (all(lands).chain(all(lands)).collect(), Told::Offsets, answered),
            Some(Fault::Hole) => {
                let missing = chance.random_range(0..count.max(1));
                let others = all(lands).filter(|(index, _)| *index != missing);
                (others.collect(), Told::Failure, answered)
            }
            Some(Fault::Torn) => (all(lands).take(count / 2).collect(), Told::Failure, answered),
            Some(Fault::Late(late)) => (all(lands + late).collect(), Told::Failure, answered),
            Some(Fault::LateHole(late)) => (all(lands + late).skip(1).collect(), Told::Failure, answered),
            Some(Fault::Unanswered(late)) => (all(lands).collect(), Told::Offsets, answered + late),
        };
        Self { lands: landing, told, answered }
    }
}

/// The longest record: as the other logs have it.
pub(super) const LARGEST_RECORD_BYTES: usize = 1 << 20;

/// Waits as long as chance says.
pub(super) async fn linger(delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}

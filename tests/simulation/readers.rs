//! Everybody but the owners: readers of the chain with rows and whole cursors, as the projector keeps them; the gateway,
//! which waits for answers and learns configuration.
use crate::truth::Truth;
use crate::world::World;
use bytes::Bytes;
use domain::commission::CommissionsEvent;
use domain::ids::Hash;
use domain::normalization::{FactsEvent, ReplyAddress};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stream::cursor::{Cursor, WriterId};
use stream::follow::{FollowError, Follower};
use stream::log::{Log, Offset, Partition, Topic, partition_of};
use stream::weakness::{self, Weakness};
use wire::outcomes::OutcomeRecord;

/// What a reader has, and how far it has read: one transaction.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) cursor: Cursor,
    pub(crate) heads: Vec<(u64, Hash)>,
    /// It stopped for ever.
    pub(crate) halted: bool,
}

pub(crate) type Rows = Arc<Mutex<BTreeMap<(Topic, Partition), Row>>>;

/// A reader of one chain topic that restarts again and again from what it committed.
pub(crate) async fn follow(world: Arc<World>, topic: Topic, partition: Partition) {
    let log: Arc<dyn Log> = world.log.client();
    let mut chance = StdRng::seed_from_u64(world.log.random());
    let start = Row { cursor: Cursor::START, heads: Vec::new(), halted: false };
    world.rows.lock().unwrap().insert((topic, partition), start.clone());
    loop {
        let mut row = world.rows.lock().unwrap()[&(topic, partition)].clone();
        if weakness::on(Weakness::OffsetOnly) {
            (row.cursor.epoch, row.cursor.writer) = (0, WriterId::default());
        }
        let mut follower = match Follower::open(&log, topic, partition, row.cursor).await {
            Ok(follower) => follower,
            Err(error) => {
                // Its diagnosis says: rebuild from offset 0.
                if matches!(error, FollowError::AnchorMismatch { .. }) {
                    world.notes.diagnosed(format!("reader of {}: {error}", topic.name()));
                    world.rows.lock().unwrap().insert((topic, partition), start.clone());
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        for _ in 0..chance.random_range(1..60) {
            match follower.next(chance.random_range(1..20), usize::MAX).await {
                Ok(frames) => row.heads.extend(frames.iter().map(|frame| (frame.seq, frame.head))),
                Err(FollowError::Halt { halt, .. }) => {
                    row.halted = true;
                    world.rows.lock().unwrap().insert((topic, partition), row);
                    world.notes.halted(format!("reader of {}: {halt}", topic.name()));
                    return;
                }
                Err(_) => break,
            }
            // Usually committed at once, sometimes together with what comes next.
            row.cursor = follower.cursor();
            if chance.random_range(0..4) > 0 || world.draining() {
                world.rows.lock().unwrap().insert((topic, partition), row.clone());
            }
        }
    }
}

/// Takes answers, and compares each at once with what the log says at that moment.
pub(crate) async fn take_answers(world: Arc<World>) {
    let partitions = world.plan.partitions;
    let here = partition_of("gateway", partitions);
    let log: Arc<dyn Log> = world.log.client();
    let mut known = Known::new(partitions);
    let mut next = Offset(0);
    loop {
        let Ok(mut reader) = log.reader(Topic::Outcomes, here, next).await else { continue };
        while let Ok(records) = reader.next(100, usize::MAX).await {
            for record in records {
                next = record.offset.next();
                let checked = wire::outcomes::decode(&record.value)
                    .map_err(|error| error.to_string())
                    .and_then(|outcome| known.check(&world, &outcome));
                if let Err(problem) = checked {
                    world.notes.violated(problem);
                    return;
                }
                world.notes.answered();
            }
        }
    }
}

/// Gateway and number of a waiting request.
type Address = (String, u64);
/// Verdict, reason, amount.
type Told = (String, String, i64);

/// Every answer that an accepted frame gives.
struct Known {
    truths: Vec<Truth>,
    answers: BTreeMap<Address, Vec<Told>>,
}

fn address(reply: &ReplyAddress) -> Address {
    (reply.gateway_instance.clone(), reply.correlation_id)
}

impl Known {
    fn new(partitions: u32) -> Self {
        let topics = [Topic::Facts, Topic::Commissions];
        let each = |topic| (0..partitions).map(move |partition| Truth::new(topic, Partition(partition)));
        Self { truths: topics.into_iter().flat_map(each).collect(), answers: BTreeMap::new() }
    }

    fn check(&mut self, world: &World, outcome: &OutcomeRecord) -> Result<(), String> {
        for truth in &mut self.truths {
            let first = truth.advance(&world.log)?;
            for accepted in &truth.frames[first..] {
                for bytes in &accepted.frame.events {
                    if let Some((reply, answer)) = answer_in(truth.topic, bytes) {
                        self.answers.entry(reply).or_default().push(answer);
                    }
                }
            }
        }
        let amount = outcome.answer.as_ref().map_or(0, |answer| answer.amount.0);
        let told = (outcome.verdict.name().to_owned(), outcome.reason.clone(), amount);
        let known = self.answers.get(&address(&outcome.reply_to));
        if known.is_some_and(|known| known.contains(&told)) {
            return Ok(());
        }
        Err(format!("an answer that no accepted frame gives: {told:?}, the log has {known:?}"))
    }
}

/// The answer that an event of this topic gives.
fn answer_in(topic: Topic, bytes: &Bytes) -> Option<(Address, Told)> {
    if topic == Topic::Commissions {
        let Ok(CommissionsEvent::Answer(recorded)) = wire::commissions::decode(bytes) else { return None };
        let verdict = if recorded.duplicate { "duplicate" } else { "applied" };
        let answer = (verdict.to_owned(), recorded.answer.declined.clone(), recorded.answer.amount.0);
        return Some((address(recorded.reply_to.as_ref()?), answer));
    }
    let Ok(FactsEvent::Verdict(verdict)) = wire::facts::decode(bytes) else { return None };
    let answer = (verdict.kind.name().to_owned(), verdict.reason.clone(), 0);
    Some((address(verdict.reply_to.as_ref()?), answer))
}

/// A gateway's view of configuration: by key, (version, removed).
pub(crate) type Directory = Arc<Mutex<BTreeMap<String, (u64, bool)>>>;

/// Learns configuration: the highest version of each object counts, not the latest record (rule 9).
pub(crate) async fn learn(world: Arc<World>, partition: Partition) {
    let log: Arc<dyn Log> = world.log.client();
    let mut next = Offset(0);
    loop {
        let Ok(mut reader) = log.reader(Topic::GatewayConfig, partition, next).await else { continue };
        while let Ok(records) = reader.next(100, usize::MAX).await {
            for record in records {
                next = record.offset.next();
                let Ok(config) = wire::config::decode_gateway(&record.value) else { continue };
                let mut directory = world.directory.lock().unwrap();
                let known = directory.get(&config.key).map_or(0, |(version, _)| *version);
                if config.version < known && world.plan.controls.latest_config {
                    let key = &config.key;
                    world.notes.violated(format!(
                        "a gateway went back from version {known} of {key} to {}",
                        config.version
                    ));
                }
                if config.version >= known || world.plan.controls.latest_config {
                    directory.insert(config.key, (config.version, config.fact.removed));
                }
            }
        }
    }
}

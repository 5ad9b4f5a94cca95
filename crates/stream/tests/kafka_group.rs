//! Sharing partitions on a real broker: who is named for what, and how fast that changes.
#![allow(clippy::unwrap_used, missing_docs)]
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use stream::assignment::Assignment;
use stream::kafka::{KafkaLog, KafkaOptions};
use stream::log::{Log, Partition, Topic};
use testkit::kafka::KafkaBroker;
use tokio::time::Instant;

const LIMIT: Duration = Duration::from_secs(30);
const PARTITIONS: u32 = 7;

struct Member {
    assignment: Assignment,
    _log: Arc<KafkaLog>,
}

impl Member {
    async fn join(options: &KafkaOptions) -> Self {
        let log = KafkaLog::connect(options.clone()).await.unwrap();
        Self { assignment: log.join("commission", Topic::Attributed).unwrap(), _log: log }
    }

    /// What it is named for, once that is settled and of this size.
    async fn has(&mut self, partitions: usize) -> BTreeSet<Partition> {
        let there = async {
            loop {
                let named = self.assignment.named();
                if named.settled && named.partitions.len() == partitions {
                    return named.partitions;
                }
                assert!(self.assignment.changed().await);
            }
        };
        tokio::time::timeout(LIMIT, there).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_share_all_partitions_keep_most_of_theirs_and_leave_at_once() {
    let broker = KafkaBroker::shared().await.unwrap();
    let options = broker.log(PARTITIONS).await.unwrap().options().clone();
    let all: BTreeSet<Partition> = (0..PARTITIONS).map(Partition).collect();
    let mut first = Member::join(&options).await;
    assert_eq!(first.has(7).await, all);

    let mut second = Member::join(&options).await;
    // In the order of their start: the first keeps what it can, and the second gets the rest.
    assert_eq!(first.has(4).await, (0..4).map(Partition).collect());
    assert_eq!(second.has(3).await, (4..7).map(Partition).collect());

    let since = Instant::now();
    second.assignment.leave().await;
    assert_eq!(first.has(7).await, all);
    println!("left and taken over after {:?}", since.elapsed());
    assert!(since.elapsed() < Duration::from_secs(3), "sooner than any session lapses");

    // Dropped without being waited for it leaves as well.
    let third = Member::join(&options).await;
    first.has(4).await;
    drop(third);
    assert_eq!(first.has(7).await, all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_the_broker_refuses_becomes_one_that_it_takes() {
    let broker = KafkaBroker::shared().await.unwrap();
    let mut options = broker.log(PARTITIONS).await.unwrap().options().clone();
    // Below what any of our brokers is told to take.
    options.session_timeout = Duration::from_secs(1);
    Member::join(&options).await.has(7).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_members_than_partitions_leave_some_without_any_and_settled() {
    let broker = KafkaBroker::shared().await.unwrap();
    let options = broker.log(1).await.unwrap().options().clone();
    let mut first = Member::join(&options).await;
    first.has(1).await;
    let mut second = Member::join(&options).await;
    assert!(second.has(0).await.is_empty());
    first.has(1).await;
    first.assignment.leave().await;
    second.has(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_a_settled_group_gave_to_nobody_are_given_again() {
    let broker = KafkaBroker::shared().await.unwrap();
    let mut options = broker.log(PARTITIONS).await.unwrap().options().clone();
    // As after a broker's return: those who divide know of fewer partitions than there are. By themselves clients ask
    // for more every five minutes only.
    let name = options.topic_name(Topic::Attributed);
    options.partitions = PARTITIONS + 2;
    let mut first = Member::join(&options).await;
    let mut second = Member::join(&options).await;
    first.has(4).await;
    second.has(3).await;
    testkit::topics::grow(broker.bootstrap(), &name, 9).await.unwrap();
    let both = async {
        loop {
            let (one, other) = (first.assignment.named(), second.assignment.named());
            let all: BTreeSet<_> = one.partitions.union(&other.partitions).collect();
            if one.settled && other.settled && all.len() == 9 {
                return;
            }
            tokio::select! {
                changed = first.assignment.changed() => assert!(changed),
                changed = second.assignment.changed() => assert!(changed),
            }
        }
    };
    tokio::time::timeout(2 * LIMIT, both).await.unwrap();
}

//! Which partitions a process should serve of a service: a hint, never a permission (rule 12).
//!
//! One process has them all; on Kafka the processes of a service share them through a consumer group. What is served is
//! decided by fences alone, so an assignment that is late, wrong or the same twice costs time and nothing else.
use crate::log::Partition;
use futures::future::BoxFuture;
use std::collections::BTreeSet;
use std::fmt::Debug;
use tokio::sync::watch;

/// What a service's processes are told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Named {
    /// The partitions of this process.
    pub partitions: BTreeSet<Partition>,
    /// No rebalance is under way. While one is, the partitions are those of before: what is held stays held, since nobody
    /// else has been named yet, and nothing is taken.
    pub settled: bool,
}

/// Membership in a group.
pub trait Member: Send + Sync + Debug {
    /// Begins to leave at once; resolves when the group has been told.
    fn leave(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// One service's assignment in one process. Dropped, it leaves the group without being waited for.
#[derive(Debug)]
pub struct Assignment(Source);

#[derive(Debug)]
enum Source {
    Everything(watch::Receiver<Vec<Partition>>),
    Group { named: watch::Receiver<Named>, member: Box<dyn Member> },
}

impl Assignment {
    /// Every partition of `active`, for a process that shares with nobody.
    #[must_use]
    pub const fn everything(active: watch::Receiver<Vec<Partition>>) -> Self {
        Self(Source::Everything(active))
    }

    /// What a group says.
    #[must_use]
    pub fn group(named: watch::Receiver<Named>, member: Box<dyn Member>) -> Self {
        Self(Source::Group { named, member })
    }

    /// What is named now; [`Assignment::changed`] resolves when that is no longer so.
    pub fn named(&mut self) -> Named {
        match &mut self.0 {
            Source::Everything(active) => {
                Named { partitions: active.borrow_and_update().iter().copied().collect(), settled: true }
            }
            Source::Group { named, .. } => named.borrow_and_update().clone(),
        }
    }

    /// Resolves when something else is named; `false`: nothing ever will be.
    pub async fn changed(&mut self) -> bool {
        match &mut self.0 {
            Source::Everything(active) => active.changed().await.is_ok(),
            Source::Group { named, .. } => named.changed().await.is_ok(),
        }
    }

    /// Begins to leave at once, so that others take over what is drained here; resolves when the group has been told.
    #[must_use]
    pub fn leave(self) -> BoxFuture<'static, ()> {
        match self.0 {
            Source::Everything(_) => Box::pin(std::future::ready(())),
            Source::Group { member, .. } => member.leave(),
        }
    }
}

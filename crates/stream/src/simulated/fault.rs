//! What can happen to an append.
use rand::Rng;
use rand::rngs::StdRng;
use std::time::Duration;

/// A fault of one append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing lands; reported failed.
    Lost,
    /// Everything lands; reported failed.
    LandedButFailed,
    /// Everything lands; acknowledged without an offset.
    UnknownOffset,
    /// Everything lands, and then once more; acknowledged with the offsets of the first copies.
    Duplicated,
    /// One record is missing, its successors land; reported failed.
    Hole,
    /// The first half lands, the rest does not; reported failed.
    Torn,
    /// Reported failed; lands after this time, whatever became of the appender.
    Late(Duration),
    /// The first record is missing now and the others come after this time; reported failed.
    LateHole(Duration),
    /// Lands now; the answer comes only after this time.
    Unanswered(Duration),
}

/// How often and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    /// Of 1,000 appends, so many meet a fault.
    pub appends_per_mille: u32,
    /// Of 1,000 reads and questions, so many are answered with `Unavailable`.
    pub reads_per_mille: u32,
    /// How late a late append lands at most.
    pub latest: Duration,
    /// How long an append or a read takes at most, in whole milliseconds; 0: nothing waits.
    pub jitter: Duration,
}

impl Faults {
    /// No faults and no delays.
    pub const NONE: Self =
        Self { appends_per_mille: 0, reads_per_mille: 0, latest: Duration::ZERO, jitter: Duration::ZERO };

    /// No faults, with delays: order between partitions and processes still varies.
    pub const DELAYS: Self = Self { jitter: Duration::from_millis(4), ..Self::NONE };

    pub(super) fn choose(&self, chance: &mut StdRng) -> Option<Fault> {
        if self.appends_per_mille == 0 || chance.random_range(0..1_000) >= self.appends_per_mille {
            return None;
        }
        let late =
            |chance: &mut StdRng| Duration::from_millis(chance.random_range(1..=millis(self.latest).max(1)));
        Some(match chance.random_range(0..10) {
            0 => Fault::Lost,
            1 => Fault::LandedButFailed,
            2 => Fault::UnknownOffset,
            3 => Fault::Duplicated,
            4 => Fault::Hole,
            5 => Fault::Torn,
            6 | 7 => Fault::Late(late(chance)),
            8 => Fault::LateHole(late(chance)),
            _ => Fault::Unanswered(late(chance)),
        })
    }

    /// How long the next step takes: mostly nothing, so that many things happen at the same instant.
    pub(super) fn delay(&self, chance: &mut StdRng) -> Duration {
        let most = millis(self.jitter);
        if most == 0 || chance.random_range(0..3) > 0 {
            return Duration::ZERO;
        }
        Duration::from_millis(chance.random_range(1..=most))
    }

    pub(super) fn read_fails(&self, chance: &mut StdRng) -> bool {
        self.reads_per_mille > 0 && chance.random_range(0..1_000) < self.reads_per_mille
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

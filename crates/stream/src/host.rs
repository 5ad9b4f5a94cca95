//! What the loop takes from the machine it runs on: the wall clock and chance. A simulation gives its own.
use domain::time::Micros;
use rand::Rng;
use std::fmt::Debug;
use std::time::{SystemTime, UNIX_EPOCH};

/// A wall clock and a source of chance. Neither decides anything: the clock only makes the loop wait (rule 11), chance
/// makes writer ids and pauses (rule 1).
pub trait Host: Send + Sync + Debug + 'static {
    /// Microseconds since 1970 (UTC).
    fn now(&self) -> Micros;

    /// 64 random bits.
    fn random(&self) -> u64;
}

/// The machine's own.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemHost;

impl Host for SystemHost {
    fn now(&self) -> Micros {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Micros(i64::try_from(now.as_micros()).unwrap_or(i64::MAX))
    }

    fn random(&self) -> u64 {
        rand::rng().random()
    }
}

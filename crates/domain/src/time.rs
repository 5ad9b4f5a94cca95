//! Time as integer microseconds. Nobody here reads a clock: time is in the event.
use serde::{Deserialize, Serialize};

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Micros(pub i64);

/// Microseconds of one day.
pub const DAY_MICROS: i64 = 86_400_000_000;
/// Microseconds of one minute.
pub const MINUTE_MICROS: i64 = 60_000_000;

impl Micros {
    /// The number of the minute that this moment is in.
    #[must_use]
    pub const fn minute(self) -> i64 {
        self.0.div_euclid(MINUTE_MICROS)
    }

    /// This moment plus whole days; saturates at the ends of time.
    #[must_use]
    pub const fn plus_days(self, days: u32) -> Self {
        Self(self.0.saturating_add((days as i64).saturating_mul(DAY_MICROS)))
    }
}

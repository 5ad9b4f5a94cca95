//! Money is integer minor units with its currency; every rounding names its rule.
use serde::{Deserialize, Serialize};
use std::fmt;

/// An amount in minor units of some currency (cents, yen, fils).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Minor(pub i64);

/// Arithmetic left the range of `i64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("amount out of range")]
pub struct AmountOutOfRange;

impl Minor {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// `self + other`.
    ///
    /// # Errors
    /// [`AmountOutOfRange`].
    pub fn plus(self, other: Self) -> Result<Self, AmountOutOfRange> {
        self.0.checked_add(other.0).map(Self).ok_or(AmountOutOfRange)
    }

    /// `self - other`.
    ///
    /// # Errors
    /// [`AmountOutOfRange`].
    pub fn minus(self, other: Self) -> Result<Self, AmountOutOfRange> {
        self.0.checked_sub(other.0).map(Self).ok_or(AmountOutOfRange)
    }
}

impl fmt::Display for Minor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An ISO 4217 currency that we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Currency([u8; 3]);

/// A rate in parts per million: 12.5% is 125,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct RatePpm(pub i64);

/// How a commission rounds, applied once on the sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Rounding {
    /// Ties to even.
    #[default]
    HalfEven,
    /// Ties away from zero.
    HalfUp,
    /// Towards minus infinity.
    Floor,
}

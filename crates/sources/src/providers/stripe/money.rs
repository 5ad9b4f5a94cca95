//! Amounts as Stripe counts them, as amounts in ISO minor units.
//!
//! Nearly always the same. Some currencies have other decimals at Stripe than in ISO 4217: the króna and the shilling of
//! Uganda are sent with two that they do not have, the ariary without the two that it has.
use crate::defect::{Defect, reason};
use crate::json::{Path, Raw, currency, optional_whole};
use domain::money::{Currency, Minor};

/// Sent in whole units.
const WHOLE_UNITS: [&str; 15] =
    ["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"];
/// Sent in thousandths.
const THOUSANDTHS: [&str; 5] = ["BHD", "JOD", "KWD", "OMR", "TND"];
/// Sent in hundredths, though they have none.
const PADDED: [&str; 2] = ["ISK", "UGX"];

/// A currency and how Stripe's amounts in it become ISO minor units.
#[derive(Debug, Clone, Copy)]
pub(super) struct Money {
    pub(super) currency: Currency,
    times: i64,
    per: i64,
}

impl Money {
    /// Reads the currency at `path`.
    pub(super) fn read(path: impl Path, raw: Raw<'_>) -> Result<Self, Defect> {
        let currency = currency(path, raw)?;
        let unknown = || {
            Defect::new(
                reason::UNKNOWN_CURRENCY,
                format!("{path}: how many decimals this currency has at Stripe is not known"),
            )
        };
        let code = currency.code();
        let (times, per) = match (currency.exponent(), code) {
            (_, code) if PADDED.contains(&code) => (1, 100),
            (2, code) if WHOLE_UNITS.contains(&code) => (100, 1),
            (2, _) => (1, 1),
            (0, code) if WHOLE_UNITS.contains(&code) => (1, 1),
            (3, code) if THOUSANDTHS.contains(&code) => (1, 1),
            // Stripe has no such currency: a guess would be wrong by a power of ten.
            _ => return Err(unknown()),
        };
        Ok(Self { currency, times, per })
    }

    /// An amount that must be there and is not negative.
    pub(super) fn amount(&self, path: impl Path, raw: Raw<'_>) -> Result<Minor, Defect> {
        self.optional(path, raw)?.ok_or_else(|| Defect::missing(path))
    }

    /// As [`Self::amount`]; `None` when absent or null.
    pub(super) fn optional(&self, path: impl Path, raw: Raw<'_>) -> Result<Option<Minor>, Defect> {
        match self.signed(path, raw)? {
            Some(amount) if amount < Minor::ZERO => {
                Err(Defect::new(reason::BAD_AMOUNT, format!("{path} is negative")))
            }
            amount => Ok(amount),
        }
    }

    /// An amount of either sign; `None` when absent or null.
    pub(super) fn signed(&self, path: impl Path, raw: Raw<'_>) -> Result<Option<Minor>, Defect> {
        let Some(Minor(sent)) = optional_whole(path, raw)? else { return Ok(None) };
        let bad = |rule: &str| Defect::new(reason::BAD_AMOUNT, format!("{path} {rule}"));
        if sent % self.per != 0 {
            return Err(bad("has decimals that its currency does not have"));
        }
        let minor = (sent / self.per).checked_mul(self.times);
        minor.map(|minor| Some(Minor(minor))).ok_or_else(|| bad("is larger than any amount"))
    }
}

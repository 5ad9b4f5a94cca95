//! What a commission freezes when it is created.
use super::Slice;
use crate::config::FlatRefund;
use crate::ids::RuleId;
use crate::money::{Currency, Minor, Rounding};
use crate::rules::{CapScope, Considered, Limit, Period};
use crate::time::Micros;
use serde::{Deserialize, Serialize};

/// Frozen at creation; later edits change nothing old.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The rule.
    pub rule: RuleId,
    /// Its version.
    pub rule_version: u32,
    /// How N rounds.
    pub rounding: Rounding,
    /// Base and rate by slice.
    pub slices: Vec<Slice>,
    /// When the time hold ends.
    pub hold_until: Micros,
    /// Approval needs a person.
    pub manual_approval: bool,
    /// A flat reward, which the slices' rates say nothing of.
    pub flat: Option<FlatTerms>,
    /// The caps that its net amount counts towards.
    pub caps: Vec<CapUse>,
    /// What it would have been without caps; G where none limited it.
    pub uncapped: Minor,
    /// Rules that did not win, and why; at most [`MAX_CONSIDERED`](crate::rules::MAX_CONSIDERED).
    pub considered: Vec<Considered>,
    /// How many more there were.
    pub considered_more: u32,
    /// The commission is a part of what the sale earns; the other terms but `caps` and `uncapped` are of the whole.
    pub split: Option<Split>,
    /// What it is for.
    pub origin: Origin,
}

/// What a commission is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Origin {
    /// A conversion, under rules.
    #[default]
    Conversion,
    /// A person's gift.
    Bonus,
    /// A person put something right.
    Correction,
    /// A person took something.
    Debit,
}

impl Origin {
    /// The word in views.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conversion => "conversion",
            Self::Bonus => "bonus",
            Self::Correction => "correction",
            Self::Debit => "debit",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Conversion, Self::Bonus, Self::Correction, Self::Debit]
            .into_iter()
            .find(|origin| origin.name() == name)
    }
}

/// Which part of a whole a commission is, frozen: after refunds the new whole is divided again in the same way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// Its place among the weights.
    pub part: u32,
    /// The weights of all parts, the earliest touch first.
    pub weights: Vec<u32>,
    /// G of all parts together, before caps on single partners.
    pub whole: Minor,
}

/// A cap in one of its periods, for one of those whom it limits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CapUse {
    /// Whose rule's cap.
    pub rule: RuleId,
    /// To whom together.
    pub scope: CapScope,
    /// The partner's or customer's id; empty for the program.
    pub of: String,
    /// The kind of period.
    pub period: Period,
    /// Its number.
    pub number: i64,
    /// How much.
    pub limit: Limit,
}

/// A flat reward, frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlatTerms {
    /// G; of a split, of the whole.
    pub amount: Minor,
    /// The commission's currency, whatever the sale's is.
    pub currency: Currency,
    /// What a refund of the sale takes back.
    pub on_refund: FlatRefund,
}

//! Rules: what a conversion pays. The contract is `docs/reference/rules.md`.
//!
//! A rule has conditions ([`Condition`]), a reward with or without [`Tiers`], a window from the customer's first purchase, a
//! least amount and caps. Of all that apply, precedence is total: higher priority, then the narrower conditions, then the
//! older rule ([`Rank`]). Whatever is chosen here is frozen with the commission: a later edit changes nothing old.
//! Read next: `condition`, `select` (which rule a line gets), `tier`, `period`.
#![deny(
    clippy::float_arithmetic,
    clippy::cast_possible_truncation,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing
)]
mod condition;
mod field;
mod period;
mod select;
#[cfg(test)]
mod tests;
mod tier;

pub use condition::{Comparison, Condition, MAX_COMPARISONS, MAX_DEPTH, MAX_TEXT_BYTES, MAX_VALUES, Value};
pub use field::{Field, FieldType, MAX_KEY_BYTES, Operator};
pub use period::{Period, month_end, months_between, plus_months};
pub use select::{Candidate, Considered, MAX_CONSIDERED, Rank, Selecting, Selection, Why};
pub use tier::{Band, MAX_BANDS, Metric, Tiers};

use crate::ids::RuleId;
use crate::money::{Currency, Minor, RatePpm};
use crate::time::Micros;
use serde::{Deserialize, Serialize};

/// How many caps a rule may have.
pub const MAX_CAPS: usize = 8;

/// A rule that cannot be used: what is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct RuleError {
    /// The path of the field (`when.all[1].operator`).
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

impl RuleError {
    pub(crate) fn new(field: &str, reason: impl Into<String>) -> Self {
        Self { field: field.to_owned(), reason: reason.into() }
    }
}

/// What a rule asks for and limits, besides its reward.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Clauses {
    /// Higher first.
    pub priority: i32,
    /// When it applies.
    pub when: Condition,
    /// How long a customer's purchases earn.
    pub window: Option<Window>,
    /// The least base, in this currency; conversions in others are not asked for it and do not get the rule.
    pub minimum: Option<Limit>,
    /// What it pays at most.
    pub caps: Vec<Cap>,
}

/// How long a customer earns, from the first purchase on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Window {
    /// From the first purchase to just before the same day so many months later.
    Months(u32),
    /// So many payments, the first included.
    Payments(u32),
}

/// An amount in its currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Limit {
    /// Minor units.
    pub amount: Minor,
    /// Of the amount.
    pub currency: Currency,
}

/// What a rule pays at most, in commissions' net amounts: what a refund takes back is there to be earned again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cap {
    /// To whom together.
    pub scope: CapScope,
    /// In which calendar period of the conversions.
    pub period: Period,
    /// How much. Commissions in other currencies do not count towards it and are not limited by it.
    pub limit: Limit,
}

/// Whose commissions count towards a cap together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CapScope {
    /// Each partner's.
    Partner,
    /// Those for each customer; a conversion without one is a customer of its own.
    Customer,
    /// All of the program's.
    Program,
}

impl CapScope {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Partner, Self::Customer, Self::Program];

    /// The word in configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Partner => "partner",
            Self::Customer => "customer",
            Self::Program => "program",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }

    /// Whether it limits each partner apart; the others limit what several earn together.
    #[must_use]
    pub const fn is_of_partner(self) -> bool {
        matches!(self, Self::Partner)
    }
}

impl Clauses {
    /// Whether they can be used.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn validate(&self) -> Result<(), RuleError> {
        self.when.validate("when")?;
        match self.window {
            Some(Window::Months(0)) => {
                return Err(RuleError::new("window.months", "a window has at least one month"));
            }
            Some(Window::Payments(0)) => {
                return Err(RuleError::new("window.payments", "a window has at least one payment"));
            }
            _ => {}
        }
        if self.minimum.is_some_and(|minimum| minimum.amount <= Minor::ZERO) {
            return Err(RuleError::new("minimum.amount", "a least amount is above 0; leave it out for none"));
        }
        if self.caps.len() > MAX_CAPS {
            return Err(RuleError::new("caps", format!("a rule has at most {MAX_CAPS} caps")));
        }
        for (index, cap) in self.caps.iter().enumerate() {
            if cap.limit.amount <= Minor::ZERO {
                return Err(RuleError::new(&format!("caps[{index}].amount"), "a cap is above 0"));
            }
            let same = |other: &Cap| {
                (other.scope, other.period, other.limit.currency)
                    == (cap.scope, cap.period, cap.limit.currency)
            };
            if self.caps.iter().take(index).any(same) {
                return Err(RuleError::new(
                    &format!("caps[{index}]"),
                    format!("there is a cap for each {} and {} already", cap.scope.name(), cap.period.name()),
                ));
            }
        }
        Ok(())
    }
}

/// A rate that is worth a rule: above 0, at most 100%.
pub(crate) fn validate_rate(rate: RatePpm, at: &str) -> Result<(), RuleError> {
    if rate.is_valid() && rate != RatePpm::default() {
        return Ok(());
    }
    let reason = match rate.0 {
        0 => "a rate of 0 pays nothing; exclude by a flat reward of 0".to_owned(),
        negative if negative < 0 => "a rate is above 0".to_owned(),
        _ => "a rate is at most 100% (1,000,000 ppm)".to_owned(),
    };
    Err(RuleError::new(at, reason))
}

/// What rules are asked about: a conversion of one customer for one partner.
#[derive(Debug, Clone, Default)]
pub struct Case<'a> {
    /// `sale`, `renewal`, …
    pub kind: &'a str,
    /// Who earns.
    pub partner: &'a str,
    /// Empty: in none.
    pub partner_group: &'a str,
    /// Empty: none.
    pub coupon: &'a str,
    /// Empty: unknown.
    pub country: &'a str,
    /// The customer bought before.
    pub is_recurring: bool,
    /// `None`: no subscription.
    pub subscription_age_months: Option<i64>,
    /// B.
    pub amount: Minor,
    /// ISO code.
    pub currency: &'a str,
    /// Empty: unknown.
    pub interval: &'a str,
    /// Keys and values.
    pub metadata: &'a [(String, String)],
    /// What was bought; may be empty.
    pub lines: Vec<Line<'a>>,
    /// When.
    pub occurred_at: Micros,
    /// When the customer first bought; the conversion itself where it is the first.
    pub first_purchase_at: Micros,
    /// Which payment of the customer it is, from 1.
    pub payment_number: u64,
}

/// A line as rules see it. Empty: unknown.
#[derive(Debug, Clone, Copy, Default)]
pub struct Line<'a> {
    /// The product.
    pub product: &'a str,
    /// The price.
    pub price: &'a str,
    /// The plan.
    pub plan: &'a str,
    /// The category.
    pub category: &'a str,
    /// The merchant's own key.
    pub product_key: &'a str,
}

impl<'a> Case<'a> {
    /// A text field's value; `None`: there is none.
    pub(crate) fn value(&self, field: &Field, line: Option<&Line<'a>>) -> Option<&'a str> {
        let text = match field {
            Field::Kind => self.kind,
            Field::Partner => self.partner,
            Field::PartnerGroup => self.partner_group,
            Field::Coupon => self.coupon,
            Field::Country => self.country,
            Field::Customer if self.is_recurring => "recurring",
            Field::Customer => "new",
            Field::Currency => self.currency,
            Field::Interval => self.interval,
            Field::Metadata(key) => {
                return self.metadata.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str());
            }
            Field::Product => line?.product,
            Field::Price => line?.price,
            Field::Plan => line?.plan,
            Field::Category => line?.category,
            Field::ProductKey => line?.product_key,
            Field::SubscriptionAgeMonths | Field::Amount => return None,
        };
        (!text.is_empty()).then_some(text)
    }

    /// A number field's value.
    pub(crate) fn number(&self, field: &Field) -> Option<i64> {
        match field {
            Field::Amount => Some(self.amount.0),
            Field::SubscriptionAgeMonths => self.subscription_age_months,
            _ => None,
        }
    }
}

/// Names a rule in one of its versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleRef {
    /// Its id.
    pub rule: RuleId,
    /// Its version.
    pub version: u32,
}

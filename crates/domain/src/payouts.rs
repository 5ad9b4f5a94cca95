//! What people and schedules say about paying partners: commands, rates, destinations, terms. What the ledger makes of them is
//! in [`crate::commission`]; conversions are in [`crate::fx`].
pub mod destination;

use crate::ids::{PartnerId, PayoutId, RateId};
use crate::money::{Currency, Minor};
use crate::rules::{Period, plus_months};
use crate::time::{DAY_MICROS, Micros};
use serde::{Deserialize, Serialize};

/// What happens with a payout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PayoutAct {
    /// Everything payable of one balance becomes a payout, and is locked.
    Draft,
    /// It was paid.
    Settle,
    /// It was not paid, and will not be: its money is payable again.
    Fail,
    /// It was paid, and the bank sent it back.
    Return,
}

impl PayoutAct {
    /// The word in requests and records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Settle => "settle",
            Self::Fail => "fail",
            Self::Return => "return",
        }
    }
}

/// A decision about a payout. What commission declines is a recorded result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayoutCommand {
    /// What.
    pub act: PayoutAct,
    /// Which payout; empty for a draft, whose id derives from the event.
    pub payout: PayoutId,
    /// Of a draft: whose balance. Empty otherwise.
    pub partner: PartnerId,
    /// Of a draft: which balance, and required. Otherwise the currency that was paid, where the caller says it: it must be the
    /// payout's.
    pub currency: Option<Currency>,
    /// What was paid, where the caller says it: it must be the payout's.
    pub amount: Option<Minor>,
    /// Of a draft: also below the minimum.
    pub ignore_minimum: bool,
    /// The payment's id at whoever paid it; may be empty.
    pub reference: String,
    /// Why; required for a failure and a return.
    pub reason: String,
    /// Who.
    pub actor: String,
}

/// The program gives up what a partner owes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteOff {
    /// Whose debt.
    pub partner: PartnerId,
    /// In which currency.
    pub currency: Currency,
    /// How much, above 0; `None`: all of it.
    pub amount: Option<Minor>,
    /// Why; required.
    pub reason: String,
    /// Who.
    pub actor: String,
}

/// A rate of exchange: one unit of `from` is `mantissa x 10^exponent` units of `to`, in whole units (dollars, not cents).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Its id, the merchant's; payouts name it.
    pub id: RateId,
    /// Converts from.
    pub from: Currency,
    /// Converts to.
    pub to: Currency,
    /// Above 0.
    pub mantissa: i64,
    /// From -18 to 18.
    pub exponent: i32,
    /// How much of each conversion the program keeps, in parts per million.
    pub spread_ppm: u32,
    /// Who says so.
    pub actor: String,
}

/// Where a partner is paid: the fact's only identifier, sealed under the master key before it reached the log and under the
/// partner's own key in it. A fact without an identifier says that it is nowhere any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayoutDestination {
    /// Whose.
    pub partner: PartnerId,
    /// How: one of [`PAYOUT_METHODS`].
    pub method: String,
    /// Who says so.
    pub actor: String,
}

/// The ways to be paid that files can be made for.
pub const PAYOUT_METHODS: [&str; 2] = ["paypal", "wise"];

/// The namespace of the identifier that is a destination. No customer has it.
pub const DESTINATION_NAMESPACE: &str = "payout.destination";

/// When drafts are made without anybody asking. Moments are in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Schedule {
    /// Never.
    #[default]
    Manual,
    /// At the start of that day of each week: 1 is Monday.
    Weekly {
        /// From 1 to 7.
        day: u32,
    },
    /// At the start of that day of each month; in a shorter month at the start of its last day.
    Monthly {
        /// From 1 to 31.
        day: u32,
    },
}

impl Schedule {
    /// The name as configuration spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Weekly { .. } => "weekly",
            Self::Monthly { .. } => "monthly",
        }
    }

    /// The day; 0 where there is none.
    #[must_use]
    pub const fn day(self) -> u32 {
        match self {
            Self::Manual => 0,
            Self::Weekly { day } | Self::Monthly { day } => day,
        }
    }

    /// The first moment of it after another; `None`: never.
    #[must_use]
    pub fn next_after(self, after: Micros) -> Option<Micros> {
        let today = after.0.div_euclid(DAY_MICROS);
        let start = |day: i64| Micros(day.saturating_mul(DAY_MICROS));
        match self {
            Self::Manual => None,
            Self::Weekly { day } => {
                // Day 0 was a Thursday.
                let weekday = today.saturating_add(3).rem_euclid(7).saturating_add(1);
                let ahead = i64::from(day).saturating_sub(weekday).rem_euclid(7);
                let ahead = if ahead == 0 { 7 } else { ahead };
                Some(start(today.saturating_add(ahead)))
            }
            Self::Monthly { day } => {
                // A January has all days that a month may have: from there months clamp.
                let first = start(i64::from(day).saturating_sub(1));
                let months = Period::Month.number(after).saturating_sub(Period::Month.number(first));
                let here = plus_months(first, months);
                Some(if here > after { here } else { plus_months(first, months.saturating_add(1)) })
            }
        }
    }

    /// The one of that name and day; whether the day is in range is for whoever accepts it.
    #[must_use]
    pub fn parse(name: &str, day: u32) -> Option<Self> {
        match name {
            "manual" => Some(Self::Manual),
            "weekly" => Some(Self::Weekly { day }),
            "monthly" => Some(Self::Monthly { day }),
            _ => None,
        }
    }
}

/// When and how partners are paid: the program's terms, or those of one partner in their place.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PayoutTerms {
    /// Whose; empty: all partners of the program that have none of their own.
    pub partner: PartnerId,
    /// When drafts are made.
    pub schedule: Schedule,
    /// The least amount of a draft, one for each currency at most. In others: whatever is above 0.
    pub minimums: Vec<(Currency, Minor)>,
    /// The currency that everything is converted into at the draft; `None`: as earned.
    pub pay_in: Option<Currency>,
}

impl PayoutTerms {
    /// The least amount of a draft in `currency`.
    #[must_use]
    pub fn minimum(&self, currency: Currency) -> Minor {
        self.minimums.iter().find(|(of, _)| *of == currency).map_or(Minor::ZERO, |(_, least)| *least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Days since 1970.
    fn next(schedule: Schedule, day: i64) -> i64 {
        let inside = Micros(day * DAY_MICROS + 1);
        let (next, from_start) = (schedule.next_after(inside), schedule.next_after(Micros(day * DAY_MICROS)));
        assert_eq!(next, from_start);
        next.map_or(-1, |next| next.0.div_euclid(DAY_MICROS))
    }

    #[test]
    fn a_schedule_finds_its_next_day_strictly_after_a_moment() {
        // 2026-11-22 is a Sunday.
        let sunday = 20_779;
        assert_eq!(next(Schedule::Weekly { day: 1 }, sunday), sunday + 1);
        assert_eq!(next(Schedule::Weekly { day: 7 }, sunday), sunday + 7);
        assert_eq!(next(Schedule::Weekly { day: 6 }, sunday), sunday + 6);
        assert_eq!(next(Schedule::Manual, sunday), -1);
        // 2028-01-31, 2028-02-29, 2028-03-31, and 2027-02-28.
        let (january, february, march, common) = (21_214, 21_243, 21_274, 20_877);
        let last = Schedule::Monthly { day: 31 };
        assert_eq!(
            [january - 1, january, february, march - 1].map(|day| next(last, day)),
            [january, february, march, march]
        );
        assert_eq!(next(last, common - 1), common);
        assert_eq!(next(Schedule::Monthly { day: 1 }, january), january + 1);
    }
}

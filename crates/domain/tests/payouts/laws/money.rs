//! Conversion and calendars in the plainest way: one fraction and one rounding; one day after another.
use super::super::model::rounded;
use super::calendar::number;
use super::history::RateSpec;
use tributary_domain::money::Rounding;
use tributary_domain::payouts::Schedule;
use tributary_domain::rules::Period;
use tributary_domain::time::{DAY_MICROS, Micros};

const fn decimals(currency: &str) -> i32 {
    match currency.as_bytes() {
        b"JPY" => 0,
        b"KWD" => 3,
        _ => 2,
    }
}

pub fn converted(amount: i128, rate: RateSpec, rounding: Rounding) -> i128 {
    let tens = |count: i32| 10_i128.pow(u32::try_from(count.max(0)).unwrap());
    let shift = rate.exponent + decimals(rate.to) - decimals(rate.from);
    let kept = 1_000_000 - i128::from(rate.spread_ppm);
    rounded(amount * i128::from(rate.mantissa) * kept * tens(shift), 1_000_000 * tens(-shift), rounding)
}

/// Which day of its month a midnight begins, from 1.
fn day_of_month(midnight: i64) -> i64 {
    let month = number(Period::Month, Micros(midnight));
    (1..).find(|days| number(Period::Month, Micros(midnight - days * DAY_MICROS)) != month).unwrap()
}

/// The first moment after `after` at which a schedule is due.
pub fn next_due(schedule: Schedule, after: Micros) -> Option<Micros> {
    let is_due = |midnight: &i64| {
        let is_last_of_month = || day_of_month(midnight + DAY_MICROS) == 1;
        match schedule {
            Schedule::Manual => false,
            // 1970 began on a Thursday.
            Schedule::Weekly { day } => (midnight / DAY_MICROS + 3) % 7 + 1 == i64::from(day),
            Schedule::Monthly { day } => {
                let today = day_of_month(*midnight);
                today == i64::from(day) || today < i64::from(day) && is_last_of_month()
            }
        }
    };
    let days = (1..40).map(|days| (after.0 / DAY_MICROS + days) * DAY_MICROS);
    days.into_iter().find(is_due).map(Micros)
}

//! Calendar periods and windows, in UTC.
use crate::time::Micros;
use serde::{Deserialize, Serialize};
use time::{Date, Month, OffsetDateTime};

/// A stretch of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// From Monday.
    Week,
    /// From the first.
    Month,
    /// From January, April, July, October.
    Quarter,
    /// From January.
    Year,
    /// All time.
    Ever,
}

impl Period {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Day, Self::Week, Self::Month, Self::Quarter, Self::Year, Self::Ever];

    /// The word in configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
            Self::Ever => "ever",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|period| period.name() == name)
    }

    /// The number of the period that a moment is in: the one before has the number before.
    #[must_use]
    pub fn number(self, at: Micros) -> i64 {
        let date = date(at);
        let year = i64::from(date.year());
        let month0 = i64::from(u8::from(date.month())).saturating_sub(1);
        match self {
            Self::Day => i64::from(date.to_julian_day()),
            // Julian day 0 was a Monday.
            Self::Week => i64::from(date.to_julian_day()).div_euclid(7),
            Self::Month => year.saturating_mul(12).saturating_add(month0),
            Self::Quarter => year.saturating_mul(4).saturating_add(month0.div_euclid(3)),
            Self::Year => year,
            Self::Ever => 0,
        }
    }
}

/// Whole months from `first` to `at`; the day decides: from the 31st to the 30th is not a month yet, but to the last of a
/// shorter month it is. Negative never: 0 before `first`.
#[must_use]
pub fn months_between(first: Micros, at: Micros) -> i64 {
    if at <= first {
        return 0;
    }
    let months = Period::Month.number(at).saturating_sub(Period::Month.number(first));
    if plus_months(first, months) > at { months.saturating_sub(1) } else { months }
}

/// The same day and time `months` later, or the month's last day where it is shorter.
#[must_use]
pub fn plus_months(first: Micros, months: i64) -> Micros {
    let day = date(first);
    let month = i64::from(u8::from(day.month())).saturating_sub(1).saturating_add(months);
    let year = i64::from(day.year()).saturating_add(month.div_euclid(12));
    let later = i32::try_from(year).ok().and_then(|year| {
        let number = u8::try_from(month.rem_euclid(12).saturating_add(1)).ok()?;
        let month = Month::try_from(number).ok()?;
        Date::from_calendar_date(year, month, day.day().min(month.length(year))).ok()
    });
    // Past the calendar: never.
    let Some(later) = later else { return Micros(i64::MAX) };
    let days = i64::from(later.to_julian_day()).saturating_sub(i64::from(day.to_julian_day()));
    Micros(first.0.saturating_add(days.saturating_mul(crate::time::DAY_MICROS)))
}

/// The moment at which the month of another ends, which is when the next one begins.
#[must_use]
pub fn month_end(at: Micros) -> Micros {
    let day = date(at);
    let midnight = at.0.saturating_sub(at.0.rem_euclid(crate::time::DAY_MICROS));
    let days = day.month().length(day.year()).saturating_sub(day.day()).saturating_add(1);
    Micros(midnight).plus_days(days.into())
}

/// The day that a moment is in; the calendar's first or last for moments beyond.
fn date(at: Micros) -> Date {
    match OffsetDateTime::from_unix_timestamp(at.0.div_euclid(1_000_000)) {
        Ok(moment) => moment.date(),
        Err(_) if at.0 < 0 => Date::MIN,
        Err(_) => Date::MAX,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(text: &str) -> Micros {
        let mut parts = text.split('-').map(|part| part.parse::<u16>().unwrap());
        let mut next = || parts.next().unwrap();
        let (year, month, day) = (next(), next(), next());
        let month = Month::try_from(u8::try_from(month).unwrap()).unwrap();
        let date = Date::from_calendar_date(year.into(), month, u8::try_from(day).unwrap()).unwrap();
        Micros(date.midnight().assume_utc().unix_timestamp().checked_mul(1_000_000).unwrap())
    }

    #[test]
    fn periods_follow_the_calendar() {
        let same = |period: Period, left, right| period.number(at(left)) == period.number(at(right));
        assert!(same(Period::Week, "2026-11-16", "2026-11-22"), "Monday to Sunday");
        assert!(!same(Period::Week, "2026-11-15", "2026-11-16"));
        assert!(same(Period::Quarter, "2026-10-01", "2026-12-31"));
        assert!(!same(Period::Quarter, "2026-09-30", "2026-10-01"));
        assert!(same(Period::Ever, "1970-01-01", "2026-12-31"));
        for period in [Period::Day, Period::Month, Period::Quarter, Period::Year] {
            let before = Micros(at("2027-01-01").0 - 1);
            assert_eq!(period.number(before) + 1, period.number(at("2027-01-01")), "{period:?}");
        }
        assert_eq!(Period::Day.number(Micros(-1)) + 1, Period::Day.number(Micros(0)));
    }

    #[test]
    fn months_end_on_the_same_day_or_the_last_one() {
        assert_eq!(plus_months(at("2027-01-31"), 1), at("2027-02-28"));
        assert_eq!(plus_months(at("2028-01-31"), 1), at("2028-02-29"));
        assert_eq!(plus_months(at("2026-11-21"), 14), at("2028-01-21"));
        for (first, later, months) in [
            ("2027-01-31", "2027-02-27", 0),
            ("2027-01-31", "2027-02-28", 1),
            ("2027-01-31", "2027-03-30", 1),
            ("2027-01-31", "2027-03-31", 2),
            ("2027-05-10", "2027-05-10", 0),
            ("2027-05-10", "2027-01-01", 0),
        ] {
            assert_eq!(months_between(at(first), at(later)), months, "{first} {later}");
        }
        assert_eq!(plus_months(at("2027-01-31"), i64::MAX), Micros(i64::MAX));
        assert_eq!(month_end(at("2028-02-01")), at("2028-03-01"));
        assert_eq!(month_end(Micros(at("2027-01-01").0 - 1)), at("2027-01-01"));
        assert_eq!(month_end(at("2027-01-01")), at("2027-02-01"));
    }
}

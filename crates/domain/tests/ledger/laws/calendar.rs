//! The calendar in the plainest way, counting years and months one by one: shares nothing with the ledger's.
use tributary_domain::rules::Period;
use tributary_domain::time::{DAY_MICROS, Micros};

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn length(year: i64, month0: i64) -> i64 {
    match month0 {
        1 if is_leap(year) => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

/// Year, month from 0, day of the month from 0, and what is left of the day. For moments after 1970.
fn date(at: Micros) -> (i64, i64, i64, i64) {
    let (mut days, rest) = (at.0 / DAY_MICROS, at.0 % DAY_MICROS);
    let (mut year, mut month0) = (1970, 0);
    while days >= 365 + i64::from(is_leap(year)) {
        days -= 365 + i64::from(is_leap(year));
        year += 1;
    }
    while days >= length(year, month0) {
        days -= length(year, month0);
        month0 += 1;
    }
    (year, month0, days, rest)
}

/// Midnight of a day; months count on past December.
pub fn midnight(year: i64, month0: i64, day0: i64) -> Micros {
    let (year, month0) = (year + month0 / 12, month0 % 12);
    let years: i64 = (1970..year).map(|year| 365 + i64::from(is_leap(year))).sum();
    let months: i64 = (0..month0).map(|month| length(year, month)).sum();
    Micros((years + months + day0) * DAY_MICROS)
}

/// The same day and time so many months later, or the last day of a shorter month.
pub fn months_later(at: Micros, months: i64) -> Micros {
    let (year, month0, day0, rest) = date(at);
    let (later, month_later) = (year + (month0 + months) / 12, (month0 + months) % 12);
    let day0 = day0.min(length(later, month_later) - 1);
    Micros(midnight(later, month_later, day0).0 + rest)
}

/// The first moment after the month that a moment is in.
pub fn month_end(at: Micros) -> Micros {
    let (year, month0, _, _) = date(at);
    midnight(year, month0 + 1, 0)
}

/// Two moments are in the same period when they have the same number; the period before has the number before.
pub fn number(period: Period, at: Micros) -> i64 {
    let (year, month0, _, _) = date(at);
    match period {
        Period::Day => at.0 / DAY_MICROS,
        // 1970 began on a Thursday.
        Period::Week => (at.0 / DAY_MICROS + 3) / 7,
        Period::Month => year * 12 + month0,
        Period::Quarter => year * 4 + month0 / 3,
        Period::Year => year,
        Period::Ever => 0,
    }
}

//! Moments for people: RFC 3339 in UTC, to the microsecond.
use domain::time::{DAY_MICROS, Micros};

/// `2027-01-15T08:00:00.002000Z`.
pub(super) fn rfc3339(at: Micros) -> String {
    let (year, month, day) = date(at.0.div_euclid(DAY_MICROS));
    let within = at.0.rem_euclid(DAY_MICROS);
    let (seconds, micros) = (within / 1_000_000, within % 1_000_000);
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{micros:06}Z")
}

/// The Gregorian date of a day since 1970-01-01. Years begin in March here, so that the day that leap years add is the last.
const fn date(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leap_days_centuries_and_moments_before_1970_have_their_dates() {
        let shown = |seconds: i64| rfc3339(Micros(seconds * 1_000_000));
        assert_eq!(shown(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(shown(-1), "1969-12-31T23:59:59.000000Z");
        assert_eq!(shown(951_782_400), "2000-02-29T00:00:00.000000Z");
        assert_eq!(shown(4_107_542_400), "2100-03-01T00:00:00.000000Z");
        assert_eq!(rfc3339(Micros(1_800_000_000_002_000)), "2027-01-15T08:00:00.002000Z");
    }
}

//! Values as Postgres can hold them.
use domain::time::Micros;

/// Postgres has no U+0000 in texts: the log keeps it, the projection replaces it, and nothing stops behind it.
pub(crate) fn clean(text: &str) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text.to_owned() }
}

/// A source may claim any moment; Postgres and calendars hold years 1 to 9999.
pub(crate) fn moment(at: Micros) -> i64 {
    const FIRST: i64 = -62_135_596_800_000_000;
    const LAST: i64 = 253_402_300_799_000_000;
    at.0.clamp(FIRST, LAST)
}

/// Offsets and sequence numbers fit for 292,000 years at a million a second.
pub(crate) fn bigint(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// As [`bigint`].
pub(crate) fn int(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_postgres_cannot_hold_is_replaced_and_others_stay() {
        assert_eq!(clean("a\0b"), "a\u{fffd}b");
        assert_eq!(clean("a b"), "a b");
        assert_eq!(moment(Micros(i64::MAX)), 253_402_300_799_000_000);
        assert_eq!(moment(Micros(17)), 17);
    }
}

//! Moments as people and bodies write them.
use domain::time::Micros;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The moment of a text in RFC 3339; what is finer than a microsecond is cut off.
#[must_use]
pub fn read(text: &str) -> Option<Micros> {
    let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(moment.unix_timestamp_nanos().div_euclid(1_000)).ok().map(Micros)
}

/// A moment in RFC 3339, to the microsecond. `None`: its year has more than four digits.
#[must_use]
pub fn written(at: Micros) -> Option<String> {
    let nanos = i128::from(at.0).checked_mul(1_000)?;
    OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?.format(&Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_it_is_read() {
        for at in [0, -1, 1_800_000_000_002_001].map(Micros) {
            assert_eq!(written(at).as_deref().and_then(read), Some(at));
        }
        assert_eq!((read("2027-01-15"), written(Micros(i64::MAX))), (None, None));
    }
}

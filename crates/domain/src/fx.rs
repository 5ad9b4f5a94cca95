//! Conversion of money: exact until it is rounded, and rounded once.
#![deny(
    clippy::float_arithmetic,
    clippy::cast_possible_truncation,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing
)]
use crate::money::{AmountOutOfRange, Minor, Rounding, round_ratio};
use crate::payouts::Rate;

/// The largest exponent of a rate, and its opposite the smallest.
pub const MAX_EXPONENT: i32 = 18;

/// All of a conversion, in the unit of spreads.
pub const WHOLE_PPM: u32 = 1_000_000;

impl Rate {
    /// Whether it can convert anything.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.mantissa > 0
            && (-MAX_EXPONENT..=MAX_EXPONENT).contains(&self.exponent)
            && self.spread_ppm < WHOLE_PPM
            && self.from != self.to
    }

    /// What `amount` of `from` is in `to`, in minor units of each, less the spread.
    ///
    /// # Errors
    /// [`AmountOutOfRange`]: the rate cannot be used, or what it makes of the amount does not fit.
    pub fn convert(&self, amount: Minor, rounding: Rounding) -> Result<Minor, AmountOutOfRange> {
        if !self.is_usable() {
            return Err(AmountOutOfRange);
        }
        let kept = WHOLE_PPM.checked_sub(self.spread_ppm).ok_or(AmountOutOfRange)?;
        // The spread is in millionths; a rate is of whole units, amounts are of minor ones.
        let power = self
            .exponent
            .saturating_add(i32::from(self.to.exponent()))
            .saturating_sub(i32::from(self.from.exponent()))
            .saturating_sub(6);
        let ten = |power: i32| {
            let power = u32::try_from(power.max(0)).map_err(|_| AmountOutOfRange)?;
            10_i128.checked_pow(power).ok_or(AmountOutOfRange)
        };
        let (mut below, up) = (ten(power.saturating_neg())?, ten(power)?);
        // Reduced first, so that what fits in the end fits on the way.
        let mut above = 1_i128;
        for mut factor in [i128::from(amount.0), i128::from(self.mantissa), i128::from(kept), up] {
            let common = common_divisor(factor, below)?;
            factor = factor.checked_div(common).ok_or(AmountOutOfRange)?;
            below = below.checked_div(common).ok_or(AmountOutOfRange)?;
            above = above.checked_mul(factor).ok_or(AmountOutOfRange)?;
        }
        round_ratio(above, below, rounding)?.try_into()
    }
}

/// The greatest common divisor; `right` is above 0.
fn common_divisor(left: i128, right: i128) -> Result<i128, AmountOutOfRange> {
    let (mut left, mut right) = (left.checked_abs().ok_or(AmountOutOfRange)?, right);
    while left != 0 {
        (left, right) = (right.checked_rem(left).ok_or(AmountOutOfRange)?, left);
    }
    Ok(right)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::money::Currency;

    fn rate(from: &str, to: &str, mantissa: i64, exponent: i32) -> Rate {
        Rate {
            id: "rate_1".into(),
            from: Currency::parse(from).unwrap(),
            to: Currency::parse(to).unwrap(),
            mantissa,
            exponent,
            spread_ppm: 0,
            actor: String::new(),
        }
    }

    fn converts(rate: &Rate, amount: i64) -> i64 {
        rate.convert(Minor(amount), Rounding::HalfEven).unwrap().0
    }

    #[test]
    fn amounts_are_in_minor_units_of_both_currencies() {
        assert_eq!(converts(&rate("USD", "EUR", 92, -2), 1000), 920);
        assert_eq!(converts(&rate("EUR", "JPY", 1635, -1), 1000), 1635, "10.00 EUR at 163.5");
        assert_eq!(converts(&rate("JPY", "USD", 66, -4), 1000), 660, "1000 JPY at 0.0066");
        assert_eq!(converts(&rate("USD", "KWD", 307, -3), 1000), 3070, "three decimals");
        assert_eq!(converts(&rate("KWD", "JPY", 5, 2), 10_000), 5000, "10.000 KWD at 500");
        assert_eq!(converts(&rate("USD", "EUR", 92, -2), -1000), -920);
    }

    #[test]
    fn one_rounding_by_its_name_and_the_spread_before_it() {
        let of = |rate: &Rate, amount| {
            [Rounding::HalfEven, Rounding::HalfUp, Rounding::Floor]
                .map(|rounding| rate.convert(Minor(amount), rounding).unwrap().0)
        };
        let half = rate("USD", "EUR", 5, -1);
        assert_eq!(of(&half, 5), [2, 3, 2]);
        assert_eq!(of(&half, 7), [4, 4, 3]);
        // 1000 x 0.92 x 0.985 = 906.2
        assert_eq!(of(&Rate { spread_ppm: 15_000, ..rate("USD", "EUR", 92, -2) }, 1000), [906; 3]);
        assert_eq!(of(&Rate { spread_ppm: 1, ..rate("USD", "EUR", 1, 0) }, 1), [1, 1, 0]);
    }

    #[test]
    fn what_does_not_fit_is_refused_and_what_fits_is_not() {
        let max = i64::MAX;
        assert_eq!(converts(&rate("USD", "EUR", 1, 0), max), max);
        assert_eq!(converts(&rate("USD", "EUR", 1_000_000_000_000_000_000, -18), max), max);
        assert_eq!(converts(&rate("USD", "EUR", 1, -18), max), 9);
        let fails = |rate: &Rate, amount| rate.convert(Minor(amount), Rounding::Floor).is_err();
        assert!(fails(&rate("USD", "EUR", 2, 0), max));
        assert!(fails(&rate("USD", "EUR", max, 18), max));
        for bad in [
            rate("USD", "EUR", 0, 0),
            rate("USD", "EUR", -1, 0),
            rate("USD", "EUR", 1, 19),
            rate("USD", "EUR", 1, -19),
            rate("USD", "USD", 1, 0),
            Rate { spread_ppm: WHOLE_PPM, ..rate("USD", "EUR", 1, 0) },
        ] {
            assert!(!bad.is_usable() && fails(&bad, 1), "{bad:?}");
        }
    }
}

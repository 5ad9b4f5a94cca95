//! Money is integer minor units with its currency; every rounding names its rule.
//!
//! Exact by construction: arithmetic is checked, products are taken in `i128`, and there is no float.
#![deny(
    clippy::float_arithmetic,
    clippy::cast_possible_truncation,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing
)]
mod iso4217;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// An amount in minor units of some currency (cents, yen, fils).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Minor(pub i64);

/// Arithmetic left the range of `i64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("amount out of range")]
pub struct AmountOutOfRange;

impl Minor {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// `self + other`.
    ///
    /// # Errors
    /// [`AmountOutOfRange`].
    pub fn plus(self, other: Self) -> Result<Self, AmountOutOfRange> {
        self.0.checked_add(other.0).map(Self).ok_or(AmountOutOfRange)
    }

    /// `self - other`.
    ///
    /// # Errors
    /// [`AmountOutOfRange`].
    pub fn minus(self, other: Self) -> Result<Self, AmountOutOfRange> {
        self.0.checked_sub(other.0).map(Self).ok_or(AmountOutOfRange)
    }

    /// The same amount the other way.
    ///
    /// # Errors
    /// [`AmountOutOfRange`]: the smallest `i64` has no opposite.
    pub fn negated(self) -> Result<Self, AmountOutOfRange> {
        self.0.checked_neg().map(Self).ok_or(AmountOutOfRange)
    }
}

impl TryFrom<i128> for Minor {
    type Error = AmountOutOfRange;

    fn try_from(wide: i128) -> Result<Self, AmountOutOfRange> {
        i64::try_from(wide).map(Self).map_err(|_| AmountOutOfRange)
    }
}

impl fmt::Display for Minor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An ISO 4217 currency that we know. Text in JSON, three bytes in compact encodings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// US dollars: what a program shows where nobody said anything else.
    pub const USD: Self = Self(*b"USD");

    /// The currency with this code, in capitals (`USD`, as most write it) or small letters (`usd`, as some providers do).
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        let bytes: [u8; 3] = code.as_bytes().try_into().ok()?;
        let capitals = if bytes.iter().all(u8::is_ascii_lowercase) {
            bytes.map(|b| b.to_ascii_uppercase())
        } else {
            bytes
        };
        place(capitals).map(|_| Self(capitals))
    }

    /// Its code in capitals.
    #[must_use]
    pub fn code(&self) -> &str {
        // Only codes of the table become a `Currency`, and they are ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// How many decimals its minor unit has: 0, 2, 3 or 4.
    #[must_use]
    pub fn exponent(self) -> u8 {
        place(self.0).and_then(|at| iso4217::CURRENCIES.get(at)).map_or(2, |(_, exponent)| *exponent)
    }

    /// All that we know, with their exponents, in order of their codes.
    pub fn all() -> impl Iterator<Item = (Self, u8)> {
        iso4217::CURRENCIES.iter().map(|(code, exponent)| (Self(*code), *exponent))
    }
}

fn place(code: [u8; 3]) -> Option<usize> {
    iso4217::CURRENCIES.binary_search_by_key(&code, |(known, _)| *known).ok()
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(self.code())
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let known = if deserializer.is_human_readable() {
            Self::parse(&String::deserialize(deserializer)?)
        } else {
            let code = <[u8; 3]>::deserialize(deserializer)?;
            place(code).map(|_| Self(code))
        };
        known.ok_or_else(|| de::Error::custom("not a currency that this version knows"))
    }
}

/// A rate in parts per million: 12.5% is 125,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct RatePpm(pub i64);

/// One million parts: 100%.
const PPM: i64 = 1_000_000;

impl RatePpm {
    /// The rate, if it is between nothing and everything.
    #[must_use]
    pub fn new(parts_per_million: i64) -> Option<Self> {
        let rate = Self(parts_per_million);
        rate.is_valid().then_some(rate)
    }

    /// Between 0 and 100%. The field is public because the wire decodes it: money is computed only after this check.
    #[must_use]
    pub fn is_valid(self) -> bool {
        (0..=PPM).contains(&self.0)
    }
}

/// How a commission rounds, applied once on the sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Rounding {
    /// Ties to even.
    #[default]
    HalfEven,
    /// Ties away from zero.
    HalfUp,
    /// Towards minus infinity.
    Floor,
}

impl Rounding {
    /// The name as configuration and the wire spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HalfEven => "half_even",
            Self::HalfUp => "half_up",
            Self::Floor => "floor",
        }
    }

    /// The rounding of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::HalfEven, Self::HalfUp, Self::Floor].into_iter().find(|rounding| rounding.name() == name)
    }
}

/// `numerator / denominator`, rounded once.
///
/// # Errors
/// [`AmountOutOfRange`] when the denominator is not positive.
pub fn round_ratio(numerator: i128, denominator: i128, rounding: Rounding) -> Result<i128, AmountOutOfRange> {
    if denominator <= 0 {
        return Err(AmountOutOfRange);
    }
    let below = numerator.checked_div_euclid(denominator).ok_or(AmountOutOfRange)?;
    let rest = numerator.checked_rem_euclid(denominator).ok_or(AmountOutOfRange)?;
    // `rest` against `denominator - rest` instead of twice `rest` against `denominator`: it cannot overflow.
    let to_next = denominator.checked_sub(rest).ok_or(AmountOutOfRange)?;
    let up = match (rounding, rest.cmp(&to_next)) {
        (Rounding::Floor, _) | (_, std::cmp::Ordering::Less) => false,
        (_, std::cmp::Ordering::Greater) => true,
        (Rounding::HalfEven, std::cmp::Ordering::Equal) => below.checked_rem(2) != Some(0),
        // Away from zero: the floor of a negative tie is already the farther one.
        (Rounding::HalfUp, std::cmp::Ordering::Equal) => numerator >= 0,
    };
    if up { below.checked_add(1).ok_or(AmountOutOfRange) } else { Ok(below) }
}

/// The sum of `base x rate` over the parts, rounded once at the end: ten lines of 3 cents at 20% are 6 cents.
///
/// # Errors
/// [`AmountOutOfRange`].
pub fn rate_of_sum(
    parts: impl Iterator<Item = (Minor, RatePpm)>,
    rounding: Rounding,
) -> Result<Minor, AmountOutOfRange> {
    let mut millionths = 0_i128;
    for (base, rate) in parts {
        let product = i128::from(base.0).checked_mul(i128::from(rate.0)).ok_or(AmountOutOfRange)?;
        millionths = millionths.checked_add(product).ok_or(AmountOutOfRange)?;
    }
    round_ratio(millionths, i128::from(PPM), rounding)?.try_into()
}

/// Splits `total` in proportion to `weights` by largest remainder, ties to the earliest: the parts sum to `total` exactly,
/// and no part is farther than 1 from its exact share. Weights that are all 0 can only share 0.
///
/// # Errors
/// [`AmountOutOfRange`] when a weight is negative, or all are 0 (or there is none) and `total` is not.
pub fn split_by_largest_remainder(total: Minor, weights: &[Minor]) -> Result<Vec<Minor>, AmountOutOfRange> {
    if total.0 == 0 {
        return Ok(vec![Minor::ZERO; weights.len()]);
    }
    let mut whole = 0_i128;
    for weight in weights {
        if weight.0 < 0 {
            return Err(AmountOutOfRange);
        }
        whole = whole.checked_add(i128::from(weight.0)).ok_or(AmountOutOfRange)?;
    }
    // A negative total is split like its opposite, so that giving back mirrors taking.
    let size = i128::from(total.0).checked_abs().ok_or(AmountOutOfRange)?;
    let sign = i128::from(total.0.signum());
    let (mut parts, mut remainders, mut left) = (Vec::with_capacity(weights.len()), Vec::new(), size);
    for (place, weight) in weights.iter().enumerate() {
        let product = size.checked_mul(i128::from(weight.0)).ok_or(AmountOutOfRange)?;
        let part = product.checked_div(whole).ok_or(AmountOutOfRange)?;
        remainders.push((product.checked_rem(whole).ok_or(AmountOutOfRange)?, place));
        left = left.checked_sub(part).ok_or(AmountOutOfRange)?;
        parts.push(part);
    }
    remainders.sort_by(|(a, earlier), (b, later)| b.cmp(a).then(earlier.cmp(later)));
    for (_, place) in remainders {
        if left == 0 {
            break;
        }
        if let Some(part) = parts.get_mut(place) {
            *part = part.checked_add(1).ok_or(AmountOutOfRange)?;
            left = left.checked_sub(1).ok_or(AmountOutOfRange)?;
        }
    }
    parts.into_iter().map(|part| part.checked_mul(sign).ok_or(AmountOutOfRange)?.try_into()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn minors(amounts: &[i64]) -> Vec<Minor> {
        amounts.iter().copied().map(Minor).collect()
    }

    #[test]
    fn every_rounding_treats_ties_and_negatives_as_its_name_says() {
        let rounded = |n, d| {
            [Rounding::HalfEven, Rounding::HalfUp, Rounding::Floor]
                .map(|rounding| round_ratio(n, d, rounding).unwrap())
        };
        assert_eq!(rounded(25, 10), [2, 3, 2]);
        assert_eq!(rounded(35, 10), [4, 4, 3]);
        assert_eq!(rounded(26, 10), [3, 3, 2]);
        assert_eq!(rounded(-25, 10), [-2, -3, -3]);
        assert_eq!(rounded(-24, 10), [-2, -2, -3]);
        assert_eq!(rounded(i128::MAX, i128::MAX), [1, 1, 1]);
        assert!(round_ratio(1, 0, Rounding::Floor).is_err());
    }

    #[test]
    fn a_rate_of_a_sum_is_rounded_once() {
        let of = |bases: &[i64], ppm, rounding| {
            rate_of_sum(bases.iter().map(|base| (Minor(*base), RatePpm(ppm))), rounding).unwrap().0
        };
        assert_eq!(of(&[4900], 300_000, Rounding::HalfEven), 1470);
        assert_eq!(of(&[3; 10], 200_000, Rounding::HalfEven), 6);
        assert_eq!(of(&[25], 100_000, Rounding::HalfEven), 2);
        assert_eq!(of(&[25], 100_000, Rounding::HalfUp), 3);
        assert_eq!(of(&[1000], 125_000, Rounding::HalfEven), 125);
        assert_eq!(of(&[10_000], 100_000, Rounding::HalfEven), 1000);
        assert_eq!(of(&[9999], 100_000, Rounding::Floor), 999);
        assert_eq!(of(&[29], 50_000, Rounding::Floor), 1);
        assert_eq!(of(&[i64::MAX], PPM, Rounding::HalfUp), i64::MAX);
        assert!(rate_of_sum([(Minor(i64::MAX), RatePpm(PPM)); 2].into_iter(), Rounding::Floor).is_err());
    }

    #[test]
    fn a_split_sums_to_the_whole_and_ties_go_to_the_earliest() {
        let split = |total, weights: &[i64]| split_by_largest_remainder(Minor(total), &minors(weights));
        assert_eq!(split(1000, &[1, 1, 1]), Ok(minors(&[334, 333, 333])));
        assert_eq!(split(-1000, &[1, 1, 1]), Ok(minors(&[-334, -333, -333])));
        assert_eq!(split(2, &[1, 0, 1, 2]), Ok(minors(&[1, 0, 0, 1])));
        assert_eq!(split(i64::MAX, &[i64::MAX, i64::MAX]), Ok(minors(&[i64::MAX / 2 + 1, i64::MAX / 2])));
        assert_eq!(split(0, &[]), Ok(vec![]));
        assert!(split(1, &[0]).is_err());
        assert!(split(1, &[2, -1]).is_err());
    }

    #[test]
    fn currencies_are_exact_iso_codes_with_their_own_exponent() {
        let exponent = |code| Currency::parse(code).map(Currency::exponent);
        assert_eq!(
            ["USD", "usd", "JPY", "KWD", "CLF"].map(exponent),
            [Some(2), Some(2), Some(0), Some(3), Some(4)]
        );
        for refused in ["", "US", "USDT", "ZZZ", "UsD", "XXX", "XAU", "U$D", "€"] {
            assert_eq!(Currency::parse(refused), None, "{refused}");
        }
        let all: Vec<Currency> = Currency::all().map(|(currency, _)| currency).collect();
        assert!(all.is_sorted() && all.len() > 150);
        assert!(all.iter().all(|currency| Currency::parse(currency.code()) == Some(*currency)));
        let dollars = Currency::parse("USD").unwrap();
        assert_eq!(postcard::to_allocvec(&dollars).unwrap(), b"USD");
        assert_eq!(postcard::from_bytes::<Currency>(b"USD"), Ok(dollars));
        assert!(postcard::from_bytes::<Currency>(b"ZZZ").is_err());
    }

    #[test]
    fn a_rate_is_between_nothing_and_everything() {
        assert_eq!(RatePpm::new(125_000), Some(RatePpm(125_000)));
        assert_eq!([-1, PPM + 1].map(RatePpm::new), [None, None]);
        for rounding in [Rounding::HalfEven, Rounding::HalfUp, Rounding::Floor] {
            assert_eq!(Rounding::parse(rounding.name()), Some(rounding));
        }
    }
}

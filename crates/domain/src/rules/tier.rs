//! Tiers: a reward that depends on what the partner has brought in a period.
use super::RuleError;
use super::period::Period;
use crate::money::{AmountOutOfRange, Minor, RatePpm};
use serde::{Deserialize, Serialize};

/// How many bands a rule may have.
pub const MAX_BANDS: usize = 20;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Metric {
    /// Conversions.
    Count,
    /// What was paid for them, tax included, in the program's currency.
    Volume,
    /// Their bases, in the program's currency.
    Revenue,
}

impl Metric {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Count, Self::Volume, Self::Revenue];

    /// The word in configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Volume => "volume",
            Self::Revenue => "revenue",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name() == name)
    }
}

/// Bands of rates by what the partner has brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tiers {
    /// What is counted.
    pub metric: Metric,
    /// Over which calendar period.
    pub period: Period,
    /// The period before counts, which is over; otherwise this one, as far as it has come.
    pub prior: bool,
    /// Each band pays for its own part of the sale; otherwise the band that is reached pays for all of it.
    pub marginal: bool,
    /// From low to high.
    pub bands: Vec<Band>,
}

/// One rate, from where it is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Band {
    /// Reached at this total: conversions, or minor units.
    pub from: i64,
    /// What it pays.
    pub rate: RatePpm,
}

impl Tiers {
    /// Whether the bands say one thing for each total.
    ///
    /// # Errors
    /// What is wrong, and where (`reward.tiers.bands[1].from`).
    pub fn validate(&self, at: &str) -> Result<(), RuleError> {
        if self.bands.is_empty() || self.bands.len() > MAX_BANDS {
            return Err(RuleError::new(&format!("{at}.bands"), format!("tiers have 1 to {MAX_BANDS} bands")));
        }
        if self.marginal && self.metric != Metric::Revenue {
            return Err(RuleError::new(
                &format!("{at}.marginal"),
                "only `revenue` can be divided among bands: what is paid is a part of the base",
            ));
        }
        if self.marginal && self.prior {
            return Err(RuleError::new(
                &format!("{at}.marginal"),
                "a sale is not a part of the period before: use `marginal` with the current period",
            ));
        }
        if matches!(self.period, Period::Day | Period::Week) {
            return Err(RuleError::new(
                &format!("{at}.period"),
                "totals are kept by month: month, quarter, year or ever",
            ));
        }
        if self.prior && self.period == Period::Ever {
            return Err(RuleError::new(&format!("{at}.period"), "there is no period before all time"));
        }
        let mut before: Option<i64> = None;
        for (index, band) in self.bands.iter().enumerate() {
            let at = format!("{at}.bands[{index}]");
            match before {
                None if band.from != 0 => {
                    return Err(RuleError::new(&format!("{at}.from"), "the first band begins at 0"));
                }
                Some(before) if band.from <= before => {
                    return Err(RuleError::new(
                        &format!("{at}.from"),
                        format!(
                            "bands overlap: {} is not above {before}, where the band before begins",
                            band.from
                        ),
                    ));
                }
                _ => before = Some(band.from),
            }
            super::validate_rate(band.rate, &format!("{at}.rate_ppm"))?;
        }
        Ok(())
    }

    /// The rate of the band that a total reaches.
    #[must_use]
    pub fn reached(&self, total: i128) -> RatePpm {
        let reached = self.bands.iter().rev().find(|band| i128::from(band.from) <= total);
        reached.or(self.bands.first()).map(|band| band.rate).unwrap_or_default()
    }

    /// A sale's base in parts, each with its band's rate, low to high: the stretch from `before` to `before + base`.
    ///
    /// # Errors
    /// [`AmountOutOfRange`]: the base is negative.
    pub fn divided(&self, before: i128, base: Minor) -> Result<Vec<(Minor, RatePpm)>, AmountOutOfRange> {
        if base < Minor::ZERO {
            return Err(AmountOutOfRange);
        }
        let end = before.checked_add(i128::from(base.0)).ok_or(AmountOutOfRange)?;
        let ends = self.bands.iter().skip(1).map(|band| i128::from(band.from)).chain([i128::MAX]);
        let mut parts = Vec::new();
        let mut low = before;
        for (band, upper) in self.bands.iter().zip(ends) {
            let high = upper.min(end);
            if high > low {
                let part = high.checked_sub(low).ok_or(AmountOutOfRange)?;
                parts.push((Minor::try_from(part)?, band.rate));
                low = high;
            }
        }
        if parts.is_empty() {
            parts.push((base, self.reached(before)));
        }
        Ok(parts)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn tiers(bands: &[(i64, i64)]) -> Tiers {
        Tiers {
            metric: Metric::Revenue,
            period: Period::Month,
            prior: false,
            marginal: true,
            bands: bands.iter().map(|(from, rate)| Band { from: *from, rate: RatePpm(*rate) }).collect(),
        }
    }

    #[test]
    fn a_sale_is_divided_where_it_crosses_from_band_to_band() {
        let tiers = tiers(&[(0, 100_000), (1_000, 200_000), (5_000, 300_000)]);
        let divided = |before, base| -> Vec<(i64, i64)> {
            tiers.divided(before, Minor(base)).unwrap().iter().map(|(part, rate)| (part.0, rate.0)).collect()
        };
        assert_eq!(divided(0, 1_000), [(1_000, 100_000)]);
        assert_eq!(divided(900, 200), [(100, 100_000), (100, 200_000)]);
        assert_eq!(divided(500, 10_000), [(500, 100_000), (4_000, 200_000), (5_500, 300_000)]);
        assert_eq!(divided(1_000, 1), [(1, 200_000)]);
        assert_eq!(divided(9_000, 0), [(0, 300_000)]);
        assert!(tiers.divided(0, Minor(-1)).is_err());
        assert_eq!(
            [0, 999, 1_000, 4_999, 5_000].map(|total| tiers.reached(total).0),
            [100_000, 100_000, 200_000, 200_000, 300_000]
        );
    }

    #[test]
    fn bands_that_say_two_things_are_refused_with_their_place() {
        let refused = |tiers: Tiers| tiers.validate("reward.tiers").unwrap_err();
        assert_eq!(refused(tiers(&[])).field, "reward.tiers.bands");
        assert_eq!(refused(tiers(&[(5, 1)])).field, "reward.tiers.bands[0].from");
        let overlapping = refused(tiers(&[(0, 1), (100, 2), (100, 3)]));
        assert_eq!(overlapping.field, "reward.tiers.bands[2].from");
        assert!(overlapping.reason.contains("overlap"), "{overlapping}");
        assert_eq!(refused(tiers(&[(0, 0)])).field, "reward.tiers.bands[0].rate_ppm");
        assert_eq!(refused(tiers(&[(0, 1_000_001)])).field, "reward.tiers.bands[0].rate_ppm");
        assert_eq!(
            refused(Tiers { metric: Metric::Count, ..tiers(&[(0, 1)]) }).field,
            "reward.tiers.marginal"
        );
        assert_eq!(refused(Tiers { prior: true, ..tiers(&[(0, 1)]) }).field, "reward.tiers.marginal");
        let ever = Tiers { prior: true, marginal: false, period: Period::Ever, ..tiers(&[(0, 1)]) };
        assert_eq!(refused(ever).field, "reward.tiers.period");
        assert_eq!(tiers(&[(0, 1), (10, 1_000_000)]).validate("reward.tiers"), Ok(()));
    }
}

//! A naive reference model: what the balances must be, computed from what a client knows it sent. It shares no code with
//! the engine: plain sums over plain structs, rational arithmetic, no states, no order.
use std::collections::BTreeMap;

/// Something a client sent and saw acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// A sale that names a partner.
    Sale {
        /// Its id.
        sale: String,
        /// Who earns.
        partner: String,
        /// What the commission is computed on.
        base_minor: i64,
    },
    /// A refund of part of a sale's base.
    Refund {
        /// Its id.
        refund: String,
        /// The sale.
        sale: String,
        /// How much.
        base_minor: i64,
    },
    /// What was refunded of a sale so far, all in one number.
    RefundTotal {
        /// The sale.
        sale: String,
        /// How much.
        base_minor: i64,
    },
    /// A refund that came to nothing, whatever was said of it before or later.
    RefundFailed {
        /// Its id.
        refund: String,
        /// The sale.
        sale: String,
        /// How much it would have been.
        base_minor: i64,
    },
}

/// What a client said about the refunds of one sale.
#[derive(Debug, Default)]
struct Refunds<'a> {
    said: BTreeMap<&'a str, i64>,
    failed: BTreeMap<&'a str, i64>,
    largest_total: i64,
}

impl Refunds<'_> {
    /// Single refunds add up; a total knows those that nobody told one by one, and still has those that failed since.
    fn counted(&self) -> i64 {
        let live = self.said.iter().filter(|(id, _)| !self.failed.contains_key(*id)).map(|(_, base)| base);
        live.sum::<i64>().max(self.largest_total - self.failed.values().sum::<i64>())
    }
}

/// What each partner has earned net of refunds, in minor units, for a program with one percentage.
///
/// # Panics
/// When amounts are beyond `i128`.
#[must_use]
pub fn net_by_partner(sent: &[Sent], rate_ppm: i64) -> BTreeMap<String, i64> {
    let mut sales: BTreeMap<&str, (&str, i64)> = BTreeMap::new();
    let mut refunds: BTreeMap<&str, Refunds<'_>> = BTreeMap::new();
    for item in sent {
        match item {
            Sent::Sale { sale, partner, base_minor } => {
                sales.insert(sale, (partner, *base_minor));
            }
            Sent::Refund { refund, sale, base_minor } => {
                refunds.entry(sale).or_default().said.insert(refund, *base_minor);
            }
            Sent::RefundTotal { sale, base_minor } => {
                let of_sale = refunds.entry(sale).or_default();
                of_sale.largest_total = of_sale.largest_total.max(*base_minor);
            }
            Sent::RefundFailed { refund, sale, base_minor } => {
                refunds.entry(sale).or_default().failed.insert(refund, *base_minor);
            }
        }
    }
    let mut totals = BTreeMap::new();
    for (sale, (partner, base)) in sales {
        let refunded = refunds.get(sale).map_or(0, Refunds::counted);
        let left = (base - refunded).max(0);
        *totals.entry(partner.to_owned()).or_insert(0) += half_even(i128::from(left) * i128::from(rate_ppm));
    }
    totals.retain(|_, total| *total != 0);
    totals
}

/// `millionths / 1,000,000`, ties to even.
fn half_even(millionths: i128) -> i64 {
    let (whole, rest) = (millionths / 1_000_000, millionths % 1_000_000);
    let up = rest > 500_000 || (rest == 500_000 && whole % 2 == 1);
    i64::try_from(whole + i128::from(up)).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_knows_the_vectors_it_is_trusted_with() {
        assert_eq!(half_even(25 * 100_000), 2);
        assert_eq!(half_even(35 * 100_000), 4);
        let sale = |base_minor| Sent::Sale { sale: "s".into(), partner: "p".into(), base_minor };
        let refund = |id: &str, base_minor| Sent::Refund { refund: id.into(), sale: "s".into(), base_minor };
        assert_eq!(net_by_partner(&[refund("r", 1000), sale(4900)], 300_000)["p"], 1170);
        assert!(net_by_partner(&[sale(4900), refund("r", 1000), refund("q", 3900)], 300_000).is_empty());
        let total = |base_minor| Sent::RefundTotal { sale: "s".into(), base_minor };
        let failed =
            |id: &str, base_minor| Sent::RefundFailed { refund: id.into(), sale: "s".into(), base_minor };
        for (sent, expected) in [
            (vec![sale(4900), total(1000)], 1170),
            (vec![total(1000), refund("r", 1000), total(1000), sale(4900)], 1170),
            (vec![sale(4900), refund("r", 400), total(1000), refund("q", 600)], 1170),
            (vec![failed("r", 1000), sale(4900), refund("r", 1000), total(1000)], 1470),
            (vec![sale(4900), refund("r", 400), total(1400), failed("q", 1000)], 1350),
        ] {
            assert_eq!(net_by_partner(&sent, 300_000)["p"], expected, "{sent:?}");
        }
    }
}

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
}

/// What each partner has earned net of refunds, in minor units, for a program with one percentage.
///
/// # Panics
/// When amounts are beyond `i128`.
#[must_use]
pub fn net_by_partner(sent: &[Sent], rate_ppm: i64) -> BTreeMap<String, i64> {
    let mut sales: BTreeMap<&str, (&str, i64)> = BTreeMap::new();
    let mut refunds: BTreeMap<&str, BTreeMap<&str, i64>> = BTreeMap::new();
    for item in sent {
        match item {
            Sent::Sale { sale, partner, base_minor } => {
                sales.insert(sale, (partner, *base_minor));
            }
            Sent::Refund { refund, sale, base_minor } => {
                refunds.entry(sale).or_default().insert(refund, *base_minor);
            }
        }
    }
    let mut totals = BTreeMap::new();
    for (sale, (partner, base)) in sales {
        let refunded: i64 = refunds.get(sale).map_or(0, |set| set.values().sum());
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
    }
}

//! What partners have earned, by the reference model: everything that was said, once more in log order, on plain maps.
use crate::decisions::{BOTH, LEAD, WEIGHTS, Word};
use crate::reference::Name;
use crate::versions::whole_units;
use crate::workload::{FOR_A_LEAD, Pays, other};
use std::collections::BTreeMap;

/// Something that changes money, as the log has it.
#[derive(Debug, Clone)]
pub(crate) enum Said {
    Sold { name: Name, partner: Option<String>, pays: Pays, base: i64 },
    Refunded { sale: Name, base: i64 },
    Decided { sale: Name, part: usize, word: Word },
    Given { program: String, partner: String, amount: i64 },
}

/// One partner's part of a sale.
#[derive(Debug)]
struct Part {
    partner: String,
    gross: i128,
    net: i128,
    is_rejected: bool,
}

/// A sale that somebody earns.
#[derive(Debug)]
struct Sale {
    base: i128,
    /// `None`: a lead.
    rate_ppm: Option<i64>,
    whole: i128,
    is_capped: bool,
    weights: Vec<i128>,
    /// By place; those that got nothing are missing.
    parts: BTreeMap<usize, Part>,
}

#[derive(Debug, Default)]
pub(crate) struct Earnings {
    sales: BTreeMap<Name, Sale>,
    refunded: BTreeMap<Name, i128>,
    /// How many sales a partner brought, by program.
    brought: BTreeMap<(String, String), i64>,
    given: BTreeMap<(String, String), i128>,
}

impl Earnings {
    /// Takes the next thing that was said; `version`: which logic computed the sale.
    pub(crate) fn next(&mut self, said: &Said, version: impl Fn(&Name) -> Option<u32>) -> Result<(), String> {
        match said {
            Said::Sold { name, partner, pays, base } => {
                let version = version(name).ok_or_else(|| format!("sale {name:?} was never recorded"))?;
                let base = if version > 1 { whole_units(*base) } else { *base };
                if let Some(partner) = partner {
                    self.sold(name, partner, pays, base.into());
                }
            }
            Said::Refunded { sale, base } => {
                *self.refunded.entry(sale.clone()).or_default() += i128::from(*base);
                self.settle(sale);
            }
            Said::Decided { sale, part, word } => self.decided(sale, *part, *word),
            Said::Given { program, partner, amount } => {
                *self.given.entry((program.clone(), partner.clone())).or_default() += i128::from(*amount);
            }
        }
        Ok(())
    }

    fn sold(&mut self, name: &Name, partner: &str, pays: &Pays, base: i128) {
        let id = name.2.trim_start_matches("lead:");
        let is_lead = id.starts_with(LEAD);
        let mut rate_ppm = pays.rate_ppm;
        if !is_lead {
            let brought = self.brought.entry((name.0.clone(), partner.to_owned())).or_default();
            *brought += 1;
            if let Some((_, higher)) = pays.from.filter(|(from, _)| *brought >= *from) {
                rate_ppm = higher;
            }
        }
        let whole = if is_lead { i128::from(FOR_A_LEAD) } else { half_even(base * i128::from(rate_ppm)) };
        let is_both = id.starts_with(BOTH);
        let partners = if is_both { vec![partner, other(partner)] } else { vec![partner] };
        let weights: Vec<i128> =
            if is_both { WEIGHTS.iter().map(|weight| i128::from(*weight)).collect() } else { vec![1] };
        let cap = pays.cap.filter(|_| !is_lead);
        let mut parts = BTreeMap::new();
        let shares = divided(whole, whole, &weights);
        for (place, (partner, share)) in partners.into_iter().zip(shares).enumerate() {
            let left = cap.map_or(i128::MAX, |cap| i128::from(cap) - self.used(&name.0, partner));
            let gross = share.min(left);
            if gross > 0 {
                let partner = partner.to_owned();
                parts.insert(place, Part { partner, gross, net: gross, is_rejected: false });
            }
        }
        // What a cap on a partner cuts of a sale that is not divided is cut of the whole.
        let whole = if is_both { whole } else { parts.get(&0).map_or(0, |part| part.gross) };
        let rate_ppm = (!is_lead).then_some(rate_ppm);
        let sale = Sale { base, rate_ppm, whole, is_capped: cap.is_some(), weights, parts };
        self.sales.insert(name.clone(), sale);
        self.settle(name);
    }

    /// What a partner's cap has given out: net.
    fn used(&self, program: &str, partner: &str) -> i128 {
        let capped = self.sales.iter().filter(|(name, sale)| name.0 == program && sale.is_capped);
        let parts = capped.flat_map(|(_, sale)| sale.parts.values()).filter(|part| part.partner == partner);
        parts.map(|part| part.net).sum()
    }

    /// What refunds leave of each part, whatever people say of it.
    fn left(&self, name: &Name) -> Vec<i128> {
        let sale = &self.sales[name];
        let refunded = self.refunded.get(name).copied().unwrap_or_default();
        let now = sale.rate_ppm.map_or(sale.whole, |rate| {
            half_even((sale.base - refunded).max(0) * i128::from(rate)).min(sale.whole)
        });
        divided(sale.whole, now, &sale.weights)
    }

    fn settle(&mut self, name: &Name) {
        if !self.sales.contains_key(name) {
            return;
        }
        let left = self.left(name);
        let parts = self.sales.get_mut(name).into_iter().flat_map(|sale| &mut sale.parts);
        for (place, part) in parts.filter(|(_, part)| !part.is_rejected) {
            part.net = left[*place].min(part.gross);
        }
    }

    fn decided(&mut self, name: &Name, place: usize, word: Word) {
        if !self.sales.contains_key(name) {
            return;
        }
        let left = self.left(name).get(place).copied().unwrap_or_default();
        let Some(part) = self.sales.get_mut(name).and_then(|sale| sale.parts.get_mut(&place)) else { return };
        match word {
            // What has ended can no longer be rejected.
            Word::Reject if part.net > 0 => (part.net, part.is_rejected) = (0, true),
            Word::Reinstate if part.is_rejected && left > 0 => {
                (part.net, part.is_rejected) = (left.min(part.gross), false);
            }
            _ => {}
        }
    }

    /// What each partner has in all, by (program, partner).
    pub(crate) fn balances(self) -> BTreeMap<(String, String), i128> {
        let mut balances = self.given;
        for (name, sale) in self.sales {
            for part in sale.parts.into_values() {
                *balances.entry((name.0.clone(), part.partner)).or_default() += part.net;
            }
        }
        balances.retain(|_, earned| *earned != 0);
        balances
    }
}

/// `now` by weights: what lies below for each, then one more for the largest remainders, the earliest of equal ones; nobody more
/// than of `whole`, what that leaves over to the earliest with room.
fn divided(whole: i128, now: i128, weights: &[i128]) -> Vec<i128> {
    let plain = |amount: i128| {
        let sum: i128 = weights.iter().sum();
        let mut parts: Vec<i128> = weights.iter().map(|weight| amount * weight / sum).collect();
        let mut order: Vec<usize> = (0..weights.len()).collect();
        order.sort_by_key(|place| -(amount * weights[*place] % sum));
        let missing = amount - parts.iter().sum::<i128>();
        order.iter().take(usize::try_from(missing).unwrap()).for_each(|place| parts[*place] += 1);
        parts
    };
    let (most, mut parts) = (plain(whole), plain(now));
    parts.iter_mut().zip(&most).for_each(|(part, most)| *part = (*part).min(*most));
    while parts.iter().sum::<i128>() < now {
        let place = (0..parts.len()).find(|place| parts[*place] < most[*place]).unwrap();
        parts[place] += 1;
    }
    parts
}

/// `millionths / 1,000,000`, ties to even.
const fn half_even(millionths: i128) -> i128 {
    let (whole, rest) = (millionths / 1_000_000, millionths % 1_000_000);
    if rest > 500_000 || (rest == 500_000 && whole % 2 == 1) { whole + 1 } else { whole }
}

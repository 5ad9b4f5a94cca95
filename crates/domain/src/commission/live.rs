//! What the live refunds and lost disputes of a sale leave of it: a pure function of their set, never of their order.
use super::holds::dispute;
use super::split::part_of;
use super::state::{CommissionRow, ReversalRow};
use super::{SaleRecorded, Slice};
use crate::config::FlatRefund;
use crate::facts::{ReversalFamily, ReversalState};
use crate::money::{AmountOutOfRange, Minor, Rounding, rate_of_sum, round_ratio, split_by_largest_remainder};
use std::collections::BTreeMap;

/// What the set says about a commission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    /// N.
    pub(super) net: Minor,
    /// Some lost dispute has an amount: a commission that ends at 0 ends `charged_back`.
    pub(super) lost_dispute: bool,
}

/// The outcome for `commission` of `sale`.
pub(super) fn outcome(
    sale: &SaleRecorded,
    commission: &CommissionRow,
    reversals: &[ReversalRow],
) -> Result<Outcome, AmountOutOfRange> {
    let set = LiveSet::of(sale, reversals);
    let whole = left_of_whole(sale, commission, &set)?;
    let net = match &commission.terms.split {
        // A cap on the partner alone may have left less than the part.
        Some(split) => part_of(split, whole)?.min(commission.gross),
        None => whole,
    };
    Ok(Outcome { net, lost_dispute: set.lost_dispute() })
}

/// N of all that the sale earns: of the commission itself, unless it is a part.
fn left_of_whole(
    sale: &SaleRecorded,
    commission: &CommissionRow,
    set: &LiveSet<'_>,
) -> Result<Minor, AmountOutOfRange> {
    let rounding = commission.terms.rounding;
    let whole = commission.terms.split.as_ref().map_or(commission.gross, |split| split.whole);
    match commission.terms.flat {
        // What is no sale cannot be given back.
        _ if set.is_empty() || !sale.facets.details.kind.is_sale() => Ok(whole),
        Some(flat) => set.left_of_flat(sale, whole, flat.on_refund, rounding),
        None => {
            let slices = &commission.terms.slices;
            let remaining = set.remaining(sale, slices, rounding)?;
            let rates = slices.iter().map(|slice| slice.rate);
            Ok(rate_of_sum(remaining.into_iter().zip(rates), rounding)?.min(whole))
        }
    }
}

/// The same for people who ask why.
pub(super) fn whole(
    sale: &SaleRecorded,
    commission: &CommissionRow,
    reversals: &[ReversalRow],
) -> Result<Minor, AmountOutOfRange> {
    left_of_whole(sale, commission, &LiveSet::of(sale, reversals))
}

/// What the set takes from the base, and what it leaves of each slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) base: Minor,
    pub(super) left: Vec<Minor>,
}

/// The steps before [`outcome`], for people who ask why.
pub(super) fn taken(
    sale: &SaleRecorded,
    commission: &CommissionRow,
    reversals: &[ReversalRow],
) -> Result<Taken, AmountOutOfRange> {
    let (set, terms) = (LiveSet::of(sale, reversals), &commission.terms);
    Ok(Taken {
        base: set.base_taken(sale, terms.rounding)?.try_into()?,
        left: set.remaining(sale, &terms.slices, terms.rounding)?,
    })
}

/// The disputes of `sale` that are open, by their holds: objects that nothing has decided yet, and warnings as long as no
/// chargeback, none given back, and no end of a warning is here for each of them.
pub(super) fn open_disputes(sale: &SaleRecorded, reversals: &[ReversalRow]) -> Vec<String> {
    let (mut open, mut warned) = (Vec::new(), Vec::new());
    // Providers tell the end of a warning as an object of its own, which does not name the warning.
    let (mut decided, mut ended) = (false, 0_usize);
    for reversal in reversals.iter().filter(|reversal| reversal.currency == sale.currency) {
        match (reversal.family, reversal.state) {
            (ReversalFamily::Chargeback, ReversalState::Pending) => open.push(dispute(&reversal.object_id)),
            (ReversalFamily::Chargeback | ReversalFamily::ChargebackReverse, ReversalState::Live) => {
                decided = true;
            }
            (ReversalFamily::ChargebackWarning, ReversalState::Dead) => ended = ended.saturating_add(1),
            (ReversalFamily::ChargebackWarning, _) => warned.push(dispute(&reversal.object_id)),
            _ => {}
        }
    }
    if !decided && warned.len() > ended {
        open.append(&mut warned);
    }
    open
}

/// Sums over the live objects of one family, or over the refunds and lost disputes together.
#[derive(Debug, Default)]
struct Sums<'row> {
    /// As paid, tax included.
    gross: i128,
    /// Parts of the base, of those objects that say theirs.
    own: i128,
    /// As paid, of those objects that do not: they map to the base pro rata, together.
    pooled: i128,
    /// Parts of `own` that name a line.
    named: BTreeMap<&'row str, i128>,
}

struct LiveSet<'row> {
    taken: Sums<'row>,
    lost_gross: i128,
}

impl<'row> LiveSet<'row> {
    fn of(sale: &SaleRecorded, reversals: &'row [ReversalRow]) -> Self {
        let [mut refunds, mut chargebacks, mut reverses] =
            [Sums::default(), Sums::default(), Sums::default()];
        let (mut totals, mut dead) = (0_i128, 0_i128);
        for reversal in reversals.iter().filter(|reversal| reversal.currency == sale.currency) {
            match (reversal.family, reversal.state) {
                (ReversalFamily::Refund, ReversalState::Live) => refunds.add(sale, reversal),
                (ReversalFamily::Refund, ReversalState::Dead) => {
                    dead = dead.saturating_add(positive(reversal.gross));
                }
                // One for each charge of the sale: the row keeps the largest.
                (ReversalFamily::RefundTotal, ReversalState::Live) => {
                    totals = totals.saturating_add(positive(reversal.gross));
                }
                (ReversalFamily::Chargeback, ReversalState::Live) => chargebacks.add(sale, reversal),
                (ReversalFamily::ChargebackReverse, ReversalState::Live) => reverses.add(sale, reversal),
                _ => {}
            }
        }
        // Totals and single objects tell of the same refunds. A total has seen the dead ones too.
        let unseen = totals.saturating_sub(dead).saturating_sub(refunds.gross);
        refunds.add_unnamed(sale, unseen.max(0));
        let lost = chargebacks.less(&reverses);
        let lost_gross = lost.gross;
        Self { taken: refunds.and(lost), lost_gross }
    }

    fn is_empty(&self) -> bool {
        self.taken.gross == 0 && self.taken.own == 0 && self.taken.pooled == 0
    }

    const fn lost_dispute(&self) -> bool {
        self.lost_gross > 0
    }

    /// r: what the set takes from the base, at most all of it. Once everything that was paid has gone back nothing
    /// remains, however the parts were rounded.
    fn base_taken(&self, sale: &SaleRecorded, rounding: Rounding) -> Result<i128, AmountOutOfRange> {
        let (base, paid) = (i128::from(sale.base.0), i128::from(sale.gross.0));
        if self.taken.gross > 0 && self.taken.gross >= paid {
            return Ok(base);
        }
        let pooled = if self.taken.pooled == 0 {
            0
        } else {
            // Below `paid`, therefore the product of two i64: it fits.
            round_ratio(self.taken.pooled.checked_mul(base).ok_or(AmountOutOfRange)?, paid, rounding)?
        };
        Ok(self.taken.own.saturating_add(pooled).min(base))
    }

    /// N of a flat reward.
    fn left_of_flat(
        &self,
        sale: &SaleRecorded,
        gross: Minor,
        on_refund: FlatRefund,
        rounding: Rounding,
    ) -> Result<Minor, AmountOutOfRange> {
        let (base, taken) = (i128::from(sale.base.0), self.base_taken(sale, rounding)?);
        if taken >= base {
            return Ok(Minor::ZERO);
        }
        match on_refund {
            FlatRefund::FullOnly => Ok(gross),
            // Of the base: who is given only tax back has bought all the same.
            FlatRefund::Any if self.taken.own > 0 || self.taken.pooled > 0 => Ok(Minor::ZERO),
            FlatRefund::Any => Ok(gross),
            FlatRefund::Proportional => {
                let left = base.saturating_sub(taken).checked_mul(i128::from(gross.0));
                round_ratio(left.ok_or(AmountOutOfRange)?, base, rounding)?.try_into()
            }
        }
    }

    /// What is left of each slice. Lines that objects name lose first, each at most all; the rest is taken from what that
    /// leaves of the lines, pro rata by largest remainder. Of a line in several bands the highest goes first.
    fn remaining(
        &self,
        sale: &SaleRecorded,
        slices: &[Slice],
        rounding: Rounding,
    ) -> Result<Vec<Minor>, AmountOutOfRange> {
        let lines: Vec<&[Slice]> = slices.chunk_by(|_, next| next.higher_band).collect();
        let mut sold = Vec::with_capacity(lines.len());
        for line in &lines {
            let base = line.iter().try_fold(Minor::ZERO, |sum, slice| sum.plus(slice.base))?;
            sold.push((line.first().map_or("", |slice| slice.line_id.as_str()), base));
        }
        let left = self.left_of_lines(sale, &sold, rounding)?;
        let mut remaining = Vec::with_capacity(slices.len());
        for (line, mut left) in lines.into_iter().zip(left) {
            // From the lowest band up, as far as what is left reaches.
            for slice in line {
                let here = left.min(slice.base);
                left = left.minus(here)?;
                remaining.push(here);
            }
        }
        Ok(remaining)
    }

    /// What is left of each line, by name and base.
    fn left_of_lines(
        &self,
        sale: &SaleRecorded,
        lines: &[(&str, Minor)],
        rounding: Rounding,
    ) -> Result<Vec<Minor>, AmountOutOfRange> {
        let mut rest = self.base_taken(sale, rounding)?;
        let mut named = self.taken.named.clone();
        let mut left = Vec::with_capacity(lines.len());
        for (line_id, base) in lines {
            let wanted = named.get_mut(line_id);
            let most = i128::from(base.0).min(rest);
            let taken = wanted.as_deref().copied().unwrap_or(0).clamp(0, most.max(0));
            if let Some(wanted) = wanted {
                *wanted = wanted.saturating_sub(taken);
            }
            rest = rest.saturating_sub(taken);
            left.push(base.minus(Minor::try_from(taken)?)?);
        }
        let shares = split_by_largest_remainder(Minor::try_from(rest)?, &left)?;
        left.into_iter().zip(shares).map(|(base, share)| base.minus(share)).collect()
    }
}

impl<'row> Sums<'row> {
    fn add(&mut self, sale: &SaleRecorded, reversal: &'row ReversalRow) {
        let gross = positive(reversal.gross);
        self.gross = self.gross.saturating_add(gross);
        let Some(own) = own_part(sale, reversal) else {
            self.pooled = self.pooled.saturating_add(gross);
            return;
        };
        self.own = self.own.saturating_add(own);
        let mut lines = BTreeMap::new();
        for (line, net) in &reversal.lines {
            let sum: &mut i128 = lines.entry(line.as_str()).or_default();
            *sum = sum.saturating_add(positive(*net));
        }
        for (line, part) in at_most(lines, own) {
            let sum = self.named.entry(line).or_default();
            *sum = sum.saturating_add(part);
        }
    }

    /// An amount as paid that says nothing of the base.
    fn add_unnamed(&mut self, sale: &SaleRecorded, gross: i128) {
        self.gross = self.gross.saturating_add(gross);
        let part = if sale.base == sale.gross { &mut self.own } else { &mut self.pooled };
        *part = part.saturating_add(gross);
    }

    /// These chargebacks less what the bank gave back of them; a dispute never turns into a gain.
    fn less(self, reverses: &Self) -> Self {
        if reverses.gross == 0 && reverses.own == 0 {
            // Nothing came back: each keeps its own part and its lines.
            return self;
        }
        let gross = self.gross.saturating_sub(reverses.gross).max(0);
        if self.pooled > 0 || reverses.pooled > 0 {
            // One side does not know its part of the base: both are then compared as paid.
            return Self { gross, pooled: gross, ..Self::default() };
        }
        let own = self.own.saturating_sub(reverses.own).max(0);
        let mut named = self.named;
        for (line, back) in &reverses.named {
            if let Some(part) = named.get_mut(line) {
                *part = part.saturating_sub(*back).max(0);
            }
        }
        Self { gross, own, pooled: 0, named: at_most(named, own) }
    }

    fn and(mut self, other: Self) -> Self {
        self.gross = self.gross.saturating_add(other.gross);
        self.own = self.own.saturating_add(other.own);
        self.pooled = self.pooled.saturating_add(other.pooled);
        for (line, part) in other.named {
            let sum = self.named.entry(line).or_default();
            *sum = sum.saturating_add(part);
        }
        self
    }
}

/// The object's part of the base, where it can be told: its own net where the base is net, the amount as paid where the
/// base is what was paid.
fn own_part(sale: &SaleRecorded, reversal: &ReversalRow) -> Option<i128> {
    let lines = || {
        let sum = reversal.lines.iter().fold(0_i128, |sum, (_, net)| sum.saturating_add(positive(*net)));
        (!reversal.lines.is_empty()).then_some(sum)
    };
    let net = if sale.base_is_net { reversal.net.map(positive).or_else(lines) } else { None };
    net.or_else(|| (sale.base == sale.gross).then(|| positive(reversal.gross)))
}

/// `parts`, scaled down so that they sum to at most `whole`.
fn at_most(parts: BTreeMap<&str, i128>, whole: i128) -> BTreeMap<&str, i128> {
    let sum = parts.values().fold(0_i128, |sum, part| sum.saturating_add(*part));
    if sum <= whole {
        return parts;
    }
    let weights: Option<Vec<Minor>> = parts.values().map(|part| Minor::try_from(*part).ok()).collect();
    let shares = weights
        .zip(Minor::try_from(whole).ok())
        .and_then(|(weights, whole)| split_by_largest_remainder(whole, &weights).ok());
    match shares {
        Some(shares) => parts.into_keys().zip(shares.into_iter().map(positive)).collect(),
        // Amounts past i64 on a line that has none: nothing sensible is named.
        None => BTreeMap::new(),
    }
}

fn positive(amount: Minor) -> i128 {
    i128::from(amount.0.max(0))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::money::Currency;
    use crate::time::Micros;

    fn sold(lines: &[(&str, i64)]) -> SaleRecorded {
        let slice = |(line, base): &(&str, i64)| Slice {
            line_id: (*line).to_owned(),
            base: Minor(*base),
            ..Slice::default()
        };
        let base = Minor(lines.iter().map(|(_, base)| base).sum());
        SaleRecorded {
            id: "sal".into(),
            program: "prog".into(),
            sale: crate::attribution::SaleKey { source: "paddle".into(), external_id: "txn".to_owned() },
            event: "evt".into(),
            currency: Currency::parse("USD").unwrap(),
            gross: Minor(base.0.saturating_mul(2)),
            base,
            base_is_net: true,
            slices: lines.iter().map(slice).collect(),
            partner: None,
            reason: String::new(),
            customer: None,
            subscription_id: String::new(),
            occurred_at: Micros(0),
            recorded_at: Micros(0),
            late: false,
            facets: crate::commission::Facets::default(),
            purchase: None,
            subscription_since: None,
            shares: Vec::new(),
        }
    }

    fn object(family: ReversalFamily, id: &str, net: i64, lines: &[(&str, i64)]) -> ReversalRow {
        ReversalRow {
            family,
            object_id: id.to_owned(),
            event: "evt".into(),
            state: ReversalState::Live,
            currency: Currency::parse("USD").unwrap(),
            gross: Minor(net),
            net: Some(Minor(net)),
            lines: lines.iter().map(|(line, net)| ((*line).to_owned(), Minor(*net))).collect(),
        }
    }

    fn left(sale: &SaleRecorded, set: &[ReversalRow]) -> Vec<i64> {
        let left = LiveSet::of(sale, set).remaining(sale, &sale.slices, Rounding::HalfEven).unwrap();
        left.into_iter().map(|base| base.0).collect()
    }

    #[test]
    fn named_lines_lose_first_and_what_is_over_is_shared_by_what_they_leave() {
        use ReversalFamily::{Chargeback, ChargebackReverse, Refund};
        let sale = sold(&[("a", 100), ("b", 100), ("c", 100)]);
        let of = |set: &[ReversalRow]| left(&sale, set);
        assert_eq!(of(&[object(Refund, "1", 40, &[("b", 40)])]), [100, 60, 100]);
        assert_eq!(of(&[object(Refund, "1", 40, &[])]), [86, 87, 87]);
        // Past its line, of a line that nobody sold, and unnamed: all the same rest.
        for set in [
            vec![object(Refund, "1", 120, &[("b", 120)])],
            vec![object(Refund, "1", 120, &[("b", 100), ("x", 20)])],
            vec![object(Refund, "1", 20, &[]), object(Refund, "2", 100, &[("b", 100)])],
        ] {
            assert_eq!(of(&set), [90, 0, 90]);
        }
        // An object names no more than it took.
        assert_eq!(of(&[object(Refund, "1", 10, &[("a", 30), ("c", 10)])]), [92, 100, 98]);
        // A dispute that was won gives its own line back.
        let lost = [object(Chargeback, "1", 50, &[("a", 50)]), object(Chargeback, "2", 30, &[("b", 30)])];
        assert_eq!(of(&lost), [50, 70, 100]);
        let [first, second] = lost;
        assert_eq!(of(&[first, second, object(ChargebackReverse, "3", 50, &[("a", 50)])]), [100, 70, 100]);
        assert_eq!(of(&[object(Refund, "1", 400, &[("a", 400)])]), [0, 0, 0]);
    }
}

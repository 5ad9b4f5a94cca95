//! A sale that several partners brought: the whole is priced once and divided by frozen weights, again after each refund.
use super::state::{SaleRow, sale_key};
use super::{Split, live};
use crate::attribution::{Decision, SaleKey, Share};
use crate::ids::{CommissionId, ProgramId};
use crate::money::{AmountOutOfRange, Minor, split_by_largest_remainder};
use crate::tables::{View, row};

/// How a part's N comes about, for people who ask why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Division {
    /// What was frozen.
    pub split: Split,
    /// N of the whole, as the facts stand.
    pub net: Minor,
    /// G of the whole, divided: one amount for each weight.
    pub granted: Vec<Minor>,
    /// N of the whole, divided in the same way, before a cap on one partner.
    pub parts: Vec<Minor>,
}

/// The division of what `sale` earns, where the fold knows `commission` and it is a part of that.
///
/// # Errors
/// [`AmountOutOfRange`]: no commission that the ledger creates leads there.
pub fn division(
    view: &dyn View,
    program: &ProgramId,
    sale: &SaleKey,
    commission: &CommissionId,
) -> Result<Option<Division>, AmountOutOfRange> {
    let Some(row) = row::<SaleRow>(view, sale_key(program, sale).bytes()) else { return Ok(None) };
    let (Some(recorded), Some(commission)) = (&row.sale, row.commission(commission)) else { return Ok(None) };
    let Some(split) = commission.terms.split.clone() else { return Ok(None) };
    let net = live::whole(recorded, commission, &row.reversals)?;
    Ok(Some(Division {
        granted: divided(split.whole, split.whole, &split.weights)?,
        parts: divided(split.whole, net, &split.weights)?,
        net,
        split,
    }))
}

/// The shares of a decision: one for each partner, at the place of its earliest touch. Empty: one partner earns all.
pub(super) fn shares_of(decision: &Decision) -> Vec<Share> {
    let mut shares: Vec<Share> = Vec::new();
    for share in decision.shares.iter().filter(|share| share.weight > 0) {
        match shares.iter_mut().find(|known| known.partner == share.partner) {
            Some(known) => known.weight = known.weight.saturating_add(share.weight),
            None => shares.push(share.clone()),
        }
    }
    if shares.len() > 1 { shares } else { Vec::new() }
}

/// `now`, at most `whole`, in parts by weight: largest remainder, ties to the earliest. No part is more than its part of
/// `whole`: largest remainders alone could give somebody one unit more of less, and R would be negative.
pub(super) fn divided(whole: Minor, now: Minor, weights: &[u32]) -> Result<Vec<Minor>, AmountOutOfRange> {
    let weights: Vec<Minor> = weights.iter().map(|weight| Minor(i64::from(*weight))).collect();
    let most = split_by_largest_remainder(whole, &weights)?;
    let mut parts = split_by_largest_remainder(now, &weights)?;
    let mut over = Minor::ZERO;
    for (part, most) in parts.iter_mut().zip(&most) {
        over = over.plus(part.minus(*most)?.max(Minor::ZERO))?;
        *part = (*part).min(*most);
    }
    // Fewer units than there are parts, and the parts of `whole` have room for all of them.
    while over > Minor::ZERO {
        let before = over;
        for (part, most) in parts.iter_mut().zip(&most) {
            if over > Minor::ZERO && *part < *most {
                *part = part.plus(Minor(1))?;
                over = over.minus(Minor(1))?;
            }
        }
        if over == before {
            return Err(AmountOutOfRange);
        }
    }
    Ok(parts)
}

/// What a part has of `now`, the net amount of the whole.
pub(super) fn part_of(split: &Split, now: Minor) -> Result<Minor, AmountOutOfRange> {
    let parts = divided(split.whole, now, &split.weights)?;
    let place = usize::try_from(split.part).map_err(|_| AmountOutOfRange)?;
    parts.get(place).copied().ok_or(AmountOutOfRange)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_smaller_whole_gives_nobody_more_and_the_parts_are_the_whole() {
        let of = |whole, now, weights: &[u32]| -> Vec<i64> {
            divided(Minor(whole), Minor(now), weights).unwrap().iter().map(|part| part.0).collect()
        };
        assert_eq!(of(1000, 1000, &[1, 1, 1]), [334, 333, 333]);
        assert_eq!(of(1000, 500, &[1, 1, 1]), [167, 167, 166]);
        // Largest remainders alone: 5, 5, 1 of 11 and 4, 4, 2 of 10.
        assert_eq!((of(11, 11, &[6, 6, 2]), of(11, 10, &[6, 6, 2])), (vec![5, 5, 1], vec![5, 4, 1]));
        for (whole, weights) in [(37, vec![6, 6, 2]), (101, vec![50, 30, 13, 7]), (29, vec![1, 1, 1, 1, 997])]
        {
            let most = of(whole, whole, &weights);
            for now in 0..=whole {
                let parts = of(whole, now, &weights);
                assert_eq!(parts.iter().sum::<i64>(), now);
                assert!(
                    parts.iter().zip(&most).all(|(part, most)| (0..=*most).contains(part)),
                    "{now}: {parts:?}"
                );
            }
        }
    }
}

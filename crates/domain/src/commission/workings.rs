//! How a commission's N comes about, with every number on the way: for people who ask why. It decides nothing; it reads the
//! fold of [`evolve`](super::evolve()) and uses the same functions as the decision.
use super::live;
use super::state::{SaleRow, sale_key};
use super::{FlatTerms, SaleRecorded, Terms};
use crate::attribution::SaleKey;
use crate::facts::{ReversalFamily, ReversalState};
use crate::ids::{CommissionId, ProgramId};
use crate::money::{AmountOutOfRange, Currency, Minor, RatePpm, Rounding, rate_of_sum};
use crate::tables::{View, row};

/// The numbers of one commission as a fold stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workings {
    /// The conversion record.
    pub sale: SaleRecorded,
    /// What was frozen.
    pub terms: Terms,
    /// The reversals that are known of the sale: (family, object, state, currency, gross, net).
    pub reversals: Vec<KnownReversal>,
    /// Each slice: what is left of its base.
    pub slices: Vec<WorkedSlice>,
    /// A flat reward, and what of the base reversals have taken.
    pub flat: Option<(FlatTerms, Minor)>,
    /// G.
    pub gross: Minor,
    /// N: at most G; of a split ([`Terms::split`]) the part of what the slices come to.
    pub net: Minor,
}

/// One reversal object in its highest-ranked state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownReversal {
    /// What kind.
    pub family: ReversalFamily,
    /// Its id at its source.
    pub object_id: String,
    /// Whether it counts.
    pub state: ReversalState,
    /// Another than the sale's counts 0.
    pub currency: Currency,
    /// With tax.
    pub gross: Minor,
    /// Without tax, where the body says so.
    pub net: Option<Minor>,
}

/// One slice of the base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkedSlice {
    /// Empty: the whole sale.
    pub line_id: String,
    /// As sold.
    pub base: Minor,
    /// What reversals left of it.
    pub left: Minor,
    /// Its rate.
    pub rate: RatePpm,
}

/// The rounding's divisor: rates are in parts per million.
pub const RATE_DIVISOR: i64 = 1_000_000;

impl Workings {
    /// The sum of `left x rate` over the slices, before it is rounded once.
    #[must_use]
    pub fn sum(&self) -> i128 {
        let product = |slice: &WorkedSlice| i128::from(slice.left.0).saturating_mul(i128::from(slice.rate.0));
        self.slices.iter().fold(0_i128, |sum, slice| sum.saturating_add(product(slice)))
    }

    /// That sum, rounded; before the limit at G.
    ///
    /// # Errors
    /// [`AmountOutOfRange`]: no commission that the ledger creates leads there.
    pub fn rounded(&self) -> Result<Minor, AmountOutOfRange> {
        rate_of_sum(self.slices.iter().map(|slice| (slice.left, slice.rate)), self.rounding())
    }

    /// How it rounds.
    #[must_use]
    pub const fn rounding(&self) -> Rounding {
        self.terms.rounding
    }
}

/// The workings of a commission of `sale`, where the fold knows it.
///
/// # Errors
/// [`AmountOutOfRange`]: no commission that the ledger creates leads there.
pub fn workings(
    view: &dyn View,
    program: &ProgramId,
    sale: &SaleKey,
    commission: &CommissionId,
) -> Result<Option<Workings>, AmountOutOfRange> {
    let Some(row) = row::<SaleRow>(view, sale_key(program, sale).bytes()) else { return Ok(None) };
    let commission = row.commission(commission).cloned();
    let (Some(recorded), Some(commission)) = (row.sale, commission) else { return Ok(None) };
    let taken = live::taken(&recorded, &commission, &row.reversals)?;
    let slices = commission.terms.slices.iter().zip(&taken.left);
    let slices = slices.map(|(slice, left)| WorkedSlice {
        line_id: slice.line_id.clone(),
        base: slice.base,
        left: *left,
        rate: slice.rate,
    });
    let known = row.reversals.iter().map(|reversal| KnownReversal {
        family: reversal.family,
        object_id: reversal.object_id.clone(),
        state: reversal.state,
        currency: reversal.currency,
        gross: reversal.gross,
        net: reversal.net,
    });
    Ok(Some(Workings {
        slices: slices.collect(),
        flat: commission.terms.flat.map(|flat| (flat, taken.base)),
        gross: commission.gross,
        net: live::outcome(&recorded, &commission, &row.reversals)?.net,
        reversals: known.collect(),
        terms: commission.terms,
        sale: recorded,
    }))
}

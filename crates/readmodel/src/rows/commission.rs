//! Commissions: each event as it came, and the last state with its frozen terms.
use super::{At, Current, Rows, joined};
use crate::text::{clean, int, moment};
use domain::commission::{CommissionEvent, Origin, Posting, Slice, Split, Terms};
use domain::ids::PayoutId;
use serde::Serialize;

/// A commission event as it came.
#[derive(Debug)]
pub(crate) struct EventRow<'batch> {
    pub(crate) at: At,
    pub(crate) event: &'batch CommissionEvent,
    pub(crate) postings: String,
    pub(crate) holds: String,
    /// Which of `Rows::leaves` is its own.
    pub(crate) leaf: usize,
}

/// Frozen with the first event of a commission, and again where a later one brings other terms.
#[derive(Debug, Clone, Default)]
pub(crate) struct FrozenTerms {
    pub(crate) rule: String,
    pub(crate) rule_version: i32,
    pub(crate) hold_until: Option<i64>,
    /// What it would have been without caps, where one limited it.
    pub(crate) uncapped: Option<i64>,
    pub(crate) origin: Origin,
    pub(crate) part: Option<Part>,
    /// `None`: no event of the batch has the terms; those in the row stay.
    pub(crate) rounding: Option<&'static str>,
    /// A JSON array.
    pub(crate) slices: String,
    /// Of a flat reward.
    pub(crate) flat: Option<i64>,
}

impl FrozenTerms {
    fn of(event: &CommissionEvent, terms: &Terms) -> Self {
        Self {
            rule: clean(terms.rule.as_str()),
            rule_version: int(terms.rule_version),
            hold_until: Some(moment(terms.hold_until)),
            uncapped: (terms.uncapped != event.gross).then_some(terms.uncapped.0),
            origin: terms.origin,
            part: terms.split.as_ref().map(Part::of),
            rounding: Some(terms.rounding.name()),
            slices: slices_json(&terms.slices),
            flat: terms.flat.map(|flat| flat.amount.0),
        }
    }
}

/// What a batch knows of a commission.
#[derive(Debug)]
pub(crate) struct LastEvent<'batch> {
    pub(crate) event: &'batch CommissionEvent,
    /// The last payout that it was in.
    pub(crate) payout: Option<&'batch PayoutId>,
    pub(crate) terms: FrozenTerms,
}

/// Which part of a divided sale a commission is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    /// From 1.
    pub(crate) number: i32,
    pub(crate) of: i32,
    pub(crate) share: i64,
    pub(crate) share_of: i64,
}

impl Part {
    fn of(split: &Split) -> Self {
        let place = usize::try_from(split.part).unwrap_or(usize::MAX);
        Self {
            number: int(split.part.saturating_add(1)),
            of: i32::try_from(split.weights.len()).unwrap_or(i32::MAX),
            share: split.weights.get(place).map_or(0, |weight| i64::from(*weight)),
            share_of: split.weights.iter().map(|weight| i64::from(*weight)).sum(),
        }
    }
}

impl<'batch> Rows<'batch> {
    pub(super) fn commission(&mut self, at: At, event: &'batch CommissionEvent) {
        for posting in &event.postings {
            self.post(at, (event.program.as_str(), event.partner.as_str()), posting);
        }
        let (postings, holds) = (postings_json(&event.postings), joined(&event.holds));
        // Every event of a commission is in its program's chain.
        let leaf = self.leaves.len().saturating_sub(1);
        self.events.push(EventRow { at, event, postings, holds, leaf });
        let terms = event.terms.as_ref().map(|terms| FrozenTerms::of(event, terms));
        let payout = event.payout.as_ref();
        if let Some(current) = self.commissions.get_mut(event.id.as_str()) {
            current.at = at;
            let last = &mut current.value;
            last.event = event;
            last.payout = payout.or(last.payout);
            last.terms = terms.unwrap_or_else(|| std::mem::take(&mut last.terms));
        } else {
            let value = LastEvent { event, payout, terms: terms.unwrap_or_default() };
            self.commissions.insert(event.id.as_str(), Current { at, created: at.clock, value });
        }
    }
}

#[derive(Serialize)]
struct PostingJson<'posting> {
    account: &'static str,
    currency: &'posting str,
    amount: i64,
}

pub(crate) fn postings_json(postings: &[Posting]) -> String {
    let rows: Vec<PostingJson<'_>> = postings
        .iter()
        .map(|posting| PostingJson {
            account: posting.account.name(),
            currency: posting.currency.code(),
            amount: posting.amount.0,
        })
        .collect();
    // Plain data always encodes.
    serde_json::to_string(&rows).unwrap_or_else(|_| "[]".to_owned())
}

#[derive(Serialize)]
struct SliceJson {
    line_id: String,
    base_minor: i64,
    rate_ppm: i64,
}

fn slices_json(slices: &[Slice]) -> String {
    let rows: Vec<SliceJson> = slices
        .iter()
        .map(|slice| SliceJson {
            line_id: clean(&slice.line_id),
            base_minor: slice.base.0,
            rate_ppm: slice.rate.0,
        })
        .collect();
    // Plain data always encodes.
    serde_json::to_string(&rows).unwrap_or_else(|_| "[]".to_owned())
}

//! What a batch says of payouts and of what belongs to them, as rows.
use crate::rows::{At, Current, postings_json, set};
use crate::text::clean;
use domain::commission::{DebtWrittenOff, OffsetRecorded, PayoutEvent, PayoutLine, RateRecorded};
use domain::facts::{Fact, Personal, SealedValue};
use domain::ids::SubjectId;
use domain::payouts::{PayoutDestination, PayoutTerms};
use serde::Serialize;
use std::collections::BTreeMap;

/// An event of a payout as it came.
#[derive(Debug)]
pub(crate) struct PayoutEventRow<'batch> {
    pub(crate) at: At,
    pub(crate) event: &'batch PayoutEvent,
    pub(crate) postings: String,
}

/// A line of a payout, from 1.
#[derive(Debug)]
pub(crate) struct LineRow<'batch> {
    pub(crate) at: At,
    pub(crate) payout: &'batch str,
    pub(crate) number: i32,
    pub(crate) line: &'batch PayoutLine,
}

/// Where a partner is paid, as the log has it; without a value: nowhere any more.
#[derive(Debug)]
pub(crate) struct DestinationRow<'batch> {
    pub(crate) method: &'batch str,
    pub(crate) sealed: Option<(SubjectId, &'batch SealedValue)>,
}

/// Terms of payouts by program and partner, each with whether they were removed.
pub(crate) type TermsRows<'batch> =
    BTreeMap<(&'batch str, &'batch str), Current<(&'batch PayoutTerms, bool)>>;

/// Everything of payouts that a batch writes.
#[derive(Debug, Default)]
pub(crate) struct PayoutRows<'batch> {
    pub(crate) payouts: BTreeMap<&'batch str, Current<&'batch PayoutEvent>>,
    pub(crate) events: Vec<PayoutEventRow<'batch>>,
    pub(crate) lines: Vec<LineRow<'batch>>,
    pub(crate) offsets: Vec<(At, &'batch OffsetRecorded)>,
    pub(crate) write_offs: Vec<(At, &'batch DebtWrittenOff)>,
    pub(crate) rates: Vec<(At, &'batch RateRecorded)>,
    pub(crate) terms: TermsRows<'batch>,
    pub(crate) destinations: BTreeMap<(&'batch str, &'batch str), Current<DestinationRow<'batch>>>,
}

impl<'batch> PayoutRows<'batch> {
    pub(crate) fn payout(&mut self, at: At, event: &'batch PayoutEvent) {
        self.events.push(PayoutEventRow { at, event, postings: postings_json(&event.postings) });
        let payout = event.id.as_str();
        self.lines.extend((1..).zip(&event.lines).map(|(number, line)| LineRow { at, payout, number, line }));
        set(&mut self.payouts, payout, at, event);
    }

    pub(crate) fn terms(&mut self, at: At, program: &'batch str, terms: &'batch PayoutTerms, removed: bool) {
        set(&mut self.terms, (program, terms.partner.as_str()), at, (terms, removed));
    }

    pub(crate) fn destination(&mut self, at: At, fact: &'batch Fact, destination: &'batch PayoutDestination) {
        let sealed =
            fact.identifiers.iter().find_map(|identifier| match (&identifier.value, identifier.subject) {
                (Personal::Sealed(sealed) | Personal::Erased(sealed), Some(subject)) => {
                    Some((subject, sealed))
                }
                // An open value never reaches the log; if one did, it would not go further.
                _ => None,
            });
        let row = DestinationRow { method: &destination.method, sealed };
        set(&mut self.destinations, (fact.program.as_str(), destination.partner.as_str()), at, row);
    }
}

#[derive(Serialize)]
struct ClaimJson {
    commission_id: String,
    amount_minor: i64,
}

/// The commissions whose debt was given up, as JSON.
pub(crate) fn claims_json(written_off: &DebtWrittenOff) -> String {
    let claims: Vec<ClaimJson> = written_off
        .claims
        .iter()
        .map(|(commission, amount)| ClaimJson {
            commission_id: clean(commission.as_str()),
            amount_minor: amount.0,
        })
        .collect();
    // Plain data always encodes.
    serde_json::to_string(&claims).unwrap_or_else(|_| "[]".to_owned())
}

/// The least amounts by currency, as JSON.
pub(crate) fn minimums_json(terms: &PayoutTerms) -> String {
    let minimums: BTreeMap<&str, i64> =
        terms.minimums.iter().map(|(currency, amount)| (currency.code(), amount.0)).collect();
    // Plain data always encodes.
    serde_json::to_string(&minimums).unwrap_or_else(|_| "{}".to_owned())
}

//! What rows of payouts must say: as `expected.rs`, for their tables.
use super::expected::{Configured, Written, ended, hex, legs, moment, number, text};
use domain::commission::{DebtWrittenOff, OffsetRecorded, PayoutEvent, RateRecorded};
use domain::facts::{Fact, Personal};
use domain::payouts::{PayoutDestination, PayoutTerms};
use domain::time::Micros;
use readmodel::audit::{Cells, as_stored};

/// Where a partner is paid, sealed.
#[derive(Debug)]
pub(super) struct Destination {
    partner: String,
    method: String,
    /// Subject, key and ciphertext, as hex.
    pub(super) sealed: Option<[String; 3]>,
}

impl Destination {
    /// As the log has it.
    pub(super) fn of(fact: &Fact, destination: &PayoutDestination) -> Self {
        let sealed = fact.identifiers.iter().find_map(|identifier| {
            let subject = identifier.subject?;
            match &identifier.value {
                Personal::Sealed(value) | Personal::Erased(value) => {
                    Some([hex(&subject.0), hex(&value.key_id), hex(&value.ciphertext)])
                }
                Personal::Open(_) => None,
            }
        });
        Self { partner: destination.partner.0.clone(), method: destination.method.clone(), sealed }
    }
}

/// `payout_rows`: what the draft says, and where its last event left it.
pub(super) fn payout(first: &PayoutEvent, last: &PayoutEvent, seq: u64, written: Written) -> Cells {
    vec![
        text(first.id.as_str()),
        text(first.program.as_str()),
        text(first.partner.as_str()),
        text(last.kind.name()),
        text(first.currency.code()),
        number(first.total.0),
        text(first.paid_currency.code()),
        number(first.paid.0),
        first.rate.as_ref().map(|rate| as_stored(rate.as_str())),
        number(seq),
        moment(written.created),
        moment(written.updated),
    ]
}

/// `payout_event_rows`.
pub(super) fn event(event: &PayoutEvent, clock: Micros) -> Cells {
    vec![
        text(event.id.as_str()),
        text(event.program.as_str()),
        text(event.partner.as_str()),
        text(event.kind.name()),
        text(event.currency.code()),
        number(event.total.0),
        text(event.paid_currency.code()),
        number(event.paid.0),
        event.rate.as_ref().map(|rate| as_stored(rate.as_str())),
        legs(&event.postings),
        event.cause.as_ref().map(|cause| as_stored(cause.as_str())),
        text(&event.reference),
        text(&event.reason),
        text(&event.actor),
        moment(clock),
    ]
}

/// `offset_rows`.
pub(super) fn offset(offset: &OffsetRecorded, clock: Micros) -> Cells {
    vec![
        text(offset.program.as_str()),
        text(offset.partner.as_str()),
        text(offset.currency.code()),
        text(offset.commission.as_str()),
        text(offset.debt_of.as_str()),
        number(offset.amount.0),
        offset.cause.as_ref().map(|cause| as_stored(cause.as_str())),
        moment(clock),
    ]
}

/// `write_off_rows`.
pub(super) fn write_off(event: &DebtWrittenOff, clock: Micros) -> Cells {
    let claims: Vec<String> = event
        .claims
        .iter()
        .map(|(commission, amount)| format!("{} {}", as_stored(commission.as_str()), amount.0))
        .collect();
    vec![
        text(event.program.as_str()),
        text(event.partner.as_str()),
        text(event.currency.code()),
        number(event.amount.0),
        Some(claims.join(", ")),
        legs(&event.postings),
        text(event.cause.as_str()),
        text(&event.reason),
        text(&event.actor),
        moment(clock),
    ]
}

/// `fx_rate_rows`.
pub(super) fn rate(recorded: &RateRecorded, clock: Micros) -> Cells {
    let rate = &recorded.rate;
    vec![
        text(recorded.program.as_str()),
        text(rate.id.as_str()),
        text(rate.from.code()),
        text(rate.to.code()),
        number(rate.mantissa),
        number(rate.exponent),
        number(rate.spread_ppm),
        text(recorded.event.as_str()),
        text(&rate.actor),
        moment(clock),
    ]
}

/// `payout_terms_rows`.
pub(super) fn terms(program: &str, row: &Configured<PayoutTerms>) -> Cells {
    let object = &row.object;
    let mut minimums: Vec<String> =
        object.minimums.iter().map(|(currency, least)| format!("{} {}", currency.code(), least.0)).collect();
    minimums.sort_unstable();
    let cells = vec![
        text(program),
        text(object.partner.as_str()),
        text(object.schedule.name()),
        number(object.schedule.day()),
        Some(minimums.join(", ")),
        object.pay_in.map(|currency| currency.code().to_owned()),
    ];
    ended(cells, row.removed, row.written)
}

/// `payout_destination_rows`.
pub(super) fn destination(program: &str, row: &Configured<Destination>) -> Cells {
    let object = &row.object;
    let mut cells = vec![text(program), text(&object.partner), text(&object.method)];
    cells.extend(object.sealed.clone().unwrap_or_default().map(Some));
    ended(cells, row.removed, row.written)
}

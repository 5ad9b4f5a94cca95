//! What rows of payouts must say: as `expected.rs`, for their tables.
use super::expected::{Configured, Written, ended, hex, moment, number, some_text, text};
use domain::commission::{DebtWrittenOff, OffsetRecorded, PayoutEvent, RateRecorded};
use domain::facts::{Fact, Personal};
use domain::payouts::{PayoutDestination, PayoutTerms};
use domain::time::Micros;
use readmodel::audit::{Cell, Cells, as_stored};

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
pub(super) fn payout<'a>(
    first: &'a PayoutEvent,
    last: &'a PayoutEvent,
    seq: u64,
    written: Written,
) -> Cells<'a> {
    vec![
        text(first.id.as_str()),
        text(first.program.as_str()),
        text(first.partner.as_str()),
        text(last.kind.name()),
        text(first.currency.code()),
        number(first.total.0),
        text(first.paid_currency.code()),
        number(first.paid.0),
        some_text(first.rate.as_ref().map(|rate| rate.as_str())),
        number(seq),
        moment(written.created),
        moment(written.updated),
    ]
}

/// `payout_event_rows`.
pub(super) fn event(event: &PayoutEvent, clock: Micros) -> Cells<'_> {
    vec![
        text(event.id.as_str()),
        text(event.program.as_str()),
        text(event.partner.as_str()),
        text(event.kind.name()),
        text(event.currency.code()),
        number(event.total.0),
        text(event.paid_currency.code()),
        number(event.paid.0),
        some_text(event.rate.as_ref().map(|rate| rate.as_str())),
        Cell::Legs(&event.postings),
        some_text(event.cause.as_ref().map(|cause| cause.as_str())),
        text(&event.reference),
        text(&event.reason),
        text(&event.actor),
        moment(clock),
    ]
}

/// `offset_rows`.
pub(super) fn offset(offset: &OffsetRecorded, clock: Micros) -> Cells<'_> {
    vec![
        text(offset.program.as_str()),
        text(offset.partner.as_str()),
        text(offset.currency.code()),
        text(offset.commission.as_str()),
        text(offset.debt_of.as_str()),
        number(offset.amount.0),
        some_text(offset.cause.as_ref().map(|cause| cause.as_str())),
        moment(clock),
    ]
}

/// `write_off_rows`.
pub(super) fn write_off(event: &DebtWrittenOff, clock: Micros) -> Cells<'_> {
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
        Cell::Text(claims.join(", ").into()),
        Cell::Legs(&event.postings),
        text(event.cause.as_str()),
        text(&event.reason),
        text(&event.actor),
        moment(clock),
    ]
}

/// `fx_rate_rows`.
pub(super) fn rate(recorded: &RateRecorded, clock: Micros) -> Cells<'_> {
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
pub(super) fn terms<'a>(program: &'a str, row: &'a Configured<PayoutTerms>) -> Cells<'a> {
    let object = &row.object;
    let mut minimums: Vec<String> =
        object.minimums.iter().map(|(currency, least)| format!("{} {}", currency.code(), least.0)).collect();
    minimums.sort_unstable();
    let cells = vec![
        text(program),
        text(object.partner.as_str()),
        text(object.schedule.name()),
        number(object.schedule.day()),
        Cell::Text(minimums.join(", ").into()),
        object.pay_in.map_or(Cell::Null, |currency| Cell::Text(currency.code().to_owned().into())),
    ];
    ended(cells, row.removed, row.written)
}

/// `payout_destination_rows`.
pub(super) fn destination<'a>(program: &'a str, row: &'a Configured<Destination>) -> Cells<'a> {
    let object = &row.object;
    let mut cells = vec![text(program), text(&object.partner), text(&object.method)];
    match &object.sealed {
        Some(sealed) => cells.extend(sealed.iter().map(|part| text(part))),
        None => cells.extend([""; 3].map(text)),
    }
    ended(cells, row.removed, row.written)
}

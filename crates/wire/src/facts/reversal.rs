//! Refunds and disputes.
use super::MESSAGE;
use crate::common::{currency, number};
use crate::unknown::Unknown;
use crate::v1;
use crate::write::Writer;
use domain::facts::{Reversal, ReversalFamily, ReversalLine, ReversalState};
use domain::money::Minor;

pub(super) fn write(w: &mut Writer, reversal: &Reversal) {
    w.text(1, &reversal.sale_external_id);
    w.text(2, reversal.currency.code());
    w.int(3, reversal.gross.0);
    w.maybe_int(4, reversal.net.map(|net| net.0));
    for line in &reversal.lines {
        w.message(5, |w| {
            w.text(1, &line.line_id);
            w.int(2, line.net.0);
        });
    }
    w.number(6, family_number(reversal.family));
    w.number(7, state_number(reversal.state));
    reversal.sale_aliases.iter().for_each(|alias| w.present(8, alias.as_bytes()));
}

pub(super) fn read(reversal: v1::Reversal) -> Result<Reversal, Unknown> {
    Ok(Reversal {
        sale_external_id: reversal.sale_external_id,
        currency: currency(MESSAGE, &reversal.currency)?,
        gross: Minor(reversal.gross_minor),
        net: reversal.net_minor.map(Minor),
        lines: reversal
            .lines
            .into_iter()
            .map(|line| ReversalLine { line_id: line.line_id, net: Minor(line.net_minor) })
            .collect(),
        family: family(MESSAGE, reversal.family)?,
        state: state(MESSAGE, reversal.state)?,
        sale_aliases: reversal.sale_aliases,
    })
}

pub(crate) const fn family_number(family: ReversalFamily) -> v1::ReversalFamily {
    match family {
        ReversalFamily::Refund => v1::ReversalFamily::Refund,
        ReversalFamily::Chargeback => v1::ReversalFamily::Chargeback,
        ReversalFamily::ChargebackReverse => v1::ReversalFamily::ChargebackReverse,
        ReversalFamily::RefundTotal => v1::ReversalFamily::RefundTotal,
        ReversalFamily::ChargebackWarning => v1::ReversalFamily::ChargebackWarning,
    }
}

pub(crate) fn family(message: &'static str, value: i32) -> Result<ReversalFamily, Unknown> {
    match number(message, "reversal family", value)? {
        v1::ReversalFamily::Refund => Ok(ReversalFamily::Refund),
        v1::ReversalFamily::Chargeback => Ok(ReversalFamily::Chargeback),
        v1::ReversalFamily::ChargebackReverse => Ok(ReversalFamily::ChargebackReverse),
        v1::ReversalFamily::RefundTotal => Ok(ReversalFamily::RefundTotal),
        v1::ReversalFamily::ChargebackWarning => Ok(ReversalFamily::ChargebackWarning),
        v1::ReversalFamily::Unspecified => Err(Unknown::value(message, "reversal family", value)),
    }
}

pub(crate) const fn state_number(state: ReversalState) -> v1::ReversalState {
    match state {
        ReversalState::Pending => v1::ReversalState::Pending,
        ReversalState::Live => v1::ReversalState::Live,
        ReversalState::Dead => v1::ReversalState::Dead,
    }
}

pub(crate) fn state(message: &'static str, value: i32) -> Result<ReversalState, Unknown> {
    match number(message, "reversal state", value)? {
        v1::ReversalState::Pending => Ok(ReversalState::Pending),
        v1::ReversalState::Live => Ok(ReversalState::Live),
        v1::ReversalState::Dead => Ok(ReversalState::Dead),
        v1::ReversalState::Unspecified => Err(Unknown::value(message, "reversal state", value)),
    }
}

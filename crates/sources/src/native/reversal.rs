//! Refunds and disputes.
use super::schema::{Field, Kind, Refused, Values};
use super::{Event, KEY, MOST_LINES, OCCURRED_AT, currency, event, may, money, must};
use domain::facts::{FactBody, Reversal, ReversalFamily, ReversalLine, ReversalState};

const REFUNDED_LINE: [Field; 2] = [
    must("line_id", Kind::Id, "the sale's line"),
    must("net", Kind::Amount, "what went back of it, without tax"),
];
pub(super) const REFUND: [Field; 9] = [
    must("external_id", Kind::Id, "the refund's own id"),
    must("sale_external_id", Kind::Id, "the sale's `external_id`, or one of its `aliases`"),
    must("amount", Kind::Amount, "what went back with this refund, tax included"),
    must("currency", Kind::Currency, "the sale's"),
    may("net", Kind::Amount, "its part without tax; at most `amount`"),
    may("lines", Kind::List { of: &REFUNDED_LINE, most: MOST_LINES }, "the lines that it is for"),
    may(
        "state",
        Kind::Word(&["pending", "live", "failed"]),
        "`pending` counts nothing yet, `failed` never did; absent: `live`",
    ),
    OCCURRED_AT,
    KEY,
];
pub(super) const DISPUTE: [Field; 8] = [
    must("external_id", Kind::Id, "the dispute's own id"),
    must("sale_external_id", Kind::Id, "the sale's `external_id`, or one of its `aliases`"),
    must("amount", Kind::Amount, "what is disputed, tax included"),
    must("currency", Kind::Currency, "the sale's"),
    may("net", Kind::Amount, "its part without tax; at most `amount`"),
    must(
        "state",
        Kind::Word(&["open", "won", "lost"]),
        "`open` holds the commission, `lost` takes it back, `won` releases it; in any order",
    ),
    OCCURRED_AT,
    KEY,
];

/// A refund or a dispute, in one state.
pub(super) fn reversal(values: &Values, family: ReversalFamily) -> Result<Event, Refused> {
    let (gross, net) = money(values)?;
    let word = values.text("state").unwrap_or("live");
    let state = match word {
        "pending" | "open" => ReversalState::Pending,
        "failed" | "won" => ReversalState::Dead,
        _ => ReversalState::Live,
    };
    let lines = values.list("lines").iter().map(|line| ReversalLine {
        line_id: line.owned("line_id"),
        net: line.amount("net").unwrap_or_default(),
    });
    let body = FactBody::Reversal(Reversal {
        sale_external_id: values.owned("sale_external_id"),
        currency: currency(values)?,
        gross,
        net,
        lines: lines.collect(),
        family,
        state,
        sale_aliases: Vec::new(),
    });
    Ok(event(values.owned("external_id"), word, body))
}

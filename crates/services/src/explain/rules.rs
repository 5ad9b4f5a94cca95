//! What was frozen, which rules were passed over, and how N follows from it.
use super::moment::rfc3339;
use super::{Arithmetic, Cap, Considered, Division, Flat, Slice, Split, Terms};
use domain::commission::workings::{RATE_DIVISOR, Workings};
use domain::commission::{CommissionEvent, CommissionEventKind, Division as Divided, Terms as Frozen};
use domain::rules::Why;

/// The frozen terms.
pub(super) fn terms(terms: &Frozen) -> Terms {
    let caps = terms.caps.iter().map(|cap| Cap {
        rule_id: cap.rule.0.clone(),
        scope: cap.scope.name(),
        of: cap.of.clone(),
        period: cap.period.name(),
        limit_minor: cap.limit.amount.0,
        currency: cap.limit.currency.code().to_owned(),
    });
    let considered = terms.considered.iter().map(|passed| {
        let (field, operator) = match &passed.why {
            Why::Condition(field, operator) => (Some(field.clone()), Some(operator.clone())),
            _ => (None, None),
        };
        Considered {
            rule_id: passed.rule.rule.0.clone(),
            rule_version: passed.rule.version,
            why: passed.why.name(),
            field,
            operator,
        }
    });
    Terms {
        origin: terms.origin.name(),
        split: terms.split.as_ref().map(|split| Split {
            part: split.part.saturating_add(1),
            weights: split.weights.clone(),
            whole_minor: split.whole.0,
        }),
        rule_id: terms.rule.0.clone(),
        rule_version: terms.rule_version,
        rounding: terms.rounding.name(),
        hold_until: rfc3339(terms.hold_until),
        manual_approval: terms.manual_approval,
        uncapped_minor: terms.uncapped.0,
        caps: caps.collect(),
        considered: considered.collect(),
        considered_more: terms.considered_more,
    }
}

/// The numbers behind N. At creation nothing is taken: what waited for the sale follows in an event of its own.
pub(super) fn arithmetic(
    worked: &Workings,
    divided: Option<&Divided>,
    event: &CommissionEvent,
) -> Arithmetic {
    let mut worked = worked.clone();
    if event.kind == CommissionEventKind::Created {
        for slice in &mut worked.slices {
            slice.left = slice.base;
        }
        worked.flat = worked.flat.map(|(flat, _)| (flat, domain::money::Minor::ZERO));
    }
    let terms = &worked.terms;
    // They are the frozen slices, in their order.
    let slices = worked.slices.iter().zip(&terms.slices).map(|(slice, frozen)| Slice {
        line_id: slice.line_id.clone(),
        base_minor: slice.base.0,
        taken_minor: slice.base.0.saturating_sub(slice.left.0),
        left_minor: slice.left.0,
        rate_ppm: slice.rate.0,
        rule_id: frozen.rule.as_ref().map_or(&terms.rule, |named| &named.rule).0.clone(),
        rule_version: frozen.rule.as_ref().map_or(terms.rule_version, |named| named.version),
        higher_band: frozen.higher_band,
    });
    Arithmetic {
        base_currency: worked.sale.currency.code().to_owned(),
        slices: slices.collect(),
        sum: worked.sum().to_string(),
        divisor: RATE_DIVISOR,
        rounding: worked.rounding().name(),
        rounded_minor: worked.rounded().map_or(0, |rounded| rounded.0),
        flat: worked.flat.map(|(flat, taken)| Flat {
            amount_minor: flat.amount.0,
            currency: flat.currency.code().to_owned(),
            on_refund: flat.on_refund.name(),
            base_minor: worked.sale.base.0,
            taken_minor: taken.0,
        }),
        division: divided.map(|divided| division(divided, event)),
        gross_minor: event.gross.0,
        net_minor: event.gross.0.saturating_sub(event.reversed.0),
    }
}

/// At creation the whole is divided as it was granted: what waited for the sale follows in an event of its own.
fn division(divided: &Divided, event: &CommissionEvent) -> Division {
    let Divided { split, net, granted, parts } = divided;
    let is_new = event.kind == CommissionEventKind::Created;
    let parts = if is_new { granted } else { parts };
    Division {
        whole_minor: split.whole.0,
        net_minor: if is_new { split.whole.0 } else { net.0 },
        weights: split.weights.clone(),
        parts_minor: parts.iter().map(|part| part.0).collect(),
        part: split.part.saturating_add(1),
    }
}

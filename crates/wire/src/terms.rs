//! The frozen terms of a commission.
use crate::commissions::{slices, write_slices};
use crate::common::currency;
use crate::rules::{limit, period, scope, write_limit};
use crate::unknown::Unknown;
use crate::v1;
use crate::write::Writer;
use domain::commission::{CapUse, FlatTerms, Origin, Split, Terms};
use domain::config::FlatRefund;
use domain::money::Minor;
use domain::rules::{Considered, RuleRef, Why};
use domain::time::Micros;

const MESSAGE: &str = "terms of a commission";

pub(crate) fn write(w: &mut Writer, terms: &Terms, gross: Minor) {
    w.text(1, terms.rule.as_str());
    w.uint(2, u64::from(terms.rule_version));
    w.text(3, terms.rounding.name());
    write_slices(w, 4, &terms.slices);
    w.int(5, terms.hold_until.0);
    w.flag(6, terms.manual_approval);
    if let Some(flat) = &terms.flat {
        w.message(7, |w| {
            w.int(1, flat.amount.0);
            w.text(2, flat.currency.code());
            w.text(3, flat.on_refund.name());
        });
    }
    for cap in &terms.caps {
        w.message(8, |w| {
            w.text(1, cap.rule.as_str());
            w.text(2, cap.scope.name());
            w.text(3, &cap.of);
            w.text(4, cap.period.name());
            w.int(5, cap.number);
            w.message(6, |w| write_limit(w, &cap.limit));
        });
    }
    w.int(9, if terms.uncapped == gross { 0 } else { terms.uncapped.0 });
    for passed in &terms.considered {
        w.message(10, |w| {
            w.text(1, passed.rule.rule.as_str());
            w.uint(2, u64::from(passed.rule.version));
            w.text(3, passed.why.name());
            if let Why::Condition(field, operator) = &passed.why {
                w.text(4, field);
                w.text(5, operator);
            }
        });
    }
    w.uint(11, u64::from(terms.considered_more));
    if let Some(split) = &terms.split {
        let weights: Vec<i64> = split.weights.iter().map(|weight| i64::from(*weight)).collect();
        w.message(12, |w| {
            w.uint(1, u64::from(split.part));
            w.packed(2, &weights);
            w.int(3, split.whole.0);
        });
    }
    if terms.origin != Origin::default() {
        w.text(13, terms.origin.name());
    }
}

pub(crate) fn read(terms: v1::Terms, gross: Minor) -> Result<Terms, Unknown> {
    Ok(Terms {
        rule: terms.rule_id.into(),
        rule_version: terms.rule_version,
        rounding: crate::config::rounding(MESSAGE, &terms.rounding)?,
        slices: slices(terms.slices),
        hold_until: Micros(terms.hold_until_micros),
        manual_approval: terms.manual_approval,
        flat: terms.flat.map(flat).transpose()?,
        caps: terms.caps.into_iter().map(cap).collect::<Result<_, _>>()?,
        uncapped: if terms.uncapped_minor == 0 { gross } else { Minor(terms.uncapped_minor) },
        considered: terms.considered.into_iter().map(considered).collect::<Result<_, _>>()?,
        considered_more: terms.considered_more,
        split: terms.split.map(|split| Split {
            part: split.part,
            weights: split.weights,
            whole: Minor(split.whole_minor),
        }),
        origin: match terms.origin.as_str() {
            "" => Origin::default(),
            name => Origin::parse(name).ok_or_else(|| Unknown::value(MESSAGE, "origin", name))?,
        },
    })
}

fn flat(flat: v1::FlatTerms) -> Result<FlatTerms, Unknown> {
    Ok(FlatTerms {
        amount: Minor(flat.amount_minor),
        currency: currency(MESSAGE, &flat.currency)?,
        on_refund: FlatRefund::parse(&flat.on_refund)
            .ok_or_else(|| Unknown::value(MESSAGE, "refund of a flat reward", &flat.on_refund))?,
    })
}

fn cap(cap: v1::CapUse) -> Result<CapUse, Unknown> {
    Ok(CapUse {
        scope: scope(&cap.scope)?,
        period: period(&cap.period)?,
        limit: limit(cap.limit.as_ref().ok_or(Unknown::field(MESSAGE, "limit"))?)?,
        rule: cap.rule_id.into(),
        of: cap.of,
        number: cap.number,
    })
}

fn considered(passed: v1::ConsideredRule) -> Result<Considered, Unknown> {
    let why = match passed.why.as_str() {
        "condition" => Why::Condition(passed.field, passed.operator),
        "window" => Why::Window,
        "minimum" => Why::Minimum,
        "priority" => Why::Priority,
        "specificity" => Why::Specificity,
        "age" => Why::Age,
        "takes_all" => Why::TakesAll,
        _ => return Err(Unknown::value(MESSAGE, "why", &passed.why)),
    };
    Ok(Considered { rule: RuleRef { rule: passed.rule_id.into(), version: passed.rule_version }, why })
}

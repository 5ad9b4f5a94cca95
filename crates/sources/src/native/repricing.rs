//! Other terms for a commission: what `replay --what-if --accept` sends. Written and read here, so that both agree.
use super::decision::{ACTOR, actor, stated};
use super::schema::{Field, Kind, Refused, Values};
use super::{Event, KEY, MOST_LINES, currency, event, may, must};
use crate::defect::reason;
use domain::attribution::SaleKey;
use domain::commission::{CapUse, FlatTerms, Origin, Slice, Split, Terms};
use domain::config::FlatRefund;
use domain::facts::{Command, CommandKind, FactBody, Reprice};
use domain::ids::CommissionId;
use domain::money::{RatePpm, Rounding};
use domain::rules::{CapScope, Limit, MAX_BANDS, MAX_CAPS, Period, RuleRef};
use serde_json::{Value, json};

const VERSION: Kind = Kind::Number { least: 0, most: 0xffff_ffff };
const SALE: [Field; 2] = [
    must("source", Kind::Id, "where it came from"),
    must("external_id", Kind::Text, "its id there; of what is no sale with its kind before it"),
];
const SLICE: [Field; 6] = [
    may("line_id", Kind::Text, "absent: the whole sale"),
    must("base", Kind::Amount, "its base"),
    must("rate_ppm", Kind::Number { least: 0, most: 1_000_000 }, "its rate in parts per million"),
    may("rule_id", Kind::Id, "the rule that pays it, where that is not the first"),
    may("rule_version", VERSION, "that rule's version"),
    may("higher_band", Kind::Flag, "it is the next band of the line before it; absent: false"),
];
const FLAT: [Field; 3] = [
    must("amount", Kind::Amount, "for the whole conversion"),
    must("currency", Kind::Currency, "the commission's"),
    must("on_refund", Kind::Word(&["full_only", "proportional", "any"]), "what a refund takes back"),
];
const CAP: [Field; 7] = [
    must("rule_id", Kind::Id, "whose cap"),
    must("scope", Kind::Word(&["partner", "customer", "program"]), "whose commissions count together"),
    may("of", Kind::Text, "the partner's or customer's id; absent: the program"),
    must("period", Kind::Word(&["day", "week", "month", "quarter", "year", "ever"]), "the kind of period"),
    must("number", Kind::Signed { least: i32::MIN, most: i32::MAX }, "which one"),
    must("amount", Kind::Amount, "how much at most"),
    must("currency", Kind::Currency, "the amount's"),
];
const WEIGHT: [Field; 1] = [must("weight", VERSION, "against the sum of all")];
const SPLIT: [Field; 3] = [
    must("part", VERSION, "its place among the weights, from 0"),
    must("weights", Kind::List { of: &WEIGHT, most: 100 }, "of all parts, the earliest touch first"),
    must("whole", Kind::Amount, "what all parts come to"),
];
const TERMS: [Field; 10] = [
    must("rule_id", Kind::Id, "the rule"),
    must("rule_version", VERSION, "its version"),
    must("rounding", Kind::Word(&["half_even", "half_up", "floor"]), "how N rounds"),
    must("slices", Kind::List { of: &SLICE, most: MOST_LINES * MAX_BANDS }, "base and rate by line and band"),
    must("hold_until", Kind::Moment, "when the time hold ends"),
    may("manual_approval", Kind::Flag, "a person approves it; absent: false"),
    may("flat", Kind::Object(&FLAT), "a flat reward"),
    may("caps", Kind::List { of: &CAP, most: MAX_CAPS }, "what it counts towards"),
    must("uncapped", Kind::Amount, "G without caps"),
    may("split", Kind::Object(&SPLIT), "which part it is of what the sale earns; absent: all"),
];
pub(super) const REPRICING: [Field; 11] = [
    must("commission_id", Kind::Id, "which commission, or the id that it would have"),
    must("sale", Kind::Object(&SALE), "its sale"),
    must("partner_id", Kind::Id, "who earns it"),
    must("currency", Kind::Currency, "the commission's own"),
    must("expected_net", Kind::Amount, "N as the forecast found it; 0 also where there is no commission"),
    must("net", Kind::Amount, "N as the forecast has it"),
    must("gross", Kind::Amount, "G as the forecast has it"),
    must("terms", Kind::Object(&TERMS), "what it freezes"),
    must("reason", Kind::Text, "why"),
    ACTOR,
    KEY,
];

/// A repricing.
pub(super) fn repricing(values: &Values, authenticated_by: &str) -> Result<Event, Refused> {
    let missing = |field: &str| Refused::new(reason::MISSING_FIELD, field, format!("{field} is missing"));
    let amount = |name| values.amount(name).unwrap_or_default();
    let sale = values.object("sale").ok_or_else(|| missing("sale"))?;
    let terms = values.object("terms").ok_or_else(|| missing("terms"))?;
    let (gross, net) = (amount("gross"), amount("net"));
    if net > gross {
        return Err(Refused::new(reason::CONTRADICTORY, "net", "net is more than gross"));
    }
    let reprice = Reprice {
        sale: SaleKey {
            source: sale.owned("source").as_str().into(),
            external_id: sale.owned("external_id"),
        },
        partner: values.owned("partner_id").into(),
        currency: currency(values)?,
        expected_net: amount("expected_net"),
        net,
        gross,
        terms: self::terms(terms)?,
    };
    let commission = values.owned("commission_id");
    let command = Command {
        kind: CommandKind::Reprice,
        commission: CommissionId(commission.clone()),
        reason: stated(values, CommandKind::Reprice)?,
        actor: actor(values, authenticated_by),
        hold: String::new(),
        adjustment: None,
        reprice: Some(Box::new(reprice)),
    };
    Ok(event(commission, "repriced", FactBody::Command(command)))
}

fn terms(values: &Values) -> Result<Terms, Refused> {
    let at = |field: &str| {
        let message = format!("{field} cannot be used");
        Refused::new(reason::BAD_FIELD, format!("terms.{field}"), message)
    };
    let version = |values: &Values, name| values.number(name).and_then(|number| u32::try_from(number).ok());
    let slices = values.list("slices").iter().map(|slice| Slice {
        line_id: slice.owned("line_id"),
        base: slice.amount("base").unwrap_or_default(),
        rate: RatePpm(slice.number("rate_ppm").and_then(|rate| i64::try_from(rate).ok()).unwrap_or_default()),
        rule: slice.text("rule_id").map(|rule| RuleRef {
            rule: rule.into(),
            version: version(slice, "rule_version").unwrap_or_default(),
        }),
        higher_band: slice.flag("higher_band").unwrap_or(false),
    });
    let flat = values.object("flat").map(|flat| {
        Some(FlatTerms {
            amount: flat.amount("amount")?,
            currency: flat.currency("currency")?,
            on_refund: flat.text("on_refund").and_then(FlatRefund::parse)?,
        })
    });
    let caps = values.list("caps").iter().map(|cap| {
        Some(CapUse {
            rule: cap.owned("rule_id").into(),
            scope: cap.text("scope").and_then(CapScope::parse)?,
            of: cap.owned("of"),
            period: cap.text("period").and_then(Period::parse)?,
            number: cap.signed("number").map(i64::from)?,
            limit: Limit { amount: cap.amount("amount")?, currency: cap.currency("currency")? },
        })
    });
    let split = values.object("split").map(|split| {
        let weights = split.list("weights").iter().map(|of| version(of, "weight"));
        let (part, weights) = (version(split, "part")?, weights.collect::<Option<Vec<u32>>>()?);
        let is_part = usize::try_from(part).is_ok_and(|part| part < weights.len());
        is_part.then_some(Split { part, weights, whole: split.amount("whole")? })
    });
    Ok(Terms {
        rule: values.owned("rule_id").into(),
        rule_version: version(values, "rule_version").unwrap_or_default(),
        rounding: values.text("rounding").and_then(Rounding::parse).ok_or_else(|| at("rounding"))?,
        slices: slices.collect(),
        hold_until: values.moment("hold_until").unwrap_or_default(),
        manual_approval: values.flag("manual_approval").unwrap_or(false),
        flat: flat.map(|flat| flat.ok_or_else(|| at("flat"))).transpose()?,
        caps: caps.collect::<Option<_>>().ok_or_else(|| at("caps"))?,
        uncapped: values.amount("uncapped").unwrap_or_default(),
        considered: Vec::new(),
        considered_more: 0,
        split: split.map(|split| split.ok_or_else(|| at("split"))).transpose()?,
        origin: Origin::Conversion,
    })
}

/// The body that says this command; `None`: it reprices nothing. `actor`: who asks, beside the key.
#[must_use]
pub fn body(command: &Command, actor: &str) -> Option<String> {
    let Reprice { sale, partner, currency, expected_net, net, gross, terms } = command.reprice.as_deref()?;
    let mut body = json!({
        "commission_id": command.commission.as_str(),
        "sale": { "source": sale.source.as_str(), "external_id": sale.external_id },
        "partner_id": partner.as_str(),
        "currency": currency.code(),
        "expected_net": expected_net.0,
        "net": net.0,
        "gross": gross.0,
        "terms": written(terms)?,
        "reason": command.reason,
    });
    if !actor.is_empty() {
        body["actor"] = json!(actor);
    }
    Some(body.to_string())
}

fn written(terms: &Terms) -> Option<Value> {
    let slices = terms.slices.iter().map(|slice| {
        let mut written = json!({ "base": slice.base.0, "rate_ppm": slice.rate.0 });
        if !slice.line_id.is_empty() {
            written["line_id"] = json!(slice.line_id);
        }
        if let Some(rule) = &slice.rule {
            written["rule_id"] = json!(rule.rule.as_str());
            written["rule_version"] = json!(rule.version);
        }
        if slice.higher_band {
            written["higher_band"] = json!(true);
        }
        written
    });
    let caps = terms.caps.iter().map(|cap| {
        let mut written = json!({
            "rule_id": cap.rule.as_str(),
            "scope": cap.scope.name(),
            "period": cap.period.name(),
            "number": cap.number,
            "amount": cap.limit.amount.0,
            "currency": cap.limit.currency.code(),
        });
        if !cap.of.is_empty() {
            written["of"] = json!(cap.of);
        }
        written
    });
    let mut written = json!({
        "rule_id": terms.rule.as_str(),
        "rule_version": terms.rule_version,
        "rounding": terms.rounding.name(),
        "slices": slices.collect::<Vec<_>>(),
        "hold_until": crate::moment::written(terms.hold_until)?,
        "manual_approval": terms.manual_approval,
        "caps": caps.collect::<Vec<_>>(),
        "uncapped": terms.uncapped.0,
    });
    if let Some(flat) = &terms.flat {
        written["flat"] = json!({
            "amount": flat.amount.0,
            "currency": flat.currency.code(),
            "on_refund": flat.on_refund.name(),
        });
    }
    if let Some(split) = &terms.split {
        let weights: Vec<Value> = split.weights.iter().map(|weight| json!({ "weight": weight })).collect();
        written["split"] = json!({ "part": split.part, "weights": weights, "whole": split.whole.0 });
    }
    Some(written)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::{Resource, validate};
    use super::*;
    use domain::money::{Currency, Minor};
    use domain::time::Micros;

    fn command() -> Command {
        let usd = Currency::parse("USD").unwrap();
        let cap = CapUse {
            rule: "rule_1".into(),
            scope: CapScope::Program,
            of: String::new(),
            period: Period::Day,
            number: -3,
            limit: Limit { amount: Minor(10_000), currency: usd },
        };
        let terms = Terms {
            rule: "rule_1".into(),
            rule_version: 3,
            rounding: Rounding::Floor,
            slices: vec![
                Slice { base: Minor(100), rate: RatePpm(0), ..Slice::default() },
                Slice {
                    line_id: "line_1".into(),
                    base: Minor(50),
                    rate: RatePpm(200_000),
                    rule: Some(RuleRef { rule: "rule_2".into(), version: 7 }),
                    higher_band: true,
                },
            ],
            hold_until: Micros(1_800_000_000_002_001),
            manual_approval: true,
            flat: Some(FlatTerms { amount: Minor(500), currency: usd, on_refund: FlatRefund::Any }),
            caps: vec![CapUse { scope: CapScope::Partner, of: "ptn_john".into(), ..cap.clone() }, cap],
            uncapped: Minor(900),
            considered: Vec::new(),
            considered_more: 0,
            split: Some(Split { part: 1, weights: vec![400_000, 600_000], whole: Minor(700) }),
            origin: Origin::Conversion,
        };
        let reprice = Reprice {
            sale: SaleKey { source: "paddle".into(), external_id: "txn_1".into() },
            partner: "ptn_john".into(),
            currency: usd,
            expected_net: Minor(10),
            net: Minor(20),
            gross: Minor(500),
            terms,
        };
        Command {
            kind: CommandKind::Reprice,
            commission: "com_1".into(),
            reason: "what if".into(),
            actor: "cli (mary)".into(),
            hold: String::new(),
            adjustment: None,
            reprice: Some(Box::new(reprice)),
        }
    }

    #[test]
    fn what_is_written_is_read_as_the_same_command() {
        let written = body(&command(), "mary").unwrap();
        let event = validate(Resource::Repricings, written.as_bytes(), Some("key"), "cli").unwrap();
        assert_eq!(event.body, FactBody::Command(command()));
        assert_eq!((event.object_id.as_str(), event.state.as_str()), ("com_1", "key"));
    }

    #[test]
    fn a_part_that_is_none_and_a_net_above_gross_are_refused_with_their_fields() {
        let written: Value = serde_json::from_str(&body(&command(), "").unwrap()).unwrap();
        let refused = |path: &str, value: Value| {
            let mut written = written.clone();
            *written.pointer_mut(path).unwrap() = value;
            validate(Resource::Repricings, written.to_string().as_bytes(), None, "cli").unwrap_err()
        };
        assert_eq!(refused("/terms/split/part", json!(2)).field, "terms.split");
        assert_eq!(refused("/net", json!(501)).field, "net");
        assert_eq!(refused("/terms/slices/1/rate_ppm", json!(1_000_001)).field, "terms.slices[1].rate_ppm");
        assert_eq!(refused("/reason", json!(" ")).field, "reason");
    }
}

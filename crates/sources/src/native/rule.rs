//! The body of a commission rule. What it means is in `docs/reference/rules.md`.
mod written;

pub use written::written;

use super::schema::{Field, Kind, Refused, Values, refused};
use super::{may, must};
use crate::defect::reason;
use domain::config::{FlatRefund, Reward, Rule};
use domain::ids::RuleId;
use domain::money::{Currency, Minor, RatePpm};
use domain::rules::{
    Band, Cap, CapScope, Clauses, Limit, MAX_BANDS, MAX_CAPS, Metric, Period, Tiers, Window,
};

const RATE: Kind = Kind::Number { least: 1, most: 1_000_000 };
/// Bounds that a number of a window must fit.
const STRETCH: Kind = Kind::Number { least: 1, most: 0xffff_ffff };
/// A million million million: larger totals nobody brings.
const TOTAL: Kind = Kind::Number { least: 0, most: 1_000_000_000_000_000_000 };

const FLAT: [Field; 3] = [
    must("amount", Kind::Amount, "for each conversion; 0 excludes what the rule matches"),
    must("currency", Kind::Currency, "the commission's, whatever the sale's"),
    may(
        "on_refund",
        Kind::Word(&["full_only", "proportional", "any"]),
        "what a refund takes back: all with the full refund, the refunded part, all with any; absent: `full_only`",
    ),
];
const BAND: [Field; 3] = [
    must("from", TOTAL, "from which total on: conversions, or minor units; of the first band 0"),
    may("percent", Kind::Percent, "what the band pays; exactly one of `percent` and `rate_ppm`"),
    may("rate_ppm", RATE, "the same in parts per million"),
];
const TIERS: [Field; 5] = [
    must(
        "metric",
        Kind::Word(&["count", "volume", "revenue"]),
        "what of the partner's conversions is counted",
    ),
    must("period", Kind::Word(&["month", "quarter", "year", "ever"]), "over which calendar period, in UTC"),
    may("prior", Kind::Flag, "the period before counts, which is over; absent: false, the current one"),
    may(
        "marginal",
        Kind::Flag,
        "each band pays for its own part of the base; absent: false, the band that is reached pays for all of it",
    ),
    must("bands", Kind::List { of: &BAND, most: MAX_BANDS }, "from low to high"),
];
const WINDOW: [Field; 2] = [
    may("months", STRETCH, "from the customer's first purchase; exactly one of `months` and `payments`"),
    may("payments", STRETCH, "the customer's first so many"),
];
const MINIMUM: [Field; 2] = [
    must("amount", Kind::Amount, "the least base"),
    must("currency", Kind::Currency, "conversions in others do not get the rule"),
];
const CAP: [Field; 4] = [
    must("scope", Kind::Word(&["partner", "customer", "program"]), "whose commissions count together"),
    must(
        "period",
        Kind::Word(&["day", "week", "month", "quarter", "year", "ever"]),
        "calendar period, in UTC",
    ),
    must("amount", Kind::Amount, "how much at most, net of what refunds take back"),
    must("currency", Kind::Currency, "commissions in others neither count nor are limited"),
];

/// The body's table.
pub const FIELDS: [Field; 10] = [
    may("percent", Kind::Percent, "of the base; exactly one of `percent`, `rate_ppm`, `flat` and `tiers`"),
    may("rate_ppm", RATE, "the same in parts per million: 12.5% is 125000"),
    may("flat", Kind::Object(&FLAT), "the same amount for each conversion"),
    may("tiers", Kind::Object(&TIERS), "percentages by what the partner has brought"),
    may("priority", Kind::Signed { least: i32::MIN, most: i32::MAX }, "higher comes first; absent: 0"),
    may("when", Kind::Condition, "comparisons in groups; absent: always"),
    may("window", Kind::Object(&WINDOW), "how long a customer earns; absent: always"),
    may("minimum", Kind::Object(&MINIMUM), "the least base; absent: none"),
    may("caps", Kind::List { of: &CAP, most: MAX_CAPS }, "what the rule pays at most"),
    may("version", STRETCH, "must be the next one; absent: it becomes the next one"),
];

/// The rule that a body describes. Everything that can be said of it by itself has been checked.
///
/// # Errors
/// [`Refused`], by field.
pub fn rule(id: RuleId, values: &Values) -> Result<Rule, Refused> {
    let (reward, tiers) = paid(values)?;
    if let Some(tiers) = &tiers {
        tiers.validate("tiers").map_err(refused)?;
    }
    let clauses = Clauses {
        priority: values.signed("priority").unwrap_or_default(),
        when: values.condition("when").cloned().unwrap_or_default(),
        window: values.object("window").map(window).transpose()?,
        minimum: values.object("minimum").map(|minimum| limit(minimum, "minimum")).transpose()?,
        caps: caps(values.list("caps"))?,
    };
    clauses.validate().map_err(refused)?;
    // Version 0 asks the normalizer, which knows the versions, for the next one.
    let version = values.number("version").and_then(|version| u32::try_from(version).ok()).unwrap_or(0);
    Ok(Rule { rule: id, version, reward, tiers, clauses })
}

fn paid(values: &Values) -> Result<(Reward, Option<Tiers>), Refused> {
    let given = ["percent", "rate_ppm", "flat", "tiers"].iter().filter(|name| values.has(name)).count();
    if given != 1 {
        let message = "a rule pays exactly one of percent, rate_ppm, flat and tiers";
        return Err(Refused::new(reason::CONTRADICTORY, "percent", message));
    }
    if let Some(tiers) = values.object("tiers") {
        return Ok((Reward::default(), Some(self::tiers(tiers)?)));
    }
    let Some(flat) = values.object("flat") else {
        return Ok((Reward::Percent(rate(values, "")?), None));
    };
    let amount = flat.amount("amount").unwrap_or_default();
    let on_refund = flat.text("on_refund").and_then(FlatRefund::parse).unwrap_or_default();
    Ok((Reward::Flat { amount, currency: currency(flat, "flat")?, on_refund }, None))
}

/// The one rate of an object, however it is written.
fn rate(values: &Values, prefix: &str) -> Result<RatePpm, Refused> {
    let ppm = values.number("rate_ppm").and_then(|rate| RatePpm::new(i64::try_from(rate).ok()?));
    match (values.rate("percent"), ppm) {
        (Some(rate), None) | (None, Some(rate)) => Ok(rate),
        _ => {
            let message = "exactly one of percent and rate_ppm must be there";
            Err(Refused::new(reason::CONTRADICTORY, format!("{prefix}percent"), message))
        }
    }
}

fn tiers(values: &Values) -> Result<Tiers, Refused> {
    let bands = values.list("bands").iter().enumerate().map(|(place, band)| {
        let from = band.number("from").and_then(|from| i64::try_from(from).ok()).unwrap_or_default();
        Ok(Band { from, rate: rate(band, &format!("tiers.bands[{place}]."))? })
    });
    Ok(Tiers {
        metric: word(values, "metric", "tiers", Metric::parse)?,
        period: word(values, "period", "tiers", Period::parse)?,
        prior: values.flag("prior").unwrap_or(false),
        marginal: values.flag("marginal").unwrap_or(false),
        bands: bands.collect::<Result<_, _>>()?,
    })
}

fn window(values: &Values) -> Result<Window, Refused> {
    let number = |name| values.number(name).and_then(|number| u32::try_from(number).ok());
    match (number("months"), number("payments")) {
        (Some(months), None) => Ok(Window::Months(months)),
        (None, Some(payments)) => Ok(Window::Payments(payments)),
        _ => {
            let message = "a window has exactly one of months and payments";
            Err(Refused::new(reason::CONTRADICTORY, "window", message))
        }
    }
}

fn caps(values: &[Values]) -> Result<Vec<Cap>, Refused> {
    let caps = values.iter().enumerate().map(|(place, values)| {
        let at = format!("caps[{place}]");
        Ok(Cap {
            scope: word(values, "scope", &at, CapScope::parse)?,
            period: word(values, "period", &at, Period::parse)?,
            limit: limit(values, &at)?,
        })
    });
    caps.collect()
}

fn limit(values: &Values, at: &str) -> Result<Limit, Refused> {
    let amount: Minor = values.amount("amount").unwrap_or_default();
    Ok(Limit { amount, currency: currency(values, at)? })
}

/// The table has seen to it that it is there.
fn currency(values: &Values, at: &str) -> Result<Currency, Refused> {
    values.currency("currency").ok_or_else(|| missing(at, "currency"))
}

fn word<T>(values: &Values, name: &str, at: &str, parse: fn(&str) -> Option<T>) -> Result<T, Refused> {
    values.text(name).and_then(parse).ok_or_else(|| missing(at, name))
}

fn missing(at: &str, name: &str) -> Refused {
    Refused::new(reason::MISSING_FIELD, format!("{at}.{name}"), format!("{name} is missing"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::schema;
    use super::*;
    use domain::rules::{Comparison, Condition, MAX_DEPTH, Operator, Value};

    fn read(body: &str) -> Result<Rule, Refused> {
        rule("r".into(), &schema::read(&FIELDS, body.as_bytes())?)
    }

    #[test]
    fn a_rule_may_say_everything_that_rules_can() {
        let body = r#"{"tiers":{"metric":"revenue","period":"quarter","marginal":true,
            "bands":[{"from":0,"percent":"10"},{"from":500000,"rate_ppm":125000}]},
            "priority":-3,
            "when":{"any":[{"field":"product","operator":"in","value":["a","b"]},
                {"all":[{"field":"metadata.plan","operator":"starts_with","value":"pro"},
                    {"field":"amount","operator":"greater","value":-1},
                    {"field":"subscription_age_months","operator":"in","value":[0,12]}]}]},
            "window":{"payments":12},"minimum":{"amount":1000,"currency":"EUR"},
            "caps":[{"scope":"customer","period":"ever","amount":50000,"currency":"EUR"}],"version":2}"#;
        let eur = |amount| Limit { amount: Minor(amount), currency: Currency::parse("EUR").unwrap() };
        let test = |field: &str, operator, value| {
            let field = domain::rules::Field::parse(field, "").unwrap();
            Condition::Test(Comparison { field, operator, value })
        };
        let wanted = Rule {
            rule: "r".into(),
            version: 2,
            reward: Reward::default(),
            tiers: Some(Tiers {
                metric: Metric::Revenue,
                period: Period::Quarter,
                prior: false,
                marginal: true,
                bands: vec![
                    Band { from: 0, rate: RatePpm(100_000) },
                    Band { from: 500_000, rate: RatePpm(125_000) },
                ],
            }),
            clauses: Clauses {
                priority: -3,
                when: Condition::Any(vec![
                    test("product", Operator::In, Value::Texts(vec!["a".into(), "b".into()])),
                    Condition::All(vec![
                        test("metadata.plan", Operator::StartsWith, Value::Text("pro".into())),
                        test("amount", Operator::Greater, Value::Number(-1)),
                        test("subscription_age_months", Operator::In, Value::Numbers(vec![0, 12])),
                    ]),
                ]),
                window: Some(Window::Payments(12)),
                minimum: Some(eur(1_000)),
                caps: vec![Cap { scope: CapScope::Customer, period: Period::Ever, limit: eur(50_000) }],
            },
        };
        assert_eq!(read(body), Ok(wanted));
        let bodies = [
            body,
            r#"{"percent":"12.5"}"#,
            r#"{"flat":{"amount":0,"currency":"JPY"},"window":{"months":3}}"#,
        ];
        for rule in bodies.map(|body| Rule { version: 0, ..read(body).unwrap() }) {
            assert_eq!(read(&written(&rule).to_string()), Ok(rule));
        }
        let excluding = read(r#"{"flat":{"amount":0,"currency":"JPY"}}"#).unwrap();
        assert!(matches!(excluding.reward, Reward::Flat { amount: Minor::ZERO, .. }), "{excluding:?}");
    }

    /// A body with these parts beside a reward.
    fn with(part: &str) -> String {
        format!(r#"{{"percent":"1",{part}}}"#)
    }

    fn when(condition: &str) -> String {
        with(&format!(r#""when":{condition}"#))
    }

    fn tiers_of(bands: &str) -> String {
        format!(r#"{{"tiers":{{"metric":"revenue","period":"month","bands":[{bands}]}}}}"#)
    }

    #[test]
    fn each_bad_rule_is_refused_by_the_path_of_its_field_and_with_the_reason() {
        let colour = r#"{"all":[{"field":"colour","operator":"equal","value":"red"}]}"#;
        let ordered = r#"{"any":[{"field":"product","operator":"less","value":"a"}]}"#;
        let like = r#"{"field":"product","operator":"like","value":"a"}"#;
        let mixed = r#"{"field":"amount","operator":"in","value":[1,"a"]}"#;
        let fraction = r#"{"field":"amount","operator":"less","value":1.5}"#;
        let nothing = r#"{"field":"product","operator":"equal"}"#;
        let both = r#"{"all":[],"field":"product","operator":"equal","value":"a"}"#;
        let cap = |amount: &str| {
            with(&format!(
                r#""caps":[{{"scope":"partner","period":"month","amount":{amount},"currency":"USD"}}]"#
            ))
        };
        for (body, code, field, says) in [
            (when(colour), "bad_rule", "when.all[0].field", "no field `colour`"),
            (when(ordered), "bad_rule", "when.any[0].operator", "`product` is a text"),
            (when(like), "bad_rule", "when.operator", "starts_with"),
            (when(mixed), "bad_field", "when.value", "a list of one of the two"),
            (when(fraction), "bad_field", "when.value", "a whole number"),
            (when(nothing), "missing_field", "when.value", "value is missing"),
            (when(both), "contradictory", "when", "a group stands alone"),
            (when("{}"), "bad_field", "when", "\"all\""),
            (when(r#"{"all":{}}"#), "bad_field", "when.all", "a list of conditions"),
            (when(r#"{"any":[]}"#), "bad_rule", "when.any", "an empty group"),
            (when(r#"{"all":[{"all":[]}]}"#), "bad_rule", "when.all[0].all", "an empty group"),
            // Groups have no names, so that none can be unknown, and none can hold itself.
            (when(r#"{"group":"vip"}"#), "unknown_field", "when.group", "no such field"),
            (when(r#"{"all":["vip"]}"#), "bad_field", "when.all[0]", "\"operator\""),
            (
                tiers_of(r#"{"from":0,"percent":"1"},{"from":0,"percent":"2"}"#),
                "bad_rule",
                "tiers.bands[1].from",
                "overlap",
            ),
            (tiers_of(r#"{"from":5,"percent":"1"}"#), "bad_rule", "tiers.bands[0].from", "begins at 0"),
            (tiers_of(r#"{"from":0,"percent":"101"}"#), "bad_field", "tiers.bands[0].percent", "up to 100"),
            (
                tiers_of(r#"{"from":0,"rate_ppm":0}"#),
                "bad_field",
                "tiers.bands[0].rate_ppm",
                "from 1 to 1000000",
            ),
            (tiers_of(r#"{"from":0}"#), "contradictory", "tiers.bands[0].percent", "exactly one"),
            (tiers_of(r#"{"from":-1,"percent":"1"}"#), "bad_field", "tiers.bands[0].from", "from 0"),
            (tiers_of(""), "bad_rule", "tiers.bands", "1 to 20"),
            (r#"{"percent":"100.0001"}"#.into(), "bad_field", "percent", "up to 100"),
            (r#"{"percent":"0"}"#.into(), "bad_field", "percent", "above 0"),
            (r#"{"rate_ppm":0}"#.into(), "bad_field", "rate_ppm", "from 1"),
            (r#"{"rate_ppm":1000001}"#.into(), "bad_field", "rate_ppm", "to 1000000"),
            (r#"{"flat":{"amount":-1,"currency":"USD"}}"#.into(), "bad_amount", "flat.amount", "minor units"),
            (cap("-5"), "bad_amount", "caps[0].amount", "minor units"),
            (cap("0"), "bad_rule", "caps[0].amount", "above 0"),
            (with(r#""window":{}"#), "contradictory", "window", "exactly one"),
            (with(r#""window":{"months":0}"#), "bad_field", "window.months", "from 1"),
            (with(r#""minimum":{"amount":0,"currency":"USD"}"#), "bad_rule", "minimum.amount", "above 0"),
            (with(r#""minimum":{"amount":1}"#), "missing_field", "minimum.currency", "ISO 4217"),
            (with(r#""priority":1.5"#), "bad_field", "priority", "a whole number"),
            (with(r#""colour":1"#), "unknown_field", "colour", "no such field"),
            (with(r#""rate_ppm":1"#), "contradictory", "percent", "exactly one"),
            ("{}".into(), "contradictory", "percent", "exactly one"),
        ] {
            let refused = read(&body).unwrap_err();
            assert_eq!((refused.code, refused.field.as_str()), (code, field), "{body}: {refused}");
            assert!(refused.message.contains(says), "{body}: {refused}");
        }
    }

    #[test]
    fn groups_may_stand_so_deep_and_no_deeper() {
        let leaf = r#"{"field":"partner","operator":"equal","value":"a"}"#.to_owned();
        let nested =
            |groups: usize| (0..groups).fold(leaf.clone(), |inner, _| format!(r#"{{"all":[{inner}]}}"#));
        assert!(read(&when(&nested(MAX_DEPTH))).is_ok());
        let refused = read(&when(&nested(MAX_DEPTH + 1))).unwrap_err();
        assert_eq!(refused.field, format!("when{}", ".all[0]".repeat(MAX_DEPTH)));
        assert!(refused.message.contains("at most 8 deep"), "{refused}");
    }
}

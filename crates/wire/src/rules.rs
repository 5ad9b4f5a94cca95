//! Commission rules: rewards, conditions, windows and caps.
use crate::common::currency;
use crate::unknown::Unknown;
use crate::v1;
use crate::write::Writer;
use domain::config::{FlatRefund, Reward, Rule};
use domain::money::{Minor, RatePpm};
use domain::rules::{
    Band, Cap, CapScope, Clauses, Comparison, Condition, Field, Limit, Metric, Operator, Period, Tiers,
    Value, Window,
};

const MESSAGE: &str = "commission rule";

pub(crate) fn write(w: &mut Writer, rule: &Rule) {
    w.text(1, rule.rule.as_str());
    w.uint(2, u64::from(rule.version));
    match rule.reward {
        Reward::Percent(rate) => w.int(3, rate.0),
        Reward::Flat { amount, currency, on_refund } => {
            w.text(4, currency.code());
            w.int(5, amount.0);
            w.text(6, on_refund.name());
        }
    }
    if let Some(tiers) = &rule.tiers {
        w.message(7, |w| write_tiers(w, tiers));
    }
    let clauses = &rule.clauses;
    w.int(8, i64::from(clauses.priority));
    if clauses.when != Condition::default() {
        w.message(9, |w| write_condition(w, &clauses.when));
    }
    match clauses.window {
        Some(Window::Months(months)) => w.uint(10, u64::from(months)),
        Some(Window::Payments(payments)) => w.uint(11, u64::from(payments)),
        None => {}
    }
    if let Some(minimum) = &clauses.minimum {
        w.message(12, |w| write_limit(w, minimum));
    }
    for cap in &clauses.caps {
        w.message(13, |w| {
            w.text(1, cap.scope.name());
            w.text(2, cap.period.name());
            w.message(3, |w| write_limit(w, &cap.limit));
        });
    }
}

pub(crate) fn write_limit(w: &mut Writer, limit: &Limit) {
    w.int(1, limit.amount.0);
    w.text(2, limit.currency.code());
}

fn write_tiers(w: &mut Writer, tiers: &Tiers) {
    w.text(1, tiers.metric.name());
    w.text(2, tiers.period.name());
    w.flag(3, tiers.prior);
    w.flag(4, tiers.marginal);
    for band in &tiers.bands {
        w.message(5, |w| {
            w.int(1, band.from);
            w.int(2, band.rate.0);
        });
    }
}

fn write_condition(w: &mut Writer, condition: &Condition) {
    let group = |w: &mut Writer, parts: &[Condition]| {
        parts.iter().for_each(|part| w.message(1, |w| write_condition(w, part)));
    };
    match condition {
        Condition::All(parts) => w.message(1, |w| group(w, parts)),
        Condition::Any(parts) => w.message(2, |w| group(w, parts)),
        Condition::Test(test) => w.message(3, |w| {
            w.text(1, &test.field.name());
            w.text(2, test.operator.name());
            match &test.value {
                Value::Text(text) => w.present(3, text.as_bytes()),
                Value::Texts(texts) => {
                    w.message(4, |w| texts.iter().for_each(|text| w.present(1, text.as_bytes())));
                }
                Value::Number(number) => w.maybe_int(5, Some(*number)),
                Value::Numbers(numbers) => w.message(6, |w| w.packed(1, numbers)),
            }
        }),
    }
}

pub(crate) fn read(rule: v1::Rule) -> Result<Rule, Unknown> {
    let priority =
        i32::try_from(rule.priority).map_err(|_| Unknown::value(MESSAGE, "priority", rule.priority))?;
    let clauses = Clauses {
        priority,
        when: rule.when.map(condition).transpose()?.unwrap_or_default(),
        window: match (rule.window_months, rule.window_payments) {
            (0, 0) => None,
            (months, 0) => Some(Window::Months(months)),
            (0, payments) => Some(Window::Payments(payments)),
            _ => return Err(Unknown::value(MESSAGE, "window", "months and payments")),
        },
        minimum: rule.minimum.as_ref().map(limit).transpose()?,
        caps: rule.caps.iter().map(cap).collect::<Result<_, _>>()?,
    };
    let reward = match rule.flat_currency.as_str() {
        "" => Reward::Percent(RatePpm(rule.rate_ppm)),
        code => Reward::Flat {
            amount: Minor(rule.flat_minor),
            currency: currency(MESSAGE, code)?,
            on_refund: FlatRefund::parse(&rule.flat_on_refund)
                .ok_or_else(|| Unknown::value(MESSAGE, "flat_on_refund", &rule.flat_on_refund))?,
        },
    };
    let tiers = rule.tiers.map(tiers).transpose()?;
    Ok(Rule { rule: rule.rule_id.into(), version: rule.version, reward, tiers, clauses })
}

pub(crate) fn limit(limit: &v1::MoneyLimit) -> Result<Limit, Unknown> {
    Ok(Limit { amount: Minor(limit.amount_minor), currency: currency(MESSAGE, &limit.currency)? })
}

pub(crate) fn period(name: &str) -> Result<Period, Unknown> {
    Period::parse(name).ok_or_else(|| Unknown::value(MESSAGE, "period", name))
}

pub(crate) fn scope(name: &str) -> Result<CapScope, Unknown> {
    CapScope::parse(name).ok_or_else(|| Unknown::value(MESSAGE, "scope", name))
}

fn cap(cap: &v1::Cap) -> Result<Cap, Unknown> {
    Ok(Cap {
        scope: scope(&cap.scope)?,
        period: period(&cap.period)?,
        limit: limit(cap.limit.as_ref().ok_or(Unknown::field(MESSAGE, "limit"))?)?,
    })
}

fn tiers(tiers: v1::Tiers) -> Result<Tiers, Unknown> {
    Ok(Tiers {
        metric: Metric::parse(&tiers.metric)
            .ok_or_else(|| Unknown::value(MESSAGE, "metric", &tiers.metric))?,
        period: period(&tiers.period)?,
        prior: tiers.prior,
        marginal: tiers.marginal,
        bands: tiers
            .bands
            .iter()
            .map(|band| Band { from: band.from, rate: RatePpm(band.rate_ppm) })
            .collect(),
    })
}

fn condition(condition: v1::Condition) -> Result<Condition, Unknown> {
    use v1::condition::Node;
    let parts = |group: v1::ConditionGroup| {
        group.parts.into_iter().map(self::condition).collect::<Result<Vec<_>, _>>()
    };
    Ok(match condition.node.ok_or(Unknown::kind(MESSAGE))? {
        Node::All(group) => Condition::All(parts(group)?),
        Node::Any(group) => Condition::Any(parts(group)?),
        Node::Test(test) => Condition::Test(comparison(test)?),
    })
}

fn comparison(test: v1::Comparison) -> Result<Comparison, Unknown> {
    use v1::comparison::Value as Wire;
    Ok(Comparison {
        field: Field::parse(&test.field, "field")
            .map_err(|_| Unknown::value(MESSAGE, "field", &test.field))?,
        operator: Operator::parse(&test.operator)
            .ok_or_else(|| Unknown::value(MESSAGE, "operator", &test.operator))?,
        value: match test.value.ok_or(Unknown::field(MESSAGE, "value"))? {
            Wire::Text(text) => Value::Text(text),
            Wire::Texts(texts) => Value::Texts(texts.values),
            Wire::Number(number) => Value::Number(number),
            Wire::Numbers(numbers) => Value::Numbers(numbers.values),
        },
    })
}

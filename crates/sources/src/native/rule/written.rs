//! A rule as the body that makes it.
use domain::config::{Reward, Rule};
use domain::rules::{Cap, Comparison, Condition, Limit, Tiers, Value as Compared, Window};
use serde_json::{Map, Value, json};

/// The body of a rule: what [`super::rule`] reads as the same rule. It names no version, so that it becomes the next one.
#[must_use]
pub fn written(rule: &Rule) -> Value {
    let mut body = Map::new();
    match (&rule.tiers, rule.reward) {
        (Some(tiers), _) => body.insert("tiers".to_owned(), self::tiers(tiers)),
        (None, Reward::Percent(rate)) => body.insert("rate_ppm".to_owned(), json!(rate.0)),
        (None, Reward::Flat { amount, currency, on_refund }) => body.insert(
            "flat".to_owned(),
            json!({ "amount": amount.0, "currency": currency.code(), "on_refund": on_refund.name() }),
        ),
    };
    let clauses = &rule.clauses;
    if clauses.priority != 0 {
        body.insert("priority".to_owned(), json!(clauses.priority));
    }
    if clauses.when != Condition::default() {
        body.insert("when".to_owned(), condition(&clauses.when));
    }
    match clauses.window {
        Some(Window::Months(months)) => body.insert("window".to_owned(), json!({ "months": months })),
        Some(Window::Payments(payments)) => body.insert("window".to_owned(), json!({ "payments": payments })),
        None => None,
    };
    if let Some(minimum) = &clauses.minimum {
        body.insert("minimum".to_owned(), limit(minimum));
    }
    if !clauses.caps.is_empty() {
        body.insert("caps".to_owned(), clauses.caps.iter().map(cap).collect());
    }
    Value::Object(body)
}

fn limit(limit: &Limit) -> Value {
    json!({ "amount": limit.amount.0, "currency": limit.currency.code() })
}

fn cap(cap: &Cap) -> Value {
    json!({
        "scope": cap.scope.name(),
        "period": cap.period.name(),
        "amount": cap.limit.amount.0,
        "currency": cap.limit.currency.code(),
    })
}

fn tiers(tiers: &Tiers) -> Value {
    let bands = tiers.bands.iter().map(|band| json!({ "from": band.from, "rate_ppm": band.rate.0 }));
    json!({
        "metric": tiers.metric.name(),
        "period": tiers.period.name(),
        "prior": tiers.prior,
        "marginal": tiers.marginal,
        "bands": bands.collect::<Vec<_>>(),
    })
}

fn condition(of: &Condition) -> Value {
    match of {
        Condition::All(parts) => json!({ "all": parts.iter().map(condition).collect::<Vec<_>>() }),
        Condition::Any(parts) => json!({ "any": parts.iter().map(condition).collect::<Vec<_>>() }),
        Condition::Test(Comparison { field, operator, value }) => {
            let value = match value {
                Compared::Text(text) => json!(text),
                Compared::Texts(texts) => json!(texts),
                Compared::Number(number) => json!(number),
                Compared::Numbers(numbers) => json!(numbers),
            };
            json!({ "field": field.name(), "operator": operator.name(), "value": value })
        }
    }
}

//! How rules and payout terms are shown: as a body of the same API would say it, rates in parts per million.
use domain::config::{Reward, Rule};
use domain::money::Currency;
use domain::payouts::{PayoutTerms, Schedule};
use domain::rules::{Comparison, Condition, Limit, Tiers, Window};
use serde_json::{Value, json};

/// The rule as it was asked for; version 0, which asks for the next one, as `null`.
pub(super) fn rule(rule: &Rule) -> Value {
    let clauses = &rule.clauses;
    let mut shown = json!({
        "rule_id": rule.rule.as_str(),
        "version": if rule.version == 0 { Value::Null } else { json!(rule.version) },
        "priority": clauses.priority,
        "when": (clauses.when != Condition::default()).then(|| condition(&clauses.when)),
        "window": clauses.window.map(|window| match window {
            Window::Months(months) => json!({"months": months}),
            Window::Payments(payments) => json!({"payments": payments}),
        }),
        "minimum": clauses.minimum.map(limit),
    });
    let caps = clauses.caps.iter().map(|cap| {
        let mut shown = limit(cap.limit);
        shown["scope"] = json!(cap.scope.name());
        shown["period"] = json!(cap.period.name());
        shown
    });
    shown["caps"] = caps.collect();
    match (&rule.tiers, rule.reward) {
        (Some(tiers), _) => shown["tiers"] = self::tiers(tiers),
        (None, Reward::Percent(rate)) => shown["rate_ppm"] = json!(rate.0),
        (None, Reward::Flat { amount, currency, on_refund }) => {
            shown["flat"] = json!({
                "amount": amount.0, "currency": currency.code(), "on_refund": on_refund.name(),
            });
        }
    }
    shown
}

/// The terms as they were asked for.
pub(super) fn payout_terms(terms: &PayoutTerms) -> Value {
    let minimums = terms.minimums.iter();
    let minimums = minimums.map(|(currency, amount)| limit(Limit { amount: *amount, currency: *currency }));
    json!({
        "partner_id": partner_of(terms),
        "schedule": terms.schedule.name(),
        "day": (terms.schedule != Schedule::Manual).then(|| terms.schedule.day()),
        "minimums": minimums.collect::<Vec<_>>(),
        "pay_in": terms.pay_in.as_ref().map(Currency::code),
    })
}

/// Whose terms; `None`: of all partners that have none of their own.
pub(super) fn partner_of(terms: &PayoutTerms) -> Option<&str> {
    Some(terms.partner.as_str()).filter(|partner| !partner.is_empty())
}

fn limit(limit: Limit) -> Value {
    json!({"amount": limit.amount.0, "currency": limit.currency.code()})
}

fn tiers(tiers: &Tiers) -> Value {
    let bands = tiers.bands.iter().map(|band| json!({"from": band.from, "rate_ppm": band.rate.0}));
    json!({
        "metric": tiers.metric.name(),
        "period": tiers.period.name(),
        "prior": tiers.prior,
        "marginal": tiers.marginal,
        "bands": bands.collect::<Vec<_>>(),
    })
}

fn condition(condition: &Condition) -> Value {
    let all = |parts: &[Condition]| parts.iter().map(self::condition).collect::<Vec<_>>();
    match condition {
        Condition::All(parts) => json!({"all": all(parts)}),
        Condition::Any(parts) => json!({"any": all(parts)}),
        Condition::Test(Comparison { field, operator, value }) => {
            let value = match value {
                domain::rules::Value::Text(text) => json!(text),
                domain::rules::Value::Texts(texts) => json!(texts),
                domain::rules::Value::Number(number) => json!(number),
                domain::rules::Value::Numbers(numbers) => json!(numbers),
            };
            json!({"field": field.name(), "operator": operator.name(), "value": value})
        }
    }
}

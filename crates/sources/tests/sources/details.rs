//! What adapters keep of a sale for rules alone: country, interval and the metadata that the program names.
#![allow(clippy::unwrap_used, missing_docs)]
use domain::config::{SaleFrom, SourceSettings};
use domain::facts::{FactBody, SaleDetails};
use domain::ids::ProgramId;
use domain::normalization::Reading;
use domain::time::Micros;
use serde_json::{Value, json};
use sources::{SourceRequest, normalize};

const PADDLE: &str = include_str!("fixtures/transaction.completed.json");

/// What the adapter keeps of the body's sale for a program that names three keys.
fn kept(source: &str, resource: &str, body: &Value) -> SaleDetails {
    let program = ProgramId::from("prog_demo");
    let settings = SourceSettings {
        sale_from: if source == "stripe" { SaleFrom::CheckoutAndInvoice } else { SaleFrom::Charge },
        rule_metadata_keys: vec!["plan".into(), "seats".into(), "vip".into()],
        ..SourceSettings::default()
    };
    let reading = normalize(&SourceRequest {
        program: &program,
        source,
        body: body.to_string().as_bytes(),
        headers: &[],
        query: "",
        clock: Micros(1),
        settings: &settings,
        resource,
        authenticated_by: "key",
    })
    .reading;
    let Reading::Facts(mut facts) = reading else { panic!("a fact: {reading:?}") };
    match facts.remove(0).body {
        FactBody::Sale(sale) => sale.details,
        other => panic!("a sale: {other:?}"),
    }
}

fn is(country: &str, interval: &str, metadata: &[(&str, &str)]) -> SaleDetails {
    let metadata = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    SaleDetails {
        country: country.into(),
        interval: interval.into(),
        metadata: metadata.collect(),
        ..SaleDetails::default()
    }
}

fn stripe(event_type: &str, object: Value) -> SaleDetails {
    let body = json!({"id": "evt_1", "object": "event", "created": 1_700_000_100, "livemode": false,
        "type": event_type, "data": {"object": object}});
    kept("stripe", "", &body)
}

fn invoice(lines: &Value, metadata: &Value) -> SaleDetails {
    let subscription = json!({"subscription_details": {"subscription": "sub_1", "metadata": metadata}});
    stripe(
        "invoice.paid",
        json!({"id": "in_1", "currency": "usd", "total": 100, "customer_address": {"country": "de"},
            "metadata": {"plan": "own"}, "parent": subscription, "lines": {"data": lines}}),
    )
}

#[test]
fn the_native_api_keeps_what_the_program_names_and_nothing_else() {
    let body = json!({"external_id": "o", "amount": 100, "currency": "USD", "country": "de", "interval": "month",
        "metadata": {"name": "Anna", "plan": "pro", "seats": 5, "vip": true}});
    let wanted = is("DE", "month", &[("plan", "pro"), ("seats", "5"), ("vip", "true")]);
    assert_eq!(kept("native", "sales", &body), wanted);
    let bare = json!({"external_id": "o", "amount": 100, "currency": "USD"});
    assert_eq!(kept("native", "sales", &bare), SaleDetails::default());
}

#[test]
fn stripe_says_the_country_of_the_bill_and_how_often_its_prices_are_paid() {
    let priced = |recurring: Value| json!({"price": {"id": "p", "recurring": recurring}});
    let monthly = || priced(json!({"interval": "month", "interval_count": 1}));
    let interval = |lines: Value| invoice(&lines, &json!({})).interval;
    assert_eq!(interval(json!([monthly(), priced(Value::Null)])), "month", "what is bought beside it");
    assert_eq!(interval(json!([monthly(), priced(json!({"interval": "year"}))])), "");
    assert_eq!(interval(json!([priced(json!({"interval": "month", "interval_count": 3}))])), "");
    assert_eq!(interval(json!([priced(Value::Null)])), "", "a subscription is not paid once");
    assert_eq!(interval(json!([{"pricing": {"price_details": {"price": "p"}}}])), "");
    // The first place that has a key; what is no text, number or flag, or too long, is left out.
    let metadata = json!({"plan": "of the subscription", "seats": 7, "vip": {"no": 1}, "other": "x"});
    assert_eq!(
        invoice(&json!([monthly()]), &metadata),
        is("DE", "month", &[("plan", "own"), ("seats", "7")])
    );
    let long = json!({"seats": "x".repeat(513), "vip": "x".repeat(512)});
    assert_eq!(invoice(&json!([]), &long).metadata.len(), 2);
    let session = json!({"id": "cs_1", "mode": "payment", "payment_status": "paid", "currency": "eur",
        "amount_total": 3870, "customer_details": {"address": {"country": "FR"}}, "metadata": {"vip": false}});
    assert_eq!(stripe("checkout.session.completed", session), is("FR", "once", &[("vip", "false")]));
}

#[test]
fn a_country_that_is_none_and_an_unknown_interval_are_no_value_and_no_reason_to_refuse() {
    let session = |country: Value| {
        let body = json!({"id": "cs_1", "mode": "payment", "payment_status": "paid", "currency": "eur",
            "amount_total": 3870, "customer_details": {"address": {"country": country}}});
        stripe("checkout.session.completed", body).country
    };
    for odd in [json!("Germany"), json!(""), json!(7), json!("\u{e9}"), json!({"a": 1}), Value::Null] {
        assert_eq!(session(odd.clone()), "", "{odd}");
    }
}

#[test]
fn paddle_says_how_often_its_prices_are_paid() {
    let mut body: Value = serde_json::from_str(PADDLE).unwrap();
    body["data"]["custom_data"] = json!({"plan": "pro", "seats": 5, "ref_code": "john123"});
    let mut with = |items: Value, subscription: Value| {
        body["data"]["items"] = items;
        body["data"]["subscription_id"] = subscription;
        kept("paddle", "", &body)
    };
    let priced = |cycle: Value| json!({"price": {"billing_cycle": cycle}});
    let yearly = priced(json!({"interval": "year", "frequency": 1}));
    let metadata = [("plan", "pro"), ("seats", "5")];
    assert_eq!(with(json!([yearly, priced(Value::Null)]), json!("sub_1")), is("", "year", &metadata));
    assert_eq!(with(json!([priced(Value::Null)]), Value::Null), is("", "once", &metadata));
    assert_eq!(
        with(json!([priced(json!({"interval": "week", "frequency": 2}))]), Value::Null),
        is("", "", &metadata)
    );
}

//! Paddle: what each trap of its sheet comes to.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]
use domain::config::SourceSettings;
use domain::facts::{
    CouponRef, Fact, FactBody, Personal, Recurrence, Referral, Reversal, ReversalFamily, ReversalLine,
    ReversalState, Sale, SaleDetails, SaleLine,
};
use domain::ids::{EventId, ProgramId};
use domain::money::{Currency, Minor};
use domain::normalization::{Draft, Reading};
use domain::time::Micros;
use serde_json::{Value, json};
use sources::{SourceRequest, normalize};

const SALE: &str = include_str!("fixtures/transaction.completed.json");
const REFUND: &str = include_str!("fixtures/adjustment.updated.json");
const CUSTOMER: &str = include_str!("fixtures/customer.created.json");
const DISCOUNT: &str = include_str!("fixtures/discount.created.json");
const CLOCK: Micros = Micros(1_700_000_000_000_000);

fn read(body: &str) -> Draft {
    let program = ProgramId::from("prog_demo");
    normalize(&SourceRequest {
        program: &program,
        source: "paddle",
        body: body.as_bytes(),
        headers: &[],
        query: "program_id=prog_demo",
        clock: CLOCK,
        settings: &SourceSettings::default(),
        resource: "",
        authenticated_by: "ep_1",
    })
}

/// The fixture with the value at `pointer` replaced.
fn with(fixture: &str, pointer: &str, value: Value) -> String {
    let mut body: Value = serde_json::from_str(fixture).unwrap();
    *body.pointer_mut(pointer).unwrap() = value;
    body.to_string()
}

/// The fixture without the member `name` of the object at `pointer`.
fn without(fixture: &str, pointer: &str, name: &str) -> String {
    let mut body: Value = serde_json::from_str(fixture).unwrap();
    body.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(name).unwrap();
    body.to_string()
}

fn fact(body: &str) -> Fact {
    match read(body).reading {
        Reading::Facts(mut facts) if facts.len() == 1 => facts.remove(0),
        other => panic!("one fact: {other:?}"),
    }
}

fn sale(body: &str) -> Sale {
    if let FactBody::Sale(sale) = fact(body).body { sale } else { panic!("a sale") }
}

fn reversal(body: &str) -> Reversal {
    if let FactBody::Reversal(reversal) = fact(body).body { reversal } else { panic!("a reversal") }
}

fn quarantined(body: &str) -> (String, String) {
    match read(body).reading {
        Reading::Quarantined { reason, detail } => (reason, detail),
        other => panic!("quarantined: {other:?}"),
    }
}

fn ignored(body: &str) -> String {
    match read(body).reading {
        Reading::Ignored { reason } => reason,
        other => panic!("ignored: {other:?}"),
    }
}

fn identifiers(fact: &Fact) -> Vec<(&str, &str)> {
    fact.identifiers
        .iter()
        .map(|identifier| match &identifier.value {
            Personal::Open(value) => (identifier.namespace.as_str(), value.as_str()),
            _ => panic!("adapters leave values open"),
        })
        .collect()
}

fn line(id: &str, net: i64, product: &str, price: &str, quantity: u32) -> SaleLine {
    SaleLine {
        line_id: id.into(),
        net: Minor(net),
        product_id: product.into(),
        price_id: price.into(),
        quantity,
        ..SaleLine::default()
    }
}

#[test]
fn a_completed_transaction_is_a_sale_with_everything_that_attribution_and_refunds_need() {
    let draft = read(SALE);
    assert_eq!(
        (draft.delivery_key.as_str(), draft.livemode, draft.refuse_unknown_code),
        ("evt_own_sale", None, false)
    );
    let fact = fact(SALE);
    assert_eq!(fact.event, EventId::derive(&"prog_demo".into(), &"paddle".into(), "evt_own_sale"));
    assert_eq!((fact.object_id.as_str(), fact.state.as_str()), ("txn_own", "completed"));
    assert_eq!(fact.occurred_at, Micros(1_772_441_998_500_000), "when the money was captured");
    assert_eq!(identifiers(&fact), [("paddle.customer", "ctm_own"), ("customer_key", "cus-1")]);
    let expected = Sale {
        external_id: "txn_own".into(),
        currency: Currency::parse("EUR").unwrap(),
        gross: Minor(10_710),
        net: Some(Minor(9_000)),
        lines: vec![
            line("txnitm_a", 7_200, "pro_a", "pri_a", 2),
            line("txnitm_b", 1_800, "pro_b", "pri_b", 1),
        ],
        subscription_id: "sub_own".into(),
        recurrence: Recurrence::First,
        referral: Some(Referral { code: "john123".into(), found_at: "data.custom_data.ref_code".into() }),
        coupon: Some(CouponRef::ProviderRef("dsc_own".into())),
        aliases: Vec::new(),
        details: SaleDetails::default(),
    };
    assert_eq!(fact.body, FactBody::Sale(expected));
}

#[test]
fn the_first_non_empty_string_under_a_referral_key_is_the_code_exactly_as_written() {
    for (custom_data, expected) in [
        (json!(null), None),
        (json!([]), None),
        (json!("ref"), None),
        (json!({"ref_code": 12, "ref": null, "via": " John "}), Some((" John ", "data.custom_data.via"))),
        (json!({"via": "v", "tributary_ref": "t"}), Some(("t", "data.custom_data.tributary_ref"))),
        (json!({"other": "x", "ref_code": {"ref": "y"}}), None),
    ] {
        let found = sale(&with(SALE, "/data/custom_data", custom_data)).referral;
        assert_eq!(found.as_ref().map(|found| (found.code.as_str(), found.found_at.as_str())), expected);
    }
}

#[test]
fn amounts_are_decimal_digits_and_nothing_else() {
    let total = "/data/details/totals/total";
    for bad in [
        json!("-5"),
        json!("+5"),
        json!("10.00"),
        json!("1e3"),
        json!(" 1"),
        json!(""),
        json!("٣"),
        json!("0x10"),
        json!("9223372036854775808"),
        json!(1000),
        json!(10.5),
        json!(true),
        json!(["1"]),
        json!({}),
    ] {
        let (reason, detail) = quarantined(&with(SALE, total, bad.clone()));
        assert_eq!(reason, "bad_amount", "{bad}");
        assert!(detail.starts_with("data.details.totals.total "), "{detail}");
    }
    assert_eq!(sale(&with(SALE, total, json!("9223372036854775807"))).gross, Minor(i64::MAX));
    assert_eq!(sale(&with(SALE, total, json!("0"))).gross, Minor(0), "trials and full discounts are sales");
    assert_eq!(quarantined(&without(SALE, "/data/details/totals", "total")).0, "missing_field");
    let (reason, detail) = quarantined(&with(SALE, "/data/details/totals/discount", json!("10001")));
    assert_eq!(reason, "bad_amount", "{detail}");
    assert_eq!(
        quarantined(&with(SALE, "/data/details/line_items/1/totals/subtotal", json!("1.5"))).0,
        "bad_amount"
    );
    let (reason, detail) = quarantined(&with(REFUND, "/data/totals/total", json!("-1")));
    assert_eq!((reason.as_str(), detail.starts_with("data.totals.total ")), ("bad_amount", true));
}

#[test]
fn a_number_that_no_float_can_hold_is_not_rounded() {
    let body = SALE.replace(r#""total": "10710", "credit""#, r#""total": 1e999, "credit""#);
    assert_ne!(body, SALE);
    assert_eq!(quarantined(&body).0, "bad_amount");
}

#[test]
fn a_key_that_matters_and_occurs_twice_is_quarantined_wherever_it_is() {
    for (once, twice) in [
        (r#""total": "10710", "credit""#, r#""total": "10710", "total": "1", "credit""#),
        (r#""subtotal": "8000""#, r#""subtotal": "8000", "subtotal": "8000""#),
        (r#""ref_code": "john123""#, r#""ref_code": "john123", "ref_code": "mary456""#),
        (r#""customer_id": "ctm_own""#, r#""customer_id": "ctm_own", "customer_id": "ctm_2""#),
        (r#""event_id": "evt_own_sale""#, r#""event_id": "evt_own_sale", "event_id": "evt_2""#),
        (r#""currency_code": "EUR""#, r#""currency_code": "EUR", "\u0063urrency_code": "USD""#),
    ] {
        let body = SALE.replacen(once, twice, 1);
        assert_ne!(body, SALE, "{once}");
        assert_eq!(quarantined(&body).0, "duplicate_key", "{twice}");
    }
    let body = SALE.replacen(r#""note": [1]"#, r#""note": [1], "note": 2"#, 1);
    assert_eq!(sale(&body).gross, Minor(10_710), "a key that nobody reads may say what it likes");
}

#[test]
fn currencies_must_be_known_and_agree() {
    let mut body: Value = serde_json::from_str(SALE).unwrap();
    body["data"]["currency_code"] = json!("ZZZ");
    body["data"]["details"]["totals"]["currency_code"] = json!("ZZZ");
    assert_eq!(quarantined(&body.to_string()).0, "unknown_currency");
    assert_eq!(quarantined(&with(SALE, "/data/currency_code", json!("USD"))).0, "contradictory");
    assert_eq!(sale(&without(SALE, "/data", "currency_code")).currency, Currency::parse("EUR").unwrap());
    let own = without(SALE, "/data/details/totals", "currency_code");
    assert_eq!(sale(&own).currency, Currency::parse("EUR").unwrap());
    assert_eq!(quarantined(&without(&own, "/data", "currency_code")).0, "missing_field");
}

#[test]
fn ids_that_are_missing_or_unusable_are_named_by_their_path() {
    for (body, reason, start) in [
        (without(SALE, "/data", "id"), "missing_field", "data.id is missing"),
        (with(SALE, "/data/id", json!(null)), "missing_field", "data.id is missing"),
        (with(SALE, "/data/id", json!("")), "missing_field", "data.id is missing"),
        (with(SALE, "/data/id", json!(7)), "bad_field", "data.id is a number"),
        (with(SALE, "/data/id", json!("txn_\u{0}")), "bad_text", "data.id has a control character"),
        (with(SALE, "/data/id", json!("x".repeat(256))), "bad_text", "data.id is longer"),
        (with(SALE, "/data/custom_data/ref_code", json!("a\u{0}")), "bad_text", "data.custom_data.ref_code"),
        (SALE.replace(r#""id": "txn_own""#, r#""id": "\ud800""#), "bad_text", "data.id holds half"),
        (without(SALE, "", "event_type"), "missing_field", "event_type is missing"),
        (with(SALE, "/event_type", json!("a\u{0}b")), "bad_text", "event_type has a control character"),
        (without(SALE, "", "data"), "missing_field", "data is missing"),
        (with(SALE, "/data", json!([1])), "bad_field", "data is not an object"),
        (with(SALE, "/data/details", json!(null)), "missing_field", "data.details is missing"),
        (
            with(SALE, "/data/details/totals", json!(["1", "2", "3"])),
            "bad_field",
            "data.details.totals is not",
        ),
        (with(SALE, "/data/billed_at", json!("yesterday")), "bad_time", "data.billed_at"),
        (without(REFUND, "/data", "transaction_id"), "missing_field", "data.transaction_id is missing"),
    ] {
        let (found, detail) = quarantined(&body);
        assert_eq!(found, reason, "{detail}");
        assert!(detail.starts_with(start), "{detail}");
    }
    // U+0000 where nobody looks stops nothing.
    assert_eq!(identifiers(&fact(CUSTOMER)).len(), 2);
}

#[test]
fn lines_are_taken_only_when_they_sum_to_the_net() {
    let body = with(SALE, "/data/details/line_items/1/totals/subtotal", json!("1999"));
    assert_eq!((sale(&body).lines, sale(&body).net), (vec![], Some(Minor(9_000))));
    assert_eq!(sale(&without(SALE, "/data/details/line_items/0", "id")).lines, []);
    assert_eq!(sale(&with(SALE, "/data/details/line_items", json!(null))).lines, []);
    let no_net = sale(&without(SALE, "/data/details/totals", "subtotal"));
    assert_eq!((no_net.net, no_net.lines), (None, vec![]));
}

#[test]
fn the_origin_tells_first_payments_from_renewals() {
    for (origin, expected) in [
        (json!("api"), Recurrence::First),
        (json!("subscription_recurring"), Recurrence::Renewal),
        (json!("subscription_update"), Recurrence::Unknown),
        (json!(null), Recurrence::Unknown),
    ] {
        assert_eq!(sale(&with(SALE, "/data/origin", origin)).recurrence, expected);
    }
}

#[test]
fn the_moment_of_a_sale_is_its_capture_then_its_billing_then_the_envelope_then_the_log() {
    let mut body = with(SALE, "/data/payments", json!([]));
    assert_eq!(fact(&body).occurred_at, Micros(1_772_442_000_000_000));
    body = without(&body, "/data", "billed_at");
    assert_eq!(fact(&body).occurred_at, Micros(1_772_442_005_123_456));
    body = without(&body, "", "occurred_at");
    assert_eq!(fact(&body).occurred_at, CLOCK);
}

#[test]
fn an_adjustment_counts_by_its_status_and_names_each_line_once() {
    let refund = fact(REFUND);
    assert_eq!(
        (refund.object_id.as_str(), refund.state.as_str(), refund.identifiers.len()),
        ("adj_own", "approved", 0)
    );
    let expected = Reversal {
        sale_external_id: "txn_own".into(),
        currency: Currency::parse("EUR").unwrap(),
        gross: Minor(2_142),
        net: Some(Minor(1_800)),
        lines: vec![ReversalLine { line_id: "txnitm_b".into(), net: Minor(1_800) }],
        family: ReversalFamily::Refund,
        state: ReversalState::Live,
        sale_aliases: Vec::new(),
    };
    assert_eq!(reversal(REFUND), expected);
    for (status, state) in [
        ("pending_approval", ReversalState::Pending),
        ("approved", ReversalState::Live),
        ("rejected", ReversalState::Dead),
        ("reversed", ReversalState::Dead),
    ] {
        let body = with(REFUND, "/data/status", json!(status));
        assert_eq!((reversal(&body).state, fact(&body).state.as_str()), (state, status));
    }
    assert_eq!(quarantined(&with(REFUND, "/data/status", json!("odd"))).0, "bad_field");
    for (action, family) in [
        ("chargeback", ReversalFamily::Chargeback),
        ("chargeback_reverse", ReversalFamily::ChargebackReverse),
        ("chargeback_warning", ReversalFamily::ChargebackWarning),
    ] {
        assert_eq!(reversal(&with(REFUND, "/data/action", json!(action))).family, family);
    }
    for action in ["credit", "credit_reverse"] {
        assert_eq!(ignored(&with(REFUND, "/data/action", json!(action))), "policy");
    }
    let ended = with(REFUND, "/data/action", json!("chargeback_warning_reverse"));
    let dead = (ReversalFamily::ChargebackWarning, ReversalState::Dead);
    assert_eq!((reversal(&ended).family, reversal(&ended).state), dead);
    assert_eq!(ignored(&with(&ended, "/data/status", json!("rejected"))), "policy");
    let unknown = with(REFUND, "/data/action", json!("something_new"));
    assert_eq!(quarantined(&unknown).0, "unsupported_event");
}

#[test]
fn customers_and_discounts_link_and_a_later_version_is_another_fact() {
    let customer = fact(CUSTOMER);
    assert_eq!((customer.object_id.as_str(), customer.state.as_str()), ("ctm_own", "evt_own_customer"));
    assert_eq!(customer.body, FactBody::CustomerLink);
    assert_eq!(identifiers(&customer), [("paddle.customer", "ctm_own"), ("email", "some.body@example.com")]);
    assert_eq!(ignored(&with(CUSTOMER, "/data/email", json!(null))), "not_money_event");

    let discount = fact(DISCOUNT);
    assert_eq!((discount.object_id.as_str(), discount.state.as_str()), ("dsc_own", "evt_own_discount"));
    let definition = FactBody::CouponDefinition { provider_ref: "dsc_own".into(), code: "SPRING".into() };
    assert_eq!(discount.body, definition);
    assert_eq!(ignored(&with(DISCOUNT, "/data/code", json!(null))), "not_money_event");
}

#[test]
fn a_cancelled_subscription_is_over_from_its_own_moment_on() {
    let body = r#"{"event_id": "evt_own_over", "event_type": "subscription.canceled", "occurred_at": "2026-03-02T00:00:05Z",
                   "data": {"id": "sub_own", "canceled_at": "2026-03-01T00:00:00Z", "customer_id": "ctm_own"}}"#;
    let over = fact(body);
    assert_eq!((over.object_id.as_str(), over.state.as_str()), ("sub_own", "canceled"));
    assert_eq!(over.body, FactBody::SubscriptionCancelled { subscription_id: "sub_own".into() });
    assert_eq!(over.occurred_at, Micros(1_772_323_200_000_000));
    let without = fact(&with(body, "/data/canceled_at", json!(null)));
    assert_eq!(without.occurred_at, Micros(1_772_409_605_000_000));
}

#[test]
fn everything_else_is_ignored_by_its_type_or_waits_for_a_version_that_knows_it() {
    for noise in [
        "transaction.paid",
        "transaction.updated",
        "subscription.created",
        "address.created",
        "galaxy.exploded",
    ] {
        assert_eq!(ignored(&with(SALE, "/event_type", json!(noise))), noise);
    }
    // Noise is not looked into.
    assert_eq!(
        ignored(r#"{"event_id": "e", "event_type": "price.created", "data": 1e999}"#),
        "price.created"
    );
    let draft = read("{}");
    assert!(draft.delivery_key.starts_with("sha256:"), "{draft:?}");
    for body in
        ["", "[]", "{", "null", r#"{"event_id": "e", "event_type": "transaction.completed", "data": {"#]
    {
        assert_eq!(quarantined(body).0, "malformed", "{body}");
    }
}

#[test]
fn details_never_quote_the_body() {
    for body in [
        with(CUSTOMER, "/data/id", json!("ann@example.com\u{0}")),
        with(CUSTOMER, "/data/email", json!("ann@example.com\u{0}")),
        with(SALE, "/data/details/totals/total", json!("ann@example.com")),
        with(SALE, "/data/currency_code", json!("ann@example.com")),
    ] {
        let (_, detail) = quarantined(&body);
        assert!(!detail.contains("ann"), "{detail}");
    }
}

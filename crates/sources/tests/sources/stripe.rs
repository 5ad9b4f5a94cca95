//! Stripe: what each trap of its sheet comes to.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]
use domain::config::{SaleFrom, SourceSettings};
use domain::facts::{
    CouponRef, Fact, FactBody, Personal, Recurrence, Reversal, ReversalFamily, ReversalState, Sale,
};
use domain::ids::{EventId, ProgramId};
use domain::money::Minor;
use domain::normalization::{Draft, Reading};
use domain::time::Micros;
use serde_json::{Value, json};
use sources::{SourceRequest, normalize};

const CLOCK: Micros = Micros(1_800_000_000_000_000);

fn settings(sale_from: SaleFrom) -> SourceSettings {
    SourceSettings { sale_from, ..SourceSettings::default() }
}

fn read_with(settings: &SourceSettings, body: &Value) -> Draft {
    let program = ProgramId::from("prog_demo");
    normalize(&SourceRequest {
        program: &program,
        source: "stripe",
        body: body.to_string().as_bytes(),
        headers: &[],
        query: "program_id=prog_demo",
        clock: CLOCK,
        settings,
        resource: "",
        authenticated_by: "ep_1",
    })
}

fn event(event_type: &str, object: Value) -> Value {
    json!({"id": "evt_1", "object": "event", "api_version": "2025-03-31.basil", "created": 1_700_000_100,
           "livemode": false, "pending_webhooks": 1, "type": event_type, "data": {"object": object}})
}

fn read(event_type: &str, object: Value) -> Reading {
    read_with(&settings(SaleFrom::Charge), &event(event_type, object)).reading
}

fn read_from(sale_from: SaleFrom, event_type: &str, object: Value) -> Reading {
    read_with(&settings(sale_from), &event(event_type, object)).reading
}

/// `base` with the members of `changes` put over it.
fn with(mut base: Value, changes: Value) -> Value {
    for (key, value) in changes.as_object().unwrap() {
        base[key] = value.clone();
    }
    base
}

fn facts(reading: Reading) -> Vec<Fact> {
    match reading {
        Reading::Facts(facts) => facts,
        other => panic!("facts: {other:?}"),
    }
}

fn sale(reading: Reading) -> (Fact, Sale) {
    let [fact] = <[Fact; 1]>::try_from(facts(reading)).unwrap();
    let FactBody::Sale(sale) = fact.body.clone() else { panic!("a sale: {fact:?}") };
    (fact, sale)
}

fn reversal(reading: Reading) -> (Fact, Reversal) {
    let [fact] = <[Fact; 1]>::try_from(facts(reading)).unwrap();
    let FactBody::Reversal(reversal) = fact.body.clone() else { panic!("a reversal: {fact:?}") };
    (fact, reversal)
}

fn ignored(reading: Reading) -> String {
    match reading {
        Reading::Ignored { reason } => reason,
        other => panic!("ignored: {other:?}"),
    }
}

fn quarantined(reading: Reading) -> String {
    match reading {
        Reading::Quarantined { reason, .. } => reason,
        other => panic!("quarantined: {other:?}"),
    }
}

/// Each link: (its name, what it is known by).
fn links(reading: Reading) -> Vec<(String, Vec<String>)> {
    facts(reading)
        .into_iter()
        .map(|fact| match fact.body {
            FactBody::SaleLink { external_id, aliases } => (external_id, aliases),
            FactBody::CustomerLink => (fact.object_id, named(&fact.identifiers)),
            body => panic!("a link: {body:?}"),
        })
        .collect()
}

fn named(identifiers: &[domain::facts::Identifier]) -> Vec<String> {
    identifiers
        .iter()
        .map(|identifier| match &identifier.value {
            Personal::Open(value) => format!("{}={value}", identifier.namespace),
            sealed => panic!("open: {sealed:?}"),
        })
        .collect()
}

fn charge() -> Value {
    json!({"id": "ch_1", "object": "charge", "amount": 5000, "amount_captured": 5000, "amount_refunded": 0,
           "captured": true, "paid": true, "status": "succeeded", "created": 1_700_000_000, "currency": "usd",
           "customer": "cus_1", "payment_intent": "pi_1", "invoice": null,
           "metadata": {"ref_code": "john123", "customer_key": "key-1"}})
}

fn invoice() -> Value {
    json!({"id": "in_1", "object": "invoice", "currency": "usd", "customer": "cus_1",
    "billing_reason": "subscription_cycle", "subtotal": 6000, "total": 5400, "total_excluding_tax": 5000,
    "amount_paid": 5400, "total_taxes": [{"amount": 400}],
    "parent": {"subscription_details": {"subscription": "sub_1", "metadata": {"via": "mary456"}}},
    "status_transitions": {"paid_at": 1_700_000_050},
    "lines": {"data": [
        {"id": "il_1", "amount": 4000, "quantity": 2, "discount_amounts": [{"amount": 1000}],
         "pricing": {"price_details": {"price": "price_1", "product": "prod_1"}}},
        {"id": "il_2", "amount": 2200, "discount_amounts": [],
         "taxes": [{"amount": 200, "tax_behavior": "inclusive"}],
         "price": {"id": "price_2", "product": "prod_2"}},
    ]}})
}

fn session() -> Value {
    json!({"id": "cs_1", "object": "checkout.session", "mode": "payment", "payment_status": "paid",
           "currency": "eur", "amount_subtotal": 3000, "amount_total": 3870, "customer": "cus_1",
           "total_details": {"amount_tax": 570, "amount_discount": 0, "amount_shipping": 300},
           "payment_intent": "pi_1", "invoice": null, "subscription": null,
           "client_reference_id": "john123", "metadata": {}})
}

fn refund(status: &str) -> Value {
    json!({"id": "re_1", "object": "refund", "charge": "ch_1", "payment_intent": "pi_1", "amount": 1200,
           "currency": "usd", "status": status, "reason": "requested_by_customer", "metadata": {}})
}

fn dispute(status: &str) -> Value {
    json!({"id": "dp_1", "object": "dispute", "charge": "ch_1", "payment_intent": "pi_1", "amount": 900,
           "currency": "usd", "status": status, "reason": "fraudulent"})
}

#[test]
fn a_charge_is_a_sale_of_what_was_captured_and_carries_its_customer_and_code() {
    let draft = read_with(&settings(SaleFrom::Charge), &event("charge.succeeded", charge()));
    assert_eq!((draft.delivery_key.as_str(), draft.livemode), ("evt_1", Some(false)));
    let (fact, sale) = sale(draft.reading);
    assert_eq!((fact.object_id.as_str(), fact.state.as_str()), ("ch_1", "succeeded"));
    assert_eq!(fact.event, EventId::derive(&"prog_demo".into(), &"stripe".into(), "evt_1"));
    assert_eq!(fact.occurred_at, Micros(1_700_000_000_000_000));
    assert_eq!(named(&fact.identifiers), ["stripe.customer=cus_1", "customer_key=key-1"]);
    assert_eq!((sale.external_id.as_str(), sale.aliases), ("ch_1", vec!["pi_1".to_owned()]));
    assert_eq!((sale.gross, sale.net, sale.currency.code()), (Minor(5_000), None, "USD"));
    let referral = sale.referral.unwrap();
    assert_eq!(
        (referral.code.as_str(), referral.found_at.as_str()),
        ("john123", "data.object.metadata.ref_code")
    );
    assert_eq!((sale.coupon, sale.recurrence), (None, Recurrence::Unknown));
}

#[test]
fn an_authorization_is_no_money_until_it_is_captured_and_then_the_same_sale() {
    let uncaptured = json!({"captured": false, "amount_captured": 0});
    assert_eq!(ignored(read("charge.succeeded", with(charge(), uncaptured))), "not_money_event");
    let (whole, _) = sale(read("charge.succeeded", charge()));
    let (fact, part) = sale(read("charge.captured", with(charge(), json!({"amount_captured": 3000}))));
    assert_eq!((fact.object_id, fact.state), (whole.object_id, whole.state));
    assert_eq!((part.gross, fact.occurred_at), (Minor(3_000), Micros(1_700_000_100_000_000)));
    let failed = json!({"status": "failed", "paid": false});
    assert_eq!(ignored(read("charge.captured", with(charge(), failed))), "not_money_event");
}

#[test]
fn cumulative_refunds_leave_out_what_was_never_captured() {
    for (captured, refunded, total) in [
        (5_000, 1_200, 1_200),
        (3_000, 2_600, 600),
        (3_000, 5_000, 3_000),
        (3_000, 500, 500),
        (5_000, 5_000, 5_000),
    ] {
        let changes = json!({"amount_captured": captured, "amount_refunded": refunded});
        let (fact, reversal) = reversal(read("charge.refunded", with(charge(), changes)));
        assert_eq!((fact.object_id.as_str(), fact.state), ("ch_1", total.to_string()));
        assert_eq!((reversal.family, reversal.state), (ReversalFamily::RefundTotal, ReversalState::Live));
        assert_eq!((reversal.gross, reversal.net), (Minor(total), None));
        assert_eq!(
            (reversal.sale_external_id.as_str(), reversal.sale_aliases),
            ("ch_1", vec!["pi_1".to_owned()])
        );
    }
    for changes in [
        json!({"amount_captured": 3000, "amount_refunded": 2000}),
        json!({"amount_captured": 0, "captured": false, "amount_refunded": 5000}),
    ] {
        assert_eq!(ignored(read("charge.refunded", with(charge(), changes))), "not_money_event");
    }
    let more = json!({"amount_captured": 5001, "amount_refunded": 1});
    assert_eq!(quarantined(read("charge.refunded", with(charge(), more))), "contradictory");
}

#[test]
fn a_refund_object_counts_until_it_fails() {
    for (event, status, state) in [
        ("refund.created", "pending", ReversalState::Live),
        ("refund.updated", "requires_action", ReversalState::Live),
        ("charge.refund.updated", "succeeded", ReversalState::Live),
        ("refund.failed", "failed", ReversalState::Dead),
        ("refund.updated", "canceled", ReversalState::Dead),
    ] {
        let (fact, reversal) = reversal(read(event, refund(status)));
        assert_eq!((fact.object_id.as_str(), fact.state.as_str()), ("re_1", status));
        assert_eq!((reversal.family, reversal.state), (ReversalFamily::Refund, state), "{status}");
        assert_eq!((reversal.gross, reversal.sale_external_id.as_str()), (Minor(1_200), "ch_1"));
        assert_eq!(reversal.sale_aliases, ["pi_1"]);
    }
    let (_, by_intent) = reversal(read("refund.created", with(refund("pending"), json!({"charge": null}))));
    assert_eq!((by_intent.sale_external_id.as_str(), by_intent.sale_aliases.len()), ("pi_1", 0));
    let of_nothing = with(refund("succeeded"), json!({"charge": null, "payment_intent": null}));
    assert_eq!(ignored(read("refund.created", of_nothing)), "not_money_event");
    assert_eq!(quarantined(read("refund.created", refund("teleported"))), "bad_field");
}

#[test]
fn only_a_closed_dispute_decides() {
    for (moment, status, state) in [
        ("created", "warning_needs_response", ReversalState::Pending),
        ("created", "lost", ReversalState::Pending),
        ("updated", "under_review", ReversalState::Pending),
        ("funds_withdrawn", "needs_response", ReversalState::Pending),
        ("funds_reinstated", "won", ReversalState::Pending),
        ("closed", "lost", ReversalState::Live),
        ("closed", "won", ReversalState::Dead),
        ("closed", "warning_closed", ReversalState::Dead),
        ("closed", "prevented", ReversalState::Dead),
    ] {
        let (fact, reversal) = reversal(read(&format!("charge.dispute.{moment}"), dispute(status)));
        assert_eq!((fact.object_id.as_str(), fact.state), ("dp_1", format!("{moment}:{status}")));
        assert_eq!(
            (reversal.family, reversal.state),
            (ReversalFamily::Chargeback, state),
            "{moment} {status}"
        );
        assert_eq!(
            (reversal.gross, reversal.sale_aliases.as_slice()),
            (Minor(900), &["pi_1".to_owned()][..])
        );
    }
    assert_eq!(quarantined(read("charge.dispute.closed", dispute("needs_response"))), "bad_field");
    let (oldest, _) = reversal(read("charge.dispute.closed", with(dispute("won"), json!({"id": null}))));
    assert_eq!(oldest.object_id, "ch_1");
}

#[test]
fn an_invoice_is_a_sale_net_of_tax_with_its_lines_where_the_program_counts_invoices() {
    let (fact, sale) = sale(read_from(SaleFrom::Invoice, "invoice.paid", invoice()));
    assert_eq!((fact.object_id.as_str(), fact.occurred_at), ("in_1", Micros(1_700_000_050_000_000)));
    assert_eq!((sale.gross, sale.net), (Minor(5_400), Some(Minor(5_000))));
    assert_eq!((sale.subscription_id.as_str(), sale.recurrence), ("sub_1", Recurrence::Renewal));
    assert_eq!(sale.referral.unwrap().found_at, "data.object.parent.subscription_details.metadata.via");
    let lines: Vec<_> = sale
        .lines
        .iter()
        .map(|l| (l.line_id.as_str(), l.net.0, l.price_id.as_str(), l.product_id.as_str(), l.quantity))
        .collect();
    assert_eq!(lines, [("il_1", 3_000, "price_1", "prod_1", 2), ("il_2", 2_000, "price_2", "prod_2", 0)]);
    let (again, same) = self::sale(read_from(SaleFrom::Invoice, "invoice.payment_succeeded", invoice()));
    assert_eq!((again.object_id, again.state, same.gross), (fact.object_id, fact.state, sale.gross));
}

#[test]
fn an_invoice_of_the_older_shape_names_its_charge_and_says_tax_in_its_own_way() {
    let older = |changes: Value| {
        let mut older = with(
            invoice(),
            json!({"charge": "ch_9", "payment_intent": "pi_9", "subscription": "sub_9", "billing_reason": "subscription_create",
                   "discount": {"promotion_code": "promo_1", "coupon": {"id": "10OFF"}}}),
        );
        for gone in ["total_excluding_tax", "total_taxes", "parent"] {
            older.as_object_mut().unwrap().remove(gone);
        }
        sale(read_from(SaleFrom::CheckoutAndInvoice, "invoice.paid", with(older, changes))).1
    };
    let sale = older(json!({"tax": 400, "subscription_details": {"metadata": {"ref_code": "john123"}}}));
    assert_eq!((sale.net, sale.lines.len()), (Some(Minor(5_000)), 2));
    assert_eq!(
        (sale.aliases, sale.subscription_id.as_str()),
        (vec!["ch_9".to_owned(), "pi_9".to_owned()], "sub_9")
    );
    assert_eq!((sale.recurrence, sale.referral.unwrap().code.as_str()), (Recurrence::First, "john123"));
    assert_eq!(sale.coupon, Some(CouponRef::ProviderRef("promo_1".into())));
    assert_eq!(
        older(json!({"total_tax_amounts": [{"amount": 150}, {"amount": 250}]})).net,
        Some(Minor(5_000))
    );
    let unsaid = older(json!({}));
    assert_eq!((unsaid.net, unsaid.lines.len()), (None, 0));
    assert_eq!(older(json!({"tax": 300})).lines, []);
}

#[test]
fn an_invoice_whose_amounts_do_not_fit_or_that_owes_the_customer_is_no_sale() {
    let of = |changes: Value| read_from(SaleFrom::Invoice, "invoice.paid", with(invoice(), changes));
    assert_eq!(ignored(of(json!({"total": -200, "total_excluding_tax": -200}))), "not_money_event");
    assert_eq!(quarantined(of(json!({"total_excluding_tax": 5500}))), "contradictory");
    assert_eq!(quarantined(of(json!({"total": null}))), "missing_field");
    let (_, free) = sale(of(json!({"total": 0, "total_excluding_tax": 0, "lines": {}})));
    assert_eq!((free.gross, free.net), (Minor(0), Some(Minor(0))));
    let (_, shipped) = sale(of(json!({"amount_shipping": 700})));
    assert_eq!((shipped.net, shipped.lines.len()), (Some(Minor(4_300)), 0));
}

#[test]
fn a_paid_checkout_is_a_sale_only_where_no_invoice_tells_the_same() {
    let both = SaleFrom::CheckoutAndInvoice;
    let of = |changes: Value| read_from(both, "checkout.session.completed", with(session(), changes));
    let (fact, sale) = sale(of(json!({})));
    assert_eq!((fact.object_id.as_str(), sale.aliases), ("cs_1", vec!["pi_1".to_owned()]));
    assert_eq!((sale.gross, sale.net, sale.currency.code()), (Minor(3_870), Some(Minor(3_000)), "EUR"));
    assert_eq!(sale.referral.unwrap().found_at, "data.object.client_reference_id");
    let (_, named) = self::sale(of(json!({"metadata": {"ref": "mary456"}})));
    assert_eq!(named.referral.unwrap().code, "mary456");
    let late = read_from(both, "checkout.session.async_payment_succeeded", session());
    assert_eq!(self::sale(late).0.object_id, "cs_1");
    for changes in [
        json!({"payment_status": "unpaid"}),
        json!({"mode": "subscription", "subscription": "sub_1", "payment_intent": null}),
        json!({"mode": "setup", "payment_status": "no_payment_required"}),
    ] {
        assert_eq!(ignored(of(changes)), "not_money_event");
    }
    let invoiced = of(json!({"invoice": "in_1"}));
    assert_eq!(links(invoiced), [("in_1".to_owned(), vec!["pi_1".to_owned(), "cs_1".to_owned()])]);
    for family in [SaleFrom::Charge, SaleFrom::Invoice] {
        let other = read_from(family, "checkout.session.completed", session());
        assert_eq!(ignored(other), "not_money_event");
    }
}

#[test]
fn another_family_links_when_it_names_both_ids_and_is_ignored_otherwise() {
    let text = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    assert_eq!(ignored(read("invoice.paid", invoice())), "not_money_event");
    let older = with(invoice(), json!({"charge": "ch_1", "payment_intent": "pi_1"}));
    assert_eq!(links(read("invoice.paid", older)), [("ch_1".to_owned(), text(&["pi_1"]))]);
    let expanded =
        json!({"payments": {"data": [{"payment": {"type": "payment_intent", "payment_intent": "pi_1"}}]}});
    assert_eq!(
        links(read("invoice.paid", with(invoice(), expanded))),
        [("pi_1".to_owned(), text(&["in_1"]))]
    );
    // Two payments of one invoice are two sales where charges are money: nothing may make them one.
    let both = json!({"payments": {"data": [{"payment": {"payment_intent": "pi_1"}}, {"payment": {"payment_intent": "pi_2"}}]}});
    assert_eq!(ignored(read("invoice.paid", with(invoice(), both.clone()))), "not_money_event");
    let (_, whole) = sale(read_from(SaleFrom::Invoice, "invoice.paid", with(invoice(), both)));
    assert_eq!(whole.aliases, ["pi_1", "pi_2"]);

    let intent =
        json!({"id": "pi_1", "object": "payment_intent", "latest_charge": "ch_1", "customer": "cus_1"});
    assert_eq!(
        links(read("payment_intent.succeeded", intent.clone())),
        [("ch_1".to_owned(), text(&["pi_1"]))]
    );
    let keyed = with(intent, json!({"latest_charge": null, "metadata": {"tributary_customer": "key-1"}}));
    let customer = [("cus_1".to_owned(), text(&["stripe.customer=cus_1", "customer_key=key-1"]))];
    assert_eq!(links(read("payment_intent.succeeded", keyed)), customer);

    let payment = json!({"id": "inpay_1", "invoice": "in_1", "payment": {"type": "payment_intent", "payment_intent": "pi_1"}});
    assert_eq!(
        links(read("invoice_payment.paid", payment.clone())),
        [("pi_1".to_owned(), text(&["inpay_1"]))]
    );
    let by_invoice = |event: &str, object: Value| read_from(SaleFrom::Invoice, event, object);
    assert_eq!(links(by_invoice("invoice_payment.paid", payment)), [("in_1".to_owned(), text(&["pi_1"]))]);
    assert_eq!(
        ignored(by_invoice("charge.succeeded", with(charge(), json!({"metadata": {}})))),
        "not_money_event"
    );
    let of_invoice = with(charge(), json!({"invoice": "in_1", "metadata": {}}));
    assert_eq!(
        links(by_invoice("charge.succeeded", of_invoice)),
        [("in_1".to_owned(), text(&["ch_1", "pi_1"]))]
    );
    assert_eq!(links(by_invoice("charge.succeeded", charge())), customer);
}

#[test]
fn customers_subscriptions_and_promotion_codes_tie_people_ends_and_coupons() {
    let customer = json!({"id": "cus_1", "object": "customer", "email": "a@example.com", "metadata": {"customer_key": "key-1"}});
    let [link] = <[Fact; 1]>::try_from(facts(read("customer.updated", customer.clone()))).unwrap();
    assert_eq!((link.object_id.as_str(), link.state.as_str()), ("cus_1", "evt_1"));
    assert_eq!(named(&link.identifiers), ["stripe.customer=cus_1", "customer_key=key-1"]);
    for without in [json!({}), json!({"customer_key": ""}), json!({"customer_key": 7}), json!(null)] {
        let body = with(customer.clone(), json!({"metadata": without}));
        assert_eq!(ignored(read("customer.created", body)), "not_money_event");
    }

    let subscription = json!({"id": "sub_1", "customer": "cus_1", "status": "canceled", "canceled_at": 1_690_000_000,
                              "ended_at": 1_700_000_001, "metadata": {}});
    let [over] =
        <[Fact; 1]>::try_from(facts(read("customer.subscription.deleted", subscription.clone()))).unwrap();
    assert_eq!(over.body, FactBody::SubscriptionCancelled { subscription_id: "sub_1".into() });
    assert_eq!(over.occurred_at, Micros(1_700_000_001_000_000));
    let scheduled = with(subscription, json!({"cancel_at_period_end": true}));
    assert_eq!(ignored(read("customer.subscription.updated", scheduled)), "customer.subscription.updated");

    let promotion =
        json!({"id": "promo_1", "object": "promotion_code", "code": "SAVE20", "coupon": {"id": "c"}});
    let [defined] = <[Fact; 1]>::try_from(facts(read("promotion_code.created", promotion))).unwrap();
    assert_eq!(
        defined.body,
        FactBody::CouponDefinition { provider_ref: "promo_1".into(), code: "SAVE20".into() }
    );
}

#[test]
fn amounts_become_iso_minor_units_and_what_does_not_fit_is_quarantined() {
    let of = |currency: &str, amount: &str| {
        let body = event("charge.succeeded", with(charge(), json!({"currency": currency}))).to_string();
        let body = body.replace("\"amount\":5000", &format!("\"amount\":{amount}"));
        let body = body.replace("\"amount_captured\":5000", &format!("\"amount_captured\":{amount}"));
        let program = ProgramId::from("prog_demo");
        normalize(&SourceRequest {
            program: &program,
            source: "stripe",
            body: body.as_bytes(),
            headers: &[],
            query: "",
            clock: CLOCK,
            settings: &SourceSettings::default(),
            resource: "",
            authenticated_by: "ep_1",
        })
        .reading
    };
    for (currency, sent, minor) in [
        ("usd", "5000", 5_000),
        ("jpy", "5000", 5_000),
        ("kwd", "5000", 5_000),
        ("isk", "500000", 5_000),
        ("ugx", "500000", 5_000),
        ("mga", "50", 5_000),
        ("huf", "5000", 5_000),
        ("usd", "9223372036854775807", i64::MAX),
    ] {
        assert_eq!(sale(of(currency, sent)).1.gross, Minor(minor), "{currency} {sent}");
    }
    for (currency, sent, reason) in [
        ("isk", "500050", "bad_amount"),
        ("ugx", "1", "bad_amount"),
        ("mga", "9223372036854775807", "bad_amount"),
        ("usd", "50.00", "bad_amount"),
        ("usd", "5e3", "bad_amount"),
        ("usd", "-5000", "bad_amount"),
        ("usd", "\"5000\"", "bad_amount"),
        ("usd", "9223372036854775808", "bad_amount"),
        ("usd", "null", "missing_field"),
        ("usd", "5000,\"amount\":5000", "duplicate_key"),
        ("lyd", "5000", "unknown_currency"),
        ("zzz", "5000", "unknown_currency"),
    ] {
        assert_eq!(quarantined(of(currency, sent)), reason, "{currency} {sent}");
    }
}

#[test]
fn keys_are_those_of_the_program_in_its_order() {
    let own = SourceSettings {
        referral_keys: vec!["partner".into(), "ref_code".into()],
        customer_keys: vec!["account_no".into()],
        ..SourceSettings::default()
    };
    let metadata =
        json!({"ref_code": "second", "partner": "first", "account_no": "a-1", "customer_key": "k"});
    let (fact, sale) = sale(
        read_with(&own, &event("charge.succeeded", with(charge(), json!({"metadata": metadata})))).reading,
    );
    assert_eq!(sale.referral.unwrap().code, "first");
    assert_eq!(named(&fact.identifiers), ["stripe.customer=cus_1", "customer_key=a-1"]);
    let repeated = event("charge.succeeded", charge())
        .to_string()
        .replace("\"ref_code\":\"john123\"", "\"ref_code\":\"a\",\"ref_code\":\"a\"");
    let program = ProgramId::from("prog_demo");
    let draft = normalize(&SourceRequest {
        program: &program,
        source: "stripe",
        body: repeated.as_bytes(),
        headers: &[],
        query: "",
        clock: CLOCK,
        settings: &SourceSettings::default(),
        resource: "",
        authenticated_by: "ep_1",
    });
    assert_eq!(quarantined(draft.reading), "duplicate_key");
}

#[test]
fn noise_is_ignored_by_its_name_and_thin_events_by_theirs() {
    for noise in [
        "invoice.created",
        "charge.updated",
        "charge.failed",
        "payout.paid",
        "price.created",
        "never.heard.of",
    ] {
        assert_eq!(ignored(read(noise, json!({"amount": "x"}))), noise);
    }
    let thin = json!({"id": "evt_2", "object": "v2.core.event", "type": "v1.billing.meter.error", "livemode": true,
                      "created": "2026-01-01T00:00:00Z"});
    let draft = read_with(&settings(SaleFrom::Charge), &thin);
    assert_eq!((draft.livemode, ignored(draft.reading).as_str()), (Some(true), "thin_event"));
    let mut nameless = event("charge.succeeded", charge());
    nameless["id"] = json!("");
    let draft = read_with(&settings(SaleFrom::Charge), &nameless);
    assert!(draft.delivery_key.starts_with("sha256:"));
    assert_eq!(quarantined(draft.reading), "missing_field");
    let mut unclear = event("charge.succeeded", charge());
    unclear["livemode"] = json!("no");
    assert_eq!(quarantined(read_with(&settings(SaleFrom::Charge), &unclear).reading), "bad_field");
}

//! The provider's own published bodies, where the folder with them is at hand; they are not copied into this repository.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]
use domain::config::{SaleFrom, SourceSettings};
use domain::facts::{CouponRef, FactBody, ReversalFamily, ReversalState};
use domain::ids::ProgramId;
use domain::money::Minor;
use domain::normalization::Reading;
use domain::time::Micros;
use sources::signature::verify_paddle;
use sources::{SourceRequest, normalize};
use std::path::PathBuf;

/// The folder of a provider's bodies, or `None` with a word on stderr.
fn folder(provider: &str) -> Option<PathBuf> {
    let root = std::env::var_os("TRIBUTARY_FIXTURES").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures"),
        PathBuf::from,
    );
    let folder = root.join("providers").join(provider);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no published bodies in {} (set TRIBUTARY_FIXTURES)", folder.display());
    None
}

fn read(body: &str) -> Reading {
    read_from("paddle", SaleFrom::Charge, body)
}

fn read_from(source: &str, sale_from: SaleFrom, body: &str) -> Reading {
    let program = ProgramId::from("prog_demo");
    sources::json::precheck(body.as_bytes(), sources::json::MAX_DEPTH).unwrap();
    normalize(&SourceRequest {
        program: &program,
        source,
        body: body.as_bytes(),
        headers: &[],
        query: "",
        clock: Micros(0),
        settings: &SourceSettings { sale_from, ..SourceSettings::default() },
        resource: "",
        authenticated_by: "ep_1",
    })
    .reading
}

fn enveloped(event_type: &str, data: &str) -> String {
    format!(
        r#"{{"event_id":"evt_{event_type}","event_type":"{event_type}","occurred_at":"2026-01-01T00:00:00Z","notification_id":"ntf_1","data":{data}}}"#
    )
}

#[test]
fn every_published_body_is_read_as_its_event_says() {
    let Some(folder) = folder("paddle") else { return };
    let mut seen = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(stem) = name.strip_suffix(".json") else { continue };
        let text = std::fs::read_to_string(folder.join(&name)).unwrap();
        let (event, body) = match stem.strip_prefix("data_only.") {
            Some(event) => (event.to_owned(), enveloped(event, &text)),
            None => {
                let value: serde_json::Value = serde_json::from_str(&text).unwrap();
                (value["event_type"].as_str().unwrap().to_owned(), text)
            }
        };
        seen += 1;
        match (event.as_str(), read(&body)) {
            ("transaction.completed", Reading::Facts(facts)) => {
                let FactBody::Sale(sale) = &facts[0].body else { panic!("{name}: a sale") };
                assert_eq!((sale.gross, sale.net), (Minor(65_215), Some(Minor(59_900))), "{name}");
                assert_eq!(sale.lines.len(), 3, "{name}");
                assert!(!matches!(sale.coupon, Some(CouponRef::Code(_))), "{name}");
            }
            ("adjustment.created", Reading::Facts(facts)) => {
                let FactBody::Reversal(reversal) = &facts[0].body else { panic!("{name}: a reversal") };
                assert!(matches!(reversal.state, ReversalState::Pending | ReversalState::Live), "{name}");
                assert!(reversal.net.is_some_and(|net| net < reversal.gross), "{name}");
            }
            ("customer.created", Reading::Facts(facts)) => {
                assert_eq!(facts[0].body, FactBody::CustomerLink, "{name}");
                assert_eq!(facts[0].identifiers.len(), 2, "{name}");
            }
            ("discount.created", Reading::Facts(facts)) => {
                assert!(matches!(facts[0].body, FactBody::CouponDefinition { .. }), "{name}");
            }
            ("subscription.canceled", Reading::Facts(facts)) => {
                assert!(matches!(facts[0].body, FactBody::SubscriptionCancelled { .. }), "{name}");
            }
            (event, Reading::Ignored { reason }) => assert_eq!(reason, event, "{name}"),
            (_, other) => panic!("{name}: {other:?}"),
        }
    }
    assert!(seen >= 17, "{seen} bodies");
}

#[test]
fn published_signatures_hold_over_the_exact_bytes_only() {
    let Some(folder) = folder("paddle") else { return };
    let secret = "pdl_ntfset_01hs0t3tw21j988db1pam5xg8m_GrOWLNef+vmtjJYq4mSnHNzvc8uWoJ1I";
    for (name, seconds, h1) in [
        (
            "signed.customer.created",
            1_710_498_758,
            "558bf93944dbeb4790c7a8af6cb2ea435c8ca9c8396aafc1a4e37424ac132744",
        ),
        (
            "signed.customer.special_chars",
            1_710_498_288,
            "38219b3ba1578184e625c29d201a27cd25bd69e2ec9c3ab87dcb90d87ff73a41",
        ),
    ] {
        let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
        let body = text.strip_suffix('\n').unwrap_or(&text).as_bytes();
        let header = format!("ts={seconds};h1={h1}");
        let now = Micros(seconds * 1_000_000);
        assert_eq!(verify_paddle(Some(&header), body, &[secret], 0, now), Ok(()), "{name}");
        let longer = [body, b"\n"].concat();
        assert!(verify_paddle(Some(&header), &longer, &[secret], 0, now).is_err(), "{name}");
    }
}

/// What a reading comes to, in a line: (kind of the first fact or reason, gross, net).
fn outline(reading: &Reading) -> (String, Option<i64>, Option<i64>) {
    match reading {
        Reading::Facts(facts) => match &facts[0].body {
            FactBody::Sale(sale) => ("sale".to_owned(), Some(sale.gross.0), sale.net.map(|net| net.0)),
            FactBody::Reversal(reversal) => {
                let counts = match reversal.state {
                    ReversalState::Pending => "pending",
                    ReversalState::Live => "live",
                    ReversalState::Dead => "dead",
                };
                assert!(reversal.family != ReversalFamily::ChargebackWarning);
                (format!("{} {counts}", reversal.family.name()), Some(reversal.gross.0), None)
            }
            body => (body.kind().to_owned(), None, None),
        },
        Reading::Ignored { reason } => (reason.clone(), None, None),
        Reading::Quarantined { reason, detail } => panic!("{reason}: {detail}"),
    }
}

#[test]
fn every_published_body_of_stripe_is_understood_in_each_family() {
    let Some(folder) = folder("stripe") else { return };
    let not_money = || ("not_money_event".to_owned(), None, None);
    let named = |name: &str| (name.to_owned(), None, None);
    let amount = |kind: &str, gross: i64| (kind.to_owned(), Some(gross), None);
    let sale = |gross: i64, net: Option<i64>| ("sale".to_owned(), Some(gross), net);
    // (file, its type where it has no envelope, read by charge, by invoice, by checkout and invoice)
    let expected = [
        ("charge.succeeded", "", sale(2_000, None), not_money(), not_money()),
        ("payment_intent.succeeded", "", named("sale_link"), not_money(), not_money()),
        (
            "charge.refunded",
            "",
            amount("refund_total live", 100),
            amount("refund_total live", 100),
            amount("refund_total live", 100),
        ),
        (
            "data_only.charge.refunded.partial",
            "charge.refunded",
            amount("refund_total live", 500),
            amount("refund_total live", 500),
            amount("refund_total live", 500),
        ),
        (
            "charge.refund.updated",
            "",
            amount("refund live", 100),
            amount("refund live", 100),
            amount("refund live", 100),
        ),
        (
            "object_only.latest_api.refund",
            "refund.created",
            amount("refund live", 100),
            amount("refund live", 100),
            amount("refund live", 100),
        ),
        (
            "charge.dispute.created",
            "",
            amount("chargeback pending", 100),
            amount("chargeback pending", 100),
            amount("chargeback pending", 100),
        ),
        (
            "charge.dispute.funds_withdrawn",
            "",
            amount("chargeback pending", 25_000),
            amount("chargeback pending", 25_000),
            amount("chargeback pending", 25_000),
        ),
        (
            "charge.dispute.closed",
            "",
            amount("chargeback dead", 1_000),
            amount("chargeback dead", 1_000),
            amount("chargeback dead", 1_000),
        ),
        (
            "object_only.latest_api.dispute",
            "charge.dispute.created",
            amount("chargeback pending", 1_000),
            amount("chargeback pending", 1_000),
            amount("chargeback pending", 1_000),
        ),
        ("object_only.latest_api.charge", "charge.succeeded", not_money(), not_money(), not_money()),
        ("invoice.paid", "", named("sale_link"), sale(2_000, Some(2_000)), sale(2_000, Some(2_000))),
        (
            "invoice.payment_succeeded",
            "",
            named("sale_link"),
            sale(2_000, Some(2_000)),
            sale(2_000, Some(2_000)),
        ),
        (
            "object_only.invoice.with_tax_and_discount",
            "invoice.paid",
            named("sale_link"),
            sale(24_512, Some(22_707)),
            sale(24_512, Some(22_707)),
        ),
        (
            "object_only.latest_api.invoice",
            "invoice.paid",
            not_money(),
            sale(1_000, Some(1_000)),
            sale(1_000, Some(1_000)),
        ),
        ("checkout.session.completed", "", not_money(), not_money(), sale(3_000, Some(3_000))),
        ("customer.created", "", not_money(), not_money(), not_money()),
        ("customer.updated", "", not_money(), not_money(), not_money()),
        (
            "customer.subscription.created",
            "",
            named("customer.subscription.created"),
            named("customer.subscription.created"),
            named("customer.subscription.created"),
        ),
        (
            "customer.subscription.deleted",
            "",
            named("subscription_cancelled"),
            named("subscription_cancelled"),
            named("subscription_cancelled"),
        ),
        ("charge.failed", "", named("charge.failed"), named("charge.failed"), named("charge.failed")),
        (
            "data_only.charge.updated.2025",
            "charge.updated",
            named("charge.updated"),
            named("charge.updated"),
            named("charge.updated"),
        ),
    ];
    for (file, event_type, by_charge, by_invoice, by_both) in expected {
        let text = std::fs::read_to_string(folder.join(format!("{file}.json"))).unwrap();
        let data =
            if file.starts_with("object_only.") { format!(r#"{{"object":{text}}}"#) } else { text.clone() };
        let body = if event_type.is_empty() {
            text
        } else {
            format!(
                r#"{{"id":"evt_1","object":"event","type":"{event_type}","created":1700000000,"livemode":false,"data":{data}}}"#
            )
        };
        for (family, expected) in [
            (SaleFrom::Charge, by_charge),
            (SaleFrom::Invoice, by_invoice),
            (SaleFrom::CheckoutAndInvoice, by_both),
        ] {
            assert_eq!(outline(&read_from("stripe", family, &body)), expected, "{file} by {}", family.name());
        }
    }
}

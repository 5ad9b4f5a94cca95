//! Whatever the bytes: no panic, one draft, the same each time.
#![allow(clippy::unwrap_used, missing_docs)]
use domain::config::{SaleFrom, SourceSettings};
use domain::ids::ProgramId;
use domain::normalization::{Draft, Reading};
use domain::time::Micros;
use proptest::prelude::*;
use sources::json::{JsonError, MAX_DEPTH, precheck};
use sources::signature::{verify_paddle, verify_stripe};
use sources::{SourceRequest, normalize};

const BODIES: [&str; 12] = [
    include_str!("fixtures/transaction.completed.json"),
    include_str!("fixtures/adjustment.updated.json"),
    include_str!("fixtures/customer.created.json"),
    include_str!("fixtures/discount.created.json"),
    r#"{"id":"evt_1","object":"event","type":"charge.succeeded","created":1700000000,"livemode":false,"data":{"object":{
        "id":"ch_1","amount":5000,"amount_captured":5000,"captured":true,"status":"succeeded","currency":"usd","created":1,
        "customer":"cus_1","payment_intent":{"id":"pi_1"},"metadata":{"ref_code":"john123","customer_key":"k"}}}}"#,
    r#"{"id":"evt_2","type":"charge.refunded","created":1700000000,"data":{"object":{"id":"ch_1","amount":5000,
        "amount_captured":4000,"amount_refunded":2000,"currency":"isk","payment_intent":"pi_1","invoice":"in_1"}}}"#,
    r#"{"id":"evt_3","type":"invoice.paid","created":1700000000,"data":{"object":{"id":"in_1","currency":"usd","total":5400,
        "total_excluding_tax":5000,"total_taxes":[{"amount":400}],"charge":"ch_1","subscription":"sub_1","customer":"cus_1",
        "discounts":["di_1",{"promotion_code":"promo_1"}],"amount_shipping":0,"metadata":{"via":"mary456"},
        "payments":{"data":[{"payment":{"payment_intent":"pi_1"}}]},"status_transitions":{"paid_at":1700000000},
        "lines":{"data":[{"id":"il_1","amount":6000,"quantity":1,"discount_amounts":[{"amount":1000}],
        "taxes":[{"amount":0,"tax_behavior":"inclusive"}],"pricing":{"price_details":{"price":"p","product":"q"}}}]}}}}"#,
    r#"{"id":"evt_4","type":"checkout.session.completed","data":{"object":{"id":"cs_1","mode":"payment","currency":"mga",
        "payment_status":"paid","amount_total":300,"total_details":{"amount_tax":10,"amount_shipping":5},"customer":"cus_1",
        "payment_intent":"pi_1","client_reference_id":"john123","metadata":{"ref":""}}}}"#,
    r#"{"id":"evt_5","type":"charge.dispute.closed","data":{"object":{"id":"dp_1","amount":900,"currency":"usd",
        "status":"lost","charge":"ch_1","payment_intent":"pi_1"}}}"#,
    r#"{"id":"evt_6","type":"refund.updated","data":{"object":{"id":"re_1","amount":900,"currency":"usd",
        "status":"pending","charge":"ch_1","payment_intent":"pi_1"}}}"#,
    r#"{"id":"evt_7","type":"customer.subscription.deleted","data":{"object":{"id":"sub_1","customer":"cus_1",
        "ended_at":1700000000,"canceled_at":1700000000,"metadata":{"customer_key":"k"}}}}"#,
    r#"{"id":"evt_8","type":"payment_intent.succeeded","data":{"object":{"id":"pi_1","customer":"cus_1","latest_charge":null,
        "charges":{"data":[{"id":"ch_1"}]},"invoice":"in_1","metadata":{"customer_key":"k"}}}}"#,
];
const REFERRAL: &str =
    r#"{"ref_code":"john123","program_id":"prog_demo","spent_amount":1,"transaction_id":"t"}"#;

fn read(source: &str, body: &[u8]) -> Draft {
    read_from(SaleFrom::Charge, source, body)
}

fn read_from(sale_from: SaleFrom, source: &str, body: &[u8]) -> Draft {
    let program = ProgramId::from("prog_demo");
    normalize(&SourceRequest {
        program: &program,
        source,
        body,
        headers: &[],
        query: "",
        clock: Micros(0),
        settings: &SourceSettings { sale_from, ..SourceSettings::default() },
        resource: "",
        authenticated_by: "ep_1",
    })
}

/// Everything that a stranger's bytes meet.
fn meet(body: &[u8]) {
    let door = precheck(body, MAX_DEPTH);
    for (source, sale_from) in [
        ("paddle", SaleFrom::Charge),
        ("stripe", SaleFrom::Charge),
        ("stripe", SaleFrom::Invoice),
        ("stripe", SaleFrom::CheckoutAndInvoice),
        ("revshare", SaleFrom::Charge),
        ("nobody", SaleFrom::Charge),
    ] {
        let draft = read_from(sale_from, source, body);
        assert!(!draft.delivery_key.is_empty());
        assert_eq!(draft, read_from(sale_from, source, body));
        if door.is_err() && door != Err(JsonError::TooDeep) {
            assert!(matches!(draft.reading, Reading::Quarantined { .. }), "{draft:?}");
        }
    }
    let _answer = sources::dialects::revshare::validate(body);
}

proptest! {
    #[test]
    fn random_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..300), header in ".{0,120}") {
        meet(&body);
        prop_assert!(verify_paddle(Some(&header), &body, &["secret"], 0, Micros(0)).is_err());
        prop_assert!(verify_stripe(Some(&header), &body, &["secret"], 0, Micros(0)).is_err());
    }

    #[test]
    fn damaged_bodies_never_panic(
        which in 0..=BODIES.len(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let mut body = BODIES.get(which).copied().unwrap_or(REFERRAL).as_bytes().to_vec();
        for (place, byte) in damage {
            let at = place.index(body.len());
            body[at] = byte;
        }
        if cuts {
            body.truncate(cut.index(body.len()));
        }
        meet(&body);
    }

    #[test]
    fn values_of_any_kind_in_any_place_never_panic(
        which in 0..=BODIES.len(),
        place in any::<prop::sample::Index>(),
        value in prop::sample::select(vec![
            "null", "true", "-1", "0", "1e999", "9223372036854775808", "1.5", "\"\"", "\"\\u0000\"", "\"\\ud800\"",
            "\"2026-13-01T00:00:00Z\"", "[]", "[[]]", "{}", "[{}]", "{\"id\":{}}",
        ]),
    ) {
        let body = BODIES.get(which).copied().unwrap_or(REFERRAL);
        let starts: Vec<usize> = body.match_indices(':').map(|(at, _)| at + 1).collect();
        let at = starts[place.index(starts.len())];
        let end = body[at..].find([',', '}', ']']).map_or(body.len(), |end| at + end);
        meet(format!("{}{value}{}", &body[..at], &body[end..]).as_bytes());
    }
}

#[test]
fn the_door_refuses_what_is_no_object_of_bounded_depth() {
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    assert_eq!(precheck(nested(64).as_bytes(), MAX_DEPTH), Ok(()));
    assert_eq!(precheck(nested(65).as_bytes(), MAX_DEPTH), Err(JsonError::TooDeep));
    assert_eq!(precheck(nested(100_000).as_bytes(), MAX_DEPTH), Err(JsonError::TooDeep));
    for (body, expected) in [
        (&b"{\"a\": \"[[\\\"[[[{{{\"}"[..], Ok(())),
        (b" \r\n\t{}\n", Ok(())),
        (b"{\"a\":\"\\ud800\"}", Ok(())),
        (b"", Err(JsonError::NotJson)),
        (b"{} {}", Err(JsonError::NotJson)),
        (b"{\"a\":1,}", Err(JsonError::NotJson)),
        (b"{\"a\":01}", Err(JsonError::NotJson)),
        (b"{\"a\":NaN}", Err(JsonError::NotJson)),
        (b"{\"a\":\"\x01\"}", Err(JsonError::NotJson)),
        (b"\xef\xbb\xbf{}", Err(JsonError::NotJson)),
        (b"[{}]", Err(JsonError::NotObject)),
        (b"\"{\"", Err(JsonError::NotObject)),
        (b"null", Err(JsonError::NotObject)),
        (b"{\"a\":\"\xff\"}", Err(JsonError::InvalidUtf8)),
    ] {
        assert_eq!(precheck(body, MAX_DEPTH), expected, "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn a_source_that_nobody_reads_is_kept_for_a_version_that_does() {
    let Reading::Quarantined { reason, .. } = read("nobody", b"{}").reading else { panic!("quarantined") };
    assert_eq!(reason, "unknown_source");
}

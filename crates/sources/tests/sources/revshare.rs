//! Revshare: what the dialect takes and what it answers.
#![allow(clippy::unwrap_used, missing_docs)]
use domain::commission::{Answer, CommissionStatus};
use domain::config::SourceSettings;
use domain::facts::{FactBody, Personal};
use domain::ids::{EventId, ProgramId};
use domain::money::{Currency, Minor};
use domain::normalization::{Reading, VerdictKind};
use domain::time::Micros;
use serde_json::{Value, json};
use sources::dialects::revshare::{Outcome, RevshareRequest, respond, validate};
use sources::{SourceRequest, normalize};

fn body() -> Value {
    json!({"ref_code": "john123", "program_id": "prog_demo", "spent_amount": 5000, "transaction_id": "order_1"})
}

fn with(field: &str, value: Value) -> String {
    let mut body = body();
    body[field] = value;
    body.to_string()
}

fn request() -> RevshareRequest {
    validate(body().to_string().as_bytes()).unwrap()
}

fn answer() -> Answer {
    let event = EventId::derive(&"prog_demo".into(), &"revshare".into(), "order_1");
    Answer {
        event,
        sale: None,
        commission: Some("com_1".into()),
        partner: Some("ptn_john".into()),
        amount: Minor(1_000),
        currency: Currency::parse("USD"),
        status: Some(CommissionStatus::Review),
        declined: String::new(),
        payout: None,
    }
}

#[test]
fn currency_and_customer_are_optional_and_unknown_fields_are_not_looked_at() {
    let plain = request();
    assert_eq!((plain.currency.code(), &plain.customer_id, plain.spent_amount), ("USD", &None, Minor(5_000)));
    let mut full = body();
    full["currency"] = json!("jPy");
    full["customer_id"] = json!("cus-1");
    full["extra"] = json!({"spent_amount": -1});
    let full = validate(full.to_string().as_bytes()).unwrap();
    assert_eq!((full.currency.code(), full.customer_id.as_deref()), ("JPY", Some("cus-1")));
    assert_eq!(validate(with("currency", json!(null)).as_bytes()).unwrap().currency.code(), "USD");
}

#[test]
fn each_wrong_field_is_named() {
    let long = "x".repeat(256);
    let raw = |amount: &str| body().to_string().replace("5000", amount);
    for (body, fields) in [
        ("{}".to_owned(), vec!["ref_code", "program_id", "spent_amount", "transaction_id"]),
        (with("ref_code", json!("")), vec!["ref_code"]),
        (with("ref_code", json!(7)), vec!["ref_code"]),
        (with("spent_amount", json!("5000")), vec!["spent_amount"]),
        (raw("-1"), vec!["spent_amount"]),
        (raw("50.0"), vec!["spent_amount"]),
        (raw("5e3"), vec!["spent_amount"]),
        (raw("9223372036854775808"), vec!["spent_amount"]),
        (raw("null"), vec!["spent_amount"]),
        (raw("5000,\"spent_amount\":5000"), vec!["spent_amount"]),
        (with("transaction_id", json!("a\u{0}b")), vec!["transaction_id"]),
        (with("transaction_id", json!(long)), vec!["transaction_id"]),
        (with("transaction_id", json!("x".repeat(255))).replace("john123", "\\ud800"), vec!["ref_code"]),
        (with("currency", json!("ZZZ")), vec!["currency"]),
        (with("currency", json!("")), vec!["currency"]),
        (with("customer_id", json!("")), vec!["customer_id"]),
        (with("customer_id", json!(12)), vec!["customer_id"]),
        ("[1]".to_owned(), vec![]),
        ("{".to_owned(), vec![]),
    ] {
        assert_eq!(validate(body.as_bytes()), Err(fields), "{body}");
    }
    assert_eq!(validate(raw("0").as_bytes()).unwrap().spent_amount, Minor(0));
    assert_eq!(validate(raw("9223372036854775807").as_bytes()).unwrap().spent_amount, Minor(i64::MAX));
}

#[test]
fn a_referral_is_a_sale_as_sent_under_the_callers_transaction() {
    let program = ProgramId::from("prog_demo");
    let mut body = body();
    body["customer_id"] = json!("cus-1");
    let draft = normalize(&SourceRequest {
        program: &program,
        source: "revshare",
        body: body.to_string().as_bytes(),
        headers: &[],
        query: "",
        clock: Micros(77),
        settings: &SourceSettings::default(),
        resource: "",
        authenticated_by: "ep_1",
    });
    assert_eq!(
        (draft.delivery_key.as_str(), draft.refuse_unknown_code, draft.livemode),
        ("order_1", true, None)
    );
    let Reading::Facts(facts) = draft.reading else { panic!("facts") };
    let [fact] = facts.as_slice() else { panic!("one fact") };
    assert_eq!((fact.object_id.as_str(), fact.occurred_at), ("order_1", Micros(77)));
    assert_eq!(fact.identifiers[0].namespace, "customer_key");
    assert_eq!(fact.identifiers[0].value, Personal::Open("cus-1".into()));
    let FactBody::Sale(sale) = &fact.body else { panic!("a sale") };
    assert_eq!((sale.gross, sale.net, sale.external_id.as_str()), (Minor(5_000), None, "order_1"));
    assert_eq!(sale.referral.as_ref().unwrap().code, "john123");
}

#[test]
fn answers_are_those_of_the_dialect() {
    let (request, answer) = (request(), answer());
    let id = format!("rs_{}", &answer.event.0["evt_".len()..]);
    let success = |amount: Value, status: &str, duplicate: bool| {
        json!({"success": true, "referral_id": id, "transaction_id": "order_1", "ref_code": "john123",
               "program_id": "prog_demo", "commission_amount": amount, "currency": "USD", "status": status,
               "duplicate": duplicate})
    };
    let said = |kind, reason: &str, answer: Option<&Answer>, duplicate| {
        respond(&Outcome::of_verdict(&request, kind, reason, answer, duplicate))
    };
    let given = Some(&answer);
    assert_eq!(said(VerdictKind::Applied, "", given, false), (200, success(json!(1_000), "pending", false)));
    assert_eq!(said(VerdictKind::Duplicate, "", given, true), (200, success(json!(1_000), "pending", true)));
    let nothing =
        Answer { commission: None, partner: None, amount: Minor(0), status: None, ..answer.clone() };
    assert_eq!(
        said(VerdictKind::Applied, "", Some(&nothing), false),
        (200, success(json!(0), "none", false))
    );
    let unknown = (404, json!({"error": "Affiliate not found"}));
    assert_eq!(said(VerdictKind::Ignored, "unknown_code", None, false), unknown);
    let conflict = (409, json!({"error": "Transaction already recorded with different data"}));
    assert_eq!(said(VerdictKind::Quarantined, "conflict", None, false), conflict);
    let pending = (202, success(json!(null), "pending", false));
    assert_eq!(said(VerdictKind::Quarantined, "defect", None, false), pending);
    assert_eq!(respond(&Outcome::Pending { request: &request }), pending);
    for (outcome, expected) in [
        (Outcome::BadKey, (401, json!({"error": "Invalid API key"}))),
        (Outcome::Forbidden, (403, json!({"error": "Program not accessible"}))),
        (Outcome::UnknownProgram, (404, json!({"error": "Program not found"}))),
        (Outcome::RateLimited, (429, json!({"error": "Rate limit exceeded"}))),
        (
            Outcome::Invalid { fields: &["transaction_id"] },
            (400, json!({"error": "Missing required fields", "fields": ["transaction_id"]})),
        ),
    ] {
        assert_eq!(respond(&outcome), expected);
    }
}

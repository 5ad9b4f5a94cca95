//! Payouts over HTTP: what is logged, what is answered, and what is refused before or after.
use crate::fake_log::FakeLog;
use crate::harness::{Gateway, configure_key_as, gateway, gateway_with, limits, master_key};
use domain::config::ConfigObject;
use domain::payouts::Schedule;
use serde_json::{Value, json};
use wire::v1;

const PROGRAM: &str = "/v1/programs/prog_demo";
const SECRET: &str = "canary.partner@example.com";

fn told(declined: &str) -> v1::OutcomeRecord {
    let answer = v1::Answer {
        event_id: "evt_1".into(),
        partner_id: "mary".into(),
        commission_minor: 530,
        currency: "USD".into(),
        declined: declined.into(),
        payout_id: "pay_1".into(),
        payout_status: "drafted".into(),
        ..v1::Answer::default()
    };
    v1::OutcomeRecord { verdict: v1::VerdictKind::Applied.into(), answer: Some(answer), ..Default::default() }
}

async fn sk(gateway: &Gateway, method: &str, path: &str, body: &str) -> (u16, Value) {
    gateway.native(method, &format!("{PROGRAM}/{path}"), "sk_demo", body).await
}

fn error(answer: &(u16, Value)) -> (u16, &str, &str) {
    let error = &answer.1["error"];
    (answer.0, error["code"].as_str().unwrap_or("none"), error["field"].as_str().unwrap_or("none"))
}

#[tokio::test]
async fn what_the_path_says_is_logged_in_the_body_and_the_answer_names_the_payout() {
    let gateway = gateway().await;
    gateway.log.answer_with(|_| Some(told("")));
    let payout = json!({"payout_id": "pay_1", "partner_id": "mary", "amount": 530, "currency": "USD", "status": "drafted"});
    let draft = r#"{"partner_id":"mary","currency":"USD","idempotency_key":"june"}"#;
    let (status, body) = sk(&gateway, "POST", "payouts", draft).await;
    assert_eq!((status, &body["payout"], &body["commission"]), (200, &payout, &Value::Null), "{body}");
    for (path, body, resource, logged) in [
        ("payouts/pay_1/settle", "", "payout-settlements", r#"{"payout_id":"pay_1"}"#),
        (
            "payouts/pay_1/settle",
            r#" {"amount":530,"currency":"USD"}"#,
            "payout-settlements",
            r#"{"payout_id":"pay_1","amount":530,"currency":"USD"}"#,
        ),
        (
            "payouts/pay_1/fail",
            r#"{"reason":"x"}"#,
            "payout-failures",
            r#"{"payout_id":"pay_1","reason":"x"}"#,
        ),
        (
            "payouts/pay%22/return",
            r#"{"reason":"x"}"#,
            "payout-returns",
            r#"{"payout_id":"pay\"","reason":"x"}"#,
        ),
    ] {
        let answer = sk(&gateway, "POST", path, body).await;
        assert_eq!(answer.0, 200, "{}", answer.1);
        let last = gateway.log.ingested().pop().unwrap();
        assert_eq!((last.resource.as_str(), last.body.as_ref()), (resource, logged.as_bytes()));
    }
    let write_off = r#"{"currency":"USD","reason":"left","idempotency_key":"w1"}"#;
    let (_, body) = sk(&gateway, "POST", "partners/mary/write-offs", write_off).await;
    assert_eq!(body["written_off"], json!({"partner_id": "mary", "amount": 530, "currency": "USD"}));
}

#[tokio::test]
async fn what_the_ledger_declines_is_refused_with_the_field_and_the_reason() {
    let gateway = gateway().await;
    let draft = r#"{"partner_id":"mary","currency":"USD","idempotency_key":"june"}"#;
    let settle = r#"{"amount":1,"currency":"EUR"}"#;
    let write_off = r#"{"currency":"USD","amount":9,"reason":"left","idempotency_key":"w1"}"#;
    let settling = "payouts/pay_1/settle";
    for (path, body, word, status, code, field) in [
        (settling, settle, "unknown_payout", 404, "unknown_payout", "payout_id"),
        (settling, settle, "wrong_status", 409, "declined", "payout_id"),
        (settling, settle, "wrong_currency", 409, "declined", "currency"),
        (settling, settle, "wrong_amount", 409, "declined", "amount"),
        ("payouts", draft, "below_minimum", 409, "declined", "partner_id"),
        ("payouts", draft, "no_rate", 409, "declined", "currency"),
        ("partners/mary/write-offs", write_off, "more_than_debt", 409, "declined", "amount"),
    ] {
        gateway.log.answer_with(move |_| Some(told(word)));
        let answer = sk(&gateway, "POST", path, body).await;
        assert_eq!(error(&answer), (status, code, field), "{word}: {}", answer.1);
        let message = answer.1["error"]["message"].as_str().unwrap();
        assert!(word == "unknown_payout" || message.contains(word), "{message}");
    }
    let nobody = v1::OutcomeRecord {
        verdict: v1::VerdictKind::Quarantined.into(),
        reason: "unknown_partner".into(),
        ..Default::default()
    };
    gateway.log.answer_with(move |_| Some(nobody.clone()));
    let answer = sk(&gateway, "POST", "payouts", draft).await;
    assert_eq!(error(&answer), (404, "unknown_partner", "partner_id"));
}

#[tokio::test]
async fn bad_bodies_are_refused_with_the_field_and_nothing_is_logged() {
    let gateway = gateway().await;
    let rate = r#"{"rate_id":"r","from":"EUR","to":"USD","mantissa":0,"exponent":0}"#;
    let negative = rate.replace(":0,", ":-1,");
    for (method, path, body, code, field) in [
        ("POST", "rates", rate, "bad_field", "mantissa"),
        ("POST", "rates", negative.as_str(), "bad_field", "mantissa"),
        ("POST", "payouts", r#"{"partner_id":"m","currency":"USD"}"#, "missing_field", "idempotency_key"),
        ("POST", "payouts/p/settle", r#"{"payout_id":"other"}"#, "unknown_field", "payout_id"),
        ("POST", "payouts/p/settle", r#"{"currency":"ZZZ"}"#, "unknown_currency", "currency"),
        ("POST", "payouts/p/return", "", "missing_field", "reason"),
        ("POST", "payouts/4242424242424242/settle", "", "card_number", "payout_id"),
        ("POST", "payouts/p/settle", "[", "malformed_body", "none"),
        ("PUT", "partners/m/payout-destination", r#"{"method":"paypal","email":"m"}"#, "bad_field", "email"),
        (
            "PUT",
            "partners/m/payout-destination",
            r#"{"method":"paypal","sealed":"00"}"#,
            "unknown_field",
            "sealed",
        ),
        ("PUT", "payout-terms", r#"{"schedule":"weekly","day":9}"#, "bad_field", "day"),
    ] {
        let answer = sk(&gateway, method, path, body).await;
        assert_eq!(error(&answer), (400, code, field), "{path} {body}: {}", answer.1);
    }
    assert!(gateway.log.ingested().is_empty() && gateway.log.configured().is_empty());
}

#[tokio::test]
async fn a_destination_is_sealed_for_its_partner_before_it_is_logged() {
    let gateway = gateway().await;
    gateway.log.answer_with(|_| {
        Some(v1::OutcomeRecord { verdict: v1::VerdictKind::Applied.into(), ..Default::default() })
    });
    let body = format!(r#"{{"method":"paypal","email":"{SECRET}"}}"#);
    for _ in 0..2 {
        let (status, answer) = sk(&gateway, "PUT", "partners/mary/payout-destination", &body).await;
        assert!(status == 200 && !answer.to_string().contains(SECRET), "{answer}");
    }
    assert_eq!(sk(&gateway, "DELETE", "partners/mary/payout-destination", "").await.0, 200);
    let logged = gateway.log.ingested();
    let read = |at: usize| -> Value { serde_json::from_slice(&logged[at].body).unwrap() };
    assert!(logged.iter().all(|one| !String::from_utf8_lossy(&one.body).contains(SECRET)));
    let (first, second, gone) = (read(0), read(1), read(2));
    assert_eq!(first["sealed"], second["sealed"], "the same destination is the same bytes");
    assert_ne!(first["idempotency_key"], second["idempotency_key"], "each write is a fact of its own");
    assert_eq!((&first["partner_id"], &first["method"]), (&json!("mary"), &json!("paypal")));
    assert!(gone.get("sealed").is_none() && gone.get("method").is_none(), "{gone}");
    let sealed = hex::decode(first["sealed"].as_str().unwrap()).unwrap();
    let plain = master_key().open_payout_destination("prog_demo", "mary", &sealed).unwrap();
    assert_eq!(**plain, *format!(r#"{{"method":"paypal","email":"{SECRET}"}}"#).as_bytes());
    assert!(master_key().open_payout_destination("prog_demo", "john", &sealed).is_err());
}

#[tokio::test]
async fn terms_are_configuration_of_the_program_or_of_one_partner() {
    let gateway = gateway().await;
    let body =
        r#"{"schedule":"monthly","day":31,"minimums":[{"amount":5000,"currency":"USD"}],"pay_in":"EUR"}"#;
    let (status, answer) = sk(&gateway, "PUT", "payout-terms", body).await;
    let shown = json!({"partner_id": null, "schedule": "monthly", "day": 31, "pay_in": "EUR",
        "minimums": [{"amount": 5000, "currency": "USD"}]});
    assert_eq!((status, &answer["object"]), (200, &shown), "{answer}");
    sk(&gateway, "PUT", "partners/mary/payout-terms", "").await;
    sk(&gateway, "DELETE", "partners/mary/payout-terms", "").await;
    let facts = gateway.log.configured();
    let keys: Vec<(String, bool)> = facts.iter().map(|fact| (fact.key(), fact.removed)).collect();
    let wanted = [
        ("payout_terms/prog_demo/", false),
        ("payout_terms/prog_demo/mary", false),
        ("payout_terms/prog_demo/mary", true),
    ];
    assert_eq!(keys, wanted.map(|(key, removed)| (key.to_owned(), removed)));
    let ConfigObject::PayoutTerms(terms) = &facts[0].object else { panic!("no terms") };
    assert_eq!(terms.schedule, Schedule::Monthly { day: 31 });
}

#[tokio::test]
async fn payouts_need_the_right_to_approve_and_what_they_go_by_the_right_to_configure() {
    let log = FakeLog::new();
    let gateway = gateway_with(log, limits()).await;
    for (key, scope) in [("sk_approve", "approve"), ("sk_configure", "configure")] {
        let like =
            v1::ApiKey { account_id: "acc_demo".into(), scopes: vec![scope.into()], ..Default::default() };
        configure_key_as(&gateway.log, 5, key, "prog_demo", like);
    }
    gateway.log.answer_with(|_| Some(told("")));
    let rate = r#"{"rate_id":"r","from":"EUR","to":"USD","mantissa":1,"exponent":0}"#;
    for (method, path, body, approve) in [
        ("POST", "payouts", r#"{"partner_id":"m","currency":"USD","idempotency_key":"k"}"#, true),
        ("POST", "payouts/p/settle", "", true),
        ("POST", "partners/m/write-offs", r#"{"currency":"USD","reason":"x","idempotency_key":"k"}"#, true),
        ("POST", "rates", rate, false),
        ("PUT", "payout-terms", "", false),
        ("PUT", "partners/m/payout-destination", r#"{"method":"paypal","email":"m@x.example"}"#, false),
    ] {
        let path = format!("{PROGRAM}/{path}");
        for (key, may) in [("sk_approve", approve), ("sk_configure", !approve), ("pk_demo", false)] {
            let (status, answer) = gateway.native(method, &path, key, body).await;
            assert_eq!(status, if may { 200 } else { 403 }, "{key} {path}: {answer}");
        }
    }
}

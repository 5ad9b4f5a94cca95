//! What the native API takes of the ledger's second half: divided sales, leads, decisions in bulk, adjustments, release.
use crate::harness::{Gateway, gateway};
use domain::config::{ConfigObject, Release, ReleaseMode};
use domain::ids::{EventId, SaleId};
use serde_json::{Value, json};
use wire::v1;

const PROGRAM: &str = "/v1/programs/prog_demo";

async fn post(gateway: &Gateway, resource: &str, body: &str) -> (u16, Value) {
    gateway.native("POST", &format!("{PROGRAM}/{resource}"), "sk_demo", body).await
}

fn said(verdict: v1::VerdictKind, reason: &str, declined: Option<&str>) -> v1::OutcomeRecord {
    let answer = declined.map(|declined| v1::Answer {
        event_id: "evt_first".into(),
        declined: declined.into(),
        ..Default::default()
    });
    let detail = format!("what the log says of {reason}");
    v1::OutcomeRecord { verdict: verdict.into(), reason: reason.into(), detail, answer, ..Default::default() }
}

fn applied() -> v1::OutcomeRecord {
    said(v1::VerdictKind::Applied, "", Some(""))
}

#[tokio::test]
async fn each_resource_is_logged_as_what_it_is_and_needs_its_scope() {
    let gateway = gateway().await;
    gateway.log.answer_with(|_| Some(applied()));
    let lead = r#"{"external_id":"1","code":"john123","customer":{"key":"c1"}}"#;
    let sale = r#"{"external_id":"1","amount":900,"currency":"USD","fraud":["velocity"],"shares":[
        {"code":"john123","share_ppm":666667},{"partner_id":"partner_mary","share_ppm":333333}]}"#;
    let hold = r#"{"commission_id":"com_1","decision":"hold","reason":"odd","actor":"Jo"}"#;
    let release =
        r#"{"commission_id":"com_1","decision":"release","hold":"dispute:dp_1","reason":"the bank called"}"#;
    let reinstate = r#"{"commission_id":"com_1","decision":"reinstate","reason":"a slip"}"#;
    let adjustment = |kind: &str, amount: i64| {
        json!({"external_id": kind, "kind": kind, "partner_id": "partner_john", "amount": amount, "currency": "USD",
            "reason": "agreed"})
        .to_string()
    };
    let (bonus, debit, correction) =
        (adjustment("bonus", 500), adjustment("debit", -500), adjustment("correction", -1));
    let bodies = [
        ("sales", sale, true),
        ("leads", lead, true),
        ("signups", lead, true),
        ("clicks", lead, true),
        ("approvals", hold, false),
        ("approvals", release, false),
        ("approvals", reinstate, false),
        ("adjustments", &bonus, false),
        ("adjustments", &debit, false),
        ("adjustments", &correction, false),
    ];
    for (resource, body, reports) in bodies {
        let answer = post(&gateway, resource, body).await;
        assert_eq!(
            (answer.0, &answer.1["verdict"]),
            (200, &json!("applied")),
            "{resource} {body}: {}",
            answer.1
        );
        let path = format!("{PROGRAM}/{resource}");
        let (status, answer) = gateway.native("POST", &path, "pk_demo", body).await;
        assert_eq!(status, if reports { 200 } else { 403 }, "{resource}: {answer}");
    }
    let logged = gateway.log.ingested();
    let logged: Vec<(&str, bool)> =
        logged.iter().map(|request| (request.resource.as_str(), request.publishable)).collect();
    let wanted: Vec<(&str, bool)> = bodies
        .iter()
        .flat_map(|(resource, _, reports)| [Some((*resource, false)), reports.then_some((*resource, true))])
        .flatten()
        .collect();
    assert_eq!(logged, wanted, "what everybody could have said is marked");
}

#[tokio::test]
async fn the_ids_that_are_told_before_the_outcome_are_those_of_the_kind() {
    let mut limits = crate::harness::limits();
    limits.answer_wait = std::time::Duration::from_millis(50);
    let gateway = crate::harness::gateway_with(crate::fake_log::FakeLog::new(), limits).await;
    for (resource, name) in [("leads", "lead:1"), ("signups", "signup:1"), ("clicks", "click:1")] {
        let (status, body) = post(&gateway, resource, r#"{"external_id":"1"}"#).await;
        let key = format!("{resource}/1/recorded");
        let event = EventId::derive(&"prog_demo".into(), &"native".into(), &key);
        let sale = SaleId::derive(&"prog_demo".into(), &"native".into(), name);
        assert_eq!(
            (status, &body["verdict"], &body["event_id"], &body["sale_id"]),
            (202, &json!("pending"), &json!(event.as_str()), &json!(sale.as_str()))
        );
    }
}

#[tokio::test]
async fn what_the_log_says_of_people_and_decisions_decides_the_status() {
    use v1::VerdictKind::{Applied, Duplicate, Quarantined};
    let gateway = gateway().await;
    let sale =
        r#"{"external_id":"1","amount":9,"currency":"USD","shares":[{"code":"nobody","share_ppm":1000000}]}"#;
    let bonus = r#"{"external_id":"1","kind":"bonus","partner_id":"nobody","amount":5,"currency":"USD","reason":"x"}"#;
    let release = r#"{"commission_id":"com_1","decision":"release","hold":"manual","reason":"seen"}"#;
    for (resource, body, said, status, code, field) in [
        ("sales", sale, said(Quarantined, "unknown_partner", None), 404, "unknown_partner", "shares"),
        (
            "adjustments",
            bonus,
            said(Quarantined, "unknown_partner", None),
            404,
            "unknown_partner",
            "partner_id",
        ),
        ("adjustments", bonus, said(Quarantined, "conflict", None), 409, "conflict", ""),
        ("approvals", release, said(Applied, "", Some("unknown_hold")), 409, "declined", "decision"),
        (
            "approvals",
            release,
            said(Applied, "", Some("unknown_commission")),
            404,
            "unknown_commission",
            "commission_id",
        ),
        ("adjustments", bonus, said(Applied, "", Some("amount_out_of_range")), 409, "declined", "decision"),
    ] {
        let reason = said.reason.clone();
        gateway.log.answer_with(move |_| Some(said.clone()));
        let (seen, answer) = post(&gateway, resource, body).await;
        let error = &answer["error"];
        assert_eq!((seen, error["code"].as_str()), (status, Some(code)), "{answer}");
        assert_eq!(error["field"].as_str().unwrap_or_default(), field);
        assert!(
            reason.is_empty() || error["message"] == format!("what the log says of {reason}"),
            "{answer}"
        );
    }
    // The twin of an adjustment under another key: it counted once, and there is no first answer under this key.
    gateway.log.answer_with(|_| Some(said(Duplicate, "", Some("unknown"))));
    let (status, answer) = post(&gateway, "adjustments", bonus).await;
    assert_eq!((status, &answer["duplicate"], &answer["commission"]), (200, &json!(true), &Value::Null));
}

#[tokio::test]
async fn up_to_a_hundred_decisions_are_taken_at_once_each_with_its_own_result() {
    let gateway = gateway().await;
    gateway.log.answer_with(|request| {
        let second = request.body.windows(7).any(|window| window == b"\"com_2\"");
        Some(said(v1::VerdictKind::Applied, "", Some(if second { "held_until" } else { "" })))
    });
    let decision = |place: usize| json!({"commission_id": format!("com_{place}"), "decision": "approve"});
    let batch = |decisions: Vec<Value>| json!({"batch": decisions}).to_string();
    let mut decisions: Vec<Value> = (1..=99).map(decision).collect();
    decisions.push(json!({"commission_id": "com_100", "decision": "reject"}));
    let (status, body) = post(&gateway, "approvals", &batch(decisions)).await;
    let results = body["results"].as_array().unwrap();
    assert_eq!((status, results.len()), (200, 100));
    let odd: Vec<(usize, u64, &str)> = (1..)
        .zip(results)
        .filter(|(_, result)| result["status"] != 200)
        .map(|(place, result)| {
            (place, result["status"].as_u64().unwrap(), result["body"]["error"]["code"].as_str().unwrap())
        })
        .collect();
    assert_eq!(odd, [(2, 409, "declined"), (100, 400, "missing_field")]);
    assert_eq!(gateway.log.ingested().len(), 99);
    for resource in ["approvals", "adjustments"] {
        let too_many = batch((1..=101).map(decision).collect());
        let (status, body) = post(&gateway, resource, &too_many).await;
        assert_eq!(
            (status, &body["error"]["code"], &body["error"]["field"]),
            (400, &json!("bad_field"), &json!("batch"))
        );
        assert_eq!(body["error"]["message"], "batch must be a list of 1 to 100 objects");
    }
    assert_eq!(gateway.log.ingested().len(), 99, "as a whole");
}

#[tokio::test]
async fn a_program_says_how_it_releases_and_shows_it() {
    let gateway = gateway().await;
    let body =
        r#"{"name":"Shop","currency":"EUR","hold_days":30,"release":{"mode":"calendar","min_hold_days":14}}"#;
    let (status, answer) = gateway.native("PUT", PROGRAM, "sk_demo", body).await;
    assert_eq!(
        (status, &answer["object"]["release"]),
        (200, &json!({"mode": "calendar", "min_hold_days": 14}))
    );
    let (_, answer) = gateway.native("PUT", PROGRAM, "sk_demo", r#"{"name":"Shop","currency":"EUR"}"#).await;
    assert_eq!(answer["object"]["release"], json!({"mode": "days", "min_hold_days": 0}));
    let releases = gateway.log.configured().into_iter().map(|fact| match fact.object {
        ConfigObject::Program(program) => program.release,
        other => panic!("no program: {other:?}"),
    });
    let calendar = Release { mode: ReleaseMode::Calendar, min_hold_days: 14 };
    assert_eq!(releases.collect::<Vec<_>>(), [calendar, Release::default()]);
}

/// Each with the field, and nothing of it is logged.
#[tokio::test]
async fn bad_input_is_refused_with_the_field_and_nothing_is_logged() {
    let gateway = gateway().await;
    let sale = |more: &str| format!(r#"{{"external_id":"1","amount":9,"currency":"USD",{more}}}"#);
    let shares = |shares: &str| sale(&format!(r#""shares":[{shares}]"#));
    let lead = |more: &str| format!(r#"{{"external_id":"1",{more}}}"#);
    let decide = |more: &str| format!(r#"{{"commission_id":"com_1",{more}}}"#);
    let adjust = |kind: &str, amount: &str, more: &str| {
        format!(
            r#"{{"external_id":"1","kind":"{kind}","amount":{amount},"partner_id":"p","currency":"USD"{more}}}"#
        )
    };
    let because = r#","reason":"x""#;
    let whole = r#"{"partner_id":"p","share_ppm":1000000}"#;
    let many = vec![r#"{"partner_id":"p","share_ppm":1}"#; 21].join(",");
    let checks = vec![r#""a""#; 17].join(",");
    let long = format!(r#""{}""#, "a".repeat(65));
    for (resource, body, code, field) in [
        // Shares.
        ("sales", shares(r#"{"partner_id":"p","share_ppm":999999}"#), "contradictory", "shares"),
        ("sales", shares(&format!(r#"{whole},{{"code":"c","share_ppm":1}}"#)), "contradictory", "shares"),
        ("sales", shares(""), "contradictory", "shares"),
        ("sales", shares(&many), "bad_field", "shares"),
        ("sales", shares(r#"{"share_ppm":1000000}"#), "contradictory", "shares[0]"),
        (
            "sales",
            shares(r#"{"partner_id":"p","code":"c","share_ppm":1000000}"#),
            "contradictory",
            "shares[0]",
        ),
        ("sales", shares(r#"{"partner_id":"p","share_ppm":0}"#), "bad_field", "shares[0].share_ppm"),
        ("sales", shares(r#"{"partner_id":"p","share_ppm":1000001}"#), "bad_field", "shares[0].share_ppm"),
        ("sales", shares(r#"{"partner_id":"p","share_ppm":-1}"#), "bad_field", "shares[0].share_ppm"),
        ("sales", shares(r#"{"partner_id":"p","share_ppm":0.5}"#), "bad_field", "shares[0].share_ppm"),
        ("sales", shares(r#"{"partner_id":"p"}"#), "missing_field", "shares[0].share_ppm"),
        ("sales", shares(r#"{"partner_id":"","share_ppm":1000000}"#), "bad_text", "shares[0].partner_id"),
        ("sales", shares(r#"{"partner":"p","share_ppm":1000000}"#), "unknown_field", "shares[0].partner"),
        ("sales", sale(&format!(r#""code":"c","shares":[{whole}]"#)), "contradictory", "shares"),
        ("sales", sale(r#""shares":{}"#), "bad_field", "shares"),
        // Checks for fraud.
        ("sales", sale(&format!(r#""fraud":[{checks}]"#)), "bad_field", "fraud"),
        ("sales", sale(&format!(r#""fraud":["a",{long}]"#)), "bad_text", "fraud[1]"),
        ("sales", sale(r#""fraud":"velocity""#), "bad_field", "fraud"),
        // What has no amount.
        ("leads", lead(r#""amount":1"#), "unknown_field", "amount"),
        ("signups", lead(r#""lines":[]"#), "unknown_field", "lines"),
        ("clicks", lead(r#""currency":"XXX""#), "unknown_currency", "currency"),
        ("clicks", lead(r#""shares":[{"code":"c","share_ppm":1}]"#), "contradictory", "shares"),
        ("leads", "{}".to_owned(), "missing_field", "external_id"),
        // Decisions.
        ("approvals", decide(r#""decision":"undo""#), "bad_field", "decision"),
        ("approvals", decide(r#""decision":"reinstate""#), "missing_field", "reason"),
        ("approvals", decide(r#""decision":"hold""#), "missing_field", "reason"),
        ("approvals", decide(r#""decision":"reject","reason":"  ""#), "missing_field", "reason"),
        ("approvals", decide(r#""decision":"release","reason":"x""#), "missing_field", "hold"),
        ("approvals", decide(r#""decision":"release","reason":"x","hold":"time""#), "bad_field", "hold"),
        ("approvals", decide(r#""decision":"hold","reason":"x","hold":"time""#), "bad_field", "hold"),
        ("approvals", decide(r#""decision":"hold","reason":"x","hold":"manual:""#), "bad_field", "hold"),
        ("approvals", decide(r#""decision":"hold","reason":"x","hold":"dispute:dp_1""#), "bad_field", "hold"),
        ("approvals", decide(r#""decision":"hold","reason":"x","hold":"manual:a\nb""#), "bad_field", "hold"),
        ("approvals", decide(r#""decision":"approve","hold":"manual""#), "contradictory", "hold"),
        // Adjustments.
        ("adjustments", adjust("gift", "1", because), "bad_field", "kind"),
        ("adjustments", adjust("bonus", "0", because), "contradictory", "amount"),
        ("adjustments", adjust("bonus", "-1", because), "contradictory", "amount"),
        ("adjustments", adjust("debit", "1", because), "contradictory", "amount"),
        ("adjustments", adjust("debit", "0", because), "contradictory", "amount"),
        ("adjustments", adjust("correction", "0", because), "contradictory", "amount"),
        ("adjustments", adjust("correction", "-0", because), "contradictory", "amount"),
        ("adjustments", adjust("bonus", "1.0", because), "bad_amount", "amount"),
        ("adjustments", adjust("bonus", "1e2", because), "bad_amount", "amount"),
        ("adjustments", adjust("debit", "-9223372036854775809", because), "bad_amount", "amount"),
        ("adjustments", adjust("bonus", "\"1\"", because), "bad_amount", "amount"),
        ("adjustments", adjust("bonus", "1", ""), "missing_field", "reason"),
        ("adjustments", adjust("bonus", "1", r#","reason":" ""#), "missing_field", "reason"),
        ("adjustments", adjust("bonus", "1", r#","reason":"x","sale":"1""#), "unknown_field", "sale"),
    ] {
        let (status, answer) = post(&gateway, resource, &body).await;
        let error = &answer["error"];
        assert_eq!(
            (status, error["code"].as_str(), error["field"].as_str()),
            (400, Some(code), Some(field)),
            "{resource} {body}: {answer}"
        );
        assert!(error["message"].as_str().is_some_and(|message| message.len() > 10), "{answer}");
    }
    for (release, code, field) in [
        (r#"{"mode":"weekly"}"#, "bad_field", "release.mode"),
        (r#"{"min_hold_days":3651}"#, "bad_field", "release.min_hold_days"),
        (r#"{"min_hold_days":-1}"#, "bad_field", "release.min_hold_days"),
        (r#"{"days":1}"#, "unknown_field", "release.days"),
        (r#""calendar""#, "bad_field", "release"),
    ] {
        let body = format!(r#"{{"name":"Shop","currency":"EUR","release":{release}}}"#);
        let (status, answer) = gateway.native("PUT", PROGRAM, "sk_demo", &body).await;
        let error = &answer["error"];
        assert_eq!(
            (status, error["code"].as_str(), error["field"].as_str()),
            (400, Some(code), Some(field)),
            "{body}"
        );
    }
    assert!(gateway.log.ingested().is_empty() && gateway.log.configured().is_empty());
}

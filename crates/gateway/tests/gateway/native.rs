//! The native API: what each request becomes in the log, and what is answered.
use crate::fake_log::FakeLog;
use crate::harness::{
    BODY, Gateway, SECRET, WEBHOOK, configure_key_as, gateway, gateway_with, limits, seen, signature,
};
use domain::config::{ConfigObject, FlatRefund, KeyScope, Mode, Reward};
use domain::ids::EventId;
use domain::money::{Minor, RatePpm};
use serde_json::{Value, json};
use std::time::Duration;
use wire::v1;

const SALES: &str = "/v1/programs/prog_demo/sales";
const SALE: &str = r#"{ "external_id": "order_1", "amount":10000, "currency":"USD", "code":"john123" }"#;

fn outcome(verdict: v1::VerdictKind, reason: &str) -> v1::OutcomeRecord {
    v1::OutcomeRecord { verdict: verdict.into(), reason: reason.into(), ..Default::default() }
}

fn applied(declined: &str) -> v1::OutcomeRecord {
    let answer = v1::Answer {
        event_id: "evt_first".into(),
        sale_id: "sal_1".into(),
        commission_id: "com_1".into(),
        partner_id: "partner_john".into(),
        commission_minor: 2000,
        currency: "USD".into(),
        status: "pending".into(),
        declined: declined.into(),
        payout_id: String::new(),
        payout_status: String::new(),
    };
    v1::OutcomeRecord { answer: Some(answer), ..outcome(v1::VerdictKind::Applied, "") }
}

async fn sk(gateway: &Gateway, method: &str, path: &str, body: &str) -> (u16, Value) {
    gateway.native(method, path, "sk_demo", body).await
}

fn code(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["error"]["code"].as_str().unwrap_or("none"))
}

#[tokio::test]
async fn a_sale_is_in_the_log_byte_for_byte_and_its_outcome_is_the_answer() {
    let gateway = gateway().await;
    gateway.log.answer_with(|_| Some(applied("")));
    let request = gateway.client.post(gateway.url(SALES)).bearer_auth("sk_demo").body(SALE);
    let (status, body) = seen(request.header("Idempotency-Key", "idem_1").send().await.unwrap()).await;
    let commission = json!({
        "commission_id": "com_1", "partner_id": "partner_john", "amount": 2000, "currency": "USD", "status": "pending",
    });
    let wanted = json!({
        "event_id": "evt_first", "verdict": "applied", "duplicate": false, "reason": null, "sale_id": "sal_1",
        "commission": commission,
    });
    assert_eq!((status, body), (200, wanted));
    let [logged] = gateway.log.ingested().try_into().unwrap();
    assert_eq!(logged.body, SALE.as_bytes());
    assert_eq!(
        (
            logged.source.as_str(),
            logged.resource.as_str(),
            logged.program_id.as_str(),
            logged.authenticated_by.as_str()
        ),
        ("native", "sales", "prog_demo", "key_sk_demo")
    );
    assert_eq!(logged.headers, [v1::Header { name: "idempotency-key".into(), value: "idem_1".into() }]);
}

#[tokio::test]
async fn what_the_log_says_decides_the_status() {
    let gateway = gateway().await;
    let approval = r#"{"commission_id":"com_1","decision":"approve"}"#;
    for (resource, body, said, status, word) in [
        ("sales", SALE, outcome(v1::VerdictKind::Quarantined, "conflict"), 409, "conflict"),
        ("sales", SALE, outcome(v1::VerdictKind::Quarantined, "unknown_program"), 404, "unknown_program"),
        ("approvals", approval, applied("unknown_commission"), 404, "unknown_commission"),
        ("approvals", approval, applied("wrong_status"), 409, "declined"),
        ("approvals", approval, applied(""), 200, "none"),
        ("sales", SALE, outcome(v1::VerdictKind::Quarantined, "defect"), 202, "none"),
        // Its twin came under another idempotency key: there is no first answer under this one.
        ("sales", SALE, outcome(v1::VerdictKind::Duplicate, ""), 200, "none"),
    ] {
        gateway.log.answer_with(move |_| Some(said.clone()));
        let answer = sk(&gateway, "POST", &format!("/v1/programs/prog_demo/{resource}"), body).await;
        assert_eq!(code(&answer), (status, word), "{}", answer.1);
    }
}

#[tokio::test]
async fn an_outcome_that_is_not_known_in_time_is_pending_with_the_final_ids() {
    let mut limits = limits();
    limits.answer_wait = Duration::from_millis(50);
    let gateway = gateway_with(FakeLog::new(), limits).await;
    let (status, body) = sk(&gateway, "POST", SALES, SALE).await;
    let event = EventId::derive(&"prog_demo".into(), &"native".into(), "sales/order_1/recorded");
    assert_eq!((status, &body["verdict"], &body["commission"]), (202, &json!("pending"), &json!(null)));
    assert_eq!(body["event_id"], event.as_str());
}

#[tokio::test]
async fn a_batch_is_one_event_and_one_answer_for_each_item() {
    let gateway = gateway().await;
    gateway.log.answer_with(|request| {
        let second = request.body.windows(7).any(|window| window == b"order_2");
        Some(if second { outcome(v1::VerdictKind::Quarantined, "conflict") } else { applied("") })
    });
    let second = SALE.replace("order_1", "order_2");
    let bad = SALE.replace("10000", "1.5");
    let batch = format!(r#"{{"batch": [{SALE}, {second}, {bad}]}}"#);
    let (status, body) = sk(&gateway, "POST", SALES, &batch).await;
    let results: Vec<(u64, &str)> = body["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["status"].as_u64().unwrap(), one["body"]["error"]["code"].as_str().unwrap_or("none")))
        .collect();
    assert_eq!((status, results), (200, vec![(200, "none"), (409, "conflict"), (400, "bad_amount")]));
    let logged = gateway.log.ingested();
    assert_eq!(logged.len(), 2);
    assert_eq!((logged[0].body.as_ref(), logged[1].body.as_ref()), (SALE.as_bytes(), second.as_bytes()));
    let too_many = format!(r#"{{"batch": [{}]}}"#, vec!["{}"; 1001].join(","));
    assert_eq!(code(&sk(&gateway, "POST", SALES, &too_many).await), (400, "bad_field"));
}

#[tokio::test]
async fn refusals_come_in_the_order_key_scope_body_program() {
    let gateway = gateway().await;
    let post = |key: &'static str, path: &'static str, body: &'static str| {
        let gateway = &gateway;
        async move { gateway.native("POST", path, key, body).await }
    };
    let other = "/v1/programs/prog_other/sales";
    let keys = "/v1/programs/prog_other/keys";
    assert_eq!(code(&post("sk_nobody", other, "{").await), (401, "key_unknown"));
    assert_eq!(code(&post("pk_demo", keys, "{").await), (403, "scope_missing"));
    assert_eq!(code(&post("sk_demo", other, "{").await), (400, "malformed_body"));
    assert_eq!(code(&post("sk_demo", other, "{}").await), (400, "missing_field"));
    assert_eq!(code(&post("sk_demo", other, SALE).await), (404, "unknown_program"));
    assert_eq!(
        code(&post("sk_demo", "/v1/programs/prog_nobody/sales", SALE).await),
        (404, "unknown_program")
    );
    let no_key = gateway.client.post(gateway.url(SALES)).body(SALE).send().await.unwrap();
    assert_eq!(no_key.headers()["www-authenticate"], "Bearer");
    assert_eq!(code(&seen(no_key).await), (401, "key_missing"));
    let basic = gateway.client.post(gateway.url(SALES)).basic_auth("sk_demo", None::<&str>).body(SALE);
    assert_eq!(code(&seen(basic.send().await.unwrap()).await), (401, "key_missing"));
    assert!(gateway.log.ingested().is_empty());
}

#[tokio::test]
async fn a_pair_of_programs_gets_a_key_each_and_both_work_at_once() {
    let gateway = gateway().await;
    gateway.log.answer_with(|_| Some(applied("")));
    let body = r#"{"live_program_id":"prog_live","test_program_id":"prog_test","name":"Shop","currency":"EUR",
        "hold_days":14,"manual_approval":true,"rounding":"half_up"}"#;
    let (status, answer) = sk(&gateway, "POST", "/v1/programs", body).await;
    assert_eq!((status, &answer["status"], &answer["changed"]), (200, &json!("done"), &json!(true)));
    for (place, id, mode, prefix) in
        [(0, "prog_live", Mode::Live, "sk_live_"), (1, "prog_test", Mode::Test, "sk_test_")]
    {
        let program = &answer["object"]["programs"][place];
        assert_eq!((&program["program_id"], &program["hold_days"]), (&json!(id), &json!(14)));
        let key = program["key"]["secret"].as_str().unwrap();
        assert!(key.starts_with(prefix) && key.len() == prefix.len() + 64);
        let sale = gateway.native("POST", &format!("/v1/programs/{id}/sales"), key, SALE).await;
        assert_eq!(sale.0, 200, "{}", sale.1);
        // Each key is bound to its own program.
        let other = if place == 0 { "prog_test" } else { "prog_live" };
        let sale = gateway.native("POST", &format!("/v1/programs/{other}/sales"), key, SALE).await;
        assert_eq!(code(&sale), (404, "unknown_program"));
        let facts = gateway.log.configured();
        let object = facts.iter().find(|fact| fact.key() == format!("program/{id}")).unwrap();
        let ConfigObject::Program(object) = &object.object else { panic!("no program") };
        assert_eq!((object.mode, object.account.as_str(), object.manual_approval), (mode, "acc_demo", true));
        // What is bound to a program creates none.
        let created = gateway.native("POST", "/v1/programs", key, r#"{"name":"x","currency":"EUR"}"#).await;
        assert_eq!(code(&created), (403, "account_key_needed"));
    }
    gateway.log.refuse_configuration(Some(("already_exists", "program_id")));
    assert_eq!(code(&sk(&gateway, "POST", "/v1/programs", body).await), (409, "already_exists"));
}

#[tokio::test]
async fn configuration_becomes_whole_objects_with_who_wrote_them() {
    let gateway = gateway().await;
    for (method, path, body) in [
        ("PUT", "partners/partner%20anna", r#"{"name":"Anna"}"#),
        ("PUT", "codes/a%2Fb", r#"{"partner_id":"partner anna","active":false}"#),
        ("PUT", "coupons/SAVE", r#"{"partner_id":"partner anna"}"#),
        ("PUT", "rules/r1", r#"{"percent":"12.5"}"#),
        ("PUT", "rules/r2", r#"{"flat":{"amount":500,"currency":"JPY","on_refund":"any"},"version":3}"#),
        ("DELETE", "codes/gone", ""),
        ("PUT", "", r#"{"name":"New name","currency":"USD","click_window_days":60}"#),
        ("DELETE", "rules/r2", ""),
    ] {
        let path = format!("/v1/programs/prog_demo/{path}");
        let (status, answer) = sk(&gateway, method, path.trim_end_matches('/'), body).await;
        assert_eq!((status, &answer["status"]), (200, &json!("done")), "{answer}");
    }
    let facts = gateway.log.configured();
    assert!(facts.iter().all(|fact| fact.actor == "key_sk_demo" && fact.program.as_str() == "prog_demo"));
    let keys: Vec<(String, bool)> = facts.iter().map(|fact| (fact.key(), fact.removed)).collect();
    let wanted = [
        ("partner/prog_demo/partner anna", false),
        ("code/prog_demo/a/b", false),
        ("coupon/prog_demo/SAVE", false),
        ("rule/prog_demo/r1", false),
        ("rule/prog_demo/r2", false),
        ("code/prog_demo/gone", true),
        ("program/prog_demo", false),
        ("rule/prog_demo/r2", true),
    ];
    assert_eq!(keys, wanted.map(|(key, removed)| (key.to_owned(), removed)));
    let reward = |place: usize| match &facts[place].object {
        ConfigObject::Rule(rule) => (rule.reward, rule.version),
        other => panic!("no rule: {other:?}"),
    };
    assert_eq!(reward(3), (Reward::Percent(RatePpm(125_000)), 0));
    let (flat, version) = reward(4);
    assert_eq!(version, 3);
    assert!(matches!(flat, Reward::Flat { amount: Minor(500), on_refund: FlatRefund::Any, .. }));
    for body in [r#"{"percent":"1","rate_ppm":10000}"#, "{}"] {
        let answer = sk(&gateway, "PUT", "/v1/programs/prog_demo/rules/r1", body).await;
        assert_eq!(code(&answer), (400, "contradictory"));
    }
    for (refusal, status) in [("unknown_partner", 404), ("version_conflict", 409), ("out_of_range", 400)] {
        gateway.log.refuse_configuration(Some((refusal, "partner_id")));
        let answer = sk(&gateway, "PUT", "/v1/programs/prog_demo/codes/c", r#"{"partner_id":"p"}"#).await;
        assert_eq!((code(&answer), &answer.1["error"]["field"]), ((status, refusal), &json!("partner_id")));
    }
}

#[tokio::test]
async fn a_rule_says_everything_that_rules_can_and_is_shown_as_it_was_written() {
    let gateway = gateway().await;
    let rule = json!({
        "tiers": {"metric": "revenue", "period": "month", "prior": false, "marginal": true,
            "bands": [{"from": 0, "rate_ppm": 100_000}, {"from": 500_000, "rate_ppm": 150_000}]},
        "priority": 7,
        "when": {"all": [{"field": "category", "operator": "in", "value": ["books", "games"]},
            {"any": [{"field": "partner_group", "operator": "equal", "value": "gold"},
                {"field": "amount", "operator": "greater", "value": 9_999},
                {"field": "subscription_age_months", "operator": "in", "value": [0, 12]}]}]},
        "window": {"months": 12},
        "minimum": {"amount": 1_000, "currency": "EUR"},
        "caps": [{"scope": "partner", "period": "month", "amount": 100_000, "currency": "EUR"}],
    });
    let path = "/v1/programs/prog_demo/rules/r1";
    let (status, answer) = sk(&gateway, "PUT", path, &rule.to_string()).await;
    assert_eq!(status, 200, "{answer}");
    let mut wanted = rule;
    (wanted["rule_id"], wanted["version"]) = (json!("r1"), Value::Null);
    assert_eq!(answer["object"], wanted);
    let [logged] = gateway.log.configured().try_into().unwrap();
    let ConfigObject::Rule(logged) = logged.object else { panic!("no rule") };
    assert_eq!(logged.clauses.priority, 7);
    assert!(logged.tiers.is_some_and(|tiers| tiers.marginal) && logged.clauses.caps.len() == 1);
    let gold = r#"{"name":"Anna","group":"gold"}"#;
    let (_, partner) = sk(&gateway, "PUT", "/v1/programs/prog_demo/partners/anna", gold).await;
    assert_eq!(partner["object"]["group"], "gold");
}

#[tokio::test]
async fn a_bad_rule_is_refused_with_field_and_reason_and_nothing_is_logged() {
    let gateway = gateway().await;
    let bands =
        r#"{"metric":"count","period":"month","bands":[{"from":0,"percent":"1"},{"from":0,"percent":"2"}]}"#;
    let cap = r#"{"scope":"partner","period":"month","amount":-5,"currency":"USD"}"#;
    for (body, said, field) in [
        (r#"{"percent":"0"}"#.to_owned(), "bad_field", "percent"),
        (r#"{"percent":"100.1"}"#.to_owned(), "bad_field", "percent"),
        (format!(r#"{{"tiers":{bands}}}"#), "bad_rule", "tiers.bands[1].from"),
        (format!(r#"{{"percent":"1","caps":[{cap}]}}"#), "bad_amount", "caps[0].amount"),
        (
            r#"{"percent":"1","when":{"field":"colour","operator":"equal","value":"red"}}"#.to_owned(),
            "bad_rule",
            "when.field",
        ),
        (r#"{"percent":"1","when":{"group":"vip"}}"#.to_owned(), "unknown_field", "when.group"),
    ] {
        let answer = sk(&gateway, "PUT", "/v1/programs/prog_demo/rules/r1", &body).await;
        assert_eq!((code(&answer), &answer.1["error"]["field"]), ((400, said), &json!(field)), "{body}");
    }
    assert!(gateway.log.configured().is_empty());
}

#[tokio::test]
async fn a_rotated_key_works_beside_the_new_one_until_the_overlap_is_over() {
    let gateway = gateway().await;
    gateway.log.answer_with(|_| Some(applied("")));
    let keys = "/v1/programs/prog_demo/keys";
    let (status, made) = sk(&gateway, "POST", keys, r#"{"name":"shop","scopes":["report"]}"#).await;
    assert_eq!((status, &made["object"]["scopes"]), (200, &json!(["report"])));
    let (id, text) = (made["object"]["key_id"].as_str().unwrap(), made["object"]["secret"].as_str().unwrap());
    assert_eq!(gateway.native("POST", SALES, text, SALE).await.0, 200);
    let rotate = format!("{keys}/{id}/rotate");
    let (_, second) = sk(&gateway, "POST", &rotate, r#"{"overlap_seconds":3600}"#).await;
    let new = second["object"]["secret"].as_str().unwrap();
    for both in [text, new] {
        assert_eq!(gateway.native("POST", SALES, both, SALE).await.0, 200);
    }
    // A second rotation cannot make the first overlap longer, but shorter.
    assert_eq!(sk(&gateway, "POST", &rotate, r#"{"overlap_seconds":0}"#).await.0, 200);
    let configured = gateway.log.configured();
    let scopes = configured.iter().filter_map(|fact| match &fact.object {
        ConfigObject::ApiKey(key) => Some((key.scopes.clone(), key.program_bound, key.name.clone())),
        _ => None,
    });
    assert!(scopes.into_iter().all(|rights| rights == (vec![KeyScope::Report], true, "shop".to_owned())));
    assert_eq!(code(&gateway.native("POST", SALES, text, SALE).await), (401, "key_expired"));
    let new_id = second["object"]["key_id"].as_str().unwrap();
    assert_eq!(sk(&gateway, "DELETE", &format!("{keys}/{new_id}"), "").await.1["changed"], json!(true));
    assert_eq!(code(&gateway.native("POST", SALES, new, SALE).await), (401, "key_unknown"));
    assert_eq!(sk(&gateway, "DELETE", &format!("{keys}/{new_id}"), "").await.1["changed"], json!(false));
}

#[tokio::test]
async fn an_endpoints_secrets_rotate_without_a_refused_delivery() {
    let gateway = gateway().await;
    let endpoints = "/v1/programs/prog_demo/endpoints";
    let body = r#"{"provider":"paddle","endpoint_id":"ep_2","secret":"whsec_first_one"}"#;
    let (status, made) = sk(&gateway, "POST", endpoints, body).await;
    assert_eq!((status, &made["object"]["path"]), (200, &json!(WEBHOOK)));
    let (_, added) =
        sk(&gateway, "POST", &format!("{endpoints}/ep_2/secrets"), r#"{"secret":"whsec_second"}"#).await;
    let fingerprints = added["object"]["secrets"].as_array().unwrap();
    assert_eq!((fingerprints.len(), &fingerprints[0]), (2, &made["object"]["secrets"][0]));
    let deliver = async |secret: &str| {
        let signature = signature(secret, BODY.as_bytes(), 0);
        gateway.post(WEBHOOK, &[("paddle-signature", &signature)], BODY.as_bytes()).await.status().as_u16()
    };
    assert_eq!(
        (deliver("whsec_first_one").await, deliver("whsec_second").await, deliver(SECRET).await),
        (200, 200, 200)
    );
    let first = format!("{endpoints}/ep_2/secrets/{}", fingerprints[0].as_str().unwrap());
    assert_eq!(sk(&gateway, "DELETE", &first, "").await.0, 200);
    assert_eq!((deliver("whsec_first_one").await, deliver("whsec_second").await), (401, 200));
    let second = format!("{endpoints}/ep_2/secrets/{}", fingerprints[1].as_str().unwrap());
    assert_eq!(code(&sk(&gateway, "DELETE", &second, "").await), (409, "last_secret"));
    assert_eq!(sk(&gateway, "DELETE", &format!("{endpoints}/ep_2"), "").await.0, 200);
    assert_eq!(deliver("whsec_second").await, 401);
    let missing =
        sk(&gateway, "POST", &format!("{endpoints}/ep_9/secrets"), r#"{"secret":"whsec_third"}"#).await;
    assert_eq!(code(&missing), (404, "unknown_object"));
}

#[tokio::test]
async fn a_key_gives_away_no_more_than_it_has() {
    let gateway = gateway().await;
    let like = |scopes: &[&str]| v1::ApiKey {
        account_id: "acc_demo".into(),
        program_bound: true,
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        ..Default::default()
    };
    configure_key_as(&gateway.log, 5, "sk_weak", "prog_demo", like(&["configure", "report"]));
    configure_key_as(&gateway.log, 5, "sk_later", "prog_demo", like(&["what a later version invents"]));
    let keys = "/v1/programs/prog_demo/keys";
    let weak = async |path: &str, body: &str| gateway.native("POST", path, "sk_weak", body).await;
    assert_eq!(code(&weak(keys, r#"{"scopes":["approve"]}"#).await), (403, "key_too_weak"));
    let (_, made) = weak(keys, "{}").await;
    assert_eq!(made["object"]["scopes"], json!(["report", "configure"]));
    // The account's key would come back as text.
    assert_eq!(code(&weak(&format!("{keys}/key_sk_demo/rotate"), "{}").await), (403, "key_too_weak"));
    assert_eq!(code(&gateway.native("POST", SALES, "sk_later", SALE).await), (403, "scope_missing"));
}

//! What is answered once the log has something, or cannot have it.
use crate::fake_log::{FakeLog, Mood};
use crate::harness::{
    BODY, INSTANCE, OLD_SECRET, REFERRAL, SECRET, WEBHOOK, configure_endpoint, configure_key, gateway,
    gateway_with, limits, seen, signature, start,
};
use domain::ids::EventId;
use kit::config::{Config, Layers};
use serde_json::json;
use std::time::Duration;
use wire::v1;

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn referral() -> String {
    json!({"ref_code": "john123", "program_id": "prog_demo", "spent_amount": 5000, "transaction_id": "t1"})
        .to_string()
}

fn outcome(verdict: v1::VerdictKind, reason: &str) -> v1::OutcomeRecord {
    v1::OutcomeRecord { verdict: verdict.into(), reason: reason.into(), ..Default::default() }
}

#[tokio::test]
async fn a_delivery_is_in_the_log_byte_for_byte_when_it_is_answered() {
    let gateway = gateway().await;
    let body = b"{ \"event_id\" :\t\"evt_\\u0031\",\"b\":1e2 }\n";
    for secret in [SECRET, OLD_SECRET] {
        let signature = signature(secret, body, 0);
        let headers = [
            ("Paddle-Signature", signature.as_str()),
            ("content-type", "text/plain"),
            ("traceparent", TRACEPARENT),
            ("x-api-key", "canary"),
        ];
        let answer = seen(gateway.post(WEBHOOK, &headers, body).await).await;
        assert_eq!(answer, (200, json!({"received": true})));
    }
    let [request, _] = gateway.log.ingested().try_into().unwrap();
    assert_eq!(request.body, body.as_slice());
    assert_eq!((request.program_id.as_str(), request.source.as_str()), ("prog_demo", "paddle"));
    assert_eq!(
        (request.query.as_str(), request.authenticated_by.as_str()),
        ("program_id=prog_demo", "ep_paddle")
    );
    assert_eq!(request.headers, [v1::Header { name: "content-type".into(), value: "text/plain".into() }]);
    assert_eq!((request.trace_id.len(), request.trace_id[0], request.span_id[7]), (16, 0x4b, 0xb7));
    assert_eq!(request.reply_to, None);
}

#[tokio::test]
async fn a_log_that_does_not_acknowledge_means_503_with_retry_after_and_a_new_appender() {
    assert!(Config::load(&Layers::default()).unwrap().limits.append_timeout < Duration::from_secs(2));
    let gateway = gateway().await;
    for (mood, appenders) in
        [(Mood::Stalls, 1), (Mood::LeavesInDoubt, 2), (Mood::Refuses, 3), (Mood::Acknowledges, 3)]
    {
        gateway.log.set_mood(mood);
        let signature = signature(SECRET, BODY.as_bytes(), 0);
        let response = gateway.post(WEBHOOK, &[("paddle-signature", &signature)], BODY.as_bytes()).await;
        assert_eq!(gateway.log.appenders(), appenders, "{mood:?}");
        if mood == Mood::Acknowledges {
            assert_eq!(response.status(), 200);
        } else {
            assert_eq!(response.headers()["retry-after"], "1");
            let (status, body) = seen(response).await;
            assert_eq!((status, &body["error"]["code"]), (503, &json!("log_unavailable")));
        }
    }
    gateway.log.set_mood(Mood::Stalls);
    let (status, _) = gateway.refer(REFERRAL, "sk_demo", &referral()).await;
    assert_eq!(status, 503);
}

#[tokio::test]
async fn more_requests_than_may_wait_for_the_log_are_told_to_come_back() {
    let mut limits = limits();
    (limits.max_in_flight, limits.append_timeout) = (1, Duration::from_secs(60));
    let gateway = gateway_with(FakeLog::new(), limits).await;
    gateway.log.set_mood(Mood::Stalls);
    let mut appends = gateway.log.appends.subscribe();
    let first = gateway.deliver(WEBHOOK, BODY.as_bytes());
    let second = async {
        appends.wait_for(|count| *count == 1).await.unwrap();
        gateway.deliver(WEBHOOK, BODY.as_bytes()).await
    };
    let (status, body) = tokio::select! {
        _ = first => panic!("the first request was answered"),
        second = second => second,
    };
    assert_eq!((status, &body["error"]["code"]), (503, &json!("busy")));
}

#[tokio::test]
async fn an_outcome_is_answered_in_the_same_request() {
    let gateway = gateway().await;
    gateway.log.answer_with(|request| {
        assert_eq!(request.reply_to.unwrap().gateway_instance, INSTANCE);
        let answer = v1::Answer {
            event_id: "evt_abc".into(),
            sale_id: "sal_1".into(),
            commission_id: "com_1".into(),
            partner_id: "partner_john".into(),
            commission_minor: 1000,
            currency: "USD".into(),
            status: "pending".into(),
            declined: String::new(),
            payout_id: String::new(),
            payout_status: String::new(),
        };
        Some(v1::OutcomeRecord { answer: Some(answer), ..outcome(v1::VerdictKind::Applied, "") })
    });
    let wanted = json!({
        "success": true, "referral_id": "rs_abc", "transaction_id": "t1", "ref_code": "john123", "program_id": "prog_demo",
        "commission_amount": 1000, "currency": "USD", "status": "pending", "duplicate": false,
    });
    for path in ["/api/referral", "/api/referral/", "/revshare/api/referral", "/revshare/api/referral/"] {
        assert_eq!(gateway.refer(path, "sk_demo", &referral()).await, (200, wanted.clone()), "{path}");
    }
    for (verdict, reason, status) in
        [(v1::VerdictKind::Ignored, "unknown_code", 404), (v1::VerdictKind::Quarantined, "conflict", 409)]
    {
        gateway.log.answer_with(move |_| Some(outcome(verdict, reason)));
        assert_eq!(gateway.refer(REFERRAL, "sk_demo", &referral()).await.0, status);
    }
}

#[tokio::test]
async fn an_outcome_that_is_not_known_in_time_is_the_pending_form_with_the_final_id() {
    let mut limits = limits();
    limits.answer_wait = Duration::from_millis(50);
    let gateway = gateway_with(FakeLog::new(), limits).await;
    let (status, body) = gateway.refer(REFERRAL, "sk_demo", &referral()).await;
    assert_eq!((status, &body["status"], &body["commission_amount"]), (202, &json!("pending"), &json!(null)));
    let event = EventId::derive(&"prog_demo".into(), &"revshare".into(), "t1");
    assert_eq!(body["referral_id"], event.as_str().replace("evt_", "rs_"));
    assert_eq!(gateway.log.ingested().len(), 1);
}

#[tokio::test]
async fn a_key_or_endpoint_is_known_as_soon_as_its_record_is_in_the_log() {
    let gateway = gateway().await;
    gateway.log.answer_with(|_| Some(outcome(v1::VerdictKind::Ignored, "unknown_code")));
    configure_key(&gateway.log, 9, "sk_new", "acc_demo", false);
    assert_eq!(gateway.refer(REFERRAL, "sk_new", &referral()).await.0, 404);
    configure_endpoint(&gateway.log, 9, "prog_other", &[SECRET]);
    assert_eq!(gateway.deliver("/webhooks/paddle?program_id=prog_other", BODY.as_bytes()).await.0, 200);
}

#[tokio::test]
async fn a_gateway_is_ready_once_configuration_is_read_and_says_what_it_waits_for() {
    let log = FakeLog::new();
    log.set_readable(false);
    let gateway = start(log, limits()).await;
    let (status, body) = seen(gateway.client.get(gateway.url("/readyz")).send().await.unwrap()).await;
    assert_eq!((status, &body["ready"]), (503, &json!(false)));
    assert!(
        body["waiting_for"].as_array().unwrap().iter().any(|flag| flag["name"] == "gateway_config"),
        "{body}"
    );
    gateway.log.set_readable(true);
    gateway.health.wait_ready().await;
    let ready = seen(gateway.client.get(gateway.url("/readyz")).send().await.unwrap()).await;
    assert_eq!(ready, (200, json!({"ready": true, "waiting_for": []})));
    let live = seen(gateway.client.get(gateway.url("/livez")).send().await.unwrap()).await;
    assert_eq!(live, (200, json!({"live": true})));
    gateway.token.cancel();
    gateway.running.finished().await.unwrap();
    assert!(!gateway.health.readiness().is_ready());
}

//! What is refused before anything is logged: the exact status and error of each.
use crate::harness::{BODY, Gateway, REFERRAL, SECRET, WEBHOOK, gateway, seen, signature};
use serde_json::{Value, json};

/// `levels` objects in one another.
fn nested(levels: usize) -> Vec<u8> {
    [r#"{"a":"#.repeat(levels - 1), "{}".to_owned(), "}".repeat(levels - 1)].concat().into_bytes()
}

async fn expect_native(gateway: &Gateway, answer: (u16, Value), status: u16, code: &str) {
    let (seen_status, body) = answer;
    assert_eq!((seen_status, body["error"]["code"].as_str()), (status, Some(code)), "{body}");
    let error = body["error"].as_object().unwrap();
    assert_eq!(error.keys().collect::<Vec<_>>(), ["code", "doc", "field", "message"]);
    assert_eq!(error["doc"], format!("docs/reference/gateway.md#{code}"));
    assert!(gateway.log.ingested().is_empty(), "{code} was logged");
}

#[tokio::test]
async fn a_delivery_whose_body_is_no_bearable_json_object_is_refused_after_its_signature() {
    let gateway = gateway().await;
    let cases: [(&[u8], u16, &str); 6] = [
        (b"{\"a\":", 400, "malformed_body"),
        (b"[1]", 400, "malformed_body"),
        (b"", 400, "malformed_body"),
        (b"{\"a\":\"\xff\"}", 400, "malformed_body"),
        (b"{\"a\":1}{}", 400, "malformed_body"),
        (&nested(65), 400, "malformed_body"),
    ];
    for (body, status, code) in cases {
        let answer = gateway.deliver(WEBHOOK, body).await;
        expect_native(&gateway, answer, status, code).await;
        // Unsigned, the same body is not even looked at.
        let answer = seen(gateway.post(WEBHOOK, &[], body).await).await;
        expect_native(&gateway, answer, 401, "signature_missing").await;
    }
    assert_eq!(gateway.deliver(WEBHOOK, &nested(64)).await.0, 200);
}

#[tokio::test]
async fn a_delivery_that_is_not_authentic_is_refused_with_the_class_of_reason() {
    let gateway = gateway().await;
    let body = BODY.as_bytes();
    let upper = signature(SECRET, body, 0).to_uppercase().replace("TS=", "ts=").replace("H1=", "h1=");
    let cases = [
        ("ts=1;h1=00".to_owned(), "signature_malformed"),
        (format!("ts=1;h1={}", "0".repeat(64)), "signature_mismatch"),
        (upper, "signature_malformed"),
        (signature("another secret", body, 0), "signature_mismatch"),
        (signature(SECRET, b"{}", 0), "signature_mismatch"),
        (signature(SECRET, body, 310), "signature_stale"),
        (signature(SECRET, body, -310), "signature_stale"),
        (signature("another secret", body, 310), "signature_mismatch"),
    ];
    for (header, code) in cases {
        let answer = seen(gateway.post(WEBHOOK, &[("paddle-signature", &header)], body).await).await;
        expect_native(&gateway, answer, 401, code).await;
    }
}

#[tokio::test]
async fn a_delivery_to_nowhere_is_refused_with_where_it_went_wrong() {
    let gateway = gateway().await;
    for (path, status, code) in [
        ("/webhooks/paddle?program_id=prog_nobody", 404, "unknown_endpoint"),
        ("/webhooks/paddle?program_id=prog_other", 404, "unknown_endpoint"),
        ("/webhooks/paddle", 400, "program_missing"),
        ("/webhooks/paddle?program_id=prog_demo&program_id=prog_other", 400, "program_repeated"),
        ("/webhooks/nobody?program_id=prog_demo", 404, "unknown_provider"),
        ("/webhooks", 404, "not_found"),
    ] {
        let answer = gateway.deliver(path, BODY.as_bytes()).await;
        expect_native(&gateway, answer, status, code).await;
    }
    let answer = seen(gateway.client.get(gateway.url(WEBHOOK)).send().await.unwrap()).await;
    expect_native(&gateway, answer, 405, "method_not_allowed").await;
}

#[tokio::test]
async fn a_body_that_is_too_large_or_encoded_is_refused_before_its_signature() {
    let gateway = gateway().await;
    let limit = 256 << 10;
    let padded = |length: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(length - 8)).into_bytes();
    let answer = gateway.deliver(WEBHOOK, &padded(limit + 1)).await;
    expect_native(&gateway, answer, 413, "body_too_large").await;
    let encoded = gateway.post(WEBHOOK, &[("content-encoding", "gzip")], BODY.as_bytes()).await;
    expect_native(&gateway, seen(encoded).await, 415, "content_encoding").await;
    let answer = seen(gateway.post(REFERRAL, &[("x-api-key", "sk_demo")], &padded(limit + 1)).await).await;
    assert_eq!(answer.0, 413);
    // Without a length the body is counted as it comes.
    let head = format!("POST {WEBHOOK} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
    let chunks = format!("10000\r\n{}\r\n", "x".repeat(0x10000)).repeat(5) + "0\r\n\r\n";
    let answer = gateway.raw((head + &chunks).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(gateway.log.ingested().is_empty());
    assert_eq!(gateway.deliver(WEBHOOK, &padded(limit)).await.0, 200);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let gateway = gateway().await;
    let head = format!("GET /livez HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "x".repeat(20_000));
    let answer = gateway.raw(head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn a_referral_is_refused_in_the_dialects_order_and_words() {
    let gateway = gateway().await;
    let referral = |program: &str| {
        json!({"ref_code": "john123", "program_id": program, "spent_amount": 5000, "transaction_id": "t1"})
            .to_string()
    };
    let bad_key = json!({"error": "Invalid API key"});
    let missing = |fields: &[&str]| json!({"error": "Missing required fields", "fields": fields});
    let deep = String::from_utf8(nested(65)).unwrap();
    let negative = referral("prog_demo").replace("5000", "-1");
    let past_i64 = referral("prog_demo").replace("5000", "9223372036854775808");
    let cases = [
        ("", "{", 401, bad_key.clone()),
        ("sk_nobody", "{", 401, bad_key.clone()),
        ("pk_demo", &referral("prog_demo"), 401, bad_key),
        ("sk_demo", "{", 400, missing(&[])),
        ("sk_demo", &deep, 400, missing(&[])),
        ("sk_demo", &negative, 400, missing(&["spent_amount"])),
        ("sk_demo", &past_i64, 400, missing(&["spent_amount"])),
        (
            "sk_demo",
            r#"{"program_id":"prog_other"}"#,
            400,
            missing(&["ref_code", "spent_amount", "transaction_id"]),
        ),
        ("sk_demo", &referral("prog_nobody"), 404, json!({"error": "Program not found"})),
        ("sk_demo", &referral("prog_other"), 403, json!({"error": "Program not accessible"})),
    ];
    for (key, body, status, answer) in cases {
        assert_eq!(gateway.refer(REFERRAL, key, body).await, (status, answer), "{key} {body}");
    }
    let no_key = gateway.post(REFERRAL, &[], b"{").await;
    assert_eq!(no_key.status().as_u16(), 401);
    assert!(gateway.log.ingested().is_empty());
}

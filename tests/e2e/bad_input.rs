//! Bad input: the exact status, error body and verdict of each kind.
use crate::installation::{Installation, Target};
use anyhow::Result;
use serde_json::{Value, json};
use testkit::load::{client, send};
use testkit::requests::{
    Auth, DEMO_WEBHOOK_SECRET, Request, now_seconds, paddle, paddle_event, paddle_sale, paddle_signature,
    referral,
};

fn raw(program: &str, body: &[u8]) -> Request {
    Request {
        method: "POST",
        path: format!("/webhooks/paddle?program_id={program}"),
        body: body.to_vec(),
        auth: Auth::Paddle { secret: DEMO_WEBHOOK_SECRET.to_owned() },
    }
}

fn nested(depth: usize) -> Vec<u8> {
    let mut body = b"{\"a\":".to_vec();
    body.extend(std::iter::repeat_n(b'[', depth - 1));
    body.extend(std::iter::repeat_n(b']', depth - 1));
    body.push(b'}');
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_gets_its_exact_status_body_and_verdict() -> Result<()> {
    let installation = Installation::new(Target::Embedded, "bad").await?;
    let running = installation.setup.start(None).await?;
    let http = client();
    let url = &running.url;
    let good = paddle_sale("evt_bad_0", "txn_bad_0", 1_000, 0, Some("john123"), "ctm_bad").to_string();

    // Refused at the door: the status, and the code that the error body names. Nothing is logged.
    let signed = |seconds: u64, secret: &str| {
        Auth::Headers(vec![(
            "Paddle-Signature".to_owned(),
            paddle_signature(secret, seconds, good.as_bytes()),
        )])
    };
    let with = |auth: Auth| Request { auth, ..raw("prog_demo", good.as_bytes()) };
    let refusals: Vec<(&str, Request, u16, &str)> = vec![
        ("malformed JSON", raw("prog_demo", b"{\"event_id\": "), 400, "malformed_body"),
        ("not an object", raw("prog_demo", b"[1]"), 400, "malformed_body"),
        ("invalid UTF-8", raw("prog_demo", b"{\"event_id\": \"\xff\"}"), 400, "malformed_body"),
        ("65 levels deep", raw("prog_demo", &nested(65)), 400, "malformed_body"),
        ("oversized", raw("prog_demo", &vec![b' '; 256 * 1024 + 1]), 413, "body_too_large"),
        ("wrong secret", with(signed(now_seconds(), "whsec_other")), 401, "signature_mismatch"),
        ("stale", with(signed(now_seconds() - 301, DEMO_WEBHOOK_SECRET)), 401, "signature_stale"),
        ("from the future", with(signed(now_seconds() + 330, DEMO_WEBHOOK_SECRET)), 401, "signature_stale"),
        ("no signature", with(Auth::Headers(Vec::new())), 401, "signature_missing"),
        ("unknown program", raw("prog_nobody", good.as_bytes()), 404, "unknown_endpoint"),
        (
            "no program",
            Request { method: "POST", path: "/webhooks/paddle".to_owned(), ..raw("", good.as_bytes()) },
            400,
            "program_missing",
        ),
        (
            "unknown provider",
            Request {
                method: "POST",
                path: "/webhooks/nobody?program_id=prog_demo".to_owned(),
                ..raw("", b"{}")
            },
            404,
            "unknown_provider",
        ),
    ];
    for (name, request, expected, code) in &refusals {
        let (status, body) = send(&http, url, request).await?;
        assert_eq!(status, *expected, "{name}: {body}");
        assert_eq!(body["error"]["code"], *code, "{name}: {body}");
        assert!(body["error"]["message"].is_string(), "{name}: {body}");
    }

    // Refused by the dialect, with the field.
    let body_of = |value: Value| Request {
        body: value.to_string().into_bytes(),
        ..referral("prog_demo", "john123", "x", 1)
    };
    let fields = |amount: &str| {
        let text = format!(
            "{{\"ref_code\":\"john123\",\"program_id\":\"prog_demo\",\"spent_amount\":{amount},\"transaction_id\":\"bad_1\"}}"
        );
        Request { body: text.into_bytes(), ..referral("prog_demo", "john123", "x", 1) }
    };
    for (name, request, field) in [
        ("negative amount", fields("-1"), "spent_amount"),
        ("amount past i64", fields("9223372036854775808"), "spent_amount"),
        ("fraction", fields("10.5"), "spent_amount"),
        ("text for an amount", fields("\"10\""), "spent_amount"),
        (
            "NUL in an id",
            body_of(
                json!({"ref_code": "john123", "program_id": "prog_demo", "spent_amount": 1, "transaction_id": "a\u{0}b"}),
            ),
            "transaction_id",
        ),
        (
            "no transaction",
            body_of(json!({"ref_code": "john123", "program_id": "prog_demo", "spent_amount": 1})),
            "transaction_id",
        ),
        (
            "unknown currency",
            body_of(
                json!({"ref_code": "john123", "program_id": "prog_demo", "spent_amount": 1, "transaction_id": "bad_2", "currency": "ZZZ"}),
            ),
            "currency",
        ),
    ] {
        let (status, body) = send(&http, url, &request).await?;
        assert_eq!(status, 400, "{name}: {body}");
        assert_eq!(body["fields"], json!([field]), "{name}: {body}");
    }

    // Accepted and kept: 200, and a verdict that says why.
    let sale = |event: &str, change: &dyn Fn(&mut Value)| {
        let mut body = paddle_sale(event, &format!("txn_{event}"), 1_000, 0, Some("john123"), "ctm_bad");
        change(&mut body);
        paddle("prog_demo", &body)
    };
    let set_total = |amount: &'static str| {
        move |body: &mut Value| body["data"]["details"]["totals"]["total"] = json!(amount)
    };
    let accepted: Vec<(&str, Request, &str, &str)> = vec![
        ("evt_neg", sale("evt_neg", &set_total("-5")), "quarantined", "bad_amount"),
        ("evt_big", sale("evt_big", &set_total("9223372036854775808")), "quarantined", "bad_amount"),
        ("evt_frac", sale("evt_frac", &set_total("10.00")), "quarantined", "bad_amount"),
        ("evt_nul", sale("evt_nul", &|body| body["data"]["id"] = json!("txn_\u{0}")), "quarantined", ""),
        (
            "evt_cur",
            sale("evt_cur", &|body| {
                body["data"]["currency_code"] = json!("ZZZ");
                body["data"]["details"]["totals"]["currency_code"] = json!("ZZZ");
            }),
            "quarantined",
            "unknown_currency",
        ),
        (
            "evt_type",
            paddle("prog_demo", &paddle_event("evt_type", "galaxy.exploded", json!({}))),
            "ignored",
            "galaxy.exploded",
        ),
    ];
    for (key, request, _, _) in &accepted {
        let (status, body) = send(&http, url, request).await?;
        assert_eq!(status, 200, "{key}: {body}");
    }
    let deep = raw("prog_demo", &nested(64));
    assert_eq!(send(&http, url, &deep).await?.0, 200, "64 levels are accepted");
    let keys: Vec<String> = accepted.iter().map(|(key, ..)| (*key).to_owned()).collect();
    installation.wait_for_verdicts(&keys).await?;
    for (key, _, verdict, reason) in &accepted {
        let found = installation.setup.json(&["events", "find", key, "--json"]).await?;
        assert_eq!(found[0]["verdict"], *verdict, "{key}: {found}");
        assert!(reason.is_empty() || found[0]["reason"] == *reason, "{key}: {found}");
    }
    // SQL in every text that a sender or an operator may fill is a text like any other.
    let sql = "x'); DROP SCHEMA tributary CASCADE; --";
    let (status, body) = send(&http, url, &referral("prog_demo", "john123", sql, 1_000)).await?;
    assert_eq!(status, 200, "{body}");
    let (status, body) = send(&http, url, &referral("prog_demo", sql, "sql_2", 1_000)).await?;
    assert_eq!(status, 404, "{body}");
    installation.wait_for_verdicts(&[sql.to_owned()]).await?;
    let found = installation.setup.json(&["events", "find", sql, "--json"]).await?;
    assert_eq!(found.as_array().map(Vec::len), Some(1), "{found}");
    for all in ["' OR '1'='1", "%", "_", "\\"] {
        let found = installation.setup.json(&["events", "find", all, "--json"]).await?;
        assert_eq!(found, json!([]), "{all}");
        let found = installation.setup.json(&["quarantine", "list", "--reason", all, "--json"]).await?;
        assert_eq!(found, json!([]), "{all}");
    }
    // What was refused left nothing behind.
    let found = installation.setup.json(&["events", "find", "evt_bad_0", "--json"]).await?;
    assert_eq!(found, json!([]));
    let report = installation.verify_is_clean().await?;
    assert!(report["verdicts"]["quarantined"].as_i64().unwrap() >= 5, "{report}");
    assert!(running.terminate().await?.success());
    Ok(())
}

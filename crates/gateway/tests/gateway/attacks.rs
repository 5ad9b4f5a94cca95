//! One test for each attack that the gateway has an answer to, named by the attack (`docs/reference/attacks.md`).
use crate::fake_log::{FakeLog, Mood};
use crate::harness::{
    BODY, REFERRAL, SECRET, WEBHOOK, configure_endpoint, configure_key, configure_key_as, gateway,
    gateway_with, limits, seen, signature,
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wire::v1;

const SALES: &str = "/v1/programs/prog_demo/sales";
const SALE: &str = r#"{"external_id":"order_1","amount":10000,"currency":"USD"}"#;

fn code(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["error"]["code"].as_str().unwrap_or("none"))
}

#[tokio::test]
async fn forged_stripped_and_downgraded_signatures_are_refused() {
    let gateway = gateway().await;
    let right = signature(SECRET, BODY.as_bytes(), 0);
    let (ts, hex) = right.split_once(";h1=").unwrap();
    let mut forged = vec![
        String::new(),
        ts.to_owned(),
        format!("h1={hex}"),
        format!("{ts};h0={hex}"),
        format!("{ts};v1={hex}"),
        format!("{ts};sha1={hex}"),
        format!("{ts};h1=none"),
        format!("{ts};h1={}", &hex[..40]),
        format!("{ts};h1={hex}00"),
        format!("{ts};h1=0x{hex}"),
        format!("{ts}0;h1={hex}"),
        format!("{ts};h1={}", "0".repeat(64)),
    ];
    // Each digit of the signature changed by itself.
    forged.extend((0..hex.len()).map(|place| {
        let other = if hex.as_bytes()[place] == b'0' { "1" } else { "0" };
        format!("{ts};h1={}{other}{}", &hex[..place], &hex[place + 1..])
    }));
    for header in forged {
        let answer = gateway.post(WEBHOOK, &[("paddle-signature", &header)], BODY.as_bytes()).await;
        assert_eq!(answer.status(), 401, "{header}");
    }
    // Another provider's header is none.
    let answer = gateway.post(WEBHOOK, &[("stripe-signature", &right)], BODY.as_bytes()).await;
    assert_eq!(answer.status(), 401);
    assert!(gateway.log.ingested().is_empty());
}

#[tokio::test]
async fn a_replayed_delivery_is_refused_once_its_signature_is_old() {
    let gateway = gateway().await;
    for (age, status) in [(290, 200), (310, 401), (600, 401), (8 * 86_400, 401), (-310, 401)] {
        let signature = signature(SECRET, BODY.as_bytes(), age);
        let answer = gateway.post(WEBHOOK, &[("paddle-signature", &signature)], BODY.as_bytes()).await;
        assert_eq!(answer.status(), status, "{age}");
    }
}

#[tokio::test]
async fn an_unknown_endpoint_cannot_be_told_from_one_without_this_provider() {
    let gateway = gateway().await;
    let right = signature(SECRET, BODY.as_bytes(), 0);
    let wrong = signature("whsec_another", BODY.as_bytes(), 0);
    let mut answers = Vec::new();
    for program in ["prog_nobody", "prog_other"] {
        let path = format!("/webhooks/paddle?program_id={program}");
        for headers in [
            &[][..],
            &[("paddle-signature", "ts=1")],
            &[("paddle-signature", &right)],
            &[("paddle-signature", &wrong)],
        ] {
            answers.push(seen(gateway.post(&path, headers, BODY.as_bytes()).await).await);
        }
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(code(&answers[0]), (404, "unknown_endpoint"));
}

#[tokio::test]
async fn a_reserialised_body_is_another_body() {
    let gateway = gateway().await;
    let odd = b"\n{\t\"b\" : 1.0 ,\r\n\"a\":\"\\u00e9\\/\" , \"b2\":[ ]}  ";
    assert_eq!(gateway.deliver(WEBHOOK, odd).await.0, 200);
    assert_eq!(gateway.log.ingested()[0].body, odd.as_slice());
    let again = serde_json::from_slice::<Value>(odd).unwrap().to_string();
    let signature = signature(SECRET, odd, 0);
    let answer = gateway.post(WEBHOOK, &[("paddle-signature", &signature)], again.as_bytes()).await;
    assert_eq!(answer.status(), 401);
}

/// What comes back on a socket until its end.
async fn rest(socket: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset is an end too.
    let ended = tokio::time::timeout(Duration::from_secs(20), socket.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "the connection was left open");
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn slow_heads_slow_bodies_and_many_sockets_from_one_address_are_ended() {
    let mut limits = limits();
    (limits.header_timeout, limits.request_timeout) =
        (Duration::from_millis(150), Duration::from_millis(150));
    limits.max_connections_per_address = 2;
    let gateway = gateway_with(FakeLog::new(), limits).await;
    let address = gateway.running.local_addr;
    // A client that is done makes room for the next; so that the count is known, none is kept alive.
    let mut slow_head = TcpStream::connect(address).await.unwrap();
    slow_head.write_all(b"POST /webhooks/paddle HTTP/1.1\r\nhost: x\r\nx-a: ").await.unwrap();
    let mut slow_body = TcpStream::connect(address).await.unwrap();
    let head = format!("POST {WEBHOOK} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{{");
    slow_body.write_all(head.as_bytes()).await.unwrap();
    // Both places are taken: a third connection is ended without an answer, whatever it sends.
    let mut third = TcpStream::connect(address).await.unwrap();
    let mut answer = Vec::new();
    let read = third.read_to_end(&mut answer).await;
    assert!(answer.is_empty(), "{read:?}");
    let answer = rest(&mut slow_body).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let answer = rest(&mut slow_head).await;
    assert!(!answer.contains(" 200 "), "{answer}");
    // And their ends make room.
    assert_eq!(gateway.deliver(WEBHOOK, BODY.as_bytes()).await.0, 200);
}

/// One address, however many sockets it opens and never finishes, leaves the others their places.
#[tokio::test]
async fn slow_sockets_from_one_address_leave_good_traffic_its_places() {
    const SLOW: usize = 300;
    let mut limits = limits();
    (limits.max_connections, limits.max_connections_per_address) = (64, 16);
    let gateway = gateway_with(FakeLog::new(), limits).await;
    let mut slow = Vec::with_capacity(SLOW);
    for number in 0..SLOW {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        // All of 127.0.0.0/8 is this machine; the good client below comes from 127.0.0.1.
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let mut socket = socket.connect(gateway.running.local_addr).await.unwrap();
        let head = format!("POST {WEBHOOK} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n");
        // Half of them never end their heads, half never their bodies. Those above the cap may be closed by now.
        let sent = if number % 2 == 0 { &head.as_bytes()[..20] } else { head.as_bytes() };
        let _closed = socket.write_all(sent).await;
        slow.push(socket);
    }
    for _ in 0..50 {
        assert_eq!(gateway.deliver(WEBHOOK, BODY.as_bytes()).await.0, 200);
    }
    assert_eq!(gateway.log.ingested().len(), 50);
}

#[tokio::test]
async fn a_body_ends_at_its_cap_however_its_length_is_told() {
    let gateway = gateway().await;
    let large = vec![b' '; limits().body_bytes + 1];
    assert_eq!(code(&gateway.deliver(WEBHOOK, &large).await), (413, "body_too_large"));
    // Chunked: the length is not known before it was read, and nobody reads on.
    let head = format!("POST {WEBHOOK} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
    let mut socket = TcpStream::connect(gateway.running.local_addr).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
    // 64 MiB are offered; what is beyond the cap is not wanted, and the sender's writes end in an error.
    let mut taken = 0;
    while taken < 1_024 && socket.write_all(&chunk).await.is_ok() {
        taken += 1;
    }
    assert!(taken < 1_024, "64 MiB were read");
    assert!(gateway.log.ingested().is_empty());
}

#[tokio::test]
async fn a_decompression_bomb_is_not_opened() {
    let gateway = gateway().await;
    for encoding in ["gzip", "deflate", "br", "zstd", "identity", "gzip, gzip"] {
        for path in [WEBHOOK, REFERRAL, SALES] {
            let request = gateway.client.post(gateway.url(path)).bearer_auth("sk_demo").body(SALE);
            let answer = request.header("content-encoding", encoding).send().await.unwrap();
            assert_eq!(answer.status(), 415, "{path} {encoding}");
        }
    }
}

#[tokio::test]
async fn json_that_two_parsers_read_differently_is_refused_by_field() {
    let gateway = gateway().await;
    let sale = |from: &str, to: &str| SALE.replace(from, to);
    let deep = format!("{}{}", r#"{"a":"#.repeat(65), "}".repeat(65));
    for (body, field) in [
        (sale("10000", "NaN"), None),
        (sale("10000", "Infinity"), None),
        (sale("10000", "010"), None),
        (format!("{SALE}{SALE}"), None),
        (deep, None),
        (sale("10000", "1e999999"), Some("amount")),
        (sale("10000", "10000.0"), Some("amount")),
        (sale("10000", "1E2"), Some("amount")),
        (sale("10000", "true"), Some("amount")),
        (sale("10000", "\"10000\""), Some("amount")),
        (sale("10000", r#"1,"amount":10000"#), Some("amount")),
        (sale("10000", r#"1,"am\u006funt":10000"#), Some("amount")),
        (sale("order_1", r"order\u0000"), Some("external_id")),
        (sale("order_1", r"order\ud800"), Some("external_id")),
        (sale("USD", "XXQ"), Some("currency")),
        (sale("}", r#","__proto__":{}}"#), Some("__proto__")),
    ] {
        let (status, answer) = gateway.native("POST", SALES, "sk_demo", &body).await;
        assert_eq!((status, answer["error"]["field"].as_str()), (400, field), "{body}: {answer}");
    }
    assert!(gateway.log.ingested().is_empty());
}

#[tokio::test]
async fn amounts_end_at_the_largest_one_and_never_go_below_zero() {
    let gateway = gateway().await;
    gateway.log.answer_with(|_| {
        Some(v1::OutcomeRecord { verdict: v1::VerdictKind::Applied.into(), ..Default::default() })
    });
    for (amount, status) in [
        ("9223372036854775807", 200),
        ("0", 200),
        ("9223372036854775808", 400),
        ("99999999999999999999999999999999", 400),
        ("-1", 400),
        ("-0", 400),
    ] {
        let body = SALE.replace("10000", amount);
        assert_eq!(gateway.native("POST", SALES, "sk_demo", &body).await.0, status, "{amount}");
    }
    let lines = format!(
        r#"{{"external_id":"o","amount":{m},"currency":"JPY","net":{m},"lines":[{{"net":{m}}},{{"net":{m}}}]}}"#,
        m = i64::MAX
    );
    assert_eq!(code(&gateway.native("POST", SALES, "sk_demo", &lines).await), (400, "contradictory"));
    for rule in [r#"{"percent":"100.01"}"#, r#"{"rate_ppm":1000001}"#] {
        let answer = gateway.native("PUT", "/v1/programs/prog_demo/rules/r", "sk_demo", rule).await;
        assert_eq!(code(&answer), (400, "bad_field"));
    }
}

#[tokio::test]
async fn line_breaks_and_escapes_reach_neither_headers_nor_messages() {
    let gateway = gateway().await;
    for path in
        ["/v1/programs/a%0d%0aset-cookie:x/sales", "/v1/programs/%1b%5b31m/sales", "/v1/programs/%00/sales"]
    {
        let answer =
            gateway.client.post(gateway.url(path)).bearer_auth("sk_demo").body(SALE).send().await.unwrap();
        assert!(answer.headers().get("set-cookie").is_none());
        let answer = seen(answer).await;
        assert_eq!(code(&answer), (400, "bad_text"));
        assert!(!answer.1.to_string().contains("cookie"), "{}", answer.1);
    }
    let body = r#"{"a\r\nx: y\u001b[31m":1}"#;
    let (_, answer) = gateway.native("POST", SALES, "sk_demo", body).await;
    assert_eq!(answer["error"]["field"], "ax: y[31m");
    // The value of a field is in no answer.
    let (_, answer) = gateway.native("POST", SALES, "sk_demo", &SALE.replace("USD", "canary")).await;
    assert!(!answer.to_string().contains("canary"), "{answer}");
    let smuggled = format!(
        "POST {SALES} HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /livez HTTP/1.1\r\n\r\n"
    );
    let mut socket = TcpStream::connect(gateway.running.local_addr).await.unwrap();
    socket.write_all(smuggled.as_bytes()).await.unwrap();
    socket.shutdown().await.unwrap();
    let answer = rest(&mut socket).await;
    assert!(!answer.contains("\"live\":true"), "{answer}");
}

/// Every operation of the OpenAPI document with a body that passes its table.
fn operations() -> Vec<(String, String, &'static str)> {
    let document: Value = serde_json::from_str(&tributary_gateway::openapi()).unwrap();
    let mut out = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let body = match operation["operationId"].as_str().unwrap() {
                "create_programs" | "put_program" => r#"{"name":"n","currency":"USD"}"#,
                "put_code" | "put_coupon" => r#"{"partner_id":"p"}"#,
                "put_rule" => r#"{"percent":"1"}"#,
                "create_endpoint" => r#"{"provider":"paddle","secret":"whsec_attack"}"#,
                "add_secret" => r#"{"secret":"whsec_attack"}"#,
                "post_sale" => SALE,
                "post_refund" => r#"{"external_id":"r","sale_external_id":"o","amount":1,"currency":"USD"}"#,
                "post_dispute" => {
                    r#"{"external_id":"d","sale_external_id":"o","amount":1,"currency":"USD","state":"open"}"#
                }
                "post_lead" | "post_signup" | "post_click" => r#"{"external_id":"l"}"#,
                "post_approval" => r#"{"commission_id":"c","decision":"approve"}"#,
                "post_adjustment" => {
                    r#"{"external_id":"a","kind":"bonus","partner_id":"p","amount":1,"currency":"USD","reason":"x"}"#
                }
                "post_repricing" => {
                    r#"{"commission_id":"c","sale":{"source":"s","external_id":"e"},"partner_id":"p","currency":"USD",
                        "expected_net":1,"net":1,"gross":1,"reason":"x","terms":{"rule_id":"r","rule_version":1,
                        "rounding":"floor","slices":[{"base":5,"rate_ppm":200000}],"uncapped":1,
                        "hold_until":"2026-07-01T00:00:00Z"}}"#
                }
                "post_payout" => r#"{"partner_id":"p","currency":"USD","idempotency_key":"k"}"#,
                "fail_payout" | "return_payout" => r#"{"reason":"x"}"#,
                "post_write_off" => r#"{"currency":"USD","reason":"x","idempotency_key":"k"}"#,
                "post_rate" => r#"{"rate_id":"r","from":"EUR","to":"USD","mantissa":1,"exponent":0}"#,
                "put_payout_destination" => r#"{"method":"paypal","email":"p@x.example"}"#,
                _ => "{}",
            };
            if path.starts_with("/v1/") {
                out.push((method.to_uppercase(), path.clone(), body));
            }
        }
    }
    out
}

#[tokio::test]
async fn no_token_of_another_tenant_reaches_any_operation() {
    let gateway = gateway().await;
    let key = |account: &str| v1::ApiKey { account_id: account.into(), ..Default::default() };
    configure_key(&gateway.log, 5, "sk_stranger", "acc_stranger", false);
    let expired = v1::ApiKey { expires_at_micros: 1, ..key("acc_demo") };
    configure_key_as(&gateway.log, 5, "sk_expired", "prog_demo", expired);
    let bound = v1::ApiKey { program_bound: true, ..key("acc_demo") };
    configure_key_as(&gateway.log, 5, "sk_bound", "prog_elsewhere", bound);
    let reader = v1::ApiKey { scopes: vec!["read".into()], ..key("acc_demo") };
    configure_key_as(&gateway.log, 5, "sk_reader", "prog_demo", reader);
    let operations = operations();
    assert_eq!(operations.len(), 39);
    for (method, path, body) in &operations {
        let reports = ["sales", "leads", "signups", "clicks", "refunds", "disputes"];
        let reports = reports.iter().any(|end| path.ends_with(end));
        let creates = path == "/v1/programs";
        let at = |program: &str| {
            let path = path.replace("{program}", program).replace("{key_id}", "key_sk_demo");
            path.replace("{endpoint}", "ep_paddle").replace(['{', '}'], "")
        };
        for (token, program, status) in [
            ("sk_stranger", "prog_demo", 404),
            ("sk_demo", "prog_other", 404),
            ("sk_bound", "prog_demo", if creates { 403 } else { 404 }),
            ("sk_reader", "prog_demo", 403),
            ("pk_demo", "prog_demo", if reports { 202 } else { 403 }),
            ("pk_demo", "prog_other", if reports { 404 } else { 403 }),
            ("sk_expired", "prog_demo", 401),
            ("whsec_demo_tributary", "prog_demo", 401),
        ] {
            // Creating names no program that could be somebody else's, and what may report waits for an outcome.
            if (creates && status == 404) || status == 202 {
                continue;
            }
            let (seen, answer) = gateway.native(method, &at(program), token, body).await;
            assert_eq!(seen, status, "{method} {path} as {token} to {program}: {answer}");
        }
    }
    assert!(gateway.log.ingested().is_empty() && gateway.log.configured().is_empty());
    // A webhook's program is a claim in its URL: the secret of another program's endpoint vouches for nothing there.
    configure_endpoint(&gateway.log, 5, "prog_other", &["whsec_of_the_other"]);
    let elsewhere = "/webhooks/paddle?program_id=prog_other";
    assert_eq!(code(&gateway.deliver(elsewhere, BODY.as_bytes()).await), (401, "signature_mismatch"));
    // The dialect's own words for the same.
    let referral =
        json!({"ref_code": "j", "program_id": "prog_demo", "spent_amount": 1, "transaction_id": "t"})
            .to_string();
    for (token, status) in
        [("sk_stranger", 403), ("sk_bound", 403), ("sk_reader", 403), ("sk_expired", 401), ("pk_demo", 401)]
    {
        assert_eq!(gateway.refer(REFERRAL, token, &referral).await.0, status, "{token}");
    }
    let foreign = referral.replace("prog_demo", "prog_other");
    assert_eq!(gateway.refer(REFERRAL, "sk_demo", &foreign).await.0, 403);
    assert!(gateway.log.ingested().is_empty());
}

#[tokio::test]
async fn a_dump_of_the_log_holds_no_credential_that_works() {
    let gateway = gateway().await;
    let (_, key) = gateway.native("POST", "/v1/programs/prog_demo/keys", "sk_demo", "{}").await;
    let pair = r#"{"live_program_id":"prog_l","test_program_id":"prog_t","name":"n","currency":"USD"}"#;
    let (_, pair) = gateway.native("POST", "/v1/programs", "sk_demo", pair).await;
    let endpoint = r#"{"provider":"paddle","secret":"whsec_dump_canary"}"#;
    assert_eq!(gateway.native("POST", "/v1/programs/prog_demo/endpoints", "sk_demo", endpoint).await.0, 200);
    gateway.deliver(WEBHOOK, BODY.as_bytes()).await;
    let mut secrets = vec!["sk_demo\"".to_owned(), SECRET.to_owned(), "whsec_dump_canary".to_owned()];
    secrets.push(key["object"]["secret"].as_str().unwrap().to_owned());
    for program in pair["object"]["programs"].as_array().unwrap() {
        secrets.push(program["key"]["secret"].as_str().unwrap().to_owned());
    }
    let dump = gateway.log.dump();
    for secret in secrets {
        // The random part alone would do as well.
        let part = secret.rsplit('_').next().unwrap().as_bytes();
        let raw = hex::decode(part).unwrap_or_else(|_| part.to_vec());
        for needle in [secret.as_bytes(), &raw] {
            assert!(!dump.windows(needle.len()).any(|window| window == needle), "{secret}");
        }
    }
}

#[tokio::test]
async fn card_numbers_never_reach_the_log() {
    let gateway = gateway().await;
    for card in ["4242424242424242", "4242 4242 4242 4242", "378282246310005", "6011-1111-1111-1117"] {
        for body in [
            SALE.replace("order_1", card),
            SALE.replace('}', &format!(r#","customer":{{"key":"{card}"}}}}"#)),
            SALE.replace('}', &format!(r#","code":"{card}"}}"#)),
        ] {
            let answer = gateway.native("POST", SALES, "sk_demo", &body).await;
            assert_eq!(code(&answer), (400, "card_number"), "{body}");
            assert!(!answer.1.to_string().contains(card));
        }
    }
    let dump = String::from_utf8_lossy(&gateway.log.dump()).into_owned();
    assert!(!dump.contains("4242"));
}

#[tokio::test]
async fn a_flood_of_one_tenant_leaves_the_others_alone() {
    let mut limits = limits();
    (limits.requests_per_second, limits.request_burst) = (1, 3);
    let gateway = gateway_with(FakeLog::new(), limits).await;
    configure_key(&gateway.log, 5, "sk_calm", "acc_demo", false);
    // Refused requests count: they cost as much.
    let floods = async |key: &str| {
        let mut answers = Vec::new();
        for _ in 0..4 {
            let request = gateway.client.post(gateway.url(SALES)).bearer_auth(key).body("{}");
            answers.push(request.send().await.unwrap());
        }
        answers
    };
    let answers = floods("sk_demo").await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status().as_u16()).collect();
    assert_eq!(statuses, [400, 400, 400, 429]);
    assert!(answers[3].headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
    assert_eq!(gateway.native("POST", SALES, "sk_calm", "{}").await.0, 400);
    let mut deliveries = Vec::new();
    for _ in 0..4 {
        deliveries.push(gateway.deliver(WEBHOOK, BODY.as_bytes()).await.0);
    }
    assert_eq!(deliveries, [200, 200, 200, 429]);
    // Whoever cannot sign takes nothing from who can.
    let referral = gateway.refer(REFERRAL, "sk_calm", "{}").await;
    assert_eq!(referral.0, 400);
    assert_eq!(
        gateway.refer(REFERRAL, "sk_demo", "{}").await,
        (429, json!({"error": "Rate limit exceeded"}))
    );
}

#[tokio::test]
async fn bytes_that_wait_for_the_log_are_bounded() {
    let mut limits = limits();
    (limits.max_in_flight_bytes, limits.append_timeout) = (4 << 10, Duration::from_secs(60));
    let gateway = gateway_with(FakeLog::new(), limits).await;
    gateway.log.set_mood(Mood::Stalls);
    let large = format!(r#"{{"event_id":"{}"}}"#, "x".repeat(3 << 10));
    let mut appends = gateway.log.appends.subscribe();
    let first = gateway.deliver(WEBHOOK, large.as_bytes());
    let second = async {
        appends.wait_for(|count| *count == 1).await.unwrap();
        gateway.deliver(WEBHOOK, large.as_bytes()).await
    };
    let answer = tokio::select! {
        _ = first => panic!("the first request was answered"),
        second = second => second,
    };
    assert_eq!(code(&answer), (503, "busy"));
}

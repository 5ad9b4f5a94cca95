//! One trace from the request to the rows, as a receiver of spans sees it; also when the process dies in between.
use crate::installation::{Installation, Target};
use crate::otlp::Receiver;
use anyhow::{Context, Result};
use opentelemetry_proto::tonic::trace::v1::Span;
use std::collections::BTreeMap;
use testkit::load::{client, send};
use testkit::requests::{Auth, Request, paddle, paddle_sale};

pub(crate) const HOPS: [&str; 6] = [
    "gateway request",
    "ingest append",
    "normalizer frame",
    "attribution frame",
    "commission frame",
    "projector transaction",
];
/// The caller's own trace and span.
const CALLER_SPAN: [u8; 8] = [0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7];

pub(crate) fn traced(event: &str, trace: [u8; 16]) -> Request {
    let mut request =
        paddle("prog_demo", &paddle_sale(event, &format!("txn_{event}"), 1_000, 0, Some("john123"), "c_1"));
    let mut headers = request.headers();
    headers.push((
        "traceparent".to_owned(),
        format!("00-{}-{}-01", hex::encode(trace), hex::encode(CALLER_SPAN)),
    ));
    request.auth = Auth::Headers(headers);
    request
}

/// Each span's parent is the hop before; nothing is missing and nothing hangs in the air.
pub(crate) fn check(spans: &BTreeMap<String, Vec<Span>>) -> Result<()> {
    let one = |name: &str| spans[name].first().with_context(|| name.to_owned());
    assert_eq!(one("gateway request")?.parent_span_id, CALLER_SPAN, "the caller's span is the parent");
    for pair in HOPS.windows(2) {
        if pair[1] == "projector transaction" {
            continue;
        }
        assert_eq!(spans[pair[1]].len(), 1, "{}", pair[1]);
        assert_eq!(one(pair[1])?.parent_span_id, one(pair[0])?.span_id, "{} follows {}", pair[1], pair[0]);
    }
    // Verdicts and money are projected from two topics: each transaction follows the frame whose rows it committed.
    let frames = ["normalizer frame", "commission frame"].map(|name| spans[name][0].span_id.clone());
    for transaction in &spans["projector transaction"] {
        assert!(frames.contains(&transaction.parent_span_id));
    }
    for span in spans.values().flatten() {
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano && span.start_time_unix_nano > 0);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_goes_from_the_request_to_the_rows_also_across_a_kill() -> Result<()> {
    let receiver = Receiver::start().await?;
    let installation = Installation::new(Target::Embedded, "telemetry").await?;
    let held = installation.directory.path().join("held");
    let held_text = held.display().to_string();
    let variables = [
        ("TRIBUTARY_TELEMETRY_OTLP_ENDPOINT", receiver.url.as_str()),
        ("TRIBUTARY_FAILPOINT_FAIL", "hold-normalizer"),
        ("TRIBUTARY_FAILPOINT_FILE", &held_text),
    ];
    let running = installation.setup.start_with(None, &variables).await?;
    let http = client();

    let undisturbed = [0x4b, 1, 2, 3, 4, 5, 6, 7, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    let (status, body) = send(&http, &running.url, &traced("evt_trace_1", undisturbed)).await?;
    assert_eq!(status, 200, "{body}");
    check(&receiver.trace(&undisturbed, &HOPS).await?)?;

    // Acknowledged, and dead before anything is decided: what follows belongs to the same trace.
    let killed = [0x4b, 1, 2, 3, 4, 5, 6, 7, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2];
    std::fs::write(&held, "")?;
    let (status, body) = send(&http, &running.url, &traced("evt_trace_2", killed)).await?;
    assert_eq!(status, 200, "{body}");
    let before = receiver.trace(&killed, &HOPS[..2]).await?;
    assert_eq!(before.len(), 2, "nothing is decided yet: {:?}", before.keys());
    running.kill().await?;
    std::fs::remove_file(&held)?;
    let running = installation.setup.start_with(None, &variables).await?;
    check(&receiver.trace(&killed, &HOPS).await?)?;
    installation.verify_is_clean().await?;
    assert!(running.terminate().await?.success());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_of_spans_that_does_not_answer_holds_nothing_up() -> Result<()> {
    // Takes connections and never answers.
    let deaf = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", deaf.local_addr()?);
    let installation = Installation::new(Target::Embedded, "deaf").await?;
    let variables = [("TRIBUTARY_TELEMETRY_OTLP_ENDPOINT", endpoint.as_str())];
    let running = installation.setup.start_with(None, &variables).await?;
    let http = client();
    for number in 0..20 {
        let (status, body) = send(
            &http,
            &running.url,
            &testkit::requests::referral("prog_demo", "john123", &format!("order_deaf_{number}"), 1_000),
        )
        .await?;
        assert_eq!((status, &body["commission_amount"]), (200, &200.into()), "{body}");
    }
    assert!(running.terminate().await?.success());
    Ok(())
}

//! Trace context of a request (W3C `traceparent`), or a new one.
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Response};
use axum::middleware::Next;
use axum::{body::Body, http::Method};
use kit::spans::{Context, Fact, Kind, Span, Spans};
use std::borrow::Cow;
use std::time::SystemTime;

const HEADER: &str = "traceparent";
/// Methods by which requests are told apart; others are one.
const METHODS: [Method; 6] =
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// A span around each request; only in place when spans are sent. What the handler sees as the caller's context is the
/// span's, so that all it appends follows from it.
///
/// Probes are left out. Whether a trace is sent is our decision alone: a caller's sampled flag would let strangers fill the
/// receiver.
pub(crate) async fn traced(State(spans): State<Spans>, mut request: Request, next: Next) -> Response<Body> {
    let path = request.extensions().get::<MatchedPath>().cloned();
    if path.as_ref().is_some_and(|path| matches!(path.as_str(), "/livez" | "/readyz")) {
        return next.run(request).await;
    }
    let sent = request.headers().get(HEADER).and_then(|value| parse(value.as_bytes()));
    let (trace, parent) = sent.map_or_else(|| (rand::random(), None), |(trace, span)| (trace, Some(span)));
    let Some(span) = spans.begin(&trace) else { return next.run(request).await };
    let context = (trace, span);
    if let Ok(value) = HeaderValue::try_from(render(&context)) {
        request.headers_mut().insert(HEADER, value);
    }
    let method = METHODS.iter().find(|method| *method == request.method()).map_or("_OTHER", Method::as_str);
    let method = Fact::Text(Cow::Owned(method.to_owned()));
    let began = SystemTime::now();
    let response = next.run(request).await;
    let status = response.status();
    // The path itself may name people; its pattern does not.
    let route = path.map_or(Cow::Borrowed("unmatched"), |path| Cow::Owned(path.as_str().to_owned()));
    spans.record(Span {
        name: "gateway request",
        kind: Kind::Server,
        context,
        parent,
        began,
        ended: SystemTime::now(),
        facts: vec![
            ("http.request.method", method),
            ("http.route", Fact::Text(route)),
            ("http.response.status_code", u32::from(status.as_u16()).into()),
        ],
        failed: status.is_server_error(),
    });
    response
}

fn render((trace, span): &Context) -> String {
    format!("00-{}-{}-01", hex::encode(trace), hex::encode(span))
}

/// The caller's context if it sent a valid one, else random ids.
pub(crate) fn context_of(headers: &HeaderMap) -> Context {
    let sent = headers.get(HEADER).and_then(|value| parse(value.as_bytes()));
    sent.unwrap_or_else(rand::random)
}

fn parse(text: &[u8]) -> Option<Context> {
    // version "-" trace id "-" span id "-" flags; later versions may append fields.
    let valid = text.len() >= 55 && [2, 35, 52].iter().all(|at| text[*at] == b'-') && &text[..2] != b"ff";
    if !valid || (text.len() > 55 && (&text[..2] == b"00" || text[55] != b'-')) {
        return None;
    }
    let (mut trace, mut span) = ([0; 16], [0; 8]);
    hex::decode_to_slice(&text[3..35], &mut trace).ok()?;
    hex::decode_to_slice(&text[36..52], &mut span).ok()?;
    (trace != [0; 16] && span != [0; 8]).then_some((trace, span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valid_traceparent_is_kept_and_rubbish_is_not() {
        let valid = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(parse(valid).map(|(trace, _)| trace[0]), Some(0x4b));
        assert_eq!(parse(valid).map(|context| render(&context)).unwrap_or_default().as_bytes(), valid);
        for rubbish in [
            &b"00-00000000000000000000000000000000-00f067aa0ba902b7-01"[..],
            b"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            b"00-xbf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            b"00",
        ] {
            assert_eq!(parse(rubbish), None);
        }
    }
}

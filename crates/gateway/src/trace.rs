//! Trace context of a request (W3C `traceparent`), or a new one.
use axum::http::HeaderMap;

/// Trace id and span id.
pub(crate) type Context = ([u8; 16], [u8; 8]);

/// The caller's context if it sent a valid one, else random ids.
pub(crate) fn context_of(headers: &HeaderMap) -> Context {
    let sent = headers.get("traceparent").and_then(|value| parse(value.as_bytes()));
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

//! Whatever the bytes: no panic, one draft, the same each time.
#![allow(clippy::unwrap_used, missing_docs)]
extern crate tributary_sources as sources;

use domain::config::SourceSettings;
use domain::ids::ProgramId;
use domain::normalization::{Draft, Reading};
use domain::time::Micros;
use proptest::prelude::*;
use sources::json::{JsonError, MAX_DEPTH, precheck};
use sources::signature::verify_paddle;
use sources::{SourceRequest, normalize};

const BODIES: [&str; 4] = [
    include_str!("fixtures/transaction.completed.json"),
    include_str!("fixtures/adjustment.updated.json"),
    include_str!("fixtures/customer.created.json"),
    include_str!("fixtures/discount.created.json"),
];
const REFERRAL: &str =
    r#"{"ref_code":"john123","program_id":"prog_demo","spent_amount":1,"transaction_id":"t"}"#;

fn read(source: &str, body: &[u8]) -> Draft {
    let program = ProgramId::from("prog_demo");
    normalize(&SourceRequest {
        program: &program,
        source,
        body,
        headers: &[],
        query: "",
        clock: Micros(0),
        settings: &SourceSettings::default(),
        resource: "",
        authenticated_by: "ep_1",
    })
}

/// Everything that a stranger's bytes meet.
fn meet(body: &[u8]) {
    let door = precheck(body, MAX_DEPTH);
    for source in ["paddle", "revshare", "nobody"] {
        let draft = read(source, body);
        assert!(!draft.delivery_key.is_empty());
        assert_eq!(draft, read(source, body));
        if door.is_err() && door != Err(JsonError::TooDeep) {
            assert!(matches!(draft.reading, Reading::Quarantined { .. }), "{draft:?}");
        }
    }
    let _answer = sources::dialects::revshare::validate(body);
}

proptest! {
    #[test]
    fn random_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..300), header in ".{0,120}") {
        meet(&body);
        let refused = verify_paddle(Some(&header), &body, &["secret"], 0, Micros(0)).is_err();
        prop_assert!(refused);
    }

    #[test]
    fn damaged_bodies_never_panic(
        which in 0..5_usize,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let mut body = BODIES.get(which).copied().unwrap_or(REFERRAL).as_bytes().to_vec();
        for (place, byte) in damage {
            let at = place.index(body.len());
            body[at] = byte;
        }
        if cuts {
            body.truncate(cut.index(body.len()));
        }
        meet(&body);
    }

    #[test]
    fn values_of_any_kind_in_any_place_never_panic(
        which in 0..5_usize,
        place in any::<prop::sample::Index>(),
        value in prop::sample::select(vec![
            "null", "true", "-1", "0", "1e999", "9223372036854775808", "1.5", "\"\"", "\"\\u0000\"", "\"\\ud800\"",
            "\"2026-13-01T00:00:00Z\"", "[]", "[[]]", "{}", "[{}]", "{\"id\":{}}",
        ]),
    ) {
        let body = BODIES.get(which).copied().unwrap_or(REFERRAL);
        let starts: Vec<usize> = body.match_indices(':').map(|(at, _)| at + 1).collect();
        let at = starts[place.index(starts.len())];
        let end = body[at..].find([',', '}', ']']).map_or(body.len(), |end| at + end);
        meet(format!("{}{value}{}", &body[..at], &body[end..]).as_bytes());
    }
}

#[test]
fn the_door_refuses_what_is_no_object_of_bounded_depth() {
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    assert_eq!(precheck(nested(64).as_bytes(), MAX_DEPTH), Ok(()));
    assert_eq!(precheck(nested(65).as_bytes(), MAX_DEPTH), Err(JsonError::TooDeep));
    assert_eq!(precheck(nested(100_000).as_bytes(), MAX_DEPTH), Err(JsonError::TooDeep));
    for (body, expected) in [
        (&b"{\"a\": \"[[\\\"[[[{{{\"}"[..], Ok(())),
        (b" \r\n\t{}\n", Ok(())),
        (b"{\"a\":\"\\ud800\"}", Ok(())),
        (b"", Err(JsonError::NotJson)),
        (b"{} {}", Err(JsonError::NotJson)),
        (b"{\"a\":1,}", Err(JsonError::NotJson)),
        (b"{\"a\":01}", Err(JsonError::NotJson)),
        (b"{\"a\":NaN}", Err(JsonError::NotJson)),
        (b"{\"a\":\"\x01\"}", Err(JsonError::NotJson)),
        (b"\xef\xbb\xbf{}", Err(JsonError::NotJson)),
        (b"[{}]", Err(JsonError::NotObject)),
        (b"\"{\"", Err(JsonError::NotObject)),
        (b"null", Err(JsonError::NotObject)),
        (b"{\"a\":\"\xff\"}", Err(JsonError::InvalidUtf8)),
    ] {
        assert_eq!(precheck(body, MAX_DEPTH), expected, "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn a_source_that_nobody_reads_is_kept_for_a_version_that_does() {
    let Reading::Quarantined { reason, .. } = read("nobody", b"{}").reading else { panic!("quarantined") };
    assert_eq!(reason, "unknown_source");
}

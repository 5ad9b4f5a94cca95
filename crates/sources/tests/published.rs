//! The provider's own published bodies, where the folder with them is at hand; they are not copied into this repository.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]
extern crate tributary_sources as sources;

use domain::config::SourceSettings;
use domain::facts::{CouponRef, FactBody, ReversalState};
use domain::ids::ProgramId;
use domain::money::Minor;
use domain::normalization::Reading;
use domain::time::Micros;
use sources::signature::verify_paddle;
use sources::{SourceRequest, normalize};
use std::path::PathBuf;

/// The folder of Paddle's bodies, or `None` with a word on stderr.
fn folder() -> Option<PathBuf> {
    let root = std::env::var_os("TRIBUTARY_FIXTURES").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures"),
        PathBuf::from,
    );
    let folder = root.join("providers/paddle");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no published bodies in {} (set TRIBUTARY_FIXTURES)", folder.display());
    None
}

fn read(body: &str) -> Reading {
    let program = ProgramId::from("prog_demo");
    sources::json::precheck(body.as_bytes(), sources::json::MAX_DEPTH).unwrap();
    normalize(&SourceRequest {
        program: &program,
        source: "paddle",
        body: body.as_bytes(),
        headers: &[],
        query: "",
        clock: Micros(0),
        settings: &SourceSettings::default(),
        resource: "",
        authenticated_by: "ep_1",
    })
    .reading
}

fn enveloped(event_type: &str, data: &str) -> String {
    format!(
        r#"{{"event_id":"evt_{event_type}","event_type":"{event_type}","occurred_at":"2026-01-01T00:00:00Z","notification_id":"ntf_1","data":{data}}}"#
    )
}

#[test]
fn every_published_body_is_read_as_its_event_says() {
    let Some(folder) = folder() else { return };
    let mut seen = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(stem) = name.strip_suffix(".json") else { continue };
        let text = std::fs::read_to_string(folder.join(&name)).unwrap();
        let (event, body) = match stem.strip_prefix("data_only.") {
            Some(event) => (event.to_owned(), enveloped(event, &text)),
            None => {
                let value: serde_json::Value = serde_json::from_str(&text).unwrap();
                (value["event_type"].as_str().unwrap().to_owned(), text)
            }
        };
        seen += 1;
        match (event.as_str(), read(&body)) {
            ("transaction.completed", Reading::Facts(facts)) => {
                let FactBody::Sale(sale) = &facts[0].body else { panic!("{name}: a sale") };
                assert_eq!((sale.gross, sale.net), (Minor(65_215), Some(Minor(59_900))), "{name}");
                assert_eq!(sale.lines.len(), 3, "{name}");
                assert!(!matches!(sale.coupon, Some(CouponRef::Code(_))), "{name}");
            }
            ("adjustment.created", Reading::Facts(facts)) => {
                let FactBody::Reversal(reversal) = &facts[0].body else { panic!("{name}: a reversal") };
                assert!(matches!(reversal.state, ReversalState::Pending | ReversalState::Live), "{name}");
                assert!(reversal.net.is_some_and(|net| net < reversal.gross), "{name}");
            }
            ("customer.created", Reading::Facts(facts)) => {
                assert_eq!(facts[0].body, FactBody::CustomerLink, "{name}");
                assert_eq!(facts[0].identifiers.len(), 2, "{name}");
            }
            ("discount.created", Reading::Facts(facts)) => {
                assert!(matches!(facts[0].body, FactBody::CouponDefinition { .. }), "{name}");
            }
            ("subscription.canceled", Reading::Quarantined { reason, .. }) => {
                assert_eq!(reason, "unsupported_event", "{name}");
            }
            (event, Reading::Ignored { reason }) => assert_eq!(reason, event, "{name}"),
            (_, other) => panic!("{name}: {other:?}"),
        }
    }
    assert!(seen >= 17, "{seen} bodies");
}

#[test]
fn published_signatures_hold_over_the_exact_bytes_only() {
    let Some(folder) = folder() else { return };
    let secret = "pdl_ntfset_01hs0t3tw21j988db1pam5xg8m_GrOWLNef+vmtjJYq4mSnHNzvc8uWoJ1I";
    for (name, seconds, h1) in [
        (
            "signed.customer.created",
            1_710_498_758,
            "558bf93944dbeb4790c7a8af6cb2ea435c8ca9c8396aafc1a4e37424ac132744",
        ),
        (
            "signed.customer.special_chars",
            1_710_498_288,
            "38219b3ba1578184e625c29d201a27cd25bd69e2ec9c3ab87dcb90d87ff73a41",
        ),
    ] {
        let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
        let body = text.strip_suffix('\n').unwrap_or(&text).as_bytes();
        let header = format!("ts={seconds};h1={h1}");
        let now = Micros(seconds * 1_000_000);
        assert_eq!(verify_paddle(Some(&header), body, &[secret], 0, now), Ok(()), "{name}");
        let longer = [body, b"\n"].concat();
        assert!(verify_paddle(Some(&header), &longer, &[secret], 0, now).is_err(), "{name}");
    }
}

//! The wire contract is frozen: fixed samples must encode to the bytes that are checked in, for ever, and decode from them.
//!
//! `TRIBUTARY_WRITE_GOLDEN=1` writes files for samples that have none; a file that exists is never overwritten.
#![allow(clippy::unwrap_used, missing_docs)]
extern crate tributary_wire as wire;

mod samples;

use bytes::Bytes;
use prost::Message;
use std::fmt::{Debug, Write};
use std::path::PathBuf;
use wire::envelope::{Envelope, Kind};
use wire::{UnknownDetail, v1};

fn golden(name: &str, bytes: &[u8]) -> Bytes {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(format!("{name}.hex"));
    if !path.exists() && std::env::var_os("TRIBUTARY_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, to_hex(bytes)).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!("{name} has no golden bytes ({error}): set TRIBUTARY_WRITE_GOLDEN=1 once")
    });
    assert_eq!(to_hex(bytes), text, "{name} no longer encodes to its golden bytes");
    from_hex(&text)
}

/// 40 bytes a line, so that a difference is readable in a review.
fn to_hex(bytes: &[u8]) -> String {
    let mut out = String::new();
    for line in bytes.chunks(40) {
        for byte in line {
            write!(out, "{byte:02x}").unwrap();
        }
        out.push('\n');
    }
    out
}

fn from_hex(text: &str) -> Bytes {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Encodes to the golden bytes, decodes from them, and is what the generated messages write as well.
fn check<T: Debug + PartialEq, M: Message + Default>(
    name: &str,
    sample: &T,
    encoded: &Bytes,
    decode: impl Fn(&Bytes) -> Result<T, wire::Unknown>,
) {
    let stored = golden(name, encoded);
    assert_eq!(&decode(&stored).unwrap(), sample, "{name}");
    let generated = M::decode(stored.clone()).unwrap().encode_to_vec();
    assert_eq!(generated, &stored[..], "{name}: the writer and the generated messages differ");
    for cut in 0..stored.len() {
        // A cut record may still parse (fields are optional), but it must never panic.
        drop(decode(&stored.slice(..cut)));
    }
}

#[test]
fn every_event_kind_keeps_its_bytes() {
    for (name, sample) in samples::ingest() {
        let bytes = wire::ingest::encode(&sample);
        check::<_, v1::IngestRecord>(&format!("ingest_{name}"), &sample, &bytes, wire::ingest::decode);
    }
    for (name, sample) in samples::configs().into_iter().chain(samples::payouts::configs()) {
        let bytes = wire::config::encode(&sample);
        check::<_, v1::ConfigFact>(&format!("config_{name}"), &sample, &bytes, wire::config::decode);
    }
    for (name, sample) in samples::facts().into_iter().chain(samples::payouts::facts()) {
        let bytes = wire::facts::encode(&sample).unwrap();
        check::<_, v1::FactsEvent>(&format!("facts_{name}"), &sample, &bytes, wire::facts::decode);
    }
    for (name, sample) in samples::attributed() {
        let bytes = wire::attributed::encode(&sample);
        check::<_, v1::AttributedEvent>(
            &format!("attributed_{name}"),
            &sample,
            &bytes,
            wire::attributed::decode,
        );
    }
    for (name, sample) in samples::commissions().into_iter().chain(samples::payouts::commissions()) {
        let bytes = wire::commissions::encode(&sample);
        check::<_, v1::CommissionsEvent>(
            &format!("commissions_{name}"),
            &sample,
            &bytes,
            wire::commissions::decode,
        );
    }
    for (name, sample) in samples::outcomes().into_iter().chain(samples::payouts::outcomes()) {
        let bytes = wire::outcomes::encode(&sample);
        check::<_, v1::OutcomeRecord>(&format!("outcomes_{name}"), &sample, &bytes, wire::outcomes::decode);
    }
    let record = wire::config::GatewayRecord {
        key: "program/prog_demo".into(),
        version: 17,
        fact: samples::configs().remove(0).1,
        account: "acc_demo".into(),
    };
    let bytes = wire::config::encode_gateway(&record);
    check::<_, v1::GatewayConfigRecord>("gateway_config", &record, &bytes, wire::config::decode_gateway);
}

#[test]
fn a_whole_frame_record_and_a_fence_keep_their_bytes() {
    let envelope = Envelope {
        kind: Kind::Frame,
        epoch: 3,
        writer: [0xa1; 16],
        input_offset: 41,
        input_epoch: 2,
        input_writer: [0xb2; 16],
        trace: Some(([0xc3; 16], [0xd4; 8])),
    };
    let content = v1::FrameContent {
        seq: 7,
        source: 12,
        step: 1,
        last: true,
        source_head: Bytes::from_static(&[5; 32]),
        prev_head: Bytes::from_static(&[6; 32]),
        clock_micros: 1_712_917_129_738_971,
        // Those samples that there were when its bytes were checked in.
        events: samples::facts()
            .iter()
            .take(8)
            .map(|(_, event)| wire::facts::encode(event).unwrap())
            .collect(),
        defect_input: Bytes::new(),
        defect: String::new(),
        marks: Vec::new(),
    };
    let (bytes, head) = wire::frame::encode(&content);
    golden("frame_head", &head.0);
    let stored = golden("frame_record", &wire::envelope::encode(&envelope, &bytes));
    let (read, stored_content) = wire::envelope::decode(&stored).unwrap();
    assert_eq!(read, envelope);
    assert_eq!(wire::frame::head(&stored_content), head);
    assert_eq!(wire::frame::decode(&stored_content).unwrap(), content);

    let fence = v1::FenceContent { logic_version: 1, service: "normalizer".into() };
    let envelope = Envelope { kind: Kind::Fence, trace: None, ..envelope };
    let stored =
        golden("fence_record", &wire::envelope::encode(&envelope, &wire::frame::encode_fence(&fence)));
    let (read, content) = wire::envelope::decode(&stored).unwrap();
    assert_eq!((read, wire::frame::decode_fence(&content).unwrap()), (envelope, fence));
}

#[test]
fn what_this_version_does_not_know_is_named_and_never_guessed() {
    let kind = |bytes: &[u8]| wire::facts::decode(&Bytes::copy_from_slice(bytes)).unwrap_err().detail;
    // Nothing at all; a member of the oneof from the future (field 15).
    assert_eq!(kind(b""), UnknownDetail::Kind);
    assert_eq!(kind(&[0x7a, 0]), UnknownDetail::Kind);
    assert!(matches!(kind(&[0xff]), UnknownDetail::Malformed(_)));
    let verdict = |number| {
        let verdict = v1::Verdict { kind: number, ..v1::Verdict::default() };
        v1::FactsEvent { event: Some(v1::facts_event::Event::Verdict(verdict)) }.encode_to_vec()
    };
    assert!(matches!(kind(&verdict(99)), UnknownDetail::Value { field: "verdict", .. }));
    assert!(matches!(kind(&verdict(0)), UnknownDetail::Value { field: "verdict", .. }));
    // A known body under a new kind.
    let fact = v1::Fact {
        kind: "fee".into(),
        body: Some(v1::fact::Body::CustomerLink(v1::CustomerLink {})),
        ..v1::Fact::default()
    };
    let fact = v1::FactsEvent { event: Some(v1::facts_event::Event::Fact(fact)) }.encode_to_vec();
    assert!(matches!(kind(&fact), UnknownDetail::Value { field: "fact kind", .. }));
}

#[test]
fn a_readable_identifier_is_never_written() {
    use domain::facts::Personal;
    use domain::normalization::FactsEvent;
    let (_, FactsEvent::Fact(mut fact)) = samples::facts().remove(1) else { panic!("a fact") };
    fact.identifiers[0].value = Personal::Open("ctm_secret".into());
    assert_eq!(wire::facts::encode(&FactsEvent::Fact(fact.clone())), Err(wire::Unsealed::Open));
    fact.identifiers[0].subject = None;
    assert_eq!(wire::facts::encode(&FactsEvent::Fact(fact)), Err(wire::Unsealed::NoSubject));
}

#[test]
fn the_facts_event_inside_an_attributed_event_is_not_touched() {
    // Bytes of a newer writer: a verdict with a field that this version does not know.
    let mut verdict =
        v1::Verdict { kind: v1::VerdictKind::Applied.into(), ..v1::Verdict::default() }.encode_to_vec();
    verdict.extend_from_slice(&[0xa0, 0x06, 0x01]);
    let mut bytes = vec![0x0a, verdict.len() as u8];
    bytes.extend_from_slice(&verdict);
    let original = Bytes::from(bytes);
    let event = domain::attribution::AttributedEvent::Passed {
        bytes: original.clone(),
        event: wire::facts::decode(&original).unwrap(),
        decision: None,
    };
    let decoded = wire::attributed::decode(&wire::attributed::encode(&event)).unwrap();
    assert_eq!(decoded, event);
}

//! Samples of what comes in.
use super::{AT, configs, reply};
use bytes::Bytes;
use wire::ingest::{IngestRecord, RawRequest};

pub(crate) fn ingest() -> Vec<(&'static str, IngestRecord)> {
    let request = RawRequest {
        program: "prog_demo".into(),
        source: "paddle".into(),
        body: Bytes::from_static(br#"{"event_id":"evt_sample"}"#),
        headers: vec![("paddle-signature".into(), "ts=1;h1=00".into())],
        query: "program_id=prog_demo".into(),
        authenticated_by: "end_1".into(),
        received_at: AT,
        reply_to: Some(reply()),
        trace: Some(([1; 16], [2; 8])),
        resource: String::new(),
        publishable: false,
    };
    let publishable = RawRequest { publishable: true, resource: "leads".into(), ..request.clone() };
    let untraced = RawRequest { reply_to: None, trace: None, ..request.clone() };
    vec![
        ("request", IngestRecord::Request(request)),
        ("request_publishable", IngestRecord::Request(publishable)),
        ("config", IngestRecord::Config(configs().remove(0).1)),
        ("tick", IngestRecord::Tick),
        ("retry", IngestRecord::Retry { of_position: 12, request: untraced, actor: "ann".into() }),
        ("base", IngestRecord::Base { first_position: 1_000_000, end_position: 0 }),
    ]
}

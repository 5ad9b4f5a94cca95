//! What is kept of an input whose decision panicked (rule 8).
use crate::service::Payload;
use bytes::Bytes;
use prost::Message;
use wire::v1::FrameContent;

pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic without a text".to_owned());
    text.chars().take(500).collect()
}

/// The input's bytes, kept in the frame for a retry (rule 8). A raw request stays in `ingest` instead.
pub(super) fn parked(payload: &Payload) -> Bytes {
    match payload {
        Payload::Ingest(_) => Bytes::new(),
        Payload::Events(events) => {
            Bytes::from(FrameContent { events: events.clone(), ..FrameContent::default() }.encode_to_vec())
        }
    }
}

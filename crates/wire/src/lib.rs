//! The bytes on the topics: protobuf messages, the frame's envelope, and conversions to and from `domain`.
//!
//! Frozen from the first version: later versions only add fields. This crate must never decide anything, and must never
//! decode content in order to encode it again (content is hashed exactly as stored).
//! Read next: `proto/tributary/v1`, [`envelope`], [`frame`], then the conversions by topic.
pub mod envelope;

/// The generated messages.
#[allow(missing_docs, unreachable_pub, missing_debug_implementations, clippy::all, rustdoc::all)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/tributary.v1.rs"));
}

//! The bytes on the topics: protobuf messages, the frame's envelope, and conversions to and from `domain`.
//!
//! Frozen from the first version: later versions only add fields. This crate must never decide anything, and must never
//! decode content in order to encode it again (content is hashed exactly as stored). Bytes of a newer version are
//! [`Unknown`], never guessed.
//! Read next: `proto/tributary/v1`, [`envelope`], [`frame`], then the conversions by topic ([`ingest`], [`facts`],
//! [`attributed`], [`commissions`], [`outcomes`], [`config`]).
pub mod attributed;
pub mod commissions;
mod common;
pub mod config;
pub mod envelope;
pub mod facts;
pub mod frame;
pub mod ingest;
pub mod outcomes;
mod payouts;
mod rules;
mod terms;
mod unknown;
mod write;

pub use unknown::{Unknown, UnknownDetail, Unsealed};

/// The generated messages.
#[allow(missing_docs, unreachable_pub, missing_debug_implementations, clippy::all, rustdoc::all)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/tributary.v1.rs"));
}

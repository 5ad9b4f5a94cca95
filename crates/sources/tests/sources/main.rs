//! What adapters and dialects make of bytes.
extern crate tributary_sources as sources;

mod details;
mod native;
mod paddle;
mod payouts;
mod published;
mod revshare;
mod robustness;
mod stripe;

//! The invariants of the ledger (`docs/reference/ledger.md`) as laws over random histories, against a naive model of the whole
//! contract. What each law catches is in `docs/reference/ledger-laws.md`.
#![allow(clippy::unwrap_used, unreachable_pub)]

#[path = "ledger/harness.rs"]
#[allow(dead_code, reason = "shared with the contract's worked examples, which use more of it")]
mod harness;
#[path = "ledger/laws/mod.rs"]
mod laws;
#[path = "ledger/model.rs"]
#[allow(dead_code, reason = "as above")]
mod model;

//! The invariants of the ledger (`docs/reference/ledger.md`) as laws over random histories, against a naive model of the whole
//! contract. What each law catches is in `docs/reference/ledger-laws.md`.
#![allow(clippy::unwrap_used, unreachable_pub)]

#[path = "ledger/commands.rs"]
#[allow(dead_code, reason = "shared with the contract's worked examples, which use more of it")]
mod commands;
#[path = "ledger/frames.rs"]
#[allow(dead_code, reason = "as above")]
mod frames;
#[path = "ledger/harness.rs"]
#[allow(dead_code, unused_imports, reason = "as above")]
mod harness;
#[path = "ledger/laws/mod.rs"]
mod laws;
#[path = "ledger/model.rs"]
#[allow(dead_code, reason = "as above")]
mod model;
#[path = "ledger/specs.rs"]
#[allow(dead_code, reason = "as above")]
mod specs;

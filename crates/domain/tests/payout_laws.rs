//! The laws of payouts (`docs/reference/ledger.md`) over random histories: drafts, settlements, failures, returns, offsets of
//! debts, write-offs, rates and schedules, against a naive model. What each law catches is in `docs/reference/ledger-laws.md`.
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
#[path = "payouts/laws/mod.rs"]
mod laws;
#[path = "ledger/model.rs"]
#[allow(dead_code, reason = "as above")]
mod model;
#[path = "ledger/specs.rs"]
#[allow(dead_code, reason = "as above")]
mod specs;

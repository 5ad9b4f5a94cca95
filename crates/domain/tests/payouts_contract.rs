//! The ledger's contract for payouts (`docs/reference/ledger.md`): drafts, settlements, failures, returns, debts and what pays
//! them, write-offs, conversions and schedules, through `decide` and `evolve` only.
#![allow(clippy::unwrap_used, unreachable_pub)]

#[path = "ledger/commands.rs"]
#[allow(dead_code, reason = "shared with the contract's worked examples, which use more of it")]
mod commands;
#[path = "payouts/debts.rs"]
mod debts;
#[path = "ledger/frames.rs"]
#[allow(dead_code, reason = "as above")]
mod frames;
#[path = "payouts/fx.rs"]
mod fx;
#[path = "ledger/harness.rs"]
#[allow(dead_code, unused_imports, reason = "as above")]
mod harness;
#[path = "payouts/mixes.rs"]
mod mixes;
#[path = "payouts/payouts.rs"]
mod payouts;
#[path = "payouts/schedules.rs"]
mod schedules;
#[path = "ledger/specs.rs"]
#[allow(dead_code, reason = "as above")]
mod specs;
#[path = "payouts/support.rs"]
mod support;

//! The ledger's contract (`docs/reference/ledger.md`), tested through `decide` and `evolve` only: its vectors, and its
//! invariants under random histories against a naive model that shares no code with the ledger.
#![allow(clippy::unwrap_used, unreachable_pub)]

#[path = "ledger/adjustments.rs"]
mod adjustments;
#[path = "ledger/commands.rs"]
mod commands;
#[path = "ledger/conversions.rs"]
mod conversions;
#[path = "ledger/forecasts.rs"]
mod forecasts;
#[path = "ledger/frames.rs"]
mod frames;
#[path = "ledger/harness.rs"]
mod harness;
#[path = "ledger/lifecycle.rs"]
mod lifecycle;
#[path = "ledger/model.rs"]
mod model;
#[path = "ledger/payments.rs"]
mod payments;
#[path = "ledger/people.rs"]
mod people;
#[path = "ledger/properties.rs"]
mod properties;
#[path = "ledger/rules.rs"]
mod rules;
#[path = "ledger/specs.rs"]
mod specs;
#[path = "ledger/splits.rs"]
mod splits;
#[path = "ledger/vectors.rs"]
mod vectors;

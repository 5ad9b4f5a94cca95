//! The services together, over tables in memory, over a log, and with a real Postgres. One binary: each would be linked with
//! everything again.
#![allow(clippy::unwrap_used)]
extern crate readmodel as tributary_readmodel;

mod by_hand;
mod chain;
mod defects;
mod explain;
mod payouts;
mod proofs;
mod read_side;
mod setting;
#[path = "../../../readmodel/tests/readmodel/support/mod.rs"]
mod support;
mod verify;

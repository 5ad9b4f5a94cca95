//! The gateway over real sockets and a log in memory that can be told to stall.
#![allow(clippy::unwrap_used)]
mod answers;
mod attacks;
mod bad_input;
mod fake_log;
mod harness;
mod ledger;
mod native;
mod openapi;
mod payouts;

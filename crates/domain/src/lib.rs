//! The pure core: what happened (facts), who earns (attribution), what is owed (commission), and the money in it.
//!
//! This crate decides and folds. It must never read a clock, draw a random number, touch a disk or a socket, use a
//! float, or iterate in hash order: everything decided here is reproducible from the log (`clippy.toml` beside the
//! manifest enforces it). Decisions come in pairs: `decide(view, input) -> events` and `evolve(tables, events)`.
//!
//! Read next: [`facts`] (what adapters produce), [`normalization`] (verdicts and deduplication), [`attribution`]
//! (who earns), [`commission`] (the ledger), [`chain`] (what proves its record), [`tables`] (how state is kept without knowing
//! where).
pub mod attribution;
pub mod chain;
pub mod commission;
pub mod config;
pub mod defect;
pub mod facts;
pub mod fx;
pub mod ids;
pub mod money;
pub mod normalization;
pub mod payouts;
pub mod rules;
pub mod tables;
pub mod time;

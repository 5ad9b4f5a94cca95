//! The thin front: route, limit, authenticate, stamp, append, answer.
//!
//! A 2xx leaves only after the log has acknowledged the event. The gateway must never decide anything about money, never
//! read Postgres, and never hold accepted events in memory alone: when the log does not acknowledge, it answers 503.
//!
//! Read next: [`routes`](self) (the table), `webhook` and `revshare` (one request from head to answer), `produce` (the way
//! into the log), `tail` and `directory` (how it knows programs, keys and secrets).
pub mod metrics;

mod adapters;
mod app;
mod body;
mod directory;

mod native;
mod openapi;
mod outcomes;
mod per_address;
mod produce;
mod rate;
mod refusal;
mod revshare;
mod routes;
mod server;
mod tail;
mod trace;
mod webhook;

pub use openapi::openapi;
pub use server::{Error, Options, Running, start};

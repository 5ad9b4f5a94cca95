//! What tests need: a real process to talk to, real Kafka, requests as a provider would send them, and a naive reference
//! model. Never a dependency of anything that ships.
//!
//! Read next: [`process`] (a running `tributary up`), [`requests`] and [`stripe`] (bodies and signatures), [`model`] (what the balances
//! must be), [`load`] (a client that keeps its own record), [`stage`] (one service in a process of its own), [`proxy`] and [`cluster`]
//! (a network and brokers that fail on purpose).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
pub mod cluster;
pub mod kafka;
pub mod load;
pub mod model;
pub mod process;
pub mod proxy;
pub mod requests;
pub mod secure;
pub mod stage;
pub mod stripe;
pub mod topics;

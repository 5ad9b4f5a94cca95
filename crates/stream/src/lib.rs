//! Exactly once by lineage: the only consumer loop and the only reader of chain topics.
//!
//! A service is two pure functions over its input log ([`service::Service`]); this crate does batching, output, state,
//! recovery, fencing and drain over a [`log::Log`]. It must never decide anything about commissions, and nothing here may
//! treat "acknowledged" as "accepted" (`docs/reference/protocol.md`, rule 4).
//!
//! Read next: [`judge`] (which records count: rule 2), [`owner`] (how a partition is taken and served: rules 1, 4, 5, 7),
//! [`follow`] (how everybody else reads), then [`embedded`] and [`kafka`].
pub mod assignment;
pub mod base;
pub mod cursor;
pub mod embedded;
pub mod failpoint;
pub mod follow;
pub mod host;
pub mod judge;
pub mod kafka;
pub mod keys;
pub mod keys_file;
pub mod lag;
pub mod log;
pub mod meters;
pub mod moving;
pub mod owner;
pub mod parked;
pub mod seal;
pub mod service;
pub mod simulated;
pub mod snapshot;
pub mod store;
pub mod weakness;

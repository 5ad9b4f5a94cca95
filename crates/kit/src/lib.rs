//! What every process needs and no product rule touches: configuration, telemetry, lifecycle, health, the master key and what derives from it.
//!
//! A leaf: it depends on no crate of this workspace, and must never learn about programs, events or money.
//! Read next: [`config`], then [`lifecycle`].
pub mod config;
pub mod health;
mod kafka;
pub mod lifecycle;
pub mod master_key;
pub mod signing;
pub mod spans;
pub mod telemetry;

mod dump;
mod settings;

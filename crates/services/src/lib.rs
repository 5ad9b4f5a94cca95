//! The services of the chain: one module each, glue only.
//!
//! A module turns the bytes of its input into the domain's words, lets the domain decide, and says what follows an accepted
//! frame. It must never decide anything itself, and services must never call each other: they meet in the log.
//! Read next: [`normalizer`], [`attribution`], [`commission`], then the loop that runs them (`stream::owner`);
//! [`projector`] and [`verify`] read what they wrote; [`proof`] takes it elsewhere.
pub mod attribution;
pub mod commission;
pub mod explain;
mod kinds;
pub mod normalizer;
pub mod projector;
pub mod proof;
mod quarantine;
pub mod shadow;
pub mod verify;

pub use attribution::Attribution;
pub use commission::Commission;
pub use normalizer::Normalizer;

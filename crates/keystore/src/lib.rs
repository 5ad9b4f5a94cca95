//! The key store in a Postgres database of its own, for services that run apart: every normalizer reads and writes the same
//! keys.
//!
//! What it promises is the trait's ([`stream::keys::KeyStore`]); the suite in `tests/promises.rs` holds it and the file to
//! the same. Nothing is remembered between batches: a key that another process destroyed reads as destroyed at once.
//!
//! It must never share the database of the read models. Those are disposable: dropped, rebuilt, dumped, read by analysts. A
//! key store that is dropped makes the log unreadable, and one that is restored brings destroyed keys back.
mod open;
mod store;

pub use open::{migrate, open};
pub use store::PostgresKeyStore;

/// The schema of the key store.
pub(crate) const SCHEMA: &str = "tributary_keys";

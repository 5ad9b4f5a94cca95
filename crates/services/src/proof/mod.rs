//! Proofs that leave the installation: heads of the hash chains, signed, and that a commission's events are under them.
//!
//! Everything is computed from the log alone. A [`Checkpoint`] is kept elsewhere: `verify` then holds the log against it, and
//! a [`Proof`] is checked against it without any log. What the hashes are over is in `domain::chain`.
//! Read next: `read.rs` (chained events, in order), `checkpoint.rs`, `inclusion.rs`.
mod checkpoint;
mod inclusion;
mod read;

pub use checkpoint::{Checkpoint, ProgramHead, check, export};
pub use inclusion::{Leaf, Proof, Said, SaidPosting, check_proof, prove};
pub use read::{Chained, each_chained};

use domain::ids::Hash;
use stream::follow::FollowError;
use stream::log::LogError;

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The log does not answer.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log cannot be followed.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// An event that this version does not know.
    #[error("{place}: {error}; run the version that wrote it, or a newer one")]
    UnknownEvent {
        /// The frame.
        place: String,
        /// What was met.
        error: wire::Unknown,
    },
    /// What was given does not prove anything here.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// What is written cannot be written.
    #[error("cannot write: {0}")]
    Write(#[from] std::io::Error),
}

/// Why a checkpoint or a proof is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct Refused {
    /// The field that is wrong.
    pub field: String,
    /// Why.
    pub reason: String,
}

impl Refused {
    /// Without control characters: what a file says must not drive the terminal of whoever checks it.
    fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        let reason: String = reason.into();
        Self { field: field.into(), reason: reason.chars().filter(|c| !c.is_control()).collect() }
    }
}

fn parse_hash(field: &str, text: &str) -> Result<Hash, Refused> {
    let mut hash = Hash::ZERO;
    hex::decode_to_slice(text, &mut hash.0).map_err(|_| Refused::new(field, "is not 64 hex digits"))?;
    Ok(hash)
}

//! The hash chain of a program's money: what was recorded, in which order, as one number that can be kept elsewhere.
//!
//! Two structures over the same leaves. The *link* folds every event into one hash, as simple to recompute as can be:
//! `link(n) = SHA-256(link(n-1) || leaf(n))`, from 32 zero bytes. The *root* is that of the Merkle tree of RFC 6962, which
//! lets somebody who holds one event prove with a few hashes that it is in. A leaf is `SHA-256(0x00 || bytes)` of the event
//! as the log holds it; nothing in it is sealed under a person's key, so destroying one changes no hash.
//!
//! Which events belong to a program's chain: [`program_of`]. Positions count from 1 within the program.
#![deny(clippy::float_arithmetic, clippy::cast_possible_truncation, clippy::arithmetic_side_effects)]
mod tree;

pub use tree::{PathBuilder, Tree, root_of_path};

use crate::commission::CommissionsEvent;
use crate::ids::{Hash, ProgramId};
use sha2::{Digest, Sha256};

/// The program whose chain the event belongs to; `None`: it is in none.
///
/// Answers repeat what other events say, and what a defect parked is not about money yet: neither is part of the record.
#[must_use]
pub const fn program_of(event: &CommissionsEvent) -> Option<&ProgramId> {
    match event {
        CommissionsEvent::Config(config) => Some(&config.program),
        CommissionsEvent::Sale(sale) => Some(&sale.program),
        CommissionsEvent::Reversal(reversal) => Some(&reversal.program),
        CommissionsEvent::Commission(commission) => Some(&commission.program),
        CommissionsEvent::Link(link) => Some(&link.program),
        CommissionsEvent::Cancelled(over) => Some(&over.program),
        CommissionsEvent::Payout(payout) => Some(&payout.program),
        CommissionsEvent::Rate(rate) => Some(&rate.program),
        CommissionsEvent::Offset(offset) => Some(&offset.program),
        CommissionsEvent::WrittenOff(written_off) => Some(&written_off.program),
        CommissionsEvent::Schedule(ran) => Some(&ran.program),
        CommissionsEvent::Answer(_) | CommissionsEvent::Parked(_) => None,
    }
}

/// The word for the event's kind in dumps and proofs.
#[must_use]
pub const fn kind_of(event: &CommissionsEvent) -> &'static str {
    match event {
        CommissionsEvent::Config(_) => "config",
        CommissionsEvent::Sale(_) => "sale",
        CommissionsEvent::Reversal(_) => "reversal",
        CommissionsEvent::Commission(_) => "commission",
        CommissionsEvent::Link(_) => "link",
        CommissionsEvent::Cancelled(_) => "cancelled",
        CommissionsEvent::Payout(_) => "payout",
        CommissionsEvent::Rate(_) => "rate",
        CommissionsEvent::Offset(_) => "offset",
        CommissionsEvent::WrittenOff(_) => "written_off",
        CommissionsEvent::Schedule(_) => "schedule",
        CommissionsEvent::Answer(_) => "answer",
        CommissionsEvent::Parked(_) => "parked",
    }
}

/// The leaf of an event's bytes.
#[must_use]
pub fn leaf(bytes: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([0]);
    hasher.update(bytes);
    Hash(hasher.finalize().into())
}

/// The link after `leaf`.
#[must_use]
pub fn link(previous: &Hash, leaf: &Hash) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(previous.0);
    hasher.update(leaf.0);
    Hash(hasher.finalize().into())
}

/// A program's chain up to some event: enough to go on with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chain {
    /// After the last event; zeros: none.
    link: Hash,
    tree: Tree,
}

impl Chain {
    /// The chain that was left with this link and these peaks; `None`: the peaks are not those of so many events.
    #[must_use]
    pub fn resume(events: u64, link: Hash, peaks: Vec<Hash>) -> Option<Self> {
        Some(Self { link, tree: Tree::resume(events, peaks)? })
    }

    /// Takes the next event.
    pub fn push(&mut self, bytes: &[u8]) {
        self.push_leaf(leaf(bytes));
    }

    /// Takes the next event by its leaf.
    pub fn push_leaf(&mut self, leaf: Hash) {
        self.link = link(&self.link, &leaf);
        self.tree.push(leaf);
    }

    /// How many events it has: the position of the last one.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.tree.leaves()
    }

    /// The link after the last event.
    #[must_use]
    pub const fn link(&self) -> Hash {
        self.link
    }

    /// The tree.
    #[must_use]
    pub const fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Its head.
    #[must_use]
    pub fn head(&self) -> Head {
        Head { events: self.events(), link: self.link, root: self.tree.root() }
    }
}

/// What stands for a whole chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// How many events.
    pub events: u64,
    /// The link after the last.
    pub link: Hash,
    /// The root of the tree over all of them.
    pub root: Hash,
}

#[cfg(test)]
mod tests;

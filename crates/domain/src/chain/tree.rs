//! The Merkle tree of RFC 6962, section 2.1, leaf by leaf: as many hashes in memory as the number of leaves has bits.
use crate::ids::Hash;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// The hash of two subtrees.
fn node(left: &Hash, right: &Hash) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([1]);
    hasher.update(left.0);
    hasher.update(right.0);
    Hash(hasher.finalize().into())
}

/// A tree that grows at its right end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    leaves: u64,
    /// Roots of the full subtrees, the largest and leftmost first: one for each bit of `leaves` that is set.
    peaks: Vec<Hash>,
}

impl Tree {
    /// The tree that was left with these peaks; `None`: so many leaves have other peaks.
    #[must_use]
    pub fn resume(leaves: u64, peaks: Vec<Hash>) -> Option<Self> {
        let fits = usize::try_from(leaves.count_ones()).is_ok_and(|count| count == peaks.len());
        fits.then_some(Self { leaves, peaks })
    }

    /// How many leaves it has.
    #[must_use]
    pub const fn leaves(&self) -> u64 {
        self.leaves
    }

    /// What [`Tree::resume`] needs.
    #[must_use]
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: Hash) {
        self.push_seen(leaf, |_, _| {});
    }

    /// Adds a leaf and shows every full subtree that it completes: its place, its root.
    fn push_seen(&mut self, leaf: Hash, mut seen: impl FnMut(Span, &Hash)) {
        let mut hash = leaf;
        let mut span = Span { start: self.leaves, len: 1 };
        seen(span, &hash);
        // Each bit that the count carries over joins two subtrees of one size.
        for _ in 0..self.leaves.trailing_ones() {
            let Some(left) = self.peaks.pop() else { break };
            hash = node(&left, &hash);
            span = Span { start: span.start.saturating_sub(span.len), len: span.len.saturating_mul(2) };
            seen(span, &hash);
        }
        self.peaks.push(hash);
        self.leaves = self.leaves.saturating_add(1);
    }

    /// The root; of no leaves SHA-256 of nothing.
    #[must_use]
    pub fn root(&self) -> Hash {
        right_edge(&self.peaks).unwrap_or_else(|| Hash::of(&[]))
    }
}

/// The subtree at the right edge that these peaks make.
fn right_edge(peaks: &[Hash]) -> Option<Hash> {
    let mut peaks = peaks.iter().rev();
    let last = *peaks.next()?;
    Some(peaks.fold(last, |right, left| node(left, &right)))
}

/// A run of leaves under one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    start: u64,
    len: u64,
}

/// Audit paths of some leaves of a tree whose size is known, while its leaves pass by.
#[derive(Debug)]
pub struct PathBuilder {
    leaves: u64,
    tree: Tree,
    /// By leaf, from 0: the spans of its path, the lowest first.
    paths: BTreeMap<u64, Vec<Span>>,
    found: BTreeMap<Span, Option<Hash>>,
}

impl PathBuilder {
    /// Paths of the leaves `wanted` (from 0) in a tree of `leaves`; those beyond it are left out.
    #[must_use]
    pub fn new(leaves: u64, wanted: impl IntoIterator<Item = u64>) -> Self {
        let wanted = wanted.into_iter().filter(|leaf| *leaf < leaves);
        let paths: BTreeMap<u64, Vec<Span>> = wanted.map(|leaf| (leaf, spans(leaves, leaf))).collect();
        let found = paths.values().flatten().map(|span| (*span, None)).collect();
        Self { leaves, tree: Tree::default(), paths, found }
    }

    /// Takes the next leaf; those after the last are passed over.
    pub fn push(&mut self, leaf: Hash) {
        if self.tree.leaves == self.leaves {
            return;
        }
        let found = &mut self.found;
        self.tree.push_seen(leaf, |span, hash| {
            if let Some(wanted) = found.get_mut(&span) {
                *wanted = Some(*hash);
            }
        });
    }

    /// The root and the path of each wanted leaf, from the leaf upwards; `None`: leaves are missing.
    #[must_use]
    pub fn finish(self) -> Option<(Hash, BTreeMap<u64, Vec<Hash>>)> {
        if self.tree.leaves != self.leaves {
            return None;
        }
        let hash = |span: &Span| {
            let full = self.found.get(span).copied().flatten();
            full.or_else(|| self.edge(span))
        };
        let mut paths = BTreeMap::new();
        for (leaf, spans) in &self.paths {
            paths.insert(*leaf, spans.iter().map(hash).collect::<Option<Vec<Hash>>>()?);
        }
        Some((self.tree.root(), paths))
    }

    /// A subtree that is not full ends where the tree ends: its peaks are the last ones.
    fn edge(&self, span: &Span) -> Option<Hash> {
        let peaks = usize::try_from(span.len.count_ones()).ok()?;
        let first = self.tree.peaks.len().checked_sub(peaks)?;
        right_edge(self.tree.peaks.get(first..)?)
    }
}

/// The spans whose roots lead from `leaf` to the root of `leaves`, the lowest first.
fn spans(leaves: u64, leaf: u64) -> Vec<Span> {
    let mut path = Vec::new();
    let (mut start, mut len) = (0_u64, leaves);
    while len > 1 {
        // The largest power of two below `len`.
        let left = split(len);
        let middle = start.saturating_add(left);
        if leaf < middle {
            path.push(Span { start: middle, len: len.saturating_sub(left) });
            len = left;
        } else {
            path.push(Span { start, len: left });
            (start, len) = (middle, len.saturating_sub(left));
        }
    }
    path.reverse();
    path
}

/// The largest power of two that is less than `len`, which is at least 2.
const fn split(len: u64) -> u64 {
    match len.saturating_sub(1).checked_ilog2() {
        Some(bits) => 1 << bits,
        None => 0,
    }
}

/// The root that `path` leads to from the leaf number `leaf` (from 0) of `leaves`; `None`: a path of that leaf has another
/// length, or there is no such leaf.
#[must_use]
pub fn root_of_path(leaves: u64, leaf: u64, hash: &Hash, path: &[Hash]) -> Option<Hash> {
    if leaf >= leaves {
        return None;
    }
    let spans = spans(leaves, leaf);
    if spans.len() != path.len() {
        return None;
    }
    let join = |hash: Hash, (span, beside): (&Span, &Hash)| {
        if span.start > leaf { node(&hash, beside) } else { node(beside, &hash) }
    };
    Some(spans.iter().zip(path).fold(*hash, join))
}

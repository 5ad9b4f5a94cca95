//! Negative controls: rules of the protocol that a simulation can take away, to see that its oracles notice.
//!
//! Without the feature `weaknesses` nothing can be taken away: [`on`] is the constant `false`, and the code behind it is gone.
//! With it, what is removed is a property of the thread, since one thread runs one simulated history.

/// A rule, or a part of one, that can be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Weakness {
    /// Rule 2: frames of any epoch count, and the head before them is not compared.
    NoEpochNoHead,
    /// Rule 2: the epoch alone names the owner.
    NoWriterId,
    /// Rule 2: a hole halts the reader.
    HoleHalts,
    /// Rule 3: a reader restarts without the (epoch, writer) that it had seen.
    OffsetOnly,
    /// Rule 4: what is acknowledged counts as accepted.
    AckIsAcceptance,
    /// Rule 5: a new owner decides its inputs again instead of folding what was decided.
    StateFromInputs,
    /// Rule 8: a panic in `decide` is not caught.
    PanicNotCaught,
    /// Rule 10: anchors and the hashes of consumed inputs are not compared.
    NoAnchors,
    /// Rule 11: ticks carry the wall clock of the host that sends them.
    TickTime,
    /// Rule 1: a taker reads up to the tail that it saw before its fence.
    TailBeforeFence,
    /// Rule 7: after an error the same (epoch, writer) goes on without a new fence. Not needed for safety.
    NoRefence,
}

#[cfg(feature = "weaknesses")]
std::thread_local! {
    static REMOVED: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// Removes exactly these rules on this thread; an empty list puts all back.
#[cfg(feature = "weaknesses")]
pub fn remove(weaknesses: &[Weakness]) {
    REMOVED.set(weaknesses.iter().fold(0, |set, weakness| set | 1 << (*weakness as u8)));
}

/// Whether the rule is removed.
#[cfg(feature = "weaknesses")]
#[must_use]
pub fn on(weakness: Weakness) -> bool {
    REMOVED.get() & (1 << (weakness as u8)) != 0
}

/// Whether the rule is removed: never, the feature `weaknesses` is off.
#[cfg(not(feature = "weaknesses"))]
#[must_use]
#[inline(always)]
pub const fn on(_weakness: Weakness) -> bool {
    false
}

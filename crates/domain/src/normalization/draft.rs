//! What an adapter makes of a raw request, before anything that needs the log is known.
use crate::facts::Fact;

/// An adapter's reading of one raw request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The provider's event id or the caller's idempotency key; when the body names none, a hash of it.
    pub delivery_key: String,
    /// What the adapter made of it.
    pub reading: Reading,
    /// The body's own live flag, where it has one: `Some(true)` is live.
    pub livemode: Option<bool>,
    /// The dialect refuses an unknown or inactive referral code (`ignored: unknown_code`) instead of falling through.
    pub refuse_unknown_code: bool,
}

/// The reading itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// Facts, at least one. Identifiers have no subject and hashes are zero: the normalizer sets both.
    Facts(Vec<Fact>),
    /// Nothing follows from it, by rule.
    Ignored {
        /// The event type, or `not_money_event`, `thin_event`, `policy`, …
        reason: String,
    },
    /// It cannot be used as it is.
    Quarantined {
        /// One of a closed list (`bad_amount`, `unknown_currency`, `missing_field`, …).
        reason: String,
        /// What, where and how to mend it. No personal data.
        detail: String,
    },
}

//! Attribution: who earns a sale, decided once, in log order, with every touch that was considered.
//!
//! The contract is `docs/reference/attribution.md`. Read next: `touches.rs` (the contest), `identity.rs` (who is one
//! customer), [`decide()`] (a frame), [`evolve()`] (what is remembered).
mod decide;
mod fold;
mod identity;
mod scratch;
#[cfg(test)]
mod tests;
mod touches;
pub use decide::{LATE_PER_STEP, decide};
pub use fold::evolve;

use crate::facts::{ConversionKind, Fact, Sale};
use crate::ids::{EventId, PartnerId, ProgramId, SourceName, SubjectId};
use crate::normalization::FactsEvent;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// An event of `attributed.v1`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "late ones are rare; a box would cost each passed event an allocation"
)]
pub enum AttributedEvent {
    /// A facts event, its original bytes, with the decision when it is a sale.
    Passed {
        /// The original bytes, which travel on.
        bytes: Bytes,
        /// The same, decoded.
        event: FactsEvent,
        /// For a sale.
        decision: Option<Decision>,
    },
    /// An earlier unattributed sale that a later link or coupon definition explained.
    Late {
        /// The new decision.
        decision: Decision,
        /// The event that brought the link or definition.
        cause: EventId,
    },
}

/// Which sale, at its source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SaleKey {
    /// The provider or dialect.
    pub source: SourceName,
    /// Its id there.
    pub external_id: String,
}

impl SaleKey {
    /// Of a conversion. Those that are no sales have names of their own (`lead:ID`): their ids are not ids of payments.
    #[must_use]
    pub fn of(source: &SourceName, sale: &Sale) -> Self {
        let external_id = match sale.details.kind {
            ConversionKind::Sale => sale.external_id.clone(),
            kind => format!("{}:{}", kind.name(), sale.external_id),
        };
        Self { source: source.clone(), external_id }
    }

    /// Another name at the same source.
    #[must_use]
    pub fn named(&self, external_id: &str) -> Self {
        Self { source: self.source.clone(), external_id: external_id.to_owned() }
    }
}

/// Who earns a sale, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Whose program.
    pub program: ProgramId,
    /// The sale.
    pub sale: SaleKey,
    /// Who earns, by which class of touch; or why nobody does (`no_touch`, `unknown_code`, `coupon_unknown`, …).
    pub outcome: Result<(PartnerId, TouchClass), String>,
    /// The customer, if anybody is known.
    pub customer: Option<SubjectId>,
    /// Every touch considered, the winner included.
    pub touches: Vec<Touch>,
    /// This sale binds the customer to the partner: the first binding stays.
    pub binds: bool,
    /// Who earns which part, the earliest touch first: `outcome` names the first one's partner. Empty: one partner earns all.
    pub shares: Vec<Share>,
}

/// A partner's part of what a sale earns, among others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Who.
    pub partner: PartnerId,
    /// How much, against the sum of all weights.
    pub weight: u32,
}

/// A touch that was considered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touch {
    /// Its class.
    pub class: TouchClass,
    /// The code or coupon as sent.
    pub reference: String,
    /// Whom it names; `None` when it names nobody.
    pub partner: Option<PartnerId>,
    /// Why it lost; empty: it won.
    pub lost_because: String,
}

/// Classes of touch, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TouchClass {
    /// An explicit referral id or code.
    Code,
    /// A coupon.
    Coupon,
    /// A click within the window.
    Click,
    /// The customer's first partner.
    Binding,
}

impl AttributedEvent {
    /// The fact, when it carries one.
    #[must_use]
    pub const fn fact(&self) -> Option<&Fact> {
        match self {
            Self::Passed { event: FactsEvent::Fact(fact), .. } => Some(fact),
            _ => None,
        }
    }
}

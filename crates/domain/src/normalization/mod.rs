//! Verdicts and deduplication: every accepted event ends in exactly one recorded verdict, given here and nowhere else.
mod draft;
pub use draft::{Draft, Reading};

use crate::config::ConfigFact;
use crate::facts::Fact;
use crate::ids::{EventId, ProgramId, SourceName};
use crate::time::Micros;
use serde::{Deserialize, Serialize};

/// An event of `facts.v1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FactsEvent {
    /// What became of an accepted external event. First in its frame.
    Verdict(Verdict),
    /// A fact that the verdict applied.
    Fact(Fact),
    /// A configuration change.
    Config(ConfigFact),
    /// The clock moved.
    Tick,
}

/// What became of one accepted event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whose program.
    pub program: ProgramId,
    /// The event.
    pub event: EventId,
    /// The provider or dialect.
    pub source: SourceName,
    /// The provider's event id or the caller's idempotency key.
    pub delivery_key: String,
    /// The verdict.
    pub kind: VerdictKind,
    /// Why, one of a closed list (`unknown_code`, `conflict`, `thin_event`, …, or an ignored event's type); empty when applied.
    pub reason: String,
    /// What, where and how to mend it, for a person. No personal data.
    pub detail: String,
    /// When the gateway received it, by its own clock. Informative.
    pub received_at: Micros,
    /// Where a waiting caller wants the answer.
    pub reply_to: Option<ReplyAddress>,
    /// For a retry of a quarantined event: the ingest position of the original.
    pub retry_of: Option<u64>,
    /// Whether it reserves its delivery key: applied does, ignored and quarantined do not.
    pub reserves_key: bool,
}

/// The four verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum VerdictKind {
    /// It became facts.
    Applied,
    /// It was here before.
    Duplicate,
    /// Nothing follows from it, by rule.
    Ignored,
    /// It cannot be used as it is; kept, recoverable.
    Quarantined,
}

impl VerdictKind {
    /// The word in outputs and views.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Duplicate => "duplicate",
            Self::Ignored => "ignored",
            Self::Quarantined => "quarantined",
        }
    }
}

/// Where a caller who waits wants the answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ReplyAddress {
    /// The gateway process.
    pub gateway_instance: String,
    /// The request within it.
    pub correlation_id: u64,
}

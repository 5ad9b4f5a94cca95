//! Verdicts and deduplication: every accepted event ends in exactly one recorded verdict, given here and nowhere else.
//!
//! Two layers: a *delivery* is known by the provider's event id or the caller's idempotency key, a *fact* by (program,
//! source, kind, object id, state) with a hash over its money, identity and links. Only an applied verdict reserves a key.
//! Read next: [`decide()`] (the order of refusals), [`evolve()`] (what is remembered), `hash.rs` (what makes two facts equal).
mod decide;
mod draft;
mod fold;
mod hash;
mod names;
#[cfg(test)]
mod tests;
mod text;
pub mod validate;
mod validate_rule;
#[cfg(test)]
mod validate_tests;
pub use decide::decide;
pub use draft::{Draft, Reading};
pub use fold::{ConfigRow, evolve, gateway_config, source_settings};

use crate::config::ConfigFact;
use crate::facts::Fact;
use crate::ids::{EventId, Hash, ProgramId, SourceName};
use crate::time::Micros;
use serde::{Deserialize, Serialize};

/// One `ingest` record, decoded and read by its adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NormalizerInput {
    /// Hash of the record's bytes: new subjects derive from it.
    pub source_head: Hash,
    /// The partition's clock at the record.
    pub clock: Micros,
    /// What it says.
    pub kind: InputKind,
}

/// What an `ingest` record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputKind {
    /// A raw request, as its adapter read it.
    Request(Request),
    /// A quarantined event again.
    Retry {
        /// The `ingest` position of the original.
        of_position: u64,
        /// The original, read by today's adapter.
        request: Request,
    },
    /// A configuration change. It has no verdict, and leaves an empty frame when it changes nothing.
    Config(ConfigFact),
    /// A configuration change of which somebody wants to hear what became of it.
    ConfigWrite {
        /// The change.
        fact: ConfigFact,
        /// Who wants to hear.
        reply_to: Option<ReplyAddress>,
        /// Refused when the object is there already with other contents.
        create_only: bool,
    },
    /// A service is to decide a parked input again.
    DefectRetry(DefectRetry),
    /// The clock moved.
    Tick,
    /// Not a record that we know, and why.
    Undecodable(String),
}

/// A raw request, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Whose program.
    pub program: ProgramId,
    /// The provider or dialect.
    pub source: SourceName,
    /// When the gateway received it, by its own clock. Informative.
    pub received_at: Micros,
    /// Where a waiting caller wants the answer.
    pub reply_to: Option<ReplyAddress>,
    /// The adapter's reading.
    pub draft: Draft,
}

/// An event of `facts.v1`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "most events are facts; a box would cost each of them an allocation"
)]
pub enum FactsEvent {
    /// What became of an accepted external event. First in its frame.
    Verdict(Verdict),
    /// A fact that the verdict applied.
    Fact(Fact),
    /// A configuration change.
    Config(ConfigFact),
    /// The clock moved.
    Tick,
    /// What became of a configuration write; after the change itself when it was taken.
    ConfigOutcome(ConfigOutcome),
    /// A service is to decide a parked input again.
    DefectRetry(DefectRetry),
}

/// What became of a configuration write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigOutcome {
    /// The object's home program.
    pub program: ProgramId,
    /// The object ([`ConfigFact::key`]).
    pub key: String,
    /// Why it was refused; `None`: taken, or there was nothing to change.
    pub refused: Option<ConfigRefusal>,
    /// It changed something.
    pub changed: bool,
    /// Who asked.
    pub actor: String,
    /// Who waits.
    pub reply_to: Option<ReplyAddress>,
}

/// Why a configuration write was refused. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigRefusal {
    /// One of a closed list ([`validate::code`], `docs/reference/configuration.md`).
    pub code: String,
    /// The field that is to blame; may be empty.
    pub field: String,
    /// What, where, how to mend it.
    pub detail: String,
}

/// Names an input that a service parked after a defect (protocol, rule 8).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefectRetry {
    /// `attribution` or `commission`.
    pub service: String,
    /// The input: `seq` of the service's input topic.
    pub source: u64,
    /// Who asked.
    pub actor: String,
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

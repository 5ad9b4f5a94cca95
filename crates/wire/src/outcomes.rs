//! `outcomes.v1`: answers to callers who wait. Best effort.
use crate::common::{answer, reply, write_answer, write_reply};
use crate::unknown::Unknown;
use crate::v1;
use crate::write::Writer;
use bytes::Bytes;
use domain::commission::Answer;
use domain::normalization::{ReplyAddress, VerdictKind};
use prost::Message;

const MESSAGE: &str = "outcome";

/// What a waiting caller is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutcomeRecord {
    /// Who waits, and where.
    pub reply_to: ReplyAddress,
    /// What became of the event.
    pub verdict: VerdictKind,
    /// Why; empty when applied.
    pub reason: String,
    /// The same, for a person.
    pub detail: String,
    /// The result, when the event had one.
    pub answer: Option<Answer>,
    /// A repeat of an earlier answer.
    pub duplicate: bool,
}

/// The record's bytes.
#[must_use]
pub fn encode(outcome: &OutcomeRecord) -> Bytes {
    Writer::finish(|w| {
        write_reply(w, 1, Some(&outcome.reply_to));
        w.number(2, crate::facts::verdict_number(outcome.verdict));
        w.text(3, &outcome.reason);
        w.text(4, &outcome.detail);
        if let Some(answer) = &outcome.answer {
            write_answer(w, 5, answer);
        }
        w.flag(6, outcome.duplicate);
    })
}

/// The record of the bytes.
///
/// # Errors
/// [`Unknown`].
pub fn decode(bytes: &Bytes) -> Result<OutcomeRecord, Unknown> {
    let outcome =
        v1::OutcomeRecord::decode(bytes.clone()).map_err(|error| Unknown::malformed(MESSAGE, &error))?;
    Ok(OutcomeRecord {
        reply_to: reply(outcome.reply_to.ok_or(Unknown::field(MESSAGE, "reply address"))?),
        verdict: crate::facts::verdict_kind(MESSAGE, outcome.verdict)?,
        reason: outcome.reason,
        detail: outcome.detail,
        answer: outcome.answer.map(|given| answer(MESSAGE, given)).transpose()?,
        duplicate: outcome.duplicate,
    })
}

//! `outcomes.v1`: answers to callers who wait. Best effort.
use crate::common::{answer, reply, write_answer, write_reply};
use crate::unknown::Unknown;
use crate::v1;
use crate::write::Writer;
use bytes::Bytes;
use domain::commission::Answer;
use domain::normalization::{ConfigRefusal, ReplyAddress, VerdictKind};
use prost::Message;

const MESSAGE: &str = "outcome";

/// What a waiting caller is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutcomeRecord {
    /// Who waits, and where.
    pub reply_to: ReplyAddress,
    /// What became of the event; says nothing beside [`OutcomeRecord::config`], and does not travel then.
    pub verdict: VerdictKind,
    /// Why; empty when applied.
    pub reason: String,
    /// The same, for a person.
    pub detail: String,
    /// The result, when the event had one.
    pub answer: Option<Answer>,
    /// A repeat of an earlier answer.
    pub duplicate: bool,
    /// The caller wrote configuration, and this is the answer.
    pub config: Option<ConfigAnswer>,
}

/// What became of a configuration write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigAnswer {
    /// The object (`domain::config::ConfigFact::key`).
    pub key: String,
    /// Why it was refused; `None`: taken, or there was nothing to change.
    pub refused: Option<ConfigRefusal>,
    /// It changed something.
    pub changed: bool,
}

impl OutcomeRecord {
    /// The answer to a configuration write.
    #[must_use]
    pub const fn of_config(reply_to: ReplyAddress, answer: ConfigAnswer) -> Self {
        Self {
            reply_to,
            verdict: VerdictKind::Applied,
            reason: String::new(),
            detail: String::new(),
            answer: None,
            duplicate: false,
            config: Some(answer),
        }
    }
}

/// The record's bytes.
#[must_use]
pub fn encode(outcome: &OutcomeRecord) -> Bytes {
    Writer::finish(|w| {
        write_reply(w, 1, Some(&outcome.reply_to));
        if outcome.config.is_none() {
            w.number(2, crate::facts::verdict::verdict_number(outcome.verdict));
        }
        w.text(3, &outcome.reason);
        w.text(4, &outcome.detail);
        if let Some(answer) = &outcome.answer {
            write_answer(w, 5, answer);
        }
        w.flag(6, outcome.duplicate);
        if let Some(config) = &outcome.config {
            w.message(7, |w| write_config(w, config));
        }
    })
}

/// The record of the bytes.
///
/// # Errors
/// [`Unknown`].
pub fn decode(bytes: &Bytes) -> Result<OutcomeRecord, Unknown> {
    let outcome =
        v1::OutcomeRecord::decode(bytes.clone()).map_err(|error| Unknown::malformed(MESSAGE, &error))?;
    let reply_to = reply(outcome.reply_to.ok_or(Unknown::field(MESSAGE, "reply address"))?);
    if let Some(config) = outcome.config {
        return Ok(OutcomeRecord::of_config(reply_to, config_answer(config)));
    }
    Ok(OutcomeRecord {
        reply_to,
        verdict: crate::facts::verdict::verdict_kind(MESSAGE, outcome.verdict)?,
        reason: outcome.reason,
        detail: outcome.detail,
        answer: outcome.answer.map(|given| answer(MESSAGE, given)).transpose()?,
        duplicate: outcome.duplicate,
        config: None,
    })
}

fn write_config(w: &mut Writer, answer: &ConfigAnswer) {
    w.text(1, &answer.key);
    if let Some(refusal) = &answer.refused {
        w.text(2, &refusal.code);
        w.text(3, &refusal.field);
        w.text(4, &refusal.detail);
    }
    w.flag(5, answer.changed);
}

fn config_answer(answer: v1::ConfigAnswer) -> ConfigAnswer {
    let refused = (!answer.refused.is_empty()).then_some(ConfigRefusal {
        code: answer.refused,
        field: answer.field,
        detail: answer.detail,
    });
    ConfigAnswer { key: answer.key, refused, changed: answer.changed }
}

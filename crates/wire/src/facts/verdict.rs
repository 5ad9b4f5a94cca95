//! What became of an event, and of a change of configuration.
use super::MESSAGE;
use crate::common::{number, reply, write_reply};
use crate::unknown::Unknown;
use crate::v1;
use crate::write::Writer;
use domain::ids::{EventId, ProgramId};
use domain::normalization::{ConfigOutcome, ConfigRefusal, Verdict, VerdictKind};
use domain::time::Micros;

pub(super) fn write(w: &mut Writer, verdict: &Verdict) {
    w.text(1, verdict.program.as_str());
    w.text(2, verdict.event.as_str());
    w.text(3, verdict.source.as_str());
    w.text(4, &verdict.delivery_key);
    w.number(5, verdict_number(verdict.kind));
    w.text(6, &verdict.reason);
    w.text(7, &verdict.detail);
    w.int(8, verdict.received_at.0);
    write_reply(w, 9, verdict.reply_to.as_ref());
    w.flag(10, verdict.retry_of.is_some());
    w.uint(11, verdict.retry_of.unwrap_or_default());
    w.flag(12, verdict.reserves_key);
}

pub(super) fn read(verdict: v1::Verdict) -> Result<Verdict, Unknown> {
    Ok(Verdict {
        program: ProgramId(verdict.program_id),
        event: EventId(verdict.event_id),
        source: verdict.source.into(),
        delivery_key: verdict.delivery_key,
        kind: verdict_kind(MESSAGE, verdict.kind)?,
        reason: verdict.reason,
        detail: verdict.detail,
        received_at: Micros(verdict.received_at_micros),
        reply_to: verdict.reply_to.map(reply),
        retry_of: verdict.retry.then_some(verdict.retry_of),
        reserves_key: verdict.reserves_key,
    })
}

pub(crate) const fn verdict_number(kind: VerdictKind) -> v1::VerdictKind {
    match kind {
        VerdictKind::Applied => v1::VerdictKind::Applied,
        VerdictKind::Duplicate => v1::VerdictKind::Duplicate,
        VerdictKind::Ignored => v1::VerdictKind::Ignored,
        VerdictKind::Quarantined => v1::VerdictKind::Quarantined,
    }
}

pub(crate) fn verdict_kind(message: &'static str, value: i32) -> Result<VerdictKind, Unknown> {
    match number(message, "verdict", value)? {
        v1::VerdictKind::Applied => Ok(VerdictKind::Applied),
        v1::VerdictKind::Duplicate => Ok(VerdictKind::Duplicate),
        v1::VerdictKind::Ignored => Ok(VerdictKind::Ignored),
        v1::VerdictKind::Quarantined => Ok(VerdictKind::Quarantined),
        v1::VerdictKind::Unspecified => Err(Unknown::value(message, "verdict", value)),
    }
}

pub(super) fn write_config(w: &mut Writer, outcome: &ConfigOutcome) {
    w.text(1, outcome.program.as_str());
    w.text(2, &outcome.key);
    if let Some(refusal) = &outcome.refused {
        w.text(3, &refusal.code);
        w.text(4, &refusal.field);
        w.text(5, &refusal.detail);
    }
    w.text(6, &outcome.actor);
    write_reply(w, 7, outcome.reply_to.as_ref());
    w.flag(8, outcome.changed);
}

pub(super) fn read_config(outcome: v1::ConfigOutcome) -> ConfigOutcome {
    let refused = (!outcome.refused.is_empty()).then_some(ConfigRefusal {
        code: outcome.refused,
        field: outcome.field,
        detail: outcome.detail,
    });
    ConfigOutcome {
        program: outcome.program_id.into(),
        key: outcome.key,
        refused,
        changed: outcome.changed,
        actor: outcome.actor,
        reply_to: outcome.reply_to.map(reply),
    }
}

//! Samples of answers to callers.
use super::{commission_id, event, reply, sale_id, usd};
use domain::commission::{Answer, CommissionStatus};
use domain::money::Minor;
use domain::normalization::{ConfigRefusal, VerdictKind};
use wire::outcomes::{ConfigAnswer, OutcomeRecord};

pub(crate) fn answer() -> Answer {
    Answer {
        event: event(),
        sale: Some(sale_id()),
        commission: Some(commission_id()),
        partner: Some("ptn_john".into()),
        amount: Minor(5_990),
        currency: Some(usd()),
        status: Some(CommissionStatus::ChargedBack),
        declined: "unknown_payout".into(),
        payout: None,
    }
}

pub(crate) fn outcomes() -> Vec<(&'static str, OutcomeRecord)> {
    let applied = OutcomeRecord {
        reply_to: reply(),
        verdict: VerdictKind::Duplicate,
        reason: "twin".into(),
        detail: "seen before".into(),
        answer: Some(answer()),
        duplicate: true,
        config: None,
    };
    let refused = OutcomeRecord { answer: None, verdict: VerdictKind::Ignored, ..applied.clone() };
    let refusal =
        ConfigRefusal { code: "taken".into(), field: "code".into(), detail: "choose another".into() };
    let config = |refused: Option<ConfigRefusal>| {
        let changed = refused.is_none();
        let answer = ConfigAnswer { key: "code/prog_demo/john123".into(), refused, changed };
        OutcomeRecord::of_config(reply(), answer)
    };
    vec![
        ("applied", applied),
        ("refused", refused),
        ("config_taken", config(None)),
        ("config_refused", config(Some(refusal))),
    ]
}

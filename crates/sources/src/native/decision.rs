//! What people decide: about a commission, or to make one.
use super::schema::{Field, Kind, Refused, Values};
use super::{Event, KEY, currency, event, may, must};
use crate::defect::reason;
use crate::json::MAX_ID_BYTES;
use domain::commission::holds;
use domain::facts::{Adjustment, Command, CommandKind, FactBody};
use domain::ids::CommissionId;
use domain::money::Minor;

pub(super) const ACTOR: Field =
    may("actor", Kind::Id, "who decided, for the record, beside the id of the key");
/// The hold that a person adds by no other name.
const MANUAL: &str = "manual";

pub(super) const APPROVAL: [Field; 6] = [
    must("commission_id", Kind::Id, "which commission"),
    must(
        "decision",
        Kind::Word(&["approve", "reject", "reinstate", "hold", "release"]),
        "what to do with it; `reinstate` brings back what was rejected",
    ),
    may(
        "hold",
        Kind::Text,
        "with `hold`: `manual` (when absent), `manual:NAME` or `fraud:NAME`; with `release`, which needs it: any but `time`",
    ),
    may("reason", Kind::Text, "why; all but `approve` need it"),
    ACTOR,
    KEY,
];
pub(super) const ADJUSTMENT: [Field; 8] = [
    must("external_id", Kind::Id, "your own id of it"),
    must("kind", Kind::Word(&["bonus", "correction", "debit"]), "what it is for"),
    must("partner_id", Kind::Id, "whose"),
    must("amount", Kind::SignedAmount, "a bonus is above 0, a debit below, a correction either; never 0"),
    must("currency", Kind::Currency, "the amount's"),
    must("reason", Kind::Text, "why"),
    ACTOR,
    KEY,
];

/// A decision about a commission.
pub(super) fn approval(values: &Values, authenticated_by: &str) -> Result<Event, Refused> {
    let decision = values.text("decision").unwrap_or_default();
    let kind = match decision {
        "approve" => CommandKind::Approve,
        "reject" => CommandKind::Reject,
        "reinstate" => CommandKind::Reinstate,
        "hold" => CommandKind::Hold,
        "release" => CommandKind::Release,
        _ => return Err(Refused::new(reason::BAD_FIELD, "decision", "there is no such decision")),
    };
    let hold = hold(values, kind)?;
    let why = stated(values, kind)?;
    let commission = values.owned("commission_id");
    // Named holds are decided about one by one.
    let state = if hold.is_empty() { decision.to_owned() } else { format!("{decision}/{hold}") };
    let command = Command {
        kind,
        commission: CommissionId(commission.clone()),
        reason: why,
        actor: actor(values, authenticated_by),
        hold,
        adjustment: None,
        reprice: None,
    };
    Ok(event(commission, &state, FactBody::Command(command)))
}

/// The hold that a decision is about; empty: it is about none.
fn hold(values: &Values, kind: CommandKind) -> Result<String, Refused> {
    let bad = |message| Err(Refused::new(reason::BAD_FIELD, "hold", message));
    match (kind, values.text("hold")) {
        (CommandKind::Hold, None) => Ok(MANUAL.to_owned()),
        (CommandKind::Hold, Some(name))
            if name.len() > MAX_ID_BYTES || name.chars().any(char::is_control) =>
        {
            bad("the name of a hold has 1 to 255 bytes without control characters")
        }
        (CommandKind::Hold, Some(name)) if !holds::may_be_added(name) => bad(
            "people add manual, manual:NAME or fraud:NAME; other holds come with what they are named after",
        ),
        (CommandKind::Release, None) => {
            Err(Refused::new(reason::MISSING_FIELD, "hold", "say which hold is to be released"))
        }
        (CommandKind::Release, Some(holds::TIME)) => {
            bad("the time's hold ends by itself; a person approves or rejects")
        }
        (CommandKind::Hold | CommandKind::Release, Some(name)) => Ok(name.to_owned()),
        (_, Some(_)) => {
            let message = "only hold and release name a hold: approve releases all of them";
            Err(Refused::new(reason::CONTRADICTORY, "hold", message))
        }
        (_, None) => Ok(String::new()),
    }
}

/// Why: without it nobody could tell later.
pub(super) fn stated(values: &Values, kind: CommandKind) -> Result<String, Refused> {
    let reason = values.owned("reason");
    if kind != CommandKind::Approve && reason.trim().is_empty() {
        let message = format!("{} needs a reason", kind.name());
        return Err(Refused::new(reason::MISSING_FIELD, "reason", message));
    }
    Ok(reason)
}

/// The id of the key that vouched, and whom it names.
pub(super) fn actor(values: &Values, authenticated_by: &str) -> String {
    match values.text("actor") {
        Some(name) => format!("{authenticated_by} ({name})"),
        None => authenticated_by.to_owned(),
    }
}

/// A commission of its own.
pub(super) fn adjustment(values: &Values, authenticated_by: &str) -> Result<Event, Refused> {
    let amount = values.amount("amount").unwrap_or_default();
    let (kind, fits, sign) = match values.text("kind") {
        Some("bonus") => (CommandKind::Bonus, amount > Minor::ZERO, "a bonus gives: its amount is above 0"),
        Some("debit") => (CommandKind::Debit, amount < Minor::ZERO, "a debit takes: its amount is below 0"),
        _ => (
            CommandKind::Correction,
            amount != Minor::ZERO,
            "a correction gives or takes: its amount is not 0",
        ),
    };
    if !fits {
        return Err(Refused::new(reason::CONTRADICTORY, "amount", sign));
    }
    let why = stated(values, kind)?;
    let command = Command {
        kind,
        commission: CommissionId::default(),
        reason: why,
        actor: actor(values, authenticated_by),
        hold: String::new(),
        adjustment: Some(Adjustment {
            partner: values.owned("partner_id").into(),
            amount,
            currency: currency(values)?,
        }),
        reprice: None,
    };
    Ok(event(values.owned("external_id"), "recorded", FactBody::Command(command)))
}

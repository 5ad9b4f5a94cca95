//! What people decide, divide and give. The native API takes approvals and rejections; every other word of the ledger rides in
//! the reason of an approval, and shares and leads in the ids of sales, until commission reads them ([`spoken`]). So the whole
//! chain carries them, and only the words of the door are missing.
use domain::attribution::{AttributedEvent, Decision, SaleKey, Share};
use domain::facts::{Adjustment, Command, CommandKind, ConversionKind, FactBody};
use domain::ids::{CommissionId, SaleId};
use domain::money::{Currency, Minor};
use domain::normalization::FactsEvent;

/// Ids of sales that two partners have brought.
pub(crate) const BOTH: &str = "both-";
/// Ids of what is no sale but a lead.
pub(crate) const LEAD: &str = "lead-";
/// What the first of both partners gets, and the second.
pub(crate) const WEIGHTS: [u32; 2] = [2, 1];
/// The hold that people set.
const HOLD: &str = "manual:simulation";

/// A command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    Approve,
    Reject,
    Reinstate,
    Hold,
    Release,
}

impl Word {
    pub(crate) const ALL: [Self; 5] =
        [Self::Approve, Self::Reject, Self::Reinstate, Self::Hold, Self::Release];

    const fn kind(self) -> CommandKind {
        match self {
            Self::Approve => CommandKind::Approve,
            Self::Reject => CommandKind::Reject,
            Self::Reinstate => CommandKind::Reinstate,
            Self::Hold => CommandKind::Hold,
            Self::Release => CommandKind::Release,
        }
    }
}

/// The name that a conversion has at its source.
pub(crate) fn named(id: &str) -> String {
    if id.starts_with(LEAD) { format!("lead:{id}") } else { id.to_owned() }
}

/// The body of a decision about a part of a sale.
pub(crate) fn about(
    program: &str,
    (source, sale): (&str, &str),
    (part, partner): (u32, &str),
    word: Word,
    key: &str,
) -> String {
    let sale = SaleId::derive(&program.into(), &source.into(), &named(sale));
    let commission = CommissionId::derive(&sale, &partner.into(), part);
    let decision = if word == Word::Reject { "reject" } else { "approve" };
    let reason = format!("please {}", word.kind().name());
    body(commission.as_str(), decision, &reason, key)
}

/// The body of a bonus (above 0) or a debit (below).
pub(crate) fn gives(partner: &str, amount: i64, key: &str) -> String {
    body("com_of_its_own", "approve", &format!("please give {amount} {partner}"), key)
}

fn body(commission: &str, decision: &str, reason: &str, key: &str) -> String {
    format!(
        r#"{{"commission_id":"{commission}","decision":"{decision}","reason":"{reason}","actor":"simulation","idempotency_key":"{key}"}}"#
    )
}

/// Reads in a fact what the doors have no words for yet.
pub(crate) fn spoken(event: &mut AttributedEvent) -> bool {
    let AttributedEvent::Passed { event: FactsEvent::Fact(fact), decision, .. } = event else { return false };
    match &mut fact.body {
        FactBody::Command(command) => speak(command),
        FactBody::Sale(sale) => {
            let is_lead = sale.external_id.starts_with(LEAD);
            let is_both = sale.external_id.starts_with(BOTH);
            if is_lead {
                sale.details.kind = ConversionKind::Lead;
            }
            let key = SaleKey::of(&fact.source, sale);
            if let Some(decision) = decision.as_mut() {
                decision.sale = key;
                if is_both {
                    divide(decision);
                }
            }
            is_lead || is_both
        }
        _ => false,
    }
}

/// The partner who is found earns with the other one.
fn divide(decision: &mut Decision) {
    let Ok((partner, _)) = &decision.outcome else { return };
    let other = crate::workload::other(partner.as_str());
    decision.shares = [partner.clone(), other.into()]
        .into_iter()
        .zip(WEIGHTS)
        .map(|(partner, weight)| Share { partner, weight })
        .collect();
}

fn speak(command: &mut Command) -> bool {
    let words: Vec<&str> = command.reason.split(' ').collect();
    match words[..] {
        ["please", "give", amount, partner] => {
            let (Ok(amount), Ok(currency)) = (amount.parse(), Currency::parse("USD").ok_or(())) else {
                return false;
            };
            let adjustment = Adjustment { partner: partner.into(), amount: Minor(amount), currency };
            command.kind = if amount < 0 { CommandKind::Debit } else { CommandKind::Bonus };
            command.commission = CommissionId::default();
            command.adjustment = Some(adjustment);
        }
        ["please", word] => {
            let Some(meant) = Word::ALL.into_iter().find(|known| known.kind().name() == word) else {
                return false;
            };
            command.kind = meant.kind();
            if matches!(meant, Word::Hold | Word::Release) {
                command.hold = HOLD.to_owned();
            }
        }
        _ => return false,
    }
    true
}

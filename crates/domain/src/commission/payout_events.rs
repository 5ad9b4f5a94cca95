//! The events of payouts, rates, offsets and write-offs: what is recorded beside the changes of single commissions.
use super::Posting;
use crate::ids::{CommissionId, EventId, PartnerId, PayoutId, ProgramId, RateId};
use crate::money::{Currency, Minor};
use crate::payouts::Rate;
use crate::time::Micros;
use serde::{Deserialize, Serialize};

/// A change of a payout. Its commissions have events of their own ([`super::CommissionEventKind::Locked`] and others).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayoutEvent {
    /// The payout.
    pub id: PayoutId,
    /// Whose program.
    pub program: ProgramId,
    /// Who is paid.
    pub partner: PartnerId,
    /// What happened.
    pub kind: PayoutEventKind,
    /// Of the balance, and of `total`.
    pub currency: Currency,
    /// The sum of the lines.
    pub total: Minor,
    /// Of `paid`: another than `currency` where the payout was converted.
    pub paid_currency: Currency,
    /// The sum of what the lines are paid as.
    pub paid: Minor,
    /// The rate that it was converted by.
    pub rate: Option<RateId>,
    /// What it is made of; with `Drafted` only.
    pub lines: Vec<PayoutLine>,
    /// In `paid_currency`: what rounding line by line left over, between expense and `fx_rounding`.
    pub postings: Vec<Posting>,
    /// The external event that caused it; `None`: a schedule.
    pub cause: Option<EventId>,
    /// The payment's id at whoever paid it; may be empty.
    pub reference: String,
    /// Why, where there is more to say.
    pub reason: String,
    /// `schedule`, or a person.
    pub actor: String,
}

/// What a payout pays for one commission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayoutLine {
    /// The commission.
    pub commission: CommissionId,
    /// What was payable of it, in the balance's currency: N less its offsets, of one that was never paid.
    pub amount: Minor,
    /// The same in the currency that is paid, rounded once.
    pub paid: Minor,
    /// The commission was in a payout before and got money back since: its status does not change.
    pub further: bool,
}

/// What happened to a payout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PayoutEventKind {
    /// It exists, and its money is in flight.
    Drafted,
    /// It was paid.
    Settled,
    /// It was not paid.
    Failed,
    /// It was paid, and came back.
    Returned,
}

impl PayoutEventKind {
    /// The word in views, and the payout's status after it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Drafted => "drafted",
            Self::Settled => "settled",
            Self::Failed => "failed",
            Self::Returned => "returned",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Drafted, Self::Settled, Self::Failed, Self::Returned]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// A rate as commission took it: the last one of a pair of currencies counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateRecorded {
    /// Whose program.
    pub program: ProgramId,
    /// The rate.
    pub rate: Rate,
    /// The external event that brought it.
    pub event: EventId,
}

/// What one commission earns pays what another one owes. It moves no money: the balance has done so already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffsetRecorded {
    /// Whose program.
    pub program: ProgramId,
    /// Whose commissions.
    pub partner: PartnerId,
    /// Of the amount.
    pub currency: Currency,
    /// Pays.
    pub commission: CommissionId,
    /// Owes.
    pub debt_of: CommissionId,
    /// How much; below 0: it does no longer.
    pub amount: Minor,
    /// The external event that caused it; `None`: a tick.
    pub cause: Option<EventId>,
}

/// The program gave up what a partner owed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DebtWrittenOff {
    /// Whose program.
    pub program: ProgramId,
    /// Whose debt.
    pub partner: PartnerId,
    /// Of the amount.
    pub currency: Currency,
    /// How much.
    pub amount: Minor,
    /// The commissions that owed it.
    pub claims: Vec<(CommissionId, Minor)>,
    /// Between debt and program loss.
    pub postings: Vec<Posting>,
    /// The external event.
    pub cause: EventId,
    /// Why.
    pub reason: String,
    /// Who.
    pub actor: String,
}

/// A schedule of drafts went on, or is done for its period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleRan {
    /// Whose program.
    pub program: ProgramId,
    /// Whose schedule; empty: the program's own.
    pub partner: PartnerId,
    /// The moment that it runs for.
    pub due: Micros,
    /// The last balance that was looked at; `None`: all were.
    pub after: Option<(PartnerId, Currency)>,
    /// When it runs next; `due` while it is not done.
    pub next_due: Micros,
}

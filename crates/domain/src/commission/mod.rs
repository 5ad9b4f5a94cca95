//! Commission: what is owed. The contract is `docs/reference/ledger.md`.
//!
//! [`decide()`] turns attributed facts into commission events, [`evolve()`] folds them; nothing else changes state. Money is
//! exact: every sum is checked, and each event's postings sum to 0.
//! Read next: `decide` (the frame), `sale`, `reversal`, `subscription` and `suspension` (what facts and configuration lead
//! to), `command`, `holding` and `adjustment` (what people decide), `names` (which ids are one payment), [`holds`], `live`
//! (what refunds take from a sale), `split` (parts of it), `postings` (which accounts an amount moves between), `book` (the
//! fold), [`balances`] (the fold that `verify` uses).
#![deny(
    clippy::float_arithmetic,
    clippy::cast_possible_truncation,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing
)]
mod adjustment;
pub mod as_of;
pub mod balances;
mod book;
mod command;
mod decide;
mod evolve;
pub mod forecast;
mod holding;
pub mod holds;
mod live;
mod names;
mod parked;
mod payout;
mod payout_events;
mod postings;
mod pricing;
mod reprice;
mod reversal;
mod rule_index;
mod rulebook;
mod sale;
mod split;
mod state;
mod subscription;
mod suspension;
mod terms;
pub mod workings;

pub use decide::{APPROVALS_PER_STEP, CommissionInput, decide};
pub use evolve::evolve;
pub use payout_events::{
    DebtWrittenOff, OffsetRecorded, PayoutEvent, PayoutEventKind, PayoutLine, RateRecorded, ScheduleRan,
};
pub use split::{Division, division};
pub use subscription::HOLDS_PER_STEP;
pub use terms::{CapUse, FlatTerms, Origin, Split, Terms};

use crate::attribution::{SaleKey, Share};
use crate::config::ConfigFact;
use crate::facts::{Recurrence, ReversalFamily, ReversalState, SaleDetails};
use crate::ids::{CommissionId, EventId, PartnerId, PayoutId, ProgramId, SaleId, SourceName, SubjectId};
use crate::money::{Currency, Minor, RatePpm};
use crate::normalization::ReplyAddress;
use crate::rules::RuleRef;
use crate::time::Micros;
use serde::{Deserialize, Serialize};

/// An event of `commissions.v1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommissionsEvent {
    /// A configuration change that commission folds.
    Config(ConfigFact),
    /// A conversion record.
    Sale(SaleRecorded),
    /// A refund or chargeback, matched, parked or refused.
    Reversal(ReversalRecorded),
    /// A change of a commission, with its postings.
    Commission(CommissionEvent),
    /// What the caller of an event is told.
    Answer(AnswerRecorded),
    /// Ids of one payment were learnt.
    Link(SaleLinked),
    /// A subscription is over.
    Cancelled(SubscriptionOver),
    /// A due commission could not be decided because of a defect, or is decided at last.
    Parked(ParkedItem),
    /// A payout was drafted, settled, failed or returned.
    Payout(PayoutEvent),
    /// A rate of exchange.
    Rate(RateRecorded),
    /// What a commission earns pays what another owes.
    Offset(OffsetRecorded),
    /// A debt was given up.
    WrittenOff(DebtWrittenOff),
    /// A schedule of drafts went on.
    Schedule(ScheduleRan),
}

/// A commission that a tick could not decide: it waits for a retry that names the tick.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedItem {
    /// The input that met the defect: `seq` of the frame of `attributed`.
    pub source: u64,
    /// Whose program.
    pub program: ProgramId,
    /// The commission's sale.
    pub sale: SaleKey,
    /// When it was due.
    pub due: Micros,
    /// What the defect said; empty when settled.
    pub detail: String,
    /// Decided now: it waits no more.
    pub settled: bool,
}

/// Several ids name one payment: what is known under `aliases` belongs to `sale` from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaleLinked {
    /// Whose program.
    pub program: ProgramId,
    /// The name that keeps the sale: its own, once the sale is here.
    pub sale: SaleKey,
    /// Names at the same source that are new to it.
    pub aliases: Vec<String>,
    /// The external event that brought them.
    pub event: EventId,
}

/// A subscription ended: what is unpaid of it and happened no later waits for a person, also when it arrives afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionOver {
    /// Whose program.
    pub program: ProgramId,
    /// Where the subscription is.
    pub source: SourceName,
    /// Its id there.
    pub subscription_id: String,
    /// When, by the source. Of several moments the latest counts.
    pub ended_at: Micros,
    /// The external event that brought it.
    pub event: EventId,
}

/// Every accepted sale has one, also without a partner or with a commission of 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaleRecorded {
    /// Derived.
    pub id: SaleId,
    /// Whose program.
    pub program: ProgramId,
    /// Which sale, at its source.
    pub sale: SaleKey,
    /// The external event that brought it.
    pub event: EventId,
    /// Of all amounts.
    pub currency: Currency,
    /// What was paid.
    pub gross: Minor,
    /// B: what the commission is computed on.
    pub base: Minor,
    /// The base leaves out tax and discount; refunds map by their own net part.
    pub base_is_net: bool,
    /// The base by line; at least one; the rates are 0 until terms are frozen.
    pub slices: Vec<Slice>,
    /// Who earns.
    pub partner: Option<PartnerId>,
    /// Why nobody earns, or why the commission is 0; empty otherwise.
    pub reason: String,
    /// The customer, if anybody is known.
    pub customer: Option<SubjectId>,
    /// Empty: none.
    pub subscription_id: String,
    /// By the source.
    pub occurred_at: Micros,
    /// By the log.
    pub recorded_at: Micros,
    /// Recorded before, attributed now.
    pub late: bool,
    /// What rules may ask of it.
    pub facets: Facets,
    /// Which of the customer's purchases it is; `None` while no customer is known.
    pub purchase: Option<Purchase>,
    /// When its subscription was first paid for, if it was before it.
    pub subscription_since: Option<Micros>,
    /// Who earns which part, the earliest touch first; `partner` is the first one's. Empty: `partner` earns all.
    pub shares: Vec<Share>,
}

/// A purchase among its customer's, as the log had them when it was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purchase {
    /// From 1.
    pub number: u64,
    /// When the first one happened: this one itself, where it is the first.
    pub first_at: Micros,
}

/// What rules may ask of a sale besides its amounts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Facets {
    /// The provider's own marker.
    pub recurrence: Recurrence,
    /// The coupon's code, or the provider's id of it where only that is known; empty: none.
    pub coupon: String,
    /// Country, interval, metadata.
    pub details: SaleDetails,
    /// What was bought, line by line. Empty where no line says anything.
    pub lines: Vec<LineFacets>,
}

/// What rules may ask of a line. Empty: unknown.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LineFacets {
    /// The product.
    pub product: String,
    /// The price.
    pub price: String,
    /// The plan.
    pub plan: String,
    /// The category.
    pub category: String,
    /// The merchant's own key of the product.
    pub product_key: String,
}

/// A part of the base and its rate: a line, or a tier's band.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Slice {
    /// Empty: the whole sale.
    pub line_id: String,
    /// Its base.
    pub base: Minor,
    /// Its rate.
    pub rate: RatePpm,
    /// The rule that pays it, where that is not the commission's first.
    pub rule: Option<RuleRef>,
    /// It lies above the slice before it, of the same line, in a tier's next band: refunds take from it first.
    pub higher_band: bool,
}

/// A reversal fact as commission took it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReversalRecorded {
    /// Whose program.
    pub program: ProgramId,
    /// The sale it belongs to.
    pub sale: SaleKey,
    /// The object's id.
    pub object_id: String,
    /// The external event that brought it.
    pub event: EventId,
    /// Refund, chargeback or its reverse.
    pub family: ReversalFamily,
    /// Its state.
    pub state: ReversalState,
    /// Its currency.
    pub currency: Currency,
    /// With tax.
    pub gross: Minor,
    /// Without tax, where the body says so.
    pub net: Option<Minor>,
    /// Lines that it names: (line id, net).
    pub lines: Vec<(String, Minor)>,
    /// What was done with it.
    pub result: ReversalResult,
}

/// What was done with a reversal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReversalResult {
    /// It belongs to a known sale.
    Matched,
    /// Its sale is not here yet: it waits.
    Parked,
    /// Another currency than the sale's: counts 0, alarmed.
    CurrencyMismatch,
}

impl ReversalResult {
    /// The word in the log and in views.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::Parked => "parked",
            Self::CurrencyMismatch => "currency_mismatch",
        }
    }
}

/// Lines of a payout. A balance with more commissions is paid with several payouts.
pub const MAX_PAYOUT_LINES: usize = 500;

/// The source name under which commissions of their own stand.
pub const ADJUSTMENT: &str = "adjustment";

/// A change of one commission: all numbers are those after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommissionEvent {
    /// The commission.
    pub id: CommissionId,
    /// Whose program.
    pub program: ProgramId,
    /// Who earns.
    pub partner: PartnerId,
    /// Its conversion record; empty for a commission of its own.
    pub sale_id: SaleId,
    /// Its sale; a commission of its own stands under [`ADJUSTMENT`] and the event that made it.
    pub sale: SaleKey,
    /// What happened.
    pub kind: CommissionEventKind,
    /// The status after it.
    pub status: CommissionStatus,
    /// Of all amounts.
    pub currency: Currency,
    /// G; below 0 where a person takes something.
    pub gross: Minor,
    /// R after it; N = G - R.
    pub reversed: Minor,
    /// The change of N.
    pub delta: Minor,
    /// Balanced: the legs sum to 0.
    pub postings: Vec<Posting>,
    /// The external event that caused it; `None`: a tick.
    pub cause: Option<EventId>,
    /// Why, where there is more to say.
    pub reason: String,
    /// `system`, or a person.
    pub actor: String,
    /// Frozen terms; with `Created` and `Repriced` only.
    pub terms: Option<Terms>,
    /// What still keeps it from being approved, after the event, sorted ([`holds`]). Frames from before holds were a set
    /// have none.
    pub holds: Vec<String>,
    /// With `Locked`, `Paid`, `PayoutFailed` and `PayoutReturned`: the payout.
    pub payout: Option<PayoutId>,
}

/// What happened to a commission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CommissionEventKind {
    /// It exists.
    Created,
    /// Its holds are over.
    Approved,
    /// A refund changed N.
    Refunded,
    /// A chargeback changed N.
    Chargeback,
    /// A failed refund, a won dispute or a person gave money back.
    Reinstated,
    /// A hold was added.
    Review,
    /// A hold was released.
    HoldReleased,
    /// A person rejected it.
    Rejected,
    /// It is in a payout, with what was payable of it.
    Locked,
    /// The payout was settled.
    Paid,
    /// The payout failed.
    PayoutFailed,
    /// The payout was returned.
    PayoutReturned,
    /// A person accepted a forecast: other terms, with the difference in N.
    Repriced,
}

impl CommissionEventKind {
    /// The word in views.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Approved => "approved",
            Self::Refunded => "refunded",
            Self::Chargeback => "chargeback",
            Self::Reinstated => "reinstated",
            Self::Review => "review",
            Self::HoldReleased => "hold_released",
            Self::Rejected => "rejected",
            Self::Locked => "locked",
            Self::Paid => "paid",
            Self::PayoutFailed => "payout_failed",
            Self::PayoutReturned => "payout_returned",
            Self::Repriced => "repriced",
        }
    }
}

/// The ledger's states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CommissionStatus {
    /// Waits for its time.
    Pending,
    /// Waits for a person.
    Review,
    /// Payable.
    Approved,
    /// In a payout.
    Locked,
    /// Paid.
    Paid,
    /// Refused by a person.
    Rejected,
    /// N = 0 by refunds.
    Refunded,
    /// N = 0 with a live lost dispute.
    ChargedBack,
}

impl CommissionStatus {
    /// Earned and in no payout: it can still be held, released, approved or rejected.
    #[must_use]
    pub const fn is_unpaid(self) -> bool {
        matches!(self, Self::Pending | Self::Review | Self::Approved)
    }

    /// The word in views and answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Review => "review",
            Self::Approved => "approved",
            Self::Locked => "locked",
            Self::Paid => "paid",
            Self::Rejected => "rejected",
            Self::Refunded => "refunded",
            Self::ChargedBack => "charged_back",
        }
    }
}

/// One leg of a double entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posting {
    /// The account.
    pub account: Account,
    /// The currency.
    pub currency: Currency,
    /// Positive: into the account.
    pub amount: Minor,
}

/// Accounts of (program, partner, currency); expense, program loss and rounding belong to the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Account {
    /// The merchant's cost.
    Expense,
    /// Earned, waiting for its time.
    Pending,
    /// Earned, waiting for a person.
    Review,
    /// Payable.
    Available,
    /// In a payout.
    InFlight,
    /// Paid, lifetime.
    PaidOut,
    /// Owed by the partner: the account's sum is minus the debt.
    Debt,
    /// Written off.
    ProgramLoss,
    /// Residue of conversions.
    FxRounding,
}

impl Account {
    /// Its word wherever people read it: views, reports, explanations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Expense => "expense",
            Self::Pending => "pending",
            Self::Review => "review",
            Self::Available => "available",
            Self::InFlight => "in_flight",
            Self::PaidOut => "paid_out",
            Self::Debt => "debt",
            Self::ProgramLoss => "program_loss",
            Self::FxRounding => "fx_rounding",
        }
    }
}

/// What the caller of an event is told; a twin is told the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerRecorded {
    /// The answer.
    pub answer: Answer,
    /// The caller who waits, if any.
    pub reply_to: Option<ReplyAddress>,
    /// A repeat of an earlier answer.
    pub duplicate: bool,
}

/// The result of an event in the ledger's words; a dialect translates it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The event.
    pub event: EventId,
    /// Its sale.
    pub sale: Option<SaleId>,
    /// Its commission, if there is one.
    pub commission: Option<CommissionId>,
    /// Who earns.
    pub partner: Option<PartnerId>,
    /// Of a fact: G at creation, 0 without a commission. Of a command: N after it.
    pub amount: Minor,
    /// The amount's currency: the commission's, the sale's where there is none.
    pub currency: Option<Currency>,
    /// Of a fact: the status at creation. Of a command: after it.
    pub status: Option<CommissionStatus>,
    /// Why a command was declined, in a word of `docs/reference/ledger.md`; empty: it was not.
    pub declined: String,
    /// The payout that a command was about, and its status after it. `amount` and `currency` are then what it pays.
    pub payout: Option<(PayoutId, PayoutEventKind)>,
}

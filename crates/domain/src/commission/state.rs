//! The rows of a partition's ledger and their keys. A cache of the fold: its encoding may change with any version.
use super::holds::{PARTNER_SUSPENDED, SYSTEM};
use super::payout::Purse;
use super::{
    Account, CapUse, CommissionEvent, CommissionEventKind, CommissionStatus, Posting, ReversalRecorded,
    SaleRecorded, Terms,
};
use crate::attribution::SaleKey;
use crate::config::{Profile, Release, ReleaseMode};
use crate::facts::{ReversalFamily, ReversalState};
use crate::ids::{CommissionId, EventId, PartnerId, ProgramId, RuleId, SaleId, SourceName, SubjectId};
use crate::money::{Currency, Minor, Rounding};
use crate::rules::month_end;
use crate::tables::Key;
use crate::time::Micros;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const PROGRAMS: u8 = 1;
const PARTNERS: u8 = 2;
const SALES: u8 = 3;
const BALANCES: u8 = 4;
const TIMERS: u8 = 5;
const ANSWERS: u8 = 6;
const COMMISSIONS: u8 = 7;
const SUBSCRIPTIONS: u8 = 8;
const ENDED: u8 = 9;
const RULES: u8 = 10;
const RULES_UNDER: u8 = 11;
const CUSTOMERS: u8 = 12;
const STARTED: u8 = 13;
const TOTALS: u8 = 14;
const CAPS: u8 = 15;
const HOLDABLE: u8 = 16;

pub(super) fn program_key(program: &ProgramId) -> Key {
    Key::new(PROGRAMS).text(&program.0)
}

pub(super) fn programs() -> Key {
    Key::new(PROGRAMS)
}

pub(super) fn sales() -> Key {
    Key::new(SALES)
}

pub(super) fn partner_key(program: &ProgramId, partner: &PartnerId) -> Key {
    Key::new(PARTNERS).text(&program.0).text(&partner.0)
}

pub(super) fn sale_key(program: &ProgramId, sale: &SaleKey) -> Key {
    Key::new(SALES).text(&program.0).text(&sale.source.0).text(&sale.external_id)
}

pub(super) fn balance_key(program: &ProgramId, partner: &PartnerId, currency: Currency) -> Key {
    Key::new(BALANCES).text(&program.0).text(&partner.0).text(currency.code())
}

/// The balances of a partner; under the empty one those of all partners.
pub(super) fn balances_key(program: &ProgramId, partner: &PartnerId) -> Key {
    let all = Key::new(BALANCES).text(&program.0);
    if partner.0.is_empty() { all } else { all.text(&partner.0) }
}

pub(super) fn timer_key(due: Micros, program: &ProgramId, sale: &SaleKey) -> Key {
    timers_at(due).text(&program.0).text(&sale.source.0).text(&sale.external_id)
}

/// The first timer that could be due at `moment`.
pub(super) fn timers_at(moment: Micros) -> Key {
    timers().number(moment.0)
}

pub(super) fn timers() -> Key {
    Key::new(TIMERS)
}

pub(super) fn answer_key(event: &EventId) -> Key {
    Key::new(ANSWERS).text(&event.0)
}

/// Where a commission's sale is: people name commissions by their ids, which are hashes.
pub(super) fn commission_key(id: &CommissionId) -> Key {
    Key::new(COMMISSIONS).text(&id.0)
}

/// The commissions of a partner that can be held, apart: those that a suspension holds, and the others.
pub(super) fn holdable_key(program: &ProgramId, partner: &PartnerId, suspended: bool) -> Key {
    Key::new(HOLDABLE).text(&program.0).text(&partner.0).raw(&[u8::from(suspended)])
}

/// The commissions of a subscription; by the sale's own time, so that a cancellation is a range.
pub(super) fn subscription_key(program: &ProgramId, source: &SourceName, subscription: &str) -> Key {
    Key::new(SUBSCRIPTIONS).text(&program.0).text(&source.0).text(subscription)
}

pub(super) fn rule_key(program: &ProgramId, rule: &RuleId) -> Key {
    Key::new(RULES).text(&program.0).text(&rule.0)
}

/// The rules that ask for a value of a field, in order of precedence.
pub(super) fn rules_under_key(program: &ProgramId, field: &str, value: &str) -> Key {
    Key::new(RULES_UNDER).text(&program.0).text(field).text(value)
}

/// What a customer has bought.
pub(super) fn customer_key(program: &ProgramId, customer: SubjectId) -> Key {
    Key::new(CUSTOMERS).text(&program.0).raw(&customer.0)
}

/// When a subscription was first paid for.
pub(super) fn started_key(program: &ProgramId, source: &SourceName, subscription: &str) -> Key {
    Key::new(STARTED).text(&program.0).text(&source.0).text(subscription)
}

/// What a partner has brought, by calendar month: every longer period is a range of these.
pub(super) fn totals_key(program: &ProgramId, partner: &PartnerId) -> Key {
    Key::new(TOTALS).text(&program.0).text(&partner.0)
}

/// What counts towards a cap.
pub(super) fn cap_key(program: &ProgramId, cap: &CapUse) -> Key {
    Key::new(CAPS)
        .text(&program.0)
        .text(&cap.rule.0)
        .text(cap.scope.name())
        .text(cap.period.name())
        .text(cap.limit.currency.code())
        .text(&cap.of)
        .number(cap.number)
}

/// When a subscription ended.
pub(super) fn ended_key(program: &ProgramId, source: &SourceName, subscription: &str) -> Key {
    Key::new(ENDED).text(&program.0).text(&source.0).text(subscription)
}

/// What commission needs of a program. Rules may come before the program.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct ProgramRow {
    pub(super) settings: Option<Settings>,
    /// How many rules there have ever been.
    pub(super) rules: u64,
    /// How many there are.
    pub(super) active_rules: u64,
    /// The fields under whose values rules stand, with how many; the empty name: rules that ask for no value.
    pub(super) fields: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Settings {
    pub(super) profile: Profile,
    pub(super) currency: Currency,
    pub(super) rounding: Rounding,
    pub(super) hold_days: u32,
    pub(super) release: Release,
    pub(super) manual_approval: bool,
}

impl Settings {
    /// When the time hold of something ends that happened at one moment and was accepted at another; never before `now`.
    pub(super) fn hold_until(&self, occurred_at: Micros, accepted_at: Micros, now: Micros) -> Micros {
        let by_days = occurred_at.plus_days(self.hold_days);
        let by_mode = match self.release.mode {
            ReleaseMode::Days => by_days,
            ReleaseMode::Calendar => month_end(by_days),
        };
        by_mode.max(accepted_at.plus_days(self.release.min_hold_days)).max(now)
    }
}

/// One sale with all that belongs to it, in one row: a fact about it is one read and one write.
/// `sale` is missing while only its reversals are here.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct SaleRow {
    /// Another name keeps the payment: look there. A row that was a sale of its own before it was known to be the same
    /// payment keeps its sale and commissions.
    pub(super) root: Option<String>,
    /// The names whose rows point here.
    pub(super) names: Vec<String>,
    pub(super) sale: Option<SaleRecorded>,
    /// One for each partner who earns a part.
    pub(super) commissions: Vec<CommissionRow>,
    pub(super) reversals: Vec<ReversalRow>,
}

impl SaleRow {
    pub(super) fn commission(&self, id: &CommissionId) -> Option<&CommissionRow> {
        self.commissions.iter().find(|commission| commission.id == *id)
    }

    /// Where a commission stands among its partner's that can be held.
    pub(super) fn holdable(&self, program: &ProgramId, sale: &SaleKey, id: &CommissionId) -> Option<Key> {
        let commission = self.commission(id).filter(|commission| commission.can_be_held())?;
        let suspended = commission.holds.iter().any(|hold| hold == PARTNER_SUSPENDED);
        let of = holdable_key(program, &commission.partner, suspended);
        Some(of.text(&sale.source.0).text(&sale.external_id).text(&id.0))
    }

    pub(super) fn ids(&self) -> Vec<CommissionId> {
        self.commissions.iter().map(|commission| commission.id.clone()).collect()
    }

    /// When a tick may approve something of it. The parts of a split have one time.
    pub(super) fn due(&self) -> Option<Micros> {
        self.commissions.iter().filter_map(CommissionRow::due).min()
    }

    pub(super) fn reversal(&self, like: &ReversalRow) -> Option<&ReversalRow> {
        self.reversals.iter().find(|known| known.is_of(like))
    }

    /// Keeps the highest-ranked state of an object; whether this one says anything new. The same state again is the record
    /// of what became of a parked one.
    pub(super) fn keep(&mut self, new: ReversalRow) -> bool {
        let Some(known) = self.reversals.iter_mut().find(|known| known.is_of(&new)) else {
            self.reversals.push(new);
            return true;
        };
        let is_new = known.rank() != new.rank();
        if known.rank() < new.rank() {
            *known = new;
        }
        is_new
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct CommissionRow {
    pub(super) id: CommissionId,
    pub(super) sale_id: SaleId,
    pub(super) partner: PartnerId,
    pub(super) status: CommissionStatus,
    /// What callers were told.
    pub(super) created_as: CommissionStatus,
    /// Its time hold has ended once: after a reinstatement it does not run again.
    pub(super) was_approved: bool,
    /// What keeps it from being approved, sorted.
    pub(super) holds: Vec<String>,
    /// Holds that a person released by name: they do not come back.
    pub(super) released: Vec<String>,
    /// Holds that a person added: they come back with the commission until somebody releases them.
    pub(super) by_hand: Vec<String>,
    /// A flat reward has its own.
    pub(super) currency: Currency,
    pub(super) gross: Minor,
    pub(super) reversed: Minor,
    /// Its money in `pending` or `review`. Less than N when a reinstatement paid a debt first.
    pub(super) held: Minor,
    pub(super) terms: Terms,
    /// What of the partner's available money stands for it.
    pub(super) purse: Purse,
    /// By the log; for people who look into a store.
    pub(super) changed_at: Micros,
}

impl CommissionRow {
    /// Takes money from the partner: it counts while it is approved.
    pub(super) fn is_debit(&self) -> bool {
        self.gross < Minor::ZERO
    }

    /// Whether holds can keep it from being paid. To hold a debit that counts would give the money back.
    pub(super) fn can_be_held(&self) -> bool {
        self.status.is_unpaid() && !(self.is_debit() && self.status == CommissionStatus::Approved)
    }

    /// What a person added or released by name stays so, whatever facts say. Suspensions come and go with the partner.
    pub(super) fn remember_holds(&mut self, event: &CommissionEvent) {
        let by_person = event.actor != SYSTEM;
        let changed = |from: &[String], to: &[String]| -> Vec<String> {
            to.iter().filter(|hold| !from.contains(hold) && *hold != PARTNER_SUSPENDED).cloned().collect()
        };
        match event.kind {
            CommissionEventKind::Review if by_person => {
                let added = changed(&self.holds, &event.holds);
                self.released.retain(|hold| !added.contains(hold));
                self.by_hand.extend(added);
            }
            CommissionEventKind::HoldReleased => {
                let gone = changed(&event.holds, &self.holds);
                self.by_hand.retain(|hold| !gone.contains(hold));
                if by_person {
                    self.released.extend(gone);
                }
            }
            _ => {}
        }
    }

    /// When a tick may approve it; `None`: no tick may.
    pub(super) fn due(&self) -> Option<Micros> {
        (self.status == CommissionStatus::Pending && !self.terms.manual_approval)
            .then_some(self.terms.hold_until)
    }
}

/// The highest-ranked state of one reversal object, with the amounts of that state.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ReversalRow {
    pub(super) family: ReversalFamily,
    pub(super) object_id: String,
    pub(super) event: EventId,
    pub(super) state: ReversalState,
    pub(super) currency: Currency,
    pub(super) gross: Minor,
    pub(super) net: Option<Minor>,
    pub(super) lines: Vec<(String, Minor)>,
}

impl ReversalRow {
    /// Whether both tell of one object. A total in another currency is another total: it must not hide the right one.
    pub(super) fn is_of(&self, other: &Self) -> bool {
        self.family == other.family
            && self.object_id == other.object_id
            && (self.family != ReversalFamily::RefundTotal || self.currency == other.currency)
    }

    /// What counts of one object, whichever came first: the state, of totals the largest.
    pub(super) fn rank(&self) -> (ReversalState, Minor) {
        let total = if self.family == ReversalFamily::RefundTotal { self.gross } else { Minor::ZERO };
        (self.state, total)
    }
}

impl From<&ReversalRecorded> for ReversalRow {
    fn from(recorded: &ReversalRecorded) -> Self {
        Self {
            family: recorded.family,
            object_id: recorded.object_id.clone(),
            event: recorded.event.clone(),
            state: recorded.state,
            currency: recorded.currency,
            gross: recorded.gross,
            net: recorded.net,
            lines: recorded.lines.clone(),
        }
    }
}

/// What a partner has brought in one calendar month.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TotalsRow {
    /// Conversions.
    pub(super) count: i128,
    /// What was paid for them, in the program's currency.
    pub(super) volume: i128,
    /// Their bases, in the program's currency.
    pub(super) revenue: i128,
}

impl TotalsRow {
    pub(super) const fn and(self, other: Self) -> Self {
        Self {
            count: self.count.saturating_add(other.count),
            volume: self.volume.saturating_add(other.volume),
            revenue: self.revenue.saturating_add(other.revenue),
        }
    }
}

/// What commission needs of a partner.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct PartnerRow {
    /// Earns new commissions.
    pub(super) active: bool,
    /// Empty: in none.
    pub(super) group: String,
}

/// Sums of a partner's accounts in one currency. Wider than an amount, so that a fold never overflows; a commission that
/// would take `granted` past `i64` is not created, therefore each bucket fits as well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BalanceRow {
    /// Sum of G over all commissions ever.
    pub(super) granted: i128,
    pub(super) available: i128,
    /// Positive: the partner owes it.
    pub(super) debt: i128,
    /// Sum of what is payable of each commission. Less `claims` it is `available - debt`.
    pub(super) payable: i128,
    /// Sum of what is owed because of each commission.
    pub(super) claims: i128,
}

impl BalanceRow {
    pub(super) fn post(&mut self, posting: &Posting) {
        let amount = i128::from(posting.amount.0);
        // Sums of i64 cannot reach the ends of i128.
        match posting.account {
            Account::Available => self.available = self.available.saturating_add(amount),
            Account::Debt => self.debt = self.debt.saturating_sub(amount),
            _ => {}
        }
    }
}

/// How to answer a twin of an event.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum AnswerRow {
    /// Nobody waited for the first: look at its sale.
    Sale(ProgramId, SaleKey),
    /// This was the first answer.
    Given(super::Answer),
}

//! A refund or chargeback joins its sale's set; what the set then says becomes the difference to what was said before.
use super::decide::{After, Change, Desk};
use super::holds::{HoldChange, SYSTEM, is_in_review, with, without};
use super::live::{Outcome, outcome};
use super::postings::Bucket;
use super::state::ReversalRow;
use super::{
    CommissionEvent, CommissionEventKind, CommissionStatus, CommissionsEvent, ReversalRecorded,
    ReversalResult,
};
use crate::attribution::SaleKey;
use crate::facts::{Fact, Reversal, ReversalFamily};
use crate::ids::{CommissionId, EventId, ProgramId};
use crate::money::{AmountOutOfRange, Minor};

/// What is done with a reversal; `same_currency`: as its sale, if that is here.
pub(super) const fn result_of(same_currency: Option<bool>) -> ReversalResult {
    match same_currency {
        None => ReversalResult::Parked,
        Some(false) => ReversalResult::CurrencyMismatch,
        Some(true) => ReversalResult::Matched,
    }
}

impl Desk<'_> {
    /// A reversal fact.
    pub(super) fn reversal(&mut self, fact: &Fact, reversal: &Reversal) {
        let named = SaleKey { source: fact.source.clone(), external_id: reversal.sale_external_id.clone() };
        let key = self.payment(fact, &named, &reversal.sale_aliases);
        self.answers_about.get_or_insert_with(|| key.clone());
        let mut recorded = ReversalRecorded {
            program: fact.program.clone(),
            sale: key.clone(),
            object_id: fact.object_id.clone(),
            event: fact.event.clone(),
            family: reversal.family,
            state: reversal.state,
            currency: reversal.currency,
            gross: reversal.gross,
            net: reversal.net,
            lines: reversal.lines.iter().map(|line| (line.line_id.clone(), line.net)).collect(),
            result: ReversalResult::Parked,
        };
        let object = ReversalRow::from(&recorded);
        let row = self.row(&fact.program, &key);
        if row.reversal(&object).is_some_and(|known| known.rank() == object.rank()) {
            return;
        }
        recorded.result = result_of(row.sale.as_ref().map(|sale| sale.currency == reversal.currency));
        let has_commission = !row.commissions.is_empty();
        self.emit(CommissionsEvent::Reversal(recorded));
        if has_commission {
            self.settle(&fact.program, &key, &fact.event, Some(reversal.family));
        }
    }

    /// Brings the commissions of a sale to what the sale's set of reversals says: the difference in N, then holds.
    /// `family`: of the one that moved it; `None`: those that waited.
    pub(super) fn settle(
        &mut self,
        program: &ProgramId,
        key: &SaleKey,
        cause: &EventId,
        family: Option<ReversalFamily>,
    ) {
        // An amount that does not fit cannot arise: `created` refuses commissions whose sums could. If it did, the money
        // would stay where it is rather than be wrong.
        for id in self.row(program, key).ids() {
            if let Ok(Some(event)) = self.net_change(program, key, &id, cause, family) {
                self.emit(CommissionsEvent::Commission(event));
            }
        }
        self.settle_holds(program, key, cause);
    }

    /// Brings the holds of a sale's unpaid commissions to what the facts want.
    pub(super) fn settle_holds(&mut self, program: &ProgramId, key: &SaleKey, cause: &EventId) {
        for id in self.row(program, key).ids() {
            self.settle_holds_of(program, key, &id, cause);
        }
    }

    /// First what the facts add, then what they release.
    fn settle_holds_of(&mut self, program: &ProgramId, key: &SaleKey, id: &CommissionId, cause: &EventId) {
        let Some(commission) = self.row(program, key).commission(id) else { return };
        if !commission.can_be_held() {
            return;
        }
        let wanted = self.wanted_holds(program, key, id);
        let Some(commission) = self.row(program, key).commission(id) else { return };
        let change = HoldChange::between(commission, &wanted);
        let holds = with(&commission.holds, &change.added);
        if !change.added.is_empty()
            && let Ok(Some(event)) = self.held(program, key, id, cause, &change.added, holds.clone())
        {
            self.emit(CommissionsEvent::Commission(event));
        }
        let holds = without(&holds, &change.released);
        if let Ok(Some(event)) = self.released(program, key, id, cause, &change.released, holds) {
            self.emit(CommissionsEvent::Commission(event));
        }
    }

    fn net_change(
        &mut self,
        program: &ProgramId,
        key: &SaleKey,
        id: &CommissionId,
        cause: &EventId,
        family: Option<ReversalFamily>,
    ) -> Result<Option<CommissionEvent>, AmountOutOfRange> {
        let row = self.row(program, key);
        let (Some(sale), Some(commission)) = (&row.sale, row.commission(id)) else { return Ok(None) };
        let set = outcome(sale, commission, &row.reversals)?;
        let from = commission.status;
        let reversed = commission.gross.minus(set.net)?;
        let reversed_before = commission.reversed;
        let (to, holds) = match end_of(from, set) {
            Some(end) if end == from => (end, commission.holds.clone()),
            Some(end) => (end, Vec::new()),
            None if is_end(from) => self.returning(program, key, id),
            None => (from, commission.holds.clone()),
        };
        // Positive: the partner loses it.
        let loses = reversed.minus(reversed_before)?;
        if from == CommissionStatus::Rejected || (loses == Minor::ZERO && from == to) {
            return Ok(None);
        }
        let Some(change) = Change::of(program, key, self.row(program, key), id, Some(cause)) else {
            return Ok(None);
        };
        let mut legs = change.legs(self);
        if loses > Minor::ZERO {
            legs.expense(loses);
            legs.take(Bucket::of(from), loses, change.held)?;
        } else if loses < Minor::ZERO {
            legs.expense(loses);
            let gains = loses.negated()?;
            if is_end(from) {
                legs.give_debt_first(Bucket::of(to), gains)?;
            } else {
                legs.give(Bucket::of(to), gains)?;
            }
        }
        let kind = match family {
            _ if loses < Minor::ZERO => CommissionEventKind::Reinstated,
            _ if loses == Minor::ZERO && to == CommissionStatus::Refunded => CommissionEventKind::Refunded,
            Some(ReversalFamily::Refund | ReversalFamily::RefundTotal) => CommissionEventKind::Refunded,
            Some(_) => CommissionEventKind::Chargeback,
            None if set.lost_dispute => CommissionEventKind::Chargeback,
            None => CommissionEventKind::Refunded,
        };
        let reason = if family.is_none() { "waited for its sale".to_owned() } else { String::new() };
        let (postings, actor) = (legs.finish(), SYSTEM.to_owned());
        change.event(kind, After { status: to, reversed, postings, reason, actor, holds }).map(Some)
    }

    /// Holds were added: the money waits in review.
    fn held(
        &mut self,
        program: &ProgramId,
        key: &SaleKey,
        id: &CommissionId,
        cause: &EventId,
        added: &[String],
        holds: Vec<String>,
    ) -> Result<Option<CommissionEvent>, AmountOutOfRange> {
        let Some(change) = Change::of(program, key, self.row(program, key), id, Some(cause)) else {
            return Ok(None);
        };
        let said = (added.join(", "), SYSTEM);
        self.moved(change, CommissionEventKind::Review, CommissionStatus::Review, holds, said).map(Some)
    }

    /// Holds are over; without any but time the commission waits for the next tick. Also what a frame from before holds
    /// were a set put into review.
    fn released(
        &mut self,
        program: &ProgramId,
        key: &SaleKey,
        id: &CommissionId,
        cause: &EventId,
        released: &[String],
        holds: Vec<String>,
    ) -> Result<Option<CommissionEvent>, AmountOutOfRange> {
        let Some(change) = Change::of(program, key, self.row(program, key), id, Some(cause)) else {
            return Ok(None);
        };
        let to = match change.status {
            CommissionStatus::Review => status_of(&holds, CommissionStatus::Pending),
            kept => kept,
        };
        if to == change.status && released.is_empty() {
            return Ok(None);
        }
        let said = (released.join(", "), SYSTEM);
        self.moved(change, CommissionEventKind::HoldReleased, to, holds, said).map(Some)
    }

    /// A change of holds: N stays, its money moves with the status. `said`: the reason, with the holds' names, and the actor.
    pub(super) fn moved(
        &mut self,
        change: Change,
        kind: CommissionEventKind,
        to: CommissionStatus,
        holds: Vec<String>,
        said: (String, &str),
    ) -> Result<CommissionEvent, AmountOutOfRange> {
        let (from, held, reversed) = (change.status, change.held, change.reversed);
        let mut legs = change.legs(self);
        if from != to {
            let moves = if from == CommissionStatus::Approved { change.net()? } else { held };
            legs.take(Bucket::of(from), moves, held)?;
            legs.give(Bucket::of(to), moves)?;
        }
        let (postings, reason, actor) = (legs.finish(), said.0, said.1.to_owned());
        change.event(kind, After { status: to, reversed, postings, reason, actor, holds })
    }
}

/// Where holds put an unpaid commission; `otherwise`: without any but time.
pub(super) fn status_of(holds: &[String], otherwise: CommissionStatus) -> CommissionStatus {
    if is_in_review(holds) { CommissionStatus::Review } else { otherwise }
}

/// The end that the set of reversals brings a commission to; a commission that left the ledger's hands stays where it is.
pub(super) fn end_of(from: CommissionStatus, set: Outcome) -> Option<CommissionStatus> {
    match from {
        CommissionStatus::Locked | CommissionStatus::Paid | CommissionStatus::Rejected => Some(from),
        _ if set.net > Minor::ZERO => None,
        _ if set.lost_dispute => Some(CommissionStatus::ChargedBack),
        _ => Some(CommissionStatus::Refunded),
    }
}

pub(super) const fn is_end(status: CommissionStatus) -> bool {
    matches!(status, CommissionStatus::Refunded | CommissionStatus::ChargedBack)
}

//! A refund or chargeback joins its sale's set; what the set then says becomes the difference to what was said before.
use super::decide::{After, Change, Desk};
use super::live::{Outcome, outcome};
use super::postings::Bucket;
use super::state::CommissionRow;
use super::{
    CommissionEvent, CommissionEventKind, CommissionStatus, CommissionsEvent, ReversalRecorded,
    ReversalResult, SaleRecorded,
};
use crate::attribution::SaleKey;
use crate::facts::{Fact, Reversal, ReversalFamily};
use crate::ids::{EventId, ProgramId};
use crate::money::{AmountOutOfRange, Currency, Minor};

/// What is done with a reversal in `currency`.
pub(super) fn result_of(sale: Option<&SaleRecorded>, currency: Currency) -> ReversalResult {
    match sale {
        None => ReversalResult::Parked,
        Some(sale) if sale.currency != currency => ReversalResult::CurrencyMismatch,
        Some(_) => ReversalResult::Matched,
    }
}

impl Desk<'_> {
    /// A reversal fact.
    pub(super) fn reversal(&mut self, fact: &Fact, reversal: &Reversal) {
        let key = SaleKey { source: fact.source.clone(), external_id: reversal.sale_external_id.clone() };
        self.answers_about.get_or_insert_with(|| key.clone());
        let row = self.row(&fact.program, &key);
        let known = row
            .reversals
            .iter()
            .find(|known| known.family == reversal.family && known.object_id == fact.object_id);
        if known.is_some_and(|known| known.state == reversal.state) {
            return;
        }
        let result = result_of(row.sale.as_ref(), reversal.currency);
        let has_commission = row.commission.is_some();
        self.emit(CommissionsEvent::Reversal(ReversalRecorded {
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
            result,
        }));
        if has_commission {
            self.settle(&fact.program, &key, &fact.event, Some(reversal.family));
        }
    }

    /// Brings the commission of a sale to what the sale's set of reversals says: the difference in N, then holds.
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
        if let Ok(Some(event)) = self.net_change(program, key, cause, family) {
            self.emit(CommissionsEvent::Commission(event));
        }
        if let Ok(Some(event)) = self.hold_change(program, key, cause) {
            self.emit(CommissionsEvent::Commission(event));
        }
    }

    fn net_change(
        &mut self,
        program: &ProgramId,
        key: &SaleKey,
        cause: &EventId,
        family: Option<ReversalFamily>,
    ) -> Result<Option<CommissionEvent>, AmountOutOfRange> {
        let row = self.row(program, key);
        let (Some(sale), Some(commission)) = (&row.sale, &row.commission) else { return Ok(None) };
        let set = outcome(sale, commission, &row.reversals)?;
        let (from, to) = (commission.status, status_after(commission, set));
        let reversed = commission.gross.minus(set.net)?;
        // Positive: the partner loses it.
        let loses = reversed.minus(commission.reversed)?;
        if from == CommissionStatus::Rejected || (loses == Minor::ZERO && from == to) {
            return Ok(None);
        }
        let Some(change) = Change::of(program, key, row, Some(cause)) else { return Ok(None) };
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
            Some(ReversalFamily::Refund) => CommissionEventKind::Refunded,
            Some(_) => CommissionEventKind::Chargeback,
            None if set.lost_dispute => CommissionEventKind::Chargeback,
            None => CommissionEventKind::Refunded,
        };
        let reason = if family.is_none() { "waited for its sale".to_owned() } else { String::new() };
        change.event(kind, After { status: to, reversed, postings: legs.finish(), reason }).map(Some)
    }

    /// An open dispute holds what is not paid; its end releases it, and a tick approves it.
    fn hold_change(
        &mut self,
        program: &ProgramId,
        key: &SaleKey,
        cause: &EventId,
    ) -> Result<Option<CommissionEvent>, AmountOutOfRange> {
        let row = self.row(program, key);
        let (Some(sale), Some(commission)) = (&row.sale, &row.commission) else { return Ok(None) };
        let from = commission.status;
        let open = outcome(sale, commission, &row.reversals)?.open_dispute;
        let (kind, to, reason) = match from {
            CommissionStatus::Pending | CommissionStatus::Approved if open => {
                (CommissionEventKind::Review, CommissionStatus::Review, "dispute_open")
            }
            CommissionStatus::Review if !open => {
                (CommissionEventKind::HoldReleased, CommissionStatus::Pending, "dispute_closed")
            }
            _ => return Ok(None),
        };
        let Some(change) = Change::of(program, key, row, Some(cause)) else { return Ok(None) };
        let (held, reversed) = (change.held, change.reversed);
        let moves = if from == CommissionStatus::Approved { change.gross.minus(reversed)? } else { held };
        let mut legs = change.legs(self);
        legs.take(Bucket::of(from), moves, held)?;
        legs.give(Bucket::of(to), moves)?;
        let after = After { status: to, reversed, postings: legs.finish(), reason: reason.to_owned() };
        change.event(kind, after).map(Some)
    }
}

/// Where N moves a commission: at 0 to its end, from its end back to where its holds put it, otherwise nowhere.
fn status_after(commission: &CommissionRow, set: Outcome) -> CommissionStatus {
    match commission.status {
        kept @ (CommissionStatus::Locked | CommissionStatus::Paid | CommissionStatus::Rejected) => kept,
        _ if set.net == Minor::ZERO && set.lost_dispute => CommissionStatus::ChargedBack,
        _ if set.net == Minor::ZERO => CommissionStatus::Refunded,
        CommissionStatus::Refunded | CommissionStatus::ChargedBack => {
            if set.open_dispute {
                CommissionStatus::Review
            } else if commission.was_approved {
                CommissionStatus::Approved
            } else {
                CommissionStatus::Pending
            }
        }
        kept => kept,
    }
}

const fn is_end(status: CommissionStatus) -> bool {
    matches!(status, CommissionStatus::Refunded | CommissionStatus::ChargedBack)
}

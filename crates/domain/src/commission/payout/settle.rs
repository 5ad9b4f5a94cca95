//! What becomes of a drafted payout: it is paid, it fails, or it is paid and comes back.
use super::command::step_of;
use super::rows::{PayoutRow, Place};
use crate::commission::command::Declined;
use crate::commission::decide::{After, Change, Desk};
use crate::commission::live::outcome;
use crate::commission::{
    Account, CommissionEvent, CommissionEventKind, CommissionStatus, CommissionsEvent, PayoutEvent,
    PayoutEventKind, PayoutLine,
};
use crate::facts::Fact;
use crate::ids::ProgramId;
use crate::money::{AmountOutOfRange, Minor};
use crate::payouts::{PayoutAct, PayoutCommand};

impl Desk<'_> {
    /// Settles, fails or returns a payout.
    pub(super) fn ended(
        &mut self,
        fact: &Fact,
        command: &PayoutCommand,
        act: PayoutAct,
    ) -> Result<(), Declined> {
        let row = self.book().payout(&command.payout).filter(|row| row.program == fact.program);
        let row = row.ok_or("unknown_payout")?;
        if command.actor.trim().is_empty() {
            return Err("actor_required");
        }
        if act != PayoutAct::Settle && command.reason.trim().is_empty() {
            return Err("reason_required");
        }
        let (from, to) = step_of(act).ok_or("wrong_status")?;
        if row.status != from {
            return Err("wrong_status");
        }
        if command.currency.is_some_and(|currency| currency != row.paid_currency) {
            return Err("wrong_currency");
        }
        if command.amount.is_some_and(|amount| amount != row.paid) {
            return Err("wrong_amount");
        }
        self.emit(CommissionsEvent::Payout(event_of(fact, command, &row, to)));
        for line in &row.lines {
            let Some(sale) = self.book().place(&line.commission) else { continue };
            let place = (sale, line.commission.clone());
            self.line_ended(fact, command, (to, line), &place).map_err(|_| "amount_out_of_range")?;
        }
        Ok(())
    }

    fn line_ended(
        &mut self,
        fact: &Fact,
        command: &PayoutCommand,
        (to, line): (PayoutEventKind, &PayoutLine),
        place: &Place,
    ) -> Result<(), AmountOutOfRange> {
        let row = self.row(&fact.program, &place.0);
        let Some(change) = Change::of(&fact.program, &place.0, row, &place.1, Some(&fact.event)) else {
            return Ok(());
        };
        let (kind, from) = match to {
            PayoutEventKind::Drafted => return Ok(()),
            PayoutEventKind::Settled => (CommissionEventKind::Paid, Account::InFlight),
            PayoutEventKind::Failed => (CommissionEventKind::PayoutFailed, Account::InFlight),
            PayoutEventKind::Returned => (CommissionEventKind::PayoutReturned, Account::PaidOut),
        };
        let mut legs = change.legs(self);
        if to == PayoutEventKind::Settled {
            legs.between(from, Account::PaidOut, line.amount)?;
        } else {
            legs.come_back(from, line.amount)?;
        }
        let status = match (line.further, to) {
            (true, _) => change.status,
            (false, PayoutEventKind::Settled) => CommissionStatus::Paid,
            (false, _) => self.unpaid_status(&fact.program, place, &change)?,
        };
        let after = After {
            status,
            reversed: change.reversed,
            postings: legs.finish(),
            reason: command.reason.clone(),
            actor: command.actor.clone(),
            holds: change.holds.clone(),
        };
        let event = change.event(kind, after)?;
        self.emit(CommissionsEvent::Commission(CommissionEvent {
            payout: Some(command.payout.clone()),
            ..event
        }));
        if !line.further && status == CommissionStatus::Approved {
            self.hold_again(fact, place)?;
        }
        Ok(())
    }

    /// Where a commission comes back to that was in a payout: reversals may have ended it meanwhile.
    fn unpaid_status(
        &mut self,
        program: &ProgramId,
        place: &Place,
        change: &Change,
    ) -> Result<CommissionStatus, AmountOutOfRange> {
        if change.net()? > Minor::ZERO {
            return Ok(CommissionStatus::Approved);
        }
        let row = self.row(program, &place.0);
        let lost_dispute = match (&row.sale, row.commission(&place.1)) {
            (Some(sale), Some(commission)) => outcome(sale, commission, &row.reversals)?.lost_dispute,
            _ => false,
        };
        Ok(if lost_dispute { CommissionStatus::ChargedBack } else { CommissionStatus::Refunded })
    }

    /// Holds that came while it was in a payout, where nothing could be held.
    fn hold_again(&mut self, fact: &Fact, place: &Place) -> Result<(), AmountOutOfRange> {
        let (status, holds) = self.returning(&fact.program, &place.0, &place.1);
        if status != CommissionStatus::Review {
            return Ok(());
        }
        let row = self.row(&fact.program, &place.0);
        let Some(change) = Change::of(&fact.program, &place.0, row, &place.1, Some(&fact.event)) else {
            return Ok(());
        };
        let said = (holds.join(", "), crate::commission::holds::SYSTEM);
        let held = self.moved(change, CommissionEventKind::Review, status, holds, said)?;
        self.emit(CommissionsEvent::Commission(held));
        Ok(())
    }
}

fn event_of(fact: &Fact, command: &PayoutCommand, row: &PayoutRow, kind: PayoutEventKind) -> PayoutEvent {
    PayoutEvent {
        id: command.payout.clone(),
        program: row.program.clone(),
        partner: row.partner.clone(),
        kind,
        currency: row.currency,
        total: row.total,
        paid_currency: row.paid_currency,
        paid: row.paid,
        rate: row.rate.clone(),
        lines: Vec::new(),
        postings: Vec::new(),
        cause: Some(fact.event.clone()),
        reference: command.reference.clone(),
        reason: command.reason.clone(),
        actor: command.actor.clone(),
    }
}

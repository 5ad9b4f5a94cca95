//! A person holds a commission, releases one of its holds, or brings back what was rejected.
use super::command::Declined;
use super::decide::{After, Change, Desk};
use super::holds::{TIME, may_be_added, with};
use super::live::outcome;
use super::postings::Bucket;
use super::{CommissionEvent, CommissionEventKind, CommissionStatus, CommissionsEvent};
use crate::attribution::SaleKey;
use crate::facts::{Command, Fact};
use crate::money::{AmountOutOfRange, Minor};

impl Desk<'_> {
    /// Adds a hold by name.
    pub(super) fn hold(&mut self, fact: &Fact, key: &SaleKey, command: &Command) -> Result<(), Declined> {
        if !may_be_added(&command.hold) {
            return Err("bad_hold");
        }
        let row = self.row(&fact.program, key);
        let commission = row.commission(&command.commission).ok_or("unknown_commission")?;
        if !commission.can_be_held() {
            return Err("wrong_status");
        }
        if commission.holds.contains(&command.hold) {
            return Err("already_held");
        }
        let change = Change::of(&fact.program, key, row, &command.commission, Some(&fact.event));
        let change = change.ok_or("unknown_commission")?;
        let holds = with(&change.holds, std::slice::from_ref(&command.hold));
        let said = (named(&command.hold, &command.reason), command.actor.as_str());
        let held = self
            .moved(change, CommissionEventKind::Review, CommissionStatus::Review, holds, said)
            .map_err(|_| "amount_out_of_range")?;
        self.emit(CommissionsEvent::Commission(held));
        Ok(())
    }

    /// Releases one hold by name.
    pub(super) fn release_one(
        &mut self,
        fact: &Fact,
        key: &SaleKey,
        command: &Command,
    ) -> Result<(), Declined> {
        let commission = self.row(&fact.program, key).commission(&command.commission);
        let commission = commission.ok_or("unknown_commission")?;
        if command.hold == TIME {
            // Time is over when it is over.
            return Err("bad_hold");
        }
        if !commission.holds.contains(&command.hold) {
            return Err("unknown_hold");
        }
        let released = self.release(fact, key, command, &command.hold).map_err(|_| "amount_out_of_range")?;
        self.emit(CommissionsEvent::Commission(released));
        Ok(())
    }

    /// Brings back what was rejected, as far as reversals leave anything of it.
    pub(super) fn reinstate(
        &mut self,
        fact: &Fact,
        key: &SaleKey,
        command: &Command,
    ) -> Result<(), Declined> {
        let row = self.row(&fact.program, key);
        let commission = row.commission(&command.commission).ok_or("unknown_commission")?;
        let net = match (commission.status, &row.sale) {
            (CommissionStatus::Refunded | CommissionStatus::ChargedBack, _) => Minor::ZERO,
            (CommissionStatus::Rejected, _) if row.root.is_some() => return Err("same_payment"),
            (CommissionStatus::Rejected, Some(sale)) => {
                outcome(sale, commission, &row.reversals).map_err(|_| "amount_out_of_range")?.net
            }
            (CommissionStatus::Rejected, None) => commission.gross,
            _ => return Err("wrong_status"),
        };
        if net == Minor::ZERO {
            return Err("nothing_left");
        }
        let reinstated = self.reinstated(fact, key, command, net).map_err(|_| "amount_out_of_range")?;
        self.emit(CommissionsEvent::Commission(reinstated.ok_or("unknown_commission")?));
        Ok(())
    }

    fn reinstated(
        &mut self,
        fact: &Fact,
        key: &SaleKey,
        command: &Command,
        net: Minor,
    ) -> Result<Option<CommissionEvent>, AmountOutOfRange> {
        let (to, holds) = self.returning(&fact.program, key, &command.commission);
        let row = self.row(&fact.program, key);
        let Some(change) = Change::of(&fact.program, key, row, &command.commission, Some(&fact.event)) else {
            return Ok(None);
        };
        let mut legs = change.legs(self);
        let mut reversed = change.gross.minus(net)?;
        if net > Minor::ZERO {
            legs.expense(net.negated()?);
            legs.give_debt_first(Bucket::of(to), net)?;
        } else if to == CommissionStatus::Approved {
            legs.charge(net.negated()?)?;
        } else {
            // A debit counts once it is approved.
            reversed = change.gross;
        }
        let after = After {
            status: to,
            reversed,
            postings: legs.finish(),
            reason: command.reason.clone(),
            actor: command.actor.clone(),
            holds,
        };
        change.event(CommissionEventKind::Reinstated, after).map(Some)
    }
}

/// A hold's name, and why.
pub(super) fn named(hold: &str, reason: &str) -> String {
    [hold, reason].join(" ").trim().to_owned()
}

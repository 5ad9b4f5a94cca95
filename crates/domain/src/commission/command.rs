//! A person decides about a commission, as a whole or not at all. What cannot be done is an answer, not an error: nothing changes.
use super::adjustment::{origin_of, place_of};
use super::decide::{After, Change, Desk};
use super::holding::named;
use super::holds::{TIME, without};
use super::postings::Bucket;
use super::state::{SaleRow, commission_key};
use super::{Answer, CommissionEvent, CommissionEventKind, CommissionStatus, CommissionsEvent};
use crate::attribution::SaleKey;
use crate::facts::{Command, CommandKind, Fact};
use crate::ids::{CommissionId, EventId};
use crate::money::{AmountOutOfRange, Minor};
use crate::tables::row;

/// Why a command changes nothing: one of the words of `docs/reference/ledger.md`.
pub(super) type Declined = &'static str;

impl Desk<'_> {
    /// A command fact, and its answer.
    pub(super) fn command(&mut self, fact: &Fact, command: &Command) {
        if let Some(origin) = origin_of(command.kind) {
            let declined = self.adjust(fact, command, origin).err().unwrap_or_default();
            let row = self.row(&fact.program, &place_of(&fact.event));
            let made = CommissionId::of_command(&fact.event);
            self.command_answer = Some(command_answer(&fact.event, Some(row), &made, declined));
            return;
        }
        let place: Option<SaleKey> = row(self.view(), commission_key(&command.commission).bytes());
        let place = place.filter(|key| {
            // Another program's commission is not here.
            self.row(&fact.program, key).commission(&command.commission).is_some()
        });
        let place = place.or_else(|| self.place_of_new(fact, command));
        let Some(key) = place else {
            self.command_answer =
                Some(command_answer(&fact.event, None, &command.commission, "unknown_commission"));
            return;
        };
        let before = self.events.len();
        let declined = match command.kind {
            CommandKind::Approve => self.approve(fact, &key, command),
            CommandKind::Reject => self.reject(fact, &key, command),
            CommandKind::Reinstate => self.reinstate(fact, &key, command),
            CommandKind::Hold => self.hold(fact, &key, command),
            CommandKind::Release => self.release_one(fact, &key, command),
            CommandKind::Reprice => self.reprice(fact, &key, command),
            CommandKind::Bonus | CommandKind::Correction | CommandKind::Debit => Err("bad_amount"),
        };
        if declined.is_err() && self.events.len() > before {
            // All of it or nothing.
            self.events.truncate(before);
            self.forget();
        }
        let row = self.row(&fact.program, &key);
        let declined = declined.err().unwrap_or_default();
        let answer = command_answer(&fact.event, Some(row), &command.commission, declined);
        self.command_answer = Some(answer);
    }

    /// Releases every hold but time by name, then approves.
    fn approve(&mut self, fact: &Fact, key: &SaleKey, command: &Command) -> Result<(), Declined> {
        let clock = self.clock;
        let row = self.row(&fact.program, key);
        let commission = row.commission(&command.commission).ok_or("unknown_commission")?;
        if !matches!(commission.status, CommissionStatus::Pending | CommissionStatus::Review) {
            return Err("wrong_status");
        }
        if !commission.was_approved && commission.terms.hold_until > clock {
            return Err("held_until");
        }
        let mut holds: Vec<String> = commission.holds.iter().filter(|hold| *hold != TIME).cloned().collect();
        if holds.is_empty() && commission.status == CommissionStatus::Review {
            // Put into review by a frame from before holds were a set.
            holds.push(String::new());
        }
        for hold in holds {
            let released = self.release(fact, key, command, &hold).map_err(|_| "amount_out_of_range")?;
            self.emit(CommissionsEvent::Commission(released));
        }
        let approved = self
            .approval(&fact.program, key, &command.commission, Some((&fact.event, command)))
            .map_err(|_| "amount_out_of_range")?;
        self.emit(CommissionsEvent::Commission(approved.ok_or("wrong_status")?));
        Ok(())
    }

    pub(super) fn release(
        &mut self,
        fact: &Fact,
        key: &SaleKey,
        command: &Command,
        hold: &str,
    ) -> Result<CommissionEvent, AmountOutOfRange> {
        let row = self.row(&fact.program, key);
        let change = Change::of(&fact.program, key, row, &command.commission, Some(&fact.event))
            .ok_or(AmountOutOfRange)?;
        let holds = without(&change.holds, &[hold.to_owned()]);
        let status = super::reversal::status_of(&holds, CommissionStatus::Pending);
        let mut legs = change.legs(self);
        if status != change.status {
            legs.take(Bucket::of(change.status), change.held, change.held)?;
            legs.give(Bucket::of(status), change.held)?;
        }
        let after = After {
            status,
            reversed: change.reversed,
            postings: legs.finish(),
            reason: named(hold, &command.reason),
            actor: command.actor.clone(),
            holds,
        };
        change.event(CommissionEventKind::HoldReleased, after)
    }

    fn reject(&mut self, fact: &Fact, key: &SaleKey, command: &Command) -> Result<(), Declined> {
        let row = self.row(&fact.program, key);
        let change = Change::of(&fact.program, key, row, &command.commission, Some(&fact.event))
            .ok_or("unknown_commission")?;
        if !change.status.is_unpaid() {
            return Err("wrong_status");
        }
        let rejected = self
            .rejection(change, command.reason.clone(), &command.actor)
            .map_err(|_| "amount_out_of_range")?;
        self.emit(CommissionsEvent::Commission(rejected));
        Ok(())
    }
}

/// The commission as it is now.
fn command_answer(event: &EventId, row: Option<&SaleRow>, id: &CommissionId, declined: Declined) -> Answer {
    let sale = row.and_then(|row| row.sale.as_ref());
    let commission = row.and_then(|row| row.commission(id));
    Answer {
        event: event.clone(),
        sale: sale.map(|sale| sale.id.clone()),
        commission: commission.map(|commission| commission.id.clone()),
        partner: commission.map(|commission| commission.partner.clone()),
        // R is between 0 and G.
        amount: commission.map_or(Minor::ZERO, |commission| {
            commission.gross.minus(commission.reversed).unwrap_or_default()
        }),
        currency: commission.map(|commission| commission.currency),
        status: commission.map(|commission| commission.status),
        declined: declined.to_owned(),
        payout: None,
    }
}

//! What people say about payouts, and what they are answered. What cannot be done is an answer, not an error.
use super::draft::{Draft, Drafted};
use super::rows::{Holder, PayoutRow};
use crate::commission::command::Declined;
use crate::commission::decide::Desk;
use crate::commission::{Answer, PayoutEventKind};
use crate::facts::Fact;
use crate::ids::{EventId, PartnerId, PayoutId};
use crate::money::{Currency, Minor};
use crate::payouts::{PayoutAct, PayoutCommand, PayoutDestination};

impl Desk<'_> {
    /// A command about a payout; whether another step follows, which answers then.
    pub(in crate::commission) fn payout(&mut self, fact: &Fact, command: &PayoutCommand) -> bool {
        let before = self.events.len();
        let (id, declined) = match command.act {
            PayoutAct::Draft => {
                let id = PayoutId::of_command(&fact.event);
                match self.drafted(fact, command, &id) {
                    Ok(Drafted::Unfinished) => {
                        self.answers_later = true;
                        return true;
                    }
                    Ok(Drafted::Done { .. }) => (id, ""),
                    Ok(Drafted::NoRate) => (id, "no_rate"),
                    Err(declined) => {
                        self.undo_to(before);
                        (id, declined)
                    }
                }
            }
            act => {
                let declined = self.ended(fact, command, act).err();
                if declined.is_some() {
                    self.undo_to(before);
                }
                (command.payout.clone(), declined.unwrap_or_default())
            }
        };
        let row = self.book().payout(&id).filter(|row| row.program == fact.program);
        let mut answer = payout_answer(&fact.event, &id, row.as_ref(), declined);
        if command.act == PayoutAct::Draft && row.is_none() {
            answer.partner = Some(command.partner.clone());
            answer.currency = command.currency;
        }
        self.command_answer = Some(answer);
        false
    }

    /// Where a partner is paid is sealed and changes no money: it is only answered.
    pub(in crate::commission) fn destination(&mut self, fact: &Fact, destination: &PayoutDestination) {
        self.command_answer = Some(bare(&fact.event, Some(destination.partner.clone()), None, ""));
    }

    /// All of it or nothing.
    pub(super) fn undo_to(&mut self, before: usize) {
        if self.events.len() > before {
            self.events.truncate(before);
            self.forget();
        }
    }

    fn drafted(&mut self, fact: &Fact, command: &PayoutCommand, id: &PayoutId) -> Result<Drafted, Declined> {
        if command.actor.trim().is_empty() {
            return Err("actor_required");
        }
        if command.partner.0.is_empty() {
            return Err("partner_required");
        }
        let currency = command.currency.ok_or("currency_required")?;
        self.draft(&Draft {
            holder: Holder { program: fact.program.clone(), partner: command.partner.clone(), currency },
            id: id.clone(),
            ignore_minimum: command.ignore_minimum,
            cause: Some(&fact.event),
            reference: &command.reference,
            reason: &command.reason,
            actor: &command.actor,
        })
    }
}

/// The payout as it is now.
fn payout_answer(event: &EventId, id: &PayoutId, row: Option<&PayoutRow>, declined: Declined) -> Answer {
    Answer {
        payout: row.map(|row| (id.clone(), row.status)),
        amount: row.map_or(Minor::ZERO, |row| row.paid),
        ..bare(event, row.map(|row| row.partner.clone()), row.map(|row| row.paid_currency), declined)
    }
}

/// An answer about no commission.
pub(super) fn bare(
    event: &EventId,
    partner: Option<PartnerId>,
    currency: Option<Currency>,
    declined: Declined,
) -> Answer {
    Answer {
        event: event.clone(),
        sale: None,
        commission: None,
        partner,
        amount: Minor::ZERO,
        currency,
        status: None,
        declined: declined.to_owned(),
        payout: None,
    }
}

/// The status that a payout must have for what is said about it, and the one that it has then.
pub(super) const fn step_of(act: PayoutAct) -> Option<(PayoutEventKind, PayoutEventKind)> {
    match act {
        PayoutAct::Draft => None,
        PayoutAct::Settle => Some((PayoutEventKind::Drafted, PayoutEventKind::Settled)),
        PayoutAct::Fail => Some((PayoutEventKind::Drafted, PayoutEventKind::Failed)),
        PayoutAct::Return => Some((PayoutEventKind::Settled, PayoutEventKind::Returned)),
    }
}

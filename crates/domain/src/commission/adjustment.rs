//! Commissions of their own: a person gives or takes, with no sale behind it.
use super::command::Declined;
use super::decide::Desk;
use super::holds::{PARTNER_SUSPENDED, TIME, with};
use super::postings::{Bucket, Legs};
use super::reversal::status_of;
use super::state::{BalanceRow, Settings};
use super::{
    ADJUSTMENT, CommissionEvent, CommissionEventKind, CommissionStatus, CommissionsEvent, Origin, Terms,
};
use crate::attribution::SaleKey;
use crate::facts::{Adjustment, Command, CommandKind, Fact};
use crate::ids::{CommissionId, EventId, RuleId, SaleId};
use crate::money::{AmountOutOfRange, Minor};

/// Where the commission of its own that an event made stands.
pub(super) fn place_of(event: &EventId) -> SaleKey {
    SaleKey { source: ADJUSTMENT.into(), external_id: event.0.clone() }
}

/// What a command makes, if it makes a commission of its own.
pub(super) const fn origin_of(kind: CommandKind) -> Option<Origin> {
    match kind {
        CommandKind::Bonus => Some(Origin::Bonus),
        CommandKind::Correction => Some(Origin::Correction),
        CommandKind::Debit => Some(Origin::Debit),
        CommandKind::Approve
        | CommandKind::Reject
        | CommandKind::Reinstate
        | CommandKind::Hold
        | CommandKind::Release
        | CommandKind::Reprice => None,
    }
}

impl Desk<'_> {
    /// Creates a commission of its own.
    pub(super) fn adjust(&mut self, fact: &Fact, command: &Command, origin: Origin) -> Result<(), Declined> {
        let adjustment = command.adjustment.as_ref().ok_or("bad_amount")?;
        let Adjustment { partner, amount, currency } = adjustment;
        let fits = match origin {
            Origin::Bonus => *amount > Minor::ZERO,
            Origin::Debit => *amount < Minor::ZERO,
            Origin::Correction => *amount != Minor::ZERO,
            Origin::Conversion => false,
        };
        if !fits {
            return Err("bad_amount");
        }
        if partner.0.is_empty() {
            return Err("partner_required");
        }
        if command.reason.trim().is_empty() {
            return Err("reason_required");
        }
        if command.actor.trim().is_empty() {
            return Err("actor_required");
        }
        let settings = self.book().program(&fact.program).settings.ok_or("no_program")?;
        self.can_be_granted(&fact.program, partner, *currency, *amount)?;
        let mut holds = vec![TIME.to_owned()];
        if !self.book().partner(&fact.program, partner).active {
            holds.push(PARTNER_SUSPENDED.to_owned());
        }
        let created = self.adjusted(fact, command, adjustment, origin, &settings, &with(&holds, &[]));
        self.emit(CommissionsEvent::Commission(created.map_err(|_| "amount_out_of_range")?));
        Ok(())
    }

    fn adjusted(
        &self,
        fact: &Fact,
        command: &Command,
        adjustment: &Adjustment,
        origin: Origin,
        settings: &Settings,
        holds: &[String],
    ) -> Result<CommissionEvent, AmountOutOfRange> {
        let Adjustment { partner, amount: gross, currency } = adjustment;
        let status = status_of(holds, CommissionStatus::Pending);
        let mut legs = Legs::new(*currency, BalanceRow::default());
        // No bucket can be below 0: what takes counts nothing until it is approved.
        let reversed = if *gross < Minor::ZERO { *gross } else { Minor::ZERO };
        if reversed == Minor::ZERO {
            legs.expense(gross.negated()?);
            legs.give(Bucket::of(status), *gross)?;
        }
        let terms = Terms {
            rule: RuleId::default(),
            rule_version: 0,
            rounding: settings.rounding,
            slices: Vec::new(),
            hold_until: settings.hold_until(fact.occurred_at, self.clock, self.clock),
            manual_approval: settings.manual_approval,
            flat: None,
            caps: Vec::new(),
            uncapped: *gross,
            considered: Vec::new(),
            considered_more: 0,
            split: None,
            origin,
        };
        Ok(CommissionEvent {
            id: CommissionId::of_command(&fact.event),
            program: fact.program.clone(),
            partner: partner.clone(),
            sale_id: SaleId::default(),
            sale: place_of(&fact.event),
            kind: CommissionEventKind::Created,
            status,
            currency: *currency,
            gross: *gross,
            reversed,
            delta: gross.minus(reversed)?,
            postings: legs.finish(),
            cause: Some(fact.event.clone()),
            reason: command.reason.clone(),
            actor: command.actor.clone(),
            terms: Some(terms),
            holds: holds.to_vec(),
            payout: None,
        })
    }
}

//! The program gives up what a partner owes.
use super::command::bare;
use super::rows::Holder;
use crate::commission::command::Declined;
use crate::commission::decide::Desk;
use crate::commission::{Account, Answer, CommissionsEvent, DebtWrittenOff, Posting};
use crate::facts::Fact;
use crate::money::Minor;
use crate::payouts::WriteOff;

/// Commissions that one write-off names: the oldest. What others owe stays; another write-off takes it.
pub(super) const MOST_CLAIMS: usize = 500;

impl Desk<'_> {
    /// A write-off, and its answer: what was given up.
    pub(in crate::commission) fn write_off(&mut self, fact: &Fact, asked: &WriteOff) {
        let (amount, declined) = match self.given_up(fact, asked) {
            Ok(event) => {
                let amount = event.amount;
                self.emit(CommissionsEvent::WrittenOff(event));
                (amount, "")
            }
            Err(declined) => (Minor::ZERO, declined),
        };
        let answer = bare(&fact.event, Some(asked.partner.clone()), Some(asked.currency), declined);
        self.command_answer = Some(Answer { amount, ..answer });
    }

    fn given_up(&mut self, fact: &Fact, asked: &WriteOff) -> Result<DebtWrittenOff, Declined> {
        if asked.actor.trim().is_empty() {
            return Err("actor_required");
        }
        if asked.reason.trim().is_empty() {
            return Err("reason_required");
        }
        if asked.amount.is_some_and(|amount| amount <= Minor::ZERO) {
            return Err("bad_amount");
        }
        let holder = Holder {
            program: fact.program.clone(),
            partner: asked.partner.clone(),
            currency: asked.currency,
        };
        let debt = self.balance(&holder.program, &holder.partner, holder.currency).debt;
        let debt = Minor::try_from(debt).map_err(|_| "amount_out_of_range")?;
        if debt <= Minor::ZERO {
            return Err("no_debt");
        }
        let wanted = asked.amount.unwrap_or(debt);
        if wanted > debt {
            return Err("more_than_debt");
        }
        let mut claims = Vec::new();
        let mut amount = Minor::ZERO;
        for place in self.book().claims(&holder, MOST_CLAIMS) {
            let left = wanted.minus(amount).map_err(|_| "amount_out_of_range")?;
            let part = self.book().purse(&holder.program, &place).owed.min(left);
            if part <= Minor::ZERO {
                break;
            }
            amount = amount.plus(part).map_err(|_| "amount_out_of_range")?;
            claims.push((place.1, part));
        }
        let leg = |account, amount| Posting { account, currency: asked.currency, amount };
        let opposite = amount.negated().map_err(|_| "amount_out_of_range")?;
        Ok(DebtWrittenOff {
            program: holder.program,
            partner: holder.partner,
            currency: holder.currency,
            amount,
            claims,
            postings: vec![leg(Account::Debt, amount), leg(Account::ProgramLoss, opposite)],
            cause: fact.event.clone(),
            reason: asked.reason.clone(),
            actor: asked.actor.clone(),
        })
    }
}

//! What a partner earns pays what the partner owes, commission by commission, the oldest of both first.
use super::rows::{Class, Holder, Place};
use crate::commission::decide::Desk;
use crate::commission::{
    Account, CommissionEvent, CommissionEventKind, CommissionStatus, CommissionsEvent, OffsetRecorded,
};
use crate::ids::{EventId, ProgramId};
use crate::money::Minor;
use std::collections::BTreeMap;

/// How many offsets one step makes, so that a frame stays small. What is left goes on with the next frame that changes what
/// is payable, and before a payout is drafted.
pub(in crate::commission) const OFFSETS_PER_STEP: usize = 100;

/// Whether it changes what is payable, or whether what was given for debts can be taken back: a line of nothing moves no money.
fn is_about_debts(event: &CommissionEvent) -> bool {
    let is_back =
        matches!(event.kind, CommissionEventKind::PayoutFailed | CommissionEventKind::PayoutReturned);
    is_back
        || event.postings.iter().any(|posting| matches!(posting.account, Account::Available | Account::Debt))
}

impl Desk<'_> {
    /// After the events of a step: what they took from commissions that gave for debts comes back to those debts, then what is
    /// payable meets what is owed.
    pub(in crate::commission) fn settle_debts(&mut self) {
        let mut holders: BTreeMap<Holder, Option<EventId>> = BTreeMap::new();
        let mut changed = Vec::new();
        for event in &self.events {
            match event {
                CommissionsEvent::Commission(event) if is_about_debts(event) => {
                    holders.entry(Holder::of(event)).or_insert_with(|| event.cause.clone());
                    let place = (event.sale.clone(), event.id.clone());
                    changed.push((event.program.clone(), place, event.cause.clone()));
                }
                _ => {}
            }
        }
        for (program, place, cause) in changed {
            self.undo_offsets(&program, place, cause.as_ref());
        }
        let mut left = OFFSETS_PER_STEP;
        for (holder, cause) in holders {
            left = left.saturating_sub(self.offset(&holder, cause.as_ref(), left));
        }
    }

    /// Offsets of a balance, at most `most`; how many were made.
    pub(super) fn offset(&mut self, holder: &Holder, cause: Option<&EventId>, most: usize) -> usize {
        let mut made = 0;
        while made < most && self.can_offset(holder) {
            let Some((payer, payable)) = self.oldest_payable(holder) else { break };
            let Some(ower) = self.book().claims(holder, 1).pop() else { break };
            let owed = self.book().purse(&holder.program, &ower).owed;
            let amount = payable.min(owed);
            if amount <= Minor::ZERO {
                break;
            }
            self.emit(offset_of(holder, &payer, &ower, amount, cause));
            made = usize::saturating_add(made, 1);
        }
        made
    }

    /// Whether something is payable beside something that is owed.
    pub(super) fn can_offset(&mut self, holder: &Holder) -> bool {
        let balance = self.balance(&holder.program, &holder.partner, holder.currency);
        balance.payable > 0 && balance.claims > 0
    }

    fn oldest_payable(&mut self, holder: &Holder) -> Option<(Place, Minor)> {
        let place = [Class::Free, Class::InFlight]
            .into_iter()
            .find_map(|class| self.book().payables(holder, class, 1).pop())?;
        let payable = self.book().purse(&holder.program, &place).payable;
        Some((place, payable))
    }

    /// A commission that owes something again and was not paid takes back what it gave, the newest first.
    fn undo_offsets(&mut self, program: &ProgramId, place: Place, cause: Option<&EventId>) {
        let mut waiting = vec![place];
        while let Some(place) = waiting.pop() {
            let row = self.row(program, &place.0);
            let Some(commission) = row.commission(&place.1) else { continue };
            if matches!(commission.status, CommissionStatus::Locked | CommissionStatus::Paid) {
                continue;
            }
            let holder = Holder {
                program: program.clone(),
                partner: commission.partner.clone(),
                currency: commission.currency,
            };
            let (mut owed, offsets) = (commission.purse.owed, commission.purse.offsets.clone());
            for (of, given) in offsets.into_iter().rev() {
                if owed <= Minor::ZERO {
                    break;
                }
                let amount = given.min(owed);
                owed = Minor(owed.0.saturating_sub(amount.0));
                let Some(sale) = self.book().place(&of) else { continue };
                let ower = (sale, of);
                let back = Minor(amount.0.saturating_neg());
                self.emit(offset_of(&holder, &place, &ower, back, cause));
                // It may have given something itself.
                waiting.push(ower);
            }
        }
    }
}

fn offset_of(
    holder: &Holder,
    payer: &Place,
    ower: &Place,
    amount: Minor,
    cause: Option<&EventId>,
) -> CommissionsEvent {
    CommissionsEvent::Offset(OffsetRecorded {
        program: holder.program.clone(),
        partner: holder.partner.clone(),
        currency: holder.currency,
        commission: payer.1.clone(),
        debt_of: ower.1.clone(),
        amount,
        cause: cause.cloned(),
    })
}

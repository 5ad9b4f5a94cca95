//! What of a partner's money stands for one commission.
use crate::commission::{Account, CommissionEvent, CommissionEventKind};
use crate::ids::{CommissionId, PayoutId};
use crate::money::Minor;
use crate::time::Micros;
use serde::{Deserialize, Serialize};

/// What one commission has in its partner's available money, or owes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::commission) struct Purse {
    /// What of `available` stands for it. Never beside `owed`.
    pub(in crate::commission) payable: Minor,
    /// When it became payable first: the oldest is paid first.
    pub(in crate::commission) payable_since: Micros,
    /// What the partner owes because of it: it was paid and taken back, or takes money by itself.
    pub(in crate::commission) owed: Minor,
    pub(in crate::commission) owed_since: Micros,
    /// What it gave for debts of others, the newest last.
    pub(in crate::commission) offsets: Vec<(CommissionId, Minor)>,
    /// The payout that it is in flight with.
    pub(in crate::commission) in_payout: Option<PayoutId>,
}

impl Purse {
    /// Gets `amount`: what it owes first.
    fn credit(&mut self, amount: Minor) {
        let own = amount.min(self.owed);
        // Sums of parts of what a partner was granted, which fits.
        self.owed = Minor(self.owed.0.saturating_sub(own.0));
        self.payable = Minor(self.payable.0.saturating_add(amount.0.saturating_sub(own.0)));
    }

    /// Loses `amount`: what is payable of it first.
    fn debit(&mut self, amount: Minor, clock: Micros) {
        let own = amount.min(self.payable);
        let rest = amount.0.saturating_sub(own.0);
        self.payable = Minor(self.payable.0.saturating_sub(own.0));
        if self.owed == Minor::ZERO && rest > 0 {
            self.owed_since = clock;
        }
        self.owed = Minor(self.owed.0.saturating_add(rest));
    }

    pub(super) fn change(&mut self, amount: Minor, clock: Micros) {
        if amount >= Minor::ZERO {
            self.credit(amount);
        } else {
            self.debit(Minor(amount.0.saturating_neg()), clock);
        }
    }

    /// What the event's legs give it or take from it, and which payout it is in.
    pub(in crate::commission) fn follow(&mut self, event: &CommissionEvent, clock: Micros) {
        let legs = event
            .postings
            .iter()
            .filter(|posting| matches!(posting.account, Account::Available | Account::Debt));
        let change = legs.fold(0_i64, |sum, posting| sum.saturating_add(posting.amount.0));
        self.change(Minor(change), clock);
        match event.kind {
            CommissionEventKind::Locked => self.in_payout.clone_from(&event.payout),
            CommissionEventKind::Paid
            | CommissionEventKind::PayoutFailed
            | CommissionEventKind::PayoutReturned
                if self.in_payout == event.payout =>
            {
                self.in_payout = None;
            }
            _ => {}
        }
    }

    pub(super) fn gave(&mut self, to: &CommissionId, amount: Minor) {
        match self.offsets.last_mut() {
            Some((last, given)) if last == to => given.0 = given.0.saturating_add(amount.0),
            _ => self.offsets.push((to.clone(), amount)),
        }
    }

    /// The newest given to `to` is taken back.
    pub(super) fn took_back(&mut self, to: &CommissionId, amount: Minor) {
        let mut left = amount.0;
        for (_, given) in self.offsets.iter_mut().rev().filter(|(of, _)| of == to) {
            let part = left.min(given.0);
            given.0 = given.0.saturating_sub(part);
            left = left.saturating_sub(part);
        }
        self.offsets.retain(|(_, given)| *given != Minor::ZERO);
    }
}

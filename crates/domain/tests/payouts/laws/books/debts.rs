//! The laws of debts: what stands for each commission, offsets and write-offs.
use super::super::law::{Broken, law};
use super::super::rows::Rows;
use super::super::sheets::{net, sums_to_zero};
use super::{Books, Stands};
use tributary_domain::commission::{
    Account, CommissionStatus, DebtWrittenOff, OffsetRecorded, PayoutEventKind,
};
use tributary_domain::ids::CommissionId;
use tributary_domain::time::Micros;

impl Books {
    pub(super) fn written_off(&mut self, clock: Micros, event: &DebtWrittenOff) -> Result<(), Broken> {
        let amount = event.amount.0;
        let leg = |account| event.postings.iter().find(|leg| leg.account == account).map(|leg| leg.amount.0);
        let is_whole = leg(Account::Debt) == Some(amount)
            && leg(Account::ProgramLoss) == Some(-amount)
            && event.postings.len() == 2;
        law!("a write-off moves its amount from debt to loss", is_whole && amount > 0, "{event:#?}");
        law!("1: the postings of a write-off sum to 0", sums_to_zero(&event.postings), "{event:#?}");
        law!(
            "11: a write-off has one currency",
            event.postings.iter().all(|leg| leg.currency == event.currency),
            "{event:#?}"
        );
        let account = (event.partner.to_string(), event.currency.code().to_owned());
        self.sheets.post(account.clone(), &event.postings, event)?;
        self.sheets.0.get_mut(&account).unwrap()[6] += i128::from(amount);
        let mut left = amount;
        for (of, part) in &event.claims {
            let oldest = self.next_owed(&account);
            law!(
                "a write-off takes from the oldest debt",
                oldest.as_ref() == Some(of),
                "{event:#?}, not {oldest:?}"
            );
            let owes = -self.stands(of);
            left -= part.0;
            let fits = part.0 > 0 && i128::from(part.0) <= owes;
            law!("a write-off takes no more than is owed", fits, "{part} of {of}, which owes {owes}");
            self.moved(clock, of, i128::from(part.0));
            *self.given_up.entry(of.clone()).or_default() += i128::from(part.0);
        }
        law!("a write-off says of which debts it is", left == 0, "{event:#?}");
        Ok(())
    }

    pub(super) fn offset(
        &mut self,
        clock: Micros,
        event: &OffsetRecorded,
        rows: &mut Rows,
    ) -> Result<(), Broken> {
        let (by, of, amount) = (&event.commission, &event.debt_of, i128::from(event.amount.0));
        let account = (event.partner.to_string(), event.currency.code().to_owned());
        let is_own = [by, of].into_iter().all(|id| {
            self.last
                .get(id)
                .is_some_and(|last| last.partner == event.partner && last.currency == event.currency)
        });
        law!("an offset is within one balance", is_own && by != of, "{event:#?}");
        let (pays, owes) = (self.stands(by), -self.stands(of));
        rows.count_offset(amount);
        if amount > 0 {
            law!(
                "an offset takes what is there, and no more than is owed",
                amount == pays.min(owes),
                "{event:#?}: {pays} for {owes}"
            );
            let oldest = (self.next_payer(&account), self.next_owed(&account));
            law!(
                "offsets go by age",
                oldest == (Some(by.clone()), Some(of.clone())),
                "{event:#?}, not {oldest:?}"
            );
            let of_it = self.offsets.entry(by.clone()).or_default();
            match of_it.last_mut() {
                Some((known, sum)) if known == of => *sum += amount,
                _ => of_it.push((of.clone(), amount)),
            }
        } else {
            let of_it = self.offsets.entry(by.clone()).or_default();
            let last = of_it.pop();
            let is_last = last.as_ref().is_some_and(|(known, had)| known == of && *had >= -amount);
            law!(
                "an offset is undone as far as it went, the newest first",
                is_last && amount < 0,
                "{event:#?}: {last:?}"
            );
            law!("an offset is undone as far as is needed", -amount <= -pays, "{event:#?}: {pays}");
            let (_, had) = last.unwrap();
            if had + amount > 0 {
                of_it.push((of.clone(), had + amount));
            }
        }
        self.moved(clock, by, -amount);
        self.moved(clock, of, amount);
        Ok(())
    }

    pub(super) fn stands(&self, of: &CommissionId) -> i128 {
        self.stands.get(of).map_or(0, |stands| stands.amount)
    }

    /// What stands for a commission changes.
    pub(super) fn moved(&mut self, clock: Micros, of: &CommissionId, amount: i128) {
        let stands = self.stands.entry(of.clone()).or_default();
        let owed = stands.amount < 0;
        stands.amount += amount;
        if stands.amount < 0 && !owed {
            stands.owed_since = clock;
        }
    }

    fn of_account(&self, account: &(String, String)) -> impl Iterator<Item = (&CommissionId, &Stands)> {
        self.stands.iter().filter(move |(id, _)| {
            let last = &self.last[*id];
            last.partner.as_str() == account.0 && last.currency.code() == account.1
        })
    }

    /// Pays the next debt: the oldest, but what waits beside a line that is in flight comes after the others.
    pub(super) fn next_payer(&self, account: &(String, String)) -> Option<CommissionId> {
        let in_flight = |id: &CommissionId| {
            let mut drafted = self.payouts.values().filter(|book| book.status == PayoutEventKind::Drafted);
            drafted.any(|book| book.drafted.lines.iter().any(|line| line.commission == *id))
        };
        let all = self.of_account(account).filter(|(_, stands)| stands.amount > 0);
        all.min_by_key(|(id, stands)| (in_flight(id), stands.payable_since, (*id).clone()))
            .map(|(id, _)| id.clone())
    }

    /// Whose debt is paid next: the oldest.
    pub(super) fn next_owed(&self, account: &(String, String)) -> Option<CommissionId> {
        let all = self.of_account(account).filter(|(_, stands)| stands.amount < 0);
        all.min_by_key(|(id, stands)| (stands.owed_since, (*id).clone())).map(|(id, _)| id.clone())
    }

    /// Between frames, of offsets: none by who owes and could have kept it, never more than N, and never more than was owed.
    pub(super) fn offsets_hold(&self) -> Result<(), Broken> {
        for (by, offsets) in self.offsets.iter().filter(|(_, offsets)| !offsets.is_empty()) {
            let (last, sum) = (&self.last[by], offsets.iter().map(|(_, amount)| amount).sum::<i128>());
            if matches!(last.status, CommissionStatus::Locked | CommissionStatus::Paid) {
                continue;
            }
            let stands = self.stands(by);
            law!("who owes pays for nobody", stands >= 0, "{by} owes {stands}, and pays {offsets:?}");
            let is_debit = last.gross.0 < 0;
            law!(
                "offsets of a commission are no more than N",
                is_debit || sum <= net(last).max(0) + self.received(by),
                "{by}: {sum}, {last:#?}"
            );
        }
        Ok(())
    }

    /// What others paid for it, or was given up: it may be paid on, once it does not owe any more.
    fn received(&self, of: &CommissionId) -> i128 {
        let all = self.offsets.values().flatten().filter(|(known, _)| known == of);
        all.map(|(_, amount)| amount).sum::<i128>() + self.given_up.get(of).copied().unwrap_or_default()
    }
}

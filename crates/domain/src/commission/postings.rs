//! Which accounts an amount moves between. Whatever is payable meets the partner's debt first, both ways, so that a partner
//! never has something available and a debt at the same time.
use super::state::BalanceRow;
use super::{Account, CommissionStatus, Posting};
use crate::money::{AmountOutOfRange, Currency, Minor};

/// Where a commission's money is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bucket {
    /// `pending` or `review`: earned, not payable.
    Held(Account),
    /// `available`, less what a debt took.
    Payable,
}

impl Bucket {
    /// The bucket of a commission in `status`. Money of a commission that is in a payout or paid is gone: what changes then
    /// changes what the partner can get next.
    pub(super) const fn of(status: CommissionStatus) -> Self {
        match status {
            CommissionStatus::Pending => Self::Held(Account::Pending),
            CommissionStatus::Review => Self::Held(Account::Review),
            _ => Self::Payable,
        }
    }
}

/// Legs of one event, in one currency, built against the partner's balance before it.
#[derive(Debug)]
pub(super) struct Legs {
    currency: Currency,
    balance: BalanceRow,
    legs: Vec<Posting>,
}

impl Legs {
    pub(super) fn new(currency: Currency, balance: BalanceRow) -> Self {
        Self { currency, balance, legs: Vec::with_capacity(3) }
    }

    /// The merchant's cost falls (positive) or rises (negative) by `amount`.
    pub(super) fn expense(&mut self, amount: Minor) {
        self.leg(Account::Expense, amount);
    }

    /// Takes `amount` out of `bucket`; `held` is what this commission has there. What is not there has paid a debt, and is
    /// taken from what the partner can get.
    pub(super) fn take(
        &mut self,
        bucket: Bucket,
        amount: Minor,
        held: Minor,
    ) -> Result<(), AmountOutOfRange> {
        let rest = match bucket {
            Bucket::Held(account) => {
                let here = amount.min(held);
                self.leg(account, here.negated()?);
                amount.minus(here)?
            }
            Bucket::Payable => amount,
        };
        let available = rest.min(within(self.balance.available));
        self.leg(Account::Available, available.negated()?);
        self.leg(Account::Debt, rest.minus(available)?.negated()?);
        Ok(())
    }

    /// The partner owes `amount`: what is available goes first, the rest is a debt.
    pub(super) fn charge(&mut self, amount: Minor) -> Result<(), AmountOutOfRange> {
        self.expense(amount);
        self.take(Bucket::Payable, amount, Minor::ZERO)
    }

    /// Puts `amount` into `bucket`.
    pub(super) fn give(&mut self, bucket: Bucket, amount: Minor) -> Result<(), AmountOutOfRange> {
        match bucket {
            Bucket::Held(account) => self.leg(account, amount),
            Bucket::Payable => self.give_debt_first(bucket, amount)?,
        }
        Ok(())
    }

    /// Pays the partner's debt, then puts the rest into `bucket`.
    pub(super) fn give_debt_first(&mut self, bucket: Bucket, amount: Minor) -> Result<(), AmountOutOfRange> {
        let repaid = amount.min(within(self.balance.debt));
        self.leg(Account::Debt, repaid);
        let account = match bucket {
            Bucket::Held(account) => account,
            Bucket::Payable => Account::Available,
        };
        self.leg(account, amount.minus(repaid)?);
        Ok(())
    }

    /// Moves `amount` from one account to another, whatever else there is.
    pub(super) fn between(
        &mut self,
        from: Account,
        to: Account,
        amount: Minor,
    ) -> Result<(), AmountOutOfRange> {
        self.leg(from, amount.negated()?);
        self.leg(to, amount);
        Ok(())
    }

    /// What was in a payout is payable again.
    pub(super) fn come_back(&mut self, from: Account, amount: Minor) -> Result<(), AmountOutOfRange> {
        self.leg(from, amount.negated()?);
        self.give_debt_first(Bucket::Payable, amount)
    }

    pub(super) fn finish(self) -> Vec<Posting> {
        self.legs
    }

    fn leg(&mut self, account: Account, amount: Minor) {
        if amount != Minor::ZERO {
            let posting = Posting { account, currency: self.currency, amount };
            self.balance.post(&posting);
            self.legs.push(posting);
        }
    }
}

/// A balance as an amount: never negative, and never more than the largest amount.
fn within(balance: i128) -> Minor {
    Minor::try_from(balance.max(0)).unwrap_or(Minor(i64::MAX))
}

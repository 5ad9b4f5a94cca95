//! What a batch adds to the balances of partners.
use super::{At, Rows};
use domain::commission::{Account, Posting};

/// Sums of a batch leave 64 bits; the ledger never writes such events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("balance of {program}/{partner} in {currency} leaves 64 bits")]
pub struct AmountsOverflow {
    program: String,
    partner: String,
    currency: String,
}

/// A change of a partner's buckets: pending, review, available, in flight, paid out, debt.
#[derive(Debug)]
pub(crate) struct BalanceChange {
    pub(crate) at: At,
    pub(crate) wide: [i128; 6],
    pub(crate) buckets: [i64; 6],
}

impl<'batch> Rows<'batch> {
    pub(super) fn post(&mut self, at: At, (program, partner): (&'batch str, &'batch str), posting: &Posting) {
        let (bucket, sign) = match posting.account {
            Account::Pending => (0, 1),
            Account::Review => (1, 1),
            Account::Available => (2, 1),
            Account::InFlight => (3, 1),
            Account::PaidOut => (4, 1),
            // Owed is shown as a positive number.
            Account::Debt => (5, -1),
            Account::Expense | Account::ProgramLoss | Account::FxRounding => return,
        };
        let key = (program, partner, posting.currency.code().to_owned());
        let change = self.balances.entry(key).or_insert(BalanceChange { at, wide: [0; 6], buckets: [0; 6] });
        change.at = at;
        change.wide[bucket] += sign * i128::from(posting.amount.0);
    }

    pub(super) fn narrow(&mut self) -> Result<(), AmountsOverflow> {
        for ((program, partner, currency), change) in &mut self.balances {
            for (narrow, wide) in change.buckets.iter_mut().zip(change.wide) {
                *narrow = i64::try_from(wide).map_err(|_| AmountsOverflow {
                    program: (*program).to_owned(),
                    partner: (*partner).to_owned(),
                    currency: currency.clone(),
                })?;
            }
        }
        Ok(())
    }
}

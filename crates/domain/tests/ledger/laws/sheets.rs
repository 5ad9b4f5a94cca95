//! What an event must keep by itself: its numbers, its holds, its legs; and what legs put into a partner's buckets.
use super::law::{Broken, law};
use std::collections::BTreeMap;
use tributary_domain::commission::{Account, CommissionEvent, CommissionStatus, Posting};
use tributary_domain::money::Currency;

/// Pending, review, available, in flight, paid out, debt, written off.
pub type Sheet = [i128; 7];

const PLACES: [Account; 6] = [
    Account::Pending,
    Account::Review,
    Account::Available,
    Account::InFlight,
    Account::PaidOut,
    Account::Debt,
];

/// Each partner's, in each currency.
#[derive(Debug, Default, Clone)]
pub struct Sheets(pub BTreeMap<(String, String), Sheet>);

impl Sheets {
    /// Folds legs.
    pub fn post(
        &mut self,
        account: (String, String),
        postings: &[Posting],
        event: &dyn std::fmt::Debug,
    ) -> Result<(), Broken> {
        let sheet = self.0.entry(account).or_default();
        for leg in postings {
            if let Some(place) = PLACES.iter().position(|account| *account == leg.account) {
                // A debt is kept as a negative sum.
                let sign = if leg.account == Account::Debt { -1 } else { 1 };
                sheet[place] += sign * i128::from(leg.amount.0);
            }
        }
        law!("3: available x debt = 0", sheet[2] == 0 || sheet[5] == 0, "{sheet:?} after {event:#?}");
        let is_positive = sheet.iter().all(|bucket| *bucket >= 0);
        law!("4: no bucket is below 0", is_positive, "{sheet:?} after {event:#?}");
        Ok(())
    }

    /// They are the model's.
    pub fn are(&self, expected: &BTreeMap<(String, &'static str), Sheet>) -> Result<(), Broken> {
        let filled = self.0.iter().filter(|(_, sheet)| **sheet != Sheet::default());
        let filled: BTreeMap<_, _> =
            filled.map(|((partner, code), sheet)| ((partner.as_str(), code.as_str()), sheet)).collect();
        let expected: BTreeMap<_, _> =
            expected.iter().map(|((partner, code), sheet)| ((partner.as_str(), *code), sheet)).collect();
        law!("balances are the model's", filled == expected, "{filled:#?}, not {expected:#?}");
        Ok(())
    }

    /// All buckets of all together.
    pub fn whole(&self) -> i128 {
        self.0.values().map(whole).sum()
    }
}

/// All buckets together: what is owed, or was.
pub fn whole(sheet: &Sheet) -> i128 {
    sheet[..5].iter().sum::<i128>() - sheet[5] - sheet[6]
}

/// Whose an event is, in which currency.
pub fn account(event: &CommissionEvent) -> (String, String) {
    (event.partner.to_string(), event.currency.code().to_owned())
}

/// N.
pub fn net(event: &CommissionEvent) -> i128 {
    i128::from(event.gross.0) - i128::from(event.reversed.0)
}

pub fn sums_to_zero(postings: &[Posting]) -> bool {
    let mut sums: BTreeMap<Currency, i128> = BTreeMap::new();
    for leg in postings {
        *sums.entry(leg.currency).or_default() += i128::from(leg.amount.0);
    }
    sums.values().all(|sum| *sum == 0)
}

pub fn numbers(last: Option<&CommissionEvent>, event: &CommissionEvent) -> Result<(), Broken> {
    let (before, gross) = (last.map_or(0, net), event.gross.0);
    let fits = (gross.min(0)..=gross.max(0)).contains(&event.reversed.0);
    law!("R is between 0 and G", fits, "{event:#?}");
    let is_change = i128::from(event.delta.0) == net(event) - before;
    law!("an event's delta is the change of N", is_change, "{before}: {event:#?}");
    Ok(())
}

pub fn legs(event: &CommissionEvent) -> Result<(), Broken> {
    let is_one = event.postings.iter().all(|leg| leg.currency == event.currency);
    law!("11: no posting crosses currencies", is_one, "{event:#?}");
    law!("1: the postings of an event sum to 0", sums_to_zero(&event.postings), "{event:#?}");
    Ok(())
}

pub fn holds(event: &CommissionEvent) -> Result<(), Broken> {
    let has_other = event.holds.iter().any(|hold| hold != "time");
    let agrees = match event.status {
        CommissionStatus::Pending => !has_other,
        CommissionStatus::Review => has_other,
        _ => event.holds.is_empty(),
    };
    let law =
        "7: in review exactly while a hold beside time is there, and what is payable, paid or over has none";
    law!(law, agrees, "{event:#?}");
    Ok(())
}

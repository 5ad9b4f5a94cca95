//! The laws that events must keep by themselves, on a fold of their postings that nobody else uses.
use super::rows::{About, Rows};
use std::collections::BTreeMap;
use tributary_domain::commission::{
    Account, CommissionEvent, CommissionEventKind, CommissionStatus, Origin, Split, Terms,
};
use tributary_domain::config::ReleaseMode;
use tributary_domain::facts::CommandKind;
use tributary_domain::ids::CommissionId;
use tributary_domain::time::Micros;

/// A law of `docs/reference/ledger.md` that a history breaks.
#[derive(Debug, Clone)]
pub struct Broken {
    pub law: &'static str,
    pub detail: String,
}

/// `Err` with the law's name unless it holds.
macro_rules! law {
    ($name:expr, $holds:expr, $($detail:tt)+) => {
        if !$holds {
            return Err($crate::laws::books::Broken { law: $name, detail: format!($($detail)+) });
        }
    };
}
pub(crate) use law;

/// Pending, review, available, in flight, paid out, debt.
pub type Sheet = [i128; 6];

const PLACES: [Account; 6] = [
    Account::Pending,
    Account::Review,
    Account::Available,
    Account::InFlight,
    Account::PaidOut,
    Account::Debt,
];

#[derive(Debug, Default)]
pub struct Books {
    pub sheets: BTreeMap<(String, String), Sheet>,
    /// The last event of each commission.
    pub last: BTreeMap<CommissionId, CommissionEvent>,
    /// The rule of each, and what it would be without caps.
    pub created: BTreeMap<CommissionId, (String, i128)>,
    terms: BTreeMap<CommissionId, Terms>,
    by_mode: BTreeMap<CommissionId, ReleaseMode>,
}

impl Books {
    /// Folds an event; `rows` counts the row of the state table that it takes. `asked`: by a person; `mode`: of the program now.
    pub fn apply(
        &mut self,
        clock: Micros,
        event: &CommissionEvent,
        (asked, mode): (Option<CommandKind>, ReleaseMode),
        rows: &mut Rows,
    ) -> Result<(), Broken> {
        self.numbers(event)?;
        self.postings(event)?;
        self.holds(clock, event)?;
        let from = self.last.get(&event.id).map_or("-", |last| last.status.name());
        let release = *self.by_mode.entry(event.id.clone()).or_insert(mode);
        let about = About { asked, is_split: self.terms[&event.id].split.is_some(), release };
        law!(
            "the state table: there is such a row",
            rows.count(from, event, about),
            "from {from}: {event:#?}"
        );
        self.last.insert(event.id.clone(), event.clone());
        Ok(())
    }

    fn numbers(&self, event: &CommissionEvent) -> Result<(), Broken> {
        let net = event.gross.0 - event.reversed.0;
        let before = self.last.get(&event.id).map_or(0, |last| last.gross.0 - last.reversed.0);
        let (gross, reversed) = (event.gross.0, event.reversed.0);
        law!("R is between 0 and G", (gross.min(0)..=gross.max(0)).contains(&reversed), "{event:#?}");
        law!("an event's delta is the change of N", event.delta.0 == net - before, "{before}: {event:#?}");
        let counts = gross > 0 || net == 0 || event.status == CommissionStatus::Approved;
        law!("what takes counts while it is approved, and only then", counts, "{event:#?}");
        let Some(terms) = &event.terms else { return Ok(()) };
        let is_new = event.kind == CommissionEventKind::Created && !self.last.contains_key(&event.id);
        let fits = match terms.origin {
            Origin::Conversion | Origin::Bonus => event.gross.0 > 0,
            Origin::Correction => event.gross.0 != 0,
            Origin::Debit => event.gross.0 < 0,
        };
        law!("a commission is created once, with a G of its kind", is_new && fits, "{event:#?}");
        law!("a cap never raises G", event.gross <= terms.uncapped, "{event:#?}");
        Ok(())
    }

    /// Folds the legs.
    pub fn postings(&mut self, event: &CommissionEvent) -> Result<(), Broken> {
        let sum: i128 = event.postings.iter().map(|leg| i128::from(leg.amount.0)).sum();
        let is_one = event.postings.iter().all(|leg| leg.currency == event.currency);
        law!("11: no posting crosses currencies", is_one, "{event:#?}");
        law!("1: the postings of an event sum to 0", sum == 0, "{event:#?}");
        let account = (event.partner.to_string(), event.currency.code().to_owned());
        let sheet = self.sheets.entry(account).or_default();
        for leg in &event.postings {
            if let Some(place) = PLACES.iter().position(|account| *account == leg.account) {
                // A debt is kept as a negative sum.
                let sign = if leg.account == Account::Debt { -1 } else { 1 };
                sheet[place] += sign * i128::from(leg.amount.0);
            }
        }
        let (available, debt) = (sheet[2], sheet[5]);
        law!("3: available x debt = 0", available == 0 || debt == 0, "{sheet:?} after {event:#?}");
        let is_positive = sheet.iter().all(|bucket| *bucket >= 0);
        law!("4: no bucket is below 0", is_positive, "{sheet:?} after {event:#?}");
        Ok(())
    }

    fn holds(&mut self, clock: Micros, event: &CommissionEvent) -> Result<(), Broken> {
        if let Some(terms) = &event.terms {
            self.terms.insert(event.id.clone(), terms.clone());
            let frozen = (terms.rule.to_string(), i128::from(terms.uncapped.0));
            self.created.insert(event.id.clone(), frozen);
        }
        let has_other = event.holds.iter().any(|hold| hold != "time");
        let agrees = match event.status {
            CommissionStatus::Pending => !has_other,
            CommissionStatus::Review => has_other,
            _ => event.holds.is_empty(),
        };
        law!("in review exactly while a hold beside time is there, and ends have none", agrees, "{event:#?}");
        if event.status == CommissionStatus::Approved {
            let until = self.terms[&event.id].hold_until;
            law!("7: approved without holds, after its time", until <= clock, "{until:?}: {event:#?}");
        }
        Ok(())
    }

    /// How a commission was divided from others of its sale.
    pub fn split(&self, id: &CommissionId) -> Option<&Split> {
        self.terms.get(id)?.split.as_ref()
    }

    /// Between events: buckets are the sum of N.
    pub fn sums(&self) -> Result<(), Broken> {
        let mut nets: BTreeMap<(String, String), i128> = BTreeMap::new();
        for last in self.last.values() {
            let account = (last.partner.to_string(), last.currency.code().to_owned());
            *nets.entry(account).or_default() += i128::from(last.gross.0 - last.reversed.0);
        }
        for (account, sheet) in &self.sheets {
            let buckets: i128 = sheet[..5].iter().sum::<i128>() - sheet[5];
            let net = nets.get(account).copied().unwrap_or_default();
            law!("2: the buckets are the sum of N", buckets == net, "{account:?}: {sheet:?}, N {net}");
        }
        Ok(())
    }
}

//! The laws that events must keep by themselves, on a fold of their postings that nobody else uses.
use super::law::{Broken, law};
use super::rows::{About, Rows};
use super::sheets::{self, Sheets, account, net, whole};
use std::collections::BTreeMap;
use tributary_domain::commission::{
    CommissionEvent, CommissionEventKind, CommissionStatus, Origin, Split, Terms,
};
use tributary_domain::config::ReleaseMode;
use tributary_domain::facts::CommandKind;
use tributary_domain::ids::CommissionId;
use tributary_domain::time::Micros;

#[derive(Debug, Default)]
pub struct Books {
    pub sheets: Sheets,
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
        sheets::numbers(self.last.get(&event.id), event)?;
        let counts = event.gross.0 > 0 || net(event) == 0 || event.status == CommissionStatus::Approved;
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
        sheets::legs(event)?;
        self.sheets.post(account(event), &event.postings, event)
    }

    fn holds(&mut self, clock: Micros, event: &CommissionEvent) -> Result<(), Broken> {
        if let Some(terms) = &event.terms {
            self.terms.insert(event.id.clone(), terms.clone());
            let frozen = (terms.rule.to_string(), i128::from(terms.uncapped.0));
            self.created.insert(event.id.clone(), frozen);
        }
        sheets::holds(event)?;
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
            *nets.entry(account(last)).or_default() += net(last);
        }
        for (account, sheet) in &self.sheets.0 {
            let net = nets.get(account).copied().unwrap_or_default();
            law!("2: the buckets are the sum of N", whole(sheet) == net, "{account:?}: {sheet:?}, N {net}");
        }
        Ok(())
    }
}

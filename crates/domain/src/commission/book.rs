//! The fold, on typed rows: `decide` looks ahead with it inside one frame, `evolve` writes what it changed.
use super::state::{
    BalanceRow, CommissionRow, ProgramRow, ReversalRow, SaleRow, Settings, balance_key, partner_key,
    program_key, sale_key,
};
use super::{
    Account, CommissionEvent, CommissionEventKind, CommissionsEvent, ReversalRecorded, SaleRecorded,
};
use crate::attribution::SaleKey;
use crate::config::{ConfigFact, ConfigObject};
use crate::ids::{PartnerId, ProgramId};
use crate::money::{Currency, Minor};
use crate::tables::{View, row};
use crate::time::Micros;
use std::collections::BTreeMap;

/// Rows as they are after the events applied so far. Each is decoded once.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) programs: BTreeMap<Vec<u8>, ProgramRow>,
    pub(super) partners: BTreeMap<Vec<u8>, bool>,
    pub(super) sales: BTreeMap<Vec<u8>, SaleRow>,
    pub(super) balances: BTreeMap<Vec<u8>, BalanceRow>,
}

/// A view, and what was applied on top of it.
pub(super) struct Book<'view> {
    pub(super) view: &'view dyn View,
    pub(super) rows: Rows,
}

/// When a tick may approve a commission, before and after an event.
pub(super) struct Due {
    pub(super) before: Option<Micros>,
    pub(super) after: Option<Micros>,
}

impl<'view> Book<'view> {
    pub(super) fn new(view: &'view dyn View) -> Self {
        Self { view, rows: Rows::default() }
    }

    pub(super) fn program(&mut self, program: &ProgramId) -> &mut ProgramRow {
        cached(self.view, &mut self.rows.programs, program_key(program).bytes())
    }

    pub(super) fn sale(&mut self, program: &ProgramId, sale: &SaleKey) -> &mut SaleRow {
        cached(self.view, &mut self.rows.sales, sale_key(program, sale).bytes())
    }

    pub(super) fn balance(
        &mut self,
        program: &ProgramId,
        partner: &PartnerId,
        currency: Currency,
    ) -> &mut BalanceRow {
        cached(self.view, &mut self.rows.balances, balance_key(program, partner, currency).bytes())
    }

    /// Whether the partner earns new commissions. One that was never described does: codes and coupons name partners too.
    pub(super) fn partner_is_active(&self, program: &ProgramId, partner: &PartnerId) -> bool {
        let key = partner_key(program, partner);
        self.rows.partners.get(key.bytes()).copied().or_else(|| row(self.view, key.bytes())).unwrap_or(true)
    }

    pub(super) fn config(&mut self, fact: &ConfigFact) {
        match &fact.object {
            ConfigObject::Program(program) => {
                self.program(&fact.program).settings = (!fact.removed).then_some(Settings {
                    profile: program.profile,
                    rounding: program.rounding,
                    hold_days: program.hold_days,
                    manual_approval: program.manual_approval,
                });
            }
            ConfigObject::Rule(rule) => {
                let rules = &mut self.program(&fact.program).rules;
                rules.retain(|known| known.rule != rule.rule);
                if !fact.removed {
                    rules.push(rule.clone());
                }
            }
            ConfigObject::Partner(partner) => {
                let key = partner_key(&fact.program, &partner.partner);
                self.rows.partners.insert(key.bytes().to_vec(), partner.active && !fact.removed);
            }
            _ => {}
        }
    }

    pub(super) fn recorded(&mut self, recorded: &SaleRecorded) {
        let row = self.sale(&recorded.program, &recorded.sale);
        if recorded.late || row.sale.is_none() {
            row.sale = Some(recorded.clone());
        }
    }

    /// Keeps the highest-ranked state of an object; whether the state is new to the row. The same state again is the record
    /// of what became of a parked one.
    pub(super) fn reversed(&mut self, recorded: &ReversalRecorded) -> bool {
        let row = self.sale(&recorded.program, &recorded.sale);
        let known = row
            .reversals
            .iter_mut()
            .find(|known| known.family == recorded.family && known.object_id == recorded.object_id);
        match known {
            Some(known) if known.state >= recorded.state => return known.state != recorded.state,
            Some(known) => *known = reversal_row(recorded),
            None => row.reversals.push(reversal_row(recorded)),
        }
        true
    }

    pub(super) fn changed(&mut self, event: &CommissionEvent, clock: Micros) -> Due {
        let row = self.sale(&event.program, &event.sale);
        let before = row.commission.as_ref().and_then(CommissionRow::due);
        if let Some(terms) = &event.terms {
            row.commission = Some(CommissionRow {
                id: event.id.clone(),
                partner: event.partner.clone(),
                status: event.status,
                created_as: event.status,
                was_approved: false,
                gross: event.gross,
                reversed: event.reversed,
                held: Minor::ZERO,
                terms: terms.clone(),
                changed_at: clock,
            });
        }
        let mut after = None;
        if let Some(commission) = &mut row.commission {
            commission.status = event.status;
            commission.reversed = event.reversed;
            commission.was_approved |= event.kind == CommissionEventKind::Approved;
            commission.changed_at = clock;
            for posting in &event.postings {
                if matches!(posting.account, Account::Pending | Account::Review) {
                    // Within 0..=G: the legs of one commission.
                    commission.held = Minor(commission.held.0.saturating_add(posting.amount.0));
                }
            }
            after = commission.due();
        }
        if !event.postings.is_empty() {
            let balance = self.balance(&event.program, &event.partner, event.currency);
            event.postings.iter().for_each(|posting| balance.post(posting));
            if event.kind == CommissionEventKind::Created {
                balance.granted = balance.granted.saturating_add(i128::from(event.gross.0));
            }
        }
        Due { before, after }
    }

    /// Applies an event of `decide`'s own frame.
    pub(super) fn apply(&mut self, event: &CommissionsEvent, clock: Micros) {
        match event {
            CommissionsEvent::Config(fact) => self.config(fact),
            CommissionsEvent::Sale(recorded) => self.recorded(recorded),
            CommissionsEvent::Reversal(recorded) => {
                self.reversed(recorded);
            }
            CommissionsEvent::Commission(event) => {
                self.changed(event, clock);
            }
            CommissionsEvent::Answer(_) => {}
        }
    }
}

fn reversal_row(recorded: &ReversalRecorded) -> ReversalRow {
    ReversalRow {
        family: recorded.family,
        object_id: recorded.object_id.clone(),
        event: recorded.event.clone(),
        state: recorded.state,
        currency: recorded.currency,
        gross: recorded.gross,
        net: recorded.net,
        lines: recorded.lines.clone(),
    }
}

fn cached<'rows, T: serde::de::DeserializeOwned + Default>(
    view: &dyn View,
    rows: &'rows mut BTreeMap<Vec<u8>, T>,
    key: &[u8],
) -> &'rows mut T {
    rows.entry(key.to_vec()).or_insert_with(|| row(view, key).unwrap_or_default())
}

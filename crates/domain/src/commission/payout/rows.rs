//! The rows of payouts: what is payable and what is owed, by the commission it came from; payouts, rates, terms, schedules.
use super::purse::Purse;
use crate::attribution::SaleKey;
use crate::commission::book::Book;
use crate::commission::state::{BalanceRow, CommissionRow, SaleRow};
use crate::commission::{
    CommissionEvent, CommissionStatus, DebtWrittenOff, OffsetRecorded, PayoutEvent, PayoutEventKind,
    PayoutLine, RateRecorded, ScheduleRan,
};
use crate::config::ConfigFact;
use crate::ids::{CommissionId, PartnerId, PayoutId, ProgramId, RateId};
use crate::money::{Currency, Minor};
use crate::payouts::{PayoutTerms, Rate};
use crate::tables::{Key, Tables, View, decode, put_row, row};
use crate::time::Micros;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const PAYABLES: u8 = 17;
const CLAIMS: u8 = 18;
const PAYOUTS: u8 = 19;
// 20: `super::super::parked`.
const RATES: u8 = 21;
const TERMS: u8 = 22;
const SCHEDULES: u8 = 23;
const FX_HELD: u8 = 24;

/// Where a commission stands: its sale's row, and itself.
pub(in crate::commission) type Place = (SaleKey, CommissionId);

/// Whose money: one balance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::commission) struct Holder {
    pub(in crate::commission) program: ProgramId,
    pub(in crate::commission) partner: PartnerId,
    pub(in crate::commission) currency: Currency,
}

impl Holder {
    pub(in crate::commission) fn of(event: &CommissionEvent) -> Self {
        Self { program: event.program.clone(), partner: event.partner.clone(), currency: event.currency }
    }

    fn key(&self, table: u8) -> Key {
        Key::new(table).text(&self.program.0).text(&self.partner.0).text(self.currency.code())
    }

    /// What is payable: free first, then what waits for the end of a payout, then approved commissions of which nothing is.
    pub(in crate::commission) fn payables(&self, class: Class) -> Key {
        self.key(PAYABLES).raw(&[class as u8])
    }

    /// What is owed.
    pub(in crate::commission) fn claims(&self) -> Key {
        self.key(CLAIMS)
    }
}

/// The parts of the index of what is payable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::commission) enum Class {
    /// Something is, and it is in no payout.
    Free = 0,
    /// Something is beside what is in flight: a payout has a commission once at a time.
    InFlight = 1,
    /// Nothing is; it is approved.
    Nothing = 2,
}

pub(in crate::commission) fn payout_key(id: &PayoutId) -> Key {
    Key::new(PAYOUTS).text(&id.0)
}

fn rate_key(program: &ProgramId, from: Currency, to: Currency) -> Key {
    Key::new(RATES).text(&program.0).text(from.code()).text(to.code())
}

fn terms_key(program: &ProgramId, partner: &PartnerId) -> Key {
    Key::new(TERMS).text(&program.0).text(&partner.0)
}

/// The schedules that are due before `moment`, or at it.
pub(in crate::commission) fn due_until(moment: Micros) -> (Key, Key) {
    (Key::new(SCHEDULES), Key::new(SCHEDULES).number(moment.0.saturating_add(1)))
}

fn schedule_key(due: Micros, program: &ProgramId, partner: &PartnerId) -> Key {
    Key::new(SCHEDULES).number(due.0).text(&program.0).text(&partner.0)
}

/// Commissions that wait for a rate.
pub(in crate::commission) fn fx_held_all(program: &ProgramId) -> Key {
    Key::new(FX_HELD).text(&program.0)
}

/// Those that wait for a rate from a currency.
pub(in crate::commission) fn fx_held_key(program: &ProgramId, from: Currency) -> Key {
    fx_held_all(program).text(from.code())
}

/// Where a commission stands in the indexes of money.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::commission) struct Standing {
    payable: Option<Vec<u8>>,
    claim: Option<Vec<u8>>,
    fx_held: Option<Vec<u8>>,
    amounts: (Minor, Minor),
}

impl SaleRow {
    pub(in crate::commission) fn standing(&self, program: &ProgramId, id: &CommissionId) -> Standing {
        let Some(commission) = self.commission(id) else { return Standing::default() };
        let purse = &commission.purse;
        let holder = || Holder {
            program: program.clone(),
            partner: commission.partner.clone(),
            currency: commission.currency,
        };
        let waits = commission.status == CommissionStatus::Approved && !commission.is_debit();
        let class = match (purse.payable > Minor::ZERO, &purse.in_payout) {
            (true, None) => Some(Class::Free),
            (true, Some(_)) => Some(Class::InFlight),
            (false, None) if waits => Some(Class::Nothing),
            (false, _) => None,
        };
        let bytes = |key: Key| key.text(&id.0).bytes().to_vec();
        let held = commission.holds.iter().any(|hold| hold == crate::commission::holds::FX_MISSING);
        Standing {
            payable: class.map(|class| bytes(holder().payables(class).number(purse.payable_since.0))),
            claim: (purse.owed > Minor::ZERO).then(|| bytes(holder().claims().number(purse.owed_since.0))),
            fx_held: held
                .then(|| bytes(fx_held_key(program, commission.currency).text(&commission.partner.0))),
            amounts: (purse.payable, purse.owed),
        }
    }
}

/// A payout, with what it is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::commission) struct PayoutRow {
    pub(in crate::commission) program: ProgramId,
    pub(in crate::commission) partner: PartnerId,
    pub(in crate::commission) status: PayoutEventKind,
    pub(in crate::commission) currency: Currency,
    pub(in crate::commission) total: Minor,
    pub(in crate::commission) paid_currency: Currency,
    pub(in crate::commission) paid: Minor,
    pub(in crate::commission) rate: Option<RateId>,
    pub(in crate::commission) lines: Vec<PayoutLine>,
}

/// Terms, and where their schedule is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::commission) struct TermsRow {
    pub(in crate::commission) terms: PayoutTerms,
    /// `None`: never.
    pub(in crate::commission) due: Option<Micros>,
    /// The last balance that the run for `due` has looked at.
    pub(in crate::commission) after: Option<(PartnerId, Currency)>,
}

/// Rows of payouts that a frame changed; see [`crate::commission::book::Rows`]. `None`: it is not there any more.
#[derive(Default)]
pub(in crate::commission) struct PayoutRows {
    pub(in crate::commission) payables: BTreeMap<Vec<u8>, Option<Place>>,
    pub(in crate::commission) claims: BTreeMap<Vec<u8>, Option<Place>>,
    pub(in crate::commission) fx_held: BTreeMap<Vec<u8>, Option<Place>>,
    pub(in crate::commission) payouts: BTreeMap<Vec<u8>, PayoutRow>,
    pub(in crate::commission) rates: BTreeMap<Vec<u8>, Rate>,
    pub(in crate::commission) terms: BTreeMap<Vec<u8>, Option<TermsRow>>,
    pub(in crate::commission) schedules: BTreeMap<Vec<u8>, Option<(ProgramId, PartnerId)>>,
    /// Where commissions of this frame are.
    pub(in crate::commission) places: BTreeMap<Vec<u8>, SaleKey>,
}

/// The first rows of a range of the view, with what is on top of it.
pub(in crate::commission) fn listed(
    view: &dyn View,
    rows: &BTreeMap<Vec<u8>, Option<Place>>,
    range: (&[u8], &[u8]),
    limit: usize,
) -> Vec<(Vec<u8>, Place)> {
    let (start, end) = range;
    let here: Vec<_> = rows.range(start.to_vec()..end.to_vec()).collect();
    let found = view.range(start, end, limit.saturating_add(here.len()));
    let found = found.into_iter().map(|(key, value)| (key.to_vec(), Some(decode(&value))));
    let mut all: BTreeMap<Vec<u8>, Option<Place>> = found.collect();
    all.extend(here.into_iter().map(|(key, place)| (key.clone(), place.clone())));
    all.into_iter().filter_map(|(key, place)| Some((key, place?))).take(limit).collect()
}

impl Book<'_> {
    /// The first of what is payable of a class, oldest first.
    pub(in crate::commission) fn payables(&self, holder: &Holder, class: Class, limit: usize) -> Vec<Place> {
        let of = holder.payables(class);
        let found = listed(self.view, &self.rows.payout.payables, (of.bytes(), &of.end()), limit);
        found.into_iter().map(|(_, place)| place).collect()
    }

    /// The first claims, oldest first.
    pub(in crate::commission) fn claims(&self, holder: &Holder, limit: usize) -> Vec<Place> {
        let of = holder.claims();
        let found = listed(self.view, &self.rows.payout.claims, (of.bytes(), &of.end()), limit);
        found.into_iter().map(|(_, place)| place).collect()
    }

    /// The first commissions of a range that wait for a rate.
    pub(in crate::commission) fn fx_held(&self, range: (&[u8], &[u8]), limit: usize) -> Vec<Place> {
        let found = listed(self.view, &self.rows.payout.fx_held, range, limit);
        found.into_iter().map(|(_, place)| place).collect()
    }

    /// The sale that a commission belongs to.
    pub(in crate::commission) fn place(&self, id: &CommissionId) -> Option<SaleKey> {
        let key = crate::commission::state::commission_key(id);
        let here = self.rows.payout.places.get(key.bytes()).cloned();
        here.or_else(|| row(self.view, key.bytes()))
    }

    pub(in crate::commission) fn purse(&mut self, program: &ProgramId, place: &Place) -> Purse {
        let row = self.sale(program, &place.0);
        row.commission(&place.1).map(|commission| commission.purse.clone()).unwrap_or_default()
    }

    /// Brings the indexes and sums to what an event made of a commission.
    pub(in crate::commission) fn stands(
        &mut self,
        holder: &Holder,
        place: Place,
        moved: (Standing, Standing),
    ) {
        let (before, after) = moved;
        if before == after {
            return;
        }
        let rows = &mut self.rows.payout;
        for (rows, before, after) in [
            (&mut rows.payables, before.payable, after.payable),
            (&mut rows.claims, before.claim, after.claim),
            (&mut rows.fx_held, before.fx_held, after.fx_held),
        ] {
            if before == after {
                continue;
            }
            if let Some(before) = before {
                rows.insert(before, None);
            }
            if let Some(after) = after {
                rows.insert(after, Some(place.clone()));
            }
        }
        if before.amounts != after.amounts {
            let balance = self.balance(&holder.program, &holder.partner, holder.currency);
            let moves = |sum: &mut i128, before: Minor, after: Minor| {
                *sum = sum.saturating_add(i128::from(after.0)).saturating_sub(i128::from(before.0));
            };
            moves(&mut balance.payable, before.amounts.0, after.amounts.0);
            moves(&mut balance.claims, before.amounts.1, after.amounts.1);
        }
    }

    /// Changes the purse of a commission.
    fn with_purse(
        &mut self,
        holder: &Holder,
        id: &CommissionId,
        clock: Micros,
        change: impl FnOnce(&mut Purse),
    ) {
        let Some(sale) = self.place(id) else { return };
        let row = self.sale(&holder.program, &sale);
        let before = row.standing(&holder.program, id);
        if let Some(commission) = row.commissions.iter_mut().find(|known| known.id == *id) {
            change(&mut commission.purse);
            commission.date_payable(clock);
        }
        let after = row.standing(&holder.program, id);
        self.stands(holder, (sale, id.clone()), (before, after));
    }

    pub(in crate::commission) fn offset(&mut self, offset: &OffsetRecorded, clock: Micros) {
        let holder = Holder {
            program: offset.program.clone(),
            partner: offset.partner.clone(),
            currency: offset.currency,
        };
        let amount = offset.amount;
        let back = Minor(amount.0.saturating_neg());
        self.with_purse(&holder, &offset.commission, clock, |purse| {
            purse.change(back, clock);
            if amount > Minor::ZERO {
                purse.gave(&offset.debt_of, amount);
            } else {
                purse.took_back(&offset.debt_of, back);
            }
        });
        self.with_purse(&holder, &offset.debt_of, clock, |purse| purse.change(amount, clock));
    }

    pub(in crate::commission) fn written_off(&mut self, event: &DebtWrittenOff, clock: Micros) {
        let holder = Holder {
            program: event.program.clone(),
            partner: event.partner.clone(),
            currency: event.currency,
        };
        let balance: &mut BalanceRow = self.balance(&event.program, &event.partner, event.currency);
        event.postings.iter().for_each(|posting| balance.post(posting));
        for (id, amount) in &event.claims {
            self.with_purse(&holder, id, clock, |purse| purse.change(*amount, clock));
        }
    }

    pub(in crate::commission) fn payout(&self, id: &PayoutId) -> Option<PayoutRow> {
        let key = payout_key(id);
        let here = self.rows.payout.payouts.get(key.bytes()).cloned();
        here.or_else(|| row(self.view, key.bytes()))
    }

    pub(in crate::commission) fn payout_changed(&mut self, event: &PayoutEvent) {
        let row = if event.kind == PayoutEventKind::Drafted {
            Some(PayoutRow {
                program: event.program.clone(),
                partner: event.partner.clone(),
                status: event.kind,
                currency: event.currency,
                total: event.total,
                paid_currency: event.paid_currency,
                paid: event.paid,
                rate: event.rate.clone(),
                lines: event.lines.clone(),
            })
        } else {
            self.payout(&event.id).map(|known| PayoutRow { status: event.kind, ..known })
        };
        if let Some(row) = row {
            self.rows.payout.payouts.insert(payout_key(&event.id).bytes().to_vec(), row);
        }
    }

    pub(in crate::commission) fn rate(
        &self,
        program: &ProgramId,
        from: Currency,
        to: Currency,
    ) -> Option<Rate> {
        let key = rate_key(program, from, to);
        self.rows.payout.rates.get(key.bytes()).cloned().or_else(|| row(self.view, key.bytes()))
    }

    pub(in crate::commission) fn rated(&mut self, recorded: &RateRecorded) {
        let key = rate_key(&recorded.program, recorded.rate.from, recorded.rate.to);
        self.rows.payout.rates.insert(key.bytes().to_vec(), recorded.rate.clone());
    }

    /// The terms of exactly this partner; of the program under the empty one.
    pub(in crate::commission) fn terms_row(
        &self,
        program: &ProgramId,
        partner: &PartnerId,
    ) -> Option<TermsRow> {
        let key = terms_key(program, partner);
        match self.rows.payout.terms.get(key.bytes()) {
            Some(here) => here.clone(),
            None => row(self.view, key.bytes()),
        }
    }

    /// The terms that hold for a partner.
    pub(in crate::commission) fn terms(&self, program: &ProgramId, partner: &PartnerId) -> PayoutTerms {
        let own = self.terms_row(program, partner);
        let row = own.or_else(|| self.terms_row(program, &PartnerId::default()));
        row.map(|row| row.terms).unwrap_or_default()
    }

    /// Terms were set or removed. A schedule that did not change keeps its moment.
    pub(in crate::commission) fn terms_changed(
        &mut self,
        fact: &ConfigFact,
        terms: &PayoutTerms,
        clock: Micros,
    ) {
        let known = self.terms_row(&fact.program, &terms.partner);
        let row = (!fact.removed).then(|| {
            let same = known.filter(|known| known.terms.schedule == terms.schedule);
            match same {
                Some(known) => TermsRow { terms: terms.clone(), ..known },
                None => TermsRow { terms: terms.clone(), due: terms.schedule.next_after(clock), after: None },
            }
        });
        self.set_terms(&fact.program, &terms.partner, row);
    }

    pub(in crate::commission) fn schedule_ran(&mut self, ran: &ScheduleRan) {
        if let Some(known) = self.terms_row(&ran.program, &ran.partner) {
            let row = TermsRow { due: Some(ran.next_due), after: ran.after.clone(), ..known };
            self.set_terms(&ran.program, &ran.partner, Some(row));
        }
    }

    fn set_terms(&mut self, program: &ProgramId, partner: &PartnerId, row: Option<TermsRow>) {
        let due = |row: &Option<TermsRow>| row.as_ref().and_then(|row| row.due);
        let key = |due: Micros| schedule_key(due, program, partner).bytes().to_vec();
        if let Some(due) = due(&self.terms_row(program, partner)) {
            self.rows.payout.schedules.insert(key(due), None);
        }
        if let Some(due) = due(&row) {
            self.rows.payout.schedules.insert(key(due), Some((program.clone(), partner.clone())));
        }
        self.rows.payout.terms.insert(terms_key(program, partner).bytes().to_vec(), row);
    }
}

impl PayoutRows {
    pub(in crate::commission) fn write(&self, tables: &mut dyn Tables) {
        for places in [&self.payables, &self.claims, &self.fx_held] {
            places.iter().for_each(|(key, place)| set(tables, key, place.as_ref()));
        }
        self.payouts.iter().for_each(|(key, row)| put_row(tables, key, row));
        self.rates.iter().for_each(|(key, rate)| put_row(tables, key, rate));
        self.terms.iter().for_each(|(key, row)| set(tables, key, row.as_ref()));
        self.schedules.iter().for_each(|(key, of)| set(tables, key, of.as_ref()));
        self.places.iter().for_each(|(key, sale)| put_row(tables, key, sale));
    }
}

fn set<T: Serialize>(tables: &mut dyn Tables, key: &[u8], row: Option<&T>) {
    match row {
        Some(row) => put_row(tables, key, row),
        None => tables.delete(key),
    }
}

impl CommissionRow {
    /// Keeps the moment at which it became payable first.
    pub(in crate::commission) fn date_payable(&mut self, clock: Micros) {
        let waits = self.status == CommissionStatus::Approved && !self.is_debit();
        if self.purse.payable_since == Micros::default() && (waits || self.purse.payable > Minor::ZERO) {
            self.purse.payable_since = clock;
        }
    }
}

//! Folds an accepted frame into the tables: the only thing that changes state.
use super::book::{Book, Indexed, Moved};
use super::parked::{ParkedRow, parked_key};
use super::state::{AnswerRow, SaleRow, answer_key, subscription_key, timer_key};
use super::{CommissionEvent, CommissionEventKind, CommissionsEvent, ParkedItem};
use crate::attribution::SaleKey;
use crate::ids::{CommissionId, EventId, ProgramId};
use crate::tables::{Key, Tables, put_row};
use crate::time::Micros;
use std::collections::BTreeMap;

/// Rows that `decide` never reads within the frame that writes them.
#[derive(Default)]
struct Indexes<'event> {
    /// `None`: no longer due.
    timers: BTreeMap<Vec<u8>, Option<(&'event ProgramId, &'event SaleKey)>>,
    answers: BTreeMap<&'event EventId, AnswerRow>,
    /// `None`: decided at last.
    parked: BTreeMap<Vec<u8>, Option<&'event ParkedItem>>,
    /// `None`: it can no longer be held there.
    holdable: BTreeMap<Vec<u8>, Option<(&'event SaleKey, &'event CommissionId)>>,
    /// By the sale's subscription where it has one.
    places: Vec<(Key, &'event SaleKey)>,
}

/// Folds the events of one frame; `clock` is the frame's.
///
/// Each row that the frame changes is read once and written once, however many events change it.
pub fn evolve(tables: &mut dyn Tables, clock: Micros, events: &[CommissionsEvent]) {
    if events.is_empty() {
        return;
    }
    let mut book = Book::new(&*tables);
    let mut indexes = Indexes::default();
    for event in events {
        match event {
            CommissionsEvent::Config(fact) => book.config(fact, clock),
            CommissionsEvent::Sale(recorded) => {
                book.recorded(recorded);
                if !recorded.late {
                    indexes.points_at(&recorded.event, &recorded.program, &recorded.sale);
                }
            }
            CommissionsEvent::Reversal(recorded) => {
                if book.reversed(recorded) {
                    indexes.points_at(&recorded.event, &recorded.program, &recorded.sale);
                }
            }
            CommissionsEvent::Commission(event) => {
                let Indexed { due, holdable } = book.changed(event, clock);
                indexes.due(&due, &event.program, &event.sale);
                indexes.holdable(holdable, event);
                if event.kind == CommissionEventKind::Created {
                    indexes.created(book.sale(&event.program, &event.sale), event);
                }
            }
            CommissionsEvent::Link(link) => {
                book.linked(link);
                indexes.points_at(&link.event, &link.program, &link.sale);
            }
            CommissionsEvent::Cancelled(over) => book.cancelled(over),
            CommissionsEvent::Parked(item) => indexes.parked(item),
            CommissionsEvent::Answer(recorded) if !recorded.duplicate => {
                indexes.answers.insert(&recorded.answer.event, AnswerRow::Given(recorded.answer.clone()));
            }
            CommissionsEvent::Answer(_) => {}
            CommissionsEvent::Payout(_)
            | CommissionsEvent::Rate(_)
            | CommissionsEvent::Offset(_)
            | CommissionsEvent::WrittenOff(_)
            | CommissionsEvent::Schedule(_) => book.apply(event, clock),
        }
    }
    let rows = book.rows;
    rows.programs.iter().for_each(|(key, row)| put_row(tables, key, row));
    rows.partners.iter().for_each(|(key, row)| put_row(tables, key, row));
    rows.rules.iter().for_each(|(key, row)| put_row(tables, key, row));
    rows.rules_under.iter().for_each(|(key, row)| match row {
        Some(entry) => put_row(tables, key, entry),
        None => tables.delete(key),
    });
    rows.customers.iter().for_each(|(key, row)| put_row(tables, key, row));
    rows.started.iter().for_each(|(key, row)| put_row(tables, key, row));
    rows.totals.iter().for_each(|(key, row)| put_row(tables, key, row));
    rows.caps.iter().for_each(|(key, row)| put_row(tables, key, row));
    rows.sales.iter().for_each(|(key, row)| put_row(tables, key, row));
    rows.balances.iter().for_each(|(key, row)| put_row(tables, key, row));
    rows.ended.iter().for_each(|(key, row)| put_row(tables, key, row));
    rows.payout.write(tables);
    indexes.write(tables);
}

impl<'event> Indexes<'event> {
    /// For events that are here for the first time. A late decision and a parked reversal name theirs again: what was
    /// answered stands.
    fn points_at(&mut self, event: &'event EventId, program: &ProgramId, sale: &SaleKey) {
        self.answers.entry(event).or_insert_with(|| AnswerRow::Sale(program.clone(), sale.clone()));
    }

    fn created(&mut self, row: &SaleRow, event: &'event CommissionEvent) {
        if let Some(sale) = row.sale.as_ref().filter(|sale| !sale.subscription_id.is_empty()) {
            let of = subscription_key(&event.program, &event.sale.source, &sale.subscription_id);
            let key = of.number(sale.occurred_at.0).text(&event.sale.external_id);
            self.places.push((key, &event.sale));
        }
    }

    /// A parked item leaves the timers without a look at its rows: they may be what is wrong.
    fn parked(&mut self, item: &'event ParkedItem) {
        if !item.settled {
            self.timers.insert(timer_key(item.due, &item.program, &item.sale).bytes().to_vec(), None);
        }
        self.parked.insert(parked_key(item).bytes().to_vec(), (!item.settled).then_some(item));
    }

    fn holdable(&mut self, at: Moved<Key>, event: &'event CommissionEvent) {
        let [before, after] = [at.before, at.after].map(|key| key.map(|key| key.bytes().to_vec()));
        if before == after {
            return;
        }
        if let Some(before) = before {
            self.holdable.insert(before, None);
        }
        if let Some(after) = after {
            self.holdable.insert(after, Some((&event.sale, &event.id)));
        }
    }

    fn due(&mut self, due: &Moved<Micros>, program: &'event ProgramId, sale: &'event SaleKey) {
        if due.before == due.after {
            return;
        }
        if let Some(before) = due.before {
            self.timers.insert(timer_key(before, program, sale).bytes().to_vec(), None);
        }
        if let Some(after) = due.after {
            self.timers.insert(timer_key(after, program, sale).bytes().to_vec(), Some((program, sale)));
        }
    }

    fn write(self, tables: &mut dyn Tables) {
        for (key, timer) in &self.timers {
            match timer {
                Some(due) => put_row(tables, key, due),
                None => tables.delete(key),
            }
        }
        for (key, holdable) in &self.holdable {
            match holdable {
                Some(of) => put_row(tables, key, of),
                None => tables.delete(key),
            }
        }
        for (key, parked) in &self.parked {
            match parked {
                Some(item) => put_row(tables, key, &ParkedRow::of(item)),
                None => tables.delete(key),
            }
        }
        for (event, answer) in &self.answers {
            put_row(tables, answer_key(event).bytes(), answer);
        }
        for (key, sale) in &self.places {
            put_row(tables, key.bytes(), sale);
        }
    }
}

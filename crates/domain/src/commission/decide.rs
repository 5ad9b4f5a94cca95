//! One frame of attributed facts in, one frame of commission events out.
use super::book::Book;
use super::postings::{Bucket, Legs};
use super::state::{AnswerRow, BalanceRow, CommissionRow, SaleRow, answer_key, timers, timers_at};
use super::{
    Answer, AnswerRecorded, CommissionEvent, CommissionEventKind, CommissionStatus, CommissionsEvent, Posting,
};
use crate::attribution::{AttributedEvent, SaleKey};
use crate::config::ConfigObject;
use crate::facts::FactBody;
use crate::ids::{CommissionId, EventId, PartnerId, ProgramId, SaleId};
use crate::money::{AmountOutOfRange, Currency, Minor};
use crate::normalization::{FactsEvent, Verdict, VerdictKind};
use crate::tables::{View, decode, row};
use crate::time::Micros;

/// How many due commissions one step approves, so that a frame stays small; the next step goes on.
pub const APPROVALS_PER_STEP: usize = 500;

/// The actor of what nobody decided.
pub(super) const SYSTEM: &str = "system";

/// One input frame.
#[derive(Debug, Clone, Copy)]
pub struct CommissionInput<'frame> {
    /// The partition's clock at this frame.
    pub clock: Micros,
    /// Its events, in order.
    pub events: &'frame [AttributedEvent],
}

/// Decides step `step` of a frame from the state before it: the events, and whether another step follows.
///
/// Only a tick has more than one step: each approves up to [`APPROVALS_PER_STEP`] commissions.
#[must_use]
pub fn decide(view: &dyn View, input: &CommissionInput<'_>, step: u32) -> (Vec<CommissionsEvent>, bool) {
    let mut desk = Desk::new(view, input.clock);
    let mut more = false;
    let mut verdict = None;
    for event in input.events {
        match event {
            AttributedEvent::Passed {
                event: FactsEvent::ConfigOutcome(_) | FactsEvent::DefectRetry(_),
                ..
            } => {}
            AttributedEvent::Passed { event: FactsEvent::Tick, .. } => more |= desk.approve_due(),
            _ if step > 0 => {}
            AttributedEvent::Passed { event: FactsEvent::Verdict(given), .. } => verdict = Some(given),
            AttributedEvent::Passed { event: FactsEvent::Config(fact), .. } => {
                let concerns_us = matches!(
                    fact.object,
                    ConfigObject::Program(_) | ConfigObject::Rule(_) | ConfigObject::Partner(_)
                );
                if concerns_us {
                    desk.emit(CommissionsEvent::Config(fact.clone()));
                }
                desk.is_config = true;
            }
            AttributedEvent::Passed { event: FactsEvent::Fact(fact), decision, .. } => match &fact.body {
                FactBody::Sale(sale) => desk.sale(fact, sale, decision.as_ref()),
                FactBody::Reversal(reversal) => desk.reversal(fact, reversal),
                FactBody::CustomerLink
                | FactBody::CouponDefinition { .. }
                | FactBody::SubscriptionCancelled { .. }
                | FactBody::Command(_)
                | FactBody::SaleLink { .. } => {}
            },
            AttributedEvent::Late { decision, cause } => desk.late(decision, cause),
        }
    }
    if let Some(verdict) = verdict {
        desk.answer(verdict);
    }
    (desk.events, more)
}

/// What one `decide` has at hand: the state, and the events so far, which later ones build on.
pub(super) struct Desk<'view> {
    book: Book<'view>,
    pub(super) clock: Micros,
    events: Vec<CommissionsEvent>,
    /// How many of `events` the book has applied. It catches up only when somebody reads: most frames never do.
    applied: usize,
    /// The sale that the frame's answer is about.
    pub(super) answers_about: Option<SaleKey>,
    is_config: bool,
}

impl<'view> Desk<'view> {
    fn new(view: &'view dyn View, clock: Micros) -> Self {
        Self {
            book: Book::new(view),
            clock,
            events: Vec::new(),
            applied: 0,
            answers_about: None,
            is_config: false,
        }
    }

    pub(super) fn emit(&mut self, event: CommissionsEvent) {
        self.events.push(event);
    }

    /// State after every event so far.
    pub(super) fn book(&mut self) -> &mut Book<'view> {
        for event in self.events.iter().skip(self.applied) {
            self.book.apply(event, self.clock);
        }
        self.applied = self.events.len();
        &mut self.book
    }

    pub(super) fn row(&mut self, program: &ProgramId, sale: &SaleKey) -> &SaleRow {
        self.book().sale(program, sale)
    }

    pub(super) fn balance(
        &mut self,
        program: &ProgramId,
        partner: &PartnerId,
        currency: Currency,
    ) -> BalanceRow {
        *self.book().balance(program, partner, currency)
    }

    /// Approves commissions whose time has come; whether others remain.
    fn approve_due(&mut self) -> bool {
        let end = timers_at(Micros(self.clock.0.saturating_add(1)));
        let due = self.book.view.range(timers().bytes(), end.bytes(), APPROVALS_PER_STEP.saturating_add(1));
        let before = self.events.len();
        for (_, value) in due.iter().take(APPROVALS_PER_STEP) {
            let (program, sale): (ProgramId, SaleKey) = decode(value);
            if let Ok(Some(event)) = self.approval(&program, &sale) {
                self.emit(CommissionsEvent::Commission(event));
            }
        }
        // A step that approves nothing would not change what the next one finds.
        due.len() > APPROVALS_PER_STEP && self.events.len() > before
    }

    fn approval(
        &mut self,
        program: &ProgramId,
        sale: &SaleKey,
    ) -> Result<Option<CommissionEvent>, AmountOutOfRange> {
        let clock = self.clock;
        let row = self.row(program, sale);
        if row.commission.as_ref().and_then(CommissionRow::due).is_none_or(|due| due > clock) {
            return Ok(None);
        }
        let Some(change) = Change::of(program, sale, row, None) else { return Ok(None) };
        let (held, reversed) = (change.held, change.reversed);
        let mut legs = change.legs(self);
        legs.take(Bucket::of(CommissionStatus::Pending), held, held)?;
        legs.give(Bucket::Payable, held)?;
        let after = After {
            status: CommissionStatus::Approved,
            reversed,
            postings: legs.finish(),
            reason: String::new(),
        };
        change.event(CommissionEventKind::Approved, after).map(Some)
    }

    /// Answers a caller who waits.
    fn answer(&mut self, verdict: &Verdict) {
        let Some(reply_to) = verdict.reply_to.clone() else { return };
        let (answer, duplicate) = match verdict.kind {
            // The normalizer answers refusals and changes of configuration.
            VerdictKind::Ignored | VerdictKind::Quarantined => return,
            VerdictKind::Applied if self.is_config => return,
            VerdictKind::Applied => {
                let about = self.answers_about.take();
                let row = about.map(|sale| self.row(&verdict.program, &sale));
                (answer_of(&verdict.event, row), false)
            }
            VerdictKind::Duplicate => (self.first_answer(&verdict.event), true),
        };
        self.emit(CommissionsEvent::Answer(AnswerRecorded { answer, reply_to: Some(reply_to), duplicate }));
    }

    /// What the first of several twins was told, or would have been.
    fn first_answer(&mut self, event: &EventId) -> Answer {
        match row(self.book.view, answer_key(event).bytes()) {
            Some(AnswerRow::Given(answer)) => answer,
            Some(AnswerRow::Sale(program, sale)) => answer_of(event, Some(self.row(&program, &sale))),
            None => Answer { declined: "unknown".to_owned(), ..answer_of(event, None) },
        }
    }
}

/// The answer to `event` about its sale: what its commission was at its creation.
fn answer_of(event: &EventId, row: Option<&SaleRow>) -> Answer {
    let sale = row.and_then(|row| row.sale.as_ref());
    let commission = row.and_then(|row| row.commission.as_ref());
    Answer {
        event: event.clone(),
        sale: sale.map(|sale| sale.id.clone()),
        commission: commission.map(|commission| commission.id.clone()),
        partner: sale.and_then(|sale| sale.partner.clone()),
        amount: commission.map_or(Minor::ZERO, |commission| commission.gross),
        currency: sale.map(|sale| sale.currency),
        status: commission.map(|commission| commission.created_as),
        declined: String::new(),
    }
}

/// A commission as it is before an event of it.
pub(super) struct Change {
    program: ProgramId,
    key: SaleKey,
    sale_id: SaleId,
    currency: Currency,
    id: CommissionId,
    partner: PartnerId,
    pub(super) gross: Minor,
    pub(super) reversed: Minor,
    pub(super) held: Minor,
    cause: Option<EventId>,
}

/// What an event makes of it.
pub(super) struct After {
    pub(super) status: CommissionStatus,
    pub(super) reversed: Minor,
    pub(super) postings: Vec<Posting>,
    pub(super) reason: String,
}

impl Change {
    pub(super) fn of(
        program: &ProgramId,
        key: &SaleKey,
        row: &SaleRow,
        cause: Option<&EventId>,
    ) -> Option<Self> {
        let (sale, commission) = row.sale.as_ref().zip(row.commission.as_ref())?;
        Some(Self {
            program: program.clone(),
            key: key.clone(),
            sale_id: sale.id.clone(),
            currency: sale.currency,
            id: commission.id.clone(),
            partner: commission.partner.clone(),
            gross: commission.gross,
            reversed: commission.reversed,
            held: commission.held,
            cause: cause.cloned(),
        })
    }

    pub(super) fn legs(&self, desk: &mut Desk<'_>) -> Legs {
        Legs::new(self.currency, desk.balance(&self.program, &self.partner, self.currency))
    }

    pub(super) fn event(
        self,
        kind: CommissionEventKind,
        after: After,
    ) -> Result<CommissionEvent, AmountOutOfRange> {
        Ok(CommissionEvent {
            id: self.id,
            program: self.program,
            partner: self.partner,
            sale_id: self.sale_id,
            sale: self.key,
            kind,
            status: after.status,
            currency: self.currency,
            gross: self.gross,
            reversed: after.reversed,
            delta: self.reversed.minus(after.reversed)?,
            postings: after.postings,
            cause: self.cause,
            reason: after.reason,
            actor: SYSTEM.to_owned(),
            terms: None,
        })
    }
}

//! One frame of attributed facts in, one frame of commission events out.
use super::book::Book;
use super::holds::SYSTEM;
use super::postings::{Bucket, Legs};
use super::state::{AnswerRow, BalanceRow, SaleRow, answer_key, timers, timers_at};
use super::{
    Answer, AnswerRecorded, CommissionEvent, CommissionEventKind, CommissionStatus, CommissionsEvent, Posting,
};
use crate::attribution::{AttributedEvent, Decision, SaleKey};
use crate::config::{ConfigFact, ConfigObject};
use crate::facts::{Command, Fact, FactBody};
use crate::ids::{CommissionId, EventId, PartnerId, ProgramId, SaleId};
use crate::money::{AmountOutOfRange, Currency, Minor};
use crate::normalization::{FactsEvent, Verdict, VerdictKind};
use crate::tables::{View, row};
use crate::time::Micros;

/// How many due commissions one step approves, so that a frame stays small; the next step goes on.
pub const APPROVALS_PER_STEP: usize = 500;

/// How a retry of a parked input names this service.
const SERVICE: &str = "commission";

/// One input frame.
#[derive(Debug, Clone, Copy)]
pub struct CommissionInput<'frame> {
    /// Its `seq`.
    pub source: u64,
    /// The partition's clock at this frame.
    pub clock: Micros,
    /// Its events, in order.
    pub events: &'frame [AttributedEvent],
}

/// Decides step `step` of a frame from the state before it: the events, and whether another step follows.
///
/// Only a tick, a cancelled subscription, a partner who is suspended or active again, a draft and a rate have more than one
/// step: one step
/// of a tick approves about [`APPROVALS_PER_STEP`] commissions, one of the others looks at up to [`super::HOLDS_PER_STEP`].
#[must_use]
pub fn decide(view: &dyn View, input: &CommissionInput<'_>, step: u32) -> (Vec<CommissionsEvent>, bool) {
    let mut desk = Desk::new(view, input);
    let mut more = false;
    let mut verdict = None;
    for event in input.events {
        match event {
            AttributedEvent::Passed { event: FactsEvent::ConfigOutcome(_), .. } => {}
            AttributedEvent::Passed { event: FactsEvent::DefectRetry(retry), .. } => {
                if retry.service == SERVICE {
                    desk.retry_parked(retry.source);
                }
            }
            AttributedEvent::Passed { event: FactsEvent::Tick, .. } => {
                // What this tick approves is paid by the schedules that it finds due: the next step sees it.
                let approves = desk.approve_due();
                more |= approves
                    || if desk.events.is_empty() { desk.run_schedules() } else { desk.schedule_is_due() };
            }
            AttributedEvent::Passed {
                event: FactsEvent::Config(fact @ ConfigFact { object: ConfigObject::Partner(partner), .. }),
                ..
            } => more |= desk.partner_changed(fact, partner, step),
            AttributedEvent::Passed {
                event:
                    FactsEvent::Fact(
                        fact @ Fact { body: FactBody::SubscriptionCancelled { subscription_id }, .. },
                    ),
                ..
            } => more |= desk.cancelled(fact, subscription_id, step),
            AttributedEvent::Passed {
                event: FactsEvent::Config(fact @ ConfigFact { object: ConfigObject::PayoutTerms(_), .. }),
                ..
            } => more |= desk.terms_changed(fact, step),
            AttributedEvent::Passed { event: FactsEvent::Verdict(given), .. } => verdict = Some(given),
            AttributedEvent::Passed {
                event: FactsEvent::Fact(fact @ Fact { body: FactBody::Payout(command), .. }),
                ..
            } => more |= desk.payout(fact, command),
            AttributedEvent::Passed {
                event: FactsEvent::Fact(fact @ Fact { body: FactBody::Rate(rate), .. }),
                ..
            } => more |= desk.rate(fact, rate, step),
            _ if step > 0 => {}
            AttributedEvent::Passed { event: FactsEvent::Config(fact), .. } => {
                if matches!(fact.object, ConfigObject::Program(_) | ConfigObject::Rule(_)) {
                    desk.emit(CommissionsEvent::Config(fact.clone()));
                }
                desk.is_config = true;
            }
            AttributedEvent::Passed { event: FactsEvent::Fact(fact), decision, .. } => {
                desk.fact(fact, decision.as_ref());
            }
            AttributedEvent::Late { decision, cause } => desk.late(decision, cause),
        }
    }
    desk.settle_debts();
    // An answer that was put off comes with the step that decides it.
    let answers = if step == 0 { !desk.answers_later } else { desk.command_answer.is_some() };
    if let Some(verdict) = verdict.filter(|_| answers) {
        desk.answer(verdict);
    }
    (desk.events, more)
}

/// What one `decide` has at hand: the state, and the events so far, which later ones build on.
pub(super) struct Desk<'view> {
    book: Book<'view>,
    pub(super) clock: Micros,
    pub(super) source: u64,
    pub(super) events: Vec<CommissionsEvent>,
    /// How many of `events` the book has applied. It catches up only when somebody reads: most frames never do.
    applied: usize,
    /// The sale that the frame's answer is about.
    pub(super) answers_about: Option<SaleKey>,
    /// What the frame's command came to.
    pub(super) command_answer: Option<Answer>,
    pub(super) is_config: bool,
    /// The frame's command needs another step.
    pub(super) answers_later: bool,
}

impl<'view> Desk<'view> {
    fn new(view: &'view dyn View, input: &CommissionInput<'_>) -> Self {
        Self {
            book: Book::new(view),
            clock: input.clock,
            source: input.source,
            events: Vec::new(),
            applied: 0,
            answers_about: None,
            command_answer: None,
            is_config: false,
            answers_later: false,
        }
    }

    /// A fact that takes one step.
    fn fact(&mut self, fact: &Fact, decision: Option<&Decision>) {
        match &fact.body {
            FactBody::Sale(sale) => self.sale(fact, sale, decision),
            FactBody::Reversal(reversal) => self.reversal(fact, reversal),
            FactBody::Command(command) => self.command(fact, command),
            FactBody::WriteOff(asked) => self.write_off(fact, asked),
            FactBody::PayoutDestination(destination) => self.destination(fact, destination),
            FactBody::SaleLink { external_id, aliases } => self.link(fact, external_id, aliases),
            FactBody::CustomerLink
            | FactBody::CouponDefinition { .. }
            | FactBody::SubscriptionCancelled { .. }
            | FactBody::Payout(_)
            | FactBody::Rate(_) => {}
        }
    }

    /// State before the frame.
    pub(super) const fn view(&self) -> &'view dyn View {
        self.book.view
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

    /// Drops what was read and applied: after a panic it may be half of something.
    pub(super) fn forget(&mut self) {
        self.book = Book::new(self.book.view);
        self.applied = 0;
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
        let mut looked_at = 0;
        for (key, value) in due.iter().take(APPROVALS_PER_STEP) {
            // A sale may have several.
            if self.events.len().saturating_sub(before) >= APPROVALS_PER_STEP {
                break;
            }
            self.approve_timer(key, value);
            looked_at = usize::saturating_add(looked_at, 1);
        }
        // A step that approves nothing would not change what the next one finds.
        due.len() > looked_at && self.events.len() > before
    }

    /// A pending commission becomes payable: `by` a person, or because the time has come in a program where that is enough.
    pub(super) fn approval(
        &mut self,
        program: &ProgramId,
        sale: &SaleKey,
        id: &CommissionId,
        by: Option<(&EventId, &Command)>,
    ) -> Result<Option<CommissionEvent>, AmountOutOfRange> {
        let clock = self.clock;
        let row = self.row(program, sale);
        let may = row.commission(id).is_some_and(|commission| match by {
            Some(_) => commission.status == CommissionStatus::Pending,
            None => commission.due().is_some_and(|due| due <= clock),
        });
        if !may {
            return Ok(None);
        }
        let Some(change) = Change::of(program, sale, row, id, by.map(|(event, _)| event)) else {
            return Ok(None);
        };
        let (held, mut reversed) = (change.held, change.reversed);
        let mut legs = change.legs(self);
        if change.gross < Minor::ZERO {
            // From now on it counts.
            reversed = Minor::ZERO;
            legs.charge(change.gross.negated()?)?;
        } else {
            legs.take(Bucket::of(CommissionStatus::Pending), held, held)?;
            legs.give(Bucket::Payable, held)?;
        }
        let after = After {
            status: CommissionStatus::Approved,
            reversed,
            postings: legs.finish(),
            reason: by.map_or_else(String::new, |(_, command)| command.reason.clone()),
            actor: by.map_or_else(|| SYSTEM.to_owned(), |(_, command)| command.actor.clone()),
            holds: Vec::new(),
        };
        change.event(CommissionEventKind::Approved, after).map(Some)
    }

    /// Answers a caller who waits. A command's answer is kept also when nobody does: a twin is told the same, whatever
    /// happened since.
    fn answer(&mut self, verdict: &Verdict) {
        let commanded = self.command_answer.take();
        let reply_to = verdict.reply_to.clone();
        if reply_to.is_none() && commanded.is_none() {
            return;
        }
        let (answer, duplicate) = match verdict.kind {
            // The normalizer answers refusals and changes of configuration.
            VerdictKind::Ignored | VerdictKind::Quarantined => return,
            VerdictKind::Applied if self.is_config => return,
            VerdictKind::Applied => {
                let about = self.answers_about.take();
                let row = about.map(|sale| self.row(&verdict.program, &sale));
                (commanded.unwrap_or_else(|| answer_of(&verdict.event, row)), false)
            }
            VerdictKind::Duplicate => (self.first_answer(&verdict.event), true),
        };
        self.emit(CommissionsEvent::Answer(AnswerRecorded { answer, reply_to, duplicate }));
    }

    /// What the first of several twins was told, or would have been.
    fn first_answer(&mut self, event: &EventId) -> Answer {
        match row(self.book.view, answer_key(event).bytes()) {
            Some(AnswerRow::Given(answer)) => answer,
            Some(AnswerRow::Sale(program, sale)) => {
                // What waited for its sale under another name is found where that sale is.
                let is_sale = self.row(&program, &sale).sale.is_some();
                let sale = if is_sale { sale } else { self.book().root(&program, &sale) };
                answer_of(event, Some(self.row(&program, &sale)))
            }
            None => Answer { declined: "unknown".to_owned(), ..answer_of(event, None) },
        }
    }
}

/// The answer to `event` about its sale: what its commission was at its creation; of a split, the first part.
fn answer_of(event: &EventId, row: Option<&SaleRow>) -> Answer {
    let sale = row.and_then(|row| row.sale.as_ref());
    let commission = row.and_then(|row| row.commissions.first());
    Answer {
        event: event.clone(),
        sale: sale.map(|sale| sale.id.clone()),
        commission: commission.map(|commission| commission.id.clone()),
        partner: commission
            .map(|commission| &commission.partner)
            .or(sale.and_then(|sale| sale.partner.as_ref()))
            .cloned(),
        amount: commission.map_or(Minor::ZERO, |commission| commission.gross),
        currency: commission.map(|commission| commission.currency).or(sale.map(|sale| sale.currency)),
        status: commission.map(|commission| commission.created_as),
        declined: String::new(),
        payout: None,
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
    pub(super) status: CommissionStatus,
    pub(super) holds: Vec<String>,
    cause: Option<EventId>,
}

/// What an event makes of it.
pub(super) struct After {
    pub(super) status: CommissionStatus,
    pub(super) reversed: Minor,
    pub(super) postings: Vec<Posting>,
    pub(super) reason: String,
    pub(super) actor: String,
    pub(super) holds: Vec<String>,
}

impl Change {
    pub(super) fn of(
        program: &ProgramId,
        key: &SaleKey,
        row: &SaleRow,
        id: &CommissionId,
        cause: Option<&EventId>,
    ) -> Option<Self> {
        let commission = row.commission(id)?;
        Some(Self {
            program: program.clone(),
            key: key.clone(),
            sale_id: commission.sale_id.clone(),
            currency: commission.currency,
            id: commission.id.clone(),
            partner: commission.partner.clone(),
            gross: commission.gross,
            reversed: commission.reversed,
            held: commission.held,
            status: commission.status,
            holds: commission.holds.clone(),
            cause: cause.cloned(),
        })
    }

    /// N.
    pub(super) fn net(&self) -> Result<Minor, AmountOutOfRange> {
        self.gross.minus(self.reversed)
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
            actor: after.actor,
            terms: None,
            holds: after.holds,
            payout: None,
        })
    }
}

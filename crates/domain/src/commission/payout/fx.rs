//! Rates, and commissions that wait for one: a payout that would convert without a rate holds what it would pay, and never
//! guesses.
use super::command::bare;
use super::rows::{Holder, Place, fx_held_all, fx_held_key};
use crate::commission::decide::{Change, Desk};
use crate::commission::holds::{FX_MISSING, SYSTEM, with, without};
use crate::commission::reversal::status_of;
use crate::commission::{
    CommissionEvent, CommissionEventKind, CommissionStatus, CommissionsEvent, HOLDS_PER_STEP, RateRecorded,
};
use crate::config::ConfigFact;
use crate::facts::Fact;
use crate::ids::{EventId, PartnerId, ProgramId};
use crate::money::{AmountOutOfRange, Currency};
use crate::payouts::Rate;
use crate::tables::Key;

/// Partners that one look passes over because they wait for another currency's rate.
const MOST_PARTNERS: usize = 10_000;

impl Desk<'_> {
    /// Step `step` of a rate; whether another follows. What waited for it waits no more.
    pub(in crate::commission) fn rate(&mut self, fact: &Fact, rate: &Rate, step: u32) -> bool {
        let declined = match () {
            () if !rate.is_usable() => "bad_rate",
            () if rate.actor.trim().is_empty() => "actor_required",
            () => "",
        };
        if step == 0 {
            let answer = bare(&fact.event, None, Some(rate.to), declined);
            self.command_answer = Some(answer);
            if declined.is_empty() {
                self.emit(CommissionsEvent::Rate(RateRecorded {
                    program: fact.program.clone(),
                    rate: rate.clone(),
                    event: fact.event.clone(),
                }));
            }
        }
        let waiting = fx_held_key(&fact.program, rate.from);
        declined.is_empty() && self.release_waiting(&fact.program, &waiting, Some(&fact.event))
    }

    /// Step `step` of a change of terms; whether another follows. Where nothing is converted any more nothing waits for a rate.
    pub(in crate::commission) fn terms_changed(&mut self, fact: &ConfigFact, step: u32) -> bool {
        if step == 0 {
            self.emit(CommissionsEvent::Config(fact.clone()));
            self.is_config = true;
        }
        self.release_waiting(&fact.program, &fx_held_all(&fact.program), None)
    }

    /// Releases up to [`HOLDS_PER_STEP`] commissions of a range that wait for a rate and need not; whether others are left.
    fn release_waiting(&mut self, program: &ProgramId, of: &Key, cause: Option<&EventId>) -> bool {
        let mut from = of.bytes().to_vec();
        let mut found: Vec<Place> = Vec::new();
        for _ in 0..MOST_PARTNERS {
            let Some((sale, id)) = self.book().fx_held((&from, &of.end()), 1).pop() else { break };
            let known = self.row(program, &sale).commission(&id);
            let Some((partner, currency)) = known.map(|known| (known.partner.clone(), known.currency)) else {
                break;
            };
            let theirs = fx_held_key(program, currency).text(&partner.0);
            if self.can_convert(program, &partner, currency) {
                let room = HOLDS_PER_STEP.saturating_add(1).saturating_sub(found.len());
                found.extend(self.book().fx_held((theirs.bytes(), &theirs.end()), room));
            }
            if found.len() > HOLDS_PER_STEP {
                break;
            }
            from = theirs.end();
        }
        let before = self.events.len();
        for place in found.iter().take(HOLDS_PER_STEP) {
            // An amount that does not fit cannot arise; if it did, the money would stay where it is.
            if let Ok(Some(event)) = self.released_by_rate(program, place, cause) {
                self.emit(CommissionsEvent::Commission(event));
            }
        }
        found.len() > HOLDS_PER_STEP && self.events.len() > before
    }

    /// Whether a balance can be paid: nothing is converted, or there is a rate.
    fn can_convert(&mut self, program: &ProgramId, partner: &PartnerId, currency: Currency) -> bool {
        let pay_in = self.book().terms(program, partner).pay_in.filter(|to| *to != currency);
        pay_in.is_none_or(|to| self.book().rate(program, currency, to).is_some())
    }

    fn released_by_rate(
        &mut self,
        program: &ProgramId,
        (sale, id): &Place,
        cause: Option<&EventId>,
    ) -> Result<Option<CommissionEvent>, AmountOutOfRange> {
        let row = self.row(program, sale);
        let Some(change) = Change::of(program, sale, row, id, cause) else { return Ok(None) };
        let holds = without(&change.holds, &[FX_MISSING.to_owned()]);
        let to = status_of(&holds, CommissionStatus::Pending);
        let said = (FX_MISSING.to_owned(), SYSTEM);
        self.moved(change, CommissionEventKind::HoldReleased, to, holds, said).map(Some)
    }

    /// Holds commissions of a balance until there is a rate.
    pub(super) fn hold_without_rate(&mut self, holder: &Holder, places: &[Place], cause: Option<&EventId>) {
        let hold = [FX_MISSING.to_owned()];
        for (sale, id) in places {
            let row = self.row(&holder.program, sale);
            let may = row.commission(id).is_some_and(|commission| {
                commission.status == CommissionStatus::Approved
                    && commission.can_be_held()
                    // A person decided otherwise.
                    && !commission.released.iter().any(|known| known == FX_MISSING)
            });
            if !may {
                continue;
            }
            let Some(change) = Change::of(&holder.program, sale, row, id, cause) else { continue };
            let holds = with(&change.holds, &hold);
            let said = (FX_MISSING.to_owned(), SYSTEM);
            if let Ok(event) =
                self.moved(change, CommissionEventKind::Review, CommissionStatus::Review, holds, said)
            {
                self.emit(CommissionsEvent::Commission(event));
            }
        }
    }
}

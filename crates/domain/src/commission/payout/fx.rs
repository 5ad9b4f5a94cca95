//! Rates, and commissions that wait for one: a payout that would convert without a rate holds what it would pay, and never
//! guesses.
use super::command::bare;
use super::rows::{Holder, Place, fx_held_key};
use crate::commission::decide::{Change, Desk};
use crate::commission::holds::{FX_MISSING, SYSTEM, with, without};
use crate::commission::reversal::status_of;
use crate::commission::{
    CommissionEvent, CommissionEventKind, CommissionStatus, CommissionsEvent, HOLDS_PER_STEP, RateRecorded,
};
use crate::facts::Fact;
use crate::ids::EventId;
use crate::money::AmountOutOfRange;
use crate::payouts::Rate;

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
        declined.is_empty() && self.release_waiting(fact, rate)
    }

    /// Releases up to [`HOLDS_PER_STEP`] commissions that wait for this rate; whether others are left.
    fn release_waiting(&mut self, fact: &Fact, rate: &Rate) -> bool {
        let of = fx_held_key(&fact.program, rate.from);
        let mut from = of.bytes().to_vec();
        let mut found: Vec<Place> = Vec::new();
        for _ in 0..MOST_PARTNERS {
            let next = self.book().fx_held((&from, &of.end()), 1).pop();
            let Some((sale, id)) = next else { break };
            let Some(partner) =
                self.row(&fact.program, &sale).commission(&id).map(|known| known.partner.clone())
            else {
                break;
            };
            let mine = of.clone().text(&partner.0);
            let pay_in = self.book().terms(&fact.program, &partner).pay_in;
            // Also where nothing is converted any more.
            if pay_in.is_none_or(|to| to == rate.to || to == rate.from) {
                let room = HOLDS_PER_STEP.saturating_add(1).saturating_sub(found.len());
                found.extend(self.book().fx_held((mine.bytes(), &mine.end()), room));
            }
            if found.len() > HOLDS_PER_STEP {
                break;
            }
            from = mine.end();
        }
        let before = self.events.len();
        for place in found.iter().take(HOLDS_PER_STEP) {
            // An amount that does not fit cannot arise; if it did, the money would stay where it is.
            if let Ok(Some(event)) = self.rate_came(fact, place) {
                self.emit(CommissionsEvent::Commission(event));
            }
        }
        found.len() > HOLDS_PER_STEP && self.events.len() > before
    }

    fn rate_came(
        &mut self,
        fact: &Fact,
        (sale, id): &Place,
    ) -> Result<Option<CommissionEvent>, AmountOutOfRange> {
        let row = self.row(&fact.program, sale);
        let Some(change) = Change::of(&fact.program, sale, row, id, Some(&fact.event)) else {
            return Ok(None);
        };
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

//! Schedules: drafts that nobody asks for, made by the tick that finds them due. A moment that passed while nothing ran is
//! made up for once.
use super::draft::{Draft, Drafted};
use super::rows::{Holder, TermsRow, due_until};
use crate::commission::decide::Desk;
use crate::commission::state::{BalanceRow, balances_key};
use crate::commission::{CommissionsEvent, MAX_PAYOUT_LINES, ScheduleRan};
use crate::ids::{PartnerId, PayoutId, ProgramId};
use crate::money::Currency;
use crate::tables::decode;
use crate::time::Micros;

/// Who drafts.
const SCHEDULE: &str = "schedule";

/// Balances that one step looks at.
const BALANCES_PER_STEP: usize = 200;

/// Events that one step of a schedule makes, but for the last of its payouts.
const EVENTS_PER_STEP: usize = MAX_PAYOUT_LINES;

impl Desk<'_> {
    pub(in crate::commission) fn schedule_is_due(&self) -> bool {
        let (from, until) = due_until(self.clock);
        !self.view().range(from.bytes(), until.bytes(), 1).is_empty()
    }

    /// Goes on with the schedule that is due first; whether anything is left to do.
    pub(in crate::commission) fn run_schedules(&mut self) -> bool {
        let (from, until) = due_until(self.clock);
        let due = self.view().range(from.bytes(), until.bytes(), 2);
        let Some((_, value)) = due.first() else { return false };
        let (program, partner): (ProgramId, PartnerId) = decode(value);
        let Some(TermsRow { terms, due: Some(moment), after }) = self.book().terms_row(&program, &partner)
        else {
            return false;
        };
        let (last, is_done) = self.run_schedule(&program, &partner, moment, after);
        let next = terms.schedule.next_after(self.clock.max(moment));
        self.emit(CommissionsEvent::Schedule(ScheduleRan {
            program,
            partner,
            due: moment,
            after: if is_done { None } else { last },
            next_due: if is_done { next.unwrap_or(Micros(i64::MAX)) } else { moment },
        }));
        !is_done || due.len() > 1
    }

    /// Drafts for the balances after one, as many as a step has room for: the last one that is done with, and whether it was
    /// the last of all.
    fn run_schedule(
        &mut self,
        program: &ProgramId,
        partner: &PartnerId,
        moment: Micros,
        after: Option<(PartnerId, Currency)>,
    ) -> (Option<(PartnerId, Currency)>, bool) {
        let of = balances_key(program, partner);
        let from = match &after {
            None => of.bytes().to_vec(),
            Some((of, currency)) => balances_key(program, of).text(currency.code()).end(),
        };
        let found = self.view().range(&from, &of.end(), BALANCES_PER_STEP.saturating_add(1));
        let before = self.events.len();
        let mut last = after;
        for (key, value) in found.iter().take(BALANCES_PER_STEP) {
            let Some((owner, currency)) = owner_of(key) else { continue };
            let holder = Holder { program: program.clone(), partner: owner.clone(), currency };
            let is_ours = *partner == owner || self.book().terms_row(program, &owner).is_none();
            let balance: BalanceRow = decode(value);
            if is_ours && balance.available > 0 && !self.draft_all(&holder, moment, before) {
                return (last, false);
            }
            last = Some((owner, currency));
        }
        (last, found.len() <= BALANCES_PER_STEP)
    }

    /// Drafts everything payable of one balance. False: this step has no room for all of it.
    fn draft_all(&mut self, holder: &Holder, moment: Micros, before: usize) -> bool {
        for number in 0.. {
            if self.events.len().saturating_sub(before) >= EVENTS_PER_STEP {
                return false;
            }
            let id = PayoutId::of_schedule(
                &holder.program,
                &holder.partner,
                holder.currency.code(),
                moment.0,
                number,
            );
            if self.book().payout(&id).is_some() {
                continue;
            }
            let draft = Draft {
                holder: holder.clone(),
                id,
                ignore_minimum: false,
                cause: None,
                reference: "",
                reason: "",
                actor: SCHEDULE,
            };
            let start = self.events.len();
            match self.draft(&draft) {
                Ok(Drafted::Unfinished) => return false,
                Ok(Drafted::Done { lines }) if lines == MAX_PAYOUT_LINES => {}
                Ok(Drafted::Done { .. } | Drafted::NoRate) => return true,
                Err(_) => {
                    // Below the minimum, in debt or suspended: the next period looks again.
                    self.undo_to(start);
                    return true;
                }
            }
        }
        true
    }
}

/// Whose balance is under a key: after the table byte the program, the partner and the currency, each ended by a zero byte.
fn owner_of(key: &[u8]) -> Option<(PartnerId, Currency)> {
    let mut parts = key.get(1..)?.split(|byte| *byte == 0).skip(1);
    let mut text = || parts.next().and_then(|part| std::str::from_utf8(part).ok());
    let partner = PartnerId::from(text()?);
    Some((partner, Currency::parse(text()?)?))
}

//! Rates, and commissions that wait for one: a payout that would convert without a rate holds what it would pay, and never
//! guesses.
use super::rows::{Holder, Place};
use crate::commission::decide::{Change, Desk};
use crate::commission::holds::{FX_MISSING, SYSTEM, with};
use crate::commission::{CommissionEventKind, CommissionStatus, CommissionsEvent};
use crate::ids::EventId;

impl Desk<'_> {
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
            // An amount that does not fit cannot arise; if it did, the money would stay where it is.
            if let Ok(event) =
                self.moved(change, CommissionEventKind::Review, CommissionStatus::Review, holds, said)
            {
                self.emit(CommissionsEvent::Commission(event));
            }
        }
    }
}

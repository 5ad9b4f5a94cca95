//! A partner is suspended, or active again: what is unpaid waits meanwhile.
use super::decide::{Change, Desk};
use super::holds::{PARTNER_SUSPENDED, with, without};
use super::reversal::status_of;
use super::state::holdable_key;
use super::{CommissionEvent, CommissionEventKind, CommissionStatus, CommissionsEvent, HOLDS_PER_STEP};
use crate::attribution::SaleKey;
use crate::config::{ConfigFact, Partner};
use crate::ids::CommissionId;
use crate::money::AmountOutOfRange;
use crate::tables::decode;

impl Desk<'_> {
    /// Step `step` of a change of a partner; whether another follows. Each step looks at those that the one before left,
    /// because what is held stands apart from what is not.
    pub(super) fn partner_changed(&mut self, fact: &ConfigFact, partner: &Partner, step: u32) -> bool {
        let active = partner.active && !fact.removed;
        if step == 0 {
            let was_active = self.book().partner(&fact.program, &partner.partner).active;
            self.emit(CommissionsEvent::Config(fact.clone()));
            self.is_config = true;
            if was_active == active {
                return false;
            }
        }
        let of = holdable_key(&fact.program, &partner.partner, active);
        let rows = self.view().range(of.bytes(), &of.end(), HOLDS_PER_STEP.saturating_add(1));
        let before = self.events.len();
        for (_, value) in rows.iter().take(HOLDS_PER_STEP) {
            let (sale, id): (SaleKey, CommissionId) = decode(value);
            // An amount that does not fit cannot arise; if it did, the money would stay where it is.
            if let Ok(Some(event)) = self.suspended(fact, &sale, &id, active) {
                self.emit(CommissionsEvent::Commission(event));
            }
        }
        // A step that changes nothing would not change what the next one finds.
        rows.len() > HOLDS_PER_STEP && self.events.len() > before
    }

    fn suspended(
        &mut self,
        fact: &ConfigFact,
        sale: &SaleKey,
        id: &CommissionId,
        active: bool,
    ) -> Result<Option<CommissionEvent>, AmountOutOfRange> {
        let row = self.row(&fact.program, sale);
        let Some(change) = Change::of(&fact.program, sale, row, id, None) else { return Ok(None) };
        let hold = [PARTNER_SUSPENDED.to_owned()];
        let (kind, to, holds) = if active {
            let holds = without(&change.holds, &hold);
            (CommissionEventKind::HoldReleased, status_of(&holds, CommissionStatus::Pending), holds)
        } else {
            (CommissionEventKind::Review, CommissionStatus::Review, with(&change.holds, &hold))
        };
        self.moved(change, kind, to, holds, (PARTNER_SUSPENDED.to_owned(), &fact.actor)).map(Some)
    }
}

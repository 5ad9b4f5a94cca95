//! Holds: a set on each commission. What is in it keeps the commission from being approved; each leaves by an event of its
//! own, and nothing expires into payment.
use super::decide::Desk;
use super::live::open_disputes;
use super::reversal::status_of;
use super::state::CommissionRow;
use super::{CommissionStatus, SaleRecorded};
use crate::attribution::SaleKey;
use crate::ids::{CommissionId, ProgramId};
use crate::time::Micros;

/// Leaves by the tick at `hold_until`, or when a person approves after that moment.
pub const TIME: &str = "time";

/// The actor of what nobody decided.
pub(super) const SYSTEM: &str = "system";

/// Comes when the partner is suspended and leaves when it is active again, or by a person.
pub const PARTNER_SUSPENDED: &str = "partner_suspended";

/// Comes with a payout that would convert without a rate, and leaves with a rate from its currency, or by a person.
pub const FX_MISSING: &str = "fx_missing";

const MANUAL: &str = "manual";
const FRAUD: &str = "fraud:";
const DISPUTE: &str = "dispute:";
const CANCELLED_SUBSCRIPTION: &str = "cancelled_subscription:";

/// The hold of an open dispute, or of the warning of one: leaves when it is decided, or by a person.
#[must_use]
pub fn dispute(object_id: &str) -> String {
    format!("{DISPUTE}{object_id}")
}

/// The hold of a subscription that is over: leaves by a person.
#[must_use]
pub fn cancelled_subscription(subscription_id: &str) -> String {
    format!("{CANCELLED_SUBSCRIPTION}{subscription_id}")
}

/// The hold of a check for fraud: leaves by a person.
#[must_use]
pub fn fraud(rule: &str) -> String {
    format!("{FRAUD}{rule}")
}

/// Whether a person may add a hold of this name; the others come with what they are named after.
#[must_use]
pub fn may_be_added(hold: &str) -> bool {
    let named = |prefix: &str| hold.strip_prefix(prefix).is_some_and(|name| !name.is_empty());
    hold == MANUAL || named("manual:") || named(FRAUD)
}

/// Whether anything but time holds: a commission with such a hold is in review while it is unpaid.
pub(super) fn is_in_review(holds: &[String]) -> bool {
    holds.iter().any(|hold| hold != TIME)
}

/// Whether facts alone put the hold there and take it away again.
fn follows_facts(hold: &str) -> bool {
    hold.starts_with(DISPUTE) || hold.starts_with(CANCELLED_SUBSCRIPTION)
}

/// What a fact changed about the holds of a commission.
#[derive(Debug, Default)]
pub(super) struct HoldChange {
    pub(super) added: Vec<String>,
    pub(super) released: Vec<String>,
}

impl HoldChange {
    /// From what the commission has to what the facts want now.
    pub(super) fn between(commission: &CommissionRow, wanted: &[String]) -> Self {
        let added = wanted.iter().filter(|hold| !commission.holds.contains(hold));
        let released = commission.holds.iter().filter(|hold| follows_facts(hold) && !wanted.contains(hold));
        Self { added: added.cloned().collect(), released: released.cloned().collect() }
    }
}

/// `holds` with others added, sorted.
pub(super) fn with(holds: &[String], added: &[String]) -> Vec<String> {
    let mut all = [holds, added].concat();
    all.sort_unstable();
    all.dedup();
    all
}

/// `holds` without some.
pub(super) fn without(holds: &[String], released: &[String]) -> Vec<String> {
    holds.iter().filter(|hold| !released.contains(hold)).cloned().collect()
}

impl Desk<'_> {
    /// The holds that the facts about a sale want on one of its commissions, sorted: a function of their set and of what a person
    /// released by name, never of their order.
    pub(super) fn wanted_holds(
        &mut self,
        program: &ProgramId,
        key: &SaleKey,
        id: &CommissionId,
    ) -> Vec<String> {
        let row = self.row(program, key);
        let Some(commission) = row.commission(id) else { return Vec::new() };
        let (mut wanted, released) = (commission.by_hand.clone(), commission.released.clone());
        let Some(sale) = &row.sale else { return wanted };
        wanted.extend(open_disputes(sale, &row.reversals));
        wanted.extend(sale.facets.details.fraud.iter().map(|rule| fraud(rule)));
        if !sale.subscription_id.is_empty() {
            let (subscription, occurred_at) = (sale.subscription_id.clone(), sale.occurred_at);
            wanted.extend(self.cancellation(program, key, &subscription, occurred_at));
        }
        wanted.retain(|hold| !released.contains(hold));
        wanted.sort_unstable();
        wanted
    }

    /// What holds a commission that comes back from its end, sorted, and where that puts it.
    pub(super) fn returning(
        &mut self,
        program: &ProgramId,
        key: &SaleKey,
        id: &CommissionId,
    ) -> (CommissionStatus, Vec<String>) {
        let mut holds = self.wanted_holds(program, key, id);
        let known = self.row(program, key).commission(id);
        let known = known.map(|commission| (commission.was_approved, commission.partner.clone()));
        let Some((was_approved, partner)) = known else { return (CommissionStatus::Review, holds) };
        if !was_approved {
            holds.push(TIME.to_owned());
        }
        if !self.book().partner(program, &partner).active {
            holds.push(PARTNER_SUSPENDED.to_owned());
        }
        let holds = with(&holds, &[]);
        let rest = if was_approved { CommissionStatus::Approved } else { CommissionStatus::Pending };
        (status_of(&holds, rest), holds)
    }

    /// The same of a sale that is being recorded.
    pub(super) fn holds_of_new(&mut self, sale: &SaleRecorded) -> Vec<String> {
        let mut wanted = open_disputes(sale, &self.row(&sale.program, &sale.sale).reversals);
        wanted.extend(sale.facets.details.fraud.iter().map(|rule| fraud(rule)));
        if !sale.subscription_id.is_empty() {
            let hold = self.cancellation(&sale.program, &sale.sale, &sale.subscription_id, sale.occurred_at);
            wanted.extend(hold);
        }
        wanted
    }

    /// The hold of a sale that happened no later than its subscription ended.
    fn cancellation(
        &mut self,
        program: &ProgramId,
        sale: &SaleKey,
        subscription: &str,
        occurred_at: Micros,
    ) -> Option<String> {
        let ended = self.book().ended(program, &sale.source, subscription)?;
        (occurred_at <= ended).then(|| cancelled_subscription(subscription))
    }
}

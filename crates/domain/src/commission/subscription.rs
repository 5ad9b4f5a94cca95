//! A subscription is over: what is unpaid of it and happened no later waits for a person.
use super::decide::Desk;
use super::state::subscription_key;
use super::{CommissionsEvent, SubscriptionOver};
use crate::attribution::SaleKey;
use crate::facts::Fact;
use crate::tables::decode;

/// How many commissions of a subscription one step looks at, so that a frame stays small.
pub const HOLDS_PER_STEP: usize = 250;

impl Desk<'_> {
    /// Step `step` of a cancellation; whether another follows. Sales that arrive later find the record of step 0.
    pub(super) fn cancelled(&mut self, fact: &Fact, subscription: &str, step: u32) -> bool {
        let known = self.book().ended(&fact.program, &fact.source, subscription);
        if known.is_some_and(|known| known > fact.occurred_at) {
            // A later end holds everything that this one would.
            return false;
        }
        if known != Some(fact.occurred_at) {
            self.emit(CommissionsEvent::Cancelled(SubscriptionOver {
                program: fact.program.clone(),
                source: fact.source.clone(),
                subscription_id: subscription.to_owned(),
                ended_at: fact.occurred_at,
                event: fact.event.clone(),
            }));
        }
        let of = subscription_key(&fact.program, &fact.source, subscription);
        let end = of.clone().number(fact.occurred_at.0.saturating_add(1));
        // Held ones stay in the range: each step begins where the one before it ended.
        let before = usize::try_from(step).unwrap_or(usize::MAX).saturating_mul(HOLDS_PER_STEP);
        let until = before.saturating_add(HOLDS_PER_STEP);
        let rows = self.view().range(of.bytes(), end.bytes(), until.saturating_add(1));
        for (_, value) in rows.iter().take(until).skip(before) {
            let sale: SaleKey = decode(value);
            self.settle_holds(&fact.program, &sale, &fact.event);
        }
        rows.len() > until
    }
}

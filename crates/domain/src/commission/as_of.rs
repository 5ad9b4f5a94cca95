//! Balances of another time: of what was decided until then, or of what had happened until then and is known by now.
use super::balances::Balances;
use super::forecast::decided;
use super::{CommissionInput, CommissionsEvent};
use crate::attribution::AttributedEvent;
use crate::facts::{Fact, FactBody};
use crate::money::AmountOutOfRange;
use crate::normalization::FactsEvent;
use crate::tables::MemoryTables;
use crate::time::Micros;

/// Folds what one accepted frame posted.
///
/// # Errors
/// [`AmountOutOfRange`]: no event that the ledger writes leads there.
pub fn fold(balances: &mut Balances, events: &[CommissionsEvent]) -> Result<(), AmountOutOfRange> {
    events.iter().try_for_each(|event| match event {
        CommissionsEvent::Commission(event) => balances.apply(event),
        CommissionsEvent::WrittenOff(event) => balances.write_off(event),
        _ => Ok(()),
    })
}

/// The ledger as it would have stood at a moment, had all been there that is known by a later one. It decides anew, with the
/// rules of that moment: what came later from outside and had happened by then counts; what people did later does not.
#[derive(Debug)]
pub struct Known {
    at: Micros,
    tables: MemoryTables,
    balances: Balances,
    result: Result<(), AmountOutOfRange>,
}

impl Known {
    /// Before the first frame; `at`: the moment.
    #[must_use]
    pub fn new(at: Micros) -> Self {
        Self { at, tables: MemoryTables::default(), balances: Balances::default(), result: Ok(()) }
    }

    /// Takes one frame of `attributed`, in order.
    pub fn frame(&mut self, input: &CommissionInput<'_>) {
        let is_late = input.clock > self.at;
        if input.events.iter().all(|event| self.counts(event, is_late)) {
            self.decide(&CommissionInput { clock: input.clock.min(self.at), ..*input });
        }
    }

    /// The balances, after a last tick at the moment itself.
    ///
    /// # Errors
    /// As [`fold`].
    pub fn finish(mut self) -> Result<Balances, AmountOutOfRange> {
        let tick =
            [AttributedEvent::Passed { bytes: bytes::Bytes::new(), event: FactsEvent::Tick, decision: None }];
        self.decide(&CommissionInput { source: 0, clock: self.at, events: &tick });
        self.result.map(|()| self.balances)
    }

    fn decide(&mut self, input: &CommissionInput<'_>) {
        let Self { tables, balances, result, .. } = self;
        decided(tables, input, |events| {
            if result.is_ok() {
                *result = fold(balances, events);
            }
        });
    }

    /// A frame with anything that does not count is left out with all that it led to.
    fn counts(&self, event: &AttributedEvent, is_late: bool) -> bool {
        match event {
            AttributedEvent::Passed { event: FactsEvent::Fact(fact), .. } => {
                fact.occurred_at <= self.at && (!is_late || is_told_by_the_world(fact))
            }
            AttributedEvent::Passed { event: FactsEvent::Config(_) | FactsEvent::Tick, .. } => !is_late,
            _ => true,
        }
    }
}

/// Against what people say to the ledger, which counts from the moment when they say it.
const fn is_told_by_the_world(fact: &Fact) -> bool {
    matches!(
        fact.body,
        FactBody::Sale(_)
            | FactBody::Reversal(_)
            | FactBody::CustomerLink
            | FactBody::CouponDefinition { .. }
            | FactBody::SubscriptionCancelled { .. }
            | FactBody::SaleLink { .. }
    )
}

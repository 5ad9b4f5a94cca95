//! Offsets that the brokers told, apart from those that the client made up.
//!
//! A broker may say of a request that it has it already, without saying where (`DUPLICATE_SEQUENCE_NUMBER`). The client counts
//! that as delivered and numbers the records of the request from -1 on: -1, 0, 1, 2. Only the first of them looks unknown. Taken
//! at its word, the second would be an acknowledgement below everything that was read, which is how a lost tail looks.
use crate::log::Offset;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Looks at the offsets of delivery reports, which come in the order of each partition.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Whether `made_up` has an entry: it hardly ever has, and each record asks.
    any: AtomicBool,
    /// By partition: the last offset of a run that began below 0.
    made_up: Mutex<BTreeMap<i32, i64>>,
}

impl Told {
    /// The offset of the next record of `partition`, of which the client says `offset`; `None` when nobody told it.
    pub(super) fn offset(&self, partition: i32, offset: i64) -> Option<Offset> {
        if offset < 0 || self.any.load(Ordering::Relaxed) {
            let mut runs = self.made_up.lock().unwrap_or_else(PoisonError::into_inner);
            // What follows such a run for real is at least one further: the run's records are all before it.
            if offset < 0 || runs.get(&partition).is_some_and(|last| offset == last + 1) {
                runs.insert(partition, offset);
                self.any.store(true, Ordering::Relaxed);
                return None;
            }
            runs.remove(&partition);
            self.any.store(!runs.is_empty(), Ordering::Relaxed);
        }
        u64::try_from(offset).ok().map(Offset)
    }
}

#[cfg(test)]
mod tests {
    use super::Told;
    use crate::log::Offset;

    #[test]
    fn offsets_that_follow_an_unknown_one_by_counting_are_unknown_too() {
        let told = Told::default();
        let seen = |partition, offsets: &[i64]| -> Vec<Option<u64>> {
            offsets
                .iter()
                .map(|offset| told.offset(partition, *offset).map(|Offset(offset)| offset))
                .collect()
        };
        assert_eq!(seen(0, &[0, 1, 2]), [Some(0), Some(1), Some(2)]);
        // Three records at 3, 4 and 5 of which nobody said where they are, beside another partition; then the next one.
        assert_eq!(seen(0, &[-1, 0]), [None, None]);
        assert_eq!(seen(1, &[1, 2]), [Some(1), Some(2)]);
        assert_eq!(seen(0, &[1, 6, 7]), [None, Some(6), Some(7)]);
        // The very first records of a topic, then two requests in a row.
        assert_eq!(seen(2, &[-1, 0, 2, -1, 0, -1, 6]), [None, None, Some(2), None, None, None, Some(6)]);
        assert_eq!(seen(2, &[-1001, -1000, 9]), [None, None, Some(9)]);
    }
}

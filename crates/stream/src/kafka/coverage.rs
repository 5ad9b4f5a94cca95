//! Whether a group has named somebody for every partition.
//!
//! The member that leads a group divides what a broker tells it of the topic at that moment, and a broker that has just
//! come back may tell of a topic before it knows its partitions. The group would then settle with partitions that nobody
//! has, and stay so: the client compares later metadata with what it knew before, and finds nothing new. So each member
//! asks, after each assignment, who has what.
use super::context::unavailable;
use crate::log::{LogError, Partition};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use std::collections::BTreeSet;
use std::time::Duration;

/// The state of a group in which its assignment is known and in force.
const STABLE: &str = "Stable";

/// The partitions below `count` of `topic` that no member of `group` is named for; `None` while a rebalance is under way.
///
/// # Errors
/// [`LogError::Unavailable`] when the brokers do not answer in time, [`LogError::Corrupt`] when an assignment cannot be read.
pub(super) fn missing<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    group: &str,
    (topic, count): (&str, u32),
    timeout: Duration,
) -> Result<Option<BTreeSet<Partition>>, LogError> {
    let groups = consumer
        .fetch_group_list(Some(group), timeout)
        .map_err(|error| unavailable("group not described", &error))?;
    let Some(found) = groups.groups().iter().find(|found| found.name() == group && found.state() == STABLE)
    else {
        return Ok(None);
    };
    let mut missing: BTreeSet<_> = (0..count).map(Partition).collect();
    for member in found.members() {
        let assignment = member.assignment().unwrap_or_default();
        let named = named(assignment, topic).ok_or_else(|| {
            LogError::Corrupt(format!("the assignment of {} in group {group} cannot be read", member.id()))
        })?;
        missing.retain(|partition| !named.contains(partition));
    }
    Ok(Some(missing))
}

/// The partitions of `topic` in a member's assignment, as Kafka's consumer protocol writes it: a version (int16), then of
/// each topic its name (int16 length and bytes) and its partitions (int32 each, after their int32 number). What follows is
/// not of interest. Empty: the member is given nothing. `None`: it is cut off.
fn named(assignment: &[u8], topic: &str) -> Option<BTreeSet<Partition>> {
    let mut found = BTreeSet::new();
    if assignment.is_empty() {
        return Some(found);
    }
    let mut rest = Bytes(assignment);
    let _version = rest.int16()?;
    for _ in 0..rest.int32()? {
        let length = usize::try_from(rest.int16()?).ok()?;
        let is_wanted = rest.take(length)? == topic.as_bytes();
        for _ in 0..rest.int32()? {
            let number = rest.int32()?;
            if is_wanted {
                found.insert(Partition(u32::try_from(number).ok()?));
            }
        }
    }
    Some(found)
}

/// What is still to be read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn int16(&mut self) -> Option<i16> {
        Some(i16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn int32(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Version 1, topic `other` with partition 9, topic `t` with partitions 0 and 3, no user data.
    const ASSIGNMENT: [u8; 43] = [
        0, 1, 0, 0, 0, 2, 0, 5, b'o', b't', b'h', b'e', b'r', 0, 0, 0, 1, 0, 0, 0, 9, 0, 1, b't', 0, 0, 0, 2,
        0, 0, 0, 0, 0, 0, 0, 3, 255, 255, 255, 255, 0, 0, 0,
    ];

    #[test]
    fn an_assignment_names_its_partitions_and_one_that_is_cut_off_names_nothing() {
        let partitions =
            |numbers: &[u32]| Some(numbers.iter().copied().map(Partition).collect::<BTreeSet<_>>());
        assert_eq!(named(&ASSIGNMENT, "t"), partitions(&[0, 3]));
        assert_eq!(named(&ASSIGNMENT, "other"), partitions(&[9]));
        assert_eq!(named(&ASSIGNMENT, "oth"), partitions(&[]));
        assert_eq!(named(&[], "t"), partitions(&[]));
        for length in 1..36 {
            assert_eq!(named(&ASSIGNMENT[..length], "t"), None, "{length} bytes");
        }
    }
}

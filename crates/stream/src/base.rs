//! Where positions of `ingest` are in this log.
//!
//! Facts name their input by its *position*, for ever. In the log where a record was first appended that is its offset. A
//! log that was imported begins with a *base record*: it says which position comes next, so that position = offset + a shift,
//! for what was imported and for what comes after it. It also says up to which position it believes what records say of the
//! time at which they were first appended (rule 11): nobody can claim a time for a record of their own, since that comes
//! after what was imported.
//!
//! The base record may expire as any record of `ingest`. By then the normalizer has written frames here, and each frame of
//! `facts` tells both: its content the position, its envelope the offset.
use crate::log::{Log, LogError, Offset, Partition, Record, Topic};
use domain::time::Micros;
use wire::envelope::{self, Kind};
use wire::ingest::IngestRecord;

/// The numbering of one partition of `ingest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// Position = offset + shift. Below zero where position 0 was imported behind a base record.
    shift: i64,
    /// Only below this position is [`Record::imported_at`] believed.
    believed_below: u64,
    /// The first offset that holds an event or a tick.
    first: Offset,
}

impl Base {
    /// Of a log where every record's position is its offset.
    pub const NONE: Self = Self { shift: 0, believed_below: 0, first: Offset(0) };

    /// Looks it up.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn of(log: &dyn Log, partition: Partition) -> Result<Self, LogError> {
        let bounds = log.bounds(Topic::Ingest, partition).await?;
        let Base { shift, believed_below, .. } = Self::NONE;
        let plain = Self { shift, believed_below, first: bounds.start };
        if bounds.end > bounds.start
            && let Some(record) = log.record_at(Topic::Ingest, partition, bounds.start).await?
            && let Some(base) = Self::in_record(&record)
        {
            return Ok(base);
        }
        if bounds.start.0 == 0 {
            return Ok(plain);
        }
        let shift = shift_of_last_frame(log, partition).await?.unwrap_or(plain.shift);
        Ok(Self { shift, ..plain })
    }

    /// What a base record says; `None`: it is another record.
    #[must_use]
    pub fn in_record(record: &Record) -> Option<Self> {
        let Ok(IngestRecord::Base { first_position, end_position }) = wire::ingest::decode(&record.value)
        else {
            return None;
        };
        let first = record.offset.next();
        let shift = i64::try_from(first_position).ok()?.checked_sub_unsigned(first.0)?;
        Some(Self { shift, believed_below: end_position, first })
    }

    /// The position of the record at `offset`; `None` before the first position: the base record itself.
    #[must_use]
    pub const fn position(&self, offset: Offset) -> Option<u64> {
        offset.0.checked_add_signed(self.shift)
    }

    /// The offset of the record at `position`; `None`: it was never in this log.
    #[must_use]
    pub const fn offset(&self, position: u64) -> Option<Offset> {
        match 0_i64.checked_sub(self.shift) {
            Some(back) => match position.checked_add_signed(back) {
                Some(offset) => Some(Offset(offset)),
                None => None,
            },
            None => None,
        }
    }

    /// The first offset that holds an event or a tick: after the base record, if there is one.
    #[must_use]
    pub const fn first(&self) -> Offset {
        self.first
    }

    /// When the record was appended: here, or in the log that it was imported from (rule 11).
    #[must_use]
    pub fn time_of(&self, record: &Record) -> Micros {
        let believed = self.position(record.offset).is_some_and(|position| position < self.believed_below);
        record.imported_at.filter(|_| believed).unwrap_or(record.appended_at)
    }
}

/// What the last frame of `facts` says of the distance between positions and offsets.
async fn shift_of_last_frame(log: &dyn Log, partition: Partition) -> Result<Option<i64>, LogError> {
    let bounds = log.bounds(Topic::Facts, partition).await?;
    for offset in (bounds.start.0..bounds.end.0).rev().map(Offset) {
        let Some(record) = log.record_at(Topic::Facts, partition, offset).await? else { break };
        let Ok((envelope, content)) = envelope::decode(&record.value) else { continue };
        if envelope.kind == Kind::Frame
            && let Ok(frame) = wire::frame::decode(&content)
        {
            let position = i64::try_from(frame.source).ok();
            return Ok(position.and_then(|position| position.checked_sub_unsigned(envelope.input_offset)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use bytes::Bytes;

    fn record(offset: u64, value: Bytes, imported_at: Option<i64>) -> Record {
        let imported_at = imported_at.map(Micros);
        Record { offset: Offset(offset), appended_at: Micros(9_000), key: Bytes::new(), value, imported_at }
    }

    fn base(at: u64, first_position: u64, end_position: u64) -> Base {
        let value = wire::ingest::encode(&IngestRecord::Base { first_position, end_position });
        Base::in_record(&record(at, value, None)).unwrap()
    }

    #[test]
    fn positions_and_offsets_are_one_to_one_from_position_zero_on() {
        let from_zero = base(0, 0, 10);
        assert_eq!((from_zero.position(Offset(0)), from_zero.position(Offset(1))), (None, Some(0)));
        assert_eq!((from_zero.offset(0), from_zero.first()), (Some(Offset(1)), Offset(1)));
        let expired = base(0, 1_000, 1_010);
        assert_eq!((expired.position(Offset(1)), expired.offset(1_000)), (Some(1_000), Some(Offset(1))));
        assert_eq!(expired.offset(998), None, "expired before the log was moved");
        assert_eq!(Base::NONE.position(Offset(7)), Some(7));
        assert_eq!(Base::in_record(&record(0, wire::ingest::encode(&IngestRecord::Tick), None)), None);
    }

    #[test]
    fn a_time_is_believed_only_below_the_position_that_the_base_record_names() {
        let base = base(0, 1_000, 1_010);
        let time = |offset, claimed| base.time_of(&record(offset, Bytes::new(), claimed)).0;
        assert_eq!(time(1, Some(5)), 5);
        assert_eq!(time(10, Some(5)), 5, "position 1,009: the last imported one");
        assert_eq!(time(11, Some(5)), 9_000, "whoever claims a time after the import is not heard");
        assert_eq!(time(3, None), 9_000);
        assert_eq!(Base::NONE.time_of(&record(0, Bytes::new(), Some(5))).0, 9_000);
    }
}

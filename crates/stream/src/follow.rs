//! How everybody but the owner reads a chain topic: from a whole cursor, checked against the log, judged by rule 2.
use crate::cursor::Cursor;
use crate::judge::{Frame, Halt, Judge, Judged, Void};
use crate::log::{Log, LogError, Offset, Partition, Reader, Topic};
use crate::weakness::{self, Weakness};
use domain::ids::Hash;
use std::sync::Arc;

/// Why a follower cannot go on.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FollowError {
    /// The log does not answer, or has not what was asked for.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Two histories, or missing records.
    #[error("{topic} partition {partition}: {halt}", topic = .topic.name(), partition = .partition.0)]
    Halt {
        /// The topic.
        topic: Topic,
        /// The partition.
        partition: Partition,
        /// Why.
        halt: Halt,
    },
    /// The record before the cursor is not the one that the cursor was taken after.
    #[error("{topic} partition {partition}: the record before offset {offset} is not the one this cursor was taken after: the topic was truncated, recreated or restored; rebuild this reader from offset 0", topic = .topic.name(), partition = .partition.0)]
    AnchorMismatch {
        /// The topic.
        topic: Topic,
        /// The partition.
        partition: Partition,
        /// The cursor's offset.
        offset: u64,
    },
}

/// A judged reader of one partition of one chain topic.
#[derive(Debug)]
pub struct Follower {
    topic: Topic,
    partition: Partition,
    judge: Judge,
    reader: Box<dyn Reader>,
}

impl Follower {
    /// Opens at `cursor`, whose anchor must match (rule 10).
    ///
    /// # Errors
    /// [`FollowError::AnchorMismatch`]; [`FollowError::Log`].
    pub async fn open(
        log: &Arc<dyn Log>,
        topic: Topic,
        partition: Partition,
        cursor: Cursor,
    ) -> Result<Self, FollowError> {
        check_anchor(log, topic, partition, &cursor).await?;
        Self::open_checked(log, topic, partition, cursor).await
    }

    /// Opens at a cursor whose anchor the caller has checked.
    pub(crate) async fn open_checked(
        log: &Arc<dyn Log>,
        topic: Topic,
        partition: Partition,
        cursor: Cursor,
    ) -> Result<Self, FollowError> {
        let reader = log.reader(topic, partition, cursor.next_offset()).await?;
        Ok(Self { topic, partition, judge: Judge::new(cursor), reader })
    }

    /// The accepted frames among the next records: waits for at least one record; void ones leave the list empty.
    ///
    /// # Errors
    /// [`FollowError`]. After [`FollowError::Halt`] the follower must not be used again.
    pub async fn next(&mut self, max_records: usize, max_bytes: usize) -> Result<Vec<Frame>, FollowError> {
        let records = self.reader.next(max_records, max_bytes).await?;
        let mut frames = Vec::with_capacity(records.len());
        for record in &records {
            let judged = self.judge.judge(record).map_err(|halt| FollowError::Halt {
                topic: self.topic,
                partition: self.partition,
                halt,
            })?;
            match judged {
                Judged::Frame(frame) => frames.push(*frame),
                Judged::Fence => {}
                Judged::Void(void) => note_void(self.topic, self.partition, record.offset, void),
            }
        }
        Ok(frames)
    }

    /// The whole cursor after all that [`Follower::next`] has returned.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.judge.cursor()
    }

    pub(crate) const fn judge(&self) -> &Judge {
        &self.judge
    }
}

/// Counts a void record; rubbish and holes are also logged, since nobody should write them.
pub(crate) fn note_void(topic: Topic, partition: Partition, offset: Offset, void: Void) {
    metrics::counter!(crate::meters::VOID, "topic" => topic.name(), "reason" => void.name()).increment(1);
    if matches!(void, Void::Undecodable | Void::Hole) {
        tracing::warn!(
            topic = topic.name(),
            partition = partition.0,
            offset = offset.0,
            reason = void.name(),
            "void record skipped"
        );
    }
}

/// Whether the record before `cursor` is the one it was taken after (rule 10).
///
/// # Errors
/// [`FollowError::AnchorMismatch`] when not, or when retention took it and the log does not start exactly at the cursor.
pub async fn check_anchor(
    log: &Arc<dyn Log>,
    topic: Topic,
    partition: Partition,
    cursor: &Cursor,
) -> Result<(), FollowError> {
    if cursor.offset == 0 || weakness::on(Weakness::NoAnchors) {
        return Ok(());
    }
    let matches = match log.record_at(topic, partition, Offset(cursor.offset - 1)).await {
        Ok(Some(record)) => Hash::of(&record.value) == cursor.anchor,
        Ok(None) => log.bounds(topic, partition).await?.start.0 == cursor.offset,
        Err(LogError::OutOfRange { .. }) => false,
        Err(error) => return Err(error.into()),
    };
    if matches {
        Ok(())
    } else {
        Err(FollowError::AnchorMismatch { topic, partition, offset: cursor.offset })
    }
}

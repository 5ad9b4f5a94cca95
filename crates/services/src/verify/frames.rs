//! Accepted frames of one topic's partition, up to where it ended when the walk began.
use super::{Findings, VerifyError};
use std::collections::VecDeque;
use std::sync::Arc;
use stream::cursor::Cursor;
use stream::follow::{FollowError, Follower};
use stream::judge::{Frame, Halt};
use stream::log::{Log, Offset, Partition, Topic};

const RECORDS: usize = 1_000;
const BYTES: usize = 4 << 20;

/// A stream of frames. Where two histories meet, or records are missing, it ends with a problem.
#[derive(Debug)]
pub(super) struct Frames {
    topic: Topic,
    partition: Partition,
    follower: Option<Follower>,
    end: Offset,
    ready: VecDeque<Frame>,
}

impl Frames {
    pub(super) async fn open(
        log: &Arc<dyn Log>,
        topic: Topic,
        partition: Partition,
        findings: &mut Findings,
    ) -> Result<Self, VerifyError> {
        let bounds = log.bounds(topic, partition).await?;
        let mut frames = Self { topic, partition, follower: None, end: bounds.end, ready: VecDeque::new() };
        if bounds.start > Offset(0) {
            findings.problem("truncated", frames.place(), "offset 0", format!("offset {}", bounds.start.0));
        } else if bounds.end > Offset(0) {
            frames.follower = Some(Follower::open(log, topic, partition, Cursor::START).await?);
        }
        Ok(frames)
    }

    /// Where it reads, for people.
    pub(super) fn place(&self) -> String {
        format!("{}/{}", self.topic.name(), self.partition.0)
    }

    /// The next frame, which stays the next one.
    pub(super) async fn peek(&mut self, findings: &mut Findings) -> Result<Option<&Frame>, VerifyError> {
        self.fill(findings).await?;
        Ok(self.ready.front())
    }

    /// The next frame.
    pub(super) async fn next(&mut self, findings: &mut Findings) -> Result<Option<Frame>, VerifyError> {
        self.fill(findings).await?;
        Ok(self.ready.pop_front())
    }

    async fn fill(&mut self, findings: &mut Findings) -> Result<(), VerifyError> {
        while self.ready.is_empty()
            && let Some(follower) = &mut self.follower
        {
            if follower.cursor().offset >= self.end.0 {
                self.follower = None;
                break;
            }
            match follower.next(RECORDS, BYTES).await {
                Ok(frames) => {
                    let end = self.end;
                    self.ready.extend(frames.into_iter().filter(|frame| frame.offset < end));
                }
                Err(FollowError::Halt { halt, .. }) => {
                    self.follower = None;
                    let (expected, found) = match &halt {
                        Halt::HeadMismatch { expected, found, .. } => {
                            (format!("after {expected:?}"), format!("after {found:?}"))
                        }
                        Halt::OffsetGap { expected, found } => {
                            (format!("offset {expected}"), format!("offset {found}"))
                        }
                    };
                    findings.problem("two_histories", format!("{}: {halt}", self.place()), expected, found);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

//! Accepted frames of one topic's partition, up to where it ended when the walk began.
use super::{Findings, VerifyError};
use std::collections::VecDeque;
use std::sync::Arc;
use stream::cursor::Cursor;
use stream::judge::{Frame, Halt, Judge, Judged};
use stream::log::{Log, LogError, Offset, Partition, Reader, Record, Topic};

/// What is read at a time.
pub(super) const RECORDS: usize = 250;
pub(super) const BYTES: usize = 1 << 20;

/// A stream of frames, judged as every reader judges them. Where a reader would halt (two histories, missing records) it names
/// the place and goes on as if the later record were right: one wrong frame must not hide what is behind it.
#[derive(Debug)]
pub(super) struct Frames {
    topic: Topic,
    partition: Partition,
    judge: Judge,
    reader: Option<Box<dyn Reader>>,
    end: Offset,
    ready: VecDeque<Box<Frame>>,
}

impl Frames {
    pub(super) async fn open(
        log: &Arc<dyn Log>,
        topic: Topic,
        partition: Partition,
        findings: &mut Findings,
    ) -> Result<Self, VerifyError> {
        let bounds = log.bounds(topic, partition).await?;
        let mut frames = Self {
            topic,
            partition,
            judge: Judge::new(Cursor::START),
            reader: None,
            end: bounds.end,
            ready: VecDeque::new(),
        };
        if bounds.start > Offset(0) {
            findings.problem("truncated", frames.place(), "offset 0", format!("offset {}", bounds.start.0));
        } else if bounds.end > Offset(0) {
            frames.reader = Some(log.reader(topic, partition, Offset(0)).await?);
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
        Ok(self.ready.front().map(|frame| &**frame))
    }

    /// The next frame.
    pub(super) async fn next(&mut self, findings: &mut Findings) -> Result<Option<Box<Frame>>, VerifyError> {
        self.fill(findings).await?;
        Ok(self.ready.pop_front())
    }

    async fn fill(&mut self, findings: &mut Findings) -> Result<(), VerifyError> {
        while self.ready.is_empty()
            && let Some(reader) = &mut self.reader
        {
            if self.judge.next_offset() >= self.end.0 {
                self.reader = None;
                break;
            }
            match reader.next(RECORDS, BYTES).await {
                Ok(records) => {
                    let end = self.end;
                    for record in records.iter().filter(|record| record.offset < end) {
                        self.take(record, findings);
                    }
                }
                Err(LogError::Corrupt(what)) => {
                    let place = format!("{} offset {}", self.place(), self.judge.next_offset());
                    findings.problem("corrupt", place, "what was written", what);
                    self.reader = None;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn take(&mut self, record: &Record, findings: &mut Findings) {
        // The second time it is judged by a cursor that it fits.
        for _ in 0..3 {
            let halt = match self.judge.judge(record) {
                Ok(Judged::Frame(frame)) => return self.ready.push_back(frame),
                Ok(Judged::Fence | Judged::Void(_)) => return,
                Err(halt) => halt,
            };
            let mut cursor = self.judge.cursor();
            match halt {
                Halt::HeadMismatch { seq, expected: content, found: remembered, .. } => {
                    let place = format!("{} frame {}", self.place(), seq - 1);
                    let remembered_by = format!("{remembered:?}, as frame {seq} has it");
                    findings.problem("head_mismatch", place, remembered_by, format!("{content:?}"));
                    cursor.head = remembered;
                }
                Halt::OffsetGap { expected, found } => {
                    let place = format!("{} offset {expected}", self.place());
                    findings.problem("offset_gap", place, "a record", format!("the next is at {found}"));
                    cursor.offset = found;
                }
            }
            self.judge = Judge::new(cursor);
        }
    }
}

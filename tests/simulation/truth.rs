//! What the log says, read without waiting: the accepted frames of a partition's topic, each with the logic that decided it.
use bytes::Bytes;
use domain::ids::Hash;
use domain::time::Micros;
use stream::cursor::Cursor;
use stream::judge::{Frame, Judge, Judged};
use stream::log::{Offset, Partition, Record, Topic};
use stream::simulated::SimulatedLog;

/// An accepted frame.
#[derive(Debug, Clone)]
pub(crate) struct Accepted {
    pub(crate) frame: Frame,
    /// Logic version of its epoch.
    pub(crate) version: u32,
}

/// One topic of one partition, read as far as it goes.
#[derive(Debug)]
pub(crate) struct Truth {
    pub(crate) topic: Topic,
    partition: Partition,
    judge: Judge,
    pub(crate) frames: Vec<Accepted>,
}

impl Truth {
    pub(crate) const fn new(topic: Topic, partition: Partition) -> Self {
        Self { topic, partition, judge: Judge::new(Cursor::START), frames: Vec::new() }
    }

    /// Reads all there is.
    pub(crate) fn of(log: &SimulatedLog, topic: Topic, partition: Partition) -> Result<Self, String> {
        let mut truth = Self::new(topic, partition);
        truth.advance(log)?;
        Ok(truth)
    }

    /// Reads on; the place of the first new frame.
    pub(crate) fn advance(&mut self, log: &SimulatedLog) -> Result<usize, String> {
        let first = self.frames.len();
        for record in log.records(self.topic, self.partition, Offset(self.judge.next_offset())) {
            let judged =
                self.judge.judge(&record).map_err(|halt| format!("a reader halts for ever: {halt}"))?;
            if let Judged::Frame(frame) = judged {
                self.frames.push(Accepted { frame: *frame, version: self.judge.logic_version() });
            }
        }
        Ok(first)
    }

    /// (`seq`, head) of all frames.
    pub(crate) fn heads(&self) -> Vec<(u64, Hash)> {
        self.frames.iter().map(|accepted| (accepted.frame.seq, accepted.frame.head)).collect()
    }
}

/// An `ingest` record with the clock of its partition at it.
pub(crate) struct Ingested {
    pub(crate) value: Bytes,
    pub(crate) clock: Micros,
}

/// The partition's `ingest`, with the running maximum of append times: computed here once more, for comparison.
pub(crate) fn ingested(log: &SimulatedLog, partition: Partition) -> Vec<Ingested> {
    let mut clock = Micros(0);
    let timed = |record: Record| {
        clock = clock.max(record.appended_at);
        Ingested { value: record.value, clock }
    };
    log.records(Topic::Ingest, partition, Offset(0)).into_iter().map(timed).collect()
}

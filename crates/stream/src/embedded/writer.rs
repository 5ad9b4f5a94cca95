//! The one thread that appends: it takes what has been asked for meanwhile as one group, gives offsets and time, writes,
//! fsyncs once, moves the marks and answers. Groups form by themselves while an fsync is under way, so an idle log costs
//! one fsync per append, and a busy one a small part of that.
use super::chunk::{self, Chunk};
use super::disk::{Disk, Extent};
use super::shared::{Shared, Standing, lock};
use super::space::Space;
use super::{EmbeddedOptions, files};
use crate::log::{AppendError, LogError, NewRecord, Offset, Partition, Topic};
use domain::time::Micros;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Bytes of one group, about: more would make those at its front wait.
const GROUP_BYTES: usize = 8 << 20;
/// Bytes of one chunk, about: what a reader of one record must load.
pub(super) const CHUNK_BYTES: usize = 128 << 10;
pub(super) const CHUNK_RECORDS: usize = 4_000;
/// Retention is looked at this often.
const TRIM_EVERY: Duration = Duration::from_secs(20);
/// When much has expired, appends come in between.
const TRIM_MORE_AFTER: Duration = Duration::from_millis(10);

/// The answer to an append.
pub(super) type Acknowledged = Result<Vec<Option<Offset>>, AppendError>;

/// One call of `append`.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) topic: Topic,
    pub(super) partition: Partition,
    pub(super) records: Vec<NewRecord>,
    pub(super) bytes: usize,
    pub(super) answer: oneshot::Sender<Acknowledged>,
}

#[derive(Debug, Default)]
struct Queue {
    requests: VecDeque<Request>,
    trims: Vec<oneshot::Sender<()>>,
    bytes: usize,
    closing: bool,
}

/// Where appends wait for the writer.
#[derive(Debug)]
pub(super) struct Intake {
    queue: Mutex<Queue>,
    filled: Condvar,
    most_bytes: usize,
}

impl Intake {
    pub(super) fn new(most_bytes: usize) -> Self {
        Self { queue: Mutex::default(), filled: Condvar::new(), most_bytes }
    }

    /// Hands a request to the writer, at once.
    pub(super) fn push(&self, request: Request) -> Result<(), AppendError> {
        let mut queue = lock(&self.queue);
        if queue.closing {
            return Err(AppendError::Refused("the log is closed".to_owned()));
        }
        if queue.bytes > 0 && queue.bytes + request.bytes > self.most_bytes {
            return Err(AppendError::Refused(format!("{} bytes are waiting for the disk", queue.bytes)));
        }
        // The writer waits only for an empty queue; waking it is a system call.
        let first = queue.requests.is_empty();
        queue.bytes += request.bytes;
        queue.requests.push_back(request);
        drop(queue);
        if first {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Asks for retention now.
    pub(super) fn ask_to_trim(&self, done: oneshot::Sender<()>) {
        lock(&self.queue).trims.push(done);
        self.filled.notify_one();
    }

    /// Nothing more is taken; what waits is still written.
    pub(super) fn close(&self) {
        lock(&self.queue).closing = true;
        self.filled.notify_one();
    }

    fn take(&self, wait: Duration) -> Work {
        let mut queue = lock(&self.queue);
        if queue.requests.is_empty() && queue.trims.is_empty() && !queue.closing {
            queue = self.filled.wait_timeout(queue, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
        let trims = std::mem::take(&mut queue.trims);
        let mut group = Vec::new();
        let mut bytes = 0;
        while let Some(request) = queue.requests.pop_front_if(|_| bytes < GROUP_BYTES) {
            bytes += request.bytes;
            group.push(request);
        }
        queue.bytes -= bytes;
        let last = queue.closing && queue.requests.is_empty();
        Work { group, trims, last }
    }
}

struct Work {
    group: Vec<Request>,
    trims: Vec<oneshot::Sender<()>>,
    last: bool,
}

/// A group on its way: chunks per lane and what to answer.
#[derive(Default)]
struct Group {
    chunks: Vec<(usize, Chunk)>,
    answers: Vec<(oneshot::Sender<Acknowledged>, u64, usize)>,
}

/// Records of one lane that are not a chunk yet.
#[derive(Default)]
struct Building {
    records: Vec<NewRecord>,
    bytes: usize,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    intake: Arc<Intake>,
    /// Per lane: the next offset and the last append time.
    lanes: Vec<(u64, Micros)>,
    building: Vec<Building>,
    /// Lanes of the chunks in memory, oldest first, with their bytes.
    remembered: VecDeque<(usize, usize)>,
    remembered_bytes: usize,
    tail_bytes: usize,
    ingest_retention: Duration,
    outcome_retention: Duration,
    dir: PathBuf,
    space: Space,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        intake: Arc<Intake>,
        extents: &[Extent],
        options: &EmbeddedOptions,
    ) -> Self {
        Self {
            shared,
            intake,
            lanes: extents.iter().map(|extent| (extent.end, extent.last_time)).collect(),
            building: extents.iter().map(|_| Building::default()).collect(),
            remembered: VecDeque::new(),
            remembered_bytes: 0,
            tail_bytes: options.tail_bytes,
            ingest_retention: options.ingest_retention,
            outcome_retention: options.outcome_retention,
            dir: options.dir.clone(),
            space: Space::new(&options.dir, options.reserve_bytes),
        }
    }

    /// Runs until the intake is closed and empty, or an fsync fails.
    pub(super) fn run(mut self) {
        let Ok(disk) = self.shared.disk() else { return };
        let mut trim_at = Instant::now() + TRIM_EVERY;
        let failure = loop {
            let work = self.intake.take(trim_at.saturating_duration_since(Instant::now()));
            let group = self.with_space(work.group);
            if !group.is_empty()
                && let Err(reason) = self.append(&disk, group)
            {
                break Some(reason);
            }
            if !work.trims.is_empty() || Instant::now() >= trim_at {
                let more = self.trim(&disk).unwrap_or_else(|error| {
                    tracing::error!(%error, "retention failed");
                    false
                });
                trim_at = Instant::now() + if more { TRIM_MORE_AFTER } else { TRIM_EVERY };
                work.trims.into_iter().for_each(answer_trim);
            }
            if work.last {
                break disk.sync_all().err();
            }
        };
        match failure {
            Some(reason) => abandon(&self.shared, &self.intake, &reason),
            None => self.close(disk),
        }
    }

    /// The requests that there is space for; the others are refused, and nothing of them is written.
    fn with_space(&mut self, requests: Vec<Request>) -> Vec<Request> {
        if requests.is_empty() {
            return requests;
        }
        self.space.look(self.shared.environment.as_ref());
        let mut fitting = Vec::with_capacity(requests.len());
        for request in requests {
            match self.space.refusal(request.topic) {
                None => fitting.push(request),
                Some(reason) => {
                    metrics::counter!(crate::meters::NO_SPACE).increment(1);
                    acknowledge(request.answer, Err(AppendError::Refused(reason)));
                }
            }
        }
        fitting
    }

    fn append(&mut self, disk: &Disk, requests: Vec<Request>) -> Result<(), String> {
        let now = self.shared.environment.now();
        let mut group = Group::default();
        let mut touched = Vec::new();
        for request in requests {
            let lane = self.shared.lane_index(request.topic, request.partition);
            let first = self.lanes[lane].0 + self.building[lane].records.len() as u64;
            group.answers.push((request.answer, first, request.records.len()));
            for record in request.records {
                let bytes = chunk::record_bytes(&record);
                let building = &mut self.building[lane];
                if building.bytes + bytes > CHUNK_BYTES || building.records.len() >= CHUNK_RECORDS {
                    self.finish_chunk(lane, now, &mut group)?;
                }
                let building = &mut self.building[lane];
                if building.records.is_empty() {
                    touched.push(lane);
                }
                building.bytes += bytes;
                building.records.push(record);
            }
        }
        for lane in touched {
            self.finish_chunk(lane, now, &mut group)?;
        }
        let result = self.write(disk, &group);
        match result {
            Ok(()) => self.publish(group),
            Err(ref reason) => {
                for (answer, ..) in group.answers {
                    acknowledge(answer, Err(AppendError::Indefinite(reason.clone())));
                }
            }
        }
        result
    }

    fn finish_chunk(&mut self, lane: usize, now: Micros, group: &mut Group) -> Result<(), String> {
        let building = &mut self.building[lane];
        if building.records.is_empty() {
            return Ok(());
        }
        let (base, last_time) = self.lanes[lane];
        // A clock that is set back must not make a partition's time go back.
        let time = now.max(last_time);
        let bytes = chunk::encode(time, &building.records);
        let chunk = Chunk::decode(base, bytes).map_err(|error| error.to_string())?;
        self.lanes[lane] = (chunk.end(), time);
        building.records.clear();
        building.bytes = 0;
        group.chunks.push((lane, chunk));
        Ok(())
    }

    fn write(&self, disk: &Disk, group: &Group) -> Result<(), String> {
        let partitions = self.shared.partitions as usize;
        let mut batch = disk.batch(group.chunks.len());
        for (lane, chunk) in &group.chunks {
            let topic = Topic::ALL[lane / partitions];
            let partition = Partition(u32::try_from(lane % partitions).unwrap_or(u32::MAX));
            disk.put(&mut batch, topic, partition, chunk.base(), chunk.bytes());
        }
        disk.commit(batch, self.shared.environment.as_ref())
    }

    fn publish(&mut self, group: Group) {
        let partitions = self.shared.partitions as usize;
        let mut began = Vec::new();
        for (lane, chunk) in group.chunks {
            self.remembered.push_back((lane, chunk.len()));
            self.remembered_bytes += chunk.len();
            if chunk.base() == 0 && lane < partitions {
                began.push(Partition(u32::try_from(lane).unwrap_or(u32::MAX)));
            }
            let end = chunk.end();
            self.shared.lane_at(lane).publish([chunk], end);
        }
        while self.remembered_bytes > self.tail_bytes
            && let Some((lane, bytes)) = self.remembered.pop_front()
        {
            self.remembered_bytes -= bytes;
            self.shared.lane_at(lane).forget_oldest();
        }
        if !began.is_empty() {
            self.shared.active.send_modify(|active| {
                active.extend(began);
                active.sort_unstable();
                active.dedup();
            });
        }
        for (answer, first, count) in group.answers {
            let offsets = (first..first + count as u64).map(|offset| Some(Offset(offset))).collect();
            acknowledge(answer, Ok(offsets));
        }
    }

    /// Retention: `ingest` as configured, `outcomes` for as long as a caller may wait. The chain is kept for ever, and so
    /// is `gateway-config`, of which there is little. Whether more has expired than was removed at once.
    fn trim(&self, disk: &Disk) -> Result<bool, LogError> {
        let mut more = false;
        let now = self.shared.environment.now();
        for (topic, kept) in
            [(Topic::Ingest, self.ingest_retention), (Topic::Outcomes, self.outcome_retention)]
        {
            let before = Micros(now.0.saturating_sub(i64::try_from(kept.as_micros()).unwrap_or(i64::MAX)));
            for partition in (0..self.shared.partitions).map(Partition) {
                let lane = self.shared.lane_at(self.shared.lane_index(topic, partition));
                let (start, end) = (lane.start(), lane.end());
                if start < end {
                    let (kept_from, rest) = disk.trim(topic, partition, (start, end), before)?;
                    lane.move_start(kept_from);
                    more |= rest;
                }
            }
        }
        Ok(more)
    }

    fn close(self, disk: Arc<Disk>) {
        self.shared.standing.send_replace(Standing::Closed);
        if let Err(error) = files::leave_clean_mark(&self.dir) {
            tracing::warn!(%error, "the clean stop could not be marked, the next start will take longer");
        }
        drop(disk);
        drop(self.shared.release_disk());
    }
}

/// Gives up: whatever waits may or may not be on the disk, and this process cannot find out.
pub(super) fn abandon(shared: &Shared, intake: &Intake, reason: &str) {
    tracing::error!(reason, "the log cannot be written, this process must end");
    metrics::counter!(crate::meters::POISONED).increment(1);
    shared.standing.send_replace(Standing::Poisoned(reason.into()));
    intake.close();
    loop {
        let work = intake.take(Duration::ZERO);
        for request in work.group {
            acknowledge(request.answer, Err(AppendError::Indefinite(reason.to_owned())));
        }
        work.trims.into_iter().for_each(answer_trim);
        if work.last {
            return;
        }
    }
}

/// Who asked may be gone.
fn acknowledge(answer: oneshot::Sender<Acknowledged>, result: Acknowledged) {
    drop(answer.send(result));
}

fn answer_trim(done: oneshot::Sender<()>) {
    if done.send(()).is_err() {
        tracing::trace!("nobody waits for retention any more");
    }
}

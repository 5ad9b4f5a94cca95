//! Serving a partition: decide and evolve a batch, make its keys durable, append, and only then accept (rule 4).
use super::decide::Pending;
use super::input::{InputReader, Located};
use super::observe::{Begun, Meters};
use super::partition::Lease;
use super::side::Side;
use super::take::{Taken, commit, snapshot_if_due, take, view};
use super::{OwnerError, Shared};
use crate::failpoint;
use crate::log::{LogError, NewRecord, Offset, Partition, Topic};
use crate::meters;
use crate::seal;
use crate::service::{Service, SideOutput};
use crate::weakness::{self, Weakness};
use bytes::Bytes;
use domain::facts::Personal;
use domain::ids::Hash;
use domain::time::Micros;
use prost::Message;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use wire::envelope::{self, Envelope, Kind};
use wire::v1::{FrameContent, IngestRecord, Tick, ingest_record};

/// A frame's content is never larger: Kafka would refuse it for ever (512 KiB are meant, 1 MiB is refused).
const MAX_CONTENT_BYTES: usize = 768 << 10;
/// Frames between two looks at whether the batch grew too large.
const BATCH_FRAMES: usize = 4_000;

/// A partition while it is ours.
#[derive(Debug)]
pub(super) struct Serving<S: Service> {
    pub(super) shared: Arc<Shared<S>>,
    pub(super) partition: Partition,
    pub(super) taken: Taken,
    lease: Lease,
    side: Side,
    input: InputReader,
    last_commit: Instant,
    meters: Meters,
}

impl<S: Service> Serving<S> {
    /// Takes the partition and opens its input.
    pub(super) async fn take(
        shared: Arc<Shared<S>>,
        partition: Partition,
        lease: &Lease,
    ) -> Result<Self, OwnerError> {
        let mut taken = take(&shared, partition, lease).await?;
        let input = match InputReader::open(&shared, partition, taken.folded.position).await {
            // Another owner may have worked the input off since our fence, and retention have taken it since then. Its fence
            // is in the output by now: only who still owns the partition may say that something is missing.
            Err(error) if error.is_halt() && !taken.is_still_ours(&shared, partition, lease).await? => {
                return Err(OwnerError::Lost);
            }
            opened => opened?,
        };
        let meters = Meters::new(S::NAME, partition);
        let deadline = shared.options.append_deadline;
        let side = Side::new(S::NAME, Arc::clone(&shared.log), partition, deadline);
        let (lease, last_commit) = (lease.clone(), Instant::now());
        let serving = Self { shared, partition, taken, lease, side, input, last_commit, meters };
        serving.report_parked();
        Ok(serving)
    }

    /// Serves until it is told to stop (`Ok`) or until the partition must be given up.
    pub(super) async fn run(&mut self) -> Result<(), OwnerError> {
        self.restore_standing_outputs().await?;
        let mut lost = self.side.lost();
        let mut ticks = self.shared.options.tick_every.map(|every| {
            let mut ticks = tokio::time::interval_at(Instant::now() + every, every);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            ticks
        });
        let (shared, lease) = (Arc::clone(&self.shared), self.lease.clone());
        self.report_reached();
        let mut idle_commit = tokio::time::interval(shared.options.store_commit_every);
        loop {
            tokio::select! {
                biased;
                () = lease.stopped() => break,
                error = lost.wait() => return Err(OwnerError::Append(error)),
                () = next_tick(&mut ticks) => self.append_tick().await?,
                _ = idle_commit.tick() => self.commit_if_due(false)?,
                inputs = self.input.next(&shared, self.partition) => {
                    let inputs = inputs?;
                    if !inputs.is_empty() {
                        self.wait_for_clock(&inputs).await;
                        self.serve(inputs).await?;
                        self.commit_if_due(false)?;
                    }
                    self.report_reached();
                }
            }
        }
        self.commit_if_due(true)
    }

    /// Decides, appends and accepts `inputs`.
    async fn serve(&mut self, inputs: Vec<Located>) -> Result<(), OwnerError> {
        self.hold().await;
        self.meters.inputs.increment(inputs.len() as u64);
        let mut pending = Vec::with_capacity(inputs.len());
        for located in &inputs {
            self.decide(located, &mut pending)?;
            if pending.len() >= BATCH_FRAMES {
                self.append_and_accept(std::mem::take(&mut pending)).await?;
            }
        }
        if !pending.is_empty() {
            self.append_and_accept(pending).await?;
        }
        Ok(())
    }

    /// How far the input is worked off, for whoever asks about lag.
    fn report_reached(&self) {
        let folded = self.taken.folded.position.map_or(Micros(0), |position| position.clock);
        let (next, clock) = self.input.reached();
        self.shared.reached.set(self.partition, next, clock.max(folded));
    }

    async fn append_and_accept(&mut self, mut pending: Vec<Pending<S::Event>>) -> Result<(), OwnerError> {
        let began = Instant::now();
        let spans = Begun::new(self.shared.options.spans.as_ref(), &mut pending);
        self.seal(&mut pending).await?;
        failpoint::hit("key-stored-no-frame");
        self.encode(&mut pending)?;
        let records = pending
            .iter()
            .map(|frame| NewRecord { key: Bytes::new(), value: frame.record.clone() })
            .collect();
        let appending = Instant::now();
        let append = self.taken.appender.append(S::OUTPUT, self.partition, records);
        self.hit_when_appended().await?;
        let deadline = self.shared.options.append_deadline;
        let offsets = tokio::time::timeout(deadline, append)
            .await
            .map_err(|_| OwnerError::AppendDeadline(deadline))??;
        self.meters.append_seconds.record(appending.elapsed());
        failpoint::hit("acked-not-accepted");
        self.accept(&pending, &offsets).await?;
        self.meters.accepted(self.shared.service.as_ref(), &pending);
        if let Some(spans) = spans {
            spans.accepted(&self.shared, self.partition, &pending, began.elapsed());
        }
        if let Some(last) = pending.last() {
            self.taken.folded.position = Some(last.position);
        }
        failpoint::hit("accepted-not-stored");
        self.send_side_outputs(&pending).await;
        Ok(())
    }

    /// Creates the keys that the batch needs, in one durable write, and seals.
    async fn seal(&mut self, pending: &mut [Pending<S::Event>]) -> Result<(), OwnerError> {
        let service = &self.shared.service;
        let mut subjects = Vec::new();
        for event in pending.iter_mut().flat_map(|frame| frame.events.iter_mut()) {
            for (subject, field) in service.personal(event) {
                if matches!(field, Personal::Open(_)) {
                    subjects.push(subject);
                }
            }
        }
        if subjects.is_empty() {
            return Ok(());
        }
        subjects.sort_unstable();
        subjects.dedup();
        let keys = self.shared.keys.ensure(&subjects).await?;
        for event in pending.iter_mut().flat_map(|frame| frame.events.iter_mut()) {
            for (subject, field) in service.personal(event) {
                seal::seal(keys.get(subject), subject, field)?;
            }
        }
        Ok(())
    }

    fn encode(&self, pending: &mut [Pending<S::Event>]) -> Result<(), OwnerError> {
        let mut prev_head = self.taken.folded.judge.last().1;
        for frame in pending {
            let defect = std::mem::take(&mut frame.defect);
            let content = FrameContent {
                seq: frame.meta.seq,
                source: frame.meta.source,
                step: frame.meta.step,
                last: frame.meta.last,
                source_head: Bytes::copy_from_slice(&frame.meta.source_head.0),
                prev_head: Bytes::copy_from_slice(&prev_head.0),
                clock_micros: frame.meta.clock.0,
                events: frame.events.iter().map(|event| self.shared.service.encode(event)).collect(),
                defect_input: std::mem::take(&mut frame.defect_input),
                marks: frame.marks.iter().cloned().map(Into::into).collect(),
                defect,
            };
            let is_defect = !content.defect.is_empty();
            let content = content.encode_to_vec();
            if content.len() > MAX_CONTENT_BYTES && !is_defect {
                // What was folded of it goes with the overlay; the next take parks the input instead.
                return Err(self.shared.too_large(self.partition, frame.meta.source, content.len()));
            }
            frame.head = Hash::of(&content);
            prev_head = frame.head;
            let envelope = Envelope {
                kind: Kind::Frame,
                epoch: self.taken.epoch,
                writer: self.taken.writer.0,
                input_offset: frame.position.offset,
                input_epoch: frame.position.epoch,
                input_writer: frame.position.writer.0,
                trace: frame.trace,
            };
            frame.record = envelope::encode(&envelope, &content);
        }
        Ok(())
    }

    /// Acknowledged is not accepted: contiguous offsets prove it, otherwise the log is read (rule 4).
    async fn accept(
        &mut self,
        pending: &[Pending<S::Event>],
        offsets: &[Option<Offset>],
    ) -> Result<(), OwnerError> {
        let expected = self.taken.folded.judge.next_offset();
        let contiguous = offsets.len() == pending.len()
            && offsets.iter().zip(expected..).all(|(offset, wanted)| *offset == Some(Offset(wanted)));
        if contiguous || weakness::on(Weakness::AckIsAcceptance) {
            for frame in pending {
                self.taken.folded.judge.accept_own(
                    &frame.record,
                    frame.meta.seq,
                    frame.head,
                    frame.meta.clock,
                );
            }
            return Ok(());
        }
        self.accept_by_reading(pending, offsets, expected).await
    }

    async fn accept_by_reading(
        &mut self,
        pending: &[Pending<S::Event>],
        offsets: &[Option<Offset>],
        expected: u64,
    ) -> Result<(), OwnerError> {
        if let Some(below) = offsets.iter().flatten().find(|offset| offset.0 < expected) {
            return Err(self.shared.halted(
                self.partition,
                format!(
                    "{} acknowledged offset {} below {expected}, which was read: the topic lost its tail; restore it",
                    S::OUTPUT.name(),
                    below.0
                ),
            ));
        }
        let end = match offsets
            .iter()
            .copied()
            .collect::<Option<Vec<_>>>()
            .and_then(|known| known.into_iter().max())
        {
            Some(last) => last.next(),
            None => self.shared.log.bounds(S::OUTPUT, self.partition).await?.end,
        };
        // The overlay already holds these frames: only the judgement is wanted, so events are not folded twice.
        let mut reader = self.shared.log.reader(S::OUTPUT, self.partition, Offset(expected)).await?;
        let judge = &mut self.taken.folded.judge;
        while judge.next_offset() < end.0 {
            for record in reader.next(1_000, 4 << 20).await? {
                if record.offset < end {
                    judge.judge(&record).map_err(|halt| self.shared.halt(self.partition, &halt))?;
                }
            }
        }
        let last = pending.last().map(|frame| (frame.meta.seq, frame.head));
        if judge.is_owner(self.taken.epoch, self.taken.writer) && Some(judge.last()) == last {
            return Ok(());
        }
        Err(OwnerError::Lost)
    }

    async fn send_side_outputs(&mut self, pending: &[Pending<S::Event>]) {
        let mut outputs = Vec::new();
        for frame in pending {
            outputs.extend(self.shared.service.side_outputs(&frame.meta, &frame.events));
        }
        if !outputs.is_empty() {
            self.side.send(outputs).await;
        }
    }

    /// Re-appends side records whose newest version is missing, as after a crash between frame and side output (rule 9).
    async fn restore_standing_outputs(&mut self) -> Result<(), OwnerError> {
        let wanted = self.shared.service.standing_outputs(view(&self.taken.folded.overlay), self.partition);
        let Some(topic) = wanted.first().map(|output| output.topic) else { return Ok(()) };
        let newest = newest_values(&self.shared, topic, self.partition).await?;
        let missing: Vec<_> = wanted
            .into_iter()
            .filter(|output| newest.get(&output.key).is_none_or(|value| *value != output.value))
            .collect();
        if !missing.is_empty() {
            tracing::info!(
                service = S::NAME,
                partition = self.partition.0,
                records = missing.len(),
                "standing records appended again"
            );
            self.side.send(missing).await;
        }
        Ok(())
    }

    async fn append_tick(&mut self) -> Result<(), OwnerError> {
        let record = IngestRecord { kind: Some(ingest_record::Kind::Tick(Tick {})) };
        let output = SideOutput {
            topic: Topic::Ingest,
            partition: Some(self.partition),
            key: self.tick_key(),
            value: Bytes::from(record.encode_to_vec()),
        };
        self.side.send(vec![output]).await;
        Ok(())
    }

    /// Nothing: a tick carries no time of its own (rule 11).
    #[cfg(not(feature = "weaknesses"))]
    #[allow(clippy::unused_self, reason = "as its counterpart in simulations")]
    const fn tick_key(&self) -> Bytes {
        Bytes::new()
    }

    #[cfg(feature = "weaknesses")]
    fn tick_key(&self) -> Bytes {
        super::weak::tick_key(self.shared.options.host.now())
    }

    /// Waits while a record is further ahead of this machine's clock than clocks may differ (rule 11).
    async fn wait_for_clock(&mut self, inputs: &[Located]) {
        let limit = self.shared.options.clock_ahead_limit;
        let Some(newest) = inputs.iter().map(|located| located.input.clock).max() else { return };
        let mut alarmed = false;
        while ahead(newest, self.shared.options.host.now(), limit) {
            if !alarmed {
                alarmed = true;
                metrics::counter!(meters::CLOCK_AHEAD, "service" => S::NAME).increment(1);
                tracing::error!(
                    service = S::NAME,
                    partition = self.partition.0,
                    record_micros = newest.0,
                    "a record is far ahead of this machine's clock, waiting: check the clocks of log and host"
                );
            }
            tokio::select! {
                biased;
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
                () = self.lease.stopped() => return,
            }
        }
    }

    fn commit_if_due(&mut self, now: bool) -> Result<(), OwnerError> {
        let rows = self.taken.folded.overlay.len();
        let due = rows >= self.shared.options.store_commit_rows
            || self.last_commit.elapsed() >= self.shared.options.store_commit_every;
        // Without space the store stays late: the log has it all, and a write that fails would cost the whole store.
        if (now || (due && rows > 0)) && self.shared.state.has_room() {
            commit(&mut self.taken.folded)?;
            self.last_commit = Instant::now();
        }
        snapshot_if_due(&self.shared, self.partition, &mut self.taken.folded);
        Ok(())
    }

    /// For tests only: stands still before anything of a batch is decided.
    #[cfg(feature = "failpoints")]
    async fn hold(&mut self) {
        let name = format!("hold-{}", S::NAME);
        while failpoint::fails(&name) && !self.lease.is_stopped() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[cfg(not(feature = "failpoints"))]
    async fn hold(&mut self) {}

    /// For the kill test only: waits until the frames are readable, then stops without having seen the acknowledgement.
    #[cfg(feature = "failpoints")]
    async fn hit_when_appended(&mut self) -> Result<(), OwnerError> {
        if failpoint::next_hit_stops("appended-no-ack") {
            let expected = Offset(self.taken.folded.judge.next_offset());
            while self.shared.log.bounds(S::OUTPUT, self.partition).await?.end <= expected {
                tokio::task::yield_now().await;
            }
        }
        failpoint::hit("appended-no-ack");
        Ok(())
    }

    #[cfg(not(feature = "failpoints"))]
    async fn hit_when_appended(&mut self) -> Result<(), OwnerError> {
        Ok(())
    }
}

async fn next_tick(ticks: &mut Option<tokio::time::Interval>) {
    match ticks {
        Some(ticks) => {
            ticks.tick().await;
        }
        None => std::future::pending().await,
    }
}

async fn newest_values<S: Service>(
    shared: &Shared<S>,
    topic: Topic,
    partition: Partition,
) -> Result<std::collections::BTreeMap<Bytes, Bytes>, LogError> {
    let bounds = shared.log.bounds(topic, partition).await?;
    let mut newest = std::collections::BTreeMap::new();
    let mut next = bounds.start;
    if next < bounds.end {
        let mut reader = shared.log.reader(topic, partition, next).await?;
        while next < bounds.end {
            for record in reader.next(1_000, 4 << 20).await? {
                next = record.offset.next();
                newest.insert(record.key, record.value);
            }
        }
    }
    Ok(newest)
}

fn ahead(record: Micros, now: Micros, limit: Duration) -> bool {
    i128::from(record.0) > i128::from(now.0) + i128::try_from(limit.as_micros()).unwrap_or(i128::MAX)
}

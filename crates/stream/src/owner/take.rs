//! Taking a partition: fence, then read with rule 2 from a checked checkpoint through the fence (rule 1), folding (rule 5).
use super::partition::Lease;
use super::{OwnerError, Shared, topic_label};
use crate::cursor::{Cursor, WriterId};
use crate::follow::{check_anchor, note_void};
use crate::judge::{Frame, Judge, Judged};
use crate::log::{Appender, LogError, NewRecord, Offset, Partition};
use crate::parked;
use crate::seal;
use crate::service::{FrameMeta, Service, UnknownEvent};
use crate::snapshot::restore::{Recovery, RestoreError};
use crate::snapshot::{self, Pace};
use crate::store::{Overlay, StateStore};
use crate::weakness::{self, Weakness};
use bytes::Bytes;
use domain::facts::Personal;
use domain::ids::Hash;
use domain::tables::{Tables, View};
use domain::time::Micros;
use prost::Message;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use wire::envelope::{self, Envelope, Kind};
use wire::v1::FenceContent;

/// The row in which the loop keeps its place in the input; no service uses this table byte.
const INPUT_ROW: &[u8] = &[0xff];
/// Bytes read at once while folding.
const FOLD_BYTES: usize = 4 << 20;
const FOLD_RECORDS: usize = 4_000;

/// The input of the last accepted frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct InputPosition {
    pub(super) source: u64,
    pub(super) head: Hash,
    pub(super) step: u32,
    pub(super) last: bool,
    pub(super) offset: u64,
    pub(super) epoch: u64,
    pub(super) writer: WriterId,
    pub(super) clock: Micros,
}

/// A partition's folded state, with the place in its own output and in its input.
#[derive(Debug)]
pub(super) struct Folded {
    pub(super) overlay: Overlay,
    pub(super) judge: Judge,
    pub(super) position: Option<InputPosition>,
    /// When the next snapshot is due.
    pub(super) pace: Pace,
}

/// A partition that is ours.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) folded: Folded,
    pub(super) appender: Arc<dyn Appender>,
    pub(super) epoch: u64,
    pub(super) writer: WriterId,
}

impl Taken {
    /// Whether no other owner has fenced up to the output's present end.
    pub(super) async fn is_still_ours<S: Service>(
        &mut self,
        shared: &Shared<S>,
        partition: Partition,
        lease: &Lease,
    ) -> Result<bool, OwnerError> {
        let end = shared.log.bounds(S::OUTPUT, partition).await?.end;
        fold_to(shared, partition, lease, &mut self.folded, end).await?;
        Ok(self.folded.judge.is_owner(self.epoch, self.writer))
    }
}

impl From<RestoreError> for OwnerError {
    fn from(error: RestoreError) -> Self {
        match error {
            RestoreError::Log(error) => Self::Log(error),
            RestoreError::Store(error) => Self::Store(error),
            RestoreError::Released => Self::Lost,
        }
    }
}

/// What a service's snapshots must be of.
const fn snapshots_of<S: Service>() -> snapshot::Of {
    snapshot::Of { service: S::NAME, state_version: S::STATE_VERSION, logic_version: S::LOGIC_VERSION }
}

/// Takes `partition`.
pub(super) async fn take<S: Service>(
    shared: &Shared<S>,
    partition: Partition,
    lease: &Lease,
) -> Result<Taken, OwnerError> {
    let appender = shared.log.appender().await?;
    let mut folded = open_store(shared, partition, lease).await?;
    let end = shared.log.bounds(S::OUTPUT, partition).await?.end;
    fold_to(shared, partition, lease, &mut folded, end).await?;

    #[cfg(feature = "weaknesses")]
    if let Some((epoch, writer)) = super::weak::goes_on(shared, partition, &folded) {
        return Ok(Taken { folded, appender, epoch, writer });
    }
    if lease.is_released() {
        // Whoever is named now would be fenced for nothing.
        return Err(OwnerError::Lost);
    }
    let epoch = folded.judge.owner().0 + 1;
    let writer = new_writer(shared);
    let fence_offset = append_fence(shared, partition, appender.as_ref(), epoch, writer).await?;
    let through = match fence_offset {
        Some(offset) => offset.next(),
        // Acknowledged without an offset: it is below the end that is readable now.
        None => shared.log.bounds(S::OUTPUT, partition).await?.end,
    };
    // Never the tail before the fence: an old frame may sit between them, and is valid (F10).
    if !weakness::on(Weakness::TailBeforeFence) {
        fold_to(shared, partition, lease, &mut folded, through).await?;
    }
    #[cfg(feature = "weaknesses")]
    super::weak::after_fence(shared, partition, &mut folded, through, (epoch, writer)).await?;
    if !folded.judge.is_owner(epoch, writer) {
        return Err(OwnerError::Lost);
    }
    tracing::debug!(
        service = S::NAME,
        partition = partition.0,
        epoch,
        seq = folded.judge.last().0,
        "partition taken"
    );
    Ok(Taken { folded, appender, epoch, writer })
}

fn new_writer<S: Service>(shared: &Shared<S>) -> WriterId {
    let mut writer = [0; 16];
    for half in writer.chunks_exact_mut(8) {
        half.copy_from_slice(&shared.options.host.random().to_be_bytes());
    }
    WriterId(writer)
}

/// The newest checked local store, else the newest checked snapshot, else nothing (rule 5).
async fn open_store<S: Service>(
    shared: &Shared<S>,
    partition: Partition,
    lease: &Lease,
) -> Result<Folded, OwnerError> {
    let (store, cursor) = StateStore::open(&shared.state, S::NAME, partition, S::STATE_VERSION)?;
    let store = Arc::new(store);
    let local = match cursor {
        None => None,
        Some(cursor) => match check_anchor(&shared.log, S::OUTPUT, partition, &cursor).await {
            Ok(()) => Some(cursor),
            Err(crate::follow::FollowError::Log(error)) => return Err(error.into()),
            Err(error) => {
                // Own output: an unfitting store is discarded; the log is the truth (rule 10).
                tracing::warn!(service = S::NAME, partition = partition.0, %error, "local store discarded");
                store.discard()?;
                None
            }
        },
    };
    let (cursor, pace) = match &shared.options.snapshots {
        None => (local.unwrap_or(Cursor::START), Pace::NONE),
        Some(snapshots) => {
            let (log, store) = (&shared.log, store.as_ref());
            let recovery = Recovery { log, of: snapshots_of::<S>(), output: S::OUTPUT, partition, store };
            recovery.run(snapshots, local, &|| lease.is_released()).await?
        }
    };
    let overlay = Overlay::new(store);
    let position = domain::tables::row(&overlay, INPUT_ROW);
    let judge = Judge::new(cursor);
    check_logic::<S>(&judge)?;
    Ok(Folded { overlay, judge, position, pace })
}

async fn append_fence<S: Service>(
    shared: &Shared<S>,
    partition: Partition,
    appender: &dyn Appender,
    epoch: u64,
    writer: WriterId,
) -> Result<Option<Offset>, OwnerError> {
    let content =
        FenceContent { logic_version: S::LOGIC_VERSION, service: S::NAME.to_owned() }.encode_to_vec();
    let envelope = Envelope {
        kind: Kind::Fence,
        epoch,
        writer: writer.0,
        input_offset: 0,
        input_epoch: 0,
        input_writer: [0; 16],
        trace: None,
    };
    let record = NewRecord { key: Bytes::new(), value: envelope::encode(&envelope, &content) };
    let deadline = shared.options.append_deadline;
    let offsets = tokio::time::timeout(deadline, appender.append(S::OUTPUT, partition, vec![record]))
        .await
        .map_err(|_| OwnerError::AppendDeadline(deadline))??;
    Ok(offsets.first().copied().flatten())
}

/// Reads and folds the service's own output up to (not including) `end`.
pub(super) async fn fold_to<S: Service>(
    shared: &Shared<S>,
    partition: Partition,
    lease: &Lease,
    folded: &mut Folded,
    end: Offset,
) -> Result<(), OwnerError> {
    if folded.judge.next_offset() >= end.0 {
        return Ok(());
    }
    let from = Offset(folded.judge.next_offset());
    let mut reader = match shared.log.reader(S::OUTPUT, partition, from).await {
        Ok(reader) => reader,
        Err(error @ LogError::OutOfRange { .. }) => return Err(shared.halted(partition, error.to_string())),
        Err(error) => return Err(error.into()),
    };
    while folded.judge.next_offset() < end.0 {
        let wanted = usize::try_from(end.0 - folded.judge.next_offset()).unwrap_or(usize::MAX);
        let records = reader.next(wanted.min(FOLD_RECORDS), FOLD_BYTES).await?;
        let mut frames = Vec::with_capacity(records.len());
        for record in records {
            if record.offset >= end {
                break;
            }
            match folded.judge.judge(&record).map_err(|halt| shared.halt(partition, &halt))? {
                Judged::Frame(frame) => frames.push(decode(shared, *frame)?),
                Judged::Fence => check_logic::<S>(&folded.judge)?,
                Judged::Void(void) => note_void(S::OUTPUT, partition, record.offset, void),
            }
        }
        open_personal(shared, &mut frames).await?;
        for (frame, events) in &frames {
            fold_frame(shared, folded, frame, events);
        }
        if folded.overlay.len() >= shared.options.store_commit_rows {
            commit(folded)?;
        }
        if lease.is_released() {
            return Err(OwnerError::Lost);
        }
    }
    Ok(())
}

fn check_logic<S: Service>(judge: &Judge) -> Result<(), UnknownEvent> {
    if judge.logic_version() > S::LOGIC_VERSION {
        return Err(UnknownEvent {
            service: S::NAME,
            detail: format!(
                "{} was decided by logic version {}, this binary has {}",
                topic_label(S::OUTPUT),
                judge.logic_version(),
                S::LOGIC_VERSION
            ),
        });
    }
    Ok(())
}

/// A frame with its decoded events.
type Decoded<S> = (Frame, Vec<<S as Service>::Event>);

fn decode<S: Service>(shared: &Shared<S>, frame: Frame) -> Result<Decoded<S>, UnknownEvent> {
    let events = frame.events.iter().map(|bytes| shared.service.decode(bytes)).collect::<Result<_, _>>()?;
    Ok((frame, events))
}

/// Opens what is sealed, with one look into the key store for the batch.
async fn open_personal<S: Service>(shared: &Shared<S>, frames: &mut [Decoded<S>]) -> Result<(), OwnerError> {
    let mut subjects = Vec::new();
    for event in frames.iter_mut().flat_map(|(_, events)| events) {
        let sealed = shared.service.personal(event).into_iter();
        subjects.extend(sealed.filter(|(_, field)| matches!(field, Personal::Sealed(_))).map(|(id, _)| id));
    }
    if subjects.is_empty() {
        return Ok(());
    }
    subjects.sort_unstable();
    subjects.dedup();
    let keys = shared.keys.load(&subjects).await?;
    for event in frames.iter_mut().flat_map(|(_, events)| events) {
        for (subject, field) in shared.service.personal(event) {
            seal::open(keys.get(subject), subject, field)?;
        }
    }
    Ok(())
}

fn fold_frame<S: Service>(shared: &Shared<S>, folded: &mut Folded, frame: &Frame, events: &[S::Event]) {
    let meta = FrameMeta {
        seq: frame.seq,
        source: frame.source,
        source_head: frame.source_head,
        step: frame.step,
        last: frame.last,
        clock: frame.clock,
    };
    shared.service.evolve(&mut folded.overlay, &meta, events);
    parked::fold(&mut folded.overlay, S::NAME, frame.step, &frame.defect_input, &frame.marks);
    folded.position = Some(InputPosition {
        source: frame.source,
        head: frame.source_head,
        step: frame.step,
        last: frame.last,
        offset: frame.envelope.input_offset,
        epoch: frame.envelope.input_epoch,
        writer: WriterId(frame.envelope.input_writer),
        clock: frame.clock,
    });
}

/// Takes the fence at the end of what is folded, whatever lies between.
#[cfg(feature = "weaknesses")]
pub(super) fn fold_to_fence_only(folded: &mut Folded, through: Offset, epoch: u64, writer: WriterId) {
    folded.judge.assume(through.0, epoch, writer);
}

/// Commits what is folded so far, with its whole cursor.
pub(super) fn commit(folded: &mut Folded) -> Result<(), OwnerError> {
    if folded.overlay.is_empty() {
        return Ok(());
    }
    if let Some(position) = &folded.position {
        domain::tables::put_row(&mut folded.overlay, INPUT_ROW, position);
    }
    folded.overlay.commit(&folded.judge.cursor())?;
    Ok(())
}

/// Takes a snapshot of what is committed, when one is due.
pub(super) fn snapshot_if_due<S: Service>(shared: &Shared<S>, partition: Partition, folded: &mut Folded) {
    if let Some(snapshots) = &shared.options.snapshots {
        let seq = folded.judge.last().0;
        snapshots.take_if_due(snapshots_of::<S>(), partition, folded.overlay.store(), seq, &mut folded.pace);
    }
}

/// The overlay as `decide` sees it.
pub(super) fn view(overlay: &Overlay) -> &dyn View {
    overlay
}

/// The overlay as `evolve` sees it.
pub(super) fn tables(overlay: &mut Overlay) -> &mut dyn Tables {
    overlay
}

//! One connection's life: ask the rows where they stand, follow from there, commit until something goes wrong.
use super::read::Chunk;
use super::standing::Known;
use super::trace::{self, Traced};
use super::{Options, Progress, ProjectorError, State, meters, places_of, read};
use readmodel::apply::{self, Applied, ApplyError};
use readmodel::batch::{Batch, Place};
use readmodel::cursors;
use sqlx::{Connection, PgConnection, PgPool};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use stream::assignment::Assignment;
use stream::cursor::Cursor;
use stream::log::{Log, Partition};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Chunks that readers may have ready; each waits with one more in its hands.
const CHUNKS_AHEAD: usize = 32;
/// A transaction that takes longer is in doubt.
const COMMIT_LIMIT: Duration = Duration::from_secs(60);
/// For one partition's rows of an older generation: there may be tens of millions.
const DELETE_LIMIT: Duration = Duration::from_secs(1_800);
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// For a transaction under way when the process ends; one that is cut off is in doubt, and settled at the next start.
const LAST_COMMIT_LIMIT: Duration = Duration::from_secs(1);

/// The writer and what it remembers from one connection to the next.
#[derive(Debug)]
pub(super) struct Writer {
    options: Options,
    log: Arc<dyn Log>,
    pool: PgPool,
    progress: watch::Sender<Progress>,
    known: Known,
    batches: u64,
}

/// The readers of one session. Dropping it ends them.
struct Readers {
    tasks: JoinSet<Result<(), ProjectorError>>,
    /// By place: the reader's number, and what ends it.
    held: BTreeMap<Place, (u64, AbortHandle)>,
    started: u64,
    sender: mpsc::Sender<Chunk>,
}

impl Readers {
    /// Whether `chunk` comes from a reader that is still wanted.
    fn wants(&self, chunk: &Chunk) -> bool {
        self.held.get(&chunk.place).is_some_and(|(reader, _)| *reader == chunk.reader)
    }

    /// Ends the readers of all places but `places`; what they have left behind is passed over.
    fn retain(&mut self, places: &BTreeSet<Place>) {
        self.held.retain(|place, (_, task)| {
            let wanted = places.contains(place);
            if !wanted {
                task.abort();
            }
            wanted
        });
    }
}

impl Writer {
    pub(super) fn new(
        options: Options,
        log: Arc<dyn Log>,
        pool: PgPool,
        progress: watch::Sender<Progress>,
    ) -> Self {
        Self { options, log, pool, progress, known: Known::default(), batches: 0 }
    }

    /// Batches committed so far.
    pub(super) const fn batches(&self) -> u64 {
        self.batches
    }

    pub(super) fn waiting(&self, why: String) {
        self.progress.send_modify(|progress| progress.state = State::Waiting(why));
    }

    /// Follows and commits until shutdown (`Ok`) or an error. A connection of its own: after an error nobody else may get it.
    pub(super) async fn session(
        &mut self,
        assignment: &mut Assignment,
        shutdown: &CancellationToken,
    ) -> Result<(), ProjectorError> {
        let Some(partitions) = settled(assignment, shutdown).await? else { return Ok(()) };
        let options = self.pool.connect_options();
        let connect = tokio::time::timeout(CONNECT_LIMIT, PgConnection::connect_with(&options));
        let mut connection = tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            connected = connect => connected
                .map_err(|_| ProjectorError::Database(sqlx::Error::PoolTimedOut))?
                .map_err(ProjectorError::Database)?,
        };
        let (sender, mut chunks) = mpsc::channel(CHUNKS_AHEAD);
        let mut readers = Readers { tasks: JoinSet::new(), held: BTreeMap::new(), started: 0, sender };
        self.follow(&mut connection, &mut readers, &partitions).await?;
        self.progress.send_modify(|progress| progress.state = State::Following);
        meters::following(true);
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Some(ended) = readers.tasks.join_next() => {
                    return Err(match ended {
                        Ok(Err(error)) => error,
                        Ok(Ok(())) => ProjectorError::Reader("ended".to_owned()),
                        // Its place went to another projector.
                        Err(error) if error.is_cancelled() => continue,
                        Err(error) => ProjectorError::Reader(error.to_string()),
                    });
                }
                changed = assignment.changed() => {
                    if !changed {
                        return Err(ProjectorError::Reader("the log was closed".to_owned()));
                    }
                    let named = assignment.named();
                    // While a rebalance is under way nobody else is named for what is followed here.
                    if named.settled {
                        self.follow(&mut connection, &mut readers, &named.partitions).await?;
                    }
                }
                Some(first) = chunks.recv() => {
                    let (batch, traced) = self.collect(first, &readers, &mut chunks)?;
                    if batch.is_empty() {
                        continue;
                    }
                    let committing = self.commit(&mut connection, batch, traced);
                    tokio::select! {
                        biased;
                        committed = committing => committed?,
                        () = out_of_time(shutdown) => {
                            tracing::warn!("the database does not answer, the last transaction is left to it");
                            return Ok(());
                        }
                    }
                }
            }
        }
        if let Err(error) = connection.close().await {
            tracing::debug!(%error, "connection not closed in order");
        }
        Ok(())
    }

    /// Follows exactly `partitions`: ends the readers of all others, and starts those that are missing, each from its cursor
    /// row.
    async fn follow(
        &mut self,
        connection: &mut PgConnection,
        readers: &mut Readers,
        partitions: &BTreeSet<Partition>,
    ) -> Result<(), ProjectorError> {
        meters::owned(partitions.len());
        let mut places = places_of(partitions);
        let wanted: BTreeSet<Place> = places.iter().copied().collect();
        readers.retain(&wanted);
        self.progress.send_modify(|progress| progress.cursors.retain(|place, _| wanted.contains(place)));
        places.retain(|place| !readers.held.contains_key(place));
        if places.is_empty() {
            return Ok(());
        }
        self.begin_generation(connection, &places).await?;
        let rows =
            tokio::time::timeout(COMMIT_LIMIT, cursors::ensure(connection, self.options.generation, &places))
                .await
                .map_err(|_| ProjectorError::Database(sqlx::Error::PoolTimedOut))?
                .map_err(ApplyError::of_statement)?;
        self.known.take(&rows)?;
        self.publish(&rows);
        for (place, cursor) in rows {
            readers.started += 1;
            let reader = readers.started;
            let (log, sender) = (Arc::clone(&self.log), readers.sender.clone());
            let reading = read::read(self.options.clone(), log, (place, reader), cursor, sender);
            let task = readers.tasks.spawn(reading);
            readers.held.insert(place, (reader, task));
        }
        Ok(())
    }

    /// Deletes the rows of an older generation: what this one has more can only come from the log.
    async fn begin_generation(
        &self,
        connection: &mut PgConnection,
        places: &[Place],
    ) -> Result<(), ProjectorError> {
        let generation = self.options.generation;
        let superseded = cursors::superseded(connection, generation, Some(places)).await;
        for partition in superseded.map_err(ApplyError::of_statement)? {
            let deleting = cursors::supersede(connection, generation, partition);
            let done = tokio::time::timeout(DELETE_LIMIT, deleting).await;
            let done = done.map_err(|_| ProjectorError::Database(sqlx::Error::PoolTimedOut))?;
            if done.map_err(ApplyError::of_statement)? {
                let partition = partition.0;
                tracing::info!(partition, generation, "rows of an older generation are projected again");
            }
        }
        Ok(())
    }

    /// What has come by now, up to the limit: nobody waits for more.
    fn collect(
        &self,
        first: Chunk,
        readers: &Readers,
        chunks: &mut mpsc::Receiver<Chunk>,
    ) -> Result<(Batch, Vec<Traced>), ProjectorError> {
        let mut batch = Batch::default();
        let mut traced = Vec::new();
        let mut next = Some(first);
        while let Some(chunk) = next {
            if readers.wants(&chunk) {
                batch.push(chunk.advance)?;
                traced.extend(chunk.traced);
            }
            let room = batch.frames() < self.options.batch_frames;
            next = if room { chunks.try_recv().ok() } else { None };
        }
        Ok((batch, traced))
    }

    async fn commit(
        &mut self,
        connection: &mut PgConnection,
        batch: Batch,
        traced: Vec<Traced>,
    ) -> Result<(), ProjectorError> {
        let started = Instant::now();
        let applying = apply::apply(connection, self.options.generation, &batch);
        let result = tokio::time::timeout(COMMIT_LIMIT, applying).await.unwrap_or_else(|_| {
            Err(ApplyError::CommitUnknown(sqlx::Error::Protocol("no answer in time".to_owned())))
        });
        match result {
            Ok(applied) => {
                self.done(&applied, started);
                trace::committed(&self.options.spans, &traced, applied.frames, started.elapsed());
                Ok(())
            }
            Err(error @ ApplyError::CommitUnknown(_)) => {
                self.known.doubt(batch.after());
                Err(error.into())
            }
            // A COMMIT in doubt landed after the rows had been read again: the next session takes it as it is.
            Err(ApplyError::Refused { followed, partition, found, .. })
                if self.known.explains(&(followed, partition), &found) =>
            {
                Err(ProjectorError::Database(sqlx::Error::Protocol(
                    "a commit in doubt has landed".to_owned(),
                )))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn done(&mut self, applied: &Applied, started: Instant) {
        self.batches += 1;
        self.known.committed(&applied.cursors);
        self.publish(&applied.cursors);
        meters::committed(applied.frames, started.elapsed());
    }

    fn publish(&self, cursors: &BTreeMap<Place, Cursor>) {
        self.progress.send_modify(|progress| {
            progress.cursors.extend(cursors.iter().map(|(place, cursor)| (*place, *cursor)));
        });
    }
}

/// What this process is named for, as soon as no rebalance is under way; `None`: the process ends.
async fn settled(
    assignment: &mut Assignment,
    shutdown: &CancellationToken,
) -> Result<Option<BTreeSet<Partition>>, ProjectorError> {
    loop {
        let named = assignment.named();
        if named.settled {
            return Ok(Some(named.partitions));
        }
        match shutdown.run_until_cancelled(assignment.changed()).await {
            None => return Ok(None),
            Some(true) => {}
            Some(false) => return Err(ProjectorError::Reader("the log was closed".to_owned())),
        }
    }
}

/// Returns when a transaction may no longer be waited for, since the process ends.
async fn out_of_time(shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    tokio::time::sleep(LAST_COMMIT_LIMIT).await;
}

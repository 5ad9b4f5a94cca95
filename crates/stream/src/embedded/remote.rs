//! Another process's log through the socket in its directory: everything can be read, and `ingest` can be written.
use super::frames::{Answer, MOST_ANSWER_BYTES, Operation, Request, encode_record, socket_path};
use super::{EmbeddedLog, EmbeddedOptions, MAX_RECORD_BYTES};
use crate::log::{
    AppendError, Appender, Bounds, Log, LogError, NewRecord, Offset, Partition, Reader, Record, Topic,
};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{Mutex, watch};

/// A hundred years.
pub(crate) const KEEP_ALL: Duration = Duration::from_secs(100 * 365 * 86_400);
const READ_ONLY: &str = "this log is open for reading only";

/// The log in `dir` for a command that only reads: through the process that has it open, else from the directory itself.
///
/// # Errors
/// [`LogError::Unavailable`] when there is no log, or when its holder does not answer.
pub async fn open_read_only(dir: &Path) -> Result<Arc<dyn Log>, LogError> {
    match RemoteLog::connect(dir).await {
        Ok(log) => Ok(Arc::new(log)),
        Err(socket) => {
            tracing::debug!(error = %socket, "no process answers for the log, opening it");
            let mut options = EmbeddedOptions::new(dir);
            // A reader knows nothing of what its owner set: it must not trim by a default.
            options.ingest_retention = KEEP_ALL;
            options.outcome_retention = KEEP_ALL;
            let opened = tokio::task::spawn_blocking(move || EmbeddedLog::open_existing(&options)).await;
            let log = opened.map_err(|error| LogError::Unavailable(error.to_string()))??;
            Ok(Arc::new(ReadOnly(log)))
        }
    }
}

/// A log of this process that is not to be written.
#[derive(Debug)]
struct ReadOnly(Arc<EmbeddedLog>);

#[async_trait]
impl Log for ReadOnly {
    fn partition_count(&self) -> u32 {
        self.0.partition_count()
    }

    async fn appender(&self) -> Result<Arc<dyn Appender>, LogError> {
        Err(LogError::Misconfigured(READ_ONLY.to_owned()))
    }

    async fn reader(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
    ) -> Result<Box<dyn Reader>, LogError> {
        self.0.reader(topic, partition, from).await
    }

    async fn bounds(&self, topic: Topic, partition: Partition) -> Result<Bounds, LogError> {
        self.0.bounds(topic, partition).await
    }

    async fn record_at(
        &self,
        topic: Topic,
        partition: Partition,
        offset: Offset,
    ) -> Result<Option<Record>, LogError> {
        self.0.record_at(topic, partition, offset).await
    }

    async fn check(&self) -> Result<(), LogError> {
        self.0.check().await
    }

    fn active(&self) -> watch::Receiver<Vec<Partition>> {
        self.0.active()
    }
}

/// One conversation. A call that is dropped half-way takes the stream with it, so that the next one begins anew.
#[derive(Debug)]
struct Connection {
    dir: PathBuf,
    stream: Option<UnixStream>,
}

impl Connection {
    fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), stream: None }
    }

    async fn call(&mut self, request: &Request) -> Result<Answer, LogError> {
        self.send(request, &[]).await
    }

    async fn send(&mut self, request: &Request, more: &[u8]) -> Result<Answer, LogError> {
        let answer = self.exchange(request, more).await.map_err(|error| {
            LogError::Unavailable(format!("log socket in {}: {error}", self.dir.display()))
        })?;
        Answer::decode(answer)?.into_result(request)
    }

    async fn exchange(&mut self, request: &Request, more: &[u8]) -> std::io::Result<Bytes> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let (path, _held) = socket_path(&self.dir)?;
                UnixStream::connect(path).await?
            }
        };
        stream.write_all(&request.encode()).await?;
        stream.write_all(more).await?;
        let length = stream.read_u32_le().await? as usize;
        if length > MOST_ANSWER_BYTES {
            return Err(std::io::Error::other("an answer is too long"));
        }
        let mut answer = BytesMut::zeroed(length);
        stream.read_exact(&mut answer).await?;
        self.stream = Some(stream);
        Ok(answer.freeze())
    }
}

fn request(operation: Operation, topic: Topic, partition: Partition, offset: Offset) -> Request {
    Request { operation, topic, partition, offset, most_records: 0, most_bytes: 0 }
}

fn unexpected() -> LogError {
    super::frames::Unintelligible.into()
}

/// A running process's log: read-only, except that `ingest` can be appended to.
#[derive(Debug)]
pub struct RemoteLog {
    dir: PathBuf,
    partitions: u32,
    active: watch::Sender<Vec<Partition>>,
    connection: Mutex<Connection>,
}

impl RemoteLog {
    /// Connects to the process that has the log in `dir` open.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] when none answers.
    pub async fn connect(dir: &Path) -> Result<Self, LogError> {
        let mut connection = Connection::new(dir);
        let hello = request(Operation::Hello, Topic::Ingest, Partition(0), Offset(0));
        let Answer::Hello { partitions, active } = connection.call(&hello).await? else {
            return Err(unexpected());
        };
        Ok(Self {
            dir: dir.to_owned(),
            partitions,
            active: watch::Sender::new(active),
            connection: Mutex::new(connection),
        })
    }
}

#[async_trait]
impl Log for RemoteLog {
    fn partition_count(&self) -> u32 {
        self.partitions
    }

    async fn appender(&self) -> Result<Arc<dyn Appender>, LogError> {
        Ok(Arc::new(RemoteAppender { dir: self.dir.clone() }))
    }

    async fn reader(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
    ) -> Result<Box<dyn Reader>, LogError> {
        let bounds = self.bounds(topic, partition).await?;
        if from < bounds.start || from > bounds.end {
            let asked = request(Operation::Read, topic, partition, from);
            Answer::OutOfRange(bounds).into_result(&asked)?;
        }
        Ok(Box::new(RemoteReader { topic, partition, next: from, connection: Connection::new(&self.dir) }))
    }

    async fn bounds(&self, topic: Topic, partition: Partition) -> Result<Bounds, LogError> {
        let asked = request(Operation::Bounds, topic, partition, Offset(0));
        match self.connection.lock().await.call(&asked).await? {
            Answer::Bounds(bounds) => Ok(bounds),
            _ => Err(unexpected()),
        }
    }

    async fn record_at(
        &self,
        topic: Topic,
        partition: Partition,
        offset: Offset,
    ) -> Result<Option<Record>, LogError> {
        let asked = request(Operation::RecordAt, topic, partition, offset);
        match self.connection.lock().await.call(&asked).await? {
            Answer::Records(records) => Ok(records.into_iter().next()),
            _ => Err(unexpected()),
        }
    }

    async fn check(&self) -> Result<(), LogError> {
        self.bounds(Topic::Ingest, Partition(0)).await.map(|_| ())
    }

    /// As it was when the connection was made.
    fn active(&self) -> watch::Receiver<Vec<Partition>> {
        self.active.subscribe()
    }
}

/// Appends to `ingest`, each record over a connection of its own: commands write a handful.
#[derive(Debug)]
struct RemoteAppender {
    dir: PathBuf,
}

impl Appender for RemoteAppender {
    fn append(
        &self,
        topic: Topic,
        partition: Partition,
        records: Vec<NewRecord>,
    ) -> BoxFuture<'static, Result<Vec<Option<Offset>>, AppendError>> {
        let mut connection = Connection::new(&self.dir);
        Box::pin(async move {
            let mut offsets = Vec::with_capacity(records.len());
            for record in &records {
                if topic != Topic::Ingest {
                    return Err(AppendError::Refused(format!(
                        "{} is not written through the socket",
                        topic.name()
                    )));
                }
                let bytes = record.key.len() + record.value.len();
                if bytes > MAX_RECORD_BYTES {
                    return Err(AppendError::Refused(format!(
                        "a record is larger than {MAX_RECORD_BYTES} bytes"
                    )));
                }
                let record = encode_record(record);
                let asked = Request {
                    most_bytes: record.len(),
                    ..request(Operation::Append, topic, partition, Offset(0))
                };
                match connection.send(&asked, &record).await {
                    Ok(Answer::Appended(offset)) => offsets.push(offset),
                    // Of several, those before it are in the log.
                    Ok(Answer::Refused(text)) if offsets.is_empty() => {
                        return Err(AppendError::Refused(text));
                    }
                    Ok(_) => return Err(AppendError::Indefinite(unexpected().to_string())),
                    Err(error) => return Err(AppendError::Indefinite(error.to_string())),
                }
            }
            Ok(offsets)
        })
    }
}

/// A reader over a connection of its own.
#[derive(Debug)]
struct RemoteReader {
    topic: Topic,
    partition: Partition,
    next: Offset,
    connection: Connection,
}

#[async_trait]
impl Reader for RemoteReader {
    async fn next(&mut self, max_records: usize, max_bytes: usize) -> Result<Vec<Record>, LogError> {
        loop {
            let asked = Request {
                most_records: max_records,
                most_bytes: max_bytes,
                ..request(Operation::Read, self.topic, self.partition, self.next)
            };
            let Answer::Records(records) = self.connection.call(&asked).await? else {
                return Err(unexpected());
            };
            if let Some(last) = records.last() {
                self.next = last.offset.next();
                return Ok(records);
            }
        }
    }
}

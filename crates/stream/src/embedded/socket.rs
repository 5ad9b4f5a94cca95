//! The running process answers for its log: the directory has one holder, so other commands ask through a socket in it.
use super::frames::{
    Answer, MOST_APPEND_BYTES, Operation, REQUEST_BYTES, Request, Unintelligible, decode_record, socket_path,
};
use super::reader::EmbeddedReader;
use super::record_at;
use super::shared::Shared;
use crate::log::{AppendError, Appender, LogError, Reader, Topic};
use bytes::BytesMut;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

/// Readers of other processes at once: a command opens one per partition it follows, and one more.
const CONNECTIONS: usize = 1_024;
/// A read at the end is answered after this long with nothing, so that a dead client is noticed.
const WAIT: Duration = Duration::from_secs(1);

/// Answers until it is dropped.
#[derive(Debug)]
pub(super) struct Server {
    accepting: JoinHandle<()>,
    path: PathBuf,
    _held: Option<std::fs::File>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "socket not removed");
        }
    }
}

/// Listens in `dir`, whose lock the caller holds: a socket that is there was left by a dead process.
pub(super) fn serve(
    shared: &Arc<Shared>,
    appender: Arc<dyn Appender>,
    dir: &Path,
) -> std::io::Result<Server> {
    let runtime = tokio::runtime::Handle::try_current().map_err(std::io::Error::other)?;
    let (path, held) = socket_path(dir)?;
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    let accepting = runtime.spawn(accept(listener, Arc::clone(shared), appender));
    Ok(Server { accepting, path, _held: held })
}

async fn accept(listener: UnixListener, shared: Arc<Shared>, appender: Arc<dyn Appender>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    // Dropped with this task, which ends the connections.
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (shared, appender) = (Arc::clone(&shared), Arc::clone(&appender));
                connections.spawn(async move {
                    if let Err(error) = converse(stream, &shared, appender.as_ref()).await {
                        tracing::debug!(%error, "log socket connection ended");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: a pause lets others close theirs.
                tracing::warn!(%error, "log socket does not accept");
                tokio::time::sleep(WAIT).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn converse(
    mut stream: UnixStream,
    shared: &Arc<Shared>,
    appender: &dyn Appender,
) -> std::io::Result<()> {
    let mut request = [0; REQUEST_BYTES];
    loop {
        match stream.read_exact(&mut request).await {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
        let request = Request::decode(&request).map_err(std::io::Error::other)?;
        let answer = match request.operation {
            Operation::Append => append(&mut stream, appender, &request).await?,
            _ => answer(shared, &request).await.unwrap_or_else(Answer::of_error),
        };
        stream.write_all(&answer.encode()).await?;
    }
}

/// Takes one record for `ingest`. The chain's topics have one writer per partition, which is never another process of a command.
async fn append(
    stream: &mut UnixStream,
    appender: &dyn Appender,
    request: &Request,
) -> std::io::Result<Answer> {
    if request.most_bytes > MOST_APPEND_BYTES {
        return Err(std::io::Error::other("a record is too long"));
    }
    let mut bytes = BytesMut::zeroed(request.most_bytes);
    stream.read_exact(&mut bytes).await?;
    let record = decode_record(bytes.freeze()).map_err(std::io::Error::other)?;
    if request.topic != Topic::Ingest {
        let refused = format!("{} is not written through the socket", request.topic.name());
        return Ok(Answer::Refused(refused));
    }
    Ok(match appender.append(request.topic, request.partition, vec![record]).await {
        Ok(offsets) => Answer::Appended(offsets.into_iter().next().flatten()),
        Err(AppendError::Refused(text)) => Answer::Refused(text),
        Err(AppendError::Indefinite(text)) => Answer::of_error(LogError::Unavailable(text)),
    })
}

async fn answer(shared: &Arc<Shared>, request: &Request) -> Result<Answer, LogError> {
    let Request { topic, partition, offset, .. } = *request;
    Ok(match request.operation {
        Operation::Hello => {
            Answer::Hello { partitions: shared.partitions, active: shared.active.borrow().clone() }
        }
        Operation::Bounds => Answer::Bounds(shared.bounds(topic, partition)?),
        Operation::RecordAt => {
            Answer::Records(record_at(shared, topic, partition, offset).await?.into_iter().collect())
        }
        Operation::Read => {
            let mut reader = EmbeddedReader::open(shared, topic, partition, offset)?;
            let read =
                tokio::time::timeout(WAIT, reader.next(request.most_records, request.most_bytes)).await;
            Answer::Records(read.unwrap_or_else(|_| Ok(Vec::new()))?)
        }
        // It comes with its record, which only the conversation can read.
        Operation::Append => return Err(Unintelligible.into()),
    })
}

//! The running process answers for its log: the directory has one holder, so other commands ask through a socket in it.
use super::frames::{Answer, Operation, REQUEST_BYTES, Request, socket_path};
use super::reader::EmbeddedReader;
use super::record_at;
use super::shared::Shared;
use crate::log::{LogError, Reader};
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
pub(super) fn serve(shared: &Arc<Shared>, dir: &Path) -> std::io::Result<Server> {
    let runtime = tokio::runtime::Handle::try_current().map_err(std::io::Error::other)?;
    let (path, held) = socket_path(dir)?;
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    let accepting = runtime.spawn(accept(listener, Arc::clone(shared)));
    Ok(Server { accepting, path, _held: held })
}

async fn accept(listener: UnixListener, shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    // Dropped with this task, which ends the connections.
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    if let Err(error) = converse(stream, &shared).await {
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

async fn converse(mut stream: UnixStream, shared: &Arc<Shared>) -> std::io::Result<()> {
    let mut request = [0; REQUEST_BYTES];
    loop {
        match stream.read_exact(&mut request).await {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
        let request = Request::decode(&request).map_err(std::io::Error::other)?;
        let answer = answer(shared, &request).await.unwrap_or_else(Answer::of_error);
        stream.write_all(&answer.encode()).await?;
    }
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
    })
}

//! A server process: found by its pid file, asked, stopped.
use super::{PAUSE, PrivatePostgresError};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::{Connection, PgConnection};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::process::Child;
use tokio::time::Instant;

/// A server that runs on a cluster.
#[derive(Debug)]
pub(super) struct Running {
    cluster: PathBuf,
    pid: i32,
    port: Option<u16>,
    /// When this process started it: to be reaped.
    child: Option<Child>,
}

impl Running {
    /// A server that this process started.
    pub(super) fn child(cluster: &Path, child: Child, port: u16) -> Self {
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
        Self { cluster: cluster.to_owned(), pid, port: Some(port), child: Some(child) }
    }

    /// The server that the cluster's pid file names, if it lives.
    pub(super) fn find(cluster: &Path) -> Option<Self> {
        let file = std::fs::read_to_string(cluster.join("postmaster.pid")).ok()?;
        let mut lines = file.lines();
        let pid: i32 = lines.next()?.trim().parse().ok()?;
        let port = lines.nth(2).and_then(|line| line.trim().parse().ok());
        let running = Self { cluster: cluster.to_owned(), pid, port, child: None };
        running.lives().then_some(running)
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid.unsigned_abs()
    }

    pub(super) const fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether the child has ended, and how.
    pub(super) fn ended(&mut self) -> Option<String> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        Some(status.to_string())
    }

    /// Asks for a fast shutdown. Whether it can be asked is seen by whether it ends.
    pub(super) fn interrupt(&self) {
        if let Err(error) = kill(Pid::from_raw(self.pid), Signal::SIGINT) {
            tracing::debug!(pid = self.pid, %error, "private postgres not signalled");
        }
    }

    /// Fast shutdown; after `patience`, an immediate one.
    pub(super) async fn stop(mut self, patience: Duration) -> Result<(), PrivatePostgresError> {
        self.interrupt();
        if self.ends_within(patience).await {
            return Ok(());
        }
        tracing::warn!(pid = self.pid, "private postgres does not stop, immediate shutdown");
        if let Err(error) = kill(Pid::from_raw(self.pid), Signal::SIGQUIT) {
            tracing::debug!(pid = self.pid, %error, "private postgres not signalled");
        }
        if self.ends_within(patience).await {
            return Ok(());
        }
        Err(PrivatePostgresError::failed("stopping the server", format!("pid {} still runs", self.pid)))
    }

    async fn ends_within(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while self.ended().is_none() && self.lives() {
            if Instant::now() > deadline {
                return false;
            }
            tokio::time::sleep(PAUSE).await;
        }
        true
    }

    /// Whether the process is there and still holds the cluster: a server removes its pid file as its last act, and nobody
    /// may be there to reap an adopted one. A pid that another program got meanwhile is not it, nor is a killed one that
    /// waits to be reaped.
    fn lives(&self) -> bool {
        let held = std::fs::read_to_string(self.cluster.join("postmaster.pid"))
            .map_or(self.child.is_some(), |file| file.lines().next() == Some(self.pid.to_string().as_str()));
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid));
        held && kill(Pid::from_raw(self.pid), None).is_ok()
            && stat.map_or(true, |stat| stat.contains("(postgres) ") && !stat.contains("(postgres) Z"))
    }
}

/// Connects once within `patience`.
pub(super) async fn answers(url: &str, patience: Duration) -> Result<(), PrivatePostgresError> {
    let asked = tokio::time::timeout(patience, async {
        let mut connection = PgConnection::connect(&maintenance(url)).await?;
        sqlx::query("SELECT 1").execute(&mut connection).await?;
        connection.close().await
    });
    match asked.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(PrivatePostgresError::failed("connecting", error)),
        Err(_) => Err(PrivatePostgresError::failed("connecting", "no answer")),
    }
}

/// Creates the database, which a new cluster has not.
pub(super) async fn create_database(url: &str) -> Result<(), PrivatePostgresError> {
    let failed = |error: sqlx::Error| PrivatePostgresError::failed("creating the database", error);
    let mut connection = PgConnection::connect(&maintenance(url)).await.map_err(failed)?;
    let there: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_database WHERE datname = 'tributary'")
        .fetch_one(&mut connection)
        .await
        .map_err(failed)?;
    if there == 0 {
        sqlx::query("CREATE DATABASE tributary").execute(&mut connection).await.map_err(failed)?;
    }
    connection.close().await.map_err(failed)
}

/// The same server's database `postgres`, which is always there.
fn maintenance(url: &str) -> String {
    url.replace("/tributary?", "/postgres?")
}

//! A private Postgres for those who have none: started from locally installed server binaries, under the data directory.
//!
//! It listens on loopback only, on a free port, with a generated password. As root it runs as the user `postgres` (or
//! `nobody`), since the server refuses root. It outlives a parent that was killed; the next start adopts it. Whoever started or
//! adopted it last stops it. Its durability settings are Postgres' own.
mod cluster;
mod locate;
mod running;

pub use locate::Binaries;

use cluster::Cluster;
use running::Running;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// The file in the data directory that holds the URL (0600).
pub const URL_FILE: &str = "postgres.url";
const OWNER_FILE: &str = "postgres.owner";
const LOCK_FILE: &str = "postgres.lock";
const LOG_FILE: &str = "postgres.log";
/// A start that another process has under way, or a server, has this long.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// Why there is no private Postgres.
#[derive(Debug, thiserror::Error)]
pub enum PrivatePostgresError {
    /// No server binaries.
    #[error(
        "no PostgreSQL server found in {looked}; install the package `postgresql` (Debian, Ubuntu: apt-get install postgresql; macOS: brew install postgresql), or give --database-url"
    )]
    NotInstalled {
        /// Where it was looked for.
        looked: String,
    },
    /// The cluster is of another major version than every installed server.
    #[error(
        "{path} was made by PostgreSQL {found}, installed is {installed}; install postgresql-{found}, or remove the directory: it is projected again from the log"
    )]
    OtherVersion {
        /// The cluster.
        path: PathBuf,
        /// Its version.
        found: String,
        /// The server's.
        installed: String,
    },
    /// A step failed.
    #[error("private PostgreSQL: {step} failed: {detail}")]
    Failed {
        /// Which.
        step: &'static str,
        /// What the program said.
        detail: String,
    },
    /// A file could not be used.
    #[error("private PostgreSQL: {what} {path}: {source}")]
    File {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl PrivatePostgresError {
    fn failed(step: &'static str, detail: impl ToString) -> Self {
        Self::Failed { step, detail: detail.to_string() }
    }

    fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { what, path, source }
    }
}

/// A running private Postgres.
#[derive(Debug)]
pub struct PrivatePostgres {
    data_dir: PathBuf,
    url: String,
    /// What to stop; `None`: somebody else's.
    owned: Option<Running>,
}

impl PrivatePostgres {
    /// For the process that owns the data directory: starts a server, or adopts one that a dead parent left; stops it in
    /// [`PrivatePostgres::stop`] or when dropped.
    ///
    /// # Errors
    /// [`PrivatePostgresError`].
    pub async fn start(data_dir: &Path) -> Result<Self, PrivatePostgresError> {
        Self::with_lock(data_dir, true).await
    }

    /// For a command beside it: uses the server that runs, else starts one for the call.
    ///
    /// # Errors
    /// [`PrivatePostgresError`].
    pub async fn attach_or_start(data_dir: &Path) -> Result<Self, PrivatePostgresError> {
        Self::with_lock(data_dir, false).await
    }

    /// Where to connect; the same is in [`URL_FILE`].
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Process id of the server, when it is this process's to stop.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.owned.as_ref().map(Running::pid)
    }

    /// Stops the server (a fast shutdown: clients are cut, nothing is lost) unless another process has adopted it.
    ///
    /// # Errors
    /// When it does not stop within a minute.
    pub async fn stop(mut self) -> Result<(), PrivatePostgresError> {
        let Some(running) = self.owned.take() else { return Ok(()) };
        if !self.still_owner() {
            return Ok(());
        }
        running.stop(PATIENCE).await?;
        remove(&self.data_dir.join(OWNER_FILE))?;
        remove(&self.data_dir.join(URL_FILE))
    }

    async fn with_lock(data_dir: &Path, take: bool) -> Result<Self, PrivatePostgresError> {
        std::fs::create_dir_all(data_dir).map_err(PrivatePostgresError::file("create", data_dir))?;
        let data_dir = data_dir.canonicalize().map_err(PrivatePostgresError::file("resolve", data_dir))?;
        let lock = lock(&data_dir.join(LOCK_FILE)).await?;
        let result = Self::locked(data_dir, take).await;
        drop(lock);
        result
    }

    async fn locked(data_dir: PathBuf, take: bool) -> Result<Self, PrivatePostgresError> {
        let cluster = Cluster::of(&data_dir)?;
        if let Some(running) = Running::find(cluster.path()) {
            let url = running.port().map(|port| cluster.url(port)).transpose()?;
            if let Some(url) = url
                && running::answers(&url, Duration::from_secs(5)).await.is_ok()
            {
                return Self::found(data_dir, running, url, take);
            }
            eprintln!(
                "tributary: stopping a private PostgreSQL (pid {}) that does not answer",
                running.pid()
            );
            running.stop(PATIENCE).await?;
        }
        let binaries = Binaries::find(cluster.version().as_ref())?;
        cluster.ensure(&binaries).await?;
        let (running, url) = cluster.start(&binaries, &data_dir.join(LOG_FILE)).await?;
        eprintln!(
            "tributary: no database URL given: private PostgreSQL {} started (pid {}, data in {}, address in {})",
            binaries.version,
            running.pid(),
            cluster.path().display(),
            data_dir.join(URL_FILE).display()
        );
        let started = Self { data_dir, url, owned: Some(running) };
        started.record()?;
        running::create_database(&started.url).await?;
        Ok(started)
    }

    fn found(
        data_dir: PathBuf,
        running: Running,
        url: String,
        take: bool,
    ) -> Result<Self, PrivatePostgresError> {
        if !take {
            return Ok(Self { data_dir, url, owned: None });
        }
        eprintln!(
            "tributary: adopting the private PostgreSQL (pid {}) that an earlier process left running",
            running.pid()
        );
        let adopted = Self { data_dir, url, owned: Some(running) };
        adopted.record()?;
        Ok(adopted)
    }

    fn record(&self) -> Result<(), PrivatePostgresError> {
        cluster::write_private(&self.data_dir.join(OWNER_FILE), &std::process::id().to_string())?;
        cluster::write_private(&self.data_dir.join(URL_FILE), &format!("{}\n", self.url))
    }

    fn still_owner(&self) -> bool {
        std::fs::read_to_string(self.data_dir.join(OWNER_FILE))
            .is_ok_and(|owner| owner.trim() == std::process::id().to_string())
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        if let Some(running) = self.owned.take()
            && self.still_owner()
        {
            running.interrupt();
        }
    }
}

fn remove(path: &Path) -> Result<(), PrivatePostgresError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(PrivatePostgresError::file("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// One process at a time starts, adopts or attaches.
async fn lock(path: &Path) -> Result<File, PrivatePostgresError> {
    let file = File::create(path).map_err(PrivatePostgresError::file("create", path))?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(std::fs::TryLockError::WouldBlock) if Instant::now() < deadline => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(PrivatePostgresError::failed("waiting for another start", error)),
        }
    }
}

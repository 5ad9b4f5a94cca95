//! The cluster's directory: where it is, whose it is, how it is made and served.
use super::locate::Wanted;
use super::running::{self, Running};
use super::{Binaries, PAUSE, PrivatePostgresError};
use nix::unistd::{Gid, Uid, User};
use std::fs::{OpenOptions, Permissions};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::Instant;

const PASSWORD_FILE: &str = "tributary.password";
/// Names the cluster's directory when the data directory cannot hold it.
const PLACE_FILE: &str = "postgres.place";
const START_LIMIT: Duration = Duration::from_secs(60);

/// The directory of a cluster, and the user that serves it.
#[derive(Debug)]
pub(super) struct Cluster {
    path: PathBuf,
    /// The server's user; `None`: our own.
    user: Option<(Uid, Gid)>,
}

impl Cluster {
    /// The cluster of `data_dir`. As root the server's user must be able to reach it: the data directory is opened for
    /// passing through (not for reading); when a directory above it is closed, the cluster lives in `/var/tmp`.
    pub(super) fn of(data_dir: &Path) -> Result<Self, PrivatePostgresError> {
        let user = unprivileged()?;
        let mut path = data_dir.join("postgres");
        if let Some((uid, gid)) = user {
            open_for_passing(data_dir)?;
            if let Some(closed) = closed_ancestor(data_dir, uid, gid) {
                path = elsewhere(data_dir, &closed)?;
            }
        }
        Ok(Self { path, user })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The version that made it, if it exists.
    pub(super) fn version(&self) -> Option<Wanted> {
        let version = std::fs::read_to_string(self.path.join("PG_VERSION")).ok()?;
        Some(Wanted { path: self.path.clone(), version: version.trim().to_owned() })
    }

    /// Makes the cluster if it does not exist: aside, then by one rename, so that a half-made one is never served.
    pub(super) async fn ensure(&self, binaries: &Binaries) -> Result<(), PrivatePostgresError> {
        if self.version().is_some() {
            return Ok(());
        }
        let aside = self.path.with_extension("new");
        let password_file = self.path.with_extension("password");
        if aside.exists() {
            std::fs::remove_dir_all(&aside).map_err(PrivatePostgresError::file("remove", &aside))?;
        }
        std::fs::create_dir(&aside).map_err(PrivatePostgresError::file("create", &aside))?;
        let password = generate_password()?;
        write_private(&password_file, &password)?;
        self.give(&aside)?;
        self.give(&password_file)?;
        let output = self
            .command(binaries, "initdb")
            .arg("-D")
            .arg(&aside)
            .args(["-U", "tributary", "-E", "UTF8", "--no-locale", "--auth=scram-sha-256", "--pwfile"])
            .arg(&password_file)
            .output()
            .await
            .map_err(|error| PrivatePostgresError::failed("initdb", error))?;
        super::remove(&password_file)?;
        if !output.status.success() {
            return Err(PrivatePostgresError::failed(
                "initdb",
                String::from_utf8_lossy(&output.stderr).trim(),
            ));
        }
        write_private(&aside.join(PASSWORD_FILE), &password)?;
        std::fs::rename(&aside, &self.path).map_err(PrivatePostgresError::file("rename", &aside))
    }

    /// Starts the server on a free port and waits until it answers.
    pub(super) async fn start(
        &self,
        binaries: &Binaries,
        log: &Path,
    ) -> Result<(Running, String), PrivatePostgresError> {
        let mut detail = String::new();
        for _ in 0..25 {
            let port = free_port()?;
            let url = self.url(port)?;
            let mut running = self.spawn(binaries, log, port)?;
            let deadline = Instant::now() + START_LIMIT;
            loop {
                if let Some(status) = running.ended() {
                    detail = format!("{status}; {}", tail(log));
                    break;
                }
                if running::answers(&url, Duration::from_secs(5)).await.is_ok() {
                    return Ok((running, url));
                }
                if Instant::now() > deadline {
                    running.stop(Duration::from_secs(10)).await?;
                    return Err(PrivatePostgresError::failed("starting the server", tail(log)));
                }
                tokio::time::sleep(PAUSE).await;
            }
            // Somebody took the port between asking for it and using it; or the parts of a killed server still end.
            if !detail.contains("in use") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Err(PrivatePostgresError::failed("starting the server", detail))
    }

    fn spawn(&self, binaries: &Binaries, log: &Path, port: u16) -> Result<Running, PrivatePostgresError> {
        let open = PrivatePostgresError::file("open", log);
        let file =
            OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(log).map_err(open)?;
        let errors = file.try_clone().map_err(PrivatePostgresError::file("open", log))?;
        let child = self
            .command(binaries, "postgres")
            .arg("-D")
            .arg(&self.path)
            .args(["-p", &port.to_string(), "-k", "", "-h", "127.0.0.1"])
            .args(["-c", "timezone=UTC", "-c", "log_timezone=UTC", "-c", "logging_collector=off"])
            .stdout(Stdio::from(file))
            .stderr(Stdio::from(errors))
            // A signal to our terminal's group must not stop it before the projector is done.
            .process_group(0)
            .spawn()
            .map_err(|error| PrivatePostgresError::failed("starting the server", error))?;
        Ok(Running::child(&self.path, child, port))
    }

    pub(super) fn url(&self, port: u16) -> Result<String, PrivatePostgresError> {
        let file = self.path.join(PASSWORD_FILE);
        let password = std::fs::read_to_string(&file).map_err(PrivatePostgresError::file("read", &file))?;
        Ok(format!("postgres://tributary:{}@127.0.0.1:{port}/tributary?sslmode=disable", password.trim()))
    }

    fn command(&self, binaries: &Binaries, program: &str) -> Command {
        let mut command = Command::new(binaries.program(program));
        // Nothing of PGDATA, PGPORT, locale and the like; and a working directory that every user may enter.
        command
            .env_clear()
            .env("LANG", "C")
            .env("PATH", "/usr/bin:/bin")
            .current_dir("/")
            .stdin(Stdio::null());
        if let Some((uid, gid)) = self.user {
            command.uid(uid.as_raw()).gid(gid.as_raw());
        }
        command
    }

    /// Hands a path of ours to the server's user.
    fn give(&self, path: &Path) -> Result<(), PrivatePostgresError> {
        let Some((uid, gid)) = self.user else { return Ok(()) };
        std::os::unix::fs::chown(path, Some(uid.as_raw()), Some(gid.as_raw()))
            .map_err(PrivatePostgresError::file("change the owner of", path))
    }
}

/// The user to serve as, when we are root.
fn unprivileged() -> Result<Option<(Uid, Gid)>, PrivatePostgresError> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        if let Ok(Some(user)) = User::from_name(name) {
            return Ok(Some((user.uid, user.gid)));
        }
    }
    Err(PrivatePostgresError::failed(
        "finding a user to run as",
        "the server refuses root, and there is neither a user `postgres` nor `nobody`; create one, or give --database-url",
    ))
}

/// Lets other users pass through our data directory; what is in it keeps its own permissions.
fn open_for_passing(data_dir: &Path) -> Result<(), PrivatePostgresError> {
    let metadata = std::fs::metadata(data_dir).map_err(PrivatePostgresError::file("read", data_dir))?;
    let mode = metadata.mode() & 0o7777;
    if metadata.uid() == Uid::effective().as_raw() && mode & 0o001 == 0 {
        std::fs::set_permissions(data_dir, Permissions::from_mode(mode | 0o011))
            .map_err(PrivatePostgresError::file("open for passing through", data_dir))?;
    }
    Ok(())
}

/// The first directory from the root down to `data_dir` that the user cannot pass.
fn closed_ancestor(data_dir: &Path, uid: Uid, gid: Gid) -> Option<PathBuf> {
    let mut ancestors: Vec<&Path> = data_dir.ancestors().collect();
    ancestors.reverse();
    let closed = ancestors.into_iter().find(|directory| {
        std::fs::metadata(directory).is_ok_and(|metadata| {
            let bit = if metadata.uid() == uid.as_raw() {
                0o100
            } else if metadata.gid() == gid.as_raw() {
                0o010
            } else {
                0o001
            };
            metadata.mode() & bit == 0
        })
    });
    closed.map(Path::to_owned)
}

/// A directory of our own in `/var/tmp`, remembered in the data directory: a new data directory gets a new one.
fn elsewhere(data_dir: &Path, closed: &Path) -> Result<PathBuf, PrivatePostgresError> {
    let file = data_dir.join(PLACE_FILE);
    if let Ok(place) = std::fs::read_to_string(&file)
        && Path::new(place.trim()).is_dir()
    {
        return Ok(Path::new(place.trim()).join("postgres"));
    }
    let place = PathBuf::from(format!("/var/tmp/tributary-{}", &generate_password()?[..16]));
    std::fs::create_dir(&place).map_err(PrivatePostgresError::file("create", &place))?;
    std::fs::set_permissions(&place, Permissions::from_mode(0o711))
        .map_err(PrivatePostgresError::file("open for passing through", &place))?;
    write_private(&file, &place.to_string_lossy())?;
    eprintln!(
        "tributary: the server runs as an unprivileged user, which cannot pass {}: the read model lives in {}",
        closed.display(),
        place.display()
    );
    Ok(place.join("postgres"))
}

fn generate_password() -> Result<String, PrivatePostgresError> {
    let path = Path::new("/dev/urandom");
    let mut bytes = [0; 24];
    let mut file = std::fs::File::open(path).map_err(PrivatePostgresError::file("open", path))?;
    file.read_exact(&mut bytes).map_err(PrivatePostgresError::file("read", path))?;
    Ok(hex::encode(bytes))
}

/// Writes a file that only its owner reads, by one rename.
pub(super) fn write_private(path: &Path, text: &str) -> Result<(), PrivatePostgresError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    let aside = PathBuf::from(name);
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&aside)
        .map_err(PrivatePostgresError::file("create", &aside))?;
    file.write_all(text.as_bytes()).map_err(PrivatePostgresError::file("write", &aside))?;
    std::fs::rename(&aside, path).map_err(PrivatePostgresError::file("rename", &aside))
}

fn free_port() -> Result<u16, PrivatePostgresError> {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| PrivatePostgresError::failed("finding a free port", error))
}

/// The last lines of the server's log.
fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join(" | ")
}

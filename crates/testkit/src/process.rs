//! A running `tributary up`, as its user sees it: started as a process, addressed over HTTP, killed by signal.
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const READY_LIMIT: Duration = Duration::from_secs(90);
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// How to start it.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The binary.
    pub binary: PathBuf,
    /// Its data directory.
    pub data_dir: PathBuf,
    /// Kafka: bootstrap servers and topic prefix. `None`: the embedded log.
    pub kafka: Option<(String, String)>,
    /// Partitions of every topic; `None`: as many as an installation has that says nothing.
    pub partitions: Option<u32>,
}

impl Setup {
    /// A command of the binary for this installation.
    #[must_use]
    pub fn command(&self, subcommand: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(subcommand).arg("--data-dir").arg(&self.data_dir);
        if let Some((brokers, prefix)) = &self.kafka {
            command.args(["--kafka-brokers", brokers, "--topic-prefix", prefix]);
        }
        if let Some(partitions) = self.partitions {
            command.env("TRIBUTARY_LOG_PARTITIONS", partitions.to_string());
        }
        command.kill_on_drop(true);
        command
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn run(&self, subcommand: &[&str]) -> Result<std::process::Output> {
        Ok(self.command(subcommand).output().await?)
    }

    /// Runs a command that prints JSON.
    ///
    /// # Errors
    /// When it fails or prints something else.
    pub async fn json(&self, subcommand: &[&str]) -> Result<serde_json::Value> {
        let output = self.run(subcommand).await?;
        serde_json::from_slice(&output.stdout).with_context(|| {
            format!(
                "{subcommand:?} ended with {}: {}\n{}",
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            )
        })
    }

    /// The private Postgres' URL.
    ///
    /// # Errors
    /// Before the first start.
    pub fn database_url(&self) -> Result<String> {
        let path = self.data_dir.join("postgres.url");
        Ok(std::fs::read_to_string(&path).with_context(|| path.display().to_string())?.trim().to_owned())
    }

    /// Starts `up --demo` and waits for its ready line.
    ///
    /// # Errors
    /// When it ends or is not ready in time; the tail of its log is in the error.
    pub async fn start(&self, failpoint: Option<&Failpoint>) -> Result<Running> {
        self.start_with(failpoint, &[]).await
    }

    /// As [`Setup::start`], with variables in its environment: every setting has one.
    ///
    /// # Errors
    /// As [`Setup::start`].
    pub async fn start_with(
        &self,
        failpoint: Option<&Failpoint>,
        variables: &[(&str, &str)],
    ) -> Result<Running> {
        let log = self.data_dir.with_extension("stderr");
        let stderr = std::fs::OpenOptions::new().create(true).append(true).open(&log)?;
        let mut command = self.command(&["up", "--demo", "--listen", "127.0.0.1:0"]);
        command.stdout(Stdio::piped()).stderr(stderr).envs(variables.iter().copied());
        if let Some(failpoint) = failpoint {
            command
                .env("TRIBUTARY_FAILPOINT", format!("{}:{}", failpoint.name, failpoint.nth))
                .env("TRIBUTARY_FAILPOINT_FILE", &failpoint.file);
        }
        let mut child = command.spawn().with_context(|| self.binary.display().to_string())?;
        let stdout = child.stdout.take().context("stdout is piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let ready = tokio::time::timeout(READY_LIMIT, async {
            while let Some(line) = lines.next_line().await? {
                if let Some(url) = line.strip_prefix("tributary ready: ") {
                    return Ok(Some(url.to_owned()));
                }
            }
            Ok::<_, std::io::Error>(None)
        })
        .await;
        match ready {
            Ok(Ok(Some(url))) => Ok(Running { child, url, data_dir: self.data_dir.clone() }),
            other => {
                let reached = failpoint.is_some_and(|failpoint| failpoint.file.exists());
                child.start_kill()?;
                child.wait().await?;
                if reached {
                    bail!("{REACHED_BEFORE_READY}");
                }
                bail!("not ready ({other:?}); its log ends:\n{}", tail(&log));
            }
        }
    }
}

/// The message of [`Setup::start`] when the failpoint came before the ready line.
pub const REACHED_BEFORE_READY: &str = "failpoint reached before ready";

/// A named point at which the process stops, to be killed there.
#[derive(Debug, Clone)]
pub struct Failpoint {
    /// Its name.
    pub name: String,
    /// At which hit.
    pub nth: u64,
    /// Created when it is reached.
    pub file: PathBuf,
}

/// A ready process.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// Its base URL.
    pub url: String,
    data_dir: PathBuf,
}

impl Running {
    /// Sends it a signal.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.child.id().context("it has ended")?;
        kill(Pid::from_raw(i32::try_from(pid)?), signal)?;
        Ok(())
    }

    /// Where metrics and health are, apart from the public port.
    ///
    /// # Errors
    /// When its log does not say.
    pub fn metrics_url(&self) -> Result<String> {
        let log = std::fs::read_to_string(self.log_file())?;
        let line = log.lines().rev().find_map(|line| line.strip_prefix("tributary: metrics at "));
        Ok(line
            .and_then(|url| url.strip_suffix("/metrics"))
            .context("no metrics address in its log")?
            .to_owned())
    }

    /// What it has written to stderr, with what its predecessors had.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.data_dir.with_extension("stderr")
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When it does not within half a minute.
    pub async fn ended(mut self) -> Result<std::process::ExitStatus> {
        tokio::time::timeout(STOP_LIMIT, self.child.wait())
            .await
            .with_context(|| format!("still running:\n{}", tail(&self.data_dir.with_extension("stderr"))))?
            .map_err(Into::into)
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When the operating system does not tell.
    pub fn runs(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// SIGKILL, and waits for the end.
    ///
    /// # Errors
    /// When it has ended by itself before.
    pub async fn kill(mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("it ended by itself with {status}:\n{}", tail(&self.data_dir.with_extension("stderr")));
        }
        self.signal(Signal::SIGKILL)?;
        self.child.wait().await?;
        Ok(())
    }

    /// SIGTERM, and its exit status.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn terminate(mut self) -> Result<std::process::ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        tokio::time::timeout(STOP_LIMIT, self.child.wait())
            .await
            .with_context(|| {
                format!("not ended after SIGTERM:\n{}", tail(&self.data_dir.with_extension("stderr")))
            })?
            .map_err(Into::into)
    }
}

fn tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

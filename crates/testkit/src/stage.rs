//! One service in a process of its own: started, asked how it is, stopped by signals of every kind.
use crate::process::{Failpoint, Setup};
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::Child;

/// The services, the one that is nearest to the database first: started in this order, none waits for another.
pub const SERVICES: [&str; 5] = ["projector", "commission", "attribution", "normalizer", "gateway"];

const LIMIT: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(10);

/// A process of one service.
#[derive(Debug)]
pub struct Stage {
    /// Which service.
    pub name: &'static str,
    child: Child,
    stderr: PathBuf,
    stdout: PathBuf,
}

impl Stage {
    /// Starts `name`; its output goes to files beside `label` in `directory`. Does not wait for anything.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        setup: &Setup,
        directory: &Path,
        label: &str,
        name: &'static str,
        variables: &[(String, String)],
        failpoint: Option<&Failpoint>,
    ) -> Result<Self> {
        let stderr = directory.join(format!("{label}.stderr"));
        let stdout = directory.join(format!("{label}.stdout"));
        let mut command = setup.command(&[name]);
        if name == "gateway" {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.envs(variables.iter().map(|(key, value)| (key, value)));
        if let Some(failpoint) = failpoint {
            command
                .env("TRIBUTARY_FAILPOINT", format!("{}:{}", failpoint.name, failpoint.nth))
                .env("TRIBUTARY_FAILPOINT_FILE", &failpoint.file);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(&stdout)?)
            .stderr(std::fs::File::create(&stderr)?)
            .spawn()
            .with_context(|| setup.binary.display().to_string())?;
        Ok(Self { name, child, stderr, stdout })
    }

    /// What it has written to stderr.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// The address of its metrics and health, as soon as it has said so.
    ///
    /// # Errors
    /// When it ends, or does not say in time.
    pub async fn metrics(&mut self) -> Result<String> {
        self.said("tributary: metrics at ", "/metrics", |stage| stage.stderr.clone()).await
    }

    /// A gateway's base URL, as soon as it is ready.
    ///
    /// # Errors
    /// When it ends, or is not ready in time.
    pub async fn url(&mut self) -> Result<String> {
        self.said("tributary ready: ", "", |stage| stage.stdout.clone()).await
    }

    async fn said(
        &mut self,
        prefix: &str,
        suffix: &str,
        place: impl Fn(&Self) -> PathBuf + Send,
    ) -> Result<String> {
        let limit = Instant::now() + LIMIT;
        loop {
            let text = std::fs::read_to_string(place(self))?;
            // Only whole lines: the rest may be still on its way.
            let lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
            let found = lines.filter_map(|line| line.strip_prefix(prefix)?.strip_suffix(suffix)).next_back();
            if let Some(found) = found {
                return Ok(found.to_owned());
            }
            self.must_run(limit, "has not said its address")?;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until `/readyz` says yes.
    ///
    /// # Errors
    /// When it ends, or is not ready in time; the error holds its log.
    pub async fn ready(&mut self, http: &reqwest::Client) -> Result<()> {
        let url = self.metrics().await?;
        let limit = Instant::now() + LIMIT;
        while !matches!(self.readiness(http, &url).await, Ok(None)) {
            self.must_run(limit, "is not ready")?;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// What `/readyz` at `url` says: `None` when it is ready, else why not.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn readiness(&self, http: &reqwest::Client, url: &str) -> Result<Option<String>> {
        let answer = http.get(format!("{url}/readyz")).send().await?;
        if answer.status() == 200 {
            return Ok(None);
        }
        Ok(Some(answer.text().await?))
    }

    /// That it has not ended.
    ///
    /// # Errors
    /// When it has: its status and its log.
    pub fn runs(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended with {status}:\n{}", self.name, tail(&self.log())),
        }
    }

    fn must_run(&mut self, limit: Instant, what: &str) -> Result<()> {
        self.runs()?;
        if Instant::now() > limit {
            bail!("{} {what}:\n{}", self.name, tail(&self.log()));
        }
        Ok(())
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.child.id().with_context(|| format!("{} has ended", self.name))?;
        Ok(kill(Pid::from_raw(i32::try_from(pid)?), signal)?)
    }

    /// Waits for the end of one that was sent SIGKILL.
    ///
    /// # Errors
    /// When it had ended by itself before, or does not end.
    pub async fn gone(mut self) -> Result<()> {
        let status = tokio::time::timeout(LIMIT, self.child.wait()).await??;
        if std::os::unix::process::ExitStatusExt::signal(&status) != Some(Signal::SIGKILL as i32) {
            bail!("{} ended by itself with {status}:\n{}", self.name, tail(&self.log()));
        }
        Ok(())
    }

    /// SIGKILL, and waits for the end.
    ///
    /// # Errors
    /// When it had ended by itself before.
    pub async fn kill(mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} ended by itself with {status}:\n{}", self.name, tail(&self.log()));
        }
        self.signal(Signal::SIGKILL)?;
        self.child.wait().await?;
        Ok(())
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn ended(mut self) -> Result<(std::process::ExitStatus, String)> {
        let status = tokio::time::timeout(LIMIT, self.child.wait())
            .await
            .with_context(|| format!("{} still runs:\n{}", self.name, tail(&self.log())))??;
        Ok((status, self.log()))
    }

    /// SIGTERM, and how long it took to end.
    ///
    /// # Errors
    /// When it does not end in time, or not with status 0.
    pub async fn terminate(mut self) -> Result<Duration> {
        let since = Instant::now();
        self.signal(Signal::SIGTERM)?;
        let ended = tokio::time::timeout(LIMIT, self.child.wait()).await;
        let status = ended.with_context(|| format!("{} runs on:\n{}", self.name, tail(&self.log())))??;
        if !status.success() {
            bail!("{} ended with {status}:\n{}", self.name, tail(&self.log()));
        }
        Ok(since.elapsed())
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

//! Start, serve, stop: one shutdown token, named tasks, and nobody who ends unnoticed.
use std::future::Future;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
pub use tokio_util::sync::CancellationToken;

/// Cancels `token` on SIGTERM or SIGINT. A second signal ends the process at once, with status 130.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn shut_down_on_signals(token: CancellationToken) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "shutting down, a second signal quits at once");
        token.cancel();
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::warn!("second signal, quitting");
        std::process::exit(130);
    });
    Ok(())
}

/// Runs named tasks until shutdown. A task that returns before shutdown stops the process with an error.
#[derive(Debug)]
pub struct Supervisor {
    token: CancellationToken,
    tasks: JoinSet<(String, anyhow::Result<()>)>,
    names: Vec<(tokio::task::Id, String)>,
}

impl Supervisor {
    /// Of tasks that stop when `token` is cancelled.
    #[must_use]
    pub fn new(token: CancellationToken) -> Self {
        Self { token, tasks: JoinSet::new(), names: Vec::new() }
    }

    /// The shutdown token.
    #[must_use]
    pub const fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Starts a task. It must return soon after the token is cancelled, and not before.
    pub fn spawn(
        &mut self,
        name: impl Into<String>,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        let name = name.into();
        let spawned = name.clone();
        let handle = self.tasks.spawn(async move { (spawned, task.await) });
        self.names.push((handle.id(), name));
    }

    /// Waits for shutdown, then up to `budget` for all tasks; those that remain are stopped.
    ///
    /// # Errors
    /// The first task that failed, panicked, returned early, or did not return within the budget, by name.
    pub async fn run(mut self, budget: Duration) -> anyhow::Result<()> {
        let mut outcome = Ok(());
        tokio::select! {
            () = self.token.cancelled() => {}
            Some(ended) = self.tasks.join_next() => {
                outcome = self.judge(ended).and_then(|name| {
                    // A task may see the token before we do.
                    if self.token.is_cancelled() { Ok(()) } else { Err(anyhow::anyhow!("{name} ended unexpectedly")) }
                });
                self.token.cancel();
            }
        }
        let deadline = tokio::time::Instant::now() + budget;
        loop {
            match tokio::time::timeout_at(deadline, self.tasks.join_next()).await {
                Ok(Some(ended)) => outcome = outcome.and(self.judge(ended).map(drop)),
                Ok(None) => return outcome,
                Err(_) => {
                    let names: Vec<&str> = self.names.iter().map(|(_, name)| name.as_str()).collect();
                    let late = anyhow::anyhow!("still running after {budget:?}: {}", names.join(", "));
                    self.tasks.shutdown().await;
                    return outcome.and(Err(late));
                }
            }
        }
    }

    /// The name of a task that ended well, or what went wrong.
    fn judge(
        &mut self,
        ended: Result<(String, anyhow::Result<()>), tokio::task::JoinError>,
    ) -> anyhow::Result<String> {
        match ended {
            Ok((name, result)) => {
                if let Some(at) = self.names.iter().position(|(_, known)| *known == name) {
                    self.names.swap_remove(at);
                }
                match result {
                    Ok(()) => Ok(name),
                    Err(error) => {
                        tracing::error!(task = name, error = format!("{error:#}"), "task failed");
                        Err(error.context(name))
                    }
                }
            }
            Err(error) => {
                let at = self.names.iter().position(|(id, _)| *id == error.id());
                let name = at.map_or_else(|| "task".to_owned(), |at| self.names.swap_remove(at).1);
                tracing::error!(task = name, "task panicked");
                Err(anyhow::anyhow!("{name} panicked"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_early_stops_the_others_and_is_named() {
        let token = CancellationToken::new();
        let mut supervisor = Supervisor::new(token.clone());
        let waiting = token.clone();
        supervisor.spawn("waits", async move {
            waiting.cancelled().await;
            Ok(())
        });
        supervisor.spawn("leaves", async { Ok(()) });
        let error = supervisor.run(Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(error.to_string(), "leaves ended unexpectedly");
        assert!(token.is_cancelled());
    }

    #[tokio::test]
    async fn a_task_that_ignores_shutdown_is_stopped_and_named() {
        let token = CancellationToken::new();
        let mut supervisor = Supervisor::new(token.clone());
        supervisor.spawn("deaf", std::future::pending());
        token.cancel();
        let error = supervisor.run(Duration::ZERO).await.unwrap_err();
        assert!(error.to_string().contains("deaf"));
    }

    #[tokio::test]
    async fn a_shutdown_in_order_is_no_error() {
        let token = CancellationToken::new();
        let mut supervisor = Supervisor::new(token.clone());
        let waiting = token.clone();
        supervisor.spawn("waits", async move {
            waiting.cancelled().await;
            Ok(())
        });
        token.cancel();
        supervisor.run(Duration::from_secs(1)).await.unwrap();
    }
}

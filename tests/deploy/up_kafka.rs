//! `scripts/up-kafka`: what the compose file runs, without Docker.
use crate::{TURN, binary, repository};
use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

const LIMIT: Duration = Duration::from_secs(180);

fn script(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(repository().join("scripts/up-kafka"));
    command.arg("--binary").arg(binary()).arg("--data-dir").arg(directory).args(arguments);
    command.env_remove("DATABASE_URL");
    command
}

async fn printed(mut command: Command) -> Result<String> {
    let output = tokio::time::timeout(LIMIT, command.output()).await??;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{:?}: {}\n{stderr}", command.as_std(), output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// The script while it serves; told to end when a test fails before it said so.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let pid = self.0.id().and_then(|pid| i32::try_from(pid).ok());
        if let Some(Err(error)) = pid.map(|pid| kill(Pid::from_raw(pid), Signal::SIGTERM)) {
            eprintln!("scripts/up-kafka was not stopped: {error}");
        }
    }
}

/// The balances, without the line that says where it was ready.
fn balances(output: &str) -> Vec<&str> {
    output.lines().filter(|line| !line.starts_with("tributary ready: ")).collect()
}

/// Processes that have the directory among their arguments.
fn left_behind(directory: &Path) -> Result<Vec<String>> {
    let wanted = directory.display().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        // A process may end between the two looks.
        let Ok(arguments) = std::fs::read(entry?.path().join("cmdline")) else { continue };
        let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
        if arguments.contains(&wanted) {
            found.push(arguments);
        }
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn up_kafka_earns_what_one_process_earns_keeps_it_and_leaves_nothing_running() -> Result<()> {
    let _turn = TURN.lock().await;
    let directory = tempfile::Builder::new().prefix("tributary-up-kafka-").tempdir()?;
    let open = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
    std::fs::set_permissions(directory.path(), open)?;
    let mut alone = Command::new(binary());
    alone.args(["up", "--demo", "--once", "--data-dir"]).arg(directory.path().join("alone"));
    let alone = printed(alone).await?;

    let place = directory.path().join("apart");
    let apart = printed(script(&place, &["--once"])).await?;
    assert_eq!(balances(&apart), balances(&alone), "the same sample, the same money");
    assert_eq!(left_behind(&place)?, Vec::<String>::new());

    let mut again = Serving(script(&place, &["--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn()?);
    let mut lines = BufReader::new(again.0.stdout.take().context("piped")?).lines();
    let line = tokio::time::timeout(LIMIT, lines.next_line()).await??.context("a ready line")?;
    let url = line.strip_prefix("tributary ready: ").context("the ready line")?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    assert_eq!(http.get(format!("{url}/readyz")).send().await?.status(), 200);
    let mut question = Command::new("bash");
    question.args(["-c", ". \"$1/env\" && exec \"$2\" balances", "ask"]).arg(&place).arg(binary());
    assert_eq!(balances(&printed(question).await?), balances(&alone), "data stays");

    kill(Pid::from_raw(i32::try_from(again.0.id().context("it runs")?)?), Signal::SIGTERM)?;
    let status = tokio::time::timeout(LIMIT, again.0.wait()).await??;
    assert_eq!(status.code(), Some(143));
    assert_eq!(left_behind(&place)?, Vec::<String>::new());
    Ok(())
}

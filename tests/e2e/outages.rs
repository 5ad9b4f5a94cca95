//! Parts that go away and come back: Postgres, space on the disk, fsync.
use crate::installation::{Installation, Target};
use crate::metrics::wait_for;
use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use testkit::load::{client, send};
use testkit::process::Running;
use testkit::requests::{paddle, paddle_sale, referral};
use tokio::time::Instant;

const LIMIT: Duration = Duration::from_secs(60);

/// How long Postgres is away; `TRIBUTARY_TEST_OUTAGE_SECONDS` sets the long form.
fn outage() -> Duration {
    let seconds = std::env::var("TRIBUTARY_TEST_OUTAGE_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(10))
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postgres_is_away_callers_are_answered_and_afterwards_the_rows_catch_up() -> Result<()> {
    let installation = Installation::new(Target::Embedded, "postgres-away").await?;
    let mut running = installation.setup.start(None).await?;
    let metrics = running.metrics_url()?;
    let http = client();
    let server = Server::of(&installation.setup.data_dir)?;
    server.stop().await?;
    let back_at = Instant::now() + outage();
    let mut orders = Vec::new();
    let mut highest = 0.0_f64;
    while Instant::now() < back_at {
        let order = format!("order_away_{}", orders.len());
        let (status, answer) =
            send(&http, &running.url, &referral("prog_demo", "john123", &order, 1_000)).await?;
        assert_eq!((status, &answer["commission_amount"]), (200, &200.into()), "{answer}");
        orders.push(order);
        let scrape = crate::metrics::Scrape::of(&metrics).await?;
        highest = highest.max(scrape.value("tributary_projector_lag_records", &["topic=\"commissions\""]));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let away = wait_for(&metrics, "the lag is seen while the database is away", |scrape| {
        scrape.value("tributary_projector_lag_records", &["topic=\"commissions\""]) >= orders.len() as f64
            && scrape.value("tributary_projector_lag_seconds", &[]) > 1.0
            && scrape.value("tributary_projector_following", &[]) == 0.0
            && scrape.value("tributary_projector_retries_total", &[]) >= 2.0
    })
    .await?;
    println!(
        "{} orders in {:?}; lag {} records, {:.1} s; {} retries",
        orders.len(),
        outage(),
        away.value("tributary_projector_lag_records", &[]).max(highest),
        away.value("tributary_projector_lag_seconds", &["topic=\"commissions\""]),
        away.value("tributary_projector_retries_total", &[]),
    );
    assert!(running.runs()?, "it goes on without its database");
    server.start_again()?;
    let since = Instant::now();
    wait_for(&metrics, "the rows catch up by themselves", |scrape| {
        scrape.value("tributary_projector_lag_records", &[]) == 0.0
            && scrape.value("tributary_projector_following", &[]) == 1.0
    })
    .await?;
    println!("caught up within {:?}", since.elapsed());
    installation.wait_for_verdicts(&orders).await?;
    installation.verify_is_clean().await?;
    assert!(running.terminate().await?.success());
    Ok(())
}

/// The private server of an installation, stopped and started behind its back.
pub(crate) struct Server {
    cluster: PathBuf,
    pid: Pid,
    /// As it was started.
    command: String,
}

impl Server {
    pub(crate) fn of(data_dir: &Path) -> Result<Self> {
        let cluster = match std::fs::read_to_string(data_dir.join("postgres.place")) {
            Ok(place) => Path::new(place.trim()).join("postgres"),
            Err(_) => data_dir.join("postgres"),
        };
        let pid = std::fs::read_to_string(cluster.join("postmaster.pid"))?;
        let pid = Pid::from_raw(pid.lines().next().context("a pid")?.trim().parse()?);
        let command = std::fs::read_to_string(cluster.join("postmaster.opts"))?;
        Ok(Self { cluster, pid, command })
    }

    async fn stop(&self) -> Result<()> {
        kill(self.pid, Signal::SIGINT)?;
        let limit = Instant::now() + LIMIT;
        while self.cluster.join("postmaster.pid").exists() {
            if Instant::now() > limit {
                bail!("the server does not stop");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Ends it with SIGKILL, and waits until what it had started has noticed: the next one would refuse to run beside it.
    pub(crate) async fn kill(&self) -> Result<()> {
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.pid))?;
        kill(self.pid, Signal::SIGKILL)?;
        // While nobody has waited for it, its process id is taken and the next server would believe that it lives.
        match waitpid(self.pid, None) {
            Ok(_) | Err(Errno::ECHILD) => {}
            Err(error) => return Err(error.into()),
        }
        let limit = Instant::now() + LIMIT;
        for child in children.split_whitespace() {
            let child = Pid::from_raw(child.parse()?);
            while kill(child, None).is_ok() {
                if Instant::now() > limit {
                    bail!("a backend outlives its server");
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        Ok(())
    }

    pub(crate) fn start_again(&self) -> Result<()> {
        let owner = std::fs::metadata(&self.cluster)?;
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("exec {}", self.command.trim())).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        if nix::unistd::Uid::effective().is_root() {
            command.uid(owner.uid()).gid(owner.gid());
        }
        // Whoever stops it is the process under test, which finds it by its pid file.
        command.spawn()?;
        Ok(())
    }
}

/// A small file system of its own, unmounted in the end. `None` where this user may not mount.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(dir: &Path, megabytes: u32) -> Result<Option<Self>> {
        std::fs::create_dir_all(dir)?;
        if !nix::unistd::Uid::effective().is_root() {
            return Ok(None);
        }
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m,mode=0755"), "tmpfs"])
            .arg(dir)
            .status()?;
        Ok(mounted.success().then(|| Self(dir.to_owned())))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Err(error) = Command::new("umount").arg("-l").arg(&self.0).status() {
            eprintln!("not unmounted: {error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_to_callers_and_nothing_is_lost_when_there_is_space_again() -> Result<()> {
    let installation = Installation::new(Target::Embedded, "full").await?;
    let data_dir = installation.setup.data_dir.clone();
    let Some(disk) = SmallDisk::mount(&data_dir, 256)? else {
        eprintln!("not run: only root may mount a small file system");
        return Ok(());
    };
    // The database is elsewhere: its own full disk is not what is tested.
    let elsewhere = installation.directory.path().join("elsewhere");
    let database = readmodel::private_postgres::PrivatePostgres::start(&elsewhere).await?;
    let variables = [("TRIBUTARY_LOG_RESERVE_MB", "64"), ("DATABASE_URL", database.url())];
    let mut running = installation.setup.start_with(None, &variables).await?;
    let http = client();
    let mut acknowledged = Vec::new();
    // Everything is taken by another program, with events arriving all the while.
    let filler = data_dir.join("filler");
    let mut file = std::fs::File::create(&filler)?;
    let mut refused = 0;
    let mut full = false;
    for number in 0..400 {
        if !full && file.write_all(&vec![1; 4 << 20]).is_err() {
            full = true;
        }
        let event = format!("evt_full_{number}");
        let sale = paddle_sale(&event, &format!("txn_full_{number}"), 1_000, 0, Some("john123"), "ctm_full");
        let since = Instant::now();
        let (status, _) = send(&http, &running.url, &paddle("prog_demo", &sale)).await?;
        assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
        match status {
            200 => {
                assert!(!full, "nothing is acknowledged on a full disk");
                acknowledged.push(event);
            }
            503 => refused += 1,
            other => bail!("answered {other}"),
        }
        if full && refused >= 20 {
            break;
        }
    }
    assert!(full && refused >= 20 && !acknowledged.is_empty(), "{full} {refused} {}", acknowledged.len());
    let sale = paddle_sale("evt_full_last", "txn_full_last", 1_000, 0, Some("john123"), "ctm_full");
    let request = paddle("prog_demo", &sale);
    let answer = raw(&http, &running, &request).await?;
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    assert!(running.runs()?);
    let metrics = running.metrics_url()?;
    wait_for(&metrics, "it is seen from outside", |scrape| {
        scrape.value("tributary_log_refused_for_space_total", &[]) >= 1.0
            && scrape.value("tributary_log_free_bytes", &[]) < (64 << 20) as f64
    })
    .await?;

    drop(file);
    std::fs::remove_file(&filler)?;
    let limit = Instant::now() + LIMIT;
    while send(&http, &running.url, &request).await?.0 != 200 {
        anyhow::ensure!(Instant::now() < limit, "it does not recover");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    acknowledged.push("evt_full_last".to_owned());
    assert!(running.runs()?, "the same process");
    wait_for_verdicts(database.url(), &acknowledged).await?;
    assert!(running.terminate().await?.success());
    // What is on the disk is whole.
    let running = installation.setup.start_with(None, &variables).await?;
    let verified = installation
        .setup
        .command(&["verify", "--json"])
        .env("DATABASE_URL", database.url())
        .output()
        .await?;
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    assert!(running.terminate().await?.success());
    database.stop().await?;
    drop(disk);
    Ok(())
}

async fn raw(
    http: &reqwest::Client,
    running: &Running,
    request: &testkit::requests::Request,
) -> Result<reqwest::Response> {
    let mut builder = http.post(format!("{}{}", running.url, request.path)).body(request.body.clone());
    for (name, value) in request.headers() {
        builder = builder.header(name, value);
    }
    Ok(builder.header("content-type", "application/json").send().await?)
}

async fn wait_for_verdicts(database_url: &str, keys: &[String]) -> Result<()> {
    let database = sqlx::PgPool::connect(database_url).await?;
    let limit = Instant::now() + LIMIT;
    loop {
        let missing = crate::installation::missing_verdicts(&database, keys).await?;
        if missing.is_empty() {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < limit, "{} without a verdict: {:?}", missing.len(), missing.first());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_fsync_ends_the_process_and_the_next_one_has_all_that_was_acknowledged() -> Result<()> {
    let installation = Installation::new(Target::Embedded, "fsync").await?;
    let failing = installation.directory.path().join("failing");
    let failing_text = failing.display().to_string();
    let variables =
        [("TRIBUTARY_FAILPOINT_FAIL", "fsync"), ("TRIBUTARY_FAILPOINT_FILE", failing_text.as_str())];
    let running = installation.setup.start_with(None, &variables).await?;
    let http = client();
    let request = |event: &str| {
        paddle("prog_demo", &paddle_sale(event, &format!("txn_{event}"), 1_000, 0, Some("john123"), "ctm_f"))
    };
    let mut acknowledged = Vec::new();
    for number in 0..20 {
        let event = format!("evt_fsync_{number}");
        assert_eq!(send(&http, &running.url, &request(&event)).await?.0, 200);
        acknowledged.push(event);
    }
    std::fs::write(&failing, "")?;
    // Refused, or cut off by the end of the process: never acknowledged.
    if let Ok((status, _)) = send(&http, &running.url, &request("evt_fsync_lost")).await {
        assert_eq!(status, 503);
    }
    let status = running.ended().await?;
    assert!(!status.success(), "a log that cannot be trusted is no clean end: {status}");
    std::fs::remove_file(&failing)?;
    let running = installation.setup.start_with(None, &variables).await?;
    let text = std::fs::read_to_string(running.log_file())?;
    assert!(text.contains("journal copied after an unclean stop"), "{text}");
    assert_eq!(send(&http, &running.url, &request("evt_fsync_lost")).await?.0, 200);
    acknowledged.push("evt_fsync_lost".to_owned());
    installation.wait_for_verdicts(&acknowledged).await?;
    installation.verify_is_clean().await?;
    assert!(running.terminate().await?.success());
    Ok(())
}

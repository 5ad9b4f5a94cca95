//! `up`: everything in one process, started in the order in which each part needs the one before it.
use crate::cli::Up;
use crate::database::Database;
use crate::parts::{
    OwnLog, Process, configure, create_data_dir, open_keys, open_master_key, open_process, open_snapshots,
};
use crate::services_task::Chain;
use crate::{demo, report, sample, settle};
use anyhow::Context as _;
use kit::config::Config;
use kit::health::Health;
use kit::lifecycle::{CancellationToken, Supervisor};
use kit::master_key::MasterKey;
use services::projector::Progress;
use std::io::{ErrorKind, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use stream::keys::KeyStore;
use stream::log::Log;
use stream::store::StateDb;
use tokio::sync::watch;

/// For the services to drain, after the gateway has answered its last request.
const DRAIN: Duration = Duration::from_secs(20);
/// The readiness flag that is down until the sample traffic has been played.
const DEMO: &str = "demo";

/// What a started `up` consists of.
struct Running {
    log: Arc<dyn Log>,
    health: Health,
    projected: watch::Receiver<Progress>,
    gateway: SocketAddr,
    /// Cancelled by a signal or by the end of `--once`: the gateway stops taking requests, the rest follows.
    stop: CancellationToken,
}

/// Runs until SIGTERM or SIGINT, or with `--once` until everything is worked off.
pub(crate) async fn up(args: &Up) -> anyhow::Result<()> {
    if args.dump.printed(&args.layers())? {
        return Ok(());
    }
    let mut config = configure(&args.layers())?;
    if args.once
        && args.listen.is_none()
        && config.listen == Config::load(&kit::config::Layers::default())?.listen
    {
        // Nobody has to find a process that ends by itself; a fixed port could only be taken.
        config.listen.set_port(0);
    }
    if args.once {
        // Nobody but ourselves has called, and nobody comes any more.
        config.limits.drain = Duration::ZERO;
    }
    if args.demo {
        // Whoever tries things out must not meet a limit that a real installation would set for itself.
        config.limits.requests_per_second = 0;
    }
    let process = open_process(&config, "up").await?;
    config.data_dir = create_data_dir(&config.data_dir)?;
    // Keys before the log: a log without its keys must not be begun.
    let master_key = open_master_key(&config).await?;
    let keys = open_keys(&config).await?;
    let log = OwnLog::open(&config).await?;
    let database = Database::open(&config).await?;
    let result = serve(args, &config, &database, &log, keys, master_key, &process).await;
    process.close().await;
    let database_closed = database.close().await;
    let log_closed = log.close().await;
    result.and(database_closed).and(log_closed)
}

async fn serve(
    args: &Up,
    config: &Config,
    database: &Database,
    own_log: &OwnLog,
    keys: Arc<dyn KeyStore>,
    master_key: MasterKey,
    process: &Process,
) -> anyhow::Result<()> {
    let Process { stop, health, .. } = process.clone();
    let log = Arc::clone(&own_log.log);
    readmodel::migrate(database.pool()).await.context("Postgres migration")?;
    let state = StateDb::open(&config.data_dir.join("state"))?;
    let mut supervisor = Supervisor::new(CancellationToken::new());
    let snapshots = open_snapshots(config)?;
    let chain = Chain { snapshots, ..process.chain(Arc::clone(&log), state, keys) };
    own_log.watch(&mut supervisor);
    chain.normalizer(&mut supervisor);
    chain.attribution(&mut supervisor);
    chain.commission(&mut supervisor);
    let projected = chain.projector(&mut supervisor, database.pool().clone());
    let gateway = start_gateway(config, &log, master_key.clone(), process).await?;
    let address = gateway.local_addr;
    stop_together(&mut supervisor, &stop);
    let services = supervisor.token().clone();
    supervisor.spawn("gateway", async move {
        let ended = gateway.finished().await;
        // Callers who wait are answered first; only then does the chain behind them stop.
        services.cancel();
        Ok(ended?)
    });
    let running = Running { log, health, projected, gateway: address, stop: stop.clone() };
    let foreground = async {
        let done = stop.run_until_cancelled(foreground(args, database, &master_key, &running)).await;
        let done = done.unwrap_or(Ok(()));
        if args.once || done.is_err() {
            stop.cancel();
        }
        done
    };
    let (done, ended) = tokio::join!(foreground, supervisor.run(config.limits.shutdown + DRAIN));
    ended.and(done)
}

/// Starts the gateway under a name of its own, so that answers meant for an earlier process do not reach this one.
pub(crate) async fn start_gateway(
    config: &Config,
    log: &Arc<dyn Log>,
    master_key: MasterKey,
    process: &Process,
) -> anyhow::Result<gateway::Running> {
    let options = gateway::Options {
        listen: config.listen,
        instance: format!("gw_{:016x}", rand::random::<u64>()),
        limits: config.limits.clone(),
        spans: process.spans.clone(),
    };
    let (health, stop) = (process.health.clone(), process.stop.clone());
    Ok(gateway::start(options, Arc::clone(log), master_key, health, stop).await?)
}

/// A task that fails stops the whole process, the gateway first of all.
pub(crate) fn stop_together(supervisor: &mut Supervisor, stop: &CancellationToken) {
    let (services, stop) = (supervisor.token().clone(), stop.clone());
    tokio::spawn(async move {
        services.cancelled().await;
        stop.cancel();
    });
}

/// What people wait for: the demo, the ready line, the balances.
async fn foreground(
    args: &Up,
    database: &Database,
    master_key: &MasterKey,
    running: &Running,
) -> anyhow::Result<()> {
    let url = format!("http://{}", running.gateway);
    if args.demo {
        let flag = running.health.flag(DEMO);
        eprintln!(
            "tributary: warning: --demo: the programs prog_demo and prog_demo_eighth are in test mode and their keys and \
             secrets are public; do not let others reach this process, and do not use its data directory for anything else"
        );
        ready_but_for_the_demo(&running.health).await?;
        demo::provision(&running.log, master_key).await?;
        sample::wait_until_known(&url, demo::SECRET_KEY, &demo::PROGRAM_IDS).await?;
        let played = sample::play(&url, demo::WEBHOOK_SECRET).await?;
        tracing::info!(requests = played, "sample traffic played");
        flag.retire();
    }
    running.health.wait_ready().await;
    print_line(&format!("tributary ready: {url}"))?;
    if args.once {
        settle::settled(&running.log, &running.projected, &running.stop).await?;
        report::print_balances(database.pool(), args.json).await?;
    }
    Ok(())
}

async fn ready_but_for_the_demo(health: &Health) -> anyhow::Result<()> {
    let mut readiness = health.watch();
    readiness.wait_for(|state| state.waiting_for.iter().all(|(name, _)| name == DEMO)).await?;
    Ok(())
}

/// One line on stdout, at once: whoever started us may be reading a pipe. When nobody reads any more, that is their choice.
pub(crate) fn print_line(line: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

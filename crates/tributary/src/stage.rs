//! One service in a process of its own, on Kafka.
use crate::cli::{Demo, Gateway, Stage};
use crate::database::Database;
use crate::parts::{
    NoKeys, Process, configure, configure_quietly, create_data_dir, open_kafka, open_keys, open_master_key,
    open_process, open_snapshots,
};
use crate::services_task::Chain;
use crate::up::{print_line, start_gateway, stop_together};
use crate::{demo, sample};
use kit::config::{Config, Layers};
use kit::lifecycle::{CancellationToken, Supervisor};
use kit::master_key::MasterKey;
use std::sync::Arc;
use std::time::Duration;
use stream::keys::KeyStore;
use stream::log::Log;
use stream::store::StateDb;

/// For a service to drain.
const DRAIN: Duration = Duration::from_secs(20);

/// What every single service starts from.
struct Base {
    config: Config,
    process: Process,
    log: Arc<dyn Log>,
}

/// `None`: it was asked for its configuration, and has printed it.
async fn base(stage: &Stage, name: &'static str) -> anyhow::Result<Option<Base>> {
    if stage.dump.printed(&stage.layers())? {
        return Ok(None);
    }
    base_of(&stage.layers(), name).await.map(Some)
}

async fn base_of(layers: &Layers, name: &'static str) -> anyhow::Result<Base> {
    let mut config = configure(layers)?;
    // Before anything is bound or created: without brokers there is nothing to do.
    let kafka = open_kafka(&config).await?;
    kafka.ensure_topics().await?;
    // Before anything is bound: what is wrong with them is said once, and by every service.
    kafka.check().await?;
    let process = open_process(&config, name).await?;
    config.data_dir = create_data_dir(&config.data_dir)?;
    Ok(Base { config, process, log: kafka })
}

/// Runs the gateway. Its master key must be the one that the endpoints' secrets were sealed under.
pub(crate) async fn gateway(args: &Gateway) -> anyhow::Result<()> {
    if args.dump.printed(&args.layers())? {
        return Ok(());
    }
    let Base { config, process, log } = base_of(&args.layers(), "gateway").await?;
    let master_key = open_master_key(&config).await?;
    let gateway = start_gateway(&config, &log, master_key, &process).await?;
    let address = gateway.local_addr;
    tokio::select! {
        () = process.health.wait_ready() => print_line(&format!("tributary ready: http://{address}"))?,
        () = process.stop.cancelled() => {}
    }
    let ended = gateway.finished().await;
    process.close().await;
    Ok(ended?)
}

/// Runs the normalizer. It needs the installation's key store.
pub(crate) async fn normalizer(args: &Stage) -> anyhow::Result<()> {
    let Some(base) = base(args, "normalizer").await? else { return Ok(()) };
    let keys = open_keys(&base.config).await?;
    run("normalizer", base, keys, Chain::normalizer).await
}

/// Runs the attribution service.
pub(crate) async fn attribution(args: &Stage) -> anyhow::Result<()> {
    let Some(base) = base(args, "attribution").await? else { return Ok(()) };
    run("attribution", base, Arc::new(NoKeys), Chain::attribution).await
}

/// Runs the commission service.
pub(crate) async fn commission(args: &Stage) -> anyhow::Result<()> {
    let Some(base) = base(args, "commission").await? else { return Ok(()) };
    run("commission", base, Arc::new(NoKeys), Chain::commission).await
}

async fn run(
    name: &str,
    base: Base,
    keys: Arc<dyn KeyStore>,
    start: impl FnOnce(&Chain, &mut Supervisor),
) -> anyhow::Result<()> {
    // Services may share a data directory; each has a store of its own in it.
    let state = StateDb::open(&base.config.data_dir.join(format!("state-{name}")))?;
    let mut supervisor = Supervisor::new(base.process.stop.clone());
    let snapshots = open_snapshots(&base.config)?;
    start(&Chain { snapshots, ..base.process.chain(base.log, state, keys) }, &mut supervisor);
    let ended = supervisor.run(DRAIN).await;
    base.process.close().await;
    ended
}

/// Runs the projector.
pub(crate) async fn projector(args: &Stage) -> anyhow::Result<()> {
    let Some(base) = base(args, "projector").await? else { return Ok(()) };
    let database = Database::open(&base.config).await?;
    readmodel::migrate(database.pool()).await?;
    let mut supervisor = Supervisor::new(CancellationToken::new());
    let state = StateDb::open(&base.config.data_dir.join("state-projector"))?;
    let chain = base.process.chain(base.log, state, Arc::new(NoKeys));
    let _progress = chain.projector(&mut supervisor, database.pool().clone());
    let services = supervisor.token().clone();
    let stop = base.process.stop.clone();
    stop_together(&mut supervisor, &stop);
    tokio::spawn(async move {
        stop.cancelled().await;
        services.cancel();
    });
    let ended = supervisor.run(DRAIN).await;
    base.process.close().await;
    ended.and(database.close().await)
}

/// Creates the demo's programs and plays the sample traffic, beside services that run.
pub(crate) async fn demo(args: &Demo) -> anyhow::Result<()> {
    let mut config = configure_quietly(&args.place.layers(&[]))?;
    let kafka = open_kafka(&config).await?;
    config.data_dir = create_data_dir(&config.data_dir)?;
    let master_key = MasterKey::load_or_create(&config.data_dir)?;
    let url = args.gateway.trim_end_matches('/');
    demo::provision(&(kafka as Arc<dyn Log>), &master_key).await?;
    sample::wait_until_known(url, demo::SECRET_KEY, &demo::PROGRAM_IDS).await?;
    let played = sample::play(url, demo::WEBHOOK_SECRET).await?;
    print_line(&format!("{played} sample requests answered by {url}"))
}

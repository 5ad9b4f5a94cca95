//! Logs to stderr, metrics on a port of their own.
use crate::config::Logging;
use crate::health::Health;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::{Json, Router, routing::get};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde_json::json;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Bounds of every histogram whose name ends in `_seconds`: 0.1 ms to 10 s.
const SECONDS_BUCKETS: [f64; 15] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// Histograms keep samples until they are drained: by a scrape, or this often.
const UPKEEP: Duration = Duration::from_secs(5);

static RECORDER: Mutex<Option<PrometheusHandle>> = Mutex::new(None);

/// Sends tracing events to stderr. A second call in one process changes nothing.
///
/// # Errors
/// When the filter cannot be understood.
pub fn init_logging(logging: &Logging) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&logging.filter)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let result = if logging.json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_ansi(std::io::stderr().is_terminal()).try_init()
    };
    if let Err(error) = result {
        tracing::debug!(%error, "logging was set up before");
    }
    Ok(())
}

/// Installs the process's metrics recorder; before anything that keeps metric handles is built. Idempotent.
///
/// # Errors
/// When a foreign recorder is installed.
pub fn init_metrics() -> anyhow::Result<Metrics> {
    let mut recorder = RECORDER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*recorder {
        return Ok(Metrics(handle.clone()));
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS)?
        .install_recorder()?;
    *recorder = Some(handle.clone());
    Ok(Metrics(handle))
}

/// The process's metrics.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// All metrics in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Serves `GET /metrics`, `/livez` and `/readyz` (of `health`) until `token` is cancelled. Returns the address that it really got.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn serve(
        &self,
        listen: SocketAddr,
        health: Health,
        token: CancellationToken,
    ) -> std::io::Result<(SocketAddr, JoinHandle<anyhow::Result<()>>)> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let metrics = self.clone();
        let router = Router::new().route(
            "/metrics",
            get(async move || {
                ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render())
            }),
        );
        let router = router.route("/livez", get(async || Json(json!({"live": true})))).route(
            "/readyz",
            get(async move || {
                let readiness = health.readiness();
                let status =
                    if readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                (status, Json(readiness.to_json()))
            }),
        );
        let upkeep = self.clone();
        let join = tokio::spawn(async move {
            let stop = token.clone();
            tokio::spawn(async move {
                let mut every = tokio::time::interval(UPKEEP);
                while stop.run_until_cancelled(every.tick()).await.is_some() {
                    upkeep.0.run_upkeep();
                }
            });
            axum::serve(listener, router).with_graceful_shutdown(token.cancelled_owned()).await?;
            Ok(())
        });
        Ok((address, join))
    }
}

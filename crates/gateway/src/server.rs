//! Binds, serves connections within their limits, and drains them at the end.
use crate::app::App;
use crate::directory::Directory;
use crate::metrics::{CONNECTIONS_REFUSED, Meters};
use crate::outcomes::Outcomes;
use crate::per_address::{Counted, PerAddress};
use crate::produce::Producer;
use crate::rate::Rate;
use crate::routes;
use crate::tail::Tail;
use crate::trace;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use kit::config::Limits;
use kit::health::Health;
use kit::master_key::MasterKey;
use kit::spans::Spans;
use metrics::counter;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use stream::log::Log;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service as _;

/// After a failed accept (descriptors used up, most often).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Before a failed attempt to reach the log is repeated.
const BACKOFF: Duration = Duration::from_millis(500);
/// How long a connection that has asked nothing yet is listened to after the last one was taken: its request is on its way.
const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// What a gateway is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// This gateway's name in reply addresses: unique among the gateways that run at once.
    pub instance: String,
    /// What is refused, and when.
    pub limits: Limits,
    /// Where spans go.
    pub spans: Spans,
}

/// Why a gateway could not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken, or not ours.
    #[error("gateway cannot listen on {address}; choose another address with --listen")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The server's task panicked.
    #[error("gateway stopped by a defect: {0}")]
    Defect(#[from] tokio::task::JoinError),
}

/// A gateway that listens. It is ready when the health it was given says so.
#[derive(Debug)]
pub struct Running {
    /// The address that it really got.
    pub local_addr: SocketAddr,
    /// Ends after the token was cancelled and open requests were answered or ran out of time.
    pub join: JoinHandle<Result<(), Error>>,
}

impl Running {
    /// Waits for the end.
    ///
    /// # Errors
    /// As the task's, or [`Error::Defect`] when it panicked.
    pub async fn finished(self) -> Result<(), Error> {
        self.join.await?
    }
}

/// Binds and serves until `token` is cancelled. The metrics recorder must be installed before. Registers the health flags `gateway`, `gateway_config`, `gateway_log` and
/// `gateway_outcomes`; all are up once configuration has been read to the ends found at the start.
///
/// # Errors
/// [`Error::Bind`]. A log that does not answer is no error: the gateway is not ready until it does.
pub async fn start(
    options: Options,
    log: Arc<dyn Log>,
    master_key: MasterKey,
    health: Health,
    token: CancellationToken,
) -> Result<Running, Error> {
    let bind = |source| Error::Bind { address: options.listen, source };
    let listener = TcpListener::bind(options.listen).await.map_err(bind)?;
    let local_addr = listener.local_addr().map_err(bind)?;
    let limits = options.limits;
    // Tails outlive the public token: open requests still wait for what they bring.
    let tails = CancellationToken::new();
    let tasks = TaskTracker::new();
    let directory = Arc::new(Directory::new(master_key, Rate::of(&limits)));
    let tail = Tail::new(
        Arc::clone(&log),
        Arc::clone(&directory),
        health.flag("gateway_config"),
        tails.clone(),
        tasks.clone(),
    );
    let app = Arc::new(App {
        producer: Producer::new(Arc::clone(&log), &limits, options.spans.clone()),
        outcomes: Outcomes::new(options.instance, limits.max_in_flight),
        meters: Meters::new(),
        limits,
        directory,
        tail,
        health,
    });
    app.tail.start();
    follow_outcomes(&app, &log, &tasks, &tails);
    warm_up(&app, &tasks, &tails);
    let join = tokio::spawn(async move {
        let mut router = routes::router(Arc::clone(&app));
        if options.spans.is_on() {
            router = router.layer(axum::middleware::from_fn_with_state(options.spans, trace::traced));
        }
        serve(&app, &router, listener, &token).await;
        tails.cancel();
        tasks.close();
        tasks.wait().await;
        Ok(())
    });
    Ok(Running { local_addr, join })
}

fn follow_outcomes(app: &Arc<App>, log: &Arc<dyn Log>, tasks: &TaskTracker, token: &CancellationToken) {
    let (app, log, token) = (Arc::clone(app), Arc::clone(log), token.clone());
    tasks.spawn(async move {
        let flag = app.health.flag("gateway_outcomes");
        token.run_until_cancelled(app.outcomes.follow(&log, &flag)).await;
    });
}

/// The first request must not be the one that finds the log unreachable.
fn warm_up(app: &Arc<App>, tasks: &TaskTracker, token: &CancellationToken) {
    let flag = app.health.flag("gateway_log");
    let (app, token) = (Arc::clone(app), token.clone());
    tasks.spawn(async move {
        let reached = token.run_until_cancelled(async {
            while let Err(error) = app.producer.warm_up().await {
                tracing::warn!(%error, "log not reachable, trying again");
                flag.not_ready(&error.to_string());
                tokio::time::sleep(BACKOFF).await;
            }
        });
        if reached.await.is_some() {
            flag.ready();
            token.cancelled().await;
        }
    });
}

async fn serve(app: &Arc<App>, router: &Router, listener: TcpListener, token: &CancellationToken) {
    let flag = app.health.flag("gateway");
    flag.ready();
    // Readiness goes down at once; who has not seen that yet is still served for a while.
    let (drained, drain, draining) = (CancellationToken::new(), app.limits.drain, token.clone());
    let closing = drained.clone();
    let flagged = tokio::spawn(async move {
        draining.cancelled().await;
        flag.not_ready("shutting down");
        tokio::time::sleep(drain).await;
        closing.cancel();
        flag
    });
    let http = http(&app.limits);
    let permits = Arc::new(Semaphore::new(app.limits.max_connections.min(Semaphore::MAX_PERMITS)));
    let per_address = PerAddress::new(app.limits.max_connections_per_address);
    let connections = Connections {
        http,
        router: router.clone(),
        ending: CancellationToken::new(),
        open: TaskTracker::new(),
    };
    loop {
        // Beyond the cap, connections wait in the kernel's queue.
        let accepted = drained.run_until_cancelled(async {
            let permit = Arc::clone(&permits).acquire_owned().await;
            (permit, listener.accept().await)
        });
        match accepted.await {
            None => break,
            Some((Ok(permit), Ok((socket, peer)))) => match per_address.enter(peer.ip()) {
                Some(counted) => connections.serve(socket, (permit, counted)),
                None => {
                    counter!(CONNECTIONS_REFUSED).increment(1);
                    drop(socket);
                }
            },
            Some((_, Err(error))) => {
                tracing::warn!(%error, "connection not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            Some((Err(_), _)) => break,
        }
    }
    drop(listener);
    if tokio::time::timeout(app.limits.shutdown, connections.end()).await.is_err() {
        tracing::warn!("requests still open at the end of the time for them");
    }
    // Without the token the loop above ends only by a defect.
    flagged.abort();
}

fn http(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        // Without it hyper reads ahead into a new buffer while each request waits for the log, only to notice a client
        // that left; the wait is short, and the append goes on anyway.
        .half_close(true)
        // Answers are small: copying head and body together costs less than handing the kernel two pieces.
        .writev(false)
        .header_read_timeout(limits.header_timeout)
        .max_header_size(limits.header_bytes)
        // An unfinished head is held to its limit by the buffer alone; hyper asks for 8 KiB at least.
        .max_buf_size(limits.header_bytes.max(8 << 10));
    http
}

/// The connections that are open.
struct Connections {
    http: http1::Builder,
    router: Router,
    ending: CancellationToken,
    open: TaskTracker,
}

impl Connections {
    fn serve(&self, socket: TcpStream, permit: (OwnedSemaphorePermit, Counted)) {
        // Answers are small and whole: waiting for more to send only delays them.
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "nodelay not set");
        }
        let (router, asked) = (self.router.clone(), CancellationToken::new());
        let first = asked.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            first.cancel();
            router.clone().call(request)
        });
        let connection = self.http.serve_connection(TokioIo::new(socket), service);
        let ending = self.ending.clone();
        self.open.spawn(async move {
            if let Err(error) = until_ended(connection, &asked, &ending).await {
                tracing::debug!(%error, "connection ended");
            }
            drop(permit);
        });
    }

    /// Waits until all are answered; those that are idle are closed.
    async fn end(&self) {
        self.ending.cancel();
        self.open.close();
        self.open.wait().await;
    }
}

/// Serves a connection, after `ending` only until its request is answered. hyper would close one that was just made without
/// reading the request that is on its way, and whoever sent it could not know that nothing was done with it.
async fn until_ended<S>(
    connection: http1::Connection<TokioIo<TcpStream>, S>,
    asked: &CancellationToken,
    ending: &CancellationToken,
) -> hyper::Result<()>
where
    S: HttpService<Incoming, ResBody = Body, Error = Infallible>,
{
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = ending.cancelled() => {}
    }
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = asked.cancelled() => {}
        () = tokio::time::sleep(FIRST_REQUEST) => {}
    }
    connection.as_mut().graceful_shutdown();
    connection.await
}

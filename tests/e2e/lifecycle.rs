//! SIGTERM while requests are under way: whoever was let in is answered, the log and the stores are in order, status 0.
use crate::installation::{Installation, Target};
use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use testkit::load::{client, send};
use testkit::requests::{DEMO_KEY, referral};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

const WORKERS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_answers_whoever_was_let_in_and_ends_in_order_on_the_embedded_log() -> Result<()> {
    terminate(Target::Embedded).await
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_answers_whoever_was_let_in_and_ends_in_order_on_kafka() -> Result<()> {
    terminate(Target::Kafka).await
}

async fn terminate(target: Target) -> Result<()> {
    let installation = Installation::new(target, "sigterm").await?;
    // Long enough for three requests on a machine with much else to do.
    let running = installation.setup.start_with(None, &[("TRIBUTARY_LIMITS_DRAIN_MS", "1500")]).await?;
    let (url, health) = (running.url.clone(), format!("{}/readyz", running.metrics_url()?));
    let http = client();
    assert_eq!(http.get(&health).send().await?.status(), 200);
    assert_eq!(http.get(health.replace("readyz", "livez")).send().await?.status(), 200);

    let ending = Arc::new(AtomicBool::new(false));
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        workers.spawn(work(worker, url.clone(), Arc::clone(&ending)));
    }
    let mut slow = SlowRequest::begin(&url).await?;
    running.signal(Signal::SIGTERM)?;
    let since = Instant::now();
    ending.store(true, Ordering::SeqCst);
    // Readiness is gone while new connections are still taken: who asks now learns it before it is refused.
    while http.get(&health).send().await?.status() == 200 {
        anyhow::ensure!(since.elapsed() < Duration::from_secs(5), "the signal was not heard");
    }
    let unready = since.elapsed();
    let public =
        http.get(format!("{url}/readyz")).send().await.context("new connections are taken for a while")?;
    assert_eq!(public.status(), 503);
    let (status, _) = send(&http, &url, &referral("prog_demo", "john123", "order_draining", 1_000)).await?;
    assert_eq!(status, 200, "still served while others learn that it ends");

    let answer = slow.finish().await?;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let mut acknowledged = vec!["order_slow".to_owned(), "order_draining".to_owned()];
    while let Some(worked) = workers.join_next().await {
        acknowledged.extend(worked??);
    }
    let log = running.log_file();
    let status = running.ended().await?;
    println!(
        "{target:?}: unready after {unready:?}, ended after {:?}, {} acknowledged",
        since.elapsed(),
        acknowledged.len()
    );
    assert!(status.success(), "{status}");
    let text = std::fs::read_to_string(log)?;
    for service in ["normalizer", "attribution", "commission"] {
        assert!(
            text.lines().any(|line| line.contains("service drained") && line.contains(service)),
            "{service} was not drained:\n{text}"
        );
    }
    assert!(acknowledged.len() > WORKERS, "the load did something: {acknowledged:?}");
    let running = installation.setup.start(None).await?;
    installation.wait_for_verdicts(&acknowledged).await?;
    installation.verify_is_clean().await?;
    assert!(running.terminate().await?.success());
    Ok(())
}

/// Sends one referral after the other, each on a new connection, until none is taken any more. Those that were answered 200.
/// A connection that was made is answered, whatever happens meanwhile.
async fn work(worker: usize, url: String, ending: Arc<AtomicBool>) -> Result<Vec<String>> {
    let mut acknowledged = Vec::new();
    for number in 0.. {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).no_proxy().build()?;
        let order = format!("order_{worker}_{number}");
        match send(&http, &url, &referral("prog_demo", "john123", &order, 1_000)).await {
            Ok((200, _)) => acknowledged.push(order),
            Ok((status, body)) => anyhow::bail!("{order} was answered {status}: {body}"),
            Err(error) if error.is_connect() && ending.load(Ordering::SeqCst) => break,
            Err(error) if ending.load(Ordering::SeqCst) && not_accepted(&error) => break,
            Err(error) => return Err(error).context(order),
        }
    }
    Ok(acknowledged)
}

/// The kernel made the connection and the listener was closed before it was taken: nothing was read of it.
fn not_accepted(error: &reqwest::Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            return io.kind() == std::io::ErrorKind::ConnectionReset;
        }
        source = inner.source();
    }
    false
}

/// A request whose body takes its time.
struct SlowRequest {
    stream: TcpStream,
    rest: Vec<u8>,
}

impl SlowRequest {
    async fn begin(url: &str) -> Result<Self> {
        let address = url.strip_prefix("http://").context("an address")?;
        let mut stream = TcpStream::connect(address).await?;
        let body = referral("prog_demo", "mary456", "order_slow", 1_000).body;
        let head = format!(
            "POST /api/referral HTTP/1.1\r\nhost: {address}\r\nx-api-key: {DEMO_KEY}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nexpect: 100-continue\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        // The interim answer shows that the request is being served.
        let mut interim = [0; 25];
        stream.read_exact(&mut interim).await?;
        anyhow::ensure!(interim.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&interim));
        stream.write_all(&body[..10]).await?;
        Ok(Self { stream, rest: body[10..].to_vec() })
    }

    async fn finish(&mut self) -> Result<String> {
        self.stream.write_all(&self.rest).await?;
        let mut answer = Vec::new();
        self.stream.read_to_end(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

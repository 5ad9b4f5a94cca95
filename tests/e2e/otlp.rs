//! A small OTLP/HTTP receiver: keeps the spans that it is sent, and their bytes.
use anyhow::{Result, bail};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

const LIMIT: Duration = Duration::from_secs(30);

/// What it has.
#[derive(Debug, Default)]
struct Received {
    spans: Vec<Span>,
    bytes: Vec<u8>,
}

/// The receiver; it ends with the test.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    received: Arc<Mutex<Received>>,
}

impl Receiver {
    pub(crate) async fn start() -> Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let received = Arc::new(Mutex::new(Received::default()));
        let router = Router::new().route("/v1/traces", post(receive)).with_state(Arc::clone(&received));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { url, received })
    }

    /// The spans of a trace by name, once all of `names` are there.
    pub(crate) async fn trace(&self, trace: &[u8], names: &[&str]) -> Result<BTreeMap<String, Vec<Span>>> {
        let limit = Instant::now() + LIMIT;
        loop {
            let mut found: BTreeMap<String, Vec<Span>> = BTreeMap::new();
            for span in &self.received.lock().unwrap().spans {
                if span.trace_id == trace {
                    found.entry(span.name.clone()).or_default().push(span.clone());
                }
            }
            if names.iter().all(|name| found.contains_key(*name)) {
                return Ok(found);
            }
            if Instant::now() > limit {
                bail!("of {names:?} only {:?} came", found.keys());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Everything that came, as it came.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.received.lock().unwrap().bytes.clone()
    }
}

async fn receive(State(received): State<Arc<Mutex<Received>>>, body: Bytes) -> StatusCode {
    let Ok(request) = ExportTraceServiceRequest::decode(body.clone()) else { return StatusCode::BAD_REQUEST };
    let mut received = received.lock().unwrap();
    received.bytes.extend_from_slice(&body);
    for resource in request.resource_spans {
        for scope in resource.scope_spans {
            received.spans.extend(scope.spans);
        }
    }
    StatusCode::OK
}

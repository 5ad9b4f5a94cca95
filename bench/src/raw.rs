//! What the gateway is compared with on Kafka: axum, a signature check, a raw producer that waits for all acknowledgements, and
//! nothing else. No configuration, no limits, no check of the body, no frame.
use anyhow::Result;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::{Router, routing::post};
use domain::time::Micros;
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use testkit::requests::{DEMO_WEBHOOK_SECRET, now_seconds};

const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);

struct Raw {
    producer: FutureProducer,
    topic: String,
    partition: i32,
}

/// Starts it for one partition of `topic`.
pub(crate) async fn start(brokers: &str, topic: String, partition: i32) -> Result<SocketAddr> {
    let producer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "0")
        .create()?;
    let app = Router::new().route("/webhooks/{provider}", post(accept)).with_state(Arc::new(Raw {
        producer,
        topic,
        partition,
    }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}

async fn accept(State(raw): State<Arc<Raw>>, headers: HeaderMap, body: Bytes) -> (StatusCode, &'static str) {
    let signature = headers.get("Paddle-Signature").and_then(|value| value.to_str().ok());
    let now = Micros(i64::try_from(now_seconds()).unwrap_or_default() * 1_000_000);
    if sources::signature::verify_paddle(signature, &body, &[DEMO_WEBHOOK_SECRET], 0, now).is_err() {
        return (StatusCode::UNAUTHORIZED, "signature");
    }
    let record = FutureRecord::<str, [u8]>::to(&raw.topic).partition(raw.partition).payload(&body);
    match raw.producer.send(record, QUEUE_TIMEOUT).await {
        Ok(_) => (StatusCode::OK, "{}"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "kafka"),
    }
}

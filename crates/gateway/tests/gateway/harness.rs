//! A gateway with two accounts, and a client.
use crate::fake_log::FakeLog;

use kit::config::{Config, Layers, Limits};
use kit::health::Health;
use kit::lifecycle::CancellationToken;
use kit::master_key::MasterKey;
use reqwest::{Client, Response};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sources::signature::sign_paddle;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tributary_gateway::{Options, Running};
use wire::v1;
use wire::v1::config_fact::Object;

pub(crate) const SECRET: &str = "whsec_demo_tributary";
pub(crate) const OLD_SECRET: &str = "whsec_before_the_rotation";
pub(crate) const INSTANCE: &str = "gateway-test";
pub(crate) const WEBHOOK: &str = "/webhooks/paddle?program_id=prog_demo";
pub(crate) const REFERRAL: &str = "/api/referral";
pub(crate) const BODY: &str = r#"{"event_id":"evt_1","event_type":"transaction.completed"}"#;

pub(crate) struct Gateway {
    pub(crate) log: Arc<FakeLog>,
    pub(crate) health: Health,
    pub(crate) running: Running,
    pub(crate) token: CancellationToken,
    pub(crate) client: Client,
}

pub(crate) fn limits() -> Limits {
    let mut limits = Config::load(&Layers::default()).unwrap().limits;
    limits.config_wait = Duration::from_millis(200);
    limits.append_timeout = Duration::from_millis(100);
    limits.drain = Duration::from_millis(20);
    limits
}

pub(crate) fn master_key() -> MasterKey {
    MasterKey::from_bytes([3; 64])
}

pub(crate) async fn gateway() -> Gateway {
    gateway_with(FakeLog::new(), limits()).await
}

/// A ready gateway over a log that knows `prog_demo` and, of another account, `prog_other`.
pub(crate) async fn gateway_with(log: Arc<FakeLog>, limits: Limits) -> Gateway {
    for (program, account) in [("prog_demo", "acc_demo"), ("prog_other", "acc_other")] {
        configure_program(&log, program, account);
    }
    configure_endpoint(&log, 3, "prog_demo", &[OLD_SECRET, SECRET]);
    configure_key(&log, 4, "sk_demo", "acc_demo", false);
    configure_key(&log, 4, "pk_demo", "acc_demo", true);
    let gateway = start(log, limits).await;
    gateway.health.wait_ready().await;
    gateway
}

pub(crate) async fn start(log: Arc<FakeLog>, limits: Limits) -> Gateway {
    let options = Options {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        instance: INSTANCE.into(),
        limits,
        spans: kit::spans::Spans::off(),
    };
    let (health, token) = (Health::new(), CancellationToken::new());
    let shared: Arc<FakeLog> = Arc::clone(&log);
    let running =
        tributary_gateway::start(options, shared, master_key(), health.clone(), token.clone()).await.unwrap();
    Gateway { log, health, running, token, client: Client::new() }
}

fn configure_program(log: &FakeLog, program_id: &str, account: &str) {
    let program =
        v1::Program { account_id: account.into(), mode: v1::Mode::Test.into(), ..Default::default() };
    let fact = v1::ConfigFact {
        program_id: program_id.into(),
        object: Some(Object::Program(program)),
        ..Default::default()
    };
    log.configure(1, fact, &format!("program/{program_id}"));
}

pub(crate) fn configure_endpoint(log: &FakeLog, version: u64, program_id: &str, secrets: &[&str]) {
    let sealed = secrets.iter().map(|secret| {
        let sealed = master_key().seal_endpoint_secret(program_id, "ep_paddle", secret.as_bytes()).unwrap();
        v1::SealedSecret { sealed: sealed.into() }
    });
    let endpoint = v1::Endpoint {
        endpoint_id: "ep_paddle".into(),
        provider: "paddle".into(),
        secrets: sealed.collect(),
        tolerance_seconds: 0,
    };
    let fact = v1::ConfigFact {
        program_id: program_id.into(),
        object: Some(Object::Endpoint(endpoint)),
        ..Default::default()
    };
    log.configure(version, fact, &format!("endpoint/{program_id}/ep_paddle"));
}

pub(crate) fn configure_key(log: &FakeLog, version: u64, text: &str, account: &str, publishable: bool) {
    let key = v1::ApiKey { account_id: account.into(), publishable, ..Default::default() };
    configure_key_as(log, version, text, "prog_demo", key);
}

/// A test key with the rights that `like` has.
pub(crate) fn configure_key_as(log: &FakeLog, version: u64, text: &str, home: &str, like: v1::ApiKey) {
    let key = v1::ApiKey {
        key_id: format!("key_{text}"),
        sha256: Sha256::digest(text).to_vec().into(),
        mode: v1::Mode::Test.into(),
        ..like
    };
    let fact =
        v1::ConfigFact { program_id: home.into(), object: Some(Object::ApiKey(key)), ..Default::default() };
    log.configure(version, fact, &format!("api_key/{home}/key_{text}"));
}

/// The signature of `body` made `age` seconds ago.
pub(crate) fn signature(secret: &str, body: &[u8], age: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    sign_paddle(secret.as_bytes(), now - age, body)
}

impl Gateway {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.local_addr)
    }

    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let mut request = self.client.post(self.url(path)).body(body.to_vec());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    pub(crate) async fn deliver(&self, path: &str, body: &[u8]) -> (u16, Value) {
        let signature = signature(SECRET, body, 0);
        seen(self.post(path, &[("paddle-signature", &signature)], body).await).await
    }

    pub(crate) async fn refer(&self, path: &str, key: &str, body: &str) -> (u16, Value) {
        seen(self.post(path, &[("X-API-Key", key)], body.as_bytes()).await).await
    }

    /// A request to the native API.
    pub(crate) async fn native(&self, method: &str, path: &str, key: &str, body: &str) -> (u16, Value) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.client.request(method, self.url(path)).bearer_auth(key).body(body.to_owned());
        seen(request.send().await.unwrap()).await
    }

    /// Sends bytes as they are; the answer up to the connection's end.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        let mut socket = tokio::net::TcpStream::connect(self.running.local_addr).await.unwrap();
        socket.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    }
}

pub(crate) async fn seen(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    assert_eq!(content_type, "application/json");
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap())
}

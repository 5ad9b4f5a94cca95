//! Webhook endpoints and their secrets, which are sealed under the master key before anything is logged.
use super::configure::{Write, Written, new_id};
use super::{Answer, Call, Operation};
use crate::app::App;
use crate::directory;
use crate::refusal::Refusal;
use domain::config::{ConfigObject, Endpoint};
use domain::ids::Hash;
use serde_json::{Value, json};
use sources::native::schema::{Refused, Values};
use std::sync::Arc;

/// A shorter secret protects nothing.
const LEAST_SECRET_BYTES: usize = 8;
/// Each delivery is checked against all of them.
const MOST_SECRETS: usize = 8;

/// What the table cannot say of a secret.
pub(super) fn check(values: &Values) -> Result<(), Refusal> {
    if values.text("secret").is_some_and(|secret| secret.len() < LEAST_SECRET_BYTES) {
        let message = format!("secret must be {LEAST_SECRET_BYTES} bytes at least");
        return Err(Refusal::Field(Refused::new("bad_text", "secret", message)));
    }
    Ok(())
}

pub(super) async fn take(app: &App, call: &Call<'_>, values: &Values) -> Result<Answer, Refusal> {
    match call.operation {
        Operation::CreateEndpoint => create(app, call, values).await,
        Operation::AddSecret => add_secret(app, call, values).await,
        Operation::DeleteSecret => delete_secret(app, call).await,
        _ => delete(app, call).await,
    }
}

async fn create(app: &App, call: &Call<'_>, values: &Values) -> Result<Answer, Refusal> {
    let provider = values.owned("provider");
    let endpoint_id = match values.text("endpoint_id") {
        Some(id) => id.to_owned(),
        None => new_id(call, "ep_", &provider),
    };
    let endpoint = Endpoint {
        sealed_secrets: vec![seal(app, call.program_id(), &endpoint_id, values)?],
        endpoint_id,
        provider,
        tolerance_seconds: values
            .number("tolerance_seconds")
            .and_then(|s| u32::try_from(s).ok())
            .unwrap_or(0),
    };
    write(app, call, endpoint, true).await
}

async fn add_secret(app: &App, call: &Call<'_>, values: &Values) -> Result<Answer, Refusal> {
    let mut endpoint = newest(app, call).await?;
    let sealed = seal(app, call.program_id(), &endpoint.endpoint_id, values)?;
    // Sealing is deterministic: the same secret again is the same bytes.
    if !endpoint.sealed_secrets.contains(&sealed) {
        if endpoint.sealed_secrets.len() >= MOST_SECRETS {
            return Err(Refusal::TooManySecrets);
        }
        endpoint.sealed_secrets.push(sealed);
    }
    write(app, call, endpoint, false).await
}

async fn delete_secret(app: &App, call: &Call<'_>) -> Result<Answer, Refusal> {
    let mut endpoint = newest(app, call).await?;
    let wanted = call.parameters.get("fingerprint");
    let before = endpoint.sealed_secrets.len();
    endpoint.sealed_secrets.retain(|sealed| fingerprint(sealed) != wanted);
    if endpoint.sealed_secrets.is_empty() && before > 0 {
        return Err(Refusal::LastSecret);
    }
    write(app, call, endpoint, false).await
}

async fn delete(app: &App, call: &Call<'_>) -> Result<Answer, Refusal> {
    let shown = json!({"endpoint_id": call.parameters.get("endpoint")});
    let endpoint = match newest(app, call).await {
        Ok(endpoint) => endpoint,
        Err(Refusal::UnknownObject(_)) => return Ok(Written { changed: Some(false) }.answer(shown)),
        Err(refusal) => return Err(refusal),
    };
    let object = ConfigObject::Endpoint(Endpoint { sealed_secrets: Vec::new(), ..endpoint });
    let write = Write { program_id: call.program_id(), object, removed: true, create_only: false };
    Ok(write.by(app, call).await?.answer(shown))
}

/// The endpoint of the path as the log has it now: what is written back was read just before.
async fn newest(app: &App, call: &Call<'_>) -> Result<Endpoint, Refusal> {
    let (program_id, id) = (call.program_id(), call.parameters.get("endpoint"));
    if !app.tail.passes_now(app.limits.config_wait).await {
        // From an old copy a secret that was just added would be written away.
        return Err(Refusal::Busy);
    }
    let endpoint: Option<Arc<directory::Endpoint>> = app.directory.endpoint_named(program_id, id);
    let endpoint = endpoint.ok_or(Refusal::UnknownObject("endpoint"))?;
    Ok(Endpoint {
        endpoint_id: endpoint.endpoint_id.clone(),
        provider: endpoint.provider.clone(),
        sealed_secrets: endpoint.sealed.clone(),
        tolerance_seconds: endpoint.tolerance_seconds,
    })
}

fn seal(app: &App, program_id: &str, endpoint_id: &str, values: &Values) -> Result<Vec<u8>, Refusal> {
    let secret = values.text("secret").unwrap_or_default();
    app.directory.seal(program_id, endpoint_id, secret.as_bytes()).ok_or(Refusal::Internal)
}

async fn write(app: &App, call: &Call<'_>, endpoint: Endpoint, create_only: bool) -> Result<Answer, Refusal> {
    let shown = shown(call.program_id(), &endpoint);
    let object = ConfigObject::Endpoint(endpoint);
    let write = Write { program_id: call.program_id(), object, removed: false, create_only };
    Ok(write.by(app, call).await?.answer(shown))
}

fn shown(program_id: &str, endpoint: &Endpoint) -> Value {
    let secrets: Vec<String> = endpoint.sealed_secrets.iter().map(|sealed| fingerprint(sealed)).collect();
    json!({
        "endpoint_id": endpoint.endpoint_id,
        "provider": endpoint.provider,
        "path": format!("/webhooks/{}?program_id={}", endpoint.provider, encoded(program_id)),
        "tolerance_seconds": endpoint.tolerance_seconds,
        "secrets": secrets,
    })
}

/// Names a sealed secret. Of the sealed bytes: of the secret itself it would let others try secrets out.
fn fingerprint(sealed: &[u8]) -> String {
    hex::encode(&Hash::of(sealed).0[..8])
}

/// An id as it stands in a URL's query.
fn encoded(id: &str) -> String {
    let mut out = String::with_capacity(id.len());
    for byte in id.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

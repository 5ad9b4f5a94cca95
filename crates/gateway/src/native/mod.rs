//! The native API, below `/v1/programs`: its contract is `docs/reference/native-api.md`.
//!
//! Every request goes the same way: body within its limits, key, rate, scope, path and body by the operation's table, the
//! program that the key must speak for; then it becomes one `ingest` record or several, and the outcome is waited for.
//! Read next: [`operations`](Operation) (the table), `events` (sales and the rest), `payouts`, `configure`, `keys` and `endpoints`.
mod configure;
mod endpoints;
mod events;
mod fields;
mod keys;
mod operations;
mod payouts;
mod shown;

pub(crate) use operations::{Operation, STATUSES, Shape};

use crate::adapters;
use crate::app::{App, now};
use crate::body;
use crate::directory::{Key, Owner};
use crate::refusal::{Refusal, json_response};
use axum::RequestPartsExt as _;
use axum::body::Body;
use axum::extract::{RawPathParams, Request};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Response, StatusCode};
use bytes::Bytes;
use serde_json::Value;
use sources::json::MAX_ID_BYTES;
use sources::native::IDEMPOTENCY_HEADER;
use sources::native::schema::{self, Refused, Values};
use std::sync::Arc;
use tokio::time::Instant;

/// How many times the limit of a body a batch may be.
const BATCH_BODIES: usize = 4;

/// Status and body.
type Answer = (StatusCode, Value);

/// A request whose head was read.
struct Call<'request> {
    operation: Operation,
    headers: &'request HeaderMap,
    query: &'request str,
    key: Arc<Key>,
    parameters: Parameters,
    idempotency_key: Option<String>,
    deadline: Instant,
}

/// The decoded parameters of the path.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

/// Serves one request.
pub(crate) async fn serve(app: &App, operation: Operation, request: Request) -> Response<Body> {
    // Large, and rarely needed: kept out of the connection's future.
    match Box::pin(served(app, operation, request)).await {
        Ok((status, body)) => json_response(status, Bytes::from(body.to_string())),
        Err(refusal) => refusal.native(),
    }
}

async fn served(app: &App, operation: Operation, request: Request) -> Result<Answer, Refusal> {
    // The caller's patience counts from the arrival: the time for the append is part of it.
    let deadline = Instant::now() + app.limits.answer_wait;
    let (mut parts, body) = request.into_parts();
    let shape = operation.shape();
    let bodies = if shape.batch > 0 { BATCH_BODIES } else { 1 };
    let limit = app.limits.body_bytes.saturating_mul(bodies);
    let body = body::read(&parts.headers, body, limit, app.limits.request_timeout).await?;
    let key = authenticate(app, &parts.headers).await?;
    if !key.may(shape.scope) {
        // A refused request costs like one that is not, or refusals would be the cheap way to flood.
        key.bucket.take(1)?;
        return Err(Refusal::ScopeMissing(shape.scope.name()));
    }
    let parameters = parameters(&mut parts).await;
    let call = Call {
        operation,
        headers: &parts.headers,
        query: parts.uri.query().unwrap_or_default(),
        key,
        parameters: parameters?,
        idempotency_key: idempotency_key(&parts.headers)?,
        deadline,
    };
    if let Some(resource) = shape.resource {
        return events::take(app, &call, resource, body).await;
    }
    call.key.bucket.take(1)?;
    configure::take(app, &call, &body).await
}

/// The key of the `Authorization` header, if it is one and its time is not over.
async fn authenticate(app: &App, headers: &HeaderMap) -> Result<Arc<Key>, Refusal> {
    const SCHEME: usize = "Bearer ".len();
    let value = headers.get(AUTHORIZATION).map(|value| value.as_bytes()).ok_or(Refusal::KeyMissing)?;
    let scheme = value.get(..SCHEME).ok_or(Refusal::KeyMissing)?;
    if !scheme.eq_ignore_ascii_case(b"Bearer ") || headers.get_all(AUTHORIZATION).iter().count() > 1 {
        return Err(Refusal::KeyMissing);
    }
    let key = app.key(value[SCHEME..].trim_ascii()).await.ok_or(Refusal::KeyUnknown)?;
    if key.is_expired(now()) { Err(Refusal::KeyExpired) } else { Ok(key) }
}

async fn parameters(parts: &mut axum::http::request::Parts) -> Result<Parameters, Refusal> {
    let bad = |name: &str| {
        let message =
            format!("{name} in the path must be 1 to {MAX_ID_BYTES} bytes without control characters");
        Refusal::Field(Refused::new("bad_text", name, message))
    };
    let raw: RawPathParams = parts.extract().await.map_err(|_| bad("a parameter"))?;
    let mut out = Vec::new();
    for (name, value) in &raw {
        if value.is_empty() || value.len() > MAX_ID_BYTES || value.chars().any(char::is_control) {
            return Err(bad(name));
        }
        out.push((name.to_owned(), value.to_owned()));
    }
    Ok(Parameters(out))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let mut values = headers.get_all(IDEMPOTENCY_HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| (1..=MAX_ID_BYTES).contains(&text.len()));
    match text.filter(|text| values.next().is_none() && !text.chars().any(char::is_control)) {
        Some(text) => Ok(Some(text.to_owned())),
        None => {
            let message = format!(
                "Idempotency-Key must be there once, with 1 to {MAX_ID_BYTES} visible ASCII characters"
            );
            Err(Refusal::Field(Refused::new("bad_text", "Idempotency-Key", message)))
        }
    }
}

/// The body's fields by the operation's table; no body is an empty object.
fn values(operation: Operation, body: &[u8]) -> Result<Values, Refusal> {
    let body = if body.is_empty() { b"{}" } else { body };
    adapters::precheck(body)?;
    schema::read(operation.shape().fields, body).map_err(Refusal::Field)
}

impl Call<'_> {
    fn program_id(&self) -> &str {
        self.parameters.get("program")
    }

    /// The program of the path, when the key speaks for it. Somebody else's is as unknown as one that is not there.
    async fn program(&self, app: &App) -> Result<Owner, Refusal> {
        let id = self.program_id();
        let owner = app.known(|directory| directory.program(id)?.owner.clone()).await;
        owner.filter(|owner| self.key.speaks_for(id, owner)).ok_or(Refusal::UnknownProgram)
    }
}

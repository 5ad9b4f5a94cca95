//! `POST /api/referral`: the Revshare dialect, in outcome mode.
//!
//! Order of refusals: size and encoding, key 401, body 400, program 404, another account's program 403. What needs the log
//! (unknown code, conflict, twin) comes back as an outcome. An outcome that is not known in time is the dialect's pending
//! form, with the id that the referral will have.
use crate::adapters;
use crate::app::{App, Stamped, now};
use crate::body;
use crate::directory::Key;
use crate::refusal::{Refusal, json_response};
use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{Response, StatusCode};
use bytes::Bytes;
use domain::config::KeyScope;
use sources::dialects::revshare::{self, Outcome, RevshareRequest};
use std::sync::Arc;
use tokio::time::Instant;

const KEY_HEADER: &str = "x-api-key";

/// Serves one referral.
pub(crate) async fn refer(app: &App, request: Request) -> Response<Body> {
    // The caller's patience counts from the arrival: the time for the append is part of it.
    let deadline = Instant::now() + app.limits.answer_wait;
    let (parts, body) = request.into_parts();
    match body::read(&parts.headers, body, app.limits.body_bytes, app.limits.request_timeout).await {
        Ok(body) => referred(app, &parts, body, deadline).await.unwrap_or_else(|refusal| refusal.revshare()),
        Err(refusal) => refusal.revshare(),
    }
}

async fn referred(
    app: &App,
    parts: &Parts,
    body: Bytes,
    deadline: Instant,
) -> Result<Response<Body>, Refusal> {
    let Some(key) = account_key(app, parts).await else {
        return Ok(answer(&Outcome::BadKey));
    };
    if let Err(refusal) = key.bucket.take(1) {
        let mut limited = answer(&Outcome::RateLimited);
        refusal.write_retry_after(&mut limited);
        return Ok(limited);
    }
    if !key.may(KeyScope::Report) {
        return Ok(answer(&Outcome::Forbidden));
    }
    let request = match valid(&body) {
        Ok(request) => request,
        Err(fields) => return Ok(answer(&Outcome::Invalid { fields: &fields })),
    };
    let program = request.program.as_str();
    let owner = app.known(|directory| directory.program(program)?.owner.clone()).await;
    match owner {
        None => return Ok(answer(&Outcome::UnknownProgram)),
        // A key's mode is its program's: a test key never reaches a live program.
        Some(owner) if !key.speaks_for(program, &owner) => return Ok(answer(&Outcome::Forbidden)),
        Some(_) => {}
    }
    let _permit = app.producer.admit(body.len())?;
    let expected = app.outcomes.expect()?;
    let stamped = Stamped {
        program_id: program,
        source: revshare::NAME,
        headers: &parts.headers,
        query: parts.uri.query().unwrap_or_default(),
        authenticated_by: &key.key_id,
        publishable: key.publishable,
        received_at: now(),
        reply_to: Some(expected.reply_to()),
        resource: "",
        idempotency_key: None,
    };
    let record = app.producer.record(stamped.request(body));
    app.producer.produce(record, &app.meters).await?;
    Ok(match expected.until(deadline).await {
        None => answer(&Outcome::Pending { request: &request }),
        Some(known) => {
            let (answered, duplicate) = (known.answer.as_ref(), known.duplicate);
            answer(&Outcome::of_verdict(&request, known.verdict, &known.reason, answered, duplicate))
        }
    })
}

/// The account key that was sent; a publishable one is none.
async fn account_key(app: &App, parts: &Parts) -> Option<Arc<Key>> {
    let text = parts.headers.get(KEY_HEADER).filter(|text| !text.is_empty())?;
    app.key(text.as_bytes()).await.filter(|key| !key.publishable && !key.is_expired(now()))
}

/// The referral, or the offending fields.
fn valid(body: &[u8]) -> Result<RevshareRequest, Vec<&'static str>> {
    adapters::precheck(body).map_err(|_| Vec::new())?;
    revshare::validate(body)
}

fn answer(outcome: &Outcome<'_>) -> Response<Body> {
    let (status, body) = revshare::respond(outcome);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    json_response(status, Bytes::from(body.to_string()))
}

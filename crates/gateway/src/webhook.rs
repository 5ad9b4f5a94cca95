//! `POST /webhooks/{provider}?program_id=…`: a provider's signed delivery, answered once the log has it.
//!
//! Order of refusals: size and encoding, program named, signature, JSON. Nothing is parsed before it is authenticated.
use crate::adapters::{self, Provider};
use crate::app::{App, Stamped, now};
use crate::body;
use crate::directory::{Directory, Endpoint, Program};
use crate::refusal::{Refusal, json_response};
use axum::body::Body;
use axum::extract::{Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Response, StatusCode, Uri};
use bytes::Bytes;
use domain::time::Micros;
use futures::FutureExt as _;
use std::borrow::Cow;
use std::sync::Arc;

const PREFIX: &str = "/webhooks/";
/// Providers insist on 200 and pass the body over.
const RECEIVED: Bytes = Bytes::from_static(b"{\"received\":true}");
/// What an unknown endpoint's signature is checked against, so that its refusal costs what a wrong signature costs.
const DUMMY_SECRET: &[u8] = b"whsec_no_such_endpoint";

/// Serves one delivery.
pub(crate) fn receive(app: &App, request: Request) -> impl Future<Output = Response<Body>> {
    let (parts, body) = request.into_parts();
    received(app, parts, body).map(|result| match result {
        Ok(()) => json_response(StatusCode::OK, RECEIVED),
        Err(refusal) => refusal.native(),
    })
}

async fn received(app: &App, parts: Parts, body: Body) -> Result<(), Refusal> {
    let name = parts.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    let provider = Provider::parse(name).ok_or(Refusal::UnknownProvider)?;
    let body = body::read(&parts.headers, body, app.limits.body_bytes, app.limits.request_timeout).await?;
    let program_id = program_of(&parts.uri)?;
    let received_at = now();
    let endpoint = authenticate(app, provider, &program_id, &parts.headers, &body, received_at).await?;
    endpoint.bucket.take(1)?;
    adapters::precheck(&body)?;
    let _permit = app.producer.admit(body.len())?;
    let stamped = Stamped {
        program_id: &program_id,
        source: provider.name(),
        headers: &parts.headers,
        query: parts.uri.query().unwrap_or_default(),
        authenticated_by: &endpoint.endpoint_id,
        publishable: false,
        received_at,
        reply_to: None,
        resource: "",
        idempotency_key: None,
    };
    let record = app.producer.record(stamped.request(body));
    drop((program_id, endpoint));
    app.producer.produce(record, &app.meters).await
}

/// The endpoint whose secret signed the body.
async fn authenticate(
    app: &App,
    provider: Provider,
    program_id: &str,
    headers: &HeaderMap,
    body: &[u8],
    now: Micros,
) -> Result<Arc<Endpoint>, Refusal> {
    let find = |directory: &Directory| {
        let program = directory.program(program_id)?;
        has_endpoint(&program, provider).then_some(program)
    };
    let program = match find(&app.directory) {
        Some(program) => program,
        None => {
            // Its result is of no interest; its work is.
            let _refused: Result<(), Refusal> =
                adapters::verify(provider, headers, body, &[DUMMY_SECRET], 0, now);
            app.known(find).await.ok_or(Refusal::UnknownEndpoint)?
        }
    };
    let mut refusal = Refusal::SecretUnavailable;
    for endpoint in program.endpoints.iter().filter(|endpoint| endpoint.provider == provider.name()) {
        if endpoint.secrets.is_empty() {
            continue;
        }
        match adapters::verify(provider, headers, body, &endpoint.secrets, endpoint.tolerance_seconds, now) {
            Ok(()) => return Ok(Arc::clone(endpoint)),
            // A right signature that is too old says more than a wrong one.
            Err(_) if refusal == Refusal::SignatureStale => {}
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

fn has_endpoint(program: &Program, provider: Provider) -> bool {
    program.owner.is_some() && program.endpoints.iter().any(|endpoint| endpoint.provider == provider.name())
}

/// Decodes only where something is encoded: most program ids are plain.
fn program_of(uri: &Uri) -> Result<Cow<'_, str>, Refusal> {
    let query = uri.query().unwrap_or_default();
    if query.contains(['%', '+']) {
        let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else {
            return Err(Refusal::ProgramMissing);
        };
        return single(
            pairs.into_iter().filter(|(name, _)| name == "program_id").map(|(_, value)| value.into()),
        );
    }
    single(query.split('&').filter_map(|pair| pair.strip_prefix("program_id=")).map(Cow::Borrowed))
}

fn single<'query>(mut named: impl Iterator<Item = Cow<'query, str>>) -> Result<Cow<'query, str>, Refusal> {
    let program_id =
        named.next().filter(|program_id| !program_id.is_empty()).ok_or(Refusal::ProgramMissing)?;
    // Which of two would be meant is a guess, and the signature does not cover the URL.
    if named.next().is_some() { Err(Refusal::ProgramRepeated) } else { Ok(program_id) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_named_once_in_plain_or_encoded_form() {
        let of = |text: &'static str| program_of(&Uri::from_static(text)).map(Cow::into_owned);
        assert_eq!(of("/w?a=1&program_id=prog_demo"), Ok("prog_demo".to_owned()));
        assert_eq!(of("/w?program_id=prog%5Fdemo"), Ok("prog_demo".to_owned()));
        assert_eq!(of("/w"), Err(Refusal::ProgramMissing));
        assert_eq!(of("/w?program_id="), Err(Refusal::ProgramMissing));
        assert_eq!(of("/w?program_id=a&program_id=b"), Err(Refusal::ProgramRepeated));
        assert_eq!(of("/w?program_id=a&program%5Fid=b"), Err(Refusal::ProgramRepeated));
    }
}

//! What all requests share.
use crate::directory::{Directory, Key};
use crate::metrics::Meters;
use crate::outcomes::Outcomes;
use crate::produce::Producer;
use crate::tail::Tail;
use crate::trace;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_TYPE, USER_AGENT};
use bytes::Bytes;
use domain::time::Micros;
use kit::config::Limits;
use kit::health::Health;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use wire::v1;

/// Headers that are kept with the body: what helps to understand a request later, and nothing that authenticates it.
const KEPT_HEADERS: [axum::http::HeaderName; 2] = [CONTENT_TYPE, USER_AGENT];
/// A longer value is left out.
const KEPT_VALUE_BYTES: usize = 256;

/// The gateway's state.
pub(crate) struct App {
    pub(crate) limits: Limits,
    pub(crate) directory: Arc<Directory>,
    pub(crate) tail: Arc<Tail>,
    pub(crate) producer: Producer,
    pub(crate) outcomes: Outcomes,
    pub(crate) health: Health,
    pub(crate) meters: Meters,
}

impl App {
    /// The key that `text` is. An unknown one may be newer than the tail: waits for it.
    /// It may be over: ask [`Key::is_expired`].
    pub(crate) async fn key(&self, text: &[u8]) -> Option<Arc<Key>> {
        let sha256: [u8; 32] = Sha256::digest(text).into();
        self.known(|directory| directory.key(&sha256)).await
    }

    /// What `look` finds, now or after the tail has passed what is in the log now.
    pub(crate) async fn known<T>(&self, look: impl Fn(&Directory) -> Option<T>) -> Option<T> {
        if let Some(found) = look(&self.directory) {
            return Some(found);
        }
        // Whether the tail has passed or the time has, the last look decides. Rare, so kept out of each request's future.
        let _passed: bool = Box::pin(self.tail.passes_now(self.limits.config_wait)).await;
        look(&self.directory)
    }
}

/// A raw request as it goes into `ingest`.
pub(crate) struct Stamped<'request> {
    pub(crate) program_id: &'request str,
    pub(crate) source: &'static str,
    pub(crate) headers: &'request HeaderMap,
    pub(crate) query: &'request str,
    pub(crate) authenticated_by: &'request str,
    /// The key that vouches for it is one that everybody may see.
    pub(crate) publishable: bool,
    pub(crate) received_at: Micros,
    pub(crate) reply_to: Option<v1::ReplyAddress>,
    /// Native API: what was posted, and the caller's idempotency key; empty elsewhere.
    pub(crate) resource: &'static str,
    pub(crate) idempotency_key: Option<&'request str>,
}

impl Stamped<'_> {
    pub(crate) fn request(self, body: Bytes) -> v1::RawRequest {
        let (trace_id, span_id) = trace::context_of(self.headers);
        v1::RawRequest {
            program_id: self.program_id.to_owned(),
            source: self.source.to_owned(),
            body,
            headers: kept(self.headers, self.idempotency_key),
            query: self.query.to_owned(),
            authenticated_by: self.authenticated_by.to_owned(),
            received_at_micros: self.received_at.0,
            reply_to: self.reply_to,
            trace_id: Bytes::copy_from_slice(&trace_id),
            span_id: Bytes::copy_from_slice(&span_id),
            resource: self.resource.to_owned(),
            publishable: self.publishable,
        }
    }
}

fn kept(headers: &HeaderMap, idempotency_key: Option<&str>) -> Vec<v1::Header> {
    let mut out = Vec::with_capacity(KEPT_HEADERS.len() + 1);
    if let Some(key) = idempotency_key {
        out.push(v1::Header { name: sources::native::IDEMPOTENCY_HEADER.to_owned(), value: key.to_owned() });
    }
    for name in &KEPT_HEADERS {
        if let Some(value) = headers.get(name).and_then(|value| value.to_str().ok())
            && value.len() <= KEPT_VALUE_BYTES
        {
            out.push(v1::Header { name: name.as_str().to_owned(), value: value.to_owned() });
        }
    }
    out
}

/// The gateway's wall clock: stamps receipt and judges signature ages, never decides about money.
pub(crate) fn now() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

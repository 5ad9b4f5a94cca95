//! Why a request is refused: one enum, one table of status, code and text, two shapes of body.
use crate::metrics::REFUSALS;
use axum::body::Body;
use axum::http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, Response, StatusCode};
use bytes::Bytes;
use metrics::counter;
use serde_json::json;

/// The page that explains every code.
const DOC: &str = "docs/reference/gateway.md";

/// A refusal that was decided before anything was logged, or because the log did not acknowledge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the body is larger than {0} bytes")]
    BodyTooLarge(usize),
    #[error(
        "a request with Content-Encoding is not accepted: send the body as it is, its signature covers those bytes"
    )]
    ContentEncoding,
    #[error("the body did not arrive in time")]
    BodyTimeout,
    #[error("the body ended before its end")]
    BodyBroken,
    #[error("the body cannot be read: {0}")]
    Malformed(String),
    #[error("the URL names no program: add ?program_id=")]
    ProgramMissing,
    #[error("the URL names more than one program")]
    ProgramRepeated,
    #[error("this provider is not known here")]
    UnknownProvider,
    #[error("no such program, or it has no webhook endpoint for this provider")]
    UnknownEndpoint,
    #[error("the signature header is missing")]
    SignatureMissing,
    #[error("the signature header cannot be understood")]
    SignatureMalformed,
    #[error("the signature is not by any live secret of this endpoint over exactly this body")]
    SignatureMismatch,
    #[error(
        "the signature's timestamp is further from now than is tolerated: send again, or check the clocks"
    )]
    SignatureStale,
    #[error("the endpoint's secret cannot be opened: its operator must restore the master key")]
    SecretUnavailable,
    #[error("too many requests wait for the log: send again")]
    Busy,
    #[error("the log did not acknowledge in time: send again, a repetition counts once")]
    LogUnavailable,
    #[error("nothing is here")]
    NotFound,
    #[error("this method is not offered here")]
    MethodNotAllowed,
    #[error("a defect stopped this request: send again, a repetition counts once")]
    Internal,
}

impl Refusal {
    /// Status, stable code, and the offending field.
    const fn class(&self) -> (StatusCode, &'static str, Option<&'static str>) {
        match self {
            Self::BodyTooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", None),
            Self::ContentEncoding => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_encoding", Some("Content-Encoding"))
            }
            Self::BodyTimeout => (StatusCode::REQUEST_TIMEOUT, "body_timeout", None),
            Self::BodyBroken => (StatusCode::BAD_REQUEST, "body_broken", None),
            Self::Malformed(_) => (StatusCode::BAD_REQUEST, "malformed_body", None),
            Self::ProgramMissing => (StatusCode::BAD_REQUEST, "program_missing", Some("program_id")),
            Self::ProgramRepeated => (StatusCode::BAD_REQUEST, "program_repeated", Some("program_id")),
            Self::UnknownProvider => (StatusCode::NOT_FOUND, "unknown_provider", None),
            Self::UnknownEndpoint => (StatusCode::NOT_FOUND, "unknown_endpoint", Some("program_id")),
            Self::SignatureMissing => (StatusCode::UNAUTHORIZED, "signature_missing", None),
            Self::SignatureMalformed => (StatusCode::UNAUTHORIZED, "signature_malformed", None),
            Self::SignatureMismatch => (StatusCode::UNAUTHORIZED, "signature_mismatch", None),
            Self::SignatureStale => (StatusCode::UNAUTHORIZED, "signature_stale", None),
            Self::SecretUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "secret_unavailable", None),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy", None),
            Self::LogUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "log_unavailable", None),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", None),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", None),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", None),
        }
    }

    /// Seconds until another try makes sense.
    const fn retry_after(&self) -> Option<&'static str> {
        match self {
            Self::Busy | Self::LogUnavailable => Some("1"),
            Self::SecretUnavailable => Some("60"),
            _ => None,
        }
    }

    /// Whether unread body bytes may remain on the connection, so that it must not be used again.
    const fn closes(&self) -> bool {
        matches!(self, Self::BodyTooLarge(_) | Self::BodyTimeout | Self::BodyBroken)
    }

    /// In the native envelope: `{"error": {code, message, field, doc}}`.
    pub(crate) fn native(&self) -> Response<Body> {
        let (_, code, field) = self.class();
        let doc = format!("{DOC}#{code}");
        self.answer(
            &json!({"error": {"code": code, "message": self.to_string(), "field": field, "doc": doc}}),
        )
    }

    /// As the Revshare dialect words errors: `{"error": text}`.
    pub(crate) fn revshare(&self) -> Response<Body> {
        self.answer(&json!({"error": self.to_string()}))
    }

    fn answer(&self, body: &serde_json::Value) -> Response<Body> {
        let (status, code, _) = self.class();
        counter!(REFUSALS, "code" => code).increment(1);
        let mut response = json_response(status, Bytes::from(body.to_string()));
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        if self.closes() {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if *self == Self::MethodNotAllowed {
            headers.entry(ALLOW).or_insert(HeaderValue::from_static("POST, GET"));
        }
        response
    }
}

/// A response with a JSON body.
pub(crate) fn json_response(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_place_in_the_reference() {
        let page = include_str!("../../../docs/reference/gateway.md");
        let all = [
            Refusal::BodyTooLarge(1),
            Refusal::ContentEncoding,
            Refusal::BodyTimeout,
            Refusal::BodyBroken,
            Refusal::Malformed(String::new()),
            Refusal::ProgramMissing,
            Refusal::ProgramRepeated,
            Refusal::UnknownProvider,
            Refusal::UnknownEndpoint,
            Refusal::SignatureMissing,
            Refusal::SignatureMalformed,
            Refusal::SignatureMismatch,
            Refusal::SignatureStale,
            Refusal::SecretUnavailable,
            Refusal::Busy,
            Refusal::LogUnavailable,
            Refusal::NotFound,
            Refusal::MethodNotAllowed,
            Refusal::Internal,
        ];
        for refusal in all {
            let (status, code, _) = refusal.class();
            assert!(page.contains(&format!("\n### {code}\n{}. ", status.as_u16())), "{code}");
        }
    }
}

//! Why a request is refused: one enum, one table of status, code and text, two shapes of body.
use crate::metrics::REFUSALS;
use axum::body::Body;
use axum::http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Response, StatusCode};
use bytes::Bytes;
use domain::normalization::validate::code;
use metrics::counter;
use serde_json::json;
use sources::native::schema::Refused;
use std::borrow::Cow;

/// The page that explains what any request may be refused for.
const DOC: &str = "docs/reference/gateway.md";
/// The page that explains what the log refuses configuration for.
const CONFIGURATION_DOC: &str = "docs/reference/configuration.md";
/// The page that explains what only the native API says.
const NATIVE_DOC: &str = "docs/reference/native-api.md";

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
    #[error("too many requests with this key, or to this endpoint: send again after {0} s")]
    RateLimited(u64),
    #[error("send the key as Authorization: Bearer KEY")]
    KeyMissing,
    #[error("this key is not known, or was revoked")]
    KeyUnknown,
    #[error("this key's time is over: it was rotated, use the new one")]
    KeyExpired,
    #[error("this key may not do that: it needs the scope {0}")]
    ScopeMissing(&'static str),
    #[error("this needs a key of the whole account: an operator key")]
    AccountKeyNeeded,
    #[error("a key cannot give away more than it has")]
    KeyTooWeak,
    #[error("{0}")]
    Field(Refused),
    #[error("no such program for this key")]
    UnknownProgram,
    #[error("there is no such {0} here")]
    UnknownObject(&'static str),
    #[error("no such commission in this program")]
    UnknownCommission,
    #[error("{detail}")]
    UnknownPartner { field: &'static str, detail: String },
    #[error("{0}")]
    Conflict(String),
    #[error("the commission cannot be decided like this: {0}")]
    Declined(String),
    #[error("no such payout in this program")]
    UnknownPayout,
    #[error("{message}: {word}")]
    PayoutDeclined { word: String, field: &'static str, message: &'static str },
    #[error("an endpoint keeps one secret at least: add the new one first, or delete the endpoint")]
    LastSecret,
    #[error("as many secrets are live as may be: delete one that is no longer used")]
    TooManySecrets,
    #[error("{detail}")]
    Config { code: String, field: String, detail: String },
}

impl Refusal {
    /// Status, stable code, and the offending field.
    fn class(&self) -> (StatusCode, Cow<'static, str>, Option<String>) {
        let (status, code, field) = match self {
            Self::Field(refused) => {
                let field = (!refused.field.is_empty()).then(|| refused.field.clone());
                return (StatusCode::BAD_REQUEST, refused.code.into(), field);
            }
            Self::Config { code, field, .. } => {
                let field = (!field.is_empty()).then(|| field.clone());
                return (config_status(code), code.clone().into(), field);
            }
            other => other.fixed_class(),
        };
        (status, code.into(), field.map(str::to_owned))
    }

    /// As [`Refusal::class`], for all whose code does not depend on the request.
    const fn fixed_class(&self) -> (StatusCode, &'static str, Option<&'static str>) {
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
            // The two that depend on the request never get here.
            Self::Internal | Self::Field(_) | Self::Config { .. } => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal", None)
            }
            Self::RateLimited(_) => (StatusCode::TOO_MANY_REQUESTS, "rate_limited", None),
            Self::KeyMissing => (StatusCode::UNAUTHORIZED, "key_missing", Some("Authorization")),
            Self::KeyUnknown => (StatusCode::UNAUTHORIZED, "key_unknown", Some("Authorization")),
            Self::KeyExpired => (StatusCode::UNAUTHORIZED, "key_expired", Some("Authorization")),
            Self::ScopeMissing(_) => (StatusCode::FORBIDDEN, "scope_missing", None),
            Self::AccountKeyNeeded => (StatusCode::FORBIDDEN, "account_key_needed", None),
            Self::KeyTooWeak => (StatusCode::FORBIDDEN, "key_too_weak", Some("scopes")),
            Self::UnknownProgram => (StatusCode::NOT_FOUND, "unknown_program", Some("program")),
            Self::UnknownObject(_) => (StatusCode::NOT_FOUND, "unknown_object", None),
            Self::UnknownCommission => (StatusCode::NOT_FOUND, "unknown_commission", Some("commission_id")),
            Self::UnknownPartner { field, .. } => (StatusCode::NOT_FOUND, "unknown_partner", Some(*field)),
            Self::Conflict(_) => (StatusCode::CONFLICT, "conflict", None),
            Self::Declined(_) => (StatusCode::CONFLICT, "declined", Some("decision")),
            Self::UnknownPayout => (StatusCode::NOT_FOUND, "unknown_payout", Some("payout_id")),
            Self::PayoutDeclined { field, .. } => (StatusCode::CONFLICT, "declined", Some(*field)),
            Self::LastSecret => (StatusCode::CONFLICT, "last_secret", None),
            Self::TooManySecrets => (StatusCode::CONFLICT, "too_many_secrets", None),
        }
    }

    /// Where the code is explained.
    const fn doc(&self) -> &'static str {
        match self {
            Self::KeyMissing
            | Self::KeyUnknown
            | Self::KeyExpired
            | Self::ScopeMissing(_)
            | Self::AccountKeyNeeded
            | Self::KeyTooWeak
            | Self::Field(_)
            | Self::UnknownProgram
            | Self::UnknownObject(_)
            | Self::UnknownCommission
            | Self::UnknownPartner { .. }
            | Self::Conflict(_)
            | Self::Declined(_)
            | Self::UnknownPayout
            | Self::PayoutDeclined { .. }
            | Self::LastSecret
            | Self::TooManySecrets => NATIVE_DOC,
            Self::Config { .. } => CONFIGURATION_DOC,
            _ => DOC,
        }
    }

    /// Seconds until another try makes sense.
    const fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Busy | Self::LogUnavailable => Some(1),
            Self::SecretUnavailable => Some(60),
            Self::RateLimited(seconds) => Some(*seconds),
            _ => None,
        }
    }

    /// Whether unread body bytes may remain on the connection, so that it must not be used again.
    const fn closes(&self) -> bool {
        matches!(self, Self::BodyTooLarge(_) | Self::BodyTimeout | Self::BodyBroken)
    }

    /// In the native envelope: `{"error": {code, message, field, doc}}`.
    pub(crate) fn native(&self) -> Response<Body> {
        self.answer(&self.envelope().1)
    }

    /// Status and body in the native envelope.
    pub(crate) fn envelope(&self) -> (StatusCode, serde_json::Value) {
        let (status, code, field) = self.class();
        // The codes of configuration share one table.
        let anchor = if matches!(self, Self::Config { .. }) { "refusals" } else { code.as_ref() };
        let doc = format!("{}#{anchor}", self.doc());
        let message = self.to_string();
        (status, json!({"error": {"code": code, "message": message, "field": field, "doc": doc}}))
    }

    /// As the Revshare dialect words errors: `{"error": text}`.
    pub(crate) fn revshare(&self) -> Response<Body> {
        self.answer(&json!({"error": self.to_string()}))
    }

    /// Says when another try makes sense, where one does.
    pub(crate) fn write_retry_after(&self, response: &mut Response<Body>) {
        if let Some(seconds) = self.retry_after() {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
    }

    fn answer(&self, body: &serde_json::Value) -> Response<Body> {
        let (status, code, _) = self.class();
        counter!(REFUSALS, "code" => code.into_owned()).increment(1);
        let mut response = json_response(status, Bytes::from(body.to_string()));
        self.write_retry_after(&mut response);
        let headers = response.headers_mut();
        if matches!(self, Self::KeyMissing | Self::KeyUnknown | Self::KeyExpired) {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
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

/// What the normalizer refuses a configuration write for, as a status: by the kind of its code.
fn config_status(code: &str) -> StatusCode {
    match code {
        _ if code.starts_with("unknown_") => StatusCode::NOT_FOUND,
        _ if code.starts_with("bad_") || code == code::OUT_OF_RANGE => StatusCode::BAD_REQUEST,
        _ => StatusCode::CONFLICT,
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
        let pages = [
            (DOC, include_str!("../../../docs/reference/gateway.md")),
            (NATIVE_DOC, include_str!("../../../docs/reference/native-api.md")),
        ];
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
            Refusal::RateLimited(1),
            Refusal::KeyMissing,
            Refusal::KeyUnknown,
            Refusal::KeyExpired,
            Refusal::ScopeMissing(""),
            Refusal::AccountKeyNeeded,
            Refusal::KeyTooWeak,
            Refusal::UnknownProgram,
            Refusal::UnknownObject(""),
            Refusal::UnknownCommission,
            Refusal::UnknownPartner { field: "", detail: String::new() },
            Refusal::Conflict(String::new()),
            Refusal::Declined(String::new()),
            Refusal::UnknownPayout,
            Refusal::PayoutDeclined { word: String::new(), field: "", message: "" },
            Refusal::LastSecret,
            Refusal::TooManySecrets,
        ];
        let fields = [
            "malformed_body",
            "unknown_field",
            "duplicate_field",
            "missing_field",
            "bad_field",
            "bad_text",
            "bad_amount",
            "bad_time",
            "unknown_currency",
            "contradictory",
            "card_number",
        ];
        let fields = fields.map(|code| Refusal::Field(Refused::new(code, "", "")));
        for refusal in all.into_iter().chain(fields) {
            let (status, code, _) = refusal.class();
            let page = pages.iter().find(|(name, _)| *name == refusal.doc()).map_or("", |(_, page)| page);
            assert!(page.contains(&format!("\n### {code}\n{}. ", status.as_u16())), "{code}");
        }
    }
}

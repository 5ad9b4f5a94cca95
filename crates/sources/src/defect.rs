//! Why a request cannot be used as it is: the reasons are a closed list, the details are for a person.
use domain::normalization::Reading;
use std::fmt::Display;

/// The reasons that adapters give with `quarantined`.
pub mod reason {
    /// The body is not JSON, or not an object. The gateway refuses these; a retry of old records may meet one.
    pub const MALFORMED: &str = "malformed";
    /// A key that matters occurs twice: two parsers would read two different bodies.
    pub const DUPLICATE_KEY: &str = "duplicate_key";
    /// A field that must be there is absent, null or empty.
    pub const MISSING_FIELD: &str = "missing_field";
    /// A field is of the wrong kind, or holds a word that the adapter does not know.
    pub const BAD_FIELD: &str = "bad_field";
    /// An id or code is too long, has a control character or U+0000, or half of a surrogate pair.
    pub const BAD_TEXT: &str = "bad_text";
    /// An amount is no whole number of minor units from 0 to the largest one.
    pub const BAD_AMOUNT: &str = "bad_amount";
    /// A moment is not RFC 3339.
    pub const BAD_TIME: &str = "bad_time";
    /// No currency that we know.
    pub const UNKNOWN_CURRENCY: &str = "unknown_currency";
    /// Two fields that must agree do not.
    pub const CONTRADICTORY: &str = "contradictory";
    /// It means something for money that this version cannot express yet: retry it with one that can.
    pub const UNSUPPORTED_EVENT: &str = "unsupported_event";
    /// No adapter of that name.
    pub const UNKNOWN_SOURCE: &str = "unknown_source";
}

/// What keeps a request from being used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Defect {
    reason: &'static str,
    detail: String,
}

impl Defect {
    /// `detail` names fields, never their values: values may be personal data.
    pub(crate) fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    /// The field at `path` is not there.
    pub(crate) fn missing(path: impl Display) -> Self {
        Self::new(reason::MISSING_FIELD, format!("{path} is missing"))
    }

    /// The parser refused the object at `path`. Its words may quote the body, so only those about keys are kept.
    pub(crate) fn unreadable(path: impl Display, error: &serde_json::Error) -> Self {
        let words = error.to_string();
        match words.strip_prefix("duplicate field `").and_then(|rest| rest.split_once('`')) {
            Some((key, _)) => {
                Self::new(reason::DUPLICATE_KEY, format!("the key {key} occurs twice within {path}"))
            }
            None => Self::new(
                reason::MALFORMED,
                format!("{path} cannot be read (line {}, column {})", error.line(), error.column()),
            ),
        }
    }

    /// The reading that it leads to.
    pub(crate) fn into_reading(self) -> Reading {
        Reading::Quarantined { reason: self.reason.to_owned(), detail: self.detail }
    }
}

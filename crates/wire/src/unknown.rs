//! What decoding and encoding refuse.

/// Bytes that this version cannot read as an event: its reader gives the partition up and reports not ready (an event of a
/// newer version must not be skipped, and a damaged one not be guessed).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}: {detail}")]
pub struct Unknown {
    /// The message that was read.
    pub message: &'static str,
    /// What was met.
    pub detail: UnknownDetail,
}

/// What was met in bytes that this version cannot read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownDetail {
    /// Not protobuf, or cut off.
    #[error("malformed: {0}")]
    Malformed(String),
    /// None of the kinds that this version knows.
    #[error("a kind that this version does not know")]
    Kind,
    /// An enum's number or a word that this version does not know.
    #[error("{field} is {value}, which this version does not know")]
    Value {
        /// The field.
        field: &'static str,
        /// What it holds.
        value: String,
    },
    /// A field that every version writes is absent or of the wrong length.
    #[error("{0} is missing or has the wrong length")]
    Field(&'static str),
}

impl Unknown {
    pub(crate) fn malformed(message: &'static str, error: &prost::DecodeError) -> Self {
        Self { message, detail: UnknownDetail::Malformed(error.to_string()) }
    }

    pub(crate) const fn kind(message: &'static str) -> Self {
        Self { message, detail: UnknownDetail::Kind }
    }

    pub(crate) fn value(message: &'static str, field: &'static str, value: impl ToString) -> Self {
        Self { message, detail: UnknownDetail::Value { field, value: value.to_string() } }
    }

    pub(crate) const fn field(message: &'static str, field: &'static str) -> Self {
        Self { message, detail: UnknownDetail::Field(field) }
    }
}

/// An identifier that was to be written before the loop had matched and sealed it: a defect of the caller. The error does
/// not carry the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsealed {
    /// The value is readable: it must never be written.
    #[error("an identifier of a fact is not sealed")]
    Open,
    /// Nobody has matched the identifier to a person.
    #[error("an identifier of a fact has no subject")]
    NoSubject,
}

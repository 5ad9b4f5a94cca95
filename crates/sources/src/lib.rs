//! Adapters: what providers and merchants send, read as facts; and the checks of who sent it.
//!
//! Pure: bytes and headers in, a [`Draft`] out, the same on every replay. An adapter never refuses by itself that something
//! is known already, nor that a code is unknown: the normalizer does, which has the log. It must never panic, whatever the
//! bytes, and must never put a value of the body into a detail: values may be personal data.
//! Read next: [`normalize`], [`providers::paddle`], [`providers::stripe`], [`dialects::revshare`], [`json`] (what is refused at the door),
//! [`signature`].
mod defect;
pub mod dialects;
pub mod json;
pub mod moment;
pub mod native;
pub mod providers;
pub mod signature;

pub use defect::reason;

use defect::Defect;
use domain::config::SourceSettings;
use domain::ids::{Hash, ProgramId};
use domain::normalization::{Draft, Reading};
use domain::time::Micros;

/// A raw request, as `ingest` keeps it.
#[derive(Debug, Clone, Copy)]
pub struct SourceRequest<'a> {
    /// For which program.
    pub program: &'a ProgramId,
    /// The adapter's name: `paddle`, `stripe`, `revshare`.
    pub source: &'a str,
    /// The exact bytes.
    pub body: &'a [u8],
    /// The headers that were kept, names in lower case.
    pub headers: &'a [(String, String)],
    /// The query string.
    pub query: &'a str,
    /// The partition's clock at the record: when it happened, for sources that do not say.
    pub clock: Micros,
    /// What the program set for its sources.
    pub settings: &'a SourceSettings,
    /// Native API: which resource was posted; empty elsewhere.
    pub resource: &'a str,
    /// The endpoint or key id that vouched for it.
    pub authenticated_by: &'a str,
}

/// Reads `request` with its source's adapter.
#[must_use]
pub fn normalize(request: &SourceRequest<'_>) -> Draft {
    match request.source {
        providers::paddle::NAME => providers::paddle::read(request),
        providers::stripe::NAME => providers::stripe::read(request),
        dialects::revshare::NAME => dialects::revshare::read(request),
        native::NAME => native::read(request),
        _ => draft(
            request,
            None,
            Err(Defect::new(
                reason::UNKNOWN_SOURCE,
                "no adapter of this version reads this source; retry it with a version that has one",
            )),
        ),
    }
}

/// A draft under the delivery key, or under a hash of the body where there is none.
fn draft(
    request: &SourceRequest<'_>,
    delivery_key: Option<String>,
    reading: Result<Reading, Defect>,
) -> Draft {
    let delivery_key =
        delivery_key.unwrap_or_else(|| format!("sha256:{}", hex::encode(Hash::of(request.body).0)));
    Draft {
        delivery_key,
        reading: reading.unwrap_or_else(Defect::into_reading),
        livemode: None,
        refuse_unknown_code: false,
    }
}

//! `ingest.v1`: what the gateway was sent, before anybody understood it.
use crate::common::{fixed, reply, write_reply};
use crate::unknown::Unknown;
use crate::v1;
use crate::write::Writer;
use bytes::Bytes;
use domain::config::ConfigFact;
use domain::ids::{ProgramId, SourceName};
use domain::normalization::ReplyAddress;
use domain::time::Micros;
use prost::Message;
use v1::ingest_record::Kind;

const MESSAGE: &str = "ingest record";

/// One record of `ingest.v1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IngestRecord {
    /// A request whose sender was checked.
    Request(RawRequest),
    /// A configuration change.
    Config(ConfigFact),
    /// Makes the log move.
    Tick,
    /// Runs a quarantined event again.
    Retry {
        /// Ingest position of the original.
        of_position: u64,
        /// Its request.
        request: RawRequest,
        /// Who asked for it.
        actor: String,
    },
    /// First record of an imported log: the position of the record that follows it.
    Base {
        /// That position.
        first_position: u64,
    },
}

/// A request as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawRequest {
    /// For which program.
    pub program: ProgramId,
    /// The adapter that reads it.
    pub source: SourceName,
    /// The exact bytes.
    pub body: Bytes,
    /// The headers that the adapter needs.
    pub headers: Vec<(String, String)>,
    /// The query string.
    pub query: String,
    /// The endpoint or key id that vouched for it.
    pub authenticated_by: String,
    /// The gateway's wall clock. Informative: it never decides.
    pub received_at: Micros,
    /// Who waits for the answer.
    pub reply_to: Option<ReplyAddress>,
    /// Trace id and span id.
    pub trace: Option<([u8; 16], [u8; 8])>,
}

/// The record's bytes.
#[must_use]
pub fn encode(record: &IngestRecord) -> Bytes {
    Writer::finish(|w| match record {
        IngestRecord::Request(request) => w.message(1, |w| write_request(w, request)),
        IngestRecord::Config(config) => w.message(2, |w| crate::config::write(w, config)),
        IngestRecord::Tick => w.message(3, |_| ()),
        IngestRecord::Retry { of_position, request, actor } => w.message(4, |w| {
            w.uint(1, *of_position);
            w.message(2, |w| write_request(w, request));
            w.text(3, actor);
        }),
        IngestRecord::Base { first_position } => w.message(5, |w| w.uint(1, *first_position)),
    })
}

/// The record of the bytes; a request's body shares their memory.
///
/// # Errors
/// [`Unknown`].
pub fn decode(bytes: &Bytes) -> Result<IngestRecord, Unknown> {
    let record =
        v1::IngestRecord::decode(bytes.clone()).map_err(|error| Unknown::malformed(MESSAGE, &error))?;
    Ok(match record.kind.ok_or(Unknown::kind(MESSAGE))? {
        Kind::Request(request) => IngestRecord::Request(self::request(request)?),
        Kind::Config(config) => IngestRecord::Config(crate::config::from_message(config)?),
        Kind::Tick(_) => IngestRecord::Tick,
        Kind::Retry(retry) => IngestRecord::Retry {
            of_position: retry.of_position,
            request: self::request(retry.request.ok_or(Unknown::field(MESSAGE, "request"))?)?,
            actor: retry.actor,
        },
        Kind::Base(base) => IngestRecord::Base { first_position: base.first_position },
    })
}

fn write_request(w: &mut Writer, request: &RawRequest) {
    w.text(1, request.program.as_str());
    w.text(2, request.source.as_str());
    w.bytes(3, &request.body);
    for (name, value) in &request.headers {
        w.message(4, |w| {
            w.text(1, name);
            w.text(2, value);
        });
    }
    w.text(5, &request.query);
    w.text(6, &request.authenticated_by);
    w.int(7, request.received_at.0);
    write_reply(w, 8, request.reply_to.as_ref());
    if let Some((trace_id, span_id)) = &request.trace {
        w.bytes(9, trace_id);
        w.bytes(10, span_id);
    }
}

fn request(request: v1::RawRequest) -> Result<RawRequest, Unknown> {
    let trace = if request.trace_id.is_empty() {
        None
    } else {
        Some((fixed(MESSAGE, "trace id", &request.trace_id)?, fixed(MESSAGE, "span id", &request.span_id)?))
    };
    Ok(RawRequest {
        program: request.program_id.into(),
        source: request.source.into(),
        body: request.body,
        headers: request.headers.into_iter().map(|header| (header.name, header.value)).collect(),
        query: request.query,
        authenticated_by: request.authenticated_by,
        received_at: Micros(request.received_at_micros),
        reply_to: request.reply_to.map(reply),
        trace,
    })
}

/// Only the trace context of a record, skipping everything else: the loop wants it before anybody reads the request.
#[derive(Clone, PartialEq, prost::Message)]
struct TraceRecord {
    #[prost(message, optional, tag = "1")]
    request: Option<TraceRequest>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TraceRequest {
    #[prost(bytes = "bytes", tag = "9")]
    trace_id: Bytes,
    #[prost(bytes = "bytes", tag = "10")]
    span_id: Bytes,
}

/// Trace id and span id of the request in `record`, if it has them.
#[must_use]
pub fn trace(record: &Bytes) -> Option<([u8; 16], [u8; 8])> {
    let request = <TraceRecord as prost::Message>::decode(record.clone()).ok()?.request?;
    Some((request.trace_id.as_ref().try_into().ok()?, request.span_id.as_ref().try_into().ok()?))
}

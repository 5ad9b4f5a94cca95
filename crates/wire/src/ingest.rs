//! `ingest.v1`: what the gateway was sent, before anybody understood it.
use crate::common::{fixed, reply, write_reply};
use crate::unknown::Unknown;
use crate::v1;
use crate::write::Writer;
use bytes::Bytes;
use domain::config::ConfigFact;
use domain::ids::{ProgramId, SourceName};
use domain::normalization::{DefectRetry, ReplyAddress};
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
    /// A configuration change of which somebody wants to hear what became of it.
    ConfigWrite {
        /// The change.
        fact: ConfigFact,
        /// Who wants to hear.
        reply_to: Option<ReplyAddress>,
        /// Refused when the object is there already with other contents.
        create_only: bool,
        /// Trace id and span id.
        trace: Option<([u8; 16], [u8; 8])>,
    },
    /// Makes a service decide a parked input again.
    DefectRetry {
        /// The program of the input; empty: none.
        program: ProgramId,
        /// Which service, which input, who asked.
        retry: DefectRetry,
    },
    /// First record of an imported log.
    Base {
        /// The position of the record that follows it.
        first_position: u64,
        /// The position after the last imported record: only below it is believed what records say of their append time.
        end_position: u64,
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
    /// Native API: which resource was posted (`sales`, `refunds`, …); empty elsewhere.
    pub resource: String,
    /// The key that vouched for it is one that everybody may see.
    pub publishable: bool,
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
        IngestRecord::Base { first_position, end_position } => w.message(5, |w| {
            w.uint(1, *first_position);
            w.uint(2, *end_position);
        }),
        IngestRecord::ConfigWrite { fact, reply_to, create_only, trace } => w.message(6, |w| {
            w.message(1, |w| crate::config::write(w, fact));
            write_reply(w, 2, reply_to.as_ref());
            w.flag(3, *create_only);
            write_trace(w, 4, trace.as_ref());
        }),
        IngestRecord::DefectRetry { program, retry } => w.message(7, |w| {
            w.text(1, program.as_str());
            w.text(2, &retry.service);
            w.uint(3, retry.source);
            w.text(4, &retry.actor);
        }),
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
        Kind::Base(base) => {
            IngestRecord::Base { first_position: base.first_position, end_position: base.end_position }
        }
        Kind::ConfigWrite(write) => IngestRecord::ConfigWrite {
            fact: crate::config::from_message(write.fact.ok_or(Unknown::field(MESSAGE, "fact"))?)?,
            reply_to: write.reply_to.map(reply),
            create_only: write.create_only,
            trace: read_trace(&write.trace_id, &write.span_id)?,
        },
        Kind::DefectRetry(retry) => IngestRecord::DefectRetry {
            program: retry.program_id.into(),
            retry: DefectRetry { service: retry.service, source: retry.source, actor: retry.actor },
        },
    })
}

/// The retry of a parked input, if the record is one; others are not decoded.
#[must_use]
pub fn defect_retry(bytes: &Bytes) -> Option<DefectRetry> {
    // Field 7, length-delimited: whoever writes the record puts its only field first.
    if bytes.first() != Some(&0x3a) {
        return None;
    }
    match decode(bytes) {
        Ok(IngestRecord::DefectRetry { retry, .. }) => Some(retry),
        _ => None,
    }
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
    write_trace(w, 9, request.trace.as_ref());
    w.text(11, &request.resource);
    w.flag(12, request.publishable);
}

/// Under `tag` and the one after it.
fn write_trace(w: &mut Writer, tag: u32, trace: Option<&TraceContext>) {
    if let Some((trace_id, span_id)) = trace {
        w.bytes(tag, trace_id);
        w.bytes(tag + 1, span_id);
    }
}

/// Trace id and span id, as W3C Trace Context sizes them.
type TraceContext = ([u8; 16], [u8; 8]);

fn read_trace(trace_id: &Bytes, span_id: &Bytes) -> Result<Option<TraceContext>, Unknown> {
    if trace_id.is_empty() {
        return Ok(None);
    }
    Ok(Some((fixed(MESSAGE, "trace id", trace_id)?, fixed(MESSAGE, "span id", span_id)?)))
}

fn request(request: v1::RawRequest) -> Result<RawRequest, Unknown> {
    let trace = read_trace(&request.trace_id, &request.span_id)?;
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
        resource: request.resource,
        publishable: request.publishable,
    })
}

/// Only the trace context of a record, skipping everything else: the loop wants it before anybody reads the request.
#[derive(Clone, PartialEq, prost::Message)]
struct TraceRecord {
    #[prost(message, optional, tag = "1")]
    request: Option<TraceRequest>,
    #[prost(message, optional, tag = "6")]
    config: Option<TraceConfig>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TraceRequest {
    #[prost(bytes = "bytes", tag = "9")]
    trace_id: Bytes,
    #[prost(bytes = "bytes", tag = "10")]
    span_id: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TraceConfig {
    #[prost(bytes = "bytes", tag = "4")]
    trace_id: Bytes,
    #[prost(bytes = "bytes", tag = "5")]
    span_id: Bytes,
}

/// Trace id and span id of the request in `record`, if it has them.
#[must_use]
pub fn trace(record: &Bytes) -> Option<([u8; 16], [u8; 8])> {
    let record = <TraceRecord as prost::Message>::decode(record.clone()).ok()?;
    let request = record.request.map(|request| (request.trace_id, request.span_id));
    let (trace_id, span_id) = request.or(record.config.map(|config| (config.trace_id, config.span_id)))?;
    Some((trace_id.as_ref().try_into().ok()?, span_id.as_ref().try_into().ok()?))
}

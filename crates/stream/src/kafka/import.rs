//! Writing another log's records into empty topics: as appends, with the time of their first append in a header.
//!
//! Kafka stamps every record anew, and the clock of a partition is made of those stamps (rule 11). So records of `ingest`
//! carry their own; who may believe them, and up to where, is [`crate::base`]'s business.
use super::KafkaLog;
use super::producer::KafkaAppender;
use crate::log::{AppendError, NewRecord, Offset, Partition, Topic};
use domain::time::Micros;
use futures::future::BoxFuture;
use rdkafka::message::{BorrowedHeaders, Header, Headers as _, OwnedHeaders};

/// Microseconds since 1970 in decimal digits.
const TIME_HEADER: &str = "tributary-appended-at";

/// Appends records of a log that is being imported. One producer for each topic, for as long as it lives: after an error
/// nothing more is appended, and what landed is unknown.
#[derive(Debug)]
pub struct Importer(KafkaAppender);

impl KafkaLog {
    /// A new importer.
    #[must_use]
    pub fn importer(&self) -> Importer {
        Importer(KafkaAppender::new(std::sync::Arc::clone(&self.producers)))
    }
}

impl Importer {
    /// As [`crate::log::Appender::append`]; where a time is given, the record carries it.
    pub fn append(
        &self,
        topic: Topic,
        partition: Partition,
        records: &[(NewRecord, Option<Micros>)],
    ) -> BoxFuture<'static, Result<Vec<Option<Offset>>, AppendError>> {
        self.0.append_with_times(topic, partition, records)
    }
}

/// The header that says when a record was first appended.
pub(super) fn header_of(time: Micros) -> OwnedHeaders {
    let text = time.0.to_string();
    OwnedHeaders::new_with_capacity(1).insert(Header { key: TIME_HEADER, value: Some(text.as_bytes()) })
}

/// What [`header_of`] wrote.
pub(super) fn time_in(headers: &BorrowedHeaders) -> Option<Micros> {
    let header = headers.iter().find(|header| header.key == TIME_HEADER)?;
    std::str::from_utf8(header.value?).ok()?.parse().ok().map(Micros)
}

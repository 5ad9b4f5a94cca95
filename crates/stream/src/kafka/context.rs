//! librdkafka's own messages, as log lines of this process.
use crate::log::LogError;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;

/// For clients whose events need nothing but a log line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context;

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

impl ConsumerContext for Context {}

/// One line of librdkafka's log. Its loudest lines say no more than that a connection was lost and is tried again, so
/// they are warnings here: what stops a partition is an error of ours.
pub(super) fn log_line(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning => tracing::warn!(facility, message, "kafka client"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => tracing::info!(facility, message, "kafka client"),
        RDKafkaLogLevel::Debug => tracing::debug!(facility, message, "kafka client"),
    }
}

/// An error of a client as a whole, such as an unreachable broker.
pub(super) fn log_error(error: &KafkaError, reason: &str) {
    tracing::warn!(%error, reason, "kafka client error");
}

/// The brokers did not answer, or not in the way that was hoped for.
pub(super) fn unavailable(what: &str, error: &KafkaError) -> LogError {
    LogError::Unavailable(format!("{what}: {error}"))
}

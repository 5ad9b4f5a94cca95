//! librdkafka's own messages: as log lines of this process, and as the reason of what fails meanwhile.
use super::options::KafkaOptions;
use super::security;
use crate::log::LogError;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long what a client complained of explains a request that fails. The client says the same thing every 30 s only.
const RECENT: Duration = Duration::from_secs(40);

/// For clients whose events need nothing but a log line and to be remembered.
#[derive(Debug, Clone, Default)]
pub(super) struct Context {
    trouble: Trouble,
}

impl Context {
    /// What the client complained of last.
    pub(super) fn trouble(&self) -> &Trouble {
        &self.trouble
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.trouble.note(&error, reason);
        log_error(&error, reason);
    }
}

impl ConsumerContext for Context {}

/// The last complaint of a client as a whole: a request that meanwhile fails says only that it timed out.
#[derive(Debug, Clone, Default)]
pub(super) struct Trouble(Arc<Mutex<Option<Complaint>>>);

#[derive(Debug, Clone)]
struct Complaint {
    code: RDKafkaErrorCode,
    reason: String,
    at: Instant,
}

impl Trouble {
    pub(super) fn note(&self, error: &KafkaError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else { return };
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // "All brokers are down" follows what says why.
        let says_less = |complaint: &Complaint| {
            code == RDKafkaErrorCode::AllBrokersDown && complaint.at.elapsed() < RECENT
        };
        if !last.as_ref().is_some_and(says_less) {
            *last = Some(Complaint { code, reason: reason.to_owned(), at: Instant::now() });
        }
    }

    fn recent(&self) -> Option<Complaint> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        last.filter(|complaint| complaint.at.elapsed() < RECENT)
    }

    /// That the brokers say no, with what mends it; nothing while they are only away.
    pub(super) fn refusal(&self, options: &KafkaOptions) -> Option<String> {
        let complaint =
            self.recent().filter(|complaint| security::is_refusal(complaint.code, &complaint.reason))?;
        Some(explained(options, &complaint))
    }

    /// What explains a failure now, behind a separator, or nothing.
    pub(super) fn because(&self, options: &KafkaOptions) -> String {
        self.recent().map_or_else(String::new, |complaint| format!(" ({})", explained(options, &complaint)))
    }
}

fn explained(options: &KafkaOptions, complaint: &Complaint) -> String {
    let Complaint { code, reason, .. } = complaint;
    match security::remedy(options, *code, reason) {
        Some(remedy) => format!("{reason}; {remedy}"),
        None => reason.clone(),
    }
}

/// How often a process says the same kind of thing aloud: it has a dozen clients, and each tells of every broken connection.
const ALOUD: u32 = 3;
const ALOUD_WITHIN: Duration = Duration::from_secs(10);

/// What was said aloud of each kind since when, and how often.
static SAID: LazyLock<Mutex<HashMap<String, (Instant, u32)>>> = LazyLock::new(Mutex::default);

/// Whether what this process says of `kind` may be said aloud; the rest is for the debug level.
fn is_news(kind: &str) -> bool {
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    let (since, times) = said.entry(kind.to_owned()).or_insert_with(|| (Instant::now(), 0));
    if since.elapsed() > ALOUD_WITHIN {
        (*since, *times) = (Instant::now(), 0);
    }
    *times = times.saturating_add(1);
    *times <= ALOUD
}

/// One line of librdkafka's log. Its loudest lines say no more than that a connection was lost and is tried again, so
/// they are warnings here: what stops a partition is an error of ours.
pub(super) fn log_line(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning
            if is_news(facility) =>
        {
            tracing::warn!(facility, message, "kafka client");
        }
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => tracing::info!(facility, message, "kafka client"),
        _ => tracing::debug!(facility, message, "kafka client"),
    }
}

/// An error of a client as a whole, such as an unreachable broker.
pub(super) fn log_error(error: &KafkaError, reason: &str) {
    if is_news(&error.to_string()) {
        tracing::warn!(%error, reason, "kafka client error");
    } else {
        tracing::debug!(%error, reason, "kafka client error");
    }
}

/// The brokers did not answer, or not in the way that was hoped for.
pub(super) fn unavailable(what: &str, error: &KafkaError) -> LogError {
    LogError::Unavailable(format!("{what}: {error}"))
}

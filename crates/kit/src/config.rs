//! Typed configuration: defaults, then a file, then the environment, then flags.
//!
//! The commented default file is embedded in the binary and is the reference ([`default_toml`]). All problems are
//! reported at once, each with its key, where it was written, and what to write instead.
use crate::dump;
pub use crate::kafka::{Kafka, KafkaSasl, KafkaSecurity};
use crate::settings::{self, Settings};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use toml::Value;

/// The commented default file.
#[must_use]
pub const fn default_toml() -> &'static str {
    settings::DEFAULT
}

/// Where settings come from, beside the defaults.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// A TOML file (`--config`). `None`: the one that `TRIBUTARY_CONFIG` names, if any.
    pub file: Option<PathBuf>,
    /// Environment variables; others than `TRIBUTARY_*` and `DATABASE_URL` are passed over.
    pub environment: Vec<(String, String)>,
    /// Flags that were given: (dotted key, text), such as `("listen", "127.0.0.1:0")`.
    pub flags: Vec<(String, String)>,
}

impl Layers {
    /// The process's environment under the given file and flags.
    #[must_use]
    pub fn from_process(file: Option<PathBuf>, flags: Vec<(String, String)>) -> Self {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| {
                Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
            })
            .collect();
        Self { file, environment, flags }
    }
}

/// One thing wrong in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The dotted key, or the variable's name when it is no key; empty: the layer as a whole.
    pub key: String,
    /// Where it was written.
    pub origin: String,
    /// What is wrong; never the value of a secret.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let colon = if self.key.is_empty() { "" } else { ": " };
        write!(f, "{}{colon}{} ({}); {}", self.key, self.what, self.origin, self.remedy)
    }
}

/// Everything wrong in the configuration.
#[derive(Debug, Clone, thiserror::Error)]
#[error("configuration: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\nconfiguration: "))]
pub struct ConfigError(pub Vec<Problem>);

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text: to be used, not printed.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"…\"")
    }
}

/// The configuration of a process. [`default_toml`] describes each key.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where the gateway listens.
    pub listen: SocketAddr,
    /// Where `/metrics` listens.
    pub metrics_listen: SocketAddr,
    /// Log, state, keys.
    pub data_dir: PathBuf,
    /// Read models; `None`: a private Postgres.
    pub database_url: Option<Secret>,
    /// Keys of persons; `None`: a file below `data_dir`.
    pub keys_database_url: Option<Secret>,
    /// Copies of local state.
    pub snapshots: Snapshots,
    /// The broker.
    pub kafka: Kafka,
    /// What is refused.
    pub limits: Limits,
    /// Shape of the log.
    pub log: LogShape,
    /// What is logged.
    pub logging: Logging,
    /// Where spans go.
    pub telemetry: Telemetry,
}

/// Copies of local state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshots {
    /// Where they go; `None`: there are none.
    pub dir: Option<PathBuf>,
    /// One is due after so many frames,
    pub every_frames: u64,
    /// or after this long.
    pub every: Duration,
    /// Kept of each partition of each service.
    pub keep: usize,
    /// None is larger.
    pub most_bytes: u64,
}

/// What is refused, and after how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest body, in bytes.
    pub body_bytes: usize,
    /// Largest head, in bytes.
    pub header_bytes: usize,
    /// For the head to arrive.
    pub header_timeout: Duration,
    /// For the body to arrive.
    pub request_timeout: Duration,
    /// Open connections.
    pub max_connections: usize,
    /// Open connections from one address; 0: as many as there may be at all.
    pub max_connections_per_address: usize,
    /// Requests that wait for the log.
    pub max_in_flight: usize,
    /// Bytes of requests that wait for the log.
    pub max_in_flight_bytes: usize,
    /// Requests a second of one key or endpoint, on average; 0: no limit.
    pub requests_per_second: u32,
    /// Requests of one key or endpoint at once, above the average.
    pub request_burst: u32,
    /// For the log's acknowledgement.
    pub append_timeout: Duration,
    /// For an outcome, from the request's arrival.
    pub answer_wait: Duration,
    /// For configuration to be read to its end, when a key or program is unknown.
    pub config_wait: Duration,
    /// For new connections, after readiness went down at the process's end.
    pub drain: Duration,
    /// For open requests, after that.
    pub shutdown: Duration,
}

/// Shape of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogShape {
    /// Partitions of every topic.
    pub partitions: u32,
    /// How long raw requests are kept, in days.
    pub ingest_retention_days: u32,
    /// Embedded: free bytes below which nothing new is accepted.
    pub reserve_bytes: u64,
}

/// What is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    /// A level or tracing directives.
    pub filter: String,
    /// JSON lines instead of text.
    pub json: bool,
}

/// Where spans go.
#[derive(Debug, Clone, PartialEq)]
pub struct Telemetry {
    /// The OTLP/HTTP receiver's URL with its path; `None`: no spans.
    pub otlp_endpoint: Option<Secret>,
    /// The part of all traces that is sent, 0.0 to 1.0.
    pub sample_ratio: f64,
}

impl Config {
    /// Merges the layers and checks the result.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem found.
    pub fn load(layers: &Layers) -> Result<Self, ConfigError> {
        let mut settings = Settings::merged(layers);
        let config = build(&mut settings);
        if settings.problems.is_empty() { Ok(config) } else { Err(ConfigError(settings.problems)) }
    }

    /// The effective configuration as a TOML file, each value with where it was written; no secret is in it.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn dump(layers: &Layers) -> Result<String, ConfigError> {
        Self::load(layers)?;
        Ok(dump::render(&Settings::merged(layers), &layers.environment))
    }
}

fn build(s: &mut Settings) -> Config {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let database_url = postgres_url(s, "database_url");
    let keys_database_url = postgres_url(s, "keys_database_url");
    if keys_database_url.is_some() && keys_database_url == database_url {
        refuse(
            s,
            "keys_database_url",
            "is that of the read models, which may be dropped and restored at any time",
            "name another database; it may be on the same server",
        );
    }
    let filter = text(s, "logging.filter");
    if tracing_subscriber::EnvFilter::try_new(&filter).is_err() {
        refuse(s, "logging.filter", "is no filter", "write a level (info) or directives (info,stream=debug)");
    }
    if text(s, "data_dir").is_empty() {
        refuse(s, "data_dir", "is empty", "name a directory");
    }
    Config {
        listen: parsed(s, "listen", "write address:port, such as 127.0.0.1:8080").unwrap_or(nowhere),
        metrics_listen: parsed(s, "metrics_listen", "write address:port, such as 127.0.0.1:9090")
            .unwrap_or(nowhere),
        data_dir: PathBuf::from(text(s, "data_dir")),
        database_url,
        keys_database_url,
        snapshots: snapshots(s),
        kafka: crate::kafka::build(s),
        limits: limits(s),
        log: LogShape {
            partitions: number(s, "log.partitions", 1, 4096) as u32,
            ingest_retention_days: number(s, "log.ingest_retention_days", 1, 3650) as u32,
            reserve_bytes: number(s, "log.reserve_mb", 0, 1 << 20) << 20,
        },
        logging: Logging { filter, json: flag(s, "logging.json") },
        telemetry: telemetry(s),
    }
}

fn postgres_url(s: &mut Settings, key: &str) -> Option<Secret> {
    let url = text(s, key);
    if url.is_empty() {
        return None;
    }
    if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
        refuse(s, key, "is no postgres:// URL", "write postgres://user:password@host/database");
    }
    Some(Secret(url))
}

fn snapshots(s: &mut Settings) -> Snapshots {
    let dir = text(s, "snapshots.dir");
    Snapshots {
        dir: (!dir.is_empty()).then(|| PathBuf::from(dir)),
        every_frames: number(s, "snapshots.every_frames", 1, 1_000_000_000),
        every: Duration::from_secs(number(s, "snapshots.every_seconds", 1, 30 * 24 * 3_600)),
        keep: number(s, "snapshots.keep", 1, 100) as usize,
        most_bytes: number(s, "snapshots.max_mb", 1, 1 << 20) << 20,
    }
}

fn limits(s: &mut Settings) -> Limits {
    Limits {
        body_bytes: number(s, "limits.body_bytes", 1024, 16 << 20) as usize,
        header_bytes: number(s, "limits.header_bytes", 1024, 1 << 20) as usize,
        header_timeout: millis(s, "limits.header_timeout_ms", 100, 600_000),
        request_timeout: millis(s, "limits.request_timeout_ms", 100, 600_000),
        max_connections: number(s, "limits.max_connections", 1, 1_000_000) as usize,
        max_connections_per_address: number(s, "limits.max_connections_per_address", 0, 1_000_000) as usize,
        max_in_flight: number(s, "limits.max_in_flight", 1, 1_000_000) as usize,
        max_in_flight_bytes: number(s, "limits.max_in_flight_bytes", 1 << 20, 1 << 36) as usize,
        requests_per_second: number(s, "limits.requests_per_second", 0, 10_000_000) as u32,
        request_burst: number(s, "limits.request_burst", 1_000, 10_000_000) as u32,
        append_timeout: millis(s, "limits.append_timeout_ms", 10, 60_000),
        answer_wait: millis(s, "limits.answer_wait_ms", 10, 60_000),
        config_wait: millis(s, "limits.config_wait_ms", 0, 10_000),
        drain: millis(s, "limits.drain_ms", 0, 600_000),
        shutdown: millis(s, "limits.shutdown_ms", 0, 600_000),
    }
}

fn telemetry(s: &mut Settings) -> Telemetry {
    let mut endpoint = text(s, "telemetry.otlp_endpoint");
    if !endpoint.is_empty() {
        match endpoint.split_once("://").map(|(scheme, rest)| (scheme, rest.trim_end_matches('/'))) {
            Some(("http", rest)) if !rest.is_empty() => {
                if !rest.contains('/') {
                    endpoint = format!("http://{rest}/v1/traces");
                }
            }
            _ => refuse(s, "telemetry.otlp_endpoint", "is no http:// URL", "write http://host:4318"),
        }
    }
    let sample_ratio = match s.by_key.get("telemetry.sample_ratio").map(|setting| &setting.value) {
        Some(Value::Float(ratio)) => *ratio,
        _ => -1.0,
    };
    if !(0.0..=1.0).contains(&sample_ratio) {
        refuse(s, "telemetry.sample_ratio", "is out of range", "write a number from 0.0 to 1.0");
    }
    Telemetry { otlp_endpoint: (!endpoint.is_empty()).then_some(Secret(endpoint)), sample_ratio }
}

pub(crate) fn refuse(s: &mut Settings, key: &str, what: &str, remedy: &str) {
    let origin = s.by_key.get(key).map(|setting| setting.origin.clone()).unwrap_or_default();
    s.problem(key, &origin, what.to_owned(), remedy);
}

pub(crate) fn text(s: &mut Settings, key: &str) -> String {
    if let Some(Value::String(text)) = s.by_key.get(key).map(|setting| &setting.value) {
        return text.clone();
    }
    missing(s, key);
    String::new()
}

fn flag(s: &mut Settings, key: &str) -> bool {
    if let Some(Value::Boolean(flag)) = s.by_key.get(key).map(|setting| &setting.value) {
        return *flag;
    }
    missing(s, key);
    false
}

pub(crate) fn number(s: &mut Settings, key: &str, least: u64, most: u64) -> u64 {
    let Some(Value::Integer(number)) = s.by_key.get(key).map(|setting| &setting.value) else {
        missing(s, key);
        return least;
    };
    let number = *number;
    match u64::try_from(number) {
        Ok(number) if (least..=most).contains(&number) => number,
        _ => {
            refuse(s, key, &format!("is {number}"), &format!("write a number from {least} to {most}"));
            least
        }
    }
}

fn millis(s: &mut Settings, key: &str, least: u64, most: u64) -> Duration {
    Duration::from_millis(number(s, key, least, most))
}

fn parsed<T: FromStr>(s: &mut Settings, key: &str, remedy: &str) -> Option<T> {
    let value = text(s, key).parse().ok();
    if value.is_none() {
        refuse(s, key, "cannot be understood", remedy);
    }
    value
}

fn missing(s: &mut Settings, key: &str) {
    refuse(s, key, "has no default of its type", "report this defect");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::BTreeSet;

    fn flags(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_embedded_defaults_are_valid_and_every_variable_means_one_key() {
        let config = Config::load(&Layers::default()).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.log.partitions, 64);
        assert_eq!(config.limits.body_bytes, 256 << 10);
        let settings = Settings::defaults();
        let variables: BTreeSet<String> =
            settings.by_key.keys().map(|key| settings::variable_of(key)).collect();
        assert_eq!(variables.len(), settings.by_key.len());
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("t.toml");
        std::fs::write(&file, "listen = \"127.0.0.1:1\"\n[limits]\nbody_bytes = 2048\nheader_bytes = 2048\n")
            .unwrap();
        let config = Config::load(&Layers {
            file: Some(file),
            environment: flags(&[
                ("TRIBUTARY_LISTEN", "127.0.0.1:2"),
                ("TRIBUTARY_LIMITS_BODY_BYTES", "4096"),
                ("TRIBUTARY_PORT", "tcp://10.0.0.1:80"),
                ("DATABASE_URL", "postgres://u:secret@h/d"),
                ("HOME", "/root"),
            ]),
            flags: flags(&[("listen", "127.0.0.1:3")]),
        })
        .unwrap();
        assert_eq!(config.listen.port(), 3);
        assert_eq!((config.limits.body_bytes, config.limits.header_bytes), (4096, 2048));
        assert_eq!(config.database_url.as_ref().unwrap().expose(), "postgres://u:secret@h/d");
        assert!(!format!("{config:?}").contains("secret"));
    }

    #[test]
    fn a_variable_may_name_a_file_that_holds_its_value() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("url");
        std::fs::write(&file, "postgres://u:secret@h/d\n").unwrap();
        let path = file.display().to_string();
        for name in ["DATABASE_URL_FILE", "TRIBUTARY_DATABASE_URL_FILE"] {
            let layers = Layers { environment: flags(&[(name, &path)]), ..Layers::default() };
            let config = Config::load(&layers).unwrap();
            assert_eq!(config.database_url.as_ref().unwrap().expose(), "postgres://u:secret@h/d");
            assert!(Config::dump(&layers).unwrap().contains(&format!("# environment {name}")));
        }
        let missing = Layers {
            environment: flags(&[
                ("TRIBUTARY_LISTEN_FILE", "/nowhere/listen"),
                ("TRIBUTARY_NOTHING_FILE", "x"),
            ]),
            ..Layers::default()
        };
        let problems = Config::load(&missing).unwrap_err().0;
        let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
        assert_eq!(keys, ["listen", "TRIBUTARY_NOTHING_FILE"]);
    }

    #[test]
    fn every_problem_is_reported_with_its_key_its_place_and_a_remedy() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("t.toml");
        std::fs::write(&file, "lisen = \"x\"\n[limits]\nbody_byte = 1\nheader_bytes = \"many\"\n").unwrap();
        let problems = Config::load(&Layers {
            file: Some(file.clone()),
            environment: flags(&[("TRIBUTARY_NONSENSE", "1"), ("TRIBUTARY_LOG_PARTITIONS", "0")]),
            flags: flags(&[("metrics_listen", "somewhere")]),
        })
        .unwrap_err()
        .0;
        let keys: BTreeSet<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
        let wanted = BTreeSet::from([
            "lisen",
            "limits.body_byte",
            "limits.header_bytes",
            "TRIBUTARY_NONSENSE",
            "log.partitions",
            "metrics_listen",
        ]);
        assert_eq!(keys, wanted);
        let unknown = problems.iter().find(|problem| problem.key == "limits.body_byte").unwrap();
        assert_eq!(unknown.origin, format!("file {}", file.display()));
        assert!(problems.iter().all(|problem| !problem.remedy.is_empty()));
    }

    #[test]
    fn the_dump_says_where_each_value_came_from_and_keeps_secrets() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("t.toml");
        std::fs::write(&file, "[limits]\nbody_bytes = 2048\n[telemetry]\nsample_ratio = 0.25\n").unwrap();
        let layers = Layers {
            file: Some(file.clone()),
            environment: flags(&[
                ("DATABASE_URL", "postgres://canary_user:canary%20pass@db.example/t?password=canary_query"),
                ("TRIBUTARY_TELEMETRY_OTLP_ENDPOINT", "http://canary_otlp:canary_word@collector:4318"),
                ("TRIBUTARY_MASTER_KEY", "canary_master"),
            ]),
            flags: flags(&[("listen", "127.0.0.1:3")]),
        };
        let dump = Config::dump(&layers).unwrap();
        for line in [
            "listen = \"127.0.0.1:3\" # flag --listen".to_owned(),
            format!("body_bytes = 2048 # file {}", file.display()),
            "partitions = 64 # default".to_owned(),
            "database_url = \"postgres://…@db.example/t?…\" # environment DATABASE_URL".to_owned(),
            "# master key: environment TRIBUTARY_MASTER_KEY".to_owned(),
        ] {
            assert!(dump.lines().any(|found| found == line), "{line} is not in\n{dump}");
        }
        assert!(!dump.contains("canary"), "{dump}");
        assert!(!format!("{:?}", Config::load(&layers).unwrap()).contains("canary"));
        let keys = Settings::defaults().by_key.len();
        assert_eq!(dump.parse::<toml::Table>().map(|table| settings::flatten(&table).len()), Ok(keys));
    }
}

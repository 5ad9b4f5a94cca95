//! Settings of the broker: where it is, what we prove ourselves with, how many copies its topics have.
use crate::config::{Secret, number, refuse, text};
use crate::settings::Settings;
use std::path::PathBuf;
use std::time::Duration;

/// The broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kafka {
    /// `host:port,…`; `None`: the embedded log.
    pub brokers: Option<String>,
    /// Before every topic's name.
    pub topic_prefix: String,
    /// After how long without a sign of life another process takes a process's partitions over.
    pub session_timeout: Duration,
    /// Copies of each partition of the topics that we create; `None`: the brokers' default.
    pub replication: Option<u32>,
    /// Copies that must have a record before it is acknowledged; `None`: the brokers' default.
    pub min_insync: Option<u32>,
    /// How the connection is protected, and who we are.
    pub security: KafkaSecurity,
}

/// How the connection to the brokers is protected, and who we are to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaSecurity {
    /// `plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl`.
    pub protocol: String,
    /// PEM file of the authorities that may sign the brokers' certificates; `None`: the system's.
    pub ssl_ca: Option<PathBuf>,
    /// PEM file of our own certificate.
    pub ssl_certificate: Option<PathBuf>,
    /// PEM file of its key.
    pub ssl_key: Option<PathBuf>,
    /// What that key is encrypted with.
    pub ssl_key_password: Option<Secret>,
    /// User and password, for the two SASL protocols.
    pub sasl: Option<KafkaSasl>,
}

/// A user of the brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaSasl {
    /// `SCRAM-SHA-512`, `SCRAM-SHA-256` or `PLAIN`.
    pub mechanism: String,
    /// The user.
    pub username: String,
    /// Its password.
    pub password: Secret,
}

const PROTOCOLS: [&str; 4] = ["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"];
const MECHANISMS: [&str; 3] = ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"];

pub(crate) fn build(s: &mut Settings) -> Kafka {
    let brokers = text(s, "kafka.brokers");
    if brokers.split(',').any(|broker| !brokers.is_empty() && !broker.contains(':')) {
        refuse(s, "kafka.brokers", "names a broker without a port", "write host:port,host:port");
    }
    let copies = |count: u64| (count > 0).then_some(count as u32);
    let replication = copies(number(s, "kafka.replication", 0, 100));
    let min_insync = copies(number(s, "kafka.min_insync", 0, 100));
    if let (Some(replication), Some(min_insync)) = (replication, min_insync)
        && min_insync > replication
    {
        refuse(
            s,
            "kafka.min_insync",
            "is more than kafka.replication: no append could ever be acknowledged",
            "write one less than kafka.replication",
        );
    }
    Kafka {
        brokers: (!brokers.is_empty()).then_some(brokers),
        topic_prefix: text(s, "kafka.topic_prefix"),
        session_timeout: Duration::from_millis(number(s, "kafka.session_timeout_ms", 1_000, 300_000)),
        replication,
        min_insync,
        security: security(s),
    }
}

fn security(s: &mut Settings) -> KafkaSecurity {
    let protocol = text(s, "kafka.security_protocol");
    if !PROTOCOLS.contains(&protocol.as_str()) {
        refuse(
            s,
            "kafka.security_protocol",
            "is none that there is",
            "write plaintext, ssl, sasl_plaintext or sasl_ssl",
        );
    }
    let encrypted = protocol.ends_with("ssl");
    let file = |s: &mut Settings, key: &str| {
        let path = text(s, key);
        if !path.is_empty() && !encrypted {
            let what = format!("is given, but kafka.security_protocol is {protocol}");
            refuse(s, key, &what, "set kafka.security_protocol to ssl or sasl_ssl");
        }
        (!path.is_empty()).then(|| PathBuf::from(path))
    };
    let (ssl_ca, ssl_certificate, ssl_key) =
        (file(s, "kafka.ssl_ca"), file(s, "kafka.ssl_certificate"), file(s, "kafka.ssl_key"));
    if ssl_certificate.is_some() != ssl_key.is_some() {
        let missing = if ssl_key.is_none() { "kafka.ssl_key" } else { "kafka.ssl_certificate" };
        refuse(s, missing, "is missing", "give kafka.ssl_certificate and kafka.ssl_key, or none of them");
    }
    let key_password = text(s, "kafka.ssl_key_password");
    KafkaSecurity {
        sasl: sasl(s, &protocol),
        protocol,
        ssl_ca,
        ssl_certificate,
        ssl_key,
        ssl_key_password: (!key_password.is_empty()).then(|| Secret::new(key_password)),
    }
}

fn sasl(s: &mut Settings, protocol: &str) -> Option<KafkaSasl> {
    let mechanism = text(s, "kafka.sasl_mechanism");
    if !MECHANISMS.contains(&mechanism.as_str()) {
        refuse(
            s,
            "kafka.sasl_mechanism",
            "is none that we know",
            "write SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN",
        );
    }
    let (username, password) = (text(s, "kafka.sasl_username"), text(s, "kafka.sasl_password"));
    let wanted = protocol.starts_with("sasl_");
    for (key, value) in [("kafka.sasl_username", &username), ("kafka.sasl_password", &password)] {
        if wanted && value.is_empty() {
            let remedy = match key {
                "kafka.sasl_password" => {
                    "give it in TRIBUTARY_KAFKA_SASL_PASSWORD, or its file's name in TRIBUTARY_KAFKA_SASL_PASSWORD_FILE"
                }
                _ => "give the user that the brokers know us as",
            };
            refuse(s, key, &format!("is missing, and kafka.security_protocol is {protocol}"), remedy);
        }
        if !wanted && !value.is_empty() {
            let what = format!("is given, but kafka.security_protocol is {protocol}");
            refuse(s, key, &what, "set kafka.security_protocol to sasl_ssl");
        }
    }
    wanted.then(|| KafkaSasl { mechanism, username, password: Secret::new(password) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::config::{Config, Layers};

    fn layers(pairs: &[(&str, &str)]) -> Layers {
        let environment =
            pairs.iter().map(|(name, value)| (format!("TRIBUTARY_KAFKA_{name}"), (*value).to_owned()));
        Layers { environment: environment.collect(), ..Layers::default() }
    }

    #[test]
    fn a_password_is_read_from_a_variable_or_a_file_and_never_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "canary-of-a-file\n").unwrap();
        let path = file.path().display().to_string();
        for (name, value, password) in [
            ("SASL_PASSWORD", "canary-itself", "canary-itself"),
            ("SASL_PASSWORD_FILE", &path, "canary-of-a-file"),
        ] {
            let layers = layers(&[
                ("SECURITY_PROTOCOL", "sasl_ssl"),
                ("SASL_USERNAME", "gateway"),
                ("SSL_KEY_PASSWORD", "canary-key"),
                (name, value),
            ]);
            let config = Config::load(&layers).unwrap();
            assert_eq!(config.kafka.security.sasl.as_ref().unwrap().password.expose(), password);
            let shown = format!("{config:?}{}", Config::dump(&layers).unwrap());
            assert!(!shown.contains("canary"), "{shown}");
            assert!(
                shown.contains(&format!("sasl_password = \"…\" # environment TRIBUTARY_KAFKA_{name}")),
                "{shown}"
            );
        }
    }

    #[test]
    fn settings_that_contradict_each_other_are_named_with_what_to_write() {
        let problems = |pairs: &[(&str, &str)]| {
            let found = Config::load(&layers(pairs)).unwrap_err().0;
            assert!(
                found
                    .iter()
                    .all(|problem| !problem.remedy.is_empty() && !problem.to_string().contains("canary"))
            );
            found.into_iter().map(|problem| problem.key).collect::<Vec<_>>()
        };
        assert_eq!(
            problems(&[("SASL_USERNAME", "me"), ("SASL_PASSWORD", "canary")]),
            ["kafka.sasl_username", "kafka.sasl_password"]
        );
        assert_eq!(
            problems(&[("SECURITY_PROTOCOL", "sasl_ssl"), ("SASL_USERNAME", "me")]),
            ["kafka.sasl_password"]
        );
        assert_eq!(
            problems(&[("SECURITY_PROTOCOL", "ssl"), ("SSL_CERTIFICATE", "me.pem")]),
            ["kafka.ssl_key"]
        );
        assert_eq!(problems(&[("SSL_CA", "ca.pem")]), ["kafka.ssl_ca"]);
        assert_eq!(
            problems(&[("SECURITY_PROTOCOL", "tls"), ("SASL_MECHANISM", "MD5")]),
            ["kafka.security_protocol", "kafka.sasl_mechanism"]
        );
        assert_eq!(problems(&[("REPLICATION", "2"), ("MIN_INSYNC", "3")]), ["kafka.min_insync"]);
    }
}

//! How a client proves itself to the brokers, and what a refusal of theirs means.
use super::options::KafkaOptions;
use crate::log::LogError;
use rdkafka::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// How the connection is protected: librdkafka's `security.protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// Neither encrypted nor authenticated.
    #[default]
    Plaintext,
    /// TLS; with a certificate of the client's own, mutual.
    Ssl,
    /// A password over a connection that is not encrypted.
    SaslPlaintext,
    /// A password over TLS.
    SaslSsl,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Plaintext, Self::Ssl, Self::SaslPlaintext, Self::SaslSsl];

    /// As settings spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.name() == name)
    }

    const fn is_encrypted(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    const fn is_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

/// A text that is neither printed nor left in memory when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Hides `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("\"…\"")
    }
}

/// A user's name and password, and how it is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sasl {
    /// `SCRAM-SHA-512`, `SCRAM-SHA-256` or `PLAIN`.
    pub mechanism: String,
    /// The user.
    pub username: String,
    /// Its password.
    pub password: Password,
}

/// What a client proves itself with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Security {
    /// How the connection is protected.
    pub protocol: Protocol,
    /// PEM file of the authorities that may sign the brokers' certificates; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// PEM file of the client's certificate, for mutual TLS.
    pub certificate: Option<PathBuf>,
    /// PEM file of its key.
    pub key: Option<PathBuf>,
    /// What that key is encrypted with.
    pub key_password: Option<Password>,
    /// The user, for the two SASL protocols.
    pub sasl: Option<Sasl>,
}

impl Security {
    /// Finds what cannot work before anything is tried: librdkafka's own words for these name no setting of ours.
    pub(super) fn validate(&self) -> Result<(), LogError> {
        let wrong = |text: String| Err(LogError::Misconfigured(text));
        for (setting, file) in
            [("ssl_ca", &self.ca), ("ssl_certificate", &self.certificate), ("ssl_key", &self.key)]
        {
            let Some(file) = file else { continue };
            if let Err(error) = std::fs::File::open(file) {
                return wrong(format!(
                    "kafka.{setting}: {} cannot be read: {error}; name a PEM file that this process may read",
                    file.display()
                ));
            }
            if !self.protocol.is_encrypted() {
                return wrong(format!(
                    "kafka.{setting} is given, but kafka.security_protocol is {}: write ssl or sasl_ssl",
                    self.protocol.name()
                ));
            }
        }
        if self.certificate.is_some() != self.key.is_some() {
            return wrong(
                "kafka.ssl_certificate and kafka.ssl_key go together: give both or none".to_owned(),
            );
        }
        match &self.sasl {
            None if self.protocol.is_sasl() => wrong(format!(
                "kafka.security_protocol is {}: give kafka.sasl_username and kafka.sasl_password (or the variable \
                 TRIBUTARY_KAFKA_SASL_PASSWORD_FILE)",
                self.protocol.name()
            )),
            Some(_) if !self.protocol.is_sasl() => wrong(format!(
                "kafka.sasl_username is given, but kafka.security_protocol is {}: write sasl_ssl",
                self.protocol.name()
            )),
            _ => Ok(()),
        }
    }

    pub(super) fn apply(&self, config: &mut ClientConfig) {
        if self.protocol == Protocol::Plaintext {
            return;
        }
        config.set("security.protocol", self.protocol.name());
        let path = |file: &PathBuf| file.display().to_string();
        if self.protocol.is_encrypted() {
            // `probe` finds the bundle of an image that holds a binary and no distribution, too.
            config.set("ssl.ca.location", self.ca.as_ref().map_or_else(|| "probe".to_owned(), path));
            config.set("ssl.endpoint.identification.algorithm", "https");
        }
        if let (Some(certificate), Some(key)) = (&self.certificate, &self.key) {
            config.set("ssl.certificate.location", path(certificate));
            config.set("ssl.key.location", path(key));
        }
        if let Some(password) = &self.key_password {
            config.set("ssl.key.password", password.0.as_str());
        }
        if let Some(sasl) = &self.sasl {
            config
                .set("sasl.mechanism", &sasl.mechanism)
                .set("sasl.username", &sasl.username)
                .set("sasl.password", sasl.password.0.as_str());
        }
    }

    /// Who the brokers take us for.
    fn who(&self) -> String {
        match (&self.sasl, &self.certificate) {
            (Some(sasl), _) => format!("User:{}", sasl.username),
            (None, Some(_)) => "the subject of kafka.ssl_certificate".to_owned(),
            (None, None) => "User:ANONYMOUS".to_owned(),
        }
    }
}

/// The brokers were reached and said no, or talk in another way: waiting does not help, a setting does.
pub(super) fn is_refusal(code: RDKafkaErrorCode, reason: &str) -> bool {
    use RDKafkaErrorCode as Code;
    if code == Code::BrokerTransportFailure {
        return wants_certificate(reason);
    }
    matches!(
        code,
        Code::SSL
            | Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::IllegalSASLState
    )
}

/// With TLS 1.3 the broker says so after the handshake, so that the client takes it for a broken connection.
fn wants_certificate(reason: &str) -> bool {
    reason.contains("alert") && reason.contains("certificate")
}

/// What mends a refused connection.
pub(super) fn remedy(options: &KafkaOptions, code: RDKafkaErrorCode, reason: &str) -> Option<String> {
    use RDKafkaErrorCode as Code;
    let protocol = options.security.protocol.name();
    let text = match code {
        Code::SSL | Code::BrokerTransportFailure if reason.contains("PLAINTEXT broker listener") || reason.contains("wrong version number") => format!(
            "the broker's listener is not TLS: give its TLS port, or set kafka.security_protocol, which is {protocol}"
        ),
        Code::SSL if reason.contains("hostname mismatch") || reason.contains("IP address mismatch") => {
            "the broker's certificate has another name: give kafka.brokers (and the brokers' advertised.listeners) the name \
             that is in the certificate"
                .to_owned()
        }
        Code::SSL if reason.contains("certificate verify failed") => format!(
            "the broker's certificate is not signed by {}: set kafka.ssl_ca to the PEM file of the authority that signed it",
            options.security.ca.as_ref().map_or_else(
                || "an authority of this system".to_owned(),
                |ca| format!("an authority in {}", ca.display())
            )
        ),
        Code::SSL | Code::BrokerTransportFailure if wants_certificate(reason) => {
            "the broker wants a certificate that it trusts: set kafka.ssl_certificate and kafka.ssl_key".to_owned()
        }
        Code::SSL => "see kafka.ssl_ca, kafka.ssl_certificate and kafka.ssl_key".to_owned(),
        Code::UnsupportedSASLMechanism => "set kafka.sasl_mechanism to one that the broker names".to_owned(),
        Code::Authentication | Code::SaslAuthenticationFailed | Code::IllegalSASLState => {
            let sasl = options.security.sasl.as_ref();
            let (user, mechanism) = sasl.map_or(("", ""), |sasl| (&sasl.username, &sasl.mechanism));
            format!(
                "check kafka.sasl_username ({user}), its password and kafka.sasl_mechanism ({mechanism}); an administrator \
                 gives a user a password with kafka-configs.sh {} --alter --entity-type users --entity-name {user} \
                 --add-config '{mechanism}=[password=…]'",
                cluster(options)
            )
        }
        Code::BrokerTransportFailure if reason.contains("security.protocol") => format!(
            "the broker's listener wants something else than kafka.security_protocol = {protocol}: write ssl or sasl_ssl"
        ),
        // A listener that wants TLS just hangs up: all that the client knows is that nobody answers.
        Code::AllBrokersDown | Code::BrokerTransportFailure
            if matches!(options.security.protocol, Protocol::Plaintext | Protocol::SaslPlaintext) =>
        {
            format!(
                "check kafka.brokers, and kafka.security_protocol, which is {protocol}: where the listener is TLS, write ssl or sasl_ssl"
            )
        }
        Code::AllBrokersDown | Code::BrokerTransportFailure => format!(
            "check kafka.brokers; one whose listener is not TLS hangs up like this: give its TLS port, or set kafka.security_protocol, which is {protocol}"
        ),
        _ => return None,
    };
    Some(text)
}

/// What the brokers did not allow, and the command that allows it. `resource` is as `kafka-acls` wants it, such as
/// `--topic tributary.facts.v1`.
pub(super) fn not_allowed(options: &KafkaOptions, operation: &str, resource: &str) -> String {
    let who = options.security.who();
    format!(
        "{who} may not {operation}: an administrator allows it with kafka-acls.sh {} --add --allow-principal {who} \
         --operation {operation} {resource}",
        cluster(options)
    )
}

/// What Kafka's own tools need to reach the cluster.
pub(super) fn cluster(options: &KafkaOptions) -> String {
    let brokers = &options.brokers;
    match options.security.protocol {
        Protocol::Plaintext => format!("--bootstrap-server {brokers}"),
        _ => format!("--bootstrap-server {brokers} --command-config FILE"),
    }
}

/// Whether the brokers know who asks and do not allow it.
pub(super) fn is_forbidden(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed | Code::ClusterAuthorizationFailed
    )
}

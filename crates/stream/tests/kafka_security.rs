//! The Kafka log on a broker that wants TLS, a password or a certificate, and an ACL for everything.
#![allow(clippy::unwrap_used)]
use bytes::Bytes;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use stream::kafka::{KafkaLog, KafkaOptions, Password, Protocol, Security};
use stream::log::{AppendError, Log, LogError, NewRecord, Offset, Partition, Topic};
use testkit::kafka::KafkaBroker;
use testkit::secure::SecureBroker;

const P0: Partition = Partition(0);
/// A refusal is said long before this: it is what a broker that is away may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// One for all tests here; it ends with this process.
async fn broker() -> &'static SecureBroker {
    static BROKER: OnceLock<SecureBroker> = OnceLock::new();
    let start = || BROKER.get_or_init(|| SecureBroker::start(&["onlooker", "nobody"]).unwrap());
    tokio::task::spawn_blocking(start).await.unwrap()
}

fn options(broker: &SecureBroker, user: &str, prefix: &str) -> KafkaOptions {
    let mut options = broker.options(user, prefix).unwrap();
    options.partitions = 1;
    options.request_timeout = PATIENCE;
    options
}

fn record(text: &str) -> Vec<NewRecord> {
    vec![NewRecord { key: Bytes::from_static(b"prog"), value: Bytes::copy_from_slice(text.as_bytes()) }]
}

/// Allows it, as an administrator would.
fn allow(broker: &SecureBroker, principal: &str, operations: &[&str], prefix: &str) {
    let mut arguments = vec!["--add".to_owned(), "--allow-principal".to_owned(), principal.to_owned()];
    for operation in operations {
        arguments.extend(["--operation".to_owned(), (*operation).to_owned()]);
    }
    let on = ["--topic", prefix, "--resource-pattern-type", "prefixed"];
    arguments.extend(on.map(str::to_owned));
    broker.acls(&arguments).unwrap();
}

/// What the attempt to connect ended with, well before the time for brokers that are away.
async fn refusal(options: KafkaOptions) -> String {
    let since = Instant::now();
    let error = KafkaLog::connect(options).await.err().unwrap();
    assert!(since.elapsed() < PATIENCE / 2, "{:?}: {error}", since.elapsed());
    assert!(matches!(error, LogError::Misconfigured(_)), "{error:?}");
    error.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_over_tls_or_a_certificate_opens_the_log_and_nothing_else_does() {
    let broker = broker().await;
    let log = KafkaLog::connect(options(broker, "admin", "open.")).await.unwrap();
    assert_eq!(log.ensure_topics().await.unwrap().len(), Topic::ALL.len());
    log.check().await.unwrap();
    let appended = log.appender().await.unwrap().append(Topic::Facts, P0, record("by password")).await;
    assert_eq!(appended.unwrap(), [Some(Offset(0))]);

    let mut mutual = options(broker, "admin", "open.");
    mutual.brokers = broker.bootstrap_tls().unwrap();
    mutual.security = Security {
        protocol: Protocol::Ssl,
        ca: Some(broker.file("ca.pem")),
        certificate: Some(broker.file("client.pem")),
        key: Some(broker.file("client.key")),
        ..Security::default()
    };
    allow(broker, "User:CN=client", &["Read", "Write"], "open.");
    let log = KafkaLog::connect(mutual.clone()).await.unwrap();
    let appended = log.appender().await.unwrap().append(Topic::Facts, P0, record("by certificate")).await;
    assert_eq!(appended.unwrap(), [Some(Offset(1))]);
    let mut reader = log.reader(Topic::Facts, P0, Offset(0)).await.unwrap();
    assert_eq!(reader.next(1, usize::MAX).await.unwrap()[0].value, "by password");

    (mutual.security.certificate, mutual.security.key) = (None, None);
    let said = refusal(mutual).await;
    assert!(said.contains("set kafka.ssl_certificate and kafka.ssl_key"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_refused_says_at_once_which_setting_mends_it() {
    let broker = broker().await;
    let right = options(broker, "onlooker", "refused.");
    let with = |change: &dyn Fn(&mut Security)| {
        let mut options = right.clone();
        change(&mut options.security);
        options
    };
    let strange = with(&|security| security.ca = Some(broker.file("other-ca.pem")));
    let said = refusal(strange).await;
    assert!(said.contains("not signed by an authority in") && said.contains("set kafka.ssl_ca"), "{said}");
    // The system's authorities have not signed a test's certificate either.
    let said = refusal(with(&|security| security.ca = None)).await;
    assert!(said.contains("not signed by an authority of this system"), "{said}");

    let wrong = Password::new("canary-wrong-password");
    let said = refusal(with(&|security| security.sasl.as_mut().unwrap().password = wrong.clone())).await;
    assert!(said.contains("check kafka.sasl_username (onlooker)"), "{said}");
    assert!(said.contains("--entity-type users --entity-name onlooker"), "{said}");
    assert!(!said.contains("canary"), "{said}");
    let plain = with(&|security| security.sasl.as_mut().unwrap().mechanism = "PLAIN".to_owned());
    let said = refusal(plain).await;
    assert!(said.contains("kafka.sasl_mechanism"), "{said}");

    let absent = with(&|security| security.ca = Some("/nowhere/ca.pem".into()));
    assert!(refusal(absent).await.contains("kafka.ssl_ca: /nowhere/ca.pem cannot be read"));
    assert!(refusal(with(&|security| security.sasl = None)).await.contains("give kafka.sasl_username"));

    // A broker that hangs up looks like one that is away; the reason is in the error all the same.
    let mut not_tls = right.clone();
    not_tls.request_timeout = Duration::from_secs(2);
    KafkaBroker::shared().await.unwrap().bootstrap().clone_into(&mut not_tls.brokers);
    let said = KafkaLog::connect(not_tls).await.err().unwrap().to_string();
    assert!(said.contains("listener is not TLS"), "{said}");
    let mut without = with(&|security| *security = Security::default());
    without.request_timeout = Duration::from_secs(2);
    let said = KafkaLog::connect(without).await.err().unwrap().to_string();
    assert!(said.contains("write ssl or sasl_ssl"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_acl_allows_is_refused_with_the_command_that_allows_it() {
    let broker = broker().await;
    let allowed = |said: &str, user: &str, what: &str| {
        assert!(said.contains(&format!("--add --allow-principal User:{user} --operation {what}")), "{said}");
    };
    let nobody = KafkaLog::connect(options(broker, "nobody", "acls.")).await.unwrap();
    // Topics that are not there: those who may not create them are told so.
    let said = nobody.ensure_topics().await.unwrap_err().to_string();
    allowed(&said, "nobody", "Create --topic acls.ingest.v1");
    assert!(said.contains("run `tributary topics` as somebody who may"), "{said}");
    let admin = KafkaLog::connect(options(broker, "admin", "acls.")).await.unwrap();
    admin.ensure_topics().await.unwrap();
    let said = nobody.check().await.unwrap_err().to_string();
    allowed(&said, "nobody", "Describe --operation DescribeConfigs --topic acls.facts.v1");
    let append = nobody.appender().await.unwrap().append(Topic::Facts, P0, record("never"));
    let said = tokio::time::timeout(PATIENCE, append).await.expect("an answer").unwrap_err();
    assert!(matches!(said, AppendError::Indefinite(_)), "{said:?}");
    allowed(&said.to_string(), "nobody", "Write --topic acls.facts.v1");

    // Who may look, and write elsewhere, may neither write nor read here.
    allow(broker, "User:onlooker", &["Describe", "Write"], "acls.outcomes");
    allow(broker, "User:onlooker", &["Describe"], "acls.facts");
    let onlooker = KafkaLog::connect(options(broker, "onlooker", "acls.")).await.unwrap();
    let said = onlooker.check().await.unwrap_err().to_string();
    allowed(&said, "onlooker", "DescribeConfigs --topic acls.facts.v1");
    allowed(&said, "onlooker", "Describe --operation DescribeConfigs --topic acls.ingest.v1");
    allow(broker, "User:onlooker", &["Describe", "DescribeConfigs"], "acls.");
    onlooker.check().await.unwrap();
    let append = onlooker.appender().await.unwrap().append(Topic::Facts, P0, record("never"));
    let said = tokio::time::timeout(PATIENCE, append).await.expect("an answer").unwrap_err();
    allowed(&said.to_string(), "onlooker", "Write --topic acls.facts.v1");
    admin.appender().await.unwrap().append(Topic::Facts, P0, record("secret")).await.unwrap();
    let mut reader = onlooker.reader(Topic::Facts, P0, Offset(0)).await.unwrap();
    let said = tokio::time::timeout(PATIENCE, reader.next(1, 1)).await.expect("an answer").unwrap_err();
    assert!(matches!(said, LogError::Misconfigured(_)), "{said:?}");
    allowed(&said.to_string(), "onlooker", "Read --topic acls.facts.v1");
}

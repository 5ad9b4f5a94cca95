//! A real Kafka with TLS, passwords and ACLs, and the table of ACLs that the documentation gives.
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use stream::kafka::{KafkaOptions, Password, Protocol, Sasl, Security};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/kafka");
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/kafka.md");
/// The heading of the table on that page.
const HEADING: &str = "### ACLs";

/// A broker of its own on which nobody may do anything that no ACL allows, but for the user `admin`.
#[derive(Debug)]
pub struct SecureBroker {
    bootstrap: String,
    home: tempfile::TempDir,
}

impl SecureBroker {
    /// Starts one that knows `users`. Blocks for some seconds.
    ///
    /// # Errors
    /// When `scripts/kafka` fails; the message holds what it said.
    pub fn start(users: &[&str]) -> Result<Self> {
        Self::start_named("127.0.0.1", users)
    }

    /// As [`SecureBroker::start`]; its certificate and what it tells its clients have this name. It listens on loopback.
    ///
    /// # Errors
    /// As [`SecureBroker::start`].
    pub fn start_named(host: &str, users: &[&str]) -> Result<Self> {
        let home = tempfile::Builder::new().prefix("tributary-kafka-").tempdir()?;
        let mut command = script("start", home.path());
        command
            .arg("--secure")
            .args(users)
            .env("KAFKA_HOST", host)
            .env("KAFKA_PARENT_PID", std::process::id().to_string());
        let output = run(command)?;
        let bootstrap = String::from_utf8(output.stdout)?.trim().to_owned();
        Ok(Self { bootstrap, home })
    }

    /// `host:port` of the listener for passwords over TLS.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// `host:port` of the listener for client certificates.
    ///
    /// # Errors
    /// When the script did not say.
    pub fn bootstrap_tls(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.home.path().join("bootstrap.tls"))?.trim().to_owned())
    }

    /// A file that the script made: `ca.pem`, `other-ca.pem`, `client.pem`, `client.key`, `USER.password`.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.home.path().join("secure").join(name)
    }

    /// Options of a user who proves itself with its password.
    ///
    /// # Errors
    /// When there is no such user.
    pub fn options(&self, user: &str, topic_prefix: &str) -> Result<KafkaOptions> {
        let password =
            std::fs::read_to_string(self.file(&format!("{user}.password"))).context(user.to_owned())?;
        let mut options = KafkaOptions::new(&self.bootstrap);
        topic_prefix.clone_into(&mut options.topic_prefix);
        options.security = Security {
            protocol: Protocol::SaslSsl,
            ca: Some(self.file("ca.pem")),
            sasl: Some(Sasl {
                mechanism: "SCRAM-SHA-512".to_owned(),
                username: user.to_owned(),
                password: Password::new(password.trim()),
            }),
            ..Security::default()
        };
        Ok(options)
    }

    /// The same as variables in a process's environment.
    #[must_use]
    pub fn variables(&self, user: &str) -> Vec<(&'static str, String)> {
        let file = |name: &str| self.file(name).display().to_string();
        vec![
            ("TRIBUTARY_KAFKA_SECURITY_PROTOCOL", "sasl_ssl".to_owned()),
            ("TRIBUTARY_KAFKA_SSL_CA", file("ca.pem")),
            ("TRIBUTARY_KAFKA_SASL_USERNAME", user.to_owned()),
            ("TRIBUTARY_KAFKA_SASL_PASSWORD_FILE", file(&format!("{user}.password"))),
        ]
    }

    /// `kafka-acls` as the super user.
    ///
    /// # Errors
    /// When it fails; the message holds what it said.
    pub fn acls(&self, arguments: &[String]) -> Result<()> {
        let mut command = script("acls", self.home.path());
        command.args(arguments);
        run(command).map(drop)
    }

    /// Ends it with SIGTERM. Blocks until it is gone.
    ///
    /// # Errors
    /// When `scripts/kafka` fails.
    pub fn stop(&self) -> Result<()> {
        run(script("stop", self.home.path())).map(drop)
    }
}

impl Drop for SecureBroker {
    fn drop(&mut self) {
        if let Err(error) = run(script("kill", self.home.path())) {
            eprintln!("kafka was not stopped: {error:#}");
        }
    }
}

fn script(command: &str, home: &Path) -> Command {
    let mut script = Command::new(SCRIPT);
    script.arg(command).arg(home);
    script
}

fn run(mut command: Command) -> Result<Output> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output)
}

/// A row of the documented table: these users may do these things with these resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentedAcl {
    /// Users; in the page, the names of the services.
    pub users: Vec<String>,
    /// Operations as `kafka-acls` names them.
    pub operations: Vec<String>,
    /// `--topic` or `--group`.
    pub kind: String,
    /// Names, with the default topic prefix.
    pub names: Vec<String>,
    /// Whether names are the beginnings of names.
    pub prefixed: bool,
}

impl DocumentedAcl {
    /// The table of `docs/reference/kafka.md`.
    ///
    /// # Errors
    /// When the page has no such table, or a row cannot be understood.
    pub fn table() -> Result<Vec<Self>> {
        let page = std::fs::read_to_string(PAGE).context(PAGE)?;
        let (_, section) = page.split_once(HEADING).context("the heading of the table")?;
        let section = section.split("\n## ").next().unwrap_or_default();
        let rows: Vec<_> = section.lines().filter(|line| line.starts_with('|')).skip(2).collect();
        ensure!(!rows.is_empty(), "no table below {HEADING}");
        rows.into_iter().map(|row| Self::parse(row).with_context(|| row.to_owned())).collect()
    }

    fn parse(row: &str) -> Result<Self> {
        let words =
            |cell: &str| cell.split(',').map(|word| word.trim().trim_matches('`').to_owned()).collect();
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [users, operations, kind, names, ..] = cells[..] else { bail!("fewer than four columns") };
        let (kind, prefixed) = match kind {
            "topic" => ("--topic", false),
            "topics that begin with" => ("--topic", true),
            "group" => ("--group", false),
            "groups that begin with" => ("--group", true),
            _ => bail!("what is {kind}?"),
        };
        Ok(Self {
            users: words(users),
            operations: words(operations),
            kind: kind.to_owned(),
            names: words(names),
            prefixed,
        })
    }

    /// The arguments of `kafka-acls` that allow it, for topics with another prefix.
    #[must_use]
    pub fn allowing(&self, topic_prefix: &str) -> Vec<String> {
        let mut arguments = vec!["--add".to_owned()];
        let mut add = |flag: &str, value: String| arguments.extend([flag.to_owned(), value]);
        for user in &self.users {
            add("--allow-principal", format!("User:{user}"));
        }
        for operation in &self.operations {
            add("--operation", operation.clone());
        }
        for name in &self.names {
            add(&self.kind, name.replacen("tributary.", topic_prefix, 1));
        }
        add("--resource-pattern-type", if self.prefixed { "prefixed" } else { "literal" }.to_owned());
        arguments
    }
}

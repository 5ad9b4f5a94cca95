//! The command line. Every flag has a key of the same name in the configuration file; flags win.
use clap::{Args, Parser, Subcommand};
use kit::config::Layers;
use std::path::PathBuf;

/// `tributary`.
#[derive(Debug, Parser)]
#[command(
    name = "tributary",
    version,
    about = "A self-hosted, event-sourced commission engine for affiliate and partner programs",
    after_help = "Examples:
  tributary up --demo                     everything in one process, with a demo program and sample traffic
  tributary balances                      what each partner has earned, beside a running `up` or without one
  tributary verify                        proves every verdict and balance from the log
  tributary events find order_1001        what happened to an event

Configuration: built-in defaults, then --config, then TRIBUTARY_* variables (and DATABASE_URL), then flags.
`tributary check-config --defaults` prints every key with its meaning."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything in one process
    #[command(after_help = "Examples:
  tributary up --demo                             try it: http://127.0.0.1:8080, log and state below ./tributary-data
  tributary up --demo --once                      play the sample traffic, print the balances, end
  DATABASE_URL=postgres://… tributary up          project into your own Postgres
  tributary up --kafka-brokers kafka:9092         keep the log in Kafka

Prints one line on stdout when it is ready: `tributary ready: http://ADDRESS`. Everything else goes to stderr.
Without --database-url a private Postgres is started from the installed server binaries; its URL is in DATA_DIR/postgres.url.")]
    Up(Up),
    /// Create an account, a live program with its test twin and a first rule, and print the operator keys, once
    #[command(
        after_help = "Beside a running `up` it uses that; without one it runs the services itself for a moment. Running it again creates what
is missing and changes nothing else.

Examples:
  tributary init --account Acme
  tributary init --account Acme --program 'Acme Partners' --currency EUR --rate 12.5 --hold-days 30
  tributary init --account Acme --kafka-brokers kafka:9092 --json"
    )]
    Init(Init),
    /// Connect payment providers: where their webhooks go, and the secrets that they sign with
    #[command(subcommand)]
    Endpoint(EndpointCommand),
    /// Run the gateway alone, on Kafka
    Gateway(Gateway),
    /// Run the normalizer alone, on Kafka: raw requests become facts and verdicts
    Normalizer(Stage),
    /// Run the attribution service alone, on Kafka: facts learn who earns
    Attribution(Stage),
    /// Run the commission service alone, on Kafka: decides about money
    Commission(Stage),
    /// Run the projector alone, on Kafka: commission events become rows in Postgres
    Projector(Stage),
    /// Create the topics in Kafka where they are missing, and say what is wrong with those that are there
    #[command(after_help = "Examples:
  tributary topics --kafka-brokers kafka:9092 --replication 3 --min-insync 2
  tributary topics --check --json

Every wrong setting is printed with the command that mends it; nothing that exists is changed. Services check the same at their start.
Exit status: 0 all is well, 1 a problem was found, 2 it could not run.")]
    Topics(Topics),
    /// The key store in Postgres, for normalizers that run apart
    #[command(subcommand)]
    Keys(Keys),
    /// Copies of local state in `snapshots.dir`
    #[command(subcommand)]
    Snapshots(Snapshots),
    /// Create or update the tables and views in Postgres
    Migrate(Read),
    /// Check the configuration, print what is in force, change nothing
    CheckConfig(CheckConfig),
    /// Ask a running process on this machine whether it is ready
    #[command(
        after_help = "Asks /readyz at the process's metrics address. Exit status: 0 ready, 1 not ready or no answer.
Meant for health checks where there is no shell and no curl.

Example:
  tributary health --metrics-listen 127.0.0.1:9090"
    )]
    Health(Health),
    /// Create the public demo programs on Kafka and play the sample traffic through a running gateway
    #[command(
        after_help = "What `up --demo` does at its start, for services in processes of their own: they must run. Repeating it changes nothing.
The master key must be the gateway's. Never on an installation that others can reach: keys and secrets of the demo are public.

Example:
  tributary demo --kafka-brokers kafka:9092 --gateway http://127.0.0.1:8080"
    )]
    Demo(Demo),
    /// Print the contract of the HTTP API as an OpenAPI 3.1 document
    #[command(after_help = "Example:
  tributary openapi > tributary.openapi.json")]
    Openapi,
    /// Print balances by program, partner and currency, in minor units
    #[command(after_help = "Works beside a running `up` on the same data directory, and without one.")]
    Balances(Printed),
    /// Re-derive every verdict and balance from the log and compare them with Postgres
    #[command(after_help = "Exit status: 0 all proven, 1 a problem was found, 2 it could not run.
Works beside a running `up` on the same data directory, and without one.")]
    Verify(Printed),
    /// Say why a commission is what it is: every event, touch, rule, sum, hold and posting, from the log
    #[command(after_help = "Examples:
  tributary explain com_…                         by the commission
  tributary explain txn_01hv8wptq8987qeep44cyrewp9 --json
  tributary explain re_1abc --body                by a refund of the sale; with the bodies as they came

Takes any id of the commission, its sale, a refund or dispute of it, or an event. Exit status: 0 explained, 1 nothing is known, 2 it could not run.
Bodies may hold personal data and are shown only with --body. Works beside a running `up` and without one; needs no Postgres.")]
    Explain(Explain),
    /// Write everything that the log holds to an archive: to move it to Kafka, or as a backup
    #[command(
        after_help = "For a move the services must have worked everything off, and nothing may come meanwhile. So stop `up`, let
`tributary up --once` work off what is left, export, import, and start again on Kafka with the same keys.

Examples:
  tributary export acme.tributary
  tributary export --wait 30 acme.tributary          beside a running `up` that nobody sends to any more
  tributary export --backup - | zstd > acme.zst      a consistent copy at any time, also beside a busy `up`

The archive holds raw requests, which may hold personal data, but no keys: keys/ and master.key go another way."
    )]
    Export(Export),
    /// Read an archive into an empty log: topics of Kafka with --kafka-brokers, else the data directory
    #[command(
        after_help = "The archive is checked as a whole before anything is written; what was written is read back and compared.
Topics are created where they are missing; their number of partitions must be that of the archive.

Examples:
  tributary import acme.tributary --kafka-brokers kafka:9092
  tributary import acme.tributary --data-dir restored"
    )]
    Import(Import),
    /// Ask what happened to events
    #[command(subcommand)]
    Events(Events),
    /// Look at what could not be used, and try it again
    #[command(subcommand)]
    Quarantine(Quarantine),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Quarantine {
    /// List events that could not be used and inputs that a defect parked, the oldest first
    #[command(after_help = "Examples:
  tributary quarantine list
  tributary quarantine list --reason unknown_program --json")]
    List(QuarantineList),
    /// Show one entry: what is known of it, and the request as it was sent
    #[command(after_help = "The body is printed as it was sent: it may hold personal data.

Examples:
  tributary quarantine show evt_0a1b2c
  tributary quarantine show commission/7/123")]
    Show(QuarantineShow),
    /// Try entries again, once their cause is mended
    #[command(
        after_help = "Exit status: 0 nothing of them is left in quarantine, 1 something is, 2 it could not run.
Beside a running `up` it uses that; without one it runs the services itself until the answer is there.

Examples:
  tributary quarantine retry evt_0a1b2c
  tributary quarantine retry commission/7/123
  tributary quarantine retry --all --reason unknown_program"
    )]
    Retry(QuarantineRetry),
}

#[derive(Debug, Args)]
pub(crate) struct QuarantineList {
    /// Of this program only
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) program: Option<String>,
    /// With this reason only
    #[arg(long, value_name = "REASON")]
    pub(crate) reason: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct QuarantineShow {
    /// An event id (evt_…), service/partition/position, or a position
    #[arg(value_name = "ENTRY")]
    pub(crate) entry: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct QuarantineRetry {
    /// Event ids (evt_…) or service/partition/position
    #[arg(value_name = "ENTRY", required_unless_present = "all", conflicts_with = "all")]
    pub(crate) entries: Vec<String>,
    /// Everything with this reason, up to 10,000 entries
    #[arg(long, requires = "reason")]
    pub(crate) all: bool,
    /// With --all: this reason only
    #[arg(long, value_name = "REASON", requires = "all")]
    pub(crate) reason: Option<String>,
    /// With --all: this program only
    #[arg(long, value_name = "PROGRAM", requires = "all")]
    pub(crate) program: Option<String>,
    /// Who asks, for the record [default: the user's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) actor: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Events {
    /// Find events by an id that the outside knows: a delivery's event id, a transaction, an order, a refund; or by our own evt_ id
    #[command(after_help = "Examples:
  tributary events find order_1001
  tributary events find txn_01hv8wptq8987qeep44cyrewp9 --json")]
    Find(Find),
}

/// Shows the configuration instead of running.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Dump {
    /// Print the configuration in force, with the place of each value and without secrets, and end
    #[arg(long)]
    pub(crate) dump_config: bool,
}

impl Dump {
    /// Whether it was asked for, and printed.
    pub(crate) fn printed(&self, layers: &Layers) -> anyhow::Result<bool> {
        if self.dump_config {
            crate::up::print_line(kit::config::Config::dump(layers)?.trim_end())?;
        }
        Ok(self.dump_config)
    }
}

/// Where things are.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Place {
    /// A TOML file with settings
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Log, state, keys and the private Postgres [default: tributary-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<String>,
    /// Postgres for the read models; prefer the variable DATABASE_URL, which other users cannot see
    #[arg(long, value_name = "URL", hide_env_values = true)]
    pub(crate) database_url: Option<String>,
    /// Keep the log in Kafka: host:port, several with commas [default: the embedded log]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) kafka_brokers: Option<String>,
    /// Before every topic's name [default: tributary.]
    #[arg(long, value_name = "PREFIX")]
    pub(crate) topic_prefix: Option<String>,
}

impl Place {
    /// The configuration's layers, with these flags and `more` on top.
    pub(crate) fn layers(&self, more: &[(&str, &Option<String>)]) -> Layers {
        let own = [
            ("data_dir", &self.data_dir),
            ("database_url", &self.database_url),
            ("kafka.brokers", &self.kafka_brokers),
            ("kafka.topic_prefix", &self.topic_prefix),
        ];
        let flags = own
            .iter()
            .chain(more)
            .filter_map(|(key, value)| Some(((*key).to_owned(), (*value).clone()?)))
            .collect();
        Layers::from_process(self.config.clone(), flags)
    }
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Create the public demo programs and play the sample traffic; never on a machine that others can reach
    #[arg(long)]
    pub(crate) demo: bool,
    /// Work off what the log holds, print the balances, end
    #[arg(long)]
    pub(crate) once: bool,
    /// With --once: print the balances as JSON
    #[arg(long, requires = "once")]
    pub(crate) json: bool,
    /// Address of the gateway; port 0 takes a free one [default: 127.0.0.1:8080; with --once a free port]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<String>,
    /// Address of /metrics [default: a free port on 127.0.0.1, printed]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) metrics_listen: Option<String>,
    #[command(flatten)]
    pub(crate) dump: Dump,
    #[command(flatten)]
    pub(crate) place: Place,
}

impl Up {
    pub(crate) fn layers(&self) -> Layers {
        self.place.layers(&[("listen", &self.listen), ("metrics_listen", &self.metrics_listen)])
    }
}

#[derive(Debug, Args)]
pub(crate) struct Gateway {
    /// Address of the gateway; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<String>,
    /// Address of /metrics [default: a free port on 127.0.0.1, printed]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) metrics_listen: Option<String>,
    #[command(flatten)]
    pub(crate) dump: Dump,
    #[command(flatten)]
    pub(crate) place: Place,
}

impl Gateway {
    pub(crate) fn layers(&self) -> Layers {
        self.place.layers(&[("listen", &self.listen), ("metrics_listen", &self.metrics_listen)])
    }
}

/// `health`.
#[derive(Debug, Args)]
pub(crate) struct Health {
    /// Ask /livez instead: whether the process answers at all
    #[arg(long)]
    pub(crate) live: bool,
    /// Where the process serves its metrics [default: as configured]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) metrics_listen: Option<String>,
    #[command(flatten)]
    pub(crate) place: Place,
}

impl Health {
    pub(crate) fn layers(&self) -> Layers {
        self.place.layers(&[("metrics_listen", &self.metrics_listen)])
    }
}

/// `demo`.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Base URL of a running gateway
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub(crate) gateway: String,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// One service of the chain in a process of its own.
#[derive(Debug, Args)]
pub(crate) struct Stage {
    /// Address of /metrics [default: a free port on 127.0.0.1, printed]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) metrics_listen: Option<String>,
    #[command(flatten)]
    pub(crate) dump: Dump,
    #[command(flatten)]
    pub(crate) place: Place,
}

impl Stage {
    pub(crate) fn layers(&self) -> Layers {
        self.place.layers(&[("metrics_listen", &self.metrics_listen)])
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Create or update the schema, as the role that owns the database of `keys_database_url`
    Migrate(KeysMigrate),
    /// Copy every key and every tombstone into the database of `keys_database_url`
    #[command(
        after_help = "Stop what uses the file first. May be repeated: a tombstone of either store stays one.

Example:
  TRIBUTARY_KEYS_DATABASE_URL=postgres://… tributary keys copy --from file --to postgres"
    )]
    Copy(KeysCopy),
}

#[derive(Debug, Args)]
pub(crate) struct KeysMigrate {
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct KeysCopy {
    /// Where the keys are
    #[arg(long, value_name = "KIND", default_value = "file")]
    pub(crate) from: String,
    /// Where they go
    #[arg(long, value_name = "KIND", default_value = "postgres")]
    pub(crate) to: String,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Snapshots {
    /// List the snapshots, with what each says of itself
    List(SnapshotsList),
    /// Delete the snapshots of a partition that end before a frame, as after an erasure
    Delete(SnapshotsDelete),
}

#[derive(Debug, Args)]
pub(crate) struct SnapshotsList {
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct SnapshotsDelete {
    /// normalizer, attribution or commission
    #[arg(long, value_name = "SERVICE", value_parser = ["normalizer", "attribution", "commission"])]
    pub(crate) service: String,
    /// The partition
    #[arg(long, value_name = "NUMBER")]
    pub(crate) partition: u32,
    /// Those whose last frame is before this one
    #[arg(long, value_name = "SEQ")]
    pub(crate) before_seq: u64,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct Read {
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct Topics {
    /// Create nothing
    #[arg(long)]
    pub(crate) check: bool,
    /// Partitions of every topic, for the life of the installation [default: 64]
    #[arg(long, value_name = "COUNT")]
    pub(crate) partitions: Option<String>,
    /// Copies of each partition [default: the brokers']
    #[arg(long, value_name = "COUNT")]
    pub(crate) replication: Option<String>,
    /// Copies that must have a record before it is acknowledged [default: the brokers']
    #[arg(long, value_name = "COUNT")]
    pub(crate) min_insync: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

impl Topics {
    pub(crate) fn layers(&self) -> Layers {
        self.place.layers(&[
            ("log.partitions", &self.partitions),
            ("kafka.replication", &self.replication),
            ("kafka.min_insync", &self.min_insync),
        ])
    }
}

#[derive(Debug, Args)]
pub(crate) struct CheckConfig {
    /// Print the commented default file instead: every key with its meaning
    #[arg(long)]
    pub(crate) defaults: bool,
    /// Print the configuration as a TOML file, with the place of each value and without secrets
    #[arg(long, conflicts_with = "defaults")]
    pub(crate) dump: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct Printed {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The archive to write, which must not exist; - writes it to stdout
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// How long to wait for the services to work everything off
    #[arg(long, value_name = "SECONDS", default_value_t = 2)]
    pub(crate) wait: u64,
    /// A copy that nobody goes on with: nothing need be worked off, and events may come meanwhile
    #[arg(long)]
    pub(crate) backup: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The archive
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// A commission, or an id of its sale, a refund, a dispute, or an event
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Show raw bodies, which may hold personal data
    #[arg(long)]
    pub(crate) body: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct Find {
    /// The id as the provider or the caller wrote it
    #[arg(value_name = "EXTERNAL ID")]
    pub(crate) external_id: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// `init`.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Name of the account: the merchant
    #[arg(long, value_name = "NAME")]
    pub(crate) account: String,
    /// Its id [default: acct_ and the name in lower case]
    #[arg(long, value_name = "ID")]
    pub(crate) account_id: Option<String>,
    /// Name of the partner program [default: the account's]
    #[arg(long, value_name = "NAME")]
    pub(crate) program: Option<String>,
    /// Id of the live program; its test twin's has _test behind it [default: prog_ and the name in lower case]
    #[arg(long, value_name = "ID")]
    pub(crate) program_id: Option<String>,
    /// ISO 4217 code of the currency that the program is shown in
    #[arg(long, value_name = "CODE", default_value = "USD")]
    pub(crate) currency: String,
    /// Where defaults come from: native, revshare, affonso, partnerstack, refvenue, affihub
    #[arg(long, value_name = "PROFILE", default_value = "native")]
    pub(crate) profile: String,
    /// What partners earn, in percent of the base
    #[arg(long, value_name = "PERCENT", default_value = "20")]
    pub(crate) rate: String,
    /// How commissions round: half_even, half_up or floor [default: the profile's]
    #[arg(long, value_name = "ROUNDING")]
    pub(crate) rounding: Option<String>,
    /// How long a click earns, in days: 1 to 365 [default: the profile's]
    #[arg(long, value_name = "DAYS")]
    pub(crate) click_window_days: Option<u32>,
    /// How long a commission is held before it is approved, in days
    #[arg(long, value_name = "DAYS", default_value_t = 0)]
    pub(crate) hold_days: u32,
    /// Whether a person must approve commissions [default: the profile's]
    #[arg(long, value_name = "BOOL")]
    pub(crate) manual_approval: Option<bool>,
    /// Make new operator keys, also when there are some already
    #[arg(long)]
    pub(crate) new_key: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// `endpoint`.
#[derive(Debug, Subcommand)]
pub(crate) enum EndpointCommand {
    /// Create an endpoint; prints the URL to paste, the events to select and where the referral code goes
    #[command(
        after_help = "Without a secret the endpoint waits for one: create the webhook at the provider with the printed URL, then give the secret
that it shows to `tributary endpoint rotate`.

Examples:
  tributary endpoint add stripe --program prog_acme_test --public-url https://track.acme.example
  pass show stripe/whsec | tributary endpoint add stripe --program prog_acme --secret-stdin
  tributary endpoint add paddle --program prog_acme --secret-env PADDLE_SECRET --json"
    )]
    Add(EndpointAdd),
    /// List the endpoints of a program, with the fingerprints of their secrets
    List(EndpointList),
    /// Give an endpoint another secret beside those that it has: both are accepted from then on
    #[command(after_help = "A rotation without a refused delivery:
  1. give the new secret here, as soon as the provider shows it
  2. let the provider sign with it, and the old one expire there
  3. tributary endpoint remove-secret PROVIDER --program PROGRAM --oldest

Example:
  pass show stripe/whsec-new | tributary endpoint rotate stripe --program prog_acme --secret-stdin")]
    Rotate(EndpointRotate),
    /// Remove a secret that the provider does not sign with any more
    #[command(after_help = "Examples:
  tributary endpoint remove-secret stripe --program prog_acme --oldest
  tributary endpoint remove-secret stripe --program prog_acme --fingerprint 0a1b2c3d4e5f6071")]
    RemoveSecret(EndpointRemoveSecret),
}

/// Where a secret is read: never from an argument, which other users can see.
#[derive(Debug, Args)]
pub(crate) struct SecretFrom {
    /// Read the signing secret from stdin
    #[arg(long, conflicts_with = "secret_env")]
    pub(crate) secret_stdin: bool,
    /// Read the signing secret from this environment variable
    #[arg(long, value_name = "VARIABLE")]
    pub(crate) secret_env: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct EndpointAdd {
    /// The provider: paddle or stripe
    pub(crate) provider: String,
    /// The program whose events come there
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) program: String,
    /// The endpoint's id [default: ep_, the program and the provider]
    #[arg(long, value_name = "ID")]
    pub(crate) endpoint: Option<String>,
    /// Where the gateway is reached from outside, as in `https://track.example.com`
    #[arg(long, value_name = "URL")]
    pub(crate) public_url: Option<String>,
    /// How old a signature may be, in seconds [default: the provider's, 300]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) tolerance_seconds: Option<u32>,
    #[command(flatten)]
    pub(crate) secret: SecretFrom,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct EndpointList {
    /// The program
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) program: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// Which endpoint.
#[derive(Debug, Args)]
pub(crate) struct EndpointPick {
    /// The provider: paddle or stripe
    pub(crate) provider: String,
    /// The program
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) program: String,
    /// The endpoint's id, where the program has several of the provider
    #[arg(long, value_name = "ID")]
    pub(crate) endpoint: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct EndpointRotate {
    #[command(flatten)]
    pub(crate) pick: EndpointPick,
    #[command(flatten)]
    pub(crate) secret: SecretFrom,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true))]
pub(crate) struct EndpointRemoveSecret {
    #[command(flatten)]
    pub(crate) pick: EndpointPick,
    /// The one with this fingerprint, as `endpoint list` prints it
    #[arg(long, value_name = "HEX", group = "which")]
    pub(crate) fingerprint: Option<String>,
    /// The one that was given first
    #[arg(long, group = "which")]
    pub(crate) oldest: bool,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent_and_flags_become_settings() {
        Cli::command().debug_assert();
        let cli = Cli::try_parse_from([
            "tributary",
            "up",
            "--demo",
            "--listen",
            "127.0.0.1:0",
            "--kafka-brokers",
            "k:1",
        ]);
        let Command::Up(up) = cli.unwrap().command else { unreachable!("`up` was parsed") };
        let flags = up.layers().flags;
        assert!(flags.contains(&("listen".to_owned(), "127.0.0.1:0".to_owned())));
        assert!(flags.contains(&("kafka.brokers".to_owned(), "k:1".to_owned())));
        assert_eq!(flags.len(), 2);
    }
}

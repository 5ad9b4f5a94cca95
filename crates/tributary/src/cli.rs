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
    /// Create the topics in Kafka where they are missing, and check the settings that promises rest on
    Topics(Read),
    /// Create or update the tables and views in Postgres
    Migrate(Read),
    /// Check the configuration, print what is in force, change nothing
    CheckConfig(CheckConfig),
    /// Print balances by program, partner and currency, in minor units
    #[command(after_help = "Works beside a running `up` on the same data directory, and without one.")]
    Balances(Printed),
    /// Re-derive every verdict and balance from the log and compare them with Postgres
    #[command(after_help = "Exit status: 0 all proven, 1 a problem was found, 2 it could not run.
Works beside a running `up` on the same data directory, and without one.")]
    Verify(Printed),
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
    #[command(after_help = "Exit status: 0 nothing of them is left in quarantine, 1 something is, 2 it could not run.
Beside a running `up` it uses that; without one it runs the services itself until the answer is there.

Examples:
  tributary quarantine retry evt_0a1b2c
  tributary quarantine retry commission/7/123
  tributary quarantine retry --all --reason unknown_program")]
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

#[derive(Debug, Args)]
pub(crate) struct Read {
    #[command(flatten)]
    pub(crate) place: Place,
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

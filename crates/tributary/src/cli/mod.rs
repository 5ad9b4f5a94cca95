//! The command line. Every flag has a key of the same name in the configuration file; flags win.
mod endpoint;
mod look;
mod payouts;
mod proof;
mod replay;
mod run;
mod setup;
mod statements;
mod upkeep;

pub(crate) use endpoint::{
    EndpointAdd, EndpointCommand, EndpointList, EndpointPick, EndpointRemoveSecret, EndpointRotate,
    SecretFrom,
};
pub(crate) use look::{
    Events, Explain, Find, Quarantine, QuarantineList, QuarantineRetry, QuarantineShow, Read,
};
pub(crate) use payouts::{
    DestinationCommand, DestinationSet, Partners, PayoutDraft, PayoutEnd, PayoutSettle, PayoutTermsCommand,
    PayoutsCommand, PayoutsWrite, Rates, RatesSet, Saying, TermsPick, TermsSet, TermsShow, WriteOff,
};
pub(crate) use proof::{
    Against, CheckpointCommand, CheckpointExport, CheckpointKey, EventsDump, ProofCheck, ProofCommand,
    ProofShow, Verify,
};
pub(crate) use replay::{Balances, Replay};
pub(crate) use run::{Demo, Gateway, Health, Stage, Up};
pub(crate) use setup::{CheckConfig, Init, Topics};
pub(crate) use statements::{
    PaymentFormat, PayoutsExport, PayoutsList, PayoutsLook, PayoutsShow, Statement, StatementFormat,
};
pub(crate) use upkeep::{
    Export, Import, Keys, KeysCopy, KeysMigrate, Snapshots, SnapshotsDelete, SnapshotsList,
};

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
    #[command(
        after_help = "Works beside a running `up` on the same data directory, and without one. With --as-of it reads the log alone.

Examples:
  tributary balances
  tributary balances --as-of 2026-06-30T23:59:59Z                                     what was decided by then
  tributary balances --as-of 2026-06-30T23:59:59Z --known-at 2026-07-15T00:00:00Z     what had happened by then, as known later"
    )]
    Balances(Balances),
    /// Ask what other rules would have paid; with --accept, ask the ledger for it
    #[command(
        after_help = "The file has the rules of each program that is asked about, as --export-rules prints them. Rules that are the same keep their
history; others are in the place of theirs from the start, or from --since on. Nothing is written without --accept.

Examples:
  tributary replay --export-rules --program acme > rules.toml
  tributary replay --what-if rules.toml
  tributary replay --what-if rules.toml --since 2026-07-01T00:00:00Z --json
  tributary replay --what-if rules.toml --accept --reason \"agreed with partners\"

Exit status: 0 done, 1 with --accept some commissions moved meanwhile and were skipped, 2 it could not run.
Works beside a running `up` and without one; needs no Postgres."
    )]
    Replay(Replay),
    /// Draft, settle and look at payouts, and write files for mass payments
    #[command(subcommand)]
    Payouts(PayoutsCommand),
    /// When and how partners are paid
    #[command(subcommand)]
    PayoutTerms(PayoutTermsCommand),
    /// Where partners are paid
    #[command(subcommand)]
    Partners(Partners),
    /// Rates of exchange, for payouts in another currency than what was earned
    #[command(subcommand)]
    Rates(Rates),
    /// Give up what a partner owes: it is the program's loss
    #[command(
        after_help = "Exit status: 0 written off, 1 refused or declined (nothing changed), 2 it could not run.

Example:
  tributary write-off --program prog_acme --partner mary --currency USD --amount 470 --reason 'left the program'"
    )]
    WriteOff(WriteOff),
    /// Print what a partner earned, owes and was paid in a period, so that it can be computed again
    #[command(
        after_help = "Each line changes what is payable: available less debt. Of one currency, the opening balance and all amounts sum to
the closing balance exactly. Amounts are minor units; docs/reference/statements.md has the columns.

Examples:
  tributary statement --program prog_acme --partner mary --from 2026-06-01 --to 2026-07-01
  tributary statement --program prog_acme --partner mary --format json"
    )]
    Statement(Statement),
    /// Re-derive every verdict and balance from the log and compare them with Postgres
    #[command(after_help = "Examples:
  tributary verify
  tributary verify --checkpoint 2026-07-01.checkpoint.json     the log must still lead to what was signed then

Exit status: 0 all proven, 1 a problem was found, 2 it could not run.
Works beside a running `up` on the same data directory, and without one.")]
    Verify(Verify),
    /// Heads of the programs' hash chains, signed, to be kept elsewhere
    #[command(subcommand)]
    Checkpoint(CheckpointCommand),
    /// Prove to others what is recorded of a commission
    #[command(subcommand)]
    Proof(ProofCommand),
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

//! What is asked of a running system: verdicts, explanations, what is kept aside.
use super::{EventsDump, Place};
use clap::{Args, Subcommand};

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
    /// Find events by an id that the outside knows: a delivery's event id, a transaction, an order, a lead, a refund; or by our own evt_ id
    #[command(after_help = "Examples:
  tributary events find order_1001
  tributary events find txn_01hv8wptq8987qeep44cyrewp9 --json")]
    Find(Find),
    /// Print every event of the programs' hash chains as the log holds it, one JSON object a line
    #[command(after_help = "Example:
  tributary events dump | python3 tests/independent_chain.py     recomputes each chain without any code of this program

Nothing that is sealed under a person's key is in the events. Works beside a running `up` and without one; needs no Postgres.")]
    Dump(EventsDump),
}

#[derive(Debug, Args)]
pub(crate) struct Read {
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// A commission, or an id of its sale, lead, refund, dispute or adjustment, or an event
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

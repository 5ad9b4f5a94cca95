//! What partners are shown and paid: statements, payouts, files for payments.
use super::Place;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// How a statement is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StatementFormat {
    Csv,
    Json,
}

/// `statement`.
#[derive(Debug, Args)]
pub(crate) struct Statement {
    /// The program
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) program: String,
    /// The partner
    #[arg(long, value_name = "PARTNER")]
    pub(crate) partner: String,
    /// From the beginning of this day, UTC [default: from the first event]
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub(crate) from: Option<String>,
    /// Up to the beginning of this day, UTC, which is not in it any more [default: to the last event]
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub(crate) to: Option<String>,
    /// How it is written
    #[arg(long, value_name = "FORMAT", default_value = "csv")]
    pub(crate) format: StatementFormat,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// `payouts list`.
#[derive(Debug, Args)]
pub(crate) struct PayoutsList {
    /// Of this program only
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) program: Option<String>,
    /// Of this partner only
    #[arg(long, value_name = "PARTNER")]
    pub(crate) partner: Option<String>,
    /// In this status only: drafted, settled, failed or returned
    #[arg(long, value_name = "STATUS", value_parser = ["drafted", "settled", "failed", "returned"])]
    pub(crate) status: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// `payouts show`.
#[derive(Debug, Args)]
pub(crate) struct PayoutsShow {
    /// A payout (pay_…)
    #[arg(value_name = "PAYOUT")]
    pub(crate) payout: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// Whose file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PaymentFormat {
    Paypal,
    Wise,
}

impl PaymentFormat {
    /// The method of a destination that the file pays to.
    pub(crate) const fn method(self) -> &'static str {
        match self {
            Self::Paypal => "paypal",
            Self::Wise => "wise",
        }
    }
}

/// `payouts export`.
#[derive(Debug, Args)]
pub(crate) struct PayoutsExport {
    /// Who makes the payments
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: PaymentFormat,
    /// All drafted payouts of this program
    #[arg(long, value_name = "PROGRAM", required_unless_present = "payout")]
    pub(crate) program: Option<String>,
    /// These payouts only; may be given several times
    #[arg(long, value_name = "PAYOUT")]
    pub(crate) payout: Vec<String>,
    /// Only those that are paid in this currency
    #[arg(long, value_name = "CURRENCY")]
    pub(crate) currency: Option<String>,
    /// Wise: the currency that you pay the file with [default: the one that each payout is paid in]
    #[arg(long, value_name = "CURRENCY")]
    pub(crate) source_currency: Option<String>,
    /// The file, which must not be there yet
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// The commands of `payouts` that change nothing.
#[derive(Debug, Subcommand)]
pub(crate) enum PayoutsLook {
    /// List payouts, the oldest first
    #[command(after_help = "Examples:
  tributary payouts list --program prog_acme --status drafted
  tributary payouts list --partner mary --json")]
    List(PayoutsList),
    /// Show one payout: its lines, and what happened to it
    #[command(after_help = "Exit status: 0 shown, 1 there is none, or it could not run.

Example:
  tributary payouts show pay_…")]
    Show(PayoutsShow),
    /// Write drafted payouts as a file for mass payments
    #[command(
        after_help = "The file holds where partners are paid: it is readable by you alone, and never written over. Nothing is marked as paid:
settle or fail each payout once you know, before the next file.

Examples:
  tributary payouts export --format paypal --program prog_acme --currency USD --out june.csv
  tributary payouts export --format wise --payout pay_… --payout pay_… --source-currency EUR --out june.csv"
    )]
    Export(PayoutsExport),
}

//! Paying partners: what is said about payouts, rates, debts, terms and destinations.
use super::{PayoutsLook, Place};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `payouts`.
#[derive(Debug, Subcommand)]
pub(crate) enum PayoutsCommand {
    #[command(flatten)]
    Write(PayoutsWrite),
    #[command(flatten)]
    Look(PayoutsLook),
}

/// The commands of `payouts` that say something.
#[derive(Debug, Subcommand)]
pub(crate) enum PayoutsWrite {
    /// Draft a payout of everything that is payable of one balance: its money is in flight from then on
    #[command(
        after_help = "Prints the payout's id. With --key the same command once more is the same payout, whatever became of it: use it in scripts.
Exit status: 0 drafted, 1 refused or declined (nothing changed), 2 it could not run.

Examples:
  tributary payouts draft --program prog_acme --partner mary --currency USD
  tributary payouts draft --program prog_acme --partner mary --currency EUR --ignore-minimum --key 2026-06-mary"
    )]
    Draft(PayoutDraft),
    /// Say that a payout was paid
    #[command(
        after_help = "With --amount and --currency, in minor units of what was paid, it is refused unless they are the payout's.
Exit status: 0 settled, 1 refused or declined (nothing changed), 2 it could not run.

Example:
  tributary payouts settle pay_… --program prog_acme --amount 53000 --currency USD --reference BATCH-7"
    )]
    Settle(PayoutSettle),
    /// Say that a payout was not paid, and will not be: its money is payable again
    #[command(
        after_help = "To pay after all, draft another one. Exit status: 0 done, 1 refused or declined (nothing changed), 2 it could not run.

Example:
  tributary payouts fail pay_… --program prog_acme --reason 'the bank refused it'"
    )]
    Fail(PayoutEnd),
    /// Say that a payout was paid and the bank sent it back: its money is payable again
    #[command(
        after_help = "To pay again, draft another one. Exit status: 0 done, 1 refused or declined (nothing changed), 2 it could not run.

Example:
  tributary payouts return pay_… --program prog_acme --reason 'account closed'"
    )]
    Return(PayoutEnd),
}

/// Whose program, who says so, and how it is printed.
#[derive(Debug, Args)]
pub(crate) struct Saying {
    /// The program
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) program: String,
    /// Who says so, for the record
    #[arg(long, value_name = "NAME")]
    pub(crate) actor: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// Of which payout something is said, and by whom.
#[derive(Debug, Args)]
pub(crate) struct OfPayout {
    /// The payout (pay_…)
    #[arg(value_name = "PAYOUT")]
    pub(crate) payout: String,
    /// Names this request [default: what it says]
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    #[command(flatten)]
    pub(crate) saying: Saying,
}

#[derive(Debug, Args)]
pub(crate) struct PayoutDraft {
    /// Whose balance
    #[arg(long, value_name = "PARTNER")]
    pub(crate) partner: String,
    /// Which balance
    #[arg(long, value_name = "CURRENCY")]
    pub(crate) currency: String,
    /// Also below the minimum of the terms
    #[arg(long)]
    pub(crate) ignore_minimum: bool,
    /// Names this draft: the same once more is the same payout [default: a new one]
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    #[command(flatten)]
    pub(crate) saying: Saying,
}

#[derive(Debug, Args)]
pub(crate) struct PayoutSettle {
    /// What was paid, in minor units
    #[arg(long, value_name = "MINOR")]
    pub(crate) amount: Option<i64>,
    /// The currency of what was paid
    #[arg(long, value_name = "CURRENCY")]
    pub(crate) currency: Option<String>,
    /// The payment's id at whoever paid it
    #[arg(long, value_name = "ID")]
    pub(crate) reference: Option<String>,
    #[command(flatten)]
    pub(crate) of: OfPayout,
}

#[derive(Debug, Args)]
pub(crate) struct PayoutEnd {
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) of: OfPayout,
}

/// `write-off`.
#[derive(Debug, Args)]
pub(crate) struct WriteOff {
    /// Whose debt
    #[arg(long, value_name = "PARTNER")]
    pub(crate) partner: String,
    /// Of the debt
    #[arg(long, value_name = "CURRENCY")]
    pub(crate) currency: String,
    /// How much of it, in minor units [default: all of it]
    #[arg(long, value_name = "MINOR")]
    pub(crate) amount: Option<i64>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Names this write-off: the same once more counts once [default: a new one]
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    #[command(flatten)]
    pub(crate) saying: Saying,
}

/// `rates`.
#[derive(Debug, Subcommand)]
pub(crate) enum Rates {
    /// Record a rate of exchange: the last one of a pair of currencies counts
    #[command(
        after_help = "Rates are used where terms say --pay-in, when a payout is drafted. The same id with other numbers is refused.
Exit status: 0 recorded, 1 refused (nothing changed), 2 it could not run.

Example:
  tributary rates set ecb-2026-06-30 --program prog_acme --from EUR --to USD --rate 1.0842 --spread-ppm 5000"
    )]
    Set(RatesSet),
}

#[derive(Debug, Args)]
pub(crate) struct RatesSet {
    /// Your own id of the rate
    #[arg(value_name = "RATE_ID")]
    pub(crate) rate_id: String,
    /// Converts from
    #[arg(long, value_name = "CURRENCY")]
    pub(crate) from: String,
    /// Converts to
    #[arg(long, value_name = "CURRENCY")]
    pub(crate) to: String,
    /// What one whole unit of --from is worth, as a decimal number
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub(crate) rate: String,
    /// How much of each conversion the program keeps, in parts per million
    #[arg(long, value_name = "PPM")]
    pub(crate) spread_ppm: Option<u32>,
    #[command(flatten)]
    pub(crate) saying: Saying,
}

/// `payout-terms`.
#[derive(Debug, Subcommand)]
pub(crate) enum PayoutTermsCommand {
    /// Say when and how partners are paid: all of a program, or with --partner one, in place of the program's terms
    #[command(after_help = "Examples:
  tributary payout-terms set --program prog_acme --schedule monthly --day 1 --minimum USD=5000 --minimum EUR=5000
  tributary payout-terms set --program prog_acme --partner mary --pay-in EUR")]
    Set(TermsSet),
    /// Remove the terms of a program, or with --partner those of one partner
    Remove(TermsPick),
    /// Print the terms of a program and of its partners, as Postgres has them
    Show(TermsShow),
}

#[derive(Debug, Args)]
pub(crate) struct TermsShow {
    /// The program
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) program: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct TermsPick {
    /// Of this partner alone
    #[arg(long, value_name = "PARTNER")]
    pub(crate) partner: Option<String>,
    #[command(flatten)]
    pub(crate) saying: Saying,
}

#[derive(Debug, Args)]
pub(crate) struct TermsSet {
    #[command(flatten)]
    pub(crate) pick: TermsPick,
    /// When drafts are made without anybody asking: manual, weekly or monthly, in UTC
    #[arg(long, value_name = "SCHEDULE", default_value = "manual")]
    pub(crate) schedule: String,
    /// Weekly: 1 (Monday) to 7. Monthly: 1 to 31, in a shorter month its last day
    #[arg(long, value_name = "DAY")]
    pub(crate) day: Option<u32>,
    /// The least amount of a draft, in minor units; once for each currency
    #[arg(long, value_name = "CURRENCY=MINOR")]
    pub(crate) minimum: Vec<String>,
    /// What everything is converted into at the draft [default: paid as earned]
    #[arg(long, value_name = "CURRENCY")]
    pub(crate) pay_in: Option<String>,
}

/// `partners`.
#[derive(Debug, Subcommand)]
pub(crate) enum Partners {
    /// Where a partner is paid: sealed before it reaches the log, and never shown
    #[command(subcommand)]
    Destination(DestinationCommand),
}

/// `partners destination`.
#[derive(Debug, Subcommand)]
pub(crate) enum DestinationCommand {
    /// Say where a partner is paid, as JSON on stdin or in a file: never as an argument, which other users can see
    #[command(
        after_help = "paypal takes one of email, phone and payer_id; wise takes name and email or recipient_id, or both, and recipient_type
(person or institution).

Examples:
  echo '{\"email\": \"mary@example.com\"}' | tributary partners destination set --program prog_acme --partner mary --method paypal
  tributary partners destination set --program prog_acme --partner mary --method wise --file mary.json"
    )]
    Set(DestinationSet),
    /// Say that a partner is paid nowhere any more
    Remove(DestinationRemove),
}

#[derive(Debug, Args)]
pub(crate) struct DestinationSet {
    /// Whose
    #[arg(long, value_name = "PARTNER")]
    pub(crate) partner: String,
    /// How: paypal or wise
    #[arg(long, value_name = "METHOD")]
    pub(crate) method: String,
    /// Read it from this file [default: stdin]
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) saying: Saying,
}

#[derive(Debug, Args)]
pub(crate) struct DestinationRemove {
    /// Whose
    #[arg(long, value_name = "PARTNER")]
    pub(crate) partner: String,
    #[command(flatten)]
    pub(crate) saying: Saying,
}

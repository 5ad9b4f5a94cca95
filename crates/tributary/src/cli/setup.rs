//! What is done before: configuration, topics, a first program.
use super::Place;
use clap::Args;
use kit::config::Layers;

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
    /// How that time is counted: days, or calendar (to the end of the month in which it is over, UTC)
    #[arg(long, value_name = "MODE", default_value = "days")]
    pub(crate) release: String,
    /// How long a commission is held at least after its conversion was accepted, in days
    #[arg(long, value_name = "DAYS", default_value_t = 0)]
    pub(crate) min_hold_days: u32,
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

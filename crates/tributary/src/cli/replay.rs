//! Other rules and other times.
use super::Place;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Balances {
    /// As they were at this moment (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) as_of: Option<String>,
    /// With --as-of: by all that is known at this later moment of what had happened by then
    #[arg(long, value_name = "TIME", requires = "as_of")]
    pub(crate) known_at: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// Rules that are to be tried, in TOML
    #[arg(long, value_name = "FILE", required_unless_present = "export_rules")]
    pub(crate) what_if: Option<PathBuf>,
    /// Print the rules in force in the form that --what-if reads
    #[arg(long, conflicts_with_all = ["what_if", "accept", "since"])]
    pub(crate) export_rules: bool,
    /// Of this program only
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) program: Option<String>,
    /// The rules count from this moment on (RFC 3339) [default: from the start]
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Ask the ledger for the forecast, commission by commission
    #[arg(long, requires = "what_if")]
    pub(crate) accept: bool,
    /// With --accept: why, for the record [default: accepted what-if]
    #[arg(long, value_name = "TEXT", requires = "accept")]
    pub(crate) reason: Option<String>,
    /// With --accept: who asks, for the record [default: the user's name]
    #[arg(long, value_name = "NAME", requires = "accept")]
    pub(crate) actor: Option<String>,
    /// Print JSON, with every commission
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

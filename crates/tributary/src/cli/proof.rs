//! What proves the record to others: verification, checkpoints, proofs.
use super::Place;
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) against: Against,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// A checkpoint, and whose signature it must have.
#[derive(Debug, Args)]
pub(crate) struct Against {
    /// A checkpoint that was kept elsewhere, to hold against
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// The public key that must have signed it, in hex [default: that of this installation's master key]
    #[arg(long, value_name = "HEX", requires = "checkpoint")]
    pub(crate) checkpoint_key: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CheckpointCommand {
    /// Write the signed head of each program's hash chain, to be kept where nobody who runs this can change it
    #[command(after_help = "Examples:
  tributary checkpoint export --out 2026-07-01.checkpoint.json
  tributary checkpoint export --program prog_acme | ssh vault 'cat > acme.json'
  tributary verify --checkpoint 2026-07-01.checkpoint.json

Works beside a running `up` and without one; needs no Postgres.")]
    Export(CheckpointExport),
    /// Print the public key that checks this installation's checkpoints
    Key(CheckpointKey),
}

#[derive(Debug, Args)]
pub(crate) struct CheckpointExport {
    /// Of this program only
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) program: Option<String>,
    /// The file to write, which must not exist [default: stdout]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct CheckpointKey {
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProofCommand {
    /// Print a commission's events with the hashes that lead from each to the root of its program's tree, as JSON
    #[command(after_help = "Examples:
  tributary proof show com_… --checkpoint 2026-07-01.checkpoint.json > com.proof.json
  tributary proof show com_…                     to the root where the log ends now

Exit status: 0 shown, 1 no such commission, 2 it could not run. Needs no Postgres.")]
    Show(ProofShow),
    /// Check a proof against a checkpoint, without the log
    #[command(after_help = "Example:
  tributary proof check com.proof.json --checkpoint 2026-07-01.checkpoint.json --checkpoint-key 3b6a…

Exit status: 0 proven, 1 refused, 2 it could not run.")]
    Check(ProofCheck),
}

#[derive(Debug, Args)]
pub(crate) struct ProofShow {
    /// The commission
    #[arg(value_name = "COMMISSION")]
    pub(crate) commission: String,
    #[command(flatten)]
    pub(crate) against: Against,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct ProofCheck {
    /// What `proof show` printed
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The checkpoint whose root it must lead to
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: PathBuf,
    /// The public key that must have signed it, in hex [default: that of this installation's master key]
    #[arg(long, value_name = "HEX")]
    pub(crate) checkpoint_key: Option<String>,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct EventsDump {
    /// Of this program only
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) program: Option<String>,
    #[command(flatten)]
    pub(crate) place: Place,
}

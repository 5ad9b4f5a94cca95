//! A provider's way in: endpoints and their secrets.
use super::Place;
use clap::{Args, Subcommand};

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

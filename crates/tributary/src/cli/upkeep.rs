//! What an operator moves and keeps: keys, snapshots, whole logs.
use super::Place;
use clap::{Args, Subcommand};
use std::path::PathBuf;

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

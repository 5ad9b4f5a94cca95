//! `tributary snapshots`: what there is, and deleting what an erasure made unwanted.
use crate::cli::{Snapshots, SnapshotsDelete, SnapshotsList};
use crate::parts::configure_quietly;
use crate::up::print_line;
use anyhow::Context as _;
use kit::config::Config;
use std::path::PathBuf;
use stream::log::Partition;
use stream::snapshot::{SnapshotDir, describe};

/// The services that keep state.
const SERVICES: [&str; 3] = ["normalizer", "attribution", "commission"];

/// Runs the command.
pub(crate) async fn snapshots(command: Snapshots) -> anyhow::Result<()> {
    // The directory may be on another machine.
    tokio::task::spawn_blocking(move || match command {
        Snapshots::List(args) => list(&args),
        Snapshots::Delete(args) => delete(&args),
    })
    .await?
}

fn directory(config: &Config) -> anyhow::Result<PathBuf> {
    let dir = config.snapshots.dir.clone();
    dir.context("no directory is named; set TRIBUTARY_SNAPSHOTS_DIR (or snapshots.dir in the --config file)")
}

fn list(args: &SnapshotsList) -> anyhow::Result<()> {
    let config = configure_quietly(&args.place.layers(&[]))?;
    let dir = directory(&config)?;
    for service in SERVICES {
        for (found, about) in describe(&SnapshotDir::of(&dir, service))? {
            let what = match about {
                Ok(about) => format!(
                    "frame {} at offset {}, {} rows, {} bytes, state version {}, logic version {}",
                    about.cursor.seq,
                    about.cursor.offset,
                    about.rows,
                    about.bytes,
                    about.state_version,
                    about.logic_version
                ),
                Err(error) => format!("unusable ({error}); delete the file"),
            };
            print_line(&format!(
                "{service} partition {}: {what}: {}",
                found.partition.0,
                found.path.display()
            ))?;
        }
    }
    Ok(())
}

fn delete(args: &SnapshotsDelete) -> anyhow::Result<()> {
    let config = configure_quietly(&args.place.layers(&[]))?;
    let dir = SnapshotDir::of(&directory(&config)?, &args.service);
    let partition = Partition(args.partition);
    let deleted = dir.delete_before(partition, args.before_seq)?;
    print_line(&format!("{deleted} deleted"))
}

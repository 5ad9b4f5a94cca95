//! What an operator is given to deploy with, used as it is: the compose file, the image, and the script for machines without
//! Docker. Linux only, like the image; names of tools that are missing are in the failures (`scripts/test` installs them).
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
mod compose;
mod container;
mod image;
mod runs;
mod up_kafka;

use std::path::{Path, PathBuf};

/// One at a time: each is a broker, a database and a handful of services on two cores.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// The top of the repository.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// What an image is made of here.
fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_tributary"))
}

//! Benchmarks that print ratios with both sides' figures. Nothing here is a test: no figure makes anything fail.
//!
//! `gateway`: acknowledged requests/s beside a bare axum handler in the same arrangement. `pipeline`: source events per
//! CPU-second through normalizer, attribution and commission. `restore`: state from snapshots and from offset 0. `latency`:
//! webhook to balance at a fixed rate. `timing`: whether the time of a refused signature tells anything.
#![allow(
    missing_docs,
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    reason = "a program that prints figures, not a library"
)]
mod gateway_bench;
mod http_load;
mod latency;
mod pipeline;
mod place;
mod restore;
mod timing;
mod usage;

use clap::{Parser, Subcommand};

/// The chain makes many small short-lived values; glibc's allocator was a third of its CPU time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Figures of Tributary on this machine.
#[derive(Debug, Parser)]
struct Arguments {
    /// Kafka bootstrap servers; without them the embedded log is measured.
    #[arg(long)]
    kafka_brokers: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Acknowledged requests per second beside a bare axum handler.
    Gateway {
        /// Seconds of each sample.
        #[arg(long, default_value_t = 5)]
        seconds: u64,
        /// Pairs of samples.
        #[arg(long, default_value_t = 5)]
        pairs: usize,
        /// Connections.
        #[arg(long, default_value_t = 256)]
        connections: usize,
    },
    /// Source events per CPU-second through three services.
    Pipeline {
        /// Events.
        #[arg(long, default_value_t = 200_000)]
        events: usize,
        /// Programs.
        #[arg(long, default_value_t = 1_000)]
        programs: usize,
        /// Customers; without it each event has a new one.
        #[arg(long)]
        customers: Option<usize>,
    },
    /// The state of each service restored from snapshots and from offset 0.
    Restore {
        /// Customers, each with one sale.
        #[arg(long, default_value_t = 1_000_000)]
        customers: usize,
        /// Programs.
        #[arg(long, default_value_t = 1_000)]
        programs: usize,
        /// Where to work; by default a temporary directory.
        #[arg(long)]
        dir: Option<std::path::PathBuf>,
    },
    /// Webhook to balance at a fixed rate, against a running `tributary up --demo`.
    Latency {
        /// Its address.
        #[arg(long)]
        url: String,
        /// Its database.
        #[arg(long)]
        database_url: String,
        /// Events per second.
        #[arg(long, default_value_t = 1_000)]
        rate: u64,
        /// Seconds.
        #[arg(long, default_value_t = 20)]
        seconds: u64,
    },
    /// Whether the time of a refused signature tells how much of it was right.
    Timing {
        /// Refusals of each check.
        #[arg(long, default_value_t = 1_000_000)]
        samples: usize,
    },
}

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "error".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    let arguments = Arguments::parse();
    let brokers = arguments.kafka_brokers.as_deref();
    match arguments.command {
        Command::Gateway { seconds, pairs, connections } => {
            gateway_bench::run(brokers, seconds, pairs, connections)
        }
        Command::Pipeline { events, programs, customers } => {
            pipeline::run(brokers, events, programs, customers.unwrap_or(events))
        }
        Command::Restore { customers, programs, dir } => {
            restore::run(brokers, customers, programs, dir.as_deref())
        }
        Command::Latency { url, database_url, rate, seconds } => {
            latency::run(&url, &database_url, rate, seconds)
        }
        Command::Timing { samples } => timing::run(samples),
    }
}

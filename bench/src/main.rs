//! Benchmarks that print ratios with both sides' figures. Nothing here is a test: no figure makes anything fail.
//!
//! `gateway`: acknowledged requests/s beside a bare axum handler in the same arrangement, and on Kafka beside a raw producer.
//! `pipeline`: source events per CPU-second through normalizer, attribution and commission. `tax` (feature `weaknesses`): the
//! same with and without the checks of exactly once. `restore`: state from snapshots and from offset 0. `latency`:
//! webhook to balance at a fixed rate. `rules`: one decision with few and with many rules. `timing`: whether the time of a
//! refused signature tells anything. `verify`: events/s of the proof, and its memory, which must not grow with them. `what-if`: what
//! other rules would have paid for many sales of one program.
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
mod raw;
mod restore;
mod rules;
mod timing;
mod usage;
mod verify;
mod what_if;

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
        /// Process of a broker on this machine, to tell its CPU time too.
        #[arg(long)]
        broker_pid: Option<u32>,
    },
    /// The same with and without the checks that make it exactly once.
    #[cfg(feature = "weaknesses")]
    Tax {
        /// Events of each sample.
        #[arg(long, default_value_t = 100_000)]
        events: usize,
        /// Pairs of samples.
        #[arg(long, default_value_t = 5)]
        pairs: usize,
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
        /// Data directory of `scripts/up-kafka`: tells what each of its processes took.
        #[arg(long)]
        processes_of: Option<std::path::PathBuf>,
    },
    /// One decision about a sale with few and with many rules in its program.
    Rules {
        /// What the rules ask for; by default one after another.
        #[arg(long, value_enum)]
        asks: Option<rules::Asks>,
        /// Rules, from few to many.
        #[arg(long, value_delimiter = ',', default_values_t = [1, 100, 10_000])]
        rules: Vec<usize>,
        /// Customers with a sale each, in the last part.
        #[arg(long, default_value_t = 1_000_000)]
        customers: usize,
        /// Rounds of a thousand decisions each.
        #[arg(long, default_value_t = 21)]
        rounds: usize,
    },
    /// What other rules would have paid for many sales.
    WhatIf {
        /// Sales of one program.
        #[arg(long, default_value_t = 100_000)]
        sales: usize,
    },
    /// Whether the time of a refused signature tells how much of it was right.
    Timing {
        /// Refusals of each check.
        #[arg(long, default_value_t = 1_000_000)]
        samples: usize,
    },
    /// The proof of a log and its read model, once with a quarter of the events and once with all.
    Verify {
        /// Events of `commissions`, about.
        #[arg(long, default_value_t = 1_000_000)]
        events: usize,
        /// Programs.
        #[arg(long, default_value_t = 1_000)]
        programs: usize,
        /// Proofs of each size.
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// Where to work; by default a temporary directory.
        #[arg(long)]
        dir: Option<std::path::PathBuf>,
    },
    /// One proof, for `verify`: in a process of its own, whose memory is what it took.
    #[command(hide = true)]
    VerifyOnce {
        /// The log's directory.
        #[arg(long)]
        log: std::path::PathBuf,
        /// The file with the database's URL.
        #[arg(long)]
        database_url_file: std::path::PathBuf,
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
        Command::Pipeline { events, programs, customers, broker_pid } => {
            let customers = customers.unwrap_or(events);
            pipeline::run(pipeline::Work { brokers, events, programs, customers, broker_pid })
        }
        #[cfg(feature = "weaknesses")]
        Command::Tax { events, pairs } => {
            let work =
                pipeline::Work { brokers, events, programs: 1_000, customers: events, broker_pid: None };
            pipeline::tax(work, pairs)
        }
        Command::Restore { customers, programs, dir } => {
            restore::run(brokers, customers, programs, dir.as_deref())
        }
        Command::Latency { url, database_url, rate, seconds, processes_of } => {
            latency::run(&url, &database_url, rate, seconds, processes_of.as_deref())
        }
        Command::Rules { asks, rules, customers, rounds } => rules::run(asks, &rules, customers, rounds),
        Command::WhatIf { sales } => what_if::run(brokers, sales),
        Command::Timing { samples } => timing::run(samples),
        Command::Verify { events, programs, rounds, dir } => {
            verify::run(events, programs, rounds, dir.as_deref())
        }
        Command::VerifyOnce { log, database_url_file } => verify::once(&log, &database_url_file),
    }
}

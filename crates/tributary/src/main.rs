//! The binary: subcommands and wiring, nothing else.
//!
//! A table of contents: [`cli`] says what there is; [`up`] runs everything in one process, [`stage`] one service; [`report`]
//! answers `balances`, `verify` and `events find`, [`proof`] proves to others. What they start is in the crates below.
mod admin;
mod brokers;
mod cli;
mod csv;
mod database;
mod demo;
mod endpoint;
mod explain;
mod export;
mod health;
mod import;
mod init;
mod keys;
mod parts;
mod payment_files;
mod payout_look;
mod payouts;
mod proof;
mod provider_facts;
mod quarantine;
mod report;
mod sample;
mod services_task;
mod settle;
mod snapshots;
mod stage;
mod statement;
mod up;
mod what_if;

use clap::Parser as _;
use cli::{Cli, Command, EndpointCommand, Events, PayoutsCommand, Quarantine};
use nix::sys::stat::{Mode, umask};
use std::process::ExitCode;

/// The chain makes many small short-lived values; glibc's allocator was a third of its CPU time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `verify` and other commands that could not do their work.
const COULD_NOT_RUN: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    // Whatever we write is ours alone.
    umask(Mode::from_bits_truncate(0o077));
    let cli = Cli::parse();
    let answers_by_status = matches!(
        cli.command,
        Command::Verify(_)
            | Command::Proof(_)
            | Command::Explain(_)
            | Command::Replay(_)
            | Command::Topics(_)
            | Command::Quarantine(Quarantine::Retry(_))
            | Command::Payouts(PayoutsCommand::Write(_))
            | Command::PayoutTerms(_)
            | Command::Partners(_)
            | Command::Rates(_)
            | Command::WriteOff(_)
    );
    let could_not_run = if answers_by_status { COULD_NOT_RUN } else { 1 };
    match run(cli.command).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("tributary: error: {error:#}");
            ExitCode::from(could_not_run)
        }
    }
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up(args) => up::up(&args).await?,
        Command::Init(args) => init::init(&args).await?,
        Command::Endpoint(EndpointCommand::Add(args)) => endpoint::add(&args).await?,
        Command::Endpoint(EndpointCommand::List(args)) => endpoint::list(&args).await?,
        Command::Endpoint(EndpointCommand::Rotate(args)) => endpoint::rotate(&args).await?,
        Command::Endpoint(EndpointCommand::RemoveSecret(args)) => endpoint::remove_secret(&args).await?,
        Command::Gateway(args) => stage::gateway(&args).await?,
        Command::Normalizer(args) => stage::normalizer(&args).await?,
        Command::Attribution(args) => stage::attribution(&args).await?,
        Command::Commission(args) => stage::commission(&args).await?,
        Command::Projector(args) => stage::projector(&args).await?,
        Command::Topics(args) => return brokers::topics(&args).await,
        Command::Keys(command) => keys::keys(&command).await?,
        Command::Snapshots(command) => snapshots::snapshots(command).await?,
        Command::Migrate(args) => report::migrate(&args).await?,
        Command::CheckConfig(args) => report::check_config(&args)?,
        Command::Health(args) => return health::health(&args).await,
        Command::Demo(args) => stage::demo(&args).await?,
        Command::Openapi => up::print_line(gateway::openapi().trim_end())?,
        Command::Payouts(PayoutsCommand::Look(command)) => payout_look::payouts(&command).await?,
        Command::Statement(args) => statement::statement(&args).await?,
        Command::Balances(args) => report::balances(&args).await?,
        Command::Payouts(PayoutsCommand::Write(command)) => return payouts::payouts(&command).await,
        Command::PayoutTerms(command) => return payouts::terms(&command).await,
        Command::Partners(command) => return payouts::partners(&command).await,
        Command::Rates(command) => return payouts::rates(&command).await,
        Command::WriteOff(args) => return payouts::write_off(&args).await,
        Command::Verify(args) => return report::verify(&args).await,
        Command::Checkpoint(command) => proof::checkpoint(&command).await?,
        Command::Proof(command) => return proof::proof(&command).await,
        Command::Explain(args) => return explain::explain(&args).await,
        Command::Replay(args) => return what_if::replay(&args).await,
        Command::Export(args) => export::export(&args).await?,
        Command::Import(args) => import::import(&args).await?,
        Command::Events(Events::Find(args)) => report::find(&args).await?,
        Command::Events(Events::Dump(args)) => proof::dump(&args).await?,
        Command::Quarantine(Quarantine::List(args)) => quarantine::list(&args).await?,
        Command::Quarantine(Quarantine::Show(args)) => quarantine::show(&args).await?,
        Command::Quarantine(Quarantine::Retry(args)) => return quarantine::retry(&args).await,
    }
    Ok(ExitCode::SUCCESS)
}

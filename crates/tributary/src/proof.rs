//! `checkpoint`, `proof` and `events dump`: what is recorded about money, so that others can check it.
use crate::cli::{
    Against, CheckpointCommand, CheckpointExport, CheckpointKey, EventsDump, ProofCheck, ProofCommand,
    ProofShow,
};
use crate::parts::{configure_quietly, open_log_read_only};
use crate::up::print_line;
use anyhow::{Context as _, bail};
use domain::chain::kind_of;
use domain::ids::ProgramId;
use kit::config::Config;
use kit::master_key::{MasterKey, VARIABLE};
use kit::signing::{PublicKey, Signer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use services::proof::{self, Checkpoint, Proof, ProofError, Refused};
use services::verify::KeptHead;
use std::fs::OpenOptions;
use std::io::{BufWriter, ErrorKind, Write as _};
use std::path::Path;
use std::process::ExitCode;

/// No such commission; or what was given proves nothing.
const NOT_PROVEN: u8 = 1;

/// Runs `checkpoint`.
pub(crate) async fn checkpoint(command: &CheckpointCommand) -> anyhow::Result<()> {
    match command {
        CheckpointCommand::Export(args) => export(args).await,
        CheckpointCommand::Key(args) => key(args),
    }
}

/// Runs `proof`.
pub(crate) async fn proof(command: &ProofCommand) -> anyhow::Result<ExitCode> {
    match command {
        ProofCommand::Show(args) => show(args).await,
        ProofCommand::Check(args) => check(args),
    }
}

async fn export(args: &CheckpointExport) -> anyhow::Result<()> {
    let config = configure_quietly(&args.place.layers(&[]))?;
    let signer = signer(&config)?;
    let log = open_log_read_only(&config).await?;
    let only = args.program.as_deref().map(ProgramId::from);
    let checkpoint = proof::export(&log, only.as_ref(), &signer).await?;
    let text = serde_json::to_string_pretty(&checkpoint)?;
    let Some(path) = &args.out else { return print_line(&text) };
    // Never over another one: an older checkpoint is worth more than a newer.
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).with_context(|| {
        format!("checkpoint {} cannot be created; name a file that does not exist", path.display())
    })?;
    writeln!(file, "{text}").and_then(|()| file.sync_all()).with_context(|| path.display().to_string())?;
    print_line(&format!(
        "{}: {} programs, signed by key {}; keep it where nobody who runs this can change it",
        path.display(),
        checkpoint.programs.len(),
        checkpoint.key_id
    ))
}

fn key(args: &CheckpointKey) -> anyhow::Result<()> {
    let config = configure_quietly(&args.place.layers(&[]))?;
    print_line(&signer(&config)?.public().to_hex())
}

async fn show(args: &ProofShow) -> anyhow::Result<ExitCode> {
    let config = configure_quietly(&args.place.layers(&[]))?;
    let kept = kept_heads(&config, &args.against)?;
    let log = open_log_read_only(&config).await?;
    match proof::prove(&log, &args.commission, kept.as_deref()).await? {
        Some(proof) => {
            print_line(&serde_json::to_string_pretty(&proof)?)?;
            Ok(ExitCode::SUCCESS)
        }
        None => {
            eprintln!("tributary: commission {} is not in this log", args.commission);
            Ok(ExitCode::from(NOT_PROVEN))
        }
    }
}

fn check(args: &ProofCheck) -> anyhow::Result<ExitCode> {
    let config = configure_quietly(&args.place.layers(&[]))?;
    let key = public_key(&config, args.checkpoint_key.as_deref())?;
    let checkpoint: Checkpoint = read("checkpoint", &args.checkpoint)?;
    let proof: Proof = read("proof", &args.file)?;
    let checked = proof::check(&checkpoint, &key).and_then(|kept| proof::check_proof(&proof, &kept));
    if let Err(Refused { field, reason }) = checked {
        eprintln!("tributary: refused: {field}: {reason}");
        return Ok(ExitCode::from(NOT_PROVEN));
    }
    print_line(&format!(
        "ok: {} events of {} are in the record of {} up to event {}, which key {} signed",
        proof.leaves.len(),
        proof.commission_id,
        proof.program_id,
        proof.events,
        checkpoint.key_id
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// One line of `events dump`.
#[derive(Serialize)]
struct Line<'a> {
    program_id: &'a str,
    position: u64,
    partition: u32,
    frame: u64,
    kind: &'static str,
    event: String,
}

/// `events dump`.
pub(crate) async fn dump(args: &EventsDump) -> anyhow::Result<()> {
    let config = configure_quietly(&args.place.layers(&[]))?;
    let log = open_log_read_only(&config).await?;
    let only = args.program.as_deref().map(ProgramId::from);
    let mut out = BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
    let dumped = proof::each_chained(&log, only.as_ref(), |chained| {
        let line = Line {
            program_id: chained.program.as_str(),
            position: chained.position,
            partition: chained.partition.0,
            frame: chained.frame,
            kind: kind_of(chained.event),
            event: hex::encode(chained.bytes),
        };
        serde_json::to_writer(&mut out, &line).map_err(std::io::Error::from)?;
        out.write_all(b"\n")?;
        Ok(())
    })
    .await;
    match dumped.and_then(|()| Ok(out.flush()?)) {
        // Whoever reads has seen enough.
        Err(ProofError::Write(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        dumped => Ok(dumped?),
    }
}

/// The heads of the checkpoint that was named, once its signature is checked.
pub(crate) fn kept_heads(config: &Config, against: &Against) -> anyhow::Result<Option<Vec<KeptHead>>> {
    let Some(path) = &against.checkpoint else { return Ok(None) };
    let key = public_key(config, against.checkpoint_key.as_deref())?;
    let checkpoint: Checkpoint = read("checkpoint", path)?;
    Ok(Some(proof::check(&checkpoint, &key)?))
}

fn read<T: DeserializeOwned>(what: &str, path: &Path) -> anyhow::Result<T> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("{what} {} cannot be read", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{what} {} is not one", path.display()))
}

fn public_key(config: &Config, given: Option<&str>) -> anyhow::Result<PublicKey> {
    match given {
        Some(text) => PublicKey::parse(text).map_err(|error| anyhow::anyhow!("--checkpoint-key {error}")),
        None => Ok(signer(config)
            .context("name the key that must have signed the checkpoint with --checkpoint-key")?
            .public()),
    }
}

/// The installation's signer. No command here makes a master key: a new one would sign for nobody.
fn signer(config: &Config) -> anyhow::Result<Signer> {
    if !MasterKey::is_given(&config.data_dir) {
        bail!(
            "there is no master key in {}; name the data directory with --data-dir, or give the key in {VARIABLE} or {VARIABLE}_FILE",
            config.data_dir.display()
        );
    }
    Ok(Signer::of(&MasterKey::load_or_create(&config.data_dir)?))
}

//! What leaves the installation to prove its record: checkpoints, proofs of inclusion, the events themselves. Through the
//! command line, on a running system.
use crate::installation::{Installation, Target};
use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use stream::keys::KeyStore as _;
use stream::keys_file::FileKeyStore;
use testkit::process::Setup;
use tokio::io::AsyncWriteExt as _;

#[tokio::test(flavor = "multi_thread")]
async fn the_record_is_proven_to_others_and_a_rewritten_one_is_not_on_the_embedded_log() -> Result<()> {
    record(Target::Embedded).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_is_proven_to_others_and_a_rewritten_one_is_not_on_kafka() -> Result<()> {
    record(Target::Kafka).await
}

async fn record(target: Target) -> Result<()> {
    let installation = Installation::small(target, "proof").await?;
    let setup = &installation.setup;
    let running = setup.start(None).await?;
    installation.settled("prog_demo").await?;
    installation.verify_is_clean().await?;
    let key = text(&done(setup, &["checkpoint", "key"]).await?)?;
    // The services append ticks all the time; what is compared with one another is taken at rest.
    assert!(running.terminate().await?.success());
    let kept = installation.directory.path().join("kept.json");
    let kept_name = name(&kept)?;
    done(setup, &["checkpoint", "export", "--out", kept_name]).await?;
    let checkpoint: Value = serde_json::from_str(&std::fs::read_to_string(&kept)?)?;
    refused(setup, &["checkpoint", "export", "--out", kept_name], 1, "name a file that does not exist")
        .await?;

    computed_by_others(setup, &checkpoint).await?;
    let commission = commission(&installation).await?;
    let proof = installation.directory.path().join("proof.json");
    let shown = done(setup, &["proof", "show", &commission, "--checkpoint", kept_name]).await?;
    std::fs::write(&proof, &shown.stdout)?;
    proofs(setup, &proof, &kept, key.trim()).await?;

    // Everything that is sealed under persons' keys is lost; the record is not.
    let keys = FileKeyStore::open(&setup.data_dir.join("keys"))?;
    let subjects = keys.subjects();
    assert!(!subjects.is_empty());
    for subject in subjects {
        keys.destroy(subject).await?;
    }
    drop(keys);
    let running = setup.start(None).await?;
    let said = text(&done(setup, &["verify", "--checkpoint", kept_name]).await?)?;
    assert!(said.contains("heads of the checkpoint"), "{said}");
    assert!(running.terminate().await?.success());
    done(setup, &["proof", "check", name(&proof)?, "--checkpoint", kept_name]).await?;
    assert_eq!(
        done(setup, &["proof", "show", &commission, "--checkpoint", kept_name]).await?.stdout,
        shown.stdout
    );

    if target == Target::Embedded {
        rewritten(&installation, kept_name).await?;
    }
    Ok(())
}

/// The independent script comes to the same heads from the events alone.
async fn computed_by_others(setup: &Setup, checkpoint: &Value) -> Result<()> {
    let dumped = done(setup, &["events", "dump"]).await?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/independent_chain.py");
    let mut python = tokio::process::Command::new("python3")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("python3")?;
    let mut stdin = python.stdin.take().context("stdin is piped")?;
    let events = dumped.stdout.clone();
    let writing = tokio::spawn(async move { stdin.write_all(&events).await });
    let output = python.wait_with_output().await?;
    writing.await??;
    assert!(output.status.success());
    let computed: BTreeMap<String, Value> = serde_json::from_slice(&output.stdout)?;
    let signed: BTreeMap<String, Value> = checkpoint["programs"]
        .as_array()
        .context("programs")?
        .iter()
        .map(|head| {
            let id = head["program_id"].as_str().unwrap_or_default().to_owned();
            (id, json!({"events": head["events"], "link": head["link"], "root": head["root"]}))
        })
        .collect();
    assert!(signed["prog_demo"]["events"].as_u64().is_some_and(|events| events > 10), "{checkpoint}");
    assert_eq!(computed, signed);
    let lines = dumped.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count() as u64;
    let events: u64 = signed.values().filter_map(|head| head["events"].as_u64()).sum();
    assert_eq!(lines, events);
    Ok(())
}

/// A proof is checked without the installation, and refused where anything was changed.
async fn proofs(setup: &Setup, proof: &Path, kept: &Path, key: &str) -> Result<()> {
    let elsewhere =
        Setup { data_dir: setup.data_dir.with_extension("nowhere"), kafka: None, ..setup.clone() };
    let (proof_name, kept_name) = (name(proof)?, name(kept)?);
    let check = ["proof", "check", proof_name, "--checkpoint", kept_name];
    let with_key = [&check[..], &["--checkpoint-key", key]].concat();
    let said = text(&done(&elsewhere, &with_key).await?)?;
    assert!(said.starts_with("ok: "), "{said}");
    refused(&elsewhere, &check, 2, "--checkpoint-key").await?;
    let other_key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    refused(&elsewhere, &[&check[..], &["--checkpoint-key", other_key]].concat(), 1, "checkpoint.key_id")
        .await?;

    let text = std::fs::read_to_string(proof)?;
    let mut changed: Value = serde_json::from_str(&text)?;
    let event = changed["leaves"][0]["event"].as_str().context("an event")?.to_owned();
    let last = if event.ends_with('0') { "1" } else { "0" };
    changed["leaves"][0]["event"] = json!(format!("{}{last}", &event[..event.len() - 1]));
    let path = proof.with_extension("changed.json");
    std::fs::write(&path, changed.to_string())?;
    let check = ["proof", "check", name(&path)?, "--checkpoint", kept_name, "--checkpoint-key", key];
    refused(&elsewhere, &check, 1, "leaves[0].path").await?;

    // A signature that was changed; a checkpoint of another program; no checkpoint at all.
    let mut forged: Value = serde_json::from_str(&std::fs::read_to_string(kept)?)?;
    let programs = forged["programs"].as_array_mut().context("programs")?;
    programs.iter_mut().for_each(|head| head["events"] = json!(1));
    let path = kept.with_extension("forged.json");
    std::fs::write(&path, forged.to_string())?;
    refused(setup, &["verify", "--checkpoint", name(&path)?], 2, "checkpoint.signature").await?;
    let foreign = kept.with_extension("foreign.json");
    let id = shown_program(&text)?;
    let others: Value = serde_json::from_str(&std::fs::read_to_string(kept)?)?;
    let other =
        others["programs"].as_array().context("programs")?.iter().find(|head| head["program_id"] != *id);
    let other = other.context("another program")?["program_id"].as_str().unwrap_or_default().to_owned();
    done(setup, &["checkpoint", "export", "--program", &other, "--out", name(&foreign)?]).await?;
    let check = ["proof", "check", proof_name, "--checkpoint", name(&foreign)?, "--checkpoint-key", key];
    refused(&elsewhere, &check, 1, "program_id").await?;
    refused(setup, &["verify", "--checkpoint", proof_name], 2, "is not one").await?;
    refused(setup, &["proof", "show", "com_unknown"], 1, "is not in this log").await?;
    Ok(())
}

fn shown_program(proof: &str) -> Result<String> {
    let proof: Value = serde_json::from_str(proof)?;
    Ok(proof["program_id"].as_str().context("a program")?.to_owned())
}

/// Whoever has the master key makes the same programs with another history: everything fits everything but the checkpoint.
async fn rewritten(installation: &Installation, kept: &str) -> Result<()> {
    let data_dir: PathBuf = installation.directory.path().join("rewritten");
    std::fs::create_dir(&data_dir)?;
    std::fs::copy(installation.setup.data_dir.join("master.key"), data_dir.join("master.key"))?;
    let setup = Setup { data_dir, ..installation.setup.clone() };
    let running = setup.start(None).await?;
    done(&setup, &["verify"]).await?;
    let output = setup.run(&["verify", "--json", "--checkpoint", kept]).await?;
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let problems = report["problems"].as_array().context("problems")?;
    assert!(
        !problems.is_empty() && problems.iter().all(|problem| problem["kind"] == "checkpoint"),
        "{report:#}"
    );
    assert!(running.terminate().await?.success());
    Ok(())
}

async fn commission(installation: &Installation) -> Result<String> {
    let server = readmodel::private_postgres::PrivatePostgres::start(&installation.setup.data_dir).await?;
    let database = sqlx::PgPool::connect(server.url()).await?;
    // One with several events.
    let id = sqlx::query_scalar(
        "select commission_id from tributary.commission_events where program_id = 'prog_demo'
         group by 1 order by count(*) desc, 1 limit 1",
    )
    .fetch_one(&database)
    .await?;
    database.close().await;
    server.stop().await?;
    Ok(id)
}

async fn done(setup: &Setup, command: &[&str]) -> Result<Output> {
    let output = setup.run(command).await?;
    if !output.status.success() {
        bail!(
            "{command:?}: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(output)
}

async fn refused(setup: &Setup, command: &[&str], code: i32, says: &str) -> Result<()> {
    let output = setup.run(command).await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() == Some(code) && said.contains(says),
        "{command:?}: {} {said}",
        output.status
    );
    Ok(())
}

fn text(output: &Output) -> Result<String> {
    Ok(String::from_utf8(output.stdout.clone())?)
}

fn name(path: &Path) -> Result<&str> {
    path.to_str().context("a path of plain letters")
}

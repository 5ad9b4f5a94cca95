//! The compose file as compose's own parser reads it, and what must be true of every service in it.
use crate::repository;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;

/// The parsed file: anchors resolved, variables of the environment put in.
#[derive(Debug)]
pub(crate) struct Compose(Value);

/// One service.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) definition: Value,
}

impl Compose {
    /// Has the file checked and resolved by compose: the plugin where Docker is, else the stand-alone program.
    pub(crate) fn read() -> Result<Self> {
        let plugin = Command::new("docker").args(["compose", "version"]).output();
        let mut command = match plugin {
            Ok(output) if output.status.success() => {
                let mut docker = Command::new("docker");
                docker.arg("compose");
                docker
            }
            _ => Command::new("docker-compose"),
        };
        let output = command
            .args(["--file", "docker-compose.yml", "--profile", "tools", "config"])
            .current_dir(repository())
            .output()
            .context(
                "neither `docker compose` nor `docker-compose` is installed; scripts/test installs one",
            )?;
        ensure!(output.status.success(), "compose refuses: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout)?;
        Ok(Self(serde_saphyr::from_str(&text).context("what compose prints is YAML")?))
    }

    pub(crate) fn services(&self) -> Result<Vec<Service>> {
        let services = self.0["services"].as_object().context("services")?;
        Ok(services
            .iter()
            .map(|(name, definition)| Service { name: name.clone(), definition: definition.clone() })
            .collect())
    }

    pub(crate) fn service(&self, name: &str) -> Result<Service> {
        let found = self.services()?.into_iter().find(|service| service.name == name);
        found.with_context(|| format!("a service {name}"))
    }
}

impl Service {
    /// From the image of this repository.
    pub(crate) fn is_ours(&self) -> bool {
        self.definition["build"].is_object()
    }

    /// Ends by itself; others wait for that.
    pub(crate) fn is_job(&self) -> bool {
        self.definition["restart"] == "on-failure"
    }

    /// Only started when it is asked for.
    pub(crate) fn is_tool(&self) -> bool {
        self.definition["profiles"].is_array()
    }

    pub(crate) fn words(&self, pointer: &str) -> Vec<String> {
        let value = self.definition.pointer(pointer);
        let words = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        words.iter().map(plain).collect()
    }

    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        match &self.definition["environment"] {
            Value::Object(map) => map.iter().map(|(name, value)| (name.clone(), plain(value))).collect(),
            _ => BTreeMap::new(),
        }
    }

    /// (service, condition).
    pub(crate) fn waits_for(&self) -> Vec<(String, String)> {
        let Value::Object(map) = &self.definition["depends_on"] else { return Vec::new() };
        map.iter().map(|(name, how)| (name.clone(), plain(&how["condition"]))).collect()
    }

    /// The command of its health check, without its kind.
    pub(crate) fn health_check(&self) -> Result<Vec<String>> {
        let words = self.words("/healthcheck/test");
        match words.split_first() {
            Some((kind, rest)) if kind == "CMD" => Ok(rest.to_vec()),
            _ => bail!("{} has no health check that runs without a shell: {words:?}", self.name),
        }
    }
}

/// A scalar as the process behind it gets to see it.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn published_on_loopback(service: &Service) -> bool {
    service.definition["ports"].as_array().into_iter().flatten().all(|port| match port {
        Value::String(short) => short.starts_with("127.0.0.1:"),
        long => long["host_ip"] == "127.0.0.1",
    })
}

#[test]
fn compose_takes_the_file_and_every_service_is_confined_checked_and_reached_from_this_machine_alone()
-> Result<()> {
    let compose = Compose::read()?;
    let mut commands = Vec::new();
    for service in compose.services()? {
        let Service { name, definition } = &service;
        assert!(published_on_loopback(&service), "{name} is published beyond loopback");
        assert_eq!(definition["security_opt"], serde_json::json!(["no-new-privileges:true"]), "{name}");
        let image = definition["image"].as_str().context("an image")?;
        for (variable, value) in service.environment() {
            let secret = ["PASSWORD", "SECRET", "MASTER_KEY", "DATABASE_URL"];
            let hidden =
                !secret.iter().any(|word| variable.contains(word)) || value.starts_with("/run/secrets/");
            assert!(hidden, "{name}: {variable} is a secret and comes in a file");
        }
        if !service.is_ours() {
            assert!(
                image.rsplit_once(':').is_some_and(|(_, tag)| tag.contains('.')),
                "{name}: {image} is not pinned"
            );
            assert!(
                definition["healthcheck"]["test"].is_array() && definition["restart"] == "unless-stopped",
                "{name}"
            );
            continue;
        }
        assert_eq!(definition["read_only"], true, "{name}");
        assert_eq!(definition["cap_drop"], serde_json::json!(["ALL"]), "{name}");
        if !service.is_job() && !service.is_tool() {
            assert_eq!(service.health_check()?, ["tributary", "health"], "{name}");
            assert_eq!(definition["restart"], "unless-stopped", "{name}");
            assert!(
                service.waits_for().iter().any(|(other, _)| other == "topics"),
                "{name} needs its topics"
            );
            commands.push(service.words("/command").join(" "));
        }
    }
    commands.sort_unstable();
    assert_eq!(commands, ["attribution", "commission", "gateway", "gateway", "normalizer", "projector"]);
    Ok(())
}

#[test]
fn what_is_shipped_is_what_is_tested() -> Result<()> {
    let script = std::fs::read_to_string(repository().join("scripts/kafka"))?;
    let version =
        script.lines().find_map(|line| line.strip_prefix("readonly VERSION=")).context("a version")?;
    assert_eq!(Compose::read()?.service("kafka")?.definition["image"], format!("apache/kafka:{version}"));
    let manifest = std::fs::read_to_string(repository().join("Cargo.toml"))?;
    let rust = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).context("a version")?;
    let dockerfile = std::fs::read_to_string(repository().join("deploy/docker/Dockerfile"))?;
    let builder = format!("FROM rust:{}.", rust.trim_matches('"'));
    assert!(dockerfile.contains(&builder), "the builder is Rust {rust}, pinned");
    Ok(())
}

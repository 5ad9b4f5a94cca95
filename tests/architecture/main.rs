//! The arrows between the crates, as ARCHITECTURE.md draws them. A new arrow fails here until it is argued for there.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Which of our crates each crate may depend on. Never sideways between services, never upward; `kit` is a leaf.
const ARROWS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("kit", &[]),
    ("wire", &["domain"]),
    ("sources", &["domain"]),
    ("stream", &["domain", "wire"]),
    ("readmodel", &["domain", "wire", "stream"]),
    ("keystore", &["domain", "stream"]),
    ("gateway", &["domain", "wire", "sources", "stream", "kit"]),
    ("services", &["domain", "wire", "sources", "stream", "readmodel", "kit"]),
    (
        "tributary",
        &["domain", "wire", "sources", "stream", "readmodel", "keystore", "gateway", "services", "kit"],
    ),
    // Development only: nothing above depends on these outside its tests.
    ("testkit", &["domain", "wire", "stream", "kit"]),
    // The test of the whole chain in simulated time.
    ("simulation", &["domain", "wire", "stream", "services"]),
    ("bench", &["domain", "wire", "sources", "stream", "readmodel", "gateway", "services", "kit", "testkit"]),
];

/// What the tests of a crate may use beyond its own arrows.
const TEST_ARROWS: &[(&str, &[&str])] = &[
    ("stream", &["testkit"]),
    ("readmodel", &["testkit"]),
    // For a private Postgres, and to see that neither takes the other's database.
    ("keystore", &["readmodel"]),
    ("gateway", &["testkit"]),
    ("services", &["testkit"]),
    ("tributary", &["testkit"]),
];

/// External crates that only some of ours may touch, and why.
const CONFINED: &[(&str, &[&str], &str)] = &[
    ("rdkafka", &["stream", "testkit", "bench"], "one crate knows what a Kafka client does wrong"),
    ("fjall", &["stream"], "the store is a cache behind one trait"),
    (
        "sqlx",
        &["readmodel", "keystore", "services", "tributary", "testkit", "bench"],
        "statements live in `readmodel` and `keystore`; others only pass the pool on",
    ),
    ("axum", &["gateway", "kit", "tributary", "testkit", "bench"], "HTTP stays at the edge"),
];

/// Everything that the pure crates may depend on: no runtime, no clock, no randomness, no I/O. `time` is there for the calendar;
/// its clock is banned by name in each crate's `clippy.toml`.
const PURE: &[(&str, &[&str])] = &[
    ("domain", &["serde", "postcard", "sha2", "hmac", "bytes", "thiserror", "time"]),
    (
        "sources",
        &["serde", "serde_json", "hmac", "sha2", "subtle", "hex", "time", "thiserror", "bytes", "base64"],
    ),
];

#[derive(Debug, Default)]
struct Dependencies {
    ours: BTreeSet<String>,
    ours_in_tests: BTreeSet<String>,
    external: BTreeSet<String>,
    manifest: String,
}

fn short(name: &str) -> String {
    name.strip_prefix("tributary-").unwrap_or(name).to_owned()
}

fn workspace() -> BTreeMap<String, Dependencies> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut crates = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let mut found = Dependencies {
            manifest: std::fs::read_to_string(package["manifest_path"].as_str().unwrap()).unwrap(),
            ..Dependencies::default()
        };
        for dependency in package["dependencies"].as_array().unwrap() {
            let name = dependency["name"].as_str().unwrap();
            let in_tests = dependency["kind"] == "dev";
            match (dependency["path"].is_string(), in_tests) {
                (true, false) => found.ours.insert(short(name)),
                (true, true) => found.ours_in_tests.insert(short(name)),
                (false, false) => found.external.insert(name.to_owned()),
                (false, true) => continue,
            };
        }
        // Build dependencies run on the builder's machine; `wire` compiles the proto there.
        for dependency in package["dependencies"].as_array().unwrap() {
            if dependency["kind"] == "build" {
                found.external.remove(dependency["name"].as_str().unwrap());
            }
        }
        crates.insert(short(package["name"].as_str().unwrap()), found);
    }
    crates
}

fn allowed(table: &[(&str, &[&str])], name: &str) -> BTreeSet<String> {
    table
        .iter()
        .filter(|(from, _)| *from == name)
        .flat_map(|(_, to)| to.iter().map(|to| (*to).to_owned()))
        .collect()
}

#[test]
fn every_arrow_between_crates_is_one_that_architecture_md_draws() {
    let mut wrong = Vec::new();
    for (name, found) in workspace() {
        if !ARROWS.iter().any(|(known, _)| *known == name) {
            wrong.push(format!("{name}: a crate that ARCHITECTURE.md and this test do not know"));
            continue;
        }
        let normal = allowed(ARROWS, &name);
        for target in found.ours.difference(&normal) {
            wrong.push(format!("{name} -> {target}"));
        }
        let in_tests = allowed(TEST_ARROWS, &name);
        for target in found.ours_in_tests.difference(&normal) {
            // A crate may name itself, to switch a feature on for its own tests.
            if !in_tests.contains(target) && *target != name {
                wrong.push(format!("{name} -> {target} (tests)"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "new arrows; argue for them in ARCHITECTURE.md or remove them:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn the_pure_crates_depend_on_nothing_that_does_input_or_output() {
    let crates = workspace();
    for (name, permitted) in PURE {
        for external in &crates[*name].external {
            assert!(
                permitted.contains(&external.as_str()),
                "{name} is pure and may not depend on {external}"
            );
        }
    }
}

#[test]
fn kafka_the_store_sql_and_http_stay_in_the_crates_that_wrap_them() {
    for (name, found) in workspace() {
        for (external, homes, why) in CONFINED {
            assert!(
                !found.external.contains(*external) || homes.contains(&name.as_str()),
                "{name} depends on {external}, which belongs to {homes:?}: {why}"
            );
        }
    }
}

#[test]
fn every_crate_obeys_the_lints_of_the_workspace() {
    for (name, found) in workspace() {
        assert!(
            found.manifest.contains("[lints]\nworkspace = true"),
            "{name} does not inherit the workspace's lints"
        );
    }
}

//! What the binary says about its settings: everything, with its place, and no secret; also when it fails.
use anyhow::Result;
use std::process::{Command, Output};

const PASSWORD: &str = "canary_password";
const MASTER: &str = "ca11a4b1ca11a4b1ca11a4b1ca11a4b1ca11a4b1ca11a4b1ca11a4b1ca11a4b1\
                      ca11a4b1ca11a4b1ca11a4b1ca11a4b1ca11a4b1ca11a4b1ca11a4b1ca11a4b1";

fn run(arguments: &[&str], data_dir: &std::path::Path) -> Result<Output> {
    Ok(Command::new(env!("CARGO_BIN_EXE_tributary"))
        .args(arguments)
        .arg("--data-dir")
        .arg(data_dir)
        .env("DATABASE_URL", format!("postgres://canary_user:{PASSWORD}@127.0.0.1:9/t?password={PASSWORD}"))
        .env("TRIBUTARY_MASTER_KEY", MASTER)
        .env("TRIBUTARY_LIMITS_DRAIN_MS", "7")
        .output()?)
}

#[test]
fn the_configuration_is_shown_with_the_place_of_each_value_and_no_command_shows_a_secret() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let data_dir = directory.path().join("data");
    let place = data_dir.display().to_string();
    let dumps: [&[&str]; 7] = [
        &["up", "--dump-config"],
        &["gateway", "--dump-config"],
        &["normalizer", "--dump-config"],
        &["attribution", "--dump-config"],
        &["commission", "--dump-config"],
        &["projector", "--dump-config"],
        &["check-config", "--dump"],
    ];
    let mut seen = Vec::new();
    for arguments in dumps {
        let output = run(arguments, &data_dir)?;
        let text = String::from_utf8(output.stdout)?;
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        for line in [
            "# master key: environment TRIBUTARY_MASTER_KEY",
            "database_url = \"postgres://…@127.0.0.1:9/t?…\" # environment DATABASE_URL",
            "drain_ms = 7 # environment TRIBUTARY_LIMITS_DRAIN_MS",
            "partitions = 64 # default",
        ] {
            assert!(text.lines().any(|found| found == line), "{arguments:?}: {line} is not in\n{text}");
        }
        assert!(text.contains(&format!("data_dir = \"{place}\" # flag --data-dir")), "{text}");
        seen.push(text);
        seen.push(String::from_utf8(output.stderr)?);
    }
    assert!(!data_dir.exists(), "showing creates nothing");
    // A database that is not there, a key that does not exist, the plain check.
    for arguments in [&["up"][..], &["balances"], &["check-config"], &["migrate"]] {
        let output = run(arguments, &data_dir)?;
        assert_eq!(output.status.success(), arguments == ["check-config"], "{arguments:?}");
        seen.push(String::from_utf8(output.stdout)?);
        seen.push(String::from_utf8(output.stderr)?);
    }
    let file = directory.path().join("t.toml");
    std::fs::write(&file, format!("databse_url = \"postgres://u:{PASSWORD}@h/d\"\n"))?;
    let output = run(&["check-config", "--config", &file.display().to_string()], &data_dir)?;
    let text = String::from_utf8(output.stderr)?;
    assert!(!output.status.success() && text.contains("databse_url: unknown key"), "{text}");
    seen.push(text);
    for text in seen {
        for secret in [PASSWORD, "canary_user", MASTER] {
            assert!(!text.contains(secret), "{secret} in\n{text}");
        }
    }
    Ok(())
}

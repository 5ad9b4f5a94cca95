//! The effective configuration for people: a TOML file with the place of each value beside it, and without secrets.
use crate::settings::{MASTER_KEY, MASTER_KEY_FILE, Settings};
use std::fmt::Write as _;
use toml::Value;

/// Keys whose values are URLs that may carry credentials.
const URLS: [&str; 3] = ["database_url", "keys_database_url", "telemetry.otlp_endpoint"];

/// Keys whose values are never shown.
const SECRETS: [&str; 2] = ["kafka.sasl_password", "kafka.ssl_key_password"];

/// Every key, those without a table first, as TOML needs it.
pub(crate) fn render(settings: &Settings, environment: &[(String, String)]) -> String {
    let mut keys: Vec<(&str, &str)> =
        settings.by_key.keys().map(|key| key.rsplit_once('.').unwrap_or(("", key))).collect();
    keys.sort_unstable();
    let mut out =
        String::from("# The configuration in force, each value with the place that it was taken from.\n");
    let given = [MASTER_KEY, MASTER_KEY_FILE]
        .into_iter()
        .find(|wanted| environment.iter().any(|(name, _)| name == wanted));
    let place =
        given.map_or_else(|| "file master.key in data_dir".to_owned(), |name| format!("environment {name}"));
    let mut table = "";
    // Writing to a string cannot fail.
    let mut line = |text: std::fmt::Arguments<'_>| writeln!(out, "{text}").unwrap_or_default();
    line(format_args!("# master key: {place}"));
    for (within, name) in keys {
        if within != table {
            table = within;
            line(format_args!("\n[{table}]"));
        }
        let key = if within.is_empty() { name.to_owned() } else { format!("{within}.{name}") };
        let Some(setting) = settings.by_key.get(&key) else { continue };
        let value = match &setting.value {
            Value::String(url) if URLS.contains(&key.as_str()) => Value::String(masked(url)),
            Value::String(secret) if SECRETS.contains(&key.as_str()) && !secret.is_empty() => {
                Value::String("…".to_owned())
            }
            value => value.clone(),
        };
        line(format_args!("{name} = {value} # {}", setting.origin));
    }
    out
}

/// A URL as far as it is no secret: scheme, host and path; neither its user part nor its parameters.
#[must_use]
pub(crate) fn masked(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return if url.is_empty() { String::new() } else { "…".to_owned() };
    };
    let (rest, query) = rest.split_once('?').map_or((rest, ""), |(rest, _)| (rest, "?…"));
    let (user, rest) = rest.rsplit_once('@').map_or(("", rest), |(_, rest)| ("…@", rest));
    format!("{scheme}://{user}{rest}{query}")
}

//! Layers of settings: which keys exist, which value each has, and where that value was written.
use crate::config::{Layers, Problem};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// The default file: it defines which keys exist and of which type each is.
pub(crate) const DEFAULT: &str = include_str!("default.toml");
/// The variable that holds the master key.
pub(crate) const MASTER_KEY: &str = "TRIBUTARY_MASTER_KEY";
/// The variable that names a file with the master key.
pub(crate) const MASTER_KEY_FILE: &str = "TRIBUTARY_MASTER_KEY_FILE";
const ENV_PREFIX: &str = "TRIBUTARY_";
/// A variable's name with this behind it names a file that holds its value: how containers are given secrets.
const FILE_SUFFIX: &str = "_FILE";
const DATABASE_URL: &str = "DATABASE_URL";

/// Names with our prefix that are no settings: read elsewhere, or by tests.
const NOT_SETTINGS: [&str; 4] = [MASTER_KEY, MASTER_KEY_FILE, "TRIBUTARY_CONFIG", "TRIBUTARY_FIXTURES"];
const NOT_SETTINGS_PREFIXES: [&str; 3] = ["TRIBUTARY_FAILPOINT", "TRIBUTARY_TEST_", "TRIBUTARY_BENCH_"];

/// A value and where it was written.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) value: Value,
    pub(crate) origin: String,
}

/// All settings by dotted key, merged.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) by_key: BTreeMap<String, Setting>,
    pub(crate) problems: Vec<Problem>,
}

impl Settings {
    /// The defaults.
    pub(crate) fn defaults() -> Self {
        let mut settings = Self { by_key: BTreeMap::new(), problems: Vec::new() };
        match DEFAULT.parse::<Table>() {
            Ok(table) => {
                for (key, value) in flatten(&table) {
                    settings.by_key.insert(key, Setting { value, origin: "default".to_owned() });
                }
            }
            Err(error) => settings.problem("", "default", error.message().to_owned(), "report this defect"),
        }
        settings
    }

    /// All layers, later ones over earlier ones.
    pub(crate) fn merged(layers: &Layers) -> Self {
        let mut settings = Self::defaults();
        if let Some(file) = config_file(layers.file.clone(), &layers.environment) {
            settings.merge_file(&file);
        }
        settings.merge_environment(&layers.environment);
        settings.merge_flags(&layers.flags);
        settings
    }

    pub(crate) fn problem(&mut self, key: &str, origin: &str, what: String, remedy: &str) {
        self.problems.push(Problem {
            key: key.to_owned(),
            origin: origin.to_owned(),
            what,
            remedy: remedy.to_owned(),
        });
    }

    /// Merges a TOML file.
    pub(crate) fn merge_file(&mut self, path: &Path) {
        let origin = format!("file {}", path.display());
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                return self.problem(
                    "",
                    &origin,
                    format!("not readable: {error}"),
                    "give a readable TOML file",
                );
            }
        };
        match text.parse::<Table>() {
            Ok(table) => {
                for (key, value) in flatten(&table) {
                    self.merge_typed(&key, value, &origin);
                }
            }
            Err(error) => {
                let line = error.span().map_or(0, |span| 1 + text[..span.start].matches('\n').count());
                let what = format!("line {line}: {}", error.message());
                self.problem("", &origin, what, "write TOML as in the default file");
            }
        }
    }

    /// Merges the variables that carry our prefix, and `DATABASE_URL`; of each the value itself, or a file that holds it.
    pub(crate) fn merge_environment(&mut self, variables: &[(String, String)]) {
        let keys: BTreeMap<String, String> =
            self.by_key.keys().map(|key| (variable_of(key), key.clone())).collect();
        for foreign in [DATABASE_URL.to_owned(), format!("{DATABASE_URL}{FILE_SUFFIX}")] {
            if let Some((name, value)) = variables.iter().find(|(name, _)| *name == foreign) {
                self.merge_variable("database_url", name, value, name != DATABASE_URL);
            }
        }
        for (name, value) in variables {
            if !name.starts_with(ENV_PREFIX) || is_not_a_setting(name) {
                continue;
            }
            let of_file = || keys.get(name.strip_suffix(FILE_SUFFIX)?);
            match (keys.get(name), of_file()) {
                (Some(key), _) => self.merge_variable(key, name, value, false),
                (None, Some(key)) => self.merge_variable(key, name, value, true),
                (None, None) => self.unknown(name, &format!("environment {name}")),
            }
        }
    }

    /// `in_file`: the value is the name of a file, whose content is what is meant, less the line break at its end.
    fn merge_variable(&mut self, key: &str, name: &str, value: &str, in_file: bool) {
        let origin = format!("environment {name}");
        if !in_file {
            return self.merge_text(key, value, &origin);
        }
        match std::fs::read_to_string(value) {
            Ok(text) => self.merge_text(key, text.trim_end_matches(['\r', '\n']), &origin),
            Err(error) => {
                let what = format!("its file {value} is not readable: {error}");
                self.problem(key, &origin, what, "name a readable file");
            }
        }
    }

    /// Merges command-line flags, as dotted keys.
    pub(crate) fn merge_flags(&mut self, flags: &[(String, String)]) {
        for (key, value) in flags {
            self.merge_text(key, value, &format!("flag --{}", key.replace(['.', '_'], "-")));
        }
    }

    fn unknown(&mut self, key: &str, origin: &str) {
        let leaf = key.to_lowercase();
        let leaf = leaf.rsplit(['.', '_']).next().unwrap_or_default();
        let near: Vec<&str> = self
            .by_key
            .keys()
            .filter(|known| !leaf.is_empty() && known.contains(leaf))
            .map(String::as_str)
            .collect();
        let remedy = if near.is_empty() {
            "remove it; `tributary check-config --defaults` prints the keys that exist".to_owned()
        } else {
            format!("remove it, or write {}", near.join(" or "))
        };
        self.problem(key, origin, "unknown key".to_owned(), &remedy);
    }

    fn merge_typed(&mut self, key: &str, value: Value, origin: &str) {
        let Some(setting) = self.by_key.get_mut(key) else {
            return self.unknown(key, origin);
        };
        // People write 1 for 1.0.
        let value = match (&setting.value, value) {
            (Value::Float(_), Value::Integer(whole)) => Value::Float(whole as f64),
            (_, value) => value,
        };
        if !setting.value.same_type(&value) {
            let what = format!("is {}, wanted {}", value.type_str(), setting.value.type_str());
            return self.problem(key, origin, what, "write it as in the default file");
        }
        *setting = Setting { value, origin: origin.to_owned() };
    }

    fn merge_text(&mut self, key: &str, text: &str, origin: &str) {
        let Some(setting) = self.by_key.get(key) else {
            return self.unknown(key, origin);
        };
        let value = match setting.value {
            Value::Integer(_) => text.parse().ok().map(Value::Integer),
            Value::Boolean(_) => text.parse().ok().map(Value::Boolean),
            Value::Float(_) => text.parse().ok().map(Value::Float),
            _ => Some(Value::String(text.to_owned())),
        };
        match value {
            Some(value) => self.merge_typed(key, value, origin),
            // The text is not repeated: it may be a secret in the wrong place.
            None => {
                let what = format!("is not of type {}", setting.value.type_str());
                self.problem(key, origin, what, "write it as in the default file");
            }
        }
    }
}

/// The environment variable of a key.
pub(crate) fn variable_of(key: &str) -> String {
    format!("{ENV_PREFIX}{}", key.replace('.', "_").to_uppercase())
}

/// Kubernetes gives each pod variables for a service named `tributary`; these must not stop it.
fn is_not_a_setting(name: &str) -> bool {
    NOT_SETTINGS.contains(&name)
        || NOT_SETTINGS_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || name.contains("_TCP")
}

pub(crate) fn flatten(table: &Table) -> Vec<(String, Value)> {
    let mut out = Vec::new();
    let mut pending: Vec<(String, &Table)> = vec![(String::new(), table)];
    while let Some((prefix, inner)) = pending.pop() {
        for (name, value) in inner {
            let key = format!("{prefix}{name}");
            match value {
                Value::Table(nested) if !nested.is_empty() => pending.push((format!("{key}."), nested)),
                leaf => out.push((key, leaf.clone())),
            }
        }
    }
    out
}

/// The file that `--config` or `TRIBUTARY_CONFIG` names.
fn config_file(flag: Option<PathBuf>, variables: &[(String, String)]) -> Option<PathBuf> {
    flag.or_else(|| {
        variables.iter().find(|(name, _)| name == "TRIBUTARY_CONFIG").map(|(_, value)| PathBuf::from(value))
    })
}

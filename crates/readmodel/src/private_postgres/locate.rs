//! Where the server binaries are.
use super::PrivatePostgresError;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Installed server binaries of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// The directory with `initdb` and `postgres`.
    pub directory: PathBuf,
    /// Major version.
    pub version: String,
}

impl Binaries {
    /// Finds them: what `pg_config` names, Debian's and others' places, `PATH`; of the wanted major version if one is wanted.
    ///
    /// # Errors
    /// [`PrivatePostgresError::NotInstalled`], [`PrivatePostgresError::OtherVersion`].
    pub(super) fn find(wanted: Option<&Wanted>) -> Result<Self, PrivatePostgresError> {
        let mut first = None;
        for directory in candidates() {
            let Some(version) = version(&directory) else { continue };
            let binaries = Self { directory, version };
            match wanted {
                Some(wanted) if wanted.version != binaries.version => {
                    first.get_or_insert(binaries);
                }
                _ => return Ok(binaries),
            }
        }
        match (first, wanted) {
            (Some(other), Some(wanted)) => Err(PrivatePostgresError::OtherVersion {
                path: wanted.path.clone(),
                found: wanted.version.clone(),
                installed: other.version,
            }),
            _ => Err(PrivatePostgresError::NotInstalled {
                looked: "pg_config --bindir, /usr/lib/postgresql/*/bin, /usr/pgsql-*/bin, Homebrew, PATH"
                    .to_owned(),
            }),
        }
    }

    /// The path of one program.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// The version that an existing cluster needs.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) path: PathBuf,
    pub(super) version: String,
}

fn candidates() -> Vec<PathBuf> {
    let mut found = Vec::new();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        found.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    found.extend(below(Path::new("/usr/lib/postgresql"), "", "bin"));
    found.extend(below(Path::new("/usr"), "pgsql-", "bin"));
    found.extend(below(Path::new("/opt/homebrew/opt"), "postgresql", "bin"));
    found.extend(below(Path::new("/usr/local/opt"), "postgresql", "bin"));
    found.extend(
        std::env::var_os("PATH").iter().flat_map(|path| std::env::split_paths(path).collect::<Vec<_>>()),
    );
    found.retain(|directory| directory.join("initdb").is_file() && directory.join("postgres").is_file());
    found
}

/// `parent/prefix*/last`, highest version first.
fn below(parent: &Path, prefix: &str, last: &str) -> Vec<PathBuf> {
    let mut names: Vec<(u32, PathBuf)> = std::fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let rest = name.strip_prefix(prefix)?;
            let digits: String = rest.chars().filter(char::is_ascii_digit).collect();
            Some((digits.parse().unwrap_or(0), entry.path().join(last)))
        })
        .collect();
    names.sort();
    names.reverse();
    names.into_iter().map(|(_, path)| path).collect()
}

/// Major version that `postgres --version` tells.
fn version(directory: &Path) -> Option<String> {
    let output = Command::new(directory.join("postgres")).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    Some(number.split('.').next()?.to_owned())
}

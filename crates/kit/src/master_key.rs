//! The installation's master key: seals webhook secrets before they go into the log as configuration.
//!
//! Sealing is deterministic (AES-SIV, RFC 5297), so that the same configuration gives the same bytes. The place that a
//! secret belongs to is associated data: a sealed secret moved elsewhere does not open.
use aes_siv::KeyInit as _;
use aes_siv::siv::Aes256Siv;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The environment variable that holds the key: 128 hex digits.
pub const VARIABLE: &str = "TRIBUTARY_MASTER_KEY";
/// The environment variable that names a file with the key. Who may read that file is the business of whoever put it there:
/// secrets are mounted into containers with modes that nobody can choose.
pub const FILE_VARIABLE: &str = "TRIBUTARY_MASTER_KEY_FILE";
/// The key's file in the data directory: 128 hex digits, mode 0600.
pub const FILE_NAME: &str = "master.key";
const KEY_BYTES: usize = 64;

/// The key. Never printed.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; KEY_BYTES]>);

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

/// Why there is no master key, or something did not open.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// The file cannot be read or written.
    #[error("master key {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not 128 hex digits.
    #[error("master key in {0} is not 128 hex digits; restore it from its backup")]
    Malformed(String),
    /// Others may read the file.
    #[error("master key {path} has mode {mode:o}, so others may read it; run `chmod 600` on it")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another key sealed it, it belongs elsewhere, or it was changed.
    #[error("a sealed value does not open: another master key sealed it, or it was changed")]
    DoesNotOpen,
    /// The cipher refused.
    #[error("sealing failed")]
    Sealing,
}

impl MasterKey {
    /// A key of these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The key from `TRIBUTARY_MASTER_KEY`, else from the file that `TRIBUTARY_MASTER_KEY_FILE` names, else from
    /// `data_dir/master.key`, which is created when missing.
    ///
    /// # Errors
    /// [`MasterKeyError`].
    pub fn load_or_create(data_dir: &Path) -> Result<Self, MasterKeyError> {
        if let Ok(text) = std::env::var(VARIABLE) {
            return Self::parse(&Zeroizing::new(text), VARIABLE);
        }
        if let Some(path) = std::env::var_os(FILE_VARIABLE).map(PathBuf::from) {
            let text = std::fs::read_to_string(&path)
                .map_err(|source| MasterKeyError::Io { path: path.clone(), source })?;
            return Self::parse(&Zeroizing::new(text), &path.display().to_string());
        }
        let path = data_dir.join(FILE_NAME);
        let io = |source| MasterKeyError::Io { path: path.clone(), source };
        match read(&path) {
            Err(MasterKeyError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                std::fs::create_dir_all(data_dir).map_err(io)?;
                create(data_dir, &path).map_err(io)?;
                read(&path)
            }
            result => result,
        }
    }

    /// Whether there is a key: in a variable or in the file.
    #[must_use]
    pub fn is_given(data_dir: &Path) -> bool {
        std::env::var_os(VARIABLE).is_some()
            || std::env::var_os(FILE_VARIABLE).is_some()
            || data_dir.join(FILE_NAME).exists()
    }

    fn parse(text: &str, origin: &str) -> Result<Self, MasterKeyError> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        hex::decode_to_slice(text.trim(), bytes.as_mut_slice())
            .map_err(|_| MasterKeyError::Malformed(origin.to_owned()))?;
        Ok(Self(bytes))
    }

    /// Seals `plain` for `place`.
    ///
    /// # Errors
    /// [`MasterKeyError::Sealing`], never in practice.
    pub fn seal(&self, place: &str, plain: &[u8]) -> Result<Vec<u8>, MasterKeyError> {
        self.cipher().encrypt([place.as_bytes()], plain).map_err(|_| MasterKeyError::Sealing)
    }

    /// Opens what was sealed for `place`.
    ///
    /// # Errors
    /// [`MasterKeyError::DoesNotOpen`].
    pub fn open(&self, place: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, MasterKeyError> {
        let plain = self.cipher().decrypt([place.as_bytes()], sealed);
        plain.map(Zeroizing::new).map_err(|_| MasterKeyError::DoesNotOpen)
    }

    /// Seals a webhook endpoint's signing secret, for the endpoint's configuration fact.
    ///
    /// # Errors
    /// As [`MasterKey::seal`].
    pub fn seal_endpoint_secret(
        &self,
        program_id: &str,
        endpoint_id: &str,
        secret: &[u8],
    ) -> Result<Vec<u8>, MasterKeyError> {
        self.seal(&endpoint_place(program_id, endpoint_id), secret)
    }

    /// Opens a webhook endpoint's signing secret.
    ///
    /// # Errors
    /// As [`MasterKey::open`].
    pub fn open_endpoint_secret(
        &self,
        program_id: &str,
        endpoint_id: &str,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, MasterKeyError> {
        self.open(&endpoint_place(program_id, endpoint_id), sealed)
    }

    /// Another secret for the use that `label` names: HMAC-SHA-256 of the label under the key. It says nothing of the key, and
    /// nothing of what is derived for other labels.
    pub(crate) fn derive(&self, label: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut mac =
            <Hmac<Sha256> as Mac>::new_from_slice(self.0.as_slice()).expect("any key length is accepted");
        mac.update(label);
        Zeroizing::new(mac.finalize().into_bytes().into())
    }

    /// Seals a partner's payout destination, for the fact that names it.
    ///
    /// # Errors
    /// As [`MasterKey::seal`].
    pub fn seal_payout_destination(
        &self,
        program_id: &str,
        partner_id: &str,
        destination: &[u8],
    ) -> Result<Vec<u8>, MasterKeyError> {
        self.seal(&destination_place(program_id, partner_id), destination)
    }

    /// Opens a partner's payout destination.
    ///
    /// # Errors
    /// As [`MasterKey::open`].
    pub fn open_payout_destination(
        &self,
        program_id: &str,
        partner_id: &str,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, MasterKeyError> {
        self.open(&destination_place(program_id, partner_id), sealed)
    }

    fn cipher(&self) -> Aes256Siv {
        Aes256Siv::new((&*self.0).into())
    }
}

fn endpoint_place(program_id: &str, endpoint_id: &str) -> String {
    // Ids have no control characters, so the separator keeps two pairs apart.
    format!("endpoint-secret\n{program_id}\n{endpoint_id}")
}

fn destination_place(program_id: &str, partner_id: &str) -> String {
    // So that nobody is paid to what was sealed for another.
    format!("payout-destination\n{program_id}\n{partner_id}")
}

fn read(path: &Path) -> Result<MasterKey, MasterKeyError> {
    let io = |source| MasterKeyError::Io { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(io)?;
    let mode = file.metadata().map_err(io)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(MasterKeyError::Exposed { path: path.to_owned(), mode });
    }
    let mut text = Zeroizing::new(String::new());
    file.read_to_string(&mut text).map_err(io)?;
    MasterKey::parse(&text, &path.display().to_string())
}

/// Writes a new key beside its place, then links it there: of two processes that start at once, one key wins, whole.
fn create(data_dir: &Path, path: &Path) -> std::io::Result<()> {
    let bytes = Zeroizing::new(rand::random::<[u8; KEY_BYTES]>());
    let text = Zeroizing::new(format!("{}\n", hex::encode(*bytes)));
    let draft = data_dir.join(format!(".{FILE_NAME}.{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    let linked = match std::fs::hard_link(&draft, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        result => result,
    };
    std::fs::remove_file(&draft)?;
    linked?;
    File::open(data_dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn sealing_is_deterministic_and_bound_to_key_and_place() {
        let key = MasterKey::from_bytes([7; 64]);
        let sealed = key.seal_endpoint_secret("prog", "ep", b"whsec").unwrap();
        assert_eq!(sealed, key.seal_endpoint_secret("prog", "ep", b"whsec").unwrap());
        assert_eq!(**key.open_endpoint_secret("prog", "ep", &sealed).unwrap(), *b"whsec");
        assert!(key.open_endpoint_secret("prog", "other", &sealed).is_err());
        assert!(MasterKey::from_bytes([8; 64]).open_endpoint_secret("prog", "ep", &sealed).is_err());
    }

    #[test]
    fn the_key_file_is_created_once_private_and_refused_when_others_may_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let first = MasterKey::load_or_create(directory.path()).unwrap();
        let second = MasterKey::load_or_create(directory.path()).unwrap();
        assert_eq!(*first.0, *second.0);
        let path = directory.path().join(FILE_NAME);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(
            MasterKey::load_or_create(directory.path()),
            Err(MasterKeyError::Exposed { mode: 0o644, .. })
        ));
    }
}

//! Sealing is a codec at the frame's boundary: `decide` and `evolve` see open values, the log sees ciphertext.
//!
//! AES-SIV (RFC 5297): the same key and text give the same bytes, so a replay with the same key store is identical. The
//! subject is associated data: a ciphertext that is moved to another person does not open.
use crate::keys::KeyState;
use aes_siv::KeyInit;
use aes_siv::siv::Aes256Siv;
use bytes::Bytes;
use domain::facts::{Personal, SealedValue};
use domain::ids::SubjectId;

/// Why a field could not be sealed or opened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SealError {
    /// A subject's key is neither there nor destroyed: the key store is not this log's, or was lost.
    #[error(
        "no key for a subject that the log names: this is not the log's key store, or it lost keys; restore the key store that was backed up with this log"
    )]
    MissingKey,
    /// The key that the field names is not the subject's.
    #[error("a sealed field names another key than its subject has: this is not the log's key store")]
    WrongKey,
    /// The ciphertext does not open.
    #[error("a sealed field does not open under its key: the log or the key store is damaged")]
    Damaged,
}

/// Seals an open field under the subject's `key`, which must exist. Other fields stay as they are.
///
/// # Errors
/// [`SealError`].
pub fn seal(key: &KeyState, subject: SubjectId, field: &mut Personal) -> Result<(), SealError> {
    let Personal::Open(text) = field else { return Ok(()) };
    let sealed = match key {
        KeyState::Live(key) => {
            let mut cipher = Aes256Siv::new(&key.key.into());
            let ciphertext =
                cipher.encrypt([&subject.0[..]], text.as_bytes()).map_err(|_| SealError::Damaged)?;
            Personal::Sealed(SealedValue { key_id: key.key_id, ciphertext: Bytes::from(ciphertext) })
        }
        // Somebody was erased and came back under an identifier that still maps here: nothing may be kept of it.
        KeyState::Destroyed => Personal::Erased(SealedValue { key_id: [0; 16], ciphertext: Bytes::new() }),
        KeyState::Missing => return Err(SealError::MissingKey),
    };
    *field = sealed;
    Ok(())
}

/// Opens a sealed field, or marks it erased when the key was destroyed (the ciphertext is kept and written back as it is).
///
/// # Errors
/// [`SealError`]; a missing key halts the partition.
pub fn open(key: &KeyState, subject: SubjectId, field: &mut Personal) -> Result<(), SealError> {
    let Personal::Sealed(sealed) = field else { return Ok(()) };
    let opened = match key {
        KeyState::Live(key) if key.key_id == sealed.key_id => {
            let mut cipher = Aes256Siv::new(&key.key.into());
            let text =
                cipher.decrypt([&subject.0[..]], &sealed.ciphertext).map_err(|_| SealError::Damaged)?;
            Personal::Open(String::from_utf8(text).map_err(|_| SealError::Damaged)?)
        }
        KeyState::Live(_) => return Err(SealError::WrongKey),
        KeyState::Destroyed => Personal::Erased(sealed.clone()),
        KeyState::Missing => return Err(SealError::MissingKey),
    };
    *field = opened;
    Ok(())
}

//! The installation's signature: an Ed25519 key that derives from the master key, so that it needs no keeping of its own.
//!
//! What is signed can be checked by anybody who knows the public key, long after and far from the installation.
use crate::master_key::MasterKey;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

/// Says what the derived key is for: another use derives another key.
const LABEL: &[u8] = b"tributary checkpoint signing key v1";

/// Signs for the installation. Never printed.
pub struct Signer(SigningKey);

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer(…)")
    }
}

/// What checks signatures; public.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// Why a key or a signature is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SigningError {
    /// Not 64 hex digits, or no point of the curve.
    #[error("is not a public key: 64 hex digits, as `tributary checkpoint key` prints them")]
    BadKey,
    /// Not 128 hex digits.
    #[error("is not a signature: 128 hex digits")]
    BadSignature,
    /// Another key signed, or what was signed was changed.
    #[error("does not fit: what was signed was changed, or another installation signed it")]
    DoesNotFit,
}

impl Signer {
    /// The signer of the installation that has this master key.
    #[must_use]
    pub fn of(master_key: &MasterKey) -> Self {
        Self(SigningKey::from_bytes(&master_key.derive(LABEL)))
    }

    /// The signature of `bytes`, as hex.
    #[must_use]
    pub fn sign(&self, bytes: &[u8]) -> String {
        hex::encode(self.0.sign(bytes).to_bytes())
    }

    /// What checks it.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }
}

impl PublicKey {
    /// The key of 64 hex digits.
    ///
    /// # Errors
    /// [`SigningError::BadKey`].
    pub fn parse(text: &str) -> Result<Self, SigningError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.trim(), &mut bytes).map_err(|_| SigningError::BadKey)?;
        VerifyingKey::from_bytes(&bytes).map(Self).map_err(|_| SigningError::BadKey)
    }

    /// As 64 hex digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode(self.0.to_bytes())
    }

    /// A short name of it: the first 16 hex digits of its SHA-256.
    #[must_use]
    pub fn id(&self) -> String {
        let digest = Sha256::digest(self.0.to_bytes());
        hex::encode(digest).chars().take(16).collect()
    }

    /// Checks the signature (hex) of `bytes`.
    ///
    /// # Errors
    /// [`SigningError`].
    pub fn check(&self, bytes: &[u8], signature: &str) -> Result<(), SigningError> {
        let mut raw = [0; 64];
        hex::decode_to_slice(signature, &mut raw).map_err(|_| SigningError::BadSignature)?;
        // Strict: no second form of a signature passes.
        self.0.verify_strict(bytes, &Signature::from_bytes(&raw)).map_err(|_| SigningError::DoesNotFit)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_signature_fits_its_bytes_and_its_installation_only() {
        let signer = Signer::of(&MasterKey::from_bytes([7; 64]));
        let signature = signer.sign(b"heads");
        let key = PublicKey::parse(&signer.public().to_hex()).unwrap();
        assert_eq!(key, Signer::of(&MasterKey::from_bytes([7; 64])).public());
        key.check(b"heads", &signature).unwrap();
        assert_eq!(key.check(b"Heads", &signature), Err(SigningError::DoesNotFit));
        assert_eq!(key.check(b"heads", "00"), Err(SigningError::BadSignature));
        let other = Signer::of(&MasterKey::from_bytes([8; 64])).public();
        assert_eq!(other.check(b"heads", &signature), Err(SigningError::DoesNotFit));
        assert_ne!(other.id(), key.id());
        assert_eq!(PublicKey::parse("abc"), Err(SigningError::BadKey));
    }
}

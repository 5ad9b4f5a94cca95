//! Ids. Every id that Tributary makes derives from content, so a replay makes the same ones.
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        pub struct $name(pub String);
        impl $name {
            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str { &self.0 }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
        impl From<&str> for $name { fn from(s: &str) -> Self { Self(s.to_owned()) } }
        impl From<String> for $name { fn from(s: String) -> Self { Self(s) } }
    };
}

text_id!(/// A merchant's account: it owns programs and keys.
    AccountId);
text_id!(/// One partner program: the unit of order, state and money.
    ProgramId);
text_id!(/// A partner of a program.
    PartnerId);
text_id!(/// One accepted external event: `evt_` + hash of (program, source, delivery key).
    EventId);
text_id!(/// One conversion record: `sal_` + hash of (program, source, external id).
    SaleId);
text_id!(/// One commission: `com_` + hash of (sale, partner, part), or of the command's event that made it.
    CommissionId);
text_id!(/// A commission rule.
    RuleId);
text_id!(/// One payout: `pay_` + hash of what drafted it. Never used again.
    PayoutId);
text_id!(/// A rate of exchange, named by the merchant.
    RateId);
text_id!(/// The name of a provider or dialect: `paddle`, `revshare`.
    SourceName);

/// A person, opaque: 16 bytes. Frames record subjects; identifiers travel sealed beside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SubjectId(pub [u8; 16]);

/// SHA-256 of something.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Hash(pub [u8; 32]);

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.0[..8] {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("…")
    }
}

impl Hash {
    /// The head before the first frame.
    pub const ZERO: Self = Self([0; 32]);

    /// SHA-256 of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// SHA-256 of the parts, each preceded by its length as a little-endian u64, so that no two lists collide.
    #[must_use]
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }
}

const BASE32: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// `prefix` + the first 16 bytes of the hash of `parts` in Crockford's base 32, lower case: 26 characters.
fn derived(prefix: &str, parts: &[&[u8]]) -> String {
    let hash = Hash::of_parts(parts);
    let mut out = String::with_capacity(prefix.len() + 26);
    out.push_str(prefix);
    let (mut buffer, mut bits) = (0u32, 0u32);
    for byte in &hash.0[..16] {
        buffer = (buffer << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            out.push(char::from(BASE32[((buffer >> bits) & 31) as usize]));
        }
        buffer &= 0xff;
    }
    out.push(char::from(BASE32[((buffer << (5 - bits)) & 31) as usize]));
    out
}

impl EventId {
    /// The id of the external event that `delivery_key` names at `source`: right before its outcome is known.
    #[must_use]
    pub fn derive(program: &ProgramId, source: &SourceName, delivery_key: &str) -> Self {
        Self(derived("evt_", &[program.0.as_bytes(), source.0.as_bytes(), delivery_key.as_bytes()]))
    }
}

impl SaleId {
    /// The id of the sale `external_id` at `source`.
    #[must_use]
    pub fn derive(program: &ProgramId, source: &SourceName, external_id: &str) -> Self {
        Self(derived("sal_", &[program.0.as_bytes(), source.0.as_bytes(), external_id.as_bytes()]))
    }
}

impl CommissionId {
    /// The id of part `part` (0 unless the commission is split) of `sale`'s commission for `partner`.
    #[must_use]
    pub fn derive(sale: &SaleId, partner: &PartnerId, part: u32) -> Self {
        Self(derived("com_", &[sale.0.as_bytes(), partner.0.as_bytes(), &part.to_le_bytes()]))
    }

    /// The id of the commission of its own that the command of `event` makes.
    #[must_use]
    pub fn of_command(event: &EventId) -> Self {
        Self(derived("com_", &[event.0.as_bytes()]))
    }
}

impl PayoutId {
    /// The id of the payout that the command of `event` drafts.
    #[must_use]
    pub fn of_command(event: &EventId) -> Self {
        Self(derived("pay_", &[event.0.as_bytes()]))
    }

    /// The id of the `number`th payout of one balance that a schedule drafts at `due`, in microseconds.
    #[must_use]
    pub fn of_schedule(
        program: &ProgramId,
        partner: &PartnerId,
        currency: &str,
        due: i64,
        number: u32,
    ) -> Self {
        let (due, number) = (due.to_le_bytes(), number.to_le_bytes());
        Self(derived(
            "pay_",
            &[program.0.as_bytes(), partner.0.as_bytes(), currency.as_bytes(), &due, &number],
        ))
    }
}

impl SubjectId {
    /// The subject of a new identifier: content, not chance.
    /// `source_head` is the hash of the `ingest` record, `field` the identifier's namespace and place in it.
    #[must_use]
    pub fn derive(program: &ProgramId, source_head: &Hash, field: &str) -> Self {
        let hash = Hash::of_parts(&[program.0.as_bytes(), &source_head.0, field.as_bytes()]);
        let mut id = [0; 16];
        id.copy_from_slice(&hash.0[..16]);
        Self(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_is_stable_for_ever() {
        let id = EventId::derive(&"prog_demo".into(), &"paddle".into(), "evt_1");
        assert_eq!(id.0.len(), 4 + 26);
        assert_eq!(id, EventId::derive(&"prog_demo".into(), &"paddle".into(), "evt_1"));
        assert_ne!(id, EventId::derive(&"prog_demo".into(), &"paddlee".into(), "vt_1"));
    }
}

//! What the gateway knows of the installation: programs, keys and endpoints, folded from `gateway-config` records.
//!
//! For each object the highest version counts, not the latest record: a record that a former owner appended late must
//! not bring a revoked key back. So removed objects are remembered by their version.
use crate::rate::{Bucket, Rate};
use domain::config::KeyScope;
use domain::time::Micros;
use kit::master_key::MasterKey;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use wire::v1;
use wire::v1::config_fact::Object;
use zeroize::Zeroizing;

/// A program as far as the gateway must know it. Never changed: an update puts a new one in its place.
#[derive(Debug, Clone, Default)]
pub(crate) struct Program {
    /// The account that owns it and its mode; `None`: endpoints arrived before the program itself.
    pub(crate) owner: Option<Owner>,
    pub(crate) endpoints: Vec<Arc<Endpoint>>,
}

/// Whose, and live or test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) account_id: String,
    pub(crate) mode: i32,
}

/// A webhook endpoint with its secrets open.
pub(crate) struct Endpoint {
    pub(crate) endpoint_id: String,
    pub(crate) provider: String,
    pub(crate) tolerance_seconds: u32,
    /// Live secrets. Empty: none could be opened.
    pub(crate) secrets: Vec<Zeroizing<Vec<u8>>>,
    /// The same as they are stored.
    pub(crate) sealed: Vec<Vec<u8>>,
    /// What its deliveries may come to.
    pub(crate) bucket: Bucket,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("endpoint_id", &self.endpoint_id).finish_non_exhaustive()
    }
}

/// An API key, known by its hash.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) key_id: String,
    pub(crate) owner: Owner,
    pub(crate) publishable: bool,
    pub(crate) name: String,
    /// Where it lives: a program, or the account itself.
    pub(crate) home: String,
    /// Speaks for its home only.
    pub(crate) program_bound: bool,
    pub(crate) expires_at: Option<Micros>,
    /// What it may do, each scope once.
    pub(crate) scopes: Vec<KeyScope>,
    /// What its requests may come to.
    pub(crate) bucket: Bucket,
}

/// All that a key may do.
pub(crate) const SCOPES: [KeyScope; 4] =
    [KeyScope::Report, KeyScope::Configure, KeyScope::Approve, KeyScope::Read];

impl Key {
    fn new(home: String, key: v1::ApiKey, rate: Option<Rate>) -> Self {
        // A scope that a later version invented gives nothing here, and must not make the list an empty one: that means all.
        let listed = |scope: &KeyScope| key.scopes.iter().any(|name| name == scope.name());
        let scopes = SCOPES
            .into_iter()
            .filter(|scope| key.scopes.is_empty() || listed(scope))
            .filter(|scope| !key.publishable || *scope == KeyScope::Report);
        Self {
            scopes: scopes.collect(),
            key_id: key.key_id,
            owner: Owner { account_id: key.account_id, mode: key.mode },
            publishable: key.publishable,
            name: key.name,
            home,
            program_bound: key.program_bound,
            expires_at: (key.expires_at_micros != 0).then_some(Micros(key.expires_at_micros)),
            bucket: Bucket::new(rate),
        }
    }

    /// Whether it may do what `scope` names.
    pub(crate) fn may(&self, scope: KeyScope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Whether its time is over.
    pub(crate) fn is_expired(&self, now: Micros) -> bool {
        self.expires_at.is_some_and(|end| now >= end)
    }

    /// Whether it speaks for this program: its account's, of its mode, and its own if it is bound to one.
    pub(crate) fn speaks_for(&self, program_id: &str, owner: &Owner) -> bool {
        *owner == self.owner && (!self.program_bound || self.home == program_id)
    }
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applied {
    Changed,
    Outdated,
    Empty,
}

/// The maps. Readers hold the lock for a lookup only.
#[derive(Debug)]
pub(crate) struct Directory {
    master_key: MasterKey,
    rate: Option<Rate>,
    maps: RwLock<Maps>,
}

#[derive(Debug, Default)]
struct Maps {
    /// By object key: the highest version seen, and its object unless it is removed.
    objects: HashMap<String, (u64, Option<Known>)>,
    programs: HashMap<String, Arc<Program>>,
    /// By SHA-256; in a list with the object's key, since two objects may hold one key.
    keys: HashMap<[u8; 32], Vec<(String, Arc<Key>)>>,
}

/// An object that a gateway must know.
#[derive(Debug)]
enum Known {
    Program {
        program_id: String,
        owner: Owner,
    },
    Key {
        sha256: [u8; 32],
        key: Arc<Key>,
    },
    Endpoint {
        program_id: String,
        endpoint: Arc<Endpoint>,
    },
    /// Its id is taken.
    Account,
}

impl Maps {
    fn insert(&mut self, object_key: &str, known: &Known) {
        match known {
            Known::Program { program_id, owner } => self.program(program_id).owner = Some(owner.clone()),
            Known::Endpoint { program_id, endpoint } => {
                self.program(program_id).endpoints.push(Arc::clone(endpoint));
            }
            Known::Key { sha256, key } => {
                self.keys.entry(*sha256).or_default().push((object_key.to_owned(), Arc::clone(key)));
            }
            Known::Account => {}
        }
    }

    fn remove(&mut self, object_key: &str, known: &Known) {
        match known {
            Known::Program { program_id, .. } => self.program(program_id).owner = None,
            Known::Endpoint { program_id, endpoint } => {
                self.program(program_id).endpoints.retain(|other| other.endpoint_id != endpoint.endpoint_id);
            }
            Known::Key { sha256, .. } => {
                if let Some(keys) = self.keys.get_mut(sha256) {
                    keys.retain(|(other, _)| other != object_key);
                }
            }
            Known::Account => {}
        }
    }

    fn program(&mut self, program_id: &str) -> &mut Program {
        Arc::make_mut(self.programs.entry(program_id.to_owned()).or_default())
    }
}

impl Directory {
    /// `rate`: of each key and endpoint; `None`: no limit.
    pub(crate) fn new(master_key: MasterKey, rate: Option<Rate>) -> Self {
        Self { master_key, rate, maps: RwLock::default() }
    }

    /// The key under a stable name, whether or not it is still valid, with its hash.
    pub(crate) fn key_named(&self, home: &str, key_id: &str) -> Option<(Arc<Key>, [u8; 32])> {
        let maps = self.maps.read().unwrap_or_else(PoisonError::into_inner);
        match maps.objects.get(&format!("api_key/{home}/{key_id}"))? {
            (_, Some(Known::Key { sha256, key })) => Some((Arc::clone(key), *sha256)),
            _ => None,
        }
    }

    /// An endpoint of a program.
    pub(crate) fn endpoint_named(&self, program_id: &str, endpoint_id: &str) -> Option<Arc<Endpoint>> {
        let program = self.program(program_id)?;
        program.endpoints.iter().find(|endpoint| endpoint.endpoint_id == endpoint_id).cloned()
    }

    /// Whether an account has this id: its keys live under it, so no program may.
    pub(crate) fn is_account(&self, id: &str) -> bool {
        let maps = self.maps.read().unwrap_or_else(PoisonError::into_inner);
        matches!(maps.objects.get(&format!("account/{id}")), Some((_, Some(Known::Account))))
    }

    /// Seals a webhook secret for its endpoint.
    pub(crate) fn seal(&self, program_id: &str, endpoint_id: &str, secret: &[u8]) -> Option<Vec<u8>> {
        let sealed = self.master_key.seal_endpoint_secret(program_id, endpoint_id, secret);
        sealed.inspect_err(|error| tracing::error!(%error, "webhook secret not sealed")).ok()
    }

    /// Seals a payout destination for its partner.
    pub(crate) fn seal_destination(
        &self,
        program_id: &str,
        partner_id: &str,
        said: &[u8],
    ) -> Option<Vec<u8>> {
        let sealed = self.master_key.seal_payout_destination(program_id, partner_id, said);
        sealed.inspect_err(|error| tracing::error!(%error, "payout destination not sealed")).ok()
    }

    pub(crate) fn program(&self, program_id: &str) -> Option<Arc<Program>> {
        self.maps.read().unwrap_or_else(PoisonError::into_inner).programs.get(program_id).cloned()
    }

    pub(crate) fn key(&self, sha256: &[u8; 32]) -> Option<Arc<Key>> {
        let maps = self.maps.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&maps.keys.get(sha256)?.first()?.1))
    }

    /// Folds one record in.
    pub(crate) fn apply(&self, record: v1::GatewayConfigRecord) -> Applied {
        let Some(fact) = record.fact else {
            return Applied::Empty;
        };
        let removed = fact.removed;
        let program_id = fact.program_id;
        // Secrets are opened before the lock is taken.
        let object = match fact.object {
            Some(Object::Program(program)) => {
                let owner = Owner { account_id: program.account_id, mode: program.mode };
                Known::Program { program_id, owner }
            }
            Some(Object::ApiKey(key)) => {
                let Ok(sha256) = <[u8; 32]>::try_from(key.sha256.as_ref()) else {
                    return Applied::Empty;
                };
                Known::Key { sha256, key: Arc::new(Key::new(program_id, key, self.rate)) }
            }
            Some(Object::Endpoint(endpoint)) => {
                let endpoint = Arc::new(self.open(&program_id, endpoint));
                Known::Endpoint { program_id, endpoint }
            }
            Some(Object::Account(_)) => Known::Account,
            _ => return Applied::Empty,
        };
        let mut maps = self.maps.write().unwrap_or_else(PoisonError::into_inner);
        match maps.objects.get_mut(&record.key) {
            Some((version, _)) if *version >= record.version => return Applied::Outdated,
            Some((_, known)) => {
                if let Some(old) = known.take() {
                    maps.remove(&record.key, &old);
                }
            }
            None => {}
        }
        let known = (!removed).then_some(object);
        if let Some(known) = &known {
            maps.insert(&record.key, known);
        }
        maps.objects.insert(record.key, (record.version, known));
        Applied::Changed
    }

    fn open(&self, program_id: &str, endpoint: v1::Endpoint) -> Endpoint {
        let mut secrets = Vec::with_capacity(endpoint.secrets.len());
        for secret in &endpoint.secrets {
            match self.master_key.open_endpoint_secret(program_id, &endpoint.endpoint_id, &secret.sealed) {
                Ok(plain) => secrets.push(plain),
                Err(error) => {
                    tracing::error!(program_id, endpoint_id = endpoint.endpoint_id, %error, "webhook secret not usable");
                }
            }
        }
        Endpoint {
            endpoint_id: endpoint.endpoint_id,
            provider: endpoint.provider,
            tolerance_seconds: endpoint.tolerance_seconds,
            secrets,
            sealed: endpoint.secrets.into_iter().map(|secret| secret.sealed.to_vec()).collect(),
            bucket: Bucket::new(self.rate),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn key_record(version: u64, removed: bool) -> v1::GatewayConfigRecord {
        let key = v1::ApiKey { key_id: "k1".into(), sha256: vec![1; 32].into(), ..Default::default() };
        let fact = v1::ConfigFact {
            program_id: "prog".into(),
            object: Some(Object::ApiKey(key)),
            removed,
            ..Default::default()
        };
        v1::GatewayConfigRecord {
            key: "api_key/prog/k1".into(),
            version,
            fact: Some(fact),
            ..Default::default()
        }
    }

    #[test]
    fn a_revoked_key_does_not_come_back_with_a_late_older_record() {
        let directory = Directory::new(MasterKey::from_bytes([0; 64]), None);
        assert_eq!(directory.apply(key_record(5, false)), Applied::Changed);
        assert_eq!(directory.key(&[1; 32]).unwrap().key_id, "k1");
        assert_eq!(directory.apply(key_record(9, true)), Applied::Changed);
        assert_eq!(directory.apply(key_record(7, false)), Applied::Outdated);
        assert!(directory.key(&[1; 32]).is_none());
    }

    #[test]
    fn a_rotated_endpoint_has_the_new_secrets_and_only_those() {
        let master_key = MasterKey::from_bytes([0; 64]);
        let directory = Directory::new(master_key.clone(), None);
        for (version, secrets) in [(1, vec!["old"]), (2, vec!["old", "new"]), (3, vec!["new"])] {
            let sealed = secrets.iter().map(|secret| {
                let sealed = master_key.seal_endpoint_secret("prog", "ep", secret.as_bytes()).unwrap();
                v1::SealedSecret { sealed: sealed.into() }
            });
            let endpoint = v1::Endpoint {
                endpoint_id: "ep".into(),
                provider: "paddle".into(),
                secrets: sealed.collect(),
                ..Default::default()
            };
            let fact = v1::ConfigFact {
                program_id: "prog".into(),
                object: Some(Object::Endpoint(endpoint)),
                ..Default::default()
            };
            let record = v1::GatewayConfigRecord {
                key: "endpoint/prog/ep".into(),
                version,
                fact: Some(fact),
                ..Default::default()
            };
            directory.apply(record);
            let program = directory.program("prog").unwrap();
            assert_eq!(program.endpoints.len(), 1);
            let open: Vec<&[u8]> =
                program.endpoints[0].secrets.iter().map(|secret| secret.as_slice()).collect();
            assert_eq!(open, secrets.iter().map(|secret| secret.as_bytes()).collect::<Vec<_>>());
        }
    }
}

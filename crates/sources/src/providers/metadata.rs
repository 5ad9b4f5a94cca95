//! What a merchant put beside a payment: referral codes and keys of its own customers, under names that are looked for in
//! a fixed order. Other keys are not kept: they may hold anything.
use crate::defect::Defect;
use crate::json::{Raw, code};
use domain::facts::Referral;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// Names of a referral code, in the order in which they are tried.
const REFERRAL_KEYS: [&str; 6] =
    ["tributary_ref", "ref_code", "affonso_referral", "affihub_ref", "ref", "via"];
/// Names of the merchant's own key of a customer, in the order in which they are tried.
const CUSTOMER_KEYS: [&str; 3] = ["customer_key", "tributary_customer", "partnerstack_customer_key"];

/// The wanted values of a metadata object, as they were written.
#[derive(Debug, Default)]
pub(crate) struct Metadata<'a> {
    referrals: [Raw<'a>; REFERRAL_KEYS.len()],
    customers: [Raw<'a>; CUSTOMER_KEYS.len()],
}

impl Metadata<'_> {
    /// The first non-empty string under a referral key; numbers, null and the like are skipped as an empty one is.
    pub(crate) fn referral(&self, place: &str) -> Result<Option<Referral>, Defect> {
        let found = first(place, &REFERRAL_KEYS, &self.referrals)?;
        Ok(found.map(|(code, found_at)| Referral { code, found_at }))
    }

    /// The first non-empty string under a customer key.
    pub(crate) fn customer_key(&self, place: &str) -> Result<Option<String>, Defect> {
        first(place, &CUSTOMER_KEYS, &self.customers).map(|found| found.map(|(key, _)| key))
    }
}

fn first(place: &str, names: &[&str], values: &[Raw<'_>]) -> Result<Option<(String, String)>, Defect> {
    for (name, value) in names.iter().zip(values) {
        if value.is_none() {
            continue;
        }
        let path = format_args!("{place}.{name}");
        if let Some(text) = code(path, *value)? {
            return Ok(Some((text, path.to_string())));
        }
    }
    Ok(None)
}

impl<'de: 'a, 'a> Deserialize<'de> for Metadata<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MetadataVisitor;
        impl<'de> Visitor<'de> for MetadataVisitor {
            type Value = Metadata<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut metadata = Metadata::default();
                let mut seen = [false; REFERRAL_KEYS.len() + CUSTOMER_KEYS.len()];
                while let Some(key) = map.next_key::<Wanted>()? {
                    let Some(place) = key.0 else {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    };
                    let value = map.next_value::<Option<&'de RawValue>>()?;
                    if std::mem::replace(&mut seen[place], true) {
                        let name = REFERRAL_KEYS.iter().chain(&CUSTOMER_KEYS).nth(place).copied();
                        return Err(Error::duplicate_field(name.unwrap_or_default()));
                    }
                    match place.checked_sub(REFERRAL_KEYS.len()) {
                        None => metadata.referrals[place] = value,
                        Some(place) => metadata.customers[place] = value,
                    }
                }
                Ok(metadata)
            }
        }
        deserializer.deserialize_map(MetadataVisitor)
    }
}

/// A key's place in the two lists, if it is one of theirs.
struct Wanted(Option<usize>);

impl<'de> Deserialize<'de> for Wanted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl Visitor<'_> for KeyVisitor {
            type Value = Wanted;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_str<E>(self, key: &str) -> Result<Wanted, E> {
                Ok(Wanted(REFERRAL_KEYS.iter().chain(&CUSTOMER_KEYS).position(|name| *name == key)))
            }
        }
        deserializer.deserialize_identifier(KeyVisitor)
    }
}

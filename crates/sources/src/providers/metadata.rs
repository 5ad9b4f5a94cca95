//! What a merchant put beside a payment: referral codes and keys of its own customers, under names that the program sets
//! and that are looked for in their order. Other keys are not kept: they may hold anything.
use crate::defect::Defect;
use crate::json::{Path, Raw, code};
use domain::config::SourceSettings;
use domain::facts::Referral;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// The wanted values of a metadata object, as they were written, beside the names of each.
#[derive(Debug)]
pub(crate) struct Metadata<'a> {
    settings: &'a SourceSettings,
    referrals: Vec<Raw<'a>>,
    customers: Vec<Raw<'a>>,
}

impl<'a> Metadata<'a> {
    /// Reads the object at `path`; what is absent or no object holds nothing.
    pub(crate) fn read(path: impl Path, raw: Raw<'a>, settings: &'a SourceSettings) -> Result<Self, Defect> {
        let empty = Self {
            settings,
            referrals: vec![None; settings.referral_keys.len()],
            customers: vec![None; settings.customer_keys.len()],
        };
        match raw.map(RawValue::get).filter(|text| text.starts_with('{')) {
            None => Ok(empty),
            Some(text) => empty
                .deserialize(&mut serde_json::Deserializer::from_str(text))
                .map_err(|error| Defect::unreadable(path, &error)),
        }
    }

    /// The first non-empty string under a referral key; numbers, null and the like are skipped as an empty one is.
    pub(crate) fn referral(&self, place: impl Path) -> Result<Option<Referral>, Defect> {
        let found = first(place, &self.settings.referral_keys, &self.referrals)?;
        Ok(found.map(|(code, found_at)| Referral { code, found_at }))
    }

    /// The first non-empty string under a customer key.
    pub(crate) fn customer_key(&self, place: impl Path) -> Result<Option<String>, Defect> {
        let found = first(place, &self.settings.customer_keys, &self.customers)?;
        Ok(found.map(|(key, _)| key))
    }
}

fn first(place: impl Path, names: &[String], values: &[Raw<'_>]) -> Result<Option<(String, String)>, Defect> {
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

impl<'a> DeserializeSeed<'a> for Metadata<'a> {
    type Value = Self;
    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Metadata<'a> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<Self, A::Error> {
        let mut seen = vec![false; self.referrals.len() + self.customers.len()];
        while let Some(places) = map.next_key_seed(Wanted(self.settings))? {
            if places == (None, None) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = map.next_value::<Option<&'a RawValue>>()?;
            let (referral, customer) = places;
            for (place, name) in [
                referral.map(|place| (place, &self.settings.referral_keys[place])),
                customer.map(|place| (place + self.referrals.len(), &self.settings.customer_keys[place])),
            ]
            .into_iter()
            .flatten()
            {
                if std::mem::replace(&mut seen[place], true) {
                    return Err(Error::custom(format_args!("duplicate field `{name}`")));
                }
            }
            if let Some(place) = referral {
                self.referrals[place] = value;
            }
            if let Some(place) = customer {
                self.customers[place] = value;
            }
        }
        Ok(self)
    }
}

/// A key's places among the referral keys and the customer keys, if it is one of either.
struct Wanted<'s>(&'s SourceSettings);

impl<'de> DeserializeSeed<'de> for Wanted<'_> {
    type Value = (Option<usize>, Option<usize>);
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Wanted<'_> {
    type Value = (Option<usize>, Option<usize>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        let place = |names: &[String]| names.iter().position(|name| name == key);
        Ok((place(&self.0.referral_keys), place(&self.0.customer_keys)))
    }
}

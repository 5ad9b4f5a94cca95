//! What a merchant put beside a payment: referral codes, keys of its own customers and words for rules, under names that the
//! program sets and that are looked for in their order. Other keys are not kept: they may hold anything.
use crate::defect::Defect;
use crate::json::{Path, Raw, code, string};
use domain::config::SourceSettings;
use domain::facts::{MAX_METADATA_BYTES, Referral};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// The wanted values of a metadata object, as they were written, beside the names of each.
#[derive(Debug)]
pub(crate) struct Metadata<'a> {
    settings: &'a SourceSettings,
    /// By list of names, then as the list has them.
    values: [Vec<Raw<'a>>; LISTS],
}

/// Referral keys, customer keys, and what is kept for rules.
const LISTS: usize = 3;

fn lists(settings: &SourceSettings) -> [&[String]; LISTS] {
    [&settings.referral_keys, &settings.customer_keys, &settings.rule_metadata_keys]
}

impl<'a> Metadata<'a> {
    /// Reads the object at `path`; what is absent or no object holds nothing.
    pub(crate) fn read(path: impl Path, raw: Raw<'a>, settings: &'a SourceSettings) -> Result<Self, Defect> {
        let empty = Self { settings, values: lists(settings).map(|names| vec![None; names.len()]) };
        match raw.map(RawValue::get).filter(|text| text.starts_with('{')) {
            None => Ok(empty),
            Some(text) => empty
                .deserialize(&mut serde_json::Deserializer::from_str(text))
                .map_err(|error| Defect::unreadable(path, &error)),
        }
    }

    /// The first non-empty string under a referral key; numbers, null and the like are skipped as an empty one is.
    pub(crate) fn referral(&self, place: impl Path) -> Result<Option<Referral>, Defect> {
        let found = first(place, &self.settings.referral_keys, &self.values[0])?;
        Ok(found.map(|(code, found_at)| Referral { code, found_at }))
    }

    /// The first non-empty string under a customer key.
    pub(crate) fn customer_key(&self, place: impl Path) -> Result<Option<String>, Defect> {
        let found = first(place, &self.settings.customer_keys, &self.values[1])?;
        Ok(found.map(|(key, _)| key))
    }

    /// What rules may ask for: texts, and numbers and flags as they are written. What is empty or too long is left out: no
    /// rule is worth a sale that counts for nothing.
    pub(crate) fn keep(&self, kept: &mut Vec<(String, String)>) {
        for (name, value) in self.settings.rule_metadata_keys.iter().zip(&self.values[2]) {
            let text = match value.map(RawValue::get) {
                Some(text) if text.starts_with('"') => string("metadata", *value).ok().flatten(),
                Some(text) if !text.starts_with(['{', '[', 'n']) => Some(text.into()),
                _ => None,
            };
            let text = text.filter(|text| (1..=MAX_METADATA_BYTES).contains(&text.len()));
            if let Some(text) = text
                && !kept.iter().any(|(known, _)| known == name)
            {
                kept.push((name.clone(), text.into_owned()));
            }
        }
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
        let mut seen = lists(self.settings).map(|names| vec![false; names.len()]);
        while let Some(places) = map.next_key_seed(Wanted(self.settings))? {
            if places == [None; LISTS] {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = map.next_value::<Option<&'a RawValue>>()?;
            for (list, place) in places.into_iter().enumerate() {
                let Some(place) = place else { continue };
                if std::mem::replace(&mut seen[list][place], true) {
                    let name = &lists(self.settings)[list][place];
                    return Err(Error::custom(format_args!("duplicate field `{name}`")));
                }
                self.values[list][place] = value;
            }
        }
        Ok(self)
    }
}

/// A key's places in the lists of names.
struct Wanted<'s>(&'s SourceSettings);

impl<'de> DeserializeSeed<'de> for Wanted<'_> {
    type Value = [Option<usize>; LISTS];
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Wanted<'_> {
    type Value = [Option<usize>; LISTS];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(lists(self.0).map(|names| names.iter().position(|name| name == key)))
    }
}

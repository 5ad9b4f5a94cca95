//! What a body may hold, as tables: the same table refuses a bad body and describes a good one, so that the two cannot
//! drift apart.
mod rules;
#[cfg(test)]
mod tests;

pub(super) use rules::refused;

use super::card::is_card_number;
use crate::json::{self, MAX_CODE_BYTES, MAX_ID_BYTES};
use domain::money::{Currency, Minor, RatePpm};
use domain::rules::Condition;
use domain::time::Micros;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// One field of an object.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its key.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// It must be there.
    pub required: bool,
    /// What it means, in a sentence.
    pub about: &'static str,
}

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// 1 to 255 bytes without control characters.
    Id,
    /// 1 to 1,024 bytes without U+0000.
    Text,
    /// Minor units: a number without sign, fraction and exponent.
    Amount,
    /// Minor units, perhaps below 0.
    SignedAmount,
    /// A whole number within bounds.
    Number {
        /// The least.
        least: u64,
        /// The most.
        most: u64,
    },
    /// A whole number within bounds, perhaps below 0.
    Signed {
        /// The least.
        least: i32,
        /// The most.
        most: i32,
    },
    /// `true` or `false`.
    Flag,
    /// An ISO 4217 code.
    Currency,
    /// Two letters (ISO 3166-1), kept as capitals.
    Country,
    /// RFC 3339.
    Moment,
    /// A percentage as text, with at most four decimals: `"12.5"`.
    Percent,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list of these words, each once.
    Words(&'static [&'static str]),
    /// A list of texts.
    Texts {
        /// How many at most.
        most: usize,
    },
    /// Texts, numbers and flags under the merchant's own names.
    Map {
        /// How many at most.
        most: usize,
    },
    /// When a rule applies: comparisons in groups.
    Condition,
    /// An object.
    Object(&'static [Field]),
    /// A list of objects.
    List {
        /// Their fields.
        of: &'static [Field],
        /// How many at most.
        most: usize,
    },
}

impl Kind {
    /// For a person: what is expected.
    #[must_use]
    pub fn expected(self) -> String {
        match self {
            Self::Id => format!("a text of 1 to {MAX_ID_BYTES} bytes without control characters"),
            Self::Text => format!("a text of 1 to {MAX_CODE_BYTES} bytes without U+0000"),
            Self::Amount => "minor units: a whole number from 0, without fraction or exponent".to_owned(),
            Self::SignedAmount => {
                "minor units: a whole number, perhaps below 0, without fraction or exponent".to_owned()
            }
            Self::Number { least, most } => format!("a whole number from {least} to {most}"),
            Self::Signed { least, most } => format!("a whole number from {least} to {most}"),
            Self::Flag => "true or false".to_owned(),
            Self::Currency => "an ISO 4217 code".to_owned(),
            Self::Country => "two letters of ISO 3166-1".to_owned(),
            Self::Moment => "a moment in RFC 3339".to_owned(),
            Self::Percent => {
                "a percentage above 0 and up to 100 as text, with at most four decimals".to_owned()
            }
            Self::Word(words) => format!("one of {}", words.join(", ")),
            Self::Words(words) => format!("a list of {}, each at most once", words.join(", ")),
            Self::Texts { most } => format!("a list of at most {most} texts"),
            Self::Map { most } => {
                format!("an object of at most {most} texts, numbers and flags under names of 1 to 64 bytes")
            }
            Self::Condition => {
                "{\"all\": [...]}, {\"any\": [...]} or {\"field\", \"operator\", \"value\"}".to_owned()
            }
            Self::Object(_) => "an object".to_owned(),
            Self::List { most, .. } => format!("a list of at most {most} objects"),
        }
    }
}

/// Why a body is refused. Nothing of it is logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// One of the codes of `docs/reference/native-api.md`.
    pub code: &'static str,
    /// The path of the field: `lines[2].net`.
    pub field: String,
    /// What is expected. Never holds a value: values may be personal data.
    pub message: String,
}

impl Refused {
    /// A refusal of the field at `field`.
    #[must_use]
    pub fn new(code: &'static str, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code, field: field.into(), message: message.into() }
    }
}

/// A field that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// [`Kind::Id`], [`Kind::Text`], [`Kind::Word`], [`Kind::Country`].
    Text(String),
    /// [`Kind::Amount`], [`Kind::SignedAmount`].
    Amount(Minor),
    /// [`Kind::Number`].
    Number(u64),
    /// [`Kind::Signed`].
    Signed(i32),
    /// [`Kind::Flag`].
    Flag(bool),
    /// [`Kind::Currency`].
    Currency(Currency),
    /// [`Kind::Moment`].
    Moment(Micros),
    /// [`Kind::Percent`].
    Rate(RatePpm),
    /// [`Kind::Texts`], [`Kind::Words`].
    Texts(Vec<String>),
    /// [`Kind::Map`], in the order of the body.
    Map(Vec<(String, String)>),
    /// [`Kind::Condition`].
    Condition(Condition),
    /// [`Kind::Object`].
    Object(Values),
    /// [`Kind::List`].
    List(Vec<Values>),
}

/// The fields of an object that passed, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values(BTreeMap<&'static str, Value>);

macro_rules! getter {
    ($(#[$doc:meta])* $name:ident, $variant:ident, $type:ty) => {
        $(#[$doc])*
        #[must_use]
        pub fn $name(&self, name: &str) -> Option<$type> {
            match self.0.get(name) {
                Some(Value::$variant(value)) => Some(*value),
                _ => None,
            }
        }
    };
}

impl Values {
    getter!(/// The amount of that name.
        amount, Amount, Minor);
    getter!(/// The number of that name.
        number, Number, u64);
    getter!(/// The number of that name, perhaps below 0.
        signed, Signed, i32);
    getter!(/// The flag of that name.
        flag, Flag, bool);
    getter!(/// The currency of that name.
        currency, Currency, Currency);
    getter!(/// The moment of that name.
        moment, Moment, Micros);
    getter!(/// The percentage of that name.
        rate, Rate, RatePpm);

    /// The text of that name.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The text of that name, or an empty one.
    #[must_use]
    pub fn owned(&self, name: &str) -> String {
        self.text(name).unwrap_or_default().to_owned()
    }

    /// The texts of that name; empty when there are none.
    #[must_use]
    pub fn texts(&self, name: &str) -> &[String] {
        match self.0.get(name) {
            Some(Value::Texts(texts)) => texts,
            _ => &[],
        }
    }

    /// The names and values of that name; empty when there are none.
    #[must_use]
    pub fn map(&self, name: &str) -> &[(String, String)] {
        match self.0.get(name) {
            Some(Value::Map(map)) => map,
            _ => &[],
        }
    }

    /// The condition of that name.
    #[must_use]
    pub fn condition(&self, name: &str) -> Option<&Condition> {
        match self.0.get(name) {
            Some(Value::Condition(condition)) => Some(condition),
            _ => None,
        }
    }

    /// The object of that name.
    #[must_use]
    pub fn object(&self, name: &str) -> Option<&Self> {
        match self.0.get(name) {
            Some(Value::Object(object)) => Some(object),
            _ => None,
        }
    }

    /// The objects of that name; empty when there are none.
    #[must_use]
    pub fn list(&self, name: &str) -> &[Self] {
        match self.0.get(name) {
            Some(Value::List(list)) => list,
            _ => &[],
        }
    }

    /// Whether a field of that name was given.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

/// Reads an object by its table. The body must have passed [`json::precheck`].
///
/// # Errors
/// [`Refused`] for the first field that does not pass, in the order of the body; then the first that is missing.
pub fn read(fields: &[Field], body: &[u8]) -> Result<Values, Refused> {
    let text =
        std::str::from_utf8(body).map_err(|_| Refused::new("malformed_body", "", "the body is not UTF-8"))?;
    object(fields, text, "")
}

/// The items of a batch as they were written; `None`: the body is no batch.
///
/// # Errors
/// [`Refused`] when `batch` is there and is no list of 1 to `most` objects, or is not alone.
pub fn batch(body: &[u8], most: usize) -> Result<Option<Vec<&RawValue>>, Refused> {
    let text =
        std::str::from_utf8(body).map_err(|_| Refused::new("malformed_body", "", "the body is not UTF-8"))?;
    let entries = entries(text, "")?;
    let Some((_, raw)) = entries.iter().find(|(name, _)| name == "batch") else { return Ok(None) };
    if let Some((name, _)) = entries.iter().find(|(name, _)| name != "batch") {
        return Err(unknown(name, ""));
    }
    if entries.len() > 1 {
        return Err(Refused::new("duplicate_field", "batch", "batch is there twice"));
    }
    let bad = || Refused::new("bad_field", "batch", format!("batch must be a list of 1 to {most} objects"));
    let items: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| bad())?;
    let objects = items.iter().all(|item| item.get().starts_with('{'));
    if (1..=most).contains(&items.len()) && objects { Ok(Some(items)) } else { Err(bad()) }
}

fn object(fields: &[Field], text: &str, prefix: &str) -> Result<Values, Refused> {
    let mut values = Values::default();
    let mut seen: Vec<&str> = Vec::with_capacity(fields.len());
    for (name, raw) in entries(text, prefix)? {
        let Some(field) = fields.iter().find(|field| field.name == name) else {
            return Err(unknown(&name, prefix));
        };
        let path = format!("{prefix}{}", field.name);
        if seen.contains(&field.name) {
            return Err(Refused::new("duplicate_field", path, format!("{} is there twice", field.name)));
        }
        seen.push(field.name);
        if raw.get() != "null" {
            values.0.insert(field.name, value(field.kind, raw, &path)?);
        }
    }
    match fields.iter().find(|field| field.required && !values.has(field.name)) {
        Some(field) => {
            let message = format!("{} is missing: {}", field.name, field.kind.expected());
            Err(Refused::new("missing_field", format!("{prefix}{}", field.name), message))
        }
        None => Ok(values),
    }
}

/// A name as long as any of ours, without what would make a line of a log look like another.
fn unknown(name: &str, prefix: &str) -> Refused {
    const SHOWN: usize = 64;
    let shown: String = name.chars().filter(|letter| !letter.is_control()).take(SHOWN).collect();
    Refused::new(
        "unknown_field",
        format!("{prefix}{shown}"),
        "there is no such field here; see the reference",
    )
}

fn value(kind: Kind, raw: &RawValue, path: &str) -> Result<Value, Refused> {
    let wrong = |code| Refused::new(code, path, format!("{path} must be {}", kind.expected()));
    let bad = || wrong("bad_field");
    Ok(match kind {
        Kind::Id => Value::Text(text(raw, path, kind, MAX_ID_BYTES)?),
        Kind::Text => Value::Text(text(raw, path, kind, MAX_CODE_BYTES)?),
        Kind::Amount => Value::Amount(json::minor(raw.get()).map_err(|_| wrong("bad_amount"))?),
        Kind::SignedAmount => {
            Value::Amount(rules::whole(raw.get()).map(Minor).ok_or_else(|| wrong("bad_amount"))?)
        }
        Kind::Number { least, most } => {
            let number = raw.get().bytes().all(|byte| byte.is_ascii_digit()).then(|| raw.get().parse().ok());
            Value::Number(number.flatten().filter(|number| (least..=most).contains(number)).ok_or_else(bad)?)
        }
        Kind::Signed { least, most } => {
            let number = rules::whole(raw.get()).and_then(|number| i32::try_from(number).ok());
            Value::Signed(number.filter(|number| (least..=most).contains(number)).ok_or_else(bad)?)
        }
        Kind::Flag => Value::Flag(raw.get().parse().map_err(|_| bad())?),
        Kind::Country => {
            let text = text(raw, path, kind, MAX_ID_BYTES)?;
            let letters = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic());
            Value::Text(letters.then(|| text.to_ascii_uppercase()).ok_or_else(bad)?)
        }
        Kind::Currency => {
            let text = text(raw, path, kind, MAX_ID_BYTES)?;
            Value::Currency(Currency::parse(&text).ok_or_else(|| wrong("unknown_currency"))?)
        }
        Kind::Moment => {
            let moment = json::moment(path, Some(raw)).map_err(|_| wrong("bad_time"))?;
            Value::Moment(moment.ok_or_else(|| wrong("bad_time"))?)
        }
        Kind::Percent => Value::Rate(percent(&text(raw, path, kind, MAX_ID_BYTES)?).ok_or_else(bad)?),
        Kind::Word(words) => {
            let word = text(raw, path, kind, MAX_ID_BYTES)?;
            if !words.contains(&word.as_str()) {
                return Err(bad());
            }
            Value::Text(word)
        }
        Kind::Words(words) => {
            let list = texts(raw, path, kind, words.len())?;
            let known = list.iter().all(|word| words.contains(&word.as_str()));
            let once = list.iter().enumerate().all(|(place, word)| !list[..place].contains(word));
            if !known || !once {
                return Err(bad());
            }
            Value::Texts(list)
        }
        Kind::Texts { most } => Value::Texts(texts(raw, path, kind, most)?),
        Kind::Map { most } => Value::Map(rules::map(raw, path, most)?),
        Kind::Condition => Value::Condition(rules::condition(raw, path)?),
        Kind::Object(fields) => {
            if !raw.get().starts_with('{') {
                return Err(bad());
            }
            Value::Object(object(fields, raw.get(), &format!("{path}."))?)
        }
        Kind::List { of, most } => {
            let items: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| bad())?;
            if items.len() > most || items.iter().any(|item| !item.get().starts_with('{')) {
                return Err(bad());
            }
            let items = items.iter().enumerate();
            let items = items.map(|(place, item)| object(of, item.get(), &format!("{path}[{place}].")));
            Value::List(items.collect::<Result<_, _>>()?)
        }
    })
}

fn texts(raw: &RawValue, path: &str, kind: Kind, most: usize) -> Result<Vec<String>, Refused> {
    let bad = || Refused::new("bad_field", path, format!("{path} must be {}", kind.expected()));
    let items: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| bad())?;
    if items.len() > most {
        return Err(bad());
    }
    let items = items.into_iter().enumerate();
    items.map(|(place, item)| text(item, &format!("{path}[{place}]"), Kind::Id, MAX_ID_BYTES)).collect()
}

fn text(raw: &RawValue, path: &str, kind: Kind, most: usize) -> Result<String, Refused> {
    let wrong = |code| Refused::new(code, path, format!("{path} must be {}", kind.expected()));
    let text = json::string(path, Some(raw)).map_err(|_| wrong("bad_text"))?;
    let text: Cow<'_, str> = text.ok_or_else(|| wrong("bad_field"))?;
    let forbidden = |letter: char| match kind {
        Kind::Text => letter == '\0',
        _ => letter.is_control(),
    };
    if text.is_empty() || text.len() > most || text.chars().any(forbidden) {
        return Err(wrong("bad_text"));
    }
    if is_card_number(&text) {
        let message = format!("{path} looks like a card number: put a prefix before it if it is an id");
        return Err(Refused::new("card_number", path, message));
    }
    Ok(text.into_owned())
}

/// `12.5` as parts per million; `None`: no percentage above 0 and up to 100 with at most four decimals.
fn percent(text: &str) -> Option<RatePpm> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str, most: usize| {
        (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !digits(whole, 3) || !digits(part, 4) {
        return None;
    }
    let scale = 10_i64.pow(4 - u32::try_from(part.len()).ok()?);
    RatePpm::new(whole.parse::<i64>().ok()? * 10_000 + part.parse::<i64>().ok()? * scale)
        .filter(|rate| rate.0 > 0)
}

/// The keys and values of an object in their order, repeated ones included.
fn entries<'a>(text: &'a str, prefix: &str) -> Result<Vec<(Cow<'a, str>, &'a RawValue)>, Refused> {
    struct Entries<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);
    struct Key<'a>(Cow<'a, str>);
    impl<'de> Deserialize<'de> for Key<'de> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct KeyVisitor;
            impl<'de> Visitor<'de> for KeyVisitor {
                type Value = Key<'de>;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a key")
                }
                fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
                    Ok(Key(Cow::Borrowed(key)))
                }
                fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
                    Ok(Key(Cow::Owned(key.to_owned())))
                }
            }
            deserializer.deserialize_str(KeyVisitor)
        }
    }
    impl<'de> Deserialize<'de> for Entries<'de> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct EntriesVisitor;
            impl<'de> Visitor<'de> for EntriesVisitor {
                type Value = Entries<'de>;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                    let mut entries = Vec::new();
                    while let Some(Key(key)) = map.next_key()? {
                        entries.push((key, map.next_value()?));
                    }
                    Ok(Entries(entries))
                }
            }
            deserializer.deserialize_map(EntriesVisitor)
        }
    }
    let entries: Entries<'a> = serde_json::from_str(text).map_err(|_| {
        let field = prefix.trim_end_matches('.');
        Refused::new("malformed_body", field, "the body is no JSON object that can be read")
    })?;
    Ok(entries.0)
}

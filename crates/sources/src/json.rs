//! JSON as strangers send it: what is refused at the door, and reading fields without losing what was really written.
//!
//! Fields are kept as their raw text until somebody asks for an id, an amount or a moment, so that a number never passes
//! through a float, and a field that nobody wants can hold anything. A wanted key that occurs twice is an error: two
//! parsers would read two different bodies.
use crate::defect::{Defect, reason};
use domain::money::{Currency, Minor};
use domain::time::Micros;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Deepest nesting that is accepted; the outermost object is 1.
pub const MAX_DEPTH: usize = 64;
/// Longest id in bytes.
pub const MAX_ID_BYTES: usize = 255;
/// Longest code, coupon or identifier of a person in bytes.
pub const MAX_CODE_BYTES: usize = 1024;

/// Why a body is refused before anybody looks at what it says. Nothing of it is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not UTF-8.
    #[error("the body is not UTF-8")]
    InvalidUtf8,
    /// Not JSON.
    #[error("the body is not JSON")]
    NotJson,
    /// JSON, but no object.
    #[error("the body is not a JSON object")]
    NotObject,
    /// Nested too deeply.
    #[error("the body is nested too deeply")]
    TooDeep,
}

/// Whether `body` is a JSON object in UTF-8 with at most `max_depth` levels.
///
/// # Errors
/// [`JsonError`].
pub fn precheck(body: &[u8], max_depth: usize) -> Result<(), JsonError> {
    let text = std::str::from_utf8(body).map_err(|_| JsonError::InvalidUtf8)?;
    if depth_exceeds(body, max_depth) {
        return Err(JsonError::TooDeep);
    }
    serde_json::from_str::<IgnoredAny>(text).map_err(|_| JsonError::NotJson)?;
    let first = text.trim_start_matches([' ', '\t', '\n', '\r']).as_bytes().first();
    if first == Some(&b'{') { Ok(()) } else { Err(JsonError::NotObject) }
}

/// Counts brackets outside strings: right for JSON, harmless for anything else.
fn depth_exceeds(body: &[u8], max_depth: usize) -> bool {
    // Nearly every body has fewer brackets than levels that are allowed, and counting is many times faster than scanning.
    if body.iter().filter(|byte| matches!(byte, b'{' | b'[')).count() <= max_depth {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in body {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                if depth > max_depth {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// Where a field is: written out only when there is something wrong with it.
pub(crate) trait Path: fmt::Display + Copy {}
impl<T: fmt::Display + Copy> Path for T {}

/// A field as it was written; `None`: absent or null.
pub(crate) type Raw<'a> = Option<&'a RawValue>;

/// What a visitor makes of any scalar but null.
macro_rules! scalars_are {
    ($value:expr) => {
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok($value)
        }
    };
}

/// An object where one belongs. Anything else is kept apart instead of failing the whole body.
#[derive(Debug, Default)]
pub(crate) enum Object<T> {
    /// Absent or null.
    #[default]
    Absent,
    /// Not an object.
    Other,
    /// The object.
    Is(T),
}

impl<T> Object<T> {
    /// The object, if there is one.
    pub(crate) fn get(&self) -> Option<&T> {
        if let Self::Is(object) = self { Some(object) } else { None }
    }

    /// The object.
    pub(crate) fn required(&self, path: impl Path) -> Result<&T, Defect> {
        match self {
            Self::Is(object) => Ok(object),
            Self::Absent => Err(Defect::missing(path)),
            Self::Other => Err(Defect::new(reason::BAD_FIELD, format!("{path} is not an object"))),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object::Is)
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Object::Absent)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Object::Other)
            }
            scalars_are!(Object::Other);
        }
        deserializer.deserialize_any(ObjectVisitor(PhantomData))
    }
}

/// The objects of an array; anything that is no array is an empty one.
#[derive(Debug)]
pub(crate) struct List<T>(pub(crate) Vec<Object<T>>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
            type Value = List<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some(element) = seq.next_element()? {
                    list.push(element);
                }
                Ok(List(list))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(List::default())
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(List::default())
            }
            scalars_are!(List::default());
        }
        deserializer.deserialize_any(ListVisitor(PhantomData))
    }
}

/// Reads an object of wanted fields from the text of one.
pub(crate) fn object<'a, T: Deserialize<'a>>(path: impl Path, raw: Raw<'a>) -> Result<T, Defect> {
    let raw = raw.ok_or_else(|| Defect::missing(path))?;
    match serde_json::from_str::<Object<T>>(raw.get()) {
        Ok(Object::Is(object)) => Ok(object),
        Ok(Object::Absent) => Err(Defect::missing(path)),
        Ok(Object::Other) => Err(Defect::new(reason::BAD_FIELD, format!("{path} is not an object"))),
        Err(error) => Err(Defect::unreadable(path, &error)),
    }
}

/// A string field; `None` when it is absent, null or no string.
pub(crate) fn string<'a>(path: impl Path, raw: Raw<'a>) -> Result<Option<Cow<'a, str>>, Defect> {
    /// Borrows where the text has no escapes.
    #[derive(serde::Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    match raw {
        Some(raw) if raw.get().starts_with('"') => serde_json::from_str::<Text<'a>>(raw.get())
            .map(|text| Some(text.0))
            .map_err(|_| Defect::new(reason::BAD_TEXT, format!("{path} holds half of a surrogate pair"))),
        _ => Ok(None),
    }
}

/// An id that must be there: a string of 1 to 255 bytes without control characters.
pub(crate) fn id(path: impl Path, raw: Raw<'_>) -> Result<String, Defect> {
    match optional_id(path, raw)? {
        id if id.is_empty() => Err(Defect::missing(path)),
        id => Ok(id),
    }
}

/// As [`id`]; empty when absent or null.
pub(crate) fn optional_id(path: impl Path, raw: Raw<'_>) -> Result<String, Defect> {
    let Some(value) = raw else { return Ok(String::new()) };
    let Some(text) = string(path, raw)? else {
        return Err(Defect::new(reason::BAD_FIELD, format!("{path} is {}, not a string", kind(value))));
    };
    if text.len() > MAX_ID_BYTES {
        return Err(Defect::new(reason::BAD_TEXT, format!("{path} is longer than {MAX_ID_BYTES} bytes")));
    }
    if text.chars().any(char::is_control) {
        return Err(Defect::new(reason::BAD_TEXT, format!("{path} has a control character")));
    }
    Ok(text.into_owned())
}

/// A code or an identifier of a person, exact: `None` when it is absent, empty or no string.
pub(crate) fn code(path: impl Path, raw: Raw<'_>) -> Result<Option<String>, Defect> {
    let Some(text) = string(path, raw)?.filter(|text| !text.is_empty()) else { return Ok(None) };
    if text.len() > MAX_CODE_BYTES {
        return Err(Defect::new(reason::BAD_TEXT, format!("{path} is longer than {MAX_CODE_BYTES} bytes")));
    }
    if text.contains('\0') {
        return Err(Defect::new(reason::BAD_TEXT, format!("{path} has a U+0000")));
    }
    Ok(Some(text.into_owned()))
}

/// An amount in minor units, written as a string of decimal digits: no sign, no fraction, no exponent, no number.
pub(crate) fn digits_amount(path: impl Path, raw: Raw<'_>) -> Result<Minor, Defect> {
    optional_digits_amount(path, raw)?.ok_or_else(|| Defect::missing(path))
}

/// As [`digits_amount`]; `None` when absent or null.
pub(crate) fn optional_digits_amount(path: impl Path, raw: Raw<'_>) -> Result<Option<Minor>, Defect> {
    let Some(value) = raw else { return Ok(None) };
    let text = string(path, raw)?.ok_or_else(|| {
        Defect::new(reason::BAD_AMOUNT, format!("{path} is {}, not a string of digits", kind(value)))
    })?;
    minor(&text).map(Some).map_err(|rule| Defect::new(reason::BAD_AMOUNT, format!("{path} {rule}")))
}

/// Decimal digits as minor units.
pub(crate) fn minor(text: &str) -> Result<Minor, &'static str> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("is not decimal digits only");
    }
    text.parse().map(Minor).map_err(|_| "is larger than any amount")
}

/// A whole number of minor units, written as a JSON number without fraction or exponent; `None` when absent or null.
pub(crate) fn optional_whole(path: impl Path, raw: Raw<'_>) -> Result<Option<Minor>, Defect> {
    let Some(value) = raw else { return Ok(None) };
    let text = value.get();
    let bad = |rule: &str| Defect::new(reason::BAD_AMOUNT, format!("{path} {rule}"));
    if !text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        return Err(bad(&format!("is {}, not a whole number", kind(value))));
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let size = minor(digits).map_err(&bad)?;
    if digits.len() == text.len() {
        return Ok(Some(size));
    }
    size.negated().map(Some).map_err(|_| bad("is larger than any amount"))
}

/// A moment in whole seconds since 1970; `None` when absent or null.
pub(crate) fn unix_seconds(path: impl Path, raw: Raw<'_>) -> Result<Option<Micros>, Defect> {
    /// The end of the year 9999.
    const LAST: i64 = 253_402_300_799;
    let Some(value) = raw else { return Ok(None) };
    let seconds = value.get().parse().ok().filter(|seconds| (0..=LAST).contains(seconds));
    seconds.map(|seconds: i64| Some(Micros(seconds * 1_000_000))).ok_or_else(|| {
        Defect::new(reason::BAD_TIME, format!("{path} is no whole number of seconds since 1970"))
    })
}

/// A truth value; `None` when absent or null.
pub(crate) fn truth(path: impl Path, raw: Raw<'_>) -> Result<Option<bool>, Defect> {
    match raw.map(RawValue::get) {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(_) => Err(Defect::new(reason::BAD_FIELD, format!("{path} is neither true nor false"))),
    }
}

/// The id of another object, which some bodies hold whole; empty when absent or null.
pub(crate) fn reference(path: impl Path, raw: Raw<'_>) -> Result<String, Defect> {
    #[derive(serde::Deserialize)]
    struct Whole<'a> {
        #[serde(borrow, default)]
        id: Raw<'a>,
    }
    match raw {
        Some(value) if value.get().starts_with('{') => {
            let whole: Whole<'_> = object(path, raw)?;
            id(format_args!("{path}.id"), whole.id)
        }
        _ => optional_id(path, raw),
    }
}

/// A currency that we know.
pub(crate) fn currency(path: impl Path, raw: Raw<'_>) -> Result<Currency, Defect> {
    let text = id(path, raw)?;
    Currency::parse(&text)
        .ok_or_else(|| Defect::new(reason::UNKNOWN_CURRENCY, format!("{path} is no currency that we know")))
}

/// A moment in RFC 3339; `None` when absent or null.
pub(crate) fn moment(path: impl Path, raw: Raw<'_>) -> Result<Option<Micros>, Defect> {
    if raw.is_none() {
        return Ok(None);
    }
    let bad = || Defect::new(reason::BAD_TIME, format!("{path} is not a moment in RFC 3339"));
    let text = string(path, raw)?.ok_or_else(bad)?;
    let moment = OffsetDateTime::parse(&text, &Rfc3339).map_err(|_| bad())?;
    i64::try_from(moment.unix_timestamp_nanos().div_euclid(1000))
        .map(|micros| Some(Micros(micros)))
        .map_err(|_| bad())
}

/// What a field is, in a word, without its content.
fn kind(raw: &RawValue) -> &'static str {
    match raw.get().as_bytes().first() {
        Some(b'"') => "a string",
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b't' | b'f') => "a truth value",
        _ => "a number",
    }
}

//! What only rules need of a body: conditions, which stand in one another, and what a merchant keeps for them.
use super::{Kind, Refused, entries, text, unknown};
use crate::defect::reason;
use crate::json::{MAX_CODE_BYTES, MAX_ID_BYTES};
use domain::facts::MAX_METADATA_BYTES;
use domain::normalization::validate::code;
use domain::rules::{Comparison, Condition, Field, MAX_KEY_BYTES, Operator, RuleError, Value};
use serde_json::value::RawValue;

/// The parts of a comparison.
const COMPARISON: [&str; 3] = ["field", "operator", "value"];

/// What a rule says by itself is refused with the domain's own words.
pub(in crate::native) fn refused(error: RuleError) -> Refused {
    Refused::new(code::BAD_RULE, error.field, error.reason)
}

/// A JSON number without fraction and exponent.
pub(super) fn whole(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// One condition: a group or a comparison. How deep groups may stand is the domain's to say; bodies end at 64 levels.
pub(super) fn condition(raw: &RawValue, path: &str) -> Result<Condition, Refused> {
    let bad = || wrong(reason::BAD_FIELD, path, Kind::Condition);
    if !raw.get().starts_with('{') {
        return Err(bad());
    }
    let (mut group, mut comparison): (Option<Condition>, [Option<&RawValue>; 3]) = (None, [None; 3]);
    let mut names = 0;
    for (name, raw) in entries(raw.get(), path)? {
        names += 1;
        let here = format!("{path}.{name}");
        let known = COMPARISON.iter().zip(&mut comparison).find(|(known, _)| **known == name);
        let twice = match (name.as_ref(), known) {
            ("all", _) => group.replace(Condition::All(parts(raw, &here)?)).is_some(),
            ("any", _) => group.replace(Condition::Any(parts(raw, &here)?)).is_some(),
            (_, Some((_, place))) => place.replace(raw).is_some(),
            _ => return Err(unknown(&name, &format!("{path}."))),
        };
        if twice {
            return Err(Refused::new(
                "duplicate_field",
                here,
                "one group, and each part of a comparison once",
            ));
        }
    }
    match (group, comparison) {
        (Some(group), [None, None, None]) if names == 1 => Ok(group),
        (Some(_), _) => Err(Refused::new(
            reason::CONTRADICTORY,
            path,
            "a group stands alone: put comparisons and other groups into its list",
        )),
        (None, [Some(field), Some(operator), Some(value)]) => compared(field, operator, value, path),
        (None, [None, None, None]) => Err(bad()),
        (None, given) => {
            let missing = COMPARISON.iter().zip(given).find(|(_, given)| given.is_none());
            let name = missing.map(|(name, _)| *name).unwrap_or_default();
            let message = format!("{name} is missing: a comparison has field, operator and value");
            Err(Refused::new(reason::MISSING_FIELD, format!("{path}.{name}"), message))
        }
    }
}

fn parts(raw: &RawValue, path: &str) -> Result<Vec<Condition>, Refused> {
    let bad = || Refused::new(reason::BAD_FIELD, path, format!("{path} must be a list of conditions"));
    let items: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| bad())?;
    let items = items.into_iter().enumerate();
    items.map(|(place, item)| condition(item, &format!("{path}[{place}]"))).collect()
}

fn compared(
    field: &RawValue,
    operator: &RawValue,
    against: &RawValue,
    path: &str,
) -> Result<Condition, Refused> {
    let at = format!("{path}.field");
    let field = Field::parse(&text(field, &at, Kind::Id, MAX_ID_BYTES)?, &at).map_err(refused)?;
    let at = format!("{path}.operator");
    let word = text(operator, &at, Kind::Id, MAX_ID_BYTES)?;
    let operator = Operator::parse(&word).ok_or_else(|| {
        let names = Operator::ALL.map(Operator::name).join(", ");
        Refused::new(code::BAD_RULE, &at, format!("no such operator; there are {names}"))
    })?;
    let value = value(against, &format!("{path}.value"))?;
    Ok(Condition::Test(Comparison { field, operator, value }))
}

/// A text, a number, or a list of either. Which of them a field takes is the domain's to say.
fn value(raw: &RawValue, path: &str) -> Result<Value, Refused> {
    let bad = || {
        let message = format!("{path} must be a text, a whole number, or a list of one of the two");
        Refused::new(reason::BAD_FIELD, path, message)
    };
    match raw.get().as_bytes().first() {
        Some(b'"') => text(raw, path, Kind::Text, MAX_CODE_BYTES).map(Value::Text),
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| bad())?;
            if items.iter().all(|item| item.get().starts_with('"')) {
                let texts = items
                    .into_iter()
                    .enumerate()
                    .map(|(place, item)| text(item, &format!("{path}[{place}]"), Kind::Text, MAX_CODE_BYTES));
                return texts.collect::<Result<_, _>>().map(Value::Texts);
            }
            let numbers: Option<Vec<i64>> = items.into_iter().map(|item| whole(item.get())).collect();
            numbers.map(Value::Numbers).ok_or_else(bad)
        }
        _ => whole(raw.get()).map(Value::Number).ok_or_else(bad),
    }
}

/// Names and values that a merchant put beside an object; numbers and flags as they are written.
pub(super) fn map(raw: &RawValue, path: &str, most: usize) -> Result<Vec<(String, String)>, Refused> {
    let kind = Kind::Map { most };
    if !raw.get().starts_with('{') {
        return Err(wrong(reason::BAD_FIELD, path, kind));
    }
    let entries = entries(raw.get(), path)?;
    if entries.len() > most {
        return Err(wrong(reason::BAD_FIELD, path, kind));
    }
    let mut map: Vec<(String, String)> = Vec::with_capacity(entries.len());
    for (name, raw) in entries {
        if name.is_empty() || name.len() > MAX_KEY_BYTES || name.chars().any(char::is_control) {
            return Err(wrong(reason::BAD_TEXT, path, kind));
        }
        let path = format!("{path}.{name}");
        if map.iter().any(|(known, _)| *known == name) {
            return Err(Refused::new("duplicate_field", path, format!("{name} is there twice")));
        }
        let value = match raw.get().as_bytes().first() {
            Some(b'"') => {
                text(raw, &path, Kind::Text, MAX_METADATA_BYTES).map_err(|refused| match refused {
                    refused if refused.code == reason::BAD_TEXT => Refused::new(
                        reason::BAD_TEXT,
                        &path,
                        format!("{path} must be a text of 1 to {MAX_METADATA_BYTES} bytes without U+0000"),
                    ),
                    refused => refused,
                })?
            }
            Some(b'n') => continue,
            Some(b'{' | b'[') | None => {
                let message = format!("{path} must be a text, a number or a flag");
                return Err(Refused::new(reason::BAD_FIELD, path, message));
            }
            Some(_) => raw.get().to_owned(),
        };
        map.push((name.into_owned(), value));
    }
    Ok(map)
}

fn wrong(code: &'static str, path: &str, kind: Kind) -> Refused {
    Refused::new(code, path, format!("{path} must be {}", kind.expected()))
}

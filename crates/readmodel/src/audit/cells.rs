//! Cells of rows, as the log says they must be and as Postgres sends them. Each kind of cell is compared as what it is: text
//! is made only where somebody looks.
use super::{Column, Form, Table};
use domain::commission::{Posting, Slice};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A row, column by column.
pub type Cells<'a> = Vec<Cell<'a>>;

/// A cell, as it must be.
#[derive(Debug, Clone)]
pub enum Cell<'a> {
    /// Nothing.
    Null,
    /// A text; of lists its parts, joined by `, `.
    Text(Cow<'a, str>),
    /// A whole number; of moments microseconds since 1970.
    Number(i64),
    /// Yes or no.
    Flag(bool),
    /// Bytes, for people as hex.
    Bytes(&'a [u8]),
    /// Legs, for people as `account currency amount`, joined by `, `.
    Legs(&'a [Posting]),
    /// Parts of a base, for people as `line base rate`, joined by `, `.
    Slices(&'a [Slice]),
}

impl Cell<'_> {
    /// What it says, for people; none: it is null.
    #[must_use]
    pub fn shown(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::Null => return None,
            Self::Text(text) => Cow::Borrowed(text),
            Self::Number(number) => number.to_string().into(),
            Self::Flag(flag) => flag.to_string().into(),
            Self::Bytes(bytes) => hex::encode(bytes).into(),
            Self::Legs(legs) => {
                joined(legs, |leg| format!("{} {} {}", leg.account.name(), leg.currency.code(), leg.amount.0))
            }
            Self::Slices(slices) => joined(slices, |slice| {
                format!("{} {} {}", super::as_stored(&slice.line_id), slice.base.0, slice.rate.0)
            }),
        })
    }
}

fn joined<T>(parts: &[T], part: impl Fn(&T) -> String) -> Cow<'static, str> {
    parts.iter().map(part).collect::<Vec<_>>().join(", ").into()
}

/// What the bytes of a column are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Text,
    Int2,
    Int4,
    Int8,
    Bool,
    Moment,
    Bytes,
    Postings,
    Fields(&'static [&'static str]),
    Map,
}

/// Types of all columns of the schema, by table and column.
pub(super) type Types = BTreeMap<(String, String), String>;

impl Kind {
    /// Of each compared column of a table.
    pub(super) fn of(table: &Table, types: &Types) -> Result<Vec<Self>, sqlx::Error> {
        let of = |column: &Column| {
            let key = (table.name.to_owned(), column.name.to_owned());
            let name = types.get(&key).map_or("no such column", String::as_str);
            Ok(match (column.form, name) {
                (Form::Postings, "jsonb") => Self::Postings,
                (Form::Plain, "text" | "varchar") => Self::Text,
                (Form::Plain, "int2") => Self::Int2,
                (Form::Plain, "int4") => Self::Int4,
                (Form::Plain, "int8") => Self::Int8,
                (Form::Plain, "bool") => Self::Bool,
                (Form::Moment, "timestamptz") => Self::Moment,
                // Joined where it is selected.
                (Form::List, "_text") => Self::Text,
                (Form::Hex, "bytea") => Self::Bytes,
                (Form::Fields(names), "jsonb") => Self::Fields(names),
                (Form::Map, "jsonb") => Self::Map,
                _ => {
                    let what =
                        format!("{}.{} is of a type that is not compared: {name}", table.name, column.name);
                    return Err(sqlx::Error::Protocol(what));
                }
            })
        };
        table.columns.iter().map(of).collect()
    }

    /// Whether a value says what the cell says.
    pub(super) fn same(self, value: Option<&[u8]>, cell: &Cell<'_>) -> Result<bool, sqlx::Error> {
        let Some(bytes) = value else { return Ok(matches!(cell, Cell::Null)) };
        Ok(match (self, cell) {
            (_, Cell::Null) => false,
            (Self::Text, Cell::Text(text)) => bytes == text.as_bytes(),
            (Self::Bytes, Cell::Bytes(expected)) => bytes == *expected,
            (Self::Bool, Cell::Flag(flag)) => bytes == [u8::from(*flag)],
            (Self::Int2 | Self::Int4 | Self::Int8 | Self::Moment, Cell::Number(number)) => {
                self.number(bytes)? == *number
            }
            (Self::Postings, Cell::Legs(expected)) => {
                let same = |(leg, expected): (&Leg<'_>, &Posting)| {
                    leg.amount == expected.amount.0
                        && leg.account == expected.account.name()
                        && leg.currency == expected.currency.code()
                };
                json(bytes).is_ok_and(|legs: Vec<Leg<'_>>| {
                    legs.len() == expected.len() && legs.iter().zip(*expected).all(same)
                })
            }
            (Self::Fields(_), Cell::Slices([])) => bytes.get(1..) == Some(b"[]"),
            (Self::Fields(_), Cell::Slices(expected)) => {
                let same = |(slice, expected): (&Part<'_>, &Slice)| {
                    slice.base_minor == expected.base.0
                        && slice.rate_ppm == expected.rate.0
                        && slice.line_id == super::as_stored(&expected.line_id)
                };
                json(bytes).is_ok_and(|slices: Vec<Part<'_>>| {
                    slices.len() == expected.len() && slices.iter().zip(*expected).all(same)
                })
            }
            _ => cell.shown().as_deref() == Some(self.text(bytes)?.as_str()),
        })
    }

    fn number(self, bytes: &[u8]) -> Result<i64, sqlx::Error> {
        // Postgres counts from 2000.
        const SINCE_1970: i64 = 946_684_800_000_000;
        Ok(match self {
            Self::Int2 => i64::from(i16::from_be_bytes(fixed(bytes)?)),
            Self::Int4 => i64::from(i32::from_be_bytes(fixed(bytes)?)),
            Self::Moment => i64::from_be_bytes(fixed(bytes)?).saturating_add(SINCE_1970),
            _ => i64::from_be_bytes(fixed(bytes)?),
        })
    }

    /// A value, for people.
    pub(super) fn text(self, bytes: &[u8]) -> Result<String, sqlx::Error> {
        Ok(match self {
            Self::Text => std::str::from_utf8(bytes).map_err(wrong)?.to_owned(),
            Self::Bool => (bytes != [0]).to_string(),
            Self::Int2 | Self::Int4 | Self::Int8 | Self::Moment => self.number(bytes)?.to_string(),
            Self::Bytes => hex::encode(bytes),
            Self::Postings | Self::Fields(_) | Self::Map => match self.document(bytes) {
                Ok(text) => text,
                // In another form than ours: as it is.
                Err(_) => String::from_utf8_lossy(bytes.get(1..).unwrap_or_default()).into_owned(),
            },
        })
    }

    /// What JSON says, for people.
    fn document(self, bytes: &[u8]) -> Result<String, serde_json::Error> {
        Ok(match self {
            Self::Postings => {
                let legs: Vec<Leg<'_>> = json(bytes)?;
                joined(&legs, |leg| format!("{} {} {}", leg.account, leg.currency, leg.amount)).into_owned()
            }
            Self::Fields(names) => fields(&json(bytes)?, names),
            _ => {
                // Sorted, as the keys of these maps are.
                let map: BTreeMap<String, serde_json::Value> = json(bytes)?;
                map.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
            }
        })
    }
}

/// One leg, as rows have it.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Leg<'a> {
    #[serde(borrow)]
    account: Cow<'a, str>,
    #[serde(borrow)]
    currency: Cow<'a, str>,
    amount: i64,
}

/// One part of a base, as rows have it.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Part<'a> {
    #[serde(borrow)]
    line_id: Cow<'a, str>,
    base_minor: i64,
    rate_ppm: i64,
}

fn json<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, serde_json::Error> {
    // The first byte is the format's version.
    serde_json::from_slice(bytes.get(1..).unwrap_or_default())
}

/// Objects as the values of these fields, joined by `, `.
fn fields(objects: &serde_json::Value, names: &[&str]) -> String {
    let mut text = String::new();
    for (place, object) in objects.as_array().into_iter().flatten().enumerate() {
        if place > 0 {
            text.push_str(", ");
        }
        let mut first = true;
        for part in names.iter().filter_map(|name| object.get(name)) {
            if !std::mem::take(&mut first) {
                text.push(' ');
            }
            match part {
                serde_json::Value::String(part) => text.push_str(part),
                // Writing into a text cannot fail.
                part => write!(text, "{part}").unwrap_or_default(),
            }
        }
    }
    text
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], sqlx::Error> {
    bytes.try_into().map_err(wrong)
}

fn wrong(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

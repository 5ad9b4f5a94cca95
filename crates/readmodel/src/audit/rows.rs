//! Rows of a table as Postgres sends them, read ahead; their cells are made into text only where somebody looks.
use super::{Cells, Column, Form, Moment, Table};
use futures::TryStreamExt;
use sqlx::postgres::{PgRow, PgValueFormat, PgValueRef};
use sqlx::{AssertSqlSafe, Column as _, Row as _, TypeInfo as _, ValueRef as _};
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;
use stream::log::Partition;
use tokio::sync::mpsc;

/// Rows in one message, and messages that wait: what a stream holds in memory at most.
const BATCH: usize = 256;
const BATCHES: usize = 4;

/// The rows of one table and partition, in order.
#[derive(Debug)]
pub struct Rows {
    ready: VecDeque<Row>,
    more: mpsc::Receiver<Message>,
    ended: bool,
}

/// Some rows, and whether they are the last ones.
type Message = Result<(Vec<Row>, bool), sqlx::Error>;

/// A row.
#[derive(Debug)]
pub struct Row {
    row: PgRow,
    forms: Arc<[Kind]>,
    /// Columns before those that are compared.
    skip: usize,
    /// Columns that are compared with the rest of the row.
    together: usize,
}

/// How the bytes of a column become text.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Int2,
    Int4,
    Int8,
    Bool,
    Moment,
    Texts,
    Postings,
    Bytes,
    Fields(&'static [&'static str]),
    Map,
}

impl Rows {
    /// Starts to read.
    pub(super) fn read(moment: Moment, table: &'static Table, partition: Partition) -> Self {
        let (sender, more) = mpsc::channel(BATCHES);
        tokio::spawn(async move {
            if let Err(error) = send(&moment, table, partition, &sender).await {
                // Nobody listens any more: nobody is missed.
                sender.send(Err(error)).await.ok();
            }
        });
        Self { ready: VecDeque::new(), more, ended: false }
    }

    /// The next row, which stays the next one; none: that was the last.
    ///
    /// # Errors
    /// When the database does not answer, or has a column of a type that is not known here.
    pub async fn peek(&mut self) -> Result<Option<&Row>, sqlx::Error> {
        while self.ready.is_empty() && !self.ended {
            let gone = || sqlx::Error::Protocol("the task that reads ahead is gone".to_owned());
            let (rows, last) = self.more.recv().await.ok_or_else(gone)??;
            self.ready.extend(rows);
            self.ended = last;
        }
        Ok(self.ready.front())
    }

    /// Takes the row that [`Self::peek`] showed.
    pub fn take(&mut self) -> Option<Row> {
        self.ready.pop_front()
    }
}

async fn send(
    moment: &Moment,
    table: &Table,
    partition: Partition,
    sender: &mpsc::Sender<Message>,
) -> Result<(), sqlx::Error> {
    let mut connection = moment.connection().await?;
    let sql = format!(
        "SELECT {} FROM tributary.{} t WHERE t.partition = $1 ORDER BY {}",
        table.selected(),
        table.name,
        table.order()
    );
    let mut rows = sqlx::query(AssertSqlSafe(sql)).bind(crate::text::int(partition.0)).fetch(&mut connection);
    let mut forms: Option<Arc<[Kind]>> = None;
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(row) = rows.try_next().await? {
        let forms = match &forms {
            Some(forms) => Arc::clone(forms),
            None => Arc::clone(forms.insert(kinds(table, &row)?)),
        };
        let together = table.columns.len() - table.apart;
        batch.push(Row { row, forms, skip: table.places(), together });
        if batch.len() == BATCH
            && sender
                .send(Ok((std::mem::replace(&mut batch, Vec::with_capacity(BATCH)), false)))
                .await
                .is_err()
        {
            return Ok(());
        }
    }
    drop(rows);
    // Before the last rows: whoever has seen them may close the snapshot.
    moment.give_back(connection);
    sender.send(Ok((batch, true))).await.ok();
    Ok(())
}

/// How each compared column of the table becomes text, by its type.
fn kinds(table: &Table, row: &PgRow) -> Result<Arc<[Kind]>, sqlx::Error> {
    let of = |(column, sent): (&Column, &sqlx::postgres::PgColumn)| {
        let name = sent.type_info().name();
        Ok(match (column.form, name) {
            (Form::Postings, "JSONB") => Kind::Postings,
            (Form::Plain, "TEXT" | "VARCHAR") => Kind::Text,
            (Form::Plain, "INT2") => Kind::Int2,
            (Form::Plain, "INT4") => Kind::Int4,
            (Form::Plain, "INT8") => Kind::Int8,
            (Form::Plain, "BOOL") => Kind::Bool,
            (Form::Moment, "TIMESTAMPTZ") => Kind::Moment,
            (Form::List, "TEXT[]") => Kind::Texts,
            (Form::Hex, "BYTEA") => Kind::Bytes,
            (Form::Fields(names), "JSONB") => Kind::Fields(names),
            (Form::Map, "JSONB") => Kind::Map,
            _ => {
                let what =
                    format!("{}.{} is of a type that is not compared: {name}", table.name, column.name);
                return Err(sqlx::Error::Protocol(what));
            }
        })
    };
    table.columns.iter().zip(row.columns().iter().skip(table.places())).map(of).collect()
}

impl Row {
    /// Frame and event of a row of history; zeros where the row is an object.
    #[must_use]
    pub fn place(&self) -> (i64, i32) {
        (self.row.try_get(0).unwrap_or_default(), self.row.try_get(1).unwrap_or_default())
    }

    /// Whether every cell is the expected one, but those that are compared apart.
    ///
    /// # Errors
    /// When the database sends what it should not.
    pub fn is(&self, expected: &Cells) -> Result<bool, sqlx::Error> {
        if expected.len() != self.together {
            return Ok(false);
        }
        let mut text = String::new();
        for (column, expected) in expected.iter().enumerate() {
            let (kind, value) = self.cell(column)?;
            let same = match (expected, value.is_null()) {
                (None, true) => true,
                (Some(expected), false) => match kind {
                    Kind::Text => bytes(&value)? == expected.as_bytes(),
                    kind => {
                        text.clear();
                        write(kind, &value, &mut text)?;
                        text == *expected
                    }
                },
                _ => false,
            };
            if !same {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// All cells, but those that are compared apart.
    ///
    /// # Errors
    /// When the database sends what it should not.
    pub fn cells(&self) -> Result<Cells, sqlx::Error> {
        (0..self.together).map(|column| self.text(column)).collect()
    }

    /// The cells that are compared apart.
    ///
    /// # Errors
    /// When the database sends what it should not.
    pub fn apart(&self) -> Result<Cells, sqlx::Error> {
        (self.together..self.forms.len()).map(|column| self.text(column)).collect()
    }

    /// The cells that name an object, joined as [`super::Table::key`] joins them.
    ///
    /// # Errors
    /// When the database sends what it should not.
    pub fn key(&self, table: &Table, key: &mut Vec<u8>) -> Result<(), sqlx::Error> {
        key.clear();
        for column in 0..table.keys {
            if column > 0 {
                key.push(0);
            }
            let (kind, value) = self.cell(column)?;
            match kind {
                Kind::Text if !value.is_null() => key.extend_from_slice(bytes(&value)?),
                _ => key.extend_from_slice(self.text(column)?.unwrap_or_default().as_bytes()),
            }
        }
        Ok(())
    }

    fn text(&self, column: usize) -> Result<Option<String>, sqlx::Error> {
        let (kind, value) = self.cell(column)?;
        if value.is_null() {
            return Ok(None);
        }
        let mut text = String::new();
        write(kind, &value, &mut text)?;
        Ok(Some(text))
    }

    fn cell(&self, column: usize) -> Result<(Kind, PgValueRef<'_>), sqlx::Error> {
        let kind = self.forms.get(column).copied().unwrap_or(Kind::Text);
        Ok((kind, self.row.try_get_raw(self.skip + column)?))
    }
}

fn bytes<'r>(value: &PgValueRef<'r>) -> Result<&'r [u8], sqlx::Error> {
    debug_assert_eq!(value.format(), PgValueFormat::Binary, "prepared statements answer in binary");
    value.as_bytes().map_err(sqlx::Error::Decode)
}

/// Writes a value that is not null, as people read it.
fn write(kind: Kind, value: &PgValueRef<'_>, text: &mut String) -> Result<(), sqlx::Error> {
    let bytes = bytes(value)?;
    match kind {
        Kind::Text => text.push_str(std::str::from_utf8(bytes).map_err(wrong)?),
        Kind::Bool => text.push_str(if bytes == [0] { "false" } else { "true" }),
        Kind::Int2 => number(i64::from(i16::from_be_bytes(fixed(bytes)?)), text),
        Kind::Int4 => number(i64::from(i32::from_be_bytes(fixed(bytes)?)), text),
        Kind::Int8 => number(i64::from_be_bytes(fixed(bytes)?), text),
        Kind::Moment => {
            // Postgres counts from 2000.
            const SINCE_1970: i64 = 946_684_800_000_000;
            number(i64::from_be_bytes(fixed(bytes)?).saturating_add(SINCE_1970), text);
        }
        Kind::Texts => {
            let list: Vec<Option<String>> =
                <Vec<Option<String>> as sqlx::Decode<'_, sqlx::Postgres>>::decode(value.clone())
                    .map_err(sqlx::Error::Decode)?;
            text.push_str(&list.into_iter().flatten().collect::<Vec<_>>().join(", "));
        }
        Kind::Bytes => text.push_str(&hex::encode(bytes)),
        Kind::Postings => {
            let legs: Vec<Leg<'_>> =
                serde_json::from_slice(bytes.get(1..).unwrap_or_default()).map_err(wrong)?;
            for (place, leg) in legs.iter().enumerate() {
                text.push_str(if place > 0 { ", " } else { "" });
                text.push_str(&leg.account);
                text.push(' ');
                text.push_str(&leg.currency);
                text.push(' ');
                number(leg.amount, text);
            }
        }
        Kind::Fields(names) => fields(&json(bytes)?, names, text),
        Kind::Map => {
            // Sorted, as the keys of these maps are.
            for (place, (name, value)) in json(bytes)?.as_object().into_iter().flatten().enumerate() {
                text.push_str(if place > 0 { ", " } else { "" });
                text.push_str(name);
                text.push(' ');
                number(value, text);
            }
        }
    }
    Ok(())
}

/// One leg, as rows have it.
#[derive(serde::Deserialize)]
struct Leg<'a> {
    #[serde(borrow)]
    account: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    currency: std::borrow::Cow<'a, str>,
    amount: i64,
}

fn json(bytes: &[u8]) -> Result<serde_json::Value, sqlx::Error> {
    // The first byte is the format's version.
    serde_json::from_slice(bytes.get(1..).unwrap_or_default()).map_err(wrong)
}

/// Objects as the values of these fields, joined by `, `.
fn fields(objects: &serde_json::Value, names: &[&str], text: &mut String) {
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
                part => number(part, text),
            }
        }
    }
}

fn number(number: impl std::fmt::Display, text: &mut String) {
    // Writing into a text cannot fail.
    write!(text, "{number}").ok();
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], sqlx::Error> {
    bytes.try_into().map_err(wrong)
}

fn wrong(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

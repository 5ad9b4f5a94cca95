//! Rows of a table as Postgres sends them, read ahead, in the binary form of `COPY`.
//! Form: <https://www.postgresql.org/docs/current/sql-copy.html>, "Binary Format".
use super::cells::{Cell, Cells, Kind};
use super::{Moment, Table};
use bytes::{Buf as _, Bytes};
use futures::TryStreamExt;
use std::collections::VecDeque;
use std::sync::Arc;
use stream::log::Partition;
use tokio::sync::mpsc;

/// Rows in one message, and messages that wait: what a stream holds in memory at most.
const BATCH: usize = 256;
const BATCHES: usize = 4;

/// What stands before the first row: signature, flags, and how long an extension is that nobody uses yet.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

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
    /// Its fields, each behind its length.
    fields: Bytes,
    kinds: Arc<[Kind]>,
    /// Columns before those that are compared.
    skip: usize,
    /// Columns that are compared with the rest of the row.
    together: usize,
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
    let kinds: Arc<[Kind]> = Kind::of(table, &moment.types)?.into();
    let mut connection = moment.connection().await?;
    let sql = format!(
        "COPY (SELECT {} FROM tributary.{} t WHERE t.partition = {} ORDER BY {}) TO STDOUT (FORMAT binary)",
        table.selected(),
        table.name,
        partition.0,
        table.order()
    );
    let mut messages = connection.copy_out_raw(&sql).await?;
    let mut batch = Vec::with_capacity(BATCH);
    let mut first = true;
    // Each message is a row; the first has the signature before it, and the last says that there are no more.
    while let Some(mut message) = messages.try_next().await? {
        if std::mem::take(&mut first) {
            after_signature(&mut message)?;
        }
        if message.remaining() < 2 || message.get_i16() < 0 {
            continue;
        }
        let (skip, together) = (table.places(), table.columns.len() - table.apart);
        batch.push(Row { fields: message, kinds: Arc::clone(&kinds), skip, together });
        if batch.len() == BATCH
            && sender
                .send(Ok((std::mem::replace(&mut batch, Vec::with_capacity(BATCH)), false)))
                .await
                .is_err()
        {
            return Ok(());
        }
    }
    drop(messages);
    // Before the last rows: whoever has seen them may close the snapshot.
    moment.give_back(connection);
    sender.send(Ok((batch, true))).await.ok();
    Ok(())
}

fn after_signature(message: &mut Bytes) -> Result<(), sqlx::Error> {
    const FLAGS: usize = 4;
    if !message.starts_with(SIGNATURE) || message.len() < SIGNATURE.len() + FLAGS + 4 {
        return Err(short());
    }
    message.advance(SIGNATURE.len() + FLAGS);
    let extension = usize::try_from(message.get_u32()).unwrap_or(usize::MAX);
    if message.len() < extension {
        return Err(short());
    }
    message.advance(extension);
    Ok(())
}

fn short() -> sqlx::Error {
    sqlx::Error::Protocol("a row in another form than COPY's".to_owned())
}

/// The fields of a row, one after another.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The next one; none: it is null.
    fn next(&mut self) -> Result<Option<&'a [u8]>, sqlx::Error> {
        let (length, rest) = self.0.split_first_chunk().ok_or_else(short)?;
        self.0 = rest;
        // A negative length is that of null.
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else { return Ok(None) };
        let (field, rest) = self.0.split_at_checked(length).ok_or_else(short)?;
        self.0 = rest;
        Ok(Some(field))
    }
}

impl Row {
    /// Frame and event of a row of history; zeros where the row is an object.
    #[must_use]
    pub fn place(&self) -> (i64, i32) {
        fn number<const N: usize>(fields: &mut Fields<'_>) -> Option<[u8; N]> {
            fields.next().ok()??.try_into().ok()
        }
        let mut fields = Fields(&self.fields);
        if self.skip == 0 {
            return (0, 0);
        }
        let (seq, ordinal) = (number(&mut fields), number(&mut fields));
        (seq.map_or(0, i64::from_be_bytes), ordinal.map_or(0, i32::from_be_bytes))
    }

    /// Whether every cell is the expected one, but those that are compared apart.
    ///
    /// # Errors
    /// When the database sends what it should not.
    pub fn is(&self, expected: &[Cell<'_>]) -> Result<bool, sqlx::Error> {
        Ok(expected.len() == self.together && self.has(0, expected)?)
    }

    /// Whether the cells that are compared apart are these.
    ///
    /// # Errors
    /// When the database sends what it should not.
    pub fn is_apart(&self, expected: &[Cell<'_>]) -> Result<bool, sqlx::Error> {
        Ok(expected.len() == self.kinds.len() - self.together && self.has(self.together, expected)?)
    }

    /// Whether the cells from this one on are these.
    fn has(&self, from: usize, expected: &[Cell<'_>]) -> Result<bool, sqlx::Error> {
        let mut fields = self.from(from)?;
        for (kind, cell) in self.kinds.iter().skip(from).zip(expected) {
            if !kind.same(fields.next()?, cell)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// All cells, but those that are compared apart.
    ///
    /// # Errors
    /// When the database sends what it should not.
    pub fn cells(&self) -> Result<Cells<'static>, sqlx::Error> {
        self.shown(0, self.together)
    }

    /// The cells that are compared apart.
    ///
    /// # Errors
    /// When the database sends what it should not.
    pub fn apart(&self) -> Result<Cells<'static>, sqlx::Error> {
        self.shown(self.together, self.kinds.len())
    }

    fn shown(&self, from: usize, to: usize) -> Result<Cells<'static>, sqlx::Error> {
        let mut fields = self.from(from)?;
        let shown = |kind: &Kind| {
            let text = fields.next()?.map(|bytes| kind.text(bytes)).transpose()?;
            Ok(text.map_or(Cell::Null, |text| Cell::Text(text.into())))
        };
        self.kinds.iter().take(to).skip(from).map(shown).collect()
    }

    /// The cells that name an object, joined as [`super::Table::key`] joins them.
    ///
    /// # Errors
    /// When the database sends what it should not.
    pub fn key(&self, table: &Table, key: &mut Vec<u8>) -> Result<(), sqlx::Error> {
        key.clear();
        let mut fields = self.from(0)?;
        for (column, kind) in self.kinds.iter().take(table.keys).enumerate() {
            if column > 0 {
                key.push(0);
            }
            match (kind, fields.next()?) {
                (_, None) => {}
                (Kind::Text, Some(bytes)) => key.extend_from_slice(bytes),
                (kind, Some(bytes)) => key.extend_from_slice(kind.text(bytes)?.as_bytes()),
            }
        }
        Ok(())
    }

    /// The compared fields from this one on.
    fn from(&self, from: usize) -> Result<Fields<'_>, sqlx::Error> {
        let mut fields = Fields(&self.fields);
        for _ in 0..self.skip + from {
            fields.next()?;
        }
        Ok(fields)
    }
}

//! Whole cursors in Postgres (rule 3), and how a row stands to what was expected.
use crate::batch::{Followed, Place};
use crate::text::{bigint, int};
use domain::ids::Hash;
use domain::time::Micros;
use sqlx::{Connection, PgConnection};
use std::collections::{BTreeMap, BTreeSet};
use stream::cursor::{Cursor, WriterId};
use stream::log::Partition;

/// How a cursor row stands to the cursor that a process expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is the one.
    Same,
    /// It is behind what was committed: a gap, or a replica that lost commits.
    Behind,
    /// It is ahead: somebody else wrote.
    Ahead,
    /// It is as far, in another history.
    Elsewhere,
}

impl Standing {
    /// Compares the row `found` with `expected`.
    #[must_use]
    pub fn of(found: &Cursor, expected: &Cursor) -> Self {
        use std::cmp::Ordering::{Equal, Greater, Less};
        if found == expected {
            return Self::Same;
        }
        match (found.seq, found.offset).cmp(&(expected.seq, expected.offset)) {
            Less => Self::Behind,
            Greater => Self::Ahead,
            Equal => Self::Elsewhere,
        }
    }
}

/// Partitions, of `among` or of all, whose rows an older generation left.
///
/// # Errors
/// When the database does not answer.
pub async fn superseded(
    connection: &mut PgConnection,
    generation: i32,
    among: Option<&[Place]>,
) -> Result<BTreeSet<Partition>, sqlx::Error> {
    let rows: Vec<i32> = sqlx::query_scalar!(
        "SELECT DISTINCT partition FROM tributary.cursor_rows WHERE generation < $1",
        generation
    )
    .fetch_all(connection)
    .await?;
    let partitions = rows.into_iter().filter_map(|partition| u32::try_from(partition).ok()).map(Partition);
    let wanted =
        |partition: &Partition| among.is_none_or(|places| places.iter().any(|(_, place)| place == partition));
    Ok(partitions.filter(wanted).collect())
}

/// Deletes what an older generation left of a partition, rows and cursors, in one transaction. A projector of that generation
/// is then refused, since its cursors are gone. Returns whether there were any.
///
/// # Errors
/// When the database does not answer.
pub async fn supersede(
    connection: &mut PgConnection,
    generation: i32,
    partition: Partition,
) -> Result<bool, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    // First the cursors: whoever is writing under them is waited for.
    let seqs: Vec<i64> = sqlx::query_scalar!(
        "DELETE FROM tributary.cursor_rows WHERE generation < $1 AND partition = $2 RETURNING seq",
        generation,
        int(partition.0)
    )
    .fetch_all(&mut *transaction)
    .await?;
    // A cursor at the start has written nothing: an old projector that was started by mistake.
    let found = seqs.iter().any(|seq| *seq > 0);
    if found {
        for table in crate::audit::TABLES {
            let sql = format!("DELETE FROM tributary.{} WHERE partition = $1", table.name);
            sqlx::query(sqlx::AssertSqlSafe(sql)).bind(int(partition.0)).execute(&mut *transaction).await?;
        }
    }
    transaction.commit().await?;
    Ok(found)
}

/// The cursor rows of `places`; a place without a row gets one at the start of the log.
///
/// # Errors
/// When the database does not answer, or is read-only.
pub async fn ensure(
    connection: &mut PgConnection,
    generation: i32,
    places: &[Place],
) -> Result<BTreeMap<Place, Cursor>, sqlx::Error> {
    let topics: Vec<String> = places.iter().map(|place| place.0.name().to_owned()).collect();
    let partitions: Vec<i32> = places.iter().map(|place| int(place.1.0)).collect();
    let nobody = WriterId::default();
    sqlx::query!(
        "INSERT INTO tributary.cursor_rows (generation, topic, partition, next_offset, anchor, epoch, writer, seq, head,
            logic_version, clock_micros)
         SELECT $1, topic, partition, 0, $4, 0, $5, 0, $4, 0, 0
         FROM UNNEST($2::text[], $3::int[]) AS place (topic, partition)
         ON CONFLICT DO NOTHING",
        generation,
        &topics,
        &partitions,
        Hash::ZERO.0.as_slice(),
        nobody.0.as_slice(),
    )
    .execute(&mut *connection)
    .await?;
    let mut cursors = load(connection, generation).await?;
    cursors.retain(|place, _| places.contains(place));
    Ok(cursors)
}

/// All cursor rows of a generation.
///
/// # Errors
/// When the database does not answer.
pub async fn load(
    connection: &mut PgConnection,
    generation: i32,
) -> Result<BTreeMap<Place, Cursor>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT topic, partition, next_offset, anchor, epoch, writer, seq, head, logic_version, clock_micros
         FROM tributary.cursor_rows WHERE generation = $1",
        generation
    )
    .fetch_all(connection)
    .await?;
    let mut cursors = BTreeMap::new();
    for row in rows {
        let (Some(followed), Ok(partition)) = (Followed::parse(&row.topic), u32::try_from(row.partition))
        else {
            continue;
        };
        let cursor = Cursor {
            offset: row.next_offset.cast_unsigned(),
            anchor: Hash(fixed(&row.anchor)),
            epoch: row.epoch.cast_unsigned(),
            writer: WriterId(fixed(&row.writer)),
            seq: row.seq.cast_unsigned(),
            head: Hash(fixed(&row.head)),
            logic_version: row.logic_version.cast_unsigned(),
            clock: Micros(row.clock_micros),
        };
        cursors.insert((followed, Partition(partition)), cursor);
    }
    Ok(cursors)
}

/// Moves the rows from `before` to `after` if each is exactly at `before`; returns how many moved. Fewer than asked for:
/// roll back.
pub(crate) async fn advance(
    connection: &mut PgConnection,
    generation: i32,
    moves: &[(Place, Cursor, Cursor)],
) -> Result<u64, sqlx::Error> {
    let mut topics = Vec::with_capacity(moves.len());
    let mut partitions = Vec::with_capacity(moves.len());
    let (mut old, mut new) = (Columns::default(), Columns::default());
    for (place, before, after) in moves {
        topics.push(place.0.name().to_owned());
        partitions.push(int(place.1.0));
        old.push(before);
        new.push(after);
    }
    let done = sqlx::query!(
        "UPDATE tributary.cursor_rows AS c
         SET next_offset = u.new_offset, anchor = u.new_anchor, epoch = u.new_epoch, writer = u.new_writer,
             seq = u.new_seq, head = u.new_head, logic_version = u.new_logic, clock_micros = u.new_clock
         FROM UNNEST($2::text[], $3::int[],
                     $4::bigint[], $5::bytea[], $6::bigint[], $7::bytea[], $8::bigint[], $9::bytea[],
                     $10::bigint[], $11::bytea[], $12::bigint[], $13::bytea[], $14::bigint[], $15::bytea[],
                     $16::int[], $17::bigint[])
              AS u (topic, partition, old_offset, old_anchor, old_epoch, old_writer, old_seq, old_head,
                    new_offset, new_anchor, new_epoch, new_writer, new_seq, new_head, new_logic, new_clock)
         WHERE c.generation = $1 AND c.topic = u.topic AND c.partition = u.partition
           AND c.next_offset = u.old_offset AND c.anchor = u.old_anchor AND c.epoch = u.old_epoch
           AND c.writer = u.old_writer AND c.seq = u.old_seq AND c.head = u.old_head",
        generation,
        &topics,
        &partitions,
        &old.offset,
        &old.anchor,
        &old.epoch,
        &old.writer,
        &old.seq,
        &old.head,
        &new.offset,
        &new.anchor,
        &new.epoch,
        &new.writer,
        &new.seq,
        &new.head,
        &new.logic_version,
        &new.clock,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

#[derive(Default)]
struct Columns {
    offset: Vec<i64>,
    anchor: Vec<Vec<u8>>,
    epoch: Vec<i64>,
    writer: Vec<Vec<u8>>,
    seq: Vec<i64>,
    head: Vec<Vec<u8>>,
    logic_version: Vec<i32>,
    clock: Vec<i64>,
}

impl Columns {
    fn push(&mut self, cursor: &Cursor) {
        self.offset.push(bigint(cursor.offset));
        self.anchor.push(cursor.anchor.0.to_vec());
        self.epoch.push(bigint(cursor.epoch));
        self.writer.push(cursor.writer.0.to_vec());
        self.seq.push(bigint(cursor.seq));
        self.head.push(cursor.head.0.to_vec());
        self.logic_version.push(int(cursor.logic_version));
        self.clock.push(cursor.clock.0);
    }
}

/// A column of fixed length; a wrong length reads as zeros, which match no history.
fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().unwrap_or([0; N])
}

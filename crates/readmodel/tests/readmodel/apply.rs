//! One transaction for rows and cursors, and what it refuses.
#![allow(clippy::unwrap_used)]
use crate::support::{Database, PARTITION, batch, commissions, cursor, facts};
use domain::ids::Hash;
use domain::normalization::VerdictKind;
use sqlx::PgConnection;
use tributary_readmodel::apply::{ApplyError, apply};
use tributary_readmodel::batch::{Batch, Followed};
use tributary_readmodel::cursors::{self, Standing};
use tributary_readmodel::{GENERATION, dump, queries};

async fn refused(connection: &mut PgConnection, batch: &Batch) -> Standing {
    match apply(connection, GENERATION, batch).await {
        Err(ApplyError::Refused { standing, .. }) => standing,
        other => panic!("not refused: {other:?}"),
    }
}

async fn ready(database: &Database) -> PgConnection {
    let mut connection = database.connection().await;
    let places = Followed::ALL.map(|followed| (followed, PARTITION));
    cursors::ensure(&mut connection, GENERATION, &places).await.unwrap();
    connection
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_does_not_begin_at_the_row_changes_nothing() {
    let database = Database::new().await;
    let mut connection = ready(&database).await;
    let applied = apply(&mut connection, GENERATION, &batch([commissions(1..6)])).await.unwrap();
    assert_eq!(applied.cursors[&(Followed::Commissions, PARTITION)], cursor(5));
    let before = dump::canonical_hash(&database.pool).await.unwrap();

    // A gap, or a replica that lost commits.
    assert_eq!(refused(&mut connection, &batch([commissions(8..10)])).await, Standing::Behind);
    // An overlap, or another writer that was faster: also when the rest of the batch is fine.
    let overlap = batch([commissions(4..7), facts(1..3, VerdictKind::Applied, "")]);
    assert_eq!(refused(&mut connection, &overlap).await, Standing::Ahead);
    // As far, but of another history, writer or epoch.
    for change in [0, 1, 2] {
        let mut advance = commissions(6..8);
        match change {
            0 => advance.before.head = Hash::of(b"another history"),
            1 => advance.before.writer.0 = [9; 16],
            _ => advance.before.epoch += 1,
        }
        assert_eq!(refused(&mut connection, &batch([advance])).await, Standing::Elsewhere);
    }
    assert_eq!(dump::canonical_hash(&database.pool).await.unwrap(), before);
    let rows = cursors::load(&mut connection, GENERATION).await.unwrap();
    assert_eq!(rows[&(Followed::Commissions, PARTITION)], cursor(5));
    assert_eq!(rows[&(Followed::Facts, PARTITION)], cursor(0));
    drop(connection);
    database.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_writers_at_once_one_commits_and_the_other_is_refused() {
    let database = Database::new().await;
    let (mut one, mut two) = (ready(&database).await, ready(&database).await);
    let batch = batch([commissions(1..50)]);
    let results = tokio::join!(apply(&mut one, GENERATION, &batch), apply(&mut two, GENERATION, &batch));
    assert_eq!([results.0.is_ok(), results.1.is_ok()].iter().filter(|ok| **ok).count(), 1);
    let balances = queries::balances(&database.pool).await.unwrap();
    assert_eq!(balances.iter().map(|row| row.pending).sum::<i64>(), 49 * 200);
    drop((one, two));
    database.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_do_not_depend_on_how_the_log_was_cut_into_batches() {
    let mut hashes = Vec::new();
    for size in [1, 7, 40] {
        let database = Database::new().await;
        let mut connection = ready(&database).await;
        let mut seq = 1;
        while seq <= 40 {
            let end = (seq + size).min(41);
            let batch = batch([commissions(seq..end), facts(seq..end, VerdictKind::Applied, "")]);
            apply(&mut connection, GENERATION, &batch).await.unwrap();
            seq = end;
        }
        hashes.push(dump::canonical(&database.pool).await.unwrap());
        drop(connection);
        database.stop().await;
    }
    assert_eq!(hashes[0], hashes[1]);
    assert_eq!(hashes[0], hashes[2]);
    assert!(hashes[0].iter().any(|table| table.table == "balance_rows" && table.rows == 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_must_be_exactly_those_between_the_cursors() {
    let mut batch = Batch::default();
    let mut gap = commissions(1..4);
    gap.after = cursor(4);
    assert_eq!(batch.push(gap).unwrap_err().expected, 4);
    batch.push(commissions(1..4)).unwrap();
    assert!(batch.push(commissions(5..6)).is_err());
    assert!(batch.push(commissions(3..6)).is_err());
    batch.push(commissions(4..6)).unwrap();
    assert_eq!((batch.frames(), batch.after()[&(Followed::Commissions, PARTITION)]), (5, cursor(5)));
}

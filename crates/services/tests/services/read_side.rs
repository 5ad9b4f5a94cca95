//! The projector over an embedded log and a real Postgres.
use crate::by_hand::{Chain, project};
use crate::support::Database;
use std::sync::Arc;
use std::time::Duration;
use stream::embedded::{EmbeddedLog, EmbeddedOptions};
use stream::log::Log;
use tributary_services::verify;

#[tokio::test(flavor = "multi_thread")]
async fn rows_follow_the_log_through_lost_connections_takeovers_and_restarts_and_verify_agrees() {
    let directory = tempfile::tempdir().unwrap();
    let log: Arc<dyn Log> = EmbeddedLog::open(EmbeddedOptions::new(directory.path().join("log"))).unwrap();
    let database = Database::new().await;
    let mut chain = Chain::new(&log).await;
    let mut running = project(&log, &database.pool);
    for _ in 0..20 {
        chain.sale().await;
    }
    running.reaches(&chain).await;
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tributary'
               AND datname = current_database() AND pid <> pg_backend_pid()";
    for _ in 0..3 {
        sqlx::query(cut).execute(&database.pool).await.unwrap();
        for _ in 0..10 {
            chain.sale().await;
        }
        chain.fence().await;
        chain.zombie().await;
    }
    running.reaches(&chain).await;
    running.stop().await;
    // Behind a fence, with the zombie's frame before it: the whole cursor knows.
    let mut running = project(&log, &database.pool);
    chain.zombie().await;
    chain.sale().await;
    running.reaches(&chain).await;
    running.stop().await;

    let report = verify::run(Arc::clone(&log), &database.pool).await.unwrap();
    assert!(report.ok, "{report:?}");
    assert_eq!((report.accepted, report.verdicts.applied), (51, 51));

    // Dropped and projected again: the same rows.
    let before = readmodel::dump::canonical(&database.pool).await.unwrap();
    sqlx::query("DROP SCHEMA tributary CASCADE").execute(&database.pool).await.unwrap();
    readmodel::migrate(&database.pool).await.unwrap();
    let mut running = project(&log, &database.pool);
    running.reaches(&chain).await;
    running.stop().await;
    assert_eq!(readmodel::dump::canonical(&database.pool).await.unwrap(), before);
    drop(chain);
    drop(log);
    database.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_loses_a_commit_halts_the_projector() {
    let directory = tempfile::tempdir().unwrap();
    let log: Arc<dyn Log> = EmbeddedLog::open(EmbeddedOptions::new(directory.path().join("log"))).unwrap();
    let database = Database::new().await;
    let mut chain = Chain::new(&log).await;
    let mut running = project(&log, &database.pool);
    for _ in 0..5 {
        chain.sale().await;
    }
    running.reaches(&chain).await;
    let lost = "UPDATE tributary.cursor_rows SET seq = seq - 1, next_offset = next_offset - 1 WHERE topic = 'commissions'";
    assert_eq!(sqlx::query(lost).execute(&database.pool).await.unwrap().rows_affected(), 1);
    chain.sale().await;
    let halted = tokio::time::timeout(Duration::from_secs(60), running.task).await.unwrap().unwrap();
    assert!(halted.unwrap_err().to_string().contains("a gap, or a replica that lost commits"));
    drop(chain);
    drop(log);
    database.stop().await;
}

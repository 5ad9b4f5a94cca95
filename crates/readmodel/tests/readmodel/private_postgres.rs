//! A server without set-up: started, found, adopted, stopped.
#![allow(clippy::unwrap_used)]
use sqlx::Connection;
use std::os::unix::fs::PermissionsExt;
use tributary_readmodel as readmodel;
use tributary_readmodel::private_postgres::{PrivatePostgres, URL_FILE};

#[tokio::test(flavor = "multi_thread")]
async fn a_private_server_is_shared_by_commands_adopted_by_the_next_owner_and_stopped_by_the_last() {
    // Closed to others, and deep, as temporary directories are.
    let outer = tempfile::tempdir().unwrap();
    std::fs::set_permissions(outer.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let directory = outer.path().join("data");
    let first = PrivatePostgres::start(&directory).await.unwrap();
    let url_file = directory.join(URL_FILE);
    assert_eq!(std::fs::read_to_string(&url_file).unwrap().trim(), first.url());
    assert_eq!(std::fs::metadata(&url_file).unwrap().permissions().mode() & 0o777, 0o600);
    let pool = readmodel::connect(first.url(), 2).await.unwrap();
    readmodel::migrate(&pool).await.unwrap();
    // Again: nothing to do.
    readmodel::migrate(&pool).await.unwrap();
    pool.close().await;

    // A command beside it uses it, and leaves it running.
    let command = PrivatePostgres::attach_or_start(&directory).await.unwrap();
    assert_eq!((command.url(), command.pid()), (first.url(), None));
    command.stop().await.unwrap();
    assert!(readmodel::connect(first.url(), 1).await.is_ok());

    // Its owner was killed: nobody stopped it. The next one adopts the same server, with the same rows.
    let (url, pid) = (first.url().to_owned(), first.pid());
    std::mem::forget(first);
    let second = PrivatePostgres::start(&directory).await.unwrap();
    assert_eq!((second.url(), second.pid()), (url.as_str(), pid));
    second.stop().await.unwrap();
    assert!(sqlx::PgConnection::connect(&url).await.is_err());
    assert!(!url_file.exists());

    // A command alone starts it for the call, on what is there.
    let alone = PrivatePostgres::attach_or_start(&directory).await.unwrap();
    let pool = readmodel::connect(alone.url(), 1).await.unwrap();
    let views: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_views WHERE schemaname = 'tributary'")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert!(views > 0);
    pool.close().await;
    alone.stop().await.unwrap();

    // Killed without a trace of order: the pid file stays, the server is gone.
    let killed = PrivatePostgres::start(&directory).await.unwrap();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(killed.pid().unwrap()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    // As the init process does for orphans.
    nix::sys::wait::waitpid(pid, None).unwrap();
    std::mem::forget(killed);
    let recovered = PrivatePostgres::start(&directory).await.unwrap();
    assert!(readmodel::connect(recovered.url(), 1).await.is_ok());
    recovered.stop().await.unwrap();
    let place = std::fs::read_to_string(directory.join("postgres.place"));
    if let Ok(place) = place {
        std::fs::remove_dir_all(place.trim()).unwrap();
    }
}

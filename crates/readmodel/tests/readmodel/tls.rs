//! A database elsewhere is reached over TLS, and a server that cannot show who it is gets nothing.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tributary_readmodel as readmodel;
use tributary_readmodel::private_postgres::PrivatePostgres;

/// For the server to take a setting up.
const LIMIT: Duration = Duration::from_secs(30);

/// A throwaway authority: its certificate as PEM, and one for 127.0.0.1 with its key.
struct Authority {
    ca: std::path::PathBuf,
    certificate: String,
    key: String,
}

fn authority(directory: &Path, name: &str) -> Authority {
    let script = format!(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj '/CN=test {name}' \
             -keyout {name}.ca.key -out {name}.ca.pem
         openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=server -keyout {name}.key -out {name}.csr
         echo subjectAltName=IP:127.0.0.1 >{name}.names
         openssl x509 -req -in {name}.csr -CA {name}.ca.pem -CAkey {name}.ca.key -CAcreateserial -days 2 \
             -extfile {name}.names -out {name}.pem"
    );
    let output = Command::new("sh").args(["-ec", &script]).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |file: String| std::fs::read_to_string(directory.join(file)).unwrap();
    Authority {
        ca: directory.join(format!("{name}.ca.pem")),
        certificate: read(format!("{name}.pem")),
        key: read(format!("{name}.key")),
    }
}

/// Puts a file beside the server's data, as the server's user, closed to others.
async fn place(pool: &sqlx::PgPool, file: &str, pem: &str) {
    let lines = format!(
        "COPY (SELECT regexp_split_to_table('{}', '\n')) TO PROGRAM 'umask 077; cat >{file}'",
        pem.trim()
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(lines)).execute(pool).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_believed_only_with_a_certificate_of_the_authority_that_the_url_names() {
    let directory = tempfile::tempdir().unwrap();
    let (ours, strangers) = (authority(directory.path(), "ours"), authority(directory.path(), "strangers"));
    let server = PrivatePostgres::start(&directory.path().join("data")).await.unwrap();
    let (base, _) = server.url().split_once('?').unwrap();
    let url = |mode: &str, ca: &Path| format!("{base}?sslmode={mode}&sslrootcert={}", ca.display());

    // Without TLS at the server: no connection, and no falling back to one that anybody can read.
    let refused = readmodel::connect(&url("require", &ours.ca), 1).await.unwrap_err();
    assert!(format!("{refused:#}").to_lowercase().contains("tls"), "{refused:#}");

    let pool = readmodel::connect(server.url(), 1).await.unwrap();
    place(&pool, "server.crt", &ours.certificate).await;
    place(&pool, "server.key", &ours.key).await;
    sqlx::query("ALTER SYSTEM SET ssl = on").execute(&pool).await.unwrap();
    sqlx::query("SELECT pg_reload_conf()").execute(&pool).await.unwrap();
    // The process that takes connections hears of it a moment later.
    let first_sealed = async {
        loop {
            match readmodel::connect(&url("verify-full", &ours.ca), 1).await {
                Ok(pool) => return pool,
                Err(error) if format!("{error:#}").contains("does not support TLS") => {
                    tokio::task::yield_now().await;
                }
                Err(error) => panic!("{error:#}"),
            }
        }
    };
    let sealed =
        tokio::time::timeout(LIMIT, first_sealed).await.expect("the server takes its certificate up");
    let encrypted: bool = sqlx::query_scalar("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        .fetch_one(&sealed)
        .await
        .unwrap();
    assert!(encrypted);
    sealed.close().await;

    let refused = readmodel::connect(&url("verify-full", &strangers.ca), 1).await.unwrap_err();
    assert!(format!("{refused:#}").to_lowercase().contains("certificate"), "{refused:#}");
    pool.close().await;
    server.stop().await.unwrap();
}

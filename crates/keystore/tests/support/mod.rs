//! A real Postgres for a test: one that is given, else a private one.
#![allow(clippy::unwrap_used, unreachable_pub)]
use readmodel::private_postgres::PrivatePostgres;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;

pub struct Server {
    url: String,
    private: Option<(PrivatePostgres, TempDir)>,
}

impl Server {
    pub async fn start() -> Self {
        let given = ["TRIBUTARY_TEST_DATABASE_URL", "DATABASE_URL"]
            .into_iter()
            .find_map(|name| std::env::var(name).ok());
        if let Some(url) = given {
            return Self { url, private: None };
        }
        let directory = tempfile::tempdir().unwrap();
        let server = PrivatePostgres::start(directory.path()).await.unwrap();
        Self { url: server.url().to_owned(), private: Some((server, directory)) }
    }

    pub async fn connect(&self, url: &str) -> PgConnection {
        PgConnection::connect(url).await.unwrap()
    }

    /// The URL of a new, empty database.
    pub async fn database(&self, name: &str) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{name}_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst));
        let mut connection = self.connect(&self.url).await;
        let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(create).execute(&mut connection).await.unwrap();
        let (start, query) = self.url.split_once('?').map_or((self.url.as_str(), ""), |(a, b)| (a, b));
        let (server, _) = start.rsplit_once('/').unwrap();
        format!("{server}/{name}?{query}")
    }

    /// A role that may connect to the database at `url` and nothing else; the URL with which it does.
    pub async fn role(&self, url: &str, name: &str) -> String {
        let mut connection = self.connect(url).await;
        let create = format!("DROP ROLE IF EXISTS {name}; CREATE ROLE {name} LOGIN PASSWORD 'only-a-test'");
        sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut connection).await.unwrap();
        let (scheme, rest) = url.split_once("://").unwrap();
        let (_, place) = rest.rsplit_once('@').unwrap();
        format!("{scheme}://{name}:only-a-test@{place}")
    }

    pub async fn stop(self) {
        if let Some((server, _directory)) = self.private {
            server.stop().await.unwrap();
        }
    }
}

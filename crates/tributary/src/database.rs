//! The Postgres of the read models: the operator's, or a private one.
use anyhow::{Context as _, bail};
use kit::config::Config;
use readmodel::private_postgres::PrivatePostgres;
use sqlx::PgPool;

/// Connections of the process that projects.
const SERVING_CONNECTIONS: u32 = 8;
/// Connections of a command.
const COMMAND_CONNECTIONS: u32 = 2;

/// A connected database.
#[derive(Debug)]
pub(crate) struct Database {
    pool: PgPool,
    /// When it is ours to stop.
    private: Option<PrivatePostgres>,
}

impl Database {
    /// For a process that serves: without a URL it starts a private server (or adopts one that a dead process left), and
    /// stops it in the end.
    pub(crate) async fn open(config: &Config) -> anyhow::Result<Self> {
        if let Some(given) = &config.database_url {
            return Self::given(given.expose(), SERVING_CONNECTIONS).await;
        }
        let private = PrivatePostgres::start(&config.data_dir).await?;
        Self::with_private(private, SERVING_CONNECTIONS).await
    }

    /// For a command: uses the private server of a running `up`, else starts it for the call.
    pub(crate) async fn attach(config: &Config) -> anyhow::Result<Self> {
        if let Some(given) = &config.database_url {
            return Self::given(given.expose(), COMMAND_CONNECTIONS).await;
        }
        if !config.data_dir.is_dir() {
            bail!(
                "there is no data directory {}; name the one of `tributary up` with --data-dir, or a database with \
                 --database-url",
                config.data_dir.display()
            );
        }
        let private = PrivatePostgres::attach_or_start(&config.data_dir).await?;
        Self::with_private(private, COMMAND_CONNECTIONS).await
    }

    async fn given(url: &str, connections: u32) -> anyhow::Result<Self> {
        // The URL holds a password: errors name the setting, not the value.
        let pool = readmodel::connect(url, connections)
            .await
            .context("cannot reach the Postgres that --database-url or DATABASE_URL names")?;
        Ok(Self { pool, private: None })
    }

    async fn with_private(private: PrivatePostgres, connections: u32) -> anyhow::Result<Self> {
        let pool = readmodel::connect(private.url(), connections).await.context("private Postgres")?;
        Ok(Self { pool, private: Some(private) })
    }

    pub(crate) const fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Closes connections, and stops the server when it is ours.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        self.pool.close().await;
        if let Some(private) = self.private {
            private.stop().await?;
        }
        Ok(())
    }
}

//! `tributary keys`: making the key store's database, and moving keys into it.
use crate::cli::{Keys, KeysCopy, KeysMigrate};
use crate::parts::{KEYS_DIR, configure_quietly};
use crate::up::print_line;
use anyhow::{Context as _, bail};
use keystore::PostgresKeyStore;
use kit::config::{Config, Secret};
use stream::keys_file::FileKeyStore;

/// Runs the command.
pub(crate) async fn keys(command: &Keys) -> anyhow::Result<()> {
    match command {
        Keys::Migrate(args) => migrate(args).await,
        Keys::Copy(args) => copy(args).await,
    }
}

fn url(config: &Config) -> anyhow::Result<&Secret> {
    config.keys_database_url.as_ref().context(
        "no database for keys is named; set TRIBUTARY_KEYS_DATABASE_URL (or keys_database_url in the --config file)",
    )
}

async fn migrate(args: &KeysMigrate) -> anyhow::Result<()> {
    let config = configure_quietly(&args.place.layers(&[]))?;
    keystore::migrate(url(&config)?.expose()).await?;
    print_line("the key store's schema tributary_keys is there and current")
}

async fn copy(args: &KeysCopy) -> anyhow::Result<()> {
    if (args.from.as_str(), args.to.as_str()) != ("file", "postgres") {
        bail!("keys are copied --from file --to postgres; back is a restore of the file's backup");
    }
    let config = configure_quietly(&args.place.layers(&[]))?;
    let dir = config.data_dir.join(KEYS_DIR);
    if !dir.is_dir() {
        bail!(
            "there is no key store in {}; name the data directory that has it with --data-dir",
            dir.display()
        );
    }
    // The lock is ours meanwhile: nothing can be added to the file behind the copy's back.
    let file = FileKeyStore::open(&dir).context("stop the process that uses the key store first")?;
    let subjects = file.subjects();
    let target = PostgresKeyStore::open_for(url(&config)?.expose(), &file).await?;
    target.take_over(&file, &subjects).await?;
    print_line(&format!(
        "{} subjects copied, {} in the database; start services with keys_database_url from now on, and keep {} as a backup \
         only until the database has one: it still holds keys that are destroyed from now on",
        subjects.len(),
        target.count().await?,
        dir.display()
    ))
}

//! `import`: an archive becomes a log, in empty topics of Kafka or in a new data directory.
use crate::cli::Import;
use crate::export::{KEYS, Teller, summary};
use crate::parts::{LOG_DIR, configure_quietly, create_data_dir, open_kafka};
use crate::up::print_line;
use anyhow::bail;
use kit::config::Config;
use std::time::Instant;
use stream::log::Log as _;
use stream::moving::{self, Imported};

/// Runs it.
pub(crate) async fn import(args: &Import) -> anyhow::Result<()> {
    let mut config = configure_quietly(&args.place.layers(&[]))?;
    if !args.file.is_file() {
        bail!(
            "{} is no file; an archive is read twice, so it cannot come through a pipe",
            args.file.display()
        );
    }
    let began = Instant::now();
    let (partitions, Imported { manifest, bases }) = match config.kafka.brokers {
        Some(_) => into_kafka(&config, args).await?,
        None => {
            config.data_dir = create_data_dir(&config.data_dir)?;
            into_directory(&config, args).await?
        }
    };
    let took = began.elapsed();
    if args.json {
        let mut summary = summary(&manifest, partitions, took);
        summary["bases"] = bases.into();
        return print_line(&summary.to_string());
    }
    print_line(&format!(
        "imported {} records, {} bytes, in {:.1} s; read back and compared\nthe archive held no keys: {KEYS}",
        manifest.records(),
        manifest.bytes(),
        took.as_secs_f64(),
    ))
}

async fn into_kafka(config: &Config, args: &Import) -> anyhow::Result<(u32, Imported)> {
    let log = open_kafka(config).await?;
    let mut teller = Teller::new();
    let imported = moving::into_kafka(&log, &args.file, &mut |progress| teller.tell(progress)).await?;
    Ok((log.partition_count(), imported))
}

async fn into_directory(config: &Config, args: &Import) -> anyhow::Result<(u32, Imported)> {
    let (dir, partitions) = (config.data_dir.join(LOG_DIR), config.log.partitions);
    let mut teller = Teller::new();
    let imported =
        moving::into_embedded(&dir, partitions, &args.file, &mut |progress| teller.tell(progress)).await?;
    Ok((partitions, imported))
}

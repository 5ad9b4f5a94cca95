//! `export`: everything that the log holds as one file, to move it or to keep it.
use crate::cli::Export;
use crate::parts::{configure_quietly, open_log_read_only};
use crate::up::print_line;
use anyhow::{Context as _, bail};
use domain::time::Micros;
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use stream::log::Log;
use stream::moving::archive::Manifest;
use stream::moving::{self, ExportOptions, Exported, MoveError, Progress};

const TO_STDOUT: &str = "-";
/// Between lines that say how far it is.
const SAY_EVERY: Duration = Duration::from_secs(2);
const BUFFER_BYTES: usize = 1 << 20;

/// Runs it.
pub(crate) async fn export(args: &Export) -> anyhow::Result<()> {
    let config = configure_quietly(&args.place.layers(&[]))?;
    let log = open_log_read_only(&config).await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let options = ExportOptions {
        backup: args.backup,
        wait: Duration::from_secs(args.wait),
        now: Micros(i64::try_from(now.as_micros()).unwrap_or(i64::MAX)),
    };
    let began = Instant::now();
    if args.file.as_os_str() == TO_STDOUT {
        let manifest = write(log.as_ref(), std::io::stdout(), options).await?.manifest;
        // The archive has stdout.
        eprintln!("{}", said(args, &manifest, log.partition_count(), began.elapsed()));
        return Ok(());
    }
    let manifest = to_file(log.as_ref(), &args.file, options).await?;
    print_line(&said(args, &manifest, log.partition_count(), began.elapsed()))
}

/// An archive appears under its name when it is whole and on the disk.
async fn to_file(log: &dyn Log, file: &Path, options: ExportOptions) -> anyhow::Result<Manifest> {
    if file.exists() {
        bail!("{} exists; name another file", file.display());
    }
    let mut name = file.file_name().context("the archive needs a file name")?.to_owned();
    name.push(".part");
    let part = file.with_file_name(name);
    let written = to_part(log, &part, options).await;
    if written.is_err() {
        remove(&part);
    }
    let manifest = written?;
    std::fs::rename(&part, file).with_context(|| file.display().to_string())?;
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.map_or_else(|| PathBuf::from("."), Path::to_owned);
    File::open(&parent).and_then(|parent| parent.sync_all()).with_context(|| parent.display().to_string())?;
    Ok(manifest)
}

async fn to_part(log: &dyn Log, part: &Path, options: ExportOptions) -> anyhow::Result<Manifest> {
    let file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(part)
        .with_context(|| part.display().to_string())?;
    let Exported { out, manifest } = write(log, file, options).await?;
    out.into_inner().map_err(|error| error.into_error())?.sync_all()?;
    Ok(manifest)
}

fn remove(part: &Path) {
    if let Err(error) = std::fs::remove_file(part)
        && error.kind() != ErrorKind::NotFound
    {
        eprintln!("tributary: {} is of no use and could not be removed: {error}", part.display());
    }
}

async fn write<W: Write + Send>(
    log: &dyn Log,
    out: W,
    options: ExportOptions,
) -> anyhow::Result<Exported<BufWriter<W>>> {
    let mut teller = Teller::new();
    let out = BufWriter::with_capacity(BUFFER_BYTES, out);
    let exported = moving::export(log, out, options, &mut |progress| teller.tell(progress)).await;
    exported.map_err(|error| match error {
        MoveError::NotDrained(_) => anyhow::Error::from(error).context(
            "nothing was written. Beside a running `tributary up`, give --wait SECONDS; without one, `tributary up --once` works \
             off what is left and ends. A copy that nobody goes on with needs neither: --backup",
        ),
        error => error.into(),
    })
}

fn said(args: &Export, manifest: &Manifest, partitions: u32, took: Duration) -> String {
    if args.json {
        return summary(manifest, partitions, took).to_string();
    }
    format!(
        "exported {} records, {} bytes, in {:.1} s{}\nthe archive holds no keys: {KEYS}",
        manifest.records(),
        manifest.bytes(),
        took.as_secs_f64(),
        if manifest.drained { "" } else { "; services had not worked everything off, so it is a backup" },
    )
}

/// What goes with a log, and never in it.
pub(crate) const KEYS: &str = "take keys/ (or the key store's database) and master.key along, by another way; without them the \
     new place can neither open personal data nor check webhooks";

/// What a script wants to know of an archive.
pub(crate) fn summary(manifest: &Manifest, partitions: u32, took: Duration) -> Value {
    let mut topics = serde_json::Map::new();
    for section in &manifest.sections {
        let topic = topics.entry(section.topic.clone()).or_insert_with(|| json!({"records": 0, "bytes": 0}));
        for (name, more) in [("records", section.records), ("bytes", section.bytes)] {
            topic[name] = (topic[name].as_u64().unwrap_or_default() + more).into();
        }
    }
    json!({
        "drained": manifest.drained,
        "partitions": partitions,
        "records": manifest.records(),
        "bytes": manifest.bytes(),
        "seconds": took.as_secs_f64(),
        "topics": topics,
    })
}

/// Says on stderr how far it is, when it takes long.
#[derive(Debug)]
pub(crate) struct Teller {
    said_at: Instant,
}

impl Teller {
    pub(crate) fn new() -> Self {
        Self { said_at: Instant::now() }
    }

    pub(crate) fn tell(&mut self, progress: Progress) {
        if self.said_at.elapsed() >= SAY_EVERY {
            self.said_at = Instant::now();
            let Progress { doing, topic, records } = progress;
            eprintln!("tributary: {doing} {}: {records} records", topic.name());
        }
    }
}

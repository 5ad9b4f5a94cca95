//! `quarantine list|show|retry`: what could not be used, what exactly was sent, and trying it again once the cause is mended.
//!
//! A retry is one more record on `ingest`: the quarantined request again, or, for an input that a service parked after a
//! defect, the name of that input. It goes the way of every write (`admin.rs`); what became of it is read from the log.
use crate::admin::Admin;
use crate::cli::{QuarantineList, QuarantineRetry, QuarantineShow};
use crate::database::Database;
use crate::parts::{configure_quietly, open_log_read_only};
use crate::report::{NOT_MIGRATED, table};
use crate::up::print_line;
use anyhow::{Context as _, anyhow, bail};
use domain::commission::CommissionsEvent;
use domain::ids::ProgramId;
use domain::normalization::{DefectRetry, VerdictKind};
use kit::config::Config;
use readmodel::batch::Followed;
use readmodel::quarantine::{self as view, Entry, Filter};
use serde::Serialize;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stream::base::Base;
use stream::cursor::Cursor;
use stream::follow::Follower;
use stream::judge::Frame;
use stream::log::{Log, LogError, Partition, Topic};
use wire::ingest::{IngestRecord, RawRequest};

/// Entries of one call at most: the next call goes on.
const LISTED: i64 = 1_000;
const RETRIED: i64 = 10_000;
/// For a service to decide a parked input again.
const DECIDED_LIMIT: Duration = Duration::from_secs(30);
const PROGRESS_EVERY: Duration = Duration::from_secs(2);
const NORMALIZER: &str = "normalizer";

/// `quarantine list`.
pub(crate) async fn list(args: &QuarantineList) -> anyhow::Result<()> {
    let config = configure_quietly(&args.place.layers(&[]))?;
    let filter = Filter { program: args.program.clone(), reason: args.reason.clone(), ..Filter::default() };
    let entries = with_database(&config, async |database| entries(database, &filter, LISTED).await).await?;
    if args.json {
        return print_line(&serde_json::to_string_pretty(&entries)?);
    }
    if entries.is_empty() {
        return print_line("nothing is in quarantine");
    }
    let head = ["entry", "program", "source", "reason", "age", "attempts", "detail"];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    lines.extend(entries.iter().map(|entry| {
        let program = printable(entry.program_id.as_deref().unwrap_or_default());
        let source = entry.source.clone().unwrap_or_else(|| entry.service.clone());
        let mut detail = printable(&entry.detail);
        if !entry.item.is_empty() {
            detail = format!("{}: {detail}", printable(&entry.item));
        }
        let (age, attempts) = (age(entry.age_seconds), entry.attempts.to_string());
        vec![name(entry), program, source, printable(&entry.reason), age, attempts, detail]
    }));
    print_line(&table(&lines, 7))?;
    if i64::try_from(entries.len()) == Ok(LISTED) {
        print_line(&format!("(the {LISTED} oldest; narrow it with --program or --reason)"))?;
    }
    Ok(())
}

/// What `quarantine show` prints.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    entry: Entry,
    /// Where the raw request is: partition and position in `ingest`.
    ingest: Option<(i32, i64)>,
    request: Result<Request, String>,
}

/// A raw request, for people.
#[derive(Debug, Serialize)]
struct Request {
    resource: String,
    query: String,
    /// Names only: some values vouch for the sender.
    headers: Vec<String>,
    authenticated_by: String,
    bytes: usize,
    /// `utf8` or `hex`.
    encoding: &'static str,
    body: String,
}

/// `quarantine show`.
pub(crate) async fn show(args: &QuarantineShow) -> anyhow::Result<()> {
    let config = configure_quietly(&args.place.layers(&[]))?;
    let (entry, ingest) = with_database(&config, async |database| {
        let entry = one(entries(database, &named(&args.entry)?, 2).await?, &args.entry)?;
        let ingest = match (&entry.event_id, entry.service.as_str()) {
            (_, NORMALIZER) => Some((entry.partition, entry.position)),
            (Some(event), _) => view::raw_request(database.pool(), event).await?,
            (None, _) => None,
        };
        Ok((entry, ingest))
    })
    .await?;
    let log = open_log_read_only(&config).await?;
    let request = match ingest {
        None => Err("this input did not come from a request".to_owned()),
        Some(place) => match raw_record(&log, place).await? {
            Raw::Request(request) => Ok(readable(*request)),
            Raw::Other => Err(UNREADABLE.to_owned()),
            Raw::Gone => Err(EXPIRED.to_owned()),
        },
    };
    eprintln!("tributary: the body is as it was sent and may hold personal data; do not pass it on unread");
    let shown = Shown { entry, ingest, request };
    if args.json {
        return print_line(&serde_json::to_string_pretty(&shown)?);
    }
    print_line(&describe(&shown))
}

const EXPIRED: &str = "the raw request is gone: ingest is kept for as long as its retention says; ask the sender to send it again";

const UNREADABLE: &str =
    "its record of ingest is no request that this version can read: nothing can be tried again";

fn describe(shown: &Shown) -> String {
    let entry = &shown.entry;
    let known = |text: &Option<String>| printable(text.as_deref().unwrap_or("-"));
    let mut lines = vec![
        format!("entry:        {}", name(entry)),
        format!("program:      {}", known(&entry.program_id)),
        format!("source:       {}", known(&entry.source)),
        format!("delivery key: {}", known(&entry.delivery_key)),
        format!(
            "held by:      {} (partition {}, position {})",
            entry.service, entry.partition, entry.position
        ),
        format!("reason:       {}", printable(&entry.reason)),
        format!("detail:       {}", printable(&entry.detail)),
        format!("received at:  {}", known(&entry.received_at)),
        format!(
            "last attempt: {} ({} in all, first {} ago)",
            entry.quarantined_at,
            entry.attempts,
            age(entry.age_seconds)
        ),
        format!("retry with:   {}", entry.retry),
    ];
    match &shown.request {
        Err(why) => lines.push(format!("request:      {why}")),
        Ok(request) => {
            lines.push(format!("headers kept: {}", printable(&request.headers.join(" "))));
            lines.push(format!("body ({} bytes, {}):", request.bytes, request.encoding));
            lines.push(printable_text(&request.body));
        }
    }
    lines.join("\n")
}

fn readable(request: RawRequest) -> Request {
    let (encoding, body) = match std::str::from_utf8(&request.body) {
        Ok(text) => ("utf8", text.to_owned()),
        Err(_) => ("hex", hex::encode(&request.body)),
    };
    Request {
        resource: request.resource,
        query: request.query,
        headers: request.headers.into_iter().map(|(name, _)| name).collect(),
        authenticated_by: request.authenticated_by,
        bytes: request.body.len(),
        encoding,
        body,
    }
}

/// What became of one retry.
#[derive(Debug, Serialize)]
struct Retried {
    entry: String,
    event_id: Option<String>,
    /// `applied`, `duplicate`, `ignored`, `quarantined`; for a parked input `decided` or `parked`; `expired` and `unreadable`:
    /// nothing was tried.
    result: &'static str,
    reason: String,
    detail: String,
}

impl Retried {
    /// It needs nobody any more.
    fn is_settled(&self) -> bool {
        !matches!(self.result, "quarantined" | "parked" | "expired" | "unreadable")
    }
}

/// `quarantine retry`: success when nothing that was named is left in quarantine.
pub(crate) async fn retry(args: &QuarantineRetry) -> anyhow::Result<ExitCode> {
    let config = configure_quietly(&args.place.layers(&[]))?;
    let (chosen, cursors) = with_database(&config, async |database| {
        let chosen = choose(database, args).await?;
        let mut connection = database.pool().acquire().await?;
        let cursors = readmodel::cursors::load(&mut connection, readmodel::GENERATION).await?;
        Ok((chosen, cursors))
    })
    .await?;
    if chosen.is_empty() {
        let answer = if args.json { "[]" } else { "nothing in quarantine fits" };
        print_line(answer)?;
        return Ok(ExitCode::SUCCESS);
    }
    let admin = Admin::open(&config, false).await?;
    let actor = args.actor.clone().unwrap_or_else(user);
    let cursor = |partition: i32| {
        let partition = Partition(u32::try_from(partition).unwrap_or_default());
        cursors.get(&(Followed::Commissions, partition)).copied().unwrap_or(Cursor::START)
    };
    let mut results = Vec::with_capacity(chosen.len());
    let (started, mut told) = (Instant::now(), Instant::now());
    let mut failed = None;
    for entry in &chosen {
        let result = if entry.service == NORMALIZER && entry.event_id.is_some() {
            again(&admin, entry, &actor).await
        } else {
            decide_again(&admin, entry, cursor(entry.partition), &actor).await
        };
        match result {
            Ok(result) if args.json => results.push(result),
            Ok(result) => {
                print_line(&line(&result))?;
                results.push(result);
            }
            Err(error) => {
                failed = Some(error.context(format!("after {} of {}", results.len(), chosen.len())));
                break;
            }
        }
        if told.elapsed() >= PROGRESS_EVERY {
            told = Instant::now();
            eprintln!("tributary: {} of {} retried, {:?}", results.len(), chosen.len(), started.elapsed());
        }
    }
    if args.json {
        print_line(&serde_json::to_string_pretty(&results)?)?;
    }
    let closed = admin.close().await;
    if let Some(error) = failed {
        return Err(error);
    }
    closed?;
    let settled = results.iter().all(Retried::is_settled);
    Ok(if settled { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn line(result: &Retried) -> String {
    let why = [printable(&result.reason), printable(&result.detail)];
    let why: Vec<_> = why.into_iter().filter(|text| !text.is_empty()).collect();
    let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join(": ")) };
    format!("{}: {}{why}", result.entry, result.result)
}

/// The entries that the arguments name, each once.
async fn choose(database: &Database, args: &QuarantineRetry) -> anyhow::Result<Vec<Entry>> {
    let mut chosen = Vec::new();
    if args.all {
        let filter =
            Filter { program: args.program.clone(), reason: args.reason.clone(), ..Filter::default() };
        chosen = entries(database, &filter, RETRIED).await?;
    }
    for name in &args.entries {
        let found = entries(database, &named(name)?, LISTED).await?;
        if found.is_empty() {
            return Err(unknown(name));
        }
        chosen.extend(found);
    }
    // Several items of one tick are one input, which is decided once.
    let once: BTreeMap<_, _> = chosen
        .into_iter()
        .map(|entry| ((entry.partition, entry.service.clone(), entry.position), entry))
        .collect();
    Ok(once.into_values().collect())
}

/// The quarantined request once more; the services answer as they answer a caller who waits.
async fn again(admin: &Admin, entry: &Entry, actor: &str) -> anyhow::Result<Retried> {
    let result = |result, reason, detail| Retried {
        entry: name(entry),
        event_id: entry.event_id.clone(),
        result,
        reason,
        detail,
    };
    let request = match raw_record(admin.log(), (entry.partition, entry.position)).await? {
        Raw::Request(request) => request,
        Raw::Other => return Ok(result("unreadable", String::new(), UNREADABLE.to_owned())),
        Raw::Gone => return Ok(result("expired", String::new(), EXPIRED.to_owned())),
    };
    let reply_to = admin.reply_address();
    let program = request.program.clone();
    // The first caller has left; this one waits.
    let request = RawRequest { reply_to: Some(reply_to.clone()), trace: None, ..*request };
    let of_position = entry.position.cast_unsigned();
    let retry = IngestRecord::Retry { of_position, request, actor: actor.to_owned() };
    let outcome = admin.submit(&program, &retry, &reply_to).await?;
    let verdict = if outcome.duplicate { VerdictKind::Duplicate } else { outcome.verdict };
    Ok(result(verdict.name(), outcome.reason, outcome.detail))
}

/// The service that parked an input is asked to decide it again; the mark of that comes with commission's frame.
async fn decide_again(admin: &Admin, entry: &Entry, cursor: Cursor, actor: &str) -> anyhow::Result<Retried> {
    let partition = Partition(u32::try_from(entry.partition)?);
    let source = entry.position.cast_unsigned();
    let program = ProgramId(entry.program_id.clone().unwrap_or_default());
    let log = admin.log();
    let before = log.bounds(Topic::Commissions, partition).await?.end;
    let retry = DefectRetry { service: entry.service.clone(), source, actor: actor.to_owned() };
    admin
        .append_to(partition, &program, &IngestRecord::DefectRetry { program: program.clone(), retry })
        .await?;
    let mut follower = Follower::open(log, Topic::Commissions, partition, cursor).await?;
    let decided = async {
        loop {
            for frame in follower.next(1_000, 4 << 20).await? {
                if frame.offset >= before
                    && let Some(failed) = said(&frame, &entry.service, source)?
                {
                    return anyhow::Ok(failed);
                }
            }
        }
    };
    let failed = tokio::time::timeout(DECIDED_LIMIT, decided).await.map_err(|_| {
        anyhow!(
            "{} said nothing of {} within {DECIDED_LIMIT:?}; is it running and ready? The retry is in the log and will be decided",
            entry.service,
            name(entry)
        )
    })??;
    let (result, detail) = match failed {
        None => ("decided", String::new()),
        Some(detail) => ("parked", detail),
    };
    let reason = if detail.is_empty() { String::new() } else { "defect".to_owned() };
    Ok(Retried { entry: name(entry), event_id: entry.event_id.clone(), result, reason, detail })
}

/// What a frame of commission says of a parked input: `None` nothing, `Some(None)` decided, `Some(Some(why))` parked again.
fn said(frame: &Frame, service: &str, source: u64) -> anyhow::Result<Option<Option<String>>> {
    let mut said = None;
    let mut hear = |settled: bool, detail: &str| {
        let failed = (!settled).then(|| detail.to_owned());
        // One item that failed again is enough to say so.
        said = Some(said.take().flatten().or(failed));
    };
    for mark in frame.marks.iter().filter(|mark| mark.service == service && mark.source == source) {
        hear(mark.settled, &mark.detail);
    }
    for event in &frame.events {
        if let CommissionsEvent::Parked(item) = wire::commissions::decode(event)?
            && service == "commission"
            && item.source == source
        {
            hear(item.settled, &item.detail);
        }
    }
    Ok(said)
}

/// What `ingest` holds at a place.
enum Raw {
    Request(Box<RawRequest>),
    /// A record that is no request, or that nobody can read.
    Other,
    /// Retention has removed it.
    Gone,
}

async fn raw_record(log: &Arc<dyn Log>, (partition, position): (i32, i64)) -> anyhow::Result<Raw> {
    let partition = Partition(u32::try_from(partition)?);
    let base = Base::of(log.as_ref(), partition).await?;
    // Not in this log: expired before it was moved.
    let Some(offset) = base.offset(position.cast_unsigned()) else { return Ok(Raw::Gone) };
    match log.record_at(Topic::Ingest, partition, offset).await {
        Ok(Some(record)) => Ok(match wire::ingest::decode(&record.value) {
            Ok(IngestRecord::Request(request) | IngestRecord::Retry { request, .. }) => {
                Raw::Request(Box::new(request))
            }
            _ => Raw::Other,
        }),
        Ok(None) | Err(LogError::OutOfRange { .. }) => Ok(Raw::Gone),
        Err(error) => Err(error.into()),
    }
}

async fn entries(database: &Database, filter: &Filter, limit: i64) -> anyhow::Result<Vec<Entry>> {
    view::entries(database.pool(), filter, limit).await.context(NOT_MIGRATED)
}

/// Runs `work` with the database, which is given back whatever came of it.
async fn with_database<T>(
    config: &Config,
    work: impl AsyncFnOnce(&Database) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let database = Database::attach(config).await?;
    let result = work(&database).await;
    let closed = database.close().await;
    let result = result?;
    closed?;
    Ok(result)
}

/// How an entry is named: by its event where it has one, otherwise `service/partition/position`.
fn name(entry: &Entry) -> String {
    match &entry.event_id {
        Some(event) if entry.service == NORMALIZER => event.clone(),
        _ => format!("{}/{}/{}", entry.service, entry.partition, entry.position),
    }
}

/// The filter that a name stands for: an event id, `service/partition/position`, or a position alone.
fn named(name: &str) -> anyhow::Result<Filter> {
    if name.starts_with("evt_") {
        return Ok(Filter { event: Some(name.to_owned()), ..Filter::default() });
    }
    if let Ok(position) = name.parse() {
        return Ok(Filter { position: Some(position), ..Filter::default() });
    }
    let parts: Vec<&str> = name.split('/').collect();
    if let [service, partition, position] = parts.as_slice()
        && let (Ok(partition), Ok(position)) = (partition.parse(), position.parse())
    {
        return Ok(Filter {
            service: Some((*service).to_owned()),
            partition: Some(partition),
            position: Some(position),
            ..Filter::default()
        });
    }
    bail!(
        "{name:?} names no entry; give an event id (evt_…) or service/partition/position, as `tributary quarantine list` prints them"
    )
}

fn one(mut found: Vec<Entry>, wanted: &str) -> anyhow::Result<Entry> {
    match (found.pop(), found.is_empty()) {
        (Some(entry), true) => Ok(entry),
        (Some(_), false) => bail!(
            "several entries are named {wanted}; give service/partition/position as `tributary quarantine list` prints it"
        ),
        (None, _) => Err(unknown(wanted)),
    }
}

fn unknown(wanted: &str) -> anyhow::Error {
    anyhow!(
        "nothing in quarantine is named {wanted}: it was never there, or is settled; `tributary events find` says what \
         became of an event"
    )
}

/// Who acts when nobody says so.
pub(crate) fn user() -> String {
    std::env::var("USER").ok().filter(|user| !user.is_empty()).unwrap_or_else(|| "operator".to_owned())
}

fn age(seconds: i64) -> String {
    let seconds = seconds.max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A text from outside as one line: a terminal must not obey it.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// As [`printable`], with its line breaks and tabs.
fn printable_text(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_entry_is_named_by_event_by_place_or_by_position() {
        assert_eq!(named("evt_1").unwrap().event.as_deref(), Some("evt_1"));
        let place = named("commission/7/123").unwrap();
        assert_eq!(
            (place.service.as_deref(), place.partition, place.position),
            (Some("commission"), Some(7), Some(123))
        );
        assert_eq!(named("123").unwrap().position, Some(123));
        assert!(named("order 1001").is_err());
    }

    #[test]
    fn a_body_cannot_drive_the_terminal() {
        assert_eq!(printable_text("a\u{1b}[2J\nb"), "a\u{fffd}[2J\nb");
        assert_eq!(printable("a\nb"), "a\u{fffd}b");
    }
}

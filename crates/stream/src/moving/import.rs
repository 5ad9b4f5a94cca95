//! An archive becomes a log: checked as a whole first, written into an empty target, then read back and compared.
use super::archive::{Archived, Content, Manifest, Part, Reader, Section, SectionSums};
use super::cut::Span;
use super::{MoveError, ORDER, OnProgress, Progress};
use crate::base::Base;
use crate::cursor::Cursor;
use crate::judge::Judge;
use crate::log::{Log, NewRecord, Partition, Topic};
use bytes::Bytes;
use domain::ids::Hash;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use wire::ingest::IngestRecord;

/// An import that is done.
#[derive(Debug)]
pub struct Imported {
    /// What the archive held, and the log holds now.
    pub manifest: Manifest,
    /// Partitions whose `ingest` begins with a base record.
    pub bases: u32,
}

pub(super) fn open(path: &Path) -> Result<Reader<BufReader<File>>, MoveError> {
    Reader::new(BufReader::with_capacity(1 << 20, File::open(path).map_err(MoveError::Read)?))
}

/// Reads a whole archive without importing it: every checksum, every sum, and that the frames of each partition are one
/// history. Records larger than `most_bytes` are refused. Gives the number of partitions and the manifest.
///
/// # Errors
/// [`MoveError::Damaged`], [`MoveError::Histories`], [`MoveError::TooLarge`] with the place; [`MoveError::Foreign`],
/// [`MoveError::Read`].
pub fn check(
    path: &Path,
    most_bytes: usize,
    on_progress: OnProgress<'_>,
) -> Result<(u32, Manifest), MoveError> {
    check_all(open(path)?, most_bytes, on_progress)
}

/// As [`check`].
pub(super) fn check_all<R: Read>(
    mut archive: Reader<R>,
    most_bytes: usize,
    on_progress: OnProgress<'_>,
) -> Result<(u32, Manifest), MoveError> {
    let mut open: Option<(Section, u64, Judge)> = None;
    let (mut before, mut count) = (None, 0);
    while let Some(part) = archive.next_part()? {
        match part {
            Part::Section(section) => {
                let place = ORDER.iter().position(|topic| *topic == section.topic);
                let place = place.map(|topic| (topic, section.partition));
                if place.is_none() || place <= before {
                    return Err(archive.damaged("the sections are not in their order"));
                }
                if section.first > 0 && section.topic != Topic::Ingest {
                    return Err(archive.damaged("the beginning of a topic is missing that is kept for ever"));
                }
                before = place;
                open = Some((section, section.first, Judge::new(Cursor::START)));
            }
            Part::Records(records) => {
                let Some((section, position, judge)) = &mut open else { continue };
                for record in &records {
                    check_record(section, *position, record, judge, most_bytes)?;
                    *position += 1;
                }
                count += records.len() as u64;
                on_progress(Progress { doing: "checking", topic: section.topic, records: count });
            }
            Part::SectionEnd(sums) => {
                let Some((section, _, judge)) = open.take() else { continue };
                let (seq, head) = judge.last();
                let head = if head == Hash::ZERO { String::new() } else { hex::encode(head.0) };
                if is_chain(section.topic) && (sums.seq, &sums.head) != (seq, &head) {
                    let what = format!("the last frame of {} is not {}", section.place(), sums.seq);
                    return Err(archive.damaged(&what));
                }
            }
            Part::Manifest(manifest) => return Ok((archive.header().partitions, manifest)),
        }
    }
    Err(archive.damaged("the manifest is missing"))
}

const fn is_chain(topic: Topic) -> bool {
    matches!(topic, Topic::Facts | Topic::Attributed | Topic::Commissions)
}

fn check_record(
    section: &Section,
    position: u64,
    record: &Archived,
    judge: &mut Judge,
    most: usize,
) -> Result<(), MoveError> {
    let bytes = record.key.len() + record.value.len();
    if bytes > most {
        return Err(MoveError::TooLarge { place: section.place(), position, bytes, most });
    }
    if is_chain(section.topic) {
        let judged = judge.judge(&record.at(position));
        judged.map_err(|halt| MoveError::Histories { place: section.place(), halt })?;
    }
    Ok(())
}

pub(super) fn require_partitions(archive: u32, target: u32) -> Result<(), MoveError> {
    if archive == target { Ok(()) } else { Err(MoveError::Partitions { archive, target }) }
}

/// No record of any topic, not even an expired one.
pub(super) async fn require_empty(log: &dyn Log, remedy: &str) -> Result<(), MoveError> {
    for topic in ORDER {
        for partition in (0..log.partition_count()).map(Partition) {
            let records = log.bounds(topic, partition).await?.end.0;
            if records > 0 {
                let place = Section { topic, partition, first: 0 }.place();
                return Err(MoveError::NotEmpty { place, records, remedy: remedy.to_owned() });
            }
        }
    }
    Ok(())
}

pub(super) fn by_place(manifest: &Manifest) -> BTreeMap<(Topic, Partition), &SectionSums> {
    let place = |sums: &SectionSums| {
        let topic = Topic::ALL.into_iter().find(|topic| topic.name() == sums.topic)?;
        Some((topic, Partition(sums.partition)))
    };
    manifest.sections.iter().filter_map(|sums| Some((place(sums)?, sums))).collect()
}

/// What position and time the records behind it have, as the first record of a partition of `ingest`.
pub(super) fn base_record(first_position: u64, records: u64) -> NewRecord {
    let base = IngestRecord::Base { first_position, end_position: first_position + records };
    NewRecord { key: Bytes::new(), value: wire::ingest::encode(&base) }
}

/// Reads the whole target and compares it with the sums of the archive: what is acknowledged is there, once, and nothing else.
pub(super) async fn compare(
    log: &dyn Log,
    manifest: &Manifest,
    remedy: &str,
    on_progress: OnProgress<'_>,
) -> Result<(), MoveError> {
    let sums = by_place(manifest);
    let mut count = 0;
    for topic in ORDER {
        for partition in (0..log.partition_count()).map(Partition) {
            let wanted = sums.get(&(topic, partition));
            let found = content_of(log, topic, partition).await?;
            count += found.0;
            let expected = wanted.map_or_else(
                || Content::of(topic).finish(),
                |sums| (sums.records, sums.bytes, sums.content.clone()),
            );
            if found != expected {
                let what = if found.0 == expected.0 {
                    "its records are not those of the archive".to_owned()
                } else {
                    format!("{} records instead of {}; does somebody else write there?", found.0, expected.0)
                };
                let place = Section { topic, partition, first: 0 }.place();
                return Err(MoveError::Differs { place, what, remedy: remedy.to_owned() });
            }
            if let Some(sums) = wanted {
                require_position(log, topic, partition, sums, remedy).await?;
                on_progress(Progress { doing: "comparing", topic, records: count });
            }
        }
    }
    Ok(())
}

/// Records, bytes and hash of what a partition holds, but for a base record.
async fn content_of(
    log: &dyn Log,
    topic: Topic,
    partition: Partition,
) -> Result<(u64, u64, String), MoveError> {
    let bounds = log.bounds(topic, partition).await?;
    let base = match topic {
        Topic::Ingest => Base::of(log, partition).await?,
        _ => Base::NONE,
    };
    let from = if topic == Topic::Ingest { base.first() } else { bounds.start };
    let mut content = Content::of(topic);
    if let Some(mut span) = Span::open(log, topic, partition, from, bounds.end).await? {
        while let Some(records) = span.next().await? {
            for record in &records {
                content.add(base.time_of(record), &record.key, &record.value);
            }
        }
    }
    Ok(content.finish())
}

/// `ingest` must go on with the position after the last imported one.
async fn require_position(
    log: &dyn Log,
    topic: Topic,
    partition: Partition,
    sums: &SectionSums,
    remedy: &str,
) -> Result<(), MoveError> {
    if topic != Topic::Ingest {
        return Ok(());
    }
    let base = Base::of(log, partition).await?;
    let next = base.position(log.bounds(topic, partition).await?.end);
    let wanted = sums.first + sums.records;
    if next == Some(wanted) {
        return Ok(());
    }
    Err(MoveError::Differs {
        place: Section { topic, partition, first: 0 }.place(),
        what: format!("it goes on with position {next:?} instead of {wanted}"),
        remedy: remedy.to_owned(),
    })
}

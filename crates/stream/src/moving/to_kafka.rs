//! Into empty topics of Kafka.
use super::archive::{Archived, Part, Section};
use super::import::{
    Imported, base_record, by_place, check, compare, open, require_empty, require_partitions,
};
use super::{MoveError, OnProgress, Progress};
use crate::kafka::{Importer, KafkaLog, MAX_RECORD_BYTES};
use crate::log::{AppendError, Log as _, NewRecord, Offset, Topic};
use domain::time::Micros;
use futures::future::BoxFuture;
use std::collections::VecDeque;
use std::path::Path;

/// Appends on their way to the brokers at a time: of about a megabyte each, or less.
const IN_FLIGHT: usize = 8;
/// Records of one append at most.
const BATCH_RECORDS: usize = 8_000;

/// Imports into empty topics, which are created where they are missing, and checked (rule 10).
///
/// # Errors
/// [`MoveError`]. What the archive itself is refused for, and a target that is not empty, is found before anything is written.
pub async fn into_kafka(
    log: &KafkaLog,
    archive: &Path,
    on_progress: OnProgress<'_>,
) -> Result<Imported, MoveError> {
    let (partitions, manifest) = check(archive, MAX_RECORD_BYTES, on_progress)?;
    require_partitions(partitions, log.partition_count())?;
    log.ensure_topics().await?;
    log.check().await?;
    let (brokers, prefix) = (&log.options().brokers, &log.options().topic_prefix);
    let remedy = format!(
        "delete the topics, if nothing of value is in them (kafka-topics.sh --bootstrap-server {brokers} --delete --topic \
         '{prefix}.*'), or choose another --topic-prefix; then import again",
        prefix = prefix.replace('.', "\\.")
    );
    require_empty(log, &remedy).await?;
    let mut target = Topics {
        importer: log.importer(),
        section: None,
        next: 0,
        in_flight: VecDeque::new(),
        remedy: &remedy,
        bases: 0,
    };
    let sums = by_place(&manifest);
    let mut parts = open(archive)?;
    let mut count = 0;
    while let Some(part) = parts.next_part()? {
        match part {
            Part::Section(section) => {
                let records = sums.get(&(section.topic, section.partition)).map_or(0, |sums| sums.records);
                target.begin(section, records).await?;
            }
            Part::Records(records) => {
                count += records.len() as u64;
                target.append(records).await?;
                if let Some(section) = target.section {
                    on_progress(Progress { doing: "writing", topic: section.topic, records: count });
                }
            }
            Part::SectionEnd(_) => target.drain(0).await?,
            Part::Manifest(_) => {}
        }
    }
    let bases = target.bases;
    compare(log, &manifest, &remedy, on_progress).await?;
    Ok(Imported { manifest, bases })
}

type Acknowledged = Result<Vec<Option<Offset>>, AppendError>;

/// Topics that are being written. Offsets begin at 0 and every one of them is ours, or somebody else writes as well.
struct Topics<'a> {
    importer: Importer,
    section: Option<Section>,
    /// The next offset to be acknowledged.
    next: u64,
    in_flight: VecDeque<BoxFuture<'static, Acknowledged>>,
    remedy: &'a str,
    bases: u32,
}

impl Topics<'_> {
    async fn begin(&mut self, section: Section, records: u64) -> Result<(), MoveError> {
        self.section = Some(section);
        self.next = 0;
        if section.topic == Topic::Ingest {
            self.bases += 1;
            self.send(section, &[(base_record(section.first, records), None)]).await?;
        }
        Ok(())
    }

    async fn append(&mut self, records: Vec<Archived>) -> Result<(), MoveError> {
        let Some(section) = self.section else { return Ok(()) };
        let with_time = section.topic == Topic::Ingest;
        let records: Vec<_> = records
            .into_iter()
            .map(|record| {
                let time = with_time.then_some(record.time);
                (NewRecord { key: record.key, value: record.value }, time)
            })
            .collect();
        // Ticks are tiny: a block of them alone may be more records than a producer owes.
        for some in records.chunks(BATCH_RECORDS) {
            self.send(section, some).await?;
        }
        Ok(())
    }

    async fn send(
        &mut self,
        section: Section,
        records: &[(NewRecord, Option<Micros>)],
    ) -> Result<(), MoveError> {
        self.drain(IN_FLIGHT - 1).await?;
        let append = self.importer.append(section.topic, section.partition, records);
        self.in_flight.push_back(append);
        Ok(())
    }

    /// Waits until at most `left` appends are under way.
    async fn drain(&mut self, left: usize) -> Result<(), MoveError> {
        while self.in_flight.len() > left {
            let (Some(append), Some(section)) = (self.in_flight.pop_front(), self.section) else { break };
            let failed =
                |error| MoveError::Append { place: section.place(), error, remedy: self.remedy.to_owned() };
            for offset in append.await.map_err(failed)? {
                // Acknowledged without an offset: comparing tells.
                if offset.is_some_and(|offset| offset.0 != self.next) {
                    return Err(MoveError::Differs {
                        place: section.place(),
                        what: format!(
                            "a record got offset {} instead of {}, so somebody else writes to the topics: stop every service",
                            offset.unwrap_or_default().0,
                            self.next
                        ),
                        remedy: self.remedy.to_owned(),
                    });
                }
                self.next += 1;
            }
        }
        Ok(())
    }
}

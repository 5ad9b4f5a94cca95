//! The archive: a log as one stream of checked blocks.
//!
//! Magic `TRIBLOG1`, then blocks to the end. A block: kind u8, length u32, payload, and the SHA-256 of the digest of the block
//! before it (zeros at first), kind, length and payload; numbers are little-endian. So a block that was changed, cut, left
//! out or moved is found where it is. The blocks: a header (JSON); for each partition of a topic that holds something a section
//! (JSON: which, and its first position), records, and the section's sums (JSON); last the manifest (JSON). Without a manifest
//! an archive is not whole.
//!
//! A record: append time in microseconds i64, lengths of key and value u32 each, key, value. Its position is its place in the
//! section. In `gateway-config.v1`, where only the newest version of each key is kept, positions mean nothing.
use super::MoveError;
use crate::log::{Partition, Record, Topic};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use domain::time::Micros;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::{ErrorKind, Read, Write};

const MAGIC: &[u8; 8] = b"TRIBLOG1";
/// Of what the blocks mean. A reader refuses what is newer than itself.
const VERSION: u32 = 1;
const HEAD_BYTES: usize = 5;
const DIGEST_BYTES: usize = 32;
const RECORD_HEAD_BYTES: usize = 16;
/// A block is written when it has this many bytes.
const BLOCK_BYTES: usize = 1 << 20;
/// No block is longer: a full one and the largest record.
const MOST_BLOCK_BYTES: usize = 4 << 20;

const HEADER: u8 = 1;
const SECTION: u8 = 2;
const RECORDS: u8 = 3;
const SECTION_END: u8 = 4;
const MANIFEST: u8 = 5;

/// The first block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the format.
    pub version: u32,
    /// Partitions of every topic.
    pub partitions: u32,
    /// When the export began, in microseconds since 1970. Informative.
    pub created_at_micros: i64,
    /// The version of Tributary that wrote it. Informative.
    pub written_by: String,
}

/// What follows, up to the sums of the section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section {
    /// Which topic.
    pub topic: Topic,
    /// Which partition.
    pub partition: Partition,
    /// Position of the first record. Above 0 only in `ingest`, whose beginning expires.
    pub first: u64,
}

impl Section {
    /// For people.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{} partition {}", self.topic.name(), self.partition.0)
    }
}

/// The sums of a section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SectionSums {
    /// The topic's name without prefix.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// Position of the first record.
    pub first: u64,
    /// How many records.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// SHA-256 over all records, in hex: what a target is compared with ([`Content`]).
    pub content: String,
    /// `seq` of the last accepted frame; 0: none, or no topic of the chain.
    pub seq: u64,
    /// Head of the last accepted frame, in hex; empty: none.
    pub head: String,
}

/// The last block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Every input was worked off to its end; `false`: a backup of a log at work.
    pub drained: bool,
    /// The sums of all sections, in their order.
    pub sections: Vec<SectionSums>,
}

impl Manifest {
    /// Records of all sections.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.sections.iter().map(|section| section.records).sum()
    }

    /// Bytes of all keys and values.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.sections.iter().map(|section| section.bytes).sum()
    }
}

/// The hash over a section's records, as they must be in a target: keys, values, and in `ingest` the times.
#[derive(Debug, Clone)]
pub struct Content {
    hasher: Sha256,
    with_time: bool,
    records: u64,
    bytes: u64,
}

impl Content {
    /// Of a section of `topic`. The append times of other topics than `ingest` mean nothing to anybody.
    #[must_use]
    pub fn of(topic: Topic) -> Self {
        Self { hasher: Sha256::new(), with_time: topic == Topic::Ingest, records: 0, bytes: 0 }
    }

    /// Adds the next record.
    pub fn add(&mut self, time: Micros, key: &[u8], value: &[u8]) {
        let time = if self.with_time { time.0 } else { 0 };
        self.hasher.update(head_of(time, key, value));
        self.hasher.update(key);
        self.hasher.update(value);
        self.records += 1;
        self.bytes += (key.len() + value.len()) as u64;
    }

    /// Number of records, bytes of keys and values, SHA-256 in hex.
    #[must_use]
    pub fn finish(self) -> (u64, u64, String) {
        (self.records, self.bytes, hex::encode(self.hasher.finalize()))
    }
}

fn head_of(time: i64, key: &[u8], value: &[u8]) -> [u8; RECORD_HEAD_BYTES] {
    let mut head = [0; RECORD_HEAD_BYTES];
    let mut at = &mut head[..];
    at.put_i64_le(time);
    at.put_u32_le(u32::try_from(key.len()).unwrap_or(u32::MAX));
    at.put_u32_le(u32::try_from(value.len()).unwrap_or(u32::MAX));
    head
}

fn digest_of(before: &[u8; DIGEST_BYTES], head: &[u8], payload: &[u8]) -> [u8; DIGEST_BYTES] {
    let mut hasher = Sha256::new();
    hasher.update(before);
    hasher.update(head);
    hasher.update(payload);
    hasher.finalize().into()
}

/// Writes an archive.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    digest: [u8; DIGEST_BYTES],
    block: BytesMut,
    open: Option<(Section, Content)>,
    manifest: Manifest,
}

impl<W: Write> Writer<W> {
    /// Begins an archive of a log with `partitions` partitions.
    ///
    /// # Errors
    /// When `out` does not take it.
    pub fn new(out: W, partitions: u32, created_at: Micros) -> Result<Self, MoveError> {
        let manifest = Manifest { drained: false, sections: Vec::new() };
        let mut writer =
            Self { out, digest: [0; DIGEST_BYTES], block: BytesMut::new(), open: None, manifest };
        writer.out.write_all(MAGIC).map_err(MoveError::Write)?;
        let written_by = env!("CARGO_PKG_VERSION").to_owned();
        let header = Header { version: VERSION, partitions, created_at_micros: created_at.0, written_by };
        writer.json(HEADER, &header)?;
        Ok(writer)
    }

    /// Begins a section.
    ///
    /// # Errors
    /// When `out` does not take it.
    pub fn begin(&mut self, section: Section) -> Result<(), MoveError> {
        self.json(
            SECTION,
            &SectionHead {
                topic: section.topic.name().to_owned(),
                partition: section.partition.0,
                first: section.first,
            },
        )?;
        self.open = Some((section, Content::of(section.topic)));
        Ok(())
    }

    /// Adds the next record of the section.
    ///
    /// # Errors
    /// When `out` does not take it.
    pub fn record(&mut self, time: Micros, key: &[u8], value: &[u8]) -> Result<(), MoveError> {
        let bytes = RECORD_HEAD_BYTES + key.len() + value.len();
        if !self.block.is_empty() && self.block.len() + bytes > BLOCK_BYTES {
            self.records()?;
        }
        self.block.put_slice(&head_of(time.0, key, value));
        self.block.put_slice(key);
        self.block.put_slice(value);
        if let Some((_, content)) = &mut self.open {
            content.add(time, key, value);
        }
        Ok(())
    }

    /// Ends the section. `seq` and `head`: of the last accepted frame.
    ///
    /// # Errors
    /// When `out` does not take it.
    pub fn end(&mut self, last: Option<(u64, domain::ids::Hash)>) -> Result<(), MoveError> {
        if !self.block.is_empty() {
            self.records()?;
        }
        let Some((section, content)) = self.open.take() else { return Ok(()) };
        let (records, bytes, content) = content.finish();
        let sums = SectionSums {
            topic: section.topic.name().to_owned(),
            partition: section.partition.0,
            first: section.first,
            records,
            bytes,
            content,
            seq: last.map_or(0, |(seq, _)| seq),
            head: last.map_or_else(String::new, |(_, head)| hex::encode(head.0)),
        };
        self.json(SECTION_END, &sums)?;
        self.manifest.sections.push(sums);
        Ok(())
    }

    /// Writes the manifest and gives it back.
    ///
    /// # Errors
    /// When `out` does not take it.
    pub fn finish(mut self, drained: bool) -> Result<(W, Manifest), MoveError> {
        self.manifest.drained = drained;
        let manifest = self.manifest.clone();
        self.json(MANIFEST, &manifest)?;
        self.out.flush().map_err(MoveError::Write)?;
        Ok((self.out, manifest))
    }

    fn records(&mut self) -> Result<(), MoveError> {
        let block = self.block.split();
        self.put(RECORDS, &block)
    }

    fn json(&mut self, kind: u8, value: &impl Serialize) -> Result<(), MoveError> {
        let payload = serde_json::to_vec(value).map_err(|error| MoveError::Write(error.into()))?;
        self.put(kind, &payload)
    }

    fn put(&mut self, kind: u8, payload: &[u8]) -> Result<(), MoveError> {
        let mut head = [kind; HEAD_BYTES];
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        head[1..].copy_from_slice(&length.to_le_bytes());
        self.digest = digest_of(&self.digest, &head, payload);
        let mut write = |bytes: &[u8]| self.out.write_all(bytes).map_err(MoveError::Write);
        write(&head)?;
        write(payload)?;
        write(&self.digest)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct SectionHead {
    topic: String,
    partition: u32,
    first: u64,
}

/// A record as it is in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    /// When it was first appended.
    pub time: Micros,
    /// Its key.
    pub key: Bytes,
    /// Its value.
    pub value: Bytes,
}

impl Archived {
    /// As a record of a log, for the judge.
    #[must_use]
    pub fn at(&self, position: u64) -> Record {
        Record {
            offset: crate::log::Offset(position),
            appended_at: self.time,
            key: self.key.clone(),
            value: self.value.clone(),
            imported_at: None,
        }
    }
}

/// What comes next in an archive.
#[derive(Debug)]
pub enum Part {
    /// A section begins.
    Section(Section),
    /// Some of its records.
    Records(Vec<Archived>),
    /// It has ended, and its sums fit what was read of it.
    SectionEnd(SectionSums),
    /// The archive has ended, whole.
    Manifest(Manifest),
}

/// Reads an archive, and believes no byte of it before its block's digest was compared.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    digest: [u8; DIGEST_BYTES],
    /// Bytes read so far.
    at: u64,
    header: Header,
    open: Option<(Section, Content)>,
    sections: Vec<SectionSums>,
    ended: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`MoveError::Damaged`] and [`MoveError::Foreign`], with the place; [`MoveError::Read`].
    pub fn new(mut input: R) -> Result<Self, MoveError> {
        let mut magic = [0; MAGIC.len()];
        match input.read_exact(&mut magic) {
            Ok(()) if &magic == MAGIC => {}
            Err(error) if error.kind() != ErrorKind::UnexpectedEof => return Err(MoveError::Read(error)),
            _ => return Err(MoveError::Foreign("it does not begin as an archive of a log does".to_owned())),
        }
        let header = Header { version: 0, partitions: 0, created_at_micros: 0, written_by: String::new() };
        let mut reader = Self {
            input,
            digest: [0; DIGEST_BYTES],
            at: MAGIC.len() as u64,
            header,
            open: None,
            sections: Vec::new(),
            ended: false,
        };
        let (kind, payload) = reader.block()?;
        if kind != HEADER {
            return Err(reader.damaged("the header is missing"));
        }
        // The version alone, first: a later one may have other fields.
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } = reader.json(&payload)?;
        if version != VERSION {
            return Err(MoveError::Foreign(format!(
                "it has version {version} of the format, this binary knows {VERSION}: use the version of Tributary that wrote it, or a newer one"
            )));
        }
        reader.header = reader.json(&payload)?;
        Ok(reader)
    }

    /// The first block.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// What comes next; nothing after the manifest.
    ///
    /// # Errors
    /// [`MoveError::Damaged`] with the place; [`MoveError::Read`].
    pub fn next_part(&mut self) -> Result<Option<Part>, MoveError> {
        if self.ended {
            return Ok(None);
        }
        let (kind, payload) = self.block()?;
        let part = match (kind, self.open.is_some()) {
            (SECTION, false) => self.section(&payload)?,
            (RECORDS, true) => self.records(payload)?,
            (SECTION_END, true) => self.section_end(&payload)?,
            (MANIFEST, false) => self.manifest(&payload)?,
            (kind, _) => return Err(self.damaged(&format!("a block of kind {kind} does not belong here"))),
        };
        Ok(Some(part))
    }

    fn section(&mut self, payload: &[u8]) -> Result<Part, MoveError> {
        let SectionHead { topic, partition, first } = self.json(payload)?;
        let Some(topic) = Topic::ALL.into_iter().find(|known| known.name() == topic) else {
            return Err(self.damaged(&format!("there is no topic {topic}")));
        };
        let section = Section { topic, partition: Partition(partition), first };
        if partition >= self.header.partitions {
            return Err(self.damaged(&format!("{} of {}", section.place(), self.header.partitions)));
        }
        self.open = Some((section, Content::of(topic)));
        Ok(Part::Section(section))
    }

    fn records(&mut self, mut payload: Bytes) -> Result<Part, MoveError> {
        let mut records = Vec::new();
        while payload.has_remaining() {
            let Some(record) = archived(&mut payload) else {
                return Err(self.damaged("a record is longer than its block"));
            };
            if let Some((_, content)) = &mut self.open {
                content.add(record.time, &record.key, &record.value);
            }
            records.push(record);
        }
        Ok(Part::Records(records))
    }

    fn section_end(&mut self, payload: &[u8]) -> Result<Part, MoveError> {
        let sums: SectionSums = self.json(payload)?;
        let Some((section, content)) = self.open.take() else {
            return Err(self.damaged("the end of a section that did not begin"));
        };
        let place = section.place();
        let same_place = (sums.topic.as_str(), sums.partition, sums.first)
            == (section.topic.name(), section.partition.0, section.first);
        let (records, bytes, content) = content.finish();
        if !same_place || (sums.records, sums.bytes, &sums.content) != (records, bytes, &content) {
            return Err(self.damaged(&format!("the sums of {place} do not fit its {records} records")));
        }
        self.sections.push(sums.clone());
        Ok(Part::SectionEnd(sums))
    }

    fn manifest(&mut self, payload: &[u8]) -> Result<Part, MoveError> {
        let manifest: Manifest = self.json(payload)?;
        if manifest.sections != self.sections {
            return Err(self.damaged("the manifest does not fit the sections"));
        }
        if self.input.read(&mut [0]).map_err(MoveError::Read)? > 0 {
            return Err(self.damaged("something follows the manifest"));
        }
        self.ended = true;
        Ok(Part::Manifest(manifest))
    }

    fn block(&mut self) -> Result<(u8, Bytes), MoveError> {
        let mut head = [0; HEAD_BYTES];
        self.fill(&mut head)?;
        let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
        // The manifest grows with the partitions, at 300 bytes each; everything else is smaller.
        if length > MOST_BLOCK_BYTES {
            return Err(self.damaged(&format!("a block of {length} bytes")));
        }
        let mut payload = BytesMut::zeroed(length);
        self.fill(&mut payload)?;
        let mut digest = [0; DIGEST_BYTES];
        self.fill(&mut digest)?;
        self.digest = digest_of(&self.digest, &head, &payload);
        if digest != self.digest {
            return Err(self.damaged("the block's bytes do not have its checksum: it was changed or damaged"));
        }
        self.at += (HEAD_BYTES + length + DIGEST_BYTES) as u64;
        Ok((head[0], payload.freeze()))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), MoveError> {
        self.input.read_exact(bytes).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => self.damaged("it ends in the middle: it was cut, or its export was"),
            _ => MoveError::Read(error),
        })
    }

    fn json<T: DeserializeOwned>(&self, payload: &[u8]) -> Result<T, MoveError> {
        serde_json::from_slice(payload).map_err(|error| self.damaged(&error.to_string()))
    }

    /// Where the block that is being read begins, and in what.
    pub(super) fn damaged(&self, what: &str) -> MoveError {
        let section =
            self.open.as_ref().map_or_else(String::new, |(section, _)| format!(", in {}", section.place()));
        MoveError::Damaged { place: format!("byte {}{section}", self.at), what: what.to_owned() }
    }
}

fn archived(payload: &mut Bytes) -> Option<Archived> {
    if payload.len() < RECORD_HEAD_BYTES {
        return None;
    }
    let time = Micros(payload.get_i64_le());
    let (key, value) = (payload.get_u32_le() as usize, payload.get_u32_le() as usize);
    if payload.len() < key.saturating_add(value) {
        return None;
    }
    Some(Archived { time, key: payload.split_to(key), value: payload.split_to(value) })
}

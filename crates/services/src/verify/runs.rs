//! Events sorted by what they are about, in memory that does not grow with them.
//!
//! What is pushed is gathered up to a limit, then sorted and written to a temporary file (a run). At the end the runs are
//! merged: entries come out by key, and of one key in the order in which they were pushed. Many runs are merged into a longer
//! one on the way, so that neither open files nor read buffers grow.
use bytes::Bytes;
use domain::time::Micros;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Seek, SeekFrom, Write};

/// Runs of one length that are merged into a longer one.
const FAN_IN: usize = 32;
/// Of each run that is read or written.
const BUFFER: usize = 32 << 10;

/// One event of the log that says something about the object `key`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Entry {
    /// The object.
    pub(super) key: Bytes,
    /// Place among all that were pushed.
    order: u64,
    /// The event's frame.
    pub(super) seq: u64,
    /// The frame's clock.
    pub(super) clock: Micros,
    /// What the event says.
    pub(super) value: Bytes,
}

/// Gathers entries.
#[derive(Debug)]
pub(super) struct Sorter {
    /// Bytes that may be gathered before they are written.
    limit: usize,
    gathered: Gathered,
    /// Runs by how often their entries were merged; each list from the oldest.
    levels: Vec<Vec<Run>>,
    pushed: u64,
}

/// Entries in memory, as they are written: their bytes one after another, and where each begins.
#[derive(Debug, Default)]
struct Gathered {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

/// A sorted file, at its beginning.
#[derive(Debug)]
struct Run(BufReader<File>);

/// Fixed part of an entry: lengths of key and value, order, frame, clock.
const HEAD: usize = 4 + 4 + 8 + 8 + 8;

impl Sorter {
    /// Gathers up to `limit` bytes in memory.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, gathered: Gathered::default(), levels: Vec::new(), pushed: 0 }
    }

    /// Adds an entry after all others.
    ///
    /// # Errors
    /// When there is no room for temporary files.
    pub(super) fn push(&mut self, key: &[u8], seq: u64, clock: Micros, value: &[u8]) -> io::Result<()> {
        self.gathered.push(key, self.pushed, seq, clock, value)?;
        self.pushed += 1;
        if self.gathered.held() >= self.limit { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> io::Result<()> {
        let mut writer = RunWriter::new()?;
        self.gathered.sort();
        for start in &self.gathered.starts {
            writer.raw(self.gathered.entry(*start))?;
        }
        self.gathered.clear();
        self.add(0, writer.finish()?)
    }

    /// Adds a run to its level; a full level becomes one run of the next.
    fn add(&mut self, level: usize, run: Run) -> io::Result<()> {
        if self.levels.len() == level {
            self.levels.push(Vec::new());
        }
        let Some(runs) = self.levels.get_mut(level) else { return Ok(()) };
        runs.push(run);
        if runs.len() < FAN_IN {
            return Ok(());
        }
        let mut merged = Merged::of(std::mem::take(runs).into_iter().map(Source::Run))?;
        let mut writer = RunWriter::new()?;
        while let Some(entry) = merged.next()? {
            writer.entry(&entry)?;
        }
        self.add(level + 1, writer.finish()?)
    }

    /// All entries, by key and order. What was gathered last stays in memory.
    ///
    /// # Errors
    /// When a temporary file cannot be read.
    pub(super) fn finish(mut self) -> io::Result<Merged> {
        self.gathered.sort();
        let runs = self.levels.into_iter().flatten().map(Source::Run);
        let Gathered { bytes, starts } = self.gathered;
        let memory = Source::Memory { bytes: bytes.into(), starts: starts.into_iter() };
        Merged::of(runs.chain([memory]))
    }
}

impl Gathered {
    fn push(&mut self, key: &[u8], order: u64, seq: u64, clock: Micros, value: &[u8]) -> io::Result<()> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(io::Error::other);
        self.starts.push(self.bytes.len());
        self.bytes.extend_from_slice(&length(key)?.to_le_bytes());
        self.bytes.extend_from_slice(&length(value)?.to_le_bytes());
        self.bytes.extend_from_slice(&order.to_le_bytes());
        self.bytes.extend_from_slice(&seq.to_le_bytes());
        self.bytes.extend_from_slice(&clock.0.to_le_bytes());
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        Ok(())
    }

    /// Bytes in memory.
    fn held(&self) -> usize {
        self.bytes.len() + self.starts.len() * size_of::<usize>()
    }

    fn sort(&mut self) {
        let bytes = &self.bytes;
        // What was pushed earlier begins earlier.
        self.starts.sort_unstable_by(|a, b| key_at(bytes, *a).cmp(key_at(bytes, *b)).then(a.cmp(b)));
    }

    fn entry(&self, start: usize) -> &[u8] {
        let rest = self.bytes.get(start..).unwrap_or_default();
        let (key, value) = lengths(rest);
        rest.get(..HEAD + key + value).unwrap_or_default()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.starts.clear();
    }
}

fn key_at(bytes: &[u8], start: usize) -> &[u8] {
    let rest = bytes.get(start..).unwrap_or_default();
    rest.get(HEAD..HEAD + lengths(rest).0).unwrap_or_default()
}

/// Lengths of key and value of the entry that begins here.
fn lengths(entry: &[u8]) -> (usize, usize) {
    let length = |at: usize| {
        let bytes = entry.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        usize::try_from(u32::from_le_bytes(bytes.unwrap_or_default())).unwrap_or(usize::MAX)
    };
    (length(0), length(4))
}

/// Writes a run.
struct RunWriter(BufWriter<File>);

impl RunWriter {
    /// The file has no name: it is gone with the process, however that ends.
    fn new() -> io::Result<Self> {
        Ok(Self(BufWriter::with_capacity(BUFFER, tempfile::tempfile()?)))
    }

    fn raw(&mut self, entry: &[u8]) -> io::Result<()> {
        self.0.write_all(entry)
    }

    fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        let mut one = Gathered::default();
        one.push(&entry.key, entry.order, entry.seq, entry.clock, &entry.value)?;
        self.raw(&one.bytes)
    }

    fn finish(self) -> io::Result<Run> {
        let mut file = self.0.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.seek(SeekFrom::Start(0))?;
        Ok(Run(BufReader::with_capacity(BUFFER, file)))
    }
}

/// Where sorted entries come from.
#[derive(Debug)]
enum Source {
    Run(Run),
    /// The entries, and where those that were not given yet begin, in order.
    Memory {
        bytes: Bytes,
        starts: std::vec::IntoIter<usize>,
    },
}

impl Source {
    fn next(&mut self) -> io::Result<Option<Entry>> {
        match self {
            Self::Run(Run(file)) => {
                if file.fill_buf()?.is_empty() {
                    return Ok(None);
                }
                let mut head = [0; HEAD];
                file.read_exact(&mut head)?;
                let (key, value) = lengths(&head);
                let mut both = vec![0; key + value];
                file.read_exact(&mut both)?;
                Ok(Some(headed(&head, both.into())))
            }
            Self::Memory { bytes, starts } => {
                let Some(start) = starts.next() else { return Ok(None) };
                let head = bytes.get(start..).unwrap_or_default();
                let (key, value) = lengths(head);
                let from = start + HEAD;
                Ok(Some(headed(head, bytes.slice(from..from + key + value))))
            }
        }
    }
}

/// The entry with this head, and this key and value one after the other.
fn headed(head: &[u8], mut both: Bytes) -> Entry {
    let number = |at: usize| {
        let bytes = head.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
        u64::from_le_bytes(bytes.unwrap_or_default())
    };
    let key = both.split_to(lengths(head).0);
    Entry { key, order: number(8), seq: number(16), clock: Micros(number(24).cast_signed()), value: both }
}

/// Entries of all sources, in order.
#[derive(Debug)]
pub(super) struct Merged {
    sources: Vec<Source>,
    /// The next entry of each source.
    heads: BinaryHeap<Reverse<Head>>,
}

#[derive(Debug)]
struct Head {
    entry: Entry,
    source: usize,
}

impl Merged {
    fn of(sources: impl Iterator<Item = Source>) -> io::Result<Self> {
        let mut merged = Self { sources: sources.collect(), heads: BinaryHeap::new() };
        for source in 0..merged.sources.len() {
            merged.advance(source)?;
        }
        Ok(merged)
    }

    fn advance(&mut self, source: usize) -> io::Result<()> {
        if let Some(from) = self.sources.get_mut(source)
            && let Some(entry) = from.next()?
        {
            self.heads.push(Reverse(Head { entry, source }));
        }
        Ok(())
    }

    /// The next entry.
    ///
    /// # Errors
    /// When a temporary file cannot be read.
    pub(super) fn next(&mut self) -> io::Result<Option<Entry>> {
        let Some(Reverse(Head { entry, source })) = self.heads.pop() else { return Ok(None) };
        self.advance(source)?;
        Ok(Some(entry))
    }

    /// Whether the next entry is about `key` too.
    pub(super) fn continues(&self, key: &[u8]) -> bool {
        self.heads.peek().is_some_and(|Reverse(head)| head.entry.key == key)
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        self.entry.key.cmp(&other.entry.key).then(self.entry.order.cmp(&other.entry.order))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head {}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Key, order and value of all that comes out of a sorter with this limit.
    fn sorted(limit: usize, entries: &[(Vec<u8>, u64)]) -> Vec<(Vec<u8>, u64)> {
        let mut sorter = Sorter::new(limit);
        for (key, number) in entries {
            sorter.push(key, *number, Micros(-1), &number.to_le_bytes()).unwrap();
        }
        let mut merged = sorter.finish().unwrap();
        let mut out = Vec::new();
        while let Some(entry) = merged.next().unwrap() {
            assert_eq!(entry.value[..], entry.seq.to_le_bytes());
            assert_eq!(entry.clock, Micros(-1));
            out.push((entry.key.to_vec(), entry.seq));
        }
        out
    }

    #[test]
    fn entries_come_out_by_key_and_then_as_they_were_pushed_however_little_memory_there_is() {
        // Enough for runs of the third level, with keys that are prefixes of others.
        let keys = |number: u64| format!("{}", number * 7_919 % 613).into_bytes();
        let entries: Vec<(Vec<u8>, u64)> = (0..3_000).map(|number| (keys(number), number)).collect();
        let mut expected = entries.clone();
        expected.sort();
        for limit in [1, 100, 10_000, usize::MAX] {
            assert_eq!(sorted(limit, &entries), expected, "limit {limit}");
        }
        assert_eq!(sorted(1, &[]), []);
    }
}

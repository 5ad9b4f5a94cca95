//! What the projector hands over: accepted frames with the whole cursors before and after them.
use bytes::Bytes;
use domain::commission::CommissionsEvent;
use domain::normalization::FactsEvent;
use domain::time::Micros;
use std::collections::BTreeMap;
use stream::cursor::Cursor;
use stream::log::{Partition, Topic};
use stream::parked::Mark;

/// The topics that the read model follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Followed {
    /// Verdicts and configuration.
    Facts,
    /// Money.
    Commissions,
}

impl Followed {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Facts, Self::Commissions];

    /// The name in cursor rows, views and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Facts => "facts",
            Self::Commissions => "commissions",
        }
    }

    /// The topic.
    #[must_use]
    pub const fn topic(self) -> Topic {
        match self {
            Self::Facts => Topic::Facts,
            Self::Commissions => Topic::Commissions,
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|followed| followed.name() == name)
    }
}

/// One topic and partition.
pub type Place = (Followed, Partition);

/// An accepted frame, decoded.
#[derive(Debug, Clone)]
pub struct Frame<E> {
    /// Its place in the service's history.
    pub seq: u64,
    /// Its input: `seq` of the input topic, or the `ingest` position.
    pub source: u64,
    /// The partition's clock.
    pub clock: Micros,
    /// What it says of parked inputs.
    pub marks: Vec<Mark>,
    /// Its events, in order.
    pub events: Vec<E>,
    /// The same as the log holds them: what hashes are over.
    pub bytes: Vec<Bytes>,
}

/// Frames of one topic.
#[derive(Debug, Clone)]
pub enum Frames {
    /// Of `facts`.
    Facts(Vec<Frame<FactsEvent>>),
    /// Of `commissions`.
    Commissions(Vec<Frame<CommissionsEvent>>),
}

impl Frames {
    const fn followed(&self) -> Followed {
        match self {
            Self::Facts(_) => Followed::Facts,
            Self::Commissions(_) => Followed::Commissions,
        }
    }

    /// How many.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Facts(frames) => frames.len(),
            Self::Commissions(frames) => frames.len(),
        }
    }

    /// None: only fences and void records were passed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn seqs(&self) -> Vec<u64> {
        match self {
            Self::Facts(frames) => frames.iter().map(|frame| frame.seq).collect(),
            Self::Commissions(frames) => frames.iter().map(|frame| frame.seq).collect(),
        }
    }
}

/// One partition of one topic moves from one whole cursor to the next.
#[derive(Debug, Clone)]
pub struct Advance {
    /// The partition.
    pub partition: Partition,
    /// Where it must stand.
    pub before: Cursor,
    /// Where it will stand.
    pub after: Cursor,
    /// Exactly the frames between them.
    pub frames: Frames,
}

impl Advance {
    /// Which row it moves.
    #[must_use]
    pub const fn place(&self) -> Place {
        (self.frames.followed(), self.partition)
    }
}

/// The frames are not exactly those between the cursors, or the cursors do not meet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{topic} partition {partition}: frames do not join: {expected} expected, {found} found", topic = .followed.name(), partition = .partition.0)]
pub struct NotContiguous {
    /// The topic.
    pub followed: Followed,
    /// The partition.
    pub partition: Partition,
    /// The `seq` that was due.
    pub expected: u64,
    /// The `seq` that came.
    pub found: u64,
}

/// Advances of any number of partitions, to be committed together.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    pub(crate) advances: BTreeMap<Place, Advance>,
    frames: usize,
}

impl Batch {
    /// Adds an advance; a second one of the same partition joins the first, which it must continue.
    ///
    /// # Errors
    /// [`NotContiguous`]: a gap or an overlap within the advance or between the two. The batch is then unchanged.
    pub fn push(&mut self, advance: Advance) -> Result<(), NotContiguous> {
        let place = advance.place();
        let wrong =
            |expected, found| NotContiguous { followed: place.0, partition: place.1, expected, found };
        let mut last = advance.before.seq;
        for seq in advance.frames.seqs() {
            if seq != last + 1 {
                return Err(wrong(last + 1, seq));
            }
            last = seq;
        }
        if last != advance.after.seq {
            return Err(wrong(advance.after.seq, last));
        }
        let frames = advance.frames.len();
        match self.advances.get_mut(&place) {
            None => {
                self.advances.insert(place, advance);
            }
            Some(first) if first.after == advance.before => {
                first.after = advance.after;
                match (&mut first.frames, advance.frames) {
                    (Frames::Facts(all), Frames::Facts(more)) => all.extend(more),
                    (Frames::Commissions(all), Frames::Commissions(more)) => all.extend(more),
                    // The place names the kind of frames.
                    (Frames::Facts(_), Frames::Commissions(_))
                    | (Frames::Commissions(_), Frames::Facts(_)) => {}
                }
            }
            Some(first) => return Err(wrong(first.after.seq, advance.before.seq)),
        }
        self.frames += frames;
        Ok(())
    }

    /// Frames in it.
    #[must_use]
    pub const fn frames(&self) -> usize {
        self.frames
    }

    /// No partition moves.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.advances.is_empty()
    }

    /// Where each partition will stand.
    #[must_use]
    pub fn after(&self) -> BTreeMap<Place, Cursor> {
        self.advances.iter().map(|(place, advance)| (*place, advance.after)).collect()
    }

    /// Where each partition must stand.
    #[must_use]
    pub fn before(&self) -> BTreeMap<Place, Cursor> {
        self.advances.iter().map(|(place, advance)| (*place, advance.before)).collect()
    }
}

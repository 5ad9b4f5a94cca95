//! Inputs whose decision panicked: kept in the frame and in the state until a retry has decided them (protocol, rule 8).
//!
//! The frame of such an input holds no event but the input itself and a [`Mark`]. Every service after it repeats the mark, so
//! that whoever reads the last topic knows. A retry names the service and the input; the service then decides what it kept,
//! its events go into the frame of the retry, and the mark there says settled.
use bytes::Bytes;
use domain::tables::{Key, Tables, View, put_row, row};
use prost::Message;
use serde::{Deserialize, Serialize};
use wire::v1::{FrameContent, ParkedMark};

use crate::service::Payload;

/// First byte of the rows of parked inputs; no service uses it.
const TABLE: u8 = 0xfe;
/// A count of parked inputs stops here.
const COUNTED: usize = 10_000;

/// What a frame says of an input that a service parked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The service that could not decide it.
    pub service: String,
    /// The input: `seq` of the service's input topic, or the `ingest` position.
    pub source: u64,
    /// Its program; empty: not known.
    pub program: String,
    /// Its external event; empty: not known.
    pub event: String,
    /// What the defect said.
    pub detail: String,
    /// It is decided now.
    pub settled: bool,
}

impl From<ParkedMark> for Mark {
    fn from(mark: ParkedMark) -> Self {
        Self {
            service: mark.service,
            source: mark.source,
            program: mark.program_id,
            event: mark.event_id,
            detail: mark.detail,
            settled: mark.settled,
        }
    }
}

impl From<Mark> for ParkedMark {
    fn from(mark: Mark) -> Self {
        Self {
            service: mark.service,
            source: mark.source,
            program_id: mark.program,
            event_id: mark.event,
            detail: mark.detail,
            settled: mark.settled,
        }
    }
}

/// A parked input, as the service that parked it keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Parked {
    /// The bytes of [`keep`].
    input: Bytes,
    /// The step that panicked: those before it are in the log.
    pub(crate) step: u32,
    pub(crate) program: String,
    pub(crate) event: String,
}

impl Parked {
    /// The input as it was. `None` when its bytes cannot be read: then nothing can be decided again.
    pub(crate) fn payload(&self, of_ingest: bool) -> Option<Payload> {
        if of_ingest {
            return Some(Payload::Ingest(self.input.clone()));
        }
        let content = FrameContent::decode(self.input.clone()).ok()?;
        Some(Payload::Events(content.events))
    }
}

/// The bytes that a frame keeps of an input.
pub(crate) fn keep(payload: &Payload) -> Bytes {
    match payload {
        Payload::Ingest(record) => record.clone(),
        Payload::Events(events) => {
            Bytes::from(FrameContent { events: events.clone(), ..FrameContent::default() }.encode_to_vec())
        }
    }
}

fn key(source: u64) -> Key {
    Key::new(TABLE).raw(&source.to_be_bytes())
}

/// The input `source`, if it is parked.
pub(crate) fn find(view: &(impl View + ?Sized), source: u64) -> Option<Parked> {
    row(view, key(source).bytes())
}

/// How many inputs are parked; a count of more than 10,000 stops there.
pub(crate) fn count(view: &(impl View + ?Sized)) -> usize {
    let table = Key::new(TABLE);
    view.range(table.bytes(), &table.end(), COUNTED).len()
}

/// What one frame of `service` does to the rows of parked inputs: a fold like any other (rule 5).
pub(crate) fn fold(
    tables: &mut (impl Tables + ?Sized),
    service: &str,
    step: u32,
    defect_input: &Bytes,
    marks: &[Mark],
) {
    for mark in marks.iter().filter(|mark| mark.service == service) {
        let key = key(mark.source);
        if mark.settled {
            tables.delete(key.bytes());
        } else if !defect_input.is_empty() {
            let parked = Parked {
                input: defect_input.clone(),
                step,
                program: mark.program.clone(),
                event: mark.event.clone(),
            };
            put_row(tables, key.bytes(), &parked);
        } else if step > 0
            && let Some(parked) = row::<Parked>(tables, key.bytes())
        {
            // A retry came further than the first attempt before it panicked as well.
            let step = parked.step.saturating_add(step);
            put_row(tables, key.bytes(), &Parked { step, ..parked });
        }
    }
}

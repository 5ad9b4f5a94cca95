//! What a service is: `decide` and `evolve`, and the codec of its events.
use crate::log::Topic;
use bytes::Bytes;
use domain::facts::Personal;
use domain::ids::{Hash, SubjectId};
use domain::tables::{Tables, View};
use domain::time::Micros;
use std::fmt::Debug;

/// One input of a service: an accepted frame of its input topic, or an `ingest` record.
#[derive(Debug, Clone)]
pub struct Input {
    /// `seq` of the input frame, or the `ingest` position.
    pub source: u64,
    /// Hash of the frame's content, or of the `ingest` record's bytes.
    pub head: Hash,
    /// The partition's clock at this input: running maximum of `ingest` append times (rule 11).
    pub clock: Micros,
    /// What it says.
    pub payload: Payload,
    /// Trace context, carried in envelopes: (trace id, span id).
    pub trace: Option<([u8; 16], [u8; 8])>,
}

/// The bytes of an input.
#[derive(Debug, Clone)]
pub enum Payload {
    /// An `ingest` record's value.
    Ingest(Bytes),
    /// The events of a frame, each as its original bytes.
    Events(Vec<Bytes>),
}

/// What `decide` says about an input (or about its next step).
#[derive(Debug, Clone)]
pub enum Decided<E> {
    /// No frame: only for a tick that changes nothing.
    Nothing,
    /// One frame.
    Frame {
        /// Its events, in order.
        events: Vec<E>,
        /// Another step follows, to be decided from the state after this one.
        more: bool,
    },
}

/// What `evolve` knows of a frame beside its events.
#[derive(Debug, Clone, Copy)]
pub struct FrameMeta {
    /// Its place in the service's history.
    pub seq: u64,
    /// Its input.
    pub source: u64,
    /// Hash of the input.
    pub source_head: Hash,
    /// Step within the input.
    pub step: u32,
    /// The last step.
    pub last: bool,
    /// The partition's clock.
    pub clock: Micros,
}

/// A record that follows an accepted frame, best effort.
#[derive(Debug, Clone)]
pub struct SideOutput {
    /// Where to.
    pub topic: Topic,
    /// The partition; `None`: the frame's own.
    pub partition: Option<crate::log::Partition>,
    /// Its key.
    pub key: Bytes,
    /// Its value.
    pub value: Bytes,
}

/// An event that this binary does not know: it gives the partition up and reports not ready (rule 6).
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "{service}: an event that this version does not know: {detail}; run the version that wrote it, or a newer one"
)]
pub struct UnknownEvent {
    /// The service.
    pub service: &'static str,
    /// What was met.
    pub detail: String,
}

/// A service of the chain. Pure: everything it needs is in its arguments.
pub trait Service: Send + Sync + Debug + 'static {
    /// Its events, with personal data open.
    type Event: Send + Sync + Clone + Debug;

    /// Its name: in fences, metrics and errors.
    const NAME: &'static str;
    /// Where its inputs come from.
    const INPUT: Topic;
    /// Where its frames go.
    const OUTPUT: Topic;
    /// Version of `decide`: goes into fences. Changes whenever the same input and state may decide otherwise.
    const LOGIC_VERSION: u32;
    /// Version of the local rows: another one in the store means the store is rebuilt.
    const STATE_VERSION: u32;

    /// Decides step `step` of `input`, given the state after everything before it.
    fn decide(&self, view: &dyn View, input: &Input, step: u32) -> Decided<Self::Event>;

    /// Folds one accepted frame. Must work for the events of every version for ever.
    fn evolve(&self, tables: &mut dyn Tables, frame: &FrameMeta, events: &[Self::Event]);

    /// The bytes of an event, personal data sealed.
    fn encode(&self, event: &Self::Event) -> Bytes;

    /// The event of the bytes; personal data comes sealed.
    ///
    /// # Errors
    /// [`UnknownEvent`].
    fn decode(&self, bytes: &Bytes) -> Result<Self::Event, UnknownEvent>;

    /// What kind of event it is: a label of metrics, one of a few fixed words.
    fn kind(&self, event: &Self::Event) -> &'static str {
        let _ = event;
        "event"
    }

    /// The personal fields of an event with their subjects, for the loop to seal and open.
    fn personal<'event>(&self, event: &'event mut Self::Event) -> Vec<(SubjectId, &'event mut Personal)> {
        let _ = event;
        Vec::new()
    }

    /// What to record when `decide` panicked on `input`, where that says enough: a verdict whose raw request stays in `ingest`.
    /// Empty: the loop keeps the input in the frame and marks it.
    fn defect(&self, input: &Input, message: &str) -> Vec<Self::Event> {
        let _ = (input, message);
        Vec::new()
    }

    /// The parked input that `input` asks this service to decide again (rule 8): its `source`. Asked for every input, so cheap.
    fn retries(&self, input: &Input) -> Option<u64> {
        let _ = input;
        None
    }

    /// Program and external event of an input that is being parked, for people; empty where they cannot be told.
    fn names(&self, input: &Input) -> (String, String) {
        let _ = input;
        (String::new(), String::new())
    }

    /// Records that must stand in a side topic as the newest of their key: the loop compares them at each take and appends
    /// what is missing (rule 9), so that a crash between a frame and its side output loses nothing.
    fn standing_outputs(&self, view: &dyn View, partition: crate::log::Partition) -> Vec<SideOutput> {
        let _ = (view, partition);
        Vec::new()
    }

    /// What follows an accepted frame.
    fn side_outputs(&self, frame: &FrameMeta, events: &[Self::Event]) -> Vec<SideOutput> {
        let _ = (frame, events);
        Vec::new()
    }
}

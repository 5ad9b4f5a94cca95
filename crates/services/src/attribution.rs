//! Attribution: facts pass on as their original bytes, sales with the decision who earns.
use crate::quarantine;
use bytes::Bytes;
use domain::attribution::{self, AttributedEvent};
use domain::tables::{Tables, View};
use std::panic::panic_any;
use stream::log::Topic;
use stream::service::{Decided, FrameMeta, Input, Payload, Service, UnknownEvent};

/// `facts` -> `attributed`. Works on subjects only: personal values stay sealed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attribution;

impl Service for Attribution {
    type Event = AttributedEvent;

    const NAME: &'static str = "attribution";
    const INPUT: Topic = Topic::Facts;
    const OUTPUT: Topic = Topic::Attributed;
    const LOGIC_VERSION: u32 = 2;
    const STATE_VERSION: u32 = 2;

    fn kind(&self, event: &Self::Event) -> &'static str {
        crate::kinds::attributed(event)
    }

    fn decide(&self, view: &dyn View, input: &Input, step: u32) -> Decided<AttributedEvent> {
        let Payload::Events(events) = &input.payload else { return Decided::Nothing };
        let events = events
            .iter()
            .map(|bytes| match wire::facts::decode(bytes) {
                Ok(event) => (bytes.clone(), event),
                Err(error) => panic_any(UnknownEvent { service: Self::NAME, detail: error.to_string() }),
            })
            .collect();
        let (events, more) = attribution::decide(view, events, step);
        Decided::Frame { events, more }
    }

    fn retries(&self, input: &Input) -> Option<u64> {
        quarantine::retried_in_facts(Self::NAME, &input.payload)
    }

    fn names(&self, input: &Input) -> (String, String) {
        let Payload::Events(events) = &input.payload else { return Default::default() };
        quarantine::names(events.iter().filter_map(|bytes| wire::facts::decode(bytes).ok()))
    }

    fn evolve(&self, tables: &mut dyn Tables, frame: &FrameMeta, events: &[AttributedEvent]) {
        attribution::evolve(tables, frame.seq, events);
    }

    fn encode(&self, event: &AttributedEvent) -> Bytes {
        wire::attributed::encode(event)
    }

    fn decode(&self, bytes: &Bytes) -> Result<AttributedEvent, UnknownEvent> {
        wire::attributed::decode(bytes)
            .map_err(|error| UnknownEvent { service: Self::NAME, detail: error.to_string() })
    }
}

//! Commission: attributed facts become commission events with their postings, and answers to callers.
use crate::normalizer::outcome_output;
use crate::quarantine;
use bytes::Bytes;
use domain::commission::{self, CommissionInput, CommissionsEvent};
use domain::normalization::VerdictKind;
use domain::tables::{Tables, View};
use std::panic::panic_any;
use stream::log::Topic;
use stream::service::{Decided, FrameMeta, Input, Payload, Service, SideOutput, UnknownEvent};
use wire::outcomes::OutcomeRecord;

/// `attributed` -> `commissions`.
#[derive(Debug, Clone, Copy)]
pub struct Commission {
    partition_count: u32,
}

impl Commission {
    /// `partition_count`: of every topic.
    #[must_use]
    pub const fn new(partition_count: u32) -> Self {
        Self { partition_count }
    }
}

impl Service for Commission {
    type Event = CommissionsEvent;

    const NAME: &'static str = "commission";
    const INPUT: Topic = Topic::Attributed;
    const OUTPUT: Topic = Topic::Commissions;
    const LOGIC_VERSION: u32 = 3;
    const STATE_VERSION: u32 = 4;

    fn kind(&self, event: &Self::Event) -> &'static str {
        crate::kinds::commissions(event)
    }

    fn decide(&self, view: &dyn View, input: &Input, step: u32) -> Decided<CommissionsEvent> {
        let Payload::Events(events) = &input.payload else { return Decided::Nothing };
        let events: Vec<_> = events
            .iter()
            .map(|bytes| match wire::attributed::decode(bytes) {
                Ok(event) => event,
                Err(error) => panic_any(UnknownEvent { service: Self::NAME, detail: error.to_string() }),
            })
            .collect();
        let input = CommissionInput { source: input.source, clock: input.clock, events: &events };
        let (events, more) = commission::decide(view, &input, step);
        Decided::Frame { events, more }
    }

    fn retries(&self, input: &Input) -> Option<u64> {
        quarantine::retried_in_attributed(Self::NAME, &input.payload)
    }

    fn names(&self, input: &Input) -> (String, String) {
        let Payload::Events(events) = &input.payload else { return Default::default() };
        let passed =
            events.iter().filter_map(|bytes| wire::facts::decode(&wire::attributed::passed(bytes)?).ok());
        quarantine::names(passed)
    }

    fn evolve(&self, tables: &mut dyn Tables, frame: &FrameMeta, events: &[CommissionsEvent]) {
        commission::evolve(tables, frame.clock, events);
    }

    fn encode(&self, event: &CommissionsEvent) -> Bytes {
        wire::commissions::encode(event)
    }

    fn decode(&self, bytes: &Bytes) -> Result<CommissionsEvent, UnknownEvent> {
        wire::commissions::decode(bytes)
            .map_err(|error| UnknownEvent { service: Self::NAME, detail: error.to_string() })
    }

    fn side_outputs(&self, frame: &FrameMeta, events: &[CommissionsEvent]) -> Vec<SideOutput> {
        quarantine::report_items(Self::NAME, frame, events);
        let answers = events.iter().filter_map(|event| match event {
            CommissionsEvent::Answer(recorded) => Some(recorded),
            _ => None,
        });
        answers
            .filter_map(|recorded| {
                let outcome = OutcomeRecord {
                    reply_to: recorded.reply_to.clone()?,
                    verdict: if recorded.duplicate { VerdictKind::Duplicate } else { VerdictKind::Applied },
                    reason: recorded.answer.declined.clone(),
                    detail: String::new(),
                    answer: Some(recorded.answer.clone()),
                    duplicate: recorded.duplicate,
                    config: None,
                };
                Some(outcome_output(&outcome, self.partition_count))
            })
            .collect()
    }
}

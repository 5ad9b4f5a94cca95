//! The last hop of a trace: the transaction that makes a frame's rows visible.
use kit::spans::{Kind, Span, Spans};
use readmodel::batch::Place;
use std::time::{Duration, SystemTime};

/// A frame that is part of a trace.
#[derive(Debug, Clone, Copy)]
pub(super) struct Traced {
    pub(super) place: Place,
    pub(super) seq: u64,
    pub(super) trace: [u8; 16],
    /// The span of the frame, from its envelope.
    pub(super) parent: [u8; 8],
}

/// Hands over one span for each frame of a batch that is committed: many frames share a transaction, and each belongs to a
/// trace of its own.
pub(super) fn committed(spans: &Spans, traced: &[Traced], frames: usize, took: Duration) {
    if traced.is_empty() {
        return;
    }
    let ended = SystemTime::now();
    let began = ended.checked_sub(took).unwrap_or(ended);
    for frame in traced {
        let Some(span) = spans.begin(&frame.trace) else { continue };
        let (followed, partition) = frame.place;
        spans.record(Span {
            name: "projector transaction",
            kind: Kind::Consumer,
            context: (frame.trace, span),
            parent: Some(frame.parent),
            began,
            ended,
            facts: vec![
                ("messaging.destination.name", followed.topic().name().into()),
                ("messaging.destination.partition.id", partition.0.into()),
                ("tributary.seq", frame.seq.into()),
                ("tributary.transaction.frames", (frames as u64).into()),
                ("db.system.name", "postgresql".into()),
            ],
            failed: false,
        });
    }
}

//! What services parked, and what became of it.
use super::{At, Rows};
use crate::text::{bigint, clean};
use domain::commission::ParkedItem;
use stream::parked::Mark;

/// Which input a service parked: partition, service, position in the service's input, item of a tick.
pub(crate) type ParkedKey = (i32, String, i64, String);

/// What a batch knows of a parked input.
#[derive(Debug)]
pub(crate) struct ParkedChange {
    /// The last mark.
    pub(crate) at: At,
    /// Clock of the first mark in the batch.
    pub(crate) first: i64,
    pub(crate) program: String,
    pub(crate) event: String,
    /// Of the last attempt that failed; empty: none in the batch.
    pub(crate) detail: String,
    /// Attempts that failed.
    pub(crate) attempts: i64,
    pub(crate) settled: bool,
}

impl Rows<'_> {
    pub(super) fn mark(&mut self, at: At, mark: &Mark, item: &str) {
        let key = (at.partition, clean(&mark.service), bigint(mark.source), clean(item));
        let change = self.parked.entry(key).or_insert(ParkedChange {
            at,
            first: at.clock,
            program: clean(&mark.program),
            event: clean(&mark.event),
            detail: String::new(),
            attempts: 0,
            settled: false,
        });
        change.at = at;
        change.settled = mark.settled;
        if !mark.settled {
            change.attempts += 1;
            change.detail = clean(&mark.detail);
        }
    }

    /// A due item that a tick could not decide, as if its input were parked with it.
    pub(super) fn item(&mut self, at: At, item: &ParkedItem) {
        let mark = Mark {
            service: "commission".to_owned(),
            source: item.source,
            program: item.program.as_str().to_owned(),
            event: String::new(),
            detail: item.detail.clone(),
            settled: item.settled,
        };
        self.mark(at, &mark, &format!("{} {}", item.sale.source.as_str(), item.sale.external_id));
    }
}

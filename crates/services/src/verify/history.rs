//! A table of history against the log: both are read in log order, page by page, so memory does not grow with either.
use super::{Findings, VerifyError};
use readmodel::audit::{Cells, Snapshot, Table};
use std::collections::VecDeque;
use stream::log::Partition;

/// Rows at a time.
const PAGE: usize = 2_000;

/// Place of a row in a partition: frame, event within it.
type Place = (i64, i32);

/// One table's rows of one partition, in order.
#[derive(Debug)]
pub(super) struct History {
    table: &'static Table,
    partition: Partition,
    ready: VecDeque<(Place, Cells)>,
    after: Place,
    ended: bool,
}

/// What a frame's rows should have been and are not there at all.
#[derive(Debug)]
pub(super) struct MissingRow {
    kind: &'static str,
    place: String,
    expected: String,
}

impl MissingRow {
    /// Reports it.
    pub(super) fn report(self, findings: &mut Findings) {
        findings.problem(self.kind, self.place, self.expected, "no row");
    }
}

impl History {
    pub(super) const fn new(table: &'static Table, partition: Partition) -> Self {
        Self { table, partition, ready: VecDeque::new(), after: (0, -1), ended: false }
    }

    /// The log has `expected` at this place; returns it when there is no such row. Rows before it belong to nothing.
    pub(super) async fn expect(
        &mut self,
        snapshot: &mut Snapshot,
        (seq, ordinal): (u64, usize),
        expected: Cells,
        findings: &mut Findings,
    ) -> Result<Option<MissingRow>, VerifyError> {
        let due = (i64::try_from(seq).unwrap_or(i64::MAX), i32::try_from(ordinal).unwrap_or(i32::MAX));
        loop {
            self.fill(snapshot).await?;
            match self.ready.front() {
                Some((place, _)) if *place < due => self.extra(findings),
                Some((place, _)) if *place == due => {
                    if let Some((_, found)) = self.ready.pop_front() {
                        let place = self.place(due, &expected);
                        findings.compare(self.table, place, &expected, &found);
                    }
                    return Ok(None);
                }
                _ => {
                    return Ok(Some(MissingRow {
                        kind: self.table.kind,
                        place: self.place(due, &expected),
                        expected: super::shown(self.table, &expected, |_| true),
                    }));
                }
            }
        }
    }

    /// The log has no more.
    pub(super) async fn finish(
        &mut self,
        snapshot: &mut Snapshot,
        findings: &mut Findings,
    ) -> Result<(), VerifyError> {
        loop {
            self.fill(snapshot).await?;
            if self.ready.is_empty() {
                return Ok(());
            }
            self.extra(findings);
        }
    }

    fn extra(&mut self, findings: &mut Findings) {
        let Some((place, cells)) = self.ready.pop_front() else { return };
        let found = super::shown(self.table, &cells, |_| true);
        findings.problem(self.table.kind, self.place(place, &cells), "no row", found);
    }

    async fn fill(&mut self, snapshot: &mut Snapshot) -> Result<(), VerifyError> {
        if self.ready.is_empty() && !self.ended {
            let limit = i64::try_from(PAGE).unwrap_or(i64::MAX);
            let page = snapshot.history(self.table, self.partition, self.after, limit).await?;
            self.ended = page.len() < PAGE;
            if let Some((place, _)) = page.last() {
                self.after = *place;
            }
            self.ready.extend(page);
        }
        Ok(())
    }

    /// Table, partition, frame and ordinal, then what the row is about.
    fn place(&self, (seq, ordinal): Place, cells: &Cells) -> String {
        let about = ["commission_id", "event_id"].into_iter().find_map(|name| {
            let column = self.table.columns.iter().position(|column| column.name == name)?;
            cells.get(column)?.clone()
        });
        format!(
            "{} partition {} frame {seq} event {ordinal} {}",
            self.table.name,
            self.partition.0,
            about.unwrap_or_default()
        )
    }
}

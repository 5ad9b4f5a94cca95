//! A table of history against the log: both are read in log order, side by side, so memory does not grow with either.
use super::{Findings, VerifyError};
use readmodel::audit::{Cells, Row, Rows, Snapshot, Table};
use std::cmp::Ordering;
use stream::log::Partition;

/// Place of a row in a partition: frame, event within it.
type Place = (i64, i32);

/// One table's rows of one partition, in order.
#[derive(Debug)]
pub(super) struct History {
    table: &'static Table,
    partition: Partition,
    rows: Rows,
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

/// What is there of an expected row.
pub(super) enum Found {
    /// A row; that it is another than expected is reported.
    Row(Row),
    /// None.
    Missing(MissingRow),
}

impl Found {
    pub(super) fn missing(self) -> Option<MissingRow> {
        match self {
            Self::Row(_) => None,
            Self::Missing(row) => Some(row),
        }
    }
}

impl History {
    /// Starts to read it.
    pub(super) fn new(table: &'static Table, partition: Partition, snapshot: &Snapshot) -> Self {
        Self { table, partition, rows: snapshot.rows(table, partition) }
    }

    /// The log has `expected` at this place. Rows before it belong to nothing.
    pub(super) async fn expect(
        &mut self,
        (seq, ordinal): (u64, usize),
        expected: Cells<'_>,
        findings: &mut Findings,
    ) -> Result<Found, VerifyError> {
        let due = (i64::try_from(seq).unwrap_or(i64::MAX), i32::try_from(ordinal).unwrap_or(i32::MAX));
        loop {
            let row = self.rows.peek().await?;
            match row.map(|row| row.place().cmp(&due)) {
                Some(Ordering::Less) => self.extra(findings)?,
                Some(Ordering::Equal) => {
                    let Some(row) = self.rows.take() else { continue };
                    if !row.is(&expected)? {
                        findings.compare(self.table, self.place(due, &expected), &expected, &row.cells()?);
                    }
                    return Ok(Found::Row(row));
                }
                Some(Ordering::Greater) | None => {
                    return Ok(Found::Missing(MissingRow {
                        kind: self.table.kind,
                        place: self.place(due, &expected),
                        expected: super::shown(self.table, &expected, |_| true),
                    }));
                }
            }
        }
    }

    /// The log has no more.
    pub(super) async fn finish(&mut self, findings: &mut Findings) -> Result<(), VerifyError> {
        while self.rows.peek().await?.is_some() {
            self.extra(findings)?;
        }
        Ok(())
    }

    fn extra(&mut self, findings: &mut Findings) -> Result<(), VerifyError> {
        let Some(row) = self.rows.take() else { return Ok(()) };
        let cells = row.cells()?;
        let found = super::shown(self.table, &cells, |_| true);
        findings.problem(self.table.kind, self.place(row.place(), &cells), "no row", found);
        Ok(())
    }

    /// Table, partition, frame and ordinal, then what the row is about.
    fn place(&self, (seq, ordinal): Place, cells: &Cells<'_>) -> String {
        let about = ["commission_id", "payout_id", "rate_id", "event_id", "cause_event_id"]
            .into_iter()
            .find_map(|name| {
                let column = self.table.columns.iter().position(|column| column.name == name)?;
                Some(cells.get(column)?.shown()?.into_owned())
            });
        format!(
            "{} partition {} frame {seq} event {ordinal} {}",
            self.table.name,
            self.partition.0,
            about.unwrap_or_default()
        )
    }
}

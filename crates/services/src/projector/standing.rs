//! What this process knows it committed, and what the cursor rows say after a doubt.
use super::ProjectorError;
use readmodel::batch::Place;
use readmodel::cursors::Standing;
use std::collections::BTreeMap;
use stream::cursor::Cursor;

/// Committed cursors, and those of a COMMIT whose answer was lost.
#[derive(Debug, Default)]
pub(super) struct Known {
    committed: BTreeMap<Place, Cursor>,
    in_doubt: BTreeMap<Place, Cursor>,
}

impl Known {
    /// A batch is committed.
    pub(super) fn committed(&mut self, cursors: &BTreeMap<Place, Cursor>) {
        for (place, cursor) in cursors {
            self.committed.insert(*place, *cursor);
            // Its row lock was ours: whatever was under way has been decided.
            self.in_doubt.remove(place);
        }
    }

    /// A batch may be committed, now or later.
    pub(super) fn doubt(&mut self, cursors: BTreeMap<Place, Cursor>) {
        self.in_doubt.extend(cursors);
    }

    /// Whether `row` is where a COMMIT in doubt would have left it.
    pub(super) fn explains(&self, place: &Place, row: &Cursor) -> bool {
        self.in_doubt.get(place) == Some(row)
    }

    /// Judges the rows as read: as committed, as a COMMIT in doubt left them, or further on, where another projector that was
    /// named for the partition meanwhile has come. A row that this process has never seen is taken as it is.
    pub(super) fn take(&mut self, rows: &BTreeMap<Place, Cursor>) -> Result<(), ProjectorError> {
        for (place, row) in rows {
            let standing = self.committed.get(place).map_or(Standing::Same, |mine| Standing::of(row, mine));
            let moved_on = matches!(standing, Standing::Same | Standing::Ahead);
            if !moved_on && !self.explains(place, row) {
                return Err(ProjectorError::RowMoved {
                    place: *place,
                    committed: self.committed.get(place).map_or(0, |mine| mine.seq),
                    found: row.seq,
                    why: why(standing),
                });
            }
        }
        // All rows of one COMMIT are judged before any is taken.
        self.committed.extend(rows.iter().map(|(place, row)| (*place, *row)));
        Ok(())
    }
}

const fn why(standing: Standing) -> &'static str {
    match standing {
        Standing::Behind => {
            "the database has lost commits (a stale replica, a restored backup); go back to the primary, or drop the schema, migrate and start again: everything is projected from the log"
        }
        Standing::Same | Standing::Ahead | Standing::Elsewhere => {
            "the rows are of another history of the log; drop the schema, migrate and start again"
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use readmodel::batch::Followed;
    use stream::log::Partition;

    const PLACE: Place = (Followed::Facts, Partition(3));

    fn at(seq: u64) -> BTreeMap<Place, Cursor> {
        BTreeMap::from([(PLACE, Cursor { seq, offset: seq + 1, ..Cursor::START })])
    }

    #[test]
    fn after_an_unknown_commit_both_results_are_fine_and_nothing_before_them() {
        for landed in [false, true] {
            let mut known = Known::default();
            known.committed(&at(5));
            known.doubt(at(9));
            known.take(&at(if landed { 9 } else { 5 })).unwrap();
            assert!(known.take(&at(4)).is_err());
        }
    }

    #[test]
    fn a_commit_in_doubt_may_land_after_the_rows_were_read_again() {
        let mut known = Known::default();
        known.committed(&at(5));
        known.doubt(at(9));
        known.take(&at(5)).unwrap();
        known.take(&at(9)).unwrap();
        // Decided: it cannot go back.
        known.committed(&at(12));
        assert!(known.take(&at(9)).is_err());
    }

    #[test]
    fn a_row_behind_is_a_stale_replica_and_a_row_ahead_is_where_another_projector_has_come() {
        let mut known = Known::default();
        known.take(&at(5)).unwrap();
        assert!(known.take(&at(4)).unwrap_err().to_string().contains("lost commits"));
        known.take(&at(6)).unwrap();
        // From there on it is known.
        assert!(known.take(&at(5)).is_err());
    }
}

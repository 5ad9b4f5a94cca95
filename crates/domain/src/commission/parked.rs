//! Defects under a tick: one due item is parked, the others go on (protocol, rule 8).
//!
//! A tick decides many commissions in one frame. If deciding one of them panics, that one leaves the timers and waits for a
//! retry that names the tick; what the frame says of the others stands.
use super::decide::{APPROVALS_PER_STEP, Desk};
use super::{CommissionsEvent, ParkedItem};
use crate::attribution::SaleKey;
use crate::ids::ProgramId;
use crate::tables::{Key, decode};
use crate::time::Micros;
use serde::{Deserialize, Serialize};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// First byte of the rows of parked items.
const TABLE: u8 = 20;

/// A parked item: enough to decide it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ParkedRow {
    pub(super) program: ProgramId,
    pub(super) sale: SaleKey,
    pub(super) due: Micros,
}

impl ParkedRow {
    pub(super) fn of(item: &ParkedItem) -> Self {
        Self { program: item.program.clone(), sale: item.sale.clone(), due: item.due }
    }
}

/// Where the item is kept: by the input that met the defect.
pub(super) fn parked_key(item: &ParkedItem) -> Key {
    under(item.source).text(&item.program.0).text(&item.sale.source.0).text(&item.sale.external_id)
}

fn under(source: u64) -> Key {
    Key::new(TABLE).raw(&source.to_be_bytes())
}

impl Desk<'_> {
    /// Decides the due item of a timer; a defect parks it.
    pub(super) fn approve_timer(&mut self, key: &[u8], value: &[u8]) {
        let (program, sale): (ProgramId, SaleKey) = decode(value);
        let due = due_of(key);
        if let Some(detail) = self.isolated(&program, &sale) {
            self.emit(CommissionsEvent::Parked(ParkedItem {
                source: self.source,
                program,
                sale,
                due,
                detail,
                settled: false,
            }));
        }
    }

    /// Decides again what was parked under the input `source`; at most [`APPROVALS_PER_STEP`] items.
    pub(super) fn retry_parked(&mut self, source: u64) {
        let table = under(source);
        let rows = self.view().range(table.bytes(), &table.end(), APPROVALS_PER_STEP);
        for (_, value) in rows {
            let ParkedRow { program, sale, due } = decode(&value);
            let failed = self.isolated(&program, &sale);
            let settled = failed.is_none();
            let detail = failed.unwrap_or_default();
            self.emit(CommissionsEvent::Parked(ParkedItem { source, program, sale, due, detail, settled }));
        }
    }

    /// Approves what is due of one sale. What went wrong, if something did: nothing of it is among the events then.
    fn isolated(&mut self, program: &ProgramId, sale: &SaleKey) -> Option<String> {
        let before = self.events.len();
        let attempt = catch_unwind(AssertUnwindSafe(|| {
            for id in self.row(program, sale).ids() {
                if let Some(event) = self.approval(program, sale, &id, None)? {
                    self.emit(CommissionsEvent::Commission(event));
                    // Applied here: an event that cannot be folded is a defect of this item, not of the next one.
                    self.book();
                }
            }
            Ok::<(), crate::money::AmountOutOfRange>(())
        }));
        let detail = match attempt {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => error.to_string(),
            Err(panic) => crate::defect::panic_text(panic.as_ref()),
        };
        self.events.truncate(before);
        self.forget();
        Some(detail)
    }
}

/// The moment in a timer's key: after the table byte, with the sign bit flipped (see [`Key::number`]).
fn due_of(key: &[u8]) -> Micros {
    let number =
        key.get(1..9).and_then(|bytes| <[u8; 8]>::try_from(bytes).ok()).map_or(0, u64::from_be_bytes);
    Micros((number ^ (1 << 63)).cast_signed())
}

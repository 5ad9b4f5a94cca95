//! Payouts and what belongs to them: history compared on the way, payouts and their lines as objects, what their sums break.
use super::expected::Written;
use super::fold::FramePlace;
use super::history::{History, MissingRow};
use super::objects::{Object, Sorters, broken, decoded, packed, unpacked, written};
use super::runs::Entry;
use super::{Findings, VerifyError, expected_payouts as expected};
use bytes::Bytes;
use domain::commission::balances::{Nets, is_balanced};
use domain::commission::{CommissionsEvent, PayoutEvent, PayoutEventKind, Posting};
use domain::ids::{PartnerId, ProgramId};
use domain::money::{Currency, Minor};
use readmodel::audit::{self, Cell, Cells, Snapshot, Table, as_stored};
use std::collections::BTreeMap;
use std::io;
use stream::judge::Frame;
use stream::log::Partition;

/// One partition's history of payouts.
#[derive(Debug)]
pub(super) struct Payouts {
    events: History,
    offsets: History,
    write_offs: History,
    rates: History,
    /// What each partner was let off: it is in no commission's N.
    written_off: BTreeMap<(ProgramId, PartnerId, Currency), Vec<Minor>>,
}

/// What became of an event.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// It has a row of history.
    pub(super) is_row: bool,
    pub(super) missing: Option<MissingRow>,
}

impl Payouts {
    pub(super) fn new(partition: Partition, snapshot: &Snapshot) -> Self {
        let history = |table| History::new(table, partition, snapshot);
        Self {
            events: history(&audit::PAYOUT_EVENTS),
            offsets: history(&audit::OFFSETS),
            write_offs: history(&audit::WRITE_OFFS),
            rates: history(&audit::FX_RATES),
            written_off: BTreeMap::new(),
        }
    }

    /// Compares the row of an event, where it has one; `covered`: the read model has the frame.
    pub(super) async fn take(
        &mut self,
        (frame, ordinal): (&Frame, usize),
        event: &CommissionsEvent,
        place: FramePlace,
        covered: bool,
        findings: &mut Findings,
    ) -> Result<Taken, VerifyError> {
        let (history, cells) = match event {
            CommissionsEvent::Payout(event) => {
                sums(event, place, findings);
                (&mut self.events, expected::event(event, frame.clock))
            }
            CommissionsEvent::Offset(offset) => (&mut self.offsets, expected::offset(offset, frame.clock)),
            CommissionsEvent::WrittenOff(event) => {
                balanced(&event.postings, &format!("{place} {}", event.cause), findings);
                if covered {
                    let key = (event.program.clone(), event.partner.clone(), event.currency);
                    self.written_off.entry(key).or_default().push(event.amount);
                }
                (&mut self.write_offs, expected::write_off(event, frame.clock))
            }
            CommissionsEvent::Rate(rate) => (&mut self.rates, expected::rate(rate, frame.clock)),
            _ => return Ok(Taken::default()),
        };
        if !covered {
            return Ok(Taken::default());
        }
        let missing = history.expect((frame.seq, ordinal), cells, findings).await?.missing();
        Ok(Taken { is_row: true, missing })
    }

    /// The log has no more.
    pub(super) async fn finish(&mut self, findings: &mut Findings) -> Result<(), VerifyError> {
        for history in [&mut self.events, &mut self.offsets, &mut self.write_offs, &mut self.rates] {
            history.finish(findings).await?;
        }
        Ok(())
    }

    /// A debt that was given up is owed no more, and the commissions still say that it was: N = buckets - written off.
    pub(super) fn nets(&self, nets: &mut Nets) {
        for ((program, partner, currency), amounts) in &self.written_off {
            for amount in amounts {
                nets.add(program, partner, *currency, *amount);
            }
        }
    }
}

/// Postings that sum to 0; of a draft, lines that sum to what it says.
fn sums(event: &PayoutEvent, place: FramePlace, findings: &mut Findings) {
    let place = format!("{place} {}", event.id);
    balanced(&event.postings, &place, findings);
    if event.kind != PayoutEventKind::Drafted {
        return;
    }
    let sum = |part: fn(&domain::commission::PayoutLine) -> Minor| {
        event.lines.iter().map(|line| i128::from(part(line).0)).sum::<i128>()
    };
    let (total, paid) = (sum(|line| line.amount), sum(|line| line.paid));
    if (total, paid) != (i128::from(event.total.0), i128::from(event.paid.0)) {
        let said = format!("total {} paid {}", event.total.0, event.paid.0);
        findings.problem("ledger", place, said, format!("lines that sum to {total} and {paid}"));
    }
}

fn balanced(postings: &[Posting], place: &str, findings: &mut Findings) {
    if !is_balanced(postings) {
        findings.problem("unbalanced", place, "legs that sum to 0", format!("{postings:?}"));
    }
}

impl Sorters {
    /// An event of a payout, as the log has it, and its lines.
    pub(super) fn payout(&mut self, frame: &Frame, event: &PayoutEvent, bytes: &Bytes) -> io::Result<()> {
        let payout = as_stored(event.id.as_str());
        self.payouts.push(payout.as_bytes(), frame.seq, frame.clock, bytes)?;
        for (number, line) in (1_u32..).zip(&event.lines) {
            let key = Table::key([&*payout, &as_stored(line.commission.as_str())]);
            let [number, amount, paid, further] = [
                number.to_string(),
                line.amount.0.to_string(),
                line.paid.0.to_string(),
                line.further.to_string(),
            ];
            let value = packed([number.as_str(), &amount, &paid, &further]);
            self.payout_lines.push(&key, frame.seq, frame.clock, &value)?;
        }
        Ok(())
    }
}

/// A payout.
#[derive(Debug)]
pub(super) struct Payout {
    first: PayoutEvent,
    last: PayoutEvent,
    seq: u64,
    written: Written,
    /// Each event was one that may follow.
    in_order: bool,
}

impl Payout {
    /// Its id, when it had more than one life.
    pub(super) fn used_again(&self) -> Option<String> {
        (!self.in_order).then(|| self.first.id.to_string())
    }
}

impl Object for Payout {
    const TABLE: &'static Table = &audit::PAYOUTS;

    fn first(entry: &Entry) -> Result<Self, VerifyError> {
        let event = payout(entry)?;
        let in_order = event.kind == PayoutEventKind::Drafted;
        Ok(Self { first: event.clone(), last: event, seq: entry.seq, written: written(entry), in_order })
    }

    fn then(&mut self, entry: &Entry) -> Result<(), VerifyError> {
        let next = payout(entry)?;
        self.in_order &= matches!(
            (self.last.kind, next.kind),
            (PayoutEventKind::Drafted, PayoutEventKind::Settled | PayoutEventKind::Failed)
                | (PayoutEventKind::Settled, PayoutEventKind::Returned)
        );
        self.last = next;
        self.seq = entry.seq;
        self.written.updated = entry.clock;
        Ok(())
    }

    fn cells(&self) -> Cells<'_> {
        expected::payout(&self.first, &self.last, self.seq, self.written)
    }
}

fn payout(entry: &Entry) -> Result<PayoutEvent, VerifyError> {
    match decoded(entry)? {
        CommissionsEvent::Payout(event) => Ok(event),
        _ => Err(broken()),
    }
}

/// A line of a payout: nothing changes it.
#[derive(Debug)]
pub(super) struct Line(Cells<'static>);

impl Object for Line {
    const TABLE: &'static Table = &audit::PAYOUT_LINES;

    fn first(entry: &Entry) -> Result<Self, VerifyError> {
        let key: [&str; 2] = unpacked(&entry.key)?;
        let value: [&str; 4] = unpacked(&entry.value)?;
        Ok(Self(key.into_iter().chain(value).map(|cell| Cell::Text(cell.to_owned().into())).collect()))
    }

    fn then(&mut self, _: &Entry) -> Result<(), VerifyError> {
        Ok(())
    }

    fn cells(&self) -> Cells<'_> {
        self.0.clone()
    }
}

//! What the log says, folded with the domain only, up to where the read model says it stands.
use super::{Findings, VerifyError};
use domain::commission::balances::{Ledger, is_balanced};
use domain::commission::{CommissionEvent, CommissionsEvent, SaleRecorded};
use domain::ids::Hash;
use domain::normalization::FactsEvent;
use readmodel::audit::{SaleFound, as_stored};
use readmodel::batch::{Followed, Place};
use std::collections::BTreeMap;
use stream::cursor::Cursor;
use stream::judge::Frame;
use stream::log::Partition;

/// Rows in log order, as one number and one hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Digest {
    pub(super) rows: u64,
    hash: Hash,
}

impl Digest {
    /// The next row.
    pub(super) fn add(&mut self, parts: &[&[u8]]) {
        self.rows += 1;
        let row = Hash::of_parts(parts);
        self.hash = Hash::of_parts(&[&self.hash.0, &row.0]);
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} rows, {:?}", self.rows, self.hash)
    }
}

/// One partition, folded.
#[derive(Debug)]
pub(super) struct Fold {
    pub(super) partition: Partition,
    facts_cursor: Cursor,
    commissions_cursor: Cursor,
    /// Last frame of each topic.
    last: BTreeMap<Followed, u64>,
    pub(super) ledger: Ledger,
    pub(super) sales: BTreeMap<String, SaleFound>,
    pub(super) verdicts: Digest,
    pub(super) history: Digest,
}

impl Fold {
    pub(super) fn new(partition: Partition, cursors: &BTreeMap<Place, Cursor>) -> Self {
        let cursor = |followed| cursors.get(&(followed, partition)).copied().unwrap_or(Cursor::START);
        Self {
            partition,
            facts_cursor: cursor(Followed::Facts),
            commissions_cursor: cursor(Followed::Commissions),
            last: BTreeMap::new(),
            ledger: Ledger::default(),
            sales: BTreeMap::new(),
            verdicts: Digest::default(),
            history: Digest::default(),
        }
    }

    /// Folds a frame of `facts` and returns its events.
    pub(super) fn facts(
        &mut self,
        frame: &Frame,
        findings: &mut Findings,
    ) -> Result<Vec<FactsEvent>, VerifyError> {
        let place = self.frame(Followed::Facts, frame);
        let events: Result<Vec<_>, _> = frame.events.iter().map(wire::facts::decode).collect();
        let events = events.map_err(|error| VerifyError::UnknownEvent { place: place.clone(), error })?;
        if !self.covered(Followed::Facts, frame, findings) {
            return Ok(events);
        }
        for (ordinal, event) in events.iter().enumerate() {
            if let FactsEvent::Verdict(verdict) = event {
                self.verdicts.add(&[
                    &frame.seq.to_le_bytes(),
                    &(ordinal as u64).to_le_bytes(),
                    as_stored(verdict.event.as_str()).as_bytes(),
                    verdict.kind.name().as_bytes(),
                    as_stored(&verdict.reason).as_bytes(),
                    &[u8::from(verdict.retry_of.is_some())],
                ]);
            }
        }
        Ok(events)
    }

    /// Folds a frame of `commissions`.
    pub(super) fn commissions(&mut self, frame: &Frame, findings: &mut Findings) -> Result<(), VerifyError> {
        let place = self.frame(Followed::Commissions, frame);
        let covered = self.covered(Followed::Commissions, frame, findings);
        for (ordinal, bytes) in frame.events.iter().enumerate() {
            let event = wire::commissions::decode(bytes)
                .map_err(|error| VerifyError::UnknownEvent { place: place.clone(), error })?;
            match event {
                CommissionsEvent::Commission(event) => {
                    if !is_balanced(&event.postings) {
                        let legs = format!("{:?}", event.postings);
                        findings.problem(
                            "unbalanced",
                            format!("{place} {}", event.id),
                            "legs that sum to 0",
                            legs,
                        );
                    }
                    if covered {
                        self.commission(frame, ordinal, &event, &place, findings);
                    }
                }
                CommissionsEvent::Sale(sale) if covered => self.sale(&sale),
                CommissionsEvent::Sale(_)
                | CommissionsEvent::Reversal(_)
                | CommissionsEvent::Config(_)
                | CommissionsEvent::Answer(_) => {}
            }
        }
        Ok(())
    }

    fn commission(
        &mut self,
        frame: &Frame,
        ordinal: usize,
        event: &CommissionEvent,
        place: &str,
        findings: &mut Findings,
    ) {
        if let Err(error) = self.ledger.apply(frame.clock, event) {
            findings.problem("overflow", format!("{place} {}", event.id), "64 bits", error);
        }
        self.history.add(&[
            &frame.seq.to_le_bytes(),
            &(ordinal as u64).to_le_bytes(),
            as_stored(event.id.as_str()).as_bytes(),
            event.kind.name().as_bytes(),
            &event.delta.0.to_le_bytes(),
            &0_i64.to_le_bytes(),
        ]);
    }

    fn sale(&mut self, sale: &SaleRecorded) {
        let found = SaleFound {
            program: as_stored(sale.program.as_str()),
            partner: sale.partner.as_ref().map(|partner| as_stored(partner.as_str())),
            currency: sale.currency.code().to_owned(),
            gross: sale.gross.0,
            base: sale.base.0,
        };
        self.sales.insert(as_stored(sale.id.as_str()), found);
    }

    /// After the last frame: what the fold itself breaks, and cursors that the log does not reach.
    pub(super) fn finish(&self, findings: &mut Findings) {
        for followed in Followed::ALL {
            let (row, last) = (self.cursor(followed).seq, self.last.get(&followed).copied().unwrap_or(0));
            if row > last {
                let place = format!("cursor row of {}/{}", followed.topic().name(), self.partition.0);
                findings.problem(
                    "ahead_of_log",
                    place,
                    format!("at most frame {last}"),
                    format!("frame {row}"),
                );
            }
        }
        for (rule, place) in self.ledger.problems() {
            findings.problem("ledger", place, "the ledger's rules", rule);
        }
    }

    /// Whether the read model has the frame; at its cursor it must be the same frame.
    fn covered(&mut self, followed: Followed, frame: &Frame, findings: &mut Findings) -> bool {
        self.last.insert(followed, frame.seq);
        let cursor = self.cursor(followed);
        if frame.seq == cursor.seq && frame.head != cursor.head {
            let place = format!("cursor row of {}", self.frame(followed, frame));
            findings.problem(
                "other_history",
                place,
                format!("{:?}", frame.head),
                format!("{:?}", cursor.head),
            );
        }
        frame.seq <= cursor.seq
    }

    /// Where the read model stands.
    pub(super) const fn cursor(&self, followed: Followed) -> &Cursor {
        match followed {
            Followed::Facts => &self.facts_cursor,
            Followed::Commissions => &self.commissions_cursor,
        }
    }

    fn frame(&self, followed: Followed, frame: &Frame) -> String {
        format!("{}/{} frame {}", followed.topic().name(), self.partition.0, frame.seq)
    }
}

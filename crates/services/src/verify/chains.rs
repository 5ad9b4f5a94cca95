//! Hash chains: recomputed from the log, compared with what the read model holds and with heads that were kept elsewhere.
//!
//! A wrong event changes every link behind it, so of each program the first wrong link is named and no other.
use super::expected::{moment, number, text};
use super::{Findings, VerifyError};
use domain::chain::{Chain, Head, leaf, program_of};
use domain::commission::{CommissionEvent, CommissionsEvent};
use domain::ids::{Hash, ProgramId};
use domain::time::Micros;
use readmodel::audit::{self, Cell, Cells, Row};
use std::collections::{BTreeMap, BTreeSet};
use stream::judge::Frame;
use stream::log::Partition;

/// A head that was kept elsewhere: the log must still lead to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptHead {
    /// Whose chain.
    pub program: ProgramId,
    /// What it was.
    pub head: Head,
}

/// A program's chain, and when it grew last.
#[derive(Debug, Clone, Default)]
struct Grown {
    chain: Chain,
    clock: Micros,
}

/// The chains of one partition's programs.
#[derive(Debug)]
pub(super) struct Chains {
    partition: Partition,
    /// Heads of this or another partition's chains that the log must lead to, by program.
    kept: BTreeMap<ProgramId, Vec<Head>>,
    all: BTreeMap<String, Grown>,
    /// As they were at the read model's cursor, once the walk is past it.
    at_cursor: Option<BTreeMap<String, Grown>>,
    /// Programs whose first wrong link is named.
    wrong: BTreeSet<String>,
}

impl Chains {
    pub(super) fn new(partition: Partition, kept: &[KeptHead]) -> Self {
        let mut by_program: BTreeMap<ProgramId, Vec<Head>> = BTreeMap::new();
        for kept in kept {
            by_program.entry(kept.program.clone()).or_default().push(kept.head);
        }
        Self { partition, kept: by_program, all: BTreeMap::new(), at_cursor: None, wrong: BTreeSet::new() }
    }

    /// Takes an event of a frame; `covered`: the read model has the frame.
    pub(super) fn take(
        &mut self,
        (frame, ordinal): (&Frame, usize),
        event: &CommissionsEvent,
        covered: bool,
        findings: &mut Findings,
    ) {
        let (Some(program), Some(bytes)) = (program_of(event), frame.events.get(ordinal)) else { return };
        if !covered && self.at_cursor.is_none() {
            self.at_cursor = Some(self.all.clone());
        }
        let grown = match self.all.get_mut(program.as_str()) {
            Some(grown) => grown,
            None => self.all.entry(program.0.clone()).or_default(),
        };
        grown.chain.push_leaf(leaf(bytes));
        grown.clock = frame.clock;
        let chain = &grown.chain;
        let kept = self.kept.get(program).into_iter().flatten();
        for kept in kept.filter(|kept| kept.events == chain.events()) {
            let place = format!(
                "program {program} position {}, commissions.v1/{} frame {} event {ordinal}",
                chain.events(),
                self.partition.0,
                frame.seq
            );
            compare(&place, kept, &chain.head(), findings);
        }
    }

    /// Compares the link that the row of a commission's event has with that of the event that was taken last.
    pub(super) fn link(
        &mut self,
        (frame, ordinal): (&Frame, usize),
        event: &CommissionEvent,
        found: &Row,
        findings: &mut Findings,
    ) -> Result<(), VerifyError> {
        let program = event.program.as_str();
        let Some(Grown { chain, .. }) = self.all.get(program) else { return Ok(()) };
        let (position, link) = (chain.events(), chain.link());
        let expected = [number(position), Cell::Bytes(&link.0)];
        if found.is_apart(&expected)? || !self.wrong.insert(program.to_owned()) {
            return Ok(());
        }
        let named = || [text(event.id.as_str()), text(program)].into_iter();
        let expected = named().chain(expected).collect();
        let found = named().chain(found.apart()?).collect();
        let place = format!(
            "program {program} position {position}, {} partition {} frame {} event {ordinal} {}",
            audit::CHAIN_LINKS.name,
            self.partition.0,
            frame.seq,
            event.id
        );
        findings.compare(&audit::CHAIN_LINKS, place, &expected, &found);
        Ok(())
    }

    /// `chain_rows`, as they must be at the read model's cursor.
    pub(super) fn rows(&self) -> Vec<Cells<'_>> {
        let all = self.at_cursor.as_ref().unwrap_or(&self.all);
        all.iter().map(|(program, grown)| cells(program, grown)).collect()
    }

    /// After the last frame: kept heads that the log does not reach.
    pub(super) fn finish(&self, partitions: u32, findings: &mut Findings) {
        for (program, kept) in &self.kept {
            let here = stream::log::partition_of(program.as_str(), partitions) == self.partition;
            let events = self.all.get(program.as_str()).map_or(0, |grown| grown.chain.events());
            for kept in kept.iter().filter(|_| here) {
                findings.kept_known += usize::from(events > 0);
                if events < kept.events {
                    findings.problem(
                        "checkpoint",
                        format!("program {program}, commissions.v1/{}", self.partition.0),
                        format!("{} events, as the checkpoint says", kept.events),
                        format!("{events} events: the log was truncated"),
                    );
                }
            }
        }
    }
}

fn compare(place: &str, kept: &Head, found: &Head, findings: &mut Findings) {
    if kept != found {
        let shown = |head: &Head| format!("link {} root {}", hex(&head.link), hex(&head.root));
        findings.problem(
            "checkpoint",
            place,
            format!("{}, as the checkpoint says", shown(kept)),
            shown(found),
        );
    }
}

/// `chain_rows`.
fn cells<'a>(program: &'a str, grown: &Grown) -> Cells<'a> {
    let head = grown.chain.head();
    let peaks: String = grown.chain.tree().peaks().iter().map(hex).collect();
    vec![
        text(program),
        number(head.events),
        Cell::Text(hex(&head.link).into()),
        Cell::Text(hex(&head.root).into()),
        Cell::Text(peaks.into()),
        moment(grown.clock),
    ]
}

fn hex(hash: &Hash) -> String {
    hex::encode(hash.0)
}

//! What the log says, folded with the domain only, up to where the read model says it stands. History is compared on the way,
//! events of objects are sorted by object, and what is small (sheets, configuration) is kept as it is at the end.
use super::chains::Chains;
use super::expected::{self, Configured, Written};
use super::expected_payouts::Destination;
use super::history::{Found, History, MissingRow};
use super::objects::Sorters;
use super::payouts::Payouts;
use super::{Findings, Options, VerifyError};
use bytes::Bytes;
use domain::attribution::Decision;
use domain::commission::balances::{Balances, is_balanced};
use domain::commission::{CommissionEvent, CommissionStatus, CommissionsEvent, Posting, SaleRecorded};
use domain::config::{
    Account as Merchant, ApiKey, Code, ConfigFact, ConfigObject, Coupon, Endpoint, Partner, Program, Rule,
};
use domain::facts::{Fact, FactBody};
use domain::ids::{PartnerId, ProgramId};
use domain::money::Currency;
use domain::normalization::FactsEvent;
use domain::payouts::PayoutTerms;
use domain::time::Micros;
use readmodel::audit::{self, Snapshot, as_stored};
use readmodel::batch::{Followed, Place};
use std::collections::BTreeMap;
use std::fmt;
use stream::cursor::Cursor;
use stream::judge::Frame;
use stream::log::Partition;

/// Configuration objects of a partition's programs.
#[derive(Debug, Default)]
pub(super) struct Configuration {
    pub(super) programs: BTreeMap<String, Configured<Program>>,
    pub(super) partners: BTreeMap<(String, String), Configured<Partner>>,
    pub(super) accounts: BTreeMap<String, Configured<Merchant>>,
    pub(super) codes: BTreeMap<(String, String), Configured<Code>>,
    pub(super) coupons: BTreeMap<(String, String), Configured<Coupon>>,
    pub(super) rules: BTreeMap<(String, String, u32), Configured<Rule>>,
    pub(super) endpoints: BTreeMap<(String, String), Configured<Endpoint>>,
    pub(super) keys: BTreeMap<(String, String), Configured<ApiKey>>,
    pub(super) payout_terms: BTreeMap<(String, String), Configured<PayoutTerms>>,
    pub(super) destinations: BTreeMap<(String, String), Configured<Destination>>,
}

/// A covered frame none of whose rows of history is there: skipped, unless an object of it is there.
#[derive(Debug)]
pub(super) struct Absent {
    pub(super) place: String,
    pub(super) rows: Vec<MissingRow>,
    /// Objects that the frame wrote: (kind, first key).
    pub(super) objects: Vec<(&'static str, String)>,
}

/// When each balance was last posted to.
#[derive(Debug, Default)]
pub(super) struct Posted(BTreeMap<ProgramId, BTreeMap<PartnerId, BTreeMap<Currency, Micros>>>);

impl Posted {
    fn take(&mut self, program: &ProgramId, partner: &PartnerId, postings: &[Posting], clock: Micros) {
        // Without a copy of the names, which are nearly always there.
        let partners = match self.0.get_mut(program) {
            Some(partners) => partners,
            None => self.0.entry(program.clone()).or_default(),
        };
        let balances = match partners.get_mut(partner) {
            Some(balances) => balances,
            None => partners.entry(partner.clone()).or_default(),
        };
        for posting in postings.iter().filter(|posting| is_bucket(posting.account)) {
            balances.insert(posting.currency, clock);
        }
    }

    /// Nothing: it never was.
    pub(super) fn last(
        &self,
        program: &ProgramId,
        partner: &PartnerId,
        currency: Currency,
    ) -> Option<Micros> {
        self.0.get(program)?.get(partner)?.get(&currency).copied()
    }
}

/// How many absent frames are remembered; the rows of others are reported one by one.
const ABSENT: usize = 100;

/// One partition, folded.
#[derive(Debug)]
pub(super) struct Fold {
    pub(super) partition: Partition,
    facts_cursor: Cursor,
    commissions_cursor: Cursor,
    /// Last frame of each topic.
    last: BTreeMap<Followed, u64>,
    pub(super) balances: Balances,
    pub(super) posted: Posted,
    pub(super) configuration: Configuration,
    pub(super) objects: Sorters,
    pub(super) absent: Vec<Absent>,
    pub(super) chains: Chains,
    pub(super) payouts: Payouts,
    verdicts: History,
    events: History,
    reversals: History,
    sale_codes: History,
    sale_coupons: History,
}

/// Where a frame is, for people. Text only where something is said of it: most frames are as they should be.
#[derive(Debug, Clone, Copy)]
pub(super) struct FramePlace {
    followed: Followed,
    partition: Partition,
    seq: u64,
}

impl fmt::Display for FramePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} frame {}", self.followed.topic().name(), self.partition.0, self.seq)
    }
}

impl Fold {
    pub(super) fn new(
        partition: Partition,
        cursors: &BTreeMap<Place, Cursor>,
        snapshot: &Snapshot,
        options: &Options,
    ) -> Self {
        let history = |table| History::new(table, partition, snapshot);
        let cursor = |followed| cursors.get(&(followed, partition)).copied().unwrap_or(Cursor::START);
        Self {
            partition,
            facts_cursor: cursor(Followed::Facts),
            commissions_cursor: cursor(Followed::Commissions),
            last: BTreeMap::new(),
            balances: Balances::default(),
            posted: Posted::default(),
            configuration: Configuration::default(),
            objects: Sorters::new(options.gathered_bytes),
            absent: Vec::new(),
            chains: Chains::new(partition, &options.kept),
            payouts: Payouts::new(partition, snapshot),
            verdicts: history(&audit::VERDICTS),
            events: history(&audit::COMMISSION_EVENTS),
            reversals: history(&audit::REVERSALS),
            sale_codes: history(&audit::SALE_CODES),
            sale_coupons: history(&audit::COUPONS_OF_SALES),
        }
    }

    /// Folds a frame of `facts` and returns its events.
    pub(super) async fn facts(
        &mut self,
        frame: &Frame,
        findings: &mut Findings,
    ) -> Result<Vec<FactsEvent>, VerifyError> {
        let place = self.frame(Followed::Facts, frame);
        let events: Result<Vec<_>, _> = frame.events.iter().map(wire::facts::decode).collect();
        let events = events.map_err(|error| VerifyError::UnknownEvent { place: place.to_string(), error })?;
        if !self.covered(Followed::Facts, frame, findings) {
            return Ok(events);
        }
        let (mut rows, mut missing) = (0, Vec::new());
        for (ordinal, event) in events.iter().enumerate() {
            match event {
                FactsEvent::Verdict(verdict) => {
                    rows += 1;
                    let cells = expected::verdict(verdict, frame.source, frame.clock);
                    let found = self.verdicts.expect((frame.seq, ordinal), cells, findings).await?;
                    missing.extend(found.missing());
                }
                FactsEvent::Config(config) => self.configuration.set(config, frame.clock),
                FactsEvent::Fact(fact) => {
                    self.configuration.destination(fact, frame.clock);
                    let at = (frame.seq, ordinal);
                    if let Some(cells) = expected::sale_code(fact, frame.clock) {
                        rows += 1;
                        missing.extend(self.sale_codes.expect(at, cells, findings).await?.missing());
                    }
                    if let Some(cells) = expected::sale_coupon(fact) {
                        rows += 1;
                        missing.extend(self.sale_coupons.expect(at, cells, findings).await?.missing());
                    }
                }
                FactsEvent::Tick | FactsEvent::ConfigOutcome(_) | FactsEvent::DefectRetry(_) => {}
            }
        }
        self.missed(place, rows, missing, &[], findings);
        Ok(events)
    }

    /// Folds a frame of `commissions`, decided from `decisions`; `None`: not known here.
    pub(super) async fn commissions(
        &mut self,
        frame: &Frame,
        decisions: Option<&[Decision]>,
        findings: &mut Findings,
    ) -> Result<(), VerifyError> {
        let place = self.frame(Followed::Commissions, frame);
        let covered = self.covered(Followed::Commissions, frame, findings);
        let (mut rows, mut missing) = (0, Vec::new());
        if covered {
            for mark in &frame.marks {
                self.objects.mark(frame, mark, "")?;
            }
        }
        for (ordinal, bytes) in frame.events.iter().enumerate() {
            let event = wire::commissions::decode(bytes)
                .map_err(|error| VerifyError::UnknownEvent { place: place.to_string(), error })?;
            let at = (frame.seq, ordinal);
            self.chains.take((frame, ordinal), &event, covered, findings);
            match event {
                CommissionsEvent::Commission(event) => {
                    balanced(&event, place, findings);
                    if covered {
                        rows += 1;
                        let cells = expected::commission_event(&event, frame.clock);
                        match self.events.expect(at, cells, findings).await? {
                            Found::Row(row) => {
                                self.chains.link((frame, ordinal), &event, &row, findings)?;
                            }
                            Found::Missing(row) => missing.push(row),
                        }
                        self.objects.commission(frame, event.id.as_str(), bytes)?;
                        self.commission(frame, &event, place, findings);
                    }
                }
                CommissionsEvent::Reversal(reversal) if covered => {
                    rows += 1;
                    let cells = expected::reversal(&reversal, frame.clock);
                    missing.extend(self.reversals.expect(at, cells, findings).await?.missing());
                }
                CommissionsEvent::Parked(item) if covered => self.objects.item(frame, &item)?,
                CommissionsEvent::Sale(sale) => {
                    decided(&sale, decisions, place, findings);
                    if covered {
                        self.objects.sale(frame, &sale, bytes)?;
                    }
                }
                event => {
                    let taken = self.payouts.take((frame, ordinal), &event, place, covered, findings).await?;
                    rows += usize::from(taken.is_row);
                    missing.extend(taken.missing);
                    self.payout((frame, bytes), &event, covered, findings)?;
                }
            }
        }
        self.missed(place, rows, missing, &frame.events, findings);
        Ok(())
    }

    /// Some rows of a frame are missing: when all are, it may have been skipped as a whole.
    fn missed(
        &mut self,
        place: FramePlace,
        rows: usize,
        missing: Vec<MissingRow>,
        events: &[Bytes],
        findings: &mut Findings,
    ) {
        if rows > 0 && missing.len() == rows && self.absent.len() < ABSENT {
            let objects = events.iter().filter_map(object).collect();
            self.absent.push(Absent { place: place.to_string(), rows: missing, objects });
        } else {
            missing.into_iter().for_each(|row| row.report(findings));
        }
    }

    /// What a commission's event means for the sheets.
    fn commission(
        &mut self,
        frame: &Frame,
        event: &CommissionEvent,
        place: FramePlace,
        findings: &mut Findings,
    ) {
        let applied = self.balances.apply(event).and_then(|()| event.gross.minus(event.reversed));
        if let Err(error) = applied {
            findings.problem("overflow", format!("{place} {}", event.id), "64 bits", error);
        }
        if event.status == CommissionStatus::Approved && !event.holds.is_empty() {
            findings.problem("ledger", &event.id, "the ledger's rules", "approved with a hold");
        }
        self.posted.take(&event.program, &event.partner, &event.postings, frame.clock);
    }

    /// What an event of payouts means for objects and sheets.
    fn payout(
        &mut self,
        (frame, bytes): (&Frame, &Bytes),
        event: &CommissionsEvent,
        covered: bool,
        findings: &mut Findings,
    ) -> Result<(), VerifyError> {
        match event {
            CommissionsEvent::Payout(event) if covered => {
                self.objects.payout(frame, event, bytes)?;
            }
            CommissionsEvent::WrittenOff(event) if covered => {
                if let Err(error) = self.balances.write_off(event) {
                    let place = format!("{} {}", self.frame(Followed::Commissions, frame), event.cause);
                    findings.problem("overflow", place, "64 bits", error);
                }
                self.posted.take(&event.program, &event.partner, &event.postings, frame.clock);
            }
            _ => {}
        }
        Ok(())
    }

    /// After the last frame: rows of history that belong to nothing, and cursors that the log does not reach.
    pub(super) async fn finish(&mut self, findings: &mut Findings) -> Result<(), VerifyError> {
        for history in [
            &mut self.verdicts,
            &mut self.events,
            &mut self.reversals,
            &mut self.sale_codes,
            &mut self.sale_coupons,
        ] {
            history.finish(findings).await?;
        }
        self.payouts.finish(findings).await?;
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
        Ok(())
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

    const fn frame(&self, followed: Followed, frame: &Frame) -> FramePlace {
        FramePlace { followed, partition: self.partition, seq: frame.seq }
    }
}

impl Configuration {
    fn set(&mut self, config: &ConfigFact, clock: Micros) {
        let (program, removed) = (config.program.0.clone(), config.removed);
        match config.object.clone() {
            ConfigObject::Program(object) => put(&mut self.programs, program, object, removed, clock),
            ConfigObject::Partner(object) => {
                put(&mut self.partners, (program, object.partner.0.clone()), object, removed, clock);
            }
            ConfigObject::Code(object) => {
                put(&mut self.codes, (program, object.code.clone()), object, removed, clock);
            }
            ConfigObject::Coupon(object) => {
                put(&mut self.coupons, (program, object.coupon.clone()), object, removed, clock);
            }
            ConfigObject::Rule(object) => {
                put(
                    &mut self.rules,
                    (program, object.rule.0.clone(), object.version),
                    object,
                    removed,
                    clock,
                );
            }
            ConfigObject::ApiKey(object) => {
                put(&mut self.keys, (program, object.key_id.clone()), object, removed, clock);
            }
            ConfigObject::Endpoint(object) => {
                put(&mut self.endpoints, (program, object.endpoint_id.clone()), object, removed, clock);
            }
            ConfigObject::Account(object) => {
                put(&mut self.accounts, object.account.0.clone(), object, removed, clock);
            }
            ConfigObject::PayoutTerms(object) => {
                let key = (program, object.partner.0.clone());
                put(&mut self.payout_terms, key, object, removed, clock);
            }
        }
    }

    /// A fact may say where a partner is paid.
    fn destination(&mut self, fact: &Fact, clock: Micros) {
        let FactBody::PayoutDestination(object) = &fact.body else { return };
        let key = (fact.program.0.clone(), object.partner.0.clone());
        let place = Destination::of(fact, object);
        let removed = place.sealed.is_none();
        put(&mut self.destinations, key, place, removed, clock);
    }
}

fn put<K: Ord, T>(objects: &mut BTreeMap<K, Configured<T>>, key: K, object: T, removed: bool, clock: Micros) {
    let created = objects.get(&key).map_or(clock, |earlier| earlier.written.created);
    objects.insert(key, Configured { object, removed, written: Written { created, updated: clock } });
}

/// What an event of `commissions` is about, where that has a row of its own.
fn object(event: &Bytes) -> Option<(&'static str, String)> {
    let (kind, id) = match wire::commissions::decode(event).ok()? {
        CommissionsEvent::Commission(event) => (audit::COMMISSIONS.kind, event.id.0),
        CommissionsEvent::Sale(sale) => (audit::SALES.kind, sale.id.0),
        CommissionsEvent::Payout(event) => (audit::PAYOUTS.kind, event.id.0),
        _ => return None,
    };
    Some((kind, as_stored(&id).into_owned()))
}

const fn is_bucket(account: domain::commission::Account) -> bool {
    use domain::commission::Account::{Expense, FxRounding, ProgramLoss};
    !matches!(account, Expense | ProgramLoss | FxRounding)
}

fn balanced(event: &CommissionEvent, place: FramePlace, findings: &mut Findings) {
    if !is_balanced(&event.postings) {
        let legs = format!("{:?}", event.postings);
        findings.problem("unbalanced", format!("{place} {}", event.id), "legs that sum to 0", legs);
    }
}

/// A conversion record says what attribution decided: who earns; nobody, and why; who the customer is.
fn decided(sale: &SaleRecorded, decisions: Option<&[Decision]>, place: FramePlace, findings: &mut Findings) {
    let Some(decisions) = decisions else { return };
    // A late decision on a sale comes after the first; the record says which of the two it follows.
    let of_sale = |decision: &&Decision| decision.program == sale.program && decision.sale == sale.sale;
    let mut of_sale = decisions.iter().filter(of_sale);
    let decision = if sale.late { of_sale.next_back() } else { of_sale.next() };
    let place = || format!("{place} {}", sale.id);
    let Some(decision) = decision else {
        findings.problem("attribution", place(), "a decision in its input", "none");
        return;
    };
    let agrees = match &decision.outcome {
        Ok((partner, _)) => sale.partner.as_ref() == Some(partner),
        Err(reason) => sale.partner.is_none() && sale.reason == *reason,
    };
    if !agrees || (decision.customer.is_some() && decision.customer != sale.customer) {
        let recorded = format!("{:?} {:?} of customer {:?}", sale.partner, sale.reason, sale.customer);
        let decided = format!("{:?} of customer {:?}", decision.outcome, decision.customer);
        findings.problem("attribution", place(), decided, recorded);
    }
}

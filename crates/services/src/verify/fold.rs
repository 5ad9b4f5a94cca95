//! What the log says, folded with the domain only, up to where the read model says it stands. History is compared on the way,
//! objects are kept as they are at the end.
use super::expected::{self, Configured, Parked, Sold, Standing, Written};
use super::history::{History, MissingRow};
use super::{Findings, VerifyError};
use domain::attribution::Decision;
use domain::commission::balances::{Ledger, is_balanced};
use domain::commission::{CommissionEvent, CommissionsEvent, ParkedItem, SaleRecorded};
use domain::config::{
    Account as Merchant, ApiKey, Code, ConfigFact, ConfigObject, Coupon, Endpoint, Partner, Program, Rule,
};
use domain::facts::ConversionKind;
use domain::normalization::FactsEvent;
use domain::time::Micros;
use readmodel::audit::{self, Snapshot, as_stored};
use readmodel::batch::{Followed, Place};
use std::collections::BTreeMap;
use stream::cursor::Cursor;
use stream::judge::Frame;
use stream::log::Partition;
use stream::parked::Mark;

/// A customer as it is now.
#[derive(Debug)]
pub(super) struct Customer {
    pub(super) partner: Option<String>,
    pub(super) sales: i64,
    /// Log clocks of its first and its last sale.
    pub(super) sold: Option<Written>,
}

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
}

/// A covered frame none of whose rows of history is there: skipped, unless an object of it is there.
#[derive(Debug)]
pub(super) struct Absent {
    pub(super) place: String,
    pub(super) rows: Vec<MissingRow>,
    /// Objects that the frame wrote: (kind, first key).
    pub(super) objects: Vec<(&'static str, String)>,
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
    pub(super) ledger: Ledger,
    pub(super) commissions: BTreeMap<String, Standing>,
    pub(super) sales: BTreeMap<String, Sold>,
    pub(super) customers: BTreeMap<(String, String), Customer>,
    /// When each balance was last posted to.
    pub(super) posted: BTreeMap<(String, String, String), Micros>,
    pub(super) configuration: Configuration,
    /// By service, position in its input, item of a tick.
    pub(super) parked: BTreeMap<(String, u64, String), Parked>,
    pub(super) absent: Vec<Absent>,
    verdicts: History,
    events: History,
    reversals: History,
    sale_codes: History,
    sale_coupons: History,
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
            commissions: BTreeMap::new(),
            sales: BTreeMap::new(),
            customers: BTreeMap::new(),
            posted: BTreeMap::new(),
            configuration: Configuration::default(),
            parked: BTreeMap::new(),
            absent: Vec::new(),
            verdicts: History::new(&audit::VERDICTS, partition),
            events: History::new(&audit::COMMISSION_EVENTS, partition),
            reversals: History::new(&audit::REVERSALS, partition),
            sale_codes: History::new(&audit::SALE_CODES, partition),
            sale_coupons: History::new(&audit::COUPONS_OF_SALES, partition),
        }
    }

    /// Folds a frame of `facts` and returns its events.
    pub(super) async fn facts(
        &mut self,
        frame: &Frame,
        snapshot: &mut Snapshot,
        findings: &mut Findings,
    ) -> Result<Vec<FactsEvent>, VerifyError> {
        let place = self.frame(Followed::Facts, frame);
        let events: Result<Vec<_>, _> = frame.events.iter().map(wire::facts::decode).collect();
        let events = events.map_err(|error| VerifyError::UnknownEvent { place: place.clone(), error })?;
        if !self.covered(Followed::Facts, frame, findings) {
            return Ok(events);
        }
        let (mut rows, mut missing) = (0, Vec::new());
        for (ordinal, event) in events.iter().enumerate() {
            match event {
                FactsEvent::Verdict(verdict) => {
                    rows += 1;
                    let cells = expected::verdict(verdict, frame.source, frame.clock);
                    missing
                        .extend(self.verdicts.expect(snapshot, (frame.seq, ordinal), cells, findings).await?);
                }
                FactsEvent::Config(config) => self.configuration.set(config, frame.clock),
                FactsEvent::Fact(fact) => {
                    let at = (frame.seq, ordinal);
                    if let Some(cells) = expected::sale_code(fact, frame.clock) {
                        rows += 1;
                        missing.extend(self.sale_codes.expect(snapshot, at, cells, findings).await?);
                    }
                    if let Some(cells) = expected::sale_coupon(fact) {
                        rows += 1;
                        missing.extend(self.sale_coupons.expect(snapshot, at, cells, findings).await?);
                    }
                }
                FactsEvent::Tick | FactsEvent::ConfigOutcome(_) | FactsEvent::DefectRetry(_) => {}
            }
        }
        self.missed(place, rows, missing, Vec::new(), findings);
        Ok(events)
    }

    /// Folds a frame of `commissions`, decided from `decisions`; `None`: not known here.
    pub(super) async fn commissions(
        &mut self,
        frame: &Frame,
        decisions: Option<&[Decision]>,
        snapshot: &mut Snapshot,
        findings: &mut Findings,
    ) -> Result<(), VerifyError> {
        let place = self.frame(Followed::Commissions, frame);
        let covered = self.covered(Followed::Commissions, frame, findings);
        let (mut rows, mut missing, mut objects) = (0, Vec::new(), Vec::new());
        if covered {
            frame.marks.iter().for_each(|mark| self.mark(frame, mark.clone(), String::new()));
        }
        for (ordinal, bytes) in frame.events.iter().enumerate() {
            let event = wire::commissions::decode(bytes)
                .map_err(|error| VerifyError::UnknownEvent { place: place.clone(), error })?;
            let at = (frame.seq, ordinal);
            match event {
                CommissionsEvent::Commission(event) => {
                    balanced(&event, &place, findings);
                    if covered {
                        rows += 1;
                        let cells = expected::commission_event(&event, frame.clock);
                        missing.extend(self.events.expect(snapshot, at, cells, findings).await?);
                        objects.push((audit::COMMISSIONS.kind, as_stored(event.id.as_str())));
                        self.commission(frame, event, &place, findings);
                    }
                }
                CommissionsEvent::Reversal(reversal) if covered => {
                    rows += 1;
                    let cells = expected::reversal(&reversal, frame.clock);
                    missing.extend(self.reversals.expect(snapshot, at, cells, findings).await?);
                }
                CommissionsEvent::Parked(item) if covered => self.item(frame, &item),
                CommissionsEvent::Sale(sale) => {
                    decided(&sale, decisions, &place, findings);
                    if covered {
                        objects.push((audit::SALES.kind, as_stored(sale.id.as_str())));
                        self.sale(frame, sale);
                    }
                }
                _ => {}
            }
        }
        self.missed(place, rows, missing, objects, findings);
        Ok(())
    }

    /// Some rows of a frame are missing: when all are, it may have been skipped as a whole.
    fn missed(
        &mut self,
        place: String,
        rows: usize,
        missing: Vec<MissingRow>,
        objects: Vec<(&'static str, String)>,
        findings: &mut Findings,
    ) {
        if rows > 0 && missing.len() == rows && self.absent.len() < ABSENT {
            self.absent.push(Absent { place, rows: missing, objects });
        } else {
            missing.into_iter().for_each(|row| row.report(findings));
        }
    }

    fn commission(
        &mut self,
        frame: &Frame,
        mut event: CommissionEvent,
        place: &str,
        findings: &mut Findings,
    ) {
        if let Err(error) = self.ledger.apply(frame.clock, &event) {
            findings.problem("overflow", format!("{place} {}", event.id), "64 bits", error);
        }
        for posting in std::mem::take(&mut event.postings) {
            if is_bucket(posting.account) {
                let key = (
                    as_stored(event.program.as_str()),
                    as_stored(event.partner.as_str()),
                    posting.currency.code().to_owned(),
                );
                self.posted.insert(key, frame.clock);
            }
        }
        let terms = event.terms.take().map(|mut terms| {
            terms.slices = Vec::new();
            terms
        });
        let id = as_stored(event.id.as_str());
        if let Some(standing) = self.commissions.get_mut(&id) {
            standing.last = event;
            standing.seq = frame.seq;
            standing.written.updated = frame.clock;
        } else {
            let written = Written { created: frame.clock, updated: frame.clock };
            self.commissions.insert(id, Standing { last: event, terms, seq: frame.seq, written });
        }
    }

    fn mark(&mut self, frame: &Frame, mark: Mark, item: String) {
        let written = Written { created: frame.clock, updated: frame.clock };
        let key = (mark.service.clone(), mark.source, item);
        let row = self.parked.entry(key).or_insert_with(|| Parked {
            last: mark.clone(),
            detail: String::new(),
            attempts: 0,
            seq: frame.seq,
            written,
        });
        if !mark.settled {
            row.attempts += 1;
            row.detail.clone_from(&mark.detail);
        }
        // Program and event are those of the first mark.
        row.last.settled = mark.settled;
        row.seq = frame.seq;
        row.written.updated = frame.clock;
    }

    /// A due item that a tick could not decide.
    fn item(&mut self, frame: &Frame, item: &ParkedItem) {
        let mark = Mark {
            service: "commission".to_owned(),
            source: item.source,
            program: item.program.0.clone(),
            event: String::new(),
            detail: item.detail.clone(),
            settled: item.settled,
        };
        self.mark(frame, mark, format!("{} {}", item.sale.source, item.sale.external_id));
    }

    fn sale(&mut self, frame: &Frame, mut sale: SaleRecorded) {
        if let Some(customer) = &sale.customer {
            let key = (as_stored(sale.program.as_str()), expected::hex(&customer.0));
            let customer =
                self.customers.entry(key).or_insert(Customer { partner: None, sales: 0, sold: None });
            // Leads, sign-ups and clicks make somebody known, and are no purchases.
            if sale.facets.details.kind == ConversionKind::Sale {
                customer.sales += i64::from(!sale.late);
                let created = customer.sold.map_or(frame.clock, |sold| sold.created);
                customer.sold = Some(Written { created, updated: frame.clock });
            }
            if customer.partner.is_none() {
                customer.partner = sale.partner.as_ref().map(|partner| as_stored(partner.as_str()));
            }
        }
        sale.slices = Vec::new();
        let id = as_stored(sale.id.as_str());
        let mut written = Written { created: frame.clock, updated: frame.clock };
        if let Some(earlier) = self.sales.get(&id) {
            written.created = earlier.written.created;
            // The event that brought it stays; a late decision may name another.
            sale.event = earlier.sale.event.clone();
        }
        self.sales.insert(id, Sold { sale, seq: frame.seq, written });
    }

    /// After the last frame: rows of history that belong to nothing, what the fold itself breaks, and cursors that the log does
    /// not reach.
    pub(super) async fn finish(
        &mut self,
        snapshot: &mut Snapshot,
        findings: &mut Findings,
    ) -> Result<(), VerifyError> {
        for history in [
            &mut self.verdicts,
            &mut self.events,
            &mut self.reversals,
            &mut self.sale_codes,
            &mut self.sale_coupons,
        ] {
            history.finish(snapshot, findings).await?;
        }
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

    fn frame(&self, followed: Followed, frame: &Frame) -> String {
        format!("{}/{} frame {}", followed.topic().name(), self.partition.0, frame.seq)
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
            ConfigObject::PayoutTerms(_) => {}
        }
    }
}

fn put<K: Ord, T>(objects: &mut BTreeMap<K, Configured<T>>, key: K, object: T, removed: bool, clock: Micros) {
    let created = objects.get(&key).map_or(clock, |earlier| earlier.written.created);
    objects.insert(key, Configured { object, removed, written: Written { created, updated: clock } });
}

const fn is_bucket(account: domain::commission::Account) -> bool {
    use domain::commission::Account::{Expense, FxRounding, ProgramLoss};
    !matches!(account, Expense | ProgramLoss | FxRounding)
}

fn balanced(event: &CommissionEvent, place: &str, findings: &mut Findings) {
    if !is_balanced(&event.postings) {
        let legs = format!("{:?}", event.postings);
        findings.problem("unbalanced", format!("{place} {}", event.id), "legs that sum to 0", legs);
    }
}

/// A conversion record says what attribution decided: who earns; nobody, and why; who the customer is.
fn decided(sale: &SaleRecorded, decisions: Option<&[Decision]>, place: &str, findings: &mut Findings) {
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

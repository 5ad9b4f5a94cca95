//! A batch as rows: append-only history as it came, current state folded in memory, so that each row is written once.
mod balance;
mod commission;
mod parked;

pub(crate) use balance::{AmountsOverflow, BalanceChange};
pub(crate) use commission::{EventRow, LastEvent, Part, postings_json};
pub(crate) use parked::{ParkedChange, ParkedKey};

use crate::batch::{Batch, Frame, Frames};
use crate::payout_rows::PayoutRows;
use crate::text::{bigint, clean, int, moment};
use domain::attribution::SaleKey;
use domain::chain;
use domain::commission::{CommissionsEvent, ReversalRecorded, SaleRecorded};
use domain::config::{
    Account as Merchant, ApiKey, Code, ConfigFact, ConfigObject, Coupon, Endpoint, Mode, Partner, Program,
    Rule,
};
use domain::facts::{CouponRef, Fact, FactBody, Referral, ReversalState};
use domain::ids::{Hash, ProgramId};
use domain::normalization::{FactsEvent, Verdict};
use domain::time::Micros;
use std::collections::BTreeMap;
use stream::log::Partition;

/// Where an event is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At {
    pub(crate) partition: i32,
    pub(crate) seq: i64,
    pub(crate) ordinal: i32,
    pub(crate) source: i64,
    pub(crate) clock: i64,
}

/// A verdict as it came.
#[derive(Debug)]
pub(crate) struct VerdictRow<'batch> {
    pub(crate) at: At,
    pub(crate) verdict: &'batch Verdict,
}

/// An event of a program's chain, in the order of the log.
#[derive(Debug)]
pub(crate) struct LeafRow<'batch> {
    pub(crate) at: At,
    pub(crate) program: &'batch ProgramId,
    pub(crate) leaf: Hash,
}

/// A reversal as it came.
#[derive(Debug)]
pub(crate) struct ReversalRow<'batch> {
    pub(crate) at: At,
    pub(crate) reversal: &'batch ReversalRecorded,
}

/// The last state of an object in the batch, and the clock of its first.
#[derive(Debug)]
pub(crate) struct Current<T> {
    pub(crate) at: At,
    pub(crate) created: i64,
    pub(crate) value: T,
}

/// What a batch knows of a customer.
#[derive(Debug)]
pub(crate) struct CustomerChange {
    pub(crate) at: At,
    /// Clocks of its first and its last sale.
    pub(crate) sold: Option<(i64, i64)>,
    pub(crate) partner: Option<String>,
    pub(crate) sales: i64,
}

/// A sale that named its coupon by the provider's id.
#[derive(Debug)]
pub(crate) struct CouponRow<'batch> {
    pub(crate) at: At,
    pub(crate) fact: &'batch Fact,
    pub(crate) sale: SaleKey,
    pub(crate) reference: &'batch str,
}

/// A sale that named a code.
#[derive(Debug)]
pub(crate) struct SaleCodeRow<'batch> {
    pub(crate) at: At,
    pub(crate) fact: &'batch Fact,
    pub(crate) sale: SaleKey,
    pub(crate) referral: &'batch Referral,
}

/// Rules by program, rule and version, each with whether it was removed.
pub(crate) type RuleRows<'batch> = BTreeMap<(&'batch str, &'batch str, u32), Current<(&'batch Rule, bool)>>;

/// Everything that a batch writes beside the cursors.
#[derive(Debug, Default)]
pub(crate) struct Rows<'batch> {
    pub(crate) verdicts: Vec<VerdictRow<'batch>>,
    pub(crate) programs: BTreeMap<&'batch str, Current<(&'batch Program, bool)>>,
    pub(crate) partners: BTreeMap<(&'batch str, &'batch str), Current<(&'batch Partner, bool)>>,
    pub(crate) accounts: BTreeMap<&'batch str, Current<(&'batch Merchant, bool)>>,
    pub(crate) codes: BTreeMap<(&'batch str, &'batch str), Current<(&'batch Code, bool)>>,
    pub(crate) partner_coupons: BTreeMap<(&'batch str, &'batch str), Current<(&'batch Coupon, bool)>>,
    pub(crate) rules: RuleRows<'batch>,
    pub(crate) endpoints: BTreeMap<(&'batch str, &'batch str), Current<(&'batch Endpoint, bool)>>,
    pub(crate) keys: BTreeMap<(&'batch str, &'batch str), Current<(&'batch ApiKey, bool)>>,
    pub(crate) sales: BTreeMap<&'batch str, Current<(&'batch SaleRecorded, &'batch str)>>,
    pub(crate) reversals: Vec<ReversalRow<'batch>>,
    pub(crate) commissions: BTreeMap<&'batch str, Current<LastEvent<'batch>>>,
    pub(crate) events: Vec<EventRow<'batch>>,
    pub(crate) leaves: Vec<LeafRow<'batch>>,
    pub(crate) balances: BTreeMap<(&'batch str, &'batch str, String), BalanceChange>,
    pub(crate) customers: BTreeMap<(&'batch str, String), CustomerChange>,
    pub(crate) parked: BTreeMap<ParkedKey, ParkedChange>,
    pub(crate) coupons: Vec<CouponRow<'batch>>,
    pub(crate) sale_codes: Vec<SaleCodeRow<'batch>>,
    pub(crate) payouts: PayoutRows<'batch>,
}

impl<'batch> Rows<'batch> {
    /// The rows of `batch`.
    pub(crate) fn of(batch: &'batch Batch) -> Result<Self, AmountsOverflow> {
        let mut rows = Self::default();
        for advance in batch.advances.values() {
            match &advance.frames {
                Frames::Facts(frames) => {
                    for frame in frames {
                        rows.facts(advance.partition, frame);
                    }
                }
                Frames::Commissions(frames) => {
                    for frame in frames {
                        rows.commissions(advance.partition, frame);
                    }
                }
            }
        }
        rows.narrow()?;
        Ok(rows)
    }

    fn facts(&mut self, partition: Partition, frame: &'batch Frame<FactsEvent>) {
        for (at, event) in places(partition, frame) {
            match event {
                FactsEvent::Verdict(verdict) => self.verdicts.push(VerdictRow { at, verdict }),
                FactsEvent::Config(config) => self.config(at, config),
                FactsEvent::Fact(fact) => self.fact(at, fact),
                FactsEvent::Tick | FactsEvent::ConfigOutcome(_) | FactsEvent::DefectRetry(_) => {}
            }
        }
    }

    fn fact(&mut self, at: At, fact: &'batch Fact) {
        if let FactBody::PayoutDestination(destination) = &fact.body {
            self.payouts.destination(at, fact, destination);
        }
        let FactBody::Sale(sale) = &fact.body else { return };
        // The name under which its conversion record stands, of whichever kind.
        let key = || SaleKey::of(&fact.source, sale);
        if let Some(CouponRef::ProviderRef(reference)) = &sale.coupon {
            self.coupons.push(CouponRow { at, fact, sale: key(), reference });
        }
        if let Some(referral) = &sale.referral {
            self.sale_codes.push(SaleCodeRow { at, fact, sale: key(), referral });
        }
    }

    fn config(&mut self, at: At, config: &'batch ConfigFact) {
        let (program, removed) = (config.program.as_str(), config.removed);
        match &config.object {
            ConfigObject::Program(object) => set(&mut self.programs, program, at, (object, removed)),
            ConfigObject::Partner(object) => {
                set(&mut self.partners, (program, object.partner.as_str()), at, (object, removed));
            }
            ConfigObject::Code(object) => {
                set(&mut self.codes, (program, object.code.as_str()), at, (object, removed));
            }
            ConfigObject::Coupon(object) => {
                set(&mut self.partner_coupons, (program, object.coupon.as_str()), at, (object, removed));
            }
            ConfigObject::Rule(object) => {
                set(&mut self.rules, (program, object.rule.as_str(), object.version), at, (object, removed));
            }
            ConfigObject::ApiKey(object) => {
                set(&mut self.keys, (program, object.key_id.as_str()), at, (object, removed));
            }
            ConfigObject::Endpoint(object) => {
                set(&mut self.endpoints, (program, object.endpoint_id.as_str()), at, (object, removed));
            }
            ConfigObject::Account(object) => {
                set(&mut self.accounts, object.account.as_str(), at, (object, removed));
            }
            ConfigObject::PayoutTerms(object) => self.payouts.terms(at, program, object, removed),
        }
    }

    fn commissions(&mut self, partition: Partition, frame: &'batch Frame<CommissionsEvent>) {
        // Marks of earlier services are repeated here: this topic alone says all of them, once.
        for mark in &frame.marks {
            self.mark(at(partition, frame, 0), mark, "");
        }
        for ((at, event), bytes) in places(partition, frame).zip(&frame.bytes) {
            if let Some(program) = chain::program_of(event) {
                self.leaves.push(LeafRow { at, program, leaf: chain::leaf(bytes) });
            }
            match event {
                CommissionsEvent::Sale(sale) => {
                    // The event that brought it stays; a late decision names another.
                    let earlier = self.sales.get(sale.id.as_str());
                    let event = earlier.map_or(sale.event.as_str(), |earlier| earlier.value.1);
                    set(&mut self.sales, sale.id.as_str(), at, (sale, event));
                    self.customer(at, sale);
                }
                CommissionsEvent::Reversal(reversal) => self.reversals.push(ReversalRow { at, reversal }),
                CommissionsEvent::Commission(event) => self.commission(at, event),
                // Configuration is projected from `facts`; answers are for callers; a link, the end of a subscription or a
                // schedule shows in what it changes.
                CommissionsEvent::Config(_)
                | CommissionsEvent::Answer(_)
                | CommissionsEvent::Link(_)
                | CommissionsEvent::Cancelled(_)
                | CommissionsEvent::Schedule(_) => {}
                CommissionsEvent::Payout(event) => self.payouts.payout(at, event),
                CommissionsEvent::Rate(rate) => self.payouts.rates.push((at, rate)),
                CommissionsEvent::Offset(offset) => self.payouts.offsets.push((at, offset)),
                CommissionsEvent::WrittenOff(event) => {
                    for posting in &event.postings {
                        self.post(at, (event.program.as_str(), event.partner.as_str()), posting);
                    }
                    self.payouts.write_offs.push((at, event));
                }
                CommissionsEvent::Parked(item) => self.item(at, item),
            }
        }
    }

    fn customer(&mut self, at: At, sale: &'batch SaleRecorded) {
        let Some(customer) = sale.customer else { return };
        let key = (sale.program.as_str(), hex::encode(customer.0));
        let change =
            self.customers.entry(key).or_insert(CustomerChange { at, sold: None, partner: None, sales: 0 });
        change.at = at;
        if sale.facets.details.kind.is_sale() {
            // A late decision tells of a sale that was counted.
            change.sales += i64::from(!sale.late);
            change.sold = Some((change.sold.map_or(at.clock, |(first, _)| first), at.clock));
        }
        if change.partner.is_none() {
            change.partner = sale.partner.as_ref().map(|partner| clean(partner.as_str()));
        }
    }
}

pub(crate) fn set<K: Ord, T>(map: &mut BTreeMap<K, Current<T>>, key: K, at: At, value: T) {
    let created = map.get(&key).map_or(at.clock, |earlier| earlier.created);
    map.insert(key, Current { at, created, value });
}

fn at<E>(partition: Partition, frame: &Frame<E>, ordinal: usize) -> At {
    At {
        partition: int(partition.0),
        seq: bigint(frame.seq),
        ordinal: i32::try_from(ordinal).unwrap_or(i32::MAX),
        source: bigint(frame.source),
        clock: moment(frame.clock),
    }
}

fn places<E>(partition: Partition, frame: &Frame<E>) -> impl Iterator<Item = (At, &E)> {
    frame.events.iter().enumerate().map(move |(ordinal, event)| (at(partition, frame, ordinal), event))
}

/// The word of a reversal's state in views.
pub(crate) const fn state_name(state: ReversalState) -> &'static str {
    match state {
        ReversalState::Pending => "pending",
        ReversalState::Live => "live",
        ReversalState::Dead => "dead",
    }
}

/// What separates the texts of a list on their way into an array of Postgres.
const UNIT: char = '\u{1f}';

/// A list of texts as one, for `string_to_array`.
pub(crate) fn joined(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| clean(text).replace(UNIT, "\u{fffd}")).collect();
    texts.join("\u{1f}")
}

/// The word of a mode in views.
pub(crate) const fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Live => "live",
        Mode::Test => "test",
    }
}

/// Microseconds for `tributary.moment`.
pub(crate) fn micros(at: Micros) -> i64 {
    moment(at)
}

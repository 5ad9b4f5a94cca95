//! A batch as rows: append-only history as it came, current state folded in memory, so that each row is written once.
use crate::batch::{Batch, Frame, Frames};
use crate::text::{bigint, clean, int, moment};
use domain::commission::{
    Account, CommissionEvent, CommissionsEvent, Posting, ReversalRecorded, SaleRecorded,
};
use domain::config::{ConfigFact, ConfigObject, Mode, Partner, Program};
use domain::facts::ReversalState;
use domain::normalization::{FactsEvent, Verdict};
use domain::time::Micros;
use serde::Serialize;
use std::collections::BTreeMap;
use stream::log::Partition;

/// Sums of a batch leave 64 bits; the ledger never writes such events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("balance of {program}/{partner} in {currency} leaves 64 bits")]
pub struct AmountsOverflow {
    program: String,
    partner: String,
    currency: String,
}

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

/// A commission event as it came.
#[derive(Debug)]
pub(crate) struct EventRow<'batch> {
    pub(crate) at: At,
    pub(crate) event: &'batch CommissionEvent,
    pub(crate) postings: String,
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

/// Frozen with the first event of a commission.
#[derive(Debug, Clone, Default)]
pub(crate) struct FrozenTerms {
    pub(crate) rule: String,
    pub(crate) rule_version: i32,
    pub(crate) hold_until: Option<i64>,
}

/// A change of a partner's buckets: pending, review, available, in flight, paid out, debt.
#[derive(Debug)]
pub(crate) struct BalanceChange {
    pub(crate) at: At,
    pub(crate) wide: [i128; 6],
    pub(crate) buckets: [i64; 6],
}

/// What a batch knows of a customer.
#[derive(Debug)]
pub(crate) struct CustomerChange {
    pub(crate) at: At,
    pub(crate) first: i64,
    pub(crate) partner: Option<String>,
    pub(crate) sales: i64,
}

/// An input parked by a defect.
#[derive(Debug)]
pub(crate) struct ParkedRow {
    pub(crate) at: At,
    pub(crate) detail: String,
}

/// Everything that a batch writes beside the cursors.
#[derive(Debug, Default)]
pub(crate) struct Rows<'batch> {
    pub(crate) verdicts: Vec<VerdictRow<'batch>>,
    pub(crate) programs: BTreeMap<&'batch str, Current<(&'batch Program, bool)>>,
    pub(crate) partners: BTreeMap<(&'batch str, &'batch str), Current<(&'batch Partner, bool)>>,
    pub(crate) sales: BTreeMap<&'batch str, Current<(&'batch SaleRecorded, &'batch str)>>,
    pub(crate) reversals: Vec<ReversalRow<'batch>>,
    pub(crate) commissions: BTreeMap<&'batch str, Current<(&'batch CommissionEvent, FrozenTerms)>>,
    pub(crate) events: Vec<EventRow<'batch>>,
    pub(crate) balances: BTreeMap<(&'batch str, &'batch str, String), BalanceChange>,
    pub(crate) customers: BTreeMap<(&'batch str, String), CustomerChange>,
    pub(crate) parked: Vec<ParkedRow>,
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
                FactsEvent::Fact(_)
                | FactsEvent::Tick
                | FactsEvent::ConfigOutcome(_)
                | FactsEvent::DefectRetry(_) => {}
            }
        }
    }

    fn config(&mut self, at: At, config: &'batch ConfigFact) {
        let program = config.program.as_str();
        match &config.object {
            ConfigObject::Program(object) => {
                set(&mut self.programs, program, at, (object, config.removed));
            }
            ConfigObject::Partner(object) => {
                let key = (program, object.partner.as_str());
                set(&mut self.partners, key, at, (object, config.removed));
            }
            ConfigObject::Code(_)
            | ConfigObject::Coupon(_)
            | ConfigObject::Rule(_)
            | ConfigObject::ApiKey(_)
            | ConfigObject::Endpoint(_)
            | ConfigObject::Account(_) => {}
        }
    }

    fn commissions(&mut self, partition: Partition, frame: &'batch Frame<CommissionsEvent>) {
        if !frame.defect.is_empty() {
            self.parked.push(ParkedRow { at: at(partition, frame, 0), detail: clean(&frame.defect) });
        }
        for (at, event) in places(partition, frame) {
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
                // Configuration is projected from `facts`; answers are for callers.
                CommissionsEvent::Config(_) | CommissionsEvent::Answer(_) => {}
            }
        }
    }

    fn customer(&mut self, at: At, sale: &'batch SaleRecorded) {
        let Some(customer) = sale.customer else { return };
        let key = (sale.program.as_str(), hex::encode(customer.0));
        let change = self.customers.entry(key).or_insert(CustomerChange {
            at,
            first: at.clock,
            partner: None,
            sales: 0,
        });
        change.at = at;
        // A late decision tells of a sale that was counted.
        change.sales += i64::from(!sale.late);
        if change.partner.is_none() {
            change.partner = sale.partner.as_ref().map(|partner| clean(partner.as_str()));
        }
    }

    fn commission(&mut self, at: At, event: &'batch CommissionEvent) {
        for posting in &event.postings {
            self.post(at, event, posting);
        }
        self.events.push(EventRow { at, event, postings: postings_json(&event.postings) });
        let terms = event.terms.as_ref().map(|terms| FrozenTerms {
            rule: clean(terms.rule.as_str()),
            rule_version: int(terms.rule_version),
            hold_until: Some(moment(terms.hold_until)),
        });
        if let Some(current) = self.commissions.get_mut(event.id.as_str()) {
            current.at = at;
            current.value.0 = event;
        } else {
            let value = (event, terms.unwrap_or_default());
            self.commissions.insert(event.id.as_str(), Current { at, created: at.clock, value });
        }
    }

    fn post(&mut self, at: At, event: &'batch CommissionEvent, posting: &Posting) {
        let (bucket, sign) = match posting.account {
            Account::Pending => (0, 1),
            Account::Review => (1, 1),
            Account::Available => (2, 1),
            Account::InFlight => (3, 1),
            Account::PaidOut => (4, 1),
            // Owed is shown as a positive number.
            Account::Debt => (5, -1),
            Account::Expense | Account::ProgramLoss | Account::FxRounding => return,
        };
        let key = (event.program.as_str(), event.partner.as_str(), posting.currency.code().to_owned());
        let change = self.balances.entry(key).or_insert(BalanceChange { at, wide: [0; 6], buckets: [0; 6] });
        change.at = at;
        change.wide[bucket] += sign * i128::from(posting.amount.0);
    }

    fn narrow(&mut self) -> Result<(), AmountsOverflow> {
        for ((program, partner, currency), change) in &mut self.balances {
            for (narrow, wide) in change.buckets.iter_mut().zip(change.wide) {
                *narrow = i64::try_from(wide).map_err(|_| AmountsOverflow {
                    program: (*program).to_owned(),
                    partner: (*partner).to_owned(),
                    currency: currency.clone(),
                })?;
            }
        }
        Ok(())
    }
}

fn set<K: Ord, T>(map: &mut BTreeMap<K, Current<T>>, key: K, at: At, value: T) {
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

/// The word of an account in views.
pub(crate) const fn account_name(account: Account) -> &'static str {
    match account {
        Account::Expense => "expense",
        Account::Pending => "pending",
        Account::Review => "review",
        Account::Available => "available",
        Account::InFlight => "in_flight",
        Account::PaidOut => "paid_out",
        Account::Debt => "debt",
        Account::ProgramLoss => "program_loss",
        Account::FxRounding => "fx_rounding",
    }
}

/// The word of a reversal's state in views.
pub(crate) const fn state_name(state: ReversalState) -> &'static str {
    match state {
        ReversalState::Pending => "pending",
        ReversalState::Live => "live",
        ReversalState::Dead => "dead",
    }
}

/// The word of a mode in views.
pub(crate) const fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Live => "live",
        Mode::Test => "test",
    }
}

#[derive(Serialize)]
struct PostingJson<'posting> {
    account: &'static str,
    currency: &'posting str,
    amount: i64,
}

fn postings_json(postings: &[Posting]) -> String {
    let rows: Vec<PostingJson<'_>> = postings
        .iter()
        .map(|posting| PostingJson {
            account: account_name(posting.account),
            currency: posting.currency.code(),
            amount: posting.amount.0,
        })
        .collect();
    // Plain data always encodes.
    serde_json::to_string(&rows).unwrap_or_else(|_| "[]".to_owned())
}

/// Microseconds for `tributary.moment`.
pub(crate) fn micros(at: Micros) -> i64 {
    moment(at)
}

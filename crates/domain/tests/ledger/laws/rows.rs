//! Which rows of the state table a run took, and how often.
use std::collections::BTreeMap;
use tributary_domain::commission::{Account, CommissionEvent, CommissionEventKind};

type Row = (&'static str, &'static str, &'static str);

/// The table of `docs/reference/ledger.md`, one line for each From and To: every run must take each of them. Rows with locked,
/// paid, payouts or a new price are not here yet; nor is reinstatement of what was rejected.
const TABLE: [Row; 37] = [
    ("-", "created", "pending"),
    ("-", "created", "review"),
    ("pending", "review", "review"),
    ("approved", "review", "review"),
    ("review", "review", "review"),
    ("review", "hold_released", "pending"),
    ("review", "hold_released", "review"),
    ("pending", "approved by a tick", "approved"),
    ("pending", "approved by a person", "approved"),
    ("pending", "approved, a debt first", "approved"),
    ("pending", "rejected", "rejected"),
    ("review", "rejected", "rejected"),
    ("approved", "rejected", "rejected"),
    ("pending", "refunded", "pending"),
    ("review", "refunded", "review"),
    ("approved", "refunded", "approved"),
    ("pending", "chargeback", "pending"),
    ("review", "chargeback", "review"),
    ("approved", "chargeback", "approved"),
    ("pending", "refunded", "refunded"),
    ("review", "refunded", "refunded"),
    ("approved", "refunded", "refunded"),
    ("pending", "chargeback", "charged_back"),
    ("review", "chargeback", "charged_back"),
    ("approved", "chargeback", "charged_back"),
    ("pending", "reinstated", "pending"),
    ("review", "reinstated", "review"),
    ("approved", "reinstated", "approved"),
    ("refunded", "reinstated", "pending"),
    ("refunded", "reinstated", "review"),
    ("refunded", "reinstated", "approved"),
    ("charged_back", "reinstated", "pending"),
    ("charged_back", "reinstated", "review"),
    ("charged_back", "reinstated", "approved"),
    // Which end it is follows the set of facts, also while N stays 0.
    ("refunded", "chargeback", "charged_back"),
    ("charged_back", "refunded", "refunded"),
    ("(any)", "from its end, a debt first", "(any)"),
];

/// What may happen as well, without a number that must be reached: a refund completes what a lost dispute began, and what
/// comes after a payment.
const ALSO: [Row; 6] = [
    ("pending", "refunded", "charged_back"),
    ("review", "refunded", "charged_back"),
    ("approved", "refunded", "charged_back"),
    ("paid", "refunded", "paid"),
    ("paid", "chargeback", "paid"),
    ("paid", "reinstated", "paid"),
];

/// How often each row must be taken.
pub const LEAST: u64 = 1_000;

#[derive(Debug, Default)]
pub struct Rows {
    counts: BTreeMap<Row, u64>,
}

impl Rows {
    /// Counts an event; whether the table has its row.
    pub fn count(&mut self, from: &'static str, event: &CommissionEvent) -> bool {
        let repays = event.postings.iter().any(|leg| leg.account == Account::Debt && leg.amount.0 > 0);
        let from_end = ["refunded", "charged_back"].contains(&from);
        let what = match event.kind {
            CommissionEventKind::Approved if repays => "approved, a debt first",
            CommissionEventKind::Approved if event.cause.is_none() => "approved by a tick",
            CommissionEventKind::Approved => "approved by a person",
            kind => kind.name(),
        };
        if repays && from_end {
            self.add(("(any)", "from its end, a debt first", "(any)"));
        }
        self.add((from, what, event.status.name()))
    }

    fn add(&mut self, row: Row) -> bool {
        *self.counts.entry(row).or_default() += 1;
        TABLE.contains(&row) || ALSO.contains(&row)
    }

    /// Prints the table; the rows that were taken too rarely.
    pub fn report(&self) -> Vec<String> {
        let mut rare = Vec::new();
        println!("{:>10}  {:<13} {:<27} to", "times", "from", "event");
        for (rows, least) in [(&TABLE[..], LEAST), (&ALSO[..], 0)] {
            for row in rows {
                let (from, event, to) = row;
                let times = self.counts.get(row).copied().unwrap_or_default();
                println!("{times:>10}  {from:<13} {event:<27} {to}");
                if times < least {
                    rare.push(format!("{from}, {event}, {to}: {times}"));
                }
            }
        }
        rare
    }
}

//! Which rows of the state table a run took, and how often.
use super::counts::{Counts, Row};
use tributary_domain::commission::{Account, CommissionEvent, CommissionEventKind, CommissionStatus, Origin};
use tributary_domain::config::ReleaseMode;
use tributary_domain::facts::CommandKind;

/// The table of `docs/reference/ledger.md`, one line for each From, To and reason to go: every run must take each of them. Rows
/// with locked, paid, payouts or a new price are not here yet.
pub const TABLE: [Row; 74] = [
    ("-", "created", "pending"),
    ("-", "created", "review"),
    ("-", "created: a part of a split", "pending"),
    ("-", "created: a part of a split", "review"),
    ("-", "created: no sale", "pending"),
    ("-", "created: no sale", "review"),
    ("-", "created: a bonus", "pending"),
    ("-", "created: a bonus", "review"),
    ("-", "created: takes money", "pending"),
    ("-", "created: takes money", "review"),
    ("pending", "held: dispute", "review"),
    ("approved", "held: dispute", "review"),
    ("review", "held: dispute", "review"),
    ("pending", "held: subscription over", "review"),
    ("approved", "held: subscription over", "review"),
    ("review", "held: subscription over", "review"),
    ("pending", "held by a person", "review"),
    ("approved", "held by a person", "review"),
    ("review", "held by a person", "review"),
    ("pending", "held: partner suspended", "review"),
    ("approved", "held: partner suspended", "review"),
    ("review", "held: partner suspended", "review"),
    ("review", "released: dispute decided", "pending"),
    ("review", "released: dispute decided", "review"),
    ("review", "released by a person", "pending"),
    ("review", "released by a person", "review"),
    ("review", "released: partner active", "pending"),
    ("review", "released: partner active", "review"),
    ("review", "released by who approves", "pending"),
    ("review", "released by who approves", "review"),
    ("pending", "approved by a tick", "approved"),
    ("pending", "approved by a person", "approved"),
    ("pending", "approved, a debt first", "approved"),
    ("pending", "approved: takes money", "approved"),
    ("pending", "rejected", "rejected"),
    ("review", "rejected", "rejected"),
    ("approved", "rejected", "rejected"),
    ("approved", "rejected: took money", "rejected"),
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
    ("rejected", "reinstated by a person", "pending"),
    ("rejected", "reinstated by a person", "review"),
    ("rejected", "reinstated by a person", "approved"),
    ("rejected", "reinstated: takes money", "approved"),
    // Which end it is follows the set of facts, also while N stays 0.
    ("refunded", "chargeback", "charged_back"),
    ("charged_back", "refunded", "refunded"),
    // The same events again, by what else is true of them.
    ("(an end)", "back, a debt first", "(any)"),
    ("rejected", "back, a debt first", "(any)"),
    ("(any)", "a part: refunded", "(any)"),
    ("(any)", "a part: chargeback", "(any)"),
    ("(any)", "a part: money returns", "(any)"),
    ("-", "created: a check failed", "review"),
    ("-", "created: subscription was over", "review"),
    ("pending", "approved: held to a month's end", "approved"),
    ("(no sale)", "a refund or dispute is told", "(the same)"),
];

/// What may happen to parts of a split only: a whole that grows by a unit may leave a part one unit less, and nothing.
const OF_PARTS: [Row; 3] = [
    ("pending", "chargeback", "refunded"),
    ("review", "chargeback", "refunded"),
    ("approved", "chargeback", "refunded"),
];

/// What may happen as well, without a number that must be reached: what takes money and is not approved, a refund that
/// completes what a lost dispute began, and what comes after a payment.
const ALSO: [Row; 10] = [
    ("pending", "rejected: took money", "rejected"),
    ("review", "rejected: took money", "rejected"),
    ("rejected", "reinstated: takes money", "pending"),
    ("rejected", "reinstated: takes money", "review"),
    ("pending", "refunded", "charged_back"),
    ("review", "refunded", "charged_back"),
    ("approved", "refunded", "charged_back"),
    ("paid", "refunded", "paid"),
    ("paid", "chargeback", "paid"),
    ("paid", "reinstated", "paid"),
];

#[derive(Debug, Default)]
pub struct Rows {
    pub counts: Counts<Row>,
}

/// What is known of a commission besides its event.
#[derive(Debug, Clone, Copy)]
pub struct About {
    /// What a person asked for, where the event is of that.
    pub asked: Option<CommandKind>,
    pub is_split: bool,
    /// How its time was counted.
    pub release: ReleaseMode,
}

/// The event's name in the table.
fn what(event: &CommissionEvent, about: About) -> &'static str {
    use CommissionEventKind::{Approved, Created, HoldReleased, Rejected, Review};
    let takes = event.gross.0 < 0;
    let repays = event.postings.iter().any(|leg| leg.account == Account::Debt && leg.amount.0 > 0);
    let origin = event.terms.as_ref().map(|terms| terms.origin);
    let is_no_sale =
        ["lead:", "signup:", "click:"].iter().any(|kind| event.sale.external_id.starts_with(kind));
    match (event.kind, about.asked) {
        (Created, _) if takes => "created: takes money",
        (Created, _) if origin != Some(Origin::Conversion) => "created: a bonus",
        (Created, _) if is_no_sale => "created: no sale",
        (Created, _) if about.is_split => "created: a part of a split",
        (Review, Some(_)) => "held by a person",
        (Review, None) if event.reason.starts_with("dispute:") => "held: dispute",
        (Review, None) if event.reason.starts_with("cancelled_") => "held: subscription over",
        (Review, None) if event.reason == "partner_suspended" => "held: partner suspended",
        (HoldReleased, Some(CommandKind::Approve)) => "released by who approves",
        (HoldReleased, Some(_)) => "released by a person",
        (HoldReleased, None) if event.reason == "partner_suspended" => "released: partner active",
        (HoldReleased, None) if event.reason.starts_with("dispute:") => "released: dispute decided",
        (Approved, _) if takes => "approved: takes money",
        (Approved, _) if repays => "approved, a debt first",
        (Approved, None) => "approved by a tick",
        (Approved, Some(_)) => "approved by a person",
        (Rejected, _) if takes => "rejected: took money",
        (CommissionEventKind::Reinstated, Some(_)) if takes => "reinstated: takes money",
        (CommissionEventKind::Reinstated, Some(_)) => "reinstated by a person",
        (kind, _) => kind.name(),
    }
}

impl Rows {
    /// Counts an event; whether the table has its row.
    pub fn count(&mut self, from: &'static str, event: &CommissionEvent, about: About) -> bool {
        let repays = event.postings.iter().any(|leg| leg.account == Account::Debt && leg.amount.0 > 0);
        let holds = |kind: &str| event.holds.iter().any(|hold| hold.starts_with(kind));
        let is_created = event.kind == CommissionEventKind::Created;
        let by_calendar = about.release == ReleaseMode::Calendar;
        let part = match event.kind {
            CommissionEventKind::Refunded => "a part: refunded",
            CommissionEventKind::Chargeback => "a part: chargeback",
            _ => "a part: money returns",
        };
        let moves = event.delta.0 != 0 && about.asked.is_none();
        for (is_so, row) in [
            (
                repays && ["refunded", "charged_back"].contains(&from),
                ("(an end)", "back, a debt first", "(any)"),
            ),
            (repays && from == "rejected", ("rejected", "back, a debt first", "(any)")),
            (about.is_split && moves && !is_created, ("(any)", part, "(any)")),
            (is_created && holds("fraud:"), ("-", "created: a check failed", "review")),
            (is_created && holds("cancelled_"), ("-", "created: subscription was over", "review")),
            (
                event.status == CommissionStatus::Approved && from == "pending" && by_calendar,
                ("pending", "approved: held to a month's end", "approved"),
            ),
        ] {
            if is_so {
                self.counts.add(row);
            }
        }
        let row = (from, what(event, about), event.status.name());
        self.counts.add(row);
        TABLE.contains(&row) || ALSO.contains(&row) || about.is_split && OF_PARTS.contains(&row)
    }

    /// A refund or dispute named a commission that none can take anything of.
    pub fn nothing_taken(&mut self) {
        self.counts.add(("(no sale)", "a refund or dispute is told", "(the same)"));
    }
}

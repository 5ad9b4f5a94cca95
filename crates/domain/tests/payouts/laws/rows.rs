//! How often each row of the state tables was taken.
use super::counts::{Counts, Row};
use tributary_domain::commission::{
    Account, CommissionEvent, CommissionEventKind, PayoutEvent, PayoutEventKind,
};

/// Every run must take each of these often enough. The rows of commissions that have nothing to do with payouts are
/// among the laws of the ledger.
pub const TABLE: [Row; 80] = [
    ("approved", "locked", "locked"),
    ("approved", "locked, with nothing to pay", "locked"),
    ("(an end)", "locked: more of it", "(the same)"),
    ("paid", "locked: more of it", "paid"),
    ("locked", "paid", "paid"),
    ("(an end)", "paid: more of it", "(the same)"),
    ("paid", "paid: more of it", "paid"),
    ("locked", "payout_failed", "approved"),
    ("locked", "payout_failed", "refunded"),
    ("locked", "payout_failed", "charged_back"),
    ("locked", "payout_failed, a debt first", "(any)"),
    ("paid", "payout_failed: more of it", "paid"),
    ("paid", "payout_returned", "approved"),
    ("paid", "payout_returned", "refunded"),
    ("paid", "payout_returned", "charged_back"),
    ("paid", "payout_returned, a debt first", "(any)"),
    ("paid", "payout_returned: more of it", "paid"),
    ("locked", "refunded", "locked"),
    ("locked", "chargeback", "locked"),
    ("locked", "reinstated", "locked"),
    ("paid", "refunded", "paid"),
    ("paid", "chargeback", "paid"),
    ("paid", "reinstated", "paid"),
    ("approved", "held: no rate", "review"),
    ("review", "released: a rate", "pending"),
    ("review", "released: a rate", "review"),
    ("approved", "held: dispute, after a payout", "review"),
    ("approved", "held: partner suspended, after a payout", "review"),
    ("-", "an offset", "-"),
    ("-", "an offset is undone", "-"),
    ("-", "written off: all of it", "-"),
    ("-", "written off: part of it", "-"),
    ("-", "a write-off is declined: no_debt", "-"),
    ("-", "a write-off is declined: more_than_debt", "-"),
    ("-", "a write-off is declined: bad_amount", "-"),
    ("-", "a write-off is declined: reason_required", "-"),
    ("-", "a write-off is declined: actor_required", "-"),
    ("-", "a rate", "-"),
    ("-", "a rate is declined: bad_rate", "-"),
    ("-", "drafted by a person", "drafted"),
    ("-", "drafted by a schedule", "drafted"),
    ("-", "drafted, converted", "drafted"),
    ("-", "drafted, with a residue", "drafted"),
    ("-", "drafted, below the minimum", "drafted"),
    ("-", "drafted, after a return", "drafted"),
    ("drafted", "settled", "settled"),
    ("drafted", "failed", "failed"),
    ("settled", "returned", "returned"),
    ("-", "a draft is declined: currency_required", "-"),
    ("-", "a draft is declined: partner_suspended", "-"),
    ("-", "a draft is declined: debt", "-"),
    ("-", "a draft is declined: nothing_payable", "-"),
    ("-", "a draft is declined: below_minimum", "-"),
    ("-", "a draft is declined: no_rate", "-"),
    ("-", "a twin of a draft", "-"),
    ("-", "a twin of a settle", "-"),
    ("-", "a twin of a fail", "-"),
    ("-", "a twin of a return", "-"),
    ("-", "a twin of another command", "-"),
    ("settled", "declined: settle", "settled"),
    ("failed", "declined: settle", "failed"),
    ("returned", "declined: settle", "returned"),
    ("settled", "declined: fail", "settled"),
    ("failed", "declined: fail", "failed"),
    ("returned", "declined: fail", "returned"),
    ("drafted", "declined: return", "drafted"),
    ("failed", "declined: return", "failed"),
    ("returned", "declined: return", "returned"),
    ("-", "declined: unknown_payout", "-"),
    ("-", "declined: wrong_amount", "-"),
    ("-", "declined: wrong_currency", "-"),
    ("-", "declined: reason_required", "-"),
    ("-", "declined: actor_required", "-"),
    ("-", "a schedule: due, and drafted", "-"),
    ("-", "a schedule: due, and nothing to draft", "-"),
    ("-", "a schedule: due, and below the minimum", "-"),
    ("-", "a schedule: due, and owes", "-"),
    ("-", "a schedule: due, and suspended", "-"),
    ("-", "a schedule: due, and no rate", "-"),
    ("-", "a schedule: due, with several since", "-"),
];

#[derive(Debug, Default)]
pub struct Rows {
    pub counts: Counts<Row>,
    /// The last event was of a payout that failed or came back.
    after_payout: bool,
}

const ENDS: [&str; 3] = ["rejected", "refunded", "charged_back"];

/// The event's name in the table, where the table is about it.
fn what(from: &str, event: &CommissionEvent, after_payout: bool) -> Option<&'static str> {
    use CommissionEventKind as Kind;
    let is_first = event.kind == Kind::Locked && from == "approved" && event.status.name() == "locked"
        || event.kind != Kind::Locked && from != event.status.name();
    let is_idle = event.postings.is_empty();
    let named = |hold: &str| event.reason.contains(hold);
    Some(match event.kind {
        Kind::Locked if !is_first => "locked: more of it",
        Kind::Locked if is_idle => "locked, with nothing to pay",
        Kind::Locked => "locked",
        Kind::Paid if !is_first => "paid: more of it",
        Kind::Paid => "paid",
        Kind::PayoutFailed if !is_first => "payout_failed: more of it",
        Kind::PayoutFailed => "payout_failed",
        Kind::PayoutReturned if !is_first => "payout_returned: more of it",
        Kind::PayoutReturned => "payout_returned",
        Kind::Review if named("fx_missing") => "held: no rate",
        Kind::HoldReleased if named("fx_missing") && event.actor == "system" => "released: a rate",
        Kind::Review if after_payout && named("dispute:") => "held: dispute, after a payout",
        Kind::Review if after_payout && named("partner_suspended") => {
            "held: partner suspended, after a payout"
        }
        kind if ["locked", "paid"].contains(&from) => kind.name(),
        _ => return None,
    })
}

impl Rows {
    /// Another frame begins.
    pub const fn frame(&mut self) {
        self.after_payout = false;
    }

    /// Counts an event; whether the table has its row.
    pub fn count(&mut self, from: &'static str, event: &CommissionEvent) -> bool {
        let after_payout = self.after_payout;
        let is_end =
            matches!(event.kind, CommissionEventKind::PayoutFailed | CommissionEventKind::PayoutReturned);
        self.after_payout = is_end || after_payout && event.kind == CommissionEventKind::Review;
        let to = event.status.name();
        let Some(what) = what(from, event, after_payout) else {
            return !["locked", "paid"].contains(&to);
        };
        let repays = event.postings.iter().any(|leg| leg.account == Account::Debt && leg.amount.0 > 0);
        match (repays, what) {
            (true, "payout_failed") => self.counts.add(("locked", "payout_failed, a debt first", "(any)")),
            (true, "payout_returned") => self.counts.add(("paid", "payout_returned, a debt first", "(any)")),
            _ => {}
        }
        let row = if ENDS.contains(&from) && from == to {
            ("(an end)", what, "(the same)")
        } else {
            (from, what, to)
        };
        self.counts.add(row);
        let more = what.ends_with(": more of it") && from == to;
        more || TABLE.contains(&row)
    }

    /// Counts an event of a payout; whether the table has its row.
    pub fn count_payout(&mut self, from: Option<PayoutEventKind>, event: &PayoutEvent) -> bool {
        let from = from.map_or("-", PayoutEventKind::name);
        if event.kind != PayoutEventKind::Drafted {
            let row = (from, event.kind.name(), event.kind.name());
            self.counts.add(row);
            return TABLE.contains(&row);
        }
        let by_schedule = event.actor == "schedule";
        self.counts.add((
            "-",
            if by_schedule { "drafted by a schedule" } else { "drafted by a person" },
            "drafted",
        ));
        if event.currency != event.paid_currency {
            self.counts.add(("-", "drafted, converted", "drafted"));
        }
        if !event.postings.is_empty() {
            self.counts.add(("-", "drafted, with a residue", "drafted"));
        }
        from == "-" && by_schedule == event.cause.is_none()
    }

    pub fn count_offset(&mut self, amount: i128) {
        self.counts.add(("-", if amount > 0 { "an offset" } else { "an offset is undone" }, "-"));
    }

    /// Counts what else happened, by the words of the table: those that it has not are no rows.
    pub fn say(&mut self, from: &str, what: &str) {
        let to = ["drafted", "settled"].map(|kind| what.starts_with(kind).then_some(kind));
        let to = to.into_iter().flatten().next().unwrap_or(from);
        let row = TABLE.iter().find(|row| row.0 == from && row.1 == what && row.2 == to);
        if let Some(row) = row {
            self.counts.add(*row);
        }
    }
}

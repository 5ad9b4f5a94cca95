//! The laws that events must keep by themselves, on a fold of them that nobody else uses.
use super::law::{Broken, law};
use super::rows::Rows;
use super::sheets::{self, Sheets, account, net, sums_to_zero, whole};
use std::collections::{BTreeMap, BTreeSet};
use tributary_domain::commission::{
    Account, CommissionEvent, CommissionEventKind, CommissionStatus, CommissionsEvent, PayoutEvent,
    PayoutEventKind, PayoutLine, Posting, RateRecorded,
};
use tributary_domain::ids::{CommissionId, PayoutId};
use tributary_domain::money::Currency;
use tributary_domain::time::Micros;

mod debts;

/// A payout as its events say.
#[derive(Debug)]
pub struct PayoutBook {
    pub drafted: PayoutEvent,
    pub status: PayoutEventKind,
}

/// What stands for a commission in what is available (above 0) or owed (below 0).
#[derive(Debug, Default)]
struct Stands {
    amount: i128,
    /// When it was payable first.
    payable_since: Option<Micros>,
    owed_since: Micros,
}

#[derive(Debug, Default)]
pub struct Books {
    pub sheets: Sheets,
    /// The last event of each commission.
    pub last: BTreeMap<CommissionId, CommissionEvent>,
    pub payouts: BTreeMap<PayoutId, PayoutBook>,
    stands: BTreeMap<CommissionId, Stands>,
    /// Each commission's offsets, the oldest first: whose debt, how much.
    offsets: BTreeMap<CommissionId, Vec<(CommissionId, i128)>>,
    /// What write-offs took of what each owed.
    given_up: BTreeMap<CommissionId, i128>,
    rates: BTreeMap<(Currency, Currency), RateRecorded>,
    /// Lines of the frame at hand whose commission has not said so yet, and those of commissions that said so.
    open: BTreeSet<(PayoutId, CommissionId)>,
}

/// What an event's legs put into one account.
fn into(event: &CommissionEvent, account: Account) -> i128 {
    let legs = event.postings.iter().filter(|leg| leg.account == account);
    legs.map(|leg| i128::from(leg.amount.0)).sum()
}

impl Books {
    /// Folds the events of one step of a frame.
    pub fn frame(
        &mut self,
        clock: Micros,
        events: &[CommissionsEvent],
        rows: &mut Rows,
    ) -> Result<(), Broken> {
        rows.frame();
        for event in events {
            match event {
                CommissionsEvent::Commission(event) => self.commission(clock, event, rows)?,
                CommissionsEvent::Payout(event) => self.payout(event, rows)?,
                CommissionsEvent::Offset(event) => self.offset(clock, event, rows)?,
                CommissionsEvent::WrittenOff(event) => self.written_off(clock, event)?,
                CommissionsEvent::Rate(event) => {
                    self.rates.insert((event.rate.from, event.rate.to), event.clone());
                }
                _ => {}
            }
        }
        law!(
            "8: each line is said of its commission, in the same frame",
            self.open.is_empty(),
            "{:#?}",
            self.open
        );
        Ok(())
    }

    fn commission(&mut self, clock: Micros, event: &CommissionEvent, rows: &mut Rows) -> Result<(), Broken> {
        sheets::numbers(self.last.get(&event.id), event)?;
        sheets::holds(event)?;
        self.postings(event)?;
        self.line_of(event)?;
        self.moved(clock, &event.id, into(event, Account::Available) + into(event, Account::Debt));
        let stands = self.stands.entry(event.id.clone()).or_default();
        if stands.amount > 0 || event.status == CommissionStatus::Approved && event.gross.0 > 0 {
            stands.payable_since.get_or_insert(clock);
        }
        let from = self.last.get(&event.id).map_or("-", |last| last.status.name());
        law!("the state table: there is such a row", rows.count(from, event), "from {from}: {event:#?}");
        self.last.insert(event.id.clone(), event.clone());
        Ok(())
    }

    /// Folds the legs.
    fn postings(&mut self, event: &CommissionEvent) -> Result<(), Broken> {
        sheets::legs(event)?;
        let is_loss = event
            .postings
            .iter()
            .any(|leg| matches!(leg.account, Account::ProgramLoss | Account::FxRounding));
        law!("only write-offs and drafts touch the program's losses", !is_loss, "{event:#?}");
        let paid = into(event, Account::PaidOut);
        law!(
            "12: paid out falls only by a return",
            paid >= 0 || event.kind == CommissionEventKind::PayoutReturned,
            "{event:#?}"
        );
        law!(
            "paid out rises only by a settlement",
            paid <= 0 || event.kind == CommissionEventKind::Paid,
            "{event:#?}"
        );
        self.sheets.post(account(event), &event.postings, event)
    }

    /// An event about a payout moves exactly the line.
    fn line_of(&mut self, event: &CommissionEvent) -> Result<(), Broken> {
        use CommissionEventKind::{Locked, Paid, PayoutFailed, PayoutReturned};
        let is_about = matches!(event.kind, Locked | Paid | PayoutFailed | PayoutReturned);
        law!("only events of payouts name one", is_about == event.payout.is_some(), "{event:#?}");
        let Some(id) = event.payout.as_ref() else {
            law!("only payouts move what is in flight", into(event, Account::InFlight) == 0, "{event:#?}");
            return Ok(());
        };
        law!("8: a line is said once", self.open.remove(&(id.clone(), event.id.clone())), "{event:#?}");
        let book = &self.payouts[id];
        let line = book.drafted.lines.iter().find(|line| line.commission == event.id).unwrap();
        let amount = i128::from(line.amount.0);
        let available = into(event, Account::Available) + into(event, Account::Debt);
        let moves = (available, into(event, Account::InFlight), into(event, Account::PaidOut));
        let expected = match event.kind {
            Locked => (-amount, amount, 0),
            Paid => (0, -amount, amount),
            PayoutFailed => (amount, -amount, 0),
            _ => (amount, 0, -amount),
        };
        law!(
            "a payout's event moves its line",
            moves == expected && net(event) == net(&self.last[&event.id]),
            "{event:#?}"
        );
        Ok(())
    }

    fn payout(&mut self, event: &PayoutEvent, rows: &mut Rows) -> Result<(), Broken> {
        let from = self.payouts.get(&event.id).map(|book| book.status);
        law!(
            "the table of payouts: there is such a row",
            rows.count_payout(from, event),
            "from {from:?}: {event:#?}"
        );
        if event.kind == PayoutEventKind::Drafted {
            self.drafted(event)?;
        } else {
            let first = &self.payouts[&event.id].drafted;
            let same = (
                &event.program,
                &event.partner,
                event.currency,
                event.total,
                event.paid_currency,
                event.paid,
            ) == (
                &first.program,
                &first.partner,
                first.currency,
                first.total,
                first.paid_currency,
                first.paid,
            );
            law!(
                "a payout says the same for ever",
                same && event.lines.is_empty() && event.postings.is_empty(),
                "{event:#?}, not {first:#?}"
            );
        }
        let book = self.payouts.get_mut(&event.id).unwrap();
        book.status = event.kind;
        let lines = book.drafted.lines.iter().map(|line| (event.id.clone(), line.commission.clone()));
        self.open.extend(lines);
        Ok(())
    }

    fn drafted(&mut self, event: &PayoutEvent) -> Result<(), Broken> {
        let sum =
            |of: fn(&PayoutLine) -> i64| event.lines.iter().map(|line| i128::from(of(line))).sum::<i128>();
        let (total, paid) = (i128::from(event.total.0), i128::from(event.paid.0));
        law!(
            "8: a payout is the sum of its lines",
            total == sum(|line| line.amount.0) && paid == sum(|line| line.paid.0),
            "{event:#?}"
        );
        law!("a payout pays something", total > 0 && paid > 0, "{event:#?}");
        for line in &event.lines {
            let in_flight = self.payouts.values().find(|book| {
                book.status == PayoutEventKind::Drafted
                    && book.drafted.lines.iter().any(|other| other.commission == line.commission)
            });
            law!("8: a line is in one live payout", in_flight.is_none(), "{line:#?} is in {in_flight:#?}");
            let stands = self.stands(&line.commission);
            law!(
                "a line is what stands for its commission",
                i128::from(line.amount.0) == stands,
                "{line:#?}, not {stands}"
            );
            let last = &self.last[&line.commission];
            let is_own = last.partner == event.partner
                && last.currency == event.currency
                && last.program == event.program;
            law!("a payout pays one balance", is_own, "{event:#?}: {last:#?}");
        }
        let different: BTreeSet<_> = event.lines.iter().map(|line| &line.commission).collect();
        law!("8: a commission has one line", different.len() == event.lines.len(), "{event:#?}");
        self.residue(event)?;
        let book = PayoutBook { drafted: event.clone(), status: PayoutEventKind::Drafted };
        self.payouts.insert(event.id.clone(), book);
        Ok(())
    }

    /// What a draft posts is in what is paid, between expense and rounding; whether it is the right amount, the model says.
    fn residue(&self, event: &PayoutEvent) -> Result<(), Broken> {
        let known = self.rates.get(&(event.currency, event.paid_currency)).map(|recorded| &recorded.rate.id);
        let is_same = event.currency == event.paid_currency;
        law!(
            "a payout is converted by the last rate of its currencies",
            event.rate.as_ref() == known.filter(|_| !is_same),
            "{event:#?}"
        );
        law!(
            "what is not converted is paid as it is",
            !is_same || event.paid == event.total && event.postings.is_empty(),
            "{event:#?}"
        );
        law!("1: the postings of a payout sum to 0", sums_to_zero(&event.postings), "{event:#?}");
        let is_residue = |leg: &Posting| {
            leg.currency == event.paid_currency
                && matches!(leg.account, Account::Expense | Account::FxRounding)
        };
        law!(
            "11: a residue is in what is paid, between expense and rounding",
            event.postings.iter().all(is_residue),
            "{event:#?}"
        );
        Ok(())
    }

    /// Between frames: the buckets are the sum of N; what is payable is what stands for commissions; no debt is left beside
    /// what could pay it.
    pub fn sums(&self) -> Result<(), Broken> {
        let mut sums: BTreeMap<(String, String), [i128; 2]> = BTreeMap::new();
        for (id, last) in &self.last {
            let sum = sums.entry(account(last)).or_default();
            sum[0] += net(last);
            sum[1] += self.stands(id);
        }
        for (account, sheet) in &self.sheets.0 {
            let [net, stands] = sums.get(account).copied().unwrap_or_default();
            law!(
                "2: the buckets less what was written off are the sum of N",
                whole(sheet) == net,
                "{account:?}: {sheet:?}, N {net}"
            );
            law!(
                "what stands for commissions is what is available, less the debt",
                stands == sheet[2] - sheet[5],
                "{account:?}: {sheet:?}, {stands}"
            );
            let both = (self.next_payer(account), self.next_owed(account));
            law!(
                "what is payable pays what is owed",
                both.0.is_none() || both.1.is_none(),
                "{account:?}: {both:?}"
            );
        }
        self.offsets_hold()
    }
}

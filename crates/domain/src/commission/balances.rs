//! Balances and commissions as a plain fold of commission events: what `verify` compares the read model with, independent
//! of the commission service's own rows.
use super::{
    Account, CommissionEvent, CommissionEventKind, CommissionStatus, CommissionsEvent, DebtWrittenOff,
    PayoutEvent, PayoutEventKind, Posting,
};
use crate::ids::{CommissionId, PartnerId, PayoutId, ProgramId, SaleId, SourceName};
use crate::money::{AmountOutOfRange, Currency, Minor};
use crate::time::Micros;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

/// The buckets of one (program, partner, currency). What a partner is shown as payable is `available - debt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct BalanceSheet {
    /// Earned, waits for its time.
    pub pending: Minor,
    /// Earned, waits for a person or the end of a dispute.
    pub review: Minor,
    /// Payable.
    pub available: Minor,
    /// In a payout.
    pub in_flight: Minor,
    /// Paid, lifetime.
    pub paid_out: Minor,
    /// Owed by the partner.
    pub debt: Minor,
}

impl BalanceSheet {
    /// Applies one leg; legs of the program's own accounts change nothing here.
    ///
    /// # Errors
    /// [`AmountOutOfRange`].
    pub fn post(&mut self, posting: &Posting) -> Result<(), AmountOutOfRange> {
        let bucket = match posting.account {
            Account::Pending => &mut self.pending,
            Account::Review => &mut self.review,
            Account::Available => &mut self.available,
            Account::InFlight => &mut self.in_flight,
            Account::PaidOut => &mut self.paid_out,
            Account::Debt => {
                self.debt = self.debt.minus(posting.amount)?;
                return Ok(());
            }
            Account::Expense | Account::ProgramLoss | Account::FxRounding => return Ok(()),
        };
        *bucket = bucket.plus(posting.amount)?;
        Ok(())
    }

    /// The sum of N over the partner's commissions, as the buckets have it:
    /// `pending + review + available + in_flight + paid_out - debt`.
    #[must_use]
    pub fn net(&self) -> i128 {
        [self.pending, self.review, self.available, self.in_flight, self.paid_out]
            .into_iter()
            .fold(0_i128, |sum, bucket| sum.saturating_add(i128::from(bucket.0)))
            .saturating_sub(i128::from(self.debt.0))
    }

    /// The rule of the ledger that these numbers break, if any.
    #[must_use]
    pub fn broken_rule(&self) -> Option<&'static str> {
        let buckets = [self.pending, self.review, self.available, self.in_flight, self.paid_out, self.debt];
        if buckets.into_iter().any(|bucket| bucket < Minor::ZERO) {
            return Some("a bucket is negative");
        }
        (self.available > Minor::ZERO && self.debt > Minor::ZERO).then_some("available beside a debt")
    }
}

/// One line of `balances`, as every output of it has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BalanceLine {
    /// Whose program.
    pub program_id: ProgramId,
    /// Which partner.
    pub partner_id: PartnerId,
    /// Of all amounts.
    pub currency: Currency,
    /// The amounts, in minor units.
    #[serde(flatten)]
    pub sheet: BalanceSheet,
}

/// Balance sheets of all partners.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Balances(BTreeMap<ProgramId, BTreeMap<PartnerId, BTreeMap<Currency, BalanceSheet>>>);

impl Balances {
    /// Folds one event's postings.
    ///
    /// # Errors
    /// [`AmountOutOfRange`]: no event that the ledger writes leads there.
    pub fn apply(&mut self, event: &CommissionEvent) -> Result<(), AmountOutOfRange> {
        let sheets =
            self.0.entry(event.program.clone()).or_default().entry(event.partner.clone()).or_default();
        for posting in &event.postings {
            sheets.entry(posting.currency).or_default().post(posting)?;
        }
        Ok(())
    }

    /// Adds those of other programs.
    pub fn add(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Folds a write-off's postings.
    ///
    /// # Errors
    /// [`AmountOutOfRange`]: as [`Self::apply`].
    pub fn write_off(&mut self, event: &DebtWrittenOff) -> Result<(), AmountOutOfRange> {
        let sheets =
            self.0.entry(event.program.clone()).or_default().entry(event.partner.clone()).or_default();
        event
            .postings
            .iter()
            .try_for_each(|posting| sheets.entry(posting.currency).or_default().post(posting))
    }

    /// One partner's sheet.
    #[must_use]
    pub fn sheet(&self, program: &ProgramId, partner: &PartnerId, currency: Currency) -> BalanceSheet {
        let sheets = self.0.get(program).and_then(|partners| partners.get(partner));
        sheets.and_then(|sheets| sheets.get(&currency)).copied().unwrap_or_default()
    }

    /// All lines, by program, partner, currency.
    pub fn lines(&self) -> impl Iterator<Item = BalanceLine> {
        self.0.iter().flat_map(|(program, partners)| {
            partners.iter().flat_map(move |(partner, sheets)| {
                sheets.iter().map(move |(currency, sheet)| BalanceLine {
                    program_id: program.clone(),
                    partner_id: partner.clone(),
                    currency: *currency,
                    sheet: *sheet,
                })
            })
        })
    }
}

impl Balances {
    /// The rules of the ledger that the sheets break, beside the sums of all their commissions: what is wrong, and at which
    /// `program/partner/currency`. Empty: none.
    #[must_use]
    pub fn problems(&self, mut nets: Nets) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        for line in self.lines() {
            let place = format!("{}/{}/{}", line.program_id, line.partner_id, line.currency);
            problems.extend(line.sheet.broken_rule().map(|rule| (rule, place.clone())));
            let key = (line.program_id, line.partner_id, line.currency);
            if nets.0.remove(&key).unwrap_or_default() != line.sheet.net() {
                problems.push((NOT_THE_SUM, place));
            }
        }
        // Commissions that nothing was ever posted for.
        let rest = nets.0.into_iter().filter(|(_, net)| *net != 0);
        problems.extend(rest.map(|((program, partner, currency), _)| {
            (NOT_THE_SUM, format!("{program}/{partner}/{currency}"))
        }));
        problems
    }
}

const NOT_THE_SUM: &str = "the buckets are not the sum of the commissions";

/// The sum of N of each (program, partner, currency), and of what was given up of debts, added up in any order: whoever has
/// commissions one at a time needs no more memory than there are partners.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Nets(BTreeMap<(ProgramId, PartnerId, Currency), i128>);

impl Nets {
    /// Adds one commission's N, as its last event left it; or what was given up of a debt, which no N says.
    pub fn add(&mut self, program: &ProgramId, partner: &PartnerId, currency: Currency, net: Minor) {
        let sum = self.0.entry((program.clone(), partner.clone(), currency)).or_default();
        *sum = sum.saturating_add(i128::from(net.0));
    }
}

impl Serialize for Balances {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.lines())
    }
}

/// One commission as it is now: the row that the read model shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CommissionLine {
    /// The commission.
    pub commission_id: CommissionId,
    /// Whose program.
    pub program_id: ProgramId,
    /// Who earns.
    pub partner_id: PartnerId,
    /// Its conversion record.
    pub sale_id: SaleId,
    /// The sale's id at its source.
    pub external_id: String,
    /// The provider or dialect.
    pub source: SourceName,
    /// Where it stands, in the ledger's word.
    #[serde(serialize_with = "status_name")]
    pub status: CommissionStatus,
    /// Of all amounts.
    pub currency: Currency,
    /// G.
    pub gross_minor: Minor,
    /// R.
    pub reversed_minor: Minor,
    /// N = G - R.
    pub net_minor: Minor,
    /// By the log's clock, in microseconds.
    pub created_at: Micros,
    /// By the log's clock, in microseconds.
    pub updated_at: Micros,
}

fn status_name<S: Serializer>(status: &CommissionStatus, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(status.name())
}

/// Current commissions with the balances that their postings make.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ledger {
    /// Sheets of all partners.
    pub balances: Balances,
    commissions: BTreeMap<CommissionId, CommissionLine>,
    payouts: BTreeMap<PayoutId, PayoutLook>,
    /// The live payout that a commission is in: drafted and not ended.
    in_flight: BTreeMap<CommissionId, PayoutId>,
    /// What was given up of debts.
    written_off: BTreeMap<(ProgramId, PartnerId, Currency), i128>,
    /// Events that break a rule by themselves.
    broken: Vec<(&'static str, String)>,
}

/// What rules ask of a payout.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PayoutLook {
    status: PayoutEventKind,
    /// Of a live one.
    commissions: Vec<CommissionId>,
}

impl Ledger {
    /// Folds any event of a frame whose clock is `clock`.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn record(&mut self, clock: Micros, event: &CommissionsEvent) -> Result<(), AmountOutOfRange> {
        match event {
            CommissionsEvent::Commission(event) => self.apply(clock, event),
            CommissionsEvent::Payout(event) => {
                self.payout(event);
                Ok(())
            }
            CommissionsEvent::WrittenOff(event) => {
                let of = (event.program.clone(), event.partner.clone(), event.currency);
                let sum = self.written_off.entry(of).or_default();
                *sum = sum.saturating_add(i128::from(event.amount.0));
                self.balances.write_off(event)
            }
            _ => Ok(()),
        }
    }

    /// The rules of payouts: the total is the sum of the lines, a commission is in one live payout at most, and an id has one
    /// life.
    fn payout(&mut self, event: &PayoutEvent) {
        let place = event.id.to_string();
        let known = self.payouts.get(&event.id);
        let follows = match event.kind {
            PayoutEventKind::Drafted => known.is_none(),
            PayoutEventKind::Settled | PayoutEventKind::Failed => {
                known.is_some_and(|known| known.status == PayoutEventKind::Drafted)
            }
            PayoutEventKind::Returned => known.is_some_and(|known| known.status == PayoutEventKind::Settled),
        };
        if !follows {
            self.broken.push(("a payout's id was used again", place.clone()));
        }
        let mut commissions = Vec::new();
        if event.kind == PayoutEventKind::Drafted {
            let sum = |amount: fn(&super::PayoutLine) -> Minor| {
                event.lines.iter().fold(0_i128, |sum, line| sum.saturating_add(i128::from(amount(line).0)))
            };
            if sum(|line| line.amount) != i128::from(event.total.0)
                || sum(|line| line.paid) != i128::from(event.paid.0)
            {
                self.broken.push(("a payout is not the sum of its lines", place.clone()));
            }
            if !is_balanced(&event.postings) {
                self.broken.push(("the postings do not sum to 0", place));
            }
            for line in &event.lines {
                let twice = self.in_flight.insert(line.commission.clone(), event.id.clone());
                if twice.is_some() {
                    self.broken.push(("in two live payouts", line.commission.to_string()));
                }
                commissions.push(line.commission.clone());
            }
        } else if let Some(known) = known {
            for commission in &known.commissions {
                self.in_flight.remove(commission);
            }
        }
        self.payouts.insert(event.id.clone(), PayoutLook { status: event.kind, commissions });
    }

    /// What was given up of a partner's debts.
    #[must_use]
    pub fn written_off(&self, program: &ProgramId, partner: &PartnerId, currency: Currency) -> i128 {
        self.written_off.get(&(program.clone(), partner.clone(), currency)).copied().unwrap_or_default()
    }

    /// Folds one event of a frame whose clock is `clock`.
    ///
    /// # Errors
    /// [`AmountOutOfRange`]: no event that the ledger writes leads there.
    pub fn apply(&mut self, clock: Micros, event: &CommissionEvent) -> Result<(), AmountOutOfRange> {
        self.balances.apply(event)?;
        let net = event.gross.minus(event.reversed)?;
        if event.status == CommissionStatus::Approved && !event.holds.is_empty() {
            self.broken.push(("approved with a hold", event.id.to_string()));
        }
        if event.kind == CommissionEventKind::Created {
            let line = CommissionLine {
                commission_id: event.id.clone(),
                program_id: event.program.clone(),
                partner_id: event.partner.clone(),
                sale_id: event.sale_id.clone(),
                external_id: event.sale.external_id.clone(),
                source: event.sale.source.clone(),
                status: event.status,
                currency: event.currency,
                gross_minor: event.gross,
                reversed_minor: event.reversed,
                net_minor: net,
                created_at: clock,
                updated_at: clock,
            };
            self.commissions.insert(event.id.clone(), line);
        } else if let Some(line) = self.commissions.get_mut(&event.id) {
            line.status = event.status;
            line.gross_minor = event.gross;
            line.reversed_minor = event.reversed;
            line.net_minor = net;
            line.updated_at = clock;
        }
        Ok(())
    }

    /// All commissions, by id.
    pub fn commissions(&self) -> impl Iterator<Item = &CommissionLine> {
        self.commissions.values()
    }

    /// One commission.
    #[must_use]
    pub fn commission(&self, id: &CommissionId) -> Option<&CommissionLine> {
        self.commissions.get(id)
    }

    /// The rules of the ledger that the fold breaks: what is wrong, and where (`program/partner/currency`, or
    /// the commission). Empty: none.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut nets = Nets::default();
        for line in self.commissions.values() {
            nets.add(&line.program_id, &line.partner_id, line.currency, line.net_minor);
        }
        let mut problems = self.broken.clone();
        for (of, given_up) in &self.written_off {
            let sum = nets.0.entry(of.clone()).or_default();
            *sum = sum.saturating_add(*given_up);
        }
        problems.extend(self.balances.problems(nets));
        problems
    }
}

/// Whether the legs sum to 0 for each of their currencies.
#[must_use]
pub fn is_balanced(postings: &[Posting]) -> bool {
    postings.iter().all(|of| {
        let same = postings.iter().filter(|posting| posting.currency == of.currency);
        same.fold(0_i128, |sum, posting| sum.saturating_add(i128::from(posting.amount.0))) == 0
    })
}

//! A commission is priced again: the terms of an accepted forecast replace those that it froze. It is an event like any other,
//! with the difference in N; what was is never rewritten.
use super::command::Declined;
use super::decide::{After, Change, Desk};
use super::holds::{PARTNER_SUSPENDED, TIME, with};
use super::live::outcome;
use super::postings::{Bucket, Legs};
use super::reversal::{end_of, is_end, status_of};
use super::state::{BalanceRow, CommissionRow};
use super::{
    CapUse, CommissionEvent, CommissionEventKind, CommissionStatus, CommissionsEvent, Origin, SaleRecorded,
    Terms,
};
use crate::attribution::SaleKey;
use crate::facts::{Command, Fact, Reprice};
use crate::ids::CommissionId;
use crate::money::{AmountOutOfRange, Minor};

/// Something is no longer as the forecast had it.
const MOVED: Declined = "moved";

impl Desk<'_> {
    /// Where the commission stands that a reprice would create; other commands are about known ones.
    pub(super) fn place_of_new(&mut self, fact: &Fact, command: &Command) -> Option<SaleKey> {
        let sale = command.reprice.as_deref()?.sale.clone();
        self.row(&fact.program, &sale).sale.is_some().then_some(sale)
    }

    /// Replaces the terms of a commission, or creates one for a sale that had none.
    pub(super) fn reprice(&mut self, fact: &Fact, key: &SaleKey, command: &Command) -> Result<(), Declined> {
        let reprice = command.reprice.as_deref().ok_or("bad_reprice")?;
        let fits = (Minor::ZERO..=reprice.gross).contains(&reprice.net)
            && reprice.terms.origin == Origin::Conversion
            && *key == reprice.sale;
        if !fits {
            return Err("bad_reprice");
        }
        let row = self.row(&fact.program, key);
        if row.root.is_some() {
            return Err("same_payment");
        }
        let sale = row.sale.clone().ok_or("unknown_commission")?;
        match row.commission(&command.commission).cloned() {
            Some(known) => self.reprice_known(fact, key, command, reprice, (&sale, &known)),
            None => self.reprice_new(fact, command, reprice, sale),
        }
    }

    fn reprice_known(
        &mut self,
        fact: &Fact,
        key: &SaleKey,
        command: &Command,
        reprice: &Reprice,
        (sale, known): (&SaleRecorded, &CommissionRow),
    ) -> Result<(), Declined> {
        if known.status == CommissionStatus::Rejected || known.terms.origin != Origin::Conversion {
            return Err("wrong_status");
        }
        if known.currency != reprice.currency {
            return Err("other_currency");
        }
        if known.gross.minus(known.reversed).ok() != Some(reprice.expected_net) {
            return Err(MOVED);
        }
        if reprice.gross > known.gross {
            let more = reprice.gross.minus(known.gross).map_err(|_| "amount_out_of_range")?;
            self.can_be_granted(&fact.program, &known.partner, known.currency, more)?;
        }
        let mut then = known.clone();
        then.terms = reprice.terms.clone();
        then.gross = reprice.gross;
        let set = outcome(sale, &then, &self.row(&fact.program, key).reversals);
        let set = set.map_err(|_| "amount_out_of_range")?;
        if set.net != reprice.net {
            return Err(MOVED);
        }
        let from = known.status;
        let (to, holds) = match end_of(from, set) {
            Some(end) if end == from => (end, known.holds.clone()),
            Some(end) => (end, Vec::new()),
            None if is_end(from) => self.returning(&fact.program, key, &known.id),
            None => (from, known.holds.clone()),
        };
        let event = self.repriced(fact, key, command, reprice, (to, holds));
        self.emit(CommissionsEvent::Commission(event.map_err(|_| "amount_out_of_range")?));
        Ok(())
    }

    /// The event, with the difference in N: where N falls as after a refund, where it rises as after a reinstatement.
    fn repriced(
        &mut self,
        fact: &Fact,
        key: &SaleKey,
        command: &Command,
        reprice: &Reprice,
        (to, holds): (CommissionStatus, Vec<String>),
    ) -> Result<CommissionEvent, AmountOutOfRange> {
        let row = self.row(&fact.program, key);
        let change = Change::of(&fact.program, key, row, &command.commission, Some(&fact.event));
        let change = change.ok_or(AmountOutOfRange)?;
        let (from, delta) = (change.status, reprice.net.minus(reprice.expected_net)?);
        let mut legs = change.legs(self);
        if delta < Minor::ZERO {
            let loses = delta.negated()?;
            legs.expense(loses);
            legs.take(Bucket::of(from), loses, change.held)?;
        } else if delta > Minor::ZERO {
            legs.expense(delta.negated()?);
            if is_end(from) {
                legs.give_debt_first(Bucket::of(to), delta)?;
            } else {
                legs.give(Bucket::of(to), delta)?;
            }
        }
        let reversed = reprice.gross.minus(reprice.net)?;
        let (reason, actor) = (command.reason.clone(), command.actor.clone());
        let after = After { status: to, reversed, postings: legs.finish(), reason, actor, holds };
        let event = change.event(CommissionEventKind::Repriced, after)?;
        Ok(CommissionEvent { gross: reprice.gross, delta, terms: Some(reprice.terms.clone()), ..event })
    }

    /// A commission that the sale did not earn when it was recorded.
    fn reprice_new(
        &mut self,
        fact: &Fact,
        command: &Command,
        reprice: &Reprice,
        sale: SaleRecorded,
    ) -> Result<(), Declined> {
        let place = reprice.terms.split.as_ref().map_or(0, |split| split.part);
        let earns = match usize::try_from(place).ok().and_then(|place| sale.shares.get(place)) {
            Some(share) => share.partner == reprice.partner,
            None => sale.shares.is_empty() && sale.partner.as_ref() == Some(&reprice.partner),
        };
        if !earns || CommissionId::derive(&sale.id, &reprice.partner, place) != command.commission {
            return Err("unknown_commission");
        }
        if reprice.expected_net != Minor::ZERO || reprice.net == Minor::ZERO {
            return Err(MOVED);
        }
        self.can_be_granted(&fact.program, &reprice.partner, reprice.currency, reprice.gross)?;
        let created = self.created_by(fact, command, reprice, &sale).map_err(|_| "amount_out_of_range")?;
        let (program, key) = (fact.program.clone(), sale.sale.clone());
        if !sale.reason.is_empty() {
            // The conversion record said why nobody earned.
            self.emit(CommissionsEvent::Sale(SaleRecorded { reason: String::new(), late: true, ..sale }));
        }
        self.emit(CommissionsEvent::Commission(created));
        if !self.row(&program, &key).reversals.is_empty() {
            self.settle(&program, &key, &fact.event, None);
        }
        let now = self.row(&program, &key).commission(&command.commission);
        let net = now.and_then(|now| now.gross.minus(now.reversed).ok());
        if net == Some(reprice.net) { Ok(()) } else { Err(MOVED) }
    }

    fn created_by(
        &mut self,
        fact: &Fact,
        command: &Command,
        reprice: &Reprice,
        sale: &SaleRecorded,
    ) -> Result<CommissionEvent, AmountOutOfRange> {
        let mut holds = self.holds_of_new(sale);
        holds.push(TIME.to_owned());
        if !self.book().partner(&fact.program, &reprice.partner).active {
            holds.push(PARTNER_SUSPENDED.to_owned());
        }
        let holds = with(&holds, &[]);
        let status = status_of(&holds, CommissionStatus::Pending);
        let mut legs = Legs::new(reprice.currency, BalanceRow::default());
        legs.expense(reprice.gross.negated()?);
        legs.give(Bucket::of(status), reprice.gross)?;
        let hold_until = reprice.terms.hold_until.max(self.clock);
        Ok(CommissionEvent {
            id: command.commission.clone(),
            program: fact.program.clone(),
            partner: reprice.partner.clone(),
            sale_id: sale.id.clone(),
            sale: sale.sale.clone(),
            kind: CommissionEventKind::Created,
            status,
            currency: reprice.currency,
            gross: reprice.gross,
            reversed: Minor::ZERO,
            delta: reprice.gross,
            postings: legs.finish(),
            cause: Some(fact.event.clone()),
            reason: command.reason.clone(),
            actor: command.actor.clone(),
            terms: Some(Terms { hold_until, ..reprice.terms.clone() }),
            holds,
            payout: None,
        })
    }
}

/// What the fold of an event changes beside the row: how far caps are used, and what was granted.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// By cap, what its use changes by.
    pub(super) caps: Vec<(CapUse, Minor)>,
    /// What the sum of all G rises by.
    pub(super) granted: i128,
}

/// Puts the event's numbers, and where it is priced again its terms, into the row.
pub(super) fn fold(commission: &mut CommissionRow, event: &CommissionEvent) -> Counted {
    let terms = event.terms.as_ref().filter(|_| event.kind == CommissionEventKind::Repriced);
    let Some(terms) = terms else {
        let caps = commission.terms.caps.iter().filter(|_| event.delta != Minor::ZERO);
        return Counted { caps: caps.map(|cap| (cap.clone(), event.delta)).collect(), granted: 0 };
    };
    // 0 <= R <= G, before and after: neither difference can overflow.
    let before = commission.gross.minus(commission.reversed).unwrap_or_default();
    let after = event.gross.minus(event.reversed).unwrap_or_default();
    let gone = commission.terms.caps.iter().map(|cap| (cap.clone(), Minor(before.0.saturating_neg())));
    let come = terms.caps.iter().map(|cap| (cap.clone(), after));
    let caps = gone.chain(come).filter(|(_, amount)| *amount != Minor::ZERO).collect();
    let more = i128::from(event.gross.0).saturating_sub(i128::from(commission.gross.0));
    commission.gross = event.gross;
    commission.terms = terms.clone();
    Counted { caps, granted: more.max(0) }
}

/// The terms of a commission that the rules of a forecast do not give: it keeps its
/// place, and is worth nothing.
pub(super) fn worthless(terms: &Terms) -> Terms {
    let mut terms = terms.clone();
    for slice in &mut terms.slices {
        slice.rate = crate::money::RatePpm::default();
        slice.rule = None;
    }
    terms.flat = None;
    terms.caps = Vec::new();
    terms.uncapped = Minor::ZERO;
    terms.considered = Vec::new();
    terms.considered_more = 0;
    if let Some(split) = &mut terms.split {
        split.whole = Minor::ZERO;
    }
    terms
}

/// Whether the event makes its commission's row.
pub(super) fn is_new(event: &CommissionEvent) -> bool {
    event.terms.is_some() && event.kind != CommissionEventKind::Repriced
}

//! Drafts: everything payable of a balance becomes a payout, and is locked.
use super::offset::OFFSETS_PER_STEP;
use super::rows::{Class, Holder, Place};
use crate::commission::command::Declined;
use crate::commission::decide::{After, Change, Desk};
use crate::commission::{
    Account, CommissionEvent, CommissionEventKind, CommissionStatus, CommissionsEvent, MAX_PAYOUT_LINES,
    PayoutEvent, PayoutEventKind, PayoutLine, Posting,
};
use crate::ids::{EventId, PayoutId, RateId};
use crate::money::{AmountOutOfRange, Currency, Minor, Rounding};
use crate::payouts::Rate;

/// A payout to be drafted.
pub(super) struct Draft<'a> {
    pub(super) holder: Holder,
    pub(super) id: PayoutId,
    pub(super) ignore_minimum: bool,
    /// `None`: a schedule.
    pub(super) cause: Option<&'a EventId>,
    pub(super) reference: &'a str,
    pub(super) reason: &'a str,
    pub(super) actor: &'a str,
}

/// What became of a draft that was not declined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drafted {
    /// There are offsets to make first, and this step has made its part of them.
    Unfinished,
    /// It is drafted, with so many lines.
    Done {
        /// How many.
        lines: usize,
    },
    /// There is no rate: its commissions are held.
    NoRate,
}

/// What the lines of a payout are paid as.
struct Conversion {
    rate: Option<RateId>,
    currency: Currency,
    total: Minor,
    paid: Minor,
    /// What rounding line by line left over.
    residue: Minor,
}

impl Desk<'_> {
    /// Drafts a payout. Declined: nothing was emitted but offsets.
    pub(super) fn draft(&mut self, draft: &Draft<'_>) -> Result<Drafted, Declined> {
        let holder = &draft.holder;
        let settings = self.book().program(&holder.program).settings.ok_or("no_program")?;
        if !self.book().partner(&holder.program, &holder.partner).active {
            return Err("partner_suspended");
        }
        let made = self.offset(holder, draft.cause, OFFSETS_PER_STEP);
        if made > 0 && self.can_offset(holder) {
            return Ok(Drafted::Unfinished);
        }
        let balance = self.balance(&holder.program, &holder.partner, holder.currency);
        if balance.debt > 0 {
            return Err("debt");
        }
        let (places, mut lines) = self.lines_of(holder);
        let total = sum(&lines, |line| line.amount).map_err(|_| "amount_out_of_range")?;
        if total <= Minor::ZERO {
            return Err("nothing_payable");
        }
        let terms = self.book().terms(&holder.program, &holder.partner);
        let minimum = terms.minimum(holder.currency);
        // Of a balance with more commissions than a payout has lines, what is left counts too.
        let is_part = lines.len() == MAX_PAYOUT_LINES && balance.available >= i128::from(minimum.0);
        if total < minimum && !is_part && !draft.ignore_minimum {
            return Err("below_minimum");
        }
        let rate = match terms.pay_in.filter(|to| *to != holder.currency) {
            None => None,
            Some(to) => match self.book().rate(&holder.program, holder.currency, to) {
                Some(rate) => Some(rate),
                None => {
                    self.hold_without_rate(holder, &places, draft.cause);
                    return Ok(Drafted::NoRate);
                }
            },
        };
        let conversion = convert(holder.currency, rate.as_ref(), &mut lines, settings.rounding)
            .map_err(|_| "amount_out_of_range")?;
        if conversion.paid <= Minor::ZERO {
            return Err("below_minimum");
        }
        let done = Drafted::Done { lines: lines.len() };
        self.emit(CommissionsEvent::Payout(drafted(draft, conversion, lines.clone())));
        for (place, line) in places.iter().zip(&lines) {
            let locked = self.locked(draft, place, line).map_err(|_| "amount_out_of_range")?;
            self.emit(CommissionsEvent::Commission(locked.ok_or("unknown_commission")?));
        }
        Ok(done)
    }

    /// What a payout would have: the oldest first, then approved commissions that gave all they had for debts.
    fn lines_of(&mut self, holder: &Holder) -> (Vec<Place>, Vec<PayoutLine>) {
        let mut places = self.book().payables(holder, Class::Free, MAX_PAYOUT_LINES);
        let room = MAX_PAYOUT_LINES.saturating_sub(places.len());
        places.extend(self.book().payables(holder, Class::Nothing, room));
        let mut lines = Vec::with_capacity(places.len());
        for (sale, id) in &places {
            let Some(commission) = self.row(&holder.program, sale).commission(id) else { continue };
            let is_first = commission.status == CommissionStatus::Approved && !commission.is_debit();
            lines.push(PayoutLine {
                commission: id.clone(),
                amount: commission.purse.payable,
                paid: commission.purse.payable,
                further: !is_first,
            });
        }
        (places, lines)
    }

    fn locked(
        &mut self,
        draft: &Draft<'_>,
        place: &Place,
        line: &PayoutLine,
    ) -> Result<Option<CommissionEvent>, AmountOutOfRange> {
        let program = &draft.holder.program;
        let row = self.row(program, &place.0);
        let Some(change) = Change::of(program, &place.0, row, &place.1, draft.cause) else { return Ok(None) };
        let mut legs = change.legs(self);
        legs.between(Account::Available, Account::InFlight, line.amount)?;
        let after = After {
            status: if line.further { change.status } else { CommissionStatus::Locked },
            reversed: change.reversed,
            postings: legs.finish(),
            reason: String::new(),
            actor: draft.actor.to_owned(),
            holds: change.holds.clone(),
        };
        let event = change.event(CommissionEventKind::Locked, after)?;
        Ok(Some(CommissionEvent { payout: Some(draft.id.clone()), ..event }))
    }
}

fn sum(lines: &[PayoutLine], of: fn(&PayoutLine) -> Minor) -> Result<Minor, AmountOutOfRange> {
    lines.iter().try_fold(Minor::ZERO, |sum, line| sum.plus(of(line)))
}

/// What each line is paid as, rounded once, and what that leaves over.
fn convert(
    currency: Currency,
    rate: Option<&Rate>,
    lines: &mut [PayoutLine],
    rounding: Rounding,
) -> Result<Conversion, AmountOutOfRange> {
    let total = sum(lines, |line| line.amount)?;
    let Some(rate) = rate else {
        return Ok(Conversion { rate: None, currency, total, paid: total, residue: Minor::ZERO });
    };
    for line in lines.iter_mut() {
        line.paid = rate.convert(line.amount, rounding)?;
    }
    let paid = sum(lines, |line| line.paid)?;
    let residue = rate.convert(total, rounding)?.minus(paid)?;
    Ok(Conversion { rate: Some(rate.id.clone()), currency: rate.to, total, paid, residue })
}

fn drafted(draft: &Draft<'_>, conversion: Conversion, lines: Vec<PayoutLine>) -> PayoutEvent {
    let Conversion { rate, currency: paid_currency, total, paid, residue } = conversion;
    let leg = |account, amount| Posting { account, currency: paid_currency, amount };
    let opposite = Minor(residue.0.saturating_neg());
    let postings = match residue {
        Minor::ZERO => Vec::new(),
        _ => vec![leg(Account::Expense, opposite), leg(Account::FxRounding, residue)],
    };
    PayoutEvent {
        id: draft.id.clone(),
        program: draft.holder.program.clone(),
        partner: draft.holder.partner.clone(),
        kind: PayoutEventKind::Drafted,
        currency: draft.holder.currency,
        total,
        paid_currency,
        paid,
        rate,
        lines,
        postings,
        cause: draft.cause.cloned(),
        reference: draft.reference.to_owned(),
        reason: draft.reason.to_owned(),
        actor: draft.actor.to_owned(),
    }
}

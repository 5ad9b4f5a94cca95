//! Payouts, rates, offsets and write-offs: as facts, as commission events, as terms.
use crate::common::{currency, named, number};
use crate::rules::{limit, write_limit};
use crate::unknown::Unknown;
use crate::v1;
use crate::write::Writer;
use domain::commission::{
    DebtWrittenOff, OffsetRecorded, PayoutEvent, PayoutEventKind, PayoutLine, Posting, RateRecorded,
    ScheduleRan,
};
use domain::ids::{CommissionId, EventId, RateId};
use domain::money::{Currency, Minor};
use domain::payouts::{PayoutAct, PayoutCommand, PayoutDestination, PayoutTerms, Rate, Schedule, WriteOff};
use domain::rules::Limit;
use domain::time::Micros;

const MESSAGE: &str = "payout";

fn maybe_currency(code: &str) -> Result<Option<Currency>, Unknown> {
    if code.is_empty() { Ok(None) } else { currency(MESSAGE, code).map(Some) }
}

fn code_of(currency: Option<&Currency>) -> &str {
    currency.map_or("", Currency::code)
}

fn cause_of(cause: Option<&EventId>) -> &str {
    cause.map_or("", EventId::as_str)
}

pub(crate) fn write_command(w: &mut Writer, command: &PayoutCommand) {
    w.number(1, act_number(command.act));
    w.text(2, command.payout.as_str());
    w.text(3, command.partner.as_str());
    w.text(4, code_of(command.currency.as_ref()));
    w.maybe_int(5, command.amount.map(|amount| amount.0));
    w.flag(6, command.ignore_minimum);
    w.text(7, &command.reference);
    w.text(8, &command.reason);
    w.text(9, &command.actor);
}

pub(crate) fn command(command: v1::PayoutCommand) -> Result<PayoutCommand, Unknown> {
    Ok(PayoutCommand {
        act: act(command.act)?,
        payout: command.payout_id.into(),
        partner: command.partner_id.into(),
        currency: maybe_currency(&command.currency)?,
        amount: command.amount_minor.map(Minor),
        ignore_minimum: command.ignore_minimum,
        reference: command.reference,
        reason: command.reason,
        actor: command.actor,
    })
}

const fn act_number(act: PayoutAct) -> v1::PayoutAct {
    match act {
        PayoutAct::Draft => v1::PayoutAct::Draft,
        PayoutAct::Settle => v1::PayoutAct::Settle,
        PayoutAct::Fail => v1::PayoutAct::Fail,
        PayoutAct::Return => v1::PayoutAct::Return,
    }
}

fn act(value: i32) -> Result<PayoutAct, Unknown> {
    match number(MESSAGE, "act", value)? {
        v1::PayoutAct::Draft => Ok(PayoutAct::Draft),
        v1::PayoutAct::Settle => Ok(PayoutAct::Settle),
        v1::PayoutAct::Fail => Ok(PayoutAct::Fail),
        v1::PayoutAct::Return => Ok(PayoutAct::Return),
        v1::PayoutAct::Unspecified => Err(Unknown::value(MESSAGE, "act", value)),
    }
}

pub(crate) fn write_write_off(w: &mut Writer, write_off: &WriteOff) {
    w.text(1, write_off.partner.as_str());
    w.text(2, write_off.currency.code());
    w.maybe_int(3, write_off.amount.map(|amount| amount.0));
    w.text(4, &write_off.reason);
    w.text(5, &write_off.actor);
}

pub(crate) fn write_off(write_off: v1::WriteOff) -> Result<WriteOff, Unknown> {
    Ok(WriteOff {
        partner: write_off.partner_id.into(),
        currency: currency(MESSAGE, &write_off.currency)?,
        amount: write_off.amount_minor.map(Minor),
        reason: write_off.reason,
        actor: write_off.actor,
    })
}

pub(crate) fn write_rate(w: &mut Writer, rate: &Rate) {
    w.text(1, rate.id.as_str());
    w.text(2, rate.from.code());
    w.text(3, rate.to.code());
    w.int(4, rate.mantissa);
    w.sint32(5, rate.exponent);
    w.uint(6, u64::from(rate.spread_ppm));
    w.text(7, &rate.actor);
}

pub(crate) fn rate(rate: v1::Rate) -> Result<Rate, Unknown> {
    Ok(Rate {
        id: rate.rate_id.into(),
        from: currency(MESSAGE, &rate.from)?,
        to: currency(MESSAGE, &rate.to)?,
        mantissa: rate.mantissa,
        exponent: rate.exponent,
        spread_ppm: rate.spread_ppm,
        actor: rate.actor,
    })
}

pub(crate) fn write_destination(w: &mut Writer, destination: &PayoutDestination) {
    w.text(1, destination.partner.as_str());
    w.text(2, &destination.method);
    w.text(3, &destination.actor);
}

pub(crate) fn destination(destination: v1::PayoutDestination) -> PayoutDestination {
    PayoutDestination {
        partner: destination.partner_id.into(),
        method: destination.method,
        actor: destination.actor,
    }
}

pub(crate) fn write_terms(w: &mut Writer, terms: &PayoutTerms) {
    w.text(1, terms.partner.as_str());
    w.text(2, terms.schedule.name());
    w.uint(3, u64::from(terms.schedule.day()));
    for (currency, amount) in &terms.minimums {
        w.message(4, |w| write_limit(w, &Limit { amount: *amount, currency: *currency }));
    }
    w.text(5, code_of(terms.pay_in.as_ref()));
}

pub(crate) fn terms(terms: v1::PayoutTerms) -> Result<PayoutTerms, Unknown> {
    let mut minimums = Vec::with_capacity(terms.minimums.len());
    for minimum in terms.minimums {
        let Limit { amount, currency } = limit(&minimum)?;
        minimums.push((currency, amount));
    }
    Ok(PayoutTerms {
        partner: terms.partner_id.into(),
        schedule: Schedule::parse(&terms.schedule, terms.day)
            .ok_or_else(|| Unknown::value(MESSAGE, "schedule", &terms.schedule))?,
        minimums,
        pay_in: maybe_currency(&terms.pay_in)?,
    })
}

pub(crate) fn write_payout(w: &mut Writer, payout: &PayoutEvent) {
    w.text(1, payout.id.as_str());
    w.text(2, payout.program.as_str());
    w.text(3, payout.partner.as_str());
    w.number(4, kind_number(payout.kind));
    w.text(5, payout.currency.code());
    w.int(6, payout.total.0);
    w.text(7, payout.paid_currency.code());
    w.int(8, payout.paid.0);
    w.text(9, payout.rate.as_ref().map_or("", RateId::as_str));
    for line in &payout.lines {
        w.message(10, |w| {
            w.text(1, line.commission.as_str());
            w.int(2, line.amount.0);
            w.int(3, line.paid.0);
            w.flag(4, line.further);
        });
    }
    crate::commissions::write_postings(w, 11, &payout.postings);
    w.text(12, cause_of(payout.cause.as_ref()));
    w.text(13, &payout.reference);
    w.text(14, &payout.reason);
    w.text(15, &payout.actor);
}

pub(crate) fn payout(payout: v1::PayoutEvent) -> Result<PayoutEvent, Unknown> {
    let line = |line: v1::PayoutLine| PayoutLine {
        commission: line.commission_id.into(),
        amount: Minor(line.amount_minor),
        paid: Minor(line.paid_minor),
        further: line.further,
    };
    Ok(PayoutEvent {
        id: payout.payout_id.into(),
        program: payout.program_id.into(),
        partner: payout.partner_id.into(),
        kind: kind(payout.kind)?,
        currency: currency(MESSAGE, &payout.currency)?,
        total: Minor(payout.total_minor),
        paid_currency: currency(MESSAGE, &payout.paid_currency)?,
        paid: Minor(payout.paid_minor),
        rate: named(payout.rate_id),
        lines: payout.lines.into_iter().map(line).collect(),
        postings: postings(payout.postings)?,
        cause: named(payout.cause_event_id),
        reference: payout.reference,
        reason: payout.reason,
        actor: payout.actor,
    })
}

fn postings(postings: Vec<v1::Posting>) -> Result<Vec<Posting>, Unknown> {
    crate::commissions::postings(postings)
}

const fn kind_number(kind: PayoutEventKind) -> v1::PayoutEventKind {
    match kind {
        PayoutEventKind::Drafted => v1::PayoutEventKind::Drafted,
        PayoutEventKind::Settled => v1::PayoutEventKind::Settled,
        PayoutEventKind::Failed => v1::PayoutEventKind::Failed,
        PayoutEventKind::Returned => v1::PayoutEventKind::Returned,
    }
}

fn kind(value: i32) -> Result<PayoutEventKind, Unknown> {
    match number(MESSAGE, "payout event kind", value)? {
        v1::PayoutEventKind::Drafted => Ok(PayoutEventKind::Drafted),
        v1::PayoutEventKind::Settled => Ok(PayoutEventKind::Settled),
        v1::PayoutEventKind::Failed => Ok(PayoutEventKind::Failed),
        v1::PayoutEventKind::Returned => Ok(PayoutEventKind::Returned),
        v1::PayoutEventKind::Unspecified => Err(Unknown::value(MESSAGE, "payout event kind", value)),
    }
}

pub(crate) fn write_recorded_rate(w: &mut Writer, recorded: &RateRecorded) {
    let rate = &recorded.rate;
    w.text(1, recorded.program.as_str());
    w.text(2, rate.id.as_str());
    w.text(3, rate.from.code());
    w.text(4, rate.to.code());
    w.int(5, rate.mantissa);
    w.sint32(6, rate.exponent);
    w.uint(7, u64::from(rate.spread_ppm));
    w.text(8, recorded.event.as_str());
    w.text(9, &rate.actor);
}

pub(crate) fn recorded_rate(recorded: v1::RateRecorded) -> Result<RateRecorded, Unknown> {
    Ok(RateRecorded {
        program: recorded.program_id.into(),
        rate: Rate {
            id: recorded.rate_id.into(),
            from: currency(MESSAGE, &recorded.from)?,
            to: currency(MESSAGE, &recorded.to)?,
            mantissa: recorded.mantissa,
            exponent: recorded.exponent,
            spread_ppm: recorded.spread_ppm,
            actor: recorded.actor,
        },
        event: recorded.cause_event_id.into(),
    })
}

pub(crate) fn write_offset(w: &mut Writer, offset: &OffsetRecorded) {
    w.text(1, offset.program.as_str());
    w.text(2, offset.partner.as_str());
    w.text(3, offset.currency.code());
    w.text(4, offset.commission.as_str());
    w.text(5, offset.debt_of.as_str());
    w.int(6, offset.amount.0);
    w.text(7, cause_of(offset.cause.as_ref()));
}

pub(crate) fn offset(offset: v1::OffsetRecorded) -> Result<OffsetRecorded, Unknown> {
    Ok(OffsetRecorded {
        program: offset.program_id.into(),
        partner: offset.partner_id.into(),
        currency: currency(MESSAGE, &offset.currency)?,
        commission: offset.commission_id.into(),
        debt_of: offset.debt_of.into(),
        amount: Minor(offset.amount_minor),
        cause: named(offset.cause_event_id),
    })
}

pub(crate) fn write_written_off(w: &mut Writer, given_up: &DebtWrittenOff) {
    w.text(1, given_up.program.as_str());
    w.text(2, given_up.partner.as_str());
    w.text(3, given_up.currency.code());
    w.int(4, given_up.amount.0);
    for (debt_of, amount) in &given_up.claims {
        w.message(5, |w| {
            w.text(1, debt_of.as_str());
            w.int(2, amount.0);
        });
    }
    crate::commissions::write_postings(w, 6, &given_up.postings);
    w.text(7, given_up.cause.as_str());
    w.text(8, &given_up.reason);
    w.text(9, &given_up.actor);
}

pub(crate) fn written_off(given_up: v1::DebtWrittenOff) -> Result<DebtWrittenOff, Unknown> {
    let claim = |claim: v1::WrittenOffClaim| (CommissionId(claim.debt_of), Minor(claim.amount_minor));
    Ok(DebtWrittenOff {
        program: given_up.program_id.into(),
        partner: given_up.partner_id.into(),
        currency: currency(MESSAGE, &given_up.currency)?,
        amount: Minor(given_up.amount_minor),
        claims: given_up.claims.into_iter().map(claim).collect(),
        postings: postings(given_up.postings)?,
        cause: given_up.cause_event_id.into(),
        reason: given_up.reason,
        actor: given_up.actor,
    })
}

pub(crate) fn write_schedule(w: &mut Writer, ran: &ScheduleRan) {
    w.text(1, ran.program.as_str());
    w.text(2, ran.partner.as_str());
    w.int(3, ran.due.0);
    if let Some((partner, currency)) = &ran.after {
        w.text(4, partner.as_str());
        w.text(5, currency.code());
    }
    w.int(6, ran.next_due.0);
}

pub(crate) fn schedule(ran: v1::ScheduleRan) -> Result<ScheduleRan, Unknown> {
    Ok(ScheduleRan {
        program: ran.program_id.into(),
        partner: ran.partner_id.into(),
        due: Micros(ran.due_micros),
        after: maybe_currency(&ran.after_currency)?.map(|currency| (ran.after_partner.into(), currency)),
        next_due: Micros(ran.next_due_micros),
    })
}

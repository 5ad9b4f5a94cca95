//! `commissions.v1`: conversions, reversals, changes of commissions with their postings, and answers.
use crate::common::{
    answer, currency, maybe_subject, named, number, reply, sale_key, shares, write_answer, write_reply,
    write_sale_key, write_shares,
};
use crate::payouts;
use crate::unknown::Unknown;
use crate::v1;
use crate::write::Writer;
use bytes::Bytes;
use domain::commission::{
    Account, AnswerRecorded, CommissionEvent, CommissionEventKind, CommissionStatus, CommissionsEvent,
    Facets, LineFacets, ParkedItem, Posting, Purchase, ReversalRecorded, ReversalResult, SaleLinked,
    SaleRecorded, Slice, SubscriptionOver,
};
use domain::facts::SaleDetails;
use domain::ids::{EventId, PartnerId, PayoutId};
use domain::money::{Minor, RatePpm};
use domain::rules::RuleRef;
use domain::time::Micros;
use prost::Message;
use v1::commissions_event::Event;

const MESSAGE: &str = "commissions event";

/// The event's bytes. It holds no personal value.
#[must_use]
pub fn encode(event: &CommissionsEvent) -> Bytes {
    Writer::finish(|w| match event {
        CommissionsEvent::Config(config) => w.message(1, |w| crate::config::write(w, config)),
        CommissionsEvent::Sale(sale) => w.message(2, |w| write_sale(w, sale)),
        CommissionsEvent::Reversal(reversal) => w.message(3, |w| write_reversal(w, reversal)),
        CommissionsEvent::Commission(commission) => w.message(4, |w| write_commission(w, commission)),
        CommissionsEvent::Answer(recorded) => w.message(5, |w| {
            write_answer(w, 1, &recorded.answer);
            write_reply(w, 2, recorded.reply_to.as_ref());
            w.flag(3, recorded.duplicate);
        }),
        CommissionsEvent::Link(link) => w.message(6, |w| {
            w.text(1, link.program.as_str());
            write_sale_key(w, 2, &link.sale);
            link.aliases.iter().for_each(|alias| w.present(3, alias.as_bytes()));
            w.text(4, link.event.as_str());
        }),
        CommissionsEvent::Parked(item) => w.message(8, |w| {
            w.uint(1, item.source);
            w.text(2, item.program.as_str());
            write_sale_key(w, 3, &item.sale);
            w.int(4, item.due.0);
            w.text(5, &item.detail);
            w.flag(6, item.settled);
        }),
        CommissionsEvent::Cancelled(over) => w.message(7, |w| {
            w.text(1, over.program.as_str());
            w.text(2, over.source.as_str());
            w.text(3, &over.subscription_id);
            w.int(4, over.ended_at.0);
            w.text(5, over.event.as_str());
        }),
        CommissionsEvent::Payout(payout) => w.message(9, |w| payouts::write_payout(w, payout)),
        CommissionsEvent::Rate(recorded) => w.message(10, |w| payouts::write_recorded_rate(w, recorded)),
        CommissionsEvent::Offset(offset) => w.message(11, |w| payouts::write_offset(w, offset)),
        CommissionsEvent::WrittenOff(given_up) => w.message(12, |w| payouts::write_written_off(w, given_up)),
        CommissionsEvent::Schedule(ran) => w.message(13, |w| payouts::write_schedule(w, ran)),
    })
}

/// The event of the bytes.
///
/// # Errors
/// [`Unknown`].
pub fn decode(bytes: &Bytes) -> Result<CommissionsEvent, Unknown> {
    let event =
        v1::CommissionsEvent::decode(bytes.clone()).map_err(|error| Unknown::malformed(MESSAGE, &error))?;
    Ok(match event.event.ok_or(Unknown::kind(MESSAGE))? {
        Event::Config(config) => CommissionsEvent::Config(crate::config::from_message(config)?),
        Event::Sale(sale) => CommissionsEvent::Sale(self::sale(sale)?),
        Event::Reversal(reversal) => CommissionsEvent::Reversal(self::reversal(reversal)?),
        Event::Commission(commission) => CommissionsEvent::Commission(self::commission(commission)?),
        Event::Answer(recorded) => CommissionsEvent::Answer(AnswerRecorded {
            answer: answer(MESSAGE, recorded.answer.ok_or(Unknown::field(MESSAGE, "answer"))?)?,
            reply_to: recorded.reply_to.map(reply),
            duplicate: recorded.duplicate,
        }),
        Event::Link(link) => CommissionsEvent::Link(SaleLinked {
            program: link.program_id.into(),
            sale: sale_key(MESSAGE, link.sale)?,
            aliases: link.aliases,
            event: link.event_id.into(),
        }),
        Event::Parked(item) => CommissionsEvent::Parked(ParkedItem {
            source: item.source,
            program: item.program_id.into(),
            sale: sale_key(MESSAGE, item.sale)?,
            due: Micros(item.due_micros),
            detail: item.detail,
            settled: item.settled,
        }),
        Event::Cancelled(over) => CommissionsEvent::Cancelled(SubscriptionOver {
            program: over.program_id.into(),
            source: over.source.into(),
            subscription_id: over.subscription_id,
            ended_at: Micros(over.ended_at_micros),
            event: over.event_id.into(),
        }),
        Event::Payout(payout) => CommissionsEvent::Payout(payouts::payout(payout)?),
        Event::Rate(recorded) => CommissionsEvent::Rate(payouts::recorded_rate(recorded)?),
        Event::Offset(offset) => CommissionsEvent::Offset(payouts::offset(offset)?),
        Event::WrittenOff(given_up) => CommissionsEvent::WrittenOff(payouts::written_off(given_up)?),
        Event::Schedule(ran) => CommissionsEvent::Schedule(payouts::schedule(ran)?),
    })
}

fn write_sale(w: &mut Writer, sale: &SaleRecorded) {
    w.text(1, sale.id.as_str());
    w.text(2, sale.program.as_str());
    write_sale_key(w, 3, &sale.sale);
    w.text(4, sale.event.as_str());
    w.text(5, sale.currency.code());
    w.int(6, sale.gross.0);
    w.int(7, sale.base.0);
    w.flag(8, sale.base_is_net);
    write_slices(w, 9, &sale.slices);
    w.text(10, sale.partner.as_ref().map_or("", PartnerId::as_str));
    w.text(11, &sale.reason);
    w.bytes(12, sale.customer.as_ref().map_or(&[][..], |customer| &customer.0));
    w.text(13, &sale.subscription_id);
    w.int(14, sale.occurred_at.0);
    w.int(15, sale.recorded_at.0);
    w.flag(16, sale.late);
    w.number(17, crate::facts::sale::recurrence_number(sale.facets.recurrence));
    w.text(18, &sale.facets.coupon);
    for line in &sale.facets.lines {
        w.message(19, |w| {
            w.text(1, &line.product);
            w.text(2, &line.price);
            w.text(3, &line.plan);
            w.text(4, &line.category);
            w.text(5, &line.product_key);
        });
    }
    w.text(20, &sale.facets.details.country);
    w.text(21, &sale.facets.details.interval);
    crate::facts::sale::write_metadata(w, 22, &sale.facets.details.metadata);
    if let Some(purchase) = sale.purchase {
        w.uint(23, purchase.number);
        w.int(24, purchase.first_at.0);
    }
    w.int(25, sale.subscription_since.map_or(0, |since| since.0));
    write_shares(w, 26, &sale.shares);
    crate::facts::sale::write_conversion(w, 27, &sale.facets.details);
    w.flag(29, sale.facets.details.publishable);
}

fn sale(sale: v1::SaleRecorded) -> Result<SaleRecorded, Unknown> {
    Ok(SaleRecorded {
        id: sale.sale_id.into(),
        program: sale.program_id.into(),
        sale: sale_key(MESSAGE, sale.sale)?,
        event: sale.event_id.into(),
        currency: currency(MESSAGE, &sale.currency)?,
        gross: Minor(sale.gross_minor),
        base: Minor(sale.base_minor),
        base_is_net: sale.base_is_net,
        slices: slices(sale.slices),
        partner: named(sale.partner_id),
        reason: sale.reason,
        customer: maybe_subject(MESSAGE, &sale.customer)?,
        subscription_id: sale.subscription_id,
        occurred_at: Micros(sale.occurred_at_micros),
        recorded_at: Micros(sale.recorded_at_micros),
        late: sale.late,
        facets: Facets {
            recurrence: crate::facts::sale::recurrence(sale.recurrence)?,
            coupon: sale.coupon,
            details: SaleDetails {
                country: sale.country,
                interval: sale.interval,
                metadata: crate::facts::sale::metadata(sale.metadata),
                kind: crate::facts::sale::conversion(&sale.conversion)?,
                fraud: sale.fraud,
                shares: Vec::new(),
                publishable: sale.publishable,
            },
            lines: sale
                .lines
                .into_iter()
                .map(|line| LineFacets {
                    product: line.product,
                    price: line.price,
                    plan: line.plan,
                    category: line.category,
                    product_key: line.product_key,
                })
                .collect(),
        },
        purchase: (sale.purchase_number > 0).then_some(Purchase {
            number: sale.purchase_number,
            first_at: Micros(sale.first_purchase_at_micros),
        }),
        subscription_since: (sale.subscription_since_micros != 0)
            .then_some(Micros(sale.subscription_since_micros)),
        shares: shares(sale.shares),
    })
}

pub(crate) fn write_slices(w: &mut Writer, tag: u32, slices: &[Slice]) {
    for slice in slices {
        w.message(tag, |w| {
            w.text(1, &slice.line_id);
            w.int(2, slice.base.0);
            w.int(3, slice.rate.0);
            if let Some(rule) = &slice.rule {
                w.text(4, rule.rule.as_str());
                w.uint(5, u64::from(rule.version));
            }
            w.flag(6, slice.higher_band);
        });
    }
}

pub(crate) fn slices(slices: Vec<v1::Slice>) -> Vec<Slice> {
    slices
        .into_iter()
        .map(|slice| Slice {
            line_id: slice.line_id,
            base: Minor(slice.base_minor),
            rate: RatePpm(slice.rate_ppm),
            rule: (!slice.rule_id.is_empty())
                .then(|| RuleRef { rule: slice.rule_id.into(), version: slice.rule_version }),
            higher_band: slice.higher_band,
        })
        .collect()
}

fn write_reversal(w: &mut Writer, reversal: &ReversalRecorded) {
    w.text(1, reversal.program.as_str());
    write_sale_key(w, 2, &reversal.sale);
    w.text(3, &reversal.object_id);
    w.text(4, reversal.event.as_str());
    w.number(5, crate::facts::reversal::family_number(reversal.family));
    w.number(6, crate::facts::reversal::state_number(reversal.state));
    w.text(7, reversal.currency.code());
    w.int(8, reversal.gross.0);
    w.maybe_int(9, reversal.net.map(|net| net.0));
    for (line_id, net) in &reversal.lines {
        w.message(10, |w| {
            w.text(1, line_id);
            w.int(2, net.0);
        });
    }
    w.text(11, reversal.result.name());
}

fn reversal(reversal: v1::ReversalRecorded) -> Result<ReversalRecorded, Unknown> {
    // The numbers of the enums of `facts.v1`; one past `i32` is none of them.
    let family = i32::try_from(reversal.family).unwrap_or(i32::MAX);
    let state = i32::try_from(reversal.state).unwrap_or(i32::MAX);
    Ok(ReversalRecorded {
        program: reversal.program_id.into(),
        sale: sale_key(MESSAGE, reversal.sale)?,
        object_id: reversal.object_id,
        event: reversal.event_id.into(),
        family: crate::facts::reversal::family(MESSAGE, family)?,
        state: crate::facts::reversal::state(MESSAGE, state)?,
        currency: currency(MESSAGE, &reversal.currency)?,
        gross: Minor(reversal.gross_minor),
        net: reversal.net_minor.map(Minor),
        lines: reversal.lines.into_iter().map(|line| (line.line_id, Minor(line.base_minor))).collect(),
        result: [ReversalResult::Matched, ReversalResult::Parked, ReversalResult::CurrencyMismatch]
            .into_iter()
            .find(|result| result.name() == reversal.result)
            .ok_or_else(|| Unknown::value(MESSAGE, "reversal result", &reversal.result))?,
    })
}

fn write_commission(w: &mut Writer, commission: &CommissionEvent) {
    w.text(1, commission.id.as_str());
    w.text(2, commission.program.as_str());
    w.text(3, commission.partner.as_str());
    w.text(4, commission.sale_id.as_str());
    write_sale_key(w, 5, &commission.sale);
    w.number(6, kind_number(commission.kind));
    w.number(7, status_number(commission.status));
    w.text(8, commission.currency.code());
    w.int(9, commission.gross.0);
    w.int(10, commission.reversed.0);
    w.int(11, commission.delta.0);
    write_postings(w, 12, &commission.postings);
    w.text(13, commission.cause.as_ref().map_or("", EventId::as_str));
    w.text(14, &commission.reason);
    w.text(15, &commission.actor);
    if let Some(terms) = &commission.terms {
        w.message(16, |w| crate::terms::write(w, terms, commission.gross));
    }
    commission.holds.iter().for_each(|hold| w.present(17, hold.as_bytes()));
    w.text(18, commission.payout.as_ref().map_or("", PayoutId::as_str));
}

pub(crate) fn write_postings(w: &mut Writer, tag: u32, postings: &[Posting]) {
    for posting in postings {
        w.message(tag, |w| {
            w.number(1, account_number(posting.account));
            w.text(2, posting.currency.code());
            w.int(3, posting.amount.0);
        });
    }
}

pub(crate) fn postings(read: Vec<v1::Posting>) -> Result<Vec<Posting>, Unknown> {
    let mut postings = Vec::with_capacity(read.len());
    for posting in read {
        postings.push(Posting {
            account: account(posting.account)?,
            currency: currency(MESSAGE, &posting.currency)?,
            amount: Minor(posting.amount_minor),
        });
    }
    Ok(postings)
}

fn commission(commission: v1::CommissionEvent) -> Result<CommissionEvent, Unknown> {
    let gross = Minor(commission.gross_minor);
    Ok(CommissionEvent {
        id: commission.commission_id.into(),
        program: commission.program_id.into(),
        partner: commission.partner_id.into(),
        sale_id: commission.sale_id.into(),
        sale: sale_key(MESSAGE, commission.sale)?,
        kind: kind(commission.kind)?,
        status: status(commission.status)?,
        currency: currency(MESSAGE, &commission.currency)?,
        gross,
        reversed: Minor(commission.reversed_minor),
        delta: Minor(commission.delta_minor),
        postings: postings(commission.postings)?,
        cause: named(commission.cause_event_id),
        reason: commission.reason,
        actor: commission.actor,
        terms: commission.terms.map(|terms| crate::terms::read(terms, gross)).transpose()?,
        holds: commission.holds,
        payout: named(commission.payout_id),
    })
}

const fn kind_number(kind: CommissionEventKind) -> v1::CommissionEventKind {
    match kind {
        CommissionEventKind::Created => v1::CommissionEventKind::Created,
        CommissionEventKind::Approved => v1::CommissionEventKind::Approved,
        CommissionEventKind::Refunded => v1::CommissionEventKind::Refunded,
        CommissionEventKind::Chargeback => v1::CommissionEventKind::Chargeback,
        CommissionEventKind::Reinstated => v1::CommissionEventKind::Reinstated,
        CommissionEventKind::Review => v1::CommissionEventKind::Review,
        CommissionEventKind::HoldReleased => v1::CommissionEventKind::HoldReleased,
        CommissionEventKind::Rejected => v1::CommissionEventKind::Rejected,
        CommissionEventKind::Repriced => v1::CommissionEventKind::Repriced,
        CommissionEventKind::Locked => v1::CommissionEventKind::Locked,
        CommissionEventKind::Paid => v1::CommissionEventKind::Paid,
        CommissionEventKind::PayoutFailed => v1::CommissionEventKind::PayoutFailed,
        CommissionEventKind::PayoutReturned => v1::CommissionEventKind::PayoutReturned,
    }
}

fn kind(value: i32) -> Result<CommissionEventKind, Unknown> {
    match number(MESSAGE, "commission event kind", value)? {
        v1::CommissionEventKind::Created => Ok(CommissionEventKind::Created),
        v1::CommissionEventKind::Approved => Ok(CommissionEventKind::Approved),
        v1::CommissionEventKind::Refunded => Ok(CommissionEventKind::Refunded),
        v1::CommissionEventKind::Chargeback => Ok(CommissionEventKind::Chargeback),
        v1::CommissionEventKind::Reinstated => Ok(CommissionEventKind::Reinstated),
        v1::CommissionEventKind::Review => Ok(CommissionEventKind::Review),
        v1::CommissionEventKind::HoldReleased => Ok(CommissionEventKind::HoldReleased),
        v1::CommissionEventKind::Rejected => Ok(CommissionEventKind::Rejected),
        v1::CommissionEventKind::Repriced => Ok(CommissionEventKind::Repriced),
        v1::CommissionEventKind::Locked => Ok(CommissionEventKind::Locked),
        v1::CommissionEventKind::Paid => Ok(CommissionEventKind::Paid),
        v1::CommissionEventKind::PayoutFailed => Ok(CommissionEventKind::PayoutFailed),
        v1::CommissionEventKind::PayoutReturned => Ok(CommissionEventKind::PayoutReturned),
        v1::CommissionEventKind::Unspecified => Err(Unknown::value(MESSAGE, "commission event kind", value)),
    }
}

const fn status_number(status: CommissionStatus) -> v1::CommissionStatus {
    match status {
        CommissionStatus::Pending => v1::CommissionStatus::Pending,
        CommissionStatus::Review => v1::CommissionStatus::Review,
        CommissionStatus::Approved => v1::CommissionStatus::Approved,
        CommissionStatus::Locked => v1::CommissionStatus::Locked,
        CommissionStatus::Paid => v1::CommissionStatus::Paid,
        CommissionStatus::Rejected => v1::CommissionStatus::Rejected,
        CommissionStatus::Refunded => v1::CommissionStatus::Refunded,
        CommissionStatus::ChargedBack => v1::CommissionStatus::ChargedBack,
    }
}

fn status(value: i32) -> Result<CommissionStatus, Unknown> {
    match number(MESSAGE, "commission status", value)? {
        v1::CommissionStatus::Pending => Ok(CommissionStatus::Pending),
        v1::CommissionStatus::Review => Ok(CommissionStatus::Review),
        v1::CommissionStatus::Approved => Ok(CommissionStatus::Approved),
        v1::CommissionStatus::Locked => Ok(CommissionStatus::Locked),
        v1::CommissionStatus::Paid => Ok(CommissionStatus::Paid),
        v1::CommissionStatus::Rejected => Ok(CommissionStatus::Rejected),
        v1::CommissionStatus::Refunded => Ok(CommissionStatus::Refunded),
        v1::CommissionStatus::ChargedBack => Ok(CommissionStatus::ChargedBack),
        v1::CommissionStatus::Unspecified => Err(Unknown::value(MESSAGE, "commission status", value)),
    }
}

const fn account_number(account: Account) -> v1::Account {
    match account {
        Account::Expense => v1::Account::Expense,
        Account::Pending => v1::Account::Pending,
        Account::Review => v1::Account::Review,
        Account::Available => v1::Account::Available,
        Account::InFlight => v1::Account::InFlight,
        Account::PaidOut => v1::Account::PaidOut,
        Account::Debt => v1::Account::Debt,
        Account::ProgramLoss => v1::Account::ProgramLoss,
        Account::FxRounding => v1::Account::FxRounding,
    }
}

fn account(value: i32) -> Result<Account, Unknown> {
    match number(MESSAGE, "account", value)? {
        v1::Account::Expense => Ok(Account::Expense),
        v1::Account::Pending => Ok(Account::Pending),
        v1::Account::Review => Ok(Account::Review),
        v1::Account::Available => Ok(Account::Available),
        v1::Account::InFlight => Ok(Account::InFlight),
        v1::Account::PaidOut => Ok(Account::PaidOut),
        v1::Account::Debt => Ok(Account::Debt),
        v1::Account::ProgramLoss => Ok(Account::ProgramLoss),
        v1::Account::FxRounding => Ok(Account::FxRounding),
        v1::Account::Unspecified => Err(Unknown::value(MESSAGE, "account", value)),
    }
}

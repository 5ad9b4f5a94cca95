//! Shapes that several topics share.
use crate::unknown::Unknown;
use crate::v1;
use crate::write::Writer;
use domain::attribution::{SaleKey, Share};
use domain::commission::{Answer, CommissionStatus, PayoutEventKind};
use domain::ids::{CommissionId, EventId, PartnerId, SaleId, SubjectId};
use domain::money::{Currency, Minor};
use domain::normalization::ReplyAddress;

pub(crate) fn write_reply(writer: &mut Writer, tag: u32, reply: Option<&ReplyAddress>) {
    if let Some(reply) = reply {
        writer.message(tag, |w| {
            w.text(1, &reply.gateway_instance);
            w.uint(2, reply.correlation_id);
        });
    }
}

pub(crate) fn reply(reply: v1::ReplyAddress) -> ReplyAddress {
    ReplyAddress { gateway_instance: reply.gateway_instance, correlation_id: reply.correlation_id }
}

pub(crate) fn write_sale_key(writer: &mut Writer, tag: u32, key: &SaleKey) {
    writer.message(tag, |w| {
        w.text(1, key.source.as_str());
        w.text(2, &key.external_id);
    });
}

pub(crate) fn sale_key(message: &'static str, key: Option<v1::SaleKey>) -> Result<SaleKey, Unknown> {
    let key = key.ok_or(Unknown::field(message, "sale"))?;
    Ok(SaleKey { source: key.source.into(), external_id: key.external_id })
}

pub(crate) fn write_shares(writer: &mut Writer, tag: u32, shares: &[Share]) {
    for share in shares {
        writer.message(tag, |w| {
            w.text(1, share.partner.as_str());
            w.uint(2, u64::from(share.weight));
        });
    }
}

pub(crate) fn shares(shares: Vec<v1::Share>) -> Vec<Share> {
    let share = |share: v1::Share| Share { partner: share.partner_id.into(), weight: share.weight };
    shares.into_iter().map(share).collect()
}

pub(crate) fn write_answer(writer: &mut Writer, tag: u32, answer: &Answer) {
    writer.message(tag, |w| {
        w.text(1, answer.event.as_str());
        w.text(2, answer.sale.as_ref().map_or("", SaleId::as_str));
        w.text(3, answer.commission.as_ref().map_or("", CommissionId::as_str));
        w.text(4, answer.partner.as_ref().map_or("", PartnerId::as_str));
        w.int(5, answer.amount.0);
        w.text(6, answer.currency.as_ref().map_or("", Currency::code));
        w.text(7, answer.status.map_or("", CommissionStatus::name));
        w.text(8, &answer.declined);
        if let Some((payout, status)) = &answer.payout {
            w.text(9, payout.as_str());
            w.text(10, status.name());
        }
    });
}

pub(crate) fn answer(message: &'static str, answer: v1::Answer) -> Result<Answer, Unknown> {
    Ok(Answer {
        event: EventId(answer.event_id),
        sale: named(answer.sale_id),
        commission: named(answer.commission_id),
        partner: named(answer.partner_id),
        amount: Minor(answer.commission_minor),
        currency: match answer.currency.as_str() {
            "" => None,
            code => Some(currency(message, code)?),
        },
        status: match answer.status.as_str() {
            "" => None,
            word => Some(status_word(message, word)?),
        },
        declined: answer.declined,
        payout: match answer.payout_id.as_str() {
            "" => None,
            id => {
                let status = PayoutEventKind::parse(&answer.payout_status)
                    .ok_or_else(|| Unknown::value(message, "payout status", &answer.payout_status))?;
                Some((id.into(), status))
            }
        },
    })
}

/// An id that may be absent: the empty text.
pub(crate) fn named<T: From<String>>(text: String) -> Option<T> {
    if text.is_empty() { None } else { Some(T::from(text)) }
}

pub(crate) fn currency(message: &'static str, code: &str) -> Result<Currency, Unknown> {
    Currency::parse(code).ok_or_else(|| Unknown::value(message, "currency", code))
}

fn status_word(message: &'static str, word: &str) -> Result<CommissionStatus, Unknown> {
    use CommissionStatus as Status;
    [
        Status::Pending,
        Status::Review,
        Status::Approved,
        Status::Locked,
        Status::Paid,
        Status::Rejected,
        Status::Refunded,
        Status::ChargedBack,
    ]
    .into_iter()
    .find(|status| status.name() == word)
    .ok_or_else(|| Unknown::value(message, "status", word))
}

/// Exactly `N` bytes.
pub(crate) fn fixed<const N: usize>(
    message: &'static str,
    field: &'static str,
    bytes: &[u8],
) -> Result<[u8; N], Unknown> {
    bytes.try_into().map_err(|_| Unknown::field(message, field))
}

/// A subject, or nobody.
pub(crate) fn maybe_subject(message: &'static str, bytes: &[u8]) -> Result<Option<SubjectId>, Unknown> {
    if bytes.is_empty() {
        return Ok(None);
    }
    fixed(message, "customer", bytes).map(|id| Some(SubjectId(id)))
}

/// An enum's value, by its number.
pub(crate) fn number<E: TryFrom<i32>>(
    message: &'static str,
    field: &'static str,
    value: i32,
) -> Result<E, Unknown> {
    E::try_from(value).map_err(|_| Unknown::value(message, field, value))
}

//! Stripe webhooks. The traps are in `docs/providers/stripe.md`.
//!
//! Stripe tells one payment up to five times: as a charge, an intent, an invoice (twice) and a checkout. The program says
//! which family is money (`sale_from`); the others are looked at only for what they link: other names of the same payment,
//! and the merchant's own key of a customer. The shape of a body follows the API version that its endpoint is pinned to,
//! so old and new places of a field are both looked at.
//!
//! By noun: `charge.rs` (sales by charge, cumulative refunds), `reversal.rs` (refund objects, disputes), `invoice.rs`,
//! `checkout.rs`, `customer.rs` (customers, subscriptions, promotion codes), `money.rs` (Stripe's exponents).
mod charge;
mod checkout;
mod customer;
mod invoice;
mod money;
mod reversal;

use super::metadata::Metadata;
use crate::defect::{Defect, reason};
use crate::json::{Object, Path, Raw, id, reference, string, truth, unix_seconds};
use crate::{SourceRequest, draft};
use domain::facts::{Fact, FactBody, Identifier, Personal, Referral};
use domain::ids::{EventId, Hash, SourceName};
use domain::normalization::{Draft, Reading};
use domain::time::Micros;
use serde::Deserialize;

/// The source's name.
pub const NAME: &str = "stripe";
/// The namespace of its customer ids.
pub const CUSTOMER_NAMESPACE: &str = "stripe.customer";
/// What an event without embedded object calls itself.
const THIN_EVENT: &str = "v2.core.event";
/// The reason of an event that could mean money or a link, and does not.
const NOT_MONEY: &str = "not_money_event";

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    id: Raw<'a>,
    #[serde(borrow, default)]
    object: Raw<'a>,
    #[serde(rename = "type", borrow, default)]
    event_type: Raw<'a>,
    #[serde(borrow, default)]
    created: Raw<'a>,
    #[serde(borrow, default)]
    livemode: Raw<'a>,
    #[serde(borrow, default)]
    data: Object<Data<'a>>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow, default)]
    object: Raw<'a>,
}

/// Reads one webhook.
pub(crate) fn read(request: &SourceRequest<'_>) -> Draft {
    let malformed = |rule: &str| Defect::new(reason::MALFORMED, format!("the body {rule}"));
    let Ok(text) = std::str::from_utf8(request.body) else {
        return draft(request, None, Err(malformed("is not UTF-8")));
    };
    let envelope = match serde_json::from_str::<Object<Envelope<'_>>>(text) {
        Ok(Object::Is(envelope)) => envelope,
        Ok(_) => return draft(request, None, Err(malformed("is not an object"))),
        Err(error) => return draft(request, None, Err(Defect::unreadable("the body", &error))),
    };
    let event_id = match id("id", envelope.id) {
        Ok(key) => key,
        Err(defect) => return draft(request, None, Err(defect)),
    };
    let livemode = match truth("livemode", envelope.livemode) {
        Ok(livemode) => livemode,
        Err(defect) => return draft(request, Some(event_id), Err(defect)),
    };
    let reading = read_event(request, &envelope, &event_id);
    Draft { livemode, ..draft(request, Some(event_id), reading) }
}

fn read_event(
    request: &SourceRequest<'_>,
    envelope: &Envelope<'_>,
    event_id: &str,
) -> Result<Reading, Defect> {
    if string("object", envelope.object)?.as_deref() == Some(THIN_EVENT) {
        return Ok(ignored("thin_event"));
    }
    let event_type = id("type", envelope.event_type)?;
    let read: fn(&Delivery<'_>, Raw<'_>) -> Result<Reading, Defect> = match event_type.as_str() {
        "charge.succeeded" | "charge.captured" => charge::paid,
        "charge.refunded" => charge::refunded,
        "payment_intent.succeeded" => charge::intent,
        "refund.created" | "refund.updated" | "refund.failed" | "charge.refund.updated" => reversal::refund,
        "charge.dispute.created"
        | "charge.dispute.updated"
        | "charge.dispute.funds_withdrawn"
        | "charge.dispute.funds_reinstated"
        | "charge.dispute.closed" => reversal::dispute,
        "invoice.paid" | "invoice.payment_succeeded" => invoice::paid,
        "invoice_payment.paid" => invoice::payment,
        "checkout.session.completed" | "checkout.session.async_payment_succeeded" => checkout::session,
        "customer.created" | "customer.updated" => customer::customer,
        "customer.subscription.created" | "customer.subscription.updated" => customer::subscription,
        "customer.subscription.deleted" => customer::subscription_deleted,
        "promotion_code.created" | "promotion_code.updated" => customer::promotion_code,
        noise => return Ok(ignored(noise)),
    };
    let created = unix_seconds("created", envelope.created)?;
    let delivery = Delivery {
        request,
        event_id,
        event_type: &event_type,
        occurred_at: created.unwrap_or(request.clock),
    };
    read(&delivery, envelope.data.required("data")?.object)
}

fn ignored(reason: &str) -> Reading {
    Reading::Ignored { reason: reason.to_owned() }
}

/// Facts, or `not_money_event` where there are none.
fn facts_or_ignored(facts: Vec<Fact>) -> Reading {
    if facts.is_empty() { ignored(NOT_MONEY) } else { Reading::Facts(facts) }
}

/// What every fact of one webhook shares.
struct Delivery<'a> {
    request: &'a SourceRequest<'a>,
    event_id: &'a str,
    event_type: &'a str,
    /// By the envelope; the log's clock where it does not say.
    occurred_at: Micros,
}

impl<'a> Delivery<'a> {
    fn fact(
        &self,
        object_id: String,
        state: &str,
        occurred_at: Option<Micros>,
        identifiers: Vec<Identifier>,
        body: FactBody,
    ) -> Fact {
        let source = SourceName::from(NAME);
        Fact {
            program: self.request.program.clone(),
            event: EventId::derive(self.request.program, &source, self.event_id),
            source,
            object_id,
            state: state.to_owned(),
            hash: Hash::ZERO,
            occurred_at: occurred_at.unwrap_or(self.occurred_at),
            identifiers,
            body,
        }
    }

    fn metadata(&self, path: &'static str, raw: Raw<'a>) -> Result<Place<'a>, Defect> {
        Ok(Place { path, metadata: Metadata::read(path, raw, self.request.settings)? })
    }

    /// A link between the provider's customer and the merchant's own key, if the body names both. Its state is the
    /// delivery: a later version of the same object is another fact, not a conflict.
    fn customer_link(
        &self,
        path: impl Path,
        customer: Raw<'_>,
        places: &[Place<'_>],
    ) -> Result<Option<Fact>, Defect> {
        let found = identifiers(path, customer, places)?;
        let Some(customer) = found.first().filter(|_| found.len() == 2).and_then(open) else {
            return Ok(None);
        };
        Ok(Some(self.fact(customer, self.event_id, None, found, FactBody::CustomerLink)))
    }

    /// A link between a sale and other ids of the same payment, if there are any.
    fn sale_link(&self, sale: &str, others: Vec<String>) -> Option<Fact> {
        let aliases = aliases(sale, others);
        (!sale.is_empty() && !aliases.is_empty()).then(|| {
            let body = FactBody::SaleLink { external_id: sale.to_owned(), aliases };
            self.fact(sale.to_owned(), self.event_id, None, Vec::new(), body)
        })
    }
}

/// One metadata object and where it is.
struct Place<'a> {
    path: &'static str,
    metadata: Metadata<'a>,
}

/// The first referral code in any of `places`.
fn referral(places: &[Place<'_>]) -> Result<Option<Referral>, Defect> {
    for place in places {
        if let Some(found) = place.metadata.referral(place.path)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The provider's customer, then the merchant's own key of it.
fn identifiers(path: impl Path, customer: Raw<'_>, places: &[Place<'_>]) -> Result<Vec<Identifier>, Defect> {
    let mut found = Vec::with_capacity(2);
    let customer = reference(path, customer)?;
    if !customer.is_empty() {
        found.push(identifier(CUSTOMER_NAMESPACE, customer));
    }
    for place in places {
        if let Some(key) = place.metadata.customer_key(place.path)? {
            found.push(identifier("customer_key", key));
            break;
        }
    }
    Ok(found)
}

fn identifier(namespace: &str, value: String) -> Identifier {
    Identifier { namespace: namespace.to_owned(), subject: None, value: Personal::Open(value) }
}

/// The provider's customer id, which is no secret.
fn open(identifier: &Identifier) -> Option<String> {
    match &identifier.value {
        Personal::Open(value) if identifier.namespace == CUSTOMER_NAMESPACE => Some(value.clone()),
        _ => None,
    }
}

/// What names the same payment as `sale`, each once and in the order of the body.
fn aliases(sale: &str, others: Vec<String>) -> Vec<String> {
    let mut aliases: Vec<String> = Vec::with_capacity(others.len());
    for other in others {
        if !other.is_empty() && other != sale && !aliases.contains(&other) {
            aliases.push(other);
        }
    }
    aliases
}

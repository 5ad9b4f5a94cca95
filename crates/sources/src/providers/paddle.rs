//! Paddle Billing webhooks. The traps are in `docs/providers/paddle.md`.
//!
//! Money is `transaction.completed` and adjustments, nothing else: `transaction.paid` and its kin repeat the same amounts.
//! Amounts are strings of decimal digits in minor units and are never turned into floats. The body has no live flag.
use super::details::{self, Cycle};
use super::metadata::Metadata;
use crate::defect::{Defect, reason};
use crate::json::{
    List, Object, Path, Raw, code, currency, digits_amount, id, moment, object, optional_digits_amount,
    optional_id, string,
};
use crate::{SourceRequest, draft};
use domain::facts::{
    CouponRef, Fact, FactBody, Identifier, Personal, Recurrence, Reversal, ReversalFamily, ReversalLine,
    ReversalState, Sale, SaleLine,
};
use domain::ids::{EventId, Hash, SourceName};
use domain::money::{Currency, Minor};
use domain::normalization::{Draft, Reading};
use domain::time::Micros;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The source's name.
pub const NAME: &str = "paddle";
/// The namespace of its customer ids.
pub const CUSTOMER_NAMESPACE: &str = "paddle.customer";
/// Where a merchant's own words are.
const CUSTOM_DATA: &str = "data.custom_data";

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    event_id: Raw<'a>,
    #[serde(borrow, default)]
    event_type: Raw<'a>,
    #[serde(borrow, default)]
    occurred_at: Raw<'a>,
    #[serde(borrow, default)]
    data: Raw<'a>,
}

#[derive(Deserialize)]
struct Transaction<'a> {
    #[serde(borrow, default)]
    id: Raw<'a>,
    #[serde(borrow, default)]
    origin: Raw<'a>,
    #[serde(borrow, default)]
    customer_id: Raw<'a>,
    #[serde(borrow, default)]
    subscription_id: Raw<'a>,
    #[serde(borrow, default)]
    discount_id: Raw<'a>,
    #[serde(borrow, default)]
    currency_code: Raw<'a>,
    #[serde(borrow, default)]
    billed_at: Raw<'a>,
    #[serde(borrow, default)]
    custom_data: Raw<'a>,
    #[serde(borrow, default)]
    details: Object<Details<'a>>,
    #[serde(borrow, default)]
    items: List<Item<'a>>,
    #[serde(borrow, default)]
    payments: List<Payment<'a>>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, default)]
    price: Object<Price<'a>>,
}

#[derive(Deserialize)]
struct Price<'a> {
    /// Null: paid once.
    #[serde(borrow, default)]
    billing_cycle: Object<Cycle<'a>>,
}

#[derive(Deserialize)]
struct Details<'a> {
    #[serde(borrow, default)]
    totals: Object<Totals<'a>>,
    #[serde(borrow, default)]
    line_items: List<LineItem<'a>>,
}

/// Totals of a transaction, a line or an adjustment; each has a part of these.
#[derive(Deserialize)]
struct Totals<'a> {
    #[serde(borrow, default)]
    subtotal: Raw<'a>,
    #[serde(borrow, default)]
    discount: Raw<'a>,
    #[serde(borrow, default)]
    total: Raw<'a>,
    #[serde(borrow, default)]
    currency_code: Raw<'a>,
}

#[derive(Deserialize)]
struct LineItem<'a> {
    #[serde(borrow, default)]
    id: Raw<'a>,
    #[serde(borrow, default)]
    price_id: Raw<'a>,
    #[serde(borrow, default)]
    product: Object<Product<'a>>,
    #[serde(borrow, default)]
    quantity: Raw<'a>,
    #[serde(borrow, default)]
    totals: Object<Totals<'a>>,
}

#[derive(Deserialize)]
struct Product<'a> {
    #[serde(borrow, default)]
    id: Raw<'a>,
}

#[derive(Deserialize)]
struct Payment<'a> {
    #[serde(borrow, default)]
    status: Raw<'a>,
    #[serde(borrow, default)]
    captured_at: Raw<'a>,
}

#[derive(Deserialize)]
struct Adjustment<'a> {
    #[serde(borrow, default)]
    id: Raw<'a>,
    #[serde(borrow, default)]
    action: Raw<'a>,
    #[serde(borrow, default)]
    status: Raw<'a>,
    #[serde(borrow, default)]
    transaction_id: Raw<'a>,
    #[serde(borrow, default)]
    currency_code: Raw<'a>,
    #[serde(borrow, default)]
    totals: Object<Totals<'a>>,
    #[serde(borrow, default)]
    items: List<AdjustmentItem<'a>>,
}

#[derive(Deserialize)]
struct AdjustmentItem<'a> {
    #[serde(borrow, default)]
    item_id: Raw<'a>,
    #[serde(borrow, default)]
    totals: Object<Totals<'a>>,
}

#[derive(Deserialize)]
struct Customer<'a> {
    #[serde(borrow, default)]
    id: Raw<'a>,
    #[serde(borrow, default)]
    email: Raw<'a>,
    #[serde(borrow, default)]
    custom_data: Raw<'a>,
}

#[derive(Deserialize)]
struct Subscription<'a> {
    #[serde(borrow, default)]
    id: Raw<'a>,
    #[serde(borrow, default)]
    canceled_at: Raw<'a>,
}

#[derive(Deserialize)]
struct Discount<'a> {
    #[serde(borrow, default)]
    id: Raw<'a>,
    #[serde(borrow, default)]
    code: Raw<'a>,
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
    let delivery_key = match id("event_id", envelope.event_id) {
        Ok(key) => key,
        Err(defect) => return draft(request, None, Err(defect)),
    };
    let reading = read_event(request, &envelope, &delivery_key);
    draft(request, Some(delivery_key), reading)
}

/// What every fact of one webhook shares.
struct Delivery<'a> {
    request: &'a SourceRequest<'a>,
    event_id: &'a str,
    /// By the envelope; the log's clock where it does not say.
    occurred_at: Micros,
}

impl Delivery<'_> {
    fn fact(
        &self,
        object_id: String,
        state: &str,
        occurred_at: Option<Micros>,
        identifiers: Vec<Identifier>,
        body: FactBody,
    ) -> Reading {
        let source = SourceName::from(NAME);
        Reading::Facts(vec![Fact {
            program: self.request.program.clone(),
            event: EventId::derive(self.request.program, &source, self.event_id),
            source,
            object_id,
            state: state.to_owned(),
            hash: Hash::ZERO,
            occurred_at: occurred_at.unwrap_or(self.occurred_at),
            identifiers,
            body,
        }])
    }
}

fn read_event(
    request: &SourceRequest<'_>,
    envelope: &Envelope<'_>,
    event_id: &str,
) -> Result<Reading, Defect> {
    let event_type = id("event_type", envelope.event_type)?;
    let ignored = |reason: &str| Ok(Reading::Ignored { reason: reason.to_owned() });
    let read: fn(&Delivery<'_>, Raw<'_>) -> Result<Reading, Defect> = match event_type.as_str() {
        "transaction.completed" => transaction,
        "adjustment.created" | "adjustment.updated" => adjustment,
        "customer.created" | "customer.updated" | "customer.imported" => customer,
        "discount.created" | "discount.updated" | "discount.imported" => discount,
        "subscription.canceled" => subscription_cancelled,
        noise => return ignored(noise),
    };
    let occurred_at = moment("occurred_at", envelope.occurred_at)?.unwrap_or(request.clock);
    read(&Delivery { request, event_id, occurred_at }, envelope.data)
}

fn transaction(delivery: &Delivery<'_>, data: Raw<'_>) -> Result<Reading, Defect> {
    let data: Transaction<'_> = object("data", data)?;
    let external_id = id("data.id", data.id)?;
    let details = data.details.required("data.details")?;
    let totals = details.totals.required("data.details.totals")?;
    let (gross, net) = sale_amounts("data.details.totals", totals)?;
    let gross = gross.ok_or_else(|| Defect::missing("data.details.totals.total"))?;
    let currency = agreed_currency("data.details.totals.currency_code", totals, data.currency_code)?;
    let discount_id = optional_id("data.discount_id", data.discount_id)?;
    let metadata = Metadata::read(CUSTOM_DATA, data.custom_data, delivery.request.settings)?;
    let subscription_id = optional_id("data.subscription_id", data.subscription_id)?;
    let prices = data.items.0.iter().filter_map(|item| item.get()?.price.get());
    let interval = details::interval(prices.map(|price| price.billing_cycle.get()), &subscription_id);
    let sale = Sale {
        currency,
        gross,
        net,
        lines: sale_lines(&details.line_items, net)?,
        subscription_id,
        recurrence: match string("data.origin", data.origin)?.as_deref() {
            Some("web" | "api") => Recurrence::First,
            Some("subscription_recurring") => Recurrence::Renewal,
            // A charge or change within a subscription is neither its first payment nor a period's.
            _ => Recurrence::Unknown,
        },
        referral: metadata.referral(CUSTOM_DATA)?,
        coupon: (!discount_id.is_empty()).then_some(CouponRef::ProviderRef(discount_id)),
        external_id: external_id.clone(),
        aliases: Vec::new(),
        // The body names the customer's address by an id alone.
        details: details::details(String::new(), interval, std::iter::once(&metadata)),
    };
    let identifiers = identifiers("data.customer_id", data.customer_id, &metadata)?;
    let paid_at = paid_at(&data)?;
    Ok(delivery.fact(external_id, "completed", paid_at, identifiers, FactBody::Sale(sale)))
}

/// Gross, and net of discount and tax where the totals give it.
fn sale_amounts(path: impl Path, totals: &Totals<'_>) -> Result<(Option<Minor>, Option<Minor>), Defect> {
    let gross = optional_digits_amount(format_args!("{path}.total"), totals.total)?;
    let subtotal = optional_digits_amount(format_args!("{path}.subtotal"), totals.subtotal)?;
    let discount =
        optional_digits_amount(format_args!("{path}.discount"), totals.discount)?.unwrap_or_default();
    let Some(subtotal) = subtotal else { return Ok((gross, None)) };
    match subtotal.minus(discount) {
        Ok(net) if net >= Minor::ZERO => Ok((gross, Some(net))),
        _ => Err(Defect::new(reason::BAD_AMOUNT, format!("{path}.discount is larger than the subtotal"))),
    }
}

/// The currency of `totals`, which must be the object's own where both are written.
fn agreed_currency(path: &str, totals: &Totals<'_>, own: Raw<'_>) -> Result<Currency, Defect> {
    let written = if totals.currency_code.is_some() {
        (path, totals.currency_code)
    } else {
        ("data.currency_code", own)
    };
    let found = currency(written.0, written.1)?;
    if own.is_some() && currency("data.currency_code", own)? != found {
        return Err(Defect::new(reason::CONTRADICTORY, format!("data.currency_code and {path} differ")));
    }
    Ok(found)
}

/// The lines, where each has an id and an amount and they sum to the net; otherwise none, and a refund goes pro rata.
fn sale_lines(items: &List<LineItem<'_>>, net: Option<Minor>) -> Result<Vec<SaleLine>, Defect> {
    let mut lines = Vec::with_capacity(items.0.len());
    let mut sum = Minor::ZERO;
    let mut complete = true;
    for (place, item) in items.0.iter().enumerate() {
        let path = format_args!("data.details.line_items[{place}]");
        let item = item.required(path)?;
        let line_id = optional_id(format_args!("{path}.id"), item.id)?;
        let line_net = match item.totals.get() {
            Some(totals) => sale_amounts(format_args!("{path}.totals"), totals)?.1,
            None => None,
        };
        let (Some(line_net), false) = (line_net, line_id.is_empty()) else {
            complete = false;
            continue;
        };
        sum = sum
            .plus(line_net)
            .map_err(|_| Defect::new(reason::BAD_AMOUNT, format!("{path}: the lines sum to no amount")))?;
        lines.push(SaleLine {
            line_id,
            net: line_net,
            product_id: match item.product.get() {
                Some(product) => optional_id(format_args!("{path}.product.id"), product.id)?,
                None => String::new(),
            },
            price_id: optional_id(format_args!("{path}.price_id"), item.price_id)?,
            quantity: item.quantity.and_then(|raw| raw.get().parse().ok()).unwrap_or_default(),
            ..SaleLine::default()
        });
    }
    if !complete || net != Some(sum) {
        lines.clear();
    }
    Ok(lines)
}

/// When the money came: the newest capture, else the moment of billing.
fn paid_at(data: &Transaction<'_>) -> Result<Option<Micros>, Defect> {
    let mut newest = None;
    for payment in data.payments.0.iter().filter_map(Object::get) {
        if string("data.payments[].status", payment.status)?.as_deref() == Some("captured") {
            newest = newest.max(moment("data.payments[].captured_at", payment.captured_at)?);
        }
    }
    Ok(newest.or(moment("data.billed_at", data.billed_at)?))
}

/// The provider's customer, and the merchant's own key of it.
fn identifiers(path: &str, customer_id: Raw<'_>, metadata: &Metadata<'_>) -> Result<Vec<Identifier>, Defect> {
    let mut found = Vec::with_capacity(2);
    let customer = optional_id(path, customer_id)?;
    if !customer.is_empty() {
        found.push(identifier(CUSTOMER_NAMESPACE, customer));
    }
    if let Some(key) = metadata.customer_key(CUSTOM_DATA)? {
        found.push(identifier("customer_key", key));
    }
    Ok(found)
}

fn identifier(namespace: &str, value: String) -> Identifier {
    Identifier { namespace: namespace.to_owned(), subject: None, value: Personal::Open(value) }
}

fn adjustment(delivery: &Delivery<'_>, data: Raw<'_>) -> Result<Reading, Defect> {
    let data: Adjustment<'_> = object("data", data)?;
    let object_id = id("data.id", data.id)?;
    let action = id("data.action", data.action)?;
    let family = match action.as_str() {
        "refund" => ReversalFamily::Refund,
        "chargeback" => ReversalFamily::Chargeback,
        "chargeback_reverse" => ReversalFamily::ChargebackReverse,
        // A credit gives the customer no money back.
        "credit" | "credit_reverse" => return Ok(Reading::Ignored { reason: "policy".to_owned() }),
        "chargeback_warning" | "chargeback_warning_reverse" => ReversalFamily::ChargebackWarning,
        _ => {
            return Err(Defect::new(
                reason::UNSUPPORTED_EVENT,
                "data.action is none that this version knows; retry it with one that does",
            ));
        }
    };
    let status = id("data.status", data.status)?;
    let state = match status.as_str() {
        "pending_approval" => ReversalState::Pending,
        "approved" => ReversalState::Live,
        "rejected" | "reversed" => ReversalState::Dead,
        _ => {
            return Err(Defect::new(
                reason::BAD_FIELD,
                "data.status is none that this version knows; retry it with one that does",
            ));
        }
    };
    // The end of a warning is an object of its own, which does not name the warning: a dead one.
    let state = match (action.as_str(), state) {
        ("chargeback_warning_reverse", ReversalState::Live) => ReversalState::Dead,
        ("chargeback_warning_reverse", _) => return Ok(Reading::Ignored { reason: "policy".to_owned() }),
        (_, state) => state,
    };
    let totals = data.totals.required("data.totals")?;
    let reversal = Reversal {
        sale_external_id: id("data.transaction_id", data.transaction_id)?,
        currency: agreed_currency("data.totals.currency_code", totals, data.currency_code)?,
        gross: digits_amount("data.totals.total", totals.total)?,
        net: optional_digits_amount("data.totals.subtotal", totals.subtotal)?,
        lines: reversal_lines(&data.items)?,
        family,
        state,
        sale_aliases: Vec::new(),
    };
    Ok(delivery.fact(object_id, &status, None, Vec::new(), FactBody::Reversal(reversal)))
}

/// The lines that an adjustment names, each once. An item that takes only tax takes nothing from its line.
fn reversal_lines(items: &List<AdjustmentItem<'_>>) -> Result<Vec<ReversalLine>, Defect> {
    let mut nets: BTreeMap<String, Minor> = BTreeMap::new();
    for (place, item) in items.0.iter().enumerate() {
        let path = format_args!("data.items[{place}]");
        let item = item.required(path)?;
        let line_id = optional_id(format_args!("{path}.item_id"), item.item_id)?;
        let Some(totals) = item.totals.get() else { continue };
        let subtotal = format_args!("{path}.totals.subtotal");
        let net = optional_digits_amount(subtotal, totals.subtotal)?.unwrap_or_default();
        if line_id.is_empty() || net == Minor::ZERO {
            continue;
        }
        let sum = nets.entry(line_id).or_default();
        *sum = sum.plus(net).map_err(|_| {
            Defect::new(reason::BAD_AMOUNT, format!("{subtotal}: the items sum to no amount"))
        })?;
    }
    Ok(nets.into_iter().map(|(line_id, net)| ReversalLine { line_id, net }).collect())
}

fn customer(delivery: &Delivery<'_>, data: Raw<'_>) -> Result<Reading, Defect> {
    let data: Customer<'_> = object("data", data)?;
    let object_id = id("data.id", data.id)?;
    let metadata = Metadata::read(CUSTOM_DATA, data.custom_data, delivery.request.settings)?;
    let mut found = identifiers("data.id", data.id, &metadata)?;
    if let Some(email) = code("data.email", data.email)? {
        // Only ASCII is folded: what other letters fold to changes with the tables of the day, and a replay must not.
        let email = email.trim_matches([' ', '\t', '\r', '\n']).to_ascii_lowercase();
        if email.contains('@') {
            found.push(identifier("email", email));
        }
    }
    if found.len() < 2 {
        return Ok(Reading::Ignored { reason: "not_money_event".to_owned() });
    }
    // A later version of the customer is another fact, not a conflict: the delivery is the state.
    Ok(delivery.fact(object_id, delivery.event_id, None, found, FactBody::CustomerLink))
}

/// Only what is over now: a cancellation at the end of the period is an update of the subscription until then.
fn subscription_cancelled(delivery: &Delivery<'_>, data: Raw<'_>) -> Result<Reading, Defect> {
    let data: Subscription<'_> = object("data", data)?;
    let subscription_id = id("data.id", data.id)?;
    let at = moment("data.canceled_at", data.canceled_at)?;
    let body = FactBody::SubscriptionCancelled { subscription_id: subscription_id.clone() };
    Ok(delivery.fact(subscription_id, "canceled", at, Vec::new(), body))
}

fn discount(delivery: &Delivery<'_>, data: Raw<'_>) -> Result<Reading, Defect> {
    let data: Discount<'_> = object("data", data)?;
    let provider_ref = id("data.id", data.id)?;
    let Some(code) = code("data.code", data.code)? else {
        // A discount that nobody can type.
        return Ok(Reading::Ignored { reason: "not_money_event".to_owned() });
    };
    let body = FactBody::CouponDefinition { provider_ref: provider_ref.clone(), code };
    // A merchant may change the code: as with customers, the delivery is the state.
    Ok(delivery.fact(provider_ref, delivery.event_id, None, Vec::new(), body))
}

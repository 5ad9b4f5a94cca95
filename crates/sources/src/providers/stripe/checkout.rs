//! Checkout sessions: a sale each where the program counts them, unless an invoice tells the same payment.
use super::super::details::{Addressed, country, details};
use super::money::Money;
use super::{Delivery, aliases, facts_or_ignored, identifiers, ignored, referral};
use crate::defect::{Defect, reason};
use crate::json::{Object, Raw, code, id, object, reference, string};
use domain::config::SaleFrom;
use domain::facts::{FactBody, Recurrence, Referral, Sale};
use domain::money::Minor;
use domain::normalization::Reading;
use serde::Deserialize;

#[derive(Deserialize)]
struct Session<'a> {
    #[serde(borrow, default)]
    id: Raw<'a>,
    #[serde(borrow, default)]
    mode: Raw<'a>,
    #[serde(borrow, default)]
    payment_status: Raw<'a>,
    #[serde(borrow, default)]
    currency: Raw<'a>,
    #[serde(borrow, default)]
    amount_total: Raw<'a>,
    #[serde(borrow, default)]
    total_details: Object<TotalDetails<'a>>,
    #[serde(borrow, default)]
    customer: Raw<'a>,
    #[serde(borrow, default)]
    customer_details: Object<Addressed<'a>>,
    #[serde(borrow, default)]
    payment_intent: Raw<'a>,
    #[serde(borrow, default)]
    invoice: Raw<'a>,
    #[serde(borrow, default)]
    subscription: Raw<'a>,
    #[serde(borrow, default)]
    client_reference_id: Raw<'a>,
    #[serde(borrow, default)]
    metadata: Raw<'a>,
}

#[derive(Deserialize)]
struct TotalDetails<'a> {
    #[serde(borrow, default)]
    amount_tax: Raw<'a>,
    #[serde(borrow, default)]
    amount_shipping: Raw<'a>,
}

/// `checkout.session.completed` and `.async_payment_succeeded`.
pub(super) fn session(delivery: &Delivery<'_>, data: Raw<'_>) -> Result<Reading, Defect> {
    let data: Session<'_> = object("data.object", data)?;
    let session = id("data.object.id", data.id)?;
    let intent = reference("data.object.payment_intent", data.payment_intent)?;
    let invoice = reference("data.object.invoice", data.invoice)?;
    let places = [delivery.metadata("data.object.metadata", data.metadata)?];
    if delivery.request.settings.sale_from != SaleFrom::CheckoutAndInvoice || data.is_invoiced(&invoice)? {
        // No refund names a session, so where charges are money it is no name worth knowing.
        let link = match delivery.request.settings.sale_from {
            SaleFrom::Charge => None,
            SaleFrom::Invoice | SaleFrom::CheckoutAndInvoice => {
                delivery.sale_link(&invoice, vec![intent, session])
            }
        };
        let customer = delivery.customer_link("data.object.customer", data.customer, &places)?;
        return Ok(facts_or_ignored(link.into_iter().chain(customer).collect()));
    }
    if string("data.object.payment_status", data.payment_status)?.as_deref() != Some("paid") {
        // A slow method of payment: `async_payment_succeeded` follows when the money is there.
        return Ok(ignored(super::NOT_MONEY));
    }
    let money = Money::read("data.object.currency", data.currency)?;
    let gross = money.amount("data.object.amount_total", data.amount_total)?;
    let typed = match referral(&places)? {
        Some(found) => Some(found),
        None => code("data.object.client_reference_id", data.client_reference_id)?
            .map(|code| Referral { code, found_at: "data.object.client_reference_id".to_owned() }),
    };
    let sale = Sale {
        external_id: session.clone(),
        currency: money.currency,
        gross,
        net: data.net(&money, gross)?,
        lines: Vec::new(),
        subscription_id: String::new(),
        recurrence: Recurrence::First,
        referral: typed,
        coupon: None,
        aliases: aliases(&session, vec![intent]),
        // What is paid more than once has invoices.
        details: details(
            data.customer_details.get().map(|customer| country(&customer.address)).unwrap_or_default(),
            "once",
            places.iter().map(|place| &place.metadata),
        ),
    };
    let found = identifiers("data.object.customer", data.customer, &places)?;
    Ok(Reading::Facts(vec![delivery.fact(session, "paid", None, found, FactBody::Sale(sale))]))
}

impl Session<'_> {
    /// Whether an invoice tells the same payment.
    fn is_invoiced(&self, invoice: &str) -> Result<bool, Defect> {
        Ok(!invoice.is_empty()
            || !reference("data.object.subscription", self.subscription)?.is_empty()
            || string("data.object.mode", self.mode)?.as_deref() == Some("subscription"))
    }

    /// Without tax and shipping, where the body says them.
    fn net(&self, money: &Money, gross: Minor) -> Result<Option<Minor>, Defect> {
        let Some(details) = self.total_details.get() else { return Ok(None) };
        let Some(tax) = money.optional("data.object.total_details.amount_tax", details.amount_tax)? else {
            return Ok(None);
        };
        let shipping =
            money.optional("data.object.total_details.amount_shipping", details.amount_shipping)?;
        let net = gross.minus(tax).and_then(|rest| rest.minus(shipping.unwrap_or_default()));
        match net {
            Ok(net) if net >= Minor::ZERO => Ok(Some(net)),
            _ => Err(Defect::new(
                reason::CONTRADICTORY,
                "data.object.total_details is more than data.object.amount_total",
            )),
        }
    }
}

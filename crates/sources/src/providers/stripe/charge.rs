//! Charges: a sale each where the program counts charges, cumulative refunds always. And payment intents, which only link.
use super::super::details::{Addressed, country, details};
use super::money::Money;
use super::{Delivery, aliases, facts_or_ignored, identifiers, ignored, referral};
use crate::defect::{Defect, reason};
use crate::json::{List, Object, Raw, id, object, reference, string, truth, unix_seconds};
use domain::config::SaleFrom;
use domain::facts::{FactBody, Recurrence, Reversal, ReversalFamily, ReversalState, Sale};
use domain::money::Minor;
use domain::normalization::Reading;
use serde::Deserialize;

#[derive(Deserialize)]
struct Charge<'a> {
    #[serde(borrow, default)]
    id: Raw<'a>,
    #[serde(borrow, default)]
    amount: Raw<'a>,
    #[serde(borrow, default)]
    amount_captured: Raw<'a>,
    #[serde(borrow, default)]
    amount_refunded: Raw<'a>,
    #[serde(borrow, default)]
    captured: Raw<'a>,
    #[serde(borrow, default)]
    status: Raw<'a>,
    #[serde(borrow, default)]
    created: Raw<'a>,
    #[serde(borrow, default)]
    currency: Raw<'a>,
    #[serde(borrow, default)]
    customer: Raw<'a>,
    #[serde(borrow, default)]
    billing_details: Object<Addressed<'a>>,
    #[serde(borrow, default)]
    payment_intent: Raw<'a>,
    /// Only up to the API versions of 2024.
    #[serde(borrow, default)]
    invoice: Raw<'a>,
    #[serde(borrow, default)]
    metadata: Raw<'a>,
}

/// What a charge took, and what of its amount was never captured.
struct Amounts {
    money: Money,
    captured: Minor,
    never_captured: Minor,
}

impl Charge<'_> {
    fn amounts(&self) -> Result<Amounts, Defect> {
        let money = Money::read("data.object.currency", self.currency)?;
        let amount = money.amount("data.object.amount", self.amount)?;
        let captured = match money.optional("data.object.amount_captured", self.amount_captured)? {
            Some(captured) => captured,
            // Versions without the amount know only all or nothing.
            None if truth("data.object.captured", self.captured)? == Some(false) => Minor::ZERO,
            None => amount,
        };
        let never_captured = amount.minus(captured).ok().filter(|rest| *rest >= Minor::ZERO);
        let never_captured = never_captured.ok_or_else(|| {
            Defect::new(
                reason::CONTRADICTORY,
                "data.object.amount_captured is larger than data.object.amount",
            )
        })?;
        Ok(Amounts { money, captured, never_captured })
    }
}

/// `charge.succeeded` and `charge.captured`: one sale per charge, once the money is captured.
pub(super) fn paid(delivery: &Delivery<'_>, data: Raw<'_>) -> Result<Reading, Defect> {
    let data: Charge<'_> = object("data.object", data)?;
    let charge = id("data.object.id", data.id)?;
    let intent = reference("data.object.payment_intent", data.payment_intent)?;
    let places = [delivery.metadata("data.object.metadata", data.metadata)?];
    if delivery.request.settings.sale_from != SaleFrom::Charge {
        let invoice = reference("data.object.invoice", data.invoice)?;
        let link = delivery.sale_link(&invoice, vec![charge, intent]);
        let customer = delivery.customer_link("data.object.customer", data.customer, &places)?;
        return Ok(facts_or_ignored(link.into_iter().chain(customer).collect()));
    }
    let failed = string("data.object.status", data.status)?.is_some_and(|status| status != "succeeded");
    if failed || truth("data.object.captured", data.captured)? == Some(false) {
        // An authorization may still expire: it becomes a sale when it is captured.
        return Ok(ignored(super::NOT_MONEY));
    }
    let amounts = data.amounts()?;
    let sale = Sale {
        external_id: charge.clone(),
        currency: amounts.money.currency,
        gross: amounts.captured,
        // A charge never says how much of it is tax.
        net: None,
        lines: Vec::new(),
        subscription_id: String::new(),
        recurrence: Recurrence::Unknown,
        referral: referral(&places)?,
        coupon: None,
        aliases: aliases(&charge, vec![intent]),
        // The card's country is its bank's, and a charge never says how often it comes.
        details: details(
            data.billing_details.get().map(|billing| country(&billing.address)).unwrap_or_default(),
            "",
            places.iter().map(|place| &place.metadata),
        ),
    };
    let found = identifiers("data.object.customer", data.customer, &places)?;
    // A charge is created when it is authorized; a capture comes later.
    let at = match delivery.event_type {
        "charge.captured" => None,
        _ => unix_seconds("data.object.created", data.created)?,
    };
    Ok(Reading::Facts(vec![delivery.fact(charge, "succeeded", at, found, FactBody::Sale(sale))]))
}

/// `charge.refunded`: everything refunded of a charge so far.
pub(super) fn refunded(delivery: &Delivery<'_>, data: Raw<'_>) -> Result<Reading, Defect> {
    let data: Charge<'_> = object("data.object", data)?;
    let charge = id("data.object.id", data.id)?;
    let amounts = data.amounts()?;
    let refunded = amounts.money.amount("data.object.amount_refunded", data.amount_refunded)?;
    // What was authorized and never captured is handed back too, and was never a sale. A total below it cannot include it.
    let total = match refunded.minus(amounts.never_captured) {
        Ok(total) if total >= Minor::ZERO => total,
        _ => refunded,
    };
    if total == Minor::ZERO || amounts.captured == Minor::ZERO {
        return Ok(ignored(super::NOT_MONEY));
    }
    let mut others = vec![reference("data.object.payment_intent", data.payment_intent)?];
    if delivery.request.settings.sale_from != SaleFrom::Charge {
        others.push(reference("data.object.invoice", data.invoice)?);
    }
    let reversal = Reversal {
        sale_external_id: charge.clone(),
        currency: amounts.money.currency,
        gross: total,
        net: None,
        lines: Vec::new(),
        family: ReversalFamily::RefundTotal,
        state: ReversalState::Live,
        sale_aliases: aliases(&charge, others),
    };
    let state = total.to_string();
    let body = FactBody::Reversal(reversal);
    Ok(Reading::Facts(vec![delivery.fact(charge, &state, None, Vec::new(), body)]))
}

#[derive(Deserialize)]
struct Intent<'a> {
    #[serde(borrow, default)]
    id: Raw<'a>,
    #[serde(borrow, default)]
    customer: Raw<'a>,
    #[serde(borrow, default)]
    latest_charge: Raw<'a>,
    /// In its place up to the API versions of 2022.
    #[serde(borrow, default)]
    charges: Object<Charges<'a>>,
    /// Only up to the API versions of 2024.
    #[serde(borrow, default)]
    invoice: Raw<'a>,
    #[serde(borrow, default)]
    metadata: Raw<'a>,
}

#[derive(Deserialize)]
struct Charges<'a> {
    #[serde(borrow, default)]
    data: List<ChargeId<'a>>,
}

#[derive(Deserialize)]
struct ChargeId<'a> {
    #[serde(borrow, default)]
    id: Raw<'a>,
}

/// `payment_intent.succeeded`: the same money once more, so only what it links.
pub(super) fn intent(delivery: &Delivery<'_>, data: Raw<'_>) -> Result<Reading, Defect> {
    let data: Intent<'_> = object("data.object", data)?;
    let intent = id("data.object.id", data.id)?;
    let mut charge = reference("data.object.latest_charge", data.latest_charge)?;
    let newest = data.charges.get().and_then(|charges| charges.data.0.first()).and_then(Object::get);
    if let (true, Some(newest)) = (charge.is_empty(), newest) {
        charge = reference("data.object.charges.data[0].id", newest.id)?;
    }
    let link = match delivery.request.settings.sale_from {
        SaleFrom::Charge => delivery.sale_link(&charge, vec![intent]),
        SaleFrom::Invoice | SaleFrom::CheckoutAndInvoice => {
            let invoice = reference("data.object.invoice", data.invoice)?;
            delivery.sale_link(&invoice, vec![intent, charge])
        }
    };
    let places = [delivery.metadata("data.object.metadata", data.metadata)?];
    let customer = delivery.customer_link("data.object.customer", data.customer, &places)?;
    Ok(facts_or_ignored(link.into_iter().chain(customer).collect()))
}

//! Invoices: a sale each where the program counts invoices. They say what charges do not: tax, lines, first or renewal.
use super::super::details::{Address, Cycle, country, details, interval};
use super::money::Money;
use super::{Delivery, Place, aliases, facts_or_ignored, identifiers, ignored, referral};
use crate::defect::{Defect, reason};
use crate::json::{List, Object, Path, Raw, id, object, optional_id, reference, string, truth, unix_seconds};
use domain::config::SaleFrom;
use domain::facts::{CouponRef, FactBody, Recurrence, Sale, SaleLine};
use domain::money::Minor;
use domain::normalization::Reading;
use serde::Deserialize;

/// Payments of one invoice that are looked at; Stripe sends ten at most.
const MAX_PAYMENTS: usize = 16;

#[derive(Deserialize)]
struct Invoice<'a> {
    #[serde(borrow, default)]
    id: Raw<'a>,
    #[serde(borrow, default)]
    currency: Raw<'a>,
    #[serde(borrow, default)]
    customer: Raw<'a>,
    #[serde(borrow, default)]
    customer_address: Object<Address<'a>>,
    #[serde(borrow, default)]
    billing_reason: Raw<'a>,
    #[serde(borrow, default)]
    total: Raw<'a>,
    #[serde(borrow, default)]
    total_excluding_tax: Raw<'a>,
    #[serde(borrow, default)]
    amount_shipping: Raw<'a>,
    /// Up to the API versions of 2024, as `total_tax_amounts`, `charge`, `payment_intent`, `subscription`, `discount`.
    #[serde(borrow, default)]
    tax: Raw<'a>,
    #[serde(borrow, default)]
    total_tax_amounts: Option<List<Tax<'a>>>,
    #[serde(borrow, default)]
    total_taxes: Option<List<Tax<'a>>>,
    #[serde(borrow, default)]
    charge: Raw<'a>,
    #[serde(borrow, default)]
    payment_intent: Raw<'a>,
    #[serde(borrow, default)]
    subscription: Raw<'a>,
    #[serde(borrow, default)]
    discount: Object<Discount<'a>>,
    #[serde(borrow, default)]
    discounts: List<Discount<'a>>,
    #[serde(borrow, default)]
    subscription_details: Object<SubscriptionDetails<'a>>,
    #[serde(borrow, default)]
    parent: Object<Parent<'a>>,
    #[serde(borrow, default)]
    payments: Object<Payments<'a>>,
    #[serde(borrow, default)]
    lines: Object<Lines<'a>>,
    #[serde(borrow, default)]
    status_transitions: Object<Transitions<'a>>,
    #[serde(borrow, default)]
    metadata: Raw<'a>,
}

/// A tax of an invoice or a line, of either shape.
#[derive(Deserialize)]
struct Tax<'a> {
    #[serde(borrow, default)]
    amount: Raw<'a>,
    #[serde(borrow, default)]
    inclusive: Raw<'a>,
    #[serde(borrow, default)]
    tax_behavior: Raw<'a>,
}

#[derive(Deserialize)]
struct Discount<'a> {
    #[serde(borrow, default)]
    promotion_code: Raw<'a>,
}

#[derive(Deserialize)]
struct Parent<'a> {
    #[serde(borrow, default)]
    subscription_details: Object<SubscriptionDetails<'a>>,
}

#[derive(Deserialize)]
struct SubscriptionDetails<'a> {
    #[serde(borrow, default)]
    subscription: Raw<'a>,
    #[serde(borrow, default)]
    metadata: Raw<'a>,
}

#[derive(Deserialize)]
struct Payments<'a> {
    #[serde(borrow, default)]
    data: List<InvoicePayment<'a>>,
}

#[derive(Deserialize)]
struct InvoicePayment<'a> {
    #[serde(borrow, default)]
    id: Raw<'a>,
    #[serde(borrow, default)]
    invoice: Raw<'a>,
    #[serde(borrow, default)]
    payment: Object<Payment<'a>>,
}

#[derive(Deserialize)]
struct Payment<'a> {
    #[serde(borrow, default)]
    charge: Raw<'a>,
    #[serde(borrow, default)]
    payment_intent: Raw<'a>,
}

#[derive(Deserialize)]
struct Transitions<'a> {
    #[serde(borrow, default)]
    paid_at: Raw<'a>,
}

#[derive(Deserialize)]
struct Lines<'a> {
    #[serde(borrow, default)]
    data: List<Line<'a>>,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, default)]
    id: Raw<'a>,
    #[serde(borrow, default)]
    amount: Raw<'a>,
    #[serde(borrow, default)]
    quantity: Raw<'a>,
    #[serde(borrow, default)]
    discount_amounts: List<Part<'a>>,
    /// The older shape of `taxes`.
    #[serde(borrow, default)]
    tax_amounts: Option<List<Tax<'a>>>,
    #[serde(borrow, default)]
    taxes: Option<List<Tax<'a>>>,
    /// The older shape of `pricing`.
    #[serde(borrow, default)]
    price: Object<Price<'a>>,
    #[serde(borrow, default)]
    pricing: Object<Pricing<'a>>,
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, default)]
    amount: Raw<'a>,
}

#[derive(Deserialize)]
struct Price<'a> {
    #[serde(borrow, default)]
    id: Raw<'a>,
    #[serde(borrow, default)]
    product: Raw<'a>,
    /// Null: paid once.
    #[serde(borrow, default)]
    recurring: Object<Cycle<'a>>,
}

#[derive(Deserialize)]
struct Pricing<'a> {
    #[serde(borrow, default)]
    price_details: Object<PriceDetails<'a>>,
}

#[derive(Deserialize)]
struct PriceDetails<'a> {
    #[serde(borrow, default)]
    price: Raw<'a>,
    #[serde(borrow, default)]
    product: Raw<'a>,
}

/// `invoice.paid` and `invoice.payment_succeeded`, which say the same.
pub(super) fn paid(delivery: &Delivery<'_>, data: Raw<'_>) -> Result<Reading, Defect> {
    let data: Invoice<'_> = object("data.object", data)?;
    let invoice = id("data.object.id", data.id)?;
    let places = data.places(delivery)?;
    if delivery.request.settings.sale_from == SaleFrom::Charge {
        let link = data.one_payment()?.and_then(|(charge, intent)| match (charge, intent) {
            (charge, intent) if charge.is_empty() => delivery.sale_link(&intent, vec![invoice]),
            (charge, intent) if intent.is_empty() => delivery.sale_link(&charge, vec![invoice]),
            // Not the invoice: several charges may pay one, and must not become one sale by it.
            (charge, intent) => delivery.sale_link(&charge, vec![intent]),
        });
        let customer = delivery.customer_link("data.object.customer", data.customer, &places)?;
        return Ok(facts_or_ignored(link.into_iter().chain(customer).collect()));
    }
    let money = Money::read("data.object.currency", data.currency)?;
    let total = money.signed("data.object.total", data.total)?;
    let gross = total.ok_or_else(|| Defect::missing("data.object.total"))?;
    if gross < Minor::ZERO {
        // What the customer is owed goes to its balance.
        return Ok(ignored(super::NOT_MONEY));
    }
    let net = data.net(&money, gross)?;
    let promotion = data.promotion_code()?;
    let subscription_id = data.subscription()?;
    let sale = Sale {
        external_id: invoice.clone(),
        currency: money.currency,
        gross,
        net,
        lines: sale_lines(&data.lines, &money, net)?,
        recurrence: match string("data.object.billing_reason", data.billing_reason)?.as_deref() {
            Some("subscription_create" | "manual" | "quote_accept") => Recurrence::First,
            Some("subscription_cycle") => Recurrence::Renewal,
            // A change within a subscription is neither its first payment nor a period's.
            _ => Recurrence::Unknown,
        },
        referral: referral(&places)?,
        coupon: (!promotion.is_empty()).then_some(CouponRef::ProviderRef(promotion)),
        aliases: aliases(&invoice, data.payments()?.into_iter().flat_map(<[String; 2]>::from).collect()),
        details: details(
            country(&data.customer_address),
            interval(data.prices().map(|price| price.recurring.get()), &subscription_id),
            places.iter().map(|place| &place.metadata),
        ),
        subscription_id,
    };
    let found = identifiers("data.object.customer", data.customer, &places)?;
    let at = match data.status_transitions.get() {
        Some(at) => unix_seconds("data.object.status_transitions.paid_at", at.paid_at)?,
        None => None,
    };
    Ok(Reading::Facts(vec![delivery.fact(invoice, "paid", at, found, FactBody::Sale(sale))]))
}

/// `invoice_payment.paid`: which payment paid which invoice. Since 2025 nothing else says so.
pub(super) fn payment(delivery: &Delivery<'_>, data: Raw<'_>) -> Result<Reading, Defect> {
    let data: InvoicePayment<'_> = object("data.object", data)?;
    let invoice = reference("data.object.invoice", data.invoice)?;
    let own = id("data.object.id", data.id)?;
    let Some(payment) = data.payment.get() else { return Ok(ignored(super::NOT_MONEY)) };
    let charge = reference("data.object.payment.charge", payment.charge)?;
    let intent = reference("data.object.payment.payment_intent", payment.payment_intent)?;
    let link = match delivery.request.settings.sale_from {
        // By this payment's own id, not by its invoice's.
        SaleFrom::Charge if charge.is_empty() => delivery.sale_link(&intent, vec![own]),
        SaleFrom::Charge => delivery.sale_link(&charge, vec![intent, own]),
        SaleFrom::Invoice | SaleFrom::CheckoutAndInvoice => {
            delivery.sale_link(&invoice, vec![charge, intent])
        }
    };
    Ok(facts_or_ignored(link.into_iter().collect()))
}

impl<'a> Invoice<'a> {
    /// Every place where a merchant's metadata may be, its own first.
    fn places(&self, delivery: &Delivery<'a>) -> Result<Vec<Place<'a>>, Defect> {
        let newer = self.parent.get().and_then(|parent| parent.subscription_details.get());
        [
            ("data.object.metadata", self.metadata),
            ("data.object.parent.subscription_details.metadata", newer.and_then(|details| details.metadata)),
            (
                "data.object.subscription_details.metadata",
                self.subscription_details.get().and_then(|details| details.metadata),
            ),
        ]
        .into_iter()
        .map(|(path, raw)| delivery.metadata(path, raw))
        .collect()
    }

    /// What paid it: the charge and the intent of each payment, as far as the body names them.
    fn payments(&self) -> Result<Vec<(String, String)>, Defect> {
        let mut payments = vec![(
            reference("data.object.charge", self.charge)?,
            reference("data.object.payment_intent", self.payment_intent)?,
        )];
        let expanded = self.payments.get().map(|payments| payments.data.0.as_slice()).unwrap_or_default();
        for (place, payment) in expanded.iter().take(MAX_PAYMENTS).enumerate() {
            let Some(payment) = payment.get().and_then(|payment| payment.payment.get()) else { continue };
            let path = format_args!("data.object.payments.data[{place}].payment");
            payments.push((
                reference(format_args!("{path}.charge"), payment.charge)?,
                reference(format_args!("{path}.payment_intent"), payment.payment_intent)?,
            ));
        }
        payments.retain(|(charge, intent)| !charge.is_empty() || !intent.is_empty());
        Ok(payments)
    }

    /// The payment, if there is one and the body names no other.
    fn one_payment(&self) -> Result<Option<(String, String)>, Defect> {
        let mut payments = self.payments()?.into_iter();
        let Some((charge, intent)) = payments.next() else { return Ok(None) };
        let same = payments.all(|(other_charge, other_intent)| {
            (!charge.is_empty() && charge == other_charge) || (!intent.is_empty() && intent == other_intent)
        });
        Ok(same.then_some((charge, intent)))
    }

    fn subscription(&self) -> Result<String, Defect> {
        let newer = self.parent.get().and_then(|parent| parent.subscription_details.get());
        let newer = newer.and_then(|details| details.subscription);
        if newer.is_some() {
            return reference("data.object.parent.subscription_details.subscription", newer);
        }
        reference("data.object.subscription", self.subscription)
    }

    /// The promotion code that a customer typed, where the body has the discount itself and not its id alone.
    fn promotion_code(&self) -> Result<String, Defect> {
        let expanded = self.discounts.0.iter().filter_map(Object::get);
        for discount in self.discount.get().into_iter().chain(expanded) {
            let code = reference("data.object.discounts[].promotion_code", discount.promotion_code)?;
            if !code.is_empty() {
                return Ok(code);
            }
        }
        Ok(String::new())
    }

    /// The prices of its lines, where the body has them; newer ones have their ids only.
    fn prices(&self) -> impl Iterator<Item = &Price<'a>> {
        let lines = self.lines.get().map(|lines| lines.data.0.as_slice()).unwrap_or_default();
        lines.iter().filter_map(|line| line.get()?.price.get())
    }

    /// Without tax and shipping. Never by subtracting discounts from the subtotal: those of single lines are in it already.
    fn net(&self, money: &Money, gross: Minor) -> Result<Option<Minor>, Defect> {
        let without_tax = match money.optional("data.object.total_excluding_tax", self.total_excluding_tax)? {
            Some(net) => Some(net),
            None => {
                let tax = match (&self.total_taxes, &self.total_tax_amounts) {
                    (Some(taxes), _) => Some(tax_sum("data.object.total_taxes", taxes, money)?),
                    (None, Some(taxes)) => Some(tax_sum("data.object.total_tax_amounts", taxes, money)?),
                    (None, None) => money.optional("data.object.tax", self.tax)?,
                };
                tax.map(|tax| gross.minus(tax)).transpose().map_err(|_| out_of_range("data.object.tax"))?
            }
        };
        let Some(without_tax) = without_tax else { return Ok(None) };
        let shipping =
            money.optional("data.object.amount_shipping", self.amount_shipping)?.unwrap_or_default();
        match without_tax.minus(shipping) {
            Ok(net) if (Minor::ZERO..=gross).contains(&net) => Ok(Some(net)),
            _ => Err(Defect::new(
                reason::CONTRADICTORY,
                "data.object.total_excluding_tax, total and amount_shipping do not fit together",
            )),
        }
    }
}

fn out_of_range(path: impl Path) -> Defect {
    Defect::new(reason::BAD_AMOUNT, format!("{path}: the amounts sum to no amount"))
}

fn tax_sum(path: impl Path, taxes: &List<Tax<'_>>, money: &Money) -> Result<Minor, Defect> {
    sum(path, taxes.0.iter().filter_map(Object::get).map(|tax| tax.amount), money)
}

fn sum<'a>(path: impl Path, amounts: impl Iterator<Item = Raw<'a>>, money: &Money) -> Result<Minor, Defect> {
    let mut sum = Minor::ZERO;
    for (place, raw) in amounts.enumerate() {
        let amount = money.signed(format_args!("{path}[{place}].amount"), raw)?.unwrap_or_default();
        sum = sum.plus(amount).map_err(|_| out_of_range(path))?;
    }
    Ok(sum)
}

/// The lines, where each has an id and an amount that is not negative and they sum to the net; otherwise none.
fn sale_lines(lines: &Object<Lines<'_>>, money: &Money, net: Option<Minor>) -> Result<Vec<SaleLine>, Defect> {
    let items = lines.get().map(|lines| lines.data.0.as_slice()).unwrap_or_default();
    let mut lines = Vec::with_capacity(items.len());
    let (mut total, mut complete) = (Minor::ZERO, true);
    for (place, item) in items.iter().enumerate() {
        let path = format_args!("data.object.lines.data[{place}]");
        let item = item.required(path)?;
        let line_id = optional_id(format_args!("{path}.id"), item.id)?;
        let line_net = line_net(path, item, money)?.filter(|net| *net >= Minor::ZERO);
        let (Some(line_net), false) = (line_net, line_id.is_empty()) else {
            complete = false;
            continue;
        };
        total = total.plus(line_net).map_err(|_| out_of_range(path))?;
        let (price_id, product_id) = price_and_product(path, item)?;
        let quantity = item.quantity.and_then(|raw| raw.get().parse().ok()).unwrap_or_default();
        lines.push(SaleLine {
            line_id,
            net: line_net,
            product_id,
            price_id,
            quantity,
            ..SaleLine::default()
        });
    }
    if !complete || net != Some(total) {
        lines.clear();
    }
    Ok(lines)
}

/// The amount of a line less its discounts and the taxes that are inside it; those on top are not in `amount`.
fn line_net(path: impl Path, line: &Line<'_>, money: &Money) -> Result<Option<Minor>, Defect> {
    let Some(amount) = money.signed(format_args!("{path}.amount"), line.amount)? else { return Ok(None) };
    let discounts = line.discount_amounts.0.iter().filter_map(Object::get).map(|part| part.amount);
    let discount = sum(format_args!("{path}.discount_amounts"), discounts, money)?;
    let mut inside = Vec::new();
    let taxes = line.taxes.as_ref().or(line.tax_amounts.as_ref());
    for tax in taxes.map(|taxes| taxes.0.as_slice()).unwrap_or_default().iter().filter_map(Object::get) {
        let inclusive = truth(format_args!("{path}.tax_amounts[].inclusive"), tax.inclusive)?;
        let behavior = string(format_args!("{path}.taxes[].tax_behavior"), tax.tax_behavior)?;
        if inclusive == Some(true) || behavior.as_deref() == Some("inclusive") {
            inside.push(tax.amount);
        }
    }
    let tax = sum(format_args!("{path}.taxes"), inside.into_iter(), money)?;
    let net = amount.minus(discount).and_then(|rest| rest.minus(tax));
    net.map(Some).map_err(|_| out_of_range(path))
}

fn price_and_product(path: impl Path, line: &Line<'_>) -> Result<(String, String), Defect> {
    if let Some(newer) = line.pricing.get().and_then(|pricing| pricing.price_details.get()) {
        let path = format_args!("{path}.pricing.price_details");
        return Ok((
            reference(format_args!("{path}.price"), newer.price)?,
            reference(format_args!("{path}.product"), newer.product)?,
        ));
    }
    let Some(older) = line.price.get() else { return Ok(Default::default()) };
    let path = format_args!("{path}.price");
    Ok((
        reference(format_args!("{path}.id"), older.id)?,
        reference(format_args!("{path}.product"), older.product)?,
    ))
}

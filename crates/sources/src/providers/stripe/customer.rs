//! Customers, subscriptions and promotion codes: no money, but what ties sales to people, partners and their end.
use super::{Delivery, facts_or_ignored, ignored};
use crate::defect::Defect;
use crate::json::{Raw, code, id, object, unix_seconds};
use domain::facts::FactBody;
use domain::normalization::Reading;
use serde::Deserialize;

#[derive(Deserialize)]
struct Customer<'a> {
    #[serde(borrow, default)]
    id: Raw<'a>,
    #[serde(borrow, default)]
    metadata: Raw<'a>,
}

/// `customer.created` and `.updated`: the merchant's own key of a customer, which may come long after its first payment.
pub(super) fn customer(delivery: &Delivery<'_>, data: Raw<'_>) -> Result<Reading, Defect> {
    let data: Customer<'_> = object("data.object", data)?;
    id("data.object.id", data.id)?;
    let places = [delivery.metadata("data.object.metadata", data.metadata)?];
    let link = delivery.customer_link("data.object.id", data.id, &places)?;
    Ok(facts_or_ignored(link.into_iter().collect()))
}

#[derive(Deserialize)]
struct Subscription<'a> {
    #[serde(borrow, default)]
    id: Raw<'a>,
    #[serde(borrow, default)]
    customer: Raw<'a>,
    #[serde(borrow, default)]
    canceled_at: Raw<'a>,
    #[serde(borrow, default)]
    ended_at: Raw<'a>,
    #[serde(borrow, default)]
    metadata: Raw<'a>,
}

/// `customer.subscription.created` and `.updated`: noise, unless they link a customer. A cancellation that is only
/// scheduled is an update.
pub(super) fn subscription(delivery: &Delivery<'_>, data: Raw<'_>) -> Result<Reading, Defect> {
    let data: Subscription<'_> = object("data.object", data)?;
    let places = [delivery.metadata("data.object.metadata", data.metadata)?];
    let link = delivery.customer_link("data.object.customer", data.customer, &places)?;
    Ok(link.map_or_else(|| ignored(delivery.event_type), |link| Reading::Facts(vec![link])))
}

/// `customer.subscription.deleted`: the subscription is over.
pub(super) fn subscription_deleted(delivery: &Delivery<'_>, data: Raw<'_>) -> Result<Reading, Defect> {
    let data: Subscription<'_> = object("data.object", data)?;
    let subscription_id = id("data.object.id", data.id)?;
    // `canceled_at` is when somebody asked for it, perhaps a month before the end.
    let ended = unix_seconds("data.object.ended_at", data.ended_at)?;
    let at = ended.or(unix_seconds("data.object.canceled_at", data.canceled_at)?);
    let body = FactBody::SubscriptionCancelled { subscription_id: subscription_id.clone() };
    let places = [delivery.metadata("data.object.metadata", data.metadata)?];
    let link = delivery.customer_link("data.object.customer", data.customer, &places)?;
    let over = delivery.fact(subscription_id, "canceled", at, Vec::new(), body);
    Ok(Reading::Facts([over].into_iter().chain(link).collect()))
}

#[derive(Deserialize)]
struct PromotionCode<'a> {
    #[serde(borrow, default)]
    id: Raw<'a>,
    #[serde(borrow, default)]
    code: Raw<'a>,
}

/// `promotion_code.created` and `.updated`: what customers type for it.
pub(super) fn promotion_code(delivery: &Delivery<'_>, data: Raw<'_>) -> Result<Reading, Defect> {
    let data: PromotionCode<'_> = object("data.object", data)?;
    let provider_ref = id("data.object.id", data.id)?;
    let Some(code) = code("data.object.code", data.code)? else { return Ok(ignored(super::NOT_MONEY)) };
    let body = FactBody::CouponDefinition { provider_ref: provider_ref.clone(), code };
    Ok(Reading::Facts(vec![delivery.fact(provider_ref, delivery.event_id, None, Vec::new(), body)]))
}

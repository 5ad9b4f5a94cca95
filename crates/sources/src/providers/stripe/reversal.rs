//! Refund objects and disputes: one object in one state each, incremental amounts.
use super::money::Money;
use super::{Delivery, aliases, ignored};
use crate::defect::{Defect, reason};
use crate::json::{Raw, id, object, optional_id, reference};
use domain::facts::{FactBody, Reversal, ReversalFamily, ReversalState};
use domain::money::Minor;
use domain::normalization::Reading;
use serde::Deserialize;

/// A refund or a dispute: both have these.
#[derive(Deserialize)]
struct Back<'a> {
    #[serde(borrow, default)]
    id: Raw<'a>,
    #[serde(borrow, default)]
    amount: Raw<'a>,
    #[serde(borrow, default)]
    currency: Raw<'a>,
    #[serde(borrow, default)]
    status: Raw<'a>,
    #[serde(borrow, default)]
    charge: Raw<'a>,
    #[serde(borrow, default)]
    payment_intent: Raw<'a>,
}

impl Back<'_> {
    /// What it takes from which payment; `None` when it names no payment.
    fn reversal(&self, family: ReversalFamily, state: ReversalState) -> Result<Option<Reversal>, Defect> {
        let money = Money::read("data.object.currency", self.currency)?;
        let gross: Minor = money.amount("data.object.amount", self.amount)?;
        let charge = reference("data.object.charge", self.charge)?;
        let intent = reference("data.object.payment_intent", self.payment_intent)?;
        let sale = if charge.is_empty() { intent.clone() } else { charge };
        if sale.is_empty() {
            return Ok(None);
        }
        Ok(Some(Reversal {
            sale_aliases: aliases(&sale, vec![intent]),
            sale_external_id: sale,
            currency: money.currency,
            gross,
            net: None,
            lines: Vec::new(),
            family,
            state,
        }))
    }
}

fn unknown_status() -> Defect {
    Defect::new(
        reason::BAD_FIELD,
        "data.object.status is none that this version knows; retry it with one that does",
    )
}

/// `refund.*` and `charge.refund.updated`. A refund counts from its first moment on, as the cumulative amount of its charge
/// does, until it fails or is canceled.
pub(super) fn refund(delivery: &Delivery<'_>, data: Raw<'_>) -> Result<Reading, Defect> {
    let data: Back<'_> = object("data.object", data)?;
    let refund = id("data.object.id", data.id)?;
    let status = id("data.object.status", data.status)?;
    let state = match status.as_str() {
        "pending" | "requires_action" | "succeeded" => ReversalState::Live,
        "failed" | "canceled" => ReversalState::Dead,
        _ => return Err(unknown_status()),
    };
    match data.reversal(ReversalFamily::Refund, state)? {
        Some(reversal) => {
            let body = FactBody::Reversal(reversal);
            Ok(Reading::Facts(vec![delivery.fact(refund, &status, None, Vec::new(), body)]))
        }
        // Money of a customer's balance goes back without having been a payment.
        None => Ok(ignored(super::NOT_MONEY)),
    }
}

/// `charge.dispute.*`. Only `closed` decides: an inquiry and withdrawn funds may still come to nothing.
pub(super) fn dispute(delivery: &Delivery<'_>, data: Raw<'_>) -> Result<Reading, Defect> {
    let data: Back<'_> = object("data.object", data)?;
    let status = id("data.object.status", data.status)?;
    let moment = delivery.event_type.rsplit('.').next().unwrap_or_default();
    let state = match (moment, status.as_str()) {
        ("closed", "lost") => ReversalState::Live,
        ("closed", "won" | "warning_closed" | "prevented" | "charge_refunded") => ReversalState::Dead,
        ("closed", _) => return Err(unknown_status()),
        _ => ReversalState::Pending,
    };
    let Some(reversal) = data.reversal(ReversalFamily::Chargeback, state)? else {
        return Err(Defect::missing("data.object.charge"));
    };
    let dispute = match optional_id("data.object.id", data.id)? {
        // The oldest versions give a dispute no id: a charge had one then.
        none if none.is_empty() => reversal.sale_external_id.clone(),
        dispute => dispute,
    };
    // Withdrawn funds may show the status of another moment: what decides is part of the key, or one would hide the other.
    let state = format!("{moment}:{status}");
    let body = FactBody::Reversal(reversal);
    Ok(Reading::Facts(vec![delivery.fact(dispute, &state, None, Vec::new(), body)]))
}

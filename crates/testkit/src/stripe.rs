//! Stripe's bodies, as small as they may be.
use crate::requests::{Auth, DEMO_WEBHOOK_SECRET, Request};
use serde_json::{Value, json};

/// A webhook of `program` with the demo secret.
#[must_use]
pub fn stripe(program: &str, body: &Value) -> Request {
    Request {
        method: "POST",
        path: format!("/webhooks/stripe?program_id={program}"),
        body: body.to_string().into_bytes(),
        auth: Auth::Stripe { secret: DEMO_WEBHOOK_SECRET.to_owned() },
    }
}

/// The envelope that the provider puts around `object`, in test mode.
#[must_use]
pub fn stripe_event(event_id: &str, event_type: &str, object: Value) -> Value {
    json!({
        "id": event_id, "object": "event", "api_version": "2025-03-31.basil", "created": 1_793_527_200,
        "livemode": false, "pending_webhooks": 1, "request": {"id": null, "idempotency_key": null},
        "type": event_type, "data": {"object": object},
    })
}

/// A charge in dollars: all of `amount_minor` captured, `refunded_minor` of it refunded so far.
#[must_use]
pub fn stripe_charge(
    charge: &str,
    amount_minor: i64,
    refunded_minor: i64,
    code: Option<&str>,
    customer: Option<&str>,
) -> Value {
    json!({
        "id": charge, "object": "charge", "amount": amount_minor, "amount_captured": amount_minor,
        "amount_refunded": refunded_minor, "captured": true, "paid": true, "status": "succeeded",
        "refunded": refunded_minor == amount_minor, "currency": "usd", "created": 1_793_527_200,
        "customer": customer, "payment_intent": format!("pi_{charge}"), "livemode": false,
        "metadata": code.map_or_else(|| json!({}), |code| json!({"ref_code": code})),
    })
}

/// A successful charge.
#[must_use]
pub fn stripe_sale(
    event_id: &str,
    charge: &str,
    amount_minor: i64,
    code: Option<&str>,
    customer: Option<&str>,
) -> Value {
    stripe_event(event_id, "charge.succeeded", stripe_charge(charge, amount_minor, 0, code, customer))
}

/// A refund object in one of its states.
#[must_use]
pub fn stripe_refund(event_id: &str, refund: &str, charge: &str, amount_minor: i64, status: &str) -> Value {
    let event_type = match status {
        "pending" => "refund.created",
        "failed" => "refund.failed",
        _ => "refund.updated",
    };
    let object = json!({
        "id": refund, "object": "refund", "charge": charge, "payment_intent": format!("pi_{charge}"),
        "amount": amount_minor, "currency": "usd", "status": status, "reason": null, "metadata": {},
        "created": 1_793_527_300,
    });
    stripe_event(event_id, event_type, object)
}

/// Everything refunded of a charge so far.
#[must_use]
pub fn stripe_refunded(event_id: &str, charge: &str, amount_minor: i64, refunded_minor: i64) -> Value {
    let object = stripe_charge(charge, amount_minor, refunded_minor, None, None);
    stripe_event(event_id, "charge.refunded", object)
}

/// A dispute at one of its moments: `created`, `funds_withdrawn`, `closed`.
#[must_use]
pub fn stripe_dispute(
    event_id: &str,
    dispute: &str,
    charge: &str,
    amount_minor: i64,
    moment: &str,
    status: &str,
) -> Value {
    let object = json!({
        "id": dispute, "object": "dispute", "charge": charge, "payment_intent": format!("pi_{charge}"),
        "amount": amount_minor, "currency": "usd", "status": status, "reason": "fraudulent",
        "created": 1_793_527_400, "livemode": false,
    });
    stripe_event(event_id, &format!("charge.dispute.{moment}"), object)
}

/// A customer that carries the merchant's own key.
#[must_use]
pub fn stripe_customer(event_id: &str, customer: &str, customer_key: Option<&str>) -> Value {
    let metadata = customer_key.map_or_else(|| json!({}), |key| json!({"customer_key": key}));
    let object =
        json!({"id": customer, "object": "customer", "email": null, "livemode": false, "metadata": metadata});
    stripe_event(event_id, "customer.updated", object)
}

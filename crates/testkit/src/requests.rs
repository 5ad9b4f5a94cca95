//! Requests as merchants and providers send them. Signatures are computed here from the rule, not by the code under test.
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::time::{SystemTime, UNIX_EPOCH};

/// The demo programs' webhook secret.
pub const DEMO_WEBHOOK_SECRET: &str = "whsec_demo_tributary";
/// The demo account's secret key.
pub const DEMO_KEY: &str = "sk_demo_tributary";

/// A request, ready to be sent any number of times.
#[derive(Debug, Clone)]
pub struct Request {
    /// `POST` or `PUT`.
    pub method: &'static str,
    /// Path and query.
    pub path: String,
    /// Exact bytes.
    pub body: Vec<u8>,
    /// How it proves who sent it.
    pub auth: Auth,
}

/// How a request proves who sent it.
#[derive(Debug, Clone)]
pub enum Auth {
    /// `x-api-key`.
    ApiKey(String),
    /// `Authorization: Bearer`.
    Bearer(String),
    /// `Paddle-Signature`, made anew at each delivery as the provider does.
    Paddle {
        /// The endpoint's secret.
        secret: String,
    },
    /// `Stripe-Signature`, made anew at each delivery as the provider does.
    Stripe {
        /// The endpoint's secret.
        secret: String,
    },
    /// Exactly these headers.
    Headers(Vec<(String, String)>),
}

impl Request {
    /// The headers of one delivery now.
    #[must_use]
    pub fn headers(&self) -> Vec<(String, String)> {
        match &self.auth {
            Auth::Bearer(key) => vec![("authorization".to_owned(), format!("Bearer {key}"))],
            Auth::ApiKey(key) => vec![("x-api-key".to_owned(), key.clone())],
            Auth::Paddle { secret } => {
                vec![("Paddle-Signature".to_owned(), paddle_signature(secret, now_seconds(), &self.body))]
            }
            Auth::Stripe { secret } => {
                vec![("Stripe-Signature".to_owned(), stripe_signature(secret, now_seconds(), &self.body))]
            }
            Auth::Headers(headers) => headers.clone(),
        }
    }
}

/// Seconds since 1970.
///
/// # Panics
/// Before 1970.
#[must_use]
pub fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// `ts=…;h1=…` over `ts:body`.
///
/// # Panics
/// Never: HMAC takes keys of any length.
#[must_use]
pub fn paddle_signature(secret: &str, seconds: u64, body: &[u8]) -> String {
    format!("ts={seconds};h1={}", hmac_hex(secret, &[seconds.to_string().as_bytes(), b":", body]))
}

/// `t=…,v1=…` over `t.body`.
///
/// # Panics
/// Never: HMAC takes keys of any length.
#[must_use]
pub fn stripe_signature(secret: &str, seconds: u64, body: &[u8]) -> String {
    format!("t={seconds},v1={}", hmac_hex(secret, &[seconds.to_string().as_bytes(), b".", body]))
}

fn hmac_hex(secret: &str, parts: &[&[u8]]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    parts.iter().for_each(|part| mac.update(part));
    hex::encode(mac.finalize().into_bytes())
}

/// A webhook of `program` with the demo secret.
#[must_use]
pub fn paddle(program: &str, body: &Value) -> Request {
    Request {
        method: "POST",
        path: format!("/webhooks/paddle?program_id={program}"),
        body: body.to_string().into_bytes(),
        auth: Auth::Paddle { secret: DEMO_WEBHOOK_SECRET.to_owned() },
    }
}

/// The envelope that the provider puts around `data`.
#[must_use]
pub fn paddle_event(event_id: &str, event_type: &str, data: Value) -> Value {
    json!({
        "event_id": event_id,
        "event_type": event_type,
        "occurred_at": "2026-11-01T10:00:00.123456Z",
        "notification_id": format!("ntf_{event_id}"),
        "data": data,
    })
}

/// A completed transaction of one line: `net_minor` plus `tax_minor`.
#[must_use]
pub fn paddle_sale(
    event_id: &str,
    transaction: &str,
    net_minor: i64,
    tax_minor: i64,
    code: Option<&str>,
    customer: &str,
) -> Value {
    let totals = json!({
        "subtotal": net_minor.to_string(), "discount": "0", "tax": tax_minor.to_string(),
        "total": (net_minor + tax_minor).to_string(), "credit": "0", "balance": "0",
        "grand_total": (net_minor + tax_minor).to_string(), "fee": null, "earnings": null, "currency_code": "USD",
    });
    paddle_event(
        event_id,
        "transaction.completed",
        json!({
            "id": transaction, "status": "completed", "customer_id": customer, "subscription_id": null,
            "invoice_id": null, "discount_id": null, "origin": "web", "currency_code": "USD",
            "billed_at": "2026-11-01T10:00:00Z",
            "custom_data": code.map(|code| json!({"ref_code": code})),
            "items": [{"quantity": 1, "price": {"id": "pri_1", "product_id": "pro_1", "billing_cycle": null}}],
            "details": {"totals": totals, "line_items": [{
                "id": format!("txnitm_{transaction}"), "price_id": "pri_1", "quantity": 1, "product": {"id": "pro_1"},
                "totals": {"subtotal": net_minor.to_string(), "discount": "0", "tax": tax_minor.to_string(),
                           "total": (net_minor + tax_minor).to_string()},
            }]},
            "payments": [],
        }),
    )
}

/// An approved refund of `net_minor` plus `tax_minor`.
#[must_use]
pub fn paddle_refund(
    event_id: &str,
    adjustment: &str,
    transaction: &str,
    net_minor: i64,
    tax_minor: i64,
) -> Value {
    paddle_event(
        event_id,
        "adjustment.updated",
        json!({
            "id": adjustment, "action": "refund", "type": "partial", "status": "approved", "reason": "requested",
            "transaction_id": transaction, "customer_id": "ctm_1", "subscription_id": null, "currency_code": "USD",
            "totals": {"subtotal": net_minor.to_string(), "tax": tax_minor.to_string(),
                       "total": (net_minor + tax_minor).to_string(), "fee": "0", "earnings": "0", "currency_code": "USD"},
            "items": [],
        }),
    )
}

/// A Revshare referral with the demo key.
#[must_use]
pub fn referral(program: &str, code: &str, transaction: &str, amount_minor: i64) -> Request {
    Request {
        method: "POST",
        path: "/api/referral".to_owned(),
        body: json!({"ref_code": code, "program_id": program, "spent_amount": amount_minor,
                     "transaction_id": transaction, "currency": "USD"})
        .to_string()
        .into_bytes(),
        auth: Auth::ApiKey(DEMO_KEY.to_owned()),
    }
}

/// Configuration: the referral code earns for the partner.
#[must_use]
pub fn put_code(program: &str, code: &str, partner: &str) -> Request {
    Request {
        method: "PUT",
        path: format!("/v1/programs/{program}/codes/{code}"),
        body: json!({"partner_id": partner}).to_string().into_bytes(),
        auth: Auth::Bearer(DEMO_KEY.to_owned()),
    }
}

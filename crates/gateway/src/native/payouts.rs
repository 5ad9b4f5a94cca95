//! Payouts, rates, write-offs and destinations: what of them is logged, and what their answers say.
use super::{Call, Operation};
use crate::app::App;
use crate::refusal::Refusal;
use bytes::Bytes;
use domain::commission::Answer;
use domain::facts::FactBody;
use serde_json::{Value, json};
use sources::native::payout::{self, DESTINATION};
use sources::native::schema::{self, Values};
use sources::native::{IDEMPOTENCY_HEADER, Resource};

/// The body as it is logged: with what the path says, and a destination sealed. Other resources are logged as they came.
pub(super) fn logged(app: &App, call: &Call<'_>, resource: Resource, body: Bytes) -> Result<Bytes, Refusal> {
    let Some(field) = resource.of_path() else { return Ok(body) };
    // What the path says is no field of the body.
    let values = schema::read(call.operation.shape().fields, &body).map_err(Refusal::Field)?;
    let name = if field == "payout_id" { "payout_id" } else { "partner" };
    let id = call.parameters.get(name);
    if resource == Resource::PayoutDestinations {
        return sealed(app, call, id, &values);
    }
    let text = std::str::from_utf8(&body).map_err(|_| Refusal::Malformed("it is not UTF-8".to_owned()))?;
    let rest = text.trim_start().strip_prefix('{').unwrap_or_default();
    let comma = if rest.trim_start().starts_with('}') { "" } else { "," };
    Ok(Bytes::from(format!("{{\"{field}\":{}{comma}{rest}", Value::from(id))))
}

/// What stands in the log for a destination. Each write is a fact of its own: without a key of the caller's it gets one, or a
/// partner could never go back to the destination before the last one.
fn sealed(app: &App, call: &Call<'_>, partner: &str, values: &Values) -> Result<Bytes, Refusal> {
    let mut body = json!({"partner_id": partner});
    if call.operation == Operation::PutDestination {
        let said = payout::said_destination(values).map_err(Refusal::Field)?;
        let said = serde_json::to_vec(&said).map(zeroize::Zeroizing::new).map_err(|_| Refusal::Internal)?;
        let sealed = app.directory.seal_destination(call.program_id(), partner, &said);
        body["method"] = values.text("method").into();
        body["sealed"] = hex::encode(sealed.ok_or(Refusal::Internal)?).into();
    }
    for name in DESTINATION.iter().map(|field| field.name).filter(|name| KEPT.contains(name)) {
        if let Some(text) = values.text(name) {
            body[name] = text.into();
        }
    }
    if call.idempotency_key.is_none() && !values.has(KEPT[1]) {
        body[KEPT[1]] = format!("{IDEMPOTENCY_HEADER}/{}", hex::encode(rand::random::<[u8; 16]>())).into();
    }
    Ok(Bytes::from(body.to_string()))
}

/// What of a destination's body is logged as it came.
const KEPT: [&str; 2] = ["actor", "idempotency_key"];

/// What commission says to one that it does not carry out: the field that it is about, and why.
pub(super) fn declined(body: &FactBody, word: &str, duplicate: bool) -> Result<(), Refusal> {
    let message = match body {
        FactBody::Payout(_) => "the payout cannot be changed or made like this",
        FactBody::WriteOff(_) => "the debt cannot be written off like this",
        FactBody::Rate(_) => "the rate cannot be used",
        _ => return Ok(()),
    };
    let field = match word {
        "" => return Ok(()),
        // Its twin came under another key: there is no first answer under this one.
        "unknown" if duplicate => return Ok(()),
        "unknown_payout" => return Err(Refusal::UnknownPayout),
        "wrong_status" => "payout_id",
        "wrong_currency" | "currency_required" | "no_rate" | "no_debt" => "currency",
        "wrong_amount" | "more_than_debt" | "bad_amount" => "amount",
        "reason_required" => "reason",
        "bad_rate" => "mantissa",
        _ => "partner_id",
    };
    Err(Refusal::PayoutDeclined { word: word.to_owned(), field, message })
}

/// What an answer says besides, and under which name; `None`: nothing.
pub(super) fn told(body: &FactBody, answer: Option<&Answer>) -> Option<(&'static str, Value)> {
    let paid = |answer: &Answer| {
        json!({
            "partner_id": answer.partner.as_ref().map(|partner| partner.as_str()),
            "amount": answer.amount.0,
            "currency": answer.currency.as_ref().map(|currency| currency.code()),
        })
    };
    let payout = |answer: &Answer| {
        let (id, status) = answer.payout.as_ref()?;
        let mut shown = paid(answer);
        shown["payout_id"] = id.as_str().into();
        shown["status"] = status.name().into();
        Some(shown)
    };
    match body {
        FactBody::Payout(_) => Some(("payout", answer.and_then(payout).unwrap_or_default())),
        FactBody::WriteOff(_) => Some(("written_off", answer.map(paid).unwrap_or_default())),
        _ => None,
    }
}

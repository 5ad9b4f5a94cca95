//! Conversions, reversals, decisions and payouts: one `ingest` record for each, and what became of it.
use super::{Answer, Call, payouts};
use crate::adapters;
use crate::app::{App, Stamped, now};
use crate::refusal::Refusal;
use axum::http::StatusCode;
use bytes::Bytes;
use domain::attribution::SaleKey;
use domain::commission::Answer as Told;
use domain::facts::FactBody;
use domain::ids::{EventId, ProgramId, SaleId, SourceName};
use domain::normalization::VerdictKind;
use futures::future::join_all;
use serde_json::{Value, json};
use sources::native::schema::{self, Refused};
use sources::native::{self, Event, Resource};
use wire::outcomes::OutcomeRecord;

/// Takes one event, or a batch of them.
pub(super) async fn take(
    app: &App,
    call: &Call<'_>,
    resource: Resource,
    body: Bytes,
) -> Result<Answer, Refusal> {
    // What the path says may be all there is.
    let empty = body.is_empty() && resource.of_path().is_some();
    let body = if empty { Bytes::from_static(b"{}") } else { body };
    adapters::precheck(&body)?;
    let items = match call.operation.shape().batch {
        0 => None,
        most => schema::batch(&body, most).map_err(Refusal::Field)?,
    };
    let Some(items) = items else {
        call.key.bucket.take(1)?;
        let body = payouts::logged(app, call, resource, body)?;
        let event = valid(app, call, resource, &body)?;
        call.program(app).await?;
        return one(app, call, resource, body, event).await;
    };
    if call.idempotency_key.is_some() {
        let message = "a batch has a key for each item: write idempotency_key into them";
        return Err(Refusal::Field(Refused::new("bad_field", "Idempotency-Key", message)));
    }
    call.key.bucket.take(items.len())?;
    call.program(app).await?;
    let bodies = items.iter().map(|item| body.slice_ref(item.get().as_bytes()));
    // Appended in the order of the batch: the log's order is the order of first asking.
    let answers = join_all(bodies.map(|body| async {
        let event = valid(app, call, resource, &body)?;
        one(app, call, resource, body, event).await
    }));
    let results: Vec<Value> = answers
        .await
        .into_iter()
        .map(|answer| answer.unwrap_or_else(|refusal| refusal.envelope()))
        .map(|(status, body)| json!({"status": status.as_u16(), "body": body}))
        .collect();
    Ok((StatusCode::OK, json!({ "results": results })))
}

fn valid(app: &App, call: &Call<'_>, resource: Resource, body: &[u8]) -> Result<Event, Refusal> {
    if body.len() > app.limits.body_bytes {
        return Err(Refusal::BodyTooLarge(app.limits.body_bytes));
    }
    native::validate(resource, body, call.idempotency_key.as_deref(), &call.key.key_id)
        .map_err(Refusal::Field)
}

async fn one(
    app: &App,
    call: &Call<'_>,
    resource: Resource,
    body: Bytes,
    event: Event,
) -> Result<Answer, Refusal> {
    let _permit = app.producer.admit(body.len())?;
    let expected = app.outcomes.expect()?;
    let stamped = Stamped {
        program_id: call.program_id(),
        source: native::NAME,
        headers: call.headers,
        query: call.query,
        authenticated_by: &call.key.key_id,
        publishable: call.key.publishable,
        received_at: now(),
        reply_to: Some(expected.reply_to()),
        resource: resource.name(),
        idempotency_key: call.idempotency_key.as_deref(),
    };
    let record = app.producer.record(stamped.request(body));
    app.producer.produce(record, &app.meters).await?;
    let asked = Asked { program: ProgramId::from(call.program_id()), event };
    match expected.until(call.deadline).await {
        None => Ok((StatusCode::ACCEPTED, asked.told("pending", "", false, None))),
        Some(known) => asked.became(known),
    }
}

/// What was asked, to be answered.
struct Asked {
    program: ProgramId,
    event: Event,
}

impl Asked {
    fn became(&self, known: OutcomeRecord) -> Result<Answer, Refusal> {
        let duplicate = known.duplicate || known.verdict == VerdictKind::Duplicate;
        match known.verdict {
            VerdictKind::Applied | VerdictKind::Duplicate => {
                let answer = known.answer.as_ref();
                if let (Some(answer), FactBody::Command(command)) = (answer, &self.event.body) {
                    // What makes a commission is known by an id of its own: its twin under another key has no first answer.
                    let is_twin = command.adjustment.is_some() && known.verdict == VerdictKind::Duplicate;
                    match answer.declined.as_str() {
                        "unknown" if is_twin => {}
                        reason => declined(reason)?,
                    }
                } else if let Some(answer) = answer {
                    payouts::declined(&self.event.body, &answer.declined, duplicate)?;
                }
                Ok((StatusCode::OK, self.told(known.verdict.name(), "", duplicate, answer)))
            }
            VerdictKind::Quarantined if known.reason == "conflict" => Err(Refusal::Conflict(known.detail)),
            VerdictKind::Quarantined if known.reason == "unknown_program" => Err(Refusal::UnknownProgram),
            VerdictKind::Quarantined if known.reason == "unknown_partner" => {
                let field =
                    if matches!(self.event.body, FactBody::Sale(_)) { "shares" } else { "partner_id" };
                Err(Refusal::UnknownPartner { field, detail: known.detail })
            }
            // Kept: an operator mends it, and the same request hears what became of it.
            VerdictKind::Quarantined | VerdictKind::Ignored => {
                Ok((StatusCode::ACCEPTED, self.told(known.verdict.name(), &known.reason, false, None)))
            }
        }
    }

    fn told(&self, verdict: &str, reason: &str, duplicate: bool, answer: Option<&Told>) -> Value {
        let source = SourceName::from(native::NAME);
        let derived = || EventId::derive(&self.program, &source, &self.event.delivery_key);
        let event = answer.map_or_else(derived, |answer| answer.event.clone());
        let sale = answer.and_then(|answer| answer.sale.clone()).or_else(|| match &self.event.body {
            FactBody::Sale(sale) => {
                let key = SaleKey::of(&source, sale);
                Some(SaleId::derive(&self.program, &key.source, &key.external_id))
            }
            _ => None,
        });
        let commission = answer.and_then(|answer| {
            Some(json!({
                "commission_id": answer.commission.as_ref()?.as_str(),
                "partner_id": answer.partner.as_ref().map(|partner| partner.as_str()),
                "amount": answer.amount.0,
                "currency": answer.currency.as_ref().map(|currency| currency.code()),
                "status": answer.status.map(|status| status.name()),
            }))
        });
        let mut told = json!({
            "event_id": event.as_str(),
            "verdict": verdict,
            "duplicate": duplicate,
            "reason": (!reason.is_empty()).then_some(reason),
            "sale_id": sale.as_ref().map(|sale| sale.as_str()),
            "commission": commission,
        });
        if let Some((name, value)) = payouts::told(&self.event.body, answer) {
            told[name] = value;
        }
        told
    }
}

/// What commission says to a decision that it does not carry out.
fn declined(reason: &str) -> Result<(), Refusal> {
    match reason {
        "" => Ok(()),
        "unknown_commission" => Err(Refusal::UnknownCommission),
        reason => Err(Refusal::Declined(reason.to_owned())),
    }
}

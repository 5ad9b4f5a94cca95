//! `attributed.v1`: facts events, as their original bytes, with the decision.
use crate::common::{maybe_subject, named, number, sale_key, shares, write_sale_key, write_shares};
use crate::unknown::Unknown;
use crate::v1;
use crate::write::Writer;
use bytes::Bytes;
use domain::attribution::{AttributedEvent, Decision, Touch, TouchClass};
use domain::ids::{EventId, PartnerId};
use prost::Message;
use v1::attributed_event::Event;

const MESSAGE: &str = "attributed event";

/// The event's bytes. The facts event inside is the original's bytes, untouched: no personal value passes here.
#[must_use]
pub fn encode(event: &AttributedEvent) -> Bytes {
    Writer::finish(|w| match event {
        AttributedEvent::Passed { bytes, decision, .. } => w.message(1, |w| {
            w.bytes(1, bytes);
            if let Some(decision) = decision {
                w.message(2, |w| write_decision(w, decision));
            }
        }),
        AttributedEvent::Late { decision, cause } => w.message(2, |w| {
            w.message(1, |w| write_decision(w, decision));
            w.text(2, cause.as_str());
        }),
    })
}

/// The event of the bytes, the facts event inside decoded too; its original bytes share the record's memory.
///
/// # Errors
/// [`Unknown`].
pub fn decode(bytes: &Bytes) -> Result<AttributedEvent, Unknown> {
    let event =
        v1::AttributedEvent::decode(bytes.clone()).map_err(|error| Unknown::malformed(MESSAGE, &error))?;
    match event.event.ok_or(Unknown::kind(MESSAGE))? {
        Event::Passed(passed) => Ok(AttributedEvent::Passed {
            event: crate::facts::decode(&passed.facts_event)?,
            bytes: passed.facts_event,
            decision: passed.decision.map(self::decision).transpose()?,
        }),
        Event::Late(late) => Ok(AttributedEvent::Late {
            decision: self::decision(late.decision.ok_or(Unknown::field(MESSAGE, "decision"))?)?,
            cause: EventId(late.cause_event_id),
        }),
    }
}

/// The facts event inside, as its original bytes and not decoded, and the decision. A late decision has no facts event.
///
/// # Errors
/// [`Unknown`].
pub fn decided(bytes: &Bytes) -> Result<(Option<Bytes>, Option<Decision>), Unknown> {
    let event =
        v1::AttributedEvent::decode(bytes.clone()).map_err(|error| Unknown::malformed(MESSAGE, &error))?;
    Ok(match event.event.ok_or(Unknown::kind(MESSAGE))? {
        Event::Passed(passed) => (Some(passed.facts_event), passed.decision.map(self::decision).transpose()?),
        Event::Late(late) => {
            (None, Some(self::decision(late.decision.ok_or(Unknown::field(MESSAGE, "decision"))?)?))
        }
    })
}

/// The facts event inside, as its original bytes; `None` for a late decision. Nothing else is decoded.
#[must_use]
pub fn passed(bytes: &Bytes) -> Option<Bytes> {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Only {
        #[prost(message, optional, tag = "1")]
        passed: Option<OnlyPassed>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    struct OnlyPassed {
        #[prost(bytes = "bytes", tag = "1")]
        facts_event: Bytes,
    }
    Some(<Only as prost::Message>::decode(bytes.clone()).ok()?.passed?.facts_event)
}

fn write_decision(w: &mut Writer, decision: &Decision) {
    w.text(1, decision.program.as_str());
    write_sale_key(w, 2, &decision.sale);
    match &decision.outcome {
        Ok((partner, class)) => {
            w.text(3, partner.as_str());
            w.number(4, class_number(*class));
        }
        Err(reason) => w.text(5, reason),
    }
    w.bytes(6, decision.customer.as_ref().map_or(&[][..], |customer| &customer.0));
    for touch in &decision.touches {
        w.message(7, |w| {
            w.number(1, class_number(touch.class));
            w.text(2, &touch.reference);
            w.text(3, touch.partner.as_ref().map_or("", PartnerId::as_str));
            w.text(4, &touch.lost_because);
        });
    }
    w.flag(8, decision.binds);
    write_shares(w, 9, &decision.shares);
}

fn decision(decision: v1::Decision) -> Result<Decision, Unknown> {
    let mut touches = Vec::with_capacity(decision.touches.len());
    for touch in decision.touches {
        touches.push(Touch {
            class: class(touch.class)?,
            reference: touch.reference,
            partner: named(touch.partner_id),
            lost_because: touch.lost_because,
        });
    }
    Ok(Decision {
        program: decision.program_id.into(),
        sale: sale_key(MESSAGE, decision.sale)?,
        outcome: match named(decision.partner_id) {
            Some(partner) => Ok((partner, class(decision.by)?)),
            None => Err(decision.reason),
        },
        customer: maybe_subject(MESSAGE, &decision.customer)?,
        touches,
        binds: decision.binds,
        shares: shares(decision.shares),
    })
}

const fn class_number(class: TouchClass) -> v1::TouchClass {
    match class {
        TouchClass::Code => v1::TouchClass::Code,
        TouchClass::Coupon => v1::TouchClass::Coupon,
        TouchClass::Click => v1::TouchClass::Click,
        TouchClass::Binding => v1::TouchClass::Binding,
    }
}

fn class(value: i32) -> Result<TouchClass, Unknown> {
    match number(MESSAGE, "touch class", value)? {
        v1::TouchClass::Code => Ok(TouchClass::Code),
        v1::TouchClass::Coupon => Ok(TouchClass::Coupon),
        v1::TouchClass::Click => Ok(TouchClass::Click),
        v1::TouchClass::Binding => Ok(TouchClass::Binding),
        v1::TouchClass::Unspecified => Err(Unknown::value(MESSAGE, "touch class", value)),
    }
}

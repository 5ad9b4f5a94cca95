//! `facts.v1`: verdicts, facts, configuration and ticks.
mod command;
pub(crate) mod reversal;
pub(crate) mod sale;
pub(crate) mod verdict;

use crate::common::fixed;
use crate::unknown::{Unknown, Unsealed};
use crate::write::Writer;
use crate::{payouts, v1};
use bytes::Bytes;
use domain::facts::{Fact, FactBody, Identifier, Personal, SealedValue};
use domain::ids::{EventId, Hash, ProgramId, SubjectId};
use domain::normalization::{DefectRetry, FactsEvent};
use domain::time::Micros;
use prost::Message;
use v1::fact::Body;
use v1::facts_event::Event;

const MESSAGE: &str = "facts event";

/// The event's bytes.
///
/// # Errors
/// [`Unsealed`] when an identifier has no subject or is readable: the loop seals before it encodes.
pub fn encode(event: &FactsEvent) -> Result<Bytes, Unsealed> {
    Writer::try_finish(|w| {
        match event {
            FactsEvent::Verdict(verdict) => w.message(1, |w| verdict::write(w, verdict)),
            FactsEvent::Fact(fact) => return w.try_message(2, |w| write_fact(w, fact)),
            FactsEvent::Config(config) => w.message(3, |w| crate::config::write(w, config)),
            FactsEvent::Tick => w.message(4, |_| ()),
            FactsEvent::ConfigOutcome(outcome) => w.message(5, |w| verdict::write_config(w, outcome)),
            FactsEvent::DefectRetry(retry) => w.message(6, |w| {
                w.text(1, &retry.service);
                w.uint(2, retry.source);
                w.text(3, &retry.actor);
            }),
        }
        Ok(())
    })
}

/// The event of the bytes. Personal values come sealed and share the record's memory.
///
/// # Errors
/// [`Unknown`].
pub fn decode(bytes: &Bytes) -> Result<FactsEvent, Unknown> {
    let event = v1::FactsEvent::decode(bytes.clone()).map_err(|error| Unknown::malformed(MESSAGE, &error))?;
    match event.event.ok_or(Unknown::kind(MESSAGE))? {
        Event::Verdict(verdict) => verdict::read(verdict).map(FactsEvent::Verdict),
        Event::Fact(fact) => self::fact(fact).map(FactsEvent::Fact),
        Event::Config(config) => crate::config::from_message(config).map(FactsEvent::Config),
        Event::Tick(_) => Ok(FactsEvent::Tick),
        Event::ConfigOutcome(outcome) => Ok(FactsEvent::ConfigOutcome(verdict::read_config(outcome))),
        Event::DefectRetry(retry) => Ok(FactsEvent::DefectRetry(DefectRetry {
            service: retry.service,
            source: retry.source,
            actor: retry.actor,
        })),
    }
}

/// The retry of a parked input, if the event is one; others are not decoded.
#[must_use]
pub fn defect_retry(bytes: &Bytes) -> Option<DefectRetry> {
    // Field 6, length-delimited: whoever writes the event puts its only field first.
    if bytes.first() != Some(&0x32) {
        return None;
    }
    match decode(bytes) {
        Ok(FactsEvent::DefectRetry(retry)) => Some(retry),
        _ => None,
    }
}

fn write_fact(w: &mut Writer, fact: &Fact) -> Result<(), Unsealed> {
    w.text(1, fact.program.as_str());
    w.text(2, fact.event.as_str());
    w.text(3, fact.source.as_str());
    w.text(4, fact.body.kind());
    w.text(5, &fact.object_id);
    w.text(6, &fact.state);
    w.bytes(7, &fact.hash.0);
    w.int(8, fact.occurred_at.0);
    for identifier in &fact.identifiers {
        w.try_message(9, |w| write_identifier(w, identifier))?;
    }
    match &fact.body {
        FactBody::Sale(sale) => w.message(10, |w| sale::write(w, sale)),
        FactBody::Reversal(reversal) => w.message(11, |w| reversal::write(w, reversal)),
        FactBody::CustomerLink => w.message(12, |_| ()),
        FactBody::CouponDefinition { provider_ref, code } => w.message(13, |w| {
            w.text(1, provider_ref);
            w.text(2, code);
        }),
        FactBody::SubscriptionCancelled { subscription_id } => {
            w.message(14, |w| w.text(1, subscription_id));
        }
        FactBody::Command(command) => w.message(15, |w| command::write(w, command)),
        FactBody::SaleLink { external_id, aliases } => w.message(16, |w| {
            w.text(1, external_id);
            aliases.iter().for_each(|alias| w.present(2, alias.as_bytes()));
        }),
        FactBody::Payout(command) => w.message(17, |w| payouts::write_command(w, command)),
        FactBody::WriteOff(write_off) => w.message(18, |w| payouts::write_write_off(w, write_off)),
        FactBody::Rate(rate) => w.message(19, |w| payouts::write_rate(w, rate)),
        FactBody::PayoutDestination(destination) => {
            w.message(20, |w| payouts::write_destination(w, destination));
        }
    }
    Ok(())
}

fn write_identifier(w: &mut Writer, identifier: &Identifier) -> Result<(), Unsealed> {
    let subject = identifier.subject.ok_or(Unsealed::NoSubject)?;
    let (Personal::Sealed(value) | Personal::Erased(value)) = &identifier.value else {
        return Err(Unsealed::Open);
    };
    w.text(1, &identifier.namespace);
    w.bytes(2, &subject.0);
    w.bytes(3, &value.key_id);
    w.bytes(4, &value.ciphertext);
    Ok(())
}

fn fact(fact: v1::Fact) -> Result<Fact, Unknown> {
    let body = match fact.body.ok_or(Unknown::value(MESSAGE, "fact kind", &fact.kind))? {
        Body::Sale(sale) => FactBody::Sale(sale::read(sale)?),
        Body::Reversal(reversal) => FactBody::Reversal(reversal::read(reversal)?),
        Body::CustomerLink(_) => FactBody::CustomerLink,
        Body::CouponDefinition(definition) => {
            FactBody::CouponDefinition { provider_ref: definition.provider_ref, code: definition.code }
        }
        Body::SubscriptionCancelled(cancelled) => {
            FactBody::SubscriptionCancelled { subscription_id: cancelled.subscription_id }
        }
        Body::Command(command) => FactBody::Command(command::read(command)?),
        Body::SaleLink(link) => FactBody::SaleLink { external_id: link.external_id, aliases: link.aliases },
        Body::Payout(command) => FactBody::Payout(payouts::command(command)?),
        Body::WriteOff(write_off) => FactBody::WriteOff(payouts::write_off(write_off)?),
        Body::Rate(rate) => FactBody::Rate(payouts::rate(rate)?),
        Body::PayoutDestination(destination) => {
            FactBody::PayoutDestination(payouts::destination(destination))
        }
    };
    // A newer version may give a known body another meaning under a new kind: never take it for the old one.
    if body.kind() != fact.kind {
        return Err(Unknown::value(MESSAGE, "fact kind", &fact.kind));
    }
    let mut identifiers = Vec::with_capacity(fact.identifiers.len());
    for identifier in fact.identifiers {
        identifiers.push(self::identifier(identifier)?);
    }
    Ok(Fact {
        program: ProgramId(fact.program_id),
        event: EventId(fact.event_id),
        source: fact.source.into(),
        object_id: fact.object_id,
        state: fact.state,
        hash: Hash(fixed(MESSAGE, "fact hash", &fact.hash)?),
        occurred_at: Micros(fact.occurred_at_micros),
        identifiers,
        body,
    })
}

fn identifier(identifier: v1::Identifier) -> Result<Identifier, Unknown> {
    Ok(Identifier {
        namespace: identifier.namespace,
        subject: Some(SubjectId(fixed(MESSAGE, "identifier subject", &identifier.subject)?)),
        value: Personal::Sealed(SealedValue {
            key_id: fixed(MESSAGE, "identifier key", &identifier.key_id)?,
            ciphertext: identifier.sealed,
        }),
    })
}

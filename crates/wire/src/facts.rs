//! `facts.v1`: verdicts, facts, configuration and ticks.
use crate::common::{currency, fixed, number, reply, sale_key, write_reply, write_sale_key};
use crate::payouts;
use crate::unknown::{Unknown, Unsealed};
use crate::v1;
use crate::write::Writer;
use bytes::Bytes;
use domain::facts::{
    Adjustment, Command, CommandKind, ConversionKind, CouponRef, Fact, FactBody, Identifier, Personal,
    Recurrence, Referral, Reprice, Reversal, ReversalFamily, ReversalLine, ReversalState, Sale, SaleDetails,
    SaleLine, SealedValue, ShareClaim, ShareOf,
};
use domain::ids::{EventId, Hash, ProgramId, SubjectId};
use domain::money::Minor;
use domain::normalization::{ConfigOutcome, ConfigRefusal, DefectRetry, FactsEvent, Verdict, VerdictKind};
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
            FactsEvent::Verdict(verdict) => w.message(1, |w| write_verdict(w, verdict)),
            FactsEvent::Fact(fact) => return w.try_message(2, |w| write_fact(w, fact)),
            FactsEvent::Config(config) => w.message(3, |w| crate::config::write(w, config)),
            FactsEvent::Tick => w.message(4, |_| ()),
            FactsEvent::ConfigOutcome(outcome) => w.message(5, |w| write_config_outcome(w, outcome)),
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
        Event::Verdict(verdict) => self::verdict(verdict).map(FactsEvent::Verdict),
        Event::Fact(fact) => self::fact(fact).map(FactsEvent::Fact),
        Event::Config(config) => crate::config::from_message(config).map(FactsEvent::Config),
        Event::Tick(_) => Ok(FactsEvent::Tick),
        Event::ConfigOutcome(outcome) => Ok(FactsEvent::ConfigOutcome(config_outcome(outcome))),
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

fn write_config_outcome(w: &mut Writer, outcome: &ConfigOutcome) {
    w.text(1, outcome.program.as_str());
    w.text(2, &outcome.key);
    if let Some(refusal) = &outcome.refused {
        w.text(3, &refusal.code);
        w.text(4, &refusal.field);
        w.text(5, &refusal.detail);
    }
    w.text(6, &outcome.actor);
    write_reply(w, 7, outcome.reply_to.as_ref());
    w.flag(8, outcome.changed);
}

fn config_outcome(outcome: v1::ConfigOutcome) -> ConfigOutcome {
    let refused = (!outcome.refused.is_empty()).then_some(ConfigRefusal {
        code: outcome.refused,
        field: outcome.field,
        detail: outcome.detail,
    });
    ConfigOutcome {
        program: outcome.program_id.into(),
        key: outcome.key,
        refused,
        changed: outcome.changed,
        actor: outcome.actor,
        reply_to: outcome.reply_to.map(reply),
    }
}

fn write_verdict(w: &mut Writer, verdict: &Verdict) {
    w.text(1, verdict.program.as_str());
    w.text(2, verdict.event.as_str());
    w.text(3, verdict.source.as_str());
    w.text(4, &verdict.delivery_key);
    w.number(5, verdict_number(verdict.kind));
    w.text(6, &verdict.reason);
    w.text(7, &verdict.detail);
    w.int(8, verdict.received_at.0);
    write_reply(w, 9, verdict.reply_to.as_ref());
    w.flag(10, verdict.retry_of.is_some());
    w.uint(11, verdict.retry_of.unwrap_or_default());
    w.flag(12, verdict.reserves_key);
}

fn verdict(verdict: v1::Verdict) -> Result<Verdict, Unknown> {
    Ok(Verdict {
        program: ProgramId(verdict.program_id),
        event: EventId(verdict.event_id),
        source: verdict.source.into(),
        delivery_key: verdict.delivery_key,
        kind: verdict_kind(MESSAGE, verdict.kind)?,
        reason: verdict.reason,
        detail: verdict.detail,
        received_at: Micros(verdict.received_at_micros),
        reply_to: verdict.reply_to.map(reply),
        retry_of: verdict.retry.then_some(verdict.retry_of),
        reserves_key: verdict.reserves_key,
    })
}

pub(crate) const fn verdict_number(kind: VerdictKind) -> v1::VerdictKind {
    match kind {
        VerdictKind::Applied => v1::VerdictKind::Applied,
        VerdictKind::Duplicate => v1::VerdictKind::Duplicate,
        VerdictKind::Ignored => v1::VerdictKind::Ignored,
        VerdictKind::Quarantined => v1::VerdictKind::Quarantined,
    }
}

pub(crate) fn verdict_kind(message: &'static str, value: i32) -> Result<VerdictKind, Unknown> {
    match number(message, "verdict", value)? {
        v1::VerdictKind::Applied => Ok(VerdictKind::Applied),
        v1::VerdictKind::Duplicate => Ok(VerdictKind::Duplicate),
        v1::VerdictKind::Ignored => Ok(VerdictKind::Ignored),
        v1::VerdictKind::Quarantined => Ok(VerdictKind::Quarantined),
        v1::VerdictKind::Unspecified => Err(Unknown::value(message, "verdict", value)),
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
        FactBody::Sale(sale) => w.message(10, |w| write_sale(w, sale)),
        FactBody::Reversal(reversal) => w.message(11, |w| write_reversal(w, reversal)),
        FactBody::CustomerLink => w.message(12, |_| ()),
        FactBody::CouponDefinition { provider_ref, code } => w.message(13, |w| {
            w.text(1, provider_ref);
            w.text(2, code);
        }),
        FactBody::SubscriptionCancelled { subscription_id } => {
            w.message(14, |w| w.text(1, subscription_id));
        }
        FactBody::Command(command) => w.message(15, |w| {
            w.number(1, command_number(command.kind));
            w.text(2, command.commission.as_str());
            w.text(3, &command.reason);
            w.text(4, &command.actor);
            w.text(5, &command.hold);
            if let Some(adjustment) = &command.adjustment {
                w.message(6, |w| {
                    w.text(1, adjustment.partner.as_str());
                    w.int(2, adjustment.amount.0);
                    w.text(3, adjustment.currency.code());
                });
            }
            if let Some(reprice) = &command.reprice {
                w.message(7, |w| write_reprice(w, reprice));
            }
        }),
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
        Body::Sale(sale) => FactBody::Sale(self::sale(sale)?),
        Body::Reversal(reversal) => FactBody::Reversal(self::reversal(reversal)?),
        Body::CustomerLink(_) => FactBody::CustomerLink,
        Body::CouponDefinition(definition) => {
            FactBody::CouponDefinition { provider_ref: definition.provider_ref, code: definition.code }
        }
        Body::SubscriptionCancelled(cancelled) => {
            FactBody::SubscriptionCancelled { subscription_id: cancelled.subscription_id }
        }
        Body::Command(command) => FactBody::Command(Command {
            kind: command_kind(command.kind)?,
            commission: command.commission_id.into(),
            reason: command.reason,
            actor: command.actor,
            hold: command.hold,
            adjustment: command.adjustment.map(adjustment).transpose()?,
            reprice: command.reprice.map(|reprice| self::reprice(reprice).map(Box::new)).transpose()?,
        }),
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

const fn command_number(kind: CommandKind) -> v1::CommandKind {
    match kind {
        CommandKind::Approve => v1::CommandKind::Approve,
        CommandKind::Reject => v1::CommandKind::Reject,
        CommandKind::Reinstate => v1::CommandKind::Reinstate,
        CommandKind::Hold => v1::CommandKind::Hold,
        CommandKind::Release => v1::CommandKind::Release,
        CommandKind::Bonus => v1::CommandKind::Bonus,
        CommandKind::Correction => v1::CommandKind::Correction,
        CommandKind::Debit => v1::CommandKind::Debit,
        CommandKind::Reprice => v1::CommandKind::Reprice,
    }
}

fn command_kind(value: i32) -> Result<CommandKind, Unknown> {
    match number(MESSAGE, "command", value)? {
        v1::CommandKind::Approve => Ok(CommandKind::Approve),
        v1::CommandKind::Reject => Ok(CommandKind::Reject),
        v1::CommandKind::Reinstate => Ok(CommandKind::Reinstate),
        v1::CommandKind::Hold => Ok(CommandKind::Hold),
        v1::CommandKind::Release => Ok(CommandKind::Release),
        v1::CommandKind::Bonus => Ok(CommandKind::Bonus),
        v1::CommandKind::Correction => Ok(CommandKind::Correction),
        v1::CommandKind::Debit => Ok(CommandKind::Debit),
        v1::CommandKind::Reprice => Ok(CommandKind::Reprice),
        v1::CommandKind::Unspecified => Err(Unknown::value(MESSAGE, "command", value)),
    }
}

fn adjustment(adjustment: v1::Adjustment) -> Result<Adjustment, Unknown> {
    Ok(Adjustment {
        partner: adjustment.partner_id.into(),
        amount: Minor(adjustment.amount_minor),
        currency: currency(MESSAGE, &adjustment.currency)?,
    })
}

fn write_reprice(w: &mut Writer, reprice: &Reprice) {
    write_sale_key(w, 1, &reprice.sale);
    w.text(2, reprice.partner.as_str());
    w.text(3, reprice.currency.code());
    w.int(4, reprice.expected_net.0);
    w.int(5, reprice.net.0);
    w.int(6, reprice.gross.0);
    w.message(7, |w| crate::terms::write(w, &reprice.terms, reprice.gross));
}

fn reprice(reprice: v1::Reprice) -> Result<Reprice, Unknown> {
    let gross = Minor(reprice.gross_minor);
    Ok(Reprice {
        sale: sale_key(MESSAGE, reprice.sale)?,
        partner: reprice.partner_id.into(),
        currency: currency(MESSAGE, &reprice.currency)?,
        expected_net: Minor(reprice.expected_net_minor),
        net: Minor(reprice.net_minor),
        gross,
        terms: crate::terms::read(reprice.terms.ok_or(Unknown::field(MESSAGE, "terms"))?, gross)?,
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

pub(crate) const fn recurrence_number(recurrence: Recurrence) -> v1::Recurrence {
    match recurrence {
        Recurrence::Unknown => v1::Recurrence::Unknown,
        Recurrence::First => v1::Recurrence::First,
        Recurrence::Renewal => v1::Recurrence::Renewal,
    }
}

pub(crate) fn recurrence(value: i32) -> Result<Recurrence, Unknown> {
    Ok(match number(MESSAGE, "recurrence", value)? {
        v1::Recurrence::Unknown => Recurrence::Unknown,
        v1::Recurrence::First => Recurrence::First,
        v1::Recurrence::Renewal => Recurrence::Renewal,
    })
}

fn write_sale(w: &mut Writer, sale: &Sale) {
    w.text(1, &sale.external_id);
    w.text(2, sale.currency.code());
    w.int(3, sale.gross.0);
    w.maybe_int(4, sale.net.map(|net| net.0));
    for line in &sale.lines {
        w.message(5, |w| {
            w.text(1, &line.line_id);
            w.int(2, line.net.0);
            w.text(3, &line.product_id);
            w.text(4, &line.price_id);
            w.uint(5, u64::from(line.quantity));
            w.text(6, &line.plan);
            w.text(7, &line.category);
            w.text(8, &line.product_key);
        });
    }
    w.text(6, &sale.subscription_id);
    w.number(7, recurrence_number(sale.recurrence));
    if let Some(referral) = &sale.referral {
        w.message(8, |w| {
            w.text(1, &referral.code);
            w.text(2, &referral.found_at);
        });
    }
    match &sale.coupon {
        Some(CouponRef::Code(code)) => w.message(9, |w| w.present(1, code.as_bytes())),
        Some(CouponRef::ProviderRef(reference)) => w.message(9, |w| w.present(2, reference.as_bytes())),
        None => {}
    }
    sale.aliases.iter().for_each(|alias| w.present(10, alias.as_bytes()));
    w.text(11, &sale.details.country);
    w.text(12, &sale.details.interval);
    write_metadata(w, 13, &sale.details.metadata);
    write_conversion(w, 14, &sale.details);
    for share in &sale.details.shares {
        w.message(16, |w| {
            match &share.of {
                ShareOf::Partner(partner) => w.present(1, partner.as_str().as_bytes()),
                ShareOf::Code(code) => w.present(2, code.as_bytes()),
            }
            w.uint(3, u64::from(share.weight));
        });
    }
    w.flag(17, sale.details.publishable);
}

/// The kind of a conversion at `tag`, its failed checks at the next one.
pub(crate) fn write_conversion(w: &mut Writer, tag: u32, details: &SaleDetails) {
    if !details.kind.is_sale() {
        w.text(tag, details.kind.name());
    }
    details.fraud.iter().for_each(|rule| w.present(tag + 1, rule.as_bytes()));
}

pub(crate) fn conversion(name: &str) -> Result<ConversionKind, Unknown> {
    match name {
        "" => Ok(ConversionKind::Sale),
        name => ConversionKind::parse(name).ok_or_else(|| Unknown::value(MESSAGE, "conversion", name)),
    }
}

pub(crate) fn write_metadata(w: &mut Writer, tag: u32, metadata: &[(String, String)]) {
    for (key, value) in metadata {
        w.message(tag, |w| {
            w.text(1, key);
            w.text(2, value);
        });
    }
}

pub(crate) fn metadata(metadata: Vec<v1::Metadata>) -> Vec<(String, String)> {
    metadata.into_iter().map(|entry| (entry.key, entry.value)).collect()
}

fn sale(sale: v1::Sale) -> Result<Sale, Unknown> {
    let mut lines = Vec::with_capacity(sale.lines.len());
    for line in sale.lines {
        lines.push(SaleLine {
            line_id: line.line_id,
            net: Minor(line.net_minor),
            product_id: line.product_id,
            price_id: line.price_id,
            quantity: u32::try_from(line.quantity)
                .map_err(|_| Unknown::value(MESSAGE, "quantity", line.quantity))?,
            plan: line.plan,
            category: line.category,
            product_key: line.product_key,
        });
    }
    let coupon = match sale.coupon {
        None => None,
        Some(v1::CouponRef { by: Some(v1::coupon_ref::By::Code(code)) }) => Some(CouponRef::Code(code)),
        Some(v1::CouponRef { by: Some(v1::coupon_ref::By::ProviderRef(reference)) }) => {
            Some(CouponRef::ProviderRef(reference))
        }
        Some(v1::CouponRef { by: None }) => return Err(Unknown::value(MESSAGE, "coupon", "of a new kind")),
    };
    Ok(Sale {
        external_id: sale.external_id,
        currency: currency(MESSAGE, &sale.currency)?,
        gross: Minor(sale.gross_minor),
        net: sale.net_minor.map(Minor),
        lines,
        subscription_id: sale.subscription_id,
        recurrence: recurrence(sale.recurrence)?,
        referral: sale.referral.map(|referral| Referral { code: referral.code, found_at: referral.found_at }),
        coupon,
        aliases: sale.aliases,
        details: SaleDetails {
            country: sale.country,
            interval: sale.interval,
            metadata: metadata(sale.metadata),
            kind: conversion(&sale.conversion)?,
            fraud: sale.fraud,
            shares: sale.shares.into_iter().map(share).collect::<Result<_, _>>()?,
            publishable: sale.publishable,
        },
    })
}

fn share(share: v1::ShareClaim) -> Result<ShareClaim, Unknown> {
    let of = match share.of {
        Some(v1::share_claim::Of::PartnerId(partner)) => ShareOf::Partner(partner.into()),
        Some(v1::share_claim::Of::Code(code)) => ShareOf::Code(code),
        None => return Err(Unknown::value(MESSAGE, "share", "of a new kind")),
    };
    Ok(ShareClaim { of, weight: share.weight })
}

fn write_reversal(w: &mut Writer, reversal: &Reversal) {
    w.text(1, &reversal.sale_external_id);
    w.text(2, reversal.currency.code());
    w.int(3, reversal.gross.0);
    w.maybe_int(4, reversal.net.map(|net| net.0));
    for line in &reversal.lines {
        w.message(5, |w| {
            w.text(1, &line.line_id);
            w.int(2, line.net.0);
        });
    }
    w.number(6, family_number(reversal.family));
    w.number(7, state_number(reversal.state));
    reversal.sale_aliases.iter().for_each(|alias| w.present(8, alias.as_bytes()));
}

fn reversal(reversal: v1::Reversal) -> Result<Reversal, Unknown> {
    Ok(Reversal {
        sale_external_id: reversal.sale_external_id,
        currency: currency(MESSAGE, &reversal.currency)?,
        gross: Minor(reversal.gross_minor),
        net: reversal.net_minor.map(Minor),
        lines: reversal
            .lines
            .into_iter()
            .map(|line| ReversalLine { line_id: line.line_id, net: Minor(line.net_minor) })
            .collect(),
        family: family(MESSAGE, reversal.family)?,
        state: state(MESSAGE, reversal.state)?,
        sale_aliases: reversal.sale_aliases,
    })
}

pub(crate) const fn family_number(family: ReversalFamily) -> v1::ReversalFamily {
    match family {
        ReversalFamily::Refund => v1::ReversalFamily::Refund,
        ReversalFamily::Chargeback => v1::ReversalFamily::Chargeback,
        ReversalFamily::ChargebackReverse => v1::ReversalFamily::ChargebackReverse,
        ReversalFamily::RefundTotal => v1::ReversalFamily::RefundTotal,
        ReversalFamily::ChargebackWarning => v1::ReversalFamily::ChargebackWarning,
    }
}

pub(crate) fn family(message: &'static str, value: i32) -> Result<ReversalFamily, Unknown> {
    match number(message, "reversal family", value)? {
        v1::ReversalFamily::Refund => Ok(ReversalFamily::Refund),
        v1::ReversalFamily::Chargeback => Ok(ReversalFamily::Chargeback),
        v1::ReversalFamily::ChargebackReverse => Ok(ReversalFamily::ChargebackReverse),
        v1::ReversalFamily::RefundTotal => Ok(ReversalFamily::RefundTotal),
        v1::ReversalFamily::ChargebackWarning => Ok(ReversalFamily::ChargebackWarning),
        v1::ReversalFamily::Unspecified => Err(Unknown::value(message, "reversal family", value)),
    }
}

pub(crate) const fn state_number(state: ReversalState) -> v1::ReversalState {
    match state {
        ReversalState::Pending => v1::ReversalState::Pending,
        ReversalState::Live => v1::ReversalState::Live,
        ReversalState::Dead => v1::ReversalState::Dead,
    }
}

pub(crate) fn state(message: &'static str, value: i32) -> Result<ReversalState, Unknown> {
    match number(message, "reversal state", value)? {
        v1::ReversalState::Pending => Ok(ReversalState::Pending),
        v1::ReversalState::Live => Ok(ReversalState::Live),
        v1::ReversalState::Dead => Ok(ReversalState::Dead),
        v1::ReversalState::Unspecified => Err(Unknown::value(message, "reversal state", value)),
    }
}

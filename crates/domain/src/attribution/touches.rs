//! The decision on one sale: which touches there are, which wins, why the others lose.
use super::fold::{Directory, Named};
use super::identity::Together;
use super::{Decision, SaleKey, Share, Touch, TouchClass};
use crate::facts::{CouponRef, ShareClaim, ShareOf};
use crate::ids::{PartnerId, ProgramId};
use crate::tables::View;
use serde::{Deserialize, Serialize};

/// A coupon was named by a provider's id that no definition has explained yet: such a sale waits for the definition.
pub(super) const COUPON_UNKNOWN: &str = "coupon_unknown";

/// What a sale says about who earns; kept with a sale that nobody earned, to decide it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) code: Option<String>,
    pub(super) coupon: Option<CouponRef>,
    pub(super) shares: Vec<ShareClaim>,
}

/// A touch before the contest: whom it names, or why it names nobody who can earn.
struct Candidate {
    class: TouchClass,
    reference: String,
    partner: Result<PartnerId, (Option<PartnerId>, &'static str)>,
}

/// Decides a sale of a customer (whose subjects come to `customer`) from the state before it.
pub(super) fn decide_sale<V: View + ?Sized>(
    directory: &Directory<'_, V>,
    program: &ProgramId,
    sale: SaleKey,
    claims: &Claims,
    customer: Option<&Together>,
) -> Decision {
    if !claims.shares.is_empty() {
        return divided(directory, program, sale, claims, customer);
    }
    let candidates = candidates(directory, &sale, claims, customer);
    let code_beats_binding = directory.code_beats_binding();
    let usable = |class| move |candidate: &&Candidate| candidate.class == class && candidate.partner.is_ok();
    let bound = candidates.iter().find(usable(TouchClass::Binding));
    let winner = if code_beats_binding { None } else { bound }
        // In a program that keeps customers with their first partner, that partner's own code is still a code.
        .and_then(|bound| candidates.iter().find(|c| c.partner.as_ref().ok() == bound.partner.as_ref().ok()))
        .or_else(|| candidates.iter().find(|candidate| candidate.partner.is_ok()));
    let outcome = match winner {
        Some(Candidate { class, partner: Ok(partner), .. }) => Ok((partner.clone(), *class)),
        _ => Err(reason(&candidates).to_owned()),
    };
    let winning = outcome.as_ref().ok().map(|(_, class)| *class);
    let kept = winning == Some(TouchClass::Binding);
    let touches = candidates.into_iter().map(|candidate| concluded(candidate, winning, kept)).collect();
    Decision {
        program: program.clone(),
        sale,
        binds: outcome.is_ok() && customer.is_some_and(|customer| customer.binding.is_none()),
        outcome,
        customer: customer.map(|customer| customer.root),
        touches,
        shares: Vec::new(),
    }
}

/// A sale that comes with its shares: nothing competes with them. The normalizer lets none through that names nobody, so
/// that all are here; should one not be, nobody earns, rather than others more.
fn divided<V: View + ?Sized>(
    directory: &Directory<'_, V>,
    program: &ProgramId,
    sale: SaleKey,
    claims: &Claims,
    customer: Option<&Together>,
) -> Decision {
    let (mut shares, mut touches, mut all) = (Vec::new(), Vec::new(), true);
    for claim in &claims.shares {
        let (reference, partner) = match &claim.of {
            ShareOf::Partner(id) => (id.0.clone(), directory.has_partner(id).then(|| id.clone())),
            ShareOf::Code(code) => (code.clone(), directory.partner_of_code(code)),
        };
        let lost_because = if partner.is_some() { "" } else { "unknown_partner" }.to_owned();
        all &= partner.is_some();
        shares.extend(partner.clone().map(|partner| Share { partner, weight: claim.weight }));
        touches.push(Touch { class: TouchClass::Code, reference, partner, lost_because });
    }
    let rest = candidates(directory, &sale, claims, customer).into_iter();
    // A share is a code by another name: what is weaker than a code is weaker than shares.
    touches.extend(rest.map(|candidate| concluded(candidate, Some(TouchClass::Code), false)));
    let first = shares.first().filter(|_| all).map(|share| share.partner.clone());
    let unbound = customer.is_some_and(|customer| customer.binding.is_none());
    Decision {
        program: program.clone(),
        sale,
        binds: unbound && first.as_ref().is_some_and(|partner| directory.partner_earns(partner)),
        outcome: first.map(|partner| (partner, TouchClass::Code)).ok_or_else(|| "unknown_partner".to_owned()),
        customer: customer.map(|customer| customer.root),
        touches,
        shares: if all { shares } else { Vec::new() },
    }
}

/// In the order of their classes: code, coupon, binding.
fn candidates<V: View + ?Sized>(
    directory: &Directory<'_, V>,
    sale: &SaleKey,
    claims: &Claims,
    customer: Option<&Together>,
) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    if let Some(code) = &claims.code {
        let partner = match directory.code(code) {
            Named::Nobody => Err((None, "unknown_code")),
            Named::Inactive(partner) => Err((Some(partner), "inactive_code")),
            Named::Earns(partner) => Ok(partner),
        };
        candidates.push(Candidate { class: TouchClass::Code, reference: code.clone(), partner });
    }
    if let Some(coupon) = &claims.coupon {
        let (reference, text) = match coupon {
            CouponRef::Code(text) => (text, Some(text.clone())),
            CouponRef::ProviderRef(reference) => (reference, directory.coupon_text(&sale.source, reference)),
        };
        let partner = match text.map(|text| directory.coupon(&text)) {
            None => Err((None, COUPON_UNKNOWN)),
            Some(Named::Nobody) => Err((None, "coupon_of_nobody")),
            Some(Named::Inactive(partner)) => Err((Some(partner), "inactive_coupon")),
            Some(Named::Earns(partner)) => Ok(partner),
        };
        candidates.push(Candidate { class: TouchClass::Coupon, reference: reference.clone(), partner });
    }
    if let Some(binding) = customer.and_then(|customer| customer.binding.as_ref()) {
        let partner = binding.partner.clone();
        let partner = if directory.partner_earns(&partner) {
            Ok(partner)
        } else {
            Err((Some(partner), "inactive_partner"))
        };
        candidates.push(Candidate { class: TouchClass::Binding, reference: String::new(), partner });
    }
    candidates
}

/// Why nobody earns: first what may still change, then the strongest class.
fn reason(candidates: &[Candidate]) -> &'static str {
    let mut reasons = candidates.iter().filter_map(|candidate| candidate.partner.as_ref().err());
    let first = reasons.clone().map(|(_, reason)| *reason).next();
    reasons
        .find(|(_, reason)| *reason == COUPON_UNKNOWN)
        .map(|(_, reason)| *reason)
        .or(first)
        .unwrap_or("no_touch")
}

fn concluded(candidate: Candidate, winning: Option<TouchClass>, kept: bool) -> Touch {
    let Candidate { class, reference, partner } = candidate;
    let (partner, lost_because) = match partner {
        Ok(partner) if winning == Some(class) => (Some(partner), ""),
        Ok(partner) if kept => (Some(partner), "customer_bound"),
        Ok(partner) => (Some(partner), "weaker_class"),
        Err((partner, reason)) => (partner, reason),
    };
    Touch { class, reference, partner, lost_because: lost_because.to_owned() }
}

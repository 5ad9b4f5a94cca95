//! What facts say.
use super::Fact;
use super::moment::rfc3339;
use super::story::{hex, state_name};
use domain::facts::{CouponRef, Fact as DomainFact, FactBody, Sale, ShareOf};
use domain::payouts::DESTINATION_NAMESPACE;

/// What a fact says, in words that hold no personal data.
pub(super) fn fact_of(fact: &DomainFact) -> Fact {
    let mut says: Vec<(String, String)> = Vec::new();
    let mut say = |what: &str, value: String| says.push((what.to_owned(), value));
    match &fact.body {
        FactBody::Sale(sale) => {
            say("currency", sale.currency.code().to_owned());
            say("gross_minor", sale.gross.0.to_string());
            if let Some(net) = sale.net {
                say("net_minor", net.0.to_string());
            }
            if let Some(referral) = &sale.referral {
                say("code", referral.code.clone());
                say("code_found_at", referral.found_at.clone());
            }
            match &sale.coupon {
                Some(CouponRef::Code(text)) => say("coupon", text.clone()),
                Some(CouponRef::ProviderRef(reference)) => say("coupon_of_provider", reference.clone()),
                None => {}
            }
            for (place, share) in sale.details.shares.iter().enumerate() {
                let of = match &share.of {
                    ShareOf::Partner(partner) => format!("partner {partner}"),
                    ShareOf::Code(code) => format!("code {code}"),
                };
                say(&format!("share {}", place.saturating_add(1)), format!("{of} weight {}", share.weight));
            }
            if !sale.details.fraud.is_empty() {
                say("failed_checks", sale.details.fraud.join(" "));
            }
            if !sale.subscription_id.is_empty() {
                say("subscription", sale.subscription_id.clone());
            }
            for_rules(sale, &mut say);
        }
        FactBody::Reversal(reversal) => {
            say("sale", reversal.sale_external_id.clone());
            say("state", state_name(reversal.state).to_owned());
            say("currency", reversal.currency.code().to_owned());
            say("gross_minor", reversal.gross.0.to_string());
            if let Some(net) = reversal.net {
                say("net_minor", net.0.to_string());
            }
        }
        FactBody::CouponDefinition { provider_ref, code } => {
            say("provider_ref", provider_ref.clone());
            say("coupon", code.clone());
        }
        FactBody::SubscriptionCancelled { subscription_id } => say("subscription", subscription_id.clone()),
        FactBody::Command(command) => {
            say("command", command.kind.name().to_owned());
            say("actor", command.actor.clone());
            say("reason", command.reason.clone());
            if !command.hold.is_empty() {
                say("hold", command.hold.clone());
            }
            if let Some(made) = &command.adjustment {
                say("partner", made.partner.0.clone());
                say("amount_minor", made.amount.0.to_string());
                say("currency", made.currency.code().to_owned());
            }
        }
        FactBody::SaleLink { external_id, aliases } => {
            say("sale", external_id.clone());
            say("aliases", aliases.join(" "));
        }
        FactBody::CustomerLink => {}
        FactBody::Payout(command) => {
            say("act", command.act.name().to_owned());
            say("payout", command.payout.0.clone());
            say("partner", command.partner.0.clone());
            say("actor", command.actor.clone());
        }
        FactBody::WriteOff(write_off) => {
            say("partner", write_off.partner.0.clone());
            say("actor", write_off.actor.clone());
            say("reason", write_off.reason.clone());
        }
        FactBody::Rate(rate) => {
            say("rate", rate.id.0.clone());
            say("actor", rate.actor.clone());
        }
        FactBody::PayoutDestination(destination) => {
            say("partner", destination.partner.0.clone());
            say("method", destination.method.clone());
        }
    }
    for identifier in &fact.identifiers {
        let subject = identifier.subject.map_or_else(|| "unknown".to_owned(), |subject| hex(&subject.0));
        let whose = if identifier.namespace == DESTINATION_NAMESPACE {
            "destination under the key of".to_owned()
        } else {
            format!("customer by {}", identifier.namespace)
        };
        says.push((whose, subject));
    }
    Fact {
        kind: fact.body.kind().to_owned(),
        object_id: fact.object_id.clone(),
        state: fact.state.clone(),
        occurred_at: rfc3339(fact.occurred_at),
        says,
    }
}

/// What rules may have asked of it.
fn for_rules(sale: &Sale, say: &mut impl FnMut(&str, String)) {
    for (what, value) in [("country", &sale.details.country), ("interval", &sale.details.interval)] {
        if !value.is_empty() {
            say(what, value.clone());
        }
    }
    for (key, value) in &sale.details.metadata {
        say(&format!("metadata.{key}"), value.clone());
    }
    for line in &sale.lines {
        let mut text = format!("net {}", line.net.0);
        for (what, value) in [
            ("product", &line.product_id),
            ("price", &line.price_id),
            ("plan", &line.plan),
            ("category", &line.category),
            ("product_key", &line.product_key),
        ] {
            if !value.is_empty() {
                text.push_str(&format!(" {what} {value}"));
            }
        }
        say(&format!("line {}", line.line_id), text);
    }
}

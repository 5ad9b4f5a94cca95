//! The last wall before texts become parts of keys: whatever an adapter let through, ids are bounded and free of U+0000.
use crate::config::{ConfigFact, ConfigObject};
use crate::facts::{CouponRef, Fact, FactBody, Personal, ShareOf};

/// Ids: 1 to 255 bytes without control characters.
const ID_BYTES: usize = 255;
/// Codes, coupons and identifiers of people: longer ones can belong to nobody.
const CODE_BYTES: usize = 1024;

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadText {
    /// Which field.
    pub(super) field: &'static str,
    /// What it breaks.
    pub(super) rule: &'static str,
}

impl BadText {
    /// For a person.
    pub(super) fn detail(&self) -> String {
        format!("{} {}; correct it at the source and send it again, or retry it", self.field, self.rule)
    }
}

/// An id that must be there.
pub(super) fn id(field: &'static str, text: &str) -> Result<(), BadText> {
    if text.is_empty() {
        return Err(BadText { field, rule: "is empty" });
    }
    optional_id(field, text)
}

fn optional_id(field: &'static str, text: &str) -> Result<(), BadText> {
    if text.len() > ID_BYTES {
        return Err(BadText { field, rule: "is longer than 255 bytes" });
    }
    if text.chars().any(char::is_control) {
        return Err(BadText { field, rule: "has a control character" });
    }
    Ok(())
}

pub(super) fn code(field: &'static str, text: &str) -> Result<(), BadText> {
    if text.len() > CODE_BYTES {
        return Err(BadText { field, rule: "is longer than 1024 bytes" });
    }
    if text.contains('\0') {
        return Err(BadText { field, rule: "has a U+0000" });
    }
    Ok(())
}

/// Every text of the fact that becomes part of a key or an id.
pub(super) fn fact(fact: &Fact) -> Result<(), BadText> {
    id("the object id", &fact.object_id)?;
    optional_id("the object's state", &fact.state)?;
    for identifier in &fact.identifiers {
        id("an identifier's namespace", &identifier.namespace)?;
        if let Personal::Open(value) = &identifier.value {
            code("an identifier of the customer", value)?;
        }
    }
    match &fact.body {
        FactBody::Sale(sale) => {
            id("the sale's id", &sale.external_id)?;
            optional_id("the subscription's id", &sale.subscription_id)?;
            for line in &sale.lines {
                for text in [&line.line_id, &line.product_id, &line.price_id, &line.plan, &line.category] {
                    optional_id("an id of a line", text)?;
                }
                optional_id("a line's product key", &line.product_key)?;
            }
            optional_id("the sale's country", &sale.details.country)?;
            optional_id("the sale's interval", &sale.details.interval)?;
            sale.details.fraud.iter().try_for_each(|check| id("a check for fraud", check))?;
            for share in &sale.details.shares {
                match &share.of {
                    ShareOf::Partner(partner) => id("a share's partner", partner.as_str())?,
                    ShareOf::Code(text) => code("a share's code", text)?,
                }
            }
            sale.aliases.iter().try_for_each(|alias| id("another id of the sale", alias))?;
            if let Some(referral) = &sale.referral {
                code("the referral code", &referral.code)?;
            }
            match &sale.coupon {
                Some(CouponRef::Code(text)) => code("the coupon", text),
                Some(CouponRef::ProviderRef(reference)) => id("the coupon's id", reference),
                None => Ok(()),
            }
        }
        FactBody::Reversal(reversal) => {
            id("the sale's id", &reversal.sale_external_id)?;
            reversal.sale_aliases.iter().try_for_each(|alias| id("another id of the sale", alias))?;
            reversal.lines.iter().try_for_each(|line| optional_id("a line's id", &line.line_id))
        }
        FactBody::CustomerLink => Ok(()),
        FactBody::SubscriptionCancelled { subscription_id } => id("the subscription's id", subscription_id),
        FactBody::Command(command) => match &command.adjustment {
            Some(adjustment) => id("the partner's id", adjustment.partner.as_str()),
            None => {
                id("the commission's id", command.commission.as_str())?;
                // A hold is named after ids, and so longer than one.
                code("the hold", &command.hold)
            }
        },
        FactBody::SaleLink { external_id, aliases } => {
            id("the sale's id", external_id)?;
            aliases.iter().try_for_each(|alias| id("another id of the sale", alias))
        }
        FactBody::Payout(command) => {
            optional_id("the payout's id", command.payout.as_str())?;
            optional_id("the partner's id", command.partner.as_str())?;
            optional_id("the payment's reference", &command.reference)
        }
        FactBody::WriteOff(write_off) => id("the partner's id", write_off.partner.as_str()),
        FactBody::Rate(rate) => id("the rate's id", rate.id.as_str()),
        FactBody::PayoutDestination(destination) => {
            id("the partner's id", destination.partner.as_str())?;
            // Empty: the partner is paid nowhere any more.
            optional_id("the method", &destination.method)
        }
        FactBody::CouponDefinition { provider_ref, code: text } => {
            id("the coupon's id", provider_ref)?;
            code("the coupon", text)
        }
    }
}

/// Whether a configuration object's names can be keys. A slash in a program's id would make two objects share one.
pub(super) fn config(fact: &ConfigFact) -> bool {
    let name = match &fact.object {
        ConfigObject::Program(_) => "program",
        ConfigObject::Partner(partner) => partner.partner.as_str(),
        ConfigObject::Code(object) => object.code.as_str(),
        ConfigObject::Coupon(object) => object.coupon.as_str(),
        ConfigObject::Rule(rule) => rule.rule.as_str(),
        ConfigObject::ApiKey(key) => key.key_id.as_str(),
        ConfigObject::Endpoint(endpoint) => endpoint.endpoint_id.as_str(),
        ConfigObject::Account(account) => account.account.as_str(),
        // The program's own terms have no name.
        ConfigObject::PayoutTerms(terms) if terms.partner.as_str().is_empty() => "program",
        ConfigObject::PayoutTerms(terms) => terms.partner.as_str(),
    };
    id("program", fact.program.as_str()).is_ok()
        && !fact.program.as_str().contains('/')
        && id("name", name).is_ok()
}

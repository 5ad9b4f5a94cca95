//! The operations of the native API: one table for the router, the checks, the metrics and the OpenAPI document.
use super::fields::{ADDED, ENDPOINT, KEY, NAMED, PAIR, PARTNER, ROTATION, SETTINGS};
use axum::http::Method;
use domain::config::KeyScope;
use sources::native::schema::Field;
use sources::native::{Resource, payout, rule};

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    CreatePrograms,
    PutProgram,
    DeleteProgram,
    PutPartner,
    DeletePartner,
    PutCode,
    DeleteCode,
    PutCoupon,
    DeleteCoupon,
    PutRule,
    DeleteRule,
    CreateKey,
    RotateKey,
    DeleteKey,
    CreateEndpoint,
    AddSecret,
    DeleteSecret,
    DeleteEndpoint,
    PostSale,
    PostLead,
    PostSignup,
    PostClick,
    PostRefund,
    PostDispute,
    PostApproval,
    PostAdjustment,
    PostRepricing,
    PostPayout,
    SettlePayout,
    FailPayout,
    ReturnPayout,
    PostWriteOff,
    PostRate,
    PutDestination,
    DeleteDestination,
    PutTerms,
    DeleteTerms,
    PutPartnerTerms,
    DeletePartnerTerms,
}

/// What an operation looks like from outside.
#[derive(Debug)]
pub(crate) struct Shape {
    /// Its stable name: in metrics, and as the OpenAPI operation id.
    pub(crate) name: &'static str,
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) scope: KeyScope,
    /// The event that it takes; `None`: configuration.
    pub(crate) resource: Option<Resource>,
    /// Its body; empty: none.
    pub(crate) fields: &'static [Field],
    /// Its body may be a batch of so many items; 0: it may not.
    pub(crate) batch: usize,
    pub(crate) about: &'static str,
}

/// What every operation may answer.
pub(crate) const STATUSES: [u16; 13] = [200, 202, 400, 401, 403, 404, 408, 409, 413, 415, 429, 500, 503];

/// Items of a batch of reports.
const MOST_REPORTS: usize = 1_000;
/// Items of a batch of decisions: as many as a person can have looked at.
const MOST_DECISIONS: usize = 100;

impl Operation {
    pub(crate) const ALL: [Self; 39] = [
        Self::CreatePrograms,
        Self::PutProgram,
        Self::DeleteProgram,
        Self::PutPartner,
        Self::DeletePartner,
        Self::PutCode,
        Self::DeleteCode,
        Self::PutCoupon,
        Self::DeleteCoupon,
        Self::PutRule,
        Self::DeleteRule,
        Self::CreateKey,
        Self::RotateKey,
        Self::DeleteKey,
        Self::CreateEndpoint,
        Self::AddSecret,
        Self::DeleteSecret,
        Self::DeleteEndpoint,
        Self::PostSale,
        Self::PostLead,
        Self::PostSignup,
        Self::PostClick,
        Self::PostRefund,
        Self::PostDispute,
        Self::PostApproval,
        Self::PostAdjustment,
        Self::PostRepricing,
        Self::PostPayout,
        Self::SettlePayout,
        Self::FailPayout,
        Self::ReturnPayout,
        Self::PostWriteOff,
        Self::PostRate,
        Self::PutDestination,
        Self::DeleteDestination,
        Self::PutTerms,
        Self::DeleteTerms,
        Self::PutPartnerTerms,
        Self::DeletePartnerTerms,
    ];

    /// What it looks like.
    pub(crate) fn shape(self) -> &'static Shape {
        &SHAPES[self as usize]
    }
}

const fn configure(
    name: &'static str,
    method: Method,
    path: &'static str,
    fields: &'static [Field],
    about: &'static str,
) -> Shape {
    Shape { name, method, path, scope: KeyScope::Configure, resource: None, fields, batch: 0, about }
}

const fn event(name: &'static str, path: &'static str, resource: Resource, about: &'static str) -> Shape {
    let (scope, most) = if resource.is_decision() {
        (KeyScope::Approve, MOST_DECISIONS)
    } else if resource.is_configuration() {
        (KeyScope::Configure, MOST_DECISIONS)
    } else {
        (KeyScope::Report, MOST_REPORTS)
    };
    // What the path names is one thing.
    let batch = if resource.of_path().is_some() { 0 } else { most };
    let fields = resource.asked();
    Shape { name, method: Method::POST, path, scope, resource: Some(resource), fields, batch, about }
}

const fn destination(
    name: &'static str,
    method: Method,
    fields: &'static [Field],
    about: &'static str,
) -> Shape {
    let path = "/v1/programs/{program}/partners/{partner}/payout-destination";
    let resource = Some(Resource::PayoutDestinations);
    Shape { name, method, path, scope: KeyScope::Configure, resource, fields, batch: 0, about }
}

/// In the order of the enum.
static SHAPES: [Shape; Operation::ALL.len()] = [
    configure(
        "create_programs",
        Method::POST,
        "/v1/programs",
        &PAIR,
        "Creates a live program and its test twin with the same settings, and a key for each. Needs an operator key.",
    ),
    configure(
        "put_program",
        Method::PUT,
        "/v1/programs/{program}",
        &SETTINGS,
        "Replaces a program's settings. Its mode and account stay.",
    ),
    configure(
        "delete_program",
        Method::DELETE,
        "/v1/programs/{program}",
        &[],
        "Removes a program that has recorded nothing and from which everything else was removed.",
    ),
    configure(
        "put_partner",
        Method::PUT,
        "/v1/programs/{program}/partners/{partner}",
        &PARTNER,
        "Creates or replaces a partner.",
    ),
    configure(
        "delete_partner",
        Method::DELETE,
        "/v1/programs/{program}/partners/{partner}",
        &[],
        "Removes a partner that no code or coupon names any more; what was earned stays.",
    ),
    configure(
        "put_code",
        Method::PUT,
        "/v1/programs/{program}/codes/{code}",
        &NAMED,
        "Creates or replaces a referral code. Codes are exact.",
    ),
    configure(
        "delete_code",
        Method::DELETE,
        "/v1/programs/{program}/codes/{code}",
        &[],
        "Removes a referral code from new sales.",
    ),
    configure(
        "put_coupon",
        Method::PUT,
        "/v1/programs/{program}/coupons/{coupon}",
        &NAMED,
        "Creates or replaces a coupon that earns for a partner. Coupons are exact.",
    ),
    configure(
        "delete_coupon",
        Method::DELETE,
        "/v1/programs/{program}/coupons/{coupon}",
        &[],
        "Removes a coupon from new sales.",
    ),
    configure(
        "put_rule",
        Method::PUT,
        "/v1/programs/{program}/rules/{rule}",
        &rule::FIELDS,
        "Writes the next version of a commission rule. What was earned keeps the version it was earned under.",
    ),
    configure(
        "delete_rule",
        Method::DELETE,
        "/v1/programs/{program}/rules/{rule}",
        &[],
        "Removes a commission rule from new conversions.",
    ),
    configure(
        "create_key",
        Method::POST,
        "/v1/programs/{program}/keys",
        &KEY,
        "Makes a key for this program. Its text is in the answer and nowhere else.",
    ),
    configure(
        "rotate_key",
        Method::POST,
        "/v1/programs/{program}/keys/{key_id}/rotate",
        &ROTATION,
        "Makes a new key with the same rights, and lets the old one end after the overlap.",
    ),
    configure(
        "delete_key",
        Method::DELETE,
        "/v1/programs/{program}/keys/{key_id}",
        &[],
        "Revokes a key at once.",
    ),
    configure(
        "create_endpoint",
        Method::POST,
        "/v1/programs/{program}/endpoints",
        &ENDPOINT,
        "Makes a webhook endpoint. The secret is sealed before it is logged, and is never shown.",
    ),
    configure(
        "add_secret",
        Method::POST,
        "/v1/programs/{program}/endpoints/{endpoint}/secrets",
        &ADDED,
        "Adds a signing secret beside the ones that are live: the first half of a rotation.",
    ),
    configure(
        "delete_secret",
        Method::DELETE,
        "/v1/programs/{program}/endpoints/{endpoint}/secrets/{fingerprint}",
        &[],
        "Takes a signing secret away by its fingerprint: the second half of a rotation.",
    ),
    configure(
        "delete_endpoint",
        Method::DELETE,
        "/v1/programs/{program}/endpoints/{endpoint}",
        &[],
        "Removes a webhook endpoint.",
    ),
    event("post_sale", "/v1/programs/{program}/sales", Resource::Sales, "Reports a sale."),
    event(
        "post_lead",
        "/v1/programs/{program}/leads",
        Resource::Leads,
        "Reports a lead: somebody asked for more.",
    ),
    event(
        "post_signup",
        "/v1/programs/{program}/signups",
        Resource::Signups,
        "Reports a sign-up: somebody opened an account.",
    ),
    event(
        "post_click",
        "/v1/programs/{program}/clicks",
        Resource::Clicks,
        "Reports a click that is to be a conversion.",
    ),
    event(
        "post_refund",
        "/v1/programs/{program}/refunds",
        Resource::Refunds,
        "Reports a refund, in one state.",
    ),
    event(
        "post_dispute",
        "/v1/programs/{program}/disputes",
        Resource::Disputes,
        "Reports a dispute, in one state.",
    ),
    event(
        "post_approval",
        "/v1/programs/{program}/approvals",
        Resource::Approvals,
        "Decides about a commission.",
    ),
    event(
        "post_adjustment",
        "/v1/programs/{program}/adjustments",
        Resource::Adjustments,
        "Makes a commission with no sale behind it.",
    ),
    event(
        "post_repricing",
        "/v1/programs/{program}/repricings",
        Resource::Repricings,
        "Gives a commission the terms of a forecast, unless it moved meanwhile.",
    ),
    event(
        "post_payout",
        "/v1/programs/{program}/payouts",
        Resource::Payouts,
        "Drafts a payout of everything that is payable of one balance.",
    ),
    event(
        "settle_payout",
        "/v1/programs/{program}/payouts/{payout_id}/settle",
        Resource::PayoutSettlements,
        "Says that a payout was paid.",
    ),
    event(
        "fail_payout",
        "/v1/programs/{program}/payouts/{payout_id}/fail",
        Resource::PayoutFailures,
        "Says that a payout was not paid, and will not be: its money is payable again.",
    ),
    event(
        "return_payout",
        "/v1/programs/{program}/payouts/{payout_id}/return",
        Resource::PayoutReturns,
        "Says that a payout was paid and the bank sent it back: its money is payable again.",
    ),
    event(
        "post_write_off",
        "/v1/programs/{program}/partners/{partner}/write-offs",
        Resource::WriteOffs,
        "Gives up what a partner owes.",
    ),
    event(
        "post_rate",
        "/v1/programs/{program}/rates",
        Resource::Rates,
        "Records a rate of exchange. The last one of a pair of currencies counts.",
    ),
    destination(
        "put_payout_destination",
        Method::PUT,
        &payout::DESTINATION,
        "Says where a partner is paid. It is sealed before it is logged, and is never shown.",
    ),
    destination(
        "delete_payout_destination",
        Method::DELETE,
        &[],
        "Says that a partner is paid nowhere any more.",
    ),
    configure(
        "put_payout_terms",
        Method::PUT,
        "/v1/programs/{program}/payout-terms",
        &payout::TERMS,
        "Creates or replaces the payout terms of all partners that have none of their own.",
    ),
    configure(
        "delete_payout_terms",
        Method::DELETE,
        "/v1/programs/{program}/payout-terms",
        &[],
        "Removes the program's payout terms.",
    ),
    configure(
        "put_partner_payout_terms",
        Method::PUT,
        "/v1/programs/{program}/partners/{partner}/payout-terms",
        &payout::TERMS,
        "Creates or replaces the payout terms of one partner, in place of the program's.",
    ),
    configure(
        "delete_partner_payout_terms",
        Method::DELETE,
        "/v1/programs/{program}/partners/{partner}/payout-terms",
        &[],
        "Removes a partner's own payout terms: the program's count again.",
    ),
];

#[cfg(test)]
mod tests {
    use super::super::fields::PROVIDERS;
    use super::*;
    use crate::adapters::Provider;

    #[test]
    fn every_operation_is_in_its_place_and_every_provider_is_known() {
        for (place, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(operation as usize, place);
        }
        assert!(PROVIDERS.iter().all(|name| Provider::parse(name).is_some()));
    }
}

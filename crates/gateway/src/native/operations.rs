//! The operations of the native API: one table for the router, the checks, the metrics and the OpenAPI document.
use axum::http::Method;
use domain::config::KeyScope;
use sources::native::schema::{Field, Kind};
use sources::native::{Resource, rule};

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

/// Webhook providers that an endpoint can be for.
pub(crate) const PROVIDERS: [&str; 2] = ["paddle", "stripe"];

/// Items of a batch of reports.
const MOST_REPORTS: usize = 1_000;
/// Items of a batch of decisions: as many as a person can have looked at.
const MOST_DECISIONS: usize = 100;

const fn must(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { name, kind, required: true, about }
}

const fn may(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { name, kind, required: false, about }
}

/// As long as any hold of the domain's.
const HOLD: Kind = Kind::Number { least: 0, most: 3650 };
const RELEASE: [Field; 2] = [
    may(
        "mode",
        Kind::Word(&["days", "calendar"]),
        "`hold_days` after the conversion, or the end of the month (UTC) in which that is; absent: `days`",
    ),
    may(
        "min_hold_days",
        HOLD,
        "at least so many days after the conversion was accepted, whenever it happened; absent: 0",
    ),
];
const SETTINGS: [Field; 12] = [
    must("name", Kind::Text, "shown to people"),
    must("currency", Kind::Currency, "the currency that it is shown in; sales may be in any"),
    may(
        "profile",
        Kind::Word(&["native", "revshare", "affonso", "partnerstack", "refvenue", "affihub"]),
        "whose rules it follows where trackers differ; absent: `native`",
    ),
    may("rounding", Kind::Word(&["half_even", "half_up", "floor"]), "of commissions; absent: `half_even`"),
    may("click_window_days", Kind::Number { least: 1, most: 365 }, "how long a click earns; absent: 30"),
    may("hold_days", HOLD, "before a commission is approved; absent: 0"),
    may("release", Kind::Object(&RELEASE), "how that time is counted; absent: by days alone"),
    may("manual_approval", Kind::Flag, "a person approves each commission; absent: false"),
    may(
        "sale_from",
        Kind::Word(&["charge", "invoice", "checkout+invoice"]),
        "which Stripe events are money; absent: the profile's",
    ),
    may(
        "referral_keys",
        Kind::Texts { most: 16 },
        "metadata keys that may hold a code, in order; absent: the usual ones",
    ),
    may(
        "customer_keys",
        Kind::Texts { most: 16 },
        "metadata keys that may hold your customer's id, in order; absent: the usual ones",
    ),
    may(
        "rule_metadata_keys",
        Kind::Texts { most: 16 },
        "metadata keys whose values sales keep for rules (`metadata.KEY`), never personal data; absent: none",
    ),
];
const PAIR: [Field; 14] = [
    may("live_program_id", Kind::Id, "absent: a new id"),
    may("test_program_id", Kind::Id, "absent: a new id"),
    SETTINGS[0],
    SETTINGS[1],
    SETTINGS[2],
    SETTINGS[3],
    SETTINGS[4],
    SETTINGS[5],
    SETTINGS[6],
    SETTINGS[7],
    SETTINGS[8],
    SETTINGS[9],
    SETTINGS[10],
    SETTINGS[11],
];
const ACTIVE: Field = may("active", Kind::Flag, "earns for new sales; absent: true");
const NOT_SUSPENDED: Field = may("active", Kind::Flag, "false: suspended; absent: true");
const PARTNER: [Field; 3] = [
    may("name", Kind::Text, "shown to people; absent: the id"),
    may("group", Kind::Id, "what rules ask for as `partner_group`; absent: none"),
    NOT_SUSPENDED,
];
const NAMED: [Field; 2] = [must("partner_id", Kind::Id, "whom it earns for"), ACTIVE];
const KEY: [Field; 4] = [
    may("name", Kind::Text, "shown to people"),
    may("publishable", Kind::Flag, "may only report; absent: false"),
    may(
        "scopes",
        Kind::Words(&["report", "configure", "approve", "read"]),
        "what it may do, at most what the asking key may; absent: all of that",
    ),
    may("expires_at", Kind::Moment, "refused from then on; absent: never"),
];
const ROTATION: [Field; 1] = [may(
    "overlap_seconds",
    Kind::Number { least: 0, most: 2_592_000 },
    "how long the old key still works; absent: 86400, one day",
)];
const SECRET: Field =
    must("secret", Kind::Id, "the signing secret that the provider shows, 8 bytes at least");
const ENDPOINT: [Field; 4] = [
    must("provider", Kind::Word(&PROVIDERS), "who sends"),
    SECRET,
    may("endpoint_id", Kind::Id, "absent: a new id"),
    may(
        "tolerance_seconds",
        Kind::Number { least: 1, most: 3600 },
        "how far a signature's time may be from ours, both ways; absent: the provider's usual one (300)",
    ),
];
const ADDED: [Field; 1] = [SECRET];

impl Operation {
    pub(crate) const ALL: [Self; 27] = [
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
    let (scope, batch) = if resource.is_decision() {
        (KeyScope::Approve, MOST_DECISIONS)
    } else {
        (KeyScope::Report, MOST_REPORTS)
    };
    let fields = resource.fields();
    Shape { name, method: Method::POST, path, scope, resource: Some(resource), fields, batch, about }
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
];

#[cfg(test)]
mod tests {
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

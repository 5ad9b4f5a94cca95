//! The bodies of configuration requests, field by field.
use sources::native::schema::{Field, Kind};

/// Webhook providers that an endpoint can be for.
pub(super) const PROVIDERS: [&str; 2] = ["paddle", "stripe"];

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
pub(super) const SETTINGS: [Field; 12] = [
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
pub(super) const PAIR: [Field; 14] = [
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
pub(super) const PARTNER: [Field; 3] = [
    may("name", Kind::Text, "shown to people; absent: the id"),
    may("group", Kind::Id, "what rules ask for as `partner_group`; absent: none"),
    NOT_SUSPENDED,
];
pub(super) const NAMED: [Field; 2] = [must("partner_id", Kind::Id, "whom it earns for"), ACTIVE];
pub(super) const KEY: [Field; 4] = [
    may("name", Kind::Text, "shown to people"),
    may("publishable", Kind::Flag, "may only report; absent: false"),
    may(
        "scopes",
        Kind::Words(&["report", "configure", "approve", "read"]),
        "what it may do, at most what the asking key may; absent: all of that",
    ),
    may("expires_at", Kind::Moment, "refused from then on; absent: never"),
];
pub(super) const ROTATION: [Field; 1] = [may(
    "overlap_seconds",
    Kind::Number { least: 0, most: 2_592_000 },
    "how long the old key still works; absent: 86400, one day",
)];
const SECRET: Field =
    must("secret", Kind::Id, "the signing secret that the provider shows, 8 bytes at least");
pub(super) const ENDPOINT: [Field; 4] = [
    must("provider", Kind::Word(&PROVIDERS), "who sends"),
    SECRET,
    may("endpoint_id", Kind::Id, "absent: a new id"),
    may(
        "tolerance_seconds",
        Kind::Number { least: 1, most: 3600 },
        "how far a signature's time may be from ours, both ways; absent: the provider's usual one (300)",
    ),
];
pub(super) const ADDED: [Field; 1] = [SECRET];

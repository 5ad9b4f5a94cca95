//! Revshare: `POST /api/referral`. Its traps and what is our own choice are in `docs/dialects/revshare.md`.
//!
//! The gateway calls [`validate`] before anything is logged and [`respond`] when the outcome is known; the normalizer reads
//! the same bytes again by way of [`crate::normalize`].
use crate::defect::{Defect, reason};
use crate::json::{Raw, optional_id};
use crate::{SourceRequest, draft};
use domain::commission::{Answer, CommissionStatus};
use domain::facts::{Fact, FactBody, Identifier, Personal, Recurrence, Referral, Sale};
use domain::ids::{EventId, Hash, ProgramId, SourceName};
use domain::money::{Currency, Minor};
use domain::normalization::{Draft, Reading, VerdictKind};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::fmt;

/// The source's name.
pub const NAME: &str = "revshare";

/// The body's fields, in the order in which errors name them.
const FIELDS: [&str; 6] =
    ["ref_code", "program_id", "spent_amount", "transaction_id", "currency", "customer_id"];
const DEFAULT_CURRENCY: &str = "USD";

/// A valid referral.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevshareRequest {
    /// The partner's code, exact.
    pub ref_code: String,
    /// For which program.
    pub program: ProgramId,
    /// What the customer spent, not negative.
    pub spent_amount: Minor,
    /// The caller's id of the transaction: the idempotency key.
    pub transaction_id: String,
    /// Its currency; US dollars when the caller does not say.
    pub currency: Currency,
    /// Tells repeat purchases apart.
    pub customer_id: Option<String>,
}

/// Checks a body. Unknown fields are ignored.
///
/// # Errors
/// The fields that are missing, ill-typed, out of range or written twice, in the order of the dialect's page; none of them
/// when the body is no JSON object.
pub fn validate(body: &[u8]) -> Result<RevshareRequest, Vec<&'static str>> {
    let text = std::str::from_utf8(body).map_err(|_| Vec::new())?;
    let fields: Fields<'_> = serde_json::from_str(text).map_err(|_| Vec::new())?;
    let [ref_code, program, spent, transaction, currency, customer] = fields.values;
    let mut bad = fields.repeated;
    let mut check = |place: usize, wrong: bool| bad[place] |= wrong;
    let ref_code = required(ref_code);
    check(0, ref_code.is_none());
    let program = required(program);
    check(1, program.is_none());
    let spent_amount = spent.and_then(|raw| crate::json::minor(raw.get()).ok());
    check(2, spent_amount.is_none());
    let transaction_id = required(transaction);
    check(3, transaction_id.is_none());
    let currency = match currency {
        None => Currency::parse(DEFAULT_CURRENCY),
        Some(_) => required(currency).and_then(|text| Currency::parse(&text.to_ascii_uppercase())),
    };
    check(4, currency.is_none());
    let customer_id = required(customer);
    check(5, customer.is_some() && customer_id.is_none());
    match (ref_code, program, spent_amount, transaction_id, currency) {
        (Some(ref_code), Some(program), Some(spent_amount), Some(transaction_id), Some(currency))
            if bad == [false; FIELDS.len()] =>
        {
            Ok(RevshareRequest {
                ref_code,
                program: ProgramId(program),
                spent_amount,
                transaction_id,
                currency,
                customer_id,
            })
        }
        _ => Err(FIELDS.iter().zip(bad).filter_map(|(name, bad)| bad.then_some(*name)).collect()),
    }
}

/// A string of 1 to 255 bytes without control characters.
fn required(raw: Raw<'_>) -> Option<String> {
    optional_id("", raw).ok().filter(|text| !text.is_empty())
}

/// The wanted values as they were written, and which of them were written twice.
#[derive(Default)]
struct Fields<'a> {
    values: [Raw<'a>; FIELDS.len()],
    repeated: [bool; FIELDS.len()],
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Fields::default();
                let mut seen = [false; FIELDS.len()];
                while let Some(Name(place)) = map.next_key()? {
                    let Some(place) = place else {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    };
                    fields.values[place] = map.next_value::<Option<&'de RawValue>>()?;
                    fields.repeated[place] |= std::mem::replace(&mut seen[place], true);
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

/// A key's place among the fields.
struct Name(Option<usize>);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl Visitor<'_> for NameVisitor {
            type Value = Name;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_str<E>(self, key: &str) -> Result<Name, E> {
                Ok(Name(FIELDS.iter().position(|name| *name == key)))
            }
        }
        deserializer.deserialize_identifier(NameVisitor)
    }
}

/// Reads one logged referral.
pub(crate) fn read(request: &SourceRequest<'_>) -> Draft {
    let referral = match validate(request.body) {
        Ok(referral) => referral,
        Err(fields) => {
            // The gateway lets no such body through: one was logged by a version that took more.
            let detail = format!("missing or wrong: {}", fields.join(", "));
            return draft(request, None, Err(Defect::new(reason::BAD_FIELD, detail)));
        }
    };
    let source = SourceName::from(NAME);
    let fact = Fact {
        program: request.program.clone(),
        event: EventId::derive(request.program, &source, &referral.transaction_id),
        source,
        object_id: referral.transaction_id.clone(),
        state: "recorded".to_owned(),
        hash: Hash::ZERO,
        occurred_at: request.clock,
        identifiers: referral
            .customer_id
            .map(|id| Identifier {
                namespace: "customer_key".to_owned(),
                subject: None,
                value: Personal::Open(id),
            })
            .into_iter()
            .collect(),
        body: FactBody::Sale(Sale {
            external_id: referral.transaction_id.clone(),
            currency: referral.currency,
            gross: referral.spent_amount,
            net: None,
            lines: Vec::new(),
            subscription_id: String::new(),
            recurrence: Recurrence::Unknown,
            referral: Some(Referral { code: referral.ref_code, found_at: "ref_code".to_owned() }),
            coupon: None,
            aliases: Vec::new(),
            details: domain::facts::SaleDetails::default(),
        }),
    };
    Draft {
        refuse_unknown_code: true,
        ..draft(request, Some(referral.transaction_id), Ok(Reading::Facts(vec![fact])))
    }
}

/// What a caller is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// It counts, or counted before.
    Recorded {
        /// The request that asks.
        request: &'a RevshareRequest,
        /// What the ledger said.
        answer: &'a Answer,
        /// The ledger said it before.
        duplicate: bool,
    },
    /// Nothing is known in time: it is kept, and the same request asks again.
    Pending {
        /// The request that asks.
        request: &'a RevshareRequest,
    },
    /// The code names nobody who earns.
    UnknownCode,
    /// The transaction was recorded with other data.
    Conflict,
    /// The body is not valid.
    Invalid {
        /// As [`validate`] names them.
        fields: &'a [&'static str],
    },
    /// No such key, or one that may not do this.
    BadKey,
    /// Another account's program.
    Forbidden,
    /// No such program.
    UnknownProgram,
    /// Too many requests; the gateway adds `Retry-After`.
    RateLimited,
}

impl<'a> Outcome<'a> {
    /// What a verdict of the log, with its answer where it has one, means for the caller.
    #[must_use]
    pub fn of_verdict(
        request: &'a RevshareRequest,
        kind: VerdictKind,
        reason: &str,
        answer: Option<&'a Answer>,
        duplicate: bool,
    ) -> Self {
        let duplicate = duplicate || kind == VerdictKind::Duplicate;
        match (kind, reason, answer) {
            (VerdictKind::Applied | VerdictKind::Duplicate, _, Some(answer)) => {
                Self::Recorded { request, answer, duplicate }
            }
            (VerdictKind::Ignored, "unknown_code", _) => Self::UnknownCode,
            (VerdictKind::Quarantined, "conflict", _) => Self::Conflict,
            (VerdictKind::Quarantined, "unknown_program", _) => Self::UnknownProgram,
            // Kept: an operator mends it, and the same request hears what became of it.
            _ => Self::Pending { request },
        }
    }
}

/// Status and body of an answer. Never a 5xx: a merchant's handler rarely tries again.
#[must_use]
pub fn respond(outcome: &Outcome<'_>) -> (u16, Value) {
    let refused = |status: u16, error: &str| (status, json!({ "error": error }));
    match outcome {
        Outcome::Recorded { request, answer, duplicate } => {
            let currency = answer.currency.unwrap_or(request.currency);
            // A sale that earns nothing is recorded too; the hosted product has no word for it.
            let status = answer.status.map_or("none", status_word);
            (200, success(request, &answer.event, Some(answer.amount), currency, status, *duplicate))
        }
        Outcome::Pending { request } => {
            let event = EventId::derive(&request.program, &SourceName::from(NAME), &request.transaction_id);
            (202, success(request, &event, None, request.currency, "pending", false))
        }
        Outcome::UnknownCode => refused(404, "Affiliate not found"),
        Outcome::Conflict => refused(409, "Transaction already recorded with different data"),
        Outcome::Invalid { fields } => (400, json!({ "error": "Missing required fields", "fields": fields })),
        Outcome::BadKey => refused(401, "Invalid API key"),
        Outcome::Forbidden => refused(403, "Program not accessible"),
        Outcome::UnknownProgram => refused(404, "Program not found"),
        Outcome::RateLimited => refused(429, "Rate limit exceeded"),
    }
}

fn success(
    request: &RevshareRequest,
    event: &EventId,
    amount: Option<Minor>,
    currency: Currency,
    status: &str,
    duplicate: bool,
) -> Value {
    let id = event.as_str();
    json!({
        "success": true,
        "referral_id": format!("rs_{}", id.strip_prefix("evt_").unwrap_or(id)),
        "transaction_id": request.transaction_id,
        "ref_code": request.ref_code,
        "program_id": request.program.as_str(),
        "commission_amount": amount.map(|amount| amount.0),
        "currency": currency.code(),
        "status": status,
        "duplicate": duplicate,
    })
}

/// The ledger's state in the dialect's word.
const fn status_word(status: CommissionStatus) -> &'static str {
    match status {
        CommissionStatus::Pending | CommissionStatus::Review => "pending",
        CommissionStatus::Approved | CommissionStatus::Locked => "approved",
        CommissionStatus::Paid => "paid",
        CommissionStatus::Rejected => "rejected",
        CommissionStatus::Refunded | CommissionStatus::ChargedBack => "refunded",
    }
}

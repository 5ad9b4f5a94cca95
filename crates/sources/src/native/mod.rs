//! The native API's events: conversions, reversals, what people decide, and payouts. The contract is `docs/reference/native-api.md`.
//!
//! The gateway calls [`validate`] before anything is logged; the normalizer reads the same bytes again by way of
//! [`crate::normalize`]. [`schema`] holds the tables that both of them, and the OpenAPI document, go by.
mod card;
mod conversion;
mod decision;
pub mod payout;
pub mod repricing;
mod reversal;
pub mod rule;
pub mod schema;

use crate::defect::{Defect, reason};
use crate::json::MAX_ID_BYTES;
use crate::{SourceRequest, draft};
use domain::facts::{ConversionKind, Fact, FactBody, Identifier, ReversalFamily};
use domain::ids::{EventId, Hash, SourceName};
use domain::money::Minor;
use domain::normalization::{Draft, Reading};
use domain::payouts::PayoutAct;
use domain::time::Micros;
use schema::{Field, Kind, Refused, Values};

/// The source's name.
pub const NAME: &str = "native";
/// The header that names a delivery, as it is kept.
pub const IDEMPOTENCY_HEADER: &str = "idempotency-key";
/// The field that does.
const IDEMPOTENCY_FIELD: &str = "idempotency_key";
/// Lines of a sale or refund.
const MOST_LINES: usize = 500;

/// What can be posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Money came in.
    Sales,
    /// Somebody asked for more.
    Leads,
    /// Somebody opened an account.
    Signups,
    /// Somebody followed a link.
    Clicks,
    /// Money went back.
    Refunds,
    /// A bank takes money back, perhaps.
    Disputes,
    /// A person decides about a commission.
    Approvals,
    /// A person makes a commission.
    Adjustments,
    /// A person accepts a forecast.
    Repricings,
    /// A payout is to be.
    Payouts,
    /// A payout was paid.
    PayoutSettlements,
    /// A payout was not paid.
    PayoutFailures,
    /// A payout was paid and came back.
    PayoutReturns,
    /// A debt is given up.
    WriteOffs,
    /// A rate of exchange.
    Rates,
    /// Where a partner is paid, sealed.
    PayoutDestinations,
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Sales,
        Self::Leads,
        Self::Signups,
        Self::Clicks,
        Self::Refunds,
        Self::Disputes,
        Self::Approvals,
        Self::Adjustments,
        Self::Repricings,
        Self::Payouts,
        Self::PayoutSettlements,
        Self::PayoutFailures,
        Self::PayoutReturns,
        Self::WriteOffs,
        Self::Rates,
        Self::PayoutDestinations,
    ];

    /// Its name in paths and in `ingest`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sales => "sales",
            Self::Leads => "leads",
            Self::Signups => "signups",
            Self::Clicks => "clicks",
            Self::Refunds => "refunds",
            Self::Disputes => "disputes",
            Self::Approvals => "approvals",
            Self::Adjustments => "adjustments",
            Self::Repricings => "repricings",
            Self::Payouts => "payouts",
            Self::PayoutSettlements => "payout-settlements",
            Self::PayoutFailures => "payout-failures",
            Self::PayoutReturns => "payout-returns",
            Self::WriteOffs => "write-offs",
            Self::Rates => "rates",
            Self::PayoutDestinations => "payout-destinations",
        }
    }

    /// The fields of its body in the log.
    #[must_use]
    pub const fn fields(self) -> &'static [Field] {
        match self {
            Self::Sales => &conversion::SALE,
            Self::Leads | Self::Signups | Self::Clicks => &conversion::OTHER,
            Self::Refunds => &reversal::REFUND,
            Self::Disputes => &reversal::DISPUTE,
            Self::Approvals => &decision::APPROVAL,
            Self::Adjustments => &decision::ADJUSTMENT,
            Self::Repricings => &repricing::REPRICING,
            Self::Payouts => &payout::DRAFT,
            Self::PayoutSettlements => &payout::SETTLEMENT,
            Self::PayoutFailures => &payout::FAILURE,
            Self::PayoutReturns => &payout::RETURN,
            Self::WriteOffs => &payout::WRITE_OFF,
            Self::Rates => &payout::RATE,
            Self::PayoutDestinations => &payout::SEALED,
        }
    }

    /// The field that callers say in the path: the first one of [`Resource::fields`]. The gateway writes it into the body.
    #[must_use]
    pub const fn of_path(self) -> Option<&'static str> {
        match self {
            Self::PayoutSettlements | Self::PayoutFailures | Self::PayoutReturns => Some("payout_id"),
            Self::WriteOffs | Self::PayoutDestinations => Some("partner_id"),
            _ => None,
        }
    }

    /// The fields that callers may send.
    #[must_use]
    pub const fn asked(self) -> &'static [Field] {
        match (self, self.of_path(), self.fields().split_first()) {
            (Self::PayoutDestinations, _, _) => &payout::DESTINATION,
            (_, Some(_), Some((_, rest))) => rest,
            _ => self.fields(),
        }
    }

    /// Whether a person decides, in place of a report of what happened.
    #[must_use]
    pub const fn is_decision(self) -> bool {
        matches!(self, Self::Approvals | Self::Adjustments | Self::Repricings | Self::WriteOffs)
            || self.is_about_payout()
    }

    /// Whether it drafts a payout, or says what became of one.
    #[must_use]
    pub const fn is_about_payout(self) -> bool {
        matches!(self, Self::Payouts | Self::PayoutSettlements | Self::PayoutFailures | Self::PayoutReturns)
    }

    /// Whether it says how partners are paid: configuration, by whom it may be written.
    #[must_use]
    pub const fn is_configuration(self) -> bool {
        matches!(self, Self::Rates | Self::PayoutDestinations)
    }

    /// Whether another key of the caller's makes another fact of what says the same.
    const fn is_known_by_key(self) -> bool {
        matches!(
            self,
            Self::Approvals
                | Self::Repricings
                | Self::PayoutSettlements
                | Self::PayoutFailures
                | Self::PayoutReturns
                | Self::PayoutDestinations
        )
    }
}

const fn must(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { name, kind, required: true, about }
}

const fn may(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { name, kind, required: false, about }
}

const OCCURRED_AT: Field = may("occurred_at", Kind::Moment, "when it happened; absent: when the log took it");
const KEY: Field = may(
    IDEMPOTENCY_FIELD,
    Kind::Id,
    "names this event where the header Idempotency-Key does not; the two must agree",
);

/// A valid event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The caller's idempotency key, or one derived from the object.
    pub delivery_key: String,
    /// The id of the object.
    pub object_id: String,
    /// Its state.
    pub state: String,
    /// When it happened, where the body says.
    pub occurred_at: Option<Micros>,
    /// Who.
    pub identifiers: Vec<Identifier>,
    /// What.
    pub body: FactBody,
    /// The body names no currency, and needs none: it is the program's, which only the normalizer knows.
    takes_program_currency: bool,
}

/// Checks a body that passed [`crate::json::precheck`]. `header` is the idempotency key of the head, `authenticated_by` the id
/// of the key that vouched for it.
///
/// # Errors
/// [`Refused`], by field.
pub fn validate(
    resource: Resource,
    body: &[u8],
    header: Option<&str>,
    authenticated_by: &str,
) -> Result<Event, Refused> {
    let values = schema::read(resource.fields(), body)?;
    let key = match (header, values.text(IDEMPOTENCY_FIELD)) {
        (Some(header), Some(field)) if header != field => {
            return Err(Refused::new(
                reason::CONTRADICTORY,
                IDEMPOTENCY_FIELD,
                "the header Idempotency-Key and idempotency_key differ",
            ));
        }
        (header, field) => header.or(field),
    };
    let mut event = match resource {
        Resource::Sales => conversion::sale(&values)?,
        Resource::Leads => conversion::other(&values, ConversionKind::Lead)?,
        Resource::Signups => conversion::other(&values, ConversionKind::Signup)?,
        Resource::Clicks => conversion::other(&values, ConversionKind::Click)?,
        Resource::Refunds => reversal::reversal(&values, ReversalFamily::Refund)?,
        Resource::Disputes => reversal::reversal(&values, ReversalFamily::Chargeback)?,
        Resource::Approvals => decision::approval(&values, authenticated_by)?,
        Resource::Adjustments => decision::adjustment(&values, authenticated_by)?,
        Resource::Repricings => repricing::repricing(&values, authenticated_by)?,
        Resource::Payouts => payout::draft(&values, key, authenticated_by)?,
        Resource::PayoutSettlements => payout::became(PayoutAct::Settle, &values, authenticated_by)?,
        Resource::PayoutFailures => payout::became(PayoutAct::Fail, &values, authenticated_by)?,
        Resource::PayoutReturns => payout::became(PayoutAct::Return, &values, authenticated_by)?,
        Resource::WriteOffs => payout::write_off(&values, key, authenticated_by)?,
        Resource::Rates => payout::rate(&values, authenticated_by)?,
        Resource::PayoutDestinations => payout::destination(&values, authenticated_by)?,
    };
    event.delivery_key = key.map_or_else(|| of_object(resource, &event), str::to_owned);
    if resource.is_known_by_key() {
        // Two decisions about one commission are two facts, a decision that is sent twice is one.
        event.state.clone_from(&event.delivery_key);
    }
    event.occurred_at = values.moment("occurred_at");
    Ok(event)
}

/// Names the delivery by its object, as long as a name may be and of what it may be made.
fn of_object(resource: Resource, event: &Event) -> String {
    let name = format!("{}/{}/{}", resource.name(), event.object_id, event.state);
    if name.len() <= MAX_ID_BYTES && !name.chars().any(char::is_control) {
        return name;
    }
    format!("{}/sha256:{}", resource.name(), hex::encode(Hash::of(name.as_bytes()).0))
}

fn event(object_id: String, state: &str, body: FactBody) -> Event {
    Event {
        delivery_key: String::new(),
        object_id,
        state: state.to_owned(),
        occurred_at: None,
        identifiers: Vec::new(),
        body,
        takes_program_currency: false,
    }
}

/// The amount and the part of it without tax.
fn money(values: &Values) -> Result<(Minor, Option<Minor>), Refused> {
    let (gross, net) = (values.amount("amount").unwrap_or_default(), values.amount("net"));
    if net.is_some_and(|net| net > gross) {
        return Err(Refused::new(reason::CONTRADICTORY, "net", "net is more than amount"));
    }
    Ok((gross, net))
}

fn currency(values: &Values) -> Result<domain::money::Currency, Refused> {
    values
        .currency("currency")
        .ok_or_else(|| Refused::new(reason::MISSING_FIELD, "currency", "currency is missing"))
}

/// Reads one logged event.
pub(crate) fn read(request: &SourceRequest<'_>) -> Draft {
    let Some(resource) = Resource::ALL.into_iter().find(|resource| resource.name() == request.resource)
    else {
        let detail = "this version knows no such resource; retry it with one that does";
        return draft(request, None, Err(Defect::new(reason::UNSUPPORTED_EVENT, detail)));
    };
    let header = request.headers.iter().find(|(name, _)| name == IDEMPOTENCY_HEADER);
    let header = header.map(|(_, value)| value.as_str());
    let mut event = match validate(resource, request.body, header, request.authenticated_by) {
        Ok(event) => event,
        // The gateway lets no such body through: one was logged by a version that took more.
        Err(refused) => return draft(request, None, Err(Defect::new(refused.code, refused.message))),
    };
    if let FactBody::Sale(sale) = &mut event.body {
        let kept = &request.settings.rule_metadata_keys;
        sale.details.metadata.retain(|(key, _)| kept.contains(key));
        if event.takes_program_currency {
            sale.currency = request.settings.currency;
        }
    }
    let source = SourceName::from(NAME);
    let fact = Fact {
        program: request.program.clone(),
        event: EventId::derive(request.program, &source, &event.delivery_key),
        source,
        object_id: event.object_id,
        state: event.state,
        hash: Hash::ZERO,
        occurred_at: event.occurred_at.unwrap_or(request.clock),
        identifiers: event.identifiers,
        body: event.body,
    };
    draft(request, Some(event.delivery_key), Ok(Reading::Facts(vec![fact])))
}

//! The native API's events: sales, refunds, disputes, approvals. The contract is `docs/reference/native-api.md`.
//!
//! The gateway calls [`validate`] before anything is logged; the normalizer reads the same bytes again by way of
//! [`crate::normalize`]. [`schema`] holds the tables that both of them, and the OpenAPI document, go by.
mod card;
pub mod rule;
pub mod schema;

use crate::defect::{Defect, reason};
use crate::json::MAX_ID_BYTES;
use crate::{SourceRequest, draft};
use domain::facts::{
    Command, CommandKind, CouponRef, Fact, FactBody, Identifier, Personal, Recurrence, Referral, Reversal,
    ReversalFamily, ReversalLine, ReversalState, Sale, SaleDetails, SaleLine,
};
use domain::ids::{CommissionId, EventId, Hash, SourceName};
use domain::money::Minor;
use domain::normalization::{Draft, Reading};
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
/// Words of a sale's metadata, as many as Stripe takes.
const MOST_METADATA: usize = 50;
/// Most of one product on a line.
const MOST_QUANTITY: u64 = 1_000_000_000;

/// What can be posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Money came in.
    Sales,
    /// Money went back.
    Refunds,
    /// A bank takes money back, perhaps.
    Disputes,
    /// A person decides.
    Approvals,
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Sales, Self::Refunds, Self::Disputes, Self::Approvals];

    /// Its name in paths and in `ingest`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sales => "sales",
            Self::Refunds => "refunds",
            Self::Disputes => "disputes",
            Self::Approvals => "approvals",
        }
    }

    /// Its body's fields.
    #[must_use]
    pub const fn fields(self) -> &'static [Field] {
        match self {
            Self::Sales => &SALE,
            Self::Refunds => &REFUND,
            Self::Disputes => &DISPUTE,
            Self::Approvals => &APPROVAL,
        }
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

const CUSTOMER: [Field; 2] = [
    may("key", Kind::Text, "the merchant's own id of the customer: one namespace over all sources"),
    may("email", Kind::Text, "compared without regard to ASCII case"),
];
const LINE: [Field; 8] = [
    may("line_id", Kind::Id, "named by refunds of this line"),
    must("net", Kind::Amount, "without tax and discount"),
    may("product_id", Kind::Id, "the product"),
    may("price_id", Kind::Id, "the price"),
    may("plan", Kind::Id, "the plan, for rules"),
    may("category", Kind::Id, "the category, for rules"),
    may("product_key", Kind::Id, "your own key of the product, for rules"),
    may("quantity", Kind::Number { least: 1, most: MOST_QUANTITY }, "how many; 1 when absent"),
];
const REFUNDED_LINE: [Field; 2] = [
    must("line_id", Kind::Id, "the sale's line"),
    must("net", Kind::Amount, "what went back of it, without tax"),
];
const SALE: [Field; 16] = [
    must("external_id", Kind::Id, "the sale's id where it was made; refunds and disputes name it"),
    must("amount", Kind::Amount, "what was paid, tax included"),
    must("currency", Kind::Currency, "of all amounts in the body"),
    may("net", Kind::Amount, "without tax and after discounts; at most `amount`"),
    may("customer", Kind::Object(&CUSTOMER), "who bought; identifiers sent together are one customer"),
    may("code", Kind::Text, "a partner's referral code, exact; an unknown one is recorded and falls through"),
    may("coupon", Kind::Text, "the coupon that the customer typed, exact"),
    may("lines", Kind::List { of: &LINE, most: MOST_LINES }, "their `net` must sum to the sale's `net`"),
    may("subscription_id", Kind::Id, "the subscription that it pays for"),
    may("recurrence", Kind::Word(&["first", "renewal"]), "first payment or renewal; absent: not known"),
    may("country", Kind::Country, "of the customer, for rules; ISO 3166-1"),
    may("interval", Kind::Word(&["day", "week", "month", "year", "once"]), "between two payments, for rules"),
    may(
        "metadata",
        Kind::Map { most: MOST_METADATA },
        "your own words; those that the program's `rule_metadata_keys` name are kept for rules",
    ),
    may("aliases", Kind::Texts { most: 8 }, "other ids by which refunds and disputes may name the sale"),
    OCCURRED_AT,
    KEY,
];
const REFUND: [Field; 9] = [
    must("external_id", Kind::Id, "the refund's own id"),
    must("sale_external_id", Kind::Id, "the sale's `external_id`, or one of its `aliases`"),
    must("amount", Kind::Amount, "what went back with this refund, tax included"),
    must("currency", Kind::Currency, "the sale's"),
    may("net", Kind::Amount, "its part without tax; at most `amount`"),
    may("lines", Kind::List { of: &REFUNDED_LINE, most: MOST_LINES }, "the lines that it is for"),
    may(
        "state",
        Kind::Word(&["pending", "live", "failed"]),
        "`pending` counts nothing yet, `failed` never did; absent: `live`",
    ),
    OCCURRED_AT,
    KEY,
];
const DISPUTE: [Field; 8] = [
    must("external_id", Kind::Id, "the dispute's own id"),
    must("sale_external_id", Kind::Id, "the sale's `external_id`, or one of its `aliases`"),
    must("amount", Kind::Amount, "what is disputed, tax included"),
    must("currency", Kind::Currency, "the sale's"),
    may("net", Kind::Amount, "its part without tax; at most `amount`"),
    must(
        "state",
        Kind::Word(&["open", "won", "lost"]),
        "`open` holds the commission, `lost` takes it back, `won` releases it; in any order",
    ),
    OCCURRED_AT,
    KEY,
];
const APPROVAL: [Field; 5] = [
    must("commission_id", Kind::Id, "which commission"),
    must("decision", Kind::Word(&["approve", "reject"]), "what to do with it"),
    may("reason", Kind::Text, "why; a rejection needs it"),
    may("actor", Kind::Id, "who decided, for the record, beside the id of the key"),
    KEY,
];

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
        Resource::Sales => sale(&values)?,
        Resource::Refunds => reversal(&values, ReversalFamily::Refund)?,
        Resource::Disputes => reversal(&values, ReversalFamily::Chargeback)?,
        Resource::Approvals => approval(&values, authenticated_by)?,
    };
    event.delivery_key = key.map_or_else(|| of_object(resource, &event), str::to_owned);
    if resource == Resource::Approvals {
        // Two decisions about one commission are two facts, a decision that is sent twice is one.
        event.state.clone_from(&event.delivery_key);
    }
    event.occurred_at = values.moment("occurred_at");
    Ok(event)
}

/// Names the delivery by its object, as long as a name may be.
fn of_object(resource: Resource, event: &Event) -> String {
    let name = format!("{}/{}/{}", resource.name(), event.object_id, event.state);
    if name.len() <= MAX_ID_BYTES {
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

fn sale(values: &Values) -> Result<Event, Refused> {
    let (gross, net) = money(values)?;
    let lines: Vec<SaleLine> = values.list("lines").iter().map(sale_line).collect();
    if !lines.is_empty() {
        let sum = lines.iter().try_fold(Minor::ZERO, |sum, line| sum.plus(line.net)).ok();
        if sum.is_none() || sum != net {
            let message = "the lines' net must sum to net, which must be there when there are lines";
            return Err(Refused::new(reason::CONTRADICTORY, "net", message));
        }
    }
    let external_id = values.owned("external_id");
    let referral = values.text("code");
    let body = FactBody::Sale(Sale {
        external_id: external_id.clone(),
        currency: currency(values)?,
        gross,
        net,
        lines,
        subscription_id: values.owned("subscription_id"),
        recurrence: match values.text("recurrence") {
            Some("first") => Recurrence::First,
            Some("renewal") => Recurrence::Renewal,
            _ => Recurrence::Unknown,
        },
        referral: referral.map(|code| Referral { code: code.to_owned(), found_at: "code".to_owned() }),
        coupon: values.text("coupon").map(|code| CouponRef::Code(code.to_owned())),
        aliases: values.texts("aliases").to_vec(),
        details: SaleDetails {
            country: values.owned("country"),
            interval: values.owned("interval"),
            metadata: values.map("metadata").to_vec(),
            ..SaleDetails::default()
        },
    });
    Ok(Event {
        identifiers: values.object("customer").map(identifiers).unwrap_or_default(),
        ..event(external_id, "recorded", body)
    })
}

fn sale_line(line: &Values) -> SaleLine {
    SaleLine {
        line_id: line.owned("line_id"),
        net: line.amount("net").unwrap_or_default(),
        product_id: line.owned("product_id"),
        price_id: line.owned("price_id"),
        quantity: line.number("quantity").and_then(|number| u32::try_from(number).ok()).unwrap_or(1),
        plan: line.owned("plan"),
        category: line.owned("category"),
        product_key: line.owned("product_key"),
    }
}

fn identifiers(customer: &Values) -> Vec<Identifier> {
    let identifier = |namespace: &str, value: String| Identifier {
        namespace: namespace.to_owned(),
        subject: None,
        value: Personal::Open(value),
    };
    let key = customer.text("key").map(|key| identifier("customer_key", key.to_owned()));
    let email = customer.text("email").map(|email| identifier("email", email.to_ascii_lowercase()));
    key.into_iter().chain(email).collect()
}

fn reversal(values: &Values, family: ReversalFamily) -> Result<Event, Refused> {
    let (gross, net) = money(values)?;
    let word = values.text("state").unwrap_or("live");
    let state = match word {
        "pending" | "open" => ReversalState::Pending,
        "failed" | "won" => ReversalState::Dead,
        _ => ReversalState::Live,
    };
    let lines = values.list("lines").iter().map(|line| ReversalLine {
        line_id: line.owned("line_id"),
        net: line.amount("net").unwrap_or_default(),
    });
    let body = FactBody::Reversal(Reversal {
        sale_external_id: values.owned("sale_external_id"),
        currency: currency(values)?,
        gross,
        net,
        lines: lines.collect(),
        family,
        state,
        sale_aliases: Vec::new(),
    });
    Ok(event(values.owned("external_id"), word, body))
}

fn approval(values: &Values, authenticated_by: &str) -> Result<Event, Refused> {
    let decision = values.text("decision").unwrap_or_default();
    let kind = if decision == "reject" { CommandKind::Reject } else { CommandKind::Approve };
    let reason = values.owned("reason");
    if kind == CommandKind::Reject && reason.is_empty() {
        return Err(Refused::new(reason::MISSING_FIELD, "reason", "a rejection needs a reason"));
    }
    let actor = match values.text("actor") {
        Some(name) => format!("{authenticated_by} ({name})"),
        None => authenticated_by.to_owned(),
    };
    let commission = values.owned("commission_id");
    let command = Command {
        kind,
        commission: CommissionId(commission.clone()),
        reason,
        actor,
        hold: String::new(),
        adjustment: None,
    };
    Ok(event(commission, decision, FactBody::Command(command)))
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

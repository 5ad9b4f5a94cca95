//! `explain`: the causation chain of one commission, from the log alone.
//!
//! It finds the payment that an id means (`gather.rs`), folds what the log says of it with the domain (`story.rs`), and shows
//! each step with the numbers that it follows from (`text.rs`, or the JSON of the types here). Postgres is not asked.
mod gather;
mod moment;
mod rules;
mod said;
mod story;
mod text;

use serde::Serialize;
use std::sync::Arc;
use stream::follow::FollowError;
use stream::log::{Log, LogError};

/// What `explain` is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// A commission, or any id of its sale, of a refund or dispute of it, or of an event that brought one of them.
    pub id: String,
    /// Show raw bodies, which may hold personal data.
    pub body: bool,
}

/// Why nothing can be explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// The log does not answer.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log cannot be followed.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// An event that this version does not know.
    #[error("{place}: {error}; run the version that wrote it, or a newer one")]
    UnknownEvent {
        /// The frame.
        place: String,
        /// What was met.
        error: wire::Unknown,
    },
}

/// One payment: its sale, its commission if it has one, and how they came to be what they are. A stable form: fields are only
/// added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Whose program.
    pub program_id: String,
    /// The provider or dialect.
    pub source: String,
    /// Every id by which the source names the payment.
    pub external_ids: Vec<String>,
    /// The conversion record; none while only reversals are here.
    pub sale_id: Option<String>,
    /// The commission as it stands; none: nobody earns, and why is in the steps.
    pub commission: Option<Standing>,
    /// All commissions of the payment, in the order in which they were created: of a divided sale its parts. `commission` is
    /// the one that was asked for, else the first part.
    pub commissions: Vec<Standing>,
    /// In log order.
    pub steps: Vec<Step>,
}

/// A commission as it stands. Amounts are minor units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// The commission.
    pub commission_id: String,
    /// Who earns.
    pub partner_id: String,
    /// `conversion`, or what a person made it for: `bonus`, `correction` or `debit`.
    pub origin: &'static str,
    /// Which part of a divided sale it is, from 1.
    pub part: Option<u32>,
    /// Where it stands.
    pub status: String,
    /// Of all its amounts.
    pub currency: String,
    /// G.
    pub gross_minor: i64,
    /// R.
    pub reversed_minor: i64,
    /// N = G - R = the sum of all deltas.
    pub net_minor: i64,
    /// What keeps it from being approved.
    pub holds: Vec<String>,
    /// The sum of all postings, by account.
    pub accounts: Vec<Leg>,
}

/// One input and all that followed from it for this payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// By the log's clock.
    pub at: String,
    /// Where it is in the log.
    pub place: Place,
    /// What came in; none: expired, or the clock.
    pub raw: Option<Raw>,
    /// `event`, `clock`, `configuration` or `retry`.
    pub cause: &'static str,
    /// What the normalizer said.
    pub verdict: Option<Verdict>,
    /// What became of it, one line for each fact.
    pub facts: Vec<Fact>,
    /// Who earns, with every touch that was considered.
    pub decisions: Vec<Decision>,
    /// What commission did.
    pub events: Vec<Event>,
}

/// Where a step is in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The partition of all topics.
    pub partition: u32,
    /// The position of the raw record.
    pub ingest: Option<u64>,
    /// The frame of `facts`.
    pub facts: Option<u64>,
    /// The frame of `attributed`.
    pub attributed: Option<u64>,
    /// The frame of `commissions`; none: nothing followed.
    pub commissions: Option<u64>,
}

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Raw {
    /// The adapter that reads it.
    pub source: String,
    /// Native API: which resource; empty elsewhere.
    pub resource: String,
    /// By the gateway's clock.
    pub received_at: String,
    /// The endpoint or key that vouched for it.
    pub authenticated_by: String,
    /// Length of the body.
    pub bytes: usize,
    /// SHA-256 of the body, as hex.
    pub sha256: String,
    /// The body, when asked for.
    pub body: Option<String>,
}

/// What the normalizer said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The event.
    pub event_id: String,
    /// Event id of the provider, or idempotency key of the caller.
    pub delivery_key: String,
    /// The word.
    pub verdict: String,
    /// Why.
    pub reason: String,
    /// What exactly.
    pub detail: String,
}

/// A normalized fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// Its kind.
    pub kind: String,
    /// The object at its source.
    pub object_id: String,
    /// The object's state in the source's word.
    pub state: String,
    /// When, by the source.
    pub occurred_at: String,
    /// What it says. Identifiers of persons appear as namespaces only.
    pub says: Vec<(String, String)>,
}

/// Who earns, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// Who; none: nobody.
    pub partner_id: Option<String>,
    /// By which class of touch.
    pub by: Option<&'static str>,
    /// Why nobody.
    pub reason: String,
    /// The customer, opaque.
    pub customer_id: Option<String>,
    /// The sale binds the customer to the partner.
    pub binds: bool,
    /// Decided later, when a link or a coupon's definition explained the sale.
    pub late: bool,
    /// Every touch considered.
    pub touches: Vec<Touch>,
    /// Who earns which part of a divided sale, the earliest touch first; empty: one earns all.
    pub shares: Vec<Share>,
}

/// A partner's part of a divided sale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Who.
    pub partner_id: String,
    /// How much, against the sum of all weights.
    pub weight: u32,
}

/// A touch that was considered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Touch {
    /// Its class.
    pub class: &'static str,
    /// The code or coupon as sent.
    pub reference: String,
    /// Whom it names.
    pub partner_id: Option<String>,
    /// It earns.
    pub won: bool,
    /// Why it lost.
    pub lost_because: String,
}

/// Something that commission recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "recorded", rename_all = "snake_case")]
pub enum Event {
    /// The conversion record.
    Sale {
        /// `sale`, `lead`, `signup` or `click`.
        kind: &'static str,
        /// Who earns, of several the first.
        partner_id: Option<String>,
        /// Why nobody earns, or why the commission is 0.
        reason: String,
        /// Of the amounts.
        currency: String,
        /// What was paid.
        gross_minor: i64,
        /// What the commission is computed on.
        base_minor: i64,
    },
    /// A refund or dispute.
    Reversal {
        /// What kind.
        family: String,
        /// Its id at its source.
        object_id: String,
        /// pending, live or dead.
        state: &'static str,
        /// Of the amounts.
        currency: String,
        /// With tax.
        gross_minor: i64,
        /// Without tax, where the body says so.
        net_minor: Option<i64>,
        /// Matched, parked or `currency_mismatch`.
        result: String,
    },
    /// Other ids of the payment.
    Link {
        /// Them.
        aliases: Vec<String>,
    },
    /// The subscription is over.
    Cancelled {
        /// Which.
        subscription_id: String,
        /// When, by the source.
        ended_at: String,
    },
    /// A change of the commission.
    Commission(Box<Change>),
}

/// A change of the commission: all numbers are those after it, in minor units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Of which commission.
    pub commission_id: String,
    /// Whose.
    pub partner_id: String,
    /// What happened.
    pub kind: String,
    /// Where it stands after it.
    pub status: String,
    /// Of all amounts.
    pub currency: String,
    /// The change of N.
    pub delta_minor: i64,
    /// G.
    pub gross_minor: i64,
    /// R.
    pub reversed_minor: i64,
    /// N.
    pub net_minor: i64,
    /// The event that caused it; none: the clock.
    pub cause_event_id: Option<String>,
    /// Why, where there is more to say.
    pub reason: String,
    /// `system`, or a person.
    pub actor: String,
    /// Frozen at creation.
    pub terms: Option<Terms>,
    /// How N follows, when the event changed it.
    pub arithmetic: Option<Arithmetic>,
    /// What keeps it from being approved, after the event.
    pub holds: Vec<String>,
    /// Holds that the event added.
    pub holds_added: Vec<String>,
    /// Holds that the event released.
    pub holds_released: Vec<String>,
    /// Double entry.
    pub postings: Vec<Leg>,
}

/// Frozen terms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Terms {
    /// `conversion`, or what a person made it for: `bonus`, `correction` or `debit`. Of those no rule knows.
    pub origin: &'static str,
    /// Of a divided sale: which part it is.
    pub split: Option<Split>,
    /// The rule; empty: none, a person made it.
    pub rule_id: String,
    /// Its version.
    pub rule_version: u32,
    /// How N rounds.
    pub rounding: &'static str,
    /// When the time hold ends.
    pub hold_until: String,
    /// Approval needs a person.
    pub manual_approval: bool,
    /// What it came to before caps; G where none limited it.
    pub uncapped_minor: i64,
    /// The caps that it counts towards.
    pub caps: Vec<Cap>,
    /// Rules that did not win, in their order of precedence.
    pub considered: Vec<Considered>,
    /// How many more there were.
    pub considered_more: u32,
}

/// Which part of a divided sale a commission is. Frozen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Split {
    /// From 1, the earliest touch first.
    pub part: u32,
    /// The weights of all parts.
    pub weights: Vec<u32>,
    /// G of all parts together, before caps on single partners.
    pub whole_minor: i64,
}

/// A cap in the period of the conversion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cap {
    /// Whose cap.
    pub rule_id: String,
    /// `partner`, `customer` or `program`.
    pub scope: &'static str,
    /// The partner, or the customer's opaque id; empty for the program.
    pub of: String,
    /// Which kind of calendar period.
    pub period: &'static str,
    /// How much at most.
    pub limit_minor: i64,
    /// Of the limit.
    pub currency: String,
}

/// A rule that did not win.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Considered {
    /// The rule.
    pub rule_id: String,
    /// Its version.
    pub rule_version: u32,
    /// `condition`, `window`, `minimum`, `priority`, `specificity`, `age` or `takes_all`.
    pub why: &'static str,
    /// With `condition`: the field of the first comparison that was false.
    pub field: Option<String>,
    /// With `condition`: its operator.
    pub operator: Option<String>,
}

/// How N follows: `net_minor = min(gross_minor, round(sum(left_minor x rate_ppm) / divisor))`; of a flat reward by its rule; of a
/// part by the division of that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Arithmetic {
    /// The sale's currency: of the slices.
    pub base_currency: String,
    /// Slices of the base.
    pub slices: Vec<Slice>,
    /// Sum of `left_minor x rate_ppm`; a text, since it may exceed what JSON readers hold exactly.
    pub sum: String,
    /// Rates are parts per this.
    pub divisor: i64,
    /// How the quotient rounds, once.
    pub rounding: &'static str,
    /// The rounded quotient.
    pub rounded_minor: i64,
    /// A flat reward instead.
    pub flat: Option<Flat>,
    /// Of a divided sale: what the numbers above come to is the whole, which is divided.
    pub division: Option<Division>,
    /// G: N is at most this.
    pub gross_minor: i64,
    /// N.
    pub net_minor: i64,
}

/// How a part follows from the whole: by largest remainder over the weights, ties to the earliest, and never more than the part
/// was granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Division {
    /// G of the whole: its N is at most this.
    pub whole_minor: i64,
    /// N of the whole.
    pub net_minor: i64,
    /// The weights of all parts.
    pub weights: Vec<u32>,
    /// N of each part, before a cap on one partner.
    pub parts_minor: Vec<i64>,
    /// Which one this is, from 1.
    pub part: u32,
}

/// A flat reward.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Flat {
    /// The reward.
    pub amount_minor: i64,
    /// Of the reward.
    pub currency: String,
    /// `full_only`, `proportional` or `any`.
    pub on_refund: &'static str,
    /// The base.
    pub base_minor: i64,
    /// What reversals have taken of the base.
    pub taken_minor: i64,
}

/// A slice of the base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Slice {
    /// Empty: the whole sale.
    pub line_id: String,
    /// As sold.
    pub base_minor: i64,
    /// Taken by refunds and lost disputes.
    pub taken_minor: i64,
    /// What remains.
    pub left_minor: i64,
    /// Its rate.
    pub rate_ppm: i64,
    /// The rule that pays it.
    pub rule_id: String,
    /// Its version.
    pub rule_version: u32,
    /// A tier's next band, above the slice before it: reversals take from it first.
    pub higher_band: bool,
}

/// An amount on an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Leg {
    /// The account.
    pub account: &'static str,
    /// The currency.
    pub currency: String,
    /// Positive: into the account.
    pub amount_minor: i64,
}

/// Explains every payment that the id may mean: usually one, none when nobody knows it, several when programs or sources use
/// the same id.
///
/// # Errors
/// [`ExplainError`].
pub async fn run(log: &Arc<dyn Log>, question: &Question) -> Result<Vec<Explanation>, ExplainError> {
    let mut explanations = Vec::new();
    for subject in gather::find(log, &question.id).await? {
        explanations.push(story::tell(&gather::gather(log, subject).await?, question));
    }
    Ok(explanations)
}

impl Explanation {
    /// Which kind of conversion it is, as it was recorded; a sale while only reversals are here.
    fn kind(&self) -> &'static str {
        let mut events = self.steps.iter().flat_map(|step| &step.events);
        let recorded = events.find_map(|event| match event {
            Event::Sale { kind, .. } => Some(*kind),
            _ => None,
        });
        recorded.unwrap_or("sale")
    }

    /// For people: one paragraph per step.
    #[must_use]
    pub fn to_text(&self) -> String {
        text::of(self)
    }
}

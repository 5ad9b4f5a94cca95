//! Facts: normalized events about the outside world. Adapters make them, the normalizer accepts them, nobody changes them.
use crate::attribution::SaleKey;
use crate::commission::Terms;
use crate::ids::{CommissionId, EventId, Hash, PartnerId, ProgramId, SourceName, SubjectId};
use crate::money::{Currency, Minor};
use crate::payouts::{PayoutCommand, PayoutDestination, Rate, WriteOff};
use crate::time::Micros;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// One normalized fact.
///
/// Its key is (`program`, `source`, `kind`, `object_id`, `state`): one refund that is pending, then approved, then reversed
/// is three facts of one object. The same key with another `hash` is a conflict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// Whose program.
    pub program: ProgramId,
    /// The external event that brought it.
    pub event: EventId,
    /// The provider or dialect.
    pub source: SourceName,
    /// The object's id at its source (`txn_…`, `adj_…`).
    pub object_id: String,
    /// The object's state in the source's word; part of the key.
    pub state: String,
    /// Over money, identity and links, never over the body; the normalizer sets it. An erased subject hashes like any.
    pub hash: Hash,
    /// When it happened, by the source.
    pub occurred_at: Micros,
    /// Who: each identifier that the body named. All that come together name one customer.
    pub identifiers: Vec<Identifier>,
    /// What.
    pub body: FactBody,
}

/// An identifier of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identifier {
    /// `customer_key` (one namespace per program over all sources), `email`, or `<provider>.customer`.
    pub namespace: String,
    /// The person; `None` until the normalizer has matched it.
    pub subject: Option<SubjectId>,
    /// The value.
    pub value: Personal,
}

/// Personal data: open inside `decide` and `evolve`, sealed in the log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Personal {
    /// Readable.
    Open(String),
    /// As it travels; a service that needs no value leaves it so.
    Sealed(SealedValue),
    /// The key was destroyed; the ciphertext is written back as it is.
    Erased(SealedValue),
}

impl std::fmt::Debug for Personal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the value: debug output ends in logs.
        f.write_str(match self {
            Self::Open(_) => "Open(…)",
            Self::Sealed(_) => "Sealed(…)",
            Self::Erased(_) => "Erased(…)",
        })
    }
}

/// AES-SIV ciphertext and the key that opens it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedValue {
    /// Names the key in the key store.
    pub key_id: [u8; 16],
    /// The ciphertext.
    pub ciphertext: Bytes,
}

/// What a fact says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FactBody {
    /// Money came in, or something else that may earn: see [`SaleDetails::kind`].
    Sale(Sale),
    /// Money went back, may go back, or did not go back after all.
    Reversal(Reversal),
    /// The identifiers belong to one customer.
    CustomerLink,
    /// A provider's discount object has this code.
    CouponDefinition {
        /// The provider's id (`dsc_…`).
        provider_ref: String,
        /// The text that a customer types.
        code: String,
    },
    /// From `occurred_at` on the subscription is over: it holds what is unpaid of it.
    SubscriptionCancelled {
        /// Its id at its source.
        subscription_id: String,
    },
    /// A person decides about a commission. What commission declines is a recorded result; the normalizer refuses only to make
    /// a commission for a partner that is not there.
    Command(Command),
    /// Other ids of one payment at its source.
    SaleLink {
        /// The sale's id.
        external_id: String,
        /// What else names it.
        aliases: Vec<String>,
    },
    /// A payout is drafted, settled, failed or returned.
    Payout(PayoutCommand),
    /// A debt is given up.
    WriteOff(WriteOff),
    /// A rate of exchange.
    Rate(Rate),
    /// Where a partner is paid.
    PayoutDestination(PayoutDestination),
}

impl FactBody {
    /// The fact's kind, part of its key.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Sale(sale) => sale.details.kind.name(),
            Self::Reversal(reversal) => reversal.family.name(),
            Self::CustomerLink => "customer_link",
            Self::CouponDefinition { .. } => "coupon_definition",
            Self::SubscriptionCancelled { .. } => "subscription_cancelled",
            Self::Command(_) => "command",
            Self::SaleLink { .. } => "sale_link",
            Self::Payout(_) => "payout",
            Self::WriteOff(_) => "write_off",
            Self::Rate(_) => "rate",
            Self::PayoutDestination(_) => "payout_destination",
        }
    }
}

/// A person's decision about a commission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// What to do.
    pub kind: CommandKind,
    /// With which commission; empty where the command makes one of its own.
    pub commission: CommissionId,
    /// Why; required for a rejection and for each commission of its own.
    pub reason: String,
    /// Who.
    pub actor: String,
    /// The hold that is added or released: `manual`, `manual:NAME` or `fraud:RULE`; released also any other but `time`.
    pub hold: String,
    /// What a commission of its own is made of.
    pub adjustment: Option<Adjustment>,
    /// What a commission is priced again with.
    pub reprice: Option<Box<Reprice>>,
}

/// Other terms for a commission, as an accepted forecast has them. Done as a whole or not at all: whatever moved since the
/// forecast was made declines it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reprice {
    /// Its sale.
    pub sale: SaleKey,
    /// Who earns it.
    pub partner: PartnerId,
    /// Of all amounts: the commission's own, which no reprice changes.
    pub currency: Currency,
    /// N before it; 0 where there is no commission yet.
    pub expected_net: Minor,
    /// N after it.
    pub net: Minor,
    /// G after it.
    pub gross: Minor,
    /// What is frozen from then on.
    pub terms: Terms,
}

/// A commission that a person makes, with no sale behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adjustment {
    /// Whose.
    pub partner: PartnerId,
    /// A bonus is above 0, a debit below 0, a correction either.
    pub amount: Minor,
    /// Of the amount.
    pub currency: Currency,
}

/// What a person may decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CommandKind {
    /// Releases the holds that are not of time, then approves.
    Approve,
    /// Takes the money back until somebody reinstates it.
    Reject,
    /// Gives back what was rejected.
    Reinstate,
    /// Adds a hold by name.
    Hold,
    /// Releases one hold by name.
    Release,
    /// Makes a commission of its own that adds.
    Bonus,
    /// Makes one that adds or takes.
    Correction,
    /// Makes one that takes.
    Debit,
    /// Prices one again, with the terms of a forecast.
    Reprice,
}

impl CommandKind {
    /// The word in requests and records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Reinstate => "reinstate",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Bonus => "bonus",
            Self::Correction => "correction",
            Self::Debit => "debit",
            Self::Reprice => "reprice",
        }
    }
}

/// A sale. Amounts are never negative.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sale {
    /// Its id at its source.
    pub external_id: String,
    /// The currency of all its amounts.
    pub currency: Currency,
    /// What was paid, tax included ("as sent").
    pub gross: Minor,
    /// Without tax and discounts, where the body says so.
    pub net: Option<Minor>,
    /// Lines; their nets sum to `net`, or the list is empty.
    pub lines: Vec<SaleLine>,
    /// Empty: none.
    pub subscription_id: String,
    /// The provider's own marker.
    pub recurrence: Recurrence,
    /// An explicit referral code.
    pub referral: Option<Referral>,
    /// A coupon.
    pub coupon: Option<CouponRef>,
    /// Other ids of the same payment at its source, by which reversals may name it.
    pub aliases: Vec<String>,
    /// What only rules ask for.
    pub details: SaleDetails,
}

/// Longest metadata value that is kept for rules, in bytes.
pub const MAX_METADATA_BYTES: usize = 512;

/// What a conversion says besides its money and its customer. Empty: unknown.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SaleDetails {
    /// Of the customer, two capital letters.
    pub country: String,
    /// Between two payments: `day`, `week`, `month`, `year`, or `once`.
    pub interval: String,
    /// Values of the metadata keys that the program keeps for its rules; never personal data.
    pub metadata: Vec<(String, String)>,
    /// Checks for fraud that it failed, by name: each holds its commission.
    pub fraud: Vec<String>,
    /// Which kind of conversion it is. Only a sale has amounts.
    pub kind: ConversionKind,
    /// Who earns which part, the earliest touch first, where the sender says so. For attribution, which answers with a
    /// decision; the conversion record has that. Empty: attribution decides by touches.
    pub shares: Vec<ShareClaim>,
    /// Only a key that everybody may see vouches for it: what it earns is approved by a person or not at all.
    pub publishable: bool,
}

/// A part of what a conversion earns, as its sender divides it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareClaim {
    /// Who earns it.
    pub of: ShareOf,
    /// How much, against the sum of all weights.
    pub weight: u32,
}

/// How a share names its partner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShareOf {
    /// By its id.
    Partner(PartnerId),
    /// By a referral code, exact.
    Code(String),
}

/// Kinds of conversion. Whether a sale is a renewal, [`Recurrence`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ConversionKind {
    /// Money came in.
    #[default]
    Sale,
    /// Somebody asked for more.
    Lead,
    /// Somebody opened an account.
    Signup,
    /// Somebody followed a link.
    Click,
}

impl ConversionKind {
    /// The word in facts, rules and views.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sale => "sale",
            Self::Lead => "lead",
            Self::Signup => "signup",
            Self::Click => "click",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Sale, Self::Lead, Self::Signup, Self::Click].into_iter().find(|kind| kind.name() == name)
    }

    /// Whether money came in: only then there is a purchase, and something to refund.
    #[must_use]
    pub const fn is_sale(self) -> bool {
        matches!(self, Self::Sale)
    }
}

/// First payment or renewal, by the provider's own marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Recurrence {
    /// The provider does not say.
    #[default]
    Unknown,
    /// First or one-off.
    First,
    /// A renewal.
    Renewal,
}

/// One line of a sale.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SaleLine {
    /// Its id at its source; refunds name it.
    pub line_id: String,
    /// Without tax and discount.
    pub net: Minor,
    /// Empty: unknown.
    pub product_id: String,
    /// Empty: unknown.
    pub price_id: String,
    /// How many.
    pub quantity: u32,
    /// Empty: unknown.
    pub plan: String,
    /// Empty: unknown.
    pub category: String,
    /// The merchant's own key of the product; empty: unknown.
    pub product_key: String,
}

/// An explicit referral code and where the body had it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Referral {
    /// The code, exact.
    pub code: String,
    /// The place, for the record (`custom_data.ref_code`).
    pub found_at: String,
}

/// How a sale names its coupon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CouponRef {
    /// By the text that a customer typed.
    Code(String),
    /// By the provider's id, which a coupon definition maps to a text.
    ProviderRef(String),
}

/// A refund, a chargeback, or a chargeback given back: one object in one state. Amounts are of this object only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reversal {
    /// The sale it belongs to, at the same source.
    pub sale_external_id: String,
    /// Must be the sale's; otherwise it counts 0 and is alarmed.
    pub currency: Currency,
    /// What went back, tax included.
    pub gross: Minor,
    /// Its part without tax, where the body says so.
    pub net: Option<Minor>,
    /// Lines that it names.
    pub lines: Vec<ReversalLine>,
    /// Refund, chargeback, or its reverse.
    pub family: ReversalFamily,
    /// Whether it counts.
    pub state: ReversalState,
    /// Other ids by which the sale may be known.
    pub sale_aliases: Vec<String>,
}

/// A line that a reversal names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReversalLine {
    /// The sale's line.
    pub line_id: String,
    /// Without tax.
    pub net: Minor,
}

/// What kind of money movement a reversal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ReversalFamily {
    /// The merchant gave money back.
    Refund,
    /// The bank took money back.
    Chargeback,
    /// The bank gave a chargeback back: lost = max(0, live chargebacks - live reverses).
    ChargebackReverse,
    /// Everything refunded of a sale so far, cumulative; one object for each total. The largest counts, less what single
    /// refund objects say is dead (`docs/reference/ledger.md`).
    RefundTotal,
    /// A dispute is announced: holds until a chargeback, its reverse or a person; never counts.
    ChargebackWarning,
}

impl ReversalFamily {
    /// The fact kind's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refund => "refund",
            Self::Chargeback => "chargeback",
            Self::ChargebackReverse => "chargeback_reverse",
            Self::RefundTotal => "refund_total",
            Self::ChargebackWarning => "chargeback_warning",
        }
    }
}

/// States of one reversal object rank without regard to order: dead > live > pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ReversalState {
    /// Counts nothing yet.
    Pending,
    /// Counts.
    Live,
    /// Never happened, or failed.
    Dead,
}

//! Configuration is events: each object is a fact on the log of its home program.
use crate::ids::{AccountId, PartnerId, ProgramId, RuleId};
use crate::money::{Currency, Minor, RatePpm, Rounding};
use crate::payouts::PayoutTerms;
use crate::rules::{Clauses, Tiers};
use crate::time::Micros;
use serde::{Deserialize, Serialize};

/// One configuration object, set or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigFact {
    /// Home program: decides the partition.
    pub program: ProgramId,
    /// Who changed it.
    pub actor: String,
    /// The object's new state.
    pub object: ConfigObject,
    /// The object is gone; `object` names it.
    pub removed: bool,
}

/// The kinds of configuration object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigObject {
    /// The program itself.
    Program(Program),
    /// A partner.
    Partner(Partner),
    /// A referral code.
    Code(Code),
    /// A coupon that earns for a partner.
    Coupon(Coupon),
    /// A commission rule.
    Rule(Rule),
    /// An API key.
    ApiKey(ApiKey),
    /// A webhook endpoint with its secrets.
    Endpoint(Endpoint),
    /// An account; its home program is its own id.
    Account(Account),
    /// When and how partners are paid.
    PayoutTerms(PayoutTerms),
}

impl ConfigFact {
    /// The object's key: stable over its versions, unique in the installation (`program/prog_demo`, `code/prog_demo/john123`).
    #[must_use]
    pub fn key(&self) -> String {
        let program = &self.program;
        match &self.object {
            ConfigObject::Program(_) => format!("program/{program}"),
            ConfigObject::Partner(partner) => format!("partner/{program}/{}", partner.partner),
            ConfigObject::Code(code) => format!("code/{program}/{}", code.code),
            ConfigObject::Coupon(coupon) => format!("coupon/{program}/{}", coupon.coupon),
            ConfigObject::Rule(rule) => format!("rule/{program}/{}", rule.rule),
            ConfigObject::ApiKey(key) => format!("api_key/{program}/{}", key.key_id),
            ConfigObject::Endpoint(endpoint) => format!("endpoint/{program}/{}", endpoint.endpoint_id),
            ConfigObject::Account(account) => format!("account/{}", account.account),
            // The program's own terms have the empty partner.
            ConfigObject::PayoutTerms(terms) => format!("payout_terms/{program}/{}", terms.partner),
        }
    }

    /// Whether gateways must know it (program, keys, endpoints); the rest stays in the chain.
    #[must_use]
    pub const fn concerns_gateway(&self) -> bool {
        matches!(
            self.object,
            ConfigObject::Program(_)
                | ConfigObject::ApiKey(_)
                | ConfigObject::Endpoint(_)
                | ConfigObject::Account(_)
        )
    }
}

/// A program has one mode for life; keys, endpoints and the bodies' own flags must agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Mode {
    /// Real money.
    Live,
    /// Trying out.
    #[default]
    Test,
}

/// Sets a program's defaults (`docs/reference/profiles.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Profile {
    /// Tributary's own.
    Native,
    /// As the hosted tracker of that name.
    Revshare,
    /// As the hosted tracker of that name.
    Affonso,
    /// As the hosted tracker of that name.
    Partnerstack,
    /// As the hosted tracker of that name.
    Refvenue,
    /// As the hosted tracker of that name.
    Affihub,
}

impl Profile {
    /// Whether another partner's code on a sale earns it (true), or the customer's first partner keeps it (false).
    #[must_use]
    pub const fn code_beats_binding(self) -> bool {
        matches!(self, Self::Native | Self::Affonso | Self::Refvenue | Self::Affihub)
    }

    /// Whether the base leaves out tax and discount where the event says them; otherwise it is the amount as sent.
    #[must_use]
    pub const fn base_is_net(self) -> bool {
        matches!(self, Self::Native)
    }

    /// Which event family is money at providers that tell one payment several times.
    #[must_use]
    pub const fn sale_from(self) -> SaleFrom {
        match self {
            Self::Refvenue | Self::Affihub => SaleFrom::CheckoutAndInvoice,
            Self::Native | Self::Revshare | Self::Affonso | Self::Partnerstack => SaleFrom::Charge,
        }
    }

    /// How commissions round, unless the program says otherwise.
    #[must_use]
    pub const fn rounding(self) -> Rounding {
        match self {
            Self::Refvenue | Self::Affihub => Rounding::Floor,
            Self::Native | Self::Revshare | Self::Affonso | Self::Partnerstack => Rounding::HalfEven,
        }
    }

    /// How long a click earns, in days, unless the program says otherwise.
    #[must_use]
    pub const fn click_window_days(self) -> u32 {
        match self {
            Self::Partnerstack | Self::Affihub => 90,
            Self::Native | Self::Revshare | Self::Affonso | Self::Refvenue => 30,
        }
    }

    /// Whether a person approves, unless the program says otherwise.
    #[must_use]
    pub const fn manual_approval(self) -> bool {
        matches!(self, Self::Partnerstack | Self::Refvenue | Self::Affihub)
    }

    /// The name as configuration spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Revshare => "revshare",
            Self::Affonso => "affonso",
            Self::Partnerstack => "partnerstack",
            Self::Refvenue => "refvenue",
            Self::Affihub => "affihub",
        }
    }

    /// The profile of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Native, Self::Revshare, Self::Affonso, Self::Partnerstack, Self::Refvenue, Self::Affihub]
            .into_iter()
            .find(|profile| profile.name() == name)
    }
}

/// Which event family is money where a provider tells one payment several times (Stripe).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum SaleFrom {
    /// Each successful charge.
    #[default]
    Charge,
    /// Each paid invoice.
    Invoice,
    /// Paid checkouts of one-off payments, and paid invoices.
    CheckoutAndInvoice,
}

impl SaleFrom {
    /// The name as configuration spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Invoice => "invoice",
            Self::CheckoutAndInvoice => "checkout+invoice",
        }
    }

    /// The family of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Charge, Self::Invoice, Self::CheckoutAndInvoice]
            .into_iter()
            .find(|family| family.name() == name)
    }
}

/// Where referral codes are looked for, unless a program says otherwise.
pub const REFERRAL_KEYS: [&str; 6] =
    ["tributary_ref", "ref_code", "affonso_referral", "affihub_ref", "ref", "via"];
/// Where customer keys are looked for, unless a program says otherwise.
pub const CUSTOMER_KEYS: [&str; 3] = ["customer_key", "tributary_customer", "partnerstack_customer_key"];

/// What an adapter must know of the program that it reads for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceSettings {
    /// Which event family is money.
    pub sale_from: SaleFrom,
    /// Metadata keys that may hold a referral code, in order.
    pub referral_keys: Vec<String>,
    /// Metadata keys that may hold the merchant's customer key, in order.
    pub customer_keys: Vec<String>,
    /// Metadata keys whose values sales keep for rules.
    pub rule_metadata_keys: Vec<String>,
    /// The program's: of what has no amount, and so names none.
    pub currency: Currency,
}

impl Default for SourceSettings {
    fn default() -> Self {
        Self {
            sale_from: SaleFrom::Charge,
            referral_keys: REFERRAL_KEYS.map(str::to_owned).to_vec(),
            customer_keys: CUSTOMER_KEYS.map(str::to_owned).to_vec(),
            rule_metadata_keys: Vec::new(),
            currency: Currency::USD,
        }
    }
}

impl Program {
    /// What adapters must know: this program's own settings, its profile's where it has none.
    #[must_use]
    pub fn source_settings(&self) -> SourceSettings {
        let or = |own: &[String], default: &[&str]| {
            if own.is_empty() { default.iter().map(|key| (*key).to_owned()).collect() } else { own.to_vec() }
        };
        SourceSettings {
            sale_from: self.sale_from.unwrap_or(self.profile.sale_from()),
            referral_keys: or(&self.referral_keys, &REFERRAL_KEYS),
            customer_keys: or(&self.customer_keys, &CUSTOMER_KEYS),
            rule_metadata_keys: self.rule_metadata_keys.clone(),
            currency: self.currency,
        }
    }
}

/// A partner program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// The merchant's account that owns it.
    pub account: AccountId,
    /// Shown to people.
    pub name: String,
    /// Live or test, for life.
    pub mode: Mode,
    /// Where its defaults come from.
    pub profile: Profile,
    /// The currency it is shown in.
    pub currency: Currency,
    /// How commissions round.
    pub rounding: Rounding,
    /// How long a click earns, in days.
    pub click_window_days: u32,
    /// How long a commission is held before approval, in days.
    pub hold_days: u32,
    /// How that time is counted.
    pub release: Release,
    /// Approval needs a person.
    pub manual_approval: bool,
    /// Which event family is money where a provider tells one payment several times; `None`: the profile's.
    pub sale_from: Option<SaleFrom>,
    /// Metadata keys that may hold a referral code, in order; empty: [`REFERRAL_KEYS`].
    pub referral_keys: Vec<String>,
    /// Metadata keys that may hold the merchant's customer key, in order; empty: [`CUSTOMER_KEYS`].
    pub customer_keys: Vec<String>,
    /// Metadata keys whose values sales keep for rules (`metadata.KEY`); of the rest nothing is kept.
    pub rule_metadata_keys: Vec<String>,
}

/// When the time hold of a commission ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Release {
    /// What the program's `hold_days` lead to.
    pub mode: ReleaseMode,
    /// At least so many days after the conversion was accepted, whenever it happened.
    pub min_hold_days: u32,
}

/// What `hold_days` after a conversion lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ReleaseMode {
    /// That moment.
    #[default]
    Days,
    /// The end of the month that moment is in, UTC.
    Calendar,
}

impl ReleaseMode {
    /// The name as configuration spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Days => "days",
            Self::Calendar => "calendar",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Days, Self::Calendar].into_iter().find(|mode| mode.name() == name)
    }
}

/// A partner.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Partner {
    /// Its id within the program.
    pub partner: PartnerId,
    /// Shown to people.
    pub name: String,
    /// Earns new commissions.
    pub active: bool,
    /// The group that rules may ask for; empty: none.
    pub group: String,
}

/// A referral code, exact: no trimming, no case folding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// The text.
    pub code: String,
    /// Whom it earns for.
    pub partner: PartnerId,
    /// Earns for new sales.
    pub active: bool,
}

/// A coupon that earns for a partner, exact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coupon {
    /// The text that a customer types.
    pub coupon: String,
    /// Whom it earns for.
    pub partner: PartnerId,
    /// Earns for new sales.
    pub active: bool,
}

/// A commission rule, in one version. What it means is in [`crate::rules`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rule {
    /// Its id.
    pub rule: RuleId,
    /// Its version; commissions freeze it.
    pub version: u32,
    /// What it pays.
    pub reward: Reward,
    /// A percentage that depends on what the partner has brought; in place of that of `reward`.
    pub tiers: Option<Tiers>,
    /// What it asks for, and its limits.
    pub clauses: Clauses,
}

/// What a rule pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reward {
    /// A part of the base.
    Percent(RatePpm),
    /// The same amount for each sale.
    Flat {
        /// How much.
        amount: Minor,
        /// Its own currency: the commission's as well.
        currency: Currency,
        /// What a refund of the sale takes back.
        on_refund: FlatRefund,
    },
}

impl Default for Reward {
    /// Nothing: no rule is valid with it.
    fn default() -> Self {
        Self::Percent(RatePpm::default())
    }
}

/// What a refund takes from a flat reward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum FlatRefund {
    /// Everything once the whole sale is refunded, nothing before.
    #[default]
    FullOnly,
    /// The refunded part of the base.
    Proportional,
    /// Everything with the first refund.
    Any,
}

impl FlatRefund {
    /// The name as configuration spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FullOnly => "full_only",
            Self::Proportional => "proportional",
            Self::Any => "any",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::FullOnly, Self::Proportional, Self::Any].into_iter().find(|rule| rule.name() == name)
    }
}

/// An API key, as its hash.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ApiKey {
    /// Names the key without being it.
    pub key_id: String,
    /// SHA-256 of the key's text.
    pub sha256: [u8; 32],
    /// The account it speaks for.
    pub account: AccountId,
    /// May only report.
    pub publishable: bool,
    /// Its mode.
    pub mode: Mode,
    /// Shown to people.
    pub name: String,
    /// Speaks for its home program only; otherwise for every program of its account and mode.
    pub program_bound: bool,
    /// From then on it is refused, by the gateway's clock: an old key during a rotation.
    pub expires_at: Option<Micros>,
    /// What it may do; empty: everything, or with `publishable` only reporting.
    pub scopes: Vec<KeyScope>,
}

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum KeyScope {
    /// Report sales, refunds, disputes.
    Report,
    /// Change configuration.
    Configure,
    /// Approve and reject.
    Approve,
    /// Read.
    Read,
}

impl KeyScope {
    /// The name as configuration spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Configure => "configure",
            Self::Approve => "approve",
            Self::Read => "read",
        }
    }

    /// The scope of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Report, Self::Configure, Self::Approve, Self::Read]
            .into_iter()
            .find(|scope| scope.name() == name)
    }
}

/// An account: a merchant, who owns programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its id; [`ConfigFact::program`] holds the same text.
    pub account: AccountId,
    /// Shown to people.
    pub name: String,
}

/// The providers whose webhooks can be read, by the names in URLs and endpoints.
pub const PROVIDERS: [&str; 2] = ["paddle", "stripe"];

/// Where a provider sends its webhooks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its id.
    pub endpoint_id: String,
    /// The provider's name.
    pub provider: String,
    /// Live signing secrets, each sealed under the master key; several during a rotation.
    pub sealed_secrets: Vec<Vec<u8>>,
    /// Signature age that is tolerated, both ways, in seconds; 0 is the provider's default.
    pub tolerance_seconds: u32,
}

//! Configuration is events: each object is a fact on the log of its home program.
use crate::ids::{AccountId, PartnerId, ProgramId, RuleId};
use crate::money::{Currency, RatePpm, Rounding};
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
        }
    }

    /// Whether gateways must know it (program, keys, endpoints); the rest stays in the chain.
    #[must_use]
    pub const fn concerns_gateway(&self) -> bool {
        matches!(self.object, ConfigObject::Program(_) | ConfigObject::ApiKey(_) | ConfigObject::Endpoint(_))
    }
}

/// A program has one mode for life; keys, endpoints and the bodies' own flags must agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Real money.
    Live,
    /// Trying out.
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
    /// Approval needs a person.
    pub manual_approval: bool,
}

/// A partner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partner {
    /// Its id within the program.
    pub partner: PartnerId,
    /// Shown to people.
    pub name: String,
    /// Earns new commissions.
    pub active: bool,
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

/// A commission rule: percent of the base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Its id.
    pub rule: RuleId,
    /// Its version; commissions freeze it.
    pub version: u32,
    /// The rate.
    pub rate: RatePpm,
}

/// An API key, as its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
}

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

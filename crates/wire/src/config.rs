//! Configuration objects, as facts and as `gateway-config.v1` records.
use crate::common::{currency, fixed, number};
use crate::payouts;
use crate::rules;
use crate::unknown::Unknown;
use crate::v1;
use crate::write::Writer;
use bytes::Bytes;
use domain::config::{
    Account, ApiKey, Code, ConfigFact, ConfigObject, Coupon, Endpoint, KeyScope, Mode, Partner, Profile,
    Program, Release, ReleaseMode, SaleFrom,
};
use domain::ids::{AccountId, ProgramId};
use domain::money::Rounding;
use domain::time::Micros;
use prost::Message;
use v1::config_fact::Object;

const MESSAGE: &str = "configuration fact";

/// The fact's bytes.
#[must_use]
pub fn encode(fact: &ConfigFact) -> Bytes {
    Writer::finish(|w| write(w, fact))
}

/// The fact of the bytes.
///
/// # Errors
/// [`Unknown`].
pub fn decode(bytes: &Bytes) -> Result<ConfigFact, Unknown> {
    v1::ConfigFact::decode(bytes.clone())
        .map_err(|error| Unknown::malformed(MESSAGE, &error))
        .and_then(from_message)
}

/// A record of `gateway-config.v1`: a gateway keeps the highest version of each key, not the latest record (rule 9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayRecord {
    /// [`ConfigFact::key`]; the record's key as well.
    pub key: String,
    /// `facts` seq of the change.
    pub version: u64,
    /// The object.
    pub fact: ConfigFact,
    /// The home program's account.
    pub account: AccountId,
}

/// The record's bytes.
#[must_use]
pub fn encode_gateway(record: &GatewayRecord) -> Bytes {
    Writer::finish(|w| {
        w.text(1, &record.key);
        w.uint(2, record.version);
        w.message(3, |w| write(w, &record.fact));
        w.text(4, record.account.as_str());
    })
}

/// The record of the bytes.
///
/// # Errors
/// [`Unknown`].
pub fn decode_gateway(bytes: &Bytes) -> Result<GatewayRecord, Unknown> {
    const MESSAGE: &str = "gateway configuration record";
    let record = v1::GatewayConfigRecord::decode(bytes.clone())
        .map_err(|error| Unknown::malformed(MESSAGE, &error))?;
    Ok(GatewayRecord {
        key: record.key,
        version: record.version,
        fact: from_message(record.fact.ok_or(Unknown::field(MESSAGE, "fact"))?)?,
        account: AccountId(record.account_id),
    })
}

pub(crate) fn write(w: &mut Writer, fact: &ConfigFact) {
    w.text(1, fact.program.as_str());
    w.text(2, &fact.actor);
    match &fact.object {
        ConfigObject::Program(program) => w.message(3, |w| write_program(w, &fact.program, program)),
        ConfigObject::Partner(partner) => w.message(4, |w| {
            w.text(1, partner.partner.as_str());
            w.text(2, &partner.name);
            w.flag(3, partner.active);
            w.text(4, &partner.group);
        }),
        ConfigObject::Code(code) => w.message(5, |w| {
            w.text(1, &code.code);
            w.text(2, code.partner.as_str());
            w.flag(3, code.active);
        }),
        ConfigObject::Coupon(coupon) => w.message(6, |w| {
            w.text(1, &coupon.coupon);
            w.text(2, coupon.partner.as_str());
            w.flag(3, coupon.active);
        }),
        ConfigObject::Rule(rule) => w.message(7, |w| rules::write(w, rule)),
        ConfigObject::ApiKey(key) => w.message(8, |w| {
            w.text(1, &key.key_id);
            w.bytes(2, &key.sha256);
            w.text(3, key.account.as_str());
            w.flag(4, key.publishable);
            w.number(5, mode_number(key.mode));
            w.text(6, &key.name);
            w.flag(7, key.program_bound);
            w.int(8, key.expires_at.map_or(0, |at| at.0));
            key.scopes.iter().for_each(|scope| w.present(9, scope.name().as_bytes()));
        }),
        ConfigObject::Endpoint(endpoint) => w.message(9, |w| write_endpoint(w, endpoint)),
        ConfigObject::Account(account) => w.message(11, |w| {
            w.text(1, account.account.as_str());
            w.text(2, &account.name);
        }),
        ConfigObject::PayoutTerms(terms) => w.message(12, |w| payouts::write_terms(w, terms)),
    }
    w.flag(10, fact.removed);
}

fn write_program(w: &mut Writer, id: &ProgramId, program: &Program) {
    w.text(1, id.as_str());
    w.text(2, program.account.as_str());
    w.text(3, &program.name);
    w.number(4, mode_number(program.mode));
    w.text(5, program.profile.name());
    w.text(6, program.currency.code());
    w.text(7, program.rounding.name());
    w.uint(8, u64::from(program.click_window_days));
    w.uint(9, u64::from(program.hold_days));
    w.flag(10, program.manual_approval);
    w.text(11, program.sale_from.map_or("", SaleFrom::name));
    program.referral_keys.iter().for_each(|key| w.present(12, key.as_bytes()));
    program.customer_keys.iter().for_each(|key| w.present(13, key.as_bytes()));
    program.rule_metadata_keys.iter().for_each(|key| w.present(14, key.as_bytes()));
    if program.release.mode != ReleaseMode::default() {
        w.text(15, program.release.mode.name());
    }
    w.uint(16, u64::from(program.release.min_hold_days));
}

fn write_endpoint(w: &mut Writer, endpoint: &Endpoint) {
    w.text(1, &endpoint.endpoint_id);
    w.text(2, &endpoint.provider);
    for secret in &endpoint.sealed_secrets {
        w.message(3, |w| w.bytes(1, secret));
    }
    w.uint(4, u64::from(endpoint.tolerance_seconds));
}

pub(crate) fn from_message(fact: v1::ConfigFact) -> Result<ConfigFact, Unknown> {
    let object = match fact.object.ok_or(Unknown::kind(MESSAGE))? {
        Object::Program(program) => ConfigObject::Program(self::program(program)?),
        Object::Partner(partner) => ConfigObject::Partner(Partner {
            partner: partner.partner_id.into(),
            name: partner.name,
            active: partner.active,
            group: partner.group,
        }),
        Object::Code(code) => {
            ConfigObject::Code(Code { code: code.code, partner: code.partner_id.into(), active: code.active })
        }
        Object::Coupon(coupon) => ConfigObject::Coupon(Coupon {
            coupon: coupon.coupon,
            partner: coupon.partner_id.into(),
            active: coupon.active,
        }),
        Object::Rule(rule) => ConfigObject::Rule(rules::read(rule)?),
        Object::ApiKey(key) => ConfigObject::ApiKey(ApiKey {
            sha256: fixed(MESSAGE, "key hash", &key.sha256)?,
            mode: mode(key.mode)?,
            key_id: key.key_id,
            account: key.account_id.into(),
            publishable: key.publishable,
            name: key.name,
            program_bound: key.program_bound,
            expires_at: (key.expires_at_micros != 0).then_some(Micros(key.expires_at_micros)),
            scopes: scopes(&key.scopes)?,
        }),
        Object::Endpoint(endpoint) => ConfigObject::Endpoint(Endpoint {
            endpoint_id: endpoint.endpoint_id,
            provider: endpoint.provider,
            sealed_secrets: endpoint.secrets.into_iter().map(|secret| secret.sealed.to_vec()).collect(),
            tolerance_seconds: endpoint.tolerance_seconds,
        }),
        Object::Account(account) => {
            ConfigObject::Account(Account { account: account.account_id.into(), name: account.name })
        }
        Object::PayoutTerms(terms) => ConfigObject::PayoutTerms(payouts::terms(terms)?),
    };
    Ok(ConfigFact { program: fact.program_id.into(), actor: fact.actor, object, removed: fact.removed })
}

fn scopes(names: &[String]) -> Result<Vec<KeyScope>, Unknown> {
    let scope = |name: &String| KeyScope::parse(name).ok_or_else(|| Unknown::value(MESSAGE, "scope", name));
    names.iter().map(scope).collect()
}

fn program(program: v1::Program) -> Result<Program, Unknown> {
    Ok(Program {
        account: program.account_id.into(),
        name: program.name,
        mode: mode(program.mode)?,
        profile: Profile::parse(&program.profile)
            .ok_or_else(|| Unknown::value(MESSAGE, "profile", &program.profile))?,
        currency: currency(MESSAGE, &program.currency)?,
        rounding: rounding(MESSAGE, &program.rounding)?,
        click_window_days: program.click_window_days,
        hold_days: program.hold_days,
        release: Release {
            mode: match program.release.as_str() {
                "" => ReleaseMode::default(),
                name => ReleaseMode::parse(name).ok_or_else(|| Unknown::value(MESSAGE, "release", name))?,
            },
            min_hold_days: program.min_hold_days,
        },
        manual_approval: program.manual_approval,
        sale_from: match program.sale_from.as_str() {
            "" => None,
            name => Some(SaleFrom::parse(name).ok_or_else(|| Unknown::value(MESSAGE, "sale_from", name))?),
        },
        referral_keys: program.referral_keys,
        customer_keys: program.customer_keys,
        rule_metadata_keys: program.rule_metadata_keys,
    })
}

pub(crate) fn rounding(message: &'static str, name: &str) -> Result<Rounding, Unknown> {
    Rounding::parse(name).ok_or_else(|| Unknown::value(message, "rounding", name))
}

const fn mode_number(mode: Mode) -> v1::Mode {
    match mode {
        Mode::Live => v1::Mode::Live,
        Mode::Test => v1::Mode::Test,
    }
}

fn mode(value: i32) -> Result<Mode, Unknown> {
    match number(MESSAGE, "mode", value)? {
        v1::Mode::Live => Ok(Mode::Live),
        v1::Mode::Test => Ok(Mode::Test),
        v1::Mode::Unspecified => Err(Unknown::value(MESSAGE, "mode", value)),
    }
}

//! Configuration writes: what is refused, with which code, and what a taken write becomes.
//!
//! A write that says what stands already changes nothing and is not refused. Everything is decided from the partition's own
//! fold, so an answer is exact for everything that the object's home knows; what another partition holds (an account's own
//! record, seen from a program) is the gateway's to check against the caller's key.
use super::fold::{config_row, has_events, has_objects, key_holder, uses_of_partner};
use super::validate_rule::{kept_metadata, number_rule, rule_metadata_keys, rule_values, version};
use super::{ConfigRefusal, text};
use crate::config::{
    ApiKey, Code, ConfigFact, ConfigObject, Coupon, Endpoint, KeyScope, PROVIDERS, Program, Rule,
};
use crate::ids::{PartnerId, ProgramId};
use crate::payouts::{PayoutTerms, Schedule};
use crate::tables::View;

/// Longest click window, in days.
pub const MAX_CLICK_WINDOW_DAYS: u32 = 365;
/// Longest hold, in days.
pub const MAX_HOLD_DAYS: u32 = 3_650;
/// Metadata keys in one list.
pub const MAX_METADATA_KEYS: usize = 16;
/// Live secrets of one endpoint.
pub const MAX_SECRETS: usize = 8;
/// Bytes of one sealed secret.
pub const MAX_SEALED_BYTES: usize = 2_048;
/// Largest signature tolerance, in seconds.
pub const MAX_TOLERANCE_SECONDS: u32 = 86_400;
/// 100%.
pub(super) const WHOLE_PPM: i64 = 1_000_000;

/// Why configuration writes are refused: the closed list of `docs/reference/configuration.md`.
pub mod code {
    /// A text is empty, too long, or holds what it may not.
    pub const BAD_TEXT: &str = "bad_text";
    /// A number is outside its bounds.
    pub const OUT_OF_RANGE: &str = "out_of_range";
    /// A list is too long, or repeats itself.
    pub const BAD_LIST: &str = "bad_list";
    /// The program does not exist.
    pub const UNKNOWN_PROGRAM: &str = "unknown_program";
    /// The account does not exist.
    pub const UNKNOWN_ACCOUNT: &str = "unknown_account";
    /// The partner does not exist.
    pub const UNKNOWN_PARTNER: &str = "unknown_partner";
    /// No version of this provider's adapter is known.
    pub const UNKNOWN_PROVIDER: &str = "unknown_provider";
    /// It was to be created, and is there with other contents.
    pub const ALREADY_EXISTS: &str = "already_exists";
    /// The field keeps its first value for life.
    pub const IMMUTABLE: &str = "immutable";
    /// Somebody else has it: a code, a coupon, the text of a key.
    pub const TAKEN: &str = "taken";
    /// The rule's version is not the next one.
    pub const VERSION_CONFLICT: &str = "version_conflict";
    /// It does not agree with its home: the account or mode of a key, the home of an account.
    pub const HOME_MISMATCH: &str = "home_mismatch";
    /// Something still needs what is to be removed.
    pub const IN_USE: &str = "in_use";
    /// The key was revoked; it does not come back.
    pub const REVOKED: &str = "revoked";
    /// A rule's condition, tiers, window, minimum or caps cannot be used.
    pub const BAD_RULE: &str = "bad_rule";
    /// Two fields say different things.
    pub const CONTRADICTORY: &str = "contradictory";

    /// All of them.
    pub const ALL: [&str; 16] = [
        BAD_TEXT,
        OUT_OF_RANGE,
        BAD_LIST,
        UNKNOWN_PROGRAM,
        UNKNOWN_ACCOUNT,
        UNKNOWN_PARTNER,
        UNKNOWN_PROVIDER,
        ALREADY_EXISTS,
        IMMUTABLE,
        TAKEN,
        VERSION_CONFLICT,
        HOME_MISMATCH,
        IN_USE,
        REVOKED,
        BAD_RULE,
        CONTRADICTORY,
    ];
}

pub(super) type Checked = Result<(), ConfigRefusal>;

pub(super) fn refusal(code: &str, field: &str, detail: impl Into<String>) -> ConfigRefusal {
    ConfigRefusal { code: code.to_owned(), field: field.to_owned(), detail: detail.into() }
}

pub(super) fn refuse(code: &str, field: &str, detail: impl Into<String>) -> Checked {
    Err(refusal(code, field, detail))
}

/// What a rule would be refused for as a write to its program: values out of range, a condition on what no sale keeps.
///
/// # Errors
/// The refusal.
pub fn rule(program: &Program, rule: &Rule) -> Result<(), ConfigRefusal> {
    rule_values(rule)?;
    kept_metadata(Some(program), rule)
}

/// What a write comes to: the fact that it leaves, or `None` when there is nothing to change.
///
/// # Errors
/// The refusal. Nothing changes.
pub(super) fn write(
    view: &dyn View,
    mut fact: ConfigFact,
    create_only: bool,
) -> Result<Option<ConfigFact>, ConfigRefusal> {
    texts(&fact)?;
    let known = config_row(view, &fact.key()).map(|row| row.fact);
    let standing = known.as_ref().filter(|known| !known.removed);
    if fact.removed {
        let Some(known) = known.filter(|known| !known.removed) else { return Ok(None) };
        removable(view, &known)?;
        // The fact keeps what was removed, whatever the caller wrote beside its name.
        fact.object = known.object;
        return Ok(Some(fact));
    }
    home(view, &fact)?;
    if let (ConfigObject::Rule(rule), Some(known)) = (&mut fact.object, &known)
        && let ConfigObject::Rule(before) = &known.object
    {
        number_rule(rule, before, known.removed);
    } else if let ConfigObject::Rule(rule) = &mut fact.object {
        rule.version = if rule.version == 0 { 1 } else { rule.version };
    }
    if standing.is_some_and(|known| known.object == fact.object) {
        return Ok(None);
    }
    if create_only && standing.is_some() {
        let detail = format!(
            "{} is there already with other contents: leave those as they are, or choose another id",
            fact.key()
        );
        return Err(refusal(code::ALREADY_EXISTS, id_field(&fact.object), detail));
    }
    values(&fact.object)?;
    if let Some(known) = &known {
        unchanging(known, &fact)?;
    }
    references(view, &fact, known.as_ref())?;
    Ok(Some(fact))
}

/// The field that names the object.
const fn id_field(object: &ConfigObject) -> &'static str {
    match object {
        ConfigObject::Program(_) => "program_id",
        ConfigObject::Partner(_) => "partner_id",
        ConfigObject::Code(_) => "code",
        ConfigObject::Coupon(_) => "coupon",
        ConfigObject::Rule(_) => "rule_id",
        ConfigObject::ApiKey(_) => "key_id",
        ConfigObject::Endpoint(_) => "endpoint_id",
        ConfigObject::Account(_) => "account_id",
        ConfigObject::PayoutTerms(_) => "partner_id",
    }
}

fn texts(fact: &ConfigFact) -> Checked {
    url_id("program_id", fact.program.as_str())?;
    name("actor", &fact.actor)?;
    let id = id_field(&fact.object);
    match &fact.object {
        ConfigObject::Program(program) => name("name", &program.name),
        ConfigObject::Partner(partner) => {
            url_id(id, partner.partner.as_str())?;
            if !partner.group.is_empty() {
                plain_id("group", &partner.group)?;
            }
            name("name", &partner.name)
        }
        ConfigObject::Code(object) => exact(id, &object.code),
        ConfigObject::Coupon(object) => exact(id, &object.coupon),
        ConfigObject::Rule(rule) => url_id(id, rule.rule.as_str()),
        ConfigObject::ApiKey(key) => {
            url_id(id, &key.key_id)?;
            name("name", &key.name)
        }
        ConfigObject::Endpoint(endpoint) => url_id(id, &endpoint.endpoint_id),
        ConfigObject::Account(account) => {
            url_id(id, account.account.as_str())?;
            name("name", &account.name)
        }
        // The program's own terms have no name.
        ConfigObject::PayoutTerms(terms) if terms.partner.as_str().is_empty() => Ok(()),
        ConfigObject::PayoutTerms(terms) => url_id(id, terms.partner.as_str()),
    }
}

fn plain_id(field: &'static str, value: &str) -> Checked {
    bad_text(field, text::id(field, value))
}

fn bad_text(field: &'static str, checked: Result<(), text::BadText>) -> Checked {
    checked.map_err(|bad| refusal(code::BAD_TEXT, field, format!("{field} {}", bad.rule)))
}

/// A code or coupon: an exact text of the merchant's, in which a slash is nobody's concern but the URL's.
fn exact(field: &'static str, value: &str) -> Checked {
    if value.is_empty() {
        return refuse(code::BAD_TEXT, field, format!("{field} is empty"));
    }
    name(field, value)
}

/// An id that stands in a path.
fn url_id(field: &'static str, value: &str) -> Checked {
    plain_id(field, value)?;
    if value.contains('/') || value == "." || value == ".." {
        return refuse(
            code::BAD_TEXT,
            field,
            format!("{field} stands in URLs: it may not hold a slash, nor be . or .."),
        );
    }
    Ok(())
}

/// What people read.
fn name(field: &'static str, value: &str) -> Checked {
    bad_text(field, text::code(field, value))
}

/// Every object lives in a program that exists; accounts and their keys live under the account's id.
fn home(view: &dyn View, fact: &ConfigFact) -> Checked {
    let id = fact.program.as_str();
    let account = || config_row(view, &format!("account/{id}")).is_some_and(|row| !row.fact.removed);
    match &fact.object {
        ConfigObject::Account(object) if object.account.as_str() != id => {
            refuse(code::HOME_MISMATCH, "account_id", "an account lives under its own id")
        }
        // One id names a program or an account, never both: keys live under either.
        ConfigObject::Account(_) if config_row(view, &format!("program/{id}")).is_some() => {
            refuse(code::TAKEN, "account_id", "a program has this id; choose another")
        }
        ConfigObject::Program(_) if config_row(view, &format!("account/{id}")).is_some() => {
            refuse(code::TAKEN, "program_id", "an account has this id; choose another")
        }
        ConfigObject::Account(_) | ConfigObject::Program(_) => Ok(()),
        ConfigObject::ApiKey(_) if account() => Ok(()),
        ConfigObject::ApiKey(key) if key.account.as_str() == id => {
            refuse(code::UNKNOWN_ACCOUNT, "account_id", "no such account; create it first")
        }
        _ if program(view, &fact.program).is_none() => {
            refuse(code::UNKNOWN_PROGRAM, "program_id", "no such program; create it first")
        }
        _ => Ok(()),
    }
}

fn program(view: &dyn View, id: &ProgramId) -> Option<Program> {
    let row = config_row(view, &format!("program/{id}"))?;
    match row.fact.object {
        ConfigObject::Program(program) if !row.fact.removed => Some(program),
        _ => None,
    }
}

/// What can be said of an object by itself.
fn values(object: &ConfigObject) -> Checked {
    match object {
        ConfigObject::Program(program) => program_values(program),
        ConfigObject::Rule(rule) => rule_values(rule),
        ConfigObject::ApiKey(key) => key_values(key),
        ConfigObject::Endpoint(endpoint) => endpoint_values(endpoint),
        ConfigObject::Partner(_)
        | ConfigObject::Code(_)
        | ConfigObject::Coupon(_)
        | ConfigObject::Account(_) => Ok(()),
        ConfigObject::PayoutTerms(terms) => terms_values(terms),
    }
}

pub(super) fn within(field: &'static str, value: i64, least: i64, most: i64) -> Checked {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    refuse(code::OUT_OF_RANGE, field, format!("{field} is {value}, and must be from {least} to {most}"))
}

fn program_values(program: &Program) -> Checked {
    url_id("account_id", program.account.as_str())?;
    within("click_window_days", program.click_window_days.into(), 1, MAX_CLICK_WINDOW_DAYS.into())?;
    within("hold_days", program.hold_days.into(), 0, MAX_HOLD_DAYS.into())?;
    within("min_hold_days", program.release.min_hold_days.into(), 0, MAX_HOLD_DAYS.into())?;
    metadata_keys("referral_keys", &program.referral_keys)?;
    metadata_keys("customer_keys", &program.customer_keys)?;
    rule_metadata_keys(&program.rule_metadata_keys)
}

pub(super) fn metadata_keys(field: &'static str, keys: &[String]) -> Checked {
    if keys.len() > MAX_METADATA_KEYS {
        return refuse(
            code::BAD_LIST,
            field,
            format!("{field} has {} keys, and may have {MAX_METADATA_KEYS}", keys.len()),
        );
    }
    keys.iter().try_for_each(|key| plain_id(field, key))?;
    distinct(field, keys)
}

fn distinct<T: PartialEq>(field: &'static str, list: &[T]) -> Checked {
    if (1..list.len()).any(|at| list[..at].contains(&list[at])) {
        return refuse(code::BAD_LIST, field, format!("{field} names something twice"));
    }
    Ok(())
}

fn terms_values(terms: &PayoutTerms) -> Checked {
    match terms.schedule {
        Schedule::Manual => {}
        Schedule::Weekly { day } => within("day", day.into(), 1, 7)?,
        Schedule::Monthly { day } => within("day", day.into(), 1, 31)?,
    }
    let currencies: Vec<_> = terms.minimums.iter().map(|(currency, _)| *currency).collect();
    distinct("minimums", &currencies)?;
    terms.minimums.iter().try_for_each(|(_, least)| within("minimums", least.0, 1, i64::MAX))
}

fn key_values(key: &ApiKey) -> Checked {
    url_id("account_id", key.account.as_str())?;
    if key.sha256 == [0; 32] {
        return refuse(code::BAD_TEXT, "sha256", "the hash of the key is missing");
    }
    if let Some(at) = key.expires_at {
        within("expires_at", at.0, 1, i64::MAX)?;
    }
    distinct("scopes", &key.scopes)?;
    if key.publishable && key.scopes.iter().any(|scope| *scope != KeyScope::Report) {
        return refuse(
            code::BAD_LIST,
            "scopes",
            "a publishable key is seen by everybody: it may only report",
        );
    }
    Ok(())
}

fn endpoint_values(endpoint: &Endpoint) -> Checked {
    if !PROVIDERS.contains(&endpoint.provider.as_str()) {
        return refuse(
            code::UNKNOWN_PROVIDER,
            "provider",
            format!("no such provider; these are known: {}", PROVIDERS.join(", ")),
        );
    }
    within("tolerance_seconds", endpoint.tolerance_seconds.into(), 0, MAX_TOLERANCE_SECONDS.into())?;
    if endpoint.sealed_secrets.len() > MAX_SECRETS {
        return refuse(
            code::BAD_LIST,
            "secrets",
            format!(
                "an endpoint has {MAX_SECRETS} live secrets at most; remove one that is not used any more"
            ),
        );
    }
    if endpoint.sealed_secrets.iter().any(|sealed| !(1..=MAX_SEALED_BYTES).contains(&sealed.len())) {
        return refuse(code::BAD_LIST, "secrets", "a secret is empty or too long");
    }
    distinct("secrets", &endpoint.sealed_secrets)
}

/// What keeps its first value, also over a removal.
fn unchanging(known: &ConfigFact, fact: &ConfigFact) -> Checked {
    let same = |same: bool, field: &'static str, why: &str| {
        if same { Ok(()) } else { refuse(code::IMMUTABLE, field, why) }
    };
    match (&known.object, &fact.object) {
        (ConfigObject::Program(before), ConfigObject::Program(after)) => {
            same(
                before.mode == after.mode,
                "mode",
                "a program is live or test for life; use its twin, or create another",
            )?;
            same(before.account == after.account, "account_id", "a program stays with its account")
        }
        (ConfigObject::ApiKey(before), ConfigObject::ApiKey(after)) => {
            if known.removed {
                return refuse(code::REVOKED, "key_id", "this key was revoked; create another");
            }
            let another = "a key stays what it is; create another, and let this one expire";
            same(before.sha256 == after.sha256, "sha256", another)?;
            same(before.account == after.account, "account_id", another)?;
            same(before.mode == after.mode, "mode", another)?;
            same(before.publishable == after.publishable, "publishable", another)?;
            same(before.program_bound == after.program_bound, "program_bound", another)
        }
        (ConfigObject::Endpoint(before), ConfigObject::Endpoint(after)) => same(
            before.provider == after.provider,
            "provider",
            "an endpoint stays with its provider; create another",
        ),
        (ConfigObject::Rule(before), ConfigObject::Rule(after)) => version(before, after),
        _ => Ok(()),
    }
}

/// What must be there, and what must not belong to another.
fn references(view: &dyn View, fact: &ConfigFact, known: Option<&ConfigFact>) -> Checked {
    match &fact.object {
        ConfigObject::Code(Code { partner, .. }) | ConfigObject::Coupon(Coupon { partner, .. }) => {
            earns_for(view, fact, partner, known)
        }
        ConfigObject::Rule(rule) if known.is_none() && rule.version != 1 => {
            let detail = format!("rule {} is new, so its version is 1 (or 0, which asks for it)", rule.rule);
            refuse(code::VERSION_CONFLICT, "version", detail)
        }
        ConfigObject::Rule(rule) => kept_metadata(program(view, &fact.program).as_ref(), rule),
        ConfigObject::ApiKey(key) => key_belongs(view, fact, key),
        ConfigObject::PayoutTerms(terms) if terms.partner.as_str().is_empty() => Ok(()),
        ConfigObject::PayoutTerms(terms) => has_partner(view, fact, &terms.partner),
        _ => Ok(()),
    }
}

fn earns_for(view: &dyn View, fact: &ConfigFact, partner: &PartnerId, known: Option<&ConfigFact>) -> Checked {
    url_id("partner_id", partner.as_str())?;
    has_partner(view, fact, partner)?;
    let holder = match known.filter(|known| !known.removed).map(|known| &known.object) {
        Some(ConfigObject::Code(Code { partner, active: true, .. })) => Some(partner),
        Some(ConfigObject::Coupon(Coupon { partner, active: true, .. })) => Some(partner),
        _ => None,
    };
    // Moving what earns from one partner to another in one write is a mistake more often than a wish.
    match holder {
        Some(holder) if holder != partner => refuse(
            code::TAKEN,
            id_field(&fact.object),
            format!("it earns for partner {holder}; deactivate or remove it there first"),
        ),
        _ => Ok(()),
    }
}

fn has_partner(view: &dyn View, fact: &ConfigFact, partner: &PartnerId) -> Checked {
    if config_row(view, &format!("partner/{}/{partner}", fact.program)).is_none_or(|row| row.fact.removed) {
        return refuse(
            code::UNKNOWN_PARTNER,
            "partner_id",
            format!("no partner {partner} in program {}; create it first", fact.program),
        );
    }
    Ok(())
}

fn key_belongs(view: &dyn View, fact: &ConfigFact, key: &ApiKey) -> Checked {
    match program(view, &fact.program) {
        Some(program) if program.account != key.account => {
            refuse(code::HOME_MISMATCH, "account_id", "the program belongs to another account")?;
        }
        Some(program) if program.mode != key.mode => {
            refuse(code::HOME_MISMATCH, "mode", "the program's mode is the other one")?;
        }
        Some(_) => {}
        None if key.account.as_str() != fact.program.as_str() => {
            refuse(code::HOME_MISMATCH, "account_id", "a key of an account lives under its id")?;
        }
        None if key.program_bound => {
            refuse(code::HOME_MISMATCH, "program_bound", "a key bound to a program lives in that program")?;
        }
        None => {}
    }
    // A revoked key keeps its hash: it must not come back under another name.
    match key_holder(view, &key.sha256) {
        Some(holder) if holder != fact.key() => refuse(
            code::TAKEN,
            "sha256",
            "another key has or had this text; generate a new one, and never use one key twice",
        ),
        _ => Ok(()),
    }
}

fn removable(view: &dyn View, known: &ConfigFact) -> Checked {
    let id = &known.program;
    match &known.object {
        ConfigObject::Account(_) => {
            refuse(code::IN_USE, "account_id", "accounts stay; revoke its keys and endpoints instead")
        }
        ConfigObject::Program(_) if has_events(view, id) => refuse(
            code::IN_USE,
            "program_id",
            "the program has recorded events, which stay; remove its endpoints and keys instead",
        ),
        ConfigObject::Program(_) if has_objects(view, id) => refuse(
            code::IN_USE,
            "program_id",
            "the program still has partners, codes, coupons, rules, payout terms, keys or endpoints; remove them first",
        ),
        ConfigObject::Partner(partner) if uses_of_partner(view, id, &partner.partner) => refuse(
            code::IN_USE,
            "partner_id",
            "codes, coupons or payout terms still name this partner; remove them first, or deactivate the partner",
        ),
        _ => Ok(()),
    }
}

//! The normalizer's state: what its own frames say, and nothing else (protocol, rule 5).
//!
//! Rows: one for each name that a source uses ([`super::names`]), one for each identifier of a person, one to three for each
//! configuration object, one for the last tick.
use super::names::{self, Names};
use super::{FactsEvent, Verdict};
use crate::config::{Code, ConfigFact, ConfigObject, Coupon, Mode, SourceSettings};
use crate::facts::{Fact, Personal};
use crate::ids::{PartnerId, ProgramId, SubjectId};
use crate::tables::{Key, Tables, View, decode, put_row, row};
use crate::time::Micros;
use bytes::Bytes;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

const INDEX: u8 = b'i';
const CONFIG: u8 = b'c';
const MODES: u8 = b'm';
const CODES: u8 = b'r';
const PARTNERS: u8 = b'p';
const SETTINGS: u8 = b's';
const USES: u8 = b'u';
const KEY_HASHES: u8 = b'k';
const TICK: u8 = b't';

/// Where an identifier's subject is kept: HMAC, so that no store and no snapshot holds the identifier.
pub(super) fn index_row(index_key: &[u8; 32], program: &ProgramId, namespace: &str, value: &str) -> Key {
    #[allow(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(index_key).expect("any key length is accepted");
    for part in [program.as_str(), namespace, value] {
        mac.update(&(part.len() as u64).to_le_bytes());
        mac.update(part.as_bytes());
    }
    let digest = mac.finalize().into_bytes();
    Key::new(INDEX).raw(&digest[..16])
}

/// The subject kept under an [`index_row`] key.
pub(super) fn indexed(view: &(impl View + ?Sized), key: &Key) -> Option<SubjectId> {
    let bytes = view.get(key.bytes())?;
    Some(SubjectId(bytes.as_ref().try_into().ok()?))
}

/// A configuration object with the `seq` of the frame that set it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigRow {
    /// `seq` of the facts frame that brought it: what gateways compare (protocol, rule 9).
    pub version: u64,
    /// Its newest state; a removed object stays as removed.
    pub fact: ConfigFact,
}

fn config_key(name: &str) -> Key {
    Key::new(CONFIG).text(name)
}

/// The newest state of the object that `name` ([`ConfigFact::key`]) names.
pub(super) fn config_row(view: &(impl View + ?Sized), name: &str) -> Option<ConfigRow> {
    row(view, config_key(name).bytes())
}

fn mode_key(program: &ProgramId) -> Key {
    Key::new(MODES).text(program.as_str())
}

fn code_key(program: &ProgramId, code: &str) -> Key {
    Key::new(CODES).text(program.as_str()).text(code)
}

fn partner_key(program: &ProgramId, partner: &PartnerId) -> Key {
    Key::new(PARTNERS).text(program.as_str()).text(partner.as_str())
}

/// The program's mode; `None`: no such program.
pub(super) fn mode(view: &(impl View + ?Sized), program: &ProgramId) -> Option<Mode> {
    row(view, mode_key(program).bytes())
}

/// Whether a referral code names a partner who may earn.
pub(super) fn code_earns(view: &(impl View + ?Sized), program: &ProgramId, code: &str) -> bool {
    code_partner(view, program, code)
        .is_some_and(|partner| view.get(partner_key(program, &partner).bytes()).is_some())
}

/// Whether the program has this partner, active or not.
pub(super) fn has_partner(view: &(impl View + ?Sized), program: &ProgramId, partner: &PartnerId) -> bool {
    config_row(view, &format!("partner/{program}/{partner}")).is_some_and(|row| !row.fact.removed)
}

/// Whom an active referral code names.
pub(super) fn code_partner(
    view: &(impl View + ?Sized),
    program: &ProgramId,
    code: &str,
) -> Option<PartnerId> {
    row(view, code_key(program, code).bytes())
}

/// What adapters must know of the program; `None`: nothing but the defaults.
#[must_use]
pub fn source_settings(view: &(impl View + ?Sized), program: &ProgramId) -> Option<SourceSettings> {
    row(view, settings_key(program).bytes())
}

fn settings_key(program: &ProgramId) -> Key {
    Key::new(SETTINGS).text(program.as_str())
}

/// A code, a coupon or terms (by the object's name) that name the partner.
fn use_key(program: &ProgramId, partner: &PartnerId) -> Key {
    Key::new(USES).text(program.as_str()).text(partner.as_str())
}

/// Whether a code, a coupon or terms that were not removed name the partner.
pub(super) fn uses_of_partner(view: &(impl View + ?Sized), program: &ProgramId, partner: &PartnerId) -> bool {
    let uses = use_key(program, partner);
    !view.range(uses.bytes(), &uses.end(), 1).is_empty()
}

fn hash_key(sha256: &[u8; 32]) -> Key {
    Key::new(KEY_HASHES).raw(sha256)
}

/// The object that holds or held the API key of this hash.
pub(super) fn key_holder(view: &(impl View + ?Sized), sha256: &[u8; 32]) -> Option<String> {
    row(view, hash_key(sha256).bytes())
}

/// Whether anything was recorded in the program.
pub(super) fn has_events(view: &(impl View + ?Sized), program: &ProgramId) -> bool {
    names::any(view, program)
}

/// Whether the program has an object that was not removed.
pub(super) fn has_objects(view: &(impl View + ?Sized), program: &ProgramId) -> bool {
    ["partner", "code", "coupon", "rule", "payout_terms", "api_key", "endpoint"].iter().any(|kind| {
        let prefix = Key::new(CONFIG).raw(format!("{kind}/{program}/").as_bytes());
        let mut found = false;
        each_config(view, prefix.bytes(), &prefix.end(), |row| {
            found |= !row.fact.removed;
            !found
        });
        found
    })
}

fn set<T: Serialize>(tables: &mut (impl Tables + ?Sized), key: &Key, value: Option<&T>) {
    match value {
        Some(value) => put_row(tables, key.bytes(), value),
        None => tables.delete(key.bytes()),
    }
}

/// The partner that the object names, unless it is removed.
fn named_partner(fact: &ConfigFact) -> Option<&PartnerId> {
    match &fact.object {
        ConfigObject::Code(Code { partner, .. }) | ConfigObject::Coupon(Coupon { partner, .. }) => {
            (!fact.removed).then_some(partner)
        }
        ConfigObject::PayoutTerms(terms) if !terms.partner.as_str().is_empty() => {
            (!fact.removed).then_some(&terms.partner)
        }
        _ => None,
    }
}

fn fold_uses(tables: &mut dyn Tables, fact: &ConfigFact) {
    let name = fact.key();
    if let Some(before) = config_row(tables, &name)
        && let Some(partner) = named_partner(&before.fact)
    {
        tables.delete(use_key(&fact.program, partner).text(&name).bytes());
    }
    if let Some(partner) = named_partner(fact) {
        put_row(tables, use_key(&fact.program, partner).text(&name).bytes(), &());
    }
}

fn fold_config(tables: &mut dyn Tables, seq: u64, fact: &ConfigFact) {
    fold_uses(tables, fact);
    let config = ConfigRow { version: seq, fact: fact.clone() };
    put_row(tables, config_key(&fact.key()).bytes(), &config);
    // What every event asks for, without the rest of the object.
    let (program, here) = (&fact.program, !fact.removed);
    match &fact.object {
        ConfigObject::Program(object) => {
            set(tables, &mode_key(program), here.then_some(&object.mode));
            let settings = object.source_settings();
            let own = (here && settings != SourceSettings::default()).then_some(&settings);
            set(tables, &settings_key(program), own);
        }
        ConfigObject::ApiKey(object) => put_row(tables, hash_key(&object.sha256).bytes(), &fact.key()),
        ConfigObject::Partner(object) => {
            let active = (here && object.active).then_some(&());
            set(tables, &partner_key(program, &object.partner), active);
        }
        ConfigObject::Code(object) => {
            let partner = (here && object.active).then_some(&object.partner);
            set(tables, &code_key(program, &object.code), partner);
        }
        ConfigObject::Coupon(_)
        | ConfigObject::Rule(_)
        | ConfigObject::Endpoint(_)
        | ConfigObject::Account(_)
        | ConfigObject::PayoutTerms(_) => {}
    }
}

/// What gateways must know of this partition: each object's newest state, in key order. For re-appending (rule 9).
#[must_use]
pub fn gateway_config(view: &dyn View) -> Vec<ConfigRow> {
    let all = Key::new(CONFIG);
    let mut rows = Vec::new();
    each_config(view, all.bytes(), &all.end(), |row| {
        if row.fact.concerns_gateway() {
            rows.push(row);
        }
        true
    });
    rows
}

/// Calls `each` for the rows of a range in key order, while it says true.
fn each_config(
    view: &(impl View + ?Sized),
    start: &[u8],
    end: &[u8],
    mut each: impl FnMut(ConfigRow) -> bool,
) {
    const PAGE: usize = 256;
    let mut start = start.to_vec();
    loop {
        let page = view.range(&start, end, PAGE);
        let Some((last, _)) = page.last() else { return };
        start = last.to_vec();
        start.push(0);
        for (_, value) in &page {
            if !each(decode(value)) {
                return;
            }
        }
        if page.len() < PAGE {
            return;
        }
    }
}

/// Whether a tick at `clock` changes anything: it is the first after another frame, or the first of its minute.
pub(super) fn tick_counts(view: &(impl View + ?Sized), clock: Micros) -> bool {
    row::<i64>(view, &[TICK]) != Some(clock.minute())
}

/// Folds one accepted frame of `facts`: frame number `seq`, at `clock`.
///
/// Identifiers whose person was erased leave no row; their facts stay known.
pub fn evolve(tables: &mut dyn Tables, index_key: &[u8; 32], seq: u64, clock: Micros, events: &[FactsEvent]) {
    let mut names = Names::default();
    let mut tick = false;
    for event in events {
        match event {
            FactsEvent::Verdict(verdict) => fold_verdict(tables, &mut names, verdict),
            FactsEvent::Fact(fact) => fold_fact(tables, index_key, &mut names, fact),
            FactsEvent::Config(fact) => fold_config(tables, seq, fact),
            FactsEvent::Tick => tick = true,
            FactsEvent::ConfigOutcome(_) | FactsEvent::DefectRetry(_) => {}
        }
    }
    names.store(tables);
    if tick {
        put_row(tables, &[TICK], &clock.minute());
    } else if tables.get(&[TICK]).is_some() {
        tables.delete(&[TICK]);
    }
}

fn fold_verdict(tables: &mut dyn Tables, names: &mut Names, verdict: &Verdict) {
    if verdict.reserves_key {
        names.reserve(tables, &verdict.program, &verdict.source, &verdict.delivery_key);
    }
}

fn fold_fact(tables: &mut dyn Tables, index_key: &[u8; 32], names: &mut Names, fact: &Fact) {
    names.add(tables, fact);
    for identifier in &fact.identifiers {
        let (Some(subject), Personal::Open(value)) = (identifier.subject, &identifier.value) else {
            continue;
        };
        let key = index_row(index_key, &fact.program, &identifier.namespace, value);
        if tables.get(key.bytes()).is_none() {
            tables.put(key.bytes(), Bytes::copy_from_slice(&subject.0));
        }
    }
}

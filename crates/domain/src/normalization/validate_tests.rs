#![allow(clippy::unwrap_used)]
use super::validate::{self, MAX_METADATA_KEYS, MAX_SEALED_BYTES, MAX_SECRETS};
use super::{
    ConfigOutcome, FactsEvent, InputKind, NormalizerInput, ReplyAddress, decide, evolve, gateway_config,
    source_settings,
};
use crate::config::{
    Account, ApiKey, Code, ConfigFact, ConfigObject, Coupon, Endpoint, FlatRefund, KeyScope, Mode, Partner,
    Profile, Program, Reward, Rule, SaleFrom,
};
use crate::ids::Hash;
use crate::money::{Currency, Minor, RatePpm, Rounding};
use crate::payouts::{PayoutTerms, Schedule};
use crate::rules::{
    Band, Cap, CapScope, Comparison, Condition, Field, Limit, MAX_DEPTH, Metric, Operator, Period, Tiers,
    Value, Window,
};
use crate::tables::MemoryTables;
use crate::time::Micros;
use proptest::prelude::*;
use std::collections::BTreeSet;

const INDEX_KEY: [u8; 32] = [7; 32];

/// A home in memory that takes configuration writes.
#[derive(Debug, Clone, Default)]
struct Home {
    tables: MemoryTables,
    seq: u64,
}

impl Home {
    /// One program with everything in it, and an account of the same partition.
    fn new() -> Self {
        let mut home = Self::default();
        for fact in [
            write("acc", account("acc")),
            write("prog", program(|_| ())),
            write("prog", partner("john")),
            write("prog", partner("mary")),
            write("prog", code("john123", "john", true)),
            write("prog", coupon("SAVE20", "john")),
            write("prog", rule(1, 200_000)),
            write("prog", key("prog", |_| ())),
            write("prog", endpoint(|_| ())),
        ] {
            assert_eq!(home.say(fact), Ok(true));
        }
        home
    }

    fn write(&mut self, fact: ConfigFact, create_only: bool) -> (Option<ConfigFact>, ConfigOutcome) {
        self.seq += 1;
        let reply_to = Some(ReplyAddress { gateway_instance: "gw".into(), correlation_id: self.seq });
        let kind = InputKind::ConfigWrite { fact, reply_to: reply_to.clone(), create_only };
        let input = NormalizerInput { source_head: Hash::ZERO, clock: Micros(1), kind };
        let mut events = decide(&self.tables, &INDEX_KEY, input).unwrap();
        evolve(&mut self.tables, &INDEX_KEY, self.seq, Micros(1), &events);
        let Some(FactsEvent::ConfigOutcome(outcome)) = events.pop() else { panic!("the outcome comes last") };
        let change = events.pop().map(|event| match event {
            FactsEvent::Config(fact) => fact,
            other => panic!("{other:?}"),
        });
        assert!(events.is_empty() && outcome.changed == change.is_some());
        assert!(outcome.reply_to == reply_to && !(outcome.changed && outcome.refused.is_some()));
        (change, outcome)
    }

    /// Whether it changed something, or (code, field) of the refusal.
    fn say(&mut self, fact: ConfigFact) -> Result<bool, (String, String)> {
        let (_, outcome) = self.write(fact, false);
        outcome.refused.map_or(Ok(outcome.changed), |refused| Err((refused.code, refused.field)))
    }
}

fn write(home: &str, object: ConfigObject) -> ConfigFact {
    ConfigFact { program: home.into(), actor: "test".into(), object, removed: false }
}

fn removal(home: &str, object: ConfigObject) -> ConfigFact {
    ConfigFact { removed: true, ..write(home, object) }
}

fn account(id: &str) -> ConfigObject {
    ConfigObject::Account(Account { account: id.into(), name: "Acme".into() })
}

fn program(change: impl FnOnce(&mut Program)) -> ConfigObject {
    let mut program = Program {
        account: "acc".into(),
        name: "Acme".into(),
        mode: Mode::Test,
        profile: Profile::Native,
        currency: Currency::parse("USD").unwrap(),
        rounding: Rounding::HalfEven,
        click_window_days: 30,
        hold_days: 0,
        release: crate::config::Release::default(),
        manual_approval: false,
        sale_from: None,
        referral_keys: Vec::new(),
        customer_keys: Vec::new(),
        rule_metadata_keys: Vec::new(),
    };
    change(&mut program);
    ConfigObject::Program(program)
}

fn partner(id: &str) -> ConfigObject {
    ConfigObject::Partner(Partner {
        partner: id.into(),
        name: String::new(),
        active: true,
        ..Partner::default()
    })
}

fn code(code: &str, partner: &str, active: bool) -> ConfigObject {
    ConfigObject::Code(Code { code: code.into(), partner: partner.into(), active })
}

fn coupon(coupon: &str, partner: &str) -> ConfigObject {
    ConfigObject::Coupon(Coupon { coupon: coupon.into(), partner: partner.into(), active: true })
}

/// The next version of the rule, with a change.
fn asking(change: impl FnOnce(&mut Rule)) -> ConfigObject {
    let mut rule =
        Rule { rule: "r".into(), version: 2, reward: Reward::Percent(RatePpm(100_000)), ..Rule::default() };
    change(&mut rule);
    ConfigObject::Rule(rule)
}

fn asking_for(field: &str) -> Condition {
    Condition::Test(Comparison {
        field: Field::parse(field, "").unwrap(),
        operator: Operator::Equal,
        value: Value::Text("a".into()),
    })
}

/// Rules that cannot be used, each with the path of what is wrong with it.
fn rule_rows() -> Vec<Row> {
    let prog = |object| write("prog", object);
    let tiered =
        |bands: Tiers| prog(asking(|rule| (rule.reward, rule.tiers) = (Reward::default(), Some(bands))));
    let limit = |amount| Limit { amount: Minor(amount), currency: Currency::parse("USD").unwrap() };
    let cap = Cap { scope: CapScope::Program, period: Period::Month, limit: limit(-5) };
    let deep = (0..=MAX_DEPTH).fold(asking_for("coupon"), |inner, _| Condition::Any(vec![inner]));
    let deep_at: &'static str = format!("when{}", ".any[0]".repeat(MAX_DEPTH)).leak();
    let mut worthless = tiers(&[0, 5]);
    worthless.bands[1].rate = RatePpm(0);
    vec![
        (prog(rule(2, 0)), "out_of_range", "rate_ppm"),
        (prog(rule(2, 1_000_001)), "out_of_range", "rate_ppm"),
        (prog(flat(2, -1)), "out_of_range", "flat_minor"),
        (prog(asking(|rule| rule.tiers = Some(tiers(&[0, 5])))), "contradictory", "tiers"),
        (tiered(tiers(&[0, 5, 5])), "bad_rule", "tiers.bands[2].from"),
        (tiered(worthless), "bad_rule", "tiers.bands[1].rate_ppm"),
        (prog(asking(|rule| rule.clauses.caps = vec![cap])), "bad_rule", "caps[0].amount"),
        (prog(asking(|rule| rule.clauses.minimum = Some(limit(0)))), "bad_rule", "minimum.amount"),
        (prog(asking(|rule| rule.clauses.window = Some(Window::Payments(0)))), "bad_rule", "window.payments"),
        (prog(asking(|rule| rule.clauses.when = Condition::Any(Vec::new()))), "bad_rule", "when.any"),
        (prog(asking(|rule| rule.clauses.when = deep)), "bad_rule", deep_at),
        (prog(asking(|rule| rule.clauses.when = asking_for("country"))), "bad_rule", "when.value"),
        (prog(asking(|rule| rule.clauses.when = asking_for("metadata.plan"))), "bad_rule", "when.field"),
    ]
}

fn tiers(from: &[i64]) -> Tiers {
    Tiers {
        metric: Metric::Count,
        period: Period::Month,
        prior: false,
        marginal: false,
        bands: from.iter().map(|from| Band { from: *from, rate: RatePpm(1) }).collect(),
    }
}

fn rule(version: u32, ppm: i64) -> ConfigObject {
    ConfigObject::Rule(Rule {
        rule: "r".into(),
        version,
        reward: Reward::Percent(RatePpm(ppm)),
        ..Rule::default()
    })
}

fn flat(version: u32, amount: i64) -> ConfigObject {
    let currency = Currency::parse("USD").unwrap();
    let reward = Reward::Flat { amount: Minor(amount), currency, on_refund: FlatRefund::Any };
    ConfigObject::Rule(Rule { rule: "r".into(), version, reward, ..Rule::default() })
}

/// A key of program `prog` whose hash depends on its id, unless changed.
fn key(id: &str, change: impl FnOnce(&mut ApiKey)) -> ConfigObject {
    let mut key = ApiKey {
        key_id: id.into(),
        sha256: Hash::of(id.as_bytes()).0,
        account: "acc".into(),
        mode: Mode::Test,
        ..ApiKey::default()
    };
    change(&mut key);
    ConfigObject::ApiKey(key)
}

fn endpoint(change: impl FnOnce(&mut Endpoint)) -> ConfigObject {
    let mut endpoint = Endpoint {
        endpoint_id: "ep".into(),
        provider: "paddle".into(),
        sealed_secrets: vec![b"sealed".to_vec()],
        tolerance_seconds: 0,
    };
    change(&mut endpoint);
    ConfigObject::Endpoint(endpoint)
}

/// One write, and the refusal that the home of [`Home::new`] gives it.
type Row = (ConfigFact, &'static str, &'static str);

fn text_rows() -> Vec<Row> {
    let prog = |object| write("prog", object);
    let long = "x".repeat(256);
    let longer = "x".repeat(1_025);
    vec![
        (prog(partner("")), "bad_text", "partner_id"),
        (prog(partner(&long)), "bad_text", "partner_id"),
        (prog(partner("a/b")), "bad_text", "partner_id"),
        (prog(partner("..")), "bad_text", "partner_id"),
        (prog(code("a\u{0}", "john", true)), "bad_text", "code"),
        (
            prog(ConfigObject::Partner(Partner {
                partner: "new".into(),
                group: "\n".into(),
                ..Partner::default()
            })),
            "bad_text",
            "group",
        ),
        (prog(coupon("", "john")), "bad_text", "coupon"),
        (prog(code("new", "jo/hn", true)), "bad_text", "partner_id"),
        (prog(key("a/b", |_| ())), "bad_text", "key_id"),
        (prog(key("k", |key| key.sha256 = [0; 32])), "bad_text", "sha256"),
        (prog(key("k", |key| key.name.clone_from(&longer))), "bad_text", "name"),
        (prog(endpoint(|endpoint| endpoint.endpoint_id.clear())), "bad_text", "endpoint_id"),
        (prog(program(|program| program.name = "a\0b".into())), "bad_text", "name"),
        (prog(program(|program| program.account = "".into())), "bad_text", "account_id"),
        (prog(program(|program| program.referral_keys = vec![String::new()])), "bad_text", "referral_keys"),
        (write("a/b", program(|_| ())), "bad_text", "program_id"),
        (ConfigFact { actor: "a\u{0}".into(), ..prog(partner("new")) }, "bad_text", "actor"),
    ]
}

fn value_rows() -> Vec<Row> {
    let prog = |object| write("prog", object);
    let keys = || (0..=MAX_METADATA_KEYS).map(|n| format!("key_{n}")).collect::<Vec<_>>();
    let secrets = |secrets| prog(endpoint(|endpoint| endpoint.sealed_secrets = secrets));
    vec![
        (prog(program(|program| program.click_window_days = 0)), "out_of_range", "click_window_days"),
        (prog(program(|program| program.click_window_days = 366)), "out_of_range", "click_window_days"),
        (prog(program(|program| program.hold_days = 3_651)), "out_of_range", "hold_days"),
        (prog(program(|program| program.referral_keys = keys())), "bad_list", "referral_keys"),
        (prog(program(|program| program.customer_keys = vec!["a".into(); 2])), "bad_list", "customer_keys"),
        (
            prog(program(|program| program.rule_metadata_keys = vec!["k".repeat(65)])),
            "bad_list",
            "rule_metadata_keys",
        ),
        (prog(key("k", |key| key.expires_at = Some(Micros(-1)))), "out_of_range", "expires_at"),
        (prog(key("k", |key| key.scopes = vec![KeyScope::Read; 2])), "bad_list", "scopes"),
        (
            prog(key("k", |key| (key.publishable, key.scopes) = (true, vec![KeyScope::Approve]))),
            "bad_list",
            "scopes",
        ),
        (prog(endpoint(|endpoint| endpoint.provider = "acme".into())), "unknown_provider", "provider"),
        (prog(endpoint(|endpoint| endpoint.tolerance_seconds = 86_401)), "out_of_range", "tolerance_seconds"),
        (secrets(vec![b"same".to_vec(); 2]), "bad_list", "secrets"),
        (secrets(vec![Vec::new()]), "bad_list", "secrets"),
        (secrets(vec![vec![1; MAX_SEALED_BYTES + 1]]), "bad_list", "secrets"),
        (secrets((0..=MAX_SECRETS).map(|n| vec![n as u8]).collect()), "bad_list", "secrets"),
    ]
}

fn reference_rows() -> Vec<Row> {
    let prog = |object| write("prog", object);
    vec![
        (write("nowhere", partner("john")), "unknown_program", "program_id"),
        (write("acc", partner("john")), "unknown_program", "program_id"),
        (write("nowhere", key("k", |key| key.account = "nowhere".into())), "unknown_account", "account_id"),
        (prog(account("acc")), "home_mismatch", "account_id"),
        (prog(account("prog")), "taken", "account_id"),
        (write("acc", program(|_| ())), "taken", "program_id"),
        (prog(key("k", |key| key.account = "other".into())), "home_mismatch", "account_id"),
        (prog(key("k", |key| key.mode = Mode::Live)), "home_mismatch", "mode"),
        (write("acc", key("k", |key| key.account = "other".into())), "home_mismatch", "account_id"),
        (write("acc", key("k", |key| key.program_bound = true)), "home_mismatch", "program_bound"),
        (prog(program(|program| program.mode = Mode::Live)), "immutable", "mode"),
        (prog(program(|program| program.account = "other".into())), "immutable", "account_id"),
        (prog(key("prog", |key| key.sha256 = [9; 32])), "immutable", "sha256"),
        (prog(key("prog", |key| key.publishable = true)), "immutable", "publishable"),
        (prog(key("prog", |key| key.program_bound = true)), "immutable", "program_bound"),
        (prog(endpoint(|endpoint| endpoint.provider = "stripe".into())), "immutable", "provider"),
        (prog(code("new", "nobody", true)), "unknown_partner", "partner_id"),
        (prog(coupon("NEW", "nobody")), "unknown_partner", "partner_id"),
        (prog(code("john123", "mary", true)), "taken", "code"),
        (prog(coupon("SAVE20", "mary")), "taken", "coupon"),
        (prog(key("twin", |key| key.sha256 = Hash::of(b"prog").0)), "taken", "sha256"),
        (prog(rule(3, 100_000)), "version_conflict", "version"),
        (prog(rule(1, 100_000)), "version_conflict", "version"),
        (removal("prog", partner("john")), "in_use", "partner_id"),
        (removal("prog", program(|_| ())), "in_use", "program_id"),
        (removal("acc", account("acc")), "in_use", "account_id"),
    ]
}

#[test]
fn each_refusal_has_its_code_and_field_and_changes_nothing() {
    let home = Home::new();
    let mut seen = BTreeSet::from([validate::code::ALREADY_EXISTS, validate::code::REVOKED]);
    for (fact, code, field) in [text_rows(), value_rows(), rule_rows(), reference_rows()].concat() {
        let mut here = home.clone();
        let said = here.say(fact.clone());
        assert_eq!(said, Err((code.to_owned(), field.to_owned())), "{fact:?}");
        assert_eq!(here.tables, home.tables, "{fact:?}");
        seen.insert(code);
    }
    assert_eq!(seen, BTreeSet::from(validate::code::ALL), "a row for each code, two in tests of their own");
}

#[test]
fn a_rule_may_ask_for_metadata_once_the_program_keeps_it() {
    let mut home = Home::new();
    let asks = || write("prog", asking(|rule| rule.clauses.when = asking_for("metadata.plan")));
    assert_eq!(home.say(asks()), Err(("bad_rule".into(), "when.field".into())));
    let keeps = program(|program| program.rule_metadata_keys = vec!["plan".into()]);
    assert_eq!(home.say(write("prog", keeps)), Ok(true));
    assert_eq!(home.say(asks()), Ok(true));
    let settings = source_settings(&home.tables, &"prog".into()).unwrap();
    assert_eq!(settings.rule_metadata_keys, ["plan"]);
}

#[test]
fn what_is_only_to_be_created_may_be_there_with_the_same_contents_and_not_with_others() {
    let mut home = Home::new();
    let (change, outcome) = home.write(write("prog", code("john123", "john", true)), true);
    assert!(change.is_none() && outcome.refused.is_none());
    let (_, outcome) = home.write(write("prog", code("john123", "john", false)), true);
    let refused = outcome.refused.unwrap();
    assert_eq!((refused.code.as_str(), refused.field.as_str()), ("already_exists", "code"));
    assert_eq!(home.say(removal("prog", code("john123", "", false))), Ok(true));
    assert!(
        home.write(write("prog", code("john123", "mary", true)), true).1.changed,
        "gone, so it can be created"
    );
}

#[test]
fn a_code_moves_once_it_is_deactivated_and_its_partner_can_go_once_nothing_names_them() {
    let mut home = Home::new();
    assert_eq!(home.say(write("prog", code("john123", "john", false))), Ok(true));
    assert_eq!(home.say(write("prog", code("john123", "mary", true))), Ok(true));
    assert!(home.say(removal("prog", partner("john"))).is_err(), "the coupon is left");
    assert_eq!(home.say(removal("prog", coupon("SAVE20", ""))), Ok(true));
    assert_eq!(home.say(removal("prog", partner("john"))), Ok(true));
    assert_eq!(home.say(removal("prog", partner("john"))), Ok(false), "gone already");
    assert_eq!(home.say(removal("prog", partner("nobody"))), Ok(false), "never there");
}

fn terms(partner: &str, schedule: Schedule, minimums: &[(&str, i64)]) -> ConfigObject {
    let minimum = |(code, least): &(&str, i64)| (Currency::parse(code).unwrap(), Minor(*least));
    let minimums = minimums.iter().map(minimum).collect();
    ConfigObject::PayoutTerms(PayoutTerms { partner: partner.into(), schedule, minimums, pay_in: None })
}

#[test]
fn payout_terms_name_real_days_positive_minimums_and_a_partner_who_then_stays() {
    let mut home = Home::new();
    let refused = |code: &str, field: &str| Err((code.to_owned(), field.to_owned()));
    for (object, said) in [
        (terms("", Schedule::Weekly { day: 0 }, &[]), refused("out_of_range", "day")),
        (terms("", Schedule::Weekly { day: 8 }, &[]), refused("out_of_range", "day")),
        (terms("", Schedule::Monthly { day: 32 }, &[]), refused("out_of_range", "day")),
        (terms("", Schedule::Manual, &[("USD", 0)]), refused("out_of_range", "minimums")),
        (terms("", Schedule::Manual, &[("USD", 1), ("USD", 2)]), refused("bad_list", "minimums")),
        (terms("nobody", Schedule::Manual, &[]), refused("unknown_partner", "partner_id")),
        (terms("", Schedule::Monthly { day: 31 }, &[("USD", 1), ("JPY", 5000)]), Ok(true)),
        (terms("mary", Schedule::Weekly { day: 7 }, &[]), Ok(true)),
    ] {
        assert_eq!(home.say(write("prog", object.clone())), said, "{object:?}");
    }
    assert_eq!(home.say(removal("prog", partner("mary"))), refused("in_use", "partner_id"));
    assert_eq!(home.say(removal("prog", terms("mary", Schedule::Manual, &[]))), Ok(true));
    assert_eq!(home.say(removal("prog", partner("mary"))), Ok(true));

    let mut empty = Home::default();
    for fact in [
        write("acc", account("acc")),
        write("p", program(|_| ())),
        write("p", terms("", Schedule::Manual, &[])),
    ] {
        assert_eq!(empty.say(fact), Ok(true));
    }
    assert_eq!(empty.say(removal("p", program(|_| ()))), refused("in_use", "program_id"));
    assert_eq!(empty.say(removal("p", terms("", Schedule::Manual, &[]))), Ok(true));
    assert_eq!(empty.say(removal("p", program(|_| ()))), Ok(true));
}

#[test]
fn a_revoked_key_never_comes_back_neither_by_its_name_nor_by_its_text() {
    let mut home = Home::new();
    let (change, _) = home.write(removal("prog", key("prog", |key| key.account = "whoever".into())), false);
    assert_eq!(change.unwrap().object, key("prog", |_| ()), "the fact keeps what was removed");
    assert_eq!(home.say(write("prog", key("prog", |_| ()))), Err(("revoked".into(), "key_id".into())));
    let again = key("another", |key| key.sha256 = Hash::of(b"prog").0);
    assert_eq!(home.say(write("prog", again)), Err(("taken".into(), "sha256".into())));
    let rows = gateway_config(&home.tables);
    assert!(rows.iter().any(|row| row.fact.removed), "gateways are told that it is gone");
}

#[test]
fn a_rule_without_a_version_gets_the_next_one_unless_its_terms_stand_already() {
    let mut home = Home::new();
    let version = |change: Option<ConfigFact>| match change.map(|fact| fact.object) {
        Some(ConfigObject::Rule(rule)) => Some(rule.version),
        _ => None,
    };
    assert_eq!(version(home.write(write("prog", rule(0, 200_000)), false).0), None);
    assert_eq!(version(home.write(write("prog", rule(0, 125_000)), false).0), Some(2));
    assert_eq!(version(home.write(write("prog", flat(3, 500)), false).0), Some(3));
    assert_eq!(home.say(removal("prog", rule(0, 1))), Ok(true));
    assert_eq!(
        version(home.write(write("prog", flat(0, 500)), false).0),
        Some(4),
        "versions are never reused"
    );
}

#[test]
fn an_empty_program_can_go_and_keeps_mode_and_account_when_it_returns() {
    let mut home = Home::new();
    for object in [
        code("john123", "", false),
        coupon("SAVE20", ""),
        partner("john"),
        partner("mary"),
        rule(0, 1),
        key("prog", |_| ()),
        endpoint(|_| ()),
    ] {
        assert!(home.say(removal("prog", program(|_| ()))).is_err());
        assert_eq!(home.say(removal("prog", object)), Ok(true));
    }
    assert_eq!(home.say(removal("prog", program(|_| ()))), Ok(true));
    assert_eq!(
        home.say(write("prog", partner("john"))),
        Err(("unknown_program".into(), "program_id".into()))
    );
    let live = program(|program| program.mode = Mode::Live);
    assert_eq!(home.say(write("prog", live)), Err(("immutable".into(), "mode".into())));
    assert_eq!(home.say(write("prog", program(|_| ()))), Ok(true));
}

#[test]
fn adapters_are_told_what_the_program_set_and_its_profile_where_it_set_nothing() {
    let mut home = Home::new();
    assert_eq!(source_settings(&home.tables, &"prog".into()), None, "the defaults need no row");
    let refvenue = program(|program| program.profile = Profile::Refvenue);
    assert_eq!(home.say(write("prog", refvenue)), Ok(true));
    let settings = source_settings(&home.tables, &"prog".into()).unwrap();
    assert_eq!(settings.sale_from, SaleFrom::CheckoutAndInvoice);
    let own = program(|program| {
        (program.sale_from, program.referral_keys) = (Some(SaleFrom::Invoice), vec!["aff".into()]);
    });
    assert_eq!(home.say(write("prog", own)), Ok(true));
    let settings = source_settings(&home.tables, &"prog".into()).unwrap();
    assert_eq!((settings.sale_from, settings.referral_keys), (SaleFrom::Invoice, vec!["aff".to_owned()]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever was written, the same write again changes nothing when the first was taken, and is refused alike when not.
    #[test]
    fn the_same_write_again_changes_nothing(
        writes in prop::collection::vec((0..7_u8, 0..3_u8, 0..3_u8, any::<bool>(), prop::bool::weighted(0.2)), 1..40),
    ) {
        let mut home = Home::new();
        for (kind, which, value, active, removed) in writes {
            let (name, partner_id) = (format!("n{which}"), format!("p{value}"));
            let object = match kind {
                0 => partner(&partner_id),
                1 => code(&name, &partner_id, active),
                2 => coupon(&name, &partner_id),
                3 => rule(u32::from(which), 1 + i64::from(value)),
                4 => key(&name, |key| key.scopes = if active { vec![KeyScope::Report] } else { Vec::new() }),
                5 => endpoint(|endpoint| endpoint.tolerance_seconds = u32::from(value)),
                _ => program(|program| program.hold_days = u32::from(value)),
            };
            let fact = ConfigFact { removed, ..write("prog", object) };
            let first = home.say(fact.clone());
            let after = home.tables.clone();
            let again = home.say(fact);
            match first {
                Ok(_) => prop_assert_eq!(again, Ok(false)),
                Err(_) => prop_assert_eq!(again, first),
            }
            prop_assert_eq!(&home.tables, &after);
        }
    }
}

//! Leads, sign-ups and clicks, and when the time hold of anything ends.
use super::harness::{SaleSpec, Setting, World, currency, kinds, refund, sale};
use super::vectors::chargeback;
use tributary_domain::config::{FlatRefund, Release, ReleaseMode, Reward, Rule};
use tributary_domain::facts::{CommandKind, ConversionKind};
use tributary_domain::money::Minor;
use tributary_domain::rules::{Clauses, Comparison, Condition, Field, Operator, Value, Window};
use tributary_domain::time::{DAY_MICROS, Micros};

fn lead(id: &str) -> SaleSpec {
    SaleSpec { kind: ConversionKind::Lead, ..sale(id, 0) }
}

fn flat(id: &str, amount: i64, when: Condition) -> Rule {
    let reward =
        Reward::Flat { amount: Minor(amount), currency: currency("USD"), on_refund: FlatRefund::Any };
    Rule {
        rule: id.into(),
        version: 1,
        reward,
        clauses: Clauses { when, ..Clauses::default() },
        ..Rule::default()
    }
}

fn of_kinds(kinds: &[&str]) -> Condition {
    Condition::Test(Comparison {
        field: Field::parse("kind", "when").unwrap(),
        operator: Operator::In,
        value: Value::Texts(kinds.iter().map(|kind| (*kind).to_owned()).collect()),
    })
}

#[test]
fn a_lead_earns_by_a_rule_that_names_its_kind_and_no_refund_takes_it_back() {
    let mut world = World::new(Setting::default());
    // A flat reward for everything is not one for every click.
    world.add_rule(flat("any", 900, Condition::default()));
    for kind in [ConversionKind::Lead, ConversionKind::Signup, ConversionKind::Click] {
        world.sale(&SaleSpec { kind, ..sale("nothing", 0) });
        let record = &world.sales[&format!("{}:nothing", kind.name())];
        assert_eq!(
            (record.reason.as_str(), record.base, record.partner.is_some()),
            ("no_rule", Minor(0), true)
        );
    }
    world.add_rule(flat("leads", 500, of_kinds(&["lead", "click"])));
    assert_eq!(kinds(&world.sale(&lead("1"))), [("created", 500)]);
    assert_eq!(
        kinds(&world.sale(&SaleSpec { kind: ConversionKind::Click, ..sale("1", 77) })),
        [("created", 500)]
    );
    assert_eq!(world.sales["click:1"].gross, Minor(0), "only a sale has amounts");
    assert_eq!(kinds(&world.sale(&SaleSpec { kind: ConversionKind::Signup, ..sale("1", 0) })), []);
    // A sale with the same id is another thing, and is paid by the rules for sales.
    assert_eq!(kinds(&world.sale(&sale("1", 1000))), [("created", 300)]);
    world.reversal(&refund("1", "a", 1000));
    world.reversal(&refund("lead:1", "b", 1000));
    world.reversal(&chargeback("lead:1", "c", 1000));
    assert_eq!((world.numbers("1").1, world.numbers("lead:1")), (0, (0, 500, "pending")));
    world.tick();
    assert_eq!(world.numbers("lead:1").2, "approved");
    // Fraud: a person takes it back.
    world.command(CommandKind::Reject, "lead:1");
    assert_eq!(world.numbers("lead:1"), (500, 0, "rejected"));
    world.assert_rebuild_is_identical();
}

#[test]
fn what_only_a_key_that_everybody_may_see_vouches_for_waits_for_a_person() {
    let mut world = World::new(Setting::default());
    world.add_rule(flat("leads", 500, of_kinds(&["lead"])));
    world.sale(&SaleSpec { publishable: true, ..lead("1") });
    world.sale(&SaleSpec { publishable: true, partner: None, ..sale("txn", 1000) });
    world.late("txn", "partner_john");
    world.sale(&lead("2"));
    for _ in 0..3 {
        world.tick();
    }
    let statuses = ["lead:1", "txn", "lead:2"].map(|name| world.numbers(name).2);
    assert_eq!(statuses, ["pending", "pending", "approved"]);
    world.command(CommandKind::Approve, "lead:1");
    world.command(CommandKind::Approve, "txn");
    assert_eq!((world.numbers("lead:1").2, world.numbers("txn").2), ("approved", "approved"));
    world.assert_rebuild_is_identical();
}

#[test]
fn a_lead_is_no_purchase_and_may_be_explained_later() {
    let mut world = World::new(Setting::default());
    world.add_rule(flat("leads", 500, of_kinds(&["lead"])));
    world.add_rule(Rule {
        clauses: Clauses { window: Some(Window::Payments(1)), priority: 1, ..Clauses::default() },
        ..flat("first", 50, Condition::default())
    });
    world.sale(&SaleSpec { customer: Some(1), partner: None, ..lead("1") });
    assert_eq!(kinds(&world.late("lead:1", "partner_john")), [("created", 500)]);
    world.sale(&SaleSpec { customer: Some(1), ..sale("txn", 1000) });
    assert_eq!(world.numbers("txn").1, 50, "the first purchase");
}

#[test]
fn what_is_no_sale_may_come_from_a_customer_who_bought_before() {
    let mut world = World::new(Setting::default());
    world.add_rule(flat("leads", 500, of_kinds(&["lead"])));
    let is = |word: &str| {
        let (field, value) = (Field::parse("customer", "when").unwrap(), Value::Text(word.to_owned()));
        Condition::Test(Comparison { field, operator: Operator::Equal, value })
    };
    let both = |word| Condition::All(vec![of_kinds(&["lead"]), is(word)]);
    world.add_rule(flat("from_new", 70, both("new")));
    world.add_rule(flat("from_known", 90, both("recurring")));
    let of = |id| SaleSpec { customer: Some(1), ..lead(id) };
    assert_eq!(kinds(&world.sale(&of("1"))), [("created", 70)]);
    world.sale(&SaleSpec { customer: Some(1), ..sale("txn", 1000) });
    assert_eq!(kinds(&world.sale(&of("2"))), [("created", 90)]);
    assert_eq!(kinds(&world.sale(&SaleSpec { customer: Some(2), ..lead("3") })), [("created", 70)]);
    // Counted from the first purchase, however late the lead comes.
    world.add_rule(Rule {
        clauses: Clauses {
            when: of_kinds(&["lead"]),
            window: Some(Window::Payments(1)),
            priority: 1,
            ..Clauses::default()
        },
        ..flat("at_first", 30, Condition::default())
    });
    assert_eq!(kinds(&world.sale(&of("4"))), [("created", 90)]);
    assert_eq!(kinds(&world.sale(&SaleSpec { customer: Some(2), ..lead("5") })), [("created", 30)]);
}

/// Midnight of a day of 2026, in days from 1 January.
fn day(days: i64) -> Micros {
    Micros((20_454 + days) * DAY_MICROS)
}

#[test]
fn a_time_hold_ends_by_days_or_with_the_month_and_never_before_the_least_time_from_acceptance() {
    let ends = |mode, hold_days, min_hold_days, at: Micros, accepted: Micros| {
        let release = Release { mode, min_hold_days };
        let mut world = World::new(Setting { hold_days, release, ..Setting::default() });
        world.clock = accepted;
        world.sale(&SaleSpec { at: Some(at), ..sale("txn", 1000) });
        // The first moment at which a tick approves it.
        let mut last = accepted;
        for days in 0..120 {
            let midnight = day(days);
            if midnight < accepted {
                continue;
            }
            world.clock = Micros(midnight.0 - 1);
            if world.clock >= accepted && !kinds(&world.tick()).is_empty() {
                return (last, false);
            }
            world.clock = midnight;
            if !kinds(&world.tick()).is_empty() {
                return (midnight, true);
            }
            last = midnight;
        }
        unreachable!()
    };
    let (days, calendar) = (ReleaseMode::Days, ReleaseMode::Calendar);
    let at = |days| (day(days), true);
    assert_eq!(ends(days, 30, 0, day(4), day(4)), at(34));
    assert_eq!(ends(days, 30, 7, day(4), day(4)), at(34));
    assert_eq!(ends(days, 30, 7, day(4), day(40)), at(47), "it came late");
    // 5 January + 30 days is in February, which ends on the 59th day.
    assert_eq!(ends(calendar, 30, 0, day(4), day(4)), at(59));
    assert_eq!(ends(calendar, 0, 0, day(30), day(30)), at(31), "the last day of January");
    assert_eq!(ends(calendar, 0, 0, day(31), day(31)), at(59), "the first of February");
    assert_eq!(ends(calendar, 0, 14, day(30), day(30)), at(44));
}

//! Rules at work: which one pays, in bands and under caps, and what refunds then do.
use super::harness::{SaleSpec, Setting, World, currency, kinds, refund, sale};
use tributary_domain::commission::{CommissionsEvent, Terms};
use tributary_domain::config::{FlatRefund, Reward, Rule};
use tributary_domain::facts::{CommandKind, ReversalState};
use tributary_domain::money::{Minor, RatePpm};
use tributary_domain::rules::{
    Band, Cap, CapScope, Clauses, Comparison, Condition, Field, Limit, Metric, Operator, Period, Tiers,
    Value, Why, Window,
};
use tributary_domain::time::{DAY_MICROS, Micros};

fn equal(field: &str, text: &str) -> Condition {
    Condition::Test(Comparison {
        field: Field::parse(field, "when").unwrap(),
        operator: Operator::Equal,
        value: Value::Text(text.to_owned()),
    })
}

fn percent(id: &str, ppm: i64, when: Condition) -> Rule {
    Rule {
        rule: id.into(),
        version: 1,
        reward: Reward::Percent(RatePpm(ppm)),
        clauses: Clauses { when, ..Clauses::default() },
        ..Rule::default()
    }
}

/// A program whose only rule is this one, in the place of the default.
fn only(change: impl FnOnce(&mut Rule)) -> World {
    let mut world = World::new(Setting::default());
    let mut rule = Rule { version: 2, ..percent("rule_default", 200_000, Condition::default()) };
    change(&mut rule);
    world.add_rule(rule);
    world
}

fn usd(amount: i64) -> Limit {
    Limit { amount: Minor(amount), currency: currency("USD") }
}

fn capped(scope: CapScope, period: Period, amount: i64) -> World {
    only(|rule| rule.clauses.caps = vec![Cap { scope, period, limit: usd(amount) }])
}

fn tiers(metric: Metric, marginal: bool, bands: &[(i64, i64)]) -> Tiers {
    Tiers {
        metric,
        period: Period::Month,
        prior: false,
        marginal,
        bands: bands.iter().map(|(from, rate)| Band { from: *from, rate: RatePpm(*rate) }).collect(),
    }
}

fn terms(events: &[CommissionsEvent]) -> Terms {
    let found = events.iter().find_map(|event| match event {
        CommissionsEvent::Commission(event) => event.terms.clone(),
        _ => None,
    });
    found.expect("a commission was created")
}

#[test]
fn under_a_cap_a_refund_takes_only_what_the_rest_of_the_sale_does_not_earn() {
    let mut world = capped(CapScope::Partner, Period::Month, 100);
    let frozen = terms(&world.sale(&sale("txn", 1000)));
    assert_eq!((frozen.uncapped, world.numbers("txn")), (Minor(200), (0, 100, "pending")));
    world.reversal(&refund("txn", "a", 500));
    assert_eq!(world.numbers("txn").1, 100);
    world.reversal(&refund("txn", "b", 100));
    assert_eq!(world.numbers("txn").1, 80);
}

#[test]
fn what_is_taken_back_is_there_to_be_earned_again_under_a_cap() {
    let mut world = capped(CapScope::Partner, Period::Ever, 300);
    world.sale(&sale("one", 1000));
    assert_eq!(terms(&world.sale(&sale("two", 1000))).uncapped, Minor(200));
    assert_eq!(world.numbers("two").1, 100);
    world.sale(&sale("none", 1000));
    assert_eq!(world.sales["none"].reason, "cap_exhausted");
    let other = SaleSpec { partner: Some("partner_mary".to_owned()), ..sale("mary", 1000) };
    world.sale(&other);
    assert_eq!(world.numbers("mary").1, 200, "another partner has a cap of its own");
    world.reversal(&refund("one", "a", 1000));
    world.sale(&sale("again", 1000));
    assert_eq!(world.numbers("again").1, 200);
    // The refund fails after all: what was decided meanwhile stays, above the cap.
    world.reversal(&super::harness::ReversalSpec { state: ReversalState::Dead, ..refund("one", "a", 1000) });
    assert_eq!((world.numbers("one").1, world.numbers("again").1), (200, 200));
    world.command(CommandKind::Reject, "one");
    world.command(CommandKind::Reject, "two");
    world.sale(&sale("last", 1000));
    assert_eq!(world.numbers("last").1, 100, "300 less the 200 of `again`");
}

#[test]
fn caps_count_by_the_time_of_the_conversion_by_whom_they_limit_and_in_their_currency() {
    let day = |days: i64| Some(Micros(days * DAY_MICROS));
    let mut world = capped(CapScope::Customer, Period::Day, 200);
    let bought = |id: &str, customer, at| SaleSpec { customer, at, ..sale(id, 1000) };
    world.sale(&bought("a", Some(1), day(1)));
    world.sale(&bought("b", Some(1), day(1)));
    world.sale(&bought("c", Some(1), day(2)));
    world.sale(&bought("d", Some(2), day(1)));
    world.sale(&bought("e", None, day(1)));
    world.sale(&bought("f", None, day(1)));
    let earned = ["a", "b", "c", "d", "e", "f"].map(|id| world.commission(id).map(|line| line.net_minor.0));
    assert_eq!(earned, [Some(200), None, Some(200), Some(200), Some(200), Some(200)]);
    world.sale(&SaleSpec { currency: "EUR", ..bought("g", Some(1), day(1)) });
    assert_eq!(world.numbers("g").1, 200, "the cap is of dollars");
}

#[test]
fn a_marginal_tier_pays_each_band_for_its_part_and_refunds_come_from_the_top() {
    let mut world = only(|rule| {
        rule.reward = Reward::default();
        rule.tiers = Some(tiers(Metric::Revenue, true, &[(0, 100_000), (1_000, 200_000)]));
    });
    world.sale(&sale("one", 800));
    assert_eq!(world.numbers("one").1, 80);
    let frozen = terms(&world.sale(&sale("two", 600)));
    let parts: Vec<(i64, i64, bool)> =
        frozen.slices.iter().map(|slice| (slice.base.0, slice.rate.0, slice.higher_band)).collect();
    assert_eq!(parts, [(200, 100_000, false), (400, 200_000, true)]);
    assert_eq!(world.numbers("two").1, 100);
    world.reversal(&refund("two", "a", 100));
    assert_eq!(world.numbers("two").1, 80, "100 of the upper band");
    world.reversal(&refund("two", "b", 400));
    assert_eq!(world.numbers("two").1, 10, "the upper band is gone, and 100 of the lower");
    // What was priced by the first sale stays priced when it goes back.
    world.reversal(&refund("one", "c", 800));
    assert_eq!(world.numbers("two").1, 10);
}

#[test]
fn a_tier_that_is_reached_pays_for_the_whole_sale_and_a_new_month_begins_at_the_bottom() {
    let mut world = only(|rule| {
        rule.reward = Reward::default();
        rule.tiers = Some(tiers(Metric::Count, false, &[(0, 100_000), (2, 200_000)]));
    });
    let at = |days: i64| Some(Micros(days * DAY_MICROS));
    for (id, days, earned) in [("a", 1, 100), ("b", 2, 200), ("c", 3, 200), ("d", 40, 100), ("late", 4, 200)]
    {
        world.sale(&SaleSpec { at: at(days), ..sale(id, 1000) });
        assert_eq!(world.numbers(id).1, earned, "{id}");
    }
    // By the month before.
    let mut world = only(|rule| {
        rule.reward = Reward::default();
        rule.tiers =
            Some(Tiers { prior: true, ..tiers(Metric::Volume, false, &[(0, 100_000), (1_500, 200_000)]) });
    });
    for (id, days, earned) in [("a", 1, 100), ("b", 2, 100), ("c", 40, 200), ("d", 70, 100)] {
        world.sale(&SaleSpec { at: at(days), ..sale(id, 1000) });
        assert_eq!(world.numbers(id).1, earned, "{id}");
    }
}

#[test]
fn each_line_is_paid_by_its_own_rule_and_the_event_says_why_others_did_not_win() {
    let mut world = only(|rule| rule.reward = Reward::Percent(RatePpm(100_000)));
    world.add_rule(percent("pro", 300_000, equal("product", "pro")));
    world.add_rule(percent("germany", 900_000, equal("country", "DE")));
    world.add_rule(Rule {
        reward: Reward::Flat { amount: Minor(0), currency: currency("USD"), on_refund: FlatRefund::FullOnly },
        ..percent("no_gifts", 1, equal("product", "gift"))
    });
    let basket = SaleSpec {
        net: Some(3000),
        lines: vec![("a", 1000), ("b", 1000), ("c", 1000)],
        products: vec!["pro", "mug", "gift"],
        country: "FR",
        ..sale("txn", 3600)
    };
    let frozen = terms(&world.sale(&basket));
    assert_eq!(frozen.rule.as_str(), "pro");
    let rates: Vec<i64> = frozen.slices.iter().map(|slice| slice.rate.0).collect();
    assert_eq!(rates, [300_000, 100_000, 0]);
    let rules: Vec<Option<&str>> =
        frozen.slices.iter().map(|slice| slice.rule.as_ref().map(|rule| rule.rule.as_str())).collect();
    assert_eq!(rules, [None, Some("rule_default"), Some("no_gifts")]);
    assert_eq!(world.numbers("txn").1, 400);
    // Rules for other countries are not even looked at; where one is, it says why it lost.
    assert_eq!(frozen.considered, []);
    let german = terms(&world.sale(&SaleSpec { country: "DE", ..sale("de", 1000) }));
    let passed: Vec<(&str, &Why)> =
        german.considered.iter().map(|passed| (passed.rule.rule.as_str(), &passed.why)).collect();
    assert_eq!((german.rule.as_str(), passed), ("germany", vec![("rule_default", &Why::Specificity)]));
    // A group of partners by priority, whatever is narrower.
    world.partner_in("partner_john", "gold");
    let mut gold = percent("gold", 500_000, equal("partner_group", "gold"));
    gold.clauses.priority = 1;
    world.add_rule(gold);
    assert_eq!(terms(&world.sale(&SaleSpec { id: "gold".to_owned(), ..basket })).rule.as_str(), "gold");
    assert_eq!(world.numbers("gold").1, 1500);
}

#[test]
fn a_window_counts_from_the_first_purchase_on_the_log_and_is_half_open() {
    let at = |days: i64| Some(Micros(days * DAY_MICROS));
    let bought = |id: &str, days| SaleSpec { customer: Some(1), at: at(days), ..sale(id, 1000) };
    let mut world = only(|rule| rule.clauses.window = Some(Window::Months(2)));
    for (id, days) in [("first", 0), ("in", 58), ("out", 59)] {
        world.sale(&bought(id, days));
    }
    // January and February of 1970 have 59 days.
    assert!(world.commission("in").is_some() && world.commission("out").is_none());
    assert_eq!(world.sales["out"].reason, "no_rule_applies");
    let mut world = only(|rule| rule.clauses.window = Some(Window::Payments(2)));
    for (id, days) in [("one", 9), ("two", 1), ("three", 5)] {
        world.sale(&bought(id, days));
    }
    let earns = ["one", "two", "three"].map(|id| world.commission(id).is_some());
    assert_eq!(earns, [true, true, false], "in the order of the log");
    // Who is nobody is a first purchase each time.
    world.sale(&sale("nobody", 1000));
    world.sale(&sale("nobody_again", 1000));
    assert!(world.commission("nobody").is_some() && world.commission("nobody_again").is_some());
}

#[test]
fn a_sale_that_is_explained_later_keeps_its_place_among_its_customers_purchases() {
    let mut world = only(|rule| rule.clauses.window = Some(Window::Payments(1)));
    world.sale(&SaleSpec { partner: None, customer: Some(1), ..sale("first", 1000) });
    world.sale(&SaleSpec { customer: Some(1), ..sale("second", 1000) });
    assert_eq!(world.sales["second"].reason, "no_rule_applies");
    assert_eq!(kinds(&world.late("first", "partner_john")), [("created", 200)]);
}

#[test]
fn a_rule_that_comes_back_is_as_old_as_it_was_and_an_edit_changes_nothing_old() {
    let mut world = World::new(Setting::default());
    world.add_rule(percent("a", 100_000, equal("country", "DE")));
    world.add_rule(percent("b", 200_000, equal("country", "DE")));
    let german = |id: &str| SaleSpec { country: "DE", ..sale(id, 1000) };
    world.sale(&german("one"));
    world.remove_rule(percent("a", 100_000, equal("country", "DE")));
    world.sale(&german("two"));
    world.add_rule(Rule { version: 2, ..percent("a", 400_000, equal("country", "DE")) });
    world.sale(&german("three"));
    // Moved away from Germany: it is not found there any more.
    world.add_rule(Rule { version: 3, ..percent("a", 400_000, equal("country", "FR")) });
    world.sale(&german("four"));
    world.sale(&SaleSpec { country: "FR", ..sale("five", 1000) });
    let earned = ["one", "two", "three", "four", "five"].map(|id| world.numbers(id).1);
    assert_eq!(earned, [100, 200, 400, 200, 400]);
}

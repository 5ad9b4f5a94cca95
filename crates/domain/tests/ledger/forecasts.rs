//! Forecasts, what accepting them does, and balances of other times: worked examples.
use super::harness::{PROGRAM, World, kinds, refund, sale};
use super::vectors::at;
use tributary_domain::commission::CommissionInput;
use tributary_domain::commission::as_of::Known;
use tributary_domain::commission::forecast::{Forecast, Plan, Shadow, forecast, rules_in_force};
use tributary_domain::config::{FlatRefund, Reward, Rule};
use tributary_domain::facts::CommandKind;
use tributary_domain::money::{Minor, RatePpm};
use tributary_domain::rules::{Clauses, Comparison, Condition, Field, Operator, Value};
use tributary_domain::time::{DAY_MICROS, Micros};

fn only(id: &str, reward: Reward, clauses: Clauses) -> Rule {
    Rule { rule: id.into(), reward, clauses, ..Rule::default() }
}

fn under(world: &World, rules: &[Rule]) -> Forecast {
    let rules = rules.iter().map(|rule| (rule.rule.clone(), rule.clone())).collect();
    let plan = Plan::between(&world.tables, &[(PROGRAM.into(), rules)].into(), None);
    let mut shadow = Shadow::new(&plan);
    for (clock, events) in &world.inputs {
        shadow.frame(&CommissionInput { source: 0, clock: *clock, events });
    }
    forecast(&world.tables, shadow.tables(), Some(&PROGRAM.into()))
}

/// One rule for everything, in place of the program's.
fn rate(ppm: i64) -> [Rule; 1] {
    [only("rule_default", Reward::Percent(RatePpm(ppm)), Clauses::default())]
}

#[test]
fn another_rate_changes_what_is_left_of_each_sale_and_a_refund_meanwhile_declines_it() {
    let mut world = at(200_000);
    for id in ["kept", "refunded", "moving"] {
        world.sale(&sale(id, 1000));
    }
    world.reversal(&refund("refunded", "re_1", 500));
    world.tick();
    let found = under(&world, &rate(100_000));
    let deltas: Vec<i128> = found.changes.iter().map(|change| change.delta()).collect();
    assert_eq!((found.compared, deltas), (3, vec![-100, -100, -50]));
    assert_eq!(found.deltas()[0].delta, -250);
    assert_eq!(world.sheet("partner_john").available, Minor(500), "a forecast writes nothing");

    world.reversal(&refund("moving", "re_2", 100));
    let mut said = Vec::new();
    for change in &found.changes {
        let (answer, events) = world.decided(change.command("what if", "mary"));
        said.push((change.reprice.sale.external_id.as_str(), answer.declined, kinds(&events)));
    }
    said.sort();
    let moved = "moved".to_owned();
    assert_eq!(
        said,
        [
            ("kept", String::new(), vec![("repriced", -100)]),
            ("moving", moved, vec![]),
            ("refunded", String::new(), vec![("repriced", -50)])
        ]
    );
    // What is left of the sale from now on is left under the new rate: 10% of 250.
    assert_eq!(kinds(&world.reversal(&refund("refunded", "re_3", 250))), [("refunded", -25)]);
    assert_eq!(world.numbers("refunded"), (75, 25, "approved"));
    world.assert_rebuild_is_identical();
}

#[test]
fn what_no_rule_would_pay_ends_at_0_and_what_one_would_is_created_with_its_refunds() {
    let mut world = at(200_000);
    let country = |code: &str| {
        let field = Field::parse("country", "").unwrap();
        let test = Comparison { field, operator: Operator::Equal, value: Value::Text(code.to_owned()) };
        Clauses { when: Condition::All(vec![Condition::Test(test)]), ..Clauses::default() }
    };
    let half = Reward::Percent(RatePpm(500_000));
    world.remove_rule(only("rule_default", half, Clauses::default()));
    world.add_rule(Rule { version: 1, ..only("rule_de", half, country("DE")) });
    let from = |code: &'static str, id: &str| {
        let mut spec = sale(id, 1000);
        spec.country = code;
        spec
    };
    world.sale(&from("DE", "german"));
    world.sale(&from("FR", "french"));
    world.reversal(&refund("french", "re_1", 400));
    world.tick();
    assert_eq!(world.sales["french"].reason, "no_rule");

    let found = under(&world, &[only("rule_fr", half, country("FR"))]);
    let (french, german) = (&found.changes[0], &found.changes[1]);
    assert_eq!((french.status, french.delta(), german.delta()), (None, 300, -500));
    assert_eq!((german.will.is_none(), german.why.as_str()), (true, "no_rule"));
    let (answer, events) = world.decided(french.command("what if", "mary"));
    assert_eq!((answer.declined.as_str(), answer.amount), ("", Minor(300)));
    assert_eq!(kinds(&events), [("created", 500), ("refunded", -200)]);
    assert_eq!(world.sales["french"].reason, "");
    assert_eq!(kinds(&world.tick()), [("approved", 0)]);
    let (_, events) = world.decided(german.command("what if", "mary"));
    assert_eq!(kinds(&events), [("repriced", -500)]);
    assert_eq!(world.numbers("german"), (0, 0, "refunded"));
    // Its own rules again: it comes back as it was.
    let back = under(&world, &[only("rule_de", half, country("DE")), only("rule_fr", half, country("FR"))]);
    assert_eq!(back.changes, vec![], "nothing that is in force says otherwise");
    let both = under(&world, &[only("rule_all", half, Clauses::default())]);
    let back: Vec<_> =
        both.changes.iter().map(|change| (change.delta(), change.status.unwrap().name())).collect();
    assert_eq!(back, [(500, "refunded")]);
    let (_, events) = world.decided(both.changes[0].command("what if", "mary"));
    assert_eq!(kinds(&events), [("repriced", 500)]);
    assert_eq!(world.numbers("german"), (0, 500, "approved"));
    world.assert_rebuild_is_identical();
}

#[test]
fn what_was_rejected_stays_and_what_another_currency_would_pay_is_left_as_it_is() {
    let mut world = at(200_000);
    world.sale(&sale("rejected", 1000));
    world.sale(&sale("kept", 1000));
    world.command(CommandKind::Reject, "rejected");
    let euros = Reward::Flat {
        amount: Minor(300),
        currency: super::harness::currency("EUR"),
        on_refund: FlatRefund::FullOnly,
    };
    let found = under(&world, &[only("rule_default", euros, Clauses::default())]);
    let kept = world.commission("kept").unwrap().commission_id;
    assert_eq!(found.changes, vec![]);
    let left: Vec<_> = found.left.iter().map(|left| (&left.commission, left.why)).collect();
    assert_eq!(left, [(&kept, "other_currency")]);
    assert_eq!(rules_in_force(&world.tables, &PROGRAM.into()).len(), 1);
}

#[test]
fn a_refund_that_was_told_late_counts_in_the_books_of_its_time_only_where_it_is_known() {
    let mut world = at(200_000);
    let start = world.clock.0;
    world.sale(&sale("txn", 1000));
    world.tick();
    let closing = Micros(start + DAY_MICROS);
    world.clock = Micros(start + 5 * DAY_MICROS);
    let mut told = world.reversal_events(&refund("txn", "re_1", 400));
    for event in &mut told {
        use tributary_domain::attribution::AttributedEvent;
        use tributary_domain::normalization::FactsEvent;
        if let AttributedEvent::Passed { event: FactsEvent::Fact(fact), .. } = event {
            fact.occurred_at = Micros(start + DAY_MICROS / 2);
        }
    }
    world.frame(told);
    // A person's word counts from when it is said.
    world.command(CommandKind::Reject, "txn");
    let available = |known_at: Micros| {
        let mut known = Known::new(closing);
        for (clock, events) in world.inputs.iter().filter(|(clock, _)| *clock <= known_at) {
            known.frame(&CommissionInput { source: 0, clock: *clock, events });
        }
        let balances = known.finish().unwrap();
        balances.sheet(&PROGRAM.into(), &"partner_john".into(), super::harness::currency("USD")).available
    };
    assert_eq!((available(closing), available(world.clock)), (Minor(200), Minor(120)));
}

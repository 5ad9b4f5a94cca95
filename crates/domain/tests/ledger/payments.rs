//! One payment that is told in several ways: totals beside single refunds, several names, flat rewards.
use super::harness::{ReversalSpec, SaleSpec, Setting, World, kinds, refund, refund_total, sale};
use super::vectors::{at, chargeback, results};
use tributary_domain::commission::ReversalResult;
use tributary_domain::config::{FlatRefund, Reward};
use tributary_domain::facts::ReversalState;
use tributary_domain::money::{Minor, RatePpm};

#[test]
fn totals_and_single_refunds_tell_of_the_same_money() {
    let failed = |id, gross| ReversalSpec { state: ReversalState::Dead, ..refund("ch", id, gross) };
    // What is told, and what is refunded of it.
    let cases = [
        (vec![refund_total("ch", "ch", 300), refund_total("ch", "ch", 500)], 500),
        (vec![refund("ch", "re_1", 300), refund_total("ch", "ch", 300)], 300),
        (vec![refund("ch", "re_1", 300), refund_total("ch", "ch", 500)], 500),
        (vec![refund("ch", "re_1", 300), refund("ch", "re_2", 300), refund_total("ch", "ch", 300)], 600),
        (vec![refund_total("ch", "ch", 300), refund("ch", "re_1", 300), failed("re_1", 300)], 0),
        (vec![refund_total("ch", "ch", 500), failed("re_1", 300), refund("ch", "re_2", 200)], 200),
        (
            vec![
                refund_total("ch", "ch", 300),
                failed("re_1", 300),
                refund_total("ch", "ch", 700),
                refund("ch", "re_2", 400),
            ],
            400,
        ),
        // Another currency's total hides nothing.
        (
            vec![
                ReversalSpec { currency: "EUR", ..refund_total("ch", "ch", 900) },
                refund_total("ch", "ch", 200),
            ],
            200,
        ),
    ];
    for (facts, refunded) in cases {
        for turn in 0..facts.len() {
            for sale_at in 0..=facts.len() {
                let mut world = at(500_000);
                for place in 0..=facts.len() {
                    if place == sale_at {
                        world.sale(&sale("ch", 1000));
                    }
                    if place < facts.len() {
                        world.reversal(&facts[(place + turn) % facts.len()]);
                    }
                }
                assert_eq!(world.numbers("ch").0, refunded / 2, "{facts:#?} from {turn}");
            }
        }
    }
}

#[test]
fn a_reversal_finds_its_sale_by_any_name_whatever_came_first() {
    let paid = SaleSpec { aliases: vec!["pi".to_owned()], ..sale("ch", 1000) };
    let by_intent = refund("pi", "re", 400);
    let by_both = ReversalSpec { aliases: vec!["pi".to_owned()], ..refund("in", "re_2", 100) };
    let steps: [fn(&mut World, &SaleSpec, &ReversalSpec, &ReversalSpec); 4] = [
        |world, paid, _, _| drop(world.sale(paid)),
        |world, _, by_intent, _| drop(world.reversal(by_intent)),
        |world, _, _, by_both| drop(world.reversal(by_both)),
        |world, _, _, _| {
            drop(world.link("in", &["ch"]));
        },
    ];
    for order in permutations(&[0, 1, 2, 3]) {
        let mut world = at(500_000);
        for step in &order {
            steps[*step](&mut world, &paid, &by_intent, &by_both);
        }
        assert_eq!(world.numbers("ch"), (250, 250, "pending"), "{order:?}");
        // The dispute names only the invoice; and nothing makes a second sale of the payment.
        world.reversal(&chargeback("in", "dp", 1000));
        assert_eq!(world.numbers("ch"), (500, 0, "charged_back"), "{order:?}");
        assert_eq!(kinds(&world.sale(&SaleSpec { aliases: vec!["in".to_owned()], ..sale("cs", 1000) })), []);
        assert_eq!(world.sales.len(), 1, "{order:?}");
        world.assert_rebuild_is_identical();
    }
}

fn permutations(of: &[usize]) -> Vec<Vec<usize>> {
    let Some((first, rest)) = of.split_first() else { return vec![vec![]] };
    let mut all = Vec::new();
    for shorter in permutations(rest) {
        for place in 0..=shorter.len() {
            let mut longer = shorter.clone();
            longer.insert(place, *first);
            all.push(longer);
        }
    }
    all
}

#[test]
fn what_waited_under_another_name_is_told_under_the_sales_own() {
    let mut world = at(300_000);
    assert_eq!(results(&world.reversal(&refund("pi", "re", 1000))), [ReversalResult::Parked]);
    world.sale(&sale("ch", 1000));
    let joined = world.link("pi", &["ch"]);
    assert_eq!(results(&joined), [ReversalResult::Matched]);
    assert_eq!(kinds(&joined), [("refunded", -300)]);
    assert_eq!(kinds(&world.link("ch", &["pi"])), [], "known already");
}

#[test]
fn two_sales_that_turn_out_to_be_one_payment_are_owed_once() {
    let mut world = at(300_000);
    world.sale(&sale("in", 1000));
    world.clock.0 += 1;
    world.tick();
    world.sale(&sale("ch", 1000));
    world.reversal(&refund("ch", "re", 500));
    assert_eq!(world.sheet("partner_john").net(), 450);
    assert_eq!(kinds(&world.link("ch", &["in"])), [("rejected", -150), ("refunded", -150)]);
    assert_eq!(world.numbers("in"), (150, 150, "approved"));
    assert_eq!(world.numbers("ch"), (300, 0, "rejected"));
    assert_eq!(kinds(&world.reversal(&refund("ch", "re_2", 500))), [("refunded", -150)]);
    assert_eq!(world.sheet("partner_john"), Default::default());
    world.assert_rebuild_is_identical();
}

#[test]
fn the_same_payment_told_again_may_still_say_who_earns_it() {
    let mut world = at(300_000);
    world.sale(&SaleSpec { partner: None, ..sale("in", 1000) });
    let told = SaleSpec { aliases: vec!["in".to_owned()], ..sale("cs", 1000) };
    assert_eq!(kinds(&world.sale(&told)), [("created", 300)]);
    assert_eq!(world.numbers("in"), (0, 300, "pending"));
    assert_eq!(kinds(&world.sale(&told)), []);
    assert_eq!(world.sales.len(), 1);
}

fn flat(currency: &'static str, on_refund: FlatRefund) -> World {
    World::new(Setting { flat: Some((500, currency, on_refund)), ..Setting::default() })
}

#[test]
fn a_flat_reward_is_the_same_for_each_sale_and_goes_back_as_its_rule_says() {
    let refunds = |on_refund| {
        let mut world = flat("USD", on_refund);
        world.sale(&sale("txn", 3000));
        let left = [("a", 1000), ("b", 1000), ("c", 1000)].map(|(id, gross)| {
            world.reversal(&refund("txn", id, gross));
            world.numbers("txn").1
        });
        world.reversal(&ReversalSpec { state: ReversalState::Dead, ..refund("txn", "b", 1000) });
        (left, world.numbers("txn").1)
    };
    assert_eq!(refunds(FlatRefund::FullOnly), ([500, 500, 0], 500));
    assert_eq!(refunds(FlatRefund::Proportional), ([333, 167, 0], 167));
    assert_eq!(refunds(FlatRefund::Any), ([0, 0, 0], 0));
    let mut nothing = flat("USD", FlatRefund::FullOnly);
    nothing.sale(&sale("txn", 0));
    assert_eq!(nothing.sales["txn"].reason, "commission_zero");
}

#[test]
fn a_flat_reward_is_owed_in_its_own_currency_and_frozen() {
    let mut world = flat("EUR", FlatRefund::Proportional);
    world.sale(&sale("txn", 1000));
    world.rule(2, Reward::Percent(RatePpm(100_000)));
    world.sale(&sale("new", 1000));
    world.tick();
    let line = world.commission("txn").unwrap();
    assert_eq!((line.currency.code(), line.net_minor), ("EUR", Minor(500)));
    // A refund is in the sale's currency all the same.
    let euros = ReversalSpec { currency: "EUR", ..refund("txn", "a", 500) };
    assert_eq!(results(&world.reversal(&euros)), [ReversalResult::CurrencyMismatch]);
    assert_eq!(kinds(&world.reversal(&refund("txn", "b", 500))), [("refunded", -250)]);
    let euros = world.ledger.balances.sheet(&line.program_id, &line.partner_id, line.currency);
    assert_eq!((euros.available, world.sheet("partner_john").available), (Minor(250), Minor(100)));
}

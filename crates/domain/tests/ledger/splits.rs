//! Sales that several partners brought: the parts are the whole, whatever is refunded, capped or rejected.
use super::harness::{
    ReversalSpec, SaleSpec, Setting, World, currency, decision, kinds, refund, sale, shares,
};
use super::vectors::at;
use proptest::collection::vec;
use proptest::prelude::*;
use tributary_domain::attribution::{AttributedEvent, Decision};
use tributary_domain::config::{FlatRefund, Reward, Rule};
use tributary_domain::facts::{CommandKind, ReversalState};
use tributary_domain::money::{Minor, RatePpm};
use tributary_domain::rules::{Cap, CapScope, Clauses, Limit, Period};

const PARTNERS: [&str; 3] = ["partner_john", "partner_mary", "partner_zoe"];

fn shared(id: &str, gross: i64, weights: &[u32]) -> SaleSpec {
    SaleSpec { shares: PARTNERS.into_iter().zip(weights.iter().copied()).collect(), ..sale(id, gross) }
}

/// N of each part; -1: there is none.
fn parts(world: &World, id: &str) -> Vec<i64> {
    PARTNERS.iter().map(|partner| world.part(id, partner).map_or(-1, |line| line.net_minor.0)).collect()
}

fn status(world: &World, id: &str, partner: &str) -> &'static str {
    world.part(id, partner).unwrap().status.name()
}

#[test]
fn a_split_is_divided_again_on_the_new_whole() {
    let mut world = at(1_000_000);
    assert_eq!(kinds(&world.sale(&shared("txn", 1000, &[1, 1, 1]))).len(), 3);
    assert_eq!(parts(&world, "txn"), [334, 333, 333]);
    assert_eq!(world.sales["txn"].partner, Some("partner_john".into()));
    world.tick();
    world.reversal(&refund("txn", "a", 500));
    assert_eq!(parts(&world, "txn"), [167, 167, 166]);
    world.reversal(&refund("txn", "b", 499));
    assert_eq!(parts(&world, "txn"), [1, 0, 0]);
    assert_eq!(PARTNERS.map(|partner| status(&world, "txn", partner)), ["approved", "refunded", "refunded"]);
    world.reversal(&ReversalSpec { state: ReversalState::Dead, ..refund("txn", "b", 499) });
    assert_eq!(parts(&world, "txn"), [167, 167, 166]);
    assert_eq!(PARTNERS.map(|partner| world.sheet(partner).available.0), [167, 167, 166]);
    world.assert_rebuild_is_identical();
}

#[test]
fn each_part_has_its_own_status_and_a_rejected_one_leaves_the_others_their_shares() {
    let mut world = at(1_000_000);
    world.sale(&shared("txn", 1000, &[50, 30, 20]));
    assert_eq!(parts(&world, "txn"), [500, 300, 200]);
    let mary = world.part("txn", "partner_mary").unwrap().commission_id;
    world.command_by_id(CommandKind::Reject, &mary);
    world.reversal(&ReversalSpec {
        state: ReversalState::Pending,
        ..super::vectors::chargeback("txn", "dp", 9)
    });
    assert_eq!(PARTNERS.map(|partner| status(&world, "txn", partner)), ["review", "rejected", "review"]);
    let zoe = world.part("txn", "partner_zoe").unwrap().commission_id;
    assert_eq!(world.command_by_id(CommandKind::Approve, &zoe).0.declined, "");
    world.reversal(&refund("txn", "a", 500));
    assert_eq!(parts(&world, "txn"), [250, 0, 100]);
    assert_eq!(PARTNERS.map(|partner| status(&world, "txn", partner)), ["review", "rejected", "approved"]);
    let rejected = world.part("txn", "partner_mary").unwrap();
    assert_eq!(rejected.reversed_minor, rejected.gross_minor);
}

#[test]
fn a_sale_that_is_explained_late_may_be_shared_too() {
    let mut world = at(1_000_000);
    world.sale(&SaleSpec { partner: None, ..sale("txn", 1000) });
    world.reversal(&refund("txn", "a", 100));
    let shares = shares(&[("partner_john", 1), ("partner_mary", 2)]);
    let decision = Decision { shares, ..decision("txn", Some("partner_john")) };
    world.frame(vec![AttributedEvent::Late { decision, cause: "evt_link".into() }]);
    assert_eq!(parts(&world, "txn"), [300, 600, -1]);
    assert_eq!(world.part("txn", "partner_mary").unwrap().gross_minor, Minor(667));
}

#[test]
fn a_flat_reward_and_one_under_a_cap_are_divided_like_any_other() {
    let usd = |amount| Limit { amount: Minor(amount), currency: currency("USD") };
    let flat = Some((100, "USD", FlatRefund::Proportional));
    let mut world = World::new(Setting { flat, ..Setting::default() });
    world.sale(&shared("txn", 3000, &[1, 1, 1]));
    assert_eq!(parts(&world, "txn"), [34, 33, 33]);
    world.reversal(&refund("txn", "a", 1500));
    assert_eq!(parts(&world, "txn"), [17, 17, 16]);

    let capped = |scope| {
        let mut world = at(1);
        let caps = vec![Cap { scope, period: Period::Ever, limit: usd(100) }];
        world.add_rule(Rule {
            rule: "rule_default".into(),
            version: 2,
            reward: Reward::Percent(RatePpm(200_000)),
            clauses: Clauses { caps, ..Clauses::default() },
            ..Rule::default()
        });
        world.sale(&shared("txn", 1000, &[3, 1]));
        world
    };
    // The program's cap is on the whole.
    let mut world = capped(CapScope::Program);
    assert_eq!(parts(&world, "txn"), [75, 25, -1]);
    world.reversal(&refund("txn", "a", 500));
    assert_eq!(parts(&world, "txn"), [75, 25, -1]);
    world.reversal(&refund("txn", "b", 100));
    assert_eq!(parts(&world, "txn"), [60, 20, -1]);
    // A partner's cap is on that partner's part: what is cut is nobody's.
    let mut world = capped(CapScope::Partner);
    assert_eq!(parts(&world, "txn"), [100, 50, -1]);
    world.sale(&shared("more", 1000, &[3, 1]));
    assert_eq!(parts(&world, "more"), [-1, 50, -1]);
    world.reversal(&refund("txn", "a", 500));
    assert_eq!(parts(&world, "txn"), [75, 25, -1]);
    world.sale(&shared("again", 1000, &[3, 1]));
    assert_eq!(parts(&world, "again"), [25, 25, -1]);
}

#[test]
fn partners_named_twice_have_one_part_and_inactive_ones_none() {
    let mut world = at(1_000_000);
    let shares = vec![("partner_john", 1), ("partner_mary", 2), ("partner_john", 1), ("partner_zoe", 0)];
    world.sale(&SaleSpec { shares, ..sale("txn", 1000) });
    assert_eq!(parts(&world, "txn"), [500, 500, -1]);
    world.partner("partner_john", false);
    world.sale(&shared("half", 1000, &[1, 1]));
    assert_eq!(parts(&world, "half"), [-1, 500, -1]);
    world.partner("partner_mary", false);
    world.sale(&shared("none", 1000, &[1, 1]));
    assert_eq!(world.sales["none"].reason, "partner_inactive");
    // One unit for two: the other has no commission.
    world.partner("partner_john", true);
    world.partner("partner_mary", true);
    world.sale(&shared("one", 1, &[1, 1]));
    assert_eq!(parts(&world, "one"), [1, -1, -1]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn parts_sum_to_what_one_partner_would_have_after_any_refunds(
        gross in 1..=3_000_i64,
        rate in prop_oneof![Just(100_000_i64), Just(333_333), Just(1_000_000)],
        weights in vec(1..=20_u32, 2..=3),
        refunds in vec((1..=1_500_i64, any::<bool>()), 0..5),
    ) {
        let (mut alone, mut together) = (at(rate), at(rate));
        alone.sale(&sale("txn", gross));
        together.sale(&shared("txn", gross, &weights));
        for (number, (amount, fails)) in refunds.into_iter().enumerate() {
            let told = refund("txn", &format!("adj_{number}"), amount);
            let failed = ReversalSpec { state: ReversalState::Dead, ..told.clone() };
            for told in [Some(told), fails.then_some(failed)].into_iter().flatten() {
                alone.reversal(&told);
                together.reversal(&told);
                let whole = alone.commission("txn").map_or(0, |line| line.net_minor.0);
                prop_assert_eq!(parts(&together, "txn").iter().map(|part| part.max(&0)).sum::<i64>(), whole);
            }
            together.tick();
        }
        together.assert_rebuild_is_identical();
    }
}

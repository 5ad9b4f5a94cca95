//! What people hold, release and bring back, and what happens to a partner who is suspended.
use super::harness::{ReversalSpec, SaleSpec, Setting, World, kinds, refund, sale};
use super::vectors::{at, chargeback};
use tributary_domain::commission::HOLDS_PER_STEP;
use tributary_domain::facts::{CommandKind, ReversalState};
use tributary_domain::money::Minor;
use tributary_domain::time::{DAY_MICROS, Micros};

use CommandKind::{Approve, Hold, Reinstate, Reject, Release};

const JOHN: &str = "partner_john";

#[test]
fn a_hold_by_hand_keeps_an_approved_commission_back_until_it_is_released_by_name() {
    let mut world = at(300_000);
    world.sale(&sale("txn", 1000));
    world.tick();
    let (answer, events) = world.hold(Hold, "txn", "manual");
    assert_eq!((answer.declined.as_str(), kinds(&events)), ("", vec![("review", 0)]));
    world.hold(Hold, "txn", "fraud:velocity");
    assert_eq!(world.holds_of("txn"), ["fraud:velocity", "manual"]);
    assert_eq!((world.sheet(JOHN).review, world.sheet(JOHN).available), (Minor(300), Minor(0)));
    assert_eq!(world.hold(Hold, "txn", "manual").0.declined, "already_held");
    for name in ["", "time", "manual:", "dispute:dp", "partner_suspended", "fraud:"] {
        assert_eq!(world.hold(Hold, "txn", name).0.declined, "bad_hold", "{name}");
    }
    assert_eq!(world.hold(Release, "txn", "manual:other").0.declined, "unknown_hold");
    assert_eq!(world.hold(Release, "txn", "time").0.declined, "bad_hold");
    assert_eq!(kinds(&world.hold(Release, "txn", "manual").1), [("hold_released", 0)]);
    assert_eq!(world.numbers("txn").2, "review");
    assert_eq!(kinds(&world.hold(Release, "txn", "fraud:velocity").1), [("hold_released", 0)]);
    assert_eq!(kinds(&world.tick()), [("approved", 0)]);
    // Released once, it can be set again.
    world.hold(Hold, "txn", "manual");
    assert_eq!(world.numbers("txn").2, "review");
    world.assert_rebuild_is_identical();
}

#[test]
fn a_hold_before_the_payout_undoes_what_the_commission_repaid() {
    let mut world = at(1_000_000);
    world.sale(&sale("paid", 600));
    world.tick();
    world.pay("paid");
    world.reversal(&refund("paid", "adj", 600));
    world.sale(&sale("next", 1000));
    world.tick();
    assert_eq!((world.sheet(JOHN).available, world.sheet(JOHN).debt), (Minor(400), Minor(0)));
    world.hold(Hold, "next", "manual:bank");
    let sheet = world.sheet(JOHN);
    assert_eq!((sheet.available, sheet.debt, sheet.review), (Minor(0), Minor(600), Minor(1000)));
    world.hold(Release, "next", "manual:bank");
    world.tick();
    assert_eq!((world.sheet(JOHN).available, world.sheet(JOHN).debt), (Minor(400), Minor(0)));
}

#[test]
fn checks_for_fraud_hold_from_the_start_and_by_hand_and_outlive_a_refund_that_failed() {
    let mut world = at(300_000);
    world.sale(&SaleSpec { fraud: vec!["velocity", "own_code"], ..sale("txn", 1000) });
    assert_eq!(world.holds_of("txn"), ["fraud:own_code", "fraud:velocity", "time"]);
    world.hold(Release, "txn", "fraud:velocity");
    for kind in [Hold, Release, Hold] {
        assert_eq!(world.hold(kind, "txn", "manual").0.declined, "");
    }
    let back = |world: &mut World| {
        world.reversal(&refund("txn", "adj", 1000));
        assert_eq!(world.numbers("txn").2, "refunded");
        world.reversal(&ReversalSpec { state: ReversalState::Dead, ..refund("txn", "adj", 1000) });
    };
    back(&mut world);
    assert_eq!(world.holds_of("txn"), ["fraud:own_code", "manual", "time"]);
    assert_eq!(world.command(Approve, "txn").0.declined, "");
    assert_eq!(world.numbers("txn").2, "approved");
    world.assert_rebuild_is_identical();
}

#[test]
fn what_was_rejected_comes_back_to_where_its_holds_put_it_as_far_as_refunds_left_it() {
    // Never approved; approved; with a dispute that is open.
    for (ticks, dispute, status) in [
        (false, false, "pending"),
        (true, false, "approved"),
        (false, true, "review"),
        (true, true, "review"),
    ] {
        let mut world = at(300_000);
        world.sale(&sale("txn", 1000));
        if ticks {
            world.tick();
        }
        world.command(Reject, "txn");
        world.reversal(&refund("txn", "adj", 500));
        if dispute {
            let open = ReversalSpec { state: ReversalState::Pending, ..chargeback("txn", "dp", 100) };
            assert_eq!(kinds(&world.reversal(&open)), []);
        }
        let (answer, events) = world.command(Reinstate, "txn");
        assert_eq!((answer.declined.as_str(), kinds(&events)), ("", vec![("reinstated", 150)]));
        assert_eq!(world.numbers("txn"), (150, 150, status));
        let (again, _) = world.command(Reinstate, "txn");
        assert_eq!(again.declined, "wrong_status");
        world.assert_rebuild_is_identical();
    }
}

#[test]
fn a_reinstatement_pays_a_debt_first_and_never_what_refunds_took() {
    let mut world = at(1_000_000);
    world.sale(&sale("paid", 600));
    world.sale(&sale("txn", 1000));
    world.tick();
    world.pay("paid");
    world.command(Reject, "txn");
    world.reversal(&refund("paid", "adj", 600));
    assert_eq!(world.sheet(JOHN).debt, Minor(600));
    world.command(Reinstate, "txn");
    assert_eq!((world.sheet(JOHN).debt, world.sheet(JOHN).available), (Minor(0), Minor(400)));

    // Also where it has to wait: what it lacks then is not taken from what others wait for.
    let mut world = World::new(Setting { hold_days: 1, rate: 1_000_000, ..Setting::default() });
    world.sale(&sale("paid", 600));
    world.clock = Micros(world.clock.0 + DAY_MICROS);
    world.tick();
    world.pay("paid");
    world.sale(&sale("txn", 1000));
    world.command(Reject, "txn");
    world.reversal(&refund("paid", "adj", 600));
    world.command(Reinstate, "txn");
    assert_eq!((world.sheet(JOHN).debt, world.sheet(JOHN).pending), (Minor(0), Minor(400)));
    world.clock = Micros(world.clock.0 + DAY_MICROS);
    world.tick();
    assert_eq!((world.numbers("txn"), world.sheet(JOHN).available), ((0, 1000, "approved"), Minor(400)));

    for rejected in [true, false] {
        let mut world = at(300_000);
        world.sale(&sale("txn", 1000));
        if rejected {
            world.command(Reject, "txn");
        }
        world.reversal(&chargeback("txn", "cb", 1000));
        let (answer, events) = world.command(Reinstate, "txn");
        assert_eq!((answer.declined.as_str(), kinds(&events)), ("nothing_left", vec![]));
    }
    // Two names of one payment: only one of them is owed.
    let mut world = at(300_000);
    world.sale(&sale("in", 1000));
    world.sale(&sale("cs", 1000));
    world.link("in", &["cs"]);
    let rejected = ["in", "cs"].into_iter().find(|id| world.numbers(id).2 == "rejected").unwrap();
    assert_eq!(world.command(Reinstate, rejected).0.declined, "same_payment");
}

#[test]
fn a_suspended_partner_is_paid_nothing_until_active_again() {
    let mut world = at(300_000);
    for id in ["paid", "approved", "pending", "refunded"] {
        if id == "pending" {
            world.clock = Micros(world.clock.0 + DAY_MICROS);
        }
        world.sale(&sale(id, 1000));
        if id != "pending" && id != "refunded" {
            world.tick();
        }
    }
    world.pay("paid");
    world.reversal(&refund("refunded", "adj", 1000));
    world.sale(&SaleSpec { partner: Some("partner_mary".to_owned()), ..sale("mary", 1000) });
    world.partner(JOHN, false);
    assert_eq!(world.holds_of("approved"), ["partner_suspended"]);
    assert_eq!(world.holds_of("pending"), ["partner_suspended", "time"]);
    let status =
        |world: &World| ["paid", "approved", "pending", "refunded", "mary"].map(|id| world.numbers(id).2);
    assert_eq!(status(&world), ["paid", "review", "review", "refunded", "pending"]);
    // What comes back while he is suspended waits too, and so does what is given to him.
    world.reversal(&ReversalSpec { state: ReversalState::Dead, ..refund("refunded", "adj", 1000) });
    assert_eq!(world.holds_of("refunded"), ["partner_suspended", "time"]);
    let (bonus, _) = world.adjust(CommandKind::Bonus, JOHN, 5);
    assert_eq!(world.numbers(&bonus).2, "review");
    // A person decides otherwise about one; a second suspension in a row says nothing new.
    world.command(Approve, "pending");
    world.partner(JOHN, false);
    assert_eq!(status(&world), ["paid", "review", "approved", "review", "pending"]);
    world.partner(JOHN, true);
    world.tick();
    assert_eq!(status(&world), ["paid", "approved", "approved", "approved", "approved"]);
    world.partner(JOHN, false);
    assert_eq!(world.holds_of("pending"), ["partner_suspended"], "suspended again");
    world.assert_rebuild_is_identical();
}

#[test]
fn a_suspension_and_its_end_take_bounded_steps() {
    let mut world = World::new(Setting::default());
    let many = HOLDS_PER_STEP * 2 + 1;
    for number in 0..many {
        world.sale(&sale(&format!("txn_{number:05}"), 100));
    }
    for active in [false, true] {
        let frames = world.log.len();
        world.partner(JOHN, active);
        assert_eq!(world.log.len() - frames, 3);
        let held = world.holds.values().filter(|holds| holds.iter().any(|hold| hold != "time")).count();
        assert_eq!(held, if active { 0 } else { many });
    }
    world.assert_rebuild_is_identical();
}

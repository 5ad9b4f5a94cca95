//! What pays which debt, and debts that nobody pays.
use crate::harness::{ReversalSpec, refund, sale};
use crate::support::{JOHN, draft, lines, world};
use tributary_domain::facts::{CommandKind, ReversalState};
use tributary_domain::money::Minor;
use tributary_domain::payouts::PayoutAct;

fn named(offsets: &[(&str, &str, i64)]) -> Vec<(String, String, i64)> {
    offsets.iter().map(|(pays, owes, amount)| ((*pays).into(), (*owes).into(), *amount)).collect()
}

#[test]
fn a_paid_sale_that_is_refunded_is_repaid_by_the_next_and_the_partner_sees_by_which() {
    let mut world = world();
    world.earned("paid", 1470);
    world.paid();
    world.reversal(&refund("paid", "adj", 1470));
    assert_eq!(world.money(), (0, 0, 1470, 1470));
    let events = world.earned("next", 2000);
    assert_eq!(world.offsets(&events), named(&[("next", "paid", 1470)]));
    assert_eq!(world.money(), (530, 0, 1470, 0));
    let (_, events) = world.payout(draft());
    assert_eq!(lines(&events), [[530]]);
}

#[test]
fn the_oldest_debt_is_paid_first_and_a_commission_that_gave_all_ends_as_paid_too() {
    let mut world = world();
    for (id, amount) in [("a", 100), ("b", 200)] {
        world.earned(id, amount);
        world.paid();
        world.clock.0 += 1;
    }
    for id in ["b", "a"] {
        world.clock.0 += 1;
        world.reversal(&refund(id, &format!("adj_{id}"), 200));
    }
    assert_eq!(world.money(), (0, 0, 300, 300));
    let events = world.earned("c", 250);
    assert_eq!(world.offsets(&events), named(&[("c", "b", 200), ("c", "a", 50)]));
    assert_eq!(world.payout(draft()).0.declined, "debt");
    let events = world.earned("d", 80);
    assert_eq!(world.offsets(&events), named(&[("d", "a", 50)]));
    let (answer, events) = world.payout(draft());
    let mut amounts = lines(&events).remove(0);
    amounts.sort_unstable();
    assert_eq!(amounts, [0, 30]);
    world.ends(PayoutAct::Settle, &answer.payout.unwrap().0);
    assert_eq!(world.statuses(["c", "d"]), ["paid", "paid"]);
    world.assert_rebuild_is_identical();
}

#[test]
fn a_commission_that_is_taken_back_gives_its_debts_back_to_whom_it_paid_them_for() {
    let mut world = world();
    world.earned("paid", 600);
    world.paid();
    world.reversal(&refund("paid", "adj", 600));
    world.earned("next", 1000);
    assert_eq!(world.money(), (400, 0, 600, 0));
    let (_, events) = world.hold(CommandKind::Hold, "next", "manual:bank");
    assert_eq!(world.offsets(&events), named(&[("next", "paid", -600)]));
    assert_eq!(world.money(), (0, 0, 600, 600));
    world.hold(CommandKind::Release, "next", "manual:bank");
    let events = world.tick();
    assert_eq!(world.offsets(&events), named(&[("next", "paid", 600)]));
    // What is left of it after a refund is less than it gave.
    let events = world.reversal(&refund("next", "adj_2", 700));
    assert_eq!(world.offsets(&events), named(&[("next", "paid", -300)]));
    assert_eq!((world.numbers("next"), world.money()), ((700, 300, "approved"), (0, 0, 600, 300)));
    world.reversal(&ReversalSpec { state: ReversalState::Dead, ..refund("paid", "adj", 600) });
    assert_eq!(world.money(), (300, 0, 600, 0));
    world.assert_rebuild_is_identical();
}

#[test]
fn a_debit_is_paid_by_what_is_available_and_then_by_what_comes() {
    let mut world = world();
    world.earned("a", 300);
    let (debit, _) = world.adjust(CommandKind::Debit, JOHN, -500);
    let events = world.tick();
    assert_eq!(world.offsets(&events), named(&[("a", &debit, 300)]));
    assert_eq!(world.money(), (0, 0, 0, 200));
    let events = world.earned("b", 250);
    assert_eq!(world.offsets(&events), named(&[("b", &debit, 200)]));
    let (answer, _) = world.payout(draft());
    assert_eq!(answer.amount, Minor(50));
}

#[test]
fn many_debts_are_paid_in_bounded_steps_before_a_draft_and_it_answers_once() {
    let mut world = world();
    for number in 0..250 {
        world.sale(&sale(&format!("paid_{number}"), 10));
    }
    world.tick();
    world.paid();
    for number in 0..250 {
        world.reversal(&refund(&format!("paid_{number}"), &format!("adj_{number}"), 10));
    }
    let approved = world.earned("next", 3000);
    assert_eq!((world.offsets(&approved).len(), world.money().0), (100, 500));
    let frames = world.log.len();
    let (answer, events) = world.payout(draft());
    assert_eq!((answer.amount, world.offsets(&events).len()), (Minor(500), 150));
    assert_eq!(world.log.len() - frames, 2);
    world.assert_rebuild_is_identical();
}

#[test]
fn a_debt_that_is_given_up_is_the_programs_loss_and_is_paid_by_nobody() {
    let mut world = world();
    world.earned("paid", 1000);
    world.paid();
    assert_eq!(world.gives_up(None, "gone").0.declined, "no_debt");
    world.reversal(&refund("paid", "adj", 1000));
    for (amount, reason, word) in [
        (Some(1001), "gone", "more_than_debt"),
        (Some(0), "gone", "bad_amount"),
        (Some(-5), "gone", "bad_amount"),
        (None, " ", "reason_required"),
    ] {
        let (answer, events) = world.gives_up(amount, reason);
        assert_eq!((answer.declined.as_str(), events.len()), (word, 1));
    }
    let (answer, _) = world.gives_up(Some(400), "gone");
    assert_eq!((answer.amount, world.money().3), (Minor(400), 600));
    let (answer, _) = world.gives_up(None, "gone for good");
    assert_eq!((answer.amount, world.money().3), (Minor(600), 0));
    let events = world.earned("next", 50);
    assert_eq!((world.offsets(&events), world.money()), (vec![], (50, 0, 1000, 0)));
    world.assert_rebuild_is_identical();
}

//! Drafts and what becomes of them.
use crate::harness::{ReversalSpec, SaleSpec, currency, kinds, refund, sale};
use crate::support::{JOHN, command, draft, lines, payout_events, world};
use tributary_domain::commission::{MAX_PAYOUT_LINES, PayoutEventKind};
use tributary_domain::facts::{CommandKind, ReversalFamily, ReversalState};
use tributary_domain::money::Minor;
use tributary_domain::payouts::{PayoutAct, PayoutCommand, PayoutTerms};

#[test]
fn a_payout_is_drafted_and_settled_and_each_commission_says_so() {
    let mut world = world();
    world.earned("a", 1000);
    world.earned("b", 500);
    world.sale(&sale("pending", 300));
    let (answer, events) = world.payout(draft());
    let (id, status) = answer.payout.clone().unwrap();
    assert_eq!(
        (status, answer.amount, answer.currency),
        (PayoutEventKind::Drafted, Minor(1500), draft().currency)
    );
    assert_eq!(answer.partner, Some(JOHN.into()));
    assert_eq!((kinds(&events), lines(&events)), (vec![("locked", 0), ("locked", 0)], vec![vec![1000, 500]]));
    assert_eq!(world.money(), (0, 1500, 0, 0));
    assert_eq!(world.statuses(["a", "b", "pending"]), ["locked", "locked", "pending"]);
    assert_eq!(world.payout(draft()).0.declined, "nothing_payable");
    let (answer, events) = world.payout(PayoutCommand {
        payout: id.clone(),
        amount: Some(Minor(1500)),
        currency: Some(currency("USD")),
        ..command(PayoutAct::Settle)
    });
    assert_eq!(answer.payout, Some((id, PayoutEventKind::Settled)));
    assert_eq!(kinds(&events), [("paid", 0), ("paid", 0)]);
    assert_eq!(payout_events(&events)[0].reference, "tr_1");
    assert_eq!((world.money(), world.statuses(["a", "b"])), ((0, 0, 1500, 0), ["paid", "paid"]));
    world.assert_rebuild_is_identical();
}

#[test]
fn a_payout_that_fails_or_comes_back_is_payable_again_under_a_new_id() {
    let mut world = world();
    world.earned("txn", 1000);
    let first = world.drafted();
    assert_eq!(world.ends(PayoutAct::Fail, &first), "");
    assert_eq!((world.money(), world.statuses(["txn"])), ((1000, 0, 0, 0), ["approved"]));
    let second = world.paid();
    assert_ne!(first, second);
    assert_eq!(world.ends(PayoutAct::Return, &second), "");
    assert_eq!((world.money(), world.statuses(["txn"])), ((1000, 0, 0, 0), ["approved"]));
    let third = world.paid();
    assert!(third != first && third != second);
    assert_eq!(world.money(), (0, 0, 1000, 0));
    // What ended stays as it is.
    for (payout, acts) in [
        (&first, [PayoutAct::Settle, PayoutAct::Fail, PayoutAct::Return]),
        (&second, [PayoutAct::Settle, PayoutAct::Fail, PayoutAct::Return]),
        (&third, [PayoutAct::Settle, PayoutAct::Fail, PayoutAct::Settle]),
    ] {
        for act in acts {
            assert_eq!(world.ends(act, payout), "wrong_status", "{act:?}");
        }
    }
    world.assert_rebuild_is_identical();
}

#[test]
fn what_cannot_be_done_is_declined_by_name_and_changes_nothing() {
    let mut world = world();
    let unknown = "pay_unknown".into();
    for act in [PayoutAct::Settle, PayoutAct::Fail, PayoutAct::Return] {
        assert_eq!(world.ends(act, &unknown), "unknown_payout");
    }
    world.earned("txn", 1000);
    world.terms(PayoutTerms { minimums: vec![(currency("USD"), Minor(1001))], ..PayoutTerms::default() });
    let to = |change: fn(&mut PayoutCommand)| {
        let mut command = draft();
        change(&mut command);
        command
    };
    for (command, word) in [
        (to(|draft| draft.currency = None), "currency_required"),
        (to(|draft| draft.partner = "".into()), "partner_required"),
        (to(|draft| draft.actor.clear()), "actor_required"),
        (to(|draft| draft.currency = Some(currency("EUR"))), "nothing_payable"),
        (to(|_| ()), "below_minimum"),
    ] {
        let (answer, events) = world.payout(command);
        assert_eq!((answer.declined.as_str(), answer.payout, events.len()), (word, None, 1));
    }
    // A partner's own terms stand in place of the program's.
    world.terms(PayoutTerms { partner: JOHN.into(), ..PayoutTerms::default() });
    let payout = world.drafted();
    let of = |act, change: fn(&mut PayoutCommand)| {
        let mut command = PayoutCommand { payout: payout.clone(), ..command(act) };
        change(&mut command);
        command
    };
    for (command, word) in [
        (of(PayoutAct::Return, |_| ()), "wrong_status"),
        (of(PayoutAct::Settle, |payout| payout.amount = Some(Minor(999))), "wrong_amount"),
        (of(PayoutAct::Settle, |payout| payout.currency = Some(currency("EUR"))), "wrong_currency"),
        (of(PayoutAct::Fail, |payout| payout.reason.clear()), "reason_required"),
        (of(PayoutAct::Settle, |payout| payout.actor.clear()), "actor_required"),
    ] {
        let (answer, events) = world.payout(command);
        assert_eq!((answer.declined.as_str(), events.len()), (word, 1));
    }
    assert_eq!(world.money(), (0, 1000, 0, 0));
    world.partner(JOHN, false);
    assert_eq!(world.payout(draft()).0.declined, "partner_suspended");
}

#[test]
fn a_minimum_is_passed_by_a_person_who_says_so() {
    let mut world = world();
    world.earned("txn", 1000);
    world.terms(PayoutTerms { minimums: vec![(currency("USD"), Minor(5000))], ..PayoutTerms::default() });
    let (answer, _) = world.payout(PayoutCommand { ignore_minimum: true, ..draft() });
    assert_eq!((answer.declined.as_str(), answer.amount), ("", Minor(1000)));
}

#[test]
fn what_is_refunded_in_flight_is_a_debt_and_a_failure_brings_only_the_rest_back() {
    for (family, end) in [(ReversalFamily::Refund, "refunded"), (ReversalFamily::Chargeback, "charged_back")]
    {
        let mut world = world();
        world.earned("txn", 1000);
        world.earned("other", 300);
        let payout = world.drafted();
        world.reversal(&ReversalSpec { family, ..refund("txn", "adj", 1000) });
        assert_eq!((world.numbers("txn"), world.money()), ((1000, 0, "locked"), (0, 1300, 0, 1000)));
        assert_eq!(world.payout(draft()).0.declined, "debt");
        world.ends(PayoutAct::Fail, &payout);
        assert_eq!((world.statuses(["txn", "other"]), world.money()), ([end, "approved"], (300, 0, 0, 0)));
        world.assert_rebuild_is_identical();
    }
}

#[test]
fn a_late_refund_after_a_failure_takes_from_what_is_available_and_one_after_payment_is_owed() {
    let mut world = world();
    world.earned("txn", 1000);
    let payout = world.drafted();
    world.ends(PayoutAct::Fail, &payout);
    world.reversal(&refund("txn", "adj", 400));
    assert_eq!((world.numbers("txn"), world.money()), ((400, 600, "approved"), (600, 0, 0, 0)));
    let payout = world.paid();
    world.reversal(&refund("txn", "adj_2", 100));
    assert_eq!((world.numbers("txn"), world.money()), ((500, 500, "paid"), (0, 0, 600, 100)));
    // It never arrived: only what is still owed is payable again.
    world.ends(PayoutAct::Return, &payout);
    assert_eq!((world.numbers("txn"), world.money()), ((500, 500, "approved"), (500, 0, 0, 0)));
    world.assert_rebuild_is_identical();
}

#[test]
fn what_was_paid_and_comes_back_to_life_is_paid_as_a_further_line() {
    let mut world = world();
    world.earned("txn", 1000);
    world.paid();
    world.reversal(&refund("txn", "adj", 400));
    world.clock.0 += 1;
    world.earned("next", 500);
    assert_eq!(world.money(), (100, 0, 1000, 0));
    world.reversal(&ReversalSpec { state: ReversalState::Dead, ..refund("txn", "adj", 400) });
    assert_eq!(world.money(), (500, 0, 1000, 0));
    let (_, events) = world.payout(draft());
    let payout = payout_events(&events)[0].clone();
    let further: Vec<_> = payout.lines.iter().map(|line| (line.amount.0, line.further)).collect();
    assert_eq!(further, [(400, true), (100, false)]);
    assert_eq!(world.statuses(["txn", "next"]), ["paid", "locked"]);
    world.ends(PayoutAct::Fail, &payout.id);
    assert_eq!((world.statuses(["txn", "next"]), world.money()), (["paid", "approved"], (500, 0, 1000, 0)));
    world.paid();
    assert_eq!((world.statuses(["txn", "next"]), world.money()), (["paid", "paid"], (0, 0, 1500, 0)));
    world.assert_rebuild_is_identical();
}

#[test]
fn nothing_holds_what_is_in_flight_and_what_wanted_to_holds_it_when_it_comes_back() {
    let mut world = world();
    world.earned("disputed", 1000);
    world.earned("other", 500);
    let payout = world.drafted();
    assert_eq!(world.hold(CommandKind::Hold, "other", "manual").0.declined, "wrong_status");
    let opened = ReversalSpec {
        family: ReversalFamily::Chargeback,
        state: ReversalState::Pending,
        ..refund("disputed", "cb", 1000)
    };
    world.reversal(&opened);
    world.partner(JOHN, false);
    assert_eq!(world.statuses(["disputed", "other"]), ["locked", "locked"]);
    world.ends(PayoutAct::Fail, &payout);
    assert_eq!(world.holds_of("disputed"), ["dispute:cb", "partner_suspended"]);
    assert_eq!(world.holds_of("other"), ["partner_suspended"]);
    assert_eq!((world.money(), world.sheet(JOHN).review), ((0, 0, 0, 0), Minor(1500)));
    world.partner(JOHN, true);
    world.tick();
    assert_eq!(world.statuses(["disputed", "other"]), ["review", "approved"]);
    world.assert_rebuild_is_identical();
}

#[test]
fn parts_of_a_split_and_adjustments_are_paid_like_any_other() {
    let mut world = world();
    let shares = vec![(JOHN, 1), ("partner_mary", 1)];
    world.sale(&SaleSpec { shares, ..sale("txn", 1000) });
    world.tick();
    world.adjust(CommandKind::Bonus, JOHN, 70);
    world.adjust(CommandKind::Debit, JOHN, -200);
    world.tick();
    let (answer, events) = world.payout(draft());
    assert_eq!((answer.amount, lines(&events)[0].iter().sum::<i64>()), (Minor(370), 370));
    let id = answer.payout.unwrap().0;
    world.ends(PayoutAct::Settle, &id);
    let status = |partner| world.part("txn", partner).unwrap().status.name();
    assert_eq!((status(JOHN), status("partner_mary")), ("paid", "approved"));
    world.assert_rebuild_is_identical();
}

#[test]
fn a_balance_with_more_commissions_than_lines_is_paid_with_several_payouts() {
    let mut world = world();
    for number in 0..=MAX_PAYOUT_LINES {
        world.sale(&sale(&format!("txn_{number}"), 10));
    }
    world.tick();
    let (first, _) = world.payout(draft());
    let (second, _) = world.payout(draft());
    let expected = i64::try_from(MAX_PAYOUT_LINES).unwrap() * 10;
    assert_eq!((first.amount, second.amount), (Minor(expected), Minor(10)));
    assert_eq!(world.payout(draft()).0.declined, "nothing_payable");
}

//! Holds and what people decide: the contract's worked examples.
use super::harness::{ReversalSpec, SaleSpec, Setting, World, answer, kinds, passed, refund, sale, verdict};
use super::vectors::{at, chargeback, warning};
use tributary_domain::attribution::AttributedEvent;
use tributary_domain::commission::{
    Answer, CommissionEvent, CommissionInput, CommissionStatus, CommissionsEvent, HOLDS_PER_STEP, decide,
    evolve,
};
use tributary_domain::facts::{CommandKind, ReversalFamily, ReversalState};
use tributary_domain::money::Minor;
use tributary_domain::normalization::{FactsEvent, ReplyAddress, VerdictKind};
use tributary_domain::tables::MemoryTables;
use tributary_domain::time::{DAY_MICROS, Micros};

use CommandKind::{Approve, Reject};

fn changes(events: &[CommissionsEvent]) -> Vec<&CommissionEvent> {
    events
        .iter()
        .filter_map(|event| if let CommissionsEvent::Commission(event) = event { Some(event) } else { None })
        .collect()
}

#[test]
fn each_open_dispute_holds_on_its_own_until_it_is_decided() {
    let mut world = at(300_000);
    world.sale(&sale("txn", 1000));
    world.tick();
    let open = |id| ReversalSpec { state: ReversalState::Pending, ..chargeback("txn", id, 300) };
    assert_eq!(kinds(&world.reversal(&open("dp_1"))), [("review", 0)]);
    assert_eq!(kinds(&world.reversal(&open("dp_2"))), [("review", 0)]);
    assert_eq!(world.holds_of("txn"), ["dispute:dp_1", "dispute:dp_2"]);
    let lost = world.reversal(&chargeback("txn", "dp_1", 300));
    assert_eq!(kinds(&lost), [("chargeback", -90), ("hold_released", 0)]);
    assert_eq!(world.numbers("txn"), (90, 210, "review"));
    let won = ReversalSpec { state: ReversalState::Dead, ..open("dp_2") };
    assert_eq!(kinds(&world.reversal(&won)), [("hold_released", 0)]);
    assert_eq!(kinds(&world.tick()), [("approved", 0)]);
    assert_eq!(world.sheet("partner_john").available, Minor(210));
}

#[test]
fn a_warning_holds_until_a_chargeback_its_reverse_the_end_of_the_warning_or_a_person() {
    let ends: [fn(&mut World); 4] = [
        |world| drop(world.reversal(&chargeback("txn", "cb", 0))),
        |world| {
            let back =
                ReversalSpec { family: ReversalFamily::ChargebackReverse, ..chargeback("txn", "cr", 0) };
            drop(world.reversal(&back));
        },
        |world| {
            let over = ReversalSpec { state: ReversalState::Dead, ..warning("txn", "wr", 1000) };
            drop(world.reversal(&over));
        },
        |world| assert_eq!(world.command(Approve, "txn").0.declined, ""),
    ];
    for (number, ends) in ends.into_iter().enumerate() {
        let mut world = at(300_000);
        world.reversal(&warning("txn", "w", 1000));
        world.sale(&sale("txn", 1000));
        world.tick();
        assert_eq!(world.numbers("txn"), (0, 300, "review"), "{number}");
        ends(&mut world);
        world.tick();
        assert_eq!(world.numbers("txn"), (0, 300, "approved"), "{number}");
    }
}

#[test]
fn approving_in_review_releases_each_hold_by_name_in_the_same_frame() {
    let mut world = World::new(Setting { hold_days: 1, ..Setting::default() });
    world.sale(&SaleSpec { subscription: "sub", ..sale("txn", 1000) });
    world.cancelled("sub", world.clock);
    world.reversal(&ReversalSpec { state: ReversalState::Pending, ..chargeback("txn", "dp", 1000) });
    assert_eq!(world.holds_of("txn"), ["cancelled_subscription:sub", "dispute:dp", "time"]);

    let (early, events) = world.command(Approve, "txn");
    assert_eq!((early.declined.as_str(), early.status), ("held_until", Some(CommissionStatus::Review)));
    assert_eq!(kinds(&events), []);

    world.clock = Micros(world.clock.0 + DAY_MICROS);
    assert_eq!(kinds(&world.tick()), [], "no tick approves in review");
    let (answer, events) = world.command(Approve, "txn");
    assert_eq!(kinds(&events), [("hold_released", 0), ("hold_released", 0), ("approved", 0)]);
    let said: Vec<_> =
        changes(&events).iter().map(|event| (event.actor.as_str(), event.reason.as_str())).collect();
    assert_eq!(
        said,
        [
            ("key_mary", "cancelled_subscription:sub looked at it"),
            ("key_mary", "dispute:dp looked at it"),
            ("key_mary", "looked at it"),
        ]
    );
    assert_eq!((answer.status, answer.amount), (Some(CommissionStatus::Approved), Minor(300)));
    assert_eq!(world.sheet("partner_john").available, Minor(300));

    // What a person released stays released; a new dispute holds again.
    assert_eq!(kinds(&world.cancelled("sub", Micros(world.clock.0 + 1))), []);
    let another = ReversalSpec { state: ReversalState::Pending, ..chargeback("txn", "dp_2", 1000) };
    assert_eq!(kinds(&world.reversal(&another)), [("review", 0)]);
    assert_eq!(world.holds_of("txn"), ["dispute:dp_2"]);
}

#[test]
fn a_program_with_manual_approval_waits_for_a_person_after_its_time() {
    let mut world = World::new(Setting { manual: true, hold_days: 1, ..Setting::default() });
    world.sale(&sale("txn", 1000));
    assert_eq!(world.command(Approve, "txn").0.declined, "held_until");
    world.clock = Micros(world.clock.0 + DAY_MICROS);
    assert_eq!(kinds(&world.tick()), []);
    let (answer, events) = world.command(Approve, "txn");
    assert_eq!((kinds(&events), answer.declined.as_str()), (vec![("approved", 0)], ""));
    let (again, events) = world.command(Approve, "txn");
    assert_eq!((again.declined.as_str(), again.status), ("wrong_status", Some(CommissionStatus::Approved)));
    assert_eq!(kinds(&events), []);
}

#[test]
fn a_rejection_takes_everything_back_and_later_refunds_change_nothing() {
    for status in ["pending", "review", "approved"] {
        let mut world = at(300_000);
        world.sale(&sale("txn", 1000));
        world.reversal(&refund("txn", "adj_1", 100));
        match status {
            "review" => drop(world.reversal(&warning("txn", "w", 1000))),
            "approved" => drop(world.tick()),
            _ => {}
        }
        assert_eq!(world.numbers("txn").2, status);
        let (answer, events) = world.command(Reject, "txn");
        assert_eq!(kinds(&events), [("rejected", -270)]);
        assert_eq!((answer.status, answer.amount), (Some(CommissionStatus::Rejected), Minor::ZERO));
        assert_eq!(world.numbers("txn"), (300, 0, "rejected"));
        assert_eq!(world.sheet("partner_john"), Default::default());
        let failed = ReversalSpec { state: ReversalState::Dead, ..refund("txn", "adj_1", 100) };
        for reversal in [failed, refund("txn", "adj_2", 500), chargeback("txn", "cb", 1000)] {
            assert_eq!(kinds(&world.reversal(&reversal)), []);
        }
        assert_eq!(world.command(Approve, "txn").0.declined, "wrong_status");
        assert_eq!(world.command(Reject, "txn").0.declined, "wrong_status");
    }
}

#[test]
fn rejecting_what_repaid_a_debt_brings_the_debt_back() {
    let mut world = at(1_000_000);
    world.sale(&sale("paid", 1000));
    world.tick();
    world.pay("paid");
    world.reversal(&refund("paid", "adj", 1000));
    world.sale(&sale("next", 400));
    world.tick();
    assert_eq!(world.sheet("partner_john").debt, Minor(600));
    world.command(Reject, "next");
    assert_eq!(world.sheet("partner_john").debt, Minor(1000));
    let (paid, _) = world.command(Reject, "paid");
    assert_eq!((paid.declined.as_str(), paid.status), ("wrong_status", Some(CommissionStatus::Paid)));
}

#[test]
fn a_command_is_answered_once_also_when_nobody_waits_and_its_twin_is_told_the_same() {
    let mut world = at(300_000);
    let (nobody, _) = world.command(Approve, "txn");
    assert_eq!((nobody.declined.as_str(), nobody.commission), ("unknown_commission", None));
    world.sale(&sale("txn", 1000));
    let (first, _) = world.command(Approve, "txn");
    world.reversal(&refund("txn", "adj", 1000));
    for told in [first, nobody_again(&mut world)] {
        let waits = Some(ReplyAddress { gateway_instance: "gw".to_owned(), correlation_id: 1 });
        let twin = verdict(VerdictKind::Duplicate, &told.event, waits);
        let twin = answer(&world.frame(vec![passed(FactsEvent::Verdict(twin), None)]));
        assert_eq!((twin.answer, twin.duplicate), (told, true));
    }
    world.assert_rebuild_is_identical();
}

fn nobody_again(world: &mut World) -> Answer {
    world.command_by_id(Reject, &"com_nobody".into()).0
}

#[test]
fn a_cancelled_subscription_holds_what_is_unpaid_and_not_later_whichever_came_first() {
    let mut world = at(300_000);
    let end = Micros(world.clock.0 + DAY_MICROS);
    let of = |id: &str, at| SaleSpec { subscription: "sub", at: Some(at), ..sale(id, 1000) };
    world.clock = Micros(world.clock.0 + 3 * DAY_MICROS);
    world.sale(&of("paid", Micros(end.0 - 2)));
    world.tick();
    world.pay("paid");
    world.sale(&of("approved", Micros(end.0 - 1)));
    world.tick();
    world.sale(&of("pending", end));
    world.sale(&of("later", Micros(end.0 + 1)));
    world.sale(&SaleSpec { subscription: "other", ..of("other", end) });
    world.sale(&SaleSpec { subscription: "", ..of("none", end) });
    assert_eq!(kinds(&world.cancelled("sub", end)), [("review", 0), ("review", 0)]);
    world.sale(&of("after", end));
    world.sale(&of("after_and_later", Micros(end.0 + 1)));
    for (id, status, holds) in [
        ("paid", "paid", &[][..]),
        ("approved", "review", &["cancelled_subscription:sub"]),
        ("pending", "review", &["cancelled_subscription:sub", "time"]),
        ("after", "review", &["cancelled_subscription:sub", "time"]),
        ("later", "pending", &["time"]),
        ("after_and_later", "pending", &["time"]),
        ("other", "pending", &["time"]),
        ("none", "pending", &["time"]),
    ] {
        assert_eq!((world.numbers(id).2, &world.holds_of(id)[..]), (status, holds), "{id}");
    }
    // An earlier end says nothing new, a later one holds more.
    assert_eq!(kinds(&world.cancelled("sub", Micros(end.0 - 1))), []);
    assert_eq!(kinds(&world.cancelled("sub", Micros(end.0 + 1))), [("review", 0), ("review", 0)]);
    world.assert_rebuild_is_identical();
}

#[test]
fn a_cancellation_takes_bounded_steps() {
    let mut world = at(300_000);
    let many = HOLDS_PER_STEP * 2 + 1;
    for number in 0..many {
        world.sale(&SaleSpec { subscription: "sub", ..sale(&format!("txn_{number:05}"), 100) });
    }
    let frames = world.log.len();
    assert_eq!(kinds(&world.cancelled("sub", world.clock)).len(), many);
    assert_eq!(world.log.len() - frames, 3);
}

#[test]
fn a_refunded_commission_comes_back_into_review_while_something_holds_it() {
    let mut world = at(300_000);
    world.sale(&SaleSpec { subscription: "sub", ..sale("txn", 1000) });
    world.tick();
    world.reversal(&refund("txn", "adj", 1000));
    assert_eq!(kinds(&world.cancelled("sub", world.clock)), [], "nothing is left to hold");
    let failed = ReversalSpec { state: ReversalState::Dead, ..refund("txn", "adj", 1000) };
    assert_eq!(kinds(&world.reversal(&failed)), [("reinstated", 300)]);
    assert_eq!(world.holds_of("txn"), ["cancelled_subscription:sub"]);
    assert_eq!(world.numbers("txn"), (0, 300, "review"));
}

#[test]
fn frames_from_before_holds_were_a_set_fold_and_go_on() {
    let mut world = at(300_000);
    world.sale(&sale("txn", 1000));
    let open = ReversalSpec { state: ReversalState::Pending, ..chargeback("txn", "dp", 1000) };
    world.reversal(&open);
    let won = world.reversal_events(&ReversalSpec { state: ReversalState::Dead, ..open });
    let mut tables = MemoryTables::default();
    for (clock, mut events) in std::mem::take(&mut world.log) {
        for event in &mut events {
            if let CommissionsEvent::Commission(event) = event {
                event.holds.clear();
            }
        }
        evolve(&mut tables, clock, &events);
    }
    let mut next = |frame: &[AttributedEvent]| {
        let input = CommissionInput { source: 0, clock: world.clock, events: frame };
        let events = decide(&tables, &input, 0).0;
        evolve(&mut tables, input.clock, &events);
        events
    };
    let tick = [passed(FactsEvent::Tick, None)];
    assert_eq!(kinds(&next(&tick)), [], "in review");
    let released = next(&won);
    assert_eq!(kinds(&released), [("hold_released", 0)]);
    assert_eq!(changes(&released)[0].status, CommissionStatus::Pending);
    assert_eq!(kinds(&next(&tick)), [("approved", 0)]);
}

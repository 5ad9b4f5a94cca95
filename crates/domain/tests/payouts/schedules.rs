//! Drafts that nobody asks for.
use crate::harness::{SaleSpec, World, currency, refund, sale};
use crate::support::{JOHN, payout_events, world};
use tributary_domain::commission::{CommissionsEvent, PayoutEventKind};
use tributary_domain::money::Minor;
use tributary_domain::payouts::{PayoutAct, PayoutTerms, Schedule};
use tributary_domain::time::{DAY_MICROS, Micros};

/// 2028-01-15, by days since 1970.
const JANUARY_15: i64 = 21_198;
/// The last of January and of February.
const JANUARY_31: i64 = 21_214;
const FEBRUARY_29: i64 = 21_243;

fn on(world: &mut World, day: i64) {
    world.clock = Micros(day * DAY_MICROS);
}

fn monthly(day: u32) -> PayoutTerms {
    PayoutTerms { schedule: Schedule::Monthly { day }, ..PayoutTerms::default() }
}

/// Who is paid what.
fn paid(events: &[CommissionsEvent]) -> Vec<(String, i64)> {
    let short = |payout: &&tributary_domain::commission::PayoutEvent| {
        assert_eq!((payout.kind, payout.cause.as_ref()), (PayoutEventKind::Drafted, None));
        assert_eq!(payout.actor, "schedule");
        (payout.partner.0.clone(), payout.total.0)
    };
    payout_events(events).iter().map(short).collect()
}

#[test]
fn a_month_that_is_too_short_pays_on_its_last_day_and_once() {
    let mut world = world();
    on(&mut world, JANUARY_15);
    world.terms(monthly(31));
    world.earned("a", 1000);
    on(&mut world, JANUARY_31);
    world.clock.0 -= 1;
    assert_eq!(paid(&world.tick()), []);
    on(&mut world, JANUARY_31);
    assert_eq!(paid(&world.tick()), [(JOHN.to_owned(), 1000)]);
    world.earned("b", 500);
    assert_eq!(paid(&world.tick()), []);
    on(&mut world, FEBRUARY_29);
    assert_eq!(paid(&world.tick()), [(JOHN.to_owned(), 500)]);
    world.assert_rebuild_is_identical();
}

#[test]
fn what_the_same_tick_approves_is_paid_by_it_and_a_long_silence_is_made_up_for_once() {
    let mut world = world();
    on(&mut world, JANUARY_15);
    world.terms(PayoutTerms { schedule: Schedule::Weekly { day: 1 }, ..PayoutTerms::default() });
    world.sale(&sale("a", 1000));
    on(&mut world, FEBRUARY_29);
    assert_eq!(paid(&world.tick()), [(JOHN.to_owned(), 1000)]);
    let more = world.tick();
    assert!(more.is_empty(), "the next one is in the future: {more:#?}");
}

#[test]
fn own_terms_take_a_partner_out_of_the_programs_schedule() {
    let mut world = world();
    on(&mut world, JANUARY_15);
    world.terms(monthly(31));
    world.terms(PayoutTerms { partner: JOHN.into(), ..PayoutTerms::default() });
    let marys = |id: &str| SaleSpec { partner: Some("partner_mary".to_owned()), ..sale(id, 700) };
    world.sale(&marys("mary"));
    world.earned("john", 1000);
    on(&mut world, JANUARY_31);
    assert_eq!(paid(&world.tick()), [("partner_mary".to_owned(), 700)]);
    world.terms(PayoutTerms { partner: JOHN.into(), ..monthly(1) });
    world.sale(&marys("again"));
    on(&mut world, JANUARY_31 + 1);
    assert_eq!(paid(&world.tick()), [(JOHN.to_owned(), 1000)]);
    // Without terms nothing happens by itself.
    world.set_terms(monthly(31), true);
    world.set_terms(PayoutTerms { partner: JOHN.into(), ..monthly(1) }, true);
    world.earned("more", 50);
    on(&mut world, FEBRUARY_29 + 60);
    assert_eq!(paid(&world.tick()), []);
    world.assert_rebuild_is_identical();
}

#[test]
fn balances_that_may_not_be_paid_are_passed_over() {
    let mut world = world();
    on(&mut world, JANUARY_15);
    let minimums = vec![(currency("USD"), Minor(100))];
    world.terms(PayoutTerms { minimums, ..monthly(31) });
    for (partner, amount) in [("a_small", 99), ("b_enough", 100), ("c_suspended", 500), ("d_owes", 500)] {
        world.sale(&SaleSpec { partner: Some(partner.to_owned()), ..sale(partner, amount) });
    }
    world.tick();
    let (answer, _) = world.payout(tributary_domain::payouts::PayoutCommand {
        partner: "d_owes".into(),
        ..crate::support::draft()
    });
    world.ends(PayoutAct::Settle, &answer.payout.unwrap().0);
    world.reversal(&refund("d_owes", "adj", 300));
    world.partner("c_suspended", false);
    on(&mut world, JANUARY_31);
    assert_eq!(paid(&world.tick()), [("b_enough".to_owned(), 100)]);
}

#[test]
fn many_balances_and_many_commissions_take_bounded_steps() {
    let mut world = world();
    on(&mut world, JANUARY_15);
    world.terms(monthly(31));
    for number in 0..450 {
        let partner = if number < 300 { format!("partner_{number:04}") } else { "partner_last".to_owned() };
        world.sale(&SaleSpec { partner: Some(partner), ..sale(&format!("txn_{number}"), 10) });
    }
    world.tick();
    on(&mut world, JANUARY_31);
    let frames = world.log.len();
    let events = world.tick();
    let paid = paid(&events);
    assert_eq!((paid.len(), paid.iter().map(|(_, amount)| amount).sum::<i64>()), (301, 4500));
    assert!(world.log.len() - frames >= 2);
    assert!(world.log.iter().skip(frames).all(|(_, events)| events.len() < 1100));
    world.assert_rebuild_is_identical();
}

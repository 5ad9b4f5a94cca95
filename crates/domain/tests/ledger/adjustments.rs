//! Commissions of their own: bonuses, corrections, debits.
use super::commands::command;
use super::harness::{SaleSpec, Setting, World, currency, refund, sale};
use super::vectors::at;
use proptest::collection::vec;
use proptest::prelude::*;
use tributary_domain::commission::CommissionStatus;
use tributary_domain::facts::{Adjustment, Command, CommandKind};
use tributary_domain::ids::CommissionId;
use tributary_domain::money::Minor;
use tributary_domain::time::{DAY_MICROS, Micros};

use CommandKind::{Approve, Bonus, Correction, Debit, Hold, Reinstate, Reject};

const JOHN: &str = "partner_john";

#[test]
fn a_bonus_waits_for_its_time_like_any_commission_and_is_named_after_its_command() {
    let mut world = World::new(Setting { hold_days: 1, ..Setting::default() });
    let (bonus, answer) = world.adjust(Bonus, JOHN, 500);
    assert_eq!(answer.commission, Some(CommissionId::of_command(&answer.event)));
    assert_eq!(
        (answer.status, answer.amount, answer.sale),
        (Some(CommissionStatus::Pending), Minor(500), None)
    );
    assert_eq!((world.holds_of(&bonus), world.sheet(JOHN).pending), (vec!["time"], Minor(500)));
    world.tick();
    world.clock = Micros(world.clock.0 + DAY_MICROS);
    world.tick();
    assert_eq!((world.numbers(&bonus), world.sheet(JOHN).available), ((0, 500, "approved"), Minor(500)));
    world.command(Reject, &bonus);
    assert_eq!((world.numbers(&bonus), world.sheet(JOHN)), ((500, 0, "rejected"), Default::default()));
    world.command(Reinstate, &bonus);
    assert_eq!((world.numbers(&bonus), world.sheet(JOHN).available), ((0, 500, "approved"), Minor(500)));
    world.assert_rebuild_is_identical();
}

#[test]
fn what_takes_counts_once_it_is_approved_and_then_takes_what_is_available_first() {
    let mut world = at(1_000_000);
    world.sale(&sale("txn", 300));
    world.tick();
    let (debit, answer) = world.adjust(Debit, JOHN, -500);
    assert_eq!((answer.amount, answer.status), (Minor::ZERO, Some(CommissionStatus::Pending)));
    assert_eq!(world.sheet(JOHN).available, Minor(300), "not yet");
    world.tick();
    assert_eq!((world.numbers(&debit), world.sheet(JOHN).debt), ((0, -500, "approved"), Minor(200)));
    assert_eq!(world.hold(Hold, &debit, "manual").0.declined, "wrong_status", "it would give the money back");
    // Taken back, what it took is there again, debt first.
    world.command(Reject, &debit);
    assert_eq!((world.numbers(&debit), world.sheet(JOHN).available), ((-500, 0, "rejected"), Minor(300)));
    world.command(Reinstate, &debit);
    assert_eq!((world.numbers(&debit), world.sheet(JOHN).debt), ((0, -500, "approved"), Minor(200)));
    world.sale(&sale("next", 1000));
    world.tick();
    assert_eq!((world.sheet(JOHN).debt, world.sheet(JOHN).available), (Minor(0), Minor(800)));
    // One that was never approved took nothing, and what held it holds it again.
    let (held, _) = world.adjust(Correction, JOHN, -100);
    world.hold(Hold, &held, "manual");
    world.command(Reject, &held);
    assert_eq!(world.numbers(&held), (-100, 0, "rejected"));
    world.command(Reinstate, &held);
    assert_eq!((world.numbers(&held), world.sheet(JOHN).available), ((-100, 0, "review"), Minor(800)));
    assert_eq!(world.command(Approve, &held).0.amount, Minor(-100));
    world.assert_rebuild_is_identical();
}

#[test]
fn a_command_that_says_too_little_makes_nothing_and_says_why() {
    let mut world = at(300_000);
    let of = |partner: &str, amount| Adjustment {
        partner: partner.into(),
        amount: Minor(amount),
        currency: currency("USD"),
    };
    let ask = |kind, adjustment: Adjustment| Command { adjustment: Some(adjustment), ..command(kind) };
    let nobody = Command { actor: String::new(), ..ask(Bonus, of(JOHN, 5)) };
    let silent = Command { reason: " ".to_owned(), ..ask(Bonus, of(JOHN, 5)) };
    for (asked, declined) in [
        (ask(Bonus, of(JOHN, 0)), "bad_amount"),
        (ask(Bonus, of(JOHN, -5)), "bad_amount"),
        (ask(Debit, of(JOHN, 5)), "bad_amount"),
        (ask(Correction, of(JOHN, 0)), "bad_amount"),
        (command(Correction), "bad_amount"),
        (ask(Correction, of("", 5)), "partner_required"),
        (nobody, "actor_required"),
        (silent, "reason_required"),
        (ask(Debit, of(JOHN, i64::MIN)), "amount_out_of_range"),
    ] {
        let (answer, events) = world.decided(asked);
        assert_eq!((answer.declined.as_str(), answer.commission, events.len()), (declined, None, 1));
    }
    // What was ever given and taken must fit together.
    assert_eq!(world.adjust(Bonus, JOHN, i64::MAX).1.declined, "");
    assert_eq!(world.adjust(Debit, JOHN, -1).1.declined, "amount_out_of_range");
    assert_eq!(World::default().adjust(Bonus, JOHN, 1).1.declined, "no_program");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_mix_of_sales_and_adjustments_breaks_the_books(
        steps in vec((0..9_u8, -2_000..=2_000_i64, any::<prop::sample::Index>()), 1..40),
    ) {
        let mut world = at(1_000_000);
        let mut made: Vec<String> = Vec::new();
        for (number, (step, amount, which)) in steps.into_iter().enumerate() {
            let one = if made.is_empty() { String::new() } else { which.get(&made).clone() };
            match step {
                0 => made.push(world.adjust(Correction, JOHN, amount).0),
                1 | 2 => {
                    let id = format!("txn_{number}");
                    let shares = if step == 1 { vec![] } else { vec![(JOHN, 2), ("partner_mary", 1)] };
                    world.sale(&SaleSpec { shares, ..sale(&id, amount.abs()) });
                    made.push(id);
                }
                3 => drop(world.reversal(&refund(&one, &format!("adj_{number}"), amount.abs()))),
                4 if world.commission(&one).is_some() => drop(world.hold(Hold, &one, "manual")),
                5 => drop(world.command(Approve, &one)),
                6 => drop(world.command(if amount > 0 { Reject } else { Reinstate }, &one)),
                7 => drop(world.pay(&one)),
                8 => world.partner(JOHN, amount > 0),
                _ => drop(world.tick()),
            }
        }
        world.assert_rebuild_is_identical();
    }
}

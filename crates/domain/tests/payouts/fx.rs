//! Payouts in another currency than what was earned.
use crate::harness::{currency, kinds, sale};
use crate::support::{JOHN, command, draft, payout_events, world};
use tributary_domain::commission::{Account, PayoutEventKind};
use tributary_domain::facts::CommandKind;
use tributary_domain::money::{Currency, Minor};
use tributary_domain::payouts::{PayoutAct, PayoutCommand, PayoutTerms, Rate};

fn rate(from: &str, to: &str, mantissa: i64, exponent: i32) -> Rate {
    Rate {
        id: format!("ecb_{from}_{to}").as_str().into(),
        from: currency(from),
        to: currency(to),
        mantissa,
        exponent,
        spread_ppm: 0,
        actor: "key_mary".to_owned(),
    }
}

fn paid_in(code: &str) -> PayoutTerms {
    PayoutTerms { pay_in: Some(currency(code)), ..PayoutTerms::default() }
}

#[test]
fn each_line_is_converted_and_rounded_once_and_what_is_left_over_has_its_account() {
    let mut world = world();
    world.terms(paid_in("EUR"));
    world.rated(rate("USD", "EUR", 9, -1));
    world.rated(Rate { id: "later".into(), ..rate("USD", "EUR", 5, -1) });
    for id in ["a", "b", "c"] {
        world.earned(id, 101);
    }
    let (answer, events) = world.payout(draft());
    assert_eq!((answer.amount, answer.currency), (Minor(150), Some(currency("EUR"))));
    let payout = payout_events(&events)[0].clone();
    // 50.5 each, to the even 50; together 151.5, to the even 152.
    let paid: Vec<i64> = payout.lines.iter().map(|line| line.paid.0).collect();
    assert_eq!((payout.total, paid, payout.rate), (Minor(303), vec![50, 50, 50], Some("later".into())));
    let legs: Vec<(Account, Currency, i64)> =
        payout.postings.iter().map(|leg| (leg.account, leg.currency, leg.amount.0)).collect();
    let euro = currency("EUR");
    assert_eq!(legs, [(Account::Expense, euro, -2), (Account::FxRounding, euro, 2)]);
    // Buckets stay in the currency that was earned.
    assert_eq!(world.money(), (0, 303, 0, 0));
    let settle = |change: fn(&mut PayoutCommand)| {
        let mut command = PayoutCommand { payout: payout.id.clone(), ..command(PayoutAct::Settle) };
        change(&mut command);
        command
    };
    let wrong = settle(|payout| payout.currency = Some(Currency::USD));
    assert_eq!(world.payout(wrong).0.declined, "wrong_currency");
    let (answer, _) = world.payout(settle(|payout| payout.amount = Some(Minor(150))));
    assert_eq!(answer.payout, Some((payout.id.clone(), PayoutEventKind::Settled)));
    assert_eq!(world.money(), (0, 0, 303, 0));
    world.assert_rebuild_is_identical();
}

#[test]
fn without_a_rate_what_would_be_paid_is_held_until_there_is_one() {
    let mut world = world();
    world.terms(paid_in("EUR"));
    world.earned("a", 1000);
    world.earned("b", 500);
    let (answer, events) = world.payout(draft());
    assert_eq!((answer.declined.as_str(), answer.payout), ("no_rate", None));
    assert_eq!(kinds(&events), [("review", 0), ("review", 0)]);
    assert_eq!((world.holds_of("a"), world.money().0), (vec!["fx_missing"], 0));
    // Another pair is of no use; a person may decide for one commission.
    assert_eq!(kinds(&world.rated(rate("USD", "GBP", 8, -1)).1), []);
    assert_eq!(kinds(&world.rated(rate("EUR", "USD", 11, -1)).1), []);
    world.hold(CommandKind::Release, "b", "fx_missing");
    world.tick();
    assert_eq!(world.statuses(["a", "b"]), ["review", "approved"]);
    assert_eq!(kinds(&world.rated(rate("USD", "EUR", 9, -1)).1), [("hold_released", 0)]);
    world.tick();
    let (answer, _) = world.payout(draft());
    assert_eq!(answer.amount, Minor(1350));
    world.assert_rebuild_is_identical();
}

#[test]
fn what_waits_for_a_rate_waits_no_more_once_nothing_is_converted() {
    let mut world = world();
    world.terms(paid_in("EUR"));
    world.earned("a", 1000);
    world.payout(draft());
    assert_eq!(world.statuses(["a"]), ["review"]);
    world.terms(PayoutTerms { partner: "partner_mary".into(), ..PayoutTerms::default() });
    assert_eq!(world.statuses(["a"]), ["review"]);
    world.terms(PayoutTerms { partner: JOHN.into(), ..PayoutTerms::default() });
    world.tick();
    assert_eq!(world.payout(draft()).0.amount, Minor(1000));
    world.assert_rebuild_is_identical();
}

#[test]
fn a_rate_that_cannot_be_one_is_declined_and_the_one_before_it_stands() {
    let mut world = world();
    world.terms(paid_in("EUR"));
    world.rated(rate("USD", "EUR", 9, -1));
    for bad in [
        rate("USD", "EUR", 0, 0),
        rate("USD", "EUR", -1, 0),
        rate("USD", "EUR", 1, 19),
        rate("USD", "USD", 1, 0),
        Rate { spread_ppm: 1_000_000, ..rate("USD", "EUR", 1, 0) },
    ] {
        let (answer, events) = world.rated(bad);
        assert_eq!((answer.declined.as_str(), events.len()), ("bad_rate", 1));
    }
    world.earned("a", 1000);
    assert_eq!(world.payout(draft()).0.amount, Minor(900));
}

#[test]
fn what_is_worth_nothing_in_the_other_currency_waits() {
    let mut world = world();
    world.terms(PayoutTerms { partner: JOHN.into(), ..paid_in("JPY") });
    world.rated(rate("USD", "JPY", 100, 0));
    world.sale(&sale("tiny", 0));
    world.earned("a", 0);
    world.adjust(CommandKind::Bonus, JOHN, 1);
    world.tick();
    // A cent is one yen; at a rate of 10 it would be none.
    world.rated(Rate { id: "fall".into(), ..rate("USD", "JPY", 10, 0) });
    assert_eq!(world.payout(draft()).0.declined, "below_minimum");
    world.rated(Rate { id: "rise".into(), ..rate("USD", "JPY", 100, 0) });
    assert_eq!(world.payout(draft()).0.amount, Minor(1));
}

#[test]
fn a_rate_releases_in_bounded_steps() {
    let mut world = world();
    world.terms(paid_in("EUR"));
    for number in 0..300 {
        world.sale(&sale(&format!("txn_{number}"), 10));
    }
    world.tick();
    assert_eq!(world.payout(draft()).0.declined, "no_rate");
    let frames = world.log.len();
    let (_, events) = world.rated(rate("USD", "EUR", 9, -1));
    assert_eq!((kinds(&events).len(), world.log.len() - frames), (300, 2));
}

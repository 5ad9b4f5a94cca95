//! The contract's worked examples.
use super::harness::{
    ReversalSpec, SaleSpec, Setting, World, answer, currency, kinds, passed, refund, sale, verdict,
};
use tributary_domain::commission::{APPROVALS_PER_STEP, CommissionStatus, CommissionsEvent, ReversalResult};
use tributary_domain::config::Profile;
use tributary_domain::facts::{ReversalFamily, ReversalState};
use tributary_domain::ids::SaleId;
use tributary_domain::money::{Minor, Rounding};
use tributary_domain::normalization::{FactsEvent, ReplyAddress, VerdictKind};
use tributary_domain::time::{DAY_MICROS, Micros};

pub fn at(rate: i64) -> World {
    World::new(Setting { rate, ..Setting::default() })
}

pub fn chargeback(sale: &str, id: &str, gross: i64) -> ReversalSpec {
    ReversalSpec { family: ReversalFamily::Chargeback, ..refund(sale, id, gross) }
}

pub fn warning(sale: &str, id: &str, gross: i64) -> ReversalSpec {
    ReversalSpec { family: ReversalFamily::ChargebackWarning, ..refund(sale, id, gross) }
}

pub fn results(events: &[CommissionsEvent]) -> Vec<ReversalResult> {
    let result = |event: &CommissionsEvent| match event {
        CommissionsEvent::Reversal(reversal) => Some(reversal.result),
        _ => None,
    };
    events.iter().filter_map(result).collect()
}

#[test]
fn refunds_in_parts_take_the_commission_to_zero_and_a_failed_one_gives_back() {
    let mut world = at(300_000);
    assert_eq!(kinds(&world.sale(&sale("txn", 4900))), [("created", 1470)]);
    assert_eq!(kinds(&world.tick()), [("approved", 0)]);
    assert_eq!(kinds(&world.reversal(&refund("txn", "adj_1", 1000))), [("refunded", -300)]);
    assert_eq!(world.numbers("txn"), (300, 1170, "approved"));
    let failed = ReversalSpec { state: ReversalState::Dead, ..refund("txn", "adj_1", 1000) };
    assert_eq!(kinds(&world.reversal(&failed)), [("reinstated", 300)]);
    assert_eq!(world.numbers("txn"), (0, 1470, "approved"));
    world.reversal(&refund("txn", "adj_2", 1000));
    assert_eq!(kinds(&world.reversal(&refund("txn", "adj_3", 3900))), [("refunded", -1170)]);
    assert_eq!(world.numbers("txn"), (1470, 0, "refunded"));
    assert_eq!(world.sheet("partner_john"), Default::default());
}

#[test]
fn parts_round_on_the_whole_and_not_each_for_itself() {
    let mut world = at(150_000);
    world.sale(&sale("txn", 1000));
    for (part, amount) in [("a", 333), ("b", 333), ("c", 334)] {
        assert_eq!(kinds(&world.reversal(&refund("txn", part, amount))), [("refunded", -50)]);
    }
}

#[test]
fn every_currency_and_rounding_gives_the_published_amount() {
    let gross = |setting: Setting, spec: SaleSpec| {
        let mut world = World::new(setting);
        world.sale(&spec);
        world.commission(&spec.id).map_or(0, |line| line.gross_minor.0)
    };
    let with = |rate, rounding| Setting { rate, rounding, ..Setting::default() };
    let (even, up, floor) = (Rounding::HalfEven, Rounding::HalfUp, Rounding::Floor);
    assert_eq!(gross(with(100_000, even), sale("t", 25)), 2);
    assert_eq!(gross(with(100_000, up), sale("t", 25)), 3);
    assert_eq!(gross(with(125_000, even), SaleSpec { currency: "JPY", ..sale("t", 1000) }), 125);
    assert_eq!(gross(with(100_000, even), SaleSpec { currency: "KWD", ..sale("t", 10_000) }), 1000);
    assert_eq!(gross(with(100_000, floor), sale("t", 9999)), 999);
    let lines = SaleSpec { net: Some(30), lines: vec![("l", 3); 10], ..sale("t", 30) };
    assert_eq!(gross(with(200_000, even), lines), 6);
}

#[test]
fn a_floor_can_end_a_commission_before_everything_is_refunded() {
    let mut world = World::new(Setting { rate: 50_000, rounding: Rounding::Floor, ..Setting::default() });
    world.sale(&sale("txn", 29));
    world.reversal(&refund("txn", "adj", 12));
    assert_eq!(world.numbers("txn"), (1, 0, "refunded"));
}

#[test]
fn a_refund_before_its_sale_waits_and_gives_the_same_balances() {
    let mut world = at(300_000);
    assert_eq!(results(&world.reversal(&refund("txn", "adj", 1000))), [ReversalResult::Parked]);
    let frame = world.sale(&sale("txn", 4900));
    assert_eq!(kinds(&frame), [("created", 1470), ("refunded", -300)]);
    assert_eq!(results(&frame), [ReversalResult::Matched]);
    assert_eq!(world.sheet("partner_john").pending, Minor(1170));
    world.tick();
    assert_eq!(world.sheet("partner_john").available, Minor(1170));
}

#[test]
fn what_was_paid_and_refunded_is_a_debt_that_the_next_sale_pays_first() {
    let mut world = at(1_000_000);
    world.sale(&sale("paid", 1470));
    world.tick();
    assert!(world.pay("paid"));
    world.reversal(&refund("paid", "adj", 1470));
    assert_eq!(world.numbers("paid"), (1470, 0, "paid"));
    assert_eq!(world.sheet("partner_john").debt, Minor(1470));
    world.sale(&sale("next", 2000));
    world.tick();
    let sheet = world.sheet("partner_john");
    assert_eq!((sheet.debt, sheet.available, sheet.paid_out), (Minor(0), Minor(530), Minor(1470)));
}

#[test]
fn a_net_base_takes_refunds_by_their_own_net_part_and_only_without_one_pro_rata() {
    let paid = SaleSpec { net: Some(1000), ..sale("txn", 1190) };
    let mut world = at(200_000);
    world.sale(&paid);
    world.reversal(&ReversalSpec { net: Some(0), ..refund("txn", "tax_only", 190) });
    assert_eq!(world.numbers("txn"), (0, 200, "pending"));
    world.reversal(&ReversalSpec { net: Some(500), ..refund("txn", "half", 595) });
    assert_eq!(world.numbers("txn"), (100, 100, "pending"));

    let mut world = at(200_000);
    world.sale(&paid);
    world.reversal(&refund("txn", "half", 595));
    assert_eq!(world.numbers("txn"), (100, 100, "pending"));

    let mut world = at(200_000);
    world.sale(&paid);
    world.reversal(&chargeback("txn", "of_nothing", 0));
    world.reversal(&ReversalSpec { net: Some(400), ..chargeback("txn", "part", 595) });
    assert_eq!(world.numbers("txn"), (80, 120, "pending"));

    let mut as_sent = World::new(Setting { profile: Profile::Revshare, rate: 200_000, ..Setting::default() });
    as_sent.sale(&paid);
    as_sent.reversal(&ReversalSpec { net: Some(500), ..refund("txn", "half", 595) });
    assert_eq!(as_sent.numbers("txn"), (119, 119, "pending"));
}

#[test]
fn terms_freeze_one_slice_for_each_line_only_when_lines_say_the_whole_base() {
    let slices = |lines: Vec<(&'static str, i64)>| {
        let mut world = at(200_000);
        world.sale(&SaleSpec { net: Some(1000), lines, ..sale("txn", 1190) });
        world.sales["txn"]
            .slices
            .iter()
            .map(|slice| (slice.line_id.clone(), slice.base.0))
            .collect::<Vec<_>>()
    };
    let of = |line: &str, base| (line.to_owned(), base);
    assert_eq!(slices(vec![("a", 400), ("b", 600)]), [of("a", 400), of("b", 600)]);
    assert_eq!(slices(vec![("a", 400), ("b", 599)]), [of("", 1000)]);
    assert_eq!(slices(vec![("a", 1100), ("b", -100)]), [of("", 1000)]);
}

#[test]
fn terms_are_frozen_and_the_highest_version_counts_for_new_sales() {
    let mut world = at(300_000);
    world.sale(&sale("old", 1000));
    world.rate(2, 100_000);
    world.sale(&sale("new", 1000));
    world.reversal(&refund("old", "adj", 500));
    assert_eq!((world.numbers("old").1, world.numbers("new").1), (150, 100));
}

#[test]
fn a_dispute_holds_until_it_is_decided_and_its_end_is_a_function_of_the_set() {
    let mut world = at(300_000);
    world.sale(&sale("txn", 1000));
    world.tick();
    let warning = warning("txn", "warning", 1000);
    assert_eq!(kinds(&world.reversal(&warning)), [("review", 0)]);
    assert_eq!(world.holds_of("txn"), ["dispute:warning"]);
    assert_eq!(world.sheet("partner_john").review, Minor(300));
    assert_eq!(kinds(&world.tick()), []);
    assert_eq!(kinds(&world.reversal(&chargeback("txn", "cb", 1000))), [("chargeback", -300)]);
    assert_eq!(world.numbers("txn"), (300, 0, "charged_back"));
    // Refunded as well: still charged back. Given back by the bank: only refunded.
    assert_eq!(kinds(&world.reversal(&refund("txn", "adj", 1000))), []);
    let reverse =
        ReversalSpec { family: ReversalFamily::ChargebackReverse, ..chargeback("txn", "back", 1000) };
    assert_eq!(kinds(&world.reversal(&reverse)), [("refunded", 0)]);
    assert_eq!(world.numbers("txn"), (300, 0, "refunded"));
    let failed = ReversalSpec { state: ReversalState::Dead, ..refund("txn", "adj", 1000) };
    assert_eq!(kinds(&world.reversal(&failed)), [("reinstated", 300)]);
    assert_eq!(world.numbers("txn"), (0, 300, "approved"));
}

#[test]
fn a_warning_that_came_to_nothing_releases_and_the_next_tick_approves() {
    let mut world = at(300_000);
    let warning = ReversalSpec { state: ReversalState::Pending, ..chargeback("txn", "dp", 1000) };
    world.reversal(&warning);
    world.sale(&sale("txn", 1000));
    assert_eq!(world.holds_of("txn"), ["dispute:dp", "time"]);
    assert_eq!(world.numbers("txn"), (0, 300, "review"));
    assert_eq!(kinds(&world.tick()), []);
    let over = ReversalSpec { state: ReversalState::Dead, ..warning };
    assert_eq!(kinds(&world.reversal(&over)), [("hold_released", 0)]);
    assert_eq!(kinds(&world.tick()), [("approved", 0)]);
    assert_eq!(world.sheet("partner_john").available, Minor(300));
}

#[test]
fn what_a_reinstated_commission_repaid_is_not_taken_from_others_that_wait() {
    let mut world = at(1_000_000);
    world.sale(&sale("back", 600));
    world.reversal(&refund("back", "adj_1", 600));
    world.sale(&sale("paid", 1000));
    world.tick();
    world.pay("paid");
    world.reversal(&refund("paid", "adj_2", 1000));
    let failed = ReversalSpec { state: ReversalState::Dead, ..refund("back", "adj_1", 600) };
    assert_eq!(kinds(&world.reversal(&failed)), [("reinstated", 600)]);
    world.sale(&sale("other", 50));
    let sheet = world.sheet("partner_john");
    assert_eq!((sheet.pending, sheet.debt, world.numbers("back").2), (Minor(50), Minor(400), "pending"));
    world.reversal(&refund("back", "adj_3", 100));
    let sheet = world.sheet("partner_john");
    assert_eq!((sheet.pending, sheet.debt), (Minor(50), Minor(500)));
    world.tick();
    assert_eq!(
        (world.sheet("partner_john").debt, world.numbers("back")),
        (Minor(450), (100, 500, "approved"))
    );
}

#[test]
fn another_currency_counts_nothing_whichever_came_first() {
    let euros = ReversalSpec { currency: "EUR", ..refund("txn", "adj", 1000) };
    let mut sale_first = at(300_000);
    sale_first.sale(&sale("txn", 1000));
    assert_eq!(results(&sale_first.reversal(&euros)), [ReversalResult::CurrencyMismatch]);
    let mut refund_first = at(300_000);
    refund_first.reversal(&euros);
    assert_eq!(results(&refund_first.sale(&sale("txn", 1000))), [ReversalResult::CurrencyMismatch]);
    assert_eq!([sale_first.numbers("txn"), refund_first.numbers("txn")], [(0, 300, "pending"); 2]);
}

#[test]
fn a_late_decision_creates_the_commission_with_all_that_waited() {
    let mut world = at(300_000);
    world.sale(&SaleSpec { partner: None, ..sale("txn", 1000) });
    assert_eq!(world.sales["txn"].reason, "no_touch");
    assert_eq!(kinds(&world.reversal(&refund("txn", "adj", 500))), []);
    assert_eq!(kinds(&world.late("txn", "partner_mary")), [("created", 300), ("refunded", -150)]);
    assert!(world.sales["txn"].late && world.sales["txn"].reason.is_empty());
    assert_eq!(kinds(&world.late("txn", "partner_john")), [], "decided once");
}

#[test]
fn a_hold_ends_by_the_first_tick_after_it_and_manual_approval_never_does() {
    let mut world = World::new(Setting { hold_days: 30, ..Setting::default() });
    world.sale(&sale("txn", 1000));
    let hold_until = Micros(world.clock.0 - 5_000_000 + 30 * DAY_MICROS);
    world.clock = Micros(hold_until.0 - 1);
    assert_eq!(kinds(&world.tick()), []);
    world.clock = hold_until;
    assert_eq!(kinds(&world.tick()), [("approved", 0)]);
    let mut manual = World::new(Setting { manual: true, ..Setting::default() });
    manual.sale(&sale("txn", 1000));
    assert_eq!(kinds(&manual.tick()), []);
}

#[test]
fn a_tick_approves_in_bounded_steps_until_nothing_is_due() {
    let mut world = at(300_000);
    let many = APPROVALS_PER_STEP * 2 + 1;
    for number in 0..many {
        world.sale(&sale(&format!("txn_{number:05}"), 100));
    }
    let frames = world.log.len();
    assert_eq!(world.tick().len(), many);
    assert_eq!(world.log.len() - frames, 3);
    assert_eq!(kinds(&world.tick()), []);
}

#[test]
fn a_sale_without_a_commission_is_recorded_with_its_reason() {
    let reason = |world: &World| world.sales["txn"].reason.clone();
    let mut unknown = World::default();
    unknown.sale(&sale("txn", 1000));
    assert_eq!(reason(&unknown), "no_program");
    let mut nothing = at(300_000);
    nothing.sale(&sale("txn", 0));
    assert_eq!(reason(&nothing), "commission_zero");
    let mut suspended = at(300_000);
    suspended.partner("partner_john", false);
    suspended.sale(&sale("txn", 1000));
    assert_eq!(reason(&suspended), "partner_inactive");
    let mut wild = at(2_000_000);
    wild.sale(&sale("txn", 1000));
    assert_eq!(reason(&wild), "rate_out_of_range");
}

#[test]
fn amounts_past_the_range_are_recorded_and_never_owed() {
    let mut world = at(1_000_000);
    world.sale(&sale("all", i64::MAX));
    world.sale(&sale("one", 1));
    assert_eq!(world.sales["one"].reason, "amount_out_of_range");
    let lines = SaleSpec { lines: vec![("a", i64::MAX); 4], ..sale("lines", 5) };
    world.sale(&SaleSpec { partner: Some("partner_mary".to_owned()), ..lines });
    for part in ["a", "b", "c"] {
        world.reversal(&refund("all", part, i64::MAX));
        world.reversal(&chargeback("all", part, i64::MAX));
    }
    assert_eq!(world.numbers("all"), (i64::MAX, 0, "charged_back"));
}

#[test]
fn a_twin_gets_the_first_answer_whatever_happened_since() {
    let mut world = at(300_000);
    let waits = |correlation_id| Some(ReplyAddress { gateway_instance: "gw".to_owned(), correlation_id });
    let input = world.sale_events(&sale("txn", 1000), waits(1));
    let first = answer(&world.frame(input));
    assert_eq!(first.answer.sale, Some(SaleId::derive(&"prog_test".into(), &"paddle".into(), "txn")));
    assert_eq!((first.answer.amount, first.answer.status), (Minor(300), Some(CommissionStatus::Pending)));
    assert_eq!((first.answer.currency, first.duplicate), (Some(currency("USD")), false));
    world.tick();
    world.reversal(&refund("txn", "adj", 1000));
    let twin = |world: &mut World, event: &str| {
        let verdict = verdict(VerdictKind::Duplicate, &event.into(), waits(2));
        answer(&world.frame(vec![passed(FactsEvent::Verdict(verdict), None)]))
    };
    let second = twin(&mut world, first.answer.event.as_str());
    assert_eq!((&second.answer, second.duplicate, second.reply_to), (&first.answer, true, waits(2)));
    assert_eq!(twin(&mut world, "evt_nobody").answer.declined, "unknown");

    // Nobody waited for the first: the answer is the one that it would have had.
    let silent = world.sale_events(&sale("silent", 1000), None);
    let events = world.frame(silent);
    assert!(!events.iter().any(|event| matches!(event, CommissionsEvent::Answer(_))));
    let event = world.sales["silent"].event.clone();
    world.tick();
    let told = twin(&mut world, event.as_str()).answer;
    assert_eq!((told.amount, told.status), (Minor(300), Some(CommissionStatus::Pending)));
}

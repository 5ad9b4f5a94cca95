//! Invariants under random histories. The harness checks after every step that postings sum to 0, that buckets are the sum
//! of N, that none is negative, that nothing is available beside a debt, and that nothing is approved before its time.
use super::harness::{ReversalSpec, SaleSpec, Setting, World, refund, sale};
use super::model::expected;
use proptest::collection::vec;
use proptest::prelude::*;
use tributary_domain::config::Profile;
use tributary_domain::facts::{ReversalFamily, ReversalState};
use tributary_domain::money::{Minor, Rounding, split_by_largest_remainder};
use tributary_domain::time::{DAY_MICROS, Micros};

const LINES: [&str; 3] = ["line_a", "line_b", "line_c"];

fn settings() -> impl Strategy<Value = Setting> {
    let profiles = prop_oneof![Just(Profile::Native), Just(Profile::Revshare)];
    let roundings = prop_oneof![Just(Rounding::HalfEven), Just(Rounding::HalfUp), Just(Rounding::Floor)];
    let rates = prop_oneof![Just(125_000), Just(200_000), Just(1_000_000), 0..=1_000_000_i64];
    (profiles, roundings, 0..3_u32, rates).prop_map(|(profile, rounding, hold_days, rate)| Setting {
        profile,
        rounding,
        hold_days,
        manual: false,
        rate,
    })
}

/// Small amounts, where rounding shows, and the largest.
fn amounts() -> impl Strategy<Value = i64> {
    prop_oneof![8 => 0..=2_000_i64, 2 => 0..=1_000_000_000_i64, 1 => (i64::MAX - 2)..=i64::MAX]
}

fn sales(id: &'static str, amounts: impl Strategy<Value = i64>) -> impl Strategy<Value = SaleSpec> {
    (amounts, prop::option::of(0..=100_i64), any::<bool>()).prop_map(move |(gross, net_percent, by_line)| {
        let net = net_percent.map(|percent| (i128::from(gross) * i128::from(percent) / 100) as i64);
        let whole = net.unwrap_or(gross);
        let third = whole / 3;
        let lines = if by_line {
            vec![(LINES[0], third), (LINES[1], third), (LINES[2], whole - 2 * third)]
        } else {
            vec![]
        };
        SaleSpec { net, lines, ..sale(id, gross) }
    })
}

/// Facts of a few objects: one object in several states, with or without its net part and lines.
fn reversals(
    sale: &'static str,
    amounts: impl Strategy<Value = i64>,
) -> impl Strategy<Value = Vec<ReversalSpec>> {
    let families = prop_oneof![
        3 => Just(ReversalFamily::Refund),
        1 => Just(ReversalFamily::Chargeback),
        1 => Just(ReversalFamily::ChargebackReverse)
    ];
    let states = prop_oneof![
        Just(vec![ReversalState::Live]),
        Just(vec![ReversalState::Pending]),
        Just(vec![ReversalState::Pending, ReversalState::Live]),
        Just(vec![ReversalState::Live, ReversalState::Dead]),
        Just(vec![ReversalState::Pending, ReversalState::Dead]),
    ];
    let currencies = prop_oneof![9 => Just("USD"), 1 => Just("EUR")];
    let object = (families, states, currencies, amounts, prop::option::of(0..=100_i64), any::<bool>());
    vec(object, 0..6).prop_map(move |objects| {
        let mut facts = Vec::new();
        for (number, (family, states, currency, gross, net_percent, named)) in objects.into_iter().enumerate()
        {
            let net = net_percent.map(|percent| (i128::from(gross) * i128::from(percent) / 100) as i64);
            // The model knows no lines without a net part.
            let lines = if named && net.is_some() { vec![(LINES[number % 3], gross / 2)] } else { vec![] };
            for state in states {
                let id = format!("adj_{number}");
                let spec = ReversalSpec { family, state, currency, net, ..refund(sale, &id, gross) };
                facts.push(ReversalSpec { lines: lines.clone(), ..spec });
            }
        }
        facts
    })
}

/// R, N and the end state agree with the model.
fn assert_as_expected(world: &World, setting: Setting, sale: &SaleSpec, facts: &[ReversalSpec]) {
    let got = world.commission(&sale.id);
    let Some((gross, net, end)) = expected(setting, sale, facts) else {
        assert_eq!(got, None);
        return;
    };
    let got = got.unwrap();
    assert_eq!((got.gross_minor.0, got.net_minor.0), (gross, net), "{sale:?} {facts:#?}");
    let status = got.status.name();
    if status != "paid" {
        assert_eq!(
            ["refunded", "charged_back"].contains(&status).then_some(status),
            end,
            "{sale:?} {facts:#?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn facts_of_one_sale_in_any_order_and_multiplicity_give_the_same_numbers(
        setting in settings(),
        sold in sales("txn", amounts()),
        facts in reversals("txn", amounts()),
        order in vec(any::<prop::sample::Index>(), 0..24),
        sale_at in any::<prop::sample::Index>(),
    ) {
        // Each fact at least once, some again, in the order that `order` says; ticks between them.
        let mut script: Vec<&ReversalSpec> = facts.iter().collect();
        if !facts.is_empty() {
            script.extend(order.iter().map(|at| at.get(&facts)));
            for (from, at) in order.iter().enumerate() {
                let (a, b) = (from % script.len(), at.index(script.len()));
                script.swap(a, b);
            }
        }
        let sale_at = sale_at.index(script.len() + 1);
        let mut world = World::new(setting);
        for step in 0..=script.len() {
            if step == sale_at {
                world.sale(&sold);
            }
            if let Some(fact) = script.get(step) {
                world.reversal(fact);
            }
            world.clock = Micros(world.clock.0 + DAY_MICROS / 2);
            world.tick();
            if step % 3 == 0 {
                let partner = Some("partner_mary".to_owned());
                world.sale(&SaleSpec { id: "other".to_owned(), partner, ..sold.clone() });
            }
        }
        assert_as_expected(&world, setting, &sold, &facts);
        world.assert_rebuild_is_identical();
    }

    #[test]
    fn a_full_refund_in_any_number_of_parts_leaves_nothing(
        setting in settings(),
        sold in sales("txn", 1..=100_000_i64),
        cuts in vec(any::<prop::sample::Index>(), 0..6),
        chargebacks in any::<bool>(),
    ) {
        let mut cuts: Vec<i64> = cuts.iter().map(|at| at.index(sold.gross as usize) as i64).collect();
        cuts.extend([0, sold.gross]);
        cuts.sort_unstable();
        let mut world = World::new(setting);
        world.sale(&sold);
        let family = if chargebacks { ReversalFamily::Chargeback } else { ReversalFamily::Refund };
        for (number, part) in cuts.windows(2).enumerate() {
            let part = refund("txn", &format!("adj_{number}"), part[1] - part[0]);
            world.reversal(&ReversalSpec { family, ..part });
        }
        if let Some(line) = world.commission("txn") {
            prop_assert_eq!(line.net_minor, Minor::ZERO);
            prop_assert_eq!(line.status.name(), if chargebacks { "charged_back" } else { "refunded" });
        }
    }

    #[test]
    fn a_split_sums_to_the_whole_and_is_nowhere_off_by_one(
        total in (i64::MIN + 1)..=i64::MAX,
        weights in vec(0..=i64::MAX, 1..9),
    ) {
        let whole: i128 = weights.iter().map(|weight| i128::from(*weight)).sum();
        let parts = split_by_largest_remainder(Minor(total), &weights.iter().copied().map(Minor).collect::<Vec<_>>());
        if whole == 0 {
            prop_assert!(parts.is_err() || total == 0);
            return Ok(());
        }
        let parts = parts.unwrap();
        prop_assert_eq!(parts.iter().map(|part| i128::from(part.0)).sum::<i128>(), i128::from(total));
        for (part, weight) in parts.iter().zip(&weights) {
            let exact = i128::from(total) * i128::from(*weight) / whole;
            prop_assert!((i128::from(part.0) - exact).abs() <= 1);
        }
    }
}

/// One thing that happens to a program.
#[derive(Debug, Clone)]
enum Happens {
    Sale(SaleSpec),
    Reversals(Vec<ReversalSpec>),
    Tick(i64),
    Late(&'static str),
    Paid(&'static str),
}

const SALES: [&str; 4] = ["txn_0", "txn_1", "txn_2", "txn_3"];

fn histories() -> impl Strategy<Value = Vec<Happens>> {
    let small = 0..=2_000_i64;
    let one = (0..SALES.len(), any::<bool>(), any::<bool>()).prop_flat_map(move |(number, known, john)| {
        let id = SALES[number];
        let partner = known.then(|| if john { "partner_john" } else { "partner_mary" }.to_owned());
        prop_oneof![
            2 => sales(id, small.clone()).prop_map(move |spec| Happens::Sale(SaleSpec { partner: partner.clone(), ..spec })),
            3 => reversals(id, small.clone()).prop_map(Happens::Reversals),
            3 => (0..=DAY_MICROS).prop_map(Happens::Tick),
            1 => Just(Happens::Late(id)),
            3 => Just(Happens::Paid(id)),
        ]
    });
    vec(one, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_history_of_a_program_breaks_the_books(setting in settings(), history in histories()) {
        let mut world = World::new(setting);
        let (mut sold, mut facts): (Vec<SaleSpec>, Vec<ReversalSpec>) = (vec![], vec![]);
        for happens in history {
            match happens {
                Happens::Sale(spec) => {
                    world.sale(&spec);
                    // A second sale under the same id is not a sale.
                    if !sold.iter().any(|known| known.id == spec.id) {
                        sold.push(spec);
                    }
                }
                Happens::Reversals(specs) => {
                    for spec in specs {
                        // One object and state says one thing: anything else is a conflict, refused before the ledger.
                        let amounts = facts.iter().find(|known| {
                            known.sale == spec.sale && known.id == spec.id && known.family == spec.family
                        });
                        let spec = match amounts {
                            Some(known) => ReversalSpec { state: spec.state, ..known.clone() },
                            None => spec,
                        };
                        world.reversal(&spec);
                        facts.push(spec);
                    }
                }
                Happens::Tick(later) => {
                    world.clock = Micros(world.clock.0 + later);
                    world.tick();
                }
                Happens::Late(id) => {
                    world.late(id, "partner_mary");
                    if let Some(known) = sold.iter_mut().find(|known| known.id == id) {
                        known.partner.get_or_insert_with(|| "partner_mary".to_owned());
                    }
                }
                Happens::Paid(id) => {
                    world.pay(id);
                }
            }
        }
        for sale in &sold {
            assert_as_expected(&world, setting, sale, &facts);
        }
        world.assert_rebuild_is_identical();
    }
}

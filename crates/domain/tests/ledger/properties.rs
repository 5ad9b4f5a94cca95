//! Invariants under random histories. The harness checks after every step that postings sum to 0, that buckets are the sum
//! of N, that none is negative, that nothing is available beside a debt, and that nothing is approved before its time.
use super::harness::{ReversalSpec, SaleSpec, Setting, World, refund, refund_total, sale};
use super::model::{expected, expected_holds};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeSet;
use tributary_domain::config::{FlatRefund, Profile};
use tributary_domain::facts::{CommandKind, ReversalFamily, ReversalState};
use tributary_domain::money::{Minor, Rounding, split_by_largest_remainder};
use tributary_domain::time::{DAY_MICROS, Micros};

const SUBSCRIPTION: &str = "sub";
/// Before anything is told.
const SOLD_AT: Micros = Micros(900_000_000);

const LINES: [&str; 3] = ["line_a", "line_b", "line_c"];

fn settings() -> impl Strategy<Value = Setting> {
    let profiles = prop_oneof![Just(Profile::Native), Just(Profile::Revshare)];
    let roundings = prop_oneof![Just(Rounding::HalfEven), Just(Rounding::HalfUp), Just(Rounding::Floor)];
    let rates = prop_oneof![Just(125_000), Just(200_000), Just(1_000_000), 0..=1_000_000_i64];
    let on_refund =
        prop_oneof![Just(FlatRefund::FullOnly), Just(FlatRefund::Proportional), Just(FlatRefund::Any)];
    let flat = (0..=2_000_i64, prop_oneof![Just("USD"), Just("EUR")], on_refund);
    let rewards = (rates, prop_oneof![3 => Just(None), 1 => flat.prop_map(Some)]);
    (profiles, roundings, 0..3_u32, rewards).prop_map(|(profile, rounding, hold_days, (rate, flat))| {
        Setting { profile, rounding, hold_days, rate, flat, ..Setting::default() }
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
        SaleSpec { net, lines, subscription: SUBSCRIPTION, at: Some(SOLD_AT), ..sale(id, gross) }
    })
}

/// Facts of a few objects: one object in several states, with or without its net part and lines.
fn reversals(
    sale: &'static str,
    amounts: impl Strategy<Value = i64>,
) -> impl Strategy<Value = Vec<ReversalSpec>> {
    let families = prop_oneof![
        3 => Just(ReversalFamily::Refund),
        2 => Just(ReversalFamily::RefundTotal),
        2 => Just(ReversalFamily::Chargeback),
        1 => Just(ReversalFamily::ChargebackReverse),
        1 => Just(ReversalFamily::ChargebackWarning),
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
            if family == ReversalFamily::RefundTotal {
                // Some of two charges.
                let charge = if named { "ch_1" } else { "ch_2" };
                facts.push(ReversalSpec { currency, ..refund_total(sale, charge, gross) });
                continue;
            }
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

/// The holds of an unpaid commission agree with the model.
fn assert_held_as_expected(world: &World, sale: &SaleSpec, facts: &[ReversalSpec], ends: &[Micros]) {
    let Some(line) = world.commission(&sale.id) else { return };
    if line.status.is_unpaid() {
        let holds = world.holds_of(&sale.id);
        let holds =
            holds.into_iter().filter(|hold| *hold != "time").map(str::to_owned).collect::<BTreeSet<_>>();
        assert_eq!(holds, expected_holds(sale, facts, ends), "{sale:?} {facts:#?} {ends:?}");
    }
}

/// A payment that was two sales before its ids were linked is owed once.
fn assert_owed_once(world: &World, setting: Setting, sale: &SaleSpec, facts: &[ReversalSpec]) {
    let lines = ["txn", "in"].into_iter().filter_map(|id| world.commission(id));
    let lines: Vec<_> = lines.filter(|line| line.status.name() != "rejected").collect();
    let net: i64 = lines.iter().map(|line| line.net_minor.0).sum();
    let expected = expected(setting, sale, facts).map_or(0, |(_, net, _)| net);
    assert_eq!(net, expected, "{sale:?} {facts:#?} {lines:#?}");
    assert!(lines.iter().filter(|line| line.net_minor.0 != 0).count() < 2, "{lines:#?}");
}

/// The ids of the one payment.
const NAMES: [&str; 3] = ["txn", "pi", "in"];

/// One thing that is told about a payment.
#[derive(Debug, Clone)]
enum Told {
    Sale(SaleSpec),
    Reversal(ReversalSpec),
    Link(&'static str, &'static str),
    Cancelled(Micros),
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn facts_of_one_sale_in_any_order_and_multiplicity_give_the_same_numbers(
        setting in settings(),
        sold in sales("txn", amounts()),
        facts in reversals("txn", amounts()),
        ends in vec(-1..=1_i64, 0..3),
        names in vec(any::<prop::sample::Index>(), 8),
        is_told_twice in any::<bool>(),
        order in vec(any::<prop::sample::Index>(), 0..24),
    ) {
        let ends: Vec<Micros> = ends.into_iter().map(|later| Micros(SOLD_AT.0 + later)).collect();
        let mut told = vec![Told::Sale(sold.clone())];
        told.extend(ends.iter().copied().map(Told::Cancelled));
        // Each reversal names the payment by one of its ids, and says or does not say another.
        for (number, fact) in facts.iter().enumerate() {
            let name = |index: &prop::sample::Index| *index.get(&NAMES);
            let aliases = if number % 2 == 0 { vec![] } else { vec![name(&names[7 - number % 8]).to_owned()] };
            told.push(Told::Reversal(ReversalSpec {
                sale: name(&names[number % 8]).to_owned(),
                aliases,
                ..fact.clone()
            }));
        }
        told.extend([Told::Link("txn", "pi"), Told::Link("in", "pi")]);
        if is_told_twice {
            told.push(Told::Sale(SaleSpec { id: "in".to_owned(), ..sold.clone() }));
        }
        // Each fact at least once, some again, in the order that `order` says; ticks between them.
        let mut script: Vec<&Told> = told.iter().collect();
        script.extend(order.iter().map(|at| at.get(&told)));
        for (from, at) in order.iter().enumerate() {
            let (a, b) = (from % script.len(), at.index(script.len()));
            script.swap(a, b);
        }
        let mut world = World::new(setting);
        for (step, told) in script.into_iter().enumerate() {
            match told {
                Told::Sale(spec) => drop(world.sale(spec)),
                Told::Reversal(spec) => drop(world.reversal(spec)),
                Told::Link(id, alias) => drop(world.link(id, &[alias])),
                Told::Cancelled(end) => drop(world.cancelled(SUBSCRIPTION, *end)),
            }
            world.clock = Micros(world.clock.0 + DAY_MICROS / 2);
            world.tick();
            if step % 3 == 0 {
                let partner = Some("partner_mary".to_owned());
                world.sale(&SaleSpec { id: "other".to_owned(), partner, ..sold.clone() });
            }
        }
        if is_told_twice {
            assert_owed_once(&world, setting, &sold, &facts);
        } else {
            assert_as_expected(&world, setting, &sold, &facts);
            assert_held_as_expected(&world, &sold, &facts, &ends);
        }
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
#[allow(clippy::large_enum_variant, reason = "a few dozen of them at a time")]
enum Happens {
    Sale(SaleSpec),
    Reversals(Vec<ReversalSpec>),
    Tick(i64),
    Late(&'static str),
    Paid(&'static str),
    Decided(CommandKind, &'static str),
    Cancelled(i64),
}

const SALES: [&str; 4] = ["txn_0", "txn_1", "txn_2", "txn_3"];

fn histories() -> impl Strategy<Value = Vec<Happens>> {
    let small = 0..=2_000_i64;
    let one = (0..SALES.len(), any::<bool>(), any::<bool>()).prop_flat_map(move |(number, known, john)| {
        let id = SALES[number];
        let partner = known.then(|| if john { "partner_john" } else { "partner_mary" }.to_owned());
        use CommandKind::{Approve, Hold, Reinstate, Reject, Release};
        let decision = prop_oneof![
            3 => Just(Approve),
            2 => Just(Reject),
            2 => Just(Reinstate),
            1 => Just(Hold),
            1 => Just(Release),
        ];
        prop_oneof![
            4 => sales(id, small.clone()).prop_map(move |spec| Happens::Sale(SaleSpec { partner: partner.clone(), ..spec })),
            6 => reversals(id, small.clone()).prop_map(Happens::Reversals),
            6 => (0..=DAY_MICROS).prop_map(Happens::Tick),
            2 => Just(Happens::Late(id)),
            6 => Just(Happens::Paid(id)),
            4 => decision.prop_map(move |kind| Happens::Decided(kind, id)),
            1 => (-1..=1_i64).prop_map(Happens::Cancelled),
        ]
    });
    vec(one, 1..40)
}

/// What the model must know of a history.
#[derive(Debug, Default)]
struct Known {
    sold: Vec<SaleSpec>,
    facts: Vec<ReversalSpec>,
    ends: Vec<Micros>,
    decided: BTreeSet<&'static str>,
}

impl Known {
    fn sale(&mut self, spec: SaleSpec) {
        match self.sold.iter_mut().find(|known| known.id == spec.id) {
            // A second sale under the same id is not a sale; it may say who earns.
            Some(known) => known.partner = known.partner.take().or(spec.partner),
            None => self.sold.push(spec),
        }
    }

    /// One object and state says one thing: anything else is a conflict, refused before the ledger.
    fn reversal(&mut self, spec: ReversalSpec) -> ReversalSpec {
        let known = self.facts.iter().find(|known| {
            known.sale == spec.sale
                && known.id == spec.id
                && known.family == spec.family
                && known.family != ReversalFamily::RefundTotal
        });
        let spec = match known {
            Some(known) => ReversalSpec { state: spec.state, ..known.clone() },
            None => spec,
        };
        self.facts.push(spec.clone());
        spec
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_history_of_a_program_breaks_the_books(
        setting in settings(),
        manual in any::<bool>(),
        history in histories(),
    ) {
        let setting = Setting { manual, ..setting };
        let mut world = World::new(setting);
        let mut known = Known::default();
        for happens in history {
            match happens {
                Happens::Sale(spec) => {
                    world.sale(&spec);
                    known.sale(spec);
                }
                Happens::Reversals(specs) => {
                    for spec in specs {
                        world.reversal(&known.reversal(spec));
                    }
                }
                Happens::Tick(later) => {
                    world.clock = Micros(world.clock.0 + later);
                    world.tick();
                }
                Happens::Late(id) => {
                    world.late(id, "partner_mary");
                    if let Some(known) = known.sold.iter_mut().find(|known| known.id == id) {
                        known.partner.get_or_insert_with(|| "partner_mary".to_owned());
                    }
                }
                Happens::Paid(id) => {
                    world.pay(id);
                }
                Happens::Decided(kind, id) => {
                    let before = world.commission(id);
                    let by_name = matches!(kind, CommandKind::Hold | CommandKind::Release);
                    let (answer, events) = if by_name && before.is_some() {
                        world.hold(kind, id, "manual")
                    } else {
                        world.command(kind, id)
                    };
                    if answer.declined.is_empty() {
                        known.decided.insert(id);
                    } else {
                        assert_eq!(events.len(), 1, "declined, and only answered: {events:#?}");
                        assert_eq!(world.commission(id), before);
                    }
                }
                Happens::Cancelled(later) => {
                    let end = Micros(SOLD_AT.0 + later);
                    world.cancelled(SUBSCRIPTION, end);
                    known.ends.push(end);
                }
            }
        }
        for sale in &known.sold {
            if world.commission(&sale.id).is_some_and(|line| line.status.name() == "rejected") {
                prop_assert_eq!(world.numbers(&sale.id).1, 0);
                continue;
            }
            assert_as_expected(&world, setting, sale, &known.facts);
            if !known.decided.contains(sale.id.as_str()) {
                assert_held_as_expected(&world, sale, &known.facts, &known.ends);
            }
        }
        world.assert_rebuild_is_identical();
    }
}

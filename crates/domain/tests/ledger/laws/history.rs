//! Random histories of one program: what it sells, and one step after another.
//!
//! A history is data and knows nothing of how it goes: any step may be left out and the rest still makes sense. That is how a
//! failing one is made short. Whoever adds a kind of fact or command adds a [`Step`], its weight in [`step`], how it is told
//! to the ledger (`run`) and what it means (`reference`).
use super::super::harness::{ReversalSpec, SaleSpec, refund, sale};
use super::calendar::midnight;
use super::random::Random;
use super::rule_spec::{COUNTRIES, CURRENCIES, GROUPS, PARTNERS, PRODUCTS, RULES, RuleSpec, random_rule};
use tributary_domain::config::Profile;
use tributary_domain::facts::{CommandKind, ReversalFamily, ReversalState};
use tributary_domain::money::Rounding;
use tributary_domain::time::{DAY_MICROS, Micros};

/// What never changes of the program.
#[derive(Debug, Clone)]
pub struct Settings {
    pub profile: Profile,
    pub rounding: Rounding,
    pub hold_days: u32,
    pub manual: bool,
    pub currency: &'static str,
}

/// A sale, and every reversal that could be told of it. An object says the same in each of its states: anything else is a
/// conflict, refused before the ledger.
#[derive(Debug, Clone)]
pub struct Product {
    pub sale: SaleSpec,
    pub objects: Vec<ReversalSpec>,
}

/// One thing that happens.
#[derive(Debug, Clone)]
pub enum Step {
    /// A sale is told, for the first time or again; without a partner nobody earns it yet.
    Sale { sale: usize, is_attributed: bool },
    /// A link explains a sale later.
    Late { sale: usize, partner: &'static str },
    /// An object of a sale, in a state.
    Reversal { sale: usize, object: usize, state: ReversalState },
    /// Time passes, and the clock ticks.
    Tick { wait: i64 },
    /// A person decides.
    Decide { kind: CommandKind, sale: usize },
    /// A subscription ended.
    Cancelled { subscription: &'static str, at: Micros },
    /// A rule in a new version, or its removal.
    Rule { rule: usize, is_removed: bool },
    /// A partner is described.
    Partner { partner: &'static str, active: bool, group: &'static str },
    /// What is available of a commission is paid: debts come from paid commissions. Payouts are not here yet.
    Pay { sale: usize },
}

/// A whole history.
#[derive(Debug, Clone)]
pub struct History {
    pub settings: Settings,
    /// Versions of rules; the first is there from the beginning.
    pub rules: Vec<RuleSpec>,
    pub products: Vec<Product>,
    pub steps: Vec<Step>,
}

/// When histories begin: on the last of March, after the February of a leap year.
pub fn start() -> Micros {
    midnight(2028, 2, 30)
}

/// When something is sold: some day of the last weeks, or at the very end of a month, where windows of months begin and end.
fn sold_at(random: &mut Random) -> Micros {
    match random.below(2) {
        0 => random.of(&[midnight(2028, 0, 30), midnight(2028, 1, 28), start()]),
        _ => Micros(start().0 - random.between(-1, 70) * DAY_MICROS),
    }
}

pub const SUBSCRIPTIONS: [&str; 3] = ["", "sub_a", "sub_b"];
const LINES: [&str; 3] = ["line_a", "line_b", "line_c"];
const SALES: [&str; 8] = ["txn_0", "txn_1", "txn_2", "txn_3", "txn_4", "txn_5", "txn_6", "txn_7"];

pub fn history(seed: u64) -> History {
    let random = &mut Random::new(seed);
    let settings = Settings {
        profile: random.of(&[Profile::Native, Profile::Native, Profile::Revshare]),
        rounding: random.of(&[Rounding::HalfEven, Rounding::HalfUp, Rounding::Floor]),
        hold_days: random.of(&[0, 1, 3, 7]),
        manual: random.once_in(6),
        currency: random.of(&CURRENCIES),
    };
    let mut rules = vec![random_rule(random, RULES[0])];
    for _ in 0..random.below(7) {
        let id = random.of(&RULES);
        rules.push(random_rule(random, id));
    }
    let count = 3 + random.below(SALES.len() - 3);
    let products: Vec<Product> = SALES[..count].iter().map(|id| product(random, &settings, id)).collect();
    let steps = steps(random, &rules, &products);
    History { settings, rules, products, steps }
}

/// Several stories and single steps, told in turns.
fn steps(random: &mut Random, rules: &[RuleSpec], products: &[Product]) -> Vec<Step> {
    let mut tales: Vec<Vec<Step>> = (0..2 + random.below(5)).map(|_| tale(random, products)).collect();
    tales.push((0..8 + random.below(20)).map(|_| step(random, rules, products)).collect());
    tales.iter_mut().for_each(|tale| tale.reverse());
    let mut steps = Vec::new();
    while !tales.is_empty() {
        // By what is left of each, so that all end together.
        let lengths: Vec<usize> = tales.iter().map(Vec::len).collect();
        let turn = random.weighted(&lengths);
        steps.extend(tales[turn].pop());
        tales.retain(|tale| !tale.is_empty());
    }
    steps
}

/// A story that chance alone would tell too rarely: money that goes back and returns, also into a hold, also to a partner
/// who owes something.
fn tale(random: &mut Random, products: &[Product]) -> Vec<Step> {
    use ReversalState::{Dead, Live, Pending};
    let [sale, other] = [random.below(products.len()), random.below(products.len())];
    let told = |sale, object, state| Step::Reversal { sale, object, state };
    let days = Step::Tick { wait: 3 * DAY_MICROS };
    let approved = |sale| Step::Decide { kind: CommandKind::Approve, sale };
    let mut tale = vec![Step::Sale { sale, is_attributed: true }];
    match random.weighted(&[5, 5, 2, 2, 2]) {
        // Some of it or all of it goes back and returns, before or after the approval, with or without another hold.
        kind @ 0..=1 => {
            let object = if kind == 0 { random.of(&[2, 3, 3]) } else { random.of(&[0, 1]) };
            let holds = if object == 2 { 1 } else { 2 };
            tale.extend(random.once_in(3).then(|| days.clone()));
            tale.extend(random.once_in(4).then(|| told(sale, object, Pending)));
            tale.push(told(sale, object, Live));
            tale.extend(random.once_in(3).then(|| told(sale, holds, Pending)));
            tale.push(told(sale, object, Dead));
        }
        // Two disputes; a person decides, or one of them is won.
        2 => tale.extend([
            told(sale, 1, Pending),
            told(sale, 2, Pending),
            told(sale, random.of(&[1, 2]), Dead),
            Step::Decide { kind: CommandKind::Reject, sale },
        ]),
        // A debt, and the next sale that repays it.
        3 => tale.extend([
            days.clone(),
            approved(sale),
            Step::Pay { sale },
            told(sale, 0, Live),
            Step::Sale { sale: other, is_attributed: true },
            days,
            approved(other),
        ]),
        // A debt, and money that returns from an end.
        _ => tale.extend([
            Step::Sale { sale: other, is_attributed: true },
            told(other, 1, Live),
            days,
            approved(sale),
            Step::Pay { sale },
            told(sale, 0, Live),
            told(other, 1, Dead),
        ]),
    }
    tale
}

fn product(random: &mut Random, settings: &Settings, id: &str) -> Product {
    let gross = match random.weighted(&[12, 3, 1]) {
        0 => random.between(1, 2_500),
        1 => random.between(0, 60),
        _ => random.between(0, 1_000_000_000_000),
    };
    let net = random.once_in(2).then(|| part(gross, random.between(30, 100)));
    let base = if settings.profile == Profile::Native { net.unwrap_or(gross) } else { gross };
    let mut sale = SaleSpec {
        partner: Some(random.of(&PARTNERS[..2]).to_owned()),
        currency: if random.once_in(4) { random.of(&CURRENCIES) } else { settings.currency },
        net,
        subscription: random.of(&SUBSCRIPTIONS),
        at: Some(sold_at(random)),
        customer: (!random.once_in(4)).then(|| u8::try_from(random.between(1, 2)).unwrap()),
        country: random.of(&COUNTRIES),
        ..sale(id, gross)
    };
    if !random.once_in(3) {
        let cut = part(base, random.between(0, 100));
        let again = part(base - cut, random.between(0, 100));
        sale.lines = LINES.into_iter().zip([cut, again, base - cut - again]).collect();
        if random.once_in(8) {
            // Lines that say less than everything.
            sale.lines.truncate(1 + random.below(2));
        }
        sale.products = sale.lines.iter().map(|_| random.of(&["pro", "mug", "gift", ""])).collect();
        if random.once_in(3) {
            sale.products = vec![PRODUCTS[0]; sale.lines.len()];
        }
    }
    let gives_back = random.once_in(2);
    let objects = (0..6).map(|number| object(random, &sale, base, number, gives_back)).collect();
    Product { sale, objects }
}

/// `gives_back`: banks give chargebacks of this sale back, and no chargeback names a line. (Which line a reverse gives back
/// when it names none is not in the contract.)
fn object(random: &mut Random, sale: &SaleSpec, base: i64, number: usize, gives_back: bool) -> ReversalSpec {
    let (back, warning) = (ReversalFamily::ChargebackReverse, ReversalFamily::ChargebackWarning);
    // The first ones are there for `tale`: all of the sale as a refund and as a chargeback, and a part as
    // each.
    let family = match (number, random.weighted(&[4, 1, 2, usize::from(gives_back), 1])) {
        (0 | 3, _) => ReversalFamily::Refund,
        (1 | 2, _) | (_, 2) => ReversalFamily::Chargeback,
        (_, 0) => ReversalFamily::Refund,
        (_, 1) => ReversalFamily::RefundTotal,
        (_, 3) => back,
        _ => warning,
    };
    let percent = if number < 2 || random.once_in(8) { 100 } else { random.between(0, 60) };
    let gross = part(sale.gross, percent);
    let names_lines = !sale.lines.is_empty()
        && (family == ReversalFamily::Refund || family == ReversalFamily::Chargeback && !gives_back)
        && random.once_in(2);
    let lines: Vec<(&str, i64)> = if names_lines {
        let (line, whole) = sale.lines[random.below(sale.lines.len())];
        // More than the line, too: the excess joins the rest.
        let most = gross.min(base);
        let one = if random.once_in(3) { most } else { whole.min(most) };
        let other = LINES[random.below(LINES.len())];
        let rest = if other == line { 0 } else { part(most - one, random.between(0, 100)) };
        [(line, one), (other, rest)].into_iter().filter(|(_, net)| *net > 0).collect()
    } else {
        vec![]
    };
    let named: i64 = lines.iter().map(|(_, net)| net).sum();
    let net = random.once_in(2).then(|| named.max(part(gross, random.between(0, 100))));
    let totals = family == ReversalFamily::RefundTotal;
    let id = if totals { format!("ch_{}", number % 2) } else { format!("obj_{number}") };
    ReversalSpec {
        family,
        currency: if number > 3 && random.once_in(8) { "EUR" } else { sale.currency },
        net: net.filter(|_| !totals),
        lines,
        ..refund(&sale.id, &id, gross)
    }
}

fn step(random: &mut Random, rules: &[RuleSpec], products: &[Product]) -> Step {
    use ReversalState::{Dead, Live, Pending};
    let sale = random.below(products.len());
    match random.weighted(&[16, 2, 18, 12, 8, 2, 3, 1, 7]) {
        0 => Step::Sale { sale, is_attributed: !random.once_in(12) },
        1 => Step::Late { sale, partner: random.of(&PARTNERS) },
        2 => {
            // All of it mostly comes in a tale: else every commission would soon be at its end.
            let first = if random.once_in(6) { 0 } else { 2 };
            let object = first + random.below(products[sale].objects.len() - first);
            let family = products[sale].objects[object].family;
            let state = match family {
                ReversalFamily::RefundTotal => Live,
                _ => random.of(&[Pending, Live, Live, Live, Dead, Dead]),
            };
            Step::Reversal { sale, object, state }
        }
        3 => Step::Tick { wait: random.of(&[0, 1, 1, 2]) * DAY_MICROS / 2 },
        4 => {
            let kind = if random.once_in(3) { CommandKind::Reject } else { CommandKind::Approve };
            Step::Decide { kind, sale }
        }
        5 => {
            let near = products[sale].sale.at.unwrap();
            let at = Micros(near.0 + random.between(-1, 1));
            Step::Cancelled { subscription: random.of(&SUBSCRIPTIONS[1..]), at }
        }
        6 => {
            let rule = random.below(rules.len());
            Step::Rule { rule, is_removed: rules[rule].id != RULES[0] && random.once_in(4) }
        }
        7 => Step::Partner {
            partner: random.of(&PARTNERS),
            active: !random.once_in(4),
            group: random.of(&GROUPS),
        },
        _ => Step::Pay { sale },
    }
}

fn part(whole: i64, percent: i64) -> i64 {
    i64::try_from(i128::from(whole) * i128::from(percent) / 100).unwrap()
}

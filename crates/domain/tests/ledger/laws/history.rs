//! Random histories of one program: what it sells, and one step after another.
//!
//! A history is data and knows nothing of how it goes: any step may be left out and the rest still makes sense. That is how a
//! failing one is made short. Whoever adds a kind of fact or command adds a [`Step`], its weight in `tales`, how it is told
//! to the ledger (`run`) and what it means (`reference`).
use super::calendar::midnight;
pub use super::histories::Product;
use super::products::product;
use super::random::Random;
use super::rule_spec::{CURRENCIES, RULES, RuleSpec, random_rule, rule_for_leads};
use super::tales::steps;
use tributary_domain::config::{Profile, Release, ReleaseMode};
use tributary_domain::facts::{CommandKind, ReversalState};
use tributary_domain::money::Rounding;
use tributary_domain::time::Micros;

/// What the program is.
#[derive(Debug, Clone)]
pub struct Settings {
    pub profile: Profile,
    pub rounding: Rounding,
    pub hold_days: u32,
    pub release: Release,
    pub manual: bool,
    pub currency: &'static str,
}

/// A commission, whether it is there or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A part of a sale; of one that is not divided the first.
    Sale { sale: usize, part: usize },
    /// The one of its own with this number.
    Made(usize),
}

/// One thing that happens.
#[derive(Debug, Clone)]
pub enum Step {
    /// A sale is told, for the first time or again; without a partner nobody earns it yet.
    Sale { sale: usize, is_attributed: bool },
    /// A link explains a sale later, perhaps by several partners.
    Late { sale: usize, shares: Vec<(&'static str, u32)> },
    /// An object of a sale, in a state.
    Reversal { sale: usize, object: usize, state: ReversalState },
    /// Time passes, and the clock ticks.
    Tick { wait: i64 },
    /// A person decides; `hold`: which one is added or released.
    Decide { kind: CommandKind, of: Target, hold: &'static str },
    /// A person makes a commission of its own.
    Adjust { number: usize, kind: CommandKind, partner: &'static str, amount: i64, currency: &'static str },
    /// A subscription ended.
    Cancelled { subscription: &'static str, at: Micros },
    /// A rule in a new version, or its removal.
    Rule { rule: usize, is_removed: bool },
    /// The program's settings change.
    Program { settings: usize },
    /// A partner is described.
    Partner { partner: &'static str, active: bool, group: &'static str },
    /// What is available of a commission is paid: debts come from paid commissions. Payouts are not here yet.
    Pay { of: Target },
}

/// A whole history.
#[derive(Debug, Clone)]
pub struct History {
    /// The first is there from the beginning. Profile and currency are the same in all.
    pub settings: Vec<Settings>,
    /// Versions of rules; the first is there from the beginning.
    pub rules: Vec<RuleSpec>,
    pub products: Vec<Product>,
    pub steps: Vec<Step>,
}

/// When histories begin: on the last of March, after the February of a leap year.
pub fn start() -> Micros {
    midnight(2028, 2, 30)
}

const SALES: [&str; 8] = ["txn_0", "txn_1", "txn_2", "txn_3", "txn_4", "txn_5", "txn_6", "txn_7"];

/// The program at one time.
fn settings(random: &mut Random, profile: Profile, currency: &'static str) -> Settings {
    let mode = if random.once_in(3) { ReleaseMode::Calendar } else { ReleaseMode::Days };
    Settings {
        profile,
        rounding: random.of(&[Rounding::HalfEven, Rounding::HalfUp, Rounding::Floor]),
        hold_days: random.of(&[0, 1, 3, 7]),
        release: Release { mode, min_hold_days: random.of(&[0, 0, 0, 2]) },
        manual: random.once_in(6),
        currency,
    }
}

pub fn history(seed: u64) -> History {
    let random = &mut Random::new(seed);
    let profile = random.of(&[Profile::Native, Profile::Native, Profile::Revshare]);
    let currency = random.of(&CURRENCIES);
    let settings: Vec<Settings> = (0..3).map(|_| settings(random, profile, currency)).collect();
    let mut rules = vec![random_rule(random, RULES[0])];
    for _ in 0..random.below(7) {
        let id = random.of(&RULES);
        rules.push(random_rule(random, id));
    }
    let pays_leads = random.once_in(2);
    if pays_leads {
        rules.push(rule_for_leads(random));
    }
    let count = 3 + random.below(SALES.len() - 3);
    let products: Vec<Product> = SALES[..count].iter().map(|id| product(random, &settings[0], id)).collect();
    let mut steps = steps(random, &rules, &products);
    if pays_leads {
        steps.insert(0, Step::Rule { rule: rules.len() - 1, is_removed: false });
    }
    History { settings, rules, products, steps }
}

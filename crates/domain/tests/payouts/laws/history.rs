//! Random histories of paying partners: what is sold, and one step after another. A history is data: any step may be left out
//! and the rest still makes sense. That is how a failing one is made short.
use super::super::specs::{ReversalSpec, SaleSpec, Setting, refund, sale};
use super::calendar::midnight;
pub use super::histories::Product;
use super::random::Random;
use super::tales::steps;
use tributary_domain::facts::{CommandKind, ReversalFamily, ReversalState};
use tributary_domain::money::Rounding;
use tributary_domain::payouts::{PayoutAct, Schedule};
use tributary_domain::time::Micros;

pub const PARTNERS: [&str; 3] = ["partner_john", "partner_mary", "partner_ann"];
/// With 2, 0 and 3 decimals.
pub const CURRENCIES: [&str; 3] = ["USD", "JPY", "KWD"];

/// A commission, whether it is there or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Sale(usize),
    /// The one of its own with this number.
    Made(usize),
}

/// A payout, whether it is there or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Of those with this status, so many before the newest; where there are not so many, the newest of all.
    Last(&'static str, usize),
    /// None that this program has.
    Nobodys,
}

/// What a caller says of the payment besides which it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    Nothing,
    /// Amount and currency, as they are.
    Right,
    WrongAmount,
    WrongCurrency,
    NoReason,
    NoActor,
}

/// How much of a debt is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    All,
    Half,
    /// One more than is owed.
    TooMuch,
    Nothing,
}

/// A rate as histories have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateSpec {
    pub from: &'static str,
    pub to: &'static str,
    pub mantissa: i64,
    pub exponent: i32,
    pub spread_ppm: u32,
}

/// Terms as histories have them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TermsSpec {
    /// Empty: the program's.
    pub partner: &'static str,
    pub schedule: Schedule,
    pub minimums: Vec<(&'static str, i64)>,
    pub pay_in: Option<&'static str>,
}

/// One thing that happens.
#[derive(Debug, Clone)]
pub enum Step {
    /// A sale is told, for the first time or again.
    Sale { sale: usize },
    /// An object of a sale, in a state.
    Reversal { sale: usize, object: usize, state: ReversalState },
    /// Time passes, and the clock ticks.
    Tick { wait: i64 },
    /// The clock ticks at the first moment of a day to come.
    Midnight { days: i64 },
    /// A person decides; `hold`: which one is added or released.
    Decide { kind: CommandKind, of: Target, hold: &'static str },
    /// A person makes a commission of its own.
    Adjust { number: usize, kind: CommandKind, partner: &'static str, amount: i64, currency: &'static str },
    /// A partner is suspended, or active.
    Partner { partner: &'static str, active: bool },
    /// A payout is asked for.
    Draft { partner: &'static str, currency: Option<&'static str>, ignore_minimum: bool },
    /// A payout is settled, fails, or comes back.
    Payout { act: PayoutAct, of: Which, said: Said },
    /// A debt is given up.
    WriteOff { partner: &'static str, currency: &'static str, part: Part, said: Said },
    /// A rate is told.
    Rate(RateSpec),
    /// Terms are set, or removed.
    Terms { terms: TermsSpec, is_removed: bool },
    /// One of the last commands comes again: the same event.
    Twin { back: usize },
}

/// A whole history.
#[derive(Debug, Clone)]
pub struct History {
    /// What the program is, for good: what freezes and what does not is for the laws of the ledger.
    pub settings: Setting,
    pub start: Micros,
    pub products: Vec<Product>,
    pub steps: Vec<Step>,
}

const SALES: [&str; 7] = ["txn_0", "txn_1", "txn_2", "txn_3", "txn_4", "txn_5", "txn_6"];

/// Who and what a history is mostly about: debts are repaid only within one balance.
#[derive(Debug, Clone, Copy)]
pub struct About {
    pub partner: &'static str,
    pub currency: &'static str,
}

impl About {
    pub fn partner(&self, random: &mut Random) -> &'static str {
        if random.once_in(4) { random.of(&PARTNERS) } else { self.partner }
    }

    pub fn currency(&self, random: &mut Random) -> &'static str {
        if random.once_in(5) { random.of(&CURRENCIES) } else { self.currency }
    }
}

fn product(random: &mut Random, about: About, id: &str) -> Product {
    let gross = random.of(&[100, 999, 4900, 10_000, 25, 333]) + random.between(0, 9);
    let currency = about.currency(random);
    let partner = Some(about.partner(random).to_owned());
    let part = random.between(1, gross - 1);
    let of = |name: &str, family, gross| ReversalSpec {
        currency,
        family,
        ..refund(id, &format!("{name}_{id}"), gross)
    };
    let objects = vec![
        of("all", ReversalFamily::Refund, gross),
        of("lost", ReversalFamily::Chargeback, gross),
        of("dispute", ReversalFamily::Chargeback, part),
        of("some", ReversalFamily::Refund, part),
        of("other", ReversalFamily::Refund, gross - part),
    ];
    Product { sale: SaleSpec { partner, currency, ..sale(id, gross) }, objects }
}

pub fn history(seed: u64) -> History {
    let random = &mut Random::new(seed);
    let settings = Setting {
        rounding: random.of(&[Rounding::HalfEven, Rounding::HalfUp, Rounding::Floor]),
        hold_days: random.of(&[0, 0, 0, 0, 2]),
        manual: random.once_in(8),
        rate: random.of(&[1_000_000, 500_000, 300_000, 333_333]),
        ..Setting::default()
    };
    let about = About { partner: random.of(&PARTNERS), currency: random.of(&CURRENCIES) };
    let count = 3 + random.below(SALES.len() - 2);
    let products: Vec<Product> = SALES[..count].iter().map(|id| product(random, about, id)).collect();
    let steps = steps(random, about, &products);
    // Before a February of a leap year and of another, and before a month of 30 days.
    let start = random.of(&[midnight(2028, 0, 20), midnight(2027, 0, 25), midnight(2027, 7, 28)]);
    History { settings, start: Micros(start.0 + random.of(&[0, 3_600_000_000])), products, steps }
}

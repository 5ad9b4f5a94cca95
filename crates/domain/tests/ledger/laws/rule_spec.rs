//! Rules as the laws write them: data that the ledger gets as configuration and the model reads by itself.
use super::super::specs::currency;
use super::random::Random;
use tributary_domain::config::{FlatRefund, Reward, Rule};
use tributary_domain::money::{Minor, RatePpm};
use tributary_domain::rules::{
    Band, Cap, CapScope, Clauses, Comparison, Condition, Field, Limit, Metric, Operator, Period, Tiers,
    Value, Window,
};

pub const CURRENCIES: [&str; 3] = ["USD", "JPY", "KWD"];
pub const PRODUCTS: [&str; 3] = ["pro", "mug", "gift"];
pub const COUNTRIES: [&str; 3] = ["DE", "FR", ""];
pub const GROUPS: [&str; 2] = ["", "gold"];
pub const PARTNERS: [&str; 3] = ["partner_john", "partner_mary", "partner_zoe"];

pub const KINDS: [&str; 5] = ["sale", "renewal", "lead", "signup", "click"];

/// One comparison.
#[derive(Debug, Clone, Copy)]
pub enum Asks {
    Product(&'static str),
    ProductIn(&'static str, &'static str),
    ProductNot(&'static str),
    Country(&'static str),
    CountryNot(&'static str),
    Partner(&'static str),
    Group(&'static str),
    Currency(&'static str),
    Kind(&'static str),
    KindIn(&'static str, &'static str),
    /// `new` or `recurring`.
    Customer(&'static str),
    AmountAbove(i64),
    AmountBelow(i64),
}

/// What a rule pays.
#[derive(Debug, Clone)]
pub enum Pays {
    Percent(i64),
    Flat { amount: i64, currency: &'static str, on_refund: FlatRefund },
    Bands { metric: Metric, period: Period, prior: bool, marginal: bool, bands: Vec<(i64, i64)> },
}

/// A rule in one of its versions.
#[derive(Debug, Clone)]
pub struct RuleSpec {
    pub id: &'static str,
    pub priority: i32,
    pub asks: Vec<Asks>,
    /// One of them is enough.
    pub any: bool,
    pub pays: Pays,
    pub window: Option<Window>,
    pub minimum: Option<(i64, &'static str)>,
    pub caps: Vec<(CapScope, Period, i64, &'static str)>,
}

/// The rule that every program has and never loses, and the names of others.
pub const RULES: [&str; 4] = ["rule_base", "rule_a", "rule_b", "rule_c"];
const FOR_LEADS: &str = "rule_leads";

impl RuleSpec {
    pub fn rule(&self, version: u32) -> Rule {
        let (reward, tiers) = match &self.pays {
            Pays::Percent(rate) => (Reward::Percent(RatePpm(*rate)), None),
            Pays::Flat { amount, currency: code, on_refund } => {
                let (amount, currency, on_refund) = (Minor(*amount), currency(code), *on_refund);
                (Reward::Flat { amount, currency, on_refund }, None)
            }
            Pays::Bands { metric, period, prior, marginal, bands } => {
                let bands = bands.iter().map(|(from, rate)| Band { from: *from, rate: RatePpm(*rate) });
                let tiers = Tiers {
                    metric: *metric,
                    period: *period,
                    prior: *prior,
                    marginal: *marginal,
                    bands: bands.collect(),
                };
                (Reward::default(), Some(tiers))
            }
        };
        let limit = |amount: i64, code: &str| Limit { amount: Minor(amount), currency: currency(code) };
        let asks = self.asks.iter().map(|asks| asks.condition()).collect();
        let clauses = Clauses {
            priority: self.priority,
            when: if self.any { Condition::Any(asks) } else { Condition::All(asks) },
            window: self.window,
            minimum: self.minimum.map(|(amount, code)| limit(amount, code)),
            caps: self
                .caps
                .iter()
                .map(|(scope, period, amount, code)| Cap {
                    scope: *scope,
                    period: *period,
                    limit: limit(*amount, code),
                })
                .collect(),
        };
        Rule { rule: self.id.into(), version, reward, tiers, clauses }
    }
}

impl Asks {
    fn condition(self) -> Condition {
        let text = |text: &str| Value::Text(text.to_owned());
        let (field, operator, value) = match self {
            Self::Product(product) => ("product", Operator::Equal, text(product)),
            Self::ProductIn(one, other) => {
                ("product", Operator::In, Value::Texts(vec![one.to_owned(), other.to_owned()]))
            }
            Self::ProductNot(product) => ("product", Operator::NotEqual, text(product)),
            Self::Country(country) => ("country", Operator::Equal, text(country)),
            Self::CountryNot(country) => ("country", Operator::NotEqual, text(country)),
            Self::Partner(partner) => ("partner", Operator::Equal, text(partner)),
            Self::Group(group) => ("partner_group", Operator::Equal, text(group)),
            Self::Currency(code) => ("currency", Operator::Equal, text(code)),
            Self::Kind(kind) => ("kind", Operator::Equal, text(kind)),
            Self::KindIn(one, other) => {
                ("kind", Operator::In, Value::Texts(vec![one.to_owned(), other.to_owned()]))
            }
            Self::Customer(word) => ("customer", Operator::Equal, text(word)),
            Self::AmountAbove(amount) => ("amount", Operator::Greater, Value::Number(amount)),
            Self::AmountBelow(amount) => ("amount", Operator::Less, Value::Number(amount)),
        };
        Condition::Test(Comparison { field: Field::parse(field, "when").unwrap(), operator, value })
    }

    fn random(random: &mut Random) -> Self {
        match random.below(12) {
            0 | 1 => Self::Product(random.of(&PRODUCTS)),
            2 => Self::ProductIn(PRODUCTS[0], random.of(&PRODUCTS[1..])),
            3 => Self::ProductNot(random.of(&PRODUCTS)),
            4 => Self::Country(random.of(&COUNTRIES[..2])),
            5 => Self::CountryNot(random.of(&COUNTRIES[..2])),
            6 => Self::Partner(random.of(&PARTNERS)),
            7 => Self::Group("gold"),
            8 => Self::Currency(random.of(&CURRENCIES)),
            9 if random.once_in(3) => Self::KindIn(random.of(&KINDS[..2]), random.of(&KINDS[2..])),
            9 => Self::Kind(random.of(&KINDS[..2])),
            10 => Self::Customer(random.of(&["new", "recurring"])),
            _ if random.once_in(2) => Self::AmountAbove(random.between(0, 1_500)),
            _ => Self::AmountBelow(random.between(200, 3_000)),
        }
    }
}

fn rate(random: &mut Random) -> i64 {
    match random.below(4) {
        0 => random.of(&[1, 125_000, 200_000, 500_000, 1_000_000]),
        _ => random.between(1, 1_000_000),
    }
}

fn flat(random: &mut Random) -> Pays {
    Pays::Flat {
        amount: if random.once_in(4) { 0 } else { random.between(1, 900) },
        currency: random.of(&["USD", "EUR"]),
        on_refund: random.of(&[FlatRefund::FullOnly, FlatRefund::Proportional, FlatRefund::Any]),
    }
}

fn pays(random: &mut Random) -> Pays {
    match random.weighted(&[5, 2, 3]) {
        0 => Pays::Percent(rate(random)),
        1 => flat(random),
        _ => {
            let marginal = random.once_in(2);
            let metric = if marginal {
                Metric::Revenue
            } else {
                random.of(&[Metric::Count, Metric::Volume, Metric::Revenue])
            };
            let period = random.of(&[Period::Month, Period::Quarter, Period::Year, Period::Ever]);
            let prior = !marginal && period != Period::Ever && random.once_in(2);
            let step = if metric == Metric::Count { 1 } else { random.of(&[250, 500, 1_000]) };
            let mut bands = vec![(0, rate(random))];
            for _ in 0..random.below(4) {
                let from = bands.last().unwrap().0 + step * random.between(1, 2);
                bands.push((from, rate(random)));
            }
            Pays::Bands { metric, period, prior, marginal, bands }
        }
    }
}

/// A version of one of the rules.
pub fn random_rule(random: &mut Random, id: &'static str) -> RuleSpec {
    let is_base = id == RULES[0];
    let asks: Vec<Asks> = match if is_base { 0 } else { random.weighted(&[1, 5, 2]) } {
        0 => vec![],
        count => (0..count).map(|_| Asks::random(random)).collect(),
    };
    let mut caps: Vec<(CapScope, Period, i64, &str)> = Vec::new();
    for scope in CapScope::ALL {
        if random.once_in(6) {
            let code = random.of(&["USD", "USD", "JPY", "KWD"]);
            caps.push((scope, random.of(&Period::ALL), random.between(1, 1_500), code));
        }
    }
    RuleSpec {
        id,
        priority: if is_base { -1 } else { i32::from(random.once_in(3)) },
        any: asks.len() > 1 && random.once_in(2),
        asks,
        pays: if is_base && random.once_in(2) { Pays::Percent(rate(random)) } else { pays(random) },
        window: match random.below(if is_base { 16 } else { 6 }) {
            0 => Some(Window::Months(u32::try_from(random.between(1, 3)).unwrap())),
            1 => Some(Window::Payments(u32::try_from(random.between(1, 3)).unwrap())),
            _ => None,
        },
        minimum: (!is_base && random.once_in(8)).then(|| (random.between(1, 1_000), random.of(&CURRENCIES))),
        caps,
    }
}

/// A rule that pays for some of what is no sale.
pub fn rule_for_leads(random: &mut Random) -> RuleSpec {
    let mut rule = random_rule(random, FOR_LEADS);
    let kinds = Asks::KindIn(random.of(&["lead", "lead", "signup", "click"]), random.of(&KINDS));
    rule.asks = if random.once_in(3) { vec![kinds, Asks::random(random)] } else { vec![kinds] };
    rule.any &= rule.asks.len() > 1;
    if !random.once_in(6) {
        rule.pays = flat(random);
        rule.minimum = None;
    }
    rule
}

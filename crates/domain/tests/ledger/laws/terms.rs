//! What a sale pays by the pages on rules and amounts, in the plainest way: every rule is looked at, totals and caps are
//! summed again each time. Shares no arithmetic with the ledger.
use super::super::model::{Taken, base, rounded};
use super::super::specs::SaleSpec;
use super::calendar::{months_later, number};
use super::history::Settings;
use super::rule_spec::{Asks, Pays, RuleSpec};
use tributary_domain::config::FlatRefund;
use tributary_domain::rules::{CapScope, Metric, Period, Window};
use tributary_domain::time::Micros;

/// A rule as it stands, with its place in the order of age.
#[derive(Debug, Clone)]
pub struct Standing {
    pub spec: RuleSpec,
    pub order: usize,
}

/// What is known of a conversion besides what it says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    pub partner: &'a str,
    pub group: &'a str,
    pub is_renewal: bool,
    /// Which of the customer's purchases, and when the first one was.
    pub purchase: (u64, Micros),
}

/// What a partner brought with one conversion.
#[derive(Debug, Clone, Copy)]
pub struct Brought {
    pub at: Micros,
    pub gross: i64,
    pub base: i64,
    pub currency: &'static str,
}

/// What counts towards one cap.
pub type CapKey = (&'static str, CapScope, String, Period, i64, &'static str);

/// The same cap as it counts for another partner.
pub fn cap_of(cap: &CapKey, partner: &str) -> CapKey {
    let mut cap = cap.clone();
    if cap.1 == CapScope::Partner {
        cap.2 = partner.to_owned();
    }
    cap
}

/// Frozen terms.
#[derive(Debug, Clone)]
pub struct Terms {
    pub rule: &'static str,
    pub currency: &'static str,
    /// Each line: its name and its parts of (base, rate), low to high.
    pub lines: Vec<(&'static str, Vec<(i128, i128)>)>,
    pub flat: Option<FlatRefund>,
    pub uncapped: i128,
    /// With what each leaves at most when nothing counts towards it.
    pub caps: Vec<(CapKey, i128)>,
}

/// The rule that wins each of some lines; of a conversion without lines, of an unknown one.
fn winners<'a>(
    rules: &'a [Standing],
    sale: &SaleSpec,
    base: i64,
    about: Circumstances<'_>,
) -> Vec<Option<&'a Standing>> {
    // Lines stand for their parts where they say everything; a single line stands for all of it in any case.
    let says_all = sale.lines.iter().map(|(_, net)| net).sum::<i64>() == base || sale.lines.len() == 1;
    let is_known = says_all && sale.products.iter().any(|product| !product.is_empty());
    let lines: Vec<&str> = if is_known { sale.products.clone() } else { vec![""] };
    let mut won: Vec<Option<&Standing>> = vec![None; lines.len()];
    let mut ordered: Vec<&Standing> = rules.iter().collect();
    ordered.retain(|rule| concerns(&rule.spec, sale));
    ordered.sort_by_key(|rule| (-rule.spec.priority, -weight(&rule.spec), rule.order));
    for rule in ordered {
        let holds: Vec<bool> = lines.iter().map(|line| holds(&rule.spec, sale, base, line, about)).collect();
        let takes_all = matches!(rule.spec.pays, Pays::Flat { amount, .. } if amount > 0);
        let is_taken = won.iter().any(Option::is_some);
        if !holds.contains(&true) || !may(&rule.spec, sale, base, about) || takes_all && is_taken {
            continue;
        }
        for (line, holds) in won.iter_mut().zip(holds) {
            if line.is_none() && (holds || takes_all) {
                *line = Some(rule);
            }
        }
    }
    won
}

/// What is no sale is for those rules only that name its kind.
fn concerns(rule: &RuleSpec, sale: &SaleSpec) -> bool {
    let kind = sale.kind.name();
    let names = |asks: &Asks| match *asks {
        Asks::Kind(wanted) => wanted == kind,
        Asks::KindIn(one, other) => one == kind || other == kind,
        _ => false,
    };
    sale.kind.is_sale() || rule.asks.iter().any(names)
}

/// How narrow a rule is.
fn weight(rule: &RuleSpec) -> i64 {
    let weights = rule.asks.iter().map(|asks| match asks {
        Asks::ProductNot(_) | Asks::CountryNot(_) => 1,
        Asks::Product(_) | Asks::ProductIn(..) | Asks::Partner(_) => 100,
        Asks::Group(_) => 30,
        Asks::Country(_) | Asks::AmountAbove(_) | Asks::AmountBelow(_) => 10,
        Asks::Kind(_) | Asks::KindIn(..) | Asks::Customer(_) | Asks::Currency(_) => 3,
    });
    if rule.any { weights.min().unwrap() } else { weights.sum() }
}

fn holds(rule: &RuleSpec, sale: &SaleSpec, base: i64, product: &str, about: Circumstances<'_>) -> bool {
    let kind = if about.is_renewal { "renewal" } else { sale.kind.name() };
    let one = |asks: &Asks| match *asks {
        Asks::Product(wanted) => product == wanted,
        Asks::ProductIn(one, other) => product == one || product == other,
        Asks::ProductNot(other) => product != other,
        Asks::Country(wanted) => sale.country == wanted,
        Asks::CountryNot(other) => sale.country != other,
        Asks::Partner(wanted) => about.partner == wanted,
        Asks::Group(wanted) => about.group == wanted,
        Asks::Currency(wanted) => sale.currency == wanted,
        Asks::Kind(wanted) => wanted == kind,
        Asks::KindIn(one, other) => one == kind || other == kind,
        Asks::Customer(wanted) => wanted == if about.purchase.0 > 1 { "recurring" } else { "new" },
        Asks::AmountAbove(amount) => base > amount,
        Asks::AmountBelow(amount) => base < amount,
    };
    if rule.any { rule.asks.iter().any(one) } else { rule.asks.iter().all(one) }
}

/// Window and least amount.
fn may(rule: &RuleSpec, sale: &SaleSpec, base: i64, about: Circumstances<'_>) -> bool {
    let in_window = match rule.window {
        None => true,
        Some(Window::Months(months)) => sale.at.unwrap() < months_later(about.purchase.1, i64::from(months)),
        Some(Window::Payments(payments)) => about.purchase.0 <= u64::from(payments),
    };
    in_window && rule.minimum.is_none_or(|(least, code)| sale.currency == code && base >= least)
}

/// The terms of a sale, `None` where no rule applies or nothing comes out of it. `brought`: by this partner before it.
pub fn terms(
    settings: &Settings,
    rules: &[Standing],
    brought: &[Brought],
    sale: &SaleSpec,
    about: Circumstances<'_>,
) -> Option<Terms> {
    let whole = base(settings.profile, sale);
    let won = winners(rules, sale, whole, about);
    let first =
        won.iter().flatten().min_by_key(|rule| (-rule.spec.priority, -weight(&rule.spec), rule.order))?;
    let mut lines: Vec<(&'static str, i64)> = sale.lines.clone();
    if lines.is_empty() || lines.iter().map(|(_, net)| net).sum::<i64>() != whole {
        lines = vec![("", whole)];
    }
    let by_line = won.len() == lines.len();
    let mut parts = Vec::new();
    let mut gone: Vec<(&str, i128)> = Vec::new();
    for (place, (line, net)) in lines.iter().enumerate() {
        let rule = if by_line { won[place] } else { Some(*first) };
        let before: i128 = gone
            .iter()
            .filter(|(id, _)| rule.is_some_and(|rule| rule.spec.id == *id))
            .map(|(_, net)| net)
            .sum();
        parts.push((
            *line,
            rule.map_or(vec![(i128::from(*net), 0)], |rule| {
                gone.push((rule.spec.id, i128::from(*net)));
                paid_parts(settings, &rule.spec.pays, brought, sale, i128::from(*net), before)
            }),
        ));
    }
    let (uncapped, currency, flat) = match first.spec.pays {
        Pays::Flat { amount, currency, on_refund } if amount > 0 => {
            // Nothing was sold, or there was nothing to sell.
            let is_owed = whole > 0 || !sale.kind.is_sale();
            (if is_owed { i128::from(amount) } else { 0 }, currency, Some(on_refund))
        }
        _ => {
            let sum = parts.iter().flat_map(|(_, parts)| parts).map(|(base, rate)| base * rate).sum();
            (rounded(sum, 1_000_000, settings.rounding), sale.currency, None)
        }
    };
    let caps = first.spec.caps.iter().filter(|(.., code)| *code == currency).map(|cap| {
        let (scope, period, most, code) = *cap;
        let of = match (scope, sale.customer) {
            (CapScope::Program, _) => String::new(),
            (CapScope::Partner, _) => about.partner.to_owned(),
            (CapScope::Customer, Some(customer)) => format!("customer {customer}"),
            (CapScope::Customer, None) => format!("whoever bought {}", sale.id),
        };
        ((first.spec.id, scope, of, period, number(period, sale.at.unwrap()), code), i128::from(most))
    });
    let (rule, caps) = (first.spec.id, caps.collect());
    (uncapped > 0).then_some(Terms { rule, currency, lines: parts, flat, uncapped, caps })
}

/// A line's base with its rates.
fn paid_parts(
    settings: &Settings,
    pays: &Pays,
    brought: &[Brought],
    sale: &SaleSpec,
    base: i128,
    before_it: i128,
) -> Vec<(i128, i128)> {
    let (metric, period, prior, marginal, bands) = match pays {
        Pays::Percent(rate) => return vec![(base, i128::from(*rate))],
        Pays::Flat { .. } => return vec![(base, 0)],
        Pays::Bands { metric, period, prior, marginal, bands } => {
            (*metric, *period, *prior, *marginal, bands)
        }
    };
    let worth = |brought: &Brought| match metric {
        Metric::Count => 1,
        _ if brought.currency != settings.currency => 0,
        Metric::Volume => i128::from(brought.gross),
        Metric::Revenue => i128::from(brought.base),
    };
    let wanted = number(period, sale.at.unwrap()) - i64::from(prior);
    let total: i128 = brought.iter().filter(|one| number(period, one.at) == wanted).map(worth).sum();
    if !marginal {
        let here = worth(&Brought {
            at: sale.at.unwrap(),
            gross: sale.gross,
            base: super::super::model::base(settings.profile, sale),
            currency: sale.currency,
        });
        let total = if prior { total } else { total + here };
        let (_, rate) = bands.iter().rfind(|(from, _)| i128::from(*from) <= total).unwrap();
        return vec![(base, i128::from(*rate))];
    }
    let (low, high) = (total + before_it, total + before_it + base);
    let ends = bands.iter().skip(1).map(|(from, _)| i128::from(*from)).chain([i128::MAX]);
    let parts = bands.iter().zip(ends).map(|((from, rate), end)| {
        let inside = high.min(end) - low.max(i128::from(*from));
        (inside.max(0), i128::from(*rate))
    });
    parts.collect()
}

/// N of the whole sale: the frozen terms applied to what is left of it.
pub fn net(settings: &Settings, terms: &Terms, gross: i128, taken: &Taken<'_>) -> i128 {
    let base: i128 = terms.lines.iter().flat_map(|(_, parts)| parts).map(|(base, _)| base).sum();
    match terms.flat {
        Some(_) if taken.base == base => return 0,
        Some(FlatRefund::FullOnly) => return gross,
        Some(FlatRefund::Any) => return if taken.is_any { 0 } else { gross },
        Some(FlatRefund::Proportional) => {
            return rounded(gross * (base - taken.base), base, settings.rounding);
        }
        None => {}
    }
    let mut left: Vec<i128> =
        terms.lines.iter().map(|(_, parts)| parts.iter().map(|(base, _)| base).sum()).collect();
    let mut rest = taken.base;
    for (line, left) in terms.lines.iter().map(|(line, _)| line).zip(&mut left) {
        let named: i128 = taken.lines.iter().filter(|(id, _)| id == line).map(|(_, net)| net).sum();
        let gone = named.min(*left);
        *left -= gone;
        rest -= gone;
    }
    let shares = divided(rest, &left);
    let mut sum = 0;
    for ((_, parts), (left, share)) in terms.lines.iter().zip(left.iter().zip(shares)) {
        let mut left = left - share;
        for (base, rate) in parts {
            let here = left.min(*base);
            left -= here;
            sum += here * rate;
        }
    }
    gross.min(rounded(sum, 1_000_000, settings.rounding))
}

/// `whole` by weights: everybody the part below, then one more for the largest remainders, the earliest of equal ones.
pub fn divided(whole: i128, weights: &[i128]) -> Vec<i128> {
    let sum: i128 = weights.iter().sum();
    if sum == 0 {
        return vec![0; weights.len()];
    }
    let mut parts: Vec<i128> = weights.iter().map(|weight| whole * weight / sum).collect();
    let mut rests: Vec<i128> = weights.iter().map(|weight| whole * weight % sum).collect();
    while parts.iter().sum::<i128>() < whole {
        let most = *rests.iter().max().unwrap();
        let place = rests.iter().position(|rest| *rest == most).unwrap();
        parts[place] += 1;
        rests[place] = -1;
    }
    parts
}

/// `now` by weights in the same way, nobody more than of `whole`: what is too much for some goes to the others, one each, the
/// earliest first.
pub fn divided_again(whole: i128, now: i128, weights: &[i128]) -> Vec<i128> {
    let most = divided(whole, weights);
    let mut parts: Vec<i128> =
        divided(now, weights).iter().zip(&most).map(|(part, most)| *part.min(most)).collect();
    while parts.iter().sum::<i128>() < now {
        for place in 0..parts.len() {
            if parts.iter().sum::<i128>() < now && parts[place] < most[place] {
                parts[place] += 1;
            }
        }
    }
    parts
}

//! Random conversions, and what may be told of each afterwards.
use super::super::specs::{ReversalSpec, SaleSpec, refund, sale};
use super::calendar::midnight;
use super::history::{Product, Settings, start};
use super::random::Random;
use super::rule_spec::{COUNTRIES, CURRENCIES, PARTNERS, PRODUCTS};
use tributary_domain::config::Profile;
use tributary_domain::facts::{ConversionKind, ReversalFamily};
use tributary_domain::time::{DAY_MICROS, Micros};

pub const SUBSCRIPTIONS: [&str; 3] = ["", "sub_a", "sub_b"];
/// Checks for fraud that a conversion may have failed.
pub const CHECKS: [&str; 2] = ["velocity", "same_card"];
const LINES: [&str; 3] = ["line_a", "line_b", "line_c"];

/// When something is sold: some day of the last weeks, or at the very end of a month, where windows of months begin and end.
fn sold_at(random: &mut Random) -> Micros {
    match random.below(2) {
        0 => random.of(&[midnight(2028, 0, 30), midnight(2028, 1, 28), start()]),
        _ => Micros(start().0 - random.between(-1, 70) * DAY_MICROS),
    }
}

/// Who earns a sale: one, or several by weight, sometimes one of them twice or for nothing.
pub fn shares(random: &mut Random) -> Vec<(&'static str, u32)> {
    let count = random.of(&[2, 2, 3, 3, 4]);
    let first = random.below(PARTNERS.len());
    let mut shares: Vec<(&'static str, u32)> = (0..count)
        .map(|place| {
            let weight = match random.below(4) {
                0 => 1,
                1 => random.between(1, 100),
                _ => random.between(1, 6),
            };
            let partner =
                if random.once_in(6) { random.of(&PARTNERS) } else { PARTNERS[(first + place) % 3] };
            (partner, u32::try_from(weight).unwrap())
        })
        .collect();
    if random.once_in(8) {
        shares[count - 1].1 = 0;
    }
    shares
}

pub fn product(random: &mut Random, settings: &Settings, id: &str) -> Product {
    if random.once_in(7) {
        return lead(random, settings, id);
    }
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
    who(random, &mut sale);
    let gives_back = random.once_in(2);
    let objects = (0..6).map(|number| object(random, &sale, base, number, gives_back)).collect();
    Product { sale, objects }
}

/// Who earns it, and whether somebody should look at it.
fn who(random: &mut Random, sale: &mut SaleSpec) {
    if random.once_in(3) {
        sale.shares = shares(random);
        sale.partner = Some(sale.shares[0].0.to_owned());
    }
    if random.once_in(10) {
        sale.fraud = CHECKS[..1 + random.below(2)].to_vec();
    }
}

/// A conversion without amounts. Refunds that name it take nothing of it.
fn lead(random: &mut Random, settings: &Settings, id: &str) -> Product {
    use ConversionKind::{Click, Lead, Signup};
    let kind = random.of(&[Lead, Lead, Signup, Click]);
    let mut lead = SaleSpec {
        partner: Some(random.of(&PARTNERS[..2]).to_owned()),
        currency: settings.currency,
        at: Some(sold_at(random)),
        customer: (!random.once_in(4)).then(|| u8::try_from(random.between(1, 2)).unwrap()),
        country: random.of(&COUNTRIES),
        kind,
        ..sale(id, 0)
    };
    who(random, &mut lead);
    if random.once_in(3) {
        lead.fraud = CHECKS[..1 + random.below(2)].to_vec();
    }
    let told_of = SaleSpec { id: format!("{}:{id}", kind.name()), gross: 500, ..lead.clone() };
    let objects = (0..6).map(|number| object(random, &told_of, 500, number, true)).collect();
    Product { sale: lead, objects }
}

/// `gives_back`: banks give chargebacks of this sale back, and no chargeback names a line. (Which line a reverse gives back
/// when it names none is not in the contract.)
fn object(random: &mut Random, sale: &SaleSpec, base: i64, number: usize, gives_back: bool) -> ReversalSpec {
    let (back, warning) = (ReversalFamily::ChargebackReverse, ReversalFamily::ChargebackWarning);
    // The first ones are there for `tales`: all of the sale as a refund and as a chargeback, and a part as
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

fn part(whole: i64, percent: i64) -> i64 {
    i64::try_from(i128::from(whole) * i128::from(percent) / 100).unwrap()
}

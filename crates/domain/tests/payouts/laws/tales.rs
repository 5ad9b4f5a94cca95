//! What happens in a history: stories that chance alone would tell too rarely, and single steps, told in turns.
use super::history::{
    About, CURRENCIES, PARTNERS, Part, Product, RateSpec, Said, Step, Target, TermsSpec, Which,
};
use super::random::Random;
use tributary_domain::facts::{CommandKind, ReversalState};
use tributary_domain::payouts::{PayoutAct, Schedule};
use tributary_domain::time::DAY_MICROS;

use CommandKind::{Approve, Bonus, Correction, Debit, Hold, Reinstate, Reject, Release};
use PayoutAct::{Fail, Return, Settle};
use ReversalState::{Dead, Live, Pending};

/// How many commissions of their own a history may have.
const MADE: usize = 4;

/// Objects of a sale, as `history::product` makes them.
const ALL: usize = 0;
const LOST: usize = 1;
const DISPUTE: usize = 2;
const SOME: usize = 3;

const DAYS: Step = Step::Tick { wait: 3 * DAY_MICROS + 7 };

/// Several stories and single steps, told in turns.
pub fn steps(random: &mut Random, about: About, products: &[Product]) -> Vec<Step> {
    let mut tales: Vec<Vec<Step>> = (0..2 + random.below(4)).map(|_| tale(random, about, products)).collect();
    tales.push((0..8 + random.below(24)).map(|_| step(random, about, products)).collect());
    // Now and then one story goes on for a while undisturbed.
    random.in_turns(tales, |random| 1 + random.below(5))
}

fn told(sale: usize, object: usize, state: ReversalState) -> Step {
    Step::Reversal { sale, object, state }
}

fn decides(kind: CommandKind, of: Target) -> Step {
    Step::Decide { kind, of, hold: "" }
}

fn pays(act: PayoutAct) -> Step {
    let status = if act == Return { "settled" } else { "drafted" };
    Step::Payout { act, of: Which::Last(status, 0), said: Said::Nothing }
}

/// Sold and payable.
fn earned(sale: usize) -> Vec<Step> {
    vec![Step::Sale { sale }, DAYS, decides(Approve, Target::Sale(sale))]
}

/// The draft of a sale's balance.
pub fn drafts(products: &[Product], sale: usize) -> Step {
    let spec = &products[sale].sale;
    let partner = PARTNERS.into_iter().find(|partner| spec.partner.as_deref() == Some(*partner)).unwrap();
    Step::Draft { partner, currency: Some(spec.currency), ignore_minimum: true }
}

fn tale(random: &mut Random, about: About, products: &[Product]) -> Vec<Step> {
    let (sale, other) = (random.below(products.len()), random.below(products.len()));
    let goes_back = told(sale, random.of(&[ALL, LOST, SOME]), Live);
    let paid = || [earned(sale), vec![drafts(products, sale), pays(Settle)]].concat();
    match random.weighted(&[5, 7, 5, 6, 4, 7, 5, 4, 4, 3]) {
        // Paid, then a debt, and the next sale that repays it; then perhaps the money comes back, or the next sale goes too.
        0 => {
            let then = match random.below(4) {
                0 => told(other, random.of(&[ALL, SOME]), Live),
                1 => decides(Reject, Target::Sale(other)),
                2 => drafts(products, other),
                _ => told(sale, ALL, Dead),
            };
            [paid(), vec![goes_back], earned(other), vec![then, drafts(products, other)]].concat()
        }
        // It goes back while it is in flight; then it is settled, or not.
        1 => {
            let end = random.of(&[Settle, Fail, Fail, Fail]);
            let back = (end == Settle).then(|| pays(Return));
            [earned(sale), vec![drafts(products, sale), goes_back, pays(end)], back.into_iter().collect()]
                .concat()
        }
        // Paid, gone back, and the payout comes back too.
        2 => [paid(), vec![goes_back, pays(Return), DAYS, drafts(products, sale), pays(Settle)]].concat(),
        // It returns while it is in flight or after it was paid: there is more to pay.
        3 => {
            let (first, object) = (random.of(&[true, false]), random.of(&[ALL, LOST, SOME]));
            let mut tale = earned(sale);
            tale.extend(first.then(|| told(sale, SOME, Live)));
            tale.push(drafts(products, sale));
            if first && random.once_in(2) {
                tale.extend([told(sale, SOME, Dead), pays(random.of(&[Settle, Fail]))]);
            }
            tale.push(pays(Settle));
            tale.extend((!first).then(|| told(sale, object, Live)));
            tale.extend(earned(other));
            tale.push(told(sale, if first { SOME } else { object }, Dead));
            tale.extend([drafts(products, sale), pays(random.of(&[Settle, Fail, Fail]))]);
            tale.extend((!random.once_in(3)).then(|| pays(Return)));
            tale
        }
        // A debt that is given up.
        4 => {
            let spec = drafts(products, sale);
            let Step::Draft { partner, currency: Some(currency), .. } = spec else { unreachable!() };
            let gives_up = |part| Step::WriteOff { partner, currency, part, said: Said::Nothing };
            let part = random.of(&[Part::All, Part::Half]);
            let too_much = random.once_in(2).then(|| gives_up(Part::TooMuch));
            let more = [paid(), vec![told(sale, ALL, Live)], too_much.into_iter().collect()].concat();
            [more, vec![gives_up(part), told(sale, ALL, Dead)]].concat()
        }
        5 => converted(random, about, products, (sale, other)),
        6 => scheduled(random, about, sale, other),
        // Something wants to hold it while it is in flight.
        7 => {
            let partner = about.partner(random);
            let hold = random.of(&[Some(()), None]);
            let holds = |active| match hold {
                Some(()) => told(sale, DISPUTE, if active { Dead } else { Pending }),
                None => Step::Partner { partner, active },
            };
            let mut tale = [earned(sale), vec![drafts(products, sale)]].concat();
            if random.once_in(3) {
                tale.extend([pays(Settle), holds(false), pays(Return), holds(true)]);
            } else {
                tale.extend([holds(false), pays(Fail), holds(true)]);
            }
            tale
        }
        8 => of_its_own(random, about, products, sale),
        // Rejected, and brought back beside a debt.
        _ => [
            vec![Step::Sale { sale: other }, decides(Reject, Target::Sale(other))],
            paid(),
            vec![goes_back, decides(Reinstate, Target::Sale(other)), DAYS, told(other, SOME, Live)],
        ]
        .concat(),
    }
}

/// Mantissas and exponents, small and large.
const RATES: [(i64, i32); 9] =
    [(7, -1), (92, -2), (1085, -3), (155_234, -3), (333_333_333, -9), (33_333, -7), (3, 0), (2, 2), (1, -4)];

fn rate(random: &mut Random, from: &'static str, to: &'static str) -> Step {
    let (mantissa, exponent) = random.of(&RATES);
    Step::Rate(RateSpec { from, to, mantissa, exponent, spread_ppm: random.of(&[0, 0, 5_000, 250_000]) })
}

fn converted(
    random: &mut Random,
    about: About,
    products: &[Product],
    (sale, other): (usize, usize),
) -> Vec<Step> {
    let to = random.of(&CURRENCIES);
    let partner = if random.once_in(2) { "" } else { about.partner };
    let terms = TermsSpec { partner, schedule: Schedule::Manual, minimums: vec![], pay_in: Some(to) };
    let mut tale = vec![Step::Terms { terms, is_removed: false }];
    tale.extend(random.once_in(3).then(|| rate(random, about.currency, to)));
    tale.extend(earned(sale));
    tale.extend(earned(other));
    tale.push(drafts(products, sale));
    let currency = products[sale].sale.currency;
    // Something else may hold it as well.
    let (of, hold) = (Target::Sale(sale), "manual");
    match random.below(4) {
        0 => tale.push(told(sale, DISPUTE, Pending)),
        1 => tale.push(Step::Decide { kind: Hold, of, hold }),
        _ => {}
    }
    tale.extend([rate(random, currency, to), told(sale, DISPUTE, Dead), DAYS]);
    tale.extend([sale, other].map(|sale| decides(Approve, Target::Sale(sale))));
    tale.push(drafts(products, sale));
    tale.push(pays(random.of(&[Settle, Settle, Fail])));
    tale.extend(random.once_in(2).then(|| pays(Return)));
    tale
}

fn schedule(random: &mut Random) -> Schedule {
    let kind = random.below(5);
    let day = u32::try_from(random.between(1, if kind < 3 { 7 } else { 31 })).unwrap();
    match kind {
        0 => Schedule::Manual,
        1 | 2 => Schedule::Weekly { day },
        3 => Schedule::Monthly { day },
        _ => Schedule::Monthly { day: 31 },
    }
}

fn terms(random: &mut Random, about: About) -> TermsSpec {
    let mut minimums = vec![];
    if random.once_in(2) {
        minimums.push((about.currency, random.of(&[50, 400, 4_000])));
    }
    TermsSpec {
        partner: if random.once_in(2) { "" } else { about.partner(random) },
        schedule: schedule(random),
        minimums,
        pay_in: random.once_in(4).then(|| random.of(&CURRENCIES)),
    }
}

fn scheduled(random: &mut Random, about: About, sale: usize, other: usize) -> Vec<Step> {
    let mut tale = vec![Step::Terms { terms: terms(random, about), is_removed: false }];
    tale.extend(earned(sale));
    tale.push(Step::Midnight { days: random.between(0, 9) });
    tale.push(pays(random.of(&[Settle, Fail])));
    tale.extend(earned(other));
    tale.push(Step::Midnight { days: random.between(0, 30) });
    tale.extend(random.once_in(2).then(|| pays(Return)));
    tale.push(Step::Tick { wait: random.of(&[1, 7, 20, 70]) * DAY_MICROS });
    tale
}

fn adjusts(random: &mut Random, about: About, number: usize, kind: CommandKind) -> Step {
    let amount = random.of(&[100, 700, 5_000]) + random.between(0, 9);
    let amount = if kind == Debit || kind == Correction && random.once_in(2) { -amount } else { amount };
    let (partner, currency) = (about.partner(random), about.currency(random));
    Step::Adjust { number, kind, partner, amount, currency }
}

/// A person gives and takes; what took is taken back, when others have paid for it.
fn of_its_own(random: &mut Random, about: About, products: &[Product], sale: usize) -> Vec<Step> {
    let number = random.below(MADE);
    let takes = adjusts(random, about, number, Debit);
    let mut tale = vec![takes, DAYS, decides(Approve, Target::Made(number))];
    tale.extend(earned(sale));
    tale.extend(random.once_in(2).then(|| drafts(products, sale)));
    tale.extend([decides(Reject, Target::Made(number)), drafts(products, sale)]);
    tale.push(pays(random.of(&[Settle, Fail])));
    tale.extend(random.once_in(2).then(|| decides(Reinstate, Target::Made(number))));
    tale
}

const HOLDS: [&str; 5] = ["manual", "fraud:by_eye", "fx_missing", "fx_missing", "partner_suspended"];

fn said(random: &mut Random) -> Said {
    let rare = [Said::WrongAmount, Said::WrongCurrency, Said::NoReason, Said::NoActor];
    if random.once_in(3) { random.of(&rare) } else { random.of(&[Said::Nothing, Said::Right]) }
}

fn step(random: &mut Random, about: About, products: &[Product]) -> Step {
    let sale = random.below(products.len());
    let (partner, currency) = (about.partner(random), about.currency(random));
    let target = if random.once_in(4) { Target::Made(random.below(MADE)) } else { Target::Sale(sale) };
    match random.weighted(&[10, 12, 12, 4, 10, 4, 4, 14, 24, 5, 6, 5, 8]) {
        0 => Step::Sale { sale },
        1 => told(sale, random.below(5), random.of(&[Pending, Live, Live, Dead])),
        2 => Step::Tick { wait: random.of(&[0, 1, 60_000_000, DAY_MICROS, 4 * DAY_MICROS]) },
        3 => Step::Midnight { days: random.between(0, 9) },
        4 => {
            let kind = random.of(&[Approve, Approve, Reject, Reinstate, Hold, Release]);
            Step::Decide { kind, of: target, hold: random.of(&HOLDS) }
        }
        5 => {
            let (kind, number) = (random.of(&[Bonus, Correction, Debit]), random.below(MADE));
            adjusts(random, about, number, kind)
        }
        6 => Step::Partner { partner, active: random.once_in(2) },
        7 => {
            let currency = (!random.once_in(8)).then_some(currency);
            Step::Draft { partner, currency, ignore_minimum: random.once_in(3) }
        }
        8 => {
            let (act, said) = (random.of(&[Settle, Fail, Return]), said(random));
            let fits = if act == Return { "settled" } else { "drafted" };
            let any = random.of(&["drafted", "settled", "failed", "failed", "returned"]);
            let is_wrong = ![Said::Nothing, Said::Right].contains(&said);
            let of = Which::Last(if is_wrong || random.once_in(3) { fits } else { any }, random.below(2));
            Step::Payout { act, of: if random.once_in(12) { Which::Nobodys } else { of }, said }
        }
        9 => {
            let part = random.of(&[Part::All, Part::Half, Part::TooMuch, Part::Nothing]);
            Step::WriteOff { partner, currency, part, said: said(random) }
        }
        10 => {
            let to = random.of(&CURRENCIES);
            match rate(random, currency, to) {
                Step::Rate(rate) if random.once_in(3) => Step::Rate(match random.below(4) {
                    0 => RateSpec { mantissa: 0, ..rate },
                    1 => RateSpec { mantissa: -rate.mantissa, ..rate },
                    2 => RateSpec { exponent: random.of(&[-19, 19]), ..rate },
                    _ => RateSpec { spread_ppm: 1_000_000, ..rate },
                }),
                good => good,
            }
        }
        11 => Step::Terms { terms: terms(random, about), is_removed: random.once_in(3) },
        _ => Step::Twin { back: random.below(3) },
    }
}

pub fn approves(of: Target) -> Step {
    decides(Approve, of)
}

/// Something becomes of the newest payout.
pub fn ends_of_payout(random: &mut Random) -> Step {
    pays(random.of(&[Settle, Fail, Return]))
}

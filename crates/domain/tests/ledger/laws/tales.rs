//! What happens in a history: stories that chance alone would tell too rarely, and single steps, told in turns.
use super::history::{Product, Step, Target};
use super::products::{SUBSCRIPTIONS, shares};
use super::random::Random;
use super::rule_spec::{GROUPS, PARTNERS, RULES, RuleSpec};
use tributary_domain::facts::{CommandKind, ReversalFamily, ReversalState};
use tributary_domain::time::{DAY_MICROS, Micros};

use CommandKind::{Approve, Bonus, Correction, Debit, Hold, Reinstate, Reject, Release};
use ReversalState::{Dead, Live, Pending};

/// What people say of holds: names that they may add, that they may only release, and that they may do nothing with.
const HOLDS: [&str; 10] = [
    "manual",
    "manual",
    "manual:check",
    "fraud:by_eye",
    "fraud:velocity",
    "partner_suspended",
    "dispute:obj_2",
    "cancelled_subscription:sub_a",
    "time",
    "manual:",
];

/// How many commissions of their own a history may have.
const MADE: usize = 4;

/// Several stories and single steps, told in turns.
pub fn steps(random: &mut Random, rules: &[RuleSpec], products: &[Product]) -> Vec<Step> {
    let mut tales: Vec<Vec<Step>> = (0..2 + random.below(5)).map(|_| tale(random, products)).collect();
    tales.push((0..8 + random.below(20)).map(|_| step(random, rules, products)).collect());
    random.in_turns(tales, |_| 1)
}

/// One of the parts of a sale.
fn some_part(random: &mut Random, products: &[Product], sale: usize) -> Target {
    Target::Sale { sale, part: random.below(products[sale].sale.shares.len().clamp(1, 3)) }
}

fn decides(kind: CommandKind, of: Target) -> Step {
    Step::Decide { kind, of, hold: "" }
}

const DAYS: Step = Step::Tick { wait: 3 * DAY_MICROS };

fn tale(random: &mut Random, products: &[Product]) -> Vec<Step> {
    let [sale, other] = [random.below(products.len()), random.below(products.len())];
    let [one, another] = [sale, other].map(|sale| some_part(random, products, sale));
    let sold = |sale| Step::Sale { sale, is_attributed: true };
    let told = |sale, object, state| Step::Reversal { sale, object, state };
    match random.weighted(&[6, 6, 3, 2, 3, 4, 3, 4, 4, 3, 3, 2]) {
        kind @ 0..=1 => goes_back(random, products, sale, kind == 0),
        // Two disputes; a person decides, or one of them is won.
        2 => vec![
            sold(sale),
            told(sale, 1, Pending),
            told(sale, 2, Pending),
            told(sale, random.of(&[1, 2]), Dead),
            decides(Reject, one),
        ],
        // A debt, and the next sale that repays it.
        3 => [indebted(sale, one), vec![sold(other), DAYS, decides(Approve, another)]].concat(),
        // A debt, and money that returns from an end.
        4 => [vec![sold(other), told(other, 1, Live)], indebted(sale, one), vec![told(other, 1, Dead)]]
            .concat(),
        5 => held_by_hand(random, sale, one),
        6 => brought_back(random, sale, one),
        // Rejected, and brought back when its partner owes something.
        7 => [
            vec![sold(other), decides(Reject, another)],
            indebted(sale, one),
            vec![decides(Reinstate, another)],
        ]
        .concat(),
        8 => of_its_own(random),
        9 => suspended(random, products, sale, other),
        10 => subscribed(random, products, sale, other),
        _ => nothing_bought(random, products, sale),
    }
}

/// A partner who has been paid, and whose sale goes back.
fn indebted(sale: usize, of: Target) -> Vec<Step> {
    vec![
        Step::Sale { sale, is_attributed: true },
        DAYS,
        decides(Approve, of),
        Step::Pay { of },
        Step::Reversal { sale, object: 0, state: Live },
    ]
}

/// Some of it or all of it goes back and returns, before or after the approval, with or without another hold.
fn goes_back(random: &mut Random, products: &[Product], sale: usize, is_part: bool) -> Vec<Step> {
    let told = |object, state| Step::Reversal { sale, object, state };
    let object = if is_part { random.of(&[2, 3, 3]) } else { random.of(&[0, 1]) };
    let holds = if object == 2 { 1 } else { 2 };
    let mut tale = vec![Step::Sale { sale, is_attributed: true }];
    if random.once_in(3) {
        tale.extend([DAYS, decides(Approve, some_part(random, products, sale))]);
    }
    tale.extend(random.once_in(4).then(|| told(object, Pending)));
    tale.push(told(object, Live));
    tale.extend(random.once_in(3).then(|| told(holds, Pending)));
    tale.push(told(object, Dead));
    tale
}

/// A person holds, once or twice, before or after the approval, and releases.
fn held_by_hand(random: &mut Random, sale: usize, of: Target) -> Vec<Step> {
    let by_hand = |kind, hold| Step::Decide { kind, of, hold };
    let mut tale = vec![Step::Sale { sale, is_attributed: true }];
    if random.once_in(2) {
        tale.extend([DAYS, decides(Approve, of)]);
    }
    tale.push(by_hand(Hold, "manual"));
    if random.once_in(2) {
        tale.extend([by_hand(Hold, "fraud:by_eye"), by_hand(Release, "fraud:by_eye")]);
    }
    if random.once_in(4) {
        tale.extend([0, 0].into_iter().zip([Live, Dead]).map(|(object, state)| Step::Reversal {
            sale,
            object,
            state,
        }));
    }
    tale.extend([by_hand(Release, "manual"), DAYS]);
    tale
}

/// A person rejects and brings back, before or after the approval; meanwhile something may have gone back or be in dispute.
fn brought_back(random: &mut Random, sale: usize, of: Target) -> Vec<Step> {
    let told = |object, state| Step::Reversal { sale, object, state };
    let mut tale = vec![Step::Sale { sale, is_attributed: true }];
    if random.once_in(2) {
        tale.extend([DAYS, decides(Approve, of)]);
    }
    tale.push(decides(Reject, of));
    match random.below(4) {
        0 => tale.push(told(3, Live)),
        1 => tale.push(told(2, Pending)),
        2 => tale.extend([told(0, Live), decides(Reinstate, of), told(0, Dead)]),
        _ => {}
    }
    tale.extend([decides(Reinstate, of), DAYS]);
    tale
}

/// Money that a person gives or takes.
fn of_its_own(random: &mut Random) -> Vec<Step> {
    let made = adjustment(random);
    let Step::Adjust { number, partner, .. } = made else { unreachable!() };
    let of = Target::Made(number);
    let by_hand = |kind, hold| Step::Decide { kind, of, hold };
    let mut tale = Vec::new();
    let is_suspended = random.once_in(4);
    if is_suspended {
        tale.push(Step::Partner { partner, active: false, group: "" });
    }
    tale.push(made);
    if random.once_in(4) {
        tale.extend([by_hand(Hold, "manual"), by_hand(Release, "manual")]);
    }
    if is_suspended {
        tale.push(Step::Partner { partner, active: true, group: "" });
    }
    if !random.once_in(4) {
        tale.extend([Step::Tick { wait: 7 * DAY_MICROS }, decides(Approve, of)]);
    }
    if random.once_in(2) {
        tale.extend([decides(Reject, of), decides(Reinstate, of)]);
    }
    tale
}

/// A partner is suspended while there is something unpaid, and perhaps active again.
fn suspended(random: &mut Random, products: &[Product], sale: usize, other: usize) -> Vec<Step> {
    let partner = products[sale].sale.partner.as_ref();
    let partner =
        PARTNERS.into_iter().find(|known| partner.is_some_and(|id| id == known)).unwrap_or(PARTNERS[0]);
    let described = |active| Step::Partner { partner, active, group: "" };
    let mut tale = vec![Step::Sale { sale, is_attributed: true }];
    if random.once_in(2) {
        tale.extend([DAYS, decides(Approve, Target::Sale { sale, part: 0 })]);
    }
    tale.extend([Step::Sale { sale: other, is_attributed: true }, described(false)]);
    match random.below(4) {
        0 => tale.extend([Live, Dead].map(|state| Step::Reversal { sale, object: 0, state })),
        1 => tale.push(decides(Approve, Target::Sale { sale, part: 0 })),
        _ => {}
    }
    tale.push(described(true));
    tale
}

/// A subscription ends before or after its sales arrive; a person looks at them.
fn subscribed(random: &mut Random, products: &[Product], sale: usize, other: usize) -> Vec<Step> {
    let sold = |sale| Step::Sale { sale, is_attributed: true };
    let Product { sale: spec, .. } = &products[sale];
    let subscription = if spec.subscription.is_empty() { SUBSCRIPTIONS[1] } else { spec.subscription };
    let over = Step::Cancelled { subscription, at: spec.at.unwrap() };
    let mut tale = match random.below(3) {
        0 => vec![over, sold(sale), sold(other)],
        1 => vec![sold(sale), over, sold(other)],
        _ => vec![sold(sale), DAYS, decides(Approve, Target::Sale { sale, part: 0 }), over],
    };
    let of = some_part(random, products, sale);
    match random.below(3) {
        0 => tale.push(decides(Approve, of)),
        1 => tale.push(Step::Decide { kind: Release, of, hold: "cancelled_subscription:sub_a" }),
        _ => {}
    }
    tale
}

/// What is no sale, after something was bought; then refunds and disputes that name it.
fn nothing_bought(random: &mut Random, products: &[Product], other: usize) -> Vec<Step> {
    let lead = products.iter().position(|product| !product.sale.kind.is_sale()).unwrap_or(other);
    let told = |object, state| Step::Reversal { sale: lead, object, state };
    let mut tale = vec![Step::Sale { sale: other, is_attributed: true }];
    tale.extend([Step::Sale { sale: lead, is_attributed: true }, told(0, Live), told(1, Pending)]);
    tale.extend([told(1, random.of(&[Live, Dead])), DAYS]);
    if random.once_in(3) {
        tale.push(decides(Reject, Target::Sale { sale: lead, part: 0 }));
    }
    tale
}

fn adjustment(random: &mut Random) -> Step {
    let kind = random.of(&[Bonus, Correction, Correction, Debit, Debit]);
    let amount = match kind {
        // Now and then of the wrong sign: that is declined.
        Bonus => random.between(-40, 900),
        Debit => random.between(-900, 40),
        _ => random.between(-600, 600),
    };
    Step::Adjust {
        number: random.below(MADE),
        kind,
        partner: random.of(&PARTNERS),
        amount,
        currency: random.of(&["USD", "JPY", "KWD"]),
    }
}

fn step(random: &mut Random, rules: &[RuleSpec], products: &[Product]) -> Step {
    let sale = random.below(products.len());
    match random.weighted(&[16, 2, 18, 12, 12, 2, 3, 1, 7, 2, 1]) {
        0 => Step::Sale { sale, is_attributed: !random.once_in(12) },
        1 if random.once_in(2) => Step::Late { sale, shares: shares(random) },
        1 => Step::Late { sale, shares: vec![(random.of(&PARTNERS), 1)] },
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
            let of = if random.once_in(5) {
                Target::Made(random.below(MADE))
            } else {
                some_part(random, products, sale)
            };
            let kind = random.of(&[Approve, Approve, Approve, Reject, Reject, Reinstate, Hold, Release]);
            Step::Decide { kind, of, hold: random.of(&HOLDS) }
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
        8 => Step::Pay { of: some_part(random, products, sale) },
        9 => adjustment(random),
        _ => Step::Program { settings: random.below(3) },
    }
}

//! The invariants of `docs/reference/ledger.md` as laws over random histories of a program. `history` makes them, `run` tells
//! each step to the ledger and to `reference` and asks every law after it, `rows` counts the rows of the state table, `histories`
//! runs them on all cores.
//!
//! `LEDGER_SEED=n` runs one history and tells everything; `LEDGER_HISTORIES=n` runs so many in place of the usual number.
mod accounts;
mod books;
mod calendar;
mod commission;
mod counts;
mod histories;
mod history;
mod law;
mod people;
mod products;
mod random;
mod reference;
mod rows;
mod rule_spec;
mod run;
mod sheets;
mod tales;
mod telling;
mod terms;
mod what_if;

use histories::{every_law_holds, list, on_all_cores, seeds, told};
use history::{History, Product, Step, Target};
use law::{Broken, law};
use random::Random;
use reference::name;
use rows::Rows;
use run::Run;
use tributary_domain::facts::{ReversalFamily, ReversalState};
use tributary_domain::time::DAY_MICROS;

const SUITE: &str = "LEDGER";

/// So many that each row is taken often enough: 1.4 million steps, in 80 s of one core.
const HISTORIES: u64 = 35_000;

/// Runs a history, and asks at its end whether everything can go back.
fn run(history: &History, rows: &mut Rows, taken: &mut usize) -> Result<(), Broken> {
    let folds_at = history.steps.len() * history.products.len() / 8;
    told(history, rows, folds_at, taken)?.refunds_everything()
}

/// What a history is besides its steps.
fn described(history: &History) -> String {
    let sold: Vec<usize> = history
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Sale { sale, .. } | Step::Reversal { sale, .. } => Some(*sale),
            _ => None,
        })
        .collect();
    let products = history.products.iter().enumerate().filter(|(place, _)| sold.contains(place));
    let products: String = products
        .map(|(place, product)| format!("sale {place}: {:?}\n{}", product.sale, list(&product.objects)))
        .collect();
    format!("{:?}\nrules\n{}{products}", history.settings, list(&history.rules))
}

#[test]
fn every_law_holds_on_random_histories_and_every_row_of_the_table_is_taken() {
    every_law_holds("every_law_holds", HISTORIES);
}

/// What one part of a sale comes to: G, R, its status, what holds it.
type Part = (i64, i64, &'static str, Vec<String>);
/// Each part, and all buckets together.
type Outcome = (Vec<Part>, i128);

fn outcome(run: &Run<'_>, sale: &str) -> Outcome {
    let lasts = (0..3).filter_map(|part| run.commission(&(sale.to_owned(), part)));
    let parts = lasts.map(|last| {
        let holds = last.holds.iter().filter(|hold| *hold != "time").cloned().collect();
        (last.gross.0, last.reversed.0, last.status.name(), holds)
    });
    (parts.collect(), run.books.sheets.whole())
}

/// What is told of the first sale: each of its objects up to some state.
fn facts(product: &Product, random: &mut Random) -> Vec<Step> {
    let mut facts = vec![Step::Sale { sale: 0, is_attributed: true }];
    for (object, fact) in product.objects.iter().enumerate() {
        let states = [ReversalState::Pending, ReversalState::Live, ReversalState::Dead];
        let told = match fact.family {
            ReversalFamily::RefundTotal => 1..=1,
            _ => 0..=random.below(3),
        };
        facts.extend(states[told].iter().map(|state| Step::Reversal { sale: 0, object, state: *state }));
    }
    let (subscription, at) = (product.sale.subscription, product.sale.at.unwrap());
    if !subscription.is_empty() && random.once_in(2) {
        facts.push(Step::Cancelled { subscription, at });
    }
    facts
}

/// The same in any order, some of it several times, with ticks and payments between.
fn shuffled(facts: &[Step], random: &mut Random) -> Vec<Step> {
    let mut steps = facts.to_vec();
    for _ in 0..facts.len() + random.below(2 * facts.len()) {
        steps.push(match random.below(4) {
            0 | 1 => facts[random.below(facts.len())].clone(),
            2 => Step::Tick { wait: DAY_MICROS },
            _ => Step::Pay { of: Target::Sale { sale: 0, part: random.below(3) } },
        });
    }
    random.shuffle(&mut steps);
    steps
}

/// Takes all steps of a history; what the first sale comes to.
fn ends(history: &History) -> Result<Outcome, Broken> {
    let rows = &mut Rows::default();
    let mut run = Run::new(history, rows)?;
    history.steps.iter().try_for_each(|step| run.step(step))?;
    Ok(outcome(&run, &name(&history.products[0].sale)))
}

fn agree(one: &Outcome, mut other: Outcome) -> Result<(), Broken> {
    for (one, other) in one.0.iter().zip(&mut other.0) {
        // Ticks and payments take a commission on; what ends it and what holds it is the same.
        let unpaid = ["pending", "approved"];
        if other.2 == "paid" || unpaid.contains(&one.2) && unpaid.contains(&other.2) {
            (other.2, other.3) = (one.2, one.3.clone());
        }
    }
    law!("6: any order and multiplicity gives the same", *one == other, "{one:?}, not {other:?}");
    Ok(())
}

#[test]
fn facts_of_one_sale_give_the_same_in_any_order_and_multiplicity_with_payments_between() {
    on_all_cores(seeds(HISTORIES / 10), "facts_of_one_sale", |seed, history, (): &mut ()| {
        let random = &mut Random::new(!seed);
        history.steps = facts(&history.products[0], random);
        let straight = ends(history)?;
        history.steps = shuffled(&history.steps, random);
        agree(&straight, ends(history)?)
    });
}

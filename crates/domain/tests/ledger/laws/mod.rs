//! The invariants of `docs/reference/ledger.md` as laws over random histories of a program. `history` makes them, `run` tells
//! each step to the ledger and to `reference` and asks every law after it, `rows` counts the rows of the state table.
//!
//! `LEDGER_SEED=n` runs one history and tells everything; `LEDGER_HISTORIES=n` runs so many in place of the usual number.
mod books;
mod calendar;
mod history;
mod random;
mod reference;
mod rows;
mod rule_spec;
mod run;
mod terms;

use books::{Broken, law};
use history::{History, Product, Step, history};
use random::Random;
use rows::{LEAST, Rows};
use run::Run;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tributary_domain::facts::{ReversalFamily, ReversalState};
use tributary_domain::time::DAY_MICROS;

/// So many that each row is taken often enough, in less than half a minute of one core.
const HISTORIES: u64 = 18_000;

#[allow(
    clippy::disallowed_methods,
    reason = "which histories are run is the caller's choice, not the domain's"
)]
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Seeds from 0, or the one to replay.
fn seeds(usual: u64) -> std::ops::Range<u64> {
    match setting("LEDGER_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..setting("LEDGER_HISTORIES").unwrap_or(usual),
    }
}

/// Runs a history; how many steps it took to the law that broke, and which.
fn run(history: &History, rows: &mut Rows) -> Result<(), (usize, Broken)> {
    let (mut taken, folds_at) = (0, history.steps.len() * history.products.len() / 8);
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let mut run = Run::new(history, rows)?;
        for step in &history.steps {
            taken += 1;
            run.step(step)?;
            if taken == folds_at {
                run.folds_again()?;
            }
        }
        run.refunds_everything()
    }));
    let panicked = |panic: Box<dyn std::any::Any + Send>| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or(panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Broken { law: "nothing panics", detail: text.unwrap_or_default() }
    };
    ran.unwrap_or_else(|panic| Err(panicked(panic))).map_err(|broken| (taken, broken))
}

/// Leaves out whatever the failure does not need.
fn shortened(mut history: History, mut broken: Broken, taken: usize) -> (History, Broken) {
    history.steps.truncate(taken);
    let mut size = history.steps.len().max(1);
    while size > 0 {
        let mut at = 0;
        while at < history.steps.len() {
            let mut shorter = history.clone();
            shorter.steps.drain(at..(at + size).min(shorter.steps.len()));
            match run(&shorter, &mut Rows::default()) {
                Err((_, found)) if found.law == broken.law => (history, broken) = (shorter, found),
                _ => at += size,
            }
        }
        size /= 2;
    }
    (history, broken)
}

fn tell(test: &str, seed: u64, history: &History, broken: &Broken) -> ! {
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
    panic!(
        "law broken: {}\n{}\n{:?}\nrules\n{}{products}shortened to {} steps\n{}\
         law broken: {} (seed {seed}); replay: LEDGER_SEED={seed} cargo test -p tributary-domain --release \
         --test ledger_laws {test}",
        broken.law,
        broken.detail,
        history.settings,
        list(&history.rules),
        history.steps.len(),
        list(&history.steps),
        broken.law,
    );
}

fn list<T: std::fmt::Debug>(all: &[T]) -> String {
    all.iter().enumerate().map(|(place, one)| format!("  {place}: {one:?}\n")).collect()
}

#[test]
fn every_law_holds_on_random_histories_and_every_row_of_the_table_is_taken() {
    let test = "every_law_holds";
    let (mut rows, mut steps) = (Rows::default(), 0);
    let seeds = seeds(HISTORIES);
    for seed in seeds.clone() {
        let history = history(seed);
        steps += history.steps.len();
        if let Err((taken, broken)) = run(&history, &mut rows) {
            let (history, broken) = shortened(history, broken, taken);
            tell(test, seed, &history, &broken);
        }
    }
    let rare = rows.report();
    println!("{} histories, {steps} steps", seeds.end - seeds.start);
    let is_whole = seeds.end - seeds.start >= HISTORIES;
    assert!(!is_whole || rare.is_empty(), "rows taken less than {LEAST} times: {rare:#?}");
}

/// What one sale comes to: G, R, its status, what holds it, and the partner's buckets together.
type Outcome = (i64, i64, &'static str, Vec<String>, i128);

fn outcome(run: &Run<'_>, sale: &str) -> Option<Outcome> {
    let last = run.commission(sale, 0)?;
    let buckets = run.books.sheets.values().map(|sheet| sheet[..5].iter().sum::<i128>() - sheet[5]).sum();
    let holds = last.holds.iter().filter(|hold| *hold != "time").cloned().collect();
    Some((last.gross.0, last.reversed.0, last.status.name(), holds, buckets))
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
            _ => Step::Pay { sale: 0 },
        });
    }
    for place in (1..steps.len()).rev() {
        steps.swap(place, random.below(place + 1));
    }
    steps
}

/// Takes all steps of a history; what the first sale comes to.
fn ends(history: &History) -> Result<Option<Outcome>, Broken> {
    let rows = &mut Rows::default();
    let mut run = Run::new(history, rows)?;
    history.steps.iter().try_for_each(|step| run.step(step))?;
    Ok(outcome(&run, &history.products[0].sale.id))
}

fn agree(one: Option<Outcome>, mut other: Option<Outcome>) -> Result<(), Broken> {
    if let (Some(one), Some(other)) = (&one, &mut other) {
        // Ticks and payments take a commission on; what ends it and what holds it is the same.
        let unpaid = ["pending", "approved"];
        if other.2 == "paid" || unpaid.contains(&one.2) && unpaid.contains(&other.2) {
            (other.2, other.3) = (one.2, one.3.clone());
        }
    }
    law!("6: any order and multiplicity gives the same", one == other, "{one:?}, not {other:?}");
    Ok(())
}

#[test]
fn facts_of_one_sale_give_the_same_in_any_order_and_multiplicity_with_payments_between() {
    let test = "facts_of_one_sale";
    for seed in seeds(HISTORIES / 10) {
        let mut history = history(seed);
        let random = &mut Random::new(!seed);
        history.steps = facts(&history.products[0], random);
        let straight = ends(&history).unwrap_or_else(|broken| tell(test, seed, &history, &broken));
        history.steps = shuffled(&history.steps, random);
        let agrees = ends(&history).and_then(|other| agree(straight, other));
        agrees.unwrap_or_else(|broken| tell(test, seed, &history, &broken));
    }
}

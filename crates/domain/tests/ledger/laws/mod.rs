//! The invariants of `docs/reference/ledger.md` as laws over random histories of a program. `history` makes them, `run` tells
//! each step to the ledger and to `reference` and asks every law after it, `rows` counts the rows of the state table.
//!
//! `LEDGER_SEED=n` runs one history and tells everything; `LEDGER_HISTORIES=n` runs so many in place of the usual number.
mod books;
mod calendar;
mod commission;
mod history;
mod people;
mod products;
mod random;
mod reference;
mod rows;
mod rule_spec;
mod run;
mod tales;
mod terms;
mod what_if;

use books::{Broken, law};
use history::{History, Product, Step, Target, history};
use random::Random;
use reference::name;
use rows::{LEAST, Rows};
use run::Run;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tributary_domain::facts::{ReversalFamily, ReversalState};
use tributary_domain::time::DAY_MICROS;

/// So many that each row is taken often enough: 1.4 million steps, in 80 s of one core.
const HISTORIES: u64 = 35_000;

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

/// A history that breaks a law.
type Found = Box<(History, Broken)>;

/// Runs `task` for each seed on all cores, until one finds a history that breaks a law; the one with the lowest seed is told.
fn on_all_cores<T: Default + Send>(
    seeds: std::ops::Range<u64>,
    test: &str,
    task: impl Fn(u64, &mut T) -> Result<(), Found> + Sync,
) -> Vec<T> {
    let (next, is_over) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let work = || {
        let mut sum = T::default();
        loop {
            let seed = next.fetch_add(1, Ordering::SeqCst);
            if seed >= seeds.end || is_over.load(Ordering::SeqCst) {
                return Ok(sum);
            }
            task(seed, &mut sum).map_err(|found| {
                is_over.store(true, Ordering::SeqCst);
                (seed, found)
            })?;
        }
    };
    let ends: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    let (mut sums, mut found) = (Vec::new(), Vec::new());
    for end in ends {
        match end {
            Ok(sum) => sums.push(sum),
            Err(failure) => found.push(failure),
        }
    }
    if let Some((seed, found)) = found.into_iter().min_by_key(|(seed, _)| *seed) {
        tell(test, seed, &found.0, &found.1);
    }
    sums
}

#[test]
fn every_law_holds_on_random_histories_and_every_row_of_the_table_is_taken() {
    let seeds = seeds(HISTORIES);
    let task = |seed: u64, (rows, steps): &mut (Rows, usize)| {
        let history = history(seed);
        *steps += history.steps.len();
        run(&history, rows).map_err(|(taken, broken)| Box::new(shortened(history, broken, taken)))
    };
    let parts = on_all_cores(seeds.clone(), "every_law_holds", task);
    let steps: usize = parts.iter().map(|(_, steps)| steps).sum();
    let rows = parts.into_iter().map(|(rows, _)| rows).fold(Rows::default(), Rows::and);
    let rare = rows.report();
    println!("{} histories, {steps} steps", seeds.end - seeds.start);
    let is_whole = seeds.end - seeds.start >= HISTORIES;
    assert!(!is_whole || rare.is_empty(), "rows taken less than {LEAST} times: {rare:#?}");
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
    let buckets = run.books.sheets.values().map(|sheet| sheet[..5].iter().sum::<i128>() - sheet[5]).sum();
    (parts.collect(), buckets)
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
    for place in (1..steps.len()).rev() {
        steps.swap(place, random.below(place + 1));
    }
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
    on_all_cores(seeds(HISTORIES / 10), "facts_of_one_sale", |seed, (): &mut ()| {
        let mut history = history(seed);
        let random = &mut Random::new(!seed);
        history.steps = facts(&history.products[0], random);
        let straight = match ends(&history) {
            Ok(straight) => straight,
            Err(broken) => return Err(Box::new((history, broken))),
        };
        history.steps = shuffled(&history.steps, random);
        let agrees = ends(&history).and_then(|other| agree(&straight, other));
        agrees.map_err(|broken| Box::new((history, broken)))
    });
}

//! The laws of payouts over random histories. `history` and `tales` make them, `run` tells each step to the ledger and to the
//! model (`reference` and `payouts`) and asks every law after it, `books` asks those that events keep by themselves, `rows`
//! counts the rows of the tables.
//!
//! `PAYOUT_SEED=n` runs one history and tells everything; `PAYOUT_HISTORIES=n` runs so many in place of the usual number.
mod books;
#[path = "../../ledger/laws/calendar.rs"]
#[allow(dead_code, reason = "shared with the laws of the ledger, which use more of it")]
mod calendar;
#[path = "../../ledger/laws/commission.rs"]
#[allow(dead_code, reason = "as above")]
mod commission;
mod history;
mod money;
mod payouts;
#[path = "../../ledger/laws/people.rs"]
mod people;
#[path = "../../ledger/laws/random.rs"]
mod random;
mod reference;
mod rows;
mod run;
mod tales;
mod what_if;
/// Caps are for the laws of the ledger.
mod terms {
    pub type CapKey = ();
}

use books::{Broken, law};
use history::{History, Step, Target, history};
use random::Random;
use rows::{LEAST, Rows};
use run::Run;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tributary_domain::facts::ReversalState;
use tributary_domain::time::DAY_MICROS;

/// So many that each row is taken often enough: 1.8 million steps.
const HISTORIES: u64 = 32_000;

#[allow(
    clippy::disallowed_methods,
    reason = "which histories are run is the caller's choice, not the domain's"
)]
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Seeds from 0, or the one to replay.
fn seeds(usual: u64) -> std::ops::Range<u64> {
    match setting("PAYOUT_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..setting("PAYOUT_HISTORIES").unwrap_or(usual),
    }
}

/// A step and the law that it broke.
type Failed = (usize, Broken);

fn caught<T>(task: impl FnOnce() -> Result<T, Broken>) -> Result<T, Broken> {
    catch_unwind(AssertUnwindSafe(task)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or(panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(Broken { law: "nothing panics", detail: text.unwrap_or_default() })
    })
}

/// Runs a history; how many steps it took to the law that broke, and which.
fn run(history: &History, rows: &mut Rows) -> Result<(), Failed> {
    let (mut taken, folds_at) = (0, history.steps.len() / 2);
    let ran = caught(|| {
        let mut run = Run::new(history, rows)?;
        for step in &history.steps {
            taken += 1;
            run.step(step)?;
            if taken == folds_at {
                run.folds_again()?;
            }
        }
        Ok(())
    });
    ran.map_err(|broken| (taken, broken))
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
    let list = |all: Vec<String>| all.join("");
    let steps = history.steps.iter().enumerate().map(|(place, one)| format!("  {place}: {one:?}\n"));
    let is_told = |sale: usize| {
        let tells = |step: &Step| matches!(step, Step::Sale { sale: told } if *told == sale);
        history.steps.iter().any(tells)
    };
    let products = history.products.iter().enumerate().filter(|(sale, _)| is_told(*sale));
    let products = products.map(|(_, product)| {
        let objects: Vec<_> = product.objects.iter().map(|one| (one.family.name(), one.gross)).collect();
        let sale = &product.sale;
        format!("  {} of {:?}: {} {}, {objects:?}\n", sale.id, sale.partner, sale.gross, sale.currency)
    });
    panic!(
        "law broken: {}\n{}\n{:?} from {:?}\n{}shortened to {} steps\n{}law broken: {} (seed {seed}); replay: \
         PAYOUT_SEED={seed} cargo test -p tributary-domain --release --test payout_laws {test}",
        broken.law,
        broken.detail,
        history.settings,
        history.start,
        list(products.collect()),
        history.steps.len(),
        list(steps.collect()),
        broken.law,
    );
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
fn every_law_of_payouts_holds_on_random_histories_and_every_row_of_the_tables_is_taken() {
    let seeds = seeds(HISTORIES);
    let task = |seed: u64, (rows, steps): &mut (Rows, usize)| {
        let history = history(seed);
        *steps += history.steps.len();
        run(&history, rows).map_err(|(taken, broken)| Box::new(shortened(history, broken, taken)))
    };
    let parts = on_all_cores(seeds.clone(), "every_law_of_payouts", task);
    let steps: usize = parts.iter().map(|(_, steps)| steps).sum();
    let rows = parts.into_iter().map(|(rows, _)| rows).fold(Rows::default(), Rows::and);
    let rare = rows.report();
    println!("{} histories, {steps} steps", seeds.end - seeds.start);
    let is_whole = seeds.end - seeds.start >= HISTORIES;
    assert!(!is_whole || rare.is_empty(), "rows taken less than {LEAST} times: {rare:#?}");
}

/// The facts of the first sale, each of its objects up to some state.
fn facts(history: &History, random: &mut Random) -> Vec<Step> {
    let mut facts = vec![Step::Sale { sale: 0 }];
    let states = [ReversalState::Pending, ReversalState::Live, ReversalState::Dead];
    for object in 0..history.products[0].objects.len() {
        let told = states[..random.below(4)].iter();
        facts.extend(told.map(|state| Step::Reversal { sale: 0, object, state: *state }));
    }
    facts
}

/// The same in any order, some of it several times, with time and payouts between.
fn shuffled(history: &History, facts: &[Step], random: &mut Random) -> Vec<Step> {
    let mut steps = facts.to_vec();
    for place in (1..steps.len()).rev() {
        steps.swap(place, random.below(place + 1));
    }
    let mut told = Vec::new();
    for step in steps {
        told.push(step);
        for _ in 0..random.below(4) {
            told.push(match random.below(5) {
                0 => facts[random.below(facts.len())].clone(),
                1 => Step::Tick { wait: 3 * DAY_MICROS },
                2 => tales::approves(Target::Sale(0)),
                3 => tales::drafts(&history.products, 0),
                _ => tales::ends_of_payout(random),
            });
        }
    }
    told
}

/// Takes all steps of a history; what the first sale comes to: R, N, and all of the balance.
fn ends(history: &History) -> Result<Option<(i64, i64, i128)>, Broken> {
    let rows = &mut Rows::default();
    let mut run = Run::new(history, rows)?;
    history.steps.iter().try_for_each(|step| run.step(step))?;
    Ok(run.comes_to(Target::Sale(0)))
}

#[test]
fn facts_of_one_sale_come_to_the_same_in_any_order_and_multiplicity_with_payouts_between() {
    on_all_cores(seeds(HISTORIES / 8), "facts_of_one_sale", |seed, (): &mut ()| {
        let mut history = history(seed);
        let random = &mut Random::new(!seed);
        let facts = facts(&history, random);
        history.steps = facts.clone();
        let straight = match caught(|| ends(&history)) {
            Ok(straight) => straight,
            Err(broken) => return Err(Box::new((history, broken))),
        };
        history.steps = shuffled(&history, &facts, random);
        let agrees = caught(|| ends(&history)).and_then(|other| {
            law!(
                "6: any order and multiplicity comes to the same",
                straight == other,
                "{straight:?}, not {other:?}"
            );
            Ok(())
        });
        agrees.map_err(|broken| Box::new((history, broken)))
    });
}

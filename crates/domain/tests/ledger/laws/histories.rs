//! Runs random histories on all cores. One that breaks a law is shortened to what it needs, and told with its seed.
use super::super::specs::{ReversalSpec, SaleSpec};
use super::counts::{Counts, LEAST};
use super::history::{History, history};
use super::law::{Broken, caught};
use super::rows::{Rows, TABLE};
use super::run::Run;
use super::{SUITE, described, run};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A sale or another conversion, and every reversal that could be told of it. An object says the same in each of its states:
/// anything else is a conflict, refused before the ledger.
#[derive(Debug, Clone)]
pub struct Product {
    pub sale: SaleSpec,
    pub objects: Vec<ReversalSpec>,
}

#[allow(
    clippy::disallowed_methods,
    reason = "which histories are run is the caller's choice, not the domain's"
)]
fn setting(name: &str) -> Option<u64> {
    std::env::var(format!("{SUITE}_{name}")).ok().map(|text| text.parse().unwrap())
}

/// Seeds from 0, or the one to replay.
pub fn seeds(usual: u64) -> Range<u64> {
    match setting("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..setting("HISTORIES").unwrap_or(usual),
    }
}

/// A run that has taken all steps of a history. It goes on with its log folded again after so many; `taken` counts them.
pub fn told<'a>(
    history: &'a History,
    rows: &'a mut Rows,
    folds_at: usize,
    taken: &mut usize,
) -> Result<Run<'a>, Broken> {
    let mut run = Run::new(history, rows)?;
    for step in &history.steps {
        *taken += 1;
        run.step(step)?;
        if *taken == folds_at {
            run.folds_again()?;
        }
    }
    Ok(run)
}

/// Runs a history; how many steps it took to the law that broke, and which.
fn tried(history: &History, rows: &mut Rows) -> Result<(), (usize, Broken)> {
    let mut taken = 0;
    caught(|| run(history, rows, &mut taken)).map_err(|broken| (taken, broken))
}

/// Leaves out whatever the failure does not need.
fn shortened(history: &mut History, mut broken: Broken, taken: usize) -> Broken {
    history.steps.truncate(taken);
    let mut size = history.steps.len().max(1);
    while size > 0 {
        let mut at = 0;
        while at < history.steps.len() {
            let mut shorter = history.clone();
            shorter.steps.drain(at..(at + size).min(shorter.steps.len()));
            match tried(&shorter, &mut Rows::default()) {
                Err((_, found)) if found.law == broken.law => (*history, broken) = (shorter, found),
                _ => at += size,
            }
        }
        size /= 2;
    }
    broken
}

fn tell(test: &str, seed: u64, history: &History, Broken { law, detail }: &Broken) -> ! {
    panic!(
        "law broken: {law}\n{detail}\n{}in {} steps\n{}law broken: {law} (seed {seed}); replay: \
         {SUITE}_SEED={seed} cargo test -p tributary-domain --release --test {}_laws {test}",
        described(history),
        history.steps.len(),
        list(&history.steps),
        SUITE.to_lowercase(),
    );
}

pub fn list<T: std::fmt::Debug>(all: &[T]) -> String {
    all.iter().enumerate().map(|(place, one)| format!("  {place}: {one:?}\n")).collect()
}

/// The seed, the history, and the law that it breaks.
type Found = Box<(u64, History, Broken)>;

/// Runs `task` on the history of each seed on all cores, until one breaks a law; the one with the lowest seed is told, as
/// `task` left it.
pub fn on_all_cores<T: Default + Send>(
    seeds: Range<u64>,
    test: &str,
    task: impl Fn(u64, &mut History, &mut T) -> Result<(), Broken> + Sync,
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
            let mut history = history(seed);
            caught(|| task(seed, &mut history, &mut sum)).map_err(|broken| {
                is_over.store(true, Ordering::SeqCst);
                Box::new((seed, history, broken))
            })?;
        }
    };
    let ends: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    let (mut sums, mut found) = (Vec::new(), Vec::<Found>::new());
    for end in ends {
        match end {
            Ok(sum) => sums.push(sum),
            Err(failure) => found.push(failure),
        }
    }
    if let Some(first) = found.into_iter().min_by_key(|failure| failure.0) {
        let (seed, history, broken) = *first;
        tell(test, seed, &history, &broken);
    }
    sums
}

/// Runs every history with every law, prints how often each row was taken, and fails where that was too rarely.
pub fn every_law_holds(test: &str, usual: u64) {
    let seeds = seeds(usual);
    let count = seeds.end - seeds.start;
    let parts = on_all_cores(seeds, test, |_, history, (rows, steps): &mut (Rows, usize)| {
        *steps += history.steps.len();
        tried(history, rows).map_err(|(taken, broken)| shortened(history, broken, taken))
    });
    let steps: usize = parts.iter().map(|(_, steps)| steps).sum();
    let rare = Counts::sum(parts.into_iter().map(|(rows, _)| rows.counts)).report(&TABLE);
    println!("{count} histories, {steps} steps");
    assert!(count < usual || rare.is_empty(), "rows taken less than {LEAST} times: {rare:#?}");
}

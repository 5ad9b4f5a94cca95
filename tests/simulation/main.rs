//! The whole chain in simulated time: the real loop, the real services and the real judgement over a log in memory, with
//! several owners per partition and every fault that a seed can think of. `docs/reference/simulation.md` says what is
//! checked.
//!
//! `TRIBUTARY_TEST_SEEDS` is how many histories run, `TRIBUTARY_TEST_SEED` runs one.
#![allow(clippy::unwrap_used)]

#[cfg(feature = "weaknesses")]
mod controls;
mod decisions;
mod earnings;
mod history;
mod oracle;
mod process;
mod readers;
mod reference;
mod replay;
mod truth;
mod versions;
mod workload;
mod world;

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use world::Plan;

/// Histories of a normal run.
const SEEDS: u64 = 2_000;

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Injected defects panic by the thousand: only the others are worth a line.
fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let text = info.payload();
            let text = text.downcast_ref::<String>().map(String::as_str).or(text.downcast_ref().copied());
            if text != Some(versions::INJECTED) {
                usual(info);
            }
        }));
    });
}

/// Runs `task` for each seed on all cores, until one says stop; the answers in order of seed.
fn on_all_cores<T: Send>(
    seeds: std::ops::Range<u64>,
    task: impl Fn(u64) -> Option<T> + Sync,
) -> Vec<(u64, T)> {
    let next = AtomicU64::new(seeds.start);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut answers = std::thread::scope(|scope| {
        let work = || {
            let mut answers = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::SeqCst);
                if seed >= seeds.end {
                    return answers;
                }
                answers.extend(task(seed).map(|answer| (seed, answer)));
            }
        };
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect::<Vec<_>>()
    });
    answers.sort_by_key(|(seed, _)| *seed);
    answers
}

#[test]
fn every_seeded_history_comes_to_what_the_reference_model_says() {
    quiet_panics();
    let one = from_environment("TRIBUTARY_TEST_SEED");
    if one.is_some() {
        // What the loops say belongs to the story of one history.
        tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_writer(std::io::stdout).init();
    }
    let seeds =
        one.map_or(0..from_environment("TRIBUTARY_TEST_SEEDS").unwrap_or(SEEDS), |seed| seed..seed + 1);
    let began = Instant::now();
    let outcomes = on_all_cores(seeds.clone(), |seed| {
        Some(history::run(Plan { tell: one.is_some(), ..Plan::of(seed) }))
    });
    let sum = |of: fn(&history::Outcome) -> u64| outcomes.iter().map(|(_, outcome)| of(outcome)).sum::<u64>();
    println!(
        "{} histories in {:.1} s: {} records of facts, {} faults, {} answers, {} diagnosed after lost tails",
        outcomes.len(),
        began.elapsed().as_secs_f64(),
        sum(|outcome| outcome.facts),
        sum(|outcome| outcome.faults),
        sum(|outcome| outcome.answers),
        sum(|outcome| u64::from(outcome.diagnosed)),
    );
    let mut taken = oracle::Taken::new();
    for (what, times) in outcomes.iter().flat_map(|(_, outcome)| &outcome.taken) {
        *taken.entry(what).or_default() += times;
    }
    println!("commissions: {taken:?}");
    let failed: Vec<_> =
        outcomes.iter().filter_map(|(seed, outcome)| Some((seed, outcome.problem.as_ref()?))).collect();
    for (seed, problem) in failed.iter().take(10) {
        println!("seed {seed}: {problem}");
        println!(
            "  replay: TRIBUTARY_TEST_SEED={seed} scripts/test --test simulation -- every_seeded_history --nocapture"
        );
    }
    assert!(failed.is_empty(), "{} of {} histories went wrong", failed.len(), outcomes.len());
    let is_whole = seeds.end - seeds.start >= SEEDS;
    let missing: Vec<_> = oracle::MUST.iter().filter(|what| !taken.contains_key(**what)).collect();
    assert!(!is_whole || missing.is_empty(), "no history had these: {missing:?}");
}

#[test]
fn a_seed_gives_the_same_log_byte_for_byte_each_time() {
    quiet_panics();
    for seed in 0..20 {
        let digests = [0; 2].map(|_| history::run(Plan::of(seed)).digest);
        assert_eq!(digests[0], digests[1], "seed {seed}");
    }
}

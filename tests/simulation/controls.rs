//! Negative controls: each rule of the protocol is taken away, and the oracles must notice. What none of 200 seeds shows
//! needs a schedule of its own.
use crate::history::{self, Outcome};
use crate::world::{Controls, Plan};
use crate::{from_environment, on_all_cores, quiet_panics};
use stream::weakness::{self, Weakness};

/// Histories per control.
const SEEDS: u64 = 200;

/// Something that is taken away.
struct Control {
    rule: &'static str,
    what: &'static str,
    removed: &'static [Weakness],
    plan: fn(&mut Plan),
    /// It is no wall of its own: nothing may happen.
    harmless: bool,
}

const fn control(rule: &'static str, what: &'static str, removed: &'static [Weakness]) -> Control {
    Control { rule, what, removed, plan: rough, harmless: false }
}

/// Enough of everything for a rule to be needed.
fn rough(plan: &mut Plan) {
    plan.truncations = false;
    plan.retention = false;
    plan.upgrade = true;
    plan.processes = 3;
    plan.requests = 24;
    plan.blows = plan.blows.max(12);
    plan.faults.appends_per_mille = plan.faults.appends_per_mille.max(100);
}

fn with(plan: &mut Plan, controls: Controls) {
    rough(plan);
    plan.controls = controls;
}

fn controls() -> Vec<Control> {
    vec![
        control("1", "the tail is read before the fence, not up to it", &[Weakness::TailBeforeFence]),
        control("2", "no epoch check and no head", &[Weakness::NoEpochNoHead]),
        Control {
            plan: |plan| {
                rough(plan);
                plan.together = true;
            },
            ..control("2", "no writer id", &[Weakness::NoWriterId])
        },
        control("2", "a hole halts", &[Weakness::HoleHalts]),
        control("3", "a reader restarts from an offset only", &[Weakness::OffsetOnly]),
        control("4", "acknowledged is accepted", &[Weakness::AckIsAcceptance]),
        control("5", "state is decided again from inputs", &[Weakness::StateFromInputs]),
        Control {
            plan: |plan| with(plan, Controls { newest_logic: true, ..Controls::default() }),
            ..control("6", "replay decides all by the newest logic", &[])
        },
        Control { harmless: true, ..control("7", "no new fence after an error", &[Weakness::NoRefence]) },
        Control {
            plan: |plan| {
                with(plan, Controls { quarantine_reserves: true, ..Controls::default() });
                plan.late_program = true;
            },
            ..control("8", "a quarantined verdict reserves its key", &[])
        },
        control("8", "a panic is not caught", &[Weakness::PanicNotCaught]),
        Control {
            plan: |plan| with(plan, Controls { latest_config: true, ..Controls::default() }),
            ..control("9", "a gateway keeps the latest record", &[])
        },
        Control {
            plan: |plan| {
                rough(plan);
                plan.truncations = true;
            },
            ..control("10", "no anchors", &[Weakness::NoAnchors])
        },
        Control {
            plan: |plan| {
                rough(plan);
                plan.wrong_clocks = 3;
            },
            ..control("11", "ticks carry the host's time", &[Weakness::TickTime])
        },
    ]
}

fn run(control: &Control, seed: u64) -> Outcome {
    let mut plan = Plan::of(seed);
    (control.plan)(&mut plan);
    weakness::remove(control.removed);
    let outcome = history::run(plan);
    weakness::remove(&[]);
    outcome
}

/// The seeds that fail: all of them when somebody wants to know, otherwise those about the first.
fn try_seeds(control: &Control) -> Vec<(u64, String)> {
    let mut failed = Vec::new();
    for first in (0..SEEDS).step_by(20) {
        if failed.is_empty() || from_environment("TRIBUTARY_TEST_SEEDS").is_some() {
            failed.extend(on_all_cores(first..first + 20, |seed| run(control, seed).problem));
        }
    }
    failed
}

#[test]
fn each_rule_that_is_taken_away_is_missed() {
    quiet_panics();
    let mut unnoticed = Vec::new();
    println!(
        "| rule | taken away | first seed | seeds that fail | what was noticed there |\n|---|---|---|---|---|"
    );
    for control in controls() {
        let failed = try_seeds(&control);
        let (first, problem) =
            failed.first().map_or(("none".to_owned(), String::new()), |(seed, problem)| {
                (seed.to_string(), problem.chars().take(120).collect())
            });
        println!("| {} | {} | {first} | {} | {problem} |", control.rule, control.what, failed.len());
        if failed.is_empty() != control.harmless {
            unnoticed.push(control.what);
        }
    }
    assert!(unnoticed.is_empty(), "not as it should be: {unnoticed:?}");
}

#[test]
fn the_same_histories_come_through_when_no_rule_is_missing() {
    quiet_panics();
    let plain = control("", "nothing", &[]);
    let clocks = |seed| {
        let mut plan = Plan::of(seed);
        rough(&mut plan);
        plan.wrong_clocks = 3;
        history::run(plan).problem
    };
    let together = |seed| {
        let mut plan = Plan::of(seed);
        rough(&mut plan);
        plan.together = true;
        history::run(plan).problem
    };
    let tails = |seed| {
        let mut plan = Plan::of(seed);
        rough(&mut plan);
        plan.truncations = true;
        history::run(plan).problem
    };
    assert_eq!(on_all_cores(0..SEEDS, |seed| run(&plain, seed).problem), []);
    assert_eq!(on_all_cores(0..SEEDS, clocks), []);
    assert_eq!(on_all_cores(0..SEEDS, together), []);
    assert_eq!(on_all_cores(0..SEEDS, tails), []);
}

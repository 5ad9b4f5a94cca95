//! The ledger of other times and other rules: frames of the log through `domain` in memory. It reads, and writes nothing.
//!
//! [`what_if`] folds what was decided, decides the same facts again under other rules, and compares. [`balances_as_of`] folds
//! what was decided until a moment; [`balances_known`] decides again what had happened by then. A program is one partition, so
//! that partitions go one after another and memory holds one of them.
mod balances;
mod frames;

pub use balances::{balances_as_of, balances_known};

use domain::attribution::AttributedEvent;
use domain::commission::forecast::{Forecast, Plan, Shadow, forecast, programs_of, rules_in_force};
use domain::commission::{CommissionInput, CommissionsEvent, evolve};
use domain::config::{ConfigObject, Program, Rule};
use domain::defect::panic_text;
use domain::ids::{ProgramId, RuleId};
use domain::normalization::{ConfigRefusal, validate};
use domain::tables::MemoryTables;
use domain::time::Micros;
use frames::{each_frame, events};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use stream::follow::FollowError;
use stream::judge::Frame;
use stream::log::{Log, LogError, Partition, Topic, partition_of};
use stream::service::Payload;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ShadowError {
    /// The log does not answer.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log cannot be followed.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// An event that this version does not know.
    #[error("{place}: {error}; run the version that wrote it, or a newer one")]
    UnknownEvent {
        /// The frame.
        place: String,
        /// What was met.
        error: wire::Unknown,
    },
    /// The file names a program that the log does not have.
    #[error(
        "programs.{0}: there is no such program; `tributary replay --export-rules` prints those that are there"
    )]
    UnknownProgram(ProgramId),
    /// A rule that could not be written: no answer would be one about a rule that may be.
    #[error("programs.{program}.rules.{rule}.{}: {} ({})", refused.field, refused.detail, refused.code)]
    Rule {
        /// Whose program.
        program: ProgramId,
        /// The rule.
        rule: RuleId,
        /// As a write of it would be refused.
        refused: ConfigRefusal,
    },
    /// Amounts that no log of ours has.
    #[error("{0}: the balances are out of range")]
    OutOfRange(String),
    /// The decision itself failed.
    #[error("{place}: a defect while deciding again: {detail}")]
    Defect {
        /// The frame.
        place: String,
        /// What it said.
        detail: String,
    },
}

/// How far a reading is: of which topic and partition, frames so far.
pub type Progress<'a> = &'a (dyn Fn(Topic, Partition, u64) + Sync);

/// Rules by program.
pub type Rules = BTreeMap<ProgramId, BTreeMap<RuleId, Rule>>;

/// What is asked.
#[derive(Debug, Clone)]
pub struct WhatIf {
    /// The rules of each program that is asked about.
    pub rules: Rules,
    /// From which moment on they count; `None`: from the start.
    pub since: Option<Micros>,
}

/// A rule that is other than in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleChange {
    /// Whose program.
    pub program: ProgramId,
    /// The rule.
    pub rule: RuleId,
    /// Its version then; `None`: it is removed.
    pub version: Option<u32>,
}

/// The answer.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// What is other in the rules.
    pub rules: Vec<RuleChange>,
    /// What that would change.
    pub forecast: Forecast,
}

/// The rules in force: of every program, or of one.
///
/// # Errors
/// [`ShadowError`].
pub async fn rules(
    log: &Arc<dyn Log>,
    program: Option<&ProgramId>,
    progress: Progress<'_>,
) -> Result<BTreeMap<ProgramId, Vec<Rule>>, ShadowError> {
    let all = (0..log.partition_count()).map(Partition);
    let own = program.map(|program| partition_of(program.as_str(), log.partition_count()));
    let mut found = BTreeMap::new();
    for partition in all.filter(|partition| own.is_none_or(|own| own == *partition)) {
        let mut tables = MemoryTables::default();
        let only = |event: &CommissionsEvent| matches!(event, CommissionsEvent::Config(_));
        fold(log, partition, &mut tables, &only, progress).await?;
        let programs = programs_of(&tables).into_iter();
        let programs = programs.filter(|found| program.is_none_or(|program| program == found));
        found.extend(programs.map(|program| {
            let rules = rules_in_force(&tables, &program);
            (program, rules)
        }));
    }
    match program.filter(|program| !found.contains_key(*program)) {
        Some(unknown) => Err(ShadowError::UnknownProgram(unknown.clone())),
        None => Ok(found),
    }
}

/// What would be other, had the rules been others.
///
/// # Errors
/// [`ShadowError`].
pub async fn what_if(
    log: &Arc<dyn Log>,
    asked: &WhatIf,
    progress: Progress<'_>,
) -> Result<Answer, ShadowError> {
    let mut by_partition: BTreeMap<u32, Rules> = BTreeMap::new();
    for (program, rules) in &asked.rules {
        let partition = partition_of(program.as_str(), log.partition_count());
        by_partition.entry(partition.0).or_default().insert(program.clone(), rules.clone());
    }
    let mut answer = Answer::default();
    for (partition, rules) in by_partition {
        let partition = Partition(partition);
        let mut real = MemoryTables::default();
        // Answers are for callers.
        let all = |event: &CommissionsEvent| !matches!(event, CommissionsEvent::Answer(_));
        let folded = fold(log, partition, &mut real, &all, progress).await?;
        let known = programs_of(&real);
        if let Some(unknown) = rules.keys().find(|program| !known.contains(program)) {
            return Err(ShadowError::UnknownProgram(unknown.clone()));
        }
        let plan = Plan::between(&real, &rules, asked.since);
        writable(&plan, &folded.programs)?;
        answer.rules.extend(plan.changes().map(|(program, rule, then)| RuleChange {
            program: program.clone(),
            rule: rule.clone(),
            version: then.map(|rule| rule.version),
        }));
        let shadow = shadow(log, partition, &plan, &folded, progress).await?;
        for program in rules.keys() {
            answer.forecast.add(forecast(&real, shadow.tables(), Some(program)));
        }
    }
    Ok(answer)
}

/// Each rule that is other could be written as it is; one that stands stays, whatever its program keeps by now.
fn writable(plan: &Plan, programs: &BTreeMap<ProgramId, Program>) -> Result<(), ShadowError> {
    for (program, id, then) in plan.changes() {
        let (Some(rule), Some(settings)) = (then, programs.get(program)) else { continue };
        validate::rule(settings, rule).map_err(|refused| ShadowError::Rule {
            program: program.clone(),
            rule: id.clone(),
            refused,
        })?;
    }
    Ok(())
}

/// What the real fold says of its inputs.
#[derive(Debug, Default)]
struct Folded {
    /// Programs as they stand.
    programs: BTreeMap<ProgramId, Program>,
    /// The last one: facts behind it are not decided yet.
    last: Option<u64>,
    /// Those that a defect parked.
    parked: BTreeSet<u64>,
}

/// Folds what was decided in a partition.
async fn fold(
    log: &Arc<dyn Log>,
    partition: Partition,
    tables: &mut MemoryTables,
    which: &(dyn Fn(&CommissionsEvent) -> bool + Sync),
    progress: Progress<'_>,
) -> Result<Folded, ShadowError> {
    let mut folded = Folded::default();
    each_frame(log, Topic::Commissions, partition, progress, |frame| {
        let mut decided = events(&frame, Topic::Commissions, wire::commissions::decode)?;
        decided.retain(which);
        evolve(tables, frame.clock, &decided);
        for event in &decided {
            if let CommissionsEvent::Config(config) = event
                && let ConfigObject::Program(program) = &config.object
            {
                folded.programs.insert(config.program.clone(), program.clone());
            }
        }
        if !frame.defect.is_empty() {
            folded.parked.insert(frame.source);
        }
        folded.last = Some(frame.source);
        Ok(true)
    })
    .await?;
    Ok(folded)
}

/// Decides a partition's facts again.
async fn shadow<'plan>(
    log: &Arc<dyn Log>,
    partition: Partition,
    plan: &'plan Plan,
    folded: &Folded,
    progress: Progress<'_>,
) -> Result<Shadow<'plan>, ShadowError> {
    let mut shadow = Shadow::new(plan);
    let mut aside: BTreeMap<u64, Vec<AttributedEvent>> = BTreeMap::new();
    each_frame(log, Topic::Attributed, partition, progress, |frame| {
        if folded.last.is_none_or(|last| frame.seq > last) {
            return Ok(false);
        }
        let mut given = events(&frame, Topic::Attributed, wire::attributed::decode)?;
        // What a defect parked counts from the retry that succeeded.
        let is_parked = folded.parked.contains(&frame.seq);
        let retried = if aside.is_empty() { None } else { retried(&frame) };
        match retried.filter(|source| aside.contains_key(source)) {
            Some(source) if !is_parked => given = aside.remove(&source).unwrap_or_default(),
            None if is_parked => {
                aside.insert(frame.seq, given);
                return Ok(true);
            }
            Some(_) => return Ok(true),
            None => {}
        }
        let input = CommissionInput { source: frame.seq, clock: frame.clock, events: &given };
        catch_unwind(AssertUnwindSafe(|| shadow.frame(&input))).map_err(|panic| ShadowError::Defect {
            place: frames::place(Topic::Attributed, &frame),
            detail: panic_text(panic.as_ref()),
        })?;
        Ok(true)
    })
    .await?;
    Ok(shadow)
}

/// The input that a frame asks commission to decide again.
fn retried(frame: &Frame) -> Option<u64> {
    crate::quarantine::retried_in_attributed("commission", &Payload::Events(frame.events.clone()))
}

//! What if, after histories with payouts: other rates, and the rules as they are.
use super::super::frames::{answer, applied};
use super::super::harness::World;
use super::super::specs::PROGRAM;
use super::books::{Broken, law};
use super::history::{History, history};
use super::rows::Rows;
use super::run::Run;
use super::{on_all_cores, seeds};
use std::collections::BTreeMap;
use tributary_domain::commission::forecast::{Forecast, Plan, Shadow, forecast, rules_in_force};
use tributary_domain::commission::{CommissionInput, decide, evolve};
use tributary_domain::config::{Reward, Rule};
use tributary_domain::facts::FactBody;
use tributary_domain::ids::{ProgramId, RuleId};
use tributary_domain::money::RatePpm;
use tributary_domain::tables::MemoryTables;

/// In the usual run.
const HISTORIES: u64 = 1_000;

type Rules = BTreeMap<ProgramId, BTreeMap<RuleId, Rule>>;

fn in_force(world: &World) -> Rules {
    let rules = rules_in_force(&world.tables, &PROGRAM.into());
    BTreeMap::from([(PROGRAM.into(), rules.into_iter().map(|rule| (rule.rule.clone(), rule)).collect())])
}

fn forecast_of(world: &World, rules: &Rules) -> Forecast {
    let plan = Plan::between(&world.tables, rules, None);
    let mut shadow = Shadow::new(&plan);
    for (clock, events) in &world.inputs {
        shadow.frame(&CommissionInput { source: 0, clock: *clock, events });
    }
    forecast(&world.tables, shadow.tables(), None)
}

/// Asks for each change; the ledger's own rules hold after it, and a rebuild is the same.
fn accept(world: &mut World, found: &Forecast) -> Result<(), Broken> {
    for change in &found.changes {
        let fact = world.fact("reprice", "command", FactBody::Command(change.command("what if", "mary")));
        let (input, clock) = (applied(fact), world.clock);
        let (events, _) = decide(&world.tables, &CommissionInput { source: 0, clock, events: &input }, 0);
        evolve(&mut world.tables, clock, &events);
        let declined = answer(&events).answer.declined;
        law!("an accepted change is made", declined.is_empty(), "{declined}: {change:#?}");
        for event in &events {
            law!("every sum fits", world.ledger.record(clock, event).is_ok(), "{event:#?}");
        }
        world.inputs.push((clock, input));
        world.log.push((clock, events));
        let line = world.ledger.commission(&change.commission).map(|line| line.net_minor);
        law!("N is the forecast's", line == Some(change.reprice.net), "{line:?}, not {change:#?}");
    }
    let problems = world.ledger.problems();
    law!("the second fold has nothing to say", problems.is_empty(), "{problems:?}");
    let mut again = MemoryTables::default();
    world.log.iter().for_each(|(clock, events)| evolve(&mut again, *clock, events));
    law!("a rebuild is the same", again == world.tables, "other rows");
    Ok(())
}

fn asks(history: &History, repriced: &mut BTreeMap<&'static str, u64>) -> Result<(), Broken> {
    let rows = &mut Rows::default();
    let mut run = Run::new(history, rows)?;
    for step in &history.steps {
        run.step(step)?;
    }
    let mut world = run.told();
    let mut rules = in_force(&world);
    let nothing = forecast_of(&world, &rules);
    law!("what if nothing were other: nothing", nothing.changes.is_empty(), "{nothing:#?}");
    for rule in rules.values_mut().flat_map(BTreeMap::values_mut) {
        if let Reward::Percent(rate) = rule.reward {
            rule.reward = Reward::Percent(RatePpm(rate.0 / 2 + 1));
        }
    }
    let found = forecast_of(&world, &rules);
    for change in &found.changes {
        *repriced.entry(change.status.map_or("-", |status| status.name())).or_default() += 1;
    }
    accept(&mut world, &found)?;
    let again = forecast_of(&world, &rules);
    law!("a second time nothing changes", again.changes.is_empty(), "{:#?}", again.changes);
    Ok(())
}

#[test]
fn what_if_is_nothing_when_nothing_is_other_and_accepted_what_it_said_whatever_was_paid() {
    let seeds = seeds(HISTORIES);
    let is_whole = seeds.end - seeds.start >= HISTORIES;
    let task = |seed: u64, repriced: &mut BTreeMap<&'static str, u64>| {
        let history = history(seed);
        asks(&history, repriced).map_err(|broken| Box::new((history, broken)))
    };
    let mut repriced: BTreeMap<&str, u64> = BTreeMap::new();
    for (status, times) in on_all_cores(seeds, "what_if_is_nothing", task).into_iter().flatten() {
        *repriced.entry(status).or_default() += times;
    }
    println!("repriced by status: {repriced:?}");
    let rare =
        ["pending", "approved", "locked", "paid"].into_iter().find(|status| !repriced.contains_key(status));
    assert!(!is_whole || rare.is_none(), "never repriced: {rare:?}");
}

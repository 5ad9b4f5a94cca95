//! How a ledger in memory is told, and asked what if.
use super::super::frames::applied;
use super::super::harness::World;
use super::super::specs::PROGRAM;
use super::law::{Broken, law};
use std::collections::BTreeMap;
use tributary_domain::attribution::AttributedEvent;
use tributary_domain::commission::forecast::{Forecast, Plan, Shadow, forecast, rules_in_force};
use tributary_domain::commission::{CommissionInput, CommissionsEvent, decide, evolve};
use tributary_domain::config::Rule;
use tributary_domain::facts::{Command, FactBody};
use tributary_domain::ids::{ProgramId, RuleId};
use tributary_domain::time::Micros;

/// Decides one step of a frame; whether there is another one.
pub fn decided(
    world: &World,
    input: &[AttributedEvent],
    step: u32,
) -> Result<(Vec<CommissionsEvent>, bool), Broken> {
    law!("every frame comes to an end", step < 20, "{input:#?}");
    let input = CommissionInput { source: 0, clock: world.clock, events: input };
    let first = decide(&world.tables, &input, step);
    let again = decide(&world.tables, &input, step);
    law!("10: decide is a function", again == first, "{first:#?} {again:#?}");
    Ok(first)
}

/// State is a function of the log's prefix; from here on the world goes on with what was folded again.
pub fn folds_again(world: &mut World) -> Result<(), Broken> {
    let again = world.rebuilt();
    law!("10: folding the log again gives the same rows", again == world.tables, "");
    world.tables = again;
    Ok(())
}

/// Tells the ledger a command, outside of the model; what came of it.
pub fn asked(world: &mut World, command: Command) -> Vec<CommissionsEvent> {
    let input = applied(world.fact("reprice", "command", FactBody::Command(command)));
    let clock = world.clock;
    let (events, _) = decide(&world.tables, &CommissionInput { source: 0, clock, events: &input }, 0);
    evolve(&mut world.tables, clock, &events);
    world.inputs.push((clock, input));
    world.log.push((clock, events.clone()));
    events
}

pub type Rules = BTreeMap<ProgramId, BTreeMap<RuleId, Rule>>;

pub fn in_force(world: &World) -> Rules {
    let rules = rules_in_force(&world.tables, &PROGRAM.into());
    BTreeMap::from([(PROGRAM.into(), rules.into_iter().map(|rule| (rule.rule.clone(), rule)).collect())])
}

pub fn forecast_of(world: &World, rules: &Rules, since: Option<Micros>) -> Forecast {
    let plan = Plan::between(&world.tables, rules, since);
    let mut shadow = Shadow::new(&plan);
    for (clock, events) in &world.inputs {
        shadow.frame(&CommissionInput { source: 0, clock: *clock, events });
    }
    forecast(&world.tables, shadow.tables(), None)
}

//! What if, after histories with payouts: other rates, and the rules as they are.
use super::super::frames::answer;
use super::super::harness::World;
use super::counts::Counts;
use super::histories::{on_all_cores, seeds};
use super::history::History;
use super::law::{Broken, law};
use super::rows::Rows;
use super::run::Run;
use super::telling::{asked, forecast_of, in_force};
use std::collections::BTreeMap;
use tributary_domain::commission::forecast::Forecast;
use tributary_domain::config::Reward;
use tributary_domain::money::RatePpm;

/// In the usual run.
const HISTORIES: u64 = 1_000;

/// Asks for each change; the ledger's own rules hold after it, and a rebuild is the same.
fn accept(world: &mut World, found: &Forecast) -> Result<(), Broken> {
    for change in &found.changes {
        let events = asked(world, change.command("what if", "mary"));
        let declined = answer(&events).answer.declined;
        law!("an accepted change is made", declined.is_empty(), "{declined}: {change:#?}");
        for event in &events {
            law!("every sum fits", world.ledger.record(world.clock, event).is_ok(), "{event:#?}");
        }
        let line = world.ledger.commission(&change.commission).map(|line| line.net_minor);
        law!("N is the forecast's", line == Some(change.reprice.net), "{line:?}, not {change:#?}");
    }
    let problems = world.ledger.problems();
    law!("the second fold has nothing to say", problems.is_empty(), "{problems:?}");
    law!("a rebuild is the same", world.rebuilt() == world.tables, "other rows");
    Ok(())
}

fn asks(history: &History, repriced: &mut Counts<&'static str>) -> Result<(), Broken> {
    let rows = &mut Rows::default();
    let mut run = Run::new(history, rows)?;
    for step in &history.steps {
        run.step(step)?;
    }
    let mut world = run.told();
    let mut rules = in_force(&world);
    let nothing = forecast_of(&world, &rules, None);
    law!("what if nothing were other: nothing", nothing.changes.is_empty(), "{nothing:#?}");
    for rule in rules.values_mut().flat_map(BTreeMap::values_mut) {
        if let Reward::Percent(rate) = rule.reward {
            rule.reward = Reward::Percent(RatePpm(rate.0 / 2 + 1));
        }
    }
    let found = forecast_of(&world, &rules, None);
    for change in &found.changes {
        repriced.add(change.status.map_or("-", |status| status.name()));
    }
    accept(&mut world, &found)?;
    let again = forecast_of(&world, &rules, None);
    law!("a second time nothing changes", again.changes.is_empty(), "{:#?}", again.changes);
    Ok(())
}

#[test]
fn what_if_is_nothing_when_nothing_is_other_and_accepted_what_it_said_whatever_was_paid() {
    let seeds = seeds(HISTORIES);
    let is_whole = seeds.end - seeds.start >= HISTORIES;
    let parts = on_all_cores(seeds, "what_if_is_nothing", |_, history, repriced| asks(history, repriced));
    let repriced = Counts::sum(parts).0;
    println!("repriced by status: {repriced:?}");
    let rare =
        ["pending", "approved", "locked", "paid"].into_iter().find(|status| !repriced.contains_key(status));
    assert!(!is_whole || rare.is_none(), "never repriced: {rare:?}");
}

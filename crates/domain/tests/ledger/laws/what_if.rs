//! What if, and as of: forecasts and balances of other times, on the same random histories.
use super::super::commands::command;
use super::super::frames::{answer, passed};
use super::super::harness::World;
use super::counts::Counts;
use super::histories::{on_all_cores, seeds};
use super::history::{History, Step, history};
use super::law::{Broken, law};
use super::random::Random;
use super::rows::Rows;
use super::rule_spec::{RULES, random_rule};
use super::run::Run;
use super::sheets::Sheet;
use super::telling::{Rules, asked, forecast_of, in_force};
use std::collections::BTreeMap;
use tributary_domain::attribution::AttributedEvent;
use tributary_domain::commission::as_of::{self, Known};
use tributary_domain::commission::balances::{Balances, Ledger};
use tributary_domain::commission::forecast::Forecast;
use tributary_domain::commission::{CommissionInput, CommissionStatus, CommissionsEvent};
use tributary_domain::facts::{Command, CommandKind};
use tributary_domain::ids::RuleId;
use tributary_domain::money::Minor;
use tributary_domain::normalization::FactsEvent;
use tributary_domain::time::Micros;

/// In the usual run.
const HISTORIES: u64 = 1_000;

/// What partners had after each step, and when that was.
type Told = Vec<(Micros, BTreeMap<(String, String), Sheet>)>;

/// The ledger after a history; what partners had after each of its steps.
fn told(history: &History) -> Result<(World, Told), Broken> {
    let rows = &mut Rows::default();
    let mut run = Run::new(history, rows)?;
    let mut sheets = Vec::new();
    for step in &history.steps {
        run.step(step)?;
        sheets.push((run.clock(), run.books.sheets.0.clone()));
    }
    Ok((run.told(), sheets))
}

/// Payments are no facts yet: a shadow does not see them.
fn without_payments(mut history: History) -> History {
    history.steps.retain(|step| !matches!(step, Step::Pay { .. }));
    history
}

/// The ledger as a fold of its log.
fn ledger(world: &World) -> Ledger {
    let mut ledger = Ledger::default();
    for (clock, events) in &world.log {
        for event in events {
            if let CommissionsEvent::Commission(event) = event {
                ledger.apply(*clock, event).unwrap();
            }
        }
    }
    ledger
}

/// Some of the rules changed, some taken away, some new.
fn others(world: &World, random: &mut Random) -> Rules {
    let mut rules = in_force(world);
    for of in rules.values_mut() {
        for _ in 0..=random.below(3) {
            let id = random.of(&RULES);
            if random.once_in(4) {
                of.remove(&RuleId::from(id));
            } else {
                let rule = random_rule(random, id).rule(1);
                of.insert(rule.rule.clone(), rule);
            }
        }
    }
    rules
}

/// Why a command was declined.
fn said(world: &mut World, command: Command) -> String {
    answer(&asked(world, command)).answer.declined
}

fn on_histories(test: &str, task: impl Fn(u64, &History) -> Result<(), Broken> + Sync) {
    on_all_cores(seeds(HISTORIES), test, |seed, history, (): &mut ()| task(seed, history));
}

#[test]
fn unchanged_rules_change_nothing_on_any_history() {
    on_histories("unchanged_rules_change_nothing", |_, history| {
        let (world, _) = told(&without_payments(history.clone()))?;
        let found = forecast_of(&world, &in_force(&world), None);
        let is_nothing = found.changes.is_empty() && found.left.is_empty();
        law!("what if nothing were other: nothing", is_nothing, "{found:#?}");
        Ok(())
    });
}

#[test]
fn an_accepted_forecast_and_a_rebuild_are_the_forecast_to_the_minor_unit() {
    let seeds = seeds(HISTORIES);
    let is_many = seeds.end - seeds.start >= HISTORIES;
    let parts =
        on_all_cores(seeds, "an_accepted_forecast", |seed, history, taken| accepted(seed, history, taken));
    let taken = Counts::sum(parts).0;
    println!("changes by status and direction: {taken:#?}");
    let kinds = ["pending", "review", "approved", "paid", "refunded", "-"];
    let taken_by = |kind: &str| {
        taken.iter().filter(|(row, _)| row.starts_with(kind)).map(|(_, times)| *times).sum::<u64>()
    };
    let rare: Vec<&str> = kinds.into_iter().filter(|kind| taken_by(kind) == 0_u64).collect();
    assert!(!is_many || rare.is_empty(), "never repriced: {rare:?}");
}

fn accepted(seed: u64, history: &History, taken: &mut Counts<String>) -> Result<(), Broken> {
    let random = &mut Random::new(!seed);
    let paid = random.once_in(2);
    let (mut world, _) = told(&if paid { history.clone() } else { without_payments(history.clone()) })?;
    let rules = others(&world, random);
    let since = random.once_in(4).then(|| world.inputs[random.below(world.inputs.len())].0);
    let found = forecast_of(&world, &rules, since);
    let before = ledger(&world);
    for change in &found.changes {
        let status = change.status.map_or("-", CommissionStatus::name);
        let way = if change.delta() < 0 { "less" } else { "more" };
        taken.add(format!("{status} {way}"));
        let declined = said(&mut world, change.command("what if", "mary"));
        law!("an accepted change is made", declined.is_empty(), "{declined}: {change:#?}");
    }
    as_forecast(&world, &before, &found)?;
    let again = forecast_of(&world, &rules, since);
    law!("a second time nothing changes", again.changes.is_empty(), "{:#?}", again.changes);
    if !paid {
        let none = forecast_of(&world, &in_force(&world), None);
        law!("what was accepted stays under the rules in force", none.changes.is_empty(), "{none:#?}");
    }
    for change in &found.changes {
        let declined = said(&mut world, change.command("what if", "mary"));
        law!("what moved is declined", declined == "moved", "{declined}: {change:#?}");
    }
    Ok(())
}

/// Every commission, every partner's sum, and the same once more from the log.
fn as_forecast(world: &World, before: &Ledger, found: &Forecast) -> Result<(), Broken> {
    let after = ledger(world);
    let problems = after.problems();
    law!("the ledger's rules hold after repricing", problems.is_empty(), "{problems:?}");
    let then: BTreeMap<_, _> =
        found.changes.iter().map(|change| (&change.commission, change.reprice.net)).collect();
    for line in after.commissions() {
        let was = before.commission(&line.commission_id).map(|line| line.net_minor);
        let expected = then.get(&line.commission_id).copied().or(was);
        law!("each N is the forecast's", Some(line.net_minor) == expected, "{line:?}, not {expected:?}");
    }
    for delta in found.deltas() {
        let net =
            |ledger: &Ledger| ledger.balances.sheet(&delta.program, &delta.partner, delta.currency).net();
        let risen = net(&after) - net(before);
        law!("each partner's delta is the forecast's", risen == delta.delta, "{risen}: {delta:?}");
    }
    law!("a rebuild is the same", world.rebuilt() == world.tables, "other rows");
    Ok(())
}

/// The buckets by partner and currency, without those that have nothing.
fn buckets(balances: &Balances) -> BTreeMap<(String, String), Sheet> {
    let all = balances.lines().map(|line| {
        let sheet = line.sheet;
        let amounts = [
            sheet.pending,
            sheet.review,
            sheet.available,
            sheet.in_flight,
            sheet.paid_out,
            sheet.debt,
            Minor::ZERO,
        ];
        (
            (line.partner_id.to_string(), line.currency.code().to_owned()),
            amounts.map(|amount| i128::from(amount.0)),
        )
    });
    all.filter(|(_, sheet)| sheet.iter().any(|amount| *amount != 0)).collect()
}

fn until(log: &[(Micros, Vec<CommissionsEvent>)], at: Micros) -> Balances {
    let mut balances = Balances::default();
    log.iter().take_while(|(clock, _)| *clock <= at).for_each(|(_, events)| {
        as_of::fold(&mut balances, events).unwrap();
    });
    balances
}

#[test]
fn balances_as_of_a_time_are_what_they_were_then() {
    on_histories("balances_as_of", |seed, history| {
        let random = &mut Random::new(!seed);
        let (world, sheets) = told(history)?;
        for _ in 0..3 {
            let at = sheets[random.below(sheets.len())].0;
            let (_, then) = sheets.iter().rfind(|(clock, _)| *clock <= at).unwrap();
            let then: BTreeMap<_, _> = then
                .iter()
                .filter(|(_, sheet)| sheet.iter().any(|amount| *amount != 0))
                .map(|(account, sheet)| (account.clone(), *sheet))
                .collect();
            let found = buckets(&until(&world.log, at));
            law!("as of a time is what it was", found == then, "{at:?}: {found:?}, not {then:?}");
        }
        Ok(())
    });
}

#[test]
fn what_is_known_at_a_time_of_the_same_time_is_what_it_was_then() {
    on_histories("what_is_known_at", |seed, history| {
        let random = &mut Random::new(!seed);
        let (mut world, sheets) = told(&without_payments(history.clone()))?;
        let Some((at, _)) = sheets.get(random.below(sheets.len().max(1))) else { return Ok(()) };
        let is_ahead = |event: &AttributedEvent| matches!(event, AttributedEvent::Passed { event: FactsEvent::Fact(fact), .. } if fact.occurred_at > *at);
        world.inputs.retain(|(clock, _)| clock <= at);
        if world.inputs.iter().any(|(_, events)| events.iter().any(is_ahead)) {
            return Ok(());
        }
        let mut known = Known::new(*at);
        // The same world with a last tick, as the log has one each second.
        let mut then = World::default();
        for (clock, events) in &world.inputs {
            known.frame(&CommissionInput { source: 0, clock: *clock, events });
            then.clock = *clock;
            then.frame(events.clone());
        }
        then.clock = *at;
        then.frame(vec![passed(FactsEvent::Tick, None)]);
        let (found, expected) = (buckets(&known.finish().unwrap()), buckets(&then.ledger.balances));
        law!("known then is what it was", found == expected, "{at:?}: {found:?}, not {expected:?}");
        Ok(())
    });
}

#[test]
fn a_command_without_terms_reprices_nothing() {
    let (mut world, _) = told(&history(1)).unwrap();
    let some = ledger(&world).commissions().next().unwrap().commission_id.clone();
    let declined = said(&mut world, Command { commission: some, ..command(CommandKind::Reprice) });
    assert_eq!(declined, "bad_reprice");
}

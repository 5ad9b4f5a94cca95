//! The laws of payouts over random histories. `history` and `tales` make them, `run` tells each step to the ledger and to the
//! model (`reference` and `payouts`) and asks every law after it, `books` asks those that events keep by themselves, `rows`
//! counts the rows of the tables. The rest is shared with the laws of the ledger.
//!
//! `PAYOUT_SEED=n` runs one history and tells everything; `PAYOUT_HISTORIES=n` runs so many in place of the usual number.
#[path = "../../ledger/laws/accounts.rs"]
mod accounts;
mod books;
#[path = "../../ledger/laws/calendar.rs"]
#[allow(dead_code, reason = "shared with the laws of the ledger, which use more of it")]
mod calendar;
#[path = "../../ledger/laws/commission.rs"]
#[allow(dead_code, reason = "as above")]
mod commission;
#[path = "../../ledger/laws/counts.rs"]
mod counts;
#[path = "../../ledger/laws/histories.rs"]
mod histories;
mod history;
#[path = "../../ledger/laws/law.rs"]
mod law;
mod money;
mod payouts;
#[path = "../../ledger/laws/people.rs"]
mod people;
#[path = "../../ledger/laws/random.rs"]
mod random;
mod reference;
mod rows;
mod run;
#[path = "../../ledger/laws/sheets.rs"]
mod sheets;
mod tales;
#[path = "../../ledger/laws/telling.rs"]
mod telling;
mod what_if;
/// Caps are for the laws of the ledger.
mod terms {
    pub type CapKey = ();
}

use histories::{every_law_holds, on_all_cores, seeds, told};
use history::{History, Step, Target};
use law::{Broken, law};
use random::Random;
use rows::Rows;
use run::Run;
use tributary_domain::facts::ReversalState;
use tributary_domain::time::DAY_MICROS;

const SUITE: &str = "PAYOUT";

/// So many that each row is taken often enough: 1.8 million steps.
const HISTORIES: u64 = 32_000;

fn run(history: &History, rows: &mut Rows, taken: &mut usize) -> Result<(), Broken> {
    told(history, rows, history.steps.len() / 2, taken).map(drop)
}

/// What a history is besides its steps.
fn described(history: &History) -> String {
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
    format!("{:?} from {:?}\n{}", history.settings, history.start, products.collect::<String>())
}

#[test]
fn every_law_of_payouts_holds_on_random_histories_and_every_row_of_the_tables_is_taken() {
    every_law_holds("every_law_of_payouts", HISTORIES);
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
    random.shuffle(&mut steps);
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
    on_all_cores(seeds(HISTORIES / 8), "facts_of_one_sale", |seed, history, (): &mut ()| {
        let random = &mut Random::new(!seed);
        let facts = facts(history, random);
        history.steps = facts.clone();
        let straight = ends(history)?;
        history.steps = shuffled(history, &facts, random);
        let other = ends(history)?;
        let law = "6: any order and multiplicity comes to the same";
        law!(law, straight == other, "{straight:?}, not {other:?}");
        Ok(())
    });
}

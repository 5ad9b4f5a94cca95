//! What one `decide` of a sale costs with few and with many rules in its program, and with many customers' rows beside them.
//!
//! State is in memory: what is compared is the work of finding and applying rules, not a store. Each sale has three lines and
//! is decided from the same state again and again; nothing is folded while the clock runs.
use crate::usage::cpu_time;
use anyhow::Result;
use domain::attribution::{AttributedEvent, Decision, SaleKey, TouchClass};
use domain::commission::{CommissionInput, CommissionsEvent, decide, evolve};
use domain::config::{ConfigFact, ConfigObject, Mode, Profile, Program, Reward, Rule};
use domain::facts::{Fact, FactBody, Recurrence, Sale, SaleDetails, SaleLine};
use domain::ids::{EventId, Hash, SubjectId};
use domain::money::{Currency, Minor, RatePpm, Rounding};
use domain::normalization::FactsEvent;
use domain::rules::{Clauses, Comparison, Condition, Field, Operator, Value};
use domain::tables::MemoryTables;
use domain::time::{DAY_MICROS, Micros};
use std::hint::black_box;

const PROGRAM: &str = "prog_bench";
/// Different sales, so that not one row answers all.
const SALES: usize = 1_000;
const COUNTRIES: usize = 200;
const LINES: usize = 3;

/// What the rules of a program ask for.
#[derive(Debug, Clone, Copy, PartialEq, clap::ValueEnum)]
pub(crate) enum Asks {
    /// A product or a partner, each rule for another one: a sale meets as many as it has values, however many there are.
    Each,
    /// Products, partners, countries, kinds, mixed: of 10,000 rules a dozen are for each country.
    Mixed,
    /// Amounts only: no value leads to such a rule, so that all of them are candidates.
    Amounts,
}

/// Prints a line for each number of rules, with the ratio to the first; then the same beside `customers` with a sale each.
pub(crate) fn run(asks: Option<Asks>, rules: &[usize], customers: usize, rounds: usize) -> Result<()> {
    println!("one `decide` of a sale with {LINES} lines, CPU time, least and median of {rounds} rounds");
    for kind in [Asks::Each, Asks::Mixed, Asks::Amounts] {
        if asks.is_none_or(|asks| asks == kind) {
            println!("{kind:?}");
            measured(rules, 0, rounds, kind)?;
        }
    }
    println!("Mixed, in a program with {customers} customers who bought once each");
    measured(rules, customers, rounds, Asks::Mixed)
}

fn measured(rules: &[usize], customers: usize, rounds: usize, asks: Asks) -> Result<()> {
    let mut tables = MemoryTables::default();
    fold(&mut tables, &config(ConfigObject::Program(program()), false));
    fold(&mut tables, &config(ConfigObject::Rule(base_rule()), false));
    for customer in 0..customers {
        fold(&mut tables, &sale(customer, customer, 10_000));
    }
    let (mut first, mut known) = (None, 1);
    for count in rules {
        for number in known..*count {
            fold(&mut tables, &config(ConfigObject::Rule(rule(number, asks)), false));
        }
        known = known.max(*count);
        let mut figures = Vec::new();
        for _ in 0..rounds {
            figures.push(decisions(&tables, customers, *count)?);
        }
        figures.sort_by(f64::total_cmp);
        let (least, median) = (figures[0], figures[figures.len() / 2]);
        let ratio = least / *first.get_or_insert(least);
        println!("{count:>8} rules: {least:6.1} us, median {median:6.1}; {ratio:.2} times the first");
    }
    Ok(())
}

/// Microseconds of CPU time of each decision.
fn decisions(tables: &MemoryTables, customers: usize, rules: usize) -> Result<f64> {
    // Known customers from everywhere, new ones where there are none.
    let sales: Vec<Vec<AttributedEvent>> = (0..SALES)
        .map(|number| sale(usize::MAX - number, number * customers.max(SALES) / SALES, rules))
        .collect();
    let before = cpu_time()?;
    for events in &sales {
        let input = CommissionInput { source: 0, clock: Micros(400 * DAY_MICROS), events };
        let decided = black_box(decide(black_box(tables), &input, 0));
        anyhow::ensure!(decided.0.len() == 2, "a sale that earns nothing: {:?}", decided.0);
    }
    Ok((cpu_time()? - before).as_nanos() as f64 / 1_000.0 / SALES as f64)
}

fn fold(tables: &mut MemoryTables, events: &[AttributedEvent]) {
    let clock = Micros(300 * DAY_MICROS);
    let decided: Vec<CommissionsEvent> = decide(tables, &CommissionInput { source: 0, clock, events }, 0).0;
    evolve(tables, clock, &decided);
}

fn dollars() -> Currency {
    Currency::parse("USD").unwrap()
}

fn program() -> Program {
    Program {
        account: "acct".into(),
        name: "Bench".to_owned(),
        mode: Mode::Test,
        profile: Profile::Native,
        currency: dollars(),
        rounding: Rounding::HalfEven,
        click_window_days: 30,
        hold_days: 30,
        release: domain::config::Release::default(),
        rule_metadata_keys: Vec::new(),
        manual_approval: false,
        sale_from: None,
        referral_keys: Vec::new(),
        customer_keys: Vec::new(),
    }
}

fn config(object: ConfigObject, removed: bool) -> Vec<AttributedEvent> {
    let fact = ConfigFact { program: PROGRAM.into(), actor: "bench".to_owned(), object, removed };
    vec![passed(FactsEvent::Config(fact), None)]
}

fn passed(event: FactsEvent, decision: Option<Decision>) -> AttributedEvent {
    AttributedEvent::Passed { bytes: Default::default(), event, decision }
}

/// Applies to everything.
fn base_rule() -> Rule {
    Rule {
        rule: "rule_base".into(),
        version: 1,
        reward: Reward::Percent(RatePpm(200_000)),
        ..Rule::default()
    }
}

/// The `number`th rule. Of the mixed ones there are as many for a country as there are times 800 in all rules; each product
/// and each partner has one.
fn rule(number: usize, asks: Asks) -> Rule {
    let text = |field: &str, text: String| test(field, Operator::Equal, Value::Text(text));
    let when = match (asks, number % 4) {
        (Asks::Amounts, _) => {
            let above = i64::try_from(number).unwrap_or(i64::MAX);
            vec![test("amount", Operator::Greater, Value::Number(above))]
        }
        (Asks::Each, 0 | 2) | (_, 0) => vec![text("product", product(number))],
        (Asks::Each, 3) => vec![text("partner", partner(number))],
        (_, 1) => vec![text("partner", partner(number))],
        (_, 2) => vec![
            text("product", product(number)),
            text("country", country(number / 4)),
            text("kind", "sale".to_owned()),
        ],
        (_, _) => vec![text("country", country(number / 4)), text("kind", "renewal".to_owned())],
    };
    Rule {
        rule: format!("rule_{number}").into(),
        version: 1,
        reward: Reward::Percent(RatePpm(100_000)),
        clauses: Clauses { when: Condition::All(when), ..Clauses::default() },
        ..Rule::default()
    }
}

#[allow(clippy::expect_used, reason = "the names above")]
fn test(field: &str, operator: Operator, value: Value) -> Condition {
    let field = Field::parse(field, "").expect("a field of rules");
    Condition::Test(Comparison { field, operator, value })
}

fn product(number: usize) -> String {
    format!("product_{number}")
}

fn partner(number: usize) -> String {
    format!("partner_{number}")
}

fn country(number: usize) -> String {
    format!("C{}", number % COUNTRIES)
}

/// A sale of three products to a customer, for a partner and in a country that some rule asks for, where there are such.
fn sale(number: usize, customer: usize, rules: usize) -> Vec<AttributedEvent> {
    let id = format!("txn_{number}");
    let mut subject = [0; 16];
    subject[..8].copy_from_slice(&customer.to_be_bytes());
    // Spread over all rules.
    let near = |salt: usize| customer.wrapping_mul(7_919).wrapping_add(salt * 4_001) % rules;
    let line = |place: usize| SaleLine {
        line_id: format!("line_{place}"),
        net: Minor(10_000),
        product_id: product(near(place) / 4 * 4 + place % 2 * 2),
        ..SaleLine::default()
    };
    let body = FactBody::Sale(Sale {
        external_id: id.clone(),
        currency: dollars(),
        gross: Minor(36_000),
        net: Some(Minor(30_000)),
        lines: (0..LINES).map(line).collect(),
        subscription_id: String::new(),
        recurrence: Recurrence::First,
        referral: None,
        coupon: None,
        aliases: Vec::new(),
        details: SaleDetails { country: country(near(1) / 4), ..SaleDetails::default() },
    });
    let fact = Fact {
        program: PROGRAM.into(),
        event: EventId::derive(&PROGRAM.into(), &"bench".into(), &id),
        source: "bench".into(),
        object_id: id.clone(),
        state: String::new(),
        hash: Hash::ZERO,
        occurred_at: Micros(200 * DAY_MICROS),
        identifiers: Vec::new(),
        body,
    };
    let decision = Decision {
        program: PROGRAM.into(),
        sale: SaleKey { source: "bench".into(), external_id: id },
        outcome: Ok((partner(near(2) / 4 * 4 + 1).as_str().into(), TouchClass::Code)),
        customer: Some(SubjectId(subject)),
        touches: Vec::new(),
        binds: false,
        shares: Vec::new(),
    };
    vec![passed(FactsEvent::Fact(fact), Some(decision))]
}

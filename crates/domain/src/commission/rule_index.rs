//! The index of a program's rules: which of thousands may apply to a conversion, in order of precedence, read only as far as
//! somebody asks.
//!
//! A rule that asks for one of some values of a text field stands under each of the values, one that asks for a narrow range of
//! a number under the magnitudes of the range; a conversion looks up its own values only, in the fields that any rule asks
//! for. The rest stands under no value. Under each value the keys are in order of precedence.
use super::book::Book;
use super::state::rules_under_key;
use crate::config::Rule;
use crate::ids::ProgramId;
use crate::rules::{Case, Field, Rank, RuleRef};
use crate::tables::{Key, decode};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// Rows that are read at once.
const PAGE: usize = 16;
/// A range of more magnitudes than this is no narrow one.
const MOST_MAGNITUDES: i64 = 16;
/// Numbers that rules may ask for a range of.
const NUMBERS: [Field; 2] = [Field::Amount, Field::SubscriptionAgeMonths];

/// A rule in the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) rank: Rank,
    pub(super) rule: RuleRef,
}

/// Where the index keeps a rule: a field's name and values; no field: under the empty name and value.
fn places(rule: &Rule) -> Vec<(String, String)> {
    let when = &rule.clauses.when;
    if let Some((field, values)) = when.key() {
        let name = field.name();
        return values.into_iter().map(|value| (name.clone(), value.to_owned())).collect();
    }
    for field in NUMBERS {
        let Some((least, most)) = when.numbers(&field) else { continue };
        let (first, last) = (magnitude(least), magnitude(most));
        if last.saturating_sub(first) < MOST_MAGNITUDES {
            let name = field.name();
            return (first..=last).map(|magnitude| (name.clone(), magnitude.to_string())).collect();
        }
    }
    vec![(String::new(), String::new())]
}

/// Eight steps for each doubling; all that is not above 0 has one.
fn magnitude(number: i64) -> i64 {
    let Ok(number) = u64::try_from(number) else { return 0 };
    if number == 0 {
        return 0;
    }
    let doublings = i64::from(number.ilog2());
    // The three bits after the highest one.
    let steps = if doublings >= 3 {
        number >> number.ilog2().saturating_sub(3)
    } else {
        number << 3_u32.saturating_sub(number.ilog2())
    };
    let step = i64::try_from(steps & 7).unwrap_or_default();
    doublings.saturating_mul(8).saturating_add(step).saturating_add(1)
}

/// The values that a case has in an indexed field; of the rules without one, the empty value.
fn values(case: &Case<'_>, name: &str) -> Vec<String> {
    if name.is_empty() {
        return vec![String::new()];
    }
    let Ok(field) = Field::parse(name, "") else { return Vec::new() };
    if NUMBERS.contains(&field) {
        return case.number(&field).map(|number| magnitude(number).to_string()).into_iter().collect();
    }
    let mut values: Vec<&str> = if field.is_of_line() {
        case.lines.iter().filter_map(|line| case.value(&field, Some(line))).collect()
    } else {
        case.value(&field, None).into_iter().collect()
    };
    values.sort_unstable();
    values.dedup();
    values.into_iter().map(str::to_owned).collect()
}

/// Where a rule of some rank stands under a value.
fn entry_key(under: Key, rank: Rank) -> Key {
    rank.numbers().into_iter().fold(under, Key::number)
}

/// The rules that may apply to a case, merged from the values that it has.
#[derive(Debug)]
pub(super) struct Candidates {
    sources: Vec<Source>,
}

/// The rules under one value, page by page.
#[derive(Debug)]
struct Source {
    /// The next key that was not read.
    next: Vec<u8>,
    end: Vec<u8>,
    read: VecDeque<Entry>,
    is_read: bool,
}

impl Candidates {
    /// The next one in order of precedence.
    pub(super) fn next(&mut self, book: &Book<'_>) -> Option<Entry> {
        self.sources.iter_mut().for_each(|source| source.fill(book));
        let rank =
            self.sources.iter().filter_map(|source| source.read.front()).map(|entry| entry.rank).min()?;
        let mut next = None;
        for source in &mut self.sources {
            // A rule may stand under several values of one case.
            if source.read.front().is_some_and(|entry| entry.rank == rank) {
                next = source.read.pop_front();
            }
        }
        next
    }
}

impl Source {
    fn fill(&mut self, book: &Book<'_>) {
        if !self.read.is_empty() || self.is_read {
            return;
        }
        if !book.rows.rules_under.is_empty() {
            // This frame itself changes rules: all at once.
            let known = book.view.range(&self.next, &self.end, usize::MAX).into_iter();
            let mut all: BTreeMap<Vec<u8>, Option<Entry>> =
                known.map(|(key, row)| (key.to_vec(), Some(decode(&row)))).collect();
            let changed = book.rows.rules_under.range(self.next.clone()..self.end.clone());
            all.extend(changed.map(|(key, row)| (key.clone(), row.clone())));
            self.read.extend(all.into_values().flatten());
            self.is_read = true;
            return;
        }
        let page = book.view.range(&self.next, &self.end, PAGE);
        self.is_read = page.len() < PAGE;
        if let Some((last, _)) = page.last() {
            self.next = last.to_vec();
            self.next.push(0);
        }
        self.read.extend(page.iter().map(|(_, row)| decode::<Entry>(row)));
    }
}

impl Book<'_> {
    pub(super) fn index(&mut self, program: &ProgramId, rule: &Rule, order: u64) {
        let rank = Rank::of(&rule.clauses, order);
        let entry = Entry { rank, rule: RuleRef { rule: rule.rule.clone(), version: rule.version } };
        for (field, value) in places(rule) {
            let key = entry_key(rules_under_key(program, &field, &value), rank);
            let count = self.program(program).fields.entry(field).or_default();
            *count = count.saturating_add(1);
            self.rows.rules_under.insert(key.bytes().to_vec(), Some(entry.clone()));
        }
    }

    pub(super) fn unindex(&mut self, program: &ProgramId, rule: &Rule, order: u64) {
        let rank = Rank::of(&rule.clauses, order);
        for (field, value) in places(rule) {
            let key = entry_key(rules_under_key(program, &field, &value), rank);
            let fields = &mut self.program(program).fields;
            if let Some(count) = fields.get_mut(&field) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    fields.remove(&field);
                }
            }
            self.rows.rules_under.insert(key.bytes().to_vec(), None);
        }
    }

    /// The rules that may apply, in order of precedence.
    pub(super) fn candidates(&mut self, program: &ProgramId, case: &Case<'_>) -> Candidates {
        let mut sources = Vec::new();
        for name in self.program(program).fields.keys() {
            for value in values(case, name) {
                let under = rules_under_key(program, name, &value);
                let (next, end) = (under.bytes().to_vec(), under.end());
                sources.push(Source { next, end, read: VecDeque::new(), is_read: false });
            }
        }
        Candidates { sources }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use crate::commission::evolve::evolve;
    use crate::commission::{CommissionsEvent, pricing::takes_all};
    use crate::config::{ConfigFact, ConfigObject, Reward};
    use crate::money::{Minor, RatePpm};
    use crate::rules::{Candidate, Clauses, Comparison, Condition, Line, Operator, Selecting, Value};
    use crate::tables::MemoryTables;
    use crate::time::Micros;
    use proptest::prelude::*;

    fn test(field: Field, operator: Operator, value: Value) -> Condition {
        Condition::Test(Comparison { field, operator, value })
    }

    /// Few values, so that many rules meet; amounts on both sides of zero and of each magnitude.
    fn comparison() -> impl Strategy<Value = Condition> {
        let text = prop::sample::select(vec!["a", "b", "c"]);
        let texts = prop::collection::vec(text.clone().prop_map(str::to_owned), 1..3);
        let amount = prop_oneof![-2..70_i64, Just(i64::MIN), Just(i64::MAX), 0..i64::MAX];
        let numeric = prop::sample::select(vec![Field::Amount, Field::SubscriptionAgeMonths]);
        prop_oneof![
            (prop::sample::select(vec![Field::Product, Field::Coupon]), text).prop_map(|(field, text)| test(
                field,
                Operator::Equal,
                Value::Text(text.to_owned())
            )),
            texts.prop_map(|texts| test(Field::Product, Operator::In, Value::Texts(texts))),
            (
                numeric.clone(),
                prop::sample::select(vec![
                    Operator::Equal,
                    Operator::NotEqual,
                    Operator::Less,
                    Operator::Greater
                ]),
                amount.clone()
            )
                .prop_map(|(field, operator, amount)| test(
                    field,
                    operator,
                    Value::Number(amount)
                )),
            (numeric, prop::collection::vec(amount, 1..3)).prop_map(|(field, amounts)| test(
                field,
                Operator::In,
                Value::Numbers(amounts)
            )),
        ]
    }

    fn condition() -> impl Strategy<Value = Condition> {
        let some = || prop::collection::vec(comparison(), 1..4);
        prop_oneof![
            some().prop_map(Condition::All),
            some().prop_map(Condition::Any),
            (some(), some()).prop_map(|(all, any)| {
                Condition::All(all.into_iter().chain([Condition::Any(any)]).collect())
            }),
        ]
    }

    fn rules() -> impl Strategy<Value = Vec<(usize, Rule, bool)>> {
        let rule = (0..40_usize, condition(), -1..2_i32, 0..3_i64, prop::bool::weighted(0.2));
        prop::collection::vec(rule, 0..60).prop_map(|rules| {
            let rule = |(version, (id, when, priority, reward, removed))| {
                let reward = if reward == 0 {
                    Reward::Flat {
                        amount: Minor(5),
                        currency: crate::money::Currency::parse("USD").unwrap(),
                        on_refund: crate::config::FlatRefund::FullOnly,
                    }
                } else {
                    Reward::Percent(RatePpm(reward))
                };
                let clauses = Clauses { priority, when, ..Clauses::default() };
                let rule = format!("rule_{id}").as_str().into();
                (id, Rule { rule, version, reward, clauses, ..Rule::default() }, removed)
            };
            (1..).zip(rules).map(rule).collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

        #[test]
        fn the_index_finds_the_winners_that_a_look_at_every_rule_finds(
            rules in rules(),
            amount in prop_oneof![-2..70_i64, 0..i64::MAX],
            age in prop::option::of(-1..40_i64),
            coupon in prop::sample::select(vec!["", "a", "b"]),
            products in prop::collection::vec(prop::sample::select(vec!["a", "b", "d"]), 0..4),
        ) {
            let program: ProgramId = "prog".into();
            let case = Case {
                kind: "sale",
                coupon,
                amount: Minor(amount),
                subscription_age_months: age,
                lines: products.iter().map(|product| Line { product, ..Line::default() }).collect(),
                ..Case::default()
            };
            let mut tables = MemoryTables::default();
            // Id -> how-manieth it is, and what it is now.
            let mut known: BTreeMap<usize, (u64, Option<Rule>)> = Default::default();
            for (id, rule, removed) in rules {
                let next = known.len() as u64 + 1;
                known.entry(id).or_insert((next, None)).1 = (!removed).then(|| rule.clone());
                let (program, actor) = (program.clone(), String::new());
                let fact = ConfigFact { program, actor, object: ConfigObject::Rule(rule), removed };
                evolve(&mut tables, Micros(0), &[CommissionsEvent::Config(fact)]);
            }
            let mut active: Vec<(Rank, Rule)> = known
                .into_values()
                .filter_map(|(order, rule)| rule.map(|rule| (Rank::of(&rule.clauses, order), rule)))
                .collect();
            active.sort_by_key(|(rank, _)| *rank);
            let mut scan = Selecting::new(&case);
            for (rank, rule) in &active {
                let (clauses, takes_all) = (&rule.clauses, takes_all(rule));
                let named = RuleRef { rule: rule.rule.clone(), version: rule.version };
                scan.offer(&Candidate { rank: *rank, clauses, rule: &named, takes_all });
            }
            let scanned = scan.finish(active.len());
            let (found, winners) = Book::new(&tables).choose(&program, &case);
            let by_scan: Vec<Option<&Rule>> =
                scanned.lines.iter().map(|place| place.map(|place| &active[place].1)).collect();
            let by_index: Vec<Option<&Rule>> =
                found.lines.iter().map(|place| place.map(|place| &winners[&place])).collect();
            prop_assert_eq!(&by_index, &by_scan);
            let distinct: std::collections::BTreeSet<_> = found.lines.iter().flatten().collect();
            prop_assert_eq!(distinct.len() + found.considered.len() + found.more, active.len());
            let won = |id| by_index.iter().flatten().any(|winner| winner.rule == id);
            for passed in found.considered {
                prop_assert!(!won(passed.rule.rule));
            }
        }
    }

    #[test]
    fn magnitudes_grow_with_numbers_an_eighth_of_a_doubling_at_a_time() {
        let numbers = [i64::MIN, 0, 1, 2, 3, 8, 9, 15, 16, 17, 18, 1_000, 1_128, i64::MAX];
        let known = numbers.map(magnitude);
        assert!(known.is_sorted(), "{known:?}");
        assert_eq!((known[0], known[1], known[2]), (0, 0, 1));
        assert!(magnitude(16) == magnitude(17) && magnitude(17) < magnitude(18));
        assert!(magnitude(1_000) < magnitude(1_128));
        assert_eq!(magnitude(i64::MAX), 62 * 8 + 8);
    }
}

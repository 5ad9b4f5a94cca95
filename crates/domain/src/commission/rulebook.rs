//! Which rule a sale gets: rules in rows that an index finds, what is known of the customer, and what the partner brought.
//!
//! A program may have thousands of rules. Those that ask for one of some values of a text field stand under each of the
//! values; a sale looks up its own values only, in the fields that any rule asks for. The rest stands under no value.
use super::SaleRecorded;
use super::book::Book;
use super::pricing::takes_all;
use super::state::{rule_key, rules_under_key};
use crate::config::Rule;
use crate::facts::{ConversionKind, Recurrence};
use crate::ids::{PartnerId, ProgramId, RuleId};
use crate::rules::{Candidate, Case, Field, Line, Rank, RuleRef, Selecting, Selection, months_between};
use crate::time::Micros;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A rule as it stands.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct RuleRow {
    /// `None`: it was removed. Its order stays, so that a rule that comes back is as old as it was.
    pub(super) rule: Option<Rule>,
    /// The how-manieth rule of the program it is.
    pub(super) order: u64,
}

/// A rule in the index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) rank: Rank,
    pub(super) rule: RuleId,
}

/// Where the index keeps a rule: a field's name and values; no field: under the empty name and value.
fn places(rule: &Rule) -> Vec<(String, String)> {
    match rule.clauses.when.key() {
        Some((field, values)) => {
            let name = field.name();
            values.into_iter().map(|value| (name.clone(), value.to_owned())).collect()
        }
        None => vec![(String::new(), String::new())],
    }
}

impl Book<'_> {
    /// Sets or removes a rule.
    pub(super) fn rule_changed(&mut self, program: &ProgramId, rule: &Rule, removed: bool) {
        let key = rule_key(program, &rule.rule);
        let known = self.rule(key.bytes()).clone();
        let order = match (&known.rule, known.order) {
            (None, 0) => {
                let row = self.program(program);
                row.rules = row.rules.saturating_add(1);
                row.rules
            }
            (_, order) => order,
        };
        if let Some(before) = &known.rule {
            self.unindex(program, before, order);
        }
        let row = self.rule(key.bytes());
        *row = RuleRow { rule: (!removed).then(|| rule.clone()), order };
        if !removed {
            self.index(program, rule, order);
        }
    }

    fn index(&mut self, program: &ProgramId, rule: &Rule, order: u64) {
        let entry = Entry { rank: Rank::of(&rule.clauses, order), rule: rule.rule.clone() };
        for (field, value) in places(rule) {
            let count = self.program(program).fields.entry(field.clone()).or_default();
            *count = count.saturating_add(1);
            let under = self.rules_under(rules_under_key(program, &field, &value).bytes());
            if let Err(at) = under.binary_search(&entry) {
                under.insert(at, entry.clone());
            }
        }
    }

    fn unindex(&mut self, program: &ProgramId, rule: &Rule, order: u64) {
        let entry = Entry { rank: Rank::of(&rule.clauses, order), rule: rule.rule.clone() };
        for (field, value) in places(rule) {
            let fields = &mut self.program(program).fields;
            if let Some(count) = fields.get_mut(&field) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    fields.remove(&field);
                }
            }
            self.rules_under(rules_under_key(program, &field, &value).bytes())
                .retain(|known| *known != entry);
        }
    }

    /// The rules that may apply, in order of precedence.
    fn candidates(&mut self, program: &ProgramId, case: &Case<'_>) -> Vec<Entry> {
        let fields: Vec<String> = self.program(program).fields.keys().cloned().collect();
        let mut found = Vec::new();
        for name in fields {
            for value in values(case, &name) {
                found.extend_from_slice(self.rules_under(rules_under_key(program, &name, value).bytes()));
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Chooses the rules for a sale's lines; the rules that were chosen, by their places in the selection.
    pub(super) fn choose(
        &mut self,
        program: &ProgramId,
        case: &Case<'_>,
    ) -> (Selection, BTreeMap<usize, Rule>) {
        let entries = self.candidates(program, case);
        let mut selecting = Selecting::new(case);
        let mut rules = BTreeMap::new();
        let mut looked_at = 0_usize;
        for entry in &entries {
            if !selecting.wants_more() {
                break;
            }
            looked_at = looked_at.saturating_add(1);
            let key = rule_key(program, &entry.rule);
            let Some(rule) = self.rule(key.bytes()).rule.clone() else { continue };
            if !rule.clauses.when.concerns(case.kind) {
                continue;
            }
            let named = RuleRef { rule: rule.rule.clone(), version: rule.version };
            selecting.offer(&Candidate {
                rank: entry.rank,
                clauses: &rule.clauses,
                rule: &named,
                takes_all: takes_all(&rule),
            });
            // By its place among those that were offered.
            rules.insert(rules.len(), rule);
        }
        (selecting.finish(entries.len().saturating_sub(looked_at)), rules)
    }
}

/// The values that a case has in an indexed field; of the rules without one, the empty value.
fn values<'a>(case: &Case<'a>, name: &str) -> Vec<&'a str> {
    if name.is_empty() {
        return vec![""];
    }
    let Ok(field) = Field::parse(name, "") else { return Vec::new() };
    let mut values: Vec<&str> = if field.is_of_line() {
        case.lines.iter().filter_map(|line| case.value(&field, Some(line))).collect()
    } else {
        case.value(&field, None).into_iter().collect()
    };
    values.sort_unstable();
    values.dedup();
    values
}

/// What is known of a customer's purchases.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct CustomerRow {
    /// When the first one on the log happened.
    pub(super) first_purchase_at: Micros,
    /// How many are recorded.
    pub(super) payments: u64,
}

/// The case of a sale, for rules.
pub(super) fn case<'a>(sale: &'a SaleRecorded, partner: &'a PartnerId, partner_group: &'a str) -> Case<'a> {
    let facets = &sale.facets;
    let is_renewal = match facets.recurrence {
        Recurrence::Renewal => true,
        Recurrence::First => false,
        // The provider does not say: a later payment of the same subscription is one.
        Recurrence::Unknown => sale.subscription_since.is_some(),
    };
    // Lines stand for parts of the base only where they say all of it.
    let by_line = facets.lines.len() == sale.slices.len();
    let lines = facets.lines.iter().filter(|_| by_line).map(|line| Line {
        product: &line.product,
        price: &line.price,
        plan: &line.plan,
        category: &line.category,
        product_key: &line.product_key,
    });
    let (number, first_at) =
        sale.purchase.map_or((1, sale.occurred_at), |purchase| (purchase.number, purchase.first_at));
    Case {
        kind: match facets.details.kind {
            ConversionKind::Sale if is_renewal => "renewal",
            kind => kind.name(),
        },
        partner: partner.as_str(),
        partner_group,
        coupon: &facets.coupon,
        country: &facets.details.country,
        is_recurring: number > 1,
        subscription_age_months: (!sale.subscription_id.is_empty())
            .then(|| sale.subscription_since.map_or(0, |since| months_between(since, sale.occurred_at))),
        amount: sale.base,
        currency: sale.currency.code(),
        interval: &facets.details.interval,
        metadata: &facets.details.metadata,
        lines: lines.collect(),
        occurred_at: sale.occurred_at,
        first_purchase_at: first_at,
        payment_number: number,
    }
}

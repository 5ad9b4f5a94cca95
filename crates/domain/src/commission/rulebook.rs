//! Which rule a sale gets: rules in rows that an index finds ([`rule_index`](super::rule_index)), and what is known of the
//! customer.
use super::SaleRecorded;
use super::book::Book;
use super::pricing::takes_all;
use super::rule_index::Entry;
use super::state::rule_key;
use crate::config::Rule;
use crate::facts::{ConversionKind, Recurrence};
use crate::ids::{PartnerId, ProgramId};
use crate::rules::{Candidate, Case, Line, Selecting, Selection, months_between};
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

impl Book<'_> {
    /// Sets or removes a rule.
    pub(super) fn rule_changed(&mut self, program: &ProgramId, rule: &Rule, removed: bool) {
        let key = rule_key(program, &rule.rule);
        let known = self.rule(key.bytes()).clone();
        let row = self.program(program);
        if known.order == 0 {
            row.rules = row.rules.saturating_add(1);
        }
        let order = if known.order == 0 { row.rules } else { known.order };
        if let Some(before) = &known.rule {
            row.active_rules = row.active_rules.saturating_sub(1);
            self.unindex(program, before, order);
        }
        let row = self.rule(key.bytes());
        *row = RuleRow { rule: (!removed).then(|| rule.clone()), order };
        if !removed {
            let row = self.program(program);
            row.active_rules = row.active_rules.saturating_add(1);
            self.index(program, rule, order);
        }
    }

    /// Chooses the rules for a sale's lines; the rules that were chosen, by their places in the selection.
    pub(super) fn choose(
        &mut self,
        program: &ProgramId,
        case: &Case<'_>,
    ) -> (Selection, BTreeMap<usize, Rule>) {
        let rules_in_all = self.program(program).active_rules;
        let mut candidates = self.candidates(program, case);
        let mut selecting = Selecting::new(case);
        let mut rules = BTreeMap::new();
        // Of other kinds only those rules take part that name the kind: this stands in their rows.
        let only_order_matters = matches!(case.kind, "sale" | "renewal");
        while selecting.wants_more() {
            let Some(Entry { rank, rule: named }) = candidates.next(self) else { break };
            if only_order_matters && selecting.is_decided() {
                selecting.offer_late(rank, named);
                continue;
            }
            let Some(rule) = self.rule(rule_key(program, &named.rule).bytes()).rule.clone() else { continue };
            if !rule.clauses.when.concerns(case.kind) {
                continue;
            }
            let (clauses, takes_all) = (&rule.clauses, takes_all(&rule));
            selecting.offer(&Candidate { rank, clauses, rule: &named, takes_all });
            // By its place among those that were offered.
            rules.insert(rules.len(), rule);
        }
        (selecting.finish(usize::try_from(rules_in_all).unwrap_or(usize::MAX)), rules)
    }
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

//! Which rule a conversion gets, line by line, and why the others did not win.
use super::{Case, Clauses, Line, RuleRef, Window, plus_months};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// How many rules that did not win an event names; of the rest it says how many.
pub const MAX_CONSIDERED: usize = 16;

/// Precedence: the smaller rank comes first. Total, since no two rules have the same order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rank {
    priority: Reverse<i32>,
    specificity: Reverse<u32>,
    order: u64,
}

impl Rank {
    /// Of a rule; `order`: the how-manieth rule of its program it is, kept over its versions.
    #[must_use]
    pub fn of(clauses: &Clauses, order: u64) -> Self {
        Self { priority: Reverse(clauses.priority), specificity: Reverse(clauses.when.specificity()), order }
    }

    /// Numbers whose order, one after the other, is the order of ranks: for keys.
    #[must_use]
    pub fn numbers(self) -> [i64; 3] {
        // Both fit many times over.
        let (priority, specificity) = (i64::from(self.priority.0), i64::from(self.specificity.0));
        let order = i64::try_from(self.order).unwrap_or(i64::MAX);
        [priority.saturating_neg(), specificity.saturating_neg(), order]
    }

    /// Why it comes before another.
    fn beats(self, other: Self) -> Why {
        match (self.priority == other.priority, self.specificity == other.specificity) {
            (false, _) => Why::Priority,
            (true, false) => Why::Specificity,
            (true, true) => Why::Age,
        }
    }
}

/// A rule that may apply.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Its place.
    pub rank: Rank,
    /// What it asks for.
    pub clauses: &'a Clauses,
    /// Its name.
    pub rule: &'a RuleRef,
    /// It pays one amount, above 0, whatever was bought: it takes a whole conversion or nothing.
    pub takes_all: bool,
}

/// A rule that did not win, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Considered {
    /// The rule.
    pub rule: RuleRef,
    /// Why.
    pub why: Why,
}

/// Why a rule did not win.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// A comparison was false for every line: the field and the operator.
    Condition(String, String),
    /// The customer's time or payments are over.
    Window,
    /// The base is below the least amount, or in another currency.
    Minimum,
    /// Another came first by priority.
    Priority,
    /// Another came first by narrower conditions.
    Specificity,
    /// Another came first because it is older.
    Age,
    /// It pays one amount, and another rule has won a part.
    TakesAll,
}

impl Why {
    /// The word in events and explanations.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Condition(..) => "condition",
            Self::Window => "window",
            Self::Minimum => "minimum",
            Self::Priority => "priority",
            Self::Specificity => "specificity",
            Self::Age => "age",
            Self::TakesAll => "takes_all",
        }
    }
}

/// What was chosen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// For each line the place of its rule among the candidates; one entry for a conversion without lines.
    pub lines: Vec<Option<usize>>,
    /// The rules that won nothing, in their order, at most [`MAX_CONSIDERED`].
    pub considered: Vec<Considered>,
    /// How many more rules the program has that won nothing.
    pub more: usize,
}

impl Selection {
    /// The first winner in order of precedence.
    #[must_use]
    pub fn first(&self) -> Option<usize> {
        self.lines.iter().flatten().min().copied()
    }
}

/// Chooses for each line the first candidate that applies to it. A rule that pays one amount wins all lines or none: all,
/// where it is the first to apply to any of them.
///
/// Candidates are offered in order of their ranks, until nobody wants to know of more.
#[derive(Debug)]
pub struct Selecting<'case, 'data> {
    case: &'case Case<'data>,
    lines: Vec<Option<&'case Line<'data>>>,
    selection: Selection,
    offered: usize,
    first: Option<Rank>,
}

impl<'case, 'data> Selecting<'case, 'data> {
    /// Nothing offered yet.
    #[must_use]
    pub fn new(case: &'case Case<'data>) -> Self {
        let lines: Vec<Option<&Line<'data>>> =
            if case.lines.is_empty() { vec![None] } else { case.lines.iter().map(Some).collect() };
        let selection = Selection { lines: vec![None; lines.len()], ..Selection::default() };
        Self { case, lines, selection, offered: 0, first: None }
    }

    /// Whether a further candidate could change what [`finish`](Self::finish) says by name.
    #[must_use]
    pub fn wants_more(&self) -> bool {
        !self.is_decided() || self.selection.considered.len() < MAX_CONSIDERED
    }

    /// Whether every line has its rule: whoever comes now comes too late, whatever it asks for.
    #[must_use]
    pub fn is_decided(&self) -> bool {
        !self.selection.lines.contains(&None)
    }

    /// The next candidate.
    pub fn offer(&mut self, candidate: &Candidate<'_>) {
        let place = self.offered;
        self.offered = self.offered.saturating_add(1);
        match self.apply(candidate) {
            Ok(won) => {
                for (line, _) in self.selection.lines.iter_mut().zip(won).filter(|(_, won)| *won) {
                    *line = Some(place);
                }
                self.first.get_or_insert(candidate.rank);
            }
            Err(why) => self.passed(candidate.rule.clone(), why),
        }
    }

    /// The next candidate, where all lines have their rules: only its place in the order matters.
    pub fn offer_late(&mut self, rank: Rank, rule: RuleRef) {
        self.offered = self.offered.saturating_add(1);
        let why = self.first.map_or(Why::Age, |first| first.beats(rank));
        self.passed(rule, why);
    }

    fn passed(&mut self, rule: RuleRef, why: Why) {
        if self.selection.considered.len() < MAX_CONSIDERED {
            self.selection.considered.push(Considered { rule, why });
        }
    }

    /// What was chosen, of so many rules that the program has.
    #[must_use]
    pub fn finish(mut self, rules: usize) -> Selection {
        let winners: BTreeSet<usize> = self.selection.lines.iter().flatten().copied().collect();
        let named = winners.len().saturating_add(self.selection.considered.len());
        self.selection.more = rules.saturating_sub(named);
        self.selection
    }
}

impl Selecting<'_, '_> {
    /// Which of the lines that are still free the candidate wins.
    fn apply(&self, candidate: &Candidate<'_>) -> Result<Vec<bool>, Why> {
        let (case, clauses) = (self.case, candidate.clauses);
        let holds: Vec<bool> = self.lines.iter().map(|line| clauses.when.holds(case, *line)).collect();
        if !holds.contains(&true) {
            let failing = self.lines.first().and_then(|line| clauses.when.failing(case, *line));
            let (field, operator) = failing
                .map(|failing| (failing.field.name(), failing.operator.name().to_owned()))
                .unwrap_or_default();
            return Err(Why::Condition(field, operator));
        }
        if clauses.window.is_some_and(|window| !within(case, window)) {
            return Err(Why::Window);
        }
        let below =
            |minimum: super::Limit| minimum.currency.code() != case.currency || case.amount < minimum.amount;
        if clauses.minimum.is_some_and(below) {
            return Err(Why::Minimum);
        }
        let Some(first) = self.first else {
            return Ok(if candidate.takes_all { vec![true; self.lines.len()] } else { holds });
        };
        if candidate.takes_all {
            return Err(Why::TakesAll);
        }
        let taken = &self.selection.lines;
        let free: Vec<bool> =
            holds.iter().zip(taken).map(|(holds, taken)| *holds && taken.is_none()).collect();
        if free.contains(&true) {
            return Ok(free);
        }
        Err(first.beats(candidate.rank))
    }
}

fn within(case: &Case<'_>, window: Window) -> bool {
    match window {
        // Half-open: of "12 months" with monthly payments the thirteenth is not in it.
        Window::Months(months) => case.occurred_at < plus_months(case.first_purchase_at, i64::from(months)),
        Window::Payments(payments) => case.payment_number <= u64::from(payments),
    }
}

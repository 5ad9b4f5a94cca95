//! Conditions: comparisons in groups of "all" and "any".
use super::field::{Field, FieldType, Operator};
use super::{Case, Line, RuleError};
use serde::{Deserialize, Serialize};

/// How deep groups may stand in groups.
pub const MAX_DEPTH: usize = 8;
/// How many comparisons a rule may have.
pub const MAX_COMPARISONS: usize = 64;
/// How many values `in` may list.
pub const MAX_VALUES: usize = 1_000;
/// Longest text to compare with, in bytes.
pub const MAX_TEXT_BYTES: usize = 256;

/// When a rule applies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// Each of them; of none: always.
    All(Vec<Condition>),
    /// At least one of them.
    Any(Vec<Condition>),
    /// One comparison.
    Test(Comparison),
}

/// A field against a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// What is looked at.
    pub field: Field,
    /// How.
    pub operator: Operator,
    /// Against what.
    pub value: Value,
}

/// What a field is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    /// A text or a word.
    Text(String),
    /// Several, for `in`.
    Texts(Vec<String>),
    /// A number.
    Number(i64),
    /// Several, for `in`.
    Numbers(Vec<i64>),
}

impl Value {
    const fn shape(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Texts(_) => "a list of texts",
            Self::Number(_) => "a whole number",
            Self::Numbers(_) => "a list of whole numbers",
        }
    }
}

impl Default for Condition {
    fn default() -> Self {
        Self::All(Vec::new())
    }
}

impl Condition {
    /// Whether it can be used: sizes, and each comparison.
    ///
    /// # Errors
    /// What is wrong, and where (`when.all[1].operator`).
    pub fn validate(&self, at: &str) -> Result<(), RuleError> {
        let mut comparisons = 0;
        self.walk(at, 1, &mut comparisons)
    }

    fn walk(&self, at: &str, depth: usize, comparisons: &mut usize) -> Result<(), RuleError> {
        let (name, parts) = match self {
            // Within another group it would say nothing; and there could be any number of them.
            Self::All(parts) if parts.is_empty() && depth > 1 => {
                return Err(RuleError::new(
                    &format!("{at}.all"),
                    "an empty group always applies; leave it out",
                ));
            }
            Self::All(parts) => ("all", parts),
            Self::Any(parts) if parts.is_empty() => {
                return Err(RuleError::new(
                    &format!("{at}.any"),
                    "an empty group would never apply; leave it out",
                ));
            }
            Self::Any(parts) => ("any", parts),
            Self::Test(comparison) => {
                *comparisons = comparisons.saturating_add(1);
                if *comparisons > MAX_COMPARISONS {
                    return Err(RuleError::new(
                        at,
                        format!("a rule has at most {MAX_COMPARISONS} comparisons"),
                    ));
                }
                return comparison.validate(at);
            }
        };
        if depth > MAX_DEPTH {
            return Err(RuleError::new(at, format!("groups stand in groups at most {MAX_DEPTH} deep")));
        }
        for (index, part) in parts.iter().enumerate() {
            part.walk(&format!("{at}.{name}[{index}]"), depth.saturating_add(1), comparisons)?;
        }
        Ok(())
    }

    /// Whether it holds for a line of the case; `None`: for a conversion without lines.
    #[must_use]
    pub fn holds(&self, case: &Case<'_>, line: Option<&Line<'_>>) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(case, line)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(case, line)),
            Self::Test(comparison) => comparison.holds(case, line),
        }
    }

    /// Each comparison with its path (`when.all[1]`), until one is refused.
    ///
    /// # Errors
    /// What `check` says.
    pub fn each(
        &self,
        at: &str,
        check: &mut dyn FnMut(&str, &Comparison) -> Result<(), RuleError>,
    ) -> Result<(), RuleError> {
        let (name, parts) = match self {
            Self::All(parts) => ("all", parts),
            Self::Any(parts) => ("any", parts),
            Self::Test(comparison) => return check(at, comparison),
        };
        let mut parts = parts.iter().enumerate();
        parts.try_for_each(|(index, part)| part.each(&format!("{at}.{name}[{index}]"), check))
    }

    /// The first comparison that keeps it from holding; of several ways to hold, the last tried.
    #[must_use]
    pub fn failing<'a>(&'a self, case: &Case<'_>, line: Option<&Line<'_>>) -> Option<&'a Comparison> {
        match self {
            Self::All(parts) => parts.iter().find_map(|part| part.failing(case, line)),
            Self::Any(parts) if parts.iter().any(|part| part.holds(case, line)) => None,
            Self::Any(parts) => parts.last().and_then(|part| part.failing(case, line)),
            Self::Test(comparison) => (!comparison.holds(case, line)).then_some(comparison),
        }
    }

    /// Whether a rule with it is about such conversions at all: sales and renewals are what rules are about unless they
    /// say otherwise; a lead, a sign-up or a click earns by those rules only that name its kind.
    #[must_use]
    pub fn concerns(&self, kind: &str) -> bool {
        matches!(kind, "sale" | "renewal") || self.names_kind(kind)
    }

    fn names_kind(&self, kind: &str) -> bool {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().any(|part| part.names_kind(kind)),
            Self::Test(Comparison { field: Field::Kind, operator, value }) => match (operator, value) {
                (Operator::Equal, Value::Text(text)) => text == kind,
                (Operator::In, Value::Texts(texts)) => texts.iter().any(|text| text == kind),
                _ => false,
            },
            Self::Test(_) => false,
        }
    }

    /// Whether it looks at lines.
    #[must_use]
    pub fn is_of_lines(&self) -> bool {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().any(Self::is_of_lines),
            Self::Test(comparison) => comparison.field.is_of_line(),
        }
    }

    /// The sum of the weights of the fields that must be right: of "any" its least narrow part. `not_equal` leaves nearly
    /// everything, and counts 1.
    #[must_use]
    pub fn specificity(&self) -> u32 {
        match self {
            Self::All(parts) => parts.iter().fold(0, |sum: u32, part| sum.saturating_add(part.specificity())),
            Self::Any(parts) => parts.iter().map(Self::specificity).min().unwrap_or_default(),
            Self::Test(Comparison { operator: Operator::NotEqual, .. }) => 1,
            Self::Test(comparison) => comparison.field.weight(),
        }
    }

    /// A field that must be one of these values for the condition to hold, the narrowest: where an index finds the rule.
    /// `None`: it may hold for any values.
    #[must_use]
    pub fn key(&self) -> Option<(&Field, Vec<&str>)> {
        match self {
            Self::All(parts) => parts
                .iter()
                .filter_map(Self::key)
                .max_by_key(|(field, values)| (field.weight(), std::cmp::Reverse(values.len()))),
            Self::Any(parts) => {
                let mut keys = parts.iter().map(Self::key);
                let (field, mut values) = keys.next()??;
                for key in keys {
                    let (other, more) = key?;
                    if other != field {
                        return None;
                    }
                    values.extend(more);
                }
                Some((field, values))
            }
            Self::Test(Comparison { field, operator, value }) => match (operator, value) {
                (Operator::Equal, Value::Text(text)) => Some((field, vec![text])),
                (Operator::In, Value::Texts(texts)) => {
                    Some((field, texts.iter().map(String::as_str).collect()))
                }
                _ => None,
            },
        }
    }

    /// The least and the greatest number that a field can be for the condition to hold. `None`: it may hold for any number,
    /// or without one.
    #[must_use]
    pub fn numbers(&self, of: &Field) -> Option<(i64, i64)> {
        match self {
            Self::All(parts) => {
                let mut ranges = parts.iter().filter_map(|part| part.numbers(of));
                let first = ranges.next()?;
                Some(ranges.fold(first, |known, range| (known.0.max(range.0), known.1.min(range.1))))
            }
            Self::Any(parts) => {
                let mut ranges = parts.iter().map(|part| part.numbers(of));
                let first = ranges.next()??;
                ranges.try_fold(first, |known, range| {
                    let range = range?;
                    Some((known.0.min(range.0), known.1.max(range.1)))
                })
            }
            Self::Test(comparison) if comparison.field == *of => {
                match (comparison.operator, &comparison.value) {
                    (Operator::Equal, Value::Number(value)) => Some((*value, *value)),
                    (Operator::Less, Value::Number(value)) => Some((i64::MIN, value.saturating_sub(1))),
                    (Operator::Greater, Value::Number(value)) => Some((value.saturating_add(1), i64::MAX)),
                    (Operator::In, Value::Numbers(values)) => {
                        values.iter().min().copied().zip(values.iter().max().copied())
                    }
                    _ => None,
                }
            }
            Self::Test(_) => None,
        }
    }
}

impl Comparison {
    fn validate(&self, at: &str) -> Result<(), RuleError> {
        let (field_type, field) = (self.field.field_type(), self.field.name());
        if !field_type.takes(self.operator) {
            return Err(RuleError::new(
                &format!("{at}.operator"),
                format!(
                    "`{field}` is a {}, which cannot be compared with `{}`",
                    field_type.name(),
                    self.operator.name()
                ),
            ));
        }
        let at = format!("{at}.value");
        let wanted = match (field_type, self.operator) {
            (FieldType::Number, Operator::In) => "a list of whole numbers",
            (FieldType::Number, _) => "a whole number",
            (_, Operator::In) => "a list of texts",
            (_, _) => "a text",
        };
        if self.value.shape() != wanted {
            return Err(RuleError::new(
                &at,
                format!("`{field}` {} wants {wanted}, not {}", self.operator.name(), self.value.shape()),
            ));
        }
        let texts: &[String] = match &self.value {
            Value::Text(text) => std::slice::from_ref(text),
            Value::Texts(texts) => texts,
            Value::Number(_) => return Ok(()),
            Value::Numbers(numbers) => return sized(&at, numbers.len()),
        };
        sized(&at, texts.len())?;
        let whole = !matches!(self.operator, Operator::Contains | Operator::StartsWith);
        for text in texts {
            if text.is_empty() || text.len() > MAX_TEXT_BYTES {
                return Err(RuleError::new(&at, format!("a text has 1 to {MAX_TEXT_BYTES} bytes")));
            }
            if let FieldType::Word(words) = field_type
                && !words.contains(&text.as_str())
            {
                return Err(RuleError::new(&at, format!("`{text}` is none of {}", words.join(", "))));
            }
            if let Some(form) = self.field.form().filter(|form| !form.holds(text, whole)) {
                return Err(RuleError::new(
                    &at,
                    format!("`{text}` is no `{field}`, which is {}", form.about),
                ));
            }
        }
        Ok(())
    }

    fn holds(&self, case: &Case<'_>, line: Option<&Line<'_>>) -> bool {
        if matches!(self.field.field_type(), FieldType::Number) {
            let Some(known) = case.number(&self.field) else { return self.operator == Operator::NotEqual };
            return match (self.operator, &self.value) {
                (Operator::Equal, Value::Number(value)) => known == *value,
                (Operator::NotEqual, Value::Number(value)) => known != *value,
                (Operator::Less, Value::Number(value)) => known < *value,
                (Operator::Greater, Value::Number(value)) => known > *value,
                (Operator::In, Value::Numbers(values)) => values.contains(&known),
                _ => false,
            };
        }
        // What is not there is no value: only "another than" is true of it.
        let Some(known) = case.value(&self.field, line) else { return self.operator == Operator::NotEqual };
        match (self.operator, &self.value) {
            (Operator::Equal, Value::Text(text)) => known == text,
            (Operator::NotEqual, Value::Text(text)) => known != text,
            (Operator::Contains, Value::Text(text)) => known.contains(text.as_str()),
            (Operator::StartsWith, Value::Text(text)) => known.starts_with(text.as_str()),
            (Operator::In, Value::Texts(texts)) => texts.iter().any(|text| known == text),
            _ => false,
        }
    }
}

fn sized(at: &str, values: usize) -> Result<(), RuleError> {
    if (1..=MAX_VALUES).contains(&values) {
        return Ok(());
    }
    Err(RuleError::new(at, format!("a list has 1 to {MAX_VALUES} values")))
}

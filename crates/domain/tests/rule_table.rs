//! Every field with every operator and every kind of value: the cell works, or is refused with its message. The tables of
//! `docs/reference/rules.md` are made here.
#![allow(clippy::unwrap_used)]
extern crate tributary_domain as domain;

use domain::money::Minor;
use domain::rules::{Case, Comparison, Condition, Field, FieldType, Line, Operator, Value};
use std::fmt::Write;

/// Kinds of value, as columns.
const KINDS: [&str; 4] = ["text", "list of texts", "whole number", "list of whole numbers"];
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/rules.md");

fn fields() -> Vec<Field> {
    Field::NAMED.into_iter().chain([Field::Metadata("KEY".to_owned())]).collect()
}

/// What a conversion has in a field, and what it has not.
fn texts(field: &Field) -> (String, String) {
    let (has, other) = match field.field_type() {
        FieldType::Number => ("10", "11"),
        FieldType::Word(words) => (*words.first().unwrap(), *words.last().unwrap()),
        FieldType::Text if *field == Field::Country => ("DE", "FR"),
        FieldType::Text if *field == Field::Currency => ("EUR", "USD"),
        FieldType::Text => ("Pro-7", "basic"),
    };
    (has.to_owned(), other.to_owned())
}

/// A conversion that has the field's value, and nothing else that it need not have.
fn case_of<'a>(field: &Field, has: &'a str, metadata: &'a [(String, String)]) -> (Case<'a>, Line<'a>) {
    let (mut case, mut line) = (Case::default(), Line::default());
    match field {
        Field::Kind => case.kind = has,
        Field::Product => line.product = has,
        Field::Price => line.price = has,
        Field::Plan => line.plan = has,
        Field::Category => line.category = has,
        Field::ProductKey => line.product_key = has,
        Field::Partner => case.partner = has,
        Field::PartnerGroup => case.partner_group = has,
        Field::Coupon => case.coupon = has,
        Field::Country => case.country = has,
        Field::Customer => case.is_recurring = has == "recurring",
        Field::SubscriptionAgeMonths => case.subscription_age_months = has.parse().ok(),
        Field::Amount => case.amount = Minor(has.parse().unwrap()),
        Field::Currency => case.currency = has,
        Field::Interval => case.interval = has,
        Field::Metadata(_) => case.metadata = metadata,
    }
    (case, line)
}

/// A value of the kind for which the comparison is right, and one for which it is wrong.
fn values(operator: Operator, kind: &str, has: &str, other: &str) -> [Value; 2] {
    let number = |text: &str| text.parse::<i64>().unwrap_or(7);
    let of = |text: &str| match kind {
        "text" => Value::Text(text.to_owned()),
        "list of texts" => Value::Texts(vec![text.to_owned()]),
        "whole number" => Value::Number(number(text)),
        _ => Value::Numbers(vec![number(text)]),
    };
    match operator {
        Operator::NotEqual => [of(other), of(has)],
        Operator::In => match kind {
            "list of texts" => [Value::Texts(vec![other.to_owned(), has.to_owned()]), of(other)],
            "list of whole numbers" => [Value::Numbers(vec![number(other), number(has)]), of(other)],
            _ => [of(has), of(other)],
        },
        Operator::Contains => [of(&has[1..]), of(other)],
        Operator::StartsWith => [of(&has[..1]), of(&has[1..])],
        Operator::Less => [of(other), of(has)],
        Operator::Greater => [of(&(number(has) - 1).to_string()), of(has)],
        Operator::Equal => [of(has), of(other)],
    }
}

/// `None`: it works; otherwise why it is refused.
fn refusal(field: &Field, operator: Operator, value: Value) -> Option<String> {
    let test = Condition::Test(Comparison { field: field.clone(), operator, value });
    test.validate("when").err().map(|error| {
        assert!(["when.operator", "when.value"].contains(&error.field.as_str()), "{error}");
        error.reason
    })
}

/// What the page says of the cells that are refused.
fn message(field: &Field, operator: Operator, kind: &str) -> String {
    let (name, of_type, operator_name) = (field.name(), field.field_type(), operator.name());
    if !of_type.takes(operator) {
        let type_name = of_type.name();
        return format!("`{name}` is a {type_name}, which cannot be compared with `{operator_name}`");
    }
    let wanted = match (of_type, operator) {
        (FieldType::Number, Operator::In) => "list of whole numbers",
        (FieldType::Number, _) => "whole number",
        (_, Operator::In) => "list of texts",
        _ => "text",
    };
    format!("`{name}` {operator_name} wants a {wanted}, not a {kind}")
}

#[test]
fn every_cell_of_the_table_works_or_is_refused_with_its_message() {
    let (mut working, mut refused) = (0, 0);
    for field in fields() {
        let (has, other) = texts(&field);
        let metadata = [("OTHER".to_owned(), other.clone()), ("KEY".to_owned(), has.clone())];
        let (case, line) = case_of(&field, &has, &metadata);
        for operator in Operator::ALL {
            for kind in KINDS {
                let at = format!("{} {} {kind}", field.name(), operator.name());
                let [right, wrong] = values(operator, kind, &has, &other);
                if let Some(reason) = refusal(&field, operator, right.clone()) {
                    assert_eq!(reason, message(&field, operator, kind), "{at}");
                    refused += 1;
                    continue;
                }
                working += 1;
                let holds = |value: Value, line: Option<&Line<'_>>| {
                    let test = Comparison { field: field.clone(), operator, value };
                    let test = Condition::Test(test);
                    assert_eq!(test.validate("when"), Ok(()), "{at}");
                    assert_eq!(test.failing(&case, line).is_none(), test.holds(&case, line), "{at}");
                    test.holds(&case, line)
                };
                assert!(holds(right.clone(), Some(&line)), "{at}: {right:?}");
                assert!(!holds(wrong.clone(), Some(&line)), "{at}: {wrong:?}");
                // A conversion without lines knows nothing of products: it has another, and none.
                if field.is_of_line() {
                    assert_eq!(holds(right.clone(), None), operator == Operator::NotEqual, "{at}");
                }
            }
        }
    }
    // 16 fields, 7 operators, 4 kinds: 11 of text with 5 operators, 3 of words with 3, 2 of numbers with 5, one kind each.
    assert_eq!((working, refused), (11 * 5 + 3 * 3 + 2 * 5, 16 * 7 * 4 - 74));
}

#[test]
fn what_a_conversion_has_not_is_only_another() {
    for field in fields() {
        // These every conversion has.
        if [Field::Customer, Field::Amount].contains(&field) {
            continue;
        }
        let (has, other) = texts(&field);
        for operator in Operator::ALL {
            for kind in KINDS {
                let [value, _] = values(operator, kind, &has, &other);
                if refusal(&field, operator, value.clone()).is_none() {
                    let test = Condition::Test(Comparison { field: field.clone(), operator, value });
                    let holds = test.holds(&Case::default(), Some(&Line::default()));
                    assert_eq!(holds, operator == Operator::NotEqual, "{} {}", field.name(), operator.name());
                }
            }
        }
    }
}

/// Field by operator: the kind of value that works, or none.
fn table() -> String {
    let operators = Operator::ALL.map(|operator| format!("`{}`", operator.name())).join(" | ");
    let mut table = format!("| field | type | of | {operators} |\n|---|---|---|{}\n", "---|".repeat(7));
    for field in fields() {
        let words = match field.field_type() {
            FieldType::Word(words) => format!(": `{}`", words.join("`, `")),
            FieldType::Text | FieldType::Number => String::new(),
        };
        let of = if field.is_of_line() { "each line" } else { "conversion" };
        let (has, other) = texts(&field);
        let cells = Operator::ALL.map(|operator| {
            let works = |kind: &&str| {
                let [value, _] = values(operator, kind, &has, &other);
                refusal(&field, operator, value).is_none()
            };
            KINDS.into_iter().find(works).unwrap_or("no")
        });
        let (name, kind) = (field.name(), field.field_type().name());
        writeln!(table, "| `{name}` | {kind}{words} | {of} | {} |", cells.join(" | ")).unwrap();
    }
    table
}

#[test]
#[allow(clippy::disallowed_methods)] // A test that writes a page of the documentation needs no durability.
fn the_page_has_the_table() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (begin, end) = ("<!-- made by crates/domain/tests/rule_table.rs -->\n", "<!-- end -->\n");
    let (before, rest) = page.split_once(begin).unwrap();
    let (found, after) = rest.split_once(end).unwrap();
    let made = table();
    if std::env::var_os("TRIBUTARY_TEST_RENEW").is_some() {
        std::fs::write(PAGE, format!("{before}{begin}{made}{end}{after}")).unwrap();
        return;
    }
    assert_eq!(
        found, made,
        "renew it: TRIBUTARY_TEST_RENEW=1 cargo test -p tributary-domain --test rule_table"
    );
}

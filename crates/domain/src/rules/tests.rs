#![allow(clippy::unwrap_used)]
use super::*;
use crate::money::Currency;

fn test(field: &str, operator: Operator, value: Value) -> Condition {
    Condition::Test(Comparison { field: Field::parse(field, "when").unwrap(), operator, value })
}

fn equal(field: &str, text: &str) -> Condition {
    test(field, Operator::Equal, Value::Text(text.to_owned()))
}

fn rule(id: &str) -> RuleRef {
    RuleRef { rule: id.into(), version: 1 }
}

fn when(priority: i32, when: Condition) -> Clauses {
    Clauses { priority, when, ..Clauses::default() }
}

/// The winner of each line by name, and why the others did not win.
fn chosen(case: &Case<'_>, rules: &[(&str, Clauses, bool)]) -> (Vec<String>, Vec<(String, Why)>) {
    let names: Vec<RuleRef> = rules.iter().map(|(name, ..)| rule(name)).collect();
    let mut candidates: Vec<Candidate<'_>> = rules
        .iter()
        .zip(&names)
        .zip(0..)
        .map(|(((_, clauses, takes_all), rule), order)| Candidate {
            rank: Rank::of(clauses, order),
            clauses,
            rule,
            takes_all: *takes_all,
        })
        .collect();
    candidates.sort_by_key(|candidate| candidate.rank);
    let mut selecting = Selecting::new(case);
    candidates.iter().for_each(|candidate| selecting.offer(candidate));
    let selection = selecting.finish(rules.len());
    let name = |place: &Option<usize>| {
        place.map_or_else(|| "-".to_owned(), |place| candidates.get(place).unwrap().rule.rule.to_string())
    };
    (
        selection.lines.iter().map(name).collect(),
        selection.considered.into_iter().map(|passed| (passed.rule.rule.to_string(), passed.why)).collect(),
    )
}

fn case() -> Case<'static> {
    Case {
        kind: "sale",
        partner: "anna",
        currency: "USD",
        amount: Minor(10_000),
        payment_number: 1,
        lines: vec![
            Line { product: "pro", category: "software", ..Line::default() },
            Line { product: "mug", ..Line::default() },
        ],
        ..Case::default()
    }
}

#[test]
fn each_line_gets_the_first_rule_that_applies_by_priority_then_narrowness_then_age() {
    let rules = [
        ("all", when(0, Condition::default()), false),
        ("old", when(0, equal("product", "pro")), false),
        ("new", when(0, equal("product", "pro")), false),
        ("low", when(-1, equal("partner", "anna")), false),
        ("other", when(9, equal("partner", "ben")), false),
    ];
    let (lines, passed) = chosen(&case(), &rules);
    assert_eq!(lines, ["old", "all"]);
    assert_eq!(
        passed,
        [
            ("other".to_owned(), Why::Condition("partner".to_owned(), "equal".to_owned())),
            ("new".to_owned(), Why::Age),
            ("low".to_owned(), Why::Priority),
        ]
    );
    // Without lines nothing is known of products, and only "another product" is true of that.
    let bare = Case { lines: Vec::new(), ..case() };
    assert_eq!(chosen(&bare, &rules).0, ["all"]);
    let not_pro = test("product", Operator::NotEqual, Value::Text("pro".to_owned()));
    assert_eq!(chosen(&bare, &[("not", when(0, not_pro.clone()), false)]).0, ["not"]);
    assert_eq!(chosen(&case(), &[("not", when(0, not_pro), false)]).0, ["-", "not"]);
}

#[test]
fn a_rule_of_one_amount_takes_all_lines_or_none() {
    let whole = ("whole", when(5, equal("product", "mug")), true);
    let part = ("part", when(0, equal("product", "pro")), false);
    assert_eq!(chosen(&case(), &[whole.clone(), part.clone()]).0, ["whole", "whole"]);
    let late = ("late", when(-5, Condition::default()), true);
    let (lines, passed) = chosen(&case(), &[late, part]);
    assert_eq!(lines, ["part", "-"]);
    assert_eq!(passed, [("late".to_owned(), Why::TakesAll)]);
}

#[test]
fn windows_are_half_open_and_the_least_amount_is_of_one_currency() {
    let day = crate::time::DAY_MICROS;
    let at = |days: i64, payment: u64| Case {
        occurred_at: Micros(days.checked_mul(day).unwrap()),
        payment_number: payment,
        ..case()
    };
    let only = |case: &Case<'_>, clauses: &Clauses| chosen(case, &[("r", clauses.clone(), false)]);
    let months = Clauses { window: Some(Window::Months(1)), ..Clauses::default() };
    assert_eq!(only(&at(30, 2), &months).0, ["r", "r"]);
    assert_eq!(only(&at(31, 2), &months), (vec!["-".to_owned(); 2], vec![("r".to_owned(), Why::Window)]));
    let payments = Clauses { window: Some(Window::Payments(12)), ..Clauses::default() };
    assert_eq!(only(&at(400, 12), &payments).0, ["r", "r"]);
    assert_eq!(only(&at(1, 13), &payments).1, [("r".to_owned(), Why::Window)]);
    let least = |amount, currency| Clauses {
        minimum: Some(Limit { amount: Minor(amount), currency: Currency::parse(currency).unwrap() }),
        ..Clauses::default()
    };
    assert_eq!(only(&case(), &least(10_000, "USD")).0, ["r", "r"]);
    assert_eq!(only(&case(), &least(10_001, "USD")).1, [("r".to_owned(), Why::Minimum)]);
    assert_eq!(only(&case(), &least(1, "EUR")).1, [("r".to_owned(), Why::Minimum)]);
}

#[test]
fn an_index_finds_a_rule_by_its_narrowest_field_only_where_it_must_be_one_of_some_values() {
    let key = |condition: &Condition| {
        condition.key().map(|(field, values)| {
            (field.name(), values.into_iter().map(str::to_owned).collect::<Vec<String>>())
        })
    };
    let country = equal("country", "DE");
    let product = test("product", Operator::In, Value::Texts(vec!["a".to_owned(), "b".to_owned()]));
    let found = |field: &str, values: &[&str]| {
        Some((field.to_owned(), values.iter().map(|value| (*value).to_owned()).collect()))
    };
    assert_eq!(key(&Condition::All(vec![country.clone(), product.clone()])), found("product", &["a", "b"]));
    assert_eq!(
        key(&Condition::Any(vec![product.clone(), equal("product", "c")])),
        found("product", &["a", "b", "c"])
    );
    assert_eq!(key(&Condition::Any(vec![product, country])), None);
    assert_eq!(key(&Condition::default()), None);
    assert_eq!(key(&test("coupon", Operator::NotEqual, Value::Text("x".to_owned()))), None);
}

#[test]
fn bad_clauses_are_refused_with_field_and_reason() {
    let refused = |clauses: Clauses| clauses.validate().unwrap_err().field;
    let usd = |amount| Limit { amount: Minor(amount), currency: Currency::parse("USD").unwrap() };
    let cap = |amount| Cap { scope: CapScope::Partner, period: Period::Month, limit: usd(amount) };
    let with = |caps: &[Cap]| Clauses { caps: caps.to_vec(), ..Clauses::default() };
    assert_eq!(with(&[cap(1)]).validate(), Ok(()));
    assert_eq!(refused(with(&[cap(-5)])), "caps[0].amount");
    assert_eq!(refused(with(&[cap(5), cap(6)])), "caps[1]");
    assert_eq!(refused(Clauses { window: Some(Window::Months(0)), ..Clauses::default() }), "window.months");
    assert_eq!(refused(Clauses { minimum: Some(usd(0)), ..Clauses::default() }), "minimum.amount");
    assert_eq!(refused(when(0, Condition::Any(Vec::new()))), "when.any");
    let deep = (0..9).fold(equal("partner", "a"), |inner, _| Condition::All(vec![inner]));
    assert!(refused(when(0, deep)).starts_with("when.all[0].all[0]"));
    let many = Condition::All(vec![equal("partner", "a"); MAX_COMPARISONS + 1]);
    assert_eq!(refused(when(0, many)), "when.all[64]");
    assert_eq!(refused(when(0, equal("customer", "old"))), "when.value");
    let unknown = Field::parse("colour", "when.field").unwrap_err();
    assert!(unknown.field == "when.field" && unknown.reason.contains("product"), "{unknown}");
}

#![allow(clippy::unwrap_used)]
use super::*;

const LINE: [Field; 1] = [Field { name: "net", kind: Kind::Amount, required: true, about: "" }];
const FIELDS: [Field; 6] = [
    Field { name: "id", kind: Kind::Id, required: true, about: "" },
    Field { name: "amount", kind: Kind::Amount, required: false, about: "" },
    Field { name: "percent", kind: Kind::Percent, required: false, about: "" },
    Field { name: "lines", kind: Kind::List { of: &LINE, most: 2 }, required: false, about: "" },
    Field { name: "at", kind: Kind::Moment, required: false, about: "" },
    Field { name: "flag", kind: Kind::Flag, required: false, about: "" },
];

fn refused(body: &str) -> (&'static str, String) {
    let refused = read(&FIELDS, body.as_bytes()).unwrap_err();
    (refused.code, refused.field)
}

#[test]
fn each_bad_field_is_refused_by_its_path() {
    for (body, code, field) in [
        ("{}", "missing_field", "id"),
        (r#"{"id":null}"#, "missing_field", "id"),
        (r#"{"id":"a","idd":1}"#, "unknown_field", "idd"),
        (r#"{"id":"a","\u0069d":"b"}"#, "duplicate_field", "id"),
        (r#"{"id":7}"#, "bad_field", "id"),
        (r#"{"id":""}"#, "bad_text", "id"),
        (r#"{"id":"a\u0000"}"#, "bad_text", "id"),
        (r#"{"id":"\ud800"}"#, "bad_text", "id"),
        (r#"{"id":"4242424242424242"}"#, "card_number", "id"),
        (r#"{"id":"a","amount":1.0}"#, "bad_amount", "amount"),
        (r#"{"id":"a","amount":1e2}"#, "bad_amount", "amount"),
        (r#"{"id":"a","amount":-1}"#, "bad_amount", "amount"),
        (r#"{"id":"a","amount":"1"}"#, "bad_amount", "amount"),
        (r#"{"id":"a","amount":9223372036854775808}"#, "bad_amount", "amount"),
        (r#"{"id":"a","lines":[{"net":1},{"net":1.5}]}"#, "bad_amount", "lines[1].net"),
        (r#"{"id":"a","lines":[{},{},{}]}"#, "bad_field", "lines"),
        (r#"{"id":"a","lines":[[]]}"#, "bad_field", "lines"),
        (r#"{"id":"a","lines":[{"net":1,"net":1}]}"#, "duplicate_field", "lines[0].net"),
        (r#"{"id":"a","at":"yesterday"}"#, "bad_time", "at"),
        (r#"{"id":"a","flag":"true"}"#, "bad_field", "flag"),
        (r#"{"id":"a","percent":"100.0001"}"#, "bad_field", "percent"),
        (r#"{"id":"a","percent":"1.23456"}"#, "bad_field", "percent"),
        (r#"{"id":"a","percent":"-1"}"#, "bad_field", "percent"),
        (r#"{"id":"a","percent":"0.0"}"#, "bad_field", "percent"),
        (r#"{"id":"a","percent":"."}"#, "bad_field", "percent"),
    ] {
        assert_eq!(refused(body), (code, field.to_owned()), "{body}");
    }
    let values = read(&FIELDS, br#"{"id":"a","amount":9223372036854775807,"percent":"12.5"}"#).unwrap();
    assert_eq!(
        (values.amount("amount"), values.rate("percent")),
        (Some(Minor(i64::MAX)), Some(RatePpm(125_000)))
    );
}

#[test]
fn a_batch_stands_alone_and_is_bounded() {
    assert_eq!(batch(br#"{"id":"a"}"#, 2).unwrap().map(|items| items.len()), None);
    assert_eq!(batch(br#"{"batch":[{},{}]}"#, 2).unwrap().map(|items| items.len()), Some(2));
    for body in [r#"{"batch":[]}"#, r#"{"batch":[{},{},{}]}"#, r#"{"batch":[1]}"#, r#"{"batch":{}}"#] {
        assert_eq!(batch(body.as_bytes(), 2).unwrap_err().code, "bad_field", "{body}");
    }
    assert_eq!(batch(br#"{"batch":[{}],"id":"a"}"#, 2).unwrap_err().field, "id");
    assert_eq!(batch(br#"{"batch":[{}],"batch":[{}]}"#, 2).unwrap_err().code, "duplicate_field");
}

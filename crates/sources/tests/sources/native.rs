//! What the native API's bodies become: facts with the names, money and people that they said.
#![allow(clippy::unwrap_used, missing_docs)]
use domain::attribution::SaleKey;
use domain::config::SourceSettings;
use domain::facts::{Command, CommandKind, ConversionKind, Fact, FactBody, Sale, ShareClaim, ShareOf};
use domain::ids::ProgramId;
use domain::money::{Currency, Minor};
use domain::normalization::Reading;
use domain::time::Micros;
use tributary_sources::{SourceRequest, normalize};

/// Delivery key and fact of a body, in a program that is shown in yen.
fn read(resource: &str, body: &str) -> (String, Fact) {
    let settings = SourceSettings { currency: Currency::parse("JPY").unwrap(), ..SourceSettings::default() };
    let program: ProgramId = "prog".into();
    let draft = normalize(&SourceRequest {
        program: &program,
        source: "native",
        body: body.as_bytes(),
        headers: &[],
        query: "",
        clock: Micros(7),
        settings: &settings,
        resource,
        authenticated_by: "key_1",
    });
    match draft.reading {
        Reading::Facts(facts) => (draft.delivery_key, facts.into_iter().next().unwrap()),
        other => panic!("{resource} {body}: {other:?}"),
    }
}

fn sale(fact: &Fact) -> &Sale {
    match &fact.body {
        FactBody::Sale(sale) => sale,
        other => panic!("no conversion: {other:?}"),
    }
}

fn command(fact: &Fact) -> &Command {
    match &fact.body {
        FactBody::Command(command) => command,
        other => panic!("no command: {other:?}"),
    }
}

#[test]
fn what_is_no_sale_has_its_kind_in_its_names_and_the_programs_currency() {
    for (resource, kind, name) in [
        ("leads", ConversionKind::Lead, "lead:1"),
        ("signups", ConversionKind::Signup, "signup:1"),
        ("clicks", ConversionKind::Click, "click:1"),
    ] {
        let (key, fact) = read(resource, r#"{"external_id":"1","code":"john123","customer":{"key":"c"}}"#);
        assert_eq!(
            (key.as_str(), fact.body.kind()),
            (format!("{resource}/1/recorded").as_str(), kind.name())
        );
        let sale = sale(&fact);
        assert_eq!((sale.details.kind, sale.gross, sale.currency.code()), (kind, Minor::ZERO, "JPY"));
        assert_eq!(SaleKey::of(&fact.source, sale).external_id, name);
        assert_eq!(sale.referral.as_ref().unwrap().code, "john123");
        assert_eq!(fact.identifiers.len(), 1);
        let (_, own) = read(resource, r#"{"external_id":"1","currency":"EUR"}"#);
        assert_eq!(self::sale(&own).currency.code(), "EUR");
    }
    // A sale says its own currency, whatever the program's.
    let (key, fact) = read("sales", r#"{"external_id":"1","amount":9,"currency":"USD"}"#);
    assert_eq!((key.as_str(), sale(&fact).currency.code()), ("sales/1/recorded", "USD"));
}

#[test]
fn shares_and_failed_checks_keep_their_order_and_their_words() {
    let body = r#"{"external_id":"1","amount":9,"currency":"USD","fraud":["velocity","own_code"],"shares":[
        {"code":"john123","share_ppm":666667},{"partner_id":"mary","share_ppm":333333}]}"#;
    let (_, fact) = read("sales", body);
    let details = &sale(&fact).details;
    assert_eq!(details.fraud, ["velocity", "own_code"]);
    let wanted = [
        ShareClaim { of: ShareOf::Code("john123".into()), weight: 666_667 },
        ShareClaim { of: ShareOf::Partner("mary".into()), weight: 333_333 },
    ];
    assert_eq!(details.shares, wanted);
}

#[test]
fn a_decision_says_which_hold_why_and_who() {
    let (key, fact) =
        read("approvals", r#"{"commission_id":"com_1","decision":"hold","reason":"odd","actor":"Jo"}"#);
    let wanted = Command {
        kind: CommandKind::Hold,
        commission: "com_1".into(),
        reason: "odd".into(),
        actor: "key_1 (Jo)".into(),
        hold: "manual".into(),
        adjustment: None,
        reprice: None,
    };
    assert_eq!((command(&fact), key.as_str()), (&wanted, "approvals/com_1/hold/manual"));
    assert_eq!(fact.state, key, "two decisions about one commission are two facts");
    let long = format!("dispute:{}", "d".repeat(255));
    let body = format!(r#"{{"commission_id":"com_1","decision":"release","hold":"{long}","reason":"over"}}"#);
    let (key, fact) = read("approvals", &body);
    assert_eq!((command(&fact).kind, command(&fact).hold.as_str()), (CommandKind::Release, long.as_str()));
    assert!(key.len() <= 255 && key.starts_with("approvals/sha256:"), "{key}");
    for (decision, kind) in [("approve", CommandKind::Approve), ("reinstate", CommandKind::Reinstate)] {
        let body = format!(r#"{{"commission_id":"com_1","decision":"{decision}","reason":"x"}}"#);
        let (key, fact) = read("approvals", &body);
        assert_eq!((command(&fact).kind, key), (kind, format!("approvals/com_1/{decision}")));
    }
}

#[test]
fn an_adjustment_is_a_fact_of_its_own_id_with_its_sign() {
    for (kind, amount, command_kind) in [
        ("bonus", 500, CommandKind::Bonus),
        ("debit", i64::MIN, CommandKind::Debit),
        ("correction", -1, CommandKind::Correction),
        ("correction", 1, CommandKind::Correction),
    ] {
        let body = format!(
            r#"{{"external_id":"a1","kind":"{kind}","partner_id":"mary","amount":{amount},"currency":"KWD","reason":"agreed"}}"#
        );
        let (key, fact) = read("adjustments", &body);
        let (made, fact_key) = (command(&fact), (fact.object_id.as_str(), fact.state.as_str()));
        assert_eq!((key.as_str(), fact_key), ("adjustments/a1/recorded", ("a1", "recorded")));
        assert_eq!((made.kind, made.reason.as_str(), made.actor.as_str()), (command_kind, "agreed", "key_1"));
        let adjustment = made.adjustment.as_ref().unwrap();
        assert_eq!(
            (adjustment.partner.as_str(), adjustment.amount, adjustment.currency.code()),
            ("mary", Minor(amount), "KWD")
        );
    }
}

//! What the native API's bodies about payouts become, and what is refused of them.
#![allow(clippy::unwrap_used, missing_docs)]
use domain::config::SourceSettings;
use domain::facts::{Fact, FactBody, Personal};
use domain::ids::ProgramId;
use domain::money::Minor;
use domain::normalization::Reading;
use domain::payouts::{DESTINATION_NAMESPACE, PayoutAct, PayoutCommand, PayoutTerms, Schedule};
use domain::time::Micros;
use tributary_sources::native::payout::{DESTINATION, TERMS, said_destination, terms};
use tributary_sources::native::schema::{self, Refused};
use tributary_sources::native::{Resource, validate};
use tributary_sources::{SourceRequest, normalize};

/// Delivery key and fact of a body.
fn read(resource: Resource, key: Option<&str>, body: &str) -> (String, Fact) {
    let program: ProgramId = "prog".into();
    let headers: Vec<(String, String)> =
        key.map(|key| ("idempotency-key".to_owned(), key.to_owned())).into_iter().collect();
    let draft = normalize(&SourceRequest {
        program: &program,
        source: "native",
        body: body.as_bytes(),
        headers: &headers,
        query: "",
        clock: Micros(7),
        settings: &SourceSettings::default(),
        resource: resource.name(),
        authenticated_by: "key_1",
    });
    match draft.reading {
        Reading::Facts(facts) => (draft.delivery_key, facts.into_iter().next().unwrap()),
        other => panic!("{body}: {other:?}"),
    }
}

fn command(fact: &Fact) -> &PayoutCommand {
    match &fact.body {
        FactBody::Payout(command) => command,
        other => panic!("no payout: {other:?}"),
    }
}

fn refused(resource: Resource, body: &str) -> (&'static str, String) {
    let Refused { code, field, .. } = validate(resource, body.as_bytes(), None, "key_1").unwrap_err();
    (code, field)
}

#[test]
fn a_draft_is_known_by_its_key_alone_and_an_end_by_what_it_says() {
    let draft = r#"{"partner_id":"mary","currency":"USD","actor":"Jo"}"#;
    let (key, fact) = read(Resource::Payouts, Some("june"), draft);
    assert_eq!((key.as_str(), fact.object_id.as_str(), fact.state.as_str()), ("june", "june", "draft"));
    let drafted = command(&fact);
    assert_eq!(
        (drafted.act, drafted.partner.as_str(), drafted.actor.as_str()),
        (PayoutAct::Draft, "mary", "key_1 (Jo)")
    );
    assert_eq!(refused(Resource::Payouts, draft), ("missing_field", "idempotency_key".to_owned()));

    let settle = |reference: &str| {
        let body =
            format!(r#"{{"payout_id":"pay_1","amount":530,"currency":"USD","reference":"{reference}"}}"#);
        read(Resource::PayoutSettlements, None, &body)
    };
    let (first, second, third) = (settle("A"), settle("A"), settle("B"));
    assert_eq!((&first.0, &first.1.state), (&second.0, &second.1.state), "a repetition");
    assert_ne!(first.0, third.0, "something else");
    assert_eq!(first.1.object_id, "pay_1");
    assert_eq!(command(&first.1).amount, Some(Minor(530)));
    let line_break = r#"{"payout_id":"pay_1","reason":"a\nb"}"#;
    let (key, _) = read(Resource::PayoutReturns, None, line_break);
    assert!(!key.chars().any(char::is_control), "{key:?} names a delivery");
}

#[test]
fn each_bad_field_of_payouts_rates_and_write_offs_is_refused_by_its_name() {
    let rate = |change: &str| {
        let whole =
            r#"{"rate_id":"r","from":"EUR","to":"USD","mantissa":10842,"exponent":-4,"spread_ppm":0}"#;
        let (from, to) = change.split_once(" => ").unwrap();
        assert!(whole.contains(from), "{from}");
        whole.replace(from, to)
    };
    let cases = [
        (Resource::Rates, rate("10842 => 0"), "bad_field", "mantissa"),
        (Resource::Rates, rate("10842 => -10842"), "bad_field", "mantissa"),
        (Resource::Rates, rate("10842 => 1.5"), "bad_field", "mantissa"),
        (Resource::Rates, rate("-4 => -19"), "bad_field", "exponent"),
        (Resource::Rates, rate("\"spread_ppm\":0 => \"spread_ppm\":1000000"), "bad_field", "spread_ppm"),
        (Resource::Rates, rate("\"to\":\"USD\" => \"to\":\"EUR\""), "contradictory", "to"),
        (Resource::Rates, rate("\"USD\" => \"ZZZ\""), "unknown_currency", "to"),
        (Resource::Payouts, r#"{"partner_id":"mary"}"#.to_owned(), "missing_field", "currency"),
        (Resource::PayoutSettlements, r#"{"payout_id":"p","amount":0}"#.to_owned(), "bad_amount", "amount"),
        (Resource::PayoutSettlements, r#"{"payout_id":"p","amount":-5}"#.to_owned(), "bad_amount", "amount"),
        (Resource::PayoutFailures, r#"{"payout_id":"p"}"#.to_owned(), "missing_field", "reason"),
        (Resource::PayoutReturns, r#"{"payout_id":"p","reason":" "}"#.to_owned(), "missing_field", "reason"),
        (
            Resource::WriteOffs,
            r#"{"partner_id":"m","currency":"USD","amount":0,"reason":"x"}"#.to_owned(),
            "bad_amount",
            "amount",
        ),
        (Resource::WriteOffs, r#"{"partner_id":"m","currency":"USD"}"#.to_owned(), "missing_field", "reason"),
        (
            Resource::PayoutDestinations,
            r#"{"partner_id":"m","method":"paypal"}"#.to_owned(),
            "contradictory",
            "sealed",
        ),
    ];
    for (resource, body, code, field) in cases {
        assert_eq!(refused(resource, &body), (code, field.to_owned()), "{body}");
    }
}

#[test]
fn a_sealed_destination_is_the_facts_only_identifier_and_a_removed_one_has_none() {
    let set = r#"{"partner_id":"mary","method":"paypal","sealed":"00ff","idempotency_key":"k1"}"#;
    let (_, fact) = read(Resource::PayoutDestinations, None, set);
    let [identifier] = fact.identifiers.as_slice() else { panic!("{:?}", fact.identifiers) };
    assert_eq!(identifier.namespace, DESTINATION_NAMESPACE);
    assert_eq!(identifier.value, Personal::Open("00ff".to_owned()));
    assert_eq!(
        (fact.object_id.as_str(), fact.state.as_str()),
        ("mary", "k1"),
        "each write is a fact of its own"
    );
    let (_, gone) = read(Resource::PayoutDestinations, Some("k2"), r#"{"partner_id":"mary"}"#);
    assert!(gone.identifiers.is_empty());
}

#[test]
fn what_callers_say_of_a_destination_and_of_terms_is_checked_field_by_field() {
    let destination = |body: &str| {
        let said = schema::read(&DESTINATION, body.as_bytes()).and_then(|values| said_destination(&values));
        said.map(|said| said.email).map_err(|refused| (refused.code, refused.field))
    };
    let bad = |code, field: &str| Err((code, field.to_owned()));
    assert_eq!(destination(r#"{"method":"paypal","email":"m@x.example"}"#), Ok("m@x.example".to_owned()));
    assert_eq!(destination(r#"{"method":"paypal","email":"m at x"}"#), bad("bad_field", "email"));
    assert_eq!(destination(r#"{"method":"paypal"}"#), bad("missing_field", "email"));
    assert_eq!(destination(r#"{"method":"cash"}"#), bad("bad_field", "method"));
    assert_eq!(destination(r#"{"method":"wise","email":"m@x.example"}"#), bad("missing_field", "name"));

    let said = |body: &str| {
        let said = schema::read(&TERMS, body.as_bytes()).and_then(|values| terms("".into(), &values));
        said.map_err(|refused| (refused.code, refused.field))
    };
    assert_eq!(said("{}"), Ok(PayoutTerms::default()));
    let monthly =
        said(r#"{"schedule":"monthly","day":31,"minimums":[{"amount":5000,"currency":"USD"}]}"#).unwrap();
    assert_eq!((monthly.schedule, monthly.minimums.len()), (Schedule::Monthly { day: 31 }, 1));
    for (body, code, field) in [
        (r#"{"schedule":"weekly"}"#, "missing_field", "day"),
        (r#"{"schedule":"weekly","day":8}"#, "bad_field", "day"),
        (r#"{"schedule":"monthly","day":32}"#, "bad_field", "day"),
        (r#"{"day":1}"#, "contradictory", "day"),
        (r#"{"schedule":"daily","day":1}"#, "bad_field", "schedule"),
        (r#"{"minimums":[{"amount":0,"currency":"USD"}]}"#, "bad_amount", "minimums[0].amount"),
        (
            r#"{"minimums":[{"amount":1,"currency":"USD"},{"amount":2,"currency":"usd"}]}"#,
            "contradictory",
            "minimums[1].currency",
        ),
        (r#"{"pay_in":"ZZZ"}"#, "unknown_currency", "pay_in"),
    ] {
        assert_eq!(said(body), Err((code, field.to_owned())), "{body}");
    }
}

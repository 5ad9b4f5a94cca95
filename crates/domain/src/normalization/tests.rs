#![allow(clippy::unwrap_used)]
mod shares;

use super::*;
use crate::config::{Code, ConfigObject, Mode, Partner, Profile, Program};
use crate::facts::{
    FactBody, Identifier, Personal, Recurrence, Referral, Reversal, ReversalFamily, ReversalState, Sale,
    SaleDetails, SealedValue,
};
use crate::money::{Currency, Minor, Rounding};
use crate::tables::MemoryTables;
use proptest::prelude::*;

const INDEX_KEY: [u8; 32] = [7; 32];

/// A normalizer in memory: one frame for each input.
#[derive(Debug, Clone, Default)]
struct Normalizer {
    tables: MemoryTables,
    frames: Vec<Vec<FactsEvent>>,
    inputs: u64,
}

impl Normalizer {
    fn new() -> Self {
        let mut normalizer = Self::default();
        normalizer.configure(program(Mode::Test), false);
        normalizer.configure(
            ConfigObject::Partner(Partner {
                partner: "partner_john".into(),
                name: "John".into(),
                active: true,
                ..Partner::default()
            }),
            false,
        );
        normalizer.configure(code(true), false);
        normalizer
    }

    fn input(&mut self, clock: i64, kind: InputKind) -> Option<Vec<FactsEvent>> {
        self.inputs += 1;
        let source_head = Hash::of(&self.inputs.to_le_bytes());
        let input = NormalizerInput { source_head, clock: Micros(clock), kind };
        let events = decide(&self.tables, &INDEX_KEY, input)?;
        self.frames.push(events.clone());
        evolve(&mut self.tables, &INDEX_KEY, self.frames.len() as u64, Micros(clock), &events);
        Some(events)
    }

    fn configure(&mut self, object: ConfigObject, removed: bool) -> Vec<FactsEvent> {
        let fact = ConfigFact { program: "prog".into(), actor: "test".into(), object, removed };
        self.input(1, InputKind::Config(fact)).unwrap()
    }

    fn send(&mut self, draft: Draft) -> Verdict {
        self.send_to("prog", draft)
    }

    fn send_to(&mut self, program: &str, draft: Draft) -> Verdict {
        let frame = self.input(1, InputKind::Request(request(program, draft))).unwrap();
        let FactsEvent::Verdict(verdict) = &frame[0] else { panic!("a verdict comes first") };
        assert_eq!(
            verdict.kind == VerdictKind::Applied,
            frame.len() > 1,
            "facts follow an applied verdict only"
        );
        verdict.clone()
    }

    fn said(&mut self, draft: Draft) -> (&'static str, String) {
        let verdict = self.send(draft);
        (verdict.kind.name(), verdict.reason)
    }

    fn facts(&self) -> Vec<&Fact> {
        let events = self.frames.iter().flatten();
        events
            .filter_map(|event| if let FactsEvent::Fact(fact) = event { Some(fact) } else { None })
            .collect()
    }
}

fn request(program: &str, draft: Draft) -> Request {
    Request {
        program: program.into(),
        source: "paddle".into(),
        received_at: Micros(5),
        reply_to: None,
        draft,
    }
}

fn program(mode: Mode) -> ConfigObject {
    ConfigObject::Program(Program {
        account: "acc".into(),
        name: "Demo".into(),
        mode,
        profile: Profile::Native,
        currency: Currency::parse("USD").unwrap(),
        rounding: Rounding::HalfEven,
        click_window_days: 30,
        hold_days: 0,
        release: crate::config::Release::default(),
        manual_approval: false,
        sale_from: None,
        referral_keys: Vec::new(),
        customer_keys: Vec::new(),
        rule_metadata_keys: Vec::new(),
    })
}

fn code(active: bool) -> ConfigObject {
    ConfigObject::Code(Code { code: "john123".into(), partner: "partner_john".into(), active })
}

fn fact(object_id: &str, state: &str, body: FactBody) -> Fact {
    Fact {
        program: ProgramId::default(),
        event: EventId::default(),
        source: SourceName::default(),
        object_id: object_id.into(),
        state: state.into(),
        hash: Hash::ZERO,
        occurred_at: Micros(9),
        identifiers: vec![identifier("customer_key", "user42")],
        body,
    }
}

fn identifier(namespace: &str, value: &str) -> Identifier {
    Identifier { namespace: namespace.into(), subject: None, value: Personal::Open(value.into()) }
}

fn sale(id: &str, gross: i64) -> Fact {
    let sale = Sale {
        external_id: id.into(),
        currency: Currency::parse("USD").unwrap(),
        gross: Minor(gross),
        net: None,
        lines: Vec::new(),
        subscription_id: String::new(),
        recurrence: Recurrence::Unknown,
        referral: Some(Referral { code: "john123".into(), found_at: "ref_code".into() }),
        coupon: None,
        aliases: Vec::new(),
        details: SaleDetails::default(),
    };
    fact(id, "completed", FactBody::Sale(sale))
}

fn refund(id: &str, state: &str, gross: i64) -> Fact {
    let reversal = Reversal {
        sale_external_id: "txn_1".into(),
        currency: Currency::parse("USD").unwrap(),
        gross: Minor(gross),
        net: None,
        lines: Vec::new(),
        family: ReversalFamily::Refund,
        state: ReversalState::Live,
        sale_aliases: Vec::new(),
    };
    fact(id, state, FactBody::Reversal(reversal))
}

fn draft(delivery_key: &str, facts: Vec<Fact>) -> Draft {
    Draft {
        delivery_key: delivery_key.into(),
        reading: Reading::Facts(facts),
        livemode: None,
        refuse_unknown_code: false,
    }
}

fn refusing(delivery_key: &str, facts: Vec<Fact>) -> Draft {
    Draft { refuse_unknown_code: true, ..draft(delivery_key, facts) }
}

fn applied() -> (&'static str, String) {
    ("applied", String::new())
}

fn duplicate() -> (&'static str, String) {
    ("duplicate", String::new())
}

fn quarantined(reason: &str) -> (&'static str, String) {
    ("quarantined", reason.to_owned())
}

#[test]
fn one_delivery_told_again_is_a_duplicate_and_told_otherwise_a_conflict() {
    let mut n = Normalizer::new();
    assert_eq!(n.said(draft("evt_1", vec![sale("txn_1", 4900)])), applied());
    assert_eq!(n.said(draft("evt_1", vec![sale("txn_1", 4900)])), duplicate());
    assert_eq!(n.said(draft("evt_1", vec![sale("txn_1", 4901)])), quarantined("conflict"));
    assert_eq!(n.said(draft("evt_1", vec![sale("txn_2", 4900)])), quarantined("conflict"));
    assert_eq!(n.facts().len(), 1);
}

#[test]
fn one_fact_in_two_deliveries_is_one_fact() {
    let mut n = Normalizer::new();
    assert_eq!(n.said(draft("evt_1", vec![refund("adj_1", "approved", 100)])), applied());
    assert_eq!(n.said(draft("evt_2", vec![refund("adj_1", "approved", 100)])), duplicate());
    assert_eq!(n.said(draft("evt_3", vec![refund("adj_1", "approved", 99)])), quarantined("conflict"));
}

#[test]
fn states_of_one_refund_are_facts_of_their_own() {
    let mut n = Normalizer::new();
    for (delivery, state) in [("evt_1", "pending_approval"), ("evt_2", "approved"), ("evt_3", "reversed")] {
        assert_eq!(n.said(draft(delivery, vec![refund("adj_1", state, 100)])), applied());
    }
    assert_eq!(n.facts().len(), 3);
}

#[test]
fn an_object_of_many_states_is_told_apart_in_every_one_and_its_row_stays_small() {
    let mut n = Normalizer::new();
    let state = |number: u32| format!("s{number}");
    for number in 0..40 {
        assert_eq!(
            n.said(draft(&format!("evt_{number}"), vec![refund("adj_1", &state(number), 1)])),
            applied()
        );
    }
    for number in 0..40 {
        assert_eq!(n.said(draft("evt_x", vec![refund("adj_1", &state(number), 1)])), duplicate());
        assert_eq!(n.said(draft("evt_x", vec![refund("adj_1", &state(number), 2)])), quarantined("conflict"));
    }
    assert!(n.tables.0.values().all(|value| value.len() < 1024));
}

#[test]
fn moments_and_places_make_no_conflict_but_money_currency_code_and_customer_do() {
    let mut n = Normalizer::new();
    n.send(draft("evt_1", vec![sale("txn_1", 4900)]));
    let changed = |change: fn(&mut Fact, &mut Sale)| {
        let mut fact = sale("txn_1", 4900);
        let FactBody::Sale(mut sale) = fact.body.clone() else { unreachable!() };
        change(&mut fact, &mut sale);
        fact.body = FactBody::Sale(sale);
        draft("evt_1", vec![fact])
    };
    let same = changed(|fact, sale| {
        fact.occurred_at = Micros(1_000_000);
        sale.referral.as_mut().unwrap().found_at = "elsewhere".into();
    });
    assert_eq!(n.said(same), duplicate());
    let others: [fn(&mut Fact, &mut Sale); 4] = [
        |_, sale| sale.net = Some(Minor(4900)),
        |_, sale| sale.currency = Currency::parse("EUR").unwrap(),
        |_, sale| sale.referral = None,
        |fact, _| fact.identifiers = vec![identifier("customer_key", "somebody else")],
    ];
    for other in others {
        assert_eq!(n.said(changed(other)), quarantined("conflict"));
    }
}

#[test]
fn a_conflict_says_what_differs() {
    let mut n = Normalizer::new();
    n.send(draft("evt_1", vec![sale("txn_1", 4900)]));
    let mut other = sale("txn_1", 4900);
    other.identifiers.clear();
    assert!(n.send(draft("evt_2", vec![other])).detail.contains("another customer"));
    assert!(n.send(draft("evt_2", vec![sale("txn_1", 1)])).detail.contains("other money or links"));
}

#[test]
fn links_of_one_object_add_up_and_never_conflict() {
    let mut n = Normalizer::new();
    let link = |email: &str| {
        let mut link = fact("ctm_1", "", FactBody::CustomerLink);
        link.identifiers = vec![identifier("paddle.customer", "ctm_1"), identifier("email", email)];
        link
    };
    assert_eq!(n.said(draft("evt_1", vec![link("a@example.com")])), applied());
    assert_eq!(n.said(draft("evt_2", vec![link("b@example.com")])), applied());
    assert_eq!(n.said(draft("evt_3", vec![link("a@example.com")])), duplicate());
}

#[test]
fn refusals_come_in_order_twin_then_code_then_conflict() {
    let mut n = Normalizer::new();
    let unknown = |id: &str| {
        let mut fact = sale(id, 100);
        let FactBody::Sale(sale) = &mut fact.body else { unreachable!() };
        sale.referral.as_mut().unwrap().code = "nobody".into();
        fact
    };
    assert_eq!(n.said(refusing("order_1", vec![unknown("order_1")])), ("ignored", "unknown_code".into()));
    assert_eq!(
        n.said(refusing("order_1", vec![sale("order_1", 100)])),
        applied(),
        "the refusal reserved nothing"
    );
    n.configure(code(false), false);
    assert_eq!(n.said(refusing("order_1", vec![sale("order_1", 100)])), duplicate(), "the first answer");
    assert_eq!(n.said(refusing("order_2", vec![sale("order_2", 1)])), ("ignored", "unknown_code".into()));
    assert_eq!(n.said(refusing("order_1", vec![sale("order_1", 101)])), ("ignored", "unknown_code".into()));
    n.configure(code(true), false);
    assert_eq!(n.said(refusing("order_1", vec![sale("order_1", 101)])), quarantined("conflict"));
    assert_eq!(n.said(draft("order_3", vec![unknown("order_3")])), applied(), "others fall through");
}

#[test]
fn neither_a_quarantined_nor_an_ignored_verdict_reserves_its_key() {
    let mut n = Normalizer::new();
    let bad = Draft {
        reading: Reading::Quarantined { reason: "bad_amount".into(), detail: "gross".into() },
        ..draft("evt_1", Vec::new())
    };
    assert_eq!(n.said(bad.clone()), quarantined("bad_amount"));
    assert_eq!(n.said(bad), quarantined("bad_amount"));
    let noise = Draft {
        reading: Reading::Ignored { reason: "product.created".into() },
        ..draft("evt_1", Vec::new())
    };
    assert_eq!(n.said(noise), ("ignored", "product.created".into()));
    let verdict = n.send(draft("evt_1", vec![sale("txn_1", 1)]));
    assert!(verdict.kind == VerdictKind::Applied && verdict.reserves_key);
}

#[test]
fn of_two_retries_and_the_providers_own_the_first_applies() {
    let mut n = Normalizer::new();
    let retry = || InputKind::Retry {
        of_position: 3,
        request: request("prog", draft("evt_1", vec![sale("txn_1", 1)])),
    };
    let first = n.input(1, retry()).unwrap();
    let FactsEvent::Verdict(verdict) = &first[0] else { unreachable!() };
    assert_eq!((verdict.kind, verdict.retry_of), (VerdictKind::Applied, Some(3)));
    assert_eq!(n.said(draft("evt_1", vec![sale("txn_1", 1)])), duplicate());
    let FactsEvent::Verdict(verdict) = &n.input(1, retry()).unwrap()[0] else { unreachable!() };
    assert_eq!(verdict.kind, VerdictKind::Duplicate);
}

#[test]
fn an_unknown_program_and_the_wrong_mode_are_quarantined() {
    let mut n = Normalizer::new();
    let verdict = n.send_to("other", draft("evt_1", vec![sale("txn_1", 1)]));
    assert_eq!((verdict.kind, verdict.reason.as_str()), (VerdictKind::Quarantined, "unknown_program"));
    let live = |livemode| Draft { livemode: Some(livemode), ..draft("evt_1", vec![sale("txn_1", 1)]) };
    assert_eq!(n.said(live(true)), quarantined("mode_mismatch"));
    assert_eq!(n.said(live(false)), applied());
}

#[test]
fn a_text_that_can_be_no_key_is_quarantined_wherever_it_is() {
    let mut n = Normalizer::new();
    assert_eq!(n.said(draft("evt\u{0}", vec![sale("txn_1", 1)])), quarantined("bad_text"));
    assert_eq!(n.said(draft("evt_1", vec![sale("txn\u{0}1", 1)])), quarantined("bad_text"));
    assert_eq!(n.said(draft("evt_1", vec![sale(&"x".repeat(256), 1)])), quarantined("bad_text"));
    let mut coded = sale("txn_1", 1);
    let FactBody::Sale(sale) = &mut coded.body else { unreachable!() };
    sale.referral.as_mut().unwrap().code = "jo\u{0}hn".into();
    assert_eq!(n.said(draft("evt_1", vec![coded])), quarantined("bad_text"));
}

#[test]
fn one_identifier_is_one_subject_for_ever_and_each_identifier_has_its_own() {
    let mut n = Normalizer::new();
    let mut first = sale("txn_1", 1);
    first.identifiers.push(identifier("email", "a@example.com"));
    let second = refund("adj_1", "approved", 1);
    n.send(draft("evt_1", vec![first, second]));
    n.send(draft("evt_2", vec![sale("txn_2", 1)]));
    let subjects: Vec<Vec<_>> =
        n.facts().iter().map(|f| f.identifiers.iter().map(|i| i.subject.unwrap()).collect()).collect();
    assert_ne!(subjects[0][0], subjects[0][1]);
    assert_eq!(subjects[0][0], subjects[1][0], "within one delivery");
    assert_eq!(subjects[0][0], subjects[2][0], "between deliveries");
    let held = n.tables.0.iter().flat_map(|(key, value)| [key.as_slice(), value.as_ref()]);
    assert!(
        !held.into_iter().any(|bytes| bytes.windows(6).any(|w| w == b"user42")),
        "state holds no identifier"
    );
}

#[test]
fn after_an_erasure_the_fold_still_works_and_a_twin_of_the_erased_is_a_duplicate() {
    let mut n = Normalizer::new();
    n.send(draft("evt_1", vec![sale("txn_1", 4900)]));
    let mut rebuilt = Normalizer::default();
    for (seq, frame) in (1..).zip(n.frames.clone()) {
        let mut frame = frame;
        for event in &mut frame {
            let FactsEvent::Fact(fact) = event else { continue };
            let sealed = SealedValue { key_id: [1; 16], ciphertext: bytes::Bytes::from_static(b"gone") };
            fact.identifiers[0].value = Personal::Erased(sealed);
        }
        evolve(&mut rebuilt.tables, &INDEX_KEY, seq, Micros(1), &frame);
    }
    assert_eq!(rebuilt.said(draft("evt_1", vec![sale("txn_1", 4900)])), duplicate());
    assert_eq!(rebuilt.said(draft("evt_1", vec![sale("txn_1", 1)])), quarantined("conflict"));
}

#[test]
fn configuration_leaves_an_event_only_when_it_changes_something() {
    let mut n = Normalizer::new();
    assert!(n.configure(code(true), false).is_empty());
    assert_eq!(n.configure(code(false), false).len(), 1);
    assert_eq!(n.configure(code(false), true).len(), 1, "removed");
    assert!(n.configure(code(false), true).is_empty(), "removed before");
    assert_eq!(n.configure(code(true), false).len(), 1, "and back");
    assert!(n.configure(program(Mode::Live), false).is_empty(), "one mode for life");
    let rows = gateway_config(&n.tables);
    assert_eq!(rows.len(), 1, "codes and partners stay in the chain");
    assert_eq!((rows[0].version, rows[0].fact.key().as_str()), (1, "program/prog"));
}

#[test]
fn a_tick_leaves_a_frame_after_another_frame_and_once_a_minute() {
    let mut n = Normalizer::new();
    let minute = crate::time::MINUTE_MICROS;
    assert!(n.input(10, InputKind::Tick).is_some());
    assert!(n.input(20, InputKind::Tick).is_none());
    n.send(draft("evt_1", vec![sale("txn_1", 1)]));
    assert!(n.input(30, InputKind::Tick).is_some());
    assert!(n.input(minute - 1, InputKind::Tick).is_none());
    assert!(n.input(minute, InputKind::Tick).is_some());
}

#[test]
fn a_record_that_nobody_can_read_has_a_verdict_too() {
    let mut n = Normalizer::new();
    let frame = n.input(1, InputKind::Undecodable("not protobuf".into())).unwrap();
    let FactsEvent::Verdict(verdict) = &frame[0] else { unreachable!() };
    assert_eq!((verdict.kind, verdict.reason.as_str()), (VerdictKind::Quarantined, "undecodable"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Objects 0..4 in states 0..3, each told by up to three deliveries with one of two amounts: whatever comes in whatever
    /// order and however often, one fact stands for each key, and it is the first that was told.
    #[test]
    fn any_redelivery_and_order_applies_one_fact_for_each_key(
        told in prop::collection::vec((0..4_u8, 0..3_u8, 0..3_u8, prop::bool::weighted(0.2)), 1..60),
    ) {
        let mut n = Normalizer::new();
        let mut model = std::collections::BTreeMap::new();
        for (object, state, delivery, other) in told {
            let amount = if other { 99 } else { 100 };
            let fact = refund(&format!("adj_{object}"), &format!("s{state}"), amount);
            let verdict = n.send(draft(&format!("evt_{object}_{state}_{delivery}"), vec![fact]));
            let first = *model.entry((object, state)).or_insert(amount);
            match verdict.kind {
                VerdictKind::Quarantined => prop_assert_ne!(first, amount),
                _ => prop_assert_eq!(first, amount),
            }
        }
        let facts = n.facts();
        prop_assert_eq!(facts.len(), model.len());
        for ((object, state), amount) in model {
            let (object, state) = (format!("adj_{object}"), format!("s{state}"));
            let fact = facts.iter().find(|fact| fact.object_id == object && fact.state == state).unwrap();
            let FactBody::Reversal(reversal) = &fact.body else { unreachable!() };
            prop_assert_eq!(reversal.gross, Minor(amount));
        }
        // State is the fold of the frames (rule 5).
        let mut rebuilt = MemoryTables::default();
        for (seq, frame) in (1..).zip(&n.frames) {
            evolve(&mut rebuilt, &INDEX_KEY, seq, Micros(1), frame);
        }
        prop_assert_eq!(&rebuilt, &n.tables);
    }
}

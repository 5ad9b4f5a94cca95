//! One fixed sample of every event kind. Golden bytes are made of these: never change one, only add.
pub(crate) mod payouts;

use bytes::Bytes;
use domain::attribution::{AttributedEvent, Decision, SaleKey, Share, Touch, TouchClass};
use domain::commission::{
    ADJUSTMENT, Account, Answer, AnswerRecorded, CapUse, CommissionEvent, CommissionEventKind,
    CommissionStatus, CommissionsEvent, Facets, FlatTerms, LineFacets, Origin, Posting, Purchase,
    ReversalRecorded, ReversalResult, SaleLinked, SaleRecorded, Slice, Split, SubscriptionOver, Terms,
};
use domain::config::{
    ApiKey, Code, ConfigFact, ConfigObject, Coupon, Endpoint, FlatRefund, Mode, Partner, Profile, Program,
    Release, ReleaseMode, Reward, Rule,
};
use domain::facts::{
    Adjustment, Command, CommandKind, ConversionKind, CouponRef, Fact, FactBody, Identifier, Personal,
    Recurrence, Referral, Reprice, Reversal, ReversalFamily, ReversalLine, ReversalState, Sale, SaleDetails,
    SaleLine, SealedValue, ShareClaim, ShareOf,
};
use domain::ids::{CommissionId, EventId, Hash, SaleId, SubjectId};
use domain::money::{Currency, Minor, RatePpm, Rounding};
use domain::normalization::{ConfigRefusal, FactsEvent, ReplyAddress, Verdict, VerdictKind};
use domain::rules::{
    Band, Cap, CapScope, Clauses, Comparison, Condition, Considered, Field, Limit, Metric, Operator, Period,
    RuleRef, Tiers, Value, Why, Window,
};
use domain::time::Micros;
use wire::ingest::{IngestRecord, RawRequest};
use wire::outcomes::{ConfigAnswer, OutcomeRecord};

const AT: Micros = Micros(1_712_917_129_738_971);

fn usd() -> Currency {
    Currency::parse("USD").unwrap()
}

fn event() -> EventId {
    EventId::derive(&"prog_demo".into(), &"paddle".into(), "evt_sample")
}

fn sale_key() -> SaleKey {
    SaleKey { source: "paddle".into(), external_id: "txn_sample".into() }
}

fn sale_id() -> SaleId {
    SaleId::derive(&"prog_demo".into(), &"paddle".into(), "txn_sample")
}

fn commission_id() -> CommissionId {
    CommissionId::derive(&sale_id(), &"ptn_john".into(), 0)
}

fn reply() -> ReplyAddress {
    ReplyAddress { gateway_instance: "gw_sample".into(), correlation_id: 300 }
}

fn config(object: ConfigObject) -> ConfigFact {
    ConfigFact { program: "prog_demo".into(), actor: "demo".into(), object, removed: false }
}

pub(crate) fn configs() -> Vec<(&'static str, ConfigFact)> {
    let program = Program {
        account: "acc_demo".into(),
        name: "Demo".into(),
        mode: Mode::Test,
        profile: Profile::Native,
        currency: usd(),
        rounding: Rounding::HalfEven,
        click_window_days: 30,
        hold_days: 0,
        release: Release::default(),
        manual_approval: true,
        sale_from: None,
        referral_keys: Vec::new(),
        customer_keys: Vec::new(),
        rule_metadata_keys: Vec::new(),
    };
    let key = ApiKey {
        key_id: "key_1".into(),
        sha256: [7; 32],
        account: "acc_demo".into(),
        publishable: true,
        mode: Mode::Live,
        ..ApiKey::default()
    };
    let endpoint = Endpoint {
        endpoint_id: "end_1".into(),
        provider: "paddle".into(),
        sealed_secrets: vec![vec![1, 2, 3], vec![4]],
        tolerance_seconds: 300,
    };
    let code = Code { code: "john123".into(), partner: "ptn_john".into(), active: true };
    vec![
        ("program", config(ConfigObject::Program(program.clone()))),
        (
            "partner",
            config(ConfigObject::Partner(Partner {
                partner: "ptn_john".into(),
                name: "John".into(),
                active: true,
                ..Partner::default()
            })),
        ),
        ("code", config(ConfigObject::Code(code.clone()))),
        ("code_removed", ConfigFact { removed: true, ..config(ConfigObject::Code(code)) }),
        (
            "coupon",
            config(ConfigObject::Coupon(Coupon {
                coupon: "SAVE10".into(),
                partner: "ptn_john".into(),
                active: false,
            })),
        ),
        (
            "rule",
            config(ConfigObject::Rule(Rule {
                rule: "rule_1".into(),
                version: 2,
                reward: Reward::Percent(RatePpm(125_000)),
                ..Rule::default()
            })),
        ),
        ("rule_with_everything", config(ConfigObject::Rule(whole_rule()))),
        ("api_key", config(ConfigObject::ApiKey(key))),
        ("endpoint", config(ConfigObject::Endpoint(endpoint))),
        (
            "program_with_rule_metadata",
            config(ConfigObject::Program(Program {
                rule_metadata_keys: vec!["plan".into(), "seats".into()],
                ..program.clone()
            })),
        ),
        (
            "program_by_calendar",
            config(ConfigObject::Program(Program {
                release: Release { mode: ReleaseMode::Calendar, min_hold_days: 7 },
                ..program
            })),
        ),
    ]
}

/// Every field of a rule, and every kind of value that conditions compare with.
fn whole_rule() -> Rule {
    let test = |field: &str, operator, value| {
        Condition::Test(Comparison { field: Field::parse(field, "when").unwrap(), operator, value })
    };
    let limit = |amount| Limit { amount: Minor(amount), currency: usd() };
    Rule {
        rule: "rule_2".into(),
        version: 3,
        reward: Reward::Flat { amount: Minor(500), currency: usd(), on_refund: FlatRefund::Any },
        tiers: Some(Tiers {
            metric: Metric::Revenue,
            period: Period::Quarter,
            prior: false,
            marginal: true,
            bands: vec![
                Band { from: 0, rate: RatePpm(100_000) },
                Band { from: 5_000, rate: RatePpm(200_000) },
            ],
        }),
        clauses: Clauses {
            priority: -3,
            when: Condition::Any(vec![
                test("product", Operator::In, Value::Texts(vec!["a".into(), "b".into()])),
                Condition::All(vec![
                    test("metadata.plan", Operator::StartsWith, Value::Text("pro".into())),
                    test("amount", Operator::Greater, Value::Number(0)),
                    test("subscription_age_months", Operator::In, Value::Numbers(vec![-1, 0, 12])),
                ]),
            ]),
            window: Some(Window::Months(12)),
            minimum: Some(limit(1_000)),
            caps: vec![Cap { scope: CapScope::Customer, period: Period::Ever, limit: limit(50_000) }],
        },
    }
}

fn rule_ref(rule: &str, version: u32) -> RuleRef {
    RuleRef { rule: rule.into(), version }
}

fn details() -> SaleDetails {
    SaleDetails {
        country: "DE".into(),
        interval: "month".into(),
        metadata: vec![("plan".into(), "pro".into()), ("seats".into(), "5".into())],
        ..SaleDetails::default()
    }
}

fn fact(state: &str, body: FactBody) -> Fact {
    Fact {
        program: "prog_demo".into(),
        event: event(),
        source: "paddle".into(),
        object_id: "txn_sample".into(),
        state: state.into(),
        hash: Hash([9; 32]),
        occurred_at: AT,
        identifiers: vec![Identifier {
            namespace: "paddle.customer".into(),
            subject: Some(SubjectId([3; 16])),
            value: Personal::Sealed(SealedValue {
                key_id: [4; 16],
                ciphertext: Bytes::from_static(b"sealed bytes of a sample"),
            }),
        }],
        body,
    }
}

fn sale(coupon: CouponRef) -> FactBody {
    FactBody::Sale(Sale {
        external_id: "txn_sample".into(),
        currency: usd(),
        gross: Minor(65_215),
        net: Some(Minor(0)),
        lines: vec![SaleLine {
            line_id: "txnitm_1".into(),
            net: Minor(i64::MAX),
            product_id: "pro_1".into(),
            price_id: "pri_1".into(),
            quantity: 10,
            ..SaleLine::default()
        }],
        subscription_id: "sub_1".into(),
        recurrence: Recurrence::Renewal,
        referral: Some(Referral { code: "john123".into(), found_at: "custom_data.ref_code".into() }),
        coupon: Some(coupon),
        aliases: Vec::new(),
        details: SaleDetails::default(),
    })
}

pub(crate) fn facts() -> Vec<(&'static str, FactsEvent)> {
    let verdict = Verdict {
        program: "prog_demo".into(),
        event: event(),
        source: "paddle".into(),
        delivery_key: "evt_sample".into(),
        kind: VerdictKind::Quarantined,
        reason: "bad_amount".into(),
        detail: "data.details.totals.total: not decimal digits".into(),
        received_at: AT,
        reply_to: Some(reply()),
        retry_of: Some(0),
        reserves_key: true,
    };
    let reversal = Reversal {
        sale_external_id: "txn_sample".into(),
        currency: Currency::parse("JPY").unwrap(),
        gross: Minor(100),
        net: Some(Minor(92)),
        lines: vec![ReversalLine { line_id: "txnitm_1".into(), net: Minor(92) }],
        family: ReversalFamily::ChargebackReverse,
        state: ReversalState::Dead,
        sale_aliases: Vec::new(),
    };
    let definition = FactBody::CouponDefinition { provider_ref: "dsc_1".into(), code: "SAVE10".into() };
    let hold = Command {
        kind: CommandKind::Hold,
        commission: commission_id(),
        reason: "odd".into(),
        actor: "key_1".into(),
        hold: "fraud:velocity".into(),
        adjustment: None,
        reprice: None,
    };
    let debit = Command {
        kind: CommandKind::Debit,
        commission: CommissionId::default(),
        hold: String::new(),
        adjustment: Some(Adjustment { partner: "ptn_john".into(), amount: Minor(-500), currency: usd() }),
        reprice: None,
        ..hold.clone()
    };
    let reprice = Command {
        kind: CommandKind::Reprice,
        hold: String::new(),
        reprice: Some(Box::new(Reprice {
            sale: sale_key(),
            partner: "ptn_john".into(),
            currency: usd(),
            expected_net: Minor(5_990),
            net: Minor(600),
            gross: Minor(700),
            terms: terms(),
        })),
        ..hold.clone()
    };
    vec![
        ("verdict", FactsEvent::Verdict(verdict)),
        (
            "sale_provider_coupon",
            FactsEvent::Fact(fact("completed", sale(CouponRef::ProviderRef("dsc_1".into())))),
        ),
        ("sale_coupon_code", FactsEvent::Fact(fact("completed", sale(CouponRef::Code(String::new()))))),
        ("reversal", FactsEvent::Fact(fact("reversed", FactBody::Reversal(reversal)))),
        ("customer_link", FactsEvent::Fact(fact("", FactBody::CustomerLink))),
        ("coupon_definition", FactsEvent::Fact(fact("active", definition))),
        ("config", FactsEvent::Config(configs().remove(0).1)),
        ("tick", FactsEvent::Tick),
        ("lead", FactsEvent::Fact(fact("", lead()))),
        ("lead_publishable", FactsEvent::Fact(fact("", publishable(lead())))),
        ("sale_divided", FactsEvent::Fact(fact("completed", divided()))),
        ("command_hold", FactsEvent::Fact(fact("key_1", FactBody::Command(hold)))),
        ("command_debit", FactsEvent::Fact(fact("key_2", FactBody::Command(debit)))),
        ("command_reprice", FactsEvent::Fact(fact("reprice/1", FactBody::Command(reprice)))),
    ]
}

/// Terms with a whole that is more than they leave.
fn terms() -> Terms {
    Terms {
        rule: "rule_1".into(),
        rule_version: 2,
        rounding: Rounding::HalfEven,
        slices: vec![Slice { base: Minor(29_950), rate: RatePpm(25_000), ..Slice::default() }],
        hold_until: AT,
        manual_approval: false,
        flat: None,
        caps: Vec::new(),
        uncapped: Minor(749),
        considered: Vec::new(),
        considered_more: 0,
        split: None,
        origin: Origin::default(),
    }
}

/// A sale that comes with its shares.
fn divided() -> FactBody {
    let FactBody::Sale(sale) = sale(CouponRef::Code("SAVE10".into())) else { unreachable!() };
    let share = |of, weight| ShareClaim { of, weight };
    let shares = vec![
        share(ShareOf::Code("john123".into()), 666_667),
        share(ShareOf::Partner("ptn_mary".into()), 333_333),
    ];
    let details = SaleDetails { shares, ..SaleDetails::default() };
    FactBody::Sale(Sale { referral: None, details, ..sale })
}

/// A conversion that is no sale, and failed two checks.
fn lead() -> FactBody {
    let FactBody::Sale(sale) = sale(CouponRef::Code("SAVE10".into())) else { unreachable!() };
    FactBody::Sale(Sale {
        gross: Minor(0),
        lines: Vec::new(),
        details: SaleDetails {
            kind: ConversionKind::Lead,
            fraud: vec!["velocity".into(), "own_code".into()],
            ..SaleDetails::default()
        },
        ..sale
    })
}

/// The same, reported with a key that everybody may see.
fn publishable(body: FactBody) -> FactBody {
    let FactBody::Sale(mut sale) = body else { unreachable!() };
    sale.details.publishable = true;
    FactBody::Sale(sale)
}

fn decision(outcome: Result<(domain::ids::PartnerId, TouchClass), String>) -> Decision {
    Decision {
        program: "prog_demo".into(),
        sale: sale_key(),
        outcome,
        customer: Some(SubjectId([3; 16])),
        touches: vec![
            Touch {
                class: TouchClass::Code,
                reference: "john123".into(),
                partner: Some("ptn_john".into()),
                lost_because: String::new(),
            },
            Touch {
                class: TouchClass::Binding,
                reference: String::new(),
                partner: None,
                lost_because: "weaker".into(),
            },
        ],
        binds: true,
        shares: Vec::new(),
    }
}

pub(crate) fn attributed() -> Vec<(&'static str, AttributedEvent)> {
    let passed = |at: usize, decision| {
        let event = facts().remove(at).1;
        AttributedEvent::Passed { bytes: wire::facts::encode(&event).unwrap(), event, decision }
    };
    let won = decision(Ok(("ptn_john".into(), TouchClass::Code)));
    vec![
        ("passed_sale", passed(1, Some(won.clone()))),
        ("passed_nobody", passed(2, Some(decision(Err("unknown_code".into()))))),
        ("passed_tick", passed(7, None)),
        ("late", AttributedEvent::Late { decision: won.clone(), cause: event() }),
        ("passed_shared", passed(1, Some(Decision { shares: shares(), ..won }))),
    ]
}

fn shares() -> Vec<Share> {
    vec![
        Share { partner: "ptn_john".into(), weight: 400_000 },
        Share { partner: "ptn_mary".into(), weight: 600_000 },
    ]
}

fn answer() -> Answer {
    Answer {
        event: event(),
        sale: Some(sale_id()),
        commission: Some(commission_id()),
        partner: Some("ptn_john".into()),
        amount: Minor(5_990),
        currency: Some(usd()),
        status: Some(CommissionStatus::ChargedBack),
        declined: "unknown_payout".into(),
        payout: None,
    }
}

pub(crate) fn commissions() -> Vec<(&'static str, CommissionsEvent)> {
    let slice =
        Slice { line_id: "txnitm_1".into(), base: Minor(59_900), rate: RatePpm(100_000), ..Slice::default() };
    let sale = SaleRecorded {
        id: sale_id(),
        program: "prog_demo".into(),
        sale: sale_key(),
        event: event(),
        currency: usd(),
        gross: Minor(65_215),
        base: Minor(59_900),
        base_is_net: true,
        slices: vec![slice.clone()],
        partner: Some("ptn_john".into()),
        reason: "no_rule".into(),
        customer: Some(SubjectId([3; 16])),
        subscription_id: "sub_1".into(),
        occurred_at: AT,
        recorded_at: AT.plus_days(1),
        late: true,
        facets: Facets::default(),
        purchase: None,
        subscription_since: None,
        shares: Vec::new(),
    };
    let reversal = ReversalRecorded {
        program: "prog_demo".into(),
        sale: sale_key(),
        object_id: "adj_1".into(),
        event: event(),
        family: ReversalFamily::Refund,
        state: ReversalState::Live,
        currency: usd(),
        gross: Minor(100),
        net: Some(Minor(92)),
        lines: vec![("txnitm_1".into(), Minor(92))],
        result: ReversalResult::CurrencyMismatch,
    };
    let commission = CommissionEvent {
        id: commission_id(),
        program: "prog_demo".into(),
        partner: "ptn_john".into(),
        sale_id: sale_id(),
        sale: sale_key(),
        kind: CommissionEventKind::Created,
        status: CommissionStatus::Pending,
        currency: usd(),
        gross: Minor(5_990),
        reversed: Minor::ZERO,
        delta: Minor(5_990),
        postings: vec![
            Posting { account: Account::Expense, currency: usd(), amount: Minor(-5_990) },
            Posting { account: Account::Pending, currency: usd(), amount: Minor(5_990) },
        ],
        cause: Some(event()),
        reason: String::new(),
        actor: "system".into(),
        terms: Some(Terms {
            rule: "rule_1".into(),
            rule_version: 1,
            rounding: Rounding::Floor,
            slices: vec![slice],
            hold_until: AT,
            manual_approval: true,
            flat: None,
            caps: Vec::new(),
            uncapped: Minor(5_990),
            considered: Vec::new(),
            considered_more: 0,
            split: None,
            origin: Origin::default(),
        }),
        holds: Vec::new(),
        payout: None,
    };
    let held = CommissionEvent {
        kind: CommissionEventKind::Review,
        status: CommissionStatus::Review,
        holds: vec!["cancelled_subscription:sub_1".into(), "dispute:dp_1".into(), "time".into()],
        terms: commission.terms.clone().map(|terms| Terms {
            flat: Some(FlatTerms {
                amount: Minor(500),
                currency: usd(),
                on_refund: FlatRefund::Proportional,
            }),
            ..terms
        }),
        ..commission.clone()
    };
    let asked = SaleRecorded {
        facets: Facets {
            recurrence: Recurrence::Renewal,
            coupon: "SAVE10".into(),
            details: details(),
            lines: vec![LineFacets {
                product: "pro_1".into(),
                price: "pri_1".into(),
                plan: "gold".into(),
                category: "software".into(),
                product_key: "sku-1".into(),
            }],
        },
        purchase: Some(Purchase { number: 3, first_at: AT }),
        subscription_since: Some(AT),
        ..sale.clone()
    };
    let shared = SaleRecorded { shares: shares(), ..sale.clone() };
    let lead = SaleRecorded {
        facets: Facets {
            details: SaleDetails {
                kind: ConversionKind::Lead,
                fraud: vec!["velocity".into()],
                ..SaleDetails::default()
            },
            ..Facets::default()
        },
        ..sale.clone()
    };
    let debit = CommissionEvent {
        id: CommissionId::of_command(&event()),
        sale_id: SaleId::default(),
        sale: SaleKey { source: ADJUSTMENT.into(), external_id: event().0 },
        gross: Minor(-500),
        reversed: Minor(-500),
        delta: Minor::ZERO,
        postings: Vec::new(),
        reason: "paid twice".into(),
        actor: "key_1".into(),
        terms: commission.terms.clone().map(|terms| Terms {
            slices: Vec::new(),
            uncapped: Minor(-500),
            origin: Origin::Debit,
            ..terms
        }),
        ..commission.clone()
    };
    let part = CommissionEvent {
        terms: commission.terms.clone().map(|terms| Terms {
            split: Some(Split { part: 1, weights: vec![400_000, 600_000], whole: Minor(9_983) }),
            ..terms
        }),
        ..commission.clone()
    };
    let ruled = CommissionEvent {
        terms: commission.terms.clone().map(|terms| Terms {
            slices: vec![
                Slice { base: Minor(100), rate: RatePpm(100_000), ..Slice::default() },
                Slice {
                    base: Minor(50),
                    rate: RatePpm(200_000),
                    rule: Some(rule_ref("rule_2", 7)),
                    higher_band: true,
                    ..Slice::default()
                },
            ],
            caps: vec![CapUse {
                rule: "rule_1".into(),
                scope: CapScope::Partner,
                of: "ptn_john".into(),
                period: Period::Month,
                number: 24_315,
                limit: Limit { amount: Minor(100_000), currency: usd() },
            }],
            uncapped: Minor(9_000),
            considered: vec![
                Considered { rule: rule_ref("a", 1), why: Why::Condition("country".into(), "equal".into()) },
                Considered { rule: rule_ref("b", 2), why: Why::TakesAll },
            ],
            considered_more: 41,
            ..terms
        }),
        ..commission.clone()
    };
    let repriced = CommissionEvent {
        kind: CommissionEventKind::Repriced,
        gross: Minor(700),
        reversed: Minor(100),
        delta: Minor(-5_390),
        terms: Some(terms()),
        reason: "what if".into(),
        actor: "cli (mary)".into(),
        ..commission.clone()
    };
    let link = SaleLinked {
        program: "prog_demo".into(),
        sale: sale_key(),
        aliases: vec!["pi_1".into(), "in_1".into()],
        event: event(),
    };
    let over = SubscriptionOver {
        program: "prog_demo".into(),
        source: "paddle".into(),
        subscription_id: "sub_1".into(),
        ended_at: AT,
        event: event(),
    };
    let answered = AnswerRecorded { answer: answer(), reply_to: Some(reply()), duplicate: true };
    vec![
        ("config", CommissionsEvent::Config(configs().remove(5).1)),
        ("sale", CommissionsEvent::Sale(sale)),
        ("reversal", CommissionsEvent::Reversal(reversal)),
        ("commission", CommissionsEvent::Commission(commission)),
        ("answer", CommissionsEvent::Answer(answered)),
        ("held_flat", CommissionsEvent::Commission(held)),
        ("link", CommissionsEvent::Link(link)),
        ("cancelled", CommissionsEvent::Cancelled(over)),
        ("sale_for_rules", CommissionsEvent::Sale(asked)),
        ("commission_by_rules", CommissionsEvent::Commission(ruled)),
        ("sale_shared", CommissionsEvent::Sale(shared)),
        ("commission_part", CommissionsEvent::Commission(part)),
        ("lead", CommissionsEvent::Sale(lead)),
        ("debit", CommissionsEvent::Commission(debit)),
        ("repriced", CommissionsEvent::Commission(repriced)),
    ]
}

pub(crate) fn outcomes() -> Vec<(&'static str, OutcomeRecord)> {
    let applied = OutcomeRecord {
        reply_to: reply(),
        verdict: VerdictKind::Duplicate,
        reason: "twin".into(),
        detail: "seen before".into(),
        answer: Some(answer()),
        duplicate: true,
        config: None,
    };
    let refused = OutcomeRecord { answer: None, verdict: VerdictKind::Ignored, ..applied.clone() };
    let refusal =
        ConfigRefusal { code: "taken".into(), field: "code".into(), detail: "choose another".into() };
    let config = |refused: Option<ConfigRefusal>| {
        let changed = refused.is_none();
        let answer = ConfigAnswer { key: "code/prog_demo/john123".into(), refused, changed };
        OutcomeRecord::of_config(reply(), answer)
    };
    vec![
        ("applied", applied),
        ("refused", refused),
        ("config_taken", config(None)),
        ("config_refused", config(Some(refusal))),
    ]
}

pub(crate) fn ingest() -> Vec<(&'static str, IngestRecord)> {
    let request = RawRequest {
        program: "prog_demo".into(),
        source: "paddle".into(),
        body: Bytes::from_static(br#"{"event_id":"evt_sample"}"#),
        headers: vec![("paddle-signature".into(), "ts=1;h1=00".into())],
        query: "program_id=prog_demo".into(),
        authenticated_by: "end_1".into(),
        received_at: AT,
        reply_to: Some(reply()),
        trace: Some(([1; 16], [2; 8])),
        resource: String::new(),
        publishable: false,
    };
    let publishable = RawRequest { publishable: true, resource: "leads".into(), ..request.clone() };
    let untraced = RawRequest { reply_to: None, trace: None, ..request.clone() };
    vec![
        ("request", IngestRecord::Request(request)),
        ("request_publishable", IngestRecord::Request(publishable)),
        ("config", IngestRecord::Config(configs().remove(0).1)),
        ("tick", IngestRecord::Tick),
        ("retry", IngestRecord::Retry { of_position: 12, request: untraced, actor: "ann".into() }),
        ("base", IngestRecord::Base { first_position: 1_000_000, end_position: 0 }),
    ]
}

//! Samples of configuration.
use super::usd;
use domain::config::{
    ApiKey, Code, ConfigFact, ConfigObject, Coupon, Endpoint, FlatRefund, Mode, Partner, Profile, Program,
    Release, ReleaseMode, Reward, Rule,
};
use domain::money::{Minor, RatePpm, Rounding};
use domain::rules::{
    Band, Cap, CapScope, Clauses, Comparison, Condition, Field, Limit, Metric, Operator, Period, Tiers,
    Value, Window,
};

pub(crate) fn config(object: ConfigObject) -> ConfigFact {
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

//! Samples of what the commission service writes.
use super::outcomes::answer;
use super::{AT, commission_id, configs, event, reply, sale_id, sale_key, shares, terms, usd};
use domain::attribution::SaleKey;
use domain::commission::{
    ADJUSTMENT, Account, AnswerRecorded, CapUse, CommissionEvent, CommissionEventKind, CommissionStatus,
    CommissionsEvent, Facets, FlatTerms, LineFacets, Origin, Posting, Purchase, ReversalRecorded,
    ReversalResult, SaleLinked, SaleRecorded, Slice, Split, SubscriptionOver, Terms,
};
use domain::config::FlatRefund;
use domain::facts::{ConversionKind, Recurrence, ReversalFamily, ReversalState, SaleDetails};
use domain::ids::{CommissionId, SaleId, SubjectId};
use domain::money::{Minor, RatePpm, Rounding};
use domain::rules::{CapScope, Considered, Limit, Period, RuleRef, Why};

pub(crate) fn commissions() -> Vec<(&'static str, CommissionsEvent)> {
    vec![
        ("config", CommissionsEvent::Config(configs().remove(5).1)),
        ("sale", CommissionsEvent::Sale(sale())),
        ("reversal", CommissionsEvent::Reversal(reversal())),
        ("commission", CommissionsEvent::Commission(commission())),
        ("answer", CommissionsEvent::Answer(answered())),
        ("held_flat", CommissionsEvent::Commission(held())),
        ("link", CommissionsEvent::Link(link())),
        ("cancelled", CommissionsEvent::Cancelled(over())),
        ("sale_for_rules", CommissionsEvent::Sale(asked())),
        ("commission_by_rules", CommissionsEvent::Commission(ruled())),
        ("sale_shared", CommissionsEvent::Sale(shared())),
        ("commission_part", CommissionsEvent::Commission(part())),
        ("lead", CommissionsEvent::Sale(lead())),
        ("debit", CommissionsEvent::Commission(debit())),
        ("repriced", CommissionsEvent::Commission(repriced())),
    ]
}

/// A line at one rate.
fn slice() -> Slice {
    Slice { line_id: "txnitm_1".into(), base: Minor(59_900), rate: RatePpm(100_000), ..Slice::default() }
}

/// A sale that was decided late.
fn sale() -> SaleRecorded {
    SaleRecorded {
        id: sale_id(),
        program: "prog_demo".into(),
        sale: sale_key(),
        event: event(),
        currency: usd(),
        gross: Minor(65_215),
        base: Minor(59_900),
        base_is_net: true,
        slices: vec![slice()],
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
    }
}

/// A refund in another currency than its sale.
fn reversal() -> ReversalRecorded {
    ReversalRecorded {
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
    }
}

/// The first event of a commission.
fn commission() -> CommissionEvent {
    CommissionEvent {
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
            slices: vec![slice()],
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
    }
}

/// A flat reward that waits for a person.
fn held() -> CommissionEvent {
    CommissionEvent {
        kind: CommissionEventKind::Review,
        status: CommissionStatus::Review,
        holds: vec!["cancelled_subscription:sub_1".into(), "dispute:dp_1".into(), "time".into()],
        terms: commission().terms.map(|terms| Terms {
            flat: Some(FlatTerms {
                amount: Minor(500),
                currency: usd(),
                on_refund: FlatRefund::Proportional,
            }),
            ..terms
        }),
        ..commission()
    }
}

/// A sale with what rules may ask about it.
fn asked() -> SaleRecorded {
    SaleRecorded {
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
        ..sale()
    }
}

/// A sale that more than one partner brought.
fn shared() -> SaleRecorded {
    SaleRecorded { shares: shares(), ..sale() }
}

/// A conversion that is no sale.
fn lead() -> SaleRecorded {
    SaleRecorded {
        facets: Facets {
            details: SaleDetails {
                kind: ConversionKind::Lead,
                fraud: vec!["velocity".into()],
                ..SaleDetails::default()
            },
            ..Facets::default()
        },
        ..sale()
    }
}

/// A debit by hand: of no sale, below zero.
fn debit() -> CommissionEvent {
    CommissionEvent {
        id: CommissionId::of_command(&event()),
        sale_id: SaleId::default(),
        sale: SaleKey { source: ADJUSTMENT.into(), external_id: event().0 },
        gross: Minor(-500),
        reversed: Minor(-500),
        delta: Minor::ZERO,
        postings: Vec::new(),
        reason: "paid twice".into(),
        actor: "key_1".into(),
        terms: commission().terms.map(|terms| Terms {
            slices: Vec::new(),
            uncapped: Minor(-500),
            origin: Origin::Debit,
            ..terms
        }),
        ..commission()
    }
}

/// The second part of a divided sale.
fn part() -> CommissionEvent {
    CommissionEvent {
        terms: commission().terms.map(|terms| Terms {
            split: Some(Split { part: 1, weights: vec![400_000, 600_000], whole: Minor(9_983) }),
            ..terms
        }),
        ..commission()
    }
}

/// By two rates of two rules, under a cap.
fn ruled() -> CommissionEvent {
    CommissionEvent {
        terms: commission().terms.map(|terms| Terms {
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
        ..commission()
    }
}

/// Priced again by an accepted what-if.
fn repriced() -> CommissionEvent {
    CommissionEvent {
        kind: CommissionEventKind::Repriced,
        gross: Minor(700),
        reversed: Minor(100),
        delta: Minor(-5_390),
        terms: Some(terms()),
        reason: "what if".into(),
        actor: "cli (mary)".into(),
        ..commission()
    }
}

/// Other names of a sale.
fn link() -> SaleLinked {
    SaleLinked {
        program: "prog_demo".into(),
        sale: sale_key(),
        aliases: vec!["pi_1".into(), "in_1".into()],
        event: event(),
    }
}

/// The end of a subscription.
fn over() -> SubscriptionOver {
    SubscriptionOver {
        program: "prog_demo".into(),
        source: "paddle".into(),
        subscription_id: "sub_1".into(),
        ended_at: AT,
        event: event(),
    }
}

/// An answer that was given before.
fn answered() -> AnswerRecorded {
    AnswerRecorded { answer: answer(), reply_to: Some(reply()), duplicate: true }
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

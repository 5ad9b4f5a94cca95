//! Samples of facts and verdicts.
use super::{AT, commission_id, configs, event, reply, sale_key, terms, usd};
use bytes::Bytes;
use domain::facts::{
    Adjustment, Command, CommandKind, ConversionKind, CouponRef, Fact, FactBody, Identifier, Personal,
    Recurrence, Referral, Reprice, Reversal, ReversalFamily, ReversalLine, ReversalState, Sale, SaleDetails,
    SaleLine, SealedValue, ShareClaim, ShareOf,
};
use domain::ids::{CommissionId, Hash, SubjectId};
use domain::money::{Currency, Minor};
use domain::normalization::{FactsEvent, Verdict, VerdictKind};

pub(crate) fn fact(state: &str, body: FactBody) -> Fact {
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

//! A partner is paid, a refund comes late, the next sale pays it back, the rest is given up: event by event.
use super::{event_id, program, sale};
use domain::commission::{
    Account, CommissionEvent, CommissionEventKind as Kind, CommissionStatus as Status, CommissionsEvent,
    DebtWrittenOff, OffsetRecorded, PayoutEvent, PayoutEventKind, PayoutLine, Posting, RateRecorded,
    ReversalRecorded, ReversalResult,
};
use domain::config::{ConfigFact, ConfigObject};
use domain::facts::{Fact, FactBody, Identifier, Personal, ReversalFamily, ReversalState, SealedValue};
use domain::ids::{Hash, PayoutId, SubjectId};
use domain::money::{Currency, Minor};
use domain::normalization::FactsEvent;
use domain::payouts::{DESTINATION_NAMESPACE, PayoutDestination, PayoutTerms, Rate, Schedule};
use domain::time::Micros;

/// The first sale's commission and the second's, both of `partner_2`, 200 each.
pub const SALES: [u64; 2] = [2, 12];

pub fn currency(code: &str) -> Currency {
    Currency::parse(code).unwrap()
}

pub fn payout() -> PayoutId {
    PayoutId::of_command(&event_id(900))
}

fn created(of: u64) -> CommissionEvent {
    let mut events = sale(of);
    let Some(CommissionsEvent::Commission(event)) = events.pop() else { unreachable!("a commission") };
    event
}

pub fn commission(of: u64) -> String {
    created(of).id.to_string()
}

fn legs(code: &str, legs: &[(Account, i64)]) -> Vec<Posting> {
    let leg = |(account, amount): &(Account, i64)| Posting {
        account: *account,
        currency: currency(code),
        amount: Minor(*amount),
    };
    legs.iter().map(leg).collect()
}

/// A later event of the commission of sale `of`.
pub fn later(
    of: u64,
    (kind, status): (Kind, Status),
    (reversed, delta): (i64, i64),
    postings: &[(Account, i64)],
    payout: Option<PayoutId>,
) -> CommissionsEvent {
    CommissionsEvent::Commission(CommissionEvent {
        kind,
        status,
        reversed: Minor(reversed),
        delta: Minor(delta),
        postings: legs("USD", postings),
        cause: Some(event_id(of + 500)),
        terms: None,
        holds: Vec::new(),
        payout,
        ..created(of)
    })
}

/// An event of the payout: 200 USD of the first commission, paid as 180 EUR, with a residue of 1 cent.
pub fn of_payout(kind: PayoutEventKind, reference: &str) -> CommissionsEvent {
    let drafted = kind == PayoutEventKind::Drafted;
    let line = PayoutLine { commission: created(2).id, amount: Minor(200), paid: Minor(180), further: false };
    CommissionsEvent::Payout(PayoutEvent {
        id: payout(),
        program: program(),
        partner: "partner_2".into(),
        kind,
        currency: currency("USD"),
        total: Minor(200),
        paid_currency: currency("EUR"),
        paid: Minor(180),
        rate: Some("june".into()),
        lines: if drafted { vec![line] } else { Vec::new() },
        postings: if drafted {
            legs("EUR", &[(Account::Expense, -1), (Account::FxRounding, 1)])
        } else {
            Vec::new()
        },
        cause: Some(event_id(900)),
        reference: reference.to_owned(),
        reason: String::new(),
        actor: "Jo".to_owned(),
    })
}

fn rate(id: &str, mantissa: i64) -> CommissionsEvent {
    let rate = Rate {
        id: id.into(),
        from: currency("USD"),
        to: currency("EUR"),
        mantissa,
        exponent: -2,
        spread_ppm: 500,
        actor: "Jo".to_owned(),
    };
    CommissionsEvent::Rate(RateRecorded { program: program(), rate, event: event_id(800) })
}

fn offset(amount: i64) -> CommissionsEvent {
    CommissionsEvent::Offset(OffsetRecorded {
        program: program(),
        partner: "partner_2".into(),
        currency: currency("USD"),
        commission: created(12).id,
        debt_of: created(2).id,
        amount: Minor(amount),
        cause: None,
    })
}

fn refund() -> CommissionsEvent {
    let mut events = sale(2).into_iter();
    let Some(CommissionsEvent::Sale(sale)) = events.next() else { unreachable!("a sale comes first") };
    CommissionsEvent::Reversal(ReversalRecorded {
        program: program(),
        sale: sale.sale,
        object_id: "re_2".to_owned(),
        event: event_id(502),
        family: ReversalFamily::Refund,
        state: ReversalState::Live,
        currency: currency("USD"),
        gross: Minor(1200),
        net: Some(Minor(1000)),
        lines: Vec::new(),
        result: ReversalResult::Matched,
    })
}

/// Frame by frame: what is payable after each is 0, 0, 200, 200, 0, 0, -200, 0, -50, 0.
pub fn story() -> Vec<Vec<CommissionsEvent>> {
    use Account::{Available, Debt, Expense, InFlight, PaidOut, Pending, ProgramLoss};
    let id = || Some(payout());
    let approved = [(Pending, -200), (Available, 200)];
    vec![
        sale(2),
        sale(12),
        vec![later(2, (Kind::Approved, Status::Approved), (0, 0), &approved, None)],
        vec![rate("may", 85), rate("june", 90)],
        vec![
            of_payout(PayoutEventKind::Drafted, ""),
            later(2, (Kind::Locked, Status::Locked), (0, 0), &[(Available, -200), (InFlight, 200)], id()),
        ],
        vec![
            of_payout(PayoutEventKind::Settled, "batch 7"),
            later(2, (Kind::Paid, Status::Paid), (0, 0), &[(InFlight, -200), (PaidOut, 200)], id()),
        ],
        vec![
            refund(),
            later(2, (Kind::Refunded, Status::Paid), (200, -200), &[(Debt, -200), (Expense, 200)], None),
        ],
        vec![
            later(12, (Kind::Approved, Status::Approved), (0, 0), &[(Pending, -200), (Debt, 200)], None),
            offset(200),
        ],
        vec![
            later(12, (Kind::Refunded, Status::Approved), (50, -50), &[(Debt, -50), (Expense, 50)], None),
            offset(-50),
        ],
        vec![CommissionsEvent::WrittenOff(DebtWrittenOff {
            program: program(),
            partner: "partner_2".into(),
            currency: currency("USD"),
            amount: Minor(50),
            claims: vec![(created(2).id, Minor(50))],
            postings: legs("USD", &[(Debt, 50), (ProgramLoss, -50)]),
            cause: event_id(950),
            reason: "=gone".to_owned(),
            actor: "Jo".to_owned(),
        })],
    ]
}

/// Terms of the program, and of one partner who has none any more.
pub fn terms() -> Vec<ConfigFact> {
    let fact = |partner: &str, removed| ConfigFact {
        program: program(),
        actor: "Jo".to_owned(),
        object: ConfigObject::PayoutTerms(PayoutTerms {
            partner: partner.into(),
            schedule: Schedule::Monthly { day: 31 },
            minimums: vec![(currency("USD"), Minor(100)), (currency("EUR"), Minor(90))],
            pay_in: Some(currency("EUR")),
        }),
        removed,
    };
    vec![fact("", false), fact("partner_3", false), fact("partner_3", true)]
}

/// Where `partner_2` is paid, sealed; without a value: nowhere any more.
pub fn destination(value: Option<&'static [u8]>) -> FactsEvent {
    let sealed = |text: &'static [u8]| Identifier {
        namespace: DESTINATION_NAMESPACE.to_owned(),
        subject: Some(SubjectId([7; 16])),
        value: Personal::Sealed(SealedValue { key_id: [8; 16], ciphertext: bytes::Bytes::from_static(text) }),
    };
    FactsEvent::Fact(Fact {
        program: program(),
        event: event_id(700),
        source: "native".into(),
        object_id: "partner_2".to_owned(),
        state: "set".to_owned(),
        hash: Hash::ZERO,
        occurred_at: Micros(0),
        identifiers: value.map(sealed).into_iter().collect(),
        body: FactBody::PayoutDestination(PayoutDestination {
            partner: "partner_2".into(),
            method: "paypal".to_owned(),
            actor: "Jo".to_owned(),
        }),
    })
}

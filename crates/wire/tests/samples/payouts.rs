//! Samples of payouts, rates, offsets and write-offs: as facts, terms, events and answers.
use super::config::config;
use super::facts::fact;
use super::outcomes::answer;
use super::{AT, commission_id, event, reply, sale_id, sale_key, usd};
use domain::commission::{
    Account, Answer, CommissionEvent, CommissionEventKind, CommissionStatus, CommissionsEvent,
    DebtWrittenOff, OffsetRecorded, PayoutEvent, PayoutEventKind, PayoutLine, Posting, RateRecorded,
    ScheduleRan,
};
use domain::config::{ConfigFact, ConfigObject};
use domain::facts::FactBody;
use domain::ids::{CommissionId, PayoutId};
use domain::money::{Currency, Minor};
use domain::normalization::{FactsEvent, VerdictKind};
use domain::payouts::{PayoutAct, PayoutCommand, PayoutDestination, PayoutTerms, Rate, Schedule, WriteOff};
use wire::outcomes::OutcomeRecord;

fn eur() -> Currency {
    Currency::parse("EUR").unwrap()
}

fn payout_id() -> PayoutId {
    PayoutId::of_command(&event())
}

fn rate() -> Rate {
    Rate {
        id: "ecb-2026-06-30".into(),
        from: usd(),
        to: eur(),
        mantissa: 92_234,
        exponent: -5,
        spread_ppm: 5_000,
        actor: "key_1 (ann)".into(),
    }
}

pub(crate) fn configs() -> Vec<(&'static str, ConfigFact)> {
    let terms = PayoutTerms {
        partner: "ptn_john".into(),
        schedule: Schedule::Monthly { day: 31 },
        minimums: vec![(usd(), Minor(5_000)), (eur(), Minor(1))],
        pay_in: Some(eur()),
    };
    let program = PayoutTerms { schedule: Schedule::Weekly { day: 1 }, ..PayoutTerms::default() };
    vec![
        ("payout_terms", config(ConfigObject::PayoutTerms(terms))),
        ("payout_terms_of_program", config(ConfigObject::PayoutTerms(program))),
        ("payout_terms_manual", config(ConfigObject::PayoutTerms(PayoutTerms::default()))),
    ]
}

pub(crate) fn facts() -> Vec<(&'static str, FactsEvent)> {
    let draft = PayoutCommand {
        act: PayoutAct::Draft,
        payout: PayoutId::default(),
        partner: "ptn_john".into(),
        currency: Some(usd()),
        amount: None,
        ignore_minimum: true,
        reference: String::new(),
        reason: String::new(),
        actor: "key_1 (ann)".into(),
    };
    let settle = PayoutCommand {
        act: PayoutAct::Settle,
        payout: payout_id(),
        partner: "".into(),
        amount: Some(Minor(2_300)),
        ignore_minimum: false,
        reference: "BATCH-7".into(),
        ..draft.clone()
    };
    let ended = |act| PayoutCommand {
        act,
        currency: None,
        amount: None,
        reference: String::new(),
        reason: "account closed".into(),
        ..settle.clone()
    };
    let write_off = WriteOff {
        partner: "ptn_john".into(),
        currency: usd(),
        amount: Some(Minor(470)),
        reason: "left".into(),
        actor: "key_1".into(),
    };
    let destination =
        PayoutDestination { partner: "ptn_john".into(), method: "paypal".into(), actor: "key_1".into() };
    let said = |body| FactsEvent::Fact(fact("key_sample", body));
    let without_person = |body| {
        let mut fact = fact("key_sample", body);
        fact.identifiers.clear();
        FactsEvent::Fact(fact)
    };
    let removed = PayoutDestination { method: String::new(), ..destination.clone() };
    vec![
        ("payout_draft", without_person(FactBody::Payout(draft))),
        ("payout_settle", without_person(FactBody::Payout(settle.clone()))),
        ("payout_fail", without_person(FactBody::Payout(ended(PayoutAct::Fail)))),
        ("payout_return", without_person(FactBody::Payout(ended(PayoutAct::Return)))),
        ("write_off", without_person(FactBody::WriteOff(write_off))),
        ("rate", without_person(FactBody::Rate(rate()))),
        ("payout_destination", said(FactBody::PayoutDestination(destination))),
        ("payout_destination_removed", without_person(FactBody::PayoutDestination(removed))),
    ]
}

fn line(kind: CommissionEventKind, status: CommissionStatus, from: Account, to: Account) -> CommissionsEvent {
    CommissionsEvent::Commission(CommissionEvent {
        id: commission_id(),
        program: "prog_demo".into(),
        partner: "ptn_john".into(),
        sale_id: sale_id(),
        sale: sale_key(),
        kind,
        status,
        currency: usd(),
        gross: Minor(2_000),
        reversed: Minor::ZERO,
        delta: Minor::ZERO,
        postings: vec![
            Posting { account: from, amount: Minor(-530), currency: usd() },
            Posting { account: to, amount: Minor(530), currency: usd() },
        ],
        cause: Some(event()),
        reason: String::new(),
        actor: "key_1".into(),
        terms: None,
        holds: Vec::new(),
        payout: Some(payout_id()),
    })
}

pub(crate) fn commissions() -> Vec<(&'static str, CommissionsEvent)> {
    let drafted = PayoutEvent {
        id: payout_id(),
        program: "prog_demo".into(),
        partner: "ptn_john".into(),
        kind: PayoutEventKind::Drafted,
        currency: usd(),
        total: Minor(530),
        paid_currency: eur(),
        paid: Minor(486),
        rate: Some(rate().id),
        lines: vec![
            PayoutLine { commission: commission_id(), amount: Minor(530), paid: Minor(486), further: false },
            PayoutLine {
                commission: CommissionId("com_other".into()),
                amount: Minor::ZERO,
                paid: Minor::ZERO,
                further: true,
            },
        ],
        postings: vec![
            Posting { account: Account::Expense, amount: Minor(-1), currency: eur() },
            Posting { account: Account::FxRounding, amount: Minor(1), currency: eur() },
        ],
        cause: Some(event()),
        reference: String::new(),
        reason: String::new(),
        actor: "key_1 (ann)".into(),
    };
    let became = |kind, reference: &str, reason: &str| PayoutEvent {
        kind,
        lines: Vec::new(),
        postings: Vec::new(),
        reference: reference.into(),
        reason: reason.into(),
        ..drafted.clone()
    };
    let by_schedule = PayoutEvent { cause: None, actor: "schedule".into(), rate: None, ..drafted.clone() };
    let offset = OffsetRecorded {
        program: "prog_demo".into(),
        partner: "ptn_john".into(),
        currency: usd(),
        commission: commission_id(),
        debt_of: CommissionId("com_other".into()),
        amount: Minor(1_470),
        cause: Some(event()),
    };
    let written_off = DebtWrittenOff {
        program: "prog_demo".into(),
        partner: "ptn_john".into(),
        currency: usd(),
        amount: Minor(470),
        claims: vec![(commission_id(), Minor(400)), (CommissionId("com_other".into()), Minor(70))],
        postings: vec![
            Posting { account: Account::ProgramLoss, amount: Minor(-470), currency: usd() },
            Posting { account: Account::Debt, amount: Minor(470), currency: usd() },
        ],
        cause: event(),
        reason: "left".into(),
        actor: "key_1".into(),
    };
    let ran = ScheduleRan {
        program: "prog_demo".into(),
        partner: "ptn_john".into(),
        due: AT,
        after: Some(("ptn_john".into(), usd())),
        next_due: AT.plus_days(31),
    };
    let undone = OffsetRecorded { amount: Minor(-70), cause: None, ..offset.clone() };
    let all_done = ScheduleRan { after: None, ..ran.clone() };
    use CommissionEventKind::{Locked, Paid, PayoutFailed, PayoutReturned};
    vec![
        ("payout_drafted", CommissionsEvent::Payout(drafted.clone())),
        ("payout_drafted_by_schedule", CommissionsEvent::Payout(by_schedule)),
        ("payout_settled", CommissionsEvent::Payout(became(PayoutEventKind::Settled, "BATCH-7", ""))),
        ("payout_failed", CommissionsEvent::Payout(became(PayoutEventKind::Failed, "", "refused"))),
        ("payout_returned", CommissionsEvent::Payout(became(PayoutEventKind::Returned, "", "closed"))),
        ("line_locked", line(Locked, CommissionStatus::Locked, Account::Available, Account::InFlight)),
        ("line_paid", line(Paid, CommissionStatus::Paid, Account::InFlight, Account::PaidOut)),
        (
            "line_failed",
            line(PayoutFailed, CommissionStatus::Approved, Account::InFlight, Account::Available),
        ),
        (
            "line_returned",
            line(PayoutReturned, CommissionStatus::Approved, Account::PaidOut, Account::Available),
        ),
        (
            "rate_recorded",
            CommissionsEvent::Rate(RateRecorded {
                program: "prog_demo".into(),
                rate: rate(),
                event: event(),
            }),
        ),
        ("offset", CommissionsEvent::Offset(offset)),
        ("offset_undone", CommissionsEvent::Offset(undone)),
        ("written_off", CommissionsEvent::WrittenOff(written_off)),
        ("schedule_ran", CommissionsEvent::Schedule(ran)),
        ("schedule_done", CommissionsEvent::Schedule(all_done)),
    ]
}

pub(crate) fn outcomes() -> Vec<(&'static str, OutcomeRecord)> {
    let answer = Answer {
        sale: None,
        commission: None,
        status: None,
        declined: String::new(),
        payout: Some((payout_id(), PayoutEventKind::Drafted)),
        ..answer()
    };
    let drafted = OutcomeRecord {
        reply_to: reply(),
        verdict: VerdictKind::Applied,
        reason: String::new(),
        detail: String::new(),
        answer: Some(answer),
        duplicate: false,
        config: None,
    };
    vec![("payout", drafted)]
}

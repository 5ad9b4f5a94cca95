//! Analysts' questions as documented, asked by their own role, over a ledger whose answers are known.
#![allow(clippy::unwrap_used)]
use crate::support::{Database, PARTITION, batch, cursor, event_id, sale, verdict};
use domain::commission::{
    Account, CommissionEvent, CommissionEventKind, CommissionStatus, CommissionsEvent, OffsetRecorded,
    PayoutEvent, PayoutEventKind, PayoutLine, Posting, ReversalRecorded, ReversalResult, SaleRecorded,
};
use domain::config::{Code, ConfigFact, ConfigObject};
use domain::facts::{Fact, FactBody, Recurrence, Referral, ReversalFamily, ReversalState, Sale, SaleDetails};
use domain::ids::{Hash, PayoutId};
use domain::money::Minor;
use domain::normalization::{FactsEvent, VerdictKind};
use domain::time::Micros;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection};
use tributary_readmodel::apply::apply;
use tributary_readmodel::audit::TABLES;
use tributary_readmodel::batch::{Advance, Followed, Frame, Frames};
use tributary_readmodel::{GENERATION, cursors};

const QUESTIONS: &str = include_str!("../../../../docs/reference/questions.md");
const DAY: i64 = 86_400_000_000;
const FIRST: i64 = 1_800_000_000_000_000;

/// The record and the commission of `support::sale`.
fn sold(seq: u64) -> (SaleRecorded, CommissionEvent) {
    let mut events = sale(seq).into_iter();
    let (Some(CommissionsEvent::Sale(sale)), Some(CommissionsEvent::Commission(commission))) =
        (events.next(), events.next())
    else {
        unreachable!("a sale with its commission")
    };
    (sale, commission)
}

/// A later event of the commission of sale `of`: `reversed` in all, legs between two accounts, holds after it.
fn later(
    of: u64,
    kind: CommissionEventKind,
    status: CommissionStatus,
    (reversed, delta): (i64, i64),
    (from, to, amount): (Account, Account, i64),
    holds: &[&str],
) -> CommissionsEvent {
    let (_, created) = sold(of);
    let leg = |account, amount| Posting { account, currency: created.currency, amount: Minor(amount) };
    CommissionsEvent::Commission(CommissionEvent {
        kind,
        status,
        reversed: Minor(reversed),
        delta: Minor(delta),
        postings: vec![leg(from, -amount), leg(to, amount)],
        cause: (kind != CommissionEventKind::Approved).then(|| event_id(of)),
        terms: None,
        holds: holds.iter().map(|hold| (*hold).to_owned()).collect(),
        ..created
    })
}

fn reversal(
    of: u64,
    family: ReversalFamily,
    object: &str,
    gross: i64,
    result: ReversalResult,
) -> CommissionsEvent {
    let (sale, _) = sold(of);
    CommissionsEvent::Reversal(ReversalRecorded {
        program: sale.program,
        sale: sale.sale,
        object_id: object.to_owned(),
        event: event_id(of),
        family,
        state: ReversalState::Live,
        currency: sale.currency,
        gross: Minor(gross),
        net: None,
        lines: Vec::new(),
        result,
    })
}

/// A sale of which nobody earns anything.
fn nobodys(seq: u64) -> CommissionsEvent {
    let (sale, _) = sold(seq);
    CommissionsEvent::Sale(SaleRecorded {
        partner: None,
        customer: None,
        reason: "unknown_code".to_owned(),
        ..sale
    })
}

fn money() -> Vec<(i64, Vec<CommissionsEvent>)> {
    use Account::{Available, Expense, Pending, Review};
    use CommissionEventKind as Kind;
    use CommissionStatus as Status;
    let charged_back =
        later(2, Kind::Chargeback, Status::ChargedBack, (200, -200), (Pending, Expense, 200), &[]);
    let held =
        later(3, Kind::Review, Status::Review, (0, 0), (Pending, Review, 200), &["dispute:dp_3", "time"]);
    let approved = later(1, Kind::Approved, Status::Approved, (0, 0), (Pending, Available, 200), &[]);
    let refunded = later(1, Kind::Refunded, Status::Approved, (50, -50), (Available, Expense, 50), &[]);
    vec![
        (0, sale(1)),
        (0, sale(2)),
        (0, sale(3)),
        (
            1,
            vec![
                reversal(2, ReversalFamily::Chargeback, "dp_2", 1200, ReversalResult::Matched),
                charged_back,
            ],
        ),
        (
            1,
            vec![reversal(3, ReversalFamily::ChargebackWarning, "dp_3", 1200, ReversalResult::Matched), held],
        ),
        (1, vec![approved]),
        (31, vec![reversal(1, ReversalFamily::Refund, "re_1", 300, ReversalResult::Matched), refunded]),
        (31, vec![reversal(99, ReversalFamily::Refund, "re_99", 500, ReversalResult::Parked)]),
        (31, vec![nobodys(9)]),
    ]
    .into_iter()
    .chain(payouts())
    .collect()
}

/// What is payable of the first sale is paid; then more of it is refunded, and another sale pays that back.
fn payouts() -> Vec<(i64, Vec<CommissionsEvent>)> {
    use Account::{Available, Debt, Expense, InFlight, PaidOut, Pending};
    use CommissionEventKind as Kind;
    use CommissionStatus as Status;
    let (_, first) = sold(1);
    let (_, other) = sold(11);
    let id = PayoutId::of_command(&event_id(77));
    let of = |kind: PayoutEventKind| {
        let line =
            PayoutLine { commission: first.id.clone(), amount: Minor(150), paid: Minor(150), further: false };
        CommissionsEvent::Payout(PayoutEvent {
            id: id.clone(),
            program: first.program.clone(),
            partner: first.partner.clone(),
            kind,
            currency: first.currency,
            total: Minor(150),
            paid_currency: first.currency,
            paid: Minor(150),
            rate: None,
            lines: (kind == PayoutEventKind::Drafted).then_some(line).into_iter().collect(),
            postings: Vec::new(),
            cause: Some(event_id(77)),
            reference: String::new(),
            reason: String::new(),
            actor: "Jo".to_owned(),
        })
    };
    let with_id = |mut event: CommissionsEvent| {
        if let CommissionsEvent::Commission(event) = &mut event {
            event.payout = Some(id.clone());
        }
        event
    };
    let locked = later(1, Kind::Locked, Status::Locked, (50, 0), (Available, InFlight, 150), &[]);
    let paid = later(1, Kind::Paid, Status::Paid, (50, 0), (InFlight, PaidOut, 150), &[]);
    let refunded = later(1, Kind::Refunded, Status::Paid, (80, -30), (Debt, Expense, 30), &[]);
    let mut approved = later(11, Kind::Approved, Status::Approved, (0, 0), (Pending, Available, 170), &[]);
    if let CommissionsEvent::Commission(event) = &mut approved {
        event.postings[0].amount = Minor(-200);
        event.postings.push(Posting { account: Debt, currency: first.currency, amount: Minor(30) });
    }
    let offset = CommissionsEvent::Offset(OffsetRecorded {
        program: first.program.clone(),
        partner: first.partner.clone(),
        currency: first.currency,
        commission: other.id,
        debt_of: first.id.clone(),
        amount: Minor(30),
        cause: None,
    });
    vec![
        (32, vec![of(PayoutEventKind::Drafted), with_id(locked)]),
        (33, vec![of(PayoutEventKind::Settled), with_id(paid)]),
        (34, vec![refunded]),
        (35, sale(11)),
        (36, vec![approved, offset]),
    ]
}

fn named(of: u64, code: &str) -> FactsEvent {
    let (sale, _) = sold(of);
    FactsEvent::Fact(Fact {
        program: sale.program,
        event: sale.event,
        source: sale.sale.source,
        object_id: sale.sale.external_id.clone(),
        state: "completed".to_owned(),
        hash: Hash::ZERO,
        occurred_at: sale.occurred_at,
        identifiers: Vec::new(),
        body: FactBody::Sale(Sale {
            external_id: sale.sale.external_id,
            currency: sale.currency,
            gross: sale.gross,
            net: None,
            lines: Vec::new(),
            subscription_id: String::new(),
            recurrence: Recurrence::Unknown,
            referral: Some(Referral { code: code.to_owned(), found_at: "custom_data.ref_code".to_owned() }),
            coupon: None,
            aliases: Vec::new(),
            details: SaleDetails::default(),
        }),
    })
}

fn given() -> Vec<(i64, Vec<FactsEvent>)> {
    let code = FactsEvent::Config(ConfigFact {
        program: "prog_demo".into(),
        actor: "test".to_owned(),
        object: ConfigObject::Code(Code {
            code: "one".to_owned(),
            partner: "partner_1".into(),
            active: true,
        }),
        removed: false,
    });
    let applied = |seq| FactsEvent::Verdict(verdict(seq, VerdictKind::Applied, ""));
    vec![
        (0, vec![code]),
        (0, vec![applied(1), named(1, "one")]),
        (0, vec![applied(2), named(2, "one")]),
        (1, vec![FactsEvent::Verdict(verdict(7, VerdictKind::Quarantined, "bad_amount"))]),
        (31, vec![applied(9), named(9, "ghost")]),
    ]
}

fn frames<E: std::fmt::Debug>(events: Vec<(i64, Vec<E>)>) -> Vec<Frame<E>> {
    let frame = |(seq, (day, events)): (u64, (i64, Vec<E>))| Frame {
        seq,
        source: seq,
        clock: Micros(FIRST + day * DAY + seq.cast_signed() * 1_000_000),
        marks: Vec::new(),
        bytes: crate::support::as_bytes(&events),
        events,
    };
    (1..).zip(events).map(frame).collect()
}

fn advance(frames: Frames) -> Advance {
    let last = frames.len() as u64;
    Advance { partition: PARTITION, before: cursor(0), after: cursor(last), frames }
}

async fn seeded(database: &Database) {
    let mut connection = database.connection().await;
    cursors::ensure(&mut connection, GENERATION, &Followed::ALL.map(|followed| (followed, PARTITION)))
        .await
        .unwrap();
    let both = [advance(Frames::Facts(frames(given()))), advance(Frames::Commissions(frames(money())))];
    apply(&mut connection, GENERATION, &batch(both)).await.unwrap();
}

/// `(title, statement)` of each question.
fn documented() -> Vec<(&'static str, &'static str)> {
    let sections = QUESTIONS.split("\n## ").skip(1);
    sections
        .map(|section| {
            let (title, rest) = section.split_once('\n').unwrap();
            let (_, sql) = rest.split_once("```sql\n").unwrap();
            (title, sql.split_once("```").unwrap().0.trim().trim_end_matches(';'))
        })
        .collect()
}

async fn rows(connection: &mut PgConnection, sql: &str) -> Value {
    let sql = format!("SELECT coalesce(json_agg(q), '[]')::text FROM ({sql}) q");
    let text: String = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await.unwrap();
    serde_json::from_str(&text).unwrap()
}

fn answers() -> Vec<(&'static str, Value)> {
    let at = |text: &str| format!("2027-{text}+00:00");
    let one = "01".repeat(16);
    vec![
        (
            "1. What do I owe each partner?",
            json!([
                {"partner_id": "partner_1", "currency": "USD", "payable": 170, "waiting": 0, "in_flight": 0, "paid_out": 150},
                {"partner_id": "partner_2", "currency": "USD", "payable": 0, "waiting": 0, "in_flight": 0, "paid_out": 0},
                {"partner_id": "partner_3", "currency": "USD", "payable": 0, "waiting": 200, "in_flight": 0, "paid_out": 0},
            ]),
        ),
        (
            "2. What was earned per month?",
            json!([
                {"month": "2027-01", "partner_id": "partner_1", "currency": "USD", "earned": 200},
                {"month": "2027-01", "partner_id": "partner_3", "currency": "USD", "earned": 200},
                {"month": "2027-02", "partner_id": "partner_1", "currency": "USD", "earned": 120},
            ]),
        ),
        (
            "3. What had each partner earned at a moment?",
            json!([
                {"partner_id": "partner_1", "currency": "USD", "earned": 200},
                {"partner_id": "partner_2", "currency": "USD", "earned": 0},
                {"partner_id": "partner_3", "currency": "USD", "earned": 200},
            ]),
        ),
        (
            "4. Which part of each partner's commissions goes back?",
            json!([
                {"partner_id": "partner_2", "currency": "USD", "commissions": 1, "touched": 1, "reversed_per_mille": 1000},
                {"partner_id": "partner_1", "currency": "USD", "commissions": 2, "touched": 1, "reversed_per_mille": 200},
                {"partner_id": "partner_3", "currency": "USD", "commissions": 1, "touched": 0, "reversed_per_mille": 0},
            ]),
        ),
        (
            "5. How do codes convert?",
            json!([
                {"code": "one", "partner_id": "partner_1", "sales": 2, "earned": 1, "earned_nobody": 0, "base_minor": 1000, "currency": "USD"},
                {"code": "ghost", "partner_id": null, "sales": 1, "earned": 0, "earned_nobody": 1, "base_minor": 0, "currency": "USD"},
            ]),
        ),
        (
            "6. What is on hold, and why?",
            json!([
                {"hold": "dispute:dp_3", "commissions": 1, "currency": "USD", "net_minor": 200, "first_due": at("01-15T08:00:00.003")},
                {"hold": "time", "commissions": 1, "currency": "USD", "net_minor": 200, "first_due": at("01-15T08:00:00.003")},
            ]),
        ),
        (
            "7. What waits for another event, and for how long?",
            json!([
                {"kind": "refund", "external_id": "re_99", "waits_for": "sale", "waits_for_id": "txn_99", "currency": "USD", "gross_minor": 500, "parked_at": at("02-15T08:00:08")},
            ]),
        ),
        (
            "8. What could not be used, and why?",
            json!([
                {"source": "paddle", "reason": "bad_amount", "events": 1, "oldest": at("01-15T08:00:00.007")},
            ]),
        ),
        (
            "9. How fresh is what I see?",
            json!([
                {"topic": "commissions", "partitions": 1, "complete_until": at("01-15T08:00:00.014")},
                {"topic": "facts", "partitions": 1, "complete_until": at("01-15T08:00:00.005")},
            ]),
        ),
        (
            "10. Which customers are worth most?",
            json!([
                {"customer_id": one, "currency": "USD", "sales": 1, "base_minor": 1000},
                {"customer_id": "02".repeat(16), "currency": "USD", "sales": 1, "base_minor": 1000},
                {"customer_id": "03".repeat(16), "currency": "USD", "sales": 1, "base_minor": 1000},
                {"customer_id": "0b".repeat(16), "currency": "USD", "sales": 1, "base_minor": 1000},
            ]),
        ),
        (
            "11. Whose sales are charged back?",
            json!([
                {"partner_id": "partner_2", "currency": "USD", "chargebacks": 1, "gross_minor": 1200},
            ]),
        ),
        (
            "12. What happened to one commission?",
            json!([
                {"recorded_at": at("01-15T08:00:02"), "kind": "created", "status": "pending", "delta_minor": 200, "net_minor": 200, "currency": "USD", "holds": ["time"], "by_the_clock": false, "reason": ""},
                {"recorded_at": at("01-16T08:00:04"), "kind": "chargeback", "status": "charged_back", "delta_minor": -200, "net_minor": 0, "currency": "USD", "holds": [], "by_the_clock": false, "reason": ""},
            ]),
        ),
        (
            "13. Why did sales earn nobody anything?",
            json!([
                {"reason": "unknown_code", "sales": 1, "currency": "USD", "gross_minor": 1200},
            ]),
        ),
        (
            "14. What was paid out per month?",
            json!([
                {"month": "2027-02", "partner_id": "partner_1", "paid_currency": "USD", "payouts": 1, "paid": 150},
            ]),
        ),
        ("15. Which payouts are in flight, and for how long?", json!([])),
        (
            "16. Which commissions were taken back after they were paid, and what pays for them?",
            json!([
                {"partner_id": "partner_1", "external_id": "txn_1", "currency": "USD", "taken_back": 80, "paid_back": 30, "by": ["txn_11"]},
            ]),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_documented_question_has_its_answer_for_the_role_of_analysts() {
    let database = Database::new().await;
    seeded(&database).await;
    let mut connection = database.connection().await;
    sqlx::raw_sql("SET TimeZone = 'UTC'; SET ROLE tributary_analyst").execute(&mut connection).await.unwrap();
    let (documented, answers) = (documented(), answers());
    let titles = |of: Vec<&'static str>| of.join("\n");
    assert_eq!(
        titles(documented.iter().map(|(title, _)| *title).collect()),
        titles(answers.iter().map(|(title, _)| *title).collect())
    );
    for ((title, sql), (_, expected)) in documented.into_iter().zip(answers) {
        let found = rows(&mut connection, sql).await;
        assert_eq!(found, expected, "{title}\n{sql}");
    }
    drop(connection);
    database.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn analysts_read_every_view_and_neither_tables_nor_secrets_and_write_nothing() {
    let database = Database::new().await;
    seeded(&database).await;
    let views: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relkind = 'v' AND relnamespace = 'tributary'::regnamespace",
    )
    .fetch_all(&database.pool)
    .await
    .unwrap();
    let mut connection = database.connection().await;
    sqlx::raw_sql("SET ROLE tributary_analyst").execute(&mut connection).await.unwrap();
    for view in &views {
        rows(&mut connection, &format!("SELECT * FROM tributary.{view}")).await;
    }
    let tables = TABLES.iter().map(|table| table.name).chain(["cursor_rows", "_sqlx_migrations"]);
    let mut refused: Vec<String> = tables.map(|table| format!("SELECT * FROM tributary.{table}")).collect();
    refused.extend(
        [
            "INSERT INTO tributary.code_rows (code) VALUES ('mine')",
            "UPDATE tributary.balances SET available = 1",
            "DELETE FROM tributary.commissions",
            "CREATE TABLE tributary.mine (x int)",
            "DROP VIEW tributary.balances",
        ]
        .map(str::to_owned),
    );
    for sql in refused {
        let error = sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(&mut connection).await.unwrap_err();
        let code = error.as_database_error().unwrap().code().unwrap().into_owned();
        assert_eq!(code, "42501", "{sql}: {error}");
    }
    // Migrating again, as every start does, keeps it so; a session of the role itself begins read-only.
    assert_eq!(
        tributary_readmodel::migrate(&database.pool).await.unwrap(),
        tributary_readmodel::analyst::Role::Ready
    );
    let settings: Vec<String> =
        sqlx::query_scalar("SELECT unnest(rolconfig) FROM pg_roles WHERE rolname = 'tributary_analyst'")
            .fetch_all(&database.pool)
            .await
            .unwrap();
    assert_eq!(settings, ["default_transaction_read_only=on"]);
    drop(connection);
    database.stop().await;
}

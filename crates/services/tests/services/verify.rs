//! `verify` names each planted error, with its place.
use crate::by_hand::tampered::Tampered;
use crate::by_hand::{Chain, project};
use crate::support::{self, Database};
use domain::commission::{
    Account, CommissionEvent, CommissionEventKind, CommissionStatus, CommissionsEvent, ReversalRecorded,
    ReversalResult,
};
use domain::config::{Code, ConfigFact, ConfigObject, Partner, Program};
use domain::facts::{ReversalFamily, ReversalState};
use domain::money::Minor;
use readmodel::audit::{self, Snapshot};
use sqlx::PgPool;
use std::sync::Arc;
use stream::embedded::{EmbeddedLog, EmbeddedOptions};
use stream::log::{Log, Offset, Topic};
use tributary_services::verify::{self, Options, Report};
use wire::v1::FrameContent;

/// Configuration, five sales, the fourth frame with a refund and the approval of an earlier commission; everything projected.
struct Projected {
    log: Arc<dyn Log>,
    chain: Chain,
    database: Database,
    _directory: tempfile::TempDir,
}

impl Projected {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Each proof asks every table for each partition's rows.
        let options = EmbeddedOptions { partitions: 2, ..EmbeddedOptions::new(directory.path().join("log")) };
        let log: Arc<dyn Log> = EmbeddedLog::open(options).unwrap();
        let database = Database::new().await;
        let mut chain = Chain::new(&log).await;
        let mut running = project(&log, &database.pool);
        chain.configure(configuration()).await;
        for seq in 2..=6 {
            let mut events = support::sale(seq);
            if seq == 4 {
                events.push(CommissionsEvent::Reversal(refund()));
                events.push(CommissionsEvent::Commission(approval(2)));
            }
            chain.sold(events).await;
        }
        running.reaches(&chain).await;
        running.stop().await;
        Self { log, chain, database, _directory: directory }
    }

    /// What is found, with all objects in memory and, the same, with each of their events in a file.
    async fn report(&self, log: &Arc<dyn Log>) -> Report {
        let pool = &self.database.pool;
        let report = verify::run(Arc::clone(log), pool).await.unwrap();
        let options = Options { gathered_bytes: 1, ..Options::default() };
        let spilled = verify::run_with(options, Arc::clone(log), pool).await.unwrap();
        assert_eq!(spilled, report);
        report
    }

    async fn stop(self) {
        drop((self.chain, self.log));
        self.database.stop().await;
    }
}

fn configuration() -> Vec<ConfigFact> {
    let fact =
        |object| ConfigFact { program: "prog_demo".into(), actor: "test".to_owned(), object, removed: false };
    vec![
        fact(ConfigObject::Program(Program {
            account: "acc_demo".into(),
            name: "Demo".to_owned(),
            mode: domain::config::Mode::Test,
            profile: domain::config::Profile::Native,
            currency: domain::money::Currency::parse("USD").unwrap(),
            rounding: domain::money::Rounding::HalfEven,
            click_window_days: 30,
            hold_days: 0,
            release: domain::config::Release::default(),
            manual_approval: false,
            sale_from: None,
            referral_keys: Vec::new(),
            customer_keys: Vec::new(),
            rule_metadata_keys: Vec::new(),
        })),
        fact(ConfigObject::Partner(Partner {
            partner: "partner_2".into(),
            name: "Two".to_owned(),
            active: true,
            ..Partner::default()
        })),
        fact(ConfigObject::Code(Code { code: "two".to_owned(), partner: "partner_2".into(), active: true })),
    ]
}

fn refund() -> ReversalRecorded {
    let events = support::sale(4);
    let CommissionsEvent::Sale(sale) = &events[0] else { unreachable!("a sale comes first") };
    ReversalRecorded {
        program: sale.program.clone(),
        sale: sale.sale.clone(),
        object_id: "re_4".to_owned(),
        event: sale.event.clone(),
        family: ReversalFamily::Refund,
        state: ReversalState::Pending,
        currency: sale.currency,
        gross: Minor(100),
        net: None,
        lines: Vec::new(),
        result: ReversalResult::Matched,
    }
}

/// The commission of frame `seq` becomes payable.
fn approval(seq: u64) -> CommissionEvent {
    let Some(CommissionsEvent::Commission(mut event)) = support::sale(seq).pop() else {
        unreachable!("a commission comes last")
    };
    event.kind = CommissionEventKind::Approved;
    event.status = CommissionStatus::Approved;
    (event.delta, event.cause, event.terms) = (Minor(0), None, None);
    event.holds.clear();
    event.postings[0].account = Account::Pending;
    event.postings[1].account = Account::Available;
    event
}

/// `(kind, where)` of each problem.
fn found(report: &Report) -> Vec<(&'static str, &str)> {
    report.problems.iter().map(|problem| (problem.kind, problem.place.as_str())).collect()
}

async fn change(pool: &PgPool, sql: &str) {
    let done = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(pool).await.unwrap();
    assert!(done.rows_affected() > 0, "{sql}");
}

/// The commission, sale and customer of the frame `seq`.
fn ids(seq: u64) -> (String, String, String) {
    let events = support::sale(seq);
    let [CommissionsEvent::Sale(sale), CommissionsEvent::Commission(commission)] = events.as_slice() else {
        unreachable!("a sale with its commission")
    };
    let customer = sale.customer.unwrap().0.iter().map(|byte| format!("{byte:02x}")).collect();
    (commission.id.to_string(), sale.id.to_string(), customer)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_wrong_row_is_named_with_its_table_its_key_and_the_column_that_differs() {
    let it = Projected::new().await;
    let (pool, partition) = (&it.database.pool, it.chain.partition.0);
    let clean = it.report(&it.log).await;
    assert!(clean.ok, "{clean:?}");
    let (commission, sale, customer) = ids(3);
    let event = |seq: u64| {
        let id = ids(seq).0;
        format!("commission_event_rows partition {partition} frame {seq} event 1 {id}")
    };
    let verdict = |seq: u64| {
        let id = support::event_id(seq);
        format!("verdict_rows partition {partition} frame {seq} event 0 {id}")
    };
    let row_of = |seq: u64| ids(seq).0;
    // What is planted; kind and place; what must be expected and found.
    let cases: Vec<(&str, &str, String, &str, &str)> = vec![
        (
            "UPDATE tributary.commission_event_rows SET delta_minor = 201 WHERE seq = 3",
            "commission_event",
            event(3),
            "delta_minor 200",
            "delta_minor 201",
        ),
        (
            "UPDATE tributary.commission_event_rows SET postings = postings - 0 WHERE seq = 3",
            "commission_event",
            event(3),
            "postings expense USD -200, pending USD 200",
            "postings pending USD 200",
        ),
        (
            "UPDATE tributary.commission_event_rows SET postings = jsonb_set(postings, '{0,extra}', '1') WHERE seq = 3",
            "commission_event",
            event(3),
            "postings expense USD -200, pending USD 200",
            "\"extra\": 1",
        ),
        (
            "UPDATE tributary.commission_event_rows SET holds = ARRAY[NULL]::text[] WHERE seq = 3",
            "commission_event",
            event(3),
            "holds ",
            "holds null",
        ),
        (
            "UPDATE tributary.commission_rows SET slices = jsonb_set(slices, '{0,extra}', '1') WHERE seq = 3",
            "commission",
            row_of(3),
            "slices ",
            "in another form",
        ),
        (
            "DELETE FROM tributary.commission_event_rows WHERE seq = 3",
            "commission_event",
            event(3),
            &commission,
            "no row",
        ),
        (
            "UPDATE tributary.commission_event_rows SET seq = 99 WHERE seq = 6",
            "commission_event",
            event(6),
            "created",
            "no row",
        ),
        (
            "UPDATE tributary.commission_event_rows SET seq = -seq WHERE seq IN (3, 5);
             UPDATE tributary.commission_event_rows SET seq = 8 + seq WHERE seq < 0 -- two rows",
            "commission_event",
            event(5),
            "partner_id partner_5",
            "partner_id partner_3",
        ),
        (
            "INSERT INTO tributary.commission_event_rows SELECT (jsonb_populate_record(t, '{\"ordinal\": 9}')).* FROM tributary.commission_event_rows t WHERE seq = 3",
            "commission_event",
            event(3).replace("event 1", "event 9"),
            "no row",
            &commission,
        ),
        (
            "UPDATE tributary.balance_rows SET pending = pending + 1 WHERE partner_id = 'partner_3'",
            "balance",
            "prog_demo/partner_3/USD".to_owned(),
            "pending 200",
            "pending 201",
        ),
        (
            "UPDATE tributary.balance_rows SET pending = pending - 1 WHERE partner_id = 'partner_3'",
            "balance",
            "prog_demo/partner_3/USD".to_owned(),
            "pending 200",
            "pending 199",
        ),
        (
            "DELETE FROM tributary.balance_rows WHERE partner_id = 'partner_3'",
            "balance",
            "prog_demo/partner_3/USD".to_owned(),
            "pending 200",
            "no row",
        ),
        (
            "UPDATE tributary.commission_rows SET status = 'approved' WHERE seq = 3",
            "commission",
            commission.clone(),
            "status pending",
            "status approved",
        ),
        (
            "UPDATE tributary.commission_rows SET holds = '{}' WHERE seq = 3",
            "commission",
            commission.clone(),
            "holds time",
            "holds ",
        ),
        (
            "DELETE FROM tributary.commission_rows WHERE seq = 3",
            "commission",
            commission.clone(),
            "partner_3",
            "no row",
        ),
        (
            "UPDATE tributary.commission_rows SET commission_id = 'kept' WHERE seq = 5;
             UPDATE tributary.commission_rows SET commission_id = (SELECT commission_id FROM tributary.commission_event_rows
               WHERE seq = 5 AND ordinal = 1) WHERE seq = 3;
             UPDATE tributary.commission_rows SET commission_id = (SELECT commission_id FROM tributary.commission_event_rows
               WHERE seq = 3 AND ordinal = 1) WHERE commission_id = 'kept' -- two rows",
            "commission",
            row_of(5),
            "partner_id partner_5",
            "partner_id partner_3",
        ),
        (
            "INSERT INTO tributary.commission_rows SELECT (jsonb_populate_record(t, '{\"commission_id\": \"extra\"}')).* FROM tributary.commission_rows t WHERE seq = 3",
            "commission",
            "extra".to_owned(),
            "no row",
            "partner_3",
        ),
        (
            "INSERT INTO tributary.balance_rows SELECT (jsonb_populate_record(t, '{\"currency\": \"EUR\"}')).* FROM tributary.balance_rows t WHERE partner_id = 'partner_3'",
            "balance",
            "prog_demo/partner_3/EUR".to_owned(),
            "no row",
            "pending 200",
        ),
        (
            "UPDATE tributary.sale_rows SET partner_id = 'partner_9' WHERE seq = 3",
            "sale",
            sale.clone(),
            "partner_id partner_3",
            "partner_id partner_9",
        ),
        ("DELETE FROM tributary.sale_rows WHERE seq = 3", "sale", sale.clone(), "txn_3", "no row"),
        (
            "UPDATE tributary.customer_rows SET sales = 2 WHERE partner_id = 'partner_3'",
            "customer",
            format!("prog_demo/{customer}"),
            "sales 1",
            "sales 2",
        ),
        (
            "UPDATE tributary.verdict_rows SET verdict = 'ignored' WHERE seq = 3",
            "verdict",
            verdict(3),
            "verdict applied",
            "verdict ignored",
        ),
        (
            "INSERT INTO tributary.verdict_rows SELECT (jsonb_populate_record(t, '{\"ordinal\": 7}')).* FROM tributary.verdict_rows t WHERE seq = 3",
            "verdict",
            verdict(3).replace("event 0", "event 7"),
            "no row",
            "applied",
        ),
        (
            "UPDATE tributary.reversal_rows SET gross_minor = 1",
            "reversal",
            format!("reversal_rows partition {partition} frame 4 event 2 {}", support::event_id(4)),
            "gross_minor 100",
            "gross_minor 1",
        ),
        (
            "UPDATE tributary.program_rows SET hold_days = 7",
            "program",
            "prog_demo".to_owned(),
            "hold_days 0",
            "hold_days 7",
        ),
        ("DELETE FROM tributary.partner_rows", "partner", "prog_demo/partner_2".to_owned(), "Two", "no row"),
        (
            "UPDATE tributary.code_rows SET partner_id = 'partner_9'",
            "code",
            "prog_demo/two".to_owned(),
            "partner_id partner_2",
            "partner_id partner_9",
        ),
    ];
    for (plant, kind, place, expected, wrong) in cases {
        // Each in a copy of the tables.
        change(pool, "CREATE SCHEMA kept; SELECT 1").await;
        let tables: Vec<&str> = readmodel::audit::TABLES.iter().map(|table| table.name).collect();
        for table in &tables {
            sqlx::query(sqlx::AssertSqlSafe(format!("CREATE TABLE kept.{table} AS TABLE tributary.{table}")))
                .execute(pool)
                .await
                .unwrap();
        }
        change(pool, plant).await;
        let report = it.report(&it.log).await;
        let problem = report.problems.iter().find(|problem| problem.kind == kind && problem.place == place);
        let problem = problem.unwrap_or_else(|| panic!("{plant}: {report:?}"));
        assert!(problem.expected.contains(expected), "{plant}: {problem:?}");
        assert!(problem.found.contains(wrong), "{plant}: {problem:?}");
        // One error, one problem; a row that moved is missing in one place and extra in another, or wrong in two. Swapped
        // events are in each other's place of the chain too.
        let two = plant.contains("seq = 99") || plant.ends_with("two rows");
        let links = report.problems.iter().filter(|problem| problem.kind == "chain_link").count();
        assert_eq!(links, usize::from(plant.contains("SET seq = -seq")), "{plant}: {report:?}");
        assert_eq!(report.problems.len() - links, 1 + usize::from(two), "{plant}: {report:?}");
        for table in &tables {
            let restore =
                format!("TRUNCATE tributary.{table}; INSERT INTO tributary.{table} TABLE kept.{table}");
            sqlx::raw_sql(sqlx::AssertSqlSafe(restore)).execute(pool).await.unwrap();
        }
        sqlx::raw_sql("DROP SCHEMA kept CASCADE").execute(pool).await.unwrap();
    }
    assert!(it.report(&it.log).await.ok);
    it.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_sees_one_moment_and_nobody_who_writes_waits_for_it() {
    let mut it = Projected::new().await;
    let (snapshot, table) = (Snapshot::open(&it.database.pool).await.unwrap(), &audit::COMMISSION_EVENTS);
    let mut during = snapshot.rows(table, it.chain.partition);
    assert!(during.peek().await.unwrap().is_some());
    // Written and committed while the proof reads.
    let mut running = project(&it.log, &it.database.pool);
    it.chain.sale().await;
    running.reaches(&it.chain).await;
    running.stop().await;
    let after = snapshot.rows(table, it.chain.partition);
    for mut rows in [during, after] {
        let mut events = 0;
        while rows.peek().await.unwrap().is_some() {
            events += rows.take().into_iter().count();
        }
        assert_eq!(events, 6, "five sales and an approval");
    }
    snapshot.close().await.unwrap();
    assert!(it.report(&it.log).await.ok);
    it.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_the_cursor_passed_without_its_rows_is_named_as_skipped() {
    let it = Projected::new().await;
    let (pool, partition) = (&it.database.pool, it.chain.partition.0);
    for table in ["commission_event_rows", "commission_rows", "sale_rows"] {
        change(pool, &format!("DELETE FROM tributary.{table} WHERE seq = 5")).await;
    }
    change(pool, "DELETE FROM tributary.customer_rows WHERE partner_id = 'partner_5'").await;
    change(pool, "DELETE FROM tributary.balance_rows WHERE partner_id = 'partner_5'").await;
    let report = it.report(&it.log).await;
    let found = found(&report);
    let skipped = format!("commissions.v1/{partition} frame 5");
    assert_eq!(
        found.iter().filter(|(kind, _)| *kind == "skipped_frame").collect::<Vec<_>>(),
        [&("skipped_frame", skipped.as_str())]
    );
    // And what it cost: its commission, sale, customer and balance.
    let mut kinds: Vec<&str> = found.iter().map(|(kind, _)| *kind).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["balance", "commission", "customer", "sale", "skipped_frame"]);
    change(pool, "DELETE FROM tributary.verdict_rows WHERE seq = 5").await;
    let report = it.report(&it.log).await;
    let skipped = format!("facts.v1/{partition} frame 5");
    assert!(
        report.problems.iter().any(|problem| problem.kind == "skipped_frame" && problem.place == skipped)
    );
    it.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_whose_content_was_changed_in_the_log_is_named_by_its_neighbours_and_by_the_rows() {
    let it = Projected::new().await;
    let partition = it.chain.partition;
    let (commission, _, _) = ids(3);
    // A partner is paid one unit more in frame 3, and in the last frame.
    for (seq, kinds) in [
        (3, vec!["head_mismatch", "commission_event", "commission", "balance", "chain_link", "chain_head"]),
        (
            6,
            vec![
                "other_history",
                "anchor",
                "commission_event",
                "commission",
                "balance",
                "chain_link",
                "chain_head",
            ],
        ),
    ] {
        let tampered = tampered(&it, Topic::Commissions, seq, |content| {
            let mut event = wire::commissions::decode(&content.events[1]).unwrap();
            let CommissionsEvent::Commission(commission) = &mut event else { unreachable!("a commission") };
            commission.gross.0 += 1;
            commission.delta.0 += 1;
            commission.postings[0].amount.0 -= 1;
            commission.postings[1].amount.0 += 1;
            content.events[1] = wire::commissions::encode(&event);
        })
        .await;
        let report = it.report(&tampered).await;
        let mut found: Vec<&str> = found(&report).iter().map(|(kind, _)| *kind).collect();
        let mut expected = kinds.clone();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{report:?}");
        let place = |kind: &str| &report.problems.iter().find(|problem| problem.kind == kind).unwrap().place;
        match seq {
            3 => {
                assert_eq!(place("head_mismatch"), &format!("commissions.v1/{} frame 3", partition.0));
                assert_eq!(place("commission"), &commission);
            }
            // The last frame has no successor: the cursor row remembers it.
            _ => {
                assert_eq!(
                    place("other_history"),
                    &format!("cursor row of commissions.v1/{} frame 6", partition.0)
                );
                assert_eq!(place("anchor"), &format!("commissions.v1/{} offset 6", partition.0));
            }
        }
    }
    it.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_decision_or_fact_upstream_is_named_where_it_is() {
    let it = Projected::new().await;
    let partition = it.chain.partition.0;
    // Attribution gave the sale of frame 3 to somebody else.
    let attributed = tampered(&it, Topic::Attributed, 3, |content| {
        let mut event = wire::attributed::decode(&content.events[1]).unwrap();
        let domain::attribution::AttributedEvent::Passed { decision: Some(decision), .. } = &mut event else {
            unreachable!("a decision")
        };
        decision.outcome = Ok(("partner_9".into(), domain::attribution::TouchClass::Coupon));
        content.events[1] = wire::attributed::encode(&event);
    })
    .await;
    let report = it.report(&attributed).await;
    let (_, sale, _) = ids(3);
    let (mismatch, decided) =
        (format!("attributed.v1/{partition} frame 3"), format!("commissions.v1/{partition} frame 3 {sale}"));
    let commission = format!("commissions.v1/{partition} frame 3");
    let all = found(&report);
    for expected in [
        ("head_mismatch", mismatch.as_str()),
        ("attribution", decided.as_str()),
        ("source_head", commission.as_str()),
    ] {
        assert!(all.contains(&expected), "{expected:?}: {report:?}");
    }
    assert_eq!(all.len(), 3, "{report:?}");
    // The verdict of frame 3 was changed in facts.
    let facts = tampered(&it, Topic::Facts, 3, |content| {
        let mut event = wire::facts::decode(&content.events[0]).unwrap();
        let domain::normalization::FactsEvent::Verdict(verdict) = &mut event else {
            unreachable!("a verdict")
        };
        verdict.delivery_key = "other".to_owned();
        content.events[0] = wire::facts::encode(&event).unwrap();
    })
    .await;
    let report = it.report(&facts).await;
    let mut kinds: Vec<&str> = found(&report).iter().map(|(kind, _)| *kind).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["head_mismatch", "passed_events", "source_head", "verdict"], "{report:?}");
    it.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_event_without_a_verdict_is_named_with_its_position() {
    let mut it = Projected::new().await;
    // Acknowledged, and the normalizer passed over it.
    let (position, _) = it.chain.ingest(77).await;
    assert!(it.report(&it.log).await.ok, "not decided yet: lag");
    it.chain.sale().await;
    let report = it.report(&it.log).await;
    let place = format!("ingest.v1/{} position {position}", it.chain.partition.0);
    assert_eq!(found(&report)[0], ("verdict_missing", place.as_str()), "{report:?}");
    assert_eq!(found(&report)[1].0, "accounting");
    it.stop().await;
}

/// The log with the content of frame `seq` of `topic` changed, as somebody with access to the disk could.
async fn tampered(
    it: &Projected,
    topic: Topic,
    seq: u64,
    change: impl FnOnce(&mut FrameContent),
) -> Arc<dyn Log> {
    let partition = it.chain.partition;
    // The fence is at 0.
    let offset = Offset(seq);
    let record = it.log.record_at(topic, partition, offset).await.unwrap().unwrap();
    let (envelope, content) = wire::envelope::decode(&record.value).unwrap();
    let mut content = <FrameContent as prost::Message>::decode(content).unwrap();
    assert_eq!(content.seq, seq);
    change(&mut content);
    let (content, _) = wire::frame::encode(&content);
    let value = wire::envelope::encode(&envelope, &content);
    Arc::new(Tampered { log: Arc::clone(&it.log), at: (topic, partition, offset), value })
}

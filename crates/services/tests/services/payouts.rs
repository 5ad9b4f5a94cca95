//! `verify` and payouts: the story is proven, and each planted error is named.
use crate::by_hand::{Chain, project};
use crate::support::Database;
use crate::support::payouts::{commission, destination, later, of_payout, payout, story, terms};
use domain::commission::{
    Account, CommissionEventKind as Kind, CommissionStatus as Status, CommissionsEvent, PayoutEventKind,
};
use domain::normalization::FactsEvent;
use std::sync::Arc;
use stream::embedded::{EmbeddedLog, EmbeddedOptions};
use stream::log::Log;
use tributary_services::verify::{self, Report};

struct Projected {
    log: Arc<dyn Log>,
    chain: Chain,
    database: Database,
    _directory: tempfile::TempDir,
}

impl Projected {
    /// Terms and a destination in frame 1, the story in those after it, then `more`.
    async fn new(more: Vec<Vec<CommissionsEvent>>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log: Arc<dyn Log> =
            EmbeddedLog::open(EmbeddedOptions::new(directory.path().join("log"))).unwrap();
        let database = Database::new().await;
        let mut chain = Chain::new(&log).await;
        let mut running = project(&log, &database.pool);
        let mut facts: Vec<FactsEvent> = terms().into_iter().map(FactsEvent::Config).collect();
        facts.push(destination(Some(b"sealed")));
        chain.tell(facts).await;
        for events in story().into_iter().chain(more) {
            chain.sold(events).await;
        }
        running.reaches(&chain).await;
        running.stop().await;
        Self { log, chain, database, _directory: directory }
    }

    async fn report(&self) -> Report {
        verify::run(Arc::clone(&self.log), &self.database.pool).await.unwrap()
    }

    async fn stop(self) {
        drop((self.chain, self.log));
        self.database.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_wrong_row_of_payouts_is_named_with_its_table_its_key_and_what_differs() {
    let it = Projected::new(Vec::new()).await;
    let pool = &it.database.pool;
    let clean = it.report().await;
    assert!(clean.ok, "{clean:?}");
    let (payout, first) = (payout().to_string(), commission(2));
    let partition = it.chain.partition.0;
    let line = format!("{payout}/{first}");
    let history = |table: &str, frame: u64, event: u64| {
        format!("{table} partition {partition} frame {frame} event {event} ")
    };
    // What is planted; kind and the beginning of the place; what must be expected and found.
    let cases: Vec<(&str, &str, String, &str, &str)> = vec![
        (
            "UPDATE tributary.payout_rows SET status = 'drafted'",
            "payout",
            payout.clone(),
            "status settled",
            "status drafted",
        ),
        (
            "UPDATE tributary.payout_rows SET paid_minor = paid_minor + 1",
            "payout",
            payout.clone(),
            "paid_minor 180",
            "paid_minor 181",
        ),
        ("DELETE FROM tributary.payout_rows", "payout", payout.clone(), "status settled", "no row"),
        (
            "UPDATE tributary.payout_line_rows SET amount_minor = 201",
            "payout_line",
            line.clone(),
            "amount_minor 200",
            "amount_minor 201",
        ),
        ("DELETE FROM tributary.payout_line_rows", "payout_line", line, "line 1", "no row"),
        (
            "UPDATE tributary.payout_event_rows SET reference = '' WHERE seq = 7",
            "payout_event",
            history("payout_event_rows", 7, 0),
            "reference batch 7",
            "reference ",
        ),
        (
            "UPDATE tributary.payout_event_rows SET postings = '[]' WHERE seq = 6",
            "payout_event",
            history("payout_event_rows", 6, 0),
            "postings expense EUR -1, fx_rounding EUR 1",
            "postings ",
        ),
        (
            "UPDATE tributary.offset_rows SET amount_minor = 199 WHERE amount_minor = 200",
            "debt_offset",
            history("offset_rows", 9, 1),
            "amount_minor 200",
            "amount_minor 199",
        ),
        (
            "DELETE FROM tributary.offset_rows WHERE amount_minor = -50",
            "debt_offset",
            history("offset_rows", 10, 1),
            "amount_minor -50",
            "no row",
        ),
        (
            "UPDATE tributary.write_off_rows SET claims = '[]'",
            "write_off",
            history("write_off_rows", 11, 0),
            &first,
            "claims ",
        ),
        (
            "UPDATE tributary.fx_rate_rows SET mantissa = 91 WHERE rate_id = 'june'",
            "fx_rate",
            history("fx_rate_rows", 5, 1),
            "mantissa 90",
            "mantissa 91",
        ),
        (
            "UPDATE tributary.payout_terms_rows SET minimums = '{}' WHERE partner_id = ''",
            "payout_terms",
            "prog_demo/".to_owned(),
            "minimums EUR 90, USD 100",
            "minimums ",
        ),
        (
            "UPDATE tributary.payout_destination_rows SET ciphertext = '00'",
            "payout_destination",
            "prog_demo/partner_2".to_owned(),
            "ciphertext 7365616c6564",
            "ciphertext 00",
        ),
        (
            "UPDATE tributary.commission_rows SET payout_id = NULL WHERE payout_id IS NOT NULL",
            "commission",
            first.clone(),
            &payout,
            "payout_id null",
        ),
        (
            "UPDATE tributary.commission_rows SET slices = '[]' WHERE payout_id IS NOT NULL",
            "commission",
            first.clone(),
            "slices  1000 200000",
            "slices ",
        ),
        (
            "UPDATE tributary.balance_rows SET debt = 50",
            "balance",
            "prog_demo/partner_2/USD".to_owned(),
            "debt 0",
            "debt 50",
        ),
    ];
    for (sql, kind, place, expected, found) in cases {
        let table = sql.split("tributary.").nth(1).unwrap().split_whitespace().next().unwrap();
        let mut planted = pool.begin().await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE TABLE tributary.kept AS TABLE tributary.{table}")))
            .execute(&mut *planted)
            .await
            .unwrap();
        let done = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut *planted).await.unwrap();
        assert!(done.rows_affected() > 0, "{sql}");
        planted.commit().await.unwrap();
        let report = it.report().await;
        assert_eq!(report.problems.len(), 1, "{sql}: {report:?}");
        let problem = &report.problems[0];
        assert_eq!(problem.kind, kind, "{sql}");
        assert!(problem.place.starts_with(&place), "{sql}: {}", problem.place);
        assert!(problem.expected.contains(expected) && problem.found.contains(found), "{sql}: {problem:?}");
        let restore = format!(
            "DELETE FROM tributary.{table}; INSERT INTO tributary.{table} TABLE tributary.kept; DROP TABLE tributary.kept"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(restore)).execute(pool).await.unwrap();
    }
    assert!(it.report().await.ok);
    it.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payout_with_a_second_life_and_lines_that_are_not_its_sum_break_the_ledger() {
    let locked = || {
        let legs = [(Account::Available, 0), (Account::InFlight, 0)];
        later(12, (Kind::Locked, Status::Locked), (50, 0), &legs, Some(payout()))
    };
    let mut twice = of_payout(PayoutEventKind::Settled, "");
    let CommissionsEvent::Payout(event) = &mut twice else { unreachable!("a payout") };
    event.paid.0 += 1;
    let it = Projected::new(vec![vec![twice], vec![locked()], vec![locked()]]).await;
    let report = it.report().await;
    let found: Vec<(&str, &str)> =
        report.problems.iter().map(|problem| (problem.kind, problem.found.as_str())).collect();
    assert!(found.contains(&("ledger", "a payout's id was used again")), "{report:?}");
    assert!(found.contains(&("ledger", "in two live payouts")), "{report:?}");
    it.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_that_is_not_the_sum_of_its_lines_is_named_with_its_frame() {
    let mut draft = of_payout(PayoutEventKind::Drafted, "");
    let CommissionsEvent::Payout(event) = &mut draft else { unreachable!("a payout") };
    event.id = "pay_other".into();
    event.total.0 += 1;
    let it = Projected::new(vec![vec![draft]]).await;
    let report = it.report().await;
    let place = format!("commissions.v1/{} frame 12 pay_other", it.chain.partition.0);
    let problem = report.problems.iter().find(|problem| problem.place == place).unwrap();
    assert_eq!((problem.kind, problem.expected.as_str()), ("ledger", "total 201 paid 180"));
    assert_eq!(problem.found, "lines that sum to 200 and 180");
    it.stop().await;
}

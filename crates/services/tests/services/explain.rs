//! `explain` over the real services and an embedded log: whoever reads it can compute the result from what it prints.
use crate::setting;
use bytes::Bytes;
use domain::commission::{CommissionEventKind, CommissionsEvent};
use domain::config::{Code, ConfigFact, ConfigObject, Coupon, Partner, Reward, Rule};
use domain::money::{Currency, Minor, RatePpm, Rounding, rate_of_sum};
use domain::rules::{
    Band, Cap, CapScope, Clauses, Comparison, Condition, Field, Limit, Metric, Operator, Period, Tiers, Value,
};
use domain::time::Micros;
use std::sync::Arc;
use std::time::Duration;
use stream::cursor::Cursor;
use stream::embedded::{EmbeddedLog, EmbeddedOptions};
use stream::follow::Follower;
use stream::keys::KeyStore;
use stream::keys_file::FileKeyStore;
use stream::log::{Appender, Log, NewRecord, Partition, Topic, partition_of};
use stream::owner::{OwnerError, OwnerOptions, run_service};
use stream::service::Service;
use stream::store::StateDb;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tributary_services::explain::{self, Arithmetic, Change, Event, Explanation, Question};
use tributary_services::{Attribution, Commission, Normalizer};
use wire::ingest::{IngestRecord, RawRequest};

const PROGRAM: &str = "prog_case";

/// The three deciding services of an installation. Only this test makes its clock tick.
struct Running {
    log: Arc<dyn Log>,
    partition: Partition,
    appender: Arc<dyn Appender>,
    commissions: Follower,
    services: JoinSet<Result<(), OwnerError>>,
    stop: CancellationToken,
    _directory: TempDir,
}

impl Running {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log: Arc<dyn Log> =
            EmbeddedLog::open(EmbeddedOptions::new(directory.path().join("log"))).unwrap();
        let keys: Arc<dyn KeyStore> = Arc::new(FileKeyStore::open(&directory.path().join("keys")).unwrap());
        let state = StateDb::open(&directory.path().join("state")).unwrap();
        let (mut services, stop) = (JoinSet::new(), CancellationToken::new());
        let normalizer = Normalizer::new(keys.index_key(), log.partition_count());
        let commission = Commission::new(log.partition_count());
        start(&mut services, normalizer, &log, &state, &keys, &stop);
        start(&mut services, Attribution, &log, &state, &keys, &stop);
        start(&mut services, commission, &log, &state, &keys, &stop);
        let partition = partition_of(PROGRAM, log.partition_count());
        let commissions = Follower::open(&log, Topic::Commissions, partition, Cursor::START).await.unwrap();
        let appender = log.appender().await.unwrap();
        Self { log, partition, appender, commissions, services, stop, _directory: directory }
    }

    async fn append(&self, record: &IngestRecord) {
        let record =
            NewRecord { key: Bytes::from_static(PROGRAM.as_bytes()), value: wire::ingest::encode(record) };
        self.appender.append(Topic::Ingest, self.partition, vec![record]).await.unwrap();
    }

    async fn configure(&self, object: ConfigObject) {
        let fact = ConfigFact { program: PROGRAM.into(), actor: "test".into(), object, removed: false };
        self.append(&IngestRecord::Config(fact)).await;
    }

    async fn send(&self, body: String) {
        self.append(&IngestRecord::Request(RawRequest {
            program: PROGRAM.into(),
            source: "paddle".into(),
            body: Bytes::from(body),
            headers: Vec::new(),
            query: String::new(),
            authenticated_by: "ep_paddle".into(),
            received_at: Micros(1_800_000_000_000_000),
            reply_to: None,
            trace: None,
            resource: String::new(),
            publishable: false,
        }))
        .await;
    }

    /// Waits for the next change of this kind.
    async fn follows(&mut self, kind: CommissionEventKind) {
        let found = async {
            loop {
                let frames = self.commissions.next(1, 1 << 20).await.unwrap();
                let mut events = frames
                    .iter()
                    .flat_map(|frame| &frame.events)
                    .map(|bytes| wire::commissions::decode(bytes).unwrap());
                if events
                    .any(|event| matches!(event, CommissionsEvent::Commission(event) if event.kind == kind))
                {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), found).await.unwrap();
    }

    async fn explain(&self, id: &str) -> Vec<Explanation> {
        explain::run(&self.log, &Question { id: id.to_owned(), body: false }).await.unwrap()
    }

    async fn stop(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.services.join_next().await {
            ended.unwrap().unwrap();
        }
    }
}

fn start<S: Service>(
    services: &mut JoinSet<Result<(), OwnerError>>,
    service: S,
    log: &Arc<dyn Log>,
    state: &Arc<StateDb>,
    keys: &Arc<dyn KeyStore>,
    stop: &CancellationToken,
) {
    let (log, state, keys, stop) = (Arc::clone(log), Arc::clone(state), Arc::clone(keys), stop.clone());
    services.spawn(run_service(Arc::new(service), OwnerOptions::default(), log, state, keys, stop));
}

fn paddle(event: &str, kind: &str, data: &str) -> String {
    format!(
        r#"{{"event_id":"{event}","event_type":"{kind}","occurred_at":"2024-04-12T10:18:49.738971Z","notification_id":"ntf_{event}","data":{data}}}"#
    )
}

/// 60.00 with tax, 50.00 without, of one customer.
fn transaction(event: &str, id: &str, code: &str, discount: &str) -> String {
    let data = format!(
        r#"{{"id":"{id}","status":"completed","customer_id":"ctm_1","subscription_id":null,"discount_id":{discount},"origin":"web","currency_code":"USD","custom_data":{{"ref_code":"{code}"}},"billed_at":"2024-04-12T10:18:48.294633Z","items":[],"details":{{"totals":{{"subtotal":"5000","discount":"0","tax":"1000","total":"6000","credit":"0","balance":"0","grand_total":"6000","fee":null,"earnings":null,"currency_code":"USD"}},"line_items":[]}},"payments":[]}}"#
    );
    paddle(event, "transaction.completed", &data)
}

fn adjustment(event: &str, id: &str, action: &str, (net, tax): (u64, u64)) -> String {
    let total = net + tax;
    let data = format!(
        r#"{{"id":"{id}","action":"{action}","type":"partial","transaction_id":"txn_1","subscription_id":null,"customer_id":"ctm_1","reason":"error","currency_code":"USD","status":"approved","items":[],"totals":{{"subtotal":"{net}","tax":"{tax}","total":"{total}","fee":null,"earnings":null,"currency_code":"USD"}},"created_at":"2024-04-15T08:48:20.239695Z","updated_at":"2024-04-15T08:48:20.239695Z"}}"#
    );
    paddle(event, "adjustment.created", &data)
}

/// 12.5%; john's code against mary's coupon and mary's customer.
async fn configured(it: &Running) {
    let partner = |id: &str| {
        ConfigObject::Partner(Partner {
            partner: id.into(),
            name: id.into(),
            active: true,
            ..Partner::default()
        })
    };
    let code = |code: &str, partner: &str| {
        ConfigObject::Code(Code { code: code.into(), partner: partner.into(), active: true })
    };
    for object in [
        setting::program("acc_case", "Case"),
        ConfigObject::Rule(Rule {
            rule: "rule_eighth".into(),
            version: 3,
            reward: Reward::Percent(RatePpm(125_000)),
            ..Rule::default()
        }),
        partner("partner_john"),
        partner("partner_mary"),
        code("john123", "partner_john"),
        code("mary456", "partner_mary"),
        ConfigObject::Coupon(Coupon {
            coupon: "SAVE20".into(),
            partner: "partner_mary".into(),
            active: true,
        }),
    ] {
        it.configure(object).await;
    }
    let discount = r#"{"id":"dsc_1","status":"active","code":"SAVE20","type":"percentage","amount":"20","currency_code":null,"created_at":"2024-04-12T10:18:48.294633Z","updated_at":"2024-04-12T10:18:48.294633Z"}"#;
    it.send(paddle("evt_discount", "discount.created", discount)).await;
}

fn changes(explanation: &Explanation) -> Vec<&Change> {
    let events = explanation.steps.iter().flat_map(|step| &step.events);
    events
        .filter_map(|event| match event {
            Event::Commission(change) => Some(change.as_ref()),
            _ => None,
        })
        .collect()
}

/// N from the printed numbers alone.
fn recomputed(arithmetic: &Arithmetic) -> i64 {
    let mut sum = 0_i128;
    for slice in &arithmetic.slices {
        assert_eq!(slice.left_minor, slice.base_minor - slice.taken_minor);
        sum += i128::from(slice.left_minor) * i128::from(slice.rate_ppm);
    }
    assert_eq!(arithmetic.sum, sum.to_string());
    let slices = arithmetic.slices.iter().map(|slice| (Minor(slice.left_minor), RatePpm(slice.rate_ppm)));
    let rounded = rate_of_sum(slices, Rounding::parse(arithmetic.rounding).unwrap()).unwrap();
    assert_eq!(arithmetic.rounded_minor, rounded.0);
    rounded.0.min(arithmetic.gross_minor)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contested_sale_with_a_refund_and_a_hold_is_told_from_its_raw_events_to_its_last_cent() {
    let mut it = Running::new().await;
    configured(&it).await;
    // Binds the customer to mary.
    it.send(transaction("evt_0", "txn_0", "mary456", "null")).await;
    it.follows(CommissionEventKind::Created).await;
    it.send(transaction("evt_1", "txn_1", "john123", r#""dsc_1""#)).await;
    it.send(transaction("evt_1", "txn_1", "john123", r#""dsc_1""#)).await;
    it.follows(CommissionEventKind::Created).await;
    // 11.01 back, 10.01 of it base: 12.5% of 39.99 is 4.99875.
    it.send(adjustment("evt_2", "adj_refund", "refund", (1001, 100))).await;
    it.follows(CommissionEventKind::Refunded).await;
    it.send(adjustment("evt_3", "adj_warning", "chargeback_warning", (3999, 900))).await;
    it.follows(CommissionEventKind::Review).await;
    it.append(&IngestRecord::Tick).await;
    it.send(adjustment("evt_4", "adj_over", "chargeback_warning_reverse", (3999, 900))).await;
    it.follows(CommissionEventKind::HoldReleased).await;
    it.append(&IngestRecord::Tick).await;
    it.follows(CommissionEventKind::Approved).await;

    let explained = it.explain("txn_1").await;
    assert_eq!(explained.len(), 1, "{explained:?}");
    let told = &explained[0];
    let now = told.commission.as_ref().unwrap();
    for other in [&now.commission_id, told.sale_id.as_ref().unwrap(), "adj_refund", "adj_warning", "evt_1"] {
        assert_eq!(it.explain(other).await, explained, "{other}");
    }
    assert_eq!(it.explain("txn_unknown").await, []);

    // Where it came from, and who vouched for it. The second delivery is told too.
    let sale = told.steps.iter().find(|step| !step.decisions.is_empty()).unwrap();
    let raw = sale.raw.as_ref().unwrap();
    assert_eq!((raw.source.as_str(), raw.authenticated_by.as_str()), ("paddle", "ep_paddle"));
    assert_eq!(raw.body, None, "bodies hold personal data");
    assert!(sale.place.ingest.is_some() && sale.place.commissions.is_some());
    let verdicts: Vec<_> =
        told.steps.iter().filter_map(|step| Some(step.verdict.as_ref()?.verdict.as_str())).collect();
    assert_eq!(verdicts, ["applied", "duplicate", "applied", "applied", "applied"]);

    // Every touch, and why it lost.
    let decision = &sale.decisions[0];
    assert_eq!((decision.partner_id.as_deref(), decision.by), (Some("partner_john"), Some("code")));
    let touches: Vec<_> = decision
        .touches
        .iter()
        .map(|touch| {
            (
                touch.class,
                touch.reference.as_str(),
                touch.partner_id.as_deref(),
                touch.won,
                touch.lost_because.as_str(),
            )
        })
        .collect();
    assert_eq!(
        touches,
        [
            ("code", "john123", Some("partner_john"), true, ""),
            ("coupon", "dsc_1", Some("partner_mary"), false, "weaker_class"),
            ("binding", "", Some("partner_mary"), false, "weaker_class"),
        ]
    );

    // The numbers, from the printed ones.
    let changes = changes(told);
    let kinds: Vec<_> = changes.iter().map(|change| change.kind.as_str()).collect();
    assert_eq!(kinds, ["created", "refunded", "review", "hold_released", "approved"]);
    let terms = changes[0].terms.as_ref().unwrap();
    assert_eq!((terms.rule_id.as_str(), terms.rule_version, terms.rounding), ("rule_eighth", 3, "half_even"));
    let (mut net, mut accounts) = (0, std::collections::BTreeMap::<&str, i64>::new());
    for change in &changes {
        net += change.delta_minor;
        assert_eq!((net, change.gross_minor - change.reversed_minor), (change.net_minor, change.net_minor));
        assert_eq!(change.arithmetic.is_some(), change.delta_minor != 0, "{change:?}");
        if let Some(arithmetic) = &change.arithmetic {
            assert_eq!(recomputed(arithmetic), change.net_minor);
        }
        assert_eq!(change.postings.iter().map(|leg| leg.amount_minor).sum::<i64>(), 0);
        for leg in &change.postings {
            *accounts.entry(leg.account).or_default() += leg.amount_minor;
        }
    }
    accounts.retain(|_, amount| *amount != 0);
    let shown: std::collections::BTreeMap<&str, i64> =
        now.accounts.iter().map(|leg| (leg.account, leg.amount_minor)).collect();
    assert_eq!(accounts, shown);
    assert_eq!((now.gross_minor, now.reversed_minor, now.net_minor, net), (625, 125, 500, 500));
    assert_eq!((now.status.as_str(), shown["available"]), ("approved", 500));

    // Holds, by whom they came and went, with the event that caused each delta.
    let held = |change: &Change| (change.holds_added.join(","), change.holds_released.join(","));
    assert_eq!(held(changes[2]), ("dispute:adj_warning".to_owned(), String::new()));
    assert_eq!(held(changes[3]), (String::new(), "dispute:adj_warning".to_owned()));
    assert!(changes[4].holds.is_empty() && changes[4].cause_event_id.is_none());
    let cause = |change: &Change| change.cause_event_id.clone().unwrap();
    let event_of = |delivery: &str| {
        let mut verdicts = told.steps.iter().filter_map(|step| step.verdict.as_ref());
        verdicts.find(|verdict| verdict.delivery_key == delivery).unwrap().event_id.clone()
    };
    assert_eq!(
        [cause(changes[0]), cause(changes[1]), cause(changes[2])],
        [event_of("evt_1"), event_of("evt_2"), event_of("evt_3")]
    );

    assert_text_says_the_same(&told.to_text(), &changes);
    it.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_did_not_win_bands_and_caps_are_told() {
    let mut it = Running::new().await;
    configured(&it).await;
    let usd = Currency::parse("USD").unwrap();
    let vip = Condition::Test(Comparison {
        field: Field::Coupon,
        operator: Operator::StartsWith,
        value: Value::Text("VIP".to_owned()),
    });
    let band = |from, rate| Band { from, rate: RatePpm(rate) };
    let tiers = Tiers {
        metric: Metric::Revenue,
        period: Period::Month,
        prior: false,
        marginal: true,
        bands: vec![band(0, 100_000), band(3_000, 200_000)],
    };
    let limit = Limit { amount: Minor(500), currency: usd };
    let cap = Cap { scope: CapScope::Partner, period: Period::Month, limit };
    let clauses = |priority| Clauses { priority, ..Clauses::default() };
    for rule in [
        Rule {
            rule: "rule_vip".into(),
            version: 1,
            reward: Reward::Percent(RatePpm(500_000)),
            clauses: Clauses { when: vip, ..clauses(9) },
            ..Rule::default()
        },
        Rule {
            rule: "rule_bands".into(),
            version: 2,
            tiers: Some(tiers),
            clauses: Clauses { caps: vec![cap], ..clauses(1) },
            ..Rule::default()
        },
    ] {
        it.configure(ConfigObject::Rule(rule)).await;
    }
    it.send(transaction("evt_1", "txn_1", "john123", "null")).await;
    it.follows(CommissionEventKind::Created).await;
    let told = it.explain("txn_1").await;
    let changes = changes(&told[0]);
    let terms = changes[0].terms.as_ref().unwrap();
    // 10% of 30.00 and 20% of 20.00, of which the cap leaves 5.00.
    assert_eq!((terms.uncapped_minor, changes[0].gross_minor), (700, 500));
    assert_eq!((terms.caps[0].scope, terms.caps[0].of.as_str()), ("partner", "partner_john"));
    let passed: Vec<_> = terms
        .considered
        .iter()
        .map(|rule| (rule.rule_id.as_str(), rule.why, rule.field.as_deref(), rule.operator.as_deref()))
        .collect();
    assert_eq!(
        passed,
        [
            ("rule_vip", "condition", Some("coupon"), Some("starts_with")),
            ("rule_eighth", "priority", None, None)
        ]
    );
    let arithmetic = changes[0].arithmetic.as_ref().unwrap();
    let slices: Vec<_> = arithmetic
        .slices
        .iter()
        .map(|slice| (slice.base_minor, slice.rate_ppm, slice.rule_id.as_str(), slice.higher_band))
        .collect();
    assert_eq!(slices, [(3_000, 100_000, "rule_bands", false), (2_000, 200_000, "rule_bands", true)]);
    assert_eq!(recomputed(arithmetic), 500);
    let text = told[0].to_text();
    for line in [
        "rule rule_vip version 1 did not win, by condition: coupon starts_with is false",
        "rule rule_eighth version 3 did not win, by priority",
        "cap of rule rule_bands for partner partner_john, month: at most 500 USD",
        "without caps 700, with them gross 500 USD",
        "whole sale, next band: base 2000",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    it.stop().await;
}

/// Parses the lines for people: `base - taken = left x rate = product`, `sum / divisor = rounded`, `at most gross -> net`.
fn assert_text_says_the_same(text: &str, changes: &[&Change]) {
    let numbers = |line: &str| -> Vec<i64> {
        let words = line.split(|c: char| !(c.is_ascii_digit() || c == '-')).filter(|word| *word != "-");
        words.filter_map(|word| word.parse().ok()).collect()
    };
    let lines =
        |start: &str| text.lines().map(str::trim).filter(|line| line.starts_with(start)).collect::<Vec<_>>();
    let (slices, sums, results) = (lines("whole sale:"), lines("sum "), lines("at most gross "));
    let worked: Vec<&&Change> = changes.iter().filter(|change| change.arithmetic.is_some()).collect();
    assert_eq!(
        (slices.len(), sums.len(), results.len()),
        (worked.len(), worked.len(), worked.len()),
        "{text}"
    );
    for (place, change) in worked.iter().enumerate() {
        let [base, taken, left, rate, product] = numbers(slices[place])[..] else {
            unreachable!("{}", slices[place])
        };
        assert_eq!((base - taken, left * rate), (left, product));
        let [sum, divisor, rounded] = numbers(sums[place])[..] else { unreachable!("{}", sums[place]) };
        assert_eq!(sum, product);
        // 4.99875 and 6.25: neither is a tie.
        assert_eq!((sum + divisor / 2) / divisor, rounded);
        let [gross, net] = numbers(results[place])[..] else { unreachable!("{}", results[place]) };
        assert_eq!((rounded.min(gross), net), (net, change.net_minor));
    }
    assert!(text.contains("touch coupon dsc_1 -> partner_mary: lost: weaker_class"), "{text}");
    assert!(
        text.contains("holds added: dispute:adj_warning")
            && text.contains("holds released: dispute:adj_warning"),
        "{text}"
    );
    assert!(!text.contains("ctm_1"), "an identifier of a person: {text}");
}
